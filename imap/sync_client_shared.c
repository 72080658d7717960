/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_shared -- the mailboxes without owner of two ends, as a whole (doc/failover.md)
 *
 * Nobody's run would find one that only the replica has, so its names are asked for. What goes gets another name first, so each round
 * asks anew.
 */
#include <config.h>

#include "sync_client.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "namelock.h"
#include "xsyslog.h"

#define MAX_ROUNDS 5

static int name_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    const char *name;

    (void)sc;
    if (!dlist_toatom(*dlp, &name)) return IMAP_PROTOCOL_ERROR;
    strarray_append(rock, name);
    return 0;
}

int sync_client_names(struct sync_client *sc, const char *what, strarray_t *names)
{
    return sync_client_command(sc, "GET", dlist_newlist(NULL, what), name_line, names);
}

static int add_name(const mbentry_t *mbentry, void *rock)
{
    strarray_append(rock, mbentry->name);
    return 0;
}

static int names_of_both(struct sync_client *sc, strarray_t *names)
{
    int r = sync_client_names(sc, "SHARED", names);

    if (!r) r = mboxlist_allshared(add_name, names);
    strarray_sort(names, cmpstringp_raw);
    strarray_uniq(names);
    return r;
}

static int shared_round(struct sync_client *sc, bool last, bool *againp)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;
    int r = names_of_both(sc, &names);

    if (!r && strarray_size(&names)) {
        r = sync_state_getlist(sc, "MAILBOXES", &names, &state);
        if (!r) r = sync_local_named(sc, &names, &entries);
        if (!r) r = sync_do_folders(sc, &entries, &state, true, last, againp);
    }
    sync_state_fini(&state);
    sync_local_fini(&entries);
    strarray_fini(&names);
    return r;
}

int sync_do_all_shared(struct sync_client *sc)
{
    struct namelock *lock = NULL;
    bool again = true;
    int r = sync_client_lock(sc, "", &lock);

    for (int round = 0; round < MAX_ROUNDS && again && !r; round++) {
        again = false;
        r = shared_round(sc, round == MAX_ROUNDS - 1, &again);
    }
    namelock_release(&lock);
    if (r || !again) return r;
    syslog(LOG_ERR, "failed to settle shared mailboxes after %d tries", MAX_ROUNDS);
    return IMAP_SYNC_CHANGED;
}
