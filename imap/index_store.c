/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index_store -- changing flags and annotations of messages of the selected mailbox
 *
 * One call is one transaction, however many messages it touches. A change that
 * changes nothing stages nothing and raises no modseq. Rights decide flag by flag
 * (handbook 04 §3.13, RFC 4314 §4): s for \Seen, t for \Deleted, w for all others.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "annotate.h"
#include "append.h"
#include "imap_err.h"
#include "index_priv.h"
#include "xmalloc.h"

/* What may be changed, and to what, for all messages of the call. */
struct plan {
    uint32_t system_flags, system_mask; /* without \Seen; mask: may be changed */
    uint32_t user_flags[MAX_USER_FLAG_WORDS];
    bool user_mask;
    bool seen, seen_mask;
};

#define SYSTEM_BY_W (FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT)

/*
 * IMAP_PERMISSION_DENIED when nothing remains of what was asked (add, remove), or when anything of it
 * is not allowed (replace).
 */
static int make_plan(const struct index_state *st, const struct index_store *store,
                     struct plan *plan)
{
    bool user = store->user_flags && strarray_size(store->user_flags) > 0;
    uint32_t asked = store->system_flags;
    bool left;

    memset(plan, 0, sizeof(*plan));
    if (st->rights & ACL_WRITE) plan->system_mask |= SYSTEM_BY_W;
    if (st->rights & ACL_DELETEMSG) plan->system_mask |= FLAG_DELETED;
    plan->user_mask = (st->rights & ACL_WRITE) != 0;
    plan->seen_mask = (st->rights & ACL_SETSEEN) != 0;

    plan->system_flags = asked & plan->system_mask;
    plan->seen = (asked & FLAG_SEEN) && plan->seen_mask;
    left = plan->system_flags || plan->seen || (user && plan->user_mask);
    if (store->op == INDEX_STORE_REPLACE) {
        bool dropped = (asked & ~(uint32_t)FLAG_SEEN & ~plan->system_mask) ||
                       ((asked & FLAG_SEEN) && !plan->seen_mask) || (user && !plan->user_mask);
        bool any = plan->system_mask || plan->user_mask || plan->seen_mask;
        return dropped || !any ? IMAP_PERMISSION_DENIED : 0;
    }
    if (!left && (asked || user)) return IMAP_PERMISSION_DENIED;
    return 0;
}

/* Slots of the flags; they are made only where flags are added. */
static int plan_user_flags(struct mailbox *mailbox, const struct index_store *store,
                           struct plan *plan)
{
    bool create = store->op != INDEX_STORE_REMOVE;

    if (!store->user_flags || !plan->user_mask) return 0;
    for (int i = 0; i < strarray_size(store->user_flags); i++) {
        int slot = -1;
        int r = mailbox_user_flag(mailbox, strarray_nth(store->user_flags, i), &slot, create,
                                  false);
        if (r == IMAP_NOTFOUND && !create) continue;
        if (r) return r;
        if (slot >= 0) plan->user_flags[slot / 32] |= 1u << (slot % 32);
    }
    return 0;
}

/* One word of flags after the operation, bits outside mask as they were. */
static uint32_t apply_word(enum index_store_op op, uint32_t old, uint32_t flags, uint32_t mask)
{
    switch (op) {
    case INDEX_STORE_ADD: return old | (flags & mask);
    case INDEX_STORE_REMOVE: return old & ~(flags & mask);
    case INDEX_STORE_REPLACE: return (old & ~mask) | (flags & mask);
    case INDEX_STORE_ANNOTATE: break;
    }
    return old;
}

static bool apply_flags(const struct plan *plan, enum index_store_op op, struct index_record *rec)
{
    struct index_record old = *rec;

    rec->system_flags = apply_word(op, rec->system_flags, plan->system_flags, plan->system_mask);
    for (int i = 0; i < MAX_USER_FLAG_WORDS; i++)
        rec->user_flags[i] = apply_word(op, rec->user_flags[i], plan->user_flags[i],
                                        plan->user_mask ? UINT32_MAX : 0);
    return rec->system_flags != old.system_flags ||
           memcmp(rec->user_flags, old.user_flags, sizeof(old.user_flags)) != 0;
}

static bool wants_seen(const struct plan *plan, enum index_store_op op, bool now)
{
    if (!plan->seen_mask) return now;
    switch (op) {
    case INDEX_STORE_ADD: return now || plan->seen;
    case INDEX_STORE_REMOVE: return now && !plan->seen;
    case INDEX_STORE_REPLACE: return plan->seen;
    case INDEX_STORE_ANNOTATE: break;
    }
    return now;
}

static int store_annotations(struct index_state *st, struct mailbox *mailbox,
                             const struct index_store *store, struct index_record *rec, bool *did)
{
    for (const struct entryattlist *e = store->annotations; e; e = e->next) {
        uint32_t need = *e->userid ? ACL_READ : ACL_ANNOTATEMSG;
        if (!(st->rights & need)) return IMAP_PERMISSION_DENIED;
        int r = annotate_msg_write(mailbox, rec, e->entry, e->userid, &e->value, 0);
        if (r) return r;
        *did = true;
    }
    /* So that clients see a change. */
    return *did ? mailbox_rewrite_record(mailbox, rec, 0) : 0;
}

