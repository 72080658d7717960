/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_check -- does a store at rest make sense?
 *
 * After a recovery nothing may be left half-done: the databases are sound and agree with each
 * other and with the files; counts are those of the records; every record has its message and
 * every message its record; the journal is empty.
 */
#include <config.h>

#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "append.h"
#include "conversations.h"
#include "cyrusdb.h"
#include "hash.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "message_cache.h"
#include "quota_fix.h"
#include "txn.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"

struct check {
    struct buf *problems;
    hash_table files; /* of mailboxes, as they ought to be */
    modseq_t highest; /* of one user's mailboxes */
    const char *userid;
};

/* -- databases -- */

static void check_db(struct check *c, const char *path)
{
    const char *backend = cyrusdb_detect(path);
    struct db *db = NULL;

    if (!backend) return;
    int r = cyrusdb_open(backend, path, CYRUSDB_NOCOMPACT, &db);
    if (!r) r = cyrusdb_consistent(db);
    if (r && r != CYRUSDB_NOTIMPLEMENTED)
        buf_printf(c->problems, "%s is damaged: %s\n", path, cyrusdb_strerror(r));
    cyrusdb_close(db);
}

static void check_dbs(struct check *c)
{
    strarray_t paths = STRARRAY_INITIALIZER;

    store_files(config_dir, &paths);
    for (int i = 0; i < paths.count; i++) {
        if (store_is_data(strarray_nth(&paths, i) + strlen(config_dir) + 1))
            check_db(c, strarray_nth(&paths, i));
    }
    strarray_fini(&paths);
}

/* Every I record leads to an N record that leads back. */
static int check_id(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct check *c = rock;
    mbentry_t *entry = NULL, *back = NULL;

    if (keylen < 2 || key[0] != 'I') return 0;
    if (mbentry_parse_i(key + 1, keylen - 1, data, datalen, &entry)) {
        buf_printf(c->problems, "mailboxes.db: unreadable record %.*s\n", (int)keylen, key);
        return 0;
    }
    int r = mboxlist_lookup_allow_all(entry->name, &back, NULL);
    if ((r || strcmpnull(back->uniqueid, entry->uniqueid)) && !(entry->mbtype & MBTYPE_DELETED))
        buf_printf(c->problems, "mailboxes.db: %.*s leads to %s, which does not lead back\n",
                   (int)keylen, key, entry->name);
    mbentry_free(&back);
    mbentry_free(&entry);
    return 0;
}

static void check_ids(struct check *c)
{
    char *path = xasprintf("%s/mailboxes.db", config_dir);
    struct db *db = NULL;

    int r = cyrusdb_open("twoskip", path, CYRUSDB_NOCOMPACT, &db);
    if (!r) r = cyrusdb_foreach(db, "I", 1, check_id, c);
    if (r && r != CYRUSDB_NOTFOUND) buf_appendcstr(c->problems, "mailboxes.db can't be read\n");
    cyrusdb_close(db);
    free(path);
}

/* -- mailboxes -- */

static void expect_file(struct check *c, const char *path)
{
    hash_insert(path, c, &c->files);
}

static void check_message(struct check *c, struct mailbox *mailbox, const struct index_record *rec)
{
    struct buf bytes = BUF_INITIALIZER, made = BUF_INITIALIZER, cache = BUF_INITIALIZER;
    struct message_guid guid;
    uint32_t crc = 0;

    expect_file(c, mailbox_record_fname(mailbox, rec));
    if (mailbox_map_record(mailbox, rec, &bytes)) {
        buf_printf(c->problems, "%s %u has no file\n", mailbox_name(mailbox), rec->uid);
        return;
    }
    message_guid_generate(&guid, buf_base(&bytes), buf_len(&bytes));
    if (buf_len(&bytes) != rec->size || !message_guid_equal(&guid, &rec->guid))
        buf_printf(c->problems, "%s %u has another message\n", mailbox_name(mailbox), rec->uid);
    struct message_content *content = message_parse(buf_base(&bytes), buf_len(&bytes), NULL);
    message_write_cache(content, &made, &crc);
    message_content_free(&content);
    if (crc != rec->cache_crc || mailbox_cacherecord(mailbox, rec, &cache) ||
        buf_cmp(&cache, &made))
        buf_printf(c->problems, "%s %u has a wrong cache record\n", mailbox_name(mailbox),
                   rec->uid);
    buf_free(&bytes);
    buf_free(&made);
    buf_free(&cache);
}

