/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * specialuse -- the attributes of RFC 6154 that a mailbox may carry
 *
 * Kept as the owner's private annotation /specialuse. \All and \Flagged belong to no
 * mailbox here. One attribute, one mailbox of the user.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "specialuse.h"
#include "util.h"

static const char *const known[] = {
    "\\Archive", "\\Drafts", "\\Important", "\\Junk", "\\Sent", "\\Snoozed", "\\Trash",
};

/* The attribute as it is spelled, or NULL. word without backslash. */
static const char *spelling(const char *word, const strarray_t *extra)
{
    for (size_t i = 0; i < array_size(known); i++)
        if (!cyr_strcasecmp(word, known[i] + 1)) return known[i];
    for (int i = 0; i < strarray_size(extra); i++) {
        const char *e = strarray_nth(extra, i);
        if (*e == '\\' && !cyr_strcasecmp(word, e + 1)) return e;
    }
    return NULL;
}

int specialuse_normalise(const char *text, struct buf *out)
{
    strarray_t *words = strarray_split(text, NULL, 0);
    strarray_t *extra = strarray_split(config_getstring(IMAPOPT_SPECIALUSE_EXTRA), NULL, 0);
    int r = 0;

    buf_reset(out);
    for (int i = 0; !r && i < strarray_size(words); i++) {
        const char *word = strarray_nth(words, i);
        const char *use = spelling(word + (*word == '\\'), extra);
        if (!use)
            r = IMAP_ANNOTATION_BADENTRY;
        else {
            if (buf_len(out)) buf_putc(out, ' ');
            buf_appendcstr(out, use);
        }
    }
    strarray_free(words);
    strarray_free(extra);
    return r;
}

struct check {
    struct txn *txn;
    const char *userid, *mboxname;
    const strarray_t *words;
};

static int check_cb(const mbentry_t *mbentry, void *rock)
{
    const struct check *check = rock;
    struct buf value = BUF_INITIALIZER;
    int r = 0;

    mbname_t *mbname = mbname_from_intname(mbentry->name);
    bool counts = strarray_size(mbname_boxes(mbname)) == 1 &&
                  strcmp(mbentry->name, check->mboxname) != 0;
    mbname_free(&mbname);
    if (!counts) return 0;
    if (!annotatemore_lookup(mbentry, "/specialuse", check->userid, check->txn, &value)) {
        strarray_t *has = strarray_nsplit(value.s, value.len, NULL, 0);
        for (int i = 0; !r && i < strarray_size(has); i++)
            if (strarray_contains_case(check->words, strarray_nth(has, i)))
                r = IMAP_MAILBOX_SPECIALUSE;
        strarray_free(has);
    }
    buf_free(&value);
    return r;
}

int specialuse_check(struct txn *txn, const char *userid, const char *mboxname,
                     const char *attributes)
{
    strarray_t *words = strarray_split(attributes, NULL, 0);
    struct check check = { txn, userid, mboxname, words };
    mbname_t *mbname = mbname_from_intname(mboxname);

    int depth = strarray_size(mbname_boxes(mbname));
    mbname_free(&mbname);
    int r = depth > 1 && strarray_size(words) ? IMAP_MAILBOX_SPECIALUSE : 0;
    if (!r && strarray_size(words)) r = mboxlist_usermboxtree(userid, check_cb, &check, 0);
    strarray_free(words);
    return r;
}
