/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smaller stores: counters, subscriptions, seen state, quota records, deliver.db, annotations; the
 * bytes are those of handbook 01 §6.9 and §7.
 */
#include <config.h>

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "annotate.h"
#include "duplicate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "quota.h"
#include "store_testutil.h"
#include "user.h"
#include "xmalloc.h"

static void setup(void)
{
    st_setup("quota_db: twoskip\n");
    st_create("user.alice");
}

static struct user_meta *meta_of(const char *userid)
{
    struct user_meta *meta;

    ck_assert_int_eq(user_meta_lookup(userid, NULL, &meta), 0);
    return meta;
}

/* ---- counters ---- */

START_TEST(counters_in_a_transaction)
{
    struct user_meta *meta = meta_of("alice");
    struct counters before, c;
    int r = 0;

    ck_assert_int_eq(counters_read(meta, NULL, &before), 0);
    ck_assert_uint_gt(before.modseq[CTR_HIGHEST], 0);
    struct txn *txn = st_begin("alice");
    modseq_t m = counters_next_modseq(txn, meta, 0, "user.alice", 0, 0, &r);
    ck_assert_uint_eq(m, before.modseq[CTR_HIGHEST] + 1);
    ck_assert_uint_eq(counters_next_modseq(txn, meta, 100, "user.alice", 0, COUNTER_FOLDER, &r),
                      101);
    ck_assert_uint_eq(counters_set_modseq(txn, meta, 50, "user.alice", 0, 0, &r), 101);
    ck_assert_uint_eq(counters_set_modseq(txn, meta, 200, "user.alice.#calendars.x",
                                          MBTYPE_CALENDAR, COUNTER_FOLDER | COUNTER_DELETED, &r),
                      200);
    ck_assert_int_eq(counters_read(meta, NULL, &c), 0);
    ck_assert_uint_eq(c.modseq[CTR_HIGHEST],
                      before.modseq[CTR_HIGHEST]); /* nobody else sees it yet */
    st_commit(txn);
    ck_assert_int_eq(counters_read(meta, NULL, &c), 0);
    ck_assert_uint_eq(c.generation, before.generation + 1); /* written once */
    ck_assert_uint_eq(c.modseq[CTR_HIGHEST], 200);
    ck_assert_uint_eq(c.modseq[CTR_MAIL], 101);
    ck_assert_uint_eq(c.modseq[CTR_MAILFOLDERS], 101);
    ck_assert_uint_eq(c.modseq[CTR_CALDAVFOLDERSDELETED], 200);
    user_meta_free(&meta);
}
END_TEST

START_TEST(counters_uidvalidity)
{
    struct user_meta *meta = meta_of("alice");
    struct txn *txn = st_begin("alice");
    int r = 0;

    uint32_t a = counters_next_uidvalidity(txn, meta, 4000000000u, &r);
    ck_assert_uint_eq(a, 4000000001u);
    ck_assert_uint_eq(counters_next_uidvalidity(txn, meta, 17, &r), a + 1);
    ck_assert_int_eq(counters_set_uidvalidity(txn, meta, a + 10), 0);
    ck_assert_int_eq(counters_set_uidvalidity(txn, meta, 5), 0);
    ck_assert_uint_eq(counters_next_uidvalidity(txn, meta, 17, &r), a + 11);
    txn_abort(&txn);
    user_meta_free(&meta);
}
END_TEST

