/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master_child -- starting programs, and what becomes of them
 *
 * Every signal is blocked from before the fork until the child has its default
 * handlers back, so a SIGTERM that comes in between ends the child instead of
 * getting lost. A child that has written to its status pipe and died is accounted for
 * in that order: the pipe is read before the death counts.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "hash.h"
#include "lockwatch.h"
#include "master.h"
#include "proc.h"
#include "service.h"
#include "signals.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define RECYCLE_TIME 30.0
#define TITLE_ROOM 200 /* bytes */
/*
 * Thousands of sessions rest for hours: freed memory has to go back to the system, which the
 * chunks that malloc keeps for each thread prevent (half a megabyte a session).
 */
#define MALLOC_TUNABLES "glibc.malloc.tcache_count=0"

extern char **environ;

static hash_table children = HASH_TABLE_INITIALIZER; /* by decimal pid */

static const char *const type_names[] = { "START", "SERVICE", "EVENT", "DAEMON", "ZOMBIE" };

/* -- the table -- */

static const char *pid_key(pid_t pid)
{
    static char key[16];

    snprintf(key, sizeof(key), "%d", (int)pid);
    return key;
}

struct child *child_find(pid_t pid)
{
    return hash_lookup(pid_key(pid), &children);
}

static void child_free(struct child *child)
{
    free(child->name);
    free(child->program);
    free(child);
}

static void child_enter(pid_t pid, const struct child_plan *plan)
{
    struct child *child = xzmalloc(sizeof(*child));

    child->pid = pid;
    child->type = plan->type;
    child->service = plan->service;
    child->name = xstrdup(plan->name);
    child->program = xstrdup(plan->program);
    child->started = master_now();
    hash_insert(pid_key(pid), child, &children);
}

static bool is_wait_daemon(const struct child *child)
{
    return child->service && child->service->wait;
}

int child_count(bool with_wait_daemons)
{
    size_t pos = 0;
    void *data;
    int n = 0;

    while (hash_next(&children, &pos, &data))
        if (with_wait_daemons || !is_wait_daemon(data)) n++;
    return n;
}

pid_t child_pid_of(const struct service *s)
{
    size_t pos = 0;
    void *data;

    while (hash_next(&children, &pos, &data)) {
        const struct child *child = data;
        if (child->service == s) return child->pid;
    }
    return 0;
}

void child_signal_all(int signo)
{
    size_t pos = 0;
    void *data;

    while (hash_next(&children, &pos, &data)) {
        const struct child *child = data;
        if (!is_wait_daemon(child)) kill(child->pid, signo);
    }
}

void child_continue_stopped(void)
{
    size_t pos = 0;
    void *data;

    while (hash_next(&children, &pos, &data)) {
        const struct child *child = data;
        if (!is_wait_daemon(child) && lockwatch_state(child->pid) == 'T') kill(child->pid, SIGCONT);
    }
}

void child_recycle(void)
{
    size_t pos = 0;
    void *data;

    while (hash_next(&children, &pos, &data)) {
        struct child *child = data;
        if (!child->service) continue;
        kill(child->pid, SIGHUP);
        child->hup_sent = master_now();
    }
}

bool child_is_recycling(void)
{
    size_t pos = 0;
    void *data;

    while (hash_next(&children, &pos, &data)) {
        const struct child *child = data;
        if (child->hup_sent > 0) return true;
    }
    return false;
}

void child_janitor(void)
{
    size_t pos = 0;
    void *data;
    double now = master_now();

    while (hash_next(&children, &pos, &data)) {
        struct child *child = data;
        if (child->hup_sent == 0 || now - child->hup_sent < RECYCLE_TIME) continue;
        syslog(LOG_INFO,
               "service %s/%s pid %d in state %s has not yet been recycled since SIGHUP was sent "
               "(%.0fs ago)",
               child->name, child->service->family, (int)child->pid,
               child->state == STATE_BUSY ? "BUSY" : "READY", now - child->hup_sent);
        child->hup_sent = 0;
    }
}

/* -- programs -- */

char *child_program(const char *word)
{
    struct stat st;

    if (*word == '/') return xstrdup(word);
    char *path = xasprintf("%s/%s", LIBEXECDIR, word);
    if (!stat(path, &st)) return path;
    free(path);
    return xasprintf("%s/%s", SBINDIR, word);
}

bool child_is_program(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISREG(st.st_mode) && st.st_mode & S_IXUSR;
}

