/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reverse ACLs: LIST says the same with and without them whatever happens to rights, names and the records themselves; what
 * they save; when they are trusted (doc/reverse-acls.md).
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acl.h"
#include "auth.h"
#include "cyrusdb.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_racl.h"
#include "store_testutil.h"
#include "txn.h"
#include "xmalloc.h"

/* ---- people and groups ---- */

static int no_canonify(const char *identifier, size_t len, char *out, size_t outsize)
{
    if (len >= outsize) return IMAP_INVALID_IDENTIFIER;
    memcpy(out, identifier, len);
    out[len] = '\0';
    return 0;
}

static int groups_of(const char *userid, strarray_t *groups)
{
    if (strcmp(userid, "carol") != 0) strarray_append(groups, "group:staff");
    if (!strcmp(userid, "bob")) strarray_append(groups, "group:ops");
    return 0;
}

static const struct auth_mechanism mechanism = { "racltest", no_canonify, groups_of };
static const char *const people[] = { "alice", "bob", "carol", "dave@dom.example", "nobody", NULL };

static void setup_with(const char *conf)
{
    char *all = xasprintf("conversations: no\nadmins: admin root\nreverseacls: yes\n%s", conf ? conf : "");

    st_setup(all);
    auth_register(&mechanism);
    ck_assert(auth_select("racltest"));
    free(all);
}

static void setup(void)
{
    setup_with(NULL);
}

static void teardown(void)
{
    auth_select("unix");
    st_teardown();
}

/* ---- the list ---- */

static mbentry_t *make(const char *name, const char *acl, uint32_t mbtype)
{
    mbentry_t *entry = mbentry_new(name);

    entry->uniqueid = xstrdup(st_uniqueid(name));
    entry->partition = xstrdup("default");
    entry->mbtype = mbtype;
    mbentry_set_acl(entry, acl);
    return entry;
}

static struct txn *begin_for(const char *name)
{
    char *userid = mboxname_to_userid(name);
    struct txn *txn = st_begin(userid);

    free(userid);
    return txn;
}

static void put_in(struct txn *txn, const char *name, const char *acl, uint32_t mbtype)
{
    mbentry_t *entry = make(name, acl, mbtype);

    ck_assert_int_eq(mboxlist_update_entry(txn, name, entry), 0);
    mbentry_free(&entry);
}

static void put(const char *name, const char *acl)
{
    struct txn *txn = begin_for(name);

    put_in(txn, name, acl, 0);
    st_commit(txn);
}

static void drop(const char *name)
{
    struct txn *txn = begin_for(name);

    ck_assert_int_eq(mboxlist_delete_entry(txn, name), 0);
    st_commit(txn);
}

static bool is_usable(const char *userid)
{
    struct auth_state *auth = auth_newstate(userid);
    struct txn_db *db = NULL;

    ck_assert_int_eq(mboxlist_db_open(NULL, &db), 0);
    bool usable = mboxlist_racl_isusable(db, auth);
    mboxlist_db_close(&db);
    auth_freestate(&auth);
    return usable;
}

static int show_cb(const struct findall_data *data, void *rock)
{
    buf_printf(rock, "%s%s%s ", extname_text(data->extname), data->mbentry ? "" : "?", data->has_children ? "+" : "");
    return 0;
}

static void list(const char *userid, const char *pattern, struct buf *out)
{
    struct auth_state *auth = auth_newstate(userid);
    struct namespace ns;
    extnames_t patterns = { 0 };

    mboxname_init_namespace(&ns, false);
    extnames_add(&patterns, extname_of(pattern));
    buf_reset(out);
    ck_assert_int_eq(mboxlist_findall(&ns, patterns, false, userid, auth, show_cb, out), 0);
    extnames_fini(&patterns);
    auth_freestate(&auth);
}

/* In a transaction that changes the database the records are not used. */
static void list_without(const char *userid, const char *pattern, struct buf *out)
{
    struct txn *txn = NULL;
    struct txn_db *db = NULL;

    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(mboxlist_db_open(txn, &db), 0);
    ck_assert_int_eq(txn_db_store(db, "Z", 1, "", 0), 0);
    list(userid, pattern, out);
    txn_abort(&txn);
}

