/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_VERIFIED_PASS_H
#define INCLUDED_VERIFIED_PASS_H
/*
 * verified_pass -- going through everything, slowly and over many runs
 *
 * <configdirectory>/verified.db (twoskip; it may be removed) keeps for each key when that thing was last found whole. A run that
 * was ended so goes on where it was: the next one leaves out what was read not long ago. Of each kind of pass it also keeps how the
 * last one ended that has left nothing out. Times are UTC seconds. Functions that return an int: 0 or an imap_err code.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* When what has this key (a uniqueid, "file:PATH", "sync:CHANNEL:...") was last found whole; 0: not known. */
time_t verified_last(const char *key);
/* began: from before it was read. */
int verified_remember(const char *key, time_t began);
/* Is it due, when things are to be looked at once in so many seconds? 0: always. */
bool verified_is_due(time_t last, int64_t since);

struct verified_pass {
    time_t ended;      /* 0: none has */
    time_t oldest;     /* of the times at which the things of it were looked at */
    uint64_t things;   /* all that there were: mailboxes, users */
    uint64_t findings; /* of the runs that belong to it: what was not whole at the end */
};
/* One thing was looked at, or left out because it had been at `when`. */
void verified_pass_add(struct verified_pass *pass, time_t when);
int verified_pass_read(const char *kind, struct verified_pass *pass);
/* It ended now. */
int verified_pass_end(const char *kind, struct verified_pass *pass);
/* As if there had been no pass of that kind, and none of the things with keys "KIND:..." had been found whole. */
int verified_forget(const char *kind);
/* The value of a key, which the caller frees; NULL: there is none, or it can't be read. */
char *verified_text(const char *key);
/* One transaction in which fn changes what it likes. */
struct txn_db;
int verified_change(int (*fn)(struct txn_db *db, void *rock), void *rock);
/* "2026-02-07 10:00:00" in local time, or "never"; returns text. */
const char *verified_time_text(time_t t, char text[32]);

/* Sleeps until so many units since `began` (monotonic seconds) are no more than the rate (a second; 0: no limit), or stop says so. */
void verified_slow_down(uint64_t rate, bool (*stop)(void), double began, uint64_t units);

#endif
