/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master_pidfile -- one master for one pidfile, daemon mode, readiness (handbook 05 §1.3)
 *
 * The lock on the pidfile, not its existence, says that a master runs; the file stays
 * when it ends. In daemon mode the process that was called waits until the lock is
 * had, and exits with the start code of the daemon.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "libconfig.h"
#include "master.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int start_pipe = -1; /* to the process that was called; -1: not in daemon mode */

static bool lock_file(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return !fcntl(fd, F_SETLK, &lock);
}

/* Tells the process that was called; ends this one unless the code is 0. */
static void tell_start(int code)
{
    if (start_pipe >= 0) {
        ssize_t n = write(start_pipe, &code, sizeof(code));
        if (n != (ssize_t)sizeof(code)) syslog(LOG_ERR, "unable to write to startup pipe: %m");
        close(start_pipe);
        start_pipe = -1;
    }
    if (code) exit(code);
}

static void enter_directory(void)
{
    if (chdir(config_dir))
        master_fatal(2, "unable to chdir to %s: %s", config_dir, strerror(errno));
    if (chdir("cores")) errno = 0; /* core files then land one higher */
}

/* The process that was called: waits for the word of the daemon. */
static void await_start(int fd, const char *lockname) __attribute__((noreturn));
static void await_start(int fd, const char *lockname)
{
    int code = EX_OSERR;
    ssize_t n;

    do {
        n = read(fd, &code, sizeof(code));
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(code)) code = EX_OSERR;
    unlink(lockname);
    _exit(code);
}

void pidfile_daemonize(void)
{
    char *lockname = xasprintf("%s.lock", master.pidfile);
    int fds[2];
    pid_t pid;

    int fd = open(lockname, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0)
        master_fatal(EX_OSERR, "can't open pidfile lock: %s (%s)", lockname, strerror(errno));
    if (!lock_file(fd)) master_fatal(EX_TEMPFAIL, "can't get exclusive lock on %s", lockname);
    if (pipe2(fds, O_CLOEXEC))
        master_fatal(EX_OSERR, "can't open startup pipe: %s", strerror(errno));
    enter_directory();

    while ((pid = fork()) < 0 && errno == EAGAIN) sleep(5);
    if (pid < 0) master_fatal(EX_OSERR, "can't fork: %s", strerror(errno));
    if (pid) {
        close(fds[1]);
        await_start(fds[0], lockname);
    }
    close(fds[0]);
    close(fd);
    free(lockname);
    start_pipe = fds[1];
    setsid();
}

void pidfile_write(void)
{
    char text[32];
    int fd = open(master.pidfile, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

    if (fd < 0) {
        syslog(LOG_ERR, "can't open pidfile %s: %m", master.pidfile);
        tell_start(EX_OSERR);
        exit(EX_OSERR);
    }
    if (!lock_file(fd)) {
        syslog(LOG_ERR, "cannot get exclusive lock on pidfile (is another master still running?)");
        tell_start(EX_OSERR);
        exit(EX_OSERR);
    }
    int len = snprintf(text, sizeof(text), "%lu\n", (unsigned long)getpid());
    if (ftruncate(fd, 0) || write(fd, text, (size_t)len) != len || fsync(fd)) {
        syslog(LOG_ERR, "unable to write to pidfile: %m");
        tell_start(EX_OSERR);
        exit(EX_OSERR);
    }
    tell_start(0);
    /* The descriptor stays open: it carries the lock. */
}

/* -- readiness -- */

static char *notify_path;

static void notify(const char *text)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    size_t len = notify_path ? strlen(notify_path) : 0;

    if (!len || len >= sizeof(addr.sun_path)) return;
    memcpy(addr.sun_path, notify_path, len);
    if (addr.sun_path[0] == '@') addr.sun_path[0] = '\0';

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr, size) < 0)
        syslog(LOG_DEBUG, "unable to notify %s: %m", notify_path);
    close(fd);
}

void readiness_tell(void)
{
    const char *env = getenv("NOTIFY_SOCKET");

    notify_path = xstrdupnull(env);
    unsetenv("NOTIFY_SOCKET"); /* not for the children */
    notify("READY=1\n");

    if (!master.ready_file) master.ready_file = config_getstring(IMAPOPT_MASTER_READY_FILE);
    if (!master.ready_file) return;
    int fd = open(master.ready_file, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        syslog(LOG_ERR, "unable to create ready file %s: %m", master.ready_file);
        return;
    }
    close(fd);
}

void readiness_end(void)
{
    notify("STOPPING=1\n");
    if (master.ready_file && unlink(master.ready_file) && errno != ENOENT)
        syslog(LOG_ERR, "unable to remove ready file %s: %m", master.ready_file);
}
