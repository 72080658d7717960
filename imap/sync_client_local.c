/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_local -- what there is here to replicate
 *
 * Mailboxes of other servers, tombstones, and scripts that a replica does not take as a mailbox are
 * left out. What vanishes while it is looked at is not there.
 */
#include <config.h>

#include "sync_client.h"

#include <stdlib.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "user.h"
#include "xmalloc.h"

/* ---- mailboxes ---- */

static bool is_wanted(const struct sync_client *sc, const mbentry_t *mbentry)
{
    if (mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE | MBTYPE_REMOTE)) return false;
    return mbtype_isa(mbentry->mbtype) != MBTYPE_SIEVE || sc->sieve_mailbox;
}

struct collect {
    const struct sync_client *sc;
    ptrarray_t *entries;
};

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    struct collect *c = rock;

    if (is_wanted(c->sc, mbentry)) ptrarray_append(c->entries, mbentry_dup(mbentry));
    return 0;
}

int sync_local_user(struct sync_client *sc, const char *userid, ptrarray_t *entries)
{
    struct collect collect = { sc, entries };

    return mboxlist_usermboxtree(userid, collect_cb, &collect, MBOXTREE_DELETED);
}

int sync_local_look(struct sync_client *sc, const char *name, const char *partition, hash_table *wanted, struct sync_reserve *found)
{
    char *userid = mboxname_to_userid(name);
    ptrarray_t entries = PTRARRAY_INITIALIZER;

    int r = userid ? sync_local_user(sc, userid, &entries) : 0;
    if (!r) sync_reserve_look(found, partition, &entries, wanted);
    sync_local_fini(&entries);
    free(userid);
    return r;
}

int sync_local_named(struct sync_client *sc, const strarray_t *names, ptrarray_t *entries)
{
    int r = 0;

    for (int i = 0; i < strarray_size(names) && !r; i++) {
        mbentry_t *mbentry = NULL;
        r = mboxlist_lookup_allow_all(strarray_nth(names, i), &mbentry, NULL);
        if (r == IMAP_MAILBOX_NONEXISTENT) {
            r = 0;
            continue;
        }
        if (!r && is_wanted(sc, mbentry))
            ptrarray_append(entries, mbentry);
        else
            mbentry_free(&mbentry);
    }
    return r;
}

static void free_entry(void *p)
{
    mbentry_t *mbentry = p;

    mbentry_free(&mbentry);
}

void sync_local_fini(ptrarray_t *entries)
{
    ptrarray_fini_with(entries, free_entry);
}

void sync_local_roots(const ptrarray_t *entries, strarray_t *roots)
{
    for (int i = 0; i < ptrarray_size(entries); i++) {
        struct mailbox *mailbox = NULL;
        if (mailbox_open_mbentry(ptrarray_nth(entries, i), &mailbox)) continue;
        if (mailbox_quotaroot(mailbox)) strarray_add(roots, mailbox_quotaroot(mailbox));
        mailbox_close(&mailbox);
    }
}

/* ---- seen state ---- */

static int seen_cb(const char *uniqueid, const struct seendata *sd, void *rock)
{
    struct sync_remote_seen *seen = xzmalloc(sizeof(*seen));

    seen->uniqueid = xstrdup(uniqueid);
    seen->sd = *sd;
    seen->sd.seenuids = xstrdup(sd->seenuids);
    ptrarray_append(rock, seen);
    return 0;
}

int sync_local_seen(const char *userid, ptrarray_t *list)
{
    int r = seen_foreach(userid, seen_cb, list);

    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}
