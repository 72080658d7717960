/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of users (doc/users.md): their bytes, what they cost, and what two processes make of one user. After each
 * race users.db says what mailboxes.db does: there is nothing to derive.
 */
#include <config.h>

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "ops_testutil.h"
#include "race_testutil.h"
#include "user_home.h"
#include "user_ops.h"
#include "util.h"
#include "xmalloc.h"

#define ROUNDS 10

/* ---- bytes ---- */

static void assert_value(const struct user_record *rec, const char *want)
{
    struct buf val = BUF_INITIALIZER, again = BUF_INITIALIZER;
    struct user_record *back;

    user_record_encode(rec, &val);
    ck_assert_str_eq(buf_cstring(&val), want);
    ck_assert_int_eq(user_record_decode(rec->id, strlen(rec->id), val.s, val.len, &back), 0);
    user_record_encode(back, &again);
    ck_assert_str_eq(buf_cstring(&again), want);
    ck_assert_str_eq(back->id, rec->id);
    user_record_free(&back);
    buf_free(&val);
    buf_free(&again);
}

static struct user_record *full_record(void)
{
    struct user_record *rec = user_record_new("id1", "ann", USER_DISABLED);
    struct quota q;

    rec->created = 100;
    rec->changed = 200;
    user_record_set_text(&rec->reason, "not paid (1)");
    user_record_set_userid(rec, "anna", 150);
    user_record_set_userid(rec, "anna", 151); /* the same: nothing */
    user_record_set_userid(rec, "anna.b@example.org", 160);
    quota_init(&q, "user.anna");
    q.limits[QUOTA_STORAGE] = 5000;
    user_record_add_limits(rec, &q);
    quota_free(&q);
    strarray_append(&rec->subscribed, "user.anna.Work");
    strarray_append(&rec->subscribed, "user.anna.Old things");
    return rec;
}

#define FULL                                                                                                    \
    "%(V 1 U anna.b@example.org S disabled C 100 M 200 R \"not paid (1)\" H (%(U anna M 160) %(U ann M 150)) " \
    "Q ((user.anna 5000 -1 -1 -1)) L (user.anna.Work \"user.anna.Old things\"))"

START_TEST(values)
{
    struct user_record *rec = user_record_new("id", "anna", USER_ACTIVE);

    assert_value(rec, "%(V 1 U anna S active)");
    rec->state = USER_DELETED;
    rec->before = USER_MOVING_IN;
    assert_value(rec, "%(V 1 U anna S deleted B moving-in)");
    rec->state = USER_MOVED;
    user_record_set_text(&rec->server, "backend2.example.org");
    assert_value(rec, "%(V 1 U anna S moved T backend2.example.org)");
    user_record_free(&rec);
    rec = user_record_new("id", "anna", USER_ACTIVE);
    user_record_set_home(rec, "a.example.org", 12, 300);
    assert_value(rec, "%(V 1 U anna S active A a.example.org E 12 W 300)");
    struct user_record *same = user_record_dup(rec);
    assert_value(same, "%(V 1 U anna S active A a.example.org E 12 W 300)");
    user_record_free(&same);
    user_record_set_home(rec, NULL, 12, 300);
    assert_value(rec, "%(V 1 U anna S active)");
    user_record_free(&rec);
    rec = full_record();
    assert_value(rec, FULL);
    struct user_record *copy = user_record_dup(rec);
    assert_value(copy, FULL);
    user_record_free(&copy);
    user_record_free(&rec);
}
END_TEST

