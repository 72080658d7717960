/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fetch_items -- one FETCH response: its order, and the items that are no body sections
 *
 * The order is fixed (handbook 04 §3.12): a table of items, walked once per message.
 * The message file and the cache record are opened at the first item that needs them.
 * Message files and cache records never change, so they are read without a lock.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "conv_codec.h"
#include "fetch.h"
#include "imap_err.h"
#include "times.h"

bool fetch_needs_file(const struct fetch_request *req)
{
    for (size_t i = 0; i < array_size(req->sections); i++)
        if (req->sections[i]) return true;
    return (req->items &
            (FETCH_RFC822 | FETCH_HEADER | FETCH_TEXT | FETCH_FILESIZE | FETCH_SHA1)) ||
           req->have_header_lines;
}

void fetch_item(struct fetch_writer *w, const char *name)
{
    struct protstream *out = w->s->out;

    if (w->started)
        prot_putc(' ', out);
    else
        imap_begin_fetch(w->s, w->fm->msg.msgno, w->fm->rec.uid);
    w->started = true;
    prot_puts(out, name);
}

static bool failed(struct fetch_writer *w, int r)
{
    if (r && !w->r) w->r = r;
    return r != 0;
}

int fetch_open(struct imap_session *s, struct fetch_message *fm)
{
    if (fm->have_file) return fm->file_error;
    fm->have_file = true;
    struct mailbox *mailbox = index_mailbox(s->index);
    fm->file_error = mailbox ? mailbox_map_record(mailbox, &fm->rec, &fm->file)
                             : IMAP_MAILBOX_NONEXISTENT;
    return fm->file_error;
}

bool fetch_file(struct fetch_writer *w)
{
    return !failed(w, fetch_open(w->s, w->fm));
}

/* The stored record is that of 3.6.1: where IMAP4rev2 has a message another structure, it is made from the file. */
static bool has_other_structure(const struct fetch_writer *w)
{
    static const char global[] = "\"MESSAGE\" \"GLOBAL\"", extended[] = "*\" ";
    const char *s = cacheitem_base(&w->cache, CACHE_BODYSTRUCTURE);
    size_t len = cacheitem_size(&w->cache, CACHE_BODYSTRUCTURE);

    return w->s->rev2 && (memmem(s, len, global, strlen(global)) || memmem(s, len, extended, strlen(extended)));
}

static int become_rev2(struct fetch_writer *w)
{
    if (!has_other_structure(w) || fetch_open(w->s, w->fm)) return 0;
    buf_free(&w->cacheview);
    mailbox_cache_rev2(buf_base(&w->fm->file), buf_len(&w->fm->file), &w->cacheview);
    w->fm->rec.cache_version = MAILBOX_CACHE_MINOR_VERSION; /* of this copy of the record */
    return cacherecord_parse(w->cacheview.s, w->cacheview.len, &w->cache);
}

bool fetch_cache(struct fetch_writer *w)
{
    if (w->have_cache) return w->cache.base != NULL;
    w->have_cache = true;
    struct mailbox *mailbox = index_mailbox(w->s->index);
    if (!mailbox) return !failed(w, IMAP_MAILBOX_NONEXISTENT);
    int r = mailbox_cacherecord(mailbox, &w->fm->rec, &w->cacheview);
    if (!r) r = cacherecord_parse(w->cacheview.s, w->cacheview.len, &w->cache);
    if (!r) r = become_rev2(w);
    if (r) w->cache.base = NULL;
    return !failed(w, r);
}

/* ---- items ---- */

static void date_item(struct fetch_writer *w, const char *name, time_t t)
{
    char text[RFC3501_DATETIME_MAX];

    fetch_item(w, name);
    time_to_rfc3501(t, text, sizeof(text));
    prot_printf(w->s->out, "\"%s\"", text);
}

static void modseq_item(struct fetch_writer *w, const char *name, modseq_t modseq)
{
    fetch_item(w, name);
    prot_printf(w->s->out, "(%" PRIu64 ")", modseq);
}

