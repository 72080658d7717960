/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_FIND_H
#define INCLUDED_MBOXLIST_FIND_H
/*
 * mboxlist_find -- names in LIST order become answers of LIST
 */
#include "mboxlist.h"
#include "ptrarray.h"

struct find {
    const struct namespace *ns;
    bool isadmin;
    const char *userid; /* NULL: nobody */
    const struct auth_state *auth;
    findall_cb *cb;
    void *rock;
    ptrarray_t globs;   /* struct glob */
    struct buf literal; /* all patterns begin with these bytes */
    strarray_t hidden;  /* users that are moving in (user_record.h) */
    strarray_t above;   /* names pushed or shown that are above the last one, and that one */
    /* the name that waits for its successor, which tells whether it has children */
    mbname_t *mbname;
    mbentry_t *entry;
    extname_t extname; /* none yet */
};

void find_init(struct find *f, const struct namespace *ns, extnames_t patterns, bool isadmin,
               const char *userid, const struct auth_state *auth, findall_cb *cb, void *rock);
void find_fini(struct find *f);

/* Is it a calendar or the like that this session has not asked for? */
bool find_ishidden(const struct find *f, const mbentry_t *entry);
/* May this session see the mailbox in lists? */
bool find_isvisible(const struct find *f, const mbname_t *mbname, const mbentry_t *entry);
/*
 * The next visible name, in LIST order, whether it matches or not. entry NULL: a name without a
 * mailbox. Both are copied. Names that this namespace can't spell are dropped. The callback's
 * non-zero return is returned.
 */
int find_push(struct find *f, const mbname_t *mbname, const mbentry_t *entry);
/* After the last one. */
int find_finish(struct find *f);

/* Could a name that begins with prefix (with its separator at the end) match? */
bool find_may_match_below(const struct find *f, const char *prefix);
/* Would this name without a mailbox be shown? */
bool find_shows_bare(const struct find *f, extname_t extname);

#endif
