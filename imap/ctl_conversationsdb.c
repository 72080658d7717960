/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_conversationsdb -- dump, load, recalculate, audit and put right the conversations of users
 *
 * ctl_conversationsdb(8); handbook 05 §3.3. Exit codes: 0; 1 an audit or check found something, or a user could not be
 * worked on; 64 usage.
 */
#include <config.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "buf.h"
#include "conversations.h"
#include "ctl_conversationsdb.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "strarray.h"
#include "txn.h"
#include "user.h"
#include "user_strays.h"

static const char usage_text[] =
    "usage: ctl_conversationsdb [-C <altconfig>] [-v] [-n] [-S] [-T <dir>]\n"
    "                           {-d|-u|-z|-b|-R|-A|-F|-M} {<userid>...|-r}\n"
    "  -d  dump the database: key, TAB, value\n"
    "  -u  replace the database by a dump, read from standard input\n"
    "  -z  take the conversation id of every message away\n"
    "  -b  give every message without one a conversation id\n"
    "  -R  recalculate all counts from the mailboxes\n"
    "  -S  with -R: split conversations larger than conversations_max_thread\n"
    "  -A  audit: compare with counts recalculated from the mailboxes\n"
    "  -F  check the list of folders\n"
    "  -M  merge files that an older server left on the legacy path\n"
    "  -n  with -u, -z, -b, -R, -M: only say what would be done\n"
    "  -r  all users\n"
    "  -T  taken for compatibility, nothing is stored there\n"
    "  -v  say more\n";

struct job {
    bool verbose, dryrun, split;
    bool *comparing; /* "Pass 2" was announced */
    const char *userid;
};
/* 0, an error, or FOUND: not as it should be, which was told. */
typedef int mode_fn(const struct job *job, struct user_meta *meta);
#define FOUND 1

static void print_name(const char *mboxname, void *rock)
{
    const struct job *job = rock;

    if (!job->verbose) return;
    printf("%s\n", mboxname);
    fflush(stdout);
}

/* A transaction on the user; ends with the commit, or for a dry run without. */
static int begin(const struct job *job, struct txn **txnp)
{
    int r = txn_begin(txnp);
    return r ? r : txn_lock_user(*txnp, job->userid);
}

static int end(const struct job *job, struct txn **txnp, int r)
{
    if (!r && !job->dryrun) r = txn_commit(txnp, NULL);
    txn_abort(txnp);
    return r;
}

/* ---- -d, -u ---- */

static int dump(const struct job *job, struct user_meta *meta)
{
    struct conversations_state *state = NULL;
    int r = conversations_open_user(NULL, meta, &state);

    (void)job;
    if (!r) r = text_dump(state);
    conversations_close(&state);
    return r;
}

static int undump(const struct job *job, struct user_meta *meta)
{
    struct conversations_state *state = NULL;
    struct txn *txn = NULL;
    size_t where = 0;
    int r = begin(job, &txn);

    if (!r) r = conversations_open_user(txn, meta, &state);
    if (!r) r = conversations_clear(state);
    if (!r) r = text_undump(state, &where);
    if (r == IMAP_MAILBOX_BADFORMAT)
        fprintf(stderr, "%s: no record at byte %zu of the dump, nothing changed\n", job->userid,
                where);
    return end(job, &txn, r);
}

/* ---- -z, -b ---- */

static int change_ids(const struct job *job, enum conv_ids_change change, const char *what)
{
    size_t changed = 0;
    int r = conversations_change_ids(job->userid, change, job->dryrun, &changed);

    if (!r && (job->dryrun || job->verbose))
        printf("%s: %zu messages %s%s\n", job->userid, changed, job->dryrun ? "would " : "", what);
    return r;
}

static int zero(const struct job *job, struct user_meta *meta)
{
    (void)meta;
    return change_ids(job, CONV_IDS_ZERO, "lose their conversation id");
}

static int build(const struct job *job, struct user_meta *meta)
{
    (void)meta;
    return change_ids(job, CONV_IDS_ASSIGN, "get a conversation id");
}

/* ---- -A ---- */

