/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imparse_eat -- skip the rest of a command that could not be understood
 *
 * If the skipped line ends in a literal that the client does not wait to be asked
 * for, its bytes are skipped too, and so on: they are never taken for commands
 * (handbook 04 §2.1). A synchronising literal at the end of a line is not followed by its
 * bytes, as nobody asked for them. Only the last bytes of a line are kept.
 */
#include <config.h>

#include <string.h>

#include "imparse.h"
#include "prot_int.h"
#include "util.h"

#define TAIL 512 /* more than "%{partition guid size}" can need */

struct tail {
    char s[TAIL];
    size_t len;
};

static void tail_put(struct tail *t, int c)
{
    if (t->len == TAIL) {
        memmove(t->s, t->s + TAIL / 2, TAIL / 2);
        t->len = TAIL / 2;
    }
    t->s[t->len++] = (char)c;
}

/* Up to LF, which is not kept: false at the end of the stream. */
static bool read_tail(struct protstream *in, struct tail *t)
{
    int c;

    while ((c = prot_getc(in)) != '\n') {
        if (c == EOF) return false;
        tail_put(t, c);
    }
    return true;
}

/* The line ends in a literal whose bytes follow: its size. */
static bool ends_in_literal(const struct tail *t, unsigned flags, uint64_t *size)
{
    const char *end = t->s + t->len, *p;
    bool plus = false;

    if (end > t->s && end[-1] == '\r') end--;
    if (end == t->s || *--end != '}') return false;
    if (end > t->s && end[-1] == '+') {
        plus = true;
        end--;
    }
    for (p = end; p > t->s && cyr_isdigit(p[-1]); p--) continue;
    if (p == t->s || parse_u64(p, (size_t)(end - p), size)) return false;
    if (p[-1] == '{') return plus || (flags & EATLINE_DLIST);
    if (plus || p[-1] != ' ' || !(flags & EATLINE_DLIST)) return false;
    for (; p > t->s; p--)
        if (p[-1] == '{') return p - 1 > t->s && p[-2] == '%';
    return false;
}

/* The line end that was read last, or comes next, is that behind an announced literal. */
static bool is_announced(struct protstream *in, int c)
{
    uint64_t at = in->announced_at, now = prot_bytes(in);

    return at && (now == at || now + 1 == at || (c == '\n' && now == at + 1));
}

void eatline(struct protstream *in, int c, unsigned flags)
{
    struct tail t = { .len = 0 };
    uint64_t size;
    bool more = is_announced(in, c);

    if (c == IMPARSE_TOOBIG || (c == '\n' && !more)) return;
    if (c > 0 && c != '\n') tail_put(&t, c);
    if (c != '\n' && !read_tail(in, &t)) return;
    if (more)
        size = in->announced;
    else
        more = ends_in_literal(&t, flags, &size);
    in->announced_at = 0;
    while (more) {
        t.len = 0;
        if (prot_skip(in, size) || !read_tail(in, &t)) return;
        more = ends_in_literal(&t, flags, &size);
    }
}
