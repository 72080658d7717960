/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_ABSENT_H
#define INCLUDED_SYNC_CLIENT_ABSENT_H
/*
 * sync_client_absent -- what becomes of a mailbox that only the replica has
 *
 * Only for whole users: the mailboxes that are here, too, are marked in the state.
 */
#include "sync_client.h"

/*
 * Decide about each, and bring here what must come. One that cannot be decided does not keep the
 * others: it is told, and its error is the result; nothing of it has changed. *againp is set when a
 * mailbox has come.
 */
int sync_absent_decide(struct sync_client *sc, struct sync_state *state, bool *againp);
/* Delete those there of which that was decided: SYNC_FATE_DELETE or SYNC_FATE_LATE. */
int sync_absent_remove(struct sync_client *sc, struct sync_state *state, enum sync_fate fate);
/*
 * Remove one mailbox there, whatever name it has by now, if the replica can find it by its id (X-UNMAILBOXES) and that is
 * known (not NULL); else, as 3.6.1, whatever has that name. It is no error that there is none.
 */
int sync_absent_unmailbox(struct sync_client *sc, const char *name, const char *uniqueid);
/* Is there one that can be deleted in the next round? */
bool sync_absent_merged(const struct sync_state *state);
/*
 * May the user, who has no INBOX here, go there with all that the state says he has? Only what records prove to have been deleted
 * here goes; where nothing proves it (a store that was emptied has no records) he stays, which is logged.
 */
int sync_absent_user_is_gone(const struct sync_client *sc, const struct sync_state *state, bool *gone);

#endif
