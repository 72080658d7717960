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

/* ---- --deep ---- */

static struct check_message *find_message(struct check_mailbox *mbox, uint32_t uid)
{
    size_t lo = 0, hi = mbox->nmessages;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (mbox->messages[mid].rec.uid < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < mbox->nmessages && mbox->messages[lo].rec.uid == uid ? &mbox->messages[lo] : NULL;
}

static void take_body(struct check_ask *ask, const struct dlist *response, const char *line)
{
    const struct dlist *list = dlist_getchildn(response, 2);
    struct check_message *m;
    const char *body;
    uint32_t uid;
    size_t len;

    (void)line;
    if (!list || list->type != DL_LIST || !dlist_tonum32(check_find_item(list, "UID"), &uid)) return;
    if (!dlist_tomap(check_find_item(list, "BODY[]"), &body, &len)) return;
    m = find_message(ask->mbox, uid);
    if (!m) return;
    message_guid_generate(&m->body, body, len);
    m->has_body = true;
}

static int fetch_some(struct check_stream *stream, uint32_t first, uint32_t last)
{
    static const struct check_take takes[] = { { "FETCH", take_body }, { NULL, NULL } };
    struct check_ask ask = { .end = stream->end, .mbox = stream->mbox };
    struct buf cmd = BUF_INITIALIZER;

    buf_printf(&cmd, "FETCH %" PRIu32 ":%" PRIu32 " (UID BODY.PEEK[])", first, last);
    return check_try(&ask, stream->end->user, &cmd, takes);
}

/*
 * The messages of the window, one at a time in memory. A server refuses the command when one of them is damaged:
 * the others are asked for one by one, and what has no body then is a difference.
 */
static int fetch_bodies(struct check_stream *stream, uint32_t first, uint32_t last)
{
    struct check_mailbox *mbox = stream->mbox;
    int r = fetch_some(stream, first, last);

    for (size_t i = 0; r == IMAP_REMOTE_DENIED && i < mbox->nmessages; i++) {
        if (mbox->messages[i].has_body) continue;
        int one = fetch_some(stream, first + (uint32_t)i, first + (uint32_t)i);
        if (one && one != IMAP_REMOTE_DENIED) r = one;
    }
    if (r == IMAP_REMOTE_DENIED) return 0;
    if (r && !stream->end->error) check_end_failed(stream->end, r, "FETCH", NULL);
    return r;
}

/* ---- the stream ---- */

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
    if (!r && end->login.deep) r = fetch_bodies(stream, stream->done + 1, last);
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
    if (mbox->whole) {
        stream->done = mbox->exists;
        check_user_count(user, mbox);
    }
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

    (void)line;
    if (!list || list->type != DL_LIST) return;
    dlist_tonum64(check_find_item(list, "CREATEDMODSEQ"), &ask->mbox->createdmodseq);
    dlist_tonum32(check_find_item(list, "XCONVEXISTS"), &ask->mbox->convexists);
    dlist_tonum32(check_find_item(list, "XCONVUNSEEN"), &ask->mbox->convunseen);
    dlist_tonum64(check_find_item(list, "XCONVMODSEQ"), &ask->mbox->convmodseq);
}

static int ask_status(struct check_end *end, struct check_ask *ask, const char *name)
{
    static const struct check_take takes[] = { { "STATUS", take_status }, { NULL, NULL } };
    bool created = end->facts & CHECK_FACT_BIT(CHECK_FACT_CREATED);
    bool conv = end->facts & CHECK_FACT_BIT(CHECK_FACT_CID);
    char items[80];

    if (!created && !conv) return 0;
    snprintf(items, sizeof(items), " (UIDNEXT%s%s)", created ? " CREATEDMODSEQ" : "",
             conv ? " XCONVEXISTS XCONVUNSEEN XCONVMODSEQ" : "");
    return check_ask_mailbox(ask, end->user, "STATUS", name, items, takes);
}

int check_examine(struct check_end *end, struct check_mailbox *mbox)
{
    static const struct check_take examined[] = { { "OK", take_ok },
                                                  { "EXISTS", take_exists },
                                                  { NULL, NULL } };
    struct check_ask ask = { .end = end, .mbox = mbox };

    if (mbox->sealed) return check_fetch_full(end, mbox);
    char *own = check_session_name(&end->user_names, mbox->name);
    mbox->exists = 0;
    int r = ask_status(end, &ask, own);
    if (!r) r = check_ask_mailbox(&ask, end->user, "EXAMINE", own, "", examined);
    free(own);
    mbox->opened = !r;
    return r;
}
