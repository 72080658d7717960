/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sync_walk -- the merge of two streams, by table and against a plain model
 *
 * The model asks of every UID from 1 up which arrays hold it. It cannot lose step,
 * because it has no steps.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "sync_walk.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

#define MAXRECS 64

struct side {
    struct index_record recs[MAXRECS];
    size_t n;
};

static void side_set(struct side *side, const char *uids)
{
    memset(side, 0, sizeof(*side));
    for (const char *p = uids; *p;) {
        char *end;
        unsigned long uid = strtoul(p, &end, 10);
        ck_assert_ptr_ne(end, p);
        side->recs[side->n++].uid = (uint32_t)uid;
        p = *end ? end + 1 : end;
    }
}

static void walk_start(struct sync_walk *walk, struct sync_array arrays[2], const struct side *a,
                       const struct side *b)
{
    sync_walk_init(
        walk, sync_stream_array(&arrays[0], a->recs, a->n, sizeof(struct index_record)),
        sync_stream_array(&arrays[1], b->recs, b->n, sizeof(struct index_record)));
}

/* "1= 2< 3>": both, only here, only there. */
static char *walk_text(const struct side *a, const struct side *b, struct sync_walk *walk)
{
    struct sync_array arrays[2];
    const struct index_record *ours, *theirs;
    struct buf text = BUF_INITIALIZER;
    enum sync_walk_side step;

    walk_start(walk, arrays, a, b);
    while ((step = sync_walk_next(walk, &ours, &theirs)) != SYNC_WALK_END) {
        if (buf_len(&text)) buf_putc(&text, ' ');
        uint32_t uid = ours ? ours->uid : theirs->uid;
        ck_assert(!ours || !theirs || ours->uid == theirs->uid);
        ck_assert_int_eq(step == SYNC_WALK_BOTH, ours && theirs);
        ck_assert_int_eq(step == SYNC_WALK_LOCAL, ours && !theirs);
        ck_assert_int_eq(step == SYNC_WALK_REMOTE, !ours && theirs);
        buf_printf(&text, "%u%c", uid, "=<>"[step]);
    }
    ck_assert_ptr_null(ours);
    ck_assert_ptr_null(theirs);
    return buf_release(&text);
}

START_TEST(test_sync_walk_table)
{
    static const struct { const char *local, *remote, *want; } rows[] = {
        { "", "", "" },
        { "1", "", "1<" },
        { "", "1", "1>" },
        { "1,2,4,5", "1,2,4,5", "1= 2= 4= 5=" },
        /* the replica lacks a record at the start, in the middle, at the end, two in a row */
        { "2,3,4", "1,2,3,4", "1> 2= 3= 4=" },
        { "1,2,4,5", "1,2,3,4,5", "1= 2= 3> 4= 5=" },
        { "1,2,3", "1,2,3,4", "1= 2= 3= 4>" },
        { "1,5,6", "1,2,3,4,5,6", "1= 2> 3> 4> 5= 6=" },
        /* and the other way round */
        { "1,2,3,4", "2,3,4", "1< 2= 3= 4=" },
        { "1,2,3,4,5", "1,2,4,5", "1= 2= 3< 4= 5=" },
        { "1,2,3,4", "1,2,3", "1= 2= 3= 4<" },
        { "1,3,5", "2,4,6", "1< 2> 3< 4> 5< 6>" },
        { "4294967295", "4294967294,4294967295", "4294967294> 4294967295=" },
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct side a, b;
        struct sync_walk walk;
        side_set(&a, rows[i].local);
        side_set(&b, rows[i].remote);
        char *text = walk_text(&a, &b, &walk);
        ck_assert_str_eq(text, rows[i].want);
        ck_assert_int_eq(walk.error, 0);
        free(text);
    }
}
END_TEST

START_TEST(test_sync_walk_order)
{
    static const struct {
        const char *local, *remote, *want;
        uint32_t uid;
        enum sync_walk_side side;
    } rows[] = {
        { "1,2,2", "1,2,3", "1= 2=", 2, SYNC_WALK_LOCAL },
        { "1,2,3", "1,3,2", "1= 2< 3=", 2, SYNC_WALK_REMOTE },
        { "0", "1", "", 0, SYNC_WALK_LOCAL },
        { "", "5,4", "5>", 4, SYNC_WALK_REMOTE },
        { "3,1", "", "3<", 1, SYNC_WALK_LOCAL },
        /* nothing is handed out beside a broken stream, also when the other side comes first */
        { "1,5", "9,8", "1< 5< 9>", 8, SYNC_WALK_REMOTE },
        { "2,1,3", "2,3,4", "2=", 1, SYNC_WALK_LOCAL },
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct side a, b;
        struct sync_walk walk;
        const struct index_record *ours, *theirs;
        side_set(&a, rows[i].local);
        side_set(&b, rows[i].remote);
        char *text = walk_text(&a, &b, &walk);
        ck_assert_str_eq(text, rows[i].want);
        ck_assert_int_eq(walk.error, IMAP_MAILBOX_BADFORMAT);
        ck_assert_uint_eq(walk.error_uid, rows[i].uid);
        ck_assert_int_eq(walk.error_side, rows[i].side);
        ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_END);
        ck_assert_int_eq(walk.error, IMAP_MAILBOX_BADFORMAT);
        free(text);
    }
}
END_TEST

