/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * testutil -- what many unit tests need
 *
 * Scratch directories are below $TMPDIR or /tmp. Any failure fails the running test.
 */
#include <config.h>

#include "testutil.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"
#include "xmalloc.h"

char *test_mkdtemp(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = xasprintf("%s/unit.XXXXXX", tmp && *tmp ? tmp : "/tmp");

    ck_assert_msg(mkdtemp(dir) != NULL, "mkdtemp %s: %s", dir, strerror(errno));
    return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void test_rmdir(char *dir)
{
    ck_assert_msg(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "removing %s: %s", dir,
                  strerror(errno));
    free(dir);
}

char *test_path(const char *dir, const char *fmt, ...)
{
    struct buf path = BUF_INITIALIZER;
    va_list args;

    buf_printf(&path, "%s/", dir);
    va_start(args, fmt);
    buf_vprintf(&path, fmt, args);
    va_end(args);
    return buf_release(&path);
}

void test_writefile(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

void test_readfile(const char *path, struct buf *buf)
{
    char block[8192];
    size_t n;
    FILE *f = fopen(path, "rb");

    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    buf_reset(buf);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) buf_appendmap(buf, block, n);
    ck_assert(!ferror(f));
    fclose(f);
}

int test_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

void test_unhex(const char *hex, struct buf *buf)
{
    struct buf digits = BUF_INITIALIZER;

    for (; *hex; hex++) {
        if (!cyr_isspace(*hex)) buf_putc(&digits, *hex);
    }
    buf_reset(buf);
    buf_truncate(buf, digits.len / 2);
    ck_assert_msg(hex_to_bin(digits.s, digits.len, buf->s) == 0, "bad hex in the test");
    buf_free(&digits);
}

void test_assert_bytes_eq(const void *got, size_t gotlen, const void *want, size_t wantlen)
{
    if (!memcmp_len(got, gotlen, want, wantlen)) return;

    struct buf g = BUF_INITIALIZER, w = BUF_INITIALIZER;
    size_t at = 0, shorter = cyr_min(gotlen, wantlen);
    while (at < shorter && ((const char *)got)[at] == ((const char *)want)[at]) at++;
    buf_appendhex(&g, got, gotlen);
    buf_appendhex(&w, want, wantlen);
    ck_abort_msg("bytes differ from offset %zu on\n got  (%zu) %s\n want (%zu) %s", at, gotlen,
                 buf_cstring(&g), wantlen, buf_cstring(&w));
}

void test_assert_hex_eq(const void *got, size_t gotlen, const char *wanthex)
{
    struct buf want = BUF_INITIALIZER;

    test_unhex(wanthex, &want);
    test_assert_bytes_eq(got, gotlen, want.s, want.len);
    buf_free(&want);
}
