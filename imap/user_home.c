/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_home -- which server of a pair is primary for a user (doc/failover.md, "Homes of users")
 *
 * Most users of most servers have no home: whether one has is a single look into users.db, at a key of its own.
 */
#include <config.h>

#include "user_home.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "sync_log.h"
#include "user_record.h"
#include "xmalloc.h"
#include "xsyslog.h"

static enum user_home_guard guarded;

/* ---- marks ---- */

bool user_home_is_here(const struct user_home *home)
{
    return home->epoch && !strcmp(home->server, config_servername);
}

int user_home_cmp(const struct user_home *a, const struct user_home *b)
{
    if (a->epoch != b->epoch) return a->epoch < b->epoch ? -1 : 1;
    return strcmp(a->server, b->server);
}

bool user_home_server_isvalid(const char *server)
{
    return user_text_isvalid(server, USER_HOME_MAXSERVER) && !strchr(server, ' ');
}

/* ---- reading ---- */

/* Is there anything to read? A look at the key, which a name that 3.6.1 has given away may have for nothing. */
static bool may_have(const char *userid, struct txn *txn)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    const char *data;
    size_t len;

    user_key_home(userid, &key);
    int r = user_record_db_open(txn, &db);
    if (!r) r = txn_db_fetch(db, key.s, key.len, &data, &len);
    txn_db_close(&db);
    buf_free(&key);
    return !r;
}

/* Who has no INBOX yet may have been told a home: replication brings it. */
static int find_record(const char *userid, struct txn *txn, struct user_record **recp)
{
    int r = user_record_lookup(userid, txn, recp);

    return r == IMAP_NOTFOUND ? user_record_by_name(txn, userid, recp) : r;
}

int user_home_get(const char *userid, struct txn *txn, struct user_home *home)
{
    struct user_record *rec = NULL;

    *home = (struct user_home){ .epoch = 0 };
    if (!userid || !*userid || !may_have(userid, txn)) return IMAP_NOTFOUND;
    int r = find_record(userid, txn, &rec);
    if (!r && (!rec->home || strlen(rec->home) > USER_HOME_MAXSERVER)) r = IMAP_NOTFOUND;
    if (!r) {
        snprintf(home->server, sizeof(home->server), "%s", rec->home);
        home->epoch = rec->epoch;
        home->since = rec->home_since;
    }
    user_record_free(&rec);
    return r;
}

bool user_home_is_elsewhere(const char *userid, struct user_home *home)
{
    struct user_home mine;

    if (!home) home = &mine;
    return !user_home_get(userid, NULL, home) && !user_home_is_here(home);
}

static int take_user(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    (void)data;
    (void)len;
    strarray_appendm(rock, xstrndup(key + 1, keylen - 1));
    return 0;
}

int user_home_users(strarray_t *userids)
{
    struct txn_db *db = NULL;

    int r = user_record_db_open(NULL, &db);
    if (!r) r = txn_db_foreach(db, "A", 1, take_user, userids);
    txn_db_close(&db);
    return r;
}

/* ---- writing ---- */

/* Who has no INBOX yet: he will have this id, perhaps once more. */
static int make_record(struct txn *txn, const char *userid, const char *id, struct user_record **recp)
{
    struct user_record *rec = NULL;
    int r = id ? user_record_by_id(txn, id, &rec) : IMAP_INVALID_USER;

    if (r == IMAP_NOTFOUND) {
        rec = user_record_new(id, userid, USER_ACTIVE);
        r = 0;
    }
    else if (!r && (rec->state != USER_DELETED || strcmp(rec->userid, userid) != 0)) {
        r = IMAP_INVALID_USER; /* he has another name still */
    }
    else if (!r) {
        rec->state = rec->before;
        rec->before = USER_ACTIVE;
        user_record_drop_kept(rec);
    }
    if (r) user_record_free(&rec);
    *recp = rec;
    return r;
}

int user_home_put(struct txn *txn, const char *userid, const char *id, const struct user_home *home)
{
    struct user_record *rec = NULL, *old = NULL;
    int r = find_record(userid, txn, &rec);

    if (r == IMAP_NOTFOUND) r = make_record(txn, userid, id, &rec);
    if (!r && rec->state != USER_ACTIVE && rec->state != USER_DISABLED) r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r) {
        user_record_set_home(rec, home->server, home->epoch, home->since);
        r = user_record_by_id(txn, rec->id, &old);
        if (r == IMAP_NOTFOUND) r = 0;
    }
    if (!r) r = user_record_put(txn, old, rec);
    if (!r) {
        bool was = sync_log_suppress(false);
        sync_log_user(txn, userid);
        (void)sync_log_suppress(was);
    }
    user_record_free(&rec);
    user_record_free(&old);
    return r;
}

int user_home_take(struct txn *txn, const char *userid, const char *id, const struct user_home *said)
{
    struct user_home now;
    int r = user_home_get(userid, txn, &now);

    if (r && r != IMAP_NOTFOUND) return r;
    int cmp = user_home_cmp(&now, said);
    if (cmp > 0) return user_home_is_here(&now) ? IMAP_USER_ATHOME : IMAP_SYNC_CHANGED;
    if (!cmp && user_home_is_here(said)) return 0;
    return user_home_put(txn, userid, id, said);
}

int user_home_set(const char *userid, const struct user_home *said)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = user_home_take(txn, userid, NULL, said);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (!r) syslog(LOG_NOTICE, "the home of %s is %s, epoch %" PRIu64, userid, said->server, said->epoch);
    return r;
}

/* ---- the guard ---- */

static int check_peer(const char *userid, void *rock)
{
    struct user_home home;

    (void)rock;
    return !user_home_get(userid, NULL, &home) && user_home_is_here(&home) ? IMAP_USER_ATHOME : 0;
}

enum user_home_guard user_home_set_guard(enum user_home_guard guard)
{
    static txn_gate *const gates[] = { NULL, user_record_gate, check_peer };
    enum user_home_guard was = guarded;

    guarded = guard;
    txn_set_gate(gates[guard], NULL);
    return was;
}

bool user_home_keeps_out(const char *mboxname)
{
    if (guarded != USER_HOME_CLIENT) return false;
    char *userid = mboxname_to_userid(mboxname);
    bool out = user_home_is_elsewhere(userid, NULL);

    free(userid);
    return out;
}