/* A stream that fails on its own, and whose record lives only until it is asked again. */
struct failing {
    struct index_record rec;
    uint32_t uid, fail_at, end_at;
    unsigned calls;
};

static int failing_next(void *rock, const struct index_record **recp)
{
    struct failing *f = rock;

    f->calls++;
    memset(&f->rec, 0xff, sizeof(f->rec));
    if (++f->uid == f->fail_at) return IMAP_IOERROR;
    if (f->uid == f->end_at) return 0;
    f->rec.uid = f->uid;
    *recp = &f->rec;
    return 0;
}

START_TEST(test_sync_walk_stream_fails)
{
    struct failing f = { .fail_at = 4 };
    struct side b;
    struct sync_array array;
    struct sync_walk walk;
    const struct index_record *ours, *theirs;

    side_set(&b, "2,3,4,5");
    sync_walk_init(&walk, (struct sync_stream){ failing_next, &f },
                   sync_stream_array(&array, b.recs, b.n, sizeof(struct index_record)));
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_LOCAL);
    ck_assert_uint_eq(ours->uid, 1);
    ck_assert_uint_eq(f.calls, 1);
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_BOTH);
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_BOTH);
    ck_assert_uint_eq(ours->uid, 3);
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_END);
    ck_assert_int_eq(walk.error, IMAP_IOERROR);
    ck_assert_uint_eq(walk.error_uid, 3);
    ck_assert_uint_eq(f.calls, 4);
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_END);
    ck_assert_uint_eq(f.calls, 4);
}
END_TEST

START_TEST(test_sync_walk_end_is_quiet)
{
    /* a stream at its end is not asked again while the other one goes on */
    struct failing f = { .end_at = 10 }, g = { .end_at = 3 };
    struct sync_walk walk;
    const struct index_record *ours, *theirs;

    sync_walk_init(&walk, (struct sync_stream){ failing_next, &f },
                   (struct sync_stream){ failing_next, &g });
    for (uint32_t uid = 1; uid < 10; uid++) {
        ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs),
                         uid < 3 ? SYNC_WALK_BOTH : SYNC_WALK_LOCAL);
        ck_assert_uint_eq(ours->uid, uid);
    }
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_END);
    ck_assert_int_eq(walk.error, 0);
    ck_assert_uint_eq(f.calls, 10);
    ck_assert_uint_eq(g.calls, 3);

    sync_walk_init(&walk, (struct sync_stream){ NULL, NULL }, (struct sync_stream){ NULL, NULL });
    ck_assert_int_eq(sync_walk_next(&walk, &ours, &theirs), SYNC_WALK_END);
}
END_TEST

static bool side_has(const struct side *side, uint32_t uid)
{
    for (size_t i = 0; i < side->n; i++)
        if (side->recs[i].uid == uid) return true;
    return false;
}

START_TEST(test_sync_walk_random_pairs)
{
    srandom(20220801);
    for (int round = 0; round < 20000; round++) {
        struct side a = { .n = 0 }, b = { .n = 0 };
        struct sync_walk walk;
        struct buf want = BUF_INITIALIZER;
        uint32_t range = 1 + (uint32_t)random() % 40;
        int pa = (int)(random() % 101), pb = (int)(random() % 101);

        for (uint32_t uid = 1; uid <= range; uid++) {
            if (random() % 100 < pa) a.recs[a.n++] = (struct index_record){ .uid = uid };
            if (random() % 100 < pb) b.recs[b.n++] = (struct index_record){ .uid = uid };
        }
        for (uint32_t uid = 1; uid <= range; uid++) {
            bool in_a = side_has(&a, uid), in_b = side_has(&b, uid);
            if (!in_a && !in_b) continue;
            if (buf_len(&want)) buf_putc(&want, ' ');
            buf_printf(&want, "%u%c", uid, in_a && in_b ? '=' : in_a ? '<' : '>');
        }
        char *text = walk_text(&a, &b, &walk);
        ck_assert_str_eq(text, buf_cstring(&want));
        ck_assert_int_eq(walk.error, 0);
        free(text);
        buf_free(&want);
    }
}
END_TEST

Suite *sync_walk_suite(void)
{
    Suite *s = suite_create("sync_walk");
    TCase *tc = tcase_create("walk");

    tcase_add_test(tc, test_sync_walk_table);
    tcase_add_test(tc, test_sync_walk_order);
    tcase_add_test(tc, test_sync_walk_stream_fails);
    tcase_add_test(tc, test_sync_walk_end_is_quiet);
    tcase_add_test(tc, test_sync_walk_random_pairs);
    suite_add_tcase(s, tc);
    return s;
}
