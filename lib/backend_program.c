/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend_program -- a program whose standard input and output are the connection
 *
 * The words of the command are separated by blanks; there are no quotes, and no shell. The program
 * gets one end of a socket pair, and a session of its own: it can't ask anybody at the terminal, and what it has started ends with it. What it writes to its standard error a second process of ours puts
 * into the log, a line each, so that nobody has to read it while he waits for an answer.
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

#include "backend_protocol.h"
#include "imap_err.h"
#include "libconfig.h"
#include "signals.h"
#include "strarray.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define EXEC_PREFIX "exec:"
#define END_TIMEOUT 2000 /* ms in which the program ends when its input does */
#define KILL_TIMEOUT 1000 /* ms in which it ends after SIGTERM; the log's process after the program */
#define TICK 10          /* ms */
#define MAX_LINE 4096

/* ---- what the program says ---- */

static void log_line(const char *program, struct buf *line)
{
    if (buf_len(line)) syslog(LOG_NOTICE, "%s: %s", program, buf_cstring(line));
    buf_reset(line);
}

static void log_bytes(const char *program, const char *bytes, size_t n, struct buf *line)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') buf_putc(line, bytes[i]);
        if (bytes[i] == '\n' || buf_len(line) >= MAX_LINE) log_line(program, line);
    }
}

/* Keeps nothing open but the log: others wait for the ends of our descriptors. */
static void be_the_logger(const char *program, int fd) __attribute__((noreturn));
static void be_the_logger(const char *program, int fd)
{
    struct buf line = BUF_INITIALIZER;
    char bytes[MAX_LINE];
    ssize_t n;

    xsyslog_setfile(NULL);
    closelog();
    if (dup2(fd, STDIN_FILENO) < 0) _exit(1);
    close_range(STDOUT_FILENO, ~0u, 0);
    for (int i = STDOUT_FILENO; i <= STDERR_FILENO; i++)
        if (open("/dev/null", O_RDWR) < 0) _exit(1);
    xsyslog_setfile(config_getstring(IMAPOPT_LOG_FILE));
    while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) log_bytes(program, bytes, (size_t)n, &line);
    log_line(program, &line);
    _exit(0);
}

/* ---- the program ---- */

/* report gets errno if it can't be run, and is closed if it can. */
static void be_the_program(const strarray_t *words, int fd, int err, int report) __attribute__((noreturn));
static void be_the_program(const strarray_t *words, int fd, int err, int report)
{
    signals_reset();
    (void)setsid();
    if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0 &&
        !close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC))
        execvp(words->data[0], words->data);
    int e = errno;
    _exit(write(report, &e, sizeof(e)) == sizeof(e) ? 127 : 126);
}

/* The three pairs, [0] ours. */
struct ends {
    int talk[2], said[2], report[2];
};

static void close_ends(struct ends *e)
{
    int *fds[] = { e->talk, e->said, e->report };

    for (size_t i = 0; i < 6; i++) {
        int *fd = &fds[i / 2][i % 2];
        if (*fd >= 0) close(*fd);
        *fd = -1;
    }
}

static int make_ends(struct ends *e)
{
    *e = (struct ends){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e->talk) || pipe2(e->said, O_CLOEXEC) ||
        pipe2(e->report, O_CLOEXEC))
        return errno;
    return 0;
}

/* 0 or the errno of exec. */
static int wait_for_exec(int fd)
{
    int e = 0;
    ssize_t n;

    while ((n = read(fd, &e, sizeof(e))) < 0 && errno == EINTR) continue;
    return n == (ssize_t)sizeof(e) ? e : 0;
}

static int start(struct backend *b, const strarray_t *words, struct ends *e)
{
    b->logger = fork();
    if (b->logger < 0) return errno;
    if (!b->logger) be_the_logger(words->data[0], e->said[0]);
    b->program = fork();
    if (b->program < 0) return errno;
    if (!b->program) be_the_program(words, e->talk[1], e->said[1], e->report[1]);
    close(e->report[1]);
    e->report[1] = -1;
    return wait_for_exec(e->report[0]);
}

const char *backend_program_of(const struct backend_args *args)
{
    const char *words = args->program;

    if (!words && args->server && strstarts(args->server, EXEC_PREFIX)) words = args->server;
    if (words && strstarts(words, EXEC_PREFIX)) words += strlen(EXEC_PREFIX);
    return words;
}

int backend_open_program(struct backend *b, const struct backend_args *args, struct buf *text)
{
    strarray_t *words = strarray_split(backend_program_of(args), NULL, 0);
    struct ends e;
    int err = make_ends(&e);

    b->host = xstrdup(args->program || !strarray_size(words) ? args->server : words->data[0]);
    if (!err) err = strarray_size(words) ? start(b, words, &e) : ENOENT;
    if (!err) {
        b->fd = e.talk[0];
        e.talk[0] = -1;
    }
    close_ends(&e);
    if (err) buf_printf(text, "cannot run '%s': %s", strarray_size(words) ? words->data[0] : "", strerror(err));
    strarray_free(words);
    return err ? IMAP_SERVER_UNAVAILABLE : 0;
}

/* ---- the end ---- */

/* True when it has ended in that time. */
static bool reap(pid_t *pid, int ms, int *status)
{
    unsigned long long until = monotonic_ms() + (unsigned)ms;

    for (;;) {
        pid_t r = waitpid(*pid, status, WNOHANG);
        if (r == *pid || (r < 0 && errno != EINTR)) break;
        if (monotonic_ms() >= until) return false;
        poll(NULL, 0, TICK);
    }
    *pid = 0;
    return true;
}

/* whom: the process, or minus its group. */
static void end_by_force(pid_t *pid, pid_t whom)
{
    int status;

    kill(whom, SIGTERM);
    if (reap(pid, KILL_TIMEOUT, &status)) return;
    kill(whom, SIGKILL);
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) continue;
    *pid = 0;
}

static void tell_status(int status, struct buf *how)
{
    if (WIFSIGNALED(status))
        buf_printf(how, "the program was killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        buf_printf(how, "the program ended with exit status %d", WEXITSTATUS(status));
}

void backend_end_program(struct backend *b, struct buf *how)
{
    int status = 0;

    if (b->fd >= 0) shutdown(b->fd, SHUT_RDWR);
    if (b->program > 0) {
        if (reap(&b->program, END_TIMEOUT, &status))
            tell_status(status, how);
        else {
            buf_setcstr(how, "the program had to be ended");
            end_by_force(&b->program, -b->program);
        }
    }
    if (b->logger > 0 && !reap(&b->logger, KILL_TIMEOUT, &status)) end_by_force(&b->logger, b->logger);
}
