/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append_copy -- messages of one mailbox get a second place in another
 *
 * Message files are linked where both mailboxes lie on one file system, and copied where not; cache
 * records are copied as bytes. A copy has its own UID, modseq and savedate, and keeps dates,
 * GUID, conversation (of the same user), flags as far as the rights in the target go, and
 * annotations. Handbook 02 §5.3. One pass, no system call per message but where a file must
 * be copied.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "append_internal.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxname.h"
#include "sync_log.h"
#include "xmalloc.h"

struct copy {
    struct mailbox *src, *dst;
    const char *userid;
    uint32_t rights;
    struct seen_view *seen; /* of the copier in src */
    bool same_user, same_root[2], has_annots;
    bool mapped[MAX_USER_FLAGS];
    int slot[MAX_USER_FLAGS]; /* of a flag of src in dst; -1: none */
};

/* ---- flags ---- */

/* A flag for which dst has no slot left is not copied. */
static int map_flag(struct copy *c, int slot)
{
    const char *name = strarray_nth(mailbox_flagnames(c->src), slot);

    if (!c->mapped[slot]) {
        c->mapped[slot] = true;
        c->slot[slot] = -1;
        if (name && mailbox_user_flag(c->dst, name, &c->slot[slot], true, false))
            c->slot[slot] = -1;
    }
    return c->slot[slot];
}

static void copy_user_flags(struct copy *c, const struct index_record *from,
                            struct index_record *to)
{
    memset(to->user_flags, 0, sizeof(to->user_flags));
    if (!(c->rights & ACL_WRITE)) return;
    for (int word = 0; word < MAX_USER_FLAG_WORDS; word++) {
        if (!from->user_flags[word]) continue;
        for (int slot = word * 32; slot < word * 32 + 32; slot++) {
            int target = index_record_user_flag(from, slot) ? map_flag(c, slot) : -1;

            if (target >= 0) index_record_set_user_flag(to, target, true);
        }
    }
}

/* *seen: the copier's \Seen goes to his seen.db. */
static void copy_flags(struct copy *c, const struct index_record *from, struct index_record *to,
                       bool *seen)
{
    bool wasseen = (c->rights & ACL_SETSEEN) && seen_view_isseen(c->seen, from);

    to->system_flags = 0;
    if (c->rights & ACL_WRITE)
        to->system_flags |= from->system_flags & FLAGS_SYSTEM & ~(uint32_t)FLAG_DELETED;
    if (c->rights & ACL_DELETEMSG) to->system_flags |= from->system_flags & FLAG_DELETED;
    *seen = mailbox_seen_in_record(c->dst, c->userid, wasseen, to);
    copy_user_flags(c, from, to);
}

/* ---- files ---- */

static int copy_bytes(struct copy *c, const struct index_record *from,
                      const struct index_record *to, char *path)
{
    bool archived = to->internal_flags & FLAG_INTERNAL_ARCHIVED;
    const char *partition = mailbox_partition(c->dst);
    const char *root = archived ? partition_archiveroot(partition) : partition_root(partition);
    struct txn_staged *staged;
    struct buf msg = BUF_INITIALIZER;
    struct txn *txn = mailbox_txn(c->dst);

    if (!root) return IMAP_PARTITION_UNKNOWN;
    int r = mailbox_map_record(c->src, from, &msg);
    if (r) return r;
    char *copy = NULL;
    if (buf_len(&msg) <= config_getbytesize(IMAPOPT_JOURNAL_INLINE_SIZE)) {
        copy = xmemdup(buf_base(&msg), buf_len(&msg));
        txn_on_done(txn, append_free_bytes, copy);
    }
    r = txn_stage(txn, root, copy ? copy : buf_base(&msg), buf_len(&msg), MAILBOX_FILE_MODE,
                  to->internaldate, &staged);
    if (!r) {
        txn_place(txn, staged, path);
        mailbox_note_file(c->dst, to->uid, copy, buf_len(&msg), txn_staged_path(staged));
    }
    buf_free(&msg);
    return r;
}

