/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mailboxes are made and deleted, users come and go. After each test the whole store must agree with
 * itself: entries, headers, files, quota sums.
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

/* ---- what was called, in order: the linker puts these in front (cunit.am) ---- */

static struct buf trace;
static bool tracing;

static void note(const char *what, const char *name)
{
    if (tracing) buf_printf(&trace, "%s(%s) ", what, name);
}

int __real_mboxlist_update_entry(struct txn *txn, const char *name, const mbentry_t *entry);
int __wrap_mboxlist_update_entry(struct txn *txn, const char *name, const mbentry_t *entry);
int __wrap_mboxlist_update_entry(struct txn *txn, const char *name, const mbentry_t *entry)
{
    note(entry->mbtype & MBTYPE_INTERMEDIATE ? "reserve" : "update", name);
    return __real_mboxlist_update_entry(txn, name, entry);
}

int __real_conversations_open_mbox(struct mailbox *mailbox, struct conversations_state **statep);
int __wrap_conversations_open_mbox(struct mailbox *mailbox, struct conversations_state **statep);
int __wrap_conversations_open_mbox(struct mailbox *mailbox, struct conversations_state **statep)
{
    note("conversations", mailbox_name(mailbox));
    return __real_conversations_open_mbox(mailbox, statep);
}

uint32_t __real_counters_next_uidvalidity(struct txn *txn, struct user_meta *meta, uint32_t last,
                                          int *errp);
uint32_t __wrap_counters_next_uidvalidity(struct txn *txn, struct user_meta *meta, uint32_t last,
                                          int *errp);
uint32_t __wrap_counters_next_uidvalidity(struct txn *txn, struct user_meta *meta, uint32_t last,
                                          int *errp)
{
    note("counters", user_meta_userid(meta) ? user_meta_userid(meta) : "");
    return __real_counters_next_uidvalidity(txn, meta, last, errp);
}

/* ---- create ---- */

/* The contract: the name is reserved before anybody asks for the user's files. */
START_TEST(create_order)
{
    struct buf want = BUF_INITIALIZER;

    tracing = true;
    ot_must_create("user.alice");
    buf_appendcstr(
        &want, "reserve(user.alice) counters(alice) conversations(user.alice) update(user.alice) ");
    ck_assert_int_eq(strncmp(buf_cstring(&trace), buf_cstring(&want), buf_len(&want)), 0);
    buf_reset(&trace);
    ot_must_create("user.alice.Work");
    buf_setcstr(&want, "reserve(user.alice.Work) counters(alice) conversations(user.alice.Work) "
                       "update(user.alice.Work) ");
    ck_assert_int_eq(strncmp(buf_cstring(&trace), buf_cstring(&want), buf_len(&want)), 0);
    buf_free(&want);
}
END_TEST

/* However a uniqueid was used before, one user has one set of files. */
START_TEST(create_never_splits_a_user)
{
    struct mboxlist_createargs args = { .name = "user.alice",
                                        .uniqueid = "9m9u8jpstluyqdvyr34olxgq",
                                        .uidvalidity = 1795310028,
                                        .highestmodseq = 6,
                                        .createdmodseq = 1,
                                        .acl = "alice\tlrswipkxtecdan\t",
                                        .from_sync = true };
    char *legacy = test_path(st_dir, "conf/user/a/alice.conversations"), *path;

    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(ot_create_args(&args), 0);
        path = ot_user_file("alice", "conversations");
        ck_assert(test_exists(path));
        ck_assert_ptr_nonnull(strstr(path, "/uuid/9/m/9m9u8jpstluyqdvyr34olxgq/"));
        ck_assert(!test_exists(legacy));
        ot_check_store();
        /* as sync_reset: nothing of the user is left */
        ck_assert_int_eq(ot_delete_by("user.alice", "admin", ot_admin, MBOXLIST_DELETE_IMMEDIATE),
                         0);
        ck_assert(!test_exists(path));
        if (round == 1) { /* an I record that 3.6.1 left behind */
            struct txn *txn = ot_begin();
            ck_assert_int_eq(txn_lock_user(txn, "alice"), 0);
            ck_assert_int_eq(ot_end(txn, mboxlist_delete_entry(txn, "user.alice")), 0);
        }
        free(path);
    }
    free(legacy);
}
END_TEST

