/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sub_heal -- subscriptions that were damaged on the disk come back from the history beside them
 *
 * A flat file has one sum for all of it (lib/filesum.h). When that is wrong, no line can be trusted. The history has each name with what
 * was said of it last, in a file whose records have sums; the two are changed in one transaction, and are compared before a change
 * when another program has changed the subscriptions. So what it says is subscribed becomes the file, and the damaged one is kept as
 * FILE.damaged, if the new file has the sum that the damaged one had: then it is what that was. Otherwise, and without a sound history,
 * nothing is done.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "filesum.h"
#include "imap_err.h"
#include "libconfig.h"
#include "sub_codec.h"
#include "sub_file.h"
#include "sub_history_internal.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int store_all(struct db *db, const char *userid, const struct sub_list *list)
{
    struct buf key = BUF_INITIALIZER;
    int r = cyrusdb_store(db, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY), SUB_VERSION, strlen(SUB_VERSION));

    for (size_t i = 0; !r && i < list->n; i++) {
        if (!list->v[i].on) continue;
        sub_key_print(list->v[i].name, userid, &key);
        r = cyrusdb_store(db, buf_base(&key), buf_len(&key), "", 0);
    }
    buf_free(&key);
    return r;
}

static int write_fresh(const char *fresh, const char *userid, const struct sub_list *list)
{
    struct db *db;

    diskio_unlink_quiet(fresh);
    int r = cyrusdb_open("flat", fresh, CYRUSDB_CREATE, &db);
    if (r) return IMAP_IOERROR;
    r = cyrusdb_begin(db, 0);
    if (!r) r = store_all(db, userid, list);
    if (!r) r = cyrusdb_commit(db);
    cyrusdb_close(db);
    return r ? IMAP_IOERROR : 0;
}

static int replace(const char *path, const char *userid, const struct sub_list *list)
{
    char *fresh = xasprintf("%s.FRESH", path), *kept = xasprintf("%s.damaged", path);

    int r = write_fresh(fresh, userid, list);
    if (!r && !filesum_same(fresh, path)) r = IMAP_NOTFOUND; /* it knows less, or more, than the file did */
    if (!r) r = diskio_unlink_quiet(kept);
    if (!r) r = diskio_link(path, kept);
    if (!r) r = diskio_rename(fresh, path);
    if (!r) r = diskio_sync_parent(path);
    if (r) diskio_unlink_quiet(fresh);
    if (!r)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged subscriptions are made anew from their history",
                      "userid=<%s> fname=<%s> kept=<%s>", userid, path, kept);
    free(fresh);
    free(kept);
    return !r || r == IMAP_NOTFOUND ? r : IMAP_IOERROR;
}

/* *list: what the history has. IMAP_NOTFOUND: there is none that is sound. */
static int read_history(struct txn *txn, const char *userid, struct sub_list *list)
{
    struct history h;

    int r = sub_history_open(txn, NULL, userid, &h);
    if (!r) r = h.aside || !h.known ? IMAP_NOTFOUND : sub_history_read_all(&h, list);
    if (!r && h.aside) r = IMAP_NOTFOUND;
    sub_history_close(&h);
    return r;
}

static int heal(struct txn *txn, const char *userid, const char *path)
{
    struct sub_list list = SUB_LIST_INITIALIZER;

    int r = txn_lock_user(txn, userid);
    /* Another process may have done it meanwhile. */
    if (!r && filesum_iswrong_path(path)) {
        r = read_history(txn, userid, &list);
        if (!r) r = replace(path, userid, &list);
    }
    sub_list_fini(&list);
    return r;
}

int sub_heal(struct txn *txn, const char *userid, const char *path)
{
    struct txn *own = NULL;

    if (strcmp(config_getstring(IMAPOPT_SUBSCRIPTION_DB), "flat") || !filesum_iswrong_path(path)) return IMAP_NOTFOUND;
    if (txn) return heal(txn, userid, path);
    int r = txn_begin(&own);
    if (!r) r = heal(own, userid, path);
    txn_abort(&own);
    return r;
}
