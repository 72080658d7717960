/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_arrays -- arrays of strings and of pointers
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "ptrarray.h"
#include "strarray.h"
#include "testutil.h"
#include "xmalloc.h"

static void assert_is(const strarray_t *sa, const char *joined)
{
    char *s = strarray_join(sa, ",");
    if (joined)
        ck_assert_pstr_eq(s, joined);
    else
        ck_assert_ptr_null(s);
    if (sa->data) ck_assert_ptr_null(sa->data[sa->count]);
    free(s);
}

START_TEST(test_strarray_change)
{
    strarray_t sa = STRARRAY_INITIALIZER;

    assert_is(&sa, NULL);
    ck_assert_ptr_null(strarray_nth(&sa, 0));
    ck_assert_ptr_null(strarray_nth(&sa, -1));
    ck_assert_ptr_null(strarray_pop(&sa));
    ck_assert_int_eq(strarray_append(&sa, "b"), 0);
    ck_assert_int_eq(strarray_appendm(&sa, xstrdup("d")), 1);
    strarray_insert(&sa, 0, "a");
    strarray_insertm(&sa, -1, xstrdup("c"));
    strarray_insert(&sa, 99, "e");
    assert_is(&sa, "a,b,c,d,e");
    ck_assert_int_eq(strarray_add(&sa, "c"), 2);
    ck_assert_int_eq(strarray_add(&sa, "C"), 5);
    ck_assert_int_eq(strarray_add_case(&sa, "E"), 4);
    ck_assert_str_eq(strarray_nth(&sa, -1), "C");
    ck_assert_ptr_null(strarray_nth(&sa, -7));

    strarray_set(&sa, 1, "B");
    strarray_set(&sa, -2, "E");
    assert_is(&sa, "a,B,c,d,E,C");
    ck_assert_int_eq(strarray_remove_all_case(&sa, "c"), 2);
    char *s = strarray_shift(&sa);
    ck_assert_str_eq(s, "a");
    free(s);
    assert_is(&sa, "B,d,E");
    strarray_swap(&sa, 0, -1);
    assert_is(&sa, "E,d,B");
    strarray_set(&sa, 5, "z");
    ck_assert_int_eq(sa.count, 6);
    ck_assert_ptr_null(strarray_nth(&sa, 4));
    assert_is(&sa, "E,d,B,z");
    strarray_truncate(&sa, 2);
    assert_is(&sa, "E,d");
    strarray_cat(&sa, &sa);
    assert_is(&sa, "E,d,E,d");
    ck_assert_int_eq(strarray_remove_all(&sa, "E"), 2);
    strarray_set(&sa, -5, "lost");
    assert_is(&sa, "d,d");

    for (int i = 0; i < 1000; i++) strarray_append(&sa, "many");
    ck_assert_int_eq(strarray_size(&sa), 1002);
    ck_assert_int_eq(strarray_find(&sa, "many", 500), 500);
    strarray_fini(&sa);
    assert_is(&sa, NULL);
}
END_TEST

START_TEST(test_strarray_order)
{
    strarray_t *sa = strarray_split("pear Apple fig apple fig", NULL, 0);
    strarray_t *dup = strarray_dup(sa);

    ck_assert_int_eq(strarray_cmp(sa, dup), 0);
    strarray_sort(sa, NULL);
    assert_is(sa, "Apple,apple,fig,fig,pear");
    ck_assert_int_ne(strarray_cmp(sa, dup), 0);
    ck_assert_int_eq(strarray_bsearch(sa, "pear"), 4);
    ck_assert_int_eq(strarray_bsearch(sa, "Apple"), 0);
    ck_assert_int_eq(strarray_bsearch(sa, "x"), -1);
    strarray_uniq(sa);
    assert_is(sa, "Apple,apple,fig,pear");
    strarray_append(sa, "Banana");
    strarray_sort(sa, cmpstringp_case);
    assert_is(sa, "Apple,apple,Banana,fig,pear");
    ck_assert(strarray_contains(sa, "fig"));
    ck_assert(!strarray_contains(sa, "Fig"));
    ck_assert(strarray_contains_case(sa, "Fig"));
    strarray_append(dup, "one more");
    ck_assert_int_gt(strarray_cmp(dup, sa), 0);
    strarray_free(sa);
    strarray_free(dup);
    strarray_free(NULL);
}
END_TEST

