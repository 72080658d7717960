/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal_hung -- processes that are stopped, or hang, within a commit; file systems that do not answer
 *
 * A stopped one (SIGSTOP) is continued by whoever waits for it. One that hangs in a call (as if the device did not
 * answer) is waited for so long and no longer; where only its own files are concerned, it is not waited for at all.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "journal_testutil.h"
#include "lockwatch.h"
#include "util.h"
#include "xsyslog.h"

/* ---- the log ---- */

static char lines[65536];

static void tap(int pri __attribute__((unused)), const char *line, void *rock __attribute__((unused)))
{
    strncat(lines, line, sizeof(lines) - strlen(lines) - 2);
    strcat(lines, "\n");
}

static void setup(void)
{
    jt_setup();
    jt_reopen();
    setenv("CYLINDER_LOCK_SECOND", "200", 1); /* milliseconds */
    xsyslog_settap(tap, NULL);
    lines[0] = '\0';
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_create("bob", "b", "B"), 0);
}

static void teardown(void)
{
    xsyslog_settap(NULL, NULL);
    unsetenv("CYLINDER_LOCK_SECOND");
    jt_teardown();
}

/* ---- who is stopped, or hangs ---- */

/* "KIND:NAME" of the call, in the child that commits. */
static void hook(bool stops, const char *kind, const char *name)
{
    static char spec[8192];
    struct diskio_hooks hooks = { 0 };

    snprintf(spec, sizeof(spec), "%s:%s:%s", kind, jt_path("gate"), jt_path(name));
    *(stops ? &hooks.stop : &hooks.hang) = spec;
    if (diskio_hooks_install(&hooks)) _exit(98);
}

/* A child that writes to the file of alice, and is stopped or hangs on the way. */
static pid_t begin(bool stops, const char *kind, const char *name)
{
    test_writefile(jt_path("gate"), "", 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        if (journal_after_fork(jt)) _exit(99);
        hook(stops, kind, name);
        _exit(jt_pwrite("alice", "a", 1, "1") ? 1 : 0);
    }
    while (!test_exists(jt_path("gate.at"))) {
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
        usleep(2000);
    }
    if (stops) ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
    return pid;
}

static void end(pid_t pid, int expected)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, expected);
}

static void let_go(void)
{
    ck_assert_int_eq(diskio_unlink_quiet(jt_path("gate")), 0);
}

/* ---- stopped ---- */

static const struct {
    const char *kind, *name;
    bool everybody; /* all wait for it */
} places[] = {
    { "pwrite", "journal/", true },     /* the record, with the append lock */
    { "open", "journal/0", true },      /* its segment, the same */
    { "fdatasync", "journal/", true },  /* the sync for all */
    { "open", "a", false },             /* a file that the record changes */
    { "pwrite", "a", false },
};

START_TEST(stopped_and_continued)
{
    pid_t pid = begin(true, places[_i].kind, places[_i].name);

    ck_assert_int_eq(jt_pwrite("bob", "b", 1, "1"), 0);
    jt_assert_file("b", "B1");
    ck_assert_int_eq(strstr(lines, "it is continued") != NULL, places[_i].everybody);
    /* It waits for whatever is on its way, and for nothing longer than that. */
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_ptr_nonnull(strstr(lines, "it is continued"));
    end(pid, 0);
    jt_assert_file("a", "A1");
    ck_assert_uint_eq(jt->ctl->pending, 0);
}
END_TEST

