/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sub_entry -- records of subhistory, and how two histories become one (doc/subhistory.md)
 *
 * Nothing here knows a file or a clock.
 */
#include <config.h>

#include "sub_entry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "crc32.h"
#include "digest.h"
#include "imap_err.h"
#include "util.h"
#include "xmalloc.h"

#define UNIQUEID_MAX 128

/* ---- the value ---- */

bool sub_uniqueid_isvalid(const char *uniqueid)
{
    size_t len = strlen(uniqueid);

    if (!len || len > UNIQUEID_MAX) return false;
    for (const char *p = uniqueid; *p; p++)
        if (*p <= ' ' || *p > '~') return false;
    return true;
}

void sub_entry_encode(const struct sub_entry *e, struct buf *out)
{
    buf_reset(out);
    buf_printf(out, "1 %s %" PRIu64, e->on ? "on" : "off", e->stamp);
    if (e->uniqueid) buf_printf(out, " %s", e->uniqueid);
}

static bool take_word(const char **p, const char *end, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(end - *p) < len || memcmp(*p, word, len) != 0) return false;
    *p += len;
    return true;
}

int sub_entry_decode(const char *val, size_t len, struct sub_entry *e)
{
    const char *p = val, *end = val + len;
    char *uniqueid = NULL;
    uint64_t stamp;

    if (!take_word(&p, end, "1 ")) return IMAP_MAILBOX_BADFORMAT;
    bool on = take_word(&p, end, "on ");
    if (!on && !take_word(&p, end, "off ")) return IMAP_MAILBOX_BADFORMAT;
    if (scan_u64(&p, end, &stamp) || stamp > SUB_STAMP_MAX) return IMAP_MAILBOX_BADFORMAT;
    if (p < end) {
        if (*p++ != ' ' || memchr(p, '\0', (size_t)(end - p))) return IMAP_MAILBOX_BADFORMAT;
        uniqueid = xstrndup(p, (size_t)(end - p));
        if (!sub_uniqueid_isvalid(uniqueid)) {
            free(uniqueid);
            return IMAP_MAILBOX_BADFORMAT;
        }
    }
    free(e->uniqueid);
    e->on = on;
    e->stamp = stamp;
    e->uniqueid = uniqueid;
    return 0;
}

/* ---- which holds ---- */

int sub_entry_cmp(const struct sub_entry *a, const struct sub_entry *b)
{
    if (a->stamp != b->stamp) return a->stamp < b->stamp ? -1 : 1;
    if (a->on != b->on) return a->on ? 1 : -1;
    return strcmp(a->uniqueid ? a->uniqueid : "", b->uniqueid ? b->uniqueid : "");
}

/* ---- lists ---- */

/* Where the name is, or would be. */
static size_t place_of(const struct sub_list *list, const char *name, bool *found)
{
    size_t lo = 0, hi = list->n;

    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(list->v[mid].name, name);
        if (!c) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct sub_entry *sub_list_find(const struct sub_list *list, const char *name)
{
    bool found;
    size_t i = place_of(list, name, &found);

    return found ? &list->v[i] : NULL;
}

void sub_list_set(struct sub_list *list, const struct sub_entry *e)
{
    bool found;
    size_t i = place_of(list, e->name, &found);
    char *uniqueid = xstrdupnull(e->uniqueid);

    if (!found) {
        if (list->n == list->alloc) {
            list->alloc = list->alloc ? list->alloc * 2 : 16;
            list->v = xrealloc(list->v, list->alloc * sizeof(*list->v));
        }
        memmove(&list->v[i + 1], &list->v[i], (list->n - i) * sizeof(*list->v));
        list->n++;
        list->v[i] = (struct sub_entry){ .name = xstrdup(e->name) };
    }
    free(list->v[i].uniqueid);
    list->v[i].on = e->on;
    list->v[i].stamp = e->stamp;
    list->v[i].uniqueid = uniqueid;
}

bool sub_list_merge(struct sub_list *list, const struct sub_entry *e)
{
    const struct sub_entry *old = sub_list_find(list, e->name);

    if (old && sub_entry_cmp(e, old) <= 0) return false;
    sub_list_set(list, e);
    return true;
}

void sub_list_fini(struct sub_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->v[i].name);
        free(list->v[i].uniqueid);
    }
    free(list->v);
    *list = (struct sub_list)SUB_LIST_INITIALIZER;
}

/* ---- comparing two ends ---- */

unsigned sub_class(const char *name)
{
    return crc32_cstring(name) % SUB_CLASSES;
}