static void check_counts(struct check *c, struct mailbox *mailbox)
{
    const struct index_header *h = mailbox_index_header(mailbox);
    struct index_header sum = *h;
    struct index_record rec;
    uint32_t last = 0;

    index_header_reset_counts(&sum);
    for (uint32_t recno = 1; recno <= mailbox_num_records(mailbox); recno++) {
        struct annot_sum annotations = { 0 };
        if (mailbox_read_record(mailbox, recno, &rec) ||
            annotate_msg_sum(mailbox, rec.uid, &annotations)) {
            buf_printf(c->problems, "%s: record %u can't be read\n", mailbox_name(mailbox), recno);
            continue;
        }
        if (rec.uid <= last || rec.uid > h->last_uid || rec.modseq > h->highestmodseq)
            buf_printf(c->problems, "%s: record %u has uid %u, modseq %llu\n",
                       mailbox_name(mailbox), recno, rec.uid, (unsigned long long)rec.modseq);
        last = rec.uid;
        index_header_apply_delta(&sum, NULL, NULL, &rec, &annotations, mailbox_flagnames(mailbox));
        if (!(rec.internal_flags & FLAG_INTERNAL_UNLINKED)) check_message(c, mailbox, &rec);
    }
    if (sum.exists != h->exists || sum.deleted != h->deleted || sum.answered != h->answered ||
        sum.flagged != h->flagged || sum.unseen != h->unseen ||
        sum.quota_mailbox_used != h->quota_mailbox_used ||
        sum.sync_crc_basic != h->sync_crc_basic || sum.sync_crc_annot != h->sync_crc_annot)
        buf_printf(c->problems, "%s: the header's counts are not those of the records\n",
                   mailbox_name(mailbox));
}

/* The header file, the index and mailboxes.db say the same. */
static void check_entry(struct check *c, struct mailbox *mailbox)
{
    const mbentry_t *entry = mailbox_mbentry(mailbox);
    mbentry_t *by_id = NULL;
    char *root = NULL;

    if (strcmpnull(mailbox_uniqueid(mailbox), entry->uniqueid) ||
        strcmpnull(mailbox_acl(mailbox), entry->acl) ||
        mailbox_index_header(mailbox)->uidvalidity != entry->uidvalidity ||
        mailbox_index_header(mailbox)->highestmodseq < entry->createdmodseq)
        buf_printf(c->problems, "%s: header and entry differ\n", entry->name);
    if (mboxlist_lookup_by_uniqueid(entry->uniqueid, &by_id, false, NULL) ||
        strcmp(by_id->name, entry->name))
        buf_printf(c->problems, "%s: not found by its id\n", entry->name);
    if (quota_findroot(entry->name, NULL, &root) || strcmpnull(root, mailbox_quotaroot(mailbox)))
        buf_printf(c->problems, "%s: its quota root is not %s\n", entry->name,
                   root ? root : "none");
    mbentry_free(&by_id);
    free(root);
}

static void expect_meta_files(struct check *c, struct mailbox *mailbox)
{
    static const enum mailbox_metafile files[] = { META_HEADER, META_INDEX, META_CACHE,
                                                   META_ANNOTATIONS, META_ARCHIVECACHE };
    struct mailbox_place place = mailbox_place_of(mailbox_mbentry(mailbox));
    struct buf path = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(files); i++) {
        if (!mailbox_path_meta(&place, files[i], &path)) expect_file(c, buf_cstring(&path));
    }
    buf_free(&path);
}

static void check_mailbox(struct check *c, const char *name)
{
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_irl(name, &mailbox);

    if (r) {
        buf_printf(c->problems, "%s can't be opened: %s\n", name, error_message(r));
        return;
    }
    check_entry(c, mailbox);
    expect_meta_files(c, mailbox);
    check_counts(c, mailbox);
    mailbox_close(&mailbox);
}