static void announce(const struct job *job)
{
    if (job->comparing && !*job->comparing)
        printf("Pass 2: find differences from recalculated to live dbs\n");
    if (job->comparing) *job->comparing = true;
}

static void print_difference(enum conv_audit_kind kind, const struct buf *key,
                             const struct buf *val, void *rock)
{
    static const char *const names[] = { "REALONLY: ", "TEMPONLY: ", "REAL: ", "TEMP: " };
    const struct job *job = rock;

    if (!job->verbose) return;
    announce(job);
    text_quoted(names[kind], key);
    text_quoted(" data ", val);
    putchar('\n');
}

static int compare(const struct job *job, struct user_meta *meta, conv_mailbox_cb *cb,
                   size_t *differences)
{
    struct txn *txn = NULL;
    int r = begin(job, &txn);

    if (!r) r = conversations_audit_user(txn, meta, cb, print_difference, (void *)job, differences);
    txn_abort(&txn);
    return r;
}

static int audit(const struct job *given, struct user_meta *meta)
{
    size_t differences = 0;
    bool comparing = !given->verbose;
    struct job audited = *given, *job = &audited;

    job->comparing = &comparing;
    if (job->verbose)
        printf("User %s\nPass 1: recalculate counts into temporary db\n", job->userid);
    int r = compare(job, meta, print_name, &differences);
    if (r) return r;
    announce(job);
    if (differences)
        printf("%s is BROKEN (%zu differences)\n", job->userid, differences);
    else if (job->verbose)
        printf("%s is OK\n", job->userid);
    return differences ? FOUND : 0;
}

/* ---- -R ---- */

static int tell_recalculation(const struct job *job, struct user_meta *meta)
{
    size_t differences = 0;
    int r = compare(job, meta, NULL, &differences);

    if (!r) printf("%s: %zu records would change\n", job->userid, differences);
    return r;
}

static int recalculate(const struct job *job, struct user_meta *meta)
{
    int r = job->dryrun ? tell_recalculation(job, meta)
                        : conversations_rebuild_now(job->userid, print_name, (void *)job);

    if (r || !job->split) return r;
    return change_ids(job, CONV_IDS_SPLIT, "go to another conversation");
}

/* ---- -F ---- */

static int check_folders(const struct job *job, struct user_meta *meta)
{
    struct conversations_state *state = NULL;
    int r = conversations_open_user(NULL, meta, &state);

    if (r) return r;
    bool bad = conversations_has_duplicate_folders(state);
    printf("%s %s\n", bad ? "DUPLICATE" : "OK", job->userid);
    conversations_close(&state);
    return bad ? FOUND : 0;
}

/* ---- -M ---- */

static void print_kept(const struct job *job, const strarray_t *kept)
{
    for (int i = 0; !job->dryrun && i < strarray_size(kept); i++)
        printf("%s: kept as %s\n", job->userid, strarray_nth(kept, i));
}

static void print_found(const struct job *job, const strarray_t *paths)
{
    for (int i = 0; i < strarray_size(paths); i++)
        printf("%s: %s stands beside the one of the INBOX's id\n", job->userid, strarray_nth(paths, i));
}

/* The user's other files. */
static int merge_strays(const struct job *job, struct user_meta *meta, bool *any)
{
    strarray_t paths = STRARRAY_INITIALIZER;
    struct user_strays_done done = { .kept = STRARRAY_INITIALIZER };
    int r = user_strays_find(meta, &paths);

    *any = strarray_size(&paths) > 0;
    print_found(job, &paths);
    if (!r && *any) r = user_strays_mend(job->userid, job->dryrun, &done);
    if (!r && *any) {
        printf("%s: %s, %zu seen records and %zu subscriptions have more there%s\n", job->userid,
               job->dryrun ? "would be merged" : "merged", done.seen, done.subs,
               done.damaged ? "; not all of it can be read" : "");
        print_kept(job, &done.kept);
    }
    user_strays_done_fini(&done);
    strarray_fini(&paths);
    return r;
}

