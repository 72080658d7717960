/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index_refresh -- how the view of a session follows the mailbox, and what the client is told
 *
 * One pass over the records, in UID order, beside the UIDs of the view: what the
 * view has and the mailbox has not (or only expunged) leaves; what is behind the
 * last UID of the view comes; what has a modseq above the last one told has
 * changed. The pass is skipped when nothing has moved.
 *
 * \Recent: whoever notices a message first moves the mark, in a transaction of its
 * own, and has it as recent until the end of the session (RFC 3501 §2.3.2).
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "imap_err.h"
#include "index_priv.h"
#include "xmalloc.h"

struct refresh {
    struct index_state *st;
    struct index_update *update;
    bool expunges;
    modseq_t since;
    uint32_t old;  /* next message of the old view */
    uint32_t kept; /* messages of the new view so far */
    uint32_t oldexists;
    uint32_t last;    /* last UID of the old view */
    uint32_t removed; /* told expunges so far */
    size_t alloc_gone, alloc_changed;
    struct seqset *held;
    modseq_t held_modseq;
    const struct seqset *damaged; /* messages whose records can't be read; NULL: none */
    uint32_t last_damaged;        /* of them, taken last */
};

bool index_record_shown(const struct index_state *st, const struct index_record *rec)
{
    if (st->include_expunged) return !(rec->internal_flags & FLAG_INTERNAL_UNLINKED);
    return !(rec->internal_flags & FLAG_INTERNAL_EXPUNGED);
}

void index_fill_message(const struct index_state *st, uint32_t msgno,
                        const struct index_record *rec, struct index_message *msg)
{
    msg->msgno = msgno;
    msg->uid = rec->uid;
    msg->modseq = rec->modseq;
    msg->system_flags = seen_view_flags(st->seen, rec);
    memcpy(msg->user_flags, rec->user_flags, sizeof(msg->user_flags));
    msg->recent = seqset_ismember(st->recent, rec->uid);
    msg->expunged = (rec->internal_flags & FLAG_INTERNAL_EXPUNGED) != 0;
}

static void append_uid(struct index_state *st, uint32_t at, uint32_t uid)
{
    if (at >= st->alloc) {
        uint32_t alloc = st->alloc + st->alloc / 4 + 16;
        st->uids = xreallocarray(st->uids, alloc, sizeof(*st->uids));
        st->alloc = alloc;
    }
    st->uids[at] = uid;
}

static void keep(struct refresh *rf, uint32_t uid)
{
    append_uid(rf->st, rf->kept++, uid);
}

/* The next message of the old view is not in the mailbox any more. modseq 0: its record is gone as well. */
static void lose(struct refresh *rf, modseq_t modseq)
{
    struct index_update *up = rf->update;
    uint32_t uid = rf->st->uids[rf->old++];

    if (!rf->expunges) {
        if (!modseq) modseq = 1;
        if (!rf->held_modseq || modseq < rf->held_modseq) rf->held_modseq = modseq;
        seqset_add(rf->held, uid, true);
        keep(rf, uid);
        return;
    }
    if (up->nexpunged == rf->alloc_gone) {
        rf->alloc_gone = rf->alloc_gone * 2 + 8;
        up->expunged_msgnos = xreallocarray(up->expunged_msgnos, rf->alloc_gone, sizeof(uint32_t));
    }
    if (!up->expunged_uids) up->expunged_uids = seqset_init(0, SEQ_SPARSE);
    up->expunged_msgnos[up->nexpunged++] = rf->kept + 1;
    seqset_add(up->expunged_uids, uid, true);
}

static void changed(struct refresh *rf, const struct index_record *rec)
{
    struct index_update *up = rf->update;

    if (up->nchanged == rf->alloc_changed) {
        rf->alloc_changed = rf->alloc_changed * 2 + 8;
        up->changed = xreallocarray(up->changed, rf->alloc_changed, sizeof(*up->changed));
    }
    index_fill_message(rf->st, rf->kept, rec, &up->changed[up->nchanged++]);
}

/* What can't be read has neither gone nor, as far as can be told, changed; it may have come. */
static void take_damaged(struct refresh *rf, uint32_t uid)
{
    struct index_state *st = rf->st;

    while (rf->old < rf->oldexists && st->uids[rf->old] < uid) lose(rf, 0);
    if (rf->old < rf->oldexists && st->uids[rf->old] == uid) {
        rf->old++;
        keep(rf, uid);
    }
    else if (uid > rf->last) {
        keep(rf, uid);
        rf->update->exists_changed = true;
    }
}

