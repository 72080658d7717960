/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crashcheck -- tries what a power cut may leave of a recorded store
 *
 *   crashcheck -C CONF -d FILE
 *       writes the state of the store (store.h) to FILE.
 *   crashcheck -C CONF -r ROOT -b COPY -t TRACE -o DIR [-n STATES] [-s SEED]
 *       COPY is the tree below ROOT before the trace began. Every cut of the trace is tried with all of what
 *       had happened and with only what was durable; then random images up to STATES in number. Each
 *       image is written to ROOT, recovered and checked, in a process of its own. DIR has `state.N`, the
 *       state after command N, or `messages` with lines "N MAILBOX GUID".
 *   ... -v
 *       first sees that the tree below ROOT, which nothing has touched since, is what the trace says.
 *   ... -H FILE
 *       appends a line for each image, "POSITION:MODE:SEED" and which homes users have in it (store_homes); then also images that are the same as
 *       others are recovered. The trace may be that of several servers, each checked by itself: positions are those of all of them.
 *   ... -1
 *       ends at the first image that is wrong.
 *   ... -x POSITION:MODE:SEED [-k]
 *       only this image; -k leaves it as the power cut did.
 *
 * A line for each image that is wrong, and a last line with the numbers. Exit code 0: none is; 1: some
 * are; 65: the trace makes no sense, or the model of the disk does not fit what is on it.
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

#include "buf.h"
#include "cyrusdb.h"
#include "disk.h"
#include "diskio.h"
#include "diskio_trace.h"
#include "expect.h"
#include "global.h"
#include "hash.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "mboxlist_racl.h"
#include "mboxlist_upgrade.h"
#include "message_guid.h"
#include "store.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CHILD_SECONDS 60
#define MAX_TOLD 5u /* wrong images that are described */
#define NESTED 6u   /* one random image in so many has its recovery cut, too */
#define WORKING 8u  /* one image in so many is worked with afterwards */

static const char usage[] = "Usage: crashcheck -C CONF -d FILE\n"
                            "       crashcheck -C CONF -r ROOT -b COPY -t TRACE -o DIR [-n STATES] "
                            "[-s SEED] [-v] [-H FILE] [-1] [-x IMAGE [-k]]\n";

static const char *const mode_names[DISK_NMODES] = { "all", "synced", "some" };

struct run {
    const char *root, *copy, *trace, *oracle, *homes;
    struct disk *disk;
    struct expect *expect;
    hash_table tried; /* images, by hash and what is expected of them */
    unsigned images, distinct, wrong;
    bool keep, verify, first;
};

/* -- in a child -- */

static void collect_log(int pri, const char *line, void *rock)
{
    struct buf *log = rock;
    if ((pri & 7) <= LOG_WARNING && log->len < 4000) buf_printf(log, "    log: %s\n", line);
}

/* Before they would be mended: a commit changes them with the entry. */
static int collect_racl(enum racl_problem problem, const char *key, size_t keylen, const char *identifier,
                        const char *name, void *rock)
{
    buf_printf(rock, "reverse record %s: of %s, for %s\n", problem == RACL_MISSING ? "missing" : "too many",
               name ? name : "nothing", identifier ? identifier : "nobody");
    return 0;
}

/* What ctl_cyrusdb -r does. */
static void recover(struct buf *problems)
{
    struct journal_recovery done = { .force = false };
    bool upgraded;

    int r = txn_recover(&done);
    if (!r) r = mboxlist_upgrade(&upgraded);
    if (!r) r = mboxlist_tidy();
    if (!r && config_getswitch(IMAPOPT_REVERSEACLS)) r = mboxlist_racl_verify(collect_racl, problems);
    if (!r) r = mboxlist_set_racls(config_getswitch(IMAPOPT_REVERSEACLS));
    if (r) buf_printf(problems, "recovery fails: %s\n", error_message(r));
}

static void tell_homes(const char *file, struct disk_cut cut)
{
    char *image = xasprintf("%u:%s:%llu", cut.pos, mode_names[cut.mode], (unsigned long long)cut.seed);
    struct buf line = BUF_INITIALIZER;
    FILE *f = fopen(file, "ae");

    store_homes(image, &line);
    if (!f || fwrite(buf_base(&line), 1, buf_len(&line), f) != buf_len(&line) || fclose(f)) fatal("can't write the homes", EX_CANTCREAT);
    buf_free(&line);
    free(image);
}

static void check_image(const struct run *run, struct disk_cut cut, struct buf *problems)
{
    struct buf state = BUF_INITIALIZER;

    recover(problems);
    if (buf_len(problems)) return;
    if (run->homes) tell_homes(run->homes, cut);
    store_state(&state);
    expect_compare(run->expect, run->disk, cut.pos, &state, problems);
    store_check(problems);
    if (!buf_len(problems) && cut.seed % WORKING == 1) store_work(problems);
    buf_free(&state);
}

