/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal -- the log: append, group commit, segments, readers, the end of it
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "journal_testutil.h"
#include "util.h"

static unsigned count_segments(void)
{
    struct journal_status status;
    journal_status(jt, &status);
    return status.segments;
}

/* Path of the last segment. */
static const char *last_segment(void)
{
    uint64_t *starts;
    size_t n;
    ck_assert_int_eq(journal_segments(jt_path("journal"), &starts, &n), 0);
    ck_assert_uint_gt(n, 0);
    const char *path = journal_segment_path(jt, starts[n - 1]);
    free(starts);
    return path;
}

START_TEST(test_commit_is_durable_and_applied)
{
    struct journal_commit commit = { 0 };
    struct journal_op op = { .kind = JOURNAL_OP_CREATE, .path = jt_path("a"), .data = "hello", .datalen = 5,
                             .mode = 0644, .number = 1600000000 };
    struct stat st;

    ck_assert_int_eq(jt_commit("alice", &op, &commit), 0);
    ck_assert(commit.durable);
    ck_assert_uint_gt(commit.lsn, 0);
    ck_assert(journal_is_synced(jt, commit.lsn));
    ck_assert(!journal_is_synced(jt, commit.lsn + 1));
    ck_assert(journal_lock_lsn(jt, "*U*alice") == commit.lsn);
    jt_assert_file("a", "hello");
    ck_assert_int_eq(diskio_stat(jt_path("a"), &st), 0);
    ck_assert(st.st_mtime == 1600000000);
}
END_TEST

/* One commit: one sync of the log, none of the files. */
START_TEST(test_one_sync)
{
    ck_assert_int_eq(jt_create("alice", "a", "x"), 0);
    diskio_counters_reset();
    ck_assert_int_eq(jt_pwrite("alice", "a", 0, "y"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK, "a", NULL), 0);
    ck_assert_uint_eq(diskio_counters_syncs(), 2);
}
END_TEST

