/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease -- one sync stream at a user (doc/sync-extensions.md, X-LEASE)
 *
 * What a client sends follows from what it was told before, so two of them at one user would work on each other's sand. A lease
 * is a named lock of class job, so it ends with the process; and it ends when the peer has been silent for sync_lease_timeout,
 * be it that it sends nothing, stops within a literal, or does not read. Who comes back later takes it again, if nobody has it.
 *
 * A stream that knows leases is told at once that somebody else has the user, before anything is told or changed. One that does
 * not has its changes made under a lease that lasts as long as the command, and waits for it for as long as a silent
 * peer could have it.
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxname.h"
#include "namelock.h"
#include "prot.h"
#include "signals.h"
#include "sync_name.h"
#include "times.h"
#include "util.h"
#include "xsyslog.h"

/* A lock of class job, as those of clients; theirs name a server. */
#define PREFIX "*S**"
#define AGAIN 1000ULL /* ms, for which one waits who was refused just now */
#define LOOK_AGAIN 50 /* ms, while a lease is waited for */

static int timeout_ms(void)
{
    int seconds = config_getduration(IMAPOPT_SYNC_LEASE_TIMEOUT);

    return (seconds < 1 ? 1 : seconds) * 1000;
}

/* ---- whom a command is about ---- */

static void add_owner(strarray_t *users, const char *name)
{
    char *userid = mboxname_to_userid(name);

    strarray_add(users, userid ? userid : "");
    free(userid);
}

/* One of these, or two in a renaming; a rule of the keys is synccmd_is_allowed's, which looks further, and for another reason. */
static void add_keyed(strarray_t *users, const struct dlist *kl)
{
    static const char *const keys[] = { "MBOXNAME", "OLDMBOXNAME", "NEWMBOXNAME" };
    const char *name;

    for (size_t i = 0; i < array_size(keys); i++)
        if (sync_getname_or_server(kl, keys[i], &name) && *name) add_owner(users, name);
    if (sync_getroot(kl, "ROOT", &name)) add_owner(users, name);
}

static void add_name(strarray_t *users, const struct dlist *item)
{
    const char *name;

    if (sync_toname(item, &name)) add_owner(users, name);
}

/*
 * What has no owner that could be named is about nobody; the command itself refuses it. Only what the command names first is looked
 * at, not each of its records.
 */
static void find_users(enum synccmd_subject subject, const struct dlist *dl, strarray_t *users)
{
    bool list = dl->type == DL_LIST, kvlist = dl->type == DL_KVLIST;
    const char *userid;

    switch (subject) {
    case SYNCCMD_NAMES:
        if (!list && !kvlist) add_name(users, dl);
        for (const struct dlist *item = list ? dl->head : NULL; item; item = item->next)
            if (item->type != DL_KVLIST) add_name(users, item);
        break;
    case SYNCCMD_MAILBOXES:
        if (kvlist) add_keyed(users, dl);
        for (const struct dlist *item = list ? dl->head : NULL; item; item = item->next)
            if (item->type == DL_KVLIST) add_keyed(users, item);
        break;
    case SYNCCMD_USERS:
        if (kvlist ? sync_getuserid(dl, "USERID", &userid) : sync_touserid(dl, &userid)) strarray_add(users, userid);
        break;
    case SYNCCMD_IDS:
    case SYNCCMD_NOBODY:
    case SYNCCMD_SERVER: break;
    }
}

/* ---- taking ---- */

static void lease_name(const char *userid, struct buf *name)
{
    lock_name_user(userid, name);
    buf_replace(name, 0, strlen("*U*"), PREFIX, strlen(PREFIX));
}

static bool has(const struct synccmd_session *session, const char *userid)
{
    struct buf name = BUF_INITIALIZER;
    bool found = false;

    lease_name(userid, &name);
    for (int i = 0; i < ptrarray_size(&session->leases) && !found; i++)
        found = !strcmp(namelock_name(ptrarray_nth(&session->leases, i)), buf_cstring(&name));
    buf_free(&name);
    return found;
}

