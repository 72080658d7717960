/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_annotation -- GET ANNOTATION: annotations of the server or of mailboxes (handbook 03 §4)
 *
 * The argument "" means the server; any other is a pattern of internal names.
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "glob.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "ptrarray.h"
#include "xmalloc.h"

/* Lines wait until the iteration is over: nothing is sent under its lock. */
static int annotation_cb(const char *mboxname, uint32_t uid, const struct annotation *annot,
                         void *rock)
{
    struct dlist *kl;

    if (!buf_len(&annot->value)) return 0;
    kl = dlist_newkvlist(NULL, "ANNOTATION");
    dlist_setatom(kl, "MBOXNAME", mboxname ? mboxname : "");
    dlist_setatom(kl, "ENTRY", annot->entry);
    dlist_setatom(kl, "USERID", annot->userid);
    dlist_setmap(kl, "VALUE", buf_base(&annot->value), buf_len(&annot->value));
    ptrarray_append(rock, kl);
    return 0;
}

struct match_rock {
    struct glob *glob;
    ptrarray_t *found;
};

static int match_cb(const mbentry_t *mbentry, void *rock)
{
    struct match_rock *match = rock;

    if (glob_test(match->glob, mbentry->name, strlen(mbentry->name)))
        ptrarray_append(match->found, mbentry_dup(mbentry));
    return 0;
}

static void free_entry(void *p)
{
    mbentry_t *mbentry = p;

    mbentry_free(&mbentry);
}

static int put_annotations(struct synccmd_session *session, const mbentry_t *mbentry)
{
    ptrarray_t lines = PTRARRAY_INITIALIZER;
    int r = annotatemore_foreach(mbentry, NULL, NULL, NULL, annotation_cb, &lines);

    return synccmd_put_all(session, &lines, r);
}

int synccmd_get_annotation(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    ptrarray_t found = PTRARRAY_INITIALIZER;
    const char *name; /* a pattern: only compared with names */

    if (!dlist_toatom(dl, &name)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (!*name) return put_annotations(session, NULL);

    struct match_rock match = { glob_init(name, '.', 0), &found };
    char *prefix = xstrndup(name, glob_literal_prefix(match.glob));
    int r = mboxlist_allmbox(prefix, match_cb, &match, 0);
    for (int i = 0; i < ptrarray_size(&found) && !r; i++)
        r = put_annotations(session, ptrarray_nth(&found, i));
    free(prefix);
    glob_free(&match.glob);
    ptrarray_fini_with(&found, free_entry);
    return r;
}
