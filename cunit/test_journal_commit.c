/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal_commit -- processes that die on the way, lazy removals, links, checkpoints, lives
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "journal_testutil.h"
#include "util.h"

static void hook_kill(const char *kill)
{
    struct diskio_hooks hooks = { .kill = kill };
    if (diskio_hooks_install(&hooks)) _exit(98);
}

static void hook_fault(const char *fault)
{
    struct diskio_hooks hooks = { .fault = fault };
    ck_assert_int_eq(diskio_hooks_install(fault ? &hooks : NULL), 0);
}

/* The same for calls on the file of that name. */
static const char *on_file(const char *what, const char *name)
{
    static char spec[4200];
    snprintf(spec, sizeof(spec), "%s:%s", what, jt_path(name));
    return spec;
}

static bool same_inode(const char *a, const char *b)
{
    struct stat sa, sb;
    ck_assert_int_eq(diskio_stat(jt_path(a), &sa), 0);
    ck_assert_int_eq(diskio_stat(jt_path(b), &sb), 0);
    return sa.st_ino == sb.st_ino;
}

/* ---- dead committers ---- */

static void die_before_apply(void)
{
    hook_kill(on_file("pwrite:1", "a"));
    jt_pwrite("alice", "a", 0, "B");
}

/* Appended and durable, but not applied: the next holder of the lock finishes it. */
START_TEST(test_next_holder_finishes)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_child(die_before_apply), 137);
    jt_assert_file("a", "A");
    ck_assert_uint_eq(jt->ctl->pending, 1);

    /* Another lock does not concern it. */
    ck_assert_int_eq(journal_resolve(jt, "*U*bob"), 0);
    jt_assert_file("a", "A");
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), 0);
    jt_assert_file("a", "B");
    ck_assert_uint_eq(jt->ctl->pending, 0);
}
END_TEST

static void die_before_sync(void)
{
    hook_kill("fdatasync:1");
    jt_pwrite("alice", "a", 0, "B");
}

/* Appended, nothing more: the next holder syncs it first. */
START_TEST(test_next_holder_syncs)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_child(die_before_sync), 137);
    ck_assert_uint_lt(jt->ctl->synced, jt->ctl->tail);
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), 0);
    jt_assert_file("a", "B");
    ck_assert_uint_eq(jt->ctl->synced, jt->ctl->tail);
}
END_TEST

static void die_in_append(void)
{
    hook_kill("pwrite:1:.log");
    jt_pwrite("alice", "a", 0, "B");
}

/* Not appended: it never happened. */
START_TEST(test_death_in_append)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_child(die_in_append), 137);
    ck_assert_uint_eq(jt->ctl->appending, 1);
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), 0);
    jt_assert_file("a", "A");
    ck_assert_uint_eq(jt->ctl->pending, 0);
    ck_assert_int_eq(jt_pwrite("alice", "a", 0, "C"), 0);
    jt_assert_file("a", "C");
}
END_TEST

static void die_in_many(void)
{
    struct journal_commit commit = { 0 };
    struct journal_record rec;
    struct journal_op ops[] = {
        { .kind = JOURNAL_OP_PWRITE, .path = jt_path("a"), .data = "1", .datalen = 1, .off = 1 },
        { .kind = JOURNAL_OP_LINK, .path = jt_path("a"), .path2 = jt_path("b") },
        { .kind = JOURNAL_OP_MKDIR, .path = jt_path("d"), .mode = 0755 },
        { .kind = JOURNAL_OP_REPLACE, .path = jt_dir, .mode = 0644, .data = "new", .datalen = 3 },
    };
    char c[300];
    snprintf(c, sizeof(c), "%s", jt_path("d/c"));
    ops[3].path = c;
    hook_kill(on_file("rename:1", "d/c"));
    journal_record_init(&rec);
    /* More locks than a slot has room for. */
    for (int i = 0; i < 20; i++) {
        char lock[32];
        snprintf(lock, sizeof(lock), "*U*user%d", i);
        journal_record_lock(&rec, lock, false);
    }
    for (size_t i = 0; i < array_size(ops); i++) journal_record_op(&rec, &ops[i]);
    journal_record_seal(&rec, JOURNAL_RECORD_TXN, 1);
    journal_commit(jt, &rec, &commit);
}

