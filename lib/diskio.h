/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio -- the one door to the disk
 *
 * Everything that changes stored data goes through here and nowhere else, so that
 * it can be counted, made to fail, and recorded. Functions return 0 (or the named
 * value >= 0) or -errno; they log nothing: the caller knows what the file was for.
 * EINTR and short counts never reach the caller. Offsets and lengths are bytes.
 * Descriptors are close-on-exec.
 *
 * A failed sync is final: the kernel may have dropped the pages. Never call it
 * again in the hope of a better answer.
 */
#ifndef CYL_DISKIO_H
#define CYL_DISKIO_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* -- files -- */
/* open(2) with O_CLOEXEC; the descriptor or -errno. */
int diskio_open(const char *path, int flags, mode_t mode);
/* A new file that must not exist, for reading and writing: O_RDWR|O_CREAT|O_EXCL. */
int diskio_create(const char *path, mode_t mode);
/*
 * A new file for writing under a fresh name: template ends in XXXXXX, which is
 * replaced. Mode 0600. The descriptor or -errno.
 */
int diskio_mkstemp(char *tmpl);
/* Closes; a negative fd is 0. An error means that earlier writes may be lost. */
int diskio_close(int fd);

/* Reads at most len bytes at off, fewer only at the end of file; the count or -errno. */
ssize_t diskio_pread(int fd, void *buf, size_t len, uint64_t off);
/* As above, but fewer than len bytes is -ENODATA; 0 or -errno. */
int diskio_pread_full(int fd, void *buf, size_t len, uint64_t off);
/* Reads at the file position; the count (fewer only at the end) or -errno. */
ssize_t diskio_read(int fd, void *buf, size_t len);

/* Writes all bytes at off; 0 or -errno. After an error part of them may be there. */
int diskio_pwrite(int fd, const void *buf, size_t len, uint64_t off);
int diskio_pwritev(int fd, const struct iovec *iov, int n, uint64_t off);
/* Writes all bytes at the file position (at the end with O_APPEND). */
int diskio_write(int fd, const void *buf, size_t len);
int diskio_writev(int fd, const struct iovec *iov, int n);

int diskio_ftruncate(int fd, uint64_t len);
/*
 * fallocate(2) with its mode bits; 0 in mode grows the file. -EOPNOTSUPP where the file system
 * can't.
 */
int diskio_fallocate(int fd, int mode, uint64_t off, uint64_t len);
/* Position of the next diskio_read/write, by lseek(2) rules; the new position or -errno. */
int64_t diskio_lseek(int fd, int64_t off, int whence);

/* -- durability -- */
int diskio_fsync(int fd);
/* Data and what is needed to read it back (size), not times. */
int diskio_fdatasync(int fd);
/* The whole file system that fd is on. */
int diskio_syncfs(int fd);
/* Which one a path is on, by what the kernel knows of it without asking the device. */
int diskio_device(const char *path, dev_t *dev);
/* fsync of a directory: makes the names in it durable. */
int diskio_sync_dir(const char *dir);
/* fsync of the directory that holds path. */
int diskio_sync_parent(const char *path);
/* Starts write-back of the range without waiting; no promise of durability. */
int diskio_writeback(int fd, uint64_t off, uint64_t len);

/* -- names -- */
int diskio_rename(const char *from, const char *to);
int diskio_link(const char *from, const char *to);
int diskio_symlink(const char *target, const char *path);
int diskio_unlink(const char *path);
/* As unlink, but a name that is not there is 0. */
int diskio_unlink_quiet(const char *path);
int diskio_mkdir(const char *path, mode_t mode);
/* mkdir with all parents (mode 0755 as umask allows); a directory that is there is 0. */
int diskio_mkdirs(const char *path, mode_t mode);
/* Makes the directories above path ("a/b/c": a and a/b). */
int diskio_mkparents(const char *path, mode_t mode);
int diskio_rmdir(const char *path);
/*
 * rmdir of the directories above path as long as they are empty, up to but not including
 * `stop`. Always 0.
 */
int diskio_rmparents(const char *path, const char *stop);

