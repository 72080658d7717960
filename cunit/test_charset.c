/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Charsets: transfer encodings, conversion, encoded words, and the form in which texts
 * are searched. What 3.6.1 makes of hundreds of encoded words and bodies is in the cache
 * records of test_message_cache.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "charset_html.h"
#include "digest.h"
#include "testutil.h"
#include "util.h"

START_TEST(test_encodings)
{
    static const struct {
        enum mime_encoding encoding;
        const char *text, *want;
    } cases[] = {
        { MIME_ENCODING_QP, "a \r\nb\t \r\n=\r\nc", "a\r\nb\r\nc" },
        { MIME_ENCODING_QP, "=c3=BC_=4", "\xc3\xbc_=4" },
        { MIME_ENCODING_QP, "a= x==41=", "a= x=A" },
        { MIME_ENCODING_QP, "a\rb", "ab" },
        { MIME_ENCODING_QP, "a= \t\r\nb =\n c  ", "ab  c" },
        { MIME_ENCODING_BASE64, "QUJD", "ABC" },
        { MIME_ENCODING_BASE64, "QU JD\r\nRE!VG", "ABCDEF" },
        { MIME_ENCODING_BASE64, "QUJDQQ==QUJD", "ABCAABC" },
        { MIME_ENCODING_BASE64, "QUI", "AB" },
        { MIME_ENCODING_BASE64, "Q", "" },
        { MIME_ENCODING_NONE, "=41", "=41" },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf got = BUF_INITIALIZER;
        unsigned char sha1[SHA1_SIZE], want[SHA1_SIZE];
        size_t len = strlen(cases[i].text), size;

        ck_assert(charset_decode_mimebody(cases[i].text, len, cases[i].encoding, &got));
        ck_assert_str_eq(buf_cstring(&got), cases[i].want);
        ck_assert(charset_digest_mimebody(cases[i].text, len, cases[i].encoding, sha1, &size));
        ck_assert_uint_eq(size, got.len);
        digest_sha1(got.s, got.len, want);
        ck_assert_bytes_eq(sha1, SHA1_SIZE, want, SHA1_SIZE);
        buf_free(&got);
    }
    ck_assert_int_eq(charset_lookup_encoding("Base64", 6), MIME_ENCODING_BASE64);
    ck_assert_int_eq(charset_lookup_encoding("", 0), MIME_ENCODING_NONE);
    ck_assert_int_eq(charset_lookup_encoding("x-uuencode", 10), MIME_ENCODING_UNKNOWN);
}
END_TEST

/* Whatever the pieces are in which a body is hashed. */
START_TEST(test_digest_of_large_bodies)
{
    static const char *const lines[] = { "QUJDRA==\r\nRUZ=\r\n=R", "a=41 \t=\r\n =zz \r\n\r",
                                         "=\r\n" };
    struct buf text = BUF_INITIALIZER, plain = BUF_INITIALIZER;
    unsigned char sha1[SHA1_SIZE], want[SHA1_SIZE];

    for (size_t i = 0; i < array_size(lines); i++) {
        for (int encoding = MIME_ENCODING_NONE; encoding <= MIME_ENCODING_BASE64; encoding++) {
            size_t size;

            buf_reset(&text);
            buf_reset(&plain);
            while (text.len < 300000) buf_appendcstr(&text, lines[i]);
            charset_decode_mimebody(text.s, text.len, (enum mime_encoding)encoding, &plain);
            charset_digest_mimebody(text.s, text.len, (enum mime_encoding)encoding, sha1, &size);
            ck_assert_uint_eq(size, plain.len);
            digest_sha1(plain.s, plain.len, want);
            ck_assert_bytes_eq(sha1, SHA1_SIZE, want, SHA1_SIZE);
        }
    }
    buf_free(&text);
    buf_free(&plain);
}
END_TEST

