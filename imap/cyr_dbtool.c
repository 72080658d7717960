/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_dbtool -- looks into and changes any key-value file (handbook 05 §3.5)
 *
 * One action on one file, under the file's own locks and commit protocol. Where the server keeps a journal, a
 * change is followed by a checkpoint, so that a later power cut does not cut it off (doc/journal.md §7).
 *
 * A file is looked at before it is opened. A damaged one is only read, past the backend (cyr_dbtool_damage.c), and the end is 1.
 * Output is what 3.6.1 prints. A failed batch ends with 1, an error of the database with 75.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cyr_dbtool.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "exitcodes.h"
#include "global.h"
#include "libconfig.h"
#include "txn.h"
#include "userdeny.h"
#include "xmalloc.h"

static const char usage_head[] = "Usage: cyr_dbtool [-C <altconfig>] [-M] [-n] [-T] [-c] <db file> <db backend> <action> "
                                 "[<key>] [<value>]\n"
                                 "       cyr_dbtool [options] --user <user> conversations|seen|sub|counters <action> ...\n"
                                 "       cyr_dbtool [options] --mailbox <mailbox> annotations <action> ...\n";
static const char usage_tail[] =
    "\n"
    "Actions:\n"
    "* show [<prefix>]\n"
    "* get <key>\n"
    "* set <key> <value>\n"
    "* delete <key>\n"
    "* dump - internal format dump\n"
    "* consistent - check consistency\n"
    "* consistency - the same, silent unless it is not\n"
    "* verify - exit code 1 if anything of the file can't be read\n"
    "* repack - repack/checkpoint the DB (if supported)\n"
    "* damage - start a commit then die during\n"
    "* batch - read from stdin and execute commands\n"
    "You may omit key or key/value and specify one per line on stdin\n"
    "keys are terminated by tab or newline, values are terminated by newline\n"
    "\n"
    "  -n  create the file if it is missing\n"
    "  -c  convert the file if it is of another backend\n"
    "  -M  mailbox sort order\n"
    "  -T  do it in one transaction\n"
    "  --decode[=<kind>]  show the records of a database that is known in a form to read\n"
    "  --force            change a damaged file: it is made anew of what can be read, FILE.damaged keeps the old bytes\n";

/* The list of backends is known only here. */
static const char *make_usage(void)
{
    static struct buf text = BUF_INITIALIZER;
    const char *name;

    buf_setcstr(&text, usage_head);
    buf_appendcstr(&text, "Usable Backends: ");
    for (unsigned i = 0; (name = cyrusdb_backend_name(i)); i++) buf_printf(&text, "%s%s", i ? ", " : "", name);
    buf_putc(&text, '\n');
    buf_appendcstr(&text, usage_tail);
    return buf_cstring(&text);
}

/* ---- actions ---- */

static int failed(const char *what, int r)
{
    if (!r || r == CYRUSDB_NOTFOUND) return EX_OK;
    fprintf(stderr, "%s failed: %s\n", what, cyrusdb_strerror(r));
    return EX_TEMPFAIL;
}

static int show_record(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    static struct buf line = BUF_INITIALIZER;
    struct dbtool *tool = rock;

    if (tool->kind >= 0) {
        if (!dbtool_decode(tool, key, keylen, data, datalen, &line)) tool->bad++;
        puts(buf_cstring(&line));
        return 0;
    }
    fwrite(key, 1, keylen, stdout);
    putchar('\t');
    fwrite(data, 1, datalen, stdout);
    putchar('\n');
    return 0;
}

static int do_show(struct dbtool *tool)
{
    const char *prefix = tool->key ? tool->key : "";
    int code = failed("show", cyrusdb_foreach(tool->db, prefix, strlen(prefix), show_record, tool));
    return !code && tool->bad ? 1 : code;
}