START_TEST(rubbish_is_refused)
{
    static const char *const bad[] = {
        "",
        "active",
        "%(V 1 S active)",
        "%(V 2 U anna S active)",
        "%(V 1 U \"\" S active)",
        "%(V 1 U anna S sleeping)",
        "%(V 1 U anna S deleted B deleted)",
        "%(V 1 U anna S active C -5)",
        "%(V 1 U anna S active C x)",
        "%(V 1 U anna S active H (anna))",
        "%(V 1 U anna S active H (%(M 5)))",
        "%(V 1 U anna S active Q ((user.anna 1 2 3)))",
        "%(V 1 U anna S active Q ((user.anna 1 2 3 4 5)))",
        "%(V 1 U anna S active Q ((user.anna -2 2 3 4)))",
        "%(V 1 U anna S active Q ((../x 1 2 3 4)))",
        "%(V 1 U anna S active L (\"user/x\"))",
        "%(V 1 U anna S active L (%(A B)))",
        "%(V 1 U {5+}\r\nan\nna S active)",
        "%(V 1 U anna S active A b)",
        "%(V 1 U anna S active E 5)",
        "%(V 1 U anna S active A b E 0)",
        "%(V 1 U anna S active A b E -1)",
        "%(V 1 U anna S active A \"\" E 1)",
        "%(V 1 U anna S active A b E 1 W x)",
    };
    struct user_record *rec;

    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(user_record_decode("id", 2, bad[i], strlen(bad[i]), &rec) == IMAP_MAILBOX_BADFORMAT, "%s", bad[i]);
        ck_assert_ptr_null(rec);
    }
    for (size_t len = 0; len < strlen(FULL); len++)
        ck_assert_int_eq(user_record_decode("id", 2, FULL, len, &rec), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(user_record_decode("", 0, FULL, strlen(FULL), &rec), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(user_record_decode("a\nb", 3, FULL, strlen(FULL), &rec), IMAP_MAILBOX_BADFORMAT);
    /* a later version may say more */
    const char *more = "%(V 1 Z (a (b c) %(d e)) U anna S active)";
    ck_assert_int_eq(user_record_decode("id", 2, more, strlen(more), &rec), 0);
    user_record_free(&rec);
}
END_TEST

START_TEST(old_names_are_forgotten)
{
    struct user_record *rec = user_record_new("id", "n0", USER_ACTIVE), *back;
    struct buf val = BUF_INITIALIZER;

    for (int i = 1; i <= USER_MAXFORMER + 10; i++) {
        char *name = xasprintf("n%d", i);
        user_record_set_userid(rec, name, i);
        free(name);
    }
    ck_assert_uint_eq(rec->nformer, USER_MAXFORMER);
    ck_assert_str_eq(rec->former[USER_MAXFORMER - 1].userid, "n10");
    user_record_encode(rec, &val);
    ck_assert_int_eq(user_record_decode("id", 2, val.s, val.len, &back), 0);
    ck_assert_uint_eq(back->nformer, USER_MAXFORMER);
    user_record_free(&back);
    user_record_free(&rec);
    buf_free(&val);
}
END_TEST

/* ---- one user ---- */

static int change(int (*fn)(struct txn *txn, const char *userid), const char *userid)
{
    struct txn *txn = ot_begin();
    return ot_end(txn, fn(txn, userid));
}

static int create_in(struct txn *txn, const char *userid)
{
    struct user_createargs args = { .userid = userid, .storage = QUOTA_UNLIMITED };
    return user_create(txn, &args);
}

static int place_in(struct txn *txn, const char *userid)
{
    struct user_createargs args = { .userid = userid, .storage = QUOTA_UNLIMITED, .moving_in = true };
    return user_create(txn, &args);
}

static int disable_in(struct txn *txn, const char *userid)
{
    return user_disable(txn, userid, "reason");
}

static int delete_in(struct txn *txn, const char *userid)
{
    return user_delete(txn, userid, false);
}

static int undelete_in(struct txn *txn, const char *userid)
{
    return user_undelete(txn, userid, NULL);
}

static int rename_user(const char *from, const char *to)
{
    struct txn *txn = ot_begin();
    return ot_end(txn, user_rename(txn, from, to));
}

/* The state, or -1: there is no such user. */
static int state_of(const char *userid)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, NULL, &rec);
    int state = r ? -1 : (int)rec->state;

    ck_assert(!r || r == IMAP_NOTFOUND);
    user_record_free(&rec);
    return state;
}

static void assert_in_line(void)
{
    unsigned count;

    ot_check_store();
    ck_assert_int_eq(user_derive(&count), 0);
    ck_assert_uint_eq(count, 0);
}

static unsigned syncs(void)
{
    const struct diskio_counters *c = diskio_counters();
    return (unsigned)(c->calls[DISKIO_FDATASYNC] + c->calls[DISKIO_FSYNC]);
}

/* No sync more than the one of the transaction, and none to look. */
START_TEST(cost)
{
    struct buf text = BUF_INITIALIZER;

    /* they announce the databases of this window */
    ck_assert_int_eq(change(create_in, "first"), 0);
    ck_assert_int_eq(change(create_in, "second"), 0);
    static int (*const steps[])(struct txn *, const char *) = { create_in, disable_in, user_enable, delete_in, undelete_in };
    for (size_t i = 0; i < array_size(steps); i++) {
        diskio_counters_reset();
        ck_assert_int_eq(change(steps[i], "alice"), 0);
        /* files that are made for an INBOX cost one, as they did before there were records */
        bool makes = steps[i] == create_in || steps[i] == undelete_in;
        ck_assert_msg(syncs() == (makes ? 2 : 1), "step %zu: %u syncs", i, syncs());
        diskio_counters_reset();
        ck_assert_int_eq(user_record_delivery("alice"), 0);
        (void)user_record_refuses("alice", &text);
        ck_assert_uint_eq(syncs(), 0);
    }
    ck_assert_int_eq(rename_user("alice", "bob"), 0);
    assert_in_line();
    buf_free(&text);
}
END_TEST

