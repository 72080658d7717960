/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Subscriptions with a history: its records, merging, and the file that keeps in line with sub.
 */
#include <config.h>

#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "cyrusdb.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "store_testutil.h"
#include "sub_entry.h"
#include "sub_history.h"
#include "user.h"
#include "xmalloc.h"

static void setup(void)
{
    st_setup(NULL);
    st_create("user.alice");
    st_create("user.alice.a");
    st_create("user.alice.b");
}

/* ---- records ---- */

START_TEST(values)
{
    char id[] = "bfjw84euyyizyofjvvjx6ama";
    struct sub_entry e = { NULL, true, 1795665643123456u, id }, got = { 0 };
    struct buf out = BUF_INITIALIZER;

    sub_entry_encode(&e, &out);
    ck_assert_str_eq(buf_cstring(&out), "1 on 1795665643123456 bfjw84euyyizyofjvvjx6ama");
    ck_assert_int_eq(sub_entry_decode(buf_base(&out), buf_len(&out), &got), 0);
    ck_assert(got.on && !sub_entry_cmp(&e, &got));
    ck_assert_int_eq(sub_entry_decode("1 off 7", 7, &got), 0);
    ck_assert(!got.on && got.stamp == 7 && !got.uniqueid);
    buf_free(&out);
}
END_TEST

