/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_CONTEXT_H
#define INCLUDED_IMAP_CONTEXT_H
/*
 * imap_context -- searches whose results are kept up to date: RETURN (UPDATE) (RFC 5267 §4.3)
 *
 * A context is the list of UIDs that the client has been told, and the keys that made it. Whenever the session's view
 * moves, the messages that are new or changed are held against the keys again, and what is different is told with
 * ADDTO and REMOVEFROM. OLDER and YOUNGER count from the time of the command.
 *
 * It ends with the selected mailbox, with CANCELUPDATE, with another search of the same tag, or with NO [NOUPDATE
 * "tag"] when it can't be kept: keys or criteria that look at conversations, criteria whose values change
 * (ANNOTATION, HASFLAG, MODSEQ), more than IMAP_MAX_CONTEXTS, or a message that can't be read.
 */
#include "imap_session.h"
#include "index.h"

#define IMAP_MAX_CONTEXTS 16 /* of a session */

struct search_args;
struct hits;
/* A search that has been answered goes on; takes keys and criteria out of args. Or it is told that it does not. */
void imap_context_begin(struct imap_session *s, struct search_args *args, const struct hits *hits);
/* "* NO [NOUPDATE "tag"] why" */
void imap_context_refuse(struct imap_session *s, const char *tag, const char *why);
/* The one with that tag, if there is one. */
void imap_context_cancel(struct imap_session *s, const char *tag);
void imap_contexts_end(struct imap_session *s);

/* Before expunges are told, and numbers with them. */
void imap_contexts_expunge(struct imap_session *s, const struct index_update *update);
/* After everything is told. known: messages of the view before, that have stayed. */
void imap_contexts_update(struct imap_session *s, const struct index_update *update, uint32_t known);

#endif