/* A damaged file stops the user instead of making modseqs fall back. */
START_TEST(counters_damaged)
{
    struct user_meta *meta = meta_of("alice");
    char *path = xstrdup(user_meta_path(meta, "counters"));
    struct buf bytes = BUF_INITIALIZER;
    struct counters c;
    int r = 0;

    test_readfile(path, &bytes);
    ck_assert_uint_eq(buf_len(&bytes), COUNTERS_SIZE);
    bytes.s[20] ^= 1;
    test_writefile(path, bytes.s, bytes.len);
    ck_assert_int_eq(counters_read(meta, NULL, &c), IMAP_MAILBOX_CHECKSUM);
    struct txn *txn = st_begin("alice");
    ck_assert_uint_eq(counters_next_modseq(txn, meta, 5, "user.alice", 0, 0, &r), 0);
    ck_assert_int_eq(r, IMAP_MAILBOX_CHECKSUM);
    st_commit(txn);
    struct buf after = BUF_INITIALIZER;
    test_readfile(path, &after);
    ck_assert_bytes_eq(after.s, after.len, bytes.s, bytes.len);
    buf_free(&bytes);
    buf_free(&after);
    free(path);
    user_meta_free(&meta);
}
END_TEST

START_TEST(counters_without_conversations)
{
    st_teardown();
    st_setup("conversations: no\n");
    st_create("user.alice");
    struct user_meta *meta = meta_of("alice");
    struct txn *txn = st_begin("alice");
    int r = 1;
    ck_assert_uint_eq(counters_next_modseq(txn, meta, 7, "user.alice", 0, 0, &r), 8);
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(counters_set_modseq(txn, meta, 7, "user.alice", 0, 0, &r), 7);
    ck_assert_uint_eq(counters_next_uidvalidity(txn, meta, 7, &r), 8);
    st_commit(txn);
    ck_assert(!test_exists(user_meta_path(meta, "counters")));
    user_meta_free(&meta);
}
END_TEST

/* ---- subscriptions ---- */

static void subscribe(const char *name, bool on)
{
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(sub_change(txn, "alice", name, on), 0);
    st_commit(txn);
}

START_TEST(subscriptions)
{
    struct user_meta *meta = meta_of("alice");
    struct buf bytes = BUF_INITIALIZER;

    st_assert_subs("");
    ck_assert(!test_exists(user_meta_path(meta, "sub")));
    subscribe("user.alice", true);
    subscribe("user.alice.Sent Items", true);
    subscribe("user.alice.newfoo", true);
    subscribe("shared.news", true);
    test_readfile(user_meta_path(meta, "sub"), &bytes);
    test_assert_hex_eq(
        bytes.s, bytes.len,
        "1f56 4552 1f09 320a 4e49 4e42 4f58 090a 4e49 4e42 4f58 1f53 656e 7420 4974 656d"
        "7309 0a4e 494e 424f 581f 6e65 7766 6f6f 090a 4e73 6861 7265 641f 6e65 7773 090a");
    st_assert_subs("shared.news user.alice user.alice.Sent Items user.alice.newfoo");
    ck_assert(sub_is_subscribed("alice", "user.alice"));
    ck_assert(!sub_is_subscribed("alice", "user.alice2"));
    subscribe("user.alice2.z", true); /* not his own INBOX: 3.6.1 takes it for that */
    st_assert_subs("shared.news user.alice user.alice.Sent Items user.alice.newfoo user.alice2.z");
    subscribe("shared.news", false);
    subscribe("shared.news", false);
    st_assert_subs("user.alice user.alice.Sent Items user.alice.newfoo user.alice2.z");
    buf_free(&bytes);
    user_meta_free(&meta);
}
END_TEST

START_TEST(subscriptions_of_version_1)
{
    static const char old[] = "user.alice\t\nuser.alice.x y\t\n";
    struct user_meta *meta = meta_of("alice");
    char *path = xstrdup(user_meta_path(meta, "sub"));
    struct buf bytes = BUF_INITIALIZER;

    test_writefile(path, old, strlen(old));
    st_assert_subs("user.alice user.alice.x y");
    ck_assert(sub_is_subscribed("alice", "user.alice.x y"));
    subscribe("user.alice.x y", true); /* no change: the file stays */
    test_readfile(path, &bytes);
    ck_assert_str_eq(buf_cstring(&bytes), old);
    subscribe("user.alice.z", true);
    test_readfile(path, &bytes);
    ck_assert_str_eq(buf_cstring(&bytes),
                     "\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1fx y\t\nNINBOX\x1fz\t\n");
    st_assert_subs("user.alice user.alice.x y user.alice.z");
    buf_free(&bytes);
    free(path);
    user_meta_free(&meta);
}
END_TEST

