/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_home -- whose changes go over to the other server of a pair, and how a user goes there (doc/failover.md, "Homes of users")
 *
 * The mark here is the fence: once it says that his home is the other end, nothing of him changes here. So whoever does the rest, and
 * whenever, sends the same; and the other end takes nobody before it is told, which is the last step.
 */
#include <config.h>

#include "sync_client_home.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "namelock.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- asking and telling ---- */

static int take_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct sync_home *there = rock;

    (void)sc;
    if (strcmp((*dlp)->name, "HOME") != 0) return IMAP_PROTOCOL_ERROR;
    int r = sync_home_parse(*dlp, there);
    there->userid = there->id = NULL; /* they go with the line */
    return r;
}

/* With his id, in case that he has another name there, or is not there yet. */
static int command(struct sync_client *sc, const char *verb, struct sync_home *said, sync_client_line *fn, void *rock)
{
    char *name = mboxname_user_mbox(said->userid, NULL);
    mbentry_t *inbox = NULL;

    if (name && !mboxlist_lookup(name, &inbox, NULL)) said->id = inbox->uniqueid;
    int r = sync_client_command(sc, verb, sync_home_print(said), fn, rock);
    mbentry_free(&inbox);
    free(name);
    return r;
}

int sync_home_ask(struct sync_client *sc, const char *userid, struct sync_home *there)
{
    struct sync_home asked = { .userid = userid };

    *there = (struct sync_home){ .id = NULL };
    int r = command(sc, "GET", &asked, take_line, there);
    if (!r && !strcmp(there->here, config_servername)) {
        syslog(LOG_ERR, "SYNCERROR: both ends have the servername %s: nobody can be at home at one of them", there->here);
        r = IMAP_BAD_SERVER;
    }
    return !r && !*there->here ? IMAP_PROTOCOL_ERROR : r;
}

int sync_home_tell(struct sync_client *sc, const char *userid, const struct user_home *home)
{
    struct sync_home said = { .userid = userid, .home = *home };

    sync_client_say(sc, "HOME %s %s %" PRIu64, userid, home->server, home->epoch);
    return command(sc, "APPLY", &said, NULL, NULL);
}

struct each {
    int (*fn)(const struct sync_home *there, void *rock);
    void *rock;
};

static int each_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    const struct each *each = rock;
    struct sync_home there;

    (void)sc;
    if (strcmp((*dlp)->name, "HOME") != 0) return IMAP_PROTOCOL_ERROR;
    int r = sync_home_parse(*dlp, &there);
    return r ? r : each->fn(&there, each->rock);
}

int sync_home_foreach(struct sync_client *sc, int (*fn)(const struct sync_home *there, void *rock), void *rock)
{
    struct each each = { fn, rock };

    return sync_client_command(sc, "GET", dlist_newlist(NULL, "HOMES"), each_line, &each);
}

/* ---- handing over ---- */

int sync_home_hand_over(struct sync_client *sc, const char *userid)
{
    struct namelock *lock = NULL;
    struct user_home mark;
    int r = sync_client_lock(sc, userid, &lock);

    if (r) return r;
    r = user_home_get(userid, NULL, &mark);
    if (!r && user_home_is_here(&mark)) r = IMAP_SYNC_CHANGED; /* it was taken back meanwhile */
    if (!r) {
        sc->handing_over = true;
        r = sync_do_user(sc, userid);
        sc->handing_over = false;
    }
    if (!r) r = sync_home_tell(sc, userid, &mark);
    if (!r) syslog(LOG_NOTICE, "%s is at home at %s now, epoch %" PRIu64, userid, mark.server, mark.epoch);
    sync_client_unlock(sc, &lock);
    return r;
}

/* ---- before anything goes over ---- */

/* Their mark counts more. By it alone nobody comes home: who is on his way here comes when he is handed over. */
static int take_theirs(const char *userid, const struct user_home *ours, const struct user_home *theirs)
{
    if (user_home_is_here(theirs) && !user_home_is_here(ours)) return 0;
    return user_home_set(userid, theirs);
}

static int settle(struct sync_client *sc, const char *userid, const struct user_home *ours)
{
    struct sync_home there;
    int r = sync_home_ask(sc, userid, &there);
    int cmp = user_home_cmp(ours, &there.home);

    if (r || !cmp) return r;
    if (cmp < 0) return take_theirs(userid, ours, &there.home);
    if (user_home_is_here(ours)) return sync_home_tell(sc, userid, ours);
    return strcmp(ours->server, there.here) ? 0 : sync_home_hand_over(sc, userid);
}

int sync_home_settle(struct sync_client *sc, const char *userid, bool *mine)
{
    struct user_home ours;
    int r = 0;

    *mine = true;
    if (!*userid || sc->proxy || sc->reads_only || user_home_get(userid, NULL, &ours)) return 0;
    if (backend_has(sc->backend, BACKEND_CAPA_HOME)) r = settle(sc, userid, &ours);
    *mine = !user_home_is_elsewhere(userid, NULL);
    return r;
}

int sync_home_learn(struct sync_client *sc, const char *userid)
{
    struct user_home ours;
    struct sync_home there;

    if (!backend_has(sc->backend, BACKEND_CAPA_HOME)) return 0;
    int r = sync_home_ask(sc, userid, &there);
    (void)user_home_get(userid, NULL, &ours);
    return !r && user_home_cmp(&ours, &there.home) < 0 ? take_theirs(userid, &ours, &there.home) : r;
}

int sync_home_check(const struct sync_client *sc, const char *userid)
{
    if (sc->proxy || sc->handing_over || !userid || !user_home_is_elsewhere(userid, NULL)) return 0;
    return IMAP_USER_ELSEWHERE;
}
