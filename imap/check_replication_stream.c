/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_stream -- the messages of an examined mailbox, a window at a time
 *
 * Message numbers cannot shift while only FETCH is sent (RFC 3501 §7.4.1), so windows are ranges of
 * them; what memory holds is one window for each server, whatever the size of the mailbox.
 * Each window is counted for the quota root before it is handed out.
 */
#include <config.h>

#include "check_replication_ask.h"

#include <inttypes.h>
#include <stdlib.h>

#include "imap_err.h"
#include "util.h"

#define WINDOW 2000 /* messages */

/* Item and the fact that it tells. */
static const struct {
    enum check_fact fact;
    const char *item;
} optional_items[] = {
    { CHECK_FACT_DIGEST, "DIGEST.SHA1" },
    { CHECK_FACT_MODSEQ, "MODSEQ" },
    { CHECK_FACT_CREATED, "CREATEDMODSEQ" },
    { CHECK_FACT_SAVEDATE, "SAVEDATE" },
    { CHECK_FACT_CID, "CID" },
    { CHECK_FACT_ANNOTATION, "ANNOTATION (\"*\" (value.priv value.shared))" },
};

static void take_fetch(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_fetch(ask->mbox, response)) ask->bad = true;
}

static int fetch_window(struct check_stream *stream)
{
    static const struct check_take takes[] = { { "FETCH", take_fetch }, { NULL, NULL } };
    struct check_mailbox *mbox = stream->mbox;
    struct check_end *end = stream->end;
    struct check_ask ask = { .end = end, .mbox = mbox };
    struct buf cmd = BUF_INITIALIZER;
    uint32_t last = cyr_min(stream->done + WINDOW, mbox->exists);

    check_mailbox_dropmessages(mbox);
    buf_printf(&cmd, "FETCH %" PRIu32 ":%" PRIu32 " (UID FLAGS INTERNALDATE RFC822.SIZE",
               stream->done + 1, last);
    for (size_t i = 0; i < array_size(optional_items); i++)
        if (end->facts & CHECK_FACT_BIT(optional_items[i].fact))
            buf_printf(&cmd, " %s", optional_items[i].item);
    buf_putc(&cmd, ')');
    int r = check_ask(&ask, end->user, &cmd, takes);
    if (!r && mbox->nmessages != last - stream->done)
        r = check_end_failed(end, IMAP_PROTOCOL_ERROR, "FETCH", "not all messages were told");
    stream->done = last;
    stream->pos = 0;
    return r;
}

static int next_message(void *rock, const struct index_record **recp)
{
    struct check_stream *stream = rock;
    struct check_mailbox *mbox = stream->mbox;

    *recp = NULL;
    if (stream->pos == mbox->nmessages) {
        if (stream->done == mbox->exists) return 0;
        int r = fetch_window(stream);
        if (r) {
            mbox->opened = false; /* no more than this is known of it */
            check_user_count(stream->user, mbox);
            return r;
        }
        check_user_count(stream->user, mbox);
        if (stream->progress) stream->progress(stream->rock);
    }
    *recp = &mbox->messages[stream->pos++].rec;
    return 0;
}

struct sync_stream check_stream_open(struct check_stream *stream, struct check_end *end,
                                     struct check_user *user, struct check_mailbox *mbox)
{
    struct sync_stream none = { NULL, NULL };

    if (mbox && !mbox->opened) check_user_count(user, mbox);
    if (!mbox || !mbox->opened) return none;
    stream->end = end;
    stream->user = user;
    stream->mbox = mbox;
    stream->done = 0;
    stream->pos = 0;
    return (struct sync_stream){ next_message, stream };
}

/* ---- examining ---- */

static void take_ok(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)response;
    check_parse_okcode(ask->mbox, line);
}

/* "12 EXISTS" */
static void take_exists(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!dlist_tonum32(dlist_getchildn(response, 0), &ask->mbox->exists)) ask->bad = true;
}

static void take_status(struct check_ask *ask, const struct dlist *response, const char *line)
{
    const struct dlist *list = dlist_getchildn(response, 2);
    const char *name;

    (void)line;
    if (!list || list->type != DL_LIST) return;
    for (const struct dlist *at = list->head; at && at->next; at = at->next->next)
        if (dlist_toatom(at, &name) && !cyr_strcasecmp(name, "CREATEDMODSEQ"))
            dlist_tonum64(at->next, &ask->mbox->createdmodseq);
}

int check_examine(struct check_end *end, struct check_mailbox *mbox)
{
    static const struct check_take examined[] = { { "OK", take_ok },
                                                  { "EXISTS", take_exists },
                                                  { NULL, NULL } };
    static const struct check_take status[] = { { "STATUS", take_status }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .mbox = mbox };
    char *own = check_session_name(&end->user_names, mbox->name);
    int r = 0;

    mbox->exists = 0;
    if (end->facts & CHECK_FACT_BIT(CHECK_FACT_CREATED))
        r = check_ask_mailbox(&ask, end->user, "STATUS", own, " (CREATEDMODSEQ)", status);
    if (!r) r = check_ask_mailbox(&ask, end->user, "EXAMINE", own, "", examined);
    free(own);
    mbox->opened = !r;
    return r;
}
