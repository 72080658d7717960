/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sets -- number sets, bit vectors, number arrays, each against a plain model
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "arrayu64.h"
#include "bitvector.h"
#include "seqset.h"
#include "testutil.h"
#include "util.h"

/* -- seqset -- */

static void assert_text(const struct seqset *set, const char *want)
{
    char *text = seqset_cstring(set);

    ck_assert_pstr_eq(text, want);
    free(text);
}

START_TEST(test_seqset_parse)
{
    static const struct { const char *text; uint32_t maxval; const char *want; } rows[] = {
        { "1", 9, "1" },
        { "1:*", 9, "1:9" },
        { "*", 9, "9" },
        { "*:3", 9, "3:9" },
        { "12:*", 9, "9:12" },
        { "*:*", 9, "9" },
        { "1:*", 0, "1:4294967295" },
        { "5:2", 9, "2:5" },
        { "3,1,2", 9, "1:3" },
        { "1:3,5,4", 9, "1:5" },
        { "7,1:2,9:20,15:30,7", 9, "1:2,7,9:30" },
        { "4294967295", 9, "4294967295" },
        { "4294967294,4294967295,1:2", 9, "1:2,4294967294:4294967295" },
        { "0", 9, NULL },
        { "0:3", 9, "1:3" },
        { "3:0,0", 9, "1:3" },
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct seqset *set = seqset_parse(rows[i].text, NULL, rows[i].maxval);
        ck_assert_msg(set != NULL, "%s", rows[i].text);
        assert_text(set, rows[i].want);
        ck_assert(seqset_isvalid(rows[i].text, strlen(rows[i].text)));
        ck_assert_int_eq(seqset_hasstar(rows[i].text, strlen(rows[i].text)), strchr(rows[i].text, '*') != NULL);
        seqset_free(set);
    }

    static const char *const bad[] = {
        "", ",", "1,", ",1", "1,,2", "1:", ":1", "1::2", "1:2:3", "a", "1a", "-1", "1-2", " 1", "1 ", "**", "*1",
        "1*", "4294967296", "1:4294967296", "99999999999999999999999", "$", "1;2",
    };
    struct seqset *set = seqset_parse("5", NULL, 9);
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(!seqset_parse(bad[i], set, 9), "%s", bad[i]);
        ck_assert(!seqset_parse(bad[i], NULL, 9));
        ck_assert(!seqset_isvalid(bad[i], strlen(bad[i])));
    }
    assert_text(set, "5");
    ck_assert_ptr_eq(seqset_parse("1:2,6", set, 9), set);
    assert_text(set, "1:2,5:6");
    ck_assert_ptr_eq(seqset_parse_map("88xx", 2, set, 9), set);
    assert_text(set, "1:2,5:6,88");
    seqset_free(set);
    seqset_free(NULL);
}
END_TEST

/* Half a million ranges in falling order take no quadratic time; more than the limit are refused. */
START_TEST(test_seqset_large)
{
    struct buf text = BUF_INITIALIZER;

    for (uint32_t n = 1000000; n > 1; n -= 2) buf_printf(&text, "%u,", n);
    buf_appendcstr(&text, "1");
    struct seqset *set = seqset_parse(buf_cstring(&text), NULL, 0);
    ck_assert_ptr_nonnull(set);
    ck_assert_uint_eq(seqset_count(set), 500001);
    ck_assert_uint_eq(seqset_first(set), 1);
    ck_assert_uint_eq(seqset_last(set), 1000000);
    seqset_free(set);
    buf_reset(&text);
    for (int i = 0; i < SEQSET_MAX_RANGES; i++) buf_appendcstr(&text, "1,");
    buf_putc(&text, '1');
    ck_assert(!seqset_isvalid(text.s, text.len));
    buf_truncate(&text, text.len - 2);
    ck_assert(seqset_isvalid(text.s, text.len));
    buf_free(&text);
}
END_TEST

START_TEST(test_seqset_add)
{
    struct seqset *set = seqset_init(0, SEQ_SPARSE);

    ck_assert(seqset_isempty(set));
    ck_assert_uint_eq(seqset_first(set), 0);
    ck_assert_uint_eq(seqset_firstnonmember(set), 1);
    for (uint32_t n = 1; n <= 10; n++) {
        if (n != 4 && n != 8) seqset_add(set, n, n != 6);
    }
    seqset_add(set, 0, true);
    assert_text(set, "1:3,5,7,9:10");
    ck_assert_uint_eq(seqset_firstnonmember(set), 4);
    seqset_clear(set);
    seqset_addrange(set, UINT32_MAX - 1, UINT32_MAX);
    seqset_addrange(set, 5, 4);
    seqset_addrange(set, UINT32_MAX, UINT32_MAX);
    assert_text(set, "4294967294:4294967295");
    seqset_addrange(set, 0, UINT32_MAX - 2);
    assert_text(set, "1:4294967295");
    ck_assert_uint_eq(seqset_firstnonmember(set), 0);
    ck_assert_uint_eq(seqset_count(set), UINT32_MAX);
    ck_assert_uint_eq(seqset_after(set, UINT32_MAX), 0);
    ck_assert_uint_eq(seqset_after(set, UINT32_MAX - 1), UINT32_MAX);
    seqset_free(set);

    /* Untold numbers are joined in, told ones are not. */
    set = seqset_init(0, SEQ_MERGE);
    for (uint32_t n = 2; n <= 20; n++) {
        if (n != 4 && n != 8 && n != 15) seqset_add(set, n, n != 6 && n != 14);
    }
    assert_text(set, "2:5,7:13,16:20");
    struct seqset *dup = seqset_dup(set);
    ck_assert(seqset_equal(set, dup));
    seqset_add(dup, 30, true);
    assert_text(dup, "2:5,7:13,16:30");
    ck_assert(!seqset_equal(set, dup));
    seqset_free(set);
    seqset_free(dup);
}
END_TEST

