/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_meta -- where a user's metadata lives, decided once and from the uniqueid in hand
 *
 * 3.6.1 asks mailboxes.db anew at every open and falls back to the legacy path when it finds
 * nothing, which splits a user over two sets of files (handbook 01 §5.3). Here a path is made
 * from an entry. Within a transaction the first answer for a user stays, so
 * that renaming or removing his INBOX does not change where the rest of the work goes.
 *
 * Errors: IMAP_MAILBOX_NONEXISTENT when the user has no INBOX entry, or only a tombstone
 * whose identity lives on under another name. IMAP_MAILBOX_MOVED, logged: another live INBOX has his uniqueid.
 */
#include <config.h>

#include "user.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "diskio.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "names_config.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct user_meta {
    char *userid;   /* NULL: mailboxes of no user */
    char *domain;   /* of those; NULL: the default one */
    char *uniqueid; /* of the INBOX; NULL: legacy files */
    struct buf path;
};

/* In the order in which relocate_by_id tells them, as 3.6.1 does. */
const struct user_file user_files[] = {
    { "sub", USER_FILE_REPLACE | USER_FILE_RESET | USER_FILE_ADOPT | USER_FILE_RENAME | USER_FILE_RELOCATE },
    { "subhistory", USER_FILE_REPLACE | USER_FILE_RESET | USER_FILE_ADOPT | USER_FILE_RENAME | USER_FILE_RELOCATE },
    { "seen", USER_FILE_REPLACE | USER_FILE_ADOPT | USER_FILE_RENAME | USER_FILE_RELOCATE },
    { "conversations", USER_FILE_REPLACE | USER_FILE_RESET | USER_FILE_RELOCATE },
    { "mboxkey", USER_FILE_REPLACE | USER_FILE_RENAME | USER_FILE_RELOCATE },
    { "dav", USER_FILE_REPLACE | USER_FILE_RESET | USER_FILE_RELOCATE },
    { "xapianactive", USER_FILE_RESET | USER_FILE_RELOCATE },
    { "counters", USER_FILE_REPLACE | USER_FILE_RESET },
    { NULL, 0 },
};

static struct user_meta *meta_new(const char *userid, const char *uniqueid, const char *domain)
{
    struct user_meta *meta = xzmalloc(sizeof(*meta));

    meta->userid = xstrdupnull(userid);
    meta->uniqueid = xstrdupnull(uniqueid);
    meta->domain = xstrdupnull(domain);
    return meta;
}

void user_meta_free(struct user_meta **metap)
{
    struct user_meta *meta = *metap;

    *metap = NULL;
    if (!meta) return;
    free(meta->userid);
    free(meta->uniqueid);
    free(meta->domain);
    buf_free(&meta->path);
    free(meta);
}

const char *user_meta_userid(const struct user_meta *meta)
{
    return meta->userid;
}

const char *user_meta_uniqueid(const struct user_meta *meta)
{
    return meta->uniqueid;
}

const char *user_meta_path(struct user_meta *meta, const char *suffix)
{
    int r = meta->userid ? user_path(meta->userid, meta->uniqueid, suffix, &meta->path)
                         : user_path_shared(meta->domain, suffix, &meta->path);
    if (r) {
        xsyslog_errno(LOG_ERR, 0, "IOERROR: no path for a user's file",
                      "userid=<%s> uniqueid=<%s> suffix=<%s>", meta->userid ? meta->userid : "",
                      meta->uniqueid ? meta->uniqueid : "", suffix);
        return NULL;
    }
    return buf_cstring(&meta->path);
}

/* As the user's files, but for "/user" in front of the last part and what it is below of. */
int user_meta_sievedir(const struct user_meta *meta, struct buf *out)
{
    struct buf path = BUF_INITIALIZER;
    size_t parts = meta->uniqueid ? 5 : 3; /* user/uuid/a/b/ID, user/H/LOCALPART.sieve */

    int r = meta->uniqueid ? user_path_dir(meta->uniqueid, &path)
                           : user_path(meta->userid, NULL, "sieve", &path);
    if (!r) {
        const char *rest = buf_cstring(&path) + strlen(config_dir), *user = buf_cstring(&path) + buf_len(&path);
        while (parts--) user = memrchr(rest, '/', (size_t)(user - rest));
        buf_setcstr(out, config_getstring(IMAPOPT_SIEVEDIR));
        buf_appendmap(out, rest, (size_t)(user - rest)); /* of the domain */
        buf_appendcstr(out, user + strlen("/user"));
        if (!meta->uniqueid) buf_truncate(out, buf_len(out) - strlen(".sieve"));
    }
    buf_free(&path);
    return r;
}

