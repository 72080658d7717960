/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_usage -- what a user uses here and on the replica is the same number (doc/sync-extensions.md, X-USAGE)
 *
 * Replication carries no usage: each end counts what it stores. Where the counts differ though the mailboxes are the same, the replica is asked
 * to count anew. Where nobody holds the user still, the numbers count that were the same here before and after.
 */
#include <config.h>

#include "sync_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "sync_usage.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int take_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    (void)sc;
    if (strcmp((*dlp)->name, "USAGE") != 0) return IMAP_PROTOCOL_ERROR;
    ptrarray_append(rock, *dlp);
    *dlp = NULL;
    return 0;
}

enum telling { QUIET, TO_RECOUNT, DIFFERENCE, STILL };

struct finding {
    struct sync_client *sc;
    const char *userid;
    enum telling telling;
    unsigned n;
};

static void tell(const char *what, const char *resource, const char *ours, const char *theirs, void *rock)
{
    struct finding *f = rock;
    char *text = xasprintf("usage %s %s: %s: here <%s>, on the replica <%s>", f->userid, what, resource, ours, theirs);

    f->n++;
    switch (f->telling) {
    case QUIET: break;
    case TO_RECOUNT: syslog(LOG_NOTICE, "SYNCNOTICE: to be counted anew on the replica: %s", text); break;
    case DIFFERENCE: sync_verify_report(f->sc, text); break;
    case STILL: syslog(LOG_ERR, "SYNCERROR: the same mailboxes, counted anew there (cyr_user check counts here): %s", text); break;
    }
    free(text);
}

static int compare(struct finding *f, enum telling telling)
{
    ptrarray_t ours = PTRARRAY_INITIALIZER, theirs = PTRARRAY_INITIALIZER;
    int r = sync_usage_read(f->userid, &ours);

    f->n = 0;
    f->telling = telling;
    if (!r) r = sync_client_command(f->sc, "GET", dlist_newatom(NULL, "USAGE", f->userid), take_line, &theirs);
    if (!r) sync_usage_compare(&ours, &theirs, tell, f);
    sync_usage_fini(&ours);
    sync_usage_fini(&theirs);
    return r;
}

int sync_do_recount(struct sync_client *sc, const char *userid)
{
    if (!backend_has(sc->backend, BACKEND_CAPA_USAGE)) return 0;
    sync_client_say(sc, "RECOUNT %s", userid);
    return sync_client_command(sc, "APPLY", dlist_newatom(NULL, "RECOUNT", userid), NULL, NULL);
}

int sync_verify_usage(struct sync_client *sc, const char *userid)
{
    struct finding f = { .sc = sc, .userid = userid };

    if (!backend_has(sc->backend, BACKEND_CAPA_USAGE)) return 0;
    int r = compare(&f, TO_RECOUNT);
    if (!r && f.n) r = sync_do_recount(sc, userid);
    return r || !f.n ? r : compare(&f, DIFFERENCE);
}

/* ---- of a user who may be at work ---- */

static int is_still(struct finding *f, const ptrarray_t *before, bool *still)
{
    ptrarray_t now = PTRARRAY_INITIALIZER;
    int r = sync_usage_read(f->userid, &now);

    f->n = 0;
    f->telling = QUIET;
    if (!r) sync_usage_compare(before, &now, tell, f);
    *still = !r && !f->n;
    sync_usage_fini(&now);
    return r;
}

int sync_settle_usage(struct sync_client *sc, const char *userid, const ptrarray_t *before, bool *movedp)
{
    struct finding f = { .sc = sc, .userid = userid };
    bool still = true;
    int r = compare(&f, QUIET);

    if (r || !f.n) return r;
    r = is_still(&f, before, &still);
    *movedp = !r && !still;
    if (!r && still) r = compare(&f, TO_RECOUNT);
    if (!r && still && f.n) r = sync_do_recount(sc, userid);
    if (r || !still || !f.n) return r;
    r = compare(&f, QUIET);
    if (r || !f.n) return r;
    r = is_still(&f, before, &still);
    return r || !still ? r : compare(&f, STILL);
}
