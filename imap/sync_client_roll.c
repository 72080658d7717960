/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll -- the rolling mode: what has changed is brought over, for ever (handbook 03 §13.2)
 *
 * One turn: read what is new, do it owner by owner, write down what has failed, and only then say that the
 * events are done with. A crash anywhere repeats a turn, and every action may be repeated. One connection is kept, and made
 * anew when it breaks, when it is sync_client -t seconds old, or when the replica says BYE. An owner at
 * whom it breaks twice goes to what has failed, so that the others come through.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "signals.h"
#include "sync_client_roll_loop.h"
#include "sync_client_together.h"
#include "sync_log.h"
#include "times.h"
#include "xsyslog.h"

#define CONNECT_FIRST 15   /* seconds between two tries */
#define LOCK_WAIT 60       /* seconds for another client to end */
#define RESTART_EVERY 100  /* owners */
#define MESSAGES_KEPT 256  /* by the replica, while there is no rest */
#define LEASE_WAIT 2000    /* ms for a user that another stream has; then the others go on, and he comes again */

/* Wakes for a signal. */
static void doze(int ms)
{
    (void)signals_poll_fds(NULL, 0, ms);
}

/* ---- the end ---- */

static bool shutdown_file_is_there(const struct rolling *ro)
{
    const char *file = ro->roll->shutdown_file;

    if (!file) file = config_getchannelstring(ro->sc->channel, IMAPOPT_SYNC_SHUTDOWN_FILE);
    return file && !access(file, F_OK);
}

bool sync_roll_must_end(const struct rolling *ro)
{
    return signals_shutdown() || shutdown_file_is_there(ro);
}

static void remove_shutdown_file(const struct rolling *ro)
{
    const char *file = ro->roll->shutdown_file;

    if (!file) file = config_getchannelstring(ro->sc->channel, IMAPOPT_SYNC_SHUTDOWN_FILE);
    if (file && !access(file, F_OK)) {
        (void)diskio_unlink_quiet(file);
        syslog(LOG_NOTICE, "sync_client: the shutdown file ends it");
    }
}

/* ---- what is said about it ---- */

static void write_status(struct rolling *ro)
{
    ro->told = time(NULL);
    ro->success_untold = false;
    sync_status_write(&ro->status, &ro->retry);
}

void sync_roll_set_state(struct rolling *ro, const char *state)
{
    if (ro->roll->file) return;
    if (ro->status.state && !strcmp(ro->status.state, state)) return;
    ro->status.state = state;
    ro->status.since = time(NULL);
    write_status(ro);
}

void sync_roll_note_error(struct rolling *ro, const char *what, const char *reason)
{
    buf_reset(&ro->status.last_error);
    buf_printf(&ro->status.last_error, "%s: %s", what, reason);
    (void)buf_cstring(&ro->status.last_error);
    ro->status.last_error_time = time(NULL);
}

/* ---- the connection ---- */

bool sync_roll_is_once(const struct rolling *ro)
{
    return ro->roll->file || ro->roll->once;
}

/* False: we are to end. */
static bool wait_seconds(struct rolling *ro, int seconds)
{
    for (unsigned long long until = monotonic_ms() + (unsigned long long)seconds * 1000; monotonic_ms() < until;) {
        if (sync_roll_must_end(ro)) return false;
        doze(200);
    }
    return !sync_roll_must_end(ro);
}

int sync_roll_next_wait(int wait)
{
    int most = config_getduration(IMAPOPT_SYNC_RECONNECT_MAXWAIT);

    wait = wait ? wait * 2 : CONNECT_FIRST;
    return most > 0 && wait > most ? most : wait;
}

void sync_roll_connected(struct rolling *ro)
{
    ro->connected = monotonic_ms();
    ro->since_restart = 0;
    ro->messages = ro->sc->messages;
}

