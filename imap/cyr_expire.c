/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_expire -- clean up what is old: expunged messages, deleted mailboxes, duplicate marks, message-ids
 *
 * cyr_expire(8); handbook 05 §3.9. Each job stands alone in expire.h. Exit codes: 0; 1 deliver.db
 * can't be read; 64 usage; 75 a mailbox could not be cleaned up (logged) or the end was asked for.
 */
#include <config.h>

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <syslog.h>
#include <time.h>

#include "duplicate.h"
#include "exitcodes.h"
#include "expire.h"
#include "global.h"
#include "libconfig.h"
#include "server_role.h"
#include "signals.h"
#include "txn.h"
#include "user_ops.h"
#include "xsyslog.h"

#define TOMBSTONE_LIFE (7 * 86400) /* seconds */

static const char usage_text[] =
    "usage: cyr_expire [-C <altconfig>] [-A <archive-duration>] [-D <delete-duration>]\n"
    "                  [-E <expire-duration>] [-X <expunge-duration>] [-a] [-c] [-t] [-x] [-v] [-p "
    "<prefix> | -u <userid>]\n"
    "                  [--policy-on-replica]\n"
    "  -A d  move messages that arrived more than d ago to the archive partition\n"
    "  -D d  remove mailboxes deleted more than d ago\n"
    "  -E d  forget deliveries more than d ago (duplicate suppression)\n"
    "  -X d  remove messages expunged more than d ago\n"
    "  -a    do not look at annotations\n"
    "  -c    leave the conversations alone\n"
    "  -t    remove user flags that no message has\n"
    "  -x    leave messages alone\n"
    "  -v    say what is done\n"
    "  -p m  only this mailbox (internal name) and those below\n"
    "  -u u  only this user's\n"
    "  --policy-on-replica  let messages expire by annotations also where this server is the replica of a pair\n"
    "Durations: a number, which may have a fraction, and one of d h m s (days if missing).\n";

struct options {
    const char *altconfig;
    struct expire_scope scope;
    double archive_after, delete_after, expire_after,
        expunge_after; /* seconds, negative: not asked for */
    bool no_annotations, no_conversations, no_expunge, user_flags, policy_on_replica;
};

