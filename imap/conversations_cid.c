/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_cid -- to which conversation a new message belongs (handbook 01 §5.9)
 *
 * Its message-ids lead to conversations, of which the one with the largest id among those with
 * its subject is taken; identical bytes share a conversation whatever their ids. A conversation that is full
 * goes on under another id.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "libconfig.h"
#include "message_conv.h"
#include "xmalloc.h"

struct assignment {
    struct conversations_state *state;
    struct index_record *rec;
    struct cacherecord cache;
    struct conv_msgids ids;
    struct buf subject, old_subject;
    conversation_id_t cid, base;
    bool keep; /* neither split nor followed to where it was split off */
};

static bool has_subject(const struct conversation *conv, const struct buf *subject)
{
    return strlen(conv->subject) == buf_len(subject) &&
           !memcmp(conv->subject, buf_base(subject) ? buf_base(subject) : "", buf_len(subject));
}

static int consider(struct assignment *a, const struct conv_msgid_source *source,
                    conversation_id_t cid)
{
    struct conv_entry *entry;
    int r = conv_entry_get(a->state, cid, &entry);

    if (r) return r;
    const struct conversation *conv = entry->conv;
    if (source->x_me || !conv || !conv->subject || has_subject(conv, &a->subject) ||
        has_subject(conv, &a->old_subject))
        a->cid = cyr_max(a->cid, cid);
    return 0;
}

static int fetch_msgid(struct conversations_state *state, const char *msgid, size_t msgidlen, struct conv_msgid *m)
{
    const char *val;
    size_t len;
    int r = txn_db_fetch(state->db, msgid, msgidlen, &val, &len);

    memset(m, 0, sizeof(*m));
    if (r == IMAP_NOTFOUND) return 0;
    if (!r && conv_msgid_parse(val, len, m)) memset(m, 0, sizeof(*m)); /* made anew */
    return r;
}

/* The largest matching id of all that the message-ids know. */
static int match_msgids(struct assignment *a)
{
    for (size_t i = 0; i < a->ids.count; i++) {
        struct conv_msgid m;
        const char *msgid = a->ids.ids[i].msgid;
        int r = fetch_msgid(a->state, msgid, strlen(msgid), &m);
        for (size_t n = 0; !r && n < m.ncids; n++) r = consider(a, &a->ids.ids[i], m.cids[n]);
        conv_msgid_fini(&m);
        if (r) return r;
    }
    return 0;
}

int conversations_find_cid(struct conversations_state *state, const struct message_guid *guid,
                           conversation_id_t *cid)
{
    struct conv_copies *copies;

    *cid = 0;
    if (!state) return 0;
    int r = conv_copies_get(state, guid, &copies);
    if (!r && copies->n) *cid = copies->recs[0].cid;
    return r;
}

static int match_guid(struct assignment *a)
{
    int r = conversations_find_cid(a->state, &a->rec->guid, &a->cid);

    if (!r && a->cid) a->keep = true;
    return r;
}

static int choose(struct assignment *a)
{
    int r = match_guid(a);

    if (!r && !a->cid) r = match_msgids(a);
    if (r || a->cid) return r;
    a->cid = conversation_id_from_guid(&a->rec->guid);
    a->keep = true;
    return 0;
}

/* Where the conversation goes on when it is full. */
static int follow_split(struct assignment *a)
{
    conversation_id_t next = 0;
    struct conv_entry *entry;
    int limit = config_getint(IMAPOPT_CONVERSATIONS_MAX_THREAD);
    int r = conv_split_lookup(a->state, a->cid, &next);

    if (r) return r;
    a->base = a->cid;
    if (next) a->cid = next;
    r = conv_entry_get(a->state, a->cid, &entry);
    if (r || limit <= 0 || !entry->conv || entry->conv->exists < (uint32_t)limit) return r;
    a->cid = conversation_id_from_guid(&a->rec->guid);
    return conv_split_store(a->state, a->base, a->cid);
}

