/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio -- the one door to the disk
 *
 * Each function does its system call through the table in place (the real calls,
 * or a test's), counts it, goes on after EINTR and short counts, and turns errno
 * into -errno. Nothing is logged and nothing is tried again after an error.
 *
 * diskio_util.c builds on this what takes several calls, diskio_lock.c holds the
 * record locks; diskio_hooks.c is the table that records and breaks for tests.
 */
#include <config.h>

#include "diskio.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "buf.h"
#include "diskio_private.h"
#include "diskio_trace.h"

/* -- the system calls -- */

static int real_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int real_utimens(int fd, const char *path, const struct timespec times[2])
{
    return fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, 0);
}

static int real_clone(int to, int from)
{
    return ioctl(to, FICLONE, from);
}

static ssize_t real_copyrange(int from, off_t fromoff, int to, off_t tooff, size_t len)
{
    return copy_file_range(from, &fromoff, to, &tooff, len, 0);
}

static int real_device(const char *path, dev_t *dev)
{
    struct statx stx;

    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) < 0) return -1;
    *dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    return 0;
}

const struct diskio_ops diskio_real_ops = {
    .open = real_open,
    .close = close,
    .pread = pread,
    .read = read,
    .pwritev = pwritev,
    .writev = writev,
    .ftruncate = ftruncate,
    .fallocate = fallocate,
    .fsync = fsync,
    .fdatasync = fdatasync,
    .syncfs = syncfs,
    .rename = rename,
    .link = link,
    .symlink = symlink,
    .unlink = unlink,
    .mkdir = mkdir,
    .rmdir = rmdir,
    .utimens = real_utimens,
    .chmod = chmod,
    .clone = real_clone,
    .copyrange = real_copyrange,
    .statvfs = statvfs,
    .stat = stat,
    .lstat = lstat,
    .device = real_device,
};

const struct diskio_ops *diskio_ops_now = &diskio_real_ops;

const struct diskio_ops *diskio_set_ops(const struct diskio_ops *ops)
{
    const struct diskio_ops *old = diskio_ops_now;

    diskio_ops_now = ops ? ops : &diskio_real_ops;
    return old;
}

#ifdef ENABLE_TEST_HOOKS
/* Before main, as a program may overwrite its environment with a process title. */
__attribute__((constructor)) static void install_hooks(void)
{
    diskio_hooks_from_env();
}
#endif

void diskio_marker(const char *text)
{
    if (diskio_ops_now->marker) diskio_ops_now->marker(text);
}

/* -- counts -- */

static struct diskio_counters counters;

static const char *const kind_names[DISKIO_NKINDS] = {
    [DISKIO_OPEN] = "open",           [DISKIO_CLOSE] = "close",         [DISKIO_PREAD] = "pread",
    [DISKIO_READ] = "read",           [DISKIO_PWRITE] = "pwrite",       [DISKIO_WRITE] = "append",
    [DISKIO_FTRUNCATE] = "ftruncate", [DISKIO_FALLOCATE] = "fallocate", [DISKIO_FSYNC] = "fsync",
    [DISKIO_FDATASYNC] = "fdatasync", [DISKIO_SYNCFS] = "syncfs",       [DISKIO_RENAME] = "rename",
    [DISKIO_LINK] = "link",           [DISKIO_SYMLINK] = "symlink",     [DISKIO_UNLINK] = "unlink",
    [DISKIO_MKDIR] = "mkdir",         [DISKIO_RMDIR] = "rmdir",         [DISKIO_STAT] = "stat",
    [DISKIO_UTIME] = "utime",         [DISKIO_CHMOD] = "chmod",         [DISKIO_CLONE] = "clone",
    [DISKIO_COPYRANGE] = "copyrange", [DISKIO_MMAP] = "mmap",           [DISKIO_LOCK] = "lock",
};

void diskio_count(enum diskio_kind kind, ssize_t result, bool moves)
{
    counters.calls[kind]++;
    if (result < 0)
        counters.errors++;
    else if (moves)
        counters.bytes[kind] += (uint64_t)result;
}

const struct diskio_counters *diskio_counters(void)
{
    return &counters;
}

void diskio_counters_reset(void)
{
    memset(&counters, 0, sizeof(counters));
}

uint64_t diskio_counters_syncs(void)
{
    return counters.calls[DISKIO_FSYNC] + counters.calls[DISKIO_FDATASYNC] +
           counters.calls[DISKIO_SYNCFS];
}

const char *diskio_kind_name(enum diskio_kind kind)
{
    return (unsigned)kind < DISKIO_NKINDS ? kind_names[kind] : "?";
}

