/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_cyrusdb -- the backends flat, skiplist and quotalegacy; detection and conversion
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "cyrusdb_backend.h"
#include "kvmap.h"
#include "libconfig.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

static char *dir, *path;
static struct db *db;

static void setup(void)
{
    dir = test_mkdtemp();
    path = test_path(dir, "t.db");
    config_read_string("");
    db = NULL;
}

static void teardown(void)
{
    cyrusdb_close(db);
    cyrusdb_done();
    config_reset();
    free(path);
    test_rmdir(dir);
}

static void reopen(const char *backend, unsigned flags)
{
    cyrusdb_close(db);
    ck_assert_int_eq(cyrusdb_open(backend, path, flags, &db), 0);
}

static void set(const char *key, const char *value)
{
    ck_assert_int_eq(cyrusdb_store(db, key, strlen(key), value, strlen(value)), 0);
}

static void assert_value(const char *key, const char *value)
{
    const char *data;
    size_t len;
    int r = cyrusdb_fetch(db, key, strlen(key), &data, &len);
    ck_assert_int_eq(r, value ? 0 : CYRUSDB_NOTFOUND);
    if (value) ck_assert_bytes_eq(data, len, value, strlen(value));
}

static int collect(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct buf *out = rock;
    buf_appendmap(out, key, keylen);
    buf_putc(out, '=');
    buf_appendmap(out, data, datalen);
    buf_putc(out, ' ');
    return 0;
}

static void assert_all(const char *prefix, const char *want)
{
    struct buf out = BUF_INITIALIZER;
    ck_assert_int_eq(cyrusdb_foreach(db, prefix, strlen(prefix), collect, &out), 0);
    ck_assert_str_eq(buf_cstring(&out), want);
    buf_free(&out);
}

static void write_hex(const char *hex)
{
    struct buf bytes = BUF_INITIALIZER;
    test_unhex(hex, &bytes);
    test_writefile(path, bytes.s, bytes.len);
    buf_free(&bytes);
}

static void assert_file_hex(const char *hex)
{
    struct buf file = BUF_INITIALIZER;
    test_readfile(path, &file);
    test_assert_hex_eq(file.s, file.len, hex);
    buf_free(&file);
}

/* ---- flat ---- */

START_TEST(test_v34_flat)
{
    static const char hex[] = "62696e09 61ff8062 ff8963ff 8dff8aff ff0a7573 65722e62 0976310a 75736572 20620976 320a7573"
                              "65722d62 0976330a";
    reopen("flat", CYRUSDB_CREATE);
    set("user-b", "v3");
    set("user b", "v2");
    set("user.b", "v1");
    ck_assert_int_eq(cyrusdb_store(db, "bin", 3, "a\0b\tc\r\n\xff", 8), 0);
    assert_file_hex(hex);
    cyrusdb_close(db);
    db = NULL;

    write_hex(hex);
    reopen("flat", 0);
    const char *data;
    size_t len;
    ck_assert_int_eq(cyrusdb_fetch(db, "bin", 3, &data, &len), 0);
    ck_assert_bytes_eq(data, len, "a\0b\tc\r\n\xff", 8);
    assert_all("user", "user.b=v1 user b=v2 user-b=v3 ");
}
END_TEST

/* A line without TAB is kept as a key; the last LF may be missing; what another process puts in place is seen. */
START_TEST(test_flat_lines)
{
    test_writefile(path, "b\t2\n\na\t1\nc", 10);
    reopen("flat", 0);
    assert_all("", "a=1 b=2 c= ");
    char *other = test_path(dir, "other");
    test_writefile(other, "z\t9\n", 4);
    ck_assert_int_eq(rename(other, path), 0);
    free(other);
    assert_all("", "z=9 ");
    set("y", "8");
    assert_all("", "y=8 z=9 ");
    ck_assert_int_eq(unlink(path), 0);
    assert_value("y", NULL);
}
END_TEST

START_TEST(test_flat_refuses_binary)
{
    reopen("twoskip", CYRUSDB_CREATE);
    set("k", "v");
    cyrusdb_close(db);
    db = NULL;
    cyrusdb_done();
    reopen("flat", 0);
    ck_assert_str_eq(cyrusdb_backend(db), "twoskip");
    assert_value("k", "v");
}
END_TEST

/* ---- skiplist ---- */

#define SKIPLIST_HEAD "a1028b0d 736b6970 6c697374 2066696c 65000000 00000001 00000002 00000014"
#define ZEROS4 "00000000 00000000 00000000 00000000"

