/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sync_wait -- what counts as acknowledged, and what must not
 *
 * Rolling client and waiter are one process here: what was not acknowledged is late at once, which is said in the log.
 */
#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

#include "diskio.h"
#include "journal.h"
#include "store_testutil.h"
#include "sync_client_roll.h"
#include "sync_log.h"
#include "sync_policy.h"
#include "sync_wait.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define NAME "user.alice"

static int late;

static void tap(int pri, const char *line, void *rock)
{
    late += pri == LOG_ALERT && strstr(line, "did not acknowledge within");
}

static void set_up(const char *conf)
{
    st_setup(conf);
    st_create(NAME);
    late = 0;
    xsyslog_settap(tap, NULL);
}

static void setup(void)
{
    set_up("sync_wait_ms: 60000\nquick_sync_wait_ms: 1\nsync_log_channels: quick\n");
}

static void setup_impatient(void)
{
    set_up("sync_wait_ms: 60000\nquick_sync_wait_ms: 60000\nsync_log_channels: quick\ndurability: semi(1, 200)\n");
}

static char *channel_file(const char *name)
{
    struct buf path = BUF_INITIALIZER;

    sync_channel_path("quick", name, &path);
    return buf_release(&path);
}

/* A turn in which all has succeeded. */
static void turn(struct sync_source *source, void (*meanwhile)(void))
{
    struct sync_actions actions;

    sync_actions_init(&actions);
    ck_assert_int_eq(sync_source_read(source, &actions), 0);
    sync_actions_fini(&actions);
    if (meanwhile) meanwhile();
    ck_assert_int_eq(sync_source_commit(source), 0);
    sync_source_acknowledge(source);
}

/* A checkpoint puts away what a reader has not read yet. */
static void put_away(void)
{
    struct buf line = BUF_INITIALIZER;

    buf_setcstr(&line, "MAILBOX " NAME "\n");
    ck_assert_int_eq(sync_log_write("quick", &line), 0);
    buf_free(&line);
}

START_TEST(acknowledged)
{
    struct sync_source *source;

    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    ck_assert(sync_source_is_synchronous(source));
    st_append(NAME, 1);
    turn(source, NULL);
    sync_wait();
    ck_assert_int_eq(late, 0);

    st_append(NAME, 2);
    sync_wait();
    sync_wait();
    ck_assert_int_eq(late, 1);
    st_append(NAME, 3);
    sync_wait(); /* said once */
    ck_assert_int_eq(late, 1);
    sync_source_close(&source);
}
END_TEST

START_TEST(put_away_is_not_acknowledged)
{
    struct sync_source *source;

    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    st_append(NAME, 1);
    turn(source, put_away);
    sync_wait();
    ck_assert_int_eq(late, 1);
    sync_source_close(&source);
}
END_TEST

START_TEST(unreadable_log_is_not_acknowledged)
{
    struct sync_source *source;
    char *run = channel_file("log-run");

    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    ck_assert_int_eq(mkdir(run, 0700), 0);
    st_append(NAME, 1);
    turn(source, NULL);
    sync_wait();
    ck_assert_int_eq(late, 1);
    sync_source_close(&source);
    free(run);
}
END_TEST

/* What a page says that is of another journal, or of its part that a power cut took away. */
static void page_says(uint64_t other_generation, uint64_t beyond)
{
    char *path = channel_file("acknowledged");
    struct journal_status status;
    struct journal *j;

    ck_assert_int_eq(txn_journal(&j), 0);
    journal_status(j, &status);
    uint64_t page[3] = { status.generation + other_generation, status.tail + beyond };
    int fd = diskio_open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(diskio_pwrite(fd, page, sizeof(page), 0), 0);
    diskio_close(fd);
    free(path);
    sync_wait();
}

START_TEST(page_of_another_life)
{
    struct sync_source *source;

    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    sync_source_close(&source);
    st_append(NAME, 1);
    page_says(0, 0);
    ck_assert_int_eq(late, 0); /* the layout is what we take it for */
    st_append(NAME, 2);
    page_says(1, 0);
    ck_assert_int_eq(late, 1);
    st_append(NAME, 3);
    page_says(0, 1);
    ck_assert_int_eq(late, 2);
}
END_TEST

START_TEST(client_begins_with_nothing)
{
    struct sync_source *source;

    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    st_append(NAME, 1);
    turn(source, NULL);
    sync_source_close(&source);
    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    sync_wait();
    ck_assert_int_eq(late, 1);
    sync_source_close(&source);
}
END_TEST

