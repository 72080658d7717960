/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USERDENY_H
#define INCLUDED_USERDENY_H
/*
 * userdeny -- user_deny.db: who may not use which services (handbook 01 §7.9)
 */
#include <stdbool.h>
#include <stddef.h>

#define USERDENY_DEFAULT_MESSAGE "Access to this service has been blocked"

/*
 * True when the user may not use the service; message (may be NULL) gets the text for him, cut to
 * size. A missing file and a record that makes no sense (logged) deny nobody.
 */
bool userdeny_check(const char *userid, const char *service, char *message, size_t size);
/* Path and backend of the database, by the configuration; path is the caller's. */
char *userdeny_path(void);
const char *userdeny_backend(void);

#endif
