/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * allowed -- is a command about users that the peer may replicate, and about nobody else?
 *
 * Whatever stands for a mailbox, a quota root or a user in its arguments counts, wherever it stands and however often: which one
 * the command will look at is its own business. An identity that a mailbox of somebody else has stands for that mailbox. What
 * names nothing, or what has no owner, is not allowed.
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>
#include <strings.h>

#include "mbentry.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "util.h"

struct look {
    const strarray_t *users;
    unsigned n; /* what was named */
    bool other; /* somebody else was */
};

static void user_named(struct look *look, const char *userid)
{
    look->n++;
    if (!userid || strarray_find(look->users, userid, 0) < 0) look->other = true;
}

static void mailbox_named(struct look *look, const char *name)
{
    char *owner = mboxname_to_userid(name);

    user_named(look, owner);
    free(owner);
}

/* A new one is nobody's; it comes with a name. */
static void id_named(struct look *look, const char *uniqueid)
{
    mbentry_t *mbentry = NULL;

    if (!mboxlist_lookup_by_uniqueid(uniqueid, &mbentry, true, NULL)) mailbox_named(look, mbentry->name);
    mbentry_free(&mbentry);
}

typedef void named_fn(struct look *look, const char *text);

static const struct {
    const char *key;
    enum synccmd_subject subject;
    named_fn *fn;
} keys[] = {
    { "MBOXNAME", SYNCCMD_MAILBOXES, mailbox_named },   { "OLDMBOXNAME", SYNCCMD_MAILBOXES, mailbox_named },
    { "NEWMBOXNAME", SYNCCMD_MAILBOXES, mailbox_named }, { "ROOT", SYNCCMD_MAILBOXES, mailbox_named },
    { "QUOTAROOT", SYNCCMD_MAILBOXES, mailbox_named },   { "UNIQUEID", SYNCCMD_MAILBOXES, id_named },
    { "USERID", SYNCCMD_USERS, user_named },             { "FOLDERS", SYNCCMD_NAMES, user_named },
    { "FOLDERS", SYNCCMD_MAILBOXES, user_named },
};

static named_fn *fn_of(const char *key, enum synccmd_subject subject)
{
    for (size_t i = 0; key && i < array_size(keys); i++)
        if (keys[i].subject == subject && !strcasecmp(keys[i].key, key)) return keys[i].fn;
    return NULL;
}

/* fn: what text means that stands in dl without a key that says it; NULL: nothing. */
static void look_at(struct look *look, enum synccmd_subject subject, const struct dlist *dl, named_fn *fn)
{
    const char *text;

    if (dl->type != DL_LIST && dl->type != DL_KVLIST) {
        if (fn) fn(look, dlist_toatom(dl, &text) ? text : "");
        return;
    }
    for (const struct dlist *item = dl->head; item; item = item->next) {
        named_fn *by_key = fn_of(item->name, subject);
        /* a list of names may have keys that its command does not look at */
        bool keyless = dl->type == DL_LIST || subject == SYNCCMD_NAMES || subject == SYNCCMD_IDS;
        look_at(look, subject, item, by_key ? by_key : keyless ? fn : NULL);
    }
}

bool synccmd_is_allowed(const strarray_t *users, enum synccmd_subject subject, const struct dlist *dl)
{
    static named_fn *const plain[] = {
        [SYNCCMD_NAMES] = mailbox_named, [SYNCCMD_IDS] = id_named, [SYNCCMD_USERS] = user_named, [SYNCCMD_MAILBOXES] = NULL
    };
    struct look look = { .users = users };

    if (subject == SYNCCMD_NOBODY) return true;
    if (subject == SYNCCMD_SERVER) return false;
    look_at(&look, subject, dl, plain[subject]);
    return !look.other && (look.n || subject == SYNCCMD_IDS);
}
