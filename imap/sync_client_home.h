/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_HOME_H
#define INCLUDED_SYNC_CLIENT_HOME_H
/*
 * sync_client_home -- whose changes go over to the other server of a pair, and how a user goes there (doc/failover.md, "Homes of users")
 *
 * All return 0 or an imap_err code. Without X-HOME at the other end it is asked and told nothing.
 */
#include "sync_client.h"
#include "sync_home.h"

/* What the other end says of him; there->here is always told. */
int sync_home_ask(struct sync_client *sc, const char *userid, struct sync_home *there);
int sync_home_tell(struct sync_client *sc, const char *userid, const struct user_home *home);
/* The marks of all users of the other end: fn for each. */
int sync_home_foreach(struct sync_client *sc, int (*fn)(const struct sync_home *there, void *rock), void *rock);
/*
 * To be called before anything of a user goes over. *mine: it may, since he is at home here, and the other end knows, or nowhere.
 * What the other end knows better is noted here. A user who was marked to go there is handed over.
 */
int sync_home_settle(struct sync_client *sc, const char *userid, bool *mine);
/* The other end says that he is at home there, which we did not know: from now on we do. */
int sync_home_learn(struct sync_client *sc, const char *userid);
/* The last run of a user whose mark here says that his home is the other end, and then the other end is told. Can be done again. */
int sync_home_hand_over(struct sync_client *sc, const char *userid);
/* IMAP_USER_ELSEWHERE: nothing of him goes over. */
int sync_home_check(const struct sync_client *sc, const char *userid);

#endif
