/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * glob -- the patterns of LIST and LSUB
 *
 * The pattern is run as a nondeterministic automaton: a set of places in the
 * pattern, one bit each, moves over the text byte by byte. So no pattern can be
 * slow, however many wildcards it has, and asking "may anything that begins
 * like this match?" is only asking whether the set is still not empty.
 */
#include <config.h>

#include "glob.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "xmalloc.h"

struct glob {
    char *pattern; /* runs of wildcards reduced to one */
    size_t len;
    size_t inboxlen; /* bytes at the start that are matched in any case */
    char sep;
};

/* A run of wildcards is one '*' if there is a '*' in it, else one '%'. */
static size_t squeeze(char *pattern)
{
    size_t out = 0;

    for (const char *p = pattern; *p; p++) {
        bool wild = *p == '*' || *p == '%';
        bool after = out && (pattern[out - 1] == '*' || pattern[out - 1] == '%');
        if (wild && after) {
            if (*p == '*') pattern[out - 1] = '*';
            continue;
        }
        pattern[out++] = *p;
    }
    pattern[out] = '\0';
    return out;
}

struct glob *glob_init(const char *pattern, char sep, unsigned flags)
{
    struct glob *g = xzmalloc(sizeof(*g));

    g->pattern = xstrdup(pattern);
    g->len = squeeze(g->pattern);
    g->sep = sep;
    if ((flags & GLOB_INBOXCASE) && g->len >= 5 && !cyr_strncasecmp(g->pattern, "inbox", 5)) {
        char next = g->pattern[5];
        if (!next || next == sep || next == '*' || next == '%') g->inboxlen = 5;
    }
    return g;
}

void glob_free(struct glob **gp)
{
    if (!*gp) return;
    free((*gp)->pattern);
    xzfree(*gp);
}

#define WORD(i) ((i) / 64)
#define BIT(i) (UINT64_C(1) << ((i) % 64))

/* A wildcard may stand for nothing, so its place reaches the next one too. */
static void enter(const struct glob *g, uint64_t *set, size_t i)
{
    set[WORD(i)] |= BIT(i);
    if (i < g->len && (g->pattern[i] == '*' || g->pattern[i] == '%'))
        set[WORD(i + 1)] |= BIT(i + 1);
}

/* Places reached from `from` by the byte c; false when there are none. */
static bool step(const struct glob *g, const uint64_t *from, uint64_t *to, size_t words, char c)
{
    bool any = false;

    memset(to, 0, words * sizeof(*to));
    for (size_t w = 0; w < words; w++) {
        for (uint64_t bits = from[w]; bits; bits &= bits - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(bits);
            if (i >= g->len) continue;
            char p = g->pattern[i];
            if (p == '*' || (p == '%' && c != g->sep))
                enter(g, to, i);
            else if (p != '%' && (p == c || (i < g->inboxlen && cyr_tolower(p) == cyr_tolower(c))))
                enter(g, to, i + 1);
            else
                continue;
            any = true;
        }
    }
    return any;
}

/* Runs the text; `whole` asks for a match, else for the chance of one. */
static bool run(const struct glob *g, const char *text, size_t len, bool whole)
{
    size_t words = WORD(g->len) + 1;
    uint64_t small[2][4] = { { 0 } };
    uint64_t *big = words > 4 ? xcalloc(2 * words, sizeof(*big)) : NULL;
    uint64_t *cur = big ? big : small[0];
    uint64_t *next = big ? big + words : small[1];
    bool alive = true;

    enter(g, cur, 0);
    for (size_t k = 0; k < len && alive; k++) {
        alive = step(g, cur, next, words, text[k]);
        uint64_t *t = cur;
        cur = next;
        next = t;
    }
    if (alive && whole) alive = cur[WORD(g->len)] & BIT(g->len);
    free(big);
    return alive;
}

bool glob_test(const struct glob *g, const char *text, size_t len)
{
    return run(g, text, len, true);
}

bool glob_test_prefix(const struct glob *g, const char *text, size_t len)
{
    return run(g, text, len, false);
}

size_t glob_literal_prefix(const struct glob *g)
{
    return strcspn(g->pattern, "*%");
}

bool glob_haswildcard(const struct glob *g)
{
    return glob_literal_prefix(g) < g->len;
}
