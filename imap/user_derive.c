/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_derive -- users.db as a whole against mailboxes.db (doc/users.md)
 *
 * A packaged 3.6.1 that had the store before has created, renamed and deleted users without a word. What differs is found
 * by reading both files, and brought in line under the users' locks, some users a transaction.
 */
#include <config.h>

#include "user_ops.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "ptrarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define AT_ONCE 64 /* users of a transaction: each has a lock file open */

struct survey {
    strarray_t todo; /* users */
};

static void want(struct survey *s, const char *userid)
{
    strarray_append(&s->todo, userid);
}

/* ---- what is not as it ought to be ---- */

static int look_at_inbox(const mbentry_t *inbox, void *rock)
{
    struct survey *s = rock;
    struct user_record *rec = NULL, *named = NULL;

    if (!mboxname_isusermailbox(inbox->name, true) || !inbox->uniqueid || !user_record_owns_id(inbox, NULL)) return 0;
    char *userid = mboxname_to_userid(inbox->name);
    int r = user_record_by_id(NULL, inbox->uniqueid, &rec);
    if (!r) {
        if (strcmp(rec->userid, userid) != 0) want(s, rec->userid);
        bool remote = mbentry_is_remote(inbox, config_servername);
        if (strcmp(rec->userid, userid) != 0 || rec->state == USER_DELETED || (rec->state == USER_MOVED) != remote ||
            user_record_by_name(NULL, userid, &named) || strcmp(named->id, inbox->uniqueid) != 0)
            want(s, userid);
    }
    else if (r == IMAP_NOTFOUND) {
        want(s, userid);
        r = 0;
    }
    user_record_free(&rec);
    user_record_free(&named);
    free(userid);
    return r;
}

static int look_at_record(const char *key, size_t keylen, const struct user_record *rec, void *rock)
{
    struct survey *s = rock;
    mbentry_t *inbox = NULL;

    if (!rec || (rec->state != USER_ACTIVE && rec->state != USER_DISABLED)) return 0;
    char *name = mboxname_user_mbox(rec->userid, NULL);
    int r = name ? mboxlist_lookup(name, &inbox, NULL) : IMAP_MAILBOX_NONEXISTENT;
    if (r || strcmpnull(inbox->uniqueid, rec->id)) want(s, rec->userid);
    mbentry_free(&inbox);
    free(name);
    return 0;
}

static int look_at_key(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    char *userid = xstrndup(key + 1, keylen - 1), *id = xstrndup(data, len);
    struct user_record *rec = NULL;

    if (user_record_by_id(NULL, id, &rec) || strcmp(rec->userid, userid) != 0 || rec->state == USER_DELETED ||
        (*key == 'M' && !user_state_is_hidden(rec->state)) || (*key == 'A' && !rec->home))
        want(rock, userid);
    user_record_free(&rec);
    free(userid);
    free(id);
    return 0;
}

static int survey(struct survey *s)
{
    struct txn_db *db = NULL;

    int r = mboxlist_allmbox("", look_at_inbox, s, 0);
    if (!r) r = user_record_foreach(NULL, look_at_record, s);
    if (!r) r = user_record_db_open(NULL, &db);
    if (!r) r = txn_db_foreach(db, "N", 1, look_at_key, s);
    if (!r) r = txn_db_foreach(db, "M", 1, look_at_key, s);
    if (!r) r = txn_db_foreach(db, "A", 1, look_at_key, s);
    txn_db_close(&db);
    strarray_sort(&s->todo, cmpstringp_raw);
    strarray_uniq(&s->todo);
    return r;
}

/* ---- mending ---- */

static int mend(const strarray_t *todo, int from, int to, unsigned *count)
{
    strarray_t some = STRARRAY_INITIALIZER;
    struct txn *txn = NULL;
    unsigned n = 0;

    for (int i = from; i < to; i++) strarray_append(&some, strarray_nth(todo, i));
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_users(txn, &some);
    for (int i = 0; !r && i < strarray_size(&some); i++) {
        bool changed = false;
        r = user_record_reconcile(txn, strarray_nth(&some, i), &changed);
        n += changed;
    }
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    strarray_fini(&some);
    if (!r) *count += n;
    return r;
}

int user_derive(unsigned *count)
{
    int r = 0;

    *count = 0;
    /* a second time, for names that went from one user to another */
    for (int pass = 0; !r && pass < 2; pass++) {
        struct survey s = { STRARRAY_INITIALIZER };
        unsigned before = *count;
        r = survey(&s);
        for (int i = 0; !r && i < strarray_size(&s.todo); i += AT_ONCE) {
            int end = i + AT_ONCE < strarray_size(&s.todo) ? i + AT_ONCE : strarray_size(&s.todo);
            r = mend(&s.todo, i, end, count);
        }
        strarray_fini(&s.todo);
        if (*count == before) break;
    }
    return r;
}

