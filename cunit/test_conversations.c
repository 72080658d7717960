/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Conversations of a user (handbook 01 §5): what each change does to the records, which conversation a
 * message joins, and that what was counted step by step is what a recount finds.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "store_testutil.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"

#define INBOX "user.alice"
#define WORK "user.alice.Work"
#define TRASH "user.alice.Trash"

static void setup(void)
{
    st_setup("conversations_counted_flags: \\Draft \\Flagged $IsMailingList\n");
    st_create(INBOX);
    st_create(WORK);
    st_create(TRASH);
}

/* ---- helpers ---- */

struct sample {
    const char *from, *subject, *msgid, *references;
};

static const struct sample m1 = { "Ann <Ann@Example.COM>", "Project plan", "<p1@example.com>",
                                  NULL };
static const struct sample m2 = { "Bea <bea@example.com>", "Re: [ext] Project  plan",
                                  "<p2@example.com>", "<p1@example.com>" };
static const struct sample m3 = { "=?utf-8?q?C=C3=A9line?= <celine@example.com>",
                                  "=?utf-8?q?Caf=C3=A9_plan?=", "<p3@example.com>",
                                  "<p1@example.com>" };

static uint32_t append(const char *mailbox, const struct sample *sample, const char *flag,
                       time_t internaldate, struct index_record *rec)
{
    struct buf msg = BUF_INITIALIZER;
    strarray_t flags = STRARRAY_INITIALIZER;
    struct append_args args = { .userid = "alice", .internaldate = internaldate, .flags = &flags };
    struct stage *stage;
    uint32_t uid;

    if (flag) strarray_append(&flags, flag);
    buf_printf(&msg, "From: %s\r\nSubject: %s\r\nMessage-ID: %s\r\n", sample->from, sample->subject,
               sample->msgid);
    if (sample->references) buf_printf(&msg, "References: %s\r\n", sample->references);
    buf_appendcstr(&msg, "Date: Mon, 06 Feb 2023 10:00:00 +0000\r\n\r\nbody\r\n");
    struct txn *txn = st_begin("alice");
    struct mailbox *mb = st_write(txn, mailbox);
    ck_assert_int_eq(stage_new_bytes(buf_base(&msg), buf_len(&msg), 0, &stage), 0);
    ck_assert_int_eq(append_fromstage(mb, stage, &args, &uid), 0);
    if (rec) ck_assert_int_eq(mailbox_find_uid(mb, uid, rec), 0);
    st_commit(txn);
    stage_free(&stage);
    strarray_fini(&flags);
    buf_free(&msg);
    return uid;
}

static void set_flags(const char *mailbox, uint32_t uid, uint32_t on, uint32_t off)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *mb = st_write(txn, mailbox);
    struct index_record rec;

    ck_assert_int_eq(mailbox_find_uid(mb, uid, &rec), 0);
    rec.system_flags = (rec.system_flags | on) & ~off;
    ck_assert_int_eq(mailbox_rewrite_record(mb, &rec, 0), 0);
    st_commit(txn);
}

static void expunge(const char *mailbox, uint32_t uid)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *mb = st_write(txn, mailbox);
    struct index_record rec;

    ck_assert_int_eq(mailbox_find_uid(mb, uid, &rec), 0);
    ck_assert_int_eq(mailbox_expunge_record(mb, &rec, 0), 0);
    st_commit(txn);
}

static uint32_t copy(const char *from, uint32_t uid, const char *to)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *src = st_write(txn, from), *dst = st_write(txn, to);
    uint32_t newuid;

    ck_assert_int_eq(append_copy(src, dst, &uid, 1, "alice", 0xffffffff, &newuid), 0);
    st_commit(txn);
    return newuid;
}

struct wanted {
    const char *key;
    struct buf val;
    bool found;
};

static int take(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct wanted *w = rock;

    if (keylen != strlen(w->key) || memcmp(key, w->key, keylen)) return 0;
    buf_setmap(&w->val, val, vallen);
    w->found = true;
    return 0;
}

static struct user_meta *meta_of(const char *userid)
{
    struct user_meta *meta;

    ck_assert_int_eq(user_meta_lookup(userid, NULL, &meta), 0);
    return meta;
}

/* Value of a record, NULL: there is none; the caller frees. */
static char *value(const char *key)
{
    struct wanted w = { .key = key };
    struct conversations_state *state;
    struct user_meta *meta = meta_of("alice");

    ck_assert_int_eq(conversations_open_user(NULL, meta, &state), 0);
    ck_assert_int_eq(conversations_dump(state, take, &w), 0);
    conversations_close(&state);
    user_meta_free(&meta);
    return w.found ? buf_release(&w.val) : NULL;
}

