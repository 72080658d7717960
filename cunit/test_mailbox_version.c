/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mailbox_version -- an index of every version that 3.6.1 opens is read, and becomes the present one
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "diskio.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "mboxlist.h"
#include "store_testutil.h"
#include "user.h"
#include "util.h"
#include "xsyslog.h"

#define NAME "user.alice"
#define N 3

static const uint32_t old_versions[] = { 6, 7, 8, 9, 10, 12, 13, 14, 15, 16 };
static char last_log[4096];

static void tap(int pri, const char *line, void *rock)
{
    (void)rock;
    if (pri <= LOG_ERR) snprintf(last_log, sizeof(last_log), "%s", line);
}

static void setup(void)
{
    st_setup(NULL);
    last_log[0] = '\0';
    xsyslog_settap(tap, NULL);
}

static void teardown(void)
{
    xsyslog_settap(NULL, NULL);
    st_teardown();
}

static void read_all(struct mailbox *m, struct index_record recs[N])
{
    for (uint32_t i = 0; i < N; i++) ck_assert_int_eq(mailbox_read_record(m, i + 1, &recs[i]), 0);
}

/* Three messages: the second is flagged and seen, the third has a user flag and an annotation. */
static void make(struct index_record recs[N])
{
    struct buf value = BUF_INITIALIZER;
    int slot;

    st_create(NAME);
    for (unsigned i = 1; i <= N; i++) st_append(NAME, i);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, NAME);
    read_all(w, recs);
    recs[1].system_flags |= FLAG_FLAGGED | FLAG_SEEN;
    ck_assert_int_eq(mailbox_rewrite_record(w, &recs[1], 0), 0);
    ck_assert_int_eq(mailbox_user_flag(w, "$work", &slot, true, false), 0);
    index_record_set_user_flag(&recs[2], slot, true);
    buf_init_ro_cstr(&value, "a note");
    ck_assert_int_eq(annotate_msg_write(w, &recs[2], "/comment", "", &value, 0), 0);
    ck_assert_int_eq(mailbox_rewrite_record(w, &recs[2], 0), 0);
    st_commit(txn);
    struct mailbox *m = st_read(NAME);
    read_all(m, recs);
    mailbox_close(&m);
}

static void put_index(const struct buf *bytes)
{
    char *path = st_file(st_uniqueid(NAME), "cyrus.index");
    test_writefile(path, bytes->s, bytes->len);
    free(path);
}

/* The index as a server of that version would have written it. */
static void write_old(uint32_t minor, const struct index_record recs[N])
{
    struct buf bytes = BUF_INITIALIZER;
    struct mailbox *m = st_read(NAME);
    struct index_header hdr = *mailbox_index_header(m);

    mailbox_close(&m);
    ck_assert(index_header_set_version(&hdr, minor));
    buf_ensure(&bytes, hdr.start_offset + N * hdr.record_size);
    bytes.len = index_header_write(&hdr, bytes.s);
    for (int i = 0; i < N; i++) bytes.len += index_record_write(&recs[i], minor, bytes.s + bytes.len);
    put_index(&bytes);
    buf_free(&bytes);
}

static int set_version(int version)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, NAME);
    int r = mailbox_set_version(w, version);
    if (r)
        txn_abort(&txn);
    else
        st_commit(txn);
    return r;
}

static uint32_t version_now(void)
{
    struct mailbox *m = st_read(NAME);
    uint32_t minor = mailbox_index_header(m)->minor_version;
    mailbox_close(&m);
    return minor;
}

static void assert_record(const struct index_record *got, const struct index_record *want)
{
    ck_assert_uint_eq(got->uid, want->uid);
    ck_assert_uint_eq(got->size, want->size);
    ck_assert_int_eq(got->internaldate, want->internaldate);
    ck_assert_int_eq(got->sentdate, want->sentdate);
    ck_assert_int_eq(got->gmtime, want->gmtime);
    ck_assert(message_guid_equal(&got->guid, &want->guid));
    ck_assert_uint_eq(got->system_flags, want->system_flags);
    ck_assert_mem_eq(got->user_flags, want->user_flags, sizeof(got->user_flags));
}

static void assert_annotation(struct mailbox *m, uint32_t uid, const char *entry, const char *want)
{
    struct buf value = BUF_INITIALIZER;
    ck_assert_int_eq(annotate_msg_lookup(m, uid, entry, "", &value), 0);
    ck_assert_str_eq(buf_cstring(&value), want);
    buf_free(&value);
}

