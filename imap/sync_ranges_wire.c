/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_ranges_wire -- ranges and their digests as text (doc/sync-extensions.md, X-RANGES)
 *
 * Nothing of what the other end says is used that cannot be.
 */
#include <config.h>

#include "sync_ranges.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "sync_folder.h"
#include "util.h"

void sync_ranges_print(const struct sync_range *v, size_t n, const char *name, struct dlist *kl)
{
    struct dlist *list = dlist_newlist(kl, name);
    char text[24];

    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "%" PRIu32 ":%" PRIu32, v[i].first, v[i].last);
        dlist_setatom(list, NULL, text);
    }
}

static bool range_parse(const struct dlist *item, uint32_t *first, uint32_t *last)
{
    const char *text, *colon;

    if (!dlist_toatom(item, &text) || !(colon = strchr(text, ':'))) return false;
    return !parse_u32(text, (size_t)(colon - text), first) && !parse_u32_cstr(colon + 1, last) &&
           *first && *first <= *last;
}

int sync_ranges_parse(const struct dlist *list, struct sync_ranges *out)
{
    uint32_t first, last, prev = 0;

    for (const struct dlist *item = list->head; item; item = item->next) {
        if (out->n == SYNC_RANGES_ASK || !range_parse(item, &first, &last) || first <= prev)
            return IMAP_PROTOCOL_BAD_PARAMETERS;
        sync_ranges_add(out, first, last);
        prev = last;
    }
    return 0;
}

void sync_ranges_print_digests(const struct sync_ranges *ranges, struct dlist *kl)
{
    struct dlist *list = dlist_newlist(kl, "DIGESTS");
    char hex[2 * SYNC_RANGES_DIGEST + 1];

    for (size_t i = 0; i < ranges->n; i++) {
        struct dlist *pair = dlist_newlist(list, NULL);
        dlist_setnum32(pair, NULL, ranges->v[i].n);
        bin_to_hex(ranges->v[i].digest, SYNC_RANGES_DIGEST, hex);
        dlist_setatom(pair, NULL, hex);
    }
}

static bool digest_parse(const struct dlist *pair, struct sync_range *range)
{
    uint64_t n;
    const char *hex;

    if ((pair->type != DL_LIST && pair->type != DL_KVLIST) || pair->nchildren != 2) return false;
    if (!dlist_tonum64(pair->head, &n) || n > (uint64_t)range->last - range->first + 1) return false;
    if (!dlist_toatom(pair->tail, &hex) || strlen(hex) != 2 * SYNC_RANGES_DIGEST) return false;
    range->n = (uint32_t)n;
    return !hex_to_bin(hex, strlen(hex), range->digest);
}

int sync_ranges_parse_digests(const struct dlist *list, struct sync_range *v, size_t n)
{
    const struct dlist *pair = list->head;

    if (list->nchildren != n) return IMAP_PROTOCOL_ERROR;
    for (size_t i = 0; i < n; i++, pair = pair->next)
        if (!digest_parse(pair, &v[i])) return IMAP_PROTOCOL_ERROR;
    return 0;
}

/* ---- which state it is of ---- */

struct state {
    uint32_t uidvalidity, last_uid, crc_basic, crc_annot;
    modseq_t highestmodseq;
};

struct dlist *sync_ranges_print_state(const struct sync_folder *folder)
{
    struct dlist *kl = dlist_newkvlist(NULL, "RANGES");

    dlist_setnum32(kl, "UIDVALIDITY", folder->uidvalidity);
    dlist_setnum32(kl, "LAST_UID", folder->last_uid);
    dlist_setnum64(kl, "HIGHESTMODSEQ", folder->highestmodseq);
    dlist_setnum32(kl, "SYNC_CRC", folder->crc_basic);
    dlist_setnum32(kl, "SYNC_CRC_ANNOT", folder->crc_annot);
    return kl;
}

int sync_ranges_check_state(const struct dlist *kl, const struct sync_folder *folder)
{
    struct state s;

    if (!dlist_getnum32(kl, "UIDVALIDITY", &s.uidvalidity) || !dlist_getnum32(kl, "LAST_UID", &s.last_uid) ||
        !dlist_getnum64(kl, "HIGHESTMODSEQ", &s.highestmodseq) || !dlist_getnum32(kl, "SYNC_CRC", &s.crc_basic) ||
        !dlist_getnum32(kl, "SYNC_CRC_ANNOT", &s.crc_annot))
        return IMAP_PROTOCOL_ERROR;
    bool same = s.uidvalidity == folder->uidvalidity && s.last_uid == folder->last_uid &&
                s.highestmodseq == folder->highestmodseq && s.crc_basic == folder->crc_basic &&
                s.crc_annot == folder->crc_annot;
    return same ? 0 : IMAP_AGAIN;
}
