/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What servers say about a user: quotas, with what they count; lines that only the sync protocol has; and IMAP
 * responses as servers write them, and as they should not.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "check_replication_model.h"
#include "check_replication_parse.h"
#include "check_testutil.h"
#include "imap_err.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

Suite *check_replication_facts_suite(void);

/* ---- quota ---- */

static void use(struct check_user *user, uint64_t storage, uint64_t messages)
{
    user->quotas[0].resources[0].used = storage;
    user->quotas[0].resources[1].used = messages;
}

START_TEST(quota_kinds)
{
    use(&cr_b, 5, 3);
    ck_assert_str_eq(cr_compare(),
                     "anna user/anna 0 STORAGE: 17/100 | 5/100 # A counts every copy (distinct "
                     "messages: 5); B counts distinct messages (every copy: 17)\n"
                     "anna user/anna 0 MESSAGE: 6/50 | 3/50 # A counts every copy (distinct "
                     "messages: 2); B is wrong: its messages add up to 6, distinct ones to 2\n");
}
END_TEST

START_TEST(quota_limits)
{
    cr_b.quotas[0].resources[0].limit = 101;
    cr_set(&cr_b.quotas[0].resources[1].name, "X-NUM-FOLDERS");
    ck_assert_str_eq(cr_compare(), "anna user/anna 0 STORAGE: 17/100 | 17/101\n"
                                "anna user/anna 0 MESSAGE: 6/50 | -\n"
                                "anna user/anna 0 X-NUM-FOLDERS: - | 6/50\n");
}
END_TEST

START_TEST(quota_raw)
{
    /* B shows both kinds, A only the raw one: they agree */
    cr_run.facts[0] &= ~CHECK_FACT_BIT(CHECK_FACT_RAWQUOTA);
    use(&cr_b, 5, 2);
    check_quota_add(&cr_b.quotas[0], "X-RAW-STORAGE", 17, 100);
    check_quota_add(&cr_b.quotas[0], "X-RAW-MESSAGE", 6, 50);
    ck_assert_str_eq(cr_compare(), "");
    /* both show both: each is compared with its like */
    cr_run.facts[0] = ~0U;
    check_quota_add(&cr_a.quotas[0], "X-RAW-STORAGE", 18, 100);
    check_quota_add(&cr_a.quotas[0], "X-RAW-MESSAGE", 6, 50);
    use(&cr_a, 5, 2);
    check_compare_quotas(&cr_run, &cr_a, &cr_b);
    ck_assert_str_eq(buf_cstring(&cr_told), "anna user/anna 0 X-RAW-STORAGE: 18/100 | 17/100\n");
}
END_TEST

/* Both ends say the same, and it is not what their messages add up to. */
START_TEST(quota_counted_anew)
{
    cr_recounts = true;
    use(&cr_a, 16, 6);
    use(&cr_b, 16, 6);
    ck_assert_str_eq(cr_compare(), "anna user/anna 0 usage of STORAGE: 16, its messages add up to 17 (distinct ones: 5) | "
                                "16, its messages add up to 17 (distinct ones: 5)\n");
}
END_TEST

/* A message of which each copy is \\Deleted is not one of the distinct ones. */
START_TEST(quota_of_deleted_messages)
{
    cr_recounts = true;
    for (size_t i = 0; i < cr_b.nmailboxes; i++) cr_b.mailboxes[i].messages[1].flagged_deleted = true;
    for (size_t i = 0; i < cr_a.nmailboxes; i++) cr_a.mailboxes[i].messages[1].flagged_deleted = true;
    use(&cr_a, 2, 1);
    use(&cr_b, 2, 1);
    ck_assert_str_eq(cr_compare(), "");
}
END_TEST

START_TEST(quota_that_cannot_be_counted)
{
    cr_recounts = true;
    use(&cr_a, 16, 6);
    use(&cr_b, 16, 6);
    cr_a.mailboxes[0].opened = cr_b.mailboxes[1].opened = false;
    cr_compare();
    ck_assert_ptr_null(strstr(buf_cstring(&cr_told), "usage of"));
}
END_TEST

/* ---- what only the sync protocol tells ---- */

static void parse_sync(const char *line, bool (*fn)(struct check_user *, const struct dlist *),
                       bool want)
{
    struct dlist *response = check_parse_response(line, strlen(line));

    ck_assert_ptr_nonnull(response);
    ck_assert_msg(fn(&cr_a, response) == want, "%s", line);
    dlist_free(&response);
}