/* ---- seen ---- */

static int count_cb(const char *uniqueid, const struct seendata *sd, void *rock)
{
    (*(int *)rock)++;
    return 0;
}

START_TEST(seen_state)
{
    struct seendata sd = { 1795310893, 5, 1795310893, xstrdup("1,3:4") },
                    got = SEENDATA_INITIALIZER;
    int n = 0;

    ck_assert_int_eq(seen_read("alice", "bfjw84euyyizyofjvvjx6ama", &got, NULL), 0);
    ck_assert_str_eq(got.seenuids, "");
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(seen_write(txn, "alice", "bfjw84euyyizyofjvvjx6ama", &sd), 0);
    ck_assert_int_eq(seen_read("alice", "bfjw84euyyizyofjvvjx6ama", &got, txn), 0);
    ck_assert_uint_eq(got.lastuid, 5);
    st_commit(txn);
    ck_assert_int_eq(seen_read("alice", "bfjw84euyyizyofjvvjx6ama", &got, NULL), 0);
    ck_assert_str_eq(got.seenuids, "1,3:4");
    ck_assert_int_eq(got.lastread, 1795310893);
    ck_assert_int_eq(seen_foreach("alice", count_cb, &n), 0);
    ck_assert_int_eq(n, 1);
    seen_freedata(&got);
    seen_freedata(&sd);
}
END_TEST

static void raw_seen(const char *key, const char *value)
{
    struct user_meta *meta;
    struct txn_db *db;

    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(user_meta_lookup_or_legacy("alice", txn, &meta), 0);
    ck_assert_int_eq(txn_db_open(txn, "twoskip", user_meta_path(meta, "seen"), TXN_DB_CREATE, &db), 0);
    ck_assert_int_eq(txn_db_store(db, key, strlen(key), value, strlen(value)), 0);
    st_commit(txn);
    user_meta_free(&meta);
}

static void write_seen(const char *uniqueid, const char *set)
{
    struct seendata sd = { 1795310893, 5, 1795310893, xstrdup(set) };
    struct txn *txn = st_begin("alice");

    ck_assert_int_eq(seen_write(txn, "alice", uniqueid, &sd), 0);
    ck_assert_int_eq(seen_write(txn, "alice", uniqueid, &sd), 0); /* what is kept is kept once */
    st_commit(txn);
    seen_freedata(&sd);
}

static int is_shown(const struct dirent *de)
{
    return de->d_name[0] != '.';
}

/* The contents of all that is kept, in the order of the names. */
static void assert_kept(const char *want)
{
    char *dir = test_path(st_dir, "conf/lost+found");
    struct buf got = BUF_INITIALIZER, bytes = BUF_INITIALIZER;
    struct dirent **found = NULL;
    int n = scandir(dir, &found, is_shown, alphasort);

    for (int i = 0; i < n; i++) {
        char *path = test_path(dir, "%s", found[i]->d_name);
        test_readfile(path, &bytes);
        buf_printf(&got, "%s{%.*s}", buf_len(&got) ? " " : "", (int)buf_len(&bytes), buf_base(&bytes));
        free(path);
        free(found[i]);
    }
    free(found);
    ck_assert_str_eq(buf_cstring(&got), want);
    buf_free(&got);
    buf_free(&bytes);
    free(dir);
}