START_TEST(test_v31_v32_skiplist)
{
    write_hex(SKIPLIST_HEAD "00000001 00000000 00000090 6b024449 00000101 00000000 00000000" ZEROS4 ZEROS4 ZEROS4 ZEROS4
                            ZEROS4 "ffffffff");
    reopen("skiplist", 0);
    assert_all("", "");
    cyrusdb_close(db);
    db = NULL;
    write_hex(SKIPLIST_HEAD "00000006 00000001 000000b0 6b024449 00000101 00000000 00000000"
              "00000090 000000b0 000000b0 000000b0 000000b0 000000b0 00000000 00000000"
              ZEROS4 ZEROS4 ZEROS4 "ffffffff"
              "00000001 00000005 6170706c 65000000 00000003 72656400 000000b0 ffffffff"
              "00000002 00000006 62616e61 6e610000 00000006 79656c6c 6f770000"
              "00000000 00000000 00000000 00000000 00000000 00000000 ffffffff 000000ff");
    reopen("skiplist", 0);
    assert_all("", "apple=red banana=yellow ");
    /* Opened as twoskip it is what it is. */
    reopen("twoskip", 0);
    ck_assert_str_eq(cyrusdb_backend(db), "skiplist");
    assert_value("banana", "yellow");
}
END_TEST

static void write_v33(const char *more)
{
    char *hex = xasprintf("%s%s",
                          SKIPLIST_HEAD "00000006 00000002 000000e8 6b024449 00000101 00000000 00000000"
                          "00000090 000000b0 000000b0 000000b0 000000b0 000000b0 00000000 00000000"
                          ZEROS4 ZEROS4 ZEROS4 "ffffffff"
                          "00000001 00000005 6170706c 65000000 00000003 72656400 000000b0 ffffffff"
                          "00000001 00000006 62616e61 6e610000 00000006 79656c6c 6f770000"
                          "00000000 00000000 00000000 00000000 00000000 00000000 ffffffff"
                          "00000004 00000090 00000002 00000005 6170706c 65000000"
                          "00000005 67726565 6e000000 000000b0 ffffffff 000000ff", more);
    write_hex(hex);
    free(hex);
}

START_TEST(test_v33_skiplist)
{
    write_v33("");
    reopen("skiplist", 0);
    assert_all("", "apple=green banana=yellow ");
    /* A transaction without COMMIT never happened; nor did a torn one. */
    write_v33("00000004 000000b0");
    reopen("skiplist", 0);
    assert_all("", "apple=green banana=yellow ");
    write_v33("00000000 00000002 00000005 6170");
    reopen("skiplist", 0);
    assert_all("", "apple=green banana=yellow ");
    write_v33("00000000 00000004 000000b0 000000ff");
    reopen("skiplist", 0);
    assert_all("", "apple=green ");
    /* Damage before a COMMIT is seen. */
    cyrusdb_close(db);
    db = NULL;
    write_v33("00000007 ffffffff 000000ff");
    struct db *bad;
    ck_assert_int_eq(cyrusdb_open("skiplist", path, 0, &bad), CYRUSDB_BADFORMAT);
}
END_TEST

START_TEST(test_skiplist_order)
{
    reopen("skiplist", CYRUSDB_CREATE);
    set("a", "1");
    set("\xc3\xa4", "2");
    set("\x01", "3");
    assert_all("", "\xc3\xa4=2 \x01=3 a=1 ");
    reopen("skiplist", 0);
    assert_all("", "\xc3\xa4=2 \x01=3 a=1 ");
}
END_TEST

/* ---- quotalegacy ---- */

static void assert_text(const char *name, const char *text)
{
    char *file = test_path(dir, "%s", name);
    struct buf bytes = BUF_INITIALIZER;
    if (text) {
        test_readfile(file, &bytes);
        ck_assert_str_eq(buf_cstring(&bytes), text);
    }
    else {
        ck_assert_int_eq(test_exists(file), 0);
    }
    buf_free(&bytes);
    free(file);
}