static void limit_descriptors(int maxfds)
{
    struct rlimit limit;

    if (maxfds <= 0 || getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = (rlim_t)maxfds;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        syslog(LOG_ERR, "setrlimit: failed to set limit to %d: %m", maxfds);
}

static void set_environment(const struct child_plan *plan)
{
    char id[16];

    unsetenv("CYRUS_ISDAEMON");
    if (!plan->service) {
        unsetenv("CYRUS_SERVICE");
        unsetenv("CYRUS_ID");
        return;
    }
    snprintf(id, sizeof(id), "%u", plan->service->id);
    setenv("CYRUS_SERVICE", plan->service->name, 1);
    setenv("CYRUS_ID", id, 1);
    if (plan->service->is_daemon) setenv("CYRUS_ISDAEMON", "1", 1);
    setenv("GLIBC_TUNABLES", MALLOC_TUNABLES, 0);
}

/* The environment with room for a process title in front; for the rest of a short life. */
static char **titled_environment(void)
{
    size_t n = 0;

    while (environ[n]) n++;
    char **env = xcalloc(n + 2, sizeof(*env));
    env[0] = xasprintf("%s=%0*d", PROC_TITLE_ROOM, TITLE_ROOM, 0);
    memcpy(env + 1, environ, n * sizeof(*env));
    return env;
}

/* In the child; returns only the code with which it fails. */
static int run_program(const struct child_plan *plan)
{
    if (plan->pgid >= 0 && setpgid(0, plan->pgid))
        syslog(LOG_ERR, "unable to set pgid for %s/daemon: %m", plan->name);
    if (plan->status_fd >= 0 && dup2(plan->status_fd, STATUS_FD) < 0) return EX_OSERR;
    if (plan->listen_fd >= 0 && dup2(plan->listen_fd, LISTEN_FD) < 0) return EX_OSERR;
    set_environment(plan);
    if (plan->service) limit_descriptors(plan->service->maxfds);

    syslog(LOG_DEBUG, "about to exec %s", plan->program);
    signals_reset();
    execve(plan->program, plan->cmd->data, plan->service ? titled_environment() : environ);
    syslog(LOG_ERR, "couldn't exec %s: %m", plan->program);
    return EX_OSERR;
}

pid_t child_start(const struct child_plan *plan)
{
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (!pid) _exit(run_program(plan));

    int err = errno;
    if (pid > 0 && plan->pgid >= 0) setpgid(pid, plan->pgid);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        syslog(LOG_ERR, "can't fork process to run %s %s: %s", type_names[plan->type], plan->name,
               strerror(err));
        return -err;
    }
    child_enter(pid, plan);
    return pid;
}

/* -- the end of a child -- */

bool child_log_end(const struct child *child, int status)
{
    struct buf text = BUF_INITIALIZER;
    bool normal = false;
    int pri = LOG_DEBUG;

    buf_printf(&text, "process type:%s name:%s path:%s age:%.3fs pid:%d ", type_names[child->type],
               child->name, child->program, master_now() - child->started, (int)child->pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EX_TEMPFAIL) {
        buf_appendcstr(&text, "was killed");
        normal = true;
    }
    else if (WIFEXITED(status) && !WEXITSTATUS(status)) {
        buf_appendcstr(&text, "exited normally");
        normal = true;
    }
    else if (WIFEXITED(status)) {
        buf_printf(&text, "exited, status %d", WEXITSTATUS(status));
    }
    else if (WIFSIGNALED(status)) {
        int signo = WTERMSIG(status);
        buf_printf(&text, "signaled to death by signal %d (%s%s)", signo, strsignal(signo),
                   WCOREDUMP(status) ? ", core dumped" : "");
        /* What master itself has asked for is no failure. */
        normal = signo == SIGTERM || (signo == SIGHUP && child->hup_sent > 0);
    }
    if (!normal) pri = LOG_ERR;
    syslog(pri, "%s", buf_cstring(&text));
    buf_free(&text);
    return normal;
}

static void child_ended(pid_t pid, int status)
{
    struct child *child = child_find(pid);
    struct child zombie = { .pid = pid,
                            .type = CHILD_ZOMBIE,
                            .name = (char *)"unknown",
                            .program = (char *)"unknown",
                            .started = master_now() };

    if (!child) {
        child_log_end(&zombie, status);
        return;
    }
    if (child->service) service_drain(child->service);
    bool normal = child_log_end(child, status);
    hash_del(pid_key(pid), &children);
    proc_remove(pid);
    if (child->service) service_child_ended(child->service, child, normal);
    child_free(child);
}

void child_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) child_ended(pid, status);
}

int child_wait(pid_t pid)
{
    struct child *child = child_find(pid);
    int status = -1;
    pid_t r;

    do {
        r = waitpid(pid, &status, 0);
    } while (r < 0 && errno == EINTR);
    if (r != pid) status = -1;
    if (child) {
        if (status >= 0) child_log_end(child, status);
        hash_del(pid_key(pid), &children);
        child_free(child);
    }
    return status;
}