START_TEST(create_makes_ancestors)
{
    ot_must_create("user.alice");
    ck_assert_int_eq(ot_create_by("user.alice.a.b.c", "alice", ot_alice), 0);
    ot_assert_names("user.alice user.alice.a user.alice.a.b user.alice.a.b.c");
    mbentry_t *entry = ot_entry("user.alice.a.b.c");
    ck_assert_str_eq(entry->acl, "alice\tlrswipkxtecdan\t");
    ck_assert_str_eq(entry->partition, "default");
    ck_assert_uint_eq(strlen(entry->uniqueid), 36);
    mbentry_free(&entry);
    /* "INBOX" alone is never a mailbox on the way */
    ck_assert_int_eq(ot_create_by("user.alice.INBOX.foo", "alice", ot_alice), 0);
    ck_assert(!ot_exists("user.alice.INBOX"));
    ck_assert(ot_exists("user.alice.INBOX.foo"));
    ot_check_store();
}
END_TEST

START_TEST(create_rights)
{
    ck_assert_int_eq(ot_create_by("user.bob.pub", "admin", ot_admin), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_create_by("user.alice", "bob", ot_bob), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_create_by("shared", "bob", ot_bob), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_create_by("user.alice.x", "alice", ot_alice), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_create_by("user.alice", "alice", ot_alice), 0);
    ck_assert_int_eq(ot_create_by("user.alice", "alice", ot_alice), IMAP_MAILBOX_EXISTS);
    ck_assert_int_eq(ot_create_by("user.alice", "bob", ot_bob), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_create_by("user.alice.x", "bob", ot_bob), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "lk", "alice", ot_alice), 0);
    ck_assert_int_eq(ot_create_by("user.alice.x", "bob", ot_bob), 0);
    ck_assert_int_eq(ot_create("shared.news"), 0);
    ck_assert_int_eq(ot_create("DELETED.foo"), IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(ot_create("user.alice.a%b"), IMAP_MAILBOX_BADNAME);
    mbentry_t *entry = ot_entry("shared");
    ck_assert_str_eq(entry->acl, "anyone\tlrs\t");
    mbentry_free(&entry);
    ot_check_store();
}
END_TEST

START_TEST(create_partition)
{
    struct mboxlist_createargs args = { .name = "user.alice",
                                        .partition = "nosuch",
                                        .isadmin = true,
                                        .userid = "admin",
                                        .auth = ot_admin };
    ck_assert_int_eq(ot_create_args(&args), IMAP_PARTITION_UNKNOWN);
    args.partition = "other";
    ck_assert_int_eq(ot_create_args(&args), 0);
    ot_must_create("user.alice.sub");
    mbentry_t *entry = ot_entry("user.alice.sub");
    ck_assert_str_eq(entry->partition, "other");
    mbentry_free(&entry);
}
END_TEST

START_TEST(create_uidvalidity_rises)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.a");
    ot_must_create("user.alice.b");
    mbentry_t *a = ot_entry("user.alice.a"), *b = ot_entry("user.alice.b");
    ck_assert_uint_gt(b->uidvalidity, a->uidvalidity);
    mbentry_free(&a);
    for (int i = 0; i < 3; i++) {
        uint32_t last = b->uidvalidity;
        char *lastid = xstrdup(b->uniqueid);
        ck_assert_int_eq(ot_delete_by("user.alice.b", "alice", ot_alice, MBOXLIST_DELETE_IMMEDIATE),
                         0);
        ot_must_create("user.alice.b");
        mbentry_free(&b);
        b = ot_entry("user.alice.b");
        ck_assert_uint_gt(b->uidvalidity, last);
        ck_assert_str_ne(b->uniqueid, lastid);
        /* the old identity is forgotten, as its name has another one now */
        ck_assert_int_eq(mboxlist_lookup_by_uniqueid(lastid, NULL, true, NULL),
                         IMAP_MAILBOX_NONEXISTENT);
        free(lastid);
    }
    mbentry_free(&b);
    ot_check_store();
}
END_TEST