static void guid_item(struct fetch_writer *w, const char *name, const struct message_guid *guid)
{
    char hex[MESSAGE_GUID_STRLEN];

    fetch_item(w, name);
    prot_puts(w->s->out, message_guid_encode(guid, hex));
}

static void put_flags(struct fetch_writer *w)
{
    fetch_item(w, "FLAGS ");
    imap_print_flags(w->s, &w->fm->msg);
}

static void put_uid(struct fetch_writer *w)
{
    fetch_item(w, "UID ");
    prot_printf(w->s->out, "%" PRIu32, w->fm->rec.uid);
}

static void put_digest(struct fetch_writer *w)
{
    guid_item(w, "DIGEST.SHA1 ", &w->fm->rec.guid);
}

static void put_internaldate(struct fetch_writer *w)
{
    date_item(w, "INTERNALDATE ", w->fm->rec.internaldate);
}

static void put_lastupdated(struct fetch_writer *w)
{
    date_item(w, "LASTUPDATED ", w->fm->rec.last_updated);
}

static void put_savedate(struct fetch_writer *w)
{
    if (w->fm->rec.savedate)
        date_item(w, "SAVEDATE ", w->fm->rec.savedate);
    else
        fetch_item(w, "SAVEDATE NIL");
}

static void put_modseq(struct fetch_writer *w)
{
    modseq_item(w, "MODSEQ ", w->fm->rec.modseq);
}

static void put_createdmodseq(struct fetch_writer *w)
{
    modseq_item(w, "CREATEDMODSEQ ", w->fm->rec.createdmodseq);
}

static void put_size(struct fetch_writer *w)
{
    fetch_item(w, "RFC822.SIZE ");
    prot_printf(w->s->out, "%" PRIu32, w->fm->rec.size);
}

static void put_annotation(struct fetch_writer *w)
{
    fetch_item(w, "ANNOTATION ");
    prot_putbuf(w->s->out, &w->fm->locked);
}

static void put_preview(struct fetch_writer *w)
{
    fetch_item(w, "PREVIEW ");
    if (!w->fm->preview.s)
        prot_puts(w->s->out, "NIL");
    else
        prot_printmap(w->s->out, w->fm->preview.s, w->fm->preview.len);
}

static void put_filesize(struct fetch_writer *w)
{
    if (!fetch_file(w)) return;
    fetch_item(w, "RFC822.FILESIZE ");
    prot_printf(w->s->out, "%zu", w->fm->file.len);
}

static void put_sha1(struct fetch_writer *w)
{
    struct message_guid guid;

    if (!fetch_file(w)) return;
    message_guid_generate(&guid, w->fm->file.s, w->fm->file.len);
    guid_item(w, "RFC822.SHA1 ", &guid);
}

static void put_emailid(struct fetch_writer *w)
{
    char hex[MESSAGE_GUID_STRLEN];

    fetch_item(w, "EMAILID ");
    prot_printf(w->s->out, "(M%.24s)", message_guid_encode(&w->fm->rec.guid, hex));
}

static void put_cid(struct fetch_writer *w)
{
    char cid[CONV_ID_STRLEN];

    fetch_item(w, "CID ");
    prot_puts(w->s->out, w->fm->rec.cid ? conversation_id_encode(w->fm->rec.cid, cid) : "NIL");
}

static void put_threadid(struct fetch_writer *w)
{
    char cid[CONV_ID_STRLEN];

    fetch_item(w, "THREADID ");
    if (!w->s->options->conversations || !w->fm->rec.cid)
        prot_puts(w->s->out, "NIL");
    else
        prot_printf(w->s->out, "(T%s)", conversation_id_encode(w->fm->rec.cid, cid));
}

/* Where its conversation began, when that was split. */
static void put_basecid(struct fetch_writer *w)
{
    fetch_item(w, "BASECID ");
    if (buf_len(&w->fm->basecid))
        prot_putbuf(w->s->out, &w->fm->basecid);
    else
        prot_puts(w->s->out, "NIL");
}

