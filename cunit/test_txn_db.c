/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_txn_db -- databases in transactions: the overlay against a model, commit, crash and redo
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "cyrusdb_backend.h"
#include "diskio_trace.h"
#include "imap_err.h"
#include "journal.h"
#include "kvmap.h"
#include "libconfig.h"
#include "namelock.h"
#include "testutil.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"

static char *dir, *user_db, *global_db;

static void setup(void)
{
    dir = test_mkdtemp();
    char *conf = xasprintf("configdirectory: %s\n", dir);
    config_read_string(conf);
    free(conf);
    user_db = test_path(dir, "user/a/alice.seen");
    global_db = test_path(dir, "mailboxes.db");
}

static void teardown(void)
{
    diskio_hooks_install(NULL);
    txn_shutdown();
    cyrusdb_done();
    config_reset();
    free(user_db);
    free(global_db);
    test_rmdir(dir);
}

static struct txn *begin(void)
{
    struct txn *txn;
    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(txn_lock_user(txn, "alice"), 0);
    return txn;
}

static struct txn_db *open_in(struct txn *txn, const char *path, unsigned flags)
{
    struct txn_db *db;
    ck_assert_int_eq(txn_db_open(txn, "twoskip", path, flags, &db), 0);
    return db;
}

static void put(struct txn_db *db, const char *key, const char *value)
{
    ck_assert_int_eq(txn_db_store(db, key, strlen(key), value, strlen(value)), 0);
}

static void commit(struct txn *txn)
{
    ck_assert_int_eq(txn_commit(&txn, NULL), 0);
    ck_assert_ptr_null(txn);
}

/* NULL: it is not there. */
static void assert_value(struct txn_db *db, const char *key, const char *value)
{
    const char *data;
    size_t len;
    int r = txn_db_fetch(db, key, strlen(key), &data, &len);
    ck_assert_int_eq(r, value ? 0 : IMAP_NOTFOUND);
    if (value) ck_assert_bytes_eq(data, len, value, strlen(value));
}

static void assert_stored(const char *path, const char *key, const char *value)
{
    struct txn_db *db = open_in(NULL, path, 0);
    assert_value(db, key, value);
    txn_db_close(&db);
    ck_assert_ptr_null(db);
}

