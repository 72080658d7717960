/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client -- replicate users, mailboxes or metadata to another server (handbook 03 §13)
 *
 *     sync_client [-v] [-l] [-S host] ... -u user... | -m mailbox... | -s user... | -A [prefix]
 *     sync_client [-v] [-l] [-n channel] ... -r | -R          all that happens, for ever
 *     sync_client [-n channel] --compare [--since time] [--rate n] [--wait n] [user...]
 *     sync_client --status [--json] [-n channel] [[--ask] -u user...]
 *     sync_client --forget -n channel [--force]
 *
 * Each item is tried for itself: one that fails is reported, and the others go on, over a new
 * connection where the old one broke. Exit: 0 all done, 1 something failed or no
 * connection, 64 usage, 75 of --compare: the end was asked for, or another one is at it; of --forget: a client is at it, 74 it
 * failed, 78 imapd.conf still names the channel.
 */
#include <config.h>

#include "sync_client.h"

#include <errno.h>
#include <getopt.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "saslclient.h"
#include "signals.h"
#include "sync_client_channel.h"
#include "sync_client_compare.h"
#include "sync_client_items.h"
#include "sync_client_ping.h"
#include "sync_client_roll.h"
#include "times.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char usage_text[] =
    "Usage: sync_client [-C FILE] [-v] [-l] [-L] [-z] [-o] [-O] [-N] [-S HOST] [-n CHANNEL]\n"
    "                   [-p PARTITION] [-f FILE] [-j N] MODE [NAME...]\n"
    "  -u USER...      replicate these users\n"
    "  -m MAILBOX...   replicate these mailboxes\n"
    "  -s USER...      replicate seen state, subscriptions and scripts of these users\n"
    "  -A [PREFIX]     replicate all users and mailboxes\n"
    "  -r              replicate all that happens, in the background (-f: not)\n"
    "  -R              the same in the foreground\n"
    "  --compare       compare everybody (or these users) with the replica, and change nothing\n"
    "  --status        how far behind the channels are (--json: as JSON)\n"
    "  --status -u USER...  how far behind the replicas of these users are (--ask: ask the replicas)\n"
    "  --forget        give up the channel of -n: its events and files are thrown away (--force: although\n"
    "                  sync_log_channels names it)\n"
    "  --ping          is the replica there, does it let us in, what is it? Changes nothing\n"
    "  -v  a line for each action (-v -v: the protocol too)   -l  log actions\n"
    "  -S  replica (sync_host)       -n  channel              -p  partition on the replica\n"
    "  -f  names from a file (-r, -R: the log to read, once)  -z  insist on compression\n"
    "  -j  users at once, each over a connection of its own (1)\n"
    "  -o  connect once              -1  with -r, -R: what is there now, then end\n"
    "  -d  seconds between runs      -t  seconds of a connection  -F  shutdown file\n"
    "  -w  seconds to wait at first\n"
    "  -O  no copy-back, force       -N  do not wait for locks -L  local mailboxes only\n"
    "  --verify  compare both ends afterwards, and name what differs\n"
    "  with --compare: --since TIME  leave out who was equal in this time (7d)\n"
    "  --rate N  compare no more messages a second     --wait N  seconds in which a difference may go away (0)\n";

enum mode { MODE_NONE, MODE_USER, MODE_MAILBOX, MODE_META, MODE_ALL, MODE_ROLL, MODE_STATUS, MODE_COMPARE, MODE_FORGET, MODE_PING };

struct run {
    struct sync_client sc;
    enum mode mode;
    const char *namefile;
    strarray_t names;
    struct sync_items items;
    bool verify;
    int jobs;
    struct sync_compare compare;
    struct sync_roll roll;
    bool background, json, force;
    bool ask, of_users; /* --status */
    bool other;         /* -S */
};

static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

/* ---- options ---- */

static void set_mode(struct run *run, enum mode mode)
{
    if (run->mode != MODE_NONE) {
        fputs("Mutually exclusive options defined\n", stderr);
        usage();
    }
    run->mode = mode;
}

/* -u and --status, in any order: the state of users. */
static void user_mode(struct run *run)
{
    run->of_users = true;
    if (run->mode != MODE_STATUS) set_mode(run, MODE_USER);
}

