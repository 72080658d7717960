/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_names -- which of two names of one mailbox is the later one (handbook 07 W043)
 *
 * Each end remembers the former names of a mailbox. An end whose former names have the other one's name has moved on from it, so its name is the later one: no
 * clock is asked. Where both say so (a name was left and taken again) or none (both have renamed since they met), the higher modseq of the change
 * decides, then the higher FOLDERMODSEQ, and ours if they are equal. Modseqs of both ends are raised to each other's by a run, so
 * a change since then is always above all before it; of two changes since then both ends choose the same one, whichever of them is the master.
 *
 * Of a whole user all names are settled together, and of two that want one the older keeps it (sync_names_settle_user); in a set of mailboxes a name that
 * somebody else has here is not taken over. The tree of deleted mailboxes is each server's own, an INBOX is renamed with its
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
#include "sync_client_renames.h"
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

/* Within the user's lock: it may have got another name since it was looked at, and that one to another mailbox. */
static int move_one(struct txn *txn, const char *uniqueid, const char *oldname, const char *newname)
{
    const unsigned how = MBOXLIST_RENAME_SILENT | MBOXLIST_RENAME_NOCHECK;
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup(oldname, &entry, txn);

    if (r == IMAP_MAILBOX_NONEXISTENT || (!r && strcmpnull(entry->uniqueid, uniqueid))) r = IMAP_MAILBOX_RENAMED;
    if (!r) r = mboxlist_renamemailbox(txn, entry, newname, NULL, 0, true, NULL, NULL, how);
    mbentry_free(&entry);
    return r;
}

