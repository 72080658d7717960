/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_salvage -- what can be read of a damaged database file
 *
 * A whole file gives just what the backend reads, after any history. With zeros or rubbish at every multiple of 64
 * bytes, and cut at each, the result is never more than was there, and the file is never changed.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cyrusdb.h"
#include "libconfig.h"
#include "race_testutil.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

static const char *const backends[] = { "twoskip", "skiplist", "flat" };
static char *dir, *path;

static void setup(void)
{
    dir = test_mkdtemp();
    path = test_path(dir, "t.db");
    config_read_string("");
}

static void teardown(void)
{
    cyrusdb_done();
    config_reset();
    free(path);
    test_rmdir(dir);
}

struct result {
    struct buf text;
    unsigned records, bad;
    uint64_t size; /* of the file: ranges begin in it */
};

static int collect(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct result *r = rock;
    r->records++;
    buf_appendmap(&r->text, key, keylen);
    buf_putc(&r->text, '=');
    buf_appendmap(&r->text, data, datalen);
    buf_putc(&r->text, '\n');
    return 0;
}

static void count_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    struct result *r = rock;
    r->bad++;
    ck_assert_uint_le(off, r->size);
    ck_assert_ptr_nonnull(what);
    (void)len;
}

static void salvage(const char *backend, struct result *r, uint64_t size)
{
    const struct cyrusdb_salvage to = { .record = collect, .bad = count_bad, .rock = r };

    buf_reset(&r->text);
    r->records = r->bad = 0;
    r->size = size;
    ck_assert_int_eq(cyrusdb_salvage(backend, path, 0, &to), 0);
}

/* Sets and deletes in transactions; the content in text. */
static void make(const char *backend, unsigned seed, struct result *all)
{
    struct db *db;
    char key[32], value[64];

    ck_assert_int_eq(cyrusdb_open(backend, path, CYRUSDB_CREATE, &db), 0);
    for (unsigned i = 0; i < 60; i++) {
        seed = seed * 1103515245u + 12345u;
        snprintf(key, sizeof(key), "key%02u", (seed >> 8) % 25);
        snprintf(value, sizeof(value), "value %u of %s", i, key);
        int r = (seed >> 20) % 3 ? cyrusdb_store(db, key, strlen(key), value, strlen(value))
                                 : cyrusdb_delete(db, key, strlen(key), true);
        ck_assert_int_eq(r, 0);
    }
    ck_assert_int_eq(cyrusdb_foreach(db, "", 0, collect, all), 0);
    ck_assert_int_eq(cyrusdb_close(db), 0);
    cyrusdb_done();
}

START_TEST(whole_file)
{
    struct result all = { .bad = 0 }, got = { .bad = 0 };
    struct buf file = BUF_INITIALIZER;
    const char *backend = backends[_i % 3];

    make(backend, (unsigned)_i, &all);
    test_readfile(path, &file);
    salvage(backend, &got, file.len);
    ck_assert_uint_eq(got.bad, 0);
    ck_assert_uint_gt(got.records, 5);
    ck_assert_str_eq(buf_cstring(&got.text), buf_cstring(&all.text));
    buf_free(&all.text);
    buf_free(&got.text);
    buf_free(&file);
}
END_TEST

/* Every line of the salvaged text must be one that the file once had: its value names its key. */
static void assert_own_records(struct result *r)
{
    for (const char *line = buf_cstring(&r->text); *line; line = strchr(line, '\n') + 1) {
        const char *of = strstr(line, " of key");
        ck_assert_ptr_nonnull(of);
        ck_assert_msg(!memcmp(line, of + 4, 5), "%s", line);
    }
}

static void damage_one(const char *backend, const struct buf *whole, size_t off, int how)
{
    struct result got = { .bad = 0 };
    struct buf bad = BUF_INITIALIZER, after = BUF_INITIALIZER;

    buf_setmap(&bad, whole->s, whole->len);
    for (size_t i = off; i < bad.len && i < off + 64; i++)
        bad.s[i] = (char)(how == 1 ? i * 37 + 11 : 0);
    if (how == 2) buf_truncate(&bad, off);
    bool same = bad.len == whole->len && !memcmp(bad.s, whole->s, bad.len); /* there were zeros */
    test_writefile(path, bad.s, bad.len);
    salvage(backend, &got, bad.len);
    if (!strcmp(backend, "twoskip")) {
        if (!same) ck_assert_uint_ge(got.bad, 1);
        assert_own_records(&got);
    }
    test_readfile(path, &after);
    ck_assert_bytes_eq(after.s, after.len, bad.s, bad.len);
    buf_free(&got.text);
    buf_free(&bad);
    buf_free(&after);
}

START_TEST(damaged_everywhere)
{
    struct result all = { .bad = 0 };
    struct buf whole = BUF_INITIALIZER;
    const char *backend = backends[_i % 3];

    make(backend, (unsigned)_i, &all);
    test_readfile(path, &whole);
    for (size_t off = 0; off < whole.len; off += 64) {
        for (int how = 0; how < 3; how++) damage_one(backend, &whole, off, how);
    }
    buf_free(&all.text);
    buf_free(&whole);
}
END_TEST

#define RACE_KEYS 300

static int write_many(struct race_gate *gate, unsigned round)
{
    struct db *db;
    char key[32];
    int r = cyrusdb_open(backends[round], path, 0, &db);

    race_pass(gate);
    for (unsigned i = 0; !r && i < RACE_KEYS; i++) {
        snprintf(key, sizeof(key), "race%03u", i);
        r = cyrusdb_store(db, key, strlen(key), "there", 5);
    }
    return r ? r : cyrusdb_close(db);
}

static int remake_often(struct race_gate *gate, unsigned round)
{
    int r = 0;

    race_pass(gate);
    for (unsigned i = 0; !r && i < 30; i++) {
        char *kept;
        r = cyrusdb_remake(backends[round], path, 0, &kept);
        free(kept);
    }
    return r;
}

START_TEST(made_anew_while_another_writes)
{
    struct result all = { .bad = 0 };
    int r1, r2;

    make(backends[_i], 1, &all);
    race_run(write_many, remake_often, (unsigned)_i, &r1, &r2);
    ck_assert_int_eq(r1, 0);
    ck_assert_int_eq(r2, 0);
    unsigned before = all.records;
    salvage(backends[_i], &all, UINT64_MAX);
    ck_assert_uint_eq(all.bad, 0);
    ck_assert_uint_eq(all.records, before + RACE_KEYS);
    char *kept = xasprintf("%s.damaged-30", path);
    ck_assert_int_eq(access(kept, F_OK), 0);
    free(kept);
    buf_free(&all.text);
}
END_TEST

Suite *salvage_suite(void)
{
    Suite *s = suite_create("salvage");
    TCase *tc = tcase_create("salvage");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, whole_file, 0, 12);
    tcase_add_loop_test(tc, damaged_everywhere, 0, 3);
    tcase_add_loop_test(tc, made_anew_while_another_writes, 0, 3);
    suite_add_tcase(s, tc);
    return s;
}
