/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metadata_entries -- which annotations the server and every mailbox have (handbook 04 §3.17)
 *
 * Tables, and the entries that the file annotation_definitions adds to them.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "libconfig.h"
#include "metadata.h"
#include "metadata_values.h"
#include "strarray.h"
#include "sync_policy.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define V "/vendor/cmu/cyrus-imapd/"
#define BOTH (METADATA_SHARED | METADATA_PRIVATE)

/* clang-format off */
const struct metadata_entry metadata_server_entries[] = {
    /* name                     set              type              indb   priv   extra get, set */
    { "/admin",                 METADATA_SHARED, METADATA_STRING,  true,  false, NULL, NULL, NULL },
    { "/comment",               BOTH,            METADATA_STRING,  true,  false, NULL, NULL, NULL },
    { "/motd",                  METADATA_SHARED, METADATA_STRING,  false, false, NULL, metadata_get_motd, metadata_set_motd },
    { V "expire",               METADATA_SHARED, METADATA_UINT,    true,  false, NULL, NULL, NULL },
    { V "squat",                METADATA_SHARED, METADATA_BOOLEAN, true,  false, NULL, NULL, NULL },
    { V "shutdown",             METADATA_SHARED, METADATA_STRING,  false, false, NULL, metadata_get_shutdown, metadata_set_shutdown },
    { V "freespace",            0,               METADATA_STRING,  false, false, NULL, metadata_get_freespace, NULL },
    { V "freespace/total",      0,               METADATA_STRING,  false, false, NULL, metadata_get_freespace_total, NULL },
    { V "freespace/percent/most", 0,             METADATA_STRING,  false, false, NULL, metadata_get_freespace_most, NULL },
    { V "usermodseq",           0,               METADATA_STRING,  false, true,  NULL, metadata_get_usermodseq, NULL },
    { V "usercounters",         0,               METADATA_STRING,  false, true,  NULL, metadata_get_usercounters, NULL },
    { NULL, 0, 0, false, false, NULL, NULL, NULL }
};

const struct metadata_entry metadata_mailbox_entries[] = {
    { "/check",                 BOTH,            METADATA_BOOLEAN, true,  false, NULL, NULL, NULL },
    { "/checkperiod",           BOTH,            METADATA_UINT,    true,  false, NULL, NULL, NULL },
    { "/comment",               BOTH,            METADATA_STRING,  true,  false, NULL, NULL, NULL },
    { "/sort",                  BOTH,            METADATA_STRING,  true,  false, NULL, NULL, NULL },
    { "/thread",                BOTH,            METADATA_STRING,  true,  false, NULL, NULL, NULL },
    { "/specialuse",            METADATA_PRIVATE, METADATA_STRING, true,  false, NULL, NULL, metadata_set_specialuse },
    { SYNC_POLICY_ENTRY,        METADATA_SHARED, METADATA_STRING,  true,  false, NULL, NULL, metadata_set_durability },
    { V "annotsize",            0,               METADATA_STRING,  false, false, NULL, metadata_get_annotsize, NULL },
    { V "archive",              METADATA_SHARED, METADATA_UINT,    true,  false, "a",  NULL, NULL },
    { V "delete",               METADATA_SHARED, METADATA_UINT,    true,  false, "a",  NULL, NULL },
    { V "expire",               METADATA_SHARED, METADATA_UINT,    true,  false, "a",  NULL, NULL },
    { V "duplicatedeliver",     METADATA_SHARED, METADATA_BOOLEAN, false, false, NULL, metadata_get_duplicatedeliver, metadata_set_duplicatedeliver },
    { V "foldermodseq",         0,               METADATA_STRING,  false, false, NULL, metadata_get_foldermodseq, NULL },
    { V "hasalarms",            0,               METADATA_STRING,  false, false, NULL, metadata_get_hasalarms, NULL },
    { V "lastpop",              0,               METADATA_STRING,  false, false, NULL, metadata_get_lastpop, NULL },
    { V "lastupdate",           0,               METADATA_STRING,  false, false, NULL, metadata_get_lastupdate, NULL },
    { V "news2mail",            METADATA_SHARED, METADATA_STRING,  true,  false, "a",  NULL, NULL },
    { V "partition",            0,               METADATA_STRING,  false, false, NULL, metadata_get_partition, NULL },
    { V "pop3newuidl",          METADATA_SHARED, METADATA_BOOLEAN, false, false, NULL, metadata_get_pop3newuidl, metadata_set_pop3newuidl },
    { V "pop3showafter",        METADATA_SHARED, METADATA_STRING,  false, false, NULL, metadata_get_pop3showafter, metadata_set_pop3showafter },
    { V "search-fuzzy-always",  METADATA_SHARED, METADATA_STRING,  true,  false, NULL, NULL, metadata_set_searchfuzzy },
    { V "sharedseen",           METADATA_SHARED, METADATA_BOOLEAN, false, false, NULL, metadata_get_sharedseen, metadata_set_sharedseen },
    { V "sieve",                METADATA_SHARED, METADATA_STRING,  true,  false, "a",  NULL, NULL },
    { V "size",                 0,               METADATA_STRING,  false, false, NULL, metadata_get_size, NULL },
    { V "sortorder",            METADATA_PRIVATE, METADATA_UINT,   true,  false, NULL, NULL, NULL },
    { V "squat",                METADATA_SHARED, METADATA_BOOLEAN, true,  false, "a",  NULL, NULL },
    { V "synccrcs",             0,               METADATA_STRING,  false, false, NULL, metadata_get_synccrcs, NULL },
    { V "uniqueid",             0,               METADATA_STRING,  false, false, NULL, metadata_get_uniqueid, NULL },
    { V "userrawquota",         0,               METADATA_STRING,  false, false, NULL, metadata_get_userrawquota, NULL },
    { NULL, 0, 0, false, false, NULL, NULL, NULL }
};
/* clang-format on */

