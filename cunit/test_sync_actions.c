/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of a sync log taken apart, and merged into what is to be done for each owner (handbook 03 §12.2, §13.3).
 */
#include <config.h>

#include <check.h>
#include <string.h>

#include "sync_actions.h"
#include "sync_log.h"
#include "sync_logline.h"
#include "testutil.h"
#include "util.h"

static const struct {
    const char *text;
    enum sync_logread what;
    enum sync_logtype type;
    const char *a, *b;
} samples[] = {
    { "USER alice", SYNC_LOGREAD_OK, SYNC_LOG_USER, "alice", "" },
    { "user alice", SYNC_LOGREAD_OK, SYNC_LOG_USER, "alice", "" },
    { "SIEVE alice", SYNC_LOGREAD_OK, SYNC_LOG_META, "alice", "" },
    { "APPEND user.alice", SYNC_LOGREAD_OK, SYNC_LOG_MAILBOX, "user.alice", "" },
    { "MAILBOX \"user.anna.A \\\"b\\\" \\{c\\}\"", SYNC_LOGREAD_OK, SYNC_LOG_MAILBOX, "user.anna.A \"b\" {c}", "" },
    { "RENAME a \"b c\"", SYNC_LOGREAD_OK, SYNC_LOG_RENAME, "a", "b c" },
    { "ANNOTATION \"\"", SYNC_LOGREAD_OK, SYNC_LOG_ANNOTATION, "", "" },
    { "UNSUB alice user.alice", SYNC_LOGREAD_OK, SYNC_LOG_SUB, "alice", "user.alice" },
    { "MAILBOX user.\xc3\xa4", SYNC_LOGREAD_OK, SYNC_LOG_MAILBOX, "user.\xc3\xa4", "" },
    { "MAILBOX", SYNC_LOGREAD_IGNORED, 0, NULL, NULL },
    { "NEVER heard", SYNC_LOGREAD_UNKNOWN, 0, NULL, NULL },
    { "", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { " ", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "USER  alice", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "USER alice ", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "USER alice bob", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "RENAME a", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "RENAME a b c", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "MAILBOX \"user", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "MAILBOX \"user\\", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "MAILBOX \"user\"x", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "MAILBOX a\tb", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "MAILBOX a\r", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
    { "MAILBOX \"a\x01\"", SYNC_LOGREAD_GARBAGE, 0, NULL, NULL },
};

START_TEST(parse)
{
    struct sync_logline line = SYNC_LOGLINE_INITIALIZER;

    for (size_t i = 0; i < array_size(samples); i++) {
        ck_assert_msg(sync_logline_parse(samples[i].text, &line) == samples[i].what, "<%s>", samples[i].text);
        if (samples[i].what != SYNC_LOGREAD_OK) continue;
        ck_assert_msg(line.type == samples[i].type, "<%s>", samples[i].text);
        ck_assert_str_eq(buf_cstring(&line.args[0]), samples[i].a);
        ck_assert_str_eq(buf_cstring(&line.args[1]), samples[i].b);
    }
    sync_logline_fini(&line);
}
END_TEST

/* What is written is read, whatever the name. */
START_TEST(written_and_read)
{
    struct sync_logline line = SYNC_LOGLINE_INITIALIZER;
    struct buf text = BUF_INITIALIZER;
    char name[4] = "a?b";

    for (int c = ' '; c < 0x7f; c++) {
        name[1] = (char)c;
        ck_assert(sync_log_line("RENAME", name, name + 1, &text));
        ck_assert(sync_logline_parse(buf_cstring(&text), &line) == SYNC_LOGREAD_OK);
        ck_assert_str_eq(buf_cstring(&line.args[0]), name);
        ck_assert_str_eq(buf_cstring(&line.args[1]), name + 1);
    }
    buf_free(&text);
    sync_logline_fini(&line);
}
END_TEST

static struct sync_unit *unit(struct sync_actions *actions, int n, const char *owner)
{
    struct sync_unit *u = ptrarray_nth(&actions->units, n);

    ck_assert_str_eq(u->owner, owner);
    return u;
}

START_TEST(merge)
{
    static const char *const lines[] = {
        "MAILBOX user.bob", "APPEND user.alice.Work", "MAILBOX user.alice.Work", "MAILBOX user.bob", "MAILBOX news",
        "DOUBLEMAILBOX user.alice user.bob", "MAILBOX DELETED.user.bob.Old.6B083F4C", "SEEN alice 1234",
        "SEEN alice 1234", "SUB alice news", "UNSUB alice news", "QUOTA user.bob", "ANNOTATION \"\"", "META alice",
        "UNMAILBOX user.bob.Gone", "UNUSER carol", "USER dora", "garbage", "USER a/b", "MAILBOX \"\"",
    };
    struct sync_actions actions;

    sync_actions_init(&actions);
    for (size_t i = 0; i < array_size(lines); i++) sync_actions_add(&actions, lines[i], false);
    ck_assert_int_eq(ptrarray_size(&actions.units), 5);
    struct sync_unit *u = unit(&actions, 0, "bob");
    ck_assert_int_eq(strarray_size(&u->mailboxes), 2);
    ck_assert_str_eq(strarray_nth(&u->mailboxes, 1), "DELETED.user.bob.Old.6B083F4C");
    ck_assert_int_eq(strarray_size(&u->quotas), 1);
    ck_assert_int_eq(strarray_size(&u->unmailboxes), 1);
    ck_assert(!u->user && !u->unuser && !u->meta);
    u = unit(&actions, 1, "alice");
    ck_assert_int_eq(strarray_size(&u->mailboxes), 3);
    ck_assert_int_eq(strarray_size(&u->seen), 1);
    ck_assert_int_eq(strarray_size(&u->subs), 1);
    ck_assert(u->meta && !u->user);
    u = unit(&actions, 2, "");
    ck_assert_int_eq(strarray_size(&u->mailboxes), 1);
    ck_assert_int_eq(strarray_size(&u->annotations), 1);
    ck_assert(unit(&actions, 3, "carol")->unuser);
    ck_assert(unit(&actions, 4, "dora")->user);
    sync_actions_fini(&actions);
}
END_TEST

/* It is a matter of both owners as wholes; shared mailboxes have none. */
START_TEST(renames)
{
    struct sync_actions actions;

    sync_actions_init(&actions);
    sync_actions_add(&actions, "RENAME user.alice.A user.bob.A", false);
    sync_actions_add(&actions, "RENAME user.alice.B news.b", true);
    ck_assert_int_eq(ptrarray_size(&actions.units), 3);
    struct sync_unit *u = unit(&actions, 0, "alice");
    ck_assert(u->user && u->retried);
    ck_assert_int_eq(strarray_size(&u->mailboxes), 4);
    u = unit(&actions, 1, "bob");
    ck_assert(u->user && !u->retried);
    u = unit(&actions, 2, "");
    ck_assert(!u->user);
    ck_assert_int_eq(strarray_size(&u->mailboxes), 2);
    sync_actions_fini(&actions);
}
END_TEST

static void group_is(const ptrarray_t *groups, int i, const char *owners)
{
    const ptrarray_t *group = ptrarray_nth(groups, i);
    struct buf b = BUF_INITIALIZER;

    for (int k = 0; k < ptrarray_size(group); k++) {
        const struct sync_unit *u = ptrarray_nth(group, k);
        buf_printf(&b, "%s<%s>", k ? " " : "", u->owner);
    }
    ck_assert_str_eq(buf_cstring(&b), owners);
    buf_free(&b);
}

/* Who is told of in one line goes with the other, also by way of a third; one that there is nothing to be done for is not made. */
START_TEST(groups)
{
    static const char *const lines[] = {
        "MAILBOX user.alice", "MAILBOX user.bob", "USER carol", "MAILBOX user.dora", "MAILBOX news", "MAILBOX user.erin",
        "RENAME user.dora.A user.alice.A", "DOUBLEMAILBOX user.erin user.bob", "DOUBLEMAILBOX user.frank user.nobody",
        "RENAME user.gina.A user.gina.B", "RENAME user.alice.B user.henry.B", "RENAME user.ivan.A news.a",
    };
    struct sync_actions actions;
    ptrarray_t found = PTRARRAY_INITIALIZER;

    sync_actions_init(&actions);
    for (size_t i = 0; i < array_size(lines); i++) sync_actions_add(&actions, lines[i], false);
    sync_actions_groups(&actions, &found);
    ck_assert_int_eq(ptrarray_size(&found), 6);
    group_is(&found, 0, "<alice> <dora> <henry>");
    group_is(&found, 1, "<bob> <erin>");
    group_is(&found, 2, "<carol>");
    group_is(&found, 3, "<> <ivan>");
    group_is(&found, 4, "<frank>");
    group_is(&found, 5, "<gina>");
    ck_assert_ptr_null(sync_actions_unit(&actions, "nobody"));
    ptrarray_fini_with(&found, sync_group_free);
    sync_actions_fini(&actions);
}
END_TEST

START_TEST(whom_a_line_concerns)
{
    static const char *const of_alice[] = { "USER alice", "MAILBOX user.alice.Work", "SEEN alice 0123", "SUB alice user.bob",
                                            "RENAME user.bob.x user.alice.x", "RENAME user.alice.x user.bob.x",
                                            "DOUBLEMAILBOX user.bob user.alice.x", "DOUBLEMAILBOX user.alice.x user.bob" };
    static const char *const of_others[] = { "USER bob", "USER alicea", "MAILBOX user.alicea", "MAILBOX alice", "SUB bob user.alice",
                                             "ANNOTATION \"\"", "NEVER alice", "MAILBOX", "" };

    for (size_t i = 0; i < array_size(of_alice); i++) ck_assert_msg(sync_actions_concern(of_alice[i], "alice"), "<%s>", of_alice[i]);
    for (size_t i = 0; i < array_size(of_others); i++)
        ck_assert_msg(!sync_actions_concern(of_others[i], "alice"), "<%s>", of_others[i]);
}
END_TEST

Suite *sync_actions_suite(void)
{
    Suite *s = suite_create("sync_actions");
    TCase *tc = tcase_create("sync_actions");

    tcase_add_test(tc, parse);
    tcase_add_test(tc, written_and_read);
    tcase_add_test(tc, merge);
    tcase_add_test(tc, renames);
    tcase_add_test(tc, groups);
    tcase_add_test(tc, whom_a_line_concerns);
    suite_add_tcase(s, tc);
    return s;
}
