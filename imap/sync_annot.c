/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_annot -- the annotations of a mailbox or a message as replication carries them
 *
 * Pure part: sets in memory and on the wire. Order is part of the promise: two ends
 * that hold the same annotations print the same text.
 */
#include <config.h>

#include "sync_annot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "sync_crc.h"
#include "xmalloc.h"

/* ---- sets ---- */

void sync_annots_add(struct sync_annots *set, const char *entry, const char *userid,
                     const char *base, size_t len, modseq_t modseq)
{
    if (set->n == set->alloc) {
        set->alloc = set->alloc ? 2 * set->alloc : 4;
        set->v = xrealloc(set->v, set->alloc * sizeof(*set->v));
    }
    struct sync_annot *a = &set->v[set->n++];
    *a = (struct sync_annot){ xstrdup(entry), xstrdup(userid), BUF_INITIALIZER, modseq };
    buf_setmap(&a->value, base, len);
}

static int annot_cmp(const void *pa, const void *pb)
{
    const struct sync_annot *a = pa, *b = pb;
    int r = strcmp(a->entry, b->entry);

    if (!r) r = strcmp(a->userid, b->userid);
    return r ? r : buf_cmp(&a->value, &b->value);
}

void sync_annots_sort(struct sync_annots *set)
{
    if (set->n > 1) qsort(set->v, set->n, sizeof(*set->v), annot_cmp);
}

void sync_annots_fini(struct sync_annots *set)
{
    for (size_t i = 0; i < set->n; i++) {
        free(set->v[i].entry);
        free(set->v[i].userid);
        buf_free(&set->v[i].value);
    }
    free(set->v);
    *set = (struct sync_annots)SYNC_ANNOTS_INITIALIZER;
}

const struct sync_annot *sync_annots_find(const struct sync_annots *set, const char *entry,
                                          const char *userid)
{
    for (size_t i = 0; i < set->n; i++)
        if (!strcmp(set->v[i].entry, entry) && !strcmp(set->v[i].userid, userid)) return &set->v[i];
    return NULL;
}

bool sync_annots_equal(const struct sync_annots *a, const struct sync_annots *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (annot_cmp(&a->v[i], &b->v[i])) return false;
    return true;
}

/* ---- the wire ---- */

/* Takes a virtual annotation into the record; false: it is none. A number that is none counts as 0. */
static bool annot_tovirtual(const char *entry, const char *value, struct index_record *rec)
{
    if (strncmp(entry, IMAP_ANNOT_NS, strlen(IMAP_ANNOT_NS))) return false;
    entry += strlen(IMAP_ANNOT_NS);
    if (!strcmp(entry, "thrid")) {
        rec->cid = strtoull(value, NULL, 16);
    }
    else if (!strcmp(entry, "savedate")) {
        rec->savedate = index_time((time_t)strtoull(value, NULL, 10));
    }
    else if (!strcmp(entry, "createdmodseq")) {
        rec->createdmodseq = strtoull(value, NULL, 10);
    }
    else {
        return false;
    }
    return true;
}

static int annot_parse(const struct dlist *item, struct sync_annots *set, struct index_record *rec)
{
    const char *entry, *userid;
    struct buf value = BUF_INITIALIZER;
    modseq_t modseq;

    if (!dlist_getatom(item, "ENTRY", &entry) || !dlist_getatom(item, "USERID", &userid) ||
        !dlist_getnum64(item, "MODSEQ", &modseq) || !dlist_getbuf(item, "VALUE", &value))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (rec && !*userid) {
        struct buf text = BUF_INITIALIZER;
        buf_copy(&text, &value);
        bool isvirtual = annot_tovirtual(entry, buf_cstring(&text), rec);
        buf_free(&text);
        if (isvirtual) return 0;
    }
    sync_annots_add(set, entry, userid, buf_base(&value), buf_len(&value), modseq);
    return 0;
}

int sync_annots_parse(const struct dlist *list, struct sync_annots *set, struct index_record *rec)
{
    if (!list) return 0;
    for (const struct dlist *item = list->head; item; item = item->next) {
        int r = annot_parse(item, set, rec);
        if (r) return r;
    }
    sync_annots_sort(set);
    return 0;
}

static void annot_print(const char *entry, const char *userid, modseq_t modseq, const char *base,
                        size_t len, struct dlist *list)
{
    struct dlist *item = dlist_newkvlist(list, NULL);

    dlist_setatom(item, "ENTRY", entry);
    dlist_setatom(item, "USERID", userid);
    dlist_setnum64(item, "MODSEQ", modseq);
    dlist_setmap(item, "VALUE", base, len);
}

static void virtual_print(const char *entry, const char *fmt, uint64_t value, uint32_t minor,
                          struct dlist *list)
{
    char text[24];

    if (!value || !sync_crc_annotation_isvirtual(entry, minor)) return;
    int len = *fmt == 'x' ? snprintf(text, sizeof(text), "%016" PRIx64, value)
                          : snprintf(text, sizeof(text), "%" PRIu64, value);
    annot_print(entry, "", 0, text, (size_t)len, list);
}

void sync_annots_print(const struct sync_annots *set, const struct index_record *rec,
                       uint32_t minor, struct dlist *parent)
{
    struct dlist *list = dlist_newlist(NULL, "ANNOTATIONS");

    for (size_t i = 0; i < set->n; i++) {
        const struct sync_annot *a = &set->v[i];
        annot_print(a->entry, a->userid, rec ? a->modseq : 0, buf_base(&a->value),
                    buf_len(&a->value), list);
    }
    if (rec) {
        virtual_print(IMAP_ANNOT_NS "thrid", "x", rec->cid, minor, list);
        virtual_print(IMAP_ANNOT_NS "savedate", "d", (uint64_t)rec->savedate, minor, list);
        virtual_print(IMAP_ANNOT_NS "createdmodseq", "d", rec->createdmodseq, minor, list);
    }
    if (list->head)
        dlist_stitch(parent, list);
    else
        dlist_free(&list);
}
