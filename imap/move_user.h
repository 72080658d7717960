/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MOVE_USER_H
#define INCLUDED_MOVE_USER_H
/*
 * move_user -- the parts of the program: how far a move has come (_state), and its steps (_steps)
 *
 * While a user moves there is a file of him in <configdirectory>/moves, replaced as a whole before each step begins. So whoever
 * finds it knows what may have happened, and every step can be done again:
 *
 *     COPYING    he lives here; there may be a copy, or a part of one, on the target
 *     SWITCHING  if he is "moving-out" (nothing changes here) the copy is equal, and the switch command may have run, or not; else as COPYING
 *     SWITCHED   he lives there; what is here waits for the end of the grace period
 *     RETURNING  he is on the way back: "moving-out" here, and there too, or about to be; the switch command may have run, or not. When he is
 *                neither here, both ends were equal
 *     ABORTING   he lives here; the copy is being removed
 *
 * Without a file there is no move: he is here, or his record says that he has moved.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "strarray.h"
#include "sync_client.h"
#include "user_codec.h"

enum move_step { MOVE_COPYING, MOVE_SWITCHING, MOVE_SWITCHED, MOVE_RETURNING, MOVE_ABORTING };

struct move_state {
    char *userid;
    char *id;                          /* uniqueid of his INBOX */
    char *target, *channel, *partition; /* as sync_client's -S, -n, -p; the last two NULL: none */
    char *command;                     /* path of the switch command; NULL: none */
    enum move_step step;
    enum user_state before; /* active or disabled: as he was */
    enum user_state there;  /* the same on the target, when he began to return */
    int64_t grace;          /* seconds */
    time_t switched;        /* UTC; 0: not yet */
};

/* ---- _state: 0, IMAP_IOERROR (logged), IMAP_NOTFOUND; a file that can't be read: IMAP_MAILBOX_BADFORMAT ---- */
const char *move_step_name(enum move_step step);
void move_state_free(struct move_state **statep);
int move_state_read(const char *userid, struct move_state **statep);
int move_state_write(const struct move_state *state);
int move_state_remove(const char *userid);
/* Users that have one, by name. */
int move_state_list(strarray_t *userids);

/* ---- _steps ---- */
enum move_end {
    MOVE_DONE,       /* as far as it goes now: moved, in grace, or (abort) as before */
    MOVE_UNDONE,     /* it failed; the copy is removed, he is as he was */
    MOVE_UNFINISHED, /* it stopped: the file stays, to go on or abort */
};
struct move_options {
    bool now;            /* the grace period is over */
    int verbose;         /* as struct sync_client's */
    unsigned timeout;    /* seconds of the switch command */
};
/* Who moves users one after the other, with one connection as long as they go to the same place. */
struct mover {
    const struct move_options *o;
    struct sync_client sc;
    char *target, *channel, *partition; /* where it is connected to */
    bool tried; /* the connection is alive: this user was begun with it */
};
void mover_init(struct mover *mover, const struct move_options *o);
void mover_fini(struct mover *mover);

/* What happens is told on stdout, what fails on stderr. */

/* Nothing of him is on the target, so that all that will be there is the copy. IMAP_MAILBOX_EXISTS; else what sync_client says. */
int move_check_target(struct move_state *state, struct mover *mover);
/* Begin or go on, until he is switched (MOVE_DONE). */
enum move_end move_go_on(struct move_state *state, struct mover *mover);
/*
 * He is switched, and so are all who move with him; when the grace period is over, what is here goes. just_switched: in this run, so the copy is
 * compared in any case, and what he shares with others too.
 */
enum move_end move_finish(struct move_state *state, struct mover *mover, bool just_switched);
/* Back to where it began. */
enum move_end move_abort(struct move_state *state, struct mover *mover);

#endif
