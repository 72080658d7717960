/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move_user -- users move to another server: copied, compared, switched, and after a while removed here (move_user(8))
 *
 *     move_user -S SERVER [--switch FILE] [--grace TIME] USER...
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
#include "txn.h"
#include "user_record.h"
#include "util.h"
#include "xmalloc.h"

#define GRACE "7d"
#define TIMEOUT 60
#define EXIT_UNDONE 1

static const char usage_text[] =
    "Usage: move_user [-C FILE] [-v] -S SERVER [OPTIONS] USER...\n"
    "       move_user [-C FILE] [-v] [--now] --resume [USER...]\n"
    "       move_user [-C FILE] [-v] --abort USER...\n"
    "       move_user [-C FILE] --list\n"
    "  -S SERVER           where to, as sync_client -S\n"
    "  -n CHANNEL          whose sync_* options are taken\n"
    "  -p PARTITION        there\n"
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

static int plan(const struct options *o, const char *userid, struct move_state *state)
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
        state->step = again ? MOVE_SWITCHING : MOVE_COPYING;
        state->grace = o->grace;
        if (!again) r = move_check_target(state, &o->move);
    }
    if (!r) r = move_state_write(state);
    user_record_free(&rec);
    free(inbox);
    return r;
}

static int begin(const struct options *o, const char *userid)
{
    struct move_state *state = NULL;
    int r = move_state_read(userid, &state), status;

    if (!r) {
        fprintf(stderr, "move_user: %s: a move to %s has begun (%s): --resume goes on, --abort goes back\n", userid, state->target,
                move_step_name(state->step));
        move_state_free(&state);
        return EX_TEMPFAIL;
    }
    if (r == IMAP_NOTFOUND) {
        state = xzmalloc(sizeof(*state));
        r = plan(o, userid, state);
    }
    status = r ? status_of(userid, r) : status_of_end(move_go_on(state, &o->move));
    move_state_free(&state);
    return status;
}

static int go_on(const struct options *o, const char *userid)
{
    struct move_state *state = NULL;
    int r = move_state_read(userid, &state), status;

    if (r == IMAP_NOTFOUND) {
        fprintf(stderr, "move_user: %s: no move has begun\n", userid);
        return EX_DATAERR;
    }
    if (r)
        status = status_of(userid, r);
    else
        status = status_of_end(o->what == ABORT ? move_abort(state, &o->move) : move_go_on(state, &o->move));
    move_state_free(&state);
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

static int do_user(const struct options *o, const char *userid)
{
    struct namelock *held = NULL;

    if (o->what == LIST) return list(userid);
    int r = lock(userid, &held);
    int status = r ? status_of(userid, r) : o->what == BEGIN ? begin(o, userid) : go_on(o, userid);
    namelock_release(&held);
    return status;
}

static int do_users(const struct options *o, const strarray_t *userids)
{
    int status = EX_OK;

    for (int i = 0; i < strarray_size(userids); i++) {
        int one = do_user(o, strarray_nth(userids, i));
        if (status == EX_OK || one == EX_TEMPFAIL) status = one;
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
    switch (c) {
    case 'C': o->altconfig = optarg; break;
    case 'v': o->move.verbose++; break;
    case 'S': o->target = optarg; break;
    case 'n': o->channel = optarg; break;
    case 'p': o->partition = optarg; break;
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

    while ((c = getopt_long(argc, argv, "C:vS:n:p:", longs, NULL)) != -1) parse_option(c, o);
    check(o, argc - optind);
}

int main(int argc, char **argv)
{
    struct options o = { .what = BEGIN, .move = { .timeout = TIMEOUT } };
    strarray_t userids = STRARRAY_INITIALIZER;
    int r = config_parseduration(GRACE, 'd', &o.grace);

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "move_user", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    for (int i = optind; i < argc; i++) strarray_append(&userids, argv[i]);
    if (!r && !strarray_size(&userids)) r = move_state_list(&userids);
    int status = r ? EX_IOERR : do_users(&o, &userids);
    strarray_fini(&userids);
    saslclient_done();
    txn_shutdown();
    cyrus_done();
    return status;
}
