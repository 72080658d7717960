/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sub_history -- a user's subhistory file, beside sub (doc/subhistory.md)
 *
 * A twoskip file: keys of sub_codec, values of sub_entry, the version, and the last stamp given. It is changed in the
 * transaction that changes sub, so a crash can't part them. What another program has changed in sub is found when the
 * two are compared, or when sub is younger than the last stamp.
 *
 * sub decides what is subscribed. A history that can't be read, or has no place for a change, is set aside as FILE.damaged
 * (DBERROR in the log) and made anew from sub; one that speaks of subscriptions while sub is gone as well, since nobody removes that file by unsubscribing.
 */
#include <config.h>

#include "sub_history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "buf.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "names_config.h"
#include "sub_codec.h"
#include "sub_file.h"
#include "sub_history_internal.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define HISTORY_VERSION "1"
#define LAST_KEY "\x1fLAST\x1f"

/* ---- time ---- */

static uint64_t now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * USEC + (uint64_t)ts.tv_nsec / 1000;
}

/* When sub was changed, not later than now; 0: there is no such file. */
static uint64_t sub_mtime(const struct history *h)
{
    uint64_t now = now_usec(), then;
    struct stat st;

    if (diskio_stat(txn_db_path(h->sub), &st)) return 0;
    then = st.st_mtim.tv_sec <= 0 ? 1
                                  : (uint64_t)st.st_mtim.tv_sec * USEC + (uint64_t)st.st_mtim.tv_nsec / 1000;
    return then < now ? then : now;
}

static uint64_t above(uint64_t stamp, uint64_t other)
{
    return stamp > other ? stamp : other + 1;
}

uint64_t sub_history_stamp(const struct sub_list *list)
{
    uint64_t stamp = now_usec();

    for (size_t i = 0; i < list->n; i++) stamp = above(stamp, list->v[i].stamp);
    return stamp;
}

/* ---- a file that makes no sense ---- */

static int remove_file(struct txn *txn, void *rock)
{
    txn_db_remove(txn, rock);
    return 0;
}

static char *aside_key(const char *userid)
{
    return xasprintf("subhistory/aside/%s", userid);
}

/* Nothing of it is lost; it is made anew at the next use. */
static int set_aside(struct history *h, const char *why)
{
    struct names_config cfg;
    char *kept = xasprintf("%s.damaged", h->path), *path = xstrdup(h->path), *key = aside_key(h->userid);

    xsyslog_errno(LOG_ERR, 0, "DBERROR: history of subscriptions is set aside, it will be made anew",
                  "userid=<%s> fname=<%s> kept=<%s> reason=<%s>", h->userid, h->path, kept, why);
    names_config_get(&cfg);
    h->aside = true;
    int r = txn_move(h->txn, cfg.configdirectory, h->path, kept);
    txn_attach(h->txn, key, path, free);
    txn_on_commit(h->txn, TXN_ORDER_MBOXLIST, remove_file, path);
    free(kept);
    free(key);
    return r;
}

/* An error of the database: damaged, or one to be told. */
int sub_history_db_failed(struct history *h, int r)
{
    if (r != IMAP_MAILBOX_BADFORMAT && r != IMAP_MAILBOX_CHECKSUM) return r;
    return h->aside ? 0 : set_aside(h, "no sound database");
}

/* ---- open ---- */

void sub_history_close(struct history *h)
{
    free(h->path);
    h->path = NULL;
}

static int take_head(struct history *h)
{
    const char *val;
    size_t len;
    int r = txn_db_fetch(h->db, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY), &val, &len);

    if (r == IMAP_NOTFOUND) return 0;
    if (r) return sub_history_db_failed(h, r);
    if (len != strlen(HISTORY_VERSION) || memcmp(val, HISTORY_VERSION, len) != 0) return set_aside(h, "another version");
    h->known = true;
    r = txn_db_fetch(h->db, LAST_KEY, strlen(LAST_KEY), &val, &len);
    if (r && r != IMAP_NOTFOUND) return sub_history_db_failed(h, r);
    struct sub_entry e = { 0 };
    if (r || sub_entry_decode(val, len, &e)) return set_aside(h, "no last stamp");
    h->last = e.stamp;
    free(e.uniqueid);
    return 0;
}