static int rename_here(const mbentry_t *mbentry, const char *newname)
{
    struct txn *txn = NULL;
    char *userid = mboxname_to_userid(newname);
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_lookup(newname, NULL, txn) == IMAP_MAILBOX_NONEXISTENT ? 0 : IMAP_MAILBOX_EXISTS;
    if (!r) quota_set_silent(txn);
    if (!r) r = move_one(txn, mbentry->uniqueid, mbentry->name, newname);
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

/* ---- all folders of a user ---- */

/* A mailbox and the name that it is to have. */
struct want {
    const mbentry_t *ours;      /* NULL: only the replica has it */
    struct sync_remote *theirs; /* NULL: only we have it */
    const char *uniqueid;
    modseq_t created;
    char *name;
    bool fixed; /* it can't have another one */
};

static void free_want(void *p)
{
    struct want *want = p;

    free(want->name);
    free(want);
}

static struct want *add_want(ptrarray_t *wants, const mbentry_t *ours, struct sync_remote *theirs)
{
    struct want *want = xzmalloc(sizeof(*want));

    want->ours = ours;
    want->theirs = theirs;
    want->uniqueid = ours ? ours->uniqueid : theirs->folder.uniqueid;
    want->created = ours ? ours->createdmodseq : theirs->folder.createdmodseq;
    want->name = xstrdup(ours ? ours->name : theirs->folder.name);
    want->fixed = mboxname_isusermailbox(want->name, true) || mboxname_isdeletedmailbox(want->name, NULL) ||
                  (theirs && (!sync_folder_is_plain(&theirs->folder) || mboxname_isdeletedmailbox(theirs->folder.name, NULL)));
    ptrarray_append(wants, want);
    return want;
}

static int add_both(struct sync_client *sc, struct sync_names *names, const mbentry_t *mbentry, struct sync_remote *remote, ptrarray_t *wants)
{
    struct want *want = add_want(wants, mbentry, remote);

    if (!remote || !may_change(sc, mbentry, &remote->folder)) return 0;
    int r = ask(sc, names, mbentry->name);
    if (r || !theirs_is_later(names, mbentry, &remote->folder)) return r;
    free(want->name);
    want->name = xstrdup(remote->folder.name);
    return 0;
}

/* One that would come here. What was deleted here, or is to go, wants no name. */
static int add_theirs(struct sync_remote *remote, const char *userid, ptrarray_t *wants)
{
    const struct sync_folder *f = &remote->folder;
    enum mboxlist_fate fate;
    mbentry_t *entry = NULL;
    char *owner = mboxname_to_userid(f->name);
    int r = 0;

    if (!remote->mark && sync_folder_is_plain(f) && !(f->mbtype & MBTYPE_INTERMEDIATE) && !mboxname_isdeletedmailbox(f->name, NULL) &&
        !mboxname_isusermailbox(f->name, true) && !strcmpnull(owner, userid)) {
        r = mboxlist_lookup_fate(f->uniqueid, f->name, f->createdmodseq, &fate, &entry);
        if (!r && (fate == MBOXLIST_NEVER_SEEN || fate == MBOXLIST_NAME_TAKEN)) (void)add_want(wants, NULL, remote);
    }
    mbentry_free(&entry);
    free(owner);
    return r;
}

/* Who keeps a name that others want, too, comes first: who can't have another, then the older one. For both ends the same. */
static int compare_wants(const void *a, const void *b)
{
    const struct want *x = *(const struct want *const *)a, *y = *(const struct want *const *)b;

    if (x->fixed != y->fixed) return x->fixed ? -1 : 1;
    if (x->created != y->created) return x->created < y->created ? -1 : 1;
    return strcmp(x->uniqueid, y->uniqueid);
}

/* Each end has a folder of that name that the other one has never heard of: they become one (sync_client_absent.c). */
static bool are_one(const struct want *x, const struct want *y)
{
    return (!x->theirs && !y->ours) || (!x->ours && !y->theirs);
}

static void take_another(struct sync_client *sc, const struct sync_state *state, struct want *want, const struct want *holder)
{
    char *spare = sync_spare_name(state, want->name, want->uniqueid);

    sync_client_say(sc, "COLLISION %s: %s keeps it, %s -> %s", want->name, holder->uniqueid, want->uniqueid, spare);
    syslog(LOG_NOTICE, "SYNCNOTICE: two mailboxes have one name, the older one keeps it: name=<%s> uniqueid=<%s> other=<%s> uniqueid=<%s>", want->name,
           holder->uniqueid, spare, want->uniqueid);
    free(want->name);
    want->name = spare;
}

/* Returns whether there were any. */
static bool settle_collisions(struct sync_client *sc, const struct sync_state *state, ptrarray_t *wants)
{
    hash_table holders;
    bool any = false;

    construct_hash_table(&holders, (size_t)ptrarray_size(wants) + 1);
    if (wants->count) qsort(wants->data, (size_t)wants->count, sizeof(void *), compare_wants);
    for (int i = 0; i < ptrarray_size(wants); i++) {
        struct want *want = ptrarray_nth(wants, i), *holder = hash_lookup(want->name, &holders);
        if (holder && !want->fixed && are_one(want, holder)) continue;
        if (holder && !want->fixed) {
            take_another(sc, state, want, holder);
            any = true;
        }
        if (!hash_lookup(want->name, &holders)) hash_insert(want->name, want, &holders);
    }
    free_hash_table(&holders, NULL);
    return any;
}

/* ---- the names of this end change hands ---- */

static bool moves(const struct want *want)
{
    return want->ours && strcmp(want->ours->name, want->name) != 0;
}

/* Whoever has to wait for another in vain, since that one waits for him, goes by way of a name beside his. */
static int move_all(struct txn *txn, const struct sync_state *state, const ptrarray_t *wants)
{
    ptrarray_t left = PTRARRAY_INITIALIZER;
    strarray_t from = STRARRAY_INITIALIZER;
    int r = 0;

    for (int i = 0; i < ptrarray_size(wants); i++) {
        const struct want *want = ptrarray_nth(wants, i);
        if (!moves(want)) continue;
        ptrarray_append(&left, (void *)want);
        strarray_append(&from, want->ours->name);
    }
    while (!r && ptrarray_size(&left)) {
        bool any = false;
        for (int i = ptrarray_size(&left) - 1; !r && i >= 0; i--) {
            const struct want *want = ptrarray_nth(&left, i);
            if (mboxlist_lookup(want->name, NULL, txn) != IMAP_MAILBOX_NONEXISTENT) continue;
            r = move_one(txn, want->uniqueid, strarray_nth(&from, i), want->name);
            ptrarray_remove(&left, i);
            free(strarray_remove(&from, i));
            any = true;
        }
        if (r || any || !ptrarray_size(&left)) continue;
        const struct want *want = ptrarray_nth(&left, 0);
        if (strcmp(strarray_nth(&from, 0), want->ours->name) != 0) r = IMAP_MAILBOX_EXISTS; /* somebody else has it */
        char *beside = r ? NULL : sync_spare_name(state, want->ours->name, want->uniqueid);
        if (!r) r = move_one(txn, want->uniqueid, want->ours->name, beside);
        if (!r) strarray_set(&from, 0, beside);
        free(beside);
        if (!r && ptrarray_size(&left) > 1) { /* the next one that is stuck is another */
            ptrarray_append(&left, ptrarray_shift(&left));
            strarray_appendm(&from, strarray_shift(&from));
        }
    }
    ptrarray_fini(&left);
    strarray_fini(&from);
    return r;
}

static int rename_all_here(struct sync_client *sc, const char *userid, const struct sync_state *state, const ptrarray_t *wants)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) quota_set_silent(txn);
    if (!r) r = move_all(txn, state, wants);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (r) {
        syslog(LOG_NOTICE, "SYNCNOTICE: names of mailboxes can't be taken over: user=<%s> error=<%s>", userid, error_message(r));
        return r;
    }
    for (int i = 0; i < ptrarray_size(wants); i++) {
        const struct want *want = ptrarray_nth(wants, i);
        if (!moves(want)) continue;
        sync_client_say(sc, "RENAMED HERE %s -> %s", want->ours->name, want->name);
        syslog(LOG_NOTICE, "SYNCNOTICE: mailbox was renamed on the replica, and is here: mailbox=<%s> name=<%s>", want->ours->name, want->name);
    }
    return 0;
}

