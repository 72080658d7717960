/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrus.index against bytes that 3.6.1 wrote (handbook 02 §9): every version of
 * record, the CRCs, the sync CRCs, and the counts kept from change to change.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "crc32.h"
#include "imap_err.h"
#include "mailbox_index.h"
#include "sync_crc.h"
#include "testutil.h"

/* user.cassandane with three messages (handbook 02 §9.2) */
static const char index_fresh[] = "000000000000000000000011000000a000000070000000036b0242bb00000003"
                                  "000000000000070b000000006b02417c"
                                  "0000000000000000000000010000000100000000000000000000000600000000"
                                  "00000000000000030000000000000000"
                                  "22492e7da2d5e24b00000000000000000000000000000000a10c09c700000002"
                                  "00000000000000016b02417b00000000"
                                  "00000000000000000000000030165f190000000163b2ab2063b21e80000001a3"
                                  "0000018763b23b95000000046b0242ba"
                                  "00000012000000000000000000000000000000006b0242ba0000000bb433c48b"
                                  "6308af4a9a58a4249b5fca13d4385e21"
                                  "000000000000000425c01d6a6861a45800000000000000040adcbd38d38381dc"
                                  "0000000263b3fca063b3700000000448"
                                  "000001b963b500c80000037c6b0242bb00000000000000030000000000000000"
                                  "000000006b0242bb0000000bc77881b9"
                                  "9364868c4ccd0edebc1562a7803029ce000000000000000525c01d6a6861a458"
                                  "00000000000000051feaae88008a04a0"
                                  "0000000363b54e2063b4c180000001200000010d63b56a4000000c146b0242bb"
                                  "00000000000000000000000000000000"
                                  "000000006b0242bb0000000b3fdab54648e114649221c6415d9c451de46d2ea9"
                                  "0000000000000006ae296ca743881f76"
                                  "000000000000000621ec561937235b69";

/* the same after \Seen, a delayed expunge and two annotations (handbook 02 §9.4) */
static const char index_changed[] = "000000000000000000000011000000a000000070000000036b0242bb000000"
                                    "0300000000000002c3000000006b02417c"
                                    "0000000000000000000000010000000100000000000000000000000c000000"
                                    "0000000000000000026b02432500000000"
                                    "22492e7d0ee5a4fc000000036b024325000000000000000be0e9b129000000"
                                    "0000000000000000016b02417b00000000"
                                    "000000000000000000000000f28174cc0000000163b2ab2063b21e80000001"
                                    "a30000018763b23b95000000046b024325"
                                    "00000012000000000000000000000000000000006b0242ba0000000bb433c4"
                                    "8b6308af4a9a58a4249b5fca13d4385e21"
                                    "000000000000000b25c01d6a6861a45800000000000000040adcbd381c2af9"
                                    "330000000263b3fca063b3700000000448"
                                    "000001b963b500c80000037c6b024325800000050000000300000000000000"
                                    "00000000006b0242bb0000000bc77881b9"
                                    "9364868c4ccd0edebc1562a7803029ce000000000000000c25c01d6a6861a4"
                                    "5800000000000000051feaae88f579e6c9"
                                    "0000000363b54e2063b4c180000001200000010d63b56a4000000c146b0243"
                                    "2500000010000000000000000000000000"
                                    "000000006b0242bb0000000b3fdab54648e114649221c6415d9c451de46d2e"
                                    "a90000000000000007ae296ca743881f76"
                                    "000000000000000621ec561996968485";