START_TEST(test_close_leaves_plain)
{
    ck_assert_int_eq(jt_create("alice", "a", "one"), 0);
    ck_assert_int_eq(jt_create("alice", "b", "two"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "b", NULL), 0);
    jt_assert_file("b", "two");
    ck_assert_int_eq(journal_close(&jt), 0);
    jt_assert_file("a", "one");
    jt_assert_file("b", NULL);
    jt_assert_file("journal/control", NULL);

    uint64_t *starts;
    size_t n;
    ck_assert_int_eq(journal_segments(jt_path("journal"), &starts, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert_int_eq(jt_create("alice", "c", "three"), 0);
}
END_TEST

static void open_and_close(void)
{
    struct journal *mine;
    journal_abandon(&jt);
    if (journal_open(&jt_config, &mine) || journal_close(&mine)) _exit(1);
}

/* Only the last one who leaves makes the store plain. */
START_TEST(test_close_while_others_work)
{
    struct journal_status status;
    ck_assert_int_eq(jt_create("alice", "a", "one"), 0);
    ck_assert_int_eq(jt_child(open_and_close), 0);
    journal_status(jt, &status);
    ck_assert_uint_eq(status.segments, 1);
    ck_assert(status.checkpoint < status.tail);
}
END_TEST

START_TEST(test_lsn_goes_on)
{
    struct journal_status before, after;
    ck_assert_int_eq(jt_create("alice", "a", "one"), 0);
    journal_status(jt, &before);
    jt_reopen();
    journal_status(jt, &after);
    ck_assert(after.tail == before.tail && after.generation == before.generation);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    journal_status(jt, &after);
    ck_assert(after.tail == before.tail && after.checkpoint == before.tail);
}
END_TEST

/* ---- group commit ---- */

#define MOST_COMMITTERS 300

static void commit_and_report(int fd, int i)
{
    char name[16];
    snprintf(name, sizeof(name), "f%d", i);
    diskio_counters_reset();
    if (jt_create(name, name, "x")) _exit(1);
    uint64_t syncs = diskio_counters_syncs();
    if (write(fd, &syncs, sizeof(syncs)) != sizeof(syncs)) _exit(2);
    _exit(0);
}

/*
 * All wait for the sync while another process holds the sync lock; then one does it for all, however many they are: a disk
 * that is slow has all who are at work within a commit at once.
 */
static void group_commit(int committers)
{
    int fds[2];
    pid_t pids[MOST_COMMITTERS];
    uint64_t syncs, sum = 0, start = jt->ctl->tail;

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(journal_bytelock(jt, JLOCK_SYNC, DISKIO_LOCK_EXCLUSIVE, 0), 0);
    for (int i = 0; i < committers; i++) {
        pids[i] = fork();
        ck_assert_int_ge(pids[i], 0);
        if (!pids[i]) {
            if (journal_after_fork(jt)) _exit(3);
            commit_and_report(fds[1], i);
        }
    }
    for (int i = 0; (int)jt->ctl->pending < committers || jt->ctl->appending; i++) {
        ck_assert_msg(i < 30000, "%u of %d records are appended", jt->ctl->pending, committers);
        usleep(1000);
    }
    ck_assert_uint_gt(jt->ctl->tail, start);
    ck_assert_uint_eq(jt->ctl->synced, start);
    journal_byteunlock(jt, JLOCK_SYNC);

    for (int i = 0; i < committers; i++) {
        int status;
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(read(fds[0], &syncs, sizeof(syncs)), sizeof(syncs));
        sum += syncs;
    }
    close(fds[0]);
    close(fds[1]);
    /* One for the name of the new segment, one for all records. */
    ck_assert_uint_eq(sum, 2);
    ck_assert_uint_eq(jt->ctl->pending, 0);
}

START_TEST(test_group_commit)
{
    group_commit(8);
}
END_TEST

START_TEST(test_group_commit_of_hundreds)
{
    group_commit(MOST_COMMITTERS);
}
END_TEST

/* ---- what can go wrong with it ---- */

static void hook(const char *fault)
{
    struct diskio_hooks hooks = { .fault = fault };
    ck_assert_int_eq(diskio_hooks_install(fault ? &hooks : NULL), 0);
}

START_TEST(test_failed_sync_is_final)
{
    struct journal_commit commit = { 0 };
    struct journal_recovery recovery = { 0 };
    struct journal_op op = { .kind = JOURNAL_OP_PWRITE, .path = jt_path("a"), .data = "B", .datalen = 1 };

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    hook("fdatasync:1:EIO");
    ck_assert_int_eq(jt_commit("alice", &op, &commit), -EROFS);
    hook(NULL);
    ck_assert(!commit.durable);
    ck_assert_uint_gt(commit.lsn, 0);
    ck_assert(journal_failed(jt));
    jt_assert_file("a", "A");
    ck_assert_int_eq(journal_sync(jt, commit.lsn), -EROFS);
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), -EROFS);
    ck_assert_int_eq(journal_checkpoint(jt, 0), -EROFS);

    /* The start after it finds the record whole, and so it happened. */
    journal_abandon(&jt);
    ck_assert_int_eq(journal_recover(&jt_config, &recovery, &jt), 0);
    ck_assert(!journal_failed(jt));
    ck_assert_uint_eq(recovery.records, 2);
    jt_assert_file("a", "B");
}
END_TEST

/* A full disk: this transaction never happened, the next one may. */
START_TEST(test_full_disk)
{
    struct journal_commit commit = { 0 };
    struct journal_op op = { .kind = JOURNAL_OP_CREATE, .path = jt_path("b"), .mode = 0644 };

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    hook("pwrite:1+:ENOSPC:.log");
    ck_assert_int_eq(jt_commit("alice", &op, &commit), -ENOSPC);
    hook(NULL);
    ck_assert_uint_eq(commit.lsn, 0);
    ck_assert_uint_eq(jt->ctl->pending, 0);
    jt_assert_file("b", NULL);
    ck_assert_int_eq(jt_commit("alice", &op, &commit), 0);
    jt_assert_file("b", "");
}
END_TEST

