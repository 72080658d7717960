/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_APPEND_H
#define INCLUDED_APPEND_H
/*
 * append -- put messages into mailboxes (IMAP APPEND and COPY, LMTP, replication)
 *
 * The bytes are written once: a stage holds them (in memory up to
 * journal_inline_size, in <partition>/stage./ above it) and every further copy,
 * in this or another mailbox of the same partition, is a hard link.
 * Floor 4: one call works inside the caller's transaction.
 */
#include "mailbox.h"
#include "message.h"
#include "message_guid.h"

struct stage; /* bytes of one message, parsed once */

/* Make a stage from bytes (borrowed until stage_free) or from an open file.
 * Checks of handbook 02 §6.1 / 04 §6.5: returns IMAP_MESSAGE_CONTAINSNULL,
 * IMAP_MESSAGE_CONTAINSNL, IMAP_MESSAGE_BADHEADER, ... APPEND_NOCHECK skips them. */
#define APPEND_NOCHECK 1
#define APPEND_MUNGE8BIT 2
#define APPEND_UTF8HEADER 4 /* a header of UTF-8 is no fault, and stays as it is */
int stage_new_bytes(const char *base, size_t len, unsigned flags, struct stage **stagep);
int stage_new_file(const char *path, unsigned flags, struct stage **stagep);
const struct message_content *stage_content(const struct stage *);
const struct message_guid *stage_guid(const struct stage *);
size_t stage_size(const struct stage *);
void stage_map(const struct stage *, const char **base, size_t *len);
void stage_free(struct stage **stagep);

struct append_args {
    const char *userid;           /* acting user: whose \Seen (NULL: internal) */
    time_t internaldate;          /* 0: now */
    const strarray_t *flags;      /* "\\Seen", "$Label"...; NULL: none */
    /* replication only (silent append); uid 0 = next */
    uint32_t uid;
    modseq_t modseq, createdmodseq;
    time_t last_updated, savedate;
    conversation_id_t cid;
    uint32_t system_flags, internal_flags;
    bool silent;
    const struct entryattlist *annotations; /* NULL: none */
};
/* Append to a mailbox opened with mailbox_open_iwl. *uidp gets the UID. */
int append_fromstage(struct mailbox *, struct stage *, const struct append_args *, uint32_t *uidp);

/* Copy records (by UID, rising) from src to dst; the same transaction for all.
 * newuids gets the new UIDs in order. Flags kept as handbook 02 §5.3, COPY. */
int append_copy(struct mailbox *src, struct mailbox *dst, const uint32_t *uids, size_t n, const char *userid,
                uint32_t dst_rights, uint32_t *newuids);

/* Quota check before an append (handbook 01 §6.5): IMAP_QUOTA_EXCEEDED or 0. */
struct quota_diffs { int64_t storage, message, annotstorage, numfolders; }; /* bytes, messages, bytes, folders; -1: do not check */
int append_check_quota(struct mailbox *, const struct quota_diffs *diffs);

#endif
