/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of the sync log (handbook 01 §7.11).
 */
#include <config.h>

#include <check.h>
#include <string.h>

#include "buf.h"
#include "sync_log.h"
#include "testutil.h"
#include "util.h"

static const struct {
    const char *type, *arg1, *arg2, *line;
} samples[] = {
    { "USER", "alice", NULL, "USER alice" },
    { "MAILBOX", "user.alice.Sent Items", NULL, "MAILBOX \"user.alice.Sent Items\"" },
    { "MAILBOX", "dom.example.org!user.erin", NULL, "MAILBOX dom.example.org!user.erin" },
    { "RENAME", "user.alice.foo", "user.alice.newfoo", "RENAME user.alice.foo user.alice.newfoo" },
    { "ANNOTATION", "", NULL, "ANNOTATION \"\"" },
    { "MAILBOX", "a\\b{c}\"d", NULL, "MAILBOX \"a\\\\b\\{c\\}\\\"d\"" },
    { "MAILBOX", "a(b)", NULL, "MAILBOX \"a(b)\"" },
};

START_TEST(lines)
{
    struct buf line = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(samples); i++) {
        ck_assert(sync_log_line(samples[i].type, samples[i].arg1, samples[i].arg2, &line));
        ck_assert_str_eq(buf_cstring(&line), samples[i].line);
    }
    buf_free(&line);
}
END_TEST

START_TEST(no_line_breaks)
{
    struct buf line = BUF_INITIALIZER, name = BUF_INITIALIZER;

    ck_assert(!sync_log_line("MAILBOX", "user.a\nUNUSER b", NULL, &line));
    ck_assert(!sync_log_line("RENAME", "user.a", "user.b\r", &line));
    buf_appendfill(&name, 'x', 4087);
    ck_assert(sync_log_line("MAILBOX", buf_cstring(&name), NULL, &line));
    buf_putc(&name, 'x');
    ck_assert(!sync_log_line("MAILBOX", buf_cstring(&name), NULL, &line));
    buf_free(&line);
    buf_free(&name);
}
END_TEST

Suite *sync_log_suite(void)
{
    Suite *s = suite_create("sync_log");
    TCase *tc = tcase_create("sync_log");

    tcase_add_test(tc, lines);
    tcase_add_test(tc, no_line_breaks);
    suite_add_tcase(s, tc);
    return s;
}
