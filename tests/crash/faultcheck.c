/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * faultcheck -- what is left when a disk operation fails, or a process dies at it
 *
 *   faultcheck -C CONF -r ROOT -b COPY [-1]
 *       COPY is the tree below ROOT at rest, with user.alice, user.alice.Work, user.alice.Work.Deep and
 *       user.bob, one message in each INBOX. Some operations are done with every single change of the disk, in turn,
 *       failing with ENOSPC, EIO or EACCES, and again with it ending the process.
 *       -1: until something is wrong.
 *
 * Then another process goes on, and after it a start: an operation that was answered is done, one that
 * was refused or cut off is done as a whole or not at all, and the store makes sense. Behind a failed
 * sync of the log nothing more is written until the start. A line for each that is wrong, and a last line with
 * the numbers. Exit code 0: nothing is wrong, 1: something is.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "append.h"
#include "auth.h"
#include "disk.h"
#include "diskio.h"
#include "diskio_trace.h"
#include "global.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "message_guid.h"
#include "store.h"
#include "strarray.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CHILD_SECONDS 60
#define MAX_TOLD 6u
#define MAX_CALLS 400u /* of one operation */

static const char usage[] = "Usage: faultcheck -C CONF -r ROOT -b COPY [-1]\n";

/* ---- operations: imap_err codes ---- */

static int append_to(struct txn *txn, const char *name, struct stage *stage)
{
    struct append_args args = { .userid = NULL };
    struct mailbox *mailbox;
    uint32_t uid;
    int r = mailbox_open_iwl(txn, name, &mailbox);

    return r ? r : append_fromstage(mailbox, stage, &args, &uid);
}

static int deliver(size_t size)
{
    struct buf message = BUF_INITIALIZER;
    strarray_t users = STRARRAY_INITIALIZER;
    struct stage *stage = NULL;
    struct txn *txn = NULL;

    buf_setcstr(&message,
                "From: a@example.com\r\nSubject: fault\r\nMessage-ID: <f@example.com>\r\n\r\n");
    while (buf_len(&message) < size) buf_appendcstr(&message, "some words in a line\r\n");
    strarray_append(&users, "alice");
    strarray_append(&users, "bob");
    int r = stage_new_bytes(buf_base(&message), buf_len(&message), 0, &stage);
    if (!r) r = txn_begin(&txn);
    if (!r) r = txn_lock_users(txn, &users);
    if (!r) r = append_to(txn, "user.alice", stage);
    if (!r) r = append_to(txn, "user.bob", stage);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    stage_free(&stage);
    strarray_fini(&users);
    buf_free(&message);
    return r;
}

static int deliver_small(void)
{
    return deliver(200);
}

static int deliver_large(void)
{
    return deliver(6000);
}

static int create(void)
{
    struct auth_state *auth = auth_newstate("admin");
    struct mboxlist_createargs args = {
        .name = "user.alice.New.Deep", .isadmin = true, .userid = "admin", .auth = auth
    };
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = mboxlist_createmailbox(txn, &args, NULL);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    auth_freestate(&auth);
    return r;
}

static int rename_tree(void)
{
    struct auth_state *auth = auth_newstate("admin");
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r)
        r = mboxlist_renametree(txn, "user.alice.Work", "user.alice.Play", NULL, true, "admin",
                                auth, 0, NULL, NULL);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    auth_freestate(&auth);
    return r;
}

static const struct operation {
    const char *name;
    int (*run)(void);
    struct {
        const char *line; /* lines of the state that begin so ... */
        unsigned after;   /* ... are so many when it is done */
    } lines[2];
} operations[] = {
    { "delivery", deliver_small, { { "message user.alice ", 2 }, { "message user.bob ", 2 } } },
    { "large delivery",
      deliver_large,
      { { "message user.alice ", 2 }, { "message user.bob ", 2 } } },
    { "create",
      create,
      { { "mailbox user.alice.New.Deep ", 1 }, { "mailbox user.alice.New ", 1 } } },
    { "rename",
      rename_tree,
      { { "mailbox user.alice.Play ", 1 }, { "mailbox user.alice.Play.Deep ", 1 } } },
};

/* One of these each time; all of them meet the same calls of other operations. */
static const char *const errors[] = { "ENOSPC", "EIO", "EACCES", "EIO" };

/* ---- processes ---- */

struct run {
    const char *root;
    struct disk *disk;
    struct buf before; /* the state of the copy */
    bool first;        /* ends with the first that is wrong */
    unsigned tried, wrong;
    unsigned done, refused, killed,
        readonly; /* operations; times that the store became read-only */
};

/* What a child says to its parent. */
struct answer {
    int result;
    bool failed;      /* the journal is read-only now */
    bool wrote;       /* and yet something was written */
    unsigned changes; /* calls that change the disk */
};

typedef void child_fn(struct run *run, void *rock, int fd);

