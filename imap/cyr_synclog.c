/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_synclog -- say that something is to be replicated (handbook 03 §14, 05 §3.11)
 *
 * Writes one event, as the change of a user, mailbox, ... would: into the journal, and with
 * sync_log: yes into the text logs of the channels that have no rolling client of ours. Without an option the text is the line itself.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "buf.h"
#include "global.h"
#include "xmalloc.h"
#include "imap_err.h"
#include "sync_log.h"
#include "sync_logline.h"
#include "txn.h"
#include "util.h"

static const char usage_text[] =
    "Usage: cyr_synclog [-C FILE] [-u|-U|-v|-m|-M|-q|-n|-s|-b] VALUE [VALUE]\n"
    "  -u USER      the whole user            -U USER      the user is gone\n"
    "  -v USER      subscriptions, seen state, scripts\n"
    "  -m MAILBOX   the mailbox               -M MAILBOX   the mailbox is gone\n"
    "  -q ROOT      a quota root              -n MAILBOX   annotations (\"\": of the server)\n"
    "  -s USER UNIQUEID   seen state          -b USER MAILBOX   a subscription\n"
    "  without: VALUE is a line of the sync log\n";

static const struct {
    char opt;
    const char *type;
    int nargs;
} types[] = {
    { 'u', "USER", 1 },       { 'U', "UNUSER", 1 }, { 'v', "META", 1 }, { 'm', "MAILBOX", 1 }, { 'M', "UNMAILBOX", 1 },
    { 'q', "QUOTA", 1 },      { 'n', "ANNOTATION", 1 }, { 's', "SEEN", 2 }, { 'b', "SUB", 2 },
};

static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

static int find_type(int opt)
{
    for (size_t i = 0; i < array_size(types); i++)
        if (types[i].opt == opt) return (int)i;
    return -1;
}

static int parse_options(int argc, char **argv, const char **alt_config)
{
    int opt, chosen = -1;

    while ((opt = getopt(argc, argv, "C:uUvmMqnsbac")) != EOF) {
        int type = find_type(opt);
        if (opt == 'C')
            *alt_config = optarg;
        else if (type >= 0)
            chosen = type;
        else if (opt != 'a' && opt != 'c') /* without a meaning, as in 3.6.1 */
            usage();
    }
    return chosen;
}

static void make_line(int type, int argc, char **argv, struct buf *line)
{
    int nargs = type < 0 ? 1 : types[type].nargs;

    if (argc != nargs) usage();
    if (type < 0)
        buf_setcstr(line, argv[0]);
    else if (!sync_log_line(types[type].type, argv[0], nargs > 1 ? argv[1] : NULL, line))
        fatal("a name with a line break, or too long", EX_DATAERR);
}

static int write_line(const char *text)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = sync_log_text(txn, text);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

int main(int argc, char **argv)
{
    const char *alt_config = NULL;
    struct buf line = BUF_INITIALIZER;
    struct sync_logline parsed = SYNC_LOGLINE_INITIALIZER;

    cyrus_std_options(argc, argv, usage_text);
    int type = parse_options(argc, argv, &alt_config);
    cyrus_set_fatal_prefix("cyr_synclog: ");
    make_line(type, argc - optind, argv + optind, &line);
    if (sync_logline_parse(buf_cstring(&line), &parsed) != SYNC_LOGREAD_OK)
        fatal("not a line of a sync log", EX_DATAERR);
    cyrus_init(alt_config, "cyr_synclog", CYRUSINIT_TOOL, 0);
    int r = write_line(buf_cstring(&line));
    if (r) fprintf(stderr, "cyr_synclog: %s\n", error_message(r));
    sync_logline_fini(&parsed);
    buf_free(&line);
    txn_shutdown();
    cyrus_done();
    return r ? EX_TEMPFAIL : EX_OK;
}
