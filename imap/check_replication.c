/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication -- compare users on two IMAP servers and name every difference
 *
 * An administrator's login is needed on both servers, with the right to act as the users. Both
 * servers are only read. Messages come from both ends in windows that are compared and forgotten, so
 * memory does not grow with the mailbox (only the quota needs 28 bytes for each message).
 *
 * No moment is the same on both servers. So a user that differs is compared again, until two
 * attempts in a row say the same: only that is reported. With --wait it is compared until the ends
 * agree or the time is over: a replica may be a moment behind.
 *
 * Exit codes: 0 equal, 1 different, 2 not everything could be compared, 64 usage.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check_replication_fetch.h"
#include "check_replication_report.h"
#include "exitcodes.h"
#include "global.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "saslclient.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define EXIT_EQUAL 0
#define EXIT_DIFFERENT 1
#define EXIT_UNKNOWN 2

#define MAXPASSWORD 1024
#define MAXATTEMPTS 5 /* to see the same differences twice */
#define PASSWORD_VARIABLE "CHECK_REPLICATION_PASSWORD"

static const char usage_text[] =
    "usage: check_replication [-C FILE] [OPTIONS] SERVER_A SERVER_B [USER...]\n"
    "  SERVER is host, host:port, [v6]:port, host:port/tls, the path of a socket,\n"
    "  or exec:WORDS of a program that leads to imapd\n"
    "  -A, --all                 all users of both servers\n"
    "  -f, --users FILE          the users named in FILE, one a line\n"
    "  -a, --authname NAME       administrator (default: proxy_authname)\n"
    "  -w, --password-file FILE  its password (default: the environment variable\n"
    "                            CHECK_REPLICATION_PASSWORD, HOST_password, proxy_password)\n"
    "      --authname-b NAME, --password-file-b FILE   the same for SERVER_B\n"
    "  -m, --mechs LIST          SASL mechanisms to choose from\n"
    "      --require-tls         no login without TLS and a verified certificate\n"
    "      --ca FILE             certificates that verify (default: tls_server_ca_file)\n"
    "      --deleted             deleted mailboxes too\n"
    "      --deep                fetch all messages, and compare their contents\n"
    "      --wait SECONDS        compare a user that differs again for so long\n"
    "      --timeout SECONDS     longest silence of a server (default 300)\n"
    "  -j, --json                one JSON document instead of lines\n"
    "  -q, --quiet               no table and no progress\n"
    "  -C FILE                   imapd.conf\n"
    "      --help, --version\n";

struct options {
    const char *altconfig, *users_file;
    const char *authname[2], *password_file[2], *mechs, *ca_file;
    const char *servers[2];
    bool all, deleted, deep, json, quiet, require_tls;
    int wait, timeout;
    strarray_t users;
};

struct job {
    const struct options *opts;
    struct check_end ends[2];
    char *passwords[2];
    struct check_report *report;
    struct check_run run;
    bool progress; /* a line on the terminal that is written again and again */
};

/* ---- progress ---- */

static void show_progress(struct job *job, const char *user, size_t done, size_t n)
{
    if (job->progress)
        fprintf(stderr, "\r\033[K%s: %zu of %zu mailboxes, %llu messages", user, done, n,
                (unsigned long long)job->run.counts[CHECK_MESSAGES].a);
}

static void clear_progress(struct job *job)
{
    if (job->progress) fprintf(stderr, "\r\033[K");
}

/* ---- one user ---- */

/* Differences of one attempt, kept until it is known to be the last. */
struct kept {
    struct check_diff *v;
    size_t n, alloc;
};

static void keep_diff(void *rock, const struct check_diff *d)
{
    struct kept *k = rock;

    if (k->n == k->alloc) {
        k->alloc = grow_alloc(k->alloc, k->n + 1);
        k->v = xreallocarray(k->v, k->alloc, sizeof(*k->v));
    }
    struct check_diff *copy = &k->v[k->n++];
    *copy = *d;
    copy->user = xstrdup(d->user);
    copy->mailbox = xstrdupnull(d->mailbox);
    copy->field = xstrdup(d->field);
    copy->a = xstrdupnull(d->a);
    copy->b = xstrdupnull(d->b);
    copy->note = xstrdupnull(d->note);
}

static void kept_free(struct kept *k)
{
    for (size_t i = 0; i < k->n; i++) {
        const struct check_diff *d = &k->v[i];
        const char *strings[] = { d->user, d->mailbox, d->field, d->a, d->b, d->note };
        for (size_t j = 0; j < array_size(strings); j++) free((char *)(uintptr_t)strings[j]);
    }
    free(k->v);
    memset(k, 0, sizeof(*k));
}