START_TEST(test_base64_lines)
{
    struct buf bytes = BUF_INITIALIZER, text = BUF_INITIALIZER, back = BUF_INITIALIZER;

    charset_encode_base64_lines("", 0, &text);
    ck_assert_uint_eq(text.len, 0);
    for (size_t n = 1; n < 200; n++) {
        buf_putc(&bytes, (char)(n * 7));
        buf_reset(&text);
        buf_reset(&back);
        charset_encode_base64_lines(bytes.s, n, &text);
        ck_assert_int_eq(text.s[text.len - 1], '\n');
        for (char *line = text.s, *end; line < text.s + text.len; line = end + 2) {
            end = strstr(buf_cstring(&text) + (line - text.s), "\r\n");
            ck_assert_int_le(end - line, 72);
            ck_assert_int_gt(end - line, 0);
        }
        charset_decode_mimebody(text.s, text.len, MIME_ENCODING_BASE64, &back);
        ck_assert_bytes_eq(back.s, back.len, bytes.s, n);
    }
    buf_free(&bytes);
    buf_free(&text);
    buf_free(&back);
}
END_TEST

START_TEST(test_conversion)
{
    static const struct {
        const char *charset, *text, *want;
    } cases[] = {
        { "utf-8",
          "\xef\xbb\xbf"
          "a\xc3\xbc\xff",
          "a\xc3\xbc\xef\xbf\xbd" },
        { "UTF-8", "\xe2\x82", "" },
        { "iso-8859-1", "\xfc\x80", "\xc3\xbc\xe2\x82\xac" },
        { "gb2312", "\xc4\xe3", "\xe4\xbd\xa0" },
        { "us-ascii", "a\xfc", "a\xef\xbf\xbd" },
        { "iso-2022-jp", "\x1b$B$\"\x1b(B", "\xe3\x81\x82" },
        { "gb18030", "\x94\x39\xda\x33", "\xf0\x9f\x92\xa9" },
        { "nosuch", "a\xfc", "a\xef\xbf\xbd" },
    };
    struct buf got = BUF_INITIALIZER, many = BUF_INITIALIZER;
    charset_t cs;

    for (size_t i = 0; i < array_size(cases); i++) {
        const char *name = cases[i].charset;

        cs = charset_lookupname(name, strlen(name));
        ck_assert_int_eq(!cs, !strcmp(name, "nosuch"));
        ck_assert_int_eq(charset_is_known(name, strlen(name)), cs != NULL);
        ck_assert_int_eq(charset_is_known(name, strlen(name)), cs != NULL);
        buf_reset(&got);
        ck_assert(
            charset_to_utf8(cases[i].text, strlen(cases[i].text), cs, MIME_ENCODING_NONE, &got));
        ck_assert_str_eq(buf_cstring(&got), cases[i].want);
        charset_free(&cs);
    }

    /* Longer than what is converted at a time, with characters across the cut. */
    cs = charset_lookupname("gb18030", 7);
    buf_putc(&many, 'x');
    for (int i = 0; i < 10000; i++) buf_appendcstr(&many, "\x94\x39\xda\x33");
    buf_reset(&got);
    charset_to_utf8(many.s, many.len, cs, MIME_ENCODING_NONE, &got);
    ck_assert_uint_eq(got.len, 40001);
    ck_assert(charset_utf8_valid(got.s, got.len));
    ck_assert_ptr_null(memmem(got.s, got.len, "\xef\xbf\xbd", 3));
    charset_free(&cs);
    ck_assert(!charset_to_utf8("a", 1, NULL, MIME_ENCODING_UNKNOWN, &got));
    for (int i = 0; i < 2000; i++) {
        char name[20];

        snprintf(name, sizeof(name), "no-%d", i);
        ck_assert(!charset_is_known(name, strlen(name)));
    }
    buf_free(&got);
    buf_free(&many);
}
END_TEST