/* one message in the versions (handbook 02 §9.5) */
static const struct {
    uint32_t minor;
    const char *hex;
} record_versions[] = {
    { 17, "0000000163b2ab2063b21e80000001a30000018763b23b95000000046b02451c000000100000000100000000"
          "00000000"
          "000000006b02451c0000000bb433c48b6308af4a9a58a4249b5fca13d4385e21000000000000000225c01d6a"
          "6861a458"
          "00000000000000020adcbd3829fee5be" },
    { 15, "0000000163b2ab2063b21e80000001a30000018763b23b95000000046b02451c000000100000000100000000"
          "00000000"
          "000000006b02451c0000000bb433c48b6308af4a9a58a4249b5fca13d4385e21000000000000000225c01d6a"
          "6861a458"
          "0adcbd3876b03b19" },
    { 14, "0000000163b2ab2063b21e80000001a30000018763b23b95000000046b02451c000000100000000100000000"
          "00000000"
          "00000000000000000000000bb433c48b6308af4a9a58a4249b5fca13d4385e21000000000000000225c01d6a"
          "6861a458"
          "0adcbd38d68fd94c" },
    { 12, "0000000163b2ab2063b21e80000001a30000018763b23b95000000046b02451c000000100000000100000000"
          "00000000"
          "00000000000000000000000bb433c48b6308af4a9a58a4249b5fca13d4385e2100000000000000020adcbd38"
          "fab88bd6" },
    { 9, "0000000163b2ab2063b21e80000001a30000018700000187000000046b02451c0000000000000001000000000"
         "0000000"
         "00000000000000000000000b0000000000000000000000000000000000000002" },
    { 7, "0000000163b2ab2063b21e80000001a30000018700000187000000046b02451c0000000000000001000000000"
         "0000000"
         "00000000000000000000000b000000000000000000000000" },
    { 6, "0000000163b2ab2063b21e80000001a30000018700000187000000046b02451c0000000000000001000000000"
         "0000000"
         "00000000000000000000000b" },
};

struct index {
    struct buf bytes;
    struct index_header hdr;
    struct index_record rec[3];
};

static void load(struct index *ix, const char *hex)
{
    memset(ix, 0, sizeof(*ix));
    test_unhex(hex, &ix->bytes);
    ck_assert_int_eq(index_header_read(&ix->hdr, ix->bytes.s, ix->bytes.len, 1), 0);
    ck_assert_int_eq(index_header_check_size(&ix->hdr, ix->bytes.len), 0);
    for (uint32_t n = 1; n <= 3; n++) {
        uint64_t off = index_record_offset(&ix->hdr, n);
        ck_assert_int_eq(
            index_record_read(&ix->rec[n - 1], 17, ix->bytes.s + off, ix->bytes.len - off), 0);
    }
}

static void flags_labels(strarray_t *flags)
{
    strarray_append(flags, "$Label1");
    strarray_append(flags, "Junk");
}

START_TEST(header_fields)
{
    struct index ix;
    load(&ix, index_fresh);
    const struct index_header *h = &ix.hdr;

    ck_assert_uint_eq(h->minor_version, 17);
    ck_assert_uint_eq(h->start_offset, 160);
    ck_assert_uint_eq(h->record_size, 112);
    ck_assert_uint_eq(h->num_records, 3);
    ck_assert_int_eq(h->last_appenddate, 1795310267);
    ck_assert_uint_eq(h->last_uid, 3);
    ck_assert_uint_eq(h->quota_mailbox_used, 1803);
    ck_assert_uint_eq(h->uidvalidity, 1795309948);
    ck_assert_uint_eq(h->flagged, 1);
    ck_assert_uint_eq(h->options, OPT_POP3_NEW_UIDL);
    ck_assert_uint_eq(h->highestmodseq, 6);
    ck_assert_uint_eq(h->exists, 3);
    ck_assert_uint_eq(h->header_file_crc, 0x22492e7d);
    ck_assert_uint_eq(h->sync_crc_basic, 0xa2d5e24b);
    ck_assert_uint_eq(h->sync_crc_annot, 0xa10c09c7);
    ck_assert_uint_eq(h->unseen, 2);
    ck_assert_uint_eq(h->createdmodseq, 1);
    ck_assert_int_eq(h->changes_epoch, 1795309947);
    buf_free(&ix.bytes);
}
END_TEST

