/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_store -- records of a user's conversations: read once, kept, stored at commit
 *
 * B, F and Q records change in memory and are stored by conv_flush(). G records are staged at once, as each has a
 * key of its own. A B or F record that makes no sense is reported and counts as absent: it is
 * derived from the mailboxes, and ctl_conversationsdb -R makes it anew.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "sync_log.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int fetch(struct conversations_state *state, const struct buf *key, const char **val,
                 size_t *len)
{
    return txn_db_fetch(state->db, buf_base(key), buf_len(key), val, len);
}

int conv_store(struct conversations_state *state, const struct buf *key, const struct buf *val)
{
    state->changed = true;
    return txn_db_store(state->db, buf_base(key), buf_len(key), buf_base(val), buf_len(val));
}

int conv_delete(struct conversations_state *state, const struct buf *key)
{
    state->changed = true;
    return txn_db_delete(state->db, buf_base(key), buf_len(key));
}

static void log_bad(struct conversations_state *state, struct buf *key)
{
    xsyslog(LOG_ERR, "DBERROR: damaged conversations record", "user=<%s> key=<%s>",
            user_meta_userid(state->meta), buf_cstring(key));
}

/* ---- B ---- */

int conv_entry_get(struct conversations_state *state, conversation_id_t cid,
                   struct conv_entry **entryp)
{
    char hex[CONV_ID_STRLEN];
    struct buf key = BUF_INITIALIZER;
    const char *val;
    size_t len;

    conversation_id_encode(cid, hex);
    struct conv_entry *entry = hash_lookup(hex, &state->entries);
    if (entry) {
        *entryp = entry;
        return 0;
    }
    entry = xzmalloc(sizeof(*entry));
    entry->cid = cid;
    conv_record_key(cid, &key);
    int r = fetch(state, &key, &val, &len);
    entry->stored = !r;
    if (!r && conv_record_parse(val, len, &entry->conv)) log_bad(state, &key);
    buf_free(&key);
    if (r && r != IMAP_NOTFOUND) {
        free(entry);
        return r;
    }
    hash_insert(hex, entry, &state->entries);
    *entryp = entry;
    return 0;
}

int conversations_get(struct conversations_state *state, conversation_id_t cid,
                      const struct conversation **conv)
{
    struct conv_entry *entry;

    int r = conv_entry_get(state, cid, &entry);
    *conv = r ? NULL : entry->conv;
    return r;
}

const strarray_t *conversations_counted_flags(const struct conversations_state *state)
{
    return &state->counted_flags;
}

static int flush_entry(struct conversations_state *state, struct conv_entry *entry)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    int r = 0;

    conv_record_key(entry->cid, &key);
    if (entry->conv && entry->conv->num_records) {
        entry->conv->version = CONV_RECORD_VERSION;
        conv_record_print(entry->conv, &val);
        r = conv_store(state, &key, &val);
        entry->stored = true;
    }
    else if (entry->stored) {
        r = conv_delete(state, &key);
        entry->stored = false;
    }
    entry->dirty = false;
    buf_free(&key);
    buf_free(&val);
    return r;
}

/* ---- F ---- */

int conv_status_get(struct conversations_state *state, const char *key,
                    struct conv_folderstatus **statusp)
{
    struct buf k = BUF_INITIALIZER;
    const char *val;
    size_t len;
    struct conv_folderstatus *fs = hash_lookup(key, &state->statuses);

    if (fs) {
        *statusp = fs;
        return 0;
    }
    fs = xzmalloc(sizeof(*fs));
    conv_status_key(key, &k);
    int r = fetch(state, &k, &val, &len);
    if (!r && conv_status_parse(val, len, &fs->status)) {
        log_bad(state, &k);
        memset(&fs->status, 0, sizeof(fs->status));
    }
    buf_free(&k);
    if (r && r != IMAP_NOTFOUND) {
        free(fs);
        return r;
    }
    hash_insert(key, fs, &state->statuses);
    *statusp = fs;
    return 0;
}

