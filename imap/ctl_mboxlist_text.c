/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_mboxlist_text -- entries of mailboxes.db as JSON and as the lines of older releases
 */
#include <config.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acl.h"
#include "ctl_mboxlist.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"

#define BATCH 256 /* entries in one transaction */

/* ---- printing ---- */

static void add_string(struct buf *out, const char *s)
{
    json_t *json = json_string_nocheck(s);
    char *text = json_dumps(json, JSON_ENCODE_ANY);

    buf_appendcstr(out, text ? text : "\"\"");
    free(text);
    json_decref(json);
}

static void add_member(struct buf *out, const char *name, const char *value)
{
    if (!value) return;
    buf_printf(out, ", \"%s\": ", name);
    add_string(out, value);
}

static void add_acl(struct buf *out, const char *acl)
{
    struct acl_item item;
    const char *sep = "";

    buf_appendcstr(out, ", \"acl\": {");
    while (acl && cyrus_acl_next(&acl, &item)) {
        char *id = xstrndup(item.identifier, item.idlen),
             *rights = xstrndup(item.rights, item.rightslen);
        buf_appendcstr(out, sep);
        add_string(out, id);
        buf_appendcstr(out, ": ");
        add_string(out, rights);
        sep = ", ";
        free(id);
        free(rights);
    }
    buf_putc(out, '}');
}

void ctl_mboxlist_print(const mbentry_t *entry, struct buf *out)
{
    char type[MBTYPE_STRING_MAX];

    add_string(out, entry->name);
    buf_appendcstr(out, ": {\"name\": ");
    add_string(out, entry->name);
    buf_printf(out, ", \"mtime\": \"%" PRIu64 "\", \"uidvalidity\": \"%" PRIu32 "\"",
               (uint64_t)entry->mtime, entry->uidvalidity);
    buf_printf(out, ", \"createdmodseq\": \"%" PRIu64 "\", \"foldermodseq\": \"%" PRIu64 "\"",
               entry->createdmodseq, entry->foldermodseq);
    add_member(out, "mbtype", mbtype_to_string(entry->mbtype, type));
    add_member(out, "partition", entry->partition);
    add_member(out, "server", entry->server);
    add_acl(out, entry->acl);
    add_member(out, "uniqueid", entry->uniqueid);
    add_member(out, "legacy_specialuse", entry->legacy_specialuse);
    buf_appendcstr(out, ", \"name_history\": []}");
}

/* ---- storing: many entries in one transaction ---- */

struct store {
    struct txn *txn;
    unsigned n;
};

static int flush(struct store *store)
{
    int r = store->txn ? txn_commit(&store->txn, NULL) : 0;

    txn_abort(&store->txn);
    store->n = 0;
    return r;
}

static int stage(struct store *store, const char *userid, const mbentry_t *entry)
{
    int r = store->txn ? 0 : txn_begin(&store->txn);
    if (!r) r = txn_lock_user(store->txn, userid);
    return r ? r : mboxlist_update_entry(store->txn, entry->name, entry);
}

static int put(struct store *store, const mbentry_t *entry)
{
    char *userid = mboxname_to_userid(entry->name);

    int r = stage(store, userid, entry);
    if (r == IMAP_AGAIN) { /* somebody has that user; what is staged needs no waiting */
        r = flush(store);
        if (!r) r = stage(store, userid, entry);
    }
    free(userid);
    if (!r && ++store->n >= BATCH) r = flush(store);
    return r;
}

/* ---- JSON ---- */

static const char *member(const json_t *obj, const char *name)
{
    return json_string_value(json_object_get(obj, name));
}

/* Numbers are strings in a dump; a number will do. */
static uint64_t number(const json_t *obj, const char *name, const char *mailbox)
{
    const json_t *value = json_object_get(obj, name);
    uint64_t n = 0;

    if (json_is_integer(value)) return (uint64_t)json_integer_value(value);
    if (!json_is_string(value) || parse_u64_cstr(json_string_value(value), &n))
        fprintf(stderr, "missing %s for %s\n", name, mailbox);
    return n;
}

static void read_acl(json_t *acl, mbentry_t *entry)
{
    struct buf text = BUF_INITIALIZER;
    const char *id;
    json_t *rights;

    json_object_foreach(acl, id, rights)
    {
        if (json_is_string(rights)) buf_printf(&text, "%s\t%s\t", id, json_string_value(rights));
    }
    entry->acl = cyrus_acl_normalise(buf_cstring(&text), buf_len(&text));
    if (!entry->acl) entry->acl = xstrdup("");
    buf_free(&text);
}

