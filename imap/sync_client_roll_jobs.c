/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll_jobs -- the rolling mode for several owners at once (sync_client -j)
 *
 * A job is all that is to be done for one owner, or for some whose lines tell of each other; so no two workers are at one owner,
 * and who gets a mailbox of another is looked at by the same worker as he. The next turn begins when all jobs are over.
 *
 * What a worker knows of the replica's mailboxes (sync_client_together.h) is right as long as no other worker has been at their owner since. Jobs
 * have serial numbers; a worker that was at him in the last one that had him sends the difference at once, in one round trip.
 *
 * The words of a job: "+OWNER" or "-OWNER" for each unit, whether it may be promoted or not, then "*LAST NOW", the serial of the last job that had him
 * (0: not known) and of this one, with its lines behind it as " LINE".
 * Of an answer: "#INSTANCE", of the replica that the next unit was done with; "=OWNER" for each unit that was done, with the failures behind it as "!LINE", "~LINE" (passing) and then " REASON", and
 * "?TEXT" for what broke a connection.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "signals.h"
#include "mboxlist.h"
#include "sync_client_roll_loop.h"
#include "sync_client_together.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_SERIALS 100000 /* owners; then all are forgotten */

static void add_word(strarray_t *words, char kind, const char *text)
{
    strarray_appendm(words, xasprintf("%c%s", kind, text));
}

/* ---- the worker ---- */

/* 0, or why there is none. */
static int need_connection(struct rolling *ro)
{
    if (ro->sc->backend && !ro->sc->broken) return 0;
    if (signals_shutdown()) return IMAP_SERVER_UNAVAILABLE;
    if (ro->breaks >= SYNC_ROLL_BREAKS) { /* the parent waits; then one try more */
        ro->breaks--;
        return IMAP_SERVER_UNAVAILABLE;
    }
    int r = sync_client_connect(ro->sc);
    if (!r) sync_roll_connected(ro);
    return r;
}

static void tell_failures(strarray_t *answer, const ptrarray_t *failures)
{
    for (int i = 0; i < ptrarray_size(failures); i++) {
        const struct sync_failure *failure = ptrarray_nth(failures, i);
        add_word(answer, failure->passing ? '~' : '!', failure->line);
        add_word(answer, ' ', failure->reason);
    }
}

/* ---- whose mailboxes are known ---- */

static uint64_t serial_of(hash_table *table, const char *owner)
{
    const uint64_t *serial = hash_lookup(owner, table);

    return serial ? *serial : 0;
}

static void set_serial(hash_table *table, const char *owner, uint64_t now)
{
    if (hash_numrecords(table) >= MAX_SERIALS) free_hash_table(table, free);
    if (!hash_numrecords(table)) construct_hash_table(table, 1024);
    uint64_t *serial = hash_lookup(owner, table);
    if (!serial) hash_insert(owner, serial = xzmalloc(sizeof(*serial)), table);
    *serial = now;
}

static int forget_cb(const mbentry_t *mbentry, void *rock)
{
    sync_known_forget(rock, mbentry->uniqueid);
    return 0;
}

/* Nobody else was at him meanwhile; else what is known of his mailboxes may be of before. */
static bool is_known(struct rolling *ro, const char *owner, const char *serials)
{
    uint64_t last, now;
    char *copy = xstrdup(serials), *blank = strchr(copy, ' ');
    bool ok = blank && !parse_u64(copy, (size_t)(blank - copy), &last) && !parse_u64_cstr(blank + 1, &now);

    free(copy);
    if (!ok) return false;
    uint64_t mine = serial_of(&ro->seen, owner);
    bool is = last && mine == last;
    if (!is && mine && *owner) (void)mboxlist_usermboxtree(owner, forget_cb, ro->sc, MBOXTREE_DELETED);
    if (!is && mine && !*owner) sync_known_clear(ro->sc);
    set_serial(&ro->seen, owner, now);
    return is;
}