static int get_one(struct dbtool *tool, const char *key, size_t keylen, const char *value, size_t valuelen)
{
    const char *data;
    size_t len;
    (void)value, (void)valuelen;
    int r = cyrusdb_fetch(tool->db, key, keylen, &data, &len);
    if (!r) fwrite(data, 1, len, stdout);
    putchar('\n');
    return r;
}

static int set_one(struct dbtool *tool, const char *key, size_t keylen, const char *value, size_t valuelen)
{
    return keylen ? cyrusdb_store(tool->db, key, keylen, value, valuelen) : 0;
}

static int delete_one(struct dbtool *tool, const char *key, size_t keylen, const char *value, size_t valuelen)
{
    (void)value, (void)valuelen;
    return cyrusdb_delete(tool->db, key, keylen, true);
}

typedef int one_fn(struct dbtool *tool, const char *key, size_t keylen, const char *value, size_t valuelen);

/* KEY, or KEY TAB VALUE, a line. */
static int each_line(struct dbtool *tool, one_fn *fn)
{
    char *line = NULL;
    size_t alloc = 0;
    ssize_t n;
    int r = 0;

    while ((!r || r == CYRUSDB_NOTFOUND) && (n = getline(&line, &alloc, stdin)) >= 0) {
        if (n && line[n - 1] == '\n') n--;
        const char *tab = memchr(line, '\t', (size_t)n);
        size_t keylen = tab ? (size_t)(tab - line) : (size_t)n;
        r = fn(tool, line, keylen, tab ? tab + 1 : "", tab ? (size_t)n - keylen - 1 : 0);
    }
    free(line);
    return r;
}

static int one_or_lines(struct dbtool *tool, const char *what, one_fn *fn)
{
    const char *value = tool->value ? tool->value : "";
    int r = tool->key ? fn(tool, tool->key, strlen(tool->key), value, strlen(value)) : each_line(tool, fn);
    return failed(what, r);
}

static int do_get(struct dbtool *tool)
{
    return one_or_lines(tool, "get", get_one);
}

static int do_set(struct dbtool *tool)
{
    return one_or_lines(tool, "set", set_one);
}

static int do_delete(struct dbtool *tool)
{
    return one_or_lines(tool, "delete", delete_one);
}

static int do_dump(struct dbtool *tool)
{
    struct buf out = BUF_INITIALIZER;
    int r = cyrusdb_dump(tool->db, 0, &out);
    fwrite(out.len ? out.s : "", 1, out.len, stdout);
    buf_free(&out);
    return failed("dump", r == CYRUSDB_NOTIMPLEMENTED ? 0 : r);
}

static int do_consistent(struct dbtool *tool)
{
    int r = cyrusdb_consistent(tool->db);
    puts(!r || r == CYRUSDB_NOTIMPLEMENTED ? "Yes, consistent" : "No, not consistent");
    return EX_OK;
}

static int do_consistency(struct dbtool *tool)
{
    int r = cyrusdb_consistent(tool->db);
    if (r && r != CYRUSDB_NOTIMPLEMENTED) printf("Consistency Error for %s\n", cyrusdb_fname(tool->db));
    return EX_OK;
}

/* Its bytes have been looked at. */
static int do_verify(struct dbtool *tool)
{
    int r = cyrusdb_consistent(tool->db);
    if (!r || r == CYRUSDB_NOTIMPLEMENTED) return EX_OK;
    fprintf(stderr, "%s: records are not linked as they should be\n", tool->fname);
    return 1;
}

static int do_repack(struct dbtool *tool)
{
    int r = cyrusdb_repack(tool->db);
    if (r && r != CYRUSDB_NOTIMPLEMENTED) puts("Failed to repack");
    return EX_OK;
}

static int do_damage(struct dbtool *tool)
{
    int r = tool->onetxn ? 0 : cyrusdb_begin(tool->db, 0);
    if (!r) r = cyrusdb_store(tool->db, "INVALID", 7, "CRASHME", 7);
    if (!r) r = cyrusdb_flush(tool->db);
    if (r) return failed("damage", r);
    fatal("damage: ended inside a transaction, as asked for", EX_SOFTWARE);
}

