/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_rebuild -- all that can be derived from the mailboxes, derived anew
 *
 * B, F, G and Q records are counted again, and message-ids that are missing are added. What the mailboxes don't tell
 * stays: other message-ids, counted flags, folder numbers, and that a THREADMODSEQ has been told to clients. An old database
 * that knows folders by name knows them by id afterwards.
 *
 * A recount that is a transaction of its own does not keep others waiting while it counts: it counts beside the database, looks
 * again for what has changed meanwhile until that is little, and takes the user's lock only for the rest. Where a
 * user is so busy that it never becomes little, the last look is a longer one.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "conversations_int.h"
#include "conversations_recount.h"
#include "imap_err.h"
#include "xmalloc.h"

#define ROUNDS 5
#define FEW 64 /* records */

/* In the transaction; what went that was counted is counted anew. */
static int finish(struct recount *rc, struct txn *txn, struct conversations_state *real)
{
    size_t moved;
    int r = recount_round(rc, txn, &moved);

    if (r == IMAP_AGAIN) {
        recount_begin(rc, real);
        r = recount_round(rc, txn, &moved);
    }
    return r ? r : recount_store(rc, real);
}

int conversations_rebuild_user(struct txn *txn, struct user_meta *meta, conv_mailbox_cb *cb,
                               void *rock)
{
    struct conversations_state *real = NULL;
    int r = conversations_open_user(txn, meta, &real);

    if (r || !real) return r;
    struct recount *rc = recount_new(cb, rock);
    recount_begin(rc, real);
    r = finish(rc, txn, real);
    recount_free(&rc);
    return r;
}

/* Counts without a lock. An error is none yet: under the lock it may not be there. */
static void count_beside(struct recount *rc, struct conversations_state *state)
{
    size_t moved = 0;
    int r = IMAP_AGAIN;

    for (int i = 0; i < ROUNDS && (r == IMAP_AGAIN || moved > FEW); i++) {
        if (r) recount_begin(rc, state);
        r = recount_round(rc, NULL, &moved);
        if (r && r != IMAP_AGAIN) break;
    }
    if (r) recount_begin(rc, state);
}

static int store(struct recount *rc, const char *userid)
{
    struct conversations_state *real = NULL;
    struct user_meta *meta = NULL;
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = user_meta_lookup(userid, txn, &meta);
    if (!r) r = conversations_open_user(txn, meta, &real);
    if (!r && real) r = finish(rc, txn, real);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    user_meta_free(&meta);
    return r;
}

int conversations_rebuild_now(const char *userid, conv_mailbox_cb *cb, void *rock)
{
    struct conversations_state *state = NULL;
    struct user_meta *meta = NULL;
    int r = user_meta_lookup(userid, NULL, &meta);

    if (!r) r = conversations_open_user(NULL, meta, &state);
    if (!r && state) {
        struct recount *rc = recount_new(cb, rock);
        count_beside(rc, state);
        conversations_close(&state);
        r = store(rc, userid);
        recount_free(&rc);
    }
    conversations_close(&state);
    user_meta_free(&meta);
    return r;
}
