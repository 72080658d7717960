/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sync_ranges -- digests of ranges find what a comparison of all records finds, and ask for little
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "sync_client_full.h"
#include "sync_folder.h"
#include "sync_ranges.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

Suite *sync_ranges_suite(void);

/* ---- one end is an array ---- */

struct end {
    struct sync_record *v;
    size_t n;
};

static struct sync_record *add(struct end *end, uint32_t uid)
{
    if (!(end->n & (end->n - 1))) end->v = xreallocarray(end->v, end->n ? 2 * end->n : 1, sizeof(*end->v)); /* at powers of 2 */
    struct sync_record *rec = &end->v[end->n++];
    sync_record_init(rec);
    rec->rec.uid = uid;
    rec->rec.modseq = 1000 + uid;
    memset(rec->rec.guid.value, (int)(uid % 251), MESSAGE_GUID_SIZE);
    return rec;
}

static void end_fini(struct end *end)
{
    for (size_t i = 0; i < end->n; i++) sync_record_fini(&end->v[i]);
    free(end->v);
    *end = (struct end){ NULL, 0 };
}

static bool ends_with(const struct end *end, uint32_t uid)
{
    return end->n && end->v[end->n - 1].rec.uid == uid;
}

static bool alive(const struct sync_record *rec)
{
    return !(rec->rec.internal_flags & FLAG_INTERNAL_EXPUNGED);
}

static int each(void *rock, uint32_t first, uint32_t last, sync_ranges_fn *fn, void *fnrock)
{
    const struct end *end = rock;
    size_t low = 0, high = end->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (end->v[mid].rec.uid < first)
            low = mid + 1;
        else
            high = mid;
    }
    for (size_t i = low; i < end->n && end->v[i].rec.uid <= last; i++) {
        if (!alive(&end->v[i])) continue;
        int r = fn(&end->v[i], fnrock);
        if (r) return r;
    }
    return 0;
}

struct two {
    struct end ours, theirs;
    size_t asked, commands, levels;
    int fail; /* this command fails */
};

static int split(void *rock, const struct sync_ranges *parents, struct sync_ranges *parts)
{
    struct two *two = rock;
    struct sync_ranges_source source = { each, &two->ours };

    two->levels++;
    for (size_t i = 0; i < parents->n; i++) ck_assert_int_eq(sync_ranges_split(&source, &parents->v[i], parts), 0);
    return 0;
}

static int ask(void *rock, struct sync_range *v, size_t n)
{
    struct two *two = rock;
    struct sync_ranges_source source = { each, &two->theirs };

    ck_assert_uint_le(n, SYNC_RANGES_ASK);
    two->asked += n;
    if (++two->commands == (size_t)two->fail) return IMAP_SERVER_UNAVAILABLE;
    return sync_ranges_sum(&source, v, n);
}

static int find(struct two *two, struct sync_ranges *differing)
{
    struct sync_ranges_ends ends = { split, ask, two };
    struct sync_range root = { .first = 1, .last = 1000000, .n = (uint32_t)two->ours.n };

    two->asked = two->commands = two->levels = 0;
    return sync_ranges_find(&ends, &root, differing);
}

static void two_fini(struct two *two)
{
    end_fini(&two->ours);
    end_fini(&two->theirs);
}

/* ---- what is right ---- */

static const struct sync_record *at(const struct end *end, uint32_t uid)
{
    for (size_t i = 0; i < end->n; i++)
        if (end->v[i].rec.uid == uid) return alive(&end->v[i]) ? &end->v[i] : NULL;
    return NULL;
}

static bool differs(const struct two *two, uint32_t uid)
{
    const struct sync_record *a = at(&two->ours, uid), *b = at(&two->theirs, uid);

    if (!a || !b) return a != b;
    return !message_guid_equal(&a->rec.guid, &b->rec.guid) || !full_same_record(a, b);
}

