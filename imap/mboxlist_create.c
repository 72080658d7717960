/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_create -- CREATE (handbook 02 §7.2, 04 §3.6)
 *
 * The order is the contract: the uniqueid is chosen, the name is reserved in mailboxes.db with
 * it, and only then anything asks where the user's files are. The mailbox is staged, and the
 * entry becomes live. All of it is one transaction, so a crash leaves a whole mailbox
 * or none, and a user's files are always at the place that his INBOX's uniqueid says.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "conversations.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "makeuuid.h"
#include "mboxlist_ops.h"
#include "mboxlist_specialuse.h"
#include "names_config.h"
#include "partition_select.h"
#include "quota.h"
#include "specialuse.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define UNIQUEID_TRIES 16

/* ---- checks ---- */

static int check_name(const char *name)
{
    /* 3.6.1 lets an admin make mailboxes in the deleted namespace; they would be hidden and expire */
    if (mboxname_isindeletedtree(name)) return IMAP_MAILBOX_BADNAME;
    return mboxname_policycheck(name);
}

/* Is the name free? *oldp: the tombstone or intermediate that it has now, or NULL. */
static int check_free(const struct mboxlist_createargs *args, struct txn *txn, mbentry_t **oldp)
{
    int r = mboxlist_lookup_allow_all(args->name, oldp, txn);

    if (r == IMAP_MAILBOX_NONEXISTENT) return 0;
    if (r) return r;
    const mbentry_t *old = *oldp;
    if (old->mbtype & MBTYPE_RESERVE) return IMAP_MAILBOX_RESERVED;
    if (old->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE)) return 0;
    bool visible = args->isadmin || args->from_sync ||
                   mboxlist_owner_isadmin(args->userid, args->name) ||
                   (mboxlist_rights(old, false, args->auth) & ACL_LOOKUP);
    return visible ? IMAP_MAILBOX_EXISTS : IMAP_PERMISSION_DENIED;
}

static int check_quota(const char *name, int64_t folders, struct txn *txn)
{
    struct quota q;
    char *root;

    int r = quota_findroot(name, txn, &root);
    if (r || !root) return r;
    r = quota_read(root, txn, &q);
    if (!r) r = quota_check(&q, QUOTA_NUMFOLDERS, folders);
    if (r == IMAP_QUOTAROOT_NONEXISTENT) r = 0;
    quota_free(&q);
    free(root);
    return r;
}

/* Names between parent (an ancestor) and name, name included. */
static int64_t depth_below(const char *name, const char *parent)
{
    int64_t n = 0;

    for (const char *p = name + strlen(parent); *p; p++) n += *p == '.';
    return n;
}

static int check_parent(const struct mboxlist_createargs *args, const mbentry_t *parent,
                        bool powers, struct txn *txn)
{
    if (!powers && !(cyrus_acl_myrights(args->auth, parent->acl) & ACL_CREATE))
        return IMAP_PERMISSION_DENIED;
    int r = specialuse_check_nochildren(parent, txn);
    if (!r && !args->nocheck_quota)
        r = check_quota(args->name, depth_below(args->name, parent->name), txn);
    return r;
}

static int check_specialuse(const struct mboxlist_createargs *args, struct txn *txn)
{
    struct buf uses = BUF_INITIALIZER;
    char *owner = mboxname_to_userid(args->name);

    int r = specialuse_normalise(args->specialuse, &uses);
    if (!r && !specialuse_place_isvalid(args->name)) r = IMAP_MAILBOX_SPECIALUSE;
    if (!r) r = specialuse_check(txn, owner, args->name, buf_cstring(&uses));
    buf_free(&uses);
    free(owner);
    return r;
}

static int check_in_txn(const struct mboxlist_createargs *args, struct txn *txn)
{
    mbentry_t *old = NULL, *parent = NULL;
    bool powers = args->isadmin || mboxlist_owner_isadmin(args->userid, args->name);

    int r = args->from_sync ? mboxname_policycheck(args->name) : check_name(args->name);
    if (!r) r = check_free(args, txn, &old);
    if (r || args->from_sync) goto done;
    if (args->partition && !partition_root(args->partition)) r = IMAP_PARTITION_UNKNOWN;
    if (!r) r = mboxlist_nearest_parent(args->name, txn, &parent);
    if (r) goto done;
    if (parent)
        r = check_parent(args, parent, powers, txn);
    else if (mboxname_isusermailbox(args->name, false))
        r = powers && mboxname_isusermailbox(args->name, true) ? 0 : IMAP_PERMISSION_DENIED;
    else
        r = args->isadmin ? 0 : IMAP_PERMISSION_DENIED;
    if (!r && args->specialuse) r = check_specialuse(args, txn);
done:
    mbentry_free(&old);
    mbentry_free(&parent);
    return r;
}