START_TEST(stopped_and_killed)
{
    pid_t pid = begin(true, places[_i].kind, places[_i].name);

    kill(pid, SIGKILL);
    end(pid, SIGKILL);
    ck_assert_int_eq(jt_pwrite("bob", "b", 1, "1"), 0);
    ck_assert_int_eq(jt_pwrite("alice", "a", 2, "2"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_reboot(&(struct journal_recovery){ 0 });
    struct buf buf = BUF_INITIALIZER;
    test_readfile(jt_path("a"), &buf);
    /* Whole in the log, or never happened. */
    ck_assert_int_eq(buf_cstring(&buf)[1], _i < 2 ? '\0' : '1');
    ck_assert_int_eq(buf_cstring(&buf)[2], '2');
    buf_free(&buf);
}
END_TEST

/* ---- hanging ---- */

START_TEST(hanging_with_a_lock_of_all)
{
    struct journal_commit commit = { 0 };
    struct journal_op op = { .kind = JOURNAL_OP_PWRITE, .path = jt_path("b"), .data = "1", .datalen = 1, .off = 1 };
    bool appended = !strcmp(places[_i].kind, "fdatasync");

    pid_t pid = begin(false, places[_i].kind, places[_i].name);
    setenv("CYLINDER_LOCK_SECOND", "2", 1);
    for (int i = 0; i < 2; i++) {
        if (i && appended) break; /* bob's lock is not given any more: it would have to wait again */
        ck_assert_int_eq(jt_commit("bob", &op, &commit), -ETIMEDOUT);
        ck_assert_int_eq(commit.lsn != 0, appended);
        ck_assert(!commit.durable);
        jt_assert_file("b", "B");
    }
    char who[64];
    snprintf(who, sizeof(who), "process %d (", (int)pid);
    ck_assert_ptr_nonnull(strstr(lines, who));
    ck_assert_ptr_nonnull(strstr(lines, "gave up after"));
    ck_assert_ptr_null(strstr(lines, "continued"));
    let_go();
    end(pid, 0);
    ck_assert_int_eq(jt_pwrite("bob", "b", 2, "2"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_assert_file("a", "A1");
    struct buf buf = BUF_INITIALIZER;
    test_readfile(jt_path("b"), &buf);
    ck_assert_int_eq(buf_cstring(&buf)[1], appended ? '1' : '\0');
    ck_assert_int_eq(buf_cstring(&buf)[2], '2');
    buf_free(&buf);
}
END_TEST

/* One that hangs at its own files keeps nobody: no checkpoint is made, and that is said as the log grows. */
START_TEST(hanging_at_its_files)
{
    jt->checkpoint_size = 4096;
    pid_t pid = begin(false, places[_i].kind, places[_i].name);
    uint64_t checkpoint = jt->ctl->checkpoint;

    ck_assert_int_eq(journal_checkpoint(jt, JOURNAL_CHECKPOINT_TRY), -EAGAIN);
    uint64_t locks = diskio_counters()->calls[DISKIO_LOCK];
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(jt_pwrite("bob", "b", 1, "1"), 0);
        int r = journal_checkpoint(jt, JOURNAL_CHECKPOINT_IF_DUE | JOURNAL_CHECKPOINT_TRY);
        ck_assert(r == -EAGAIN || (!r && jt->ctl->tail - checkpoint < 4096));
    }
    /* Commits were never stopped again: two locks and unlocks for the gate and two for the commit, two for append and sync, and one pair for the checkpoint. */
    ck_assert_uint_le(diskio_counters()->calls[DISKIO_LOCK] - locks, 200 * 12);
    ck_assert_int_eq(journal_checkpoint(jt, 0), -EAGAIN);
    ck_assert_uint_eq(jt->ctl->checkpoint, checkpoint);
    char who[64];
    snprintf(who, sizeof(who), "the commit of process %d, record at", (int)pid);
    ck_assert_ptr_nonnull(strstr(lines, who));
    ck_assert_ptr_nonnull(strstr(lines, "bytes and grows"));
    let_go();
    end(pid, 0);
    jt_assert_file("a", "A1");
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_uint_eq(jt->ctl->checkpoint, jt->ctl->tail);
}
END_TEST

/* ---- a checkpoint that removes names ---- */

/* A child that makes a checkpoint, and hangs as it removes the file of alice, or the directory of carol. */
static pid_t begin_removal(const char *kind, const char *name)
{
    test_writefile(jt_path("gate"), "", 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        if (journal_after_fork(jt)) _exit(99);
        hook(false, kind, name);
        _exit(journal_checkpoint(jt, 0) ? 1 : 0);
    }
    while (!test_exists(jt_path("gate.at"))) usleep(2000);
    return pid;
}

static pid_t begin_making(int (*make)(void))
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        if (journal_after_fork(jt)) _exit(99);
        _exit(make() ? 1 : 0);
    }
    return pid;
}

static int make_file(void)
{
    return jt_create("alice", "a", "anew");
}

static int make_below(void)
{
    int r = jt_op2("carol", JOURNAL_OP_MKDIR, "d/e", NULL);
    return r ? r : jt_create("carol", "d/e/f", "anew");
}

static const struct {
    const char *kind, *name, *made;
    int (*make)(void);
} removals[] = { { "unlink", "a", "a", make_file }, { "rmdir", "d", "d/e/f", make_below } };

/* Others go on; who makes the name anew waits, and what he made stays. */
START_TEST(removal_hangs)
{
    ck_assert_int_eq(jt_op2("carol", JOURNAL_OP_MKDIR, "d", NULL), 0);
    ck_assert_int_eq(jt_op2("carol", JOURNAL_OP_RMDIR, "d", NULL), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "a", NULL), 0);
    pid_t remover = begin_removal(removals[_i].kind, removals[_i].name);
    ck_assert_int_eq(jt_pwrite("bob", "b", 1, "1"), 0);
    ck_assert_int_eq(jt_create("bob", "c", "C"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, JOURNAL_CHECKPOINT_TRY), -EAGAIN);
    pid_t maker = begin_making(removals[_i].make);
    usleep(100000);
    ck_assert_int_eq(waitpid(maker, NULL, WNOHANG), 0);
    let_go();
    end(remover, 0);
    end(maker, 0);
    jt_assert_file(removals[_i].made, "anew");
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_assert_file(removals[_i].made, "anew");
    ck_assert_int_eq(journal_close(&jt), 0);
    jt_assert_file(removals[_i].made, "anew");
}
END_TEST