START_TEST(bad_values)
{
    static const char *const bad[] = { "",        "1",         "2 on 5",  "1 maybe 5", "1 on ",    "1 on x",
                                       "1 on -1", "1 on 5 ",   "1 on 5x", "1 on 5 a b", "1 on 5 \x7f",
                                       "1 on 18446744073709551615", "1 on 99999999999999999999", "1 ON 5" };
    struct sub_entry e = { 0 };

    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(sub_entry_decode(bad[i], strlen(bad[i]), &e) == IMAP_MAILBOX_BADFORMAT, "%s", bad[i]);
    ck_assert_int_eq(sub_entry_decode("1 on 5 a\0b", 10, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert(!e.stamp && !e.uniqueid);
}
END_TEST

/* ---- merging ---- */

static void set(struct sub_list *list, const char *name, bool on, uint64_t stamp, const char *uniqueid)
{
    struct sub_entry e = { (char *)name, on, stamp, (char *)uniqueid };
    sub_list_merge(list, &e);
}

static void assert_list(const struct sub_list *list, const char *want)
{
    struct buf got = BUF_INITIALIZER;

    for (size_t i = 0; i < list->n; i++)
        buf_printf(&got, "%s%s%c%" PRIu64, i ? " " : "", list->v[i].name, list->v[i].on ? '+' : '-',
                   list->v[i].stamp);
    ck_assert_str_eq(buf_cstring(&got), want);
    buf_free(&got);
}

START_TEST(greatest_stamp_wins)
{
    struct sub_list list = SUB_LIST_INITIALIZER;

    set(&list, "b", true, 5, NULL);
    set(&list, "a", true, 6, NULL);
    set(&list, "b", false, 4, NULL);
    assert_list(&list, "a+6 b+5");
    set(&list, "b", false, 5, NULL); /* a tie: subscribed */
    assert_list(&list, "a+6 b+5");
    set(&list, "b", false, 7, NULL);
    set(&list, "b", true, 7, NULL);
    set(&list, "c", false, 1, NULL);
    assert_list(&list, "a+6 b+7 c-1");
    sub_list_fini(&list);
}
END_TEST

/* One round as the protocol makes it: both have the same afterwards. */
static void meet(struct sub_list *ours, struct sub_list *theirs)
{
    struct sub_list sent = SUB_LIST_INITIALIZER, take = SUB_LIST_INITIALIZER, give = SUB_LIST_INITIALIZER;
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;
    unsigned classes;

    sub_list_digest(ours, &a);
    sub_list_digest(theirs, &b);
    ck_assert(sub_digest_differ(buf_cstring(&a), buf_cstring(&b), &classes));
    for (size_t i = 0; i < theirs->n; i++)
        if (classes & (1u << sub_class(theirs->v[i].name))) sub_list_set(&sent, &theirs->v[i]);
    sub_list_compare(ours, &sent, classes, &take, &give);
    for (size_t i = 0; i < take.n; i++) ck_assert(sub_list_merge(ours, &take.v[i]));
    for (size_t i = 0; i < give.n; i++) ck_assert(sub_list_merge(theirs, &give.v[i]));
    sub_list_digest(ours, &a);
    sub_list_digest(theirs, &b);
    ck_assert_str_eq(buf_cstring(&a), buf_cstring(&b));
    sub_list_fini(&sent);
    sub_list_fini(&take);
    sub_list_fini(&give);
    buf_free(&a);
    buf_free(&b);
}

#define ENDS 3

START_TEST(random_meetings)
{
    struct sub_list end[ENDS] = { SUB_LIST_INITIALIZER }, all = SUB_LIST_INITIALIZER;
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;

    srandom((unsigned)_i + 1);
    for (unsigned step = 0; step < 400; step++) {
        char name[16];
        snprintf(name, sizeof(name), "n%ld", random() % 40);
        char id[] = "id";
        struct sub_entry e = { name, random() % 2, (uint64_t)random() % 50, random() % 2 ? id : NULL };
        sub_list_merge(&end[random() % ENDS], &e);
        sub_list_merge(&all, &e);
        if (random() % 10 == 0) meet(&end[random() % ENDS], &end[random() % ENDS]);
    }
    for (int i = 1; i < ENDS; i++) meet(&end[0], &end[i]);
    for (int i = 1; i < ENDS; i++) meet(&end[i], &end[0]);
    sub_list_digest(&all, &a);
    for (int i = 0; i < ENDS; i++) {
        sub_list_digest(&end[i], &b);
        ck_assert_str_eq(buf_cstring(&a), buf_cstring(&b));
        sub_list_fini(&end[i]);
    }
    sub_list_fini(&all);
    buf_free(&a);
    buf_free(&b);
}
END_TEST

START_TEST(digests)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;
    unsigned classes;

    sub_list_digest(&list, &a);
    ck_assert_uint_eq(buf_len(&a), SUB_DIGEST_LEN);
    set(&list, "user.x", true, 3, NULL);
    sub_list_digest(&list, &b);
    ck_assert(sub_digest_differ(buf_cstring(&a), buf_cstring(&b), &classes));
    ck_assert_uint_eq(classes, 1u << sub_class("user.x"));
    ck_assert(!sub_digest_differ(buf_cstring(&a), "", &classes));
    buf_replace_all(&b, "0", "G");
    ck_assert(!sub_digest_differ(buf_cstring(&a), buf_cstring(&b), &classes));
    sub_list_fini(&list);
    buf_free(&a);
    buf_free(&b);
}
END_TEST

/* ---- one mailbox under two names ---- */

static char *name_now(const char *uniqueid, void *rock)
{
    return xstrdupnull(rock);
}

static void follow(const char *now, struct sub_list *take, struct sub_list *give, const char *want)
{
    struct sub_list merged = SUB_LIST_INITIALIZER;

    for (size_t i = 0; i < take->n; i++) sub_list_merge(&merged, &take->v[i]);
    for (size_t i = 0; i < give->n; i++) sub_list_merge(&merged, &give->v[i]);
    sub_list_follow(&merged, take, give, 100, name_now, (void *)now);
    assert_list(&merged, want);
    for (size_t i = 0; i < merged.n; i++) {
        const struct sub_entry *e = &merged.v[i];
        if (e->stamp < 100) continue; /* what is new is told to both ends */
        ck_assert(!sub_entry_cmp(sub_list_find(take, e->name), e));
        ck_assert(!sub_entry_cmp(sub_list_find(give, e->name), e));
    }
    sub_list_fini(&merged);
    sub_list_fini(take);
    sub_list_fini(give);
}

START_TEST(renamed_here_and_changed_there)
{
    struct sub_list take = SUB_LIST_INITIALIZER, give = SUB_LIST_INITIALIZER;

    /* moved to the new name here, unsubscribed under the old one there, later */
    set(&give, "new", true, 11, "U");
    set(&take, "old", false, 20, "U");
    follow("new", &take, &give, "new-100 old-20");
    /* subscribed under the old one there, later */
    set(&give, "new", false, 11, "U");
    set(&take, "old", true, 20, "U");
    follow("new", &take, &give, "new+101 old-100");
    /* there earlier: what was said here holds */
    set(&give, "new", true, 30, "U");
    set(&take, "old", false, 20, "U");
    follow("new", &take, &give, "new+30 old-20");
    /* another mailbox, or none, has that name */
    set(&give, "new", true, 11, "V");
    set(&take, "old", false, 20, "U");
    follow("new", &take, &give, "new+11 old-20");
    set(&give, "new", true, 11, "U");
    set(&take, "old", false, 20, "U");
    follow(NULL, &take, &give, "new+11 old-20");
    /* nobody has spoken of the name that it has now */
    set(&give, "new", true, 11, "U");
    set(&take, "old", false, 20, "U");
    follow("third", &take, &give, "new+11 old-20");
    /* one end alone has spoken: names are independent, as ever */
    set(&take, "new", true, 11, "U");
    set(&take, "old", false, 20, "U");
    follow("new", &take, &give, "new+11 old-20");
}
END_TEST

/* ---- the file ---- */

static char *user_file(const char *suffix)
{
    struct user_meta *meta;

    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), 0);
    char *path = xstrdup(user_meta_path(meta, suffix));
    user_meta_free(&meta);
    return path;
}

