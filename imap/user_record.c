/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_record -- users.db: the users of this store, each with a record of his own (doc/users.md)
 *
 * Reading and putting; what follows from mailboxes.db is in user_follow.c.
 */
#include <config.h>

#include "user_record.h"

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "names_config.h"
#include "server_role.h"
#include "strarray.h"
#include "user_home.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- the file ---- */

char *user_record_path(void)
{
    struct names_config cfg;

    names_config_get(&cfg);
    return xasprintf("%s/users.db", cfg.configdirectory);
}

int user_record_db_open(struct txn *txn, struct txn_db **dbp)
{
    char *path = user_record_path();
    int r = txn_db_open(txn, USERS_DB_BACKEND, path, TXN_DB_CREATE | TXN_DB_GLOBAL | TXN_DB_DERIVED, dbp);

    free(path);
    return r;
}

static bool is_damage(int r)
{
    return r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_CHECKSUM;
}

static int parse(const char *key, size_t keylen, const char *val, size_t len, struct user_record **recp)
{
    struct buf hex = BUF_INITIALIZER;
    int r = user_record_decode(key + 1, keylen - 1, val, len, recp);

    if (r) {
        buf_appendhex(&hex, val, len);
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged record in users.db", "key=<%.*s> bytes=<%s>", (int)keylen, key,
                      buf_cstring(&hex));
    }
    buf_free(&hex);
    return r;
}

/* ---- reading ---- */

/* Damage is as if nothing were there: it was logged, and refuses nobody. */
static int fetch(struct txn *txn, const struct buf *key, struct buf *val)
{
    struct txn_db *db = NULL;
    const char *data;
    size_t len;

    int r = user_record_db_open(txn, &db);
    if (!r) r = txn_db_fetch(db, key->s, key->len, &data, &len);
    if (!r) buf_appendmap(val, data, len);
    txn_db_close(&db);
    return is_damage(r) ? IMAP_NOTFOUND : r;
}

int user_record_by_id(struct txn *txn, const char *id, struct user_record **recp)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;

    *recp = NULL;
    if (!id || !*id) return IMAP_NOTFOUND;
    user_key_record(id, &key);
    int r = fetch(txn, &key, &val);
    if (!r && parse(key.s, key.len, val.s ? val.s : "", val.len, recp)) r = IMAP_NOTFOUND;
    buf_free(&key);
    buf_free(&val);
    return r;
}

int user_record_by_name(struct txn *txn, const char *userid, struct user_record **recp)
{
    struct buf key = BUF_INITIALIZER, id = BUF_INITIALIZER;

    *recp = NULL;
    user_key_name(userid, &key);
    int r = fetch(txn, &key, &id);
    if (!r) r = user_record_by_id(txn, buf_cstring(&id), recp);
    if (!r && ((*recp)->state == USER_DELETED || strcmp((*recp)->userid, userid) != 0)) {
        user_record_free(recp);
        r = IMAP_NOTFOUND;
    }
    buf_free(&key);
    buf_free(&id);
    return r;
}

/* Of several INBOXes to which 3.6.1 has given one id, it is that of the one that the I record names (07 W041). */
bool user_record_owns_id(const mbentry_t *inbox, struct txn *txn)
{
    mbentry_t *owner = NULL;
    int r = mboxlist_lookup_by_uniqueid(inbox->uniqueid, &owner, true, txn);
    bool other = !r && strcmpnull(owner->name, inbox->name) && !(owner->mbtype & MBTYPE_DELETED);

    mbentry_free(&owner);
    return !other;
}

