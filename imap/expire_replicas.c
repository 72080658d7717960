/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * expire_replicas -- what no replica needs to hear of any more (expire_replica_wait)
 *
 * The replicas of a user are the channels that a client follows (sync_acked.h); one is done with a change when its row has the modseq. Shared
 * mailboxes, and all with "conversations: no", have no rows: nothing is waited for.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "expire_internal.h"
#include "libconfig.h"
#include "mboxname.h"
#include "sync_acked.h"
#include "xmalloc.h"
#include "xsyslog.h"

void expire_replicas_init(struct expire_replicas *er)
{
    *er = (struct expire_replicas){ .wait = config_getduration(IMAPOPT_EXPIRE_REPLICA_WAIT), .channels = STRARRAY_INITIALIZER };
    if (er->wait <= 0 || !config_getswitch(IMAPOPT_CONVERSATIONS)) return;
    sync_acked_channels(&er->channels);
}

void expire_replicas_fini(struct expire_replicas *er)
{
    strarray_fini(&er->channels);
    xzfree(er->userid);
}

/* Which of them is furthest behind, and where. */
static void look_up(struct expire_replicas *er)
{
    struct sync_acked row;

    er->acked = UINT64_MAX;
    er->last = NULL;
    for (int i = 0; er->userid && i < strarray_size(&er->channels); i++) {
        modseq_t acked = sync_acked_read(strarray_nth(&er->channels, i), er->userid, &row) ? row.modseq : 0;
        if (acked >= er->acked) continue;
        er->acked = acked;
        er->last = strarray_nth(&er->channels, i);
    }
}

bool expire_must_wait(struct expire_replicas *er, const char *mboxname, modseq_t modseq, time_t when, time_t before)
{
    if (!strarray_size(&er->channels)) return false;
    char *userid = mboxname_to_userid(mboxname);
    if (!er->known || strcmpsafe(userid, er->userid)) {
        xzfree(er->userid);
        er->userid = xstrdupnull(userid);
        er->known = true;
        look_up(er);
    }
    free(userid);
    if (modseq <= er->acked) return false;
    bool late = when < cyr_min(before, time(NULL)) - er->wait;
    *(late ? &er->late : &er->kept) += 1;
    return !late;
}

void expire_replicas_say(struct expire_replicas *er, const char *mboxname, const char *what)
{
    if (er->late)
        syslog(LOG_ERR, "SYNCERROR: removed although the replica of channel <%s> has acknowledged modseq %" PRIu64 " only: mailbox=<%s> %s=<%zu>",
               er->last ? er->last : "", (uint64_t)er->acked, mboxname, what, er->late);
    er->late = 0;
}
