/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sync_reserve -- files that came ahead: kept when right, dropped when wrong, swept when orphaned
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diskio.h"
#include "dlist.h"
#include "imap_err.h"
#include "libconfig.h"
#include "prot.h"
#include "sync_reserve.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

Suite *sync_reserve_suite(void);

#define ABC "a9993e364706816aba3e25717850c26c9cd0d89d" /* SHA-1 of abc */
#define ABCD "81fe8bfe87576c3ecb22426f8e57847382917acf"
#define WRONG "0123456789012345678901234567890123456789"

static char *dir;

static void configure(const char *more)
{
    char *text = xasprintf("configdirectory: %s/conf\ndefaultpartition: default\n"
                           "partition-default: %s/spool\npartition-two: %s/spool2\n%s",
                           dir, dir, dir, more);
    config_read_string(text);
    free(text);
}

static void setup(void)
{
    dir = test_mkdtemp();
    configure("");
}

static void teardown(void)
{
    config_reset();
    test_rmdir(dir);
}

/* Parse a line with file literals; the stream must stand behind it afterwards. */
static int feed(struct sync_reserve *reserve, const char *line, struct dlist **dlp)
{
    struct dlist_filesink sink = sync_reserve_sink(reserve);
    struct dlist_parseopts opts = { .parsekeys = true, .sink = &sink };
    char *text = xasprintf("%s\r\nNEXT", line);
    struct protstream *in = prot_readmap(text, strlen(text));
    char rest[8] = "";

    int r = dlist_parseline(in, &opts, dlp);
    ck_assert_uint_eq(prot_read(in, rest, 4), 4);
    ck_assert_str_eq(rest, "NEXT");
    prot_free(in);
    free(text);
    return r;
}

static const char *find(struct sync_reserve *reserve, const char *partition, const char *hex)
{
    struct message_guid guid;

    ck_assert(message_guid_decode(&guid, hex, strlen(hex)));
    return sync_reserve_find(reserve, partition, &guid);
}

START_TEST(test_upload)
{
    struct sync_reserve *reserve = sync_reserve_new();
    struct dlist *dl = NULL;
    struct buf data = BUF_INITIALIZER;

    ck_assert_int_eq(feed(reserve, "MESSAGE (%{default " ABC " 3}\r\nabc %{two " ABCD " 4}\r\nabcd)", &dl), 0);
    ck_assert_uint_eq(dl->nchildren, 2);
    dlist_free(&dl);

    const char *path = find(reserve, "default", ABC);
    ck_assert_ptr_nonnull(path);
    test_readfile(path, &data);
    ck_assert_bytes_eq(buf_base(&data), buf_len(&data), "abc", 3);
    ck_assert_ptr_null(find(reserve, "two", ABC)); /* by partition */
    ck_assert_ptr_nonnull(find(reserve, "two", ABCD));
    char *where = test_path(dir, "spool/sync./%d/" ABC, (int)getpid());
    ck_assert_str_eq(path, where);
    free(where);

    /* the second upload of a GUID changes nothing */
    ck_assert_int_eq(feed(reserve, "MESSAGE (%{default " ABC " 3}\r\nxyz)", &dl), 0);
    dlist_free(&dl);
    test_readfile(find(reserve, "default", ABC), &data);
    ck_assert_bytes_eq(buf_base(&data), buf_len(&data), "abc", 3);

    char *mine = test_path(dir, "spool/sync./%d", (int)getpid());
    ck_assert(test_exists(mine));
    sync_reserve_clear(reserve);
    ck_assert(!test_exists(mine));
    ck_assert_ptr_null(find(reserve, "default", ABC));
    /* usable again */
    ck_assert_int_eq(feed(reserve, "MESSAGE (%{default " ABC " 3}\r\nabc)", &dl), 0);
    dlist_free(&dl);
    ck_assert_ptr_nonnull(find(reserve, "default", ABC));
    sync_reserve_free(&reserve);
    ck_assert(!test_exists(mine));
    free(mine);
    buf_free(&data);
}
END_TEST

