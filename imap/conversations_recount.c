/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_recount -- a user's conversations counted in memory, beside the database
 *
 * What was counted of each mailbox is kept, record by record. So a later look finds what is new or other, and the sums move by it
 * with the same rules as in the running server. What is gone can't be taken out again, for its cache record may be
 * gone too: then all is counted anew.
 */
#include <config.h>

#include "conversations_recount.h"

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "xmalloc.h"

struct counted_record {
    struct index_record rec;
    conversation_id_t base; /* where its conversation began */
};

/* A mailbox as it was counted. */
struct counted {
    char *name, *uniqueid;
    struct counted_record *recs;
    size_t n, alloc;
    strarray_t flagnames;
    modseq_t highestmodseq;
    unsigned round; /* in which it was last there */
};

struct recount {
    struct conversations_state *state; /* its database is in memory alone */
    hash_table mailboxes;              /* uniqueid -> struct counted */
    unsigned round;
    size_t moved;
    conv_mailbox_cb *cb;
    void *rock;
    strarray_t told; /* names that cb has heard */
};

static void counted_free(void *data)
{
    struct counted *c = data;

    if (!c) return;
    free(c->name);
    free(c->uniqueid);
    free(c->recs);
    strarray_fini(&c->flagnames);
    free(c);
}

struct recount *recount_new(conv_mailbox_cb *cb, void *rock)
{
    struct recount *rc = xzmalloc(sizeof(*rc));

    rc->cb = cb;
    rc->rock = rock;
    construct_hash_table(&rc->mailboxes, 64);
    return rc;
}

void recount_free(struct recount **rcp)
{
    struct recount *rc = *rcp;

    *rcp = NULL;
    if (!rc) return;
    free_hash_table(&rc->mailboxes, counted_free);
    conv_state_free(rc->state);
    strarray_fini(&rc->told);
    free(rc);
}

/* Numbers of folders that are gone, or that have another number too, become free. */
static void keep_live_folders(struct conversations_state *state, const strarray_t *folders,
                              struct txn *txn)
{
    for (int i = 0; i < strarray_size(folders); i++) {
        const char *key = strarray_nth(folders, i);
        mbentry_t *entry = NULL;
        bool live = key && strarray_find(folders, key, 0) == i &&
                    !mboxlist_lookup_by_uniqueid(key, &entry, false, txn);
        strarray_set(&state->folders, i, live ? key : NULL);
        mbentry_free(&entry);
    }
}

void recount_begin(struct recount *rc, struct conversations_state *state)
{
    free_hash_table(&rc->mailboxes, counted_free);
    construct_hash_table(&rc->mailboxes, 64);
    conv_state_free(rc->state);
    rc->state = conv_state_scratch(state);
    if (!state->byname) keep_live_folders(rc->state, &state->folders, state->txn);
}

/* ---- one mailbox ---- */

static conversation_id_t find_base(struct mailbox *mailbox, const struct index_record *rec)
{
    struct buf value = BUF_INITIALIZER;
    conversation_id_t base = 0;

    if (!(rec->internal_flags & FLAG_INTERNAL_SPLITCONVERSATION)) return rec->cid;
    if (annotate_msg_lookup(mailbox, rec->uid, ANNOT_BASETHRID, "", &value) ||
        !conversation_id_decode(buf_base(&value), buf_len(&value), &base))
        base = rec->cid;
    buf_free(&value);
    return base;
}

static int collect(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct counted *now = rock;

    if (now->n == now->alloc) {
        now->alloc = now->alloc ? 2 * now->alloc : 64;
        now->recs = xreallocarray(now->recs, now->alloc, sizeof(*now->recs));
    }
    now->recs[now->n++] = (struct counted_record){ *rec, find_base(mailbox, rec) };
    return 0;
}

static struct counted *look_at(struct mailbox *mailbox, int *r)
{
    const char *uniqueid = mailbox_uniqueid(mailbox);
    struct counted *now = xzmalloc(sizeof(*now));

    now->name = xstrdup(mailbox_name(mailbox));
    now->uniqueid = xstrdup(uniqueid ? uniqueid : now->name);
    now->highestmodseq = mailbox_index_header(mailbox)->highestmodseq;
    for (int i = 0; i < strarray_size(mailbox_flagnames(mailbox)); i++)
        strarray_set(&now->flagnames, i, strarray_nth(mailbox_flagnames(mailbox), i));
    *r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, collect, now);
    return now;
}

/* Its name says whether it is the Trash; a slot that has another flag now would be counted for it. */
static bool is_same_mailbox(const struct counted *was, const struct counted *now)
{
    if (strcmp(was->name, now->name) != 0) return false;
    for (int i = 0; i < strarray_size(&was->flagnames); i++)
        if (strcmpnull(strarray_nth(&was->flagnames, i), strarray_nth(&now->flagnames, i)))
            return false;
    return true;
}

