/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_full_copies -- which messages of the replica were copied back before?
 *
 * A copied message gets a new UID here, and the replica expunges the old one afterwards. When a run
 * ends between the two (a crash, a lost connection), the next one finds the old one alive
 * and must not copy it again. A copy is known by its GUID, internal date, savedate and
 * createdmodseq, which it has from the replica's record; no two appends of one end agree in all of them. Where the
 * record has no createdmodseq (a mailbox of an old version), its modseq is the copy's.
 *
 * Only a copy that lives on after this update counts.
 */
#include <config.h>

#include "sync_client_full.h"

#include <stdlib.h>

#include "mailbox.h"
#include "xmalloc.h"

struct candidate { /* a record of the replica; same GUID: a chain */
    size_t pos;
    modseq_t created;
    time_t savedate, internaldate;
    struct candidate *next;
};

struct search {
    hash_table byguid; /* struct candidate */
    bitvector_t found; /* by position among the records of the replica */
};

static int collect_step(struct full *full, struct full_decision d, struct sync_record *ours,
                        struct sync_record *theirs)
{
    struct search *search = full->search;
    char guid[MESSAGE_GUID_STRLEN];

    if (d.theirs != FULL_THEIRS_COPYBACK) return 0;
    struct candidate *c = xmalloc(sizeof(*c));
    message_guid_encode(&theirs->rec.guid, guid);
    *c = (struct candidate){ full->step.pos, full_created(&theirs->rec), theirs->rec.savedate,
                             theirs->rec.internaldate, hash_lookup(guid, &search->byguid) };
    hash_insert(guid, c, &search->byguid);
    return 0;
}

modseq_t full_created(const struct index_record *theirs)
{
    return theirs->createdmodseq ? theirs->createdmodseq : theirs->modseq;
}

static bool is_copy(const struct index_record *ours, const struct candidate *theirs)
{
    return ours->createdmodseq == theirs->created && ours->savedate == theirs->savedate &&
           ours->internaldate == theirs->internaldate;
}

static int match_step(struct full *full, struct full_decision d, struct sync_record *ours,
                      struct sync_record *theirs)
{
    struct search *search = full->search;
    char guid[MESSAGE_GUID_STRLEN];

    if (!ours || (ours->rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) return 0;
    if (d.ours == FULL_OURS_EXPUNGE) return 0;
    message_guid_encode(&ours->rec.guid, guid);
    for (const struct candidate *c = hash_lookup(guid, &search->byguid); c; c = c->next)
        if (is_copy(&ours->rec, c)) bv_set(&search->found, c->pos);
    return 0;
}

static void free_chain(void *p)
{
    struct candidate *next;

    for (struct candidate *c = p; c; c = next) {
        next = c->next;
        free(c);
    }
}

int full_find_copies(struct full *full)
{
    struct search search;

    bv_setsize(&full->copied, 0);
    construct_hash_table(&search.byguid, 64);
    bv_init(&search.found);
    full->search = &search;
    int r = full_walk(full, collect_step);
    if (!r && hash_numrecords(&search.byguid)) r = full_walk(full, match_step);
    full->search = NULL;
    if (!r) bv_copy(&full->copied, &search.found);
    bv_fini(&search.found);
    free_hash_table(&search.byguid, free_chain);
    return r;
}
