/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SYNCGET, SYNCAPPLY, SYNCRESTORE, SYNCRESTART: the replica's commands inside IMAP
 * (handbook 03 §1.8)
 *
 * The same dlists and status lines as on the csync port, behind the tag. What a connection
 * reserves is its own, and goes when it ends or its user logs out. Changes are logged for a replica of this
 * server as those of any IMAP command are.
 */
#include <config.h>

#include <stdlib.h>

#include "imapcmd.h"
#include "synccmd/synccmd.h"
#include "xmalloc.h"

static struct synccmd_session *session(struct imap_session *s)
{
    if (!s->sync) {
        sync_reserve_sweep(); /* of processes that are gone */
        s->sync = xzmalloc(sizeof(*s->sync));
        synccmd_session_init(s->sync, s->in, s->out, s->userid);
    }
    return s->sync;
}

void imap_session_end_sync(struct imap_session *s)
{
    if (!s->sync) return;
    synccmd_lease_watch(s->sync, false);
    synccmd_session_fini(s->sync);
    xzfree(s->sync);
}

void imap_session_leave_sync(struct imap_session *s)
{
    if (s->sync) synccmd_lease_end(s->sync);
}

bool imap_session_is_syncing(struct imap_session *s)
{
    return s->sync && synccmd_lease_is_held(s->sync);
}

/* The line has been read to its end, or the input is broken. */
static void parse_failed(struct imap_session *s)
{
    s->c = prot_error(s->in) ? IMPARSE_EOF : '\n';
    imap_bad(s, "Replication parse failure in %s", buf_cstring(&s->cmdname));
}

static void run(struct imap_session *s, enum synccmd_verb verb)
{
    struct dlist *dl = NULL;

    if (s->c != ' ') {
        imap_bad(s, "Replication parse failure in %s", buf_cstring(&s->cmdname));
        return;
    }
    synccmd_lease_watch(session(s), true);
    int bad = synccmd_parse(s->sync, &dl);
    synccmd_lease_watch(s->sync, false);
    if (bad) {
        parse_failed(s);
        return;
    }
    s->c = '\n';
    int r = synccmd_run(s->sync, verb, dl);
    dlist_free(&dl);
    const char *status = synccmd_status(r); /* begins with OK or NO */
    if (r)
        imap_no(s, "%s", status + 3);
    else
        imap_ok(s, "%s", status + 3);
}

void cmd_syncget(struct imap_session *s)
{
    run(s, SYNCCMD_GET);
}

void cmd_syncapply(struct imap_session *s)
{
    run(s, SYNCCMD_APPLY);
}

void cmd_syncrestore(struct imap_session *s)
{
    run(s, SYNCCMD_RESTORE);
}

void cmd_syncrestart(struct imap_session *s)
{
    if (!imap_arg_end(s)) return;
    if (s->sync) synccmd_restart(s->sync);
    imap_ok(s, "Restarting");
}