/* Half applied, under many locks: any of them finishes it, once. */
START_TEST(test_half_applied)
{
    ck_assert_int_eq(jt_create("user0", "a", "AA"), 0);
    ck_assert_int_eq(jt_child(die_in_many), 137);
    jt_assert_file("d/c", NULL);
    ck_assert_int_eq(journal_resolve(jt, "*U*user99"), 0);
    jt_assert_file("d/c", NULL);
    ck_assert_int_eq(journal_resolve(jt, "*U*user17"), 0);
    jt_assert_file("d/c", "new");
    jt_assert_file("b", "A1");
    ck_assert(same_inode("a", "b"));
    ck_assert_uint_eq(jt->ctl->pending, 0);

    ck_assert_int_eq(jt_pwrite("user0", "a", 0, "Z"), 0);
    ck_assert_int_eq(journal_resolve(jt, "*U*user3"), 0);
    jt_assert_file("a", "Z1");
}
END_TEST

/* Nobody takes the lock: the checkpoint finishes it. */
START_TEST(test_checkpoint_finishes)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_child(die_before_apply), 137);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_assert_file("a", "B");
    ck_assert_uint_eq(jt->ctl->pending, 0);
    ck_assert_uint_eq(jt->ctl->checkpoint, jt->ctl->tail);
}
END_TEST

static void die_redoing(void)
{
    hook_kill(on_file("pwrite:1", "a"));
    journal_resolve(jt, "*U*alice");
}

/* He who finishes dies too. */
START_TEST(test_death_while_finishing)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_child(die_before_apply), 137);
    ck_assert_int_eq(jt_child(die_redoing), 137);
    jt_assert_file("a", "A");
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), 0);
    jt_assert_file("a", "B");
}
END_TEST

/* The file can't be written now: durable, reported, and finished when it can. */
START_TEST(test_apply_fails)
{
    struct journal_commit commit = { 0 };
    struct journal_op op = { .kind = JOURNAL_OP_PWRITE, .path = jt_path("a"), .data = "B", .datalen = 1 };

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    hook_fault(on_file("pwrite:1+:ENOSPC", "a"));
    ck_assert_int_eq(jt_commit("alice", &op, &commit), -ENOSPC);
    ck_assert(commit.durable);
    jt_assert_file("a", "A");
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), -ENOSPC);
    hook_fault(NULL);
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), 0);
    jt_assert_file("a", "B");
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
}
END_TEST

/* A file that somebody removed can't be written: said, and not in the way for ever. */
START_TEST(test_file_is_gone)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(unlink(jt_path("a")), 0);
    ck_assert_int_eq(jt_pwrite("alice", "a", 0, "B"), -ENOENT);
    ck_assert_int_eq(journal_resolve(jt, "*U*alice"), 0);
    ck_assert_int_eq(jt_create("alice", "a", "C"), 0);
    jt_assert_file("a", "C");
}
END_TEST

static void leave_pending(void)
{
    char name[16];
    snprintf(name, sizeof(name), "u%d", (int)getpid());
    hook_kill("fdatasync:1");
    jt_pwrite(name, "a", 0, "B");
}

static void copy_slot(struct journal_slot *to, const struct journal_slot *from)
{
    to->end = from->end;
    to->done = from->done;
    to->pid = from->pid;
    to->nlocks = from->nlocks;
    for (unsigned i = 0; i < JOURNAL_SLOT_LOCKS; i++) to->locks[i] = from->locks[i];
    to->start = from->start;
}

/* Every slot taken by the dead: the next committer makes room. (Of one record, which may be redone as often.) */
START_TEST(test_slots_run_out)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(jt_child(leave_pending), 137);
    for (unsigned i = 1; i < JOURNAL_SLOTS; i++) copy_slot(&jt->ctl->slots[i], &jt->ctl->slots[0]);
    jt->ctl->pending = jt->ctl->nslots = JOURNAL_SLOTS;
    ck_assert_int_eq(jt_create("bob", "b", "B"), 0);
    ck_assert_uint_eq(jt->ctl->pending, 0);
    jt_assert_file("a", "B");
    jt_assert_file("b", "B");
}
END_TEST

