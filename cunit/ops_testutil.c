/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ops_testutil -- operations on mailboxes, each in a transaction of its own, and what must hold
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "conversations.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxlist_specialuse.h"
#include "quota.h"
#include "ops_testutil.h"
#include "user.h"
#include "xmalloc.h"

struct auth_state *ot_alice, *ot_bob, *ot_admin;

void ot_setup(void)
{
    st_setup("admins: admin\nallowusermoves: yes\nreverseacls: no\nquota_db: twoskip\n");
    ot_alice = auth_newstate("alice");
    ot_bob = auth_newstate("bob");
    ot_admin = auth_newstate("admin");
}

void ot_teardown(void)
{
    auth_freestate(&ot_alice);
    auth_freestate(&ot_bob);
    auth_freestate(&ot_admin);
    st_teardown();
}

struct txn *ot_begin(void)
{
    struct txn *txn;
    ck_assert_int_eq(txn_begin(&txn), 0);
    return txn;
}

int ot_end(struct txn *txn, int r)
{
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

int ot_create_args(const struct mboxlist_createargs *args)
{
    struct txn *txn = ot_begin();
    return ot_end(txn, mboxlist_createmailbox(txn, args, NULL));
}

int ot_create_by(const char *name, const char *userid, const struct auth_state *auth)
{
    struct mboxlist_createargs args = {
        .name = name, .isadmin = !strcmp(userid, "admin"), .userid = userid, .auth = auth
    };
    return ot_create_args(&args);
}

int ot_create(const char *name)
{
    return ot_create_by(name, "admin", ot_admin);
}

void ot_must_create(const char *name)
{
    ck_assert_int_eq(ot_create(name), 0);
}

int ot_delete_by(const char *name, const char *userid, const struct auth_state *auth,
                 unsigned flags)
{
    struct txn *txn = ot_begin();
    return ot_end(txn,
                  mboxlist_deletemailbox(txn, name, !strcmp(userid, "admin"), userid, auth, flags));
}

int ot_rename_by(const char *from, const char *to, const char *partition, const char *userid,
                 const struct auth_state *auth)
{
    struct txn *txn = ot_begin();
    return ot_end(txn, mboxlist_renametree(txn, from, to, partition, !strcmp(userid, "admin"),
                                           userid, auth, 0, NULL, NULL));
}

int ot_rename_to(const char *from, const char *to)
{
    return ot_rename_by(from, to, NULL, "admin", ot_admin);
}

int ot_setacl_by(const char *name, const char *id, const char *rights, const char *userid,
                 const struct auth_state *auth)
{
    struct txn *txn = ot_begin();
    return ot_end(txn,
                  mboxlist_setacl(txn, name, id, rights, !strcmp(userid, "admin"), userid, auth));
}

int ot_setquota(const char *root, int64_t storage, int64_t messages, int64_t folders)
{
    int64_t limits[QUOTA_NUMRESOURCES] = { storage, messages, -1, folders };
    struct txn *txn = ot_begin();
    return ot_end(txn, mboxlist_setquotas(txn, root, limits, 0, false));
}

mbentry_t *ot_entry(const char *name)
{
    mbentry_t *entry;
    ck_assert_int_eq(mboxlist_lookup_allow_all(name, &entry, NULL), 0);
    return entry;
}

int ot_exists(const char *name)
{
    return mboxlist_lookup(name, NULL, NULL) == 0;
}

static int list_cb(const mbentry_t *entry, void *rock)
{
    char type[MBTYPE_STRING_MAX];
    struct buf *out = rock;
    const char *hex = strrchr(entry->name, '.');
    int len = mboxname_isdeletedmailbox(entry->name, NULL) ? (int)(hex - entry->name)
                                                           : (int)strlen(entry->name);

    if (buf_len(out)) buf_putc(out, ' ');
    buf_printf(out, "%.*s", len, entry->name);
    mbtype_to_string(entry->mbtype, type);
    if (strcmp(type, "e")) buf_printf(out, ":%s", type);
    return 0;
}

/* All names in database order, hex times cut off, unusual types behind a colon. */
void ot_assert_names(const char *want)
{
    struct buf got = BUF_INITIALIZER;

    mboxlist_allmbox(NULL, list_cb, &got,
                     MBOXTREE_TOMBSTONES | MBOXTREE_INTERMEDIATES | MBOXTREE_DELETED);
    ck_assert_str_eq(buf_cstring(&got), want);
    buf_free(&got);
}

static int first_deleted_cb(const mbentry_t *entry, void *rock)
{
    if (!mboxname_isdeletedmailbox(entry->name, NULL)) return 0;
    *(char **)rock = xstrdup(entry->name);
    return 1;
}

char *ot_first_deleted(void)
{
    char *name = NULL;
    mboxlist_allmbox(NULL, first_deleted_cb, &name, MBOXTREE_DELETED);
    ck_assert_ptr_nonnull(name);
    return name;
}

/* ---- consistency of the whole store ---- */

struct sums {
    const char *root;
    int64_t used[QUOTA_NUMRESOURCES];
};

static int check_entry(const mbentry_t *entry, void *rock)
{
    struct mailbox *mailbox = st_read(entry->name);
    mbentry_t *by_id;

    ck_assert_str_eq(mailbox_uniqueid(mailbox), entry->uniqueid);
    ck_assert_str_eq(mailbox_acl(mailbox), entry->acl);
    ck_assert_uint_eq(mailbox_index_header(mailbox)->uidvalidity, entry->uidvalidity);
    ck_assert_uint_ge(mailbox_index_header(mailbox)->highestmodseq, entry->createdmodseq);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid(entry->uniqueid, &by_id, false, NULL), 0);
    ck_assert_str_eq(by_id->name, entry->name);
    mbentry_free(&by_id);

    char *root = NULL;
    ck_assert_int_eq(quota_findroot(entry->name, NULL, &root), 0);
    ck_assert_int_eq(strcmpnull(root, mailbox_quotaroot(mailbox)), 0);
    free(root);
    mailbox_close(&mailbox);
    return 0;
}