START_TEST(sync_lines)
{
    parse_sync("SEEN %(UNIQUEID hyos LASTREAD 1795310313 LASTUID 4 LASTCHANGE 1 SEENUIDS 1:2,4)",
               check_parse_seen, true);
    parse_sync("SIEVE %(FILENAME {10}\r\ntwo.script LAST_UPDATE 5 GUID 82f8 ISACTIVE 0)",
               check_parse_sieve, true);
    parse_sync("SIEVE %(FILENAME two.bc LAST_UPDATE 0 GUID 0000 ISACTIVE 1)", check_parse_sieve,
               true);
    ck_assert_str_eq(cr_a.reads.v[0].key, "hyos");
    ck_assert_str_eq(cr_a.reads.v[0].value, "1:2,4 up to 4");
    ck_assert_str_eq(cr_a.scripts.v[0].key, "two.script");
    ck_assert_str_eq(cr_a.scripts.v[0].value, "82f8");
    ck_assert_str_eq(cr_a.scripts.v[1].value, "active");
    parse_sync("SEEN %(LASTUID 4)", check_parse_seen, false);
    parse_sync("SIEVE", check_parse_sieve, false);
}
END_TEST

static bool sync_line(const char *line, char sep)
{
    struct dlist *response = check_parse_response(line, strlen(line));
    bool ok = check_parse_syncmailbox(&cr_a, sep, response);
    dlist_free(&response);
    return ok;
}

START_TEST(sync_mailboxes)
{
    ck_assert(sync_line("MAILBOX %(UNIQUEID id1 MBOXNAME user.anna UIDVALIDITY 7 PARTITION p1 OPTIONS PS "
                        "FOLDERMODSEQ 4 RECENTUID 1)", '/'));
    ck_assert_str_eq(cr_a.mailboxes[1].partition, "p1");
    ck_assert_str_eq(cr_a.mailboxes[1].intname, "user.anna");
    ck_assert(!cr_a.mailboxes[1].sealed);
    /* a type that is not mail; the layout of its directories is no type */
    ck_assert(sync_line("MAILBOX %(UNIQUEID id2 MBOXNAME user.anna.Work UIDVALIDITY 7 MBOXTYPE sl)", '/'));
    ck_assert(cr_a.mailboxes[0].sealed);
    check_user_sort(&cr_a);
    for (size_t i = 0; i < cr_a.mailboxes[0].sync.n; i++)
        buf_printf(&cr_told, "%s=%s ", cr_a.mailboxes[0].sync.v[i].key, cr_a.mailboxes[0].sync.v[i].value);
    for (size_t i = 0; i < cr_a.mailboxes[1].sync.n; i++)
        buf_printf(&cr_told, "%s=%s ", cr_a.mailboxes[1].sync.v[i].key, cr_a.mailboxes[1].sync.v[i].value);
    ck_assert_str_eq(buf_cstring(&cr_told), "FOLDERMODSEQ=4 POP3_SHOW_AFTER= options=PS type=e "
                                         "FOLDERMODSEQ= POP3_SHOW_AFTER= options= type=s ");
    /* another's, an intermediate, and what makes no sense */
    ck_assert(sync_line("MAILBOX %(UNIQUEID id9 MBOXNAME user.bob UIDVALIDITY 7)", '/'));
    ck_assert(sync_line("MAILBOX %(MBOXNAME user.anna MBOXTYPE i)", '/'));
    ck_assert(!sync_line("MAILBOX %(UNIQUEID id1)", '/'));
    ck_assert(!sync_line("MAILBOX %(UNIQUEID id1 MBOXNAME user.anna UIDVALIDITY 7 MBOXTYPE ?)", '/'));
    ck_assert(!sync_line("MAILBOX", '/'));
}
END_TEST

START_TEST(full_mailboxes)
{
    static const char line[] =
        "MAILBOX %(UNIQUEID id1 MBOXNAME user.anna UIDVALIDITY 7 LAST_UID 9 HIGHESTMODSEQ 30 RECORD ("
        "%(UID 1 MODSEQ 3 LAST_UPDATED 9 FLAGS (\\Seen $b $a) INTERNALDATE 1700000000 SIZE 3 GUID "
        "fe05bcdcdc4928012781a5f1a2a77cbb5398e106) "
        "%(UID 2 MODSEQ 4 FLAGS (\\Expunged) INTERNALDATE 1700000000 SIZE 3 GUID "
        "fe05bcdcdc4928012781a5f1a2a77cbb5398e106)))";
    struct dlist *response = check_parse_response(line, strlen(line));
    struct check_mailbox *mbox = check_user_addmailbox(&cr_a, "user/anna/x");

    ck_assert(check_parse_fullmailbox(mbox, response));
    dlist_free(&response);
    ck_assert_uint_eq(mbox->exists, 1);
    ck_assert_uint_eq(mbox->uidnext, 10);
    ck_assert_uint_eq(mbox->highestmodseq, 30);
    ck_assert_str_eq(mbox->messages[0].flags, "$a $b");
    ck_assert(mbox->messages[0].seen);
    ck_assert_uint_eq(mbox->messages[0].rec.modseq, 3);

    response = check_parse_response("MAILBOX %(UIDVALIDITY 7 LAST_UID 9 HIGHESTMODSEQ 30 RECORD (%(UID 1)))", 71);
    ck_assert(!response || !check_parse_fullmailbox(mbox, response));
    dlist_free(&response);
}
END_TEST

