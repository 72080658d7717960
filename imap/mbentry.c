/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbentry -- one entry of mailboxes.db and its N and I records
 *
 * Writing gives the bytes of 3.6.1: the fields in its order, absent ones left
 * out. Reading takes any order and skips what it does not know. Text that is no
 * record, an unknown type letter included, is IMAP_MAILBOX_BADFORMAT; the caller
 * knows the key and logs.
 */
#include <config.h>

#include "mbentry.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "mboxname.h"
#include "util.h"
#include "xmalloc.h"

#define MAXHISTORY 10000 /* items of one record; more is garbage */

/* ---- life ---- */

mbentry_t *mbentry_new(const char *name)
{
    mbentry_t *e = xzmalloc(sizeof(*e));

    e->name = xstrdupnull(name);
    return e;
}

static void free_former(struct former_id *f)
{
    free(f->name);
    free(f->partition);
}

void mbentry_free(mbentry_t **entryp)
{
    mbentry_t *e = *entryp;

    if (!e) return;
    free(e->name);
    free(e->uniqueid);
    free(e->partition);
    free(e->server);
    free(e->acl);
    free(e->legacy_specialuse);
    free(e->reason);
    for (size_t i = 0; i < e->nhistory; i++) free_former(&e->history[i]);
    free(e->history);
    xzfree(*entryp);
}

mbentry_t *mbentry_dup(const mbentry_t *entry)
{
    mbentry_t *e = xzmalloc(sizeof(*e));

    *e = *entry;
    e->name = xstrdupnull(entry->name);
    e->uniqueid = xstrdupnull(entry->uniqueid);
    e->partition = xstrdupnull(entry->partition);
    e->server = xstrdupnull(entry->server);
    e->acl = xstrdupnull(entry->acl);
    e->legacy_specialuse = xstrdupnull(entry->legacy_specialuse);
    e->reason = xstrdupnull(entry->reason);
    e->history = entry->nhistory ? xcalloc(entry->nhistory, sizeof(*e->history)) : NULL;
    for (size_t i = 0; i < entry->nhistory; i++) {
        e->history[i] = entry->history[i];
        e->history[i].name = xstrdupnull(entry->history[i].name);
        e->history[i].partition = xstrdupnull(entry->history[i].partition);
    }
    return e;
}

void mbentry_set_acl(mbentry_t *entry, const char *acl)
{
    char *copy = xstrdupnull(acl);

    free(entry->acl);
    entry->acl = copy;
}

static struct former_id *insert_history(mbentry_t *e, size_t at)
{
    e->history = xreallocarray(e->history, e->nhistory + 1, sizeof(*e->history));
    memmove(e->history + at + 1, e->history + at, (e->nhistory - at) * sizeof(*e->history));
    e->nhistory++;
    memset(&e->history[at], 0, sizeof(*e->history));
    return &e->history[at];
}

void mbentry_add_history(mbentry_t *target, const mbentry_t *former)
{
    struct former_id f = { xstrdupnull(former->name),
                           xstrdupnull(former->partition),
                           former->mtime,
                           former->uidvalidity,
                           former->mbtype,
                           former->createdmodseq,
                           former->foldermodseq };

    *insert_history(target, 0) = f;
}

bool mbentry_is_remote(const mbentry_t *entry, const char *servername)
{
    if (entry->mbtype & MBTYPE_REMOTE) return true;
    return entry->server && (!servername || strcmp(entry->server, servername));
}

/* ---- keys ---- */

static void append_dbname(const char *name, struct buf *out)
{
    dbname_t dbname = mboxname_to_dbname(name);

    dbname_append(dbname, out);
    dbname_free(&dbname);
}

void mbentry_key_name(const char *name, struct buf *out)
{
    buf_putc(out, 'N');
    append_dbname(name, out);
}

void mbentry_key_uniqueid(const char *uniqueid, struct buf *out)
{
    buf_putc(out, 'I');
    buf_appendcstr(out, uniqueid);
}