static void subscribe(const char *name, bool on)
{
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(sub_change(txn, "alice", name, on), 0);
    st_commit(txn);
}

/* "name+ name-" */
static void assert_history(const char *want)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    struct buf got = BUF_INITIALIZER;

    ck_assert_int_eq(sub_history_read("alice", &list), 0);
    for (size_t i = 0; i < list.n; i++)
        buf_printf(&got, "%s%s%c", i ? " " : "", list.v[i].name, list.v[i].on ? '+' : '-');
    ck_assert_str_eq(buf_cstring(&got), want);
    buf_free(&got);
    sub_list_fini(&list);
}

static struct sub_entry entry_of(const char *name)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    static char uniqueid[200];

    ck_assert_int_eq(sub_history_read("alice", &list), 0);
    const struct sub_entry *e = sub_list_find(&list, name);
    ck_assert_ptr_nonnull(e);
    struct sub_entry copy = { NULL, e->on, e->stamp, NULL };
    if (e->uniqueid) {
        snprintf(uniqueid, sizeof(uniqueid), "%s", e->uniqueid);
        copy.uniqueid = uniqueid;
    }
    sub_list_fini(&list);
    return copy;
}

static uint64_t usec(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

START_TEST(changes_are_noted)
{
    char *sub = user_file("sub"), *history = user_file("subhistory");

    assert_history("");
    ck_assert(!test_exists(sub) && !test_exists(history)); /* reading makes nothing */
    uint64_t before = usec();
    subscribe("user.alice.a", true);
    subscribe("user.alice.nosuch", true);
    subscribe("user.alice.a", false);
    subscribe("user.alice.never", false); /* was not subscribed; elsewhere it may be */
    assert_history("user.alice.a- user.alice.never- user.alice.nosuch+");
    st_assert_subs("user.alice.nosuch");
    struct sub_entry a = entry_of("user.alice.a"), n = entry_of("user.alice.nosuch");
    ck_assert(n.stamp >= before && a.stamp > n.stamp && a.stamp <= usec());
    ck_assert_ptr_null(n.uniqueid);
    a = entry_of("user.alice.a");
    ck_assert_str_eq(a.uniqueid, st_uniqueid("user.alice.a"));
    subscribe("user.alice.nosuch", true); /* once more: it is what was said last */
    ck_assert_uint_gt(entry_of("user.alice.nosuch").stamp, n.stamp);
    free(sub);
    free(history);
}
END_TEST

START_TEST(an_aborted_change_is_not_noted)
{
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.a", true), 0);
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.b", true), 0);
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.a", false), 0);
    txn_abort(&txn);
    assert_history("");
    txn = st_begin("alice");
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.a", true), 0);
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.b", true), 0);
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.a", false), 0);
    st_commit(txn);
    assert_history("user.alice.a- user.alice.b+");
    ck_assert_uint_gt(entry_of("user.alice.a").stamp, entry_of("user.alice.b").stamp);
}
END_TEST

/* A stamp from a clock that is ahead: what is said here afterwards is later all the same. */
START_TEST(stamps_only_grow)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    uint64_t ahead = usec() + 3600u * 1000000;
    size_t changed;

    set(&list, "user.alice.a", true, ahead, NULL);
    ck_assert_int_eq(sub_history_apply("alice", &list, &changed), 0);
    ck_assert_uint_eq(changed, 1);
    ck_assert_int_eq(sub_history_apply("alice", &list, &changed), 0);
    ck_assert_uint_eq(changed, 0);
    subscribe("user.alice.b", true);
    subscribe("user.alice.a", false);
    st_assert_subs("user.alice.b");
    ck_assert_uint_eq(entry_of("user.alice.b").stamp, ahead + 1);
    ck_assert_uint_eq(entry_of("user.alice.a").stamp, ahead + 2);
    sub_list_fini(&list);
}
END_TEST

