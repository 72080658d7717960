/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota_codec -- resources of a quota root and the bytes of its record
 *
 * A value that is empty or begins with NUL means "no such root"
 * (IMAP_QUOTAROOT_NONEXISTENT); text that is neither of the two forms is
 * IMAP_MAILBOX_BADFORMAT, and the caller logs it with the name of the root.
 */
#include <config.h>

#include "quota_codec.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "util.h"
#include "xmalloc.h"

const char *const quota_names[QUOTA_NUMRESOURCES] = { "STORAGE", "MESSAGE", "X-ANNOTATION-STORAGE",
                                                      "X-NUM-FOLDERS" };
const char *const quota_db_names[QUOTA_NUMRESOURCES] = { "S", "M", "AS", "NF" };
const int64_t quota_units[QUOTA_NUMRESOURCES] = { 1024, 1, 1024, 1 };

int quota_name_to_resource(const char *name)
{
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        if (!cyr_strcasecmp(name, quota_names[res])) return res;
    }
    return -1;
}

int64_t quota_bound(const struct quota *q, enum quota_resource res)
{
    int64_t bound;

    if (q->limits[res] < 0 || __builtin_mul_overflow(q->limits[res], quota_units[res], &bound))
        return INT64_MAX;
    return bound;
}

/* part * 100 / whole, exactly, of numbers whose product is none; part < whole < 2^63. */
static int64_t percent_of(uint64_t part, uint64_t whole)
{
    uint64_t rest = 0;
    int64_t percent = 0;

    for (unsigned bit = 64; bit; bit >>= 1) { /* of 100, from the left */
        rest *= 2;
        percent = 2 * percent + (rest >= whole);
        if (rest >= whole) rest -= whole;
        if (!(100 & bit)) continue;
        rest += part;
        percent += rest >= whole;
        if (rest >= whole) rest -= whole;
    }
    return percent;
}

int64_t quota_percent(const struct quota *q, enum quota_resource res)
{
    int64_t limit = q->limits[res], used = q->useds[res] / quota_units[res], percent;

    if (used < 0) return 0;
    if (__builtin_mul_overflow(used / limit, 100, &percent)) return INT64_MAX;
    (void)quota_add(&percent, percent_of((uint64_t)(used % limit), (uint64_t)limit));
    return percent;
}

bool quota_add(int64_t *used, int64_t more)
{
    if (!__builtin_add_overflow(*used, more, used)) return true;
    *used = more > 0 ? INT64_MAX : INT64_MIN;
    return false;
}

static int db_name_to_resource(const char *s, size_t len)
{
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        if (memcaseeq(s, len, quota_db_names[res], strlen(quota_db_names[res]))) return res;
    }
    return -1;
}

/* All that a record holds, as a record without members has it. */
static void clear_values(struct quota *q)
{
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        q->useds[res] = q->scanuseds[res] = 0;
        q->limits[res] = QUOTA_UNLIMITED;
    }
    q->modseq = 0;
    xzfree(q->scanmbox);
}

void quota_init(struct quota *q, const char *root)
{
    q->scanmbox = NULL;
    clear_values(q);
    q->root = xstrdupnull(root);
}

void quota_free(struct quota *q)
{
    xzfree(q->root);
    xzfree(q->scanmbox);
}

static void print_scan(const struct quota *q, struct buf *out)
{
    buf_appendcstr(out, " SCAN %(MBOX ");
    dlist_printstring(out, q->scanmbox, strlen(q->scanmbox), true);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++)
        buf_printf(out, " %s %lld", quota_db_names[res], (long long)q->scanuseds[res]);
    buf_putc(out, ')');
}

void quota_encode(const struct quota *q, struct buf *out)
{
    buf_reset(out);
    buf_appendcstr(out, "%(");
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        buf_printf(out, "%s%s (%lld", res ? " " : "", quota_db_names[res],
                   (long long)q->useds[res]);
        if (q->limits[res] >= 0) buf_printf(out, " %lld", (long long)q->limits[res]);
        buf_putc(out, ')');
    }
    if (q->scanmbox) print_scan(q, out);
    buf_printf(out, " MODSEQ %llu)", (unsigned long long)q->modseq);
}

