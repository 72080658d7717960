/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_folders -- put a set of mailboxes in order on the replica (handbook 03 §10.4)
 *
 * A mailbox is known by its UNIQUEID. One that the replica has under another name is
 * renamed there, also when its old name belongs to somebody else; it is never
 * deleted and uploaded again. Who has a name that another one needs makes room first, by a
 * name beside it, so no message is absent from the replica while names change.
 * What only the replica has is in sync_client_absent.c.
 */
#include <config.h>

#include "sync_client.h"
#include "sync_client_absent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- matching ---- */

struct rename {
    char *oldname, *newname, *partition;
    uint32_t uidvalidity;
    bool done;
};

static void rename_free(void *p)
{
    struct rename *ren = p;

    free(ren->oldname);
    free(ren->newname);
    free(ren->partition);
    free(ren);
}

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

static void match(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                  ptrarray_t *renames)
{
    for (int i = 0; i < ptrarray_size(mbentries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        if (is_intermediate(mbentry)) continue;
        struct sync_remote *remote = sync_state_find(state, mbentry->uniqueid);
        if (!remote) continue;
        const struct sync_folder *f = &remote->folder;
        const char *partition = sync_target_partition(sc, mbentry);
        remote->mark = true;
        if (!strcmp(f->name, mbentry->name) && f->partition && !strcmp(f->partition, partition))
            continue;
        struct rename *ren = xzmalloc(sizeof(*ren));
        ren->oldname = xstrdup(f->name);
        ren->newname = xstrdup(mbentry->name);
        ren->partition = xstrdup(partition);
        ren->uidvalidity = mbentry->uidvalidity;
        ptrarray_append(renames, ren);
    }
}

/* ---- renames ---- */

/*
 * Renames that belong together. A replica that can do several in one transaction gets them all at the end; another one, each as it
 * comes.
 */
struct batch {
    struct sync_client *sc;
    struct dlist *list; /* NULL: each by itself */
};

static void batch_begin(struct batch *batch, struct sync_client *sc)
{
    batch->sc = sc;
    batch->list = NULL;
    if (sc->backend && backend_has(sc->backend, BACKEND_CAPA_RENAMES))
        batch->list = dlist_newlist(NULL, sc->localonly ? "LOCAL_RENAMES" : "RENAMES");
}

static int batch_end(struct batch *batch, int r)
{
    if (batch->list && batch->list->head && !r)
        r = sync_client_command(batch->sc, "APPLY", batch->list, NULL, NULL);
    else
        dlist_free(&batch->list);
    batch->list = NULL;
    return r;
}

static int do_rename(struct batch *batch, const char *oldname, const char *newname,
                     const char *partition, uint32_t uidvalidity)
{
    struct sync_client *sc = batch->sc;
    const char *cmd = sc->localonly ? "LOCAL_RENAME" : "RENAME";
    struct dlist *kl = dlist_newkvlist(batch->list, batch->list ? NULL : cmd);

    sync_client_say(sc, "%s %s -> %s (%s)", cmd, oldname, newname, partition);
    dlist_setatom(kl, "OLDMBOXNAME", oldname);
    dlist_setatom(kl, "NEWMBOXNAME", newname);
    dlist_setatom(kl, "PARTITION", partition);
    dlist_setnum32(kl, "UIDVALIDITY", uidvalidity);
    return batch->list ? 0 : sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

static bool is_used(const struct sync_state *state, const ptrarray_t *mbentries, const char *name)
{
    if (sync_state_byname(state, name)) return true;
    for (int i = 0; i < ptrarray_size(mbentries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        if (!strcmp(mbentry->name, name)) return true;
    }
    return false;
}

/*
 * A name beside that one, for a mailbox that must make room. It is one of the user's own, so the messages can be
 * seen there all the time; the next round, or the next run, finds the mailbox by its UNIQUEID.
 */
static char *spare_name(const struct sync_state *state, const ptrarray_t *mbentries,
                        const char *name, const char *uniqueid)
{
    for (unsigned n = 0;; n++) {
        char *spare = xasprintf("%s~%.8s", name, uniqueid);
        if (n) {
            char *numbered = xasprintf("%s-%u", spare, n);
            free(spare);
            spare = numbered;
        }
        if (!is_used(state, mbentries, spare)) return spare;
        free(spare);
    }
}

/* An INBOX leads to the files of its user: it is never in the way, and makes no room. */
static int make_room(struct batch *batch, const ptrarray_t *mbentries, struct sync_state *state,
                     struct sync_remote *occupant)
{
    struct sync_folder *f = &occupant->folder;
    if (mboxname_isusermailbox(f->name, true)) return IMAP_MAILBOX_MOVED;
    char *spare = spare_name(state, mbentries, f->name, f->uniqueid);
    int r = do_rename(batch, f->name, spare, f->partition, f->uidvalidity);

    if (r) {
        free(spare);
        return r;
    }
    free(f->name);
    f->name = spare;
    return 0;
}

static struct rename *rename_from(const ptrarray_t *renames, const char *oldname)
{
    for (int i = 0; i < ptrarray_size(renames); i++) {
        struct rename *ren = ptrarray_nth(renames, i);
        if (!ren->done && !strcmp(ren->oldname, oldname)) return ren;
    }
    return NULL;
}

/* One that is done now or need not wait: the name is free, or who has it has nowhere to go. */
static int try_rename(struct batch *batch, const ptrarray_t *mbentries, struct sync_state *state,
                      const ptrarray_t *renames, struct rename *ren)
{
    const struct rename *other = rename_from(renames, ren->newname);
    if (other && other != ren) return 0;
    struct sync_remote *occupant = other ? NULL : sync_state_byname(state, ren->newname);
    int r = occupant ? make_room(batch, mbentries, state, occupant) : 0;

    if (!r) r = do_rename(batch, ren->oldname, ren->newname, ren->partition, ren->uidvalidity);
    if (r) return r;
    ren->done = true;
    struct sync_remote *moved = sync_state_byname(state, ren->oldname);
    if (moved) {
        free(moved->folder.name);
        moved->folder.name = xstrdup(ren->newname);
    }
    return 0;
}

/* Mailboxes that change names in a ring: one of them makes room for the others. */
static int open_ring(struct batch *batch, const ptrarray_t *mbentries, struct sync_state *state,
                     const ptrarray_t *renames)
{
    for (int i = 0; i < ptrarray_size(renames); i++) {
        struct rename *ren = ptrarray_nth(renames, i);
        struct sync_remote *remote = ren->done ? NULL : sync_state_byname(state, ren->oldname);
        if (!remote || mboxname_isusermailbox(ren->oldname, true)) continue;
        int r = make_room(batch, mbentries, state, remote);
        if (r) return r;
        free(ren->oldname);
        ren->oldname = xstrdup(remote->folder.name);
        return 0;
    }
    syslog(LOG_ERR, "failed to order folders correctly");
    return IMAP_MAILBOX_MOVED;
}

static int order_renames(struct batch *batch, const ptrarray_t *mbentries,
                         struct sync_state *state, const ptrarray_t *renames)
{
    int left = ptrarray_size(renames);

    while (left) {
        int before = left;
        for (int i = 0; i < ptrarray_size(renames); i++) {
            struct rename *ren = ptrarray_nth(renames, i);
            if (ren->done) continue;
            int r = try_rename(batch, mbentries, state, renames, ren);
            if (r) return r;
            left -= ren->done;
        }
        if (left < before) continue;
        int r = open_ring(batch, mbentries, state, renames);
        if (r) return r;
    }
    return 0;
}

static int do_renames(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                      const ptrarray_t *renames, bool *againp)
{
    struct batch batch;

    if (!ptrarray_size(renames)) return 0;
    *againp = true;
    batch_begin(&batch, sc);
    return batch_end(&batch, order_renames(&batch, mbentries, state, renames));
}

/* ---- the set ---- */

/* Ours beside the other one, then the two change places. */
static int make_beside(struct sync_client *sc, const ptrarray_t *mbentries,
                       const mbentry_t *mbentry, struct sync_state *state,
                       struct sync_remote *occupant, struct sync_sent *sent)
{
    const char *partition = sync_target_partition(sc, mbentry);
    struct batch places;
    char *beside = spare_name(state, mbentries, mbentry->name, mbentry->uniqueid);
    int r = sync_do_mailbox_as(sc, mbentry, beside, NULL, sent);

    if (!r) {
        batch_begin(&places, sc);
        r = make_room(&places, mbentries, state, occupant);
        if (!r) r = do_rename(&places, beside, mbentry->name, partition, mbentry->uidvalidity);
        r = batch_end(&places, r);
    }
    free(beside);
    return r;
}

/*
 * Another mailbox has the name on the replica, and ours is not there; its messages are in ours by now. Ours is made of
 * the messages that the replica has. An INBOX has no place beside it: the replica must be able to replace it, which 3.6.1 refuses.
 */
static int do_beside(struct sync_client *sc, const ptrarray_t *mbentries, const mbentry_t *mbentry,
                     struct sync_state *state, struct sync_remote *occupant, struct sync_sent *sent)
{
    ptrarray_t one = PTRARRAY_INITIALIZER;

    ptrarray_append(&one, (void *)mbentry);
    int r = sync_do_reserve(sc, &one, state, sent);
    ptrarray_fini(&one);
    if (r) return r;
    if (mboxname_isusermailbox(mbentry->name, true))
        return sync_do_mailbox_as(sc, mbentry, NULL, occupant->folder.uniqueid, sent);
    return make_beside(sc, mbentries, mbentry, state, occupant, sent);
}

struct update {
    struct sync_client *sc;
    const ptrarray_t *mbentries;
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
    if (r == IMAP_AGAIN || r == IMAP_SYNC_CHECKSUM) {
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
        ended(u, item->mbentry, sync_do_mailbox_again(u->sc, item->mbentry, item->r, u->sent));
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
    int r = do_beside(sc, u->mbentries, mbentry, u->state, occupant, u->sent);
    if (!r) *againp = true;
    ended(u, mbentry, r);
}

static int update_all(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                      struct sync_sent *sent, bool *againp)
{
    struct update u = { .sc = sc, .mbentries = mbentries, .state = state, .sent = sent };

    for (int i = 0; i < ptrarray_size(mbentries) && !sc->broken; i++) {
        update_one(&u, ptrarray_nth(mbentries, i), againp);
        if (!ptrarray_size(&sc->posted)) do_again(&u);
    }
    sync_client_settle(sc);
    do_again(&u);
    ptrarray_fini(&u.again);
    return u.first;
}

int sync_do_folders(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                    bool candelete, bool *againp)
{
    struct sync_sent sent;
    ptrarray_t renames = PTRARRAY_INITIALIZER;
    int undecided = 0;

    *againp = false;
    sync_sent_init(&sent);
    int r = find_moved(sc, mbentries, state);
    if (!r) match(sc, mbentries, state, &renames);
    if (!r && candelete) undecided = sync_absent_decide(sc, state, againp);
    if (sc->broken) r = undecided;
    /* what is deleted may have messages that are in others now */
    if (!r) r = sync_do_reserve(sc, mbentries, state, &sent);
    if (!r) r = sync_absent_remove(sc, state, SYNC_FATE_DELETE);
    if (!r) r = do_renames(sc, mbentries, state, &renames, againp);
    if (!r && !*againp) {
        r = update_all(sc, mbentries, state, &sent, candelete ? againp : NULL);
        if (!r) r = sync_absent_remove(sc, state, SYNC_FATE_LATE);
        if (!r && sync_absent_merged(state)) *againp = true;
    }
    ptrarray_fini_with(&renames, rename_free);
    sync_sent_fini(&sent);
    return r ? r : undecided;
}
