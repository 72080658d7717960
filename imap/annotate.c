/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * annotate -- annotations of the server and of mailboxes (handbook 01 §7.5)
 *
 * The owner's private values are stored under a token, so that renaming a user costs
 * nothing; callers never see it. A damaged record is logged and skipped.
 *
 * A change of a mailbox's annotation is a change of the mailbox: it takes the mailbox's
 * next modseq, which also becomes the folder modseq of its entry in mailboxes.db. The bytes of its
 * values count for the quota, as those of its messages do.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "annotate_db.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "names_config.h"
#include "sync_log.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- records ---- */

int annotate_db_fetch(struct txn_db *db, const struct buf *key, struct annotation_value *v,
                      struct buf *buf)
{
    const char *val;
    size_t len;

    int r = txn_db_fetch(db, buf_base(key), buf_len(key), &val, &len);
    if (r) return r;
    buf_setmap(buf, val, len);
    return annotation_value_parse(buf_cstring(buf), buf_len(buf), v);
}

int annotate_db_store(struct txn_db *db, const struct buf *key, const struct annotation_value *v)
{
    struct buf val = BUF_INITIALIZER;

    annotation_value_print(v, &val);
    int r = txn_db_store(db, buf_base(key), buf_len(key), buf_cstring(&val), buf_len(&val));
    buf_free(&val);
    return r;
}

static int foreach_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    const struct annotate_query *q = rock;
    struct annotation_key k;
    struct annotation_value v = { .modseq = 0 };
    uint32_t uid = 0;

    int r = annotation_key_parse(key, keylen, &k);
    if (!r && !q->scope && parse_u32_cstr(k.scope, &uid)) r = IMAP_MAILBOX_BADFORMAT;
    if (!r && q->scope && cyr_isdigit(*q->scope)) parse_u32_cstr(q->scope, &uid);
    if (!r) r = annotation_value_parse(data, datalen, &v);
    if (r) {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged annotation skipped", "mailbox=<%s> entry=<%s>",
                      q->mboxname, r == IMAP_MAILBOX_BADFORMAT ? "" : k.entry);
        return 0;
    }
    if ((v.flags & ANNOTATION_FLAG_DELETED) && !q->deleted) return 0;
    const char *userid = strcmp(k.userid, ANNOT_OWNER_TOKEN) || !q->owner ? k.userid : q->owner;
    if (q->entry && strcmp(q->entry, k.entry)) return 0;
    if (q->userid && strcmp(q->userid, userid)) return 0;
    struct annotation ann = {
        .entry = k.entry, .userid = userid, .value = v.value, .modseq = v.modseq
    };
    return q->cb(q->mboxname, uid, &ann, q->rock);
}

int annotate_db_foreach(struct txn_db *db, const struct annotate_query *q)
{
    struct buf prefix = BUF_INITIALIZER;

    if (q->scope)
        annotation_key_print(q->scope, q->entry, q->entry ? q->userid : NULL, q->owner, &prefix);
    int r = txn_db_foreach(db, buf_base(&prefix), buf_len(&prefix), foreach_cb,
                           (void *)(uintptr_t)q);
    buf_free(&prefix);
    return r;
}

/* ---- annotations.db ---- */

void annotate_fname(struct buf *path)
{
    struct names_config cfg;
    const char *set = config_getstring(IMAPOPT_ANNOTATION_DB_PATH);

    names_config_get(&cfg);
    buf_reset(path);
    if (set)
        buf_setcstr(path, set);
    else
        buf_printf(path, "%s/annotations.db", cfg.configdirectory);
}

int annotate_open(struct txn *txn, struct txn_db **dbp)
{
    struct buf path = BUF_INITIALIZER;

    annotate_fname(&path);
    int r = txn_db_open(txn, config_getstring(IMAPOPT_ANNOTATION_DB), buf_cstring(&path),
                        TXN_DB_CREATE | TXN_DB_GLOBAL | TXN_DB_CONVERT, dbp);
    buf_free(&path);
    return r;
}

/* "" for the server; NULL: such an entry can have no annotations. */
static const char *scope_of(const mbentry_t *mbentry)
{
    if (!mbentry) return "";
    return mbentry->uniqueid && *mbentry->uniqueid ? mbentry->uniqueid : NULL;
}

int annotatemore_foreach(const mbentry_t *mbentry, const char *entry, const char *userid,
                         struct txn *txn, annotate_cb *cb, void *rock)
{
    char *owner = mbentry ? mboxname_to_userid(mbentry->name) : NULL;
    struct annotate_query q = { .scope = scope_of(mbentry),
                                .entry = entry,
                                .userid = userid,
                                .owner = owner,
                                .mboxname = mbentry ? mbentry->name : "",
                                .cb = cb,
                                .rock = rock };
    struct txn_db *db = NULL;

    int r = q.scope ? annotate_open(txn, &db) : IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = annotate_db_foreach(db, &q);
    if (db) txn_db_close(&db);
    free(owner);
    return r;
}

int annotatemore_lookup(const mbentry_t *mbentry, const char *entry, const char *userid,
                        struct txn *txn, struct buf *value)
{
    struct buf key = BUF_INITIALIZER, data = BUF_INITIALIZER;
    char *owner = mbentry ? mboxname_to_userid(mbentry->name) : NULL;
    struct annotation_value v;
    struct txn_db *db = NULL;

