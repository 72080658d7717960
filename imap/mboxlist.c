/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist -- mailboxes.db: look-ups and writes of single entries
 *
 * A name has one N record, an identity (uniqueid) one I record that says which name it
 * has now and had before. The two are written together. An I record counts only when the N
 * record of its name points back to it: 3.6.1 leaves I records behind when names are
 * removed (handbook 01 §4.6, Weakness), and those must not bring mailboxes back to life.
 *
 * One uniqueid never belongs to two live names: such a write is refused with
 * IMAP_MAILBOX_MOVED. A damaged record is IMAP_MAILBOX_BADFORMAT, logged with its key; no other
 * record suffers. Writes need the namespace lock of the name's owner, held exclusively by the
 * transaction (IMAP_INTERNAL otherwise).
 */
#include <config.h>

#include "mboxlist.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxlist_db.h"
#include "mboxlist_former.h"
#include "mboxlist_pending.h"
#include "mboxlist_racl.h"
#include "namelock.h"
#include "names_config.h"
#include "user.h"
#include "user_record.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char *other_file; /* of a tool, as if it were configured */
static uint64_t seen_lsn;      /* of this process: a signal between reading and answering */

/* ---- the database ---- */

void mboxlist_fname(struct buf *path)
{
    struct names_config cfg;
    const char *set = other_file ? other_file : config_getstring(IMAPOPT_MBOXLIST_DB_PATH);

    names_config_get(&cfg);
    buf_reset(path);
    if (set)
        buf_setcstr(path, set);
    else
        buf_printf(path, "%s/mailboxes.db", cfg.configdirectory);
}

static int open_db(struct txn *txn, unsigned flags, struct txn_db **dbp)
{
    struct buf path = BUF_INITIALIZER;

    mboxlist_fname(&path);
    int r = txn_db_open(txn, config_getstring(IMAPOPT_MBOXLIST_DB), buf_cstring(&path),
                        TXN_DB_CREATE | TXN_DB_GLOBAL | flags, dbp);
    buf_free(&path);
    return r;
}

int mboxlist_db_open(struct txn *txn, struct txn_db **dbp)
{
    return open_db(txn, 0, dbp);
}

int mboxlist_db_open_locked(struct txn *txn, struct txn_db **dbp)
{
    return open_db(txn, TXN_DB_RMW, dbp);
}

void mboxlist_db_set_file(const char *path)
{
    other_file = path;
}

bool mboxlist_db_is_other(void)
{
    return other_file != NULL;
}

void mboxlist_db_close(struct txn_db **dbp)
{
    if (!*dbp) return;
    uint64_t lsn = txn_db_seen_lsn(*dbp);
    if (lsn > seen_lsn) seen_lsn = lsn;
    txn_db_close(dbp);
}

uint64_t mboxlist_seen_lsn(void)
{
    return seen_lsn;
}

/* Who writes an entry holds the lock of its owner (check_locked), and the log notes the record there before the entry is seen. */
uint64_t mboxlist_name_lsn(const char *name)
{
    char *userid = mboxname_to_userid(name);
    uint64_t lsn = namelock_user_lsn(userid);

    free(userid);
    return lsn;
}

static int damaged(int r, const char *key, size_t keylen)
{
    if (r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_BADTYPE) {
        struct buf hex = BUF_INITIALIZER;
        buf_appendhex(&hex, key, keylen);
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged record in mailboxes.db", "key=<%.*s> bytes=<%s>",
                      (int)keylen, key, buf_cstring(&hex));
        buf_free(&hex);
        r = IMAP_MAILBOX_BADFORMAT;
    }
    return r;
}

int mboxlist_db_parse_n(const char *key, size_t keylen, const char *val, size_t len,
                        mbentry_t **entryp)
{
    return damaged(mbentry_parse_n(dbname_of(key + 1, keylen - 1), val, len, entryp), key, keylen);
}