START_TEST(test_strarray_split)
{
    static const struct { const char *line, *sep; unsigned flags; int n; const char *joined; } rows[] = {
        { "a b\tc", NULL, 0, 3, "a,b,c" },
        { "  a  ", NULL, 0, 1, "a" },
        { "a: b :c", ":", 0, 3, "a, b ,c" },
        { "a: b :c", ":", STRARRAY_TRIM, 3, "a,b,c" },
        { "a::b", ":", 0, 2, "a,b" },
        { "a::b:", ":", STRARRAY_KEEPEMPTY, 4, "a,,b," },
        { "a:  :b", ":", STRARRAY_TRIM, 2, "a,b" },
        { "a,b;c", ",;", 0, 3, "a,b,c" },
        { "", ":", 0, 0, NULL },
        { "", ":", STRARRAY_KEEPEMPTY, 1, "" },
        { NULL, ":", STRARRAY_KEEPEMPTY, 0, NULL },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        strarray_t *sa = strarray_split(rows[i].line, rows[i].sep, rows[i].flags);
        ck_assert_int_eq(sa->count, rows[i].n);
        assert_is(sa, rows[i].joined);
        strarray_free(sa);
    }
    strarray_t *sa = strarray_nsplit("a.bXXX", 3, ".", 0);
    assert_is(sa, "a,b");
    char **argv = strarray_takevf(sa);
    ck_assert_str_eq(argv[1], "b");
    ck_assert_ptr_null(argv[2]);
    free(argv[0]);
    free(argv[1]);
    free(argv);
    argv = strarray_takevf(sa);
    ck_assert_ptr_null(argv[0]);
    free(argv);
    strarray_free(sa);
}
END_TEST

static int by_first(const void *a, const void *b)
{
    return **(char *const *)a - **(char *const *)b;
}

static int freed;
static void count_free(void *p)
{
    freed++;
}

START_TEST(test_ptrarray)
{
    ptrarray_t pa = PTRARRAY_INITIALIZER;
    char c2[] = "c2", a[] = "a", c1[] = "c1", b[] = "b";

    ck_assert_ptr_null(ptrarray_pop(&pa));
    ck_assert_int_eq(ptrarray_append(&pa, c2), 0);
    ck_assert_int_eq(ptrarray_append(&pa, a), 1);
    ck_assert_int_eq(ptrarray_add(&pa, c2), 0);
    ck_assert_int_eq(ptrarray_add(&pa, c1), 2);
    ptrarray_insert(&pa, 1, b);
    ck_assert_ptr_eq(ptrarray_nth(&pa, 1), b);
    ck_assert_ptr_eq(ptrarray_nth(&pa, -1), c1);
    ck_assert_ptr_null(ptrarray_nth(&pa, 4));
    ck_assert_int_eq(ptrarray_find(&pa, a, 0), 2);
    ck_assert_int_eq(ptrarray_find(&pa, a, 3), -1);
    ptrarray_sort(&pa, by_first);
    ck_assert_ptr_eq(ptrarray_nth(&pa, 0), a);
    ck_assert_ptr_eq(ptrarray_nth(&pa, 1), b);
    ck_assert_ptr_eq(ptrarray_nth(&pa, 2), c2); /* stable */
    ck_assert_ptr_eq(ptrarray_nth(&pa, 3), c1);
    ck_assert_ptr_eq(ptrarray_shift(&pa), a);
    ck_assert_ptr_eq(ptrarray_remove(&pa, 1), c2);
    ck_assert_ptr_null(ptrarray_remove(&pa, 7));
    ptrarray_set(&pa, 40, c2);
    ck_assert_int_eq(ptrarray_size(&pa), 41);
    ck_assert_ptr_null(ptrarray_nth(&pa, 20));
    ptrarray_truncate(&pa, 3);
    ptrarray_fini_with(&pa, count_free);
    ck_assert_int_eq(freed, 2);
    ck_assert_int_eq(pa.count, 0);

    ptrarray_t *heap = ptrarray_new();
    ptrarray_set(heap, -1, a); /* there is no last one */
    ck_assert_int_eq(heap->count, 0);
    ptrarray_insert(heap, -1, a);
    ck_assert_ptr_eq(ptrarray_nth(heap, 0), a);
    ptrarray_free(heap);
    ptrarray_free(NULL);
}
END_TEST

Suite *arrays_suite(void)
{
    Suite *s = suite_create("arrays");
    TCase *tc = tcase_create("arrays");

    tcase_add_test(tc, test_strarray_change);
    tcase_add_test(tc, test_strarray_order);
    tcase_add_test(tc, test_strarray_split);
    tcase_add_test(tc, test_ptrarray);
    suite_add_tcase(s, tc);
    return s;
}
