/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_text -- base64 and modified UTF-7: one canonical form, both ways
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "netunicode.h"
#include "testutil.h"
#include "utf7.h"
#include "util.h"

/* RFC 4648 §10 */
static const char *const base64_rows[][2] = {
    { "", "" },           { "f", "Zg==" },         { "fo", "Zm8=" },         { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
};

START_TEST(test_base64)
{
    struct buf b = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(base64_rows); i++) {
        const char *plain = base64_rows[i][0], *text = base64_rows[i][1];
        buf_setcstr(&b, "x");
        base64_encode(plain, strlen(plain), 0, &b);
        ck_assert_str_eq(buf_cstring(&b) + 1, text);
        buf_setcstr(&b, "x");
        ck_assert_int_eq(base64_decode(text, strlen(text), 0, &b), 0);
        ck_assert_str_eq(buf_cstring(&b) + 1, plain);
        buf_reset(&b);
        base64_encode(plain, strlen(plain), BASE64_NOPAD, &b);
        ck_assert_uint_eq(b.len, strcspn(text, "="));
        struct buf back = BUF_INITIALIZER;
        ck_assert_int_eq(base64_decode(b.s, b.len, BASE64_NOPAD, &back), 0);
        ck_assert_str_eq(buf_cstring(&back), plain);
        buf_free(&back);
    }
    buf_reset(&b);
    base64_encode("\xfb\xff", 2, BASE64_URL, &b);
    ck_assert_str_eq(buf_cstring(&b), "-_8=");
    buf_reset(&b);
    ck_assert_int_eq(base64_decode("-_8=", 4, BASE64_URL, &b), 0);
    ck_assert_bytes_eq(b.s, b.len, "\xfb\xff", 2);

    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Zg===", "Zm8", "Zm9v=", "Zh==", "Zm9=", "Z===", "====", "=", "Zg==Zg==",
        "Zm 9v", "Zm9v\n", "Zm9-", "Zg=a", "Zm9vY",
    };
    buf_setcstr(&b, "kept");
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(base64_decode(bad[i], strlen(bad[i]), 0, &b) == -EINVAL, "%s", bad[i]);
        ck_assert_str_eq(buf_cstring(&b), "kept");
    }
    buf_reset(&b);
    ck_assert_int_eq(base64_decode("Zm9v\r\n Ym-Fy==junk", 19, BASE64_LENIENT, &b), 0);
    ck_assert_str_eq(buf_cstring(&b), "foobar");
    buf_reset(&b);
    ck_assert_int_eq(base64_decode("Zm9vY", 5, BASE64_LENIENT, &b), 0);
    ck_assert_str_eq(buf_cstring(&b), "foo");
    buf_free(&b);
}
END_TEST

START_TEST(test_base64_round_trip)
{
    struct buf text = BUF_INITIALIZER, back = BUF_INITIALIZER;
    char data[300];

    srandom(4);
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (char)random();
    for (size_t len = 0; len <= sizeof(data); len++) {
        buf_reset(&text);
        buf_reset(&back);
        base64_encode(data, len, 0, &text);
        ck_assert_uint_eq(text.len, (len + 2) / 3 * 4);
        ck_assert_int_eq(base64_decode(text.s, text.len, 0, &back), 0);
        ck_assert_bytes_eq(back.s, back.len, data, len);
    }
    buf_free(&text);
    buf_free(&back);
}
END_TEST

static const char *const utf7_rows[][2] = {
    { "", "" },
    { "INBOX.a b", "INBOX.a b" },
    { "a&b", "a&-b" },
    { "&&", "&-&-" },
    /* RFC 3501 §5.1.3 */
    { "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "~peter/mail/&U,BTFw-/&ZeVnLIqe-" },
    { "\xc3\xa4", "&AOQ-" },
    { "\xc3\xa4\xc3\xa5", "&AOQA5Q-" },
    { "\xc3\xa4" "b", "&AOQ-b" },
    { "\xc3\xa4&\xc3\xa5", "&AOQ-&-&AOU-" },
    { "\xe2\x82\xac", "&IKw-" },
    { "\xc2\x80", "&AIA-" },
    { "\xf0\x9f\x93\xac", "&2D3c7A-" },
    { "\xf4\x8f\xbf\xbf", "&2,,f,w-" },
    { "\xef\xbf\xbf", "&,,8-" },
};

START_TEST(test_utf7)
{
    struct buf b = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(utf7_rows); i++) {
        const char *utf8 = utf7_rows[i][0], *utf7 = utf7_rows[i][1];
        buf_setcstr(&b, "x");
        ck_assert_int_eq(utf8_to_utf7(utf8, strlen(utf8), &b), 0);
        ck_assert_str_eq(buf_cstring(&b) + 1, utf7);
        ck_assert(utf7_isvalid(utf7, strlen(utf7)));
        buf_setcstr(&b, "x");
        ck_assert_int_eq(utf7_to_utf8(utf7, strlen(utf7), &b), 0);
        ck_assert_str_eq(buf_cstring(&b) + 1, utf8);
    }

    static const char *const bad[] = {
        "&",        /* open */
        "a&AOQ",    /* not ended */
        "&AOQ/",    /* ended by something else */
        "&AO-",     /* half a character */
        "&AOR-",    /* stray bits */
        "&AOQA-",   /* a whole digit too many */
        "&AGE-",    /* US-ASCII */
        "&AAA-",    /* NUL */
        "&AAE-",    /* a control character */
        "&AH8-",    /* DEL */
        "&AOQ-&AOU-", /* runs that touch */
        "&2D0-",    /* a high surrogate alone */
        "&2D0A5A-", /* and before something else */
        "&3Ow-",    /* a low one alone */
        "&AOQ,-",   /* stray digit */
        "\xc3\xa4", "a\nb", "a\x7f",
    };
    buf_setcstr(&b, "kept");
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(!utf7_isvalid(bad[i], strlen(bad[i])), "%s", bad[i]);
        ck_assert_int_eq(utf7_to_utf8(bad[i], strlen(bad[i]), &b), -EINVAL);
        ck_assert_str_eq(buf_cstring(&b), "kept");
    }
    static const char *const bad8[] = { "\xc3", "a\x80", "\xed\xa0\xbd", "\xc0\x80", "a\x01", "\xc3\xa4\x7f" };
    for (size_t i = 0; i < array_size(bad8); i++) {
        ck_assert_int_eq(utf8_to_utf7(bad8[i], strlen(bad8[i]), &b), -EINVAL);
        ck_assert_str_eq(buf_cstring(&b), "kept");
    }
    ck_assert_int_eq(utf8_to_utf7("a\0b", 3, &b), -EINVAL);
    buf_free(&b);
}
END_TEST

