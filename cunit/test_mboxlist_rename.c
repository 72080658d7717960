/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mailboxes get other names, partitions, rights and quota roots; users other names.
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

/* ---- rename ---- */

START_TEST(rename_tree)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.foo.bar.baz");
    st_append("user.alice.foo.bar", 1);
    st_append("user.alice.foo.bar", 2);
    ck_assert_int_eq(
        ot_rename_by("user.alice.foo", "user.alice.new.place", NULL, "alice", ot_alice), 0);
    ot_assert_names("user.alice user.alice.foo:ed user.alice.foo.bar:ed user.alice.foo.bar.baz:ed "
                    "user.alice.new "
                    "user.alice.new.place user.alice.new.place.bar user.alice.new.place.bar.baz");
    struct mailbox *mailbox = st_read("user.alice.new.place.bar");
    ck_assert_uint_eq(mailbox_index_header(mailbox)->exists, 2);
    mailbox_close(&mailbox);
    st_check("user.alice.new.place.bar");
    ot_check_store();
    ck_assert_int_eq(mboxlist_lookup("user.alice.foo", NULL, NULL), IMAP_MAILBOX_NONEXISTENT);
}
END_TEST

START_TEST(rename_checks)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.a.b");
    ot_must_create("user.alice.c");
    ot_must_create("user.bob");
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.alice.c", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_EXISTS);
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.alice", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_EXISTS);
    ck_assert_int_eq(ot_rename_by("user.alice.no", "user.alice.d", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.bob.a", NULL, "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.alice.a", NULL, "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.alice.%", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(ot_rename_by("user.alice", "user.bob", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_NOTSUPPORTED);
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.bob.a", NULL, "bob", ot_bob),
                     IMAP_MAILBOX_NONEXISTENT);
    /* a child whose name would be too long */
    struct buf name = BUF_INITIALIZER;
    buf_setcstr(&name, "user.alice.");
    buf_appendfill(&name, 'x', MAX_MAILBOX_NAME - strlen("user.alice."));
    ck_assert_int_eq(ot_rename_by("user.alice.a", buf_cstring(&name), NULL, "alice", ot_alice),
                     IMAP_MAILBOX_BADNAME);
    buf_free(&name);
    ot_assert_names("user.alice user.alice.a user.alice.a.b user.alice.c user.bob");
    ot_check_store();
}
END_TEST

START_TEST(rename_into_own_subtree)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.a.b");
    ck_assert_int_eq(ot_rename_by("user.alice.a", "user.alice.a.c", NULL, "alice", ot_alice), 0);
    ck_assert(ot_exists("user.alice.a.b"));
    ck_assert(ot_exists("user.alice.a.c"));
    ck_assert_msg(ot_exists("user.alice.a"), "no parent was made at the old name");
    ot_check_store();
    ot_must_create("user.alice.q.r");
    ck_assert_int_eq(ot_rename_by("user.alice.q.r", "user.alice.q.r.s.t", NULL, "alice", ot_alice), 0);
    ot_assert_names("user.alice user.alice.a user.alice.a.b user.alice.a.c user.alice.q user.alice.q.r "
                    "user.alice.q.r.s user.alice.q.r.s.t");
    ot_check_store();
}
END_TEST

static void rename_inbox(unsigned messages)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.sub");
    for (unsigned i = 0; i < messages; i++) st_append("user.alice", i);
    mbentry_t *before = ot_entry("user.alice");
    ck_assert_int_eq(ot_rename_by("user.alice", "user.alice.archive", NULL, "alice", ot_alice), 0);
    mbentry_t *after = ot_entry("user.alice");
    ck_assert_str_eq(before->uniqueid, after->uniqueid);
    struct mailbox *mailbox = st_read("user.alice");
    ck_assert_uint_eq(mailbox_index_header(mailbox)->exists, 0);
    ck_assert_uint_eq(mailbox_index_header(mailbox)->last_uid, messages);
    mailbox_close(&mailbox);
    mailbox = st_read("user.alice.archive");
    ck_assert_uint_eq(mailbox_index_header(mailbox)->exists, messages);
    mailbox_close(&mailbox);
    ck_assert(ot_exists("user.alice.sub"));
    ck_assert_int_eq(ot_rename_by("user.alice", "user.alice.archive", NULL, "alice", ot_alice),
                     IMAP_MAILBOX_EXISTS);
    st_check("user.alice");
    st_check("user.alice.archive");
    ot_check_store();
    mbentry_free(&before);
    mbentry_free(&after);
}

START_TEST(rename_inbox_full)
{
    rename_inbox(3);
}
END_TEST

START_TEST(rename_inbox_empty)
{
    rename_inbox(0);
}
END_TEST

