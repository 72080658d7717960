/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_checkpoint -- the log up to here is in the files themselves
 *
 * Order: no commit is on its way for a moment, in which the end C of the window is chosen and
 * what dead processes left is finished; commits go on; the file systems are
 * synced; the file "checkpoint" says C; names that were lazily removed before C go; segments that
 * nobody needs go. The removals become durable with the syncfs of the next checkpoint, so the
 * file keeps in `lazy` from where on they are to be done again after a crash.
 *
 * The file is text, replaced as a whole, its last line the CRC-32 of what is above:
 *   cylinder journal checkpoint 1
 *   lsn 0000000000001000
 *   lazy 0000000000001000
 *   generation 000000018d5f33a1
 *   crc 1a2b3c4d
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "journal_int.h"
#include "journal_plan.h"
#include "mutant.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- the file ---- */

#define CP_FORMAT "cylinder journal checkpoint 1\nlsn %016llx\nlazy %016llx\ngeneration %016llx\n"
#define CP_LEN (30u + 21u + 22u + 28u)

static void format_checkpoint(const struct journal_checkpoint *cp, char text[128])
{
    snprintf(text, 128, CP_FORMAT, (unsigned long long)cp->lsn, (unsigned long long)cp->lazy,
             (unsigned long long)cp->generation);
    snprintf(text + CP_LEN, 128 - CP_LEN, "crc %08x\n", (unsigned)crc32_map(text, CP_LEN));
}

int journal_checkpoint_read(const char *dir, struct journal_checkpoint *cp)
{
    char want[128], got[129] = "";
    char *path = xasprintf("%s/checkpoint", dir);
    int fd = diskio_open(path, O_RDONLY, 0);
    int r = fd < 0 ? fd : 0;
    ssize_t n = r ? 0 : diskio_pread(fd, got, sizeof(got) - 1, 0);
    diskio_close(fd);

    if (n < 0) r = (int)n;
    if (!r) {
        memset(cp, 0, sizeof(*cp));
        if (n != CP_LEN + 13 || parse_hex64(got + 34, 16, &cp->lsn) || parse_hex64(got + 56, 16, &cp->lazy) ||
            parse_hex64(got + 84, 16, &cp->generation))
            r = -EBADMSG;
        format_checkpoint(cp, want);
        if (strcmp(got, want)) r = -EBADMSG;
    }
    if (r && r != -ENOENT) syslog(LOG_ERR, "journal: can't read %s: %s", path, strerror(-r));
    free(path);
    return r;
}

int journal_checkpoint_write(const char *dir, const struct journal_checkpoint *cp)
{
    char text[128];
    format_checkpoint(cp, text);
    char *path = xasprintf("%s/checkpoint", dir), *tmp = xasprintf("%s/checkpoint.NEW", dir);

    int r = diskio_unlink_quiet(tmp);
    int fd = r ? r : diskio_create(tmp, 0666);
    if (fd < 0)
        r = fd;
    else {
        r = diskio_pwrite(fd, text, strlen(text), 0);
        if (!r) r = diskio_fsync(fd);
        diskio_close(fd);
    }
    if (!r) r = diskio_rename(tmp, path);
    if (!r) r = diskio_sync_dir(dir);
    if (r) syslog(LOG_ERR, "journal: can't write %s: %s", path, strerror(-r));
    free(path);
    free(tmp);
    return r;
}

/* ---- the checkpoint ---- */

/* Adds the records of [*pos, to) to the plan. */
static int plan_records(struct journal *j, struct journal_plan *plan, uint64_t *pos, uint64_t to)
{
    struct buf buf = BUF_INITIALIZER;
    struct journal_view view;
    int r = 0;

    while (!r && *pos < to) {
        r = journal_log_read(j, *pos, 0, &buf);
        if (!r) r = journal_view_init(&view, buf.s, buf.len, *pos);
        if (r) {
            syslog(LOG_ERR, "journal: no record at %llx of %s", (unsigned long long)*pos, j->dir);
            r = -EIO;
            break;
        }
        journal_plan_add(plan, &view);
        journal_view_fini(&view);
        *pos += buf.len;
    }
    buf_free(&buf);
    return r;
}

