/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_args -- what SEARCH, SORT and THREAD have in common: their keys (handbook 04 §3.14)
 */
#include <config.h>

#include <stdlib.h>

#include "imap_err.h"
#include "imap_err.h"
#include "search_args.h"
#include "times.h"

#define MAX_NAMED 400 /* bytes of UIDs in an answer's text */

static bool folder(void *rock, extname_t external, struct buf *internal)
{
    char *name = imap_intname(rock, external);

    if (!name) return false;
    buf_setcstr(internal, name);
    free(name);
    return true;
}

/* RFC 6855 §3 */
static const char utf8_text[] = "CHARSET is not allowed with UTF8=ACCEPT";

void search_keys_init(struct imap_session *s, struct search_keys *keys)
{
    *keys = (struct search_keys){ .syntax = {
                                      .conversations = s->options->conversations,
                                      .no_numbers = s->uidonly ? imap_uidonly_text : NULL,
                                      .charset_flags = search_charset_flags(),
                                      .default_charset = s->ns.utf8 ? "UTF-8" : NULL,
                                      .no_charset = s->utf8accept ? utf8_text : NULL,
                                      .folder = folder,
                                      .rock = s,
                                  } };
}

void search_keys_fini(struct search_keys *keys)
{
    buf_free(&keys->word);
    buf_free(&keys->charset);
    search_expr_free(&keys->expr);
}

bool search_parsed(struct imap_session *s, struct buf *error)
{
    const char *charset = error_message(IMAP_UNRECOGNIZED_CHARSET);

    if (s->c >= 0) return true;
    if (s->rev2 && s->c == IMPARSE_BAD && !buf_cmpcstr(error, charset))
        imap_no(s, "[BADCHARSET (US-ASCII UTF-8)] %s", charset); /* RFC 9051 §6.4.4 */
    else
        imap_bad(s, "%s", buf_cstring(error));
    return false;
}

bool search_keys_charset(struct imap_session *s, struct search_keys *keys)
{
    if (s->c == ' ' && (s->c = getastring(s->in, s->out, &keys->charset)) == ' ') return true;
    imap_bad(s, "Missing charset");
    return false;
}

bool search_keys_parse(struct imap_session *s, struct search_keys *keys, const char *charset)
{
    struct buf error = BUF_INITIALIZER;

    s->c = search_parse(s->in, s->out, &keys->syntax, charset, &keys->expr, &error);
    bool ok = search_parsed(s, &error);
    if (ok && !imap_at_eol(s)) {
        imap_bad(s, "Unexpected extra arguments to %s", buf_cstring(&s->cmdname));
        ok = false;
    }
    buf_free(&error);
    return ok;
}

void search_answer(struct imap_session *s, int r, size_t found, const struct seqset *unread)
{
    char *uids = unread && !seqset_isempty(unread) ? seqset_cstring(unread) : NULL;

    if (r)
        imap_result(s, r);
    else if (uids && strlen(uids) <= MAX_NAMED)
        imap_no(s, "[CORRUPTION] Search is not complete: UID %s can't be read", uids);
    else if (uids)
        imap_no(s, "[CORRUPTION] Search is not complete: %zu messages can't be read", seqset_count(unread));
    else
        imap_ok(s, "Completed (%zu msgs in %.3f secs)", found, monotonic_seconds() - s->start);
    free(uids);
}