/* A new root comes to be: quota follows into and out of child roots. */
START_TEST(rename_moves_quota)
{
    struct quota q;

    ot_must_create("user.alice");
    ot_must_create("user.alice.q.x");
    st_append("user.alice.q.x", 1);
    ck_assert_int_eq(ot_setquota("user.alice", 1000, -1, -1), 0);
    ot_check_store();
    ck_assert_int_eq(ot_setquota("user.alice.q", 500, -1, -1), 0);
    ot_check_store();
    ck_assert_int_eq(quota_read("user.alice.q", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 1);
    ck_assert_int_eq(q.useds[QUOTA_NUMFOLDERS], 2);
    quota_free(&q);
    /* out of the child root: 3.6.1 keeps counting it there */
    ck_assert_int_eq(ot_rename_by("user.alice.q.x", "user.alice.qx", NULL, "alice", ot_alice), 0);
    ck_assert_int_eq(quota_read("user.alice.q", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 0);
    quota_free(&q);
    ot_check_store();
    ck_assert_int_eq(ot_rename_by("user.alice.qx", "user.alice.q.x", NULL, "alice", ot_alice), 0);
    ot_check_store();
    struct txn *txn = ot_begin();
    ck_assert_int_eq(ot_end(txn, mboxlist_unsetquota(txn, "user.alice.q")), 0);
    ot_check_store();
    ck_assert_int_eq(ot_delete_by("user.alice.q.x", "alice", ot_alice, 0), 0);
    ot_check_store();
}
END_TEST

START_TEST(rename_partition)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x.y");
    st_append("user.alice.x", 1);
    st_append("user.alice.x.y", 2);
    ck_assert_int_eq(ot_rename_by("user.alice.x", "user.alice.x", "other", "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_rename_by("user.alice.x", "user.alice.x", "nosuch", "admin", ot_admin),
                     IMAP_PARTITION_UNKNOWN);
    ck_assert_int_eq(ot_rename_by("user.alice.x", "user.alice.x", "default", "admin", ot_admin),
                     IMAP_MAILBOX_EXISTS);
    mbentry_t *before = ot_entry("user.alice.x.y");
    ck_assert_int_eq(ot_rename_by("user.alice.x", "user.alice.x", "other", "admin", ot_admin), 0);
    mbentry_t *after = ot_entry("user.alice.x.y");
    ck_assert_str_eq(after->partition, "other");
    ck_assert_str_eq(after->uniqueid, before->uniqueid);
    ck_assert_uint_eq(after->uidvalidity, before->uidvalidity);
    char *old = test_path(st_dir, "part/uuid/%c/%c/%s/cyrus.index", after->uniqueid[0],
                          after->uniqueid[1], after->uniqueid);
    ck_assert_int_eq(txn_checkpoint(), 0);
    ck_assert(!test_exists(old));
    free(old);
    mbentry_free(&before);
    mbentry_free(&after);
    st_check("user.alice.x");
    st_check("user.alice.x.y");
    ot_check_store();
}
END_TEST

/* Removed for good, but still there until a checkpoint. */
static void wipe(const char *name, uint32_t recno)
{
    struct txn *txn = ot_begin();
    struct mailbox *mailbox = st_write(txn, name);
    struct index_record rec;

    ck_assert_int_eq(mailbox_read_record(mailbox, recno, &rec), 0);
    rec.internal_flags |= FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED;
    ck_assert_int_eq(mailbox_rewrite_record(mailbox, &rec, 0), 0);
    ck_assert_int_eq(ot_end(txn, 0), 0);
}

/* What is only to go at the next checkpoint does not come along; what nobody knows does. */
START_TEST(removed_files_do_not_move)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x");
    for (unsigned n = 1; n <= 3; n++) st_append("user.alice.x", n);
    mbentry_t *entry = ot_entry("user.alice.x");
    const char *id = entry->uniqueid;
    char *dir = test_path(st_dir, "part/uuid/%c/%c/%s", id[0], id[1], id),
         *moved = test_path(st_dir, "part2/uuid/%c/%c/%s", id[0], id[1], id);
    char *unknown = test_path(dir, "77."), *gone = test_path(dir, "2.");
    test_writefile(unknown, "x", 1);
    wipe("user.alice.x", 2);
    ck_assert(test_exists(gone));
    ck_assert_int_eq(ot_rename_by("user.alice.x", "user.alice.x", "other", "admin", ot_admin), 0);
    ck_assert_int_eq(txn_checkpoint(), 0);
    ck_assert(!test_exists(gone));
    free(gone);
    gone = test_path(moved, "2.");
    ck_assert(!test_exists(gone));
    free(unknown);
    unknown = test_path(moved, "77.");
    ck_assert(test_exists(unknown));
    st_check("user.alice.x");
    free(unknown);
    free(gone);
    free(dir);
    free(moved);
    mbentry_free(&entry);
}
END_TEST

START_TEST(rename_whole_user)
{
    struct user_meta *meta;
    strarray_t names = STRARRAY_INITIALIZER;
    struct quota q;

    ot_must_create("user.dave");
    ot_must_create("user.dave.x.y");
    st_append("user.dave", 1);
    st_append("user.dave.x", 2);
    ck_assert_int_eq(ot_setquota("user.dave", 1000, 10, -1), 0);
    ck_assert_int_eq(ot_setquota("user.dave.x", 500, -1, -1), 0);
    struct txn *txn = ot_begin();
    ck_assert_int_eq(sub_change(txn, "dave", "user.dave.x", true), 0);
    st_commit(txn);
    char *conv = ot_user_file("dave", "conversations");
    ck_assert_int_eq(ot_rename_to("user.dave", "user.davenew"), 0);
    char *now = ot_user_file("davenew", "conversations");
    ck_assert_str_eq(conv, now);
    ck_assert(test_exists(now));
    /* the old name is nobody's: no way to the files of the new one */
    ck_assert_int_eq(user_meta_lookup("dave", NULL, &meta), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(sub_list("davenew", &names), 0);
    ck_assert_int_eq(strarray_size(&names), 1);
    ck_assert_str_eq(strarray_nth(&names, 0), "user.davenew.x");
    mbentry_t *entry = ot_entry("user.davenew.x");
    ck_assert_str_eq(entry->acl, "davenew\tlrswipkxtecdan\t");
    mbentry_free(&entry);
    ck_assert_int_eq(quota_read("user.davenew", NULL, &q), 0);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], 10);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 1);
    quota_free(&q);
    ck_assert_int_eq(quota_read("user.davenew.x", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 1);
    quota_free(&q);
    ck_assert_int_eq(quota_read("user.dave", NULL, &q), IMAP_QUOTAROOT_NONEXISTENT);
    quota_free(&q);
    st_check("user.davenew");
    st_check("user.davenew.x");
    ot_check_store();
    strarray_fini(&names);
    free(conv);
    free(now);
}
END_TEST

