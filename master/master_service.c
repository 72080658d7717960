/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master_service -- SERVICES and DAEMON: the table, reload, when to fork (handbook 05 §1.4, §1.7)
 *
 * A service has `ready` children that wait for a client, out of `active` that live.
 * While nobody is ready and another child is allowed, master watches the socket
 * itself and forks when a client knocks; the child accepts.
 */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "libconfig.h"
#include "master.h"
#include "masterconf.h"
#include "service.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define FOREVER 1e9
#define RATE_RETRY 0.4   /* seconds */
#define FAILURE_GAP 10.0 /* seconds between failures that don't belong together */
#define MAX_FAILURES 5
#define BABYSIT_FORKRATE 10

/* -- the table -- */

struct service *service_new(const char *name)
{
    struct service *s = xzmalloc(sizeof(*s));

    s->name = xstrdup(name);
    s->family = "none";
    s->sock = s->stat[0] = s->stat[1] = -1;
    s->maxchild = -1;
    master.services = xreallocarray(master.services, (size_t)master.nservices + 1,
                                    sizeof(*master.services));
    master.services[master.nservices++] = s;
    return s;
}

static void service_close(struct service *s)
{
    if (s->sock >= 0) {
        shutdown(s->sock, SHUT_RDWR);
        close(s->sock);
        s->sock = -1;
    }
    s->enabled = false;
}

static int limit_of(const struct service *s)
{
    return s->maxchild < 0 ? INT32_MAX : s->maxchild;
}

/* -- reading -- */

/* At the start fatal, at a reload a warning. */
static int complain(bool reload, const char *what, const char *name)
{
    if (!reload) master_fatal(EX_CONFIG, "%s '%s'", what, name);
    syslog(LOG_WARNING, "WARNING: %s '%s' -- ignored", what, name);
    return 0;
}

static bool same(const char *a, const char *b)
{
    return !strcmpnull(a, b);
}

static bool name_is_listed(const char *name)
{
    for (int i = 0; i < master.nservices; i++)
        if (master.services[i]->listed && same(master.services[i]->name, name)) return true;
    return false;
}

/* Takes the attributes over into every entry of the table with that name and place. */
static void fill_in(struct service *s, const struct masterconf_entry *e, const char *cmd,
                    const char *program)
{
    bool udp = s->proto && strstarts(s->proto, "udp");
    strarray_t *words = strarray_split(cmd, NULL, 0);

    strarray_fini(&s->cmd);
    strarray_cat(&s->cmd, words);
    strarray_free(words);
    free(s->program);
    s->program = xstrdup(program);
    s->listed = true;
    s->maxfds = masterconf_getint(e, "maxfds", 0);
    s->failures = 0;
    s->rate_retry = 0;
    if (s->is_daemon) {
        s->prefork = s->maxchild = 1;
        s->babysit = true;
        s->maxforkrate = masterconf_getint(e, "maxforkrate", BABYSIT_FORKRATE);
        return;
    }
    s->babysit = masterconf_getswitch(e, "babysit", false);
    s->prefork = masterconf_getint(e, "prefork", 0);
    s->maxchild = masterconf_getint(e, "maxchild", -1);
    s->maxforkrate = masterconf_getint(e, "maxforkrate", 0);
    if (s->babysit && !s->prefork) s->prefork = 1;
    if (s->babysit && !s->maxforkrate) s->maxforkrate = BABYSIT_FORKRATE;
    if (udp && s->prefork > 1) s->prefork = 1;
    if (udp) s->maxchild = 1;
}

/* Entries of the table for that name and place; a new one when there is none. */
static void take_over(const struct masterconf_entry *e, const char *listen, const char *proto,
                      const char *cmd, const char *program, bool wait)
{
    bool found = false;

    for (int i = 0; i < master.nservices; i++) {
        struct service *s = master.services[i];
        if (!same(s->name, e->name) || !same(s->listen, listen) || !same(s->proto, proto)) continue;
        if (s->is_daemon != !listen || s->wait != wait) continue;
        fill_in(s, e, cmd, program);
        found = true;
    }
    if (found) return;

    struct service *s = service_new(e->name);
    s->listen = xstrdupnull(listen);
    s->proto = xstrdupnull(proto);
    s->is_daemon = !listen;
    s->wait = wait;
    if (s->is_daemon) s->family = "daemon";
    fill_in(s, e, cmd, program);
}

