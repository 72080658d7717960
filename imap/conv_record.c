/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conv_record -- the B record: one conversation (handbook 01 §5.6)
 *
 * 1 (MODSEQ NUMRECORDS EXISTS UNSEEN (COUNT...) ((FOLDERNUM MODSEQ NUMRECORDS EXISTS UNSEEN)...)
 *    ((NAME ROUTE MAILBOX DOMAIN LASTSEEN EXISTS)...) SUBJECT SIZE
 *    ((GUID EXISTS INTERNALDATE)...) CREATEDMODSEQ)
 *
 * Older records end after any of the senders, SUBJECT, SIZE or the thread. Text
 * that is no record is IMAP_MAILBOX_BADFORMAT.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conv_codec.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "util.h"
#include "xmalloc.h"

#define MAXITEMS 1000000 /* of any list in a record; more is garbage */

struct conversation *conversation_new(void)
{
    struct conversation *conv = xzmalloc(sizeof(*conv));

    conv->version = CONV_RECORD_VERSION;
    return conv;
}

static void free_sender(struct conv_sender *s)
{
    free(s->name);
    free(s->route);
    free(s->mailbox);
    free(s->domain);
}

void conversation_free(struct conversation **convp)
{
    struct conversation *conv = *convp;

    if (!conv) return;
    for (size_t i = 0; i < conv->nsenders; i++) free_sender(&conv->senders[i]);
    free(conv->senders);
    free(conv->counts);
    free(conv->folders);
    free(conv->thread);
    free(conv->subject);
    xzfree(*convp);
}

void conv_record_key(conversation_id_t cid, struct buf *out)
{
    char hex[CONV_ID_STRLEN];

    buf_reset(out);
    buf_putc(out, 'B');
    buf_appendcstr(out, conversation_id_encode(cid, hex));
}

/* ---- reading ---- */

static bool scan_counts(struct dlist_scan *sc, struct conversation *conv)
{
    enum dlist_token t;

    if (!dlist_scan_enter(sc, DLS_LIST)) return false;
    while ((t = dlist_scan_next(sc)) == DLS_STRING) {
        uint64_t v;
        if (conv->ncounts == CONV_MAX_COUNTED_FLAGS || parse_u64(sc->s, sc->len, &v)) return false;
        conv->counts = xgrow(conv->counts, conv->ncounts, sizeof(*conv->counts));
        conv->counts[conv->ncounts++] = (uint32_t)v;
    }
    return t == DLS_CLOSE;
}

static bool scan_folder(struct dlist_scan *sc, struct conversation *conv)
{
    conv->folders = xgrow(conv->folders, conv->nfolders, sizeof(*conv->folders));
    struct conv_folder *f = &conv->folders[conv->nfolders++];

    return dlist_scan_u32(sc, &f->number) && dlist_scan_u64(sc, &f->modseq) &&
           dlist_scan_u32(sc, &f->num_records) && dlist_scan_u32(sc, &f->exists) &&
           dlist_scan_u32(sc, &f->unseen) && dlist_scan_close(sc);
}

static bool scan_sender(struct dlist_scan *sc, struct conversation *conv)
{
    int64_t lastseen;

    conv->senders = xgrow(conv->senders, conv->nsenders, sizeof(*conv->senders));
    struct conv_sender *s = &conv->senders[conv->nsenders++];
    if (!dlist_scan_str(sc, &s->name) || !dlist_scan_str(sc, &s->route) ||
        !dlist_scan_str(sc, &s->mailbox) || !dlist_scan_str(sc, &s->domain) ||
        !dlist_scan_i64(sc, &lastseen) || !dlist_scan_u32(sc, &s->exists))
        return false;
    s->lastseen = (time_t)lastseen;
    return dlist_scan_close(sc);
}

static bool scan_thread(struct dlist_scan *sc, struct conversation *conv)
{
    int64_t internaldate;

    conv->thread = xgrow(conv->thread, conv->nthread, sizeof(*conv->thread));
    struct conv_thread *t = &conv->thread[conv->nthread++];
    if (dlist_scan_next(sc) != DLS_STRING || !message_guid_decode(&t->guid, sc->s, sc->len))
        return false;
    if (!dlist_scan_u32(sc, &t->exists) || !dlist_scan_i64(sc, &internaldate)) return false;
    t->internaldate = (time_t)internaldate;
    return dlist_scan_close(sc);
}

typedef bool item_reader(struct dlist_scan *sc, struct conversation *conv);

/* The "(" of the list is read. */
static bool scan_items(struct dlist_scan *sc, struct conversation *conv, item_reader *item)
{
    enum dlist_token t;
    size_t n = 0;

    while ((t = dlist_scan_next(sc)) == DLS_LIST) {
        if (++n > MAXITEMS || !item(sc, conv)) return false;
    }
    return t == DLS_CLOSE;
}

/* What older versions lack; each step may be the end of the record. */
static bool scan_tail(struct dlist_scan *sc, struct conversation *conv)
{
    enum dlist_token t = dlist_scan_next(sc);

    if (t == DLS_CLOSE) return true;
    if (t == DLS_STRING && !memchr(sc->s, '\0', sc->len))
        conv->subject = xstrndup(sc->s, sc->len);
    else if (t != DLS_NIL)
        return false;

    if ((t = dlist_scan_next(sc)) == DLS_CLOSE) return true;
    if (t != DLS_STRING || parse_u64(sc->s, sc->len, &conv->size)) return false;

    if ((t = dlist_scan_next(sc)) == DLS_CLOSE) return true;
    if (t != DLS_LIST || !scan_items(sc, conv, scan_thread)) return false;

    if ((t = dlist_scan_next(sc)) == DLS_CLOSE) return true;
    return t == DLS_STRING && !parse_u64(sc->s, sc->len, &conv->createdmodseq) &&
           dlist_scan_close(sc);
}

