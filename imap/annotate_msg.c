/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * annotate_msg -- annotations of messages, in the mailbox's cyrus.annotations (handbook 01 §7.6)
 *
 * The file is read and changed with the mailbox, in the mailbox's transaction. A removed
 * annotation stays as a tombstone with its modseq, so that replicas learn of it; only the
 * clean-up of the message removes records.
 *
 * The index header keeps the sum of all live values (bytes and CRC). While it says that there are
 * none the file is not even looked at.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annotate_db.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxname.h"
#include "sync_crc.h"
#include "xmalloc.h"

static int msg_open(struct mailbox *mailbox, unsigned flags, struct txn_db **dbp)
{
    struct mailbox_place place = mailbox_place_of(mailbox_mbentry(mailbox));
    struct buf path = BUF_INITIALIZER;

    *dbp = NULL;
    int r = mailbox_path_meta(&place, META_ANNOTATIONS, &path);
    if (!r)
        r = txn_db_open(mailbox_txn(mailbox), config_getstring(IMAPOPT_ANNOTATION_DB),
                        buf_cstring(&path), TXN_DB_CONVERT | flags, dbp);
    buf_free(&path);
    return r;
}

static char *owner_of(struct mailbox *mailbox)
{
    return mboxname_to_userid(mailbox_name(mailbox));
}

#define SCOPE_MAX 11
static const char *scope_of(uint32_t uid, char scope[SCOPE_MAX])
{
    snprintf(scope, SCOPE_MAX, "%u", uid);
    return scope;
}

/* ---- reading ---- */

int annotate_msg_foreach(struct mailbox *mailbox, uint32_t uid, annotate_cb *cb, void *rock)
{
    char scope[SCOPE_MAX], *owner = owner_of(mailbox);
    struct annotate_query q = { .scope = uid ? scope_of(uid, scope) : NULL,
                                .owner = owner,
                                .mboxname = mailbox_name(mailbox),
                                .cb = cb,
                                .rock = rock };
    struct txn_db *db;

    int r = msg_open(mailbox, 0, &db);
    if (!r) r = annotate_db_foreach(db, &q);
    if (db) txn_db_close(&db);
    free(owner);
    return r;
}

int annotate_msg_lookup(struct mailbox *mailbox, uint32_t uid, const char *entry,
                        const char *userid, struct buf *value)
{
    struct buf key = BUF_INITIALIZER, data = BUF_INITIALIZER;
    struct annotation_value v;
    struct txn_db *db;

    buf_reset(value);
    int r = msg_open(mailbox, 0, &db);
    if (r) return r;
    char *owner = owner_of(mailbox);
    annotation_key_print_uid(uid, entry, userid ? userid : "", owner, &key);
    r = annotate_db_fetch(db, &key, &v, &data);
    if (!r && !(v.flags & ANNOTATION_FLAG_DELETED)) buf_copy(value, &v.value);
    txn_db_close(&db);
    free(owner);
    buf_free(&key);
    buf_free(&data);
    return r == IMAP_NOTFOUND ? 0 : r;
}

struct sum_rock {
    struct annot_sum *sum;
    uint32_t minor;
};

static int sum_cb(const char *mboxname, uint32_t uid, const struct annotation *ann, void *rock)
{
    struct sum_rock *sr = rock;

    sr->sum->used += buf_len(&ann->value);
    if (!sync_crc_annotation_isvirtual(ann->entry, sr->minor))
        sr->sum->crc ^= sync_crc_annotation(uid, ann->entry, ann->userid, buf_base(&ann->value),
                                            buf_len(&ann->value));
    return 0;
}

int annotate_msg_sum(struct mailbox *mailbox, uint32_t uid, struct annot_sum *sum)
{
    struct sum_rock rock = { sum, mailbox_index_header(mailbox)->minor_version };

    *sum = (struct annot_sum){ 0, 0 };
    return annotate_msg_foreach(mailbox, uid, sum_cb, &rock);
}


/* ---- writing ---- */

