/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Comparing two views of a user: for each fact, exactly that difference is made and exactly that
 * one has to be found. And the report of what was found.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "check_replication_model.h"
#include "check_replication_report.h"
#include "check_testutil.h"
#include "imap_err.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

START_TEST(equal)
{
    ck_assert_str_eq(cr_compare(), "");
    ck_assert_uint_eq(cr_run.counts[CHECK_USERS].a, 1);
    ck_assert_uint_eq(cr_run.counts[CHECK_MAILBOXES].b, 2);
    ck_assert_uint_eq(cr_run.counts[CHECK_ACL].a, 4);
    ck_assert_uint_eq(cr_run.counts[CHECK_SPECIALUSE].a, 2);
    ck_assert_uint_eq(cr_run.counts[CHECK_METADATA].a, 2);
    ck_assert_uint_eq(cr_run.counts[CHECK_SUBSCRIPTIONS].b, 2);
    ck_assert_uint_eq(cr_run.counts[CHECK_QUOTAS].b, 2);
    ck_assert_uint_eq(cr_run.counts[CHECK_MESSAGES].a, 6);
    ck_assert_uint_eq(cr_run.counts[CHECK_FLAGS].b, 12);
    ck_assert_uint_eq(cr_run.counts[CHECK_SEEN].a, 6);
    ck_assert_uint_eq(cr_run.counts[CHECK_ANNOTATIONS].a, 6);
    for (int i = 0; i < CHECK_NWHATS; i++) ck_assert_uint_eq(cr_run.counts[i].differ, 0);
}
END_TEST

/* Each changes one fact of B: the mailbox user/anna, or its message 2. */
static void uidvalidity(struct check_mailbox *m)
{
    m->uidvalidity = 8;
}
static void uidnext(struct check_mailbox *m)
{
    m->uidnext = 5;
}
static void highestmodseq(struct check_mailbox *m)
{
    m->highestmodseq = 21;
}
static void createdmodseq(struct check_mailbox *m)
{
    m->createdmodseq = 3;
}
static void uniqueid(struct check_mailbox *m)
{
    cr_set(&m->uniqueid, "idx");
}
static void rights(struct check_mailbox *m)
{
    cr_set(&m->acl.v[0].value, "lrs");
}
static void identifier(struct check_mailbox *m)
{
    cr_set(&m->acl.v[0].key, "bert");
}
static void acl_more(struct check_mailbox *m)
{
    check_pairs_add(&m->acl, "zoe", "l");
}
static void comment(struct check_mailbox *m)
{
    cr_set(&m->metadata.v[0].value, "bye");
}
static void specialuse(struct check_mailbox *m)
{
    cr_set(&m->metadata.v[1].value, "\\Trash");
}
static void root(struct check_mailbox *m)
{
    cr_set(&m->quotaroot, "");
}
static void guid(struct check_mailbox *m)
{
    memset(&m->messages[1].rec.guid, 1, 20);
}
static void size(struct check_mailbox *m)
{
    m->messages[1].rec.size = 1;
}
static void date(struct check_mailbox *m)
{
    m->messages[1].rec.internaldate++;
}
static void savedate(struct check_mailbox *m)
{
    m->messages[1].rec.savedate++;
}
static void flags(struct check_mailbox *m)
{
    cr_set(&m->messages[1].flags, "");
}
static void seen(struct check_mailbox *m)
{
    m->messages[1].seen = false;
}
static void modseq(struct check_mailbox *m)
{
    m->messages[1].rec.modseq = 99;
}
static void created(struct check_mailbox *m)
{
    m->messages[1].rec.createdmodseq = 98;
}
static void cid(struct check_mailbox *m)
{
    m->messages[1].rec.cid = 1;
}
static void annotation(struct check_mailbox *m)
{
    cr_set(&m->messages[1].annotations, "");
}
static void other_uid(struct check_mailbox *m)
{
    m->messages[2].rec.uid = 9;
}