/* False: we are to end, or (once, with -o) the replica can't be reached. */
static bool connect_again(struct rolling *ro)
{
    int wait = 0;

    if (ro->sc->backend && !ro->sc->broken) return true;
    if (ro->breaks >= SYNC_ROLL_BREAKS && !wait_seconds(ro, wait = sync_roll_next_wait(wait))) return false;
    for (;;) {
        if (sync_roll_must_end(ro)) return false;
        int r = sync_client_connect(ro->sc);
        if (!r) break;
        sync_roll_note_error(ro, "connect", error_message(r));
        ro->status.state = NULL;
        sync_roll_set_state(ro, "connecting");
        if (ro->sc->connect_once && sync_roll_is_once(ro)) return false;
        wait = sync_roll_next_wait(wait);
        syslog(LOG_NOTICE, "Can not connect to server '%s', retrying in %d seconds", ro->sc->servername, wait);
        if (!wait_seconds(ro, wait)) return false;
    }
    sync_roll_connected(ro);
    return true;
}

/* The replica lets go of what it keeps for us; an old connection is given up after that. */
void sync_roll_rest(struct rolling *ro)
{
    bool old = ro->roll->lifetime > 0 &&
               monotonic_ms() - ro->connected >= (unsigned long long)ro->roll->lifetime * 1000;

    if (!ro->sc->backend || ro->sc->broken) return;
    bool sent = ro->sc->messages != ro->messages;
    if (!old && !sent && ++ro->since_restart < RESTART_EVERY) {
        sync_client_let_go(ro->sc);
        return;
    }
    ro->since_restart = 0;
    ro->messages = ro->sc->messages;
    if (!old && sent) {
        sync_client_post_restart(ro->sc); /* whoever comes now need not wait for the answer */
        return;
    }
    int r = sync_client_restart(ro->sc);
    if (r)
        syslog(LOG_ERR, "sync_client RESTART failed: %s", error_message(r));
    else if (old)
        syslog(LOG_INFO, "sync_client RESTART succeeded");
    if (old || r) sync_client_disconnect(ro->sc);
}

/* ---- a turn ---- */

void sync_roll_settle(struct rolling *ro, const struct sync_unit *unit, ptrarray_t *failures)
{
    for (int i = 0; i < ptrarray_size(failures); i++) {
        const struct sync_failure *failure = ptrarray_nth(failures, i);
        sync_roll_note_error(ro, failure->line, failure->reason);
        if (ro->roll->file) fprintf(stderr, "%s: %s\n", failure->line, failure->reason);
        ro->failed = true;
    }
    sync_retry_settle(&ro->retry, unit->owner, failures);
    sync_roll_acks_done(ro->acks, unit->owner, ro->sc->instance);
    sync_failures_fini(failures);
}

bool sync_roll_may_promote(const struct rolling *ro, const struct sync_unit *unit)
{
    struct buf line = BUF_INITIALIZER;
    bool waits = !unit->retried && sync_log_line("USER", unit->owner, NULL, &line) &&
                 sync_retry_has(&ro->retry, buf_cstring(&line));

    buf_free(&line);
    return !waits;
}

bool sync_roll_attempt(struct rolling *ro, struct sync_unit *unit, bool promote, ptrarray_t *failures)
{
    int r = sync_unit_run(ro->sc, unit, promote, failures);

    if (!r && !ro->sc->broken) {
        ro->breaks = 0;
        return true;
    }
    sync_failures_fini(failures);
    const char *reason = sync_client_errtext(ro->sc, r); /* what the replica said last, too */
    sync_roll_note_error(ro, *unit->owner ? unit->owner : "shared", reason);
    syslog(LOG_ERR, "SYNCERROR: the connection broke at <%s>: %s", unit->owner, reason);
    sync_client_disconnect(ro->sc);
    ro->breaks++;
    if (++unit->broken < SYNC_ROLL_UNIT_BREAKS || signals_shutdown()) return false;
    sync_unit_give_up(unit, reason, failures);
    return true;
}