/* ---- names ---- */

START_TEST(test_lazy_removal)
{
    ck_assert_int_eq(jt_create("alice", "1.", "one"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_LINK, "1.", "copy"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "1.", NULL), 0);
    jt_assert_file("1.", "one");
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_assert_file("1.", NULL);
    jt_assert_file("copy", "one");
}
END_TEST

/* Made anew before the checkpoint: it stays. */
START_TEST(test_lazy_removal_overtaken)
{
    struct journal_recovery recovery = { 0 };
    ck_assert_int_eq(jt_create("alice", "1.", "one"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "1.", NULL), 0);
    ck_assert_int_eq(jt_create("alice", "1.", "two"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    jt_assert_file("1.", "two");
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "1.", NULL), 0);
    ck_assert_int_eq(jt_create("alice", "1.", "three"), 0);
    jt_reboot(&recovery);
    jt_assert_file("1.", "three");
}
END_TEST

START_TEST(test_lazy_directory)
{
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_MKDIR, "m/sub", NULL), 0);
    ck_assert_int_eq(jt_create("alice", "m/sub/1.", "one"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_RMDIR, "m", NULL), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_RMDIR, "m/sub", NULL), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "m/sub/1.", NULL), 0);
    jt_assert_file("m/sub/1.", "one");
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert(!test_exists(jt_path("m")));

    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_MKDIR, "m", NULL), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_RMDIR, "m", NULL), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_MKDIR, "m", NULL), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert(test_exists(jt_path("m")));
}
END_TEST

/* A name that is the source of a link in this window is settled before it is used anew. */
START_TEST(test_link_source_is_settled)
{
    struct journal_recovery recovery = { 0 };
    uint64_t before = jt->ctl->checkpoint;

    ck_assert_int_eq(jt_create("alice", "1.", "one"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_LINK, "1.", "copy"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "1.", NULL), 0);
    ck_assert_uint_eq(jt->ctl->checkpoint, before);
    ck_assert_int_eq(jt_create("alice", "1.", "two"), 0);
    ck_assert_uint_gt(jt->ctl->checkpoint, before);
    jt_assert_file("copy", "one");
    jt_assert_file("1.", "two");
    jt_reboot(&recovery);
    jt_assert_file("copy", "one");
    jt_assert_file("1.", "two");
}
END_TEST

/* The state behind every prefix of these operations is reached from every older or newer state of the files. */
static int run_step(unsigned i)
{
    switch (i) {
    case 0: return jt_create("alice", "idx", "0000");
    case 1: return jt_pwrite("alice", "idx", 1, "11");
    case 2: return jt_op2("alice", JOURNAL_OP_LINK, "idx", "link");
    case 3: return jt_pwrite("alice", "link", 3, "345");
    case 4: return jt_create("alice", "1.", "message");
    case 5: return jt_op2("alice", JOURNAL_OP_LINK, "1.", "2.");
    case 6: return jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "1.", NULL);
    case 7: return jt_create("alice", "meta", "old");
    case 8: return jt_pwrite("alice", "meta", 2, "D");
    case 9: return jt_op2("alice", JOURNAL_OP_UNLINK, "meta", NULL);
    case 10: return jt_create("alice", "meta", "newer");
    case 11: return jt_pwrite("alice", "meta", 5, "!");
    case 12: return jt_symlink("alice", "2.", "soft");
    case 13: return jt_symlink("alice", "meta", "soft");
    case 14: return jt_create("alice", "soft", "a file");
    case 15: return jt_symlink("alice", "meta", "soft");
    default: return 1;
    }
}