/* Needs the user's lock. Without a file and without subscriptions nothing is staged until something is put. */
int sub_history_open(struct txn *txn, struct txn_db *sub, const char *userid, struct history *h)
{
    struct user_meta *meta = NULL;
    char *key = aside_key(userid);

    *h = (struct history){ .txn = txn, .userid = userid, .sub = sub };
    h->aside = txn_attached(txn, key) != NULL;
    free(key);
    int r = user_meta_lookup_or_legacy(userid, txn, &meta);
    if (r) return r;
    const char *path = user_meta_path(meta, "subhistory");
    h->path = xstrdupnull(path);
    user_meta_free(&meta);
    if (!h->path) return IMAP_MAILBOX_BADNAME;
    if (h->aside) return 0;
    /* one that is damaged where a change has to go must not keep everyone waiting who changes anything of the user */
    r = txn_db_open(txn, "twoskip", h->path, TXN_DB_CREATE | TXN_DB_DERIVED, &h->db);
    if (r) return sub_history_db_failed(h, r);
    return take_head(h);
}

/* ---- entries ---- */

static int put_raw(struct history *h, const char *key, const struct sub_entry *e)
{
    struct buf value = BUF_INITIALIZER;

    sub_entry_encode(e, &value);
    int r = txn_db_store(h->db, key, strlen(key), buf_base(&value), buf_len(&value));
    buf_free(&value);
    return r;
}

/* With every change: the file may have to be begun anew when it is applied, and this is all it has then. */
static int put_head(struct history *h, uint64_t stamp)
{
    if (stamp > h->last) h->last = stamp;
    struct sub_entry last = { .stamp = h->last };
    int r = txn_db_store(h->db, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY), HISTORY_VERSION, strlen(HISTORY_VERSION));

    h->known = true;
    return r ? r : put_raw(h, LAST_KEY, &last);
}

/* As it will be read; malloc'ed. NULL: the file of subscriptions can't say it. */
char *sub_history_readable(const struct history *h, const char *name)
{
    struct buf key = BUF_INITIALIZER;

    sub_key_print(name, h->userid, &key);
    char *back = sub_key_parse(buf_cstring(&key), buf_len(&key), h->userid);
    buf_free(&key);
    if (back && strlen(back) >= MAX_MAILBOX_BUFFER) xzfree(back);
    return back;
}

int sub_history_put(struct history *h, const struct sub_entry *e)
{
    struct buf key = BUF_INITIALIZER;
    char *name = sub_history_readable(h, e->name);
    int r = 0;

    if (name && !h->aside) {
        sub_key_print(name, h->userid, &key);
        r = put_head(h, e->stamp);
        if (!r) r = put_raw(h, buf_cstring(&key), e);
    }
    buf_free(&key);
    free(name);
    return sub_history_db_failed(h, r);
}

/* The mailbox that has the name now; malloc'ed, or NULL. */
static char *uniqueid_of(const struct history *h, const char *name)
{
    mbentry_t *mbentry = NULL;
    char *id = NULL;

    if (!mboxlist_lookup(name, &mbentry, h->txn) && mbentry->uniqueid && sub_uniqueid_isvalid(mbentry->uniqueid))
        id = xstrdup(mbentry->uniqueid);
    mbentry_free(&mbentry);
    return id;
}

static int put_now(struct history *h, const char *name, bool on, uint64_t stamp)
{
    struct sub_entry e = { .name = xstrdup(name), .on = on, .stamp = stamp, .uniqueid = uniqueid_of(h, name) };
    int r = sub_history_put(h, &e);

    free(e.name);
    free(e.uniqueid);
    return r;
}

