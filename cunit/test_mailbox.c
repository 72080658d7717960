/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mailbox -- a mailbox as a whole: the bytes 3.6.1 wrote for the same events (handbook 02 §9), views,
 * flags, expunge, repack, damaged bytes, names
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxlist.h"
#include "message_cache.h"
#include "seqset.h"
#include "store_testutil.h"
#include "txn_internal.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define INBOX "user.cassandane"
#define INBOX_ID "j9ccchv36p2b70ujdctclhak"

static void setup(void)
{
    st_setup(NULL);
}

/* A repack drops all records of messages that are gone. */
static void setup_forgetful(void)
{
    st_setup("expunge_tombstones: 0\n");
}

/* ---- vectors ---- */

/* The bytes of that name in cunit/data/mailbox-vectors.txt. */
static void vector(const char *name, struct buf *bytes)
{
    struct buf file = BUF_INITIALIZER;

    test_readfile(TEST_SRCDIR "/cunit/data/mailbox-vectors.txt", &file);
    char *p = (char *)(uintptr_t)buf_cstring(&file), *line;
    while ((line = strsep(&p, "\n"))) {
        const char *word = strsep(&line, " ");
        if (!strcmp(word, name)) break;
    }
    ck_assert_ptr_nonnull(line);
    test_unhex(line, bytes);
    buf_free(&file);
}

static void assert_file_is_vector(const char *file, const char *name)
{
    struct buf got = BUF_INITIALIZER, want = BUF_INITIALIZER;
    char *path = st_file(INBOX_ID, file);

    test_readfile(path, &got);
    vector(name, &want);
    ck_assert_bytes_eq(buf_base(&got), buf_len(&got), buf_base(&want), buf_len(&want));
    free(path);
    buf_free(&got);
    buf_free(&want);
}

static struct txn *begin_at(time_t t)
{
    struct txn *txn = st_begin("cassandane");

    txn->time = t;
    return txn;
}

static void append_vector(const char *name, time_t at, time_t internaldate, const char *flags)
{
    struct append_args args = { .internaldate = internaldate, .userid = "cassandane" };
    strarray_t *list = strarray_split(flags, " ", 0);
    struct buf msg = BUF_INITIALIZER;
    struct stage *stage;
    struct txn *txn = begin_at(at);

    args.flags = list;
    vector(name, &msg);
    ck_assert_int_eq(stage_new_bytes(buf_base(&msg), buf_len(&msg), APPEND_MUNGE8BIT, &stage), 0);
    ck_assert_int_eq(append_fromstage(st_write(txn, INBOX), stage, &args, NULL), 0);
    stage_free(&stage);
    buf_free(&msg);
    st_commit(txn);
    strarray_free(list);
}

/* The scene of handbook 02 §9: the counter stands at 2 when INBOX is made a second time. */
static void make_vector_mailbox(void)
{
    struct txn *txn = begin_at(0x6b02417b);

    st_create_in(txn, INBOX, INBOX_ID, "cassandane\tlrswipkxtecdan\t");
    st_commit(txn);
    /* two more folders took modseqs 2 and 3 */
    txn = begin_at(0x6b02417b);
    st_create_in(txn, INBOX ".a", NULL, NULL);
    st_create_in(txn, INBOX ".b", NULL, NULL);
    st_commit(txn);
    append_vector("message1", 0x6b0242ba, 1672653600, "\\Seen \\Flagged");
    append_vector("message2", 0x6b0242bb, 0x63b3fca0, "$Label1 Junk");
    append_vector("message3", 0x6b0242bb, 0x63b54e20, "");
}

START_TEST(bytes_of_three_appends)
{
    setenv("TZ", "UTC", 1);
    tzset();
    make_vector_mailbox();
    assert_file_is_vector("cyrus.header", "header");
    assert_file_is_vector("cyrus.cache", "cache");
    /* recentuid was raised by a SELECT of two messages */
    struct txn *txn = begin_at(0x6b0242bb);
    struct mailbox *m = st_write(txn, INBOX);
    struct mailbox_header_update u = { .set_recent = true, .recentuid = 2 };
    struct buf want = BUF_INITIALIZER;
    struct index_header hdr;
    vector("index_fresh", &want);
    ck_assert_int_eq(index_header_read(&hdr, buf_base(&want), buf_len(&want), 0), 0);
    u.recentuid = hdr.recentuid;
    u.recenttime = hdr.recenttime;
    ck_assert_int_eq(mailbox_update_header(m, &u), 0);
    st_commit(txn);
    buf_free(&want);
    assert_file_is_vector("cyrus.index", "index_fresh");
    st_check(INBOX);
}
END_TEST

