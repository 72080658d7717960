/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verified_pass -- going through everything, slowly and over many runs
 *
 * A value is the time in decimal (an older version wrote a modseq behind it); of a pass ("pass:KIND"), "ENDED OLDEST THINGS FINDINGS". What can't be read is not known: then
 * something is read once more than it need be.
 */
#include <config.h>

#include "verified_pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "strarray.h"
#include "times.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"

#define BACKEND "twoskip"

/* ---- the database ---- */

static int open_db(struct txn *txn, unsigned flags, struct txn_db **dbp)
{
    char *path = xasprintf("%s/verified.db", config_dir);
    int r = txn_db_open(txn, BACKEND, path, TXN_DB_GLOBAL | TXN_DB_DERIVED | flags, dbp);

    free(path);
    return r;
}

/* NULL: there is none. The caller frees it. */
char *verified_text(const char *key)
{
    struct txn_db *db;
    const char *val;
    size_t len;

    if (open_db(NULL, 0, &db)) return NULL;
    char *value = txn_db_fetch(db, key, strlen(key), &val, &len) ? NULL : xstrndup(val, len);
    txn_db_close(&db);
    return value;
}

int verified_change(int (*fn)(struct txn_db *db, void *rock), void *rock)
{
    struct txn *txn = NULL;
    struct txn_db *db;

    int r = txn_begin(&txn);
    if (!r) r = open_db(txn, TXN_DB_CREATE, &db);
    if (!r) r = fn(db, rock);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

struct pair {
    const char *key, *value;
};

static int store_pair(struct txn_db *db, void *rock)
{
    const struct pair *pair = rock;

    return txn_db_store(db, pair->key, strlen(pair->key), pair->value, strlen(pair->value));
}

static int write_value(const char *key, const char *value)
{
    struct pair pair = { key, value };

    return verified_change(store_pair, &pair);
}

/* ---- things ---- */

time_t verified_last(const char *key)
{
    char *value = verified_text(key);
    uint64_t when = 0;

    if (!value || parse_u64(value, strcspn(value, " "), &when)) when = 0;
    free(value);
    return (time_t)when;
}

int verified_remember(const char *key, time_t began)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)began);
    return write_value(key, text);
}

/* A time to come was written by a clock that was wrong. */
bool verified_is_due(time_t last, int64_t since)
{
    time_t now = time(NULL);

    return !since || !last || last > now || last + since <= now;
}

/* ---- passes ---- */

void verified_pass_add(struct verified_pass *pass, time_t when)
{
    if (!pass->things++ || when < pass->oldest) pass->oldest = when;
}

static int parse_pass(const char *value, struct verified_pass *pass)
{
    uint64_t n[4];
    strarray_t *words = strarray_split(value, " ", 0);
    int r = strarray_size(words) == 4 ? 0 : IMAP_NOTFOUND;

    for (int i = 0; !r && i < 4; i++)
        if (parse_u64(strarray_nth(words, i), strlen(strarray_nth(words, i)), &n[i])) r = IMAP_NOTFOUND;
    if (!r) *pass = (struct verified_pass){ (time_t)n[0], (time_t)n[1], n[2], n[3] };
    strarray_free(words);
    return r;
}

int verified_pass_read(const char *kind, struct verified_pass *pass)
{
    char *key = xasprintf("pass:%s", kind), *value = verified_text(key);
    int r = value ? parse_pass(value, pass) : IMAP_NOTFOUND;

    if (r) *pass = (struct verified_pass){ 0 };
    free(value);
    free(key);
    return r;
}

int verified_pass_end(const char *kind, struct verified_pass *pass)
{
    char *key = xasprintf("pass:%s", kind);

    pass->ended = time(NULL);
    if (!pass->things) pass->oldest = pass->ended;
    char *value = xasprintf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, (uint64_t)pass->ended,
                            (uint64_t)pass->oldest, pass->things, pass->findings);
    int r = write_value(key, value);
    free(value);
    free(key);
    return r;
}

static int delete_cb(void *db, const char *key, size_t keylen, const char *data __attribute__((unused)),
                     size_t datalen __attribute__((unused)))
{
    return txn_db_delete(db, key, keylen);
}

int verified_forget(const char *kind)
{
    char *pass = xasprintf("pass:%s", kind), *things = xasprintf("%s:", kind);
    struct txn *txn = NULL;
    struct txn_db *db;

    int r = txn_begin(&txn);
    if (!r) r = open_db(txn, 0, &db);
    bool none = r == IMAP_NOTFOUND;
    if (!r) r = txn_db_foreach(db, things, strlen(things), delete_cb, db);
    if (!r) r = txn_db_delete(db, pass, strlen(pass));
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(things);
    free(pass);
    return none ? 0 : r;
}

const char *verified_time_text(time_t t, char text[32])
{
    struct tm tm;

    if (!t || !localtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%d %H:%M:%S", &tm)) return "never";
    return text;
}

/* ---- slowly ---- */

/* In steps that the end of the program need not wait for. */
void verified_slow_down(uint64_t rate, bool (*stop)(void), double began, uint64_t units)
{
    while (rate && !(stop && stop())) {
        double left = (double)units / (double)rate - (monotonic_seconds() - began);
        if (left <= 0) return;
        struct timespec nap = { 0, (long)(cyr_min(left, 0.2) * 1e9) };
        nanosleep(&nap, NULL);
    }
}
