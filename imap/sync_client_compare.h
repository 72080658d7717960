/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_COMPARE_H
#define INCLUDED_SYNC_CLIENT_COMPARE_H
/*
 * sync_client_compare -- everybody's two copies are compared, slowly, again and again (sync_client --compare)
 *
 * Nothing is changed on either end. Only what lasts is told: users are at work, and replication is a little behind.
 */
#include <stdbool.h>
#include <stdint.h>

#include "strarray.h"
#include "sync_client.h"
#include "verified_pass.h"

struct sync_compare {
    int64_t since; /* leave out who was equal in the last so many seconds; 0: nobody */
    uint64_t rate; /* messages a second; 0: no limit */
    int wait;      /* seconds in which a difference may yet go away */

    /* set by _begin */
    int lockfd;
    double began;
    struct verified_pass pass; /* things are users and shared mailboxes */
};

/* Takes the channel's comparison for itself. IMAP_MAILBOX_LOCKED: another process has it. */
int sync_compare_begin(struct sync_client *sc, struct sync_compare *compare);
/* One user, or one shared mailbox; each difference is told and counted in sc->differences. An error: it could not be compared. */
int sync_compare_user(struct sync_client *sc, const char *userid);
int sync_compare_mailboxes(struct sync_client *sc, const strarray_t *names);
/* When the user was last found equal on both ends (0: never); or note it, by who has compared him himself. */
time_t sync_compare_equal(const char *channel, const char *userid);
int sync_compare_was_equal(const char *channel, const char *userid, time_t began);
/* whole: everybody was compared, or left out because he was not due. */
int sync_compare_end(struct sync_client *sc, bool whole);

/* How the last whole pass of a channel (NULL: the default one) ended; IMAP_NOTFOUND: there was none. */
int sync_compare_last(const char *channel, struct verified_pass *pass);
/* As if the channel had never been compared. */
int sync_compare_forget(const char *channel);

#endif
