/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_partition_select -- a new tree of mailboxes goes where partition_select_* says
 *
 * File systems are told by diskio's hook. A choice by chance is made for every chance of an even grid, so the
 * shares that come out are those of the weights, but for one step of the grid at each border.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "diskio.h"
#include "diskio_trace.h"
#include "libconfig.h"
#include "partition_select.h"
#include "util.h"
#include "xmalloc.h"

#define GRID 2000
#define MOST_PARTITIONS 6

struct fs {
    uint64_t avail, total;
    bool excluded;
};

static const char *const names[MOST_PARTITIONS] = { "p0", "p1", "p2", "p3", "p4", "p5" };
static double shares[MOST_PARTITIONS];

/* What is at /nowhere can't be asked: total 0. */
static void configure(const char *mode, int limit, const struct fs *fs, size_t n)
{
    struct buf conf = BUF_INITIALIZER, space = BUF_INITIALIZER;

    buf_printf(&conf, "configdirectory: /conf\npartition_select_mode: %s\n"
                      "partition_select_soft_usage_limit: %d\npartition_select_exclude: other", mode, limit);
    for (size_t i = 0; i < n; i++)
        if (fs[i].excluded) buf_printf(&conf, " %s", names[i]);
    buf_appendcstr(&conf, "\n");
    for (size_t i = 0; i < n; i++) {
        buf_printf(&conf, "partition-%s: %s/fs-%s\n", names[i], fs[i].total ? "" : "/nowhere", names[i]);
        if (!fs[i].total) continue;
        buf_printf(&space, "%s/fs-%s:%llu:%llu", buf_len(&space) ? "," : "", names[i],
                   (unsigned long long)fs[i].avail, (unsigned long long)fs[i].total);
    }
    struct diskio_hooks hooks = { .space = buf_len(&space) ? buf_cstring(&space) : NULL };
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    config_reset();
    config_read_string(buf_cstring(&conf));
    buf_free(&conf);
    buf_free(&space);
}

static void count_choices(size_t n)
{
    memset(shares, 0, sizeof(shares));
    for (unsigned k = 0; k < GRID; k++) {
        char *name = partition_select_with((k + 0.5) / GRID);
        size_t i = 0;

        ck_assert_ptr_nonnull(name);
        while (i < n && strcmp(name, names[i])) i++;
        ck_assert_uint_lt(i, n);
        shares[i] += 1.0 / GRID;
        free(name);
    }
}

