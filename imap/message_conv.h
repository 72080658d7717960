/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_CONV_H
#define INCLUDED_MESSAGE_CONV_H
/*
 * message_conv -- what threads a message: its ids and its subject (handbook 01 §5.9, 02 §6.4)
 */
#include <stdbool.h>
#include <stddef.h>

#include "message_cache.h"

#define CONV_MAX_MSGIDS_PER_FIELD 20

/*
 * The next message-id `<local@domain>` in a field value, with its brackets, quotes and
 * backslashes of a quoted local part undone, case kept; *p moves behind it. NULL: no more. The
 * caller frees.
 */
char *message_next_msgid(const char **p, const char *end);

struct conv_msgid_source {
    char *msgid;   /* lower case */
    bool x_me;     /* of X-ME-Message-ID: matches whatever the subject */
};
struct conv_msgids {
    struct conv_msgid_source *ids;
    size_t count;
};
/*
 * The message-ids that tie a message to conversations, from its cache record: References,
 * In-Reply-To, Message-ID, X-ME-Message-ID, in this order, each id once.
 * IMAP_MAILBOX_BADFORMAT for a damaged record.
 */
int conv_msgids_from_cache(const struct cacherecord *rec, struct conv_msgids *ids);
void conv_msgids_fini(struct conv_msgids *ids);

/* Append the normal form of a decoded subject that B records keep. */
void conversation_normalise_subject(const char *s, size_t len, struct buf *dst);
/* The form of older versions, for comparing only. */
void conversation_normalise_subject_old(const char *s, size_t len, struct buf *dst);
/* Both from the SUBJECT item of a record. */
int conv_subject_from_cache(const struct cacherecord *rec, struct buf *subject, struct buf *old);

/* The sender for a B record: first address of From, as the ENVELOPE has it; false: none. */
bool conv_sender_from_cache(const struct cacherecord *rec, struct rfc822_address *addr);

/* Append the base subject of RFC 5256 §2.1, upper case, of a decoded subject; true: a reply or forward. */
bool message_base_subject(const char *s, size_t len, struct buf *dst);

#endif
