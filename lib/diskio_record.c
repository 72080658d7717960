/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_record -- a diskio table that writes down what it does (for tests)
 *
 * Every operation goes to the real system call; when that succeeded a record is
 * appended to the trace (diskio_trace.h says what it holds and why syncs have two).
 * Whether an open made the file, and what a rename replaced, is known exactly
 * unless two processes race for the name; then the loser's call is repeated.
 * A trace that can't be written ends the process: a gap would prove nothing.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "diskio_hooks.h"
#include "diskio_private.h"
#include "diskio_trace.h"

static struct {
    int fd;
    char path[PATH_MAX];
    dev_t dev;
    ino_t ino;
    pid_t pid; /* whose seq it is */
    uint64_t seq;
} trace = { .fd = -1 };

static void give_up(const char *what)
{
    fprintf(stderr, "diskio record: %s %s: %s\n", what, trace.path, strerror(errno));
    _exit(70);
}

/* Opens the trace at a number that no ordinary descriptor has. */
static int open_trace(void)
{
    struct stat st;
    int fd = open(trace.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0) return -errno;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    if (high >= 0) {
        close(fd);
        fd = high;
    }
    /* Processes of other accounts append too. Not ours to change: then it is fine already. */
    if (fchmod(fd, 0666) < 0 && errno != EPERM) return -errno;
    if (fstat(fd, &st) < 0) return -errno;
    trace.fd = fd;
    trace.dev = st.st_dev;
    trace.ino = st.st_ino;
    return 0;
}

/* A program that closes all descriptors at its start closes ours. */
static void check_trace(void)
{
    struct stat st;

    if (trace.fd >= 0 && !fstat(trace.fd, &st) && st.st_dev == trace.dev && st.st_ino == trace.ino)
        return;
    if (open_trace()) give_up("opening");
}

static void note(struct diskio_trace_rec *rec)
{
    int saved = errno;

    check_trace();
    if (trace.pid != getpid()) {
        trace.pid = getpid();
        trace.seq = 0;
    }
    rec->pid = (uint32_t)trace.pid;
    rec->seq = ++trace.seq;
    int r = diskio_trace_write(trace.fd, rec);
    if (r) {
        errno = -r;
        give_up("writing");
    }
    errno = saved;
}

/* -- names and inodes -- */

static void set_inode(struct diskio_trace_rec *rec, const struct stat *st)
{
    rec->dev = st->st_dev;
    rec->ino = st->st_ino;
    if (S_ISDIR(st->st_mode)) rec->flags |= DISKIO_TRACE_DIR;
}

/* The path with the working directory in front when it is relative. */
static const char *absolute(const char *path, char out[PATH_MAX])
{
    char cwd[PATH_MAX];

    if (*path == '/' || !getcwd(cwd, sizeof(cwd))) return path;
    int n = snprintf(out, PATH_MAX, "%s/%s", cwd, path);
    return n < 0 || n >= PATH_MAX ? path : out;
}

const char *diskio_fd_path(int fd, char out[PATH_MAX])
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n < 0 ? 0 : n] = '\0';
    return out;
}

/* A record about an open file. */
static void note_fd(struct diskio_trace_rec *rec, int fd)
{
    char path[PATH_MAX];
    struct stat st;
    int saved = errno;

    if (!fstat(fd, &st)) set_inode(rec, &st);
    rec->path = diskio_fd_path(fd, path);
    errno = saved;
    note(rec);
}

/* A record about names; either may be NULL. */
static void note_paths(struct diskio_trace_rec *rec, const char *path, const char *path2)
{
    char one[PATH_MAX], two[PATH_MAX];

    rec->path = path ? absolute(path, one) : NULL;
    rec->path2 = path2 ? absolute(path2, two) : NULL;
    note(rec);
}

/* -- opening -- */

/* open(2) that knows whether it made the file. */
static int open_knowing(const char *path, int flags, mode_t mode, bool *created)
{
    *created = false;
    if (!(flags & O_CREAT)) return diskio_real_ops.open(path, flags, mode);
    for (int tries = 0; tries < 10; tries++) {
        int fd = diskio_real_ops.open(path, flags | O_EXCL, mode);
        if (fd >= 0) *created = true;
        if (fd >= 0 || errno != EEXIST || (flags & O_EXCL)) return fd;
        fd = diskio_real_ops.open(path, flags & ~O_CREAT, mode);
        if (fd >= 0 || errno != ENOENT) return fd;
    }
    /* A symbolic link to nothing: the file it names is made, and that is not seen here. */
    return diskio_real_ops.open(path, flags, mode);
}

