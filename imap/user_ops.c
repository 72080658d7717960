/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_ops -- what is done to a user as a whole: each one unit of work inside the caller's transaction (doc/users.md)
 *
 * A user with an INBOX is created, renamed and deleted by the operations on mailboxes, which his record follows
 * (user_follow.c). Here is what they don't know: users without an INBOX, the states, and coming back.
 */
#include <config.h>

#include "user_ops.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "makeuuid.h"
#include "mboxlist_ops.h"
#include "mboxname.h"
#include "quota.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"

/* The name of his INBOX, if he can have one. The caller frees. */
static int inbox_of(const char *userid, char **inbox)
{
    mbname_t *mbname = user_text_isvalid(userid, USER_MAXUSERID) ? mbname_from_userid(userid) : NULL;
    bool ok = mbname && mbname_issound(mbname);

    *inbox = ok ? mboxname_user_mbox(userid, NULL) : NULL;
    mbname_free(&mbname);
    if (*inbox && mboxname_isusermailbox(*inbox, true) && !mboxname_policycheck(*inbox)) return 0;
    xzfree(*inbox);
    return IMAP_INVALID_USER;
}

/* He as he is, under his lock; *rec is what may be changed. */
static int begin(struct txn *txn, const char *userid, char **inbox, struct user_record **now, struct user_record **rec)
{
    *now = *rec = NULL;
    int r = inbox_of(userid, inbox);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = user_record_lookup(userid, txn, now);
    if (!r) *rec = user_record_dup(*now);
    return r;
}

/* The record that stands in the file now is replaced, whatever its name there. */
static int put(struct txn *txn, struct user_record *rec)
{
    struct user_record *old = NULL;

    int r = user_record_by_id(txn, rec->id, &old);
    if (r == IMAP_NOTFOUND) r = user_record_by_name(txn, rec->userid, &old);
    if (r == IMAP_NOTFOUND) r = 0;
    if (!r) r = user_record_put(txn, old, rec);
    if (!r) sync_log_user(txn, rec->userid);
    user_record_free(&old);
    return r;
}

/* ---- create ---- */

static int check_new(struct txn *txn, const char *userid)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, txn, &rec);

    if (!r && rec->state == USER_MOVED) r = IMAP_NOTFOUND; /* he can come back */
    user_record_free(&rec);
    return r == IMAP_NOTFOUND ? 0 : r ? r : IMAP_MAILBOX_EXISTS;
}

/* An id that is asked for must be nobody's, not even of who has not got his INBOX yet. */
static int check_id(struct txn *txn, const char *id)
{
    struct user_record *rec = NULL;

    if (!id) return 0;
    if (!uniqueid_isvalid(id)) return IMAP_MAILBOX_BADFORMAT;
    if (mboxlist_uniqueid_in_use(id, txn)) return IMAP_MAILBOX_EXISTS;
    int r = user_record_by_id(txn, id, &rec);
    user_record_free(&rec);
    return r == IMAP_NOTFOUND ? 0 : r ? r : IMAP_MAILBOX_EXISTS;
}

static int reserve_place(struct txn *txn, const struct user_createargs *args)
{
    char uuid[MAKEUUID_LEN];
    const char *id = args->id ? args->id : makeuuid(uuid);
    struct user_record *rec = user_record_new(id, args->userid, USER_MOVING_IN);
    rec->created = rec->changed = txn_time(txn);
    int r = put(txn, rec);
    user_record_free(&rec);
    return r;
}

static int set_storage(struct txn *txn, const char *inbox, int64_t storage)
{
    int64_t limits[QUOTA_NUMRESOURCES];

    for (int i = 0; i < QUOTA_NUMRESOURCES; i++) limits[i] = QUOTA_UNLIMITED;
    limits[QUOTA_STORAGE] = storage;
    return mboxlist_setquotas(txn, inbox, limits, 0, false);
}

int user_create(struct txn *txn, const struct user_createargs *args)
{
    char *inbox = NULL;

    int r = inbox_of(args->userid, &inbox);
    if (!r) r = txn_lock_user(txn, args->userid);
    if (!r) r = check_new(txn, args->userid);
    if (!r) r = check_id(txn, args->id);
    if (!r && args->moving_in) {
        r = reserve_place(txn, args);
    }
    else if (!r) {
        struct mboxlist_createargs create = {
            .name = inbox, .uniqueid = args->id, .partition = args->partition, .isadmin = true, .no_parents = true
        };
        r = mboxlist_createmailbox(txn, &create, NULL);
        if (!r && args->storage >= 0) r = set_storage(txn, inbox, args->storage);
    }
    free(inbox);
    return r;
}