/* ---- all of it ---- */

struct reading {
    struct history *h;
    struct sub_list *list;
};

static int read_cb(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct reading *rd = rock;
    struct sub_entry e = { 0 };

    if (keylen && *key == '\x1f') return 0;
    e.name = sub_key_parse(key, keylen, rd->h->userid);
    int r = !e.name || sub_entry_decode(val, vallen, &e) ? IMAP_MAILBOX_BADFORMAT : 0;
    if (!r) sub_list_set(rd->list, &e);
    if (!r && e.stamp > rd->h->last) rd->h->last = e.stamp;
    free(e.name);
    free(e.uniqueid);
    return r;
}

int sub_history_read_all(struct history *h, struct sub_list *list)
{
    struct reading rd = { h, list };
    int r = h->aside ? 0 : txn_db_foreach(h->db, NULL, 0, read_cb, &rd);

    if (!r && !h->known && list->n) r = IMAP_MAILBOX_BADFORMAT;
    return sub_history_db_failed(h, r);
}

/* ---- in line with the subscriptions ---- */

static int differs(struct history *h, struct sub_list *list, const char *name, bool on, uint64_t mtime)
{
    const struct sub_entry *old = sub_list_find(list, name);
    struct sub_entry e = { sub_history_readable(h, name), on, old ? above(mtime, old->stamp) : mtime, uniqueid_of(h, name) };

    if (e.name) sub_list_set(list, &e);
    int r = e.name ? sub_history_put(h, &e) : 0;
    free(e.name);
    free(e.uniqueid);
    return r;
}

static bool has_subscription(const struct sub_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].on) return true;
    return false;
}

/* *list is all that the history has; afterwards, what it should have. */
static int reconcile(struct history *h, struct sub_list *list)
{
    strarray_t names = STRARRAY_INITIALIZER;
    uint64_t mtime = sub_mtime(h);
    int r = sub_file_list(h->sub, h->userid, &names);

    if (!r && !mtime && !strarray_size(&names) && has_subscription(list)) {
        strarray_fini(&names);
        return set_aside(h, "the subscriptions are missing");
    }
    if (!mtime) mtime = now_usec();
    size_t known = list->n, changes = 0;
    for (int i = 0; !r && i < strarray_size(&names); i++) {
        const struct sub_entry *e = sub_list_find(list, strarray_nth(&names, i));
        if (e && e->on) continue;
        changes++;
        r = differs(h, list, strarray_nth(&names, i), true, mtime);
    }
    for (size_t i = 0; !r && i < list->n; i++) {
        const struct sub_entry *e = &list->v[i];
        if (!e->on || strarray_contains(&names, e->name)) continue;
        char *name = xstrdup(e->name);
        changes++;
        r = differs(h, list, name, false, mtime);
        free(name);
    }
    if (!r && known && changes)
        syslog(LOG_NOTICE, "%zu subscriptions of %s were changed by another program", changes, h->userid);
    strarray_fini(&names);
    return r;
}

int sub_history_read_in_line(struct history *h, struct sub_list *list)
{
    int r = sub_history_read_all(h, list);

    return r || h->aside ? r : reconcile(h, list);
}

/* Only if there is a sign that something else has changed sub: it is younger than what was said last. */
static int catch_up(struct history *h)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    uint64_t mtime = sub_mtime(h);

    if (h->aside || !mtime || (h->known && mtime <= h->last + USEC)) return 0;
    int r = sub_history_read_in_line(h, &list);
    sub_list_fini(&list);
    return r;
}

/* ---- what the stores call ---- */

int sub_history_note(struct txn *txn, struct txn_db *sub, const char *userid, const char *name, bool subscribe)
{
    struct history h;
    int r = sub_history_open(txn, sub, userid, &h);

    if (!r) r = catch_up(&h);
    if (!r && !h.aside) r = put_now(&h, name, subscribe, above(now_usec(), h.last));
    sub_history_close(&h);
    return r;
}
