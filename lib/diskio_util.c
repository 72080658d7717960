/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_util -- disk work that takes several calls: directories with their
 * parents, temporary files, copies, mapped files
 *
 * Everything here is made of the single calls of diskio.c and fails as they do: 0
 * or -errno, nothing logged. What fails half-way leaves no temporary file behind.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "diskio_private.h"
#include "makeuuid.h"
#include "xmalloc.h"

/* -- attributes -- */

int diskio_setattr(int fd, const char *name, const void *value, size_t len)
{
    return fsetxattr(fd, name, value, len, 0) ? -errno : 0;
}

ssize_t diskio_getattr(int fd, const char *name, void *value, size_t size)
{
    ssize_t n = fgetxattr(fd, name, value, size);

    return n < 0 ? -errno : n;
}

/* -- directories -- */

/* The directory part of path in place of it; 0 when there is none. */
static bool cut_to_parent(char *path)
{
    char *end = path + strlen(path);

    while (end > path && end[-1] == '/') end--;
    while (end > path && end[-1] != '/') end--;
    while (end > path && end[-1] == '/') end--;
    *end = '\0';
    return end > path;
}

static int mkdir_or_there(const char *path, mode_t mode)
{
    struct stat st;
    int r = diskio_mkdir(path, mode);

    if (r == -EEXIST && !diskio_stat(path, &st) && S_ISDIR(st.st_mode)) return 0;
    return r;
}

int diskio_mkparents(const char *path, mode_t mode)
{
    char *dir = xstrdup(path);
    int r = 0;

    if (cut_to_parent(dir)) {
        r = mkdir_or_there(dir, mode);
        if (r == -ENOENT) {
            r = diskio_mkparents(dir, mode);
            if (!r) r = mkdir_or_there(dir, mode);
        }
    }
    free(dir);
    return r;
}

int diskio_mkdirs(const char *path, mode_t mode)
{
    int r = mkdir_or_there(path, mode);

    if (r == -ENOENT) {
        r = diskio_mkparents(path, 0755);
        if (!r) r = mkdir_or_there(path, mode);
    }
    return r;
}

int diskio_rmparents(const char *path, const char *stop)
{
    char *dir = xstrdup(path);
    size_t stoplen = strlen(stop);

    while (stoplen && stop[stoplen - 1] == '/') stoplen--;
    while (cut_to_parent(dir) && strlen(dir) > stoplen && !strncmp(dir, stop, stoplen) &&
           dir[stoplen] == '/') {
        if (diskio_rmdir(dir)) break;
    }
    free(dir);
    return 0;
}

int diskio_unlink_quiet(const char *path)
{
    int r = diskio_unlink(path);
    return r == -ENOENT ? 0 : r;
}

int diskio_sync_dir(const char *dir)
{
    int fd = diskio_open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return fd;

    int r = diskio_fsync(fd);
    diskio_close(fd);
    return r;
}

int diskio_sync_parent(const char *path)
{
    char *dir = xstrdup(path);
    const char *name = dir;

    if (!cut_to_parent(dir)) name = *path == '/' ? "/" : ".";
    int r = diskio_sync_dir(name);
    free(dir);
    return r;
}

int diskio_setmtime(const char *path, time_t t)
{
    struct timespec times[2] = { { .tv_sec = t }, { .tv_sec = t } };
    return diskio_utime(path, times);
}

int diskio_space(const char *dir, struct diskio_space *space)
{
    struct statvfs vfs;

    if (diskio_ops_now->statvfs(dir, &vfs)) return -errno;
    uint64_t unit = vfs.f_frsize ? vfs.f_frsize : vfs.f_bsize;
    space->avail = (uint64_t)vfs.f_bavail * unit;
    space->total = (uint64_t)vfs.f_blocks * unit;
    return 0;
}

/* -- temporary files -- */

