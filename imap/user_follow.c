/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_follow -- how a user's record follows his INBOX (user_record.h, doc/users.md)
 *
 * Every change of an INBOX's entry comes by here, in the transaction that makes it: a user that is created, renamed (his
 * old name first leaves a tombstone, then the new one takes it over), deleted or brought back by whatever command has a
 * record that says so. Nothing is written when the record says it already.
 */
#include <config.h>

#include "user_record.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "xmalloc.h"

static bool is_live(const mbentry_t *entry)
{
    return entry && !(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE | MBTYPE_RESERVE)) && entry->uniqueid;
}

/* ---- the record as the file has it ---- */

/* None is no error here. */
static int fetch_by_id(struct txn *txn, const char *id, struct user_record **recp)
{
    int r = user_record_by_id(txn, id, recp);

    return r == IMAP_NOTFOUND ? 0 : r;
}

static int fetch_by_name(struct txn *txn, const char *userid, struct user_record **recp)
{
    int r = user_record_by_name(txn, userid, recp);

    return r == IMAP_NOTFOUND ? 0 : r;
}

/* ---- a tombstone ---- */

#define KEEP_KEY "user_record/keep/"

static void free_kept(void *data)
{
    struct user_record *rec = data;
    user_record_free(&rec);
}

int user_record_keep(struct txn *txn, const char *userid, const struct user_record *kept)
{
    char *key = xasprintf(KEEP_KEY "%s", userid);

    if (!txn_attached(txn, key)) txn_attach(txn, key, user_record_dup(kept), free_kept);
    free(key);
    return 0;
}

static void take_kept(struct txn *txn, struct user_record *rec)
{
    char *key = xasprintf(KEEP_KEY "%s", rec->userid);
    const struct user_record *kept = txn_attached(txn, key);

    user_record_drop_kept(rec);
    for (size_t i = 0; kept && i < kept->nlimits; i++) {
        struct quota q;
        quota_init(&q, kept->limits[i].root);
        memcpy(q.limits, kept->limits[i].limits, sizeof(q.limits));
        user_record_add_limits(rec, &q);
        quota_free(&q);
    }
    if (kept) strarray_cat(&rec->subscribed, &kept->subscribed);
    free(key);
}

static int bury(struct txn *txn, const struct user_record *old, time_t when)
{
    struct user_record *rec = user_record_dup(old);

    rec->before = old->state;
    rec->state = USER_DELETED;
    rec->changed = when;
    take_kept(txn, rec);
    int r = user_record_put(txn, old, rec);
    user_record_free(&rec);
    return r;
}

/* The INBOX of this name has gone. */
static int gone(struct txn *txn, const char *userid, const char *id)
{
    struct user_record *rec = NULL;

    int r = fetch_by_id(txn, id, &rec);
    if (!r && rec && rec->state != USER_DELETED && !strcmp(rec->userid, userid)) r = bury(txn, rec, txn_time(txn));
    user_record_free(&rec);
    return r;
}

/* ---- a live INBOX ---- */

static bool same(const struct user_record *a, const struct user_record *b)
{
    struct buf x = BUF_INITIALIZER, y = BUF_INITIALIZER;

    user_record_encode(a, &x);
    user_record_encode(b, &y);
    bool equal = !strcmp(a->id, b->id) && !buf_cmp(&x, &y);
    buf_free(&x);
    buf_free(&y);
    return equal;
}

/* Brings rec to what the entry says. */
static void bring_up(struct user_record *rec, const char *userid, const mbentry_t *entry, time_t now)
{
    bool remote = mbentry_is_remote(entry, config_servername);
    enum user_state state = rec->state == USER_DELETED ? rec->before : rec->state;

    if (state == USER_MOVED && !remote) state = USER_ACTIVE;
    if (remote) state = USER_MOVED;
    if (rec->state != state || strcmp(rec->userid, userid) != 0) rec->changed = now;
    if (rec->state == USER_DELETED) user_record_drop_kept(rec);
    rec->state = state;
    rec->before = USER_ACTIVE;
    if (remote) user_record_set_home(rec, NULL, 0, 0); /* that was said of a pair to which he belongs no more */
    if (remote || state != USER_MOVING_OUT) user_record_set_text(&rec->server, remote ? entry->server : NULL);
    user_record_set_text(&rec->id, entry->uniqueid);
    user_record_set_userid(rec, userid, now);
}

/*
 * Which record becomes that of this INBOX: the one of its id; one that waits for an INBOX under this name; or, if the
 * INBOX has only got another id, the one it had. Another user's of this name is over.
 */
static int find_base(struct txn *txn, const char *userid, const mbentry_t *old, const mbentry_t *entry,
                     struct user_record **basep)
{
    struct user_record *named = NULL;

    int r = fetch_by_id(txn, entry->uniqueid, basep);
    if (!r) r = fetch_by_name(txn, userid, &named);
    if (r || !named || !strcmp(named->id, entry->uniqueid)) {
        user_record_free(&named);
        return r;
    }
    bool his = named->state == USER_MOVING_IN || named->state == USER_MOVED ||
               (is_live(old) ? !strcmp(old->uniqueid, named->id) : named->home != NULL);
    if (his && !*basep) {
        *basep = named;
        return 0;
    }
    r = bury(txn, named, txn_time(txn));
    user_record_free(&named);
    return r;
}