START_TEST(what_holds_is_applied)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    size_t changed;

    subscribe("user.alice.a", true);
    subscribe("user.alice.b", true);
    uint64_t now = usec();
    set(&list, "user.alice.a", false, 17, NULL);       /* long ago */
    set(&list, "user.alice.b", false, now + 100, "X"); /* later */
    set(&list, "user.bob.z", true, 18, NULL);          /* news */
    set(&list, "user.bob.y", false, 19, NULL);
    ck_assert_int_eq(sub_history_apply("alice", &list, &changed), 0);
    ck_assert_uint_eq(changed, 2);
    st_assert_subs("user.alice.a user.bob.z");
    assert_history("user.alice.a+ user.alice.b- user.bob.y- user.bob.z+");
    ck_assert_str_eq(entry_of("user.alice.b").uniqueid, "X");
    sub_list_fini(&list);
}
END_TEST

/* ---- somebody else changed sub ---- */

#define OTHER_TIME 1795310893

/* As 3.6.1 would: a new file, with its own time. */
static void write_sub(const char *bytes, time_t when)
{
    char *sub = user_file("sub");
    struct timespec times[2] = { { when, 250000000 }, { when, 250000000 } };

    unlink(sub);
    test_writefile(sub, bytes, strlen(bytes));
    ck_assert_int_eq(utimensat(AT_FDCWD, sub, times, 0), 0);
    free(sub);
}

START_TEST(a_file_without_history)
{
    write_sub("\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1f" "a\t\n", OTHER_TIME);
    assert_history("user.alice+ user.alice.a+");
    ck_assert_uint_eq(entry_of("user.alice.a").stamp, OTHER_TIME * UINT64_C(1000000) + 250000);
    ck_assert_str_eq(entry_of("user.alice.a").uniqueid, st_uniqueid("user.alice.a"));
    st_assert_subs("user.alice user.alice.a");
}
END_TEST

START_TEST(a_file_without_history_is_changed)
{
    write_sub("user.alice\t\nuser.alice.b\t\n", OTHER_TIME); /* of version 1 */
    subscribe("user.alice.a", true);
    assert_history("user.alice+ user.alice.a+ user.alice.b+");
    ck_assert_uint_eq(entry_of("user.alice.b").stamp, OTHER_TIME * UINT64_C(1000000) + 250000);
    ck_assert_uint_gt(entry_of("user.alice.a").stamp, OTHER_TIME * UINT64_C(1000000) + 250000);
}
END_TEST

START_TEST(changed_by_another_program)
{
    subscribe("user.alice.a", true);
    subscribe("user.alice.b", true);
    subscribe("user.alice", true);
    subscribe("user.alice", false);
    uint64_t b = entry_of("user.alice.b").stamp;
    time_t later = time(NULL) + 20; /* a clock ahead of ours: not later than now */
    write_sub("\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1f" "b\t\n", later);
    uint64_t now = usec();
    assert_history("user.alice+ user.alice.a- user.alice.b+");
    ck_assert_uint_eq(entry_of("user.alice.b").stamp, b);
    ck_assert(entry_of("user.alice").stamp >= now && entry_of("user.alice").stamp <= usec());
    st_assert_subs("user.alice user.alice.b");
    /* older than what was said here (a clock behind ours): it is what is so, all the same */
    uint64_t a = entry_of("user.alice").stamp;
    write_sub("\x1fVER\x1f\t2\nNINBOX\x1f" "b\t\n", OTHER_TIME);
    assert_history("user.alice- user.alice.a- user.alice.b+");
    ck_assert_uint_gt(entry_of("user.alice").stamp, a);
}
END_TEST