static void expect_steps(unsigned n)
{
    jt_assert_file("idx", n > 3 ? "011345" : n > 1 ? "0110" : n > 0 ? "0000" : NULL);
    jt_assert_file("link", n > 3 ? "011345" : n > 2 ? "0110" : NULL);
    jt_assert_file("2.", n > 5 ? "message" : NULL);
    jt_assert_file("1.", n > 4 && n <= 6 ? "message" : NULL);
    jt_assert_file("meta", n > 11 ? "newer!" : n > 10 ? "newer" : n > 9 ? NULL : n > 8 ? "olD" : n > 7 ? "old" : NULL);
    jt_assert_file("soft", n > 15 || n == 14 ? "newer!" : n > 14 ? "a file" : n > 12 ? "message" : NULL);
}

static void copy_tree(const char *from, const char *to)
{
    char cmd[3000];
    snprintf(cmd, sizeof(cmd), "rm -rf %s && cp -a %s %s", to, from, to);
    ck_assert_int_eq(system(cmd), 0);
}

/*
 * The files stand as after step `done`, the log as after step `logged`: redo brings them to `logged`,
 * whether that lies before or behind.
 */
START_TEST(test_redo_from_any_state)
{
    char *work = test_mkdtemp(), cmd[1200];
    char *states = test_path(work, "states");
    unsigned n = 16;

    ck_assert_int_eq(diskio_mkdir(states, 0755), 0);
    for (unsigned i = 0; i <= n; i++) {
        snprintf(cmd, sizeof(cmd), "cp -a %s %s/%u", jt_dir, states, i);
        ck_assert_int_eq(system(cmd), 0);
        if (i < n) ck_assert_int_eq(run_step(i), 0);
    }
    journal_abandon(&jt);
    for (unsigned done = 0; done <= n; done++) {
        struct journal_recovery recovery = { 0 };
        snprintf(cmd, sizeof(cmd), "%s/%u", states, done);
        copy_tree(cmd, jt_dir);
        snprintf(cmd, sizeof(cmd), "rm -rf %s/journal && cp -a %s/%u/journal %s", jt_dir, states, n, jt_dir);
        ck_assert_int_eq(system(cmd), 0);
        jt_reboot(&recovery);
        ck_assert_uint_eq(recovery.records, n);
        expect_steps(n);
        /* And once more: recovery died before its checkpoint. */
        journal_abandon(&jt);
        snprintf(cmd, sizeof(cmd), "rm -rf %s/journal && cp -a %s/%u/journal %s", jt_dir, states, n, jt_dir);
        ck_assert_int_eq(system(cmd), 0);
        jt_reboot(&recovery);
        expect_steps(n);
        journal_abandon(&jt);
    }
    free(states);
    test_rmdir(work);
}
END_TEST

/* Whatever is not there at recovery but must be: refused, then skipped when told so. */
START_TEST(test_missing_partition)
{
    struct journal_recovery recovery = { 0 };
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_MKDIR, "part", NULL), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(jt_create("alice", "part/1.", "one"), 0);
    ck_assert_int_eq(jt_create("alice", "other", "two"), 0);
    ck_assert_int_eq(diskio_rename(jt_path("part"), jt_path("unmounted")), 0);
    ck_assert_int_eq(diskio_unlink(jt_path("other")), 0);
    journal_abandon(&jt);
    diskio_unlink_quiet(jt_path("journal/control"));
    ck_assert_int_eq(journal_recover(&jt_config, &recovery, &jt), -EUCLEAN);
    ck_assert_int_eq(journal_open(&jt_config, &jt), -EUCLEAN);

    ck_assert_int_eq(diskio_unlink(jt_path("unmounted/1.")), 0);
    ck_assert_int_eq(diskio_rename(jt_path("unmounted"), jt_path("part")), 0);
    ck_assert_int_eq(journal_recover(&jt_config, &recovery, &jt), 0);
    jt_assert_file("part/1.", "one");
    jt_assert_file("other", "two");
}
END_TEST