static int write_value(struct mailbox *mailbox, const struct index_record *rec, struct txn_db *db,
                       const struct buf *key, const struct buf *value, modseq_t modseq)
{
    struct buf data = BUF_INITIALIZER;
    struct annotation_value old = { .flags = ANNOTATION_FLAG_DELETED }, v = { .modseq = modseq };
    struct annot_sum before, after;

    int r = annotate_db_fetch(db, key, &old, &data);
    if (r == IMAP_NOTFOUND) r = 0;
    bool was = !r && !(old.flags & ANNOTATION_FLAG_DELETED), is = value && buf_len(value);
    bool same = was == is && (!is || buf_equal(&old.value, value));
    if (r || same) {
        buf_free(&data);
        return r;
    }
    if (is)
        buf_init_ro(&v.value, buf_base(value), buf_len(value));
    else
        v.flags = ANNOTATION_FLAG_DELETED;
    if (!v.modseq) v.modseq = mailbox_next_modseq(mailbox);
    r = annotate_msg_sum(mailbox, rec->uid, &before);
    if (!r) r = annotate_db_store(db, key, &v);
    if (!r) r = annotate_msg_sum(mailbox, rec->uid, &after);
    if (!r) r = mailbox_annot_delta(mailbox, rec, &before, &after);
    buf_free(&data);
    return r;
}

int annotate_msg_write(struct mailbox *mailbox, struct index_record *rec, const char *entry,
                       const char *userid, const struct buf *value, modseq_t modseq)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db;

    if (!mailbox_is_writable(mailbox)) return IMAP_INTERNAL;
    int r = msg_open(mailbox, TXN_DB_CREATE, &db);
    if (r) return r;
    char *owner = owner_of(mailbox);
    annotation_key_print_uid(rec->uid, entry, userid ? userid : "", owner, &key);
    r = write_value(mailbox, rec, db, &key, value, modseq);
    free(owner);
    buf_free(&key);
    return r;
}

int annotate_msg_set_field(struct mailbox *mailbox, const struct index_record *rec, const char *entry,
                           const struct buf *value)
{
    struct annotation_value v = { .modseq = rec->modseq };
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db;

    int r = msg_open(mailbox, value ? TXN_DB_CREATE : 0, &db);
    if (r) return r;
    annotation_key_print_uid(rec->uid, entry, "", NULL, &key);
    if (value) {
        buf_init_ro(&v.value, buf_base(value), buf_len(value));
        r = annotate_db_store(db, &key, &v);
        mailbox_note_annotations(mailbox);
    }
    else
        r = txn_db_delete(db, buf_base(&key), buf_len(&key));
    buf_free(&key);
    return r;
}

/* ---- copies ---- */

struct collect_rock {
    const char *userid; /* whose private values; NULL: nobody's */
    struct entryattlist *list;
    bool everybodys;
};

static int collect_cb(const char *mboxname, uint32_t uid, const struct annotation *ann, void *rock)
{
    struct collect_rock *cr = rock;

    if (cr->everybodys || !*ann->userid || !strcmpnull(ann->userid, cr->userid))
        entryattlist_add(&cr->list, ann->entry, ann->userid, &ann->value, 0);
    return 0;
}

int annotate_msg_copy(struct mailbox *src, uint32_t srcuid, struct mailbox *dst, uint32_t dstuid,
                      const char *userid)
{
    struct collect_rock cr = { .userid = userid };
    struct index_record rec;

    if (!mailbox_index_header(src)->quota_annot_used) return 0;
    int r = annotate_msg_foreach(src, srcuid, collect_cb, &cr);
    if (!r && cr.list) r = mailbox_find_uid(dst, dstuid, &rec);
    for (const struct entryattlist *e = cr.list; !r && e; e = e->next)
        r = annotate_msg_write(dst, &rec, e->entry, e->userid, &e->value, rec.modseq);
    entryattlist_free(&cr.list);
    return r;
}

int annotate_msg_copy_all(struct mailbox *mailbox, uint32_t fromuid, struct index_record *to)
{
    struct collect_rock cr = { .everybodys = true };

    int r = annotate_msg_foreach(mailbox, fromuid, collect_cb, &cr);
    for (const struct entryattlist *e = cr.list; !r && e; e = e->next)
        r = annotate_msg_write(mailbox, to, e->entry, e->userid, &e->value, 0);
    entryattlist_free(&cr.list);
    return r;
}

static int delete_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return txn_db_delete(rock, key, keylen);
}

int annotate_msg_delete(struct mailbox *mailbox, uint32_t uid)
{
    struct buf prefix = BUF_INITIALIZER;
    struct txn_db *db;

    if (!mailbox_is_writable(mailbox)) return IMAP_INTERNAL;
    int r = msg_open(mailbox, 0, &db);
    if (r) return r;
    annotation_key_print_uid(uid, NULL, NULL, NULL, &prefix);
    r = txn_db_foreach(db, buf_base(&prefix), buf_len(&prefix), delete_cb, db);
    buf_free(&prefix);
    return r;
}