/* Every UID that differs is found, ranges rise and are apart; how many differ. */
static size_t must_be_found(const struct two *two, const struct sync_ranges *found)
{
    const struct end *ends[] = { &two->ours, &two->theirs };
    size_t n = 0;

    for (size_t e = 0; e < array_size(ends); e++) {
        for (size_t i = 0; i < ends[e]->n; i++) {
            uint32_t uid = ends[e]->v[i].rec.uid;
            if (!differs(two, uid)) continue;
            ck_assert_msg(sync_ranges_have(found, uid), "uid %u is not found", uid);
            n++;
        }
    }
    for (size_t i = 1; i < found->n; i++) ck_assert_uint_gt(found->v[i].first, found->v[i - 1].last + 1);
    return n;
}

/* ---- random lists ---- */

static void random_change(struct sync_record *rec)
{
    switch (random() % 11) {
    case 0: rec->rec.system_flags ^= FLAG_FLAGGED; break;
    case 1: strarray_append(&rec->userflags, "$New"); break;
    case 2: rec->rec.modseq++; break;
    case 3: rec->rec.last_updated++; break;
    case 4: rec->rec.internaldate++; break;
    case 5: rec->rec.guid.value[7] ^= 1; break;
    case 6: rec->rec.cid++; break;
    case 7: rec->rec.savedate++; break;
    case 8: rec->rec.createdmodseq++; break;
    case 9: sync_annots_add(&rec->annots, "/comment", "", "x", 1, 1); break;
    case 10: rec->rec.internal_flags |= FLAG_INTERNAL_EXPUNGED; break;
    }
}

static void random_pair(struct two *two, uint32_t n, unsigned permille)
{
    uint32_t uid = 0;

    for (uint32_t i = 0; i < n; i++) {
        uid += random() % 10 ? 1 : 1 + (uint32_t)random() % 300;
        struct sync_record *one = add(&two->ours, uid), *other = add(&two->theirs, uid);
        if (random() % 5 == 0) { /* on either end expunged, or forgotten */
            one->rec.internal_flags |= FLAG_INTERNAL_EXPUNGED;
            other->rec.internal_flags |= FLAG_INTERNAL_EXPUNGED;
            other->rec.modseq++;
            if (random() % 2) two->theirs.n--;
        }
        if ((unsigned)random() % 1000 >= permille) continue;
        switch (random() % 4) {
        case 0: two->ours.n--; break;
        case 1:
            if (ends_with(&two->theirs, uid)) two->theirs.n--;
            break;
        default: random_change(random() % 2 || !ends_with(&two->theirs, uid) ? one : other);
        }
    }
}

START_TEST(test_random_lists)
{
    static const struct {
        uint32_t n;
        unsigned permille;
        int times;
    } sizes[] = { { 20, 100, 200 }, { 300, 30, 60 }, { 2000, 2, 10 }, { 300, 900, 5 }, { 0, 0, 1 }, { 400, 0, 5 } };

    srandom(20261126);
    for (size_t s = 0; s < array_size(sizes); s++) {
        for (int t = 0; t < sizes[s].times; t++) {
            struct two two = { 0 };
            struct sync_ranges found = { NULL, 0, 0 };
            random_pair(&two, sizes[s].n, sizes[s].permille);
            ck_assert_int_eq(find(&two, &found), 0);
            size_t n = must_be_found(&two, &found);
            ck_assert_uint_le(found.n, n);
            ck_assert_uint_le(two.asked, SYNC_RANGES_FAN * (1 + n * two.levels));
            if (!n) ck_assert_uint_eq(two.levels, 1);
            sync_ranges_fini(&found);
            two_fini(&two);
        }
    }
}
END_TEST

/* ---- single differences ---- */

static void equal_pair(struct two *two, uint32_t n)
{
    for (uint32_t uid = 1; uid <= n; uid++) {
        add(&two->ours, uid);
        add(&two->theirs, uid);
    }
}