START_TEST(record_fields)
{
    struct index ix;
    load(&ix, index_fresh);
    const struct index_record *r = &ix.rec[1];
    char guid[MESSAGE_GUID_STRLEN];

    ck_assert_uint_eq(r->uid, 2);
    ck_assert_int_eq(r->internaldate, 1672740000);
    ck_assert_int_eq(r->sentdate, 1672704000);
    ck_assert_uint_eq(r->size, 1096);
    ck_assert_uint_eq(r->header_size, 441);
    ck_assert_int_eq(r->gmtime, 1672806600);
    ck_assert_uint_eq(r->cache_offset, 892);
    ck_assert_int_eq(r->last_updated, 1795310267);
    ck_assert_uint_eq(r->system_flags, 0);
    ck_assert_uint_eq(r->user_flags[0], 3);
    ck_assert(index_record_user_flag(r, 1));
    ck_assert(!index_record_user_flag(r, 2));
    ck_assert_int_eq(r->savedate, 1795310267);
    ck_assert_uint_eq(r->cache_version, 11);
    ck_assert_str_eq(message_guid_encode(&r->guid, guid),
                     "c77881b99364868c4ccd0edebc1562a7803029ce");
    ck_assert_uint_eq(r->modseq, 5);
    ck_assert_uint_eq(r->cid, UINT64_C(0x25c01d6a6861a458));
    ck_assert_uint_eq(r->createdmodseq, 5);
    ck_assert_uint_eq(r->cache_crc, 0x1feaae88);
    ck_assert_uint_eq(ix.rec[0].system_flags, FLAG_FLAGGED | FLAG_SEEN);
    buf_free(&ix.bytes);
}
END_TEST

/* What was read is written back byte for byte. */
START_TEST(rewrite)
{
    const char *both[] = { index_fresh, index_changed };

    for (size_t k = 0; k < 2; k++) {
        struct index ix;
        char out[3 * INDEX_RECORD_MAX + INDEX_HEADER_MAX];
        load(&ix, both[k]);
        size_t len = index_header_write(&ix.hdr, out);
        ck_assert_uint_eq(len, 160);
        for (int n = 0; n < 3; n++) len += index_record_write(&ix.rec[n], 17, out + len);
        test_assert_bytes_eq(out, len, ix.bytes.s, ix.bytes.len);
        buf_free(&ix.bytes);
    }
}
END_TEST

START_TEST(sync_crcs_of_records)
{
    struct index ix;
    strarray_t flags = STRARRAY_INITIALIZER;

    load(&ix, index_fresh);
    flags_labels(&flags);
    ck_assert_uint_eq(sync_crc_record(&ix.rec[0], &flags), 3282139413);
    ck_assert_uint_eq(sync_crc_record(&ix.rec[1], &flags), 550624982);
    ck_assert_uint_eq(sync_crc_record(&ix.rec[2], &flags), 1101350280);
    ck_assert_uint_eq(sync_crc_record_annots(&ix.rec[0], 17), 975700548);
    ck_assert_uint_eq(sync_crc_record_annots(&ix.rec[1], 17), 3369095926);
    ck_assert_uint_eq(sync_crc_record_annots(&ix.rec[2], 17), 1397241915);
    /* only the fields a version has */
    ck_assert_uint_eq(sync_crc_record_annots(&ix.rec[0], 13), 640904239);
    ck_assert_uint_eq(sync_crc_record_annots(&ix.rec[0], 15), 640904239 ^ UINT32_C(3769988483));
    ck_assert_uint_eq(sync_crc_record_annots(&ix.rec[0], 12), 0);
    ck_assert_uint_eq(sync_crc_annotation(1, "/comment", "cassandane", "hi there", 8), 1891824630);
    ck_assert_uint_eq(sync_crc_annotation(1, "/comment", "", "pub", 3), 4193720814);
    strarray_fini(&flags);
    buf_free(&ix.bytes);
}
END_TEST

static uint32_t sum(const struct index *ix, const strarray_t *flags)
{
    uint32_t crc = 0;

    for (unsigned i = 0; i < 3; i++) crc ^= sync_crc_record(&ix->rec[i], flags);
    return crc;
}

/* What the format can't see (doc/cyrus-3.6.1.md): a XOR of CRCs, which are linear. */
START_TEST(sync_crcs_are_linear)
{
    struct index ix;
    strarray_t flags = STRARRAY_INITIALIZER;

    load(&ix, index_fresh);
    flags_labels(&flags);
    uint32_t was = sum(&ix, &flags);
    struct message_guid guid = ix.rec[0].guid;
    ix.rec[0].guid = ix.rec[1].guid;
    ck_assert_uint_ne(sum(&ix, &flags), was);
    ix.rec[1].guid = guid; /* two messages have changed places */
    ck_assert_uint_eq(sum(&ix, &flags), was);
    strarray_fini(&flags);
    buf_free(&ix.bytes);
}
END_TEST

