/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_run -- what SEARCH, SORT and ESEARCH have in common: RETURN, what was found, the ESEARCH response
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "index_search.h"
#include "search_run.h"
#include "search_sort.h"
#include "xmalloc.h"

/* ---- RETURN ---- */

/* The list behind RETURN. */
static bool return_options(struct imap_session *s, struct search_args *args)
{
    static const char *const names[] = { "MIN",  "MAX",     "COUNT",  "ALL",    "RELEVANCY",
                                         "SAVE", "PARTIAL", "UPDATE", "CONTEXT" };
    struct buf word = BUF_INITIALIZER;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    if (!ok) {
        imap_bad(s, "Missing return options in %s", buf_cstring(&s->cmdname));
        return false;
    }
    args->esearch = true;
    args->returns = 0;
    do {
        size_t i = 0;
        s->c = getword(s->in, &word);
        if (!buf_len(&word) && s->c == ')') break;
        while (i < array_size(names) && cyr_strcasecmp(buf_cstring(&word), names[i])) i++;
        ok = s->c >= 0 && i < array_size(names);
        if (!ok) break;
        args->returns |= 1u << i;
        if (1u << i == RETURN_PARTIAL) ok = imap_get_range(s, &args->partial);
    } while (ok && s->c == ' ');
    if ((args->returns & RETURN_PARTIAL) && (args->returns & RETURN_ALL)) ok = false;
    if (!ok) {
        buf_lcase(&word);
        imap_bad(s, "Invalid %s return option %s", buf_cstring(&s->cmdname), buf_cstring(&word));
    }
    else if (s->c != ')') {
        imap_bad(s, "Missing return options in %s", buf_cstring(&s->cmdname));
        ok = false;
    }
    else
        s->c = prot_getc(s->in);
    args->update = args->returns & RETURN_UPDATE;
    args->returns &= ~(unsigned)(RETURN_UPDATE | RETURN_CONTEXT);
    if (!args->returns) args->returns = RETURN_ALL;
    buf_free(&word);
    return ok;
}

bool search_parse_return(struct imap_session *s, struct search_args *args)
{
    if (!imap_arg_more(s)) return false;
    int ch = prot_peek(s->in);
    if (ch != 'R' && ch != 'r') return true;
    s->c = getword(s->in, &args->keys.word);
    if (s->c >= 0 && !cyr_strcasecmp(buf_cstring(&args->keys.word), "RETURN")) {
        buf_free(&args->keys.word);
        return return_options(s, args) && imap_arg_more(s);
    }
    args->keys.syntax.word = buf_cstring(&args->keys.word);
    args->keys.syntax.after = s->c;
    return true;
}

void search_args_fini(struct search_args *args)
{
    search_keys_fini(&args->keys);
    sort_criteria_free(&args->crit);
}

/* ---- what was found ---- */

static void add_num(struct hits *hits, uint32_t num, modseq_t modseq)
{
    if (hits->n == hits->alloc) {
        hits->alloc = hits->alloc * 2 + 64;
        hits->nums = xreallocarray(hits->nums, hits->alloc, sizeof(*hits->nums));
        hits->modseqs = xreallocarray(hits->modseqs, hits->alloc, sizeof(*hits->modseqs));
    }
    hits->nums[hits->n] = num;
    hits->modseqs[hits->n++] = modseq;
}

void hits_fini(struct hits *hits)
{
    free(hits->nums);
    free(hits->modseqs);
    seqset_free(hits->unread);
}

bool hits_complete(const struct hits *hits)
{
    return !hits->unread || seqset_isempty(hits->unread);
}

static void found(const struct index_record *rec, const struct index_message *msg, void *rock)
{
    struct hits *hits = rock;

    if (rec->modseq > hits->highest) hits->highest = rec->modseq;
    if (hits->sorter)
        search_sorter_add(hits->sorter, rec, msg);
    else
        add_num(hits, hits->usinguid ? msg->uid : msg->msgno, rec->modseq);
}

static void finish_sort(struct hits *hits)
{
    size_t n;
    struct sorted_message *sorted = search_sorter_finish(hits->sorter, &n);

    for (size_t i = 0; i < n; i++)
        add_num(hits, hits->usinguid ? sorted[i].uid : sorted[i].msgno, 0);
    free(sorted);
    search_sorter_free(&hits->sorter);
}

int search_collect(struct imap_session *s, struct index_state *index, struct search_args *args,
                   struct hits *hits)
{
    struct search_source source;

    if (index_gone(index)) return 0;
    bool convs = search_uses_conversations(args->keys.expr) ||
                 (args->crit && sort_uses_conversations(args->crit));
    int r = index_search_source(index, convs, &source);
    source.saved = index == s->index ? s->saved : NULL;
    source.utf8 = s->ns.utf8;
    source.progress = imap_progress;
    source.progress_rock = s;
    source.unread = hits->unread = seqset_init(0, SEQ_SPARSE);
    if (args->crit) hits->sorter = search_sorter_new(args->crit, &source);
    if (!r) r = index_search(index, args->keys.expr, &source, found, hits);
    if (!r) r = index_search_settle(index, &source);
    index_search_end(index);
    if (hits->sorter) finish_sort(hits);
    hits->limit = index_highestmodseq(index);
    if (hits->highest > hits->limit) hits->highest = hits->limit;
    return r;
}