static void assert_shares(const struct fs *fs, size_t n, const char *mode, int limit,
                          const double want[])
{
    configure(mode, limit, fs, n);
    count_choices(n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(shares[i] >= want[i] - 1.5 / GRID && shares[i] <= want[i] + 1.5 / GRID,
                      "%s: %s has %f, not %f", mode, names[i], shares[i], want[i]);
}

#define assert_all(fs, mode, limit, ...) \
    assert_shares(fs, array_size(fs), mode, limit, (const double[]){ __VA_ARGS__ })

static void teardown(void)
{
    diskio_hooks_install(NULL);
    config_reset();
}

/* p0 has the largest part free, p1 the most bytes. */
static const struct fs usual[] = { { 80, 100, false }, { 500, 1000, false }, { 20, 100, false } };

START_TEST(each_mode)
{
    assert_all(usual, "freespace-most", 0, 0, 1, 0);
    assert_all(usual, "freespace-percent-most", 0, 1, 0, 0);
    assert_all(usual, "random", 0, 1 / 3., 1 / 3., 1 / 3.);
    assert_all(usual, "freespace-percent-weighted", 0, 80 / 150., 50 / 150., 20 / 150.);
    /* Differences 60, 30, 0 to the fullest, which has a little chance all the same. */
    assert_all(usual, "freespace-percent-weighted-delta", 0, 60.5 / 91.5, 30.5 / 91.5, 0.5 / 91.5);
}
END_TEST

START_TEST(excluded)
{
    struct fs fs[] = { { 80, 100, true }, { 500, 1000, false }, { 20, 100, false } };

    assert_all(fs, "freespace-percent-most", 0, 0, 1, 0);
    assert_all(fs, "random", 0, 0, .5, .5);
    assert_all(fs, "freespace-percent-weighted", 0, 0, 50 / 70., 20 / 70.);
    for (size_t i = 0; i < array_size(fs); i++) fs[i].excluded = true;
    configure("random", 0, fs, array_size(fs));
    ck_assert_ptr_null(partition_select_with(0.5));
    ck_assert_ptr_null(partition_select_local());
}
END_TEST

/* Used: 20, 50, 80 percent. */
START_TEST(soft_limit)
{
    assert_all(usual, "freespace-most", 40, 1, 0, 0);
    assert_all(usual, "random", 50, .5, .5, 0);
    assert_all(usual, "random", 49, 1, 0, 0);
    assert_all(usual, "random", 100, 1 / 3., 1 / 3., 1 / 3.);
    /* All are fuller: as without a limit. */
    assert_all(usual, "random", 19, 1 / 3., 1 / 3., 1 / 3.);
    assert_all(usual, "freespace-most", 10, 0, 1, 0);
}
END_TEST

START_TEST(one_is_full)
{
    static const struct fs fs[] = { { 0, 100, false }, { 10, 100, false }, { 30, 100, false } };

    assert_all(fs, "freespace-most", 0, 0, 0, 1);
    assert_all(fs, "random", 0, 0, .5, .5);
    assert_all(fs, "freespace-percent-weighted", 0, 0, .25, .75);
    assert_all(fs, "freespace-percent-weighted-delta", 0, 0, .5 / 21, 20.5 / 21);
    /* Over the limit is better than full. */
    assert_all(fs, "random", 5, 0, .5, .5);
    static const struct fs all[] = { { 0, 100, false }, { 0, 50, false } };
    assert_all(all, "random", 0, .5, .5);
    assert_all(all, "random", 90, .5, .5);
    configure("freespace-percent-weighted", 0, all, 2);
    count_choices(2);
}
END_TEST

START_TEST(one_cannot_be_asked)
{
    static const struct fs fs[] = { { 0, 0, false }, { 1, 100, false } };

    for (int limit = 0; limit <= 50; limit += 50) {
        assert_all(fs, "freespace-most", limit, 0, 1);
        assert_all(fs, "random", limit, 0, 1);
        assert_all(fs, "freespace-percent-weighted-delta", limit, 0, 1);
    }
}
END_TEST

/* ---- any partitions ---- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

static double percent(const struct fs *fs)
{
    return fs->total ? 100.0 * (double)fs->avail / (double)fs->total : 0;
}

/* What may be chosen: the strictest of three conditions that leaves any. */
static size_t eligible(const struct fs *fs, size_t n, int limit, bool may[])
{
    for (int strict = 2; strict >= 0; strict--) {
        size_t left = 0;

        for (size_t i = 0; i < n; i++) {
            may[i] = !fs[i].excluded && (strict < 1 || fs[i].avail > 0) &&
                     (strict < 2 || !limit || 100 - percent(&fs[i]) <= limit);
            left += may[i];
        }
        if (left) return left;
    }
    return 0;
}

static void expect_most(const struct fs *fs, size_t n, const bool may[], bool of_percent)
{
    double best = -1, chosen = -1;

    for (size_t i = 0; i < n; i++) {
        double has = of_percent ? percent(&fs[i]) : (double)fs[i].avail;

        if (may[i] && has > best) best = has;
        if (shares[i] > 0) chosen = has;
    }
    ck_assert_msg(chosen == best, "%f is chosen, %f is there", chosen, best);
}

static void expect_weights(const struct fs *fs, size_t n, const bool may[], const char *mode)
{
    double weights[MOST_PARTITIONS] = { 0 }, total = 0, least = 101;

    for (size_t i = 0; i < n; i++)
        if (may[i] && percent(&fs[i]) < least) least = percent(&fs[i]);
    for (size_t i = 0; i < n; i++) {
        if (!may[i]) continue;
        weights[i] = !strcmp(mode, "random")                       ? 1
                     : !strcmp(mode, "freespace-percent-weighted") ? percent(&fs[i])
                                                                   : percent(&fs[i]) - least + 0.5;
        total += weights[i];
    }
    for (size_t i = 0; i < n && total > 0; i++) {
        double want = weights[i] / total;
        ck_assert_msg(shares[i] >= want - 1.5 / GRID && shares[i] <= want + 1.5 / GRID,
                      "%s: %s of %zu has %f, not %f", mode, names[i], n, shares[i], want);
    }
}

START_TEST(any_partitions)
{
    static const char *const modes[] = { "freespace-most", "freespace-percent-most", "random",
                                         "freespace-percent-weighted",
                                         "freespace-percent-weighted-delta" };
    static const int limits[] = { 0, 10, 50, 90, 100 };
    bool may[MOST_PARTITIONS];

    seed = 20230107 + (uint64_t)_i;
    for (unsigned round = 0; round < 20; round++) {
        struct fs fs[MOST_PARTITIONS];
        size_t n = 1 + draw(MOST_PARTITIONS);
        const char *mode = modes[draw(array_size(modes))];
        int limit = limits[draw(array_size(limits))];

        for (size_t i = 0; i < n; i++) {
            fs[i] = (struct fs){ .excluded = !draw(5) };
            if (draw(8)) fs[i].total = UINT64_C(1) << draw(50);
            if (draw(6)) fs[i].avail = fs[i].total / 100 * draw(101);
        }
        size_t left = eligible(fs, n, limit, may);
        configure(mode, limit, fs, n);
        if (!left) {
            ck_assert_ptr_null(partition_select_with(0));
            continue;
        }
        count_choices(n);
        for (size_t i = 0; i < n; i++) ck_assert(may[i] || shares[i] == 0);
        if (strstr(mode, "most"))
            expect_most(fs, n, may, strstr(mode, "percent") != NULL);
        else
            expect_weights(fs, n, may, mode);
    }
}
END_TEST

Suite *partition_select_suite(void)
{
    Suite *s = suite_create("partition_select");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, each_mode);
    tcase_add_test(tc, excluded);
    tcase_add_test(tc, soft_limit);
    tcase_add_test(tc, one_is_full);
    tcase_add_test(tc, one_cannot_be_asked);
    tcase_add_loop_test(tc, any_partitions, 0, 20);
    suite_add_tcase(s, tc);
    return s;
}
