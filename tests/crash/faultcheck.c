/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * faultcheck -- what is left when a disk operation fails, or a process dies at it
 *
 *   faultcheck -C CONF -r ROOT -b COPY -t TRACE -o DIR [-w WORK] [-n TRIALS] [-s SEED] [-1] [-x STEP:FAULT]
 *       A recording as for crashcheck. Each command that DIR has a step.N of (fault_step.h) is done again on the disk as
 *       it was before it, with changes of the disk that fail with ENOSPC, EIO or EACCES, or are half done; with a
 *       disk that is full from one of them on; with one that ends the process; and with a sync of the log that fails.
 *       -n: so many trials of each command, drawn by SEED (0: all). -1: until something is wrong.
 *       -x: only this one, as a line of the report names it. WORK is a directory for copies.
 *
 * After each: a command that was answered OK is done, one that was refused or cut off is done as a whole
 * or not at all, the store makes sense, in the eyes of a process that goes on and of one after a start; a
 * process that has refused a command does it when it is asked again and the disk is well, unless a failed sync has made
 * the journal read-only: then it writes nothing more. A line for each that is wrong, and a last line
 * with the numbers. Exit code 0: nothing is wrong, 1: something is.
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

#include "disk.h"
#include "diskio.h"
#include "diskio_trace.h"
#include "expire.h"
#include "fault_step.h"
#include "global.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "message_guid.h"
#include "saslserver.h"
#include "store.h"
#include "strarray.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CHILD_SECONDS 60
#define MAX_TOLD 6u
#define ID_LENGTH 8      /* hex digits of the shortest id */
#define LONGEST_LINE 160u /* that is told */
#define DIED 137 /* by a rule */

static const char usage[] = "Usage: faultcheck -C CONF -r ROOT -b COPY -t TRACE -o DIR -w WORK "
                            "[-n TRIALS] [-s SEED] [-1] [-x STEP:FAULT]\n";

/* What is not known to be durable is not answered, and nothing more is written. */
#define FAILED_SYNC "fdatasync:1:EIO:/conf/journal/"

static const char *const errors[] = { "ENOSPC", "EIO", "EACCES", "SHORT", "PARTIAL" };

struct run {
    const char *root, *config, *work, *oracle, *only;
    unsigned trials; /* of each command; 0: all */
    uint64_t seed;
    bool first;      /* ends with the first that is wrong */
    struct disk *disk;              /* the store before the command, at rest */
    struct buf before, after;       /* states, with what differs from run to run left out */
    unsigned steps, tried, wrong;
    unsigned done, refused, killed, readonly; /* commands; times that the store became read-only */
};

struct trial {
    const struct fault_step *step;
    struct fault_how how;
    struct fault_answer answer;
    bool restart; /* look after a start, else as another process that goes on */
};

/* ---- processes ---- */

typedef void child_fn(struct run *run, struct trial *trial, int fd);

static void drop_log(int pri, const char *line, void *rock)
{
    (void)pri, (void)line, (void)rock;
}

