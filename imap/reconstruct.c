/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct -- repairs mailboxes (handbook 05 §3.13)
 *
 * reconstruct(8). Findings go to stdout as they are found, errors to stderr. Exit status: 0 all is well, or was put right; 1 two
 * names have one uniqueid; 64 usage; 65 something was found that was not put right (-n, or it needs -R, -U or -O); 70 no
 * such index version; 75 a mailbox could not be worked on, or the end was asked for.
 */
#include <config.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "reconstruct.h"
#include "saslclient.h"
#include "signals.h"
#include "sync_acked.h"
#include "sync_client.h"
#include "tool_select.h"
#include "txn.h"
#include "util.h"
#include "verified_pass.h"
#include "xmalloc.h"

#define VERSION_NONE -1

enum { OPT_ACCEPT_LOSS = 256, OPT_FROM_REPLICA, OPT_SERVER, OPT_VERIFY, OPT_SINCE, OPT_RATE, OPT_STATUS };

#define BODIES "bodies" /* the pass of --verify */

static const char usage_text[] =
    "Usage: reconstruct [OPTIONS] [MAILBOX...]\n"
    "A tool to reconstruct mailboxes.\n"
    "\n"
    "-C <config-file>   use <config-file> instead of config from imapd.conf\n"
    "-p <partition>     make mailboxes of the directories on this partition that have these names\n"
    "-x                 with -p: do not import metadata, create new\n"
    "-r                 recursively reconstruct\n"
    "-f                 look on the partitions for mailboxes that are not in mailboxes.db\n"
    "-s                 don't stat underlying files\n"
    "-q                 run quietly\n"
    "-n                 do not make changes\n"
    "-G                 force re-parsing (checks GUID correctness)\n"
    "-R                 perform UID upgrade operation on GUID mismatched files\n"
    "-U                 use this if there are corrupt message files in spool\n"
    "                   WARNING: this option deletes corrupted message files permanently\n"
    "-o                 ignore odd files in mailbox disk directories\n"
    "-O                 delete odd files (unlike -o)\n"
    "-M                 prefer mailboxes.db over cyrus.index for UIDVALIDITY\n"
    "-I                 a new uniqueid if another mailbox has the same\n"
    "-V <version>       Change the cyrus.index minor version to the version specified\n"
    "-u                 give usernames instead of mailbox prefixes\n"
    "-P                 give paths to cyrus.header files instead of mailbox prefixes\n"
    "                   (this option ONLY repairs/creates mailboxes.db records)\n"
    "--accept-loss      many or all messages of a mailbox may be gone\n"
    "--from-replica[=<channel>]\n"
    "                   fetch missing and damaged message files from the replica\n"
    "--server <host>    with --from-replica: this one, instead of sync_host\n"
    "--verify           only compare everything with its checksums\n"
    "--since <time>     with --verify: leave out what was found whole in this time (30d)\n"
    "--rate <bytes>     read no more bytes of messages a second (10m)\n"
    "--status           when --verify has last gone through everything\n";

struct options {
    const char *altconfig, *partition;
    bool fresh, recurse, discover, quiet, users, paths;
    int version; /* 0: the newest; VERSION_NONE: not asked for */
    struct reconstruct rc;
    bool replica; /* message files come from there */
    bool named;   /* and it was said which one: else it is the one that is furthest with the owner */
    char *channel;
    bool verify, status_only;
    struct verified_pass pass;
    int64_t since; /* seconds; 0: everything */
    struct reconstruct_databases dbs;
    struct sync_client sc;
    const struct namespace *ns;
    strarray_t done; /* internal names, so that none comes twice */
    int status;
};

static void usage(const char *complaint) __attribute__((noreturn));
static void usage(const char *complaint)
{
    if (complaint)
        fprintf(stderr, "%s\n", complaint);
    else
        fputs(usage_text, stderr);
    exit(EX_USAGE);
}

static int parse_version(const char *text)
{
    uint32_t n;

    if (!strcmp(text, "max")) return 0;
    if (parse_u32_cstr(text, &n) || !n || n > INT32_MAX) usage(NULL);
    return (int)n;
}

static const struct {
    char letter;
    unsigned flag;
} repair_flags[] = { { 'n', RECONSTRUCT_DRYRUN },      { 's', RECONSTRUCT_NOSTAT },
                     { 'G', RECONSTRUCT_REPARSE },     { 'R', RECONSTRUCT_NEWUID },
                     { 'U', RECONSTRUCT_UNLINK },      { 'o', RECONSTRUCT_IGNORE_ODD },
                     { 'O', RECONSTRUCT_REMOVE_ODD },  { 'M', RECONSTRUCT_PREFER_MBOXLIST },
                     { 'I', RECONSTRUCT_NEW_UNIQUEID } };