/* The next change here comes later than that of the other program, and does not take its time away. */
START_TEST(changed_by_another_program_before_a_change)
{
    struct sub_list list = SUB_LIST_INITIALIZER;

    set(&list, "user.alice.a", true, (OTHER_TIME - 100) * UINT64_C(1000000), NULL);
    set(&list, "user.alice.b", true, (OTHER_TIME - 100) * UINT64_C(1000000), NULL);
    ck_assert_int_eq(sub_history_apply("alice", &list, NULL), 0);
    write_sub("\x1fVER\x1f\t2\nNINBOX\x1f" "b\t\n", OTHER_TIME);
    subscribe("user.alice", true);
    assert_history("user.alice+ user.alice.a- user.alice.b+");
    ck_assert_uint_eq(entry_of("user.alice.a").stamp, OTHER_TIME * UINT64_C(1000000) + 250000);
    sub_list_fini(&list);
}
END_TEST

/* Nobody unsubscribes by removing the file: the history of a lost one must not take subscriptions away elsewhere. */
START_TEST(subscriptions_are_lost)
{
    char *sub = user_file("sub"), *history = user_file("subhistory"), *kept = xasprintf("%s.damaged", history);

    subscribe("user.alice.a", true);
    ck_assert_int_eq(txn_checkpoint(), 0);
    ck_assert_int_eq(unlink(sub), 0);
    assert_history("");
    ck_assert(test_exists(kept) && !test_exists(history));
    subscribe("user.alice.b", true);
    assert_history("user.alice.b+");
    free(sub);
    free(history);
    free(kept);
}
END_TEST

/* ---- damage ---- */

/* The files are what the disk has. */
static void stopped(void)
{
    txn_shutdown();
    cyrusdb_done();
}

static void damage(const char *path, unsigned how)
{
    struct buf bytes = BUF_INITIALIZER;

    test_readfile(path, &bytes);
    switch (how) {
    case 0: memset(bytes.s, 'x', 64); break;
    case 1: memset(bytes.s + 64, 0xff, bytes.len - 64); break;
    case 2: bytes.len = 30; break;
    case 3: bytes.len = 0; break;
    case 4: bytes.len -= 20; break;
    }
    test_writefile(path, bytes.s, bytes.len);
    buf_free(&bytes);
}

static void must_be_sound_again(char *history)
{
    struct txn_db *db;

    st_assert_subs("user.alice user.alice.b");
    assert_history("user.alice+ user.alice.b+");
    ck_assert_int_eq(txn_db_open(NULL, "twoskip", history, 0, &db), 0);
    ck_assert_int_eq(txn_db_fetch(db, "NINBOX", 6, NULL, NULL), 0);
    txn_db_close(&db);
}

START_TEST(a_damaged_history_is_made_anew)
{
    char *history = user_file("subhistory"), *kept = xasprintf("%s.damaged", history);

    subscribe("user.alice", true);
    subscribe("user.alice.b", true);
    stopped();
    damage(history, (unsigned)_i);
    must_be_sound_again(history);
    ck_assert(_i == 3 || _i == 4 || test_exists(kept));
    free(history);
    free(kept);
}
END_TEST

START_TEST(a_damaged_history_does_not_stop_a_change)
{
    char *history = user_file("subhistory"), *kept = xasprintf("%s.damaged", history);

    subscribe("user.alice", true);
    subscribe("user.alice.a", true);
    stopped();
    damage(history, (unsigned)_i);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.b", true), 0);
    ck_assert_int_eq(sub_change(txn, "alice", "user.alice.a", false), 0);
    st_commit(txn);
    st_assert_subs("user.alice user.alice.b");
    struct sub_list list = SUB_LIST_INITIALIZER;
    ck_assert_int_eq(sub_history_read("alice", &list), 0);
    ck_assert(sub_list_find(&list, "user.alice")->on && sub_list_find(&list, "user.alice.b")->on);
    const struct sub_entry *a = sub_list_find(&list, "user.alice.a");
    ck_assert(!a || !a->on); /* of a damaged one it may not be known */
    sub_list_fini(&list);
    free(history);
    free(kept);
}
END_TEST

