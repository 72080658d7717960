/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes that spill into a file without a name: the same bytes come back whatever the limit, no more
 * than the limit is in memory, and a disk that fails says so.
 */
#include <config.h>

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "diskio_trace.h"
#include "spill.h"
#include "testutil.h"
#include "util.h"

Suite *spill_suite(void);

static char *dir;

static void setup(void)
{
    unsetenv("CYLINDER_SPILL_LIMIT");
    dir = test_mkdtemp();
}

static void teardown(void)
{
    diskio_hooks_install(NULL);
    test_rmdir(dir);
}

static int names_in_dir(void)
{
    DIR *d = opendir(dir);
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

static void assert_reads(const struct spill *spill, const struct buf *want)
{
    char got[512];

    ck_assert_uint_eq(spill_size(spill), want->len);
    for (size_t off = 0; off <= want->len + 1; off++) {
        for (size_t len = 1; len < sizeof(got); len = 3 * len + 1) {
            size_t rest = off < want->len ? want->len - off : 0;
            ssize_t n = spill_read(spill, got, len, off);
            ck_assert_int_eq(n, (ssize_t)cyr_min(len, rest));
            if (n) ck_assert_int_eq(memcmp(got, want->s + off, (size_t)n), 0);
        }
    }
}

static const size_t limits[] = { 0, 1, 7, 64, 299, 300, 301, 100000 };

START_TEST(any_limit)
{
    struct spill spill;
    struct buf want = BUF_INITIALIZER;
    unsigned char c = 0;

    spill_init(&spill, dir, limits[_i]);
    assert_reads(&spill, &want);
    for (size_t piece = 0; want.len < 300; piece = (piece + 5) % 23) {
        char bytes[23];
        for (size_t i = 0; i < piece; i++) bytes[i] = (char)c++;
        size_t len = cyr_min(piece, 300 - want.len);
        ck_assert_int_eq(spill_add(&spill, bytes, len), 0);
        buf_appendmap(&want, bytes, len);
        ck_assert_uint_le(spill.mem.len, limits[_i]);
        ck_assert_int_eq(names_in_dir(), 0);
    }
    ck_assert_int_eq(spill.fd >= 0, limits[_i] < 300);
    assert_reads(&spill, &want);
    spill_fini(&spill);
    buf_free(&want);
}
END_TEST

static const struct fault {
    const char *fault;
    int r;
} faults[] = {
    { "open:1:EACCES:spill.", -EACCES },
    { "open:1:ENOSPC:spill.", -ENOSPC },
    { "pwrite:1:ENOSPC:spill.", -ENOSPC },
    { "pwrite:2:EIO:spill.", -EIO },
};

START_TEST(failing_disk)
{
    struct diskio_hooks hooks = { .fault = faults[_i].fault };
    struct spill spill;
    int r = 0;

    spill_init(&spill, dir, 10);
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    for (int i = 0; i < 10 && !r; i++) r = spill_add(&spill, "0123456", 7);
    ck_assert_int_eq(r, faults[_i].r);
    diskio_hooks_install(NULL);
    spill_fini(&spill);
    ck_assert_int_eq(names_in_dir(), 0);
}
END_TEST

START_TEST(failing_read)
{
    struct diskio_hooks hooks = { .fault = "pread:1:EIO" };
    struct spill spill;
    char got[7];

    spill_init(&spill, dir, 10);
    for (int i = 0; i < 10; i++) ck_assert_int_eq(spill_add(&spill, "0123456", 7), 0);
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    ck_assert_int_eq(spill_read(&spill, got, 7, 7), -EIO);
    ck_assert_int_eq(spill_read(&spill, got, 7, 7), 7);
    diskio_hooks_install(NULL);
    /* somebody has cut it off */
    ck_assert_int_eq(diskio_ftruncate(spill.fd, 3), 0);
    ck_assert_int_eq(spill_read(&spill, got, 7, 0), -ENODATA);
    spill_fini(&spill);
}
END_TEST

#ifdef ENABLE_TEST_HOOKS
START_TEST(limit_of_the_environment)
{
    struct spill spill;

    setenv("CYLINDER_SPILL_LIMIT", "3", 1);
    spill_init(&spill, dir, SPILL_MEMORY);
    ck_assert_int_eq(spill_add(&spill, "0123456", 7), 0);
    ck_assert_int_ge(spill.fd, 0);
    spill_fini(&spill);
}
END_TEST
#endif

Suite *spill_suite(void)
{
    Suite *s = suite_create("spill");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, any_limit, 0, array_size(limits));
    tcase_add_loop_test(tc, failing_disk, 0, array_size(faults));
    tcase_add_test(tc, failing_read);
#ifdef ENABLE_TEST_HOOKS
    tcase_add_test(tc, limit_of_the_environment);
#endif
    suite_add_tcase(s, tc);
    return s;
}