static const struct action {
    const char *name;
    int (*fn)(struct dbtool *tool);
    bool changes;
} actions[] = {
    { "show", do_show, false },
    { "get", do_get, false },
    { "set", do_set, true },
    { "delete", do_delete, true },
    { "dump", do_dump, false },
    { "consistent", do_consistent, false },
    { "consistency", do_consistency, false },
    { "verify", do_verify, false },
    { "repack", do_repack, true },
    { "damage", do_damage, true },
    { "batch", dbtool_batch, true },
};

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (!strcmp(actions[i].name, name)) return &actions[i];
    }
    return NULL;
}

/* ---- a file that is only read ---- */

static int salvage_show(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct dbtool *tool = rock;
    size_t len = tool->key ? strlen(tool->key) : 0;

    if (keylen < len || (len && memcmp(key, tool->key, len) != 0)) return 0;
    return show_record(rock, key, keylen, data, datalen);
}

static int salvage_get(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct dbtool *tool = rock;

    if (!tool->key || keylen != strlen(tool->key) || memcmp(key, tool->key, keylen) != 0) return 0;
    fwrite(data, 1, datalen, stdout);
    return 0;
}

/* What the action can do without opening the file as a database; 1 when it is damaged or has records that can't be decoded. */
static int read_only(struct dbtool *tool, const struct action *action)
{
    unsigned damaged = tool->bad;
    int r = 0;

    if (action->fn == do_show) r = dbtool_salvage(tool, salvage_show);
    if (action->fn == do_get) r = dbtool_salvage(tool, salvage_get);
    if (action->fn == do_get) putchar('\n');
    if (damaged && action->fn == do_consistent) puts("No, not consistent");
    if (damaged && action->fn == do_consistency) printf("Consistency Error for %s\n", tool->fname);
    if (action->fn == do_consistent || action->fn == do_consistency) return EX_OK; /* as 3.6.1 ends */
    if (damaged && action->changes) fprintf(stderr, "%s is damaged and left as it is; --force changes it\n", tool->fname);
    return r ? failed(action->name, r) : tool->bad ? 1 : EX_OK;
}

/* ---- the journal ---- */

/* Is there one? Then it is put in order before the change, and told of it afterwards. */
static bool has_journal(void)
{
    struct stat st;
    char *path = xasprintf("%s/journal/checkpoint", config_dir ? config_dir : "");
    bool there = !diskio_stat(path, &st);
    free(path);
    return there;
}

static int run_opened(struct dbtool *tool, const struct action *action)
{
    int r = cyrusdb_open(tool->backend, tool->fname, tool->flags, &tool->db);
    if (r) fatal("can't open database", EX_TEMPFAIL);
    if (tool->onetxn && cyrusdb_begin(tool->db, 0)) fatal("can't start a transaction", EX_TEMPFAIL);
    int code = action->fn(tool);
    if (tool->onetxn && (r = cyrusdb_commit(tool->db))) code = failed("commit", r);
    cyrusdb_close(tool->db);
    cyrusdb_done();
    return code;
}

static int run_surveyed(struct dbtool *tool, const struct action *action)
{
    dbtool_survey(tool);
    if (tool->bad && !(action->changes && tool->force)) return read_only(tool, action);
    if (!action->changes && access(tool->fname, W_OK) && errno == EACCES) return read_only(tool, action);
    if (tool->bad && dbtool_rebuild(tool)) return EX_IOERR;
    tool->bad = 0;
    return run_opened(tool, action);
}

