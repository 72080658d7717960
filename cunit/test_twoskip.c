/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_twoskip -- the vectors of handbook 01 §2.14 byte for byte, and a model that it must agree with
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "kvmap.h"
#include "testutil.h"
#include "twoskip.h"
#include "util.h"
#include "xsyslog.h"
#include "xmalloc.h"

static char *dir, *path;
static struct db *db;

static void setup(void)
{
    dir = test_mkdtemp();
    path = test_path(dir, "t.db");
    db = NULL;
}

static void teardown(void)
{
    cyrusdb_close(db);
    cyrusdb_done();
    twoskip_script_levels(NULL, 0);
    free(path);
    test_rmdir(dir);
}

static void reopen(unsigned flags)
{
    cyrusdb_close(db);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, flags, &db), 0);
}

static void set(const char *key, const char *value)
{
    ck_assert_int_eq(cyrusdb_store(db, key, strlen(key), value, strlen(value)), 0);
}

static void del(const char *key)
{
    ck_assert_int_eq(cyrusdb_delete(db, key, strlen(key), false), 0);
}

/* The bytes at off are these. */
static void has_bytes(uint64_t off, const char *hex)
{
    struct buf file = BUF_INITIALIZER, want = BUF_INITIALIZER;
    test_readfile(path, &file);
    test_unhex(hex, &want);
    ck_assert_uint_le(off + want.len, file.len);
    ck_assert_bytes_eq(file.s + off, want.len, want.s, want.len);
    buf_free(&file);
    buf_free(&want);
}

static void has_size(uint64_t size)
{
    struct buf file = BUF_INITIALIZER;
    test_readfile(path, &file);
    ck_assert_uint_eq(file.len, size);
    buf_free(&file);
}

