/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota_fix -- usage of quota roots counted anew (handbook 01 §6.8)
 *
 * 3.6.1 walks through the mailboxes while others change them, with a mark of how far it has come; that
 * loses changes at the mark. Here the owner's namespace is locked while his mailboxes are counted,
 * and all corrections are one transaction. A mailbox that can't be read is told, and the roots
 * of its owner keep their usage.
 */
#include <config.h>

#include "quota_fix.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist_ops.h"
#include "xmalloc.h"

/* What one root has, by its mailboxes. */
struct count {
    int64_t used[QUOTA_NUMRESOURCES];
};

/* All that is counted together: a user, a domain with a root, or the mailboxes of no user. */
struct group {
    char *domain; /* NULL: not a whole domain */
    char *userid; /* NULL with domain NULL: no user */
};

struct fix {
    struct txn *txn;
    const struct group *group;
    const struct quota_fix_events *events;
    hash_table counts; /* root -> struct count */
    strarray_t roots;  /* of the group, as they are in the database */
    bool unreadable;
};

/* ---- groups ---- */

static bool has_domain_root(const char *domain)
{
    struct quota q;
    mbname_t *root = mbname_from_localdom(NULL, domain);
    int r = quota_read(mbname_intname(root), NULL, &q);

    quota_free(&q);
    mbname_free(&root);
    return !r;
}

/* "@domain", "user", or "" for nobody: what a name is counted with. */
static char *group_key(const char *name)
{
    mbname_t *mbname = mbname_from_intname(name);
    size_t len = strlen(name);
    char *key;

    if (len && name[len - 1] == '!')
        key = xasprintf("@%.*s", (int)len - 1, name);
    else if (mbname_domain(mbname) && has_domain_root(mbname_domain(mbname)))
        key = xasprintf("@%s", mbname_domain(mbname));
    else
        key = xstrdup(mbname_userid(mbname) ? mbname_userid(mbname) : "");
    mbname_free(&mbname);
    return key;
}

struct keys_rock {
    const char *prefix;
    strarray_t *keys;
};

static int key_of_root(const struct quota *q, void *rock)
{
    struct keys_rock *kr = rock;

    if (strstarts(q->root, kr->prefix)) strarray_appendm(kr->keys, group_key(q->root));
    return 0;
}

static int key_of_user(const char *userid, void *rock)
{
    struct keys_rock *kr = rock;
    char *inbox = mboxname_user_mbox(userid, NULL);

    if (strstarts(inbox, kr->prefix)) strarray_appendm(kr->keys, group_key(inbox));
    free(inbox);
    return 0;
}

static int collect_keys(const char *prefix, strarray_t *keys)
{
    struct keys_rock rock = { prefix, keys };

    int r = quota_foreach(NULL, key_of_root, &rock);
    if (!r) r = mboxlist_alluser(key_of_user, &rock);
    if (!*prefix) strarray_append(keys, "");
    strarray_sort(keys, NULL);
    strarray_uniq(keys);
    return r;
}

static bool is_of_group(const struct group *group, const char *name)
{
    mbname_t *mbname = mbname_from_intname(name);
    bool yes;

    if (group->domain)
        yes = !strcmpnull(mbname_domain(mbname), group->domain);
    else
        yes = !strcmpnull(mbname_userid(mbname), group->userid);
    mbname_free(&mbname);
    return yes;
}

static int add_user(const char *userid, void *rock)
{
    struct keys_rock *kr = rock;
    const char *at = strrchr(userid, '@');

    if (at && !strcmp(at + 1, kr->prefix)) strarray_append(kr->keys, userid);
    return 0;
}

static int lock_group(struct txn *txn, const struct group *group)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct keys_rock rock = { group->domain, &users };
    int r = 0;

    if (!group->domain) return txn_lock_user(txn, group->userid);
    r = mboxlist_alluser(add_user, &rock);
    strarray_appendm(&users, NULL); /* the shared mailboxes */
    if (!r) r = txn_lock_users(txn, &users);
    strarray_fini(&users);
    return r;
}

/* ---- counting ---- */

static struct count *count_of(struct fix *fix, const char *root)
{
    struct count *count = hash_lookup(root, &fix->counts);

    if (!count) {
        count = xzmalloc(sizeof(*count));
        hash_insert(root, count, &fix->counts);
    }
    return count;
}

static void add_usage(struct fix *fix, const char *root, const struct mailbox *mailbox)
{
    const struct index_header *hdr = mailbox_index_header(mailbox);
    struct count *count = count_of(fix, root);

    (void)quota_add(&count->used[QUOTA_STORAGE], (int64_t)hdr->quota_mailbox_used);
    (void)quota_add(&count->used[QUOTA_MESSAGE], hdr->exists);
    (void)quota_add(&count->used[QUOTA_ANNOTSTORAGE], (int64_t)hdr->quota_annot_used);
    count->used[QUOTA_NUMFOLDERS]++;
}

