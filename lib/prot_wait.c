/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_wait -- all waiting of protocol streams
 *
 * A wait ends with input, at the time limit of the stream, or when a wait proc says
 * so. The clock starts with the wait; prot_resettimeout() from a wait proc starts it
 * again. A signal that comes between the look at its flag and poll(2) is not lost
 * (signals_poll_fds). Whether bytes of a layer below are enough for one of ours is found out by
 * trying, so that half a TLS record never makes a stream "ready".
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>

#include "prot_int.h"
#include "signals.h"
#include "util.h"
#include "xmalloc.h"

int64_t prot_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Milliseconds until `when` for poll: -1 for ever (when 0), 0 if it has passed. */
static int until(int64_t when)
{
    if (!when) return -1;
    int64_t left = when - prot_now();
    return left < 0 ? 0 : (int)cyr_min(left, (int64_t)INT_MAX);
}

static int64_t deadline(const struct protstream *s)
{
    return s->timeout ? s->clock + (int64_t)s->timeout * 1000 : 0;
}

/* Output that cannot be sent in time ends the input as well; if the peer has only stopped
 * listening, what it sent is still worth reading. */
static int flush_other(struct protstream *s)
{
    struct protstream *out = s->flushonread;

    if (out && !out->errtext && prot_flush(out) && out->timedout) return prot_fail_timeout(s);
    return 0;
}

static int call(struct protstream *s, const struct prot_callback *cb)
{
    if (!cb->proc || !cb->proc(s, cb->rock)) return 0;
    return prot_fail(s, EINTR, "interrupted");
}

static void (*wait_check)(void);

void prot_setwaitcheck(void (*check)(void))
{
    wait_check = check;
}

struct wait {
    struct pollfd fds[1 + PROT_MAXWAITFDS];
    struct prot_callback cb[PROT_MAXWAITFDS]; /* a copy: procs may change the stream's */
    size_t n;
    int64_t tick; /* when the timer is due, 0: never */
};

static void prepare(struct protstream *s, struct wait *w)
{
    w->fds[0] = (struct pollfd){ .fd = s->top->waitfd, .events = s->top->want };
    for (size_t i = 0; i < s->nwaitfds; i++) {
        w->fds[1 + i] = (struct pollfd){ .fd = s->waitfds[i].fd, .events = POLLIN };
        w->cb[i] = s->waitfds[i].cb;
    }
    w->n = s->nwaitfds;
    if (!s->timer.proc)
        w->tick = 0;
    else if (!w->tick)
        w->tick = prot_now() + s->timer_ms;
}

static int sleep_once(struct protstream *s, struct wait *w)
{
    int64_t end = deadline(s);

    if (w->tick && (!end || w->tick < end)) end = w->tick;
    if (s->interrupt.proc) return signals_poll_fds(w->fds, 1 + w->n, until(end));
    int r = poll(w->fds, 1 + w->n, until(end));
    return r < 0 ? -errno : r;
}

static int serve(struct protstream *s, struct wait *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->fds[1 + i].revents && call(s, &w->cb[i])) return EOF;
    if (w->tick && prot_now() >= w->tick) {
        w->tick = prot_now() + s->timer_ms;
        return call(s, &s->timer);
    }
    return 0;
}

int prot_waitinput(struct protstream *s)
{
    struct wait w = { .tick = 0 };

    if (wait_check) wait_check();
    if (flush_other(s) || call(s, &s->interrupt)) return EOF;
    s->clock = prot_now();
    for (;;) {
        prepare(s, &w);
        int r = sleep_once(s, &w);
        if (r == -EINTR) {
            if (call(s, &s->interrupt)) return EOF;
            continue;
        }
        if (r < 0) return prot_fail(s, -r, NULL);
        if (serve(s, &w)) return EOF;
        if (w.fds[0].revents) return 0;
        if (s->timeout && prot_now() >= deadline(s)) return prot_fail_timeout(s);
    }
}

int prot_waitoutput(struct protstream *s)
{
    struct wait w = { .tick = 0 };

    if (wait_check) wait_check();
    for (;;) {
        prepare(s, &w);
        int64_t end = deadline(s);
        if (w.tick && (!end || w.tick < end)) end = w.tick;
        int r = poll(w.fds, 1, until(end));
        if (r > 0) return 0;
        if (r < 0 && errno != EINTR) return prot_fail(s, errno, NULL);
        if (serve(s, &w)) return EOF;
        if (s->timeout && prot_now() >= deadline(s)) return prot_fail_timeout(s);
    }
}

bool prot_ready(struct protstream *s)
{
    return s->head.left || prot_tryfill(s) >= 0;
}

int prot_wait(struct protstream *s, int timeout_ms)
{
    struct prot_selectitem item = { .s = s };
    int r = prot_select(&item, 1, -1, NULL, timeout_ms);

    if (r == 1 && s->errtext && !s->eof) return EOF;
    return r;
}

/* How many streams have input, or are at their end, now. */
static int look(struct prot_selectitem *items, size_t n)
{
    int found = 0;

    for (size_t i = 0; i < n; i++) {
        items[i].ready = prot_ready(items[i].s);
        found += items[i].ready;
    }
    return found;
}

static bool take_extra(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return fd >= 0 && poll(&p, 1, timeout_ms) == 1;
}

/* Sleep until something may have come: >0, 0 at the end of time or on a signal, -1. */
static int doze(struct prot_selectitem *items, size_t n, int extra_fd, int64_t end)
{
    struct pollfd *fds = xcalloc(n + 1, sizeof(*fds));

    for (size_t i = 0; i < n; i++) {
        struct prot_layer *top = items[i].s->top;
        fds[i] = (struct pollfd){ .fd = top->waitfd, .events = top->want };
    }
    fds[n] = (struct pollfd){ .fd = extra_fd, .events = POLLIN };
    int r = signals_poll_fds(fds, n + 1, until(end));
    free(fds);
    return r == -EINTR ? 0 : r;
}

int prot_select(struct prot_selectitem *items, size_t n, int extra_fd, bool *extra_ready,
                int timeout_ms)
{
    int64_t end = timeout_ms < 0 ? 0 : prot_now() + timeout_ms;

    for (bool first = true;; first = false) {
        int found = look(items, n);
        bool extra = take_extra(extra_fd, 0);
        if (extra_ready) *extra_ready = extra;
        if (found + extra || !timeout_ms) return found + extra;
        for (size_t i = 0; first && i < n; i++) flush_other(items[i].s);
        int r = doze(items, n, extra_fd, end);
        if (r < 0) return EOF;
        if (!r) return 0;
    }
}

/* ---- wait procs ---- */

int prot_setwaitfd(struct protstream *s, int fd, prot_waitproc *proc, void *rock)
{
    size_t i = 0;

    while (i < s->nwaitfds && s->waitfds[i].fd != fd) i++;
    if (!proc) {
        if (i < s->nwaitfds) s->waitfds[i] = s->waitfds[--s->nwaitfds];
        return 0;
    }
    if (i == PROT_MAXWAITFDS) return EOF;
    s->waitfds[i] = (struct prot_waitfd){ fd, { proc, rock } };
    if (i == s->nwaitfds) s->nwaitfds++;
    return 0;
}

void prot_setwaittimer(struct protstream *s, int interval_ms, prot_waitproc *proc, void *rock)
{
    s->timer = (struct prot_callback){ interval_ms > 0 ? proc : NULL, rock };
    s->timer_ms = interval_ms;
}

void prot_setinterrupt(struct protstream *s, prot_waitproc *proc, void *rock)
{
    s->interrupt = (struct prot_callback){ proc, rock };
}
