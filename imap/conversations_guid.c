/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_guid -- a copy of the same bytes that a new message can be linked to
 */
#include <config.h>

#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist.h"

/* The file of one copy, if it is on the partition and there. */
static bool path_of(struct conversations_state *state, const struct conv_guidrec *g,
                    const char *partition, struct buf *path)
{
    const char *key = strarray_nth(&state->folders, (int)g->foldernum);
    bool archived = g->internal_flags & FLAG_INTERNAL_ARCHIVED;
    mbentry_t *entry = NULL;
    struct stat st;

    if (!key || (g->internal_flags & FLAG_INTERNAL_UNLINKED)) return false;
    int r = state->byname ? mboxlist_lookup(key, &entry, state->txn)
                          : mboxlist_lookup_by_uniqueid(key, &entry, false, state->txn);
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