static int fetch(struct txn_db *db, struct buf *key, const char **val, size_t *len)
{
    int r = mboxlist_view_fetch(db, buf_base(key), buf_len(key), val, len);
    return r == IMAP_NOTFOUND ? IMAP_MAILBOX_NONEXISTENT : r;
}

int mboxlist_db_fetch_n(struct txn_db *db, const char *name, mbentry_t **entryp)
{
    struct buf key = BUF_INITIALIZER;
    const char *val;
    size_t len;

    *entryp = NULL;
    if (!name || !*name) return IMAP_MAILBOX_NONEXISTENT;
    mbentry_key_name(name, &key);
    int r = fetch(db, &key, &val, &len);
    if (!r) r = mboxlist_db_parse_n(buf_base(&key), buf_len(&key), val, len, entryp);
    buf_free(&key);
    return r;
}

int mboxlist_db_fetch_i(struct txn_db *db, const char *uniqueid, mbentry_t **entryp)
{
    struct buf key = BUF_INITIALIZER;
    const char *val;
    size_t len;

    *entryp = NULL;
    if (!uniqueid || !*uniqueid) return IMAP_MAILBOX_NONEXISTENT;
    mbentry_key_uniqueid(uniqueid, &key);
    int r = fetch(db, &key, &val, &len);
    if (!r) {
        r = mbentry_parse_i(buf_base(&key) + 1, buf_len(&key) - 1, val, len, entryp);
        r = damaged(r, buf_base(&key), buf_len(&key));
    }
    buf_free(&key);
    return r;
}

void mboxlist_db_prefix(const char *prefix, struct buf *out)
{
    size_t len = prefix ? strlen(prefix) : 0;

    buf_setcstr(out, "N");
    if (!len) return;
    bool level = prefix[len - 1] == '.';
    char *name = xstrndup(prefix, level ? len - 1 : len);
    dbname_t dbname = mboxname_to_dbname(name);
    dbname_append(dbname, out);
    if (!dbname_isnone(dbname) && level) buf_putc(out, DB_HIERSEP_CHAR);
    dbname_free(&dbname);
    free(name);
}

/* ---- look-ups ---- */

int mboxlist_lookup_allow_all(const char *name, mbentry_t **entryp, struct txn *txn)
{
    struct txn_db *db = NULL;
    mbentry_t *entry = NULL;

    if (entryp) *entryp = NULL;
    int r = mboxlist_db_open(txn, &db);
    if (!r) r = mboxlist_db_fetch_n(db, name, &entry);
    mboxlist_db_close(&db);
    if (entryp)
        *entryp = entry;
    else
        mbentry_free(&entry);
    return r;
}

/* What an ordinary look-up says about an entry of this type. */
static int availability(const mbentry_t *entry)
{
    if (entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE)) return IMAP_MAILBOX_NONEXISTENT;
    return entry->mbtype & MBTYPE_RESERVE ? IMAP_MAILBOX_RESERVED : 0;
}

int mboxlist_lookup(const char *name, mbentry_t **entryp, struct txn *txn)
{
    mbentry_t *entry;

    if (entryp) *entryp = NULL;
    int r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r) r = availability(entry);
    if (r || !entryp)
        mbentry_free(&entry);
    else
        *entryp = entry;
    return r;
}

/* The I record, if the N record of its name points back. */
static int fetch_trusted(struct txn_db *db, const char *uniqueid, mbentry_t **entryp)
{
    mbentry_t *n = NULL;

    int r = mboxlist_db_fetch_i(db, uniqueid, entryp);
    if (r) return r;
    r = mboxlist_db_fetch_n(db, (*entryp)->name, &n);
    if (!r && strcmpnull(n->uniqueid, uniqueid)) r = IMAP_MAILBOX_NONEXISTENT;
    mbentry_free(&n);
    if (r) mbentry_free(entryp);
    return r;
}

int mboxlist_lookup_by_uniqueid(const char *uniqueid, mbentry_t **entryp, bool allow_all,
                                struct txn *txn)
{
    struct txn_db *db = NULL;
    mbentry_t *entry = NULL;