/* An INBOX whose rights or modseq change leaves users.db alone. */
START_TEST(nothing_is_written_for_nothing)
{
    char *path;
    struct txn_db *db = NULL;

    ot_must_create("user.alice");
    path = user_record_path();
    struct txn *txn = ot_begin();
    ck_assert_int_eq(txn_lock_user(txn, "alice"), 0);
    ck_assert_int_eq(mboxlist_setacl(txn, "user.alice", "bob", "lrs", true, "admin", ot_admin), 0);
    ck_assert_int_eq(user_record_db_open(txn, &db), 0);
    ck_assert(!txn_db_is_locked(db));
    uint64_t before = diskio_counters()->calls[DISKIO_PWRITE];
    ck_assert_int_eq(ot_end(txn, 0), 0);
    ck_assert_uint_gt(diskio_counters()->calls[DISKIO_PWRITE], before);
    assert_in_line();
    free(path);
}
END_TEST

START_TEST(place_gets_another_id)
{
    struct user_record *rec = NULL;
    struct mboxlist_createargs args = { .name = "user.alice", .uniqueid = "9m9u8jpstluyqdvyr34olxgq", .from_sync = true,
                                        .uidvalidity = 1795310028, .highestmodseq = 6, .createdmodseq = 1,
                                        .acl = "alice\tlrswipkxtecdan\t" };

    ck_assert_int_eq(change(place_in, "alice"), 0);
    ck_assert_int_eq(state_of("alice"), USER_MOVING_IN);
    ck_assert(user_record_is_hidden("alice"));
    ck_assert_int_eq(ot_create_args(&args), 0);
    ck_assert_int_eq(user_record_lookup("alice", NULL, &rec), 0);
    ck_assert_int_eq(rec->state, USER_MOVING_IN);
    ck_assert_str_eq(rec->id, args.uniqueid);
    user_record_free(&rec);
    assert_in_line();
    ck_assert_int_eq(change(user_enable, "alice"), 0);
    ck_assert(!user_record_is_hidden("alice"));
    assert_in_line();
}
END_TEST

/* ---- homes ---- */

static int say_home(const char *userid, const char *id, const char *server, uint64_t epoch)
{
    struct user_home home = { .epoch = epoch, .since = 5 };
    struct txn *txn = ot_begin();
    int r = txn_lock_user(txn, userid);

    snprintf(home.server, sizeof(home.server), "%s", server);
    if (!r) r = user_home_take(txn, userid, id, &home);
    return ot_end(txn, r);
}

static void assert_home(const char *userid, const char *server, uint64_t epoch)
{
    struct user_home home;

    ck_assert_int_eq(user_home_get(userid, NULL, &home), server ? 0 : IMAP_NOTFOUND);
    ck_assert_str_eq(home.server, server ? server : "");
    ck_assert_uint_eq(home.epoch, epoch);
    ck_assert_int_eq(user_home_is_elsewhere(userid, NULL), server && strcmp(server, config_servername) != 0);
}

START_TEST(home_of_the_higher_epoch_counts)
{
    const char *me = config_servername;

    ck_assert_int_eq(say_home("alice", NULL, "x", 1), IMAP_INVALID_USER);
    ot_must_create("user.alice");
    ot_must_create("user.alice.Work");
    assert_home("alice", NULL, 0);
    ck_assert_int_eq(say_home("alice", NULL, me, 2), 0);
    assert_home("alice", me, 2);
    ck_assert_int_eq(say_home("alice", NULL, me, 2), 0);
    ck_assert_int_eq(say_home("alice", NULL, "x", 1), IMAP_USER_ATHOME);
    ck_assert_int_eq(say_home("alice", NULL, "x", 3), 0);
    ck_assert_int_eq(say_home("alice", NULL, "w", 3), IMAP_SYNC_CHANGED);
    ck_assert_int_eq(say_home("alice", NULL, "y", 3), 0);
    assert_home("alice", "y", 3);
    /* it goes with him, is kept in his tombstone, and comes back */
    ck_assert_int_eq(rename_user("alice", "bob"), 0);
    assert_home("bob", "y", 3);
    assert_home("alice", NULL, 0);
    ck_assert_int_eq(change(delete_in, "bob"), 0);
    assert_home("bob", NULL, 0);
    ck_assert_int_eq(change(undelete_in, "bob"), 0);
    assert_home("bob", "y", 3);
    assert_in_line();
}
END_TEST