/* Runs fn in a child; what it writes to fd. The exit code, or 256 + signal. */
static int in_child(struct run *run, child_fn *fn, struct trial *trial, struct buf *said)
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
        close(fds[0]);
        if (!getenv("FAULTCHECK_LOG")) xsyslog_settap(drop_log, NULL);
        fn(run, trial, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    buf_reset(said);
    while ((n = read(fds[0], block, sizeof(block))) > 0) buf_appendmap(said, block, (size_t)n);
    close(fds[0]);
    if (waitpid(pid, &status, 0) != pid) fatal("waitpid", EX_OSERR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* ---- states ---- */

static bool is_id_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '-';
}

/* Bytes of an escaped text (store_state). */
static void unescape(const char *text, struct buf *out)
{
    buf_reset(out);
    for (; *text; text++) {
        if (*text == '\\' && text[1] && text[2]) {
            buf_putc(out, (char)(hexval(text[1]) << 4 | hexval(text[2])));
            text += 2;
        }
        else {
            buf_putc(out, *text);
        }
    }
}

/* counters.db: words of which the first counts writes, the last one is a checksum, and large ones are times. */
static void mask_counters(char *line)
{
    struct buf bytes = BUF_INITIALIZER, text = BUF_INITIALIZER;
    char *at = strstr(line, "counters");

    if (!at || strncmp(line, "file ", 5)) return;
    at += strcspn(at, " ");
    at += *at == ' ';
    unescape(at, &bytes);
    for (size_t i = 0; i + 8 <= buf_len(&bytes); i += 4) {
        uint32_t word = get_be32(buf_base(&bytes) + i);
        if (!i || word >= UINT32_C(1) << 30)
            buf_appendcstr(&text, " #");
        else
            buf_printf(&text, " %x", word);
    }
    /* Shorter than it was: four escapes are one word. */
    if (buf_len(&text) < strlen(at)) memcpy(at, buf_cstring(&text), buf_len(&text) + 1);
    buf_free(&bytes);
    buf_free(&text);
}

/* All but the first bytes of the value of a record. */
static void mask_value(char *line, const char *about, size_t bytes)
{
    char *key = strstr(line, about);
    char *value = key ? strstr(key, " = ") : NULL;

    if (!value) return;
    for (value += 3; bytes && *value; bytes--) value += *value == '\\' ? strnlen(value, 3) : 1;
    *value = '\0';
}

/* Runs of so many hex digits become one sign: times, ids, checksums. */
static void mask_runs(char *line, int shortest)
{
    char *to = line;

    for (const char *p = line; *p;) {
        const char *run = p;
        while (is_id_char(*run)) run++;
        if (run - p >= shortest) {
            *to++ = '#';
            p = run;
            continue;
        }
        do *to++ = *p++;
        while (p < run);
    }
    *to = '\0';
    /* .../uuid/3/f/# */
    for (char *at = strstr(line, "uuid/"); at; at = strstr(at + 1, "uuid/"))
        if (strlen(at) > 9 && at[9] == '#') at[5] = at[7] = '_';
}

/* What is another each time is left out; lines are sorted, as their keys change. */
static void keep_common(const struct buf *state, int shortest, struct buf *out)
{
    struct buf text = BUF_INITIALIZER;

    buf_copy(&text, state);
    strarray_t *lines = strarray_split(buf_cstring(&text), "\n", 0);
    for (int i = 0; i < lines->count; i++) {
        mask_counters(lines->data[i]);
        /* Times in binary; and the conversation of a message that is not the same follows from its bytes. */
        mask_value(lines->data[i], " deliver.db ", 0);
        mask_value(lines->data[i], "conversations.db G", shortest < ID_LENGTH ? 0 : 17);
        mask_runs(lines->data[i], shortest);
    }
    strarray_sort(lines, NULL);
    buf_reset(out);
    for (int i = 0; i < lines->count; i++) buf_printf(out, "%s\n", strarray_nth(lines, i));
    strarray_free(lines);
    buf_free(&text);
}

/* What LMTP writes above a message differs in length, so sizes do, too; store_check adds them up. */
static void common_state(const struct trial *trial, struct buf *out)
{
    struct buf state = BUF_INITIALIZER;

    store_state(&state);
    keep_common(&state, trial->step->kind == FAULT_LMTP ? 3 : ID_LENGTH, out);
    buf_free(&state);
}

static int line_length(const char *line)
{
    return (int)cyr_min(strcspn(line, "\n"), LONGEST_LINE);
}

/* The first line that one of two states has and the other has not. */
static void first_difference(const struct buf *a, const struct buf *b, struct buf *out)
{
    const char *p = buf_base(a), *q = buf_base(b);
    size_t at = 0, most = cyr_min(buf_len(a), buf_len(b));

    while (at < most && p[at] == q[at]) at++;
    while (at && p[at - 1] != '\n') at--;
    buf_printf(out, "    %.*s\n    %.*s\n", line_length(p + at), p + at, line_length(q + at),
               q + at);
}

/* ---- what children do ---- */

static void operate(struct run *run, struct trial *trial, int fd)
{
    if (trial->step->kind == FAULT_TOOL) {
        if (trial->how.only_context) return;
        fault_step_exec(trial->step, &trial->how, run->config, NULL);
    }
    fault_step_run(trial->step, &trial->how, &trial->answer);
    if (diskio_write(fd, &trial->answer, sizeof(trial->answer))) _exit(EX_IOERR);
}

/* Whoever takes a lock finishes what was left under it. */
static int take_locks(void)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct txn *txn = NULL;

    strarray_append(&users, "alice");
    strarray_append(&users, "bob");
    strarray_append(&users, "carol");
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_users(txn, &users);
    txn_abort(&txn);
    strarray_fini(&users);
    return r ? r : txn_checkpoint();
}

