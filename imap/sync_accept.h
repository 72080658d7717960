/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_ACCEPT_H
#define INCLUDED_SYNC_ACCEPT_H
/*
 * sync_accept -- who may replicate to this server though no account of SASL says so
 *
 * Whoever has started sync_server on his own pipes or socket (-X) is trusted: the program has no more rights than he has.
 * A peer on a listening unix socket is trusted by the user that its process runs as.
 */
#include <stdbool.h>

#include "buf.h"

struct service_client;

/* The peer comes in without a login. False: a peer with an address, who has to log in, or, with *why (for the log and for the peer),
 * one on a unix socket who is neither root nor the server's user, nor named in sync_socket_users. */
bool sync_accept_unasked(const struct service_client *client, struct buf *why);

#endif
