/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll_unit -- what is to be done for one owner (handbook 03 §13.3)
 *
 * Mailboxes go over as one set. One that fails makes us look at its whole user; what still fails
 * is named as a line of the log, so that it can be kept and tried again. A mailbox that we know nothing of is not
 * asked for: it may be any bytes.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "sync_acked.h"
#include "sync_client_absent.h"
#include "sync_client_home.h"
#include "sync_client_roll.h"
#include "sync_log.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct work {
    struct sync_client *sc;
    const struct sync_unit *unit;
    bool promote, exists, promoted;
    ptrarray_t *failures;
    bool meta; /* scripts that the replica does not take as a mailbox */
};

/* ---- failures ---- */

void sync_failure_add(ptrarray_t *failures, const char *line, const char *reason, bool passing)
{
    struct sync_failure *failure = xzmalloc(sizeof(*failure));

    failure->line = xstrdup(line);
    failure->reason = xstrdup(reason);
    failure->passing = passing;
    ptrarray_append(failures, failure);
}

static void free_failure(void *p)
{
    struct sync_failure *failure = p;

    free(failure->line);
    free(failure->reason);
    free(failure);
}

void sync_failures_fini(ptrarray_t *failures)
{
    ptrarray_fini_with(failures, free_failure);
}

/* It is in motion, or somebody else is at it: soon again. */
static bool is_passing(int r)
{
    return r == IMAP_MAILBOX_LOCKED || r == IMAP_SYNC_CHANGED || r == IMAP_MAILBOX_MOVED || r == IMAP_USER_ATHOME;
}

static void failed(struct work *w, const char *type, const char *arg1, const char *arg2, int r)
{
    struct buf line = BUF_INITIALIZER;
    const char *reason = sync_client_errtext(w->sc, r);

    if (r == IMAP_USER_ATHOME) (void)sync_home_learn(w->sc, w->unit->owner);
    if (sync_log_line(type, arg1, arg2, &line)) {
        syslog(LOG_ERR, "SYNCERROR: %s: %s; it is tried again later", buf_cstring(&line), reason);
        sync_failure_add(w->failures, buf_cstring(&line), reason, is_passing(r));
    }
    buf_free(&line);
}

void sync_unit_give_up(const struct sync_unit *unit, const char *reason, ptrarray_t *failures)
{
    for (int i = 0; i < strarray_size(&unit->lines); i++)
        sync_failure_add(failures, strarray_nth(&unit->lines, i), reason, false);
}

/* ---- whole users ---- */

