/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_context -- searches whose results are kept up to date: RETURN (UPDATE) (RFC 5267 §4.3)
 *
 * In a sorted context a new message finds its place by halves: it is sorted together with one message of the context
 * at a time, so that no keys are kept and few messages are read.
 */
#include <config.h>

#include "imap_context.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "imapcmd/search_run.h"
#include "index_search.h"
#include "search_sort.h"
#include "util.h"
#include "xmalloc.h"

struct imap_context {
    struct imap_context *next;
    char *tag;
    bool usinguid;
    struct search_expr *expr;
    struct sort_criteria *crit; /* NULL: in the order of UIDs */
    uint32_t *uids;             /* what the client has, in order */
    size_t n, alloc;
};

static void context_free(struct imap_context *ctx)
{
    search_expr_free(&ctx->expr);
    sort_criteria_free(&ctx->crit);
    free(ctx->tag);
    free(ctx->uids);
    free(ctx);
}

/* Takes it out of the session's list. */
static void drop(struct imap_session *s, struct imap_context *ctx)
{
    struct imap_context **at = &s->contexts;

    while (*at != ctx) at = &(*at)->next;
    *at = ctx->next;
    context_free(ctx);
}

void imap_context_refuse(struct imap_session *s, const char *tag, const char *why)
{
    prot_printf(s->out, "* NO [NOUPDATE \"%s\"] %s\r\n", tag, why);
}

void imap_context_cancel(struct imap_session *s, const char *tag)
{
    for (struct imap_context *ctx = s->contexts; ctx; ctx = ctx->next) {
        if (strcmp(ctx->tag, tag)) continue;
        drop(s, ctx);
        return;
    }
}

void imap_contexts_end(struct imap_session *s)
{
    while (s->contexts) drop(s, s->contexts);
}

/* ---- the list of a context ---- */

static void insert_at(struct imap_context *ctx, size_t at, uint32_t uid)
{
    if (ctx->n == ctx->alloc) {
        ctx->alloc = ctx->alloc + ctx->alloc / 4 + 16;
        ctx->uids = xreallocarray(ctx->uids, ctx->alloc, sizeof(*ctx->uids));
    }
    memmove(ctx->uids + at + 1, ctx->uids + at, (ctx->n - at) * sizeof(*ctx->uids));
    ctx->uids[at] = uid;
    ctx->n++;
}

static void remove_at(struct imap_context *ctx, size_t at)
{
    ctx->n--;
    memmove(ctx->uids + at, ctx->uids + at + 1, (ctx->n - at) * sizeof(*ctx->uids));
}

/* ---- beginning ---- */

static const char *why_not(const struct imap_session *s, const struct search_args *args, const struct hits *hits)
{
    size_t n = 0;

    for (const struct imap_context *ctx = s->contexts; ctx; ctx = ctx->next) n++;
    if (n >= IMAP_MAX_CONTEXTS) return "Too many contexts";
    if (!hits_complete(hits)) return "Messages can't be read";
    if (search_uses_conversations(args->keys.expr)) return "Keys of conversations are not followed";
    if (args->crit && !sort_is_lasting(args->crit)) return "The order of these criteria is not followed";
    return NULL;
}

void imap_context_begin(struct imap_session *s, struct search_args *args, const struct hits *hits)
{
    const char *tag = buf_cstring(&s->tag);

    imap_context_cancel(s, tag);
    const char *why = why_not(s, args, hits);
    if (why) {
        imap_context_refuse(s, tag, why);
        return;
    }
    struct imap_context *ctx = xzmalloc(sizeof(*ctx));
    ctx->tag = xstrdup(tag);
    ctx->usinguid = hits->usinguid;
    ctx->expr = args->keys.expr;
    ctx->crit = args->crit;
    args->keys.expr = NULL;
    args->crit = NULL;
    search_expr_settle(ctx->expr, s->index, s->saved);
    ctx->n = ctx->alloc = hits->n;
    ctx->uids = xcalloc(hits->n + 1, sizeof(*ctx->uids));
    for (size_t i = 0; i < hits->n; i++)
        ctx->uids[i] = hits->usinguid ? hits->nums[i] : index_uid(s->index, hits->nums[i]);
    ctx->next = s->contexts;
    s->contexts = ctx;
}

/* ---- what is told of one context ---- */

/* "(place set place set ...)" of one kind; in the order of UIDs all of it is one set at place 0. */
struct change {
    struct buf pairs;
    struct seqset *set;
};
/* The client removes first, then adds, each in this order. */
struct changes {
    struct change removed, added;
};

static void changes_init(struct changes *changes)
{
    *changes = (struct changes){ { .set = seqset_init(0, SEQ_SPARSE) }, { .set = seqset_init(0, SEQ_SPARSE) } };
}

