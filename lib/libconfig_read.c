/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libconfig_read -- imapd.conf and the files it includes (handbook 05 §2.1, §2.2)
 *
 * Lines are read into the state one after the other; what depends on several of
 * them (deprecated names, {configdirectory}, partitions) is settled at the end.
 * The first error ends the reading with EX_CONFIG and one line of text, and leaves
 * no configuration at all: half of one is worse. Line numbers are those of the
 * last physical line of a joined one.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "exitcodes.h"
#include "libconfig.h"
#include "libconfig_private.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* More than anybody writes; a file this long is not a configuration. */
#define MAX_CONFIG_SIZE (16u << 20)

/* A value that came under a deprecated name. */
struct old_value {
    enum imapopt opt;
    bool own_form;
    char *key, *text;
    unsigned line;
};

struct reader {
    strarray_t files; /* paths as given: each only once */
    hash_table seen;  /* every key, in lower case */
    struct old_value *old;
    size_t nold, oldalloc;
    struct buf *err;
};

/* Where we are in one file. */
struct place {
    const char *name;
    const char *p, *end;
    unsigned line;
};

static int fail(struct reader *rd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct reader *rd, const char *fmt, ...)
{
    va_list args;

    buf_reset(rd->err);
    va_start(args, fmt);
    buf_vprintf(rd->err, fmt, args);
    va_end(args);
    return EX_CONFIG;
}

/* The next line, joined where it ends in a backslash; false at the end of the file. */
static bool next_line(struct place *at, struct buf *line)
{
    bool more = true;

    if (at->p == at->end) return false;
    buf_reset(line);
    while (more && at->p < at->end) {
        const char *lf = memchr(at->p, '\n', (size_t)(at->end - at->p));
        size_t len = (size_t)((lf ? lf : at->end) - at->p);

        more = lf && len && at->p[len - 1] == '\\';
        buf_appendmap(line, at->p, more ? len - 1 : len);
        at->p = lf ? lf + 1 : at->end;
        at->line++;
    }
    return true;
}

static bool is_keychar(char c)
{
    return cyr_isalnum(c) || c == '_' || c == '-';
}

static void remember_old(struct reader *rd, enum imapopt opt, bool own_form, const char *key,
                         const char *text, unsigned line)
{
    if (rd->nold == rd->oldalloc) {
        rd->oldalloc = grow_alloc(rd->oldalloc, rd->nold + 1);
        rd->old = xreallocarray(rd->old, rd->oldalloc, sizeof(*rd->old));
    }
    rd->old[rd->nold++] = (struct old_value){ opt, own_form, xstrdup(key), xstrdup(text), line };
}

static int set_option(struct reader *rd, enum imapopt opt, bool own_form, const char *text,
                      const char *name, unsigned line)
{
    struct config_value *val = &config_state.values[opt];
    struct buf why = BUF_INITIALIZER;

    /* IDENT_option wins whatever the order. */
    if (val->own_form && !own_form) return 0;

    int r = config_value_set(&imapopts[opt], val, text, &why);
    if (r) {
        r = fail(rd, "%s for %s in line %u", buf_cstring(&why), name, line);
    }
    else {
        val->set = true;
        val->own_form = own_form;
    }
    buf_free(&why);
    return r;
}

/*
 * Keys whose line may be repeated; the overflow table has all texts, with LF between them. 3.6.1
 * documents that for autocreate_acl but ends at the second line (handbook 02 §7.2).
 */
static bool take_repeatable(const char *key, const char *text)
{
    static const char *const keys[] = { "autocreate_acl" };

    for (size_t i = 0; i < array_size(keys); i++) {
        if (strcmp(key, keys[i])) continue;
        const char *before = hash_lookup(key, &config_state.overflow);
        char *all = before ? xasprintf("%s\n%s", before, text) : xstrdup(text);
        free(hash_insert(key, all, &config_state.overflow));
        return true;
    }
    return false;
}

static int take_pair(struct reader *rd, const char *key, const char *text, unsigned line)
{
    const char *rest;
    bool own_form = false;
    enum imapopt opt = IMAPOPT_ZERO;

    if (take_repeatable(key, text)) return 0;
    if (hash_lookup(key, &rd->seen))
        return fail(rd,
                    "option '%s' was specified twice in config file (second occurrence on line %u)",
                    key, line);
    hash_insert(key, rd, &rd->seen);

    if (config_skip_ident(key, &rest)) {
        opt = imapopt_byname(rest, strlen(rest));
        own_form = opt != IMAPOPT_ZERO;
    }
    if (!opt) opt = imapopt_byname(key, strlen(key));
    if (!opt) {
        hash_insert(key, xstrdup(text), &config_state.overflow);
        return 0;
    }
    if (imapopts[opt].gone) {
        remember_old(rd, opt, own_form, key, text, line);
        hash_insert(key, xstrdup(text), &config_state.overflow);
        return 0;
    }
    return set_option(rd, opt, own_form, text, imapopts[opt].name, line);
}

