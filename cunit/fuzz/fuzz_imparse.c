/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The readers of IMAP arguments by themselves, much faster than whole sessions: tokens,
 * search programs (which must be printed the same when read again) and fetch items. The
 * first byte says which.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "charset.h"
#include "fetch.h"
#include "fuzz.h"
#include "imap_session.h"
#include "imparse.h"
#include "libconfig.h"
#include "search_expr.h"

static struct buf answers, text;

static void tokens(struct protstream *in, struct protstream *out)
{
    struct imparse_literal lit;
    uint64_t u64;
    int64_t i64;
    uint32_t u32;
    int32_t i32;
    bool flag;

    for (int c = 0, n = 0; c >= 0; n++) {
        switch (n % 14) {
        case 0: c = getword(in, &text); break;
        case 1: c = getastring(in, out, &text); break;
        case 2: c = getnastring(in, out, &text, &flag); break;
        case 3: c = getqstring(in, &text); break;
        case 4: c = getbastring(in, out, &text, &flag); break;
        case 5: c = getbnstring(in, out, &text, &flag); break;
        case 6: c = getliteralheader(in, &lit); break;
        case 7: c = getuint32(in, &u32); break;
        case 8: c = getint32(in, &i32); break;
        case 9: c = getuint64(in, &u64); break;
        case 10: c = getint64(in, &i64); break;
        case 11: c = getmodseq(in, &u64); break;
        case 12: c = getsequence(in, &text); break;
        case 13: c = getblankword(in, &text); break;
        }
        if (c == IMPARSE_BAD) c = prot_getc(in);
        if (c == '\n') eatline(in, prot_getc(in), n & 1 ? EATLINE_DLIST : 0);
    }
}

static void search(struct protstream *in, struct protstream *out)
{
    static const struct search_syntax syntax = { .conversations = true, .now = 1700000000 };
    struct buf error = BUF_INITIALIZER;
    struct search_expr *expr = NULL;

    if (search_parse(in, out, &syntax, NULL, &expr, &error) >= 0) {
        if (!expr) abort();
        buf_reset(&text);
        search_expr_print(expr, &text);
        search_uses_modseq(expr);
        search_uses_conversations(expr);
    }
    else if (expr) {
        abort();
    }
    search_expr_free(&expr);
    buf_free(&error);
}

static void fetch(struct protstream *in, struct protstream *out)
{
    static const struct imap_options options = { .conversations = true };
    struct imap_session s = { .options = &options, .in = in, .out = out, .c = ' ' };
    struct fetch_request req;

    memset(&req, 0, sizeof(req));
    buf_setcstr(&s.tag, "t");
    buf_setcstr(&s.cmdname, "Fetch");
    buf_setcstr(&s.modname, "Fetch");
    (void)fetch_parse(&s, &req);
    fetch_request_fini(&req);
    buf_free(&s.tag);
    buf_free(&s.cmdname);
    buf_free(&s.modname);
}

void fuzz_imparse(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct protstream *, struct protstream *) = { tokens, search,
                                                                                 fetch };
    if (!size) return;
    if (!config_loaded()) config_read_string("maxliteral: 2000\nmaxword: 1000\nmaxquoted: 1000\n");
    buf_reset(&answers);
    struct protstream *in = prot_readmap((const char *)data + 1, size - 1);
    struct protstream *out = prot_writebuf(&answers);
    imparse_configlimits(in);
    readers[data[0] % 3](in, out);
    prot_free(in);
    prot_free(out);
}