START_TEST(channel_begins_anew)
{
    struct sync_source *source;
    char *path = channel_file("acknowledged");

    st_append(NAME, 1);
    sync_wait();
    ck_assert_int_eq(late, 1);
    char *kept = xasprintf("%s.old", path); /* its inode is not used again */
    ck_assert_int_eq(diskio_rename(path, kept), 0);
    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    st_append(NAME, 2);
    turn(source, NULL);
    sync_wait();
    ck_assert_int_eq(late, 1);
    st_append(NAME, 3);
    sync_wait(); /* it was waited for */
    ck_assert_int_eq(late, 2);
    sync_source_close(&source);
    free(kept);
    free(path);
}
END_TEST

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
}

static void append_and_wait(unsigned n)
{
    sync_wait_begin(true);
    st_append(NAME, n);
    ck_assert(sync_wait());
}

/* A replica that is there, and slower than a user has patience. The bound of the channel is another matter. */
START_TEST(impatient)
{
    struct sync_source *source;

    ck_assert_int_eq(sync_source_open("quick", NULL, &source), 0);
    append_and_wait(1);
    ck_assert_int_eq(late, 1);
    turn(source, nap);
    turn(source, NULL); /* nothing to do: that it is quick says nothing */
    append_and_wait(2);
    ck_assert_int_eq(late, 1); /* so it is not waited for each time */
    turn(source, NULL); /* quick enough */
    append_and_wait(3);
    ck_assert_int_eq(late, 2);
    sync_source_close(&source);
}
END_TEST

START_TEST(policies)
{
    static const struct {
        const char *text;
        struct sync_policy is;
    } good[] = {
        { "local", { SYNC_POLICY_ASYNC, 0, 0 } },        { "async", { SYNC_POLICY_ASYNC, 0, 0 } },
        { "semi", { SYNC_POLICY_SEMI, 0, 0 } },          { "semi(2)", { SYNC_POLICY_SEMI, 2, 0 } },
        { "semi(2,50)", { SYNC_POLICY_SEMI, 2, 50 } },   { "semi(2, 50)", { SYNC_POLICY_SEMI, 2, 50 } },
        { "SYNC(1)", { SYNC_POLICY_SYNC, 1, 0 } },       { "Semi(1, 3600000)", { SYNC_POLICY_SEMI, 1, 3600000 } },
        { "sync(100)", { SYNC_POLICY_SYNC, 100, 0 } },   { "sync", { SYNC_POLICY_SYNC, 0, 0 } },
    };
    static const char *const bad[] = {
        "", "sync(101)", "sync(0)", "sync()", "sync(", "sync(1", "sync(1)x", "sync(-1)", "sync(1 )", "syncs", "async(1)", "local(1)",
        "sync(4294967297)", "sync(1,50)", "async(1,50)", "semi(1,3600001)", "semi(1,0)", "semi(1,)", "semi(1, )", "semi(,50)", "semi(,)",
        "semi(0,50)", "semi(101,50)", "semi(1,50", "semi(1,50)x", "semi(1,50,2)", "semi(1 ,50)", "semi(1,  50)", "semi(1,-5)", "semi(1,+5)",
        "semi(1,5ms)", "semi(1,4294967297)", "semi(1;50)", "semi(1, 50 )",
    };
    struct sync_policy policy;

    for (size_t i = 0; i < array_size(good); i++) {
        ck_assert_msg(sync_policy_parse(good[i].text, &policy), "%s", good[i].text);
        ck_assert_int_eq(policy.kind, good[i].is.kind);
        ck_assert_int_eq(policy.n, good[i].is.n);
        ck_assert_int_eq(policy.ms, good[i].is.ms);
    }
    for (size_t i = 0; i < array_size(bad); i++) ck_assert_msg(!sync_policy_parse(bad[i], &policy), "%s", bad[i]);
}
END_TEST

Suite *sync_wait_suite(void)
{
    Suite *s = suite_create("sync_wait");
    TCase *tc = st_tcase(s, "sync_wait", setup);

    tcase_add_test(tc, acknowledged);
    tcase_add_test(tc, put_away_is_not_acknowledged);
    tcase_add_test(tc, unreadable_log_is_not_acknowledged);
    tcase_add_test(tc, page_of_another_life);
    tcase_add_test(tc, client_begins_with_nothing);
    tcase_add_test(tc, channel_begins_anew);
    tcase_add_test(tc, policies);
    tc = st_tcase(s, "impatient", setup_impatient);
    tcase_add_test(tc, impatient);
    return s;
}
