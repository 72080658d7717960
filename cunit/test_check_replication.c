/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Comparing two views of a user: for each fact, exactly that difference is made and exactly that
 * one has to be found. And IMAP responses as servers write them, and as they should not.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "check_replication_model.h"
#include "check_replication_parse.h"
#include "check_replication_report.h"
#include "imap_err.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

static struct buf told = BUF_INITIALIZER;
static struct check_user a, b;
static struct check_run run;

static bool recounts; /* told too: of most tests they are not the matter */

static void tell(void *rock, const struct check_diff *d)
{
    (void)rock;
    if (d->what == CHECK_RECOUNTS && !recounts) return;
    buf_printf(&told, "%s %s %u %s: %s | %s%s%s\n", d->user, d->mailbox ? d->mailbox : "-", d->uid,
               d->field, d->a ? d->a : "-", d->b ? d->b : "-", d->note ? " # " : "",
               d->note ? d->note : "");
}

static void add_message(struct check_mailbox *mbox, uint32_t uid, const char *text)
{
    struct check_message *m = check_mailbox_addmessage(mbox, uid);

    message_guid_generate(&m->rec.guid, text, strlen(text));
    m->rec.size = (uint32_t)strlen(text) * 1000;
    m->rec.internaldate = 1700000000;
    m->rec.savedate = 1700000001;
    m->rec.modseq = 10 + uid;
    m->rec.createdmodseq = uid;
    m->rec.cid = 0xabc0 + uid;
    m->flags = xstrdup("\\Flagged kw");
    m->annotations = xstrdup("/comment value.shared x");
    m->seen = true;
}

static struct check_mailbox *add_mailbox(struct check_user *user, const char *name, const char *id)
{
    struct check_mailbox *mbox = check_user_addmailbox(user, name);

    free(mbox->uniqueid);
    mbox->uniqueid = xstrdup(id);
    free(mbox->quotaroot);
    mbox->quotaroot = xstrdup("user/anna");
    check_pairs_add(&mbox->acl, "bob", "lr");
    check_pairs_add(&mbox->acl, "anna", "lrswipkxte");
    check_pairs_add(&mbox->metadata, "/shared/comment", "hello");
    check_pairs_add(&mbox->metadata, "/private/specialuse", "\\Sent");
    mbox->opened = true;
    mbox->exists = 3;
    mbox->uidvalidity = 7;
    mbox->uidnext = 4;
    mbox->highestmodseq = 20;
    mbox->createdmodseq = 2;
    add_message(mbox, 1, "one");
    add_message(mbox, 2, "two");
    add_message(mbox, 3, "one");
    return mbox;
}

static void fill(struct check_user *user)
{
    check_user_init(user, "anna");
    user->exists = true;
    add_mailbox(user, "user/anna/Work", "id2");
    add_mailbox(user, "user/anna", "id1");
    strarray_append(&user->subscriptions, "user/anna/Work");
    strarray_append(&user->subscriptions, "user/anna");
    /* 6 copies, 2 distinct messages, of 3000 octets each */
    check_quota_add(check_user_quota(user, "user/anna"), "STORAGE", 17, 100);
    check_quota_add(check_user_quota(user, "user/anna"), "MESSAGE", 6, 50);
}

static void setup(void)
{
    fill(&a);
    fill(&b);
    buf_reset(&told);
    recounts = false;
    memset(&run, 0, sizeof(run));
    run.report = tell;
    run.facts[0] = run.facts[1] = ~0U;
    run.labels[0] = "A";
    run.labels[1] = "B";
}

static void teardown(void)
{
    check_user_free(&a);
    check_user_free(&b);
}

static struct sync_stream messages(struct sync_array *array, const struct check_mailbox *m)
{
    struct sync_stream none = { NULL, NULL };

    return m ? sync_stream_array(array, m->messages, m->nmessages, sizeof(*m->messages)) : none;
}

static const char *compare(void)
{
    size_t n;

    check_user_sort(&a);
    check_user_sort(&b);
    struct check_twins *twins = check_pair_mailboxes(&a, &b, &n);
    check_compare_user(&run, &a, &b);
    for (size_t i = 0; i < n; i++) {
        if (twins[i].a) check_user_count(&a, twins[i].a);
        if (twins[i].b) check_user_count(&b, twins[i].b);
        check_compare_mailbox(&run, "anna", &twins[i]);
        struct sync_array arrays[2];
        int failed;
        int r = check_compare_messages(&run, "anna", &twins[i], messages(&arrays[0], twins[i].a),
                                       messages(&arrays[1], twins[i].b), &failed);
        if (r) buf_printf(&told, "%s %c\n", error_message(r), "AB"[failed]);
    }
    check_compare_quotas(&run, &a, &b);
    free(twins);
    return buf_cstring(&told);
}