/* ---- ACLs ---- */

START_TEST(acls)
{
    ot_must_create("user.alice");
    mbentry_t *before = ot_entry("user.alice");
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "lr", "alice", ot_alice), 0);
    ot_assert_acl("user.alice", "alice\tlrswipkxtecdan\tbob\tlr\t");
    mbentry_t *after = ot_entry("user.alice");
    ck_assert_uint_gt(after->foldermodseq, before->foldermodseq);
    mbentry_free(&before);
    mbentry_free(&after);
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "+s", "alice", ot_alice), 0);
    ot_assert_acl("user.alice", "alice\tlrswipkxtecdan\tbob\tlrs\t");
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "-r", "alice", ot_alice), 0);
    ot_assert_acl("user.alice", "alice\tlrswipkxtecdan\tbob\tls\t");
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "z", "alice", ot_alice),
                     IMAP_INVALID_RIGHTS);
    ck_assert_int_eq(ot_setacl_by("user.alice", "", "l", "alice", ot_alice),
                     IMAP_INVALID_IDENTIFIER);
    /* rights of the owner: 'a' stays, the implicit ones come back */
    ck_assert_int_eq(ot_setacl_by("user.alice", "alice", "lr", "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_setacl_by("user.alice", "alice", "-a", "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_setacl_by("user.alice", "alice", NULL, "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_setacl_by("user.alice", "-alice", "a", "alice", ot_alice),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_setacl_by("user.alice", "alice", "lra", "alice", ot_alice), 0);
    ot_assert_acl("user.alice", "alice\tlrkxcan\tbob\tls\t");
    ck_assert_int_eq(ot_setacl_by("user.alice", "alice", "", "admin", ot_admin), 0);
    ot_assert_acl("user.alice", "alice\tlkxcan\tbob\tls\t");
    /* who may */
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "lra", "bob", ot_bob),
                     IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", NULL, "alice", ot_alice), 0);
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", "lra", "bob", ot_bob),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(ot_setacl_by("user.alice", "bob", NULL, "alice", ot_alice), 0);
    ot_check_store();
}
END_TEST

START_TEST(acl_from_replication)
{
    ot_must_create("user.alice");
    struct txn *txn = ot_begin();
    ck_assert_int_eq(ot_end(txn, mboxlist_sync_setacls(txn, "user.alice", "bob\tlr\t", 4711)), 0);
    mbentry_t *entry = ot_entry("user.alice");
    ck_assert_uint_eq(entry->foldermodseq, 4711);
    ck_assert_str_eq(entry->acl, "bob\tlr\t");
    mbentry_free(&entry);
    ot_check_store();
    struct counters c;
    struct user_meta *meta;
    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), 0);
    ck_assert_int_eq(counters_read(meta, NULL, &c), 0);
    ck_assert_uint_eq(c.modseq[CTR_HIGHEST], 4711);
    ck_assert_uint_eq(c.modseq[CTR_MAILFOLDERS], 4711);
    user_meta_free(&meta);
}
END_TEST