int mboxlist_createmailboxcheck(const struct mboxlist_createargs *args)
{
    return check_in_txn(args, txn_current());
}

/* ---- what the new entry says ---- */

static char *default_acl(const char *name)
{
    struct acl_owner none = { NULL, NULL, 0 };
    char *acl = NULL, *userid = mboxname_to_userid(name);

    if (userid) {
        cyrus_acl_set(&acl, userid, ACL_MODE_SET, ACL_ALL, &none);
        free(userid);
        return acl ? acl : xstrdup("");
    }
    strarray_t *words = strarray_split(config_getstring(IMAPOPT_DEFAULTACL), NULL, 0);
    for (int i = 0; i + 1 < strarray_size(words); i += 2) {
        const char *rights = strarray_nth(words, i + 1);
        cyrus_acl_set(&acl, strarray_nth(words, i), ACL_MODE_SET,
                      cyrus_acl_strtomask_lax(rights, strlen(rights)), &none);
    }
    strarray_free(words);
    return acl ? acl : xstrdup("");
}

/* Flag l: as the user's INBOX, or the shared parent, has it. */
static int legacy_flag(const char *name, const mbentry_t *parent, struct txn *txn, uint32_t *flag)
{
    char *userid = mboxname_to_userid(name),
         *inbox = userid ? mboxname_user_mbox(userid, NULL) : NULL;
    mbentry_t *entry = NULL;
    int r = 0;

    *flag = config_getswitch(IMAPOPT_MAILBOX_LEGACY_DIRS) ? MBTYPE_LEGACY_DIRS : 0;
    if (inbox && strcmp(inbox, name)) {
        r = mboxlist_lookup_allow_all(inbox, &entry, txn);
        if (!r) *flag = entry->mbtype & MBTYPE_LEGACY_DIRS;
        if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    }
    else if (!inbox && parent) {
        *flag = parent->mbtype & MBTYPE_LEGACY_DIRS;
    }
    mbentry_free(&entry);
    free(inbox);
    free(userid);
    return r;
}

static int new_uniqueid(struct txn *txn, char **idp)
{
    for (int i = 0; i < UNIQUEID_TRIES; i++) {
        *idp = makeuuid_dup();
        if (!mboxlist_uniqueid_in_use(*idp, txn)) return 0;
        xzfree(*idp);
    }
    xsyslog_errno(LOG_ERR, 0, "DBERROR: no free uniqueid found", NULL);
    return IMAP_INTERNAL;
}

static int choose_uniqueid(const struct mboxlist_createargs *args, const mbentry_t *old,
                           struct txn *txn, char **idp)
{
    if (args->uniqueid) {
        if (!uniqueid_isvalid(args->uniqueid)) return IMAP_MAILBOX_BADFORMAT;
        *idp = xstrdup(args->uniqueid);
        return 0;
    }
    if (old && (old->mbtype & MBTYPE_INTERMEDIATE) && old->uniqueid) {
        *idp = xstrdup(old->uniqueid);
        return 0;
    }
    return new_uniqueid(txn, idp);
}

static int choose_partition(const struct mboxlist_createargs *args, const mbentry_t *parent,
                            char **partitionp)
{
    const char *want = args->partition;

    if (!want && parent && parent->partition && !parent->server) want = parent->partition;
    if (want && !partition_root(want)) return IMAP_PARTITION_UNKNOWN;
    *partitionp = want ? xstrdup(want) : partition_select_local();
    return *partitionp ? 0 : IMAP_PARTITION_UNKNOWN;
}

/* The entry as it will be, but for what the mailbox's numbers tell. */
static int make_entry(const struct mboxlist_createargs *args, const mbentry_t *old,
                      const mbentry_t *parent, struct txn *txn, mbentry_t **entryp)
{
    mbentry_t *entry = mbentry_new(args->name);
    uint32_t legacy = 0;

    int r = legacy_flag(args->name, parent, txn, &legacy);
    entry->mbtype = (args->mbtype & ~(uint32_t)MBTYPE_LEGACY_DIRS) | legacy;
    if (args->acl)
        entry->acl = xstrdup(args->acl);
    else if (parent && !mboxname_isusermailbox(args->name, true))
        entry->acl = xstrdup(parent->acl ? parent->acl : "");
    else
        entry->acl = default_acl(args->name);
    entry->createdmodseq = args->createdmodseq;
    if (!entry->createdmodseq && old && (old->mbtype & MBTYPE_INTERMEDIATE))
        entry->createdmodseq = old->createdmodseq;
    if (!r) r = choose_partition(args, parent, &entry->partition);
    if (!r) r = choose_uniqueid(args, old, txn, &entry->uniqueid);
    if (r)
        mbentry_free(&entry);
    else
        *entryp = entry;
    return r;
}

