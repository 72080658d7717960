/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xsyslog -- log lines (handbook 05 §4)
 *
 * Lines go to syslog(3), or, with the option log_file, to a file of our own.
 * Code that includes this header may say syslog() as ever: the macro below sends it
 * the right way. One event is one line; bytes that would break it (controls) are
 * written as \ooo.
 *
 * A structured line is `DESCRIPTION: key=<value> key=<value> syserror=<text> func=<name>`;
 * syserror and func are left out at LOG_NOTICE and LOG_INFO, syserror when there is none.
 * The description of an error begins with its family: "IOERROR: ", "DBERROR: ",
 * "SYNCERROR: ", "SYNCNOTICE: ". errno is the same after as before.
 */
#ifndef INCLUDED_XSYSLOG_H
#define INCLUDED_XSYSLOG_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <syslog.h>

/* -- writing -- */
/* One plain line. */
void cyr_syslog(int pri, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cyr_vsyslog(int pri, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
#define syslog(pri, ...) cyr_syslog((pri), __VA_ARGS__)

/*
 * A structured line with errno as the cause: xsyslog(LOG_ERR, "IOERROR: open failed",
 * "filename=<%s>", fname). fmt may be NULL.
 */
#define xsyslog(pri, desc, ...) xsyslog_fn((pri), (desc), __func__, errno, __VA_ARGS__)
/* The same with the cause given: an errno of either sign, 0 for none. */
#define xsyslog_errno(pri, err, desc, ...) xsyslog_fn((pri), (desc), __func__, (err), __VA_ARGS__)
void xsyslog_fn(int pri, const char *desc, const char *func, int err, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* -- set-up, by cyrus_init() and master -- */
/*
 * Opens the log as "IDENT[pid]", with `prefix` (or $CYRUS_SYSLOG_PREFIX, which wins) as
 * "prefix/IDENT". facility: LOG_* or -1 for the compiled-in one (SYSLOG_FACILITY). May be
 * called again to change what it says.
 */
void xsyslog_open(const char *ident, const char *prefix, int facility);
/* Facility of a name (DAEMON, MAIL, NEWS, USER, LOCAL0..LOCAL7, any case), or -1. */
int xsyslog_facility(const char *name);
/* LOG_DEBUG lines are dropped unless true. */
void xsyslog_setdebug(bool on);
/*
 * Lines go to this file from now on, one write(2) each, as
 * `2026-11-22T01:13:27.123456+00:00 HOST IDENT[PID]: TEXT`; NULL: to syslog(3). The
 * file is made when it is missing (0640) and found again when it was renamed or
 * removed. When it can't be opened or written, the line goes to syslog(3).
 */
void xsyslog_setfile(const char *path);
void xsyslog_close(void);

/* For tests: every line (no priority, no time) goes to fn instead; NULL: as before. */
void xsyslog_settap(void (*fn)(int pri, const char *line, void *rock), void *rock);

#endif
