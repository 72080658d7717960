/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_APPEND_STORE_H
#define INCLUDED_APPEND_STORE_H
/*
 * append_store -- from the messages of an APPEND or REPLACE to records of the target
 *
 * 0 or an imap_err code, as the command answers it.
 */
#include "append_parse.h"
#include "imap_session.h"
#include "mailbox.h"
#include "seqset.h"

/* Existence and right i; who may not see the mailbox is told nothing of it, admins included. */
int append_target(struct imap_session *s, const char *intname, mbentry_t **mbentry,
                  uint32_t *rights);
/* Room for at least one message, as far as can be told before the message is here. */
int append_room(struct imap_session *s, const mbentry_t *mbentry);

/* Messages made ready to be stored, one for each of the list. */
struct append_pending;
/* *pendingp is to be ended with append_pending_free() in any case. */
int append_stage(struct append_message *list, struct append_pending **pendingp);
void append_pending_free(struct append_pending **pendingp);
/*
 * Stores them in the open mailbox, in its transaction; their UIDs are added to uids. `freed`: bytes of
 * a message that leaves the same quota root in the same transaction; -1: none does.
 */
int append_put(struct imap_session *s, struct mailbox *mailbox, uint32_t rights,
               struct append_message *list, const struct append_pending *pending, int64_t freed,
               struct seqset *uids);
/* "[APPENDUID uidvalidity uids]". */
void append_uid_code(uint32_t uidvalidity, const struct seqset *uids, struct buf *code);

#endif