/* ---- responses ---- */

static struct check_mailbox *
parse_into(const char *line, bool (*fn)(struct check_mailbox *, const struct dlist *), bool *ok)
{
    struct check_mailbox *mbox = check_user_addmailbox(&cr_a, "user/anna/x");
    struct dlist *response = check_parse_response(line, strlen(line));

    *ok = response && fn(mbox, response);
    dlist_free(&response);
    return mbox;
}

START_TEST(fetch_response)
{
    bool ok;
    struct check_mailbox *mbox = parse_into(
        "1 FETCH (FLAGS (\\Recent \\Seen kw \\Answered NIL) UID 12 DIGEST.SHA1 "
        "61fb5bd23edf9d9f301e744b9f7103c8fdc4065b INTERNALDATE \" 5-Nov-2026 16:12:20 +0100\" "
        "MODSEQ (8) RFC822.SIZE 40 ANNOTATION (/comment (value.shared {4}\r\nc \"1 value.priv "
        "\"p\") /altsubject (value.priv NIL value.shared NIL)) CID f008823335b6968d "
        "SAVEDATE NIL CREATEDMODSEQ (4) BODY[HEADER.FIELDS (A)] NIL)",
        check_parse_fetch, &ok);

    ck_assert(ok);
    ck_assert_uint_eq(mbox->nmessages, 1);
    const struct check_message *m = &mbox->messages[0];
    ck_assert_uint_eq(m->rec.uid, 12);
    ck_assert(m->seen);
    ck_assert_str_eq(m->flags, "NIL \\Answered kw");
    ck_assert_str_eq(m->annotations, "/comment value.priv p\n/comment value.shared c \"1");
    ck_assert_uint_eq(m->rec.internaldate, 1793891540);
    ck_assert_uint_eq(m->rec.savedate, 0);
    ck_assert_uint_eq(m->rec.modseq, 8);
    ck_assert_uint_eq(m->rec.createdmodseq, 4);
    ck_assert_uint_eq(m->rec.size, 40);
    ck_assert_uint_eq(m->rec.cid, 0xf008823335b6968dULL);
}
END_TEST

START_TEST(broken_responses)
{
    static const char *const lines[] = {
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 0123)",
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b FLAGS)",
        "1 FETCH (UID 0 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b)",
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b FLAGS \"x\")",
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b MODSEQ 8)",
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b INTERNALDATE \"x\")",
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b ANNOTATION (/a))",
        "1 FETCH (UID 1 RFC822.SIZE 4 DIGEST.SHA1 61fb5bd23edf9d9f301e744b9f7103c8fdc4065b ANNOTATION (/a (v)))",
        "1 FETCH (UID 1",
        "1 FETCH UID 1)",
        "1 FETCH (UID \"1",
        "1 FETCH (UID {9}\r\n1)",
        "1 FETCH (UID {x}\r\n1)",
        /* clang-format off */
        "1 FETCH ((((((((((((((((((((((((((((((((((((((((((x))))))))))))))))))))))))))))))))))))))))))",
        /* clang-format on */
        "1 FETCH",
    };

    for (size_t i = 0; i < array_size(lines); i++) {
        bool ok;
        parse_into(lines[i], check_parse_fetch, &ok);
        ck_assert_msg(!ok, "%s", lines[i]);
    }
    bool ok;
    ck_assert_uint_eq(parse_into("1 FETCH (FLAGS ())", check_parse_fetch, &ok)->nmessages, 0);
    ck_assert(ok);
}
END_TEST

static bool take_shared(struct check_mailbox *mbox, const struct dlist *response)
{
    return check_parse_metadata(mbox, response, "/shared/");
}

