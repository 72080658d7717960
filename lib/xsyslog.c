/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xsyslog -- log lines, to syslog(3) or to a file
 *
 * A line is made whole in memory and handed over in one call, so lines of several
 * processes never mix. Nothing here fails: a log file that can't be opened or
 * written sends its line to syslog(3) instead. The descriptor of the file keeps away
 * from 0 to 4, which services and master need.
 */
#include <config.h>

#include "xsyslog.h"
#undef syslog

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "lockwatch.h"
#include "util.h"
#include "xmalloc.h"

#define FIRST_FREE_FD 5

static struct {
    char *ident; /* "prefix/name"; syslog(3) keeps the pointer */
    char *file;
    int fd;
    dev_t dev;
    ino_t ino;
    bool quiet_debug;
    void (*tap)(int pri, const char *line, void *rock);
    void *tap_rock;
} log_state = { .fd = -1 };

static const struct {
    const char *name;
    int facility;
} facilities[] = {
    { "DAEMON", LOG_DAEMON }, { "MAIL", LOG_MAIL },     { "NEWS", LOG_NEWS },
    { "USER", LOG_USER },     { "LOCAL0", LOG_LOCAL0 }, { "LOCAL1", LOG_LOCAL1 },
    { "LOCAL2", LOG_LOCAL2 }, { "LOCAL3", LOG_LOCAL3 }, { "LOCAL4", LOG_LOCAL4 },
    { "LOCAL5", LOG_LOCAL5 }, { "LOCAL6", LOG_LOCAL6 }, { "LOCAL7", LOG_LOCAL7 },
};

int xsyslog_facility(const char *name)
{
    for (size_t i = 0; i < array_size(facilities); i++)
        if (!cyr_strcasecmp(name, facilities[i].name)) return facilities[i].facility;
    return -1;
}

/* -- the file -- */

static void close_file(void)
{
    if (log_state.fd >= 0) close(log_state.fd);
    log_state.fd = -1;
}

/* Opens the file, or finds it again under its name; false when that can't be done. */
static bool have_file(void)
{
    struct stat st;

    if (!log_state.file) return false;
    if (log_state.fd >= 0 && !stat(log_state.file, &st) && st.st_dev == log_state.dev &&
        st.st_ino == log_state.ino)
        return true;
    close_file();

    int fd = open(log_state.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd >= 0 && fd < FIRST_FREE_FD) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        close(fd);
        fd = high;
    }
    if (fd < 0) return false;
    if (fstat(fd, &st)) {
        close(fd);
        return false;
    }
    log_state.fd = fd;
    log_state.dev = st.st_dev;
    log_state.ino = st.st_ino;
    return true;
}

static void append_time(struct buf *out)
{
    struct timespec now;
    struct tm tm;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(out, "%s.%06ld", text, now.tv_nsec / 1000);

    long minutes = tm.tm_gmtoff / 60, size = labs(minutes);
    buf_printf(out, "%c%02ld:%02ld", minutes < 0 ? '-' : '+', size / 60, size % 60);
}

static const char *host_name(void)
{
    static char name[256];

    if (!*name && gethostname(name, sizeof(name) - 1)) return "localhost";
    return name;
}

static bool write_file(const char *line, size_t len)
{
    struct buf out = BUF_INITIALIZER;

    if (!have_file()) return false;
    append_time(&out);
    buf_printf(&out, " %s %s[%d]: ", host_name(), log_state.ident ? log_state.ident : "cyrus",
               (int)getpid());
    buf_appendmap(&out, line, len);
    buf_putc(&out, '\n');

    ssize_t n = write(log_state.fd, out.s, out.len);
    bool ok = n == (ssize_t)out.len;
    buf_free(&out);
    return ok;
}

/* -- lines -- */

/* Controls as \ooo; line ends at the end of the text fall away. */
static void escape_line(struct buf *line)
{
    struct buf out = BUF_INITIALIZER;
    size_t i;

    while (line->len && (line->s[line->len - 1] == '\n' || line->s[line->len - 1] == '\r'))
        buf_truncate(line, line->len - 1);
    for (i = 0; i < line->len; i++)
        if ((unsigned char)line->s[i] < ' ' || line->s[i] == 0x7f) break;
    if (i == line->len) return;

    for (i = 0; i < line->len; i++) {
        unsigned char c = (unsigned char)line->s[i];
        if (c < ' ' || c == 0x7f)
            buf_printf(&out, "\\%03o", c);
        else
            buf_putc(&out, (char)c);
    }
    buf_move(line, &out);
}

static void put_line(int pri, struct buf *line)
{
    if (LOG_PRI(pri) == LOG_DEBUG && log_state.quiet_debug) return;
    escape_line(line);

    const char *text = buf_cstring(line);
    if (log_state.tap) {
        log_state.tap(pri, text, log_state.tap_rock);
        return;
    }
    if (log_state.file && write_file(text, line->len)) return;
    syslog(pri, "%s", text);
}

void cyr_vsyslog(int pri, const char *fmt, va_list args)
{
    struct buf line = BUF_INITIALIZER;
    int saved_errno = errno; /* also what %m stands for */

    buf_vprintf(&line, fmt, args);
    put_line(pri, &line);
    buf_free(&line);
    errno = saved_errno;
}

void cyr_syslog(int pri, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    cyr_vsyslog(pri, fmt, args);
    va_end(args);
}

static void lock_line(int pri, const char *line)
{
    cyr_syslog(pri, "%s", line);
}

__attribute__((constructor)) static void take_lock_lines(void)
{
    lockwatch_set_log(lock_line);
}

void xsyslog_fn(int pri, const char *desc, const char *func, int err, const char *fmt, ...)
{
    struct buf line = BUF_INITIALIZER;
    int saved_errno = errno;
    bool brief = LOG_PRI(pri) == LOG_NOTICE || LOG_PRI(pri) == LOG_INFO;

    buf_printf(&line, "%s: ", desc);
    if (fmt && *fmt) {
        va_list args;
        va_start(args, fmt);
        buf_vprintf(&line, fmt, args);
        va_end(args);
        buf_putc(&line, ' ');
    }
    if (!brief && err) buf_printf(&line, "syserror=<%s> ", strerror(abs(err)));
    if (!brief) buf_printf(&line, "func=<%s>", func ? func : "");
    put_line(pri, &line);
    buf_free(&line);
    errno = saved_errno;
}

/* -- set-up -- */

void xsyslog_open(const char *ident, const char *prefix, int facility)
{
    const char *env = getenv("CYRUS_SYSLOG_PREFIX");
    char *old = log_state.ident;

    if (env && *env) prefix = env;
    log_state.ident = prefix && *prefix ? xasprintf("%s/%s", prefix, ident) : xstrdup(ident);
    closelog();
    openlog(log_state.ident, LOG_PID, facility < 0 ? SYSLOG_FACILITY : facility);
    free(old);
}

void xsyslog_setdebug(bool on)
{
    log_state.quiet_debug = !on;
}

void xsyslog_setfile(const char *path)
{
    if (path && log_state.file && !strcmp(path, log_state.file)) return;
    close_file();
    free(log_state.file);
    log_state.file = xstrdupnull(path);
}

void xsyslog_close(void)
{
    close_file();
    xzfree(log_state.file);
    closelog();
    xzfree(log_state.ident);
}

void xsyslog_settap(void (*fn)(int pri, const char *line, void *rock), void *rock)
{
    log_state.tap = fn;
    log_state.tap_rock = rock;
}