static int child_status(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* ---- one transaction ---- */

START_TEST(test_commit_and_abort)
{
    struct txn *txn = begin();
    struct txn_db *db = open_in(txn, user_db, TXN_DB_CREATE);

    ck_assert_ptr_eq(open_in(txn, user_db, 0), db);
    assert_value(db, "k", NULL);
    put(db, "k", "v");
    put(db, "empty", "");
    assert_value(db, "k", "v");
    assert_value(db, "empty", "");
    ck_assert_int_eq(test_exists(user_db), 0);
    commit(txn);
    ck_assert_int_eq(test_exists(user_db), 1);
    assert_stored(user_db, "k", "v");
    assert_stored(user_db, "empty", "");

    txn = begin();
    db = open_in(txn, user_db, 0);
    put(db, "k", "w");
    ck_assert_int_eq(txn_db_delete(db, "empty", 5), 0);
    ck_assert_int_eq(txn_db_delete(db, "nothing", 7), 0);
    assert_value(db, "empty", NULL);
    txn_abort(&txn);
    assert_stored(user_db, "k", "v");
    assert_stored(user_db, "empty", "");

    txn = begin();
    db = open_in(txn, user_db, 0);
    put(db, "k", "w");
    ck_assert_int_eq(txn_db_delete(db, "empty", 5), 0);
    commit(txn);
    assert_stored(user_db, "k", "w");
    assert_stored(user_db, "empty", NULL);
}
END_TEST

START_TEST(test_missing_file)
{
    struct txn *txn = begin();
    struct txn_db *db = open_in(txn, user_db, 0);

    assert_value(db, "k", NULL);
    ck_assert_int_eq(txn_db_store(db, "k", 1, "v", 1), IMAP_NOTFOUND);
    ck_assert_int_eq(txn_db_delete(db, "k", 1), 0);
    commit(txn);
    ck_assert_int_eq(test_exists(user_db), 0);

    /* A reader finds it as soon as somebody makes it. */
    struct txn_db *reader = open_in(NULL, user_db, 0);
    assert_value(reader, "k", NULL);
    ck_assert_int_eq(txn_db_store(reader, "k", 1, "v", 1), IMAP_INTERNAL);
    txn = begin();
    put(open_in(txn, user_db, TXN_DB_CREATE), "k", "v");
    commit(txn);
    assert_value(reader, "k", "v");
    ck_assert_int_eq(unlink(user_db), 0);
    assert_value(reader, "k", NULL);
    txn_db_close(&reader);

    test_writefile(user_db, "not a database at all, 32 bytes and more", 40);
    ck_assert_int_eq(txn_db_open(NULL, "twoskip", user_db, 0, &reader), IMAP_MAILBOX_BADFORMAT);
}
END_TEST

START_TEST(test_global)
{
    struct txn *txn = begin();
    struct txn_db *db = open_in(txn, global_db, TXN_DB_CREATE | TXN_DB_GLOBAL);
    uint64_t lsn;

    ck_assert(!txn_db_is_locked(db));
    put(db, "user.alice", "entry");
    ck_assert_int_eq(txn_commit(&txn, &lsn), 0);
    ck_assert_uint_ne(lsn, 0);
    ck_assert_uint_eq(namelock_count(), 0);

    struct txn_db *reader = open_in(NULL, global_db, TXN_DB_GLOBAL);
    assert_value(reader, "user.alice", "entry");
    ck_assert_uint_ge(txn_db_seen_lsn(reader), lsn);
    ck_assert_int_eq(txn_wait(txn_db_seen_lsn(reader)), 0);
    txn_db_close(&reader);
}
END_TEST

/* ---- the overlay ---- */

struct walk {
    const struct kvmap_node *node;
    const char *prefix;
    unsigned n;
};

static bool starts_with(const struct kvmap_node *node, const char *prefix)
{
    return node->keylen >= strlen(prefix) && !memcmp(node->key, prefix, strlen(prefix));
}

static int walk_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct walk *walk = rock;
    while (walk->node && !starts_with(walk->node, walk->prefix)) walk->node = walk->node->next[0];
    ck_assert_ptr_nonnull(walk->node);
    ck_assert_bytes_eq(key, keylen, walk->node->key, walk->node->keylen);
    ck_assert_bytes_eq(data, datalen, walk->node->data, walk->node->datalen);
    walk->node = walk->node->next[0];
    return 0;
}

static void assert_model(struct txn_db *db, const struct kvmap *model)
{
    static const char *const prefixes[] = { "", "a", "b1", "c22", "x" };
    struct walk walk;

    for (size_t i = 0; i < array_size(prefixes); i++) {
        walk = (struct walk){ .node = kvmap_first(model), .prefix = prefixes[i] };
        ck_assert_int_eq(txn_db_foreach(db, prefixes[i], strlen(prefixes[i]), walk_cb, &walk), 0);
        while (walk.node && !starts_with(walk.node, walk.prefix)) walk.node = walk.node->next[0];
        ck_assert_ptr_null(walk.node);
    }
    const char *key = "", *data;
    size_t keylen = 0, datalen;
    char at[64];
    const struct kvmap_node *node = kvmap_first(model);
    while (!txn_db_fetchnext(db, key, keylen, &key, &keylen, &data, &datalen)) {
        ck_assert_ptr_nonnull(node);
        ck_assert_bytes_eq(key, keylen, node->key, node->keylen);
        ck_assert_bytes_eq(data, datalen, node->data, node->datalen);
        memcpy(at, key, keylen);
        key = at;
        node = node->next[0];
    }
    ck_assert_ptr_null(node);
}

static void change_both(struct txn_db *db, struct kvmap *model)
{
    char key[32], value[64];
    snprintf(key, sizeof(key), "%c%u", "abc"[random() % 3], (unsigned)random() % 40);
    snprintf(value, sizeof(value), "%.*s", (int)(random() % 50), "this is some text of a random length, at most fifty");
    if (random() % 3) {
        put(db, key, value);
        kvmap_set(model, key, strlen(key), value, strlen(value));
    }
    else {
        ck_assert_int_eq(txn_db_delete(db, key, strlen(key)), 0);
        kvmap_remove(model, key, strlen(key));
    }
}

