/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_store_races -- two processes do at one moment what only one can do, or what gets in each other's way
 *
 * Both processes are made, wait at a gate, and start together; where the place of the conflict is known, the gate
 * is exactly there. Whoever comes second gets a clear error, and the store is in order whoever it was.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "append.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "ops_testutil.h"
#include "race_testutil.h"
#include "util.h"
#include "xmalloc.h"

#define ROUNDS 10
#define UNIQUEID "5b2e4f30-0000-4000-8000-000000000001"

/* ---- one uniqueid for two mailboxes ---- */

/* The gate is behind all looks at the uniqueid and before the commit. */
static int create_with_id(struct race_gate *gate, const char *name)
{
    struct mboxlist_createargs args = {
        .name = name, .uniqueid = UNIQUEID, .isadmin = true, .userid = "admin", .auth = ot_admin
    };
    struct txn *txn = ot_begin();

    int r = mboxlist_createmailbox(txn, &args, NULL);
    race_pass(gate);
    return ot_end(txn, r);
}

static int create_for_alice(struct race_gate *gate, unsigned round)
{
    return create_with_id(gate, "user.alice.one");
}

static int create_for_bob(struct race_gate *gate, unsigned round)
{
    return create_with_id(gate, "user.bob.two");
}

START_TEST(one_uniqueid_for_two_users)
{
    mbentry_t *entry;
    int a, b;

    ot_must_create("user.alice");
    ot_must_create("user.bob");
    race_run(create_for_alice, create_for_bob, 0, &a, &b);
    ck_assert_int_ne(!a, !b);
    ck_assert_int_eq(a ? a : b, race_exit_code(IMAP_MAILBOX_MOVED));
    ck_assert_int_eq(ot_exists("user.alice.one"), !a);
    ck_assert_int_eq(ot_exists("user.bob.two"), !b);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid(UNIQUEID, &entry, false, NULL), 0);
    ck_assert_str_eq(entry->name, a ? "user.bob.two" : "user.alice.one");
    mbentry_free(&entry);
    ot_check_store();
    /* The loser can have the name with another identity, and nothing of the try is in the way. */
    ot_must_create(a ? "user.alice.one" : "user.bob.two");
    ot_check_store();
}
END_TEST

/* ---- names ---- */

static int create_same(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return ot_create("user.alice.same");
}

START_TEST(one_name_for_two)
{
    int a, b;

    ot_must_create("user.alice");
    for (unsigned i = 0; i < ROUNDS; i++) {
        race_run(create_same, create_same, i, &a, &b);
        ck_assert_int_ne(!a, !b);
        ck_assert_int_eq(a ? a : b, race_exit_code(IMAP_MAILBOX_EXISTS));
        ot_check_store();
        ck_assert_int_eq(ot_delete_by("user.alice.same", "admin", ot_admin, 0), 0);
    }
}
END_TEST

static int create_child(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return ot_create("user.alice.box.child");
}

static int rename_parent(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return ot_rename_to(round % 2 ? "user.alice.new" : "user.alice.box",
                        round % 2 ? "user.alice.box" : "user.alice.new");
}

/* Before the rename the child moves with it; behind it, it is made where its parent was. */
START_TEST(create_below_a_parent_that_moves)
{
    int a, b;

    ot_must_create("user.alice");
    for (unsigned i = 0; i < ROUNDS; i++) {
        ot_must_create("user.alice.box");
        race_run(create_child, rename_parent, 0, &a, &b);
        ck_assert_int_eq(a, 0);
        ck_assert_int_eq(b, 0);
        ck_assert_int_eq(ot_exists("user.alice.new"), 1);
        ck_assert_int_ne(ot_exists("user.alice.box.child"), ot_exists("user.alice.new.child"));
        ot_check_store();
        for (int n = 0; n < 2; n++) {
            static const char *const names[][2] = { { "user.alice.new.child", "user.alice.box.child" },
                                                    { "user.alice.new", "user.alice.box" } };
            for (int k = 0; k < 2; k++) {
                if (ot_exists(names[n][k])) ot_delete_by(names[n][k], "admin", ot_admin, 0);
            }
        }
    }
}
END_TEST

/* ---- deliveries ---- */

static int deliver_to(const char *name)
{
    struct mailbox *w;
    struct txn *txn = ot_begin();

    int r = mailbox_open_iwl(txn, name, &w);
    if (!r) st_append_in(w, 1);
    return ot_end(txn, r);
}

static int deliver(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return deliver_to("user.alice.box");
}

static int delete_box(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return ot_delete_by("user.alice.box", "admin", ot_admin, round % 2 ? 0 : MBOXLIST_DELETE_IMMEDIATE);
}

static uint32_t exists_in(const char *name)
{
    struct mailbox *m = st_read(name);
    uint32_t n = mailbox_index_header(m)->exists;
    mailbox_close(&m);
    return n;
}