static int run(struct dbtool *tool, const struct action *action)
{
    struct journal *j;
    bool journaled = action->changes && has_journal();

    if (dbtool_check_rights(tool, action->changes)) return EX_NOPERM;
    if (!tool->backend && action->changes) {
        fprintf(stderr, "%s: this file can only be shown\n", tool->fname);
        return EX_USAGE;
    }
    if (!tool->backend) return dbtool_counters(tool, action->fn == do_show);
    if (journaled && txn_journal(&j)) fprintf(stderr, "warning: the journal can't be opened, see the log\n");
    int code = run_surveyed(tool, action);
    if (action->changes) userdeny_changed(tool->fname);
    if (journaled && txn_checkpoint()) code = EX_TEMPFAIL;
    if (journaled) txn_shutdown();
    return code;
}

static int perform(struct dbtool *tool, const char *name)
{
    const struct action *action = find_action(name);

    if (action) return run(tool, action);
    printf("Unknown action %s\n", name);
    return EX_OK;
}

enum { OPT_DECODE = 256, OPT_USER, OPT_MAILBOX, OPT_FORCE };

static const struct option long_options[] = { { "decode", optional_argument, NULL, OPT_DECODE },
                                              { "user", required_argument, NULL, OPT_USER },
                                              { "mailbox", required_argument, NULL, OPT_MAILBOX },
                                              { "force", no_argument, NULL, OPT_FORCE },
                                              { NULL, 0, NULL, 0 } };

struct options {
    const char *alt_config;
    bool decode;
    const char *kind; /* of --decode; NULL: by the name of the file */
};

/* False: wrong usage. */
static bool read_options(int argc, char **argv, struct options *o, struct dbtool *tool)
{
    int opt;

    while ((opt = getopt_long(argc, argv, "C:MntTc", long_options, NULL)) != EOF) {
        switch (opt) {
        case 'C': o->alt_config = optarg; break;
        case 'M': tool->flags |= CYRUSDB_MBOXSORT; break;
        case 'n': tool->flags |= CYRUSDB_CREATE; break;
        case 'c': tool->flags |= CYRUSDB_CONVERT; break;
        case 'T': tool->onetxn = true; break;
        case 't': break;
        case OPT_DECODE: o->decode = true, o->kind = optarg; break;
        case OPT_USER: tool->userid = optarg; break;
        case OPT_MAILBOX: tool->mailbox = optarg; break;
        case OPT_FORCE: tool->force = true; break;
        default: return false;
        }
    }
    return !(tool->userid && tool->mailbox);
}

int main(int argc, char **argv)
{
    struct dbtool tool = { .kind = -1 };
    struct options o = { .decode = false };
    const char *usage = make_usage();

    cyrus_std_options(argc, argv, usage);
    bool good = read_options(argc, argv, &o, &tool);
    bool named = tool.userid || tool.mailbox;
    int at = optind + (named ? 1 : 2); /* the action */
    if (!good || argc <= at) {
        fputs(usage, stderr);
        return EX_USAGE_OLD;
    }
    if (!named) {
        tool.fname = argv[optind];
        tool.backend = argv[optind + 1];
    }
    tool.key = argc > at + 1 ? argv[at + 1] : NULL;
    tool.value = argc > at + 2 ? argv[at + 2] : NULL;
    if (!named && tool.fname[0] != '/') {
        dbtool_say_absolute();
        return EX_OSERR;
    }
    cyrus_init(o.alt_config, "cyr_dbtool", CYRUSINIT_TOOL, 0);
    int code = named ? dbtool_resolve(&tool, argv[optind]) : EX_OK;
    if (!code && o.decode && tool.backend && (tool.kind = dbtool_find_kind(o.kind, tool.fname)) < 0) {
        fprintf(stderr, "%s: no kind of database that can be decoded\n", o.kind ? o.kind : tool.fname);
        code = EX_USAGE;
    }
    if (!code) code = perform(&tool, argv[at]);
    if (fflush(stdout)) code = EX_IOERR;
    free(tool.owned);
    cyrus_done();
    return code;
}
