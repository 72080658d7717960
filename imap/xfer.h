/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_XFER_H
#define INCLUDED_XFER_H
/*
 * xfer -- a user or a shared mailbox moves to another server (handbook 06 §3)
 *
 * Copied with the sync protocol while the owner works on, and compared, until both ends are equal. Then his namespace is
 * locked, so that nothing changes any more, and both ends are compared again: the records only of mailboxes that are not in the
 * state in which they were compared before. If something has come in between, or the answers take their time, the lock is given back
 * and all is tried again, three times; then what has come is copied with the lock held. Only when both ends are equal the
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
    unsigned long long began;   /* monotonic_ms() when the lock was there, that of the last try */
    unsigned commands;          /* to the target while it was held, the same */
    bool copied;                /* something had come in the last moment */
    unsigned let_go;            /* so often the lock was given back, because it would have been held for too long */
    unsigned long long held;    /* ms, the longest of those */
};
typedef int xfer_then(struct sync_client *sc, const char *name, void *rock);
/* What is done on the way; NULL: nothing. */
struct xfer_steps {
    xfer_then *still; /* both ends are nearly equal: nothing is to change on the target either from here on */
    xfer_then *then;  /* they are equal, and locked here */
    void *rock;
};
/* Copy a user, and compare with his namespace locked. IMAP_SYNC_CHECKSUM: they are not equal. */
int xfer_copy_user(struct sync_client *sc, const char *userid, const struct xfer_steps *steps, struct xfer_cost *cost);
/* What he has here goes, in one transaction, and his record says where he is. */
int xfer_remove_user(const char *userid, const char *server);

/* IMAP_SYNC_CHECKSUM: the copy is not equal; what differs is logged. */
int xfer_user(struct sync_client *sc, const char *userid);
int xfer_mailbox(struct sync_client *sc, const char *name); /* a shared one; internal name */

#endif
