/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_folders -- put a set of mailboxes in order on the replica (handbook 03 §10.4)
 *
 * A mailbox is known by its UNIQUEID. One that the replica has under another name is
 * renamed there, or here if that is the later name (sync_client_names.c), also when its old name belongs to somebody else; it is never
 * deleted and uploaded again, so no message is absent from the replica while names change
 * (sync_client_renames.c).
 * What only the replica has is in sync_client_absent.c.
 */
#include <config.h>

#include "sync_client.h"
#include "sync_client_absent.h"
#include "sync_client_names.h"
#include "sync_client_renames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- matching ---- */

static bool is_intermediate(const mbentry_t *mbentry)
{
    return mbentry->mbtype & MBTYPE_INTERMEDIATE;
}

/* A mailbox that once had another name may be known to the replica by that. */
static bool has_former_name(const mbentry_t *mbentry)
{
    mbentry_t *byid = NULL;
    bool former = !mboxlist_lookup_by_uniqueid(mbentry->uniqueid, &byid, false, NULL) &&
                  byid->nhistory;

    mbentry_free(&byid);
    return former;
}

/* Ask for those that were renamed and that the replica has not told us of. */
static int find_moved(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state)
{
    strarray_t ids = STRARRAY_INITIALIZER;
    int r = 0;

    for (int i = 0; i < ptrarray_size(mbentries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        if (is_intermediate(mbentry) || sync_state_find(state, mbentry->uniqueid)) continue;
        if (has_former_name(mbentry)) strarray_append(&ids, mbentry->uniqueid);
    }
    if (strarray_size(&ids)) r = sync_state_getlist(sc, "UNIQUEIDS", &ids, state);
    strarray_fini(&ids);
    return r;
}

/* *renamed: mailboxes here have got their later names, so there is another state to be compared. */
static int match(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state, struct sync_renames *renames,
                 bool *renamed)
{
    struct sync_names names = SYNC_NAMES_INITIALIZER;
    int r = 0;

    for (int i = 0; i < ptrarray_size(mbentries) && !r; i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        bool here = false;
        if (is_intermediate(mbentry)) continue;
        struct sync_remote *remote = sync_state_find(state, mbentry->uniqueid);
        if (!remote) continue;
        const struct sync_folder *f = &remote->folder;
        const char *partition = sync_target_partition(sc, mbentry);
        remote->mark = true;
        if (!strcmp(f->name, mbentry->name) && f->partition && !strcmp(f->partition, partition))
            continue;
        r = sync_names_settle(sc, &names, mbentry, f, &here);
        *renamed |= here;
        if (!here) sync_renames_add(renames, f, mbentry, partition);
    }
    sync_names_fini(&names);
    return r;
}

/* ---- the set ---- */

/* Ours beside the other one, then the two change places. */
static int make_beside(struct sync_client *sc, const mbentry_t *mbentry, struct sync_state *state,
                       struct sync_remote *occupant, struct sync_sent *sent)
{
    const char *partition = sync_target_partition(sc, mbentry);
    struct sync_batch places;
    char *beside = sync_spare_name(state, mbentry->name, mbentry->uniqueid);
    int r = sync_do_mailbox_as(sc, mbentry, beside, NULL, sent);

    if (!r) {
        sync_batch_begin(&places, sc, state);
        r = sync_batch_make_room(&places, occupant);
        if (!r) r = sync_batch_rename(&places, beside, mbentry->name, partition, mbentry->uidvalidity);
        r = sync_batch_end(&places, r);
    }
    free(beside);
    return r;
}

/*
 * Another mailbox has the name on the replica, and ours is not there; its messages are in ours by now. Ours is made of
 * the messages that the replica has. An INBOX has no place beside it: the replica must be able to replace it, which 3.6.1 refuses.
 */
static int do_beside(struct sync_client *sc, const mbentry_t *mbentry, struct sync_state *state,
                     struct sync_remote *occupant, struct sync_sent *sent)
{
    ptrarray_t one = PTRARRAY_INITIALIZER;

    ptrarray_append(&one, (void *)mbentry);
    int r = sync_do_reserve(sc, &one, state, sent);
    ptrarray_fini(&one);
    if (r) return r;
    if (mboxname_isusermailbox(mbentry->name, true))
        return sync_do_mailbox_as(sc, mbentry, NULL, occupant->folder.uniqueid, sent);
    return make_beside(sc, mbentry, state, occupant, sent);
}

struct update {
    struct sync_client *sc;
    struct sync_state *state;
    struct sync_sent *sent;
    ptrarray_t again; /* struct item: not up to date yet */
    int first;        /* error */
};

struct item {
    struct update *update;
    const mbentry_t *mbentry;
    int r;
};

/* One bad mailbox does not stop the others; the first error is the result. */
static void ended(struct update *u, const mbentry_t *mbentry, int r)
{
    struct sync_client *sc = u->sc;

    if (!r) return;
    if (r == IMAP_MAILBOX_MOVED && !sc->complain) /* deleted here and made anew: the next attempt looks at its user */
        syslog(LOG_NOTICE, "SYNCNOTICE: another mailbox has this name there: mailbox=<%s>", mbentry->name);
    else
        syslog(LOG_ERR, "IOERROR: mailbox replication failed: mailbox=<%s> error=<%s>",
               mbentry->name, error_message(r));
    if (sc->complain) fprintf(stderr, "%s: %s\n", mbentry->name, sync_client_errtext(sc, r));
    if (!u->first) u->first = r;
}

static void item_settled(struct sync_client *sc, int r, void *rock)
{
    struct item *item = rock;

    (void)sc;
    item->r = r;
    if (sync_mailbox_is_unsettled(r)) {
        ptrarray_append(&item->update->again, item);
        return;
    }
    ended(item->update, item->mbentry, r);
    free(item);
}

/* What takes more than one look is done when nothing is underway. */
static void do_again(struct update *u)
{
    struct item *item;

    while ((item = ptrarray_shift(&u->again))) {
        ended(u, item->mbentry, sync_do_mailbox_again(u->sc, item->mbentry, item->r, u->state, u->sent));
        free(item);
    }
}

static void begin_one(struct update *u, const mbentry_t *mbentry, const struct sync_remote *remote)
{
    struct item *item = xmalloc(sizeof(*item));

    *item = (struct item){ .update = u, .mbentry = mbentry };
    sync_do_mailbox(u->sc, mbentry, remote ? &remote->folder : NULL, u->sent, item_settled, item);
}

static void update_one(struct update *u, const mbentry_t *mbentry, bool *againp)
{
    struct sync_client *sc = u->sc;
    const struct sync_remote *remote = sync_state_find(u->state, mbentry->uniqueid);
    struct sync_remote *occupant = remote ? NULL : sync_state_byname(u->state, mbentry->name);

    if (is_intermediate(mbentry)) {
        ended(u, mbentry, sync_do_intermediate(sc, mbentry));
        return;
    }
    if (!occupant || !occupant->folder.last_uid || sc->nocopyback || !againp ||
        !sync_folder_is_plain(&occupant->folder) ||
        (mboxname_isusermailbox(mbentry->name, true) && occupant->fate != SYNC_FATE_MERGED)) {
        begin_one(u, mbentry, remote);
        return;
    }
    int r = do_beside(sc, mbentry, u->state, occupant, u->sent);
    if (!r) *againp = true;
    ended(u, mbentry, r);
}

static int update_all(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                      struct sync_sent *sent, bool *againp)
{
    struct update u = { .sc = sc, .state = state, .sent = sent };

    for (int i = 0; i < ptrarray_size(mbentries) && !sc->broken; i++) {
        update_one(&u, ptrarray_nth(mbentries, i), againp);
        if (!ptrarray_size(&sc->posted)) do_again(&u);
    }
    sync_client_settle(sc);
    do_again(&u);
    ptrarray_fini(&u.again);
    return u.first;
}

/* A folder of somebody else may have gone to a user whom the replica does not have yet: his INBOX is made before it is renamed there. */
static int make_inbox(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state, struct sync_sent *sent)
{
    ptrarray_t one = PTRARRAY_INITIALIZER;
    int r = 0;

    for (int i = 0; i < ptrarray_size(mbentries) && !ptrarray_size(&one); i++) {
        mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        if (mboxname_isusermailbox(mbentry->name, true) && !is_intermediate(mbentry) && !sync_state_find(state, mbentry->uniqueid) &&
            !sync_state_byname(state, mbentry->name))
            ptrarray_append(&one, mbentry);
    }
    if (ptrarray_size(&one)) r = sync_do_reserve(sc, &one, state, sent);
    if (!r) r = update_all(sc, &one, state, sent, NULL);
    ptrarray_fini(&one);
    return r;
}

/* The names there are others by now: both ends are listed again. */
static bool has_moved_on(const struct sync_client *sc, int r)
{
    return !sc->broken && (r == IMAP_SYNC_CHANGED || r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_REMOTE_DENIED);
}

static int rename_there(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state, struct sync_renames *renames,
                        struct sync_sent *sent)
{
    int r = make_inbox(sc, mbentries, state, sent);

    return r ? r : sync_renames_do(sc, state, renames);
}

int sync_do_folders(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                    bool candelete, bool last, bool *againp)
{
    struct sync_sent sent;
    struct sync_renames renames = SYNC_RENAMES_INITIALIZER;
    bool renamed = false;
    int undecided = 0;

    *againp = false;
    sync_sent_init(&sent);
    int r = find_moved(sc, mbentries, state);
    if (!r && candelete && sync_names_can_settle(sc))
        r = sync_names_settle_user(sc, mbentries, state, &renames, &renamed);
    else if (!r)
        r = match(sc, mbentries, state, &renames, &renamed);
    if (renamed && !last) {
        if (!r && ptrarray_size(&renames.list)) r = rename_there(sc, mbentries, state, &renames, &sent);
        *againp = true;
        goto done;
    }
    if (!r && candelete) undecided = sync_absent_decide(sc, state, againp);
    if (sc->broken) r = undecided;
    /* what is deleted may have messages that are in others now */
    if (!r) r = sync_do_reserve(sc, mbentries, state, &sent);
    if (!r) r = sync_absent_remove(sc, state, SYNC_FATE_DELETE);
    if (!r && ptrarray_size(&renames.list)) {
        *againp = !last;
        r = rename_there(sc, mbentries, state, &renames, &sent);
        if (!last && has_moved_on(sc, r)) r = 0;
    }
    if (!r && (last || !*againp)) {
        r = update_all(sc, mbentries, state, &sent, candelete ? againp : NULL);
        if (!r) r = sync_absent_remove(sc, state, SYNC_FATE_LATE);
        if (!r && sync_absent_merged(state)) *againp = true;
    }
done:
    sync_renames_fini(&renames);
    sync_sent_fini(&sent);
    if (!r) r = undecided;
    /* for who has asked for the set it is the same: somebody is at work */
    return r == IMAP_MAILBOX_RENAMED ? IMAP_SYNC_CHANGED : r;
}