void mbentry_key_racl(bool isuser, const char *identifier, const char *name, struct buf *out)
{
    buf_appendcstr(out, isuser ? "AU\x1e" : "AS\x1e");
    buf_appendcstr(out, identifier);
    buf_putc(out, '\x1e');
    if (name) append_dbname(name, out);
}

/* ---- writing ---- */

static void print_string(struct buf *out, const char *key, const char *value)
{
    if (!value) return;
    buf_appendcstr(out, key);
    dlist_printstring(out, value, strlen(value), true);
}

static void print_number(struct buf *out, const char *key, uint64_t value)
{
    if (value) buf_printf(out, "%s%llu", key, (unsigned long long)value);
}

static void print_dbname(struct buf *out, const char *key, const char *name)
{
    struct buf text = BUF_INITIALIZER;

    if (!name) return;
    append_dbname(name, &text);
    if (buf_len(&text)) print_string(out, key, buf_cstring(&text));
    buf_free(&text);
}

static void print_type(struct buf *out, const char *key, uint32_t mbtype)
{
    char type[MBTYPE_STRING_MAX];

    print_string(out, key, mbtype_to_string(mbtype, type));
}

static void print_common(const mbentry_t *e, time_t mtime, struct buf *out)
{
    print_string(out, " P ", e->partition);
    print_string(out, " S ", e->server);
    print_number(out, " V ", e->uidvalidity);
    print_number(out, " C ", e->createdmodseq);
    print_number(out, " F ", e->foldermodseq);
    buf_printf(out, " M %lld", (long long)mtime);
    if (e->mbtype & MBTYPE_DELETED) print_string(out, " R ", e->reason);
    if (e->acl) {
        buf_appendcstr(out, " A ");
        cyrus_acl_print(e->acl, out);
    }
}

void mbentry_print_n(const mbentry_t *entry, time_t mtime, struct buf *out)
{
    buf_reset(out);
    print_type(out, "%(T ", entry->mbtype);
    print_string(out, " I ", entry->uniqueid);
    print_common(entry, mtime, out);
    buf_putc(out, ')');
}

static void print_former(const struct former_id *f, struct buf *out)
{
    print_dbname(out, "%(N ", f->name);
    print_number(out, " M ", (uint64_t)f->mtime);
    print_number(out, " V ", f->uidvalidity);
    print_number(out, " C ", f->createdmodseq);
    print_number(out, " F ", f->foldermodseq);
    print_type(out, " T ", f->mbtype);
    print_string(out, " P ", f->partition);
    buf_putc(out, ')');
}

void mbentry_print_i(const mbentry_t *entry, time_t mtime, struct buf *out)
{
    buf_reset(out);
    print_type(out, "%(T ", entry->mbtype);
    print_dbname(out, " N ", entry->name);
    print_common(entry, mtime, out);
    buf_appendcstr(out, " H (");
    bool first = true;
    for (size_t i = 0; i < entry->nhistory; i++) {
        if (!entry->history[i].name) continue;
        if (!first) buf_putc(out, ' ');
        print_former(&entry->history[i], out);
        first = false;
    }
    buf_appendcstr(out, "))");
}

/* ---- reading ---- */

static bool scan_type(struct dlist_scan *sc, uint32_t *mbtype)
{
    char *text = NULL;
    bool ok = dlist_scan_str(sc, &text) && (!text || !mbtype_from_string(text, mbtype));

    free(text);
    if (!ok) sc->failed = true;
    return ok;
}

static bool scan_time(struct dlist_scan *sc, time_t *t)
{
    int64_t v;

    if (!dlist_scan_i64(sc, &v)) return false;
    *t = (time_t)v;
    return true;
}