static void assert_value(const char *key, const char *want)
{
    char *got = value(key);

    ck_assert_msg(got && want ? !strcmp(got, want) : got == want, "%s: %s, not %s", key,
                  got ? got : "(none)", want ? want : "(none)");
    free(got);
}

/* THREADEXISTS THREADUNSEEN EMAILEXISTS EMAILUNSEEN of a folder. */
static void assert_counts(const char *mailbox, const char *want)
{
    char *key = xasprintf("F%s", st_uniqueid(mailbox));
    char *got = value(key);

    ck_assert_ptr_nonnull(got);
    char *counts = strchr(strchr(got, '(') + 1, ' ');
    ck_assert_ptr_nonnull(counts);
    counts[strlen(counts) - 1] = '\0';
    ck_assert_msg(!strcmp(counts + 1, want), "%s: %s, not %s", mailbox, counts + 1, want);
    free(got);
    free(key);
}

static void show(enum conv_audit_kind kind, const struct buf *key, const struct buf *val,
                 void *rock)
{
    buf_printf(rock, "\n%d %.*s %.*s", kind, (int)buf_len(key), buf_base(key), (int)buf_len(val), buf_base(val));
}

static void assert_audit(size_t want)
{
    struct user_meta *meta = meta_of("alice");
    struct txn *txn = st_begin("alice");
    struct buf shown = BUF_INITIALIZER;
    size_t differences;

    ck_assert_int_eq(conversations_audit_user(txn, meta, NULL, show, &shown, &differences), 0);
    txn_abort(&txn);
    user_meta_free(&meta);
    ck_assert_msg(differences == want, "%zu differences, not %zu:%s", differences, want, buf_cstring(&shown));
    buf_free(&shown);
}

static char *record_key(conversation_id_t cid)
{
    char hex[CONV_ID_STRLEN];

    return xasprintf("B%s", conversation_id_encode(cid, hex));
}

/* ---- records ---- */

START_TEST(vectors)
{
    struct index_record r1, r2, r3;
    char g1[MESSAGE_GUID_STRLEN], g2[MESSAGE_GUID_STRLEN];

    assert_value("$FOLDER_IDS", NULL);
    append(INBOX, &m1, NULL, 1675764000, &r1);
    message_guid_encode(&r1.guid, g1);
    ck_assert_uint_eq(r1.cid, conversation_id_from_guid(&r1.guid));
    assert_value("$COUNTED_FLAGS", "\\Draft \\Flagged $IsMailingList");
    char *ids = xasprintf("(%s)", st_uniqueid(INBOX));
    assert_value("$FOLDER_IDS", ids);
    char *b = record_key(r1.cid);
    char *want = xasprintf("1 (%llu 1 1 1 (0 0 0) ((0 %llu 1 1 1)) ((Ann NIL Ann Example.COM "
                           "1675677600 1)) Projectplan %u ((%s 1 1675764000)) %llu)",
                           (unsigned long long)r1.modseq, (unsigned long long)r1.modseq, r1.size,
                           g1, (unsigned long long)r1.modseq);
    assert_value(b, want);
    free(want);
    assert_counts(INBOX, "1 1 1 1");
    char *q = xasprintf("1 %%(E 1 S %u)", r1.size);
    assert_value("Q", q);

    append(INBOX, &m2, "\\Seen", 1675764060, &r2);
    message_guid_encode(&r2.guid, g2);
    ck_assert_uint_eq(r2.cid, r1.cid);
    set_flags(INBOX, r2.uid, FLAG_FLAGGED, 0);
    want = xasprintf("1 (%llu 2 2 1 (0 1 0) ((0 %llu 2 2 1)) ((Ann NIL Ann Example.COM 1675677600 "
                     "1) (Bea NIL bea example.com 1675677600 1)) Projectplan %u ((%s 1 1675764000) "
                     "(%s 1 1675764060)) %llu)",
                     (unsigned long long)r2.modseq + 1, (unsigned long long)r2.modseq + 1,
                     r1.size + r2.size, g1, g2, (unsigned long long)r1.modseq);
    assert_value(b, want);
    assert_counts(INBOX, "1 1 2 1");

    append(INBOX, &m3, NULL, 1675764120, &r3);
    ck_assert_uint_ne(r3.cid, r1.cid);
    assert_counts(INBOX, "2 2 3 2");
    char *key = record_key(r3.cid), *got = value(key);
    ck_assert_ptr_nonnull(strstr(got, "{9+}\r\nCaf\xc3\xa9plan"));
    free(got);
    free(key);
    free(want);
    free(q);
    free(b);
    free(ids);
    assert_audit(0);
}
END_TEST