/* ---- quota ---- */

START_TEST(quota_limits)
{
    struct quota q;

    ck_assert_int_eq(ot_setquota("user.alice", 1, -1, -1), IMAP_MAILBOX_NONEXISTENT);
    ot_must_create("user.alice");
    st_append("user.alice", 1);
    ck_assert_int_eq(ot_setquota("user.alice", 1000, 100, -1), 0);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 1);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], 1000);
    uint64_t modseq = q.modseq;
    ck_assert_uint_gt(modseq, 0);
    quota_free(&q);
    ck_assert_int_eq(ot_setquota("user.alice", -1, 5, -1), 0);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], -1);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], 5);
    ck_assert_uint_gt(q.modseq, modseq);
    quota_free(&q);
    ot_must_create("shared.a");
    ot_must_create("shared.b");
    ck_assert_int_eq(ot_setquota("shared", 10, -1, 5), 0);
    ck_assert_int_eq(quota_read("shared", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_NUMFOLDERS], 3);
    ck_assert_uint_eq(q.modseq, 0);
    quota_free(&q);
    ot_check_store();
}
END_TEST

/* Whatever is done in whatever order, the sums are those of the mailboxes. */
START_TEST(quota_never_drifts)
{
    static const char *const names[] = { "user.alice.a",   "user.alice.a.b",  "user.alice.a.b.c",
                                         "user.alice.q",   "user.alice.q.a",  "user.alice.q.b",
                                         "user.alice.q.r", "user.alice.q.r.s" };
    unsigned seed = (unsigned)_i * 2654435761u + 1;

    ot_must_create("user.alice");
    ck_assert_int_eq(ot_setquota("user.alice", 100000, -1, -1), 0);
    for (unsigned step = 0; step < 60; step++) {
        seed = seed * 1103515245u + 12345u;
        const char *a = names[(seed >> 8) % array_size(names)],
                   *b = names[(seed >> 16) % array_size(names)];
        switch ((seed >> 24) % 8) {
        case 0:
        case 1: ot_create_by(a, "alice", ot_alice); break;
        case 2: ot_delete_by(a, "alice", ot_alice, seed & 1 ? MBOXLIST_DELETE_IMMEDIATE : 0); break;
        case 3:
        case 4: ot_rename_by(a, b, NULL, "alice", ot_alice); break;
        case 5:
            if (ot_exists(a)) st_append(a, step);
            break;
        case 6: ot_setquota(a, 1000, -1, -1); break;
        default: {
            struct txn *txn = ot_begin();
            ot_end(txn, mboxlist_unsetquota(txn, a));
        }
        }
        ot_check_store();
    }
}
END_TEST

/* ---- crash: a transaction that is not committed has never been ---- */

START_TEST(abort_leaves_nothing)
{
    ot_must_create("user.alice");
    ot_must_create("user.alice.x.y");
    st_append("user.alice.x", 1);
    ck_assert_int_eq(ot_setquota("user.alice", 1000, -1, -1), 0);
    struct txn *txn = ot_begin();
    struct mboxlist_createargs args = { .name = "user.alice.n.m",
                                        .userid = "alice",
                                        .auth = ot_alice };
    ck_assert_int_eq(mboxlist_createmailbox(txn, &args, NULL), 0);
    ck_assert_int_eq(mboxlist_renametree(txn, "user.alice.x", "user.alice.z", NULL, false, "alice",
                                         ot_alice, 0, NULL, NULL),
                     0);
    ck_assert_int_eq(mboxlist_lookup("user.alice.n", NULL, txn), 0);
    ck_assert_int_eq(mboxlist_lookup("user.alice.n", NULL, NULL), IMAP_MAILBOX_NONEXISTENT);
    txn_abort(&txn);
    ot_assert_names("user.alice user.alice.x user.alice.x.y");
    ot_check_store();
}
END_TEST

Suite *mboxlist_rename_suite(void);
Suite *mboxlist_rename_suite(void)
{
    const TTest *const tests[] = {
        rename_tree,          rename_checks,      rename_into_own_subtree,
        rename_inbox_full,    rename_inbox_empty, rename_moves_quota,
        rename_partition,     rename_whole_user,  acls,
        removed_files_do_not_move,
        acl_from_replication, quota_limits,       abort_leaves_nothing,
    };
    Suite *s = suite_create("mboxlist_rename");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, ot_setup, ot_teardown);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, quota_never_drifts, 0, 6);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
