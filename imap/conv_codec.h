/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CONV_CODEC_H
#define INCLUDED_CONV_CODEC_H
/*
 * conv_codec -- keys and values of a user's conversations database (handbook 01 §5.4-§5.7)
 *
 * Readers take every version that 3.6.1 reads; bytes that are none of them are
 * IMAP_MAILBOX_BADFORMAT. Writers replace the contents of *out, keys too.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mailbox_index.h"
#include "message_guid.h"
#include "strarray.h"
#include "util.h"

struct buf;

#define CONV_KEY_COUNTED_FLAGS "$COUNTED_FLAGS"
#define CONV_KEY_FOLDER_IDS "$FOLDER_IDS"
#define CONV_KEY_FOLDER_NAMES "$FOLDER_NAMES"
#define CONV_KEY_QUOTA "Q"
#define CONV_MAX_SENDERS 99
#define CONV_MAX_COUNTED_FLAGS 32

/* ---- conversation ids: 16 lower-case hex digits ---- */
#define CONV_ID_STRLEN 17 /* with NUL */
const char *conversation_id_encode(conversation_id_t cid, char out[CONV_ID_STRLEN]);
/* Id of a new conversation that begins with this message; never 0 (handbook 01 §5.9 no. 5). */
conversation_id_t conversation_id_from_guid(const struct message_guid *guid);
bool conversation_id_decode(const char *s, size_t len,
                            conversation_id_t *cid); /* exactly 16 digits */

/* ---- folder list ($FOLDER_IDS, $FOLDER_NAMES): number -> id; NULL: free slot ---- */
int conv_folders_parse(const char *val, size_t len, strarray_t *folders);
void conv_folders_print(const strarray_t *folders, struct buf *out);

/* ---- $COUNTED_FLAGS: flag names separated by spaces ---- */
int conv_counted_flags_parse(const char *val, size_t len, strarray_t *flags);
void conv_counted_flags_print(const strarray_t *flags, struct buf *out);

/* ---- message-id -> conversations; the key is the message-id itself ---- */
struct conv_msgid {
    conversation_id_t *cids;
    size_t ncids;
    time_t stamp;
};
int conv_msgid_parse(const char *val, size_t len,
                     struct conv_msgid *m); /* conv_msgid_fini afterwards */
void conv_msgid_print(const struct conv_msgid *m, struct buf *out);
void conv_msgid_fini(struct conv_msgid *m);

/* ---- G: one copy of a message or of a MIME part ---- */
struct conv_guidrec {
    struct message_guid guid;
    uint32_t foldernum;
    uint32_t uid;
    char part[64];   /* "" for the whole message, else "2.1" */
    uint8_t version; /* 0: old value without flags; 1: folder numbers are names; 2: ids */
    conversation_id_t cid;
    uint32_t system_flags, internal_flags;
    time_t internaldate;
};
#define CONV_GUIDREC_VERSION 2
#define CONV_GUIDREC_VALUE_SIZE 25
/* Key of the record, or of all records of a guid ("G" 40 hex ":"). */
void conv_guidrec_key(const struct conv_guidrec *g, struct buf *out);
void conv_guidrec_key_prefix(const struct message_guid *guid, struct buf *out);
/* Key and value of a record; for the old form with all items in one value use
 * conv_guidrec_parse_old. */
int conv_guidrec_parse(const char *key, size_t keylen, const char *val, size_t vallen,
                       struct conv_guidrec *g);
bool conv_guidrec_key_isold(const char *key, size_t keylen); /* "G" 40 hex */
int conv_guidrec_parse_old(const char *key, size_t keylen, const char *val, size_t vallen,
                           int (*cb)(const struct conv_guidrec *g, void *rock), void *rock);
void conv_guidrec_value(const struct conv_guidrec *g, char out[CONV_GUIDREC_VALUE_SIZE]);

/* ---- B: one conversation ---- */
struct conv_folder {
    uint32_t number;
    modseq_t modseq;
    uint32_t num_records, exists, unseen;
};
struct conv_sender {
    char *name, *route, *mailbox, *domain; /* NULL: NIL */
    time_t lastseen;
    uint32_t exists;
};
struct conv_thread {
    struct message_guid guid;
    uint32_t exists;
    time_t internaldate;
};
struct conversation {
    uint32_t version; /* of the record read; 1 is written */
    modseq_t modseq, createdmodseq;
    uint32_t num_records, exists, unseen;
    uint32_t *counts; /* one per counted flag */
    size_t ncounts;
    struct conv_folder *folders;
    size_t nfolders;
    struct conv_sender *senders;
    size_t nsenders;
    struct conv_thread *thread;
    size_t nthread;
    char *subject; /* NULL: not known yet; "": empty */
    uint64_t size; /* bytes */
};
#define CONV_RECORD_VERSION 1
struct conversation *conversation_new(void);
void conversation_free(struct conversation **convp);
void conv_record_key(conversation_id_t cid, struct buf *out); /* "B" 16 hex */
int conv_record_parse(const char *val, size_t len, struct conversation **convp);
/* Sorts folders, senders and thread into their order; leaves empty folders and senders beyond the
 * limit out of the text. */
void conv_record_print(struct conversation *conv, struct buf *out);

/* ---- F: counts of one folder ---- */
struct conv_status {
    modseq_t threadmodseq;
    uint32_t threadexists, threadunseen, emailexists, emailunseen;
};
void conv_status_key(const char *uniqueid, struct buf *out); /* "F" uniqueid */
int conv_status_parse(const char *val, size_t len, struct conv_status *status);
void conv_status_print(const struct conv_status *status, struct buf *out);

/* ---- Q: quota by GUID ---- */
struct conv_quota {
    int64_t emails, storage;
}; /* storage in bytes */
int conv_quota_parse(const char *val, size_t len, struct conv_quota *q);
void conv_quota_print(const struct conv_quota *q, struct buf *out);

#endif