static void status_mode(struct run *run)
{
    if (run->mode == MODE_USER) run->mode = MODE_NONE;
    set_mode(run, MODE_STATUS);
}

#define MAX_JOBS 256

#define OPT_VERIFY 256
#define OPT_STATUS 257
#define OPT_JSON 258
#define OPT_COMPARE 259
#define OPT_SINCE 260
#define OPT_RATE 261
#define OPT_WAIT 262
#define OPT_FORGET 263
#define OPT_FORCE 264
#define OPT_ASK 265
#define OPT_PING 266

static const struct option longopts[] = {
    { "user", no_argument, NULL, 'u' },
    { "mailbox", no_argument, NULL, 'm' },
    { "meta", no_argument, NULL, 's' },
    { "all", no_argument, NULL, 'A' },
    { "file", required_argument, NULL, 'f' },
    { "server", required_argument, NULL, 'S' },
    { "channel", required_argument, NULL, 'n' },
    { "partition", required_argument, NULL, 'p' },
    { "verbose", no_argument, NULL, 'v' },
    { "log", no_argument, NULL, 'l' },
    { "local-only", no_argument, NULL, 'L' },
    { "no-wait", no_argument, NULL, 'N' },
    { "no-copyback", no_argument, NULL, 'O' },
    { "connect-once", no_argument, NULL, 'o' },
    { "jobs", required_argument, NULL, 'j' },
    { "require-compression", no_argument, NULL, 'z' },
    { "verify", no_argument, NULL, OPT_VERIFY },
    { "rolling", no_argument, NULL, 'r' },
    { "foreground-rolling", no_argument, NULL, 'R' },
    { "once", no_argument, NULL, '1' },
    { "delay", required_argument, NULL, 'd' },
    { "timeout", required_argument, NULL, 't' },
    { "shutdown-file", required_argument, NULL, 'F' },
    { "status", no_argument, NULL, OPT_STATUS },
    { "json", no_argument, NULL, OPT_JSON },
    { "ask", no_argument, NULL, OPT_ASK },
    { "compare", no_argument, NULL, OPT_COMPARE },
    { "since", required_argument, NULL, OPT_SINCE },
    { "rate", required_argument, NULL, OPT_RATE },
    { "wait", required_argument, NULL, OPT_WAIT },
    { "forget", no_argument, NULL, OPT_FORGET },
    { "force", no_argument, NULL, OPT_FORCE },
    { "ping", no_argument, NULL, OPT_PING },
    { NULL, 0, NULL, 0 },
};

static int number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end || n < 0 || n > INT_MAX) usage();
    return (int)n;
}

static int jobs(const char *text)
{
    int n = number(text);

    if (n < 1 || n > MAX_JOBS) usage();
    return n;
}