static void rename_there(const struct sync_client *sc, const struct want *want, struct sync_renames *renames)
{
    const struct sync_folder *f = want->theirs ? &want->theirs->folder : NULL;

    if (!f || (want->ours && (want->ours->mbtype & MBTYPE_INTERMEDIATE))) return;
    const char *partition = want->ours ? sync_target_partition(sc, want->ours) : f->partition;
    if (!strcmp(f->name, want->name) && (!want->ours || (f->partition && !strcmp(f->partition, partition)))) return;
    if (want->ours && !moves(want))
        sync_renames_add(renames, f, want->ours, partition);
    else
        sync_renames_add_name(renames, f, want->name, partition ? partition : "default", want->ours ? want->ours->uidvalidity : f->uidvalidity);
}

bool sync_names_can_settle(const struct sync_client *sc)
{
    return !sc->nocopyback && !sc->proxy && !sc->localonly && sc->backend && backend_has(sc->backend, BACKEND_CAPA_NAMEHISTORY);
}

int sync_names_settle_user(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state, struct sync_renames *renames,
                           bool *changed)
{
    struct sync_names names = SYNC_NAMES_INITIALIZER;
    ptrarray_t wants = PTRARRAY_INITIALIZER;
    char *userid = NULL;
    bool here = false;
    int r = 0;

    for (int i = 0; i < ptrarray_size(mbentries) && !r; i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        if (mbentry->mbtype & MBTYPE_INTERMEDIATE) continue;
        struct sync_remote *remote = sync_state_find(state, mbentry->uniqueid);
        if (remote) remote->mark = true;
        if (!userid) userid = mboxname_to_userid(mbentry->name);
        r = add_both(sc, &names, mbentry, remote, &wants);
    }
    for (int i = 0; i < ptrarray_size(&state->folders) && !r; i++) r = add_theirs(ptrarray_nth(&state->folders, i), userid, &wants);
    if (!r) *changed = settle_collisions(sc, state, &wants);
    for (int i = 0; i < ptrarray_size(&wants) && !r; i++) {
        const struct want *want = ptrarray_nth(&wants, i);
        here |= moves(want);
        rename_there(sc, want, renames);
    }
    if (!r && here) r = rename_all_here(sc, userid, state, &wants);
    if (r == IMAP_MAILBOX_RENAMED) r = 0; /* somebody is at it: the next look finds what he has made of it */
    *changed |= here;
    ptrarray_fini_with(&wants, free_want);
    sync_names_fini(&names);
    free(userid);
    return r;
}
