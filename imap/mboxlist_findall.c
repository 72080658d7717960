/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_findall -- which mailboxes a LIST looks at, category by category
 *
 * The own tree is read as a whole and sorted. Other users', shared and deleted mailboxes
 * stream in database order, which is their LIST order; only the part of the database is read that
 * can match: the literal start of the patterns is turned into a key prefix. With reverse ACLs that are
 * known to be right an ordinary user's foreign mailboxes are found from the A records alone.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist_db.h"
#include "mboxlist_pending.h"
#include "mboxlist_find.h"
#include "mboxlist_racl.h"
#include "namelock.h"
#include "names_config.h"
#include "utf7.h"
#include "xmalloc.h"

#define FOUND_ENOUGH 1 /* the rest of the category changes no answer */

/* ---- own mailboxes ---- */

struct own {
    mbentry_t *entry;
    mbname_t *mbname;
    enum mbname_category category;
};

static void own_free(void *p)
{
    struct own *own = p;

    mbentry_free(&own->entry);
    mbname_free(&own->mbname);
    free(own);
}

struct own_rock {
    const struct find *f;
    ptrarray_t *list;
};

static int own_cb(const mbentry_t *entry, void *rock)
{
    struct own_rock * or = rock;
    mbname_t *mbname = mbname_from_intname(entry->name);

    if (!find_isvisible(or->f, mbname, entry)) {
        mbname_free(&mbname);
        return 0;
    }
    struct own *own = xzmalloc(sizeof(*own));
    own->entry = mbentry_dup(entry);
    own->mbname = mbname;
    own->category = mbname_category(mbname, or->f->ns, or->f->userid);
    ptrarray_append(or->list, own);
    return 0;
}

/* Stable, so within a category the order of the database stays. */
static int own_cmp(const void *a, const void *b)
{
    const struct own *x = *(void *const *)a, *y = *(void *const *)b;

    return (x->category > y->category) - (x->category < y->category);
}

/*
 * Under the user's lock, so that what is done to many of the mailboxes at once is seen as a whole or not at all. What can't be locked now
 * is read all the same.
 */
static int read_own(struct own_rock *rock)
{
    const char *userid = rock->f->userid;
    struct namelock *lock = NULL;
    struct buf name = BUF_INITIALIZER;

    lock_name_user(userid, &name);
    unsigned how = namelock_may_wait(buf_cstring(&name)) ? 0 : NAMELOCK_NONBLOCK;
    (void)namelock_acquire(buf_cstring(&name), NAMELOCK_SHARED, how, &lock);
    int r = mboxlist_usermboxtree(userid, own_cb, rock, MBOXTREE_INTERMEDIATES);
    namelock_release(&lock);
    buf_free(&name);
    return r;
}

static int find_own(struct find *f)
{
    ptrarray_t list = PTRARRAY_INITIALIZER;
    struct own_rock rock = { f, &list };

    if (!f->userid) return 0;
    int r = read_own(&rock);
    ptrarray_sort(&list, own_cmp);
    for (int i = 0; !r && i < ptrarray_size(&list); i++) {
        const struct own *own = ptrarray_nth(&list, i);
        r = find_push(f, own->mbname, own->entry);
    }
    ptrarray_fini_with(&list, own_free);
    return r;
}

/* ---- streams ---- */

struct stream {
    struct find *f;
    enum mbname_category category;
    bool only_first; /* nothing below matches: one name is enough to show the bare parent */
};

static int push_record(struct stream *s, const char *key, size_t keylen, const char *data,
                       size_t datalen)
{
    mbentry_t *entry = NULL;
    int r = 0;

    if (mboxlist_db_parse_n(key, keylen, data, datalen, &entry)) return 0;
    mbname_t *mbname = mbname_from_intname(entry->name);
    if (mbname_category(mbname, s->f->ns, s->f->userid) == s->category &&
        find_isvisible(s->f, mbname, entry)) {
        r = find_push(s->f, mbname, entry);
        /* one of another domain shows nothing, not even its parent */
        if (!r && s->only_first && !extname_isnone(mbname_extname(mbname, s->f->ns, s->f->userid)))
            r = FOUND_ENOUGH;
    }
    mbname_free(&mbname);
    mbentry_free(&entry);
    return r;
}

static int stream_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return push_record(rock, key, keylen, data, datalen);
}

/* The wire's spelling as bytes of a dbname. */
static void append_mapped(struct buf *key, const char *ext, size_t len, char sep)
{
    for (size_t i = 0; i < len; i++) {
        char c = ext[i];
        buf_putc(key, c == sep ? DB_HIERSEP_CHAR : sep == '.' && c == '^' ? '.' : c);
    }
}

