/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records that are put away and read again: each field is the same, in memory or in a file; twice
 * the same UID; damaged bytes and a disk that fails end in an error and nothing worse.
 */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "diskio_trace.h"
#include "dlist.h"
#include "imap_err.h"
#include "sync_spool.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

Suite *sync_spool_suite(void);

#define MANY 500

#define ALL ((size_t)1 << 20) /* nothing spills */
static const size_t limits[] = { 0, 1, 100, ALL };
static char *dir;
static struct sync_spool spool;

static void open_spool(size_t limit)
{
    sync_spool_init(&spool);
    spool.bytes.dir = dir;
    spool.bytes.limit = limit;
}

static void setup(void)
{
    dir = test_mkdtemp();
}

static void teardown(void)
{
    diskio_hooks_install(NULL);
    sync_spool_fini(&spool);
    test_rmdir(dir);
}

/* ---- records ---- */

/* Every byte of a field depends on n. */
static struct index_record fixed(uint32_t n)
{
    uint64_t wide = UINT64_C(0x9e3779b97f4a7c15) * (n + 1);
    struct index_record rec = {
        .uid = n + 1,
        .size = (uint32_t)(wide >> 5),
        .system_flags = (uint32_t)(wide >> 9) & FLAGS_SYSTEM,
        .internal_flags = (uint32_t)(wide >> 3) & FLAGS_INTERNAL,
        .internaldate = (time_t)(uint32_t)(wide >> 1),
        .last_updated = (time_t)(uint32_t)(wide >> 2),
        .savedate = (time_t)(uint32_t)(wide >> 7),
        .modseq = wide,
        .createdmodseq = ~wide,
        .cid = wide * 3,
    };

    for (size_t i = 0; i < MESSAGE_GUID_SIZE; i++) rec.guid.value[i] = (unsigned char)(wide >> i);
    return rec;
}

static void make(uint32_t n, struct sync_record *rec)
{
    static const char octets[] = "a\0b\xff\r\n";

    sync_record_init(rec);
    rec->rec = fixed(n);
    for (uint32_t i = 0; i < n % 4; i++) {
        char *name = xasprintf("Kw%u.%u", n, i);
        strarray_append(&rec->userflags, name);
        free(name);
    }
    if (n % 3 == 1) {
        sync_annots_add(&rec->annots, "/comment", "", octets, sizeof(octets), n);
        sync_annots_add(&rec->annots, "/altsubject", "anna", "", 0, UINT64_MAX - n);
    }
}

static void assert_same(const struct sync_record *got, const struct sync_record *want)
{
    /* without the padding behind the last member */
    size_t len = offsetof(struct index_record, cache_crc);
    ck_assert_bytes_eq(&got->rec, len, &want->rec, len);
    ck_assert_int_eq(strarray_size(&got->userflags), strarray_size(&want->userflags));
    for (int i = 0; i < strarray_size(&got->userflags); i++)
        ck_assert_str_eq(strarray_nth(&got->userflags, i), strarray_nth(&want->userflags, i));
    ck_assert_uint_eq(got->annots.n, want->annots.n);
    for (size_t i = 0; i < got->annots.n; i++) {
        const struct sync_annot *a = &got->annots.v[i], *b = &want->annots.v[i];
        ck_assert_str_eq(a->entry, b->entry);
        ck_assert_str_eq(a->userid, b->userid);
        ck_assert_bytes_eq(buf_base(&a->value), buf_len(&a->value), buf_base(&b->value),
                           buf_len(&b->value));
        ck_assert_uint_eq(a->modseq, b->modseq);
    }
}

static int add(uint32_t n)
{
    struct sync_record rec;

    make(n, &rec);
    int r = sync_spool_add(&spool, &rec);
    sync_record_fini(&rec);
    return r;
}

static void fill(uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) ck_assert_int_eq(add(n), 0);
    ck_assert_int_eq(sync_spool_end(&spool), 0);
}

/* ---- reading them again ---- */

