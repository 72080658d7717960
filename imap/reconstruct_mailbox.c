/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_mailbox -- one mailbox from its opening to the commit
 *
 * Everything is found and staged in one transaction. A dry run is the same, and aborted at the end, so both say the
 * same and a dry run can change nothing.
 *
 * Files that no live record explains may wait for their removal at the next checkpoint (txn.h). Before one of them is taken for a lost message,
 * a checkpoint runs, and the mailbox must come out of it unchanged.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "annotate.h"
#include "conversations.h"
#include "crc32.h"
#include "diskio.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "mboxlist.h"
#include "quota_fix.h"
#include "reconstruct_internal.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define TRIES 10

/* The mailbox at the moment of a checkpoint. */
struct moment {
    bool known;
    uint32_t generation;
    modseq_t highestmodseq;
};

/* ---- before anything is decided ---- */

/* A mailbox loses so many messages at once, or a fifth of them, only when the operator has said so. */
#define LOST_MAX 10
#define LOST_SHARE 5

static int compare_uid(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = ((const struct message_file *)b)->rec.uid;

    return x < y ? -1 : x > y;
}

static int survey_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct repair *rp = rock;

    (void)mailbox;
    if (rec->internal_flags & FLAG_INTERNAL_EXPUNGED) return 0;
    rp->live++;
    const struct message_file *file = rp->files.n ? bsearch(&rec->uid, rp->files.file, rp->files.n,
                                                            sizeof(*rp->files.file), compare_uid)
                                                  : NULL;
    if (!file || !file->size) rp->lost++;
    return 0;
}

static bool has_unexplained_files(struct repair *rp)
{
    struct index_record rec;

    if (rp->files.ntwice) return true;
    for (size_t i = 0; i < rp->files.n; i++) {
        if (mailbox_find_uid(rp->mailbox, rp->files.file[i].rec.uid, &rec) ||
            (rec.internal_flags & FLAG_INTERNAL_UNLINKED))
            return true;
    }
    return false;
}

/* IMAP_AGAIN: a checkpoint first. */
static int settle(struct repair *rp, struct moment *moment)
{
    const struct index_header *hdr = mailbox_index_header(rp->mailbox);

    if (!has_unexplained_files(rp)) return 0;
    if (moment->known && moment->generation == hdr->generation_no &&
        moment->highestmodseq == hdr->highestmodseq)
        return 0;
    *moment = (struct moment){ true, hdr->generation_no, hdr->highestmodseq };
    return IMAP_AGAIN;
}

static int refuse(struct repair *rp, const char *why)
{
    reconstruct_say(rp->rc, "%s: %s, left alone", mailbox_name(rp->mailbox), why);
    rp->rc->left++;
    return IMAP_IOERROR;
}

/*
 * A partition that is not mounted, or was put back from an old copy, must not look like a mailbox that lost its messages:
 * what is expunged here is expunged on its replicas, too.
 */
static int check_presence(struct repair *rp)
{
    const struct mailbox_salvage *s = &rp->salvage;

    if (rp->rc->flags & RECONSTRUCT_ACCEPT_LOSS) return 0;
    if (s->index_missing && s->header_missing && !rp->files.n)
        return refuse(rp, reconstruct_partition_isused(mailbox_partition(rp->mailbox))
                              ? "nothing of it is there (--accept-loss makes it empty)"
                              : "its partition is empty; is it mounted?");
    if (rp->rc->flags & RECONSTRUCT_KEEP_LOST) return 0;
    if (rp->lost >= 2 && rp->lost >= rp->live)
        return refuse(rp, "none of its message files is there; is the partition mounted? "
                          "(--accept-loss expunges them)");
    if (rp->lost > LOST_MAX && rp->lost * LOST_SHARE > rp->live) {
        reconstruct_say(rp->rc, "%s: %u of %u messages not found", mailbox_name(rp->mailbox),
                        rp->lost, rp->live);
        return refuse(rp, "too many of its message files are missing (--accept-loss expunges them)");
    }
    return 0;
}

/* ---- header, odd files, counts, annotations ---- */

