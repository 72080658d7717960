/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_full_decide -- what becomes of a message when both ends have changed
 *
 * The rules, in short: expunge wins; the newer flags win; a UID that one end has passed
 * without this message is never used for it again, so the message gets a new UID; two
 * messages under one UID both survive, under new ones.
 */
#include <config.h>

#include "sync_client_full.h"

static bool is_expunged(const struct sync_record *rec)
{
    return rec->rec.internal_flags & FLAG_INTERNAL_EXPUNGED;
}

bool full_same_record(const struct sync_record *a, const struct sync_record *b)
{
    return a->rec.modseq == b->rec.modseq && a->rec.last_updated == b->rec.last_updated &&
           a->rec.internaldate == b->rec.internaldate && a->rec.cid == b->rec.cid &&
           a->rec.savedate == b->rec.savedate && a->rec.createdmodseq == b->rec.createdmodseq &&
           sync_record_same_flags(a, b);
}

static enum full_ours decide_pair(const struct sync_record *ours, const struct sync_record *theirs)
{
    if (is_expunged(ours)) return FULL_OURS_BUMP;
    if (is_expunged(theirs)) return FULL_OURS_EXPUNGE;
    if (full_same_record(ours, theirs)) return FULL_OURS_KEEP;
    if (theirs->rec.modseq > ours->rec.modseq && theirs->rec.last_updated >= ours->rec.last_updated)
        return FULL_OURS_TAKE;
    return FULL_OURS_BUMP;
}

static enum full_ours decide_ours_only(const struct full_numbers *n, const struct sync_record *ours)
{
    if (n->absorb) return FULL_OURS_KEEP;
    if (ours->rec.uid <= n->their_last_uid)
        return is_expunged(ours) ? FULL_OURS_KEEP : FULL_OURS_RENUMBER;
    return ours->rec.modseq <= n->their_highestmodseq ? FULL_OURS_BUMP : FULL_OURS_KEEP;
}

static enum full_theirs decide_theirs_only(const struct full_numbers *n,
                                           const struct sync_record *theirs)
{
    if (is_expunged(theirs)) return FULL_THEIRS_KEEP;
    if (theirs->rec.uid > n->our_last_uid) return FULL_THEIRS_APPEND;
    if (n->absorb) return FULL_THEIRS_COPYBACK;
    return theirs->rec.modseq < n->our_deletedmodseq ? FULL_THEIRS_EXPUNGE : FULL_THEIRS_COPYBACK;
}

struct full_decision full_decide(const struct full_numbers *n, const struct sync_record *ours,
                                 const struct sync_record *theirs)
{
    struct full_decision d = { FULL_OURS_KEEP, FULL_THEIRS_KEEP, false };

    if (!theirs) {
        d.ours = decide_ours_only(n, ours);
    }
    else if (!ours) {
        d.theirs = decide_theirs_only(n, theirs);
    }
    else if (is_expunged(ours) && is_expunged(theirs)) {
        /* equal, whatever else differs */
    }
    else if (message_guid_equal(&ours->rec.guid, &theirs->rec.guid)) {
        d.ours = decide_pair(ours, theirs);
    }
    else {
        if (!is_expunged(ours) && !n->absorb) d.ours = FULL_OURS_RENUMBER;
        if (!is_expunged(theirs)) d.theirs = FULL_THEIRS_COPYBACK;
        d.theirs_first = message_guid_cmp(&theirs->rec.guid, &ours->rec.guid) < 0;
    }
    return d;
}