static const struct {
    void (*change)(struct check_mailbox *m);
    enum check_what what;
    const char *lines;
} facts[] = {
    { uidvalidity, CHECK_STATE, "anna user/anna 0 UIDVALIDITY: 7 | 8\n" },
    { uidnext, CHECK_STATE, "anna user/anna 0 UIDNEXT: 4 | 5\n" },
    { highestmodseq, CHECK_STATE, "anna user/anna 0 HIGHESTMODSEQ: 20 | 21\n" },
    { createdmodseq, CHECK_STATE, "anna user/anna 0 CREATEDMODSEQ: 2 | 3\n" },
    { uniqueid, CHECK_MAILBOXES, "anna user/anna 0 uniqueid: id1 | idx\n" },
    { rights, CHECK_ACL, "anna user/anna 0 ACL of bob: lr | lrs\n" },
    { identifier, CHECK_ACL,
      "anna user/anna 0 ACL of bert: - | lr\nanna user/anna 0 ACL of bob: lr | -\n" },
    { acl_more, CHECK_ACL, "anna user/anna 0 ACL of zoe: - | l\n" },
    { comment, CHECK_METADATA, "anna user/anna 0 /shared/comment: hello | bye\n" },
    { specialuse, CHECK_SPECIALUSE, "anna user/anna 0 /private/specialuse: \\Sent | \\Trash\n" },
    { root, CHECK_QUOTAROOTS, "anna user/anna 0 quota root: user/anna | \n" },
    { guid, CHECK_CONTENTS,
      "anna user/anna 2 digest: ad782ecdac770fc6eb9a62e44f90873fb97fb26b | "
      "0101010101010101010101010101010101010101\n" },
    { size, CHECK_CONTENTS, "anna user/anna 2 size: 3000 | 1\n" },
    { date, CHECK_DATES,
      "anna user/anna 2 internal date: 14-Nov-2023 22:13:20 +0000 | 14-Nov-2023 22:13:21 +0000\n" },
    { savedate, CHECK_DATES,
      "anna user/anna 2 save date: 14-Nov-2023 22:13:21 +0000 | 14-Nov-2023 22:13:22 +0000\n" },
    { flags, CHECK_FLAGS, "anna user/anna 2 flags: \\Flagged kw | \n" },
    { seen, CHECK_SEEN, "anna user/anna 2 seen: yes | no\n" },
    { modseq, CHECK_MODSEQS, "anna user/anna 2 modseq: 12 | 99\n" },
    { created, CHECK_MODSEQS, "anna user/anna 2 created modseq: 2 | 98\n" },
    { cid, CHECK_CIDS, "anna user/anna 2 conversation id: 000000000000abc2 | 0000000000000001\n" },
    { annotation, CHECK_ANNOTATIONS, "anna user/anna 2 annotations: /comment value.shared x | \n" },
    { other_uid, CHECK_MESSAGES,
      "anna user/anna 3 message: digest fe05bcdcdc4928012781a5f1a2a77cbb5398e106, 3000 octets | -\n"
      "anna user/anna 9 message: - | digest fe05bcdcdc4928012781a5f1a2a77cbb5398e106, 3000 "
      "octets\n" },
};

START_TEST(each_fact)
{
    facts[_i].change(&cr_b.mailboxes[1]);
    ck_assert_str_eq(cr_compare(), facts[_i].lines);
    ck_assert_uint_eq(cr_run.counts[facts[_i].what].differ,
                      _i == 6 || _i == (int)array_size(facts) - 1 ? 2 : 1);
}
END_TEST

START_TEST(mailbox_on_one_end)
{
    cr_add_mailbox(&cr_b, "user/anna/New", "id3");
    ck_assert_str_eq(cr_compare(), "anna user/anna/New 0 mailbox: - | uniqueid id3, 3 messages\n");
    ck_assert_uint_eq(cr_run.counts[CHECK_MESSAGES].a, 6);
    ck_assert_uint_eq(cr_run.counts[CHECK_MESSAGES].b, 9);
}
END_TEST

START_TEST(renamed_mailbox)
{
    cr_set(&cr_b.mailboxes[0].name, "user/anna/Play");
    strarray_append(&cr_b.subscriptions, "user/anna/Play");
    seen(&cr_b.mailboxes[0]);
    ck_assert_str_eq(cr_compare(), "anna user/anna/Play 0 subscription: - | yes\n"
                                "anna user/anna/Work 0 name: user/anna/Work | user/anna/Play\n"
                                "anna user/anna/Work 2 seen: yes | no\n");
}
END_TEST