START_TEST(create_over_intermediate_keeps_id)
{
    ot_must_create("user.alice");
    struct txn *txn = st_begin("alice");
    mbentry_t *stub = mbentry_new("user.alice.x");
    stub->mbtype = MBTYPE_INTERMEDIATE;
    stub->uniqueid = xstrdup("abcdefgh12345678");
    stub->createdmodseq = 1;
    ck_assert_int_eq(mboxlist_update_entry(txn, stub->name, stub), 0);
    st_commit(txn);
    ck_assert(!ot_exists("user.alice.x"));
    ot_must_create("user.alice.x");
    mbentry_t *entry = ot_entry("user.alice.x");
    ck_assert_str_eq(entry->uniqueid, "abcdefgh12345678");
    ck_assert_uint_eq(entry->createdmodseq, 1);
    mbentry_free(&entry);
    mbentry_free(&stub);
    ot_check_store();
}
END_TEST

START_TEST(create_refuses_foreign_uniqueid)
{
    ot_must_create("user.alice");
    mbentry_t *entry = ot_entry("user.alice");
    ot_must_create("user.bob");
    struct mboxlist_createargs args = { .name = "user.bob.x",
                                        .uniqueid = entry->uniqueid,
                                        .from_sync = true,
                                        .uidvalidity = 77,
                                        .highestmodseq = 5 };
    ck_assert_int_eq(ot_create_args(&args), IMAP_MAILBOX_MOVED);
    ck_assert(!ot_exists("user.bob.x"));
    mbentry_free(&entry);
    ot_check_store();
}
END_TEST

START_TEST(create_folder_quota)
{
    ot_must_create("user.alice");
    ck_assert_int_eq(ot_setquota("user.alice", -1, -1, 3), 0);
    ck_assert_int_eq(ot_create_by("user.alice.a.b.c", "alice", ot_alice), IMAP_QUOTA_EXCEEDED);
    ck_assert(!ot_exists("user.alice.a"));
    ck_assert_int_eq(ot_create_by("user.alice.a.b", "alice", ot_alice), 0);
    ck_assert_int_eq(ot_create_by("user.alice.c", "alice", ot_alice), IMAP_QUOTA_EXCEEDED);
    ot_check_store();
}
END_TEST