/* ---- a damaged file ---- */

struct salvage {
    struct db *to;
    unsigned records;
};

static int keep_readable(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    struct salvage *sv = rock;
    struct user_record *rec = NULL;

    if (*key == 'U' && user_record_decode(key + 1, keylen - 1, data, len, &rec)) {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged record in users.db is left out", "key=<%.*s>", (int)keylen, key);
        return 0;
    }
    user_record_free(&rec);
    sv->records++;
    return cyrusdb_store(sv->to, key, keylen, data, len);
}

static void tell_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    *(bool *)rock = true;
    xsyslog_errno(LOG_ERR, 0, "DBERROR: users.db is damaged", "offset=<%" PRIu64 "> length=<%" PRIu64 "> what=<%s>", off, len,
                  what);
}

/* All of its bytes are looked at. A file that is none of this backend is damaged as a whole. */
static int check_file(const char *path, bool *damaged)
{
    const struct cyrusdb_salvage look = { .bad = tell_bad, .rock = damaged };
    struct stat st;

    if (diskio_stat(path, &st)) return 0;
    int r = cyrusdb_salvage(USERS_DB_BACKEND, path, 0, &look);
    if (r == CYRUSDB_BADFORMAT) *damaged = true;
    return r && r != CYRUSDB_BADFORMAT && r != CYRUSDB_NOTFOUND ? IMAP_IOERROR : 0;
}

static int write_readable(const char *path, const char *fresh, unsigned *records)
{
    struct salvage sv = { NULL, 0 };
    const struct cyrusdb_salvage to = { .record = keep_readable, .rock = &sv };

    diskio_unlink_quiet(fresh);
    int r = cyrusdb_open(USERS_DB_BACKEND, fresh, CYRUSDB_CREATE, &sv.to);
    if (!r) r = cyrusdb_begin(sv.to, 0);
    if (!r) r = cyrusdb_salvage(USERS_DB_BACKEND, path, 0, &to);
    if (r == CYRUSDB_BADFORMAT) r = 0; /* nothing of it can be read */
    if (!r) r = cyrusdb_commit(sv.to);
    cyrusdb_close(sv.to);
    *records = sv.records;
    return r ? IMAP_IOERROR : 0;
}

int user_derive_salvage(void)
{
    char *path = user_record_path(), *fresh = xasprintf("%s.NEW", path), *kept = xasprintf("%s.damaged", path);
    bool damaged = false;
    unsigned records = 0;

    int r = check_file(path, &damaged);
    if (!r && damaged) {
        r = write_readable(path, fresh, &records);
        if (!r && diskio_copyfile(path, kept, DISKIO_COPY_SYNC)) r = IMAP_IOERROR;
        if (!r && diskio_rename(fresh, path)) r = IMAP_IOERROR;
        if (!r && diskio_sync_parent(path)) r = IMAP_IOERROR;
        if (r)
            diskio_unlink_quiet(fresh);
        else
            xsyslog(LOG_ERR, "DBERROR: damaged users.db is made anew", "records=<%u> kept=<%s>", records, kept);
    }
    free(path);
    free(fresh);
    free(kept);
    return r;
}

/* ---- tombstones ---- */

struct old {
    time_t before;
    const char *userid;
    ptrarray_t records;
};

static int collect_old(const char *key, size_t keylen, const struct user_record *rec, void *rock)
{
    struct old *old = rock;

    if (rec && rec->state == USER_DELETED && rec->changed < old->before && (!old->userid || !strcmp(rec->userid, old->userid)))
        ptrarray_append(&old->records, user_record_dup(rec));
    return 0;
}

/* Unless he has come back, or still can. */
static int remove_old(const struct user_record *rec, size_t *count)
{
    struct user_record *now = NULL;
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, rec->userid);
    if (!r) r = user_record_by_id(txn, rec->id, &now);
    bool over = !r && now->state == USER_DELETED && mboxlist_lookup_by_uniqueid(rec->id, NULL, false, txn);
    if (over) r = user_record_remove(txn, now);
    if (r == IMAP_NOTFOUND) r = 0;
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    user_record_free(&now);
    if (!r && over) (*count)++;
    return r;
}

int user_expire(time_t before, const char *userid, size_t *count)
{
    struct old old = { before, userid, PTRARRAY_INITIALIZER };

    *count = 0;
    int r = user_record_foreach(NULL, collect_old, &old);
    for (int i = 0; i < ptrarray_size(&old.records); i++) {
        struct user_record *rec = ptrarray_nth(&old.records, i);
        if (!r) r = remove_old(rec, count);
        user_record_free(&rec);
    }
    ptrarray_fini(&old.records);
    return r;
}
