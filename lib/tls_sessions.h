/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TLS_SESSIONS_H
#define INCLUDED_TLS_SESSIONS_H
/*
 * tls_sessions -- TLS sessions shared by all processes, in tls_sessions.db
 *
 * Key: session id. Value: 8 bytes native time of expiry, then the DER form of
 * the session (handbook 01 §7.9). A cache: any failure only costs a full handshake.
 */
#include "tls.h"

/* The store behind options tls_sessions_db and tls_sessions_db_path; opened at first use. */
const struct tls_sessionstore *tls_sessions_store(void);
/* Remove expired sessions; counts of removed and all entries. Errors as cyrusdb open (IMAP_IOERROR). */
int tls_sessions_prune(unsigned *purged, unsigned *total);
/* Close the database. */
void tls_sessions_done(void);

#endif