static void read_uid(struct mailbox *m, uint32_t uid, struct index_record *rec)
{
    ck_assert_int_eq(mailbox_find_uid(m, uid, rec), 0);
}

/* ---- views ---- */

START_TEST(read_and_relock)
{
    struct index_record rec;
    bool changed;

    st_create("user.alice");
    st_append("user.alice", 1);
    struct mailbox *m = st_read("user.alice");
    ck_assert_uint_eq(mailbox_num_records(m), 1);
    mailbox_unlock(m);
    ck_assert_int_eq(mailbox_relock_read(m, &changed), 0);
    ck_assert(!changed);
    mailbox_unlock(m);

    st_append("user.alice", 2);
    ck_assert_uint_eq(mailbox_num_records(m), 1);
    ck_assert_int_eq(mailbox_read_record(m, 2, &rec), IMAP_NOTFOUND);
    ck_assert_int_eq(mailbox_relock_read(m, &changed), 0);
    ck_assert(changed);
    ck_assert_uint_eq(mailbox_num_records(m), 2);
    ck_assert_int_eq(mailbox_read_record(m, 2, &rec), 0);
    ck_assert_uint_eq(rec.uid, 2);
    mailbox_close(&m);
    st_check("user.alice");
}
END_TEST

START_TEST(relock_sees_new_flagnames_and_repack)
{
    struct index_record rec;
    bool changed;
    int slot;

    st_create("user.alice");
    for (unsigned i = 1; i <= 3; i++) st_append("user.alice", i);
    struct mailbox *m = st_read("user.alice");
    mailbox_unlock(m);

    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    ck_assert_int_eq(mailbox_user_flag(w, "Later", &slot, true, false), 0);
    read_uid(w, 2, &rec);
    index_record_set_user_flag(&rec, slot, true);
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    read_uid(w, 1, &rec);
    rec.internal_flags |= FLAG_INTERNAL_UNLINKED;
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    modseq_t gone = rec.modseq;
    ck_assert_int_eq(mailbox_repack(w), 0);
    st_commit(txn);

    ck_assert_uint_eq(mailbox_num_records(m), 3); /* the old index is still in view */
    ck_assert_int_eq(mailbox_read_record(m, 3, &rec), 0);
    ck_assert_uint_eq(rec.uid, 3);
    ck_assert_int_eq(mailbox_relock_read(m, &changed), 0);
    ck_assert(changed);
    ck_assert_uint_eq(mailbox_num_records(m), 2);
    ck_assert_uint_eq(mailbox_index_header(m)->generation_no, 1);
    ck_assert_uint_eq(mailbox_index_header(m)->deletedmodseq, gone);
    ck_assert_str_eq(strarray_nth(mailbox_flagnames(m), 0), "Later");
    read_uid(m, 2, &rec);
    ck_assert(index_record_user_flag(&rec, 0));
    mailbox_close(&m);
    st_check("user.alice");
}
END_TEST

