/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_user -- whole users, and sets of mailboxes (handbook 03 §10.2, §10.3)
 *
 * A user is worked on by one sync client at a time per replica (the sync lock).
 * Renames change what there is to compare, so after them the replica is
 * asked anew, five rounds at most: renames, one mailbox in the place of another, and what is left.
 */
#include <config.h>

#include "sync_acked.h"
#include "sync_client.h"
#include "sync_client_absent.h"
#include "sync_client_home.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "namelock.h"
#include "sync_folderlist.h"
#include "sync_usage.h"
#include "xsyslog.h"

#define MAX_ROUNDS 5

/* ---- a user ---- */

/* Nothing is deleted for the lack of an INBOX here: who asked for this user is told that the ends differ. */
static int only_there(const struct sync_client *sc, const struct sync_state *state, const char *userid)
{
    bool gone = true;
    int r = sc->complain ? sync_absent_user_is_gone(sc, state, &gone) : 0;

    if (r || gone) return r;
    fprintf(stderr, "%s: only the replica has this user, and nothing here proves that he was deleted\n", userid);
    return IMAP_MAILBOX_NONEXISTENT;
}

/* Does the replica have nothing that counts for him but what is here? */
static bool is_all(const struct sync_state *state)
{
    for (int i = 0; i < ptrarray_size(&state->folders); i++) {
        const struct sync_remote *remote = ptrarray_nth(&state->folders, i);

        if (!remote->mark && remote->fate != SYNC_FATE_GONE && !mboxname_isdeletedmailbox(remote->folder.name, NULL)) return false;
    }
    return true;
}

/* *movedp: the numbers of both ends differ, and those of here have changed meanwhile, by this round perhaps. */
static int user_round(struct sync_client *sc, const char *userid, bool last, bool *againp, bool *movedp)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    strarray_t roots = STRARRAY_INITIALIZER;
    ptrarray_t usage = PTRARRAY_INITIALIZER;

    bool counts = backend_has(sc->backend, BACKEND_CAPA_USAGE);
    /* what can't be counted here is compared with nothing, and keeps nothing back */
    int ur = counts ? sync_usage_read(userid, &usage) : 0;
    int r = sync_state_get(sc, "USER", userid, &state);
    if (r) goto done;
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    r = mboxlist_lookup(name, &inbox, NULL);
    mbentry_free(&inbox);
    free(name);
    if (r == IMAP_MAILBOX_NONEXISTENT) {
        sync_client_say(sc, "Does not exist locally %s", userid);
        r = only_there(sc, &state, userid);
        goto done;
    }
    if (!r) r = sync_local_user(sc, userid, &entries);
    if (!r) r = sync_do_folders(sc, &entries, &state, true, last, againp);
    if (sc->broken || *againp) goto done;
    /* a mailbox that failed does not keep the rest back */
    sync_local_roots(&entries, &roots);
    int mr = sync_do_quotas(sc, &roots, &state.quotas);
    if (!mr) mr = sync_do_subs(sc, userid, &state.subs);
    if (!mr && (!sc->sieve_mailbox || sc->sieve_files)) mr = sync_do_sieve(sc, userid, &state.scripts);
    if (!mr) mr = sync_do_seen(sc, userid, &state.seen);
    if (!mr) mr = sync_do_userstate(sc, userid);
    if (!r) r = mr;
    if (!r) r = ur;
    if (!r && counts && is_all(&state)) r = sync_settle_usage(sc, userid, &usage, movedp);

done:
    sync_usage_fini(&usage);
    sync_state_fini(&state);
    sync_local_fini(&entries);
    strarray_fini(&roots);
    return r;
}

/* ---- a replica that can't tell of a user as a whole ---- */

static int settle_set(struct sync_client *sc, const strarray_t *names, const char *userid, bool *whole);

/* GET was refused without a reason: it has tried. */
static bool cannot_tell(struct sync_client *sc, const char *what, int r)
{
    const char *answer = buf_cstring(&sc->answer);
    size_t len = strlen(what);

    return r == IMAP_REMOTE_DENIED && !sc->broken && !strncmp(answer, what, len) && !strcmp(answer + len, ": NO Unknown error");
}

static void tell_unreadable(struct sync_client *sc, const char *name, int r)
{
    syslog(LOG_ERR, "IOERROR: mailbox replication failed: mailbox=<%s> error=<%s>", name, sync_client_errtext(sc, r));
    if (sc->complain) fprintf(stderr, "%s: %s\n", name, sync_client_errtext(sc, r));
}

/* [from, to) of names: where the replica can't tell of all it is asked for each half, so that one bad mailbox costs few commands. */
static void do_readable(struct sync_client *sc, const strarray_t *names, int from, int to)
{
    strarray_t some = STRARRAY_INITIALIZER;
    int half = from + (to - from) / 2;

    for (int i = from; i < to; i++) strarray_append(&some, strarray_nth(names, i));
    int r = settle_set(sc, &some, NULL, NULL);
    strarray_fini(&some);
    if (!cannot_tell(sc, "MAILBOXES", r)) return; /* done, or told */
    if (to - from == 1) {
        tell_unreadable(sc, strarray_nth(names, from), r);
        return;
    }
    do_readable(sc, names, from, half);
    if (!sc->broken) do_readable(sc, names, half, to);
}