static int problem_cb(enum racl_problem problem, const char *key, size_t keylen, const char *identifier, const char *name,
                      void *rock)
{
    buf_printf(rock, "%s %s of %s ", problem == RACL_MISSING ? "missing" : "stale", identifier ? identifier : "-",
               name ? name : "-");
    return 0;
}

static void assert_problems(const char *want)
{
    struct buf got = BUF_INITIALIZER;

    ck_assert_int_eq(mboxlist_racl_verify(problem_cb, &got), 0);
    ck_assert_str_eq(buf_cstring(&got), want);
    buf_free(&got);
}

static void assert_same_lists(const char *userid, const char *pattern)
{
    struct buf with = BUF_INITIALIZER, without = BUF_INITIALIZER;

    list(userid, pattern, &with);
    list_without(userid, pattern, &without);
    ck_assert_msg(buf_equal(&with, &without), "LIST \"%s\" of %s:\n with %s\nwithout %s", pattern, userid,
                  buf_cstring(&with), buf_cstring(&without));
    buf_free(&with);
    buf_free(&without);
}

/* ---- random histories ---- */

static unsigned seed;

static unsigned random_below(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % n;
}

static const char *random_acl(void)
{
    static const char *const ids[] = { "alice", "bob", "carol", "anyone", "group:staff", "group:ops", "group:none",
                                       "-alice", "-group:staff", "-anyone", "admin", "anonymous", "dave@dom.example" };
    static const char *const rights[] = { "lr", "l", "r", "lrs", "p", "lrswipkxtecdan" };
    static char acl[512];
    size_t len = 0;

    acl[0] = '\0';
    for (unsigned n = random_below(4); n; n--)
        len += (size_t)snprintf(acl + len, sizeof(acl) - len, "%s\t%s\t", ids[random_below(array_size(ids))],
                                rights[random_below(array_size(rights))]);
    return acl;
}

static const char *random_name(void)
{
    static const char *const names[] = {
        "user.alice", "user.alice.a", "user.alice.a.b", "user.bob", "user.bob.pub", "user.bob.pub.x", "user.carol.INBOX",
        "user.carol", "user.alice2.z", "shared", "shared.news", "shared.news.de", "userx.y", "zz.top", "DELETED.user.bob.q.6B02437F",
        "dom.example!user.dave", "dom.example!user.dave.box", "dom.example!shared.d",
    };
    return names[random_below(array_size(names))];
}

static void random_step(void)
{
    const char *name = random_name(), *other = random_name();
    struct txn *txn;

    switch (random_below(6)) {
    case 0: drop(name); return;
    case 1: /* a tombstone */
        txn = begin_for(name);
        put_in(txn, name, random_acl(), MBTYPE_DELETED);
        st_commit(txn);
        return;
    case 2: /* the same mailbox twice, and perhaps nothing after all */
        txn = begin_for(name);
        put_in(txn, name, random_acl(), 0);
        put_in(txn, name, random_acl(), 0);
        if (random_below(3))
            st_commit(txn);
        else
            txn_abort(&txn);
        return;
    case 3: /* a name leaves, another comes, at once */
        {
            char *a = mboxname_to_userid(name), *b = mboxname_to_userid(other);
            strarray_t users = STRARRAY_INITIALIZER;
            strarray_appendm(&users, a);
            strarray_appendm(&users, b);
            ck_assert_int_eq(txn_begin(&txn), 0);
            ck_assert_int_eq(txn_lock_users(txn, &users), 0);
            ck_assert_int_eq(mboxlist_delete_entry(txn, name), 0);
            put_in(txn, other, random_acl(), 0);
            st_commit(txn);
            strarray_fini(&users);
        }
        return;
    default: put(name, random_acl());
    }
}

static const char *const spaces[] = {
    "altnamespace: no\nunixhierarchysep: no\n",
    "altnamespace: yes\nunixhierarchysep: yes\n",
    "altnamespace: no\nunixhierarchysep: yes\nvirtdomains: userid\ndefaultdomain: internal\n",
};

