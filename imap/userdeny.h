/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USERDENY_H
#define INCLUDED_USERDENY_H
/*
 * userdeny -- user_deny.db: who may not use which services (handbook 01 §7.9)
 */
#include <stdbool.h>
#include <stddef.h>

struct txn;

#define USERDENY_DEFAULT_MESSAGE "Access to this service has been blocked"
#define USERDENY_UNKNOWN_MESSAGE "Nobody can be let in: the list of blocked users is damaged"

/*
 * True when the user may not use the service; message (may be NULL) gets the text for him, cut to
 * size. A missing file and a record that makes no sense (logged) deny nobody; a damaged file denies everybody.
 */
bool userdeny_check(const char *userid, const char *service, char *message, size_t size);
/*
 * Denies, or allows again, in a transaction. services and message NULL: all of them, the default text. IMAP_INVALID_USER: no id of a
 * user; IMAP_INVALID_IDENTIFIER: services or message hold what a record can't. Who is allowed already is fine.
 */
int userdeny_deny(struct txn *txn, const char *userid, const char *services, const char *message);
int userdeny_allow(struct txn *txn, const char *userid);
/* A change is durable: the second copy follows. path: of the file that was changed, which may be another one; NULL: this one. */
void userdeny_changed(const char *path);
/* All records that make sense, in order of the users; others are logged. IMAP_NOTFOUND: there is no such file. */
typedef int userdeny_cb(const char *userid, const char *services, const char *message, void *rock);
int userdeny_foreach(userdeny_cb *cb, void *rock);
/* Path and backend of the database, by the configuration; path is the caller's. */
char *userdeny_path(void);
const char *userdeny_backend(void);

#endif
