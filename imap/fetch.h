/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_FETCH_H
#define INCLUDED_FETCH_H
/*
 * fetch -- what a FETCH asks for, and how it is answered (RFC 3501 §6.4.5, handbook 04 §3.12)
 *
 * fetch_parse() makes the request from the command line. A message is answered in
 * two steps: fetch_load() takes what may change under the shared lock, fetch_print()
 * writes the response without any lock.
 */
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "imap_session.h"
#include "index.h"
#include "message_section.h"
#include "strarray.h"

enum {
    FETCH_FLAGS = 1u << 0,
    FETCH_UID = 1u << 1,
    FETCH_DIGEST = 1u << 2,
    FETCH_INTERNALDATE = 1u << 3,
    FETCH_LASTUPDATED = 1u << 4,
    FETCH_MODSEQ = 1u << 5,
    FETCH_SIZE = 1u << 6,
    FETCH_ANNOTATION = 1u << 7,
    FETCH_PREVIEW = 1u << 8,
    FETCH_FILESIZE = 1u << 9,
    FETCH_SHA1 = 1u << 10,
    FETCH_EMAILID = 1u << 11,
    FETCH_CID = 1u << 12,
    FETCH_THREADID = 1u << 13,
    FETCH_SAVEDATE = 1u << 14,
    FETCH_CREATEDMODSEQ = 1u << 15,
    FETCH_BASECID = 1u << 16,
    FETCH_FOLDER = 1u << 17,
    FETCH_UIDVALIDITY = 1u << 18,
    FETCH_ENVELOPE = 1u << 19,
    FETCH_BODYSTRUCTURE = 1u << 20,
    FETCH_BODY = 1u << 21,
    FETCH_HEADER = 1u << 22,
    FETCH_TEXT = 1u << 23,
    FETCH_RFC822 = 1u << 24,
    FETCH_SETSEEN = 1u << 25,       /* an item that marks as read */
    FETCH_CONVERSATIONS = 1u << 26, /* an item that needs `conversations: yes` */
    FETCH_MAILBOXES = 1u << 27,     /* which of the user's have the same message */
    FETCH_MAILBOXIDS = 1u << 28,
};

/* BODY[...]<o.n>, BINARY[...]<o.n>, BINARY.SIZE[...] */
enum fetch_section_kind {
    FETCH_SECTION_FIELDS,
    FETCH_SECTION_BODY,
    FETCH_SECTION_BINARY,
    FETCH_SECTION_BINARY_SIZE
};
struct fetch_section {
    struct fetch_section *next;
    enum fetch_section_kind kind;
    struct buf text;          /* as echoed, "[...]" without the brackets and the partial */
    struct section_spec spec; /* points into text */
    strarray_t fields;        /* HEADER.FIELDS */
    bool partial;
    uint64_t start, count;
};

struct fetch_request {
    uint32_t items;                    /* FETCH_* */
    struct fetch_section *sections[4]; /* by kind, in the order of the command */
    strarray_t header_lines;           /* RFC822.HEADER.LINES */
    bool have_header_lines, header_lines_not;
    strarray_t annot_entries,
        annot_attribs; /* ANNOTATION: entries may hold * and %; attribs "value.priv", ... */
    bool has_changedsince, vanished, has_partial;
    struct imap_range partial; /* of the messages that would be answered */
    uint64_t changedsince;
};

/* Reads items and modifiers up to the end of the line. False: the command has been answered. */
bool fetch_parse(struct imap_session *s, struct fetch_request *req);
/* The items alone, behind a blank: one, or a list. */
bool fetch_parse_items(struct imap_session *s, struct fetch_request *req);
/* Answers for these messages of the selected mailbox (imapcmd/fetch.c). The error of a single one comes last, the others are answered. */
int fetch_messages(struct imap_session *s, const struct fetch_request *req, const struct seqset *msgnos);
void fetch_request_fini(struct fetch_request *req);
/* BODY and BINARY items (fetch_parse_section.c): word as read, s->c behind it. False: answered. */
bool fetch_parse_section(struct imap_session *s, struct fetch_request *req, const char *word);
/* Needs the message file, or the cache record. */
bool fetch_needs_file(const struct fetch_request *req);

/* One message on its way to the client. */
struct fetch_message {
    struct index_message msg;
    struct index_record rec;
    bool told_flags; /* FLAGS (and MODSEQ) are added: \Seen was set by this command */
    struct buf
        locked; /* items that were written under the lock, each with a blank in front: ANNOTATION, PREVIEW, BASECID */
    struct buf basecid, preview;
    extnames_t mailboxes;  /* that the user may see */
    strarray_t mailboxids;
    struct buf file; /* mapped, when fetch_open was called */
    bool have_file;
    int file_error; /* why it can't be had */
};
/* Under index_lock. IMAP_NOTFOUND: it has gone for good. */
int fetch_load(struct imap_session *s, const struct fetch_request *req, uint32_t msgno,
               struct fetch_message *fm);
void fetch_message_fini(struct fetch_message *fm);
/* Maps the message file, once; without a lock. Its error comes with each item that needs the file, too. */
int fetch_open(struct imap_session *s, struct fetch_message *fm);
/*
 * Writes "* n FETCH (...)". An item that can't be had is left out and its error returned, IMAP_NO_UNKNOWN_CTE for
 * BINARY; nothing is written when nothing is left.
 */
int fetch_print(struct imap_session *s, const struct fetch_request *req, struct fetch_message *fm);

/* The parts of fetch_print(): items before and after the bodies. */
struct fetch_writer {
    struct imap_session *s;
    const struct fetch_request *req;
    struct fetch_message *fm;
    bool started; /* "* n FETCH (" was written */
    bool have_cache;
    struct buf cacheview;
    struct cacherecord cache;
    int r; /* first error */
};
/* Begins an item: blank or "* n FETCH (" in front. */
void fetch_item(struct fetch_writer *w, const char *name);
/* The message file, the cache record: false and w->r when they can't be had. */
bool fetch_file(struct fetch_writer *w);
bool fetch_cache(struct fetch_writer *w);
/* Annotations (fetch_annotation.c), under the lock. */
int fetch_annotations(struct imap_session *s, const struct fetch_request *req,
                      const struct index_record *rec, struct buf *out);
/* All BODY[], BINARY[], BINARY.SIZE[] (fetch_body.c). */
void fetch_sections(struct fetch_writer *w);
/* RFC822, RFC822.HEADER, RFC822.TEXT. */
void fetch_rfc822(struct fetch_writer *w);

#endif