/* Runs in the child; the parent reads what is wrong from fd. */
static void __attribute__((noreturn)) child(const struct run *run, struct disk_cut cut, int fd)
{
    struct buf problems = BUF_INITIALIZER, log = BUF_INITIALIZER;

    alarm(CHILD_SECONDS);
    xsyslog_settap(collect_log, &log);
    check_image(run, cut, &problems);
    if (buf_len(&problems)) buf_append(&problems, &log);
    diskio_write(fd, buf_base(&problems), buf_len(&problems));
    _exit(0);
}

static void __attribute__((noreturn)) recovering_child(const char *trace)
{
    struct diskio_hooks hooks = { .record = trace };
    struct buf problems = BUF_INITIALIZER;

    alarm(CHILD_SECONDS);
    xsyslog_settap(collect_log, &problems);
    diskio_unlink_quiet(trace);
    if (diskio_hooks_install(&hooks)) _exit(EX_SOFTWARE);
    buf_reset(&problems);
    recover(&problems);
    _exit(0);
}

/* -- the parent -- */

static void told_end(pid_t pid, struct buf *problems)
{
    int status;

    if (waitpid(pid, &status, 0) != pid) fatal("waitpid", EX_OSERR);
    if (WIFSIGNALED(status))
        buf_printf(problems, "recovery or check ends with signal %d\n", WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status))
        buf_printf(problems, "recovery or check exits with %d\n", WEXITSTATUS(status));
}

static void check_in_child(const struct run *run, struct disk_cut cut, struct buf *problems)
{
    int fds[2];
    char block[4096];
    ssize_t n;

    fflush(NULL);
    if (pipe(fds)) fatal("pipe", EX_OSERR);
    pid_t pid = fork();
    if (pid < 0) fatal("fork", EX_OSERR);
    if (!pid) child(run, cut, fds[1]);
    close(fds[1]);
    while ((n = read(fds[0], block, sizeof(block))) > 0) buf_appendmap(problems, block, (size_t)n);
    close(fds[0]);
    told_end(pid, problems);
}

/* The image below root is recovered, and the power fails again on the way. */
static void cut_recovery(const struct run *run, struct disk_cut cut, struct buf *problems)
{
    char *trace = xasprintf("%s/tmp/recovery.trace", run->root);
    struct disk *disk = disk_new(run->root, run->root);
    struct disk_image image;
    uint64_t random = cut.seed + 1;

    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) fatal("fork", EX_OSERR);
    if (!pid) recovering_child(trace);
    told_end(pid, problems);
    disk_add_trace(disk, trace);
    struct disk_cut second = { .mode = (enum disk_mode)(disk_random(&random) % DISK_NMODES),
                               .seed = cut.seed };
    second.pos = (uint32_t)(disk_random(&random) % (disk->npos + 1u));
    disk_clear(run->root);
    disk_image_init(&image, disk, second);
    disk_image_write(&image);
    disk_image_fini(&image);
    disk_free(disk);
    free(trace);
}

static void tell(struct run *run, struct disk_cut cut, struct buf *problems)
{
    int answered, begun;

    if (run->wrong++ >= MAX_TOLD) return;
    disk_commands(run->disk, cut.pos, &answered, &begun);
    printf("WRONG %u:%s:%llu (command %d answered, %d begun)\n", cut.pos, mode_names[cut.mode],
           (unsigned long long)cut.seed, answered, begun);
    printf("%s", buf_cstring(problems));
}

/* The same bytes, with the same expected of them, need not be tried again. */
static bool was_tried(struct run *run, struct disk_cut cut, uint64_t hash)
{
    int answered, begun;
    char key[64];

    disk_commands(run->disk, cut.pos, &answered, &begun);
    snprintf(key, sizeof(key), "%016llx %d %d", (unsigned long long)hash, answered, begun);
    if (hash_lookup(key, &run->tried)) return true;
    hash_insert(key, run, &run->tried);
    return false;
}

static void try_image(struct run *run, struct disk_cut cut)
{
    struct buf problems = BUF_INITIALIZER;
    struct disk_image image;

    disk_clear(run->root);
    disk_image_init(&image, run->disk, cut);
    uint64_t hash = disk_image_write(&image);
    disk_image_fini(&image);
    run->images++;
    if (run->keep || (was_tried(run, cut, hash) && !run->homes)) return;
    run->distinct++;
    if (cut.mode == DISK_SOME && cut.seed % NESTED == 0) cut_recovery(run, cut, &problems);
    check_in_child(run, cut, &problems);
    if (buf_len(&problems)) tell(run, cut, &problems);
    buf_free(&problems);
}