static int inbox_exists(const char *userid, bool *existsp)
{
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = mboxlist_lookup(name, &inbox, NULL);

    *existsp = !r;
    mbentry_free(&inbox);
    free(name);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static int do_user(struct work *w)
{
    int r = sync_do_user(w->sc, w->unit->owner);

    if (w->sc->broken) return r;
    if (r) failed(w, "USER", w->unit->owner, NULL, r);
    w->promoted = true;
    return 0;
}

/*
 * An item has failed, and the connection lives: as much of its user as can be brought over is. Without
 * promotion the user is on the list of what is to be tried again.
 */
static int item_failed(struct work *w, const char *type, const char *arg1, const char *arg2, int r)
{
    if (w->sc->broken) return r;
    if (!w->exists || r == IMAP_MAILBOX_LOCKED) {
        failed(w, type, arg1, arg2, r);
        return 0;
    }
    if (!w->promote || w->promoted) return 0;
    syslog(LOG_NOTICE, "Promoting: %s %s -> USER %s", type, arg1, w->unit->owner);
    return do_user(w);
}

/* ---- mailboxes ---- */

/* Those of another user may be among them. */
static bool is_left_to_home(const struct work *w, const char *name)
{
    char *userid = mboxname_to_userid(name);
    bool is = sync_home_check(w->sc, userid) != 0;

    free(userid);
    return is;
}

/* Has the mailbox another name of the same owner by now? What was noted of it under this one is not done by looking at a tombstone. */
static bool add_present_name(const mbentry_t *tombstone, strarray_t *names)
{
    mbentry_t *now = NULL;
    bool has = !mboxlist_lookup_by_uniqueid(tombstone->uniqueid, &now, false, NULL) && mboxname_same_userid(now->name, tombstone->name) &&
               !mboxname_isdeletedmailbox(now->name, NULL);

    if (has) strarray_append(names, now->name);
    mbentry_free(&now);
    return has;
}

/* Names that there is an entry of, be it a tombstone, and that may go over. */
static void known_names(struct work *w, const strarray_t *all, strarray_t *known)
{
    bool more = false;

    for (int i = 0; i < strarray_size(all); i++) {
        mbentry_t *mbentry = NULL;
        int r = mboxlist_lookup_allow_all(strarray_nth(all, i), &mbentry, NULL);
        if (!r && mbtype_isa(mbentry->mbtype) == MBTYPE_SIEVE && !w->sc->sieve_mailbox)
            w->meta = true;
        else if (r != IMAP_MAILBOX_NONEXISTENT && !is_left_to_home(w, strarray_nth(all, i)))
            strarray_append(known, strarray_nth(all, i));
        if (!r && (mbentry->mbtype & MBTYPE_DELETED)) more |= add_present_name(mbentry, known);
        mbentry_free(&mbentry);
    }
    if (!more) return;
    strarray_sort(known, cmpstringp_raw); /* who is above another one comes before him */
    strarray_uniq(known);
}

/* The set has failed, and there is no user to look at as a whole: which of them is it? */
static int one_by_one(struct work *w, const strarray_t *names)
{
    for (int i = 0; i < strarray_size(names); i++) {
        strarray_t one = STRARRAY_INITIALIZER;
        strarray_append(&one, strarray_nth(names, i));
        int r = sync_do_mailboxes(w->sc, &one);
        strarray_fini(&one);
        if (r) r = item_failed(w, "MAILBOX", strarray_nth(names, i), NULL, r);
        if (r) return r;
    }
    return 0;
}

/* A folder that only one end has is a sign that more may be missing (handbook 07 W040). */
static int do_own(struct work *w, const strarray_t *names)
{
    const char *owner = w->unit->owner;
    bool whole = false;
    int r = sync_do_mailboxes_of(w->sc, owner, names, &whole);

    if (r || !whole) return r;
    syslog(LOG_NOTICE, "Promoting: folders at one end only -> USER %s", owner);
    r = do_user(w);
    return r ? r : sync_note_unsettled(w->sc, owner, names);
}

static int do_set(struct work *w, const strarray_t *names)
{
    strarray_t own = STRARRAY_INITIALIZER, others = STRARRAY_INITIALIZER;

    for (int i = 0; i < strarray_size(names); i++) {
        const char *name = strarray_nth(names, i);
        char *userid = mboxname_to_userid(name);
        bool is_own = w->exists && w->promote && !strcmpnull(userid, w->unit->owner);
        strarray_append(is_own ? &own : &others, name);
        free(userid);
    }
    int r = strarray_size(&own) ? do_own(w, &own) : 0;
    if (!r && strarray_size(&others)) r = sync_do_mailboxes(w->sc, &others);
    strarray_fini(&own);
    strarray_fini(&others);
    return r;
}

static int do_mailboxes(struct work *w)
{
    strarray_t names = STRARRAY_INITIALIZER;

    known_names(w, &w->unit->mailboxes, &names);
    int r = do_set(w, &names);
    if (r && !w->sc->broken) {
        if (!w->exists && strarray_size(&names) > 1)
            r = one_by_one(w, &names);
        else
            r = item_failed(w, "MAILBOX", strarray_nth(&names, 0), NULL, r);
    }
    strarray_fini(&names);
    return r;
}

/* Removed on the replica is what a tombstone says is gone, unless the mailbox lives on under another name. *uniqueid: of what is gone; the caller frees it. */
static bool is_gone(const char *name, char **uniqueid)
{
    mbentry_t *entry = NULL, *byid = NULL;
    int r = mboxlist_lookup_allow_all(name, &entry, NULL);
    bool gone = !r && (entry->mbtype & MBTYPE_DELETED);

    if (r == IMAP_MAILBOX_NONEXISTENT)
        syslog(LOG_NOTICE, "SYNCNOTICE: attempt to UNMAILBOX without a tombstone: %s", name);
    if (gone && !mboxlist_lookup_by_uniqueid(entry->uniqueid, &byid, false, NULL)) gone = false;
    if (gone) *uniqueid = xstrdupnull(entry->uniqueid);
    mbentry_free(&entry);
    mbentry_free(&byid);
    return gone;
}

static int do_unmailbox(struct work *w, const char *name)
{
    char *uniqueid = NULL;
    int r = is_gone(name, &uniqueid) ? sync_absent_unmailbox(w->sc, name, uniqueid) : 0;

    free(uniqueid);
    return r;
}

/* ---- the small things ---- */

static int do_quota_root(struct work *w, const char *root)
{
    strarray_t roots = STRARRAY_INITIALIZER;
    ptrarray_t nothing = PTRARRAY_INITIALIZER;

    strarray_append(&roots, root);
    int r = sync_do_quotas(w->sc, &roots, &nothing);
    strarray_fini(&roots);
    return r;
}

static int do_annotation(struct work *w, const char *name)
{
    int r = sync_do_annotation(w->sc, name);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static int do_seen(struct work *w, const char *uniqueid)
{
    return sync_do_seen_record(w->sc, w->unit->owner, uniqueid);
}

static int do_sub(struct work *w, const char *name)
{
    return sync_do_sub(w->sc, w->unit->owner, name);
}

/* user: the line names the owner first. */
static int each(struct work *w, const char *type, const strarray_t *names, int (*fn)(struct work *w, const char *name),
                bool user)
{
    for (int i = 0; i < strarray_size(names) && !w->promoted; i++) {
        const char *name = strarray_nth(names, i);
        int r = fn(w, name);
        if (r) r = user ? item_failed(w, type, w->unit->owner, name, r) : item_failed(w, type, name, NULL, r);
        if (r) return r;
    }
    return 0;
}

static int do_rest(struct work *w)
{
    const struct sync_unit *unit = w->unit;
    int r = each(w, "QUOTA", &unit->quotas, do_quota_root, false);

    if (!r) r = each(w, "ANNOTATION", &unit->annotations, do_annotation, false);
    if (!r && !w->meta) r = each(w, "SEEN", &unit->seen, do_seen, true);
    if (!r && !w->meta) r = each(w, "SUB", &unit->subs, do_sub, true);
    if (!r) r = each(w, "UNMAILBOX", &unit->unmailboxes, do_unmailbox, false);
    if (!r && w->meta && !w->promoted && *unit->owner) {
        r = sync_do_meta(w->sc, unit->owner);
        if (r) r = item_failed(w, "META", unit->owner, NULL, r);
    }
    return r;
}

static int do_unuser(struct work *w)
{
    int r = sync_do_unuser(w->sc, w->unit->owner);

    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_INVALID_USER) r = 0;
    return r ? item_failed(w, "UNUSER", w->unit->owner, NULL, r) : 0;
}

/* A user that is gone, and was not there before: nothing to say about him but what his mailboxes are. */
static int do_parts(struct work *w)
{
    const struct sync_unit *unit = w->unit;

    w->meta = unit->meta;
    int r = do_mailboxes(w);
    if (!r && unit->unuser) { /* his metadata go with him */
        r = each(w, "UNMAILBOX", &unit->unmailboxes, do_unmailbox, false);
        return r ? r : do_unuser(w);
    }
    return r || w->promoted ? r : do_rest(w);
}

/* Of what is passed over nobody may think that the other end has it. */
static void not_brought_over(const struct sync_client *sc, const char *userid)
{
    strarray_t one = STRARRAY_INITIALIZER;

    strarray_append(&one, userid);
    if (sc->acks) (void)sync_acked_stop(sc->channel, &one);
    strarray_fini(&one);
}

bool sync_unit_is_plain(const struct sync_unit *unit)
{
    return strarray_size(&unit->mailboxes) && !unit->user && !unit->unuser && !unit->meta && !unit->retried && !unit->broken &&
           !strarray_size(&unit->unmailboxes) && !strarray_size(&unit->quotas) && !strarray_size(&unit->annotations) &&
           !strarray_size(&unit->seen) && !strarray_size(&unit->subs);
}

int sync_unit_run(struct sync_client *sc, const struct sync_unit *unit, bool promote, ptrarray_t *failures)
{
    struct work w = { .sc = sc, .unit = unit, .promote = promote, .failures = failures };
    bool mine = true;
    int r = sync_home_settle(sc, unit->owner, &mine);

    if (sc->broken) return r;
    if (r) failed(&w, "USER", unit->owner, NULL, r);
    if (!r && !mine) not_brought_over(sc, unit->owner);
    if (r || !mine) return 0;
    r = *unit->owner ? inbox_exists(unit->owner, &w.exists) : 0;
    if (r) {
        sync_unit_give_up(unit, error_message(r), failures);
        return 0;
    }
    /* a user who was removed and is there again */
    if (w.exists && (unit->user || unit->unuser)) return do_user(&w);
    r = do_parts(&w);
    return sc->broken ? r : 0;
}
