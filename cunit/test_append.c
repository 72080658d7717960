/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_append -- one write and many links, flags and rights of copies, limits, archive, and mailboxes that
 * move with their files
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acl.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxlist.h"
#include "quota.h"
#include "seqset.h"
#include "store_testutil.h"
#include "user.h"
#include "xmalloc.h"

static void setup(void)
{
    st_setup(NULL);
}

static void make_users(void)
{
    st_create("user.alice");
    st_create("user.bob");
    st_create("user.carol");
}

static struct txn *begin_users(void)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct txn *txn;

    strarray_append(&users, "carol");
    strarray_append(&users, "alice");
    strarray_append(&users, "bob");
    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(txn_lock_users(txn, &users), 0);
    strarray_fini(&users);
    return txn;
}

static void stat_message(const char *name, const char *file, struct stat *st)
{
    char *path = st_file(st_uniqueid(name), file);

    ck_assert_msg(!stat(path, st), "%s is missing", path);
    free(path);
}

/* A message of about that many bytes, one at a time: its bytes are borrowed from here. The caller frees the stage. */
static struct stage *new_stage(size_t len)
{
    static struct buf msg;
    struct stage *stage;

    buf_reset(&msg);
    st_message(77, &msg);
    while (buf_len(&msg) < len) buf_appendcstr(&msg, "0123456789012345678901234567890123456789\r\n");
    ck_assert_int_eq(stage_new_bytes(buf_base(&msg), buf_len(&msg), APPEND_NOCHECK, &stage), 0);
    return stage;
}

static void deliver_to_three(size_t len)
{
    static const char *const names[] = { "user.alice", "user.bob", "user.carol" };
    struct append_args args = { .internaldate = 1672653600 };
    struct stat st[3];
    struct index_record rec;
    struct buf msg = BUF_INITIALIZER;

    make_users();
    struct txn *txn = begin_users();
    struct stage *stage = new_stage(len);
    size_t size = stage_size(stage);
    diskio_counters_reset();
    for (int i = 0; i < 3; i++) {
        uint32_t uid = 0;
        struct mailbox *w = st_write(txn, names[i]);
        ck_assert_int_eq(append_fromstage(w, stage, &args, &uid), 0);
        ck_assert_uint_eq(uid, 1);
        ck_assert_int_eq(mailbox_find_uid(w, 1, &rec), 0);
        ck_assert_int_eq(mailbox_map_record(w, &rec, &msg), 0);
        ck_assert_uint_eq(buf_len(&msg), size);
        buf_free(&msg);
    }
    stage_free(&stage);
    st_commit(txn);
    ck_assert_uint_eq(diskio_counters()->calls[DISKIO_LINK], 2);
    for (int i = 0; i < 3; i++) {
        stat_message(names[i], "1.", &st[i]);
        ck_assert_uint_eq(st[i].st_ino, st[0].st_ino);
        ck_assert_uint_eq(st[i].st_nlink, 3);
        ck_assert_int_eq(st[i].st_size, size);
        ck_assert_int_eq(st[i].st_mtime, 1672653600);
        st_check(names[i]);
    }
}

START_TEST(small_message_to_three_users)
{
    deliver_to_three(100);
}
END_TEST

START_TEST(large_message_to_three_users)
{
    deliver_to_three(300000);
    char *stagedir = test_path(st_dir, "part/stage.");
    ck_assert_int_eq(rmdir(stagedir), 0); /* nothing was left in it */
    free(stagedir);
}
END_TEST

/* The transaction must not look at the caller's bytes after stage_free. */
START_TEST(bytes_may_go_before_the_commit)
{
    struct append_args args = { 0 };
    struct stage *stage;
    struct buf msg = BUF_INITIALIZER;

    st_create("user.alice");
    struct txn *txn = st_begin("alice");
    st_message(5, &msg);
    char *bytes = xmemdup(buf_base(&msg), buf_len(&msg));
    ck_assert_int_eq(stage_new_bytes(bytes, buf_len(&msg), 0, &stage), 0);
    ck_assert_int_eq(append_fromstage(st_write(txn, "user.alice"), stage, &args, NULL), 0);
    stage_free(&stage);
    memset(bytes, 'x', buf_len(&msg));
    free(bytes);
    st_commit(txn);
    buf_free(&msg);
    st_check("user.alice");
}
END_TEST

