/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist -- building and changing trees of named values
 *
 * One allocation an item: the struct, its name and its text. A changed value is a new
 * item in the old one's place. Nothing here fails; printing, reading and looking
 * are in dlist_print, dlist_parse and dlist_get.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlist_int.h"
#include "util.h"
#include "xmalloc.h"

struct node {
    struct dlist dl;
    char *renamed; /* dl.name, when it is not in text */
    char text[];
};

size_t dlist_nodesize(size_t namelen, size_t len)
{
    return sizeof(struct node) + namelen + len + 2;
}

struct dlist *dlist_node(enum dlist_type type, const char *name, size_t namelen, const char *val,
                         size_t len)
{
    struct node *n = xmalloc(dlist_nodesize(namelen, len));
    char *p = n->text;

    memset(n, 0, sizeof(*n));
    n->dl.type = type;
    if (name) {
        memcpy(p, name, namelen);
        p[namelen] = '\0';
        n->dl.name = p;
        p += namelen + 1;
    }
    if (val) {
        memcpy(p, val, len);
        p[len] = '\0';
        n->dl.sval = p;
        n->dl.slen = len;
    }
    return &n->dl;
}

static size_t lengthof(const char *s)
{
    return s ? strlen(s) : 0;
}

static struct dlist *newitem(struct dlist *parent, enum dlist_type type, const char *name,
                             const char *val, size_t len)
{
    struct dlist *dl = dlist_node(type, name, lengthof(name), val, len);

    if (parent) dlist_stitch(parent, dl);
    return dl;
}

static struct dlist *newtext(struct dlist *parent, enum dlist_type type, const char *name,
                             const char *val)
{
    return newitem(parent, val ? type : DL_NIL, name, val, lengthof(val));
}

struct dlist *dlist_newatom(struct dlist *parent, const char *name, const char *val)
{
    return newtext(parent, DL_ATOM, name, val);
}

struct dlist *dlist_newflag(struct dlist *parent, const char *name, const char *val)
{
    return newtext(parent, DL_FLAG, name, val);
}

struct dlist *dlist_newmap(struct dlist *parent, const char *name, const char *base, size_t len)
{
    return newitem(parent, base ? DL_BUF : DL_NIL, name, base, len);
}

struct dlist *dlist_newnum32(struct dlist *parent, const char *name, uint32_t val)
{
    return dlist_newnum64(parent, name, val);
}

static struct dlist *newnumber(struct dlist *parent, enum dlist_type type, const char *name,
                               uint64_t val, const char *text)
{
    struct dlist *dl = newtext(parent, type, name, text);

    dl->nval = val;
    return dl;
}

struct dlist *dlist_newnum64(struct dlist *parent, const char *name, uint64_t val)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, val);
    return newnumber(parent, DL_NUM, name, val, text);
}

struct dlist *dlist_newhex64(struct dlist *parent, const char *name, uint64_t val)
{
    char text[24];

    snprintf(text, sizeof(text), "%016" PRIx64, val);
    return newnumber(parent, DL_HEX, name, val, text);
}

struct dlist *dlist_newdate(struct dlist *parent, const char *name, time_t val)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, (int64_t)val);
    return newnumber(parent, DL_NUM, name, (uint64_t)val, text);
}

struct dlist *dlist_newguid(struct dlist *parent, const char *name, const struct message_guid *guid)
{
    char text[MESSAGE_GUID_STRLEN];

    if (!guid) return newitem(parent, DL_NIL, name, NULL, 0);
    struct dlist *dl = newtext(parent, DL_GUID, name, message_guid_encode(guid, text));
    dl->extra = xzmalloc(sizeof(*dl->extra));
    dl->extra->guid = *guid;
    return dl;
}

struct dlist *dlist_newlist(struct dlist *parent, const char *name)
{
    return newitem(parent, DL_LIST, name, NULL, 0);
}

struct dlist *dlist_newkvlist(struct dlist *parent, const char *name)
{
    return newitem(parent, DL_KVLIST, name, NULL, 0);
}