START_TEST(round_trip)
{
    struct sync_spool_reader reader, other;
    const struct index_record *rec;
    struct sync_record want;
    uint64_t at[MANY];

    open_spool(limits[_i]);
    fill(MANY);
    ck_assert_int_eq(spool.bytes.fd >= 0, limits[_i] < ALL);
    ck_assert_uint_eq(spool.last_uid, MANY);
    sync_spool_open(&reader, &spool);
    sync_spool_open(&other, &spool);
    for (int pass = 0; pass < 2; pass++) {
        struct sync_stream stream = sync_stream_spool(&reader);
        for (uint32_t n = 0; n < MANY; n++) {
            ck_assert_int_eq(stream.next(stream.rock, &rec), 0);
            ck_assert_ptr_eq(rec, &reader.rec.rec);
            ck_assert_uint_eq(reader.pos, n);
            make(n, &want);
            assert_same(&reader.rec, &want);
            sync_record_fini(&want);
            at[n] = reader.at;
            /* whoever has the record may change it */
            strarray_append(&reader.rec.userflags, "Changed");
            reader.rec.rec.uid = 0;
        }
        ck_assert_int_eq(stream.next(stream.rock, &rec), 0);
        ck_assert_ptr_null(rec);
    }
    for (uint32_t n = MANY; n > 0; n -= 7 < n ? 7 : n) {
        ck_assert_int_eq(sync_spool_read(&other, at[n - 1]), 0);
        make(n - 1, &want);
        assert_same(&other.rec, &want);
        sync_record_fini(&want);
    }
    sync_spool_close(&reader);
    sync_spool_close(&other);
}
END_TEST

/* From the text of the wire, so that a new key of a record cannot be forgotten here. */
START_TEST(round_trip_of_the_wire)
{
    static const char text[] =
        "RECORD (%(UID 7 MODSEQ 18446744073709551615 LAST_UPDATED 4294967295 FLAGS (\\Seen \\Expunged "
        "\\Draft NIL $k) INTERNALDATE 1793534400 SIZE 4294967295 GUID "
        "d33f3ecf7e390e18a5fc5bd67527b5b272c7a2ba ANNOTATIONS (%(ENTRY /comment USERID anna MODSEQ 9 "
        "VALUE {3+}\r\na\r\n) %(ENTRY /vendor/cmu/cyrus-imapd/thrid USERID \"\" MODSEQ 0 VALUE "
        "95313) %(ENTRY /vendor/cmu/cyrus-imapd/savedate USERID \"\" MODSEQ 0 VALUE 1793534401) "
        "%(ENTRY /vendor/cmu/cyrus-imapd/createdmodseq USERID \"\" MODSEQ 0 VALUE 12))))";
    struct sync_spool_reader reader;
    struct sync_record want;
    struct dlist *dl;

    open_spool(limits[_i]);
    ck_assert_int_eq(dlist_parsemap(&dl, true, text, strlen(text)), 0);
    ck_assert_int_eq(sync_record_parse(dl->head, &want), 0);
    ck_assert_uint_eq(want.rec.cid, 0x95313);
    ck_assert_int_eq(sync_spool_add(&spool, &want), 0);
    ck_assert_int_eq(sync_spool_end(&spool), 0);
    sync_spool_open(&reader, &spool);
    ck_assert_int_eq(sync_spool_read(&reader, 0), 0);
    assert_same(&reader.rec, &want);
    sync_spool_close(&reader);
    sync_record_fini(&want);
    dlist_free(&dl);
}
END_TEST

