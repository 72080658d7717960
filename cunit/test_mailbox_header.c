/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrus.header: the file of handbook 02 §9.1 byte for byte, the older forms, and
 * files that must be refused.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "crc32.h"
#include "imap_err.h"
#include "mailbox_header.h"
#include "mbtype.h"
#include "testutil.h"
#include "util.h"

static const char file_hex[] = "a1028b0d4379727573206d61696c626f78206865616465720a22546865206265737"
                               "4207468696e672061626f75742074"
                               "6869732073797374656d20776173207468617420697420686164206c6f7473206f6"
                               "620676f616c732e220a092d2d4a69"
                               "6d204d6f72726973206f6e20416e647265770a2528542065204e20757365722e636"
                               "17373616e64616e652049206a3963"
                               "6363687633367032623730756a646374636c68616b204120252863617373616e646"
                               "16e65206c72737769706b78746563"
                               "64616e2920552028244c6162656c31204a756e6b29290a";

static struct mailbox_header h;

static void setup(void)
{
    mailbox_header_init(&h);
}

static void teardown(void)
{
    mailbox_header_fini(&h);
}

/* The magic with this text behind it. */
static int parse(const char *text, size_t len)
{
    struct buf file = BUF_INITIALIZER;

    test_unhex(file_hex, &file);
    buf_truncate(&file, MAILBOX_HEADER_MAGIC_SIZE);
    buf_appendmap(&file, text, len);
    int r = mailbox_header_parse(&h, file.s, file.len);
    buf_free(&file);
    return r;
}

static int parse_str(const char *text)
{
    return parse(text, strlen(text));
}

static void assert_prints(const char *text)
{
    struct buf out = BUF_INITIALIZER;

    mailbox_header_print(&h, &out);
    ck_assert_str_eq(buf_cstring(&out) + MAILBOX_HEADER_MAGIC_SIZE, text);
    buf_free(&out);
}

START_TEST(vector)
{
    struct buf file = BUF_INITIALIZER, out = BUF_INITIALIZER;

    test_unhex(file_hex, &file);
    ck_assert_uint_eq(file.len, 215);
    ck_assert_uint_eq(crc32_buf(&file), 0x22492e7d);
    ck_assert_int_eq(mailbox_header_parse(&h, file.s, file.len), 0);
    ck_assert_int_eq(h.format, MAILBOX_HEADER_DLIST);
    ck_assert_uint_eq(h.mbtype, MBTYPE_EMAIL);
    ck_assert_str_eq(h.name, "user.cassandane");
    ck_assert_str_eq(h.uniqueid, "j9ccchv36p2b70ujdctclhak");
    ck_assert_ptr_null(h.quotaroot);
    ck_assert_str_eq(h.acl, "cassandane\tlrswipkxtecdan\t");
    ck_assert_int_eq(h.flags.count, 2);
    ck_assert_str_eq(strarray_nth(&h.flags, 1), "Junk");
    mailbox_header_print(&h, &out);
    test_assert_bytes_eq(out.s, out.len, file.s, file.len);
    buf_free(&file);
    buf_free(&out);
}
END_TEST

/* Texts seen from 3.6.1. */
START_TEST(dlist_forms)
{
    static const char *const same[] = {
        "%(T e N user.alice.DELETED I 33c0x98taham9ffzo0lsrsua A %(alice lrswipkxtecdan))\n",
        "%(T e N NIL I NIL Q user.bob A %(bob lrswipkxtecdan) U (Flag1 Two New))\n",
        "%(T el N user.x I abc A %() U (NIL NIL A NIL B))\n",
        "%(T e N user.bob I bdn1 A %(bob l \"sp ace\" lr -neg lr {3+}\r\nq\"x lr) U (\"NIL\"))\n",
        "%(T b N example.org!user.e^ve I abc)\n",
    };

    for (size_t i = 0; i < array_size(same); i++) {
        ck_assert_msg(!parse_str(same[i]), "%s", same[i]);
        assert_prints(same[i]);
    }
    ck_assert_str_eq(h.name, "example.org!user.e^ve");
    ck_assert_ptr_null(h.acl);
}
END_TEST