/* Those below a UID; 0: all that are left. */
static void take_damaged_below(struct refresh *rf, uint32_t uid)
{
    uint32_t next;

    while (rf->damaged && (next = seqset_after(rf->damaged, rf->last_damaged)) && (!uid || next < uid)) {
        take_damaged(rf, next);
        rf->last_damaged = next;
    }
}

static int one_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct refresh *rf = rock;
    struct index_state *st = rf->st;

    (void)mailbox;
    take_damaged_below(rf, rec->uid);
    while (rf->old < rf->oldexists && st->uids[rf->old] < rec->uid) lose(rf, 0);

    if (rf->old < rf->oldexists && st->uids[rf->old] == rec->uid) {
        if (!index_record_shown(st, rec)) {
            lose(rf, rec->modseq);
            return 0;
        }
        rf->old++;
        keep(rf, rec->uid);
        if (rec->modseq > rf->since) changed(rf, rec);
        return 0;
    }
    /* Only behind the end may a view grow: numbers that were told must not move. */
    if (rec->uid > rf->last && index_record_shown(st, rec)) {
        keep(rf, rec->uid);
        rf->update->exists_changed = true;
    }
    return 0;
}

/* Removing never overtakes reading: kept <= old while the old view lasts, so one array serves both. */
static int pass(struct refresh *rf)
{
    struct index_state *st = rf->st;

    rf->held = seqset_init(0, SEQ_SPARSE);
    int r = mailbox_foreach(st->mailbox, 0, 0, rf->damaged ? 0 : MAILBOX_ITER_STRICT, one_record, rf);
    if (!r) take_damaged_below(rf, 0);
    while (!r && rf->old < rf->oldexists) lose(rf, 0);
    return r;
}

/* As it was before the pass. */
static void restore(struct refresh *rf, const uint32_t *before)
{
    struct index_state *st = rf->st;

    if (before) memcpy(st->uids, before, st->exists * sizeof(*st->uids));
    index_update_fini(rf->update);
    seqset_free(rf->held);
    *rf = (struct refresh){ .st = st, .update = rf->update, .expunges = rf->expunges, .oldexists = rf->oldexists,
                            .last = rf->last, .since = rf->since };
}

static int walk(struct refresh *rf)
{
    struct index_state *st = rf->st;

    rf->oldexists = st->exists;
    rf->last = st->exists ? st->uids[st->exists - 1] : 0;
    rf->since = st->told_modseq;
    uint32_t *before = st->exists ? xmemdup(st->uids, st->exists * sizeof(*st->uids)) : NULL;
    int r = pass(rf);
    if (r == IMAP_MAILBOX_CHECKSUM) {
        restore(rf, before);
        r = mailbox_damaged_uids(st->mailbox, &rf->damaged);
        if (!r) r = pass(rf);
    }
    /* What can't be read has not gone: the view stays. */
    if (r) restore(rf, before);
    free(before);
    if (r) return r;
    st->exists = rf->kept;
    st->damaged = rf->damaged && !seqset_isempty(rf->damaged);
    seqset_free(st->held);
    st->held = rf->held;
    st->held_modseq = rf->held_modseq;
    return 0;
}

/* Moves the mark to the end of the view; *mark is where it was. */
static int claim_recent(struct index_state *st, uint32_t *mark)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;

    int r = index_txn_begin(st, NULL, false, &txn, &mailbox);
    if (r) return r;
    *mark = seen_view_recentuid(st->seen);
    if (*mark < st->uids[st->exists - 1])
        r = seen_view_set_recent(st->seen, mailbox, st->uids[st->exists - 1]);
    return index_txn_end(st, &txn, r);
}

/* Messages of the view from number `first` on that nobody has seen before are recent here. */
static int note_recent(struct index_state *st, uint32_t first)
{
    uint32_t mark = seen_view_recentuid(st->seen);
    int r = 0;

    if (first > st->exists || st->uids[st->exists - 1] <= mark) return 0;
    if (!st->examine) r = claim_recent(st, &mark);
    if (r && r != IMAP_USER_ELSEWHERE) return r;
    for (uint32_t n = first; n <= st->exists; n++)
        if (st->uids[n - 1] > mark) seqset_add(st->recent, st->uids[n - 1], true);
    return 0;
}