START_TEST(mailbox_responses)
{
    bool ok;
    struct check_mailbox *mbox = parse_into(
        "METADATA INBOX (\"/shared/comment\" \"y\" \"/private/comment\" \"x\" "
        "\"/shared/vendor/cmu/cyrus-imapd/uniqueid\" \"kvns\" "
        "\"/shared/vendor/cmu/cyrus-imapd/partition\" \"default\" "
        "\"/shared/vendor/cmu/cyrus-imapd/lastupdate\" \"x\" "
        "\"/shared/vendor/cmu/cyrus-imapd/sieve\" NIL \"/shared/x\" {2}\r\n\\S)",
        take_shared, &ok);

    ck_assert(ok);
    ck_assert_str_eq(mbox->uniqueid, "kvns");
    ck_assert_uint_eq(mbox->metadata.n, 2);
    ck_assert_str_eq(mbox->metadata.v[1].value, "\\S");
    mbox = parse_into("ACL user.anna anna wlr \"sp ace\" lr", check_parse_acl, &ok);
    ck_assert(ok);
    ck_assert_str_eq(mbox->acl.v[0].value, "lrw");
    ck_assert_str_eq(mbox->acl.v[1].key, "sp ace");
    parse_into("ACL user.anna anna", check_parse_acl, &ok);
    ck_assert(!ok);
    check_parse_okcode(mbox, "OK [UIDVALIDITY 1795623141] Ok");
    check_parse_okcode(mbox, "OK [UIDNEXT 3] Ok");
    check_parse_okcode(mbox, "OK [HIGHESTMODSEQ 5] Ok");
    check_parse_okcode(mbox, "OK [HIGHESTMODSEQ x] Ok");
    check_parse_okcode(mbox, "OK [NOMODSEQ");
    ck_assert_uint_eq(mbox->uidvalidity, 1795623141);
    ck_assert_uint_eq(mbox->uidnext, 3);
    ck_assert_uint_eq(mbox->highestmodseq, 5);
}
END_TEST

START_TEST(names)
{
    static const struct {
        const char *user, *response, *shown, *canonical;
        bool own;
    } t[] = {
        { "anna",
          "NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared Folders/\" \"/\"))",
          "INBOX", "user/anna", true },
        { "anna",
          "NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared Folders/\" \"/\"))",
          "Work/A.B", "user/anna/Work/A.B", true },
        { "anna",
          "NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared Folders/\" \"/\"))",
          "Other Users/bob/x", "user/bob/x", false },
        { "anna",
          "NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared Folders/\" \"/\"))",
          "Shared Folders/team", "team", false },
        { "anna", "NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))",
          "INBOX.Work.x", "user/anna/Work/x", true },
        { "anna", "NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))", "user.bob.x",
          "user/bob/x", false },
        { "anna", "NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))", "team.x",
          "team/x", false },
        { NULL, "NAMESPACE NIL ((\"user.\" \".\")) ((\"\" \".\"))", "user.anna.Work",
          "user/anna/Work", true },
        { NULL, "NAMESPACE NIL ((\"user/\" \"/\")) ((\"\" \"/\"))", "user/anna/Work",
          "user/anna/Work", true },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct check_names n = { .userid = xstrdupnull(t[i].user) };
        struct dlist *response = check_parse_response(t[i].response, strlen(t[i].response));
        ck_assert(check_parse_namespace(&n, response));
        char *canonical = check_canonical_name(&n, t[i].shown);
        ck_assert_str_eq(canonical, t[i].canonical);
        if (t[i].own) {
            char *shown = check_session_name(&n, canonical);
            ck_assert_str_eq(shown, t[i].shown);
            free(shown);
        }
        free(canonical);
        dlist_free(&response);
        check_names_fini(&n);
    }
}
END_TEST

Suite *check_replication_facts_suite(void)
{
    Suite *s = suite_create("check_replication_facts");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, cr_setup, cr_teardown);
    tcase_add_test(tc, sync_lines);
    tcase_add_test(tc, quota_kinds);
    tcase_add_test(tc, quota_limits);
    tcase_add_test(tc, quota_raw);
    tcase_add_test(tc, quota_counted_anew);
    tcase_add_test(tc, quota_of_deleted_messages);
    tcase_add_test(tc, quota_that_cannot_be_counted);
    tcase_add_test(tc, sync_mailboxes);
    tcase_add_test(tc, full_mailboxes);
    tcase_add_test(tc, fetch_response);
    tcase_add_test(tc, broken_responses);
    tcase_add_test(tc, mailbox_responses);
    tcase_add_test(tc, names);
    suite_add_tcase(s, tc);
    return s;
}
