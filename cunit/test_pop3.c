/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * POP3: command lines, messages on the wire, the queue of logins.
 */
#include <config.h>

#include <check.h>
#include <string.h>

#include "maildrop.h"
#include "pop3_session.h"
#include "util.h"

/* ---- command lines ---- */

static const struct {
    const char *line;
    size_t len;              /* 0: strlen */
    const char *verb, *args; /* verb NULL: no command */
} lines[] = {
    { "STAT", 0, "STAT", NULL }, { "STAT ", 0, "STAT", "" },  { "LIST  1 2", 0, "LIST", " 1 2" },
    { "", 0, "", NULL },         { " CAPA", 0, "", "CAPA" },  { "\xff\xfe x", 0, "\xff\xfe", "x" },
    { "ST\0AT", 5, NULL, NULL }, { "STAT\0", 5, NULL, NULL }, { "USER a\0b", 8, NULL, NULL },
};

START_TEST(command_lines)
{
    struct buf line = BUF_INITIALIZER;
    struct pop3_line got;

    for (size_t i = 0; i < array_size(lines); i++) {
        buf_setmap(&line, lines[i].line, lines[i].len ? lines[i].len : strlen(lines[i].line));
        bool ok = pop3_parse_line(&line, &got);
        ck_assert_msg(ok == (lines[i].verb != NULL), "%s", lines[i].line);
        if (!ok) continue;
        ck_assert_str_eq(got.verb, lines[i].verb);
        ck_assert_pstr_eq(got.args, lines[i].args);
    }
    buf_free(&line);
}
END_TEST

START_TEST(numbers)
{
    const char *p;
    uint32_t n;

    p = "  12 x";
    ck_assert(pop3_parse_number(&p, &n));
    ck_assert_uint_eq(n, 12);
    ck_assert_str_eq(p, " x");
    p = "4294967295";
    ck_assert(pop3_parse_number(&p, &n));
    ck_assert_uint_eq(n, UINT32_MAX);
    const char *const bad[] = { "", " ", "x", "-1", "+1", "4294967296", "99999999999999999999999" };
    for (size_t i = 0; i < array_size(bad); i++) {
        p = bad[i];
        ck_assert_msg(!pop3_parse_number(&p, &n), "%s", bad[i]);
    }
}
END_TEST

START_TEST(commands_are_found_in_any_case)
{
    ck_assert_str_eq(pop3_command_find("StAt")->name, "STAT");
    ck_assert_ptr_null(pop3_command_find("STA"));
    ck_assert_ptr_null(pop3_command_find("STATX"));
    ck_assert_ptr_null(pop3_command_find(""));
}
END_TEST

/* ---- messages ---- */

static const struct {
    const char *message, *wire;
} stuffed[] = {
    { "", ".\r\n" },
    { "a\r\n", "a\r\n.\r\n" },
    { "a", "a\r\n.\r\n" },
    { ".", "..\r\n.\r\n" },
    { ".\r\n", "..\r\n.\r\n" },
    { "..\r\n.x\r\n", "...\r\n..x\r\n.\r\n" },
    { "a.b\r\n.c.\r\n\r\n.\r\n", "a.b\r\n..c.\r\n\r\n..\r\n.\r\n" },
    { "a\n.b\n", "a\n..b\n.\r\n" },
    { "a\r\n.", "a\r\n..\r\n.\r\n" },
};

START_TEST(dots_are_doubled)
{
    for (size_t i = 0; i < array_size(stuffed); i++) {
        struct buf wire = BUF_INITIALIZER;
        struct protstream *out = prot_writebuf(&wire);
        pop3_send_message(out, stuffed[i].message, strlen(stuffed[i].message));
        prot_flush(out);
        ck_assert_str_eq(buf_cstring(&wire), stuffed[i].wire);
        prot_free(out);
        buf_free(&wire);
    }
}
END_TEST

START_TEST(tops)
{
    static const char text[] = "A: b\r\n c\r\n\r\none\r\n\r\nthree";
    const size_t header = strlen("A: b\r\n c\r\n\r\n");

    ck_assert_uint_eq(pop3_top_length(text, strlen(text), 0), header);
    ck_assert_uint_eq(pop3_top_length(text, strlen(text), 1), header + 5);
    ck_assert_uint_eq(pop3_top_length(text, strlen(text), 2), header + 7);
    ck_assert_uint_eq(pop3_top_length(text, strlen(text), 3), strlen(text));
    ck_assert_uint_eq(pop3_top_length(text, strlen(text), UINT32_MAX), strlen(text));
    ck_assert_uint_eq(pop3_top_length("A: b\r\n", 6, 5), 6); /* no blank line */
    ck_assert_uint_eq(pop3_top_length("\r\nbody\r\n", 8, 0), 2);
    ck_assert_uint_eq(pop3_top_length("A: b\n\nx\n", 8, 0), 6);
    ck_assert_uint_eq(pop3_top_length("A: b\r", 5, 0), 5);
    ck_assert_uint_eq(pop3_top_length("\r", 1, 0), 1);
    ck_assert_uint_eq(pop3_top_length("", 0, 7), 0);
}
END_TEST

/* ---- the queue of logins ---- */

/* Sessions at these seconds; what 3.6.1 stored and said. */
START_TEST(polling)
{
    time_t next;

    /* no rule: the time itself */
    ck_assert(maildrop_poll_allowed(1000, 1000, 0, 1, &next));
    ck_assert_int_eq(next, 1000);
    /* one session in 60 seconds */
    ck_assert(maildrop_poll_allowed(0, 1000, 60, 1, &next));
    ck_assert_int_eq(next, 1000);
    ck_assert(!maildrop_poll_allowed(1000, 1059, 60, 1, &next));
    ck_assert(maildrop_poll_allowed(1000, 1060, 60, 1, &next));
    ck_assert_int_eq(next, 1060);
    /* three at once, then one every 120 seconds */
    ck_assert(maildrop_poll_allowed(0, 1000, 120, 3, &next));
    ck_assert_int_eq(next, 760);
    ck_assert(maildrop_poll_allowed(next, 1000, 120, 3, &next));
    ck_assert_int_eq(next, 880);
    ck_assert(maildrop_poll_allowed(next, 1000, 120, 3, &next));
    ck_assert_int_eq(next, 1000);
    ck_assert(!maildrop_poll_allowed(1000, 1119, 120, 3, &next));
    ck_assert(maildrop_poll_allowed(1000, 1120, 120, 3, &next));
    ck_assert_int_eq(next, 1120);
    /* a padding that makes no sense is one */
    ck_assert(!maildrop_poll_allowed(1000, 1001, 60, 0, &next));
    ck_assert(!maildrop_poll_allowed(1000, 1001, 60, -5, &next));
}
END_TEST

Suite *pop3_suite(void)
{
    Suite *s = suite_create("pop3");
    TCase *tc = tcase_create("wire");

    tcase_add_test(tc, command_lines);
    tcase_add_test(tc, numbers);
    tcase_add_test(tc, commands_are_found_in_any_case);
    tcase_add_test(tc, dots_are_doubled);
    tcase_add_test(tc, tops);
    tcase_add_test(tc, polling);
    suite_add_tcase(s, tc);
    return s;
}