START_TEST(relock_after_delete_and_rename)
{
    mbentry_t *entry;
    struct mailbox *m, *n;

    st_create("user.alice");
    st_create("user.alice.a");
    st_create("user.alice.b");
    m = st_read("user.alice.a");
    n = st_read("user.alice.b");
    mailbox_unlock(m);
    mailbox_unlock(n);

    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(mailbox_delete(st_write(txn, "user.alice.a")), 0);
    ck_assert_int_eq(mboxlist_delete_entry(txn, "user.alice.a"), 0);
    struct mailbox *w = st_write(txn, "user.alice.b");
    entry = mbentry_dup(mailbox_mbentry(w));
    free(entry->name);
    entry->name = xstrdup("user.alice.c");
    ck_assert_int_eq(mailbox_set_name(w, entry, 0), 0);
    ck_assert_int_eq(mboxlist_delete_entry(txn, "user.alice.b"), 0);
    ck_assert_int_eq(mboxlist_update_entry(txn, "user.alice.c", entry), 0);
    mbentry_free(&entry);
    st_commit(txn);

    ck_assert_int_eq(mailbox_relock_read(m, NULL), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mailbox_relock_read(n, NULL), IMAP_MAILBOX_NONEXISTENT);
    mailbox_close(&m);
    mailbox_close(&n);
    m = st_read("user.alice.c");
    ck_assert_str_eq(mailbox_uniqueid(m), st_uniqueid("user.alice.b"));
    mailbox_close(&m);
    ck_assert_int_eq(mailbox_open_irl("user.alice.a", &m), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(txn_checkpoint(), 0);
    char *dir = st_file(st_uniqueid("user.alice.a"), "");
    ck_assert(!test_exists(dir));
    free(dir);
}
END_TEST

/* ---- changes ---- */

START_TEST(staged_changes_are_seen_and_aborted)
{
    struct index_record rec;
    struct buf msg = BUF_INITIALIZER, want = BUF_INITIALIZER;

    st_create("user.alice");
    st_append("user.alice", 1);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    modseq_t before = mailbox_index_header(w)->highestmodseq;
    read_uid(w, 1, &rec);
    rec.system_flags |= FLAG_FLAGGED;
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    ck_assert_uint_eq(rec.modseq, before + 1);
    ck_assert_uint_eq(st_append_in(w, 2), 2);
    ck_assert_ptr_eq(st_write(txn, "user.alice"), w);
    read_uid(w, 1, &rec);
    ck_assert(rec.system_flags & FLAG_FLAGGED);
    ck_assert_uint_eq(mailbox_index_header(w)->flagged, 1);
    read_uid(w, 2, &rec);
    ck_assert_int_eq(mailbox_map_record(w, &rec, &msg), 0);
    st_message(2, &want);
    ck_assert(buf_equal(&msg, &want));
    buf_free(&msg);
    buf_free(&want);
    txn_abort(&txn);

    struct mailbox *m = st_read("user.alice");
    ck_assert_uint_eq(mailbox_num_records(m), 1);
    ck_assert_uint_eq(mailbox_index_header(m)->highestmodseq, before);
    ck_assert_uint_eq(mailbox_index_header(m)->flagged, 0);
    mailbox_close(&m);
    st_check("user.alice");
}
END_TEST

START_TEST(modseqs_of_two_mailboxes_in_one_transaction)
{
    struct index_record a, b;

    st_create("user.alice");
    st_create("user.alice.sub");
    st_append("user.alice", 1);
    st_append("user.alice.sub", 2);
    struct txn *txn = st_begin("alice");
    struct mailbox *ma = st_write(txn, "user.alice"), *mb = st_write(txn, "user.alice.sub");
    modseq_t last = 0;
    for (int i = 0; i < 4; i++) {
        read_uid(ma, 1, &a);
        read_uid(mb, 1, &b);
        a.system_flags ^= FLAG_ANSWERED;
        b.system_flags ^= FLAG_ANSWERED;
        ck_assert_int_eq(mailbox_rewrite_record(ma, &a, 0), 0);
        ck_assert_int_eq(mailbox_rewrite_record(mb, &b, 0), 0);
        ck_assert_uint_gt(a.modseq, last);
        ck_assert_uint_gt(b.modseq, a.modseq);
        last = b.modseq;
    }
    st_commit(txn);
    struct user_meta *meta;
    struct counters c;
    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), 0);
    ck_assert_int_eq(counters_read(meta, NULL, &c), 0);
    ck_assert_uint_ge(c.modseq[CTR_HIGHEST], last);
    user_meta_free(&meta);
    st_check("user.alice");
    st_check("user.alice.sub");
}
END_TEST

START_TEST(what_a_record_must_not_become)
{
    struct index_record rec, bad;

    st_create("user.alice");
    st_append("user.alice", 1);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    read_uid(w, 1, &rec);
    bad = rec;
    bad.guid.value[0] ^= 1;
    ck_assert_int_eq(mailbox_rewrite_record(w, &bad, 0), IMAP_INTERNAL);
    bad = rec;
    bad.modseq--;
    ck_assert_int_eq(mailbox_rewrite_record(w, &bad, MAILBOX_SILENT), IMAP_INTERNAL);
    bad = rec;
    bad.uid = 7;
    ck_assert_int_eq(mailbox_rewrite_record(w, &bad, 0), IMAP_NOTFOUND);
    bad = rec;
    bad.uid = 1;
    ck_assert_int_eq(mailbox_append_record(w, &bad, NULL, NULL, 0), IMAP_INTERNAL);
    ck_assert_int_eq(mailbox_expunge_record(w, &rec, 0), 0);
    rec.internal_flags = 0;
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), IMAP_MAILBOX_NOTSUPPORTED);
    txn_abort(&txn);
    struct mailbox *m = st_read("user.alice");
    read_uid(m, 1, &rec);
    ck_assert_int_eq(mailbox_rewrite_record(m, &rec, 0), IMAP_INTERNAL);
    mailbox_close(&m);
}
END_TEST

