/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CHECK_REPLICATION_PARSE_H
#define INCLUDED_CHECK_REPLICATION_PARSE_H
/*
 * check_replication_parse -- untagged IMAP responses into the model
 *
 * A response comes without "* ", with its literals in place (backend_imapcmd). What is no
 * response of the wanted kind is left alone; one that is, but cannot be read, is false.
 */
#include "check_replication_model.h"
#include "dlist.h"

/* "NAME value value ...": the values as a list (atoms, strings, lists), or NULL for bad text. */
struct dlist *check_parse_response(const char *line, size_t len);

/* How one session shows names. */
struct check_names {
    char sep;              /* hierarchy separator; 0: not learned yet */
    char *userid;          /* whose personal namespace it is; NULL: an administrator's session */
    char *personal;        /* prefix: "" or "INBOX." ... */
    char *others, *shared; /* prefixes, or NULL */
};
void check_names_fini(struct check_names *names);
/* Take a NAMESPACE response. */
bool check_parse_namespace(struct check_names *names, const struct dlist *response);
/* "user/anna/Work" of a name as the session shows it; the caller frees. */
char *check_canonical_name(const struct check_names *names, const char *name);
/* The other way, for the user's own mailboxes and (administrator) all; the caller frees. */
char *check_session_name(const struct check_names *names, const char *canonical);

/* Take a FETCH response with UID and RFC822.SIZE; others are ignored. */
bool check_parse_fetch(struct check_mailbox *mbox, const struct dlist *response);
/* Take METADATA entries: prefix "/shared/" or "/private/" chooses. What is the server's own is left out. */
bool check_parse_metadata(struct check_mailbox *mbox, const struct dlist *response,
                          const char *prefix);
bool check_parse_acl(struct check_mailbox *mbox, const struct dlist *response);
/* The value behind a name in "name value name value ..."; NULL. */
const struct dlist *check_find_item(const struct dlist *list, const char *name);
/* Flags in one order, \Seen apart and \Recent left out. */
bool check_parse_flags(struct check_message *m, const struct dlist *list);

/* Lines of the sync protocol (check_replication_sync.c, handbook 03 §4): SEEN, SIEVE, NAMES, MAILBOX %(...). */
bool check_parse_seen(struct check_user *user, const struct dlist *response);
bool check_parse_sieve(struct check_user *user, const struct dlist *response);
/* The mailboxes of the user are listed already; others are ignored. sep: of the administrator's names. */
bool check_parse_names(struct check_user *user, char sep, const struct dlist *response);
bool check_parse_syncmailbox(struct check_user *user, char sep, const struct dlist *response);
/* The answer to GET FULLMAILBOX: state and all messages that are not expunged. */
bool check_parse_fullmailbox(struct check_mailbox *mbox, const struct dlist *response);
/* "[UIDVALIDITY 5]" and the like of an untagged OK of EXAMINE. */
void check_parse_okcode(struct check_mailbox *mbox, const char *line);

#endif
