/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_info -- what the configuration says, and who is connected (handbook 05 §3.7)
 *
 * Reads, and changes nothing. Exit status 0; 255 for a usage error; conf-lint and
 * conf-unsupported tell what they have to tell on stdout.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "exitcodes.h"
#include "global.h"
#include "imapopt_table.h"
#include "libconfig.h"
#include "masterconf.h"
#include "proc.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"

static struct {
    const char *config, *cyrus_conf, *ident;
    unsigned since[3];
    bool has_since;
} opt = { .cyrus_conf = SYSCONFDIR "/cyrus.conf", .ident = "cyr_info" };

static const char usage[] =
    "Usage: cyr_info [-C FILE] [-M FILE] [-n SERVICE] [-s VERSION] COMMAND\n"
    "  -C FILE     imapd.conf\n"
    "  -M FILE     cyrus.conf\n"
    "  -n SERVICE  the configuration as this service sees it\n"
    "  -s VERSION  marks options that have changed since this version\n"
    "  --help, --version\n"
    "Commands:\n"
    "  conf              what differs from the defaults\n"
    "  conf-all          every option\n"
    "  conf-default      the defaults\n"
    "  conf-lint         keys that nothing knows\n"
    "  conf-unsupported  options that are set, and that this server does not act on\n"
    "  proc              who is connected\n"
    "  version\n";

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE_OLD);
}

/* -- versions -- */

/* "3", "3.4", "3.4.1", "cyrus-imapd-3.4.0" */
static bool parse_version(const char *text, unsigned out[3])
{
    static const char prefix[] = "cyrus-imapd-";
    const char *p = strstarts(text, prefix) ? text + sizeof(prefix) - 1 : text;
    const char *end = p + strlen(p);

    out[0] = out[1] = out[2] = 0;
    for (int i = 0; i < 3; i++) {
        if (scan_u32(&p, end, &out[i])) return false;
        if (p == end) return true;
        if (*p++ != '.') return i > 0;
    }
    return true;
}

static bool is_newer(const char *version)
{
    unsigned v[3];

    if (!opt.has_since || !parse_version(version, v)) return false;
    for (int i = 0; i < 3; i++)
        if (v[i] != opt.since[i]) return v[i] > opt.since[i];
    return false;
}

/* -- options -- */

static void print_option(const struct imapopt_def *def, const char *value)
{
    if (is_newer(def->since)) printf("(%s) ", def->since);
    /* No blank behind the name of an empty set: so does 3.6.1. */
    bool empty_set = def->type == IMAPOPT_TYPE_BITFIELD && (!value || !*value);
    printf("%s:%s%s\n", def->name, empty_set ? "" : " ", value ? value : "");
}

/* The value as text; an int in decimal, whatever way it was written. */
static const char *value_text(enum imapopt o, char number[16])
{
    const char *text = config_getstring(o);

    if (imapopts[o].type != IMAPOPT_TYPE_INT || !text) return text;
    if (text[0] != '0' && text[0] != '+' && !(text[0] == '-' && text[1] == '0')) return text;
    snprintf(number, 16, "%d", config_getint(o));
    return number;
}

static void print_pair(const char *key, const char *val, void *rock)
{
    printf("%s: %s\n", key, val);
}

/* Is the value that of the default, with {configdirectory} filled in? */
static bool is_default(const struct imapopt_def *def, const char *text)
{
    static const char mark[] = "{configdirectory}";

    if (!text || !def->dflt) return text == def->dflt;
    if (def->type != IMAPOPT_TYPE_STRING || !strstarts(def->dflt, mark))
        return !strcmp(text, def->dflt);
    return strstarts(text, config_dir) &&
           !strcmp(text + strlen(config_dir), def->dflt + sizeof(mark) - 1);
}

static void cmd_conf(void)
{
    char number[16];

    for (enum imapopt o = IMAPOPT_ZERO + 1; o < IMAPOPT_LAST; o++) {
        const char *text = value_text(o, number);
        if (!is_default(&imapopts[o], text)) print_option(&imapopts[o], text);
    }
    config_foreachoverflowstring(print_pair, NULL);
}

static void cmd_conf_all(void)
{
    char number[16];

    for (enum imapopt o = IMAPOPT_ZERO + 1; o < IMAPOPT_LAST; o++)
        print_option(&imapopts[o], value_text(o, number));
    config_foreachoverflowstring(print_pair, NULL);
}

static void cmd_conf_default(void)
{
    for (enum imapopt o = IMAPOPT_ZERO + 1; o < IMAPOPT_LAST; o++)
        print_option(&imapopts[o], imapopts[o].dflt);
}

static void cmd_conf_unsupported(void)
{
    char number[16];

    for (enum imapopt o = IMAPOPT_ZERO + 1; o < IMAPOPT_LAST; o++)
        if (config_isset(o) && !imapopts[o].acted)
            print_option(&imapopts[o], value_text(o, number));
}

/* -- lint -- */

struct lint {
    strarray_t services; /* entry names, lower case */
    strarray_t channels; /* of sync_log_channels */
};