/* (USED [LIMIT]) */
static bool scan_resource(struct dlist_scan *sc, struct quota *q, int res)
{
    if (!dlist_scan_enter(sc, DLS_LIST) || !dlist_scan_i64(sc, &q->useds[res])) return false;
    enum dlist_token t = dlist_scan_next(sc);
    if (t == DLS_CLOSE) return true;
    if (t != DLS_STRING || parse_i64(sc->s, sc->len, &q->limits[res])) return false;
    if (q->limits[res] < 0) q->limits[res] = QUOTA_UNLIMITED;
    return dlist_scan_close(sc);
}

static bool scan_scan(struct dlist_scan *sc, struct quota *q)
{
    if (!dlist_scan_enter(sc, DLS_KVLIST)) return false;
    while (dlist_scan_key(sc)) {
        int res = db_name_to_resource(sc->s, sc->len);
        bool ok = res >= 0                       ? dlist_scan_i64(sc, &q->scanuseds[res])
                  : dlist_scan_iskey(sc, "MBOX") ? dlist_scan_str(sc, &q->scanmbox)
                                                 : dlist_scan_skip(sc, dlist_scan_next(sc));
        if (!ok) return false;
    }
    return !sc->failed;
}

static bool decode_dlist(struct quota *q, const char *val, size_t len)
{
    struct dlist_scan sc;

    dlist_scan_init(&sc, val, len);
    bool ok = dlist_scan_enter(&sc, DLS_KVLIST);
    while (ok && dlist_scan_key(&sc)) {
        int res = db_name_to_resource(sc.s, sc.len);
        if (res >= 0)
            ok = scan_resource(&sc, q, res);
        else if (dlist_scan_iskey(&sc, "SCAN"))
            ok = scan_scan(&sc, q);
        else if (dlist_scan_iskey(&sc, "MODSEQ"))
            ok = dlist_scan_u64(&sc, &q->modseq);
        else
            ok = dlist_scan_skip(&sc, dlist_scan_next(&sc));
    }
    ok = ok && dlist_scan_atend(&sc);
    dlist_scan_fini(&sc);
    return ok;
}

/* ---- words: USED LIMIT [TEMP] [NAME USED LIMIT [TEMP]]... ---- */

struct word {
    const char *s;
    size_t len;
};

static struct word next_word(const char **p, const char *end)
{
    struct word w;

    while (*p < end && cyr_isspace(**p)) (*p)++;
    w.s = *p;
    while (*p < end && !cyr_isspace(**p)) (*p)++;
    w.len = (size_t)(*p - w.s);
    return w;
}

static bool decode_pair(struct quota *q, int res, struct word used, struct word limit)
{
    if (parse_i64(used.s, used.len, &q->useds[res]) ||
        parse_i64(limit.s, limit.len, &q->limits[res]))
        return false;
    if (q->limits[res] < 0) q->limits[res] = QUOTA_UNLIMITED;
    return true;
}

static bool decode_words(struct quota *q, const char *val, size_t len)
{
    const char *p = val, *end = val + len;
    struct word w = next_word(&p, end);
    int res = QUOTA_STORAGE;

    for (;;) {
        if (!decode_pair(q, res, w, next_word(&p, end))) return false;
        w = next_word(&p, end);
        int64_t temp;
        if (w.len && !parse_i64(w.s, w.len, &temp)) w = next_word(&p, end);
        if (!w.len) return true;
        res = db_name_to_resource(w.s, w.len);
        if (res < 0) return false;
        w = next_word(&p, end);
    }
}

int quota_decode(struct quota *q, const char *val, size_t len)
{
    clear_values(q);
    if (!len || !*val) return IMAP_QUOTAROOT_NONEXISTENT;
    if (*val == '%' ? decode_dlist(q, val, len) : decode_words(q, val, len)) return 0;
    clear_values(q);
    return IMAP_MAILBOX_BADFORMAT;
}