/* What was on its way in; the next process that takes something in removes it. */
static bool is_rubbish(const char *path)
{
    size_t len = strlen(path);
    return strstr(path, "/stage./") || strstr(path, "/sync./") || (len > 4 && !strcmp(path + len - 4, ".NEW"));
}

static void look_in(struct check *c, const char *root)
{
    strarray_t paths = STRARRAY_INITIALIZER;

    if (root) store_files(root, &paths);
    for (int i = 0; i < paths.count; i++) {
        const char *path = strarray_nth(&paths, i);
        if (path[strlen(path) - 1] == '/' || is_rubbish(path)) continue;
        if (!hash_lookup(path, &c->files))
            buf_printf(c->problems, "%s belongs to no mailbox\n", path);
    }
    strarray_fini(&paths);
}

static void look_in_partition(const char *partition, const char *dir, void *rock)
{
    struct check *c = rock;

    look_in(c, dir);
    look_in(c, config_metapartitiondir(partition));
    look_in(c, config_archivepartitiondir(partition));
}

/* Files of no mailbox would come back as messages, or as mailboxes, with a repair. */
static void check_strays(struct check *c)
{
    config_foreachpartition(look_in_partition, c);
}

static void check_mailboxes(struct check *c)
{
    strarray_t names = STRARRAY_INITIALIZER;

    construct_hash_table(&c->files, 256);
    store_mailboxes(&names);
    for (int i = 0; i < names.count; i++) check_mailbox(c, strarray_nth(&names, i));
    check_strays(c);
    strarray_fini(&names);
    free_hash_table(&c->files, NULL);
}

/* -- quota -- */

static void quota_root_differs(const char *mailbox, const char *was, const char *is, void *rock)
{
    struct check *c = rock;
    buf_printf(c->problems, "%s counts for %s, ought to for %s\n", mailbox, was ? was : "none",
               is ? is : "none");
}

static void quota_used_differs(const char *root, enum quota_resource res, int64_t was, int64_t is,
                               void *rock)
{
    struct check *c = rock;
    buf_printf(c->problems, "quota root %s: %s is %lld, ought to be %lld\n", root, quota_names[res],
               (long long)was, (long long)is);
}

/* A root of no mailbox keeps its limits, and counts nothing. */
static void quota_root_unused(const char *root, void *rock)
{
    struct check *c = rock;
    struct quota q;

    int r = quota_read(root, NULL, &q);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        if (r || q.useds[res]) quota_used_differs(root, (enum quota_resource)res, r ? -1 : q.useds[res], 0, c);
    }
    quota_free(&q);
}

static void quota_unreadable(const char *mailbox, int r, void *rock)
{
    struct check *c = rock;
    buf_printf(c->problems, "quota: %s: %s\n", mailbox, error_message(r));
}

static void check_quotas(struct check *c)
{
    struct quota_fix_events events = { .root = quota_root_differs,
                                       .used = quota_used_differs,
                                       .removed = quota_root_unused,
                                       .unreadable = quota_unreadable,
                                       .rock = c };
    int r = quota_fix("", true, &events);
    if (r) buf_printf(c->problems, "quotas can't be counted: %s\n", error_message(r));
}

/* -- users -- */

static void conv_differs(enum conv_audit_kind kind, const struct buf *key, const struct buf *val,
                         void *rock)
{
    static const char *const names[] = { "only stored", "only counted", "stored", "counted" };
    struct check *c = rock;
    buf_printf(c->problems, "conversations of %s: %s %.*s = %.*s\n", c->userid, names[kind],
               (int)buf_len(key), buf_base(key), (int)buf_len(val), buf_base(val));
}

static void check_conversations(struct check *c, struct user_meta *meta)
{
    struct txn *txn = NULL;
    size_t differences = 0;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, c->userid);
    if (!r) r = conversations_audit_user(txn, meta, NULL, conv_differs, c, &differences);
    txn_abort(&txn);
    if (r)
        buf_printf(c->problems, "conversations of %s can't be counted: %s\n", c->userid,
                   error_message(r));
}