static bool is_over(const struct run *run)
{
    return run->first && run->wrong;
}

/* Every cut in both simple ways, as far as `max` goes; then random ones. */
static void try_all(struct run *run, unsigned max, uint64_t seed)
{
    const struct disk *disk = run->disk;
    unsigned simple = 2 * disk->nevents, step = 1 + simple / (max / 2 + 1);
    uint64_t random = seed;

    for (uint32_t i = 0; i < disk->nevents && !is_over(run); i += step) {
        try_image(run, (struct disk_cut){ disk->events[i], DISK_SYNCED, i });
        try_image(run, (struct disk_cut){ disk->events[i], DISK_ALL, i });
    }
    while (run->images < max && !is_over(run)) {
        uint32_t pos = disk->events[disk_random(&random) % disk->nevents];
        try_image(run, (struct disk_cut){ pos, DISK_SOME, disk_random(&random) % 1000000000u });
    }
}

static struct disk_cut parse_cut(const char *text)
{
    struct disk_cut cut = { 0 };
    strarray_t *parts = strarray_split(text, ":", 0);
    bool good = parts->count == 3 && !parse_u32_cstr(strarray_nth(parts, 0), &cut.pos) &&
                !parse_u64_cstr(strarray_nth(parts, 2), &cut.seed);

    cut.mode = DISK_NMODES;
    for (int i = 0; good && i < DISK_NMODES; i++) {
        if (!strcmp(mode_names[i], strarray_nth(parts, 1))) cut.mode = (enum disk_mode)i;
    }
    strarray_free(parts);
    if (cut.mode == DISK_NMODES) fatal("an image is POSITION:MODE:SEED", EX_USAGE);
    return cut;
}

/* What a child would else do each time: load the ciphers and digests. */
static void warm_up(void)
{
    struct message_guid guid;
    message_guid_generate(&guid, "", 0);
}

static void load(struct run *run)
{
    warm_up();
    run->disk = disk_new(run->root, run->copy);
    disk_add_trace(run->disk, run->trace);
    run->expect = expect_new(run->oracle);
    construct_hash_table(&run->tried, 4096);
}

/* What the trace says must be what is there now. */
static void verify_model(struct run *run)
{
    struct disk_image image;

    disk_image_init(&image, run->disk, (struct disk_cut){ run->disk->npos, DISK_ALL, 0 });
    unsigned differences = disk_image_compare(&image);
    disk_image_fini(&image);
    if (differences) exit(EX_DATAERR);
}

static int dump(const char *file)
{
    struct buf state = BUF_INITIALIZER;
    FILE *f = fopen(file, "we");

    if (!f) fatal("can't write the state", EX_CANTCREAT);
    store_state(&state);
    fwrite(buf_base(&state), 1, buf_len(&state), f);
    fclose(f);
    buf_free(&state);
    txn_shutdown();
    return 0;
}

int main(int argc, char **argv)
{
    struct run run = { .keep = false };
    const char *config = NULL, *dumpfile = NULL, *image = NULL;
    uint32_t states = 500;
    uint64_t seed = 1;
    int c;

    cyrus_std_options(argc, argv, usage);
    while ((c = getopt(argc, argv, "C:d:r:b:t:o:n:s:x:H:kv1")) != -1) {
        switch (c) {
        case 'C': config = optarg; break;
        case 'd': dumpfile = optarg; break;
        case 'r': run.root = optarg; break;
        case 'b': run.copy = optarg; break;
        case 't': run.trace = optarg; break;
        case 'o': run.oracle = optarg; break;
        case 'n':
            if (parse_u32_cstr(optarg, &states)) goto bad;
            break;
        case 's':
            if (parse_u64_cstr(optarg, &seed)) goto bad;
            break;
        case 'x': image = optarg; break;
        case '1': run.first = true; break;
        case 'H': run.homes = optarg; break;
        case 'k': run.keep = true; break;
        case 'v': run.verify = true; break;
        default: goto bad;
        }
    }
    if (!dumpfile && (!run.root || !run.copy || !run.trace || !run.oracle)) goto bad;

    cyrus_init(config, "crashcheck", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    if (dumpfile) return dump(dumpfile);
    load(&run);
    if (run.verify) verify_model(&run);
    if (image)
        try_image(&run, parse_cut(image));
    else
        try_all(&run, states, seed);
    printf("%u operations, %u syncs, %u cuts; %u images, %u different ones tried, %u wrong\n",
           run.disk->nops, run.disk->syncs, run.disk->nevents, run.images, run.distinct, run.wrong);
    return run.wrong ? 1 : 0;
bad:
    fputs(usage, stderr);
    return EX_USAGE;
}