int user_record_of_inbox(const mbentry_t *inbox, struct txn *txn, struct user_record **recp)
{
    char *userid = mboxname_to_userid(inbox->name);
    bool remote = mbentry_is_remote(inbox, config_servername);

    *recp = NULL;
    int r = user_record_owns_id(inbox, txn) ? user_record_by_id(txn, inbox->uniqueid, recp) : IMAP_NOTFOUND;
    if (r == IMAP_NOTFOUND) {
        /* a place that was kept for him, with another id */
        r = user_record_by_name(txn, userid, recp);
        if (!r && (*recp)->state != USER_MOVING_IN) user_record_free(recp);
        if (!*recp && (!r || r == IMAP_NOTFOUND)) {
            *recp = user_record_new(inbox->uniqueid, userid, USER_ACTIVE);
            r = 0;
        }
    }
    if (!r) {
        struct user_record *rec = *recp;
        /* 3.6.1 may have renamed him, or brought him back */
        user_record_set_text(&rec->id, inbox->uniqueid);
        user_record_set_userid(rec, userid, inbox->mtime);
        if (rec->state == USER_DELETED) rec->state = rec->before;
        if (rec->state == USER_MOVED && !remote) rec->state = USER_ACTIVE;
        if (remote) rec->state = USER_MOVED;
        if (remote) user_record_set_text(&rec->server, inbox->server);
    }
    free(userid);
    return r;
}

int user_record_lookup(const char *userid, struct txn *txn, struct user_record **recp)
{
    char *name = mboxname_user_mbox(userid, NULL);
    mbentry_t *inbox = NULL;

    *recp = NULL;
    int r = name ? mboxlist_lookup(name, &inbox, txn) : IMAP_MAILBOX_NONEXISTENT;
    if (!r) {
        r = user_record_of_inbox(inbox, txn, recp);
    }
    else if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_RESERVED) {
        r = name ? user_record_by_name(txn, userid, recp) : IMAP_NOTFOUND;
        if (!r && (*recp)->state != USER_MOVING_IN && (*recp)->state != USER_MOVED) {
            user_record_free(recp); /* 3.6.1 has deleted or renamed him */
            r = IMAP_NOTFOUND;
        }
    }
    mbentry_free(&inbox);
    free(name);
    return r;
}

struct latest {
    struct txn *txn;
    size_t prefix;
    struct user_record *rec;
};

static int take_latest(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    struct latest *latest = rock;
    struct user_record *rec = NULL;
    char *id = xstrndup(key + latest->prefix, keylen - latest->prefix);
    int r = user_record_by_id(latest->txn, id, &rec);

    if (!r && rec->state == USER_DELETED && (!latest->rec || rec->changed >= latest->rec->changed)) {
        user_record_free(&latest->rec);
        latest->rec = rec;
        rec = NULL;
    }
    user_record_free(&rec);
    free(id);
    return r == IMAP_NOTFOUND ? 0 : r;
}

int user_record_lookup_deleted(const char *userid, const char *id, struct txn *txn, struct user_record **recp)
{
    struct latest latest = { .txn = txn };
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    int r;

    *recp = NULL;
    if (id) {
        r = user_record_by_id(txn, id, recp);
        if (!r && ((*recp)->state != USER_DELETED || strcmp((*recp)->userid, userid) != 0)) {
            user_record_free(recp);
            r = IMAP_NOTFOUND;
        }
        return r;
    }
    user_key_deleted(userid, NULL, &key);
    latest.prefix = buf_len(&key);
    r = user_record_db_open(txn, &db);
    if (!r) r = txn_db_foreach(db, key.s, key.len, take_latest, &latest);
    txn_db_close(&db);
    buf_free(&key);
    *recp = latest.rec;
    if (is_damage(r)) r = 0;
    return !r && !latest.rec ? IMAP_NOTFOUND : r;
}

struct each {
    user_record_cb *cb;
    void *rock;
};

static int each_one(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    const struct each *each = rock;
    struct user_record *rec = NULL;

    (void)parse(key, keylen, data, len, &rec);
    int r = each->cb(key, keylen, rec, each->rock);
    user_record_free(&rec);
    return r;
}

int user_record_foreach(struct txn *txn, user_record_cb *cb, void *rock)
{
    struct each each = { cb, rock };
    struct txn_db *db = NULL;

    int r = user_record_db_open(txn, &db);
    if (!r) r = txn_db_foreach(db, "U", 1, each_one, &each);
    txn_db_close(&db);
    return r;
}

