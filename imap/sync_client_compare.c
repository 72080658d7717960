/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_compare -- everybody's two copies are compared, slowly, again and again (sync_client --compare)
 *
 * What is compared is that of --verify. Who was equal has the time of it in verified.db ("sync:CHANNEL:user:USERID"), so a run that was
 * ended, or killed, goes on where it was; who was not is compared by the next run, too. A difference counts when two looks in a row, a
 * second apart, see it: what they see may else be no more than the mail of the moment.
 */
#include <config.h>

#include "sync_client_compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diskio.h"
#include "imap_err.h"
#include "signals.h"
#include "sync_acked.h"
#include "sync_client_roll.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_LOOKS 5 /* to see the same twice */
#define SILENCE 5 /* seconds for which a connection is kept that nobody uses */

static char *pass_name(const char *channel)
{
    return xasprintf("sync:%s", channel ? channel : "");
}

static bool is_ended(void)
{
    return signals_shutdown() != 0;
}

/* ---- what lasts ---- */

struct what {
    const char *userid;      /* or */
    const strarray_t *names; /* shared mailboxes */
};

static int look(struct sync_client *sc, const struct what *what, strarray_t *found)
{
    strarray_truncate(found, 0);
    sc->held = found;
    int r = what->userid ? sync_verify_user(sc, what->userid) : sync_verify_mailboxes(sc, what->names);
    sc->held = NULL;
    return r;
}

static void keep_common(strarray_t *found, const strarray_t *before)
{
    for (int i = strarray_size(found) - 1; i >= 0; i--)
        if (!strarray_contains(before, strarray_nth(found, i))) free(strarray_remove(found, i));
}

static int look_until_sure(struct sync_client *sc, const struct what *what, strarray_t *found)
{
    strarray_t before = STRARRAY_INITIALIZER;
    time_t end = time(NULL) + sc->compare->wait;
    int r;

    for (int n = 1;; n++) {
        r = look(sc, what, found);
        bool sure = !strarray_size(found) || (n > 1 && !strarray_cmp(found, &before) && time(NULL) >= end);
        if (r || sure || (n >= MAX_LOOKS && time(NULL) >= end)) break;
        strarray_truncate(&before, 0);
        strarray_cat(&before, found);
        verified_slow_down(1, is_ended, monotonic_seconds(), 1);
        if (is_ended()) r = IMAP_CANCELLED;
        if (r) break;
    }
    if (!r) keep_common(found, &before);
    strarray_fini(&before);
    return r;
}

/* ---- one ---- */

/* A replica ends a connection that is silent for long; who waits for long begins a new one. */
static void pace(struct sync_client *sc)
{
    const struct sync_compare *cmp = sc->compare;

    if (!cmp->rate) return;
    double left = (double)sc->compared / (double)cmp->rate - (monotonic_seconds() - cmp->began);
    if (left > SILENCE) sync_client_disconnect(sc);
    verified_slow_down(cmp->rate, is_ended, cmp->began, sc->compared);
}

static int compare(struct sync_client *sc, const struct what *what, const char *key)
{
    struct sync_compare *cmp = sc->compare;
    strarray_t found = STRARRAY_INITIALIZER;
    time_t began = time(NULL), last = verified_last(key);
    struct sync_acked acked = { 0 };

    if (!verified_is_due(last, cmp->since)) {
        verified_pass_add(&cmp->pass, last);
        return 0;
    }
    verified_pass_add(&cmp->pass, began);
    if (what->userid) sync_acked_now(what->userid, &acked); /* before it is looked at */
    int r = look_until_sure(sc, what, &found);
    for (int i = 0; !r && i < strarray_size(&found); i++) sync_verify_report(sc, strarray_nth(&found, i));
    if (!r && strarray_size(&found)) cmp->pass.findings++;
    if (!r && !strarray_size(&found)) r = verified_remember(key, began);
    acked.instance = sc->instance;
    if (!r && !strarray_size(&found) && sc->acks) r = sync_acked_whole(sc->channel, what->userid, &acked);
    strarray_fini(&found);
    pace(sc);
    return r;
}

static char *key_of(const char *channel, const char *kind, const char *name)
{
    return xasprintf("sync:%s:%s:%s", channel ? channel : "", kind, name);
}

static int compare_keyed(struct sync_client *sc, const struct what *what, const char *kind, const char *name)
{
    char *key = key_of(sc->channel, kind, name);
    int r = compare(sc, what, key);

    free(key);
    return r;
}

time_t sync_compare_equal(const char *channel, const char *userid)
{
    char *key = key_of(channel, "user", userid);
    time_t when = verified_last(key);

    free(key);
    return when;
}

int sync_compare_was_equal(const char *channel, const char *userid, time_t began)
{
    char *key = key_of(channel, "user", userid);
    int r = verified_remember(key, began);

    free(key);
    return r;
}

int sync_compare_user(struct sync_client *sc, const char *userid)
{
    struct what what = { .userid = userid };

    return compare_keyed(sc, &what, "user", userid);
}

int sync_compare_mailboxes(struct sync_client *sc, const strarray_t *names)
{
    int r = 0;

    for (int i = 0; !r && i < strarray_size(names); i++) {
        strarray_t one = STRARRAY_INITIALIZER;
        struct what what = { .names = &one };

        strarray_append(&one, strarray_nth(names, i));
        r = compare_keyed(sc, &what, "mailbox", strarray_nth(names, i));
        strarray_fini(&one);
    }
    return r;
}

/* ---- begin and end ---- */

/* A run that takes longer than its period is not joined by the next one. */
static int lock(const char *channel, int *fdp)
{
    int r = sync_channel_lock(channel, "compare-lock", fdp);

    if (r && r != -EWOULDBLOCK)
        xsyslog_errno(LOG_ERR, -r, "IOERROR: can't lock the comparison", "channel=<%s>", channel ? channel : "");
    return r == -EWOULDBLOCK ? IMAP_MAILBOX_LOCKED : r ? IMAP_IOERROR : 0;
}

int sync_compare_begin(struct sync_client *sc, struct sync_compare *cmp)
{
    cmp->pass = (struct verified_pass){ 0 };
    cmp->began = monotonic_seconds();
    sc->compare = cmp;
    sc->log = sc->reads_only = true;
    return lock(sc->channel, &cmp->lockfd);
}

int sync_compare_end(struct sync_client *sc, bool whole)
{
    struct sync_compare *cmp = sc->compare;
    char *name = pass_name(sc->channel);
    int r = whole ? verified_pass_end(name, &cmp->pass) : 0;

    free(name);
    diskio_close(cmp->lockfd);
    sc->compare = NULL;
    return r;
}

int sync_compare_last(const char *channel, struct verified_pass *pass)
{
    char *name = pass_name(channel && *channel ? channel : NULL);
    int r = verified_pass_read(name, pass);

    free(name);
    return r;
}

int sync_compare_forget(const char *channel)
{
    char *name = pass_name(channel);
    int r = verified_forget(name);

    if (!r) r = sync_acked_forget(channel);
    free(name);
    return r;
}