START_TEST(test_one_flag_among_many)
{
    struct two two = { 0 };
    struct sync_ranges found = { NULL, 0, 0 };

    equal_pair(&two, 20000);
    two.theirs.v[12344].rec.system_flags ^= FLAG_FLAGGED;
    ck_assert_int_eq(find(&two, &found), 0);
    ck_assert_uint_eq(found.n, 1);
    ck_assert_uint_le(found.v[0].first, 12345);
    ck_assert_uint_ge(found.v[0].last, 12345);
    ck_assert_uint_lt(found.v[0].last - found.v[0].first, SYNC_RANGES_LEAF);
    ck_assert_uint_le(two.levels, 5); /* 8^5 > 20000 */
    ck_assert_uint_le(two.asked, 5 * SYNC_RANGES_FAN);
    sync_ranges_fini(&found);
    two_fini(&two);
}
END_TEST

/* Ten thousand that only one end has: found as a whole, not one by one. */
START_TEST(test_one_end_has_many_more)
{
    for (int way = 0; way < 2; way++) {
        struct two two = { 0 };
        struct sync_ranges found = { NULL, 0, 0 };
        struct end *more = way ? &two.ours : &two.theirs;

        equal_pair(&two, 1000);
        for (uint32_t uid = 1001; uid <= 11000; uid++) add(more, uid);
        ck_assert_int_eq(find(&two, &found), 0);
        must_be_found(&two, &found);
        ck_assert_uint_eq(found.n, 1);
        ck_assert_uint_lt(two.asked, 200);
        sync_ranges_fini(&found);
        two_fini(&two);
    }
}
END_TEST

/* When very many differ they are not told apart. */
START_TEST(test_all_differ)
{
    struct two two = { 0 };
    struct sync_ranges found = { NULL, 0, 0 };
    uint32_t n = 3 * SYNC_RANGES_MANY;

    for (uint32_t i = 0; i < n; i++) add(&two.ours, 1 + 2 * i);
    struct sync_ranges_ends ends = { split, ask, &two };
    struct sync_range root = { .first = 1, .last = UINT32_MAX, .n = n };
    /* each message has one beside it */
    for (uint32_t i = 0; i < n; i++) add(&two.theirs, 2 + 2 * i);
    ck_assert_int_eq(sync_ranges_find(&ends, &root, &found), 0);
    ck_assert_uint_eq(found.n, 1);
    ck_assert_uint_eq(found.v[0].first, 1);
    ck_assert_uint_eq(found.v[0].last, UINT32_MAX);
    ck_assert_uint_le(two.asked, 3 * SYNC_RANGES_MANY);
    sync_ranges_fini(&found);
    two_fini(&two);
}
END_TEST

START_TEST(test_failure_ends_it)
{
    struct two two = { .fail = 2 };
    struct sync_ranges found = { NULL, 0, 0 };

    equal_pair(&two, 100);
    two.theirs.v[50].rec.modseq++;
    ck_assert_int_eq(find(&two, &found), IMAP_SERVER_UNAVAILABLE);
    ck_assert_uint_eq(two.commands, 2);
    sync_ranges_fini(&found);
    two_fini(&two);
}
END_TEST

/* ---- digests ---- */

static struct sync_range sum_of(struct end *end)
{
    struct sync_ranges_source source = { each, end };
    struct sync_range range = { .first = 1, .last = UINT32_MAX };

    ck_assert_int_eq(sync_ranges_sum(&source, &range, 1), 0);
    return range;
}

/* Order and case of flags, the modseqs of annotations, slots, sizes and tombstones do not count. */
START_TEST(test_what_does_not_count)
{
    struct two two = { 0 };
    struct sync_record *a = add(&two.ours, 7), *b = add(&two.theirs, 7);

    strarray_append(&a->userflags, "Beta");
    strarray_append(&a->userflags, "alpha");
    strarray_append(&b->userflags, "ALPHA");
    strarray_append(&b->userflags, "beta");
    a->rec.user_flags[0] = 3;
    b->rec.user_flags[2] = 5;
    a->rec.size = 9;
    sync_annots_add(&a->annots, "/comment", "", "x", 1, 5);
    sync_annots_add(&b->annots, "/comment", "", "x", 1, 6);
    add(&two.theirs, 8)->rec.internal_flags |= FLAG_INTERNAL_EXPUNGED;
    struct sync_range one = sum_of(&two.ours), other = sum_of(&two.theirs);
    ck_assert(sync_range_equal(&one, &other));
    ck_assert_uint_eq(one.n, 1);
    two_fini(&two);
}
END_TEST

