/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ops_testutil -- operations on mailboxes, each in a transaction of its own, and what must hold
 *
 * Names are internal names; "admin" is an admin. Results are imap_err codes.
 */
#ifndef CYL_OPS_TESTUTIL_H
#define CYL_OPS_TESTUTIL_H

#include "mboxlist.h"
#include "store_testutil.h"

extern struct auth_state *ot_alice, *ot_bob, *ot_admin;
void ot_setup(void);
void ot_teardown(void);
struct txn *ot_begin(void);
int ot_end(struct txn *txn, int r);
int ot_create_args(const struct mboxlist_createargs *args);
int ot_create_by(const char *name, const char *userid, const struct auth_state *auth);
int ot_create(const char *name);
void ot_must_create(const char *name);
int ot_delete_by(const char *name, const char *userid, const struct auth_state *auth,
                 unsigned flags);
int ot_rename_by(const char *from, const char *to, const char *partition, const char *userid,
                 const struct auth_state *auth);
int ot_rename_to(const char *from, const char *to);
int ot_setacl_by(const char *name, const char *id, const char *rights, const char *userid,
                 const struct auth_state *auth);
int ot_setquota(const char *root, int64_t storage, int64_t messages, int64_t folders);
mbentry_t *ot_entry(const char *name);
int ot_exists(const char *name);
void ot_assert_names(const char *want);
char *ot_first_deleted(void);
void ot_check_store(void);
char *ot_user_file(const char *userid, const char *suffix);
void ot_assert_acl(const char *name, const char *want);

#endif
