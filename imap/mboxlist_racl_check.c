/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_racl_check -- are the reverse ACLs of mailboxes.db right? If not, they are made so (doc/reverse-acls.md)
 *
 * Two streams over the database: each entry's records must be there, each record must have its entry. Nothing is kept in
 * memory. Mending is done in a commit that holds the lock of the database from the first look on; the seal that lets LIST use the
 * records is set by a second look that finds nothing to mend.
 */
#include <config.h>

#include "mboxlist_racl.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cyrusdb.h"
#include "imap_err.h"
#include "mboxlist_db.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define KEY_PREFIX_LEN 3 /* "AU" or "AS" and the separator */
static const char *const prefixes[] = { "AU\x1e", "AS\x1e" };

/* ---- comparing ---- */

struct compare {
    struct txn_db *db;
    struct racl_rules rules;
    bool off; /* there ought to be none */
    racl_problem_cb *cb;
    void *rock;
};

static bool is_marker(const char *key, size_t keylen)
{
    return keylen == strlen(RACL_MARKER_KEY) && !memcmp(key, RACL_MARKER_KEY, keylen);
}

static int check_entry(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct compare *c = rock;
    strarray_t ids = STRARRAY_INITIALIZER;
    struct buf racl = BUF_INITIALIZER;
    mbentry_t *entry = NULL;
    int r = 0;

    if (mboxlist_db_parse_n(key, keylen, data, datalen, &entry)) return 0; /* logged; no LIST shows it */
    racl_identifiers(&c->rules, entry, &ids);
    for (int i = 0; !r && i < strarray_size(&ids); i++) {
        size_t len = 0;
        racl_key(strarray_nth(&ids, i), entry->name, &racl);
        r = txn_db_fetch(c->db, buf_base(&racl), buf_len(&racl), NULL, &len);
        if (r == IMAP_NOTFOUND || (!r && len))
            r = c->cb(RACL_MISSING, buf_base(&racl), buf_len(&racl), strarray_nth(&ids, i), entry->name, c->rock);
    }
    strarray_fini(&ids);
    buf_free(&racl);
    mbentry_free(&entry);
    return r;
}

/* The entry that a record speaks of; *entry NULL: there is none, or it can't be read. */
static int entry_of(struct compare *c, const char *dbname, size_t len, mbentry_t **entry)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    const char *data;
    size_t datalen;

    *entry = NULL;
    buf_putc(&key, 'N');
    buf_appendmap(&key, dbname, len);
    int r = len ? txn_db_fetch(c->db, buf_base(&key), buf_len(&key), &data, &datalen) : IMAP_NOTFOUND;
    if (!r) {
        buf_setmap(&val, data, datalen);
        r = mboxlist_db_parse_n(buf_base(&key), buf_len(&key), buf_cstring(&val), datalen, entry);
    }
    buf_free(&key);
    buf_free(&val);
    return r == IMAP_NOTFOUND || r == IMAP_MAILBOX_BADFORMAT ? 0 : r;
}

/* Does the entry ask for exactly this key? */
static bool is_wanted(struct compare *c, const char *key, size_t keylen, const char *identifier, const mbentry_t *entry)
{
    strarray_t ids = STRARRAY_INITIALIZER;
    struct buf racl = BUF_INITIALIZER;
    bool wanted = false;

    racl_identifiers(&c->rules, entry, &ids);
    if (entry && strarray_contains(&ids, identifier)) {
        racl_key(identifier, entry->name, &racl);
        wanted = buf_len(&racl) == keylen && !memcmp(buf_base(&racl), key, keylen);
    }
    strarray_fini(&ids);
    buf_free(&racl);
    return wanted;
}

static int check_record(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct compare *c = rock;
    const char *sep = memrchr(key + KEY_PREFIX_LEN, '\x1e', keylen - KEY_PREFIX_LEN);
    char *identifier = sep ? xstrndup(key + KEY_PREFIX_LEN, (size_t)(sep - key) - KEY_PREFIX_LEN) : NULL;
    mbentry_t *entry = NULL;
    int r = 0;

    (void)data, (void)datalen;
    if (is_marker(key, keylen)) {
        free(identifier);
        return 0;
    }
    if (sep) r = entry_of(c, sep + 1, keylen - (size_t)(sep + 1 - key), &entry);
    if (!r && (c->off || !identifier || !is_wanted(c, key, keylen, identifier, entry)))
        r = c->cb(RACL_STALE, key, keylen, identifier, entry ? entry->name : NULL, c->rock);
    mbentry_free(&entry);
    free(identifier);
    return r;
}

