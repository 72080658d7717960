/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master_wait -- daemons that must be ready before anybody is served (handbook 05 §1.9)
 *
 * They live in a process group of their own, so that a signal to the group of master
 * leaves them alone, and are stopped last, the latest first.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "master.h"
#include "nonblock.h"
#include "xsyslog.h"

static pid_t group; /* 0: none yet */

/* Starts it with the write end of a ready pipe (or -1); pid or -errno. */
static pid_t start(struct service *s, int ready_fd)
{
    /* A group lives as long as one of its processes does. */
    if (group && kill(-group, 0) && errno == ESRCH) group = 0;

    struct child_plan plan = {
        .type = CHILD_DAEMON,
        .name = s->name,
        .program = s->program,
        .cmd = &s->cmd,
        .service = s,
        .status_fd = ready_fd,
        .listen_fd = -1,
        .pgid = group,
    };
    pid_t pid = child_start(&plan);
    if (pid < 0) return pid;
    if (!group) group = pid;
    s->ready++;
    s->active++;
    s->forks++;
    s->rate_forks++;
    return pid;
}

void waitdaemon_respawn(struct service *s)
{
    start(s, -1);
}

static void stop(const struct service *s)
{
    pid_t pid = child_pid_of(s);

    if (pid <= 0) return;
    syslog(LOG_DEBUG, "waiting for child %d of %s/daemon to exit...", (int)pid, s->name);
    kill(pid, SIGTERM);
    int status = child_wait(pid);
    syslog(LOG_DEBUG, "child %d of %s/daemon exited with status %d", (int)pid, s->name,
           status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

void waitdaemon_stop_all(void)
{
    for (int i = master.nservices - 1; i >= 0; i--)
        if (master.services[i]->wait) stop(master.services[i]);
}

/* True when the daemon has said that it is ready. */
static bool start_and_wait(struct service *s)
{
    char answer[4];
    int fds[2];

    if (pipe2(fds, O_CLOEXEC)) return false;
    pid_t pid = start(s, fds[1]);
    close(fds[1]);
    ssize_t n = pid < 0 ? pid : retry_read(fds[0], answer, sizeof(answer), -1);
    close(fds[0]);
    if (n == sizeof(answer) && !memcmp(answer, "ok\r\n", sizeof(answer))) return true;
    syslog(LOG_ERR, "ERROR: waitdaemon %s/daemon did not write \"ok\\r\\n\" to fd 3: %s", s->name,
           n < 0 ? strerror((int)-n) : "wrong answer");
    return false;
}

void waitdaemon_start_all(void)
{
    for (int i = 0; i < master.nservices; i++) {
        struct service *s = master.services[i];
        if (!s->wait || start_and_wait(s)) continue;
        waitdaemon_stop_all();
        master_fatal(EX_CONFIG, "unable to spawn waitdaemon %s/daemon", s->name);
    }
}