/* Replaces the six X at the end until the name is new. */
static int open_unique(char *tmpl, mode_t mode)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t len = strlen(tmpl);

    if (len < 6 || strcmp(tmpl + len - 6, "XXXXXX")) return -EINVAL;
    for (int tries = 0; tries < 100; tries++) {
        unsigned char bytes[6];
        random_bytes(bytes, sizeof(bytes));
        for (size_t i = 0; i < 6; i++) tmpl[len - 6 + i] = letters[bytes[i] % 36];
        int fd = diskio_open(tmpl, O_RDWR | O_CREAT | O_EXCL, mode);
        if (fd != -EEXIST) return fd;
    }
    return -EEXIST;
}

int diskio_mkstemp(char *tmpl)
{
    return open_unique(tmpl, 0600);
}

/* -- copies -- */

/* True for what a file system answers when it can't do it the fast way. */
static bool not_here(int r)
{
    return r == -EXDEV || r == -EINVAL || r == -EOPNOTSUPP || r == -ENOSYS || r == -ENOTTY ||
           r == -EBADF;
}

/* Through memory; the count or -errno. */
static int64_t copy_bytes(int from, uint64_t fromoff, int to, uint64_t tooff, uint64_t len)
{
    size_t blocksize = 256 * 1024;
    char *block = xmalloc(blocksize);
    uint64_t done = 0;
    int r = 0;

    while (done < len && !r) {
        size_t want = len - done < blocksize ? (size_t)(len - done) : blocksize;
        ssize_t got = diskio_pread(from, block, want, fromoff + done);
        if (got < 0) r = (int)got;
        if (got <= 0) break;
        r = diskio_pwrite(to, block, (size_t)got, tooff + done);
        done += (uint64_t)got;
    }
    free(block);
    return r ? r : (int64_t)done;
}

int64_t diskio_copyrange(int from, uint64_t fromoff, int to, uint64_t tooff, uint64_t len)
{
    uint64_t done = 0;

    while (done < len) {
        size_t want = len - done < 0x40000000 ? (size_t)(len - done) : 0x40000000;
        ssize_t r;
        DISKIO_RETRY(r, DISKIO_COPYRANGE, true,
                     diskio_ops_now->copyrange(from, (off_t)(fromoff + done), to,
                                               (off_t)(tooff + done), want));
        if (r < 0 && !done && not_here(-errno)) return copy_bytes(from, fromoff, to, tooff, len);
        if (r < 0) return -errno;
        if (!r) break;
        done += (uint64_t)r;
    }
    return (int64_t)done;
}

static int copy_content(int from, int to, const struct stat *st, unsigned flags)
{
    int r;

    DISKIO_RETRY(r, DISKIO_CLONE, false, diskio_ops_now->clone(to, from));
    if (r < 0) {
        if (!not_here(-errno)) return -errno;
        int64_t n = diskio_copyrange(from, 0, to, 0, UINT64_MAX);
        if (n < 0) return (int)n;
    }
    if (flags & DISKIO_COPY_TIMES) {
        struct timespec times[2] = { st->st_atim, st->st_mtim };
        r = diskio_futime(to, times);
        if (r) return r;
    }
    return flags & DISKIO_COPY_SYNC ? diskio_fsync(to) : 0;
}

/* Gives the finished file its name; tmp is gone afterwards, either way. */
static int name_copy(const char *tmp, const char *to, unsigned flags)
{
    int r = flags & DISKIO_COPY_REPLACE ? diskio_rename(tmp, to) : diskio_link(tmp, to);

    /* A rename does nothing when both names are of one inode. */
    if (r || !(flags & DISKIO_COPY_REPLACE) || (flags & DISKIO_COPY_LINK)) diskio_unlink_quiet(tmp);
    return r;
}

