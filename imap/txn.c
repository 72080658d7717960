/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn -- one unit of work over several stores: all of it happens, or nothing
 *
 * See the header. This file has the life of a transaction, its locks, events and hooks; the
 * record is made in txn_ops.c, txn_stage.c and txn_db.c, the commit itself is
 * lib/journal_commit.c.
 */
#include <config.h>

#include "txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imap_err.h"
#include "journal_commit.h"
#include "mailbox_path.h"
#include "txn_internal.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static struct txn *current;
static uint64_t last_lsn;
static txn_gate *gate;
static void *gate_rock;
/* Of the transaction that is just over, while its callbacks run. */
static struct journal_event *done_events;
static size_t ndone_events;

int txn_error(int r)
{
    switch (r) {
    case 0:
        return 0;
    case -ENOSPC:
    case -EDQUOT:
        return IMAP_NOSPACE;
    case -EMSGSIZE:
        return IMAP_MESSAGE_TOO_LARGE;
    case -EAGAIN:
    case -ETIMEDOUT:
        return IMAP_SERVER_UNAVAILABLE;
    default:
        return IMAP_IOERROR;
    }
}

void txn_misuse(struct txn *txn, const char *what, const char *path)
{
    xsyslog_errno(LOG_ERR, 0, "IOERROR: transaction misused", "what=<%s> path=<%s>", what, path);
    if (!txn->error) txn->error = IMAP_INTERNAL;
}

/* ---- life ---- */

int txn_begin(struct txn **txnp)
{
    struct journal *j;

    if (current) {
        xsyslog_errno(LOG_ERR, 0, "IOERROR: a transaction is open already", NULL);
        return IMAP_INTERNAL;
    }
    int r = txn_journal(&j);
    if (r) return r;
    if (journal_failed(j)) return IMAP_IOERROR; /* said once, when it failed */

    struct txn *txn = xzmalloc(sizeof(*txn));
    txn->time = time(NULL);
    txn->journal = j;
    ptrarray_init(&txn->locks);
    strarray_init(&txn->events);
    strarray_init(&txn->read_only);
    journal_record_init(&txn->rec);
    construct_hash_table(&txn->link_sources, 0);
    construct_hash_table(&txn->attached, 0);
    construct_hash_table(&txn->event_set, 0);
    *txnp = current = txn;
    return 0;
}

struct txn *txn_current(void)
{
    return current;
}

uint64_t txn_last_lsn(void)
{
    return last_lsn;
}

time_t txn_time(const struct txn *txn)
{
    return txn->time;
}

static void unlock_all(struct txn *txn)
{
    txn_db_unlock_globals(txn);
    for (int i = ptrarray_size(&txn->locks) - 1; i >= 0; i--) {
        struct namelock *lock = ptrarray_nth(&txn->locks, i);
        namelock_release(&lock);
    }
    ptrarray_fini(&txn->locks);
}

static void take_events(struct txn *txn, uint64_t lsn)
{
    ndone_events = lsn ? (size_t)strarray_size(&txn->events) : 0;
    done_events = xcalloc(ndone_events + 1, sizeof(*done_events));
    for (size_t i = 0; i < ndone_events; i++) {
        const char *s = strarray_nth(&txn->events, (int)i);
        done_events[i] = (struct journal_event){
            .line = s + 1, .flags = (unsigned)(s[0] - '0'), .lsn = lsn, .time = txn->time
        };
    }
}

const struct journal_event *txn_done_event(size_t i)
{
    return i < ndone_events ? &done_events[i] : NULL;
}

static void free_attached(void *data)
{
    struct txn_attachment *a = data;
    if (a->done) a->done(a->data);
    free(a);
}

/* Locks go first: what the callbacks do may take long, and may begin a transaction of its own. */
static void finish(struct txn *txn, uint64_t lsn)
{
    struct journal_event *outer_events = done_events; /* of the one whose callback we run in */
    size_t nouter_events = ndone_events;

    txn_db_finish(txn);
    txn_stage_finish(txn, txn->appended);
    unlock_all(txn);
    current = NULL;

    take_events(txn, lsn);
    for (unsigned i = 0; i < txn->ndones; i++) txn->dones[i].fn(lsn, txn->dones[i].rock);
    free(done_events);
    done_events = outer_events;
    ndone_events = nouter_events;

    free_hash_table(&txn->attached, free_attached);
    txn_db_forget(txn);
    free_hash_table(&txn->link_sources, NULL);
    free_hash_table(&txn->event_set, NULL);
    journal_record_fini(&txn->rec);
    strarray_fini(&txn->events);
    strarray_fini(&txn->read_only);
    free(txn->hooks);
    free(txn->dones);
    free(txn);
}

void txn_abort(struct txn **txnp)
{
    struct txn *txn = *txnp;
    *txnp = NULL;
    if (txn) finish(txn, 0);
}

void txn_forget(void)
{
    current = NULL;
}

/* ---- hooks ---- */

/* A heap: the hook that is due next comes first. */
static bool is_before(const struct txn_hook *a, const struct txn_hook *b)
{
    return a->order != b->order ? a->order < b->order : a->n < b->n;
}