START_TEST(sync_crc_rules)
{
    struct index_record rec = { .uid = 9, .cid = 0xab };

    /* no leading zeros */
    ck_assert_uint_eq(sync_crc_record_annots(&rec, 13),
                      sync_crc_annotation(9, "/vendor/cmu/cyrus-imapd/thrid", "", "ab", 2));
    ck_assert(sync_crc_annotation_isvirtual("/vendor/cmu/cyrus-imapd/thrid", 13));
    ck_assert(!sync_crc_annotation_isvirtual("/vendor/cmu/cyrus-imapd/savedate", 14));
    ck_assert(sync_crc_annotation_isvirtual("/vendor/cmu/cyrus-imapd/savedate", 15));
    ck_assert(!sync_crc_annotation_isvirtual("/vendor/cmu/cyrus-imapd/createdmodseq", 15));
    ck_assert(sync_crc_annotation_isvirtual("/vendor/cmu/cyrus-imapd/createdmodseq", 17));
    ck_assert(!sync_crc_annotation_isvirtual("/vendor/cmu/cyrus-imapd/basethrid", 17));
    ck_assert(sync_crc_equal(5, 5) && sync_crc_equal(0, 7) && sync_crc_equal(7, 0) &&
              !sync_crc_equal(6, 7));

    /* names of user flags count in lower case, free slots not at all */
    strarray_t a = STRARRAY_INITIALIZER, b = STRARRAY_INITIALIZER;
    strarray_set(&a, 33, "FOO");
    strarray_set(&b, 33, "foo");
    index_record_set_user_flag(&rec, 33, true);
    ck_assert_uint_eq(sync_crc_record(&rec, &a), sync_crc_record(&rec, &b));
    uint32_t with = sync_crc_record(&rec, &a);
    strarray_set(&a, 33, NULL);
    ck_assert_uint_ne(sync_crc_record(&rec, &a), with);
    index_record_set_user_flag(&rec, 33, false);
    ck_assert_uint_eq(rec.user_flags[1], 0);
    ck_assert_uint_ne(sync_crc_record(&rec, &b), with);
    strarray_fini(&a);
    strarray_fini(&b);
}
END_TEST

static void assert_same_counts(const struct index_header *a, const struct index_header *b)
{
    ck_assert_uint_eq(a->exists, b->exists);
    ck_assert_uint_eq(a->deleted, b->deleted);
    ck_assert_uint_eq(a->answered, b->answered);
    ck_assert_uint_eq(a->flagged, b->flagged);
    ck_assert_uint_eq(a->unseen, b->unseen);
    ck_assert_uint_eq(a->quota_mailbox_used, b->quota_mailbox_used);
    ck_assert_uint_eq(a->quota_annot_used, b->quota_annot_used);
    ck_assert_int_eq(a->first_expunged, b->first_expunged);
    ck_assert_uint_eq(a->sync_crc_basic, b->sync_crc_basic);
    ck_assert_uint_eq(a->sync_crc_annot, b->sync_crc_annot);
}

/* The header of 3.6.1 is what counting gives, and stays so from one state to the next. */
START_TEST(accounting_vectors)
{
    struct index before, after;
    strarray_t flags = STRARRAY_INITIALIZER;
    struct annot_sum sum = {
        sync_crc_annotation(1, "/comment", "cassandane", "hi there", 8) ^
            sync_crc_annotation(1, "/comment", "", "pub", 3),
        11,
    };

    load(&before, index_fresh);
    load(&after, index_changed);
    flags_labels(&flags);

    struct index_header h = before.hdr;
    index_header_reset_counts(&h);
    for (int n = 0; n < 3; n++)
        ck_assert_int_eq(index_header_apply_delta(&h, NULL, NULL, &before.rec[n], NULL, &flags), 0);
    assert_same_counts(&h, &before.hdr);

    for (int n = 0; n < 3; n++) {
        ck_assert_int_eq(index_header_apply_delta(&h, &before.rec[n], NULL, &after.rec[n],
                                                  n ? NULL : &sum, &flags),
                         0);
    }
    assert_same_counts(&h, &after.hdr);
    ck_assert_uint_eq(h.sync_crc_basic, 249931004);
    ck_assert_uint_eq(h.sync_crc_annot, 3773411625);

    /* all gone: as empty */
    for (int n = 0; n < 3; n++)
        ck_assert_int_eq(
            index_header_apply_delta(&h, &after.rec[n], n ? NULL : &sum, NULL, NULL, &flags), 0);
    struct index_header empty = h;
    index_header_reset_counts(&empty);
    empty.first_expunged = h.first_expunged;
    assert_same_counts(&h, &empty);

    /* one too many: never below 0 */
    ck_assert_int_eq(index_header_apply_delta(&h, &after.rec[0], NULL, NULL, NULL, &flags),
                     IMAP_MAILBOX_BADFORMAT);
    ck_assert_uint_eq(h.exists, 0);
    ck_assert_uint_eq(h.quota_mailbox_used, 0);

    strarray_fini(&flags);
    buf_free(&before.bytes);
    buf_free(&after.bytes);
}
END_TEST