enum { UNIVERSE = 120 };

static struct seqset *random_set(bool model[UNIVERSE])
{
    struct seqset *set = seqset_init(0, SEQ_SPARSE);

    memset(model, 0, UNIVERSE * sizeof(bool));
    for (long i = random() % 12; i > 0; i--) {
        uint32_t low = (uint32_t)(random() % (UNIVERSE - 1) + 1);
        uint32_t high = low + (uint32_t)(random() % 15);
        if (high >= UNIVERSE) high = UNIVERSE - 1;
        if (random() % 4) {
            seqset_addrange(set, low, high);
            for (uint32_t n = low; n <= high; n++) model[n] = true;
        }
        else {
            seqset_remove(set, low);
            model[low] = false;
        }
    }
    return set;
}

static void assert_model(struct seqset *set, const bool model[UNIVERSE])
{
    uint64_t count = 0;

    seqset_reset(set);
    for (uint32_t n = 1; n < UNIVERSE; n++) {
        ck_assert_int_eq(seqset_ismember(set, n), model[n]);
        if (!model[n]) continue;
        count++;
        ck_assert_uint_eq(seqset_getnext(set), n);
    }
    ck_assert_uint_eq(seqset_getnext(set), 0);
    ck_assert_uint_eq(seqset_getnext(set), 0);
    ck_assert_uint_eq(seqset_count(set), count);
    for (size_t i = 0; i < set->len; i++) {
        ck_assert_uint_le(set->set[i].low, set->set[i].high);
        if (i) ck_assert_uint_gt(set->set[i].low, set->set[i - 1].high + 1);
    }
    char *text = seqset_cstring(set);
    if (text) {
        struct seqset *back = seqset_parse(text, NULL, 0);
        ck_assert(seqset_equal(set, back));
        seqset_free(back);
    }
    free(text);
}

START_TEST(test_seqset_model)
{
    bool a[UNIVERSE], b[UNIVERSE], both[UNIVERSE];

    srandom(5);
    for (int round = 0; round < 400; round++) {
        struct seqset *x = random_set(a), *y = random_set(b);
        assert_model(x, a);
        struct seqset *join = seqset_dup(x), *cut = seqset_dup(x), *minus = seqset_dup(x);
        seqset_join(join, y);
        for (int n = 0; n < UNIVERSE; n++) both[n] = a[n] || b[n];
        assert_model(join, both);
        seqset_intersect(cut, y);
        for (int n = 0; n < UNIVERSE; n++) both[n] = a[n] && b[n];
        assert_model(cut, both);
        seqset_subtract(minus, y);
        for (int n = 0; n < UNIVERSE; n++) both[n] = a[n] && !b[n];
        assert_model(minus, both);
        seqset_free(x);
        seqset_free(y);
        seqset_free(join);
        seqset_free(cut);
        seqset_free(minus);
    }
}
END_TEST

/* -- bitvector -- */

START_TEST(test_bitvector)
{
    enum { BITS = 700 };
    bool model[BITS] = { false };
    bitvector_t bv = BV_INITIALIZER, other = BV_INITIALIZER;
    size_t length = 0;

    ck_assert(!bv_isset(&bv, 5));
    ck_assert_int_eq(bv_first_set(&bv), -1);
    ck_assert_uint_eq(bv_first_clear(&bv), 0);
    bv_setall(&bv);
    bv_clearall(&bv);
    srandom(6);
    for (int i = 0; i < 4000; i++) {
        size_t at = (size_t)random() % BITS;
        switch (random() % 8) {
        case 0:
            bv_clear(&bv, at);
            model[at] = false;
            break;
        case 1:
            if (i % 50) break;
            bv_setsize(&bv, at);
            for (size_t n = at; n < BITS; n++) model[n] = false;
            length = at;
            break;
        default:
            bv_set(&bv, at);
            model[at] = true;
            if (at >= length) length = at + 1;
        }
        ck_assert_uint_eq(bv.length, length);
        at = (size_t)random() % BITS;
        ck_assert_int_eq(bv_isset(&bv, at), model[at]);
        size_t next = at, count = 0, clear = 0;
        while (next < BITS && !model[next]) next++;
        ck_assert_int_eq(bv_next_set(&bv, at), next < BITS ? (ssize_t)next : -1);
        for (size_t n = 0; n < BITS; n++) count += model[n];
        ck_assert_uint_eq(bv_count(&bv), count);
        while (clear < length && model[clear]) clear++;
        ck_assert_uint_eq(bv_first_clear(&bv), clear);
    }
    for (size_t size = 0; size < 200; size++) {
        bv_setsize(&other, size);
        bv_setall(&other);
        ck_assert_uint_eq(bv_count(&other), size);
        ck_assert_uint_eq(bv_first_clear(&other), size);
        bv_setsize(&other, size + 1);
        ck_assert_uint_eq(bv_count(&other), size);
    }
    bv_fini(&bv);
    bv_fini(&other);
}
END_TEST