    if (entryp) *entryp = NULL;
    int r = mboxlist_db_open(txn, &db);
    if (!r) r = fetch_trusted(db, uniqueid, &entry);
    mboxlist_db_close(&db);
    if (!r && !allow_all) r = availability(entry);
    if (r || !entryp)
        mbentry_free(&entry);
    else
        *entryp = entry;
    return r;
}

bool mboxlist_uniqueid_in_use(const char *uniqueid, struct txn *txn)
{
    /* unknown (an error) counts as used: a new id is cheaper than two mailboxes with one */
    int r = mboxlist_lookup_by_uniqueid(uniqueid, NULL, true, txn);
    return r != IMAP_MAILBOX_NONEXISTENT;
}

/* ---- writing ---- */

static int check_locked(struct txn *txn, const char *name)
{
    struct buf lock = BUF_INITIALIZER;
    char *userid = mboxname_to_userid(name);

    lock_name_user(userid, &lock);
    int r = txn_holds(txn, buf_cstring(&lock)) ? 0 : IMAP_INTERNAL;
    if (r)
        xsyslog_errno(LOG_ERR, 0, "IOERROR: mailboxes.db written without the lock of the name",
                      "mailbox=<%s> lock=<%s>", name, buf_cstring(&lock));
    free(userid);
    buf_free(&lock);
    return r;
}

static int store(struct txn_db *db, struct buf *key, struct buf *val)
{
    return txn_db_store(db, buf_base(key), buf_len(key), buf_cstring(val), buf_len(val));
}

/* The I record of an identity goes with its name, if it still has it. */
static int drop_i(struct txn_db *db, const char *uniqueid, const char *name)
{
    struct buf key = BUF_INITIALIZER;
    mbentry_t *i = NULL;

    int r = mboxlist_db_fetch_i(db, uniqueid, &i);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT) return 0;
    if (!r && !strcmpnull(i->name, name)) {
        mbentry_key_uniqueid(uniqueid, &key);
        r = txn_db_delete(db, buf_base(&key), buf_len(&key));
    }
    mbentry_free(&i);
    buf_free(&key);
    return r;
}

/*
 * A uniqueid is not under the lock of a name: another user may take it between our look and our commit. So every one
 * that a transaction gives to a name is looked at again when nobody else can commit.
 */
struct identity {
    char *uniqueid, *name;
};

static void free_identity(void *data)
{
    struct identity *id = data;

    free(id->uniqueid);
    free(id->name);
    free(id);
}

static int refuse_second(const char *uniqueid, const char *name, const char *other)
{
    xsyslog_errno(LOG_ERR, 0, "DBERROR: one uniqueid for two mailboxes refused",
                  "uniqueid=<%s> mailbox=<%s> other=<%s>", uniqueid, name, other);
    return IMAP_MAILBOX_MOVED;
}