static void say_salvage(struct repair *rp)
{
    const struct mailbox_salvage *s = &rp->salvage;
    const char *name = mailbox_name(rp->mailbox);

    if (s->index_missing || s->index_damaged) {
        reconstruct_say(rp->rc, "%s: failed to read index header", name);
        if (mailbox_userid(rp->mailbox)) strarray_add(&rp->rc->users, mailbox_userid(rp->mailbox));
        rp->recount = rp->changed = true;
    }
    if (s->header_missing) {
        reconstruct_say(rp->rc, "%s: failed to read cyrus.header, made from mailboxes.db", name);
        rp->changed = true;
    }
    if (s->lost_flags)
        reconstruct_say(rp->rc,
                        "%s: the names of %u user flags are lost, they are UnknownFlag<slot> now",
                        name, s->lost_flags);
}

static uint32_t crc_of_header(struct mailbox *mailbox)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct buf path = BUF_INITIALIZER;
    uint32_t crc = 0;

    if (!mailbox_path_meta(&mailbox->place, META_HEADER, &path) &&
        !diskio_map_file(buf_cstring(&path), &map, NULL))
        crc = crc32_map(map.base ? map.base : "", map.len);
    diskio_map_free(&map);
    buf_free(&path);
    return crc;
}

/* cyrus.header beside mailboxes.db, which has the truth, and beside the index, which has its CRC. */
static int fix_header(struct repair *rp)
{
    struct mailbox *mailbox = rp->mailbox;
    const struct mailbox_header *h = &mailbox->header;
    const mbentry_t *entry = mailbox_mbentry(mailbox);
    const struct {
        const char *what, *was, *is;
    } copies[] = { { "name", h->name, entry->name },
                   { "uniqueid", h->uniqueid, entry->uniqueid ? entry->uniqueid : h->uniqueid },
                   { "acl", h->acl ? h->acl : "", entry->acl ? entry->acl : "" } };
    bool wrong = false;

    if (rp->salvage.header_missing) return 0;
    for (size_t i = 0; i < array_size(copies); i++) {
        if (!copies[i].was || !strcmpnull(copies[i].was, copies[i].is)) continue;
        reconstruct_say(rp->rc, "Wrong %s in header, fixing %s (%s -> %s)", copies[i].what,
                        entry->name, copies[i].was, copies[i].is);
        wrong = true;
    }
    bool known = !rp->salvage.index_missing && !rp->salvage.index_damaged;
    if (!wrong && known && mailbox->hdr.header_file_crc != crc_of_header(mailbox)) {
        reconstruct_say(rp->rc, "%s: updating header_crc %" PRIu32 " => %" PRIu32, entry->name,
                        mailbox->hdr.header_file_crc, crc_of_header(mailbox));
        wrong = true;
    }
    if (!wrong) return 0;
    rp->changed = true;
    char *acl = xstrdupnull(entry->acl);
    int r = mailbox_set_acl(mailbox, acl); /* writes it, whatever was wrong */
    free(acl);
    return r;
}

static void odd_files(struct repair *rp)
{
    unsigned flags = rp->rc->flags;

    if (flags & RECONSTRUCT_IGNORE_ODD) return;
    for (int i = 0; i < strarray_size(&rp->files.odd); i++) {
        const char *path = strarray_nth(&rp->files.odd, i);

        reconstruct_say(rp->rc, "%s odd file %s", mailbox_name(rp->mailbox), path);
        if (flags & RECONSTRUCT_REMOVE_ODD) {
            txn_unlink(mailbox_txn(rp->mailbox), path);
            rp->changed = true;
        }
        else {
            reconstruct_say(rp->rc, "run reconstruct with -O to remove odd files");
            rp->rc->left++;
        }
    }
}

static int two_files(struct repair *rp)
{
    struct mailbox *mailbox = rp->mailbox;
    int r = 0;

    for (size_t i = 0; !r && i < rp->files.ntwice; i++) {
        const struct message_file *file = &rp->files.twice[i];
        struct index_record a = { .uid = file->rec.uid,
                                  .recno = UINT32_MAX,
                                  .size = (uint32_t)file->size },
                            b = a;
        struct buf spool = BUF_INITIALIZER, archive = BUF_INITIALIZER;

        b.internal_flags = FLAG_INTERNAL_ARCHIVED;
        bool same = !mailbox_map_record(mailbox, &a, &spool) &&
                    !mailbox_map_record(mailbox, &b, &archive) && buf_equal(&spool, &archive);
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " is in spool and archive%s",
                        mailbox_name(mailbox), a.uid, same ? "" : ", the files differ, left alone");
        if (same) txn_unlink_lazy(mailbox_txn(mailbox), mailbox_record_fname(mailbox, &b));
        rp->changed |= same;
        rp->rc->left += !same;
        buf_free(&spool);
        buf_free(&archive);
    }
    return r;
}