static int read_file(struct reader *rd, const char *path);

static int take_directive(struct reader *rd, const char *word, const char *text,
                          const struct place *at)
{
    if (!strcmp(word, "@include")) return read_file(rd, text);
    return fail(rd, "invalid directive on line %u of configuration file %s", at->line, at->name);
}

static int take_line(struct reader *rd, struct buf *line, const struct place *at)
{
    buf_trim(line);
    char *key = (char *)buf_cstring(line), *p = key;

    if (!*key || *key == '#') return 0;
    if (*p == '@') p++;
    while (is_keychar(*p)) p++;
    if (*p != ':' || strlen(key) != line->len)
        return fail(rd, "invalid option name on line %u of configuration file %s", at->line,
                    at->name);
    *p++ = '\0';
    lcase(key);
    while (cyr_isspace(*p)) p++;
    if (!*p) return fail(rd, "empty option value on line %u of configuration file", at->line);

    return *key == '@' ? take_directive(rd, key, p, at) : take_pair(rd, key, p, at->line);
}

static int read_text(struct reader *rd, const char *name, const char *base, size_t len)
{
    struct place at = { name, base, base + len, 0 };
    struct buf line = BUF_INITIALIZER;
    int r = 0;

    while (!r && next_line(&at, &line)) r = take_line(rd, &line, &at);
    buf_free(&line);
    return r;
}

/* The path with $CYRUS_PREFIX in front where such a file is; the caller frees. */
static char *prefixed(const char *path)
{
    const char *prefix = getenv("CYRUS_PREFIX");
    struct stat st;

    if (prefix && *prefix) {
        char *full = xasprintf("%s%s", prefix, path);
        if (!diskio_stat(full, &st)) return full;
        free(full);
    }
    return xstrdup(path);
}

/* Reads all of a file into text; 0 or -errno. */
static int slurp(const char *path, struct buf *text)
{
    char chunk[8192];
    ssize_t n;
    int fd = diskio_open(path, O_RDONLY, 0);

    if (fd < 0) return fd;
    while ((n = diskio_read(fd, chunk, sizeof(chunk))) > 0) {
        buf_appendmap(text, chunk, (size_t)n);
        if (text->len > MAX_CONFIG_SIZE) n = -EFBIG;
        if (n < 0) break;
    }
    diskio_close(fd);
    return n < 0 ? (int)n : 0;
}

static int read_file(struct reader *rd, const char *path)
{
    struct buf text = BUF_INITIALIZER;

    if (strarray_contains(&rd->files, path))
        return fail(rd, "configuration file %s included twice", path);
    strarray_append(&rd->files, path);

    char *full = prefixed(path);
    int r = slurp(full, &text);
    free(full);
    r = r ? fail(rd, "can't open configuration file %s: %s", path, strerror(-r))
          : read_text(rd, path, text.s, text.len);
    buf_free(&text);
    return r;
}

/* -- at the end -- */

static int settle_old(struct reader *rd, const struct old_value *old)
{
    const struct imapopt_def *def = &imapopts[old->opt];

    if (!def->use) {
        syslog(LOG_WARNING, "Option '%s' is deprecated in version %s.", def->name, def->gone);
        return 0;
    }
    syslog(LOG_WARNING, "Option '%s' is deprecated in favor of '%s' since version %s.", def->name,
           imapopts[def->use].name, def->gone);

    const struct config_value *val = &config_state.values[def->use];
    if (val->set && !(old->own_form && !val->own_form)) return 0;
    return set_option(rd, def->use, old->own_form, old->text, def->name, old->line);
}

/* {configdirectory} at the start of a string option. */
static void expand_configdirectory(void)
{
    static const char mark[] = "{configdirectory}";

    for (enum imapopt opt = IMAPOPT_ZERO + 1; opt < IMAPOPT_LAST; opt++) {
        struct config_value *val = &config_state.values[opt];
        if (imapopts[opt].type != IMAPOPT_TYPE_STRING || !val->text) continue;
        if (cyr_strncasecmp(val->text, mark, sizeof(mark) - 1)) continue;
        if (opt == IMAPOPT_CONFIGDIRECTORY) continue;

        char *text = xasprintf("%s%s", config_dir, val->text + sizeof(mark) - 1);
        free(val->text);
        val->text = text;
    }
}