static int count_mailbox(const mbentry_t *entry, void *rock)
{
    struct fix *fix = rock;
    struct mailbox *mailbox = NULL;
    char *root = NULL;

    if (!is_of_group(fix->group, entry->name) || mbentry_is_remote(entry, config_servername))
        return 0;
    int r = mailbox_open_mbentry_iwl(fix->txn, entry, &mailbox);
    if (r) {
        fix->unreadable = true;
        fix->events->unreadable(entry->name, r, fix->events->rock);
        return 0;
    }
    r = quota_findroot(entry->name, fix->txn, &root);
    if (!r && strcmpnull(root, mailbox_quotaroot(mailbox))) {
        fix->events->root(entry->name, mailbox_quotaroot(mailbox), root, fix->events->rock);
        r = mailbox_set_quotaroot(mailbox, root);
    }
    if (!r && root) add_usage(fix, root, mailbox);
    free(root);
    return r;
}

static int count_group(struct fix *fix)
{
    if (!fix->group->domain && fix->group->userid)
        return mboxlist_usermboxtree(fix->group->userid, count_mailbox, fix, 0);
    return mboxlist_allmbox(NULL, count_mailbox, fix, 0);
}

/* ---- putting right ---- */

static int add_root(const struct quota *q, void *rock)
{
    struct fix *fix = rock;

    if (is_of_group(fix->group, q->root)) strarray_append(&fix->roots, q->root);
    return 0;
}

/* Commit hook, behind what the mailboxes report: their sums replace everything. */
static int store_counts(struct txn *txn, void *rock)
{
    struct fix *fix = rock;
    const char *root;
    size_t pos = 0;
    void *data;
    int r = 0;

    while (!r && (root = hash_next(&fix->counts, &pos, &data)))
        r = quota_set_useds(txn, root, ((const struct count *)data)->used);
    return r;
}

/* Root by root: tells what differs; what is right is not written. */
static int compare_root(struct fix *fix, const char *root)
{
    const struct count *count = hash_lookup(root, &fix->counts);
    struct quota q;
    bool same = true;

    if (!count) {
        fix->events->removed(root, fix->events->rock);
        return quota_deleteroot(fix->txn, root);
    }
    int r = quota_read(root, NULL, &q);
    for (int res = 0; !r && res < QUOTA_NUMRESOURCES; res++) {
        if (q.useds[res] == count->used[res]) continue;
        same = false;
        fix->events->used(root, (enum quota_resource)res, q.useds[res], count->used[res],
                          fix->events->rock);
    }
    quota_free(&q);
    if (!r && same) free(hash_del(root, &fix->counts));
    return r;
}

static int fix_in_txn(struct fix *fix)
{
    int r = lock_group(fix->txn, fix->group);
    if (!r) r = quota_foreach(NULL, add_root, fix);
    if (!r) r = count_group(fix);
    if (r || fix->unreadable) return r;
    for (int i = 0; !r && i < strarray_size(&fix->roots); i++)
        r = compare_root(fix, strarray_nth(&fix->roots, i));
    if (!r) txn_on_commit(fix->txn, TXN_ORDER_SEEN, store_counts, fix);
    return r;
}

static int fix_group(const struct group *group, bool dryrun, const struct quota_fix_events *events)
{
    struct fix fix = { .group = group, .events = events };

    int r = txn_begin(&fix.txn);
    if (r) return r;
    construct_hash_table(&fix.counts, 0);
    r = fix_in_txn(&fix);
    if (!r && !dryrun) r = txn_commit(&fix.txn, NULL);
    txn_abort(&fix.txn);
    free_hash_table(&fix.counts, free);
    strarray_fini(&fix.roots);
    return r;
}

static int fix_key(const char *key, bool dryrun, const struct quota_fix_events *events)
{
    struct group group = { .domain = *key == '@' ? xstrdup(key + 1) : NULL,
                           .userid = *key && *key != '@' ? xstrdup(key) : NULL };
    int r = fix_group(&group, dryrun, events);

    free(group.domain);
    free(group.userid);
    return r;
}

int quota_fix_user(const char *userid, bool dryrun, const struct quota_fix_events *events)
{
    char *inbox = mboxname_user_mbox(userid, NULL);
    char *key = inbox ? group_key(inbox) : NULL;
    int r = key ? fix_key(key, dryrun, events) : IMAP_MAILBOX_BADNAME;

    free(key);
    free(inbox);
    return r;
}

int quota_fix(const char *prefix, bool dryrun, const struct quota_fix_events *events)
{
    strarray_t keys = STRARRAY_INITIALIZER;

    int r = collect_keys(prefix, &keys);
    for (int i = 0; !r && i < strarray_size(&keys); i++) r = fix_key(strarray_nth(&keys, i), dryrun, events);
    strarray_fini(&keys);
    return r;
}
