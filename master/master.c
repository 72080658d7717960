/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master -- starts, watches and stops the programs of cyrus.conf (handbook 05 §1)
 *
 * The order of the start: imapd.conf, pidfile, START jobs one after the other, the
 * listening sockets, the cyrus user, the daemons that are waited for; then it is
 * ready, and says so. One loop serves everything; signals are flags that it looks at
 * before it sleeps, so a busy socket can't hide them. A stop ends all children
 * and waits for them; those that don't end in master_stop_timeout are killed.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "global.h"
#include "libconfig.h"
#include "master.h"
#include "masterconf.h"
#include "proc.h"
#include "service.h"
#include "signals.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define DEFAULT_BACKLOG 32

struct master master = {
    .cyrus_conf = SYSCONFDIR "/cyrus.conf",
    .pidfile = MASTER_PIDFILE,
    .backlog = DEFAULT_BACKLOG,
    .janitor_period = 1,
};

static const char usage[] =
    "Usage: master [options]\n"
    "  -C FILE  imapd.conf of master itself\n"
    "  -M FILE  cyrus.conf\n"
    "  -p FILE  pidfile (" MASTER_PIDFILE ")\n"
    "  -d       daemon: returns when the pidfile is written\n"
    "  -D       keeps standard input, output and error\n"
    "  -L FILE  standard output and error go there\n"
    "  -l N     backlog of listening sockets (32)\n"
    "  -j N     looks N times a second after its children (1)\n"
    "  -r FILE  makes this file when all sockets are open, removes it at the end\n"
    "  -v       has no effect\n"
    "  -V, --version; --help\n";

double master_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void master_fatal(int code, const char *fmt, ...)
{
    struct buf text = BUF_INITIALIZER;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    syslog(LOG_CRIT, "%s", buf_cstring(&text));
    syslog(LOG_NOTICE, "exiting");
    fprintf(stderr, "master: %s\n", buf_cstring(&text));
    child_signal_all(SIGTERM);
    exit(code);
}

void master_section(const char *section,
                    int (*fn)(const struct masterconf_entry *entry, void *rock), void *rock)
{
    struct buf err = BUF_INITIALIZER;

    int r = masterconf_getsection(master.cyrus_conf, section, fn, rock, &err);
    if (r) master_fatal(r, "%s", buf_cstring(&err));
    buf_free(&err);
}

/* -- START -- */

static int run_start_job(const struct masterconf_entry *e, void *rock)
{
    strarray_t *cmd = strarray_split(masterconf_getstring(e, "cmd", ""), NULL, 0);

    if (!cmd->count) {
        strarray_free(cmd);
        master_fatal(EX_CONFIG, "unable to find command for %s", e->name);
    }
    char *program = child_program(cmd->data[0]);
    struct child_plan plan = {
        .type = CHILD_START,
        .name = e->name,
        .program = program,
        .cmd = cmd,
        .status_fd = -1,
        .listen_fd = -1,
        .pgid = -1,
    };
    pid_t pid = child_start(&plan);
    int status = pid > 0 ? child_wait(pid) : -1;
    bool ok = status >= 0 && WIFEXITED(status) &&
              (!WEXITSTATUS(status) || WEXITSTATUS(status) == EX_TEMPFAIL);
    if (!ok) master_fatal(1, "can't run startup");
    free(program);
    strarray_free(cmd);
    return 0;
}

/* -- descriptors and options -- */

/* Nothing of ours may land on the descriptors that children get. */
static void reserve_descriptors(void)
{
    for (int fd = 0; fd <= LISTEN_FD; fd++) {
        bool is_open = fcntl(fd, F_GETFD) >= 0;
        if (is_open && fd <= STDERR_FILENO) continue;
        if (is_open) close(fd);
        int null = open("/dev/null", fd ? O_RDONLY : O_RDWR);
        if (null != fd) exit(2);
    }
}

static void close_stdio(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), out = null;

    if (null < 0) master_fatal(2, "can't open /dev/null: %s", strerror(errno));
    if (master.logfile) {
        out = open(master.logfile, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (out < 0)
            master_fatal(2, "can't open output log: %s: %s", master.logfile, strerror(errno));
    }
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    if (out != null) close(out);
    close(null);
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static const char *parse_options(int argc, char **argv)
{
    static const struct option longopts[] = {
        { "ready-file", required_argument, NULL, 'r' },
        { NULL, 0, NULL, 0 },
    };
    const char *config = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "C:M:p:dDL:l:j:r:vV", longopts, NULL)) != -1) {
        switch (c) {
        case 'C': config = optarg; break;
        case 'M': master.cyrus_conf = optarg; break;
        case 'p': master.pidfile = optarg; break;
        case 'd': master.daemon = true; break;
        case 'D': master.keep_stdio = true; break;
        case 'L': master.logfile = optarg; break;
        case 'l': master.backlog = number(optarg); break;
        case 'j':
            if (number(optarg) < 1)
                master_fatal(EX_CONFIG, "The janitor period must be at least 1 second");
            master.janitor_period = 1.0 / number(optarg);
            break;
        case 'r': master.ready_file = optarg; break;
        case 'V': printf("cyrus-imapd %s\n", cyrus_version()); exit(EX_OK);
        case 'v':
        default: break; /* getopt has complained; what we don't know changes nothing */
        }
    }
    if (master.daemon && master.keep_stdio)
        master_fatal(EX_CONFIG, "Unable to be both debug and daemon mode");
    return config;
}

