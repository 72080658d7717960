/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CHECK_REPLICATION_ASK_H
#define INCLUDED_CHECK_REPLICATION_ASK_H
/*
 * check_replication_ask -- the sessions of one server, and one command with its answers
 *
 * Private to the fetching files of check_replication. Errors are imap_err codes;
 * check_end_error() has the words.
 */
#include "buf.h"
#include "check_replication_fetch.h"
#include "dlist.h"

/* The state of one command. */
struct check_ask {
    struct check_end *end;
    struct check_user *user;
    struct check_mailbox *mbox;
    const char *prefix;
    strarray_t *list;
    bool bad; /* an answer could not be read */
};

/* One untagged response: its values (NULL for OK, whose text is free), and the line itself. */
typedef void check_take_fn(struct check_ask *ask, const struct dlist *response, const char *line);

struct check_take {
    const char *kind; /* "FETCH"; NULL ends a list */
    check_take_fn *fn;
};

/* A string as an argument, after a blank: quoted, or as a literal where quoting would need escapes. */
void check_put_argument(struct buf *cmd, const char *s);
/* Send cmd, which is freed, and give the answers to the first entry of takes of their kind. */
int check_ask(struct check_ask *ask, struct backend *b, struct buf *cmd,
              const struct check_take *takes);
/* The same for "COMMAND mailbox REST". */
int check_ask_mailbox(struct check_ask *ask, struct backend *b, const char *command,
                      const char *name, const char *rest, const struct check_take *takes);
/* The same, when a refusal is an answer. */
int check_try(struct check_ask *ask, struct backend *b, struct buf *cmd,
              const struct check_take *takes);
/* Keep what went wrong; returns r. */
int check_end_failed(struct check_end *end, int r, const char *what, const char *text);
/* What only the sync protocol tells of the user, whose mailboxes are listed; nothing where the server does
 * not speak it (check_replication_sync.c). */
int check_fetch_sync(struct check_end *end, struct check_user *user);
/* State and messages of a mailbox that no session can examine; it stays unopened where the server can't tell. */
int check_fetch_full(struct check_end *end, struct check_mailbox *mbox);
/* Log in as the user; an older session of another user ends. */
int check_end_become(struct check_end *end, struct check_user *user);

#endif
