/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_testutil -- a journal in a scratch directory, and short ways to commit
 */
#include <config.h>

#include "journal_testutil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "xmalloc.h"

char *jt_dir;
struct journal *jt;
struct journal_config jt_config;
static char *journal_dir;

void jt_setup(void)
{
    jt_dir = test_mkdtemp();
    journal_dir = test_path(jt_dir, "journal");
    memset(&jt_config, 0, sizeof(jt_config));
    jt_config.dir = journal_dir;
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
}

void jt_teardown(void)
{
    diskio_hooks_install(NULL);
    journal_abandon(&jt);
    free(journal_dir);
    test_rmdir(jt_dir);
}

void jt_reopen(void)
{
    journal_abandon(&jt);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
}

void jt_reboot(struct journal_recovery *recovery)
{
    journal_abandon(&jt);
    ck_assert_int_eq(diskio_unlink_quiet(jt_path("journal/control")), 0);
    ck_assert_int_eq(journal_recover(&jt_config, recovery, &jt), 0);
}

const char *jt_path(const char *name)
{
    static char path[16][4096];
    static unsigned n;
    char *p = path[n++ % 16];
    snprintf(p, sizeof(path[0]), "%s/%s", jt_dir, name);
    return p;
}

int jt_commit(const char *user, const struct journal_op *op, struct journal_commit *commit)
{
    struct journal_commit mine = { 0 };
    struct journal_record rec;
    char lock[64];

    snprintf(lock, sizeof(lock), "*U*%s", user);
    ck_assert_int_eq(journal_resolve(jt, lock), 0);
    journal_record_init(&rec);
    journal_record_lock(&rec, lock, false);
    if (op) journal_record_op(&rec, op);
    ck_assert_int_eq(journal_record_seal(&rec, JOURNAL_RECORD_TXN, 1700000000), 0);
    int r = journal_commit(jt, &rec, commit ? commit : &mine);
    journal_record_fini(&rec);
    return r;
}

int jt_create(const char *user, const char *name, const char *text)
{
    struct journal_op op = { .kind = JOURNAL_OP_CREATE, .path = jt_path(name), .data = text,
                             .datalen = strlen(text), .mode = 0644 };
    return jt_commit(user, &op, NULL);
}

int jt_pwrite(const char *user, const char *name, unsigned off, const char *text)
{
    struct journal_op op = { .kind = JOURNAL_OP_PWRITE, .path = jt_path(name), .data = text,
                             .datalen = strlen(text), .off = off };
    return jt_commit(user, &op, NULL);
}

int jt_symlink(const char *user, const char *target, const char *name)
{
    struct journal_op op = { .kind = JOURNAL_OP_SYMLINK, .path = jt_path(name), .data = target,
                             .datalen = strlen(target) };
    return jt_commit(user, &op, NULL);
}

int jt_op2(const char *user, enum journal_op_kind kind, const char *name, const char *name2)
{
    struct journal_op op = { .kind = kind, .path = jt_path(name), .path2 = name2 ? jt_path(name2) : NULL, .mode = 0755 };
    return jt_commit(user, &op, NULL);
}

int jt_event(const char *line)
{
    struct journal_commit commit = { 0 };
    struct journal_record rec;

    journal_record_init(&rec);
    journal_record_event(&rec, line, 0);
    ck_assert_int_eq(journal_record_seal(&rec, JOURNAL_RECORD_TXN, 1700000000), 0);
    int r = journal_commit(jt, &rec, &commit);
    journal_record_fini(&rec);
    return r;
}

void jt_assert_file(const char *name, const char *text)
{
    struct buf buf = BUF_INITIALIZER;
    if (!text) {
        ck_assert_msg(!test_exists(jt_path(name)), "%s is there", name);
        return;
    }
    ck_assert_msg(test_exists(jt_path(name)), "%s is not there", name);
    test_readfile(jt_path(name), &buf);
    ck_assert_str_eq(buf_cstring(&buf), text);
    buf_free(&buf);
}

int jt_child(void (*fn)(void))
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        if (jt && journal_after_fork(jt)) _exit(99);
        fn();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}