/* Random changes, one by one, end where a recount of the last state ends. */
START_TEST(accounting_property)
{
    enum { N = 40 };
    struct index_record rec[N] = { 0 };
    struct annot_sum sum[N] = { 0 };
    bool there[N] = { false };
    strarray_t flags = STRARRAY_INITIALIZER;
    struct index_header h, counted;

    flags_labels(&flags);
    srandom((unsigned)_i + 1);
    index_header_init(&h);
    for (int step = 0; step < 500; step++) {
        int n = (int)(random() % N);
        struct index_record next = rec[n];
        struct annot_sum nextsum = { (uint32_t)random(), (uint64_t)random() % 100 };
        bool gone = there[n] && random() % 10 == 0;
        next.uid = (uint32_t)n + 1;
        next.size = there[n] ? next.size : (uint32_t)random() % 10000;
        next.system_flags = (uint32_t)random() & 0x1f;
        next.user_flags[0] = (uint32_t)random() & 3;
        next.internal_flags = random() % 4 ? next.internal_flags : FLAG_INTERNAL_EXPUNGED;
        next.modseq = (modseq_t)step + 1;
        next.cid = (conversation_id_t)random();
        next.last_updated = 1000 + step;
        ck_assert_int_eq(index_header_apply_delta(&h, there[n] ? &rec[n] : NULL, &sum[n],
                                                  gone ? NULL : &next, &nextsum, &flags),
                         0);
        there[n] = !gone;
        rec[n] = gone ? (struct index_record){ 0 } : next;
        sum[n] = gone ? (struct annot_sum){ 0 } : nextsum;
    }
    index_header_init(&counted);
    for (int n = 0; n < N; n++) {
        if (there[n]) index_header_apply_delta(&counted, NULL, NULL, &rec[n], &sum[n], &flags);
    }
    counted.first_expunged = h.first_expunged;
    assert_same_counts(&h, &counted);
    strarray_fini(&flags);
}
END_TEST

/* The record of handbook 02 §9.5 written in each version. */
START_TEST(versions_write)
{
    struct buf want = BUF_INITIALIZER;
    struct index_record rec;
    char out[INDEX_RECORD_MAX];

    test_unhex(record_versions[0].hex, &want);
    ck_assert_int_eq(index_record_read(&rec, 17, want.s, want.len), 0);
    for (size_t i = 0; i < array_size(record_versions); i++) {
        struct index_record r = rec;
        uint32_t minor = record_versions[i].minor;
        if (minor < 12) r.cache_crc = 0;
        test_unhex(record_versions[i].hex, &want);
        size_t len = index_record_write(&r, minor, out);
        test_assert_bytes_eq(out, len, want.s, want.len);
    }
    buf_free(&want);
}
END_TEST