START_TEST(test_overlay_model)
{
    struct kvmap model, staged;
    srandom(99);
    kvmap_init(&model, cyrusdb_cmp_raw, false);
    for (int i = 0; i < 120; i++) {
        struct txn *txn = begin();
        struct txn_db *db = open_in(txn, user_db, TXN_DB_CREATE);
        kvmap_init(&staged, cyrusdb_cmp_raw, false);
        for (const struct kvmap_node *n = kvmap_first(&model); n; n = n->next[0])
            kvmap_set(&staged, n->key, n->keylen, n->data, n->datalen);
        assert_model(db, &staged);
        for (long n = random() % 12; n; n--) change_both(db, &staged);
        assert_model(db, &staged);
        if (random() % 3) {
            commit(txn);
            kvmap_fini(&model);
            model = staged;
        }
        else {
            txn_abort(&txn);
            kvmap_fini(&staged);
        }
    }
    struct txn_db *reader = open_in(NULL, user_db, 0);
    assert_model(reader, &model);
    txn_db_close(&reader);
    kvmap_fini(&model);
}
END_TEST

struct ahead {
    struct txn_db *db;
    unsigned seen;
};

static int add_ahead(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct ahead *ahead = rock;
    (void)data, (void)datalen;
    ck_assert_uint_eq(keylen, 1);
    ck_assert_int_eq(key[0], 'a' + (int)ahead->seen);
    ahead->seen++;
    if (key[0] == 'j') return 77;
    char next = (char)(key[0] + 1);
    ck_assert_int_eq(txn_db_store(ahead->db, &next, 1, "x", 1), 0);
    ck_assert_int_eq(txn_db_delete(ahead->db, key, 1), 0);
    return 0;
}

/* What the callback stages ahead of its place is seen; its return ends the walk. */
START_TEST(test_foreach_sees_what_it_stages)
{
    struct txn *txn = begin();
    put(open_in(txn, user_db, TXN_DB_CREATE), "a", "1");
    put(open_in(txn, user_db, TXN_DB_CREATE), "e", "1");
    commit(txn);
    txn = begin();
    struct ahead ahead = { .db = open_in(txn, user_db, 0) };
    ck_assert_int_eq(txn_db_foreach(ahead.db, "", 0, add_ahead, &ahead), 77);
    ck_assert_uint_eq(ahead.seen, 10);
    assert_value(ahead.db, "e", NULL);
    assert_value(ahead.db, "j", "x");
    txn_abort(&txn);
}
END_TEST

/* ---- other backends ---- */

START_TEST(test_skiplist_becomes_twoskip)
{
    struct db *raw;
    struct txn_db *db;

    ck_assert_int_eq(cyrusdb_open("skiplist", global_db, CYRUSDB_CREATE, &raw), 0);
    ck_assert_int_eq(cyrusdb_store(raw, "old", 3, "1", 1), 0);
    cyrusdb_close(raw);
    ck_assert_str_eq(cyrusdb_detect(global_db), "skiplist");

    struct txn *txn = begin();
    ck_assert_int_eq(txn_db_open(txn, "skiplist", global_db, 0, &db), 0);
    assert_value(db, "old", "1");
    commit(txn);
    ck_assert_str_eq(cyrusdb_detect(global_db), "skiplist");

    struct txn_db *reader = open_in(NULL, global_db, 0);
    txn = begin();
    ck_assert_int_eq(txn_db_open(txn, "skiplist", global_db, TXN_DB_CONVERT, &db), 0);
    put(db, "new", "2");
    assert_value(db, "old", "1");
    commit(txn);
    ck_assert_str_eq(cyrusdb_detect(global_db), "twoskip");
    assert_value(reader, "old", "1");
    assert_value(reader, "new", "2");
    txn_db_close(&reader);
}
END_TEST

START_TEST(test_flat)
{
    struct buf bytes = BUF_INITIALIZER;
    struct txn_db *db;
    struct txn *txn = begin();

    ck_assert_int_eq(txn_db_open(txn, "flat", user_db, TXN_DB_CREATE, &db), 0);
    put(db, "user.b", "");
    put(db, "user b", "x");
    commit(txn);
    test_readfile(user_db, &bytes);
    ck_assert_str_eq(buf_cstring(&bytes), "user.b\t\nuser b\tx\n");
    buf_free(&bytes);
}
END_TEST

static char *quota_path(void)
{
    return test_path(dir, "quotas.db");
}

