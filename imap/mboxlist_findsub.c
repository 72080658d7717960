/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_findsub -- LSUB and LIST (SUBSCRIBED): names a user has subscribed, in LIST order
 *
 * A subscribed name whose mailbox is gone, or that the user may not see, is handed on
 * without an entry (is_exactmatch is true): LSUB leaves it out, LIST (SUBSCRIBED) shows it as
 * \NonExistent. has_children means subscribed children.
 */
#include <config.h>

#include <stdlib.h>

#include "imap_err.h"
#include "mboxlist_find.h"
#include "user.h"
#include "xmalloc.h"

struct sub {
    mbname_t *mbname;
    enum mbname_category category;
};

static void sub_free(void *p)
{
    struct sub *sub = p;

    mbname_free(&sub->mbname);
    free(sub);
}

static int sub_cmp(const void *a, const void *b)
{
    const struct sub *x = *(void *const *)a, *y = *(void *const *)b;

    if (x->category != y->category) return x->category < y->category ? -1 : 1;
    return mbname_cmp(x->mbname, y->mbname);
}

/* *damaged: the entry can't be read, and what is subscribed is left out. */
static int push(struct find *f, const struct sub *sub, int *damaged)
{
    mbentry_t *entry = NULL;
    const char *name = mbname_intname(sub->mbname);

    int r = mboxlist_lookup(name, &entry, txn_current());
    if (r == IMAP_MAILBOX_BADFORMAT) {
        *damaged = r;
        return 0;
    }
    if (r && r != IMAP_MAILBOX_NONEXISTENT && r != IMAP_MAILBOX_RESERVED) return r;
    bool hidden = entry && find_ishidden(f, entry);
    if (entry && !find_isvisible(f, sub->mbname, entry)) mbentry_free(&entry);
    r = hidden ? 0 : find_push(f, sub->mbname, entry);
    mbentry_free(&entry);
    return r;
}

int mboxlist_findsub(const struct namespace *ns, extnames_t patterns, bool isadmin,
                     const char *userid, const struct auth_state *auth, findall_cb *cb, void *rock)
{
    strarray_t names = STRARRAY_INITIALIZER;
    ptrarray_t subs = PTRARRAY_INITIALIZER;
    struct find f;

    find_init(&f, ns, patterns, isadmin, userid, auth, cb, rock);
    int damaged = 0;
    int r = userid ? sub_list(userid, &names) : 0;
    for (int i = 0; i < strarray_size(&names); i++) {
        struct sub *sub = xzmalloc(sizeof(*sub));
        sub->mbname = mbname_from_intname(strarray_nth(&names, i));
        sub->category = mbname_category(sub->mbname, ns, userid);
        ptrarray_append(&subs, sub);
    }
    ptrarray_sort(&subs, sub_cmp);
    for (int i = 0; !r && i < ptrarray_size(&subs); i++) r = push(&f, ptrarray_nth(&subs, i), &damaged);
    if (!r) r = find_finish(&f);
    if (!r) r = damaged;
    ptrarray_fini_with(&subs, sub_free);
    strarray_fini(&names);
    find_fini(&f);
    return r;
}