START_TEST(test_force_skips)
{
    struct journal_recovery recovery = { .force = true };
    ck_assert_int_eq(jt_create("alice", "a", "one"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(jt_pwrite("alice", "a", 0, "X"), 0);
    ck_assert_int_eq(jt_create("alice", "b", "two"), 0);
    ck_assert_int_eq(diskio_unlink(jt_path("a")), 0);
    ck_assert_int_eq(diskio_unlink(jt_path("b")), 0);
    jt_reboot(&recovery);
    ck_assert_uint_eq(recovery.skipped, 1);
    jt_assert_file("b", "two");
}
END_TEST

static void collect(const struct journal_event *event, void *rock)
{
    buf_printf(rock, "%s;", event->line);
}

START_TEST(test_recovery_tells_events)
{
    struct buf seen = BUF_INITIALIZER;
    struct journal_recovery recovery = { .event = collect, .rock = &seen };
    ck_assert_int_eq(jt_event("USER a"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(jt_event("USER b"), 0);
    ck_assert_int_eq(jt_event("USER c"), 0);
    jt_reboot(&recovery);
    ck_assert_str_eq(buf_cstring(&seen), "USER b;USER c;");
    buf_free(&seen);
}
END_TEST

/* While others work, recovery only finishes what dead ones left. */
static void recover_live(void)
{
    struct journal_recovery recovery = { 0 };
    journal_abandon(&jt);
    if (journal_recover(&jt_config, &recovery, &jt)) _exit(1);
    if (!recovery.live) _exit(2);
}

START_TEST(test_recover_while_live)
{
    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    uint64_t generation = jt->ctl->generation;
    ck_assert_int_eq(jt_child(die_before_apply), 137);
    ck_assert_int_eq(jt_child(recover_live), 0);
    jt_assert_file("a", "B");
    ck_assert(jt->ctl->generation == generation);
}
END_TEST

/* ---- checkpoints beside commits ---- */

#define WORKERS 4
#define COMMITS 60

static void work(int id)
{
    char name[32], text[32];
    for (int i = 0; i < COMMITS; i++) {
        snprintf(name, sizeof(name), "w%d.%d", id, i);
        snprintf(text, sizeof(text), "text %d", i);
        if (jt_create(name, name, text)) _exit(1);
        if (i % 3 == 0 && jt_op2(name, JOURNAL_OP_UNLINK_LAZY, name, NULL)) _exit(2);
        if (i % 9 == 0 && jt_create(name, name, "again")) _exit(3);
        if (i % 10 == id && journal_checkpoint(jt, 0)) _exit(4);
    }
    _exit(0);
}

static void check_work(void)
{
    for (int id = 0; id < WORKERS; id++) {
        for (int i = 0; i < COMMITS; i++) {
            char name[32], text[32];
            snprintf(name, sizeof(name), "w%d.%d", id, i);
            snprintf(text, sizeof(text), "text %d", i);
            jt_assert_file(name, i % 9 == 0 ? "again" : i % 3 == 0 ? NULL : text);
        }
    }
}

START_TEST(test_concurrent_checkpoints)
{
    pid_t pids[WORKERS];
    int status;

    jt->checkpoint_size = jt_config.checkpoint_size = 5000;
    jt->segment_size = jt_config.segment_size = 3000;
    for (int id = 0; id < WORKERS; id++) {
        pids[id] = fork();
        if (!pids[id]) {
            if (journal_after_fork(jt)) _exit(99);
            work(id);
        }
    }
    for (int id = 0; id < WORKERS; id++) {
        ck_assert_int_eq(waitpid(pids[id], &status, 0), pids[id]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    check_work();
    struct journal_recovery recovery = { 0 };
    jt_reboot(&recovery);
    check_work();
    ck_assert_uint_eq(jt->ctl->pending, 0);
}
END_TEST

/* ---- a recovery that dies ---- */

static unsigned die_at_rename;

static void recover_and_die(void)
{
    char spec[64];
    snprintf(spec, sizeof(spec), "rename:%u:journal/checkpoint", die_at_rename);
    hook_kill(spec);
    journal_recover(&jt_config, NULL, &jt);
}

/* The source of a link goes only when the link need not be made again. */
START_TEST(test_death_in_recovery)
{
    struct journal_recovery recovery = { 0 };

    ck_assert_int_eq(jt_create("alice", "m", "text"), 0);
    ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_LINK, "m", "n"), 0);
    ck_assert_int_eq(jt_op2("alice", JOURNAL_OP_UNLINK_LAZY, "m", NULL), 0);
    journal_abandon(&jt);
    for (die_at_rename = 1; die_at_rename <= 2; die_at_rename++) {
        diskio_unlink_quiet(jt_path("journal/control"));
        ck_assert_int_eq(jt_child(recover_and_die), 137);
    }
    jt_reboot(&recovery);
    jt_assert_file("n", "text");
    jt_assert_file("m", NULL);
}
END_TEST

/* ---- the last ones ---- */

static void commit_and_leave(int ready, int start, int id)
{
    char go = 0, name[16];
    snprintf(name, sizeof(name), "w%d", id);
    if (jt_create(name, name, "A") || write(ready, &go, 1) != 1) _exit(1);
    /* All go at the same moment, when the parent closes the pipe. */
    if (read(start, &go, 1)) _exit(2);
    _exit(journal_close(&jt) ? 3 : 0);
}

/* Of many that leave together one is the last, and leaves a plain store. */
START_TEST(test_leave_together)
{
    for (int round = 0; round < 20; round++) {
        pid_t pids[WORKERS];
        int fds[2], ready[2], status;
        char one;
        ck_assert_int_eq(pipe(fds), 0);
        ck_assert_int_eq(pipe(ready), 0);
        for (int id = 0; id < WORKERS; id++) {
            pids[id] = fork();
            if (pids[id]) continue;
            close(fds[1]);
            if (journal_after_fork(jt)) _exit(99);
            commit_and_leave(ready[1], fds[0], id);
        }
        for (int id = 0; id < WORKERS; id++) ck_assert_int_eq(read(ready[0], &one, 1), 1);
        journal_abandon(&jt);
        close(fds[0]);
        close(fds[1]);
        close(ready[0]);
        close(ready[1]);
        for (int id = 0; id < WORKERS; id++) {
            ck_assert_int_eq(waitpid(pids[id], &status, 0), pids[id]);
            ck_assert_int_eq(status, 0);
        }
        ck_assert(!test_exists(jt_path("journal/control")));
        ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    }
}
END_TEST

static void commit_as_orphan(int start)
{
    char go;
    if (read(start, &go, 1)) _exit(1);
    if (journal_after_fork(jt)) _exit(2);
    if (jt_create("bob", "b", "B")) _exit(3);
    _exit(journal_close(&jt) ? 4 : 0);
}

/* The parent has left a plain store before its child looks at the journal. */
START_TEST(test_parent_left)
{
    struct journal_recovery recovery = { 0 };
    int fds[2], status;

    ck_assert_int_eq(jt_create("alice", "a", "A"), 0);
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (!pid) {
        close(fds[1]);
        commit_as_orphan(fds[0]);
    }
    ck_assert_int_eq(journal_close(&jt), 0);
    close(fds[0]);
    close(fds[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(journal_recover(&jt_config, &recovery, &jt), 0);
    ck_assert_uint_eq(recovery.records, 0); /* the child has left a plain store, too */
    jt_assert_file("a", "A");
    jt_assert_file("b", "B");
}
END_TEST

static unsigned die_at;

static void leave_and_die(void)
{
    char spec[32];
    snprintf(spec, sizeof(spec), "any:%u", die_at);
    if (journal_open(&jt_config, &jt) || jt_create("alice", "a", "A")) _exit(99);
    hook_kill(spec);
    _exit(journal_close(&jt) ? 98 : 0);
}

/* The last user dies while he makes the store plain: whoever comes next can commit. */
START_TEST(test_death_in_leaving)
{
    int code = 137;
    for (die_at = 1; code; die_at++) {
        ck_assert_int_eq(code, 137);
        ck_assert_int_eq(journal_close(&jt), 0);
        code = jt_child(leave_and_die);
        ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
        jt_assert_file("a", "A");
        ck_assert_int_eq(jt_create("alice", "b", "B"), 0);
        jt_assert_file("b", "B");
    }
    ck_assert_uint_gt(die_at, 8);
}
END_TEST

/* A worker is killed anywhere; the others, and the recovery, go on. */
START_TEST(test_killed_anywhere)
{
    jt->segment_size = jt_config.segment_size = 3000;
    for (unsigned nth = 1; nth < 60; nth++) {
        char spec[32];
        snprintf(spec, sizeof(spec), "any:%u", nth);
        pid_t pid = fork();
        if (!pid) {
            if (journal_after_fork(jt)) _exit(99);
            hook_kill(spec);
            work(0);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 137);
        ck_assert_int_eq(jt_create("w0.0", "w0.0", "whole"), 0);
        jt_assert_file("w0.0", "whole");
        if (nth % 8 == 0) ck_assert_int_eq(journal_checkpoint(jt, 0), 0);
        if (nth % 20 == 0) {
            struct journal_recovery recovery = { 0 };
            jt_reboot(&recovery);
            jt_assert_file("w0.0", "whole");
        }
    }
    ck_assert_int_eq(journal_close(&jt), 0);
}
END_TEST

/* Places of former lives, as far as each has come; none of a life that a restored backup has not had. */
START_TEST(test_lives)
{
    struct journal_status first, second, third;
    static char kept[256];
    struct diskio_map map = DISKIO_MAP_INITIALIZER;

    ck_assert_int_eq(jt_create("alice", "a", "one"), 0);
    journal_status(jt, &first);
    ck_assert(first.instance && journal_has_passed(jt, first.instance, first.tail));
    ck_assert(!journal_has_passed(jt, first.instance, first.tail + 1));
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert_int_eq(diskio_map_file(jt_path("journal/lives"), &map, NULL), 0);
    size_t len = map.len;
    ck_assert_uint_lt(len, sizeof(kept));
    memcpy(kept, map.base, len);
    diskio_map_free(&map);

    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert_int_eq(jt_create("alice", "b", "two"), 0);
    journal_status(jt, &second);
    ck_assert(second.instance != first.instance && second.tail > first.tail);
    ck_assert(journal_has_passed(jt, first.instance, first.tail) && !journal_has_passed(jt, first.instance, first.tail + 1));
    ck_assert(journal_has_passed(jt, second.instance, second.tail));
    ck_assert_int_eq(journal_close(&jt), 0);

    /* the second life never was; even where this one is longer */
    ck_assert_int_eq(diskio_replacefile(jt_path("journal/lives"), kept, len), 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert_int_eq(jt_create("alice", "c", "three"), 0);
    journal_status(jt, &third);
    ck_assert(third.tail > second.tail && journal_has_passed(jt, first.instance, first.tail));
    ck_assert(!journal_has_passed(jt, second.instance, second.tail) && !journal_has_passed(jt, second.instance, 1));

    ck_assert_int_eq(diskio_replacefile(jt_path("journal/lives"), "rubbish\n", 8), 0);
    ck_assert(!journal_has_passed(jt, first.instance, first.tail) && journal_has_passed(jt, third.instance, third.tail));
    ck_assert_int_eq(journal_close(&jt), 0);
    ck_assert_int_eq(journal_open(&jt_config, &jt), 0);
    ck_assert(!journal_has_passed(jt, third.instance, third.tail));
    ck_assert(!journal_has_passed(jt, 0, 0));
}
END_TEST

Suite *journal_commit_suite(void)
{
    const TTest *const tests[] = {
        test_next_holder_finishes, test_next_holder_syncs, test_death_in_append, test_half_applied,
        test_checkpoint_finishes, test_death_while_finishing, test_apply_fails, test_file_is_gone,
        test_slots_run_out, test_lazy_removal, test_lazy_removal_overtaken, test_lazy_directory,
        test_link_source_is_settled, test_redo_from_any_state, test_missing_partition, test_force_skips,
        test_recovery_tells_events, test_recover_while_live, test_concurrent_checkpoints, test_death_in_recovery, test_leave_together, test_parent_left,
        test_death_in_leaving, test_killed_anywhere, test_lives,
    };
    Suite *s = suite_create("journal_commit");
    TCase *tc = tcase_create("commit");
    tcase_add_checked_fixture(tc, jt_setup, jt_teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(s, tc);
    return s;
}