struct dlist *dlist_filenode(const char *name, const char *partition,
                             const struct message_guid *guid, uint64_t size, const char *path)
{
    struct dlist *dl = dlist_node(DL_FILE, name, lengthof(name), path, lengthof(path));

    dl->nval = size;
    dl->extra = xzmalloc(sizeof(*dl->extra));
    dl->extra->guid = *guid;
    dl->extra->partition = xstrdup(partition);
    return dl;
}

struct dlist *dlist_newfile(struct dlist *parent, const char *name, const char *partition,
                            const struct message_guid *guid, uint64_t size, const char *path)
{
    struct dlist *dl = dlist_filenode(name, partition, guid, size, path);

    if (parent) dlist_stitch(parent, dl);
    return dl;
}

struct dlist *dlist_newfilebuf(struct dlist *parent, const char *name, const char *partition,
                               const struct message_guid *guid, struct buf *data)
{
    struct dlist *dl = dlist_newfile(parent, name, partition, guid, data->len, NULL);

    buf_move(&dl->extra->data, data);
    return dl;
}

/* ---- changing ---- */

void dlist_stitch(struct dlist *parent, struct dlist *child)
{
    child->next = NULL;
    if (parent->tail)
        parent->tail->next = child;
    else
        parent->head = child;
    parent->tail = child;
    parent->nchildren++;
}

void dlist_unstitch(struct dlist *parent, struct dlist *child)
{
    struct dlist *prev = NULL, *at = parent->head;

    for (; at && at != child; at = at->next) prev = at;
    if (!at) return;
    if (prev)
        prev->next = child->next;
    else
        parent->head = child->next;
    if (parent->tail == child) parent->tail = prev;
    parent->nchildren--;
    child->next = NULL;
}

/* item, a root, takes the place of the child of its name. */
static struct dlist *put(struct dlist *parent, struct dlist *item)
{
    struct dlist *old = dlist_getchild(parent, item->name), **link = &parent->head;

    if (!old) {
        dlist_stitch(parent, item);
        return item;
    }
    while (*link != old) link = &(*link)->next;
    *link = item;
    item->next = old->next;
    if (parent->tail == old) parent->tail = item;
    old->next = NULL;
    dlist_free(&old);
    return item;
}

struct dlist *dlist_updateatom(struct dlist *parent, const char *name, const char *val)
{
    return put(parent, dlist_newatom(NULL, name, val));
}

struct dlist *dlist_updatenum64(struct dlist *parent, const char *name, uint64_t val)
{
    return put(parent, dlist_newnum64(NULL, name, val));
}

struct dlist *dlist_updatehex64(struct dlist *parent, const char *name, uint64_t val)
{
    return put(parent, dlist_newhex64(NULL, name, val));
}

struct dlist *dlist_updatemap(struct dlist *parent, const char *name, const char *base, size_t len)
{
    return put(parent, dlist_newmap(NULL, name, base, len));
}

void dlist_rename(struct dlist *dl, const char *name)
{
    struct node *n = (struct node *)dl;
    char *renamed = xstrdupnull(name);

    free(n->renamed);
    n->renamed = renamed;
    dl->name = renamed;
}

struct dlist *dlist_dup(const struct dlist *dl)
{
    struct dlist *copy = dlist_node(dl->type, dl->name, lengthof(dl->name), dl->sval, dl->slen);

    copy->nval = dl->nval;
    if (dl->extra) {
        copy->extra = xzmalloc(sizeof(*copy->extra));
        copy->extra->guid = dl->extra->guid;
        copy->extra->partition = xstrdupnull(dl->extra->partition);
    }
    for (const struct dlist *item = dl->head; item; item = item->next)
        dlist_stitch(copy, dlist_dup(item));
    return copy;
}

/* No deeper than the tree, which readers limit. */
static void free_tree(struct dlist *dl)
{
    struct dlist *next;

    for (struct dlist *item = dl->head; item; item = next) {
        next = item->next;
        free_tree(item);
    }
    if (dl->extra) {
        free(dl->extra->partition);
        buf_free(&dl->extra->data);
        free(dl->extra);
    }
    free(((struct node *)dl)->renamed);
    free(dl);
}

void dlist_free(struct dlist **dlp)
{
    if (*dlp) free_tree(*dlp);
    *dlp = NULL;
}