static bool take_repair_flag(struct options *o, int c)
{
    for (size_t i = 0; i < array_size(repair_flags); i++) {
        if (repair_flags[i].letter != c) continue;
        o->rc.flags |= repair_flags[i].flag;
        return true;
    }
    return false;
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = { { "accept-loss", no_argument, NULL, OPT_ACCEPT_LOSS },
                                           { "from-replica", optional_argument, NULL, OPT_FROM_REPLICA },
                                           { "server", required_argument, NULL, OPT_SERVER },
                                           { "verify", no_argument, NULL, OPT_VERIFY },
                                           { "since", required_argument, NULL, OPT_SINCE },
                                           { "rate", required_argument, NULL, OPT_RATE },
                                           { "status", no_argument, NULL, OPT_STATUS },
                                           { NULL, 0, NULL, 0 } };
    int c;

    while ((c = getopt_long(argc, argv, "C:p:xrfsqnGRUoOMIV:uPmgk", longs, NULL)) != EOF) {
        if (take_repair_flag(o, c)) continue;
        switch (c) {
        case 'C': o->altconfig = optarg; break;
        case 'p': o->partition = optarg; break;
        case 'x': o->fresh = true; break;
        case 'r': o->recurse = true; break;
        case 'f': o->discover = true; break;
        case 'q': o->quiet = true; break;
        case 'u': o->users = true; break;
        case 'P': o->paths = true; break;
        case 'V': o->version = parse_version(optarg); break;
        case 'm': usage("reconstructing mailboxes.db currently not supported");
        case 'g':
        case 'k': fprintf(stderr, "reconstruct: deprecated option -%c ignored\n", c); break;
        case OPT_ACCEPT_LOSS: o->rc.flags |= RECONSTRUCT_ACCEPT_LOSS; break;
        case OPT_FROM_REPLICA:
            o->replica = true;
            o->sc.channel = optarg;
            o->named |= optarg != NULL;
            o->rc.flags |= RECONSTRUCT_KEEP_LOST;
            break;
        case OPT_SERVER:
            o->sc.servername = optarg;
            o->named = true;
            break;
        case OPT_VERIFY: o->verify = true; break;
        case OPT_SINCE:
            if (config_parseduration(optarg, 'd', &o->since) || o->since < 0) usage(NULL);
            break;
        case OPT_RATE:
            if (config_parsebytesize(optarg, 'b', &o->rc.rate)) usage(NULL);
            break;
        case OPT_STATUS: o->status_only = true; break;
        default: usage(NULL);
        }
    }
    if (o->status_only && argc != 2 + 2 * (o->altconfig != NULL)) usage("--status goes with nothing else");
    if (o->users && o->paths) usage(NULL);
    if (o->sc.servername && !o->replica) usage(NULL);
    if (o->verify && (o->replica || o->paths || o->partition || o->discover || o->version != VERSION_NONE || o->rc.flags))
        usage("--verify changes nothing, and goes with --since and --rate only");
    if ((o->since && !o->verify) || (o->rc.rate && !o->verify && !o->replica)) usage(NULL);
    if (o->replica && (o->paths || o->partition || o->version != VERSION_NONE)) usage(NULL);
    if (optind == argc && (o->recurse || o->users || o->paths || o->partition))
        usage("please specify a mailbox to recurse from");
}

/* ---- one mailbox ---- */

static void say(const char *line, void *rock)
{
    (void)rock;
    puts(line);
    fflush(stdout);
}

static void convert(struct options *o, const char *name, extname_t ext)
{
    int was = 0;

    if (!o->quiet) puts(extname_text(ext));
    int r = reconstruct_version(&o->rc, name, o->version, &was);
    int is = o->version ? o->version : MAILBOX_MINOR_VERSION;
    if (r == IMAP_MAILBOX_NOTSUPPORTED) fatal("index version not supported", EX_SOFTWARE);
    if (!r && was != is) printf("Converted %s version %d to %d\n", extname_text(ext), was, is);
    if (!r || r == IMAP_MAILBOX_NONEXISTENT) return;
    fprintf(stderr, "%s: %s\n", name, error_message(r));
    o->rc.failed++;
}

/* The connection stays as long as the owners that follow have the same one. */
static void choose_replica(struct options *o, const char *name)
{
    char *userid = o->named ? NULL : mboxname_to_userid(name);
    struct sync_acked row;
    char *best = userid ? sync_acked_best(userid, &row) : NULL;

    free(userid);
    if (!best || !strcmp(best, o->sc.channel ? o->sc.channel : "")) {
        free(best);
        return;
    }
    struct sync_client other = { .channel = best };
    if (sync_client_find_server(&other)) {
        sync_client_disconnect(&o->sc);
        o->sc.channel = best;
        o->sc.servername = other.servername;
        o->sc.transport = other.transport;
        syslog(LOG_NOTICE, "the replica of channel <%s> is asked, it is the furthest with %s", best, name);
        free(o->channel);
        o->channel = best;
    }
    else {
        free(best);
    }
}