static void has(const char *key, const char *value)
{
    const char *data;
    size_t len;
    int r = cyrusdb_fetch(db, key, strlen(key), &data, &len);
    if (!value) {
        ck_assert_int_eq(r, CYRUSDB_NOTFOUND);
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_bytes_eq(data, len, value, strlen(value));
}

/* ---- vectors ---- */

static const uint8_t vector_levels[] = { 1, 2, 3, 2, 1 };

static void build_v24(void)
{
    twoskip_script_levels(vector_levels, sizeof(vector_levels));
    reopen(CYRUSDB_CREATE);
    set("apple", "red");
    set("banana", "yellow");
    set("apple", "green");
    del("banana");
}

static void build_v26(void)
{
    static const uint8_t levels[] = { 1, 2 };
    build_v24();
    ck_assert_int_eq(cyrusdb_begin(db, 0), 0);
    set("k1", "v1");
    set("k2", "a\tb");
    del("apple");
    ck_assert_int_eq(cyrusdb_commit(db), 0);
    twoskip_script_levels(levels, sizeof(levels));
    ck_assert_int_eq(cyrusdb_repack(db), 0);
}

START_TEST(test_v20_empty)
{
    reopen(CYRUSDB_CREATE);
    has_size(336);
    has_bytes(0, "a1028b0d 74776f73 6b697020 66696c65 00000000 00000001 00000000 00000001"
                 "00000000 00000000 00000000 00000150 00000000 00000150 00000000 a2943880"
                 "3d1f0000 00000000");
    has_bytes(0x148, "4339bc53 00000000");
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
}
END_TEST

START_TEST(test_v21_v22)
{
    twoskip_script_levels(vector_levels, sizeof(vector_levels));
    reopen(CYRUSDB_CREATE);
    set("apple", "red");
    has_size(400);
    has_bytes(0x20, "00000000 00000001 00000000 00000150 00000000 00000190 00000000 d45b53c5");
    has_bytes(0x48, "00000000 00000000 00000000 00000150");
    has_bytes(0x148, "bb3f2032 00000000 2b010005 00000003 00000000 00000000 00000000 00000000"
                     "92ce97b9 cb33b946 6170706c 65726564 24000000 00000000 00000000 00000150 5dc51c1a 00000000");
    set("banana", "yellow");
    has_size(480);
    has_bytes(0x20, "00000000 00000002 00000000 00000150 00000000 000001e0 00000000 569731e9");
    has_bytes(0x48, "00000000 00000000 00000000 00000150 00000000 00000190");
    has_bytes(0x148, "d86c6dd8 00000000 2b010005 00000003 00000000 00000000"
                     "00000000 00000190 7bda35bc cb33b946");
    has_bytes(0x190, "2b020006 00000006 00000000 00000000 00000000 00000000 00000000 00000000 eec6d909 082f2aaa"
                     "62616e61 6e617965 6c6c6f77 00000000 24000000 00000000 00000000 00000190 c6a1deaa 00000000");
}
END_TEST

START_TEST(test_v23_v24)
{
    build_v24();
    has_size(640);
    has_bytes(0x20, "00000000 00000001 00000000 00000150 00000000 00000280 00000000 322fb6e9");
    has_bytes(0x48, "00000000 000001f8 00000000 00000150");
    has_bytes(0x1e0, "20424c41 4e4b07a0 20424c41 4e4b07a0 20424c41 4e4b07a0 2b030005 00000005"
                     "00000000 00000250 00000000 00000190 00000000 00000000 00000000 00000000 ef639093 6d3ccd85"
                     "6170706c 65677265 656e0000 00000000 24000000 00000000 00000000 000001e0 96a4af96 00000000"
                     "2d000000 00000000 00000000 00000000 f2ce7271 00000000 24000000 00000000 00000000 00000250"
                     "76e84fd9 00000000");
    has("apple", "green");
    has("banana", NULL);
}
END_TEST

START_TEST(test_v25_one_transaction)
{
    build_v24();
    ck_assert_int_eq(cyrusdb_begin(db, 0), 0);
    set("k1", "v1");
    set("k2", "a\tb");
    del("apple");
    ck_assert_int_eq(cyrusdb_commit(db), 0);
    has_size(776);
    has_bytes(0x20, "00000000 00000002 00000000 00000150 00000000 00000308 00000000 03fb1cfc");
    has_bytes(0x48, "00000000 000001f8 00000000 000002d8 00000000 00000280 00000000 00000000");
    has_bytes(0x148, "220f1a53 00000000");
    has_bytes(0x200, "00000000 00000250 00000000 00000280 00000000 00000280 00000000 00000000 701404fe 6d3ccd85");
    has_bytes(0x280, "2b020002 00000002 00000000 000002b0 00000000 00000250 00000000 00000000 b2186b84 a78db288"
                     "6b317631 00000000 2b010002 00000003 00000000 00000000 00000000 00000250 a2742297 88c856f9"
                     "6b326109 62000000 2d000000 00000000 00000000 00000280 2d4093d3 00000000"
                     "24000000 00000000 00000000 00000280 f03b9d0d 00000000");
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
}
END_TEST

START_TEST(test_v26_repack)
{
    build_v26();
    has_size(448);
    has_bytes(0, "a1028b0d 74776f73 6b697020 66696c65 00000000 00000001 00000000 00000002"
                 "00000000 00000002 00000000 000001a8 00000000 000001c0 00000000 72c3ff7f"
                 "3d1f0000 00000000 00000000 00000000 00000000 00000150 00000000 00000178");
    has_bytes(0x148, "30539f6e 00000000 2b010002 00000002 00000000 00000000 00000000 00000178 3b4a12ed a78db288"
                     "6b317631 00000000 2b020002 00000003 00000000 00000000 00000000 00000000 00000000 00000000"
                     "e79e612d 88c856f9 6b326109 62000000 24000000 00000000 00000000 00000150 5dc51c1a 00000000");
    has("k2", "a\tb");
}
END_TEST

/* What cyr_dbtool damage leaves; the next open makes it V2-6 again. */
START_TEST(test_v27_crash)
{
    struct buf before = BUF_INITIALIZER, file = BUF_INITIALIZER, part = BUF_INITIALIZER;

    build_v26();
    test_readfile(path, &before);
    cyrusdb_close(db);
    db = NULL;
    cyrusdb_done();
    buf_copy(&file, &before);
    test_unhex("00000000 000001c0 00000001 05c4cfe9", &part);
    buf_replace(&file, 0x30, part.len, part.s, part.len);
    test_unhex("00000000 000001c0 00000000 00000150", &part);
    buf_replace(&file, 0x48, part.len, part.s, part.len);
    test_unhex("205380d9", &part);
    buf_replace(&file, 0x148, part.len, part.s, part.len);
    test_unhex("2b010007 00000007 00000000 00000000 00000000 00000150 7772d1be 670f7113 494e5641 4c494443"
               "52415348 4d450000", &part);
    buf_append(&file, &part);
    ck_assert_uint_eq(file.len, 496);
    test_writefile(path, file.s, file.len);

    reopen(0);
    test_readfile(path, &file);
    ck_assert_bytes_eq(file.s, file.len, before.s, before.len);
    buf_free(&before);
    buf_free(&file);
    buf_free(&part);
}
END_TEST

/* ---- a model ---- */

static unsigned rnd(unsigned n)
{
    return (unsigned)random() % n;
}

static void random_key(char key[32])
{
    snprintf(key, 32, "%c%u", "abcd."[rnd(5)], rnd(60));
}

static void change_both(struct kvmap *model)
{
    char key[32], value[2000];
    random_key(key);
    size_t len = rnd(10) ? rnd(40) : rnd(sizeof(value));
    memset(value, 'a' + (int)rnd(26), len);
    if (rnd(3)) {
        kvmap_set(model, key, strlen(key), value, len);
        ck_assert_int_eq(cyrusdb_store(db, key, strlen(key), value, len), 0);
    }
    else {
        int r = cyrusdb_delete(db, key, strlen(key), false);
        ck_assert_int_eq(r, kvmap_remove(model, key, strlen(key)) ? 0 : CYRUSDB_NOTFOUND);
    }
}

static int next_of_model(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    const struct kvmap_node **node = rock;
    ck_assert_ptr_nonnull(*node);
    ck_assert_bytes_eq(key, keylen, (*node)->key, (*node)->keylen);
    ck_assert_bytes_eq(data, datalen, (*node)->data, (*node)->datalen);
    *node = (*node)->next[0];
    return 0;
}

static void assert_model(const struct kvmap *model)
{
    const struct kvmap_node *node = kvmap_first(model);
    ck_assert_int_eq(cyrusdb_foreach(db, "", 0, next_of_model, &node), 0);
    ck_assert_ptr_null(node);
}

static int set_again(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return cyrusdb_store(rock, key, keylen, data, datalen);
}

static void copy_model(struct kvmap *to, const struct kvmap *from)
{
    kvmap_init(to, from->cmp, false);
    for (const struct kvmap_node *n = kvmap_first(from); n; n = n->next[0])
        kvmap_set(to, n->key, n->keylen, n->data, n->datalen);
}

static void run_model(unsigned openflags, kvmap_cmp *cmp)
{
    struct kvmap model, before;

    kvmap_init(&model, cmp, false);
    reopen(CYRUSDB_CREATE | openflags);
    for (int i = 0; i < 400; i++) {
        copy_model(&before, &model);
        ck_assert_int_eq(cyrusdb_begin(db, rnd(2) ? CYRUSDB_NOSYNC : 0), 0);
        for (unsigned n = rnd(8); n; n--) change_both(&model);
        assert_model(&model);
        if (rnd(4)) {
            ck_assert_int_eq(cyrusdb_commit(db), 0);
            kvmap_fini(&before);
        }
        else {
            cyrusdb_abort(db);
            kvmap_fini(&model);
            model = before;
        }
        assert_model(&model);
        ck_assert_int_eq(cyrusdb_consistent(db), 0);
        if (!rnd(40)) ck_assert_int_eq(cyrusdb_repack(db), 0);
        if (!rnd(10)) reopen(openflags);
    }
    /* Setting what is there writes nothing. */
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;
    test_readfile(path, &a);
    ck_assert_int_eq(cyrusdb_foreach(db, "", 0, set_again, db), 0);
    test_readfile(path, &b);
    ck_assert_bytes_eq(b.s, b.len, a.s, a.len);
    buf_free(&a);
    buf_free(&b);
    kvmap_fini(&model);
}

START_TEST(test_model)
{
    srandom(4711);
    run_model(0, cyrusdb_cmp_raw);
}
END_TEST

START_TEST(test_model_mboxsort)
{
    srandom(4712);
    run_model(CYRUSDB_MBOXSORT, cyrusdb_cmp_mbox);
}
END_TEST

/* ---- edges ---- */

START_TEST(test_long_and_odd)
{
    char *key = xmalloc(70000);
    const char *data;
    size_t len;

    memset(key, 'k', 70000);
    reopen(CYRUSDB_CREATE);
    ck_assert_int_eq(cyrusdb_store(db, key, 70000, "", 0), 0);
    ck_assert_int_eq(cyrusdb_store(db, "a\0b", 3, "\0\n", 2), 0);
    ck_assert_int_eq(cyrusdb_store(db, "a\0c", 3, key, 70000), 0);
    reopen(0);
    ck_assert_int_eq(cyrusdb_fetch(db, key, 70000, &data, &len), 0);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(cyrusdb_fetch(db, "a\0b", 3, &data, &len), 0);
    ck_assert_bytes_eq(data, len, "\0\n", 2);
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
    ck_assert_int_eq(cyrusdb_repack(db), 0);
    ck_assert_int_eq(cyrusdb_fetch(db, "a\0c", 3, &data, &len), 0);
    ck_assert_bytes_eq(data, len, key, 70000);
    ck_assert_int_eq(cyrusdb_create(db, "a\0c", 3, "x", 1), CYRUSDB_EXISTS);
    ck_assert_int_eq(cyrusdb_delete(db, "none", 4, false), CYRUSDB_NOTFOUND);
    ck_assert_int_eq(cyrusdb_delete(db, "none", 4, true), 0);
    free(key);
}
END_TEST

/* ---- records with damaged keys ---- */

#define DAMAGE_KEYS 120 /* every third of them is not stored */

struct damage_model {
    char value[DAMAGE_KEYS][24]; /* "": not there */
    bool damaged[DAMAGE_KEYS];   /* what is there can't be read */
    bool changed; /* new keys may have been put beside it: where it was can't be told any more */
};

static void damage_key(char *key, size_t len, unsigned n)
{
    snprintf(key, len, "key%03u", n);
}

/* One byte of a record, found by its key and value in the file, becomes another. */
static void damage_record(struct damage_model *m, unsigned n, unsigned at)
{
    struct buf file = BUF_INITIALIZER;
    char text[48];

    int len = snprintf(text, sizeof(text), "key%03u%s", n, m->value[n]);
    test_readfile(path, &file);
    char *p = memmem(file.s, file.len, text, (size_t)len);
    ck_assert_ptr_nonnull(p);
    p[at % (unsigned)len] ^= (char)(1 + at % 200);
    test_writefile(path, file.s, file.len);
    buf_free(&file);
    m->damaged[n] = true;
}

/* Each key: its value, or not there, or an error next to what is damaged; never anything else. */
static void check_damaged(const struct damage_model *m)
{
    char key[16];
    const char *data;
    size_t len;

    for (unsigned n = 0; n < DAMAGE_KEYS; n++) {
        damage_key(key, sizeof(key), n);
        int r = cyrusdb_fetch(db, key, strlen(key), &data, &len);
        if (m->damaged[n]) {
            ck_assert(r == CYRUSDB_BADFORMAT || (m->changed && r == CYRUSDB_NOTFOUND));
        }
        else if (*m->value[n]) {
            ck_assert_msg(!r, "%s: %d", key, r);
            ck_assert_bytes_eq(data, len, m->value[n], strlen(m->value[n]));
        }
        else {
            ck_assert(r == CYRUSDB_NOTFOUND || r == CYRUSDB_BADFORMAT);
            bool near = false; /* of the next stored key on either side, one is damaged */
            for (unsigned k = n; k-- > 0 && (!*m->value[k] || m->damaged[k]);) near |= m->damaged[k];
            for (unsigned k = n + 1; k < DAMAGE_KEYS && (!*m->value[k] || m->damaged[k]); k++) near |= m->damaged[k];
            if (!near && !m->changed) ck_assert_int_eq(r, CYRUSDB_NOTFOUND);
        }
    }
}

static int count_damaged_model(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    const struct damage_model *m = ((void **)rock)[0];
    unsigned *seen = ((void **)rock)[1], n = (unsigned)strtoul(key + 3, NULL, 10);

    ck_assert_uint_eq(keylen, 6);
    ck_assert_uint_lt(n, DAMAGE_KEYS);
    ck_assert(!m->damaged[n]);
    ck_assert_bytes_eq(data, datalen, m->value[n], strlen(m->value[n]));
    ++*seen;
    return 0;
}

static void check_all_damaged(const struct damage_model *m)
{
    unsigned want = 0, seen = 0, bad = 0;
    const void *rock[] = { m, &seen };

    for (unsigned n = 0; n < DAMAGE_KEYS; n++) {
        want += *m->value[n] && !m->damaged[n];
        bad += m->damaged[n];
    }
    int r = cyrusdb_foreach(db, NULL, 0, count_damaged_model, rock);
    ck_assert_int_eq(r, bad ? CYRUSDB_BADFORMAT : 0);
    ck_assert_uint_eq(seen, want);
}

/* What is there is found beside damaged keys, and can be changed, added and removed; the damaged ones stay in their lists. */
START_TEST(test_damaged_keys)
{
    struct damage_model m = { .damaged = { false } };
    uint64_t random = 88172645463325252u + (uint64_t)_i * 7919;
    char key[16];

    reopen(CYRUSDB_CREATE);
    for (unsigned n = 0; n < DAMAGE_KEYS; n++) {
        if (n % 3 == 1) continue;
        damage_key(key, sizeof(key), n);
        snprintf(m.value[n], sizeof(m.value[n]), "first of %u", n);
        set(key, m.value[n]);
    }
    cyrusdb_close(db);
    db = NULL;
    cyrusdb_done();
    for (int i = 0; i < 1 + _i % 6; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned n = (unsigned)(random >> 33) % DAMAGE_KEYS;
        if (*m.value[n] && !m.damaged[n]) damage_record(&m, n, (unsigned)(random >> 45));
    }
    reopen(0);
    xsyslog_settap(NULL, NULL);
    check_damaged(&m);
    check_all_damaged(&m);
    m.changed = true;
    for (int i = 0; i < 150; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned n = (unsigned)(random >> 33) % DAMAGE_KEYS;
        if (m.damaged[n]) continue;
        damage_key(key, sizeof(key), n);
        if ((random >> 60) & 1 && *m.value[n]) {
            ck_assert_int_eq(cyrusdb_delete(db, key, strlen(key), false), 0);
            m.value[n][0] = '\0';
        }
        else {
            snprintf(m.value[n], sizeof(m.value[n]), "%d of %u", i, n);
            set(key, m.value[n]);
        }
        if (i % 10 == 0) check_damaged(&m);
    }
    check_damaged(&m);
    check_all_damaged(&m);
    reopen(0);
    check_damaged(&m);
    check_all_damaged(&m);
}
END_TEST

START_TEST(test_missing_and_bad)
{
    struct db *other;
    ck_assert_int_eq(cyrusdb_open("twoskip", path, 0, &other), CYRUSDB_NOTFOUND);
    test_writefile(path, "", 0);
    reopen(0);
    has_size(336);
    cyrusdb_close(db);
    db = NULL;
    test_writefile(path, "this is something else entirely, no database", 44);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, 0, &other), CYRUSDB_BADFORMAT);
    test_writefile(path, "short", 5);
    ck_assert_int_eq(cyrusdb_open("twoskip", path, 0, &other), CYRUSDB_BADFORMAT);
}
END_TEST

