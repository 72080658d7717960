/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_twoskip_crash -- a twoskip file after a writer died, after a power cut, and damaged
 *
 * All writes of some transactions are caught; then the file is put together as it may be after a crash: up
 * to any write, torn at any byte (a process that was killed), or any subset of the sectors written since
 * the last sync (a power cut). Opened, it must hold the state before or after a transaction and nothing else.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "cyrusdb_backend.h"
#include "diskio.h"
#include "diskio_trace.h"
#include "testutil.h"
#include "twoskip.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define SECTOR 512u

static char *dir, *path;
static struct db *db;

/* ---- catching what is written ---- */

enum what { WRITE, CUT, SYNC };

struct caught {
    enum what what;
    uint64_t off; /* CUT: the length */
    struct buf data;
};
static struct caught caught[4000];
static size_t ncaught;
static struct diskio_ops ops;

/* No test of this file needs the bytes to be on a disk. */
static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static void plain_ops(void)
{
    ops = diskio_real_ops;
    ops.fsync = ops.fdatasync = no_sync;
    diskio_set_ops(&ops);
}

static ssize_t catch_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    struct caught *c = &caught[ncaught++];
    *c = (struct caught){ .what = WRITE, .off = (uint64_t)off };
    for (int i = 0; i < n; i++) buf_appendmap(&c->data, iov[i].iov_base, iov[i].iov_len);
    return diskio_real_ops.pwritev(fd, iov, n, off);
}

static int catch_cut(int fd, off_t len)
{
    caught[ncaught++] = (struct caught){ .what = CUT, .off = (uint64_t)len };
    return diskio_real_ops.ftruncate(fd, len);
}

static int catch_sync(int fd)
{
    caught[ncaught++] = (struct caught){ .what = SYNC };
    return no_sync(fd);
}

static void catch_begin(void)
{
    ops = diskio_real_ops;
    ops.pwritev = catch_pwritev;
    ops.ftruncate = catch_cut;
    ops.fsync = ops.fdatasync = catch_sync;
    diskio_set_ops(&ops);
}

static void catch_end(void)
{
    plain_ops();
}

static void quiet(int pri, const char *line, void *rock)
{
    (void)pri, (void)line, (void)rock;
}

static void setup(void)
{
    dir = test_mkdtemp();
    path = test_path(dir, "t.db");
    db = NULL;
    ncaught = 0;
    xsyslog_settap(quiet, NULL);
    plain_ops();
    srandom(11);
}

static void teardown(void)
{
    xsyslog_settap(NULL, NULL);
    diskio_set_ops(NULL);
    for (size_t i = 0; i < ncaught; i++) buf_free(&caught[i].data);
    cyrusdb_close(db);
    cyrusdb_done();
    free(path);
    test_rmdir(dir);
}

/* ---- content ---- */

static int add_text(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct buf *out = rock;
    buf_appendmap(out, key, keylen);
    buf_putc(out, '=');
    buf_appendmap(out, data, datalen);
    buf_putc(out, '\n');
    return 0;
}

/* All of the open database as text. */
static void content(struct buf *out)
{
    buf_setcstr(out, "");
    ck_assert_int_eq(cyrusdb_foreach(db, "", 0, add_text, out), 0);
}

static void close_db(void)
{
    cyrusdb_close(db);
    db = NULL;
    cyrusdb_done();
}

static void open_bytes(const struct buf *bytes)
{
    test_writefile(path, bytes->s, bytes->len);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, CYRUSDB_NOCOMPACT, &db), 0);
}

/* Opens the bytes: the content is one of two, the file sound and writable afterwards. */
static void assert_either(const struct buf *bytes, const struct buf *a, const struct buf *b)
{
    struct buf got = BUF_INITIALIZER;

    open_bytes(bytes);
    content(&got);
    if (!buf_equal(&got, a) && !buf_equal(&got, b)) ck_abort_msg("neither before nor after: %s", buf_cstring(&got));
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
    ck_assert_int_eq(cyrusdb_store(db, "new", 3, "1", 1), 0);
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
    close_db();
    buf_free(&got);
}

