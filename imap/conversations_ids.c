/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_ids -- conversation ids of messages that are there: taken away, given anew, split
 *
 * Mailbox by mailbox, in transactions of at most BATCH messages, so that delivery can go on in between. Every message
 * that changes gets a new modseq. Copies of a message in two conversations, as they are on the way, are
 * more than the running counts are made for, so all is counted anew at the end. On an error what was done
 * before stays done; a second run does the rest.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "arrayu64.h"
#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "strarray.h"
#include "xmalloc.h"

#define BATCH 8192

struct ids_job {
    enum conv_ids_change change;
    bool dryrun;
    size_t changed;
    uint32_t limit;    /* splitting: how many messages stay in a conversation, */
    hash_table filled; /* how many it has by now: CID as text -> uint32_t, */
    hash_table next;   /* where the others go: CID as text -> conversation_id_t, */
    hash_table placed; /* where a message went, for its copies: GUID as text -> conversation_id_t */
};

/* ---- one message ---- */

static int change_basethrid(struct mailbox *mailbox, struct index_record *rec,
                            conversation_id_t base)
{
    char hex[CONV_ID_STRLEN];
    struct buf value = BUF_INITIALIZER;

    if (base) buf_init_ro_cstr(&value, conversation_id_encode(base, hex));
    return annotate_msg_write(mailbox, rec, ANNOT_BASETHRID, "", &value, 0);
}

static int zero(struct mailbox *mailbox, struct index_record *rec)
{
    bool was_split = rec->internal_flags & FLAG_INTERNAL_SPLITCONVERSATION;

    rec->cid = 0;
    rec->internal_flags &= ~(uint32_t)FLAG_INTERNAL_SPLITCONVERSATION;
    int r = was_split ? change_basethrid(mailbox, rec, 0) : 0;
    return r ? r : mailbox_rewrite_record(mailbox, rec, 0);
}

static int assign(struct conversations_state *state, struct mailbox *mailbox,
                  struct index_record *rec)
{
    struct buf view = BUF_INITIALIZER, cache = BUF_INITIALIZER;
    conversation_id_t base = 0;
    int r = mailbox_cacherecord(mailbox, rec, &view);

    if (!r) buf_copy(&cache, &view); /* the view ends when something is staged */
    if (!r) r = conversations_assign_cid(state, mailbox, rec, &cache, &base);
    if (!r && base) r = change_basethrid(mailbox, rec, base);
    if (!r) r = mailbox_rewrite_record(mailbox, rec, 0);
    buf_free(&view);
    buf_free(&cache);
    return r;
}

static conversation_id_t get_id(hash_table *table, const char *key)
{
    const conversation_id_t *cid = hash_lookup(key, table);

    return cid ? *cid : 0;
}

static void set_id(hash_table *table, const char *key, conversation_id_t cid)
{
    conversation_id_t *value = xmalloc(sizeof(*value));

    *value = cid;
    free(hash_insert(key, value, table));
}

static bool take_room(struct ids_job *job, conversation_id_t cid)
{
    char hex[CONV_ID_STRLEN];
    uint32_t *filled = hash_lookup(conversation_id_encode(cid, hex), &job->filled);

    if (!filled) {
        filled = xzmalloc(sizeof(*filled));
        hash_insert(hex, filled, &job->filled);
    }
    if (*filled >= job->limit) return false;
    (*filled)++;
    return true;
}

/*
 * Where a message belongs when no conversation may have more than the limit: *cid. The one that gave a conversation
 * its id stays there in any case.
 */
static int place(struct ids_job *job, struct conversations_state *state,
                 const struct index_record *rec, conversation_id_t *cid)
{
    char hex[CONV_ID_STRLEN], guid[MESSAGE_GUID_STRLEN];
    int r = 0;

    *cid = get_id(&job->placed, message_guid_encode(&rec->guid, guid));
    if (*cid) return 0;
    *cid = rec->cid;
    if (!take_room(job, *cid)) {
        *cid = get_id(&job->next, conversation_id_encode(rec->cid, hex));
        if (!*cid || !take_room(job, *cid)) {
            *cid = conversation_id_from_guid(&rec->guid);
            take_room(job, *cid);
            set_id(&job->next, hex, *cid);
            if (*cid != rec->cid) r = conv_split_store(state, rec->cid, *cid);
        }
    }
    set_id(&job->placed, guid, *cid);
    return r;
}

