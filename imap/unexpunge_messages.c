/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unexpunge_messages -- expunged messages come back under new UIDs
 *
 * Works inside the caller's transaction: new record, link to the message file, annotations and the end of the old record
 * are one change. A message whose file is missing or has another size is told and left as it is, the others go on. Nothing
 * of the old record is lost before the new one is there.
 */
#include <config.h>

#include "unexpunge_messages.h"

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "diskio.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mailbox_internal.h"
#include "seqset.h"
#include "xmalloc.h"

struct unexpunge {
    const struct unexpunge_args *args;
    struct index_record *todo;
    uint32_t ntodo, max;
    int slot; /* of args->flag; -1: none */
};

static bool is_wanted(const struct unexpunge_args *args, const struct index_record *rec)
{
    if (!(rec->internal_flags & FLAG_INTERNAL_EXPUNGED)) return false;
    if (rec->internal_flags & FLAG_INTERNAL_UNLINKED) return false;
    if (args->uids && !seqset_ismember(args->uids, rec->uid)) return false;
    return !args->since || rec->last_updated >= args->since;
}

static int choose(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct unexpunge *u = rock;

    (void)mailbox;
    if (!is_wanted(u->args, rec)) return 0;
    if (u->ntodo == u->max) return IMAP_AGAIN;
    u->todo = xgrow(u->todo, u->ntodo, sizeof(*u->todo));
    u->todo[u->ntodo++] = *rec;
    return 0;
}

static void tell(const struct unexpunge *u, const struct mailbox *mailbox, uint32_t olduid,
                 uint32_t newuid, int r)
{
    if (u->args->told) u->args->told(mailbox, olduid, newuid, r, u->args->rock);
}

/* A link is promised in the journal, so its source must be there. */
static int check_file(struct mailbox *mailbox, const struct index_record *rec)
{
    struct stat st;

    if (diskio_stat(mailbox_record_fname(mailbox, rec), &st)) return IMAP_IOERROR;
    return (uint64_t)st.st_size == rec->size ? 0 : IMAP_MAILBOX_BADFORMAT;
}

static int append_again(struct unexpunge *u, struct mailbox *mailbox, struct index_record *old,
                        struct index_record *rec)
{
    struct buf cache = BUF_INITIALIZER;
    uint32_t crc;

    int r = mailbox_cache_bytes(mailbox, old, &cache, &crc, &rec->cache_version);
    if (r) return r;
    rec->uid = rec->recno = 0;
    rec->modseq = 0;
    rec->last_updated = 0;
    rec->internal_flags &= ~(FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_NEEDS_CLEANUP);
    if (u->args->unset_deleted) rec->system_flags &= ~FLAG_DELETED;
    if (u->slot >= 0) index_record_set_user_flag(rec, u->slot, true);
    time_t appended = mailbox_index_header(mailbox)->last_appenddate;
    r = mailbox_append_record(mailbox, rec, NULL, &cache, 0);
    struct mailbox_header_update keep = { .set_append = true, .last_appenddate = appended };
    return r ? r : mailbox_update_header(mailbox, &keep);
}

static int restore(struct unexpunge *u, struct mailbox *mailbox, struct index_record *old)
{
    struct index_record rec = *old;
    char *from = xstrdup(mailbox_record_fname(mailbox, old));

    int r = append_again(u, mailbox, old, &rec);
    if (!r) txn_link(mailbox_txn(mailbox), from, mailbox_record_fname(mailbox, &rec));
    if (!r) mailbox_note_file(mailbox, rec.uid, NULL, 0, from);
    if (!r && mailbox_has_annotations(mailbox)) r = annotate_msg_copy_all(mailbox, old->uid, &rec);
    old->internal_flags |= FLAG_INTERNAL_UNLINKED | FLAG_INTERNAL_NEEDS_CLEANUP;
    if (!r) r = mailbox_rewrite_record(mailbox, old, 0);
    if (!r) tell(u, mailbox, old->uid, rec.uid, 0);
    free(from);
    return r;
}

int unexpunge_messages(struct mailbox *mailbox, const struct unexpunge_args *args,
                       uint32_t since_uid, uint32_t max, uint32_t *restored, uint32_t *last)
{
    struct unexpunge u = { .args = args, .max = max, .slot = -1 };

    *restored = 0;
    int r = mailbox_foreach(mailbox, since_uid, 0, 0, choose, &u);
    if (r == IMAP_AGAIN) r = 0;
    if (!r && u.ntodo && args->flag)
        r = mailbox_user_flag(mailbox, args->flag, &u.slot, true, false);
    for (uint32_t i = 0; !r && i < u.ntodo; i++) {
        int bad = check_file(mailbox, &u.todo[i]);

        *last = u.todo[i].uid;
        if (bad) {
            tell(&u, mailbox, u.todo[i].uid, 0, bad);
            continue;
        }
        r = restore(&u, mailbox, &u.todo[i]);
        if (!r) ++*restored;
    }
    free(u.todo);
    return r;
}