/* The same when the segment itself can't be made. */
START_TEST(test_no_new_segment)
{
    hook("open:1+:ENOSPC:.log");
    ck_assert_int_eq(jt_create("alice", "a", "A"), -ENOSPC);
    hook(NULL);
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    jt_assert_file("a", "A");
}
END_TEST

START_TEST(test_writer_died_before_moving_the_tail)
{
    uint64_t start = jt->ctl->tail;
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    uint64_t end = jt->ctl->tail;
    /* As it is left: the record stands whole behind the tail. */
    jt->ctl->tail = start;
    jt->ctl->synced = start;
    jt->ctl->appending = 1;
    ck_assert_int_eq(jt_create("bob", "b", "B"), 0);
    ck_assert_uint_gt(jt->ctl->tail, end);

    struct journal_recovery recovery = { 0 };
    jt_reboot(&recovery);
    ck_assert_uint_eq(recovery.records, 2);
}
END_TEST

START_TEST(test_writer_died_in_the_record)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    uint64_t start = jt->ctl->tail;
    ck_assert_int_eq(jt_create("alice", "a", "AA"), 0);
    /* Half of it is there. */
    char zeros[64] = "";
    int fd = diskio_open(last_segment(), O_RDWR, 0);
    ck_assert_int_eq(diskio_pwrite(fd, zeros, sizeof(zeros), start - jt->ctl->segment + 64), 0);
    diskio_close(fd);
    jt->ctl->tail = start;
    jt->ctl->appending = 1;
    ck_assert_int_eq(jt_create("bob", "b", "B"), 0);

    struct journal_recovery recovery = { 0 };
    jt_reboot(&recovery);
    ck_assert_uint_eq(recovery.records, 2);
    jt_assert_file("a", "A");
    jt_assert_file("b", "B");
}
END_TEST

/* Every prefix of the last record is no record. */
START_TEST(test_torn_last_record)
{
    struct buf whole = BUF_INITIALIZER, cut = BUF_INITIALIZER;
    struct journal_recovery recovery;

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    size_t start = (size_t)(jt->ctl->tail - jt->ctl->segment);
    ck_assert_int_eq(jt_create("alice", "b", "B"), 0);
    size_t end = (size_t)(jt->ctl->tail - jt->ctl->segment);
    char *segment = test_path(jt_dir, "journal/%s", strrchr(last_segment(), '/') + 1);
    struct buf cp = BUF_INITIALIZER;
    test_readfile(segment, &whole);
    test_readfile(jt_path("journal/checkpoint"), &cp);

    for (size_t len = start; len <= end; len += 8) {
        journal_abandon(&jt);
        buf_setmap(&cut, whole.s, len);
        if (len % 16) buf_appendfill(&cut, 0, 4096);
        test_writefile(segment, cut.s, cut.len);
        test_writefile(jt_path("journal/checkpoint"), cp.s, cp.len);
        diskio_unlink_quiet(jt_path("b"));
        memset(&recovery, 0, sizeof(recovery));
        jt_reboot(&recovery);
        ck_assert_uint_eq(recovery.records, len < end ? 1 : 2);
        jt_assert_file("b", len < end ? NULL : "B");
    }
    free(segment);
    buf_free(&whole);
    buf_free(&cut);
    buf_free(&cp);
}
END_TEST

/* Bytes of a record that had been synced: refused, unless told to go on. */
START_TEST(test_damaged_log)
{
    struct journal_recovery recovery = { 0 };

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    uint64_t bad = jt->ctl->tail - jt->ctl->segment;
    ck_assert_int_eq(jt_create("alice", "b", "B"), 0);
    ck_assert_int_eq(jt_create("alice", "c", "C"), 0);
    int fd = diskio_open(last_segment(), O_RDWR, 0);
    char byte;
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)bad + 100), 1);
    byte ^= 1;
    ck_assert_int_eq(diskio_pwrite(fd, &byte, 1, bad + 100), 0);
    diskio_close(fd);
    journal_abandon(&jt);
    diskio_unlink_quiet(jt_path("journal/control"));
    ck_assert_int_eq(journal_recover(&jt_config, &recovery, &jt), -EUCLEAN);
    ck_assert_ptr_null(jt);
    recovery.force = true;
    ck_assert_int_eq(journal_recover(&jt_config, &recovery, &jt), 0);
    ck_assert_uint_eq(recovery.records, 1);
}
END_TEST