START_TEST(copies_and_trash)
{
    struct index_record r1, r2;

    append(INBOX, &m1, NULL, 1675764000, &r1);
    append(INBOX, &m2, "\\Seen", 1675764060, &r2);
    char *q = xasprintf("1 %%(E 2 S %u)", r1.size + r2.size);

    set_flags(INBOX, r1.uid, FLAG_SEEN, 0);
    assert_counts(INBOX, "1 0 2 0");
    set_flags(INBOX, r2.uid, 0, FLAG_SEEN);
    assert_counts(INBOX, "1 1 2 1");
    /* A copy of a message is the same message. */
    copy(INBOX, r1.uid, WORK);
    assert_value("Q", q);
    assert_counts(WORK, "1 1 1 0");
    assert_counts(INBOX, "1 1 2 1");
    set_flags(INBOX, r1.uid, FLAG_DELETED, 0);
    assert_counts(INBOX, "1 1 1 1");
    assert_counts(WORK, "1 1 1 0");
    expunge(INBOX, r1.uid);
    assert_counts(INBOX, "1 1 1 1");
    /* What is unseen in Trash does not make the conversation unseen. */
    copy(INBOX, r2.uid, TRASH);
    set_flags(INBOX, r2.uid, FLAG_DELETED, 0);
    expunge(INBOX, r2.uid);
    assert_counts(TRASH, "1 1 1 1");
    assert_counts(WORK, "1 0 1 0");
    assert_counts(INBOX, "0 0 0 0");
    assert_value("Q", q);
    assert_audit(0);
    free(q);
}
END_TEST

START_TEST(drafts_have_no_subject)
{
    struct index_record rec;

    append(INBOX, &m1, "\\Draft", 1675764000, &rec);
    char *key = record_key(rec.cid), *got = value(key);
    ck_assert_msg(strstr(got, " NIL ") && strstr(got, "1675677600 1)) NIL "), "%s", got);
    free(got);
    free(key);
}
END_TEST

START_TEST(same_bytes_twice)
{
    struct index_record a, b;

    append(INBOX, &m1, NULL, 1675764000, &a);
    append(INBOX, &m1, NULL, 1675764999, &b);
    ck_assert_uint_eq(a.cid, b.cid);
    char *q = xasprintf("1 %%(E 1 S %u)", a.size);
    assert_value("Q", q);
    assert_counts(INBOX, "1 1 1 1");
    char *key = record_key(a.cid), *got = value(key);
    ck_assert_msg(strstr(got, " 1 1675764999)"), "%s", got); /* the date of the second copy */
    free(got);
    free(key);
    free(q);
    assert_audit(0);
}
END_TEST

START_TEST(deleted_mailbox_leaves)
{
    struct index_record rec;

    append(INBOX, &m1, NULL, 1675764000, &rec);
    append(WORK, &m2, NULL, 1675764000, NULL);
    struct txn *txn = st_begin("alice");
    struct mailbox *mb = st_write(txn, WORK);
    struct conversations_state *state;
    ck_assert_int_eq(conversations_open_mbox(mb, &state), 0);
    ck_assert_int_eq(conversations_remove_mailbox(state, mb, 99), 0);
    ck_assert_int_eq(mboxlist_delete_entry(txn, WORK), 0);
    st_commit(txn);
    char *ids = xasprintf("(%s -)", st_uniqueid(INBOX));
    assert_value("$FOLDER_IDS", ids);
    char *key = xasprintf("F%s", st_uniqueid(WORK));
    assert_value(key, "0 (99 0 0 0 0)");
    char *q = xasprintf("1 %%(E 1 S %u)", rec.size);
    assert_value("Q", q);
    assert_audit(0); /* its F record, with nothing in it, is no difference */
    free(q);
    free(key);
    free(ids);
}
END_TEST

/* ---- which conversation ---- */