/* Is there a live mailbox of that name with that uniqueid? */
static int is_live(struct txn_db *db, const char *name, const char *uniqueid, bool *livep)
{
    mbentry_t *n = NULL;

    int r = mboxlist_db_fetch_n(db, name, &n);
    *livep = !r && !strcmpnull(n->uniqueid, uniqueid) && !(n->mbtype & MBTYPE_DELETED);
    mbentry_free(&n);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

/*
 * Brings *i, the I record as it was (NULL: none), up to the new entry. *skip: it stays as it
 * is, because the entry is the tombstone of a name that the identity has left.
 */
static int make_i(struct txn_db *db, const char *name, const mbentry_t *entry, mbentry_t **i,
                  bool *skip)
{
    bool live = false;

    *skip = false;
    mbentry_t *fresh = mbentry_dup(entry);
    free(fresh->name);
    fresh->name = xstrdup(name);
    for (size_t n = 0; n < fresh->nhistory; n++) {
        free(fresh->history[n].name);
        free(fresh->history[n].partition);
    }
    xzfree(fresh->history);
    fresh->nhistory = 0;
    if (*i) {
        int r = strcmpnull((*i)->name, name) ? is_live(db, (*i)->name, entry->uniqueid, &live) : 0;
        if (!r && live && !(entry->mbtype & MBTYPE_DELETED)) {
            r = refuse_second(entry->uniqueid, name, (*i)->name);
        }
        if (r) {
            mbentry_free(&fresh);
            return r;
        }
        *skip = live;
        fresh->history = (*i)->history;
        fresh->nhistory = (*i)->nhistory;
        (*i)->history = NULL;
        (*i)->nhistory = 0;
        if (strcmpnull((*i)->name, name)) mbentry_add_history(fresh, *i);
    }
    mbentry_free(i);
    *i = fresh;
    return 0;
}

/* The I record that others have committed must not name a live mailbox; ours may have moved in this transaction. */
static int check_identity(struct txn *txn, void *rock)
{
    const struct identity *id = rock;
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    mbentry_t *i = NULL;
    const char *val;
    size_t len;
    bool live = false;

    int r = mboxlist_db_open(txn, &db);
    if (r) return r;
    mbentry_key_uniqueid(id->uniqueid, &key);
    r = txn_db_fetch_committed(db, buf_base(&key), buf_len(&key), &val, &len);
    if (!r) r = mbentry_parse_i(buf_base(&key) + 1, buf_len(&key) - 1, val, len, &i);
    if (!r) r = mboxlist_view_identity(db, i);
    if (!r && strcmpnull(i->name, id->name)) r = is_live(db, i->name, id->uniqueid, &live);
    if (r == IMAP_NOTFOUND || r == IMAP_MAILBOX_BADFORMAT) r = 0; /* none, or one that is made anew */
    if (!r && live) r = refuse_second(id->uniqueid, id->name, i->name);
    mbentry_free(&i);
    buf_free(&key);
    return r;
}

static void watch_identity(struct txn *txn, const char *name, const char *uniqueid)
{
    char *attach = xasprintf("mboxlist_identity/%s/%s", uniqueid, name);

    if (!txn_attached(txn, attach)) {
        struct identity *id = xzmalloc(sizeof(*id));
        id->uniqueid = xstrdup(uniqueid);
        id->name = xstrdup(name);
        txn_attach(txn, attach, id, free_identity);
        txn_on_commit(txn, TXN_ORDER_GLOBAL, check_identity, id);
    }
    free(attach);
}

static int store_i(struct txn *txn, struct txn_db *db, const char *name, const mbentry_t *entry)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    mbentry_t *i = NULL;
    bool skip = false;

    int r = mboxlist_db_fetch_i(db, entry->uniqueid, &i);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT)
        r = 0; /* a damaged one is made anew */
    if (!r) r = make_i(db, name, entry, &i, &skip);
    if (!r && !skip) {
        mbentry_key_uniqueid(entry->uniqueid, &key);
        mbentry_print_i(i, txn_time(txn), &val);
        r = store(db, &key, &val);
        if (!r && !(entry->mbtype & MBTYPE_DELETED)) watch_identity(txn, name, entry->uniqueid);
    }
    mbentry_free(&i);
    buf_free(&key);
    buf_free(&val);
    return r;
}