/* ---- states ---- */

int user_disable(struct txn *txn, const char *userid, const char *reason)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL;

    if (reason && !user_text_isvalid(reason, USER_MAXREASON)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = begin(txn, userid, &inbox, &now, &rec);
    if (!r && rec->state != USER_ACTIVE && rec->state != USER_DISABLED) r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r && (rec->state != USER_DISABLED || strcmpnull(rec->reason, reason))) {
        rec->state = USER_DISABLED;
        rec->changed = txn_time(txn);
        user_record_set_text(&rec->reason, reason);
        r = put(txn, rec);
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    return r;
}

int user_enable(struct txn *txn, const char *userid)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL;

    int r = begin(txn, userid, &inbox, &now, &rec);
    if (!r && (rec->state == USER_MOVED || rec->state == USER_MOVING_OUT)) r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r && rec->state == USER_MOVING_IN) r = mboxlist_lookup(inbox, NULL, txn);
    if (!r && rec->state != USER_ACTIVE) {
        rec->state = USER_ACTIVE;
        rec->changed = txn_time(txn);
        user_record_set_text(&rec->reason, NULL);
        r = put(txn, rec);
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    return r;
}

int user_leave(struct txn *txn, const char *userid, const char *server)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL;

    int r = begin(txn, userid, &inbox, &now, &rec);
    if (!r && rec->state != USER_ACTIVE && rec->state != USER_DISABLED && rec->state != USER_MOVING_OUT)
        r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r) r = mboxlist_lookup(inbox, NULL, txn);
    if (!r && (rec->state != USER_MOVING_OUT || strcmpnull(rec->server, server))) {
        rec->state = USER_MOVING_OUT; /* the reason why he was disabled stays */
        rec->changed = txn_time(txn);
        user_record_set_text(&rec->server, server);
        r = put(txn, rec);
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    return r;
}

int user_stay(struct txn *txn, const char *userid, enum user_state state)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL;

    int r = begin(txn, userid, &inbox, &now, &rec);
    if (!r && rec->state == USER_MOVING_OUT) {
        rec->state = state;
        rec->changed = txn_time(txn);
        user_record_set_text(&rec->server, NULL);
        r = put(txn, rec);
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    return r;
}

int user_take_state(struct txn *txn, const struct user_record *said)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL;

    int r = begin(txn, said->userid, &inbox, &now, &rec);
    bool takes = !r && (rec->state == USER_ACTIVE || rec->state == USER_DISABLED);
    if (takes && (rec->state != said->state || strcmpnull(rec->reason, said->reason) || rec->changed != said->changed ||
                  (said->created && rec->created != said->created))) {
        rec->state = said->state;
        rec->changed = said->changed;
        if (said->created) rec->created = said->created;
        user_record_set_text(&rec->reason, said->reason);
        r = put(txn, rec);
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    return r;
}

/* ---- delete, rename ---- */

/* A user without INBOX: only his record changes. */
static int bury_bare(struct txn *txn, struct user_record *rec)
{
    rec->before = rec->state;
    rec->state = USER_DELETED;
    rec->changed = txn_time(txn);
    return put(txn, rec);
}

int user_delete(struct txn *txn, const char *userid, bool immediate)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL;

    int r = begin(txn, userid, &inbox, &now, &rec);
    if (!r) {
        r = mboxlist_lookup(inbox, NULL, txn);
        if (!r)
            r = mboxlist_deletemailbox(txn, inbox, true, NULL, NULL,
                                       MBOXLIST_DELETE_FORCE | (immediate ? MBOXLIST_DELETE_IMMEDIATE : 0));
        else if (r == IMAP_MAILBOX_NONEXISTENT)
            r = bury_bare(txn, rec);
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    return r;
}

static int lock_both(struct txn *txn, const char *from, const char *to)
{
    strarray_t users = STRARRAY_INITIALIZER;

    strarray_append(&users, from);
    strarray_append(&users, to);
    int r = txn_lock_users(txn, &users);
    strarray_fini(&users);
    return r;
}

