/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_dump -- a user's conversations database record by record, as ctl_conversationsdb shows and loads it
 *
 * Nothing here knows what a record means: what is loaded is stored as it is.
 */
#include <config.h>

#include "conversations_int.h"
#include "imap_err.h"

int conversations_dump(struct conversations_state *state, txn_db_cb *cb, void *rock)
{
    return state ? txn_db_foreach(state->db, "", 0, cb, rock) : 0;
}

static int drop(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct conversations_state *state = rock;

    (void)val;
    (void)vallen;
    return txn_db_delete(state->db, key, keylen);
}

int conversations_clear(struct conversations_state *state)
{
    if (!state) return 0;
    conv_forget(state);
    state->folders_dirty = false;
    state->counted_stored = true; /* only what is loaded */
    state->changed = true;
    return txn_db_foreach(state->db, "", 0, drop, state);
}

int conversations_load(struct conversations_state *state, const char *key, size_t keylen,
                       const char *val, size_t vallen)
{
    return state ? txn_db_store(state->db, key, keylen, val, vallen) : 0;
}

bool conversations_has_duplicate_folders(const struct conversations_state *state)
{
    for (int i = 0; state && i < strarray_size(&state->folders); i++) {
        const char *key = strarray_nth(&state->folders, i);
        if (key && strarray_find(&state->folders, key, 0) < i) return true;
    }
    return false;
}
