/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_usage -- what a user uses here and on the replica is the same number (doc/sync-extensions.md, X-USAGE)
 *
 * Replication carries no usage: each end counts what it stores. Where the counts differ though the mailboxes are the same, the replica is asked
 * to count anew.
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

struct finding {
    struct sync_client *sc;
    const char *userid;
    bool final;
    unsigned n;
};

static void tell(const char *what, const char *resource, const char *ours, const char *theirs, void *rock)
{
    struct finding *f = rock;
    char *text = xasprintf("usage %s %s: %s: here <%s>, on the replica <%s>", f->userid, what, resource, ours, theirs);

    f->n++;
    if (f->final)
        sync_verify_report(f->sc, text);
    else
        syslog(LOG_NOTICE, "SYNCNOTICE: to be counted anew on the replica: %s", text);
    free(text);
}

static int compare(struct finding *f)
{
    ptrarray_t ours = PTRARRAY_INITIALIZER, theirs = PTRARRAY_INITIALIZER;
    int r = sync_usage_read(f->userid, &ours);

    f->n = 0;
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
    int r = compare(&f);
    if (r || !f.n) return r;
    r = sync_do_recount(sc, userid);
    f.final = true;
    return r ? r : compare(&f);
}