/* One that dies at it leaves names that nobody removes any more. */
START_TEST(remover_dies)
{
    ck_assert_int_eq(jt_op2("carol", JOURNAL_OP_MKDIR, "d", NULL), 0);
    ck_assert_int_eq(jt_op2("carol", JOURNAL_OP_RMDIR, "d", NULL), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "a", NULL), 0);
    pid_t remover = begin_removal(removals[_i].kind, removals[_i].name);
    kill(remover, SIGKILL);
    end(remover, SIGKILL);
    ck_assert_int_eq(removals[_i].make(), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_assert_file(removals[_i].made, "anew");
    ck_assert_uint_eq(jt->ctl->nremoving, 0);
}
END_TEST

/* ---- file systems ---- */

static void hang_apart(const char *kind)
{
    static char hang[8192], apart[4200];
    struct diskio_hooks hooks = { .hang = hang, .apart = apart };

    snprintf(apart, sizeof(apart), "%s", jt_path("other"));
    snprintf(hang, sizeof(hang), "%s:%s:%s", kind, jt_path("gate"), apart);
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
}

/* A checkpoint gives up, and each one after it at once, until the device answers. */
START_TEST(file_system_hangs)
{
    ck_assert_int_eq(diskio_mkdir(jt_path("other"), 0755), 0);
    ck_assert_int_eq(jt_create("carol", "other/c", "C"), 0);
    hang_apart("syncfs");
    test_writefile(jt_path("gate"), "", 0);
    setenv("CYLINDER_LOCK_SECOND", "2", 1);
    ck_assert_int_eq(journal_checkpoint(jt, JOURNAL_CHECKPOINT_TRY), -EAGAIN);
    while (!journal_is_apart(jt)) usleep(2000);
    ck_assert_ptr_nonnull(strstr(lines, "other was not synced"));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(jt_pwrite("bob", "b", 1, "1"), 0);
        ck_assert_int_eq(journal_checkpoint(jt, 0), -EAGAIN);
    }
    ck_assert_ptr_nonnull(strstr(lines, "no checkpoint of"));
    ck_assert_ptr_nonnull(strstr(lines, "a file system does not answer"));
    let_go();
    while (journal_is_apart(jt)) usleep(2000);
    setenv("CYLINDER_LOCK_SECOND", "3000", 1); /* a busy machine, too */
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_uint_eq(jt->ctl->checkpoint, jt->ctl->tail);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert(!test_exists(jt_path("journal/control")));
}
END_TEST