/* Versions that keep \Seen elsewhere: it comes from the owner's seen.db. */
static void remember_seen(void)
{
    struct seendata sd = { .lastread = 1795310728, .lastuid = 2, .seenuids = (char *)"2" };
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(seen_write(txn, "alice", st_uniqueid(NAME), &sd), 0);
    st_commit(txn);
}

START_TEST(an_old_index_becomes_the_present_one)
{
    struct index_record recs[N], got[N];
    uint32_t minor = old_versions[_i];

    make(recs);
    if (minor < 12) remember_seen();
    write_old(minor, recs);

    struct mailbox *m = st_read(NAME);
    ck_assert_uint_eq(mailbox_index_header(m)->minor_version, minor);
    read_all(m, got);
    ck_assert_uint_eq(got[2].uid, 3);
    ck_assert_uint_eq(got[1].size, recs[1].size);
    mailbox_close(&m);

    ck_assert_int_eq(set_version(0), 0);
    ck_assert_uint_eq(version_now(), MAILBOX_MINOR_VERSION);
    m = st_read(NAME);
    read_all(m, got);
    for (int i = 0; i < N; i++) assert_record(&got[i], &recs[i]);
    ck_assert_uint_eq(mailbox_index_header(m)->exists, N);
    ck_assert_uint_eq(mailbox_index_header(m)->unseen, 2);
    ck_assert_uint_ge(mailbox_index_header(m)->quota_annot_used, 6);
    if (minor < 12) ck_assert_uint_eq(mailbox_index_header(m)->recentuid, 2);
    assert_annotation(m, 3, "/comment", "a note");
    mailbox_close(&m);
    st_check(NAME);
}
END_TEST

/* Down and up again: what the older version has no place for waits in annotations. */
START_TEST(fields_move_to_annotations_and_back)
{
    struct index_record recs[N], got[N];

    make(recs);
    struct mailbox *m = st_read(NAME);
    const struct index_header before = *mailbox_index_header(m);
    mailbox_close(&m);
    ck_assert_uint_ne(recs[0].cid, 0);
    ck_assert_int_eq(set_version(12), 0);
    ck_assert_uint_eq(version_now(), 12);
    m = st_read(NAME);
    read_all(m, got);
    ck_assert_uint_eq(got[0].cid, 0);
    char cid[17];
    snprintf(cid, sizeof(cid), "%llx", (unsigned long long)recs[0].cid);
    assert_annotation(m, 1, "/vendor/cmu/cyrus-imapd/thrid", cid);
    mailbox_close(&m);
    st_check(NAME);

    static const int up[] = { 13, 14, 15, 16, 17 };
    for (size_t i = 0; i < array_size(up); i++) {
        ck_assert_int_eq(set_version(up[i]), 0);
        ck_assert_uint_eq(version_now(), (uint32_t)up[i]);
        st_check(NAME);
    }
    m = st_read(NAME);
    read_all(m, got);
    for (int i = 0; i < N; i++) {
        assert_record(&got[i], &recs[i]);
        ck_assert_uint_eq(got[i].cid, recs[i].cid);
        ck_assert_int_eq(got[i].savedate, recs[i].savedate);
        ck_assert_uint_eq(got[i].createdmodseq, recs[i].createdmodseq);
        ck_assert_uint_eq(got[i].modseq, recs[i].modseq);
    }
    assert_annotation(m, 1, "/vendor/cmu/cyrus-imapd/thrid", "");
    ck_assert_uint_eq(mailbox_index_header(m)->sync_crc_basic, before.sync_crc_basic);
    ck_assert_uint_eq(mailbox_index_header(m)->sync_crc_annot, before.sync_crc_annot);
    ck_assert_uint_eq(mailbox_index_header(m)->quota_annot_used, before.quota_annot_used);
    ck_assert_uint_eq(mailbox_index_header(m)->highestmodseq, before.highestmodseq);
    mailbox_close(&m);
}
END_TEST