START_TEST(user_flags_end_at_the_limit)
{
    char name[16];
    int slot;

    st_create("user.alice");
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "flag%d", i);
        ck_assert_int_eq(mailbox_user_flag(w, name, &slot, true, false), 0);
        ck_assert_int_eq(slot, i);
    }
    ck_assert_int_eq(mailbox_user_flag(w, "FLAG7", &slot, true, false), 0);
    ck_assert_int_eq(slot, 7);
    ck_assert_int_eq(mailbox_user_flag(w, "more", &slot, true, false), IMAP_USERFLAG_EXHAUSTED);
    ck_assert_int_eq(mailbox_user_flag(w, "more", &slot, true, true), 0);
    ck_assert_int_eq(slot, 100);
    ck_assert_int_eq(mailbox_user_flag(w, "no atom", &slot, true, true), IMAP_INVALID_IDENTIFIER);
    st_commit(txn);
    struct mailbox *m = st_read("user.alice");
    ck_assert_int_eq(strarray_size(mailbox_flagnames(m)), 101);
    mailbox_close(&m);
}
END_TEST

/* ---- expunge ---- */

static void expunge_first(void)
{
    struct index_record rec;

    st_create("user.alice");
    for (unsigned i = 1; i <= 3; i++) st_append("user.alice", i);
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    read_uid(w, 1, &rec);
    rec.system_flags |= FLAG_DELETED;
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    ck_assert_int_eq(mailbox_expunge_record(w, &rec, 0), 0);
    st_commit(txn);
    ck_assert_int_eq(txn_checkpoint(), 0);
    st_check("user.alice");
}

static void assert_message_exists(bool want)
{
    char *path = st_file(st_uniqueid("user.alice"), "1.");

    ck_assert_int_eq(test_exists(path), want);
    free(path);
}

START_TEST(expunge_delayed)
{
    struct index_record rec;

    expunge_first();
    assert_message_exists(true);
    struct mailbox *m = st_read("user.alice");
    read_uid(m, 1, &rec);
    ck_assert_uint_eq(rec.system_flags | rec.internal_flags, 0x80000004u);
    ck_assert_uint_eq(mailbox_index_header(m)->exists, 2);
    ck_assert_int_ne(mailbox_index_header(m)->first_expunged, 0);
    mailbox_close(&m);
}
END_TEST

START_TEST(expunge_semidelayed)
{
    struct index_record rec;

    expunge_first();
    assert_message_exists(false);
    struct mailbox *m = st_read("user.alice");
    read_uid(m, 1, &rec);
    ck_assert_uint_eq(rec.system_flags | rec.internal_flags, 0xd0000004u);
    ck_assert_uint_eq(mailbox_num_records(m), 3);
    mailbox_close(&m);
}
END_TEST

START_TEST(expunge_immediate)
{
    struct index_record rec;

    expunge_first();
    assert_message_exists(false);
    struct mailbox *m = st_read("user.alice");
    ck_assert_int_eq(mailbox_find_uid(m, 1, &rec), IMAP_NOTFOUND);
    ck_assert_uint_eq(mailbox_num_records(m), 2);
    ck_assert_uint_eq(mailbox_index_header(m)->generation_no, 1);
    ck_assert_uint_eq(mailbox_index_header(m)->deletedmodseq,
                      mailbox_index_header(m)->highestmodseq);
    ck_assert_int_ne(mailbox_index_header(m)->last_repack_time, 0);
    mailbox_close(&m);
    char *cache = st_file(st_uniqueid("user.alice"), "cyrus.cache");
    ck_assert(test_exists(cache));
    free(cache);
    ck_assert_uint_eq(st_append("user.alice", 4), 4);
    st_check("user.alice");
}
END_TEST

static void setup_semidelayed(void)
{
    st_setup("expunge_mode: semidelayed\n");
}