static int split(struct ids_job *job, struct conversations_state *state, struct mailbox *mailbox,
                 struct index_record *rec)
{
    conversation_id_t cid, base = rec->cid;
    int r = place(job, state, rec, &cid);

    if (r || cid == rec->cid) return r;
    rec->cid = cid;
    if (!(rec->internal_flags & FLAG_INTERNAL_SPLITCONVERSATION)) {
        rec->internal_flags |= FLAG_INTERNAL_SPLITCONVERSATION;
        r = change_basethrid(mailbox, rec, base);
    }
    job->changed++;
    return r ? r : mailbox_rewrite_record(mailbox, rec, 0);
}

static int change_one(struct ids_job *job, struct conversations_state *state,
                      struct mailbox *mailbox, uint32_t uid)
{
    struct index_record rec;
    int r = mailbox_find_uid(mailbox, uid, &rec);

    if (r) return r;
    if (job->change == CONV_IDS_SPLIT) return split(job, state, mailbox, &rec);
    job->changed++;
    return job->change == CONV_IDS_ZERO ? zero(mailbox, &rec) : assign(state, mailbox, &rec);
}

/* ---- one mailbox ---- */

struct batch {
    const struct ids_job *job;
    arrayu64_t uids;
};

static int collect(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct batch *batch = rock;
    bool has = rec->cid != 0;

    (void)mailbox;
    if (has == (batch->job->change != CONV_IDS_ASSIGN)) arrayu64_append(&batch->uids, rec->uid);
    return arrayu64_size(&batch->uids) >= BATCH ? IMAP_AGAIN : 0;
}

/* Up to BATCH messages behind *since; *more tells whether there may be others. */
static int run_batch(struct ids_job *job, struct txn *txn, const char *name, uint32_t *since,
                     bool *more)
{
    struct batch batch = { job, ARRAYU64_INITIALIZER };
    struct conversations_state *state = NULL;
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_iwl(txn, name, &mailbox);

    *more = false;
    if (!r) r = conversations_open_mbox(mailbox, &state);
    if (!r && state) {
        r = mailbox_foreach(mailbox, *since, 0, MAILBOX_ITER_SKIP_UNLINKED, collect, &batch);
        *more = r == IMAP_AGAIN;
        if (*more) r = 0;
    }
    for (size_t i = 0; !r && i < arrayu64_size(&batch.uids); i++) {
        *since = (uint32_t)arrayu64_nth(&batch.uids, i);
        r = change_one(job, state, mailbox, *since);
    }
    arrayu64_fini(&batch.uids);
    return r;
}

static int run_mailbox(struct ids_job *job, const char *userid, const char *name)
{
    uint32_t since = 0;
    bool more = true;
    int r = 0;

    while (!r && more) {
        struct txn *txn = NULL;
        r = txn_begin(&txn);
        if (!r) r = txn_lock_user(txn, userid);
        if (!r) r = run_batch(job, txn, name, &since, &more);
        if (r == IMAP_MAILBOX_NONEXISTENT) { /* renamed or removed meanwhile */
            r = 0;
            more = false;
        }
        if (!r && !job->dryrun) r = txn_commit(&txn, NULL);
        txn_abort(&txn);
    }
    return r;
}

static int collect_name(const mbentry_t *mbentry, void *rock)
{
    if (!mbentry_is_remote(mbentry, config_servername)) strarray_append(rock, mbentry->name);
    return 0;
}

int conversations_change_ids(const char *userid, enum conv_ids_change change, bool dryrun,
                             size_t *changed)
{
    struct ids_job job = { .change = change, .dryrun = dryrun };
    strarray_t names = STRARRAY_INITIALIZER;
    int limit = config_getint(IMAPOPT_CONVERSATIONS_MAX_THREAD);

    *changed = 0;
    if (change == CONV_IDS_SPLIT && limit <= 0) return 0;
    job.limit = (uint32_t)limit;
    construct_hash_table(&job.filled, 1024);
    construct_hash_table(&job.next, 64);
    construct_hash_table(&job.placed, 4096);
    int r = mboxlist_usermboxtree(userid, collect_name, &names, 0);
    for (int i = 0; !r && i < strarray_size(&names); i++)
        r = run_mailbox(&job, userid, strarray_nth(&names, i));
    if (!r && !dryrun) r = conversations_rebuild_now(userid, NULL, NULL);
    free_hash_table(&job.filled, free);
    free_hash_table(&job.next, free);
    free_hash_table(&job.placed, free);
    strarray_fini(&names);
    *changed = job.changed;
    return r;
}
