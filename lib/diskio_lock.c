/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_lock -- record locks on files
 *
 * fcntl(2) locks belong to the process, and all locks that it has on a file go when
 * it closes any descriptor of that file: a process must have a locked file open
 * only once. They are the locks that the tools of a packaged 3.6.1 respect.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "diskio.h"
#include "diskio_private.h"
#include "lockwatch.h"

static short fcntl_type(enum diskio_lock type)
{
    static const short types[] = { F_UNLCK, F_RDLCK, F_WRLCK };
    return types[type];
}

static int refused(int error)
{
    return error == EACCES || error == EAGAIN ? -EWOULDBLOCK : -error;
}

/* limit: seconds after which a wait that neither flag keeps short ends. */
static int lock_range(int fd, enum diskio_lock type, unsigned flags, unsigned limit, uint64_t off, uint64_t len)
{
    if (off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX) return -EOVERFLOW;

    struct flock fl = { .l_type = fcntl_type(type), .l_whence = SEEK_SET, .l_start = (off_t)off, .l_len = (off_t)len };
    bool interruptible = flags & DISKIO_LOCK_INTERRUPTIBLE;
    int r = fcntl(fd, interruptible ? F_SETLKW : F_SETLK, &fl);
    diskio_count(DISKIO_LOCK, r, false);
    if (!r) return 0;
    r = refused(errno);
    if (r != -EWOULDBLOCK || interruptible || (flags & DISKIO_LOCK_NONBLOCK)) return r;
    return lockwatch_wait(fd, &fl, limit);
}

int diskio_lock_range(int fd, enum diskio_lock type, unsigned flags, uint64_t off, uint64_t len)
{
    return lock_range(fd, type, flags, LOCKWATCH_LIMIT, off, len);
}

int diskio_lock_within(int fd, enum diskio_lock type, unsigned limit, uint64_t off, uint64_t len)
{
    return lock_range(fd, type, 0, limit, off, len);
}

int diskio_lock(int fd, enum diskio_lock type, unsigned flags)
{
    return diskio_lock_range(fd, type, flags, 0, 0);
}

pid_t diskio_lock_holder(int fd, enum diskio_lock type)
{
    return diskio_lock_holder_range(fd, type, 0, 0);
}

pid_t diskio_lock_holder_range(int fd, enum diskio_lock type, uint64_t off, uint64_t len)
{
    struct flock fl = { .l_type = fcntl_type(type), .l_whence = SEEK_SET, .l_start = (off_t)off, .l_len = (off_t)len };

    if (fcntl(fd, F_GETLK, &fl) < 0) return -errno;
    return fl.l_type == F_UNLCK ? 0 : fl.l_pid > 0 ? fl.l_pid : INT_MAX;
}

int diskio_lock_reopen(int *fd, const char *path, int openflags, enum diskio_lock type,
                       unsigned flags, bool *reopened, struct stat *st)
{
    struct stat mine, named;

    if (reopened) *reopened = false;
    for (;;) {
        int r = diskio_lock(*fd, type, flags);
        if (r) return r;
        r = diskio_fstat(*fd, &mine);
        if (!r) r = diskio_stat(path, &named);
        if (!r && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino) {
            if (st) *st = mine;
            return 0;
        }

        diskio_lock(*fd, DISKIO_UNLOCK, 0);
        if (r) return r;
        int newfd = diskio_open(path, openflags & ~(O_CREAT | O_EXCL | O_TRUNC), 0);
        if (newfd < 0) return newfd;
        diskio_close(*fd);
        *fd = newfd;
        if (reopened) *reopened = true;
    }
}