struct counter {
    struct txn_db *db;
    const char *key;
};

static int count_hook(struct txn *txn, void *rock)
{
    struct counter *c = rock;
    const char *data;
    size_t len;
    char text[32] = "";

    (void)txn;
    int r = txn_db_lock_key(c->db, c->key, strlen(c->key));
    if (r) return r;
    r = txn_db_fetch(c->db, c->key, strlen(c->key), &data, &len);
    if (!r) memcpy(text, data, cyr_min(len, sizeof(text) - 1));
    else if (r != IMAP_NOTFOUND) return r;
    snprintf(text, sizeof(text), "%d", (int)strtol(text, NULL, 10) + 1);
    return txn_db_store(c->db, c->key, strlen(c->key), text, strlen(text));
}

static int count_once(const char *backend, const char *path, const char *user, const char *key)
{
    struct counter c = { .key = key };
    struct txn *txn;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, user);
    if (!r) r = txn_db_open(txn, backend, path, TXN_DB_CREATE | TXN_DB_GLOBAL | TXN_DB_RMW, &c.db);
    if (!r) txn_on_commit(txn, TXN_ORDER_QUOTA, count_hook, &c);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* A hook that changes a global database whose lock the commit could not know of is a mistake, and told. */
START_TEST(test_late_global_change)
{
    struct counter c = { .key = "user.alice" };
    struct txn *txn = begin();
    uint64_t lsn;

    c.db = open_in(txn, global_db, TXN_DB_CREATE | TXN_DB_GLOBAL);
    txn_on_commit(txn, TXN_ORDER_QUOTA, count_hook, &c);
    ck_assert_int_eq(txn_commit(&txn, &lsn), IMAP_INTERNAL);
    ck_assert_uint_eq(lsn, 0);
    txn_abort(&txn);
}
END_TEST

struct order_seen {
    int order;
    unsigned n;
    bool late; /* registers one more when it runs */
};

static int last_order;
static unsigned last_n, hooks_run;

static int order_hook(struct txn *txn, void *rock)
{
    static struct order_seen more;
    struct order_seen *o = rock;

    ck_assert(o->order > last_order || (o->order == last_order && o->n > last_n) || !hooks_run);
    last_order = o->order;
    last_n = o->n;
    hooks_run++;
    if (o->late) {
        more = (struct order_seen){ .order = o->order, .n = 100000 };
        txn_on_commit(txn, more.order, order_hook, &more);
    }
    return 0;
}

/* Smaller orders first, equal ones as they were registered, also those that come while they run. */
START_TEST(test_order_of_hooks)
{
    static const int orders[] = { TXN_ORDER_MAILBOX, TXN_ORDER_CONVERSATIONS, TXN_ORDER_SEEN, TXN_ORDER_ANNOTATIONS, TXN_ORDER_MAILBOX };
    static struct order_seen seen[5000];
    struct txn *txn = begin();

    for (unsigned i = 0; i < 5000; i++) {
        seen[i] = (struct order_seen){ .order = orders[i % 5], .n = i, .late = i == 7 };
        txn_on_commit(txn, seen[i].order, order_hook, &seen[i]);
    }
    ck_assert_int_eq(txn_commit(&txn, NULL), 0);
    ck_assert_uint_eq(hooks_run, 5001);
}
END_TEST

/* Processes of several users count in one key: none is lost. */
START_TEST(test_counting_processes)
{
    static const char *const backends[] = { "twoskip", "quotalegacy", "flat" };
    const char *backend = backends[_i];
    char *path = quota_path();
    pid_t pid[4];

    ck_assert_int_eq(count_once(backend, path, "alice", "user.alice"), 0);
    for (int p = 0; p < 4; p++) {
        pid[p] = fork();
        if (pid[p]) continue;
        char user[16];
        snprintf(user, sizeof(user), "u%d", p);
        for (int i = 0; i < 25; i++) {
            if (count_once(backend, path, user, "user.alice")) _exit(1);
        }
        _exit(0);
    }
    for (int p = 0; p < 4; p++) ck_assert_int_eq(child_status(pid[p]), 0);
    struct txn_db *db;
    ck_assert_int_eq(txn_db_open(NULL, backend, path, TXN_DB_GLOBAL, &db), 0);
    assert_value(db, "user.alice", "101");
    txn_db_close(&db);
    free(path);
}
END_TEST