/* How long other file systems are waited for: at first, by a caller who can wait, at most. */
#define APART_SECONDS 5u
#define APART_PATIENT_SECONDS 20u
#define APART_MOST_SECONDS 300u

/* Ends the window: *endp is a place in the log before which all is applied. */
static int end_window(struct journal *j, uint64_t *endp)
{
    int r = journal_resolve_orphans(j);
    if (!r) r = journal_stop_commits(j);
    if (r) return r;
    r = journal_resolve_all(j);
    if (!r) {
        *endp = j->ctl->tail;
        j->ctl->window = *endp;
    }
    journal_go_commits(j);
    return r;
}

/* ---- lazy removals ---- */

/* The names are about to go: whoever commits one of them from now on waits until they are gone. Commits stand still. */
static void publish(struct journal *j, const char *const *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) j->ctl->removing[i] = journal_hash(names[i]);
    j->ctl->nremoving = n;
}

/*
 * The next names: those that no record up to now has made anew. Commits stand still for that, and go on while
 * the names are removed, which may hang.
 */
static int next_files(struct journal *j, struct journal_plan *plan, uint64_t nops, uint64_t *seen, size_t *pos,
                      const char **names, unsigned *n)
{
    int r = journal_stop_commits(j);
    if (r) return r;
    r = plan_records(j, plan, seen, j->ctl->tail);
    *n = r ? 0 : journal_lazy_files(plan, nops, pos, names, JOURNAL_REMOVING);
    publish(j, names, *n);
    journal_go_commits(j);
    return r;
}

/* Of all directories, a part; *n: those of it that were not made anew. */
static int next_dirs(struct journal *j, struct journal_plan *plan, uint64_t *seen, const char **dirs, unsigned *n)
{
    unsigned kept = 0;
    int r = journal_stop_commits(j);
    if (r) return r;
    r = plan_records(j, plan, seen, j->ctl->tail);
    for (unsigned i = 0; !r && i < *n; i++) {
        if (journal_plan_removes_dir(journal_plan_path(plan, dirs[i]))) dirs[kept++] = dirs[i];
    }
    *n = kept;
    publish(j, dirs, kept);
    journal_go_commits(j);
    return r;
}

static int remove_lazy(struct journal *j, struct journal_plan *plan, uint64_t from)
{
    const char *names[JOURNAL_REMOVING], **dirs;
    uint64_t nops = plan->nops, seen = from;
    size_t pos = 0;
    unsigned n;
    int r;

    do {
        r = next_files(j, plan, nops, &seen, &pos, names, &n);
        for (unsigned i = 0; !r && i < n; i++) journal_remove_file(names[i]);
        j->ctl->nremoving = 0;
    } while (!r && n == JOURNAL_REMOVING);

    size_t ndirs = journal_lazy_dirs(plan, nops, &dirs);
    for (size_t at = 0; !r && at < ndirs; at += JOURNAL_REMOVING) {
        n = (unsigned)cyr_min(ndirs - at, (size_t)JOURNAL_REMOVING);
        r = next_dirs(j, plan, &seen, &dirs[at], &n);
        for (unsigned i = 0; !r && i < n; i++) journal_remove_dir(dirs[at + i]);
        j->ctl->nremoving = 0;
    }
    free(dirs);
    return r;
}

/* ---- all of it ---- */

/* A server that goes on waits for other file systems, each time twice as long until it succeeds. */
static int sync_files(struct journal *j, const struct journal_plan *plan, unsigned least)
{
    unsigned seconds = cyr_max(least, (unsigned)j->ctl->patience);
    int r = journal_sync_apart(j, plan, seconds);
    if (!r || r == -EAGAIN) j->ctl->patience = r ? cyr_min(2 * seconds, APART_MOST_SECONDS) : 0;
    return r;
}