/* NULL: told on stderr. */
static mbentry_t *read_entry(const char *name, const json_t *obj)
{
    mbentry_t *entry = mbentry_new(name);
    const char *type = member(obj, "mbtype"), *why = NULL;

    if (!type) fprintf(stderr, "missing mbtype for %s\n", name);
    if (type && mbtype_from_string(type, &entry->mbtype)) why = "bad mbtype for";
    entry->uidvalidity = (uint32_t)number(obj, "uidvalidity", name);
    entry->createdmodseq = number(obj, "createdmodseq", name);
    entry->foldermodseq = number(obj, "foldermodseq", name);
    entry->partition = xstrdupnull(member(obj, "partition"));
    entry->server = xstrdupnull(member(obj, "server"));
    entry->uniqueid = xstrdupnull(member(obj, "uniqueid"));
    bool has_files = !(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE));
    if (has_files || json_object_size(json_object_get(obj, "acl")))
        read_acl(json_object_get(obj, "acl"), entry);
    if (strlen(name) > MAX_MAILBOX_NAME)
        why = "mailbox name too long:";
    else if (entry->partition && !partition_name_isvalid(entry->partition))
        why = strlen(entry->partition) > 64 ? "partition too long for" : "bad partition for";
    else if (!entry->partition && has_files)
        why = "missing partition for";
    else if (!entry->uniqueid)
        why = "missing uniqueid for";
    if (why) {
        fprintf(stderr, "%s %s\n", why, name);
        mbentry_free(&entry);
    }
    return entry;
}

int ctl_mboxlist_undump(FILE *in)
{
    struct store store = { NULL, 0 };
    json_error_t error;
    const char *name;
    json_t *all = json_loadf(in, JSON_REJECT_DUPLICATES, &error), *obj;
    int r = 0;

    if (!json_is_object(all)) {
        fprintf(stderr, "parse error at line %d: %s\n", all ? 1 : error.line,
                all ? "not an object" : error.text);
        json_decref(all);
        return IMAP_MAILBOX_BADFORMAT;
    }
    json_object_foreach(all, name, obj)
    {
        mbentry_t *entry = read_entry(name, obj);
        if (entry) r = put(&store, entry);
        mbentry_free(&entry);
        if (r) break;
    }
    if (!r) r = flush(&store);
    txn_abort(&store.txn);
    json_decref(all);
    return r;
}

/* ---- lines: NAME \t MBTYPE PARTITION ACL>UNIQUEID MTIME UIDVALIDITY FOLDERMODSEQ CREATEDMODSEQ SPECIALUSE ---- */

/* The next word, cut out of *p; NULL at the end. */
static char *word(char **p, const char *seps)
{
    char *start = *p;

    if (!start || !*start) return NULL;
    size_t len = strcspn(start, seps);
    *p = start[len] ? start + len + 1 : NULL;
    start[len] = '\0';
    return start;
}

static void read_tail(char *tail, mbentry_t *entry)
{
    uint64_t n[3] = { 0, 0, 0 };
    const char *uniqueid = word(&tail, " ");

    entry->uniqueid = uniqueid ? xstrdup(uniqueid) : NULL;
    word(&tail, " "); /* mtime: it is now */
    for (size_t i = 0; i < array_size(n); i++) {
        const char *w = word(&tail, " ");
        if (!w || parse_u64_cstr(w, &n[i])) break;
    }
    entry->uidvalidity = (uint32_t)n[0];
    entry->foldermodseq = n[1];
    entry->createdmodseq = n[2];
}

/* NULL: told on stderr. */
static mbentry_t *read_line(char *line, unsigned lineno)
{
    char *rest = line, *name = word(&rest, "\t"), *type = word(&rest, " "),
         *partition = word(&rest, " \t");
    uint32_t mbtype = 0;

    if (!name || !type || !partition || !*partition || parse_u32_cstr(type, &mbtype)) {
        fprintf(stderr, "line %u: no partition found\n", lineno);
        return NULL;
    }
    mbentry_t *entry = mbentry_new(name);
    entry->mbtype = mbtype & (MBTYPE_TYPEMASK | MBTYPE_FLAGMASK);
    char *bang = strchr(partition, '!');
    if (bang) {
        entry->server = xstrndup(partition, (size_t)(bang - partition));
        partition = bang + 1;
    }
    entry->partition = xstrdup(partition);
    char *tail = rest ? strrchr(rest, '>') : NULL;
    if (tail) *tail++ = '\0';
    entry->acl = rest && *rest ? cyrus_acl_normalise(rest, strlen(rest)) : NULL;
    if (!entry->acl) entry->acl = xstrdup("");
    if (tail) read_tail(tail, entry);
    return entry;
}

int ctl_mboxlist_undump_lines(FILE *in)
{
    struct store store = { NULL, 0 };
    char *line = NULL;
    size_t alloc = 0;
    unsigned lineno = 0;
    ssize_t len;
    int r = 0;

    while (!r && (len = getline(&line, &alloc, in)) > 0) {
        lineno++;
        while (len && (line[len - 1] == '\n' || line[len - 1] == '\r')) line[--len] = '\0';
        if (!len) continue;
        mbentry_t *entry = read_line(line, lineno);
        if (entry) r = put(&store, entry);
        mbentry_free(&entry);
    }
    if (!r) r = flush(&store);
    txn_abort(&store.txn);
    free(line);
    return r;
}