START_TEST(test_wrong_bytes)
{
    struct sync_reserve *reserve = sync_reserve_new();
    struct dlist *dl = NULL;

    /* no error (3.6.1 says OK), but nothing is kept under a false name */
    ck_assert_int_eq(feed(reserve, "MESSAGE (%{default " WRONG " 3}\r\nabc)", &dl), 0);
    dlist_free(&dl);
    ck_assert_ptr_null(find(reserve, "default", WRONG));
    ck_assert_ptr_null(find(reserve, "default", ABC));
    sync_reserve_free(&reserve);
}
END_TEST

START_TEST(test_unknown_partition)
{
    static const char *const names[] = { "nosuch", "..", "a/b", "\"\"" };
    struct sync_reserve *reserve = sync_reserve_new();

    for (size_t i = 0; i < array_size(names); i++) {
        struct dlist *dl = NULL;
        char *line = xasprintf("MESSAGE (%%{%s " ABC " 3}\r\na)c %%{default " ABCD " 4}\r\nabcd)", names[i]);
        ck_assert_msg(feed(reserve, line, &dl) != 0, "%s", names[i]);
        ck_assert_ptr_null(dl);
        free(line);
    }
    sync_reserve_free(&reserve);
}
END_TEST

START_TEST(test_disk_full)
{
    struct sync_reserve *reserve;
    struct dlist *dl = NULL;

    configure("debug_writefail_guid: " ABC "\n");
    reserve = sync_reserve_new();
    ck_assert_int_ne(feed(reserve, "MESSAGE (%{default " ABC " 3}\r\nabc)", &dl), 0);
    ck_assert_ptr_null(find(reserve, "default", ABC));
    char *path = test_path(dir, "spool/sync./%d/" ABC, (int)getpid());
    ck_assert(!test_exists(path));
    free(path);
    ck_assert_int_eq(feed(reserve, "MESSAGE (%{default " ABCD " 4}\r\nabcd)", &dl), 0);
    dlist_free(&dl);
    ck_assert_ptr_nonnull(find(reserve, "default", ABCD));
    sync_reserve_free(&reserve);
}
END_TEST

START_TEST(test_link)
{
    struct sync_reserve *reserve = sync_reserve_new();
    struct message_guid guid;
    struct buf data = BUF_INITIALIZER;
    char *from = test_path(dir, "message");

    test_writefile(from, "abc", 3);
    message_guid_decode(&guid, ABC, 40);
    ck_assert_int_eq(sync_reserve_link(reserve, "default", &guid, from), 0);
    ck_assert_int_eq(sync_reserve_link(reserve, "default", &guid, "/nonexistent"), 0); /* there already */
    test_readfile(find(reserve, "default", ABC), &data);
    ck_assert_bytes_eq(buf_base(&data), buf_len(&data), "abc", 3);
    ck_assert_int_eq(sync_reserve_link(reserve, "nosuch", &guid, from), IMAP_PARTITION_UNKNOWN);
    message_guid_decode(&guid, ABCD, 40);
    ck_assert_int_eq(sync_reserve_link(reserve, "default", &guid, "/nonexistent"), IMAP_IOERROR);
    sync_reserve_free(&reserve);
    ck_assert(test_exists(from));
    buf_free(&data);
    free(from);
}
END_TEST

START_TEST(test_sweep)
{
    pid_t child = fork();

    if (!child) _exit(0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    char *dead = test_path(dir, "spool2/sync./%d", (int)child);
    char *alive = test_path(dir, "spool2/sync./%d", (int)getppid());
    char *file = test_path(dir, "spool2/sync./%d/" ABC, (int)child);
    ck_assert_int_eq(diskio_mkdirs(dead, 0755), 0);
    ck_assert_int_eq(diskio_mkdirs(alive, 0755), 0);
    test_writefile(file, "abc", 3);
    sync_reserve_sweep();
    ck_assert(!test_exists(dead));
    ck_assert(test_exists(alive));
    free(dead);
    free(alive);
    free(file);
}
END_TEST

Suite *sync_reserve_suite(void)
{
    Suite *s = suite_create("sync_reserve");
    TCase *tc = tcase_create("reserve");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_upload);
    tcase_add_test(tc, test_wrong_bytes);
    tcase_add_test(tc, test_unknown_partition);
    tcase_add_test(tc, test_disk_full);
    tcase_add_test(tc, test_link);
    tcase_add_test(tc, test_sweep);
    suite_add_tcase(s, tc);
    return s;
}
