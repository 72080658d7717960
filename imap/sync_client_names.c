/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_names -- which of two names of one mailbox is the later one (handbook 07 W043)
 *
 * Each end remembers the former names of a mailbox. An end whose former names have the other one's name has moved on from it, so its name is the later one: no
 * clock is asked. Where both say so (a name was left and taken again) or none (both have renamed since they met), the higher modseq of the change
 * decides, then the higher FOLDERMODSEQ, and ours if they are equal. Modseqs of both ends are raised to each other's by a run, so
 * a change since then is always above all before it; of two changes since then both ends choose the same one, whichever of them is the master.
 *
 * A name that somebody else has here is not taken over. The tree of deleted mailboxes is each server's own, an INBOX is renamed with its
 * user only, and with -O and in XFER nothing changes here.
 */
#include <config.h>

#include "sync_client_names.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "mboxlist_former.h"
#include "mboxname.h"
#include "quota.h"
#include "sync_name.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct former {
    strarray_t names;
    modseq_t modseq; /* of the last change; 0: not known */
};

static void free_former(void *p)
{
    struct former *former = p;

    strarray_fini(&former->names);
    free(former);
}

void sync_names_fini(struct sync_names *names)
{
    free(names->userid);
    free_hash_table(&names->theirs, free_former);
    names->userid = NULL;
}

/* ---- former names ---- */

static int names_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct sync_names *names = rock;
    const char *uniqueid, *name;
    struct dlist *history = dlist_getchild(*dlp, "HISTORY");

    (void)sc;
    if (strcmp((*dlp)->name, "NAMES") != 0 || !history || !dlist_getatom(*dlp, "UNIQUEID", &uniqueid)) return IMAP_PROTOCOL_ERROR;
    if (hash_lookup(uniqueid, &names->theirs)) return 0;
    struct former *former = xzmalloc(sizeof(*former));
    for (const struct dlist *item = history->head; item; item = item->next)
        if (sync_toname(item, &name)) strarray_append(&former->names, name);
    (void)dlist_getnum64(*dlp, "MODSEQ", &former->modseq);
    hash_insert(uniqueid, former, &names->theirs);
    return 0;
}

static int ask(struct sync_client *sc, struct sync_names *names, const char *mboxname)
{
    char *userid = mboxname_to_userid(mboxname);
    int r = 0;

    if (userid && strcmpnull(userid, names->userid)) {
        sync_names_fini(names);
        r = sync_client_command(sc, "GET", dlist_newatom(NULL, "NAMES", userid), names_line, names);
        names->userid = userid;
        userid = NULL;
    }
    free(userid);
    return r;
}

static void look_here(const char *uniqueid, struct former *former)
{
    mbentry_t *entry = NULL;

    if (!mboxlist_lookup_by_uniqueid(uniqueid, &entry, false, NULL)) {
        for (size_t i = 0; i < entry->nhistory; i++)
            if (entry->history[i].name) strarray_append(&former->names, entry->history[i].name);
        former->modseq = mboxlist_named_at(entry);
    }
    mbentry_free(&entry);
}

static bool theirs_is_later(const struct sync_names *names, const mbentry_t *mbentry, const struct sync_folder *theirs)
{
    const struct former *there = hash_lookup(mbentry->uniqueid, &names->theirs);
    struct former here = { STRARRAY_INITIALIZER, 0 };

    look_here(mbentry->uniqueid, &here);
    bool we_left_theirs = strarray_contains(&here.names, theirs->name);
    bool they_left_ours = there && strarray_contains(&there->names, mbentry->name);
    modseq_t at = there ? there->modseq : 0;
    strarray_fini(&here.names);

    if (we_left_theirs != they_left_ours) return they_left_ours;
    return at != here.modseq ? at > here.modseq : theirs->foldermodseq > mbentry->foldermodseq;
}

/* ---- here ---- */

static int rename_here(const mbentry_t *mbentry, const char *newname)
{
    const unsigned how = MBOXLIST_RENAME_SILENT | MBOXLIST_RENAME_NOCHECK;
    struct txn *txn = NULL;
    char *userid = mboxname_to_userid(newname);
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_lookup(newname, NULL, txn) == IMAP_MAILBOX_NONEXISTENT ? 0 : IMAP_MAILBOX_EXISTS;
    if (!r) quota_set_silent(txn);
    if (!r) r = mboxlist_renamemailbox(txn, mbentry, newname, NULL, 0, true, NULL, NULL, how);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(userid);
    return r;
}

static bool may_change(const struct sync_client *sc, const mbentry_t *mbentry, const struct sync_folder *theirs)
{
    if (sc->nocopyback || sc->proxy || sc->localonly || !sync_folder_is_plain(theirs)) return false;
    if (!sc->backend || !backend_has(sc->backend, BACKEND_CAPA_NAMEHISTORY)) return false;
    if (!strcmp(mbentry->name, theirs->name) || !mboxname_same_userid(mbentry->name, theirs->name)) return false;
    return !mboxname_isdeletedmailbox(mbentry->name, NULL) && !mboxname_isdeletedmailbox(theirs->name, NULL) &&
           !mboxname_isusermailbox(mbentry->name, true) && !mboxname_isusermailbox(theirs->name, true);
}

int sync_names_settle(struct sync_client *sc, struct sync_names *names, const mbentry_t *mbentry, const struct sync_folder *theirs,
                      bool *renamed)
{
    *renamed = false;
    if (!may_change(sc, mbentry, theirs)) return 0;
    int r = ask(sc, names, mbentry->name);
    if (r || !theirs_is_later(names, mbentry, theirs)) return r;
    r = rename_here(mbentry, theirs->name);
    if (r) {
        syslog(LOG_NOTICE, "SYNCNOTICE: the later name of a mailbox can't be taken over, the replica gets ours: mailbox=<%s> name=<%s> error=<%s>",
               mbentry->name, theirs->name, error_message(r));
        return 0;
    }
    sync_client_say(sc, "RENAMED HERE %s -> %s", mbentry->name, theirs->name);
    syslog(LOG_NOTICE, "SYNCNOTICE: mailbox was renamed on the replica, and is here: mailbox=<%s> name=<%s>", mbentry->name, theirs->name);
    *renamed = true;
    return 0;
}