static bool counts_the_same(const struct index_record *a, const struct index_record *b)
{
    return a->modseq == b->modseq && a->createdmodseq == b->createdmodseq && a->cid == b->cid &&
           a->system_flags == b->system_flags && a->internal_flags == b->internal_flags &&
           a->internaldate == b->internaldate && a->gmtime == b->gmtime &&
           !memcmp(a->user_flags, b->user_flags, sizeof(a->user_flags));
}

static int count_record(struct recount *rc, struct mailbox *mailbox, struct counted_record *was,
                        const struct counted_record *now)
{
    struct index_record *old = was ? &was->rec : NULL;

    if (old) {
        if (!message_guid_equal(&old->guid, &now->rec.guid) || old->size != now->rec.size)
            return IMAP_AGAIN;
        if (counts_the_same(old, &now->rec)) return 0;
        old->cache_offset = now->rec.cache_offset; /* where it is in the file of now */
        old->cache_crc = now->rec.cache_crc;
        old->cache_version = now->rec.cache_version;
    }
    rc->moved++;
    int r = conversations_update_record(rc->state, mailbox, old, &now->rec, false);
    return r ? r : conv_note_msgids(rc->state, mailbox, &now->rec, now->base);
}

static int count_differences(struct recount *rc, struct mailbox *mailbox, struct counted *was,
                             const struct counted *now)
{
    size_t i = 0, nwas = was ? was->n : 0;
    int r = 0;

    for (size_t j = 0; !r && j < now->n; j++) {
        struct counted_record *old = i < nwas ? &was->recs[i] : NULL;
        if (old && old->rec.uid < now->recs[j].rec.uid) return IMAP_AGAIN;
        if (old && old->rec.uid > now->recs[j].rec.uid) old = NULL;
        i += old != NULL;
        r = count_record(rc, mailbox, old, &now->recs[j]);
    }
    return r || i == nwas ? r : IMAP_AGAIN;
}

/* Gives the lock back. The cache is mapped before, as that of these records: later its name may lead to another file, or to none. */
static void unlock(struct mailbox *mailbox, const struct counted *now)
{
    const struct index_record *last = NULL;
    struct buf view = BUF_INITIALIZER;

    for (size_t i = 0; i < now->n; i++)
        if (!last || now->recs[i].rec.cache_offset > last->cache_offset) last = &now->recs[i].rec;
    if (last) (void)mailbox_cacherecord(mailbox, last, &view);
    buf_free(&view);
    mailbox_unlock(mailbox);
}

static void tell(struct recount *rc, const char *name)
{
    if (!rc->cb || strarray_find(&rc->told, name, 0) >= 0) return;
    strarray_append(&rc->told, name);
    rc->cb(name, rc->rock);
}

static int count_mailbox(struct recount *rc, struct txn *txn, struct mailbox *mailbox)
{
    int r;
    struct counted *now = look_at(mailbox, &r);
    struct counted *was = hash_lookup(now->uniqueid, &rc->mailboxes);

    if (!txn) unlock(mailbox, now);
    if (!r && was && !is_same_mailbox(was, now)) r = IMAP_AGAIN;
    if (!r && !was) tell(rc, now->name);
    if (!r) r = count_differences(rc, mailbox, was, now);
    if (r) {
        counted_free(now);
        return r;
    }
    now->round = rc->round;
    hash_insert(now->uniqueid, now, &rc->mailboxes);
    counted_free(was);
    return 0;
}

/* ---- all of them ---- */

struct look {
    struct recount *rc;
    struct txn *txn;
};

static int look_at_entry(const mbentry_t *mbentry, void *rock)
{
    struct look *look = rock;
    struct mailbox *mailbox = NULL;
    int r = look->txn ? mailbox_open_mbentry_iwl(look->txn, mbentry, &mailbox)
                      : mailbox_open_mbentry(mbentry, &mailbox);

    /* Without the lock it may be deleted or renamed by now; if it was counted, that is seen below. */
    if (r) return r == IMAP_MAILBOX_NONEXISTENT && !look->txn ? 0 : r;
    if (conv_takes_part(mailbox)) r = count_mailbox(look->rc, look->txn, mailbox);
    mailbox_close(&mailbox);
    return r;
}

static bool some_are_gone(struct recount *rc)
{
    size_t pos = 0;
    void *data;

    while (hash_next(&rc->mailboxes, &pos, &data))
        if (((struct counted *)data)->round != rc->round) return true;
    return false;
}

int recount_round(struct recount *rc, struct txn *txn, size_t *moved)
{
    struct look look = { rc, txn };

    rc->round++;
    rc->moved = 0;
    rc->state->txn = txn;
    rc->state->trash_known = false; /* it may be new; if it was another mailbox, its name is seen to differ */
    xzfree(rc->state->trash);
    int r = mboxlist_usermboxtree(user_meta_userid(rc->state->meta), look_at_entry, &look, 0);
    rc->state->txn = NULL;
    *moved = rc->moved;
    return !r && some_are_gone(rc) ? IMAP_AGAIN : r;
}

/* ---- modseqs that clients were told ---- */

struct told {
    hash_table modseqs; /* folder key -> modseq_t of its F record */
    modseq_t highest;   /* of all mailboxes; used when nothing is known */
};

