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
