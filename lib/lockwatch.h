/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lockwatch -- nobody waits for a lock without bound, or silently
 *
 * Whoever waits for a file lock looks once a second at who holds it. A holder that is stopped (SIGSTOP, ^Z) is
 * continued, loudly: it would keep all who want the lock, and what it was at is short. One that hangs otherwise
 * (a device that does not answer, a debugger) is named in the log after ten seconds, and then every minute; when the
 * limit is over the wait ends with -ETIMEDOUT, and the client is asked to come again later.
 *
 * Lines go to syslog(3), or where lockwatch_set_log sends them.
 */
#ifndef CYL_LOCKWATCH_H
#define CYL_LOCKWATCH_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>

/* Seconds after which a wait ends: of one that says nothing of its own. */
#define LOCKWATCH_LIMIT 300u

/* Milliseconds of so many seconds; a test may have shorter ones (CYLINDER_LOCK_SECOND: how many each has). */
uint64_t lockwatch_ms(unsigned seconds);

struct lockwatch {
    int fd;
    struct flock wanted;
    unsigned limit;   /* seconds; 0: none */
    uint64_t begun;   /* milliseconds of CLOCK_MONOTONIC */
    uint64_t told;    /* when it was last said who holds it; 0: not yet */
    uint64_t looked;
};

/* The wait begins. */
void lockwatch_begin(struct lockwatch *watch, int fd, const struct flock *wanted, unsigned limit);
/* To be called again and again; looks at most once a second. -ETIMEDOUT: the limit is over, which has been said. */
int lockwatch_look(struct lockwatch *watch);
/* As F_SETLKW, watched; 0 or -errno. */
int lockwatch_wait(int fd, struct flock *wanted, unsigned limit);

/* Is the process stopped, or waiting for something that does not end? 'T', 'D', ... as in /proc; 0: there is none. */
char lockwatch_state(pid_t pid);

void lockwatch_set_log(void (*log)(int priority, const char *line));

#endif
