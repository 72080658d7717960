/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_audit -- a user's conversations as they are, against what the mailboxes say
 *
 * The database is rebuilt inside a transaction that never commits, and then both are walked side by side. Message-ids
 * can't be derived and are left out; modseqs, and the dates of senders and of messages with several copies,
 * may rightly be others than the mailboxes tell, so the newer one counts on both sides. The F record of a folder
 * that is gone stays, with nothing in it, and the mailboxes know nothing of it; so does the quota when all
 * messages are gone. Bits of a G record that 3.6.1 leaves there and nobody reads (doc/cyrus-3.6.1.md) are no difference.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "xmalloc.h"

struct audit {
    struct txn_db *real, *temp;
    conv_audit_cb *cb;
    void *rock;
    size_t differences;
};

/* ---- two B or F records that may differ in what the mailboxes don't tell ---- */

static struct conv_folder *folder_of(struct conversation *conv, uint32_t number)
{
    for (size_t i = 0; i < conv->nfolders; i++)
        if (conv->folders[i].number == number) return &conv->folders[i];
    return NULL;
}

static void merge_senders(struct conversation *a, struct conversation *b)
{
    for (size_t i = 0; i < a->nsenders; i++)
        for (size_t j = 0; j < b->nsenders; j++) {
            struct conv_sender *s = &a->senders[i], *t = &b->senders[j];
            if (strcmpnull(s->mailbox, t->mailbox) || strcmpnull(s->domain, t->domain)) continue;
            s->lastseen = t->lastseen = cyr_max(s->lastseen, t->lastseen);
        }
}

/* The date of a message with several copies is that of the copy that changed last. */
static void merge_thread(struct conversation *a, struct conversation *b)
{
    for (size_t i = 0; i < a->nthread; i++)
        for (size_t j = 0; j < b->nthread; j++) {
            struct conv_thread *s = &a->thread[i], *t = &b->thread[j];
            if (!message_guid_equal(&s->guid, &t->guid)) continue;
            s->internaldate = t->internaldate = cyr_max(s->internaldate, t->internaldate);
        }
}

static void merge_conversations(struct conversation *a, struct conversation *b)
{
    a->modseq = b->modseq = cyr_max(a->modseq, b->modseq);
    a->createdmodseq = b->createdmodseq = cyr_min(a->createdmodseq, b->createdmodseq);
    for (size_t i = 0; i < a->nfolders; i++) {
        struct conv_folder *f = &a->folders[i], *g = folder_of(b, f->number);
        if (g) f->modseq = g->modseq = cyr_max(f->modseq, g->modseq);
    }
    merge_senders(a, b);
    merge_thread(a, b);
    /* A subject that was not known when the record was made. */
    if (!a->subject) a->subject = xstrdupnull(b->subject);
    if (!b->subject) b->subject = xstrdupnull(a->subject);
}

static bool same_conversation(const struct buf *x, const struct buf *y)
{
    struct conversation *a = NULL, *b = NULL;
    struct buf p = BUF_INITIALIZER, q = BUF_INITIALIZER;
    bool same = false;

    if (!conv_record_parse(buf_base(x), buf_len(x), &a) &&
        !conv_record_parse(buf_base(y), buf_len(y), &b)) {
        merge_conversations(a, b);
        conv_record_print(a, &p);
        conv_record_print(b, &q);
        same = buf_equal(&p, &q);
    }
    conversation_free(&a);
    conversation_free(&b);
    buf_free(&p);
    buf_free(&q);
    return same;
}

static bool same_status(const struct buf *x, const struct buf *y)
{
    struct conv_status a, b;

    if (conv_status_parse(buf_base(x), buf_len(x), &a) ||
        conv_status_parse(buf_base(y), buf_len(y), &b))
        return false;
    return a.threadexists == b.threadexists && a.threadunseen == b.threadunseen &&
           a.emailexists == b.emailexists && a.emailunseen == b.emailunseen;
}

/*
 * A change of an archived message leaves internal flags among its system flags, and archiving leaves the mark that
 * the index has only until the old file is gone.
 */
static bool parse_copy(const struct buf *key, const struct buf *val, struct conv_guidrec *g)
{
    if (conv_guidrec_parse(buf_base(key), buf_len(key), buf_base(val), buf_len(val), g)) return false;
    g->system_flags &= FLAGS_SYSTEM;
    g->internal_flags &= ~FLAG_INTERNAL_NEEDS_CLEANUP;
    return true;
}