/* The program of a cmd; NULL when it can't be run. */
static char *program_of(const char *cmd)
{
    strarray_t *words = strarray_split(cmd, NULL, 0);
    char *program = words->count ? child_program(words->data[0]) : NULL;

    strarray_free(words);
    if (program && !child_is_program(program)) xzfree(program);
    return program;
}

static int one_service(const struct masterconf_entry *e, void *rock)
{
    bool reload = *(bool *)rock;
    const char *cmd = masterconf_getstring(e, "cmd", ""),
               *listen = masterconf_getstring(e, "listen", "");
    const char *proto = masterconf_getstring(e, "proto", "tcp");

    if (!*cmd || !*listen)
        return complain(reload, "unable to find command or port for service", e->name);
    if (name_is_listed(e->name)) return complain(reload, "multiple entries for service", e->name);
    char *program = program_of(cmd);
    if (!program) master_fatal(EX_CONFIG, "cannot find executable for service '%s'", e->name);
    take_over(e, listen, proto, cmd, program, false);
    free(program);
    return 0;
}

static int one_daemon(const struct masterconf_entry *e, void *rock)
{
    bool reload = *(bool *)rock, wait = masterconf_getswitch(e, "wait", false);
    const char *cmd = masterconf_getstring(e, "cmd", "");

    if (!*cmd) return complain(reload, "unable to find command or port for service", e->name);
    if (name_is_listed(e->name))
        return complain(reload,
                        wait ? "multiple entries for waitdaemon" : "multiple entries for service",
                        e->name);
    char *program = program_of(cmd);
    if (!program)
        master_fatal(EX_CONFIG, "cannot find executable for %s '%s'",
                     wait ? "waitdaemon" : "daemon", e->name);
    take_over(e, NULL, NULL, cmd, program, wait);
    free(program);
    return 0;
}

static int is_free(const struct service *s)
{
    return !s->listed && !s->active;
}

/* Entries that nothing refers to any more. */
static void forget_unused(void)
{
    int kept = 0;

    for (int i = 0; i < master.nservices; i++) {
        struct service *s = master.services[i];
        if (!is_free(s)) {
            master.services[kept++] = s;
            continue;
        }
        if (s->stat[0] >= 0) close(s->stat[0]);
        if (s->stat[1] >= 0) close(s->stat[1]);
        strarray_fini(&s->cmd);
        free(s->name);
        free(s->listen);
        free(s->proto);
        free(s->program);
        free(s);
    }
    master.nservices = kept;
}

void service_read(bool reload)
{
    for (int i = 0; i < master.nservices; i++) master.services[i]->listed = false;
    master_section("SERVICES", one_service, &reload);
    if (!reload) return; /* DAEMON comes after EVENTS then */
    master_section("DAEMON", one_daemon, &reload);
}

void service_read_daemons(void)
{
    bool reload = false;

    master_section("DAEMON", one_daemon, &reload);
}

void service_open_sockets(bool reload)
{
    bool fatal_bind = !reload && config_getswitch(IMAPOPT_MASTER_BIND_ERRORS_FATAL);
    int n = master.nservices; /* opening may add entries */

    for (int i = 0; i < n; i++) {
        struct service *s = master.services[i];
        if (!s->listed) {
            service_close(s);
        }
        else if (s->is_daemon) {
            s->enabled = true;
        }
        else if (s->sock >= 0) {
            s->enabled = true;
        }
        else if (!s->id) {
            if (s->stat[0] >= 0) { /* of a disabled one; its children still talk through the old */
                service_drain(s);
                close(s->stat[0]);
                close(s->stat[1]);
            }
            socket_open(s, fatal_bind);
        }
    }
}

