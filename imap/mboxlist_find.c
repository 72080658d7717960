/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_find -- names in LIST order become answers of LIST (RFC 3501 §6.3.8, handbook 04 §3.5)
 *
 * The names come in an order in which children follow their parent, so two neighbours
 * are enough to know whether a name has children that this session sees. For a name that does
 * not match, its longest level that does is shown, once, if there is no mailbox of that name.
 */
#include <config.h>

#include "mboxlist_find.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "glob.h"
#include "user_record.h"
#include "xmalloc.h"

static void free_glob(void *p)
{
    struct glob *glob = p;

    glob_free(&glob);
}

/* Cuts literal to what it has in common with the literal start of the pattern. */
static void cut_literal(struct buf *literal, const char *pattern, size_t len, bool first)
{
    size_t n = 0;

    if (first) {
        buf_setmap(literal, pattern, len);
        return;
    }
    while (n < len && n < buf_len(literal) && buf_base(literal)[n] == pattern[n]) n++;
    buf_truncate(literal, n);
}

/* In UTF-8 only what is ASCII stands in the store as it stands here, and '&' does not. */
static void keep_stored_form(struct buf *literal)
{
    size_t n = 0;

    while (n < buf_len(literal) && !(buf_base(literal)[n] & 0x80) && buf_base(literal)[n] != '&') n++;
    buf_truncate(literal, n);
}

void find_init(struct find *f, const struct namespace *ns, extnames_t patterns, bool isadmin,
               const char *userid, const struct auth_state *auth, findall_cb *cb, void *rock)
{
    *f = (struct find){
        .ns = ns, .isadmin = isadmin, .userid = userid, .auth = auth, .cb = cb, .rock = rock
    };
    for (size_t i = 0; i < patterns.count; i++) {
        const char *pattern = extname_text(patterns.list[i]);
        struct glob *glob = glob_init(pattern, ns->hier_sep, GLOB_INBOXCASE);
        ptrarray_append(&f->globs, glob);
        cut_literal(&f->literal, pattern, glob_literal_prefix(glob), i == 0);
    }
    if (ns->utf8) keep_stored_form(&f->literal);
    if (!isadmin) user_record_hidden(&f->hidden);
}

void find_fini(struct find *f)
{
    ptrarray_fini_with(&f->globs, free_glob);
    buf_free(&f->literal);
    mbname_free(&f->mbname);
    mbentry_free(&f->entry);
    extname_free(&f->extname);
    strarray_fini(&f->hidden);
    strarray_fini(&f->above);
}

/* ---- matching ---- */

static bool matches(const struct find *f, const char *name, size_t len)
{
    for (int i = 0; i < ptrarray_size(&f->globs); i++)
        if (glob_test(ptrarray_nth(&f->globs, i), name, len)) return true;
    return false;
}

bool find_may_match_below(const struct find *f, const char *prefix)
{
    for (int i = 0; i < ptrarray_size(&f->globs); i++)
        if (glob_test_prefix(ptrarray_nth(&f->globs, i), prefix, strlen(prefix))) return true;
    return false;
}

static bool matches_whole(const struct find *f, extname_t extname)
{
    const char *name = extname_text(extname);

    return name && matches(f, name, strlen(name));
}

bool find_shows_bare(const struct find *f, extname_t extname)
{
    return matches_whole(f, extname);
}

bool find_ishidden(const struct find *f, const mbentry_t *entry)
{
    return !f->isadmin && !f->ns->dav && mboxname_isnonimapmailbox(entry->name, entry->mbtype);
}

bool find_isvisible(const struct find *f, const mbname_t *mbname, const mbentry_t *entry)
{
    if (entry->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE)) return false;
    if (f->isadmin) return true;
    if (mbname_isdeleted(mbname) && !f->ns->deleted) return false;
    if (find_ishidden(f, entry)) return false;
    if (strarray_size(&f->hidden) && mbname_userid(mbname) && strarray_contains(&f->hidden, mbname_userid(mbname)))
        return false;
    if (entry->mbtype & MBTYPE_INTERMEDIATE) /* no ACL: only its owner */
        return f->userid && !strcmpnull(mbname_userid(mbname), f->userid);
    return cyrus_acl_myrights(f->auth, entry->acl) & ACL_LOOKUP;
}

/* ---- answers ---- */

static bool is_below(const struct find *f, extname_t name, const char *parent)
{
    size_t len = strlen(parent);

    return !strncmp(extname_text(name), parent, len) && extname_text(name)[len] == f->ns->hier_sep;
}

static int flush(struct find *f, bool has_children)
{
    int r = 0;

    if (matches_whole(f, f->extname)) {
        bool has_mailbox = f->entry && !(f->entry->mbtype & MBTYPE_INTERMEDIATE);
        struct findall_data data = { .mbname = f->mbname,
                                     .mbentry = has_mailbox ? f->entry : NULL,
                                     .extname = f->extname,
                                     .is_exactmatch = true,
                                     .has_children = has_children };
        r = f->cb(&data, f->rock);
    }
    return r;
}

/* Of the names so far only those above this one are of interest from now on. */
static void leave(struct find *f, extname_t extname)
{
    for (int n = strarray_size(&f->above); n > 0; n--) {
        const char *last = strarray_nth(&f->above, n - 1);
        if (is_below(f, extname, last)) return;
        free(strarray_pop(&f->above));
    }
}

/* The longest level above a name that matches; the caller frees. */
static extname_t longest_match(const struct find *f, extname_t extname)
{
    const char *name = extname_text(extname);
    size_t len = strlen(name);

    while (len--)
        if (len && name[len] == f->ns->hier_sep && matches(f, name, len))
            return extname_of(xstrndup(name, len));
    return EXTNAME_NONE;
}

static int show_parent(struct find *f, extname_t extname)
{
    extname_t parent = matches_whole(f, extname) ? EXTNAME_NONE : longest_match(f, extname);
    int r = 0;

    if (!extname_isnone(parent) && strarray_find(&f->above, extname_text(parent), 0) < 0) {
        mbname_t *mbname = mbname_from_extname(parent, f->ns, f->userid);
        struct findall_data data = { .mbname = mbname, .extname = parent, .has_children = true };
        strarray_append(&f->above, extname_text(parent));
        r = f->cb(&data, f->rock);
        mbname_free(&mbname);
    }
    extname_free(&parent);
    return r;
}

int find_push(struct find *f, const mbname_t *mbname, const mbentry_t *entry)
{
    extname_t extname = extname_dup(mbname_extname(mbname, f->ns, f->userid));
    if (extname_isnone(extname)) return 0;
    bool below = !extname_isnone(f->extname) && is_below(f, extname, extname_text(f->extname));

    int r = flush(f, below);
    leave(f, extname);
    if (!r) r = show_parent(f, extname);
    strarray_append(&f->above, extname_text(extname));
    mbname_free(&f->mbname);
    mbentry_free(&f->entry);
    extname_free(&f->extname);
    f->mbname = mbname_dup(mbname);
    f->entry = entry ? mbentry_dup(entry) : NULL;
    f->extname = extname;
    return r;
}

int find_finish(struct find *f)
{
    int r = flush(f, false);

    mbname_free(&f->mbname);
    mbentry_free(&f->entry);
    extname_free(&f->extname);
    return r;
}
