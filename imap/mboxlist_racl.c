/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_racl -- reverse ACLs: who may see which mailbox (handbook 01 §4.8, doc/reverse-acls.md)
 *
 * For every identifier with l or r there is one empty A record, so that the mailboxes
 * others share with a user are found without reading all entries. Only a
 * database with the marker has them. They change in the commit that changes the entry, under the lock of the database: only
 * then is it certain whether there is a marker. The racl modseq of the identifiers' own counters follows in transactions of
 * their own after the commit, because it needs their locks. It is only a hint for their clients.
 *
 * LIST uses the records only while they are sealed (txn_db_is_sealed): found right by mboxlist_racl_check.c, and
 * changed since by nobody who does not keep them.
 */
#include <config.h>

#include "mboxlist_racl.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "auth.h"
#include "buf.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "names_config.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

bool mboxlist_racl_ison(struct txn_db *db)
{
    return !txn_db_fetch(db, RACL_MARKER_KEY, strlen(RACL_MARKER_KEY), NULL, NULL);
}

/* ---- rules ---- */

void racl_rules_get(struct racl_rules *rules)
{
    static const unsigned char key[16] = "rules of racls"; /* and two NULs */
    struct names_config cfg;
    struct buf text = BUF_INITIALIZER;

    rules->admins = strarray_split(config_getstring(IMAPOPT_ADMINS), NULL, 0);
    strarray_sort(rules->admins, NULL);
    names_config_get(&cfg);
    buf_printf(&text, "1 %d %s", (int)cfg.virtdomains, cfg.defaultdomain);
    for (int i = 0; i < strarray_size(rules->admins); i++)
        buf_printf(&text, "\n%s", strarray_nth(rules->admins, i));
    rules->number = siphash24(key, buf_base(&text), buf_len(&text));
    if (!rules->number) rules->number = 1;
    buf_free(&text);
}

void racl_rules_fini(struct racl_rules *rules)
{
    strarray_free(rules->admins);
    rules->admins = NULL;
}

void racl_identifiers(const struct racl_rules *rules, const mbentry_t *entry, strarray_t *out)
{
    struct acl_item item;
    const char *p = entry ? entry->acl : NULL;

    if (!p || (entry->mbtype & MBTYPE_DELETED)) return;
    char *owner = mboxname_to_userid(entry->name);
    while (cyrus_acl_next(&p, &item)) {
        uint32_t mask = cyrus_acl_strtomask_lax(item.rights, item.rightslen);
        if (!(mask & (ACL_LOOKUP | ACL_READ))) continue;
        char *id = xstrndup(item.identifier, item.idlen);
        if (strcmpnull(id, owner) && !strarray_contains(rules->admins, id)) strarray_add(out, id);
        free(id);
    }
    free(owner);
}

void racl_key(const char *identifier, const char *name, struct buf *key)
{
    char *owner = mboxname_to_userid(name);

    buf_reset(key);
    mbentry_key_racl(owner != NULL, identifier, name, key);
    free(owner);
}

/* ---- racl modseq of the identifiers, after the commit ---- */

static void touch_user(const char *userid)
{
    struct user_meta *meta = NULL;
    struct txn *txn;
    char *inbox = mboxname_user_mbox(userid, NULL);
    mbentry_t *entry = NULL;

    if (txn_begin(&txn)) {
        free(inbox);
        return;
    }
    int r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_lookup(inbox, &entry, txn);
    if (!r && !mbentry_is_remote(entry, config_servername)) {
        r = user_meta_from_entry(entry, &meta);
        if (!r) counters_next_modseq(txn, meta, 0, inbox, entry->mbtype, COUNTER_RACL, &r);
        if (!r) sync_log_mailbox(txn, inbox);
        if (!r) r = txn_commit(&txn, NULL);
    }
    txn_abort(&txn);
    if (r && r != IMAP_MAILBOX_NONEXISTENT)
        xsyslog_errno(LOG_NOTICE, 0, "racl modseq not advanced", "userid=<%s> error=<%s>", userid,
                      error_message(r));
    user_meta_free(&meta);
    mbentry_free(&entry);
    free(inbox);
}

static void touch_users(uint64_t lsn, void *rock)
{
    strarray_t *ids = rock;

    for (int i = 0; lsn && i < strarray_size(ids); i++) touch_user(strarray_nth(ids, i));
    strarray_free(ids);
}

