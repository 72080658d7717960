/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_store_chaos -- many processes change the mailboxes of two users at random, and some of them are killed
 *
 * Every process has one mailbox that only it appends to: what was acknowledged there must be there, and of a
 * killed process at most the one append that was on its way besides. In the others everybody appends, flags,
 * expunges, copies, annotates, marks as seen, creates, renames and deletes. After each round, now and then behind a
 * stop of the machine, all that is kept twice must agree: mailboxes.db and headers, counts and records, cache and
 * files, quota and sums, conversations and a rebuild of them.
 *
 * CYL_MODEL_STEPS sets the number of steps of all processes together (100000 for a night).
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acl.h"
#include "annotate.h"
#include "conversations.h"
#include "diskio_trace.h"
#include "imap_err.h"
#include "ops_testutil.h"
#include "quota_fix.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define WORKERS 8
#define BOXES 4
#define STEPS_PER_ROUND 40
#define DEFAULT_STEPS 1600

static const char *const users[2] = { "alice", "bob" };

/* Shared with the processes. */
struct ledger {
    unsigned acked[WORKERS];
    unsigned steps[WORKERS];
};
static struct ledger *ledger;

struct worker {
    unsigned id, seed;
    const char *userid;
    char kill[32];
};

static unsigned rnd(struct worker *wk, unsigned limit)
{
    wk->seed = wk->seed * 1103515245u + 12345u;
    return (wk->seed >> 8) % limit;
}

static void own_name(unsigned id, char name[64])
{
    snprintf(name, 64, "user.%s.own%u", users[id % 2], id);
}

static void box_name(const char *userid, unsigned n, char name[64])
{
    snprintf(name, 64, "user.%s.box%u", userid, n);
}

static void random_box(struct worker *wk, char name[64])
{
    box_name(wk->userid, rnd(wk, BOXES), name);
}

/* ---- steps: each a transaction ---- */

static int append_to(struct worker *wk, struct txn *txn)
{
    char name[64];
    struct mailbox *w;

    random_box(wk, name);
    int r = mailbox_open_iwl(txn, name, &w);
    for (unsigned n = 1 + rnd(wk, 3); !r && n; n--) st_append_in(w, rnd(wk, 60));
    return r;
}

static int append_own(struct worker *wk, struct txn *txn)
{
    char name[64];
    struct mailbox *w;

    own_name(wk->id, name);
    int r = mailbox_open_iwl(txn, name, &w);
    if (!r) st_append_in(w, wk->id * 10000 + ledger->acked[wk->id]);
    return r;
}

