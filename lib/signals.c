/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signals -- TERM, HUP and their kin as flags
 *
 * A handler sets the flag of its signal, and `news`, which makes one sleep return.
 * signals_poll_fds blocks the signals, looks at `news`, and sleeps in ppoll(2) with
 * the mask open again: a signal comes either before the look or in the sleep, never
 * between. Flags are process-wide; a forked child inherits them and its handlers.
 */
#include <config.h>

#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "util.h"

static const struct {
    int signo;
    const char *name;
} caught[] = {
    { SIGTERM, "TERM" }, { SIGINT, "INT" },   { SIGQUIT, "QUIT" }, { SIGHUP, "HUP" },
    { SIGUSR1, "USR1" }, { SIGUSR2, "USR2" }, { SIGALRM, "ALRM" }, { SIGCHLD, "CHLD" },
};

static volatile sig_atomic_t news;
static volatile sig_atomic_t shutdown_signal;
static volatile sig_atomic_t hup, usr1, usr2, alarmed, chld;

void signals_raise(int signo)
{
    switch (signo) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT: shutdown_signal = signo; break;
    case SIGHUP: hup = 1; break;
    case SIGUSR1: usr1 = 1; break;
    case SIGUSR2: usr2 = 1; break;
    case SIGALRM: alarmed = 1; break;
    case SIGCHLD: chld = 1; break;
    default: return;
    }
    news = 1;
}

void signals_add_handlers(void)
{
    /* Without SA_RESTART: a slow call returns, so that its caller can look. */
    struct sigaction sa = { .sa_handler = signals_raise };

    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < array_size(caught); i++) sigaction(caught[i].signo, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
}

void signals_reset(void)
{
    struct sigaction sa = { .sa_handler = SIG_DFL };
    sigset_t none;

    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < array_size(caught); i++) sigaction(caught[i].signo, &sa, NULL);
    sigaction(SIGPIPE, &sa, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    news = shutdown_signal = hup = usr1 = usr2 = alarmed = chld = 0;
}

bool signals_shutdown(void)
{
    return shutdown_signal != 0;
}

int signals_shutdown_signal(void)
{
    return shutdown_signal;
}

static bool take(volatile sig_atomic_t *flag)
{
    if (!*flag) return false;
    *flag = 0;
    return true;
}

bool signals_take_hup(void)
{
    return take(&hup);
}

bool signals_take_chld(void)
{
    return take(&chld);
}

bool signals_take_usr1(void)
{
    return take(&usr1);
}

bool signals_take_usr2(void)
{
    return take(&usr2);
}

bool signals_take_alarm(void)
{
    return take(&alarmed);
}

int signals_poll_fds(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
    sigset_t block, before;
    int r;

    sigemptyset(&block);
    for (size_t i = 0; i < array_size(caught); i++) sigaddset(&block, caught[i].signo);
    sigprocmask(SIG_BLOCK, &block, &before);
    if (news)
        r = -EINTR;
    else
        r = ppoll(fds, n, timeout_ms < 0 ? NULL : &ts, &before);
    if (r == -1) r = -errno;
    if (r == -EINTR) news = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

const char *signals_name(int signo)
{
    for (size_t i = 0; i < array_size(caught); i++) {
        if (caught[i].signo == signo) return caught[i].name;
    }
    const char *name = sigabbrev_np(signo);
    return name ? name : "?";
}