static void parse_options(struct run *run, int argc, char **argv, const char **alt_config,
                          unsigned *debug_sleep)
{
    struct sync_client *sc = &run->sc;
    int opt;

    while ((opt = getopt_long(argc, argv, "1AC:F:LNORS:d:f:j:lmn:op:rst:uvw:z", longopts, NULL)) !=
           EOF) {
        switch (opt) {
        case 'C': *alt_config = optarg; break;
        case 'A': set_mode(run, MODE_ALL); break;
        case 'm': set_mode(run, MODE_MAILBOX); break;
        case 's': set_mode(run, MODE_META); break;
        case 'u': user_mode(run); break;
        case 'L': sc->localonly = true; break;
        case 'N': sc->nowait = true; break;
        case 'O': sc->nocopyback = true; break;
        case 'S':
            sc->servername = optarg;
            run->other = true;
            break;
        case 'f': run->namefile = optarg; break;
        case 'j': run->jobs = jobs(optarg); break;
        case 'l': sc->log = true; break;
        case 'n': sc->channel = optarg; break;
        case 'o': sc->connect_once = true; break;
        case 'p': sc->partition = optarg; break;
        case 'v': sc->verbose++; break;
        case 'w': *debug_sleep = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'z': sc->needcompress = true; break;
        case OPT_VERIFY: run->verify = true; break;
        case 'r': run->background = true; /* fallthrough */
        case 'R': set_mode(run, MODE_ROLL); break;
        case '1': run->roll.once = true; break;
        case 'F': run->roll.shutdown_file = optarg; break;
        case 'd': run->roll.interval = number(optarg); break;
        case 't': run->roll.lifetime = number(optarg); break;
        case OPT_STATUS: status_mode(run); break;
        case OPT_ASK: run->ask = true; break;
        case OPT_JSON: run->json = true; break;
        case OPT_COMPARE: set_mode(run, MODE_COMPARE); break;
        case OPT_SINCE:
            if (config_parseduration(optarg, 'd', &run->compare.since) || run->compare.since <= 0) usage();
            break;
        case OPT_RATE: run->compare.rate = (uint64_t)number(optarg); break;
        case OPT_WAIT: run->compare.wait = number(optarg); break;
        case OPT_FORGET: set_mode(run, MODE_FORGET); break;
        case OPT_FORCE: run->force = true; break;
        case OPT_PING: set_mode(run, MODE_PING); break;
        default: usage();
        }
    }
    for (int i = optind; i < argc; i++) strarray_append(&run->names, argv[i]);
    const struct sync_compare *cmp = &run->compare;
    if ((cmp->since || cmp->rate || cmp->wait) && run->mode != MODE_COMPARE) usage();
    if (run->mode == MODE_COMPARE && (run->verify || run->jobs > 1)) usage();
    bool no_users = !strarray_size(&run->names) && !run->namefile;
    if (run->mode == MODE_STATUS ? run->of_users == no_users || (run->ask && no_users) : run->ask) usage();
    if (run->mode == MODE_PING && strarray_size(&run->names)) usage();
    if (run->mode == MODE_FORGET ? !sc->channel || strarray_size(&run->names) : run->force) usage();
}

/* One name a line, # begins a comment. */
static void read_names(struct run *run)
{
    char line[4096];
    FILE *f = strcmp(run->namefile, "-") ? fopen(run->namefile, "r") : stdin;

    if (!f) {
        fprintf(stderr, "%s: %s\n", run->namefile, strerror(errno));
        exit(EX_NOINPUT);
    }
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (*line && *line != '#') strarray_append(&run->names, line);
    }
    if (f != stdin) fclose(f);
}

static void summary(const struct run *run, uint64_t ms)
{
    const struct sync_client *sc = &run->sc;

    if (!sc->verbose) return;
    if (run->mode == MODE_COMPARE) {
        printf("%" PRIu64 " users and shared mailboxes, %" PRIu64 " differ%s\n", run->compare.pass.things,
               run->compare.pass.findings, run->items.failed ? ", with errors" : "");
        return;
    }
    printf("%" PRIu64 " mailboxes updated, %" PRIu64 " messages uploaded (%" PRIu64
           " octets) in %" PRIu64 ".%" PRIu64 " seconds%s",
           sc->mailboxes, sc->messages, sc->octets, ms / 1000, ms % 1000 / 100,
           run->items.failed ? ", with errors" : "");
    if (run->verify) printf(", %" PRIu64 " differences left", sc->differences);
    putchar('\n');
}

static int run_mode(struct run *run)
{
    switch (run->mode) {
    case MODE_USER: return sync_items_users(&run->items, &run->names, false);
    case MODE_META: return sync_items_users(&run->items, &run->names, true);
    case MODE_MAILBOX: return sync_items_mailboxes(&run->items, &run->names);
    case MODE_ALL: return sync_items_all(&run->items, strarray_size(&run->names) ? strarray_nth(&run->names, 0) : "");
    case MODE_COMPARE:
        return strarray_size(&run->names) ? sync_items_users(&run->items, &run->names, false) : sync_items_all(&run->items, "");
    default: break;
    }
    return 0;
}

static void run_work(struct run *run, bool verify)
{
    run->items.work = verify ? SYNC_ITEMS_VERIFY : run->mode == MODE_COMPARE ? SYNC_ITEMS_COMPARE : SYNC_ITEMS_REPLICATE;
    int r = run_mode(run);

    if (!r) return;
    fprintf(stderr, "sync_client: %s\n", error_message(r));
    run->items.failed = true;
}

/* ---- rolling ---- */

/* What is said goes to the log. As in 3.6.1 we stay in the process group, by which master ends what it started. */
static void go_to_background(void)
{
    pid_t pid = fork();

    if (pid < 0) fatal("fork failed", EX_OSERR);
    if (pid > 0) _exit(EX_OK);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd <= 2; fd++) (void)dup2(null, fd);
    if (null > 2) close(null);
}