/* again: also if nothing was committed since the last one, which may have been cut before it had removed all. */
static int run_checkpoint(struct journal *j, bool final, bool again, unsigned patience)
{
    struct journal_checkpoint cp;
    struct journal_plan plan;
    uint64_t end, pos;

    int r = journal_checkpoint_read(j->dir, &cp);
    if (!r) r = end_window(j, &end);
    if (r) return r;
    bool spilled = journal_readers_spill(j, final ? 0 : j->reader_max);
    if (end == cp.lsn && !spilled && (!(final || again) || cp.lazy == cp.lsn)) return 0;
    uint64_t readers = journal_readers_lsn(j); /* before the sync that makes it durable */

    /* From `lazy` on: what was removed last time is to become durable now. */
    journal_plan_init(&plan);
    pos = cp.lazy;
    r = plan_records(j, &plan, &pos, end);
    if (!r) r = journal_sync(j, end);
    if (!r && !mutant_is("checkpoint-before-syncfs")) r = sync_files(j, &plan, patience);
    if (end != cp.lsn) cp.lazy = mutant_is("lazy-not-again") ? end : cp.lsn;
    cp.lsn = end;
    if (!r) r = journal_checkpoint_write(j->dir, &cp);
    if (!r && mutant_is("checkpoint-before-syncfs")) r = sync_files(j, &plan, patience);
    if (!r) j->ctl->checkpoint = end;
    if (!r) r = remove_lazy(j, &plan, end);
    if (!r && final) {
        cp.lazy = end;
        r = sync_files(j, &plan, patience);
        if (!r) r = journal_checkpoint_write(j->dir, &cp);
    }
    if (!r && final) j->ctl->live = 0; /* who dies between the last segment and the control page leaves none that counts */
    if (!r) r = journal_segments_drop(j, cp.lazy, readers, final);
    journal_plan_fini(&plan);
    return r;
}

static bool is_due(const struct journal *j)
{
    return j->ctl->tail - j->ctl->checkpoint >= j->checkpoint_size;
}

static int try_checkpoint(struct journal *j, bool final, bool again, unsigned patience)
{
    j->ctl->nremoving = 0; /* whoever was at it is dead */
    if (journal_is_hopeless(j, patience == APART_SECONDS)) return -EAGAIN;
    int r = run_checkpoint(j, final, again, patience);
    j->ctl->gave_up = r == -EAGAIN ? journal_seconds() : 0;
    return r;
}

int journal_checkpoint(struct journal *j, unsigned flags)
{
    bool due = flags & JOURNAL_CHECKPOINT_IF_DUE;
    if (j->ctl->failed) return -EROFS;
    if (due && !is_due(j)) return 0;

    int r = journal_bytelock(j, JLOCK_CHECKPOINT, DISKIO_LOCK_EXCLUSIVE,
                             flags & JOURNAL_CHECKPOINT_TRY ? DISKIO_LOCK_NONBLOCK : 0); /* -EWOULDBLOCK is -EAGAIN */
    if (!r) {
        if (!due || is_due(j))
            r = try_checkpoint(j, false, flags & JOURNAL_CHECKPOINT_AGAIN, due ? APART_SECONDS : APART_PATIENT_SECONDS);
        journal_byteunlock(j, JLOCK_CHECKPOINT);
    }
    if (r != -EAGAIN) return r;
    if (!(flags & JOURNAL_CHECKPOINT_TRY)) return journal_no_checkpoint(j);
    if (is_due(j)) journal_say_it_grows(j);
    return r;
}

int journal_checkpoint_final(struct journal *j)
{
    int r = journal_bytelock(j, JLOCK_CHECKPOINT, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r;
    r = try_checkpoint(j, true, false, APART_MOST_SECONDS);
    journal_byteunlock(j, JLOCK_CHECKPOINT);
    return r == -EAGAIN ? journal_no_checkpoint(j) : r;
}
