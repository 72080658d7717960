/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unexpunge -- lists expunged messages and gives them back (handbook 05 §3.15)
 *
 * unexpunge(8). A mailbox is restored in batches of one transaction each; what is printed as restored is
 * safe. Exit status: 0; 65 a message or the mailbox can't be read; 66 no such mailbox; 70 -f with a system flag; 75 it could
 * not be done now; 255 usage.
 */
#include <config.h>

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
#include "seqset.h"
#include "txn.h"
#include "unexpunge_messages.h"
#include "util.h"
#include "xmalloc.h"

#define BATCH 2000 /* messages in a transaction */

static const char usage_text[] =
    "unexpunge [-C <altconfig>] -l <mailbox> [<uid>...]\n"
    "unexpunge [-C <altconfig>] -t time-interval [-d] [-v] [-f flag] mailbox\n"
    "unexpunge [-C <altconfig>] -a [-d] [-v] [-f flag] <mailbox>\n"
    "unexpunge [-C <altconfig>] -u [-d] [-v] [-f flag] <mailbox> <uid>...\n";

enum mode { MODE_NONE, MODE_LIST, MODE_ALL, MODE_UID, MODE_TIME };

struct options {
    const char *altconfig, *extname;
    enum mode mode;
    bool verbose;
    struct unexpunge_args args;
    struct seqset *uids;
    int status;
};

static void usage(void) __attribute__((noreturn));
static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE_OLD);
}

static void set_mode(struct options *o, enum mode mode)
{
    if (o->mode) usage();
    o->mode = mode;
}

/* "90", "90s", "5m", "2h", "3d", "1w" */
static time_t parse_interval(const char *text)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
    uint32_t n, factor = 1;
    const char *end = text + strspn(text, "0123456789");

    if (parse_u32(text, (size_t)(end - text), &n)) usage();
    if (*end) {
        size_t i = 0;
        while (i < array_size(units) && units[i].letter != *end) i++;
        if (i == array_size(units) || end[1]) usage();
        factor = units[i].seconds;
    }
    return (time_t)n * factor;
}

static void parse_uids(struct options *o, char **words)
{
    for (; *words; words++) {
        if (!seqset_isvalid(*words, strlen(*words)) || seqset_hasstar(*words, strlen(*words)))
            usage();
        o->uids = seqset_parse(*words, o->uids, 0);
    }
    o->args.uids = o->uids;
}

static void parse(int argc, char **argv, struct options *o)
{
    int c;

    while ((c = getopt(argc, argv, "C:laut:df:v")) != EOF) {
        switch (c) {
        case 'C': o->altconfig = optarg; break;
        case 'l': set_mode(o, MODE_LIST); break;
        case 'a': set_mode(o, MODE_ALL); break;
        case 'u': set_mode(o, MODE_UID); break;
        case 't':
            set_mode(o, MODE_TIME);
            o->args.since = time(NULL) - parse_interval(optarg);
            break;
        case 'd': o->args.unset_deleted = true; break;
        case 'f': o->args.flag = optarg; break;
        case 'v': o->verbose = true; break;
        default: usage();
        }
    }
    bool takes_uids = o->mode == MODE_LIST || o->mode == MODE_UID;
    if (o->mode == MODE_NONE || optind == argc) usage();
    o->extname = argv[optind++];
    if (o->mode == MODE_UID && optind == argc) usage();
    if (!takes_uids && optind < argc) usage();
    parse_uids(o, argv + optind);
}

static int status_of(int r)
{
    if (!r) return EX_OK;
    if (r == IMAP_MAILBOX_NONEXISTENT) return EX_NOINPUT;
    return r == IMAP_AGAIN ? EX_TEMPFAIL : EX_DATAERR;
}

/* ---- list ---- */

static int list_one(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct options *o = rock;

    if (!(rec->internal_flags & FLAG_INTERNAL_EXPUNGED)) return 0;
    if (o->uids && !seqset_ismember(o->uids, rec->uid)) return 0;
    if (message_block_print(mailbox, rec, true)) o->status = EX_DATAERR;
    return 0;
}

static int list(struct options *o, const char *name)
{
    struct mailbox *mailbox = NULL;

    int r = mailbox_open_irl(name, &mailbox);
    if (!r) r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, list_one, o);
    mailbox_close(&mailbox);
    return r;
}

/* ---- restore ---- */

/* Lines wait for the commit. */
struct batch {
    struct options *o;
    struct buf lines;
};

static void told(const struct mailbox *mailbox, uint32_t olduid, uint32_t newuid, int r, void *rock)
{
    struct batch *batch = rock;

    if (!newuid) {
        fprintf(stderr, "%s: can't restore message %u: %s\n", mailbox_name(mailbox), olduid,
                r == IMAP_IOERROR ? "its file is missing" : "its file has another size");
        batch->o->status = EX_DATAERR;
        return;
    }
    syslog(LOG_NOTICE, "Unexpunged %s: %u => %u", mailbox_name(mailbox), olduid, newuid);
    if (batch->o->verbose)
        buf_printf(&batch->lines, "Unexpunged %s: %u => %u\n", batch->o->extname, olduid, newuid);
}

static int restore_batch(struct options *o, const char *name, uint32_t *last, uint32_t *restored)
{
    struct batch batch = { .o = o };
    struct mailbox *mailbox;
    struct txn *txn = NULL;

    o->args.told = told;
    o->args.rock = &batch;
    int r = txn_begin(&txn);
    if (!r) r = mailbox_open_iwl(txn, name, &mailbox);
    if (!r) r = unexpunge_messages(mailbox, &o->args, *last, BATCH, restored, last);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (!r) fputs(buf_cstring(&batch.lines), stdout);
    buf_free(&batch.lines);
    return r;
}

static int restore(struct options *o, const char *name)
{
    uint32_t last = 0, before, n, total = 0;
    int r;

    printf("restoring %sexpunged messages in mailbox '%s'\n", o->mode == MODE_ALL ? "all " : "",
           o->extname);
    do {
        before = last;
        r = restore_batch(o, name, &last, &n);
        if (!r) total += n;
    } while (!r && last != before);
    if (!r || total) printf("restored %u expunged messages\n", total);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = { .mode = MODE_NONE };
    struct namespace ns;

    cyrus_std_options(argc, argv, usage_text);
    parse(argc, argv, &o);
    cyrus_init(o.altconfig, "unexpunge", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (mboxname_init_namespace(&ns, true)) fatal("bad configuration of mailbox names", EX_CONFIG);
    if (o.args.flag && o.args.flag[0] == '\\') fatal("can't set a system flag", EX_SOFTWARE);
    char *name = mboxname_from_external(extname_of(o.extname), &ns, NULL);
    int r = !name                 ? IMAP_MAILBOX_NONEXISTENT
            : o.mode == MODE_LIST ? list(&o, name)
                                  : restore(&o, name);
    if (r) {
        fprintf(stderr, "%s: %s\n", o.extname, error_message(r));
        o.status = status_of(r);
    }
    free(name);
    seqset_free(o.uids);
    txn_shutdown();
    cyrus_done();
    return o.status;
}
