/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * syslog_file -- a preloaded library: syslog() appends to the file $SYSLOG_FILE
 *
 * For programs under test that know no log file of their own. One write a line, of
 * the form "<PRI> IDENT[PID]: TEXT"; PRI is the priority as a number. A line that
 * can't be written is dropped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

static char ident[256] = "?";
static int mask = 0xff;

static void emit(int pri, const char *fmt, va_list args)
{
    char line[16384];
    int saved = errno;
    const char *path = getenv("SYSLOG_FILE");

    if (!path || !(LOG_MASK(LOG_PRI(pri)) & mask)) return;
    int n = snprintf(line, sizeof(line), "<%d> %s[%d]: ", LOG_PRI(pri), ident, (int)getpid());
    errno = saved; /* for %m */
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, args);
    if (m > 0) n += m;
    if (n > (int)sizeof(line) - 2) n = (int)sizeof(line) - 2;
    line[n++] = '\n';
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) {
        if (write(fd, line, (size_t)n) < 0) errno = 0;
        close(fd);
    }
    errno = saved;
}

void openlog(const char *name, int options, int facility)
{
    (void)options;
    (void)facility;
    if (name) snprintf(ident, sizeof(ident), "%s", name);
}

void closelog(void) {}

int setlogmask(int newmask)
{
    int old = mask;
    if (newmask) mask = newmask;
    return old;
}

void vsyslog(int pri, const char *fmt, va_list args)
{
    emit(pri, fmt, args);
}

void syslog(int pri, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    emit(pri, fmt, args);
    va_end(args);
}

void __vsyslog_chk(int pri, int flag, const char *fmt, va_list args)
{
    (void)flag;
    emit(pri, fmt, args);
}

void __syslog_chk(int pri, int flag, const char *fmt, ...)
{
    va_list args;
    (void)flag;
    va_start(args, fmt);
    emit(pri, fmt, args);
    va_end(args);
}
