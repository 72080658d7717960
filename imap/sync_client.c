/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client -- replicate users, mailboxes or metadata to another server (handbook 03 §13)
 *
 *     sync_client [-v] [-l] [-S host] ... -u user... | -m mailbox... | -s user... | -A [prefix]
 *     sync_client [-v] [-l] [-n channel] ... -r | -R          all that happens, for ever
 *     sync_client --status [--json] [-n channel]
 *
 * Each item is tried for itself: one that fails is reported, and the others go on, over a new
 * connection where the old one broke. Exit: 0 all done, 1 something failed or no
 * connection, 64 usage.
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
#include <sysexits.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "namespace.h"
#include "saslclient.h"
#include "signals.h"
#include "sync_client_roll.h"
#include "times.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char usage_text[] =
    "Usage: sync_client [-C FILE] [-v] [-l] [-L] [-z] [-o] [-O] [-N] [-S HOST] [-n CHANNEL]\n"
    "                   [-p PARTITION] [-f FILE] MODE [NAME...]\n"
    "  -u USER...      replicate these users\n"
    "  -m MAILBOX...   replicate these mailboxes\n"
    "  -s USER...      replicate seen state, subscriptions and scripts of these users\n"
    "  -A [PREFIX]     replicate all users and mailboxes\n"
    "  -r              replicate all that happens, in the background (-f: not)\n"
    "  -R              the same in the foreground\n"
    "  --status        how far behind the channels are (--json: as JSON)\n"
    "  -v  a line for each action (-v -v: the protocol too)   -l  log actions\n"
    "  -S  replica (sync_host)       -n  channel              -p  partition on the replica\n"
    "  -f  names from a file (-r, -R: the log to read, once)  -z  insist on compression\n"
    "  -o  connect once              -1  with -r, -R: what is there now, then end\n"
    "  -d  seconds between runs      -t  seconds of a connection  -F  shutdown file\n"
    "  -w  seconds to wait at first\n"
    "  -O  no copy-back, force       -N  do not wait for locks -L  local mailboxes only\n"
    "  --verify  compare both ends afterwards, and name what differs\n";

enum mode { MODE_NONE, MODE_USER, MODE_MAILBOX, MODE_META, MODE_ALL, MODE_ROLL, MODE_STATUS };

struct run {
    struct sync_client sc;
    enum mode mode;
    const char *namefile;
    strarray_t names;
    bool verify, failed;
    struct sync_roll roll;
    bool background, json;
};

/* What is done to each item: it is replicated, or compared. */
struct work {
    const char *user, *mailboxes, *meta; /* for messages */
    int (*do_user)(struct sync_client *sc, const char *userid);
    int (*do_mailboxes)(struct sync_client *sc, const strarray_t *names);
    int (*do_meta)(struct sync_client *sc, const char *userid);
};
static const struct work replicate = { "do_user",    "do_mailboxes",    "do_meta",
                                       sync_do_user, sync_do_mailboxes, sync_do_meta };
static const struct work verify = { "verify_user",    "verify_mailboxes",    "verify_meta",
                                    sync_verify_user, sync_verify_mailboxes, sync_verify_meta };

static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

/* ---- the connection ---- */

/* As 3.6.1 waits: longer each time, up to sync_reconnect_maxwait. */
static int connect_or_wait(struct sync_client *sc)
{
    int maxwait = config_getduration(IMAPOPT_SYNC_RECONNECT_MAXWAIT);

    for (int wait = 15;; wait *= 2) {
        int r = sync_client_connect(sc);
        if (!r || sc->connect_once) return r;
        if (maxwait > 0 && wait > maxwait) wait = maxwait;
        fprintf(stderr, "Can not connect to server '%s', retrying in %d seconds\n", sc->servername,
                wait);
        sleep((unsigned)wait);
        if (signals_shutdown()) return r;
    }
}

static int need_connection(struct run *run)
{
    if (run->sc.backend && !run->sc.broken) return 0;
    return connect_or_wait(&run->sc);
}

/* ---- items ---- */

