/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index_copy -- COPY, MOVE and EXPUNGE from the selected mailbox
 *
 * Each is one transaction over both mailboxes: all messages are copied (and, for
 * MOVE, gone from the source), or none. Errors: IMAP_NO_NOSUCHMSG,
 * IMAP_PERMISSION_DENIED, IMAP_MAILBOX_NONEXISTENT, IMAP_QUOTA_EXCEEDED,
 * IMAP_MAILBOX_NOTSUPPORTED. RFC 3501 §6.4.7, RFC 6851, handbook 04 §3.16, §4.4.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "append.h"
#include "imap_err.h"
#include "index_priv.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "quota.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* UIDs of the messages that are still there, in order. *r: one can't be read. */
static uint32_t *live_uids(struct index_state *st, struct mailbox *mailbox,
                           const struct seqset *msgnos, size_t *np, int64_t *bytes, int *r)
{
    uint32_t *uids = xcalloc(seqset_count(msgnos) + 1, sizeof(*uids));
    size_t n = 0;

    *bytes = 0;
    *r = 0;
    for (uint32_t m = seqset_after(msgnos, 0); m; m = seqset_after(msgnos, m)) {
        struct index_record rec;
        uint32_t uid = index_uid(st, m);
        if (!uid) break;
        int one = mailbox_find_uid(mailbox, uid, &rec);
        if (one && one != IMAP_NOTFOUND) *r = one;
        if (one) continue;
        if (rec.internal_flags & FLAG_INTERNAL_EXPUNGED) continue;
        uids[n++] = uid;
        *bytes += rec.size;
    }
    *np = n;
    return uids;
}

/* Copies of the own messages cost nothing if a message counts once; a move below one root costs nothing at all. */
static int check_quota(struct mailbox *src, struct mailbox *dst, size_t n, int64_t bytes, bool move)
{
    struct quota_diffs diffs = { bytes, (int64_t)n, -1, -1 };
    const char *a = mailbox_quotaroot(src), *b = mailbox_quotaroot(dst);

    if (move && !strcmpnull(a, b)) return 0;
    if (quota_uses_conversations(QUOTA_ENFORCE) && mboxname_same_userid(mailbox_name(src), mailbox_name(dst)))
        return 0;
    return append_check_quota(dst, &diffs);
}

static int expunge_uids(struct mailbox *mailbox, const uint32_t *uids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct index_record rec;
        int r = mailbox_find_uid(mailbox, uids[i], &rec);
        if (!r) r = mailbox_expunge_record(mailbox, &rec, 0);
        if (r) return r;
    }
    return 0;
}

static void note_copied(struct index_copied *copied, struct mailbox *dst, const uint32_t *from,
                        const uint32_t *to, size_t n)
{
    copied->uidvalidity = mailbox_index_header(dst)->uidvalidity;
    for (size_t i = 0; i < n; i++) {
        seqset_add(copied->from, from[i], true);
        seqset_add(copied->to, to[i], true);
    }
}

static void log_expunged(const struct index_state *st, size_t n)
{
    if (n) syslog(LOG_NOTICE, "Expunged %zu messages from %s", n, st->name);
}

/* The target, and what the session may do there. */
static int check_target(struct index_state *st, const char *name, mbentry_t **mbentry,
                        uint32_t *rights)
{
    int r = mboxlist_lookup(name, mbentry, NULL);
    if (r) return r;
    *rights = index_effective_rights(st->auth, st->isadmin, (*mbentry)->acl);
    if (*rights & ACL_INSERT) return 0;
    /* Admins are told as little as others here (handbook 04 §5.4). */
    uint32_t visible = cyrus_acl_myrights(st->auth, (*mbentry)->acl) & ACL_LOOKUP;
    return visible ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
}

static int is_snoozed(const mbentry_t *target)
{
    char *owner = mboxname_to_userid(target->name);
    struct buf value = BUF_INITIALIZER;
    int r = 0;

    if (owner && !annotatemore_lookup(target, "/specialuse", owner, NULL, &value) &&
        strstr(buf_cstring(&value), "\\Snoozed"))
        r = IMAP_MAILBOX_NOTSUPPORTED;
    buf_free(&value);
    free(owner);
    return r;
}

int index_append_allowed(const mbentry_t *target)
{
    return is_snoozed(target);
}

static int copy_in_txn(struct index_state *st, struct txn *txn, struct mailbox *src,
                       const struct seqset *msgnos, const mbentry_t *target, uint32_t rights,
                       bool move, bool ignorequota, struct index_copied *copied)
{
    struct mailbox *dst = NULL;
    uint32_t *to = NULL, *uids;
    int64_t bytes;
    size_t n;

    int r;

    uids = live_uids(st, src, msgnos, &n, &bytes, &r);
    if (!r && !n) r = IMAP_NO_NOSUCHMSG;
    if (!r) r = mailbox_open_iwl(txn, target->name, &dst);
    if (!r && !ignorequota) r = check_quota(src, dst, n, bytes, move);
    if (!r) {
        to = xcalloc(n, sizeof(*to));
        r = append_copy(src, dst, uids, n, st->userid, rights, to);
    }
    if (!r && move) r = expunge_uids(src, uids, n);
    if (!r) note_copied(copied, dst, uids, to, n);
    if (!r && move) log_expunged(st, n);
    free(to);
    free(uids);
    return r;
}

