/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tool_select -- the mailboxes that an argument of a tool means
 */
#include <config.h>

#include "tool_select.h"

#include <stdlib.h>
#include <string.h>

#include "glob.h"
#include "mboxlist.h"

struct select {
    const struct namespace *ns;
    struct glob *glob; /* NULL: plain */
    const char *plain; /* external name; NULL: all */
    const char *userid;
    bool tree;
    ptrarray_t *entries;
};

static bool is_plain_match(const struct select *sel, const char *name)
{
    size_t len = strlen(sel->plain);

    if (!strcmp(name, sel->plain)) return true;
    return sel->tree && !strncmp(name, sel->plain, len) && name[len] == sel->ns->hier_sep;
}

/* With a tree, a name belongs to it when the name itself or one above it matches. */
static bool is_glob_match(const struct select *sel, const char *name)
{
    const char *start = name;
    size_t len = strlen(name);

    if (glob_test(sel->glob, name, len)) return true;
    if (!sel->tree) return false;
    while ((name = memrchr(start, sel->ns->hier_sep, len))) {
        len = (size_t)(name - start);
        if (glob_test(sel->glob, start, len)) return true;
    }
    return false;
}

static bool is_match(const struct select *sel, extname_t ext)
{
    if (extname_isnone(ext)) return false;
    if (sel->glob) return is_glob_match(sel, extname_text(ext));
    return !sel->plain || is_plain_match(sel, extname_text(ext));
}

static int select_one(const mbentry_t *entry, void *rock)
{
    struct select *sel = rock;

    if (mbentry_is_remote(entry, NULL)) return 0;
    if (sel->userid) {
        char *userid = mboxname_to_userid(entry->name);
        bool match = userid && !strcmp(userid, sel->userid);

        free(userid);
        if (match) ptrarray_append(sel->entries, mbentry_dup(entry));
        return 0;
    }
    extname_t ext = mboxname_to_external(entry->name, sel->ns, NULL);

    if (is_match(sel, ext)) ptrarray_append(sel->entries, mbentry_dup(entry));
    extname_free(&ext);
    return 0;
}

int tool_select(const struct namespace *ns, const char *pattern, unsigned flags,
                ptrarray_t *entries)
{
    struct select sel = { .ns = ns, .tree = flags & TOOL_SELECT_TREE, .entries = entries };

    if (pattern && !(flags & TOOL_SELECT_PLAIN) && strpbrk(pattern, "*%"))
        sel.glob = glob_init(pattern, ns->hier_sep, GLOB_INBOXCASE);
    else
        sel.plain = pattern;
    int r = mboxlist_allmbox(NULL, select_one, &sel,
                             flags & TOOL_SELECT_DELETED ? MBOXTREE_DELETED : 0);
    glob_free(&sel.glob);
    return r;
}

int tool_select_user(const char *userid, unsigned flags, ptrarray_t *entries)
{
    struct select sel = { .userid = userid, .entries = entries };

    return mboxlist_usermboxtree(userid, select_one, &sel,
                                 flags & TOOL_SELECT_DELETED ? MBOXTREE_DELETED : 0);
}

void tool_select_free(ptrarray_t *entries)
{
    for (int i = 0; i < ptrarray_size(entries); i++) {
        mbentry_t *entry = ptrarray_nth(entries, i);

        mbentry_free(&entry);
    }
    ptrarray_fini(entries);
}