/* A mailbox that can't be opened is repaired first, its files come then. */
static int with_replica(struct options *o, const char *name)
{
    unsigned left = o->rc.left;
    choose_replica(o, name);
    int r = sync_refill_mailbox(&o->sc, &o->rc, name);
    bool later = r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_CHECKSUM;

    if (r && !later) {
        if (r != IMAP_MAILBOX_NONEXISTENT) o->rc.failed++;
        return r;
    }
    r = reconstruct_mailbox(&o->rc, name);
    if (r || !later || (o->rc.flags & RECONSTRUCT_DRYRUN)) return r;
    r = sync_refill_mailbox(&o->sc, &o->rc, name);
    if (r) {
        o->rc.failed++;
        return r;
    }
    o->rc.left = left; /* what the files were needed for */
    return reconstruct_mailbox(&o->rc, name);
}

static void one(struct options *o, const char *name)
{
    extname_t ext = mboxname_to_shown(name, o->ns, NULL);

    if (strarray_contains(&o->done, name)) {
        extname_free(&ext);
        return;
    }
    strarray_append(&o->done, name);
    if (o->version != VERSION_NONE) {
        convert(o, name, ext);
        extname_free(&ext);
        return;
    }
    if (!(o->rc.flags & RECONSTRUCT_DRYRUN)) syslog(LOG_NOTICE, "reconstructing %s", name);
    int r = o->replica ? with_replica(o, name) : reconstruct_mailbox(&o->rc, name);
    if (r && r != IMAP_MAILBOX_NONEXISTENT)
        fprintf(stderr, "%s: %s\n", name,
                r == IMAP_MAILBOX_NOTSUPPORTED
                    ? "cyrus.index is of a newer version than is known, left alone"
                    : error_message(r));
    else if (!r && !o->quiet)
        puts(extname_text(ext));
    extname_free(&ext);
}

static void verified(struct options *o, int r, const char *what)
{
    if (!r) return;
    fprintf(stderr, "%s: %s\n", what, error_message(r));
    o->rc.failed++;
}

/* Lowest in the order of what wants the processor; what was found whole lately is left out. */
static void verify(struct options *o, const mbentry_t *entry)
{
    time_t last = o->since && entry->uniqueid ? verified_last(entry->uniqueid) : 0;
    bool is_due = verified_is_due(last, o->since);

    verified(o, reconstruct_verify_annotations(&o->dbs, entry), entry->name);
    verified_pass_add(&o->pass, is_due ? time(NULL) : last);
    if (is_due) verified(o, reconstruct_verify(&o->rc, entry), entry->name);
}

static void all_of(struct options *o, ptrarray_t *entries, int r, const char *what)
{
    if (r) {
        fprintf(stderr, "%s: %s\n", what ? what : "reconstruct", error_message(r));
        o->rc.failed++;
    }
    for (int i = 0; i < ptrarray_size(entries) && !signals_shutdown(); i++) {
        const mbentry_t *entry = ptrarray_nth(entries, i);

        if (o->verify)
            verify(o, entry);
        else
            one(o, entry->name);
    }
    tool_select_free(entries);
}

/* ---- arguments ---- */

static void by_user(struct options *o, const char *userid)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = tool_select_user(userid, TOOL_SELECT_DELETED, &entries);

    if (o->verify) verified(o, reconstruct_verify_user(&o->dbs, userid), userid);
    all_of(o, &entries, r, userid);
}

static void by_path(struct options *o, const char *path)
{
    int r = reconstruct_header_path(&o->rc, path);

    if (r && r != IMAP_NOTFOUND) fprintf(stderr, "%s: %s\n", path, error_message(r));
}

/* The directories are there, the entry is made first. */
static void on_partition(struct options *o, const char *ext)
{
    if (strpbrk(ext, "*%")) usage("Using wildcards with -p is not supported.");
    char *name = mboxname_from_external(extname_of(ext), o->ns, NULL);
    mbentry_t *entry = NULL;

    if (name && !mboxlist_lookup(name, &entry, NULL)) {
        fprintf(stderr, "Mailbox %s already exists.  Cannot specify -p.\n", ext);
        exit(EX_USAGE);
    }
    int r = name ? reconstruct_create(&o->rc, name, o->partition, o->fresh) : IMAP_MAILBOX_BADNAME;
    if (r) {
        fprintf(stderr, "could not create %s: %s\n", ext, error_message(r));
        o->rc.failed++;
    }
    else if (!(o->rc.flags & RECONSTRUCT_DRYRUN)) {
        one(o, name);
    }
    free(name);
}

