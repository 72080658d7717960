/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_counts -- how many calls of the disk an operation costs, whatever the machine
 *
 * Speed is decided by the shape: what is done once per command must not be done once per message. Every
 * test does the same for few and for many messages, and the difference must be what the operation is about.
 */
#include <config.h>

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acl.h"
#include "append.h"
#include "diskio.h"
#include "filesum.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxlist_follow.h"
#include "ops_testutil.h"
#include "util.h"
#include "xmalloc.h"

/* What a repack of a database that is due may cost, or the room that the journal makes ahead. */
#define SLACK 16
#define BOX "user.alice"
#define SUB "user.alice.sub"

static void setup(void)
{
    st_setup(NULL);
}

static void fill_mailbox(const char *name, unsigned n)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, name);
    for (unsigned i = 1; i <= n; i++) st_append_in(w, i);
    st_commit(txn);
}

typedef void operation_fn(unsigned n);

/* Counts of one transaction over n messages. */
static struct diskio_counters count(operation_fn *fn, unsigned n)
{
    diskio_counters_reset();
    fn(n);
    return *diskio_counters();
}

/* Per message at most so many calls of each kind, kinds that are not named: none. */
static void assert_growth(const struct diskio_counters *few, const struct diskio_counters *many, unsigned messages,
                          const unsigned per_message[DISKIO_NKINDS])
{
    for (int k = 0; k < DISKIO_NKINDS; k++) {
        uint64_t allowed = few->calls[k] + (uint64_t)per_message[k] * messages + SLACK;
        ck_assert_msg(many->calls[k] <= allowed, "kind %d: %llu calls for few, %llu for %u more", k,
                      (unsigned long long)few->calls[k], (unsigned long long)many->calls[k], messages);
    }
}

static void flag_all(unsigned n)
{
    struct index_record rec;
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, BOX);

    for (uint32_t uid = 1; uid <= n; uid++) {
        ck_assert_int_eq(mailbox_find_uid(w, uid, &rec), 0);
        rec.system_flags ^= FLAG_SEEN | FLAG_FLAGGED;
        ck_assert_int_eq(mailbox_rewrite_record(w, &rec, 0), 0);
    }
    st_commit(txn);
}

START_TEST(flags_cost_nothing_per_message)
{
    static const unsigned none[DISKIO_NKINDS];

    st_create(BOX);
    fill_mailbox(BOX, 600);
    flag_all(1);
    struct diskio_counters few = count(flag_all, 10), many = count(flag_all, 600);
    /* The journal writes zeros ahead and, with a database, a few pieces at a time. */
    assert_growth(&few, &many, 0, none);
    ck_assert_uint_le(many.calls[DISKIO_LOCK], 40);
    ck_assert_uint_le(many.calls[DISKIO_STAT], 40);
    ck_assert_uint_le(many.calls[DISKIO_OPEN], 20);
    ck_assert_uint_eq(many.calls[DISKIO_FDATASYNC] + many.calls[DISKIO_FSYNC], 1);
}
END_TEST

static void copy_all(unsigned n)
{
    uint32_t *uids = xcalloc(n, sizeof(*uids)), *newuids = xcalloc(n, sizeof(*newuids));
    struct txn *txn = st_begin("alice");
    struct mailbox *src = st_write(txn, BOX), *dst = st_write(txn, SUB);

    for (unsigned i = 0; i < n; i++) uids[i] = i + 1;
    ck_assert_int_eq(append_copy(src, dst, uids, n, "alice", ACL_ALL, newuids), 0);
    st_commit(txn);
    free(uids);
    free(newuids);
}

START_TEST(a_copy_costs_a_link)
{
    /* and a look whether the new name is free (doc/journal.md, rule L) */
    static const unsigned link[DISKIO_NKINDS] = { [DISKIO_LINK] = 1, [DISKIO_STAT] = 1 };

    st_create(BOX);
    st_create(SUB);
    fill_mailbox(BOX, 500);
    copy_all(1);
    struct diskio_counters few = count(copy_all, 10), many = count(copy_all, 500);
    assert_growth(&few, &many, 490, link);
    ck_assert_uint_eq(many.calls[DISKIO_LINK], 500);
    ck_assert_uint_eq(many.calls[DISKIO_FDATASYNC] + many.calls[DISKIO_FSYNC], 1);
    st_check(SUB);
}
END_TEST

static void deliver(unsigned n)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *w = st_write(txn, BOX);
    for (unsigned i = 0; i < n; i++) st_append_in(w, 1000 + n * 100 + i);
    st_commit(txn);
}

