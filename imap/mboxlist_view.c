/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_view -- mailboxes.db read as if all renames of users had followed
 *
 * See mboxlist_pending.h. Without such a rename each function is that of txn_db.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "cyrusdb.h"
#include "imap_err.h"
#include "journal_renames.h"
#include "libconfig.h"
#include "mboxlist_db.h"
#include "mboxlist_pending_int.h"
#include "mboxname.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- the list ---- */

void pending_free(struct pending **listp)
{
    struct pending *p;

    while ((p = *listp)) {
        *listp = p->next;
        buf_free(&p->from);
        buf_free(&p->to);
        free(p->oldinbox);
        free(p->newinbox);
        free(p);
    }
}

static char *intname_of(const char *key, size_t len)
{
    mbname_t *mbname = mbname_from_dbkey(dbname_of(key, len));
    char *name = mbname ? xstrdup(mbname_intname(mbname)) : NULL;

    mbname_free(&mbname);
    return name;
}

static void set_prefix(struct buf *out, const char *key, size_t len)
{
    buf_setcstr(out, "N");
    buf_appendmap(out, key, len);
    buf_putc(out, DB_HIERSEP_CHAR);
}

/* "modseq mtime dbname" */
static int add_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct pending **listp = rock, *p = xzmalloc(sizeof(*p));
    const size_t letters = strlen(PENDING_RENAME);
    char *text = xstrndup(data, datalen), *end = text;

    p->modseq = strtoull(text, &end, 10);
    p->mtime = *end == ' ' ? (time_t)strtoll(end + 1, &end, 10) : 0;
    p->oldinbox = intname_of(key + letters, keylen - letters);
    if (*end == ' ') p->newinbox = intname_of(end + 1, strlen(end + 1));
    if (p->oldinbox && p->newinbox && p->modseq) {
        set_prefix(&p->from, key + letters, keylen - letters);
        set_prefix(&p->to, end + 1, strlen(end + 1));
        p->next = *listp;
        *listp = p;
    }
    else {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged record of a rename in mailboxes.db", "key=<%.*s>", (int)keylen, key);
        pending_free(&p);
    }
    free(text);
    return 0;
}

static int some_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    bool *some = rock;

    (void)key, (void)keylen, (void)data, (void)datalen;
    *some = true;
    return 1;
}

/* Is there nothing, as everybody knows? */
static int look(struct txn_db *db, bool *some)
{
    struct journal *j;
    uint32_t word;

    *some = false;
    int r = txn_journal(&j);
    if (r) return r;
    enum journal_renames known = journal_renames(j, &word);
    if (known != JOURNAL_RENAMES_UNKNOWN && !mboxlist_db_is_other()) {
        *some = known == JOURNAL_RENAMES_SOME;
        return 0;
    }
    r = txn_db_foreach(db, "P", 1, some_cb, some);
    if (*some) r = 0;
    if (!r && !mboxlist_db_is_other() && !txn_db_has_changes(db)) journal_renames_found(j, word, *some);
    return r;
}

int pending_load(struct txn_db *db, struct pending **listp)
{
    bool some;

    *listp = NULL;
    int r = look(db, &some);
    if (!r && some) r = txn_db_foreach(db, PENDING_RENAME, strlen(PENDING_RENAME), add_cb, listp);
    if (r) pending_free(listp);
    return r;
}

bool mboxlist_pending_any(struct txn *txn)
{
    struct txn_db *db = NULL;
    bool some = false;
    struct journal *j;
    uint32_t word;

    if (!txn_journal(&j) && journal_renames(j, &word) == JOURNAL_RENAMES_NONE && !mboxlist_db_is_other()) return false;
    int r = mboxlist_db_open(txn, &db);
    if (!r) r = look(db, &some);
    mboxlist_db_close(&db);
    return r || some;
}

/* ---- folders ---- */

