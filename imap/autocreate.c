/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * autocreate -- a user's first mailboxes (handbook 02 §7.2, 04 §6.1)
 *
 * The INBOX, its subscription and its quota root are one transaction: if it fails there is no
 * user. Everything after that is done as far as it can be, each step for itself, and what fails is
 * logged: a mistake in the configuration must not keep a user out.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist_ops.h"
#include "quota.h"
#include "specialuse.h"
#include "user.h"
#include "user_record.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct autocreate {
    const char *userid;
    char *inbox;
    struct auth_state *auth;
    strarray_t *subscribe; /* of autocreate_inbox_folders */
};

static strarray_t *split_list(enum imapopt opt)
{
    return strarray_split(config_getstring(opt), "|", STRARRAY_TRIM);
}

/* ---- who gets it ---- */

static bool is_listed(const struct auth_state *auth, enum imapopt opt)
{
    return auth_is_listed(auth, config_getstring(opt));
}

static bool is_wanted(const struct autocreate *ac)
{
    if (config_getint(IMAPOPT_AUTOCREATE_QUOTA) < 0) return false;
    if (!ac->userid || !*ac->userid || !strcmp(ac->userid, "anonymous") || !ac->inbox) return false;
    if (is_listed(ac->auth, IMAPOPT_ADMINS) || is_listed(ac->auth, IMAPOPT_PROXYSERVERS))
        return false;
    return is_listed(ac->auth, IMAPOPT_AUTOCREATE_USERS) && user_record_allows_autocreate(ac->userid);
}

/* ---- the INBOX ---- */

static int set_quota(const struct autocreate *ac, struct txn *txn)
{
    int64_t limits[QUOTA_NUMRESOURCES] = { QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED,
                                           QUOTA_UNLIMITED };
    int storage = config_getint(IMAPOPT_AUTOCREATE_QUOTA),
        messages = config_getint(IMAPOPT_AUTOCREATE_QUOTA_MESSAGES);

    if (storage > 0) limits[QUOTA_STORAGE] = storage;
    if (messages > 0) limits[QUOTA_MESSAGE] = messages;
    return mboxlist_setquotas(txn, ac->inbox, limits, 0, false);
}

static int create_inbox(const struct autocreate *ac)
{
    struct mboxlist_createargs args = {
        .name = ac->inbox, .isadmin = true, .userid = ac->userid, .auth = ac->auth
    };
    struct txn *txn;

    int r = txn_begin(&txn);
    if (r) return r;
    r = mboxlist_createmailbox(txn, &args, NULL);
    if (!r) r = sub_change(txn, ac->userid, ac->inbox, true);
    if (!r) r = set_quota(ac, txn);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* ---- folders ---- */

struct use_rock {
    const char *folder;
    struct buf uses;
};

/* "xlist-sent: Sent": the folder of that name is \Sent. */
static void find_use(const char *key, const char *val, void *rock)
{
    struct use_rock *ur = rock;

    if (!strstarts(key, "xlist-") || strcmp(val, ur->folder)) return;
    if (buf_len(&ur->uses)) buf_putc(&ur->uses, ' ');
    buf_printf(&ur->uses, "\\%s", key + strlen("xlist-"));
}

static int set_acls(struct txn *txn, const struct autocreate *ac, const char *folder,
                    const char *name)
{
    strarray_t *lines = strarray_split(config_getoverflowstring("autocreate_acl", NULL), "\n",
                                       STRARRAY_TRIM);
    int r = 0;

    for (int i = 0; !r && i < strarray_size(lines); i++) {
        strarray_t *words = strarray_split(strarray_nth(lines, i), NULL, 0);
        char *rights = strarray_pop(words), *id = strarray_pop(words),
             *which = strarray_join(words, " ");
        if (which && !strcmp(which, folder)) {
            r = mboxlist_setacl(txn, name, id, rights, true, ac->userid, ac->auth);
            if (r == IMAP_INVALID_RIGHTS || r == IMAP_INVALID_IDENTIFIER) {
                syslog(LOG_ERR, "autocreate_acl: %s: %s", strarray_nth(lines, i), error_message(r));
                r = 0;
            }
        }
        free(rights);
        free(id);
        free(which);
        strarray_free(words);
    }
    strarray_free(lines);
    return r;
}

static int create_folder_in(struct txn *txn, const struct autocreate *ac, const char *folder,
                            const char *name)
{
    struct use_rock ur = { folder, BUF_INITIALIZER };
    struct buf uses = BUF_INITIALIZER;
    struct mboxlist_createargs args = {
        .name = name, .isadmin = true, .userid = ac->userid, .auth = ac->auth
    };

    config_foreachoverflowstring(find_use, &ur);
    if (buf_len(&ur.uses) && !specialuse_normalise(buf_cstring(&ur.uses), &uses) &&
        !specialuse_check(txn, ac->userid, name, buf_cstring(&uses)))
        args.specialuse = buf_cstring(&uses);
    int r = mboxlist_createmailbox(txn, &args, NULL);
    if (!r && strarray_contains(ac->subscribe, folder)) r = sub_change(txn, ac->userid, name, true);
    if (!r) r = set_acls(txn, ac, folder, name);
    buf_free(&ur.uses);
    buf_free(&uses);
    return r;
}

static void create_folder(const struct autocreate *ac, const char *folder)
{
    char *name = mboxname_user_mbox(ac->userid, folder);
    struct txn *txn;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, ac->userid);
    if (!r) r = create_folder_in(txn, ac, folder, name);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (r && r != IMAP_MAILBOX_EXISTS)
        xsyslog_errno(LOG_WARNING, 0, "autocreate: mailbox not created",
                      "userid=<%s> mailbox=<%s> error=<%s>", ac->userid, name, error_message(r));
    free(name);
}