static void give_back(struct synccmd_session *session, int keep)
{
    while (ptrarray_size(&session->leases) > keep) {
        struct namelock *lock = ptrarray_pop(&session->leases);
        namelock_release(&lock);
    }
}

void synccmd_lease_end(struct synccmd_session *session)
{
    give_back(session, 0);
}

/* All or none of those that are missing, without waiting. */
static int take(struct synccmd_session *session, const strarray_t *users)
{
    int before = ptrarray_size(&session->leases), r = 0;
    struct buf name = BUF_INITIALIZER;

    for (int i = 0; i < strarray_size(users) && !r; i++) {
        struct namelock *lock = NULL;
        if (has(session, strarray_nth(users, i))) continue;
        lease_name(strarray_nth(users, i), &name);
        r = namelock_acquire(buf_cstring(&name), NAMELOCK_EXCLUSIVE, NAMELOCK_NONBLOCK, &lock);
        if (!r) ptrarray_append(&session->leases, lock);
    }
    if (r) give_back(session, before);
    buf_free(&name);
    return r;
}

/* Who goes to users of whom he has none has done with those that he has. */
static void move_on(struct synccmd_session *session, const strarray_t *users)
{
    for (int i = 0; i < strarray_size(users); i++)
        if (has(session, strarray_nth(users, i))) return;
    give_back(session, 0);
}

/* A 3.6.1 that is refused has more to say of the user, and begins anew at the end: that it has waited for the first time is enough. */
static int wait_for(struct synccmd_session *session, const strarray_t *users)
{
    unsigned long long now = monotonic_ms(), whole = (unsigned long long)timeout_ms();
    bool again = session->refused && now - session->refused < whole + AGAIN;
    unsigned long long until = now + (again ? cyr_min(whole, AGAIN) : whole);
    int r;

    prot_flush(session->out);
    while ((r = take(session, users)) == IMAP_MAILBOX_LOCKED && monotonic_ms() < until && !signals_shutdown())
        (void)signals_poll_fds(NULL, 0, LOOK_AGAIN);
    session->refused = r == IMAP_MAILBOX_LOCKED ? monotonic_ms() : 0;
    if (r == IMAP_MAILBOX_LOCKED)
        syslog(LOG_NOTICE, "SYNCNOTICE: another sync stream is at user %s", strarray_nth(users, 0));
    return r;
}

static int silent(struct protstream *s __attribute__((unused)), void *rock)
{
    struct synccmd_session *session = rock;

    if (ptrarray_size(&session->leases))
        syslog(LOG_NOTICE, "SYNCNOTICE: the peer is silent: its lease of %s ends",
               namelock_name(ptrarray_nth(&session->leases, 0)) + strlen(PREFIX));
    synccmd_lease_end(session);
    return 0;
}

void synccmd_lease_watch(struct synccmd_session *session, bool on)
{
    prot_setwaittimer(session->in, on ? timeout_ms() : 0, on ? silent : NULL, session);
    prot_setwaittimer(session->out, on ? timeout_ms() : 0, on ? silent : NULL, session);
}

bool synccmd_lease_is_held(struct synccmd_session *session)
{
    if (ptrarray_size(&session->leases) && monotonic_ms() - session->heard >= (unsigned long long)timeout_ms())
        (void)silent(session->in, session);
    return ptrarray_size(&session->leases) > 0;
}

int synccmd_lease_begin(struct synccmd_session *session, enum synccmd_subject subject, const struct dlist *dl)
{
    strarray_t users = STRARRAY_INITIALIZER;
    int r = 0;

    session->heard = monotonic_ms();
    find_users(subject, dl, &users);
    if (strarray_size(&users)) {
        move_on(session, &users);
        r = session->knows_leases ? take(session, &users) : wait_for(session, &users);
    }
    strarray_fini(&users);
    return r;
}