/* False: we are to end before it is done. */
static bool do_unit(struct rolling *ro, struct sync_unit *unit)
{
    for (;;) {
        ptrarray_t failures = PTRARRAY_INITIALIZER;
        if (!connect_again(ro)) return false;
        if (!sync_roll_attempt(ro, unit, sync_roll_may_promote(ro, unit), &failures)) continue;
        sync_roll_settle(ro, unit, &failures);
        return true;
    }
}

/* What is refused, or breaks the connection, is to be done as everything else. */
static void send_together(struct rolling *ro, struct sync_together *together, ptrarray_t *units)
{
    ptrarray_t nothing = PTRARRAY_INITIALIZER;
    struct sync_unit *unit;
    int r = sync_together_send(together);

    if (ro->sc->messages - ro->messages > MESSAGES_KEPT) sync_roll_rest(ro);
    while ((unit = ptrarray_pop(units))) {
        if (r) continue;
        sync_roll_settle(ro, unit, &nothing);
        unit->done = true;
        ro->breaks = 0;
    }
}

/* Those of whom the replica has what we know go over together, in one round trip. */
static void do_together(struct rolling *ro, const ptrarray_t *units)
{
    struct sync_together together;
    ptrarray_t underway = PTRARRAY_INITIALIZER;

    sync_together_init(&together, ro->sc);
    for (int i = 0; i < ptrarray_size(units) && sync_together_may(ro->sc); i++) {
        struct sync_unit *unit = ptrarray_nth(units, i);
        if (!sync_unit_is_plain(unit) || !sync_roll_may_promote(ro, unit)) continue;
        if (!sync_together_add(&together, unit->owner, &unit->mailboxes)) continue;
        ptrarray_append(&underway, unit);
        if (sync_together_is_full(&together)) send_together(ro, &together, &underway);
    }
    send_together(ro, &together, &underway);
    sync_together_fini(&together);
    ptrarray_fini(&underway);
}

static bool do_in_turn(struct rolling *ro, const ptrarray_t *units)
{
    if (!sync_roll_must_end(ro)) do_together(ro, units);
    for (int i = 0; i < ptrarray_size(units); i++) {
        struct sync_unit *unit = ptrarray_nth(units, i);
        if (unit->done) continue;
        sync_roll_set_state(ro, "working");
        if (sync_roll_must_end(ro) || !do_unit(ro, unit)) return false;
        sync_roll_rest(ro);
    }
    return true;
}

/* *n: owners that there was something to do for. False: we are to end. */
static bool turn(struct rolling *ro, int *n)
{
    struct sync_actions actions;
    size_t failed_before = hash_numrecords(&ro->retry.entries);

    sync_actions_init(&actions);
    sync_retry_take_due(&ro->retry, &actions);
    int r = sync_source_read(ro->source, &actions);
    if (!r) r = sync_roll_acks_foreign(ro->acks, sync_source_foreign(ro->source));
    if (r) ro->failed = true;
    sync_roll_acks_take(ro->acks, &actions);
    *n = ptrarray_size(&actions.units);
    if (*n && ro->roll->jobs > 1) sync_roll_set_state(ro, "working");
    bool whole = ro->roll->jobs > 1 ? sync_roll_at_once(ro, &actions) : do_in_turn(ro, &actions.units);
    sync_actions_fini(&actions);
    if (!whole) return false;
    if (!ro->roll->file && !sync_retry_save(&ro->retry) && !r && !sync_source_commit(ro->source)) {
        if (!hash_numrecords(&ro->retry.entries)) sync_source_acknowledge(ro->source);
        sync_roll_acks_settle(ro->acks, sync_source_place(ro->source), &ro->retry, sync_roll_is_once(ro));
    }
    if (*n) {
        if (!hash_numrecords(&ro->retry.entries) || hash_numrecords(&ro->retry.entries) < failed_before)
            ro->status.last_success = time(NULL);
        ro->success_untold = true;
        if (strcmpnull(ro->status.state, "idle")) ro->status.state = NULL;
    }
    return true;
}