/* -- the loop -- */

static void look_at_signals(void)
{
    signals_take_alarm();
    signals_take_usr1();
    signals_take_usr2();
    if (signals_take_chld()) child_reap();
    if (signals_shutdown()) return;
    if (signals_take_hup()) {
        syslog(LOG_NOTICE, "got SIGHUP");
        service_reload();
        event_read();
    }
}

/* Sleeps until something happens, at most that many seconds. */
static void sleep_for(double seconds)
{
    int room = master.nservices * 2 + 1;
    struct pollfd *fds = xcalloc((size_t)room, sizeof(*fds));
    int n = service_pollfds(fds, room);
    int ms = seconds > 3600 ? 3600 * 1000 : (int)ceil(fmax(seconds, 0) * 1000);

    int r = signals_poll_fds(fds, (nfds_t)n, ms);
    if (r > 0) service_react(fds, n);
    free(fds);
}

/* Wakes for the janitor only while there is somebody to look after. */
static double until_janitor(double last)
{
    return child_is_recycling() ? fmax(last + master.janitor_period - master_now(), 0) : 3600;
}

static void serve(void)
{
    double last_janitor = master_now();

    while (!signals_shutdown()) {
        double next = event_run();
        service_fork_wanted();
        if (master_now() - last_janitor >= master.janitor_period) {
            child_janitor();
            last_janitor = master_now();
        }
        next = fmin(next, fmin(service_next_retry(), until_janitor(last_janitor)));
        sleep_for(next);
        look_at_signals();
    }
}

/* -- the stop -- */

static void tell_children(int signo)
{
    /* The group has programs in it that our children started. */
    if (getpgrp() == getpid() && signo == SIGTERM) kill(0, signo);
    child_signal_all(signo);
    child_continue_stopped();
}

static void stop(void)
{
    double limit = config_getduration(IMAPOPT_MASTER_STOP_TIMEOUT);
    double killed_at = limit > 0 ? master_now() + limit : 0;

    syslog(LOG_INFO, "attempting clean shutdown on signal");
    master.stopping = true;
    readiness_end();
    service_stop_listening();
    tell_children(SIGTERM);
    for (child_reap(); child_count(false); look_at_signals()) {
        double left = killed_at > 0 ? killed_at - master_now() : 3600;
        if (left <= 0) {
            syslog(LOG_ERR, "%d children did not end in %.0f seconds, killing them",
                   child_count(false), limit);
            tell_children(SIGKILL);
            killed_at = 0;
            continue;
        }
        sleep_for(left);
    }
    waitdaemon_stop_all();
    syslog(LOG_NOTICE, "All children have exited, closing down");
}

/* Were it made here, a store whose disk is not mounted would begin anew. */
static void need_config_dir(void)
{
    struct stat st;
    int r = config_dir ? diskio_stat(config_dir, &st) : 0;

    if (!r) return;
    char *text = xasprintf("can't use the configdirectory %s: %s", config_dir, strerror(-r));
    fatal(text, EX_CONFIG);
}

int main(int argc, char **argv)
{
    cyrus_std_options(argc, argv, usage);
    reserve_descriptors();
    xsyslog_open("master", NULL, -1);
    const char *config = parse_options(argc, argv);

    cyrus_init(config, "master", CYRUSINIT_KEEPUID, 0);
    need_config_dir();
    if (!master.keep_stdio) close_stdio();
    if (master.daemon) pidfile_daemonize();
    pidfile_write();
    syslog(LOG_DEBUG, "process started");

    master_section("START", run_start_job, NULL);
    service_read(false);
    event_read();
    service_read_daemons();

    signals_add_handlers();
    service_open_sockets(false);
    if (!geteuid() && become_cyrus()) exit(1);
    proc_remove_dead();
    waitdaemon_start_all();
    readiness_tell();
    syslog(LOG_DEBUG, "ready for work");

    serve();
    stop();
    cyrus_done();
    return EX_OK;
}