START_TEST(by_msgid_and_subject)
{
    static const struct sample other = { "x <x@x>", "Something else", "<o@x>", "<p1@example.com>" };
    static const struct sample reply = { "x <x@x>", "Fwd: Project plan", "<r@x>",
                                         "<p2@example.com>" };
    static const struct sample alone = { "x <x@x>", "Project plan", "<s@x>", NULL };
    struct index_record r1, r2, r;

    append(INBOX, &m1, NULL, 1, &r1);
    append(INBOX, &m2, NULL, 2, &r2);
    ck_assert_uint_eq(r2.cid, r1.cid);
    append(WORK, &reply, NULL, 3, &r);
    ck_assert_uint_eq(r.cid, r1.cid);
    append(INBOX, &other, NULL, 4, &r);
    ck_assert_uint_ne(r.cid, r1.cid);
    append(INBOX, &alone, NULL, 5, &r);
    ck_assert_uint_ne(r.cid, r1.cid);
}
END_TEST

static const char *nth_msgid(int n)
{
    static char id[32];

    snprintf(id, sizeof(id), "<long%d@x>", n);
    return id;
}

START_TEST(full_conversation_is_split)
{
    conversation_id_t first = 0;
    struct index_record rec;

    st_teardown();
    st_setup("conversations_max_thread: 3\n");
    st_create(INBOX);
    for (int i = 0; i < 7; i++) {
        char *id = xstrdup(nth_msgid(i));
        char *from = xasprintf("s%d <s%d@x>", i, i);
        struct sample s = { from, "Re: long", id, i ? nth_msgid(i - 1) : NULL };
        append(INBOX, &s, NULL, 1675764000 + i, &rec);
        if (!i) first = rec.cid;
        ck_assert((rec.cid == first) == (i < 3));
        ck_assert(!(rec.internal_flags & FLAG_INTERNAL_SPLITCONVERSATION) == (i < 3));
        free(from);
        free(id);
    }
    char hex[CONV_ID_STRLEN];
    char *got = value(nth_msgid(6));
    ck_assert_msg(strstr(got, conversation_id_encode(first, hex)), "%s", got); /* the base */
    free(got);
    mbentry_t *entry;
    ck_assert_int_eq(mboxlist_lookup("user.alice.#splitconversations", &entry, NULL), 0);
    ck_assert_uint_eq(mbtype_isa(entry->mbtype), MBTYPE_COLLECTION);
    mbentry_free(&entry);
    assert_audit(0);
}
END_TEST

START_TEST(too_many_copies_are_refused)
{
    struct buf msg = BUF_INITIALIZER;
    struct append_args args = { .internaldate = 1 };
    struct stage *stage;
    uint32_t uid;
    int r = 0, n = 0;

    st_message(1, &msg);
    while (!r && n < 20) {
        struct txn *txn = st_begin("alice");
        struct mailbox *mb = st_write(txn, INBOX);
        ck_assert_int_eq(stage_new_bytes(buf_base(&msg), buf_len(&msg), 0, &stage), 0);
        r = append_fromstage(mb, stage, &args, &uid);
        if (r)
            txn_abort(&txn);
        else
            st_commit(txn);
        stage_free(&stage);
        n += !r;
    }
    ck_assert_int_eq(r, IMAP_CONVERSATION_GUIDLIMIT);
    ck_assert_int_eq(n, 10); /* conversations_max_guidinfolder */
    buf_free(&msg);
    assert_audit(0);
}
END_TEST

/* ---- one database ---- */

static int count_files(const char *name)
{
    char *cmd = xasprintf("find %s -name '*conversations*' | grep -c %s", st_dir, name);
    FILE *f = popen(cmd, "r");
    int n = -1;

    ck_assert_int_eq(fscanf(f, "%d", &n), 1);
    pclose(f);
    free(cmd);
    return n;
}

START_TEST(one_file_at_the_uuid_path)
{
    append(INBOX, &m1, NULL, 1, NULL);
    append(WORK, &m2, NULL, 1, NULL);
    ck_assert_int_eq(count_files("."), 1);
    ck_assert_int_eq(count_files("/uuid/"), 1);
}
END_TEST

START_TEST(reading_makes_no_file)
{
    struct conversations_state *state;
    struct user_meta *meta = meta_of("alice");
    const char *path = user_meta_path(meta, "conversations");
    char *copy_of = xstrdup(path);

    ck_assert_int_eq(unlink(copy_of), 0);
    ck_assert_int_eq(conversations_open_user(NULL, meta, &state), 0);
    struct conv_quota quota;
    ck_assert_int_eq(conversations_read_quota(state, &quota), 0);
    ck_assert_int_eq(quota.emails, 0);
    conversations_close(&state);
    ck_assert(!test_exists(copy_of));
    free(copy_of);
    user_meta_free(&meta);
}
END_TEST

