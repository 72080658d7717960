/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_HOME_H
#define INCLUDED_SYNC_HOME_H
/*
 * sync_home -- the home of a user on the wire: X-HOME (doc/sync-extensions.md)
 */
#include "user_home.h"

struct dlist;

struct sync_home {
    const char *userid; /* of the dlist that was parsed */
    const char *id;     /* the uniqueid of his INBOX; NULL: not told */
    char here[USER_HOME_MAXSERVER + 1]; /* the server that says it; "": not told */
    struct user_home home;
};

/* HOME %(USERID [UNIQUEID] [HERE] [SERVER EPOCH SINCE]); the caller frees. */
struct dlist *sync_home_print(const struct sync_home *said);
/* What is said lives as long as dl. IMAP_PROTOCOL_BAD_PARAMETERS. */
int sync_home_parse(const struct dlist *dl, struct sync_home *said);

#endif
