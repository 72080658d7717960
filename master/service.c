/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service -- the main() of every service program (handbook 05 §1.10)
 *
 * Processes of one entry take turns at the listening socket: whoever holds the lock on
 * <configdirectory>/socket/NAME-ID.lock waits for the next client. A process ends when
 * it was told to (SIGTERM 75, SIGHUP 0), when it has served enough clients or was idle
 * too long (0), when its program file has changed (0), or when master is gone (0): then
 * the write end of the status pipe breaks.
 */
#include <config.h>

#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "libconfig.h"
#include "nonblock.h"
#include "proc.h"
#include "service_private.h"
#include "sessionid.h"
#include "signals.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

extern char **environ;

static struct {
    struct service_options opt;
    bool datagram;
    int lockfd; /* -1: none */
    unsigned used;
    bool orphaned; /* master is gone */
    bool in_init;  /* service_init has not returned */
    char *program; /* own file */
    struct stat program_st;
} service = { .lockfd = -1 };

/* Most services open mailboxes; those that don't say so with a definition of their own. */
__attribute__((weak)) const unsigned service_config_flags = CONFIG_NEED_PARTITION_DATA;

bool service_is_standalone(void)
{
    return service.opt.standalone;
}

bool service_more_clients(void)
{
    return !service.opt.standalone && !service.orphaned && service.used < service.opt.max_use;
}

/* -- the end -- */

static void end_in_fatal(const char *message, int code)
{
    if (!service.in_init) service_abort(code);
}

/* Graceful: the process was told to end. */
static void end_told(void) __attribute__((noreturn));
static void end_told(void)
{
    syslog(LOG_NOTICE, "graceful shutdown");
    service_abort(EX_TEMPFAIL);
}

/* Acts on what the signals ask for while idle. */
static void check_signals(void)
{
    if (signals_shutdown()) end_told();
    if (signals_take_hup() || signals_take_alarm()) service_abort(EX_OK);
    signals_take_usr1();
    signals_take_usr2();
    signals_take_chld();
}

/* -- own program file -- */

static void remember_program(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0) return;
    path[n] = '\0';
    if (!stat(path, &service.program_st)) service.program = xstrdup(path);
}

static void check_program(void)
{
    struct stat st;

    if (!service.program) return;
    if (stat(service.program, &st)) {
        syslog(LOG_INFO, "cannot stat process file: %m");
        service_abort(EX_SOFTWARE);
    }
    if (st.st_ino == service.program_st.st_ino && st.st_size == service.program_st.st_size &&
        st.st_mtime == service.program_st.st_mtime)
        return;
    syslog(LOG_INFO, "process file has changed");
    service_abort(EX_OK);
}

/* -- turns at the socket -- */

static void open_lock(void)
{
    char *path = xasprintf("%s/socket/%s-%u.lock", config_dir, service_name(), service_id());

    service.lockfd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (service.lockfd < 0)
        syslog(LOG_ERR, "locking disabled: couldn't open socket lockfile %s: %m", path);
    free(path);
}

static int set_lock(short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

    return service.lockfd < 0 ? 0 : fcntl(service.lockfd, F_SETLKW, &lock);
}

static void take_turn(void)
{
    while (set_lock(F_WRLCK)) {
        if (errno != EINTR) {
            syslog(LOG_ERR, "locking disabled: %m");
            close(service.lockfd);
            service.lockfd = -1;
            return;
        }
        check_signals();
    }
}

/* Sleeps until a client waits. */
static void await_client(void)
{
    struct pollfd fds[2] = {
        { .fd = LISTEN_FD, .events = POLLIN },
        { .fd = STATUS_FD, .events = 0 }, /* POLLERR when nobody reads */
    };

    for (;;) {
        check_signals();
        int r = signals_poll_fds(fds, 2, -1);
        if (r == -EINTR) continue;
        if (r < 0) {
            syslog(LOG_ERR, "poll failed: %s", strerror(-r));
            service_abort(EX_OSERR);
        }
        if (fds[1].revents & (POLLERR | POLLNVAL)) {
            syslog(LOG_NOTICE, "master is gone");
            service_abort(EX_OK);
        }
        if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL) && !(fds[0].revents & POLLIN))
            service_abort(EX_OK); /* master has shut the socket down */
        if (fds[0].revents) return;
    }
}