/*
 * A mailbox that the replica can't read makes GET USER fail, and would keep the user's others from it. They go over by their names; nothing
 * is deleted there, and the run has failed nevertheless.
 */
static void do_the_others(struct sync_client *sc, const char *userid)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;
    int r = sync_local_user(sc, userid, &entries);

    for (int i = 0; i < ptrarray_size(&entries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(&entries, i);
        if (!mboxname_isdeletedmailbox(mbentry->name, NULL)) strarray_append(&names, mbentry->name);
    }
    syslog(LOG_NOTICE, "SYNCNOTICE: the replica can't tell of all mailboxes of %s, they are looked at one by one", userid);
    if (!r && strarray_size(&names)) do_readable(sc, &names, 0, strarray_size(&names));
    if (!r && !sc->broken) (void)sync_do_meta(sc, userid);
    sync_local_fini(&entries);
    strarray_fini(&names);
}

int sync_do_user(struct sync_client *sc, const char *userid)
{
    struct namelock *lock = NULL;
    bool again = true, moved = false, more = false;
    struct sync_acked acked = { 0 };

    if (sc->acks) sync_acked_now(userid, &acked);
    int r = sync_home_check(sc, userid);

    if (!r) r = sync_client_lock(sc, userid, &lock);
    if (r) return r;
    sync_client_say(sc, "USER %s", userid);
    /* one that could not be decided about does not keep the others */
    for (int round = 0; round < MAX_ROUNDS && again && !sc->broken; round++) {
        again = false;
        r = user_round(sc, userid, round == MAX_ROUNDS - 1, &again, &moved);
        /* a lease that was lost on the way, or of another user whom a rename leads to */
        if (r == IMAP_MAILBOX_LOCKED && sc->leases && !sc->nowait) again = true;
    }
    if (cannot_tell(sc, "USER", r)) do_the_others(sc, userid);
    /* what came here from the replica is counted by now; a user who is at work is left for the next run */
    if (!r && !again && moved) r = user_round(sc, userid, true, &more, &moved);
    if (!r && again) {
        syslog(LOG_ERR, "failed to sync user %s after %d tries", userid, MAX_ROUNDS);
        r = IMAP_SYNC_CHANGED;
    }
    if (r)
        syslog(
            LOG_ERR,
            "IOERROR: user replication failed: error=<%s> userid=<%s> channel=<%s> servername=<%s>",
            error_message(r), userid, sc->channel ? sc->channel : "", sc->servername);
    acked.instance = sc->instance;
    if (!r && sc->acks) r = sync_acked_whole(sc->channel, userid, &acked);
    sync_client_unlock(sc, &lock);
    return r;
}

static int remove_user(struct sync_client *sc, const char *userid)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    bool gone = false;
    int r = sync_state_get(sc, "USER", userid, &state);

    if (!r) r = sync_absent_user_is_gone(sc, &state, &gone);
    if (!r && gone) {
        sync_client_say(sc, "UNUSER %s", userid);
        r = sync_client_command(sc, "APPLY", dlist_newatom(NULL, "UNUSER", userid), NULL, NULL);
    }
    sync_state_fini(&state);
    return r;
}

int sync_do_unuser(struct sync_client *sc, const char *userid)
{
    struct namelock *lock = NULL;
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = sync_home_check(sc, userid);

    if (!r) r = sync_client_lock(sc, userid, &lock);
    if (!r) r = mboxlist_lookup(name, &inbox, NULL);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = remove_user(sc, userid);
    mbentry_free(&inbox);
    free(name);
    sync_client_unlock(sc, &lock);
    return r;
}

/* ---- a set of mailboxes ---- */

int sync_lock_owners(struct sync_client *sc, const strarray_t *names, ptrarray_t *locks)
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

void sync_unlock_owners(struct sync_client *sc, ptrarray_t *locks)
{
    for (int i = 0; i < ptrarray_size(locks); i++) {
        struct namelock *lock = ptrarray_nth(locks, i);
        sync_client_unlock(sc, &lock);
    }
    ptrarray_fini(locks);
}

/* ---- mailboxes that only one end has ---- */