int index_copy(struct index_state *st, const struct seqset *msgnos, const char *name, bool move,
               bool ignorequota, struct index_copied *copied)
{
    mbentry_t *target = NULL;
    struct txn *txn = NULL;
    struct mailbox *src = NULL;
    uint32_t rights = 0;

    memset(copied, 0, sizeof(*copied));
    copied->from = seqset_init(0, SEQ_SPARSE);
    copied->to = seqset_init(0, SEQ_SPARSE);
    if (st->gone) return IMAP_MAILBOX_NONEXISTENT;
    if (move && !(st->rights & ACL_EXPUNGE)) return IMAP_PERMISSION_DENIED;
    if (seqset_isempty(msgnos)) return IMAP_NO_NOSUCHMSG;

    int r = check_target(st, name, &target, &rights);
    if (!r) r = is_snoozed(target);
    if (!r) r = index_txn_begin(st, name, !move, &txn, &src);
    if (!r) {
        r = copy_in_txn(st, txn, src, msgnos, target, rights, move, ignorequota, copied);
        r = index_txn_end(st, &txn, r);
    }
    copied->tell = !r && (rights & ACL_READ);
    mbentry_free(&target);
    return r;
}

void index_copied_fini(struct index_copied *copied)
{
    seqset_free(copied->from);
    seqset_free(copied->to);
    memset(copied, 0, sizeof(*copied));
}

int index_replace(struct index_state *st, uint32_t msgno, const mbentry_t *target,
                  int (*put)(struct mailbox *target, int64_t freed, void *rock), void *rock)
{
    const uint32_t need = ACL_DELETEMSG | ACL_EXPUNGE;
    struct txn *txn = NULL;
    struct mailbox *src = NULL, *dst = NULL;
    struct index_record rec;

    if (st->gone) return IMAP_MAILBOX_NONEXISTENT;
    if ((st->rights & need) != need) return IMAP_PERMISSION_DENIED;
    int r = index_txn_begin(st, target->name, false, &txn, &src);
    if (r) return r;
    r = mailbox_find_uid(src, index_uid(st, msgno), &rec);
    if (r == IMAP_NOTFOUND || (!r && (rec.internal_flags & FLAG_INTERNAL_EXPUNGED)))
        r = IMAP_NO_NOSUCHMSG;
    if (!r) r = mailbox_open_iwl(txn, target->name, &dst);
    if (!r && strcmpsafe(mailbox_uniqueid(dst), target->uniqueid)) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) {
        bool same = !strcmpnull(mailbox_quotaroot(src), mailbox_quotaroot(dst));
        r = put(dst, same ? (int64_t)rec.size : -1, rock);
    }
    if (!r) r = mailbox_find_uid(src, rec.uid, &rec);
    if (!r) r = mailbox_expunge_record(src, &rec, 0);
    r = index_txn_end(st, &txn, r);
    if (!r) log_expunged(st, 1);
    return r;
}

int index_expunge(struct index_state *st, const struct seqset *uids, uint32_t *countp)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;
    uint32_t n = 0;
    int one_bad = 0;

    *countp = 0;
    if (st->gone) return IMAP_MAILBOX_NONEXISTENT;
    if (!(st->rights & ACL_EXPUNGE)) return IMAP_PERMISSION_DENIED;
    int r = index_txn_begin(st, NULL, false, &txn, &mailbox);
    if (r) return r;
    for (uint32_t m = 1; !r && m <= st->exists; m++) {
        struct index_record rec;
        if (uids && !seqset_ismember(uids, st->uids[m - 1])) continue;
        r = mailbox_find_uid(mailbox, st->uids[m - 1], &rec);
        if (r == IMAP_MAILBOX_CHECKSUM) one_bad = r; /* nobody knows whether it is \Deleted */
        if (r == IMAP_NOTFOUND || r == IMAP_MAILBOX_CHECKSUM) {
            r = 0;
            continue;
        }
        if (r || !(rec.system_flags & FLAG_DELETED) ||
            (rec.internal_flags & FLAG_INTERNAL_EXPUNGED))
            continue;
        r = mailbox_expunge_record(mailbox, &rec, 0);
        if (!r) n++;
    }
    r = index_txn_end(st, &txn, r);
    if (r) return r;
    log_expunged(st, n);
    *countp = n;
    return one_bad;
}