/* ---- the steps ---- */

static int reserve(struct txn *txn, const mbentry_t *entry)
{
    mbentry_t *stub = mbentry_dup(entry);

    stub->mbtype |= MBTYPE_INTERMEDIATE;
    int r = mboxlist_update_entry(txn, entry->name, stub);
    mbentry_free(&stub);
    return r;
}

/*
 * Who read others' mailboxes before he had an INBOX has files at the legacy place; they
 * become those of the new INBOX.
 */
static int adopt_files(struct txn *txn, const mbentry_t *inbox)
{
    struct user_meta *from = NULL, *to = NULL;
    int r = 0;

    if (inbox->mbtype & MBTYPE_LEGACY_DIRS) return 0;
    char *userid = mboxname_to_userid(inbox->name);
    r = user_meta_legacy(userid, &from);
    if (!r) r = user_meta_from_entry(inbox, &to);
    if (!r) r = user_meta_move(txn, from, to, USER_FILE_ADOPT, false);
    user_meta_free(&from);
    user_meta_free(&to);
    free(userid);
    return r;
}

static int is_there(const mbentry_t *entry, void *rock)
{
    (void)entry;
    *(bool *)rock = true;
    return 1;
}

/*
 * An INBOX that comes where mailboxes.db has forgotten one (it was lost, or put back from an old copy) is not counted together with
 * what was counted for that: usage begins at nothing where the user has no other mailbox.
 */
static int forget_usage(struct txn *txn, const mbentry_t *inbox)
{
    const int64_t nothing[QUOTA_NUMRESOURCES] = { 0 };
    char *userid = mboxname_to_userid(inbox->name);
    bool others = false, counted = false;
    struct quota q;

    int r = quota_read(inbox->name, txn, &q);
    for (int res = 0; !r && res < QUOTA_NUMRESOURCES; res++) counted |= q.useds[res] != 0;
    if (!r && counted) (void)mboxlist_usermboxtree(userid, is_there, &others, MBOXTREE_SKIP_ROOT);
    if (!r && counted && !others) {
        xsyslog(LOG_NOTICE, "usage of a forgotten mailbox is set to nothing", "mailbox=<%s>", inbox->name);
        r = quota_set_useds(txn, inbox->name, nothing);
    }
    quota_free(&q);
    free(userid);
    return r == IMAP_QUOTAROOT_NONEXISTENT ? 0 : r;
}

/* As forget_usage; conversations are counted again, and know message-ids from before. */
static int recount_conversations(struct txn *txn, const mbentry_t *inbox)
{
    struct user_meta *meta = NULL;
    struct stat st;
    int r = user_meta_from_entry(inbox, &meta);

    if (!r && config_getswitch(IMAPOPT_CONVERSATIONS) && !diskio_stat(user_meta_path(meta, "conversations"), &st)) {
        xsyslog(LOG_NOTICE, "conversations of a forgotten mailbox are counted again", "mailbox=<%s>", inbox->name);
        r = conversations_rebuild_user(txn, meta, NULL, NULL);
    }
    user_meta_free(&meta);
    return r;
}

/* A name that was deleted never comes back with a UIDVALIDITY it had. 0: the next of the user. */
static uint32_t choose_uidvalidity(const struct mboxlist_createargs *args, const mbentry_t *old,
                                   struct txn *txn)
{
    if (args->uidvalidity) return args->uidvalidity;
    if (!old || !(old->mbtype & MBTYPE_DELETED) || (time_t)old->uidvalidity < txn_time(txn))
        return 0;
    return old->uidvalidity + 1;
}

static int stage_mailbox(struct txn *txn, const struct mboxlist_createargs *args,
                         const mbentry_t *old, const mbentry_t *entry, struct mailbox **mboxp)
{
    char *root = NULL;
    int r = quota_findroot(entry->name, txn, &root);
    if (r) return r;
    struct mailbox_create_args create = {
        .mbentry = entry,
        .quotaroot = root,
        .options = args->from_sync
                       ? args->options
                       : args->options | (uint32_t)config_getint(IMAPOPT_MAILBOX_DEFAULT_OPTIONS),
        .uidvalidity = choose_uidvalidity(args, old, txn),
        .createdmodseq = entry->createdmodseq,
        .highestmodseq = args->highestmodseq,
        .from_sync = args->from_sync,
    };
    r = mailbox_create(txn, &create, mboxp);
    free(root);
    return r;
}