static bool same_copy(const struct buf *key, const struct buf *x, const struct buf *y)
{
    struct conv_guidrec a, b;

    return parse_copy(key, x, &a) && parse_copy(key, y, &b) && a.version == b.version &&
           a.cid == b.cid && a.system_flags == b.system_flags &&
           a.internal_flags == b.internal_flags && a.internaldate == b.internaldate;
}

static bool same_value(const struct buf *key, const struct buf *x, const struct buf *y)
{
    if (buf_equal(x, y)) return true;
    switch (*buf_base(key)) {
    case 'B': return same_conversation(x, y);
    case 'F': return same_status(x, y);
    case 'G': return same_copy(key, x, y);
    default: return false;
    }
}

/* ---- the walk ---- */

struct cursor {
    struct txn_db *db;
    struct buf key, val;
    bool end;
};

static int advance(struct cursor *c)
{
    const char *key, *val;
    size_t keylen, vallen;
    int r;

    do {
        r = txn_db_fetchnext(c->db, buf_base(&c->key), buf_len(&c->key), &key, &keylen, &val,
                             &vallen);
        c->end = r == IMAP_NOTFOUND;
        if (r) return c->end ? 0 : r;
        buf_setmap(&c->val, val, vallen);
        buf_setmap(&c->key, key, keylen);
    } while (*buf_base(&c->key) == '<' || *buf_base(&c->key) == '$');
    return 0;
}

static void differ(struct audit *audit, enum conv_audit_kind kind, struct cursor *at)
{
    audit->differences++;
    if (audit->cb) audit->cb(kind, &at->key, &at->val, audit->rock);
}

/* The F record of a folder that is gone, the quota of a user who has no message. */
static bool is_nothing(const struct cursor *at)
{
    const char *val = buf_base(&at->val);
    struct conv_status st;
    struct conv_quota q;

    switch (*buf_base(&at->key)) {
    case 'F':
        return !conv_status_parse(val, buf_len(&at->val), &st) && !st.threadexists &&
               !st.threadunseen && !st.emailexists && !st.emailunseen;
    case 'Q': return !conv_quota_parse(val, buf_len(&at->val), &q) && !q.emails && !q.storage;
    default: return false;
    }
}

static int step(struct audit *audit, struct cursor *real, struct cursor *temp)
{
    int cmp = real->end ? 1 : temp->end ? -1 : buf_cmp(&real->key, &temp->key);

    if (!cmp && !same_value(&real->key, &real->val, &temp->val)) {
        audit->differences++;
        if (audit->cb) {
            audit->cb(CONV_AUDIT_REAL, &real->key, &real->val, audit->rock);
            audit->cb(CONV_AUDIT_TEMP, &temp->key, &temp->val, audit->rock);
        }
    }
    if (cmp < 0 && !is_nothing(real)) differ(audit, CONV_AUDIT_REALONLY, real);
    if (cmp > 0) differ(audit, CONV_AUDIT_TEMPONLY, temp);
    int r = cmp <= 0 ? advance(real) : 0;
    return !r && cmp >= 0 ? advance(temp) : r;
}

static int compare(struct audit *audit)
{
    struct cursor real = { .db = audit->real }, temp = { .db = audit->temp };
    int r = advance(&real);

    if (!r) r = advance(&temp);
    while (!r && !(real.end && temp.end)) r = step(audit, &real, &temp);
    buf_free(&real.key);
    buf_free(&real.val);
    buf_free(&temp.key);
    buf_free(&temp.val);
    return r;
}

int conversations_audit_user(struct txn *txn, struct user_meta *meta, conv_mailbox_cb *mailbox_cb,
                             conv_audit_cb *cb, void *rock, size_t *differences)
{
    struct audit audit = { .cb = cb, .rock = rock };
    struct conversations_state *state = NULL, *committed = NULL;
    int r = conversations_rebuild_user(txn, meta, mailbox_cb, rock);

    *differences = 0;
    if (!r) r = conversations_open_user(txn, meta, &state);
    if (!r && state) r = conv_flush(state);
    if (!r && state) r = conversations_open_user(NULL, meta, &committed);
    if (!r && state) {
        audit.temp = state->db;
        audit.real = committed->db;
        r = compare(&audit);
    }
    conversations_close(&committed);
    *differences = audit.differences;
    return r;
}