/* ---- processes that die ---- */

static int write_both(const char *value)
{
    struct txn_db *mine, *all;
    struct txn *txn;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, "alice");
    if (!r) r = txn_db_open(txn, "twoskip", user_db, TXN_DB_CREATE, &mine);
    if (!r) r = txn_db_open(txn, "twoskip", global_db, TXN_DB_CREATE | TXN_DB_GLOBAL, &all);
    if (!r) r = txn_db_store(mine, "k", 1, value, strlen(value));
    if (!r) r = txn_db_store(all, "k", 1, value, strlen(value));
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static void fetch_under_locks(char mine[32], char all[32])
{
    const char *data;
    size_t len;
    struct txn *txn = begin();
    struct txn_db *db = open_in(txn, user_db, 0);

    mine[0] = all[0] = 0;
    if (!txn_db_fetch(db, "k", 1, &data, &len)) snprintf(mine, 32, "%.*s", (int)len, data);
    db = open_in(txn, global_db, TXN_DB_GLOBAL);
    ck_assert_int_eq(txn_lock_name(txn, "$DB$mailboxes.db", true), 0);
    if (!txn_db_fetch(db, "k", 1, &data, &len)) snprintf(all, 32, "%.*s", (int)len, data);
    txn_abort(&txn);
}

/*
 * The committer dies at its n-th change of the disk, for every n. Whoever takes the locks next sees both
 * databases changed or neither; and both for good, when the machine restarts.
 */
START_TEST(test_dead_committer)
{
    char value[16], mine[32], all[32], last[32] = "0";
    int status = 137;

    ck_assert_int_eq(write_both("0"), 0);
    for (int n = 1; status == 137; n++) {
        snprintf(value, sizeof(value), "%d", n);
        pid_t pid = fork();
        if (!pid) {
            char kill[32];
            snprintf(kill, sizeof(kill), "change:%d", n);
            struct diskio_hooks hooks = { .kill = kill };
            if (diskio_hooks_install(&hooks)) _exit(98);
            _exit(write_both(value) ? 97 : 0);
        }
        status = child_status(pid);
        ck_assert(status == 137 || !status);
        if (_i) {
            struct journal *j;
            char *control = test_path(dir, "journal/control");
            struct journal_recovery recovery = { 0 };
            ck_assert_int_eq(txn_journal(&j), 0);
            ck_assert_int_eq(unlink(control), 0);
            ck_assert_int_eq(txn_recover(&recovery), 0);
            free(control);
        }
        fetch_under_locks(mine, all);
        ck_assert_str_eq(mine, all);
        ck_assert(!strcmp(mine, value) || !strcmp(mine, last));
        if (!status) ck_assert_str_eq(mine, value);
        snprintf(last, sizeof(last), "%s", mine);
        ck_assert_int_lt(n, 200);
    }
    ck_assert_str_ne(last, "0");
}
END_TEST

/* ---- after a power cut ---- */

static void reboot_machine(struct journal_recovery *recovery)
{
    char *control = test_path(dir, "journal/control");
    cyrusdb_done();
    ck_assert_int_eq(unlink(control), 0);
    ck_assert_int_eq(txn_recover(recovery), 0);
    free(control);
}

static void assert_both(const char *value)
{
    assert_stored(user_db, "k", value);
    assert_stored(global_db, "k", value);
}

/* Only some bytes behind the mark are on disk: the file is cut back, and all is set again. */
START_TEST(test_recover_to_mark)
{
    struct buf before = BUF_INITIALIZER, after = BUF_INITIALIZER;
    struct journal_recovery recovery = { 0 };
    const char *const paths[] = { user_db, global_db };
    size_t durable[2];

    ck_assert_int_eq(write_both("1"), 0);
    ck_assert_int_eq(txn_checkpoint(), 0);
    for (size_t i = 0; i < 2; i++) {
        /* The level of a record, and so its size, is drawn at random. */
        test_readfile(paths[i], &before);
        durable[i] = before.len;
    }
    ck_assert_int_eq(write_both("2"), 0);
    ck_assert_int_eq(write_both("3"), 0);
    for (size_t i = 0; i < 2; i++) {
        test_readfile(paths[i], &after);
        ck_assert_uint_gt(after.len, durable[i]);
        /* The header and the heads are new, the records are lost. */
        memset(after.s + durable[i], 0, after.len - durable[i]);
        test_writefile(paths[i], after.s, after.len);
    }
    reboot_machine(&recovery);
    ck_assert_uint_eq(recovery.databases, 2);
    assert_both("3");
    buf_free(&before);
    buf_free(&after);
}
END_TEST

