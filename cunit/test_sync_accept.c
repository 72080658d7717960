/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Over which connections a peer of sync_accept may show its secret, and what is made of the option.
 */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imap_err.h"
#include "libconfig.h"
#include "secret_file.h"
#include "service.h"
#include "sync_accept.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

static char *dir, *secret_path;

static void write_file(const char *text, mode_t mode)
{
    test_writefile(secret_path, text, strlen(text));
    ck_assert_int_eq(chmod(secret_path, mode), 0);
}

static void setup(void)
{
    dir = test_mkdtemp();
    secret_path = test_path(dir, "secret");
    write_file("the secret\n", 0600);
}

static void teardown(void)
{
    config_reset();
    free(secret_path);
    test_rmdir(dir);
}

static void use_conf(const char *allowplaintext)
{
    char *text = xasprintf("allowplaintext: %s\nsync_accept: pair %s; other %s anna bert;; nothing; cert SHA256:%064d\n",
                           allowplaintext, secret_path, secret_path, 7);

    config_read_string(text);
    sync_accept_init();
    free(text);
}

static int ask(const char *name, const char *ip, bool is_unix, bool is_protected)
{
    struct service_client client = { .is_unix = is_unix, .remoteip = (char *)(uintptr_t)ip, .clienthost = (char *)(uintptr_t)ip };
    struct buf out = BUF_INITIALIZER;
    int r = sync_accept_secret(name, &client, is_protected, &out);

    if (!r) ck_assert_str_eq(buf_cstring(&out), "the secret");
    if (r) ck_assert_uint_eq(buf_len(&out), 0);
    secret_free(&out);
    return r;
}

START_TEST(connections)
{
    use_conf("no");
    ck_assert_int_eq(ask("pair", "127.0.0.1", false, false), 0);
    ck_assert_int_eq(ask("pair", "::1", false, false), 0);
    ck_assert_int_eq(ask("pair", "", true, false), 0);
    ck_assert_int_eq(ask("pair", "192.0.2.1", false, true), 0);
    ck_assert_int_eq(ask("pair", "192.0.2.1", false, false), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ask("pair", "::127.0.0.1", false, false), IMAP_PERMISSION_DENIED);
    ck_assert_int_eq(ask("cert", "192.0.2.1", false, true), IMAP_NOTFOUND);
    ck_assert_int_eq(ask("nothing", "127.0.0.1", false, true), IMAP_NOTFOUND);
    ck_assert_int_eq(chmod(secret_path, 0644), 0);
    ck_assert_int_eq(ask("pair", "127.0.0.1", false, true), IMAP_PERMISSION_DENIED);
}
END_TEST

START_TEST(plaintext_is_allowed)
{
    use_conf("yes");
    ck_assert_int_eq(ask("pair", "192.0.2.1", false, false), 0);
}
END_TEST

START_TEST(users)
{
    use_conf("no");
    ck_assert_int_eq(strarray_size(&sync_accept_by_name("pair")->users), 0);
    ck_assert_int_eq(strarray_size(&sync_accept_by_name("other")->users), 2);
    ck_assert_ptr_null(sync_accept_by_name("cert"));
    ck_assert(sync_accept_has(true) && sync_accept_has(false));
}
END_TEST

static int read_as(const char *text, mode_t mode, struct buf *secret)
{
    struct buf why = BUF_INITIALIZER;

    write_file(text, mode);
    int r = secret_file_read(secret_path, secret, &why);
    ck_assert_int_eq(r != 0, buf_len(&why) != 0);
    if (r) ck_assert_ptr_nonnull(strstr(buf_cstring(&why), secret_path));
    ck_assert(!strstr(buf_cstring(&why), "hush"));
    buf_free(&why);
    return r;
}

START_TEST(files)
{
    struct buf secret = BUF_INITIALIZER;
    char *longest = xmalloc(SECRET_FILE_MAX + 2);

    memset(longest, 'x', SECRET_FILE_MAX + 1);
    longest[SECRET_FILE_MAX + 1] = '\0';
    ck_assert_int_eq(read_as("hush\r\nmore\n", 0640, &secret), 0);
    ck_assert_str_eq(buf_cstring(&secret), "hush");
    ck_assert_int_eq(read_as(" hush ", 0400, &secret), 0);
    ck_assert_str_eq(buf_cstring(&secret), " hush ");
    for (int bit = 0; bit < 3; bit++) ck_assert_int_eq(read_as("hush", 0600 | 1 << bit, &secret), -EPERM);
    ck_assert_int_eq(read_as("hush", 0620, &secret), -EPERM);
    ck_assert_int_eq(read_as("\nhush", 0600, &secret), -EINVAL);
    ck_assert_int_eq(read_as("", 0600, &secret), -EINVAL);
    ck_assert_int_eq(read_as(longest, 0600, &secret), -EINVAL);
    ck_assert_int_eq(read_as(longest + 1, 0600, &secret), 0);
    ck_assert_uint_eq(buf_len(&secret), SECRET_FILE_MAX);
    secret_free(&secret);
    free(longest);
}
END_TEST

Suite *sync_accept_suite(void)
{
    Suite *s = suite_create("sync_accept");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, connections);
    tcase_add_test(tc, plaintext_is_allowed);
    tcase_add_test(tc, users);
    tcase_add_test(tc, files);
    suite_add_tcase(s, tc);
    return s;
}