static int store_one(struct index_state *st, struct mailbox *mailbox, const struct plan *plan,
                     const struct index_store *store, struct index_record *rec, bool *did)
{
    bool seen = seen_view_isseen(st->seen, rec);
    bool newseen = wants_seen(plan, store->op, seen);

    *did = false;
    if (store->op == INDEX_STORE_ANNOTATE) return store_annotations(st, mailbox, store, rec, did);
    bool flags = apply_flags(plan, store->op, rec);
    if (!flags && newseen == seen) return 0;
    *did = true;
    if (newseen != seen) {
        int r = seen_view_set(st->seen, mailbox, rec, newseen, 0);
        if (r || seen_view_internal(st->seen)) return r;
        /* The record is written as well: its modseq tells other sessions that something is new. */
    }
    return mailbox_rewrite_record(mailbox, rec, 0);
}

/* Growth of annotation storage, as a bound: what is set counts, what it replaces does not. */
static int check_annotation_quota(struct mailbox *mailbox, const struct index_store *store,
                                  const struct seqset *msgnos)
{
    struct quota_diffs diffs = { -1, -1, 0, -1 };

    if (store->op != INDEX_STORE_ANNOTATE || store->ignorequota) return 0;
    for (const struct entryattlist *e = store->annotations; e; e = e->next)
        diffs.annotstorage += (int64_t)e->value.len;
    if (!diffs.annotstorage) return 0;
    diffs.annotstorage *= (int64_t)seqset_count(msgnos);
    return append_check_quota(mailbox, &diffs);
}

/* *one_bad: there is a message whose record can't be read; the others are changed. */
static int store_all(struct index_state *st, struct mailbox *mailbox, const struct seqset *msgnos,
                     const struct index_store *store, const struct plan *plan,
                     struct seqset *modified, struct seqset *changed, modseq_t *modseqp, int *one_bad)
{
    for (uint32_t n = seqset_after(msgnos, 0); n; n = seqset_after(msgnos, n)) {
        struct index_record rec;
        uint32_t uid = index_uid(st, n);
        bool did;

        if (!uid) break;
        int r = mailbox_find_uid(mailbox, uid, &rec);
        if (r == IMAP_MAILBOX_CHECKSUM) *one_bad = r;
        if (r == IMAP_NOTFOUND || r == IMAP_MAILBOX_CHECKSUM) continue;
        if (r) return r;
        if (rec.internal_flags & FLAG_INTERNAL_EXPUNGED) continue;
        if (store->has_unchangedsince && rec.modseq > store->unchangedsince) {
            seqset_add(modified, uid, true);
            continue;
        }
        r = store_one(st, mailbox, plan, store, &rec, &did);
        if (r) return r;
        if (!did) continue;
        seqset_add(changed, uid, true);
        if (rec.modseq > *modseqp) *modseqp = rec.modseq;
    }
    return 0;
}

int index_store(struct index_state *st, const struct seqset *msgnos,
                const struct index_store *store, struct seqset **modified, struct seqset **changed,
                modseq_t *modseqp)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;
    struct plan plan;
    int one_bad = 0;

    *modified = seqset_init(0, SEQ_SPARSE);
    *changed = seqset_init(0, SEQ_SPARSE);
    *modseqp = 0;
    if (st->gone) return IMAP_MAILBOX_NONEXISTENT;
    if (store->op == INDEX_STORE_ANNOTATE)
        memset(&plan, 0, sizeof(plan));
    else {
        int denied = make_plan(st, store, &plan);
        if (denied) return denied;
    }
    if (seqset_isempty(msgnos)) return 0;

    int r = index_txn_begin(st, NULL, false, &txn, &mailbox);
    if (r) return r;
    r = plan_user_flags(mailbox, store, &plan);
    if (!r) r = check_annotation_quota(mailbox, store, msgnos);
    if (!r) r = store_all(st, mailbox, msgnos, store, &plan, *modified, *changed, modseqp, &one_bad);
    r = index_txn_end(st, &txn, r);
    if (r) seqset_clear(*changed);
    return r ? r : one_bad;
}

/* Those without \Seen, if they may get it: most reads need no transaction. */
static int index_unseen(struct index_state *st, const struct seqset *msgnos, struct seqset **unseen)
{
    struct index_record rec;

    *unseen = seqset_init(0, SEQ_SPARSE);
    if (!(st->rights & ACL_SETSEEN) || st->examine) return 0;
    int r = index_lock(st);
    if (r) return r;
    for (uint32_t n = seqset_after(msgnos, 0); n; n = seqset_after(msgnos, n)) {
        if (index_read_record(st, n, &rec) || (rec.internal_flags & FLAG_INTERNAL_EXPUNGED))
            continue;
        if (!seen_view_isseen(st->seen, &rec)) seqset_add(*unseen, n, true);
    }
    index_unlock(st);
    return 0;
}

int index_mark_seen(struct index_state *st, const struct seqset *msgnos, struct seqset **changed,
                    modseq_t *modseqp)
{
    struct index_store store = { .op = INDEX_STORE_ADD, .system_flags = FLAG_SEEN };
    struct seqset *unseen, *modified;

    *changed = NULL;
    int r = index_unseen(st, msgnos, &unseen);
    if (!r && !seqset_isempty(unseen)) {
        r = index_store(st, unseen, &store, &modified, changed, modseqp);
        seqset_free(modified);
    }
    if (!*changed) *changed = seqset_init(0, SEQ_SPARSE);
    seqset_free(unseen);
    return r;
}