/* Made in this window: whatever is there is made anew. */
START_TEST(test_recover_absent)
{
    struct journal_recovery recovery = { 0 };

    ck_assert_int_eq(write_both("1"), 0);
    ck_assert_int_eq(write_both("2"), 0);
    test_writefile(user_db, "rubbish", 7);
    test_writefile(global_db, "", 0);
    reboot_machine(&recovery);
    assert_both("2");
    ck_assert_int_eq(unlink(global_db), 0);
    ck_assert_int_eq(write_both("3"), 0);
    assert_both("3");
}
END_TEST

/* A repack in the window, before and after the name reached the disk. */
START_TEST(test_recover_repacked)
{
    struct buf old = BUF_INITIALIZER;
    struct journal_recovery recovery = { 0 };
    struct db *raw;

    ck_assert_int_eq(write_both("1"), 0);
    ck_assert_int_eq(txn_checkpoint(), 0);
    ck_assert_int_eq(write_both("2"), 0);
    test_readfile(user_db, &old);
    ck_assert_int_eq(cyrusdb_open("twoskip", user_db, 0, &raw), 0);
    ck_assert_int_eq(cyrusdb_repack(raw), 0);
    cyrusdb_close(raw);
    ck_assert_int_eq(write_both("3"), 0);
    if (_i) test_writefile(user_db, old.s, old.len);
    reboot_machine(&recovery);
    assert_both("3");
    buf_free(&old);
}
END_TEST

START_TEST(test_recover_quotalegacy)
{
    struct journal_recovery recovery = { 0 };
    char *path = quota_path(), *file = test_path(dir, "quota/a/user.alice");
    struct txn_db *db;

    ck_assert_int_eq(count_once("quotalegacy", path, "alice", "user.alice"), 0);
    ck_assert_int_eq(count_once("quotalegacy", path, "alice", "user.alice"), 0);
    test_writefile(file, "", 0); /* renamed, but its bytes were lost */
    reboot_machine(&recovery);
    ck_assert_int_eq(txn_db_open(NULL, "quotalegacy", path, TXN_DB_GLOBAL, &db), 0);
    assert_value(db, "user.alice", "2");
    txn_db_close(&db);
    free(path);
    free(file);
}
END_TEST

/* ---- repack ---- */

START_TEST(test_repack_at_the_end)
{
    struct stat st;
    char value[200];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    for (int i = 0; i < 300; i++) {
        value[0] = (char)('a' + i % 26);
        ck_assert_int_eq(write_both(value), 0);
    }
    ck_assert_int_eq(stat(user_db, &st), 0);
    ck_assert_int_lt(st.st_size, 40000);
    ck_assert_int_eq(stat(global_db, &st), 0);
    ck_assert_int_lt(st.st_size, 40000);
    assert_both(value);
}
END_TEST

Suite *txn_db_suite(void)
{
    Suite *s = suite_create("txn_db");
    TCase *tc = tcase_create("txn_db");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_commit_and_abort);
    tcase_add_test(tc, test_missing_file);
    tcase_add_test(tc, test_global);
    tcase_add_test(tc, test_overlay_model);
    tcase_add_test(tc, test_foreach_sees_what_it_stages);
    tcase_add_test(tc, test_skiplist_becomes_twoskip);
    tcase_add_test(tc, test_flat);
    tcase_add_loop_test(tc, test_counting_processes, 0, 3);
    tcase_add_test(tc, test_late_global_change);
    tcase_add_test(tc, test_order_of_hooks);
    tcase_add_loop_test(tc, test_dead_committer, 0, 2);
    tcase_add_test(tc, test_recover_to_mark);
    tcase_add_test(tc, test_recover_absent);
    tcase_add_loop_test(tc, test_recover_repacked, 0, 2);
    tcase_add_test(tc, test_recover_quotalegacy);
    tcase_add_test(tc, test_repack_at_the_end);
    suite_add_tcase(s, tc);
    return s;
}