START_TEST(an_unreadable_seen_record_is_kept)
{
    static const char *const ids[] = { "a/../b", "bad", "version" };
    static const char *const values[] = { "1 1 5 1 1,x", "no record", "2 1 5 1 1:5 new" };
    struct seendata got = SEENDATA_INITIALIZER;

    raw_seen("good", "1 1 5 1 1:5");
    for (size_t i = 0; i < array_size(ids); i++) raw_seen(ids[i], values[i]);
    for (size_t i = 0; i < array_size(ids); i++) {
        ck_assert_int_eq(seen_read("alice", ids[i], &got, NULL), 0);
        ck_assert_str_eq(got.seenuids, "");
    }
    assert_kept(""); /* nothing is done by reading */
    write_seen("good", "1:6");
    assert_kept("");
    for (size_t i = 0; i < array_size(ids); i++) write_seen(ids[i], "7");
    assert_kept("{1 1 5 1 1,x} {no record} {2 1 5 1 1:5 new}");
    raw_seen("bad", "bad once more");
    write_seen("bad", "8");
    assert_kept("{1 1 5 1 1,x} {no record} {bad once more} {2 1 5 1 1:5 new}");
    ck_assert_int_eq(seen_read("alice", "bad", &got, NULL), 0);
    ck_assert_str_eq(got.seenuids, "8");
    seen_freedata(&got);
}
END_TEST

/* ---- quota records ---- */

static void set_limits(const char *root, int64_t storage, int64_t message)
{
    struct txn *txn = st_begin(strncmp(root, "user.", 5) ? NULL : "alice");
    struct quota q;

    quota_init(&q, root);
    q.limits[QUOTA_STORAGE] = storage;
    q.limits[QUOTA_MESSAGE] = message;
    ck_assert_int_eq(quota_write(txn, &q), 0);
    st_commit(txn);
    quota_free(&q);
}

static void add_usage(const char *root, int64_t bytes, int64_t messages)
{
    int64_t diff[QUOTA_NUMRESOURCES] = { bytes, messages, 0, 0 };
    struct txn *txn = st_begin(strncmp(root, "user.", 5) ? NULL : "alice");

    ck_assert_int_eq(quota_update_useds(txn, root, diff, root), 0);
    st_commit(txn);
}

START_TEST(quota_folds)
{
    int64_t diff[QUOTA_NUMRESOURCES] = { 100, 1, 0, 0 };
    struct user_meta *meta = meta_of("alice");
    struct counters before, after;
    struct quota q;

    set_limits("user.alice", 1000, 100);
    ck_assert_int_eq(counters_read(meta, NULL, &before), 0);
    struct txn *txn = st_begin("alice");
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(quota_update_useds(txn, "user.alice", diff, "user.alice"), 0);
    ck_assert_int_eq(quota_read("user.alice", txn, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 50);
    quota_free(&q);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 0);
    quota_free(&q);
    st_commit(txn);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 5000);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], 100);
    ck_assert_int_eq(counters_read(meta, NULL, &after), 0);
    ck_assert_uint_eq(after.modseq[CTR_QUOTA], before.modseq[CTR_HIGHEST] + 1); /* one for all */
    ck_assert_uint_eq(q.modseq, after.modseq[CTR_QUOTA]);
    quota_free(&q);
    user_meta_free(&meta);
}
END_TEST

START_TEST(quota_underflow_and_lost)
{
    struct quota q;

    set_limits("user.alice", 1000, 100);
    add_usage("user.alice", -50, 3);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 3);
    quota_free(&q);
    add_usage("user.alice.nosuch", 50, 3); /* logged; the commit stands */
    ck_assert_int_eq(quota_read("user.alice.nosuch", NULL, &q), IMAP_QUOTAROOT_NONEXISTENT);
    quota_free(&q);
}
END_TEST

START_TEST(quota_silent)
{
    int64_t diff[QUOTA_NUMRESOURCES] = { 100, 1, 0, 0 };
    struct user_meta *meta = meta_of("alice");
    struct counters before, after;

    set_limits("user.alice", 1000, 100);
    ck_assert_int_eq(counters_read(meta, NULL, &before), 0);
    struct txn *txn = st_begin("alice");
    quota_set_silent(txn);
    ck_assert_int_eq(quota_update_useds(txn, "user.alice", diff, "user.alice"), 0);
    st_commit(txn);
    ck_assert_int_eq(counters_read(meta, NULL, &after), 0);
    ck_assert_uint_eq(after.modseq[CTR_HIGHEST], before.modseq[CTR_HIGHEST]);
    user_meta_free(&meta);
}
END_TEST

