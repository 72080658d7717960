/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_txn_stuck -- a durable record that can't be applied, and locks in the wrong order
 *
 * While the disk refuses: its user reads what was before and changes nothing, everybody else goes on. Afterwards the
 * next who wants to change something finds the change done. (doc/journal.md, "Stuck records")
 */
#include <config.h>

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "imap_err.h"
#include "journal.h"
#include "mailbox_internal.h"
#include "ops_testutil.h"
#include "prot.h"
#include "util.h"
#include "xmalloc.h"

/* ---- stuck ---- */

static void refuse(const char *fault)
{
    struct diskio_hooks hooks = { .fault = fault };
    ck_assert_int_eq(diskio_hooks_install(fault ? &hooks : NULL), 0);
}

/* Appends one message; the LSN tells whether the record is in the log. */
static int append_one(const char *userid, const char *name, uint64_t *lsnp)
{
    static unsigned n; /* another message each time: equal ones become links */
    struct mailbox *w;
    struct txn *txn;

    *lsnp = 0;
    int r = txn_begin(&txn);
    if (r) return r;
    r = txn_lock_user(txn, userid);
    if (!r) r = mailbox_open_iwl(txn, name, &w);
    if (!r) st_append_in(w, ++n);
    if (!r) r = txn_commit(&txn, lsnp);
    txn_abort(&txn);
    return r;
}

static uint32_t exists(const char *name)
{
    struct mailbox *m = st_read(name);
    struct index_record rec;
    uint32_t n = mailbox_index_header(m)->exists;

    for (uint32_t recno = 1; recno <= mailbox_num_records(m); recno++)
        ck_assert_int_eq(mailbox_read_record(m, recno, &rec), 0);
    mailbox_close(&m);
    return n;
}

static const struct {
    const char *fault; /* of the files of alice */
    int error;         /* of the commit */
} faults[] = {
    { "open:1+:EACCES:/2.", IMAP_IOERROR },            /* the message */
    { "pwrite:1+:ENOSPC:/2.", IMAP_NOSPACE },
    { "pwrite:1+:EIO:cyrus.index", IMAP_IOERROR },     /* behind the message */
    { "pwrite:2+:ENOSPC:cyrus.index", IMAP_NOSPACE },  /* between record and header */
    { "pwrite:1+:ENOSPC:cyrus.cache", IMAP_NOSPACE },  /* behind the index */
    { "pwrite:1+:ENOSPC:conversations", IMAP_NOSPACE },
    { "rename:1+:EACCES:counters", IMAP_IOERROR },
};

START_TEST(a_full_disk_stops_one_user_and_heals)
{
    uint64_t lsn;

    ot_must_create("user.alice");
    ot_must_create("user.bob");
    ck_assert_int_eq(ot_setquota("user.alice", 1000000, -1, -1), 0);
    ck_assert_int_eq(append_one("alice", "user.alice", &lsn), 0);

    refuse(faults[_i].fault);
    int r = append_one("alice", "user.alice", &lsn);
    ck_assert_msg(r == faults[_i].error, "%s: %s", faults[_i].fault, error_message(r));
    ck_assert_uint_ne(lsn, 0);
    for (int i = 0; i < 2; i++) {
        uint32_t n = exists("user.alice");
        ck_assert(n == 1 || n == 2);
        ck_assert_int_eq(append_one("alice", "user.alice", &lsn), IMAP_IOERROR);
        ck_assert_uint_eq(lsn, 0);
    }
    refuse(NULL);
    ck_assert_int_eq(append_one("bob", "user.bob", &lsn), 0);

    ck_assert_int_eq(append_one("alice", "user.alice", &lsn), 0);
    ck_assert_uint_eq(exists("user.alice"), 3);
    st_check("user.alice");
    ot_check_store();
    ck_assert_int_eq(txn_checkpoint(), 0);
}
END_TEST

/* The file of message 2. */
static void read_second(struct buf *bytes)
{
    struct mailbox *m = st_read("user.alice");
    struct index_record rec;

    ck_assert_int_eq(mailbox_read_record(m, 2, &rec), 0);
    test_readfile(mailbox_record_fname(m, &rec), bytes);
    mailbox_close(&m);
}

/* What was applied before the disk was full stays whole, however often the rest is tried. */
START_TEST(what_was_applied_stays)
{
    struct buf before = BUF_INITIALIZER, now = BUF_INITIALIZER;
    uint64_t lsn;

    ot_must_create("user.alice");
    ck_assert_int_eq(append_one("alice", "user.alice", &lsn), 0);
    refuse("pwrite:1+:ENOSPC:conversations");
    ck_assert_int_eq(append_one("alice", "user.alice", &lsn), IMAP_NOSPACE);
    ck_assert_uint_eq(exists("user.alice"), 2);
    read_second(&before);
    ck_assert_uint_gt(before.len, 0);
    for (int i = 0; i < 3; i++) {
        refuse(i == 1 ? "write:1+:PARTIAL" : "write:1+:ENOSPC");
        ck_assert_int_ne(append_one("alice", "user.alice", &lsn), 0);
        read_second(&now);
        ck_assert_bytes_eq(now.s, now.len, before.s, before.len);
    }
    refuse(NULL);
    ck_assert_int_eq(append_one("alice", "user.alice", &lsn), 0);
    ck_assert_uint_eq(exists("user.alice"), 3);
    ot_check_store();
    buf_free(&before);
    buf_free(&now);
}
END_TEST