START_TEST(random_histories)
{
    static const char *const patterns[] = { "*", "%", "user.%", "user/%", "user.bob.*", "Other Users/%", "Other Users/bob/%",
                                            "sh*", "Shared Folders/%", "user/bob/pub/*", "%.%", "%/%/%" };

    seed = (unsigned)_i * 7919u + 1;
    setup_with(spaces[(size_t)_i % array_size(spaces)]);
    if (_i % 2) ck_assert_int_eq(mboxlist_set_racls(true), 0); /* else made of what is there */
    for (int step = 0; step < 60; step++) {
        random_step();
        if (step == 20) ck_assert_int_eq(mboxlist_set_racls(true), 0);
        if (step < 20 || step % 4) continue;
        assert_problems("");
        for (size_t i = 0; people[i]; i++) {
            ck_assert(is_usable(people[i]));
            assert_same_lists(people[i], "*");
            assert_same_lists(people[i], patterns[random_below(array_size(patterns))]);
        }
    }
    teardown();
}
END_TEST

/* ---- when they are not trusted ---- */

static void fill(void)
{
    ck_assert_int_eq(mboxlist_set_racls(true), 0);
    put("user.alice", "alice\tlr\t");
    put("user.alice.a", "alice\tlr\tbob\tlr\tgroup:staff\tl\t");
    put("user.bob", "bob\tlr\tcarol\tr\t");
    put("shared.news", "anyone\tl\t-bob\tl\t");
}

static int dump_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    buf_appendmap(rock, key, keylen);
    buf_printf(rock, "=%zu\n", datalen);
    return 0;
}

static void dump(struct buf *out)
{
    struct txn_db *db = NULL;

    buf_reset(out);
    ck_assert_int_eq(mboxlist_db_open(NULL, &db), 0);
    ck_assert_int_eq(txn_db_foreach(db, "A", 1, dump_cb, out), 0);
    mboxlist_db_close(&db);
}

/* As a program of another package does: no journal, no lock but the file's. value NULL: removed. */
static void write_foreign(const char *key, const char *value)
{
    char *path = test_path(st_dir, "conf/mailboxes.db");
    struct db *db = NULL;

    ck_assert_int_eq(cyrusdb_open("twoskip", path, 0, &db), 0);
    ck_assert_int_eq(value ? cyrusdb_store(db, key, strlen(key), value, strlen(value))
                           : cyrusdb_delete(db, key, strlen(key), true),
                     0);
    cyrusdb_close(db);
    free(path);
}

/* As cyr_dbtool does. */
static void write_raw(const char *key, const char *value)
{
    struct txn_db *db = NULL;
    struct txn *txn = NULL;

    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(mboxlist_db_open(txn, &db), 0);
    ck_assert_int_eq(value ? txn_db_store(db, key, strlen(key), value, strlen(value))
                           : txn_db_delete(db, key, strlen(key)),
                     0);
    st_commit(txn);
}

static const struct damage {
    const char *key, *value, *problems;
} damages[] = {
    { "AU\x1e" "bob\x1euser\x1f" "alice\x1f" "a", NULL, "missing bob of user.alice.a " },
    { "AS\x1e" "anyone\x1eshared\x1fnews", NULL, "missing anyone of shared.news " },
    { "AS\x1e" "anyone\x1eshared\x1fnews", "x", "missing anyone of shared.news " },
    { "AU\x1e" "carol\x1euser\x1f" "alice\x1f" "a", "", "stale carol of user.alice.a " },
    { "AU\x1e" "anyone\x1eshared\x1fnews", "", "stale anyone of shared.news " },
    { "AU\x1e" "bob\x1euser\x1f" "gone", "", "stale bob of - " },
    { "AU\x1erubbish", "junk", "stale - of - " },
    { "AS\x1e\x1e", "", "stale  of - " },
    { "Nuser\x1f" "alice\x1fnew", "%(T e P default M 1 A %(alice lr carol lr))", "missing carol of user.alice.new " },
    { "Nuser\x1f" "alice\x1f" "a", "%(T e P default M 1 A %(alice lr carol lr))",
      "missing carol of user.alice.a stale bob of user.alice.a stale group:staff of user.alice.a " },
    { "Nuser\x1f" "alice\x1f" "a", "rubbish", "stale bob of - stale group:staff of - " },
};

