/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxkey -- the keys with which a user signs URLs of mailboxes
 */
#include <config.h>

#include "mboxkey.h"

#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "makeuuid.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define RECORD_VERSION 1
#define VALUE_SIZE (2 + MBOXKEY_SIZE)

static int open_db(const char *userid, struct txn *txn, unsigned flags, struct txn_db **dbp)
{
    struct user_meta *meta = NULL;

    int r = user_meta_lookup_or_legacy(userid, txn, &meta);
    if (r) return r;
    const char *path = user_meta_path(meta, "mboxkey");
    r = path ? txn_db_open(txn, config_getstring(IMAPOPT_MBOXKEY_DB), path, flags, dbp)
             : IMAP_MAILBOX_BADNAME;
    user_meta_free(&meta);
    return r;
}

static int fetch(struct txn_db *db, const char *userid, const char *mboxname, unsigned char key[MBOXKEY_SIZE])
{
    const char *val;
    size_t len;

    int r = txn_db_fetch(db, mboxname, strlen(mboxname), &val, &len);
    if (r) return r;
    if (len != VALUE_SIZE || val[0] != 0 || val[1] != RECORD_VERSION) {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged mboxkey record", "userid=<%s> mailbox=<%s> size=<%zu>", userid,
                      mboxname, len);
        return IMAP_MAILBOX_BADFORMAT;
    }
    memcpy(key, val + 2, MBOXKEY_SIZE);
    return 0;
}

int mboxkey_read(const char *userid, const char *mboxname, unsigned char key[MBOXKEY_SIZE])
{
    struct txn_db *db;

    int r = open_db(userid, NULL, TXN_DB_CONVERT, &db);
    if (r) return r;
    r = fetch(db, userid, mboxname, key);
    txn_db_close(&db);
    return r;
}

int mboxkey_make(struct txn *txn, const char *userid, const char *mboxname, unsigned char key[MBOXKEY_SIZE])
{
    char value[VALUE_SIZE] = { 0, RECORD_VERSION };
    struct txn_db *db;

    int r = txn_lock_user(txn, userid);
    if (!r) r = open_db(userid, txn, TXN_DB_CREATE | TXN_DB_CONVERT, &db);
    if (!r) r = fetch(db, userid, mboxname, key);
    if (r != IMAP_NOTFOUND) return r;
    random_bytes(key, MBOXKEY_SIZE);
    memcpy(value + 2, key, MBOXKEY_SIZE);
    return txn_db_store(db, mboxname, strlen(mboxname), value, sizeof(value));
}

static int collect(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    (void)data;
    (void)datalen;
    strarray_appendm(rock, xstrndup(key, keylen));
    return 0;
}

int mboxkey_remove(struct txn *txn, const char *userid, const char *mboxname)
{
    strarray_t names = STRARRAY_INITIALIZER;
    struct txn_db *db;

    int r = txn_lock_user(txn, userid);
    if (!r) r = open_db(userid, txn, TXN_DB_CONVERT, &db);
    if (r) return r == IMAP_NOTFOUND ? 0 : r;
    if (mboxname)
        strarray_append(&names, mboxname);
    else
        r = txn_db_foreach(db, NULL, 0, collect, &names);
    for (int i = 0; !r && i < strarray_size(&names); i++)
        r = txn_db_delete(db, strarray_nth(&names, i), strlen(strarray_nth(&names, i)));
    strarray_fini(&names);
    return r;
}
