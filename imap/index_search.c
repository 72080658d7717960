/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index_search -- the messages of the selected mailbox that match a search
 *
 * Records are read in batches under the shared lock; what a search needs beyond
 * them, cache records and message files, never changes, and is read without it. So a
 * long search keeps nobody from delivering.
 */
#include <config.h>

#include <stdlib.h>

#include "annotate.h"
#include "conversations.h"
#include "imap_err.h"
#include "index_priv.h"
#include "index_search.h"
#include "libconfig.h"
#include "times.h"
#include "xmalloc.h"

#define BATCH 256

static int get_cache(void *rock, const struct index_record *rec, struct buf *view)
{
    struct index_state *st = rock;

    return st->mailbox ? mailbox_cacherecord(st->mailbox, rec, view) : IMAP_MAILBOX_NONEXISTENT;
}

static int get_message(void *rock, const struct index_record *rec, struct buf *bytes)
{
    struct index_state *st = rock;

    return st->mailbox ? mailbox_map_record(st->mailbox, rec, bytes) : IMAP_MAILBOX_NONEXISTENT;
}

static int get_annotation(void *rock, const struct index_record *rec, const char *entry,
                          bool shared, struct buf *value)
{
    struct index_state *st = rock;

    if (!st->mailbox) return IMAP_MAILBOX_NONEXISTENT;
    int r = annotate_msg_lookup(st->mailbox, rec->uid, entry, shared ? "" : st->userid, value);
    if (r == IMAP_NOTFOUND) {
        buf_reset(value);
        r = 0;
    }
    return r;
}

static int get_conversation(void *rock, conversation_id_t cid, const struct conversation **conv)
{
    struct index_state *st = rock;

    return conversations_get(st->conversations, cid, conv);
}

/* Read without a lock, record by record; each is as it was at one time. */
static int open_conversations(struct index_state *st, struct search_source *source)
{
    if (!st->mailbox) return 0;
    int r = conversations_open_mbox(st->mailbox, &st->conversations);
    if (r || !st->conversations) return r;
    source->conversation = get_conversation;
    source->counted_flags = conversations_counted_flags(st->conversations);
    return 0;
}

void index_search_end(struct index_state *st)
{
    conversations_close(&st->conversations);
}

int index_search_source(struct index_state *st, bool conversations, struct search_source *source)
{
    *source = (struct search_source){
        .rock = st,
        .mboxname = st->name,
        .flagnames = &st->flagnames,
        .exists = st->exists,
        .last_uid = st->exists ? st->uids[st->exists - 1] : 0,
        .cache = get_cache,
        .message = get_message,
        .annotation = get_annotation,
    };
    return conversations ? open_conversations(st, source) : 0;
}

struct item {
    struct index_record rec;
    struct index_message msg;
};

/* Reads up to BATCH records from number *next on; *next is 0 at the end. */
static int load(struct index_state *st, const struct search_source *source, const struct seqset *candidates,
                uint32_t *next, struct item *items, size_t *np)
{
    size_t n = 0;

    int r = index_lock(st);
    if (r) return r;
    while (n < BATCH && *next && *next <= st->exists) {
        struct item *item = &items[n];
        int one = index_read_record(st, *next, &item->rec);

        /* What has gone and was not told yet is found no more. */
        if (!one && index_record_shown(st, &item->rec)) {
            index_fill_message(st, *next, &item->rec, &item->msg);
            n++;
        }
        else if (one && one != IMAP_NOTFOUND) {
            search_note_unread(source, index_uid(st, *next));
        }
        *next = candidates ? seqset_after(candidates, *next) : *next + 1;
    }
    if (*next > st->exists) *next = 0;
    uint64_t lsn = index_seen_lsn(st);
    index_unlock(st);
    *np = n;
    return txn_wait(lsn);
}

int index_search(struct index_state *st, struct search_expr *expr,
                 const struct search_source *source, index_search_cb *cb, void *rock)
{
    const char *max = config_getstring(IMAPOPT_SEARCH_MAXTIME);
    double limit = max ? strtod(max, NULL) : 0, start = monotonic_seconds();
    struct search_run *run = search_begin(expr, source);
    struct seqset *candidates = search_candidates(run, st);
    struct item *items = xcalloc(BATCH, sizeof(*items));
    uint32_t next = candidates ? seqset_first(candidates) : st->exists ? 1 : 0;
    int r = 0;

    while (!r && next) {
        size_t n = 0;
        r = load(st, source, candidates, &next, items, &n);
        for (size_t i = 0; !r && i < n; i++) {
            if (search_match(run, &items[i].rec, &items[i].msg))
                cb(&items[i].rec, &items[i].msg, rock);
            if (limit > 0 && monotonic_seconds() - start > limit) r = IMAP_SEARCH_SLOW;
        }
        if (!r && next && source->progress)
            source->progress(source->progress_rock, next - 1, st->exists);
    }
    free(items);
    seqset_free(candidates);
    search_end(&run);
    return r;
}

int index_search_settle(struct index_state *st, const struct search_source *source)
{
    struct index_record rec;

    if (!source->unread || seqset_isempty(source->unread)) return 0;
    int r = index_lock(st);
    if (r == IMAP_MAILBOX_NONEXISTENT) seqset_clear(source->unread);
    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
    for (uint32_t n = 1; n <= st->exists; n++) {
        if (!seqset_ismember(source->unread, st->uids[n - 1])) continue;
        int one = index_read_record(st, n, &rec);
        if (one == IMAP_NOTFOUND || (!one && !index_record_shown(st, &rec)))
            seqset_remove(source->unread, st->uids[n - 1]);
    }
    index_unlock(st);
    return 0;
}
