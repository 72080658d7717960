/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_ACCEPT_H
#define INCLUDED_SYNC_ACCEPT_H
/*
 * sync_accept -- who may replicate to this server though no account of SASL says so
 *
 * Whoever has started sync_server on his own pipes or socket (-X) is trusted: the program has no more rights than he has.
 * A peer on a listening unix socket is trusted by the user that its process runs as. Others are named in sync_accept, with
 * a secret in a file, or the fingerprint of a certificate: "NAME /FILE [USER...]; NAME FINGERPRINT [USER...]" (doc/peers.md).
 */
#include <stdbool.h>

#include "buf.h"
#include "strarray.h"
#include "tls.h"

struct service_client;

struct sync_peer {
    char *name;                                /* canonical */
    char *file;                                /* of the secret, or NULL: a certificate */
    char fingerprint[TLS_FINGERPRINT_LEN + 1]; /* "" with a secret */
    strarray_t users;                          /* whom it may replicate; empty: all of the server */
};

/* The peer comes in without a login (standalone: -X, the client has started the process). False: a peer with an address, who has to log in, or, with *why (for the log and for the peer),
 * one on a unix socket who is neither root nor the server's user, nor named in sync_socket_users. */
bool sync_accept_unasked(const struct service_client *client, bool standalone, struct buf *why);

/* Read the option. What cannot be used (no name, no secret that only the server knows) is logged and left out; a file is
 * looked at again when its peer comes. */
void sync_accept_init(void);
bool sync_accept_has(bool certificates);
/* The one that comes with a secret, or with that certificate; NULL: none. */
const struct sync_peer *sync_accept_by_name(const char *name);
const struct sync_peer *sync_accept_by_certificate(const struct tls_session *tls);

/* The secret of a peer on that connection. IMAP_NOTFOUND: not named; IMAP_PERMISSION_DENIED, logged: its file is refused,
 * or others could hear it (is_protected: TLS or the like). out is to be wiped. */
int sync_accept_secret(const char *name, const struct service_client *client, bool is_protected, struct buf *out);
/* Nobody else is on the way: loopback. */
bool sync_accept_is_local(const struct service_client *client);

#endif
