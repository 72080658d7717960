/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_INDEX_PRIV_H
#define INCLUDED_INDEX_PRIV_H
/*
 * index_priv -- what the index files share
 *
 * Invariants: uids[0..exists) rises strictly. Everything in the mailbox up to told_modseq has
 * been told, but for the members of `held` (UIDs of the view that have gone). recent
 * holds UIDs of the view, or of messages that left it.
 */
#include "index.h"
#include "txn.h"

struct index_state {
    struct mailbox *mailbox; /* NULL: gone */
    struct seen_view *seen;
    char *name, *uniqueid, *userid;
    const struct auth_state *auth; /* the session's */
    bool isadmin, examine, include_expunged;
    bool locked;
    bool gone;
    bool damaged; /* the view has messages whose records can't be read */
    bool stale; /* a transaction of ours failed: read \Seen again before use */
    uint32_t rights;

    uint32_t *uids;
    uint32_t exists, alloc;
    struct seqset *recent; /* UIDs */
    struct seqset *held;   /* UIDs */
    modseq_t held_modseq;  /* of the first of them; 0: none */
    modseq_t told_modseq, deletedmodseq;
    uint32_t uidvalidity, uidnext;
    strarray_t flagnames; /* as told */
    struct conversations_state *conversations; /* during a search that looks at them */
    uint32_t recno_hint;  /* recno where the last message was found */
};

/*
 * A transaction with the mailbox open for writing, all locks taken that the mailbox, the user's
 * \Seen and `other` (internal name of another mailbox, or NULL) need. On an error nothing is open. keeps: only `other` will be changed.
 */
int index_txn_begin(struct index_state *st, const char *other, bool keeps, struct txn **txnp, struct mailbox **mboxp);
/* Commit, or abort when r is not 0; returns what came of it. */
int index_txn_end(struct index_state *st, struct txn **txnp, int r);
/* A record of the open mailbox shows in this view. */
bool index_record_shown(const struct index_state *st, const struct index_record *rec);

#endif
