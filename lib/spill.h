/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spill -- bytes put away in the order they come, and read again at any place
 *
 * Up to `limit` bytes are in memory at any time; what is more lies in a file that has no name, so
 * nothing is left behind whatever happens to the process. There is one way through
 * the code: memory is the end of the bytes that is not yet written, and few bytes are never
 * written at all.
 *
 * With --enable-test-hooks a number in CYLINDER_SPILL_LIMIT takes the place of every limit but SPILL_NEVER.
 *
 * Functions return 0 (or a count) or -errno and log nothing, as diskio does. After an error of
 * spill_add the bytes are of no more use.
 */
#ifndef CYL_SPILL_H
#define CYL_SPILL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

struct spill {
    const char *dir;  /* where the file comes to be */
    size_t limit;     /* bytes */
    struct buf mem;   /* bytes [written, size) */
    uint64_t written; /* bytes in the file */
    int fd;           /* -1: there is no file */
};
#define SPILL_MEMORY ((size_t)64 * 1024) /* a limit that suits most */
#define SPILL_NEVER SIZE_MAX             /* all in memory, whatever the environment says */

/* dir is borrowed. */
void spill_init(struct spill *spill, const char *dir, size_t limit);
void spill_fini(struct spill *spill);
/* Bytes in all. */
static inline uint64_t spill_size(const struct spill *spill)
{
    return spill->written + spill->mem.len;
}
/* Put len bytes at the end. */
int spill_add(struct spill *spill, const char *base, size_t len);
/* Read at most len bytes at off, fewer only at the end; the count. */
ssize_t spill_read(const struct spill *spill, void *dst, size_t len, uint64_t off);

#endif
