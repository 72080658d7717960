/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_header -- the bytes of cyrus.header, all versions
 *
 * The whole rest of the file after the magic is read, so that a literal does not
 * hide what follows (handbook 02 §2.2, Weakness). Anything that is none of the
 * three forms, an unknown type letter and more than 128 flags included, is
 * IMAP_MAILBOX_BADFORMAT; the caller knows the file and logs. Only the bytes of a refused name are logged here.
 */
#include <config.h>

#include "mailbox_header.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "mboxname.h"
#include "mbtype.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char magic[] = "\xa1\x02\x8b\x0d"
                            "Cyrus mailbox header\n"
                            "\"The best thing about this system was that it had lots of goals.\"\n"
                            "\t--Jim Morris on Andrew\n";
_Static_assert(sizeof(magic) - 1 == MAILBOX_HEADER_MAGIC_SIZE, "size of the magic");

void mailbox_header_init(struct mailbox_header *h)
{
    *h = (struct mailbox_header)MAILBOX_HEADER_INITIALIZER;
}

void mailbox_header_fini(struct mailbox_header *h)
{
    free(h->name);
    free(h->uniqueid);
    free(h->quotaroot);
    free(h->acl);
    strarray_fini(&h->flags);
    mailbox_header_init(h);
}

void mailbox_header_copy(struct mailbox_header *dst, const struct mailbox_header *src)
{
    if (dst == src) return;
    mailbox_header_fini(dst);
    dst->name = xstrdupnull(src->name);
    dst->uniqueid = xstrdupnull(src->uniqueid);
    dst->mbtype = src->mbtype;
    dst->quotaroot = xstrdupnull(src->quotaroot);
    dst->acl = xstrdupnull(src->acl);
    dst->format = src->format;
    for (int i = 0; i < src->flags.count; i++)
        strarray_set(&dst->flags, i, strarray_nth(&src->flags, i));
}

/* Free slots at the end are no slots. */
static void cut_free_slots(strarray_t *flags)
{
    while (flags->count && !strarray_nth(flags, -1)) strarray_truncate(flags, flags->count - 1);
}

/* ---- dlist form ---- */

static bool scan_type(struct dlist_scan *sc, uint32_t *mbtype)
{
    char *text = NULL;
    bool ok = dlist_scan_str(sc, &text) && (!text || !mbtype_from_string(text, mbtype));

    free(text);
    return ok;
}

static bool scan_flags(struct dlist_scan *sc, strarray_t *flags)
{
    enum dlist_token t;
    int slot = 0;

    strarray_fini(flags);
    if (!dlist_scan_enter(sc, DLS_LIST)) return false;
    while ((t = dlist_scan_next(sc)) == DLS_STRING || t == DLS_NIL) {
        if (slot == MAX_USER_FLAGS || memchr(sc->s, '\0', sc->len)) return false;
        if (t == DLS_STRING && sc->len) strarray_setm(flags, slot, xstrndup(sc->s, sc->len));
        slot++;
    }
    return t == DLS_CLOSE;
}

static bool refused(const char *base, size_t len)
{
    mbname_log_refused("IOERROR: a mailbox header holds bytes that are no name", base, len);
    return false;
}

/* The name, which is compared with mailboxes.db and shown: bytes that are none are refused. */
static bool scan_name(struct dlist_scan *sc, char **name)
{
    if (!dlist_scan_str(sc, name)) return false;
    if (!*name || !**name) return true;
    mbname_t *m = mbname_from_sync(syncname_of(*name, strlen(*name)));
    bool ok = m != NULL;
    mbname_free(&m);
    return ok || refused(*name, strlen(*name));
}

static bool root_ok(const char *base, size_t len)
{
    return !len || mbname_isquotaroot(syncname_of(base, len)) || refused(base, len);
}

static bool scan_root(struct dlist_scan *sc, char **root)
{
    return dlist_scan_str(sc, root) && (!*root || root_ok(*root, strlen(*root)));
}

static bool scan_member(struct dlist_scan *sc, struct mailbox_header *h)
{
    if (dlist_scan_iskey(sc, "T")) return scan_type(sc, &h->mbtype);
    if (dlist_scan_iskey(sc, "N")) return scan_name(sc, &h->name);
    if (dlist_scan_iskey(sc, "I")) return dlist_scan_str(sc, &h->uniqueid);
    if (dlist_scan_iskey(sc, "Q")) return scan_root(sc, &h->quotaroot);
    if (dlist_scan_iskey(sc, "A")) return cyrus_acl_scan(sc, &h->acl);
    if (dlist_scan_iskey(sc, "U")) return scan_flags(sc, &h->flags);
    return dlist_scan_skip(sc, dlist_scan_next(sc));
}

static bool parse_dlist(struct mailbox_header *h, const char *base, size_t len)
{
    struct dlist_scan sc;
    bool ok;

    dlist_scan_init(&sc, base, len);
    ok = dlist_scan_enter(&sc, DLS_KVLIST);
    while (ok && dlist_scan_key(&sc)) ok = scan_member(&sc, h);
    ok = ok && dlist_scan_atend(&sc);
    dlist_scan_fini(&sc);
    return ok;
}

/* ---- text form ---- */

struct line {
    const char *s;
    size_t len;
};

/* The bytes up to LF; false when there is no whole line. */
static bool next_line(const char **p, const char *end, struct line *line)
{
    const char *lf = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;

    if (!lf) return false;
    line->s = *p;
    line->len = (size_t)(lf - *p);
    *p = lf + 1;
    return !memchr(line->s, '\0', line->len);
}