/* -- attributes -- */
int diskio_stat(const char *path, struct stat *st);
int diskio_lstat(const char *path, struct stat *st);
int diskio_fstat(int fd, struct stat *st);
/* Size of an open file, or -errno. */
int64_t diskio_size(int fd);
/* atime and mtime. */
int diskio_utime(const char *path, const struct timespec times[2]);
int diskio_futime(int fd, const struct timespec times[2]);
/* Both to whole UTC seconds. */
int diskio_setmtime(const char *path, time_t t);
int diskio_chmod(const char *path, mode_t mode);

/*
 * Extended attributes of an open file; the value goes with the file, not with its name. -EOPNOTSUPP: the file
 * system has none. getattr: how many bytes, -ENODATA: there is none, -ERANGE: they are more.
 */
int diskio_setattr(int fd, const char *name, const void *value, size_t len);
ssize_t diskio_getattr(int fd, const char *name, void *value, size_t size);

/* -- room -- */
/* The file system of dir: what is there for us and what it has in all; 0 or -errno. */
struct diskio_space {
    uint64_t avail, total; /* bytes */
};
int diskio_space(const char *dir, struct diskio_space *space);

/* -- copies -- */
#define DISKIO_COPY_REPLACE 1u /* an existing `to` is replaced (else -EEXIST) */
#define DISKIO_COPY_TIMES 2u   /* keep atime and mtime */
#define DISKIO_COPY_SYNC 4u    /* fsync the copy before it gets its name */
#define DISKIO_COPY_LINK 8u    /* a hard link when that is possible */
#define DISKIO_COPY_MKPARENTS 16u
/*
 * Copies a file: by sharing its blocks (reflink) where the file system can, else
 * its bytes. The name `to` appears only when the copy is whole.
 */
int diskio_copyfile(const char *from, const char *to, unsigned flags);
/* Copies len bytes (UINT64_MAX: to the end) between open files; the count or -errno. */
int64_t diskio_copyrange(int from, uint64_t fromoff, int to, uint64_t tooff, uint64_t len);

/*
 * path, with its directories, has these bytes and no others, durably, or is as it was; the new ones are in
 * path.NEW until then, so one process at a time. Mode 0640.
 */
int diskio_replacefile(const char *path, const void *base, size_t len);

/* -- mapped reading -- */
/*
 * A read-only shared mapping of bytes [0, len). Bytes beyond the end of file must not be
 * touched.
 */
struct diskio_map {
    const char *base; /* NULL when len is 0 */
    size_t len;       /* bytes asked for */
    size_t maplen;    /* bytes mapped */
};
#define DISKIO_MAP_INITIALIZER { NULL, 0, 0 }
/*
 * Maps, or sets the length anew when the file has grown or shrunk (base may
 * move); 0 or -errno. Always the same file: free first when it was replaced.
 */
int diskio_map_refresh(struct diskio_map *map, int fd, size_t len);
void diskio_map_free(struct diskio_map *map);
/* The directory, or the nearest one above it that is there, lets this process make files. */
bool diskio_can_create(const char *dir);
/* Whole file by name; 0 or -errno. `st` may be NULL. Free with diskio_map_free. */
int diskio_map_file(const char *path, struct diskio_map *map, struct stat *st);

/* -- locks: fcntl(2) record locks --
 * They belong to the process and are gone when it closes any descriptor of that
 * file, also one that diskio_map_file or diskio_copyfile opened on the way. */
enum diskio_lock { DISKIO_UNLOCK, DISKIO_LOCK_SHARED, DISKIO_LOCK_EXCLUSIVE };
#define DISKIO_LOCK_NONBLOCK 1u      /* -EWOULDBLOCK instead of waiting */
#define DISKIO_LOCK_INTERRUPTIBLE 2u /* -EINTR when a caught signal comes while waiting */
/*
 * A wait is watched (lockwatch.h): a stopped holder is continued, any other named in the log, and after LOCKWATCH_LIMIT
 * seconds the answer is -ETIMEDOUT; _within: after `limit` seconds, 0: never.
 */
