/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_model -- what one server says of one user
 *
 * Plain structs that grow; strings are owned. Messages of a mailbox are there only
 * while they are compared; what a quota root needs of them is kept with it.
 */
#include <config.h>

#include "check_replication_model.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "xmalloc.h"

/* Room for one more element of that size. */
static void *grow(void *base, size_t n, size_t *alloc, size_t size)
{
    if (n < *alloc) return base;
    size_t want = grow_alloc(*alloc, n + 1);
    base = xzrealloc(base, *alloc * size, want * size);
    *alloc = want;
    return base;
}

void check_pairs_add(struct check_pairs *pairs, const char *key, const char *value)
{
    pairs->v = grow(pairs->v, pairs->n, &pairs->alloc, sizeof(*pairs->v));
    pairs->v[pairs->n].key = xstrdup(key);
    pairs->v[pairs->n].value = xstrdup(value);
    pairs->n++;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct check_pair *)a)->key, ((const struct check_pair *)b)->key);
}

void check_pairs_sort(struct check_pairs *pairs)
{
    if (pairs->n) qsort(pairs->v, pairs->n, sizeof(*pairs->v), by_key);
}

void check_pairs_free(struct check_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++) {
        free(pairs->v[i].key);
        free(pairs->v[i].value);
    }
    free(pairs->v);
    memset(pairs, 0, sizeof(*pairs));
}

/* ---- mailboxes ---- */

static void note_place(struct check_user *user, size_t i)
{
    hash_insert(user->mailboxes[i].name, (void *)(uintptr_t)(i + 1), &user->byname);
}

struct check_mailbox *check_user_find(const struct check_user *user, const char *name)
{
    uintptr_t place = (uintptr_t)hash_lookup(name, &user->byname);

    return place ? &user->mailboxes[place - 1] : NULL;
}

struct check_mailbox *check_user_addmailbox(struct check_user *user, const char *name)
{
    user->mailboxes = grow(user->mailboxes, user->nmailboxes, &user->mboxalloc,
                           sizeof(*user->mailboxes));
    struct check_mailbox *mbox = &user->mailboxes[user->nmailboxes++];
    memset(mbox, 0, sizeof(*mbox));
    mbox->name = xstrdup(name);
    mbox->uniqueid = xstrdup("");
    mbox->quotaroot = xstrdup("");
    note_place(user, user->nmailboxes - 1);
    return mbox;
}

struct check_message *check_mailbox_addmessage(struct check_mailbox *mbox, uint32_t uid)
{
    mbox->messages = grow(mbox->messages, mbox->nmessages, &mbox->alloc, sizeof(*mbox->messages));
    struct check_message *msg = &mbox->messages[mbox->nmessages++];
    memset(msg, 0, sizeof(*msg));
    msg->rec.uid = uid;
    return msg;
}

void check_mailbox_dropmessages(struct check_mailbox *mbox)
{
    for (size_t i = 0; i < mbox->nmessages; i++) {
        free(mbox->messages[i].flags);
        free(mbox->messages[i].annotations);
    }
    free(mbox->messages);
    mbox->messages = NULL;
    mbox->nmessages = mbox->alloc = 0;
}

static void mailbox_fini(struct check_mailbox *mbox)
{
    check_mailbox_dropmessages(mbox);
    free(mbox->name);
    free(mbox->uniqueid);
    free(mbox->quotaroot);
    check_pairs_free(&mbox->acl);
    check_pairs_free(&mbox->metadata);
    check_pairs_free(&mbox->sync);
    free(mbox->intname);
    free(mbox->partition);
    free(mbox->history);
}

/* ---- quota ---- */

struct check_quota *check_user_quota(struct check_user *user, const char *root)
{
    for (size_t i = 0; i < user->nquotas; i++)
        if (!strcmp(user->quotas[i].root, root)) return &user->quotas[i];
    user->quotas = xreallocarray(user->quotas, user->nquotas + 1, sizeof(*user->quotas));
    struct check_quota *quota = &user->quotas[user->nquotas++];
    memset(quota, 0, sizeof(*quota));
    quota->root = xstrdup(root);
    return quota;
}

