/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * failover_home -- users of a pair go from one server to the other, one by one (failover(8), doc/failover.md, "Homes of users")
 *
 * At no point two servers take changes of a user: the mark that keeps him out where he was comes first, the one that lets him in where
 * he goes comes last. Whoever is met on the way is brought to the end by doing the same again.
 */
#include <config.h>

#include "failover_home.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend.h"
#include "exitcodes.h"
#include "global.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "server_role.h"
#include "signals.h"
#include "sync_client_home.h"
#include "times.h"
#include "user_record.h"
#include "verified_pass.h"
#include "xmalloc.h"

#define AT_ONCE 64   /* users of a transaction: each has a lock file open */
#define LOOK_AGAIN 200 /* ms, while users are waited for */

/* A user and what both ends say of him. */
struct pair {
    const char *userid;
    struct user_home ours;
    struct sync_home there;
};

static int say_failed(struct failover_home *fh, const char *userid, int r)
{
    fprintf(stderr, "%s: %s\n", userid, sync_client_errtext(fh->sc, r));
    return r;
}

static int say(const char *userid, const char *what, int r)
{
    fprintf(stderr, "%s: %s\n", userid, what);
    return r;
}

static void say_home(const char *userid, const struct user_home *home)
{
    printf("%s: home is %s, epoch %" PRIu64 "\n", userid, home->server, home->epoch);
    fflush(stdout);
}

static int get_ours(const char *userid, struct user_home *ours)
{
    int r = user_home_get(userid, NULL, ours);

    return r == IMAP_NOTFOUND ? 0 : r;
}

/* A mark that counts more than all that both ends have said. */
static void next_mark(const struct pair *p, const char *server, struct user_home *mark)
{
    uint64_t epoch = p->ours.epoch > p->there.home.epoch ? p->ours.epoch : p->there.home.epoch;

    *mark = (struct user_home){ .epoch = epoch + 1, .since = time(NULL) };
    snprintf(mark->server, sizeof(mark->server), "%s", server);
}

static int user_exists(const char *userid)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, NULL, &rec);

    user_record_free(&rec);
    return r == IMAP_NOTFOUND ? IMAP_INVALID_USER : r;
}

/* ---- to the other end ---- */

static int fence_here(const struct pair *p)
{
    struct user_home mark;

    next_mark(p, p->there.here, &mark);
    return user_home_set(p->userid, &mark);
}

static int give(struct failover_home *fh, struct pair *p)
{
    bool here = user_home_is_here(&p->ours);
    int r = user_exists(p->userid);

    if (r) return say_failed(fh, p->userid, r);
    if (p->ours.epoch && !here && strcmp(p->ours.server, p->there.here) != 0)
        return say(p->userid, "his home is a third server", IMAP_BAD_SERVER);
    if (user_home_cmp(&p->ours, &p->there.home) < 0) { /* the other end knows better */
        if (strcmp(p->there.home.server, p->there.here) != 0)
            return say(p->userid, "his home is this server, as the other end has it: `failover home' there brings him", IMAP_SYNC_CHANGED);
        r = user_home_set(p->userid, &p->there.home);
    }
    else if (!p->ours.epoch || here) {
        /* most of it goes over before anybody is kept out */
        if (user_home_cmp(&p->ours, &p->there.home) > 0) r = sync_home_tell(fh->sc, p->userid, &p->ours);
        if (!r) r = sync_do_user(fh->sc, p->userid);
        if (!r) r = fence_here(p);
        if (!r) r = sync_home_hand_over(fh->sc, p->userid);
    }
    else if (user_home_cmp(&p->ours, &p->there.home) > 0) {
        r = sync_home_hand_over(fh->sc, p->userid); /* what was begun */
    }
    if (!r) r = get_ours(p->userid, &p->ours);
    if (r) return say_failed(fh, p->userid, r);
    say_home(p->userid, &p->ours);
    return 0;
}

/* ---- here, for the first time ---- */

