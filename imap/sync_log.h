/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_LOG_H
#define INCLUDED_SYNC_LOG_H
/*
 * sync_log -- the events of a transaction, and the text logs made of them (handbook 01 §7.11)
 *
 * An event travels in the journal record of the change that causes it, so neither can
 * be lost alone. With `sync_log: yes` the same lines are appended to the text log
 * of every channel that has no reader in the journal once the transaction is durable, for the tools of 3.6.1; a
 * text log that can't be written is logged, and the commit stands.
 *
 * Names are internal names. A name with CR or LF has no line; it is logged and skipped.
 */
#include <stdbool.h>

struct buf;
struct journal_reader;
struct txn;

void sync_log_user(struct txn *txn, const char *userid);
void sync_log_unuser(struct txn *txn, const char *userid);
void sync_log_sieve(struct txn *txn, const char *userid); /* META */
void sync_log_mailbox(struct txn *txn, const char *name);
void sync_log_unmailbox(struct txn *txn, const char *name);
void sync_log_mailbox_double(struct txn *txn, const char *from, const char *to); /* COPY */
void sync_log_rename(struct txn *txn, const char *oldname, const char *newname);
void sync_log_append(struct txn *txn, const char *name);
void sync_log_quota(struct txn *txn, const char *root);
void sync_log_annotation(struct txn *txn, const char *name); /* "": of the server */
void sync_log_seen(struct txn *txn, const char *userid, const char *uniqueid);
void sync_log_subscribe(struct txn *txn, const char *userid, const char *name);

/* A line as it is; IMAP_MAILBOX_BADNAME: empty, too long, or more than one. */
int sync_log_text(struct txn *txn, const char *line);

/*
 * From now on the changes of this process are not to be replicated further (a replica without
 * sync_log_chain): their events go to the unsuppressable channels only. Returns what it was.
 */
bool sync_log_suppress(bool suppressed);

/* "TYPE arg1 arg2" with the arguments quoted, arg2 NULL: one argument. False: a line break in a name. */
bool sync_log_line(const char *type, const char *arg1, const char *arg2, struct buf *line);
/* The text log of a channel, NULL or "": the one without name; replaces *path. */
void sync_log_path(const char *channel, struct buf *path);
/* Appends whole lines to it, durably: 0, or -errno (logged). */
int sync_log_write(const char *channel, const struct buf *lines);

/* Name of the channel's reader in the journal; false: the channel's name is none for a reader. */
bool sync_log_reader(const char *channel, struct buf *name);
/* Does imapd.conf say that changes are written to its text log (if it has no reader in the journal)? */
bool sync_log_writes_text(const char *channel);
/* Does the channel get what a replica applies, too? */
bool sync_log_takes_suppressed(const char *channel);
/* A journal_spill for these readers: their events go to the text log. */
int sync_log_spill(const char *name, struct journal_reader *from);

#endif