/* One checkpoint after the other: the child of the one before keeps none from its turn. */
START_TEST(file_system_of_its_own)
{
    ck_assert_int_eq(diskio_mkdir(jt_path("other"), 0755), 0);
    ck_assert_int_eq(jt_create("carol", "other/c", "C"), 0);
    struct diskio_hooks hooks = { .apart = jt_path("other") };
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    setenv("CYLINDER_LOCK_SECOND", "3000", 1); /* a busy machine, too */
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(jt_pwrite("carol", "other/c", 1, "1"), 0);
        ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
        ck_assert(!journal_is_apart(jt));
    }
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert(!test_exists(jt_path("journal/control")));
}
END_TEST

/* The child tells of a failure, also when nobody waits for it. */
START_TEST(file_system_fails_in_the_child)
{
    static char fault[8192];

    ck_assert_int_eq(diskio_mkdir(jt_path("other"), 0755), 0);
    ck_assert_int_eq(jt_create("carol", "other/c", "C"), 0);
    snprintf(fault, sizeof(fault), "syncfs:1:EIO:%s", jt_path("other"));
    struct diskio_hooks hooks = { .fault = fault, .apart = jt_path("other") };
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), -EROFS);
    ck_assert(journal_failed(jt));
}
END_TEST

/* The last one to leave gives up, too; the next start finds the log. */
START_TEST(file_system_hangs_at_the_end)
{
    ck_assert_int_eq(diskio_mkdir(jt_path("other"), 0755), 0);
    ck_assert_int_eq(jt_create("carol", "other/c", "C"), 0);
    hang_apart("syncfs");
    test_writefile(jt_path("gate"), "", 0);
    setenv("CYLINDER_LOCK_SECOND", "2", 1);
    ck_assert_int_eq(journal_close(&jt), -EAGAIN);
    ck_assert_ptr_null(jt);
    ck_assert_ptr_nonnull(strstr(lines, "left for the next start"));
    let_go();
    setenv("CYLINDER_LOCK_SECOND", "3000", 1); /* a busy machine, too */
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    while (journal_is_apart(jt)) usleep(2000);
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert(!test_exists(jt_path("journal/control")));
    jt_assert_file("other/c", "C");
}
END_TEST

Suite *journal_hung_suite(void)
{
    Suite *s = suite_create("journal_hung");
    TCase *tc = tcase_create("hung");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, stopped_and_continued, 0, array_size(places));
    tcase_add_loop_test(tc, stopped_and_killed, 0, array_size(places));
    tcase_add_loop_test(tc, hanging_with_a_lock_of_all, 0, 3);
    tcase_add_loop_test(tc, hanging_at_its_files, 3, array_size(places));
    tcase_add_loop_test(tc, removal_hangs, 0, array_size(removals));
    tcase_add_loop_test(tc, remover_dies, 0, array_size(removals));
    tcase_add_test(tc, file_system_hangs);
    tcase_add_test(tc, file_system_of_its_own);
    tcase_add_test(tc, file_system_fails_in_the_child);
    tcase_add_test(tc, file_system_hangs_at_the_end);
    suite_add_tcase(s, tc);
    return s;
}