/* What is refused, or breaks the connection, is to be done as everything else. */
static bool do_at_once(struct rolling *ro, const struct sync_unit *unit)
{
    struct sync_together together;

    if (!sync_unit_is_plain(unit) || !sync_together_may(ro->sc)) return false;
    sync_together_init(&together, ro->sc);
    bool done = sync_together_add(&together, unit->owner, &unit->mailboxes) && !sync_together_send(&together);
    sync_together_fini(&together);
    if (done) ro->breaks = 0;
    return done;
}

static int do_unit(struct rolling *ro, struct sync_unit *unit, bool promote, const char *serials, strarray_t *answer)
{
    ptrarray_t failures = PTRARRAY_INITIALIZER;
    bool done = is_known(ro, unit->owner, serials) && promote && do_at_once(ro, unit);

    while (!done) {
        int r = need_connection(ro);
        if (r) return r;
        buf_reset(&ro->status.last_error);
        done = sync_roll_attempt(ro, unit, promote, &failures);
        if (buf_len(&ro->status.last_error)) add_word(answer, '?', buf_cstring(&ro->status.last_error));
    }
    char instance[20];
    snprintf(instance, sizeof(instance), "%016" PRIx64, ro->sc->instance);
    add_word(answer, '#', instance);
    add_word(answer, '=', unit->owner);
    tell_failures(answer, &failures);
    sync_failures_fini(&failures);
    sync_roll_rest(ro);
    return 0;
}

static int job_work(struct sync_client *sc __attribute__((unused)), const strarray_t *job, strarray_t *answer, void *rock)
{
    struct rolling *ro = rock;
    struct sync_actions actions;
    int r = 0;

    sync_actions_init(&actions);
    for (int i = 0; i < strarray_size(job); i++)
        if (*strarray_nth(job, i) == ' ') sync_actions_add(&actions, strarray_nth(job, i) + 1, false);
    for (int i = 0; i < strarray_size(job) && !r; i++) {
        const char *word = strarray_nth(job, i);
        struct sync_unit *unit = strchr(" *", *word) ? NULL : sync_actions_unit(&actions, word + 1);
        const char *serials = i + 1 < strarray_size(job) ? strarray_nth(job, i + 1) : "";
        if (unit) r = do_unit(ro, unit, *word == '+', *serials == '*' ? serials + 1 : "", answer);
    }
    sync_actions_fini(&actions);
    return r;
}

static void job_idle(struct sync_client *sc __attribute__((unused)), void *rock)
{
    sync_roll_rest(rock);
}

/* ---- the parent ---- */

static void *job_next(strarray_t *words, int busy __attribute__((unused)), void *rock)
{
    struct rolling *ro = rock;
    ptrarray_t *group = ptrarray_shift(&ro->queue);

    for (int i = 0; group && i < ptrarray_size(group); i++) {
        const struct sync_unit *unit = ptrarray_nth(group, i);
        add_word(words, sync_roll_may_promote(ro, unit) ? '+' : '-', unit->owner);
        strarray_appendm(words, xasprintf("*%" PRIu64 " %" PRIu64, serial_of(&ro->handed, unit->owner), ++ro->serial));
        set_serial(&ro->handed, unit->owner, ro->serial);
        for (int k = 0; k < strarray_size(&unit->lines); k++) add_word(words, ' ', strarray_nth(&unit->lines, k));
    }
    return group;
}

static int find_unit(const ptrarray_t *group, const char *owner)
{
    for (int i = 0; i < ptrarray_size(group); i++) {
        const struct sync_unit *unit = ptrarray_nth(group, i);
        if (!strcmp(unit->owner, owner)) return i;
    }
    return -1;
}

/* The failures behind word i of the answer; where they end. */
static int take_failures(const strarray_t *answer, int i, ptrarray_t *failures)
{
    for (; i + 1 < strarray_size(answer) && strchr("!~", *strarray_nth(answer, i)); i += 2) {
        const char *line = strarray_nth(answer, i);
        sync_failure_add(failures, line + 1, strarray_nth(answer, i + 1) + 1, *line == '~');
    }
    return i;
}