/* ---- random histories ---- */

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static void random_step(unsigned *seed, unsigned *uids)
{
    static const char *const boxes[] = { INBOX, WORK, TRASH };
    static const uint32_t flags[] = { FLAG_SEEN, FLAG_DELETED, FLAG_FLAGGED, FLAG_DRAFT };
    unsigned box = next_random(seed) % 3, to = next_random(seed) % 3;
    unsigned pick = next_random(seed) % 10, n = next_random(seed);
    struct index_record rec;

    if (pick < 3 || !uids[box]) {
        char *id = xasprintf("<r%u@x>", n % 12), *ref = xasprintf("<r%u@x>", n / 12 % 12);
        struct sample s = { n % 2 ? "A <a@x>" : "B <b@X>", n % 3 ? "Re: one" : "two", id, ref };
        uids[box] = append(boxes[box], &s, n % 5 ? NULL : "\\Seen", 1000 + n % 50, NULL);
        free(id);
        free(ref);
        return;
    }
    uint32_t uid = n % uids[box] + 1;
    struct mailbox *mb = st_read(boxes[box]);
    int r = mailbox_find_uid(mb, uid, &rec);
    mailbox_close(&mb);
    if (r || (rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) return;
    if (pick < 7) {
        uint32_t bit = flags[next_random(seed) % 4];
        set_flags(boxes[box], uid, rec.system_flags & bit ? 0 : bit,
                  rec.system_flags & bit ? bit : 0);
    }
    else if (pick < 9 && box != to) {
        uids[to] = copy(boxes[box], uid, boxes[to]);
    }
    else {
        expunge(boxes[box], uid);
    }
}

START_TEST(recount_finds_the_same)
{
    unsigned seed = 20230206u + (unsigned)_i, uids[3] = { 0 };

    for (int i = 0; i < 120; i++) {
        random_step(&seed, uids);
        if (i % 20 == 19) assert_audit(0);
    }
}
END_TEST

START_TEST(rebuild_mends)
{
    struct user_meta *meta = meta_of("alice");
    struct index_record rec;

    append(INBOX, &m1, NULL, 1, &rec);
    append(WORK, &m2, NULL, 2, NULL);
    char *q = value("Q");
    struct txn *txn = st_begin("alice");
    struct txn_db *db;
    ck_assert_int_eq(txn_db_open(txn, "twoskip", user_meta_path(meta, "conversations"), 0, &db), 0);
    ck_assert_int_eq(txn_db_store(db, "Q", 1, "1 %(E 9 S 9)", 12), 0);
    char *b = record_key(rec.cid);
    ck_assert_int_eq(txn_db_store(db, b, strlen(b), "rubbish", 7), 0);
    st_commit(txn);
    assert_audit(2);
    txn = st_begin("alice");
    ck_assert_int_eq(conversations_rebuild_user(txn, meta, NULL, NULL), 0);
    st_commit(txn);
    assert_value("Q", q);
    assert_audit(0);
    free(b);
    free(q);
    user_meta_free(&meta);
}
END_TEST

START_TEST(pruned_msgids)
{
    struct user_meta *meta = meta_of("alice");
    struct conversations_state *state;
    struct index_record rec;
    size_t seen = 0, removed = 0;

    append(INBOX, &m1, NULL, 1, &rec);
    append(INBOX, &m3, NULL, 1, NULL);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(conversations_open_user(txn, meta, &state), 0);
    ck_assert_int_eq(conversations_prune(state, txn_time(txn) + 100, &seen, &removed), 0);
    st_commit(txn);
    ck_assert_uint_eq(seen, 2);
    ck_assert_uint_eq(removed, 0); /* both conversations have messages */
    user_meta_free(&meta);
}
END_TEST

Suite *conversations_suite(void)
{
    Suite *s = suite_create("conversations");
    TCase *tc = tcase_create("conversations");

    tcase_add_checked_fixture(tc, setup, st_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, vectors);
    tcase_add_test(tc, copies_and_trash);
    tcase_add_test(tc, drafts_have_no_subject);
    tcase_add_test(tc, same_bytes_twice);
    tcase_add_test(tc, deleted_mailbox_leaves);
    tcase_add_test(tc, by_msgid_and_subject);
    tcase_add_test(tc, full_conversation_is_split);
    tcase_add_test(tc, too_many_copies_are_refused);
    tcase_add_test(tc, one_file_at_the_uuid_path);
    tcase_add_test(tc, reading_makes_no_file);
    tcase_add_loop_test(tc, recount_finds_the_same, 0, 6);
    tcase_add_test(tc, rebuild_mends);
    tcase_add_test(tc, pruned_msgids);
    suite_add_tcase(s, tc);
    return s;
}
