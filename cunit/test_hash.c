/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_hash -- the string table: no key lost, whatever the order of changes
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "strarray.h"
#include "testutil.h"
#include "util.h"

/* Vectors of the SipHash-2-4 paper: key 00..0f, messages "", 00, 00 01, ... */
START_TEST(test_siphash)
{
    static const uint64_t want[] = {
        0x726fdb47dd0e0e31ULL, 0x74f839c593dc67fdULL, 0x0d6c8009d9a94f5aULL, 0x85676696d7fb7e2dULL,
    };
    unsigned char key[16], msg[15];

    for (unsigned char i = 0; i < 16; i++) key[i] = i;
    for (unsigned char i = 0; i < 15; i++) msg[i] = i;
    for (size_t n = 0; n < 4; n++) ck_assert_uint_eq(siphash24(key, msg, n), want[n]);
    ck_assert_uint_eq(siphash24(key, msg, 15), 0xa129ca6149be45e5ULL);
}
END_TEST

START_TEST(test_basic)
{
    hash_table t = HASH_TABLE_INITIALIZER;
    char one[] = "1", two[] = "2";

    ck_assert_ptr_null(hash_lookup("a", &t));
    ck_assert_ptr_null(hash_del("a", &t));
    ck_assert_ptr_null(hash_insert("a", one, &t));
    ck_assert_ptr_null(hash_insert("", two, &t));
    ck_assert_ptr_eq(hash_insert("a", two, &t), one);
    ck_assert_ptr_eq(hash_lookup("a", &t), two);
    ck_assert_ptr_eq(hash_lookup("", &t), two);
    ck_assert_uint_eq(hash_numrecords(&t), 2);
    ck_assert_ptr_eq(hash_del("a", &t), two);
    ck_assert_ptr_null(hash_del("a", &t));
    ck_assert_ptr_null(hash_lookup("a", &t));
    ck_assert_uint_eq(hash_numrecords(&t), 1);
    free_hash_table(&t, NULL);
    ck_assert_ptr_null(hash_lookup("", &t));
}
END_TEST

/* Random changes beside a plain array of what should be there. */
START_TEST(test_model)
{
    enum { KEYS = 500 };
    static char values[KEYS][2];
    bool model[KEYS] = { false };
    hash_table t;
    char key[32];
    size_t live = 0;

    srandom(1);
    construct_hash_table(&t, 10);
    for (int i = 0; i < 50000; i++) {
        int k = (int)(random() % KEYS);
        snprintf(key, sizeof(key), "user.key%d", k);
        switch (random() % 3) {
        case 0:
            ck_assert_ptr_eq(hash_insert(key, values[k], &t), model[k] ? values[k] : NULL);
            live += !model[k];
            model[k] = true;
            break;
        case 1:
            ck_assert_ptr_eq(hash_del(key, &t), model[k] ? values[k] : NULL);
            live -= model[k];
            model[k] = false;
            break;
        default:
            ck_assert_ptr_eq(hash_lookup(key, &t), model[k] ? values[k] : NULL);
        }
        ck_assert_uint_eq(hash_numrecords(&t), live);
    }
    free_hash_table(&t, NULL);
}
END_TEST

static void collect(const char *key, void *data, void *rock)
{
    strarray_append(rock, key);
}

static int key_number(const char *key)
{
    uint32_t n;

    ck_assert_int_eq(parse_u32_cstr(key, &n), 0);
    return (int)n;
}

static void remove_next(const char *key, void *data, void *rock)
{
    char other[16];

    snprintf(other, sizeof(other), "%d", key_number(key) + 1);
    hash_del(other, rock);
    if (key_number(key) % 3 == 0) hash_del(key, rock);
}

static int freed;
static void count_free(void *data)
{
    freed++;
}

START_TEST(test_walks)
{
    hash_table t;
    strarray_t keys = STRARRAY_INITIALIZER;
    char value[] = "v", key[16];
    char *joined;

    construct_hash_table(&t, 0);
    hash_insert("b", value, &t);
    hash_insert("c", value, &t);
    hash_insert("a", value, &t);
    hash_del("c", &t);
    hash_insert("c", value, &t);
    hash_enumerate(&t, collect, &keys);
    joined = strarray_join(&keys, "");
    ck_assert_str_eq(joined, "bac");
    free(joined);
    strarray_truncate(&keys, 0);
    hash_enumerate_sorted(&t, collect, &keys);
    joined = strarray_join(&keys, "");
    ck_assert_str_eq(joined, "abc");
    free(joined);
    strarray_fini(&keys);
    free_hash_table(&t, count_free);
    ck_assert_int_eq(freed, 3);

    construct_hash_table(&t, 5);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%d", i);
        hash_insert(key, value, &t);
    }
    hash_enumerate(&t, remove_next, &t);
    /* Odd numbers fell to their predecessors, of the rest those divisible by 3. */
    ck_assert_uint_eq(hash_numrecords(&t), 33);
    free_hash_table(&t, NULL);
}
END_TEST

Suite *hash_suite(void)
{
    Suite *s = suite_create("hash");
    TCase *tc = tcase_create("hash");

    tcase_add_test(tc, test_siphash);
    tcase_add_test(tc, test_basic);
    tcase_add_test(tc, test_model);
    tcase_add_test(tc, test_walks);
    suite_add_tcase(s, tc);
    return s;
}
