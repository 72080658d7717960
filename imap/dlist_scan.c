/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist_scan -- read dlist text item by item, without building a tree
 *
 * An atom runs to the next space, and then gives back the ")" at its end: that is
 * how 3.6.1 reads, and some of its atoms hold parentheses. Every error is sticky:
 * once failed, each step fails, so that a caller may read a whole record and ask
 * once. No byte outside base..base+len is looked at.
 */
#include <config.h>

#include "dlist_scan.h"

#include <stdlib.h>
#include <string.h>

#include "xmalloc.h"

#define MAXDEPTH 64

void dlist_scan_init(struct dlist_scan *sc, const char *base, size_t len)
{
    memset(sc, 0, sizeof(*sc));
    sc->p = base;
    sc->end = base + len;
}

void dlist_scan_fini(struct dlist_scan *sc)
{
    buf_free(&sc->scratch);
}

static enum dlist_token fail(struct dlist_scan *sc)
{
    sc->failed = true;
    sc->s = "";
    sc->len = 0;
    return DLS_ERROR;
}

static enum dlist_token string(struct dlist_scan *sc, const char *s, size_t len)
{
    sc->s = s;
    sc->len = len;
    return DLS_STRING;
}

/* p is behind the opening quote. */
static enum dlist_token quoted(struct dlist_scan *sc)
{
    const char *start = sc->p;
    bool escaped = false;

    buf_reset(&sc->scratch);
    for (; sc->p < sc->end && *sc->p != '"'; sc->p++) {
        if (*sc->p == '\\') {
            if (!escaped) buf_setmap(&sc->scratch, start, (size_t)(sc->p - start));
            escaped = true;
            if (++sc->p == sc->end) return fail(sc);
        }
        if (escaped) buf_putc(&sc->scratch, *sc->p);
    }
    if (sc->p == sc->end) return fail(sc);
    const char *stop = sc->p++;
    if (escaped) return string(sc, sc->scratch.s, sc->scratch.len);
    return string(sc, start, (size_t)(stop - start));
}

/* p is behind "{": "n}" or "n+}", CR LF, n bytes. */
static enum dlist_token literal(struct dlist_scan *sc)
{
    uint64_t n;

    if (scan_u64(&sc->p, sc->end, &n)) return fail(sc);
    if (sc->p < sc->end && *sc->p == '+') sc->p++;
    if (sc->end - sc->p < 3 || memcmp(sc->p, "}\r\n", 3)) return fail(sc);
    sc->p += 3;
    if (n > (uint64_t)(sc->end - sc->p)) return fail(sc);
    const char *s = sc->p;
    sc->p += n;
    return string(sc, s, (size_t)n);
}

static enum dlist_token atom(struct dlist_scan *sc)
{
    const char *s = sc->p;

    while (sc->p < sc->end && *sc->p != ' ' && *sc->p != '\r' && *sc->p != '\n') sc->p++;
    while (sc->p > s && sc->p[-1] == ')') sc->p--;
    if (sc->p == s) return fail(sc);
    string(sc, s, (size_t)(sc->p - s));
    return sc->len == 3 && !memcmp(s, "NIL", 3) ? DLS_NIL : DLS_STRING;
}

static enum dlist_token open_list(struct dlist_scan *sc, enum dlist_token t)
{
    if (++sc->depth > MAXDEPTH) return fail(sc);
    return t;
}

enum dlist_token dlist_scan_next(struct dlist_scan *sc)
{
    if (sc->failed) return DLS_ERROR;
    while (sc->p < sc->end && cyr_isspace(*sc->p)) sc->p++;
    if (sc->p == sc->end) return sc->depth ? fail(sc) : DLS_END;

    switch (*sc->p) {
    case '(': sc->p++; return open_list(sc, DLS_LIST);
    case '%':
        if (sc->end - sc->p < 2 || sc->p[1] != '(') return fail(sc);
        sc->p += 2;
        return open_list(sc, DLS_KVLIST);
    case ')':
        if (!sc->depth) return fail(sc);
        sc->p++;
        sc->depth--;
        return DLS_CLOSE;
    case '"': sc->p++; return quoted(sc);
    case '{': sc->p++; return literal(sc);
    default: return atom(sc);
    }
}

bool dlist_scan_skip(struct dlist_scan *sc, enum dlist_token t)
{
    if (t == DLS_LIST || t == DLS_KVLIST) {
        unsigned outer = sc->depth - 1;
        while (!sc->failed && sc->depth > outer) dlist_scan_next(sc);
    }
    else if (t == DLS_END || t == DLS_CLOSE) {
        fail(sc);
    }
    return !sc->failed;
}

bool dlist_scan_key(struct dlist_scan *sc)
{
    switch (dlist_scan_next(sc)) {
    case DLS_STRING:
    case DLS_NIL: /* a key may be called so */ return true;
    case DLS_CLOSE: return false;
    default: fail(sc); return false;
    }
}

bool dlist_scan_iskey(const struct dlist_scan *sc, const char *key)
{
    return strlen(key) == sc->len && !memcmp(key, sc->s, sc->len);
}

bool dlist_scan_enter(struct dlist_scan *sc, enum dlist_token want)
{
    if (dlist_scan_next(sc) != want) fail(sc);
    return !sc->failed;
}

bool dlist_scan_u64(struct dlist_scan *sc, uint64_t *v)
{
    if (dlist_scan_next(sc) != DLS_STRING || parse_u64(sc->s, sc->len, v)) fail(sc);
    return !sc->failed;
}

bool dlist_scan_u32(struct dlist_scan *sc, uint32_t *v)
{
    uint64_t v64;

    if (!dlist_scan_u64(sc, &v64)) return false;
    *v = (uint32_t)v64;
    return true;
}

bool dlist_scan_i64(struct dlist_scan *sc, int64_t *v)
{
    if (dlist_scan_next(sc) != DLS_STRING || parse_i64(sc->s, sc->len, v)) fail(sc);
    return !sc->failed;
}

bool dlist_scan_str(struct dlist_scan *sc, char **v)
{
    enum dlist_token t = dlist_scan_next(sc);

    xzfree(*v);
    /* no string of these records may hold a NUL */
    if (t == DLS_STRING && !memchr(sc->s, '\0', sc->len))
        *v = xstrndup(sc->s, sc->len);
    else if (t != DLS_NIL)
        fail(sc);
    return !sc->failed;
}

bool dlist_scan_close(struct dlist_scan *sc)
{
    if (dlist_scan_next(sc) != DLS_CLOSE) fail(sc);
    return !sc->failed;
}

bool dlist_scan_atend(struct dlist_scan *sc)
{
    if (dlist_scan_next(sc) != DLS_END) fail(sc);
    return !sc->failed;
}