static void setup_without_conversations(void)
{
    st_setup("conversations: no\n");
}

static void setup_immediate(void)
{
    st_setup("expunge_mode: immediate\nexpunge_tombstones: 0\n");
}

/* ---- damaged bytes ---- */

static char last_log[4096];
static int nlogs;

static void tap(int pri, const char *line, void *rock)
{
    (void)rock;
    if (pri > LOG_ERR) return;
    snprintf(last_log, sizeof(last_log), "%s", line);
    nlogs++;
}

static void spoil(const char *file, uint64_t off)
{
    char *path = st_file(st_uniqueid("user.alice"), file), byte;
    int fd = diskio_open(path, O_RDWR, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(diskio_pread_full(fd, &byte, 1, off), 0);
    byte ^= 0x55;
    ck_assert_int_eq(diskio_pwrite(fd, &byte, 1, off), 0);
    diskio_close(fd);
    free(path);
}

static void make_three(void)
{
    st_create("user.alice");
    for (unsigned i = 1; i <= 3; i++) st_append("user.alice", i);
    xsyslog_settap(tap, NULL);
    nlogs = 0;
}

START_TEST(a_bad_record_is_one_bad_record)
{
    struct index_record rec;

    make_three();
    spoil("cyrus.index", 160 + 112 + 80);
    struct mailbox *m = st_read("user.alice");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mailbox_read_record(m, 1, &rec), 0);
        ck_assert_int_eq(mailbox_read_record(m, 2, &rec), IMAP_MAILBOX_CHECKSUM);
        ck_assert_int_eq(mailbox_find_uid(m, 2, &rec), IMAP_MAILBOX_CHECKSUM);
        ck_assert_int_eq(mailbox_find_uid(m, 3, &rec), 0);
    }
    ck_assert_int_eq(nlogs, 1);
    ck_assert_ptr_nonnull(strstr(last_log, "uid=<2>"));
    mailbox_close(&m);

    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    read_uid(w, 3, &rec);
    rec.system_flags |= FLAG_SEEN;
    ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    ck_assert_int_eq(mailbox_repack(w), 0);
    st_commit(txn);
    m = st_read("user.alice");
    ck_assert_uint_eq(mailbox_num_records(m), 3); /* nothing goes because it could not be read */
    ck_assert_int_eq(mailbox_find_uid(m, 2, &rec), IMAP_MAILBOX_CHECKSUM);
    mailbox_close(&m);
    assert_message_exists(true);

    txn = st_begin("alice");
    w = st_write(txn, "user.alice");
    ck_assert_int_eq(mailbox_wipe_record(w, 2), 0);
    ck_assert_int_eq(mailbox_recalc_counters(w), 0);
    st_commit(txn);
    txn = st_begin("alice");
    w = st_write(txn, "user.alice");
    ck_assert_int_eq(mailbox_find_uid(w, 3, &rec), 0);
    ck_assert_int_eq(mailbox_find_uid(w, 2, &rec), IMAP_NOTFOUND);
    ck_assert_int_eq(mailbox_repack(w), 0);
    st_commit(txn);
    st_check("user.alice");
    char *path = st_file(st_uniqueid("user.alice"), "2.");
    ck_assert(test_exists(path));
    free(path);
    xsyslog_settap(NULL, NULL);
}
END_TEST

START_TEST(a_bad_cache_is_made_anew)
{
    struct index_record rec;
    struct buf view = BUF_INITIALIZER;

    make_three();
    struct mailbox *m = st_read("user.alice");
    read_uid(m, 2, &rec);
    mailbox_close(&m);
    spoil("cyrus.cache", rec.cache_offset + 10);
    m = st_read("user.alice");
    ck_assert_int_eq(mailbox_cacherecord(m, &rec, &view), 0);
    ck_assert_int_eq(nlogs, 1);
    buf_free(&view);
    mailbox_close(&m);

    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    ck_assert_int_eq(mailbox_cacherecord(w, &rec, &view), 0);
    ck_assert_int_eq(mailbox_cacherecord(w, &rec, &view), 0);
    ck_assert_int_eq(nlogs, 2);
    st_commit(txn);
    st_check("user.alice");
    ck_assert_int_eq(nlogs, 2);

    char *path = st_file(st_uniqueid("user.alice"), "cyrus.cache");
    ck_assert_int_eq(diskio_unlink(path), 0);
    free(path);
    st_check("user.alice");
    st_append("user.alice", 4);
    st_check("user.alice");
    xsyslog_settap(NULL, NULL);
}
END_TEST

