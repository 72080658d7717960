/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_buf -- buffers: growth, views, and no byte lost on the way
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "testutil.h"

START_TEST(test_append)
{
    struct buf b = BUF_INITIALIZER;

    ck_assert_ptr_null(buf_cstringnull(&b));
    ck_assert_str_eq(buf_cstring(&b), "");
    for (int i = 0; i < 10000; i++) buf_putc(&b, (char)i);
    ck_assert_uint_eq(b.len, 10000);
    for (int i = 0; i < 10000; i++) ck_assert_int_eq(b.s[i], (char)i);

    buf_setcstr(&b, "ab");
    buf_appendcstr(&b, "cd");
    buf_appendmap(&b, "\0e", 2);
    buf_appendfill(&b, '-', 2);
    ck_assert_bytes_eq(b.s, b.len, "abcd\0e--", 8);
    buf_append(&b, &b);
    ck_assert_bytes_eq(b.s, b.len, "abcd\0e--abcd\0e--", 16);
    buf_free(&b);
    ck_assert_ptr_null(b.s);
}
END_TEST

START_TEST(test_integers)
{
    struct buf b = BUF_INITIALIZER;

    buf_appendbit16(&b, 0x0102);
    buf_appendbit32(&b, 0xfffefdfc);
    buf_appendbit64(&b, 0x8182838485868788ULL);
    test_assert_hex_eq(b.s, b.len, "0102 fffefdfc 8182838485868788");
    buf_reset(&b);
    buf_appendhex(&b, "\x00\xab\xff", 3);
    ck_assert_str_eq(buf_cstring(&b), "00abff");
    buf_free(&b);
}
END_TEST

START_TEST(test_printf)
{
    struct buf b = BUF_INITIALIZER;
    char wide[300];

    memset(wide, 'w', sizeof(wide));
    wide[299] = '\0';
    buf_printf(&b, "%d-%s", 7, "x");
    buf_printf(&b, "%s!", wide);
    ck_assert_uint_eq(b.len, 3 + 299 + 1);
    ck_assert(!memcmp(b.s, "7-xw", 4));
    ck_assert_int_eq(b.s[302], '!');

    /* Around the first allocation, where an off-by-one would show. */
    for (int len = 0; len < 200; len++) {
        buf_free(&b);
        buf_printf(&b, "%.*s", len, wide);
        ck_assert_uint_eq(b.len, (size_t)len);
        ck_assert_uint_eq(strlen(buf_cstring(&b)), (size_t)len);
    }
    buf_free(&b);
}
END_TEST

START_TEST(test_view)
{
    static const char text[] = "Hello World";
    struct buf v, copy = BUF_INITIALIZER;

    buf_init_ro(&v, text, 5);
    ck_assert_ptr_eq(buf_base(&v), text);
    ck_assert_str_eq(buf_cstring(&v), "Hello");
    ck_assert_ptr_ne(buf_base(&v), text);
    buf_free(&v);

    void (*changes[])(struct buf *) = { buf_lcase, buf_ucase, buf_trim, buf_tocrlf };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        buf_init_ro_cstr(&v, text);
        changes[i](&v);
        buf_free(&v);
    }
    buf_init_ro_cstr(&v, text);
    buf_putc(&v, '!');
    buf_replace_char(&v, 'l', 'L');
    ck_assert_str_eq(buf_cstring(&v), "HeLLo WorLd!");
    buf_free(&v);

    buf_init_ro_cstr(&v, text);
    buf_copy(&copy, &v);
    ck_assert_ptr_ne(copy.s, text);
    ck_assert(buf_equal(&copy, &v));
    buf_truncate(&v, 4);
    ck_assert_ptr_eq(v.s, text);
    ck_assert_int_eq(buf_cmp(&v, &copy) < 0, 1);
    buf_setmap(&v, text + 6, 5);
    ck_assert_int_eq(buf_cmpcstr(&v, "World"), 0);
    buf_free(&v);
    buf_free(&copy);
    ck_assert_str_eq(text, "Hello World");
}
END_TEST

START_TEST(test_mmap)
{
    char *dir = test_mkdtemp();
    char *path = test_path(dir, "f");
    char data[9000];
    struct buf b;

    for (size_t i = 0; i < sizeof(data); i++) data[i] = (char)(i * 7 % 251);
    test_writefile(path, data, sizeof(data));
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);

    static const struct { uint64_t off; size_t len; } spans[] = {
        { 0, 9000 }, { 1, 4095 }, { 4095, 2 }, { 4096, 4096 }, { 5000, 4000 }, { 9000, 0 },
    };
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        ck_assert_int_eq(buf_init_mmap(&b, fd, spans[i].off, spans[i].len), 0);
        ck_assert_bytes_eq(b.s, b.len, data + spans[i].off, spans[i].len);
        /* A change makes a copy, the file stays. */
        buf_truncate(&b, spans[i].len / 2);
        buf_putc(&b, 'x');
        ck_assert_uint_eq(b.flags, 0);
        buf_free(&b);
    }
    ck_assert_int_eq(buf_init_mmap(&b, fd, 9000, 1), -ERANGE);
    ck_assert_int_eq(buf_init_mmap(&b, fd, UINT64_MAX, 2), -ERANGE);
    ck_assert_int_eq(buf_init_mmap(&b, fd, 1, SIZE_MAX), -ERANGE);
    ck_assert_int_eq(buf_init_mmap(&b, -1, 0, 1), -EBADF);
    close(fd);
    free(path);
    test_rmdir(dir);
}
END_TEST