/* ---- annotation_definitions ---- */

static const char *const scope_words[] = { "server", "mailbox", "message" };

static unsigned attributes(const char *text)
{
    strarray_t *words = strarray_split(text, NULL, 0);
    unsigned set = 0;

    for (int i = 0; i < strarray_size(words); i++) {
        const char *w = strarray_nth(words, i);
        if (!strcmp(w, "value") || !strcmp(w, "content-type"))
            set |= BOTH;
        else if (!strcmp(w, "value.shared") || !strcmp(w, "content-type.shared"))
            set |= METADATA_SHARED;
        else if (!strcmp(w, "value.priv") || !strcmp(w, "content-type.priv"))
            set |= METADATA_PRIVATE;
    }
    strarray_free(words);
    return set;
}

static bool type_of(const char *word, enum metadata_type *type)
{
    static const struct {
        const char *word;
        enum metadata_type type;
    } types[] = {
        { "string", METADATA_STRING },   { "content-type", METADATA_STRING },
        { "boolean", METADATA_BOOLEAN }, { "uint", METADATA_UINT },
        { "int", METADATA_INT },
    };

    for (size_t i = 0; i < array_size(types); i++) {
        if (strcmp(word, types[i].word)) continue;
        *type = types[i].type;
        return true;
    }
    return false;
}

/* name,scope,type,proxytype,attributes,extra-rights; NULL: no definition. */
static struct metadata_entry *parse_definition(const strarray_t *fields, enum metadata_scope *scope)
{
    enum metadata_type type;
    size_t i = 0;

    if (strarray_size(fields) != 6) return NULL;
    const char *name = strarray_nth(fields, 0);
    while (i < array_size(scope_words) && strcmp(strarray_nth(fields, 1), scope_words[i])) i++;
    *scope = (enum metadata_scope)i;
    if (i == array_size(scope_words) || *name != '/' || strstarts(name, V) ||
        (*scope == METADATA_MESSAGE && strstarts(name, "/flags/")) ||
        !type_of(strarray_nth(fields, 2), &type))
        return NULL;
    struct metadata_entry *entry = xzmalloc(sizeof(*entry));
    entry->name = xstrdup(name);
    entry->set = attributes(strarray_nth(fields, 4));
    entry->type = type;
    entry->indb = true;
    entry->extra = *strarray_nth(fields, 5) ? xstrdup(strarray_nth(fields, 5)) : NULL;
    return entry;
}

static void add_line(hash_table *tables, char *line, const char *path, unsigned number)
{
    enum metadata_scope scope;

    line[strcspn(line, "\r\n")] = '\0';
    while (*line == ' ' || *line == '\t') line++;
    if (!*line || *line == '#') return;
    strarray_t *fields = strarray_split(line, ",", STRARRAY_TRIM | STRARRAY_KEEPEMPTY);
    if (strarray_size(fields)) lcase(fields->data[0]);
    struct metadata_entry *entry = parse_definition(fields, &scope);
    if (entry)
        hash_insert(entry->name, entry, &tables[scope]);
    else
        syslog(LOG_ERR, "%s:%u: not an annotation definition", path, number);
    strarray_free(fields);
}

/* Read once in the life of a process, like the configuration that names the file. */
static const hash_table *definitions(enum metadata_scope scope)
{
    static hash_table tables[3];
    static bool read;
    const char *path = config_getstring(IMAPOPT_ANNOTATION_DEFINITIONS);
    char *line = NULL;
    size_t alloc = 0;
    unsigned number = 0;

    if (read) return &tables[scope];
    read = true;
    for (size_t i = 0; i < array_size(tables); i++) construct_hash_table(&tables[i], 16);
    if (!path) return &tables[scope];
    FILE *f = fopen(path, "re");
    if (!f) {
        xsyslog(LOG_ERR, "IOERROR: can't read annotation definitions", "filename=<%s>", path);
        return &tables[scope];
    }
    while (getline(&line, &alloc, f) > 0) add_line(tables, line, path, ++number);
    free(line);
    fclose(f);
    return &tables[scope];
}

const struct metadata_entry *metadata_entry_find(enum metadata_scope scope, const char *name)
{
    const struct metadata_entry *entry = scope == METADATA_SERVER ? metadata_server_entries
                                                                  : metadata_mailbox_entries;

    if (scope != METADATA_MESSAGE)
        for (; entry->name; entry++)
            if (!strcmp(entry->name, name)) return entry;
    return hash_lookup(name, definitions(scope));
}

bool metadata_name_allowed(const char *name)
{
    if (strstarts(name, V)) return false;
    if (strstarts(name, "/vendor/") && !strstarts(name, "/vendor/cmu/")) {
        const char *rest = strchr(name + strlen("/vendor/"), '/');
        if (rest && rest[1]) return true;
    }
    return config_getswitch(IMAPOPT_ANNOTATION_ALLOW_UNDEFINED);
}
