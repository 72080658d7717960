/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_record -- one element of RECORD: text to record and back
 *
 * Reading is as liberal as 3.6.1 (unknown keys and unknown backslash flags are
 * ignored, a keyword NIL is a keyword), printing as strict. Nothing here decides
 * what a record means; that is the walk and its callers.
 */
#include <config.h>

#include "sync_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dlist.h"
#include "imap_err.h"
#include "mailbox.h"
#include "sync_crc.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Order of the wire. */
static const struct wire_flag {
    const char *name;
    uint32_t system, internal;
} wire_flags[] = {
    { "\\Deleted", FLAG_DELETED, 0 },
    { "\\Answered", FLAG_ANSWERED, 0 },
    { "\\Flagged", FLAG_FLAGGED, 0 },
    { "\\Draft", FLAG_DRAFT, 0 },
    { "\\Expunged", 0, FLAG_INTERNAL_EXPUNGED },
    { "\\Seen", FLAG_SEEN, 0 },
};

/* ---- reading ---- */

static void flag_parse(const char *name, struct sync_record *out)
{
    if (*name != '\\') {
        strarray_add_case(&out->userflags, name);
        return;
    }
    for (size_t i = 0; i < sizeof(wire_flags) / sizeof(*wire_flags); i++) {
        if (strcasecmp(name, wire_flags[i].name)) continue;
        out->rec.system_flags |= wire_flags[i].system;
        out->rec.internal_flags |= wire_flags[i].internal;
        return;
    }
    syslog(LOG_NOTICE, "Unknown system flag: %s", name);
}

int sync_record_parse(const struct dlist *item, struct sync_record *out)
{
    struct index_record *rec = &out->rec;
    struct dlist *flags, *annots = NULL;

    sync_record_init(out);
    if (!dlist_getnum32(item, "UID", &rec->uid) || !dlist_getnum64(item, "MODSEQ", &rec->modseq) ||
        !dlist_getdate(item, "LAST_UPDATED", &rec->last_updated) ||
        !dlist_getdate(item, "INTERNALDATE", &rec->internaldate) ||
        !dlist_getnum32(item, "SIZE", &rec->size) || !dlist_getguid(item, "GUID", &rec->guid) ||
        !dlist_getlist(item, "FLAGS", &flags))
        return IMAP_PROTOCOL_ERROR;
    rec->last_updated = index_time(rec->last_updated);
    rec->internaldate = index_time(rec->internaldate);
    for (const struct dlist *flag = flags->head; flag; flag = flag->next) {
        const char *name;
        flag_parse(dlist_toatom(flag, &name) ? name : "NIL", out);
    }
    if (dlist_getlist(item, "ANNOTATIONS", &annots) && sync_annots_parse(annots, &out->annots, rec))
        return IMAP_PROTOCOL_ERROR;
    return 0;
}

void sync_record_init(struct sync_record *rec)
{
    memset(rec, 0, sizeof(*rec));
    strarray_init(&rec->userflags);
}

void sync_record_fini(struct sync_record *rec)
{
    strarray_fini(&rec->userflags);
    sync_annots_fini(&rec->annots);
}

static struct sync_record *records_new(struct sync_records *records)
{
    if (records->n == records->alloc) {
        records->alloc = records->alloc ? 2 * records->alloc : 16;
        records->v = xrealloc(records->v, records->alloc * sizeof(*records->v));
    }
    return &records->v[records->n++];
}

int sync_records_parse(const struct dlist *list, struct sync_records *out)
{
    for (const struct dlist *item = list ? list->head : NULL; item; item = item->next) {
        struct sync_record *rec = records_new(out);
        int r = sync_record_parse(item, rec);
        if (r) return r;
        if (out->n < 2 || rec[-1].rec.uid != rec->rec.uid) continue;
        sync_record_fini(&rec[-1]);
        rec[-1] = *rec;
        out->n--;
    }
    return 0;
}

void sync_records_fini(struct sync_records *records)
{
    for (size_t i = 0; i < records->n; i++) sync_record_fini(&records->v[i]);
    free(records->v);
    *records = (struct sync_records)SYNC_RECORDS_INITIALIZER;
}

/* ---- from a mailbox ---- */

int sync_record_read(struct mailbox *mailbox, const struct index_record *rec,
                     struct sync_record *out)
{
    const strarray_t *names = mailbox_flagnames(mailbox);