void check_quota_add(struct check_quota *quota, const char *name, uint64_t used, uint64_t limit)
{
    quota->resources = xreallocarray(quota->resources, quota->n + 1, sizeof(*quota->resources));
    quota->resources[quota->n++] = (struct check_resource){ xstrdup(name), used, limit };
}

/* Messages come in windows, one mailbox after the other. */
static struct check_part *part_of(struct check_usage *usage, const struct check_mailbox *mbox)
{
    if (!usage->nparts || usage->parts[usage->nparts - 1].name != mbox->name) {
        usage->parts = grow(usage->parts, usage->nparts, &usage->partalloc, sizeof(*usage->parts));
        usage->parts[usage->nparts++] = (struct check_part){ .name = mbox->name, .uniqueid = mbox->uniqueid };
    }
    return &usage->parts[usage->nparts - 1];
}

void check_user_count(struct check_user *user, const struct check_mailbox *mbox)
{
    if (!*mbox->quotaroot) return;
    struct check_usage *usage = &check_user_quota(user, mbox->quotaroot)->usage;
    if (!mbox->opened) usage->incomplete = true;
    struct check_part *part = part_of(usage, mbox);
    for (size_t i = 0; i < mbox->nmessages; i++) {
        const struct index_record *rec = &mbox->messages[i].rec;
        usage->copies = grow(usage->copies, (size_t)usage->messages, &usage->alloc,
                             sizeof(*usage->copies));
        usage->copies[usage->messages++] = (struct check_copy){ rec->guid, rec->size,
                                                                 mbox->messages[i].flagged_deleted };
        usage->octets += rec->size;
        part->messages++;
        part->octets += rec->size;
    }
}

static void quota_fini(struct check_quota *quota)
{
    for (size_t i = 0; i < quota->n; i++) free(quota->resources[i].name);
    free(quota->resources);
    free(quota->usage.copies);
    free(quota->usage.parts);
    free(quota->root);
}

/* ---- users ---- */

void check_user_init(struct check_user *user, const char *userid)
{
    memset(user, 0, sizeof(*user));
    user->userid = xstrdup(userid);
    strarray_init(&user->subscriptions);
}

void check_user_free(struct check_user *user)
{
    for (size_t i = 0; i < user->nmailboxes; i++) mailbox_fini(&user->mailboxes[i]);
    for (size_t i = 0; i < user->nquotas; i++) quota_fini(&user->quotas[i]);
    free(user->mailboxes);
    free_hash_table(&user->byname, NULL);
    free(user->quotas);
    strarray_fini(&user->subscriptions);
    check_pairs_free(&user->reads);
    check_pairs_free(&user->scripts);
    free(user->userid);
    memset(user, 0, sizeof(*user));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct check_mailbox *)a)->name, ((const struct check_mailbox *)b)->name);
}

static int by_root(const void *a, const void *b)
{
    return strcmp(((const struct check_quota *)a)->root, ((const struct check_quota *)b)->root);
}

void check_user_sort(struct check_user *user)
{
    if (user->nmailboxes)
        qsort(user->mailboxes, user->nmailboxes, sizeof(*user->mailboxes), by_name);
    for (size_t i = 0; i < user->nmailboxes; i++) {
        note_place(user, i);
        check_pairs_sort(&user->mailboxes[i].acl);
        check_pairs_sort(&user->mailboxes[i].metadata);
        check_pairs_sort(&user->mailboxes[i].sync);
    }
    if (user->nquotas) qsort(user->quotas, user->nquotas, sizeof(*user->quotas), by_root);
    strarray_sort(&user->subscriptions, NULL);
    check_pairs_sort(&user->reads);
    check_pairs_sort(&user->scripts);
}