/* Only read until it is converted; the refusal names the way out. */
START_TEST(an_index_before_12_takes_no_change)
{
    struct index_record recs[N];

    make(recs);
    write_old(9, recs);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, NAME);
    read_all(w, recs);
    recs[0].system_flags |= FLAG_FLAGGED;
    ck_assert_int_eq(mailbox_rewrite_record(w, &recs[0], 0), IMAP_MAILBOX_BADFORMAT);
    ck_assert_ptr_nonnull(strstr(last_log, "reconstruct -V max"));
    txn_abort(&txn);
    ck_assert_uint_eq(version_now(), 9);
}
END_TEST

START_TEST(versions_that_are_not_written)
{
    static const int no[] = { -1, 5, 6, 10, 11, 18, 19, 20, 1000 };
    struct index_record recs[N];

    make(recs);
    for (size_t i = 0; i < array_size(no); i++)
        ck_assert_int_eq(set_version(no[i]), IMAP_MAILBOX_NOTSUPPORTED);
    ck_assert_int_eq(set_version(17), 0);
    ck_assert_uint_eq(version_now(), 17);
}
END_TEST

/* What a newer server wrote is left alone, and the log says what it is. */
START_TEST(newer_versions_do_not_open)
{
    struct index_record recs[N];
    struct buf bytes = BUF_INITIALIZER, after = BUF_INITIALIZER;
    struct mailbox *m;
    mbentry_t *entry;

    make(recs);
    char *path = st_file(st_uniqueid(NAME), "cyrus.index");
    test_readfile(path, &bytes);
    put_be32(bytes.s + 8, 18 + (uint32_t)_i);
    put_index(&bytes);
    ck_assert_int_eq(mboxlist_lookup(NAME, &entry, NULL), 0);
    ck_assert_int_eq(mailbox_open_mbentry(entry, &m), IMAP_MAILBOX_BADFORMAT);
    ck_assert_ptr_nonnull(strstr(last_log, "newer"));
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(mailbox_open_iwl(txn, NAME, &m), IMAP_MAILBOX_BADFORMAT);
    txn_abort(&txn);
    test_readfile(path, &after);
    ck_assert_bytes_eq(after.s, after.len, bytes.s, bytes.len);
    mbentry_free(&entry);
    buf_free(&bytes);
    buf_free(&after);
    free(path);
}
END_TEST

/* A record that can't be read has no other size: nothing is changed, nothing lost. */
START_TEST(a_bad_record_stops_the_conversion)
{
    struct index_record recs[N];
    struct buf bytes = BUF_INITIALIZER, after = BUF_INITIALIZER;

    make(recs);
    write_old(15, recs);
    char *path = st_file(st_uniqueid(NAME), "cyrus.index");
    test_readfile(path, &bytes);
    bytes.s[160 + 104 + 20] ^= 1;
    put_index(&bytes);
    ck_assert_int_eq(set_version(0), IMAP_MAILBOX_CHECKSUM);
    ck_assert_ptr_nonnull(strstr(last_log, "uid=<2>"));
    test_readfile(path, &after);
    ck_assert_bytes_eq(after.s, after.len, bytes.s, bytes.len);
    ck_assert_uint_eq(version_now(), 15);
    buf_free(&bytes);
    buf_free(&after);
    free(path);
}
END_TEST

/* Counting anew finds the annotations of messages. */
START_TEST(recount_has_annotations)
{
    struct index_record recs[N];

    make(recs);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, NAME);
    const struct index_header before = *mailbox_index_header(w);
    ck_assert_uint_eq(before.quota_annot_used, 6);
    ck_assert_int_eq(mailbox_recalc_counters(w), 0);
    ck_assert_uint_eq(mailbox_index_header(w)->quota_annot_used, 6);
    ck_assert_uint_eq(mailbox_index_header(w)->sync_crc_annot, before.sync_crc_annot);
    st_commit(txn);
}
END_TEST

Suite *mailbox_version_suite(void)
{
    Suite *s = suite_create("mailbox_version");
    TCase *tc = tcase_create("version");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, an_old_index_becomes_the_present_one, 0, (int)array_size(old_versions));
    tcase_add_test(tc, fields_move_to_annotations_and_back);
    tcase_add_test(tc, an_index_before_12_takes_no_change);
    tcase_add_test(tc, versions_that_are_not_written);
    tcase_add_loop_test(tc, newer_versions_do_not_open, 0, 3);
    tcase_add_test(tc, a_bad_record_stops_the_conversion);
    tcase_add_test(tc, recount_has_annotations);
    suite_add_tcase(s, tc);
    return s;
}
