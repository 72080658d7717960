/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbname -- the parts of a mailbox name, and its internal, database, user and
 * recipient spellings
 *
 * Reading normalises: empty components and the default domain are dropped, so
 * two spellings of one mailbox have equal parts. A name is "deleted" only if its
 * last component is a time exactly as deletion writes it; any other name below
 * the deleted prefix is an ordinary shared name, so that no two different
 * internal names ever have the same parts. Nothing here fails.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbname_internal.h"
#include "utf7.h"
#include "util.h"
#include "xmalloc.h"

mbname_t *mbname_new(void)
{
    return xzmalloc(sizeof(mbname_t));
}

void mbname_free(mbname_t **mbnamep)
{
    mbname_t *m = *mbnamep;

    if (!m) return;
    free(m->localpart);
    free(m->domain);
    strarray_fini(&m->boxes);
    buf_free(&m->userid);
    buf_free(&m->intname);
    buf_free(&m->dbname);
    buf_free(&m->extname);
    buf_free(&m->recip);
    xzfree(*mbnamep);
}

mbname_t *mbname_dup(const mbname_t *mbname)
{
    mbname_t *m = mbname_new();

    m->localpart = xstrdupnull(mbname->localpart);
    m->domain = xstrdupnull(mbname->domain);
    m->deleted = mbname->deleted;
    strarray_cat(&m->boxes, &mbname->boxes);
    return m;
}

/* ---- reading ---- */

void mbname_split(strarray_t *parts, const char *base, size_t len, char sep, char from, char to)
{
    const char *end = base + len;

    while (base < end) {
        const char *stop = memchr(base, sep, (size_t)(end - base));
        if (!stop) stop = end;
        if (stop > base) {
            char *part = xstrndup(base, (size_t)(stop - base));
            for (char *p = part; from && *p; p++) {
                if (*p == from) *p = to;
            }
            strarray_appendm(parts, part);
        }
        base = stop + 1;
    }
}

/* The time that a deleted name ends in, or 0 for anything that "%X" would not have written
 * (strict). */
static time_t parse_deletion_time(const char *text, bool strict)
{
    size_t len = strlen(text);
    uint64_t v;

    if (len > 15 || text[0] == '0' || parse_hex64(text, len, &v)) return 0;
    for (const char *p = text; strict && *p; p++) {
        if (cyr_islower(*p)) return 0;
    }
    return (time_t)v;
}

void mbname_take_components(mbname_t *mbname, strarray_t *parts, enum deleted_form form)
{
    if (parts->count > 2 && !strcmp(strarray_nth(parts, 0), names_deletedprefix())) {
        time_t when = parse_deletion_time(strarray_nth(parts, -1), form == DELETED_STRICT);
        if (when) {
            free(strarray_shift(parts));
            free(strarray_pop(parts));
            mbname->deleted = when;
        }
    }
    if (parts->count >= 2 && !strcmp(strarray_nth(parts, 0), "user")) {
        free(strarray_shift(parts));
        mbname->localpart = strarray_shift(parts);
    }
    strarray_cat(&mbname->boxes, parts);
    strarray_fini(parts);
}

void mbname_set_domain_len(mbname_t *mbname, const char *domain, size_t len)
{
    const char *def = names_defaultdomain();

    xzfree(mbname->domain);
    if (!len || (strlen(def) == len && !memcmp(def, domain, len))) return;
    mbname->domain = xstrndup(domain, len);
}

static mbname_t *from_name(const char *name, char domainsep, char sep, char from, char to)
{
    mbname_t *m = mbname_new();
    strarray_t parts = STRARRAY_INITIALIZER;

    if (!name) return m;
    const char *mark = strchr(name, domainsep);
    if (mark) {
        mbname_set_domain_len(m, name, (size_t)(mark - name));
        name = mark + 1;
    }
    mbname_split(&parts, name, strlen(name), sep, from, to);
    mbname_take_components(m, &parts, DELETED_STRICT);
    return m;
}

mbname_t *mbname_from_intname(const char *intname)
{
    return from_name(intname, '!', '.', '^', '.');
}