void sub_list_digest(const struct sub_list *list, struct buf *out)
{
    struct buf text[SUB_CLASSES] = { BUF_INITIALIZER };
    struct buf value = BUF_INITIALIZER;

    for (size_t i = 0; i < list->n; i++) {
        struct buf *b = &text[sub_class(list->v[i].name)];
        buf_appendcstr(b, list->v[i].name);
        buf_putc(b, '\0');
        sub_entry_encode(&list->v[i], &value);
        buf_append(b, &value);
        buf_putc(b, '\0');
    }
    buf_reset(out);
    for (unsigned i = 0; i < SUB_CLASSES; i++) {
        unsigned char sha1[SHA1_SIZE] = { 0 };
        char hex[2 * SHA1_SIZE + 1];
        if (buf_len(&text[i])) digest_sha1(buf_base(&text[i]), buf_len(&text[i]), sha1);
        bin_to_hex(sha1, sizeof(sha1), hex);
        buf_appendmap(out, hex, SUB_CLASS_DIGITS);
        buf_free(&text[i]);
    }
    buf_free(&value);
}

static bool is_digest(const char *s)
{
    return strlen(s) == SUB_DIGEST_LEN && strspn(s, "0123456789abcdef") == SUB_DIGEST_LEN;
}

bool sub_digest_differ(const char *a, const char *b, unsigned *classes)
{
    *classes = 0;
    if (!is_digest(a) || !is_digest(b)) return false;
    for (unsigned i = 0; i < SUB_CLASSES; i++) {
        size_t at = (size_t)i * SUB_CLASS_DIGITS;
        if (memcmp(a + at, b + at, SUB_CLASS_DIGITS) != 0) *classes |= 1u << i;
    }
    return true;
}

void sub_list_compare(const struct sub_list *ours, const struct sub_list *theirs, unsigned classes,
                      struct sub_list *take, struct sub_list *give)
{
    for (size_t i = 0; i < theirs->n; i++) {
        const struct sub_entry *other = &theirs->v[i], *own = sub_list_find(ours, other->name);
        if (!own || sub_entry_cmp(own, other) < 0) sub_list_set(take, other);
    }
    for (size_t i = 0; i < ours->n; i++) {
        const struct sub_entry *own = &ours->v[i], *other = sub_list_find(theirs, own->name);
        if (!(classes & (1u << sub_class(own->name)))) continue;
        if (!other || sub_entry_cmp(own, other) > 0) sub_list_set(give, own);
    }
}

/* ---- a mailbox under two names ---- */

static const struct sub_entry *last_word(const struct sub_list *list, const char *uniqueid)
{
    const struct sub_entry *best = NULL;

    for (size_t i = 0; i < list->n; i++) {
        const struct sub_entry *e = &list->v[i];
        if (e->uniqueid && !strcmp(e->uniqueid, uniqueid) && (!best || sub_entry_cmp(e, best) > 0))
            best = e;
    }
    return best;
}

static void say(struct sub_list *merged, struct sub_list *take, struct sub_list *give, const char *name, bool on,
                uint64_t stamp, const char *uniqueid)
{
    struct sub_entry e = { xstrdup(name), on, stamp, xstrdup(uniqueid) };

    sub_list_set(merged, &e);
    sub_list_set(take, &e);
    sub_list_set(give, &e);
    free(e.name);
    free(e.uniqueid);
}

/* All other names of the mailbox are given up, the one that it has now gets what was said last. */
static void follow_one(struct sub_list *merged, struct sub_list *take, struct sub_list *give, uint64_t *stamp,
                       const struct sub_entry *last, const char *nowname)
{
    const struct sub_entry *at = sub_list_find(merged, nowname);

    /* nobody has spoken of the name that it has now: names stay as they are */
    if (!at || strcmpnull(at->uniqueid, last->uniqueid)) return;
    char *uniqueid = xstrdup(last->uniqueid);
    bool on = last->on, changes = at->on != on;
    for (size_t i = 0; i < merged->n; i++) {
        const struct sub_entry *e = &merged->v[i];
        if (!e->on || strcmpnull(e->uniqueid, uniqueid) || !strcmp(e->name, nowname)) continue;
        char *left = xstrdup(e->name);
        say(merged, take, give, left, false, (*stamp)++, uniqueid);
        changes = true;
        free(left);
    }
    if (changes) say(merged, take, give, nowname, on, (*stamp)++, uniqueid);
    free(uniqueid);
}

void sub_list_follow(struct sub_list *merged, struct sub_list *take, struct sub_list *give, uint64_t stamp,
                     sub_name_now *now, void *rock)
{
    size_t n = take->n;
    char **ids = n ? xzmalloc(n * sizeof(*ids)) : NULL;

    for (size_t i = 0; i < n; i++) ids[i] = xstrdupnull(take->v[i].uniqueid);
    for (size_t i = 0; i < n; i++) {
        const struct sub_entry *a = ids[i] ? last_word(take, ids[i]) : NULL;
        const struct sub_entry *b = a ? last_word(give, ids[i]) : NULL;
        if (!b || !strcmp(a->name, b->name)) continue;
        const struct sub_entry *last = last_word(merged, ids[i]);
        char *nowname = last ? now(ids[i], rock) : NULL;
        if (nowname) follow_one(merged, take, give, &stamp, last, nowname);
        free(nowname);
    }
    for (size_t i = 0; i < n; i++) free(ids[i]);
    free(ids);
}
