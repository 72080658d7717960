/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fetch_load -- what may change of a message, taken under the shared lock
 */
#include <config.h>

#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "conversations.h"
#include "fetch.h"
#include "imap_err.h"
#include "libconfig.h"
#include "util.h"

#define PREVIEW_MAX 256

/* The value stays NULL where there is no preview to be had at all. */
static void load_preview(struct imap_session *s, const struct index_record *rec, struct buf *out)
{
    const char *name = config_getstring(IMAPOPT_JMAP_PREVIEW_ANNOT);

    if (!name || !strstarts(name, "/shared/")) return;
    annotate_msg_lookup(index_mailbox(s->index), rec->uid, name + strlen("/shared"), "", out);
    buf_cstring(out);
    if (out->len <= PREVIEW_MAX) return;
    size_t len = PREVIEW_MAX;
    while (len && ((unsigned char)out->s[len] & 0xc0) == 0x80)
        len--; /* not inside a UTF-8 character */
    buf_truncate(out, len);
}

/* ---- where else the message is ---- */

struct collector {
    struct imap_session *s;
    struct fetch_message *fm;
};

static int collect(const mbentry_t *mbentry, void *rock)
{
    struct collector *c = rock;

    if (!(imap_rights(c->s, mbentry) & ACL_LOOKUP)) return 0;
    extname_t name = imap_extname(c->s, mbentry->name);
    extnames_add(&c->fm->mailboxes, name);
    extname_free(&name);
    strarray_append(&c->fm->mailboxids, mbentry->uniqueid);
    return 0;
}

static int load_mailboxes(struct imap_session *s, struct fetch_message *fm)
{
    struct conversations_state *state = NULL;
    struct collector c = { s, fm };

    int r = conversations_open_mbox(index_mailbox(s->index), &state);
    if (!r && state) r = conversations_mailboxes_of(state, &fm->rec.guid, collect, &c);
    conversations_close(&state);
    return r;
}

int fetch_load(struct imap_session *s, const struct fetch_request *req, uint32_t msgno,
               struct fetch_message *fm)
{
    int r = index_read_record(s->index, msgno, &fm->rec);

    if (r) return r;
    index_fill_message(s->index, msgno, &fm->rec, &fm->msg);
    if (req->items & FETCH_ANNOTATION) r = fetch_annotations(s, req, &fm->rec, &fm->locked);
    if (req->items & FETCH_PREVIEW) load_preview(s, &fm->rec, &fm->preview);
    if ((req->items & FETCH_BASECID) && (fm->rec.internal_flags & FLAG_INTERNAL_SPLITCONVERSATION))
        annotate_msg_lookup(index_mailbox(s->index), fm->rec.uid, "/vendor/cmu/cyrus-imapd/basethrid", "", &fm->basecid);
    if (!r && (req->items & (FETCH_MAILBOXES | FETCH_MAILBOXIDS))) r = load_mailboxes(s, fm);
    return r;
}

void fetch_message_fini(struct fetch_message *fm)
{
    buf_free(&fm->locked);
    buf_free(&fm->basecid);
    buf_free(&fm->preview);
    buf_free(&fm->file);
    extnames_fini(&fm->mailboxes);
    strarray_fini(&fm->mailboxids);
}
