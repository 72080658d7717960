/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist_map -- reading a tree of named values from a database record
 *
 * Stands on dlist_scan, so that all readers of records take the same text.
 */
#include <config.h>

#include <string.h>

#include "dlist_int.h"
#include "dlist_scan.h"
#include "imap_err.h"

static struct dlist *scan_value(struct dlist_scan *sc, const struct buf *name, enum dlist_token t);

/* False when a list or kvlist ends; else the next item, NULL for bad text. */
static bool scan_item(struct dlist_scan *sc, enum dlist_type type, struct buf *name,
                      struct dlist **itemp)
{
    enum dlist_token t = dlist_scan_next(sc);

    *itemp = NULL;
    buf_free(name);
    if (t == DLS_CLOSE) return false;
    if (type == DL_KVLIST) {
        if (t != DLS_STRING && t != DLS_NIL) return true;
        if (memchr(sc->s, '\0', sc->len)) return true;
        buf_setmap(name, sc->s, sc->len);
        buf_cstring(name);
        t = dlist_scan_next(sc);
    }
    *itemp = scan_value(sc, name, t);
    return true;
}

static struct dlist *scan_list(struct dlist_scan *sc, const struct buf *name, enum dlist_type type)
{
    struct dlist *list = dlist_node(type, name->s, name->len, NULL, 0), *item;
    struct buf key = BUF_INITIALIZER;

    while (list && scan_item(sc, type, &key, &item)) {
        if (item)
            dlist_stitch(list, item);
        else
            dlist_free(&list);
    }
    buf_free(&key);
    return list;
}

/* NULL: not a value. */
static struct dlist *scan_value(struct dlist_scan *sc, const struct buf *name, enum dlist_token t)
{
    switch (t) {
    case DLS_NIL: return dlist_node(DL_NIL, name->s, name->len, NULL, 0);
    case DLS_STRING:
        return dlist_node(memchr(sc->s, '\0', sc->len) ? DL_BUF : DL_ATOM, name->s, name->len,
                          sc->s, sc->len);
    case DLS_LIST: return scan_list(sc, name, DL_LIST);
    case DLS_KVLIST: return scan_list(sc, name, DL_KVLIST);
    default: return NULL;
    }
}

int dlist_parsemap(struct dlist **dlp, bool parsekeys, const char *base, size_t len)
{
    struct dlist_scan sc;
    struct buf name = BUF_INITIALIZER;

    *dlp = NULL;
    dlist_scan_init(&sc, base, len);
    if (!parsekeys || (dlist_scan_next(&sc) == DLS_STRING && !memchr(sc.s, '\0', sc.len))) {
        if (parsekeys) buf_setmap(&name, sc.s, sc.len);
        *dlp = scan_value(&sc, &name, dlist_scan_next(&sc));
    }
    if (*dlp && !dlist_scan_atend(&sc)) dlist_free(dlp);
    dlist_scan_fini(&sc);
    buf_free(&name);
    return *dlp ? 0 : IMAP_PROTOCOL_ERROR;
}