START_TEST(create_specialuse)
{
    struct mboxlist_createargs args = {
        .name = "user.alice.S", .userid = "alice", .auth = ot_alice, .specialuse = "\\sent"
    };
    struct buf uses = BUF_INITIALIZER;

    ot_must_create("user.alice");
    ck_assert_int_eq(ot_create_args(&args), 0);
    mbentry_t *entry = ot_entry("user.alice.S");
    ck_assert_int_eq(specialuse_of(entry, NULL, &uses), 0);
    ck_assert_str_eq(buf_cstring(&uses), "\\Sent");
    struct mailbox *mailbox = st_read("user.alice.S");
    ck_assert_uint_eq(entry->foldermodseq, mailbox_index_header(mailbox)->highestmodseq);
    mailbox_close(&mailbox);
    mbentry_free(&entry);
    args.name = "user.alice.T";
    ck_assert_int_eq(ot_create_args(&args), IMAP_MAILBOX_SPECIALUSE);
    args.specialuse = "\\Flagged";
    ck_assert_int_eq(ot_create_args(&args), IMAP_ANNOTATION_BADENTRY);
    args.name = "user.alice.S.deep";
    args.specialuse = "\\Trash";
    ck_assert_int_eq(ot_create_args(&args), IMAP_MAILBOX_SPECIALUSE);
    ck_assert(!ot_exists("user.alice.S.deep"));
    /* protected against its owner, not against an admin with the right */
    ck_assert_int_eq(ot_delete_by("user.alice.S", "alice", ot_alice, MBOXLIST_DELETE_CHECKACL),
                     IMAP_MAILBOX_SPECIALUSE);
    ck_assert_int_eq(ot_rename_by("user.alice.S", "user.alice.a.S", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_SPECIALUSE);
    ck_assert_int_eq(ot_rename_by("user.alice.S", "user.alice.S2", NULL, "alice", ot_alice), 0);
    entry = ot_entry("user.alice.S2");
    ck_assert_int_eq(specialuse_of(entry, NULL, &uses), 0);
    ck_assert_str_eq(buf_cstring(&uses), "\\Sent");
    mbentry_free(&entry);
    buf_free(&uses);
    ot_check_store();
}
END_TEST

START_TEST(create_adopts_legacy_files)
{
    struct seendata sd = { 1, 2, 3, xstrdup("1:2") }, got = SEENDATA_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;

    struct txn *txn = ot_begin();
    ck_assert_int_eq(seen_write(txn, "bob", "abcdef", &sd), 0);
    ck_assert_int_eq(sub_change(txn, "bob", "user.alice.x", true), 0);
    st_commit(txn);
    ot_must_create("user.bob");
    ck_assert_int_eq(seen_read("bob", "abcdef", &got, NULL), 0);
    ck_assert_str_eq(got.seenuids, "1:2");
    ck_assert_int_eq(sub_list("bob", &names), 0);
    ck_assert_int_eq(strarray_size(&names), 1);
    char *legacy = test_path(st_dir, "conf/user/b/bob.seen");
    ck_assert(!test_exists(legacy));
    free(legacy);
    seen_freedata(&sd);
    seen_freedata(&got);
    strarray_fini(&names);
}
END_TEST

/* ---- delete ---- */

START_TEST(delete_delayed)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x");
    st_append("user.alice.x", 1);
    ck_assert_int_eq(ot_setquota("user.alice", 1000, -1, -1), 0);
    mbentry_t *before = ot_entry("user.alice.x");
    ck_assert_int_eq(ot_delete_by("user.alice.x", "alice", ot_alice, MBOXLIST_DELETE_CHECKACL), 0);
    ot_assert_names("DELETED.user.alice.x user.alice user.alice.x:ed");
    char *deleted = ot_first_deleted();
    mbentry_t *after = ot_entry(deleted), *by_id;
    ck_assert_str_eq(after->uniqueid, before->uniqueid);
    ck_assert_uint_eq(after->uidvalidity, before->uidvalidity);
    ck_assert_str_eq(after->acl, before->acl);
    ck_assert_uint_gt(after->foldermodseq, before->foldermodseq);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid(before->uniqueid, &by_id, false, NULL), 0);
    ck_assert_uint_eq(by_id->nhistory, 1);
    ck_assert_str_eq(by_id->history[0].name, "user.alice.x");
    ck_assert_uint_eq(by_id->history[0].mbtype, MBTYPE_DELETED);
    mbentry_free(&by_id);
    st_check(deleted);
    ot_check_store();
    /* and back */
    ck_assert_int_eq(ot_rename_to(deleted, "user.alice.back"), 0);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid(before->uniqueid, &by_id, false, NULL), 0);
    ck_assert_str_eq(by_id->name, "user.alice.back");
    ck_assert_uint_eq(by_id->nhistory, 2);
    mbentry_free(&by_id);
    st_check("user.alice.back");
    ot_check_store();
    free(deleted);
    mbentry_free(&before);
    mbentry_free(&after);
}
END_TEST

START_TEST(delete_twice_in_a_second)
{
    ot_must_create("user.alice");
    for (int i = 0; i < 3; i++) {
        ot_must_create("user.alice.x");
        ck_assert_int_eq(ot_delete_by("user.alice.x", "alice", ot_alice, 0), 0);
    }
    ot_assert_names("DELETED.user.alice.x DELETED.user.alice.x DELETED.user.alice.x user.alice "
                    "user.alice.x:ed");
    ot_check_store();
}
END_TEST