START_TEST(the_same_message_again_is_a_link)
{
    struct stat a, b;

    st_create("user.alice");
    st_create("user.alice.sub");
    st_append("user.alice", 9);
    st_append("user.alice.sub", 9);
    st_append("user.alice", 9);
    stat_message("user.alice", "1.", &a);
    stat_message("user.alice.sub", "1.", &b);
    ck_assert_uint_eq(a.st_ino, b.st_ino);
    stat_message("user.alice", "2.", &b);
    ck_assert_uint_eq(a.st_ino, b.st_ino);
    ck_assert_uint_eq(a.st_nlink, 3);
    st_check("user.alice");
    st_check("user.alice.sub");
}
END_TEST

START_TEST(flags_of_an_append)
{
    struct append_args args = { .userid = "bob" };
    struct stage *stage;
    struct index_record rec;
    struct seendata sd = SEENDATA_INITIALIZER;

    make_users();
    strarray_t *flags = strarray_split("\\Seen \\Flagged $Label \\Recent other", NULL, 0);
    args.flags = flags;
    struct txn *txn = begin_users();
    struct mailbox *w = st_write(txn, "user.alice");
    stage = new_stage(10);
    ck_assert_int_eq(append_fromstage(w, stage, &args, NULL), 0);
    args.userid = "alice";
    ck_assert_int_eq(append_fromstage(w, stage, &args, NULL), 0);
    stage_free(&stage);
    st_commit(txn);
    strarray_free(flags);

    struct mailbox *m = st_read("user.alice");
    ck_assert_int_eq(mailbox_find_uid(m, 1, &rec), 0);
    ck_assert_uint_eq(rec.system_flags, FLAG_FLAGGED);
    ck_assert_uint_eq(rec.user_flags[0], 3);
    ck_assert_int_eq(mailbox_find_uid(m, 2, &rec), 0);
    ck_assert_uint_eq(rec.system_flags, FLAG_FLAGGED | FLAG_SEEN);
    ck_assert_str_eq(strarray_nth(mailbox_flagnames(m), 1), "other");
    mailbox_close(&m);
    ck_assert_int_eq(seen_read("bob", st_uniqueid("user.alice"), &sd, NULL), 0);
    ck_assert_str_eq(sd.seenuids, "1");
    seen_freedata(&sd);
    st_check("user.alice");
}
END_TEST

/* ---- copies ---- */

static void set_flags(struct mailbox *w, uint32_t uid, uint32_t system_flags, const char *user)
{
    struct index_record rec;
    int slot;

    ck_assert_int_eq(mailbox_find_uid(w, uid, &rec), 0);
    rec.system_flags = system_flags;
    if (user) {
        ck_assert_int_eq(mailbox_user_flag(w, user, &slot, true, false), 0);
        index_record_set_user_flag(&rec, slot, true);
    }
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
}

START_TEST(copies_are_links_with_flags_by_name)
{
    static const uint32_t uids[] = { 1, 3 };
    uint32_t newuids[2] = { 0 };
    struct index_record a, b;
    struct stat sa, sb;
    int slot;

    st_create("user.alice");
    st_create("user.alice.sub");
    for (unsigned i = 1; i <= 3; i++) st_append("user.alice", i);
    st_append("user.alice.sub", 50);
    struct txn *txn = st_begin("alice");
    struct mailbox *src = st_write(txn, "user.alice"), *dst = st_write(txn, "user.alice.sub");
    set_flags(src, 1, FLAG_SEEN | FLAG_DELETED | FLAG_ANSWERED, "Work");
    ck_assert_int_eq(mailbox_user_flag(dst, "Zero", &slot, true, false), 0);
    ck_assert_int_eq(append_copy(src, dst, uids, 2, "alice", ACL_ALL, newuids), 0);
    ck_assert_uint_eq(newuids[0], 2);
    ck_assert_uint_eq(newuids[1], 3);
    st_commit(txn);

    struct mailbox *s = st_read("user.alice"), *d = st_read("user.alice.sub");
    ck_assert_int_eq(mailbox_find_uid(s, 1, &a), 0);
    ck_assert_int_eq(mailbox_find_uid(d, 2, &b), 0);
    ck_assert_uint_eq(b.system_flags, FLAG_SEEN | FLAG_DELETED | FLAG_ANSWERED);
    ck_assert_int_eq(mailbox_user_flag(d, "work", &slot, false, false), 0);
    ck_assert_int_eq(slot, 1);
    ck_assert(index_record_user_flag(&b, slot));
    ck_assert_uint_eq(a.cid, b.cid);
    ck_assert_uint_eq(a.cache_crc, b.cache_crc);
    ck_assert_uint_eq(a.internaldate, b.internaldate);
    ck_assert_uint_eq(b.createdmodseq, b.modseq);
    mailbox_close(&s);
    mailbox_close(&d);
    stat_message("user.alice", "1.", &sa);
    stat_message("user.alice.sub", "2.", &sb);
    ck_assert_uint_eq(sa.st_ino, sb.st_ino);
    st_check("user.alice");
    st_check("user.alice.sub");
}
END_TEST