/*
 * The folder takes part in a change: whoever follows its mailbox must look at it, and no later
 * modseq of the user may be smaller. A folder that is gone or not yet there has nobody to tell.
 */
static int tell_folder(struct conversations_state *state, const char *key, modseq_t modseq)
{
    mbentry_t *entry = NULL;
    int r = state->byname ? mboxlist_lookup(key, &entry, state->txn)
                          : mboxlist_lookup_by_uniqueid(key, &entry, false, state->txn);

    if (r) return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_RESERVED ? 0 : r;
    sync_log_mailbox(state->txn, entry->name);
    (void)counters_set_modseq(state->txn, state->meta, modseq, entry->name, entry->mbtype, 0, &r);
    mbentry_free(&entry);
    return r;
}

static int flush_status(struct conversations_state *state, const char *key,
                        struct conv_folderstatus *fs)
{
    struct buf k = BUF_INITIALIZER, val = BUF_INITIALIZER;
    int r;

    conv_status_key(key, &k);
    if (fs->status.threadmodseq) {
        conv_status_print(&fs->status, &val);
        r = conv_store(state, &k, &val);
    }
    else {
        r = conv_delete(state, &k);
    }
    if (!r && !state->recount) r = tell_folder(state, key, fs->status.threadmodseq);
    fs->dirty = false;
    buf_free(&k);
    buf_free(&val);
    return r;
}

/* ---- Q, folder list ---- */

int conv_quota_get(struct conversations_state *state)
{
    const char *val;
    size_t len;

    if (state->quota_loaded) return 0;
    int r = txn_db_fetch(state->db, CONV_KEY_QUOTA, strlen(CONV_KEY_QUOTA), &val, &len);
    if (!r && conv_quota_parse(val, len, &state->quota)) {
        struct buf key = BUF_INITIALIZER;
        buf_setcstr(&key, CONV_KEY_QUOTA);
        log_bad(state, &key);
        buf_free(&key);
        state->quota = (struct conv_quota){ 0, 0 };
    }
    if (r && r != IMAP_NOTFOUND) return r;
    state->quota_loaded = true;
    return 0;
}

static int flush_quota(struct conversations_state *state)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;

    buf_setcstr(&key, CONV_KEY_QUOTA);
    conv_quota_print(&state->quota, &val);
    int r = conv_store(state, &key, &val);
    state->quota_dirty = false;
    buf_free(&key);
    buf_free(&val);
    return r;
}

static int flush_folders(struct conversations_state *state)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;

    buf_setcstr(&key, state->byname ? CONV_KEY_FOLDER_NAMES : CONV_KEY_FOLDER_IDS);
    conv_folders_print(&state->folders, &val);
    int r = conv_store(state, &key, &val);
    state->folders_dirty = false;
    buf_free(&key);
    buf_free(&val);
    return r;
}

int conv_flush(struct conversations_state *state)
{
    size_t pos = 0;
    const char *key;
    void *data;
    int r = 0;

    while (!r && hash_next(&state->entries, &pos, &data)) {
        struct conv_entry *entry = data;
        if (entry->dirty) r = flush_entry(state, entry);
    }
    pos = 0;
    while (!r && (key = hash_next(&state->statuses, &pos, &data))) {
        struct conv_folderstatus *fs = data;
        if (fs->dirty) r = flush_status(state, key, fs);
    }
    if (!r && state->folders_dirty) r = flush_folders(state);
    if (!r && state->quota_dirty) r = flush_quota(state);
    return r;
}

/* ---- G ---- */

int conv_guidrec_store(struct conversations_state *state, const struct conv_guidrec *g)
{
    struct buf key = BUF_INITIALIZER;
    char value[CONV_GUIDREC_VALUE_SIZE];

    conv_guidrec_key(g, &key);
    conv_guidrec_value(g, value);
    state->changed = true;
    int r = txn_db_store(state->db, buf_base(&key), buf_len(&key), value, sizeof(value));
    buf_free(&key);
    return r;
}

int conv_guidrec_delete(struct conversations_state *state, const struct conv_guidrec *g)
{
    struct buf key = BUF_INITIALIZER;

    conv_guidrec_key(g, &key);
    int r = conv_delete(state, &key);
    buf_free(&key);
    return r;
}