START_TEST(test_ownership)
{
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;
    char *s;

    ck_assert_ptr_null(buf_releasenull(&a));
    s = buf_release(&a);
    ck_assert_str_eq(s, "");
    free(s);

    buf_initmcstr(&a, strdup("taken"));
    buf_appendcstr(&a, " over");
    buf_move(&b, &a);
    ck_assert_ptr_null(a.s);
    s = buf_release(&b);
    ck_assert_str_eq(s, "taken over");
    buf_initm(&a, s, 5);
    ck_assert_str_eq(buf_cstring(&a), "taken");
    buf_setcstr(&b, "b");
    buf_swap(&a, &b);
    ck_assert_str_eq(buf_cstring(&a), "b");
    s = buf_newcstring(&b);
    ck_assert_str_eq(s, "taken");
    free(s);
    buf_reset(&a);
    ck_assert_ptr_null(buf_cstringnull_ifempty(&a));
    ck_assert_ptr_nonnull(buf_cstringnull(&a));
    buf_free(&a);
    buf_free(&b);

    struct buf *heap = buf_new();
    buf_setcstr(heap, "inside out");
    /* A source inside the buf itself. */
    buf_setmap(heap, heap->s + 7, 3);
    ck_assert_str_eq(buf_cstring(heap), "out");
    buf_destroy(heap);
}
END_TEST

START_TEST(test_change)
{
    struct buf b = BUF_INITIALIZER;

    buf_setcstr(&b, "0123456789");
    buf_remove(&b, 2, 3);
    ck_assert_str_eq(buf_cstring(&b), "0156789");
    buf_insert(&b, 2, "abc", 3);
    ck_assert_str_eq(buf_cstring(&b), "01abc56789");
    buf_replace(&b, 8, 100, "Z", 1);
    ck_assert_str_eq(buf_cstring(&b), "01abc567Z");
    buf_insert(&b, 100, "!", 1);
    ck_assert_str_eq(buf_cstring(&b), "01abc567Z!");
    buf_remove(&b, 50, 1);
    ck_assert_uint_eq(b.len, 10);
    buf_truncate(&b, 12);
    ck_assert_bytes_eq(b.s, b.len, "01abc567Z!\0\0", 12);

    buf_setcstr(&b, "aXbXXc");
    ck_assert_uint_eq(buf_replace_all(&b, "X", "--"), 3);
    ck_assert_str_eq(buf_cstring(&b), "a--b----c");
    ck_assert_uint_eq(buf_replace_all(&b, "---", ""), 1);
    ck_assert_str_eq(buf_cstring(&b), "a--b-c");
    ck_assert_uint_eq(buf_replace_all(&b, "", "x"), 0);
    ck_assert_uint_eq(buf_replace_all(&b, "q", "x"), 0);
    ck_assert_uint_eq(buf_replace_char(&b, '-', '+'), 3);
    ck_assert_str_eq(buf_cstring(&b), "a++b+c");

    buf_setcstr(&b, "\t  two words \r\n");
    buf_trim(&b);
    ck_assert_str_eq(buf_cstring(&b), "two words");
    buf_setcstr(&b, " \n ");
    buf_trim(&b);
    ck_assert_uint_eq(b.len, 0);
    buf_setcstr(&b, "\nA\r\nB\rC\n\r");
    buf_tocrlf(&b);
    ck_assert_str_eq(buf_cstring(&b), "\r\nA\r\nB\r\nC\r\n\r\n");
    buf_setcstr(&b, "MiXed [\xc4] @");
    buf_lcase(&b);
    ck_assert_str_eq(buf_cstring(&b), "mixed [\xc4] @");
    buf_ucase(&b);
    ck_assert_str_eq(buf_cstring(&b), "MIXED [\xc4] @");
    buf_free(&b);
}
END_TEST

START_TEST(test_find)
{
    struct buf b, c;

    buf_init_ro(&b, "abcabc", 6);
    ck_assert_int_eq(buf_findchar(&b, 0, 'c'), 2);
    ck_assert_int_eq(buf_findchar(&b, 3, 'c'), 5);
    ck_assert_int_eq(buf_findchar(&b, 6, 'c'), -1);
    ck_assert_int_eq(buf_findchar(&b, 99, 'c'), -1);
    ck_assert_int_eq(buf_findmap(&b, 1, "abc", 3), 3);
    ck_assert_int_eq(buf_findmap(&b, 4, "abc", 3), -1);
    ck_assert_int_eq(buf_findmap(&b, 6, "", 0), 6);
    ck_assert_int_eq(buf_findmap(&b, 7, "", 0), -1);

    buf_init_ro(&c, "abc\xff", 4);
    ck_assert_int_lt(buf_cmp(&b, &c), 0);
    ck_assert_int_gt(buf_cmp(&c, &b), 0);
    ck_assert_int_eq(buf_cmp(&c, &c), 0);
    buf_init(&c);
    ck_assert_int_gt(buf_cmp(&b, &c), 0);
    ck_assert(buf_equal(&c, &c));
    ck_assert(!buf_equal(&b, &c));
}
END_TEST

Suite *buf_suite(void)
{
    Suite *s = suite_create("buf");
    TCase *tc = tcase_create("buf");

    tcase_add_test(tc, test_append);
    tcase_add_test(tc, test_integers);
    tcase_add_test(tc, test_printf);
    tcase_add_test(tc, test_view);
    tcase_add_test(tc, test_mmap);
    tcase_add_test(tc, test_ownership);
    tcase_add_test(tc, test_change);
    tcase_add_test(tc, test_find);
    suite_add_tcase(s, tc);
    return s;
}