static int link_copy(const char *from, const char *to, unsigned flags)
{
    int r = diskio_link(from, to);

    if (r != -EEXIST || !(flags & DISKIO_COPY_REPLACE)) return r;

    char id[UNIQUEID_SHORT_LEN];
    char *tmp = xasprintf("%s.%.6s", to, makeuniqueid_short(id));
    r = diskio_link(from, tmp);
    if (!r) r = name_copy(tmp, to, flags);
    free(tmp);
    return r;
}

static int byte_copy(const char *from, const char *to, unsigned flags)
{
    struct stat st;
    int r;
    int in = diskio_open(from, O_RDONLY, 0);
    if (in < 0) return in;

    char *tmp = xasprintf("%s.XXXXXX", to);
    int out = -1;
    r = diskio_fstat(in, &st);
    if (!r) r = out = open_unique(tmp, st.st_mode & 0777);
    if (r >= 0) {
        r = copy_content(in, out, &st, flags);
        int closed = diskio_close(out);
        if (!r) r = closed;
        if (!r)
            r = name_copy(tmp, to, flags);
        else
            diskio_unlink_quiet(tmp);
    }
    diskio_close(in);
    free(tmp);
    return r;
}

int diskio_copyfile(const char *from, const char *to, unsigned flags)
{
    int r = 0;

    if (flags & DISKIO_COPY_MKPARENTS) r = diskio_mkparents(to, 0755);
    if (r) return r;

    if (flags & DISKIO_COPY_LINK) {
        r = link_copy(from, to, flags);
        if (r != -EXDEV && r != -EMLINK && r != -EPERM) return r;
    }
    return byte_copy(from, to, flags);
}

/* -- mapped reading -- */

void diskio_map_free(struct diskio_map *map)
{
    if (map->base) munmap((void *)(uintptr_t)map->base, map->maplen);
    *map = (struct diskio_map)DISKIO_MAP_INITIALIZER;
}

int diskio_map_refresh(struct diskio_map *map, int fd, size_t len)
{
    if (len > map->maplen) {
        /* Room to grow, so that a file that gets appended to is not mapped each time. */
        if (len > SIZE_MAX / 4) return -EFBIG;
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t want = (len + len / 8 + 4 * page) / page * page;
        void *base = mmap(NULL, want, PROT_READ, MAP_SHARED, fd, 0);
        diskio_count(DISKIO_MMAP, base == MAP_FAILED ? -1 : 0, false);
        if (base == MAP_FAILED) return -errno;
        diskio_map_free(map);
        map->base = base;
        map->maplen = want;
    }
    map->len = len;
    return 0;
}

int diskio_map_file(const char *path, struct diskio_map *map, struct stat *st)
{
    struct stat mine;

    *map = (struct diskio_map)DISKIO_MAP_INITIALIZER;
    int fd = diskio_open(path, O_RDONLY, 0);
    if (fd < 0) return fd;

    int r = diskio_fstat(fd, &mine);
    if (!r) r = diskio_map_refresh(map, fd, (size_t)mine.st_size);
    if (!r && st) *st = mine;
    diskio_close(fd);
    return r;
}

bool diskio_can_create(const char *dir)
{
    char *at = xstrdup(dir);
    char *slash;

    bool yes;
    while (!(yes = !access(at, W_OK | X_OK)) && errno == ENOENT && (slash = strrchr(at, '/')) && slash != at)
        *slash = '\0';
    free(at);
    return yes;
}

/* -- whole files -- */

int diskio_replacefile(const char *path, const void *base, size_t len)
{
    char *tmp = xasprintf("%s.NEW", path);
    int r = diskio_mkparents(path, 0755);
    int fd = r ? r : diskio_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0640);

    if (fd < 0) {
        r = fd;
    }
    else {
        r = diskio_write(fd, base, len);
        if (!r) r = diskio_fsync(fd);
        diskio_close(fd);
    }
    if (!r) r = diskio_rename(tmp, path);
    if (!r) r = diskio_sync_parent(path);
    free(tmp);
    return r;
}