START_TEST(versions_read)
{
    struct buf bytes = BUF_INITIALIZER;
    struct index_record rec;
    struct index_version v;
    char out[INDEX_RECORD_MAX];

    for (size_t i = 0; i < array_size(record_versions); i++) {
        uint32_t minor = record_versions[i].minor;
        test_unhex(record_versions[i].hex, &bytes);
        ck_assert(index_version_lookup(minor, &v));
        ck_assert_uint_eq(v.record_size, bytes.len);
        ck_assert_int_eq(index_record_read(&rec, minor, bytes.s, bytes.len), 0);
        ck_assert_uint_eq(rec.size, 419);
        ck_assert_uint_eq(rec.header_size, 391);
        ck_assert_uint_eq(rec.user_flags[0], 1);
        ck_assert_uint_eq(rec.modseq, minor >= 8 ? 2 : 0);
        ck_assert_uint_eq(rec.system_flags, minor >= 12 ? FLAG_SEEN : 0);
        ck_assert_uint_eq(rec.cid, minor >= 13 ? UINT64_C(0x25c01d6a6861a458) : 0);
        ck_assert_int_eq(rec.savedate, minor >= 15 ? 1795310876 : 0);
        ck_assert_int_eq(rec.gmtime, minor >= 12 ? 1672625045 : 1672617600);
        ck_assert_int_eq(message_guid_isnull(&rec.guid), minor < 10);
        size_t len = index_record_write(&rec, minor, out);
        test_assert_bytes_eq(out, len, bytes.s, bytes.len);
        ck_assert_int_eq(index_record_read(&rec, minor, bytes.s, bytes.len - 1),
                         IMAP_MAILBOX_BADFORMAT);
    }
    ck_assert_int_eq(index_record_read(&rec, 11, bytes.s, bytes.len), IMAP_MAILBOX_BADFORMAT);
    ck_assert_uint_eq(index_record_write(&rec, 18, out), 0);
    buf_free(&bytes);
}
END_TEST

START_TEST(versions_header)
{
    static const uint32_t sizes[][3] = {
        { 6, 76, 60 },    { 7, 76, 72 },    { 8, 92, 80 },    { 9, 96, 80 },
        { 10, 96, 88 },   { 12, 128, 96 },  { 13, 128, 104 }, { 14, 160, 104 },
        { 15, 160, 104 }, { 16, 160, 112 }, { 17, 160, 112 },
    };
    struct index ix;
    load(&ix, index_changed);

    for (size_t i = 0; i < array_size(sizes); i++) {
        struct index_header h = ix.hdr, back;
        char out[INDEX_HEADER_MAX];
        uint32_t minor = sizes[i][0];
        h.last_repack_time = 77;
        ck_assert(index_header_set_version(&h, minor));
        ck_assert_uint_eq(h.record_size, sizes[i][2]);
        ck_assert_uint_eq(index_header_write(&h, out), sizes[i][1]);
        ck_assert_int_eq(index_header_read(&back, out, sizes[i][1], 1234), 0);
        ck_assert_uint_eq(back.uidvalidity, h.uidvalidity);
        ck_assert_uint_eq(back.highestmodseq, minor >= 8 ? 12 : 1);
        ck_assert_uint_eq(back.exists, minor >= 12 ? 2 : 3);
        ck_assert_uint_eq(back.deletedmodseq, minor >= 12 ? 0 : back.highestmodseq);
        ck_assert_uint_eq(back.recentuid, minor >= 12 ? 3 : 0);
        ck_assert_uint_eq(back.sync_crc_annot, minor >= 13 ? h.sync_crc_annot : 0);
        ck_assert_uint_eq(back.createdmodseq, minor >= 16 ? 1 : 0);
        ck_assert_int_eq(back.changes_epoch, minor >= 17 ? 1795309947 : minor >= 12 ? 77 : 1234);
        ck_assert_int_eq(index_header_read(&back, out, sizes[i][1] - 1, 1), IMAP_MAILBOX_BADFORMAT);
        out[30] ^= 1;
        ck_assert_int_eq(index_header_read(&back, out, sizes[i][1], 1),
                         minor >= 12 ? IMAP_MAILBOX_CHECKSUM : 0);
    }
    buf_free(&ix.bytes);
}
END_TEST