    buf_reset(value);
    int r = scope_of(mbentry) ? annotate_open(txn, &db) : IMAP_MAILBOX_NONEXISTENT;
    if (!r) {
        annotation_key_print(scope_of(mbentry), entry, userid ? userid : "", owner, &key);
        r = annotate_db_fetch(db, &key, &v, &data);
        if (!r && !(v.flags & ANNOTATION_FLAG_DELETED)) buf_copy(value, &v.value);
        if (r == IMAP_NOTFOUND) r = 0;
    }
    if (db) txn_db_close(&db);
    free(owner);
    buf_free(&key);
    buf_free(&data);
    return r;
}

/* ---- writing ---- */

/* The mailbox changed: what its values take, and its next modseq, in the index and in mailboxes.db. */
static int touch_mailbox(struct txn *txn, const char *name, size_t oldlen, size_t newlen,
                         bool silent)
{
    struct annot_sum before = { 0, oldlen }, after = { 0, newlen };
    struct mailbox *mailbox = NULL;
    mbentry_t *entry = NULL;

    int r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (r) return r;
    if (!(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE)) &&
        !mbentry_is_remote(entry, config_servername)) {
        r = mailbox_open_mbentry_iwl(txn, entry, &mailbox);
        if (!r) r = mailbox_annot_delta(mailbox, NULL, &before, &after);
        if (!r && !silent) {
            entry->foldermodseq = mailbox_next_modseq(mailbox);
            r = entry->foldermodseq ? mboxlist_update_entry(txn, name, entry) : IMAP_IOERROR;
        }
        mailbox_close(&mailbox);
    }
    mbentry_free(&entry);
    return r;
}

/* Stores or removes; *changedp: the database says something else now. *oldlenp: bytes it had before. */
static int change(struct txn_db *db, const struct buf *key, const struct buf *value, bool *changedp,
                  size_t *oldlenp)
{
    struct buf data = BUF_INITIALIZER;
    struct annotation_value old, v = { .modseq = 0 };
    bool empty = !value || !buf_len(value);

    int r = annotate_db_fetch(db, key, &old, &data);
    bool is_there = !r;
    if (r == IMAP_NOTFOUND) r = 0;
    *oldlenp = is_there ? buf_len(&old.value) : 0;
    *changedp = empty ? is_there : !is_there || !buf_equal(&old.value, value);
    if (!r && *changedp && empty) r = txn_db_delete(db, buf_base(key), buf_len(key));
    if (!r && *changedp && !empty) {
        buf_init_ro(&v.value, buf_base(value), buf_len(value));
        r = annotate_db_store(db, key, &v);
    }
    buf_free(&data);
    return r;
}

int annotatemore_write(struct txn *txn, const mbentry_t *mbentry, const char *entry,
                       const char *userid, const struct buf *value, unsigned flags)
{
    struct buf key = BUF_INITIALIZER;
    char *owner = mbentry ? mboxname_to_userid(mbentry->name) : NULL;
    struct txn_db *db = NULL;
    bool changed = false, silent = flags & MAILBOX_SILENT;
    size_t oldlen = 0;

    int r = scope_of(mbentry) ? 0 : IMAP_MAILBOX_NONEXISTENT;
    if (!r && mbentry) r = txn_lock_user(txn, owner);
    if (!r) r = annotate_open(txn, &db);
    if (!r) {
        annotation_key_print(scope_of(mbentry), entry, userid ? userid : "", owner, &key);
        r = change(db, &key, value, &changed, &oldlen);
    }
    if (!r && changed && mbentry)
        r = touch_mailbox(txn, mbentry->name, oldlen, value ? buf_len(value) : 0, silent);
    if (!r && changed && !silent) {
        if (mbentry)
            sync_log_mailbox(txn, mbentry->name);
        else
            sync_log_annotation(txn, "");
    }
    free(owner);
    buf_free(&key);
    return r;
}

/* ---- a mailbox goes ---- */

static int delete_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return txn_db_delete(rock, key, keylen);
}

int annotate_delete_mailbox(struct txn *txn, struct mailbox *mailbox)
{
    struct buf prefix = BUF_INITIALIZER;
    struct txn_db *db;

    int r = annotate_open(txn, &db);
    if (r) return r;
    annotation_key_print(mailbox_uniqueid(mailbox), NULL, NULL, NULL, &prefix);
    r = txn_db_foreach(db, buf_base(&prefix), buf_len(&prefix), delete_cb, db);
    buf_free(&prefix);
    return r;
}

/* ---- sets in memory ---- */

void entryattlist_add(struct entryattlist **list, const char *entry, const char *userid,
                      const struct buf *value, modseq_t modseq)
{
    struct entryattlist *e = xzmalloc(sizeof(*e));

    e->entry = xstrdup(entry);
    e->userid = xstrdup(userid ? userid : "");
    if (value) buf_copy(&e->value, value);
    e->modseq = modseq;
    while (*list) list = &(*list)->next;
    *list = e;
}

void entryattlist_free(struct entryattlist **list)
{
    while (*list) {
        struct entryattlist *e = *list;
        *list = e->next;
        free(e->entry);
        free(e->userid);
        buf_free(&e->value);
        free(e);
    }
}