static bool is_below(const struct buf *prefix, const char *key, size_t keylen)
{
    return keylen > buf_len(prefix) && !memcmp(key, buf_base(prefix), buf_len(prefix));
}

const struct pending *pending_to(const struct pending *list, const char *key, size_t keylen)
{
    while (list && !is_below(&list->to, key, keylen)) list = list->next;
    return list;
}

const struct pending *pending_from(const struct pending *list, const char *key, size_t keylen)
{
    while (list && !is_below(&list->from, key, keylen)) list = list->next;
    return list;
}

void pending_key(const struct buf *prefix, const char *rest, size_t restlen, struct buf *key)
{
    buf_copy(key, prefix);
    buf_appendmap(key, rest, restlen);
}

void unfollowed_fini(struct unfollowed *u)
{
    mbentry_free(&u->old);
    mbentry_free(&u->now);
    mbentry_free(&u->left);
}

void mboxlist_renamed_acl(mbentry_t *entry, const char *olduser, const char *newuser)
{
    struct acl_owner none = { NULL, NULL, 0 };
    uint32_t rights = cyrus_acl_rights_of(entry->acl, olduser);

    if (!rights) return;
    cyrus_acl_remove(&entry->acl, olduser, &none);
    cyrus_acl_set(&entry->acl, newuser, ACL_MODE_SET, rights, &none);
}

mbentry_t *mboxlist_left_entry(const mbentry_t *old, modseq_t foldermodseq)
{
    mbentry_t *left = mbentry_new(old->name);

    left->mbtype = (old->mbtype & (MBTYPE_TYPEMASK | MBTYPE_LEGACY_DIRS)) | MBTYPE_DELETED;
    left->uniqueid = xstrdupnull(old->uniqueid);
    left->uidvalidity = old->uidvalidity;
    left->createdmodseq = old->createdmodseq;
    left->foldermodseq = foldermodseq;
    return left;
}

/* What mboxlist_rename.c makes of an entry. */
static void rename_entry(const struct pending *p, char *newname, struct unfollowed *u)
{
    bool bare = (u->old->mbtype & MBTYPE_INTERMEDIATE) || mbentry_is_remote(u->old, config_servername);

    u->now = mbentry_dup(u->old);
    free(u->now->name);
    u->now->name = newname;
    u->now->mtime = p->mtime;
    if (!bare) u->now->foldermodseq = p->modseq;
    char *olduser = mboxname_to_userid(p->oldinbox), *newuser = mboxname_to_userid(p->newinbox);
    mboxlist_renamed_acl(u->now, olduser, newuser);
    free(olduser);
    free(newuser);
    u->left = mboxlist_left_entry(u->old, u->now->foldermodseq);
    u->left->mtime = p->mtime;
}

int pending_folder(struct txn_db *db, const struct pending *p, const char *rest, size_t restlen, struct unfollowed *u)
{
    struct buf key = BUF_INITIALIZER;
    const char *val;
    size_t len;

    *u = (struct unfollowed){ NULL, NULL, NULL };
    pending_key(&p->from, rest, restlen, &key);
    int r = txn_db_fetch(db, buf_base(&key), buf_len(&key), &val, &len);
    if (!r) r = mbentry_parse_n(dbname_of(buf_base(&key) + 1, buf_len(&key) - 1), val, len, &u->old);
    /* a damaged record stays where it is */
    if (r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_BADTYPE) r = IMAP_NOTFOUND;
    if (!r && (u->old->mbtype & MBTYPE_DELETED)) r = IMAP_NOTFOUND;
    char *newname = r ? NULL : mboxname_renamed(u->old->name, p->oldinbox, p->newinbox);
    if (newname)
        rename_entry(p, newname, u);
    else if (!r)
        r = IMAP_INTERNAL;
    if (r) unfollowed_fini(u);
    buf_free(&key);
    return r;
}

/* ---- identities ---- */

