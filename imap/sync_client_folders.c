/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_folders -- put a set of mailboxes in order on the replica (handbook 03 §10.4)
 *
 * A mailbox is known by its UNIQUEID. One that the replica has under another name is
 * renamed there, also when its old name belongs to somebody else; it is never
 * deleted and uploaded again. Deleted is only what a tombstone here says is gone,
 * and only when its UNIQUEID does not live on under another name.
 */
#include <config.h>

#include "sync_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "namelock.h"
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

/* ---- deletions ---- */

static int do_unmailbox(struct sync_client *sc, const char *name)
{
    const char *cmd = sc->localonly ? "LOCAL_UNMAILBOX" : "UNMAILBOX";

    sync_client_say(sc, "%s %s", cmd, name);
    int r = sync_client_command(sc, "APPLY", dlist_newatom(NULL, cmd, name), NULL, NULL);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

/* Does the mailbox live on here under another name? */
static bool lives_elsewhere(const struct sync_folder *folder)
{
    mbentry_t *byid = NULL;
    bool alive = !mboxlist_lookup_by_uniqueid(folder->uniqueid, &byid, false, NULL) &&
                 strcmp(byid->name, folder->name) != 0;

    if (alive)
        syslog(LOG_NOTICE, "SYNCNOTICE: %s on the replica is %s here, it is not deleted",
               folder->name, byid->name);
    mbentry_free(&byid);
    return alive;
}

static int delete_one(struct sync_client *sc, const struct sync_folder *folder)
{
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup_allow_all(folder->name, &entry, NULL);
    bool tombstone = !r && (entry->mbtype & MBTYPE_DELETED);

    mbentry_free(&entry);
    if (!tombstone) {
        syslog(LOG_ERR, "no tombstone for deleted mailbox %s (%s)", folder->name, error_message(r));
        return 0;
    }
    return lives_elsewhere(folder) ? 0 : do_unmailbox(sc, folder->name);
}

static int do_deletions(struct sync_client *sc, const struct sync_state *state)
{
    int r = 0;

    for (int i = 0; i < ptrarray_size(&state->folders) && !r; i++) {
        const struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        if (!remote->mark) r = delete_one(sc, &remote->folder);
    }
    return r;
}

/* ---- renames ---- */

static int do_rename(struct sync_client *sc, const struct rename *ren)
{
    struct dlist *kl = dlist_newkvlist(NULL, sc->localonly ? "LOCAL_RENAME" : "RENAME");

    sync_client_say(sc, "%s %s -> %s (%s)", kl->name, ren->oldname, ren->newname, ren->partition);
    dlist_setatom(kl, "OLDMBOXNAME", ren->oldname);
    dlist_setatom(kl, "NEWMBOXNAME", ren->newname);
    dlist_setatom(kl, "PARTITION", ren->partition);
    dlist_setnum32(kl, "UIDVALIDITY", ren->uidvalidity);
    return sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

/* Its new name is not yet to be left by another one. */
static bool is_free(const ptrarray_t *renames, const struct rename *ren)
{
    for (int i = 0; i < ptrarray_size(renames); i++) {
        const struct rename *other = ptrarray_nth(renames, i);
        if (other != ren && !other->done && !strcmp(other->oldname, ren->newname)) return false;
    }
    return true;
}

static int do_renames(struct sync_client *sc, ptrarray_t *renames, bool *againp)
{
    int left = ptrarray_size(renames);

    while (left) {
        bool progress = false;
        for (int i = 0; i < ptrarray_size(renames); i++) {
            struct rename *ren = ptrarray_nth(renames, i);
            if (ren->done || !is_free(renames, ren)) continue;
            int r = do_rename(sc, ren);
            if (r) return r;
            ren->done = progress = *againp = true;
            left--;
        }
        if (progress) continue;
        syslog(LOG_ERR, "failed to order folders correctly at %s",
               ((struct rename *)ptrarray_nth(renames, 0))->oldname);
        *againp = true;
        break;
    }
    return 0;
}

/* ---- the set ---- */

static int update_one(struct sync_client *sc, const mbentry_t *mbentry,
                      const struct sync_state *state, struct sync_sent *sent)
{
    if (is_intermediate(mbentry)) return sync_do_intermediate(sc, mbentry);
    const struct sync_remote *remote = sync_state_find(state, mbentry->uniqueid);
    return sync_do_mailbox(sc, mbentry, remote ? &remote->folder : NULL, sent);
}

/* One bad mailbox does not stop the others; the first error is the result. */
static int update_all(struct sync_client *sc, const ptrarray_t *mbentries,
                      const struct sync_state *state, struct sync_sent *sent)
{
    int first = 0;

    for (int i = 0; i < ptrarray_size(mbentries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        int r = update_one(sc, mbentry, state, sent);
        if (!r) continue;
        syslog(LOG_ERR, "IOERROR: mailbox replication failed: mailbox=<%s> error=<%s>",
               mbentry->name, error_message(r));
        if (sc->complain) fprintf(stderr, "%s: %s\n", mbentry->name, sync_client_errtext(sc, r));
        if (!first) first = r;
        if (sc->broken) break;
    }
    return first;
}

int sync_do_folders(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                    bool candelete, bool *againp)
{
    struct sync_sent sent;
    ptrarray_t renames = PTRARRAY_INITIALIZER;

    *againp = false;
    sync_sent_init(&sent);
    int r = find_moved(sc, mbentries, state);
    if (!r) r = sync_do_reserve(sc, mbentries, state, &sent);
    if (!r) match(sc, mbentries, state, &renames);
    if (!r && candelete) r = do_deletions(sc, state);
    if (!r) r = do_renames(sc, &renames, againp);
    if (!r && !*againp) r = update_all(sc, mbentries, state, &sent);
    ptrarray_fini_with(&renames, rename_free);
    sync_sent_fini(&sent);
    return r;
}
