/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index_messages -- message numbers, UIDs and records of a session's view
 *
 * Look-ups take log n; sets are worked on range by range. Records are read under
 * the shared lock (index_lock).
 */
#include <config.h>

#include "imap_err.h"
#include "index_priv.h"
#include "util.h"
#include "xmalloc.h"

uint32_t index_uid(const struct index_state *st, uint32_t msgno)
{
    return msgno >= 1 && msgno <= st->exists ? st->uids[msgno - 1] : 0;
}

/* How many UIDs of the view are below uid. */
static uint32_t below(const struct index_state *st, uint32_t uid)
{
    return (uint32_t)lower_bound_u32(st->uids, st->exists, uid);
}

uint32_t index_msgno(const struct index_state *st, uint32_t uid)
{
    uint32_t n = below(st, uid);

    return n < st->exists && st->uids[n] == uid ? n + 1 : 0;
}

struct seqset *index_msgnos_of(const struct index_state *st, const struct seqset *uids)
{
    struct seqset *out = seqset_init(0, SEQ_SPARSE);

    for (size_t i = 0; i < uids->len; i++) {
        uint32_t low = below(st, uids->set[i].low) + 1;
        uint32_t high = uids->set[i].high == UINT32_MAX ? st->exists
                                                        : below(st, uids->set[i].high + 1);
        if (low <= high) seqset_addrange(out, low, high);
    }
    return out;
}

struct seqset *index_uids_of(const struct index_state *st, const struct seqset *msgnos)
{
    struct seqset *out = seqset_init(0, SEQ_SPARSE);

    for (size_t i = 0; i < msgnos->len; i++) {
        uint32_t high = cyr_min(msgnos->set[i].high, st->exists);
        for (uint32_t n = msgnos->set[i].low; n <= high; n++)
            seqset_add(out, st->uids[n - 1], true);
    }
    return out;
}

struct seqset *index_parse_sequence(const struct index_state *st, const char *text, bool usinguid)
{
    uint32_t star = usinguid && st->exists ? st->uids[st->exists - 1] : st->exists;
    struct seqset *set = seqset_parse(text, NULL, star), *all;

    if (!set) return NULL;
    if (!st->exists) {
        seqset_clear(set);
        return set;
    }
    if (usinguid) {
        all = index_msgnos_of(st, set);
        seqset_free(set);
        return all;
    }
    all = seqset_init(0, SEQ_SPARSE);
    seqset_addrange(all, 1, st->exists);
    seqset_intersect(set, all);
    seqset_free(all);
    return set;
}

int index_read_record(struct index_state *st, uint32_t msgno, struct index_record *rec)
{
    uint32_t uid = index_uid(st, msgno);

    if (!uid) return IMAP_NOTFOUND;
    /* Messages are mostly read in order: try the record behind the last one first. */
    if (st->recno_hint < mailbox_num_records(st->mailbox) &&
        !mailbox_read_record(st->mailbox, st->recno_hint + 1, rec) && rec->uid == uid) {
        st->recno_hint++;
        return 0;
    }
    int r = mailbox_find_uid(st->mailbox, uid, rec);
    if (!r) st->recno_hint = rec->recno;
    return r;
}

char *index_damaged(struct index_state *st)
{
    const struct seqset *damaged;

    if (!st->damaged) return NULL;
    return !mailbox_damaged_uids(st->mailbox, &damaged) && !seqset_isempty(damaged) ? seqset_cstring(damaged) : NULL;
}

uint32_t index_first_unseen(struct index_state *st)
{
    struct index_record rec;

    for (uint32_t n = 1; n <= st->exists; n++) {
        int r = index_read_record(st, n, &rec);
        if (r && r != IMAP_NOTFOUND) return 0; /* this may be it */
        if (r || (rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) continue;
        if (!seen_view_isseen(st->seen, &rec)) return n;
    }
    return 0;
}

struct vanished {
    modseq_t since;
    const struct seqset *known;
    struct seqset *uids;
};

static int one_vanished(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct vanished *v = rock;

    (void)mailbox;
    if (!(rec->internal_flags & FLAG_INTERNAL_EXPUNGED) || rec->modseq <= v->since) return 0;
    if (!v->known || seqset_ismember(v->known, rec->uid)) seqset_add(v->uids, rec->uid, true);
    return 0;
}

int index_vanished(struct index_state *st, modseq_t since, const struct seqset *known,
                   struct seqset **uids)
{
    struct vanished v = { since, known, seqset_init(0, SEQ_SPARSE) };
    int r = 0;

    *uids = v.uids;
    if (since >= st->deletedmodseq) {
        const struct seqset *damaged;

        r = mailbox_foreach(st->mailbox, 0, since, MAILBOX_ITER_STRICT, one_vanished, &v);
        /* What can't be read, if it is known, are messages. */
        return r == IMAP_MAILBOX_CHECKSUM ? mailbox_damaged_uids(st->mailbox, &damaged) : r;
    }
    /* The records are no longer all there: everything that is not in the view. */
    if (known)
        seqset_join(v.uids, known);
    else if (st->uidnext > 1)
        seqset_addrange(v.uids, 1, st->uidnext - 1);
    if (st->uidnext > 1) {
        struct seqset *limit = seqset_init(0, SEQ_SPARSE);
        seqset_addrange(limit, 1, st->uidnext - 1);
        seqset_intersect(v.uids, limit);
        seqset_free(limit);
    }
    struct seqset *view = seqset_init(0, SEQ_SPARSE);
    for (uint32_t i = 0; i < st->exists; i++) seqset_add(view, st->uids[i], true);
    seqset_subtract(v.uids, view);
    seqset_free(view);
    return 0;
}