/* The folder that the I record of this name and uniqueid belongs to. */
static int folder_of(struct txn_db *db, const struct pending *list, const mbentry_t *i, struct unfollowed *u)
{
    struct buf key = BUF_INITIALIZER;
    int r = IMAP_NOTFOUND;

    *u = (struct unfollowed){ NULL, NULL, NULL };
    if (i->name) mbentry_key_name(i->name, &key);
    const struct pending *p = pending_from(list, key.s, buf_len(&key));
    if (p) r = pending_folder(db, p, key.s + buf_len(&p->from), buf_len(&key) - buf_len(&p->from), u);
    if (!r && strcmpnull(u->old->uniqueid, i->uniqueid)) {
        unfollowed_fini(u);
        r = IMAP_NOTFOUND;
    }
    buf_free(&key);
    return r;
}

/* Brings the value of an I record to the view; IMAP_NOTFOUND: it stays as it is. */
static int translate_i(struct txn_db *db, const struct pending *list, const char *key, size_t keylen, const char *val, size_t len,
                       struct buf *out)
{
    struct unfollowed u;
    mbentry_t *i = NULL;

    if (mbentry_parse_i(key + 1, keylen - 1, val, len, &i)) return IMAP_NOTFOUND;
    int r = folder_of(db, list, i, &u);
    if (!r) {
        u.now->history = i->history;
        u.now->nhistory = i->nhistory;
        i->history = NULL;
        i->nhistory = 0;
        mbentry_add_history(u.now, u.left);
        mbentry_print_i(u.now, u.now->mtime, out);
        unfollowed_fini(&u);
    }
    mbentry_free(&i);
    return r;
}

int mboxlist_view_identity(struct txn_db *db, mbentry_t *i)
{
    struct pending *list;
    struct unfollowed u;

    int r = pending_load(db, &list);
    if (r || !list) return r;
    r = folder_of(db, list, i, &u);
    if (!r) {
        free(i->name);
        i->name = xstrdup(u.now->name);
        unfollowed_fini(&u);
    }
    pending_free(&list);
    return r == IMAP_NOTFOUND ? 0 : r;
}

/* ---- fetch ---- */

static struct buf answer, found; /* of this process */

static int give(const struct buf *buf, const char **val, size_t *len)
{
    if (val) *val = buf_base(buf);
    if (len) *len = buf_len(buf);
    return 0;
}

/* An N record by the new or the old name of a folder that has not followed; IMAP_NOTFOUND: as it is in the file. */
static int translate_n(struct txn_db *db, const struct pending *list, const char *key, size_t keylen, struct buf *out)
{
    const struct pending *to = pending_to(list, key, keylen), *from = pending_from(list, key, keylen);
    struct unfollowed u;
    int r = to ? pending_folder(db, to, key + buf_len(&to->to), keylen - buf_len(&to->to), &u) : IMAP_NOTFOUND;

    if (!r) {
        mbentry_print_n(u.now, u.now->mtime, out);
        unfollowed_fini(&u);
        return 0;
    }
    if (r != IMAP_NOTFOUND || !from) return r;
    r = pending_folder(db, from, key + buf_len(&from->from), keylen - buf_len(&from->from), &u);
    if (r) return r;
    mbentry_print_n(u.left, u.left->mtime, out);
    unfollowed_fini(&u);
    return 0;
}

static int fetch_translated(struct txn_db *db, const struct pending *list, const char *key, size_t keylen, const char **val, size_t *len)
{
    int r = *key == 'N' ? translate_n(db, list, key, keylen, &answer) : IMAP_NOTFOUND;

    if (!r) return give(&answer, val, len);
    if (r != IMAP_NOTFOUND) return r;
    const char *data;
    size_t datalen;
    r = txn_db_fetch(db, key, keylen, &data, &datalen);
    if (!r && *key == 'I') {
        buf_setmap(&found, data, datalen);
        r = translate_i(db, list, key, keylen, buf_base(&found), buf_len(&found), &answer);
        if (!r) return give(&answer, val, len);
        return r == IMAP_NOTFOUND ? give(&found, val, len) : r;
    }
    if (val) *val = data;
    if (len) *len = datalen;
    return r;
}

