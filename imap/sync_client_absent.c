/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_absent -- what becomes of a mailbox that only the replica has (handbook 07 W044)
 *
 * | what is known here of its UNIQUEID           | done                                              |
 * | deleted                                      | deleted there, when nothing refers to it any more |
 * | deleted because it moved to that very server | stays                                             |
 * | alive, with another owner                    | stays; the run of that user renames it            |
 * | another mailbox took its place, or has its   | its messages come into that one; it is deleted    |
 * | name by chance                               | there when they are all in the other one. One     |
 * |                                              | that never had any takes no UIDVALIDITY with it   |
 * | never seen                                   | comes here, with all it has                       |
 * | records that are damaged, or prove nothing   | stays, and the run says so                        |
 *
 * The tree of deleted mailboxes is each server's own (handbook 03 §15.2): nothing of it is deleted or comes
 * here. With -O and in XFER nothing changes here.
 */
#include <config.h>

#include "sync_client_absent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxlist_former.h"
#include "mboxname.h"
#include "mbtype.h"
#include "quota.h"
#include "sync_annot.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_SUCCESSORS 16 /* identities of one mailbox, one after the other */

/* ---- it comes here ---- */

static int take_header(struct mailbox *mailbox, const struct sync_folder *f)
{
    struct mailbox_header_update u = { .set_recent = true,
                                       .set_append = true,
                                       .set_pop3 = true,
                                       .set_pop3_after = true,
                                       .recentuid = f->recentuid,
                                       .recenttime = f->recenttime,
                                       .last_appenddate = f->last_appenddate,
                                       .pop3_last_login = f->pop3_last_login,
                                       .pop3_show_after = f->pop3_show_after };

    return mailbox_update_header(mailbox, &u);
}

/* A quota root of its own would go with the next comparison of quotas, which takes ours for right. */
static int take_quota(struct txn *txn, const struct sync_state *state, const struct sync_folder *f)
{
    for (int i = 0; f->quotaroot && i < ptrarray_size(&state->quotas); i++) {
        const struct quota *q = ptrarray_nth(&state->quotas, i);
        if (!strcmp(q->root, f->name) && !strcmp(f->quotaroot, f->name))
            return mboxlist_setquotas(txn, f->name, q->limits, 0, true);
    }
    return 0;
}

static int take_seen(struct txn *txn, const struct sync_state *state, const char *userid,
                     const char *uniqueid)
{
    const struct sync_remote_seen *theirs = sync_seen_find(&state->seen, uniqueid);
    struct seendata sd = SEENDATA_INITIALIZER;

    if (!userid || !theirs) return 0;
    int r = seen_read(userid, uniqueid, &sd, txn);
    bool none = r == IMAP_MAILBOX_NONEXISTENT || (!r && !sd.lastuid && !sd.lastread);
    seen_freedata(&sd);
    return none ? seen_write(txn, userid, uniqueid, &theirs->sd) : 0;
}

/* The mailbox without messages; the full update finds them all to be the replica's alone. */
static int make_here(const struct sync_state *state, const struct sync_folder *f)
{
    struct mboxlist_createargs args = {
        .name = f->name,
        .mbtype = f->mbtype,
        .partition = partition_root(f->partition) ? f->partition : NULL,
        .acl = f->acl,
        .uniqueid = f->uniqueid,
        .uidvalidity = f->uidvalidity,
        .options = f->options,
        .highestmodseq = 1, /* the replica's is higher, and holds */
        .createdmodseq = f->createdmodseq,
        .foldermodseq = f->foldermodseq,
        .isadmin = true,
        .from_sync = true,
        .no_parents = true,
        .nocheck_quota = true,
    };
    struct mailbox *mailbox = NULL;
    struct txn *txn = NULL;
    char *userid = mboxname_to_userid(f->name);
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) quota_set_silent(txn);
    if (!r) r = mboxlist_createmailbox(txn, &args, &mailbox);
    if (!r) r = take_header(mailbox, f);
    if (!r) r = sync_annots_store_mailbox(txn, mailbox_mbentry(mailbox), &f->annots);
    if (!r) r = take_quota(txn, state, f);
    if (!r) r = take_seen(txn, state, userid, f->uniqueid);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(userid);
    return r;
}

static int copy_back(struct sync_client *sc, const struct sync_state *state,
                     const struct sync_folder *f, bool *againp)
{
    sync_client_say(sc, "COPYBACK %s", f->name);
    syslog(LOG_NOTICE, "SYNCNOTICE: mailbox exists only on the replica, comes here: mailbox=<%s> uniqueid=<%s>",
           f->name, f->uniqueid);
    int r = make_here(state, f);
    if (!r) r = sync_do_full(sc, f->name, f->uniqueid, NULL, state, NULL);
    if (!r) *againp = true;
    return r;
}

