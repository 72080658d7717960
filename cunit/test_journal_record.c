/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal_record -- a record comes back as it was built, and nothing else is one
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal_record.h"
#include "testutil.h"
#include "util.h"

static struct journal_record rec;
static struct journal_view view;

static void setup(void)
{
    journal_record_init(&rec);
    memset(&view, 0, sizeof(view));
}

static void teardown(void)
{
    journal_view_fini(&view);
    journal_record_fini(&rec);
}

static void build(void)
{
    struct journal_op ops[] = {
        { .kind = JOURNAL_OP_PWRITE, .path = "/p/cyrus.index", .off = 0x123456789ab, .data = "ab\0cd", .datalen = 5 },
        { .kind = JOURNAL_OP_CREATE, .path = "/p/1.", .data = "", .mode = 0644, .number = 1700000000 },
        { .kind = JOURNAL_OP_LINK, .path = "/p/1.", .path2 = "/q/7." },
        { .kind = JOURNAL_OP_DB, .path = "/c/db", .path2 = "twoskip", .off = 336, .number = 3, .lock = 1,
          .flags = JOURNAL_DB_EARLY },
        { .kind = JOURNAL_OP_KVSET, .key = "k\0ey", .keylen = 4, .data = "value", .datalen = 5 },
        { .kind = JOURNAL_OP_KVDEL, .key = "gone", .keylen = 4 },
    };
    ck_assert_uint_eq(journal_record_lock(&rec, "*U*alice", false), 0);
    ck_assert_uint_eq(journal_record_lock(&rec, "$DB$quotas", true), 1);
    for (size_t i = 0; i < array_size(ops); i++) journal_record_op(&rec, &ops[i]);
    journal_record_event(&rec, "MAILBOX user.alice", 0);
    journal_record_event(&rec, "APPEND user.alice", 1);
    ck_assert_int_eq(journal_record_seal(&rec, JOURNAL_RECORD_TXN, 1234567), 0);
    journal_record_stamp(&rec, 0x5000, 0xdeadbeef12345678, 0x4000);
}

START_TEST(test_roundtrip)
{
    struct journal_op_iter iter;
    struct journal_op op;
    bool early;

    build();
    ck_assert_uint_eq(rec.bytes.len % 8, 0);
    ck_assert_int_eq(journal_view_init(&view, rec.bytes.s, rec.bytes.len, 0x5000), 0);
    ck_assert(view.head.generation == 0xdeadbeef12345678 && view.head.synced == 0x4000);
    ck_assert(view.head.time == 1234567 && view.head.type == JOURNAL_RECORD_TXN);
    ck_assert_str_eq(journal_view_lock(&view, 0, &early), "*U*alice");
    ck_assert(!early);
    ck_assert_str_eq(journal_view_lock(&view, 1, &early), "$DB$quotas");
    ck_assert(early);

    journal_op_iter_init(&iter, &view);
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 1);
    ck_assert(op.kind == JOURNAL_OP_PWRITE && op.off == 0x123456789ab);
    ck_assert_str_eq(op.path, "/p/cyrus.index");
    ck_assert_bytes_eq(op.data, op.datalen, "ab\0cd", 5);
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 1);
    ck_assert(op.kind == JOURNAL_OP_CREATE && op.mode == 0644 && op.number == 1700000000 && op.datalen == 0);
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 1);
    ck_assert_str_eq(op.path, "/p/1.");
    ck_assert_str_eq(op.path2, "/q/7.");
    ck_assert_str_eq(journal_op_target(&op), "/q/7.");
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 1);
    ck_assert(op.kind == JOURNAL_OP_DB && op.off == 336 && op.number == 3 && op.lock == 1);
    ck_assert_uint_eq(op.flags, JOURNAL_DB_EARLY);
    ck_assert_str_eq(op.path2, "twoskip");
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 1);
    ck_assert_bytes_eq(op.key, op.keylen, "k\0ey", 4);
    ck_assert_bytes_eq(op.data, op.datalen, "value", 5);
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 1);
    ck_assert(op.kind == JOURNAL_OP_KVDEL && op.keylen == 4 && op.datalen == 0);
    ck_assert_int_eq(journal_op_iter_next(&iter, &op), 0);
}
END_TEST

