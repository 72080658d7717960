/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seen_view -- which messages of a mailbox a user has seen
 *
 * The owner's state, everybody's in a mailbox with shared seen, and that of a session without
 * a user is in the index: flag \Seen, and recentuid in the header. Anyone else has a record in
 * his own seen.db: a set of UIDs and the mark of \Recent (handbook 02 §5.3, 01 §7.1).
 *
 * Changes of seen.db are gathered per user and mailbox and laid over the record as it is at
 * the commit, so that UIDs which another session has added meanwhile stay.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "mboxname.h"
#include "seqset.h"
#include "sync_log.h"
#include "xmalloc.h"

struct seen_view {
    char *userid;        /* whose seen.db; NULL: internal */
    char *asked_userid;  /* as given to seen_view_open */
    struct seqset *seen; /* of seen.db */
    uint32_t recentuid;
};

/* ---- what a transaction will write ---- */

struct seen_change {
    char *userid, *uniqueid;
    struct seqset *add, *remove;
    uint32_t recentuid; /* 0: not raised */
    time_t lastchange;  /* of the mailbox: its last append */
    bool dirty;
};

static void free_change(void *data)
{
    struct seen_change *ch = data;

    free(ch->userid);
    free(ch->uniqueid);
    seqset_free(ch->add);
    seqset_free(ch->remove);
    free(ch);
}

static int write_change(struct txn *txn, void *rock)
{
    struct seen_change *ch = rock;
    struct seendata sd = SEENDATA_INITIALIZER;
    struct buf text = BUF_INITIALIZER;

    if (!ch->dirty) return 0;
    int r = seen_read(ch->userid, ch->uniqueid, &sd, txn);
    if (r && r != IMAP_NOTFOUND) return r;
    struct seqset *set = sd.seenuids && *sd.seenuids ? seqset_parse(sd.seenuids, NULL, 0) : NULL;
    if (!set) set = seqset_init(0, SEQ_SPARSE);
    seqset_join(set, ch->add);
    seqset_subtract(set, ch->remove);
    seqset_appendto(set, &text);
    seqset_free(set);
    free(sd.seenuids);
    sd.seenuids = xstrdup(buf_cstring(&text));
    buf_free(&text);
    sd.lastread = txn_time(txn);
    sd.lastchange = ch->lastchange;
    if (ch->recentuid > sd.lastuid) sd.lastuid = ch->recentuid;
    r = seen_write(txn, ch->userid, ch->uniqueid, &sd);
    seen_freedata(&sd);
    return r;
}

static int change_of(struct mailbox *mailbox, const char *userid, struct seen_change **chp)
{
    const char *uniqueid = mailbox_uniqueid(mailbox);

    if (!mailbox->txn || !uniqueid) {
        mailbox_log(mailbox, 0, "seen state can't be kept", mailbox->index_path);
        return IMAP_INTERNAL;
    }
    int r = txn_lock_user(mailbox->txn, userid);
    if (r) return r;
    char *key = xasprintf("seen_change/%s/%s", uniqueid, userid);
    struct seen_change *ch = txn_attached(mailbox->txn, key);
    if (!ch) {
        ch = xzmalloc(sizeof(*ch));
        ch->userid = xstrdup(userid);
        ch->uniqueid = xstrdup(uniqueid);
        ch->add = seqset_init(0, SEQ_SPARSE);
        ch->remove = seqset_init(0, SEQ_SPARSE);
        txn_attach(mailbox->txn, key, ch, free_change);
        txn_on_commit(mailbox->txn, TXN_ORDER_SEEN, write_change, ch);
    }
    free(key);
    ch->lastchange = mailbox->hdr.last_appenddate;
    *chp = ch;
    return 0;
}

static int change_seen(struct mailbox *mailbox, const char *userid, uint32_t uid, bool seen)
{
    struct seen_change *ch;

    int r = change_of(mailbox, userid, &ch);
    if (r) return r;
    seqset_add(ch->add, uid, seen);
    seqset_add(ch->remove, uid, !seen);
    ch->dirty = true;
    return 0;
}

/* ---- views ---- */

/* The one rule of where a user's state lives. */
static bool is_internal(const struct mailbox *mailbox, const char *userid)
{
    if (!userid || (mailbox->hdr.options & OPT_IMAP_SHAREDSEEN)) return true;
    return mailbox->userid && !strcmp(userid, mailbox->userid);
}

