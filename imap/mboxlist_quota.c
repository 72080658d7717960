/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_quota -- a quota root begins or ends to count a tree (handbook 01 §6.3, §6.7)
 *
 * Limits of a root that is there are just stored. A new root takes over the mailboxes of its tree from
 * the root above, an ending one gives them back to it: usage moves with them, in the same
 * transaction, so the sums are right at every moment. Roots below keep theirs.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist_ops.h"
#include "quota.h"
#include "xmalloc.h"

/* ---- the tree ---- */

static int add_user(const char *userid, void *rock)
{
    strarray_append(rock, userid);
    return 0;
}

/* "dom!" counts a domain as a whole. */
static bool is_domain_root(const char *root)
{
    size_t len = strlen(root);
    return len && root[len - 1] == '!';
}

/* Whoever owns a mailbox of the tree. A whole domain: everybody of it, and "*U*". */
static int lock_tree(struct txn *txn, const char *root)
{
    strarray_t users = STRARRAY_INITIALIZER, mine = STRARRAY_INITIALIZER;

    if (!is_domain_root(root)) return mboxlist_lock_names(txn, root, NULL);
    char *domain = xstrndup(root, strlen(root) - 1);
    int r = mboxlist_alluser(add_user, &users);
    for (int i = 0; i < strarray_size(&users); i++) {
        const char *at = strrchr(strarray_nth(&users, i), '@');
        if (at && !strcmp(at + 1, domain)) strarray_append(&mine, strarray_nth(&users, i));
    }
    strarray_appendm(&mine, NULL);
    if (!r) r = txn_lock_users(txn, &mine);
    strarray_fini(&users);
    strarray_fini(&mine);
    free(domain);
    return r;
}

static int collect_cb(const mbentry_t *entry, void *rock)
{
    ptrarray_append(rock, mbentry_dup(entry));
    return 0;
}

struct domain_rock {
    const char *root;
    ptrarray_t *entries;
};

static int collect_domain_cb(const mbentry_t *entry, void *rock)
{
    struct domain_rock *dr = rock;
    return strstarts(entry->name, dr->root) ? collect_cb(entry, dr->entries) : 0;
}

static int collect(const char *root, ptrarray_t *entries)
{
    struct domain_rock dr = { root, entries };

    if (!is_domain_root(root)) return mboxlist_collect_tree(root, 0, entries);
    return mboxlist_allmbox(NULL, collect_domain_cb, &dr, 0);
}

/* Does root `other` lie at or below `root`? */
static bool is_at_or_below(const char *other, const char *root)
{
    return is_domain_root(root) ? strstarts(other, root) : mboxname_is_prefix(other, root);
}

/* ---- begin ---- */

static int take_over(struct txn *txn, const mbentry_t *entry, const char *root)
{
    struct mailbox *mailbox = NULL;

    if (mbentry_is_remote(entry, config_servername)) return 0;
    int r = mailbox_open_mbentry_iwl(txn, entry, &mailbox);
    if (r) return r;
    const char *now = mailbox_quotaroot(mailbox);
    if (now && is_at_or_below(now, root)) return 0;
    return mailbox_set_quotaroot(mailbox, root);
}

static int begin_root(struct txn *txn, const struct quota *q, bool force)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;

    int r = lock_tree(txn, q->root);
    if (!r) r = collect(q->root, &entries);
    if (!r && !ptrarray_size(&entries) && !force) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = quota_write(txn, q);
    for (int i = 0; !r && i < ptrarray_size(&entries); i++)
        r = take_over(txn, ptrarray_nth(&entries, i), q->root);
    mboxlist_collect_free(&entries);
    return r;
}

int mboxlist_setquotas(struct txn *txn, const char *root, const int64_t *newlimits, modseq_t modseq,
                       bool force)
{
    struct quota q;

    if (!*root || (!is_domain_root(root) && mboxname_policycheck(root)))
        return IMAP_MAILBOX_BADNAME;
    int r = mboxlist_lock_names(txn, root, NULL); /* also the owner's counters */
    if (r) return r;
    r = quota_read(root, txn, &q);
    if (r && r != IMAP_QUOTAROOT_NONEXISTENT) goto done;
    memcpy(q.limits, newlimits, sizeof(q.limits));
    q.modseq = modseq;
    r = r ? begin_root(txn, &q, force) : quota_write(txn, &q);
done:
    quota_free(&q);
    return r;
}

/* ---- end ---- */

static int give_back(struct txn *txn, const mbentry_t *entry, const char *root)
{
    struct mailbox *mailbox = NULL;
    char *above = NULL;

    if (mbentry_is_remote(entry, config_servername)) return 0;
    int r = mailbox_open_mbentry_iwl(txn, entry, &mailbox);
    if (r || strcmpnull(mailbox_quotaroot(mailbox), root)) return r;
    r = quota_findroot(entry->name, txn, &above);
    if (!r) r = mailbox_set_quotaroot(mailbox, above);
    free(above);
    return r;
}

int mboxlist_unsetquota(struct txn *txn, const char *root)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    struct quota q;

    int r = lock_tree(txn, root);
    if (r) return r;
    r = quota_read(root, txn, &q);
    quota_free(&q);
    if (!r) r = collect(root, &entries);
    if (!r) r = quota_deleteroot(txn, root);
    for (int i = 0; !r && i < ptrarray_size(&entries); i++)
        r = give_back(txn, ptrarray_nth(&entries, i), root);
    mboxlist_collect_free(&entries);
    return r;
}
