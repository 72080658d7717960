/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_quota -- limits of a quota root on the wire
 *
 * LIMIT has 32 bits. A storage limit that does not fit is told as unlimited there and
 * in full under its own name, which counts where both stand.
 */
#include <config.h>

#include "sync_quota.h"

#include <stdint.h>
#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "sync_name.h"

#define WIRE_UNLIMITED UINT32_MAX

struct dlist *sync_quota_print(const struct quota *q, const char *name)
{
    struct dlist *kl = dlist_newkvlist(NULL, name);
    int64_t storage = q->limits[QUOTA_STORAGE];
    bool fits = storage >= 0 && storage < WIRE_UNLIMITED;

    dlist_setatom(kl, "ROOT", q->root);
    dlist_setnum32(kl, "LIMIT", fits ? (uint32_t)storage : WIRE_UNLIMITED);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++)
        if (q->limits[res] >= 0) dlist_setnum64(kl, quota_names[res], (uint64_t)q->limits[res]);
    dlist_setnum64(kl, "MODSEQ", q->modseq);
    return kl;
}

int sync_quota_parse(const struct dlist *kl, struct quota *q)
{
    const char *root;
    uint32_t limit;
    uint64_t num;

    if (!sync_getroot(kl, "ROOT", &root) || !dlist_getnum32(kl, "LIMIT", &limit))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    quota_init(q, root);
    if (limit != WIRE_UNLIMITED) q->limits[QUOTA_STORAGE] = limit;
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++)
        if (dlist_getnum64(kl, quota_names[res], &num) && num <= INT64_MAX)
            q->limits[res] = (int64_t)num;
    if (dlist_getnum64(kl, "MODSEQ", &num)) q->modseq = num;
    return 0;
}

bool sync_quota_same_limits(const struct quota *a, const struct quota *b)
{
    return !memcmp(a->limits, b->limits, sizeof(a->limits));
}
