/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_folder_format -- the text of a folder with its records, appended to a buffer or a spill
 *
 * On an error a buffer gets its old length back, so half a line never goes out.
 */
#include <config.h>

#include "sync_folder_format.h"

#include "dlist.h"
#include "imap_err.h"
#include "mailbox.h"
#include "prot.h"
#include "sync_ranges.h"
#include "sync_record.h"
#include "sync_spool.h"
#include "sync_walk.h"

#define CHUNK ((size_t)16 * 1024) /* bytes of text before they go to the spill */

struct text {
    struct protstream *stream; /* into buf */
    struct buf *buf;
    struct spill *spill; /* NULL: all stays in buf */
};

/* Move the text to the spill when it has that many bytes. */
static int drain(struct text *text, size_t least)
{
    if (prot_flush(text->stream)) return IMAP_IOERROR;
    if (!text->spill || buf_len(text->buf) < least) return 0;
    int r = spill_add(text->spill, buf_base(text->buf), buf_len(text->buf));
    buf_reset(text->buf);
    return r ? sync_spill_error(r, "write") : 0;
}

static int format_record(struct mailbox *mailbox, const struct index_record *rec,
                         struct protstream *out)
{
    struct sync_record record;
    int r = sync_record_read(mailbox, rec, &record);

    if (!r) {
        struct dlist *list = dlist_newlist(NULL, NULL);
        sync_record_print(&record, mailbox_index_header(mailbox)->minor_version, list);
        if (dlist_print(list->head, false, out)) r = IMAP_IOERROR;
        dlist_free(&list);
    }
    sync_record_fini(&record);
    return r;
}

/* A record that cannot be read fails the whole: the other end must not take it for one that is
 * not there. */
static int format_range(const struct sync_format *format, uint32_t first, uint32_t last, const char **sep,
                        struct text *text)
{
    struct sync_mailbox_records records;
    struct sync_stream stream = sync_stream_mailbox_from(&records, format->mailbox, first);

    for (;;) {
        const struct index_record *rec = NULL;
        int r = stream.next(stream.rock, &rec);
        if (r || !rec || rec->uid > last) return r;
        if (format->since && rec->modseq <= format->since && rec->uid <= format->since_uid) continue;
        prot_puts(text->stream, *sep);
        *sep = " ";
        r = format_record(format->mailbox, rec, text->stream);
        if (!r) r = drain(text, CHUNK);
        if (r) return r;
    }
}

static int format_records(const struct sync_format *format, struct text *text)
{
    const struct sync_ranges *ranges = format->ranges;
    const char *sep = "";
    int r = 0;

    if (!ranges) return format_range(format, 1, UINT32_MAX, &sep, text);
    for (size_t i = 0; i < ranges->n && !r; i++)
        r = format_range(format, ranges->v[i].first, ranges->v[i].last, &sep, text);
    return r;
}

static int format_kvlist(const struct dlist *kl, const struct sync_format *format, struct text *text)
{
    prot_setisclient(text->stream, format->isclient);
    dlist_print(kl, true, text->stream);
    if (prot_flush(text->stream)) return IMAP_IOERROR;
    if (!format->mailbox) return drain(text, 0);
    buf_truncate(text->buf, buf_len(text->buf) - 1); /* the closing parenthesis */
    prot_puts(text->stream, " RECORD (");
    int r = format_records(format, text);
    prot_puts(text->stream, "))");
    return r ? r : drain(text, 0);
}

static int format_folder(const struct sync_folder *folder, const struct sync_format *format,
                         struct text *text)
{
    struct dlist *kl = sync_folder_print(folder, format->name);
    int r = format_kvlist(kl, format, text);

    dlist_free(&kl);
    return r;
}

int sync_folder_format(const struct sync_folder *folder, const struct sync_format *format,
                       struct buf *out)
{
    size_t oldlen = buf_len(out);
    struct text text = { prot_writebuf(out), out, NULL };
    int r = format_folder(folder, format, &text);

    prot_free(text.stream);
    if (r) buf_truncate(out, oldlen);
    return r;
}

int sync_kvlist_spill(const struct dlist *kl, const struct sync_format *format, struct spill *out)
{
    struct buf chunk = BUF_INITIALIZER;
    struct text text = { prot_writebuf(&chunk), &chunk, out };
    int r = format_kvlist(kl, format, &text);

    prot_free(text.stream);
    buf_free(&chunk);
    return r;
}

int sync_folder_spill(const struct sync_folder *folder, const struct sync_format *format,
                      struct spill *out)
{
    struct dlist *kl = sync_folder_print(folder, format->name);
    int r = sync_kvlist_spill(kl, format, out);

    dlist_free(&kl);
    return r;
}