mbname_t *mbname_parse_dbname(const char *dbname)
{
    return from_name(dbname, DB_DOMAINSEP_CHAR, DB_HIERSEP_CHAR, '\0', '\0');
}

mbname_t *mbname_from_localdom(const char *localpart, const char *domain)
{
    mbname_t *m = mbname_new();

    if (localpart && *localpart) m->localpart = xstrdup(localpart);
    if (domain) mbname_set_domain_len(m, domain, strlen(domain));
    return m;
}

mbname_t *mbname_from_userid(const char *userid)
{
    mbname_t *m = mbname_new();

    if (!userid) return m;
    const char *at = strrchr(userid, '@');
    size_t len = at ? (size_t)(at - userid) : strlen(userid);
    if (len) m->localpart = xstrndup(userid, len);
    if (at) mbname_set_domain_len(m, at + 1, strlen(at + 1));
    return m;
}

mbname_t *mbname_from_recip(const char *recip, const struct namespace *ns)
{
    struct names_config cfg;
    mbname_t *m = mbname_from_userid(recip);

    names_config_get(&cfg);
    if (cfg.virtdomains == VIRTDOMAINS_OFF) xzfree(m->domain);
    if (!m->localpart) return m;

    char *plus = strchr(m->localpart, '+');
    if (plus) {
        struct buf boxes = BUF_INITIALIZER;
        /* what is no UTF-8 stays as it is: no mailbox has such a name */
        if (utf8_to_utf7(plus + 1, strlen(plus + 1), &boxes)) buf_setcstr(&boxes, plus + 1);
        bool slash = ns->hier_sep == '/';
        mbname_split(&m->boxes, boxes.s ? boxes.s : "", boxes.len, ns->hier_sep, slash ? '\0' : '^',
                     '.');
        buf_free(&boxes);
        *plus = '\0';
    }
    if (!*m->localpart || !strcmp(m->localpart, cfg.postuser)) xzfree(m->localpart);
    return m;
}

/* ---- parts ---- */

const char *mbname_localpart(const mbname_t *m)
{
    return m->localpart;
}
const char *mbname_domain(const mbname_t *m)
{
    return m->domain;
}
time_t mbname_isdeleted(const mbname_t *m)
{
    return m->deleted;
}
const strarray_t *mbname_boxes(const mbname_t *m)
{
    return &m->boxes;
}

bool mbname_is_inbox(const mbname_t *m)
{
    return m->localpart && !m->boxes.count && !m->deleted;
}

void mbname_set_localpart(mbname_t *m, const char *localpart)
{
    char *copy = localpart && *localpart ? xstrdup(localpart) : NULL;

    free(m->localpart);
    m->localpart = copy;
}

void mbname_set_domain(mbname_t *m, const char *domain)
{
    char *copy = xstrdup(domain ? domain : "");

    mbname_set_domain_len(m, copy, strlen(copy));
    free(copy);
}

void mbname_set_isdeleted(mbname_t *m, time_t when)
{
    m->deleted = when > 0 ? when : 0;
}

void mbname_set_boxes(mbname_t *m, const strarray_t *boxes)
{
    strarray_t copy = STRARRAY_INITIALIZER;

    if (boxes) strarray_cat(&copy, boxes);
    strarray_fini(&m->boxes);
    m->boxes = copy;
}

void mbname_push_boxes(mbname_t *m, const char *box)
{
    if (*box) strarray_append(&m->boxes, box);
}

char *mbname_pop_boxes(mbname_t *m)
{
    return m->boxes.count ? strarray_pop(&m->boxes) : NULL;
}

void mbname_truncate_boxes(mbname_t *m, size_t len)
{
    if ((size_t)m->boxes.count > len) strarray_truncate(&m->boxes, (int)len);
}

void mbname_downcaseuser(mbname_t *m)
{
    if (m->localpart) lcase(m->localpart);
    if (m->domain) {
        char *domain = lcase(xstrdup(m->domain));
        mbname_set_domain(m, domain);
        free(domain);
    }
}

/* ---- spellings ---- */

/* The last spellings are kept in the name itself; that is no change of it. */
static struct buf *fresh(const struct buf *kept)
{
    struct buf *out = (struct buf *)(uintptr_t)kept;

    buf_reset(out);
    return out;
}