START_TEST(damage)
{
    struct index ix;
    struct index_header h;
    struct index_record rec;

    load(&ix, index_fresh);
    ck_assert_int_eq(index_header_check_size(&ix.hdr, 495), IMAP_MAILBOX_BADFORMAT);
    ix.bytes.s[160 + 20] ^= 0x40;
    ck_assert_int_eq(index_record_read(&rec, 17, ix.bytes.s + 160, 112), IMAP_MAILBOX_CHECKSUM);
    ck_assert_uint_eq(rec.uid, 1);
    for (uint32_t minor = 0; minor < 25; minor++) {
        bool known = minor >= 6 && minor <= 17 && minor != 11;
        put_be32(ix.bytes.s + 8, minor);
        int r = index_header_read(&h, ix.bytes.s, ix.bytes.len, 1);
        if (!known)
            ck_assert_int_eq(r, IMAP_MAILBOX_BADFORMAT);
        else if (minor < 17)
            ck_assert_int_ne(r, 0); /* sizes or CRC are those of 17 */
        else
            ck_assert_int_eq(r, 0);
    }
    ck_assert_int_eq(index_header_read(&h, ix.bytes.s, 8, 1), IMAP_MAILBOX_BADFORMAT);
    buf_free(&ix.bytes);
}
END_TEST

START_TEST(limits)
{
    struct index_record rec = { .uid = 1,
                                .cache_offset = UINT64_C(0x123456789abc),
                                .cache_version = 11,
                                .internaldate = -5,
                                .gmtime = (time_t)1 << 40,
                                .savedate = 4294967295 },
                        back;
    struct index_header h, hback;
    char out[INDEX_HEADER_MAX];

    index_record_write(&rec, 17, out);
    ck_assert_int_eq(index_record_read(&back, 17, out, 112), 0);
    ck_assert_uint_eq(back.cache_offset, UINT64_C(0x123456789abc));
    ck_assert_uint_eq(back.cache_version, 11);
    ck_assert_int_eq(back.internaldate, 0);
    ck_assert_int_eq(back.gmtime, 4294967295);
    ck_assert_int_eq(back.savedate, 4294967295);

    index_header_init(&h);
    ck_assert_uint_eq(h.sync_crc_annot, 12345678);
    h.quota_annot_used = UINT64_C(1) << 33;
    h.options = 0xffffffff;
    index_header_write(&h, out);
    ck_assert_int_eq(index_header_read(&hback, out, 160, 1), 0);
    ck_assert_uint_eq(hback.quota_annot_used, UINT32_MAX);
    ck_assert_uint_eq(hback.options, OPTS_VALID);
    ck_assert_uint_eq(hback.highestmodseq, 1);
}
END_TEST

START_TEST(texts)
{
    char out[FLAGS_LOGSTRING_MAX], opt[OPTIONS_STRING_MAX];

    ck_assert_str_eq(index_flags_logstring(0, out), "");
    ck_assert_str_eq(index_flags_logstring(FLAG_ANSWERED | FLAG_DELETED | FLAG_INTERNAL_UNLINKED |
                                               FLAG_INTERNAL_EXPUNGED,
                                           out),
                     "AN|DE|UN|EX");
    ck_assert_str_eq(index_flags_logstring(0xffffffff, out), "AN|FL|DE|DR|SE|SN|SP|NC|AR|UN|EX");
    ck_assert_str_eq(mailbox_options_to_string(0xffffffff, opt), "PSDA");
    ck_assert_str_eq(mailbox_options_to_string(0, opt), "");
    ck_assert_uint_eq(mailbox_options_from_string("PDx"), OPT_POP3_NEW_UIDL | OPT_IMAP_DUPDELIVER);
    ck_assert_uint_eq(index_system_flag_bit("\\seen"), FLAG_SEEN);
    ck_assert_uint_eq(index_system_flag_bit("\\Recent"), 0);
}
END_TEST

Suite *mailbox_index_suite(void)
{
    Suite *s = suite_create("mailbox_index");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, header_fields);
    tcase_add_test(tc, record_fields);
    tcase_add_test(tc, rewrite);
    tcase_add_test(tc, sync_crcs_of_records);
    tcase_add_test(tc, sync_crcs_are_linear);
    tcase_add_test(tc, sync_crc_rules);
    tcase_add_test(tc, accounting_vectors);
    tcase_add_loop_test(tc, accounting_property, 0, 20);
    tcase_add_test(tc, versions_write);
    tcase_add_test(tc, versions_read);
    tcase_add_test(tc, versions_header);
    tcase_add_test(tc, damage);
    tcase_add_test(tc, limits);
    tcase_add_test(tc, texts);
    suite_add_tcase(s, tc);
    return s;
}