/* What is done goes out of the group. */
static void take_answer(struct rolling *ro, ptrarray_t *group, const strarray_t *answer)
{
    for (int i = 0; i < strarray_size(answer);) {
        const char *word = strarray_nth(answer, i++);
        ptrarray_t failures = PTRARRAY_INITIALIZER;
        if (*word == '#' && parse_hex64(word + 1, strlen(word + 1), &ro->sc->instance)) ro->sc->instance = 0;
        if (*word == '?') sync_roll_note_error(ro, "connection", word + 1);
        if (*word != '=') continue;
        i = take_failures(answer, i, &failures);
        int at = find_unit(group, word + 1);
        if (at >= 0) sync_roll_settle(ro, ptrarray_remove(group, at), &failures);
        sync_failures_fini(&failures);
    }
}

static void no_connection(struct rolling *ro, const char *reason)
{
    sync_roll_note_error(ro, "connect", reason);
    ro->status.state = NULL;
    sync_roll_set_state(ro, "connecting");
    ro->unreachable = ro->sc->connect_once && sync_roll_is_once(ro);
    if (ro->unreachable || monotonic_ms() < ro->paused) return; /* else another worker has said it */
    ro->wait = sync_roll_next_wait(ro->wait);
    ro->paused = monotonic_ms() + (unsigned long long)ro->wait * 1000;
    syslog(LOG_NOTICE, "Can not connect to server '%s', retrying in %d seconds", ro->sc->servername, ro->wait);
    sync_pool_pause(ro->pool, ro->wait);
}

/* One at whom it happens again has failed, so that the others come through. */
static void worker_died(struct rolling *ro, ptrarray_t *group, const char *how)
{
    for (int i = ptrarray_size(group) - 1; i >= 0; i--) {
        struct sync_unit *unit = ptrarray_nth(group, i);
        ptrarray_t failures = PTRARRAY_INITIALIZER;
        syslog(LOG_ERR, "SYNCERROR: %s at <%s>", how, unit->owner);
        sync_roll_note_error(ro, *unit->owner ? unit->owner : "shared", how);
        if (++unit->broken < SYNC_ROLL_UNIT_BREAKS) continue;
        sync_unit_give_up(unit, how, &failures);
        sync_roll_settle(ro, ptrarray_remove(group, i), &failures);
    }
}

static void job_ended(void *job, const struct sync_pool_end *end, void *rock)
{
    struct rolling *ro = rock;
    ptrarray_t *group = job;

    if (end->outcome == SYNC_POOL_DIED)
        worker_died(ro, group, end->text);
    else
        take_answer(ro, group, end->answer);
    if (end->outcome == SYNC_POOL_UNCONNECTED) no_connection(ro, end->text);
    if (end->outcome == SYNC_POOL_DONE && ro->wait) {
        ro->wait = 0;
        sync_roll_set_state(ro, "working");
    }
    if (ptrarray_size(group))
        ptrarray_unshift(&ro->queue, group);
    else
        sync_group_free(group);
}

static bool job_must_end(void *rock)
{
    const struct rolling *ro = rock;

    return ro->unreachable || sync_roll_must_end(ro);
}

bool sync_roll_at_once(struct rolling *ro, const struct sync_actions *actions)
{
    static const struct sync_pool_ops ops = { job_work, job_idle, job_next, job_ended, job_must_end };

    if (!ro->pool) ro->pool = sync_pool_new(ro->sc, ro->roll->jobs, &ops, ro);
    sync_actions_groups(actions, &ro->queue);
    sync_pool_run(ro->pool);
    bool whole = !ptrarray_size(&ro->queue);
    ptrarray_fini_with(&ro->queue, sync_group_free);
    return whole;
}