static void tell_error(struct job *job, int end, const char *user, const char *mailbox)
{
    clear_progress(job);
    check_report_error(job->report, end, user, mailbox, check_end_error(&job->ends[end]));
    job->run.failed = true;
}

static void show_window(void *rock)
{
    struct job *job = rock;

    if (job->progress) fprintf(stderr, ".");
}

/* A server that only refuses is asked on; one that is lost ends the user. */
static bool examine_pair(struct job *job, struct check_user *users, const struct check_twins *twins)
{
    struct check_mailbox *boxes[2] = { twins->a, twins->b };

    for (int e = 0; e < 2; e++) {
        if (!boxes[e]) continue;
        if (check_examine(&job->ends[e], boxes[e])) {
            tell_error(job, e, users[e].userid, boxes[e]->name);
            if (check_end_lost(&job->ends[e])) return false;
        }
    }
    return true;
}

static void compare_pair(struct job *job, struct check_user *users, const struct check_twins *twins)
{
    struct check_mailbox *boxes[2] = { twins->a, twins->b };
    struct check_stream streams[2];
    struct sync_stream source[2];
    int failed;

    check_compare_mailbox(&job->run, users[0].userid, twins);
    for (int e = 0; e < 2; e++) {
        streams[e].progress = show_window;
        streams[e].rock = job;
        source[e] = check_stream_open(&streams[e], &job->ends[e], &users[e], boxes[e]);
    }
    int r = check_compare_messages(&job->run, users[0].userid, twins, source[0], source[1],
                                   &failed);
    if (r == IMAP_MAILBOX_BADFORMAT) {
        clear_progress(job);
        check_report_error(job->report, failed, users[0].userid, boxes[failed]->name,
                           "UIDs are not in rising order");
        job->run.failed = true;
    }
    else if (r) {
        tell_error(job, failed, users[0].userid, boxes[failed]->name);
    }
    for (int e = 0; e < 2; e++)
        if (boxes[e]) check_mailbox_dropmessages(boxes[e]);
}

static void compare_mailboxes(struct job *job, struct check_user *users)
{
    size_t n;
    struct check_twins *twins = check_pair_mailboxes(&users[0], &users[1], &n);
    bool complete = true;

    for (size_t i = 0; complete && i < n; i++) {
        show_progress(job, users[0].userid, i, n);
        complete = examine_pair(job, users, &twins[i]);
        if (complete) compare_pair(job, users, &twins[i]);
        complete = complete && !check_end_lost(&job->ends[0]) && !check_end_lost(&job->ends[1]);
    }
    if (complete) check_compare_quotas(&job->run, &users[0], &users[1]);
    clear_progress(job);
    free(twins);
}

/* Both servers answer, after a connection that the user before lost too. */
static bool renew_ends(struct job *job, const char *userid)
{
    for (int e = 0; e < 2; e++)
        if (check_end_renew(&job->ends[e])) {
            tell_error(job, e, userid, NULL);
            return false;
        }
    return true;
}

static void compare_once(struct job *job, const char *userid)
{
    struct check_user users[2];
    bool ok = renew_ends(job, userid);

    for (int e = 0; e < 2; e++) check_user_init(&users[e], userid);
    show_progress(job, userid, 0, 0);
    for (int e = 0; ok && e < 2; e++) {
        ok = !check_fetch_user(&job->ends[e], &users[e]);
        if (!ok) tell_error(job, e, userid, NULL);
    }
    if (ok && !users[0].nmailboxes && !users[1].nmailboxes) {
        clear_progress(job);
        check_report_error(job->report, 0, userid, NULL, "no such user on either server");
        job->run.failed = true;
        ok = false;
    }
    for (int e = 0; e < 2; e++) job->run.facts[e] = job->ends[e].facts;
    job->run.connected = true;
    if (ok) {
        check_compare_user(&job->run, &users[0], &users[1]);
        compare_mailboxes(job, users);
    }
    for (int e = 0; e < 2; e++) check_user_free(&users[e]);
}

static bool same_diff(const struct check_diff *x, const struct check_diff *y)
{
    return x->what == y->what && x->uid == y->uid && !strcmp(x->field, y->field) &&
           !strcmpnull(x->mailbox, y->mailbox) && !strcmpnull(x->a, y->a) && !strcmpnull(x->b, y->b);
}

/* Attempts report in the same order. */
static bool same_kept(const struct kept *x, const struct kept *y)
{
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!same_diff(&x->v[i], &y->v[i])) return false;
    return true;
}

static bool has_differences(const struct kept *k)
{
    for (size_t i = 0; i < k->n; i++)
        if (!k->v[i].informational) return true;
    return false;
}

