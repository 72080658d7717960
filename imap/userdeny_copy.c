/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * userdeny_copy -- a second copy of user_deny.db, for when the first is damaged on the disk
 *
 * A flat file has one sum for all of it (lib/filesum.h), so a damaged one can't say of anybody whether he is denied. Whoever finds the
 * file whole keeps a copy as FILE.copy, unless there is one with that sum. The copy takes the place of a damaged file if its bytes have the
 * sum that the file had: then they are what it was, whoever wrote it last. The damaged file is kept as FILE.damaged.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "filesum.h"
#include "userdeny_copy.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MODE 0600

static int read_all(const char *path, struct buf *bytes, bool *has_sum, uint32_t *sum)
{
    int fd = diskio_open(path, O_RDONLY, 0);
    int64_t size = fd < 0 ? fd : diskio_size(fd);
    int r = size < 0 ? (int)size : 0;

    if (!r) {
        buf_ensure(bytes, (size_t)size + 1);
        ssize_t n = diskio_pread(fd, bytes->s, (size_t)size, 0);
        if (n < 0)
            r = (int)n;
        else
            bytes->len = (size_t)n;
        *has_sum = filesum_get(fd, sum);
    }
    if (fd >= 0) diskio_close(fd);
    return r;
}

static int write_all(const char *path, const struct buf *bytes)
{
    char *fresh = xasprintf("%s.NEW.%ld", path, (long)getpid());

    diskio_unlink_quiet(fresh);
    int fd = diskio_create(fresh, MODE);
    int r = fd < 0 ? fd : diskio_pwrite(fd, bytes->s, bytes->len, 0);
    if (fd >= 0) {
        filesum_set(fd, bytes->s, bytes->len);
        if (!r) r = diskio_fsync(fd);
        diskio_close(fd);
    }
    if (!r) r = diskio_rename(fresh, path);
    if (r) diskio_unlink_quiet(fresh);
    free(fresh);
    return r;
}

static bool get_sum(const char *path, uint32_t *sum)
{
    int fd = diskio_open(path, O_RDONLY, 0);
    bool has = fd >= 0 && filesum_get(fd, sum);

    if (fd >= 0) diskio_close(fd);
    return has;
}

void userdeny_keep_copy(const char *path)
{
    char *copy = xasprintf("%s.copy", path);
    struct buf bytes = BUF_INITIALIZER;
    uint32_t sum;
    bool has_sum;

    if (!filesum_same(path, copy) && !read_all(path, &bytes, &has_sum, &sum) && has_sum &&
        filesum_of(bytes.s, bytes.len) == sum) {
        int r = write_all(copy, &bytes);
        if (r) xsyslog_errno(LOG_WARNING, r, "DBERROR: can't keep a copy of the list of denied users", "filename=<%s>", copy);
    }
    buf_free(&bytes);
    free(copy);
}

/* The damaged file, as it was when the copy was compared with its sum, gives way. */
static int replace(const char *path, const struct buf *bytes)
{
    char *kept = xasprintf("%s.damaged", path);

    int r = diskio_unlink_quiet(kept);
    if (!r) r = diskio_link(path, kept);
    if (!r) r = write_all(path, bytes);
    if (!r) r = diskio_sync_parent(path);
    if (r)
        xsyslog_errno(LOG_ERR, r, "DBERROR: the damaged list of denied users can't be replaced", "filename=<%s>", path);
    else
        xsyslog_errno(LOG_ERR, 0, "DBERROR: the damaged list of denied users is made anew from its copy",
                      "filename=<%s> kept=<%s>", path, kept);
    free(kept);
    return r;
}

bool userdeny_heal(const char *path)
{
    char *copy = xasprintf("%s.copy", path);
    struct buf bytes = BUF_INITIALIZER;
    uint32_t sum, other;
    bool has_sum, healed = false;

    int lock = filesum_iswrong_path(path) ? diskio_open(copy, O_RDWR, 0) : -1;
    /* One at a time: another process may have done it meanwhile. */
    if (lock >= 0 && !diskio_lock(lock, DISKIO_LOCK_EXCLUSIVE, 0)) {
        healed = !filesum_iswrong_path(path);
        if (!healed && get_sum(path, &sum) && !read_all(copy, &bytes, &has_sum, &other) && filesum_of(bytes.s, bytes.len) == sum)
            healed = !replace(path, &bytes);
    }
    if (lock >= 0) diskio_close(lock);
    buf_free(&bytes);
    free(copy);
    return healed;
}
