/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_process -- signals that are never lost, and streams read and written whole
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nonblock.h"
#include "signals.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

START_TEST(test_signals)
{
    struct pollfd none;

    signals_add_handlers();
    ck_assert(!signals_shutdown());
    ck_assert(!signals_take_hup());
    raise(SIGHUP);
    raise(SIGHUP);
    /* One that came before the sleep ends it, once. */
    ck_assert_int_eq(signals_poll_fds(&none, 0, -1), -EINTR);
    ck_assert_int_eq(signals_poll_fds(&none, 0, 0), 0);
    ck_assert(signals_take_hup());
    ck_assert(!signals_take_hup());
    raise(SIGUSR1);
    raise(SIGUSR2);
    raise(SIGALRM);
    raise(SIGCHLD);
    ck_assert(signals_take_usr1() && signals_take_usr2() && signals_take_alarm() && signals_take_chld());
    ck_assert(!signals_take_usr1() && !signals_take_usr2() && !signals_take_alarm() && !signals_take_chld());
    raise(SIGPIPE);
    raise(SIGTERM);
    ck_assert(signals_shutdown());
    ck_assert(signals_shutdown());
    ck_assert_int_eq(signals_shutdown_signal(), SIGTERM);
    ck_assert_str_eq(signals_name(SIGTERM), "TERM");
    ck_assert_str_eq(signals_name(SIGSEGV), "SEGV");
    ck_assert_str_eq(signals_name(12345), "?");
    signals_reset();
    ck_assert(!signals_shutdown());
    signals_raise(SIGINT);
    ck_assert_int_eq(signals_shutdown_signal(), SIGINT);
    signals_raise(SIGSEGV);
}
END_TEST

/* A sleeping process wakes; what it waits for wakes it too. */
START_TEST(test_sleep)
{
    int fds[2];

    signals_add_handlers();
    ck_assert_int_eq(pipe(fds), 0);
    struct pollfd pfd = { .fd = fds[0], .events = POLLIN };
    pid_t me = getpid(), pid = fork();
    if (!pid) {
        kill(me, SIGUSR1);
        _exit(0);
    }
    ck_assert_int_eq(signals_poll_fds(&pfd, 1, -1), -EINTR);
    ck_assert(signals_take_usr1());
    while (waitpid(pid, NULL, 0) < 0) ck_assert_int_eq(errno, EINTR);
    while (signals_poll_fds(&pfd, 1, 0) == -EINTR) signals_take_chld();
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(signals_poll_fds(&pfd, 1, -1), 1);
    ck_assert_int_eq(pfd.revents, POLLIN);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* A child that drains the descriptor by small reads and answers with how much it was. */
static pid_t start_reader(int from, int to)
{
    pid_t pid = fork();
    char block[777];
    uint64_t total = 0, sum = 0;
    ssize_t n;

    if (pid) return pid;
    while ((n = read(from, block, sizeof(block))) > 0) {
        for (ssize_t i = 0; i < n; i++) sum = sum * 31 + (unsigned char)block[i];
        total += (uint64_t)n;
    }
    if (write(to, &total, 8) != 8 || write(to, &sum, 8) != 8) _exit(1);
    _exit(0);
}

static void check_stream(int timeout_ms, bool nonblocking)
{
    enum { LEN = 1000000 };
    int data[2], answer[2], status;
    uint64_t got[2], sum = 0;
    char *bytes = xmalloc(LEN);

    for (size_t i = 0; i < LEN; i++) {
        bytes[i] = (char)(i * 17 + i / 251);
        sum = sum * 31 + (unsigned char)bytes[i];
    }
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
    ck_assert_int_eq(pipe(answer), 0);
    ck_assert_int_eq(cloexec(data[1], true), 0);
    pid_t pid = fork();
    if (!pid) {
        close(data[1]);
        pid = start_reader(data[0], answer[1]);
        waitpid(pid, &status, 0);
        _exit(0);
    }
    close(data[0]);
    ck_assert_int_eq(nonblock(data[1], nonblocking), 0);
    struct iovec iov[100];
    for (int i = 0; i < 100; i++) {
        iov[i].iov_base = bytes + (size_t)i * (LEN / 100);
        iov[i].iov_len = LEN / 100;
    }
    iov[99].iov_len -= 5;
    ck_assert_int_eq(retry_writev(data[1], iov, 100, timeout_ms), 0);
    ck_assert_int_eq(retry_write(data[1], bytes + LEN - 5, 5, timeout_ms), 0);
    close(data[1]);
    ck_assert_int_eq(retry_read(answer[0], got, 16, 60000), 16);
    ck_assert_uint_eq(got[0], LEN);
    ck_assert_uint_eq(got[1], sum);
    waitpid(pid, &status, 0);
    close(answer[0]);
    close(answer[1]);
    free(bytes);
}

START_TEST(test_streams)
{
    check_stream(-1, false);
    check_stream(-1, true);
    check_stream(60000, false);
    check_stream(60000, true);
}
END_TEST

START_TEST(test_timeouts)
{
    int fds[2];
    char block[10], *big = xzmalloc(10000000);

    for (int on = 0; on < 2; on++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        ck_assert_int_eq(nonblock(fds[0], on), 0);
        ck_assert_int_eq(!!(fcntl(fds[0], F_GETFL) & O_NONBLOCK), on);
        ck_assert_int_eq(retry_read(fds[0], block, 1, 0), -ETIMEDOUT);
        ck_assert_int_eq(wait_readable(fds[0], 1), -ETIMEDOUT);
        ck_assert_int_eq(write(fds[1], "abc", 3), 3);
        ck_assert_int_eq(wait_readable(fds[0], 60000), 0);
        ck_assert_int_eq(retry_read_some(fds[0], block, 10, 60000), 3);
        /* What came before the time ran out is lost to a whole read. */
        ck_assert_int_eq(write(fds[1], "abc", 3), 3);
        ck_assert_int_eq(retry_read(fds[0], block, 10, 1), -ETIMEDOUT);
        ck_assert_int_eq(wait_writable(fds[0], 60000), 0);
        ck_assert_int_eq(retry_write(fds[0], big, 10000000, 20), -ETIMEDOUT);
        close(fds[1]);
        if (!on) close(fds[0]);
    }
    ck_assert_int_eq(wait_readable(fds[0], -1), 0);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(retry_write(fds[0], big, 10, -1), -EPIPE);
    close(fds[0]);
    ck_assert_int_eq(nonblock(fds[0], true), -EBADF);
    ck_assert_int_eq(cloexec(fds[0], true), -EBADF);
    ck_assert_int_eq(wait_readable(fds[0], -1), -EBADF);
    ck_assert_int_eq(retry_read(fds[0], block, 1, -1), -EBADF);

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "abc", 3), 3);
    close(fds[1]);
    ck_assert_int_eq(retry_read(fds[0], block, 10, -1), 3); /* the end of the stream */
    ck_assert_int_eq(retry_read(fds[0], block, 10, 60000), 0);
    close(fds[0]);
    free(big);
}
END_TEST

Suite *process_suite(void)
{
    Suite *s = suite_create("process");
    TCase *tc = tcase_create("process");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_signals);
    tcase_add_test(tc, test_sleep);
    tcase_add_test(tc, test_streams);
    tcase_add_test(tc, test_timeouts);
    suite_add_tcase(s, tc);
    return s;
}