static int take_hidden(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    strarray_appendm(rock, xstrndup(key + 1, keylen - 1));
    return 0;
}

void user_record_hidden(strarray_t *userids)
{
    struct txn_db *db = NULL;
    struct txn *txn = txn_current();

    int r = user_record_db_open(txn, &db);
    if (!r) r = txn_db_foreach(db, "M", 1, take_hidden, userids);
    txn_db_close(&db);
}

bool user_record_is_hidden(const char *userid)
{
    struct buf key = BUF_INITIALIZER, id = BUF_INITIALIZER;

    user_key_hidden(userid, &key);
    int r = fetch(txn_current(), &key, &id);
    buf_free(&key);
    buf_free(&id);
    return !r;
}

/* ---- who may come in ---- */

static bool has_inbox(const char *userid)
{
    char *name = mboxname_user_mbox(userid, NULL);
    bool there = name && !mboxlist_lookup(name, NULL, NULL);

    free(name);
    return there;
}

/* Also whose replication comes from the primary. */
static bool is_admin(const char *userid)
{
    struct auth_state *auth = auth_newstate(userid);
    bool is = auth_is_listed(auth, config_getstring(IMAPOPT_ADMINS)) || auth_is_listed(auth, config_getstring(IMAPOPT_PROXYSERVERS));

    auth_freestate(&auth);
    return is;
}

enum user_refusal user_record_refuses(const char *userid, struct buf *text)
{
    struct user_record *rec = NULL;
    struct server_role_mark mark;
    struct user_home home;
    enum user_refusal refused = USER_NOT_HERE;

    buf_reset(text);
    server_role_read(&mark);
    if (mark.role == SERVER_ROLE_REPLICA && !is_admin(userid)) {
        buf_printf(text, "This server is the replica%s%s", *mark.peer ? " of " : "", mark.peer);
        return USER_NOT_NOW;
    }
    if (user_home_is_elsewhere(userid, &home) && !is_admin(userid)) {
        buf_printf(text, "This account's home is %s, please try again there", home.server);
        return USER_NOT_AT_HOME;
    }
    if (user_record_lookup(userid, NULL, &rec)) return USER_WELCOME;
    if (rec->state == USER_DISABLED)
        buf_printf(text, "This account is disabled%s%s", rec->reason ? ": " : "", rec->reason ? rec->reason : "");
    else if (rec->state == USER_MOVING_IN)
        buf_setcstr(text, "This account is on its way to this server, please try again later");
    else if (rec->state == USER_MOVED && !has_inbox(userid))
        buf_printf(text, "This account has moved to %s", rec->server ? rec->server : "another server");
    else if (rec->state == USER_MOVING_OUT)
        buf_printf(text, "This account is moving to %s, please try again there", rec->server ? rec->server : "another server");
    else
        refused = USER_WELCOME;
    if (user_state_is_hidden(rec->state)) refused = USER_NOT_NOW; /* on his way */
    user_record_free(&rec);
    return refused;
}

enum user_refusal user_record_refuses_now(const char *userid, time_t *asked, struct buf *text)
{
    time_t now = time(NULL);

    if (now == *asked) return USER_WELCOME;
    *asked = now;
    return user_record_refuses(userid, text);
}

int user_record_gate(const char *userid, void *rock)
{
    struct user_record *rec = NULL;

    (void)rock;
    bool gone = !user_record_by_name(NULL, userid, &rec) &&
                (user_state_is_hidden(rec->state) || (rec->state == USER_MOVED && !has_inbox(userid)));
    user_record_free(&rec);
    return gone ? IMAP_USER_MOVING : user_home_is_elsewhere(userid, NULL) ? IMAP_USER_ELSEWHERE : 0;
}

bool user_record_allows_autocreate(const char *userid)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, NULL, &rec);

    user_record_free(&rec);
    return r != 0; /* who has a record without INBOX has it elsewhere */
}

