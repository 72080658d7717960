/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_conversationsdb -- dump, recalculate and audit the conversations of users
 *
 * ctl_conversationsdb(8); handbook 05 §3.3. Exit codes: 0; 1 an audit found differences, or a user could not be
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
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "strarray.h"
#include "txn.h"
#include "user.h"

static const char usage_text[] =
    "usage: ctl_conversationsdb [-C <altconfig>] [-v] {-d|-R|-A} {<userid>...|-r}\n"
    "  -d  dump the database: key, TAB, value\n"
    "  -R  recalculate all counts from the mailboxes\n"
    "  -A  audit: compare with counts recalculated from the mailboxes\n"
    "  -r  all users\n"
    "  -v  say more\n";

struct job {
    bool verbose;
    const char *userid;
};
typedef int mode_fn(const struct job *job, struct user_meta *meta);

/* ---- dump ---- */

static int print_record(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    (void)rock;
    fwrite(key, 1, keylen, stdout);
    putchar('\t');
    fwrite(val, 1, vallen, stdout);
    putchar('\n');
    return ferror(stdout) ? IMAP_IOERROR : 0;
}

static int dump(const struct job *job, struct user_meta *meta)
{
    struct conversations_state *state = NULL;
    int r = conversations_open_user(NULL, meta, &state);

    (void)job;
    if (!r) r = conversations_dump(state, print_record, NULL);
    conversations_close(&state);
    return r;
}

/* ---- recalculate ---- */

static int recalculate(const struct job *job, struct user_meta *meta)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (job->verbose) printf("%s\n", job->userid);
    if (!r) r = txn_lock_user(txn, job->userid);
    if (!r) r = conversations_rebuild_user(txn, meta);
    if (!r) r = txn_commit(&txn, NULL);
    if (r) txn_abort(&txn);
    return r;
}

/* ---- audit ---- */

static void print_quoted(const char *label, const struct buf *b)
{
    printf("%s\"", label);
    for (size_t i = 0; i < buf_len(b); i++) {
        unsigned char c = (unsigned char)buf_base(b)[i];
        if (c < ' ' || c >= 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_difference(enum conv_audit_kind kind, const struct buf *key,
                             const struct buf *val, void *rock)
{
    static const char *const names[] = { "REALONLY: ", "TEMPONLY: ", "REAL: ", "TEMP: " };
    const struct job *job = rock;

    if (!job->verbose) return;
    print_quoted(names[kind], key);
    print_quoted(" data ", val);
    putchar('\n');
}

static int audit(const struct job *job, struct user_meta *meta)
{
    struct txn *txn = NULL;
    size_t differences = 0;
    int r = txn_begin(&txn);

    if (job->verbose)
        printf("User %s\nPass 1: recalculate counts into temporary db\n", job->userid);
    if (!r) r = txn_lock_user(txn, job->userid);
    if (!r) r = conversations_audit_user(txn, meta, print_difference, (void *)job, &differences);
    txn_abort(&txn);
    if (r) return r;
    if (differences)
        printf("%s is BROKEN (%zu differences)\n", job->userid, differences);
    else if (job->verbose)
        printf("%s is OK\n", job->userid);
    return differences ? 1 : 0;
}

/* ---- users ---- */

static int run_user(const char *userid, mode_fn *mode, bool verbose)
{
    struct job job = { verbose, userid };
    struct user_meta *meta = NULL;
    int r = user_meta_lookup(userid, NULL, &meta);

    if (!r) r = mode(&job, meta);
    if (r < 0) fprintf(stderr, "%s: %s\n", userid, error_message(r));
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

int main(int argc, char **argv)
{
    strarray_t users = STRARRAY_INITIALIZER;
    const char *altconfig = NULL;
    bool verbose = false, all = false;
    mode_fn *mode = NULL, *wanted;
    int opt, failed = 0;

    cyrus_std_options(argc, argv, usage_text);
    while ((opt = getopt(argc, argv, "C:vrdRA")) != EOF) {
        wanted = opt == 'd' ? dump : opt == 'R' ? recalculate : opt == 'A' ? audit : NULL;
        if (wanted && mode) usage();
        if (wanted) mode = wanted;
        if (opt == 'C') altconfig = optarg;
        if (opt == 'v') verbose = true;
        if (opt == 'r') all = true;
        if (opt == '?') usage();
    }
    if (!mode || (!all && optind == argc)) usage();
    cyrus_init(altconfig, "ctl_conversationsdb", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) {
        fputs("ctl_conversationsdb: conversations are not enabled (option conversations)\n",
              stderr);
        exit(EX_CONFIG);
    }
    if (all)
        failed |= mboxlist_alluser(collect_user, &users);
    else
        for (; optind < argc; optind++) strarray_append(&users, argv[optind]);
    for (int i = 0; i < strarray_size(&users); i++)
        failed |= run_user(strarray_nth(&users, i), mode, verbose);
    strarray_fini(&users);
    txn_shutdown();
    cyrus_done();
    return failed ? 1 : EX_OK;
}