static int note_modseq(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct told *told = rock;
    struct conv_status status;

    if (conv_status_parse(val, vallen, &status)) return 0;
    char *folder = xstrndup(key + 1, keylen - 1);
    modseq_t *modseq = xmalloc(sizeof(*modseq));
    *modseq = status.threadmodseq;
    free(hash_insert(folder, modseq, &told->modseqs));
    free(folder);
    return 0;
}

static int raise_modseq(struct conversations_state *state, const char *folder, modseq_t modseq)
{
    struct conv_folderstatus *fs;
    int r = conv_status_get(state, folder, &fs);

    if (!r && fs->status.threadmodseq < modseq) {
        fs->status.threadmodseq = modseq;
        fs->dirty = true;
    }
    return r;
}

/* Of a folder of which the database knows nothing no client was told more than its own; of a lost database, nobody knows. */
static int keep_modseq(struct recount *rc, struct told *told, const struct counted *c)
{
    modseq_t *byname = hash_del(c->name, &told->modseqs);
    modseq_t *byid = hash_del(c->uniqueid, &told->modseqs);
    const modseq_t *known = byid ? byid : byname;
    modseq_t modseq = known ? *known : cyr_max(told->highest, c->highestmodseq);

    free(byname);
    free(byid);
    return raise_modseq(rc->state, c->uniqueid, modseq);
}

static int keep_modseqs(struct recount *rc, struct conversations_state *real)
{
    struct told told = { .highest = 0 };
    size_t pos = 0;
    const char *key;
    void *data;

    construct_hash_table(&told.modseqs, 64);
    int r = txn_db_foreach(real->db, "F", 1, note_modseq, &told);
    bool lost = !hash_next(&told.modseqs, &pos, &data);
    for (pos = 0; lost && hash_next(&rc->mailboxes, &pos, &data);)
        told.highest = cyr_max(told.highest, ((struct counted *)data)->highestmodseq);
    for (pos = 0; !r && hash_next(&rc->mailboxes, &pos, &data);) r = keep_modseq(rc, &told, data);
    /* A folder that is gone keeps the one that clients were told. */
    for (pos = 0; !r && !real->byname && (key = hash_next(&told.modseqs, &pos, &data));)
        r = raise_modseq(rc->state, key, *(const modseq_t *)data);
    free_hash_table(&told.modseqs, free);
    return r;
}

/* ---- into the database ---- */

struct compare {
    struct conversations_state *real;
    struct txn_db *counted;
};

/* What is left in `counted` afterwards is new. */
static int compare_record(void *rock, const char *key, size_t keylen, const char *val,
                          size_t vallen)
{
    struct compare *c = rock;
    const char *now;
    size_t len;
    int r = txn_db_fetch(c->counted, key, keylen, &now, &len);

    if (!r && len == vallen && !memcmp(now, val, len)) return txn_db_delete(c->counted, key, keylen);
    c->real->changed = true;
    if (r == IMAP_NOTFOUND) return txn_db_delete(c->real->db, key, keylen);
    if (!r) r = txn_db_store(c->real->db, key, keylen, now, len);
    return r ? r : txn_db_delete(c->counted, key, keylen);
}

static int merge_msgid(struct conversations_state *real, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct conv_msgid m;
    int r = conv_msgid_parse(val, vallen, &m);

    if (r) return r;
    r = conv_merge_msgid(real, key, keylen, &m, NULL);
    conv_msgid_fini(&m);
    return r;
}

static int store_new(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct conversations_state *real = rock;

    if (*key == '$') return 0;
    if (*key == '<') return merge_msgid(real, key, keylen, val, vallen);
    real->changed = true;
    return txn_db_store(real->db, key, keylen, val, vallen);
}

static int store_folders(struct conversations_state *real, const strarray_t *folders)
{
    struct buf was = BUF_INITIALIZER, is = BUF_INITIALIZER;

    conv_folders_print(&real->folders, &was);
    conv_folders_print(folders, &is);
    bool same = buf_equal(&was, &is);
    buf_free(&was);
    buf_free(&is);
    if (same && !real->byname) return 0;
    strarray_fini(&real->folders);
    for (int i = 0; i < strarray_size(folders); i++)
        strarray_set(&real->folders, i, strarray_nth(folders, i));
    real->folders_dirty = true;
    if (!real->byname) return 0;
    real->byname = false;
    return txn_db_delete(real->db, CONV_KEY_FOLDER_NAMES, strlen(CONV_KEY_FOLDER_NAMES));
}

int recount_store(struct recount *rc, struct conversations_state *real)
{
    static const char *const kinds[] = { "B", "F", "G", CONV_KEY_QUOTA };
    struct compare compare = { real, rc->state->db };

    conv_forget(real);
    real->recount = true;
    int r = keep_modseqs(rc, real);
    if (!r) r = conv_flush(rc->state);
    for (size_t i = 0; !r && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        r = txn_db_foreach(real->db, kinds[i], 1, compare_record, &compare);
    if (!r) r = txn_db_foreach(rc->state->db, "", 0, store_new, real);
    return r ? r : store_folders(real, &rc->state->folders);
}