static void random_change(void)
{
    char key[16], value[600];
    snprintf(key, sizeof(key), "k%ld", random() % 25);
    size_t len = random() % 4 ? (size_t)(random() % 30) : (size_t)(random() % (long)sizeof(value));
    memset(value, 'a' + (int)(random() % 26), len);
    if (random() % 3)
        ck_assert_int_eq(cyrusdb_store(db, key, strlen(key), value, len), 0);
    else
        ck_assert_int_eq(cyrusdb_delete(db, key, strlen(key), true), 0);
}

static void transaction(unsigned flags, int changes)
{
    ck_assert_int_eq(cyrusdb_begin(db, flags), 0);
    for (int i = 0; i < changes; i++) random_change();
    ck_assert_int_eq(cyrusdb_commit(db), 0);
}

/* A file with some history; its bytes and content. */
/* With so many transactions in it. */
static void make_file_of(int transactions, struct buf *bytes, struct buf *text)
{
    unlink(path);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, CYRUSDB_CREATE | CYRUSDB_NOCOMPACT, &db), 0);
    for (int i = 0; i < transactions; i++) transaction(CYRUSDB_NOSYNC, 4);
    test_readfile(path, bytes);
    content(text);
}

static void make_file(struct buf *bytes, struct buf *text)
{
    make_file_of(12, bytes, text);
}

/* ---- putting files together ---- */

static void put(struct buf *file, uint64_t off, const char *base, size_t len)
{
    if (file->len < off + len) buf_truncate(file, (size_t)(off + len));
    memcpy(file->s + off, base, len);
}

static void apply(struct buf *file, const struct caught *c, size_t len)
{
    if (c->what == WRITE) put(file, c->off, c->data.s, len);
    if (c->what == CUT) buf_truncate(file, (size_t)c->off);
}

/* Each sector of a write is there or not. */
static void apply_some_sectors(struct buf *file, const struct caught *c)
{
    if (c->what != WRITE) {
        if (random() % 2) apply(file, c, 0);
        return;
    }
    for (uint64_t at = c->off, end = c->off + c->data.len; at < end;) {
        uint64_t next = cyr_min(end, at / SECTOR * SECTOR + SECTOR);
        if (random() % 2) put(file, at, c->data.s + (at - c->off), (size_t)(next - at));
        at = next;
    }
}

/* ---- a process that was killed ---- */

START_TEST(test_killed_at_every_byte)
{
    struct buf before = BUF_INITIALIZER, a = BUF_INITIALIZER, b = BUF_INITIALIZER, file = BUF_INITIALIZER;
    unsigned states = 0;

    make_file_of(_i < 2 ? 12 : 0, &before, &a);
    catch_begin();
    transaction(_i % 2 ? CYRUSDB_NOSYNC : 0, 5);
    catch_end();
    content(&b);
    close_db();
    for (size_t n = 0; n < ncaught; n++) {
        size_t len = caught[n].what == WRITE ? caught[n].data.len : 1;
        for (size_t torn = 0; torn < len; torn++, states++) {
            buf_setmap(&file, before.s, before.len);
            for (size_t i = 0; i < n; i++) apply(&file, &caught[i], caught[i].data.len);
            /* The header is written as one sector (§2.7); a head may be torn by a write that fails. */
            bool sector = caught[n].what == WRITE && !caught[n].off;
            if (caught[n].what == WRITE && !sector) apply(&file, &caught[n], torn);
            assert_either(&file, &a, &b);
            if (sector) break;
        }
    }
    ck_assert_uint_gt(states, 100);
    buf_free(&before);
    buf_free(&a);
    buf_free(&b);
    buf_free(&file);
}
END_TEST

/* ---- a power cut under the file's own protocol ---- */