static int merge(const struct job *job, struct user_meta *meta)
{
    strarray_t paths = STRARRAY_INITIALIZER;
    struct txn *txn = NULL;
    struct conv_merged done = { .kept = STRARRAY_INITIALIZER };
    bool others = false;
    int r = conversations_find_second(meta, &paths);

    if (!r) print_found(job, &paths);
    if (!r && strarray_size(&paths)) {
        r = begin(job, &txn);
        if (!r) r = conversations_merge_second(txn, meta, &done);
        r = end(job, &txn, r);
        if (!r)
            printf("%s: %s, %zu message ids were only there%s\n", job->userid,
                   job->dryrun ? "would be merged" : "merged", done.msgids,
                   done.damaged ? "; not all of it can be read" : "");
        if (!r) print_kept(job, &done.kept);
    }
    if (!r) r = merge_strays(job, meta, &others);
    if (!r && job->verbose && !others && !strarray_size(&paths)) printf("%s: nothing to merge\n", job->userid);
    conv_merged_fini(&done);
    strarray_fini(&paths);
    return r;
}

/* ---- users ---- */

static int run_user(struct job *job, const char *userid, mode_fn *mode)
{
    struct user_meta *meta = NULL;

    job->userid = userid;
    int r = user_meta_lookup(userid, NULL, &meta);
    if (!r) r = mode(job, meta);
    if (r && r != FOUND) fprintf(stderr, "%s: %s\n", userid, error_message(r));
    user_meta_free(&meta);
    return r;
}

static int collect_user(const char *userid, void *rock)
{
    strarray_append(rock, userid);
    return 0;
}

static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

static const struct {
    char letter;
    mode_fn *fn;
    bool dryrun; /* -n makes sense */
} modes[] = {
    { 'd', dump, false }, { 'u', undump, true },         { 'z', zero, true },
    { 'b', build, true }, { 'R', recalculate, true },    { 'A', audit, false },
    { 'M', merge, true }, { 'F', check_folders, false },
};

struct arguments {
    const char *altconfig;
    char letter; /* of the mode */
    mode_fn *mode;
    bool all, may_dryrun;
};

static bool take_mode(struct arguments *args, int letter)
{
    for (size_t i = 0; i < array_size(modes); i++) {
        if (modes[i].letter != letter) continue;
        if (args->mode) usage();
        args->letter = modes[i].letter;
        args->mode = modes[i].fn;
        args->may_dryrun = modes[i].dryrun;
        return true;
    }
    return false;
}

static void parse_options(int argc, char **argv, struct arguments *args, struct job *job)
{
    int opt;

    while ((opt = getopt(argc, argv, "C:T:vrnSduzbRAFM")) != EOF) {
        if (take_mode(args, opt)) continue;
        switch (opt) {
        case 'C': args->altconfig = optarg; break;
        case 'v': job->verbose = true; break;
        case 'n': job->dryrun = true; break;
        case 'S': job->split = true; break;
        case 'r': args->all = true; break;
        case 'T': break;
        default: usage();
        }
    }
    if (!args->mode || (!args->all && optind == argc)) usage();
    if (job->dryrun && !args->may_dryrun) usage();
    if (args->letter == 'u' && (args->all || optind + 1 != argc)) usage(); /* one dump, one user */
}

int main(int argc, char **argv)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct arguments args = { .letter = 0 };
    struct job job = { .verbose = false };
    int failed = 0;

    cyrus_std_options(argc, argv, usage_text);
    parse_options(argc, argv, &args, &job);
    cyrus_init(args.altconfig, "ctl_conversationsdb", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) {
        fputs("ctl_conversationsdb: conversations are not enabled (option conversations)\n",
              stderr);
        exit(EX_CONFIG);
    }
    txn_need_store();
    if (args.all)
        failed |= mboxlist_alluser(collect_user, &users);
    else
        for (; optind < argc; optind++) strarray_append(&users, argv[optind]);
    for (int i = 0; i < strarray_size(&users); i++)
        failed |= run_user(&job, strarray_nth(&users, i), args.mode);
    strarray_fini(&users);
    txn_shutdown();
    cyrus_done();
    if (fflush(stdout)) failed = 1;
    return failed ? 1 : EX_OK;
}
