/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_rebuild -- all that can be derived from the mailboxes, derived anew
 *
 * B, F, G and Q records are dropped and counted again, mailbox by mailbox, in one transaction. What the
 * mailboxes don't tell stays: message-ids, counted flags, folder numbers, and that a THREADMODSEQ has
 * been told to clients. An old database that knows folders by name knows them by id afterwards.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "xmalloc.h"

struct rebuild {
    struct conversations_state *state;
    hash_table
        modseqs; /* folder key -> modseq_t of its old F record, until the folder was counted */
    conv_mailbox_cb *cb;
    void *rock;
};

static int note_modseq(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct rebuild *rebuild = rock;
    struct conv_status status;

    if (conv_status_parse(val, vallen, &status)) return 0;
    char *folder = xstrndup(key + 1, keylen - 1);
    modseq_t *modseq = xmalloc(sizeof(*modseq));
    *modseq = status.threadmodseq;
    free(hash_insert(folder, modseq, &rebuild->modseqs));
    free(folder);
    return 0;
}

static int drop(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct conversations_state *state = rock;

    (void)val;
    (void)vallen;
    state->changed = true;
    return txn_db_delete(state->db, key, keylen);
}

static int drop_derived(struct rebuild *rebuild)
{
    static const char *const kinds[] = { "B", "F", "G", CONV_KEY_QUOTA };
    struct conversations_state *state = rebuild->state;
    int r = txn_db_foreach(state->db, "F", 1, note_modseq, rebuild);

    for (size_t i = 0; !r && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        r = txn_db_foreach(state->db, kinds[i], 1, drop, state);
    if (r || !state->byname) return r;
    state->byname = false;
    strarray_fini(&state->folders);
    state->folders_dirty = true;
    return txn_db_delete(state->db, CONV_KEY_FOLDER_NAMES, strlen(CONV_KEY_FOLDER_NAMES));
}

static int add_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    return conversations_update_record(rock, mailbox, NULL, rec, false);
}

static int add_mailbox(const mbentry_t *mbentry, void *rock)
{
    struct rebuild *rebuild = rock;
    struct conversations_state *state = rebuild->state, *own = NULL;
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_mbentry_iwl(state->txn, mbentry, &mailbox);

    if (!r) r = conversations_open_mbox(mailbox, &own);
    if (r || own != state) return r; /* a kind of mailbox that takes no part */
    if (rebuild->cb) rebuild->cb(mbentry->name, rebuild->rock);
    r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, add_record, state);
    if (r) return r;
    modseq_t *byname = hash_del(mbentry->name, &rebuild->modseqs);
    modseq_t *byid = hash_del(mailbox_uniqueid(mailbox), &rebuild->modseqs);
    const modseq_t *told = byid ? byid : byname;
    modseq_t modseq = told ? *told : mailbox_index_header(mailbox)->highestmodseq;
    free(byname);
    free(byid);
    return conversations_add_mailbox(state, mailbox, modseq);
}

/* A folder that is gone keeps its THREADMODSEQ, which clients were told. */
static void keep_modseq(const char *folder, void *data, void *rock)
{
    struct conversations_state *state = rock;
    struct conv_folderstatus *fs;

    if (conv_status_get(state, folder, &fs)) return; /* every F record was deleted: it can't fail */
    fs->status.threadmodseq = *(const modseq_t *)data;
    fs->dirty = true;
}

/* Numbers of folders that are gone, or that have another number too, become free. */
static void free_numbers(struct conversations_state *state)
{
    for (int i = 0; i < strarray_size(&state->folders); i++) {
        const char *key = strarray_nth(&state->folders, i);
        mbentry_t *entry = NULL;
        if (key && (strarray_find(&state->folders, key, 0) < i ||
                    mboxlist_lookup_by_uniqueid(key, &entry, false, state->txn))) {
            strarray_set(&state->folders, i, NULL);
            state->folders_dirty = true;
        }
        mbentry_free(&entry);
    }
}

int conversations_rebuild_user(struct txn *txn, struct user_meta *meta, conv_mailbox_cb *cb,
                               void *rock)
{
    struct rebuild rebuild = { .cb = cb, .rock = rock };
    int r = conversations_open_user(txn, meta, &rebuild.state);

    if (r || !rebuild.state) return r;
    construct_hash_table(&rebuild.modseqs, 64);
    conv_forget(rebuild.state);
    rebuild.state->recount = true;
    bool byname = rebuild.state->byname;
    r = drop_derived(&rebuild);
    if (!r) {
        free_numbers(rebuild.state);
        r = mboxlist_usermboxtree(user_meta_userid(meta), add_mailbox, &rebuild, 0);
    }
    if (!r && !byname) hash_enumerate(&rebuild.modseqs, keep_modseq, rebuild.state);
    free_hash_table(&rebuild.modseqs, free);
    return r;
}

int conversations_rebuild_now(const char *userid)
{
    struct user_meta *meta = NULL;
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = user_meta_lookup(userid, txn, &meta);
    if (!r) r = conversations_rebuild_user(txn, meta, NULL, NULL);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    user_meta_free(&meta);
    return r;
}