START_TEST(test_netunicode)
{
    static const char *const rows[][2] = {
        { "", "" },
        { "Sent & more", "Sent & more" },
        { "\xc3\xa4", "\xc3\xa4" },
        { "a\xcc\x88x", "\xc3\xa4x" },                           /* composed */
        { "\xe2\x84\xab", "\xc3\x85" },                          /* an Angstrom sign is a letter */
        { "\xf0\x9d\x85\x9e", "\xf0\x9d\x85\x97\xf0\x9d\x85\xa5" }, /* what is never composed grows */
        { "\xf0\x9f\x93\xac", "\xf0\x9f\x93\xac" },
    };
    static const char *const bad[] = { "\xff", "\xc3", "a\n", "a\x7f", "\xc2\x80", "\xc2\x9f", "\xe2\x80\xa8", "\xe2\x80\xa9" };
    struct buf b = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(rows); i++) {
        buf_setcstr(&b, "x");
        ck_assert(netunicode(rows[i][0], strlen(rows[i][0]), &b));
        ck_assert_str_eq(buf_cstring(&b) + 1, rows[i][1]);
    }
    buf_setcstr(&b, "kept");
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(!netunicode(bad[i], strlen(bad[i]), &b), "%s", bad[i]);
        ck_assert_str_eq(buf_cstring(&b), "kept");
    }
    buf_free(&b);
}
END_TEST

/* Code points of every length through all conversions. */
START_TEST(test_utf8)
{
    struct buf b = BUF_INITIALIZER, seven = BUF_INITIALIZER, back = BUF_INITIALIZER;

    for (int c = 0; c <= 0x10ffff; c += c < 0x900 ? 1 : 61) {
        if (c >= 0xd800 && c <= 0xdfff) continue;
        buf_reset(&b);
        utf8_append(&b, c);
        const char *p = b.s;
        ck_assert_int_eq(utf8_next(&p, b.s + b.len), c);
        ck_assert_ptr_eq(p, b.s + b.len);
        ck_assert(utf8_isvalid(b.s, b.len));
        for (size_t n = 1; n < b.len; n++) ck_assert(!utf8_isvalid(b.s, n));
        if (c < 0x20 || c == 0x7f) continue;
        buf_reset(&seven);
        buf_reset(&back);
        ck_assert_int_eq(utf8_to_utf7(b.s, b.len, &seven), 0);
        ck_assert_int_eq(utf7_to_utf8(seven.s, seven.len, &back), 0);
        ck_assert(buf_equal(&b, &back));
    }
    static const char *const bad[] = {
        "\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff", "\xed\xa0\x80",
        "\xed\xbf\xbf", "\xe2\x82", "\xe2\x28\xa1", "a\xc3(",
    };
    for (size_t i = 0; i < array_size(bad); i++) ck_assert(!utf8_isvalid(bad[i], strlen(bad[i])));
    const char *p = "\xe2\x28";
    ck_assert_int_eq(utf8_next(&p, p + 2), -1);
    ck_assert_int_eq(*p, '(');
    buf_free(&b);
    buf_free(&seven);
    buf_free(&back);
}
END_TEST

Suite *text_suite(void)
{
    Suite *s = suite_create("text");
    TCase *tc = tcase_create("text");

    tcase_add_test(tc, test_base64);
    tcase_add_test(tc, test_base64_round_trip);
    tcase_add_test(tc, test_utf7);
    tcase_add_test(tc, test_netunicode);
    tcase_add_test(tc, test_utf8);
    suite_add_tcase(s, tc);
    return s;
}