static int each_record(struct worker *wk, struct mailbox *w, int (*fn)(struct worker *, struct mailbox *, struct index_record *))
{
    struct index_record rec;
    int r = 0;

    for (uint32_t recno = 1; !r && recno <= mailbox_num_records(w); recno++) {
        if (rnd(wk, 3)) continue;
        r = mailbox_read_record(w, recno, &rec);
        if (!r && !(rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) r = fn(wk, w, &rec);
    }
    return r;
}

static int flag_one(struct worker *wk, struct mailbox *w, struct index_record *rec)
{
    static const char *const names[] = { "$One", "Two", "$Three" };
    int slot;

    rec->system_flags = rnd(wk, 32);
    int r = mailbox_user_flag(w, names[rnd(wk, 3)], &slot, true, false);
    if (!r) index_record_set_user_flag(rec, slot, rnd(wk, 2));
    return r ? r : mailbox_rewrite_record(w, rec, 0);
}

static int expunge_one(struct worker *wk, struct mailbox *w, struct index_record *rec)
{
    int r = mailbox_expunge_record(w, rec, 0);
    if (r || rnd(wk, 2)) return r;
    rec->internal_flags |= FLAG_INTERNAL_UNLINKED | FLAG_INTERNAL_NEEDS_CLEANUP;
    return mailbox_rewrite_record(w, rec, MAILBOX_SILENT);
}

static int annotate_one(struct worker *wk, struct mailbox *w, struct index_record *rec)
{
    struct buf value = BUF_INITIALIZER;

    if (rnd(wk, 4)) buf_printf(&value, "%u", rnd(wk, 100000));
    int r = annotate_msg_write(w, rec, "/comment", rnd(wk, 2) ? "" : wk->userid, &value, 0);
    buf_free(&value);
    return r ? r : mailbox_rewrite_record(w, rec, 0);
}

static int on_records(struct worker *wk, struct txn *txn,
                      int (*fn)(struct worker *, struct mailbox *, struct index_record *), bool repack)
{
    char name[64];
    struct mailbox *w;

    random_box(wk, name);
    int r = mailbox_open_iwl(txn, name, &w);
    if (!r) r = each_record(wk, w, fn);
    if (!r && repack) r = mailbox_repack(w);
    return r;
}

static int flags(struct worker *wk, struct txn *txn)
{
    return on_records(wk, txn, flag_one, false);
}

static int expunge(struct worker *wk, struct txn *txn)
{
    return on_records(wk, txn, expunge_one, !rnd(wk, 3));
}

static int annotate(struct worker *wk, struct txn *txn)
{
    return on_records(wk, txn, annotate_one, false);
}

static int lock_both(struct txn *txn)
{
    strarray_t ids = STRARRAY_INITIALIZER;

    strarray_append(&ids, users[0]);
    strarray_append(&ids, users[1]);
    int r = txn_lock_users(txn, &ids);
    strarray_fini(&ids);
    return r;
}

/* From one user to the other, or between two of one. */
static int copy(struct worker *wk, struct txn *txn)
{
    char from[64], to[64];
    struct mailbox *src, *dst;
    struct index_record rec;
    uint32_t uids[4], newuids[4];
    size_t n = 0;

    random_box(wk, from);
    box_name(users[rnd(wk, 2)], rnd(wk, BOXES), to);
    int r = lock_both(txn);
    if (!r) r = mailbox_open_iwl(txn, from, &src);
    if (!r) r = mailbox_open_iwl(txn, to, &dst);
    for (uint32_t recno = 1; !r && n < 4 && recno <= mailbox_num_records(src); recno++) {
        r = mailbox_read_record(src, recno, &rec);
        if (!r && !(rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) uids[n++] = rec.uid;
    }
    if (!r && n) r = append_copy(src, dst, uids, n, wk->userid, ACL_ALL, newuids);
    return r;
}

/* The other user's state, which is in his seen.db. */
static int see(struct worker *wk, struct txn *txn)
{
    char name[64];
    struct mailbox *w;
    struct index_record rec;
    struct seen_view *view = NULL;

    random_box(wk, name);
    int r = lock_both(txn);
    if (!r) r = mailbox_open_iwl(txn, name, &w);
    if (!r) r = seen_view_open(w, users[rnd(wk, 2)], &view);
    for (uint32_t recno = 1; !r && recno <= mailbox_num_records(w); recno++) {
        r = mailbox_read_record(w, recno, &rec);
        if (!r && !(rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) r = seen_view_set(view, w, &rec, rnd(wk, 2), 0);
    }
    seen_view_free(&view);
    return r;
}

static int create(struct worker *wk, struct txn *txn)
{
    char name[64];
    struct mboxlist_createargs args = { .name = name, .isadmin = true, .userid = "admin", .auth = ot_admin };

    random_box(wk, name);
    return mboxlist_createmailbox(txn, &args, NULL);
}

static int delete(struct worker *wk, struct txn *txn)
{
    char name[64];

    random_box(wk, name);
    return mboxlist_deletemailbox(txn, name, true, "admin", ot_admin, rnd(wk, 2) ? MBOXLIST_DELETE_IMMEDIATE : 0);
}

static int rename_box(struct worker *wk, struct txn *txn)
{
    char from[64], to[64];

    random_box(wk, from);
    random_box(wk, to);
    if (!strcmp(from, to)) return IMAP_MAILBOX_EXISTS;
    return mboxlist_renametree(txn, from, to, rnd(wk, 4) ? NULL : rnd(wk, 2) ? "other" : "default", true, "admin",
                               ot_admin, 0, NULL, NULL);
}

typedef int step_fn(struct worker *wk, struct txn *txn);
static step_fn *const steps[] = {
    append_own, append_own, append_own, append_to, append_to, append_to, append_to, flags, flags, expunge,
    copy,       copy,       annotate,   see,       create,    create,    create,    delete, rename_box,
};

/* ---- a process ---- */

static bool is_fine(int r)
{
    const int fine[] = { 0, IMAP_MAILBOX_NONEXISTENT, IMAP_MAILBOX_EXISTS, IMAP_AGAIN,
                         IMAP_CONVERSATION_GUIDLIMIT /* the messages are few */ };
    for (size_t i = 0; i < array_size(fine); i++) {
        if (r == fine[i]) return true;
    }
    return false;
}

static void run_step(struct worker *wk)
{
    step_fn *fn = steps[rnd(wk, array_size(steps))];
    struct txn *txn;

    int r = txn_begin(&txn);
    if (!r) r = fn(wk, txn);
    if (!r && !rnd(wk, 12)) r = IMAP_AGAIN; /* it changed its mind */
    bool own = !r && fn == append_own;
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (!r && own) ledger->acked[wk->id]++;
    ledger->steps[wk->id]++;
    if (is_fine(r)) return;
    fprintf(stderr, "worker %u: %s\n", wk->id, error_message(r));
    _exit(99);
}

static void work(struct worker *wk)
{
    struct diskio_hooks hooks = { .kill = wk->kill };

    if (wk->kill[0] && diskio_hooks_install(&hooks)) _exit(98);
    for (unsigned i = 0; i < STEPS_PER_ROUND; i++) {
        run_step(wk);
        if (!rnd(wk, 100) && txn_checkpoint()) _exit(97);
    }
    txn_shutdown();
    _exit(0);
}

/* ---- what must hold ---- */

static void make(void *rock)
{
    char name[64];

    (void)rock;
    for (int u = 0; u < 2; u++) {
        snprintf(name, sizeof(name), "user.%s", users[u]);
        ot_must_create(name);
        ck_assert_int_eq(ot_setquota(name, 100000000, -1, -1), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        own_name(i, name);
        ot_must_create(name);
    }
}

static int check_mailbox(const mbentry_t *entry, void *rock)
{
    (void)rock;
    st_check(entry->name);
    return 0;
}

/* A folder that is gone keeps its modseq, which a rebuild can't know. */
static bool is_gone_folder(enum conv_audit_kind kind, const struct buf *key, const struct buf *val)
{
    static const char zeros[] = " 0 0 0 0)";
    size_t n = sizeof(zeros) - 1;

    if (kind != CONV_AUDIT_REALONLY || *buf_base(key) != 'F') return false;
    return buf_len(val) > n && !memcmp(buf_base(val) + buf_len(val) - n, zeros, n);
}

static void tell_difference(enum conv_audit_kind kind, const struct buf *key, const struct buf *val, void *rock)
{
    if (is_gone_folder(kind, key, val)) return;
    ++*(unsigned *)rock;
    fprintf(stderr, "conversations %d %.*s %.*s\n", kind, (int)buf_len(key), buf_base(key), (int)buf_len(val),
            buf_base(val));
}

static void check_conversations(const char *userid)
{
    struct user_meta *meta;
    unsigned wrong = 0;
    size_t differences;
    struct txn *txn = st_begin(userid);

    ck_assert_int_eq(user_meta_lookup(userid, txn, &meta), 0);
    ck_assert_int_eq(conversations_audit_user(txn, meta, NULL, tell_difference, &wrong, &differences), 0);
    ck_assert_uint_eq(wrong, 0);
    user_meta_free(&meta);
    txn_abort(&txn);
}

static void quota_event(const char *root, enum quota_resource res, int64_t was, int64_t is, void *rock)
{
    fprintf(stderr, "quota -f would change %s %s: %lld to %lld\n", root, quota_names[res], (long long)was, (long long)is);
    ++*(unsigned *)rock;
}

static void check_all(void *rock)
{
    const bool *killed = rock;
    unsigned changes = 0;
    struct quota_fix_events events = { .used = quota_event, .rock = &changes };
    char name[64];

    ot_check_store();
    ck_assert_int_eq(quota_fix("", true, &events), 0);
    ck_assert_uint_eq(changes, 0);
    mboxlist_allmbox(NULL, check_mailbox, NULL, MBOXTREE_DELETED);
    for (int u = 0; u < 2; u++) check_conversations(users[u]);
    for (unsigned i = 0; i < WORKERS; i++) {
        own_name(i, name);
        struct mailbox *m = st_read(name);
        uint32_t n = mailbox_index_header(m)->exists;
        ck_assert_uint_ge(n, ledger->acked[i]);
        ck_assert_uint_le(n, ledger->acked[i] + killed[i]);
        ledger->acked[i] = n;
        mailbox_close(&m);
    }
}

/* ---- rounds ---- */

static unsigned run_round(unsigned round, bool killed[WORKERS])
{
    pid_t pids[WORKERS];
    unsigned nkilled = 0;
    int status;

    fflush(NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker wk = { .id = i, .seed = round * 1000003u + i * 7919u, .userid = users[i % 2] };
        if (rnd(&wk, 2)) snprintf(wk.kill, sizeof(wk.kill), "change:%u", 1 + rnd(&wk, 600));
        pids[i] = fork();
        ck_assert_int_ge(pids[i], 0);
        if (!pids[i]) work(&wk);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        killed[i] = WIFEXITED(status) && WEXITSTATUS(status) == 137;
        nkilled += killed[i];
        ck_assert_msg(killed[i] || status == 0, "round %u: process %u ended with %x", round, i, (unsigned)status);
    }
    return nkilled;
}

static unsigned steps_wanted(void)
{
    const char *s = getenv("CYL_MODEL_STEPS");
    return s && *s ? (unsigned)strtoul(s, NULL, 10) : DEFAULT_STEPS;
}

/* A failure is of no use without what the processes had to say. */
static void log_line(int pri, const char *line, void *rock)
{
    (void)rock;
    if (LOG_PRI(pri) <= LOG_NOTICE) dprintf(STDERR_FILENO, "%d: %s\n", (int)getpid(), line);
}

START_TEST(nothing_is_lost_and_all_agrees)
{
    unsigned done = 0, nkilled = 0;
    bool killed[WORKERS];

    xsyslog_settap(log_line, NULL);
    ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(ledger, MAP_FAILED);
    ck_assert_int_eq(st_child(make, NULL), 0);
    for (unsigned round = 1; done < steps_wanted(); round++) {
        nkilled += run_round(round, killed);
        if (!(round % 3)) st_reboot();
        ck_assert_msg(!st_child(check_all, killed), "round %u left the store in disorder", round);
        done = 0;
        for (unsigned i = 0; i < WORKERS; i++) done += ledger->steps[i];
    }
    ck_assert_uint_gt(nkilled, 2);
    xsyslog_settap(NULL, NULL);
}
END_TEST

static int read_one(const mbentry_t *entry, void *rock)
{
    struct mailbox *m = st_read(entry->name);

    mailbox_close(&m);
    ++*(unsigned *)rock;
    return 0;
}

static void read_all(void *rock)
{
    unsigned n = 0;

    (void)rock;
    ck_assert_int_eq(mboxlist_allmbox(NULL, read_one, &n, 0), 0);
    ck_assert_uint_eq(n, 2 + WORKERS);
}

/* The first to come after a stop of the machine only reads: what he reads has been recovered before. */
START_TEST(reading_comes_after_recovery)
{
    ck_assert_int_eq(st_child(make, NULL), 0);
    st_reboot();
    ck_assert_int_eq(st_child(read_all, NULL), 0);
}
END_TEST

Suite *store_chaos_suite(void)
{
    Suite *s = suite_create("store_chaos");
    TCase *tc = tcase_create("chaos");

    tcase_add_checked_fixture(tc, ot_setup, ot_teardown);
    tcase_set_timeout(tc, getenv("CYL_MODEL_STEPS") ? 8 * 3600 : 300);
    tcase_add_test(tc, reading_comes_after_recovery);
    tcase_add_test(tc, nothing_is_lost_and_all_agrees);
    suite_add_tcase(s, tc);
    return s;
}
