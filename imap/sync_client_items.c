/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_items -- users and mailboxes by name, one after the other or several at once
 *
 * With workers, what fails is tried once more when all others are done, by itself: a mailbox that went from one user to
 * another may have been met half-way by two workers. Only then it is reported. The item of a worker that died is tried again, too.
 */
#include <config.h>

#include "sync_client_items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "namespace.h"
#include "signals.h"
#include "sync_client_compare.h"
#include "sync_client_home.h"
#include "sync_client_pool.h"
#include "times.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CONNECT_FIRST 15 /* seconds between two tries */
#define MAX_DEATHS 2

/* What is done to each item. */
static const struct work {
    const char *user, *mailboxes, *meta; /* for messages */
    int (*do_user)(struct sync_client *sc, const char *userid);
    int (*do_mailboxes)(struct sync_client *sc, const strarray_t *names);
    int (*do_meta)(struct sync_client *sc, const char *userid);
} works[] = {
    [SYNC_ITEMS_REPLICATE] = { "do_user", "do_mailboxes", "do_meta", sync_do_user, sync_do_mailboxes, sync_do_meta },
    [SYNC_ITEMS_VERIFY] = { "verify_user", "verify_mailboxes", "verify_meta", sync_verify_user, sync_verify_mailboxes,
                            sync_verify_meta },
    [SYNC_ITEMS_COMPARE] = { "compare_user", "compare_mailboxes", NULL, sync_compare_user, sync_compare_mailboxes, NULL },
};

enum kind { USER = 'U', META = 'S', MAILBOX = 'M' };

struct item {
    enum kind kind;
    char *name;
    unsigned deaths; /* of workers that had it in hand */
    bool last;       /* it is reported when it fails now */
};

static const struct work *work_of(const struct sync_items *items)
{
    return &works[items->work];
}

static const char *verb(const struct work *work, enum kind kind)
{
    return kind == USER ? work->user : kind == META ? work->meta : work->mailboxes;
}

/* ---- the connection ---- */

/* As 3.6.1 waits: longer each time, up to sync_reconnect_maxwait. wait: seconds of the time before, 0 at first. */
static int say_and_wait(const struct sync_client *sc, int wait)
{
    int maxwait = config_getduration(IMAPOPT_SYNC_RECONNECT_MAXWAIT);

    wait = wait ? wait * 2 : CONNECT_FIRST;
    if (maxwait > 0 && wait > maxwait) wait = maxwait;
    fprintf(stderr, "Can not connect to server '%s', retrying in %d seconds\n", sc->servername, wait);
    return wait;
}

static int need_connection(struct sync_client *sc)
{
    if (sc->backend && !sc->broken) return 0;
    for (int wait = 0;;) {
        int r = sync_client_connect(sc);
        if (!r || sc->connect_once) return r;
        wait = say_and_wait(sc, wait);
        sleep((unsigned)wait);
        if (signals_shutdown()) return r;
    }
}

/* ---- one item ---- */

static void failed(struct sync_items *items, const char *what, const char *name, const char *text, int r)
{
    fprintf(stderr, "Error from %s: %s: %s\n", what, name, text);
    syslog(LOG_ERR, "Error in %s(%s): bailing out! %s", what, name, r ? error_message(r) : text);
    items->failed = true;
}

static void item_failed(struct sync_items *items, const char *what, const char *name, int r)
{
    failed(items, what, name, sync_client_errtext(items->sc, r), r);
}

static int do_item(const struct sync_items *items, const struct item *item)
{
    const struct work *work = work_of(items);
    strarray_t one = STRARRAY_INITIALIZER;

    if (item->kind != MAILBOX) {
        if (!*item->name || strchr(item->name, '/')) return IMAP_INVALID_USER;
        bool mine = true;
        int hr = items->work == SYNC_ITEMS_REPLICATE ? sync_home_settle(items->sc, item->name, &mine) : 0;
        if (hr || !mine) return hr ? hr : IMAP_USER_ELSEWHERE;
        return (item->kind == USER ? work->do_user : work->do_meta)(items->sc, item->name);
    }
    strarray_append(&one, item->name);
    int r = work->do_mailboxes(items->sc, &one);
    strarray_fini(&one);
    return r;
}