void append_free_bytes(uint64_t lsn, void *rock)
{
    (void)lsn;
    free(rock);
}

static int copy_file(struct copy *c, const struct index_record *from, const struct index_record *to)
{
    bool archived = to->internal_flags & FLAG_INTERNAL_ARCHIVED;
    char *path = xstrdup(mailbox_record_fname(c->dst, to));
    int r = 0;

    if (c->same_root[archived]) {
        const struct staged_record *staged = mailbox_staged(c->src, from->recno);
        const char *source = mailbox_record_fname(c->src, from);

        txn_link(mailbox_txn(c->dst), source, path);
        if (staged && (staged->file.base || staged->file.path))
            mailbox_note_file(c->dst, to->uid, staged->file.base, staged->file.len,
                              staged->file.path);
        else
            mailbox_note_file(c->dst, to->uid, NULL, 0, source);
    }
    else {
        r = copy_bytes(c, from, to, path);
    }
    free(path);
    return r;
}

/* ---- one message ---- */

static int copy_record(struct copy *c, struct index_record *from, uint32_t *newuid)
{
    struct index_record rec = *from;
    struct buf cache = BUF_INITIALIZER;
    uint32_t crc;
    bool seen;

    int r = mailbox_cache_bytes(c->src, from, &cache, &crc, &rec.cache_version);
    if (r) return r;
    rec.uid = rec.recno = 0;
    rec.modseq = rec.createdmodseq = 0;
    rec.last_updated = rec.savedate = 0;
    rec.internal_flags &= FLAG_INTERNAL_ARCHIVED;
    if (!c->same_user) rec.cid = 0;
    copy_flags(c, from, &rec, &seen);
    r = mailbox_append_record(c->dst, &rec, NULL, &cache, 0);
    if (!r) r = copy_file(c, from, &rec);
    if (!r && seen) r = mailbox_set_seen(c->dst, c->userid, rec.uid);
    if (!r && c->has_annots) r = annotate_msg_copy(c->src, from->uid, c->dst, rec.uid, c->userid);
    *newuid = rec.uid;
    return r;
}

static bool roots_equal(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static int begin_copy(struct copy *c)
{
    const char *from = mailbox_partition(c->src), *to = mailbox_partition(c->dst);
    bool links = config_getswitch(IMAPOPT_SINGLEINSTANCESTORE);

    c->same_root[0] = links && roots_equal(partition_root(from), partition_root(to));
    c->same_root[1] = links && roots_equal(partition_archiveroot(from), partition_archiveroot(to));
    c->same_user = !strcmpnull(mailbox_userid(c->src), mailbox_userid(c->dst));
    c->has_annots = mailbox_has_annotations(c->src);
    int r = mailbox_begin_change(c->dst);
    return r ? r : seen_view_open(c->src, c->userid, &c->seen);
}

int append_copy(struct mailbox *src, struct mailbox *dst, const uint32_t *uids, size_t n,
                const char *userid, uint32_t dst_rights, uint32_t *newuids)
{
    struct copy c = { .src = src, .dst = dst, .userid = userid, .rights = dst_rights };
    struct index_record rec;

    int r = begin_copy(&c);
    for (size_t i = 0; !r && i < n; i++) {
        r = mailbox_find_uid(src, uids[i], &rec);
        if (!r && (rec.internal_flags & FLAG_INTERNAL_UNLINKED)) r = IMAP_NOTFOUND;
        if (!r) r = append_check_limit(dst);
        if (!r) r = copy_record(&c, &rec, &newuids[i]);
    }
    seen_view_free(&c.seen);
    if (!r && n && src != dst)
        sync_log_mailbox_double(mailbox_txn(dst), mailbox_name(src), mailbox_name(dst));
    return r;
}