START_TEST(delivery_while_the_mailbox_is_deleted)
{
    int a, b;

    ot_must_create("user.alice");
    ck_assert_int_eq(ot_setquota("user.alice", 1000000, -1, -1), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        ot_must_create("user.alice.box");
        race_run(deliver, delete_box, i, &a, &b);
        RACE_ASSERT_ONE_OF(a, 0, IMAP_MAILBOX_NONEXISTENT);
        ck_assert_int_eq(b, 0);
        ck_assert_int_eq(ot_exists("user.alice.box"), 0);
        ot_check_store();
    }
}
END_TEST

/* Nothing that was accepted is lost, whichever name it went to. */
START_TEST(delivery_while_the_mailbox_moves)
{
    int a, b;

    ot_must_create("user.alice");
    ck_assert_int_eq(ot_setquota("user.alice", 1000000, -1, -1), 0);
    ot_must_create("user.alice.box");
    uint32_t accepted = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        race_run(deliver, rename_parent, i, &a, &b);
        RACE_ASSERT_ONE_OF(a, 0, IMAP_MAILBOX_NONEXISTENT);
        ck_assert_int_eq(b, 0);
        accepted += !a;
        ck_assert_uint_eq(exists_in(i % 2 ? "user.alice.box" : "user.alice.new"), accepted);
        ot_check_store();
    }
}
END_TEST

/* ---- a view of what goes ---- */

static int select_box(struct race_gate *gate, unsigned round)
{
    struct index_record rec;
    struct mailbox *m;
    bool changed;

    race_pass(gate);
    int r = mailbox_open_irl("user.alice.box", &m);
    if (r) return r;
    for (uint32_t i = 1; !r && i <= mailbox_num_records(m); i++) r = mailbox_read_record(m, i, &rec);
    mailbox_unlock(m);
    if (!r) r = mailbox_relock_read(m, &changed);
    mailbox_close(&m);
    return r;
}

START_TEST(select_while_the_mailbox_is_deleted)
{
    int a, b;

    ot_must_create("user.alice");
    for (unsigned i = 0; i < ROUNDS; i++) {
        ot_must_create("user.alice.box");
        ck_assert_int_eq(deliver_to("user.alice.box"), 0);
        race_run(select_box, delete_box, i, &a, &b);
        RACE_ASSERT_ONE_OF(a, 0, IMAP_MAILBOX_NONEXISTENT);
        ck_assert_int_eq(b, 0);
        ot_check_store();
    }
}
END_TEST

/* ---- a list of what moves ---- */

#define CHILDREN 100
#define LISTS 200

struct seen {
    int box, new;
};

static int count_cb(const struct findall_data *data, void *rock)
{
    struct seen *seen = rock;

    if (!data || !data->mbentry) return 0;
    seen->box += mboxname_is_prefix(data->mbentry->name, "user.alice.box");
    seen->new += mboxname_is_prefix(data->mbentry->name, "user.alice.new");
    return 0;
}

/* Result: 1 when half of the tree was seen. */
static int list_tree(struct race_gate *gate, unsigned round)
{
    struct namespace ns;
    extnames_t all = { 0 };
    int r = mboxname_init_namespace(&ns, false);

    extnames_add(&all, extname_of("*"));
    race_pass(gate);
    for (int i = 0; i < LISTS && !r; i++) {
        struct seen seen = { 0, 0 };
        r = mboxlist_findall(&ns, all, false, "alice", ot_alice, count_cb, &seen);
        if (!r && (seen.box + seen.new != CHILDREN + 1 || (seen.box && seen.new))) r = IMAP_INTERNAL;
    }
    extnames_fini(&all);
    return r;
}

static int rename_to_and_fro(struct race_gate *gate, unsigned round)
{
    int r = 0;

    race_pass(gate);
    for (unsigned i = 0; i < 8 && !r; i++)
        r = ot_rename_to(i % 2 ? "user.alice.new" : "user.alice.box", i % 2 ? "user.alice.box" : "user.alice.new");
    return r;
}

START_TEST(list_while_the_tree_moves)
{
    int a, b;

    ot_must_create("user.alice");
    ot_must_create("user.alice.box");
    for (int i = 0; i < CHILDREN; i++) {
        char *name = xasprintf("user.alice.box.c%03d", i);
        ot_must_create(name);
        free(name);
    }
    race_run(list_tree, rename_to_and_fro, 0, &a, &b);
    ck_assert_int_eq(a, 0);
    ck_assert_int_eq(b, 0);
}
END_TEST

Suite *store_races_suite(void)
{
    Suite *s = suite_create("store_races");
    TCase *tc = tcase_create("races");

    tcase_add_checked_fixture(tc, ot_setup, ot_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, one_uniqueid_for_two_users);
    tcase_add_test(tc, one_name_for_two);
    tcase_add_test(tc, create_below_a_parent_that_moves);
    tcase_add_test(tc, delivery_while_the_mailbox_is_deleted);
    tcase_add_test(tc, delivery_while_the_mailbox_moves);
    tcase_add_test(tc, select_while_the_mailbox_is_deleted);
    tcase_add_test(tc, list_while_the_tree_moves);
    suite_add_tcase(s, tc);
    return s;
}