/* What a category's names begin with on the wire, and in the database. */
struct place {
    char *external; /* with separator; "" for none; as the session spells it */
    char *db;       /* without the N */
};

static char *spelled(const struct namespace *ns, char *prefix)
{
    struct buf utf8 = BUF_INITIALIZER;

    if (!ns->utf8 || utf7_to_utf8(prefix, strlen(prefix), &utf8)) return prefix;
    free(prefix);
    return buf_release(&utf8);
}

static void place_of(const struct find *f, enum mbname_category category, struct place *place)
{
    const struct namespace *ns = f->ns;
    char sep = ns->hier_sep;

    *place = (struct place){ NULL, NULL };
    if (category == MBNAME_OTHERUSER) {
        place->external = xasprintf("%s%c", ns->isalt ? ns->userprefix : "user", sep);
        place->db = xstrdup(DB_USER_PREFIX);
    }
    else if (category == MBNAME_SHARED) {
        place->external = ns->isalt ? xasprintf("%s%c", ns->sharedprefix, sep) : xstrdup("");
        place->db = xstrdup("");
    }
    else {
        place->external = xasprintf("%s%c", names_deletedprefix(), sep);
        place->db = xasprintf("%s%c", names_deletedprefix(), DB_HIERSEP_CHAR);
    }
    place->external = spelled(ns, place->external);
}

/*
 * The key prefix of all names of the category that can match; false: none can. With domains the
 * spelling can't be turned into a prefix, and all names are looked at.
 */
static bool key_prefix(const struct find *f, enum mbname_category category, struct buf *key,
                       bool *only_first)
{
    struct names_config cfg;
    struct place place;
    size_t litlen = buf_len(&f->literal);

    place_of(f, category, &place);
    size_t len = strlen(place.external);
    bool below = find_may_match_below(f, place.external), bare = false;
    if (len) {
        extname_t parent = extname_of(xstrndup(place.external, len - 1));
        bare = find_shows_bare(f, parent);
        extname_free(&parent);
    }
    *only_first = !below;
    buf_setcstr(key, "N");
    names_config_get(&cfg);
    if (cfg.virtdomains == VIRTDOMAINS_OFF) {
        buf_appendcstr(key, place.db);
        if (litlen > len)
            append_mapped(key, buf_base(&f->literal) + len, litlen - len, f->ns->hier_sep);
    }
    free(place.external);
    free(place.db);
    return below || bare;
}

static int find_stream(struct find *f, struct txn_db *db, enum mbname_category category)
{
    struct stream s = { .f = f, .category = category };
    struct buf key = BUF_INITIALIZER;
    int r = 0;

    if (key_prefix(f, category, &key, &s.only_first))
        r = mboxlist_view_foreach(db, buf_base(&key), buf_len(&key), stream_cb, &s);
    buf_free(&key);
    return r == FOUND_ENOUGH ? 0 : r;
}

/* ---- shared mailboxes: between the trees of users and of the deleted, which are jumped over ---- */

/* Where to go on behind a key: itself, or the end of the tree that it lies in. */
static void jump(const char *key, size_t keylen, struct buf *next)
{
    const char *rest = memchr(key, DB_DOMAINSEP_CHAR, keylen);
    rest = rest ? rest + 1 : key + 1;
    size_t restlen = keylen - (size_t)(rest - key);
    const char *deleted = names_deletedprefix();
    const char *const trees[] = { "user", deleted };

    for (size_t i = 0; i < array_size(trees); i++) {
        size_t len = strlen(trees[i]);
        if (restlen <= len || memcmp(rest, trees[i], len) || rest[len] != DB_HIERSEP_CHAR) continue;
        buf_setmap(next, key, (size_t)(rest - key) + len + 1);
        buf_putc(next, '\xff');
        return;
    }
    buf_setmap(next, key, keylen);
}