/* Replication brings his INBOX; until then, and from then on, he is known. */
START_TEST(home_of_who_is_not_here_yet)
{
    struct mboxlist_createargs args = { .name = "user.alice", .uniqueid = "9m9u8jpstluyqdvyr34olxgq", .from_sync = true,
                                        .uidvalidity = 1795310028, .highestmodseq = 6, .createdmodseq = 1,
                                        .acl = "alice\tlrswipkxtecdan\t" };
    static const char *const ids[] = { "9m9u8jpstluyqdvyr34olxgq", "8m9u8jpstluyqdvyr34olxgq" }; /* as it was told, and another */

    for (size_t i = 0; i < array_size(ids); i++) {
        ck_assert_int_eq(say_home("alice", ids[i], "x", 1), 0);
        assert_home("alice", "x", 1);
        ck_assert_int_eq(state_of("alice"), -1);
        ck_assert_int_eq(ot_create_args(&args), 0);
        assert_home("alice", "x", 1);
        assert_in_line();
        ck_assert_int_eq(change(delete_in, "alice"), 0);
        args.uniqueid = "7m9u8jpstluyqdvyr34olxgq";
    }
    /* one that is expected again, and does not come */
    ck_assert_int_eq(say_home("alice", ids[0], "x", 7), 0);
    unsigned count;
    ck_assert_int_eq(user_derive(&count), 0);
    assert_in_line();
    assert_home("alice", NULL, 0);
}
END_TEST

static int lock_and_commit(const char *userid)
{
    struct txn *txn = ot_begin();
    int r = txn_lock_user(txn, userid);

    if (r) ck_assert(!txn_holds_user(txn, userid));
    return ot_end(txn, r);
}

START_TEST(guard)
{
    strarray_t both = STRARRAY_INITIALIZER;
    struct txn *txn;

    ot_must_create("user.alice");
    ot_must_create("user.bob");
    ck_assert_int_eq(say_home("alice", NULL, config_servername, 1), 0);
    ck_assert_int_eq(say_home("bob", NULL, "x", 1), 0);
    strarray_append(&both, "bob");
    strarray_append(&both, "alice");
    strarray_set(&both, 2, NULL);
    for (int g = USER_HOME_UNGUARDED; g <= USER_HOME_PEER; g++) {
        int alice = g == USER_HOME_PEER ? IMAP_USER_ATHOME : 0, bob = g == USER_HOME_CLIENT ? IMAP_USER_ELSEWHERE : 0;
        ck_assert_int_eq(user_home_set_guard((enum user_home_guard)g), USER_HOME_UNGUARDED);
        ck_assert_int_eq(lock_and_commit("alice"), alice);
        ck_assert_int_eq(lock_and_commit("bob"), bob);
        ck_assert_int_eq(lock_and_commit("carol"), 0);
        ck_assert_int_eq(lock_and_commit(NULL), 0);
        ck_assert_int_eq(user_home_keeps_out("user.bob"), bob != 0);
        ck_assert(!user_home_keeps_out("user.alice") && !user_home_keeps_out("shared"));
        txn = ot_begin();
        ck_assert_int_eq(txn_lock_users(txn, &both), alice ? alice : bob);
        txn_abort(&txn);
        txn = ot_begin();
        txn_only_reads(txn, "bob");
        txn_only_reads(txn, "alice");
        ck_assert_int_eq(txn_lock_users(txn, &both), 0);
        txn_abort(&txn);
        (void)user_home_set_guard(USER_HOME_UNGUARDED);
    }
    strarray_fini(&both);
}
END_TEST

/* ---- races ---- */

static int race_create(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return change(create_in, "carol");
}

static int race_place(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return change(place_in, "carol");
}

static int race_rename(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return rename_user("alice", "carol");
}

static int race_rename_other(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return rename_user("bob", "carol");
}

static int race_delete(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return change(delete_in, "alice");
}

static int race_disable(struct race_gate *gate, unsigned round)
{
    race_pass(gate);
    return change(disable_in, "alice");
}