START_TEST(copies_by_another_user)
{
    static const uint32_t uids[] = { 1, 2 };
    uint32_t newuids[2];
    struct index_record rec;
    struct seendata sd = SEENDATA_INITIALIZER;

    make_users();
    st_append("user.alice", 1);
    st_append("user.alice", 2);
    struct txn *txn = begin_users();
    struct mailbox *src = st_write(txn, "user.alice"), *dst = st_write(txn, "user.carol");
    set_flags(src, 1, FLAG_SEEN | FLAG_DELETED | FLAG_FLAGGED, "Mine");
    ck_assert_int_eq(mailbox_set_seen(src, "bob", 2), 0);
    ck_assert_int_eq(append_copy(src, dst, uids, 2, "bob", ACL_INSERT | ACL_SETSEEN | ACL_DELETEMSG, newuids), 0);
    st_commit(txn);

    struct mailbox *d = st_read("user.carol");
    ck_assert_int_eq(mailbox_find_uid(d, 1, &rec), 0);
    ck_assert_uint_eq(rec.system_flags, FLAG_DELETED); /* no right w; bob has not seen it */
    ck_assert_uint_eq(rec.user_flags[0], 0);
    ck_assert_uint_ne(rec.cid, 0);
    mailbox_close(&d);
    ck_assert_int_eq(seen_read("bob", st_uniqueid("user.carol"), &sd, NULL), 0);
    ck_assert_str_eq(sd.seenuids, "2");
    seen_freedata(&sd);
    st_check("user.carol");
}
END_TEST

START_TEST(copy_of_what_was_just_appended)
{
    static const uint32_t uids[] = { 1 };
    uint32_t newuid;
    struct index_record rec;
    struct buf msg = BUF_INITIALIZER;

    st_create("user.alice");
    st_create("user.alice.sub");
    struct txn *txn = st_begin("alice");
    struct mailbox *src = st_write(txn, "user.alice"), *dst = st_write(txn, "user.alice.sub");
    st_append_in(src, 1);
    ck_assert_int_eq(append_copy(src, dst, uids, 1, "alice", ACL_ALL, &newuid), 0);
    ck_assert_int_eq(append_copy(src, src, uids, 1, "alice", ACL_ALL, &newuid), 0);
    ck_assert_uint_eq(newuid, 2);
    ck_assert_int_eq(mailbox_find_uid(dst, 1, &rec), 0);
    ck_assert_int_eq(mailbox_map_record(dst, &rec, &msg), 0);
    buf_free(&msg);
    ck_assert_int_eq(append_copy(src, dst, (const uint32_t[]){ 9 }, 1, "alice", ACL_ALL, &newuid), IMAP_NOTFOUND);
    st_commit(txn);
    st_check("user.alice");
    st_check("user.alice.sub");
}
END_TEST

/* ---- moving ---- */

static void rename_to(struct txn *txn, const char *oldname, const char *name, const char *partition, uint32_t mbtype)
{
    struct mailbox *w = st_write(txn, oldname);
    mbentry_t *entry = mbentry_dup(mailbox_mbentry(w));

    free(entry->name);
    entry->name = xstrdup(name);
    free(entry->partition);
    entry->partition = xstrdup(partition);
    entry->mbtype = mbtype;
    ck_assert_int_eq(mailbox_set_name(w, entry, 0), 0);
    if (strcmp(name, oldname) != 0) ck_assert_int_eq(mboxlist_delete_entry(txn, oldname), 0);
    ck_assert_int_eq(mboxlist_update_entry(txn, name, entry), 0);
    mbentry_free(&entry);
}

