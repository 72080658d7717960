/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_HEADER_H
#define INCLUDED_MESSAGE_HEADER_H
/*
 * message_header -- fields of a header as raw bytes (handbook 02 §6.2, RFC 5322 §2.2)
 *
 * A field is its line with the folded ones that follow. Works on the header of a
 * message file and on the HEADERS item of a cache record. Names compare without case.
 */
#include <stdbool.h>
#include <stddef.h>

#include "message_arena.h"
#include "strarray.h"

struct buf;

/* One field of a header; all are views of it. */
struct header_field {
    struct msgtext raw;   /* name to line end, folds and CRLF included */
    struct msgtext name;  /* up to the colon */
    struct msgtext value; /* behind the colon, without the last line end; still folded */
};
struct header_iter {
    const char *p, *end;
    unsigned lines_left; /* UINT_MAX: all */
};
/*
 * Over the fields of len bytes; stops at a blank line, and at a field that more than maxlines
 * lines precede (0: no such limit). A field that was begun is taken whole.
 */
void header_iter_init(struct header_iter *it, const char *base, size_t len, unsigned maxlines);
/* False at the end. Lines that are no field (no colon) are skipped with their folds. */
bool header_iter_next(struct header_iter *it, struct header_field *field);

/* The first field of that name; false: none. */
bool message_header_find(const char *base, size_t len, const char *name,
                         struct header_field *field);
/* Append the value as text: white space in front taken off, CRLFs of folds taken out. */
void message_header_unfold(struct msgtext value, struct buf *dst);
/* Append the raw fields whose names are in the list (not: are not), in their order. No blank line. */
void message_header_filter(const char *base, size_t len, const strarray_t *names, bool not,
                           struct buf *dst);

#endif
