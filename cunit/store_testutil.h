/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_testutil -- a whole store in a scratch directory: configuration, users, mailboxes, messages
 *
 * Every function fails the running test when it can't do its job.
 */
#ifndef CYL_STORE_TESTUTIL_H
#define CYL_STORE_TESTUTIL_H

#include "append.h"
#include "mailbox.h"
#include "testutil.h"
#include "txn.h"

/* The scratch directory: conf, part (partition default), part2 (partition other). */
extern char *st_dir;

/* extra: further lines of imapd.conf, NULL: none. Conversations are on unless it says otherwise. */
void st_setup(const char *extra);
void st_teardown(void);
/* A case of the suite, with that set-up and st_teardown. */
TCase *st_tcase(Suite *s, const char *name, void (*set)(void));
/* As a new process would find it after the machine has stopped: recovery runs at the next use. */
void st_reboot(void);
/* In a child after fork(2): runs fn, then ends at once. The parent gets the exit code, or 256 + signal. */
int st_child(void (*fn)(void *rock), void *rock);

/* A transaction that holds the namespace of the user (NULL: nobody's). */
struct txn *st_begin(const char *userid);
void st_commit(struct txn *txn);

/* A mailbox with its entry; uniqueid NULL: made from the name. Returns the handle in txn. */
struct mailbox *st_create_in(struct txn *txn, const char *name, const char *uniqueid,
                             const char *acl);
void st_create(const char *name);
struct mailbox *st_write(struct txn *txn, const char *name);
struct mailbox *st_read(const char *name);

/* Appends a small message that is the n-th of its kind; its UID. */
uint32_t st_append_in(struct mailbox *mailbox, unsigned n);
uint32_t st_append(const char *name, unsigned n);
/* The bytes of that message. */
void st_message(unsigned n, struct buf *msg);

/* Path of a file of the mailbox, "cyrus.index" or "1."; the caller frees. */
char *st_file(const char *uniqueid, const char *file);
/* The uniqueid st_create gives to a name; valid until the next call. */
const char *st_uniqueid(const char *name);

/*
 * What must always hold: the header's counts and sync CRCs are those of the records, every message
 * file and cache record is what its record says.
 */
void st_check(const char *name);
/* The subscriptions of alice are these internal names, with a space between. */
void st_assert_subs(const char *want);

#endif