/* All that makes a difference what it is, as one string. */
static char *diff_key(const struct check_diff *diff)
{
    return xasprintf("%d %u\n%s\n%s\n%s\n%s", diff->what, diff->uid, diff->field,
                     diff->mailbox ? diff->mailbox : "", diff->a ? diff->a : "\n", diff->b ? diff->b : "\n");
}

static void kept_keys(const struct kept *k, hash_table *keys)
{
    for (size_t i = 0; i < k->n; i++) {
        char *key = diff_key(&k->v[i]);
        hash_insert(key, keys, keys);
        free(key);
    }
}

/* What two attempts said; the rest may be no more than the changes of the moment. */
static void tell_stable(struct job *job, const char *userid, const struct kept *last,
                        const struct kept *kept)
{
    hash_table keys = HASH_TABLE_INITIALIZER;
    size_t unsure = 0;
    char text[128];

    kept_keys(last, &keys);
    for (size_t i = 0; i < kept->n; i++) {
        char *key = diff_key(&kept->v[i]);
        if (hash_lookup(key, &keys))
            check_report_diff(job->report, &kept->v[i]);
        else
            unsure++;
        free(key);
    }
    free_hash_table(&keys, NULL);
    snprintf(text, sizeof(text), "changes while it is compared: %zu differences were not the same in %d attempts",
             unsure, MAXATTEMPTS);
    check_report_error(job->report, 0, userid, NULL, text);
    job->run.failed = true;
}

static void compare_user(struct job *job, const char *userid)
{
    struct check_run before = job->run;
    time_t end = time(NULL) + job->opts->wait;
    struct kept last = { NULL, 0, 0 }, kept = { NULL, 0, 0 };
    bool stable = false;

    job->run.report = keep_diff;
    for (int attempt = 1;; attempt++) {
        job->run.rock = &kept;
        compare_once(job, userid);
        stable = !has_differences(&kept) || (attempt > 1 && same_kept(&kept, &last));
        if (job->run.failed > before.failed || !has_differences(&kept)) break;
        bool waiting = time(NULL) < end;
        if (!waiting && (stable || attempt >= MAXATTEMPTS)) break;
        /* this attempt is forgotten, but for what it said */
        kept_free(&last);
        last = kept;
        memset(&kept, 0, sizeof(kept));
        memcpy(job->run.counts, before.counts, sizeof(before.counts));
        if (waiting) sleep(1);
    }
    if (!stable && job->run.failed == before.failed)
        tell_stable(job, userid, &last, &kept);
    else
        for (size_t i = 0; i < kept.n; i++) check_report_diff(job->report, &kept.v[i]);
    kept_free(&last);
    kept_free(&kept);
}

/* ---- all of it ---- */

static bool open_end(struct job *job, int e)
{
    const struct options *o = job->opts;
    struct check_login login = {
        .server = o->servers[e],
        .authname = o->authname[e],
        .password = job->passwords[e],
        .mechs = o->mechs,
        .ca_file = o->ca_file,
        .require_tls = o->require_tls,
        .deleted = o->deleted,
        .deep = o->deep,
        .timeout = o->timeout,
    };

    if (!check_end_open(&job->ends[e], &login)) return true;
    tell_error(job, e, NULL, NULL);
    return false;
}

static bool list_all(struct job *job, strarray_t *users)
{
    for (int e = 0; e < 2; e++)
        if (check_list_users(&job->ends[e], users)) {
            tell_error(job, e, NULL, NULL);
            return false;
        }
    strarray_sort(users, NULL);
    strarray_uniq(users);
    return true;
}

static void run_job(struct job *job, strarray_t *users)
{
    const struct options *o = job->opts;

    if (!open_end(job, 0) || !open_end(job, 1)) return;
    job->run.deleted = o->deleted;
    job->run.deep = o->deep;
    if (o->all && !list_all(job, users)) return;
    for (int i = 0; i < strarray_size(users); i++) {
        compare_user(job, strarray_nth(users, i));
        fflush(stdout);
    }
}

static int exit_code(const struct check_run *run)
{
    if (run->failed) return EXIT_UNKNOWN;
    for (size_t i = 0; i < CHECK_NWHATS; i++)
        if (run->counts[i].differ) return EXIT_DIFFERENT;
    return EXIT_EQUAL;
}

/* ---- options ---- */

static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

static int seconds(const char *s)
{
    uint32_t n;

    if (parse_u32_cstr(s, &n) || n > 86400) usage();
    return (int)n;
}