/* A repack that was left for another time is done now, the time being what comes next. */
static void do_what_was_left(void)
{
    struct expire_scope scope = { .prefix = NULL };
    struct expire_counts counts = { 0 };

    (void)expire_messages(&scope, EXPIRE_POLICY_NONE, 0, &counts);
}

/* A name that can't be removed is told to the log, and stays: rubbish, which is no damage. */
static void forgive_one_file(struct buf *said)
{
    static const char rubbish[] = " belongs to no mailbox\n";
    size_t len = buf_len(said), end = sizeof(rubbish) - 1;
    const char *p = buf_cstring(said);

    if (len > end && !strcmp(p + len - end, rubbish) && strchr(p, '\n') == p + len - 1) buf_reset(said);
}

/* Says "after", "before", or what is wrong. */
static void look(struct run *run, struct trial *trial, int fd)
{
    struct journal_recovery done = { .force = false };
    struct buf state = BUF_INITIALIZER, said = BUF_INITIALIZER;

    int r = trial->restart ? txn_recover(&done) : take_locks();
    if (r) buf_printf(&said, "the store can't be had: %s\n", error_message(r));
    common_state(trial, &state);
    if (!r && trial->answer.ok && buf_cmp(&state, &run->after)) {
        do_what_was_left();
        common_state(trial, &state);
    }
    /* What is lazily removed goes, and the journal is emptied, when the last one leaves. */
    txn_shutdown();
    store_check(&said);
    if (trial->how.fault) forgive_one_file(&said);
    if (!buf_len(&said) && !trial->step->parts) {
        if (!buf_cmp(&state, &run->after))
            buf_setcstr(&said, "after");
        else if (!buf_cmp(&state, &run->before))
            buf_setcstr(&said, "before");
        else if (!trial->answer.ok_again) { /* refused and yet done, it may be done twice by now */
            buf_setcstr(&said, "half-done\n");
            buf_appendcstr(&said, " against what it was\n");
            first_difference(&state, &run->before, &said);
            buf_appendcstr(&said, " against what it is to be\n");
            first_difference(&state, &run->after, &said);
        }
    }
    diskio_write(fd, buf_base(&said), buf_len(&said));
}

static void say_state(struct run *run, struct trial *trial, int fd)
{
    struct buf state = BUF_INITIALIZER;

    (void)run;
    if (take_locks()) _exit(EX_SOFTWARE);
    common_state(trial, &state);
    diskio_write(fd, buf_base(&state), buf_len(&state));
    txn_shutdown();
}

static void settle(struct run *run, struct trial *trial, int fd)
{
    struct journal_recovery done = { .force = false };

    (void)run, (void)trial, (void)fd;
    if (txn_recover(&done) || txn_checkpoint()) _exit(EX_SOFTWARE);
    txn_shutdown();
}

static void put_back(const char *root, const struct disk *disk, uint32_t pos)
{
    struct disk_image image;

    disk_clear(root);
    disk_image_init(&image, disk, (struct disk_cut){ pos, DISK_ALL, 0 });
    disk_image_write(&image);
    disk_image_fini(&image);
}

/* ---- one trial ---- */

static void complain(struct run *run, const struct trial *trial, const char *spec, const char *what)
{
    struct buf name = BUF_INITIALIZER;

    fault_step_name(trial->step, &name);
    if (run->wrong++ < MAX_TOLD)
        printf("WRONG %s, %s (%s%s): %s\n", buf_cstring(&name), spec, trial->answer.ok ? "OK" : "NO",
               !trial->answer.retried     ? ""
               : trial->answer.ok_again ? ", then OK"
                                        : ", again NO", what);
    buf_free(&name);
}

static void judge(struct run *run, struct trial *trial, const char *spec, struct buf *said)
{
    const struct fault_answer *answer = &trial->answer;
    int code = in_child(run, look, trial, said);
    const char *what = buf_cstring(said);
    bool after = !strcmp(what, "after"), before = !strcmp(what, "before");

    if (code)
        complain(run, trial, spec, "who goes on dies");
    else if (*what && !after && !before)
        complain(run, trial, spec, what);
    else if (answer->ok_again ? before : *what && answer->ok && !after)
        complain(run, trial, spec, "was answered, and is not done");
    else if (answer->taken && trial->how.fault && (answer->ok || !answer->failed) && !strcmp(trial->how.fault, FAILED_SYNC))
        complain(run, trial, spec, "a failed sync is nothing");
    else if (answer->retried && answer->failed && answer->ok_again)
        complain(run, trial, spec, "writes go on behind a failed sync");
    else if (answer->retried && !answer->failed && !answer->ok_again && before && !trial->step->parts)
        complain(run, trial, spec, "the process does not go on");
}