START_TEST(delete_checks)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x.y");
    ck_assert_int_eq(ot_delete_by("user.alice.nosuch", "alice", ot_alice, 0),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(ot_delete_by("user.alice", "alice", ot_alice, MBOXLIST_DELETE_CHECKACL),
                     IMAP_MAILBOX_NOTSUPPORTED);
    ck_assert_int_eq(ot_delete_by("user.alice.x", "alice", ot_alice, MBOXLIST_DELETE_CHECKACL),
                     IMAP_MAILBOX_HASCHILDREN);
    ck_assert_int_eq(ot_delete_by("user.alice.x.y", "bob", ot_bob, MBOXLIST_DELETE_CHECKACL),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(ot_setacl_by("user.alice.x.y", "bob", "l", "alice", ot_alice), 0);
    ck_assert_int_eq(ot_delete_by("user.alice.x.y", "bob", ot_bob, MBOXLIST_DELETE_CHECKACL),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_delete_by("user.alice.x.y", "admin", ot_admin, MBOXLIST_DELETE_CHECKACL),
                     IMAP_PERMISSION_DENIED);
    ck_assert(ot_exists("user.alice.x.y"));
    ot_check_store();
}
END_TEST

/* V4-2: the tombstone keeps what a replica must know, and no more. */
START_TEST(delete_immediate)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x");
    st_append("user.alice.x", 1);
    mbentry_t *before = ot_entry("user.alice.x");
    char *file = test_path(st_dir, "part/uuid/%c/%c/%s/1.", before->uniqueid[0],
                           before->uniqueid[1], before->uniqueid);
    ck_assert(test_exists(file));
    ck_assert_int_eq(ot_delete_by("user.alice.x", "alice", ot_alice, MBOXLIST_DELETE_IMMEDIATE), 0);
    mbentry_t *after = ot_entry("user.alice.x");
    ck_assert_uint_eq(after->mbtype, MBTYPE_DELETED);
    ck_assert_str_eq(after->uniqueid, before->uniqueid);
    ck_assert_ptr_null(after->partition);
    ck_assert_ptr_null(after->acl);
    ck_assert_uint_gt(after->foldermodseq, before->foldermodseq);
    ck_assert_int_eq(txn_checkpoint(), 0);
    ck_assert(!test_exists(file));
    ot_check_store();
    free(file);
    mbentry_free(&before);
    mbentry_free(&after);
}
END_TEST

/* Removing a DELETED mailbox leaves no I record (3.6.1 leaves it for ever). */
START_TEST(delete_deleted)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x");
    mbentry_t *before = ot_entry("user.alice.x");
    ck_assert_int_eq(ot_delete_by("user.alice.x", "alice", ot_alice, 0), 0);
    char *deleted = ot_first_deleted();
    ck_assert_int_eq(ot_delete_by(deleted, "admin", ot_admin, MBOXLIST_DELETE_FORCE), 0);
    ck_assert_int_eq(mboxlist_lookup_allow_all(deleted, NULL, NULL), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid(before->uniqueid, NULL, true, NULL),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert(!mboxlist_uniqueid_in_use(before->uniqueid, NULL));
    ot_assert_names("user.alice user.alice.x:ed");
    free(deleted);
    mbentry_free(&before);
    ot_check_store();
}
END_TEST

static void delete_whole_user(unsigned flags)
{
    struct user_meta *meta;

    ot_must_create("user.alice");
    ot_must_create("user.alice.x.y");
    st_append("user.alice", 1);
    st_append("user.alice.x", 2);
    ck_assert_int_eq(ot_setquota("user.alice", 1000, -1, -1), 0);
    ck_assert_int_eq(ot_setquota("user.alice.x", 1000, -1, -1), 0);
    struct txn *txn = ot_begin();
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.x", true), 0);
    st_commit(txn);
    char *sub = ot_user_file("alice", "sub"), *conv = ot_user_file("alice", "conversations"),
         *counters = ot_user_file("alice", "counters"), *history = ot_user_file("alice", "subhistory");
    ck_assert(test_exists(history) && test_exists(sub) && test_exists(conv) && test_exists(counters));
    ck_assert_int_eq(ot_delete_by("user.alice", "admin", ot_admin, flags), 0);
    ck_assert(!test_exists(history) && !test_exists(sub) && !test_exists(conv) && !test_exists(counters));
    ck_assert_int_eq(txn_checkpoint(), 0);
    *strrchr(sub, '/') = '\0';
    ck_assert(!test_exists(sub));
    struct quota q;
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), IMAP_QUOTAROOT_NONEXISTENT);
    quota_free(&q);
    ck_assert_int_eq(quota_read("user.alice.x", NULL, &q), IMAP_QUOTAROOT_NONEXISTENT);
    quota_free(&q);
    if (flags & MBOXLIST_DELETE_IMMEDIATE) {
        ot_assert_names("user.alice:ed user.alice.x:ed user.alice.x.y:ed");
    }
    else {
        ot_assert_names("DELETED.user.alice DELETED.user.alice.x DELETED.user.alice.x.y "
                        "user.alice:ed user.alice.x:ed user.alice.x.y:ed");
        /* the deleted INBOX still leads to the files of its user, to nobody else's */
        ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), 0);
        user_meta_free(&meta);
    }
    ot_check_store();
    /* a new user of that name is another one */
    ot_must_create("user.alice");
    char *newsub = ot_user_file("alice", "sub");
    ck_assert_str_ne(newsub, conv);
    ot_check_store();
    free(newsub);
    free(sub);
    free(history);
    free(conv);
    free(counters);
}