/* True for errors of a connection that came and went; the next one may be fine. */
static bool is_passing(int err)
{
    static const int passing[] = { EAGAIN,       EINTR,       ECONNABORTED, ENETDOWN,
                                   EPROTO,       ENOPROTOOPT, EHOSTDOWN,    ENONET,
                                   EHOSTUNREACH, EOPNOTSUPP,  ETIMEDOUT,    ENETUNREACH };

    for (size_t i = 0; i < array_size(passing); i++)
        if (passing[i] == err) return true;
    return false;
}

/* The descriptor of the next client, not below 5. */
static int next_client(void)
{
    for (;;) {
        take_turn();
        check_program();
        await_client();

        int fd;
        if (service.datagram) {
            char byte;
            fd = recv(LISTEN_FD, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 ? -1 : LISTEN_FD;
        }
        else {
            fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
        }
        int err = errno;
        set_lock(F_UNLCK);
        if (fd >= 0) return fd;
        if (err == EINVAL) service_abort(EX_OK); /* the socket has been shut down */
        if (!is_passing(err)) {
            syslog(LOG_ERR, "accept failed: %s", strerror(err));
            service_abort(EX_OSERR);
        }
    }
}

/* -- one client -- */

static void set_int(int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof(value)))
        syslog(LOG_DEBUG, "setsockopt(%d, %d) failed: %m", level, name);
}

static void tune_tcp(int fd)
{
    static const struct {
        enum imapopt opt;
        int name;
        bool duration;
    } keep[] = {
        { IMAPOPT_TCP_KEEPALIVE_CNT, TCP_KEEPCNT, false },
        { IMAPOPT_TCP_KEEPALIVE_IDLE, TCP_KEEPIDLE, true },
        { IMAPOPT_TCP_KEEPALIVE_INTVL, TCP_KEEPINTVL, true },
    };
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);

    if (getsockname(fd, (struct sockaddr *)&own, &len)) return;
    if (own.ss_family != AF_INET && own.ss_family != AF_INET6) return;

    /* Replies are written whole: nothing gains from waiting for more. */
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!config_getswitch(IMAPOPT_TCP_KEEPALIVE)) return;
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    for (size_t i = 0; i < array_size(keep); i++) {
        int value = keep[i].duration ? config_getduration(keep[i].opt) : config_getint(keep[i].opt);
        if (value > 0) set_int(fd, IPPROTO_TCP, keep[i].name, value);
    }
}

/* Descriptors 0 and 1 lead nowhere again, but stay taken. */
static void drop_client(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        fatal("can't let go of a connection", EX_OSERR);
    close(null);
}

static void serve(char **argv, int argc)
{
    struct service_client client;
    int r = service_client_init(&client, STDIN_FILENO);

    if (r) {
        if (r != -ENOTCONN) syslog(LOG_ERR, "can't tell who the client is: %s", strerror(-r));
        return;
    }
    session_clear_id();
    signals_take_usr2();
    r = service_main(&client, argc, argv, environ);
    service_client_fini(&client);
    session_clear_id();
    proc_settitle("%s: idle", service_name());
    if (signals_shutdown()) end_told();
    if (r) service_abort(r);
}

static void serve_next(char **argv, int argc)
{
    int fd = next_client();

    alarm(0);
    signals_take_alarm();
    service.used++;
    if (service_notify(MASTER_SERVICE_UNAVAILABLE)) service.orphaned = true;
    if (!service.datagram) {
        tune_tcp(fd);
        nonblock(fd, 0);
    }
    if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        fatal("can't take a connection", EX_OSERR);
    if (fd != LISTEN_FD) close(fd);
    if (!service.orphaned) service_notify(MASTER_SERVICE_CONNECTION);

    serve(argv, argc);
    drop_client();
    if (signals_take_hup() || !service_more_clients()) service_abort(EX_OK);
    if (service_notify(MASTER_SERVICE_AVAILABLE)) service_abort(EX_OK);
}