/* ---- the response ---- */

/* Runs of rising numbers become ranges; the order is kept (RFC 5267 §3.1). */
static void print_ranges(struct imap_session *s, const struct hits *hits, size_t from, size_t to)
{
    const char *sep = "";

    for (size_t i = from; i < to;) {
        size_t j = i;
        while (j + 1 < to && hits->nums[j + 1] == hits->nums[j] + 1) j++;
        if (j > i)
            prot_printf(s->out, "%s%" PRIu32 ":%" PRIu32, sep, hits->nums[i], hits->nums[j]);
        else
            prot_printf(s->out, "%s%" PRIu32, sep, hits->nums[i]);
        sep = ",";
        i = j + 1;
    }
}

void hits_selected(const struct search_args *args, const struct hits *hits,
                   void (*cb)(const struct hits *, size_t, void *), void *rock)
{
    const unsigned ends = RETURN_MIN | RETURN_MAX | RETURN_PARTIAL;
    size_t from = 0, to = hits->n;

    if (!hits->n) return;
    if ((args->returns & ends) && !(args->returns & ~(ends | RETURN_SAVE))) {
        if (args->returns & RETURN_MIN) cb(hits, 0, rock);
        if (args->returns & RETURN_MAX) cb(hits, hits->n - 1, rock);
        if (!(args->returns & RETURN_PARTIAL)) return;
        imap_range_of(&args->partial, hits->n, &from, &to);
    }
    for (size_t i = from; i < to; i++) cb(hits, i, rock);
}

static void greatest(const struct hits *hits, size_t i, void *rock)
{
    modseq_t *modseq = rock;

    if (hits->modseqs[i] > *modseq) *modseq = hits->modseqs[i];
}

/* Of what is told (RFC 7162 §3.1.5). What the session has not been told of yet is not passed. */
static modseq_t modseq_of(const struct search_args *args, const struct hits *hits)
{
    modseq_t modseq = 0;

    if (args->crit) return hits->highest;
    hits_selected(args, hits, greatest, &modseq);
    return modseq > hits->limit ? hits->limit : modseq;
}

static void print_partial(struct imap_session *s, const struct search_args *args,
                          const struct hits *hits)
{
    size_t from, to;

    imap_range_of(&args->partial, hits->n, &from, &to);
    prot_printf(s->out, " PARTIAL (%" PRId64 ":%" PRId64 " ", args->partial.first,
                args->partial.last);
    if (from < to)
        print_ranges(s, hits, from, to);
    else
        prot_puts(s->out, "NIL");
    prot_putc(')', s->out);
}

/* MIN and MAX are the first and the last one in the order of the answer. */
void search_print_esearch(struct imap_session *s, const struct search_args *args,
                          const struct hits *hits, extname_t mailbox, uint32_t uidvalidity)
{
    unsigned ret = args->returns;

    if (ret == RETURN_SAVE) return;
    if (!hits_complete(hits)) {
        ret &= RETURN_ALL;
        if (!ret || !hits->n) return;
    }
    prot_printf(s->out, "* ESEARCH (TAG \"%s\"", buf_cstring(&s->tag));
    if (!extname_isnone(mailbox)) {
        prot_puts(s->out, " MAILBOX ");
        imap_print_mailbox(s, mailbox);
        prot_printf(s->out, " UIDVALIDITY %" PRIu32, uidvalidity);
    }
    prot_putc(')', s->out);
    if (hits->usinguid) prot_puts(s->out, " UID");
    if (ret & RETURN_COUNT) prot_printf(s->out, " COUNT %zu", hits->n);
    if (hits->n) {
        if (ret & RETURN_MIN) prot_printf(s->out, " MIN %" PRIu32, hits->nums[0]);
        if (ret & RETURN_MAX) prot_printf(s->out, " MAX %" PRIu32, hits->nums[hits->n - 1]);
        if (ret & RETURN_ALL) {
            prot_puts(s->out, " ALL ");
            print_ranges(s, hits, 0, hits->n);
        }
        if (ret & RETURN_RELEVANCY) {
            prot_puts(s->out, " RELEVANCY (100");
            for (size_t i = 1; i < hits->n; i++) prot_puts(s->out, " 100");
            prot_putc(')', s->out);
        }
    }
    if (ret & RETURN_PARTIAL) print_partial(s, args, hits);
    if (hits->n && hits_complete(hits) && search_uses_modseq(args->keys.expr))
        prot_printf(s->out, " MODSEQ %" PRIu64, modseq_of(args, hits));
    prot_puts(s->out, "\r\n");
}

/* ---- "$" ---- */

struct saving {
    struct imap_session *s;
    struct seqset *uids;
};

static void save_one(const struct hits *hits, size_t i, void *rock)
{
    struct saving *saving = rock;

    seqset_add(saving->uids,
               hits->usinguid ? hits->nums[i] : index_uid(saving->s->index, hits->nums[i]), true);
}

void search_save(struct imap_session *s, const struct search_args *args, const struct hits *hits)
{
    struct saving saving = { s, seqset_init(0, SEQ_SPARSE) };

    hits_selected(args, hits, save_one, &saving);
    imap_session_save(s, saving.uids);
}