static bool scan_dbname(struct dlist_scan *sc, char **name)
{
    char *dbname = NULL;

    if (!dlist_scan_str(sc, &dbname)) return false;
    free(*name);
    *name = dbname ? mboxname_from_dbname(dbname_of(dbname, strlen(dbname))) : NULL;
    bool ok = !dbname || *name;
    if (!ok) mbname_log_refused("DBERROR: a record of mailboxes.db holds what is no name", dbname, strlen(dbname));
    free(dbname);
    return ok;
}

static bool scan_former(struct dlist_scan *sc, struct former_id *f)
{
    while (dlist_scan_key(sc)) {
        bool ok;
        if (dlist_scan_iskey(sc, "N"))
            ok = scan_dbname(sc, &f->name);
        else if (dlist_scan_iskey(sc, "M"))
            ok = scan_time(sc, &f->mtime);
        else if (dlist_scan_iskey(sc, "V"))
            ok = dlist_scan_u32(sc, &f->uidvalidity);
        else if (dlist_scan_iskey(sc, "C"))
            ok = dlist_scan_u64(sc, &f->createdmodseq);
        else if (dlist_scan_iskey(sc, "F"))
            ok = dlist_scan_u64(sc, &f->foldermodseq);
        else if (dlist_scan_iskey(sc, "T"))
            ok = scan_type(sc, &f->mbtype);
        else if (dlist_scan_iskey(sc, "P"))
            ok = dlist_scan_str(sc, &f->partition);
        else
            ok = dlist_scan_skip(sc, dlist_scan_next(sc));
        if (!ok) return false;
    }
    return !sc->failed;
}

static bool scan_history(struct dlist_scan *sc, mbentry_t *e)
{
    enum dlist_token t;

    if (!dlist_scan_enter(sc, DLS_LIST)) return false;
    while ((t = dlist_scan_next(sc)) == DLS_KVLIST) {
        if (e->nhistory == MAXHISTORY || !scan_former(sc, insert_history(e, e->nhistory)))
            return false;
    }
    return t == DLS_CLOSE;
}

static bool scan_member(struct dlist_scan *sc, mbentry_t *e, bool byid)
{
    if (dlist_scan_iskey(sc, "T")) return scan_type(sc, &e->mbtype);
    if (dlist_scan_iskey(sc, "I"))
        return byid ? dlist_scan_skip(sc, dlist_scan_next(sc)) : dlist_scan_str(sc, &e->uniqueid);
    if (dlist_scan_iskey(sc, "N") && byid) return scan_dbname(sc, &e->name);
    if (dlist_scan_iskey(sc, "P")) return dlist_scan_str(sc, &e->partition);
    if (dlist_scan_iskey(sc, "S")) return dlist_scan_str(sc, &e->server);
    if (dlist_scan_iskey(sc, "V")) return dlist_scan_u32(sc, &e->uidvalidity);
    if (dlist_scan_iskey(sc, "C")) return dlist_scan_u64(sc, &e->createdmodseq);
    if (dlist_scan_iskey(sc, "F")) return dlist_scan_u64(sc, &e->foldermodseq);
    if (dlist_scan_iskey(sc, "M")) return scan_time(sc, &e->mtime);
    if (dlist_scan_iskey(sc, "R")) return dlist_scan_str(sc, &e->reason);
    if (dlist_scan_iskey(sc, "A")) return cyrus_acl_scan(sc, &e->acl);
    if (dlist_scan_iskey(sc, "H")) return scan_history(sc, e);
    return dlist_scan_skip(sc, dlist_scan_next(sc));
}

