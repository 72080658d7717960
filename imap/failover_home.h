/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_FAILOVER_HOME_H
#define INCLUDED_FAILOVER_HOME_H
/*
 * failover_home -- users of a pair go from one server to the other, one by one (failover(8), doc/failover.md, "Homes of users")
 */
#include <stdbool.h>

#include "strarray.h"
#include "sync_client.h"

struct failover_home {
    struct sync_client *sc; /* not connected */
    enum failover_home_verb {
        FAILOVER_HOME_GIVE, /* to the other end */
        FAILOVER_HOME_HERE, /* who has none gets this server */
        FAILOVER_HOME_TAKE, /* from the other end */
        FAILOVER_HOME_LIST,
    } verb;
    strarray_t users;
    bool all;  /* all that this may be done with */
    bool lost; /* TAKE: the other end is not asked for what it has */
    bool json; /* LIST */
    int wait;  /* TAKE: seconds until all must be here */
};

/* Exit code. */
int failover_home(struct failover_home *fh);
/*
 * The server is the primary from now on: whoever has a home has it here. connected: the other end is, and fenced; its marks are
 * topped. 0 or an imap_err code.
 */
int failover_home_take_all(struct sync_client *sc, bool connected);
/* What the other end took meanwhile is not at home here any more; said on stdout. */
int failover_home_check(struct sync_client *sc);

#endif