static int settle_here(struct failover_home *fh, struct pair *p)
{
    struct user_home mark = p->ours;
    int r = user_exists(p->userid);

    if (r) return say_failed(fh, p->userid, r);
    if (p->ours.epoch && !user_home_is_here(&p->ours)) return say(p->userid, "he has a home: --take brings him", IMAP_SYNC_CHANGED);
    if (p->there.home.epoch && user_home_cmp(&p->ours, &p->there.home) < 0)
        return say(p->userid, "the other end says that he has a home: --take brings him", IMAP_SYNC_CHANGED);
    if (!p->ours.epoch) next_mark(p, config_servername, &mark);
    if (user_home_cmp(&mark, &p->there.home) > 0) r = sync_home_tell(fh->sc, p->userid, &mark);
    if (!r) r = user_home_set(p->userid, &mark);
    if (r) return say_failed(fh, p->userid, r);
    say_home(p->userid, &mark);
    return 0;
}

/* ---- from the other end ---- */

/* He is not asked for what he has; what can be reached is fenced nevertheless. */
static int take_lost(struct failover_home *fh, struct pair *p)
{
    struct user_home mark = p->ours;
    int r = user_exists(p->userid);

    if (!r && !(user_home_is_here(&p->ours) && user_home_cmp(&p->ours, &p->there.home) >= 0)) next_mark(p, config_servername, &mark);
    if (!r && fh->sc->backend) r = sync_home_tell(fh->sc, p->userid, &mark);
    if (!r) r = user_home_set(p->userid, &mark);
    if (r) return say_failed(fh, p->userid, r);
    say_home(p->userid, &mark);
    return 0;
}

/* *wait: the other end has him, and hands him over. */
static int take(struct failover_home *fh, struct pair *p, bool *wait)
{
    const struct user_home *theirs = &p->there.home;
    struct user_home mark = *theirs;

    *wait = false;
    if (!p->ours.epoch && !theirs->epoch) return say(p->userid, "he has no home: --here, where he is, gives him one", IMAP_SYNC_CHANGED);
    bool there = theirs->epoch && !strcmp(theirs->server, p->there.here);
    bool comes = user_home_is_here(theirs) && user_home_cmp(theirs, &p->ours) > 0;
    int r = 0;
    if (there || comes) {
        /* with the mark that it has already, the other end only tries once more */
        if (there) next_mark(p, config_servername, &mark);
        r = sync_home_tell(fh->sc, p->userid, &mark);
        if (r) return say_failed(fh, p->userid, r);
        *wait = true;
        return 0;
    }
    if (!user_home_is_here(&p->ours)) { /* he was on his way there, where nobody has let him in */
        next_mark(p, config_servername, &mark);
        r = sync_home_tell(fh->sc, p->userid, &mark);
        if (!r) r = user_home_set(p->userid, &mark);
        p->ours = mark;
    }
    if (r) return say_failed(fh, p->userid, r);
    say_home(p->userid, &p->ours);
    return 0;
}

static bool all_are_here(strarray_t *waiting)
{
    for (int i = strarray_size(waiting) - 1; i >= 0; i--) {
        struct user_home home;
        if (get_ours(strarray_nth(waiting, i), &home) || !user_home_is_here(&home)) continue;
        say_home(strarray_nth(waiting, i), &home);
        free(strarray_remove(waiting, i));
    }
    return !strarray_size(waiting);
}

/* The rolling sync_client of the other end does it. */
static int wait_for(const struct failover_home *fh, strarray_t *waiting)
{
    unsigned long long until = monotonic_ms() + (unsigned long long)fh->wait * 1000;

    while (!all_are_here(waiting) && monotonic_ms() < until && !signals_shutdown()) (void)signals_poll_fds(NULL, 0, LOOK_AGAIN);
    for (int i = 0; i < strarray_size(waiting); i++)
        say(strarray_nth(waiting, i), "is on his way: a rolling sync_client of the other end, or `failover home' there, brings him", 0);
    return strarray_size(waiting) ? EX_TEMPFAIL : EX_OK;
}

/* ---- the list ---- */

/* "here", "elsewhere", "on the way": marked at one end, and not let in by the other one. */
static const char *state_of(const struct pair *p, bool asked)
{
    const struct user_home *newer = asked && user_home_cmp(&p->ours, &p->there.home) < 0 ? &p->there.home : &p->ours;

    if (!newer->epoch) return "none";
    if (!user_home_is_here(newer))
        return asked && !strcmp(newer->server, p->there.here) && user_home_cmp(newer, &p->there.home) > 0 ? "on the way" : "elsewhere";
    return newer == &p->ours ? "here" : "on the way";
}

static json_t *home_json(const struct user_home *home)
{
    char text[32];

    if (!home->epoch) return json_null();
    return json_pack("{s:s, s:I, s:s}", "server", home->server, "epoch", (json_int_t)home->epoch, "since",
                     verified_time_text(home->since, text));
}