static bool scan_record(struct dlist_scan *sc, struct conversation *conv)
{
    return dlist_scan_u32(sc, &conv->version) && conv->version <= CONV_RECORD_VERSION &&
           dlist_scan_enter(sc, DLS_LIST) && dlist_scan_u64(sc, &conv->modseq) &&
           dlist_scan_u32(sc, &conv->num_records) && dlist_scan_u32(sc, &conv->exists) &&
           dlist_scan_u32(sc, &conv->unseen) && scan_counts(sc, conv) &&
           dlist_scan_enter(sc, DLS_LIST) && scan_items(sc, conv, scan_folder) &&
           dlist_scan_enter(sc, DLS_LIST) && scan_items(sc, conv, scan_sender) &&
           scan_tail(sc, conv) && dlist_scan_atend(sc);
}

int conv_record_parse(const char *val, size_t len, struct conversation **convp)
{
    struct conversation *conv = conversation_new();
    struct dlist_scan sc;

    dlist_scan_init(&sc, val, len);
    bool ok = scan_record(&sc, conv);
    dlist_scan_fini(&sc);
    if (!ok) conversation_free(&conv);
    *convp = conv;
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

/* ---- writing ---- */

static int cmp_folder(const void *a, const void *b)
{
    const struct conv_folder *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static int casecmpnull(const char *a, const char *b)
{
    if (!a || !b) return (a != NULL) - (b != NULL);
    return cyr_strcasecmp(a, b);
}

static int cmp_sender(const void *a, const void *b)
{
    const struct conv_sender *x = a, *y = b;
    int r = (x->lastseen < y->lastseen) - (x->lastseen > y->lastseen);

    if (!r) r = casecmpnull(x->domain, y->domain);
    if (!r) r = casecmpnull(x->mailbox, y->mailbox);
    return r;
}

static int cmp_thread(const void *a, const void *b)
{
    const struct conv_thread *x = a, *y = b;
    int r = (x->internaldate > y->internaldate) - (x->internaldate < y->internaldate);

    return r ? r : message_guid_cmp(&x->guid, &y->guid);
}

static void sort(void *array, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
    if (n > 1) qsort(array, n, size, cmp);
}

static void print_string(struct buf *out, const char *s)
{
    if (s)
        dlist_printstring(out, s, strlen(s), true);
    else
        buf_appendcstr(out, "NIL");
}

static void print_folders(const struct conversation *conv, struct buf *out)
{
    const char *sep = "";

    buf_appendcstr(out, " (");
    for (size_t i = 0; i < conv->nfolders; i++) {
        const struct conv_folder *f = &conv->folders[i];
        if (!f->num_records) continue;
        buf_printf(out, "%s(%u %llu %u %u %u)", sep, f->number, (unsigned long long)f->modseq,
                   f->num_records, f->exists, f->unseen);
        sep = " ";
    }
    buf_putc(out, ')');
}

static void print_senders(const struct conversation *conv, struct buf *out)
{
    buf_appendcstr(out, " (");
    for (size_t i = 0; i < conv->nsenders && i < CONV_MAX_SENDERS; i++) {
        const struct conv_sender *s = &conv->senders[i];
        buf_appendcstr(out, i ? " (" : "(");
        print_string(out, s->name);
        buf_putc(out, ' ');
        print_string(out, s->route);
        buf_putc(out, ' ');
        print_string(out, s->mailbox);
        buf_putc(out, ' ');
        print_string(out, s->domain);
        buf_printf(out, " %lld %u)", (long long)s->lastseen, s->exists);
    }
    buf_putc(out, ')');
}

static void print_thread(const struct conversation *conv, struct buf *out)
{
    char hex[MESSAGE_GUID_STRLEN];

    buf_appendcstr(out, " (");
    for (size_t i = 0; i < conv->nthread; i++) {
        const struct conv_thread *t = &conv->thread[i];
        buf_printf(out, "%s(%s %u %lld)", i ? " " : "", message_guid_encode(&t->guid, hex),
                   t->exists, (long long)t->internaldate);
    }
    buf_putc(out, ')');
}

void conv_record_print(struct conversation *conv, struct buf *out)
{
    sort(conv->folders, conv->nfolders, sizeof(*conv->folders), cmp_folder);
    sort(conv->senders, conv->nsenders, sizeof(*conv->senders), cmp_sender);
    sort(conv->thread, conv->nthread, sizeof(*conv->thread), cmp_thread);

    buf_reset(out);
    buf_printf(out, "%d (%llu %u %u %u (", CONV_RECORD_VERSION, (unsigned long long)conv->modseq,
               conv->num_records, conv->exists, conv->unseen);
    for (size_t i = 0; i < conv->ncounts; i++)
        buf_printf(out, "%s%u", i ? " " : "", conv->counts[i]);
    buf_putc(out, ')');
    print_folders(conv, out);
    print_senders(conv, out);
    buf_putc(out, ' ');
    print_string(out, conv->subject);
    buf_printf(out, " %llu", (unsigned long long)conv->size);
    print_thread(conv, out);
    buf_printf(out, " %llu)", (unsigned long long)conv->createdmodseq);
}