static int compare(struct compare *c)
{
    racl_rules_get(&c->rules);
    int r = c->off ? 0 : txn_db_foreach(c->db, "N", 1, check_entry, c);
    for (size_t i = 0; !r && i < array_size(prefixes); i++)
        r = txn_db_foreach(c->db, prefixes[i], KEY_PREFIX_LEN, check_record, c);
    racl_rules_fini(&c->rules);
    return r;
}

int mboxlist_racl_compare(struct txn_db *db, racl_problem_cb *cb, void *rock)
{
    struct compare c = { .db = db, .cb = cb, .rock = rock };

    return compare(&c);
}

int mboxlist_racl_verify(racl_problem_cb *cb, void *rock)
{
    struct compare c = { .cb = cb, .rock = rock };

    int r = mboxlist_db_open(NULL, &c.db);
    if (r) return r;
    c.off = !mboxlist_racl_ison(c.db);
    r = compare(&c);
    mboxlist_db_close(&c.db);
    return r;
}

/* ---- mending ---- */

#define ROUNDS 4 /* each is a look; somebody who is no transaction writes meanwhile if so many don't suffice */

struct mend {
    struct txn_db *db;
    bool on, sealed;
    size_t made, removed;
};

static int mend_one(enum racl_problem problem, const char *key, size_t keylen, const char *identifier, const char *name,
                    void *rock)
{
    struct mend *m = rock;

    (void)identifier, (void)name;
    if (problem == RACL_MISSING) {
        m->made++;
        return txn_db_store(m->db, key, keylen, "", 0);
    }
    m->removed++;
    return txn_db_delete(m->db, key, keylen);
}

static int switch_on(struct mend *m)
{
    struct cyrusdb_state state;
    struct racl_rules rules;
    bool is_new = !mboxlist_racl_ison(m->db);

    int r = is_new ? txn_db_store(m->db, RACL_MARKER_KEY, strlen(RACL_MARKER_KEY), "", 0)
                   : txn_db_seal_begin(m->db, &state);
    if (!r) r = mboxlist_racl_compare(m->db, mend_one, m);
    if (r || is_new || txn_db_has_changes(m->db)) return r;
    racl_rules_get(&rules);
    txn_db_seal(m->db, &state, rules.number);
    racl_rules_fini(&rules);
    m->sealed = true;
    return 0;
}

/* Those of users as well, though the marker alone counts for other programs: they would be wrong later. */
static int switch_off(struct mend *m)
{
    struct compare c = { .db = m->db, .off = true, .cb = mend_one, .rock = m };

    int r = compare(&c);
    if (!r && mboxlist_racl_ison(m->db)) r = txn_db_delete(m->db, RACL_MARKER_KEY, strlen(RACL_MARKER_KEY));
    return r;
}

static int mend_hook(struct txn *txn, void *rock)
{
    struct mend *m = rock;

    (void)txn;
    return m->on ? switch_on(m) : switch_off(m);
}

static int mend_once(struct mend *m)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = mboxlist_db_open_locked(txn, &m->db);
    if (!r) txn_on_commit(txn, TXN_ORDER_GLOBAL, mend_hook, m);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

int mboxlist_set_racls(bool on)
{
    struct mend m = { .on = on };
    int r = 0;

    for (int i = 0; !r && i < ROUNDS && !m.sealed; i++) {
        r = mend_once(&m);
        if (!on) break;
    }
    if (m.made || m.removed)
        syslog(LOG_NOTICE, "reverse ACLs of mailboxes.db: %zu records made, %zu removed", m.made, m.removed);
    return r;
}

int mboxlist_racl_renew(void)
{
    struct racl_rules rules;
    struct txn_db *db = NULL;

    int r = mboxlist_db_open(NULL, &db);
    if (r) return r;
    racl_rules_get(&rules);
    bool due = mboxlist_racl_ison(db) && !txn_db_is_sealed(db, rules.number);
    racl_rules_fini(&rules);
    mboxlist_db_close(&db);
    return due ? mboxlist_set_racls(true) : 0;
}
