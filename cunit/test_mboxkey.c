/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keys that URLAUTH signs with
 */
#include <config.h>

#include <check.h>
#include <string.h>

#include "imap_err.h"
#include "mboxkey.h"
#include "store_testutil.h"
#include "user.h"

static void setup(void)
{
    st_setup("");
    st_create("user.alice");
}

static void raw_mboxkey(const char *name, const char *value, size_t len)
{
    struct user_meta *meta;
    struct txn_db *db;

    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(user_meta_lookup_or_legacy("alice", txn, &meta), 0);
    ck_assert_int_eq(txn_db_open(txn, "twoskip", user_meta_path(meta, "mboxkey"), TXN_DB_CREATE, &db), 0);
    ck_assert_int_eq(txn_db_store(db, name, strlen(name), value, len), 0);
    st_commit(txn);
    user_meta_free(&meta);
}

static void make_mboxkey(const char *name, unsigned char key[MBOXKEY_SIZE])
{
    struct txn *txn = st_begin("alice");

    ck_assert_int_eq(mboxkey_make(txn, "alice", name, key), 0);
    st_commit(txn);
}

static void remove_mboxkey(const char *name)
{
    struct txn *txn = st_begin("alice");

    ck_assert_int_eq(mboxkey_remove(txn, "alice", name), 0);
    st_commit(txn);
}

START_TEST(mboxkeys)
{
    unsigned char one[MBOXKEY_SIZE], two[MBOXKEY_SIZE], got[MBOXKEY_SIZE];

    ck_assert_int_eq(mboxkey_read("alice", "user.alice", got), IMAP_NOTFOUND);
    remove_mboxkey(NULL);
    remove_mboxkey("user.alice");
    make_mboxkey("user.alice", one);
    make_mboxkey("shared", two);
    ck_assert(memcmp(one, two, sizeof(one)));
    ck_assert_int_eq(mboxkey_read("alice", "user.alice", got), 0);
    ck_assert(!memcmp(one, got, sizeof(one)));
    make_mboxkey("user.alice", got); /* stays */
    ck_assert(!memcmp(one, got, sizeof(one)));
    remove_mboxkey("user.alice");
    ck_assert_int_eq(mboxkey_read("alice", "user.alice", got), IMAP_NOTFOUND);
    ck_assert_int_eq(mboxkey_read("alice", "shared", got), 0);
    make_mboxkey("user.alice", got);
    ck_assert(memcmp(one, got, sizeof(one)));
    remove_mboxkey(NULL);
    ck_assert_int_eq(mboxkey_read("alice", "user.alice", got), IMAP_NOTFOUND);
    ck_assert_int_eq(mboxkey_read("alice", "shared", got), IMAP_NOTFOUND);
}
END_TEST

/* An empty or short key would be one that anybody knows; none is made in its place. */
START_TEST(mboxkeys_damaged)
{
    static const struct {
        const char *value;
        size_t len;
    } bad[] = { { "", 0 }, { "\0\1", 2 }, { "\0\1abcdefghijklmno", 17 }, { "\0\2abcdefghijklmnop", 18 },
                { "\0\1abcdefghijklmnopq", 19 } };
    unsigned char key[MBOXKEY_SIZE];

    for (size_t i = 0; i < array_size(bad); i++) {
        raw_mboxkey("user.alice", bad[i].value, bad[i].len);
        ck_assert_int_eq(mboxkey_read("alice", "user.alice", key), IMAP_MAILBOX_BADFORMAT);
        struct txn *txn = st_begin("alice");
        ck_assert_int_eq(mboxkey_make(txn, "alice", "user.alice", key), IMAP_MAILBOX_BADFORMAT);
        txn_abort(&txn);
    }
    raw_mboxkey("user.alice", "\0\1abcdefghijklmnop", 18);
    ck_assert_int_eq(mboxkey_read("alice", "user.alice", key), 0);
    ck_assert(!memcmp(key, "abcdefghijklmnop", MBOXKEY_SIZE));
}
END_TEST

Suite *mboxkey_suite(void);
Suite *mboxkey_suite(void)
{
    Suite *s = suite_create("mboxkey");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, st_teardown);
    tcase_add_test(tc, mboxkeys);
    tcase_add_test(tc, mboxkeys_damaged);
    suite_add_tcase(s, tc);
    return s;
}