static void assert_root(const char *name, const char *want)
{
    char *root;

    ck_assert_int_eq(quota_findroot(name, NULL, &root), 0);
    ck_assert_msg(!strcmpnull(root, want), "root of %s: %s, not %s", name, root ? root : "none",
                  want ? want : "none");
    free(root);
}

START_TEST(quota_roots)
{
    assert_root("user.alice.x", NULL);
    set_limits("user.alice", 1, 1);
    set_limits("user.alice.q", 1, 1);
    set_limits("shared", 1, 1);
    assert_root("user.alice", "user.alice");
    assert_root("user.alice.x.y", "user.alice");
    assert_root("user.alice.q", "user.alice.q");
    assert_root("user.alice.q.x", "user.alice.q");
    assert_root("user.alice.qx", "user.alice");
    assert_root("user.alice2", NULL);
    assert_root("shared.a.b", "shared");
    assert_root("DELETED.user.alice.x.6B02437F", NULL);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(quota_deleteroot(txn, "user.alice.q"), 0);
    char *root;
    ck_assert_int_eq(quota_findroot("user.alice.q.x", txn, &root), 0);
    ck_assert_str_eq(root, "user.alice");
    free(root);
    st_commit(txn);
    assert_root("user.alice.q.x", "user.alice");
}
END_TEST

START_TEST(quota_checks)
{
    struct quota q;

    quota_init(&q, "user.alice");
    q.useds[QUOTA_STORAGE] = 1024;
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, INT64_MAX - 1024), 0); /* unlimited */
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, INT64_MAX - 1023), IMAP_QUOTA_EXCEEDED); /* but not to be counted */
    q.limits[QUOTA_STORAGE] = 1;
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, 0), 0);
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, 1), IMAP_QUOTA_EXCEEDED);
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, -1), 0);
    q.useds[QUOTA_STORAGE] = 1025;
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, 0), IMAP_QUOTA_EXCEEDED);
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, INT64_MAX), IMAP_QUOTA_EXCEEDED);
    q.limits[QUOTA_MESSAGE] = 0; /* a real limit */
    ck_assert_int_eq(quota_check(&q, QUOTA_MESSAGE, 1), IMAP_QUOTA_EXCEEDED);
    q.limits[QUOTA_STORAGE] = INT64_MAX;
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, 1), 0);
    q.useds[QUOTA_STORAGE] = INT64_MAX;
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, 0), 0);
    ck_assert_int_eq(quota_check(&q, QUOTA_STORAGE, 1), IMAP_QUOTA_EXCEEDED);
    quota_free(&q);
}
END_TEST

START_TEST(quota_bounds)
{
    const int64_t kb = INT64_MAX / 1024;
    const struct {
        int64_t used, limit; /* messages */
        int64_t percent;
    } rows[] = {
        { 0, 1, 0 }, { 29, 100, 29 }, { 57, 100, 57 }, { 1, 3, 33 }, { 7, 3, 233 }, { -5, 10, 0 },
        { INT32_MAX, (int64_t)INT32_MAX + 1, 99 }, { 1LL << 32, 1LL << 32, 100 }, { 29LL << 56, 100LL << 56, 29 },
        { (29LL << 56) - 1, 100LL << 56, 28 }, { INT64_MAX - 1, INT64_MAX, 99 }, { INT64_MAX, INT64_MAX, 100 },
        { INT64_MAX, INT64_MAX / 2, 200 }, { INT64_MAX, 100, INT64_MAX }, { INT64_MAX, 1, INT64_MAX },
    };
    struct quota q;

    quota_init(&q, "user.alice");
    ck_assert_int_eq(quota_bound(&q, QUOTA_STORAGE), INT64_MAX);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) q.limits[res] = kb;
    ck_assert_int_eq(quota_bound(&q, QUOTA_STORAGE), kb * 1024);
    ck_assert_int_eq(quota_bound(&q, QUOTA_MESSAGE), kb);
    q.limits[QUOTA_STORAGE] = kb + 1;
    ck_assert_int_eq(quota_bound(&q, QUOTA_STORAGE), INT64_MAX);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        q.useds[QUOTA_MESSAGE] = rows[i].used;
        q.limits[QUOTA_MESSAGE] = rows[i].limit;
        ck_assert_msg(quota_percent(&q, QUOTA_MESSAGE) == rows[i].percent, "row %zu: %lld", i,
                      (long long)quota_percent(&q, QUOTA_MESSAGE));
    }
    quota_free(&q);
}
END_TEST

