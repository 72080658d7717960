/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_WAIT_H
#define INCLUDED_SYNC_WAIT_H
/*
 * sync_wait -- synchronous replication: who answers a client waits until the replica has it (doc/rolling.md)
 *
 * The rolling client of a channel says up to which LSN the replica has everything, in a page that all processes map:
 * <configdirectory>/sync/[CHANNEL/]acknowledged. Nothing in it outlives the journal that its LSNs are of.
 */
#include <stdbool.h>
#include <stdint.h>

/* sync_wait_ms of the channel (NULL or "": the one without name), milliseconds; 0: it is not synchronous. */
int sync_wait_bound(const char *channel);

/*
 * Waits until every synchronous channel has acknowledged what this process has committed, each for its bound at most.
 * A channel that is late is said once, at ALERT, and not waited for again until it has caught up. To be called with no lock
 * held, before a client is told that something is done.
 */
void sync_wait(void);

/* ---- the rolling client ---- */
struct sync_ack;
/* 0, or an imap_err code (logged). What a client before has said is forgotten. */
int sync_ack_open(const char *channel, struct sync_ack **ackp);
/*
 * The replica has, durably, all that was committed up to lsn. caught_up: and little can have come since, so that the
 * channel is synchronous again, if it was late.
 */
void sync_ack_tell(struct sync_ack *ack, uint64_t lsn, bool caught_up);
void sync_ack_close(struct sync_ack **ackp);

#endif
