/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metadata -- reading and setting annotations of the server and of mailboxes
 *
 * Reading first walks the database, then the tables of what every mailbox has, then
 * the names that were asked for and have no value. Locks are held per look-up only.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "append.h"
#include "glob.h"
#include "hash.h"
#include "imap_err.h"
#include "index.h"
#include "mboxname.h"
#include "metadata.h"
#include "ptrarray.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"

#define SHARED "/shared"
#define PRIVATE "/private"

/* ---- reading ---- */

struct getter {
    struct metadata_source src;
    enum metadata_scope scope;
    ptrarray_t globs; /* struct glob *, one a pattern */
    bool *matched;    /* some entry was told for this pattern */
    hash_table told;
    bool may_read; /* l and r */
    metadata_cb *cb;
    void *rock;
};

static bool matches(struct getter *g, const char *name)
{
    bool found = false;

    for (int i = 0; i < ptrarray_size(&g->globs); i++) {
        if (!glob_test(ptrarray_nth(&g->globs, i), name, strlen(name))) continue;
        g->matched[i] = found = true;
    }
    return found;
}

static void tell(struct getter *g, const char *name, const struct buf *value)
{
    if (hash_lookup(name, &g->told) || !matches(g, name)) return;
    hash_insert(name, g, &g->told);
    g->cb(name, value, g->rock);
}

static int stored(const char *mboxname, uint32_t uid, const struct annotation *annot, void *rock)
{
    struct getter *g = rock;
    const struct metadata_entry *entry = metadata_entry_find(g->scope, annot->entry);

    (void)mboxname;
    (void)uid;
    if (entry && !entry->indb) return 0;
    bool shared = !*annot->userid;
    if (!shared && (!g->src.who->userid || strcmp(annot->userid, g->src.who->userid))) return 0;
    char *name = xasprintf("%s%s", shared ? SHARED : PRIVATE, annot->entry);
    tell(g, name, &annot->value);
    free(name);
    return 0;
}

static void one_builtin(struct getter *g, const struct metadata_entry *entry, bool shared)
{
    struct buf value = BUF_INITIALIZER;
    char *name = xasprintf("%s%s", shared ? SHARED : PRIVATE, entry->name);

    if (!hash_lookup(name, &g->told) && matches(g, name)) {
        bool has = entry->get && entry->get(&g->src, &value);
        tell(g, name, has ? &value : NULL);
    }
    buf_free(&value);
    free(name);
}

static void builtins(struct getter *g)
{
    const struct metadata_entry *entry = g->scope == METADATA_SERVER ? metadata_server_entries
                                                                     : metadata_mailbox_entries;

    for (; entry->name; entry++) {
        if (strstarts(entry->name, "/vendor/cylinder/")) continue; /* 3.6.1 has none: shown only where it is set */
        if (!g->may_read && strcmp(entry->name, "/vendor/cmu/cyrus-imapd/partition")) continue;
        if (entry->indb || entry->isprivate) one_builtin(g, entry, false);
        if (entry->indb || !entry->isprivate) one_builtin(g, entry, true);
    }
}

static void missing(struct getter *g, const strarray_t *patterns)
{
    for (int i = 0; i < strarray_size(patterns); i++) {
        const char *pattern = strarray_nth(patterns, i);
        if (g->matched[i] || glob_haswildcard(ptrarray_nth(&g->globs, i))) continue;
        if (!hash_lookup(pattern, &g->told)) g->cb(pattern, NULL, g->rock);
    }
}

static uint32_t rights_of(const struct metadata_who *who, const mbentry_t *mbentry)
{
    return index_effective_rights(who->auth, who->isadmin, mbentry->acl);
}

static bool may_read(const struct metadata_who *who, const mbentry_t *mbentry)
{
    const uint32_t need = ACL_LOOKUP | ACL_READ;

    return !mbentry || who->isadmin || (rights_of(who, mbentry) & need) == need;
}

int metadata_get(const struct metadata_who *who, const mbentry_t *mbentry,
                 const strarray_t *patterns, metadata_cb *cb, void *rock)
{
    struct getter g = {
        .src = { .who = who, .mbentry = mbentry },
        .scope = mbentry ? METADATA_MAILBOX : METADATA_SERVER,
        .may_read = may_read(who, mbentry),
        .cb = cb,
        .rock = rock,
    };
    int r = 0;

    g.matched = xcalloc((size_t)strarray_size(patterns) + 1, sizeof(bool));
    construct_hash_table(&g.told, 32);
    for (int i = 0; i < strarray_size(patterns); i++)
        ptrarray_append(&g.globs, glob_init(strarray_nth(patterns, i), '/', 0));

    if (g.may_read) r = annotatemore_foreach(mbentry, NULL, NULL, NULL, stored, &g);
    if (!r) builtins(&g);
    if (!r) r = g.src.r; /* what can't be read is not NIL */
    if (!r && !g.may_read && !hash_numrecords(&g.told)) r = IMAP_PERMISSION_DENIED;
    if (!r && g.may_read) missing(&g, patterns);

    uint64_t lsn = g.src.mailbox ? mailbox_seen_lsn(g.src.mailbox) : 0;
    mailbox_close(&g.src.mailbox);
    for (int i = 0; i < ptrarray_size(&g.globs); i++) {
        struct glob *glob = ptrarray_nth(&g.globs, i);
        glob_free(&glob);
    }
    ptrarray_fini(&g.globs);
    free_hash_table(&g.told, NULL);
    free(g.matched);
    return r ? r : txn_wait(lsn);
}