void mbname_append_component(struct buf *out, const char *s, char from, char to)
{
    for (; *s; s++) buf_putc(out, *s == from ? to : *s);
}

const char *mbname_userid(const mbname_t *m)
{
    if (!m->localpart) return NULL;
    struct buf *out = fresh(&m->userid);
    buf_appendcstr(out, m->localpart);
    if (m->domain) {
        buf_putc(out, '@');
        buf_appendcstr(out, m->domain);
    }
    return buf_cstring(out);
}

static void join(struct buf *out, size_t start, const char *part, char sep, char from, char to)
{
    if (out->len > start) buf_putc(out, sep);
    mbname_append_component(out, part, from, to);
}

static const char *spell(const mbname_t *m, struct buf *out, char domainsep, char sep, char from,
                         char to)
{
    if (!m->localpart && !m->boxes.count && !m->domain) return NULL;
    if (m->domain) {
        buf_appendcstr(out, m->domain);
        buf_putc(out, domainsep);
    }
    size_t start = out->len;
    if (m->deleted) join(out, start, names_deletedprefix(), sep, '\0', '\0');
    if (m->localpart) {
        join(out, start, "user", sep, '\0', '\0');
        join(out, start, m->localpart, sep, from, to);
    }
    for (int i = 0; i < m->boxes.count; i++)
        join(out, start, strarray_nth(&m->boxes, i), sep, from, to);
    if (m->deleted) {
        char hex[24];
        snprintf(hex, sizeof(hex), "%lX", (unsigned long)m->deleted);
        join(out, start, hex, sep, '\0', '\0');
    }
    return buf_cstring(out);
}

const char *mbname_intname(const mbname_t *m)
{
    return spell(m, fresh(&m->intname), '!', '.', '.', '^');
}

dbname_t mbname_dbname(const mbname_t *m)
{
    struct buf *out = fresh(&m->dbname);
    const char *key = spell(m, out, DB_DOMAINSEP_CHAR, DB_HIERSEP_CHAR, '\0', '\0');

    return dbname_of(key, key ? out->len : 0);
}

const char *mbname_recip(const mbname_t *m, const struct namespace *ns)
{
    struct names_config cfg;
    struct buf *out = fresh(&m->recip);
    struct buf boxes = BUF_INITIALIZER;

    names_config_get(&cfg);
    buf_appendcstr(out, m->localpart ? m->localpart : cfg.postuser);
    for (int i = 0; i < m->boxes.count; i++) {
        if (i) buf_putc(&boxes, ns->hier_sep);
        mbname_append_component(&boxes, strarray_nth(&m->boxes, i), '.',
                                ns->hier_sep == '/' ? '.' : '^');
    }
    if (boxes.len) {
        buf_putc(out, '+');
        if (utf7_to_utf8(boxes.s, boxes.len, out)) buf_append(out, &boxes);
    }
    if (m->domain) {
        buf_putc(out, '@');
        buf_appendcstr(out, m->domain);
    }
    buf_free(&boxes);
    return buf_cstring(out);
}

/* ---- comparing ---- */

bool mbname_same_userid(const mbname_t *a, const mbname_t *b)
{
    return !strcmpnull(a->localpart, b->localpart) && !strcmpnull(a->domain, b->domain);
}

int mbname_common_ancestor_depth(const mbname_t *a, const mbname_t *b)
{
    int n = 0;

    if (!mbname_same_userid(a, b) || a->deleted != b->deleted) return 0;
    while (n < a->boxes.count && n < b->boxes.count &&
           !strcmp(strarray_nth(&a->boxes, n), strarray_nth(&b->boxes, n)))
        n++;
    return n;
}

bool mbname_contains(const mbname_t *a, const mbname_t *b)
{
    return mbname_same_userid(a, b) && a->deleted == b->deleted &&
           mbname_common_ancestor_depth(a, b) == a->boxes.count;
}

int mbname_cmp(const mbname_t *a, const mbname_t *b)
{
    dbname_t da = mbname_dbname(a), db = mbname_dbname(b);

    /* one name may have been given twice; its spelling is then one buffer */
    return a == b ? 0 : strcmpnull(da.key, db.key);
}