/* A user whom another sync_client works on, as 3.6.1; of all users, one whose home is elsewhere. */
static bool is_skipped(const struct sync_items *items, const struct item *item, int r)
{
    if (r == IMAP_USER_ELSEWHERE && items->all) {
        sync_client_say(items->sc, "skipping %s, whose home is elsewhere", item->name);
        return true;
    }
    if (r != IMAP_MAILBOX_LOCKED || !items->sc->skip_locked || items->work != SYNC_ITEMS_REPLICATE) return false;
    sync_client_say(items->sc, "skipping locked %s", item->name);
    return true;
}

/* ---- several at once ---- */

struct round {
    struct sync_items *items;
    struct sync_pool *pool;
    ptrarray_t todo, late; /* struct item */
    int r;                 /* there is no connection, and none is to be waited for */
    int wait;              /* seconds until it is tried again, 0: there is one */
    unsigned long long paused;
};

static void free_item(void *p)
{
    struct item *item = p;

    free(item->name);
    free(item);
}

static void add_item(ptrarray_t *list, enum kind kind, const char *name)
{
    struct item *item = xzmalloc(sizeof(*item));

    item->kind = kind;
    item->name = xstrdup(name);
    ptrarray_append(list, item);
}

static int round_work(struct sync_client *sc, const strarray_t *job, strarray_t *answer, void *rock)
{
    struct sync_items *items = ((struct round *)rock)->items;
    struct item item = { .kind = (enum kind)*strarray_nth(job, 0), .last = *strarray_nth(job, 1) == 'L',
                         .name = (char *)strarray_nth(job, 2) };
    int r = sc->backend && !sc->broken ? sync_client_post_restart(sc), 0 : sync_client_connect(sc);

    if (r) return r;
    sc->complain = item.last;
    items->failed = false;
    r = do_item(items, &item);
    if (r && item.last && is_skipped(items, &item, r)) r = 0; /* before, it may be one of us who is at it */
    if (r && item.last) item_failed(items, verb(work_of(items), item.kind), item.name, r);
    strarray_append(answer, items->failed ? "failed" : r ? "again" : "done");
    return 0;
}

static void *round_next(strarray_t *words, int busy, void *rock)
{
    struct round *round = rock;
    struct item *item = ptrarray_shift(&round->todo);

    if (!item && !busy && (item = ptrarray_shift(&round->late))) item->last = true;
    if (!item) return NULL;
    strarray_appendm(words, xasprintf("%c", (char)item->kind));
    strarray_append(words, item->last || round->items->work != SYNC_ITEMS_REPLICATE ? "L" : "-");
    strarray_append(words, item->name);
    return item;
}

static void no_connection(struct round *round, int r)
{
    if (round->items->sc->connect_once) {
        round->r = r;
        return;
    }
    if (monotonic_ms() < round->paused) return; /* another worker has said it */
    round->wait = say_and_wait(round->items->sc, round->wait);
    round->paused = monotonic_ms() + (unsigned long long)round->wait * 1000;
    sync_pool_pause(round->pool, round->wait);
}

static void worker_died(struct round *round, struct item *item, const char *how)
{
    const char *what = verb(work_of(round->items), item->kind);

    if (++item->deaths >= MAX_DEATHS) {
        failed(round->items, what, item->name, how, 0);
        free_item(item);
        return;
    }
    fprintf(stderr, "%s: %s: %s; it is tried again\n", what, item->name, how);
    syslog(LOG_ERR, "SYNCERROR: %s(%s): %s; it is tried again", what, item->name, how);
    ptrarray_append(&round->late, item);
}

static void round_ended(void *job, const struct sync_pool_end *end, void *rock)
{
    struct round *round = rock;
    struct item *item = job;

    if (end->outcome == SYNC_POOL_DIED) {
        worker_died(round, item, end->text);
        return;
    }
    if (end->outcome == SYNC_POOL_UNCONNECTED) {
        ptrarray_unshift(&round->todo, item);
        no_connection(round, end->r);
        return;
    }
    round->wait = 0;
    if (strarray_contains(end->answer, "again")) {
        ptrarray_append(&round->late, item);
        return;
    }
    if (strarray_contains(end->answer, "failed")) round->items->failed = true;
    free_item(item);
}

