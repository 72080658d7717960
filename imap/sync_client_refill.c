/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_refill -- message files of this end come from the replica (handbook 03 §4, GET FETCH)
 *
 * What another mailbox of the owner has comes from there. The rest, one message at a time, by the UID and the GUID that both ends know it by. The replica sends nothing that does not have the GUID, and
 * what arrives is hashed again before it is kept. Neither end changes but for the files put back here.
 */
#include <config.h>

#include "sync_client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "reconstruct_internal.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int fetch_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    (void)sc;
    (void)rock;
    return strcmp((*dlp)->name, "MESSAGE") ? IMAP_PROTOCOL_ERROR : 0;
}

/* The file goes to the reserve area of the partition that the replica names it with: ours. */
int sync_fetch_message(struct sync_client *sc, const struct sync_folder *remote,
                       const char *partition, uint32_t uid, const struct message_guid *guid)
{
    struct dlist *kl = dlist_newkvlist(NULL, "FETCH");
    char text[MESSAGE_GUID_STRLEN];

    dlist_setatom(kl, "MBOXNAME", remote->name);
    dlist_setatom(kl, "PARTITION", remote->partition);
    dlist_setatom(kl, "UNIQUEID", remote->uniqueid);
    dlist_setatom(kl, "GUID", message_guid_encode(guid, text));
    dlist_setnum32(kl, "UID", uid);
    int r = sync_client_command(sc, "GET", kl, fetch_line, NULL);
    if (r || sync_reserve_find(sc->reserve, partition, guid)) return r;
    /* it came under the replica's name of the partition */
    const char *path = sync_reserve_find(sc->reserve, remote->partition, guid);
    return path ? sync_reserve_link(sc->reserve, partition, guid, path) : IMAP_MESSAGE_DAMAGED;
}

/* ---- one mailbox ---- */

struct refill {
    struct sync_client *sc;
    struct reconstruct *rc;
    const mbentry_t *mbentry;
    const struct sync_folder *remote;
};

/* Why the replica doesn't give a message; NULL: something else is wrong. */
static const char *why_not(int r)
{
    if (r == IMAP_MAILBOX_NONEXISTENT) return "does not have it";
    if (r == IMAP_MESSAGE_DAMAGED) return "has it damaged";
    return r == IMAP_REMOTE_DENIED ? "can't read it" : NULL;
}

/* ---- copies of our own ---- */

static void want(const struct reconstruct_refill *list, hash_table *wanted)
{
    char text[MESSAGE_GUID_STRLEN];

    construct_hash_table(wanted, list->n);
    for (size_t i = 0; i < list->n; i++)
        hash_insert(message_guid_encode(&list->v[i].guid, text), wanted, wanted);
}

/* The file of one that was found goes back. */
static int put_own(const struct refill *job, const struct reconstruct_message *m, const char *path)
{
    const char *name = job->mbentry->name;
    bool dry = job->rc->flags & RECONSTRUCT_DRYRUN;
    int r = dry ? 0 : reconstruct_put_back(name, m, path);

    if (r == IMAP_NOTFOUND) return 0; /* it has gone meanwhile */
    if (!r)
        reconstruct_say(job->rc, "%s uid %" PRIu32 " %s, %s", name, m->uid, m->fault,
                        dry ? "there is another copy of it here" : "taken from another copy of it here");
    return r;
}

/* What other mailboxes of the same owner have, under any name, need not come from elsewhere; the list keeps the rest. */
static int use_own(const struct refill *job, struct reconstruct_refill *list)
{
    struct sync_reserve *found = sync_reserve_new();
    hash_table wanted;
    size_t kept = 0;

    want(list, &wanted);
    int r = sync_local_look(job->sc, job->mbentry->name, job->mbentry->partition, &wanted, found);
    for (size_t i = 0; i < list->n; i++) {
        const char *path = r ? NULL : sync_reserve_find(found, job->mbentry->partition, &list->v[i].guid);
        if (path)
            r = put_own(job, &list->v[i], path);
        else
            list->v[kept++] = list->v[i];
    }
    list->n = kept;
    free_hash_table(&wanted, NULL);
    sync_reserve_free(&found);
    return r;
}

/* ---- the replica's ---- */

/* An error that ends the work; what is with this message is told. */
static int refill_one(const struct refill *job, const struct reconstruct_message *m)
{
    const char *name = job->mbentry->name, *partition = job->mbentry->partition;
    int r = job->remote
                ? sync_fetch_message(job->sc, job->remote, partition, m->uid, &m->guid)
                : IMAP_MAILBOX_NONEXISTENT;

    if (r && why_not(r)) {
        reconstruct_say(job->rc, "%s uid %" PRIu32 " %s, the replica %s, left alone", name, m->uid,
                        m->fault, why_not(r));
        job->rc->left++;
        return 0;
    }
    if (r) return r;
    if (job->rc->flags & RECONSTRUCT_DRYRUN) {
        reconstruct_say(job->rc, "%s uid %" PRIu32 " %s, the replica has it", name, m->uid, m->fault);
        return 0;
    }
    r = reconstruct_put_back(name, m, sync_reserve_find(job->sc->reserve, partition, &m->guid));
    if (r == IMAP_NOTFOUND) return 0; /* it has gone meanwhile */
    if (!r)
        reconstruct_say(job->rc, "%s uid %" PRIu32 " %s, fetched from the replica", name, m->uid,
                        m->fault);
    return r;
}

static int refill_all(struct refill *job, const struct reconstruct_refill *list)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;

    strarray_append(&names, job->mbentry->name);
    int r = sync_state_getlist(job->sc, "MAILBOXES", &names, &state);
    struct sync_remote *remote = job->mbentry->uniqueid
                                     ? sync_state_find(&state, job->mbentry->uniqueid)
                                     : NULL;
    job->remote = remote ? &remote->folder : NULL;
    for (size_t i = 0; !r && i < list->n; i++) {
        r = refill_one(job, &list->v[i]);
        /* one file at a time in the reserve area */
        sync_reserve_clear(job->sc->reserve);
    }
    strarray_fini(&names);
    sync_state_fini(&state);
    return r;
}

int sync_refill_mailbox(struct sync_client *sc, struct reconstruct *rc, const char *name)
{
    struct refill job = { .sc = sc, .rc = rc };
    struct reconstruct_refill list = { .rate = rc->rate, .stop = rc->stop };
    mbentry_t *mbentry = NULL;

    int r = reconstruct_find_refill(name, &list);
    if (!r && list.n) r = mboxlist_lookup(name, &mbentry, NULL);
    job.mbentry = mbentry;
    if (!r && list.n) r = use_own(&job, &list);
    if (!r && list.n && !sc->backend) r = sync_client_connect(sc);
    if (!r && list.n) r = refill_all(&job, &list);
    mbentry_free(&mbentry);
    reconstruct_free_refill(&list);
    return r;
}
