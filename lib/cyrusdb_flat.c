/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_flat -- the backend flat: one line a record, KEY TAB VALUE LF (handbook 01 §3.3)
 *
 * Lines stand in mbox order of the encoded key. NUL, TAB, CR, LF and FF are written as two bytes. A file that
 * begins with the magic of another backend is refused; a line without a TAB is a key without value;
 * order is not relied on when reading.
 */
#include <config.h>

#include <string.h>

#include "cyrusdb_snapshot.h"
#include "util.h"
#include "xsyslog.h"

#define ESCAPE '\377'

static bool is_special(char c)
{
    return c == '\0' || c == '\t' || c == '\r' || c == '\n';
}

static void encode(struct buf *out, const char *base, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_special(base[i])) {
            buf_putc(out, ESCAPE);
            buf_putc(out, (char)(base[i] | 0x80));
        }
        else {
            if (base[i] == ESCAPE) buf_putc(out, ESCAPE);
            buf_putc(out, base[i]);
        }
    }
}

static void decode(struct buf *out, const char *base, size_t len)
{
    buf_reset(out);
    for (size_t i = 0; i < len; i++) {
        if (base[i] != ESCAPE || i + 1 == len)
            buf_putc(out, base[i]);
        else if (base[++i] == ESCAPE)
            buf_putc(out, ESCAPE);
        else
            buf_putc(out, (char)(base[i] & 0x7f));
    }
}

/* ---- order ---- */

/* A byte stands for one or two encoded ones; these give them one by one. */
struct encoded {
    const char *p, *end;
    bool second;
};

static bool next_encoded(struct encoded *e, char *out)
{
    if (e->p == e->end) return false;
    char c = *e->p;
    if (e->second || (!is_special(c) && c != ESCAPE)) {
        *out = is_special(c) ? (char)(c | 0x80) : c;
        e->second = false;
        e->p++;
    }
    else {
        *out = ESCAPE;
        e->second = true;
    }
    return true;
}

static int flat_cmp(const char *a, size_t alen, const char *b, size_t blen)
{
    struct encoded x = { a, a + alen, false }, y = { b, b + blen, false };
    char cx, cy;

    for (;;) {
        bool more_x = next_encoded(&x, &cx), more_y = next_encoded(&y, &cy);
        if (!more_x || !more_y) return more_x - more_y;
        int c = cyrusdb_cmp_mbox(&cx, 1, &cy, 1);
        if (c) return c;
    }
}

static kvmap_cmp *flat_order(unsigned flags)
{
    (void)flags;
    return flat_cmp;
}

/* ---- bytes ---- */

static int flat_parse(const char *fname, const char *base, size_t len, struct kvmap *map)
{
    struct buf key = BUF_INITIALIZER, value = BUF_INITIALIZER;

    if (len >= 4 && !memcmp(base, "\241\002\213\015", 4)) return CYRUSDB_BADFORMAT;
    for (const char *p = base, *end = base + len, *next; p < end; p = next) {
        const char *lf = memchr(p, '\n', (size_t)(end - p)), *stop = lf ? lf : end;
        const char *tab = memchr(p, '\t', (size_t)(stop - p)), *keyend = tab ? tab : stop;
        next = lf ? lf + 1 : end;
        if (p == stop) continue;
        if (keyend == p) {
            xsyslog_errno(LOG_ERR, 0, "DBERROR: flat file has a line without a key", "filename=<%s> offset=<%zu>", fname,
                          (size_t)(p - base));
            continue;
        }
        decode(&key, p, (size_t)(keyend - p));
        decode(&value, tab ? tab + 1 : stop, tab ? (size_t)(stop - tab - 1) : 0);
        kvmap_set(map, key.s, key.len, value.s ? value.s : "", value.len);
    }
    buf_free(&key);
    buf_free(&value);
    return 0;
}

/* What is wrong with a line; NULL: nothing. These bytes are always written as two. */
static const char *bad_line(const char *p, const char *keyend, const char *stop, bool ended)
{
    if (!ended) return "the file is cut off";
    if (keyend == p) return "a line without a key";
    for (; p < stop; p++) {
        if (*p == '\0' || *p == '\r') return "no record";
    }
    return NULL;
}

static void flat_salvage(const char *base, size_t len, struct kvmap *map, struct cyrusdb_bad *bad)
{
    struct buf key = BUF_INITIALIZER, value = BUF_INITIALIZER;

    for (const char *p = base, *end = base + len, *next; p < end; p = next) {
        const char *lf = memchr(p, '\n', (size_t)(end - p)), *stop = lf ? lf : end;
        const char *tab = memchr(p, '\t', (size_t)(stop - p)), *keyend = tab ? tab : stop;
        const char *what = bad_line(p, keyend, stop, lf);
        next = lf ? lf + 1 : end;
        if (p == stop) continue;
        if (what) {
            cyrusdb_bad(bad, (uint64_t)(p - base), (uint64_t)(next - p), what);
            continue;
        }
        decode(&key, p, (size_t)(keyend - p));
        decode(&value, tab ? tab + 1 : stop, tab ? (size_t)(stop - tab - 1) : 0);
        kvmap_set(map, key.s, key.len, value.s ? value.s : "", value.len);
    }
    buf_free(&key);
    buf_free(&value);
}

static void flat_write(const struct kvmap *map, struct buf *out)
{
    for (const struct kvmap_node *node = kvmap_first(map); node; node = node->next[0]) {
        encode(out, node->key, node->keylen);
        buf_putc(out, '\t');
        encode(out, node->data, node->datalen);
        buf_putc(out, '\n');
    }
}

static const struct snapshot_format flat_format = { .name = "flat", .sum = true, .order = flat_order, .parse = flat_parse,
                                                    .write = flat_write };

static int flat_open(const char *fname, unsigned flags, void **dbp)
{
    return snapshot_open(&flat_format, fname, flags, dbp);
}

const struct cyrusdb_backend cyrusdb_flat = { .name = "flat", SNAPSHOT_BACKEND(flat_open, flat_order),
                                              .salvage = flat_salvage };