static void note(const struct imap_context *ctx, struct change *change, size_t at, uint32_t num)
{
    if (ctx->crit)
        buf_printf(&change->pairs, "%s%zu %" PRIu32, buf_len(&change->pairs) ? " " : "", at + 1, num);
    else
        seqset_add(change->set, num, true);
}

static void put(struct buf *line, const char *name, struct change *change)
{
    if (!seqset_isempty(change->set)) {
        buf_appendcstr(&change->pairs, "0 ");
        seqset_appendto(change->set, &change->pairs);
    }
    if (buf_len(&change->pairs)) buf_printf(line, " %s (%s)", name, buf_cstring(&change->pairs));
    buf_free(&change->pairs);
    seqset_free(change->set);
}

static void tell(struct imap_session *s, const struct imap_context *ctx, struct changes *changes)
{
    struct buf line = BUF_INITIALIZER;

    put(&line, "REMOVEFROM", &changes->removed);
    put(&line, "ADDTO", &changes->added);
    if (buf_len(&line))
        prot_printf(s->out, "* ESEARCH (TAG \"%s\")%s%s\r\n", ctx->tag, ctx->usinguid ? " UID" : "",
                    buf_cstring(&line));
    buf_free(&line);
}

static uint32_t number(const struct imap_session *s, const struct imap_context *ctx, uint32_t uid)
{
    return ctx->usinguid ? uid : index_msgno(s->index, uid);
}

/* ---- expunges ---- */

/* The expunged messages by UID, with the numbers that the client still has for them. */
struct expunged {
    uint32_t *uids, *msgnos;
    size_t n;
};

static void list_expunged(struct expunged *list, const struct index_update *update)
{
    uint32_t uid = 0;

    *list = (struct expunged){ .n = update->nexpunged };
    list->uids = xcalloc(list->n, sizeof(uint32_t));
    list->msgnos = xcalloc(list->n, sizeof(uint32_t));
    for (size_t k = 0; k < list->n; k++) {
        uid = k ? seqset_after(update->expunged_uids, uid) : seqset_first(update->expunged_uids);
        list->uids[k] = uid;
        list->msgnos[k] = update->expunged_msgnos[k] + (uint32_t)k; /* those before it are told first */
    }
}

