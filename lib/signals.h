/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signals -- TERM, HUP and their kin as flags
 *
 * The handlers only set flags. A program asks for them where it is safe to act:
 * between commands, never in the middle of a change. signals_poll_fds() opens
 * the mask only while it sleeps, so no signal is lost between looking and sleeping.
 */
#ifndef CYL_SIGNALS_H
#define CYL_SIGNALS_H

#include <poll.h>
#include <stdbool.h>

/*
 * Catches SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM and
 * SIGCHLD as flags and ignores SIGPIPE. System calls are not restarted.
 */
void signals_add_handlers(void);
/* Default actions again, flags cleared, mask empty: for a child before exec. */
void signals_reset(void);

/* True from the first SIGTERM, SIGINT or SIGQUIT on: end when the work in hand is done. */
bool signals_shutdown(void);
/* Number of the signal that asked for the end, or 0. */
int signals_shutdown_signal(void);
/* True once per arrival: asking clears the flag. */
bool signals_take_hup(void);
bool signals_take_chld(void);
bool signals_take_usr1(void);
bool signals_take_usr2(void);
bool signals_take_alarm(void);
/* As if the signal had arrived; for tests and for a program's own wish to end. */
void signals_raise(int signo);

/*
 * poll() that wakes for a caught signal even if that came just before. timeout_ms
 * <0: for ever. Returns as poll() does; -EINTR when a signal flag is up, or -errno.
 */
int signals_poll_fds(struct pollfd *fds, nfds_t n, int timeout_ms);
/* Name without "SIG" ("TERM"), or "?". */
const char *signals_name(int signo);

#endif
