/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_racl -- reverse ACLs: who may see which mailbox (handbook 01 §4.8)
 *
 * For every identifier with l or r there is one empty A record, so that the mailboxes
 * others share with a user are found without reading all entries. Only a
 * database with the marker has them. The change travels with the entry; the racl modseq of the
 * identifiers' own counters follows in transactions of their own after the commit, because
 * it needs their locks. It is only a hint for their clients.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

bool mboxlist_racl_ison(struct txn_db *db)
{
    return !txn_db_fetch(db, RACL_MARKER_KEY, strlen(RACL_MARKER_KEY), NULL, NULL);
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

static bool is_admin(const char *identifier)
{
    strarray_t *admins = strarray_split(config_getstring(IMAPOPT_ADMINS), NULL, 0);
    bool found = strarray_contains(admins, identifier);

    strarray_free(admins);
    return found;
}

/* Identifiers that have a record because of this entry. */
static void identifiers(const mbentry_t *entry, const char *owner, strarray_t *out)
{
    struct acl_item item;
    const char *p = entry ? entry->acl : NULL;

    if (!p || (entry->mbtype & MBTYPE_DELETED)) return;
    while (cyrus_acl_next(&p, &item)) {
        uint32_t mask = cyrus_acl_strtomask_lax(item.rights, item.rightslen);
        if (!(mask & (ACL_LOOKUP | ACL_READ))) continue;
        char *id = xstrndup(item.identifier, item.idlen);
        if (strcmpnull(id, owner) && !is_admin(id)) strarray_add(out, id);
        free(id);
    }
}

int mboxlist_racl_update(struct txn *txn, struct txn_db *db, const char *name,
                         const mbentry_t *oldentry, const mbentry_t *newentry)
{
    strarray_t before = STRARRAY_INITIALIZER, after = STRARRAY_INITIALIZER;
    struct buf key = BUF_INITIALIZER;
    int r = 0;

    if (!mboxlist_racl_ison(db)) return 0;
    char *owner = mboxname_to_userid(name);
    bool isuser = owner != NULL;
    identifiers(oldentry, owner, &before);
    identifiers(newentry, owner, &after);
    for (int i = 0; !r && i < strarray_size(&before); i++) {
        const char *id = strarray_nth(&before, i);
        if (strarray_contains(&after, id)) continue;
        buf_reset(&key);
        mbentry_key_racl(isuser, id, name, &key);
        r = txn_db_delete(db, buf_base(&key), buf_len(&key));
        remember(txn, id);
    }
    for (int i = 0; !r && i < strarray_size(&after); i++) {
        const char *id = strarray_nth(&after, i);
        if (strarray_contains(&before, id)) continue;
        buf_reset(&key);
        mbentry_key_racl(isuser, id, name, &key);
        r = txn_db_store(db, buf_base(&key), buf_len(&key), "", 0);
        remember(txn, id);
    }
    strarray_fini(&before);
    strarray_fini(&after);
    free(owner);
    buf_free(&key);
    return r;
}
