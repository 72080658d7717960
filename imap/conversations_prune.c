/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_prune -- forget message-ids that nothing will ask for any more (handbook 01 §5.10)
 *
 * A record stays while it is young, and with conversations_keep_existing while one of its conversations still has
 * messages. A record that makes no sense goes.
 */
#include <config.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "libconfig.h"

struct prune {
    struct conversations_state *state;
    time_t before;
    bool keep_existing;
    size_t seen, removed;
};

static bool has_messages(struct prune *prune, const struct conv_msgid *m)
{
    for (size_t i = 0; i < m->ncids; i++) {
        struct buf key = BUF_INITIALIZER;
        conv_record_key(m->cids[i], &key);
        int r = txn_db_fetch(prune->state->db, buf_base(&key), buf_len(&key), NULL, NULL);
        buf_free(&key);
        if (r != IMAP_NOTFOUND) return true; /* an error is no reason to remove anything */
    }
    return false;
}

static int prune_one(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct prune *prune = rock;
    struct conv_msgid m;
    bool keep = false;

    prune->seen++;
    if (!conv_msgid_parse(val, vallen, &m)) {
        keep = m.stamp >= prune->before || (prune->keep_existing && has_messages(prune, &m));
        conv_msgid_fini(&m);
    }
    if (keep) return 0;
    struct buf k = BUF_INITIALIZER;
    buf_setmap(&k, key, keylen);
    int r = conv_delete(prune->state, &k);
    buf_free(&k);
    prune->removed++;
    return r;
}

int conversations_prune(struct conversations_state *state, time_t before, size_t *seen,
                        size_t *removed)
{
    struct prune prune = { .state = state,
                           .before = before,
                           .keep_existing = config_getswitch(IMAPOPT_CONVERSATIONS_KEEP_EXISTING) };

    if (!state) return 0;
    int r = txn_db_foreach(state->db, "<", 1, prune_one, &prune);
    *seen += prune.seen;
    *removed += prune.removed;
    return r;
}