static int parse_kvlist(mbentry_t *e, bool byid, const char *val, size_t len)
{
    struct dlist_scan sc;

    dlist_scan_init(&sc, val, len);
    bool ok = dlist_scan_enter(&sc, DLS_KVLIST);
    while (ok && dlist_scan_key(&sc)) ok = scan_member(&sc, e, byid);
    ok = ok && dlist_scan_atend(&sc);
    dlist_scan_fini(&sc);
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

/* Hands the entry out, or frees it. */
static int finish(int r, mbentry_t *e, mbentry_t **entryp)
{
    *entryp = NULL;
    if (r)
        mbentry_free(&e);
    else
        *entryp = e;
    return r;
}

int mbentry_parse_n(dbname_t key, const char *val, size_t len, mbentry_t **entryp)
{
    mbentry_t *e = mbentry_new(NULL);

    e->name = mboxname_from_dbname(key);
    int r = e->name ? parse_kvlist(e, false, val, len) : IMAP_MAILBOX_BADFORMAT;
    return finish(r, e, entryp);
}

int mbentry_parse_i(const char *uniqueid, size_t idlen, const char *val, size_t len,
                    mbentry_t **entryp)
{
    mbentry_t *e = mbentry_new(NULL);

    e->uniqueid = xstrndup(uniqueid, idlen);
    int r = idlen && strlen(e->uniqueid) == idlen ? parse_kvlist(e, true, val, len)
                                                  : IMAP_MAILBOX_BADFORMAT;
    if (!r && !e->name) r = IMAP_MAILBOX_BADFORMAT;
    return finish(r, e, entryp);
}

/* ---- formats before 3.6 (handbook 01 §4.9) ---- */

/* "(uniqueid U specialuse S) " before the rest. */
static bool parse_old_ids(mbentry_t *e, const char **p, const char *end)
{
    struct dlist_scan sc;

    if (*p == end || **p != '(') return true;
    dlist_scan_init(&sc, *p, (size_t)(end - *p));
    bool ok = dlist_scan_enter(&sc, DLS_LIST);
    while (ok && dlist_scan_key(&sc)) {
        if (dlist_scan_iskey(&sc, "uniqueid"))
            ok = dlist_scan_str(&sc, &e->uniqueid);
        else if (dlist_scan_iskey(&sc, "specialuse"))
            ok = dlist_scan_str(&sc, &e->legacy_specialuse);
        else
            ok = dlist_scan_skip(&sc, dlist_scan_next(&sc));
    }
    ok = ok && !sc.failed && sc.p < end && *sc.p == ' ';
    *p = sc.p + ok;
    dlist_scan_fini(&sc);
    return ok;
}

/* [server!]partition up to the space, then the ACL. */
static bool parse_old_place(mbentry_t *e, const char *p, const char *end)
{
    const char *space = memchr(p, ' ', (size_t)(end - p));
    if (!space) space = end;
    const char *mark = memchr(p, '!', (size_t)(space - p));

    if (mark) {
        e->server = xstrndup(p, (size_t)(mark - p));
        p = mark + 1;
    }
    if (space > p) e->partition = xstrndup(p, (size_t)(space - p));
    if (space < end)
        e->acl = cyrus_acl_normalise(space + 1, (size_t)(end - space - 1));
    else
        e->acl = xstrdup("");
    return e->acl != NULL;
}

static int parse_old_text(mbentry_t *e, const char *val, size_t len)
{
    const char *p = val, *end = val + len;

    if (memchr(val, '\0', len) || !parse_old_ids(e, &p, end)) return IMAP_MAILBOX_BADFORMAT;
    if (scan_u32(&p, end, &e->mbtype) || p == end || *p != ' ') return IMAP_MAILBOX_BADFORMAT;
    return parse_old_place(e, p + 1, end) ? 0 : IMAP_MAILBOX_BADFORMAT;
}

int mbentry_parse_old(syncname_t name, const char *val, size_t len, mbentry_t **entryp)
{
    mbentry_t *e = mbentry_new(NULL);
    int r = IMAP_MAILBOX_BADFORMAT;

    e->name = mboxname_from_sync(name);
    if (e->name)
        r = len && *val == '%' ? parse_kvlist(e, false, val, len) : parse_old_text(e, val, len);
    if (!r && !e->acl) e->acl = xstrdup(""); /* as the upgrade writes it */
    return finish(r, e, entryp);
}