/* Bytes anywhere: what is subscribed stays so, and the history says what it is. */
START_TEST(a_history_with_bad_bytes)
{
    char *history = user_file("subhistory");
    struct buf bytes = BUF_INITIALIZER;

    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof(name), "user.alice.%c%d", i % 2 ? 'a' : 'b', i / 2);
        subscribe(name, true);
        if (i % 3 == 0) subscribe(name, false);
    }
    stopped();
    test_readfile(history, &bytes);
    srandom((unsigned)_i);
    for (int n = 1 + _i % 5; n > 0; n--) bytes.s[(size_t)random() % bytes.len] ^= (char)(1 + random() % 255);
    if (_i % 7 == 0) bytes.len = (size_t)random() % bytes.len;
    test_writefile(history, bytes.s, bytes.len);
    if (_i % 2) subscribe("user.alice.nosuch", false); /* else a reader comes first */
    strarray_t names = STRARRAY_INITIALIZER;
    struct sub_list list = SUB_LIST_INITIALIZER;
    ck_assert_int_eq(sub_list("alice", &names), 0);
    ck_assert_int_eq(strarray_size(&names), 8);
    ck_assert_int_eq(sub_history_read("alice", &list), 0);
    size_t on = 0;
    for (size_t i = 0; i < list.n; i++) {
        on += list.v[i].on;
        ck_assert_int_eq(list.v[i].on, strarray_contains(&names, list.v[i].name));
    }
    ck_assert_uint_eq(on, 8);
    sub_list_fini(&list);
    strarray_fini(&names);
    buf_free(&bytes);
    free(history);
}
END_TEST

/* Damage that only the change itself meets: the record before it in the file's lists. */
START_TEST(damage_where_the_change_goes)
{
    char *history = user_file("subhistory"), *kept = xasprintf("%s.damaged", history);
    struct buf bytes = BUF_INITIALIZER;

    subscribe("user.alice", true);
    subscribe("user.alice.b", true);
    stopped();
    test_readfile(history, &bytes);
    char *at = memmem(bytes.s, bytes.len, "NINBOX", 6);
    ck_assert_ptr_nonnull(at);
    at[-8] ^= 1; /* the checksum of its head */
    test_writefile(history, bytes.s, bytes.len);
    subscribe("user.alice.b", false);
    subscribe("user.alice.a", true);
    ck_assert(test_exists(kept));
    st_assert_subs("user.alice user.alice.a");
    struct sub_list list = SUB_LIST_INITIALIZER;
    ck_assert_int_eq(sub_history_read("alice", &list), 0);
    ck_assert(sub_list_find(&list, "user.alice")->on && sub_list_find(&list, "user.alice.a")->on);
    ck_assert(!sub_list_find(&list, "user.alice.b") || !sub_list_find(&list, "user.alice.b")->on);
    sub_list_fini(&list);
    buf_free(&bytes);
    free(history);
    free(kept);
}
END_TEST

/* ---- cost ---- */

#define MANY 5000

static uint64_t records_of_a_change(const char *name, bool on)
{
    uint64_t before = cyrusdb_records_read();

    subscribe(name, on);
    return cyrusdb_records_read() - before;
}

/* A search passes some records per level of the lists: of 5,000, not the 5,000. */
START_TEST(a_change_reads_few_records)
{
    char name[64];

    struct txn *txn = st_begin("alice");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "user.alice.%d", i);
        ck_assert_int_eq(sub_change(txn, "alice", name, true), 0);
    }
    st_commit(txn);
    subscribe("user.alice", true); /* looks at all of it, if the commit of so many took more than a second */
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "user.alice.%d", i * 487);
        ck_assert_uint_lt(records_of_a_change(name, i % 2), 1000);
        snprintf(name, sizeof(name), "user.alice.new%d", i * 487);
        ck_assert_uint_lt(records_of_a_change(name, true), 1000);
    }
}
END_TEST

START_TEST(a_record_that_makes_no_sense)
{
    static const char *const keys[] = { "NINBOX", "X", "\x1fVER\x1f", "\x1fLAST\x1f" };
    char *history = user_file("subhistory"), *kept = xasprintf("%s.damaged", history);
    struct txn_db *db;

    subscribe("user.alice", true);
    subscribe("user.alice.b", true);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(txn_db_open(txn, "twoskip", history, 0, &db), 0);
    ck_assert_int_eq(txn_db_store(db, keys[_i], strlen(keys[_i]), "nonsense", 8), 0);
    st_commit(txn);
    must_be_sound_again(history);
    ck_assert(test_exists(kept));
    free(history);
    free(kept);
}
END_TEST

/* ---- RENAME ---- */

static void rename_by(const char *userid, const char *from, const char *to)
{
    struct auth_state *auth = auth_newstate(userid);
    struct txn *txn;

    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(mboxlist_renametree(txn, from, to, NULL, false, userid, auth, 0, NULL, NULL), 0);
    st_commit(txn);
    auth_freestate(&auth);
}

