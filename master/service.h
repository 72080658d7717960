/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service -- what a service program implements, and what it gets
 *
 * A service (imapd, lmtpd, pop3d, sync_server, ...) serves one connection at a time
 * on descriptors 0 and 1. It links master/libservice.la, which has main(), and writes
 * the three functions service_init, service_main and service_abort. main() takes the
 * common options off the command line, reads imapd.conf, opens the log, waits for
 * clients and talks to master (handbook 05 §1.8, §1.10):
 *
 *   -C FILE  imapd.conf            -U N  connections per process (250; 0 counts as 1)
 *   -D       run debug_command     -T S  idle seconds before the process ends (60; 0: never)
 *   -X       no master: one session on stdin and stdout (set CYRUS_SERVICE and CYRUS_ID)
 *   --help, --version
 *
 * Signals are flags (lib/signals.h). SIGTERM, SIGINT and SIGQUIT ask the session to
 * end where it is safe: when signals_shutdown() is true, service_main closes the
 * conversation without a farewell and returns 0; main() logs and exits 75. SIGHUP lets
 * the session finish, then the process exits 0; service_main need not look at it.
 * SIGUSR2 cancels the running command. SIGALRM belongs to main() while idle, and
 * to the service during a session.
 */
#ifndef CYL_SERVICE_H
#define CYL_SERVICE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "buf.h"

/* -- to be written by the service -- */
/*
 * What config_read() is to insist on. Without a definition by the service:
 * CONFIG_NEED_PARTITION_DATA.
 */
extern const unsigned service_config_flags;
/*
 * Once per process, before the first client: reads its own options (argv[0] is the
 * program, the common options are gone; getopt starts afresh) and opens what all
 * sessions share. The configuration is read, the log is open, the privileges are
 * dropped. 0, or a sysexits code with which the process ends without service_abort
 * (the cause is logged by then).
 */
int service_init(int argc, char **argv, char **envp);
/*
 * One session with the client on descriptors 0 and 1; `client` is valid until it
 * returns. 0: the process may take another client. Else a sysexits code: the process
 * ends with it. Both descriptors are closed by main() afterwards; nothing buffered
 * for the client may be left.
 */
struct service_client;
int service_main(const struct service_client *client, int argc, char **argv, char **envp);
/*
 * The end of the process, idle or after a session: closes what service_init opened
 * and exits with the code. Also called by fatal(), then in the middle of a session.
 */
void service_abort(int code) __attribute__((noreturn));

/* -- what the service gets -- */
/* Who is on the other end. Texts are "" when not known, never NULL. */
struct service_client {
    int fd;        /* 0 */
    bool is_unix;  /* a unix socket: no addresses */
    bool is_stdio; /* -X on something that is no socket */
    uid_t peeruid; /* whose process is at the other end of the unix socket */
    char *
        clienthost; /* "localhost [127.0.0.1]", "[192.0.2.1]", "[unix socket]": for logs and proc files */
    char *remotename; /* "localhost", or "[192.0.2.1]" when the address has no name */
    char *remoteip;   /* "192.0.2.1", "2001:db8::1"; "" for unix sockets */
    char *localip;
    unsigned remoteport, localport; /* 0: none */
    char *remoteaddr; /* "192.0.2.1;50143", the form of libsasl; "" for unix sockets */
    char *localaddr;
};
/*
 * Fills in from getpeername and getsockname; the name comes from the resolver.
 * 0, or -errno (ENOTCONN: the client has gone). End with service_client_fini.
 */
int service_client_init(struct service_client *client, int fd);
void service_client_fini(struct service_client *client);
/* "192.0.2.1;50143" of an address of either family; -EINVAL for others. */
int service_addr_tosasl(const struct sockaddr *addr, socklen_t len, struct buf *out);

/*
 * Entry name in cyrus.conf (CYRUS_SERVICE; in other programs their own name) and number of the listener
 * (CYRUS_ID, else 0). On floor 1.
 */
const char *service_name(void);
unsigned service_id(void);
/* True when one session runs on stdin and stdout (-X). */
bool service_is_standalone(void);
/* False when this process won't take another client, whatever service_main returns. */
bool service_more_clients(void);

/* -- the protocol with master (handbook 05 §1.8, §1.9) -- */
enum {
    STATUS_FD = 3, /* write end of the status pipe; ready pipe of a wait=y daemon */
    LISTEN_FD = 4, /* the listening socket */
};
enum {
    MASTER_SERVICE_AVAILABLE = 1,       /* idle, will accept */
    MASTER_SERVICE_UNAVAILABLE = 2,     /* got a client */
    MASTER_SERVICE_CONNECTION = 3,      /* the client is being served */
    MASTER_SERVICE_CONNECTION_MULTI = 4 /* a service with many clients took one more */
};
/* One record, written at once, in the byte order of the host. */
struct notify_message {
    int message;
    pid_t service_pid;
};
_Static_assert(sizeof(struct notify_message) == 8, "the status protocol has records of 8 bytes");
/*
 * Tells master; without master (-X) does nothing. 0 or -errno; -EPIPE when master is
 * gone. Logged here.
 */
int service_notify(int message);
/*
 * For a DAEMON entry: tells a master that waits (wait=y) that the daemon is ready.
 * Where nobody waits, does nothing.
 */
void service_daemon_ready(void);

#endif
