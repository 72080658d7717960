/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_sessions -- TLS sessions shared by all processes, in tls_sessions.db
 *
 * Nothing depends on this file: it is written without a sync, errors are logged once and cost a full handshake.
 */
#include <config.h>

#include "tls_sessions.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "buf.h"
#include "cyrusdb.h"
#include "imap_err.h"
#include "libconfig.h"
#include "xmalloc.h"
#include "xsyslog.h"

static struct db *sessions;
static bool failed;

static struct db *open_sessions(void)
{
    struct buf path = BUF_INITIALIZER;
    const char *set = config_getstring(IMAPOPT_TLS_SESSIONS_DB_PATH);

    if (sessions || failed) return sessions;
    if (set)
        buf_setcstr(&path, set);
    else
        buf_printf(&path, "%s/tls_sessions.db", config_dir);
    int r = cyrusdb_open("twoskip", buf_cstring(&path), CYRUSDB_CREATE | CYRUSDB_CONVERT,
                         &sessions);
    if (r) {
        failed = true;
        xsyslog_errno(LOG_ERR, 0, "DBERROR: can't open the TLS session cache",
                      "filename=<%s> error=<%s>", buf_cstring(&path), cyrusdb_strerror(r));
    }
    buf_free(&path);
    return sessions;
}

static int put(void *rock, const unsigned char *id, size_t idlen, const unsigned char *der,
               size_t derlen, long expire)
{
    struct db *db = open_sessions();
    struct buf value = BUF_INITIALIZER;
    time_t when = (time_t)expire;

    (void)rock;
    if (!db) return IMAP_IOERROR;
    buf_appendmap(&value, &when, sizeof(when));
    buf_appendmap(&value, der, derlen);
    int r = cyrusdb_begin(db, CYRUSDB_NOSYNC);
    if (!r) r = cyrusdb_store(db, (const char *)id, idlen, buf_base(&value), buf_len(&value));
    if (!r) r = cyrusdb_commit(db);
    buf_free(&value);
    return r ? IMAP_IOERROR : 0;
}

/* The time of expiry; 0 for a value that is none. */
static time_t expiry(const char *value, size_t len)
{
    time_t when = 0;

    if (len > sizeof(when)) memcpy(&when, value, sizeof(when));
    return when;
}

static int get(void *rock, const unsigned char *id, size_t idlen, unsigned char **der,
               size_t *derlen)
{
    struct db *db = open_sessions();
    const char *value;
    size_t len;

    (void)rock;
    if (!db || cyrusdb_fetch(db, (const char *)id, idlen, &value, &len)) return IMAP_NOTFOUND;
    if (expiry(value, len) <= time(NULL)) return IMAP_NOTFOUND;
    *derlen = len - sizeof(time_t);
    *der = xmemdup(value + sizeof(time_t), *derlen);
    return 0;
}

static void del(void *rock, const unsigned char *id, size_t idlen)
{
    struct db *db = open_sessions();

    (void)rock;
    if (!db || cyrusdb_begin(db, CYRUSDB_NOSYNC)) return;
    (void)cyrusdb_delete(db, (const char *)id, idlen, true);
    (void)cyrusdb_commit(db);
}

const struct tls_sessionstore *tls_sessions_store(void)
{
    static const struct tls_sessionstore store = { put, get, del, NULL };

    return &store;
}

struct prune {
    struct db *db;
    unsigned purged, total;
    time_t now;
};

static int prune_one(void *rock, const char *key, size_t keylen, const char *value, size_t len)
{
    struct prune *prune = rock;

    prune->total++;
    if (expiry(value, len) > prune->now) return 0;
    prune->purged++;
    return cyrusdb_delete(prune->db, key, keylen, true);
}

int tls_sessions_prune(unsigned *purged, unsigned *total)
{
    struct prune prune = { .db = open_sessions(), .now = time(NULL) };

    *purged = *total = 0;
    if (!prune.db) return IMAP_IOERROR;
    int r = cyrusdb_begin(prune.db, 0);
    if (!r) r = cyrusdb_foreach(prune.db, "", 0, prune_one, &prune);
    if (!r) r = cyrusdb_commit(prune.db);
    *purged = prune.purged;
    *total = prune.total;
    return r ? IMAP_IOERROR : 0;
}

void tls_sessions_done(void)
{
    if (sessions) (void)cyrusdb_close(sessions);
    sessions = NULL;
    failed = false;
}
