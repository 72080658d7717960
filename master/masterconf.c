/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * masterconf -- reads cyrus.conf, one section at a time
 *
 * A fault ends the reading with EX_CONFIG and one line of text that names the line.
 */
#include <config.h>

#include "masterconf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "buf.h"
#include "util.h"
#include "xmalloc.h"

struct reader {
    const char *path;
    const char *section;
    bool inside; /* of the wanted section */
    int level;   /* braces open outside of it */
    struct masterconf_entry entry;
    masterconf_fn *fn;
    void *rock;
    struct buf *err;
};

static int bad(struct reader *rd, const char *what)
{
    buf_reset(rd->err);
    buf_printf(rd->err, "configuration file %s: %s on line %u", rd->path, what, rd->entry.line);
    return EX_CONFIG;
}

static int bad_character(struct reader *rd, char c, const char *where)
{
    char what[64];

    snprintf(what, sizeof(what), "bad character '%c' in %s", c ? c : ' ', where);
    return bad(rd, what);
}

static char *skip_blanks(char *p)
{
    while (cyr_isspace(*p)) p++;
    return p;
}

static char *skip_alnum(char *p)
{
    while (cyr_isalnum(*p)) p++;
    return p;
}

/* Cuts a value off at *pp: up to the next quote, or to the next blank. */
static int take_value(struct reader *rd, char **pp, const char **value)
{
    char *p = *pp, *end;

    if (*p == '"') {
        end = strchr(++p, '"');
        if (!end) return bad(rd, "missing \"");
    }
    else {
        end = p;
        while (*end && !cyr_isspace(*end)) end++;
    }
    *value = p;
    *pp = *end ? end + 1 : end;
    *end = '\0';
    return 0;
}

static int take_entry(struct reader *rd, char *p)
{
    struct masterconf_entry *e = &rd->entry;

    char *end = skip_alnum(p);
    if (end == p || (*end && !cyr_isspace(*end))) return bad_character(rd, *end, "name");
    e->name = p;
    e->nargs = 0;
    p = skip_blanks(end);
    *end = '\0';

    while (*p) {
        end = skip_alnum(p);
        if (end == p || *end != '=') return bad_character(rd, *end, "argument");
        if (e->nargs == MASTERCONF_MAXARGS) return bad(rd, "too many arguments");
        e->args[e->nargs].key = p;
        *end = '\0';
        p = end + 1;
        int r = take_value(rd, &p, &e->args[e->nargs].value);
        if (r) return r;
        e->nargs++;
        p = skip_blanks(p);
    }
    return rd->fn(e, rd->rock);
}

/* Is p the header of the wanted section? */
static bool is_header(const struct reader *rd, const char *p)
{
    size_t len = strlen(rd->section);

    return !cyr_strncasecmp(p, rd->section, len) && !cyr_isalnum(p[len]) && strchr(p + len, '{');
}

static int take_line(struct reader *rd, char *line)
{
    line[strcspn(line, "#\r\n")] = '\0';
    char *p = skip_blanks(line);

    if (rd->inside) {
        if (*p == '}') rd->inside = false;
        return !*p || *p == '}' ? 0 : take_entry(rd, p);
    }
    if (!rd->level && is_header(rd, p)) {
        /* One that is closed at once has no entries. */
        rd->inside = *skip_blanks(strchr(p, '{') + 1) != '}';
        return 0;
    }
    for (; *p; p++) {
        if (*p == '{') rd->level++;
        if (*p == '}' && rd->level) rd->level--;
    }
    return 0;
}

static FILE *open_conf(const char *path)
{
    const char *prefix = getenv("CYRUS_PREFIX");
    FILE *f = NULL;

    if (prefix && *prefix) {
        char *full = xasprintf("%s%s", prefix, path);
        f = fopen(full, "re");
        free(full);
    }
    return f ? f : fopen(path, "re");
}

int masterconf_getsection(const char *path, const char *section, masterconf_fn *fn, void *rock,
                          struct buf *err)
{
    struct reader rd = { .path = path, .section = section, .fn = fn, .rock = rock, .err = err };
    char *line = NULL;
    size_t size = 0;
    int r = 0;
    FILE *f = open_conf(path);

    if (!f) {
        buf_reset(err);
        buf_printf(err, "can't open configuration file %s: %s", path, strerror(errno));
        return EX_CONFIG;
    }
    while (!r && getline(&line, &size, f) > 0) {
        rd.entry.line++;
        r = take_line(&rd, line);
    }
    if (!r && ferror(f)) r = bad(&rd, "read error");
    free(line);
    fclose(f);
    return r;
}

const char *masterconf_getstring(const struct masterconf_entry *e, const char *key, const char *def)
{
    for (int i = 0; i < e->nargs; i++)
        if (!strcmp(e->args[i].key, key)) return e->args[i].value;
    return def;
}

int masterconf_getint(const struct masterconf_entry *e, const char *key, int def)
{
    const char *s = masterconf_getstring(e, key, "");
    const char *digits = s + (*s == '-');

    if (!cyr_isdigit(*digits)) return def;
    long n = strtol(s, NULL, 10);
    return n > INT_MAX ? INT_MAX : n < INT_MIN ? INT_MIN : (int)n;
}

bool masterconf_getswitch(const struct masterconf_entry *e, const char *key, bool def)
{
    const char *s = masterconf_getstring(e, key, "");

    if (*s == '0' || *s == 'n' || *s == 'f' || strstarts(s, "of")) return false;
    if (*s == '1' || *s == 'y' || *s == 't' || strstarts(s, "on")) return true;
    return def;
}