int mboxlist_view_fetch(struct txn_db *db, const char *key, size_t keylen, const char **val, size_t *len)
{
    struct pending *list;

    int r = pending_load(db, &list);
    if (!r) r = list && keylen ? fetch_translated(db, list, key, keylen, val, len) : txn_db_fetch(db, key, keylen, val, len);
    pending_free(&list);
    return r;
}

/* ---- all of them ---- */

/*
 * Where an iteration has looked for folders that have not followed: there is none behind `from` and before `next`. Within one iteration that
 * stays so, as none comes to be one.
 */
struct memo {
    struct buf tree, from, next;
    modseq_t modseq;
    bool ended; /* and none behind it */
};

static void memo_free(void *p)
{
    struct memo *m = p;

    buf_free(&m->tree);
    buf_free(&m->from);
    buf_free(&m->next);
    free(m);
}

void mboxlist_view_cursor_fini(struct mboxlist_view_cursor *cursor)
{
    ptrarray_fini_with(&cursor->memos, memo_free);
}

static struct memo *memo_of(struct mboxlist_view_cursor *cursor, const struct pending *p)
{
    for (int i = 0; i < ptrarray_size(&cursor->memos); i++) {
        struct memo *m = ptrarray_nth(&cursor->memos, i);
        if (m->modseq == p->modseq && !buf_cmp(&m->tree, &p->from)) return m;
    }
    struct memo *m = xzmalloc(sizeof(*m));
    m->modseq = p->modseq;
    buf_copy(&m->tree, &p->from);
    ptrarray_append(&cursor->memos, m);
    return m;
}

/* *at: the old key behind which is to be looked. IMAP_NOTFOUND: all new keys are before this one. */
static int old_place(const struct pending *p, cyrusdb_cmp *cmp, const char *key, size_t keylen, struct buf *at)
{
    if (is_below(&p->to, key, keylen))
        pending_key(&p->from, key + buf_len(&p->to), keylen - buf_len(&p->to), at);
    else if (cmp(key, keylen, buf_base(&p->to), buf_len(&p->to)) > 0)
        return IMAP_NOTFOUND;
    else
        buf_copy(at, &p->from);
    return 0;
}

/* The old key is behind all that is asked for. */
static bool is_beyond(const struct mboxlist_view_cursor *cursor, const struct pending *p, cyrusdb_cmp *cmp, const char *key, size_t keylen)
{
    struct buf stop = BUF_INITIALIZER;

    if (!is_below(&p->from, key, keylen)) return true;
    if (!is_below(&p->to, cursor->prefix, cursor->prefixlen)) return false;
    pending_key(&p->from, cursor->prefix + buf_len(&p->to), cursor->prefixlen - buf_len(&p->to), &stop);
    bool beyond = cmp(key, keylen, stop.s, stop.len) > 0 && (keylen < stop.len || memcmp(key, stop.s, stop.len) != 0);
    buf_free(&stop);
    return beyond;
}

/* The first one behind *at, which gets its old key. */
static int seek_unfollowed(struct txn_db *db, const struct mboxlist_view_cursor *cursor, const struct pending *p, cyrusdb_cmp *cmp,
                           struct buf *at, struct unfollowed *u)
{
    const char *next;
    size_t nextlen;
    int r;

    while (!(r = txn_db_fetchnext(db, buf_base(at), buf_len(at), &next, &nextlen, NULL, NULL))) {
        if (is_beyond(cursor, p, cmp, next, nextlen)) return IMAP_NOTFOUND;
        buf_setmap(at, next, nextlen);
        r = pending_folder(db, p, at->s + buf_len(&p->from), at->len - buf_len(&p->from), u);
        if (r != IMAP_NOTFOUND) return r;
    }
    return r;
}

