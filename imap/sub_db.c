/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sub_db -- the subscriptions of a user (handbook 01 §7.2)
 *
 * One key a subscription. Files of version 1 (dotted names, no version key) are read as they
 * are, and written anew as a whole with the first change. A missing file means
 * no subscriptions; reading never makes one. What is said is noted in the history (sub_history.c), also when
 * it changes nothing here: another server may know otherwise.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "sub_codec.h"
#include "sub_file.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"

int sub_file_open(const char *userid, struct txn *txn, unsigned flags, struct txn_db **dbp)
{
    struct user_meta *meta = NULL;

    int r = user_meta_lookup_or_legacy(userid, txn, &meta);
    if (r) return r;
    const char *path = user_meta_path(meta, "sub"), *backend = config_getstring(IMAPOPT_SUBSCRIPTION_DB);
    if (path) (void)sub_heal(txn, userid, path); /* what it leaves is an error as soon as it is read */
    r = path ? txn_db_open(txn, backend, path, flags, dbp) : IMAP_MAILBOX_BADNAME;
    user_meta_free(&meta);
    return r;
}

static bool is_version2(struct txn_db *db)
{
    return !txn_db_fetch(db, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY), NULL, NULL);
}

struct list_rock {
    const char *userid;
    bool version2;
    strarray_t *names;
};

char *sub_record_name(bool version2, const char *key, size_t keylen, const char *userid, bool *control)
{
    *control = version2 ? !memcmp_len(key, keylen, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY))
                        : !keylen || key[0] == '\x1f';
    if (*control) return NULL;
    return version2 ? sub_key_parse(key, keylen, userid) : mboxname_from_sync(syncname_of(key, keylen));
}

static int list_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct list_rock *lr = rock;
    bool control;
    char *name = sub_record_name(lr->version2, key, keylen, lr->userid, &control);

    if (control) return 0;
    if (name)
        strarray_appendm(lr->names, name);
    else
        mbname_log_refused("DBERROR: a subscription is no name", key, keylen);
    return 0;
}

int sub_file_list(struct txn_db *db, const char *userid, strarray_t *names)
{
    struct list_rock rock = { userid, is_version2(db), names };

    int r = txn_db_foreach(db, NULL, 0, list_cb, &rock);
    strarray_sort(names, NULL);
    strarray_uniq(names);
    return r;
}

int sub_list(const char *userid, strarray_t *names)
{
    struct txn_db *db;

    int r = sub_file_open(userid, NULL, TXN_DB_CONVERT, &db);
    if (r) return r;
    r = sub_file_list(db, userid, names);
    txn_db_close(&db);
    return r;
}

/* The file becomes one of version 2. */
static int upgrade(struct txn_db *db, const char *userid)
{
    strarray_t names = STRARRAY_INITIALIZER;
    struct buf key = BUF_INITIALIZER;

    if (is_version2(db)) return 0;
    int r = sub_file_list(db, userid, &names);
    for (int i = 0; !r && i < strarray_size(&names); i++) {
        const char *name = strarray_nth(&names, i);
        r = txn_db_delete(db, name, strlen(name));
        if (r) break;
        sub_key_print(name, userid, &key);
        r = txn_db_store(db, buf_base(&key), buf_len(&key), "", 0);
    }
    if (!r)
        r = txn_db_store(db, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY), SUB_VERSION,
                         strlen(SUB_VERSION));
    strarray_fini(&names);
    buf_free(&key);
    return r;
}

static bool is_there(struct txn_db *db, const char *userid, const char *name)
{
    struct buf key = BUF_INITIALIZER;

    sub_key_print(name, userid, &key);
    bool found = is_version2(db) ? !txn_db_fetch(db, buf_base(&key), buf_len(&key), NULL, NULL)
                                 : !txn_db_fetch(db, name, strlen(name), NULL, NULL);
    buf_free(&key);
    return found;
}

int sub_file_set(struct txn *txn, struct txn_db *db, const char *userid, const char *name, bool subscribe)
{
    struct buf key = BUF_INITIALIZER;

    if (is_there(db, userid, name) == subscribe) return 0;
    sub_key_print(name, userid, &key);
    int r = upgrade(db, userid);
    if (!r)
        r = subscribe ? txn_db_store(db, buf_base(&key), buf_len(&key), "", 0)
                      : txn_db_delete(db, buf_base(&key), buf_len(&key));
    if (!r) sync_log_subscribe(txn, userid, name);
    buf_free(&key);
    return r;
}

int sub_change(struct txn *txn, const char *userid, const char *name, bool subscribe)
{
    struct txn_db *db;

    int r = txn_lock_user(txn, userid);
    if (!r) r = sub_file_open(userid, txn, TXN_DB_CREATE | TXN_DB_CONVERT, &db);
    if (!r) r = sub_history_note(txn, db, userid, name, subscribe);
    /* said once more: the other end is to know when */
    if (!r && is_there(db, userid, name) == subscribe) sync_log_subscribe(txn, userid, name);
    return r ? r : sub_file_set(txn, db, userid, name, subscribe);
}

int sub_rename(struct txn *txn, const char *userid, const char *oldname, const char *newname)
{
    struct txn_db *db;

    int r = txn_lock_user(txn, userid);
    if (!r) r = sub_file_open(userid, txn, TXN_DB_CONVERT, &db);
    if (r || !is_there(db, userid, oldname)) return r;
    r = sub_change(txn, userid, oldname, false);
    return r ? r : sub_change(txn, userid, newname, true);
}

bool sub_is_subscribed(const char *userid, const char *name)
{
    struct txn_db *db;

    if (sub_file_open(userid, NULL, TXN_DB_CONVERT, &db)) return false;
    bool found = is_there(db, userid, name);
    txn_db_close(&db);
    return found;
}