static void set(char **at, const char *value)
{
    free(*at);
    *at = xstrdup(value);
}

START_TEST(equal)
{
    ck_assert_str_eq(compare(), "");
    ck_assert_uint_eq(run.counts[CHECK_USERS].a, 1);
    ck_assert_uint_eq(run.counts[CHECK_MAILBOXES].b, 2);
    ck_assert_uint_eq(run.counts[CHECK_ACL].a, 4);
    ck_assert_uint_eq(run.counts[CHECK_SPECIALUSE].a, 2);
    ck_assert_uint_eq(run.counts[CHECK_METADATA].a, 2);
    ck_assert_uint_eq(run.counts[CHECK_SUBSCRIPTIONS].b, 2);
    ck_assert_uint_eq(run.counts[CHECK_QUOTAS].b, 2);
    ck_assert_uint_eq(run.counts[CHECK_MESSAGES].a, 6);
    ck_assert_uint_eq(run.counts[CHECK_FLAGS].b, 12);
    ck_assert_uint_eq(run.counts[CHECK_SEEN].a, 6);
    ck_assert_uint_eq(run.counts[CHECK_ANNOTATIONS].a, 6);
    for (int i = 0; i < CHECK_NWHATS; i++) ck_assert_uint_eq(run.counts[i].differ, 0);
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
    set(&m->uniqueid, "idx");
}
static void rights(struct check_mailbox *m)
{
    set(&m->acl.v[0].value, "lrs");
}
static void identifier(struct check_mailbox *m)
{
    set(&m->acl.v[0].key, "bert");
}
static void acl_more(struct check_mailbox *m)
{
    check_pairs_add(&m->acl, "zoe", "l");
}
static void comment(struct check_mailbox *m)
{
    set(&m->metadata.v[0].value, "bye");
}
static void specialuse(struct check_mailbox *m)
{
    set(&m->metadata.v[1].value, "\\Trash");
}
static void root(struct check_mailbox *m)
{
    set(&m->quotaroot, "");
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
    set(&m->messages[1].flags, "");
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
    set(&m->messages[1].annotations, "");
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
    facts[_i].change(&b.mailboxes[1]);
    ck_assert_str_eq(compare(), facts[_i].lines);
    ck_assert_uint_eq(run.counts[facts[_i].what].differ,
                      _i == 6 || _i == (int)array_size(facts) - 1 ? 2 : 1);
}
END_TEST

START_TEST(mailbox_on_one_end)
{
    add_mailbox(&b, "user/anna/New", "id3");
    ck_assert_str_eq(compare(), "anna user/anna/New 0 mailbox: - | uniqueid id3, 3 messages\n");
    ck_assert_uint_eq(run.counts[CHECK_MESSAGES].a, 6);
    ck_assert_uint_eq(run.counts[CHECK_MESSAGES].b, 9);
}
END_TEST

START_TEST(renamed_mailbox)
{
    set(&b.mailboxes[0].name, "user/anna/Play");
    strarray_append(&b.subscriptions, "user/anna/Play");
    seen(&b.mailboxes[0]);
    ck_assert_str_eq(compare(), "anna user/anna/Play 0 subscription: - | yes\n"
                                "anna user/anna/Work 0 name: user/anna/Work | user/anna/Play\n"
                                "anna user/anna/Work 2 seen: yes | no\n");
}
END_TEST

/* Two mailboxes whose names were exchanged. */
START_TEST(exchanged_names)
{
    set(&b.mailboxes[0].name, "user/anna");
    set(&b.mailboxes[1].name, "user/anna/Work");
    ck_assert_str_eq(compare(), "anna user/anna 0 uniqueid: id1 | id2\n"
                                "anna user/anna/Work 0 uniqueid: id2 | id1\n");
}
END_TEST

START_TEST(user_on_one_end)
{
    check_user_free(&b);
    check_user_init(&b, "anna");
    ck_assert_str_eq(compare(), "anna - 0 user: INBOX | -\n"
                                "anna user/anna 0 subscription: yes | -\n"
                                "anna user/anna/Work 0 subscription: yes | -\n"
                                "anna user/anna 0 mailbox: uniqueid id1, 3 messages | -\n"
                                "anna user/anna/Work 0 mailbox: uniqueid id2, 3 messages | -\n"
                                "anna user/anna 0 quota root itself: yes | -\n");
}
END_TEST