/* The whole file. */
int diskio_lock(int fd, enum diskio_lock type, unsigned flags);
int diskio_lock_range(int fd, enum diskio_lock type, unsigned flags, uint64_t off, uint64_t len);
int diskio_lock_within(int fd, enum diskio_lock type, unsigned limit, uint64_t off, uint64_t len);
/*
 * Locks the file that path names now: when it was replaced since *fd was opened,
 * opens it again (flags as diskio_open, without O_CREAT) and locks that. *reopened
 * (may be NULL) tells whether *fd is new. -ENOENT when the name is gone. On error
 * *fd stays open and nothing is locked. st (may be NULL) gets the attributes under the lock.
 */
int diskio_lock_reopen(int *fd, const char *path, int openflags, enum diskio_lock type,
                       unsigned flags, bool *reopened, struct stat *st);
/* Pid of a process that holds a lock that conflicts with that type (INT_MAX: it can't be seen from here), 0 for none, or -errno. */
pid_t diskio_lock_holder(int fd, enum diskio_lock type);
pid_t diskio_lock_holder_range(int fd, enum diskio_lock type, uint64_t off, uint64_t len);

/* -- counts -- */
enum diskio_kind {
    DISKIO_OPEN, DISKIO_CLOSE, DISKIO_PREAD, DISKIO_READ, DISKIO_PWRITE, DISKIO_WRITE,
    DISKIO_FTRUNCATE, DISKIO_FALLOCATE, DISKIO_FSYNC, DISKIO_FDATASYNC, DISKIO_SYNCFS,
    DISKIO_RENAME, DISKIO_LINK, DISKIO_SYMLINK, DISKIO_UNLINK, DISKIO_MKDIR, DISKIO_RMDIR,
    DISKIO_STAT, DISKIO_UTIME, DISKIO_CHMOD, DISKIO_CLONE, DISKIO_COPYRANGE, DISKIO_MMAP,
    DISKIO_LOCK,
    DISKIO_NKINDS
};
/* System calls of this process by kind; bytes where bytes are moved. Failed calls count too. */
struct diskio_counters {
    uint64_t calls[DISKIO_NKINDS];
    uint64_t bytes[DISKIO_NKINDS];
    uint64_t errors;
};
const struct diskio_counters *diskio_counters(void);
void diskio_counters_reset(void);
/* fsync + fdatasync + syncfs. */
uint64_t diskio_counters_syncs(void);
/* "pwrite", "append" (a write at the file position), "fsync", ...; the kind of a name, or -1. */
const char *diskio_kind_name(enum diskio_kind kind);
int diskio_kind_byname(const char *name);
struct buf;
/* Appends the kinds that are not 0: "open=3 pwrite=2/8192 errors=1"; bytes stand behind a slash. */
void diskio_counters_text(struct buf *dst);
/*
 * One syslog line (LOG_INFO) with the kinds that are not 0: "diskio: WHAT: open=3
 * pwrite=2/8192 ...".
 */
void diskio_counters_log(const char *what);

/* -- for tests -- */
/* The system calls themselves: each does one call and returns as that does (-1 and errno). */
struct diskio_ops {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *buf, size_t len, off_t off);
    ssize_t (*read)(int fd, void *buf, size_t len);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t off);
    ssize_t (*writev)(int fd, const struct iovec *iov, int n);
    int (*ftruncate)(int fd, off_t len);
    int (*fallocate)(int fd, int mode, off_t off, off_t len);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*syncfs)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*link)(const char *from, const char *to);
    int (*symlink)(const char *target, const char *path);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rmdir)(const char *path);
    int (*utimens)(int fd, const char *path, const struct timespec times[2]); /* fd -1: by path */
    int (*chmod)(const char *path, mode_t mode);
    int (*clone)(int to, int from);
    ssize_t (*copyrange)(int from, off_t fromoff, int to, off_t tooff, size_t len);
    int (*statvfs)(const char *path, struct statvfs *vfs);
    int (*stat)(const char *path, struct stat *st);
    int (*lstat)(const char *path, struct stat *st);
    int (*device)(const char *path, dev_t *dev);
    void (*marker)(const char *text);
};
extern const struct diskio_ops diskio_real_ops;
/*
 * Replaces the system calls (NULL: the real ones); returns what was in place. The struct is
 * borrowed.
 */
const struct diskio_ops *diskio_set_ops(const struct diskio_ops *ops);

/*
 * Notes in the trace that something happened outside the disk, such as "answered
 * 250". Does nothing unless a test records.
 */
void diskio_marker(const char *text);

#endif
