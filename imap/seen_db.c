/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seen_db -- what a user has seen in mailboxes of others (handbook 01 §7.1)
 *
 * Key: uniqueid of the mailbox. The file belongs to the reader, so writing takes the reader's
 * namespace lock (IMAP_AGAIN: see txn_lock_user). No record is "nothing seen". A record
 * that makes no sense is logged and counts as none. The write that takes its place keeps it, in the same
 * transaction, as <configdirectory>/lost+found/USER.seen.UNIQUEID.TIME.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "names_config.h"
#include "sync_log.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int seen_open(const char *userid, struct txn *txn, unsigned flags, struct txn_db **dbp)
{
    struct user_meta *meta = NULL;

    int r = user_meta_lookup_or_legacy(userid, txn, &meta);
    if (r) return r;
    const char *path = user_meta_path(meta, "seen");
    r = path ? txn_db_open(txn, config_getstring(IMAPOPT_SEENSTATE_DB), path, flags, dbp)
             : IMAP_MAILBOX_BADNAME;
    user_meta_free(&meta);
    return r;
}

/* Always sets sd; a record that is none is like an empty one. */
static void decode(const char *userid, const char *uniqueid, const char *val, size_t len,
                   struct seendata *sd)
{
    bool badset = false;

    int r = seen_decode(sd, val, len, &badset);
    if (badset)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: invalid sequence in a seen record, read as empty",
                      "userid=<%s> uniqueid=<%s>", userid, uniqueid);
    if (r)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged seen record", "userid=<%s> uniqueid=<%s>",
                      userid, uniqueid);
    if (!sd->seenuids) sd->seenuids = xstrdup("");
}

int seen_read(const char *userid, const char *uniqueid, struct seendata *sd, struct txn *txn)
{
    struct txn_db *db;
    const char *val;
    size_t len;

    seen_freedata(sd);
    int r = seen_open(userid, txn, TXN_DB_CONVERT, &db);
    if (r) return r;
    r = txn_db_fetch(db, uniqueid, strlen(uniqueid), &val, &len);
    if (!r)
        decode(userid, uniqueid, val, len, sd);
    else if (r == IMAP_NOTFOUND)
        sd->seenuids = xstrdup("");
    txn_db_close(&db);
    return r == IMAP_NOTFOUND ? 0 : r;
}

/* A name of letters, digits, '-', '_', '@' and '.' inside; the log has the key as it is. */
static void append_plain(struct buf *name, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool plain = cyr_isalnum(*p) || strchr("-_@", *p) || (*p == '.' && p > text);
        buf_putc(name, plain ? *p : '_');
    }
}

#define NAMEPART_MAX 100 /* bytes of a user id or key in a file's name */

/* Nothing is thrown away because it could not be read. */
static int keep_record(struct txn *txn, const char *userid, const char *uniqueid, const char *val, size_t len)
{
    struct names_config cfg;
    struct buf name = BUF_INITIALIZER;
    char *dir, *to = NULL;
    struct stat st;

    names_config_get(&cfg);
    dir = xasprintf("%s/lost+found", cfg.configdirectory);
    append_plain(&name, userid);
    if (buf_len(&name) > NAMEPART_MAX) buf_truncate(&name, NAMEPART_MAX);
    buf_appendcstr(&name, ".seen.");
    size_t most = buf_len(&name) + NAMEPART_MAX;
    append_plain(&name, uniqueid);
    if (buf_len(&name) > most) buf_truncate(&name, most);
    for (int64_t when = txn_time(txn); !to || !diskio_stat(to, &st) || txn_attached(txn, to); when++) {
        free(to);
        to = xasprintf("%s/%s.%" PRId64, dir, buf_cstring(&name), when);
    }
    txn_mkdir(txn, dir, 0700);
    txn_create(txn, to, val, len, 0600, 0);
    txn_attach(txn, to, txn, NULL); /* the name is taken */
    xsyslog_errno(LOG_ERR, 0, "DBERROR: a seen record that can't be read is replaced",
                  "userid=<%s> key=<%s> kept=<%s>", userid, uniqueid, to);
    buf_free(&name);
    free(to);
    free(dir);
    return 0;
}

static int keep_unreadable(struct txn *txn, struct txn_db *db, const char *userid, const char *uniqueid)
{
    struct seendata sd = SEENDATA_INITIALIZER;
    bool badset = false;
    const char *val;
    size_t len;

    int r = txn_db_fetch(db, uniqueid, strlen(uniqueid), &val, &len);
    if (!r && (seen_decode(&sd, val, len, &badset) || badset)) r = keep_record(txn, userid, uniqueid, val, len);
    seen_freedata(&sd);
    return r == IMAP_NOTFOUND ? 0 : r;
}

int seen_write(struct txn *txn, const char *userid, const char *uniqueid, const struct seendata *sd)
{
    struct buf val = BUF_INITIALIZER;
    struct txn_db *db;

    int r = txn_lock_user(txn, userid);
    if (!r) r = seen_open(userid, txn, TXN_DB_CREATE | TXN_DB_CONVERT, &db);
    if (!r) r = keep_unreadable(txn, db, userid, uniqueid);
    if (r) return r;
    seen_encode(sd, &val);
    r = txn_db_store(db, uniqueid, strlen(uniqueid), buf_cstring(&val), buf_len(&val));
    if (!r) sync_log_seen(txn, userid, uniqueid);
    buf_free(&val);
    return r;
}

struct foreach_rock {
    const char *userid;
    int (*cb)(const char *uniqueid, const struct seendata *, void *);
    void *rock;
};

static int foreach_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct foreach_rock *fr = rock;
    struct seendata sd = SEENDATA_INITIALIZER;
    char *uniqueid = xstrndup(key, keylen);

    decode(fr->userid, uniqueid, data, datalen, &sd);
    int r = fr->cb(uniqueid, &sd, fr->rock);
    seen_freedata(&sd);
    free(uniqueid);
    return r;
}

int seen_foreach(const char *userid,
                 int (*cb)(const char *uniqueid, const struct seendata *, void *), void *rock)
{
    struct foreach_rock fr = { userid, cb, rock };
    struct txn_db *db;

    int r = seen_open(userid, NULL, TXN_DB_CONVERT, &db);
    if (r) return r;
    r = txn_db_foreach(db, NULL, 0, foreach_cb, &fr);
    txn_db_close(&db);
    return r;
}