START_TEST(delete_user_delayed)
{
    delete_whole_user(0);
}
END_TEST

START_TEST(delete_user_immediate)
{
    delete_whole_user(MBOXLIST_DELETE_IMMEDIATE);
}
END_TEST

/* ---- autocreate ---- */

START_TEST(autocreate)
{
    struct namespace ns;
    struct buf uses = BUF_INITIALIZER;
    strarray_t subs = STRARRAY_INITIALIZER;
    struct quota q;

    ot_teardown();
    st_setup("admins: admin\nautocreate_quota: 500\nautocreate_quota_messages: 0\n"
             "autocreate_inbox_folders: Sent | "
             "Drafts|Spam.old|bad/name\nautocreate_subscribe_folders: Sent\n"
             "xlist-sent: Sent\nxlist-trash: Spam.old\n"
             "autocreate_acl: Sent anyone lr\nautocreate_acl: Drafts bob lrs\nautocreate_acl: "
             "Drafts bob zz\n");
    ot_alice = auth_newstate("alice");
    ot_bob = auth_newstate("bob");
    ot_admin = auth_newstate("admin");
    mboxname_init_namespace(&ns, false);
    ck_assert_int_eq(autocreate_user("admin", &ns), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(autocreate_user("anonymous", &ns), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(autocreate_user("alice", &ns), 0);
    ot_assert_names(
        "user.alice user.alice.Drafts user.alice.Sent user.alice.Spam user.alice.Spam.old");
    mbentry_t *entry = ot_entry("user.alice.Sent");
    ck_assert_int_eq(specialuse_of(entry, NULL, &uses), 0);
    ck_assert_str_eq(buf_cstring(&uses), "\\Sent");
    mbentry_free(&entry);
    ot_assert_acl("user.alice.Sent", "alice\tlrswipkxtecdan\tanyone\tlr\t");
    ot_assert_acl("user.alice.Drafts", "alice\tlrswipkxtecdan\tbob\tlrs\t");
    ck_assert_int_eq(sub_list("alice", &subs), 0);
    char *joined = strarray_join(&subs, " ");
    ck_assert_str_eq(joined, "user.alice user.alice.Sent");
    free(joined);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], 500);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], -1);
    quota_free(&q);
    ot_check_store();
    strarray_fini(&subs);
    buf_free(&uses);
}
END_TEST

Suite *mboxlist_ops_suite(void);
Suite *mboxlist_ops_suite(void)
{
    const TTest *const tests[] = {
        create_order,
        create_never_splits_a_user,
        create_makes_ancestors,
        create_rights,
        create_partition,
        create_uidvalidity_rises,
        create_over_intermediate_keeps_id,
        create_refuses_foreign_uniqueid,
        create_folder_quota,
        create_specialuse,
        create_adopts_legacy_files,
        delete_delayed,
        delete_twice_in_a_second,
        delete_checks,
        delete_immediate,
        delete_deleted,
        delete_user_delayed,
        delete_user_immediate,
        autocreate,
    };
    Suite *s = suite_create("mboxlist_ops");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, ot_setup, ot_teardown);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