static void count_listed(bool wait, int *listed, int *all)
{
    *listed = *all = 0;
    for (int i = 0; i < master.nservices; i++) {
        if (master.services[i]->wait != wait) continue;
        ++*all;
        if (master.services[i]->listed) ++*listed;
    }
}

void service_reload(void)
{
    int services, all_services, waits, all_waits;

    service_read(true);
    child_recycle();
    service_open_sockets(true);
    count_listed(false, &services, &all_services);
    count_listed(true, &waits, &all_waits);
    syslog(LOG_NOTICE,
           "Services reconfigured. %d out of %d (max %d) services structures and %d out of %d "
           "(max %d) waitdaemon structures are now in use",
           services, all_services, INT32_MAX - 10, waits, all_waits, INT32_MAX - 10);
    forget_unused();
}

void service_stop_listening(void)
{
    for (int i = 0; i < master.nservices; i++) {
        struct service *s = master.services[i];
        if (s->sock >= 0) close(s->sock);
        s->sock = -1;
        s->enabled = false;
    }
}

/* -- forking -- */

void service_fork(struct service *s)
{
    struct child_plan plan = {
        .type = s->is_daemon ? CHILD_DAEMON : CHILD_SERVICE,
        .name = s->name,
        .program = s->program,
        .cmd = &s->cmd,
        .service = s,
        .status_fd = s->stat[1],
        .listen_fd = s->sock,
        .pgid = -1,
    };

    if (child_start(&plan) < 0) {
        s->rate_retry = master_now() + RATE_RETRY; /* no memory, no processes: not at once again */
        return;
    }
    s->ready++;
    s->active++;
    s->forks++;
    s->rate_forks++;
}

/* Would one more fork now be too many for maxforkrate? */
static bool rate_is_reached(struct service *s)
{
    double now = master_now(), dt = now - s->rate_since;

    if (now < s->rate_retry) return true;
    if (s->maxforkrate <= 0) return false;
    if (dt > 0) {
        double keep = pow(0.5, dt);
        s->rate = keep * s->rate + (1 - keep) * (s->rate_forks / dt);
        s->rate_since = now;
        s->rate_forks = 0;
    }
    if ((int)s->rate < s->maxforkrate) return false;
    s->rate_retry = now + RATE_RETRY;
    return true;
}

static void fork_wanted(struct service *s)
{
    if (s->babysit && !s->active && s->forks && !s->wait)
        syslog(LOG_ERR, "lost all children for service: %s/%s.  Applying babysitter.", s->name,
               s->family);
    while (s->enabled && s->ready < s->prefork && s->active < limit_of(s)) {
        if (rate_is_reached(s)) return;
        int before = s->active;
        if (s->wait)
            waitdaemon_respawn(s);
        else
            service_fork(s);
        if (s->active == before) return;
    }
}

void service_fork_wanted(void)
{
    for (int i = 0; i < master.nservices; i++) {
        struct service *s = master.services[i];
        if (s->enabled && s->ready < s->prefork && s->active < limit_of(s) &&
            master_now() >= s->rate_retry)
            fork_wanted(s);
    }
}

double service_next_retry(void)
{
    double now = master_now(), next = FOREVER;

    for (int i = 0; i < master.nservices; i++) {
        const struct service *s = master.services[i];
        if (s->enabled && s->rate_retry > now) next = fmin(next, s->rate_retry - now);
    }
    return next;
}

/* -- sockets and status pipes -- */

/* Master itself waits for the next client. */
static bool is_watched(const struct service *s)
{
    return s->enabled && s->sock >= 0 && !s->ready && s->active < limit_of(s) &&
           master_now() >= s->rate_retry;
}

int service_pollfds(struct pollfd *fds, int room)
{
    int n = 0;

    for (int i = 0; i < master.nservices && n + 2 <= room; i++) {
        const struct service *s = master.services[i];
        if (s->stat[0] >= 0) fds[n++] = (struct pollfd){ .fd = s->stat[0], .events = POLLIN };
        if (is_watched(s)) fds[n++] = (struct pollfd){ .fd = s->sock, .events = POLLIN };
    }
    return n;
}

