/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_many_folders -- one transaction over more mailboxes than a process may have files open
 *
 * A user with his tree is created, renamed and deleted, each in one transaction, under a small RLIMIT_NOFILE; at
 * the paths of today and at those by name, where every file moves.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "imap_err.h"
#include "ops_testutil.h"
#include "util.h"

static const struct {
    const char *conf;
    unsigned folders;
    rlim_t files;
} cases[] = {
    { "admins: admin\nallowusermoves: yes\n", 1500, 256 },
    { "admins: admin\nallowusermoves: yes\nmailbox_legacydirs: yes\n", 300, 64 },
};

static void limit_files(rlim_t n)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int count_cb(const mbentry_t *entry, void *rock)
{
    ++*(unsigned *)rock;
    return 0;
}

static unsigned count(const char *prefix)
{
    unsigned n = 0;
    ck_assert_int_eq(mboxlist_allmbox(prefix, count_cb, &n, MBOXTREE_DELETED), 0);
    return n;
}

static void create_all(unsigned folders)
{
    char name[64] = "user.alice";
    struct txn *txn = ot_begin();

    for (unsigned i = 0; i <= folders; i++) {
        struct mboxlist_createargs args = { .name = name, .isadmin = true, .userid = "admin", .auth = ot_admin };
        struct mailbox *w;
        ck_assert_int_eq(mboxlist_createmailbox(txn, &args, &w), 0);
        if (!(i % 10)) st_append_in(w, i);
        snprintf(name, sizeof(name), "user.alice.f%u", i);
    }
    ck_assert_int_eq(ot_end(txn, 0), 0);
}

START_TEST(a_large_user_moves_and_goes)
{
    unsigned all = cases[_i].folders + 1;

    st_setup(cases[_i].conf);
    limit_files(cases[_i].files);
    ot_admin = auth_newstate("admin");
    create_all(cases[_i].folders);
    ck_assert_uint_eq(count("user.alice"), all);

    ck_assert_int_eq(ot_rename_to("user.alice", "user.bob"), 0);
    ck_assert_uint_eq(count("user.bob"), all);
    ck_assert_uint_eq(count("user.alice"), 0);
    st_check("user.bob");
    st_check("user.bob.f9");

    ck_assert_int_eq(ot_delete_by("user.bob", "admin", ot_admin, MBOXLIST_DELETE_IMMEDIATE), 0);
    ck_assert_uint_eq(count("user.bob"), 0);
    ot_check_store();
    auth_freestate(&ot_admin);
    st_teardown();
}
END_TEST

Suite *many_folders_suite(void)
{
    Suite *s = suite_create("many_folders");
    TCase *tc = tcase_create("many folders");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, a_large_user_moves_and_goes, 0, (int)array_size(cases));
    suite_add_tcase(s, tc);
    return s;
}
