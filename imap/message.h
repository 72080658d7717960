/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_H
#define INCLUDED_MESSAGE_H
/*
 * message -- the MIME tree of one message (handbook 02 §6; RFC 5322, RFC 2045-2049, RFC 2183, RFC 2231)
 *
 * message_parse() walks the mapped bytes of a message once and yields a tree of
 * struct body with everything that the index, the cache record, FETCH and the
 * conversations need. No byte is copied unless a value is folded or quoted: texts
 * are views of the message or of memory of the tree, and end with either.
 *
 * Any bytes are a message: parsing never fails. Depth and number of parts are
 * bounded; what lies beyond is content of the innermost part that was taken.
 * All offsets and sizes are bytes, offsets from the start of the message.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "charset.h"
#include "message_guid.h"
#include "rfc822_addr.h"

/* Levels of message/rfc822, and parts of one message, that are looked at. */
#define MESSAGE_MAX_NESTED 1000
#define MESSAGE_MAX_PARTS 100000

/* The options that decide how messages are read. */
struct message_config {
    unsigned boundary_limit; /* multiparts inside each other are fewer than this */
    unsigned maxheaderlines; /* lines of one header that are looked at; 0: all */
    bool rfc2046_strict;     /* a boundary line may go on with anything */
    bool rfc2047_utf8;       /* raw UTF-8 in headers counts as decoded */
    bool rev2;               /* as RFC 9051 §7.5.2: message/global is taken apart, extended values are UTF-8 */
};
#define MESSAGE_CONFIG_INITIALIZER { 1000, 1000, false, false, false }

/* `name=value` of Content-Type or Content-Disposition. */
struct message_param {
    struct msgtext name; /* upper case; with RFC 2231 extended values it ends with '*' */
    struct msgtext value;
    struct message_param *next;
};

/* The fields of one header, unfolded; s is NULL where the field is absent. */
struct message_fields {
    struct msgtext date, subject, in_reply_to, message_id, references;
    struct msgtext received;               /* the first one */
    struct msgtext x_deliveredinternaldate, x_me_message_id;
    struct rfc822_address *from, *sender, *reply_to, *to, *cc, *bcc; /* NULL: none */
};

struct body {
    size_t header_offset, header_size; /* the blank line included */
    size_t content_offset, content_size;
    size_t content_lines; /* LFs in the content, and a last boundary line without LF */
    bool no_content; /* a boundary line ended the header: there is nothing behind it */
    bool is_global;  /* message/global that is taken apart */
    bool no_parts;   /* a multipart that was not taken apart: no boundary, or too deep */

    struct msgtext type, subtype; /* upper case, never NULL: TEXT PLAIN without a header */
    struct message_param *params;
    struct msgtext id, description, md5, location;
    struct msgtext encoding; /* upper case; NULL: none */
    struct msgtext disposition;
    struct message_param *disposition_params;
    struct message_param *language; /* names are tags in upper case; NULL: none */
    struct message_fields fields;

    enum mime_encoding cte;  /* what undoes the transfer encoding of the content */
    struct msgtext charset;  /* of a text, as spelled; NULL: there is none to tell */

    struct body *first;  /* multipart: parts in order; message/rfc822: the message, never NULL */
    struct body *next;   /* the next part of the same multipart */
    uint32_t nparts;     /* length of the list at first */
};

struct message_content {
    const char *base; /* borrowed */
    size_t len;
    struct body *body; /* header and content of the message itself */
    struct message_config config;
    struct message_arena *arena;
};

/*
 * Reads len bytes of a message, which must stay until message_content_free(). config NULL: the
 * defaults of imapd.conf. Never NULL.
 */
struct message_content *message_parse(const char *base, size_t len,
                                      const struct message_config *config);
/* Frees the tree and everything in it, and sets *contentp to NULL. */
void message_content_free(struct message_content **contentp);

bool body_is_multipart(const struct body *body);
bool body_is_rfc822(const struct body *body); /* message/rfc822, or is_global */
bool body_type_is(const struct body *body, const char *type, const char *subtype); /* upper case */
/* Value of a parameter (upper-case name), the last one wins; NULL: absent. */
const struct msgtext *body_param(const struct message_param *params, const char *name);
/* Append the value as UTF-8: RFC 2231 for names that end with '*', encoded words otherwise. */
void message_param_decode(const struct message_param *param, struct buf *dst);

/*
 * Times of an index record (handbook 02 §3.2): *gmtime UTC seconds of the Date field, *sentdate
 * midnight in the server's zone of the date as written; both 0 for a bad or missing Date.
 */
void message_dates(const struct message_content *content, time_t *gmtime, time_t *sentdate);
/* INTERNALDATE of a delivery: X-DeliveredInternalDate, else the first Received; 0: neither. */
time_t message_received_time(const struct message_content *content);

/* ---- values of FETCH (handbook 02 §4.2, RFC 3501 §7.4.2) ---- */

enum body_form {
    BODY_FORM_BODY,          /* without extension data */
    BODY_FORM_BODYSTRUCTURE,
    BODY_FORM_ANNOTATOR,     /* with ` (OFFSET n HEADERSIZE n)` in each part (handbook 04 §3.17) */
};
/* Append `(...)`. */
void message_write_envelope(const struct body *body, struct buf *dst);
void message_write_body(const struct body *body, enum body_form form, struct buf *dst);
/* Append NIL, "..." or a literal by the rule of the cache: no byte is escaped. */
void message_write_nstring(const char *s, size_t len, struct buf *dst);

#endif
