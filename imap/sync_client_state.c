/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_state -- what the replica says about itself
 *
 * Answers to GET USER, META, MAILBOXES and UNIQUEIDS become lists of folders, quota roots, seen
 * records, subscriptions and scripts. A line of a kind that is not known fails the
 * command: half a state would be taken for "the rest does not exist".
 */
#include <config.h>

#include "sync_client.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "libconfig.h"
#include "quota_codec.h"
#include "signals.h"
#include "sync_name.h"
#include "sync_quota.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Milliseconds between two questions for a user that another stream has: the first time, and at most; with nowait in all, since one that
 * has done with him may not have said so yet. */
#define LEASE_FIRST 25u
#define LEASE_LAST 1000u
#define LEASE_NOWAIT 1000

/* ---- freeing ---- */

static void free_folder(void *p)
{
    struct sync_remote *remote = p;

    sync_folder_fini(&remote->folder);
    free(remote);
}

static void free_quota(void *p)
{
    quota_free(p);
    free(p);
}

static void free_seen(void *p)
{
    struct sync_remote_seen *seen = p;

    free(seen->uniqueid);
    seen_freedata(&seen->sd);
    free(seen);
}

void sync_seen_fini(ptrarray_t *list)
{
    ptrarray_fini_with(list, free_seen);
}

void sync_state_fini(struct sync_state *state)
{
    ptrarray_fini_with(&state->folders, free_folder);
    ptrarray_fini_with(&state->quotas, free_quota);
    sync_seen_fini(&state->seen);
    strarray_fini(&state->subs);
    sync_sieve_list_fini(&state->scripts);
    free_hash_table(&state->byid, NULL);
    free_hash_table(&state->byname, NULL);
    free(state->digest);
    *state = (struct sync_state)SYNC_STATE_INITIALIZER;
}

/* ---- lines ---- */

static void note_first(hash_table *table, const char *key, struct sync_remote *remote)
{
    if (!hash_lookup(key, table)) hash_insert(key, remote, table);
}

static int add_mailbox(struct sync_state *state, const struct dlist *kl)
{
    struct sync_remote *remote = xzmalloc(sizeof(*remote));
    int r = sync_folder_parse(kl, false, &remote->folder);

    if (r) {
        free(remote);
        return r;
    }
    remote->folder.records = NULL; /* would point into the dlist */
    ptrarray_append(&state->folders, remote);
    note_first(&state->byid, remote->folder.uniqueid, remote);
    note_first(&state->byname, remote->folder.name, remote);
    return 0;
}

static int add_quota(struct sync_state *state, const struct dlist *kl)
{
    struct quota *q = xzmalloc(sizeof(*q));
    int r = sync_quota_parse(kl, q);

    if (r)
        free(q);
    else
        ptrarray_append(&state->quotas, q);
    return r;
}

static int add_seen(struct sync_state *state, const struct dlist *kl)
{
    const char *uniqueid, *uids;
    struct seendata sd = SEENDATA_INITIALIZER;

    if (!dlist_getatom(kl, "UNIQUEID", &uniqueid) || !dlist_getdate(kl, "LASTREAD", &sd.lastread) ||
        !dlist_getnum32(kl, "LASTUID", &sd.lastuid) ||
        !dlist_getdate(kl, "LASTCHANGE", &sd.lastchange) || !dlist_getatom(kl, "SEENUIDS", &uids))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    struct sync_remote_seen *seen = xzmalloc(sizeof(*seen));
    seen->uniqueid = xstrdup(uniqueid);
    seen->sd = sd;
    seen->sd.seenuids = xstrdup(uids);
    ptrarray_append(&state->seen, seen);
    return 0;
}

static int add_subs(struct sync_state *state, const struct dlist *list)
{
    for (const struct dlist *item = list->head; item; item = item->next) {
        const char *name;
        if (sync_toname(item, &name))
            strarray_append(&state->subs, name);
        else if (dlist_isnil(item))
            return IMAP_PROTOCOL_BAD_PARAMETERS; /* else it was logged, and stays there as it is */
    }
    return 0;
}

static int add_script(struct sync_state *state, const struct dlist *kl)
{
    const char *filename;
    struct sync_sieve script = { 0 };
    uint32_t active;

    if (!dlist_getatom(kl, "FILENAME", &filename) ||
        !dlist_getdate(kl, "LAST_UPDATE", &script.last_update) ||
        !dlist_getguid(kl, "GUID", &script.guid) || !dlist_getnum32(kl, "ISACTIVE", &active))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    script.filename = xstrdup(filename);
    script.active = active;
    struct sync_sieve_list *list = &state->scripts;
    list->v = xrealloc(list->v, (list->n + 1) * sizeof(*list->v));
    list->v[list->n++] = script;
    return 0;
}