static void pause_until_next(struct rolling *ro, unsigned long long began, int n)
{
    int interval = ro->roll->interval;

    if (sync_source_is_synchronous(ro->source)) interval = 0; /* somebody waits */
    if (interval < 0) interval = config_getchannelduration(ro->sc->channel, IMAPOPT_SYNC_REPEAT_INTERVAL);
    unsigned long long spent = monotonic_ms() - began;
    if (n && spent < (unsigned long long)interval * 1000) {
        doze((int)((unsigned long long)interval * 1000 - spent));
    }
    if (!n) sync_source_wait(ro->source, sync_retry_wait_ms(&ro->retry, interval ? 500 : 100));
}

static void roll_on(struct rolling *ro)
{
    int n;

    if (!sync_roll_is_once(ro) && ro->roll->jobs <= 1) {
        sync_roll_set_state(ro, "connecting");
        if (!connect_again(ro)) return;
    }
    while (!sync_roll_must_end(ro)) {
        unsigned long long began = monotonic_ms();
        if (!turn(ro, &n)) {
            ro->failed = true;
            break;
        }
        if (sync_roll_is_once(ro) && !(ro->roll->once && n)) break;
        sync_roll_set_state(ro, "idle");
        if (ro->success_untold && (!n || ro->told != time(NULL)) && !ro->roll->file) write_status(ro);
        if (!sync_roll_is_once(ro)) pause_until_next(ro, began, n);
        if (!n) sync_roll_rest(ro);
    }
}

/* ---- begin and end ---- */

/* Two clients of one channel would each take the other's events for done. */
static int lock_channel(struct rolling *ro)
{
    const char *channel = ro->sc->channel;
    int r = -EWOULDBLOCK;

    for (int i = 0; i < LOCK_WAIT * 5; i++) {
        r = sync_channel_lock(channel, "log-lock", &ro->lockfd);
        if (r != -EWOULDBLOCK || signals_shutdown()) break;
        if (!i) syslog(LOG_NOTICE, "another sync_client has the channel: waiting for its end");
        doze(200);
    }
    if (r)
        xsyslog_errno(LOG_ERR, -r, "IOERROR: can't have the channel for ourselves", "channel=<%s>", channel ? channel : "");
    return r ? IMAP_IOERROR : 0;
}

static int begin(struct rolling *ro)
{
    int r = ro->roll->file ? 0 : lock_channel(ro);

    if (!r) r = sync_source_open(ro->sc->channel, ro->roll->file, &ro->source);
    if (ro->roll->file)
        construct_hash_table(&ro->retry.entries, 16);
    else if (!r)
        r = sync_retry_open(&ro->retry, ro->sc->channel);
    return r;
}

int sync_client_roll(struct sync_roll *roll)
{
    struct sync_client *sc = roll->sc;
    struct rolling ro = { .roll = roll, .sc = sc, .lockfd = -1 };
    int r;

    sc->lease_wait = LEASE_WAIT;
    sc->remembers = !roll->file;
    ro.status.channel = sc->channel;
    ro.status.server = sc->servername;
    r = begin(&ro);
    if (!r) {
        if (sc->acks && !roll->file) ro.acks = sync_roll_acks_new(sc->channel);
        roll_on(&ro);
        sync_roll_acks_settle(ro.acks, sync_source_place(ro.source), &ro.retry, true);
        sync_roll_acks_free(&ro.acks);
        sync_pool_free(&ro.pool);
        free_hash_table(&ro.handed, free);
        if (!roll->file) (void)sync_retry_give_back(&ro.retry);
        remove_shutdown_file(&ro);
        ro.status.state = NULL;
        sync_roll_set_state(&ro, "ended");
        sync_retry_fini(&ro.retry);
    }
    sync_source_close(&ro.source);
    buf_free(&ro.status.last_error);
    diskio_close(ro.lockfd);
    if (r) return EX_TEMPFAIL;
    return roll->file && ro.failed ? 1 : EX_OK;
}