/* Others go on while it lasts; a checkpoint heals too. */
START_TEST(others_are_not_affected)
{
    struct journal_status status;
    struct journal *j;
    uint64_t lsn;

    ot_must_create("user.alice");
    ot_must_create("user.bob");
    const char *id = "cyrus.index";
    mbentry_t *entry = ot_entry("user.alice");
    char *fault = xasprintf("pwrite:1+:ENOSPC:%s/%s", entry->uniqueid, id);
    refuse(fault);
    ck_assert_int_eq(append_one("alice", "user.alice", &lsn), IMAP_NOSPACE);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(append_one("bob", "user.bob", &lsn), 0);
    ot_must_create("user.bob.sub");
    ck_assert_int_eq(ot_create("user.carol"), 0);
    ck_assert_int_ne(txn_checkpoint(), 0);
    ck_assert_uint_eq(exists("user.alice"), 0);
    refuse(NULL);
    ck_assert_int_eq(txn_checkpoint(), 0);
    ck_assert_int_eq(txn_journal(&j), 0);
    journal_status(j, &status);
    ck_assert_uint_eq(status.pending, 0);
    ck_assert_uint_eq(exists("user.alice"), 1);
    ot_check_store();
    mbentry_free(&entry);
    free(fault);
}
END_TEST

/* ---- the order of locks (doc/locking.md) ---- */

static const struct {
    const char *first, *second;
    bool fine;
} orders[] = {
    { "*U*alice", "*U*bob", true },         { "*U*bob", "*U*alice", false },
    { "*S*SERVER*zoe", "*U*alice", true },  { "*U*alice", "*S*SERVER*alice", false },
    { "*U*zoe", "uniqueid", true },         { "uniqueid", "*U*alice", false },
    { "uniqueid", "$QUOTACHANGE", true },   { "$QUOTACHANGE", "uniqueid", false },
    { "$QUOTACHANGE", "$DB$a.db", true },   { "$DB$a.db", "$QUOTACHANGE", false },
    { "$DB$a.db", "$DB$b.db", true },       { "$DB$b.db", "$DB$a.db", false },
    { "$DB$quotas.db", "*U*alice", false }, { "*U*alice", "$DB$mailboxes.db", true },
    { "*U*alice", "*U*alice", true },
};

static void take_both(void *rock)
{
    const int i = *(int *)rock;
    struct namelock *first, *second;

    if (namelock_acquire(orders[i].first, NAMELOCK_EXCLUSIVE, 0, &first)) _exit(2);
    if (namelock_acquire(orders[i].second, NAMELOCK_EXCLUSIVE, 0, &second)) _exit(2);
}

/* A request that can't wait can't deadlock. */
static void try_both(void *rock)
{
    const int i = *(int *)rock;
    struct namelock *first, *second;

    if (namelock_acquire(orders[i].first, NAMELOCK_EXCLUSIVE, 0, &first)) _exit(2);
    if (namelock_acquire(orders[i].second, NAMELOCK_EXCLUSIVE, NAMELOCK_NONBLOCK, &second)) _exit(2);
}

START_TEST(a_wrong_order_aborts)
{
    int i = _i;

    ck_assert_int_eq(st_child(take_both, &i), orders[i].fine ? 0 : 256 + SIGABRT);
    ck_assert_int_eq(st_child(try_both, &i), 0);
}
END_TEST

/* ---- the network (doc/locking.md) ---- */

static const struct {
    const char *lock;
    bool shared, allowed, fine;
} waits[] = {
    { "*S**alice", false, false, true },      { "*U*alice", false, false, false },    { "*U*alice", true, false, false },
    { "uniqueid", false, false, false },      { "$DB$mailboxes.db", false, false, false }, { "*U*alice", false, true, true },
};

static int interrupted(struct protstream *s __attribute__((unused)), void *rock __attribute__((unused)))
{
    return 1;
}

/* A peer that says nothing; the wait ends before it has begun. */
static void wait_with_lock(void *rock)
{
    const int i = *(int *)rock;
    struct namelock *lock;
    int fds[2];

    if (pipe(fds)) _exit(2);
    struct protstream *s = prot_new(fds[0], false);
    prot_setinterrupt(s, interrupted, NULL);
    if (namelock_acquire(waits[i].lock, waits[i].shared ? NAMELOCK_SHARED : NAMELOCK_EXCLUSIVE, 0, &lock)) _exit(2);
    if (waits[i].allowed) namelock_allow_network(true);
    if (prot_getc(s) != EOF) _exit(2);
    if (!waits[i].allowed) return;
    namelock_allow_network(false);
    namelock_release(&lock);
    (void)prot_getc(s);
}

START_TEST(a_lock_across_the_network_aborts)
{
    int i = _i;

    ck_assert_int_eq(st_child(wait_with_lock, &i), waits[i].fine ? 0 : 256 + SIGABRT);
}
END_TEST

Suite *txn_stuck_suite(void)
{
    Suite *s = suite_create("txn_stuck");
    TCase *tc = tcase_create("stuck");

    tcase_add_checked_fixture(tc, ot_setup, ot_teardown);
    tcase_add_loop_test(tc, a_full_disk_stops_one_user_and_heals, 0, (int)array_size(faults));
    tcase_add_test(tc, what_was_applied_stays);
    tcase_add_test(tc, others_are_not_affected);
#ifdef ENABLE_TEST_HOOKS
    tcase_add_loop_test(tc, a_wrong_order_aborts, 0, (int)array_size(orders));
    tcase_add_loop_test(tc, a_lock_across_the_network_aborts, 0, (int)array_size(waits));
#endif
    suite_add_tcase(s, tc);
    return s;
}