START_TEST(rename_leaves_subscriptions)
{
    subscribe("user.alice.a", true);
    rename_by("alice", "user.alice.a", "user.alice.c");
    assert_history("user.alice.a+");
}
END_TEST

START_TEST(rename_moves_subscriptions)
{
    st_teardown();
    st_setup("rename_subscriptions: yes\n");
    st_create("user.alice");
    st_create("user.bob");
    st_create("user.alice.a");
    st_create("user.alice.a.x");
    st_create("user.alice.b");
    subscribe("user.alice.a", true);
    subscribe("user.alice.a.x", true);
    subscribe("user.alice.b", false);
    struct txn *txn = st_begin("bob");
    ck_assert_int_eq(sub_change(txn, "bob", "user.alice.a", true), 0);
    st_commit(txn);
    rename_by("bob", "user.alice.a", "user.alice.c");
    assert_history("user.alice.a- user.alice.a.x- user.alice.b- user.alice.c+ user.alice.c.x+");
    st_assert_subs("user.alice.c user.alice.c.x");
    ck_assert(sub_is_subscribed("bob", "user.alice.c") && !sub_is_subscribed("bob", "user.alice.a"));
    ck_assert_str_eq(entry_of("user.alice.c").uniqueid, st_uniqueid("user.alice.a"));
    ck_assert_uint_gt(entry_of("user.alice.c").stamp, entry_of("user.alice.a").stamp);
    rename_by("alice", "user.alice.b", "user.alice.d"); /* was not subscribed */
    st_assert_subs("user.alice.c user.alice.c.x");
    /* an INBOX gives its messages away, and stays */
    subscribe("user.alice", true);
    rename_by("alice", "user.alice", "user.alice.old");
    st_assert_subs("user.alice user.alice.c user.alice.c.x");
}
END_TEST

/* ---- old ones, and who goes ---- */

START_TEST(tombstones_expire)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    size_t removed = 0;

    set(&list, "user.alice.a", false, 1000u * 1000000, NULL);
    set(&list, "user.alice.b", true, 1000u * 1000000, NULL);
    set(&list, "user.bob.c", false, 3000u * 1000000, NULL);
    ck_assert_int_eq(sub_history_apply("alice", &list, NULL), 0);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(sub_history_expire(txn, "alice", 2000, &removed), 0);
    st_commit(txn);
    ck_assert_uint_eq(removed, 1);
    assert_history("user.alice.b+ user.bob.c-");
    st_assert_subs("user.alice.b");
    sub_list_fini(&list);
}
END_TEST

Suite *sub_history_suite(void);
Suite *sub_history_suite(void)
{
    Suite *s = suite_create("sub_history");
    TCase *tc = tcase_create("entries");
    tcase_add_test(tc, values);
    tcase_add_test(tc, bad_values);
    tcase_add_test(tc, greatest_stamp_wins);
    tcase_add_loop_test(tc, random_meetings, 0, 20);
    tcase_add_test(tc, digests);
    tcase_add_test(tc, renamed_here_and_changed_there);
    suite_add_tcase(s, tc);
    tc = tcase_create("file");
    tcase_add_checked_fixture(tc, setup, st_teardown);
    tcase_add_test(tc, changes_are_noted);
    tcase_add_test(tc, an_aborted_change_is_not_noted);
    tcase_add_test(tc, stamps_only_grow);
    tcase_add_test(tc, what_holds_is_applied);
    tcase_add_test(tc, a_file_without_history);
    tcase_add_test(tc, a_file_without_history_is_changed);
    tcase_add_test(tc, changed_by_another_program);
    tcase_add_test(tc, changed_by_another_program_before_a_change);
    tcase_add_test(tc, subscriptions_are_lost);
    tcase_add_loop_test(tc, a_damaged_history_is_made_anew, 0, 5);
    tcase_add_loop_test(tc, a_damaged_history_does_not_stop_a_change, 0, 5);
    tcase_add_loop_test(tc, a_history_with_bad_bytes, 0, 100);
    tcase_add_test(tc, damage_where_the_change_goes);
    tcase_add_test(tc, a_change_reads_few_records);
    tcase_add_loop_test(tc, a_record_that_makes_no_sense, 0, 4);
    tcase_add_test(tc, rename_leaves_subscriptions);
    tcase_add_test(tc, rename_moves_subscriptions);
    tcase_add_test(tc, tombstones_expire);
    suite_add_tcase(s, tc);
    return s;
}
