/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_specialuse -- \Sent, \Trash ... (handbook 04 §3.6, §6.2)
 */
#include <config.h>

#include "mboxlist_specialuse.h"

#include <stdlib.h>

#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "strarray.h"
#include "xmalloc.h"

static const char *const known[] = { "\\Archive", "\\Drafts",  "\\Important", "\\Junk",
                                     "\\Sent",    "\\Snoozed", "\\Trash" };

/* ---- lists ---- */

bool specialuse_contains(const char *list, const char *attr)
{
    strarray_t *words = strarray_split(list, NULL, 0);
    bool found = strarray_contains_case(words, attr);

    strarray_free(words);
    return found;
}

static bool have_common(const char *a, const char *b)
{
    strarray_t *words = strarray_split(a, NULL, 0);
    bool found = false;

    for (int i = 0; b && i < strarray_size(words); i++)
        found |= specialuse_contains(b, strarray_nth(words, i));
    strarray_free(words);
    return found;
}

/* Spelling of an allowed name; NULL: not allowed. The caller frees. */
static char *canonical_word(const char *word)
{
    char *found = NULL;

    for (size_t i = 0; i < array_size(known); i++) {
        if (!cyr_strcasecmp(word, known[i])) return xstrdup(known[i]);
    }
    strarray_t *extra = strarray_split(config_getstring(IMAPOPT_SPECIALUSE_EXTRA), NULL, 0);
    int i = strarray_find_case(extra, word, 0);
    if (i >= 0) found = xstrdup(strarray_nth(extra, i));
    strarray_free(extra);
    return found;
}

int specialuse_canonical(const char *list, struct buf *out)
{
    strarray_t *words = strarray_split(list, NULL, 0), all = STRARRAY_INITIALIZER;
    int r = 0;

    for (int i = 0; !r && i < strarray_size(words); i++) {
        char *word = canonical_word(strarray_nth(words, i));
        if (word)
            strarray_add(&all, word);
        else
            r = IMAP_ANNOTATION_BADENTRY;
        free(word);
    }
    char *text = strarray_join(&all, " ");
    buf_setcstr(out, text && !r ? text : "");
    free(text);
    strarray_free(words);
    strarray_fini(&all);
    return r;
}

/* ---- mailboxes ---- */

bool specialuse_place_isvalid(const char *name)
{
    mbname_t *mbname = mbname_from_intname(name);
    bool ok = mbname_localpart(mbname) && !mbname_isdeleted(mbname) &&
              strarray_size(mbname_boxes(mbname)) == 1;

    mbname_free(&mbname);
    return ok;
}

int specialuse_of(const mbentry_t *entry, struct txn *txn, struct buf *out)
{
    char *owner = mboxname_to_userid(entry->name);
    int r = 0;

    buf_reset(out);
    if (owner && entry->uniqueid) r = annotatemore_lookup(entry, SPECIALUSE_ENTRY, owner, txn, out);
    free(owner);
    return r;
}

struct find_rock {
    const char *attrs;  /* one of them is enough */
    const char *except; /* a mailbox that does not count; NULL: none */
    struct txn *txn;
    char *name;
};

static int find_cb(const mbentry_t *entry, void *rock)
{
    struct find_rock *fr = rock;
    struct buf uses = BUF_INITIALIZER;

    if (!specialuse_place_isvalid(entry->name) || !strcmpnull(entry->name, fr->except)) return 0;
    int r = specialuse_of(entry, fr->txn, &uses);
    if (!r && have_common(fr->attrs, buf_cstring(&uses))) {
        fr->name = xstrdup(entry->name);
        r = IMAP_OK_COMPLETED;
    }
    buf_free(&uses);
    return r;
}

static int find_any(const char *userid, struct find_rock *rock)
{
    int r = mboxlist_usermboxtree(userid, find_cb, rock, MBOXTREE_SKIP_ROOT);
    return r == IMAP_OK_COMPLETED ? 0 : r;
}

int specialuse_find(const char *userid, const char *attr, struct txn *txn, char **namep)
{
    struct find_rock rock = { .attrs = attr, .txn = txn };

    int r = find_any(userid, &rock);
    *namep = rock.name;
    return r;
}

int specialuse_check(const char *name, const char *list, struct txn *txn)
{
    struct buf canonical = BUF_INITIALIZER;
    struct find_rock rock = { .except = name, .txn = txn };

    int r = specialuse_canonical(list, &canonical);
    if (!r && !specialuse_place_isvalid(name)) r = IMAP_MAILBOX_SPECIALUSE;
    if (!r) {
        char *userid = mboxname_to_userid(name);
        rock.attrs = buf_cstring(&canonical);
        r = find_any(userid, &rock);
        if (!r && rock.name) r = IMAP_MAILBOX_SPECIALUSE;
        free(userid);
    }
    free(rock.name);
    buf_free(&canonical);
    return r;
}

static int check_against(const mbentry_t *entry, struct txn *txn, const char *option, int error)
{
    struct buf uses = BUF_INITIALIZER;

    if (!option || !*option) return 0;
    int r = specialuse_of(entry, txn, &uses);
    if (!r && buf_len(&uses) && have_common(option, buf_cstring(&uses))) r = error;
    buf_free(&uses);
    return r;
}

int specialuse_check_nochildren(const mbentry_t *entry, struct txn *txn)
{
    return check_against(entry, txn, config_getstring(IMAPOPT_SPECIALUSE_NOCHILDREN),
                         IMAP_PERMISSION_DENIED);
}

int specialuse_check_protected(const mbentry_t *entry, struct txn *txn)
{
    return check_against(entry, txn, config_getstring(IMAPOPT_SPECIALUSE_PROTECT),
                         IMAP_MAILBOX_SPECIALUSE);
}