static int sum_cb(const mbentry_t *entry, void *rock)
{
    struct sums *sums = rock;
    struct mailbox *mailbox = st_read(entry->name);
    const struct index_header *hdr = mailbox_index_header(mailbox);

    if (!strcmpnull(mailbox_quotaroot(mailbox), sums->root)) {
        sums->used[QUOTA_STORAGE] += (int64_t)hdr->quota_mailbox_used;
        sums->used[QUOTA_MESSAGE] += hdr->exists;
        sums->used[QUOTA_ANNOTSTORAGE] += (int64_t)hdr->quota_annot_used;
        sums->used[QUOTA_NUMFOLDERS]++;
    }
    mailbox_close(&mailbox);
    return 0;
}

static int check_root(const struct quota *q, void *rock)
{
    struct sums sums = { .root = q->root };

    mboxlist_allmbox(NULL, sum_cb, &sums, 0);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++)
        ck_assert_msg(q->useds[res] == sums.used[res], "%s %s: record %lld, sum %lld", q->root,
                      quota_names[res], (long long)q->useds[res], (long long)sums.used[res]);
    return 0;
}

void ot_check_store(void)
{
    mboxlist_allmbox(NULL, check_entry, NULL, MBOXTREE_DELETED);
    quota_foreach(NULL, check_root, NULL);
}

char *ot_user_file(const char *userid, const char *suffix)
{
    struct user_meta *meta;

    ck_assert_int_eq(user_meta_lookup(userid, NULL, &meta), 0);
    char *path = xstrdup(user_meta_path(meta, suffix));
    user_meta_free(&meta);
    return path;
}

void ot_assert_acl(const char *name, const char *want)
{
    mbentry_t *entry = ot_entry(name);
    ck_assert_str_eq(entry->acl, want);
    mbentry_free(&entry);
}