START_TEST(test_quotalegacy)
{
    config_read_string("virtdomains: userid\n");
    reopen("quotalegacy", CYRUSDB_CREATE);
    set("user.alice", "%(S (10 20))");
    set("user.4you", "1234 99");
    set("shared", "1 2");
    set("dom.example.org!user.erin", "5 6");
    set("dom.example.org!", "7 8");
    assert_text("quota/a/user.alice", "%(S (10 20))\n");
    assert_text("quota/q/user.4you", "1234\n99\n");
    assert_text("quota/s/shared", "1\n2\n");
    assert_text("domain/d/dom.example.org/quota/e/user.erin", "5\n6\n");
    assert_text("domain/d/dom.example.org/quota/root", "7\n8\n");
    assert_value("user.4you", "1234 99");
    assert_value("dom.example.org!", "7 8");
    assert_value("user.none", NULL);
    char *left = test_path(dir, "quota/a/user.anna.NEW");
    test_writefile(left, "", 0);
    free(left);
    assert_all("", "dom.example.org!=7 8 dom.example.org!user.erin=5 6 shared=1 2 user.4you=1234 99 "
                   "user.alice=%(S (10 20)) ");
    assert_all("user.a", "user.alice=%(S (10 20)) ");
    ck_assert_int_eq(cyrusdb_store(db, "../../x", 7, "1", 1), CYRUSDB_INTERNAL);
    assert_value("../../x", NULL);
    ck_assert_int_eq(cyrusdb_begin(db, 0), 0);
    ck_assert_int_eq(cyrusdb_delete(db, "shared", 6, false), 0);
    assert_value("shared", NULL);
    cyrusdb_abort(db);
    assert_value("shared", "1 2");
    ck_assert_int_eq(cyrusdb_delete(db, "shared", 6, false), 0);
    assert_text("quota/s/shared", NULL);
}
END_TEST

START_TEST(test_quotalegacy_fullhash)
{
    const char *data;
    size_t len;
    config_read_string("fulldirhash: yes\n");
    reopen("quotalegacy", CYRUSDB_CREATE);
    set("user.alice", "1 2");
    assert_text("quota/L/user.alice", "1\n2\n");
    char *bad = test_path(dir, "quota/L/user.alice");
    test_writefile(bad, "1\n2", 3);
    ck_assert_int_eq(cyrusdb_fetch(db, "user.alice", 10, &data, &len), CYRUSDB_BADFORMAT);
    unlink(bad); /* another file, as of 3.6.1, has no sum */
    test_writefile(bad, "", 0);
    assert_value("user.alice", "");
    free(bad);
}
END_TEST

/* ---- all backends against one model ---- */

static const char *const names[] = { "twoskip", "flat", "skiplist", "quotalegacy" };

static void random_key(char key[32])
{
    snprintf(key, 32, "%c%ld", "abcd"[random() % 4], random() % 30);
}

static int compare_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
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
    const char *key = "";
    char at[32];
    size_t len = 0;

    ck_assert_int_eq(cyrusdb_foreach(db, "", 0, compare_cb, &node), 0);
    ck_assert_ptr_null(node);
    for (node = kvmap_first(model); node; node = node->next[0]) {
        ck_assert_int_eq(cyrusdb_fetchnext(db, key, len, &key, &len, NULL, NULL), 0);
        ck_assert_bytes_eq(key, len, node->key, node->keylen);
        memcpy(at, key, len);
        key = at;
    }
    ck_assert_int_eq(cyrusdb_fetchnext(db, key, len, &key, &len, NULL, NULL), CYRUSDB_NOTFOUND);
}

static void change_both(struct kvmap *model)
{
    char key[32], value[64];
    random_key(key);
    snprintf(value, sizeof(value), "%%%ld", random());
    if (random() % 3) {
        set(key, value);
        kvmap_set(model, key, strlen(key), value, strlen(value));
    }
    else {
        int r = cyrusdb_delete(db, key, strlen(key), false);
        ck_assert_int_eq(r, kvmap_remove(model, key, strlen(key)) ? 0 : CYRUSDB_NOTFOUND);
    }
}

START_TEST(test_models)
{
    struct kvmap model, before;
    srandom(7);
    reopen(names[_i], CYRUSDB_CREATE);
    kvmap_init(&model, cyrusdb_db_order(db), false);
    for (int i = 0; i < 60; i++) {
        kvmap_init(&before, model.cmp, false);
        for (const struct kvmap_node *n = kvmap_first(&model); n; n = n->next[0])
            kvmap_set(&before, n->key, n->keylen, n->data, n->datalen);
        ck_assert_int_eq(cyrusdb_begin(db, 0), 0);
        ck_assert_int_eq(cyrusdb_begin(db, 0), CYRUSDB_LOCKED);
        for (long n = random() % 6; n; n--) change_both(&model);
        assert_model(&model);
        if (random() % 4) {
            ck_assert_int_eq(cyrusdb_commit(db), 0);
            kvmap_fini(&before);
        }
        else {
            cyrusdb_abort(db);
            kvmap_fini(&model);
            model = before;
        }
        assert_model(&model);
        if (!(random() % 8)) reopen(names[_i], 0);
    }
    ck_assert_int_eq(cyrusdb_begin(db, CYRUSDB_SHARED), 0);
    ck_assert_int_eq(cyrusdb_store(db, "x", 1, "y", 1), CYRUSDB_READONLY);
    cyrusdb_abort(db);
    kvmap_fini(&model);
}
END_TEST