START_TEST(a_delivery_costs_one_sync)
{
    /* its file: looked for (rule L), made, written, dated, closed */
    static const unsigned file[DISKIO_NKINDS] = {
        [DISKIO_STAT] = 1, [DISKIO_OPEN] = 1, [DISKIO_PWRITE] = 1, [DISKIO_UTIME] = 1, [DISKIO_CLOSE] = 1
    };

    st_create(BOX);
    fill_mailbox(BOX, 5);
    struct diskio_counters one = count(deliver, 1), many = count(deliver, 50);
    ck_assert_uint_eq(one.calls[DISKIO_FDATASYNC] + one.calls[DISKIO_FSYNC] + one.calls[DISKIO_SYNCFS], 1);
    ck_assert_uint_le(one.calls[DISKIO_OPEN], 12);
    /* two of them to see that no other INBOX has the user's uniqueid */
    ck_assert_uint_le(one.calls[DISKIO_STAT], 26);
    ck_assert_uint_le(one.calls[DISKIO_LOCK], 28);
    assert_growth(&one, &many, 49, file);
    st_check(BOX);
}
END_TEST

/* Databases of the server that a delivery only reads are not locked by its commit. */
START_TEST(a_delivery_leaves_mailboxes_db_alone)
{
    struct namelock *lock;
    int fds[2];
    char byte;

    st_create(BOX);
    ck_assert_int_eq(pipe(fds), 0);
    struct txn *txn = st_begin("alice");
    st_append_in(st_write(txn, BOX), 1);
    pid_t pid = fork();
    if (!pid) {
        if (namelock_acquire("$DB$mailboxes.db", NAMELOCK_EXCLUSIVE, 0, &lock)) _exit(1);
        if (write(fds[1], "x", 1) == 1) pause();
        _exit(1);
    }
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    st_commit(txn); /* or it would wait for ever */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fds[0]);
}
END_TEST

/* ---- a user with many folders gets another name ---- */

static unsigned renamed; /* users so far */

static void make_folders(unsigned n)
{
    char name[64];
    struct txn *txn = ot_begin();

    for (unsigned i = 0; i <= n; i++) {
        struct mboxlist_createargs args = { .name = name, .isadmin = true, .userid = "admin", .auth = ot_admin };
        struct mailbox *w;
        if (i)
            snprintf(name, sizeof(name), "user.u%u.f%u", renamed, i);
        else
            snprintf(name, sizeof(name), "user.u%u", renamed);
        ck_assert_int_eq(mboxlist_createmailbox(txn, &args, &w), 0);
    }
    ck_assert_int_eq(ot_end(txn, 0), 0);
}

static void rename_user(unsigned n)
{
    char from[64], to[64];

    (void)n;
    snprintf(from, sizeof(from), "user.u%u", renamed);
    snprintf(to, sizeof(to), "user.u%u", ++renamed);
    struct txn *txn = ot_begin();
    ck_assert_int_eq(ot_end(txn, mboxlist_renametree(txn, from, to, NULL, true, "admin", ot_admin, MBOXLIST_RENAME_FORCEUSER, NULL, NULL)), 0);
}

static unsigned syncs(const struct diskio_counters *c)
{
    return (unsigned)(c->calls[DISKIO_FDATASYNC] + c->calls[DISKIO_FSYNC] + c->calls[DISKIO_SYNCFS]);
}

START_TEST(a_renamed_folder_costs_no_inode)
{
    /* cyrus.index and cyrus.header are read, and written where they are; five looks at mailboxes.db, each locked, unlocked, and the file
     * looked for twice. The name of the header is looked at once (rule L). The third
     * write is of the databases, whose changed records lie in several places. */
    static const unsigned folder[DISKIO_NKINDS] = {
        [DISKIO_OPEN] = 4, [DISKIO_CLOSE] = 4, [DISKIO_PWRITE] = 3, [DISKIO_STAT] = 12, [DISKIO_LOCK] = 8, [DISKIO_MMAP] = 2
    };

    ot_admin = auth_newstate("admin");
    make_folders(20);
    rename_user(0);
    struct diskio_counters few = count(rename_user, 20);
    renamed = 100;
    make_folders(320);
    rename_user(0);
    struct diskio_counters many = count(rename_user, 320);
    assert_growth(&few, &many, 300, folder);
    /* none a folder; a database that is packed meanwhile (its levels are random, so is when) has some of its own */
    ck_assert_uint_le(syncs(&many), syncs(&few) + 10);
    ck_assert_uint_le(many.calls[DISKIO_RENAME], few.calls[DISKIO_RENAME] + 2);
    st_check("user.u102");
    st_check("user.u102.f7");
    ot_check_store();
    auth_freestate(&ot_admin);
}
END_TEST