static int find_shared(struct find *f, struct txn_db *db)
{
    struct stream s = { .f = f, .category = MBNAME_SHARED };
    struct buf prefix = BUF_INITIALIZER, at = BUF_INITIALIZER, next = BUF_INITIALIZER,
               data = BUF_INITIALIZER;
    const char *key, *val;
    struct mboxlist_view_cursor cursor = { .memos = PTRARRAY_INITIALIZER };
    size_t keylen, len;
    int r = 0;

    if (!key_prefix(f, MBNAME_SHARED, &prefix, &s.only_first)) goto done;
    cursor.prefix = buf_base(&prefix);
    cursor.prefixlen = buf_len(&prefix);
    /* the key that is the prefix itself, then all behind it */
    r = mboxlist_view_fetch(db, buf_base(&prefix), buf_len(&prefix), &val, &len);
    if (!r) {
        buf_setmap(&data, val, len);
        r = push_record(&s, buf_base(&prefix), buf_len(&prefix), buf_cstring(&data), len);
    }
    if (r && r != IMAP_NOTFOUND) goto done;
    buf_copy(&next, &prefix);
    while (
        !(r = mboxlist_view_fetchnext(db, &cursor, buf_base(&next), buf_len(&next), &key, &keylen, &val, &len))) {
        if (keylen < buf_len(&prefix) || memcmp(key, buf_base(&prefix), buf_len(&prefix))) break;
        buf_setmap(&at, key, keylen);
        buf_setmap(&data, val, len);
        jump(buf_base(&at), keylen, &next);
        r = push_record(&s, buf_base(&at), keylen, buf_cstring(&data), len);
        if (r) break;
    }
done:
    mboxlist_view_cursor_fini(&cursor);
    buf_free(&prefix);
    buf_free(&at);
    buf_free(&next);
    buf_free(&data);
    return r == IMAP_NOTFOUND || r == FOUND_ENOUGH ? 0 : r;
}

/* ---- by reverse ACLs ---- */

static int racl_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    const char *name = memrchr(key, '\x1e', keylen);

    if (name) strarray_appendm(rock, xstrndup(name + 1, keylen - (size_t)(name + 1 - key)));
    return 0;
}

static int find_racl(struct find *f, struct txn_db *db, enum mbname_category category)
{
    struct stream s = { .f = f, .category = category };
    strarray_t ids = STRARRAY_INITIALIZER, names = STRARRAY_INITIALIZER;
    struct buf key = BUF_INITIALIZER, data = BUF_INITIALIZER, prefix = BUF_INITIALIZER;
    int r = 0;

    if (!key_prefix(f, category, &prefix, &s.only_first)) goto done;
    strarray_append(&ids, auth_userid(f->auth));
    strarray_append(&ids, "anyone");
    if (f->auth) strarray_cat(&ids, auth_groups(f->auth));
    for (int i = 0; !r && i < strarray_size(&ids); i++) {
        buf_reset(&key);
        mbentry_key_racl(category == MBNAME_OTHERUSER, strarray_nth(&ids, i), NULL, &key);
        buf_appendmap(&key, buf_base(&prefix) + 1, buf_len(&prefix) - 1); /* without the N */
        r = mboxlist_view_foreach(db, buf_base(&key), buf_len(&key), racl_cb, &names);
    }
    strarray_sort(&names, NULL);
    strarray_uniq(&names);
    for (int i = 0; !r && i < strarray_size(&names); i++) {
        const char *val;
        size_t len;
        buf_setcstr(&key, "N");
        buf_appendcstr(&key, strarray_nth(&names, i));
        r = mboxlist_view_fetch(db, buf_base(&key), buf_len(&key), &val, &len);
        if (!r) {
            buf_setmap(&data, val, len);
            r = push_record(&s, buf_base(&key), buf_len(&key), buf_cstring(&data), len);
        }
        if (r == IMAP_NOTFOUND) r = 0;
    }
done:
    strarray_fini(&ids);
    strarray_fini(&names);
    buf_free(&key);
    buf_free(&data);
    buf_free(&prefix);
    return r == FOUND_ENOUGH ? 0 : r;
}

/* ---- all of it ---- */

int mboxlist_findall(const struct namespace *ns, extnames_t patterns, bool isadmin,
                     const char *userid, const struct auth_state *auth, findall_cb *cb, void *rock)
{
    struct txn_db *db = NULL;
    struct find f;

    find_init(&f, ns, patterns, isadmin, userid, auth, cb, rock);
    int r = mboxlist_db_open(txn_current(), &db);
    bool racl = !r && !isadmin && mboxlist_racl_isusable(db, auth);
    if (!r) r = find_own(&f);
    if (!r && ns->accessible[NAMESPACE_USER])
        r = racl ? find_racl(&f, db, MBNAME_OTHERUSER) : find_stream(&f, db, MBNAME_OTHERUSER);
    if (!r && ns->accessible[NAMESPACE_SHARED])
        r = racl ? find_racl(&f, db, MBNAME_SHARED) : find_shared(&f, db);
    bool deleted = isadmin || ns->deleted;
    if (!r && deleted) r = find_stream(&f, db, MBNAME_OWNERDELETED);
    if (!r && deleted) r = find_stream(&f, db, MBNAME_OTHERDELETED);
    if (!r && deleted) r = find_stream(&f, db, MBNAME_SHAREDDELETED);
    if (!r) r = find_finish(&f);
    mboxlist_db_close(&db);
    find_fini(&f);
    return r;
}