START_TEST(dlist_liberal)
{
    ck_assert_int_eq(
        parse_str(
            "%(I id J jmapid N user.x X (a %(b c)) U (A NIL NIL) Y {2}\r\n\n) A %(b {1}\r\nl))\n"),
        0);
    ck_assert_uint_eq(h.mbtype, MBTYPE_EMAIL);
    assert_prints("%(T e N user.x I id A %(b l) U (A))\n");
}
END_TEST

START_TEST(text_forms)
{
    ck_assert_int_eq(parse_str("user.bob\twju1\t\nFlag1 Two  New\nbob\tlrs\tanyone\tl\t\nmore"), 0);
    ck_assert_int_eq(h.format, MAILBOX_HEADER_TEXT);
    ck_assert_int_eq(h.flags.count, 4);
    ck_assert_ptr_null(strarray_nth(&h.flags, 2));
    assert_prints("%(T e N NIL I wju1 Q user.bob A %(bob lrs anyone l) U (Flag1 Two NIL New))\n");

    ck_assert_int_eq(parse_str("\t1234567890abcdef\n\n\n"), 0);
    assert_prints("%(T e N NIL I 1234567890abcdef A %())\n");

    ck_assert_int_eq(parse_str("user.bob\n\nbob\tlrs\t\n"), 0);
    ck_assert_int_eq(h.format, MAILBOX_HEADER_OLDEST);
    assert_prints("%(T e N NIL I NIL Q user.bob A %(bob lrs))\n");
}
END_TEST

START_TEST(refused)
{
    static const char *const bad[] = {
        "",
        "%",
        "%(T ec)\n",
        "%(T e",
        "%(T e N x) y\n",
        "%(U (A)",
        "%(T e N user.a/b)\n",
        "%(T e N user..a)\n",
        ("%(T e N {7+}\r\nuser.\x1f" "a)\n"),
        "%(T e Q user.a/b)\n",
        "%(T e Q ..)\n",
        "../x\tid\n\n\n",
        "%(U x)\n",
        "%(A (x))\n",
        "\t\n\n\n",
        "user.x\t\n\n\n",
        "user.x\tid\nflags\n",
        "user.x\tid\n\nx\tl\ty\n",
        "user.x",
    };

    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(parse_str(bad[i]) == IMAP_MAILBOX_BADFORMAT, "%s", bad[i]);
        ck_assert_ptr_null(h.name);
    }
    ck_assert_int_eq(parse("%(N a\0b)", 9), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(parse("a\0b\tid\n\n\n", 9), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mailbox_header_parse(&h, "", 0), IMAP_MAILBOX_BADFORMAT);
    /* wrong magic */
    struct buf file = BUF_INITIALIZER;
    test_unhex(file_hex, &file);
    file.s[100] ^= 1;
    ck_assert_int_eq(mailbox_header_parse(&h, file.s, file.len), IMAP_MAILBOX_BADFORMAT);
    buf_free(&file);
}
END_TEST

static void add_flags(int n)
{
    char name[16];
    int slot;

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "F%d", i);
        ck_assert_int_eq(mailbox_header_add_flag(&h, name, MAX_USER_FLAGS, &slot, NULL), 0);
        ck_assert_int_eq(slot, i);
    }
}