/* ---- what a transaction has found ---- */

#define KNOWN_KEY "user_meta"

static void free_known(void *data)
{
    struct user_meta *meta = data;
    user_meta_free(&meta);
}

static void known_done(void *data)
{
    free_hash_table(data, free_known);
    free(data);
}

static bool known_get(struct txn *txn, const char *userid, struct user_meta **metap)
{
    hash_table *known = txn ? txn_attached(txn, KNOWN_KEY) : NULL;
    const struct user_meta *meta = known ? hash_lookup(userid, known) : NULL;

    if (meta) *metap = meta_new(meta->userid, meta->uniqueid, meta->domain);
    return meta != NULL;
}

/* The same, if it is what the entry of an INBOX would give. */
static bool known_get_same(struct txn *txn, const char *userid, const mbentry_t *inbox, struct user_meta **metap)
{
    if (!known_get(txn, userid, metap)) return false;
    if ((*metap)->uniqueid && !strcmpnull((*metap)->uniqueid, inbox->uniqueid)) return true;
    user_meta_free(metap);
    return false;
}

static void known_set(struct txn *txn, const struct user_meta *meta)
{
    hash_table *known;

    if (!txn) return;
    known = txn_attached(txn, KNOWN_KEY);
    if (!known) {
        known = xzmalloc(sizeof(*known));
        construct_hash_table(known, 0);
        txn_attach(txn, KNOWN_KEY, known, known_done);
    }
    struct user_meta *old = hash_insert(
        meta->userid, meta_new(meta->userid, meta->uniqueid, meta->domain), known);
    user_meta_free(&old);
}

void user_meta_forget(struct txn *txn, const char *userid)
{
    hash_table *known = txn_attached(txn, KNOWN_KEY);
    struct user_meta *meta = known ? hash_del(userid, known) : NULL;

    user_meta_free(&meta);
}

int user_meta_move(struct txn *txn, struct user_meta *from, struct user_meta *to, unsigned flag, bool replace)
{
    struct names_config cfg;
    struct stat st;
    int r = 0;

    names_config_get(&cfg);
    for (const struct user_file *f = user_files; !r && f->suffix; f++) {
        if (!(f->flags & flag)) continue;
        const char *src = user_meta_path(from, f->suffix), *dst = user_meta_path(to, f->suffix);
        if (!src || !dst || diskio_stat(src, &st) || (!replace && !diskio_stat(dst, &st))) continue;
        char *dir = xstrndup(dst, (size_t)(strrchr(dst, '/') - dst));
        txn_mkdir(txn, dir, 0755);
        free(dir);
        r = txn_move(txn, cfg.configdirectory, src, dst);
    }
    return r;
}

/* ---- making one ---- */

int user_meta_from_entry(const mbentry_t *inbox, struct user_meta **metap)
{
    bool legacy = (inbox->mbtype & MBTYPE_LEGACY_DIRS) || !inbox->uniqueid;
    char *userid = mboxname_to_userid(inbox->name);

    *metap = NULL;
    if (!userid || !mboxname_isusermailbox(inbox->name, true)) {
        free(userid);
        return IMAP_MAILBOX_NONEXISTENT;
    }
    *metap = meta_new(userid, legacy ? NULL : inbox->uniqueid, NULL);
    free(userid);
    return 0;
}

int user_meta_legacy(const char *userid, struct user_meta **metap)
{
    *metap = meta_new(userid, NULL, NULL);
    return 0;
}

/* A tombstone still stands for its files only if the identity has no other name now. */
static int check_tombstone(const mbentry_t *inbox, struct txn *txn)
{
    mbentry_t *now = NULL;

    if (!inbox->uniqueid) return 0;
    int r = mboxlist_lookup_by_uniqueid(inbox->uniqueid, &now, true, txn);
    /* the deleted INBOX of the same user still leads to his files: his other mailboxes follow it
     * one by one when a whole user is deleted on a replica */
    if (!r && strcmpnull(now->name, inbox->name) && !mboxname_same_userid(now->name, inbox->name))
        r = IMAP_MAILBOX_NONEXISTENT;
    mbentry_free(&now);
    return r;
}