/* ---- its messages come into another one ---- */

/* From now on the identity is known here, whatever becomes of this run. */
static int note_replaced(const struct sync_folder *f, const mbentry_t *into)
{
    struct txn *txn = NULL;
    char *userid = mboxname_to_userid(f->name);
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_former_add(txn, f->uniqueid, f->name, into->uniqueid);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(userid);
    return r;
}

static int absorb(struct sync_client *sc, struct sync_remote *remote, const mbentry_t *into,
                  const struct sync_state *state)
{
    const struct sync_folder *f = &remote->folder;

    int r = 0;
    if (f->last_uid) {
        sync_client_say(sc, "MERGE %s (%s) -> %s (%s)", f->name, f->uniqueid, into->name, into->uniqueid);
        syslog(LOG_NOTICE,
               "SYNCNOTICE: another mailbox on the replica, its messages come here: mailbox=<%s> uniqueid=<%s> into=<%s> "
               "uniqueid=<%s>",
               f->name, f->uniqueid, into->name, into->uniqueid);
        r = sync_do_absorb(sc, into, f);
    } else { /* it has never had a message: ours keeps its numbers, nobody has anything of that one */
        syslog(LOG_NOTICE, "SYNCNOTICE: an empty mailbox on the replica makes way for ours: mailbox=<%s> uniqueid=<%s> into=<%s> uniqueid=<%s>",
               f->name, f->uniqueid, into->name, into->uniqueid);
    }
    if (!r) r = note_replaced(f, into);
    /* on the replica it goes when ours is there and up to date */
    if (!r)
        remote->fate = sync_state_find(state, into->uniqueid) ? SYNC_FATE_LATE : SYNC_FATE_MERGED;
    return r;
}

/* The mailbox that has come into the place of that one, maybe after others; NULL: none of the same owner is alive. */
static mbentry_t *successor(const char *name, const char *reason)
{
    mbentry_t *entry = NULL;
    char *next = xstrdup(reason + strlen(FORMER_REPLACED));

    for (int i = 0; next && i < MAX_SUCCESSORS; i++) {
        enum mboxlist_fate fate;
        mbentry_free(&entry);
        if (mboxlist_lookup_fate(next, name, 0, &fate, &entry)) break;
        xzfree(next);
        if (fate == MBOXLIST_ALIVE && mboxname_same_userid(entry->name, name) &&
            !mboxname_isdeletedmailbox(entry->name, NULL))
            return entry;
        const char *after = fate == MBOXLIST_DELETED && entry->reason ? entry->reason : "";
        if (!strncmp(after, FORMER_REPLACED, strlen(FORMER_REPLACED)))
            next = xstrdup(after + strlen(FORMER_REPLACED));
    }
    free(next);
    mbentry_free(&entry);
    return NULL;
}

/* ---- deciding ---- */

static bool moved_there(const struct sync_client *sc, const char *reason)
{
    size_t len = strlen(FORMER_MOVED);

    return reason && !strncmp(reason, FORMER_MOVED, len) &&
           sync_client_is_server(sc, reason + len);
}

static int was_deleted(struct sync_client *sc, struct sync_remote *remote, const mbentry_t *tomb,
                       const struct sync_state *state)
{
    const struct sync_folder *f = &remote->folder;
    const char *reason = tomb->reason ? tomb->reason : "";
    bool replaced = !strncmp(reason, FORMER_REPLACED, strlen(FORMER_REPLACED));
    mbentry_t *into = replaced ? successor(f->name, reason) : NULL;
    int r = 0;

    if (into && !sc->nocopyback && !sc->proxy)
        r = absorb(sc, remote, into, state);
    else if (into)
        ; /* an update with force takes its place */
    else if (moved_there(sc, tomb->reason))
        syslog(LOG_NOTICE, "SYNCNOTICE: %s has moved to the replica, it stays there", f->name);
    else
        remote->fate = SYNC_FATE_DELETE;
    mbentry_free(&into);
    return r;
}

static void stays(const struct sync_folder *f, const char *why)
{
    syslog(LOG_ERR, "no tombstone for deleted mailbox %s (%s)", f->name, why);
}

