/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master -- what the rooms of the master process share
 *
 * master.c      options, the order of the start, the loop, the stop
 * _service.c    the table of services and daemons, reading and reload, forking policy
 * _socket.c     listening sockets
 * _child.c      starting programs, the table of children, reaping, the status protocol
 * _event.c      EVENTS
 * _wait.c       daemons that master waits for
 * _pidfile.c    pidfile, daemon mode, readiness
 */
#ifndef CYL_MASTER_H
#define CYL_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "strarray.h"

struct buf;
struct masterconf_entry;
struct pollfd;

/* -- who runs what -- */
enum child_type { CHILD_START, CHILD_SERVICE, CHILD_EVENT, CHILD_DAEMON, CHILD_ZOMBIE };
enum child_state { STATE_READY, STATE_BUSY };

/*
 * An entry of SERVICES (one for each address it listens on) or DAEMON. Never removed while
 * children refer to it: a reload disables it.
 */
struct service {
    char *name, *listen, *proto;
    const char *family; /* "ipv4", "ipv6", "unix", "daemon" */
    strarray_t cmd;
    char *program; /* path of the program */
    unsigned id;   /* CYRUS_ID */
    bool is_daemon, wait, babysit;
    bool enabled; /* listed, and has a socket (a daemon: is kept running) */
    bool listed;  /* seen in the file during this reading */
    int prefork, maxchild, maxfds, maxforkrate;

    int sock, stat[2]; /* -1: none */
    int ready, active;
    unsigned forks, connections;

    double rate, rate_since; /* forks per second, and when that was computed */
    unsigned rate_forks;     /* since then */
    double rate_retry;       /* no fork before that time */

    int failures;
    double last_failure;
};

struct child {
    pid_t pid;
    enum child_type type;
    enum child_state state;
    struct service *service; /* NULL: START or event */
    char *name, *program;
    double started, hup_sent; /* hup_sent 0: not, or complained about */
};

struct master {
    const char *cyrus_conf, *pidfile, *logfile, *ready_file;
    int backlog;
    double janitor_period;
    bool keep_stdio, daemon;
    struct service **services;
    int nservices;
    bool stopping;
};
extern struct master master;

/* Seconds of a clock that only goes forward. */
double master_now(void);
/* LOG_CRIT with the text, "exiting", the end with the code. */
void master_fatal(int code, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* Reads a section; a fault is fatal. */
void master_section(const char *section,
                    int (*fn)(const struct masterconf_entry *entry, void *rock), void *rock);

/* -- children -- */
/* Program of a cmd: as it is, or in libexec, or in sbin; malloc'ed. */
char *child_program(const char *word);
/* True for a regular file that its owner may execute. */
bool child_is_program(const char *path);

struct child_plan {
    enum child_type type;
    const char *name;
    const char *program;
    const strarray_t *cmd;
    struct service *service;
    int status_fd; /* becomes descriptor 3; -1: the reserved one */
    int listen_fd; /* becomes 4; -1: the reserved one */
    pid_t pgid;    /* >0: its process group; 0: a new one; -1: ours */
};
/* Starts it and enters it in the table; its pid, or -errno (logged). */
pid_t child_start(const struct child_plan *plan);
/* Reaps every child that has ended. */
void child_reap(void);
/* Waits for this one (with its entry in the table removed): its wait status, or -1. */
int child_wait(pid_t pid);
/* Logs "process type:... exited ..."; true when the end was normal. */
bool child_log_end(const struct child *child, int status);
/* How many are alive; wait daemons are counted only on request. */
int child_count(bool with_wait_daemons);
/* The signal to all of them, but not to wait daemons. */
void child_signal_all(int signo);
/* SIGCONT to those that are stopped, and would hear no other signal. */
void child_continue_stopped(void);
/* SIGHUP to those of services and daemons, with wait daemons. */
void child_recycle(void);
/* Logs children that have ignored SIGHUP for 30 s. */
void child_janitor(void);
/* True while one of them has yet to be looked at by child_janitor(). */
bool child_is_recycling(void);
/* The child of that pid, or NULL. */
struct child *child_find(pid_t pid);
/* Any living child of the service, or 0. */
pid_t child_pid_of(const struct service *s);

/* -- services -- */
/* Reads SERVICES, at a reload DAEMON as well; at the start faults are fatal, later most are not. */
void service_read(bool reload);
void service_read_daemons(void);
/* Sockets for those that have none. */
void service_open_sockets(bool reload);
/* Everything that SIGHUP asks for, but events. */
void service_reload(void);
/* Forks what the policy asks for. */
void service_fork_wanted(void);
/* Appends the descriptors to watch, at most room; their number. */
int service_pollfds(struct pollfd *fds, int room);
/* Forks for a client that waits at a socket, reads status pipes. */
void service_react(const struct pollfd *fds, int n);
/* Seconds until a fork is allowed again, or a large number. */
double service_next_retry(void);
/* Reads what is in the status pipe. */
void service_drain(struct service *s);
/* A child of it has ended: counters, failures. */
void service_child_ended(struct service *s, const struct child *child, bool normal);
/* The child in the table has been forked. */
void service_fork(struct service *s);
void service_stop_listening(void);
/* A fresh entry of the table with nothing set. */
struct service *service_new(const char *name);

/* -- sockets -- */
/*
 * Opens the sockets of a service: the first into s itself, others into further
 * entries of the table. bind_fatal: EX_UNAVAILABLE ends master.
 */
void socket_open(struct service *s, bool bind_fatal);

/* -- daemons that master waits for -- */
/* Starts each and waits until it is ready; a failure is fatal. */
void waitdaemon_start_all(void);
/* Starts one again without waiting. */
void waitdaemon_respawn(struct service *s);
/* SIGTERM in reverse order, each waited for. */
void waitdaemon_stop_all(void);

/* -- events -- */
void event_read(void);
/* Runs what is due; seconds until the next one, or a large number. */
double event_run(void);

/* -- pidfile -- */
/* Daemon mode up to the fork; only the child returns. */
void pidfile_daemonize(void);
/* Locks and writes the pidfile; a failure ends the process. */
void pidfile_write(void);
/* READY=1 to $NOTIFY_SOCKET, and the ready file. */
void readiness_tell(void);
/* STOPPING=1, and the ready file goes. */
void readiness_end(void);

#endif
