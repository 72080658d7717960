/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move_user -- users move to another server: copied, compared, switched, and after a while removed here (move_user(8))
 *
 *     move_user -S SERVER [-j N] [--switch FILE] [--grace TIME] USER...
 *     move_user --resume [USER...]     goes on: after a crash, or when the grace period is over
 *     move_user --abort USER...        back to where it began
 *     move_user --list
 *
 * Exit: 0 all done as far as they go now; 1 somebody is not moved and is as he was; 75 a move is not finished, or another move_user is at
 * it; 64 usage; 67, 65, 73, 69 as in status_of(). Of several the worst is told: 75, then the first other.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "move_user.h"
#include "namelock.h"
#include "saslclient.h"
#include "signals.h"
#include "sync_client_pool.h"
#include "txn.h"
#include "user_record.h"
#include "util.h"
#include "xmalloc.h"

#define GRACE "7d"
#define TIMEOUT 60
#define EXIT_UNDONE 1
#define MAX_JOBS 64

static const char usage_text[] =
    "Usage: move_user [-C FILE] [-v] [-j N] -S SERVER [OPTIONS] USER...\n"
    "       move_user [-C FILE] [-v] [-j N] [--now] --resume [USER...]\n"
    "       move_user [-C FILE] [-v] [-j N] --abort USER...\n"
    "       move_user [-C FILE] --list\n"
    "  -S SERVER           where to, as sync_client -S\n"
    "  -n CHANNEL          whose sync_* options are taken\n"
    "  -p PARTITION        there\n"
    "  -j N                so many users at a time (1)\n"
    "  --switch FILE       program that tells the directory: FILE USER FROM TO\n"
    "  --switch-timeout N  seconds until it is killed (60)\n"
    "  --grace TIME        how long what is here stays (7d)\n"
    "  --now               not any longer\n"
    "  --resume            goes on; without USER with all\n"
    "  --abort             goes back\n"
    "  --list              who is moving, and how far it has come\n"
    "  -C FILE             imapd.conf\n"
    "  -v                  a line for each action (-v -v: the protocol too)\n"
    "  --help, --version\n";

struct options {
    const char *altconfig, *target, *channel, *partition, *command;
    int64_t grace;
    enum { BEGIN, RESUME, ABORT, LIST } what;
    struct move_options move;
    int jobs;
};

/* What is done with each user: the first thing with all of them, then the next, so that a group is moved before anybody's rest goes. */
enum phase { GO, FINISH, FINISH_SWITCHED, NPHASES };

/* A user, and what has become of him. */
struct task {
    const char *userid;
    enum phase phase; /* next; NPHASES: none */
    int status;
};