START_TEST(closed_mailbox)
{
    b.mailboxes[1].opened = false;
    check_mailbox_dropmessages(&b.mailboxes[1]);
    b.quotas[0].resources[1].used = 9;
    ck_assert_str_eq(compare(), "anna user/anna 0 MESSAGE: 6/50 | 9/50 # A counts every copy "
                                "(distinct messages: 2); B: not all messages could be counted\n");
}
END_TEST

START_TEST(no_conversations_on_one_end)
{
    run.facts[1] &= ~CHECK_FACT_BIT(CHECK_FACT_CID);
    cid(&b.mailboxes[1]);
    ck_assert_str_eq(compare(), "");
    ck_assert_uint_eq(run.counts[CHECK_CIDS].a, 0);
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
    unknown_facts[_i].change(&b.mailboxes[1]);
    run.facts[_i % 2] &= ~CHECK_FACT_BIT(unknown_facts[_i].fact);
    ck_assert_str_eq(compare(), "");
}
END_TEST

START_TEST(scripts_and_reads)
{
    check_pairs_add(&a.scripts, "one.script", "82f868");
    check_pairs_add(&b.scripts, "one.script", "82f869");
    check_pairs_add(&b.scripts, "one.bc", "active");
    check_pairs_add(&a.reads, "id9", "1:4 up to 5");
    ck_assert_str_eq(compare(), "anna - 0 seen in mailbox id9: 1:4 up to 5 | -\n"
                                "anna - 0 Sieve script one.bc: - | active\n"
                                "anna - 0 Sieve script one.script: 82f868 | 82f869\n");
    buf_reset(&told);
    run.facts[0] &= ~CHECK_FACT_BIT(CHECK_FACT_META);
    ck_assert_str_eq(compare(), "");
}
END_TEST

static void parse_sync(const char *line, bool (*fn)(struct check_user *, const struct dlist *),
                       bool want)
{
    struct dlist *response = check_parse_response(line, strlen(line));

    ck_assert_ptr_nonnull(response);
    ck_assert_msg(fn(&a, response) == want, "%s", line);
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
    ck_assert_str_eq(a.reads.v[0].key, "hyos");
    ck_assert_str_eq(a.reads.v[0].value, "1:2,4 up to 4");
    ck_assert_str_eq(a.scripts.v[0].key, "two.script");
    ck_assert_str_eq(a.scripts.v[0].value, "82f8");
    ck_assert_str_eq(a.scripts.v[1].value, "active");
    parse_sync("SEEN %(LASTUID 4)", check_parse_seen, false);
    parse_sync("SIEVE", check_parse_sieve, false);
}
END_TEST

START_TEST(uids_out_of_order)
{
    b.mailboxes[1].messages[0].rec.uid = 3;
    const char *text = compare();
    const char *at = strstr(text, error_message(IMAP_MAILBOX_BADFORMAT));
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(at[strlen(error_message(IMAP_MAILBOX_BADFORMAT)) + 1], 'B');
}
END_TEST

/* ---- quota ---- */

static void use(struct check_user *user, uint64_t storage, uint64_t messages)
{
    user->quotas[0].resources[0].used = storage;
    user->quotas[0].resources[1].used = messages;
}

START_TEST(quota_kinds)
{
    use(&b, 5, 3);
    ck_assert_str_eq(compare(),
                     "anna user/anna 0 STORAGE: 17/100 | 5/100 # A counts every copy (distinct "
                     "messages: 5); B counts distinct messages (every copy: 17)\n"
                     "anna user/anna 0 MESSAGE: 6/50 | 3/50 # A counts every copy (distinct "
                     "messages: 2); B is wrong: its messages add up to 6, distinct ones to 2\n");
}
END_TEST

START_TEST(quota_limits)
{
    b.quotas[0].resources[0].limit = 101;
    set(&b.quotas[0].resources[1].name, "X-NUM-FOLDERS");
    ck_assert_str_eq(compare(), "anna user/anna 0 STORAGE: 17/100 | 17/101\n"
                                "anna user/anna 0 MESSAGE: 6/50 | -\n"
                                "anna user/anna 0 X-NUM-FOLDERS: - | 6/50\n");
}
END_TEST