START_TEST(a_folder_that_follows_costs_nothing)
{
    static const unsigned none[DISKIO_NKINDS];

    ot_admin = auth_newstate("admin");
    setenv("CYLINDER_FOLLOW_LEAST", "3", 1);
    make_folders(20);
    rename_user(0);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    struct diskio_counters few = count(rename_user, 20);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    renamed = 100;
    make_folders(620);
    rename_user(0);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    struct diskio_counters many = count(rename_user, 620);
    /* a database that is packed meanwhile has some of its own */
    assert_growth(&few, &many, 0, none);
    ck_assert_uint_eq(syncs(&few), 1);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    st_check("user.u102");
    st_check("user.u102.f7");
    ot_check_store();
    auth_freestate(&ot_admin);
    unsetenv("CYLINDER_FOLLOW_LEAST");
}
END_TEST

static int seen_cb(const mbentry_t *entry, void *rock)
{
    (void)entry;
    ++*(unsigned *)rock;
    return 0;
}

static void list_all(unsigned n)
{
    unsigned seen = 0;

    ck_assert_int_eq(mboxlist_allmbox("", seen_cb, &seen, MBOXTREE_TOMBSTONES), 0);
    ck_assert_uint_ge(seen, n);
}

/* The list, when half of the folders have followed. */
static struct diskio_counters count_half_followed(unsigned n)
{
    struct buf after = BUF_INITIALIZER;
    unsigned followed;
    char inbox[64];

    make_folders(n);
    rename_user(0);
    snprintf(inbox, sizeof(inbox), "user.u%u", renamed);
    ck_assert_int_eq(mboxlist_follow_batch(inbox, n / 2, &after, &followed), 0);
    ck_assert_uint_eq(followed, n / 2);
    struct diskio_counters c = count(list_all, n);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    buf_free(&after);
    return c;
}

START_TEST(those_that_have_followed_are_looked_at_once)
{
    ot_admin = auth_newstate("admin");
    setenv("CYLINDER_FOLLOW_LEAST", "3", 1);
    struct diskio_counters few = count_half_followed(20);
    renamed = 100;
    struct diskio_counters many = count_half_followed(220);
    /* each has two names, or, with those of before, up to four records, of some looks each */
    ck_assert_uint_le(many.calls[DISKIO_LOCK] - few.calls[DISKIO_LOCK], 200 * 30);
    auth_freestate(&ot_admin);
    unsetenv("CYLINDER_FOLLOW_LEAST");
}
END_TEST

/* ---- a small file keeps its inode ---- */

static void rewrite(const char *path, const char *text)
{
    struct txn *txn = st_begin("alice");
    txn_rewrite(txn, path, text, strlen(text), 0600);
    st_commit(txn);
}

static void assert_file(const char *path, const char *text, struct stat *st)
{
    struct diskio_map map;
    bool wrong;

    ck_assert_int_eq(filesum_map(path, &map, st, &wrong), 0);
    ck_assert(!wrong);
    ck_assert_uint_eq(map.len, strlen(text));
    ck_assert(!memcmp(map.base, text, map.len));
    diskio_map_free(&map);
}

START_TEST(a_file_is_rewritten_where_it_is)
{
    char *path = xasprintf("%s/small", config_dir), *other = xasprintf("%s/other", config_dir);
    struct stat first, then;

    rewrite(path, "made, since there is none");
    assert_file(path, "made, since there is none", &first);
    rewrite(path, "shorter");
    assert_file(path, "shorter", &then);
    ck_assert_uint_eq(then.st_ino, first.st_ino);
    rewrite(path, "longer than ever, by some bytes at least");
    assert_file(path, "longer than ever, by some bytes at least", &then);
    ck_assert_uint_eq(then.st_ino, first.st_ino);
    /* what has another name is not ours alone */
    ck_assert_int_eq(diskio_link(path, other), 0);
    rewrite(path, "new");
    assert_file(path, "new", &then);
    ck_assert_uint_ne(then.st_ino, first.st_ino);
    assert_file(other, "longer than ever, by some bytes at least", &then);
    free(path);
    free(other);
}
END_TEST

Suite *counts_suite(void)
{
    Suite *s = suite_create("counts");
    TCase *tc = tcase_create("counts");

    tcase_add_checked_fixture(tc, setup, st_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, flags_cost_nothing_per_message);
    tcase_add_test(tc, a_copy_costs_a_link);
    tcase_add_test(tc, a_delivery_costs_one_sync);
    tcase_add_test(tc, a_delivery_leaves_mailboxes_db_alone);
    tcase_add_test(tc, a_renamed_folder_costs_no_inode);
#ifdef ENABLE_TEST_HOOKS
    tcase_add_test(tc, a_folder_that_follows_costs_nothing);
    tcase_add_test(tc, those_that_have_followed_are_looked_at_once);
#endif
    tcase_add_test(tc, a_file_is_rewritten_where_it_is);
    suite_add_tcase(s, tc);
    return s;
}
