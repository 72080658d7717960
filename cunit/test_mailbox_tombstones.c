/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mailbox_tombstones -- which records of messages whose files are gone a repack leaves in the index
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "store_testutil.h"
#include "util.h"

#define BOX "user.alice"
#define HOUR 3600
#define DAY (24 * HOUR)
#define LEAST 4096 /* stay however few messages there are */

static void setup(void)
{
    st_setup("expunge_mode: immediate\n");
    st_create(BOX);
}

static void setup_none(void)
{
    st_setup("expunge_mode: immediate\nexpunge_tombstones: 0\n");
    st_create(BOX);
}

static void setup_short(void)
{
    st_setup("expunge_tombstones: 30m\n");
    st_create(BOX);
}

/* Records of messages that are gone (alive: of which nobody looks at the file), `ago` seconds old; their UIDs are their modseqs. */
static void append_records(struct mailbox *w, unsigned n, time_t ago, bool alive)
{
    for (unsigned i = 0; i < n; i++) {
        struct index_record rec = { .size = 1 };

        rec.uid = mailbox_index_header(w)->last_uid + 1;
        rec.modseq = rec.uid;
        rec.last_updated = txn_time(mailbox_txn(w)) - ago;
        rec.internaldate = rec.last_updated;
        if (!alive) rec.internal_flags = FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED;
        message_guid_generate(&rec.guid, (const char *)&rec.uid, sizeof(rec.uid));
        ck_assert_int_eq(mailbox_append_record(w, &rec, NULL, NULL, MAILBOX_SILENT), 0);
    }
}

static void tombstones(unsigned n, time_t ago)
{
    struct txn *txn = st_begin("alice");

    append_records(st_write(txn, BOX), n, ago, false);
    st_commit(txn);
}

static void living(unsigned n)
{
    struct txn *txn = st_begin("alice");

    append_records(st_write(txn, BOX), n, 0, true);
    st_commit(txn);
}

static void repack(void)
{
    struct txn *txn = st_begin("alice");

    ck_assert_int_eq(mailbox_repack(st_write(txn, BOX)), 0);
    st_commit(txn);
}

static bool needs_purge(void)
{
    struct txn *txn = st_begin("alice");
    bool needs = mailbox_needs_purge(st_write(txn, BOX));

    st_commit(txn);
    return needs;
}

/* These UIDs, and no others, have a record; what is not known any more ends with modseq `deleted`. */
static void assert_left(uint32_t first, uint32_t last, modseq_t deleted)
{
    struct index_record rec;
    struct mailbox *m = st_read(BOX);

    ck_assert_uint_eq(mailbox_num_records(m), last - first + 1);
    for (uint32_t recno = 1; recno <= mailbox_num_records(m); recno++) {
        ck_assert_int_eq(mailbox_read_record(m, recno, &rec), 0);
        ck_assert_uint_eq(rec.uid, first + recno - 1);
    }
    ck_assert_uint_eq(mailbox_index_header(m)->deletedmodseq, deleted);
    mailbox_close(&m);
}

START_TEST(they_go_by_age)
{
    tombstones(3, 7 * DAY + HOUR);
    tombstones(2, 7 * DAY - HOUR);
    tombstones(1, 0);
    ck_assert(needs_purge());
    repack();
    assert_left(4, 6, 3);
    ck_assert(!needs_purge());
    repack();
    assert_left(4, 6, 3);
    st_check(BOX);
}
END_TEST

START_TEST(one_hour_is_not_more_than_asked_for)
{
    tombstones(1, HOUR - 60);
    tombstones(2, 60);
    repack();
    assert_left(2, 3, 1);
}
END_TEST

START_TEST(the_newest_stay)
{
    tombstones(10, 3 * HOUR);
    tombstones(LEAST, 2 * HOUR);
    ck_assert(needs_purge());
    repack();
    assert_left(11, LEAST + 10, 10);
    ck_assert(!needs_purge());
    living(1);
    tombstones(1, 2 * HOUR);
    repack();
    assert_left(12, LEAST + 12, 11);
}
END_TEST

