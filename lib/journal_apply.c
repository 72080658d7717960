/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_apply -- carries the operations of records out
 *
 * Every operation can be carried out again from any state that a crash leaves, if all
 * operations since the checkpoint are, in their order (doc/journal.md, "Why redo is
 * idempotent"): bytes and sizes are absolute; whole files carry their bytes; the
 * source of a link stays until the next checkpoint; a staged name is never used
 * twice; database changes set and delete.
 *
 * A file or directory that ought to be there and is not (removed by hand, a partition
 * that is not mounted) is logged and counted in `gone`, and the rest goes on; the caller
 * decides. Any other error ends the work with -errno.
 */
#include <config.h>

#include "journal_apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "filesum.h"
#include "journal_db.h"
#include "journal_int.h"
#include "mutant.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Takes any file name; the caller frees. */
static char *beside(const char *path, const char *suffix)
{
    return xasprintf("%s%s", path, suffix);
}

/* Small files that are replaced as a whole have a sum; whoever changes one in place afterwards does not ask for it. */
#define SUM_MAX 65536

static int write_new(const char *path, const struct journal_op *op, bool sum)
{
    int fd = diskio_create(path, op->mode);
    if (fd < 0) return fd;
    int r = diskio_pwrite(fd, op->data, op->datalen, 0);
    if (!r && sum && op->datalen <= SUM_MAX) filesum_set(fd, op->data, op->datalen);
    if (!r && op->number) {
        struct timespec times[2] = { { .tv_sec = (time_t)op->number }, { .tv_sec = (time_t)op->number } };
        r = diskio_futime(fd, times);
    }
    int rc = diskio_close(fd);
    return r ? r : rc;
}

/* A whole new file in the place of what is there, which stays until then. */
static int write_beside(const struct journal_op *op, bool sum)
{
    char *tmp = beside(op->path, ".NEW");
    int r = diskio_unlink_quiet(tmp);

    if (!r) r = write_new(tmp, op, sum);
    if (!r)
        r = diskio_rename(tmp, op->path);
    else
        (void)diskio_unlink_quiet(tmp);
    free(tmp);
    return r;
}

/* Done before, and nothing of it is shared with another name, which would change with this one. */
static bool is_created(const struct journal_op *op)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct stat st;
    bool is = !diskio_lstat(op->path, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size == (off_t)op->datalen &&
              !diskio_map_file(op->path, &map, NULL) && map.len == op->datalen && (!map.len || !memcmp(map.base, op->data, map.len));

    diskio_map_free(&map);
    return is;
}

/* Somebody may read the file already while a later operation of its record waits for room: it is never less than whole. */
static int apply_create(const struct journal_op *op)
{
    int r = write_new(op->path, op, false);

    if (r != -EEXIST) return r;
    if (is_created(op)) return op->number ? diskio_setmtime(op->path, (time_t)op->number) : 0;
    /* A new inode: another name of the old one, or a reader's mapping, keeps its bytes. */
    return write_beside(op, false);
}

/* Under the lock that covers the file nobody reads it meanwhile. -ENOENT: there is none that may be written over. */
static int write_over(const struct journal_op *op)
{
    struct stat st;
    if (op->datalen > SUM_MAX) return -ENOENT; /* the inode would keep the sum of what it had */
    int fd = diskio_open(op->path, O_WRONLY, 0);
    if (fd < 0) return fd;
    int r = diskio_fstat(fd, &st);
    if (!r && st.st_nlink != 1) r = -ENOENT;
    if (!r) r = diskio_pwrite(fd, op->data, op->datalen, 0);
    if (!r && st.st_size > (off_t)op->datalen) r = diskio_ftruncate(fd, op->datalen);
    if (!r) filesum_set(fd, op->data, op->datalen);
    int rc = diskio_close(fd);
    return r ? r : rc;
}

static int apply_replace(const struct journal_op *op)
{
    if (op->flags & JOURNAL_REPLACE_INPLACE) {
        int done = write_over(op);
        if (done != -ENOENT) return done;
    }
    return write_beside(op, true);
}

/* The file of the last change of bytes stays open for the next one. */
static int close_content(struct journal_apply *apply)
{
    int r = apply->path ? diskio_close(apply->fd) : 0;
    apply->path = NULL;
    return r;
}

static int apply_content(struct journal_apply *apply, const struct journal_op *op)
{
    if (!apply->path || strcmp(apply->path, op->path) != 0) {
        int r = close_content(apply);
        if (r) return r;
        int fd = diskio_open(op->path, O_WRONLY, 0);
        if (fd < 0) return fd;
        apply->fd = fd;
        apply->path = op->path;
    }
    return op->kind == JOURNAL_OP_PWRITE ? diskio_pwrite(apply->fd, op->data, op->datalen, op->off)
                                         : diskio_ftruncate(apply->fd, op->off);
}

static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;
    return !diskio_lstat(a, &sa) && !diskio_lstat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static int apply_link(const struct journal_op *op)
{
    int r = diskio_link(op->path, op->path2);
    if (r != -EEXIST) return r;
    /* rename(2) of two links to one file does nothing, not even remove the first. */
    if (same_file(op->path, op->path2)) return 0;
    char *tmp = beside(op->path2, ".NEW");
    r = diskio_unlink_quiet(tmp);
    if (!r) r = diskio_link(op->path, tmp);
    if (!r) r = diskio_rename(tmp, op->path2);
    free(tmp);
    return r;
}

/* The name becomes another inode's at once: whoever reads it finds the old file or the link. */
static int apply_symlink(const struct journal_op *op)
{
    char *target = xstrndup(op->data, op->datalen), *tmp = beside(op->path, ".NEW");

    int r = diskio_symlink(target, op->path);
    if (r == -EEXIST) {
        r = diskio_unlink_quiet(tmp);
        if (!r) r = diskio_symlink(target, tmp);
        if (!r) r = diskio_rename(tmp, op->path);
    }
    free(target);
    free(tmp);
    return r;
}

static int apply_rename(const struct journal_op *op, bool again)
{
    struct stat st;
    int r = diskio_rename(op->path, op->path2);
    if (r != -ENOENT || !again) return r;
    /* Done before, if the file is in its place: a staged name is never used twice. */
    return diskio_lstat(op->path2, &st);
}

static bool changes_content(const struct journal_op *op)
{
    return op->kind == JOURNAL_OP_PWRITE || op->kind == JOURNAL_OP_TRUNCATE;
}

static int apply_name_op(const struct journal_op *op, bool again)
{
    switch (op->kind) {
    case JOURNAL_OP_REPLACE:
        return apply_replace(op);
    case JOURNAL_OP_CREATE:
        return apply_create(op);
    case JOURNAL_OP_LINK:
        return apply_link(op);
    case JOURNAL_OP_SYMLINK:
        return apply_symlink(op);
    case JOURNAL_OP_RENAME:
        return apply_rename(op, again);
    case JOURNAL_OP_UNLINK:
        return diskio_unlink_quiet(op->path);
    case JOURNAL_OP_MKDIR:
        return diskio_mkdirs(op->path, op->mode);
    case JOURNAL_OP_UTIME:
        return diskio_setmtime(op->path, (time_t)op->number);
    default: /* lazy ones: at the checkpoint */
        return op->kind == JOURNAL_OP_UNLINK_LAZY && mutant_is("remove-at-once") ? diskio_unlink_quiet(op->path) : 0;
    }
}

static int apply_op(struct journal_apply *apply, const struct journal_op *op)
{
    if (changes_content(op)) return apply_content(apply, op);
    /* The path may name another file from now on. */
    int r = close_content(apply);
    return r ? r : apply_name_op(op, apply->plan);
}

/* Is the operation void because a later one decides the path as a whole? */
static bool is_void(const struct journal_apply *apply, const struct journal_op *op)
{
    if (!apply->plan || op->kind == JOURNAL_OP_MKDIR || mutant_is("redo-all")) return false;
    const struct journal_plan_path *pp = journal_plan_path(apply->plan, journal_op_target(op));
    if (apply->opno >= pp->kill) return false;
    /* A staged file that is not needed any more. */
    if (op->kind == JOURNAL_OP_RENAME) diskio_unlink_quiet(op->path);
    return true;
}

static int apply_file_op(struct journal_apply *apply, const struct journal_op *op)
{
    if (is_void(apply, op)) return 0;
    int r = apply_op(apply, op);
    if (!r) return 0;
    syslog(LOG_ERR, "journal: can't %s %s%s%s: %s", journal_op_name(op->kind), op->path, op->path2 ? " to " : "",
           op->path2 ? op->path2 : "", strerror(-r));
    if (r != -ENOENT && r != -ENOTDIR) return r;
    apply->gone++;
    return 0;
}

/* One database with the changes behind it. The iterator stands behind all of them on return. */
static int apply_db(struct journal_apply *apply, const struct journal_op *db, struct journal_op_iter *iter, bool wanted)
{
    struct journal_db_change change = { .apply = apply, .db = db, .changes = *iter };
    struct journal_op_iter ahead = *iter;
    struct journal_op op;

    while (ahead.left) {
        journal_op_iter_next(&ahead, &op);
        if (op.kind != JOURNAL_OP_KVSET && op.kind != JOURNAL_OP_KVDEL) break;
        *iter = ahead;
        change.n++;
    }
    int r = 0;
    if (wanted && !is_void(apply, db)) r = journal_db_apply(&change);
    apply->opno += change.n;
    return r;
}

int journal_apply_record(struct journal_apply *apply, const struct journal_view *view, unsigned parts, uint32_t done)
{
    struct journal_op_iter iter;
    struct journal_op op;
    int r = 0;

    journal_op_iter_init(&iter, view);
    while (!r && journal_op_iter_next(&iter, &op)) {
        apply->opno++;
        if (op.kind == JOURNAL_OP_DB) {
            bool early = op.flags & JOURNAL_DB_EARLY;
            bool isdone = early && op.lock < 32 && (done & 1u << op.lock);
            r = apply_db(apply, &op, &iter, (parts & (early ? JOURNAL_APPLY_EARLY : JOURNAL_APPLY_LATE)) && !isdone);
        }
        else if (parts & JOURNAL_APPLY_LATE) {
            r = apply_file_op(apply, &op);
        }
    }
    int rc = close_content(apply);
    return r ? r : rc;
}

int journal_redo_record(struct journal *j, const struct journal_view *view, uint32_t done)
{
    struct journal_plan plan;
    (void)j;

    journal_plan_init(&plan);
    journal_plan_add(&plan, view);
    struct journal_apply apply = { .j = j, .plan = &plan };
    int r = journal_apply_record(&apply, view, JOURNAL_APPLY_LATE | JOURNAL_APPLY_EARLY, done);
    journal_plan_fini(&plan);
    return r;
}
