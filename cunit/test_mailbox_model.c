/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mailbox_model -- random changes of one mailbox against a model, by processes that die
 *
 * Every step is one transaction in a process of its own. A process that ends well has made the
 * whole step happen; one that is killed at some call that changes the disk has made all of it
 * happen or nothing. Now and then the memory that processes share is lost too, as when the machine
 * stops, so that recovery runs. Each time records, counts, CRCs, message files, cache and quota
 * must be what the model says.
 *
 * CYL_MODEL_STEPS makes it longer: a twentieth of the steps that it asks of test_store_chaos.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "imap_err.h"
#include "mailbox.h"
#include "message_guid.h"
#include "quota.h"
#include "store_testutil.h"
#include "xmalloc.h"

#define NAME "user.alice"
#define MAX_RECORDS 4000
#define NFLAGS 5

struct model_record {
    uint32_t uid, system_flags, user; /* user: bits of flag_names */
    unsigned n;                       /* of st_message */
    bool expunged, unlinked;
};

struct model {
    struct model_record rec[MAX_RECORDS];
    unsigned count;
    uint32_t last_uid;
};

static const char *const flag_names[NFLAGS] = { "$One", "Two", "$Three", "Four", "Five" };

/* ---- a step, on the model and (w not NULL) on the mailbox ---- */

static unsigned rnd(unsigned *seed, unsigned limit)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 8) % limit;
}

static void must(int r, const char *what)
{
    if (!r) return;
    fprintf(stderr, "model: %s: %s\n", what, error_message(r));
    _exit(99);
}

static void do_append(struct model *m, struct mailbox *w, unsigned *seed)
{
    unsigned n = rnd(seed, 50); /* the same message comes again and again */
    if (m->count == MAX_RECORDS) return;
    struct model_record *rec = &m->rec[m->count++];

    *rec = (struct model_record){ .uid = ++m->last_uid, .n = n };
    if (w && st_append_in(w, n) != rec->uid) must(IMAP_INTERNAL, "uid of an append");
}

static void do_flags(struct model *m, struct mailbox *w, unsigned *seed)
{
    if (!m->count) return;
    struct model_record *rec = &m->rec[rnd(seed, m->count)];
    uint32_t system_flags = rnd(seed, 32), user = rnd(seed, 1u << NFLAGS);
    struct index_record r;

    if (rec->unlinked) return;
    rec->system_flags = system_flags;
    rec->user = user;
    if (!w) return;
    must(mailbox_find_uid(w, rec->uid, &r), "find");
    r.system_flags = system_flags;
    for (int i = 0; i < NFLAGS; i++) {
        int slot;
        must(mailbox_user_flag(w, flag_names[i], &slot, true, false), "user flag");
        index_record_set_user_flag(&r, slot, user >> i & 1);
    }
    must(mailbox_rewrite_record(w, &r, 0), "rewrite");
}

static void do_expunge(struct model *m, struct mailbox *w, unsigned *seed)
{
    if (!m->count) return;
    struct model_record *rec = &m->rec[rnd(seed, m->count)];
    bool unlink = rnd(seed, 2);
    struct index_record r;

    if (w) must(mailbox_find_uid(w, rec->uid, &r), "find");
    if (!rec->expunged) {
        rec->expunged = true;
        if (w) must(mailbox_expunge_record(w, &r, 0), "expunge");
    }
    if (!unlink || rec->unlinked) return;
    rec->unlinked = true;
    if (!w) return;
    r.internal_flags |= FLAG_INTERNAL_UNLINKED | FLAG_INTERNAL_NEEDS_CLEANUP;
    must(mailbox_rewrite_record(w, &r, MAILBOX_SILENT), "unlink");
}

static void do_repack(struct model *m, struct mailbox *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->count; i++) {
        if (!m->rec[i].unlinked) m->rec[n++] = m->rec[i];
    }
    m->count = n;
    if (w) must(mailbox_repack(w), "repack");
}

/* A repack happens at the commit, so it comes last. */
static void step(struct model *m, struct mailbox *w, unsigned seed)
{
    unsigned nops = 1 + rnd(&seed, 8);

    for (unsigned i = 0; i < nops; i++) {
        unsigned op = rnd(&seed, 10);
        if (op < 4)
            do_append(m, w, &seed);
        else if (op < 8)
            do_flags(m, w, &seed);
        else
            do_expunge(m, w, &seed);
    }
    if (!rnd(&seed, 6)) do_repack(m, w);
}

/* ---- processes ---- */

struct job {
    struct model *model;
    unsigned seed;
    char kill[32];
};

static void make(void *rock)
{
    struct quota q;

    (void)rock;
    st_create(NAME);
    struct txn *txn = st_begin("alice");
    quota_init(&q, NAME);
    q.limits[QUOTA_STORAGE] = 1000000;
    must(quota_write(txn, &q), "quota root");
    quota_free(&q);
    must(mailbox_set_quotaroot(st_write(txn, NAME), NAME), "quota root of the mailbox");
    st_commit(txn);
}

static void run_step(void *rock)
{
    struct job *job = rock;
    struct diskio_hooks hooks = { .kill = job->kill };
    struct txn *txn;

    must(txn_begin(&txn), "begin");
    must(txn_lock_user(txn, "alice"), "lock");
    step(job->model, st_write(txn, NAME), job->seed);
    if (job->kill[0] && diskio_hooks_install(&hooks)) _exit(98);
    if (!(job->seed % 7)) {
        txn_abort(&txn);
        _exit(0);
    }
    must(txn_commit(&txn, NULL), "commit");
}