START_TEST(test_segments_without_checkpoint_are_refused)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    journal_abandon(&jt);
    diskio_unlink_quiet(jt_path("journal/control"));
    diskio_unlink_quiet(jt_path("journal/checkpoint"));
    ck_assert_int_eq(journal_open(&jt_config, &jt), -EUCLEAN);
    ck_assert_int_eq(journal_open(&jt_config, &jt), -EUCLEAN);
}
END_TEST

START_TEST(test_copied_control_does_not_count)
{
    struct buf control = BUF_INITIALIZER;
    struct journal_recovery recovery = { 0 };

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    uint64_t generation = jt->ctl->generation;
    journal_abandon(&jt);
    /* The same bytes in another file: a restored or copied tree. */
    test_readfile(jt_path("journal/control"), &control);
    test_writefile(jt_path("journal/control.2"), control.s, control.len);
    ck_assert_int_eq(diskio_rename(jt_path("journal/control.2"), jt_path("journal/control")), 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert(jt->ctl->generation != generation);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    buf_free(&control);
    (void)recovery;
}
END_TEST

START_TEST(test_unusable_directory)
{
    struct journal_config config = { .dir = "/proc/nowhere/journal" };
    struct journal *mine = NULL;
    ck_assert_int_lt(journal_open(&config, &mine), 0);
    ck_assert_ptr_null(mine);
}
END_TEST

/* ---- segments and readers ---- */

static void small_segments(void)
{
    journal_abandon(&jt);
    jt_config.segment_size = 2000;
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
}

static void commit_events(unsigned from, unsigned to)
{
    char line[64];
    for (unsigned i = from; i < to; i++) {
        snprintf(line, sizeof(line), "MAILBOX user.alice.%u", i);
        ck_assert_int_eq(jt_event(line), 0);
    }
}

static void expect_events(struct journal_reader *reader, unsigned from, unsigned to)
{
    struct journal_event event;
    char line[64];
    for (unsigned i = from; i < to; i++) {
        snprintf(line, sizeof(line), "MAILBOX user.alice.%u", i);
        ck_assert_int_eq(journal_reader_next(reader, &event), 0);
        ck_assert_str_eq(event.line, line);
        ck_assert(event.time == 1700000000);
    }
}

START_TEST(test_segments_rotate_and_go)
{
    struct journal_recovery recovery = { 0 };
    small_segments();
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i % 7);
        ck_assert_int_eq(jt_create("alice", name, name), 0);
    }
    ck_assert_uint_gt(count_segments(), 3);
    jt_reboot(&recovery);
    ck_assert_uint_eq(recovery.records, 50);
    ck_assert_uint_eq(count_segments(), 0);
    for (int i = 0; i < 50; i++) ck_assert_int_eq(jt_create("alice", "x", "y"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(jt_create("alice", "x", "z"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_uint_eq(count_segments(), 1);
}
END_TEST

START_TEST(test_reader)
{
    struct journal_reader *reader;
    struct journal_event event;

    small_segments();
    commit_events(0, 3);
    ck_assert_int_eq(journal_reader_open(jt, "one", &reader), 0);
    ck_assert_int_eq(journal_reader_next(reader, &event), 1);
    ck_assert_int_eq(journal_reader_wait(reader, 1), -ETIMEDOUT);
    commit_events(3, 100);
    ck_assert_int_eq(journal_reader_wait(reader, 1000), 0);
    expect_events(reader, 3, 60);
    ck_assert_int_eq(journal_reader_commit(reader), 0);
    expect_events(reader, 60, 100);
    ck_assert_int_eq(journal_reader_next(reader, &event), 1);
    journal_reader_close(&reader);

    /* What was not committed comes again, also after a restart. */
    struct journal_recovery recovery = { 0 };
    jt_reboot(&recovery);
    commit_events(100, 110);
    ck_assert_int_eq(journal_reader_open(jt, "one", &reader), 0);
    expect_events(reader, 60, 110);
    ck_assert_int_eq(journal_reader_commit(reader), 0);
    journal_reader_close(&reader);
}
END_TEST

/* Segments stay for a reader, also over a clean end, until it has committed or is removed. */
START_TEST(test_reader_keeps_segments)
{
    struct journal_reader *reader;

    small_segments();
    ck_assert_int_eq(journal_reader_open(jt, "slow", &reader), 0);
    journal_reader_close(&reader);
    commit_events(0, 100);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert_uint_gt(count_segments(), 3);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &reader), 0);
    expect_events(reader, 0, 100);
    journal_reader_close(&reader);

    ck_assert_int_eq(journal_reader_remove(jt, "slow"), 0);
    commit_events(100, 101);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_uint_le(count_segments(), 2);
}
END_TEST

START_TEST(test_reader_too_slow)
{
    struct journal_reader *reader;
    struct journal_event event;

    jt_config.reader_max = 4000;
    small_segments();
    ck_assert_int_eq(journal_reader_open(jt, "slow", &reader), 0);
    commit_events(0, 100);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    commit_events(100, 200);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(journal_reader_next(reader, &event), -ENODATA);
    ck_assert_int_eq(journal_reader_next(reader, &event), 0);
    ck_assert_str_ne(event.line, "MAILBOX user.alice.0");
    unsigned n = 1;
    while (!journal_reader_next(reader, &event)) n++;
    ck_assert_str_eq(event.line, "MAILBOX user.alice.199");
    ck_assert_uint_lt(n, 150);
    journal_reader_close(&reader);
}
END_TEST

/* ---- what is put away for readers ---- */

static struct {
    unsigned calls, events;
    char name[32], last[64];
    int result;
} spilled;

static int spill(const char *name, struct journal_reader *from)
{
    struct journal_event event;

    spilled.calls++;
    snprintf(spilled.name, sizeof(spilled.name), "%s", name);
    while (!journal_reader_next(from, &event)) {
        spilled.events++;
        snprintf(spilled.last, sizeof(spilled.last), "%s", event.line);
    }
    return spilled.result;
}

static void with_spill(int result)
{
    memset(&spilled, 0, sizeof(spilled));
    spilled.result = result;
    jt_config.reader_max = 4000;
    jt_config.spill = spill;
    small_segments();
}

static pid_t remover;

/* Another process removes the reader while its events are put away. */
static int spill_while_removed(const char *name, struct journal_reader *from __attribute__((unused)))
{
    struct timespec nap = { 0, 200000000 };

    remover = fork();
    if (!remover) {
        struct journal *j;
        _exit(journal_open(&jt_config, &j) || journal_reader_remove(j, name));
    }
    nanosleep(&nap, NULL); /* time to do it, for one that did not wait for us */
    return 0;
}

START_TEST(test_removed_while_it_is_spilled)
{
    struct journal_reader *slow;
    int status;

    with_spill(0);
    journal_abandon(&jt);
    jt_config.spill = spill_while_removed;
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &slow), 0);
    journal_reader_close(&slow);
    commit_events(0, 100);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(waitpid(remover, &status, 0), remover);
    ck_assert_int_eq(status, 0);
    ck_assert(!journal_reader_exists(jt, "slow"));
    /* of one that is not there nothing is made */
    ck_assert_int_eq(journal_reader_remove(jt, "slow"), 0);
    ck_assert_int_eq(journal_reader_remove(jt, "../slow"), -EINVAL);
    ck_assert(!journal_reader_exists(jt, "slow"));
}
END_TEST

