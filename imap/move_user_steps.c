/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move_user_steps -- the steps of a move, each of which can be done again (move_user.h)
 *
 * Who writes where is decided by two things only: what is on disk of the user's record, and what the switch command has done. So he is
 * "moving-out" before the command may run, and is never made active again while the copy may have something that is not here. On the way back
 * he is that on the target, too, before the last comparison: the command says where he is, and nobody can write in the wrong place.
 */
#include <config.h>

#include "move_user.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "sync_client.h"
#include "sync_userstate.h"
#include "times.h"
#include "txn.h"
#include "user_ops.h"
#include "util.h"
#include "xfer.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct move {
    struct move_state *state;
    const struct move_options *o;
    struct mover *mover;
    struct sync_client *sc; /* the mover's */
    struct xfer_cost cost;
};

#define MOVE(state_, mover_) { .state = (state_), .o = (mover_)->o, .mover = (mover_), .sc = &(mover_)->sc }

/* ---- words ---- */

static void say(const struct move *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct move *m, const char *fmt, ...)
{
    struct buf text = BUF_INITIALIZER;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    printf("%s: %s\n", m->state->userid, buf_cstring(&text));
    fflush(stdout);
    syslog(LOG_NOTICE, "move of %s to %s: %s", m->state->userid, m->state->target, buf_cstring(&text));
    buf_free(&text);
}

static void complain(const struct move *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(const struct move *m, const char *fmt, ...)
{
    struct buf text = BUF_INITIALIZER;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    fprintf(stderr, "move_user: %s: %s\n", m->state->userid, buf_cstring(&text));
    syslog(LOG_ERR, "move of %s to %s: %s", m->state->userid, m->state->target, buf_cstring(&text));
    buf_free(&text);
}

static int complain_of(struct move *m, const char *what, int r)
{
    if (r == IMAP_SYNC_CHECKSUM && m->sc->differences)
        complain(m, "%s: the copy is not equal", what);
    else if (r)
        complain(m, "%s: %s", what, sync_client_errtext(m->sc, r));
    return r;
}

static enum move_end unfinished(const struct move *m)
{
    complain(m, "not finished (%s): --resume goes on, --abort goes back", move_step_name(m->state->step));
    return MOVE_UNFINISHED;
}

static int set_step(struct move *m, enum move_step step)
{
    m->state->step = step;
    return complain_of(m, "file of the move", move_state_write(m->state));
}

/* 3.6.1 can't keep a user still. */
static bool can_hold(const struct move *m)
{
    return backend_has(m->sc->backend, BACKEND_CAPA_LEAVE);
}

/* ---- the target ---- */

void mover_init(struct mover *mover, const struct move_options *o)
{
    *mover = (struct mover){ .o = o };
}

void mover_fini(struct mover *mover)
{
    sync_client_fini(&mover->sc);
    free(mover->target);
    free(mover->channel);
    free(mover->partition);
    mover_init(mover, mover->o);
}

/* One that was made for an earlier user may have died meanwhile. */
static bool is_connected(const struct move *m)
{
    const struct mover *mover = m->mover;

    return m->sc->backend && !m->sc->broken && !strcmpnull(mover->target, m->state->target) &&
           !strcmpnull(mover->channel, m->state->channel) && !strcmpnull(mover->partition, m->state->partition) &&
           (mover->tried || !sync_client_restart(m->sc));
}

static int connect_target(struct move *m)
{
    struct mover *mover = m->mover;
    struct sync_client *sc = m->sc;
    bool connected = is_connected(m);

    mover->tried = true;
    if (connected) return 0;
    mover_fini(mover);
    mover->tried = true;
    mover->target = xstrdup(m->state->target);
    mover->channel = xstrdupnull(m->state->channel);
    mover->partition = xstrdupnull(m->state->partition);
    sc->servername = mover->target;
    sc->channel = mover->channel;
    sc->partition = mover->partition;
    sc->verbose = m->o->verbose;
    sc->localonly = true;
    int r = sync_client_connect(sc);
    if (!r) r = xfer_refuse_self(sc);
    if (!r) r = sync_client_restart(sc);
    if (r) buf_reset(&sc->answer); /* an earlier one, that did no harm */
    return complain_of(m, m->state->target, r);
}

/* Names of what the target has of him. *inbox: the uniqueid of his INBOX there, NULL: none; the caller frees. */
static int list_target(struct move *m, strarray_t *names, char **inbox)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    int r = sync_state_get(m->sc, "USER", m->state->userid, &state);

    *inbox = NULL;
    for (int i = 0; !r && i < ptrarray_size(&state.folders); i++) {
        const struct sync_remote *remote = ptrarray_nth(&state.folders, i);
        if (!sync_folder_is_plain(&remote->folder)) continue;
        strarray_append(names, remote->folder.name);
        if (mboxname_isusermailbox(remote->folder.name, true)) *inbox = xstrdup(remote->folder.uniqueid);
    }
    sync_state_fini(&state);
    return r;
}

