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
 * A command begins. From the first one on it is noted of whom this process changes anything. changes: it is one that is to make changes,
 * so for a user whose policy is sync(n) it is refused with IMAP_SERVER_UNAVAILABLE by txn_commit, before anything has changed, while fewer than n
 * channels are in step.
 */
void sync_wait_begin(bool changes);
/*
 * Waits until as many synchronous channels as the policies of the users want have acknowledged what this process has committed, each for its
 * bound at most, or for the time of the policy; without sync_wait_begin, all. A channel that is late is said once, at ALERT, and not waited for again until it has caught
 * up. To be called with no lock held, before a client is told that something is done. False: of a command that makes changes, too few have
 * those of a user whose policy is sync(n).
 */
bool sync_wait(void);
/* After a false one: are those of this user among them? userid NULL: nobody's. */
bool sync_wait_is_short(const char *userid);
/* What the client asks for is done for that user, from before; the replicas may not have it yet, so it is waited for as what is done now. */
void sync_wait_again(const char *userid);
/* Would a change of that user's be refused? */
bool sync_wait_refuses(const char *userid);

/* ---- the rolling client ---- */
struct sync_ack;
/* 0, or an imap_err code (logged). What a client before has said is forgotten. */
int sync_ack_open(const char *channel, struct sync_ack **ackp);
/*
 * The replica has, durably, all that was committed up to lsn. caught_up: and little can have come since, so that the
 * channel is synchronous again, if it was late. took: ms, of the last turn that had something to do; where the channel was late only for
 * those who wait less than its bound (sync_policy.h), it is synchronous again when that is less than they wait.
 */
void sync_ack_tell(struct sync_ack *ack, uint64_t lsn, bool caught_up, unsigned long long took);
void sync_ack_close(struct sync_ack **ackp);

#endif