/* Of several live names of one identity, which 3.6.1 may have made, only the one in the I record has its files (07 W041). */
static int check_live(const mbentry_t *inbox, struct txn *txn)
{
    mbentry_t *byid = NULL, *now = NULL;

    if (!inbox->uniqueid || inbox->mbtype & MBTYPE_LEGACY_DIRS) return 0;
    /* The entry in hand may be of a name that this transaction has given up: a rename is no clash. */
    bool clash = !mboxlist_lookup_by_uniqueid(inbox->uniqueid, &byid, false, txn) && strcmpnull(byid->name, inbox->name) &&
                 !mboxlist_lookup(inbox->name, &now, txn) && !strcmpnull(now->uniqueid, inbox->uniqueid);
    if (clash)
        xsyslog_errno(LOG_ALERT, 0, "DBERROR: two mailboxes have one uniqueid, files of the user are refused",
                      "mailbox=<%s> owner=<%s> uniqueid=<%s> repair=<reconstruct -I>", inbox->name, byid->name,
                      inbox->uniqueid);
    mbentry_free(&byid);
    mbentry_free(&now);
    return clash ? IMAP_MAILBOX_MOVED : 0;
}

static int meta_from_db(const mbentry_t *inbox, struct txn *txn, struct user_meta **metap)
{
    int r = inbox->mbtype & MBTYPE_DELETED ? check_tombstone(inbox, txn) : check_live(inbox, txn);

    if (!r) r = user_meta_from_entry(inbox, metap);
    if (!r && !(inbox->mbtype & MBTYPE_DELETED)) known_set(txn, *metap);
    return r;
}

int user_meta_lookup(const char *userid, struct txn *txn, struct user_meta **metap)
{
    mbentry_t *inbox = NULL;

    *metap = NULL;
    if (known_get(txn, userid, metap)) return 0;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = name ? mboxlist_lookup_allow_all(name, &inbox, txn) : IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = meta_from_db(inbox, txn, metap);
    mbentry_free(&inbox);
    free(name);
    return r;
}

int user_meta_follow(struct txn *txn, const char *olduser, const char *newuser)
{
    mbentry_t *from = NULL, *to = NULL;
    char *oldname = mboxname_user_mbox(olduser, NULL), *newname = mboxname_user_mbox(newuser, NULL);
    int r = oldname && newname ? mboxlist_lookup_allow_all(oldname, &from, txn) : IMAP_MAILBOX_NONEXISTENT;

    if (!r) r = mboxlist_lookup(newname, &to, txn);
    if (!r && (from->mbtype & MBTYPE_DELETED) && to->uniqueid && !(to->mbtype & MBTYPE_LEGACY_DIRS) &&
        !strcmpnull(from->uniqueid, to->uniqueid)) {
        struct user_meta *meta = meta_new(olduser, to->uniqueid, NULL);
        known_set(txn, meta);
        user_meta_free(&meta);
    }
    mbentry_free(&from);
    mbentry_free(&to);
    free(oldname);
    free(newname);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

int user_meta_lookup_or_legacy(const char *userid, struct txn *txn, struct user_meta **metap)
{
    int r = user_meta_lookup(userid, txn, metap);
    return r == IMAP_MAILBOX_NONEXISTENT ? user_meta_legacy(userid, metap) : r;
}

int user_meta_for_mailbox(const mbentry_t *mbentry, struct txn *txn, struct user_meta **metap)
{
    mbname_t *mbname = mbname_from_intname(mbentry->name);
    int r = 0;

    *metap = NULL;
    if (!mbname_userid(mbname))
        *metap = meta_new(NULL, NULL, mbname_domain(mbname));
    else if (!mbname_is_inbox(mbname) || (mbentry->mbtype & MBTYPE_DELETED))
        r = user_meta_lookup(mbname_userid(mbname), txn, metap);
    else if (!known_get_same(txn, mbname_userid(mbname), mbentry, metap))
        r = meta_from_db(mbentry, txn, metap);
    mbname_free(&mbname);
    return r;
}