START_TEST(files_move_with_partition_and_name)
{
    st_create("user.alice");
    st_create("user.alice.sub");
    for (unsigned i = 1; i <= 3; i++) st_append("user.alice.sub", i);
    static const struct {
        const char *from, *to, *partition;
        uint32_t mbtype;
    } moves[] = {
        { "user.alice.sub", "user.alice.sub", "other", MBTYPE_EMAIL },
        { "user.alice.sub", "user.alice.leg", "other", MBTYPE_EMAIL | MBTYPE_LEGACY_DIRS },
        { "user.alice.leg", "user.alice.egal", "other", MBTYPE_EMAIL | MBTYPE_LEGACY_DIRS },
        { "user.alice.egal", "user.alice.back", "default", MBTYPE_EMAIL },
        { "user.alice.back", "user.alice.sub", "default", MBTYPE_EMAIL },
    };
    for (size_t i = 0; i < array_size(moves); i++) {
        struct txn *txn = st_begin("alice");
        set_flags(st_write(txn, moves[i].from), 2, i & 1 ? 0 : FLAG_FLAGGED, NULL);
        rename_to(txn, moves[i].from, moves[i].to, moves[i].partition, moves[i].mbtype);
        st_commit(txn);
        st_check(moves[i].to);
        st_append(moves[i].to, (unsigned)i + 10);
        st_check(moves[i].to);
        struct mailbox *m;
        if (strcmp(moves[i].from, moves[i].to) != 0)
            ck_assert_int_eq(mailbox_open_irl(moves[i].from, &m), IMAP_MAILBOX_NONEXISTENT);
    }
    ck_assert_int_eq(txn_checkpoint(), 0);
    char *path = test_path(st_dir, "part2/user");
    char *sub = test_path(st_dir, "part2/user/alice");
    ck_assert(!test_exists(sub));
    free(path);
    free(sub);
    path = test_path(st_dir, "part2/uuid/%.1s", st_uniqueid("user.alice.sub"));
    ck_assert(!test_exists(path));
    free(path);
}
END_TEST

START_TEST(deleted_and_undeleted_conversations)
{
    struct mailbox *m;
    struct conversations_state *state;
    struct conv_quota quota;

    st_create("user.alice");
    st_create("user.alice.sub");
    st_append("user.alice.sub", 1);
    for (int deleted = 1; deleted >= 0; deleted--) {
        struct txn *txn = st_begin("alice");
        if (deleted)
            rename_to(txn, "user.alice.sub", "DELETED.user.alice.sub.6B024352", "default", MBTYPE_EMAIL);
        else
            rename_to(txn, "DELETED.user.alice.sub.6B024352", "user.alice.sub", "default", MBTYPE_EMAIL);
        st_commit(txn);
        m = st_read("user.alice");
        ck_assert_int_eq(conversations_open_mbox(m, &state), 0);
        ck_assert_int_eq(conversations_read_quota(state, &quota), 0);
        ck_assert_int_eq(quota.emails, deleted ? 0 : 1);
        conversations_close(&state);
        mailbox_close(&m);
    }
    st_check("user.alice.sub");
}
END_TEST

/* ---- quota, limits, archive ---- */

START_TEST(quota_is_checked_and_counted)
{
    struct quota q;
    struct quota_diffs diffs = { .storage = 0, .message = 1, .annotstorage = 0, .numfolders = -1 };

    st_create("user.alice");
    struct txn *txn = st_begin("alice");
    quota_init(&q, "user.alice");
    q.limits[QUOTA_MESSAGE] = 2;
    ck_assert_int_eq(quota_write(txn, &q), 0);
    quota_free(&q);
    ck_assert_int_eq(mailbox_set_quotaroot(st_write(txn, "user.alice"), "user.alice"), 0);
    st_commit(txn);
    st_append("user.alice", 1);
    st_append("user.alice", 2);
    struct mailbox *m = st_read("user.alice");
    ck_assert_int_eq(append_check_quota(m, &diffs), IMAP_QUOTA_EXCEEDED);
    diffs.message = 0;
    ck_assert_int_eq(append_check_quota(m, &diffs), 0);
    int64_t used = (int64_t)mailbox_index_header(m)->quota_mailbox_used;
    mailbox_close(&m);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], used);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 2);
    ck_assert_int_eq(q.useds[QUOTA_NUMFOLDERS], 1);
    quota_free(&q);

    txn = st_begin("alice");
    ck_assert_int_eq(mailbox_delete(st_write(txn, "user.alice")), 0);
    st_commit(txn);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 0);
    ck_assert_int_eq(q.useds[QUOTA_NUMFOLDERS], 0);
    quota_free(&q);
}
END_TEST