static int add_digest(struct sync_state *state, const struct dlist *kl)
{
    const char *digest;

    if (!dlist_getatom(kl, "DIGEST", &digest)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    free(state->digest);
    state->digest = xstrdup(digest);
    return 0;
}

static const struct {
    const char *name;
    int (*add)(struct sync_state *state, const struct dlist *dl);
} kinds[] = {
    { "MAILBOX", add_mailbox }, { "QUOTA", add_quota },  { "SEEN", add_seen },
    { "LSUB", add_subs },       { "SIEVE", add_script },
    { "FOLDERS", add_digest },
};

static int state_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    for (size_t i = 0; i < array_size(kinds); i++)
        if ((*dlp)->name && !strcmp((*dlp)->name, kinds[i].name)) return kinds[i].add(rock, *dlp);
    syslog(LOG_ERR, "SYNCERROR: unexpected line from the replica: %s",
           (*dlp)->name ? (*dlp)->name : "");
    return IMAP_PROTOCOL_ERROR;
}

/* ---- asking ---- */

/* Somewhat at random, so that those who wait for one user do not ask at the same moments. */
static bool wait_for_lease(struct sync_client *sc, unsigned long long began, unsigned *ms)
{
    int most = sc->lease_wait ? sc->lease_wait : sc->nowait ? LEASE_NOWAIT : config_getduration(IMAPOPT_SYNC_TIMEOUT) * 1000;

    if (sc->broken || signals_shutdown() || monotonic_ms() - began >= (unsigned long long)most) return false;
    (void)signals_poll_fds(NULL, 0, (int)(*ms / 2 + (unsigned)rand() % *ms));
    *ms = cyr_min(*ms * 2, LEASE_LAST);
    return !signals_shutdown();
}

/* No line comes with a refusal, so it can be asked again. */
static int get(struct sync_client *sc, const struct dlist *list, struct sync_state *state)
{
    unsigned long long began = monotonic_ms();
    unsigned ms = LEASE_FIRST;
    struct buf text = BUF_INITIALIZER;
    int r;

    dlist_printbuf(list, true, &text);
    do {
        r = sync_client_textcommand(sc, "GET", list->name, &text, state_line, state);
    } while (r == IMAP_MAILBOX_LOCKED && wait_for_lease(sc, began, &ms));
    buf_free(&text);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static struct dlist *question(const char *what, const strarray_t *args)
{
    struct dlist *list = dlist_newlist(NULL, what);

    for (int i = 0; i < strarray_size(args); i++) dlist_setatom(list, NULL, strarray_nth(args, i));
    return list;
}

static int ask(struct sync_client *sc, struct dlist *list, struct sync_state *state)
{
    int r = get(sc, list, state);

    dlist_free(&list);
    return r;
}

int sync_state_get(struct sync_client *sc, const char *what, const char *arg,
                   struct sync_state *state)
{
    return ask(sc, dlist_newatom(NULL, what, arg), state);
}

int sync_state_getlist(struct sync_client *sc, const char *what, const strarray_t *args,
                       struct sync_state *state)
{
    return ask(sc, question(what, args), state);
}

int sync_state_getnamed(struct sync_client *sc, const strarray_t *names, const char *userid, struct sync_state *state)
{
    struct dlist *list = question("MAILBOXES", names);

    if (backend_has(sc->backend, BACKEND_CAPA_FOLDERS)) dlist_setatom(dlist_newkvlist(list, NULL), "FOLDERS", userid);
    return ask(sc, list, state);
}

const struct sync_remote_seen *sync_seen_find(const ptrarray_t *list, const char *uniqueid)
{
    for (int i = 0; i < ptrarray_size(list); i++) {
        const struct sync_remote_seen *seen = ptrarray_nth(list, i);
        if (!strcmp(seen->uniqueid, uniqueid)) return seen;
    }
    return NULL;
}

bool sync_seen_equal(const struct sync_remote_seen *a, const struct sync_remote_seen *b)
{
    return a->sd.lastuid == b->sd.lastuid && a->sd.lastread == b->sd.lastread &&
           a->sd.lastchange == b->sd.lastchange && !strcmp(a->sd.seenuids, b->sd.seenuids);
}

struct sync_remote *sync_state_find(const struct sync_state *state, const char *uniqueid)
{
    return uniqueid ? hash_lookup(uniqueid, &state->byid) : NULL;
}

struct sync_remote *sync_state_byname(const struct sync_state *state, const char *name)
{
    struct sync_remote *remote = hash_lookup(name, &state->byname);

    return remote && remote->fate != SYNC_FATE_GONE ? remote : NULL;
}

void sync_state_rename(struct sync_state *state, struct sync_remote *remote, const char *newname)
{
    if (hash_lookup(remote->folder.name, &state->byname) == remote) hash_del(remote->folder.name, &state->byname);
    free(remote->folder.name);
    remote->folder.name = xstrdup(newname);
    hash_insert(newname, remote, &state->byname);
}