START_TEST(damaged_files_do_not_open)
{
    struct mailbox *m;

    make_three();
    spoil("cyrus.index", 30);
    ck_assert_int_eq(mailbox_open_irl("user.alice", &m), IMAP_MAILBOX_CHECKSUM);
    spoil("cyrus.index", 30);
    spoil("cyrus.header", 3);
    ck_assert_int_eq(mailbox_open_irl("user.alice", &m), IMAP_MAILBOX_BADFORMAT);
    spoil("cyrus.header", 3);
    char *path = st_file(st_uniqueid("user.alice"), "cyrus.index");
    ck_assert_int_eq(truncate(path, 160 + 112), 0);
    ck_assert_int_eq(mailbox_open_irl("user.alice", &m), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(truncate(path, 10), 0);
    ck_assert_int_eq(mailbox_open_irl("user.alice", &m), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(mailbox_open_irl("user.alice", &m), IMAP_MAILBOX_BADFORMAT);
    free(path);
    xsyslog_settap(NULL, NULL);
}
END_TEST

START_TEST(a_missing_message_is_an_error)
{
    struct index_record rec;
    struct buf msg = BUF_INITIALIZER;

    make_three();
    char *path = st_file(st_uniqueid("user.alice"), "1.");
    struct mailbox *m = st_read("user.alice");
    read_uid(m, 1, &rec);
    ck_assert_int_eq(truncate(path, 20), 0);
    ck_assert_int_eq(mailbox_map_record(m, &rec, &msg), IMAP_MESSAGE_DAMAGED);
    ck_assert_int_eq(diskio_unlink(path), 0);
    ck_assert_int_eq(mailbox_map_record(m, &rec, &msg), IMAP_IOERROR);
    free(path);
    mailbox_close(&m);
    xsyslog_settap(NULL, NULL);
}
END_TEST

/* ---- seen ---- */

START_TEST(seen_of_owner_and_others)
{
    struct index_record rec;
    struct seen_view *v;

    st_create("user.alice");
    st_create("user.bob");
    for (unsigned i = 1; i <= 4; i++) st_append("user.alice", i);
    strarray_t users = STRARRAY_INITIALIZER;
    strarray_append(&users, "alice");
    strarray_append(&users, "bob");

    struct txn *txn;
    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(txn_lock_users(txn, &users), 0);
    struct mailbox *w = st_write(txn, "user.alice");
    ck_assert_int_eq(seen_view_open(w, "bob", &v), 0);
    ck_assert(!seen_view_internal(v));
    ck_assert_str_eq(seen_view_userid(v), "bob");
    for (uint32_t uid = 1; uid <= 3; uid++) {
        read_uid(w, uid, &rec);
        ck_assert(!seen_view_isseen(v, &rec));
        ck_assert_int_eq(seen_view_set(v, w, &rec, true, 0), 0);
        ck_assert(seen_view_isseen(v, &rec));
    }
    ck_assert_int_eq(seen_view_set(v, w, &rec, false, 0), 0);
    ck_assert_int_eq(seen_view_set_recent(v, w, 4), 0);
    seen_view_free(&v);
    st_commit(txn);

    struct seendata sd = SEENDATA_INITIALIZER;
    ck_assert_int_eq(seen_read("bob", st_uniqueid("user.alice"), &sd, NULL), 0);
    ck_assert_str_eq(sd.seenuids, "1:2");
    ck_assert_uint_eq(sd.lastuid, 4);
    seen_freedata(&sd);

    struct mailbox *m = st_read("user.alice");
    ck_assert_uint_eq(mailbox_index_header(m)->unseen, 4);
    ck_assert_int_eq(seen_view_open(m, "bob", &v), 0);
    read_uid(m, 2, &rec);
    ck_assert(seen_view_isseen(v, &rec));
    ck_assert(!seen_view_isrecent(v, &rec));
    seen_view_free(&v);
    ck_assert_int_eq(seen_view_open(m, "alice", &v), 0);
    ck_assert(seen_view_internal(v));
    ck_assert(!seen_view_isseen(v, &rec));
    ck_assert(seen_view_isrecent(v, &rec));
    mailbox_close(&m);

    txn = st_begin("alice");
    w = st_write(txn, "user.alice");
    ck_assert_int_eq(seen_view_set(v, w, &rec, true, 0), 0);
    ck_assert_int_eq(seen_view_set_recent(v, w, 4), 0);
    ck_assert_uint_eq(mailbox_index_header(w)->unseen, 3);
    ck_assert_uint_eq(mailbox_index_header(w)->recentuid, 4);
    seen_view_free(&v);
    st_commit(txn);
    strarray_fini(&users);
    st_check("user.alice");
}
END_TEST

/* ---- many ---- */

START_TEST(ten_thousand_flags_in_one_transaction)
{
    enum { N = 10000 };
    struct index_record rec;
    struct timespec t0, t1;
    struct buf msg = BUF_INITIALIZER, cache = BUF_INITIALIZER;
    uint32_t crc;

    st_message(1, &msg);
    struct message_content *content = message_parse(buf_base(&msg), buf_len(&msg), NULL);
    message_write_cache(content, &cache, &crc);
    message_content_free(&content);
    st_create("user.alice");
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, "user.alice");
    for (unsigned i = 0; i < N; i++) {
        struct index_record r = {
            .size = 100, .modseq = i + 10, .internaldate = 1, .last_updated = 1
        };
        put_be32(r.guid.value, i + 1);
        ck_assert_int_eq(mailbox_append_record(w, &r, NULL, &cache, MAILBOX_SILENT), 0);
    }
    st_commit(txn);
    buf_free(&msg);
    buf_free(&cache);

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
    diskio_counters_reset();
    txn = st_begin("alice");
    w = st_write(txn, "user.alice");
    uint64_t calls = 0, after = 0;
    for (int k = 0; k < DISKIO_NKINDS; k++) calls += diskio_counters()->calls[k];
    for (uint32_t uid = 1; uid <= N; uid++) {
        read_uid(w, uid, &rec);
        rec.system_flags |= FLAG_SEEN;
        ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    }
    for (int k = 0; k < DISKIO_NKINDS; k++) after += diskio_counters()->calls[k];
    ck_assert_uint_lt(after - calls, 50);
    st_commit(txn);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
    ck_assert_uint_lt(diskio_counters()->calls[DISKIO_PWRITE], 100);
    if (getenv("CYL_TIMES"))
        printf("10000 flags: %.1f ms of CPU, %llu calls\n",
               (t1.tv_sec - t0.tv_sec) * 1e3 + (t1.tv_nsec - t0.tv_nsec) / 1e6,
               (unsigned long long)(after - calls));
    struct mailbox *m = st_read("user.alice");
    ck_assert_uint_eq(mailbox_index_header(m)->unseen, 0);
    ck_assert_uint_eq(mailbox_index_header(m)->exists, N);
    mailbox_close(&m);
}
END_TEST

Suite *mailbox_suite(void)
{
    Suite *s = suite_create("mailbox");
    TCase *tc = st_tcase(s, "mailbox", setup);

    tcase_add_test(tc, bytes_of_three_appends);
    tcase_add_test(tc, read_and_relock);
    tcase_add_test(tc, relock_after_delete_and_rename);
    tcase_add_test(tc, staged_changes_are_seen_and_aborted);
    tcase_add_test(tc, modseqs_of_two_mailboxes_in_one_transaction);
    tcase_add_test(tc, what_a_record_must_not_become);
    tcase_add_test(tc, user_flags_end_at_the_limit);
    tcase_add_test(tc, expunge_delayed);
    tcase_add_test(tc, a_bad_record_is_one_bad_record);
    tcase_add_test(tc, a_bad_cache_is_made_anew);
    tcase_add_test(tc, damaged_files_do_not_open);
    tcase_add_test(tc, a_missing_message_is_an_error);
    tcase_add_test(tc, seen_of_owner_and_others);
    tcase_add_test(tc, ten_thousand_flags_in_one_transaction);
    tcase_add_test(st_tcase(s, "without conversations", setup_without_conversations),
                   ten_thousand_flags_in_one_transaction);
    tcase_add_test(st_tcase(s, "forgetful", setup_forgetful), relock_sees_new_flagnames_and_repack);
    tcase_add_test(st_tcase(s, "semidelayed", setup_semidelayed), expunge_semidelayed);
    tcase_add_test(st_tcase(s, "immediate", setup_immediate), expunge_immediate);
    return s;
}
