/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces of users whose log directory exists (handbook 05 §4.5).
 */
#include <config.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "prot.h"
#include "telemetry.h"
#include "testutil.h"

START_TEST(traced)
{
    char *dir = test_mkdtemp(), *logdir = test_path(dir, "log"),
         *user = test_path(dir, "log/alice");
    char *file = test_path(dir, "log/alice/imap-1");
    struct buf trace = BUF_INITIALIZER;
    int null = open("/dev/null", O_WRONLY);
    struct protstream *in = prot_readmap("a NOOP\r\n", 8), *out = prot_new(null, true);

    ck_assert_int_eq(telemetry_start(dir, "alice", "imap-1", in, out), -1);
    ck_assert(!mkdir(logdir, 0755) && !mkdir(user, 0755));
    ck_assert_int_eq(telemetry_start(dir, "../log/alice", "imap-1", in, out), -1);
    ck_assert_int_eq(telemetry_start(dir, "alice", "../imap-1", in, out), -1);
    int fd = telemetry_start(dir, "alice", "imap-1", in, out);
    ck_assert_int_ge(fd, 0);
    while (prot_getc(in) != EOF) continue;
    prot_puts(out, "a OK Completed\r\n");
    prot_flush(out);
    telemetry_stop(fd, in, out);
    prot_puts(out, "not traced\r\n");
    prot_flush(out);
    test_readfile(file, &trace);
    const char *text = buf_cstring(&trace);
    ck_assert_msg(!strncmp(text, "---------- alice ", 17), "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "a NOOP"));
    ck_assert_ptr_nonnull(strstr(text, ">a OK Completed"));
    ck_assert_ptr_null(strstr(text, "not traced"));
    prot_free(in);
    prot_free(out);
    close(null);
    buf_free(&trace);
    free(file);
    free(user);
    free(logdir);
    test_rmdir(dir);
}
END_TEST

Suite *telemetry_suite(void)
{
    Suite *s = suite_create("telemetry");
    TCase *tc = tcase_create("telemetry");

    tcase_add_test(tc, traced);
    suite_add_tcase(s, tc);
    return s;
}