void txn_on_commit(struct txn *txn, int order, txn_hook_fn *fn, void *rock)
{
    struct txn_hook hook = { .order = order, .n = txn->hooks_seen++, .fn = fn, .rock = rock };

    if (txn->nhooks == txn->hooks_alloc) {
        txn->hooks_alloc = (unsigned)grow_alloc(txn->hooks_alloc, txn->nhooks + 1);
        txn->hooks = xreallocarray(txn->hooks, txn->hooks_alloc, sizeof(*txn->hooks));
    }
    unsigned i = txn->nhooks++;
    for (; i && is_before(&hook, &txn->hooks[(i - 1) / 2]); i = (i - 1) / 2) txn->hooks[i] = txn->hooks[(i - 1) / 2];
    txn->hooks[i] = hook;
}

void txn_on_done(struct txn *txn, txn_done_fn *fn, void *rock)
{
    if (txn->ndones == txn->dones_alloc) {
        txn->dones_alloc = (unsigned)grow_alloc(txn->dones_alloc, txn->ndones + 1);
        txn->dones = xreallocarray(txn->dones, txn->dones_alloc, sizeof(*txn->dones));
    }
    txn->dones[txn->ndones++] = (struct txn_done){ .fn = fn, .rock = rock };
}

static struct txn_hook take_hook(struct txn *txn)
{
    struct txn_hook first = txn->hooks[0], last = txn->hooks[--txn->nhooks];
    unsigned i = 0, child;

    while ((child = 2 * i + 1) < txn->nhooks) {
        if (child + 1 < txn->nhooks && is_before(&txn->hooks[child + 1], &txn->hooks[child])) child++;
        if (!is_before(&txn->hooks[child], &last)) break;
        txn->hooks[i] = txn->hooks[child];
        i = child;
    }
    txn->hooks[i] = last;
    return first;
}

static int run_hooks(struct txn *txn)
{
    int r = 0;

    txn->committing = true;
    while (!r && txn->nhooks) {
        if (txn->hooks[0].order >= TXN_ORDER_GLOBAL && !txn->globals_locked) {
            r = txn_db_lock_globals(txn);
            if (r) break;
        }
        struct txn_hook hook = take_hook(txn);
        r = hook.fn(txn, hook.rock);
    }
    if (!r && !txn->globals_locked) r = txn_db_lock_globals(txn);
    return r;
}

/* ---- commit ---- */

static int build_record(struct txn *txn)
{
    txn_db_record_locks(txn);
    for (int i = 0; i < ptrarray_size(&txn->locks); i++) {
        const struct namelock *lock = ptrarray_nth(&txn->locks, i);
        if (namelock_is_exclusive(lock)) journal_record_lock(&txn->rec, namelock_name(lock), false);
    }
    int r = txn_db_record_changes(txn);
    if (r) return r;
    for (int i = 0; i < strarray_size(&txn->events); i++) {
        const char *s = strarray_nth(&txn->events, i);
        journal_record_event(&txn->rec, s + 1, (unsigned)(s[0] - '0'));
    }
    if (!txn->rec.nlocks && txn->rec.nops) {
        txn_misuse(txn, "changes without a lock", "");
        return IMAP_INTERNAL;
    }
    return txn_error(journal_record_seal(&txn->rec, JOURNAL_RECORD_TXN, (uint64_t)txn->time));
}

static void early_applied(void *rock)
{
    txn_db_unlock_early(rock);
}

static int write_record(struct txn *txn, uint64_t *lsnp)
{
    struct journal_commit commit = { .early_applied = early_applied, .rock = txn };

    int r = txn_stage_sync(txn);
    if (!r) r = build_record(txn);
    if (r) return r;
    r = journal_commit(txn->journal, &txn->rec, &commit);
    if (commit.lsn) {
        txn->appended = true;
        last_lsn = *lsnp = commit.lsn;
        if (r == -ETIMEDOUT) r = -EIO; /* nobody knows yet; not "come again" */
    }
    return txn_error(r);
}

static txn_check_fn *check;

void txn_set_check(txn_check_fn *fn)
{
    check = fn;
}

void txn_users(const struct txn *txn, strarray_t *users)
{
    for (int i = 0; i < ptrarray_size(&txn->locks); i++) {
        const struct namelock *lock = ptrarray_nth(&txn->locks, i);
        const char *name = namelock_name(lock);
        if (namelock_is_exclusive(lock) && strstarts(name, "*U*")) strarray_append(users, name + strlen("*U*"));
    }
}

static int write_checked(struct txn *txn, uint64_t *lsnp)
{
    int r = check ? check(txn) : 0;

    return r ? r : write_record(txn, lsnp);
}

int txn_commit(struct txn **txnp, uint64_t *lsnp)
{
    struct txn *txn = *txnp;
    struct journal *j = txn->journal;
    uint64_t lsn = 0;

    int r = run_hooks(txn);
    if (!r) r = txn->error;
    if (!r && (txn->rec.nops || strarray_size(&txn->events) || txn_db_isdirty(txn))) r = write_checked(txn, &lsn);
    if (lsnp) *lsnp = lsn;
    if (r) return r;

    *txnp = NULL;
    finish(txn, lsn);
    if (lsn) journal_checkpoint(j, JOURNAL_CHECKPOINT_IF_DUE | JOURNAL_CHECKPOINT_TRY);
    return 0;
}

