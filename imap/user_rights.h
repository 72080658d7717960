/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_RIGHTS_H
#define INCLUDED_USER_RIGHTS_H
/*
 * user_rights -- rights that others have given to a user follow his new name (handbook 07 W046)
 */
#include <stdbool.h>

/* Internal name of a mailbox whose ACL has been rewritten. */
typedef void user_rights_cb(const char *name, void *rock);
/*
 * What ACLs of this server say of olduser, and of -olduser, they say of newuser; what they said of him before is added to. Replicated as any change of an ACL.
 * Not inside a transaction: each owner is one. dry: nothing is changed. Returns 0 or an imap_err code; what was told before an error is done.
 */
int user_rights_rename(const char *olduser, const char *newuser, bool dry, user_rights_cb *cb, void *rock);

#endif