/* ---- conversion ---- */

START_TEST(test_convert)
{
    static const char *const way[] = { "flat", "twoskip", "skiplist", "twoskip", "flat", "skiplist", "flat" };
    reopen("twoskip", CYRUSDB_CREATE);
    set("user.b", "v\t1");
    set("user b", "");
    set("user-b", "3");
    for (size_t i = 0; i < array_size(way); i++) {
        reopen(way[i], CYRUSDB_CONVERT);
        ck_assert_str_eq(cyrusdb_backend(db), way[i]);
        assert_value("user.b", "v\t1");
        assert_value("user b", "");
        assert_value("user-b", "3");
        cyrusdb_close(db);
        db = NULL;
        cyrusdb_done();
        const char *found = cyrusdb_detect(path);
        ck_assert_str_eq(found ? found : "flat", way[i]);
        if (!found && i + 1 < array_size(way)) {
            /* flat has no magic: nothing can find out what it is */
            ck_assert_int_eq(cyrusdb_open(way[i + 1], path, CYRUSDB_CONVERT, &db), CYRUSDB_BADFORMAT);
            ck_assert_int_eq(cyrusdb_convert(path, "flat", way[i + 1], 0), 0);
        }
    }
}
END_TEST

/* A damaged source stays as it is. */
START_TEST(test_convert_damaged)
{
    struct buf file = BUF_INITIALIZER, after = BUF_INITIALIZER;
    reopen("twoskip", CYRUSDB_CREATE);
    set("a", "1");
    set("b", "2");
    cyrusdb_close(db);
    db = NULL;
    cyrusdb_done();
    test_readfile(path, &file);
    ptrdiff_t at = buf_findmap(&file, 0, "b2", 2);
    file.s[at] = 'c';
    test_writefile(path, file.s, file.len);
    ck_assert_int_eq(cyrusdb_convert(path, "twoskip", "flat", 0), CYRUSDB_BADFORMAT);
    test_readfile(path, &after);
    ck_assert_bytes_eq(after.s, after.len, file.s, file.len);
    char *tmp = test_path(dir, "t.db.NEW");
    ck_assert_int_eq(test_exists(tmp), 0);
    free(tmp);
    buf_free(&file);
    buf_free(&after);
}
END_TEST

START_TEST(test_orders)
{
    ck_assert_int_lt(cyrusdb_cmp_mbox("user.b", 6, "user b", 6), 0);
    ck_assert_int_lt(cyrusdb_cmp_mbox("user b", 6, "user-b", 6), 0);
    ck_assert_int_lt(cyrusdb_cmp_raw("user-b", 6, "user.b", 6), 0);
    ck_assert_int_eq(cyrusdb_cmp_mbox("a\tb", 3, "a\nb", 3), 0);
    ck_assert_int_lt(cyrusdb_cmp_mbox("a", 1, "a.", 2), 0);
    ck_assert_str_eq(cyrusdb_strerror(CYRUSDB_NOTFOUND), "item not found");
    ck_assert_str_eq(cyrusdb_strerror(CYRUSDB_READONLY), "database is readonly");
}
END_TEST

Suite *cyrusdb_suite(void)
{
    Suite *s = suite_create("cyrusdb");
    TCase *tc = tcase_create("cyrusdb");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_v34_flat);
    tcase_add_test(tc, test_flat_lines);
    tcase_add_test(tc, test_flat_refuses_binary);
    tcase_add_test(tc, test_v31_v32_skiplist);
    tcase_add_test(tc, test_v33_skiplist);
    tcase_add_test(tc, test_skiplist_order);
    tcase_add_test(tc, test_quotalegacy);
    tcase_add_test(tc, test_quotalegacy_fullhash);
    tcase_add_loop_test(tc, test_models, 0, (int)array_size(names));
    tcase_add_test(tc, test_convert);
    tcase_add_test(tc, test_convert_damaged);
    tcase_add_test(tc, test_orders);
    suite_add_tcase(s, tc);
    return s;
}