START_TEST(test_events)
{
    struct journal_event_iter iter;
    const char *line;
    unsigned flags;

    build();
    ck_assert_int_eq(journal_view_init(&view, rec.bytes.s, rec.bytes.len, 0x5000), 0);
    journal_event_iter_init(&iter, &view);
    ck_assert_int_eq(journal_event_iter_next(&iter, &line, &flags), 1);
    ck_assert_str_eq(line, "MAILBOX user.alice");
    ck_assert_uint_eq(flags, 0);
    ck_assert_int_eq(journal_event_iter_next(&iter, &line, &flags), 1);
    ck_assert_str_eq(line, "APPEND user.alice");
    ck_assert_uint_eq(flags, 1);
    ck_assert_int_eq(journal_event_iter_next(&iter, &line, &flags), 0);
}
END_TEST

/* A path that comes often is stored once. */
START_TEST(test_strings_are_shared)
{
    char path[] = "/a/long/path/that/would/be/felt/if/it/were/stored/ten/thousand/times";
    for (int i = 0; i < 10000; i++) {
        struct journal_op op = { .kind = JOURNAL_OP_PWRITE, .path = path, .data = "x", .datalen = 1 };
        journal_record_op(&rec, &op);
    }
    ck_assert_uint_eq(rec.nstrings, 1);
    ck_assert_uint_eq(rec.ops.len, 10000 * 33);
}
END_TEST

START_TEST(test_wrong_place_is_none)
{
    build();
    ck_assert_int_eq(journal_view_init(&view, rec.bytes.s, rec.bytes.len, 0x5008), -EBADMSG);
}
END_TEST

/* Every shorter prefix and every flipped bit is noticed. */
START_TEST(test_torn_and_flipped)
{
    build();
    for (size_t len = 0; len < rec.bytes.len; len++)
        ck_assert_int_eq(journal_view_init(&view, rec.bytes.s, len, 0x5000), -EBADMSG);
    for (size_t i = 0; i < rec.bytes.len * 8; i++) {
        rec.bytes.s[i / 8] ^= (char)(1 << i % 8);
        ck_assert_int_eq(journal_view_init(&view, rec.bytes.s, rec.bytes.len, 0x5000), -EBADMSG);
        rec.bytes.s[i / 8] ^= (char)(1 << i % 8);
    }
}
END_TEST

/* With its CRCs right, a record of wrong counts or lengths is still refused, not walked over its end. */
START_TEST(test_wrong_inside)
{
    static const size_t fields[] = { 36, 40, 44, 48 };
    for (size_t i = 0; i < array_size(fields); i++) {
        journal_record_fini(&rec);
        journal_record_init(&rec);
        build();
        put_be32(rec.bytes.s + fields[i], get_be32(rec.bytes.s + fields[i]) + 1000);
        journal_record_stamp(&rec, 0x5000, 1, 0);
        ck_assert_int_eq(journal_view_init(&view, rec.bytes.s, rec.bytes.len, 0x5000), -EBADMSG);
    }
}
END_TEST

START_TEST(test_empty)
{
    ck_assert(journal_record_isempty(&rec));
    journal_record_lock(&rec, "*U*bob", false);
    ck_assert(journal_record_isempty(&rec));
    journal_record_event(&rec, "USER bob", 0);
    ck_assert(!journal_record_isempty(&rec));
}
END_TEST

Suite *journal_record_suite(void)
{
    Suite *s = suite_create("journal_record");
    TCase *tc = tcase_create("record");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_roundtrip);
    tcase_add_test(tc, test_events);
    tcase_add_test(tc, test_strings_are_shared);
    tcase_add_test(tc, test_wrong_place_is_none);
    tcase_add_test(tc, test_torn_and_flipped);
    tcase_add_test(tc, test_wrong_inside);
    tcase_add_test(tc, test_empty);
    suite_add_tcase(s, tc);
    return s;
}