int diskio_kind_byname(const char *name)
{
    for (int i = 0; i < DISKIO_NKINDS; i++) {
        if (!strcmp(name, kind_names[i])) return i;
    }
    return -1;
}

void diskio_counters_text(struct buf *dst)
{
    const char *sep = "";

    for (int i = 0; i < DISKIO_NKINDS; i++) {
        if (!counters.calls[i]) continue;
        buf_printf(dst, "%s%s=%llu", sep, kind_names[i], (unsigned long long)counters.calls[i]);
        if (counters.bytes[i]) buf_printf(dst, "/%llu", (unsigned long long)counters.bytes[i]);
        sep = " ";
    }
    if (counters.errors) buf_printf(dst, "%serrors=%llu", sep, (unsigned long long)counters.errors);
}

void diskio_counters_log(const char *what)
{
    struct buf line = BUF_INITIALIZER;

    diskio_counters_text(&line);
    syslog(LOG_INFO, "diskio: %s: %s", what, buf_cstring(&line));
    buf_free(&line);
}

/* -- files -- */

int diskio_open(const char *path, int flags, mode_t mode)
{
    int fd;

    DISKIO_RETRY(fd, DISKIO_OPEN, false, diskio_ops_now->open(path, flags | O_CLOEXEC, mode));
    return fd < 0 ? -errno : fd;
}

int diskio_create(const char *path, mode_t mode)
{
    return diskio_open(path, O_RDWR | O_CREAT | O_EXCL, mode);
}

int diskio_close(int fd)
{
    if (fd < 0) return 0;

    int r = diskio_ops_now->close(fd);
    int saved = errno;
    diskio_count(DISKIO_CLOSE, r, false);
    /* Linux has closed the descriptor even when a signal came. */
    return r < 0 && saved != EINTR ? -saved : 0;
}

/* -- reading -- */