/* A usage that can't be counted stays at the end of the range, instead of going to the other end. */
START_TEST(quota_beyond_all_bounds)
{
    struct quota q;

    set_limits("user.alice", INT64_MAX, INT64_MAX);
    add_usage("user.alice", INT64_MAX - 5, 1LL << 32);
    add_usage("user.alice", 5, 1LL << 33);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], INT64_MAX);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 3LL << 32);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], INT64_MAX);
    quota_free(&q);
    add_usage("user.alice", 1, 0);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], INT64_MAX);
    quota_free(&q);
    add_usage("user.alice", -INT64_MAX, 0);
    ck_assert_int_eq(quota_read("user.alice", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 0);
    quota_free(&q);
}
END_TEST

/* V6-2: one file a root. */
START_TEST(quotalegacy_files)
{
    struct buf bytes = BUF_INITIALIZER;

    st_teardown();
    st_setup("quota_db: quotalegacy\nconversations: no\n");
    st_create("user.alice");
    set_limits("user.alice", 100, 3);
    add_usage("user.alice", 4121, 2);
    char *path = test_path(st_dir, "conf/quota/a/user.alice");
    test_readfile(path, &bytes);
    ck_assert_str_eq(buf_cstring(&bytes), "%(S (4121 100) M (2 3) AS (0) NF (0) MODSEQ 2)\n");
    assert_root("user.alice.x", "user.alice");
    free(path);
    buf_free(&bytes);
}
END_TEST

/* Two processes add to one shared root: nothing is lost. */
static void add_many(void *rock)
{
    for (int i = 0; i < 40; i++) add_usage(rock, 10, 1);
}

START_TEST(quota_races)
{
    struct quota q;

    set_limits("shared", 1000, 1000);
    pid_t pid = fork();
    if (!pid) {
        add_many((void *)(uintptr_t) "shared");
        _exit(0);
    }
    add_many((void *)(uintptr_t) "shared");
    int status;
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(quota_read("shared", NULL, &q), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 80);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 800);
    quota_free(&q);
}
END_TEST

/* ---- deliver.db ---- */

