/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_XFER_H
#define INCLUDED_XFER_H
/*
 * xfer -- a user or a shared mailbox moves to another server (handbook 06 §3)
 *
 * Copied with the sync protocol while the owner works on, and compared, until both ends are equal. Then his namespace is
 * locked, so that nothing changes any more, and both ends are compared again: the records only of mailboxes that are not in the
 * state in which they were compared before; what has come in between is copied. Only when they are equal the
 * local copy is removed, in one transaction. Until then nothing has changed here, and whatever
 * fails leaves the source as it was; what the target has got stays there and is used by the next
 * attempt. A process that dies leaves both copies, or only the new one.
 */
#include "sync_client.h"

/* Connect to the IMAP server as proxy_authname; partition NULL: as here. Fill *sc with zeroes before;
 * sync_client_fini in any case. IMAP_SERVER_UNAVAILABLE: no answer, or it has no sync commands for us.
 * IMAP_BAD_SERVER: it is this server. */
int xfer_connect(struct sync_client *sc, const char *server, const char *partition);
/* The same question of a connection that was made otherwise: 0, or IMAP_BAD_SERVER. RESTART it afterwards. */
int xfer_refuse_self(struct sync_client *sc);

/* How it went. */
struct xfer_cost {
    unsigned rounds;            /* copies before the lock */
    unsigned long long began;   /* monotonic_ms() when the lock was there */
    unsigned commands;          /* to the target while it was held */
    bool copied;                /* something had come in the last moment */
};
/*
 * Copy a user, and compare with his namespace locked; when both ends are equal, `then` (may be NULL) is called under the
 * lock. IMAP_SYNC_CHECKSUM: they are not.
 */
typedef int xfer_then(struct sync_client *sc, const char *name, void *rock);
int xfer_copy_user(struct sync_client *sc, const char *userid, xfer_then *then, void *rock, struct xfer_cost *cost);
/* What he has here goes, in one transaction, and his record says where he is. */
int xfer_remove_user(const char *userid, const char *server);

/* IMAP_SYNC_CHECKSUM: the copy is not equal; what differs is logged. */
int xfer_user(struct sync_client *sc, const char *userid);
int xfer_mailbox(struct sync_client *sc, const char *name); /* a shared one; internal name */

#endif