/* Two processes add to one counter each in a transaction; none is lost, repacks in between. */
START_TEST(test_processes)
{
    reopen(CYRUSDB_CREATE);
    set("counter", "0");
    for (int p = 0; p < 4; p++) {
        if (fork()) continue;
        for (int i = 0; i < 100; i++) {
            const char *data;
            size_t len;
            char text[32] = "";
            if (cyrusdb_begin(db, CYRUSDB_NOSYNC)) _exit(1);
            if (cyrusdb_fetch(db, "counter", 7, &data, &len)) _exit(2);
            memcpy(text, data, cyr_min(len, sizeof(text) - 1));
            snprintf(text, sizeof(text), "%d", (int)strtol(text, NULL, 10) + 1);
            if (cyrusdb_store(db, "counter", 7, text, strlen(text))) _exit(3);
            if (cyrusdb_commit(db)) _exit(4);
            if (i % 30 == 29 && cyrusdb_repack(db)) _exit(5);
        }
        _exit(0);
    }
    for (int p = 0; p < 4; p++) {
        int status;
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    has("counter", "400");
    ck_assert_int_eq(cyrusdb_consistent(db), 0);
}
END_TEST

Suite *twoskip_suite(void)
{
    Suite *s = suite_create("twoskip");
    TCase *tc = tcase_create("twoskip");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_v20_empty);
    tcase_add_test(tc, test_v21_v22);
    tcase_add_test(tc, test_v23_v24);
    tcase_add_test(tc, test_v25_one_transaction);
    tcase_add_test(tc, test_v26_repack);
    tcase_add_test(tc, test_v27_crash);
    tcase_add_test(tc, test_model);
    tcase_add_test(tc, test_model_mboxsort);
    tcase_add_test(tc, test_long_and_odd);
    tcase_add_loop_test(tc, test_damaged_keys, 0, 60);
    tcase_add_test(tc, test_missing_and_bad);
    tcase_add_test(tc, test_processes);
    suite_add_tcase(s, tc);
    return s;
}