static void remember(struct txn *txn, const char *identifier)
{
    strarray_t *ids = txn_attached(txn, "racl");

    if (identifier[0] == '-' || strchr(identifier, ':') || !strcmp(identifier, "anyone") ||
        !strcmp(identifier, "anonymous"))
        return;
    if (!ids) {
        ids = strarray_new();
        txn_attach(txn, "racl", ids, NULL);
        txn_on_done(txn, touch_users, ids);
    }
    strarray_add(ids, identifier);
}

/* ---- the records ---- */

/* The entry as it is committed, and as it will be; an unreadable one has no records. */
static int fetch_both(struct txn_db *db, const char *name, mbentry_t **oldp, mbentry_t **newp)
{
    struct buf key = BUF_INITIALIZER;
    const char *val;
    size_t len;

    *oldp = NULL;
    mbentry_key_name(name, &key);
    int r = txn_db_fetch_committed(db, buf_base(&key), buf_len(&key), &val, &len);
    if (!r) r = mboxlist_db_parse_n(buf_base(&key), buf_len(&key), val, len, oldp);
    buf_free(&key);
    if (!r || r == IMAP_NOTFOUND || r == IMAP_MAILBOX_BADFORMAT) r = mboxlist_db_fetch_n(db, name, newp);
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT ? 0 : r;
}

static int change_records(struct txn *txn, struct txn_db *db, const char *name, const strarray_t *before,
                          const strarray_t *after)
{
    struct buf key = BUF_INITIALIZER;
    int r = 0;

    for (int i = 0; !r && i < strarray_size(before); i++) {
        const char *id = strarray_nth(before, i);
        if (strarray_contains(after, id)) continue;
        racl_key(id, name, &key);
        r = txn_db_delete(db, buf_base(&key), buf_len(&key));
        remember(txn, id);
    }
    for (int i = 0; !r && i < strarray_size(after); i++) {
        const char *id = strarray_nth(after, i);
        if (strarray_contains(before, id)) continue;
        racl_key(id, name, &key);
        r = txn_db_store(db, buf_base(&key), buf_len(&key), "", 0);
        remember(txn, id);
    }
    buf_free(&key);
    return r;
}

static int follow(struct txn *txn, struct txn_db *db, const struct racl_rules *rules, const char *name)
{
    strarray_t before = STRARRAY_INITIALIZER, after = STRARRAY_INITIALIZER;
    mbentry_t *old = NULL, *new = NULL;

    int r = fetch_both(db, name, &old, &new);
    racl_identifiers(rules, old, &before);
    racl_identifiers(rules, new, &after);
    if (!r) r = change_records(txn, db, name, &before, &after);
    strarray_fini(&before);
    strarray_fini(&after);
    mbentry_free(&old);
    mbentry_free(&new);
    return r;
}

/* Under the lock of the database: nobody makes or removes the marker meanwhile. */
static int follow_all(struct txn *txn, void *rock)
{
    strarray_t *names = rock;
    struct racl_rules rules;
    struct txn_db *db = NULL;

    int r = mboxlist_db_open(txn, &db);
    if (r || !mboxlist_racl_ison(db)) return r;
    racl_rules_get(&rules);
    strarray_sort(names, NULL);
    strarray_uniq(names);
    for (int i = 0; !r && i < strarray_size(names); i++) r = follow(txn, db, &rules, strarray_nth(names, i));
    if (!r) txn_db_keep_seal(db, rules.number);
    racl_rules_fini(&rules);
    return r;
}

static void free_names(void *data)
{
    strarray_free(data);
}

void mboxlist_racl_changed(struct txn *txn, const char *name)
{
    strarray_t *names = txn_attached(txn, "racl_names");

    if (!names) {
        names = strarray_new();
        txn_attach(txn, "racl_names", names, free_names);
        txn_on_commit(txn, TXN_ORDER_GLOBAL, follow_all, names);
    }
    strarray_append(names, name);
}

/* ---- use ---- */

bool mboxlist_racl_isusable(struct txn_db *db, const struct auth_state *auth)
{
    struct racl_rules rules;

    /* what is staged has no records before its commit */
    if (txn_db_has_changes(db) || !mboxlist_racl_ison(db)) return false;
    racl_rules_get(&rules);
    bool usable = txn_db_is_sealed(db, rules.number);
    /* of somebody who has no records because he is an administrator elsewhere */
    if (strarray_contains(rules.admins, "anyone") || strarray_contains(rules.admins, auth_userid(auth))) usable = false;
    const strarray_t *groups = usable && strarray_size(rules.admins) ? auth_groups(auth) : NULL;
    for (int i = 0; groups && i < strarray_size(groups); i++)
        if (strarray_contains(rules.admins, strarray_nth(groups, i))) usable = false;
    racl_rules_fini(&rules);
    return usable;
}
