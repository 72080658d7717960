/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * race_testutil -- two processes that start together, and what they say
 */
#include <config.h>

#include "race_testutil.h"

#include <check.h>
#include <sys/wait.h>
#include <unistd.h>

int race_exit_code(int r)
{
    return r ? 1 + (r & 0x7f) : 0;
}

void race_pass(struct race_gate *gate)
{
    char byte = 'x';

    close(gate->go[1]);
    if (write(gate->ready[1], &byte, 1) != 1) _exit(99);
    if (read(gate->go[0], &byte, 1) != 0) _exit(99);
}

static pid_t start(struct race_gate *gate, racer_fn *fn, unsigned round)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid) return pid;
    int r = fn(gate, round);
    _exit(race_exit_code(r));
}

static int result_of(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

void race_run(racer_fn *one, racer_fn *two, unsigned round, int *r1, int *r2)
{
    struct race_gate gate;
    char byte;

    ck_assert_int_eq(pipe(gate.ready), 0);
    ck_assert_int_eq(pipe(gate.go), 0);
    pid_t a = start(&gate, one, round), b = start(&gate, two, round);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(read(gate.ready[0], &byte, 1), 1);
    close(gate.go[1]);
    *r1 = result_of(a);
    *r2 = result_of(b);
    close(gate.go[0]);
    close(gate.ready[0]);
    close(gate.ready[1]);
}

void race_assert_one_of(int code, const int *allowed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (code == race_exit_code(allowed[i])) return;
    }
    ck_abort_msg("unexpected result %d", code);
}