static void usage(const char *complaint) __attribute__((noreturn));
static void usage(const char *complaint)
{
    if (complaint) fprintf(stderr, "%s\n", complaint);
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

/* ---- one user ---- */

static const struct {
    int r, status;
    const char *text;
} ends[] = {
    { IMAP_NOTFOUND, EX_NOUSER, "no such user" },
    { IMAP_MAILBOX_NONEXISTENT, EX_NOUSER, "no such user" },
    { IMAP_MAILBOX_NOTSUPPORTED, EX_DATAERR, "not in the state that this user is in" },
    { IMAP_MAILBOX_LOCKED, EX_TEMPFAIL, "another move_user is at it" },
    { IMAP_MAILBOX_BADFORMAT, EX_DATAERR, "the file of his move can't be read" },
    { IMAP_IOERROR, EX_IOERR, "the store can't be read" },
    { IMAP_MAILBOX_EXISTS, EX_CANTCREAT, NULL },  /* the steps have told */
    { IMAP_BAD_SERVER, EX_UNAVAILABLE, NULL },
    { IMAP_SERVER_UNAVAILABLE, EX_UNAVAILABLE, NULL },
};

static int status_of(const char *userid, int r)
{
    for (size_t i = 0; i < array_size(ends); i++) {
        if (ends[i].r != r) continue;
        if (ends[i].text) fprintf(stderr, "move_user: %s: %s\n", userid, ends[i].text);
        return ends[i].status;
    }
    fprintf(stderr, "move_user: %s: %s\n", userid, error_message(r));
    return EX_UNAVAILABLE;
}

static int status_of_end(enum move_end end)
{
    return end == MOVE_DONE ? EX_OK : end == MOVE_UNDONE ? EXIT_UNDONE : EX_TEMPFAIL;
}

/* One move_user a user. */
static int lock(const char *userid, struct namelock **lockp)
{
    char *name = xasprintf("*S*!move*%s", userid); /* before the locks of sync clients in their order */
    int r = namelock_acquire(name, NAMELOCK_EXCLUSIVE, NAMELOCK_NONBLOCK, lockp);

    free(name);
    return r;
}

static int plan(const struct options *o, const char *userid, struct move_state *state, struct mover *mover)
{
    struct user_record *rec = NULL;
    char *inbox = mboxname_user_mbox(userid, NULL);
    int r = inbox ? mboxlist_lookup(inbox, NULL, NULL) : IMAP_NOTFOUND;

    if (!r) r = user_record_lookup(userid, NULL, &rec);
    /* the file of his move is lost: whether he was switched nobody knows, so it is done again */
    bool again = !r && rec->state == USER_MOVING_OUT && !strcmpnull(rec->server, o->target);
    if (!r && !again && rec->state != USER_ACTIVE && rec->state != USER_DISABLED) r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r) {
        state->userid = xstrdup(userid);
        state->id = xstrdup(rec->id);
        state->target = xstrdup(o->target);
        state->channel = xstrdupnull(o->channel);
        state->partition = xstrdupnull(o->partition);
        state->command = xstrdupnull(o->command);
        state->before = !again ? rec->state : rec->reason ? USER_DISABLED : USER_ACTIVE;
        state->there = state->before;
        state->step = again ? MOVE_SWITCHING : MOVE_COPYING;
        state->grace = o->grace;
        if (!again) r = move_check_target(state, mover);
    }
    if (!r) r = move_state_write(state);
    user_record_free(&rec);
    free(inbox);
    return r;
}

static int begin(const struct options *o, const char *userid, struct mover *mover, struct move_state **statep)
{
    int r = move_state_read(userid, statep);

    if (!r) {
        fprintf(stderr, "move_user: %s: a move to %s has begun (%s): --resume goes on, --abort goes back\n", userid, (*statep)->target,
                move_step_name((*statep)->step));
        return EX_TEMPFAIL;
    }
    if (r == IMAP_NOTFOUND) {
        *statep = xzmalloc(sizeof(**statep));
        r = plan(o, userid, *statep, mover);
    }
    return r ? status_of(userid, r) : EX_OK;
}

static int find_move(const char *userid, struct move_state **statep)
{
    int r = move_state_read(userid, statep);

    if (r == IMAP_NOTFOUND) {
        fprintf(stderr, "move_user: %s: no move has begun\n", userid);
        return EX_DATAERR;
    }
    return r ? status_of(userid, r) : EX_OK;
}

/* *next: what is to be done with him after this. */
static int go(const struct options *o, const char *userid, struct mover *mover, enum phase *next)
{
    struct move_state *state = NULL;
    int status = o->what == BEGIN ? begin(o, userid, mover, &state) : find_move(userid, &state);

    if (status == EX_OK && o->what == ABORT) {
        status = status_of_end(move_abort(state, mover));
    }
    else if (status == EX_OK) {
        *next = state->step == MOVE_SWITCHED ? FINISH : FINISH_SWITCHED;
        status = state->step == MOVE_SWITCHED ? EX_OK : status_of_end(move_go_on(state, mover));
    }
    if (status != EX_OK) *next = NPHASES;
    move_state_free(&state);
    return status;
}

static int finish(const char *userid, struct mover *mover, bool just_switched)
{
    struct move_state *state = NULL;
    int status = find_move(userid, &state);

    if (status == EX_OK) status = status_of_end(move_finish(state, mover, just_switched));
    move_state_free(&state);
    return status;
}

