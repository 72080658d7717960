/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lockwatch -- nobody waits for a lock without bound, or silently
 *
 * See the header. F_SETLKW is left once a second by the signal of a timer, which beats until the wait is over: one
 * that comes just before the call is followed by another. F_GETLK names one holder; the others, of a lock that is
 * shared or on many bytes, are in /proc/locks (not where the file system has device numbers of its own, as btrfs). Where
 * there can be no others that file is left alone: whoever reads it keeps all file locks of the machine waiting, and those who
 * wait for the sync of a slow disk may be a thousand.
 */
#include <config.h>

#include "lockwatch.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/* Seconds. */
#define TELL_FIRST 10u
#define TELL_AGAIN 60u

/* ---- saying it ---- */

static void (*log_line)(int priority, const char *line);

void lockwatch_set_log(void (*log)(int priority, const char *line))
{
    log_line = log;
}

__attribute__((format(printf, 2, 3))) static void say(int priority, const char *fmt, ...)
{
    char line[8192];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (log_line)
        log_line(priority, line);
    else
        syslog(priority, "%s", line);
}

static const char *file_name(int fd, char name[4096])
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, 4095);
    name[n > 0 ? n : 0] = '\0';
    return name;
}

/* ---- holders ---- */

/* State and name of a process. */
static char read_stat(pid_t pid, char comm[32])
{
    char path[64], text[128] = "";

    comm[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open || !close[1]) return 0;
    snprintf(comm, 32, "%.*s", (int)cyr_min((size_t)(close - open - 1), (size_t)31), open + 1);
    return close[2];
}

char lockwatch_state(pid_t pid)
{
    char comm[32];
    return read_stat(pid, comm);
}

/* *only: nobody else can hold it, as it is locked exclusively, all of it. */
static pid_t first_holder(const struct lockwatch *watch, bool *only)
{
    const struct flock *wanted = &watch->wanted;
    struct flock fl = *wanted;

    *only = false;
    if (fcntl(watch->fd, F_GETLK, &fl) < 0 || fl.l_type == F_UNLCK) return 0;
    *only = fl.l_type == F_WRLCK && fl.l_start <= wanted->l_start &&
            (!fl.l_len || (wanted->l_len && wanted->l_start + wanted->l_len <= fl.l_start + fl.l_len));
    return fl.l_pid > 0 ? fl.l_pid : 0;
}

/* Does the line of /proc/locks tell of a lock in the way of this one? Then its holder. */
static pid_t holder_in_line(const char *line, const struct flock *wanted, const struct stat *st)
{
    char type[16], end[32];
    unsigned major, minor;
    unsigned long long inode, from, to = UINT64_MAX;
    int pid;

    if (sscanf(line, "%*d: POSIX %*s %15s %d %x:%x:%llu %llu %31s", type, &pid, &major, &minor, &inode, &from, end) != 7)
        return 0;
    if (inode != st->st_ino || major != major(st->st_dev) || minor != minor(st->st_dev) || pid <= 0) return 0;
    if (wanted->l_type == F_RDLCK && !strcmp(type, "READ")) return 0;
    if (strcmp(end, "EOF")) to = strtoull(end, NULL, 10);
    unsigned long long first = (unsigned long long)wanted->l_start;
    unsigned long long last = wanted->l_len ? first + (unsigned long long)wanted->l_len - 1 : UINT64_MAX;
    return from <= last && to >= first ? pid : 0;
}

/* Continues it if it is stopped. */
static void wake(const struct lockwatch *watch, pid_t pid)
{
    char comm[32], name[4096];
    char state = read_stat(pid, comm);

    if (state != 'T' || pid == getpid()) return;
    int r = kill(pid, SIGCONT);
    say(LOG_ALERT, "lock: process %d (%s) is stopped and holds a lock on %s, byte %lld, for which others wait: %s%s", (int)pid,
        comm, file_name(watch->fd, name), (long long)watch->wanted.l_start, r ? "it can't be continued: " : "it is continued",
        r ? strerror(errno) : "");
}