static void drop_log(int pri, const char *line, void *rock)
{
    (void)pri, (void)line, (void)rock;
}

/* Runs fn in a child; what it writes to fd. The exit code, or 256 + signal. */
static int in_child(struct run *run, child_fn *fn, void *rock, struct buf *said)
{
    char block[4096];
    int fds[2], status;
    ssize_t n;

    fflush(NULL);
    if (pipe(fds)) fatal("pipe", EX_OSERR);
    pid_t pid = fork();
    if (pid < 0) fatal("fork", EX_OSERR);
    if (!pid) {
        alarm(CHILD_SECONDS);
        xsyslog_settap(drop_log, NULL);
        fn(run, rock, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    buf_reset(said);
    while ((n = read(fds[0], block, sizeof(block))) > 0) buf_appendmap(said, block, (size_t)n);
    close(fds[0]);
    if (waitpid(pid, &status, 0) != pid) fatal("waitpid", EX_OSERR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

struct trial {
    const struct operation *op;
    const char *fault, *kill;
    bool restart; /* look after a start, else as another process that goes on */
};

static unsigned count_changes(void)
{
    static const enum diskio_kind changes[] = {
        DISKIO_PWRITE, DISKIO_WRITE,  DISKIO_FTRUNCATE, DISKIO_FSYNC,  DISKIO_FDATASYNC,
        DISKIO_SYNCFS, DISKIO_RENAME, DISKIO_LINK,      DISKIO_UNLINK, DISKIO_MKDIR,
        DISKIO_RMDIR,  DISKIO_UTIME,  DISKIO_CHMOD,     DISKIO_CLONE,  DISKIO_COPYRANGE,
    };
    unsigned n = 0;

    for (size_t i = 0; i < array_size(changes); i++)
        n += (unsigned)diskio_counters()->calls[changes[i]];
    return n;
}

/* The journal is open before the fault, as in a server. */
static void operate(struct run *run, void *rock, int fd)
{
    const struct trial *trial = rock;
    struct diskio_hooks hooks = { .fault = trial->fault, .kill = trial->kill };
    struct answer answer = { 0 };
    struct journal *j;

    (void)run;
    if (txn_journal(&j)) _exit(EX_SOFTWARE);
    diskio_counters_reset();
    if (diskio_hooks_install(&hooks)) _exit(EX_SOFTWARE);
    answer.result = trial->op->run();
    diskio_hooks_install(NULL);
    answer.changes = count_changes();
    answer.failed = journal_failed(j);
    /* The disk is well again, but what has been lost by a failed sync is not known. */
    answer.wrote = answer.failed && !create();
    if (write(fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer)) _exit(EX_IOERR);
}

/* Whoever takes a lock finishes what was left under it. */
static int take_locks(void)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct txn *txn = NULL;

    strarray_append(&users, "alice");
    strarray_append(&users, "bob");
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_users(txn, &users);
    txn_abort(&txn);
    strarray_fini(&users);
    return r ? r : txn_checkpoint();
}

static unsigned count_lines(const struct buf *state, const char *prefix)
{
    size_t len = strlen(prefix);
    const char *end = buf_base(state) + buf_len(state);
    unsigned n = 0;

    for (const char *line = buf_base(state); line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        n += (size_t)(next - line) > len && !memcmp(line, prefix, len);
        line = next;
    }
    return n;
}

static bool is_done(const struct operation *op, const struct buf *state)
{
    for (size_t i = 0; i < array_size(op->lines); i++) {
        if (count_lines(state, op->lines[i].line) != op->lines[i].after) return false;
    }
    return true;
}

/* Says "done", "not done", or what is wrong. */
static void look(struct run *run, void *rock, int fd)
{
    const struct trial *trial = rock;
    struct journal_recovery done = { .force = false };
    struct buf state = BUF_INITIALIZER, said = BUF_INITIALIZER;

    int r = trial->restart ? txn_recover(&done) : take_locks();
    if (r) buf_printf(&said, "the store can't be had: %s\n", error_message(r));
    store_state(&state);
    /* What is lazily removed goes, and the journal is emptied, when the last one leaves. */
    txn_shutdown();
    store_check(&said);
    if (!buf_len(&said) && is_done(trial->op, &state))
        buf_setcstr(&said, "done");
    else if (!buf_len(&said) && buf_equal(&state, &run->before))
        buf_setcstr(&said, "not done");
    else if (!buf_len(&said))
        buf_setcstr(&said, "half-done\n");
    diskio_write(fd, buf_base(&said), buf_len(&said));
}

static void say_state(struct run *run, void *rock, int fd)
{
    struct buf state = BUF_INITIALIZER;

    (void)run, (void)rock;
    store_state(&state);
    diskio_write(fd, buf_base(&state), buf_len(&state));
    txn_shutdown();
}

static void put_back(struct run *run)
{
    struct disk_image image;

    disk_clear(run->root);
    disk_image_init(&image, run->disk, (struct disk_cut){ 0, DISK_ALL, 0 });
    disk_image_write(&image);
    disk_image_fini(&image);
}

/* ---- trials ---- */

static void complain(struct run *run, const struct trial *trial, const char *spec, const char *what)
{
    if (run->wrong++ < MAX_TOLD) printf("WRONG %s, %s: %s\n", trial->op->name, spec, what);
}

static void judge(struct run *run, struct trial *trial, const char *spec,
                  const struct answer *answer, bool answered, struct buf *said)
{
    trial->restart = answered && answer->failed;
    int code = in_child(run, look, trial, said);
    const char *what = buf_cstring(said);

    if (code)
        complain(run, trial, spec, "who goes on dies");
    else if (strcmp(what, "done") && strcmp(what, "not done"))
        complain(run, trial, spec, what);
    else if (answered && !answer->result && strcmp(what, "done"))
        complain(run, trial, spec, "was answered, and is not done");
}

/* In a child; true when it came back with an answer. */
static bool run_operation(struct run *run, struct trial *trial, const char *spec,
                          struct answer *answer)
{
    struct buf said = BUF_INITIALIZER;
    int code = in_child(run, operate, trial, &said);
    bool answered = !code && buf_len(&said) == sizeof(*answer);

    if (answered) memcpy(answer, buf_base(&said), sizeof(*answer));
    buf_free(&said);
    run->tried++;
    run->killed += !answered;
    run->refused += answered && answer->result;
    run->done += answered && !answer->result;
    run->readonly += answered && answer->failed;
    if (!answered && !(trial->kill && code == 137))
        complain(run, trial, spec, "the process ends by itself");
    if (answered && answer->wrote) complain(run, trial, spec, "writes go on behind a failed sync");
    return answered;
}

/* One call fails, or ends the process. False when there are not so many calls. */
static bool try_nth(struct run *run, const struct operation *op, bool kill, unsigned nth)
{
    struct trial trial = { .op = op };
    struct answer answer = { 0 };
    struct buf said = BUF_INITIALIZER;
    char spec[64];

    if (kill)
        snprintf(spec, sizeof(spec), "change:%u", nth);
    else
        snprintf(spec, sizeof(spec), "change:%u:%s", nth, errors[nth % array_size(errors)]);
    *(kill ? &trial.kill : &trial.fault) = spec;
    put_back(run);
    bool answered = run_operation(run, &trial, spec, &answer);
    judge(run, &trial, spec, &answer, answered, &said);
    buf_free(&said);
    return !answered || answer.changes >= nth;
}

/* What is not known to be durable is not answered, and nothing more is written. */
static void try_failed_sync(struct run *run, const struct operation *op)
{
    static const char spec[] = "fdatasync:1:EIO:/conf/journal/";
    struct trial trial = { .op = op, .fault = spec };
    struct answer answer = { 0 };
    struct buf said = BUF_INITIALIZER;

    put_back(run);
    bool answered = run_operation(run, &trial, spec, &answer);
    if (answered && (!answer.result || !answer.failed))
        complain(run, &trial, spec, "a failed sync is nothing");
    judge(run, &trial, spec, &answer, answered, &said);
    buf_free(&said);
}

static void try_operation(struct run *run, const struct operation *op)
{
    unsigned nth = 1;

    try_failed_sync(run, op);
    if (run->wrong && run->first) return;
    while (nth < MAX_CALLS && try_nth(run, op, false, nth)) nth++;
    nth = 1;
    while (nth < MAX_CALLS && try_nth(run, op, true, nth)) nth++;
}

int main(int argc, char **argv)
{
    struct run run = { .root = NULL };
    const char *config = NULL, *copy = NULL;
    struct message_guid guid;
    int c;

    cyrus_std_options(argc, argv, usage);
    while ((c = getopt(argc, argv, "C:r:b:1")) != -1) {
        switch (c) {
        case 'C': config = optarg; break;
        case 'r': run.root = optarg; break;
        case 'b': copy = optarg; break;
        case '1': run.first = true; break;
        default:
            run.root = NULL;
            optind = argc;
            break;
        }
    }
    if (!run.root || !copy) {
        fputs(usage, stderr);
        return EX_USAGE;
    }
    cyrus_init(config, "faultcheck", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    message_guid_generate(&guid, "", 0); /* loads what each child would load else */
    run.disk = disk_new(run.root, copy);
    put_back(&run);
    if (in_child(&run, say_state, NULL, &run.before)) fatal("the store can't be read", EX_DATAERR);
    for (size_t i = 0; i < array_size(operations) && !(run.first && run.wrong); i++)
        try_operation(&run, &operations[i]);
    printf("%u faults: %u operations done, %u refused, %u killed, %u times read-only; %u wrong\n",
           run.tried, run.done, run.refused, run.killed, run.readonly, run.wrong);
    buf_free(&run.before);
    disk_free(run.disk);
    return run.wrong ? 1 : 0;
}