struct orphans {
    struct mailbox *mailbox;
    uint32_t *uids;
    size_t n;
};

static int collect_orphan(const char *mboxname, uint32_t uid, const struct annotation *annot,
                          void *rock)
{
    struct orphans *o = rock;
    struct index_record rec;

    (void)mboxname;
    (void)annot;
    if (!uid || (o->n && o->uids[o->n - 1] == uid)) return 0;
    if (!mailbox_find_uid(o->mailbox, uid, &rec) && !(rec.internal_flags & FLAG_INTERNAL_UNLINKED))
        return 0;
    o->uids = xgrow(o->uids, o->n, sizeof(*o->uids));
    o->uids[o->n++] = uid;
    return 0;
}

static int orphaned_annotations(struct repair *rp)
{
    struct orphans o = { .mailbox = rp->mailbox };

    if (!mailbox_has_annotations(rp->mailbox)) return 0;
    int r = annotate_msg_foreach(rp->mailbox, 0, collect_orphan, &o);
    for (size_t i = 0; !r && i < o.n; i++) {
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " annotations without a message, removing",
                        mailbox_name(rp->mailbox), o.uids[i]);
        r = annotate_msg_delete(rp->mailbox, o.uids[i]);
        rp->changed = true;
    }
    free(o.uids);
    return r;
}

static void say_count(struct repair *rp, const char *what, uint64_t was, uint64_t is)
{
    if (was == is) return;
    reconstruct_say(rp->rc, "%s%s %" PRIu64 " => %" PRIu64, mailbox_name(rp->mailbox), what, was,
                    is);
    rp->changed = true;
}

/* The texts are those of 3.6.1, colons included. */
static int recount(struct repair *rp)
{
    const struct index_header *is = mailbox_index_header(rp->mailbox), was = *is;

    int r = mailbox_recalc_counters(rp->mailbox);
    if (r) return r;
    say_count(rp, " updating quota_mailbox_used:", was.quota_mailbox_used, is->quota_mailbox_used);
    say_count(rp, " updating quota_annot_used:", was.quota_annot_used, is->quota_annot_used);
    say_count(rp, ": updating answered", was.answered, is->answered);
    say_count(rp, ": updating flagged", was.flagged, is->flagged);
    say_count(rp, ": updating deleted", was.deleted, is->deleted);
    say_count(rp, ": updating unseen", was.unseen, is->unseen);
    say_count(rp, ": updating exists", was.exists, is->exists);
    say_count(rp, ": updating sync_crc", was.sync_crc_basic, is->sync_crc_basic);
    say_count(rp, ": updating sync_crc_annot", was.sync_crc_annot, is->sync_crc_annot);
    return 0;
}

/* ---- the whole ---- */

static int inspect(struct repair *rp, struct moment *moment)
{
    int r = reconstruct_list_files(rp->mailbox, &rp->files);
    if (!r) r = settle(rp, moment);
    if (!r) r = mailbox_foreach(rp->mailbox, 0, 0, 0, survey_record, rp);
    if (!r) r = check_presence(rp);
    if (r) return r;
    say_salvage(rp);
    r = fix_header(rp);
    odd_files(rp);
    if (!r) r = two_files(rp);
    if (!r) r = reconstruct_wipe(rp);
    if (!r) r = reconstruct_walk(rp);
    if (!r) r = orphaned_annotations(rp);
    if (!r) r = recount(rp);
    return r ? r : reconstruct_entry(rp);
}

static void note_recounts(const struct repair *rp)
{
    const char *userid = mailbox_userid(rp->mailbox), *root = mailbox_quotaroot(rp->mailbox);

    if (!rp->recount) return;
    if (userid) strarray_add(&rp->rc->users, userid);
    if (root) strarray_add(&rp->rc->quotaroots, root);
}