/* ---- setting ---- */

/* "/shared/comment" to its parts. False: neither shared nor private. */
static bool split_name(const char *entry, const char **name, bool *shared)
{
    *shared = strstarts(entry, SHARED "/");
    if (!*shared && !strstarts(entry, PRIVATE "/")) return false;
    *name = entry + (*shared ? strlen(SHARED) : strlen(PRIVATE));
    return true;
}

static int check_access(const struct metadata_who *who, const mbentry_t *mbentry,
                        const struct metadata_entry *entry, bool shared)
{
    uint32_t need = ACL_LOOKUP, extra = 0;

    if (who->isadmin) return 0;
    if (!mbentry) return shared ? IMAP_PERMISSION_DENIED : 0;
    if (shared) {
        if (entry && entry->extra) cyrus_acl_strtomask(entry->extra, &extra, NULL);
        need |= ACL_READ | ACL_WRITE | extra;
    }
    return (rights_of(who, mbentry) & need) == need ? 0 : IMAP_PERMISSION_DENIED;
}

static int check_type(enum metadata_type type, struct buf *value)
{
    uint32_t u;
    int64_t i;

    switch (type) {
    case METADATA_STRING: return 0;
    case METADATA_BOOLEAN:
        buf_lcase(value);
        return buf_cmpcstr(value, "true") && buf_cmpcstr(value, "false") ? IMAP_ANNOTATION_BADVALUE
                                                                         : 0;
    case METADATA_UINT: return parse_u32(value->s, value->len, &u) ? IMAP_ANNOTATION_BADVALUE : 0;
    case METADATA_INT: return parse_i64(value->s, value->len, &i) ? IMAP_ANNOTATION_BADVALUE : 0;
    }
    return IMAP_INTERNAL;
}

/* The growth has to fit. */
static int check_quota(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                       const char *name, const char *userid, const struct buf *value)
{
    struct quota_diffs diffs = { -1, -1, -1, -1 };
    struct mailbox *mailbox = NULL;
    struct buf old = BUF_INITIALIZER;
    int r = 0;

    if (!mbentry || who->ignorequota || !value) return 0;
    if (annotatemore_lookup(mbentry, name, userid, txn, &old)) buf_reset(&old);
    if (value->len > old.len) {
        diffs.annotstorage = (int64_t)(value->len - old.len);
        r = mailbox_open_mbentry_iwl(txn, mbentry, &mailbox);
        if (!r) r = append_check_quota(mailbox, &diffs);
    }
    buf_free(&old);
    return r;
}

static int store(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                 const char *name, bool shared, const struct buf *value)
{
    char *owner = mbentry ? mboxname_to_userid(mbentry->name) : NULL;
    const char *userid = shared ? "" : who->userid;

    int r = txn_lock_user(txn, owner);
    if (!r) r = check_quota(who, txn, mbentry, name, userid, value);
    if (!r) r = annotatemore_write(txn, mbentry, name, userid, value, who->silent ? MAILBOX_SILENT : 0);
    free(owner);
    return r;
}

int metadata_set(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                 const char *entry, const struct buf *value)
{
    enum metadata_scope scope = mbentry ? METADATA_MAILBOX : METADATA_SERVER;
    struct buf checked = BUF_INITIALIZER;
    const char *name;
    bool shared;

    if (!split_name(entry, &name, &shared)) return IMAP_ANNOTATION_BADENTRY;
    const struct metadata_entry *e = metadata_entry_find(scope, name);
    if (e && !(e->set & (shared ? METADATA_SHARED : METADATA_PRIVATE)))
        return IMAP_PERMISSION_DENIED;
    if (!e && !metadata_name_allowed(name)) return IMAP_PERMISSION_DENIED;
    int r = check_access(who, mbentry, e, shared);
    if (value) buf_copy(&checked, value);
    if (!r && e && value) r = check_type(e->type, &checked);
    if (!r && e && e->set_fn) r = e->set_fn(who, txn, mbentry, value ? &checked : NULL);
    if (!r && (!e || e->indb)) r = store(who, txn, mbentry, name, shared, value ? &checked : NULL);
    buf_free(&checked);
    return r;
}