/* In a child; false: it did not come back with an answer. */
static bool run_command(struct run *run, struct trial *trial, const char *spec)
{
    struct buf said = BUF_INITIALIZER;
    bool tool = trial->step->kind == FAULT_TOOL;
    int code = in_child(run, operate, trial, &said);
    bool answered = tool ? code < 256 && code != DIED
                         : !code && buf_len(&said) == sizeof(trial->answer);

    if (answered && tool)
        trial->answer.ok = !code;
    else if (answered)
        memcpy(&trial->answer, buf_base(&said), sizeof(trial->answer));
    buf_free(&said);
    run->tried++;
    run->killed += !answered;
    run->refused += answered && !trial->answer.ok;
    run->done += answered && trial->answer.ok;
    run->readonly += trial->answer.failed;
    trial->restart = trial->answer.failed || (tool && !trial->answer.ok);
    if (!answered && !(trial->how.kill && code == DIED)) {
        char what[64];
        snprintf(what, sizeof(what), "the process ends by itself: %d", code);
        complain(run, trial, spec, what);
    }
    return answered;
}

static void try(struct run *run, const struct fault_step *step, bool kill, const char *spec, bool retry)
{
    struct trial trial = { .step = step, .how = { .retry = retry } };
    struct buf said = BUF_INITIALIZER, name = BUF_INITIALIZER;

    buf_printf(&name, "%u:%s%s", step->number, kill ? "kill:" : "", spec);
    if (!run->only || !strcmp(run->only, buf_cstring(&name))) {
        *(kill ? &trial.how.kill : &trial.how.fault) = spec;
        put_back(run->root, run->disk, 0);
        (void)run_command(run, &trial, buf_cstring(&name));
        judge(run, &trial, buf_cstring(&name), &said);
    }
    buf_free(&said);
    buf_free(&name);
}

/* ---- all trials of a command ---- */

/* Kinds of trials at one change of the disk. */
enum { BY_ERROR, FULL_FROM_HERE = BY_ERROR + array_size(errors), KILLED_HERE, NKINDS };

static void try_nth(struct run *run, const struct fault_step *step, unsigned nth, unsigned kind)
{
    char spec[64];

    if (kind < FULL_FROM_HERE)
        snprintf(spec, sizeof(spec), "change:%u:%s", nth, errors[kind]);
    else if (kind == FULL_FROM_HERE)
        snprintf(spec, sizeof(spec), "write:%u+:PARTIAL", nth);
    else
        snprintf(spec, sizeof(spec), "change:%u", nth);
    /* What is done a second time is not seen: a retry now and then. */
    try(run, step, kind == KILLED_HERE, spec, kind != KILLED_HERE && (nth + kind) % 2);
}

static void try_all(struct run *run, const struct fault_step *step, unsigned changes)
{
    uint64_t left = (uint64_t)changes * NKINDS, wanted = run->trials ? run->trials : left;

    try(run, step, false, FAILED_SYNC, true);
    /* Each is drawn with the chance that makes it so many in the end. */
    for (unsigned nth = 1; nth <= changes; nth++) {
        for (unsigned kind = 0; kind < NKINDS; kind++, left--) {
            if (run->first && run->wrong) return;
            bool drawn = disk_random(&run->seed) % left < wanted;
            wanted -= drawn;
            if (drawn || run->only) try_nth(run, step, nth, kind);
        }
    }
}

/* Of a tool: what it recorded. */
static unsigned recorded_changes(const char *path)
{
    struct diskio_trace *trace = diskio_trace_open(path);
    const struct diskio_trace_rec *rec;
    unsigned n = 0;

    while (trace && diskio_trace_next(trace, &rec) > 0) n += rec->kind != DISKIO_TRACE_MARKER;
    diskio_trace_close(trace);
    (void)unlink(path);
    return n;
}

static void record_tool(struct run *run, struct trial *trial, int fd)
{
    char *path = xasprintf("%s/trace", run->work);

    (void)fd;
    fault_step_exec(trial->step, &trial->how, run->config, path);
}