static int add_highest(const mbentry_t *entry, void *rock)
{
    struct check *c = rock;
    struct mailbox *mailbox = NULL;

    if (mailbox_open_mbentry(entry, &mailbox)) return 0;
    c->highest = cyr_max(c->highest, mailbox_index_header(mailbox)->highestmodseq);
    mailbox_close(&mailbox);
    return 0;
}

static void check_counters(struct check *c, struct user_meta *meta)
{
    struct counters counters;

    c->highest = 0;
    mboxlist_usermboxtree(c->userid, add_highest, c, 0);
    int r = counters_read(meta, NULL, &counters);
    if (r)
        buf_printf(c->problems, "counters of %s: %s\n", c->userid, error_message(r));
    else if (counters.modseq[CTR_HIGHEST] < c->highest)
        buf_printf(c->problems, "counters of %s: %llu, but a mailbox has %llu\n", c->userid,
                   (unsigned long long)counters.modseq[CTR_HIGHEST],
                   (unsigned long long)c->highest);
}

static int add_user(const char *userid, void *rock)
{
    strarray_append(rock, userid);
    return 0;
}

static void check_users(struct check *c)
{
    strarray_t users = STRARRAY_INITIALIZER;

    mboxlist_alluser(add_user, &users);
    for (int i = 0; i < users.count; i++) {
        struct user_meta *meta = NULL;
        c->userid = strarray_nth(&users, i);
        if (user_meta_lookup(c->userid, NULL, &meta)) {
            buf_printf(c->problems, "user %s has no place\n", c->userid);
            continue;
        }
        check_conversations(c, meta);
        check_counters(c, meta);
        store_check_subs(c->userid, meta, c->problems);
        user_meta_free(&meta);
    }
    strarray_fini(&users);
}

/* -- the journal -- */

static void check_journal(struct check *c)
{
    struct journal_status st;
    struct journal *j;

    if (txn_journal(&j)) {
        buf_appendcstr(c->problems, "the journal can't be opened\n");
        return;
    }
    journal_status(j, &st);
    if (st.tail != st.checkpoint || st.pending || st.failed || st.segments)
        buf_printf(c->problems, "the journal is not empty: %llx..%llx, %u pending, %u segments%s\n",
                   (unsigned long long)st.checkpoint, (unsigned long long)st.tail, st.pending,
                   st.segments, st.failed ? ", failed" : "");
}

void store_check(struct buf *problems)
{
    struct check c = { .problems = problems };

    check_journal(&c);
    check_dbs(&c);
    check_ids(&c);
    store_check_names(problems);
    store_check_users(problems);
    check_mailboxes(&c);
    check_quotas(&c);
    check_users(&c);
}

/* -- going on -- */

static int append_one(struct txn *txn, const char *name, struct stage *stage)
{
    struct append_args args = { .userid = NULL };
    struct mailbox *mailbox;
    uint32_t uid;
    int r = mailbox_open_iwl(txn, name, &mailbox);

    return r ? r : append_fromstage(mailbox, stage, &args, &uid);
}

static void deliver(struct check *c, const char *name)
{
    static const char message[] =
        "From: a@example.com\r\nSubject: after\r\nMessage-ID: <after@example.com>\r\n\r\nx\r\n";
    char *userid = mboxname_to_userid(name);
    struct stage *stage = NULL;
    struct txn *txn = NULL;

    int r = stage_new_bytes(message, sizeof(message) - 1, 0, &stage);
    if (!r) r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = append_one(txn, name, stage);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    stage_free(&stage);
    free(userid);
    if (r) buf_printf(c->problems, "nothing can be delivered to %s: %s\n", name, error_message(r));
}

void store_work(struct buf *problems)
{
    struct check c = { .problems = problems };
    strarray_t names = STRARRAY_INITIALIZER;

    store_mailboxes(&names);
    for (int i = 0; i < names.count; i++) deliver(&c, strarray_nth(&names, i));
    strarray_fini(&names);
    txn_shutdown();
    store_check(problems);
}