/* Idle seconds from now: anything between T and 2T, so that processes don't end together. */
static void set_idle_alarm(void)
{
    unsigned bits = 0, t = service.opt.timeout;

    if (!t || !service.used) return;
    if (getrandom(&bits, sizeof(bits), 0) < 0) bits = (unsigned)getpid();
    alarm(t + bits % t);
}

static void serve_all(char **argv, int argc) __attribute__((noreturn));
static void serve_all(char **argv, int argc)
{
    int type = 0;
    socklen_t len = sizeof(type);

    if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &len)) {
        syslog(LOG_ERR, "no listening socket (started by hand? use -X): %m");
        service_abort(EX_SOFTWARE);
    }
    service.datagram = type == SOCK_DGRAM;
    if (!service.datagram) nonblock(LISTEN_FD, 1);
    fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
    fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
    open_lock();
    proc_settitle("%s: idle", service_name());
    for (;;) {
        set_idle_alarm();
        serve_next(argv, argc);
    }
}

/* -- the start -- */

static void identify(const char *program)
{
    const char *id = getenv("CYRUS_ID"), *name = getenv("CYRUS_SERVICE");
    const char *slash = strrchr(program, '/');
    const char *missing = !name || !*name ? "CYRUS_SERVICE" : !id ? "CYRUS_ID" : NULL;

    if (missing) {
        xsyslog_open(slash ? slash + 1 : program, NULL, -1);
        syslog(LOG_ERR, "could not getenv(%s); exiting", missing);
        if (isatty(STDERR_FILENO)) fprintf(stderr, "%s is not set in the environment\n", missing);
        exit(EX_SOFTWARE);
    }
}

static const char usage_form[] =
    "Usage: %s [-C FILE] [-U N] [-T SECONDS] [-D] [-X] [options of the service]\n"
    "Started by master(8). By hand, with CYRUS_SERVICE and CYRUS_ID in the environment:\n"
    "  -C FILE     imapd.conf\n"
    "  -U N        clients per process (250)\n"
    "  -T SECONDS  idle time before the process ends (60; 0: never)\n"
    "  -D          run debug_command first\n"
    "  -X          one session on standard input and output, without master\n"
    "  --help, --version\n"
    "The options of the service are in its manual page.\n";

int main(int argc, char **argv)
{
    strarray_t rest = STRARRAY_INITIALIZER;
    struct buf err = BUF_INITIALIZER;

    argv = proc_settitle_init(argc, argv);
    const char *slash = strrchr(argv[0], '/');
    char *usage = xasprintf(usage_form, slash ? slash + 1 : argv[0]);
    cyrus_std_options(argc, argv, usage);
    free(usage);
    identify(argv[0]);
    int r = service_options_parse(argc, argv, &service.opt, &rest, &err);
    if (r) {
        xsyslog_open(service_name(), NULL, -1);
        syslog(LOG_ERR, "%s", buf_cstring(&err));
        if (isatty(STDERR_FILENO)) fprintf(stderr, "%s\n", buf_cstring(&err));
        buf_free(&err);
        strarray_fini(&rest);
        return EX_USAGE;
    }
    cyrus_init(service.opt.config, service_name(), CYRUSINIT_SERVICE | CYRUSINIT_SIGNALS,
               service_config_flags);
    remember_program();
    if (service.opt.debug) service_debug_command(argv[0], service_name());

    service.in_init = true;
    cyrus_set_fatal_hook(end_in_fatal);
    r = service_init(strarray_size(&rest), rest.data, environ);
    if (r) {
        strarray_fini(&rest);
        return r;
    }
    service.in_init = false;

    if (service.opt.standalone) {
        serve(rest.data, strarray_size(&rest));
        service_abort(EX_OK);
    }
    serve_all(rest.data, strarray_size(&rest));
}