static bool parse_first_line(struct mailbox_header *h, const struct line *line)
{
    const char *tab = memchr(line->s, '\t', line->len);
    size_t rootlen = tab ? (size_t)(tab - line->s) : line->len;

    if (!root_ok(line->s, rootlen)) return false;
    if (rootlen) h->quotaroot = xstrndup(line->s, rootlen);
    h->format = tab ? MAILBOX_HEADER_TEXT : MAILBOX_HEADER_OLDEST;
    if (!tab) return true;

    const char *id = tab + 1, *end = line->s + line->len;
    const char *stop = memchr(id, '\t', (size_t)(end - id));
    if (!stop) stop = end;
    if (stop == id) return false;
    h->uniqueid = xstrndup(id, (size_t)(stop - id));
    return true;
}

static bool parse_flag_line(strarray_t *flags, const struct line *line)
{
    const char *p = line->s, *end = line->s + line->len;

    for (int slot = 0; p < end; slot++) {
        const char *stop = memchr(p, ' ', (size_t)(end - p));
        if (!stop) stop = end;
        if (stop > p) {
            if (slot >= MAX_USER_FLAGS) return false;
            strarray_setm(flags, slot, xstrndup(p, (size_t)(stop - p)));
        }
        p = stop + 1;
    }
    return true;
}

static bool parse_text(struct mailbox_header *h, const char *base, size_t len)
{
    const char *p = base, *end = base + len;
    struct line line;

    if (!next_line(&p, end, &line) || !parse_first_line(h, &line)) return false;
    if (!next_line(&p, end, &line) || !parse_flag_line(&h->flags, &line)) return false;
    if (!next_line(&p, end, &line)) return false;
    h->acl = cyrus_acl_normalise(line.s, line.len);
    return h->acl != NULL;
}

int mailbox_header_parse(struct mailbox_header *h, const char *base, size_t len)
{
    mailbox_header_fini(h);
    if (len <= MAILBOX_HEADER_MAGIC_SIZE || memcmp(base, magic, MAILBOX_HEADER_MAGIC_SIZE))
        return IMAP_MAILBOX_BADFORMAT;

    base += MAILBOX_HEADER_MAGIC_SIZE;
    len -= MAILBOX_HEADER_MAGIC_SIZE;
    if (*base == '%' ? parse_dlist(h, base, len) : parse_text(h, base, len)) {
        cut_free_slots(&h->flags);
        return 0;
    }
    mailbox_header_fini(h);
    return IMAP_MAILBOX_BADFORMAT;
}

/* ---- writing ---- */

static void print_string(struct buf *out, const char *key, const char *value)
{
    buf_appendcstr(out, key);
    if (value)
        dlist_printstring(out, value, strlen(value), true);
    else
        buf_appendcstr(out, "NIL");
}

static void print_flags(struct buf *out, const strarray_t *flags)
{
    int last = flags->count;

    while (last && !strarray_nth(flags, last - 1)) last--;
    if (!last) return;
    for (int i = 0; i < last; i++) print_string(out, i ? " " : " U (", strarray_nth(flags, i));
    buf_putc(out, ')');
}

void mailbox_header_print(const struct mailbox_header *h, struct buf *out)
{
    char type[MBTYPE_STRING_MAX];

    buf_reset(out);
    buf_appendmap(out, magic, MAILBOX_HEADER_MAGIC_SIZE);
    print_string(out, "%(T ", mbtype_to_string(h->mbtype, type));
    print_string(out, " N ", h->name);
    print_string(out, " I ", h->uniqueid);
    if (h->quotaroot) print_string(out, " Q ", h->quotaroot);
    if (h->acl) {
        buf_appendcstr(out, " A ");
        cyrus_acl_print(h->acl, out);
    }
    print_flags(out, &h->flags);
    buf_appendcstr(out, ")\n");
}

/* ---- flags ---- */

bool mailbox_flag_isvalid(const char *name)
{
    if (!*name) return false;
    for (; *name; name++) {
        if (*name <= ' ' || *name >= 0x7f || strchr("\"%()*\\{", *name)) return false;
    }
    return true;
}

int mailbox_header_find_flag(const struct mailbox_header *h, const char *name)
{
    for (int i = 0; i < h->flags.count; i++) {
        const char *flag = strarray_nth(&h->flags, i);
        if (flag && !cyr_strcasecmp(flag, name)) return i;
    }
    return -1;
}

int mailbox_header_add_flag(struct mailbox_header *h, const char *name, int limit, int *slot,
                            bool *isnew)
{
    int i = mailbox_header_find_flag(h, name);

    if (isnew) *isnew = i < 0;
    if (i < 0) {
        if (!mailbox_flag_isvalid(name)) return IMAP_INVALID_IDENTIFIER;
        for (i = 0; i < h->flags.count && strarray_nth(&h->flags, i); i++) continue;
        if (i >= limit || i >= MAX_USER_FLAGS) return IMAP_USERFLAG_EXHAUSTED;
        strarray_set(&h->flags, i, name);
    }
    *slot = i;
    return 0;
}

void mailbox_header_remove_flag(struct mailbox_header *h, int slot)
{
    if (slot < 0 || slot >= h->flags.count) return;
    strarray_set(&h->flags, slot, NULL);
    cut_free_slots(&h->flags);
}