static int set_subject(struct assignment *a)
{
    struct conv_entry *entry;
    int r = conv_entry_get(a->state, a->cid, &entry);

    if (r || (a->rec->system_flags & FLAG_DRAFT)) return r;
    if (!entry->conv) entry->conv = conversation_new();
    if (entry->conv->subject) return 0;
    entry->conv->subject = buf_newcstring(&a->subject);
    entry->dirty = true;
    return 0;
}

static bool add_cid(struct conv_msgid *m, conversation_id_t cid)
{
    for (size_t i = 0; i < m->ncids; i++)
        if (m->cids[i] == cid) return false;
    m->cids = xreallocarray(m->cids, m->ncids + 1, sizeof(*m->cids));
    m->cids[m->ncids++] = cid;
    return true;
}

int conv_merge_msgid(struct conversations_state *state, const char *msgid, size_t msgidlen, const struct conv_msgid *more,
                     bool *addedp)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    struct conv_msgid m;
    bool added = false;
    int r = fetch_msgid(state, msgid, msgidlen, &m);

    for (size_t i = 0; i < more->ncids; i++) added |= add_cid(&m, more->cids[i]);
    if (!r && added) {
        m.stamp = cyr_max(m.stamp, more->stamp);
        conv_msgid_print(&m, &val);
        buf_setmap(&key, msgid, msgidlen);
        r = conv_store(state, &key, &val);
    }
    if (addedp) *addedp = !r && added;
    conv_msgid_fini(&m);
    buf_free(&key);
    buf_free(&val);
    return r;
}

static int add_to_msgids(struct conversations_state *state, const struct conv_msgids *ids, conversation_id_t base)
{
    struct conv_msgid now = { &base, 1, state->txn ? txn_time(state->txn) : time(NULL) };
    int r = 0;

    for (size_t i = 0; !r && i < ids->count; i++)
        r = conv_merge_msgid(state, ids->ids[i].msgid, strlen(ids->ids[i].msgid), &now, NULL);
    return r;
}

static int assign(struct assignment *a)
{
    int r = choose(a);

    if (!r && !a->keep) r = follow_split(a);
    if (!a->base) a->base = a->cid;
    if (!r) r = set_subject(a);
    return r ? r : add_to_msgids(a->state, &a->ids, a->base);
}

int conversations_assign_cid(struct conversations_state *state, struct mailbox *mailbox,
                             struct index_record *rec, const struct buf *cacherecord,
                             conversation_id_t *basecid)
{
    struct assignment a = { .state = state, .rec = rec };

    (void)mailbox;
    *basecid = 0;
    if (!state || rec->cid) return 0;
    int r = cacherecord_parse(buf_base(cacherecord), buf_len(cacherecord), &a.cache);
    if (!r) r = conv_msgids_from_cache(&a.cache, &a.ids);
    if (!r) r = conv_subject_from_cache(&a.cache, &a.subject, &a.old_subject);
    if (!r) r = assign(&a);
    if (!r) {
        rec->cid = a.cid;
        if (a.base != a.cid) {
            rec->internal_flags |= FLAG_INTERNAL_SPLITCONVERSATION;
            *basecid = a.base;
        }
    }
    conv_msgids_fini(&a.ids);
    buf_free(&a.subject);
    buf_free(&a.old_subject);
    return r;
}

int conv_note_msgids(struct conversations_state *state, struct mailbox *mailbox,
                     const struct index_record *rec, conversation_id_t base)
{
    struct buf view = BUF_INITIALIZER;
    struct cacherecord cache;
    struct conv_msgids ids = { NULL, 0 };
    int r = 0;

    /* Without its cache record nothing is known of them. */
    if (base && !mailbox_cacherecord(mailbox, rec, &view) &&
        !cacherecord_parse(buf_base(&view), buf_len(&view), &cache) &&
        !conv_msgids_from_cache(&cache, &ids))
        r = add_to_msgids(state, &ids, base);
    conv_msgids_fini(&ids);
    buf_free(&view);
    return r;
}
