/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_renames -- names on the replica change hands (handbook 03 §10.4)
 *
 * A rename waits for who has its new name and is to leave it. Such a chain is followed to its end and done from there; each rename is looked
 * at once or twice, however many there are. A chain that comes back to itself is a ring: one of it makes room for the others, by a name beside
 * its own. So does who has a name that is needed and is to go nowhere. The name is one of the user's own, and the messages can be seen there all the
 * time; the next round, or the next run, finds the mailbox by its UNIQUEID.
 */
#include <config.h>

#include "sync_client_renames.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct rename {
    char *oldname, *newname, *partition;
    uint32_t uidvalidity;
    const mbentry_t *mbentry;          /* the caller's: ours, or NULL: only the name is to be another */
    const struct sync_folder *remote;  /* of the state: what the replica has */
    bool waits, done;
};

/* ---- batches ---- */

void sync_batch_begin(struct sync_batch *batch, struct sync_client *sc, struct sync_state *state)
{
    *batch = (struct sync_batch){ .sc = sc, .state = state };
    if (sc->backend && backend_has(sc->backend, BACKEND_CAPA_RENAMES))
        batch->list = dlist_newlist(NULL, sc->localonly ? "LOCAL_RENAMES" : "RENAMES");
}

int sync_batch_end(struct sync_batch *batch, int r)
{
    if (batch->list && batch->list->head && !r)
        r = sync_client_command(batch->sc, "APPLY", batch->list, NULL, NULL);
    else
        dlist_free(&batch->list);
    batch->list = NULL;
    return r;
}

/*
 * Do ours and the replica's differ in nothing but what a rename changes? Then the numbers and rights that it is to have afterwards
 * go with the rename, and nothing is left to be sent for it. *ours is ours then.
 */
static bool is_only_renamed(const struct rename *ren, struct sync_folder *ours)
{
    const struct sync_folder *remote = ren->remote;
    struct mailbox *mailbox = NULL;

    if (mailbox_open_irl(ren->mbentry->name, &mailbox)) return false;
    bool same = !strcmpnull(mailbox_uniqueid(mailbox), remote->uniqueid) && !sync_folder_check_supported(mailbox) &&
                !sync_folder_read(mailbox, ours);
    uint64_t lsn = mailbox_seen_lsn(mailbox);
    mailbox_close(&mailbox);
    if (!same) return false;
    struct sync_folder as = *ours;
    as.name = remote->name;
    as.acl = remote->acl;
    as.partition = remote->partition;
    as.quotaroot = remote->quotaroot;
    as.highestmodseq = remote->highestmodseq;
    as.foldermodseq = remote->foldermodseq;
    as.xconvmodseq = remote->xconvmodseq;
    return ours->highestmodseq >= remote->highestmodseq && ours->foldermodseq >= remote->foldermodseq &&
           ours->xconvmodseq >= remote->xconvmodseq && sync_folder_same(&as, remote, NULL, NULL) &&
           sync_folder_same_crcs(&as, remote) && !txn_wait(lsn);
}

static void add_state(struct dlist *kl, const struct rename *ren)
{
    struct sync_folder ours = { 0 };

    if (is_only_renamed(ren, &ours)) {
        dlist_setnum64(kl, "HIGHESTMODSEQ", ours.highestmodseq);
        dlist_setnum64(kl, "FOLDERMODSEQ", ours.foldermodseq);
        if (ours.xconvmodseq) dlist_setnum64(kl, "XCONVMODSEQ", ours.xconvmodseq);
        dlist_setatom(kl, "ACL", ours.acl);
    }
    sync_folder_fini(&ours);
}

