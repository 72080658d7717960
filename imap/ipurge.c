/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ipurge -- expunges messages by age or size (handbook 05 §3.18)
 *
 * ipurge(8). One transaction a mailbox, so that an end at any moment leaves whole mailboxes; a mailbox that can't be worked on is
 * told on stderr and the others go on. The replica of a pair purges nothing. Expunged messages stay as long as expunge_mode says. Exit status: 0, also with
 * usage on stdout when no condition is given (as ever); 64 a wrong option or number; 65 a mailbox failed; 75 the end
 * was asked for.
 */
#include <config.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxname.h"
#include "message_block.h"
#include "ptrarray.h"
#include "server_role.h"
#include "signals.h"
#include "tool_select.h"
#include "txn.h"
#include "user_home.h"
#include "util.h"
#include "xmalloc.h"

#define DAY 86400
#define LOCK_TRIES 10

static const char usage_text[] =
    "usage: ipurge [-f] [-s] [-C <alt_config>] [-x] [-X] [-i] [-o] [-n] {-d days | -b bytes|-k "
    "Kbytes|-m Mbytes}\n"
    "\t[mboxpattern1 ... [mboxpatternN]]\n"
    "\tthere are no defaults and at least one of -d, -b, -k, -m\n"
    "\tmust be specified\n"
    "\tif no mboxpattern is given ipurge works on all mailboxes\n"
    "\t -x specifies an exact match for days or size\n"
    "\t -f force also to delete mail below user.* and INBOX.*\n"
    "\t -s skip over messages that are flagged.\n"
    "\t -X use delivery time instead of date header for date matches.\n"
    "\t -i invert match logic: -x means not equal, date is for newer, size is for smaller.\n"
    "\t -M don't recurse mailboxes.\n"
    "\t -o only purge messages that are deleted.\n"
    "\t -n only print messages that would be deleted (dry run).\n"
    "\t -v enable verbose output/logging.\n"
    "\t --policy-on-replica purge also where this server is the replica of a pair.\n";

struct options {
    const char *altconfig;
    int64_t days, size; /* -1: no condition; size in bytes */
    bool exact, invert, delivery, force, skip_flagged, only_deleted, plain_names, dryrun, verbose, policy_on_replica, left;
    time_t now;
    int status;
};

static void usage(FILE *out, int code) __attribute__((noreturn));
static void usage(FILE *out, int code)
{
    fputs(usage_text, out);
    exit(code);
}

static int64_t parse_number(const char *text, int64_t unit)
{
    uint32_t n;

    if (parse_u32_cstr(text, &n)) usage(stderr, EX_USAGE);
    return (int64_t)n * unit;
}

static void parse(int argc, char **argv, struct options *o)
{
    enum { POLICY_ON_REPLICA = 256 };
    static const struct option longs[] = { { "policy-on-replica", no_argument, NULL, POLICY_ON_REPLICA }, { 0 } };
    int c;

    while ((c = getopt_long(argc, argv, "C:d:b:k:m:xXfsioMnv", longs, NULL)) != EOF) {
        switch (c) {
        case 'C': o->altconfig = optarg; break;
        case 'd': o->days = parse_number(optarg, 1); break;
        case 'b': o->size = parse_number(optarg, 1); break;
        case 'k': o->size = parse_number(optarg, 1024); break;
        case 'm': o->size = parse_number(optarg, (int64_t)1024 * 1024); break;
        case 'x': o->exact = true; break;
        case 'X': o->delivery = true; break;
        case 'f': o->force = true; break;
        case 's': o->skip_flagged = true; break;
        case 'i': o->invert = true; break;
        case 'o': o->only_deleted = true; break;
        case 'M': o->plain_names = true; break;
        case 'n': o->dryrun = true; break;
        case 'v': o->verbose = true; break;
        case POLICY_ON_REPLICA: o->policy_on_replica = true; break;
        default: usage(stderr, EX_USAGE);
        }
    }
    if (o->days >= 0 || o->size >= 0) return;
    printf("One of these must be specified -d, -b -k, -m\n");
    usage(stdout, EX_OK);
}

/* ---- which messages ---- */

/* Both conditions given: either is enough. */
static bool matches(const struct options *o, const struct index_record *rec)
{
    time_t date = o->delivery ? rec->internaldate : rec->gmtime;
    bool match = false;

    if (o->skip_flagged && (rec->system_flags & FLAG_FLAGGED)) return false;
    if (o->only_deleted && !(rec->system_flags & FLAG_DELETED)) return false;
    if (o->days >= 0) {
        int64_t age = (int64_t)o->now - date;
        if (o->exact)
            match = (age / DAY == o->days) != o->invert;
        else
            match = o->invert ? age < o->days * DAY : age > o->days * DAY;
    }
    if (o->size >= 0) {
        if (o->exact)
            match |= (rec->size == o->size) != o->invert;
        else
            match |= o->invert ? rec->size < o->size : rec->size > o->size;
    }
    return match;
}

struct purge {
    const struct options *o;
    struct index_record *todo;
    uint64_t messages, bytes, deleted_bytes;
    size_t deleted;
};

