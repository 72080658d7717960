/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_acl -- SETACL, DELETEACL, and ACLs from replication (RFC 4314, handbook 04 §5)
 *
 * The ACL in mailboxes.db is the truth, cyrus.header has a copy. A change takes the next modseq of
 * the mailbox, which becomes the folder modseq of the entry.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist_ops.h"
#include "sync_log.h"
#include "xmalloc.h"

/* Stores entry->acl; foldermodseq 0: next. */
static int store_acl(struct txn *txn, mbentry_t *entry, modseq_t foldermodseq)
{
    struct mailbox *mailbox = NULL;
    bool has_files = !(entry->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_DELETED)) &&
                     !mbentry_is_remote(entry, config_servername);
    int r = 0;

    if (has_files) r = mailbox_open_mbentry_iwl(txn, entry, &mailbox);
    if (!r && has_files && !foldermodseq) {
        foldermodseq = mailbox_next_modseq(mailbox);
        if (!foldermodseq) r = IMAP_IOERROR;
    }
    if (!r && has_files) r = mailbox_set_acl(mailbox, entry->acl);
    if (foldermodseq) entry->foldermodseq = foldermodseq;
    if (!r) r = mboxlist_update_entry(txn, entry->name, entry);
    if (!r) sync_log_mailbox(txn, entry->name);
    return r;
}

/* "-id" takes rights away from id: what follows the sign is canonified. */
static int canonify(const char *identifier, char **idp)
{
    char id[AUTH_IDMAX];
    bool negative = *identifier == '-';

    *idp = NULL;
    if (!*(identifier + negative)) return IMAP_INVALID_IDENTIFIER;
    int r = auth_canonifyid(identifier + negative, strlen(identifier + negative), id, sizeof(id));
    if (!r) *idp = xasprintf("%s%s", negative ? "-" : "", id);
    return r;
}

struct edit {
    const char *identifier; /* canonical */
    const char *rights;     /* NULL: remove */
    const char *owner;      /* NULL: a shared mailbox */
    const char *userid;     /* who does it */
    bool isadmin;
};

/* Who may do this at all? Rights of the session on the mailbox are known. */
static int check(const struct edit *e, const mbentry_t *entry, const struct auth_state *auth)
{
    if (!e->isadmin && !config_getswitch(IMAPOPT_ALLOWSETACL)) return IMAP_DISABLED;
    if (!(mboxlist_rights(entry, e->isadmin, auth) & ACL_ADMIN))
        return mboxlist_denied(entry, e->isadmin, auth);
    const char *id = e->identifier + (*e->identifier == '-');
    if (!e->isadmin && !strcmp(id, "anyone") && !config_getswitch(IMAPOPT_ANYONEUSERACL))
        return IMAP_PERMISSION_DENIED;
    return 0;
}

static int edit_acl(const struct edit *e, char **acl)
{
    const char *implicit = config_getstring(IMAPOPT_IMPLICIT_OWNER_RIGHTS), *rights = e->rights;
    struct acl_owner owner = { e->owner, e->userid,
                               cyrus_acl_strtomask_lax(implicit, strlen(implicit)) };
    enum acl_mode mode = ACL_MODE_SET;
    uint32_t mask;

    if (!rights) return cyrus_acl_remove(acl, e->identifier, &owner);
    if (*rights == '+' || *rights == '-') mode = *rights++ == '+' ? ACL_MODE_ADD : ACL_MODE_REMOVE;
    if (!cyrus_acl_strtomask(rights, &mask, NULL)) return IMAP_INVALID_RIGHTS;
    return cyrus_acl_set(acl, e->identifier, mode, mask, &owner);
}

/* Nobody but an admin can take 'a' from the owner, not even with the help of implicit rights. */
static int check_owner_keeps_admin(const struct edit *e, const char *before)
{
    struct acl_owner none = { NULL, NULL, 0 };
    char *acl;
    uint32_t mask;
    const char *rights = e->rights;
    enum acl_mode mode = ACL_MODE_SET;
    int r = 0;

    if (e->isadmin || !e->owner) return 0;
    const char *id = e->identifier + (*e->identifier == '-');
    if (strcmp(id, e->owner)) return 0;
    if (!(cyrus_acl_rights_of(before, e->owner) & ACL_ADMIN)) return 0;
    acl = xstrdupnull(before);
    if (!rights) {
        r = cyrus_acl_remove(&acl, e->identifier, &none);
    }
    else {
        if (*rights == '+' || *rights == '-')
            mode = *rights++ == '+' ? ACL_MODE_ADD : ACL_MODE_REMOVE;
        if (!cyrus_acl_strtomask(rights, &mask, NULL)) r = IMAP_INVALID_RIGHTS;
        if (!r) r = cyrus_acl_set(&acl, e->identifier, mode, mask, &none);
    }
    char *negative = xasprintf("-%s", e->owner);
    uint32_t left = cyrus_acl_rights_of(acl, e->owner) & ~cyrus_acl_rights_of(acl, negative);
    if (!r && !(left & ACL_ADMIN)) r = IMAP_PERMISSION_DENIED;
    free(negative);
    free(acl);
    return r;
}

int mboxlist_setacl(struct txn *txn, const char *name, const char *identifier, const char *rights,
                    bool isadmin, const char *userid, const struct auth_state *auth)
{
    mbentry_t *entry = NULL;
    char *id = NULL, *owner = NULL;

    int r = mboxlist_lock_names(txn, name, NULL);
    if (!r) r = mboxlist_lookup(name, &entry, txn);
    if (!r) r = canonify(identifier, &id);
    if (r) goto done;
    owner = mboxname_to_userid(name);
    struct edit e = { id, rights, owner, userid, isadmin };
    r = check(&e, entry, auth);
    if (!r) r = check_owner_keeps_admin(&e, entry->acl);
    if (!r) r = edit_acl(&e, &entry->acl);
    if (!r && !entry->acl) entry->acl = xstrdup("");
    if (!r) r = store_acl(txn, entry, 0);
done:
    mbentry_free(&entry);
    free(id);
    free(owner);
    return r;
}

/* true: it was there. */
static bool move_rights(char **acl, char *from, char *to)
{
    struct acl_owner none = { NULL, NULL, 0 };
    uint32_t rights = cyrus_acl_rights_of(*acl, from);

    if (rights) {
        cyrus_acl_remove(acl, from, &none);
        cyrus_acl_set(acl, to, ACL_MODE_ADD, rights, &none);
    }
    free(from);
    free(to);
    return rights;
}

int mboxlist_renameacl(struct txn *txn, const char *name, const char *olduser, const char *newuser)
{
    mbentry_t *entry = NULL;
    int r = mboxlist_lock_names(txn, name, NULL);

    if (!r) r = mboxlist_lookup(name, &entry, txn);
    if (!r) {
        bool changed = move_rights(&entry->acl, xstrdup(olduser), xstrdup(newuser));
        changed |= move_rights(&entry->acl, xasprintf("-%s", olduser), xasprintf("-%s", newuser));
        if (changed) r = store_acl(txn, entry, 0);
    }
    mbentry_free(&entry);
    return r;
}

int mboxlist_sync_setacls(struct txn *txn, const char *name, const char *acl, modseq_t foldermodseq)
{
    mbentry_t *entry = NULL;

    int r = mboxlist_lock_names(txn, name, NULL);
    if (!r) r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r) {
        mbentry_set_acl(entry, acl);
        r = store_acl(txn, entry, foldermodseq);
    }
    mbentry_free(&entry);
    return r;
}