/* Texts that run into each other are told apart. */
START_TEST(test_texts_are_apart)
{
    struct two two = { 0 };
    struct sync_record *a = add(&two.ours, 7), *b = add(&two.theirs, 7);

    strarray_append(&a->userflags, "ab");
    strarray_append(&a->userflags, "c");
    strarray_append(&b->userflags, "a");
    strarray_append(&b->userflags, "bc");
    struct sync_range one = sum_of(&two.ours), other = sum_of(&two.theirs);
    ck_assert(!sync_range_equal(&one, &other));
    two_fini(&two);
}
END_TEST

/* Each field that a full update compares changes the digest. */
START_TEST(test_each_field_counts)
{
    srandom(1);
    for (int i = 0; i < 200; i++) {
        struct two two = { 0 };
        add(&two.ours, 7);
        add(&two.theirs, 7);
        random_change(&two.theirs.v[0]);
        struct sync_range one = sum_of(&two.ours), other = sum_of(&two.theirs);
        ck_assert(!sync_range_equal(&one, &other));
        two_fini(&two);
    }
}
END_TEST

/* ---- the wire ---- */

static struct dlist *text(const char *s)
{
    struct dlist *dl = NULL;

    ck_assert_int_eq(dlist_parsemap(&dl, false, s, strlen(s)), 0);
    return dl;
}

START_TEST(test_ranges_of_the_wire)
{
    static const char *const bad[] = {
        "(0:5)", "(5:4)", "(1)", "(1:)", "(:1)", "(1:5 5:9)", "(6:9 1:2)", "(1:4294967296)", "(1:2x)", "(-1:2)", "((1 2))", "(NIL)",
    };
    struct sync_ranges ranges = { NULL, 0, 0 };

    struct dlist *dl = text("(1:5 6:6 100:4294967295)");
    ck_assert_int_eq(sync_ranges_parse(dl, &ranges), 0);
    ck_assert_uint_eq(ranges.n, 3);
    ck_assert_uint_eq(ranges.v[2].first, 100);
    ck_assert_uint_eq(ranges.v[2].last, UINT32_MAX);
    ck_assert(sync_ranges_have(&ranges, 1) && sync_ranges_have(&ranges, 6) && sync_ranges_have(&ranges, UINT32_MAX));
    ck_assert(!sync_ranges_have(&ranges, 7) && !sync_ranges_have(&ranges, 99));
    dlist_free(&dl);
    for (size_t i = 0; i < array_size(bad); i++) {
        ranges.n = 0;
        dl = text(bad[i]);
        ck_assert_msg(sync_ranges_parse(dl, &ranges) == IMAP_PROTOCOL_BAD_PARAMETERS, "%s", bad[i]);
        dlist_free(&dl);
    }
    sync_ranges_fini(&ranges);
}
END_TEST

START_TEST(test_no_more_ranges_than_may_be_asked)
{
    struct sync_ranges ranges = { NULL, 0, 0 }, read = { NULL, 0, 0 };
    struct dlist *kl = dlist_newkvlist(NULL, "RANGES");

    for (uint32_t i = 1; i <= SYNC_RANGES_ASK + 1; i++) sync_ranges_add(&ranges, i, i);
    sync_ranges_print(ranges.v, SYNC_RANGES_ASK, "DIGESTS", kl);
    ck_assert_int_eq(sync_ranges_parse(kl->head, &read), 0);
    ck_assert_uint_eq(read.n, SYNC_RANGES_ASK);
    read.n = 0;
    sync_ranges_print(ranges.v, SYNC_RANGES_ASK + 1, "RECORDS", kl);
    ck_assert_int_eq(sync_ranges_parse(kl->tail, &read), IMAP_PROTOCOL_BAD_PARAMETERS);
    dlist_free(&kl);
    sync_ranges_fini(&ranges);
    sync_ranges_fini(&read);
}
END_TEST