int user_rename(struct txn *txn, const char *from, const char *to)
{
    struct user_record *now = NULL, *rec = NULL;
    char *inbox = NULL, *newinbox = NULL;

    int r = inbox_of(to, &newinbox);
    if (!r) r = lock_both(txn, from, to);
    if (!r) r = begin(txn, from, &inbox, &now, &rec);
    if (!r && rec->state == USER_MOVING_OUT) r = IMAP_MAILBOX_NOTSUPPORTED; /* there he has this name */
    if (!r) r = check_new(txn, to);
    if (!r) {
        r = mboxlist_lookup(inbox, NULL, txn);
        if (!r) {
            r = mboxlist_renametree(txn, inbox, newinbox, NULL, true, NULL, NULL, MBOXLIST_RENAME_FORCEUSER, NULL, NULL);
        }
        else if (r == IMAP_MAILBOX_NONEXISTENT) {
            user_record_set_userid(rec, to, txn_time(txn));
            rec->changed = txn_time(txn);
            r = put(txn, rec);
        }
    }
    user_record_free(&now);
    user_record_free(&rec);
    free(inbox);
    free(newinbox);
    return r;
}

/* ---- undelete ---- */

struct undeleting {
    const char *inbox;
    time_t when; /* in the name of the deleted INBOX */
    ptrarray_t entries;
};

/* What was deleted with the INBOX, in one transaction, has its time; a second one of that name the next second. */
static int collect_deleted(const mbentry_t *entry, void *rock)
{
    struct undeleting *un = rock;
    time_t when = 0;

    if (mboxname_isdeletedmailbox(entry->name, &when) && when == un->when) ptrarray_append(&un->entries, mbentry_dup(entry));
    return 0;
}

/* The name it had; the caller frees. */
static char *former_name(const char *deleted)
{
    mbname_t *mbname = mbname_from_intname(deleted);

    mbname_set_isdeleted(mbname, 0);
    char *name = xstrdup(mbname_intname(mbname));
    mbname_free(&mbname);
    return name;
}

static int restore_limits(struct txn *txn, const struct user_record *rec)
{
    int r = 0;

    for (size_t i = 0; !r && i < rec->nlimits; i++)
        r = mboxlist_setquotas(txn, rec->limits[i].root, rec->limits[i].limits, 0, true);
    return r;
}

/* The INBOX first, so that the others find their user's place. */
static int restore_mailboxes(struct txn *txn, const struct undeleting *un)
{
    int r = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; !r && i < ptrarray_size(&un->entries); i++) {
            const mbentry_t *entry = ptrarray_nth(&un->entries, i);
            char *name = former_name(entry->name);
            if ((strcmp(name, un->inbox) != 0) == pass)
                r = mboxlist_renamemailbox(txn, entry, name, NULL, 0, true, NULL, NULL, MBOXLIST_RENAME_NOCHECK);
            free(name);
        }
    }
    return r;
}

static int restore_subscriptions(struct txn *txn, const struct user_record *rec)
{
    int r = 0;

    for (int i = 0; !r && i < strarray_size(&rec->subscribed); i++)
        r = sub_change(txn, rec->userid, strarray_nth(&rec->subscribed, i), true);
    return r;
}

static int find_deleted(struct txn *txn, const struct user_record *rec, struct undeleting *un)
{
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup_by_uniqueid(rec->id, &entry, false, txn);

    if (!r && (!mboxname_isdeletedmailbox(entry->name, &un->when) || !mboxname_same_userid(entry->name, un->inbox)))
        r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = mboxlist_usermboxtree(rec->userid, collect_deleted, un, MBOXTREE_DELETED);
    mbentry_free(&entry);
    return r;
}

int user_undelete(struct txn *txn, const char *userid, const char *id)
{
    struct undeleting un = { .entries = PTRARRAY_INITIALIZER };
    struct user_record *rec = NULL;
    char *inbox = NULL;

    int r = inbox_of(userid, &inbox);
    un.inbox = inbox;
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = check_new(txn, userid);
    if (!r) r = user_record_lookup_deleted(userid, id, txn, &rec);
    if (!r && rec->before == USER_MOVING_IN && mboxlist_lookup_by_uniqueid(rec->id, NULL, true, txn)) {
        rec->state = rec->before;
        rec->changed = txn_time(txn);
        r = put(txn, rec);
        goto done;
    }
    if (!r) r = find_deleted(txn, rec, &un);
    if (!r) r = restore_limits(txn, rec);
    if (!r) r = restore_mailboxes(txn, &un);
    if (!r) r = restore_subscriptions(txn, rec);
    if (!r) sync_log_user(txn, userid);
done:
    mboxlist_collect_free(&un.entries);
    user_record_free(&rec);
    free(inbox);
    return r;
}