static void list_one(const struct pair *p, bool asked, json_t *list)
{
    char text[32];

    if (list) {
        json_t *one = json_pack("{s:s, s:s, s:o}", "user", p->userid, "state", state_of(p, asked), "home", home_json(&p->ours));
        if (one && asked) json_object_set_new(one, "other_end", home_json(&p->there.home));
        if (one) json_array_append_new(list, one);
        return;
    }
    printf("%s: %s", p->userid, state_of(p, asked));
    if (p->ours.epoch) printf(", home is %s since %s, epoch %" PRIu64, p->ours.server, verified_time_text(p->ours.since, text), p->ours.epoch);
    if (asked && user_home_cmp(&p->ours, &p->there.home) != 0) {
        if (p->there.home.epoch)
            printf("; the other end says %s, epoch %" PRIu64, p->there.home.server, p->there.home.epoch);
        else
            fputs("; the other end knows of none", stdout);
    }
    putchar('\n');
}

/* ---- the users ---- */

static int add_user(const char *userid, void *rock)
{
    strarray_append(rock, userid);
    return 0;
}

/* What --all means. */
static int choose(struct failover_home *fh)
{
    strarray_t all = STRARRAY_INITIALIZER;
    int r = fh->verb == FAILOVER_HOME_HERE ? mboxlist_alluser(add_user, &all) : user_home_users(&all);

    for (int i = 0; !r && i < strarray_size(&all); i++) {
        struct user_home ours;
        r = get_ours(strarray_nth(&all, i), &ours);
        bool fits = fh->verb == FAILOVER_HOME_LIST || (fh->verb == FAILOVER_HOME_HERE && !ours.epoch) ||
                    (fh->verb == FAILOVER_HOME_TAKE && ours.epoch && !user_home_is_here(&ours)) ||
                    (fh->verb == FAILOVER_HOME_GIVE && ours.epoch && user_home_is_here(&ours));
        if (!r && fits) strarray_append(&fh->users, strarray_nth(&all, i));
    }
    strarray_fini(&all);
    return r;
}

static int one_user(struct failover_home *fh, const char *userid, strarray_t *waiting, json_t *list)
{
    struct pair p = { .userid = userid };
    bool wait = false, asked = fh->sc->backend;
    int r = get_ours(userid, &p.ours);

    if (!r && asked) r = sync_home_ask(fh->sc, userid, &p.there);
    if (r) return say_failed(fh, userid, r);
    switch (fh->verb) {
    case FAILOVER_HOME_GIVE: r = give(fh, &p); break;
    case FAILOVER_HOME_HERE: r = settle_here(fh, &p); break;
    case FAILOVER_HOME_TAKE: r = fh->lost ? take_lost(fh, &p) : take(fh, &p, &wait); break;
    case FAILOVER_HOME_LIST: list_one(&p, asked, list); break;
    }
    if (wait) strarray_append(waiting, userid);
    return r;
}

/* Of one server that is the primary or the replica of a pair nobody goes away, or comes. */
static int check_roles(const struct failover_home *fh)
{
    if (server_role_is(SERVER_ROLE_NONE) || fh->verb == FAILOVER_HOME_LIST) return EX_OK;
    fputs("failover: this server has a role: `failover release' first, on both ends\n", stderr);
    return EX_TEMPFAIL;
}

static int reach(const struct failover_home *fh)
{
    bool must = fh->verb != FAILOVER_HOME_LIST && !fh->lost;
    int r = fh->sc->servername ? sync_client_connect(fh->sc) : IMAP_SERVER_UNAVAILABLE;

    if (!r && !backend_has(fh->sc->backend, BACKEND_CAPA_HOME)) {
        fprintf(stderr, "failover: %s knows no homes of users\n", fh->sc->servername);
        sync_client_disconnect(fh->sc);
        return must ? EX_TEMPFAIL : EX_OK;
    }
    if (r && must) fprintf(stderr, "failover: %s can't be reached\n", fh->sc->servername);
    return r && must ? EX_TEMPFAIL : EX_OK;
}