START_TEST(none_of_the_last_hour_goes)
{
    tombstones(5, 2 * HOUR);
    tombstones(2 * LEAST, HOUR - 60);
    repack();
    assert_left(6, 2 * LEAST + 5, 5);
    st_check(BOX);
}
END_TEST

START_TEST(as_many_as_there_are_messages)
{
    tombstones(LEAST + 50, 2 * HOUR);
    living(LEAST + 20);
    repack();
    assert_left(31, 2 * LEAST + 70, 30);
}
END_TEST

/* A clock that was a year ahead: they are young for a year, and no more than others. */
START_TEST(a_wrong_clock_gets_nothing_for_it)
{
    tombstones(LEAST + 7, -365 * (time_t)DAY);
    repack();
    assert_left(8, LEAST + 7, 7);
}
END_TEST

START_TEST(none_when_none_are_wanted)
{
    tombstones(2, 0);
    living(1);
    tombstones(1, 0);
    ck_assert(needs_purge());
    repack();
    assert_left(3, 3, 4);
}
END_TEST

static void expunge_first(void)
{
    struct index_record rec;
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, BOX);

    ck_assert_int_eq(mailbox_find_uid(w, 1, &rec), 0);
    ck_assert_int_eq(mailbox_expunge_record(w, &rec, 0), 0);
    st_commit(txn);
}

/* Nothing of its content stays; a number that others use again would be somebody else's cache record. */
START_TEST(a_tombstone_has_no_cache)
{
    struct index_record rec;
    struct buf view = BUF_INITIALIZER;
    uint32_t crc, version;

    st_append(BOX, 1);
    st_append(BOX, 2);
    expunge_first();
    st_append(BOX, 3);
    struct mailbox *m = st_read(BOX);
    ck_assert_int_eq(mailbox_find_uid(m, 1, &rec), 0);
    ck_assert_uint_eq(rec.internal_flags & (FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED),
                      FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED);
    ck_assert_uint_eq(rec.cache_offset, 0);
    ck_assert_uint_eq(rec.cache_crc, 0);
    ck_assert_int_eq(mailbox_cache_bytes(m, &rec, &view, &crc, &version), IMAP_NOTFOUND);
    ck_assert_uint_eq(mailbox_index_header(m)->deletedmodseq, 0);
    mailbox_close(&m);
    ck_assert(!needs_purge());
    st_check(BOX);
}
END_TEST

/* Of a removal that another program made (or expunge_mode semidelayed), content is in the cache still. */
START_TEST(a_cache_record_is_to_be_purged)
{
    struct index_record rec;

    st_append(BOX, 1);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, BOX);
    ck_assert_int_eq(mailbox_find_uid(w, 1, &rec), 0);
    rec.internal_flags |= FLAG_INTERNAL_UNLINKED;
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    st_commit(txn);
    ck_assert(needs_purge());
    repack();
    ck_assert(!needs_purge());
    st_check(BOX);
}
END_TEST

/* What reconstruct has put in the place of a record that nobody can read is no message that was expunged. */
START_TEST(a_wiped_record_goes)
{
    tombstones(2, 0);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, BOX);
    ck_assert_int_eq(mailbox_wipe_record(w, 1), 0);
    ck_assert_int_eq(mailbox_recalc_counters(w), 0);
    st_commit(txn);
    ck_assert(needs_purge());
    repack();
    assert_left(2, 2, 0);
}
END_TEST

Suite *mailbox_tombstones_suite(void)
{
    Suite *s = suite_create("mailbox_tombstones");
    TCase *tc = st_tcase(s, "a week", setup);

    tcase_add_test(tc, they_go_by_age);
    tcase_add_test(tc, the_newest_stay);
    tcase_add_test(tc, none_of_the_last_hour_goes);
    tcase_add_test(tc, as_many_as_there_are_messages);
    tcase_add_test(tc, a_wrong_clock_gets_nothing_for_it);
    tcase_add_test(tc, a_tombstone_has_no_cache);
    tcase_add_test(tc, a_cache_record_is_to_be_purged);
    tcase_add_test(tc, a_wiped_record_goes);
    tcase_add_test(st_tcase(s, "half an hour", setup_short), one_hour_is_not_more_than_asked_for);
    tcase_add_test(st_tcase(s, "none", setup_none), none_when_none_are_wanted);
    return s;
}