    sync_record_init(out);
    out->rec = *rec;
    for (int slot = 0; slot < 32 * MAX_USER_FLAG_WORDS; slot++) {
        const char *name = index_record_user_flag(rec, slot) ? strarray_nth(names, slot) : NULL;
        if (name) strarray_append(&out->userflags, name);
    }
    return sync_annots_read_message(mailbox, rec->uid, mailbox_index_header(mailbox)->minor_version,
                                    &out->annots);
}

void sync_record_print(const struct sync_record *from, uint32_t minor, struct dlist *list)
{
    const struct index_record *rec = &from->rec;
    struct dlist *item = dlist_newkvlist(list, NULL);

    dlist_setnum32(item, "UID", rec->uid);
    dlist_setnum64(item, "MODSEQ", rec->modseq);
    dlist_setdate(item, "LAST_UPDATED", rec->last_updated);

    struct dlist *flags = dlist_newlist(item, "FLAGS");
    for (size_t i = 0; i < sizeof(wire_flags) / sizeof(*wire_flags); i++)
        if ((rec->system_flags & wire_flags[i].system) ||
            (rec->internal_flags & wire_flags[i].internal))
            dlist_setflag(flags, NULL, wire_flags[i].name);
    for (int i = 0; i < strarray_size(&from->userflags); i++) {
        const char *name = strarray_nth(&from->userflags, i);
        /* bare, it would be read as no value */
        if (!strcmp(name, "NIL"))
            dlist_setatom(flags, NULL, name);
        else
            dlist_setflag(flags, NULL, name);
    }

    dlist_setdate(item, "INTERNALDATE", rec->internaldate);
    dlist_setnum32(item, "SIZE", rec->size);
    dlist_setguid(item, "GUID", &rec->guid);
    sync_annots_print(&from->annots, rec, minor, item);
}

/* ---- comparing and storing ---- */

bool sync_record_same_flags(const struct sync_record *a, const struct sync_record *b)
{
    if ((a->rec.system_flags & FLAGS_SYSTEM) != (b->rec.system_flags & FLAGS_SYSTEM)) return false;
    if (strarray_size(&a->userflags) != strarray_size(&b->userflags)) return false;
    for (int i = 0; i < strarray_size(&a->userflags); i++)
        if (!strarray_contains_case(&b->userflags, strarray_nth(&a->userflags, i))) return false;
    return sync_annots_equal(&a->annots, &b->annots);
}

int sync_record_set_userflags(struct mailbox *mailbox, const strarray_t *names,
                              struct index_record *rec)
{
    memset(rec->user_flags, 0, sizeof(rec->user_flags));
    for (int i = 0; i < strarray_size(names); i++) {
        int slot;
        int r = mailbox_user_flag(mailbox, strarray_nth(names, i), &slot, true, true);
        if (r) return r;
        index_record_set_user_flag(rec, slot, true);
    }
    return 0;
}

static void fit_virtual(struct sync_record *from, uint32_t minor, const char *entry,
                        const char *text, uint64_t value)
{
    if (!value || sync_crc_annotation_isvirtual(entry, minor)) return;
    sync_annots_add(&from->annots, entry, "", text, strlen(text), from->rec.modseq);
}

void sync_record_fit(struct sync_record *from, uint32_t minor, struct index_record *rec)
{
    char text[24];

    snprintf(text, sizeof(text), "%016" PRIx64, from->rec.cid);
    fit_virtual(from, minor, IMAP_ANNOT_NS "thrid", text, from->rec.cid);
    snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)from->rec.savedate);
    fit_virtual(from, minor, IMAP_ANNOT_NS "savedate", text, (uint64_t)from->rec.savedate);
    snprintf(text, sizeof(text), "%" PRIu64, from->rec.createdmodseq);
    fit_virtual(from, minor, IMAP_ANNOT_NS "createdmodseq", text, from->rec.createdmodseq);
    sync_annots_sort(&from->annots);

    const struct sync_annot *snoozed = sync_annots_find(&from->annots, IMAP_ANNOT_NS "snoozed", "");
    rec->internal_flags &= ~FLAG_INTERNAL_SNOOZED;
    if (snoozed && buf_len(&snoozed->value)) rec->internal_flags |= FLAG_INTERNAL_SNOOZED;
}
