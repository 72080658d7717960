/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXKEY_H
#define INCLUDED_MBOXKEY_H
/*
 * mboxkey -- the keys with which a user signs URLs of mailboxes (RFC 4467 §4, handbook 04 §3.19)
 *
 * A user has one key for each mailbox, his own or not, in his mboxkey database. Key of a record: internal name;
 * value: 2 bytes, 1, big-endian, and the 16 bytes of the key, as 3.6.1 writes it. A record that is anything else is logged,
 * IMAP_MAILBOX_BADFORMAT, and validates nothing.
 */
#include "txn.h"

#define MBOXKEY_SIZE 16

/* IMAP_NOTFOUND: there is none. */
int mboxkey_read(const char *userid, const char *mboxname, unsigned char key[MBOXKEY_SIZE]);
/* The key, a new one if there was none; under the user's lock, which it takes. */
int mboxkey_make(struct txn *txn, const char *userid, const char *mboxname, unsigned char key[MBOXKEY_SIZE]);
/* One that is not there is fine. mboxname NULL: all that he has. */
int mboxkey_remove(struct txn *txn, const char *userid, const char *mboxname);

#endif