static size_t next_sync(size_t from)
{
    while (from < ncaught && caught[from].what != SYNC) from++;
    return from;
}

START_TEST(test_power_cut_with_syncs)
{
    struct buf before = BUF_INITIALIZER, a = BUF_INITIALIZER, b = BUF_INITIALIZER, file = BUF_INITIALIZER;

    make_file(&before, &a);
    catch_begin();
    transaction(0, 6);
    catch_end();
    content(&b);
    close_db();
    for (size_t from = 0; from < ncaught; from = next_sync(from) + 1) {
        for (int seed = 0; seed < 300; seed++) {
            buf_setmap(&file, before.s, before.len);
            for (size_t i = 0; i < from; i++) apply(&file, &caught[i], caught[i].data.len);
            for (size_t i = from; i < next_sync(from); i++) apply_some_sectors(&file, &caught[i]);
            assert_either(&file, &a, &b);
        }
    }
    buf_free(&before);
    buf_free(&a);
    buf_free(&b);
    buf_free(&file);
}
END_TEST

/* ---- a power cut after unsynced transactions: back to the mark ---- */

START_TEST(test_rewind)
{
    struct buf before = BUF_INITIALIZER, a = BUF_INITIALIZER, file = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct cyrusdb_mark mark, marks[3];
    bool cut;

    srandom((unsigned)(100 + _i));
    make_file(&before, &a);
    ck_assert_int_eq(cyrusdb_get_mark(db, &mark), 0);
    ck_assert_uint_eq(mark.end, before.len);
    catch_begin();
    for (int i = 0; i < 6; i++) transaction(CYRUSDB_NOSYNC, 5);
    catch_end();
    close_db();
    marks[0] = (struct cyrusdb_mark){ .generation = mark.generation + 1, .end = 336 };
    marks[1] = mark;
    marks[2] = (struct cyrusdb_mark){ .generation = mark.generation, .end = mark.end + 24 };
    for (int seed = 0; seed < 100; seed++) {
        buf_setmap(&file, before.s, before.len);
        for (size_t i = 0; i < ncaught; i++) apply_some_sectors(&file, &caught[i]);
        test_writefile(path, file.s, file.len);
        ck_assert_int_eq(cyrusdb_rewind(path, marks, 3, &cut), 0);
        ck_assert(cut);
        test_readfile(path, &file);
        ck_assert_uint_eq(file.len, mark.end);
        assert_either(&file, &a, &a);
    }
    /* No mark of this generation: left alone. */
    test_writefile(path, before.s, before.len);
    ck_assert_int_eq(cyrusdb_rewind(path, marks, 1, &cut), 0);
    ck_assert(!cut);
    /* What was durable is not there. */
    test_writefile(path, before.s, before.len - 8);
    ck_assert_int_eq(cyrusdb_rewind(path, &mark, 1, &cut), CYRUSDB_BADFORMAT);
    memset(before.s + before.len - 64, 'x', 32);
    test_writefile(path, before.s, before.len);
    ck_assert_int_eq(cyrusdb_rewind(path, &mark, 1, &cut), CYRUSDB_BADFORMAT);
    buf_free(&before);
    buf_free(&a);
    buf_free(&file);
    buf_free(&got);
}
END_TEST

/* ---- a power cut just after a file was made ---- */

START_TEST(test_unmade)
{
    struct buf zeros = BUF_INITIALIZER, empty = BUF_INITIALIZER;

    buf_appendfill(&zeros, 0, (size_t)_i);
    assert_either(&zeros, &empty, &empty);
    buf_free(&zeros);
}
END_TEST