int move_check_target(struct move_state *state, struct mover *mover)
{
    struct move m = MOVE(state, mover);
    strarray_t names = STRARRAY_INITIALIZER;
    char *inbox = NULL;

    mover->tried = false;
    int r = connect_target(&m);
    if (!r) {
        r = list_target(&m, &names, &inbox);
        if (!r && strarray_size(&names)) r = IMAP_MAILBOX_EXISTS;
        if (r == IMAP_MAILBOX_EXISTS)
            complain(&m, "%s has something of this user already: %s", state->target, strarray_nth(&names, 0));
        else
            complain_of(&m, "asking what the target has", r);
    }
    free(inbox);
    strarray_fini(&names);
    return r;
}

static int is_known_here(const struct move *m, const char *name)
{
    mbentry_t *entry = NULL;
    char *owner = mboxname_to_userid(name);
    int r = strcmpnull(owner, m->state->userid) ? IMAP_MAILBOX_NONEXISTENT : mboxlist_lookup_allow_all(name, &entry, NULL);

    mbentry_free(&entry);
    free(owner);
    return r;
}

/* Of a copy whose INBOX has gone, or did not come: one by one, and only what there is here too. */
static int remove_rest(struct move *m)
{
    strarray_t names = STRARRAY_INITIALIZER;
    char *inbox = NULL;
    int r = list_target(m, &names, &inbox);

    for (int i = strarray_size(&names) - 1; !r && i >= 0; i--) {
        const char *name = strarray_nth(&names, i);
        if (is_known_here(m, name))
            complain(m, "%s: left on the target, there is none here", name);
        else
            r = sync_client_command(m->sc, "APPLY", dlist_newatom(NULL, "LOCAL_UNMAILBOX", name), NULL, NULL);
    }
    free(inbox);
    strarray_fini(&names);
    return r;
}

/*
 * There was nothing of him before the copy; an INBOX with another id has been made since, by somebody else: IMAP_MAILBOX_EXISTS. *there: the
 * copy has its INBOX.
 */
static int check_copy(struct move *m, bool *there)
{
    strarray_t names = STRARRAY_INITIALIZER;
    char *inbox = NULL;
    int r = list_target(m, &names, &inbox);

    *there = inbox != NULL;
    if (!r && inbox && strcmp(inbox, m->state->id) != 0) {
        complain(m, "the INBOX on the target is not the copy: nothing is changed there");
        r = IMAP_MAILBOX_EXISTS;
    }
    free(inbox);
    strarray_fini(&names);
    return r;
}

static int remove_copy(struct move *m)
{
    bool there;
    int r = check_copy(m, &there);

    if (!r && there)
        r = sync_client_command(m->sc, "APPLY", dlist_newatom(NULL, "LOCAL_UNUSER", m->state->userid), NULL, NULL);
    return r ? r : remove_rest(m);
}

/* ---- the user's record here ---- */

static int change_record(struct move *m, bool leave)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r)
        r = leave ? user_leave(txn, m->state->userid, m->state->target)
                  : user_stay(txn, m->state->userid, m->state->before);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* Written down before anybody waits for it; as long as he is not moving out it means nothing. */
static int about_to_leave(struct sync_client *sc, const char *userid, void *rock)
{
    (void)sc;
    (void)userid;
    return set_step(rock, MOVE_SWITCHING);
}

static int then_leave(struct sync_client *sc, const char *userid, void *rock)
{
    (void)sc;
    (void)userid;
    return change_record(rock, true);
}

static int then_stay(struct sync_client *sc, const char *userid, void *rock)
{
    (void)sc;
    (void)userid;
    return change_record(rock, false);
}

