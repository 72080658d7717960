/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota -- shows quota roots, and counts their usage anew (handbook 05 §3.14)
 *
 * The report shows the raw sums of the quota database. Exit status 0; 64 usage, 65 a name that is none,
 * else that of the error. Messages of -f go to stderr, with internal names.
 */
#include <config.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "libconfig.h"
#include "imap_err.h"
#include "mboxname.h"
#include "quota.h"
#include "quota_fix.h"
#include "strarray.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"

static struct {
    const char *config, *domain;
    bool fix, dryrun, quiet, json, users;
} opt;

static const char usage[] =
    "Usage: quota [-C FILE] [-d DOMAIN] [-f [-n]] [-q] [-J] [-u] [ROOT-PREFIX | USER ...]\n"
    "  -C FILE    imapd.conf\n"
    "  -d DOMAIN  only roots of this domain\n"
    "  -f         count usage anew, and put it right\n"
    "  -n         with -f: only tell what is wrong, change nothing\n"
    "  -q         with -f: no report\n"
    "  -J         report as JSON\n"
    "  -u         arguments are users\n"
    "  --help, --version\n";

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE);
}

static int exit_status(int r)
{
    if (!r) return EX_OK;
    fprintf(stderr, "quota: %s\n", error_message(r));
    return r == IMAP_IOERROR ? EX_IOERR : r == IMAP_MAILBOX_BADNAME ? EX_DATAERR : EX_TEMPFAIL;
}

/* ---- what is asked for ---- */

struct selection {
    char *prefix; /* internal */
    const char *userid; /* a user: the root of that name and those below */
};

static bool is_selected(const struct selection *sel, const char *root)
{
    if (!strstarts(root, sel->prefix)) return false;
    if (sel->userid && root[strlen(sel->prefix)] && root[strlen(sel->prefix)] != '.') return false;
    if (!opt.domain) return true;
    size_t len = strlen(opt.domain);
    return !strncmp(root, opt.domain, len) && root[len] == '!';
}

static int select_arg(const char *arg, const struct namespace *ns, struct selection *sel)
{
    sel->userid = opt.users ? arg : NULL;
    sel->prefix = opt.users ? mboxname_user_mbox(arg, NULL)
                            : mboxname_from_external(extname_of(arg), ns, NULL);
    return sel->prefix ? 0 : IMAP_MAILBOX_BADNAME;
}

/* ---- -f ---- */

static void tell_root(const char *mailbox, const char *was, const char *is, void *rock)
{
    fprintf(stderr, "%s: quota root %s --> %s\n", mailbox, was ? was : "(none)",
            is ? is : "(none)");
}

static void tell_used(const char *root, enum quota_resource res, int64_t was, int64_t is,
                      void *rock)
{
    fprintf(stderr, "%s: %s usage was %" PRId64 ", now %" PRId64 "\n", root, quota_names[res], was,
            is);
}

static void tell_removed(const char *root, void *rock)
{
    fprintf(stderr, "%s: removed\n", root);
}

static void tell_unreadable(const char *mailbox, int r, void *rock)
{
    fprintf(stderr, "%s: %s; the usage of its owner stays as it is\n", mailbox, error_message(r));
    *(bool *)rock = true;
}

/* ---- report ---- */

struct report {
    const struct namespace *ns;
    const struct selection *sel;
    json_t *json;
};

static void print_line(const struct quota *q, enum quota_resource res, const char *name)
{
    int64_t used = q->useds[res] / quota_units[res], limit = q->limits[res];

    if (limit > 0)
        printf(" %7" PRId64 " %8" PRId64, limit, quota_percent(q, res));
    else if (limit == 0)
        printf("       0         ");
    else
        printf("                 ");
    printf(" %8" PRId64 " %20s %s\n", used, quota_names[res], name);
}

static json_t *json_of(const struct quota *q)
{
    json_t *root = json_object();

    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        json_t *item = json_object();
        json_object_set_new(item, "used", json_integer(q->useds[res]));
        if (q->limits[res] > 0)
            json_object_set_new(item, "limit", json_integer(quota_bound(q, (enum quota_resource)res)));
        json_object_set_new(root, quota_names[res], item);
    }
    return root;
}

static int report_cb(const struct quota *q, void *rock)
{
    struct report *report = rock;

    if (!is_selected(report->sel, q->root)) return 0;
    extname_t ext = mboxname_to_shown(q->root, report->ns, NULL);
    const char *name = extname_text(ext);
    if (report->json)
        json_object_set_new(report->json, name, json_of(q));
    else
        for (int res = 0; res < QUOTA_NUMRESOURCES; res++)
            print_line(q, (enum quota_resource)res, name);
    extname_free(&ext);
    return 0;
}

static int report_all(const struct namespace *ns, const struct selection *sels, int n)
{
    struct report report = { .ns = ns, .json = opt.json ? json_object() : NULL };
    int r = 0;

    if (!opt.json) printf("   Quota   %% Used     Used             Resource Root\n");
    for (int i = 0; !r && i < n; i++) {
        report.sel = &sels[i];
        r = quota_foreach(sels[i].prefix, report_cb, &report);
    }
    if (report.json) {
        json_dumpf(report.json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(report.json);
    }
    return r;
}

/* ---- */

static int run(const struct namespace *ns, const struct selection *sels, int n)
{
    bool unreadable = false;
    const struct quota_fix_events events = { tell_root, tell_used, tell_removed, tell_unreadable,
                                             &unreadable };
    int r = 0;

    for (int i = 0; opt.fix && !r && i < n; i++)
        r = sels[i].userid ? quota_fix_user(sels[i].userid, opt.dryrun, &events)
                           : quota_fix(sels[i].prefix, opt.dryrun, &events);
    if (!r && !(opt.fix && opt.quiet)) r = report_all(ns, sels, n);
    return r ? r : unreadable ? IMAP_IOERROR : 0;
}

static void parse_options(int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "C:d:fnqJu")) != -1) {
        switch (c) {
        case 'C': opt.config = optarg; break;
        case 'd': opt.domain = optarg; break;
        case 'f': opt.fix = true; break;
        case 'n': opt.dryrun = true; break;
        case 'q': opt.quiet = true; break;
        case 'J': opt.json = true; break;
        case 'u': opt.users = true; break;
        default: usage_error();
        }
    }
    if (opt.dryrun && !opt.fix) usage_error();
}

int main(int argc, char **argv)
{
    struct namespace ns;
    int r = 0, n = 0;

    cyrus_std_options(argc, argv, usage);
    parse_options(argc, argv);
    cyrus_init(opt.config, "quota", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    r = mboxname_init_namespace(&ns, true);
    if (r) return exit_status(r);

    struct selection *sels = xcalloc((size_t)(argc - optind) + 1, sizeof(*sels));
    for (int i = optind; !r && i < argc; i++, n++) r = select_arg(argv[i], &ns, &sels[n]);
    if (optind == argc) sels[n++].prefix = xstrdup("");
    if (!r) r = run(&ns, sels, n);
    for (int i = 0; i < n; i++) free(sels[i].prefix);
    free(sels);
    txn_shutdown();
    cyrus_done();
    return exit_status(r);
}