int failover_home(struct failover_home *fh)
{
    strarray_t waiting = STRARRAY_INITIALIZER;
    json_t *list = fh->json ? json_array() : NULL;
    int code = check_roles(fh);

    fh->sc->reads_only = fh->verb == FAILOVER_HOME_LIST;
    if (!code) code = reach(fh);
    if (!code && fh->all && choose(fh)) code = 1;
    for (int i = 0; (!code || code == 1) && i < strarray_size(&fh->users) && !signals_shutdown(); i++) {
        if (one_user(fh, strarray_nth(&fh->users, i), &waiting, list)) code = 1;
        if (fh->sc->backend && fh->sc->broken) code = EX_TEMPFAIL;
    }
    int late = wait_for(fh, &waiting);
    if (list) json_dumpf(list, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    if (list) putchar('\n');
    json_decref(list);
    strarray_fini(&waiting);
    return code ? code : signals_shutdown() ? EX_TEMPFAIL : late;
}

/* ---- many at once, when a server takes over, or starts ---- */

struct marks {
    strarray_t users;
    ptrarray_t homes; /* struct user_home */
    bool take;        /* all of them; else only what this server loses */
};

static int set_some(const struct marks *marks, int from, int to)
{
    strarray_t some = STRARRAY_INITIALIZER;
    struct txn *txn = NULL;

    for (int i = from; i < to; i++) strarray_append(&some, strarray_nth(&marks->users, i));
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_users(txn, &some);
    for (int i = from; !r && i < to; i++) {
        r = user_home_take(txn, strarray_nth(&marks->users, i), NULL, ptrarray_nth(&marks->homes, i));
        if (r == IMAP_INVALID_USER || r == IMAP_MAILBOX_NOTSUPPORTED || r == IMAP_SYNC_CHANGED || r == IMAP_USER_ATHOME) r = 0;
    }
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    strarray_fini(&some);
    return r;
}

static int set_marks(struct marks *marks)
{
    int n = strarray_size(&marks->users), r = 0;

    for (int i = 0; !r && i < n; i += AT_ONCE) r = set_some(marks, i, i + AT_ONCE < n ? i + AT_ONCE : n);
    ptrarray_fini_with(&marks->homes, free);
    strarray_fini(&marks->users);
    return r;
}

static void add_mark(struct marks *marks, const char *userid, const struct user_home *home)
{
    struct user_home *copy = xmalloc(sizeof(*copy));

    *copy = *home;
    strarray_append(&marks->users, userid);
    ptrarray_append(&marks->homes, copy);
}

/* What the other end says, against what is known here. */
static int look_at(const struct sync_home *there, void *rock)
{
    struct pair p = { .userid = there->userid, .there = *there };
    struct marks *marks = rock;
    struct user_home mark;
    int r = get_ours(p.userid, &p.ours);

    if (r || user_home_cmp(&p.ours, &there->home) >= 0) return r;
    if (marks->take) {
        next_mark(&p, config_servername, &mark);
        add_mark(marks, p.userid, &mark);
    }
    else if (!user_home_is_here(&there->home)) {
        add_mark(marks, p.userid, &there->home);
    }
    return 0;
}

int failover_home_take_all(struct sync_client *sc, bool connected)
{
    struct marks marks = { .take = true };
    strarray_t users = STRARRAY_INITIALIZER;
    int r = connected && backend_has(sc->backend, BACKEND_CAPA_HOME) ? sync_home_foreach(sc, look_at, &marks) : 0;

    if (!r) r = user_home_users(&users);
    for (int i = 0; !r && i < strarray_size(&users); i++) {
        struct pair p = { .userid = strarray_nth(&users, i) };
        struct user_home mark;
        if (strarray_contains(&marks.users, p.userid)) continue;
        r = get_ours(p.userid, &p.ours);
        if (r || !p.ours.epoch || user_home_is_here(&p.ours)) continue;
        next_mark(&p, config_servername, &mark);
        add_mark(&marks, p.userid, &mark);
    }
    strarray_fini(&users);
    int n = strarray_size(&marks.users);
    int sr = r ? 0 : set_marks(&marks);
    if (n && !r && !sr) printf("the home of %d users is this server now\n", n);
    return r ? r : sr;
}

int failover_home_check(struct sync_client *sc)
{
    struct marks marks = { .take = false };
    int r = backend_has(sc->backend, BACKEND_CAPA_HOME) ? sync_home_foreach(sc, look_at, &marks) : 0;
    int n = strarray_size(&marks.users);

    if (!r) r = set_marks(&marks);
    if (n && !r) printf("the home of %d users is the other end by now\n", n);
    return r;
}