static void put_mailboxes(struct fetch_writer *w)
{
    fetch_item(w, "MAILBOXES (");
    for (size_t i = 0; i < w->fm->mailboxes.count; i++) {
        if (i) prot_putc(' ', w->s->out);
        imap_print_mailbox(w->s, w->fm->mailboxes.list[i]);
    }
    prot_putc(')', w->s->out);
}

static void put_mailboxids(struct fetch_writer *w)
{
    char *ids = strarray_join(&w->fm->mailboxids, " ");

    fetch_item(w, "MAILBOXIDS (");
    prot_puts(w->s->out, ids ? ids : "");
    prot_putc(')', w->s->out);
    free(ids);
}

static void put_folder(struct fetch_writer *w)
{
    extname_t name = imap_extname(w->s, index_mboxname(w->s->index));

    fetch_item(w, "FOLDER ");
    imap_print_mailbox(w->s, name);
    extname_free(&name);
}

static void put_uidvalidity(struct fetch_writer *w)
{
    fetch_item(w, "UIDVALIDITY ");
    prot_printf(w->s->out, "%" PRIu32, index_uidvalidity(w->s->index));
}

static void cache_item(struct fetch_writer *w, const char *name, enum cache_item item)
{
    if (!fetch_cache(w)) return;
    fetch_item(w, name);
    prot_write(w->s->out, cacheitem_base(&w->cache, item), cacheitem_size(&w->cache, item));
}

static void put_envelope(struct fetch_writer *w)
{
    cache_item(w, "ENVELOPE ", CACHE_ENVELOPE);
}

static void put_bodystructure(struct fetch_writer *w)
{
    cache_item(w, "BODYSTRUCTURE ", CACHE_BODYSTRUCTURE);
}

static void put_body(struct fetch_writer *w)
{
    cache_item(w, "BODY ", CACHE_BODY);
}

/* In the order of the response. */
static const struct {
    uint32_t item;
    void (*put)(struct fetch_writer *w);
} items[] = {
    { FETCH_FLAGS, put_flags },
    { FETCH_UID, put_uid },
    { FETCH_DIGEST, put_digest },
    { FETCH_INTERNALDATE, put_internaldate },
    { FETCH_LASTUPDATED, put_lastupdated },
    { FETCH_MODSEQ, put_modseq },
    { FETCH_SIZE, put_size },
    { FETCH_ANNOTATION, put_annotation },
    { FETCH_PREVIEW, put_preview },
    { FETCH_FILESIZE, put_filesize },
    { FETCH_SHA1, put_sha1 },
    { FETCH_EMAILID, put_emailid },
    { FETCH_CID, put_cid },
    { FETCH_THREADID, put_threadid },
    { FETCH_SAVEDATE, put_savedate },
    { FETCH_CREATEDMODSEQ, put_createdmodseq },
    { FETCH_BASECID, put_basecid },
    { FETCH_MAILBOXES, put_mailboxes },
    { FETCH_MAILBOXIDS, put_mailboxids },
    { FETCH_FOLDER, put_folder },
    { FETCH_UIDVALIDITY, put_uidvalidity },
    { FETCH_ENVELOPE, put_envelope },
    { FETCH_BODYSTRUCTURE, put_bodystructure },
    { FETCH_BODY, put_body },
};

int fetch_print(struct imap_session *s, const struct fetch_request *req, struct fetch_message *fm)
{
    struct fetch_writer w = { .s = s, .req = req, .fm = fm };
    uint32_t wanted = req->items;

    if (fm->told_flags) wanted |= FETCH_FLAGS | (s->condstore ? FETCH_MODSEQ : 0u);
    for (size_t i = 0; i < array_size(items); i++)
        if (wanted & items[i].item) items[i].put(&w);
    fetch_rfc822(&w);
    fetch_sections(&w);
    if (w.started) prot_puts(s->out, ")\r\n");
    buf_free(&w.cacheview);
    return w.r;
}