/* Of the mailboxes that were asked for. */
static void only_one_has(const ptrarray_t *entries, const struct sync_state *state, struct buf *how)
{
    hash_table here;

    construct_hash_table(&here, 64);
    for (int i = 0; i < ptrarray_size(entries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(entries, i);
        hash_insert(mbentry->uniqueid, (void *)mbentry, &here);
        if (!(mbentry->mbtype & MBTYPE_INTERMEDIATE) && !sync_state_find(state, mbentry->uniqueid))
            buf_printf(how, " -%s", mbentry->uniqueid);
    }
    for (int i = 0; i < ptrarray_size(&state->folders); i++) {
        const struct sync_folder *f = &((struct sync_remote *)ptrarray_nth(&state->folders, i))->folder;
        if (!(f->mbtype & MBTYPE_INTERMEDIATE) && !mboxname_isdeletedmailbox(f->name, NULL) && !hash_lookup(f->uniqueid, &here))
            buf_printf(how, " +%s", f->uniqueid);
    }
    free_hash_table(&here, NULL);
}

/* How the ends differ; empty: they do not, as far as can be seen. Partitions are not looked at: one that is offline hides no mailbox. */
static int find_onesided(struct sync_client *sc, const char *userid, const ptrarray_t *entries, const struct sync_state *state,
                         struct buf *how)
{
    const char *theirs = state->digest;
    char ours[SYNC_FOLDERLIST_HEX];

    if (!theirs) {
        only_one_has(entries, state, how);
        return 0;
    }
    int r = sync_folderlist_digest(userid, sc->sieve_mailbox, ours);
    if (!r && strcmp(ours, theirs) != 0) buf_printf(how, "%s %s", ours, theirs);
    return r;
}

static int check_whole(struct sync_client *sc, const char *userid, const ptrarray_t *entries, const struct sync_state *state,
                       bool *whole)
{
    struct buf how = BUF_INITIALIZER;
    int r = find_onesided(sc, userid, entries, state, &how);

    if (!r) *whole = buf_len(&how) && strcmpnull(hash_lookup(userid, &sc->unsettled), buf_cstring(&how)) != 0;
    buf_free(&how);
    return r;
}

int sync_note_unsettled(struct sync_client *sc, const char *userid, const strarray_t *names)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    struct buf how = BUF_INITIALIZER;
    int r = sync_state_getnamed(sc, names, userid, &state);

    if (!r) r = sync_local_named(sc, names, &entries);
    if (!r) r = find_onesided(sc, userid, &entries, &state, &how);
    free(hash_del(userid, &sc->unsettled));
    if (!r && buf_len(&how)) {
        syslog(LOG_NOTICE, "SYNCNOTICE: folders of %s differ after a comparison", userid);
        hash_insert(userid, buf_release(&how), &sc->unsettled);
    }
    sync_state_fini(&state);
    sync_local_fini(&entries);
    buf_free(&how);
    return r;
}

/* ---- a set of mailboxes, round by round ---- */

/* userid, whole: see sync_do_mailboxes_of; or NULL. */
static int mailboxes_round(struct sync_client *sc, const strarray_t *names, const char *userid, bool last, bool *whole, bool *againp)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = userid ? sync_state_getnamed(sc, names, userid, &state) : sync_state_getlist(sc, "MAILBOXES", names, &state);

    if (!r) r = sync_local_named(sc, names, &entries);
    if (!r && userid) r = check_whole(sc, userid, &entries, &state, whole);
    if (!r && !(userid && *whole)) r = sync_do_folders(sc, &entries, &state, false, last, againp);
    sync_state_fini(&state);
    sync_local_fini(&entries);
    return r;
}

static int check_owners(const struct sync_client *sc, const strarray_t *names)
{
    int r = 0;

    for (int i = 0; i < strarray_size(names) && !r; i++) {
        char *userid = mboxname_to_userid(strarray_nth(names, i));
        r = sync_home_check(sc, userid);
        free(userid);
    }
    return r;
}

static int settle_set(struct sync_client *sc, const strarray_t *names, const char *userid, bool *whole)
{
    char *joined = strarray_join(names, " ");
    bool again = true;
    int r = 0;

    for (int round = 0; round < MAX_ROUNDS && again && !r; round++) {
        again = false;
        sync_client_say(sc, "MAILBOXES %s", joined);
        r = mailboxes_round(sc, names, round ? NULL : userid, round == MAX_ROUNDS - 1, whole, &again);
    }
    if (!r && again) {
        syslog(LOG_ERR, "failed to settle renames after %d tries!", MAX_ROUNDS);
        r = IMAP_SYNC_CHANGED;
    }
    free(joined);
    return r;
}

static int do_mailboxes(struct sync_client *sc, const strarray_t *names, const char *userid, bool *whole)
{
    ptrarray_t locks = PTRARRAY_INITIALIZER;
    int r = check_owners(sc, names);

    if (!r) r = sync_lock_owners(sc, names, &locks);
    if (!r) r = settle_set(sc, names, userid, whole);
    sync_unlock_owners(sc, &locks);
    return r;
}

int sync_do_mailboxes(struct sync_client *sc, const strarray_t *names)
{
    return do_mailboxes(sc, names, NULL, NULL);
}

int sync_do_mailboxes_of(struct sync_client *sc, const char *userid, const strarray_t *names, bool *whole)
{
    *whole = false;
    return do_mailboxes(sc, names, userid, whole);
}