/* The same, without looking twice at those that have followed. */
static int find_unfollowed(struct txn_db *db, struct mboxlist_view_cursor *cursor, const struct pending *p, cyrusdb_cmp *cmp, struct buf *at,
                           struct unfollowed *u)
{
    struct memo *m = memo_of(cursor, p);
    int r = IMAP_NOTFOUND;

    if (buf_len(&m->from) && cmp(m->from.s, m->from.len, at->s, at->len) <= 0) {
        if (m->ended) return IMAP_NOTFOUND;
        if (cmp(at->s, at->len, m->next.s, m->next.len) < 0) {
            buf_copy(at, &m->next);
            r = pending_folder(db, p, at->s + buf_len(&p->from), at->len - buf_len(&p->from), u);
            if (r != IMAP_NOTFOUND) return r;
        }
    }
    buf_copy(&m->from, at);
    r = seek_unfollowed(db, cursor, p, cmp, at, u);
    m->ended = r == IMAP_NOTFOUND;
    buf_copy(&m->next, at);
    return r;
}

/* The first folder that has not followed whose new key is behind this one; *out gets that key. */
static int next_unfollowed(struct txn_db *db, struct mboxlist_view_cursor *cursor, const struct pending *p, cyrusdb_cmp *cmp, const char *key,
                           size_t keylen, struct buf *out, struct buf *val)
{
    struct buf at = BUF_INITIALIZER;
    struct unfollowed u;

    int r = old_place(p, cmp, key, keylen, &at);
    if (!r) r = find_unfollowed(db, cursor, p, cmp, &at, &u);
    if (!r) {
        pending_key(&p->to, at.s + buf_len(&p->from), at.len - buf_len(&p->from), out);
        mbentry_print_n(u.now, u.now->mtime, val);
        unfollowed_fini(&u);
    }
    buf_free(&at);
    return r;
}

/* The record of the file that comes next, as the view has it. */
static int next_in_file(struct txn_db *db, const struct pending *list, const char *key, size_t keylen, struct buf *out, struct buf *val)
{
    struct buf as_is = BUF_INITIALIZER;
    const char *next, *data;
    size_t nextlen, datalen;

    int r = txn_db_fetchnext(db, key, keylen, &next, &nextlen, &data, &datalen);
    if (r) return r;
    buf_setmap(out, next, nextlen);
    buf_setmap(&as_is, data, datalen);
    r = IMAP_NOTFOUND;
    if (*out->s == 'N') r = translate_n(db, list, buf_base(out), buf_len(out), val);
    if (*out->s == 'I') r = translate_i(db, list, buf_base(out), buf_len(out), buf_base(&as_is), buf_len(&as_is), val);
    if (r == IMAP_NOTFOUND) {
        buf_copy(val, &as_is);
        r = 0;
    }
    buf_free(&as_is);
    return r;
}

/* Those that have not followed are looked for first: one that follows meanwhile is in the file. */
static int next_of_view(struct txn_db *db, struct mboxlist_view_cursor *cursor, const struct pending *list, const char *key, size_t keylen,
                        struct buf *out, struct buf *val)
{
    cyrusdb_cmp *cmp = cyrusdb_order(config_getstring(IMAPOPT_MBOXLIST_DB), 0);
    struct buf k = BUF_INITIALIZER, v = BUF_INITIALIZER;
    bool any = false;
    int r = 0;

    for (const struct pending *p = list; p && !r; p = p->next) {
        r = next_unfollowed(db, cursor, p, cmp, key, keylen, &k, &v);
        if (!r && (!any || cmp(k.s, k.len, out->s, out->len) < 0)) {
            buf_swap(&k, out);
            buf_swap(&v, val);
            any = true;
        }
        if (r == IMAP_NOTFOUND) r = 0;
    }
    if (!r) {
        r = next_in_file(db, list, key, keylen, &k, &v);
        if (!r && (!any || cmp(k.s, k.len, out->s, out->len) <= 0)) {
            buf_swap(&k, out);
            buf_swap(&v, val);
        }
        if (r == IMAP_NOTFOUND && any) r = 0;
    }
    buf_free(&k);
    buf_free(&v);
    return r;
}

