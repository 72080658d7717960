/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CHECK_REPLICATION_FETCH_H
#define INCLUDED_CHECK_REPLICATION_FETCH_H
/*
 * check_replication_fetch -- ask an IMAP server for all it knows of a user
 *
 * Nothing is changed on the server: mailboxes are examined. Two sessions: the administrator's
 * own, and one as the user. Errors are imap_err codes; check_end_error() says what failed.
 */
#include "backend.h"
#include "check_replication_model.h"
#include "check_replication_parse.h"

struct check_login {
    const char *server; /* as backend_args.server */
    const char *authname, *password, *mechs;
    bool require_tls;
    int timeout; /* seconds without an answer; 0: none */
};

struct check_end {
    struct check_login login;
    struct backend *admin, *user;
    struct check_names admin_names, user_names;
    bool no_cids; /* the server has refused CID */
    char *error;
};

/* Connect as the administrator. */
int check_end_open(struct check_end *end, const struct check_login *login);
void check_end_close(struct check_end *end);
const char *check_end_error(const struct check_end *end);

/* Names of all users, appended. */
int check_list_users(struct check_end *end, strarray_t *users);
/* Log in as the user and learn everything but the messages. A user that is not there is no error
 * (exists is false). */
int check_fetch_user(struct check_end *end, struct check_user *user);
/* Examine a mailbox and fetch its messages. */
int check_fetch_messages(struct check_end *end, struct check_mailbox *mbox);

#endif
