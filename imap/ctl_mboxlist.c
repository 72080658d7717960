/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_mboxlist -- mailboxes.db as text, and whether it fits the partitions (handbook 05 §3.2)
 *
 * Exit status 0; 1 usage; 65 text that is no dump, or with -v a difference; 69 no mupdate server; 75
 * anything else. What is wrong with single entries goes to stderr, and the others are read.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl_mboxlist.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "txn.h"
#include "xmalloc.h"

#define EX_USAGE_1 1

static struct {
    const char *config, *file, *partition;
    char mode; /* d u v m */
    bool remove, intermediates, legacy;
    bool authoritative, warn, interactive;
} opt;

static const char usage[] = "Usage: ctl_mboxlist [-C FILE] -d [-x] [-y] [-p PARTITION] [-f FILE]\n"
                            "       ctl_mboxlist [-C FILE] -u [-L] [-f FILE]\n"
                            "       ctl_mboxlist [-C FILE] -v [-f FILE]\n"
                            "       ctl_mboxlist [-C FILE] -m [-a] [-w] [-i] [-f FILE]\n"
                            "  -C FILE       imapd.conf\n"
                            "  -d            writes all entries to stdout\n"
                            "  -x            with -d: removes each entry that was written\n"
                            "  -y            with -d: intermediate entries too\n"
                            "  -p PARTITION  with -d: only this partition\n"
                            "  -u            reads entries from stdin; others stay\n"
                            "  -L            with -u: lines as releases before 3.6 wrote them\n"
                            "  -v            compares the entries with the partitions\n"
                            "  -m            brings a mupdate server up to date\n"
                            "  -f FILE       another mailboxes.db\n"
                            "  --help, --version\n";

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE_1);
}

static void set_mode(char mode)
{
    if (opt.mode && opt.mode != mode) usage_error();
    opt.mode = mode;
}

static void parse_options(int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "C:duvmxyp:Lawif:rc")) != -1) {
        switch (c) {
        case 'C': opt.config = optarg; break;
        case 'd':
        case 'u':
        case 'v':
        case 'm': set_mode((char)c); break;
        case 'x': opt.remove = true; break;
        case 'y': opt.intermediates = true; break;
        case 'p': opt.partition = optarg; break;
        case 'L': opt.legacy = true; break;
        case 'a': opt.authoritative = true; break;
        case 'w': opt.warn = true; break;
        case 'i': opt.interactive = true; break;
        case 'f': opt.file = optarg; break;
        default: usage_error();
        }
    }
    if (!opt.mode || optind < argc) usage_error();
    if ((opt.remove || opt.intermediates || opt.partition) && opt.mode != 'd') usage_error();
    if (opt.legacy && opt.mode != 'u') usage_error();
    if ((opt.authoritative || opt.warn || opt.interactive) && opt.mode != 'm') usage_error();
}

/* ---- dump ---- */

struct dump {
    struct buf out;
    strarray_t printed;
    bool any;
};

static int dump_cb(const mbentry_t *entry, void *rock)
{
    struct dump *dump = rock;

    if (opt.partition && strcmpnull(entry->partition, opt.partition)) return 0;
    buf_setcstr(&dump->out, dump->any ? ",\n" : "");
    dump->any = true;
    ctl_mboxlist_print(entry, &dump->out);
    fwrite(buf_base(&dump->out), 1, buf_len(&dump->out), stdout);
    if (opt.remove) strarray_append(&dump->printed, entry->name);
    return ferror(stdout) ? IMAP_IOERROR : 0;
}

static int remove_printed(const strarray_t *names)
{
    int r = 0;

    for (int i = 0; !r && i < strarray_size(names); i++) {
        char *userid = mboxname_to_userid(strarray_nth(names, i));
        struct txn *txn;
        r = txn_begin(&txn);
        if (!r) {
            r = txn_lock_user(txn, userid);
            if (!r) r = mboxlist_delete_entry(txn, strarray_nth(names, i));
            if (!r) r = txn_commit(&txn, NULL);
            txn_abort(&txn);
        }
        free(userid);
    }
    return r;
}

static int do_dump(void)
{
    struct dump dump = { .any = false };
    unsigned flags = MBOXTREE_TOMBSTONES | MBOXTREE_DELETED |
                     (opt.intermediates ? MBOXTREE_INTERMEDIATES : 0);

    puts("{");
    int r = mboxlist_allmbox(NULL, dump_cb, &dump, flags);
    puts("\n}");
    if (fflush(stdout) && !r) r = IMAP_IOERROR;
    if (!r) r = remove_printed(&dump.printed); /* only what is safely written */
    strarray_fini(&dump.printed);
    buf_free(&dump.out);
    return r;
}

/* ---- */

static int run(void)
{
    switch (opt.mode) {
    case 'd': return do_dump();
    case 'u': return opt.legacy ? ctl_mboxlist_undump_lines(stdin) : ctl_mboxlist_undump(stdin);
    case 'v': return ctl_mboxlist_verify();
    default:
        if (!config_mupdate_server) fatal("couldn't get mupdate server name", EX_UNAVAILABLE);
        fatal("this server is no member of a murder: mupdate is not supported", EX_UNAVAILABLE);
    }
}

int main(int argc, char **argv)
{
    cyrus_std_options(argc, argv, usage);
    parse_options(argc, argv);
    cyrus_init(opt.config, "ctl_mboxlist", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    mboxlist_db_set_file(opt.file);

    int r = run(), status = EX_OK;
    if (r) {
        if (r != IMAP_MAILBOX_BADFORMAT) fprintf(stderr, "ctl_mboxlist: %s\n", error_message(r));
        status = r == IMAP_MAILBOX_BADFORMAT ? EX_DATAERR : EX_TEMPFAIL;
    }
    txn_shutdown();
    cyrus_done();
    return status;
}