START_TEST(test_bitvector_ops)
{
    bitvector_t a = BV_INITIALIZER, b = BV_INITIALIZER, c = BV_INITIALIZER;

    for (size_t i = 0; i < 200; i += 2) bv_set(&a, i);
    for (size_t i = 0; i < 400; i += 3) bv_set(&b, i);
    bv_copy(&c, &a);
    bv_andeq(&c, &b);
    ck_assert_uint_eq(bv_count(&c), 34);
    bv_copy(&c, &a);
    bv_oreq(&c, &b);
    ck_assert_uint_eq(bv_count(&c), 100 + 134 - 34);
    ck_assert_uint_eq(c.length, b.length);
    bv_copy(&c, &a);
    bv_andnoteq(&c, &b);
    ck_assert_uint_eq(bv_count(&c), 66);
    bv_copy(&c, &b);
    bv_andeq(&c, &a);
    ck_assert_uint_eq(bv_count(&c), 34);
    ck_assert_uint_eq(c.length, b.length);
    bv_clearall(&c);
    ck_assert_uint_eq(bv_count(&c), 0);
    bv_fini(&a);
    bv_fini(&b);
    bv_fini(&c);
}
END_TEST

/* -- arrayu64 -- */

START_TEST(test_arrayu64)
{
    arrayu64_t au = ARRAYU64_INITIALIZER;

    ck_assert_uint_eq(arrayu64_nth(&au, 0), 0);
    ck_assert_uint_eq(arrayu64_remove(&au, -1), 0);
    ck_assert_int_eq(arrayu64_bsearch(&au, 5), -1);
    ck_assert_uint_eq(arrayu64_max(&au), 0);
    arrayu64_append(&au, 30);
    arrayu64_append(&au, UINT64_MAX);
    arrayu64_append(&au, 10);
    arrayu64_append(&au, 30);
    ck_assert_uint_eq(arrayu64_max(&au), UINT64_MAX);
    ck_assert_int_eq(arrayu64_find(&au, 30, 1), 3);
    arrayu64_sort(&au);
    arrayu64_uniq(&au);
    ck_assert_uint_eq(arrayu64_size(&au), 3);
    ck_assert_uint_eq(arrayu64_add(&au, 20), 1);
    ck_assert_uint_eq(arrayu64_add(&au, 20), 1);
    ck_assert_uint_eq(arrayu64_add(&au, 5), 0);
    ck_assert_int_eq(arrayu64_bsearch(&au, UINT64_MAX), 4);
    ck_assert_int_eq(arrayu64_bsearch(&au, 11), -1);
    ck_assert_int_eq(arrayu64_remove_value(&au, 11), 0);
    ck_assert_int_eq(arrayu64_remove_value(&au, 10), 1);
    arrayu64_t *dup = arrayu64_dup(&au);
    ck_assert_uint_eq(arrayu64_nth(dup, -1), UINT64_MAX);
    ck_assert_uint_eq(arrayu64_nth(dup, 1), 20);
    arrayu64_set(dup, 10, 7);
    ck_assert_uint_eq(arrayu64_nth(dup, 9), 0);
    arrayu64_set(dup, -1, 8);
    ck_assert_uint_eq(arrayu64_remove(dup, 10), 8);
    arrayu64_insert(dup, -1, 99);
    ck_assert_uint_eq(arrayu64_nth(dup, -2), 99);
    arrayu64_truncate(dup, 1);
    ck_assert_uint_eq(arrayu64_nth(dup, 0), 5);
    ck_assert_uint_eq(arrayu64_size(dup), 1);
    arrayu64_free(dup);
    arrayu64_free(NULL);
    arrayu64_fini(&au);
}
END_TEST

Suite *sets_suite(void)
{
    Suite *s = suite_create("sets");
    TCase *tc = tcase_create("sets");

    tcase_add_test(tc, test_seqset_parse);
    tcase_add_test(tc, test_seqset_large);
    tcase_add_test(tc, test_seqset_add);
    tcase_add_test(tc, test_seqset_model);
    tcase_add_test(tc, test_bitvector);
    tcase_add_test(tc, test_bitvector_ops);
    tcase_add_test(tc, test_arrayu64);
    suite_add_tcase(s, tc);
    return s;
}
