/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master_event -- EVENTS (handbook 05 §1.4)
 *
 * An event runs at once and then every period, counted from its last start; or daily at
 * a local time; or, with neither, just once. Events are not waited for. The next
 * daily time is computed from the calendar each time, so it stays the same on the
 * clock when daylight saving begins or ends.
 */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "master.h"
#include "masterconf.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define FOREVER 1e9
#define DAY 86400

struct event {
    char *name, *program;
    strarray_t cmd;
    double period; /* seconds; 0: none */
    int at;        /* HHMM, or -1 */
    double due;    /* by master_now(), of a period or the first run; <0: never again */
    time_t daily;  /* when `at` comes next */
};

static struct event *events;
static int nevents;

/* The next time at HH:MM local time, later than after. */
static time_t next_daily(int at, time_t after)
{
    struct tm tm;

    localtime_r(&after, &tm);
    for (int day = 0;; day++) {
        struct tm t = tm;
        t.tm_mday += day;
        t.tm_hour = at / 100;
        t.tm_min = at % 100;
        t.tm_sec = 0;
        t.tm_isdst = -1;
        time_t when = mktime(&t);
        if (when > after || day > 2) return when;
    }
}

static int one_event(const struct masterconf_entry *e, void *rock)
{
    const char *cmd = masterconf_getstring(e, "cmd", "");
    int period = masterconf_getint(e, "period", 0), at = masterconf_getint(e, "at", -1);
    strarray_t *words = strarray_split(cmd, NULL, 0);

    if (!words->count) {
        strarray_free(words);
        master_fatal(EX_CONFIG, "unable to find command or port for event '%s'", e->name);
    }
    if (at < 0 || at > 2359 || at % 100 > 59) at = -1;

    events = xreallocarray(events, (size_t)nevents + 1, sizeof(*events));
    struct event *ev = &events[nevents++];
    *ev = (struct event){
        .name = xstrdup(e->name),
        .program = child_program(words->data[0]),
        .cmd = *words,
        .period = at < 0 && period > 0 ? period * 60.0 : 0,
        .at = at,
        .due = at < 0 ? master_now() : -1,
        .daily = at < 0 ? 0 : next_daily(at, time(NULL)),
    };
    free(words); /* its strings are ours now */
    return 0;
}

void event_read(void)
{
    for (int i = 0; i < nevents; i++) {
        free(events[i].name);
        free(events[i].program);
        strarray_fini(&events[i].cmd);
    }
    nevents = 0;
    master_section("EVENTS", one_event, NULL);
}

static void run(const struct event *ev)
{
    struct child_plan plan = {
        .type = CHILD_EVENT,
        .name = ev->name,
        .program = ev->program,
        .cmd = &ev->cmd,
        .status_fd = -1,
        .listen_fd = -1,
        .pgid = -1,
    };

    child_start(&plan);
}

static void plan_daily(struct event *ev, time_t now)
{
    time_t last = ev->daily;

    ev->daily = next_daily(ev->at, now);
    long shift = (long)(ev->daily - last) % DAY;
    if (shift > DAY / 2) shift -= DAY;
    if (shift)
        syslog(LOG_NOTICE, "timezone shift for %s - altering schedule by %ld seconds", ev->name,
               shift);
}

/* Runs it when it is due; seconds until it is due again. */
static double run_if_due(struct event *ev)
{
    if (ev->at >= 0) {
        time_t now = time(NULL);
        if (now >= ev->daily) {
            run(ev);
            plan_daily(ev, now);
        }
        /* The clock may be set meanwhile: look again every minute. */
        return fmin((double)(ev->daily - now), 60);
    }
    double now = master_now();
    if (ev->due >= 0 && now >= ev->due) {
        run(ev);
        ev->due = ev->period > 0 ? now + ev->period : -1;
    }
    return ev->due < 0 ? FOREVER : ev->due - now;
}

double event_run(void)
{
    double next = FOREVER;

    for (int i = 0; i < nevents; i++) next = fmin(next, run_if_due(&events[i]));
    return next;
}