/* The one that is too far behind goes on behind what was put away, also one that is open meanwhile. */
START_TEST(test_spill)
{
    struct journal_reader *slow, *quick;
    struct journal_event event;

    with_spill(0);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &slow), 0);
    ck_assert_int_eq(journal_reader_open(jt, "quick", &quick), 0);
    commit_events(0, 100);
    expect_events(quick, 0, 100);
    ck_assert_int_eq(journal_reader_commit(quick), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_uint_eq(spilled.calls, 1);
    ck_assert_uint_eq(spilled.events, 100);
    ck_assert_str_eq(spilled.name, "slow");
    commit_events(100, 200);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    commit_events(200, 210);
    ck_assert_str_eq(spilled.last, "MAILBOX user.alice.199");

    /* nothing is said to be lost, and an old place is not written over the new one */
    ck_assert_int_eq(journal_reader_next(slow, &event), 0);
    ck_assert_str_eq(event.line, "MAILBOX user.alice.200");
    ck_assert_int_eq(journal_reader_next(quick, &event), 0);
    journal_reader_close(&slow);
    journal_reader_close(&quick);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &slow), 0);
    expect_events(slow, 200, 210);
    journal_reader_close(&slow);
}
END_TEST

START_TEST(test_old_place_is_not_written_over_a_new_one)
{
    struct journal_reader *one, *two;

    ck_assert_int_eq(journal_reader_open(jt, "x", &one), 0);
    ck_assert_int_eq(journal_reader_open(jt, "x", &two), 0);
    commit_events(0, 10);
    expect_events(one, 0, 3);
    expect_events(two, 0, 8);
    ck_assert_int_eq(journal_reader_commit(two), 0);
    ck_assert_int_eq(journal_reader_commit(one), 0);
    journal_reader_close(&one);
    journal_reader_close(&two);
    ck_assert_int_eq(journal_reader_open(jt, "x", &one), 0);
    expect_events(one, 8, 10);
    journal_reader_close(&one);
}
END_TEST