void service_react(const struct pollfd *fds, int n)
{
    for (int k = 0; k < n; k++) {
        if (!fds[k].revents) continue;
        for (int i = 0; i < master.nservices; i++) {
            struct service *s = master.services[i];
            if (fds[k].fd == s->stat[0]) service_drain(s);
        }
    }
    for (int k = 0; k < n; k++) {
        if (!fds[k].revents) continue;
        for (int i = 0; i < master.nservices; i++) {
            struct service *s = master.services[i];
            if (fds[k].fd == s->sock && is_watched(s) && !rate_is_reached(s)) service_fork(s);
        }
    }
}

static void set_state(struct service *s, struct child *child, enum child_state state)
{
    if (child->state == state) return;
    child->state = state;
    s->ready += state == STATE_READY ? 1 : -1;
}

static void wrong_state(const struct service *s, const struct child *child, int pri,
                        const char *message)
{
    syslog(pri, "service %s/%s pid %d in %s state: got message %s", s->name, s->family,
           (int)child->pid, child->state == STATE_READY ? "READY" : "BUSY", message);
}

static void take_message(struct service *s, const struct notify_message *m)
{
    struct child *child = child_find(m->service_pid);

    if (!child || child->service != s) {
        syslog(LOG_WARNING, "service %s/%s pid %d: receiving messages from long dead children",
               s->name, s->family, (int)m->service_pid);
        if (m->message >= MASTER_SERVICE_CONNECTION) s->connections++;
        return;
    }
    bool ready = child->state == STATE_READY;
    switch (m->message) {
    case MASTER_SERVICE_AVAILABLE:
        if (ready) wrong_state(s, child, LOG_WARNING, "available");
        set_state(s, child, STATE_READY);
        break;
    case MASTER_SERVICE_UNAVAILABLE:
        if (!ready) wrong_state(s, child, LOG_WARNING, "unavailable");
        set_state(s, child, STATE_BUSY);
        break;
    case MASTER_SERVICE_CONNECTION:
        if (ready) wrong_state(s, child, LOG_ERR, "connection");
        set_state(s, child, STATE_BUSY);
        s->connections++;
        break;
    case MASTER_SERVICE_CONNECTION_MULTI:
        if (!ready) wrong_state(s, child, LOG_ERR, "connection of several");
        set_state(s, child, STATE_READY);
        s->connections++;
        break;
    default:
        syslog(LOG_ERR, "service %s/%s pid %d: unrecognized message %d", s->name, s->family,
               (int)m->service_pid, m->message);
    }
}

void service_drain(struct service *s)
{
    struct notify_message messages[64];
    ssize_t n;

    if (s->stat[0] < 0) return;
    do {
        n = read(s->stat[0], messages, sizeof(messages));
        for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*messages); i++)
            take_message(s, &messages[i]);
        if (n > 0 && (size_t)n % sizeof(*messages))
            syslog(LOG_ERR, "got incorrectly sized response from child: %zd", n);
    } while (n == (ssize_t)sizeof(messages) || (n < 0 && errno == EINTR));
}

/* -- deaths -- */

static void count_failure(struct service *s)
{
    double now = master_now();

    if (now - s->last_failure > FAILURE_GAP) s->failures = 0;
    s->last_failure = now;
    if (++s->failures < MAX_FAILURES) return;

    s->failures = 0;
    if (s->wait) {
        syslog(LOG_ERR, "daemon %s/%s is repeatedly failing", s->name, s->family);
        return;
    }
    syslog(LOG_ERR, "too many failures for service %s/%s, disabling until next SIGHUP", s->name,
           s->family);
    service_close(s);
}

void service_child_ended(struct service *s, const struct child *child, bool normal)
{
    bool was_ready = child->state == STATE_READY;

    s->active--;
    if (was_ready) s->ready--;
    if (!normal && was_ready && !master.stopping) count_failure(s);
}