static int record_open(const char *path, int flags, mode_t mode)
{
    bool created;
    int fd = open_knowing(path, flags, mode, &created);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) return fd;
    if (!created && (flags & O_ACCMODE) == O_RDONLY && !S_ISDIR(st.st_mode)) return fd;

    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_OPEN, .offset = st.st_mode & 07777 };
    if (created) rec.flags |= DISKIO_TRACE_CREATED;
    if (!created && (flags & O_TRUNC)) rec.flags |= DISKIO_TRACE_TRUNCATED;
    note_fd(&rec, fd);
    return fd;
}

/* -- writing -- */

static void note_bytes(int fd, const struct iovec *iov, int n, ssize_t len, uint64_t off)
{
    struct buf data = BUF_INITIALIZER;

    for (int i = 0; i < n && data.len < (size_t)len; i++) {
        size_t left = (size_t)len - data.len;
        buf_appendmap(&data, iov[i].iov_base, iov[i].iov_len < left ? iov[i].iov_len : left);
    }
    struct diskio_trace_rec rec = {
        .kind = DISKIO_TRACE_WRITE, .offset = off, .data = data.s, .datalen = data.len
    };
    note_fd(&rec, fd);
    buf_free(&data);
}

static ssize_t record_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    ssize_t r = diskio_real_ops.pwritev(fd, iov, n, off);

    if (r > 0) note_bytes(fd, iov, n, r, (uint64_t)off);
    return r;
}

static ssize_t record_writev(int fd, const struct iovec *iov, int n)
{
    ssize_t r = diskio_real_ops.writev(fd, iov, n);

    if (r > 0) note_bytes(fd, iov, n, r, (uint64_t)(lseek(fd, 0, SEEK_CUR) - r));
    return r;
}

static void note_length(int fd, off_t len)
{
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_FTRUNCATE, .offset = (uint64_t)len };
    note_fd(&rec, fd);
}

static int record_ftruncate(int fd, off_t len)
{
    int r = diskio_real_ops.ftruncate(fd, len);

    if (!r) note_length(fd, len);
    return r;
}

static int record_fallocate(int fd, int mode, off_t off, off_t len)
{
    int r = diskio_real_ops.fallocate(fd, mode, off, len);
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_FALLOCATE,
                                    .offset = (uint64_t)off,
                                    .number = (uint64_t)len,
                                    .extra = (uint64_t)mode };

    if (!r) note_fd(&rec, fd);
    return r;
}

/* Bytes that came from another file: as they are there now. */
static void note_copy(int from, off_t fromoff, int to, off_t tooff, size_t len)
{
    struct stat st;
    size_t max = 1024 * 1024;
    char path2[PATH_MAX];
    struct buf block = BUF_INITIALIZER;

    if (fstat(from, &st) < 0) memset(&st, 0, sizeof(st));
    diskio_fd_path(from, path2);
    for (size_t done = 0; done < len;) {
        size_t want = len - done < max ? len - done : max;
        buf_reset(&block);
        buf_ensure(&block, want);
        ssize_t n = pread(from, block.s, want, fromoff + (off_t)done);
        if (n <= 0) break;
        struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_COPY,
                                        .ino2 = st.st_ino,
                                        .offset = (uint64_t)tooff + done,
                                        .extra = (uint64_t)fromoff + done,
                                        .path2 = path2,
                                        .data = block.s,
                                        .datalen = (size_t)n };
        note_fd(&rec, to);
        done += (size_t)n;
    }
    buf_free(&block);
}

static int record_clone(int to, int from)
{
    struct stat st;
    int r = diskio_real_ops.clone(to, from);

    if (!r && !fstat(from, &st)) {
        note_length(to, st.st_size);
        note_copy(from, 0, to, 0, (size_t)st.st_size);
    }
    return r;
}

static ssize_t record_copyrange(int from, off_t fromoff, int to, off_t tooff, size_t len)
{
    ssize_t r = diskio_real_ops.copyrange(from, fromoff, to, tooff, len);

    if (r > 0) note_copy(from, fromoff, to, tooff, (size_t)r);
    return r;
}

/* -- syncs -- */

static int record_sync(int fd, enum diskio_trace_kind kind, int (*call)(int))
{
    note_fd(&(struct diskio_trace_rec){ .kind = DISKIO_TRACE_SYNC_BEGIN, .offset = kind }, fd);
    int r = call(fd);
    if (!r) note_fd(&(struct diskio_trace_rec){ .kind = kind }, fd);
    return r;
}

static int record_fsync(int fd)
{
    return record_sync(fd, DISKIO_TRACE_FSYNC, diskio_real_ops.fsync);
}

static int record_fdatasync(int fd)
{
    return record_sync(fd, DISKIO_TRACE_FDATASYNC, diskio_real_ops.fdatasync);
}

static int record_syncfs(int fd)
{
    return record_sync(fd, DISKIO_TRACE_SYNCFS, diskio_real_ops.syncfs);
}