/* The disk was full: a part of what makes a file is there, if it could not be cut away. */
START_TEST(test_half_made)
{
    struct buf whole = BUF_INITIALIZER, empty = BUF_INITIALIZER;

    ck_assert_int_eq(cyrusdb_open("twoskip", path, CYRUSDB_CREATE, &db), 0);
    close_db();
    test_readfile(path, &whole);
    ck_assert_uint_eq(whole.len, TWOSKIP_FIRST);
    for (size_t len = TWOSKIP_HEADER; len < TWOSKIP_FIRST; len += 8) {
        struct buf part = BUF_INITIALIZER;
        buf_appendmap(&part, whole.s, len);
        assert_either(&part, &empty, &empty);
        /* Of a file that had something in it nothing is begun anew. */
        part.s[len - 1] = (char)(part.s[len - 1] ^ 1);
        test_writefile(path, part.s, len);
        ck_assert_int_ne(cyrusdb_open("twoskip", path, CYRUSDB_CREATE, &db), 0);
        buf_free(&part);
    }
    buf_free(&whole);
}
END_TEST

START_TEST(test_making_fails)
{
    static const char *const faults[] = { "pwrite:1:PARTIAL", "pwrite:1:ENOSPC", "fsync:1:EIO", "write:1:PARTIAL,ftruncate:1:EIO" };
    struct diskio_hooks hooks = { .fault = faults[_i] };
    struct buf got = BUF_INITIALIZER;

    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    ck_assert_int_ne(cyrusdb_open("twoskip", path, CYRUSDB_CREATE, &db), 0);
    diskio_hooks_install(NULL);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, CYRUSDB_CREATE, &db), 0);
    content(&got);
    ck_assert_uint_eq(buf_len(&got), 0);
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
    buf_free(&got);
}
END_TEST

/* Longer than what is written when it is made: something was in it. */
START_TEST(test_zeros_are_no_database)
{
    struct buf zeros = BUF_INITIALIZER;

    buf_appendfill(&zeros, 0, TWOSKIP_FIRST + 1);
    test_writefile(path, zeros.s, zeros.len);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, CYRUSDB_CREATE, &db), CYRUSDB_BADFORMAT);
    buf_free(&zeros);
}
END_TEST

/* ---- damage ---- */

static void set(const char *key, const char *value)
{
    ck_assert_int_eq(cyrusdb_store(db, key, strlen(key), value, strlen(value)), 0);
}

static void make_dirty(struct buf *file)
{
    struct twoskip_header header;
    char base[TWOSKIP_HEADER];
    ck_assert_int_eq(twoskip_header_parse("test", file->s, file->len, &header), 0);
    header.flags |= TWOSKIP_DIRTY;
    twoskip_header_write(&header, base);
    memcpy(file->s, base, sizeof(base));
}

/* Handbook 01 §2.8: the deleted record does not come back, the live one does not go. */
START_TEST(test_rescue_after_delete)
{
    static const char *const deleted[] = { "b", "d", "a" };
    static const char *const left[] = { "a=1\nc=3\nd=4\n", "a=1\nb=2\nc=3\n", "b=2\nc=3\nd=4\n" };
    struct buf file = BUF_INITIALIZER, want = BUF_INITIALIZER, got = BUF_INITIALIZER;

    ck_assert_int_eq(cyrusdb_open("twoskip", path, CYRUSDB_CREATE, &db), 0);
    set("a", "1");
    set("b", "2");
    set("c", "3");
    set("d", "4");
    ck_assert_int_eq(cyrusdb_delete(db, deleted[_i], 1, false), 0);
    set("ce", "damaged");
    close_db();
    test_readfile(path, &file);
    make_dirty(&file);
    ptrdiff_t at = buf_findmap(&file, 0, "cedamaged", 9);
    ck_assert_int_gt(at, 0);
    file.s[at - 5] ^= 1; /* its head */
    file.s[at + 4] ^= 1; /* and its value: nothing of it is left */
    open_bytes(&file);
    content(&got);
    buf_setcstr(&want, left[_i]);
    ck_assert_str_eq(buf_cstring(&got), buf_cstring(&want));
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
    buf_free(&file);
    buf_free(&want);
    buf_free(&got);
}
END_TEST