static void discover(struct options *o, const char *ext)
{
    char *name = ext && !strpbrk(ext, "*%") ? mboxname_from_external(extname_of(ext), o->ns, NULL) : NULL;
    strarray_t found = STRARRAY_INITIALIZER;

    reconstruct_discover(&o->rc, name, &found);
    for (int i = 0; i < strarray_size(&found) && !signals_shutdown(); i++)
        if (!(o->rc.flags & RECONSTRUCT_DRYRUN)) one(o, strarray_nth(&found, i));
    strarray_fini(&found);
    free(name);
}

static void by_name(struct options *o, const char *pattern)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    unsigned flags = TOOL_SELECT_DELETED | (o->recurse ? TOOL_SELECT_TREE : 0);

    if (o->discover) discover(o, pattern);
    int r = tool_select(o->ns, pattern, flags, &entries);
    all_of(o, &entries, r, pattern);
}

static void argument(struct options *o, const char *arg)
{
    if (o->users)
        by_user(o, arg);
    else if (o->paths)
        by_path(o, arg);
    else if (o->partition)
        on_partition(o, arg);
    else
        by_name(o, arg);
}

static int status(const struct options *o)
{
    if (o->rc.failed || signals_shutdown()) return EX_TEMPFAIL;
    if (o->rc.wrong_uniqueid && !(o->rc.flags & RECONSTRUCT_NEW_UNIQUEID)) return 1;
    if (o->rc.left || (o->rc.findings && (o->verify || (o->rc.flags & RECONSTRUCT_DRYRUN)))) return EX_DATAERR;
    return EX_OK;
}

/* Databases and mailboxes, to the end. */
static void end_pass(struct options *o)
{
    if (o->rc.failed || signals_shutdown()) return;
    o->pass.findings = o->rc.findings;
    verified(o, verified_pass_end(BODIES, &o->pass), "verified.db");
}

/* 1: there was none. */
static int print_pass(void)
{
    struct verified_pass pass;
    char ended[32], oldest[32];

    if (verified_pass_read(BODIES, &pass)) {
        puts("last whole pass: never");
        return 1;
    }
    printf("last whole pass: %s, oldest reading: %s, mailboxes: %" PRIu64 ", findings: %" PRIu64 "\n",
           verified_time_text(pass.ended, ended), verified_time_text(pass.oldest, oldest), pass.things, pass.findings);
    return EX_OK;
}

static bool is_to_end(void)
{
    return signals_shutdown() != 0;
}

/* Where none is named, and the channel without name has no server: any that a client follows. */
static bool find_server(struct options *o)
{
    strarray_t channels = STRARRAY_INITIALIZER;
    bool found = sync_client_find_server(&o->sc);

    if (!found && !o->named) sync_acked_channels(&channels);
    for (int i = 0; !found && i < strarray_size(&channels); i++) {
        free(o->channel);
        o->sc.channel = o->channel = xstrdup(strarray_nth(&channels, i));
        found = sync_client_find_server(&o->sc);
    }
    strarray_fini(&channels);
    return found;
}

static void begin_replica(struct options *o)
{
    o->sc.reads_only = true;
    if (!find_server(o)) fatal("sync_host not defined", EX_CONFIG);
    if (saslclient_init()) fatal("could not init sasl", EX_SOFTWARE);
}

static int work(struct options *o, int n, char **args)
{
    if (o->replica) begin_replica(o);
    if (o->verify) setpriority(PRIO_PROCESS, 0, 19);
    o->rc.stop = is_to_end;
    reconstruct_databases_begin(&o->dbs, &o->rc, o->since);
    if (!n && o->verify) verified(o, reconstruct_verify_databases(&o->dbs), "databases");
    if (!n) by_name(o, NULL);
    for (int i = 0; i < n && !signals_shutdown(); i++) argument(o, args[i]);
    if (reconstruct_finish(&o->rc)) o->rc.failed++;
    if (!n && o->verify) end_pass(o);
    strarray_fini(&o->done);
    reconstruct_databases_end(&o->dbs);
    if (o->replica) {
        sync_client_fini(&o->sc);
        xzfree(o->channel);
        saslclient_done();
    }
    return status(o);
}

int main(int argc, char **argv)
{
    struct options o = { .version = VERSION_NONE, .rc = { .say = say } };
    struct namespace ns;

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "reconstruct", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS,
               CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (mboxname_init_namespace(&ns, true)) fatal("bad configuration of mailbox names", EX_CONFIG);
    o.ns = &ns;
    int code = o.status_only ? print_pass() : work(&o, argc - optind, argv + optind);
    txn_shutdown();
    cyrus_done();
    return code;
}