static int note_service(const struct masterconf_entry *e, void *rock)
{
    char *name = lcase(xstrdup(e->name));

    strarray_add(rock, name);
    free(name);
    return 0;
}

static void lint_init(struct lint *lint)
{
    struct buf err = BUF_INITIALIZER;
    const char *channels = config_getstring(IMAPOPT_SYNC_LOG_CHANNELS);

    if (!access(opt.cyrus_conf, R_OK)) {
        int r = masterconf_getsection(opt.cyrus_conf, "SERVICES", note_service, &lint->services,
                                      &err);
        if (!r)
            r = masterconf_getsection(opt.cyrus_conf, "DAEMON", note_service, &lint->services,
                                      &err);
        if (r) fprintf(stderr, "cyr_info: %s\n", buf_cstring(&err));
    }
    strarray_t *list = strarray_split(channels, NULL, 0);
    for (int i = 0; list && i < strarray_size(list); i++)
        if (strcmp(strarray_nth(list, i), "\"\""))
            strarray_append(&lint->channels, strarray_nth(list, i));
    strarray_free(list);
    buf_free(&err);
}

/* A directory key of a partition that there is. */
static bool is_partition_key(const char *key)
{
    static const char *const prefixes[] = { "metapartition-", "archivepartition-" };
    static const char metadir[] = "metadir-", search[] = "searchpartition-";
    const char *name = NULL;

    for (size_t i = 0; i < array_size(prefixes); i++)
        if (strstarts(key, prefixes[i])) name = key + strlen(prefixes[i]);
    if (strstarts(key, metadir)) {
        const char *dash = strchr(key + sizeof(metadir) - 1, '-');
        if (dash) name = dash + 1;
    }
    const char *found = strstr(key, search);
    if (found) name = found + sizeof(search) - 1;
    return name && config_partitiondir(name);
}

static bool is_known(const char *key)
{
    static const char *const prefixes[] = { "partition-", "backuppartition-", "xlist-", "sasl_" };

    if (imapopt_byname(key, strlen(key))) return true;
    for (size_t i = 0; i < array_size(prefixes); i++)
        if (strstarts(key, prefixes[i])) return true;
    return is_partition_key(key);
}

/* What follows NAME_ in the key, for one of these names; NULL: none of them. */
static const char *after_name(const char *key, const strarray_t *names)
{
    for (int i = 0; i < strarray_size(names); i++) {
        const char *name = strarray_nth(names, i);
        size_t len = strlen(name);
        if (!cyr_strncasecmp(key, name, len) && key[len] == '_') return key + len + 1;
    }
    return NULL;
}

static void lint_pair(const char *key, const char *val, void *rock)
{
    const struct lint *lint = rock;

    if (is_known(key)) return;
    const char *rest = after_name(key, &lint->services);
    if (rest && is_known(rest)) return;
    rest = after_name(key, &lint->channels);
    if (rest && strstarts(rest, "sync_")) return;
    print_pair(key, val, NULL);
}

static void cmd_conf_lint(void)
{
    struct lint lint = { STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };

    lint_init(&lint);
    config_foreachoverflowstring(lint_pair, &lint);
    strarray_fini(&lint.services);
    strarray_fini(&lint.channels);
}

/* -- proc -- */

static int print_proc(pid_t pid, const char *service, const char *clienthost, const char *userid,
                      const char *mailbox, const char *cmd, void *rock)
{
    printf("%d %s %s %s %s %s\n", (int)pid, service, clienthost, userid, mailbox, cmd);
    return 0;
}

static void cmd_proc(void)
{
    proc_foreach(print_proc, NULL);
}

static void cmd_version(void)
{
    printf("cyrus-imapd %s\n", cyrus_version());
}

static const struct {
    const char *name;
    void (*run)(void);
    bool needs_config;
} commands[] = {
    { "conf", cmd_conf, true },
    { "conf-all", cmd_conf_all, true },
    { "conf-default", cmd_conf_default, true },
    { "conf-lint", cmd_conf_lint, true },
    { "conf-unsupported", cmd_conf_unsupported, true },
    { "proc", cmd_proc, true },
    { "version", cmd_version, false },
};

static int run(const char *name)
{
    for (size_t i = 0; i < array_size(commands); i++) {
        if (strcmp(commands[i].name, name)) continue;
        if (commands[i].needs_config)
            cyrus_init(opt.config, opt.ident, CYRUSINIT_TOOL | CYRUSINIT_KEEPUID, 0);
        commands[i].run();
        if (commands[i].needs_config) cyrus_done();
        return fflush(stdout) ? EX_IOERR : EX_OK;
    }
    usage_error();
}

int main(int argc, char **argv)
{
    int c;

    cyrus_std_options(argc, argv, usage);
    while ((c = getopt(argc, argv, "C:M:n:s:")) != -1) {
        switch (c) {
        case 'C': opt.config = optarg; break;
        case 'M': opt.cyrus_conf = optarg; break;
        case 'n': opt.ident = optarg; break;
        case 's':
            if (!parse_version(optarg, opt.since)) usage_error();
            opt.has_since = true;
            break;
        default: usage_error();
        }
    }
    if (optind + 1 != argc) usage_error();
    return run(argv[optind]);
}
