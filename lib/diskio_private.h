/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_private -- what the files of diskio share
 */
#ifndef CYL_DISKIO_PRIVATE_H
#define CYL_DISKIO_PRIVATE_H

#include "diskio.h"

/* Counts one call and what it returned: -1 is an error, more than 0 are bytes where `moves`. */
void diskio_count(enum diskio_kind kind, ssize_t result, bool moves);

/* The system calls in place. */
extern const struct diskio_ops *diskio_ops_now;

/* Appends one record to a trace in one write; 0 or -errno. */
struct diskio_trace_rec;
int diskio_trace_write(int fd, const struct diskio_trace_rec *rec);

/*
 * Calls until it is not interrupted. r is an lvalue; each attempt counts, since
 * each may be made to fail.
 */
#define DISKIO_RETRY(r, kind, moves, call)         \
    do {                                           \
        (r) = (call);                              \
        diskio_count((kind), (ssize_t)(r), moves); \
    } while ((r) < 0 && errno == EINTR)

#endif
