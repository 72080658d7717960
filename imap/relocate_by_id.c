/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relocate_by_id -- moves mailboxes from directories by name to directories by uniqueid (handbook 05 §3.21)
 *
 * relocate_by_id(8). Each mailbox is a transaction of its own, those below before those above; an end at any
 * moment leaves every mailbox in one place, and the next run does the rest. Exit status: 0, also for names that are
 * not there or are relocated already (told on stderr); 64 usage; 75 a mailbox could not be moved.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_relocate.h"
#include "mboxname.h"
#include "ptrarray.h"
#include "signals.h"
#include "tool_select.h"
#include "txn.h"
#include "xmalloc.h"

static const char usage_text[] =
    "Usage: relocate_by_id [OPTIONS] NAME...\n"
    "A tool to relocate mailbox trees by their ids.\n"
    "\n"
    "-C <config-file>   use <config-file> instead of config from imapd.conf\n"
    "-q                 run quietly\n"
    "-n                 do not make changes\n"
    "-u                 give usernames instead of mailbox prefixes\n"
    "--help, --version\n";

struct options {
    const char *altconfig;
    bool quiet, dryrun, users;
    struct namespace ns;
    int status;
};

static void parse(int argc, char **argv, struct options *o)
{
    int c;

    while ((c = getopt(argc, argv, "C:qnu")) != EOF) {
        switch (c) {
        case 'C': o->altconfig = optarg; break;
        case 'q': o->quiet = true; break;
        case 'n': o->dryrun = true; break;
        case 'u': o->users = true; break;
        default: fputs(usage_text, stderr); exit(EX_USAGE);
        }
    }
    if (optind < argc) return;
    fprintf(stderr, "please specify a %s\n", o->users ? "user" : "mailbox to recurse from");
    exit(EX_USAGE);
}

static void say_place(const char *from, const char *to, void *rock)
{
    const struct options *o = rock;

    if (!o->quiet) printf("\tRenaming: %s\t -> %s\n", from, to);
}

static void relocate(struct options *o, const mbentry_t *entry)
{
    extname_t name = mboxname_to_external(entry->name, &o->ns, NULL);

    if (!o->quiet) printf("\nRelocating: %s\n", extname_text(name));
    int r = mboxlist_relocate(entry->name, o->dryrun, say_place, o);
    fflush(stdout);
    if (r && r != IMAP_MAILBOX_NONEXISTENT) {
        fprintf(stderr, "%s: %s\n", extname_text(name), error_message(r));
        o->status = EX_TEMPFAIL;
    }
    extname_free(&name);
}

/* Those below before those above, deleted ones first: the INBOX, with the user's files, is last. */
static bool relocate_all(struct options *o, const ptrarray_t *entries)
{
    bool any = false;

    for (int pass = 0; pass < 2; pass++) {
        for (int i = ptrarray_size(entries) - 1; i >= 0 && !signals_shutdown(); i--) {
            const mbentry_t *entry = ptrarray_nth(entries, i);
            bool deleted = mboxname_isdeletedmailbox(entry->name, NULL);
            if (deleted != (pass == 0) || !mboxlist_is_legacy(entry)) continue;
            any = true;
            relocate(o, entry);
        }
    }
    return any;
}

/* What the argument means; an INBOX stands for all of its user. */
static int collect(struct options *o, const char *arg, ptrarray_t *entries)
{
    if (o->users) return tool_select_user(arg, TOOL_SELECT_DELETED, entries);
    char *name = mboxname_from_external(extname_of(arg), &o->ns, NULL);
    char *userid = name && mboxname_isusermailbox(name, true) ? mboxname_to_userid(name) : NULL;
    int r = userid ? tool_select_user(userid, TOOL_SELECT_DELETED, entries)
                   : tool_select(&o->ns, arg, TOOL_SELECT_PLAIN | TOOL_SELECT_TREE | TOOL_SELECT_DELETED, entries);
    free(userid);
    free(name);
    return r;
}

static void relocate_arg(struct options *o, const char *arg)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    const char *what = o->users ? "user" : "mailbox";

    int r = collect(o, arg, &entries);
    if (r) {
        fprintf(stderr, "%s: %s\n", arg, error_message(r));
        o->status = EX_TEMPFAIL;
    }
    else if (!ptrarray_size(&entries))
        fprintf(stderr, "%s: %s not found\n", arg, what);
    else if (!relocate_all(o, &entries))
        fprintf(stderr, "%s: %s already relocated\n", arg, what);
    tool_select_free(&entries);
}

int main(int argc, char **argv)
{
    struct options o = { 0 };

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "relocate_by_id", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (mboxname_init_namespace(&o.ns, true)) fatal("bad configuration of mailbox names", EX_CONFIG);
    for (int i = optind; i < argc && !signals_shutdown(); i++) relocate_arg(&o, argv[i]);
    if (!o.status && signals_shutdown()) o.status = EX_TEMPFAIL;
    txn_shutdown();
    cyrus_done();
    return o.status;
}