/* ---- shared folders ---- */

struct visible_rock {
    const struct autocreate *ac;
    strarray_t *names;
};

static int add_visible(const mbentry_t *entry, void *rock)
{
    struct visible_rock *vr = rock;

    if (mboxname_isusermailbox(entry->name, false) ||
        mboxname_isnonimapmailbox(entry->name, entry->mbtype))
        return 0;
    if (cyrus_acl_myrights(vr->ac->auth, entry->acl) & ACL_LOOKUP)
        strarray_append(vr->names, entry->name);
    return 0;
}

static void subscribe_shared(const struct autocreate *ac)
{
    strarray_t visible = STRARRAY_INITIALIZER;
    strarray_t *listed = split_list(IMAPOPT_AUTOCREATE_SUBSCRIBE_SHAREDFOLDERS);
    bool all = config_getswitch(IMAPOPT_AUTOCREATE_SUBSCRIBE_SHAREDFOLDERS_ALL);
    struct visible_rock vr = { ac, &visible };
    struct txn *txn;
    int r = 0;

    if (!all && !strarray_size(listed)) goto done;
    mboxlist_allmbox(NULL, add_visible, &vr, 0);
    r = txn_begin(&txn);
    if (r) goto done;
    for (int i = 0; !r && i < strarray_size(&visible); i++) {
        const char *name = strarray_nth(&visible, i);
        if (all || strarray_contains(listed, name)) r = sub_change(txn, ac->userid, name, true);
    }
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
done:
    if (r)
        xsyslog_errno(LOG_WARNING, 0, "autocreate: shared folders not subscribed",
                      "userid=<%s> error=<%s>", ac->userid, error_message(r));
    strarray_fini(&visible);
    strarray_free(listed);
}

/* ---- all of it ---- */

static void create_rest(const struct autocreate *ac)
{
    strarray_t *folders = split_list(IMAPOPT_AUTOCREATE_INBOX_FOLDERS);

    for (int i = 0; i < strarray_size(folders); i++) create_folder(ac, strarray_nth(folders, i));
    strarray_free(folders);
    subscribe_shared(ac);
}

int autocreate_user(const char *userid, const struct namespace *ns)
{
    struct autocreate ac = { .userid = userid };
    int r = IMAP_MAILBOX_NONEXISTENT;

    ac.inbox = userid ? mboxname_user_mbox(userid, NULL) : NULL;
    ac.auth = auth_newstate(userid);
    ac.subscribe = split_list(IMAPOPT_AUTOCREATE_SUBSCRIBE_FOLDERS);
    if (is_wanted(&ac)) {
        r = create_inbox(&ac);
        if (r && r != IMAP_MAILBOX_EXISTS)
            xsyslog_errno(LOG_ERR, 0, "autocreate: no INBOX", "userid=<%s> error=<%s>", userid,
                          error_message(r));
        if (!r) create_rest(&ac);
        if (r == IMAP_MAILBOX_EXISTS) r = 0; /* somebody was quicker */
    }
    auth_freestate(&ac.auth);
    strarray_free(ac.subscribe);
    free(ac.inbox);
    return r;
}