static int look_at(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct purge *p = rock;

    (void)mailbox;
    p->messages++;
    p->bytes += rec->size;
    if (!matches(p->o, rec)) return 0;
    p->todo = xgrow(p->todo, p->deleted, sizeof(*p->todo));
    p->todo[p->deleted++] = *rec;
    p->deleted_bytes += rec->size;
    return 0;
}

static void print_totals(const struct purge *p)
{
    const struct {
        const char *label;
        uint64_t n;
    } lines[] = { { "Total messages    ", p->messages },
                  { "Total bytes       ", p->bytes },
                  { "Deleted messages  ", p->deleted },
                  { "Deleted bytes     ", p->deleted_bytes },
                  { "Remaining messages", p->messages - p->deleted },
                  { "Remaining bytes   ", p->bytes - p->deleted_bytes } };

    for (size_t i = 0; i < array_size(lines); i++)
        printf("%s\t\t %" PRIu64 "\n", lines[i].label, lines[i].n);
}

/* ---- one mailbox ---- */

static int show(struct purge *p, const char *name)
{
    struct mailbox *mailbox = NULL;

    int r = mailbox_open_irl(name, &mailbox);
    if (!r) r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED, look_at, p);
    for (size_t i = 0; !r && i < p->deleted; i++)
        r = message_block_print(mailbox, &p->todo[i], false);
    mailbox_close(&mailbox);
    return r;
}

static int expunge(struct purge *p, const char *name)
{
    struct mailbox *mailbox;
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = mailbox_open_iwl(txn, name, &mailbox);
    if (!r) r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED, look_at, p);
    for (size_t i = 0; !r && i < p->deleted; i++)
        r = mailbox_expunge_record(mailbox, &p->todo[i], 0);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* Of a change that both ends made by themselves the replica would hear from two sides. A role may change during the run. */
static bool leaves_it_to_primary(struct options *o)
{
    if (o->dryrun || o->policy_on_replica || !server_role_is(SERVER_ROLE_REPLICA)) return false;
    if (!o->left) {
        fputs("ipurge: this server is a replica: purge on the primary, or with --policy-on-replica\n", stderr);
        syslog(LOG_NOTICE, "this server is a replica, where nothing is purged without --policy-on-replica");
    }
    return o->left = true;
}

/* The same for the mailboxes of a user whose home is the other server of a pair. */
static bool leaves_it_to_home(const struct options *o, const char *name)
{
    struct user_home home;
    char *userid = mboxname_to_userid(name);
    bool leaves = !o->dryrun && !o->policy_on_replica && user_home_is_elsewhere(userid, &home);

    if (leaves && o->verbose) printf("%s is left to the home of %s, %s\n", name, userid, home.server);
    free(userid);
    return leaves;
}

static void purge(struct options *o, const char *name)
{
    struct purge p = { .o = o };
    int r = IMAP_AGAIN;

    if (o->verbose) printf("Working on %s...\n", name);
    for (int i = 0; r == IMAP_AGAIN && i < LOCK_TRIES; i++) {
        free(p.todo);
        p = (struct purge){ .o = o };
        r = o->dryrun ? show(&p, name) : expunge(&p, name);
    }
    free(p.todo);
    if (r == IMAP_MAILBOX_NONEXISTENT) return;
    if (r) {
        fprintf(stderr, "%s: %s\n", name, error_message(r));
        o->status = EX_DATAERR;
        return;
    }
    print_totals(&p);
    if (o->verbose)
        syslog(LOG_INFO, "ipurge: %zu of %" PRIu64 " messages in %s%s", p.deleted, p.messages, name,
               o->dryrun ? " would be expunged" : " expunged");
}

static void purge_pattern(struct options *o, const struct namespace *ns, const char *pattern)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;

    unsigned flags = (o->plain_names ? TOOL_SELECT_PLAIN : 0) | (o->force ? TOOL_SELECT_DELETED : 0);
    int r = tool_select(ns, pattern, flags, &entries);
    if (r) {
        fprintf(stderr, "%s: %s\n", pattern ? pattern : "ipurge", error_message(r));
        o->status = EX_DATAERR;
    }
    for (int i = 0; i < ptrarray_size(&entries) && !signals_shutdown() && !leaves_it_to_primary(o); i++) {
        const mbentry_t *entry = ptrarray_nth(&entries, i);

        if (!o->force && mboxname_isusermailbox(entry->name, false)) continue;
        if (!leaves_it_to_home(o, entry->name)) purge(o, entry->name);
    }
    tool_select_free(&entries);
}

int main(int argc, char **argv)
{
    struct options o = { .days = -1, .size = -1, .now = time(NULL) };
    struct namespace ns;

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "ipurge", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS,
               CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (mboxname_init_namespace(&ns, true)) fatal("bad configuration of mailbox names", EX_CONFIG);
    if (optind == argc) purge_pattern(&o, &ns, NULL);
    for (int i = optind; i < argc && !signals_shutdown(); i++) purge_pattern(&o, &ns, argv[i]);
    if (!o.status && signals_shutdown()) o.status = EX_TEMPFAIL;
    txn_shutdown();
    cyrus_done();
    return o.status;
}
