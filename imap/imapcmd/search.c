/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SEARCH, SORT and their UID forms (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267, RFC 9394;
 * handbook 04 §3.14, §3.15)
 */
#include <config.h>

#include <inttypes.h>

#include "imap_context.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "search_run.h"
#include "search_sort.h"

/* ---- arguments ---- */

/* (criteria) charset, behind a blank. */
static bool parse_sort(struct imap_session *s, struct search_args *args)
{
    struct buf error = BUF_INITIALIZER;

    s->c = sort_criteria_parse(s->in, s->out, &args->keys.syntax, &args->crit, &error);
    bool ok = search_parsed(s, &error);
    buf_free(&error);
    return ok && search_keys_charset(s, &args->keys);
}

/* ---- answers ---- */

static void print_plain(struct imap_session *s, const struct search_args *args,
                        const struct hits *hits)
{
    prot_printf(s->out, "* %s", args->crit ? "SORT" : "SEARCH");
    for (size_t i = 0; i < hits->n; i++) prot_printf(s->out, " %" PRIu32, hits->nums[i]);
    if (hits->n && hits_complete(hits) && search_uses_modseq(args->keys.expr)) prot_printf(s->out, " (MODSEQ %" PRIu64 ")", hits->highest);
    prot_puts(s->out, "\r\n");
}

static void search(struct imap_session *s, struct search_args *args)
{
    struct hits hits = { .usinguid = s->usinguid };

    imap_report(s, s->usinguid, NULL);
    if (s->closing) return;
    s->reported = false;
    bool gone = index_gone(s->index);
    int r = search_collect(s, s->index, args, &hits);
    if (!r && !gone) {
        if (args->esearch || (s->rev2 && !args->crit))
            search_print_esearch(s, args, &hits, EXTNAME_NONE, 0);
        else
            print_plain(s, args, &hits);
    }
    /* A search that fails empties "$" (RFC 5182 §2.1). */
    if (args->returns & RETURN_SAVE) {
        if (r || gone || !hits_complete(&hits))
            imap_session_save(s, NULL);
        else
            search_save(s, args, &hits);
    }
    if (args->update && !r && !gone) imap_context_begin(s, args, &hits);
    search_answer(s, r, hits.n, hits.unread);
    hits_fini(&hits);
}

void cmd_cancelupdate(struct imap_session *s)
{
    struct buf tag = BUF_INITIALIZER;
    strarray_t tags = STRARRAY_INITIALIZER;
    bool ok;

    do {
        ok = imap_arg_astring(s, &tag);
        if (ok) strarray_append(&tags, buf_cstring(&tag));
    } while (ok && s->c == ' ');
    if (ok && imap_arg_end(s)) {
        for (int i = 0; i < strarray_size(&tags); i++) imap_context_cancel(s, strarray_nth(&tags, i));
        imap_ok(s, "%s", error_message(IMAP_OK_COMPLETED));
    }
    strarray_fini(&tags);
    buf_free(&tag);
}

void cmd_search(struct imap_session *s)
{
    struct search_args args = { 0 };

    search_keys_init(s, &args.keys);
    /* With IMAP4rev2 the answer is ESEARCH (RFC 9051 §6.4.4). */
    if (s->rev2) args.returns = RETURN_ALL;
    if (search_parse_return(s, &args) && search_keys_parse(s, &args.keys, NULL)) search(s, &args);
    search_args_fini(&args);
}

void cmd_sort(struct imap_session *s)
{
    struct search_args args = { 0 };

    search_keys_init(s, &args.keys);
    /* Criteria begin with a parenthesis, so a word can only be RETURN. */
    if (search_parse_return(s, &args)) {
        if (args.keys.syntax.word)
            imap_bad(s, "Missing Sort criteria");
        else if (parse_sort(s, &args) &&
                 search_keys_parse(s, &args.keys, buf_cstring(&args.keys.charset)))
            search(s, &args);
    }
    search_args_fini(&args);
}