START_TEST(test_utf8_valid)
{
    static const char *const bad[] = {
        "\x80",
        "\xc3",
        "\xc3(",
        "\xc0\x80",
        "\xe0\x80\x80",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "abcdefghij\xff",
        "\xf0\x9f\x98",
    };

    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(!charset_utf8_valid(bad[i], strlen(bad[i])), "%zu", i);
    ck_assert(charset_utf8_valid("", 0));
    ck_assert(charset_utf8_valid("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 10));
}
END_TEST

START_TEST(test_header_words)
{
    static const struct {
        const char *text, *want, *utf8;
    } cases[] = {
        { "=?utf-8?q?=C3=BC?= =?utf-8?q?x?=", "\xc3\xbcx", NULL },
        { "a =?iso-8859-1?Q?=FC_b?= c", "a \xc3\xbc b c", NULL },
        { "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "\xc3\xbc", NULL },
        { "=?x-foo?q?abc?= d", "\xef\xbf\xbd d", NULL },
        { "=?utf-8?x?a?= =?utf-8?q?a", "=?utf-8?x?a?= =?utf-8?q?a", NULL },
        { "a\r\n b\r\n\tc", "a b\tc", NULL },
        { "\xc3\xbc", "\xef\xbf\xbd\xef\xbf\xbd", "\xc3\xbc" },
        { "\xfc", "\xef\xbf\xbd", NULL },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf got = BUF_INITIALIZER;
        const char *utf8 = cases[i].utf8 ? cases[i].utf8 : cases[i].want;

        charset_decode_mimeheader(cases[i].text, strlen(cases[i].text), false, &got);
        ck_assert_str_eq(buf_cstring(&got), cases[i].want);
        buf_reset(&got);
        charset_decode_mimeheader(cases[i].text, strlen(cases[i].text), true, &got);
        ck_assert_str_eq(buf_cstring(&got), utf8);
        buf_free(&got);
    }
}
END_TEST

/* What is written is read again, in words of at most 75 columns. */
START_TEST(test_written_words)
{
    static const char *const texts[] = {
        "plain",
        "\xe2\x82\xac",
        "a \xc3\xbc b",
        "=?x",
        "a\tb",
        "a\x01"
        "b",
        "\xf0\x9f\x98\x80 \xf0\x9f\x98\x80 a rather long subject that has to be cut into words "
        "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac end",
    };

    for (size_t i = 0; i < array_size(texts); i++) {
        struct buf word = BUF_INITIALIZER, back = BUF_INITIALIZER;
        const char *line;

        charset_encode_mimeheader(texts[i], strlen(texts[i]), &word);
        charset_decode_mimeheader(word.s, word.len, false, &back);
        ck_assert_str_eq(buf_cstring(&back), texts[i]);
        line = buf_cstring(&word);
        do {
            size_t len = strcspn(line, "\r");

            ck_assert_uint_le(len, 76);
            line += line[len] ? len + 2 : len;
        } while (*line);
        buf_free(&word);
        buf_free(&back);
    }
}
END_TEST

START_TEST(test_search_forms)
{
    static const struct {
        unsigned flags;
        const char *text, *want;
    } cases[] = {
        { 0, "Hello  World", "hello  world" },
        { CHARSET_SKIPDIACRIT, "CAF\xc3\x89 cafe\xcc\x81", "cafe cafe" },
        { 0, "caf\xc3\xa9", "cafe\xcc\x81" },
        { 0, "\xc3\x9f\xef\xac\x81", "ssfi" },
        { CHARSET_MERGESPACE, "a \t\r\n b\xc2\xa0 c ", "a b c " },
        { CHARSET_SKIPSPACE,
          " a \t\r\nb\xe2\x80\x83"
          "c",
          "abc" },
        { CHARSET_SKIPDIACRIT, "\xce\x86\xce\xa3", "\xce\xb1\xcf\x83" },
        { 0, "\xef\xbc\xa1\xe2\x84\xab", "aa\xcc\x8a" },
        { 0, "\xe4\xbd\xa0", "\xe4\xbd\xa0" },
    };
    struct buf got = BUF_INITIALIZER, many = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(cases); i++) {
        buf_reset(&got);
        charset_utf8_to_searchform(cases[i].text, strlen(cases[i].text), cases[i].flags, &got);
        ck_assert_str_eq(buf_cstring(&got), cases[i].want);
    }
    for (int i = 0; i < 100000; i++) buf_appendcstr(&many, "\xd0\x96");
    buf_reset(&got);
    charset_utf8_to_searchform(many.s, many.len, CHARSET_SKIPDIACRIT, &got);
    ck_assert_uint_eq(got.len, many.len);
    ck_assert(charset_utf8_valid(got.s, got.len));
    ck_assert(charset_searchstring("", 0, NULL, 0));
    ck_assert(charset_searchstring("b", 1, "abc", 3));
    ck_assert(!charset_searchstring("d", 1, "abc", 3));
    buf_free(&got);
    buf_free(&many);
}
END_TEST

START_TEST(test_html)
{
    static const struct {
        const char *html, *want;
    } cases[] = {
        { "a<b>b</b>c", "abc" },
        { "a<p>b</p>c", "a b c" },
        { "a<!-- x > y -->b", "ab" },
        { "a<script>x</y></script>b", "a  b" },
        { "<STYLE a='>'>x", " " },
        { "&lt;&amp;&eacute;&#8364;&#x41;&nosuch;&amp", "<&\xc3\xa9\xe2\x82\xac"
                                                        "A&nosuch;&amp" },
        { "&#0;&#x110000;&#xd800;", "\xef\xbf\xbd\xef\xbf\xbd" },
        { "a < b", "a < b" },
        { "<", "<" },
        { "<a", "" },
        { "x<!--", "x" },
        { "&", "&" },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf got = BUF_INITIALIZER;

        charset_strip_html(cases[i].html, strlen(cases[i].html), &got);
        ck_assert_str_eq(buf_cstring(&got), cases[i].want);
        buf_free(&got);
    }
}
END_TEST

START_TEST(test_search_files)
{
    static const char html[] = "<p>caf=E9 <b>au</b> lait</p>";
    charset_t cs = charset_lookupname("iso-8859-1", 10);
    unsigned flags = CHARSET_SKIPDIACRIT | CHARSET_MERGESPACE;

    ck_assert(charset_searchfile("cafe <b>au", 10, html, strlen(html), cs, MIME_ENCODING_QP, "HTML",
                                 flags));
    ck_assert(!charset_searchfile("cafe <b>au", 10, html, strlen(html), cs, MIME_ENCODING_QP,
                                  "HTML", flags | CHARSET_SKIPHTML));
    ck_assert(charset_searchfile("cafe au lait", 12, html, strlen(html), cs, MIME_ENCODING_QP,
                                 "HTML", flags | CHARSET_SKIPHTML));
    ck_assert(!charset_searchfile("x", 1, "x", 1, cs, MIME_ENCODING_UNKNOWN, NULL, flags));
    ck_assert(charset_search_mimeheader("cafe", 4, "=?utf-8?q?caf=C3=A9?=", 21, flags));
    ck_assert(!charset_search_mimeheader("utf", 3, "=?utf-8?q?caf=C3=A9?=", 21, flags));
    charset_free(&cs);
}
END_TEST

Suite *charset_suite(void)
{
    Suite *s = suite_create("charset");
    TCase *tc = tcase_create("charset");

    tcase_add_test(tc, test_encodings);
    tcase_add_test(tc, test_digest_of_large_bodies);
    tcase_add_test(tc, test_base64_lines);
    tcase_add_test(tc, test_conversion);
    tcase_add_test(tc, test_utf8_valid);
    tcase_add_test(tc, test_header_words);
    tcase_add_test(tc, test_written_words);
    tcase_add_test(tc, test_search_forms);
    tcase_add_test(tc, test_html);
    tcase_add_test(tc, test_search_files);
    suite_add_tcase(s, tc);
    return s;
}
