/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_RANGES_H
#define INCLUDED_SYNC_RANGES_H
/*
 * sync_ranges -- find where two lists of messages differ, by digests of ranges of UIDs (doc/sync-extensions.md, X-RANGES)
 *
 * A digest is over all that a full update compares of the messages that live; what is expunged does not count. So where two
 * digests are equal a full update has nothing to do, whichever tombstones either end has kept. Ranges that differ are
 * divided, each part having as many of our messages as the others, until few are left in it on either end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync_record.h"

struct dlist;
struct mailbox;
struct sync_folder;

#define SYNC_RANGES_DIGEST 16 /* bytes: the first of a SHA-256 */
#define SYNC_RANGES_FAN 8     /* parts of a range that differs */
#define SYNC_RANGES_LEAF 2    /* so many messages on either end: a range is not divided further */
#define SYNC_RANGES_ASK 256   /* ranges of one command, at most */
#define SYNC_RANGES_MANY 16384 /* so many differ: all messages are asked for */

struct sync_range {
    uint32_t first, last; /* UIDs, both included; first is not 0 */
    uint32_t n;           /* messages that live */
    unsigned char digest[SYNC_RANGES_DIGEST];
};
struct sync_ranges { /* in rising order and apart, unless said otherwise */
    struct sync_range *v;
    size_t n, alloc;
};
/* Add one behind the others; valid until the next. */
struct sync_range *sync_ranges_add(struct sync_ranges *ranges, uint32_t first, uint32_t last);
void sync_ranges_fini(struct sync_ranges *ranges);
bool sync_ranges_have(const struct sync_ranges *ranges, uint32_t uid);
bool sync_range_equal(const struct sync_range *a, const struct sync_range *b); /* n and digest */

/* ---- one end ---- */

/* fn for each message that lives and has a UID from first to last, in the order of UIDs; not 0 ends it and is returned. */
typedef int sync_ranges_fn(const struct sync_record *rec, void *rock);
struct sync_ranges_source {
    int (*each)(void *rock, uint32_t first, uint32_t last, sync_ranges_fn *fn, void *fnrock);
    void *rock;
};
/* Of an open mailbox; IMAP_MAILBOX_BADFORMAT for UIDs that do not rise. */
struct sync_ranges_source sync_ranges_of(struct mailbox *mailbox);
/* Set n and digest. */
int sync_ranges_sum(const struct sync_ranges_source *source, struct sync_range *v, size_t n);
/* Add the parts of a range, with their n and digests. parent->n: how many messages it has, or had a moment ago. */
int sync_ranges_split(const struct sync_ranges_source *source, const struct sync_range *parent,
                      struct sync_ranges *parts);

/* ---- two ends ---- */

struct sync_ranges_ends {
    /* The parts of each of these, as sync_ranges_split makes them. */
    int (*split)(void *rock, const struct sync_ranges *parents, struct sync_ranges *parts);
    /* Set n and digest to those of the other end; at most SYNC_RANGES_ASK. */
    int (*ask)(void *rock, struct sync_range *v, size_t n);
    void *rock;
};
/*
 * The ranges within root in which the ends differ, in order: each live message that is not the same on both ends lies in one.
 * root->n as for sync_ranges_split. Those that touch are one.
 */
int sync_ranges_find(const struct sync_ranges_ends *ends, const struct sync_range *root,
                     struct sync_ranges *differing);

/* ---- on the wire ---- */

/* NAME (1:62 63:125 ...) at the end of kl. */
void sync_ranges_print(const struct sync_range *v, size_t n, const char *name, struct dlist *kl);
/* Read that. IMAP_PROTOCOL_BAD_PARAMETERS: not in rising order, not apart, more than SYNC_RANGES_ASK. */
int sync_ranges_parse(const struct dlist *list, struct sync_ranges *out);
/* DIGESTS ((62 9f86d081...) (63 ...) ...): n and digest of each. */
void sync_ranges_print_digests(const struct sync_ranges *ranges, struct dlist *kl);
/* Read that into the ranges that were asked for. IMAP_PROTOCOL_ERROR: not as many, or what can't be. */
int sync_ranges_parse_digests(const struct dlist *list, struct sync_range *v, size_t n);

/* RANGES %(UIDVALIDITY LAST_UID HIGHESTMODSEQ SYNC_CRC SYNC_CRC_ANNOT): a root, the caller's. */
struct dlist *sync_ranges_print_state(const struct sync_folder *folder);
/* Is it of that state? IMAP_AGAIN: of another. IMAP_PROTOCOL_ERROR: it is not told. */
int sync_ranges_check_state(const struct dlist *kl, const struct sync_folder *folder);

#endif