/* What goes to another server, or not as it is here, says nothing of the channel's replica. Who rolls makes it that by -S. */
static bool is_replica_of_channel(const struct run *run, bool rolls)
{
    const struct sync_client *sc = &run->sc;

    return (rolls || !run->other) && !sc->localonly && !sc->nocopyback;
}

static int run_roll(struct run *run)
{
    struct sync_client *sc = &run->sc;

    run->roll.sc = sc;
    sc->acks = is_replica_of_channel(run, true);
    run->roll.jobs = run->jobs;
    run->roll.file = run->namefile;
    if (run->background && !run->namefile && !cyrus_isdaemon()) go_to_background();
    return sync_client_roll(&run->roll);
}

static int run_items(struct run *run)
{
    unsigned long long began = monotonic_ms();

    run->items.sc = &run->sc;
    run->items.jobs = run->jobs;
    run->sc.acks = is_replica_of_channel(run, false);
    run->sc.complain = true;
    run_work(run, false);
    if (run->verify && !signals_shutdown()) run_work(run, true);
    summary(run, monotonic_ms() - began);
    return run->items.failed || run->sc.differences ? 1 : EX_OK;
}

/* Lowest in the order of what wants the processor. */
static int run_compare(struct run *run)
{
    struct sync_client *sc = &run->sc;

    setpriority(PRIO_PROCESS, 0, 19);
    int r = sync_compare_begin(sc, &run->compare);
    if (r) {
        fprintf(stderr, "sync_client: %s\n",
                r == IMAP_MAILBOX_LOCKED ? "another one compares this channel" : error_message(r));
        return EX_TEMPFAIL;
    }
    int code = run_items(run);
    bool whole = !run->items.failed && !signals_shutdown() && !strarray_size(&run->names);
    if (sync_compare_end(sc, whole)) code = 1;
    return code == EX_OK && signals_shutdown() ? EX_TEMPFAIL : code;
}

static void need_server(struct run *run)
{
    if (!sync_client_find_server(&run->sc)) fatal("sync_host not defined", EX_SOFTWARE);
    if (saslclient_init()) fatal("could not init sasl", EX_SOFTWARE);
}

static int run_status(struct run *run)
{
    struct sync_status what = { .channel = run->sc.channel, .server = run->sc.servername, .users = STRARRAY_INITIALIZER,
                                .ask = run->ask, .json = run->json };

    if (run->ask && saslclient_init()) fatal("could not init sasl", EX_SOFTWARE);
    strarray_cat(&what.users, &run->names);
    int code = sync_status_print(&what);
    strarray_fini(&what.users);
    if (run->ask) saslclient_done();
    return code;
}

int main(int argc, char **argv)
{
    struct run run = { .names = STRARRAY_INITIALIZER, .jobs = 1, .roll = { .interval = -1, .lifetime = 600 } };
    const char *alt_config = NULL;
    unsigned debug_sleep = 0;
    int code;

    cyrus_std_options(argc, argv, usage_text);
    parse_options(&run, argc, argv, &alt_config, &debug_sleep);
    if (run.mode == MODE_NONE) {
        fputs("No replication mode specified\n", stderr);
        usage();
    }
    if (run.namefile && run.mode != MODE_ROLL) read_names(&run);
    cyrus_set_fatal_prefix("Fatal error: ");
    cyrus_init(alt_config, "sync_client", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS,
               CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (debug_sleep) sleep(debug_sleep);
    bool connects = run.mode != MODE_STATUS && run.mode != MODE_FORGET;
    if (connects) need_server(&run);
    switch (run.mode) {
    case MODE_STATUS: code = run_status(&run); break;
    case MODE_FORGET: code = sync_channel_forget(run.sc.channel, run.force); break;
    case MODE_ROLL: code = run_roll(&run); break;
    case MODE_COMPARE: code = run_compare(&run); break;
    case MODE_PING: code = sync_client_ping(&run.sc); break;
    default: code = run_items(&run); break;
    }
    sync_client_fini(&run.sc);
    strarray_fini(&run.names);
    if (connects) saslclient_done();
    txn_shutdown();
    cyrus_done();
    return code;
}
