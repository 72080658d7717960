/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_CHANNEL_H
#define INCLUDED_SYNC_CLIENT_CHANNEL_H
/*
 * sync_client_channel -- the files of a channel, who has them, and how one is given up (doc/rolling.md)
 *
 * A channel is its name; NULL or "" is the one without name.
 */
#include <stdbool.h>

#include "buf.h"

/* "<configdirectory>/sync/[CHANNEL/]NAME"; replaces *path. */
void sync_channel_path(const char *channel, const char *name, struct buf *path);
/*
 * A lock file of the channel, made when it is missing, for as long as *fdp is open: 0, -EWOULDBLOCK when somebody has it, or another
 * -errno; then *fdp is -1.
 */
int sync_channel_lock(const char *channel, const char *name, int *fdp);
/*
 * Removes the reader in the journal and all files of the channel ("", not NULL: the one without name), says how many events nobody
 * will bring over, and returns the exit code of the program: EX_TEMPFAIL while a client is at it, EX_CONFIG while imapd.conf lets
 * every change be written for it, unless forced.
 */
int sync_channel_forget(const char *channel, bool force);

#endif
