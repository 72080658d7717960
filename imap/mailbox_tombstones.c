/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_tombstones -- how long the record of a message stays whose file is gone
 *
 * Such a record is what tells a replica, or a client with QRESYNC, that was away that the message was expunged. Once it is
 * dropped deletedmodseq says that something is not known any more, and who has heard of less compares
 * everything. So a repack keeps it, without its cache record,
 *
 *  - while it is younger than TOMBSTONE_MIN_AGE, however many there are;
 *  - then up to the age of the option expunge_tombstones, if it is among the newest, by modseq: as many
 *    as there are living messages, and at least TOMBSTONE_MIN_COUNT.
 *
 * The age counts from the expunge, by the clock of the server where it was done; one that is far ahead gets nothing
 * for that. Nobody is asked what he has heard of. doc/tombstones.md
 */
#include <config.h>

#include <stdlib.h>

#include "libconfig.h"
#include "mailbox_internal.h"
#include "util.h"
#include "xmalloc.h"

#define TOMBSTONE_MIN_AGE 3600 /* seconds */
#define TOMBSTONE_MIN_COUNT 4096

static bool is_unlinked(const struct index_record *rec)
{
    return rec->internal_flags & FLAG_INTERNAL_UNLINKED;
}

/* A record of no message (mailbox_wipe_record) says nothing. */
static bool is_young(const struct index_record *rec, time_t since)
{
    return rec->uid && rec->last_updated >= since;
}

static int cmp_modseq(const void *a, const void *b)
{
    modseq_t x = *(const modseq_t *)a, y = *(const modseq_t *)b;

    return x < y ? -1 : x > y;
}

/* Modseqs of those that their age lets stay; the caller frees. */
static modseq_t *young_modseqs(struct mailbox *mailbox, time_t since, size_t *np)
{
    struct index_record rec;
    modseq_t *modseqs = NULL;

    *np = 0;
    for (uint32_t recno = 1; recno <= mailbox->hdr.num_records; recno++) {
        if (mailbox_read_record(mailbox, recno, &rec) || !is_unlinked(&rec) ||
            !is_young(&rec, since))
            continue;
        modseqs = xgrow(modseqs, *np, sizeof(*modseqs));
        modseqs[(*np)++] = rec.modseq;
    }
    return modseqs;
}

void mailbox_tombstone_rule(struct mailbox *mailbox, struct tombstone_rule *rule)
{
    int age = config_getduration(IMAPOPT_EXPUNGE_TOMBSTONES);
    time_t now = txn_time(mailbox->txn);
    size_t n, most = mailbox->hdr.exists;

    *rule = (struct tombstone_rule){ .none = age <= 0 };
    if (rule->none) return;
    if (most < TOMBSTONE_MIN_COUNT) most = TOMBSTONE_MIN_COUNT;
    rule->since = now - age;
    rule->surely = now - (age < TOMBSTONE_MIN_AGE ? age : TOMBSTONE_MIN_AGE);
    rule->clock = now + TOMBSTONE_MIN_AGE;
    modseq_t *modseqs = young_modseqs(mailbox, rule->since, &n);
    if (n > most) {
        qsort(modseqs, n, sizeof(*modseqs), cmp_modseq);
        rule->above = modseqs[n - most - 1];
    }
    free(modseqs);
}

bool mailbox_tombstone_stays(const struct tombstone_rule *rule, const struct index_record *rec)
{
    if (rule->none || !is_young(rec, rule->since)) return false;
    return rec->modseq > rule->above ||
           (rec->last_updated >= rule->surely && rec->last_updated <= rule->clock);
}

bool mailbox_needs_purge(struct mailbox *mailbox)
{
    struct tombstone_rule rule;
    struct index_record rec;

    mailbox_tombstone_rule(mailbox, &rule);
    for (uint32_t recno = 1; recno <= mailbox->hdr.num_records; recno++) {
        if (mailbox_read_record(mailbox, recno, &rec) || !is_unlinked(&rec)) continue;
        if (rec.cache_offset || !mailbox_tombstone_stays(&rule, &rec)) return true;
    }
    return false;
}