/* It can't be put away: then as without. */
START_TEST(test_spill_fails)
{
    struct journal_reader *reader;
    struct journal_event event;

    with_spill(-ENOSPC);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &reader), 0);
    commit_events(0, 100);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    commit_events(100, 200);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(journal_reader_next(reader, &event), -ENODATA);
    journal_reader_close(&reader);
}
END_TEST

/* After a clean end there is no segment, whoever lags; after a crash only who lags too much has lost his place in them. */
START_TEST(test_spill_at_the_end)
{
    struct journal_recovery recovery = { 0 };
    struct journal_reader *reader;

    with_spill(0);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &reader), 0);
    journal_reader_close(&reader);
    commit_events(0, 5);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_uint_eq(spilled.calls, 0);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert_uint_eq(spilled.events, 5);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert_uint_eq(count_segments(), 0);

    commit_events(5, 8);
    jt_reboot(&recovery);
    ck_assert_uint_eq(spilled.events, 5);
    commit_events(8, 100);
    jt_reboot(&recovery);
    ck_assert_uint_eq(spilled.events, 100);
    ck_assert_int_eq(journal_reader_open(jt, "slow", &reader), 0);
    commit_events(100, 101);
    expect_events(reader, 100, 101);
    journal_reader_close(&reader);
}
END_TEST

START_TEST(test_peek)
{
    struct journal_reader *reader, *peek;
    struct journal_event event;

    ck_assert(!journal_reader_exists(jt, "x"));
    ck_assert_int_eq(journal_reader_peek(jt, "x", &peek), -ENOENT);
    ck_assert_int_eq(journal_reader_open(jt, "x", &reader), 0);
    ck_assert(journal_reader_exists(jt, "x"));
    commit_events(0, 3);
    ck_assert_int_eq(journal_reader_peek(jt, "x", &peek), 0);
    expect_events(peek, 0, 3);
    ck_assert_int_eq(journal_reader_next(peek, &event), 1);
    ck_assert_int_eq(journal_reader_commit(peek), 0);
    journal_reader_close(&peek);
    ck_assert_int_eq(journal_reader_peek(jt, "x", &peek), 0);
    expect_events(peek, 0, 3);
    journal_reader_close(&peek);
    journal_reader_close(&reader);
}
END_TEST