static int store_empty(const struct conv_guidrec *g, void *rock)
{
    struct conversations_state *state = rock;
    struct buf key = BUF_INITIALIZER;

    conv_guidrec_key(g, &key);
    int r = txn_db_store(state->db, buf_base(&key), buf_len(&key), "", 0);
    buf_free(&key);
    return r;
}

int conv_guidrec_takeover(struct conversations_state *state, const struct message_guid *guid)
{
    struct buf key = BUF_INITIALIZER, copy = BUF_INITIALIZER;
    const char *val;
    size_t len;

    conv_guidrec_key_prefix(guid, &key);
    buf_truncate(&key, buf_len(&key) - 1); /* the old key has no colon */
    int r = fetch(state, &key, &val, &len);
    if (!r && state->txn) {
        buf_setmap(&copy, val, len);
        r = conv_guidrec_parse_old(buf_base(&key), buf_len(&key), buf_base(&copy), buf_len(&copy),
                                   store_empty, state);
        if (r == IMAP_MAILBOX_BADFORMAT) {
            log_bad(state, &key);
            r = 0;
        }
        if (!r) r = conv_delete(state, &key);
    }
    if (r == IMAP_NOTFOUND) r = 0;
    buf_free(&key);
    buf_free(&copy);
    return r;
}

static void append_copy_of(struct conv_copies *copies, const struct conv_guidrec *g)
{
    if (copies->n == copies->alloc) {
        copies->alloc = copies->alloc ? 2 * copies->alloc : 2;
        copies->recs = xreallocarray(copies->recs, copies->alloc, sizeof(*copies->recs));
    }
    copies->recs[copies->n++] = *g;
}

struct load {
    struct conversations_state *state;
    struct conv_copies *copies;
};

static int load_copy(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct load *load = rock;
    struct conv_guidrec g;

    if (conv_guidrec_parse(key, keylen, val, vallen, &g)) {
        struct buf k = BUF_INITIALIZER;
        buf_setmap(&k, key, keylen);
        log_bad(load->state, &k);
        buf_free(&k);
        return 0;
    }
    if (!*g.part) append_copy_of(load->copies, &g);
    return 0;
}

int conv_copies_get(struct conversations_state *state, const struct message_guid *guid,
                    struct conv_copies **copiesp)
{
    char hex[MESSAGE_GUID_STRLEN];
    struct buf prefix = BUF_INITIALIZER;
    struct load load = { state, hash_lookup(message_guid_encode(guid, hex), &state->copies) };

    if (load.copies) {
        *copiesp = load.copies;
        return 0;
    }
    int r = conv_guidrec_takeover(state, guid);
    if (r) return r;
    load.copies = xzmalloc(sizeof(*load.copies));
    conv_guidrec_key_prefix(guid, &prefix);
    r = txn_db_foreach(state->db, buf_base(&prefix), buf_len(&prefix), load_copy, &load);
    buf_free(&prefix);
    if (r) {
        free(load.copies->recs);
        free(load.copies);
        return r;
    }
    hash_insert(hex, load.copies, &state->copies);
    *copiesp = load.copies;
    return 0;
}

struct conv_guidrec *conv_copies_find(struct conv_copies *copies, uint32_t folder, uint32_t uid)
{
    for (size_t i = 0; i < copies->n; i++)
        if (copies->recs[i].foldernum == folder && copies->recs[i].uid == uid)
            return &copies->recs[i];
    return NULL;
}

int conv_copies_set(struct conversations_state *state, struct conv_copies *copies,
                    const struct conv_guidrec *g, bool live)
{
    struct conv_guidrec *rec = conv_copies_find(copies, g->foldernum, g->uid);

    if (!live) {
        if (rec) *rec = copies->recs[--copies->n];
        return conv_guidrec_delete(state, g);
    }
    if (rec)
        *rec = *g;
    else
        append_copy_of(copies, g);
    return conv_guidrec_store(state, g);
}
