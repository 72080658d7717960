/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_THREAD_H
#define INCLUDED_THREAD_H
/*
 * thread -- messages as threads (RFC 5256; REFS: references only, latest thread last)
 *
 * handbook 04 §3.15. Costs n log n whatever the messages say.
 */
#include <stdbool.h>
#include <stdint.h>

#include "search_expr.h"

enum thread_algorithm {
    THREAD_ORDEREDSUBJECT,
    THREAD_REFERENCES,
    THREAD_REFS,
    THREAD_UNKNOWN, /* BAD Invalid Thread algorithm */
};
enum thread_algorithm thread_algorithm_lookup(const char *name); /* any case */

struct threader;
struct threader *threader_new(enum thread_algorithm algorithm, const struct search_source *source);
/* Messages are added in the order of their UIDs. One whose data can't be read is left out, and noted in source->unread. */
void threader_add(struct threader *threader, const struct index_record *rec,
                  const struct index_message *msg);
/* Append the answer behind "* THREAD ": `(1 2)(3 (4)(5))`, message numbers or UIDs; nothing for none. */
void threader_write(struct threader *threader, bool uid, struct buf *dst);
void threader_free(struct threader **threaderp);

#endif