static bool flagnames_equal(const strarray_t *a, const strarray_t *b)
{
    int n = cyr_max(strarray_size(a), strarray_size(b));

    for (int i = 0; i < n; i++)
        if (strcmpnull(strarray_nth(a, i), strarray_nth(b, i))) return false;
    return true;
}

static void copy_flagnames(strarray_t *to, const strarray_t *from)
{
    strarray_fini(to);
    for (int i = 0; i < strarray_size(from); i++) strarray_set(to, i, strarray_nth(from, i));
}

/* Takes over what can be read from the headers. */
static void facts(struct index_state *st, struct index_update *update)
{
    const struct index_header *hdr = mailbox_index_header(st->mailbox);
    uint32_t rights = index_effective_rights(st->auth, st->isadmin, mailbox_acl(st->mailbox));

    if (st->examine)
        rights &= ~(uint32_t)(ACL_SETSEEN | ACL_WRITE | ACL_INSERT | ACL_DELETEMSG | ACL_EXPUNGE |
                              ACL_ANNOTATEMSG);
    if (rights != st->rights) update->flagnames_changed = true;
    st->rights = rights;
    st->uidvalidity = hdr->uidvalidity;
    st->uidnext = hdr->last_uid + 1;
    st->deletedmodseq = hdr->deletedmodseq;
    st->told_modseq = hdr->highestmodseq;
    if (!flagnames_equal(&st->flagnames, mailbox_flagnames(st->mailbox))) {
        copy_flagnames(&st->flagnames, mailbox_flagnames(st->mailbox));
        update->flagnames_changed = true;
    }
}

/* The mailbox was deleted: every message of the view goes, once. */
static int all_gone(struct index_state *st, struct index_update *update)
{
    index_unlock(st);
    seen_view_free(&st->seen);
    mailbox_close(&st->mailbox);
    st->gone = true;
    update->gone = true;
    update->nexpunged = st->exists;
    update->expunged_msgnos = xcalloc(st->exists + 1, sizeof(uint32_t));
    update->expunged_uids = seqset_init(0, SEQ_SPARSE);
    for (uint32_t i = 0; i < st->exists; i++) {
        update->expunged_msgnos[i] = 1;
        seqset_add(update->expunged_uids, st->uids[i], true);
    }
    st->exists = 0;
    seqset_clear(st->held);
    st->held_modseq = 0;
    return 0;
}

/* Changed flags are taken again from the records: a claim of \Recent came in between. */
static void mark_changed_recent(struct index_state *st, struct index_update *update)
{
    for (size_t i = 0; i < update->nchanged; i++)
        update->changed[i].recent = seqset_ismember(st->recent, update->changed[i].uid);
}

int index_refresh(struct index_state *st, bool expunges, struct index_update *update)
{
    struct refresh rf = { .st = st, .update = update };
    bool moved;

    if (st->include_expunged) expunges = false;
    rf.expunges = expunges;

    memset(update, 0, sizeof(*update));
    if (st->gone) return 0;
    int r = mailbox_relock_read(st->mailbox, &moved);
    if (r == IMAP_MAILBOX_NONEXISTENT) return all_gone(st, update);
    if (r) return r;
    st->locked = true;

    uint32_t before = st->exists;
    moved = moved || mailbox_index_header(st->mailbox)->highestmodseq != st->told_modseq ||
            mailbox_index_header(st->mailbox)->last_uid + 1 != st->uidnext;
    if (moved || st->stale) r = seen_view_refresh(st->seen, st->mailbox);
    if (!r) st->stale = false;
    if (!r && (moved || (expunges && st->held_modseq))) r = walk(&rf);
    if (!r) facts(st, update);
    uint64_t lsn = mailbox_seen_lsn(st->mailbox);
    index_unlock(st);
    if (r) return r;

    r = txn_wait(lsn);
    if (!r && moved) r = note_recent(st, before - (uint32_t)update->nexpunged + 1);
    /* It went since it was unlocked: this view is what it was, and the next refresh says so. */
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    if (!r) mark_changed_recent(st, update);
    return r;
}

void index_update_fini(struct index_update *update)
{
    free(update->expunged_msgnos);
    seqset_free(update->expunged_uids);
    free(update->changed);
    memset(update, 0, sizeof(*update));
}

uint32_t index_recent(const struct index_state *st)
{
    uint32_t n = 0;

    if (seqset_isempty(st->recent)) return 0;
    for (uint32_t i = 0; i < st->exists; i++)
        if (seqset_ismember(st->recent, st->uids[i])) n++;
    return n;
}
