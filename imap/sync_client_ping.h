/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_PING_H
#define INCLUDED_SYNC_CLIENT_PING_H
/*
 * sync_client_ping -- is the replica there, does it let us in, and what is it?
 */
#include "sync_client.h"

/* Says it on stdout. The exit status: 0, or 1 when a step has failed or the clocks are more than ten seconds apart. */
int sync_client_ping(struct sync_client *sc);

#endif