static int decide(struct sync_client *sc, struct sync_remote *remote,
                  const struct sync_state *state, bool *againp)
{
    const struct sync_folder *f = &remote->folder;
    bool change = !sc->nocopyback && !sc->proxy && sync_folder_is_plain(f);
    enum mboxlist_fate fate;
    mbentry_t *entry = NULL;

    if (mboxname_isdeletedmailbox(f->name, NULL)) return 0;
    int r = mboxlist_lookup_fate(f->uniqueid, f->name, f->createdmodseq, &fate, &entry);
    if (r) return r;
    switch (fate) {
    case MBOXLIST_DELETED: r = was_deleted(sc, remote, entry, state); break;
    case MBOXLIST_ALIVE:
        syslog(LOG_NOTICE, "SYNCNOTICE: %s on the replica is %s here, it is not deleted", f->name,
               entry->name);
        break;
    case MBOXLIST_NAME_TAKEN:
        if (change) r = absorb(sc, remote, entry, state);
        break;
    case MBOXLIST_NEVER_SEEN:
        if (change)
            r = copy_back(sc, state, f, againp);
        else
            stays(f, error_message(IMAP_MAILBOX_NONEXISTENT));
        break;
    case MBOXLIST_UNKNOWN: stays(f, "other records of this name prove nothing"); break;
    case MBOXLIST_DAMAGED: r = IMAP_MAILBOX_BADFORMAT; break;
    }
    mbentry_free(&entry);
    return r;
}

int sync_absent_decide(struct sync_client *sc, struct sync_state *state, bool *againp)
{
    int first = 0;

    for (int i = 0; i < ptrarray_size(&state->folders) && !sc->broken; i++) {
        struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        if (remote->mark) continue;
        int r = decide(sc, remote, state, againp);
        if (!r) continue;
        syslog(LOG_ERR, "IOERROR: mailbox that only the replica has is left as it is: mailbox=<%s> error=<%s>",
               remote->folder.name, error_message(r));
        if (sc->complain)
            fprintf(stderr, "%s: only on the replica, left there: %s\n", remote->folder.name,
                    sync_client_errtext(sc, r));
        if (!first) first = r;
    }
    return first;
}

/* ---- doing it ---- */

int sync_absent_unmailbox(struct sync_client *sc, const char *name, const char *uniqueid)
{
    const char *cmd = sc->localonly ? "LOCAL_UNMAILBOX" : "UNMAILBOX";
    struct dlist *dl;

    sync_client_say(sc, "%s %s", cmd, name);
    if (uniqueid && sc->backend && backend_has(sc->backend, BACKEND_CAPA_UNMAILBOXES)) {
        dl = dlist_newlist(NULL, sc->localonly ? "LOCAL_UNMAILBOXES" : "UNMAILBOXES");
        struct dlist *item = dlist_newkvlist(dl, NULL);
        dlist_setatom(item, "MBOXNAME", name);
        dlist_setatom(item, "UNIQUEID", uniqueid);
    } else {
        dl = dlist_newatom(NULL, cmd, name);
    }
    int r = sync_client_command(sc, "APPLY", dl, NULL, NULL);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

int sync_absent_remove(struct sync_client *sc, struct sync_state *state, enum sync_fate fate)
{
    int r = 0;

    /* children first: an INBOX leads to the files of its user */
    for (int i = ptrarray_size(&state->folders) - 1; i >= 0 && !r; i--) {
        struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        if (remote->mark || remote->fate != fate) continue;
        r = sync_absent_unmailbox(sc, remote->folder.name, remote->folder.uniqueid);
        if (!r) remote->fate = SYNC_FATE_GONE;
    }
    return r;
}

bool sync_absent_merged(const struct sync_state *state)
{
    for (int i = 0; i < ptrarray_size(&state->folders); i++) {
        const struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        if (remote->fate == SYNC_FATE_MERGED) return true;
    }
    return false;
}

/* ---- whole users ---- */

static int is_proved(const struct sync_client *sc, const struct sync_folder *f, bool *proved)
{
    enum mboxlist_fate fate;
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup_fate(f->uniqueid, f->name, f->createdmodseq, &fate, &entry);

    *proved = !r && ((fate == MBOXLIST_DELETED && !moved_there(sc, entry->reason)) ||
                     (fate == MBOXLIST_ALIVE && mboxname_isdeletedmailbox(entry->name, NULL)));
    mbentry_free(&entry);
    return r;
}

int sync_absent_user_is_gone(const struct sync_client *sc, const struct sync_state *state, bool *gone)
{
    int r = 0;

    *gone = true;
    for (int i = 0; i < ptrarray_size(&state->folders) && !r && *gone; i++) {
        const struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        const struct sync_folder *f = &remote->folder;
        if (mboxname_isdeletedmailbox(f->name, NULL) || (f->mbtype & MBTYPE_INTERMEDIATE)) continue;
        r = is_proved(sc, f, gone);
        if (!r && !*gone) stays(f, "its user stays on the replica");
    }
    return r;
}