/* The record of seen.db, and what this transaction has changed. On an error the view stays as it was. */
static int load(struct seen_view *view, struct mailbox *mailbox)
{
    struct seendata sd = SEENDATA_INITIALIZER;
    bool internal = is_internal(mailbox, view->asked_userid);

    int r = !internal && mailbox_uniqueid(mailbox)
                ? seen_read(view->asked_userid, mailbox_uniqueid(mailbox), &sd, mailbox->txn)
                : 0;
    if (r && r != IMAP_NOTFOUND) {
        seen_freedata(&sd);
        return r;
    }
    free(view->userid);
    view->userid = internal ? NULL : xstrdup(view->asked_userid);
    seqset_free(view->seen);
    view->seen = NULL;
    view->recentuid = mailbox->hdr.recentuid;
    if (internal) return 0;
    view->seen = sd.seenuids && *sd.seenuids ? seqset_parse(sd.seenuids, NULL, 0) : NULL;
    if (!view->seen) view->seen = seqset_init(0, SEQ_SPARSE);
    view->recentuid = sd.lastuid;
    seen_freedata(&sd);
    if (!mailbox->txn || !mailbox_uniqueid(mailbox)) return 0;
    char *key = xasprintf("seen_change/%s/%s", mailbox_uniqueid(mailbox), view->userid);
    const struct seen_change *ch = txn_attached(mailbox->txn, key);
    free(key);
    if (!ch) return 0;
    seqset_join(view->seen, ch->add);
    seqset_subtract(view->seen, ch->remove);
    if (ch->recentuid > view->recentuid) view->recentuid = ch->recentuid;
    return 0;
}

int seen_view_open(struct mailbox *mailbox, const char *userid, struct seen_view **viewp)
{
    struct seen_view *view = xzmalloc(sizeof(*view));

    view->asked_userid = xstrdupnull(userid);
    int r = load(view, mailbox);
    if (r)
        seen_view_free(&view);
    else
        *viewp = view;
    return r;
}

int seen_view_refresh(struct seen_view *view, struct mailbox *mailbox)
{
    return load(view, mailbox);
}

void seen_view_free(struct seen_view **viewp)
{
    struct seen_view *view = *viewp;

    *viewp = NULL;
    if (!view) return;
    free(view->userid);
    free(view->asked_userid);
    seqset_free(view->seen);
    free(view);
}

bool seen_view_internal(const struct seen_view *view)
{
    return !view->userid;
}

const char *seen_view_userid(const struct seen_view *view)
{
    return view->userid;
}

bool seen_view_isseen(const struct seen_view *view, const struct index_record *rec)
{
    if (!view->userid) return index_flags_seen(rec->system_flags);
    return seqset_ismember(view->seen, rec->uid);
}

static uint32_t with_seen(uint32_t system_flags, bool seen)
{
    return seen ? system_flags | FLAG_SEEN : system_flags & ~(uint32_t)FLAG_SEEN;
}

uint32_t seen_view_flags(const struct seen_view *view, const struct index_record *rec)
{
    return with_seen(rec->system_flags, seen_view_isseen(view, rec));
}

bool seen_view_isrecent(const struct seen_view *view, const struct index_record *rec)
{
    return rec->uid > view->recentuid;
}

uint32_t seen_view_recentuid(const struct seen_view *view)
{
    return view->recentuid;
}

/* ---- changes ---- */

int seen_view_set(struct seen_view *view, struct mailbox *writable, struct index_record *rec,
                  bool seen, unsigned flags)
{
    if (seen_view_isseen(view, rec) == seen) return 0;
    if (view->userid) {
        int r = change_seen(writable, view->userid, rec->uid, seen);
        if (!r) seqset_add(view->seen, rec->uid, seen);
        return r;
    }
    rec->system_flags = with_seen(rec->system_flags, seen);
    return mailbox_rewrite_record(writable, rec, flags);
}

int seen_view_set_recent(struct seen_view *view, struct mailbox *writable, uint32_t uid)
{
    struct seen_change *ch;
    struct mailbox_header_update update = { .set_recent = true, .recentuid = uid };
    int r = 0;

    if (uid <= view->recentuid) return 0;
    if (view->userid) {
        r = change_of(writable, view->userid, &ch);
        if (r) return r;
        if (uid > ch->recentuid) ch->recentuid = uid;
        ch->dirty = true;
    }
    else if (writable->hdr.minor_version >= 12) { /* older indexes can't remember it, and are read all the same */
        update.recenttime = mailbox_txn_time(writable);
        r = uid > writable->hdr.recentuid ? mailbox_update_header(writable, &update) : 0;
        if (r) return r;
    }
    view->recentuid = uid;
    return 0;
}

bool mailbox_seen_in_record(const struct mailbox *mailbox, const char *userid, bool seen,
                            struct index_record *rec)
{
    bool internal = is_internal(mailbox, userid);

    rec->system_flags = with_seen(rec->system_flags, seen && internal);
    return seen && !internal;
}

int mailbox_set_seen(struct mailbox *mailbox, const char *userid, uint32_t uid)
{
    struct index_record rec;

    if (!is_internal(mailbox, userid)) return change_seen(mailbox, userid, uid, true);
    int r = mailbox_find_uid(mailbox, uid, &rec);
    if (r || index_flags_seen(rec.system_flags)) return r;
    rec.system_flags = with_seen(rec.system_flags, true);
    return mailbox_rewrite_record(mailbox, &rec, 0);
}