enum { OPT_AUTHNAME_B = 256, OPT_PASSWORD_B, OPT_TLS, OPT_CA, OPT_DELETED, OPT_DEEP, OPT_WAIT, OPT_TIMEOUT };

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longopts[] = {
        { "all", no_argument, NULL, 'A' },
        { "users", required_argument, NULL, 'f' },
        { "authname", required_argument, NULL, 'a' },
        { "password-file", required_argument, NULL, 'w' },
        { "authname-b", required_argument, NULL, OPT_AUTHNAME_B },
        { "password-file-b", required_argument, NULL, OPT_PASSWORD_B },
        { "mechs", required_argument, NULL, 'm' },
        { "require-tls", no_argument, NULL, OPT_TLS },
        { "ca", required_argument, NULL, OPT_CA },
        { "deleted", no_argument, NULL, OPT_DELETED },
        { "deep", no_argument, NULL, OPT_DEEP },
        { "wait", required_argument, NULL, OPT_WAIT },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "json", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "C:Af:a:w:m:jq", longopts, NULL)) != -1) {
        switch (c) {
        case 'C': o->altconfig = optarg; break;
        case 'A': o->all = true; break;
        case 'f': o->users_file = optarg; break;
        case 'a': o->authname[0] = optarg; break;
        case 'w': o->password_file[0] = optarg; break;
        case OPT_AUTHNAME_B: o->authname[1] = optarg; break;
        case OPT_PASSWORD_B: o->password_file[1] = optarg; break;
        case 'm': o->mechs = optarg; break;
        case OPT_TLS: o->require_tls = true; break;
        case OPT_CA: o->ca_file = optarg; break;
        case OPT_DELETED: o->deleted = true; break;
        case OPT_DEEP: o->deep = true; break;
        case OPT_WAIT: o->wait = seconds(optarg); break;
        case OPT_TIMEOUT: o->timeout = seconds(optarg); break;
        case 'j': o->json = true; break;
        case 'q': o->quiet = true; break;
        default: usage();
        }
    }
    if (argc - optind < 2) usage();
    o->servers[0] = argv[optind++];
    o->servers[1] = argv[optind++];
    while (optind < argc) strarray_append(&o->users, argv[optind++]);
    if (!o->authname[1]) o->authname[1] = o->authname[0];
    if (!o->password_file[1]) o->password_file[1] = o->password_file[0];
    if (!o->all && !o->users_file && !strarray_size(&o->users)) usage();
}

static FILE *open_or_die(const char *path)
{
    FILE *f = fopen(path, "r");

    if (!f) {
        fprintf(stderr, "check_replication: %s: %s\n", path, strerror(errno));
        exit(EX_NOINPUT);
    }
    return f;
}

/* The first line of the file, or the variable; NULL without either. */
static char *read_password(const char *path, const char *variable)
{
    char line[MAXPASSWORD];

    if (!path) return xstrdupnull(getenv(variable));
    FILE *f = open_or_die(path);
    if (!fgets(line, sizeof(line), f)) *line = '\0';
    fclose(f);
    line[strcspn(line, "\r\n")] = '\0';
    char *password = xstrdup(line);
    secure_zero(line, sizeof(line));
    return password;
}

static void read_users(const char *path, strarray_t *users)
{
    FILE *f = open_or_die(path);
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, f) >= 0) {
        struct buf word = BUF_INITIALIZER;
        buf_setcstr(&word, line);
        buf_trim(&word);
        if (word.len && *word.s != '#') strarray_append(users, buf_cstring(&word));
        buf_free(&word);
    }
    free(line);
    fclose(f);
}

int main(int argc, char **argv)
{
    struct options o = { .timeout = 300, .users = STRARRAY_INITIALIZER };
    struct job job = { .opts = &o };

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    /* without an imapd.conf all options have their defaults */
    if (o.altconfig || !access(SYSCONFDIR "/imapd.conf", R_OK))
        cyrus_init(o.altconfig, "check_replication", CYRUSINIT_TOOL | CYRUSINIT_KEEPUID, 0);
    if (o.users_file) read_users(o.users_file, &o.users);
    job.passwords[0] = read_password(o.password_file[0], PASSWORD_VARIABLE);
    job.passwords[1] = read_password(o.password_file[1], PASSWORD_VARIABLE "_B");
    if (!job.passwords[1] && !o.password_file[1]) job.passwords[1] = xstrdupnull(job.passwords[0]);
    job.report = check_report_new(stdout, o.servers, o.json);
    memcpy(job.run.labels, o.servers, sizeof(o.servers));
    job.progress = !o.quiet && isatty(STDERR_FILENO);

    run_job(&job, &o.users);

    int r = exit_code(&job.run);
    check_report_end(&job.report, &job.run, !o.quiet);
    for (int e = 0; e < 2; e++) {
        check_end_close(&job.ends[e]);
        if (job.passwords[e]) secure_zero(job.passwords[e], strlen(job.passwords[e]));
        free(job.passwords[e]);
    }
    strarray_fini(&o.users);
    saslclient_done();
    cyrus_done();
    return r;
}
