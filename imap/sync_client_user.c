/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_user -- whole users, and sets of mailboxes (handbook 03 §10.2, §10.3)
 *
 * A user is worked on by one sync client at a time per replica (the sync lock).
 * Renames change what there is to compare, so after them the replica is
 * asked anew, three rounds at most.
 */
#include <config.h>

#include "sync_client.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "namelock.h"
#include "xsyslog.h"

#define MAX_ROUNDS 3

static void free_entry(void *p)
{
    mbentry_t *mbentry = p;

    mbentry_free(&mbentry);
}

/* ---- a user ---- */

struct collect {
    struct sync_client *sc;
    ptrarray_t *entries;
};

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    struct collect *c = rock;

    if (mbentry->mbtype & MBTYPE_REMOTE) return 0;
    if (mbtype_isa(mbentry->mbtype) == MBTYPE_SIEVE && !c->sc->sieve_mailbox) return 0;
    ptrarray_append(c->entries, mbentry_dup(mbentry));
    return 0;
}

static void collect_roots(const ptrarray_t *entries, strarray_t *roots)
{
    for (int i = 0; i < ptrarray_size(entries); i++) {
        struct mailbox *mailbox = NULL;
        if (mailbox_open_mbentry(ptrarray_nth(entries, i), &mailbox)) continue;
        if (mailbox_quotaroot(mailbox)) strarray_add(roots, mailbox_quotaroot(mailbox));
        mailbox_close(&mailbox);
    }
}

static int user_round(struct sync_client *sc, const char *userid, bool *againp)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    strarray_t roots = STRARRAY_INITIALIZER;
    struct collect collect = { sc, &entries };

    int r = sync_state_get(sc, "USER", userid, &state);
    if (r) goto done;
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    r = mboxlist_lookup(name, &inbox, NULL);
    mbentry_free(&inbox);
    free(name);
    if (r == IMAP_MAILBOX_NONEXISTENT) {
        sync_client_say(sc, "Does not exist locally %s", userid);
        r = 0;
        goto done;
    }
    if (!r) r = mboxlist_usermboxtree(userid, collect_cb, &collect, MBOXTREE_DELETED);
    if (!r) r = sync_do_folders(sc, &entries, &state, true, againp);
    if (sc->broken || *againp) goto done;
    /* a mailbox that failed does not keep the rest back */
    collect_roots(&entries, &roots);
    int mr = sync_do_quotas(sc, &roots, &state.quotas);
    if (!mr) mr = sync_do_subs(sc, userid, &state.subs);
    if (!mr && !sc->sieve_mailbox) mr = sync_do_sieve(sc, userid, &state.scripts);
    if (!mr) mr = sync_do_seen(sc, userid, &state.seen);
    if (!r) r = mr;

done:
    sync_state_fini(&state);
    ptrarray_fini_with(&entries, free_entry);
    strarray_fini(&roots);
    return r;
}

int sync_do_user(struct sync_client *sc, const char *userid)
{
    struct namelock *lock = NULL;
    bool again = true;
    int r = sync_client_lock(sc, userid, &lock);

    if (r) return r;
    sync_client_say(sc, "USER %s", userid);
    for (int round = 0; round < MAX_ROUNDS && again && !r; round++) {
        again = false;
        r = user_round(sc, userid, &again);
    }
    if (!r && again) {
        syslog(LOG_ERR, "failed to sync user %s after %d tries", userid, MAX_ROUNDS);
        r = IMAP_SYNC_CHANGED;
    }
    if (r)
        syslog(
            LOG_ERR,
            "IOERROR: user replication failed: error=<%s> userid=<%s> channel=<%s> servername=<%s>",
            error_message(r), userid, sc->channel ? sc->channel : "", sc->servername);
    namelock_release(&lock);
    return r;
}

int sync_do_unuser(struct sync_client *sc, const char *userid)
{
    struct namelock *lock = NULL;
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = sync_client_lock(sc, userid, &lock);

    if (!r) r = mboxlist_lookup(name, &inbox, NULL);
    if (r == IMAP_MAILBOX_NONEXISTENT) {
        sync_client_say(sc, "UNUSER %s", userid);
        r = sync_client_command(sc, "APPLY", dlist_newatom(NULL, "UNUSER", userid), NULL, NULL);
    }
    mbentry_free(&inbox);
    free(name);
    namelock_release(&lock);
    return r;
}

/* ---- a set of mailboxes ---- */

/* The sync locks of all owners, in the order of the names. */
static int lock_owners(struct sync_client *sc, const strarray_t *names, ptrarray_t *locks)
{
    strarray_t owners = STRARRAY_INITIALIZER;
    int r = 0;

    for (int i = 0; i < strarray_size(names); i++) {
        char *userid = mboxname_to_userid(strarray_nth(names, i));
        strarray_add(&owners, userid ? userid : "");
        free(userid);
    }
    strarray_sort(&owners, cmpstringp_raw);
    for (int i = 0; i < strarray_size(&owners) && !r; i++) {
        struct namelock *lock = NULL;
        r = sync_client_lock(sc, strarray_nth(&owners, i), &lock);
        if (!r) ptrarray_append(locks, lock);
    }
    strarray_fini(&owners);
    return r;
}

static void unlock(void *p)
{
    struct namelock *lock = p;

    namelock_release(&lock);
}

static int mailboxes_round(struct sync_client *sc, const strarray_t *names, bool *againp)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = sync_state_getlist(sc, "MAILBOXES", names, &state);

    for (int i = 0; i < strarray_size(names) && !r; i++) {
        mbentry_t *mbentry = NULL;
        r = mboxlist_lookup_allow_all(strarray_nth(names, i), &mbentry, NULL);
        if (r == IMAP_MAILBOX_NONEXISTENT) {
            r = 0;
            continue;
        }
        if (!r && (mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE | MBTYPE_REMOTE)))
            mbentry_free(&mbentry);
        if (!r && mbentry && mbtype_isa(mbentry->mbtype) == MBTYPE_SIEVE && !sc->sieve_mailbox)
            mbentry_free(&mbentry);
        if (!r && mbentry) ptrarray_append(&entries, mbentry);
    }
    if (!r) r = sync_do_folders(sc, &entries, &state, false, againp);
    sync_state_fini(&state);
    ptrarray_fini_with(&entries, free_entry);
    return r;
}

int sync_do_mailboxes(struct sync_client *sc, const strarray_t *names)
{
    ptrarray_t locks = PTRARRAY_INITIALIZER;
    char *joined = strarray_join(names, " ");
    bool again = true;
    int r = lock_owners(sc, names, &locks);

    for (int round = 0; round < MAX_ROUNDS && again && !r; round++) {
        again = false;
        sync_client_say(sc, "MAILBOXES %s", joined);
        r = mailboxes_round(sc, names, &again);
    }
    if (!r && again) {
        syslog(LOG_ERR, "failed to settle renames after %d tries!", MAX_ROUNDS);
        r = IMAP_SYNC_CHANGED;
    }
    ptrarray_fini_with(&locks, unlock);
    free(joined);
    return r;
}
