/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * expect -- what a recovered store must hold
 *
 * From the directory of a recording: `state.N` is the state after command N was answered (0: before
 * the first). Commands come one after the other; each happens as a whole or not at all, but for those
 * whose numbers are in `parts`: they do several things, of which some may be done. Or
 * `messages`: lines "N MAILBOX GUID", for deliveries that go on at the same time.
 */
#ifndef CYL_CRASH_EXPECT_H
#define CYL_CRASH_EXPECT_H

#include "buf.h"

struct disk;
struct expect;
/* Ends the program when the directory has neither. */
struct expect *expect_new(const char *dir);
void expect_free(struct expect *expect);
/* Compares a state at a cut of the disk's trace; appends what is wrong. */
void expect_compare(const struct expect *expect, const struct disk *disk, uint32_t pos,
                    const struct buf *state, struct buf *problems);

#endif