/* Does the mailbox look like the model? Exit code 1: no. */
static void compare(void *rock)
{
    const struct model *m = ((struct job *)rock)->model;
    struct mailbox *mailbox;
    struct index_record rec;
    struct message_guid guid;
    struct buf msg = BUF_INITIALIZER;

    must(mailbox_open_irl(NAME, &mailbox), "open");
    if (mailbox_num_records(mailbox) != m->count) _exit(1);
    if (mailbox_index_header(mailbox)->last_uid != m->last_uid) _exit(1);
    for (unsigned i = 0; i < m->count; i++) {
        const struct model_record *want = &m->rec[i];
        must(mailbox_read_record(mailbox, i + 1, &rec), "read");
        st_message(want->n, &msg);
        message_guid_generate(&guid, buf_base(&msg), buf_len(&msg));
        if (rec.uid != want->uid || !message_guid_equal(&rec.guid, &guid)) _exit(1);
        if (rec.system_flags != want->system_flags) _exit(1);
        if (!!(rec.internal_flags & FLAG_INTERNAL_EXPUNGED) != want->expunged) _exit(1);
        if (!!(rec.internal_flags & FLAG_INTERNAL_UNLINKED) != want->unlinked) _exit(1);
        for (int f = 0; f < NFLAGS; f++) {
            int slot = strarray_find(mailbox_flagnames(mailbox), flag_names[f], 0);
            bool is = slot >= 0 && index_record_user_flag(&rec, slot);
            if (is != (want->user >> f & 1)) _exit(1);
        }
    }
    buf_free(&msg);
    mailbox_close(&mailbox);
}

/* What holds whatever the model is. Failures end the process with an error of check. */
static void check_all(void *rock)
{
    struct mailbox *mailbox;
    struct quota q;

    (void)rock;
    st_check(NAME);
    must(mailbox_open_irl(NAME, &mailbox), "open");
    quota_init(&q, NAME);
    must(quota_read(NAME, NULL, &q), "quota");
    const struct index_header *hdr = mailbox_index_header(mailbox);
    bool ok = q.useds[QUOTA_STORAGE] == (int64_t)hdr->quota_mailbox_used &&
              q.useds[QUOTA_MESSAGE] == (int64_t)hdr->exists && q.useds[QUOTA_NUMFOLDERS] == 1;
    if (!ok) {
        fprintf(stderr, "quota: %lld bytes, %lld messages, %lld folders; mailbox: %llu bytes, %u messages\n",
                (long long)q.useds[QUOTA_STORAGE], (long long)q.useds[QUOTA_MESSAGE],
                (long long)q.useds[QUOTA_NUMFOLDERS], (unsigned long long)hdr->quota_mailbox_used, hdr->exists);
        _exit(97);
    }
    quota_free(&q);
    mailbox_close(&mailbox);
}

static void run_model(unsigned seed, unsigned steps, bool kills)
{
    struct model *model = xzmalloc(sizeof(*model)), *next = xzmalloc(sizeof(*next));
    unsigned killed = 0, done = 0;

    ck_assert_int_eq(st_child(make, NULL), 0);
    for (unsigned i = 0; i < steps; i++) {
        struct job job = { .model = model, .seed = seed + i * 7919 };

        if (kills && rnd(&seed, 3)) snprintf(job.kill, sizeof(job.kill), "change:%u", 1 + rnd(&seed, 25));
        *next = *model;
        step(next, NULL, job.seed);
        int status = st_child(run_step, &job);
        if (status == 137) {
            killed++;
            if (!rnd(&seed, 3)) st_reboot();
            job.model = next;
            if (!st_child(compare, &job)) {
                done++;
                *model = *next;
            }
        } else {
            ck_assert_msg(status == 0, "step %u (seed %u) ended with %d", i, job.seed, status);
            if (job.seed % 7) *model = *next;
        }
        job.model = model;
        ck_assert_msg(!st_child(compare, &job), "step %u (seed %u) left something else", i, job.seed);
        ck_assert_msg(!st_child(check_all, NULL), "step %u (seed %u) broke an invariant", i, job.seed);
    }
    if (kills) {
        ck_assert_uint_gt(killed, steps / 5); /* it must have been tried, with both outcomes */
        ck_assert_uint_gt(done, 0);
        ck_assert_uint_lt(done, killed);
    }
    free(model);
    free(next);
}

static unsigned steps_wanted(unsigned by_default)
{
    const char *s = getenv("CYL_MODEL_STEPS");
    unsigned n = s ? (unsigned)strtoul(s, NULL, 10) / 20 : 0;
    return n > by_default ? n : by_default;
}

START_TEST(random_changes)
{
    run_model(4711, steps_wanted(40), false);
}
END_TEST

START_TEST(random_changes_and_deaths)
{
    run_model(1234567, steps_wanted(80), true);
}
END_TEST

/* The model forgets whom it has unlinked; test_mailbox_tombstones looks at those that stay. */
static void setup(void)
{
    st_setup("expunge_tombstones: 0\n");
}

Suite *mailbox_model_suite(void)
{
    Suite *s = suite_create("mailbox_model");
    TCase *tc = tcase_create("model");

    tcase_add_checked_fixture(tc, setup, st_teardown);
    tcase_set_timeout(tc, getenv("CYL_MODEL_STEPS") ? 8 * 3600 : 300);
    tcase_add_test(tc, random_changes);
    tcase_add_test(tc, random_changes_and_deaths);
    suite_add_tcase(s, tc);
    return s;
}