static void usage(const char *complaint)
{
    if (complaint) fprintf(stderr, "%s\n", complaint);
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

static void take_duration(const char *text, double *seconds)
{
    if (!expire_parse_duration(text, seconds)) usage("Not a duration.");
}

static bool should_stop(void *rock)
{
    (void)rock;
    return signals_shutdown();
}

static void parse(int argc, char **argv, struct options *o)
{
    enum { POLICY_ON_REPLICA = 256 };
    static const struct option longs[] = { { "policy-on-replica", no_argument, NULL, POLICY_ON_REPLICA }, { 0 } };
    int opt;

    while ((opt = getopt_long(argc, argv, "C:A:D:E:X:actxvp:u:h", longs, NULL)) != EOF) {
        switch (opt) {
        case 'C': o->altconfig = optarg; break;
        case 'A': take_duration(optarg, &o->archive_after); break;
        case 'D': take_duration(optarg, &o->delete_after); break;
        case 'E': take_duration(optarg, &o->expire_after); break;
        case 'X': take_duration(optarg, &o->expunge_after); break;
        case 'a': o->no_annotations = true; break;
        case 'c': o->no_conversations = true; break;
        case 't': o->user_flags = true; break;
        case 'x': o->no_expunge = true; break;
        case 'v': o->scope.verbose = true; break;
        case 'p': o->scope.prefix = optarg; break;
        case 'u': o->scope.userid = optarg; break;
        case POLICY_ON_REPLICA: o->policy_on_replica = true; break;
        default: usage(NULL);
        }
    }
    if (optind < argc) usage("Unexpected argument.");
    if (o->scope.prefix && o->scope.userid) usage("Only one of -p and -u.");
    if (o->archive_after < 0 && o->delete_after < 0 && o->expire_after < 0 &&
        o->expunge_after < 0 && !o->user_flags)
        usage("Missing arguments.");
    o->scope.stop = should_stop;
}

/* Into the log, and with -v to stderr, each line followed by an empty one. */
static void tell(const struct options *o, bool log, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void tell(const struct options *o, bool log, const char *fmt, ...)
{
    char line[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (log) syslog(LOG_NOTICE, "%s", line);
    if (o->scope.verbose) fprintf(stderr, "%s\n\n", line);
}

static int run_archive(const struct options *o, time_t now)
{
    struct expire_counts n = { 0 };

    if (o->archive_after < 0) return 0;
    int r = expire_archive(&o->scope, !o->no_annotations, now - (time_t)o->archive_after, &n);
    if (n.expired)
        syslog(LOG_NOTICE, "Archived %zu messages in %zu mailboxes", n.expired, n.mailboxes);
    return r;
}

/* As long as a replica may need to hear of it: that of deleted mailboxes, a week at least. */
static time_t unsubscribed_life(const struct options *o)
{
    return o->delete_after > TOMBSTONE_LIFE ? (time_t)o->delete_after : TOMBSTONE_LIFE;
}

static enum expire_policy policy(const struct options *o)
{
    if (o->no_annotations) return EXPIRE_POLICY_NONE;
    return o->policy_on_replica ? EXPIRE_POLICY_ANYWHERE : EXPIRE_POLICY_PRIMARY;
}

static int run_messages(const struct options *o, time_t now)
{
    struct expire_counts n = { 0 };
    time_t before = o->expunge_after >= 0 ? now - (time_t)o->expunge_after : 0;

    if (o->expunge_after == 0) before = UINT32_MAX; /* also what expires during the run, which may be seconds after now */
    if (o->no_expunge) return 0;
    if (o->expunge_after >= 0)
        tell(o, false, "Expunging deleted messages in mailboxes older than %.2f days",
             o->expunge_after / 86400);
    int r = expire_messages(&o->scope, policy(o), before, &n);
    if (o->scope.verbose) fputc('\n', stderr);
    tell(o, true, "Expired %zu and expunged %zu out of %zu messages from %zu mailboxes", n.expired,
         n.expunged, n.messages, n.mailboxes);
    bool is_replica = server_role_is(SERVER_ROLE_REPLICA);
    if (n.left)
        tell(o, true, "%s: messages of %zu mailboxes expire %s; with --policy-on-replica here, too",
             is_replica ? "This server is a replica" : "Some users are at home elsewhere", n.left,
             is_replica ? "on the primary" : "there");
    if (n.kept) tell(o, true, "Kept %zu expunged messages that a replica has not acknowledged", n.kept);
    n.kept = 0;
    int r2 = expire_tombstones(&o->scope, now - TOMBSTONE_LIFE, &n);
    if (n.kept) tell(o, true, "Kept %zu tombstones that a replica has not acknowledged", n.kept);
    int r3 = expire_subscriptions(&o->scope, now - unsubscribed_life(o), &n);
    size_t users = 0;
    int r4 = o->scope.prefix ? 0 : user_expire(now - unsubscribed_life(o), o->scope.userid, &users);
    return r ? r : r2 ? r2 : r3 ? r3 : r4;
}

static int run_user_flags(const struct options *o, time_t now)
{
    struct expire_counts n = { 0 };

    (void)now;
    if (!o->user_flags) return 0;
    int r = expire_user_flags(&o->scope, &n);
    tell(o, true, "Expunged %zu user flags", n.expired);
    return r;
}

static int run_conversations(const struct options *o, time_t now)
{
    struct expire_counts n = { 0 };
    int after = config_getduration(IMAPOPT_CONVERSATIONS_EXPIRE_AFTER);

    if (o->no_conversations || !config_getswitch(IMAPOPT_CONVERSATIONS) || after < 0) return 0;
    tell(o, false, "Removing conversation entries older than %.2f days", after / 86400.0);
    int r = expire_conversations(&o->scope, now - after, &n);
    tell(o, true, "Expired %zu entries of %zu entries seen in %zu conversation databases",
         n.expired, n.messages, n.mailboxes);
    return r;
}

static int run_deleted(const struct options *o, time_t now)
{
    struct expire_counts n = { 0 };

    if (o->delete_after < 0) return 0;
    tell(o, false, "Removing deleted mailboxes older than %.2f days", o->delete_after / 86400);
    int r = expire_deleted(&o->scope, !o->no_annotations, now - (time_t)o->delete_after, &n);
    tell(o, true, "Removed %zu deleted mailboxes", n.mailboxes);
    if (n.kept) tell(o, true, "Kept %zu deleted mailboxes that a replica has not acknowledged", n.kept);
    return r;
}

static int run_duplicates(const struct options *o, time_t now)
{
    size_t purged = 0;

    if (o->expire_after < 0) return 0;
    syslog(LOG_NOTICE, "duplicate_prune: pruning back %.2f days", o->expire_after / 86400);
    int r = duplicate_prune(now - (time_t)o->expire_after, &purged);
    syslog(LOG_NOTICE, "duplicate_prune: purged %zu entries", purged);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = {
        .archive_after = -1, .delete_after = -1, .expire_after = -1, .expunge_after = -1
    };
    static int (*const jobs[])(const struct options *, time_t) = { run_archive, run_messages,
                                                                   run_user_flags,
                                                                   run_conversations, run_deleted };
    bool failed = false;

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "cyr_expire", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS,
               CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    time_t now = time(NULL);
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]) && !signals_shutdown(); i++)
        failed |= jobs[i](&o, now) != 0;
    int r = signals_shutdown() ? 0 : run_duplicates(&o, now);
    failed |= signals_shutdown();
    txn_shutdown();
    cyrus_done();
    if (r) return 1;
    return failed ? EX_TEMPFAIL : EX_OK;
}
