/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_reserve -- which of our messages does the replica have already?
 *
 * Before anything is uploaded, the replica is asked to look for the new GUIDs in its own
 * mailboxes (handbook 03 §10.4 step 1). What it finds is never sent: a copied or moved message
 * travels as a name.
 */
#include <config.h>

#include "sync_client.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mbtype.h"
#include "xmalloc.h"

#define RESERVE_MAX 8193 /* GUIDs in one command, as 3.6.1 */

/* ---- what is there ---- */

void sync_sent_init(struct sync_sent *sent)
{
    construct_hash_table(&sent->guids, 256);
}

void sync_sent_fini(struct sync_sent *sent)
{
    free_hash_table(&sent->guids, NULL);
}

static const char *sent_key(const char *partition, const struct message_guid *guid, struct buf *key)
{
    char text[MESSAGE_GUID_STRLEN];

    buf_reset(key);
    buf_printf(key, "%s %s", partition, message_guid_encode(guid, text));
    return buf_cstring(key);
}

bool sync_sent_has(const struct sync_sent *sent, const char *partition,
                   const struct message_guid *guid)
{
    struct buf key = BUF_INITIALIZER;
    bool found = hash_lookup(sent_key(partition, guid, &key), &sent->guids) != NULL;

    buf_free(&key);
    return found;
}

void sync_sent_add(struct sync_sent *sent, const char *partition, const struct message_guid *guid)
{
    struct buf key = BUF_INITIALIZER;

    hash_insert(sent_key(partition, guid, &key), sent, &sent->guids);
    buf_free(&key);
}

const char *sync_target_partition(const struct sync_client *sc, const mbentry_t *mbentry)
{
    return sc->partition ? sc->partition : mbentry->partition;
}

/* ---- what is needed ---- */

struct needed { /* of one target partition */
    char *partition;
    const struct sync_sent *sent;
    struct message_guid *v;
    size_t n, alloc;
    hash_table seen;
};

static struct needed *needed_for(ptrarray_t *all, const char *partition, const struct sync_sent *sent)
{
    for (int i = 0; i < ptrarray_size(all); i++) {
        struct needed *need = ptrarray_nth(all, i);
        if (!strcmp(need->partition, partition)) return need;
    }
    struct needed *need = xzmalloc(sizeof(*need));
    need->partition = xstrdup(partition);
    need->sent = sent;
    construct_hash_table(&need->seen, 256);
    ptrarray_append(all, need);
    return need;
}

static void needed_free(void *p)
{
    struct needed *need = p;

    free(need->partition);
    free(need->v);
    free_hash_table(&need->seen, NULL);
    free(need);
}

static int collect_cb(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct needed *need = rock;
    char text[MESSAGE_GUID_STRLEN];

    message_guid_encode(&rec->guid, text);
    if (hash_lookup(text, &need->seen) || sync_sent_has(need->sent, need->partition, &rec->guid)) return 0;
    hash_insert(text, need, &need->seen);
    if (need->n == need->alloc) {
        need->alloc = need->alloc ? 2 * need->alloc : 64;
        need->v = xrealloc(need->v, need->alloc * sizeof(*need->v));
    }
    need->v[need->n++] = rec->guid;
    return 0;
}

static int collect(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_state *state,
                   const struct sync_sent *sent, ptrarray_t *all)
{
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_mbentry(mbentry, &mailbox);

    if (r) return 0; /* gone meanwhile, or damaged: its update will tell */
    const struct sync_remote *remote = sync_state_find(state, mbentry->uniqueid);
    r = mailbox_foreach(mailbox, remote ? remote->folder.last_uid : 0, 0,
                        MAILBOX_ITER_SKIP_UNLINKED, collect_cb,
                        needed_for(all, sync_target_partition(sc, mbentry), sent));
    mailbox_close(&mailbox);
    return r;
}

/* ---- asking ---- */

static int missing_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    hash_table *missing = rock;

    if (strcmp((*dlp)->name, "MISSING") != 0) return IMAP_PROTOCOL_ERROR;
    for (const struct dlist *item = (*dlp)->head; item; item = item->next) {
        struct message_guid guid;
        char text[MESSAGE_GUID_STRLEN];
        if (!dlist_toguid(item, &guid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
        hash_insert(message_guid_encode(&guid, text), missing, missing);
    }
    return 0;
}

static int ask(struct sync_client *sc, const struct needed *need, size_t from, size_t to,
               const struct sync_state *state, struct sync_sent *sent)
{
    struct dlist *kl = dlist_newkvlist(NULL, "RESERVE");
    hash_table missing;

    construct_hash_table(&missing, 256);
    dlist_setatom(kl, "PARTITION", need->partition);
    struct dlist *names = dlist_newlist(kl, "MBOXNAME");
    for (int i = 0; i < ptrarray_size(&state->folders); i++) {
        const struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        dlist_setatom(names, NULL, remote->folder.name);
    }
    struct dlist *guids = dlist_newlist(kl, "GUID");
    for (size_t i = from; i < to; i++) dlist_setguid(guids, NULL, &need->v[i]);

    int r = sync_client_command(sc, "APPLY", kl, missing_line, &missing);
    for (size_t i = from; i < to && !r; i++) {
        char text[MESSAGE_GUID_STRLEN];
        if (hash_lookup(message_guid_encode(&need->v[i], text), &missing)) continue;
        sync_sent_add(sent, need->partition, &need->v[i]);
    }
    free_hash_table(&missing, NULL);
    return r;
}

int sync_do_reserve(struct sync_client *sc, const ptrarray_t *mbentries,
                    const struct sync_state *state, struct sync_sent *sent)
{
    ptrarray_t all = PTRARRAY_INITIALIZER;
    int r = 0;

    if (!ptrarray_size(&state->folders)) return 0; /* nowhere to look */
    for (int i = 0; i < ptrarray_size(mbentries) && !r; i++) {
        const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
        /* One that can't be read fails by name when its turn comes; the others go on. */
        if (!(mbentry->mbtype & MBTYPE_INTERMEDIATE)) (void)collect(sc, mbentry, state, sent, &all);
    }
    for (int i = 0; i < ptrarray_size(&all) && !r; i++) {
        const struct needed *need = ptrarray_nth(&all, i);
        for (size_t from = 0; from < need->n && !r; from += RESERVE_MAX) {
            size_t to = from + RESERVE_MAX < need->n ? from + RESERVE_MAX : need->n;
            r = ask(sc, need, from, to, state, sent);
        }
    }
    ptrarray_fini_with(&all, needed_free);
    return r;
}