/* Two mailboxes whose names were exchanged. */
START_TEST(exchanged_names)
{
    cr_set(&cr_b.mailboxes[0].name, "user/anna");
    cr_set(&cr_b.mailboxes[1].name, "user/anna/Work");
    ck_assert_str_eq(cr_compare(), "anna user/anna 0 uniqueid: id1 | id2\n"
                                "anna user/anna/Work 0 uniqueid: id2 | id1\n");
}
END_TEST

START_TEST(user_on_one_end)
{
    check_user_free(&cr_b);
    check_user_init(&cr_b, "anna");
    ck_assert_str_eq(cr_compare(), "anna - 0 user: INBOX | -\n"
                                "anna user/anna 0 subscription: yes | -\n"
                                "anna user/anna/Work 0 subscription: yes | -\n"
                                "anna user/anna 0 mailbox: uniqueid id1, 3 messages | -\n"
                                "anna user/anna/Work 0 mailbox: uniqueid id2, 3 messages | -\n"
                                "anna user/anna 0 quota root itself: yes | -\n");
}
END_TEST

START_TEST(closed_mailbox)
{
    cr_b.mailboxes[1].opened = false;
    check_mailbox_dropmessages(&cr_b.mailboxes[1]);
    cr_b.quotas[0].resources[1].used = 9;
    ck_assert_str_eq(cr_compare(), "anna user/anna 0 MESSAGE: 6/50 | 9/50 # A counts every copy "
                                "(distinct messages: 2); B: not all messages could be counted\n");
}
END_TEST

START_TEST(no_conversations_on_one_end)
{
    cr_run.facts[1] &= ~CHECK_FACT_BIT(CHECK_FACT_CID);
    cid(&cr_b.mailboxes[1]);
    ck_assert_str_eq(cr_compare(), "");
    ck_assert_uint_eq(cr_run.counts[CHECK_CIDS].a, 0);
}
END_TEST

/* What one server can't tell is no difference, whatever the other says. */
static const struct {
    void (*change)(struct check_mailbox *m);
    enum check_fact fact;
} unknown_facts[] = {
    { guid, CHECK_FACT_DIGEST },          { modseq, CHECK_FACT_MODSEQ },
    { highestmodseq, CHECK_FACT_MODSEQ }, { created, CHECK_FACT_CREATED },
    { createdmodseq, CHECK_FACT_CREATED }, { savedate, CHECK_FACT_SAVEDATE },
    { annotation, CHECK_FACT_ANNOTATION }, { cid, CHECK_FACT_CID },
    { uniqueid, CHECK_FACT_METADATA },    { comment, CHECK_FACT_METADATA },
    { specialuse, CHECK_FACT_METADATA },  { rights, CHECK_FACT_ACL },
    { root, CHECK_FACT_QUOTA },
};

START_TEST(each_unknown_fact)
{
    unknown_facts[_i].change(&cr_b.mailboxes[1]);
    cr_run.facts[_i % 2] &= ~CHECK_FACT_BIT(unknown_facts[_i].fact);
    ck_assert_str_eq(cr_compare(), "");
}
END_TEST

START_TEST(scripts_and_reads)
{
    check_pairs_add(&cr_a.scripts, "one.script", "82f868");
    check_pairs_add(&cr_b.scripts, "one.script", "82f869");
    check_pairs_add(&cr_b.scripts, "one.bc", "active");
    check_pairs_add(&cr_a.reads, "id9", "1:4 up to 5");
    ck_assert_str_eq(cr_compare(), "anna - 0 seen in mailbox id9: 1:4 up to 5 | -\n"
                                "anna - 0 Sieve script one.bc: - | active\n"
                                "anna - 0 Sieve script one.script: 82f868 | 82f869\n");
    buf_reset(&cr_told);
    cr_run.facts[0] &= ~CHECK_FACT_BIT(CHECK_FACT_META);
    ck_assert_str_eq(cr_compare(), "");
}
END_TEST

