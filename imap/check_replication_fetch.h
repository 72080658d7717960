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
    const char *ca_file; /* NULL: tls_server_ca_file */
    bool require_tls;
    bool deleted; /* look at mailboxes below deletedprefix too */
    bool deep;    /* fetch the messages themselves */
    int timeout;  /* seconds without an answer; 0: none */
};

struct check_end {
    struct check_login login;
    struct backend *admin, *user;
    struct check_names admin_names, user_names;
    unsigned facts; /* CHECK_FACT_BITs that the server announces, or has shown to know */
    bool probed;    /* no capability stands for conversation ids: they were asked for */
    char *error;
};

/* Connect as the administrator. */
int check_end_open(struct check_end *end, const struct check_login *login);
/* Connect again if the administrator's session has ended. */
int check_end_renew(struct check_end *end);
/* A session broke, as opposed to a server that only refuses. */
bool check_end_lost(const struct check_end *end);
void check_end_close(struct check_end *end);
const char *check_end_error(const struct check_end *end);

/* Names of all users, appended. */
int check_list_users(struct check_end *end, strarray_t *users);
/* Log in as the user and learn everything but the messages. A user that is not there is no error
 * (exists is false). */
int check_fetch_user(struct check_end *end, struct check_user *user);
/* Examine a mailbox: its state, and how many messages there are. One that is sealed stays unopened if the server
 * does not speak the sync protocol. */
int check_examine(struct check_end *end, struct check_mailbox *mbox);

/* The messages of the mailbox that was examined last, fetched as they are read. */
struct check_stream {
    struct check_end *end;
    struct check_user *user; /* whose quota roots they count for */
    struct check_mailbox *mbox;
    uint32_t done;                /* message numbers up to here were fetched */
    size_t pos;                   /* in mbox->messages */
    void (*progress)(void *rock); /* NULL, or called after each window */
    void *rock;
};
/* progress and rock are the caller's. An empty stream for no mailbox, or one that is not open. */
struct sync_stream check_stream_open(struct check_stream *stream, struct check_end *end,
                                     struct check_user *user, struct check_mailbox *mbox);

#endif