START_TEST(empty_and_twice)
{
    struct sync_spool_reader reader;
    const struct index_record *rec;
    struct sync_record other;

    open_spool(limits[_i]);
    ck_assert_int_eq(sync_spool_end(&spool), 0);
    sync_spool_open(&reader, &spool);
    struct sync_stream stream = sync_stream_spool(&reader);
    ck_assert_int_eq(stream.next(stream.rock, &rec), 0);
    ck_assert_ptr_null(rec);

    /* UIDs 1, 2, 2, 2, 1: the last of those in a row counts; the order is the walk's business */
    for (int i = 0; i < 5; i++) {
        make(0, &other);
        other.rec.uid = i % 4 ? 2 : 1;
        other.rec.modseq = (modseq_t)i;
        ck_assert_int_eq(sync_spool_add(&spool, &other), 0);
        sync_record_fini(&other);
    }
    ck_assert_int_eq(sync_spool_end(&spool), 0);
    static const uint32_t want[][2] = { { 1, 0 }, { 2, 3 }, { 1, 4 } };
    stream = sync_stream_spool(&reader);
    for (size_t i = 0; i < array_size(want); i++) {
        ck_assert_int_eq(stream.next(stream.rock, &rec), 0);
        ck_assert_uint_eq(rec->uid, want[i][0]);
        ck_assert_uint_eq(rec->modseq, want[i][1]);
    }
    ck_assert_int_eq(stream.next(stream.rock, &rec), 0);
    ck_assert_ptr_null(rec);
    sync_spool_close(&reader);
}
END_TEST

/* ---- what can go wrong ---- */

/* One after the other; the last error. */
static int read_all(void)
{
    struct sync_spool_reader reader;
    const struct index_record *rec;

    sync_spool_open(&reader, &spool);
    struct sync_stream stream = sync_stream_spool(&reader);
    int r;
    do {
        r = stream.next(stream.rock, &rec);
    } while (!r && rec);
    sync_spool_close(&reader);
    return r;
}

/* Any byte, any value of it: an error or another record, never more. */
START_TEST(damaged_bytes)
{
    char byte;
    size_t refused = 0;

    open_spool(0);
    fill(5);
    for (uint64_t at = 0; at < spill_size(&spool.bytes); at++) {
        static const char bad[] = { 0, 1, 0x7f, (char)0x80, (char)0xff };
        ck_assert_int_eq(diskio_pread_full(spool.bytes.fd, &byte, 1, at), 0);
        for (size_t i = 0; i < sizeof(bad); i++) {
            ck_assert_int_eq(diskio_pwrite(spool.bytes.fd, &bad[i], 1, at), 0);
            int r = read_all();
            ck_assert(!r || r == IMAP_IOERROR);
            if (r) refused++;
        }
        ck_assert_int_eq(diskio_pwrite(spool.bytes.fd, &byte, 1, at), 0);
    }
    ck_assert_int_eq(read_all(), 0);
    ck_assert_uint_gt(refused, 100);
    ck_assert_int_eq(diskio_ftruncate(spool.bytes.fd, 200), 0);
    ck_assert_int_eq(read_all(), IMAP_IOERROR);
}
END_TEST

static const struct fault {
    const char *fault;
    int r;
} faults[] = {
    { "open:1:EACCES:spill.", IMAP_IOERROR }, { "open:1:ENOSPC:spill.", IMAP_NOSPACE },
    { "pwrite:1:EDQUOT:spill.", IMAP_NOSPACE }, { "pwrite:7:ENOSPC:spill.", IMAP_NOSPACE },
    { "pwrite:7:EIO:spill.", IMAP_IOERROR },    { "pread:3:EIO:spill.", IMAP_IOERROR },
};

START_TEST(failing_disk)
{
    struct diskio_hooks hooks = { .fault = faults[_i].fault };
    int r = 0;

    open_spool(100);
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    for (uint32_t n = 0; n < MANY && !r; n++) r = add(n);
    if (!r) r = sync_spool_end(&spool);
    if (!r) r = read_all();
    ck_assert_int_eq(r, faults[_i].r);
}
END_TEST

Suite *sync_spool_suite(void)
{
    Suite *s = suite_create("sync_spool");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, round_trip, 0, array_size(limits));
    tcase_add_loop_test(tc, round_trip_of_the_wire, 0, array_size(limits));
    tcase_add_loop_test(tc, empty_and_twice, 0, array_size(limits));
    tcase_add_test(tc, damaged_bytes);
    tcase_add_loop_test(tc, failing_disk, 0, array_size(faults));
    suite_add_tcase(s, tc);
    return s;
}