static void item_failed(struct run *run, const char *what, const char *name, int r)
{
    fprintf(stderr, "Error from %s: %s: %s\n", what, name, sync_client_errtext(&run->sc, r));
    syslog(LOG_ERR, "Error in %s(%s): bailing out! %s", what, name, error_message(r));
    run->failed = true;
}

static int run_users(struct run *run, int (*fn)(struct sync_client *sc, const char *userid),
                     const char *what)
{
    for (int i = 0; i < strarray_size(&run->names) && !signals_shutdown(); i++) {
        const char *userid = strarray_nth(&run->names, i);
        int r = need_connection(run);
        if (r) return r;
        if (i) (void)sync_client_restart(&run->sc);
        if (!*userid || strchr(userid, '/'))
            r = IMAP_INVALID_USER;
        else
            r = fn(&run->sc, userid);
        if (r) item_failed(run, what, userid, r);
    }
    return 0;
}

static int run_mailboxes(struct run *run, const struct work *work)
{
    strarray_t intnames = STRARRAY_INITIALIZER;
    struct namespace ns;
    int r = mboxname_init_namespace(&ns, true);

    for (int i = 0; i < strarray_size(&run->names) && !r; i++) {
        const char *name = strarray_nth(&run->names, i);
        char *intname = mboxname_from_external(extname_of(name), &ns, NULL);
        if (intname)
            strarray_appendm(&intnames, intname);
        else
            item_failed(run, work->mailboxes, name, IMAP_MAILBOX_BADNAME);
    }
    if (!r) r = need_connection(run);
    if (!r && strarray_size(&intnames)) {
        int er = work->do_mailboxes(&run->sc, &intnames);
        if (er) item_failed(run, work->mailboxes, strarray_nth(&intnames, 0), er);
    }
    strarray_fini(&intnames);
    return r;
}

/* ---- all ---- */

struct everything {
    strarray_t users, shared;
};

static int everything_cb(const mbentry_t *mbentry, void *rock)
{
    struct everything *all = rock;
    char *userid = mboxname_to_userid(mbentry->name);

    if (!userid)
        strarray_append(&all->shared, mbentry->name);
    else if (!strarray_size(&all->users) || strcmp(strarray_nth(&all->users, -1), userid) != 0)
        strarray_add(&all->users, userid);
    free(userid);
    return 0;
}

static void all_failed(struct run *run, const char *what, const char *name, int r)
{
    if (r == IMAP_MAILBOX_LOCKED && !run->verify) { /* as 3.6.1 */
        sync_client_say(&run->sc, "skipping locked %s", name);
        return;
    }
    item_failed(run, what, name, r);
}

static int run_all(struct run *run, const struct work *work)
{
    struct everything all = { STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };
    const char *prefix = strarray_size(&run->names) ? strarray_nth(&run->names, 0) : "";
    int r = mboxlist_allmbox(prefix, everything_cb, &all, 0);

    run->sc.nowait = true;
    for (int i = 0; i < strarray_size(&all.users) && !r && !signals_shutdown(); i++) {
        r = need_connection(run);
        if (r) break;
        int er = work->do_user(&run->sc, strarray_nth(&all.users, i));
        if (er) all_failed(run, work->user, strarray_nth(&all.users, i), er);
        (void)sync_client_restart(&run->sc);
    }
    for (int i = 0; i < strarray_size(&all.shared) && !r && !signals_shutdown(); i++) {
        strarray_t one = STRARRAY_INITIALIZER;
        r = need_connection(run);
        strarray_append(&one, strarray_nth(&all.shared, i));
        int er = r ? 0 : work->do_mailboxes(&run->sc, &one);
        if (er) all_failed(run, work->mailboxes, strarray_nth(&all.shared, i), er);
        strarray_fini(&one);
    }
    strarray_fini(&all.users);
    strarray_fini(&all.shared);
    return r;
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

#define OPT_VERIFY 256
#define OPT_STATUS 257
#define OPT_JSON 258

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
    { NULL, 0, NULL, 0 },
};