/* ---- locks ---- */

struct named_user {
    char *name; /* of the lock */
    const char *userid;
};

static int take_lock(struct txn *txn, const char *name, enum namelock_type type)
{
    struct namelock *lock;

    for (int i = 0; i < ptrarray_size(&txn->locks); i++) {
        lock = ptrarray_nth(&txn->locks, i);
        if (strcmp(namelock_name(lock), name)) continue;
        return type == NAMELOCK_EXCLUSIVE && !namelock_is_exclusive(lock) ? IMAP_MAILBOX_LOCKED : 0;
    }
    bool may_wait = namelock_may_wait(name);
    int r = namelock_acquire(name, type, may_wait ? 0 : NAMELOCK_NONBLOCK, &lock);
    if (r == IMAP_MAILBOX_LOCKED && !may_wait && !namelock_held(name)) return IMAP_AGAIN;
    if (!r) ptrarray_append(&txn->locks, lock);
    return r;
}

int txn_lock_name(struct txn *txn, const char *lockname, bool exclusive)
{
    return take_lock(txn, lockname, exclusive ? NAMELOCK_EXCLUSIVE : NAMELOCK_SHARED);
}

void txn_set_gate(txn_gate *fn, void *rock)
{
    gate = fn;
    gate_rock = rock;
}

/* A user who is not to be changed is not held either, so that whoever asks again gets the same answer. */
static int take_user(struct txn *txn, const char *name, const char *userid)
{
    int had = ptrarray_size(&txn->locks);
    int r = take_lock(txn, name, NAMELOCK_EXCLUSIVE);
    bool asks = gate && userid && *userid && !strarray_contains(&txn->read_only, name);

    if (r || !asks || ptrarray_size(&txn->locks) == had) return r;
    r = gate(userid, gate_rock);
    if (r) {
        struct namelock *lock = ptrarray_pop(&txn->locks);
        namelock_release(&lock);
    }
    return r;
}

int txn_lock_user(struct txn *txn, const char *userid)
{
    struct buf name = BUF_INITIALIZER;
    lock_name_user(userid, &name);
    int r = take_user(txn, buf_cstring(&name), userid);
    buf_free(&name);
    return r;
}

void txn_only_reads(struct txn *txn, const char *userid)
{
    struct buf name = BUF_INITIALIZER;

    lock_name_user(userid, &name);
    strarray_add(&txn->read_only, buf_cstring(&name));
    buf_free(&name);
}

static int cmp_users(const void *a, const void *b)
{
    const struct named_user *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int txn_lock_users(struct txn *txn, const strarray_t *userids)
{
    size_t n = (size_t)strarray_size(userids);
    struct named_user *users = xcalloc(n + 1, sizeof(*users));
    struct buf name = BUF_INITIALIZER;
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        users[i].userid = strarray_nth(userids, (int)i);
        lock_name_user(users[i].userid, &name);
        users[i].name = xstrdup(buf_cstring(&name));
    }
    qsort(users, n, sizeof(*users), cmp_users);
    for (size_t i = 0; !r && i < n; i++) r = take_user(txn, users[i].name, users[i].userid);
    for (size_t i = 0; i < n; i++) free(users[i].name);
    free(users);
    buf_free(&name);
    return r;
}

bool txn_holds(const struct txn *txn, const char *lockname)
{
    for (int i = 0; i < ptrarray_size(&txn->locks); i++) {
        const struct namelock *lock = ptrarray_nth(&txn->locks, i);
        if (!strcmp(namelock_name(lock), lockname)) return namelock_is_exclusive(lock);
    }
    return false;
}

bool txn_holds_user(const struct txn *txn, const char *userid)
{
    struct buf name = BUF_INITIALIZER;
    lock_name_user(userid, &name);
    bool holds = txn_holds(txn, buf_cstring(&name));
    buf_free(&name);
    return holds;
}

/* ---- events, attachments ---- */

void txn_event(struct txn *txn, const char *line, unsigned flags)
{
    char *s = xasprintf("%u%s", flags & 7u, line);
    if (hash_lookup(s, &txn->event_set)) {
        free(s);
        return;
    }
    hash_insert(s, txn, &txn->event_set);
    strarray_appendm(&txn->events, s);
}

void txn_attach(struct txn *txn, const char *key, void *data, void (*done)(void *data))
{
    struct txn_attachment *a = xzmalloc(sizeof(*a));
    a->data = data;
    a->done = done;
    struct txn_attachment *old = hash_insert(key, a, &txn->attached);
    if (old) {
        txn_misuse(txn, "attached twice", key);
        free_attached(old);
    }
}

void *txn_attached(const struct txn *txn, const char *key)
{
    const struct txn_attachment *a = hash_lookup(key, &txn->attached);
    return a ? a->data : NULL;
}