static int settle_defpartition(struct reader *rd)
{
    char *name = config_state.values[IMAPOPT_DEFAULTPARTITION].text;

    if (!name) return 0;
    for (const char *p = lcase(name); *p; p++)
        if (!cyr_isalnum(*p))
            return fail(rd, "defaultpartition option contains non-alnum character");
    config_defpartition = name;
    return 0;
}

static void settle_servername(void)
{
    static char host[HOST_NAME_MAX + 1];
    const char *name = config_getstring(IMAPOPT_SERVERNAME);

    if (!name && !gethostname(host, sizeof(host))) {
        host[sizeof(host) - 1] = '\0';
        name = host;
    }
    config_servername = name && *name ? name : "localhost";
}

static bool is_frontend(void)
{
    return config_mupdate_server &&
           config_getenum(IMAPOPT_MUPDATE_CONFIG) == IMAP_ENUM_MUPDATE_CONFIG_STANDARD &&
           !config_getstring(IMAPOPT_PROXYSERVERS);
}

static void note_partition(const char *partition, const char *dir, void *rock)
{
    *(bool *)rock = true;
}

static int check_partitions(struct reader *rd)
{
    bool any = false;

    if (is_frontend()) return 0;
    if (config_defpartition)
        any = config_partitiondir(config_defpartition) != NULL;
    else
        config_foreachpartition(note_partition, &any);
    if (any) return 0;
    return fail(rd, "partition-%s option not specified in configuration file",
                config_defpartition ? config_defpartition : "<name>");
}

static int settle(struct reader *rd, unsigned flags)
{
    int r = 0;

    for (size_t i = 0; !r && i < rd->nold; i++) r = settle_old(rd, &rd->old[i]);
    if (r) return r;

    config_dir = config_getstring(IMAPOPT_CONFIGDIRECTORY);
    if (!config_dir) return fail(rd, "configdirectory option not specified in configuration file");
    expand_configdirectory();

    r = settle_defpartition(rd);
    if (r) return r;
    settle_servername();
    config_defdomain = config_getstring(IMAPOPT_DEFAULTDOMAIN);
    if (!config_defdomain) config_defdomain = "internal";
    config_mupdate_server = config_getstring(IMAPOPT_MUPDATE_SERVER);
    return flags & CONFIG_NEED_PARTITION_DATA ? check_partitions(rd) : 0;
}

static void end_reading(struct reader *rd)
{
    for (size_t i = 0; i < rd->nold; i++) {
        free(rd->old[i].key);
        free(rd->old[i].text);
    }
    free(rd->old);
    strarray_fini(&rd->files);
    free_hash_table(&rd->seen, NULL);
}

/* Reads text (NULL: the file) with the name. */
static int load(const char *name, const char *text, size_t len, unsigned flags, struct buf *err)
{
    struct reader rd = { .err = err };

    config_reset();
    config_defaults();
    construct_hash_table(&rd.seen, 64);
    construct_hash_table(&config_state.overflow, 32);
    config_filename = xstrdup(name);

    if (text) strarray_append(&rd.files, name);
    int r = text ? read_text(&rd, name, text, len) : read_file(&rd, name);
    if (!r) r = settle(&rd, flags);
    end_reading(&rd);
    if (r)
        config_reset();
    else
        config_state.loaded = true;
    return r;
}

int config_load(const char *path, unsigned flags, struct buf *err)
{
    return load(path ? path : SYSCONFDIR "/imapd.conf", NULL, 0, flags, err);
}

int config_load_string(const char *text, size_t len, unsigned flags, struct buf *err)
{
    return load("(string)", text, len, flags, err);
}

void config_read(const char *path, unsigned flags)
{
    struct buf err = BUF_INITIALIZER;

    int r = config_load(path, flags, &err);
    if (r) fatal(buf_cstring(&err), r);
    buf_free(&err);
}

void config_read_string(const char *text)
{
    struct buf all = BUF_INITIALIZER, err = BUF_INITIALIZER;

    buf_setcstr(&all, text);
    if (!strstr(text, "configdirectory:")) {
        if (all.len && all.s[all.len - 1] != '\n') buf_putc(&all, '\n');
        buf_appendcstr(&all, "configdirectory: /var/imap\n");
    }
    int r = config_load_string(all.s, all.len, 0, &err);
    if (r) fatal(buf_cstring(&err), r);
    buf_free(&all);
    buf_free(&err);
}
