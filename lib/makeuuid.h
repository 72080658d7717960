/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * makeuuid -- new uniqueids
 *
 * Random bits come from the kernel and nowhere else, so that no two processes, of
 * whatever pid and clock, make the same id. New mailboxes get the UUID form; the
 * short form is what Debian's 3.6.1 makes (handbook 02 §1.7, 07 W041). Ids made
 * elsewhere are opaque atoms.
 */
#ifndef CYL_MAKEUUID_H
#define CYL_MAKEUUID_H

#include <stdbool.h>
#include <stddef.h>

#define MAKEUUID_LEN 37       /* 36 characters and the NUL */
#define UNIQUEID_SHORT_LEN 25 /* 24 characters and the NUL */

/* RFC 4122 version 4 in lower case. Returns out. */
char *makeuuid(char out[MAKEUUID_LEN]);
/* The same, malloc'ed. */
char *makeuuid_dup(void);
/* 24 characters of 0-9a-z, every one equally likely. */
char *makeuniqueid_short(char out[UNIQUEID_SHORT_LEN]);
/* True when the text can be a uniqueid: 2..127 characters of A-Za-z0-9 . _ - and no leading dot. */
bool uniqueid_isvalid(const char *s);
/* True for 8-4-4-4-12 hex digits of either case. */
bool uuid_isvalid(const char *s);
/* n random bytes from the kernel. */
void random_bytes(void *out, size_t n);

#endif