static int go_live(struct txn *txn, const struct mboxlist_createargs *args, mbentry_t *entry,
                   struct mailbox *mailbox)
{
    const struct index_header *hdr = mailbox_index_header(mailbox);

    entry->uidvalidity = hdr->uidvalidity;
    entry->createdmodseq = hdr->createdmodseq;
    entry->foldermodseq = args->foldermodseq ? args->foldermodseq : hdr->highestmodseq;
    return mboxlist_update_entry(txn, entry->name, entry);
}

static int set_specialuse(struct txn *txn, const mbentry_t *entry, const char *specialuse,
                          struct mailbox *mailbox)
{
    struct buf value = BUF_INITIALIZER;
    char *owner = mboxname_to_userid(entry->name);
    int r = owner ? specialuse_normalise(specialuse, &value) : IMAP_MAILBOX_SPECIALUSE;

    if (!r) r = annotatemore_write(txn, entry, SPECIALUSE_ENTRY, owner, &value, 0);
    buf_free(&value);
    if (!r && specialuse_contains(specialuse, "\\Snoozed")) {
        struct mailbox_header_update u = { .set_options = true,
                                           .options = mailbox_index_header(mailbox)->options |
                                                      OPT_IMAP_HAS_ALARMS };
        r = mailbox_update_header(mailbox, &u);
    }
    free(owner);
    return r;
}

static int create_one(struct txn *txn, const struct mboxlist_createargs *args,
                      struct mailbox **mboxp)
{
    mbentry_t *old = NULL, *parent = NULL, *entry = NULL;
    struct mailbox *mailbox = NULL;
    bool inbox = mboxname_isusermailbox(args->name, true);

    int r = check_free(args, txn, &old);
    if (!r) r = mboxlist_nearest_parent(args->name, txn, &parent);
    if (!r) r = make_entry(args, old, parent, txn, &entry);
    if (!r) r = reserve(txn, entry);
    if (!r && inbox) r = adopt_files(txn, entry);
    if (!r && inbox) r = forget_usage(txn, entry);
    if (!r) r = stage_mailbox(txn, args, old, entry, &mailbox);
    if (!r) r = go_live(txn, args, entry, mailbox);
    if (!r && inbox) r = recount_conversations(txn, entry);
    if (!r && args->specialuse) r = set_specialuse(txn, entry, args->specialuse, mailbox);
    if (!r) sync_log_mailbox(txn, args->name);
    if (!r && mboxp) *mboxp = mailbox;
    mbentry_free(&old);
    mbentry_free(&parent);
    mbentry_free(&entry);
    return r;
}

/* Creates the ancestors of name that are missing, the highest first. */
static int create_missing(struct txn *txn, const struct mboxlist_createargs *args, const char *name)
{
    char *parent = mboxname_parent(name);
    mbentry_t *entry = NULL;

    if (!parent || mboxname_policycheck(parent)) { /* "user" and the like are no mailboxes */
        free(parent);
        return 0;
    }
    int r = mboxlist_lookup(parent, &entry, txn);
    mbentry_free(&entry);
    if (r == IMAP_MAILBOX_NONEXISTENT) {
        struct mboxlist_createargs up = { .name = parent,
                                          .isadmin = args->isadmin,
                                          .nocheck_quota = true,
                                          .partition = args->partition,
                                          .userid = args->userid,
                                          .auth = args->auth };
        r = create_missing(txn, args, parent);
        if (!r) r = create_one(txn, &up, NULL);
    }
    free(parent);
    return r;
}

int mboxlist_create_ancestors(struct txn *txn, const struct mboxlist_createargs *args)
{
    return create_missing(txn, args, args->name);
}

int mboxlist_createmailbox(struct txn *txn, const struct mboxlist_createargs *args,
                           struct mailbox **mboxp)
{
    char *userid = mboxname_to_userid(args->name);

    int r = txn_lock_user(txn, userid);
    free(userid);
    if (!r) r = check_in_txn(args, txn);
    if (!r && !args->from_sync && !args->no_parents) r = mboxlist_create_ancestors(txn, args);
    return r ? r : create_one(txn, args, mboxp);
}
