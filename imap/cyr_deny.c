/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_deny -- keeps users out of services, and lets them in again
 *
 * cyr_deny(8); handbook 05 §3.10. The denial is durable before the sessions of the user are asked to end (SIGTERM); who
 * has not ended after PATIENCE seconds is ended (SIGKILL). Exit status: 0; 1 it could not be done; 64 usage.
 */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "proc.h"
#include "txn.h"
#include "userdeny.h"
#include "util.h"

#define PATIENCE 15     /* seconds */
#define LOOK_NSEC 50000000L

static const char usage_text[] =
    "Usage: cyr_deny [-C <altconfig>] [ -s services ] [ -m message ] user\n"
    "       cyr_deny [-C <altconfig>] -a user\n"
    "       cyr_deny [-C <altconfig>] -l\n";

struct options {
    const char *altconfig, *services, *message, *user;
    bool allow, list;
};

static void usage(void) __attribute__((noreturn));
static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

static void parse(int argc, char **argv, struct options *o)
{
    int c;

    while ((c = getopt(argc, argv, "C:as:m:l")) != EOF) {
        switch (c) {
        case 'C': o->altconfig = optarg; break;
        case 'a': o->allow = true; break;
        case 's': o->services = optarg; break;
        case 'm': o->message = optarg; break;
        case 'l': o->list = true; break;
        default: usage();
        }
    }
    bool plain = !o->services && !o->message;
    if (argc - optind != (o->list ? 0 : 1) || (o->list && o->allow) || ((o->list || o->allow) && !plain)) usage();
    o->user = argv[optind];
}

/* ---- list ---- */

static int print_one(const char *userid, const char *services, const char *message, void *rock)
{
    bool *any = rock;

    if (!*any) printf("%-30s %-20s %s\n", "Username", "Service(s)", "Message");
    *any = true;
    printf("%-30s %-20s %s\n", userid, services, message);
    return 0;
}

static int list(void)
{
    bool any = false;
    int r = userdeny_foreach(print_one, &any);

    if (r) fprintf(stderr, "cyr_deny: failed to open deny db: %s\n", r == IMAP_NOTFOUND ? "No such file or directory" : error_message(r));
    return r;
}

/* ---- sessions ---- */

struct hunt {
    const char *userid;
    unsigned left;
    bool kill;
};

static int count_session(pid_t pid, const char *service, const char *clienthost, const char *userid, const char *mailbox,
                         const char *cmd, void *rock)
{
    struct hunt *hunt = rock;

    if (pid == getpid() || !userid || strcmp(userid, hunt->userid) != 0) return 0;
    hunt->left++;
    if (hunt->kill) kill(pid, SIGKILL);
    return 0;
}

static unsigned sessions(const char *userid, bool end)
{
    struct hunt hunt = { userid, 0, end };

    (void)proc_foreach(count_session, &hunt);
    return hunt.left;
}

static void end_sessions(const char *userid)
{
    const struct timespec pause = { 0, LOOK_NSEC };
    time_t until = time(NULL) + PATIENCE;

    if (!proc_killuser(userid)) return;
    while (sessions(userid, false) && time(NULL) < until) nanosleep(&pause, NULL);
    (void)sessions(userid, true);
}

/* ---- deny, allow ---- */

static int change(const struct options *o)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = o->allow ? userdeny_allow(txn, o->user) : userdeny_deny(txn, o->user, o->services, o->message);
    if (!r) r = txn_commit(&txn, NULL);
    if (!r) userdeny_changed(NULL);
    txn_abort(&txn);
    if (r)
        fprintf(stderr, "cyr_deny: failed to %s access for %s: %s\n", o->allow ? "allow" : "deny", o->user, error_message(r));
    else if (!o->allow)
        end_sessions(o->user);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = { .altconfig = NULL };

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "cyr_deny", CYRUSINIT_TOOL, 0);
    int r = o.list ? list() : change(&o);
    txn_shutdown();
    cyrus_done();
    return r ? 1 : 0;
}