/* One byte wrong, anywhere: no crash, no endless loop, and never a value that was not stored. */
START_TEST(test_any_byte_wrong)
{
    struct buf good = BUF_INITIALIZER, text = BUF_INITIALIZER, file = BUF_INITIALIZER, got = BUF_INITIALIZER;

    make_file(&good, &text);
    close_db();
    for (size_t i = 0; i < good.len; i += (size_t)(1 + random() % 3)) {
        buf_setmap(&file, good.s, good.len);
        file.s[i] ^= (char)(1 + random() % 255);
        if (random() % 2 && i >= TWOSKIP_HEADER) make_dirty(&file);
        test_writefile(path, file.s, file.len);
        if (cyrusdb_open("twoskip", path, CYRUSDB_NOCOMPACT, &db)) continue;
        buf_setcstr(&got, "");
        cyrusdb_foreach(db, "", 0, add_text, &got);
        cyrusdb_consistent(db);
        cyrusdb_store(db, "new", 3, "1", 1);
        close_db();
        char *tmp = test_path(dir, "t.db.NEW");
        ck_assert_int_eq(test_exists(tmp), 0);
        free(tmp);
    }
    buf_free(&good);
    buf_free(&text);
    buf_free(&file);
    buf_free(&got);
}
END_TEST

/* ---- full disks and broken ones ---- */

static int fail_at, fail_errno;

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    if (fail_at-- == 0) {
        errno = fail_errno;
        return -1;
    }
    return diskio_real_ops.pwritev(fd, iov, n, off);
}

static int failing_sync(int fd)
{
    if (fail_at-- == 0) {
        errno = fail_errno;
        return -1;
    }
    return no_sync(fd);
}

/* A call that fails, whichever it is: the transaction never happened, and the next one works. */
START_TEST(test_failing_calls)
{
    struct buf bytes = BUF_INITIALIZER, a = BUF_INITIALIZER, got = BUF_INITIALIZER;
    bool failed = true;

    make_file(&bytes, &a);
    for (int i = 0; failed; i++) {
        ops = diskio_real_ops;
        ops.pwritev = failing_pwritev;
        ops.fsync = ops.fdatasync = failing_sync;
        fail_at = i;
        fail_errno = _i ? EIO : ENOSPC;
        diskio_set_ops(&ops);
        int r = cyrusdb_begin(db, 0);
        for (int n = 0; !r && n < 5; n++) random_change();
        if (!r) r = cyrusdb_commit(db);
        plain_ops();
        failed = fail_at < 0;
        if (failed) ck_assert_int_eq(r, _i ? CYRUSDB_IOERROR : CYRUSDB_FULL);
        if (!failed) {
            ck_assert_int_eq(r, 0);
            break;
        }
        content(&got);
        ck_assert(buf_equal(&got, &a));
        ck_assert_int_eq(cyrusdb_consistent(db), 0);
        ck_assert_int_lt(i, 100);
    }
    buf_free(&bytes);
    buf_free(&a);
    buf_free(&got);
}
END_TEST

Suite *twoskip_crash_suite(void)
{
    Suite *s = suite_create("twoskip_crash");
    TCase *tc = tcase_create("twoskip_crash");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_killed_at_every_byte, 0, 4);
    tcase_add_test(tc, test_power_cut_with_syncs);
    tcase_add_loop_test(tc, test_rewind, 0, 5);
    tcase_add_loop_test(tc, test_unmade, TWOSKIP_FIRST - 1, TWOSKIP_FIRST + 1);
    tcase_add_test(tc, test_half_made);
    tcase_add_loop_test(tc, test_making_fails, 0, 4);
    tcase_add_test(tc, test_zeros_are_no_database);
    tcase_add_loop_test(tc, test_rescue_after_delete, 0, 3);
    tcase_add_test(tc, test_any_byte_wrong);
    tcase_add_loop_test(tc, test_failing_calls, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
