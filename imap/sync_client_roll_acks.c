/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll_acks -- the table of acknowledgements follows the rolling client (sync_acked.h)
 *
 * Before a turn's work begins it is noted for each of its users what he has, and where the journal ends. When the client has read up to there, all
 * of that is done by one instance of the replica, and nothing of the user's is on the list of what has failed, the replica has that. For a user
 * to whom nothing has happened meanwhile that is so at the end of the same turn, else of a later one. The table is written at most once a second.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "sync_client_roll_loop.h"
#include "times.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define WRITE_EVERY 1000 /* ms */

/* The first waits until the reader is there; the second is of a later turn. modseq 0: there is none. */
struct pending {
    struct sync_acked first, second;
};

struct sync_roll_acks {
    const char *channel;
    hash_table pending; /* struct pending, by user */
    unsigned long long written; /* of monotonic_ms() */
};

struct sync_roll_acks *sync_roll_acks_new(const char *channel)
{
    struct sync_roll_acks *acks = xzmalloc(sizeof(*acks));

    acks->channel = channel;
    construct_hash_table(&acks->pending, 64);
    return acks;
}

void sync_roll_acks_free(struct sync_roll_acks **acksp)
{
    if (!*acksp) return;
    free_hash_table(&(*acksp)->pending, free);
    free(*acksp);
    *acksp = NULL;
}

/* ---- a turn ---- */

static void take(struct sync_roll_acks *acks, const char *userid)
{
    struct pending *p = hash_lookup(userid, &acks->pending);
    struct sync_acked now;

    sync_acked_now(userid, &now);
    if (!now.modseq) return;
    if (!p) hash_insert(userid, p = xzmalloc(sizeof(*p)), &acks->pending);
    *(p->first.modseq ? &p->second : &p->first) = now;
}

void sync_roll_acks_take(struct sync_roll_acks *acks, const struct sync_actions *actions)
{
    for (int i = 0; acks && i < ptrarray_size(&actions->units); i++) {
        const struct sync_unit *unit = ptrarray_nth(&actions->units, i);
        if (*unit->owner) take(acks, unit->owner);
    }
}

int sync_roll_acks_foreign(struct sync_roll_acks *acks, const struct sync_actions *foreign)
{
    strarray_t users = STRARRAY_INITIALIZER;

    for (int i = 0; acks && i < ptrarray_size(&foreign->units); i++) {
        const struct sync_unit *unit = ptrarray_nth(&foreign->units, i);
        if (*unit->owner) strarray_append(&users, unit->owner);
    }
    int r = strarray_size(&users) ? sync_acked_stop(acks->channel, &users) : 0;
    strarray_fini(&users);
    return r;
}

/* What another instance was told before is nothing that this one has. */
void sync_roll_acks_done(struct sync_roll_acks *acks, const char *userid, uint64_t instance)
{
    struct pending *p = acks ? hash_lookup(userid, &acks->pending) : NULL;

    if (!p) return;
    if (p->second.modseq) p->second.instance = instance;
    if (!p->first.instance) p->first.instance = instance;
    if (p->first.instance == instance) return;
    p->first = p->second;
    memset(&p->second, 0, sizeof(p->second));
}

/* ---- its end ---- */

struct ready {
    uint64_t lsn; /* the reader is there */
    const struct sync_retry *retry;
    struct sync_acked_step *steps;
    size_t n;
    strarray_t empty;
};

static void collect(const char *userid, void *data, void *rock)
{
    struct ready *ready = rock;
    struct pending *p = data;
    struct sync_acked best = { 0 };

    if (p->first.lsn > ready->lsn || sync_retry_concerns(ready->retry, userid)) return;
    best = p->first;
    p->first = p->second;
    memset(&p->second, 0, sizeof(p->second));
    if (p->first.modseq && p->first.lsn <= ready->lsn) {
        if (p->first.instance == best.instance) best = p->first;
        memset(&p->first, 0, sizeof(p->first));
    }
    if (!p->first.modseq) strarray_append(&ready->empty, userid);
    ready->steps = xgrow(ready->steps, ready->n, sizeof(*ready->steps));
    ready->steps[ready->n++] = (struct sync_acked_step){ xstrdup(userid), best };
}

void sync_roll_acks_settle(struct sync_roll_acks *acks, uint64_t lsn, const struct sync_retry *retry, bool at_once)
{
    struct ready ready = { .lsn = lsn, .retry = retry, .empty = STRARRAY_INITIALIZER };

    if (!acks || !hash_numrecords(&acks->pending) || (!at_once && monotonic_ms() - acks->written < WRITE_EVERY)) return;
    hash_enumerate(&acks->pending, collect, &ready);
    int r = sync_acked_raise(acks->channel, ready.steps, ready.n);
    if (r) syslog(LOG_NOTICE, "SYNCNOTICE: can't note what the replica of channel <%s> has: %s", acks->channel ? acks->channel : "", error_message(r));
    acks->written = monotonic_ms();
    for (int i = 0; i < strarray_size(&ready.empty); i++) free(hash_del(strarray_nth(&ready.empty, i), &acks->pending));
    for (size_t i = 0; i < ready.n; i++) free(ready.steps[i].userid);
    free(ready.steps);
    strarray_fini(&ready.empty);
}