static int seconds(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end || n < 0 || n > INT_MAX) usage();
    return (int)n;
}

static void parse_options(struct run *run, int argc, char **argv, const char **alt_config,
                          unsigned *debug_sleep)
{
    struct sync_client *sc = &run->sc;
    int opt;

    while ((opt = getopt_long(argc, argv, "1AC:F:LNORS:d:f:lmn:op:rst:uvw:z", longopts, NULL)) !=
           EOF) {
        switch (opt) {
        case 'C': *alt_config = optarg; break;
        case 'A': set_mode(run, MODE_ALL); break;
        case 'm': set_mode(run, MODE_MAILBOX); break;
        case 's': set_mode(run, MODE_META); break;
        case 'u': set_mode(run, MODE_USER); break;
        case 'L': sc->localonly = true; break;
        case 'N': sc->nowait = true; break;
        case 'O': sc->nocopyback = true; break;
        case 'S': sc->servername = optarg; break;
        case 'f': run->namefile = optarg; break;
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
        case 'd': run->roll.interval = seconds(optarg); break;
        case 't': run->roll.lifetime = seconds(optarg); break;
        case OPT_STATUS: set_mode(run, MODE_STATUS); break;
        case OPT_JSON: run->json = true; break;
        default: usage();
        }
    }
    for (int i = optind; i < argc; i++) strarray_append(&run->names, argv[i]);
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
    printf("%" PRIu64 " mailboxes updated, %" PRIu64 " messages uploaded (%" PRIu64
           " octets) in %" PRIu64 ".%" PRIu64 " seconds%s",
           sc->mailboxes, sc->messages, sc->octets, ms / 1000, ms % 1000 / 100,
           run->failed ? ", with errors" : "");
    if (run->verify) printf(", %" PRIu64 " differences left", sc->differences);
    putchar('\n');
}

static int run_mode(struct run *run, const struct work *work)
{
    switch (run->mode) {
    case MODE_USER: return run_users(run, work->do_user, work->user);
    case MODE_META: return run_users(run, work->do_meta, work->meta);
    case MODE_MAILBOX: return run_mailboxes(run, work);
    case MODE_ALL: return run_all(run, work);
    default: break;
    }
    return 0;
}

static void run_work(struct run *run, const struct work *work)
{
    int r = run_mode(run, work);

    if (!r) return;
    fprintf(stderr, "sync_client: %s\n", error_message(r));
    run->failed = true;
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

static int run_roll(struct run *run)
{
    struct sync_client *sc = &run->sc;

    run->roll.sc = sc;
    run->roll.file = run->namefile;
    if (run->background && !run->namefile && !cyrus_isdaemon()) go_to_background();
    return sync_client_roll(&run->roll);
}

static int run_items(struct run *run)
{
    unsigned long long began = monotonic_ms();

    run->sc.complain = true;
    run_work(run, &replicate);
    if (run->verify && !signals_shutdown()) run_work(run, &verify);
    summary(run, monotonic_ms() - began);
    return run->failed || run->sc.differences ? 1 : EX_OK;
}

static void need_server(struct run *run)
{
    if (!run->sc.servername) run->sc.servername = config_getchannelstring(run->sc.channel, IMAPOPT_SYNC_HOST);
    if (!run->sc.servername) fatal("sync_host not defined", EX_SOFTWARE);
    if (saslclient_init()) fatal("could not init sasl", EX_SOFTWARE);
}

int main(int argc, char **argv)
{
    struct run run = { .names = STRARRAY_INITIALIZER, .roll = { .interval = -1, .lifetime = 600 } };
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
    if (run.mode != MODE_STATUS) need_server(&run);
    switch (run.mode) {
    case MODE_STATUS: code = sync_status_print(run.sc.channel, run.json); break;
    case MODE_ROLL: code = run_roll(&run); break;
    default: code = run_items(&run); break;
    }
    sync_client_fini(&run.sc);
    strarray_fini(&run.names);
    if (run.mode != MODE_STATUS) saslclient_done();
    txn_shutdown();
    cyrus_done();
    return code;
}
