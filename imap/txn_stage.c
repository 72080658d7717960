/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn_stage -- bytes of new files, before they have a name
 *
 * What fits inline waits in memory for its name and then travels in the record. The rest
 * is written to <root>/stage./ under a name that is never used again (process, time,
 * counter), synced before the record is appended, and renamed when it is applied. A
 * crash before that leaves a file in the stage that nothing refers to.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "txn_internal.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Files that stay open until they are synced; those beyond are opened again for it. */
#define MAX_OPEN 16u

static int fail(int r, const char *what, const char *path)
{
    xsyslog_errno(LOG_ERR, r, "IOERROR: can't stage", "step=<%s> filename=<%s>", what, path);
    return txn_error(r);
}

static struct txn_staged *new_staged(struct txn *txn, mode_t mode, time_t mtime)
{
    struct txn_staged *staged = xzmalloc(sizeof(*staged));
    staged->fd = -1;
    staged->mode = mode;
    staged->mtime = mtime;
    staged->next = txn->staged;
    txn->staged = staged;
    return staged;
}

/* Written as a whole: it need not stay open. */
static void written(struct txn *txn, struct txn_staged *staged)
{
    if (++txn->nstaged_files <= MAX_OPEN) return;
    diskio_close(staged->fd);
    staged->fd = -1;
}

static int create_file(struct txn *txn, const char *root, mode_t mode, time_t mtime, struct txn_staged **stagedp)
{
    static unsigned counter;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);

    char *dir = xasprintf("%s/stage.", root);
    char *path = xasprintf("%s/%ld-%lld%09ld-%u", dir, (long)getpid(), (long long)now.tv_sec, now.tv_nsec, ++counter);
    int fd = diskio_create(path, mode);
    if (fd == -ENOENT) {
        fd = diskio_mkdirs(dir, 0755);
        if (!fd) fd = diskio_create(path, mode);
    }
    if (fd < 0) {
        int r = fail(fd, "create", path);
        free(dir);
        free(path);
        return r;
    }
    struct txn_staged *staged = new_staged(txn, mode, mtime);
    staged->path = path;
    staged->dir = dir;
    staged->fd = fd;
    *stagedp = staged;
    return 0;
}

int txn_stage(struct txn *txn, const char *root, const void *base, size_t len, mode_t mode, time_t mtime,
              struct txn_staged **stagedp)
{
    if (len <= config_getbytesize(IMAPOPT_JOURNAL_INLINE_SIZE)) {
        struct txn_staged *staged = new_staged(txn, mode, mtime);
        staged->base = base;
        staged->len = len;
        *stagedp = staged;
        return 0;
    }
    int r = create_file(txn, root, mode, mtime, stagedp);
    if (r) return r;
    r = diskio_pwrite((*stagedp)->fd, base, len, 0);
    if (r) return fail(r, "write", (*stagedp)->path);
    written(txn, *stagedp);
    return 0;
}

int txn_stage_fd(struct txn *txn, const char *root, int fd, mode_t mode, time_t mtime, struct txn_staged **stagedp)
{
    int r = create_file(txn, root, mode, mtime, stagedp);
    if (r) return r;
    int64_t n = diskio_copyrange(fd, 0, (*stagedp)->fd, 0, UINT64_MAX);
    if (n < 0) return fail((int)n, "copy", (*stagedp)->path);
    written(txn, *stagedp);
    return 0;
}

int txn_stage_file(struct txn *txn, const char *root, mode_t mode, int *fdp, struct txn_staged **stagedp)
{
    int r = create_file(txn, root, mode, 0, stagedp);
    if (!r) *fdp = (*stagedp)->fd;
    return r;
}

int txn_staged_sync(struct txn_staged *staged)
{
    int r = diskio_fsync(staged->fd);
    if (r) return fail(r, "sync", staged->path);
    staged->synced = true;
    return 0;
}

const char *txn_staged_path(const struct txn_staged *staged)
{
    return staged->path;
}

void txn_place(struct txn *txn, struct txn_staged *staged, const char *path)
{
    if (staged->placed) {
        txn_link(txn, staged->placed, path);
        return;
    }
    staged->placed = xstrdup(path);
    if (!staged->path) {
        txn_create(txn, path, staged->base, staged->len, staged->mode, staged->mtime);
        return;
    }
    struct journal_op op = { .kind = JOURNAL_OP_RENAME, .path = staged->path, .path2 = path };
    journal_record_op(&txn->rec, &op);
}

int txn_move(struct txn *txn, const char *root, const char *from, const char *to)
{
    struct txn_staged *staged;
    struct stat st;

    int fd = diskio_open(from, O_RDONLY, 0);
    if (fd < 0) return fail(fd, "open", from);
    int r = diskio_fstat(fd, &st);
    if (r)
        r = fail(r, "stat", from);
    else
        r = txn_stage_fd(txn, root, fd, st.st_mode & 07777, st.st_mtime, &staged);
    diskio_close(fd);
    if (r) return r;
    txn_place(txn, staged, to);
    txn_unlink(txn, from);
    return 0;
}

/* ---- commit and after ---- */

/*
 * The stage was made at some time, by whoever: its own name must be durable before a record relies
 * on what is in it. Once for each process and stage.
 */
static int sync_name(const char *dir)
{
    static strarray_t durable;
    if (strarray_contains(&durable, dir)) return 0;
    int r = diskio_sync_parent(dir);
    if (!r) strarray_append(&durable, dir);
    return r;
}

static int sync_file(struct txn_staged *staged)
{
    bool reopened = staged->fd < 0;
    int r = 0;
    if (reopened) {
        staged->fd = diskio_open(staged->path, O_RDWR, 0);
        if (staged->fd < 0) return fail(staged->fd, "open", staged->path);
    }
    if (staged->mtime) {
        struct timespec times[2] = { { .tv_sec = staged->mtime }, { .tv_sec = staged->mtime } };
        r = diskio_futime(staged->fd, times);
    }
    if (!r) r = diskio_fsync(staged->fd);
    if (reopened) {
        diskio_close(staged->fd);
        staged->fd = -1;
    }
    return r ? fail(r, "sync", staged->path) : 0;
}

int txn_stage_sync(struct txn *txn)
{
    const char *synced = "";
    int r = 0;

    for (struct txn_staged *s = txn->staged; !r && s; s = s->next) {
        if (s->path && s->placed && !s->synced) r = sync_file(s);
    }
    for (struct txn_staged *s = txn->staged; !r && s; s = s->next) {
        if (!s->path || !s->placed || !strcmp(s->dir, synced)) continue;
        synced = s->dir;
        r = sync_name(s->dir);
        if (!r) r = diskio_sync_dir(s->dir);
        if (r) r = fail(r, "sync of the directory", s->dir);
    }
    return r;
}

void txn_stage_finish(struct txn *txn, bool keep)
{
    struct txn_staged *next;
    for (struct txn_staged *s = txn->staged; s; s = next) {
        next = s->next;
        diskio_close(s->fd);
        if (s->path && !(keep && s->placed)) diskio_unlink_quiet(s->path);
        free(s->path);
        free(s->dir);
        free(s->placed);
        free(s);
    }
    txn->staged = NULL;
}