static void setup_limit(void)
{
    st_setup("mailbox_maxmessages_email: 2\n");
}

START_TEST(maxmessages_is_a_limit)
{
    struct append_args args = { 0 };

    st_create("user.alice");
    st_append("user.alice", 1);
    st_append("user.alice", 2);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    struct stage *stage = new_stage(10);
    ck_assert_int_eq(append_fromstage(w, stage, &args, NULL), IMAP_QUOTA_EXCEEDED);
    args.silent = true; /* a replica takes what its master has */
    args.modseq = 100;
    ck_assert_int_eq(append_fromstage(w, stage, &args, NULL), 0);
    stage_free(&stage);
    st_commit(txn);
    st_check("user.alice");
}
END_TEST

static void setup_archive(void)
{
    st_setup("archive_enabled: yes\narchive_maxsize: 1\n");
    char *conf = xasprintf("configdirectory: %s/conf\npartition-default: %s/part\narchivepartition-default: %s/arch\n"
                           "defaultpartition: default\nconversations: yes\narchive_enabled: yes\narchive_maxsize: 1\n",
                           st_dir, st_dir, st_dir);
    config_read_string(conf);
    free(conf);
}

START_TEST(large_messages_go_to_the_archive)
{
    static const uint32_t uids[] = { 1, 2 };
    uint32_t newuids[2];
    struct append_args args = { 0 };
    struct index_record rec;

    st_create("user.alice");
    st_create("user.alice.sub");
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice"), *sub = st_write(txn, "user.alice.sub");
    struct stage *stage = new_stage(5000);
    ck_assert_int_eq(append_fromstage(w, stage, &args, NULL), 0);
    stage_free(&stage);
    st_append_in(w, 1);
    ck_assert_int_eq(append_copy(w, sub, uids, 2, "alice", ACL_ALL, newuids), 0);
    st_commit(txn);
    struct mailbox *m = st_read("user.alice.sub");
    ck_assert_int_eq(mailbox_find_uid(m, 1, &rec), 0);
    ck_assert_uint_eq(rec.internal_flags, FLAG_INTERNAL_ARCHIVED);
    ck_assert_ptr_nonnull(strstr(mailbox_record_fname(m, &rec), "/arch/uuid/"));
    ck_assert(test_exists(mailbox_record_fname(m, &rec)));
    ck_assert_int_eq(mailbox_find_uid(m, 2, &rec), 0);
    ck_assert_uint_eq(rec.internal_flags, 0);
    mailbox_close(&m);
    st_check("user.alice");
    st_check("user.alice.sub");
    txn = st_begin("alice");
    ck_assert_int_eq(mailbox_repack(st_write(txn, "user.alice")), 0);
    st_commit(txn);
    st_check("user.alice");
}
END_TEST

static void add(Suite *s, const char *name, void (*set)(void), const TTest *const *tests, size_t n)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, set, st_teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < n; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(s, tc);
}

Suite *append_suite(void)
{
    Suite *s = suite_create("append");
    const TTest *const plain[] = {
        small_message_to_three_users,
        large_message_to_three_users,
        bytes_may_go_before_the_commit,
        the_same_message_again_is_a_link,
        flags_of_an_append,
        copies_are_links_with_flags_by_name,
        copies_by_another_user,
        copy_of_what_was_just_appended,
        files_move_with_partition_and_name,
        deleted_and_undeleted_conversations,
        quota_is_checked_and_counted,
    };
    const TTest *const limit[] = { maxmessages_is_a_limit }, *const archive[] = { large_messages_go_to_the_archive };

    add(s, "append", setup, plain, array_size(plain));
    add(s, "limit", setup_limit, limit, 1);
    add(s, "archive", setup_archive, archive, 1);
    return s;
}