static void wake_stopped(const struct lockwatch *watch, pid_t first, bool only)
{
    char line[512];
    struct stat st;

    if (first) wake(watch, first);
    if (only || fstat(watch->fd, &st) < 0) return;
    FILE *f = fopen("/proc/locks", "re");
    if (!f) return;
    while (fgets(line, sizeof(line), f)) {
        pid_t pid = holder_in_line(line, &watch->wanted, &st);
        if (pid && pid != first) wake(watch, pid);
    }
    fclose(f);
}

/* ---- looking ---- */

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

uint64_t lockwatch_ms(unsigned seconds)
{
    uint32_t second = 1000;
#ifdef ENABLE_TEST_HOOKS
    const char *shorter = getenv("CYLINDER_LOCK_SECOND");
    if (shorter) parse_u32_cstr(shorter, &second);
#endif
    return (uint64_t)seconds * second;
}

void lockwatch_begin(struct lockwatch *watch, int fd, const struct flock *wanted, unsigned limit)
{
    *watch = (struct lockwatch){ .fd = fd, .wanted = *wanted, .limit = limit, .begun = now_ms() };
    watch->looked = watch->begun;
}

static void tell(struct lockwatch *watch, pid_t holder, uint64_t now, bool over)
{
    char name[4096], comm[32];
    char state = holder ? read_stat(holder, comm) : 0;
    unsigned seconds = (unsigned)((now - watch->begun) / lockwatch_ms(1));

    watch->told = now;
    say(over ? LOG_ERR : LOG_WARNING, "lock: %s %u seconds for the lock on %s, byte %lld; process %d (%s, state %c) holds it",
        over ? "gave up after" : "waiting since", seconds, file_name(watch->fd, name), (long long)watch->wanted.l_start,
        (int)holder, state ? comm : "?", state ? state : '?');
}

int lockwatch_look(struct lockwatch *watch)
{
    uint64_t now = now_ms();
    if (now - watch->looked < lockwatch_ms(1) * 3 / 4) return 0; /* the beats are not that even */
    watch->looked = now;

    bool only;
    pid_t holder = first_holder(watch, &only);
    wake_stopped(watch, holder, only);
    bool over = watch->limit && now - watch->begun >= lockwatch_ms(watch->limit);
    uint64_t due = watch->told ? watch->told + lockwatch_ms(TELL_AGAIN) : watch->begun + lockwatch_ms(TELL_FIRST);
    if (over || now >= due) tell(watch, holder, now, over);
    return over ? -ETIMEDOUT : 0;
}

/* ---- waiting ---- */

static void beat(int sig __attribute__((unused)))
{
}

/* The signal of the timer interrupts the call; whatever it did and masked before comes back. */
struct beats {
    timer_t timer;
    struct sigaction was;
    sigset_t mask;
};

static int start_beats(struct beats *beats)
{
    struct sigaction sa = { .sa_handler = beat };
    struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };
    const uint64_t ms = lockwatch_ms(1);
    const struct timespec second = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    struct itimerspec every = { .it_interval = second, .it_value = second };
    sigset_t set;

    ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &ev, &beats->timer) < 0) return -errno;
    sigemptyset(&sa.sa_mask);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaction(SIGRTMIN, &sa, &beats->was);
    sigprocmask(SIG_UNBLOCK, &set, &beats->mask);
    timer_settime(beats->timer, 0, &every, NULL);
    return 0;
}

static void stop_beats(struct beats *beats)
{
    timer_delete(beats->timer);
    sigprocmask(SIG_SETMASK, &beats->mask, NULL);
    sigaction(SIGRTMIN, &beats->was, NULL);
}

int lockwatch_wait(int fd, struct flock *wanted, unsigned limit)
{
    struct lockwatch watch;
    struct beats beats;

    lockwatch_begin(&watch, fd, wanted, limit);
    int r = start_beats(&beats);
    if (r) return r;
    for (;;) {
        struct flock fl = *wanted;
        if (!fcntl(fd, F_SETLKW, &fl)) break;
        r = errno == EINTR ? lockwatch_look(&watch) : -errno;
        if (r) break;
    }
    stop_beats(&beats);
    return r;
}