/* What there is here of him: *mine, he with this id; *leaving, and he is moving out. */
static int look_here(const struct move *m, bool *mine, bool *leaving)
{
    struct user_record *rec = NULL;
    mbentry_t *entry = NULL;
    char *name = mboxname_user_mbox(m->state->userid, NULL);

    *mine = *leaving = false;
    int r = mboxlist_lookup(name, &entry, NULL);
    if (!r) *mine = !strcmpnull(entry->uniqueid, m->state->id);
    if (!r) r = user_record_of_inbox(entry, NULL, &rec);
    if (!r) *leaving = *mine && rec->state == USER_MOVING_OUT;
    user_record_free(&rec);
    mbentry_free(&entry);
    free(name);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

/* ---- the user's record on the target ---- */

static int take_state(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct user_record **theirs = rock;

    (void)sc;
    if (strcmp((*dlp)->name, "USERSTATE") != 0) return IMAP_PROTOCOL_ERROR;
    user_record_free(theirs);
    return sync_userstate_parse(*dlp, theirs);
}

/* How he is there when he is not kept still; *held: he is already. */
static int ask_state(struct move *m, bool *held)
{
    struct user_record *theirs = NULL;

    *held = false;
    if (!can_hold(m)) return 0;
    struct dlist *kl = dlist_newkvlist(NULL, "USERSTATE");
    dlist_setatom(kl, "USERID", m->state->userid);
    int r = sync_client_command(m->sc, "GET", kl, take_state, &theirs);
    if (!r && theirs && (theirs->state == USER_ACTIVE || theirs->state == USER_DISABLED)) m->state->there = theirs->state;
    *held = !r && theirs && theirs->state == USER_MOVING_OUT;
    user_record_free(&theirs);
    return r;
}

/* hold: nobody but an admin changes anything there from now on, neither who comes nor who had come in before. */
static int keep_still(struct move *m, bool hold)
{
    if (!can_hold(m)) return 0;
    struct dlist *kl = dlist_newkvlist(NULL, hold ? "LEAVE" : "STAY");
    dlist_setatom(kl, "USERID", m->state->userid);
    dlist_setatom(kl, "SERVER", config_servername);
    if (!hold) dlist_setatom(kl, "STATE", user_state_name(m->state->there));
    int r = sync_client_command(m->sc, "APPLY", kl, NULL, NULL);
    if (!r && hold) say(m, "kept still on the target");
    return r;
}

static int hold_there(struct sync_client *sc, const char *userid, void *rock)
{
    (void)sc;
    (void)userid;
    return keep_still(rock, true);
}

/* ---- the switch command ---- */

enum answer { ANSWER_YES, ANSWER_NO, ANSWER_UNKNOWN };

static void run_command(const struct move *m, const char *from, const char *to) __attribute__((noreturn));
static void run_command(const struct move *m, const char *from, const char *to)
{
    setenv("MOVE_USER", m->state->userid, 1);
    setenv("MOVE_FROM", from, 1);
    setenv("MOVE_TO", to, 1);
    alarm(m->o->timeout);
    execl(m->state->command, m->state->command, m->state->userid, from, to, (char *)NULL);
    fprintf(stderr, "move_user: %s: %s\n", m->state->command, strerror(errno));
    _exit(127);
}

/* Only who ends by himself has said whether the directory is changed. */
static enum answer call_command(const struct move *m, const char *from, const char *to)
{
    int status;

    if (!m->state->command) return ANSWER_YES;
    say(m, "%s %s %s %s", m->state->command, m->state->userid, from, to);
    pid_t pid = fork();
    if (!pid) run_command(m, from, to);
    if (pid < 0) {
        complain(m, "%s: %s", m->state->command, strerror(errno));
        return ANSWER_NO;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return ANSWER_UNKNOWN;
    if (WIFEXITED(status) && !WEXITSTATUS(status)) return ANSWER_YES;
    if (WIFEXITED(status))
        complain(m, "%s: exit status %d", m->state->command, WEXITSTATUS(status));
    else
        complain(m, "%s: ended by signal %d, nobody knows what it has done", m->state->command, WTERMSIG(status));
    return WIFEXITED(status) ? ANSWER_NO : ANSWER_UNKNOWN;
}

/* ---- back ---- */

static enum move_end finish_abort(struct move *m)
{
    int r = connect_target(m);

    if (!r) r = complain_of(m, "removing the copy", remove_copy(m));
    if (!r) r = complain_of(m, "file of the move", move_state_remove(m->state->userid));
    if (r) return unfinished(m);
    say(m, "the copy is removed");
    return MOVE_UNDONE;
}

/* Nothing was ever done on the copy. */
static enum move_end undo(struct move *m)
{
    int r = complain_of(m, "staying here", change_record(m, false));

    if (!r) r = set_step(m, MOVE_ABORTING);
    return r ? unfinished(m) : finish_abort(m);
}

/* Both ends equal, with nobody at work at either. */
static int copy_back(struct move *m, xfer_then *still, xfer_then *then)
{
    const struct xfer_steps steps = { .still = still, .then = then, .rock = m };

    return complain_of(m, "copying back", xfer_copy_user(m->sc, m->state->userid, &steps, &m->cost));
}

/* He has not come back: he lives there, as before. */
static enum move_end stay_there(struct move *m)
{
    int r = connect_target(m);

    if (!r) r = complain_of(m, "letting him in on the target again", keep_still(m, false));
    if (!r) (void)set_step(m, m->state->switched ? MOVE_SWITCHED : MOVE_SWITCHING);
    return unfinished(m);
}

/* A target that could not keep him still gets a last look, as nobody comes there any more who asks the directory. */
static enum move_end end_return(struct move *m)
{
    int r = connect_target(m);

    if (!r && !can_hold(m)) r = complain_of(m, "what came on the target last", sync_do_user(m->sc, m->state->userid));
    if (!r) r = set_step(m, MOVE_ABORTING);
    return r ? unfinished(m) : finish_abort(m);
}

/*
 * The copy has been, or may have been, where he lives. What came there comes back, by a copy that goes both ways, and once more when
 * the directory has been told, because an admin can write there still (and, where he can't be kept still, anybody); he is active here when both
 * ends are equal then, not before.
 */
static enum move_end go_back(struct move *m)
{
    bool mine, leaving, there, held;
    int r = look_here(m, &mine, &leaving);

    if (!r && !mine) {
        complain(m, "there is nothing here any more to go back to");
        return MOVE_UNFINISHED;
    }
    if (!r && !leaving && m->state->step == MOVE_RETURNING) return end_return(m);
    if (!r && !leaving && m->state->step == MOVE_SWITCHING) return undo(m); /* he has never left */
    if (!r) r = connect_target(m);
    if (!r) r = complain_of(m, "asking what the target has", check_copy(m, &there));
    if (!r) r = complain_of(m, "asking how he is there", ask_state(m, &held));
    if (!r) r = set_step(m, MOVE_RETURNING);
    if (r) return unfinished(m);
    if (copy_back(m, hold_there, NULL)) return stay_there(m);
    switch (call_command(m, m->state->target, config_servername)) {
    case ANSWER_YES: break;
    case ANSWER_NO: return stay_there(m);
    case ANSWER_UNKNOWN: return unfinished(m);
    }
    r = connect_target(m); /* it may have gone meanwhile */
    if (!r) r = copy_back(m, NULL, then_stay);
    return r ? unfinished(m) : end_return(m);
}

enum move_end move_abort(struct move_state *state, struct mover *mover)
{
    struct move m = MOVE(state, mover);

    mover->tried = false;
    enum move_end end = state->step == MOVE_COPYING    ? undo(&m)
                        : state->step == MOVE_ABORTING ? finish_abort(&m)
                                                       : go_back(&m);

    return end == MOVE_UNDONE ? MOVE_DONE : end;
}

/* ---- forth ---- */

static int copy(struct move *m)
{
    const struct xfer_steps steps = { .still = about_to_leave, .then = then_leave, .rock = m };
    const char *userid = m->state->userid;
    bool there;

    say(m, "copying");
    int r = connect_target(m);
    if (r) return r;
    r = check_copy(m, &there);
    if (!r) r = sync_do_user(m->sc, userid);
    if (!r) r = sync_do_recount(m->sc, userid); /* while nobody waits for it */
    if (!r) r = xfer_copy_user(m->sc, userid, &steps, &m->cost);
    if (!r) say(m, "equal, nothing changes here any more");
    return complain_of(m, "copying", r);
}

/* How long nobody could change anything, and what for; one that goes on after a crash does not know. */
static void say_switched(const struct move *m, unsigned long long ended)
{
    const struct xfer_cost *cost = &m->cost;
    struct buf text = BUF_INITIALIZER;

    if (!cost->began) {
        say(m, "switched");
        return;
    }
    buf_printf(&text, "switched: still for %llu ms, %u commands%s", ended - cost->began, cost->commands,
               cost->copied ? ", something came at the last moment" : "");
    if (cost->let_go) buf_printf(&text, "; let go %u times before, after %llu ms at most", cost->let_go, cost->held);
    say(m, "%s", buf_cstring(&text));
    buf_free(&text);
}

/* A way back that nobody remembers may have kept him still there. */
static int open_target(struct move *m)
{
    bool held = false;
    int r = connect_target(m);

    if (!r) r = complain_of(m, "asking how he is there", ask_state(m, &held));
    return r || !held ? r : complain_of(m, "letting him in on the target", keep_still(m, false));
}

/* *end is set unless he has been switched. */
static bool do_switch(struct move *m, enum move_end *end)
{
    enum answer answer = call_command(m, config_servername, m->state->target);
    unsigned long long ended = monotonic_ms();

    if (answer == ANSWER_YES) {
        m->state->switched = time(NULL);
        if (!set_step(m, MOVE_SWITCHED)) {
            say_switched(m, ended);
            return true;
        }
    }
    *end = answer == ANSWER_NO ? undo(m) : unfinished(m);
    return false;
}

static bool in_grace(const struct move *m)
{
    time_t end = m->state->switched + (time_t)m->state->grace;
    char text[32];
    struct tm tm;

    if (m->o->now || time(NULL) >= end) return false;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
    say(m, "what is here stays until %s", text);
    return true;
}

/*
 * The second look at the copy, and at what he shares with others: later on only at a target of ours, which can tell what was changed there and
 * when.
 */
static int compare_again(struct move *m, bool just_switched)
{
    int r = connect_target(m);
    bool shared = just_switched || (!r && backend_has(m->sc->backend, BACKEND_CAPA_SUBHISTORY));

    m->sc->differences = 0;
    if (!r) r = complain_of(m, "second comparison", sync_verify_kept(m->sc, m->state->userid, shared));
    if (!r && m->sc->differences) {
        complain(m, "the copy lacks something: nothing is removed here");
        r = IMAP_SYNC_CHECKSUM;
    }
    return r;
}

static int may_be_removed(struct move *m, bool *mine)
{
    bool leaving;
    int r = complain_of(m, "user", look_here(m, mine, &leaving));

    if (!r && *mine && !leaving) {
        complain(m, "somebody has made him active here: nothing is removed");
        r = IMAP_MAILBOX_NOTSUPPORTED;
    }
    return r;
}

/* It has said yes; its directory may have come from a backup since. */
static int ask_once_more(struct move *m)
{
    if (call_command(m, config_servername, m->state->target) == ANSWER_YES) return 0;
    complain(m, "nobody says that he is there: nothing is removed here");
    return IMAP_MAILBOX_NOTSUPPORTED;
}

enum move_end move_finish(struct move_state *state, struct mover *mover, bool just_switched)
{
    struct move m = MOVE(state, mover);
    bool mine = false, stays = in_grace(&m);

    mover->tried = false;
    if (stays && !just_switched) return MOVE_DONE;
    int r = may_be_removed(&m, &mine);
    if (!r && mine) r = compare_again(&m, just_switched);
    if (!r && stays) return MOVE_DONE;
    if (!r && mine && !just_switched) r = ask_once_more(&m);
    if (!r && mine) r = complain_of(&m, "removing what is here", xfer_remove_user(state->userid, state->target));
    if (!r) r = complain_of(&m, "file of the move", move_state_remove(state->userid));
    if (r) return unfinished(&m);
    say(&m, "moved");
    return MOVE_DONE;
}

enum move_end move_go_on(struct move_state *state, struct mover *mover)
{
    struct move m = MOVE(state, mover);
    enum move_end end = MOVE_UNFINISHED;
    bool mine, leaving = true;

    mover->tried = false;
    if (state->step == MOVE_ABORTING) return finish_abort(&m);
    if (state->step == MOVE_RETURNING) return go_back(&m);
    if (state->step == MOVE_SWITCHING) {
        if (complain_of(&m, "user", look_here(&m, &mine, &leaving))) return unfinished(&m);
        if (!leaving && set_step(&m, MOVE_COPYING)) return unfinished(&m); /* he has never left */
        if (leaving && open_target(&m)) return unfinished(&m);
    }
    if (state->step == MOVE_COPYING && copy(&m)) return undo(&m);
    if (state->step == MOVE_SWITCHING && !do_switch(&m, &end)) return end;
    return MOVE_DONE;
}
