/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_expr -- the tree of a search: making, freeing, telling about it
 */
#include <config.h>

#include "search_expr.h"

#include <inttypes.h>
#include <stdlib.h>

#include "buf.h"
#include "charset.h"
#include "imapopts.h"
#include "libconfig.h"
#include "search_int.h"
#include "util.h"
#include "xmalloc.h"

struct search_expr *search_expr_new(enum search_op op)
{
    struct search_expr *e = xzmalloc(sizeof(*e));

    e->op = op;
    e->slot = -1;
    return e;
}

struct search_expr *search_expr_new_all(void)
{
    return search_expr_new(SEARCH_AND);
}

void search_expr_add(struct search_expr *parent, struct search_expr *child)
{
    struct search_expr **at = &parent->children;

    /* Cheap terms first, otherwise as they were said. */
    while (*at && (*at)->cost <= child->cost) at = &(*at)->next;
    child->next = *at;
    *at = child;
    parent->cost = cyr_max(parent->cost, child->cost);
}

void search_expr_free(struct search_expr **exprp)
{
    struct search_expr *e = *exprp;

    if (!e) return;
    while (e->children) {
        struct search_expr *child = e->children;

        e->children = child->next;
        search_expr_free(&child);
    }
    buf_free(&e->text);
    free(e->name);
    seqset_free(e->set);
    free(e);
    *exprp = NULL;
}

static bool any_key(const struct search_expr *e, bool (*test)(const struct search_key *key))
{
    if (e->key && test(e->key)) return true;
    for (const struct search_expr *child = e->children; child; child = child->next) {
        if (any_key(child, test)) return true;
    }
    return false;
}

static bool is_modseq(const struct search_key *key)
{
    return key->arg == SEARCH_ARG_MODSEQ;
}

bool search_uses_modseq(const struct search_expr *expr)
{
    return any_key(expr, is_modseq);
}

static bool is_conversation(const struct search_key *key)
{
    return key->conversations;
}

bool search_uses_conversations(const struct search_expr *expr)
{
    return any_key(expr, is_conversation);
}

static void print_term(const struct search_expr *e, struct buf *dst)
{
    buf_appendcstr(dst, e->key->name);
    if (e->name) buf_printf(dst, " %s", e->name);
    switch (e->key->arg) {
    case SEARCH_ARG_DATE: buf_printf(dst, " %jd..%jd", (intmax_t)e->from, (intmax_t)e->to); break;
    case SEARCH_ARG_INTERVAL: buf_printf(dst, " %jd", (intmax_t)e->from); break;
    case SEARCH_ARG_NUMBER:
    case SEARCH_ARG_NUMBER64:
    case SEARCH_ARG_MODSEQ:
    case SEARCH_ARG_CID: buf_printf(dst, " %" PRIu64, e->number); break;
    case SEARCH_ARG_NONE: break;
    default:
        buf_appendcstr(dst, " \"");
        buf_append(dst, &e->text);
        buf_putc(dst, '"');
        break;
    }
}

void search_expr_print(const struct search_expr *expr, struct buf *dst)
{
    static const char *const names[] = { "and", "or", "not", "" };

    buf_putc(dst, '(');
    if (expr->op == SEARCH_TERM)
        print_term(expr, dst);
    else
        buf_appendcstr(dst, names[expr->op]);
    for (const struct search_expr *child = expr->children; child; child = child->next) {
        buf_putc(dst, ' ');
        search_expr_print(child, dst);
    }
    buf_putc(dst, ')');
}

unsigned search_charset_flags(void)
{
    unsigned flags = 0;

    if (config_getswitch(IMAPOPT_SEARCH_SKIPDIACRIT)) flags |= CHARSET_SKIPDIACRIT;
    if (config_getswitch(IMAPOPT_SEARCH_SKIPHTML)) flags |= CHARSET_SKIPHTML;
    if (config_getswitch(IMAPOPT_RFC2047_UTF8)) flags |= CHARSET_UTF8HEADERS;
    switch (config_getenum(IMAPOPT_SEARCH_WHITESPACE)) {
    case IMAP_ENUM_SEARCH_WHITESPACE_SKIP: return flags | CHARSET_SKIPSPACE;
    case IMAP_ENUM_SEARCH_WHITESPACE_MERGE: return flags | CHARSET_MERGESPACE;
    }
    return flags;
}