/* LIST is right at once, whatever was done; the next look mends it. */
START_TEST(damage_is_mended)
{
    const struct damage *d = &damages[(size_t)_i / 2];

    setup();
    fill();
    ck_assert(is_usable("bob"));
    (_i % 2 ? write_raw : write_foreign)(d->key, d->value);
    ck_assert(!is_usable("bob"));
    assert_problems(d->problems);
    for (size_t i = 0; people[i]; i++) assert_same_lists(people[i], "*");
    put("user.bob.more", "bob\tlr\talice\tlr\t"); /* a change that keeps them does not make them right */
    ck_assert(!is_usable("bob"));
    ck_assert_int_eq(mboxlist_racl_renew(), 0);
    assert_problems("");
    ck_assert(is_usable("bob"));
    for (size_t i = 0; people[i]; i++) assert_same_lists(people[i], "*");
    teardown();
}
END_TEST

START_TEST(all_gone_is_made_equal)
{
    struct buf before = BUF_INITIALIZER, after = BUF_INITIALIZER;

    setup();
    fill();
    dump(&before);
    ck_assert_int_eq(mboxlist_set_racls(false), 0);
    dump(&after);
    ck_assert_str_eq(buf_cstring(&after), "");
    ck_assert(!is_usable("bob"));
    assert_same_lists("bob", "*");
    ck_assert_int_eq(mboxlist_racl_renew(), 0); /* they are off */
    dump(&after);
    ck_assert_str_eq(buf_cstring(&after), "");
    write_raw("AU\x1e" "carol\x1euser\x1f" "alice\x1f" "a", ""); /* what 3.6.1 leaves when it switches them off */
    assert_problems("stale carol of user.alice.a ");
    ck_assert_int_eq(mboxlist_set_racls(true), 0);
    dump(&after);
    ck_assert_str_eq(buf_cstring(&after), buf_cstring(&before));
    ck_assert(is_usable("bob"));
    buf_free(&before);
    buf_free(&after);
    teardown();
}
END_TEST

START_TEST(after_a_restart_somebody_looks_first)
{
    setup();
    fill();
    txn_shutdown();
    cyrusdb_done();
    ck_assert(!is_usable("bob"));
    assert_same_lists("bob", "*");
    ck_assert_int_eq(mboxlist_set_racls(true), 0);
    ck_assert(is_usable("bob"));
    txn_shutdown();
    cyrusdb_done();
    write_foreign("Nuser\x1f" "alice\x1fnew", "%(T e P default M 1 A %(bob lr))"); /* another server meanwhile */
    ck_assert(!is_usable("bob"));
    ck_assert_int_eq(mboxlist_set_racls(true), 0);
    assert_problems("");
    assert_same_lists("bob", "*");
    teardown();
}
END_TEST

static void configure(const char *admins)
{
    char *conf = xasprintf("configdirectory: %s/conf\ndefaultpartition: default\npartition-default: %s/part\n"
                           "conversations: no\nadmins: %s\nreverseacls: yes\n",
                           st_dir, st_dir, admins);

    config_reset();
    config_read_string(conf);
    free(conf);
}

/* Who was an administrator has no records. */
START_TEST(administrators_change)
{
    setup();
    fill();
    put("shared.admins", "root\tlr\t");
    configure("admin");
    ck_assert(!is_usable("bob") && !is_usable("root"));
    assert_same_lists("root", "*");
    put("user.bob.more", "bob\tlr\troot\tlr\t");
    configure("admin root");
    ck_assert(!is_usable("bob")); /* that change was made by other rules */
    configure("admin");
    ck_assert_int_eq(mboxlist_racl_renew(), 0);
    ck_assert(is_usable("root"));
    assert_same_lists("root", "*");
    configure("admin group:ops");
    ck_assert_int_eq(mboxlist_racl_renew(), 0);
    ck_assert(is_usable("alice") && !is_usable("bob")); /* who is of that group, and no administrator here */
    assert_same_lists("bob", "*");
    teardown();
}
END_TEST