static int race_deliver(struct race_gate *gate, unsigned round)
{
    struct mailbox *w;

    race_pass(gate);
    struct txn *txn = ot_begin();
    int r = user_record_delivery("alice");
    if (!r) r = mailbox_open_iwl(txn, "user.alice", &w);
    if (!r) st_append_in(w, round + 1);
    return ot_end(txn, r);
}

static void remove_all(void)
{
    static const char *const names[] = { "alice", "bob", "carol" };

    for (size_t i = 0; i < array_size(names); i++) {
        int r = change(delete_in, names[i]);
        ck_assert(!r || r == IMAP_NOTFOUND);
    }
    assert_in_line();
}

/* One of two gets the name, whatever each was about to make of it. */
START_TEST(one_name_for_two)
{
    static const struct {
        racer_fn *one, *two;
    } pairs[] = { { race_create, race_create }, { race_create, race_place },          { race_place, race_place },
                  { race_create, race_rename }, { race_rename, race_rename_other }, { race_place, race_rename } };
    int a, b;

    for (unsigned i = 0; i < ROUNDS; i++) {
        for (size_t p = 0; p < array_size(pairs); p++) {
            ck_assert_int_eq(change(create_in, "alice"), 0);
            ck_assert_int_eq(change(create_in, "bob"), 0);
            race_run(pairs[p].one, pairs[p].two, i, &a, &b);
            ck_assert_msg(!a != !b, "pair %zu: %d and %d", p, a, b);
            ck_assert_int_eq(a ? a : b, race_exit_code(IMAP_MAILBOX_EXISTS));
            ck_assert_int_ge(state_of("carol"), 0);
            assert_in_line();
            remove_all();
        }
    }
}
END_TEST

/* Disabled before, he is so afterwards; else there was nobody to disable. */
START_TEST(disable_while_he_is_renamed)
{
    int a, b;

    for (unsigned i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(change(create_in, "alice"), 0);
        race_run(race_rename, race_disable, i, &a, &b);
        ck_assert_int_eq(a, 0);
        RACE_ASSERT_ONE_OF(b, 0, IMAP_NOTFOUND);
        ck_assert_int_eq(state_of("carol"), b ? USER_ACTIVE : USER_DISABLED);
        ck_assert_int_eq(state_of("alice"), -1);
        remove_all();
    }
}
END_TEST

START_TEST(delete_while_he_is_renamed)
{
    int a, b;

    for (unsigned i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(change(create_in, "alice"), 0);
        race_run(race_rename, race_delete, i, &a, &b);
        ck_assert_int_ne(!a, !b);
        ck_assert_int_eq(a ? a : b, race_exit_code(IMAP_NOTFOUND));
        ck_assert_int_eq(state_of("carol"), a ? -1 : USER_ACTIVE);
        ck_assert_int_eq(state_of("alice"), -1);
        remove_all();
    }
}
END_TEST

/* The message is where he is, or was refused. */
START_TEST(delivery_while_he_is_renamed)
{
    int a, b;

    for (unsigned i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(change(create_in, "alice"), 0);
        race_run(race_rename, race_deliver, i, &a, &b);
        ck_assert_int_eq(a, 0);
        RACE_ASSERT_ONE_OF(b, 0, IMAP_MAILBOX_NONEXISTENT);
        struct mailbox *m = st_read("user.carol");
        ck_assert_uint_eq(mailbox_index_header(m)->exists, !b);
        mailbox_close(&m);
        ck_assert_int_eq(state_of("carol"), USER_ACTIVE);
        remove_all();
    }
}
END_TEST

Suite *users_suite(void)
{
    Suite *s = suite_create("users");
    TCase *tc = tcase_create("records");

    tcase_add_test(tc, values);
    tcase_add_test(tc, rubbish_is_refused);
    tcase_add_test(tc, old_names_are_forgotten);
    suite_add_tcase(s, tc);
    tc = tcase_create("store");
    tcase_add_checked_fixture(tc, ot_setup, ot_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, cost);
    tcase_add_test(tc, nothing_is_written_for_nothing);
    tcase_add_test(tc, place_gets_another_id);
    tcase_add_test(tc, home_of_the_higher_epoch_counts);
    tcase_add_test(tc, home_of_who_is_not_here_yet);
    tcase_add_test(tc, guard);
    tcase_add_test(tc, one_name_for_two);
    tcase_add_test(tc, disable_while_he_is_renamed);
    tcase_add_test(tc, delete_while_he_is_renamed);
    tcase_add_test(tc, delivery_while_he_is_renamed);
    suite_add_tcase(s, tc);
    return s;
}
