/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_usage -- what a user uses, as each end has counted it: X-USAGE (doc/sync-extensions.md)
 */
#include <config.h>

#include "sync_usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conversations.h"
#include "dlist.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "quota.h"
#include "sync_name.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"

/* ---- reading ---- */

static void set_number(struct dlist *kl, const char *name, int64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, n);
    dlist_setatom(kl, name, text);
}

struct reading {
    const char *inbox;
    ptrarray_t *lines;
};

static int add_root(const struct quota *q, void *rock)
{
    const struct reading *reading = rock;
    size_t len = strlen(reading->inbox);

    if (q->root[len] && q->root[len] != '.') return 0; /* somebody whose name begins like his */
    struct dlist *kl = dlist_newkvlist(NULL, "USAGE");
    dlist_setatom(kl, "ROOT", q->root);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) set_number(kl, quota_names[res], q->useds[res]);
    ptrarray_append(reading->lines, kl);
    return 0;
}

static int add_conversations(const char *userid, ptrarray_t *lines)
{
    struct conversations_state *state = NULL;
    struct user_meta *meta = NULL;
    struct conv_quota cq = { 0 };

    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    int r = user_meta_lookup(userid, NULL, &meta);
    if (!r) r = conversations_open_user(NULL, meta, &state);
    if (!r && state) r = conversations_read_quota(state, &cq);
    if (!r && state) {
        struct dlist *kl = dlist_newkvlist(NULL, "USAGE");
        dlist_setatom(kl, "USERID", userid);
        set_number(kl, quota_names[QUOTA_STORAGE], (int64_t)cq.storage);
        set_number(kl, quota_names[QUOTA_MESSAGE], (int64_t)cq.emails);
        ptrarray_append(lines, kl);
    }
    conversations_close(&state);
    user_meta_free(&meta);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

int sync_usage_read(const char *userid, ptrarray_t *lines)
{
    char *inbox = mboxname_user_mbox(userid, NULL);
    struct reading reading = { inbox, lines };

    int r = inbox ? quota_foreach(inbox, add_root, &reading) : IMAP_MAILBOX_BADNAME;
    if (!r) r = add_conversations(userid, lines);
    free(inbox);
    return r;
}

static void free_line(void *p)
{
    struct dlist *dl = p;

    dlist_free(&dl);
}

void sync_usage_fini(ptrarray_t *lines)
{
    ptrarray_fini_with(lines, free_line);
}

/* ---- comparing ---- */

/* The root, or "conversations". */
static const char *what_of(const struct dlist *line)
{
    const char *root;

    return sync_getroot(line, "ROOT", &root) ? root : "conversations";
}

static const struct dlist *find(const ptrarray_t *lines, const char *what)
{
    for (int i = 0; i < ptrarray_size(lines); i++)
        if (!strcmp(what_of(ptrarray_nth(lines, i)), what)) return ptrarray_nth(lines, i);
    return NULL;
}

static const char *number(const struct dlist *line, const char *name)
{
    const char *text;

    return line && dlist_getatom(line, name, &text) ? text : "";
}

static void compare_line(const struct dlist *a, const struct dlist *b, sync_usage_differ *fn, void *rock)
{
    const char *what = what_of(a ? a : b);

    if ((!a || !b) && !strcmp(what, "conversations")) return;
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        const char *ours = number(a, quota_names[res]), *theirs = number(b, quota_names[res]);
        if (strcmp(ours, theirs) != 0) fn(what, quota_names[res], ours, theirs, rock);
    }
}

void sync_usage_compare(const ptrarray_t *ours, const ptrarray_t *theirs, sync_usage_differ *fn, void *rock)
{
    for (int i = 0; i < ptrarray_size(ours); i++) {
        const struct dlist *line = ptrarray_nth(ours, i);
        compare_line(line, find(theirs, what_of(line)), fn, rock);
    }
    for (int i = 0; i < ptrarray_size(theirs); i++) {
        const struct dlist *line = ptrarray_nth(theirs, i);
        if (!find(ours, what_of(line))) compare_line(NULL, line, fn, rock);
    }
}