/* A change is under way while they are made: it finds at its commit that there are some. */
START_TEST(made_while_entries_change)
{
    int gate[2], status;
    char go = 'g';

    setup();
    put("user.alice", "alice\tlr\t");
    put("user.bob", "bob\tlr\t");
    txn_shutdown(); /* the child has a journal of its own */
    cyrusdb_done();
    ck_assert_int_eq(pipe(gate), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        bool told = read(gate[0], &go, 1) == 1;
        _exit(told && !mboxlist_set_racls(_i % 2 == 0) ? 0 : 1);
    }
    if (_i % 2) ck_assert_int_eq(mboxlist_set_racls(true), 0);
    struct txn *txn = begin_for("user.alice.a");
    put_in(txn, "user.alice.a", "bob\tlr\t", 0);
    ck_assert_int_eq(write(gate[1], &go, 1), 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    st_commit(txn);
    assert_problems("");
    ck_assert_int_eq(is_usable("bob"), _i % 2 == 0);
    assert_same_lists("bob", "*");
    close(gate[0]);
    close(gate[1]);
    teardown();
}
END_TEST

static uint64_t generation(void)
{
    char *path = test_path(st_dir, "conf/mailboxes.db");
    struct cyrusdb_mark mark;
    struct db *db = NULL;

    ck_assert_int_eq(cyrusdb_open("twoskip", path, 0, &db), 0);
    ck_assert_int_eq(cyrusdb_get_mark(db, &mark), 0);
    cyrusdb_close(db);
    free(path);
    return mark.generation;
}

START_TEST(a_repack_keeps_the_seal)
{
    setup();
    fill();
    uint64_t before = generation();
    for (int i = 0; i < 400 && generation() == before; i++) put("user.alice.a", i % 2 ? "bob\tlr\t" : "carol\tlr\t");
    ck_assert_uint_ne(generation(), before);
    ck_assert(is_usable("bob"));
    assert_problems("");
    teardown();
}
END_TEST

START_TEST(an_aborted_change_keeps_the_seal)
{
    setup();
    fill();
    struct txn *txn = begin_for("user.alice.x");
    put_in(txn, "user.alice.x", "bob\tlr\t", 0);
    txn_abort(&txn);
    ck_assert(is_usable("bob"));
    assert_problems("");
    teardown();
}
END_TEST

/* ---- cost ---- */

static uint64_t records_of_list(const char *userid, const char *pattern, bool without)
{
    struct buf out = BUF_INITIALIZER;
    uint64_t before = cyrusdb_records_read();

    (without ? list_without : list)(userid, pattern, &out);
    buf_free(&out);
    return cyrusdb_records_read() - before;
}

/* Mailboxes of many users who share nothing; ten of them with bob or his group. */
static void fill_many(unsigned n)
{
    struct txn_db *db = NULL;
    struct txn *txn = NULL;
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;

    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(mboxlist_db_open(txn, &db), 0);
    for (unsigned i = 0; i < n; i++) {
        char name[64], acl[64];
        snprintf(name, sizeof(name), "user.u%u.box", i);
        snprintf(acl, sizeof(acl), "u%u\tlr\t%s", i, i % (n / 10) ? "" : i % 20 ? "bob\tlr\t" : "group:ops\tl\t");
        mbentry_t *entry = make(name, acl, 0);
        buf_reset(&key);
        buf_reset(&val);
        mbentry_key_name(name, &key);
        mbentry_print_n(entry, 1, &val);
        ck_assert_int_eq(txn_db_store(db, buf_base(&key), buf_len(&key), buf_cstring(&val), buf_len(&val)), 0);
        mbentry_free(&entry);
    }
    st_commit(txn);
    buf_free(&key);
    buf_free(&val);
    put("user.bob", "bob\tlr\t");
    put("user.bob.own", "bob\tlr\t");
    ck_assert_int_eq(mboxlist_set_racls(true), 0);
    assert_same_lists("bob", "*");
}

/* A LIST reads what its user may see, not what there is. */
START_TEST(list_reads_few_records)
{
    setup();
    fill_many(10000);
    ck_assert(is_usable("bob"));
    ck_assert_uint_lt(records_of_list("bob", "*", false), 1500);
    ck_assert_uint_lt(records_of_list("bob", "%", false), 1500);
    ck_assert_uint_lt(records_of_list("nobody", "*", false), 500);
    ck_assert_uint_gt(records_of_list("bob", "*", true), 10000);
    teardown();
}
END_TEST

Suite *mboxlist_racl_suite(void);
Suite *mboxlist_racl_suite(void)
{
    const TTest *const tests[] = { all_gone_is_made_equal, after_a_restart_somebody_looks_first, administrators_change,
                                   a_repack_keeps_the_seal, an_aborted_change_keeps_the_seal, list_reads_few_records };
    Suite *s = suite_create("mboxlist_racl");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, random_histories, 0, 18);
    tcase_add_loop_test(tc, damage_is_mended, 0, 2 * (int)array_size(damages));
    tcase_add_loop_test(tc, made_while_entries_change, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