/* The command with a disk that is well: how many changes it makes. -1: it can't be done again. */
static int rehearse(struct run *run, const struct fault_step *step)
{
    struct trial trial = { .step = step, .how = { .only_context = true } };
    struct buf said = BUF_INITIALIZER;
    int changes = -1;

    put_back(run->root, run->disk, 0);
    if (in_child(run, operate, &trial, &said) || in_child(run, say_state, &trial, &run->before)) {
        complain(run, &trial, "before", "what leads to it can't be done");
        goto done;
    }
    put_back(run->root, run->disk, 0);
    trial.how.only_context = false;
    int code = in_child(run, step->kind == FAULT_TOOL ? record_tool : operate, &trial, &said);
    if (step->kind == FAULT_TOOL) {
        char *path = xasprintf("%s/trace", run->work);
        trial.answer.ok = !code;
        trial.answer.changes = recorded_changes(path);
        free(path);
    }
    else if (!code && buf_len(&said) == sizeof(trial.answer)) {
        memcpy(&trial.answer, buf_base(&said), sizeof(trial.answer));
    }
    if (!trial.answer.ok || in_child(run, say_state, &trial, &run->after))
        complain(run, &trial, "rehearsal", "it can't be done again");
    else
        changes = (int)trial.answer.changes;
done:
    buf_free(&said);
    return changes;
}

/* Frees the command. */
static void shell(char *command)
{
    if (system(command)) fatal("a copy can't be made", EX_OSERR);
    free(command);
}

/* The store as it was when the command began, at rest. */
static struct disk *disk_before(struct run *run, const struct disk *recording, uint32_t pos)
{
    struct buf said = BUF_INITIALIZER;
    char *copy = xasprintf("%s/copy", run->work);

    put_back(run->root, recording, pos);
    if (in_child(run, settle, NULL, &said)) fatal("the store can't be recovered", EX_DATAERR);
    shell(xasprintf("rm -rf '%s'; mkdir -p '%s'", copy, copy));
    shell(xasprintf("cp -a '%s'/conf '%s'/", run->root, copy));
    shell(xasprintf("cp -a '%s'/spool* '%s'/", run->root, copy));
    struct disk *disk = disk_new(run->root, copy);
    buf_free(&said);
    free(copy);
    return disk;
}

static void try_step(struct run *run, const struct disk *recording, const struct disk_mark *mark)
{
    struct fault_step step;

    if (mark->answered || (run->only && (unsigned)atol(run->only) != mark->number)) return;
    if (!fault_step_read(run->oracle, mark->number, &step)) return;
    run->disk = disk_before(run, recording, mark->pos);
    int changes = rehearse(run, &step);
    if (changes > 0) {
        run->steps++;
        try_all(run, &step, (unsigned)changes);
    }
    disk_free(run->disk);
    fault_step_fini(&step);
}

int main(int argc, char **argv)
{
    struct run run = { .trials = 0, .seed = 1 };
    const char *copy = NULL, *trace = NULL;
    struct message_guid guid;
    int c;

    cyrus_std_options(argc, argv, usage);
    while ((c = getopt(argc, argv, "C:r:b:t:o:w:n:s:1x:")) != -1) {
        switch (c) {
        case 'C': run.config = optarg; break;
        case 'r': run.root = optarg; break;
        case 'b': copy = optarg; break;
        case 't': trace = optarg; break;
        case 'o': run.oracle = optarg; break;
        case 'w': run.work = optarg; break;
        case 'n': run.trials = (unsigned)strtoul(optarg, NULL, 10); break;
        case 's': run.seed = strtoull(optarg, NULL, 10); break;
        case '1': run.first = true; break;
        case 'x': run.only = optarg; break;
        default: copy = NULL; optind = argc; break;
        }
    }
    if (!copy || !trace || !run.root || !run.oracle || !run.work || !run.config) {
        fputs(usage, stderr);
        return EX_USAGE;
    }
    cyrus_init(run.config, "faultcheck", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    if (saslserver_init()) return EX_SOFTWARE;
    message_guid_generate(&guid, "", 0); /* loads what each child would load else */
    struct disk *recording = disk_new(run.root, copy);
    disk_add_trace(recording, trace);
    for (uint32_t i = 0; i < recording->nmarks && !(run.first && run.wrong); i++)
        try_step(&run, recording, &recording->marks[i]);
    printf("%u commands, %u faults: %u done, %u refused, %u killed, %u times read-only; %u wrong\n", run.steps,
           run.tried, run.done, run.refused, run.killed, run.readonly, run.wrong);
    buf_free(&run.before);
    buf_free(&run.after);
    disk_free(recording);
    return run.wrong ? 1 : 0;
}