#define HEX "00112233445566778899aabbccddeeff"
START_TEST(test_digests_of_the_wire)
{
    static const char *const bad[] = {
        "()", "((5 " HEX "))", "((5 " HEX ") (1 " HEX ") (1 " HEX "))", "((5 " HEX ") (2 " HEX "))",
        "((5 " HEX ") (1 " HEX "00))", "((5 " HEX ") (1 00))", "((5 " HEX ") (18446744073709551615 " HEX "))",
        "((5 " HEX ") (4294967297 " HEX "))", "((5 " HEX ") (1 " HEX " 2))", "((5 " HEX ") 1)", "((5 " HEX ") NIL)",
        "((5 " HEX ") (1 zz112233445566778899aabbccddeeff))", "((5 " HEX ") (-1 " HEX "))",
    };
    struct sync_range v[2];
    struct sync_ranges ranges = { v, 2, 2 };

    for (size_t i = 0; i < array_size(bad); i++) {
        v[0] = (struct sync_range){ .first = 1, .last = 10 };
        v[1] = (struct sync_range){ .first = 11, .last = 11 };
        struct dlist *dl = text(bad[i]);
        ck_assert_msg(sync_ranges_parse_digests(dl, v, 2) == IMAP_PROTOCOL_ERROR, "%s", bad[i]);
        dlist_free(&dl);
    }
    struct dlist *dl = text("((5 " HEX ") (1 " HEX "))"), *kl = dlist_newkvlist(NULL, "RANGES");
    ck_assert_int_eq(sync_ranges_parse_digests(dl, v, 2), 0);
    ck_assert_uint_eq(v[0].n, 5);
    ck_assert_uint_eq(v[1].digest[15], 0xff);
    struct buf again = BUF_INITIALIZER;
    sync_ranges_print_digests(&ranges, kl);
    dlist_printbuf(kl->head, true, &again);
    ck_assert_str_eq(buf_cstring(&again), "DIGESTS ((5 " HEX ") (1 " HEX "))");
    buf_free(&again);
    dlist_free(&dl);
    dlist_free(&kl);
}
END_TEST

START_TEST(test_state_of_the_wire)
{
    struct sync_folder folder = { .uidvalidity = 1, .last_uid = 2, .highestmodseq = 3, .crc_basic = 4, .crc_annot = 5 };
    struct dlist *kl = sync_ranges_print_state(&folder);

    ck_assert_int_eq(sync_ranges_check_state(kl, &folder), 0);
    for (int i = 0; i < 5; i++) {
        struct sync_folder other = folder;
        other.uidvalidity += i == 0;
        other.last_uid += i == 1;
        other.highestmodseq += i == 2;
        other.crc_basic += i == 3;
        other.crc_annot += i == 4;
        ck_assert_int_eq(sync_ranges_check_state(kl, &other), IMAP_AGAIN);
    }
    for (int i = 0; i < 5; i++) {
        struct dlist *gone = kl->head;
        dlist_unstitch(kl, gone);
        dlist_free(&gone);
        ck_assert_int_eq(sync_ranges_check_state(kl, &folder), IMAP_PROTOCOL_ERROR);
    }
    dlist_free(&kl);
}
END_TEST

Suite *sync_ranges_suite(void)
{
    Suite *s = suite_create("sync_ranges");
    TCase *tc = tcase_create("ranges");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_random_lists);
    tcase_add_test(tc, test_one_flag_among_many);
    tcase_add_test(tc, test_one_end_has_many_more);
    tcase_add_test(tc, test_all_differ);
    tcase_add_test(tc, test_failure_ends_it);
    tcase_add_test(tc, test_what_does_not_count);
    tcase_add_test(tc, test_texts_are_apart);
    tcase_add_test(tc, test_each_field_counts);
    tcase_add_test(tc, test_ranges_of_the_wire);
    tcase_add_test(tc, test_no_more_ranges_than_may_be_asked);
    tcase_add_test(tc, test_digests_of_the_wire);
    tcase_add_test(tc, test_state_of_the_wire);
    suite_add_tcase(s, tc);
    return s;
}