/* -- names -- */

static int record_rename(const char *from, const char *to)
{
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_RENAME };
    struct stat st;

    if (!lstat(to, &st)) rec.ino2 = st.st_ino;
    if (!lstat(from, &st)) set_inode(&rec, &st);
    int r = diskio_real_ops.rename(from, to);
    if (!r) note_paths(&rec, from, to);
    return r;
}

static int record_link(const char *from, const char *to)
{
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_LINK };
    struct stat st;
    int r = diskio_real_ops.link(from, to);

    if (r) return r;
    if (!lstat(to, &st)) set_inode(&rec, &st);
    note_paths(&rec, from, to);
    return 0;
}

static int record_symlink(const char *target, const char *path)
{
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_SYMLINK,
                                    .data = target,
                                    .datalen = strlen(target) };
    struct stat st;
    int r = diskio_real_ops.symlink(target, path);

    if (r) return r;
    if (!lstat(path, &st)) set_inode(&rec, &st);
    note_paths(&rec, path, NULL);
    return 0;
}

static int record_remove(enum diskio_trace_kind kind, const char *path, int (*call)(const char *))
{
    struct diskio_trace_rec rec = { .kind = kind };
    struct stat st;

    if (!lstat(path, &st)) set_inode(&rec, &st);
    int r = call(path);
    if (!r) note_paths(&rec, path, NULL);
    return r;
}

static int record_unlink(const char *path)
{
    return record_remove(DISKIO_TRACE_UNLINK, path, diskio_real_ops.unlink);
}

static int record_rmdir(const char *path)
{
    return record_remove(DISKIO_TRACE_RMDIR, path, diskio_real_ops.rmdir);
}

static int record_mkdir(const char *path, mode_t mode)
{
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_MKDIR };
    struct stat st;
    int r = diskio_real_ops.mkdir(path, mode);

    if (r) return r;
    if (!lstat(path, &st)) {
        set_inode(&rec, &st);
        rec.offset = st.st_mode & 07777;
    }
    note_paths(&rec, path, NULL);
    return 0;
}

/* -- attributes -- */

static int record_utimens(int fd, const char *path, const struct timespec times[2])
{
    int r = diskio_real_ops.utimens(fd, path, times);
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_UTIME };
    struct stat st;

    if (r || (fd >= 0 ? fstat(fd, &st) : stat(path, &st)) < 0) return r;
    set_inode(&rec, &st);
    rec.offset = (uint64_t)st.st_mtim.tv_sec;
    rec.number = (uint64_t)st.st_mtim.tv_nsec;
    if (fd >= 0)
        note_fd(&rec, fd);
    else
        note_paths(&rec, path, NULL);
    return 0;
}

static int record_chmod(const char *path, mode_t mode)
{
    struct diskio_trace_rec rec = { .kind = DISKIO_TRACE_CHMOD, .offset = mode };
    struct stat st;
    int r = diskio_real_ops.chmod(path, mode);

    if (r) return r;
    if (!stat(path, &st)) set_inode(&rec, &st);
    note_paths(&rec, path, NULL);
    return 0;
}

static void record_marker(const char *text)
{
    note(&(struct diskio_trace_rec){
        .kind = DISKIO_TRACE_MARKER, .data = text, .datalen = strlen(text) });
}

static const struct diskio_ops *record_table(void)
{
    static struct diskio_ops ops;

    ops = diskio_real_ops;
    ops.open = record_open;
    ops.pwritev = record_pwritev;
    ops.writev = record_writev;
    ops.ftruncate = record_ftruncate;
    ops.fallocate = record_fallocate;
    ops.fsync = record_fsync;
    ops.fdatasync = record_fdatasync;
    ops.syncfs = record_syncfs;
    ops.rename = record_rename;
    ops.link = record_link;
    ops.symlink = record_symlink;
    ops.unlink = record_unlink;
    ops.mkdir = record_mkdir;
    ops.rmdir = record_rmdir;
    ops.utimens = record_utimens;
    ops.chmod = record_chmod;
    ops.clone = record_clone;
    ops.copyrange = record_copyrange;
    ops.marker = record_marker;
    return &ops;
}

int diskio_record_start(const char *path, const struct diskio_ops **ops)
{
    char full[PATH_MAX];

    diskio_record_stop();
    path = absolute(path, full);
    if (strlen(path) >= sizeof(trace.path)) return -ENAMETOOLONG;
    memcpy(trace.path, path, strlen(path) + 1);
    int r = open_trace();
    if (!r) *ops = record_table();
    return r;
}

void diskio_record_stop(void)
{
    if (trace.fd >= 0) close(trace.fd);
    trace.fd = -1;
}