static bool round_must_end(void *rock)
{
    return ((struct round *)rock)->r || signals_shutdown();
}

static int do_at_once(struct sync_items *items, ptrarray_t *list)
{
    static const struct sync_pool_ops ops = { round_work, NULL, round_next, round_ended, round_must_end };
    struct round round = { .items = items, .todo = *list };

    ptrarray_init(list);
    round.pool = sync_pool_new(items->sc, items->jobs, &ops, &round);
    sync_pool_run(round.pool);
    sync_pool_free(&round.pool);
    ptrarray_fini_with(&round.todo, free_item);
    ptrarray_fini_with(&round.late, free_item);
    return round.r;
}

/* ---- one after the other ---- */

static int do_in_turn(struct sync_items *items, const ptrarray_t *list)
{
    for (int i = 0; i < ptrarray_size(list) && !signals_shutdown(); i++) {
        const struct item *item = ptrarray_nth(list, i);
        int r = need_connection(items->sc);
        if (r) return r;
        if (i && item->kind != MAILBOX) sync_client_post_restart(items->sc);
        r = do_item(items, item);
        if (r && !is_skipped(items, item, r)) item_failed(items, verb(work_of(items), item->kind), item->name, r);
    }
    return 0;
}

static int do_list(struct sync_items *items, ptrarray_t *list)
{
    int r = items->jobs > 1 ? do_at_once(items, list) : do_in_turn(items, list);

    ptrarray_fini_with(list, free_item);
    return r;
}

/* ---- what there is to do ---- */

int sync_items_users(struct sync_items *items, const strarray_t *userids, bool meta)
{
    ptrarray_t list = PTRARRAY_INITIALIZER;

    for (int i = 0; i < strarray_size(userids); i++) add_item(&list, meta ? META : USER, strarray_nth(userids, i));
    return do_list(items, &list);
}

int sync_items_mailboxes(struct sync_items *items, const strarray_t *names)
{
    const struct work *work = work_of(items);
    strarray_t intnames = STRARRAY_INITIALIZER;
    struct namespace ns;
    int r = mboxname_init_namespace(&ns, true);

    for (int i = 0; i < strarray_size(names) && !r; i++) {
        const char *name = strarray_nth(names, i);
        char *intname = mboxname_from_external(extname_of(name), &ns, NULL);
        if (intname)
            strarray_appendm(&intnames, intname);
        else
            item_failed(items, work->mailboxes, name, IMAP_MAILBOX_BADNAME);
    }
    if (!r) r = need_connection(items->sc);
    if (!r && strarray_size(&intnames)) {
        int er = work->do_mailboxes(items->sc, &intnames);
        if (er) item_failed(items, work->mailboxes, strarray_nth(&intnames, 0), er);
    }
    strarray_fini(&intnames);
    return r;
}

struct everything {
    strarray_t users, shared;
};

static int everything_cb(const mbentry_t *mbentry, void *rock)
{
    struct everything *all = rock;
    char *userid = mboxname_to_userid(mbentry->name);

    if (!userid)
        strarray_append(&all->shared, mbentry->name);
    else if (!strarray_size(&all->users) || strcmp(strarray_nth(&all->users, -1), userid) != 0)
        strarray_add(&all->users, userid);
    free(userid);
    return 0;
}

int sync_items_all(struct sync_items *items, const char *prefix)
{
    struct everything all = { STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };
    ptrarray_t list = PTRARRAY_INITIALIZER;
    int r = mboxlist_allmbox(prefix, everything_cb, &all, 0);

    items->all = true;
    items->sc->nowait = items->sc->skip_locked = items->work != SYNC_ITEMS_COMPARE && !items->wait;
    for (int i = 0; i < strarray_size(&all.users) && !r; i++) add_item(&list, USER, strarray_nth(&all.users, i));
    for (int i = 0; i < strarray_size(&all.shared) && !r; i++) add_item(&list, MAILBOX, strarray_nth(&all.shared, i));
    if (!r) r = do_list(items, &list);
    strarray_fini(&all.users);
    strarray_fini(&all.shared);
    return r;
}