START_TEST(flags)
{
    int slot = -1;
    bool isnew;

    add_flags(100);
    ck_assert_int_eq(mailbox_header_add_flag(&h, "new", MAX_CLIENT_USER_FLAGS, &slot, NULL),
                     IMAP_USERFLAG_EXHAUSTED);
    ck_assert_int_eq(mailbox_header_add_flag(&h, "f7", MAX_CLIENT_USER_FLAGS, &slot, &isnew), 0);
    ck_assert_int_eq(slot, 7);
    ck_assert(!isnew);
    ck_assert_str_eq(strarray_nth(&h.flags, 7), "F7"); /* the first spelling stays */
    mailbox_header_remove_flag(&h, 7);
    ck_assert_int_eq(mailbox_header_find_flag(&h, "F7"), -1);
    ck_assert_int_eq(mailbox_header_add_flag(&h, "new", MAX_CLIENT_USER_FLAGS, &slot, &isnew), 0);
    ck_assert_int_eq(slot, 7);
    ck_assert(isnew);
    mailbox_header_remove_flag(&h, 99);
    mailbox_header_remove_flag(&h, 500);
    ck_assert_int_eq(h.flags.count, 99);
    ck_assert_int_eq(mailbox_header_add_flag(&h, "a b", MAX_USER_FLAGS, &slot, NULL),
                     IMAP_INVALID_IDENTIFIER);
    for (int i = 99; i < MAX_USER_FLAGS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "G%d", i);
        ck_assert_int_eq(mailbox_header_add_flag(&h, name, MAX_USER_FLAGS, &slot, NULL), 0);
    }
    ck_assert_int_eq(mailbox_header_add_flag(&h, "toomany", 1000, &slot, NULL),
                     IMAP_USERFLAG_EXHAUSTED);

    struct mailbox_header copy = MAILBOX_HEADER_INITIALIZER;
    mailbox_header_copy(&copy, &h);
    ck_assert_int_eq(copy.flags.count, MAX_USER_FLAGS);
    mailbox_header_fini(&copy);
}
END_TEST

/* 129 names in the file. */
START_TEST(too_many_flags)
{
    struct buf text = BUF_INITIALIZER;

    buf_appendcstr(&text, "%(T e N x I y U (");
    for (int i = 0; i < 129; i++) buf_printf(&text, "%sF%d", i ? " " : "", i);
    buf_appendcstr(&text, "))\n");
    ck_assert_int_eq(parse_str(buf_cstring(&text)), IMAP_MAILBOX_BADFORMAT);
    buf_free(&text);
}
END_TEST

/* The bytes a flag name may have, as 3.6.1 takes them from STORE. */
START_TEST(flag_names)
{
    static const char good[] =
        "!#$&'+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz|}~";

    for (int c = 1; c < 256; c++) {
        char name[] = { 'a', (char)c, 'b', '\0' };
        ck_assert_msg(mailbox_flag_isvalid(name) == (strchr(good, c) != NULL), "byte %02x", c);
    }
    ck_assert(!mailbox_flag_isvalid(""));
}
END_TEST

/* Changed bytes: parsed or refused, and what was parsed can be printed and parsed again. */
START_TEST(mutations)
{
    static const char *const texts[] = {
        "%(T e N user.bob I bdn1 Q user A %(bob l \"sp ace\" lr {3+}\r\nq\"x lr) U (\"NIL\" NIL "
        "B))\n",
        "user.bob\twju1\t\nFlag1 Two  New\nbob\tlrs\tanyone\tl\t\n",
    };
    struct buf out = BUF_INITIALIZER;

    srandom((unsigned)_i + 1);
    for (int k = 0; k < 3000; k++) {
        char *copy = strdup(texts[k % 2]);
        size_t len = strlen(copy);
        for (int m = random() % 3; m >= 0; m--)
            copy[(size_t)random() % len] = "()% {}\"\\x1\t\n"[random() % 12];
        len -= (size_t)random() % 3;
        if (!parse(copy, len)) {
            mailbox_header_print(&h, &out);
            ck_assert_int_eq(mailbox_header_parse(&h, out.s, out.len), 0);
        }
        free(copy);
    }
    buf_free(&out);
}
END_TEST

Suite *mailbox_header_suite(void)
{
    Suite *s = suite_create("mailbox_header");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, vector);
    tcase_add_test(tc, dlist_forms);
    tcase_add_test(tc, dlist_liberal);
    tcase_add_test(tc, text_forms);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, flags);
    tcase_add_test(tc, too_many_flags);
    tcase_add_test(tc, flag_names);
    tcase_add_loop_test(tc, mutations, 0, 5);
    suite_add_tcase(s, tc);
    return s;
}
