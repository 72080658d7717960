/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_guid -- where the copies of a message are: for a new one to be linked to, and for clients
 */
#include <config.h>

#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist.h"

static int lookup(struct conversations_state *state, uint32_t foldernum, mbentry_t **entryp)
{
    const char *key = strarray_nth(&state->folders, (int)foldernum);

    if (!key) return IMAP_NOTFOUND;
    return state->byname ? mboxlist_lookup(key, entryp, state->txn)
                         : mboxlist_lookup_by_uniqueid(key, entryp, false, state->txn);
}

/* The file of one copy, if it is on the partition and there. */
static bool path_of(struct conversations_state *state, const struct conv_guidrec *g,
                    const char *partition, struct buf *path)
{
    bool archived = g->internal_flags & FLAG_INTERNAL_ARCHIVED;
    mbentry_t *entry = NULL;
    struct stat st;

    if (g->internal_flags & FLAG_INTERNAL_UNLINKED) return false;
    int r = lookup(state, g->foldernum, &entry);
    bool found = false;
    if (!r && entry->partition && !strcmp(entry->partition, partition)) {
        struct mailbox_place place = mailbox_place_of(entry);
        found = !mailbox_path_message(&place, archived, g->uid, path) &&
                !stat(buf_cstring(path), &st) && S_ISREG(st.st_mode);
    }
    mbentry_free(&entry);
    return found;
}

int conversations_find_guid(struct conversations_state *state, const struct message_guid *guid,
                            const char *partition, char **path)
{
    struct buf found = BUF_INITIALIZER;
    struct conv_copies *copies;

    *path = NULL;
    if (!state) return IMAP_NOTFOUND;
    int r = conv_copies_get(state, guid, &copies);
    if (r) return r;
    r = IMAP_NOTFOUND;
    for (size_t i = 0; r && i < copies->n; i++)
        if (path_of(state, &copies->recs[i], partition, &found)) r = 0;
    if (!r) *path = buf_newcstring(&found);
    buf_free(&found);
    return r;
}

int conversations_mailboxes_of(struct conversations_state *state, const struct message_guid *guid,
                               int (*cb)(const mbentry_t *mbentry, void *rock), void *rock)
{
    struct conv_copies *copies;

    int r = conv_copies_get(state, guid, &copies);
    for (size_t i = 0; !r && i < copies->n; i++) {
        mbentry_t *entry = NULL;
        bool again = copies->recs[i].internal_flags & FLAG_INTERNAL_EXPUNGED;
        for (size_t j = 0; j < i && !again; j++)
            again = copies->recs[j].foldernum == copies->recs[i].foldernum &&
                    !(copies->recs[j].internal_flags & FLAG_INTERNAL_EXPUNGED);
        if (again) continue;
        r = lookup(state, copies->recs[i].foldernum, &entry);
        if (!r) r = cb(entry, rock);
        if (r == IMAP_NOTFOUND || r == IMAP_MAILBOX_NONEXISTENT) r = 0; /* a folder that has just gone */
        mbentry_free(&entry);
    }
    return r;
}
