/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_folder_format -- the text of a folder with its records, appended to a buffer
 *
 * On an error the buffer gets its old length back, so half a line never goes out.
 */
#include <config.h>

#include "sync_folder_format.h"

#include "dlist.h"
#include "imap_err.h"
#include "mailbox.h"
#include "prot.h"
#include "sync_record.h"
#include "sync_walk.h"

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
static int format_records(struct mailbox *mailbox, modseq_t since, struct protstream *out)
{
    struct sync_mailbox_records records;
    struct sync_stream stream = sync_stream_mailbox(&records, mailbox);
    const char *sep = "";

    for (;;) {
        const struct index_record *rec = NULL;
        int r = stream.next(stream.rock, &rec);
        if (r || !rec) return r;
        if (since && rec->modseq <= since) continue;
        prot_puts(out, sep);
        sep = " ";
        r = format_record(mailbox, rec, out);
        if (r) return r;
    }
}

int sync_folder_format(const struct sync_folder *folder, const struct sync_format *format,
                       struct buf *out)
{
    size_t oldlen = buf_len(out);
    struct protstream *stream = prot_writebuf(out);
    struct dlist *kl = sync_folder_print(folder, format->name);
    int r = 0;

    prot_setisclient(stream, format->isclient);
    dlist_print(kl, true, stream);
    dlist_free(&kl);
    if (prot_flush(stream)) r = IMAP_IOERROR;
    if (!r && format->mailbox) {
        buf_truncate(out, buf_len(out) - 1); /* the closing parenthesis */
        prot_puts(stream, " RECORD (");
        r = format_records(format->mailbox, format->since, stream);
        prot_puts(stream, "))");
        if (prot_flush(stream) && !r) r = IMAP_IOERROR;
    }
    prot_free(stream);
    if (r) buf_truncate(out, oldlen);
    return r;
}