START_TEST(quota_raw)
{
    /* B shows both kinds, A only the raw one: they agree */
    run.facts[0] &= ~CHECK_FACT_BIT(CHECK_FACT_RAWQUOTA);
    use(&b, 5, 2);
    check_quota_add(&b.quotas[0], "X-RAW-STORAGE", 17, 100);
    check_quota_add(&b.quotas[0], "X-RAW-MESSAGE", 6, 50);
    ck_assert_str_eq(compare(), "");
    /* both show both: each is compared with its like */
    run.facts[0] = ~0U;
    check_quota_add(&a.quotas[0], "X-RAW-STORAGE", 18, 100);
    check_quota_add(&a.quotas[0], "X-RAW-MESSAGE", 6, 50);
    use(&a, 5, 2);
    check_compare_quotas(&run, &a, &b);
    ck_assert_str_eq(buf_cstring(&told), "anna user/anna 0 X-RAW-STORAGE: 18/100 | 17/100\n");
}
END_TEST

/* Both ends say the same, and it is not what their messages add up to. */
START_TEST(quota_counted_anew)
{
    recounts = true;
    use(&a, 16, 6);
    use(&b, 16, 6);
    ck_assert_str_eq(compare(), "anna user/anna 0 usage of STORAGE: 16, its messages add up to 17 (distinct ones: 5) | "
                                "16, its messages add up to 17 (distinct ones: 5)\n");
}
END_TEST

/* A message of which each copy is \\Deleted is not one of the distinct ones. */
START_TEST(quota_of_deleted_messages)
{
    recounts = true;
    for (size_t i = 0; i < b.nmailboxes; i++) b.mailboxes[i].messages[1].flagged_deleted = true;
    for (size_t i = 0; i < a.nmailboxes; i++) a.mailboxes[i].messages[1].flagged_deleted = true;
    use(&a, 2, 1);
    use(&b, 2, 1);
    ck_assert_str_eq(compare(), "");
}
END_TEST

START_TEST(quota_that_cannot_be_counted)
{
    recounts = true;
    use(&a, 16, 6);
    use(&b, 16, 6);
    a.mailboxes[0].opened = b.mailboxes[1].opened = false;
    compare();
    ck_assert_ptr_null(strstr(buf_cstring(&told), "usage of"));
}
END_TEST

/* ---- what only the sync protocol tells ---- */

static bool sync_line(const char *line, char sep)
{
    struct dlist *response = check_parse_response(line, strlen(line));
    bool ok = check_parse_syncmailbox(&a, sep, response);
    dlist_free(&response);
    return ok;
}

START_TEST(sync_mailboxes)
{
    ck_assert(sync_line("MAILBOX %(UNIQUEID id1 MBOXNAME user.anna UIDVALIDITY 7 PARTITION p1 OPTIONS PS "
                        "FOLDERMODSEQ 4 RECENTUID 1)", '/'));
    ck_assert_str_eq(a.mailboxes[1].partition, "p1");
    ck_assert_str_eq(a.mailboxes[1].intname, "user.anna");
    ck_assert(!a.mailboxes[1].sealed);
    /* a type that is not mail; the layout of its directories is no type */
    ck_assert(sync_line("MAILBOX %(UNIQUEID id2 MBOXNAME user.anna.Work UIDVALIDITY 7 MBOXTYPE sl)", '/'));
    ck_assert(a.mailboxes[0].sealed);
    check_user_sort(&a);
    for (size_t i = 0; i < a.mailboxes[0].sync.n; i++)
        buf_printf(&told, "%s=%s ", a.mailboxes[0].sync.v[i].key, a.mailboxes[0].sync.v[i].value);
    for (size_t i = 0; i < a.mailboxes[1].sync.n; i++)
        buf_printf(&told, "%s=%s ", a.mailboxes[1].sync.v[i].key, a.mailboxes[1].sync.v[i].value);
    ck_assert_str_eq(buf_cstring(&told), "FOLDERMODSEQ=4 POP3_SHOW_AFTER= options=PS type=e "
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
    struct check_mailbox *mbox = check_user_addmailbox(&a, "user/anna/x");

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
    struct check_mailbox *mbox = check_user_addmailbox(&a, "user/anna/x");
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
        run.counts[diffs[i].what].differ++;
    }
    check_report_end(&r, &run, true);
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
    run.connected = true;
    run.facts[1] &= ~CHECK_FACT_BIT(CHECK_FACT_RAWQUOTA);
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

    tcase_add_checked_fixture(tc, setup, teardown);
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
    tcase_add_test(tc, sync_lines);
    tcase_add_test(tc, uids_out_of_order);
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
    tcase_add_test(tc, lines);
    tcase_add_test(tc, not_compared);
    tcase_add_test(tc, json);
    suite_add_tcase(s, tc);
    return s;
}
