/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist_get -- looking at trees of named values
 *
 * Types are not visible in text, so a getter takes whatever can be read as what was asked
 * for: the whole string must fit. A missing item (NULL) is like NIL.
 */
#include <config.h>

#include <string.h>

#include "dlist_int.h"
#include "util.h"

struct dlist *dlist_getchild(const struct dlist *dl, const char *name)
{
    if (!dl || !name) return NULL;
    for (struct dlist *item = dl->head; item; item = item->next)
        if (item->name && !strcmp(item->name, name)) return item;
    return NULL;
}

struct dlist *dlist_getchildn(const struct dlist *dl, uint32_t n)
{
    struct dlist *item = dl ? dl->head : NULL;

    while (item && n--) item = item->next;
    return item;
}

bool dlist_isnil(const struct dlist *dl)
{
    return !dl || dl->type == DL_NIL;
}

/* Has its text in sval. */
static bool is_text(const struct dlist *dl)
{
    return dl && dl->sval && dl->type != DL_FILE;
}

bool dlist_tomap(const struct dlist *dl, const char **base, size_t *len)
{
    if (!is_text(dl)) return false;
    *base = dl->sval;
    *len = dl->slen;
    return true;
}

bool dlist_toatom(const struct dlist *dl, const char **val)
{
    if (!is_text(dl) || memchr(dl->sval, '\0', dl->slen)) return false;
    *val = dl->sval;
    return true;
}

bool dlist_tonum64(const struct dlist *dl, uint64_t *val)
{
    if (dl && (dl->type == DL_NUM || dl->type == DL_HEX)) {
        *val = dl->nval;
        return true;
    }
    return is_text(dl) && !parse_u64(dl->sval, dl->slen, val);
}

bool dlist_tonum32(const struct dlist *dl, uint32_t *val)
{
    uint64_t n;

    if (!dlist_tonum64(dl, &n)) return false;
    *val = (uint32_t)n;
    return true;
}

bool dlist_tohex64(const struct dlist *dl, uint64_t *val)
{
    if (dl && (dl->type == DL_NUM || dl->type == DL_HEX)) {
        *val = dl->nval;
        return true;
    }
    return is_text(dl) && !parse_hex64(dl->sval, dl->slen, val);
}

bool dlist_todate(const struct dlist *dl, time_t *val)
{
    int64_t n;

    if (!is_text(dl) || parse_i64(dl->sval, dl->slen, &n)) return false;
    *val = (time_t)n;
    return true;
}

bool dlist_toguid(const struct dlist *dl, struct message_guid *val)
{
    return is_text(dl) && message_guid_decode(val, dl->sval, dl->slen);
}

bool dlist_tofile(const struct dlist *dl, const char **partition, const struct message_guid **guid,
                  uint64_t *size, const char **path)
{
    if (!dl || dl->type != DL_FILE) return false;
    if (partition) *partition = dl->extra->partition;
    if (guid) *guid = &dl->extra->guid;
    if (size) *size = dl->nval;
    if (path) *path = dl->sval;
    return true;
}

bool dlist_getatom(const struct dlist *parent, const char *name, const char **val)
{
    return dlist_toatom(dlist_getchild(parent, name), val);
}

bool dlist_getmap(const struct dlist *parent, const char *name, const char **base, size_t *len)
{
    return dlist_tomap(dlist_getchild(parent, name), base, len);
}

bool dlist_getnum32(const struct dlist *parent, const char *name, uint32_t *val)
{
    return dlist_tonum32(dlist_getchild(parent, name), val);
}

bool dlist_getnum64(const struct dlist *parent, const char *name, uint64_t *val)
{
    return dlist_tonum64(dlist_getchild(parent, name), val);
}

bool dlist_gethex64(const struct dlist *parent, const char *name, uint64_t *val)
{
    return dlist_tohex64(dlist_getchild(parent, name), val);
}

bool dlist_getdate(const struct dlist *parent, const char *name, time_t *val)
{
    return dlist_todate(dlist_getchild(parent, name), val);
}

bool dlist_getguid(const struct dlist *parent, const char *name, struct message_guid *val)
{
    return dlist_toguid(dlist_getchild(parent, name), val);
}

bool dlist_getbuf(const struct dlist *parent, const char *name, struct buf *view)
{
    const char *base;
    size_t len;

    if (!dlist_getmap(parent, name, &base, &len)) return false;
    buf_free(view);
    buf_init_ro(view, base, len);
    return true;
}

bool dlist_getlist(const struct dlist *parent, const char *name, struct dlist **val)
{
    struct dlist *dl = dlist_getchild(parent, name);

    if (!dl || (dl->type != DL_LIST && dl->type != DL_KVLIST)) return false;
    *val = dl;
    return true;
}

bool dlist_getfile(const struct dlist *parent, const char *name, const char **partition,
                   const struct message_guid **guid, uint64_t *size, const char **path)
{
    return dlist_tofile(dlist_getchild(parent, name), partition, guid, size, path);
}