int mboxlist_view_fetchnext(struct txn_db *db, struct mboxlist_view_cursor *cursor, const char *key, size_t keylen, const char **foundkey,
                            size_t *foundkeylen, const char **val, size_t *len)
{
    static struct buf next;
    struct pending *list;

    int r = pending_load(db, &list);
    if (r) return r;
    if (!list) return txn_db_fetchnext(db, key, keylen, foundkey, foundkeylen, val, len);
    struct buf from = BUF_INITIALIZER; /* the key may be what was returned before */
    buf_setmap(&from, key, keylen);
    r = next_of_view(db, cursor, list, from.s ? from.s : "", from.len, &next, &answer);
    buf_free(&from);
    pending_free(&list);
    give(&next, foundkey, foundkeylen);
    if (!r) return give(&answer, val, len);
    if (val) *val = NULL;
    if (len) *len = 0;
    return r;
}

/* Does the tree meet what is asked for? */
static bool meets(const struct buf *tree, const char *prefix, size_t len)
{
    return !memcmp(buf_base(tree), prefix, len < buf_len(tree) ? len : buf_len(tree));
}

static bool concerns(const struct pending *list, const char *prefix, size_t len)
{
    if (!len || *prefix == 'I') return list != NULL;
    while (list && !meets(&list->from, prefix, len) && !meets(&list->to, prefix, len)) list = list->next;
    return list != NULL;
}

struct position {
    struct buf key, val;
};

static int call(struct position *at, const char *k, size_t klen, const char *v, size_t vlen, txn_db_cb *cb, void *rock)
{
    buf_setmap(&at->key, k, klen);
    buf_setmap(&at->val, v, vlen);
    return cb(rock, buf_cstring(&at->key), buf_len(&at->key), buf_cstring(&at->val), buf_len(&at->val));
}

static int each(struct txn_db *db, const char *prefix, size_t prefixlen, txn_db_cb *cb, void *rock)
{
    struct position at = { BUF_INITIALIZER, BUF_INITIALIZER };
    struct mboxlist_view_cursor cursor = { prefix, prefixlen, PTRARRAY_INITIALIZER };
    const char *k, *v;
    size_t klen, vlen;
    int r = prefixlen ? mboxlist_view_fetch(db, prefix, prefixlen, &v, &vlen) : IMAP_NOTFOUND, told = 0;

    if (!r) told = call(&at, prefix, prefixlen, v, vlen, cb, rock);
    if (r == IMAP_NOTFOUND) buf_setmap(&at.key, prefix, prefixlen), r = 0;
    while (!r && !told) {
        r = mboxlist_view_fetchnext(db, &cursor, buf_cstring(&at.key), buf_len(&at.key), &k, &klen, &v, &vlen);
        if (!r && (klen < prefixlen || memcmp(k, prefix, prefixlen))) r = IMAP_NOTFOUND;
        if (!r) told = call(&at, k, klen, v, vlen, cb, rock);
    }
    mboxlist_view_cursor_fini(&cursor);
    buf_free(&at.key);
    buf_free(&at.val);
    if (told) return told;
    return r == IMAP_NOTFOUND ? 0 : r;
}

int mboxlist_view_foreach(struct txn_db *db, const char *prefix, size_t prefixlen, txn_db_cb *cb, void *rock)
{
    struct pending *list;

    if (!prefix) prefix = "";
    int r = pending_load(db, &list);
    if (r) return r;
    bool plain = !concerns(list, prefix, prefixlen);
    pending_free(&list);
    return plain ? txn_db_foreach(db, prefix, prefixlen, cb, rock) : each(db, prefix, prefixlen, cb, rock);
}