/* The owner's counters know the modseq of the change (handbook 01 §4.7). */
static int raise_counters(struct txn *txn, const char *name, const mbentry_t *entry)
{
    struct user_meta *meta = NULL;
    unsigned flags = COUNTER_FOLDER;

    if (!entry->foldermodseq || !config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    if (mbentry_is_remote(entry, config_servername)) return 0;
    mbentry_t *named = mbentry_dup(entry);
    free(named->name);
    named->name = xstrdup(name);
    int r = user_meta_for_mailbox(named, txn, &meta);
    mbentry_free(&named);
    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r; /* the owner is gone */
    if ((entry->mbtype & MBTYPE_DELETED) || mboxname_isdeletedmailbox(name, NULL))
        flags |= COUNTER_DELETED;
    counters_set_modseq(txn, meta, entry->foldermodseq, name, entry->mbtype, flags, &r);
    user_meta_free(&meta);
    return r;
}

/* An INBOX of another identity means other files of its user. */
static void forget_meta(struct txn *txn, const char *name, const mbentry_t *old,
                        const mbentry_t *entry)
{
    if ((entry->mbtype & MBTYPE_DELETED) || !mboxname_isusermailbox(name, true)) return;
    if (!strcmpnull(old ? old->uniqueid : NULL, entry->uniqueid)) return;
    char *userid = mboxname_to_userid(name);
    user_meta_forget(txn, userid);
    free(userid);
}

/* Another identity takes the name: that of a mailbox stays as a tombstone, that of a mere name goes. */
static int retire_old(struct txn *txn, struct txn_db *db, const mbentry_t *old,
                      const mbentry_t *entry)
{
    if (old->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_RESERVE))
        return drop_i(db, old->uniqueid, old->name);
    bool gone = old->mbtype & MBTYPE_DELETED;
    char *reason = gone ? xstrdup(FORMER_DELETED)
                        : xasprintf(FORMER_REPLACED "%s", entry->uniqueid ? entry->uniqueid : "");
    int r = mboxlist_db_retire(txn, db, old->uniqueid, old->name, reason);
    free(reason);
    return r;
}

int mboxlist_update_entry(struct txn *txn, const char *name, const mbentry_t *entry)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    mbentry_t *old = NULL;

    int r = check_locked(txn, name);
    if (!r) r = mboxlist_db_open(txn, &db);
    if (!r) r = mboxlist_pending_touch(txn, db, name, !(entry->mbtype & MBTYPE_DELETED));
    if (r) return r;
    r = mboxlist_db_fetch_n(db, name, &old);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT) r = 0;
    if (!r) mboxlist_racl_changed(txn, name);
    if (!r && old && old->uniqueid && strcmpnull(old->uniqueid, entry->uniqueid))
        r = retire_old(txn, db, old, entry);
    if (!r && entry->uniqueid) r = store_i(txn, db, name, entry);
    if (!r) {
        mbentry_key_name(name, &key);
        mbentry_print_n(entry, txn_time(txn), &val);
        r = store(db, &key, &val);
    }
    mboxlist_db_close(&db);
    if (!r && !other_file) r = user_record_follow(txn, name, old, entry);
    if (!r) forget_meta(txn, name, old, entry);
    if (!r) r = raise_counters(txn, name, entry);
    mbentry_free(&old);
    buf_free(&key);
    buf_free(&val);
    return r;
}

static int delete_entry(struct txn *txn, const char *name, bool keep)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    mbentry_t *old = NULL;

    int r = check_locked(txn, name);
    if (!r) r = mboxlist_db_open(txn, &db);
    if (!r) r = mboxlist_pending_touch(txn, db, name, false);
    if (r) return r;
    r = mboxlist_db_fetch_n(db, name, &old);
    if (r == IMAP_MAILBOX_BADFORMAT) r = 0;
    if (!r) mboxlist_racl_changed(txn, name);
    if (!r && old && old->uniqueid)
        r = keep ? mboxlist_db_retire(txn, db, old->uniqueid, name, FORMER_DELETED)
                 : drop_i(db, old->uniqueid, name);
    if (!r) {
        mbentry_key_name(name, &key);
        r = txn_db_delete(db, buf_base(&key), buf_len(&key));
    }
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    mboxlist_db_close(&db);
    if (!r && !other_file) r = user_record_follow(txn, name, old, NULL);
    mbentry_free(&old);
    buf_free(&key);
    return r;
}

int mboxlist_delete_entry(struct txn *txn, const char *name)
{
    return delete_entry(txn, name, false);
}

int mboxlist_purge_entry(struct txn *txn, const char *name)
{
    return delete_entry(txn, name, true);
}