static int live(struct txn *txn, const char *userid, const mbentry_t *old, const mbentry_t *entry)
{
    struct user_record *base = NULL, *rec;

    if (!user_record_owns_id(entry, txn)) return 0;
    int r = find_base(txn, userid, old, entry, &base);
    if (r) return r;
    if (base) {
        rec = user_record_dup(base);
    }
    else {
        rec = user_record_new(entry->uniqueid, userid, USER_ACTIVE);
        rec->created = is_live(old) ? 0 : txn_time(txn); /* an INBOX from before there were records: nobody knows */
        rec->changed = rec->created;
    }
    bring_up(rec, userid, entry, txn_time(txn));
    if (!base || !same(base, rec)) r = user_record_put(txn, base, rec);
    user_record_free(&base);
    user_record_free(&rec);
    return r;
}

int user_record_follow(struct txn *txn, const char *inbox, const mbentry_t *old, const mbentry_t *entry)
{
    if (!mboxname_isusermailbox(inbox, true) || mboxname_isindeletedtree(inbox)) return 0;
    char *userid = mboxname_to_userid(inbox);
    int r = 0;

    if (is_live(entry))
        r = live(txn, userid, old, entry);
    else if (is_live(old))
        r = gone(txn, userid, old->uniqueid);
    free(userid);
    return r;
}

int user_record_set_moved(struct txn *txn, const char *userid, const char *server)
{
    struct user_record *old = NULL, *rec = NULL;

    int r = user_record_lookup_deleted(userid, NULL, txn, &old);
    if (r) return r;
    rec = user_record_dup(old);
    user_record_drop_kept(rec);
    rec->state = USER_MOVED;
    rec->changed = txn_time(txn);
    user_record_set_text(&rec->server, server);
    user_record_set_home(rec, NULL, 0, 0);
    r = user_record_put(txn, old, rec);
    user_record_free(&old);
    user_record_free(&rec);
    return r;
}

/* ---- what another server has changed ---- */

static int drop_if_stale(struct txn *txn, struct txn_db *db, const struct buf *key, const char *userid, bool *changed)
{
    struct user_record *rec = NULL;
    const char *val;
    size_t len;
    int r = txn_db_fetch(db, key->s, key->len, &val, &len);

    if (r) return r == IMAP_NOTFOUND ? 0 : r;
    char *id = xstrndup(val, len);
    r = fetch_by_id(txn, id, &rec);
    bool right = rec && !strcmp(rec->userid, userid) && rec->state != USER_DELETED &&
                 (*key->s != 'M' || user_state_is_hidden(rec->state)) && (*key->s != 'A' || rec->home);
    if (!r && !right) {
        r = txn_db_delete(db, key->s, key->len);
        *changed = true;
    }
    user_record_free(&rec);
    free(id);
    return r;
}

static int drop_stale_keys(struct txn *txn, const char *userid, bool *changed)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;

    int r = user_record_db_open(txn, &db);
    user_key_name(userid, &key);
    if (!r) r = drop_if_stale(txn, db, &key, userid, changed);
    user_key_hidden(userid, &key);
    if (!r) r = drop_if_stale(txn, db, &key, userid, changed);
    user_key_home(userid, &key);
    if (!r) r = drop_if_stale(txn, db, &key, userid, changed);
    txn_db_close(&db);
    buf_free(&key);
    return r;
}

/* There is no INBOX: when did it go? */
static time_t time_gone(struct txn *txn, const char *inbox)
{
    mbentry_t *entry = NULL;
    time_t when = txn_time(txn);

    if (!mboxlist_lookup_allow_all(inbox, &entry, txn) && entry->mtime && entry->mtime < when) when = entry->mtime;
    mbentry_free(&entry);
    return when;
}

int user_record_reconcile(struct txn *txn, const char *userid, bool *changed)
{
    char *inbox = mboxname_user_mbox(userid, NULL);
    struct user_record *named = NULL, *before = NULL, *after = NULL;
    mbentry_t *entry = NULL;

    int r = inbox ? mboxlist_lookup(inbox, &entry, txn) : IMAP_MAILBOX_NONEXISTENT;
    bool there = !r && entry->uniqueid;
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_RESERVED) r = 0;
    if (!r && there) {
        r = fetch_by_id(txn, entry->uniqueid, &before);
        if (!r) r = live(txn, userid, entry, entry);
        if (!r) r = fetch_by_id(txn, entry->uniqueid, &after);
        if (after && (!before || !same(before, after))) *changed = true;
    }
    else if (!r) {
        r = fetch_by_name(txn, userid, &named);
        if (!r && named && (named->state == USER_ACTIVE || named->state == USER_DISABLED)) {
            /* renamed: the record goes on under the new name, which comes by itself */
            mbentry_t *now = NULL;
            bool renamed = !mboxlist_lookup_by_uniqueid(named->id, &now, false, txn) &&
                           mboxname_isusermailbox(now->name, true) && !mboxname_isindeletedtree(now->name);
            mbentry_free(&now);
            if (!renamed) {
                r = bury(txn, named, time_gone(txn, inbox));
                *changed = true;
            }
        }
    }
    if (!r) r = drop_stale_keys(txn, userid, changed);
    user_record_free(&named);
    user_record_free(&before);
    user_record_free(&after);
    mbentry_free(&entry);
    free(inbox);
    return r;
}