/* uniqueid: of what is meant, or NULL. ren: what is renamed to be as ours is; NULL: it makes room. */
static int send_rename(struct sync_batch *batch, const char *uniqueid, const char *oldname, const char *newname, const char *partition,
                       uint32_t uidvalidity, const struct rename *ren)
{
    struct sync_client *sc = batch->sc;
    const char *cmd = sc->localonly ? "LOCAL_RENAME" : "RENAME";
    struct dlist *kl = dlist_newkvlist(batch->list, batch->list ? NULL : cmd);

    sync_client_say(sc, "%s %s -> %s (%s)", cmd, oldname, newname, partition);
    dlist_setatom(kl, "OLDMBOXNAME", oldname);
    dlist_setatom(kl, "NEWMBOXNAME", newname);
    dlist_setatom(kl, "PARTITION", partition);
    dlist_setnum32(kl, "UIDVALIDITY", uidvalidity);
    if (batch->list && uniqueid) dlist_setatom(kl, "UNIQUEID", uniqueid);
    if (batch->list && ren && ren->mbentry) add_state(kl, ren);
    return batch->list ? 0 : sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

static int batch_rename(struct sync_batch *batch, const char *oldname, const char *newname, const char *partition,
                        uint32_t uidvalidity, const struct rename *ren)
{
    struct sync_remote *moved = sync_state_byname(batch->state, oldname);
    int r = send_rename(batch, moved ? moved->folder.uniqueid : NULL, oldname, newname, partition, uidvalidity, ren);

    if (moved && !r) sync_state_rename(batch->state, moved, newname);
    return r;
}

int sync_batch_rename(struct sync_batch *batch, const char *oldname, const char *newname, const char *partition,
                      uint32_t uidvalidity)
{
    return batch_rename(batch, oldname, newname, partition, uidvalidity, NULL);
}

/* ---- making room ---- */

static bool is_used(const struct sync_state *state, const char *name)
{
    mbentry_t *entry = NULL;

    if (sync_state_byname(state, name)) return true;
    bool used = !mboxlist_lookup(name, &entry, NULL);
    mbentry_free(&entry);
    return used;
}

char *sync_spare_name(const struct sync_state *state, const char *name, const char *uniqueid)
{
    for (unsigned n = 0;; n++) {
        char *spare = xasprintf("%s~%.8s", name, uniqueid);
        if (n) {
            char *numbered = xasprintf("%s-%u", spare, n);
            free(spare);
            spare = numbered;
        }
        if (!is_used(state, spare)) return spare;
        free(spare);
    }
}

/* An INBOX leads to the files of its user: it is never in the way, and makes no room. */
int sync_batch_make_room(struct sync_batch *batch, struct sync_remote *occupant)
{
    const struct sync_folder *f = &occupant->folder;
    if (mboxname_isusermailbox(f->name, true)) return IMAP_MAILBOX_MOVED;
    char *spare = sync_spare_name(batch->state, f->name, f->uniqueid);
    int r = sync_batch_rename(batch, f->name, spare, f->partition, f->uidvalidity);

    free(spare);
    return r;
}

/* ---- the list ---- */

static void rename_free(void *p)
{
    struct rename *ren = p;

    free(ren->oldname);
    free(ren->newname);
    free(ren->partition);
    free(ren);
}

void sync_renames_fini(struct sync_renames *renames)
{
    ptrarray_fini_with(&renames->list, rename_free);
    free_hash_table(&renames->byold, NULL);
}

static struct rename *add(struct sync_renames *renames, const struct sync_folder *remote, const char *newname, const char *partition,
                          uint32_t uidvalidity)
{
    struct rename *ren = xzmalloc(sizeof(*ren));

    ren->oldname = xstrdup(remote->name);
    ren->newname = xstrdup(newname);
    ren->partition = xstrdup(partition);
    ren->uidvalidity = uidvalidity;
    ren->remote = remote;
    ptrarray_append(&renames->list, ren);
    hash_insert(ren->oldname, ren, &renames->byold);
    return ren;
}

void sync_renames_add(struct sync_renames *renames, const struct sync_folder *remote, const mbentry_t *mbentry,
                      const char *partition)
{
    add(renames, remote, mbentry->name, partition, mbentry->uidvalidity)->mbentry = mbentry;
}

void sync_renames_add_name(struct sync_renames *renames, const struct sync_folder *remote, const char *newname, const char *partition,
                           uint32_t uidvalidity)
{
    (void)add(renames, remote, newname, partition, uidvalidity);
}

/* The name is free, or who has it has nowhere to go. */
static int do_one(struct sync_batch *batch, struct sync_renames *renames, struct rename *ren)
{
    struct sync_remote *occupant =
        strcmp(ren->oldname, ren->newname) != 0 ? sync_state_byname(batch->state, ren->newname) : NULL;
    int r = occupant ? sync_batch_make_room(batch, occupant) : 0;

    if (!r) r = batch_rename(batch, ren->oldname, ren->newname, ren->partition, ren->uidvalidity, ren);
    if (r) return r;
    ren->done = true;
    hash_del(ren->oldname, &renames->byold);
    return 0;
}

/* One of the ring that ends the chain, from the one on that its end waits for, makes room. */
static int open_ring(struct sync_batch *batch, struct sync_renames *renames, const ptrarray_t *chain, const struct rename *from)
{
    int i = 0;

    while (ptrarray_nth(chain, i) != from) i++;
    for (; i < ptrarray_size(chain); i++) {
        struct rename *ren = ptrarray_nth(chain, i);
        struct sync_remote *remote = sync_state_byname(batch->state, ren->oldname);
        if (!remote || mboxname_isusermailbox(ren->oldname, true)) continue;
        int r = sync_batch_make_room(batch, remote);
        if (r) return r;
        hash_del(ren->oldname, &renames->byold);
        free(ren->oldname);
        ren->oldname = xstrdup(remote->folder.name);
        hash_insert(ren->oldname, ren, &renames->byold);
        return 0;
    }
    syslog(LOG_ERR, "failed to order folders correctly");
    return IMAP_MAILBOX_MOVED;
}

/* Whom it waits for, and whom that one waits for. Returns who is there twice, if it is a ring. */
static struct rename *follow(const struct sync_renames *renames, struct rename *first, ptrarray_t *chain)
{
    struct rename *ren = first, *next;

    for (;; ren = next) {
        ren->waits = true;
        ptrarray_append(chain, ren);
        next = hash_lookup(ren->newname, &renames->byold);
        if (!next || next == ren) return NULL;
        if (next->waits) return next;
    }
}

static int do_chain(struct sync_batch *batch, struct sync_renames *renames, struct rename *first)
{
    ptrarray_t chain = PTRARRAY_INITIALIZER;
    struct rename *ring = follow(renames, first, &chain);
    int r = ring ? open_ring(batch, renames, &chain, ring) : 0;

    for (int i = ptrarray_size(&chain) - 1; i >= 0; i--) {
        struct rename *ren = ptrarray_nth(&chain, i);
        ren->waits = false;
        if (!ring && !r) r = do_one(batch, renames, ren);
    }
    ptrarray_fini(&chain);
    return r;
}

int sync_renames_do(struct sync_client *sc, struct sync_state *state, struct sync_renames *renames)
{
    struct sync_batch batch;
    int r = 0;

    sync_batch_begin(&batch, sc, state);
    for (int i = 0; i < ptrarray_size(&renames->list) && !r; i++) {
        struct rename *ren = ptrarray_nth(&renames->list, i);
        while (!ren->done && !r) r = do_chain(&batch, renames, ren);
    }
    return sync_batch_end(&batch, r);
}