static int attempt(struct reconstruct *rc, const char *name, struct moment *moment)
{
    struct repair rp = { .rc = rc };
    mbentry_t *entry = NULL;
    struct txn *txn = NULL;
    char *userid = mboxname_to_userid(name);

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_lookup(name, &entry, txn);
    char *owner = r ? NULL : mailbox_directory_owner(entry, txn);
    if (owner) {
        r = reconstruct_separate(rc, txn, entry, owner);
        if (!r && !reconstruct_dryrun(&rp)) r = txn_commit(&txn, NULL);
    }
    else {
        if (!r) r = mailbox_open_salvage(txn, entry, &rp.salvage, &rp.mailbox);
        if (!r) r = inspect(&rp, moment);
        if (!r && rp.changed && !reconstruct_dryrun(&rp)) {
            note_recounts(&rp);
            r = txn_commit(&txn, NULL);
        }
    }
    free(owner);
    reconstruct_free_files(&rp.files);
    free(rp.channel);
    free(rp.add);
    free(rp.again);
    txn_abort(&txn);
    mbentry_free(&entry);
    free(userid);
    return r;
}

int reconstruct_mailbox(struct reconstruct *rc, const char *name)
{
    struct moment moment = { false, 0, 0 };
    int r = IMAP_AGAIN;

    for (int i = 0; r == IMAP_AGAIN && i < TRIES; i++) {
        if (moment.known) {
            r = txn_checkpoint_again();
            if (r) return r;
        }
        r = attempt(rc, name, &moment);
    }
    if (r && r != IMAP_MAILBOX_NONEXISTENT) rc->failed++;
    return r;
}

int reconstruct_version(struct reconstruct *rc, const char *name, int version, int *was)
{
    struct mailbox *mailbox;
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = mailbox_open_iwl(txn, name, &mailbox);
    if (!r) {
        *was = (int)mailbox_index_header(mailbox)->minor_version;
        r = mailbox_set_version(mailbox, version);
    }
    if (!r && !(rc->flags & RECONSTRUCT_DRYRUN)) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* ---- what goes beyond the mailboxes ---- */

static int recount_user(const char *userid)
{
    int r = conversations_rebuild_now(userid, NULL, NULL);

    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static void log_root(const char *mailbox, const char *was, const char *is, void *rock)
{
    (void)rock;
    syslog(LOG_NOTICE, "%s: quota root %s => %s", mailbox, was ? was : "(none)",
           is ? is : "(none)");
}

static void log_used(const char *root, enum quota_resource res, int64_t was, int64_t is, void *rock)
{
    (void)rock;
    syslog(LOG_NOTICE, "quota root %s: usage of resource %d was %" PRId64 " now %" PRId64, root,
           (int)res, was, is);
}

static void log_removed(const char *root, void *rock)
{
    (void)rock;
    syslog(LOG_NOTICE, "quota root %s: no mailbox counts for it, removed", root);
}

static void log_unreadable(const char *mailbox, int r, void *rock)
{
    (void)rock;
    syslog(LOG_ERR, "IOERROR: %s: can't be counted for its quota root: %s", mailbox,
           error_message(r));
}

int reconstruct_finish(struct reconstruct *rc)
{
    const struct quota_fix_events events = {
        .root = log_root, .used = log_used, .removed = log_removed, .unreadable = log_unreadable
    };
    int first = 0;

    for (int i = 0; i < strarray_size(&rc->users); i++) {
        int r = recount_user(strarray_nth(&rc->users, i));

        if (!r) continue;
        xsyslog_errno(LOG_ERR, 0,
                      "IOERROR: conversations not counted anew, needs ctl_conversationsdb -R",
                      "userid=<%s> error=<%s>", strarray_nth(&rc->users, i), error_message(r));
        if (!first) first = r;
    }
    for (int i = 0; i < strarray_size(&rc->quotaroots); i++) {
        int r = quota_fix(strarray_nth(&rc->quotaroots, i), false, &events);

        if (!first) first = r;
    }
    strarray_fini(&rc->users);
    strarray_fini(&rc->quotaroots);
    return first;
}
