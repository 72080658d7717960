/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * testutil -- what many unit tests need: scratch directories, whole files, bytes
 * compared as hex
 *
 * Every function fails the running test when it can't do its job.
 */
#ifndef CYL_TESTUTIL_H
#define CYL_TESTUTIL_H

#include <check.h>
#include <stddef.h>

#include "buf.h"

/* A new empty directory below $TMPDIR or /tmp; the caller gives the path to test_rmdir. */
char *test_mkdtemp(void);
/* Removes a directory with all that is in it, and frees the path. */
void test_rmdir(char *dir);

/* dir/name, printf-style name; the caller frees. */
char *test_path(const char *dir, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void test_writefile(const char *path, const void *data, size_t len);
/* Sets buf to the bytes of the file. */
void test_readfile(const char *path, struct buf *buf);
/* 1 when the path exists, 0 when not. */
int test_exists(const char *path);

/* Sets buf to the bytes written as hex; white space between the digits is skipped. */
void test_unhex(const char *hex, struct buf *buf);
/* Fails the test with both sides as hex unless the bytes are the same. */
void test_assert_bytes_eq(const void *got, size_t gotlen, const void *want, size_t wantlen);
#define ck_assert_bytes_eq(got, gotlen, want, wantlen) \
    test_assert_bytes_eq(got, gotlen, want, wantlen)
/* The same with the wanted bytes written as hex. */
void test_assert_hex_eq(const void *got, size_t gotlen, const char *wanthex);

#endif
