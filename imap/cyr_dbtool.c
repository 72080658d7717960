/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_dbtool -- looks into and changes any key-value file (handbook 05 §3.5)
 *
 * One action on one file, under the file's own locks and commit protocol. Where the server keeps a journal, a
 * change is followed by a checkpoint, so that a later power cut does not cut it off (doc/journal.md §7).
 *
 * Output is what 3.6.1 prints. A failed batch ends with 1, an error of the database with 75.
 */
#include <config.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cyr_dbtool.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "exitcodes.h"
#include "global.h"
#include "libconfig.h"
#include "txn.h"
#include "xmalloc.h"

static const char usage_head[] = "Usage: cyr_dbtool [-C <altconfig>] [-M] [-n] [-T] [-c] <db file> <db backend> <action> "
                                 "[<key>] [<value>]\n";
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
    "* repack - repack/checkpoint the DB (if supported)\n"
    "* damage - start a commit then die during\n"
    "* batch - read from stdin and execute commands\n"
    "You may omit key or key/value and specify one per line on stdin\n"
    "keys are terminated by tab or newline, values are terminated by newline\n"
    "\n"
    "  -n  create the file if it is missing\n"
    "  -c  convert the file if it is of another backend\n"
    "  -M  mailbox sort order\n"
    "  -T  do it in one transaction\n";

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
    (void)rock;
    fwrite(key, 1, keylen, stdout);
    putchar('\t');
    fwrite(data, 1, datalen, stdout);
    putchar('\n');
    return 0;
}

static int do_show(struct dbtool *tool)
{
    const char *prefix = tool->key ? tool->key : "";
    return failed("show", cyrusdb_foreach(tool->db, prefix, strlen(prefix), show_record, NULL));
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

static int run(struct dbtool *tool, const struct action *action)
{
    struct journal *j;
    bool journaled = action->changes && has_journal();

    if (journaled && txn_journal(&j)) fprintf(stderr, "warning: the journal can't be opened, see the log\n");
    int r = cyrusdb_open(tool->backend, tool->fname, tool->flags, &tool->db);
    if (r) fatal("can't open database", EX_TEMPFAIL);
    if (tool->onetxn && cyrusdb_begin(tool->db, 0)) fatal("can't start a transaction", EX_TEMPFAIL);
    int code = action->fn(tool);
    if (tool->onetxn && (r = cyrusdb_commit(tool->db))) code = failed("commit", r);
    cyrusdb_close(tool->db);
    cyrusdb_done();
    if (journaled && txn_checkpoint()) code = EX_TEMPFAIL;
    if (journaled) txn_shutdown();
    return code;
}

int main(int argc, char **argv)
{
    struct dbtool tool = { .flags = 0 };
    const char *alt_config = NULL;
    const char *usage = make_usage();
    int opt;

    cyrus_std_options(argc, argv, usage);
    while ((opt = getopt(argc, argv, "C:MntTc")) != EOF) {
        switch (opt) {
        case 'C': alt_config = optarg; break;
        case 'M': tool.flags |= CYRUSDB_MBOXSORT; break;
        case 'n': tool.flags |= CYRUSDB_CREATE; break;
        case 'c': tool.flags |= CYRUSDB_CONVERT; break;
        case 'T': tool.onetxn = true; break;
        case 't': break;
        default: optind = argc; break;
        }
    }
    if (argc - optind < 3) {
        fputs(usage, stderr);
        return EX_USAGE_OLD;
    }
    tool.fname = argv[optind];
    tool.backend = argv[optind + 1];
    tool.key = argc - optind > 3 ? argv[optind + 3] : NULL;
    tool.value = argc - optind > 4 ? argv[optind + 4] : NULL;
    if (tool.fname[0] != '/') {
        dbtool_say_absolute();
        return EX_OSERR;
    }
    cyrus_init(alt_config, "cyr_dbtool", CYRUSINIT_TOOL, 0);
    const struct action *action = find_action(argv[optind + 2]);
    int code = EX_OK;
    if (action)
        code = run(&tool, action);
    else
        printf("Unknown action %s\n", argv[optind + 2]);
    if (fflush(stdout)) code = EX_IOERR;
    cyrus_done();
    return code;
}