static int by_uid(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* From the end on, so that the places before stay. */
static void expunge_from(struct imap_session *s, struct imap_context *ctx, const struct expunged *list)
{
    struct changes changes;

    changes_init(&changes);
    for (size_t i = ctx->n; i-- > 0;) {
        uint32_t uid = ctx->uids[i];
        const uint32_t *found = bsearch(&uid, list->uids, list->n, sizeof(uid), by_uid);
        if (!found) continue;
        note(ctx, &changes.removed, i, ctx->usinguid ? uid : list->msgnos[found - list->uids]);
        remove_at(ctx, i);
    }
    tell(s, ctx, &changes);
}

void imap_contexts_expunge(struct imap_session *s, const struct index_update *update)
{
    struct expunged list;

    if (!update->nexpunged || !s->contexts) return;
    list_expunged(&list, update);
    for (struct imap_context *ctx = s->contexts; ctx; ctx = ctx->next) expunge_from(s, ctx, &list);
    free(list.uids);
    free(list.msgnos);
}

/* ---- new and changed messages ---- */

static void note_found(const struct index_record *rec, const struct index_message *msg, void *rock)
{
    (void)rec;
    seqset_add(rock, msg->uid, true);
}

/* A source for these messages alone. */
static int begin_source(struct imap_session *s, const struct seqset *only, struct seqset *unread,
                        struct search_source *source)
{
    int r = index_search_source(s->index, false, source);

    source->only = only;
    source->unread = unread;
    source->utf8 = s->ns.utf8;
    return r;
}

/* Which of the messages (numbers) match now, as UIDs. */
static int match_again(struct imap_session *s, struct imap_context *ctx, const struct seqset *msgnos,
                       struct seqset *found)
{
    struct seqset *unread = seqset_init(0, SEQ_SPARSE);
    struct search_source source;

    int r = begin_source(s, msgnos, unread, &source);
    if (!r) r = index_search(s->index, ctx->expr, &source, note_found, found);
    if (!r) r = index_search_settle(s->index, &source);
    index_search_end(s->index);
    if (!r && !seqset_isempty(unread)) r = IMAP_IOERROR;
    seqset_free(unread);
    return r;
}

struct pair {
    struct search_sorter *sorter;
    bool there[2];
    uint32_t uids[2];
};

static void note_pair(const struct index_record *rec, const struct index_message *msg, void *rock)
{
    struct pair *pair = rock;

    for (int i = 0; i < 2; i++)
        if (msg->uid == pair->uids[i]) pair->there[i] = true;
    search_sorter_add(pair->sorter, rec, msg);
}

/* Is the first one before the other? pair->there: which have not gone meanwhile. */
static int compare(struct imap_session *s, struct imap_context *ctx, struct search_expr *all, struct pair *pair,
                   bool *before)
{
    struct seqset *msgnos = seqset_init(0, SEQ_SPARSE), *unread = seqset_init(0, SEQ_SPARSE);
    struct sorted_message *sorted;
    struct search_source source;
    size_t n;

    for (int i = 0; i < 2; i++) seqset_add(msgnos, index_msgno(s->index, pair->uids[i]), true);
    pair->there[0] = pair->there[1] = false;
    int r = begin_source(s, msgnos, unread, &source);
    pair->sorter = search_sorter_new(ctx->crit, &source);
    if (!r) r = index_search(s->index, all, &source, note_pair, pair);
    index_search_end(s->index);
    sorted = search_sorter_finish(pair->sorter, &n);
    search_sorter_free(&pair->sorter);
    *before = n && sorted[0].uid == pair->uids[0];
    if (!r && !seqset_isempty(unread)) r = IMAP_IOERROR;
    free(sorted);
    seqset_free(msgnos);
    seqset_free(unread);
    return r;
}

/* A message of a sorted context has gone, which was not told yet. */
static void lose(struct imap_session *s, struct imap_context *ctx, size_t at, struct changes *changes)
{
    /* what was added before moves places: it is told first */
    if (buf_len(&changes->added.pairs)) {
        tell(s, ctx, changes);
        changes_init(changes);
    }
    note(ctx, &changes->removed, at, number(s, ctx, ctx->uids[at]));
    remove_at(ctx, at);
}

/* Its place among the others by the criteria; *gone: it has none any more. */
static int place_by_criteria(struct imap_session *s, struct imap_context *ctx, uint32_t uid, struct changes *changes,
                             size_t *place, bool *gone)
{
    struct search_expr *all = search_expr_new_all();
    size_t low = 0, high = ctx->n;
    int r = 0;

    while (!*gone && low < high) {
        size_t mid = low + (high - low) / 2;
        struct pair pair = { .uids = { uid, ctx->uids[mid] } };
        bool before = false;

        r = compare(s, ctx, all, &pair, &before);
        if (r) break;
        *gone = !pair.there[0];
        if (!pair.there[1]) {
            lose(s, ctx, mid, changes);
            high--;
        }
        else if (before)
            high = mid;
        else
            low = mid + 1;
    }
    search_expr_free(&all);
    *place = low;
    return r;
}

/* Those that match no more leave; what is left in found is new. */
static void take_out(struct imap_session *s, struct imap_context *ctx, const struct seqset *looked,
                     struct seqset *found, struct changes *changes)
{
    for (size_t i = ctx->n; i-- > 0;) {
        uint32_t uid = ctx->uids[i];
        if (!seqset_ismember(looked, uid)) continue;
        if (seqset_ismember(found, uid)) {
            seqset_remove(found, uid);
            continue;
        }
        note(ctx, &changes->removed, i, number(s, ctx, uid));
        remove_at(ctx, i);
    }
}

static int put_in(struct imap_session *s, struct imap_context *ctx, const struct seqset *found, struct changes *changes)
{
    int r = 0;

    for (uint32_t uid = seqset_first(found); uid && !r; uid = seqset_after(found, uid)) {
        size_t at = lower_bound_u32(ctx->uids, ctx->n, uid);
        bool gone = false;

        if (ctx->crit) r = place_by_criteria(s, ctx, uid, changes, &at, &gone);
        if (r || gone) continue;
        insert_at(ctx, at, uid);
        note(ctx, &changes->added, at, number(s, ctx, uid));
    }
    return r;
}

static int update_one(struct imap_session *s, struct imap_context *ctx, const struct seqset *msgnos,
                      const struct seqset *looked)
{
    struct seqset *found = seqset_init(0, SEQ_SPARSE);
    struct changes changes;

    changes_init(&changes);
    int r = match_again(s, ctx, msgnos, found);
    if (!r) take_out(s, ctx, looked, found, &changes);
    if (!r) r = put_in(s, ctx, found, &changes);
    tell(s, ctx, &changes);
    seqset_free(found);
    return r;
}

void imap_contexts_update(struct imap_session *s, const struct index_update *update, uint32_t known)
{
    if (!s->contexts || index_gone(s->index)) return;
    struct seqset *msgnos = seqset_init(0, SEQ_SPARSE);
    for (size_t i = 0; i < update->nchanged; i++) seqset_add(msgnos, update->changed[i].msgno, true);
    if (index_exists(s->index) > known) seqset_addrange(msgnos, known + 1, index_exists(s->index));
    struct seqset *looked = index_uids_of(s->index, msgnos);
    for (struct imap_context *ctx = s->contexts, *next; ctx && !seqset_isempty(msgnos); ctx = next) {
        next = ctx->next;
        int r = update_one(s, ctx, msgnos, looked);
        if (!r) continue;
        imap_context_refuse(s, ctx->tag, error_message(r));
        drop(s, ctx);
    }
    seqset_free(looked);
    seqset_free(msgnos);
}