START_TEST(uids_out_of_order)
{
    cr_b.mailboxes[1].messages[0].rec.uid = 3;
    const char *text = cr_compare();
    const char *at = strstr(text, error_message(IMAP_MAILBOX_BADFORMAT));
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(at[strlen(error_message(IMAP_MAILBOX_BADFORMAT)) + 1], 'B');
}
END_TEST

/* ---- lines and JSON ---- */

static const char *report(bool json)
{
    static char text[20000];
    const char *labels[2] = { "one.example", "two.example:143" };
    FILE *f = fmemopen(text, sizeof(text), "w");
    struct check_report *r = check_report_new(f, labels, json);
    struct check_diff diffs[] = {
        { CHECK_FLAGS, "anna", "user/anna", 5, "flags", "kw", "", NULL, false },
        { CHECK_MAILBOXES, "anna", "user/anna/x\x1b[1m", 0, "mailbox", NULL, "uniqueid 7", NULL, false },
        { CHECK_SUBSCRIPTIONS, "anna", "user/anna/y", 0, "subscription", "yes", NULL, NULL, false },
        { CHECK_QUOTAS, "anna", "user/anna", 0, "STORAGE", "5/9", "6/9", "why", false },
        { CHECK_METADATA, "anna", "user/anna", 0, "/shared/comment", "\xff\n", "", NULL, false },
    };

    memset(text, 0, sizeof(text));
    for (size_t i = 0; i < array_size(diffs); i++) {
        check_report_diff(r, &diffs[i]);
        cr_run.counts[diffs[i].what].differ++;
    }
    check_report_end(&r, &cr_run, true);
    fclose(f);
    return text;
}

START_TEST(lines)
{
    const char *text = report(false);

    ck_assert_ptr_nonnull(
        strstr(text, "anna user/anna 5 flags: one.example has kw, two.example:143 has none\n"
                     "anna user/anna/x\\033[1m mailbox: only on two.example:143 (uniqueid 7)\n"
                     "anna user/anna/y subscription: only on one.example\n"
                     "Quota mismatch: 5/9 vs 6/9 (anna user/anna STORAGE, one.example vs "
                     "two.example:143; why)\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nDIFFERENT\n"));
    ck_assert_ptr_null(strstr(text, "not compared"));
}
END_TEST

START_TEST(not_compared)
{
    cr_run.connected = true;
    cr_run.facts[1] &= ~CHECK_FACT_BIT(CHECK_FACT_RAWQUOTA);
    ck_assert_ptr_nonnull(strstr(report(false), "\nnot compared: raw quota usage "
                                                "(two.example:143 does not know X-RAWQUOTA)\n"));
    ck_assert_ptr_nonnull(strstr(report(true), "\"capability\": \"X-RAWQUOTA\""));
}
END_TEST

START_TEST(json)
{
    const char *text = report(true);

    ck_assert_int_eq(text[0], '{');
    ck_assert_ptr_nonnull(strstr(text, "\"equal\": false"));
    ck_assert_ptr_nonnull(strstr(text, "\"a\": \"\\\\377\\n\""));
    ck_assert_ptr_nonnull(strstr(text, "\"uid\": 5"));
    ck_assert_ptr_nonnull(strstr(text, "\"note\": \"why\""));
}
END_TEST

Suite *check_replication_suite(void)
{
    Suite *s = suite_create("check_replication");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, cr_setup, cr_teardown);
    tcase_add_test(tc, equal);
    tcase_add_loop_test(tc, each_fact, 0, (int)array_size(facts));
    tcase_add_test(tc, mailbox_on_one_end);
    tcase_add_test(tc, renamed_mailbox);
    tcase_add_test(tc, exchanged_names);
    tcase_add_test(tc, user_on_one_end);
    tcase_add_test(tc, closed_mailbox);
    tcase_add_test(tc, no_conversations_on_one_end);
    tcase_add_loop_test(tc, each_unknown_fact, 0, (int)array_size(unknown_facts));
    tcase_add_test(tc, scripts_and_reads);
    tcase_add_test(tc, uids_out_of_order);
    tcase_add_test(tc, lines);
    tcase_add_test(tc, not_compared);
    tcase_add_test(tc, json);
    suite_add_tcase(s, tc);
    return s;
}