int user_record_delivery(const char *userid)
{
    struct user_record *rec = NULL;
    int how = config_getenum(IMAPOPT_DISABLED_USER_DELIVERY), r = 0;

    if (server_role_is(SERVER_ROLE_REPLICA)) return IMAP_MAILBOX_MOVED;
    if (user_home_is_elsewhere(userid, NULL)) return IMAP_USER_ELSEWHERE;
    if (user_record_lookup(userid, NULL, &rec)) return 0;
    if (rec->state == USER_DISABLED && how != IMAP_ENUM_DISABLED_USER_DELIVERY_ACCEPT)
        r = how == IMAP_ENUM_DISABLED_USER_DELIVERY_REJECT ? IMAP_USER_DISABLED : IMAP_MAILBOX_DISABLED;
    else if (user_state_is_hidden(rec->state) || (rec->state == USER_MOVED && !has_inbox(userid)))
        r = IMAP_MAILBOX_MOVED;
    user_record_free(&rec);
    return r;
}

/* ---- writing ---- */

/* The key goes if it stands for this id; others' are left alone. */
static int drop_key(struct txn_db *db, const struct buf *key, const char *id)
{
    const char *val;
    size_t len;
    int r = txn_db_fetch(db, key->s, key->len, &val, &len);

    if (!r && len && (len != strlen(id) || memcmp(val, id, len) != 0)) return 0;
    if (!r) r = txn_db_delete(db, key->s, key->len);
    return r == IMAP_NOTFOUND ? 0 : r;
}

static int set_key(struct txn_db *db, const struct buf *key, const char *id, bool set)
{
    return set ? txn_db_store(db, key->s, key->len, id, strlen(id)) : drop_key(db, key, id);
}

static int index_keys(struct txn_db *db, const struct user_record *rec, bool set)
{
    struct buf key = BUF_INITIALIZER;
    int r;

    if (rec->state == USER_DELETED) {
        user_key_deleted(rec->userid, rec->id, &key);
        r = set ? txn_db_store(db, key.s, key.len, "", 0) : drop_key(db, &key, rec->id);
    }
    else {
        user_key_name(rec->userid, &key);
        r = set_key(db, &key, rec->id, set);
    }
    if (!r && user_state_is_hidden(rec->state)) {
        user_key_hidden(rec->userid, &key);
        r = set_key(db, &key, rec->id, set);
    }
    if (!r && rec->home && rec->state != USER_DELETED) {
        user_key_home(rec->userid, &key);
        r = set_key(db, &key, rec->id, set);
    }
    buf_free(&key);
    return r;
}

static int check_locked(const struct txn *txn, const char *userid)
{
    if (txn_holds_user(txn, userid)) return 0;
    xsyslog_errno(LOG_ERR, 0, "IOERROR: users.db written without the lock of the user", "userid=<%s>", userid);
    return IMAP_INTERNAL;
}

int user_record_put(struct txn *txn, const struct user_record *old, const struct user_record *rec)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    struct txn_db *db = NULL;

    int r = check_locked(txn, rec->userid);
    if (!r) r = user_record_db_open(txn, &db);
    /* Keys of a name that 3.6.1 has taken away from him are not ours to change now: they lead to a record with another name,
     * so nobody follows them, until user_derive removes them. */
    if (!r && old && txn_holds_user(txn, old->userid)) r = index_keys(db, old, false);
    if (!r && old && strcmp(old->id, rec->id) != 0) {
        user_key_record(old->id, &key);
        r = txn_db_delete(db, key.s, key.len);
    }
    if (!r) {
        user_key_record(rec->id, &key);
        user_record_encode(rec, &val);
        r = txn_db_store(db, key.s, key.len, val.s, val.len);
    }
    if (!r) r = index_keys(db, rec, true);
    txn_db_close(&db);
    buf_free(&key);
    buf_free(&val);
    return r;
}

int user_record_remove(struct txn *txn, const struct user_record *rec)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;

    int r = check_locked(txn, rec->userid);
    if (!r) r = user_record_db_open(txn, &db);
    if (!r) r = index_keys(db, rec, false);
    user_key_record(rec->id, &key);
    if (!r) r = txn_db_delete(db, key.s, key.len);
    txn_db_close(&db);
    buf_free(&key);
    return r;
}