START_TEST(duplicates)
{
    struct duplicate_key key = { "<dup1@example.com>", "cru940313aceipx4wl8qvavt",
                                 "Mon, 06 Feb 2023 10:00:00 +0000" };
    struct duplicate_key other = { "<dup2@example.com>", "cru940313aceipx4wl8qvavt", "" };
    static const char bytes[] =
        "<dup1@example.com>\0cru940313aceipx4wl8qvavt\0Mon, 06 Feb 2023 10:00:00 +0000";
    const char *val;
    size_t len, n;

    ck_assert_int_eq(duplicate_check(&key), 0);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(duplicate_mark(txn, &key, 1795310894, 2), 0);
    ck_assert_int_eq(duplicate_mark(txn, &other, 1795310000, 0), 0);
    ck_assert_int_eq(duplicate_check(&key), 1795310894); /* also before the commit */
    st_commit(txn);
    ck_assert_int_eq(duplicate_check(&key), 1795310894);

    char *path = test_path(st_dir, "conf/deliver.db");
    struct txn_db *db;
    ck_assert_int_eq(txn_db_open(NULL, "twoskip", path, TXN_DB_GLOBAL, &db), 0);
    ck_assert_int_eq(txn_db_fetch(db, bytes, sizeof(bytes), &val, &len), 0);
    test_assert_hex_eq(val, len, "2e45026b00000000 0200000000000000");
    txn_db_close(&db);
    free(path);
    ck_assert_int_eq(duplicate_prune(1795310500, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(duplicate_check(&other), 0);
    ck_assert_int_eq(duplicate_check(&key), 1795310894);
}
END_TEST

/* ---- annotations ---- */

static void write_annot(const char *mboxname, const char *entry, const char *userid,
                        const char *text)
{
    struct txn *txn = st_begin("alice");
    mbentry_t *mbentry = NULL;
    struct buf value = BUF_INITIALIZER;

    if (mboxname) ck_assert_int_eq(mboxlist_lookup(mboxname, &mbentry, txn), 0);
    if (text) buf_init_ro_cstr(&value, text);
    ck_assert_int_eq(annotatemore_write(txn, mbentry, entry, userid, &value, 0), 0);
    st_commit(txn);
    mbentry_free(&mbentry);
}

static int text_cb(const char *mboxname, uint32_t uid, const struct annotation *ann, void *rock)
{
    struct buf *out = rock;

    buf_printf(out, "%s|%u|%s|%s=%.*s;", mboxname, uid, ann->entry, ann->userid,
               (int)ann->value.len, ann->value.s);
    return 0;
}

START_TEST(mailbox_annotations)
{
    struct buf got = BUF_INITIALIZER;
    mbentry_t *before, *after;

    ck_assert_int_eq(mboxlist_lookup("user.alice", &before, NULL), 0);
    write_annot("user.alice", "/comment", "alice", "alice private");
    write_annot("user.alice", "/comment", "bob", "bob private");
    write_annot("user.alice", "/comment", "", "shared c");
    write_annot(NULL, "/comment", "", "srv comment");
    ck_assert_int_eq(mboxlist_lookup("user.alice", &after, NULL), 0);
    ck_assert_uint_gt(after->foldermodseq, before->foldermodseq);
    struct mailbox *mailbox = st_read("user.alice");
    ck_assert_uint_eq(mailbox_index_header(mailbox)->highestmodseq, after->foldermodseq);
    mailbox_close(&mailbox);
    annotatemore_foreach(after, NULL, NULL, NULL, text_cb, &got);
    ck_assert_str_eq(buf_cstring(&got),
                     "user.alice|0|/comment|=shared c;user.alice|0|/comment|alice=alice private;"
                     "user.alice|0|/comment|bob=bob private;");
    buf_reset(&got);
    annotatemore_foreach(NULL, NULL, NULL, NULL, text_cb, &got);
    ck_assert_str_eq(buf_cstring(&got), "|0|/comment|=srv comment;");
    ck_assert_int_eq(annotatemore_lookup(after, "/comment", "alice", NULL, &got), 0);
    ck_assert_str_eq(buf_cstring(&got), "alice private");
    /* the owner is written as a token */
    char *path = test_path(st_dir, "conf/annotations.db");
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db;
    buf_printf(&key, "%s%c/comment%c[.OwNeR.]%c", after->uniqueid, 0, 0, 0);
    ck_assert_int_eq(txn_db_open(NULL, "twoskip", path, TXN_DB_GLOBAL, &db), 0);
    const char *val;
    size_t len;
    ck_assert_int_eq(txn_db_fetch(db, key.s, key.len, &val, &len), 0);
    ck_assert_bytes_eq(val, 8 + 13 + 1, "\0\0\0\x0d\0\0\0\0alice private", 22);
    txn_db_close(&db);
    write_annot("user.alice", "/comment", "alice", NULL);
    ck_assert_int_eq(annotatemore_lookup(after, "/comment", "alice", NULL, &got), 0);
    ck_assert_uint_eq(buf_len(&got), 0);
    free(path);
    buf_free(&key);
    buf_free(&got);
    mbentry_free(&before);
    mbentry_free(&after);
}
END_TEST

static void write_msg(uint32_t uid, const char *userid, const char *text)
{
    struct txn *txn = st_begin("alice");
    struct mailbox *mailbox = st_write(txn, "user.alice");
    struct index_record rec;
    struct buf value = BUF_INITIALIZER;

    buf_init_ro_cstr(&value, text);
    ck_assert_int_eq(mailbox_find_uid(mailbox, uid, &rec), 0);
    ck_assert_int_eq(annotate_msg_write(mailbox, &rec, "/comment", userid, &value, 0), 0);
    ck_assert_int_eq(mailbox_rewrite_record(mailbox, &rec, 0), 0);
    st_commit(txn);
}

START_TEST(message_annotations)
{
    struct buf got = BUF_INITIALIZER;

    st_append("user.alice", 1);
    st_append("user.alice", 2);
    write_msg(1, "", "hello");
    write_msg(1, "alice", "mine");
    write_msg(2, "", "other");
    struct mailbox *mailbox = st_read("user.alice");
    ck_assert_uint_eq(mailbox_index_header(mailbox)->quota_annot_used, 14);
    annotate_msg_foreach(mailbox, 1, text_cb, &got);
    ck_assert_str_eq(buf_cstring(&got),
                     "user.alice|1|/comment|=hello;user.alice|1|/comment|alice=mine;");
    mailbox_close(&mailbox);
    st_check("user.alice");
    write_msg(1, "", ""); /* a tombstone: gone for everybody but replicas */
    mailbox = st_read("user.alice");
    ck_assert_uint_eq(mailbox_index_header(mailbox)->quota_annot_used, 9);
    ck_assert_int_eq(annotate_msg_lookup(mailbox, 1, "/comment", "", &got), 0);
    ck_assert_uint_eq(buf_len(&got), 0);
    mailbox_close(&mailbox);
    st_check("user.alice");
    buf_free(&got);
}
END_TEST

START_TEST(message_annotations_copied)
{
    struct buf got = BUF_INITIALIZER;
    uint32_t uid = 1, newuid;

    st_create("user.alice.x");
    st_append("user.alice", 1);
    write_msg(1, "", "hello");
    write_msg(1, "alice", "mine");
    write_msg(1, "bob", "his");
    struct txn *txn = st_begin("alice");
    struct mailbox *src = st_write(txn, "user.alice"), *dst = st_write(txn, "user.alice.x");
    ck_assert_int_eq(append_copy(src, dst, &uid, 1, "alice", 0xffffffff, &newuid), 0);
    st_commit(txn);
    struct mailbox *mailbox = st_read("user.alice.x");
    annotate_msg_foreach(mailbox, 0, text_cb, &got);
    ck_assert_str_eq(buf_cstring(&got),
                     "user.alice.x|1|/comment|=hello;user.alice.x|1|/comment|alice=mine;");
    mailbox_close(&mailbox);
    st_check("user.alice.x");
    buf_free(&got);
}
END_TEST

Suite *user_stores_suite(void);
Suite *user_stores_suite(void)
{
    const TTest *const tests[] = {
        counters_in_a_transaction,
        counters_uidvalidity,
        counters_damaged,
        counters_without_conversations,
        subscriptions,
        subscriptions_of_version_1,
        seen_state,
        an_unreadable_seen_record_is_kept,
        quota_folds,
        quota_underflow_and_lost,
        quota_silent,
        quota_roots,
        quota_checks,
        quota_bounds,
        quota_beyond_all_bounds,
        quotalegacy_files,
        quota_races,
        duplicates,
        mailbox_annotations,
        message_annotations,
        message_annotations_copied,
    };
    Suite *s = suite_create("user_stores");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, st_teardown);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