START_TEST(test_reader_bad_names)
{
    struct journal_reader *reader;
    ck_assert_int_eq(journal_reader_open(jt, "", &reader), -EINVAL);
    ck_assert_int_eq(journal_reader_open(jt, "../x", &reader), -EINVAL);
}
END_TEST

/* A place that can't be read: the reader is told that it may have missed something. */
START_TEST(test_reader_place_lost)
{
    struct journal_reader *reader;
    struct journal_event event;
    ck_assert_int_eq(journal_reader_open(jt, "x", &reader), 0);
    journal_reader_close(&reader);
    test_writefile(jt_path("journal/reader.x"), "garbage", 7);
    commit_events(0, 1);
    ck_assert_int_eq(journal_reader_open(jt, "x", &reader), 0);
    ck_assert_int_eq(journal_reader_next(reader, &event), -ENODATA);
    ck_assert_int_eq(journal_reader_next(reader, &event), 1);
    commit_events(1, 2);
    expect_events(reader, 1, 2);
    journal_reader_close(&reader);
}
END_TEST

/* A place beyond the end is one in another log. */
START_TEST(test_reader_place_of_another_log)
{
    struct journal_reader *reader;
    struct journal_event event;
    test_writefile(jt_path("journal/reader.x"), "7fffffffffffffff\n", 17);
    ck_assert_int_eq(journal_reader_open(jt, "x", &reader), 0);
    ck_assert_int_eq(journal_reader_next(reader, &event), -ENODATA);
    commit_events(0, 1);
    expect_events(reader, 0, 1);
    ck_assert_int_eq(journal_reader_commit(reader), 0);
    journal_reader_close(&reader);
    ck_assert_int_eq(journal_reader_open(jt, "x", &reader), 0);
    ck_assert_int_eq(journal_reader_next(reader, &event), 1);
    journal_reader_close(&reader);
}
END_TEST

/* The power failed when a segment had been made and nothing was in it. */
START_TEST(test_empty_segment)
{
    struct journal_recovery recovery = { 0 };
    char name[64];

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    snprintf(name, sizeof(name), "journal/%016llx.log", (unsigned long long)jt->ctl->tail);
    test_writefile(jt_path(name), "", 0);
    jt_reboot(&recovery);
    ck_assert_int_eq(jt_create("alice", "b", "B"), 0);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert(!test_exists(jt_path(name)));
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    jt_assert_file("b", "B");
}
END_TEST

Suite *journal_suite(void)
{
    const TTest *const tests[] = {
        test_commit_is_durable_and_applied, test_one_sync, test_close_leaves_plain, test_close_while_others_work,
        test_lsn_goes_on, test_group_commit, test_group_commit_of_hundreds, test_failed_sync_is_final, test_full_disk, test_no_new_segment,
        test_writer_died_before_moving_the_tail, test_writer_died_in_the_record, test_torn_last_record,
        test_damaged_log, test_segments_without_checkpoint_are_refused, test_copied_control_does_not_count,
        test_unusable_directory, test_segments_rotate_and_go, test_reader, test_reader_keeps_segments,
        test_reader_too_slow, test_reader_bad_names, test_reader_place_lost, test_reader_place_of_another_log,
        test_spill,
    test_removed_while_it_is_spilled, test_old_place_is_not_written_over_a_new_one, test_spill_fails, test_spill_at_the_end, test_peek,
        test_empty_segment,
    };
    Suite *s = suite_create("journal");
    TCase *tc = tcase_create("log");
    tcase_add_checked_fixture(tc, jt_setup, jt_teardown);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(s, tc);
    return s;
}