static int do_phase(const struct options *o, const char *userid, struct mover *mover, enum phase phase, enum phase *next)
{
    struct namelock *held = NULL;
    int r = lock(userid, &held);

    *next = NPHASES;
    int status = r ? status_of(userid, r) : phase == GO ? go(o, userid, mover, next) : finish(userid, mover, phase == FINISH_SWITCHED);
    namelock_release(&held);
    return status;
}

static int list(const char *userid)
{
    struct move_state *state = NULL;
    int r = move_state_read(userid, &state);

    if (!r) printf("%s\t%s\t%s\n", userid, move_step_name(state->step), state->target);
    move_state_free(&state);
    return r && r != IMAP_NOTFOUND ? status_of(userid, r) : EX_OK;
}

/* ---- all of them ---- */

struct run {
    const struct options *o;
    struct mover mover;
    struct task *tasks;
    int n, at;
    bool finishing; /* the second round */
};

static struct task *next_task(struct run *run)
{
    while (run->at < run->n) {
        struct task *task = &run->tasks[run->at++];
        if (task->phase != NPHASES && (task->phase != GO) == run->finishing) return task;
    }
    return NULL;
}

static void task_done(struct task *task, int status, enum phase next)
{
    task->status = status;
    task->phase = next;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static void one_after_the_other(struct run *run)
{
    struct task *task;
    enum phase next;

    while (!signals_shutdown() && (task = next_task(run))) {
        int status = do_phase(run->o, task->userid, &run->mover, task->phase, &next);
        task_done(task, status, next);
    }
}

static int pool_work(struct sync_client *sc, const strarray_t *job, strarray_t *answer, void *rock)
{
    struct run *run = rock;
    enum phase next;

    (void)sc; /* the mover's */
    int status = do_phase(run->o, strarray_nth(job, 0), &run->mover, (enum phase)number(strarray_nth(job, 1)), &next);
    strarray_appendm(answer, xasprintf("%d", status));
    strarray_appendm(answer, xasprintf("%d", (int)next));
    return 0;
}

static void *pool_next(strarray_t *words, int busy, void *rock)
{
    struct task *task = next_task(rock);

    (void)busy;
    if (!task) return NULL;
    strarray_append(words, task->userid);
    strarray_appendm(words, xasprintf("%d", (int)task->phase));
    return task;
}

static void pool_ended(void *job, const struct sync_pool_end *end, void *rock)
{
    struct task *task = job;

    (void)rock;
    if (end->outcome != SYNC_POOL_DONE || strarray_size(end->answer) != 2) {
        fprintf(stderr, "move_user: %s: %s: --resume goes on, if it had begun\n", task->userid, end->text);
        task_done(task, EX_TEMPFAIL, NPHASES);
        return;
    }
    task_done(task, number(strarray_nth(end->answer, 0)), (enum phase)number(strarray_nth(end->answer, 1)));
}

static bool pool_must_end(void *rock)
{
    (void)rock;
    return signals_shutdown();
}

static void several_at_once(struct run *run)
{
    static const struct sync_pool_ops ops = { pool_work, NULL, pool_next, pool_ended, pool_must_end };
    struct sync_pool *pool = sync_pool_new(&run->mover.sc, run->o->jobs, &ops, run);

    sync_pool_run(pool);
    sync_pool_free(&pool);
}

static int worst(const struct run *run)
{
    int status = EX_OK;

    for (int i = 0; i < run->n; i++) {
        int one = run->tasks[i].phase == NPHASES ? run->tasks[i].status : EX_TEMPFAIL; /* we were to end before */
        if (status == EX_OK || one == EX_TEMPFAIL) status = one;
    }
    return status;
}

static int do_users(const struct options *o, const strarray_t *userids)
{
    struct run run = { .o = o, .n = strarray_size(userids) };

    mover_init(&run.mover, &o->move);
    run.tasks = xcalloc((size_t)run.n + 1, sizeof(*run.tasks));
    for (int i = 0; i < run.n; i++) run.tasks[i].userid = strarray_nth(userids, i);
    for (int round = 0; round < 2; round++) {
        run.finishing = round != 0;
        run.at = 0;
        if (o->jobs > 1)
            several_at_once(&run);
        else
            one_after_the_other(&run);
    }
    int status = worst(&run);
    mover_fini(&run.mover);
    free(run.tasks);
    return status;
}

static int list_users(const strarray_t *userids)
{
    int status = EX_OK;

    for (int i = 0; i < strarray_size(userids); i++) {
        int one = list(strarray_nth(userids, i));
        if (status == EX_OK) status = one;
    }
    return status;
}

/* ---- arguments ---- */

enum { OPT_SWITCH = 256, OPT_TIMEOUT, OPT_GRACE, OPT_NOW, OPT_RESUME, OPT_ABORT, OPT_LIST };

static void set_what(struct options *o, int what)
{
    if (o->what != BEGIN) usage("Only one of --resume, --abort and --list.");
    o->what = what;
}

static void parse_option(int c, struct options *o)
{
    uint32_t n;

    switch (c) {
    case 'C': o->altconfig = optarg; break;
    case 'v': o->move.verbose++; break;
    case 'S': o->target = optarg; break;
    case 'n': o->channel = optarg; break;
    case 'p': o->partition = optarg; break;
    case 'j':
        if (parse_u32_cstr(optarg, &n) || !n || n > MAX_JOBS) usage("No number of users.");
        o->jobs = (int)n;
        break;
    case OPT_SWITCH: o->command = optarg; break;
    case OPT_TIMEOUT:
        if (parse_u32_cstr(optarg, &o->move.timeout) || !o->move.timeout) usage("No number of seconds.");
        break;
    case OPT_GRACE:
        if (config_parseduration(optarg, 'd', &o->grace) || o->grace < 0) usage("No length of time.");
        break;
    case OPT_NOW: o->move.now = true; break;
    case OPT_RESUME: set_what(o, RESUME); break;
    case OPT_ABORT: set_what(o, ABORT); break;
    case OPT_LIST: set_what(o, LIST); break;
    default: usage(NULL);
    }
}

static void check(const struct options *o, int nusers)
{
    bool place = o->channel || o->partition || o->command;

    if (o->what == BEGIN && (!o->target || !nusers)) usage("A move needs -S SERVER, and users.");
    if (o->what != BEGIN && (o->target || place)) usage("Where to was said when it began.");
    if (o->what == ABORT && !nusers) usage("Who?");
    if (o->what == LIST && nusers) usage("--list has no arguments.");
    if (o->command && (*o->command != '/' || access(o->command, X_OK))) usage("--switch wants the path of a program.");
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "switch", required_argument, NULL, OPT_SWITCH },
        { "switch-timeout", required_argument, NULL, OPT_TIMEOUT },
        { "grace", required_argument, NULL, OPT_GRACE },
        { "now", no_argument, NULL, OPT_NOW },
        { "resume", no_argument, NULL, OPT_RESUME },
        { "abort", no_argument, NULL, OPT_ABORT },
        { "list", no_argument, NULL, OPT_LIST },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "C:vS:n:p:j:", longs, NULL)) != -1) parse_option(c, o);
    check(o, argc - optind);
}

int main(int argc, char **argv)
{
    struct options o = { .what = BEGIN, .move = { .timeout = TIMEOUT }, .jobs = 1 };
    strarray_t userids = STRARRAY_INITIALIZER;
    int r = config_parseduration(GRACE, 'd', &o.grace);

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "move_user", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    for (int i = optind; i < argc; i++) strarray_append(&userids, argv[i]);
    if (!r && !strarray_size(&userids)) r = move_state_list(&userids);
    int status = r ? EX_IOERR : o.what == LIST ? list_users(&userids) : do_users(&o, &userids);
    strarray_fini(&userids);
    saslclient_done();
    txn_shutdown();
    cyrus_done();
    return status;
}
