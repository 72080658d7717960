/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_full_apply -- the changes of a full update on our side, in one transaction
 *
 * What the walk decides is done at once where the UID stays; what gets a new UID is
 * remembered and done in the order found, after LAST_UID has passed that of both ends. Every
 * change takes a modseq above those of both ends, so the next update sends it.
 */
#include <config.h>

#include "sync_client_full.h"

#include <stdlib.h>
#include <string.h>

#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "sync_apply.h"
#include "sync_client.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- remembering ---- */

static void decided(struct full *full, uint32_t uid, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void decided(struct full *full, uint32_t uid, const char *fmt, ...)
{
    va_list args;

    if (!full->sc->verbose && !full->sc->log) return;
    buf_printf(&full->said, "%u: ", uid);
    va_start(args, fmt);
    buf_vprintf(&full->said, fmt, args);
    va_end(args);
    buf_putc(&full->said, '\n');
}

/* theirs of this step is read again when the action is done. */
static void add_action(struct full *full, enum full_action_kind kind, uint32_t uid)
{
    full->actions = full_grow(full->actions, full->nactions, sizeof(*full->actions));
    full->actions[full->nactions++] = (struct full_action){ kind, uid, full->step.at };
}

static void add_kuid(struct full *full, uint32_t uid)
{
    full->kuids = full_grow(full->kuids, full->nkuids, sizeof(*full->kuids));
    full->kuids[full->nkuids++] = uid;
}

/* ---- the walk ---- */

/* Numbers of a record that is new or changed here; ours from now on. */
static int renew(struct full *full, struct index_record *rec)
{
    rec->modseq = mailbox_next_modseq(full->mailbox);
    rec->last_updated = mailbox_txn_time(full->mailbox);
    return rec->modseq ? 0 : IMAP_IOERROR;
}

static int take_flags(struct full *full, struct sync_record *ours, struct sync_record *theirs)
{
    struct index_record rec = ours->rec;

    syslog(LOG_NOTICE, "record mismatch with replica: %s more recent on replica: uid=<%u>",
           full->name, rec.uid);
    decided(full, rec.uid, "the replica's flags are newer");
    rec.system_flags = theirs->rec.system_flags;
    rec.cid = theirs->rec.cid;
    int r = sync_record_set_userflags(full->mailbox, &theirs->userflags, &rec);
    if (r) return r;
    sync_record_fit(theirs, mailbox_index_header(full->mailbox)->minor_version, &rec);
    r = sync_annots_store_message(full->mailbox, &rec, &theirs->annots);
    return r ? r : mailbox_rewrite_record(full->mailbox, &rec, 0);
}

static const char *bump_reason(const struct full *full, const struct sync_record *ours,
                               const struct sync_record *theirs)
{
    if (full->alike) return "has changed here meanwhile";
    if (!theirs) return "sent as new";
    return ours->rec.internal_flags & FLAG_INTERNAL_EXPUNGED ? "expunged here"
                                                             : "the flags here are newer";
}

static int do_ours(struct full *full, enum full_ours what, struct sync_record *ours,
                   struct sync_record *theirs)
{
    struct index_record rec;

    if (what == FULL_OURS_KEEP) return 0;
    rec = ours->rec;
    switch (what) {
    case FULL_OURS_BUMP:
        decided(full, rec.uid, "%s", bump_reason(full, ours, theirs));
        return mailbox_rewrite_record(full->mailbox, &rec, 0);
    case FULL_OURS_EXPUNGE:
        decided(full, rec.uid, "expunged on the replica");
        return mailbox_expunge_record(full->mailbox, &rec, 0);
    case FULL_OURS_TAKE: return take_flags(full, ours, theirs);
    case FULL_OURS_RENUMBER:
        if (theirs)
            syslog(LOG_ERR, "SYNCERROR: guid mismatch: mailbox=<%s> uid=<%u>", full->name, rec.uid);
        else
            syslog(LOG_NOTICE, "SYNCNOTICE: record only exists on master: mailbox=<%s> uid=<%u>",
                   full->name, rec.uid);
        add_action(full, FULL_ACTION_RENUMBER, rec.uid);
        return 0;
    case FULL_OURS_KEEP: break;
    }
    return 0;
}

static int do_theirs(struct full *full, enum full_theirs what, struct sync_record *theirs)
{
    if (what == FULL_THEIRS_KEEP) return 0;
    if (what == FULL_THEIRS_EXPUNGE || full_is_lost(full, &theirs->rec.guid)) {
        decided(full, theirs->rec.uid, "%s, is expunged on the replica",
                what == FULL_THEIRS_EXPUNGE ? "was here before"
                                            : "the replica has lost the message");
        add_action(full, FULL_ACTION_EXPUNGE, theirs->rec.uid);
        return 0;
    }
    const char *path = full_fetched(full, &theirs->rec.guid);
    if (!path) return IMAP_AGAIN; /* the dry pass did not know of it */
    if (what == FULL_THEIRS_COPYBACK) {
        add_action(full, FULL_ACTION_COPYBACK, theirs->rec.uid);
        return 0;
    }
    decided(full, theirs->rec.uid, "new on the replica, comes here");
    int r = renew(full, &theirs->rec);
    return r ? r : sync_append_file(full->mailbox, theirs, path);
}

static int real_step(struct full *full, struct full_decision d, struct sync_record *ours,
                     struct sync_record *theirs)
{
    int r = d.theirs_first ? do_theirs(full, d.theirs, theirs) : 0;

    if (!r) r = do_ours(full, d.ours, ours, theirs);
    if (!r && !d.theirs_first) r = do_theirs(full, d.theirs, theirs);
    return r;
}

/* ---- new UIDs ---- */

static uint32_t next_uid(const struct full *full)
{
    return mailbox_index_header(full->mailbox)->last_uid + 1;
}

static int do_copyback(struct full *full, struct sync_record *theirs)
{
    const char *path = full_fetched(full, &theirs->rec.guid);
    uint32_t olduid = theirs->rec.uid;

    theirs->rec.uid = next_uid(full);
    theirs->rec.createdmodseq = full_created(&theirs->rec);
    decided(full, olduid, "only on the replica, comes here as %u", theirs->rec.uid);
    int r = renew(full, &theirs->rec);
    if (!r) r = sync_append_file(full->mailbox, theirs, path);
    add_kuid(full, olduid);
    return r;
}

static int do_renumber(struct full *full, uint32_t uid)
{
    struct index_record old;
    struct sync_record copy;
    int r = mailbox_find_uid(full->mailbox, uid, &old);

    if (!r) r = sync_record_read(full->mailbox, &old, &copy);
    if (r) return r;
    char *path = xstrdup(mailbox_record_fname(full->mailbox, &old));
    copy.rec.uid = next_uid(full);
    decided(full, uid, "this UID is not the replica's, becomes %u", copy.rec.uid);
    copy.rec.internal_flags &= ~(FLAG_INTERNAL_ARCHIVED | FLAG_INTERNAL_NEEDS_CLEANUP);
    r = renew(full, &copy.rec);
    if (!r) r = sync_append_file(full->mailbox, &copy, path);
    if (!r) r = mailbox_expunge_record(full->mailbox, &old, 0);
    sync_record_fini(&copy);
    free(path);
    return r;
}

static int do_actions(struct full *full)
{
    struct sync_spool_reader reader;
    int r = 0;

    sync_spool_open(&reader, &full->theirs);
    for (size_t i = 0; i < full->nactions && !r; i++) {
        const struct full_action *action = &full->actions[i];
        switch (action->kind) {
        case FULL_ACTION_EXPUNGE: add_kuid(full, action->uid); break;
        case FULL_ACTION_COPYBACK:
            r = sync_spool_read(&reader, action->at);
            if (!r) r = do_copyback(full, &reader.rec);
            break;
        case FULL_ACTION_RENUMBER: r = do_renumber(full, action->uid); break;
        }
    }
    sync_spool_close(&reader);
    return r;
}

/* ---- header, conversations, annotations ---- */

static int raise_header(struct full *full)
{
    const struct index_header *hdr = mailbox_index_header(full->mailbox);
    struct mailbox_header_update u = { 0 };
    int r = 0;

    if (full->remote.uidvalidity > hdr->uidvalidity) {
        u.set_uidvalidity = true;
        u.uidvalidity = full->remote.uidvalidity;
    }
    full->ahead = full->remote.highestmodseq > hdr->highestmodseq;
    if (full->ahead) {
        syslog(LOG_NOTICE,
               "SYNCNOTICE: highestmodseq higher on replica, updating: mailbox=<%s> %llu => %llu",
               full->name, (unsigned long long)hdr->highestmodseq,
               (unsigned long long)full->remote.highestmodseq + 1);
        u.set_modseqs = true;
        u.highestmodseq = full->remote.highestmodseq;
    }
    r = mailbox_update_header(full->mailbox, &u);
    if (!r && full->ahead && !mailbox_next_modseq(full->mailbox)) r = IMAP_IOERROR;
    return r;
}

static int raise_last_uid(struct full *full)
{
    struct mailbox_header_update u = { .set_lastuid = true,
                                       .last_uid = full->numbers.their_last_uid };

    return mailbox_update_header(full->mailbox, &u);
}

static int raise_foreign_modseqs(struct full *full)
{
    struct conversations_state *state = NULL;
    mbentry_t *entry = NULL;
    int r = 0;

    if (full->remote.xconvmodseq && config_getswitch(IMAPOPT_CONVERSATIONS) &&
        !mboxname_isdeletedmailbox(full->name, NULL)) {
        r = conversations_open_mbox(full->mailbox, &state);
        if (!r && state)
            r = conversation_setstatus_modseq(state, full->mailbox, full->remote.xconvmodseq,
                                              false);
    }
    if (r) return r;
    r = mboxlist_lookup(full->name, &entry, full->txn);
    if (!r && entry->foldermodseq < full->remote.foldermodseq) {
        entry->foldermodseq = full->remote.foldermodseq;
        r = mboxlist_update_entry(full->txn, full->name, entry);
    }
    mbentry_free(&entry);
    return r;
}

/* When the replica was ahead its values win; what only we have stays. */
static int merge_annots(struct full *full)
{
    struct sync_annots ours = SYNC_ANNOTS_INITIALIZER;
    const mbentry_t *mbentry = mailbox_mbentry(full->mailbox);

    if (!full->ahead || !full->remote.annots.n) return 0;
    int r = sync_annots_read_mailbox(mbentry, full->txn, &ours);
    for (size_t i = 0; i < ours.n && !r; i++) {
        const struct sync_annot *a = &ours.v[i];
        if (sync_annots_find(&full->remote.annots, a->entry, a->userid)) continue;
        sync_annots_add(&full->remote.annots, a->entry, a->userid, buf_base(&a->value),
                        buf_len(&a->value), a->modseq);
    }
    sync_annots_sort(&full->remote.annots);
    if (!r) r = sync_annots_store_mailbox(full->txn, mbentry, &full->remote.annots);
    sync_annots_fini(&ours);
    return r;
}

int full_real_pass(struct full *full)
{
    full->nactions = full->nkuids = 0;
    buf_reset(&full->said);
    full->txn = NULL;
    int r = txn_begin(&full->txn);
    if (!r) r = full_check_ours(full, mailbox_open_iwl(full->txn, full->name, &full->mailbox));
    if (!r) r = full_check_ranges(full);
    if (!r) r = raise_header(full);
    if (!r) r = raise_foreign_modseqs(full);
    if (!r) r = full_find_copies(full);
    if (!r) r = full_walk(full, real_step);
    if (!r) r = raise_last_uid(full);
    if (!r) r = merge_annots(full);
    if (!r) r = do_actions(full);
    if (!r) r = txn_commit(&full->txn, NULL);
    txn_abort(&full->txn);
    full->mailbox = NULL;
    return r;
}