ssize_t diskio_pread(int fd, void *buf, size_t len, uint64_t off)
{
    size_t done = 0;

    while (done < len) {
        ssize_t r;
        DISKIO_RETRY(
            r, DISKIO_PREAD, true,
            diskio_ops_now->pread(fd, (char *)buf + done, len - done, (off_t)(off + done)));
        if (r < 0) return -errno;
        if (!r) break;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

int diskio_pread_full(int fd, void *buf, size_t len, uint64_t off)
{
    ssize_t r = diskio_pread(fd, buf, len, off);

    if (r < 0) return (int)r;
    return (size_t)r == len ? 0 : -ENODATA;
}

ssize_t diskio_read(int fd, void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t r;
        DISKIO_RETRY(r, DISKIO_READ, true,
                     diskio_ops_now->read(fd, (char *)buf + done, len - done));
        if (r < 0) return -errno;
        if (!r) break;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

/* -- writing -- */

/* Where in an iovec the next byte to write is. */
struct iov_cursor {
    const struct iovec *iov;
    int n;
    size_t skip; /* bytes of iov[0] already written */
};

/* Sets part[] to what comes next, at most max pieces; how many. The first is not empty. */
static int iov_next(struct iov_cursor *at, struct iovec *part, int max)
{
    int n = 0;

    while (at->n && at->skip == at->iov->iov_len) {
        at->iov++;
        at->n--;
        at->skip = 0;
    }
    for (; n < max && n < at->n; n++) {
        size_t skip = n ? 0 : at->skip;
        part[n].iov_base = (char *)at->iov[n].iov_base + skip;
        part[n].iov_len = at->iov[n].iov_len - skip;
    }
    return n;
}

static void iov_advance(struct iov_cursor *at, size_t done)
{
    while (at->n && done >= at->iov->iov_len - at->skip) {
        done -= at->iov->iov_len - at->skip;
        at->iov++;
        at->n--;
        at->skip = 0;
    }
    at->skip += done;
}

/* Writes all of it; off < 0: at the file position. */
static int write_all(int fd, const struct iovec *iov, int n, off_t off)
{
    struct iov_cursor at = { iov, n, 0 };
    struct iovec part[64];
    int nparts;

    while ((nparts = iov_next(&at, part, 64)) > 0) {
        ssize_t r;
        if (off >= 0)
            DISKIO_RETRY(r, DISKIO_PWRITE, true, diskio_ops_now->pwritev(fd, part, nparts, off));
        else
            DISKIO_RETRY(r, DISKIO_WRITE, true, diskio_ops_now->writev(fd, part, nparts));
        if (r < 0) return -errno;
        if (!r) return -EIO;
        iov_advance(&at, (size_t)r);
        if (off >= 0) off += r;
    }
    return 0;
}

int diskio_pwritev(int fd, const struct iovec *iov, int n, uint64_t off)
{
    if (off > (uint64_t)INT64_MAX) return -EFBIG;
    return write_all(fd, iov, n, (off_t)off);
}

int diskio_writev(int fd, const struct iovec *iov, int n)
{
    return write_all(fd, iov, n, -1);
}

static struct iovec one_piece(const void *buf, size_t len)
{
    return (struct iovec){ .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
}

int diskio_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
    struct iovec iov = one_piece(buf, len);
    return diskio_pwritev(fd, &iov, 1, off);
}

int diskio_write(int fd, const void *buf, size_t len)
{
    struct iovec iov = one_piece(buf, len);
    return diskio_writev(fd, &iov, 1);
}

/* Most of the rest is one call that answers 0 or -1. */
#define SIMPLE_CALL(kind, call)              \
    do {                                     \
        int r_;                              \
        DISKIO_RETRY(r_, kind, false, call); \
        return r_ < 0 ? -errno : 0;          \
    } while (0)

int diskio_ftruncate(int fd, uint64_t len)
{
    if (len > (uint64_t)INT64_MAX) return -EFBIG;
    SIMPLE_CALL(DISKIO_FTRUNCATE, diskio_ops_now->ftruncate(fd, (off_t)len));
}

int diskio_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
    if (off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX) return -EFBIG;
    SIMPLE_CALL(DISKIO_FALLOCATE, diskio_ops_now->fallocate(fd, mode, (off_t)off, (off_t)len));
}

int64_t diskio_lseek(int fd, int64_t off, int whence)
{
    off_t pos = lseek(fd, (off_t)off, whence);
    return pos < 0 ? -errno : (int64_t)pos;
}

/* -- durability -- */

int diskio_fsync(int fd)
{
    SIMPLE_CALL(DISKIO_FSYNC, diskio_ops_now->fsync(fd));
}

int diskio_fdatasync(int fd)
{
    SIMPLE_CALL(DISKIO_FDATASYNC, diskio_ops_now->fdatasync(fd));
}

int diskio_syncfs(int fd)
{
    SIMPLE_CALL(DISKIO_SYNCFS, diskio_ops_now->syncfs(fd));
}

int diskio_writeback(int fd, uint64_t off, uint64_t len)
{
    return sync_file_range(fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE) < 0 ? -errno : 0;
}

/* -- names -- */

int diskio_rename(const char *from, const char *to)
{
    SIMPLE_CALL(DISKIO_RENAME, diskio_ops_now->rename(from, to));
}

int diskio_link(const char *from, const char *to)
{
    SIMPLE_CALL(DISKIO_LINK, diskio_ops_now->link(from, to));
}

int diskio_symlink(const char *target, const char *path)
{
    SIMPLE_CALL(DISKIO_SYMLINK, diskio_ops_now->symlink(target, path));
}

int diskio_unlink(const char *path)
{
    SIMPLE_CALL(DISKIO_UNLINK, diskio_ops_now->unlink(path));
}

int diskio_mkdir(const char *path, mode_t mode)
{
    SIMPLE_CALL(DISKIO_MKDIR, diskio_ops_now->mkdir(path, mode));
}

int diskio_rmdir(const char *path)
{
    SIMPLE_CALL(DISKIO_RMDIR, diskio_ops_now->rmdir(path));
}

/* -- attributes -- */

int diskio_stat(const char *path, struct stat *st)
{
    SIMPLE_CALL(DISKIO_STAT, diskio_ops_now->stat(path, st));
}

int diskio_lstat(const char *path, struct stat *st)
{
    SIMPLE_CALL(DISKIO_STAT, diskio_ops_now->lstat(path, st));
}

int diskio_fstat(int fd, struct stat *st)
{
    SIMPLE_CALL(DISKIO_STAT, fstat(fd, st));
}

int diskio_device(const char *path, dev_t *dev)
{
    return diskio_ops_now->device(path, dev) < 0 ? -errno : 0;
}

int64_t diskio_size(int fd)
{
    struct stat st;
    int r = diskio_fstat(fd, &st);

    return r ? r : (int64_t)st.st_size;
}

int diskio_utime(const char *path, const struct timespec times[2])
{
    SIMPLE_CALL(DISKIO_UTIME, diskio_ops_now->utimens(-1, path, times));
}

int diskio_futime(int fd, const struct timespec times[2])
{
    if (fd < 0) return -EBADF;
    SIMPLE_CALL(DISKIO_UTIME, diskio_ops_now->utimens(fd, NULL, times));
}

int diskio_chmod(const char *path, mode_t mode)
{
    SIMPLE_CALL(DISKIO_CHMOD, diskio_ops_now->chmod(path, mode));
}
