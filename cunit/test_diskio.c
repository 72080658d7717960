/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_diskio -- the door to the disk: whole reads and writes whatever the kernel
 * does, copies that appear whole or not at all, locks that follow a replaced file
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diskio.h"
#include "signals.h"
#include "testutil.h"
#include "xmalloc.h"

static char *dir;

static void setup(void)
{
    dir = test_mkdtemp();
}

static void teardown(void)
{
    diskio_set_ops(NULL);
    test_rmdir(dir);
}

static void assert_content(const char *path, const char *want)
{
    struct buf got = BUF_INITIALIZER;

    test_readfile(path, &got);
    ck_assert_bytes_eq(got.s, got.len, want, strlen(want));
    buf_free(&got);
}

/* How many names the directory holds. */
static int count_names(const char *path)
{
    char *cmd = xasprintf("ls -A '%s' | wc -l", path);
    FILE *p = popen(cmd, "r");
    int n = -1;

    ck_assert_int_eq(fscanf(p, "%d", &n), 1);
    pclose(p);
    free(cmd);
    return n;
}

/* -- a kernel that does things by halves -- */

static int turn;

static ssize_t stingy_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    if (turn++ % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    while (n && !iov->iov_len) iov++, n--;
    size_t len = iov->iov_len > 7 ? 7 : iov->iov_len;
    return pwrite(fd, iov->iov_base, len, off);
}

static ssize_t stingy_writev(int fd, const struct iovec *iov, int n)
{
    if (turn++ % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    while (n && !iov->iov_len) iov++, n--;
    return write(fd, iov->iov_base, 1);
}

static ssize_t stingy_pread(int fd, void *buf, size_t len, off_t off)
{
    if (turn++ % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return pread(fd, buf, len > 5 ? 5 : len, off);
}

static ssize_t stingy_read(int fd, void *buf, size_t len)
{
    return read(fd, buf, len > 5 ? 5 : len);
}

START_TEST(test_short_counts)
{
    struct diskio_ops stingy = diskio_real_ops;
    char *path = test_path(dir, "f");
    char data[500], back[600];
    struct iovec iov[200];

    stingy.pwritev = stingy_pwritev;
    stingy.writev = stingy_writev;
    stingy.pread = stingy_pread;
    stingy.read = stingy_read;
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (char)(i * 31);
    /* Pieces of 0 to 5 bytes, in two calls' worth of pieces. */
    size_t len = 0;
    for (int i = 0; i < 200; i++) {
        iov[i].iov_base = data + len;
        iov[i].iov_len = (size_t)(i % 6);
        len += iov[i].iov_len;
    }

    ck_assert_ptr_eq(diskio_set_ops(&stingy), &diskio_real_ops);
    int fd = diskio_create(path, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(diskio_pwritev(fd, iov, 200, 10), 0);
    ck_assert_int_eq(diskio_size(fd), (int64_t)len + 10);
    ck_assert_int_eq(diskio_pread(fd, back, sizeof(back), 10), (ssize_t)len);
    ck_assert_bytes_eq(back, len, data, len);
    ck_assert_int_eq(diskio_pread_full(fd, back, len, 10), 0);
    ck_assert_int_eq(diskio_pread_full(fd, back, len + 1, 10), -ENODATA);
    ck_assert_int_eq(diskio_pread(fd, back, 1, len + 10), 0);

    ck_assert_int_eq(diskio_ftruncate(fd, 0), 0);
    ck_assert_int_eq(diskio_write(fd, data, 100), 0);
    ck_assert_int_eq(diskio_writev(fd, iov, 3), 0);
    ck_assert_int_eq(diskio_write(fd, "", 0), 0);
    ck_assert_int_eq(diskio_lseek(fd, 0, SEEK_CUR), 103);
    ck_assert_int_eq(diskio_lseek(fd, 50, SEEK_SET), 50);
    ck_assert_int_eq(diskio_read(fd, back, sizeof(back)), 53);
    ck_assert_bytes_eq(back, 50, data + 50, 50);
    ck_assert_bytes_eq(back + 50, 3, data, 3);
    ck_assert_int_eq(diskio_close(fd), 0);
    ck_assert_int_eq(diskio_close(fd), -EBADF);
    ck_assert_int_eq(diskio_close(-1), 0);
    free(path);
}
END_TEST

static ssize_t full_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    if (turn++ == 0) return pwrite(fd, iov->iov_base, 3, off);
    errno = ENOSPC;
    return -1;
}

static ssize_t zero_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    return 0;
}

START_TEST(test_errors)
{
    struct diskio_ops broken = diskio_real_ops;
    char *path = test_path(dir, "f");
    char *missing = test_path(dir, "no/such");

    int fd = diskio_create(path, 0644);
    ck_assert_int_eq(diskio_create(path, 0644), -EEXIST);
    ck_assert_int_eq(diskio_open(missing, O_RDONLY, 0), -ENOENT);
    broken.pwritev = full_pwritev;
    diskio_set_ops(&broken);
    ck_assert_int_eq(diskio_pwrite(fd, "abcdef", 6, 0), -ENOSPC);
    broken.pwritev = zero_pwritev;
    ck_assert_int_eq(diskio_pwrite(fd, "abcdef", 6, 0), -EIO);
    ck_assert_ptr_eq(diskio_set_ops(NULL), &broken);
    assert_content(path, "abc");
    ck_assert_int_eq(diskio_pwrite(fd, "x", 1, UINT64_MAX), -EFBIG);
    ck_assert_int_eq(diskio_ftruncate(fd, UINT64_MAX), -EFBIG);
    ck_assert_int_eq(diskio_futime(-1, NULL), -EBADF);
    diskio_close(fd);
    ck_assert_int_eq(diskio_fsync(fd), -EBADF);
    ck_assert_int_eq(diskio_fdatasync(fd), -EBADF);
    ck_assert_int_eq(diskio_syncfs(fd), -EBADF);
    ck_assert_int_eq(diskio_rename(missing, path), -ENOENT);
    ck_assert_int_eq(diskio_link(path, path), -EEXIST);
    ck_assert_int_eq(diskio_unlink(missing), -ENOENT);
    ck_assert_int_eq(diskio_unlink_quiet(missing), 0);
    ck_assert_int_eq(diskio_unlink_quiet(dir), -EISDIR);
    ck_assert_int_eq(diskio_rmdir(path), -ENOTDIR);
    ck_assert_int_eq(diskio_mkdir(missing, 0755), -ENOENT);
    free(path);
    free(missing);
}
END_TEST

START_TEST(test_space)
{
    char *path = test_path(dir, "f"), *link = test_path(dir, "l");
    struct stat st;

    int fd = diskio_create(path, 0644);
    ck_assert_int_eq(diskio_fallocate(fd, 0, 0, 8192), 0);
    ck_assert_int_eq(diskio_size(fd), 8192);
    ck_assert_int_eq(diskio_fallocate(fd, FALLOC_FL_KEEP_SIZE, 8192, 8192), 0);
    ck_assert_int_eq(diskio_size(fd), 8192);
    ck_assert_int_eq(diskio_fallocate(fd, 0, UINT64_MAX, 1), -EFBIG);
    ck_assert_int_eq(diskio_fallocate(fd, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(diskio_writeback(fd, 0, 8192), 0);
    ck_assert_int_eq(diskio_writeback(-1, 0, 8192), -EBADF);
    ck_assert_int_eq(diskio_close(fd), 0);
    ck_assert_int_eq(diskio_size(fd), -EBADF);
    ck_assert_int_eq(diskio_symlink("f", link), 0);
    ck_assert_int_eq(diskio_lstat(link, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(diskio_stat(link, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    free(path);
    free(link);
}
END_TEST

START_TEST(test_directories)
{
    char *deep = test_path(dir, "a/b//c/d");
    char *file = test_path(dir, "a/b/c/d/file");
    char *other = test_path(dir, "x/y/f");
    char *a = test_path(dir, "a");
    struct stat st;

    ck_assert_int_eq(diskio_mkdirs(deep, 0700), 0);
    ck_assert_int_eq(diskio_mkdirs(deep, 0700), 0);
    ck_assert_int_eq(diskio_stat(deep, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0700);
    test_writefile(file, "", 0);
    ck_assert_int_eq(diskio_mkdirs(file, 0700), -EEXIST);
    ck_assert_int_eq(diskio_mkparents(other, 0755), 0);
    ck_assert_int_eq(diskio_sync_parent(other), 0);
    test_writefile(other, "", 0);
    ck_assert_int_eq(diskio_sync_dir(deep), 0);
    ck_assert_int_eq(diskio_sync_dir(file), -ENOTDIR);
    ck_assert_int_eq(diskio_sync_parent("relative"), 0);
    ck_assert_int_eq(diskio_sync_parent("/tmp"), 0);

    /* Directories that hold something stay, as do those from `stop` up. */
    ck_assert_int_eq(diskio_rmparents(file, dir), 0);
    ck_assert(test_exists(deep));
    ck_assert_int_eq(diskio_unlink(file), 0);
    ck_assert_int_eq(diskio_rmparents(file, a), 0);
    ck_assert_int_eq(count_names(a), 0);
    ck_assert_int_eq(diskio_rmparents(file, "/elsewhere"), 0);
    ck_assert(test_exists(a));
    ck_assert_int_eq(diskio_mkdirs(deep, 0700), 0);
    ck_assert_int_eq(diskio_rmparents(file, dir), 0);
    ck_assert(!test_exists(a));
    free(deep);
    free(file);
    free(other);
    free(a);
}
END_TEST

static int no_clone(int to, int from)
{
    errno = EOPNOTSUPP;
    return -1;
}

static ssize_t no_copyrange(int from, off_t fromoff, int to, off_t tooff, size_t len)
{
    errno = EXDEV;
    return -1;
}

static ssize_t failing_copyrange(int from, off_t fromoff, int to, off_t tooff, size_t len)
{
    errno = ENOSPC;
    return -1;
}

static int no_link(const char *from, const char *to)
{
    errno = EXDEV;
    return -1;
}

START_TEST(test_copy)
{
    struct diskio_ops ops = diskio_real_ops;
    char *from = test_path(dir, "from"), *to = test_path(dir, "sub/to");
    char *link = test_path(dir, "link"), *sub = test_path(dir, "sub");
    struct stat a, b;

    test_writefile(from, "content", 7);
    ck_assert_int_eq(diskio_chmod(from, 0640), 0);
    ck_assert_int_eq(diskio_setmtime(from, 1000000000), 0);
    ck_assert_int_eq(diskio_copyfile(from, to, 0), -ENOENT);
    ck_assert_int_eq(diskio_copyfile(from, to, DISKIO_COPY_MKPARENTS | DISKIO_COPY_TIMES | DISKIO_COPY_SYNC), 0);
    assert_content(to, "content");
    ck_assert_int_eq(diskio_stat(to, &b), 0);
    ck_assert_int_eq(b.st_mtime, 1000000000);
    ck_assert_int_eq(b.st_mode & 0777, 0640);
    test_writefile(from, "changed", 7);
    ck_assert_int_eq(diskio_copyfile(from, to, 0), -EEXIST);
    assert_content(to, "content");

    /* Without reflink, and without any help of the kernel. */
    ops.clone = no_clone;
    diskio_set_ops(&ops);
    ck_assert_int_eq(diskio_copyfile(from, to, DISKIO_COPY_REPLACE), 0);
    assert_content(to, "changed");
    test_writefile(from, "by bytes", 8);
    ops.copyrange = no_copyrange;
    ck_assert_int_eq(diskio_copyfile(from, to, DISKIO_COPY_REPLACE), 0);
    assert_content(to, "by bytes");
    ops.copyrange = failing_copyrange;
    test_writefile(from, "never", 5);
    ck_assert_int_eq(diskio_copyfile(from, to, DISKIO_COPY_REPLACE), -ENOSPC);
    assert_content(to, "by bytes");
    diskio_set_ops(NULL);
    ck_assert_int_eq(count_names(sub), 1); /* nothing half-made stays */

    ck_assert_int_eq(diskio_copyfile(from, link, DISKIO_COPY_LINK), 0);
    ck_assert_int_eq(diskio_stat(from, &a), 0);
    ck_assert_int_eq(diskio_stat(link, &b), 0);
    ck_assert_uint_eq(a.st_ino, b.st_ino);
    ck_assert_int_eq(diskio_copyfile(from, to, DISKIO_COPY_LINK), -EEXIST);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(diskio_copyfile(from, to, DISKIO_COPY_LINK | DISKIO_COPY_REPLACE), 0);
        ck_assert_int_eq(diskio_stat(to, &b), 0);
        ck_assert_uint_eq(a.st_ino, b.st_ino);
        ck_assert_int_eq(count_names(sub), 1);
    }

    /* Where no link can be, a copy is made. */
    ck_assert_int_eq(diskio_unlink(link), 0);
    ops = diskio_real_ops;
    ops.link = no_link;
    diskio_set_ops(&ops);
    ck_assert_int_eq(diskio_copyfile(from, link, DISKIO_COPY_LINK | DISKIO_COPY_REPLACE), 0);
    diskio_set_ops(NULL);
    ck_assert_int_eq(diskio_stat(link, &b), 0);
    ck_assert_uint_ne(a.st_ino, b.st_ino);
    assert_content(link, "never");
    ck_assert_int_eq(diskio_copyfile(sub, link, DISKIO_COPY_REPLACE), -EISDIR);
    free(from);
    free(to);
    free(link);
    free(sub);
}
END_TEST

START_TEST(test_copyrange)
{
    char *pa = test_path(dir, "a"), *pb = test_path(dir, "b");

    test_writefile(pa, "0123456789", 10);
    int a = diskio_open(pa, O_RDONLY, 0), b = diskio_create(pb, 0600);
    ck_assert_int_eq(diskio_copyrange(a, 3, b, 1, 4), 4);
    ck_assert_int_eq(diskio_pwrite(b, "-", 1, 0), 0);
    assert_content(pb, "-3456");
    ck_assert_int_eq(diskio_copyrange(a, 8, b, 0, UINT64_MAX), 2);
    assert_content(pb, "89456");
    diskio_close(a);
    ck_assert_int_lt(diskio_copyrange(a, 8, b, 0, 1), 0);
    diskio_close(b);
    free(pa);
    free(pb);
}
END_TEST

START_TEST(test_mkstemp)
{
    char *one = test_path(dir, "t.XXXXXX"), *two = test_path(dir, "t.XXXXXX"), bad[] = "t.XXXXX";
    struct stat st;

    int a = diskio_mkstemp(one), b = diskio_mkstemp(two);
    ck_assert_int_ge(a, 0);
    ck_assert_int_ge(b, 0);
    ck_assert_str_ne(one, two);
    ck_assert_int_eq(diskio_stat(one, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(diskio_mkstemp(bad), -EINVAL);
    diskio_close(a);
    diskio_close(b);
    free(one);
    free(two);
}
END_TEST

START_TEST(test_map)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    char *path = test_path(dir, "f");
    char *missing = test_path(dir, "g");
    struct stat st;

    int fd = diskio_create(path, 0644);
    ck_assert_int_eq(diskio_map_refresh(&map, fd, 0), 0);
    ck_assert_int_eq(diskio_pwrite(fd, "first", 5, 0), 0);
    ck_assert_int_eq(diskio_map_refresh(&map, fd, 5), 0);
    ck_assert_bytes_eq(map.base, map.len, "first", 5);
    /* What is written shows at once; what is appended after a refresh. */
    ck_assert_int_eq(diskio_pwrite(fd, "F", 1, 0), 0);
    ck_assert_int_eq(map.base[0], 'F');
    for (uint64_t size = 5; size < 3000000; size += 100003) {
        ck_assert_int_eq(diskio_pwrite(fd, "end", 3, size - 3), 0);
        ck_assert_int_eq(diskio_map_refresh(&map, fd, size), 0);
        ck_assert_bytes_eq(map.base + size - 3, 3, "end", 3);
    }
    diskio_map_free(&map);
    ck_assert_ptr_null(map.base);
    diskio_map_free(&map);
    ck_assert_int_eq(diskio_map_refresh(&map, -1, 5), -EBADF);
    diskio_close(fd);

    ck_assert_int_eq(diskio_map_file(path, &map, &st), 0);
    ck_assert_uint_eq(map.len, (size_t)st.st_size);
    ck_assert_bytes_eq(map.base + map.len - 3, 3, "end", 3);
    diskio_map_free(&map);
    ck_assert_int_eq(diskio_map_file(missing, &map, NULL), -ENOENT);
    free(path);
    free(missing);
}
END_TEST

/* -- locks, which need a second process -- */

/* Runs fn in a child; its exit code. */
static int in_child(int (*fn)(const char *), const char *path)
{
    int status;
    pid_t pid = fork();

    if (!pid) _exit(fn(path));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int try_exclusive(const char *path)
{
    int fd = diskio_open(path, O_RDWR, 0);
    return -diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, DISKIO_LOCK_NONBLOCK);
}

static int try_shared(const char *path)
{
    int fd = diskio_open(path, O_RDWR, 0);
    return -diskio_lock(fd, DISKIO_LOCK_SHARED, DISKIO_LOCK_NONBLOCK);
}

static int holder_is_parent(const char *path)
{
    int fd = diskio_open(path, O_RDWR, 0);
    return diskio_lock_holder(fd, DISKIO_LOCK_SHARED) == getppid();
}

static int try_range(const char *path)
{
    int fd = diskio_open(path, O_RDWR, 0);
    return -diskio_lock_range(fd, DISKIO_LOCK_EXCLUSIVE, DISKIO_LOCK_NONBLOCK, 16, 8);
}

START_TEST(test_locks)
{
    char *path = test_path(dir, "f"), *other = test_path(dir, "g");
    bool reopened;
    struct stat st;

    int fd = diskio_create(path, 0644);
    ck_assert_int_eq(diskio_lock_holder(fd, DISKIO_LOCK_EXCLUSIVE), 0);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0), 0);
    ck_assert_int_eq(in_child(try_exclusive, path), EWOULDBLOCK);
    ck_assert_int_eq(in_child(try_shared, path), EWOULDBLOCK);
    ck_assert_int_eq(in_child(holder_is_parent, path), 1);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_LOCK_SHARED, 0), 0);
    ck_assert_int_eq(in_child(try_exclusive, path), EWOULDBLOCK);
    ck_assert_int_eq(in_child(try_shared, path), 0);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_UNLOCK, 0), 0);
    ck_assert_int_eq(in_child(try_exclusive, path), 0);
    ck_assert_int_eq(diskio_lock_range(fd, DISKIO_LOCK_EXCLUSIVE, 0, 0, 16), 0);
    ck_assert_int_eq(in_child(try_range, path), 0);
    ck_assert_int_eq(in_child(try_exclusive, path), EWOULDBLOCK);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_UNLOCK, 0), 0);

    /* A lock on a name that now stands for another file. */
    ck_assert_int_eq(diskio_lock_reopen(&fd, path, O_RDWR, DISKIO_LOCK_EXCLUSIVE, 0, &reopened, &st), 0);
    ck_assert(!reopened);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_UNLOCK, 0), 0);
    test_writefile(other, "new", 3);
    ck_assert_int_eq(diskio_rename(other, path), 0);
    ck_assert_int_eq(diskio_lock_reopen(&fd, path, O_RDWR, DISKIO_LOCK_EXCLUSIVE, 0, &reopened, &st), 0);
    ck_assert(reopened);
    ck_assert_int_eq(st.st_size, 3);
    ck_assert_int_eq(in_child(try_exclusive, path), EWOULDBLOCK);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_UNLOCK, 0), 0);
    ck_assert_int_eq(diskio_unlink(path), 0);
    ck_assert_int_eq(diskio_lock_reopen(&fd, path, O_RDWR, DISKIO_LOCK_EXCLUSIVE, 0, NULL, NULL), -ENOENT);
    ck_assert_int_eq(diskio_close(fd), 0);
    free(path);
    free(other);
}
END_TEST

static pid_t holder;
static volatile sig_atomic_t interrupted;

static void end_holder(int signo)
{
    if (++interrupted == 2) kill(holder, SIGKILL);
}

/* A signal ends the wait only of those who asked for it. */
START_TEST(test_lock_wait)
{
    char *path = test_path(dir, "f"), c;
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    int fd = diskio_create(path, 0644);
    pid_t me = getpid(), pid = fork();
    if (!pid) {
        diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0);
        if (write(fds[1], "x", 1) != 1) _exit(1);
        for (;;) {
            usleep(10000);
            kill(me, SIGUSR1);
        }
    }
    signals_add_handlers();
    while (read(fds[0], &c, 1) != 1) ck_assert_int_eq(errno, EINTR);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_LOCK_SHARED, DISKIO_LOCK_INTERRUPTIBLE), -EINTR);
    ck_assert(signals_take_usr1());

    /* The other: its second signal ends the holder, so the wait ends with the lock. */
    struct sigaction sa = { .sa_handler = end_holder };
    holder = pid;
    sigaction(SIGUSR1, &sa, NULL);
    ck_assert_int_eq(diskio_lock(fd, DISKIO_LOCK_SHARED, 0), 0);
    ck_assert_int_ge(interrupted, 2);
    while (waitpid(pid, NULL, 0) < 0) ck_assert_int_eq(errno, EINTR);
    close(fds[0]);
    close(fds[1]);
    diskio_close(fd);
    free(path);
}
END_TEST

START_TEST(test_counters)
{
    char *path = test_path(dir, "f");
    const struct diskio_counters *c = diskio_counters();

    diskio_counters_reset();
    int fd = diskio_create(path, 0644);
    ck_assert_int_eq(diskio_pwrite(fd, "abc", 3, 0), 0);
    ck_assert_int_eq(diskio_pwrite(fd, "abcd", 4, 0), 0);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(diskio_fdatasync(fd), 0);
    ck_assert_int_eq(diskio_unlink(path), 0);
    ck_assert_int_eq(diskio_unlink(path), -ENOENT);
    diskio_close(fd);
    ck_assert_uint_eq(c->calls[DISKIO_OPEN], 1);
    ck_assert_uint_eq(c->calls[DISKIO_PWRITE], 2);
    ck_assert_uint_eq(c->bytes[DISKIO_PWRITE], 7);
    ck_assert_uint_eq(c->calls[DISKIO_UNLINK], 2);
    ck_assert_uint_eq(c->bytes[DISKIO_UNLINK], 0);
    ck_assert_uint_eq(c->errors, 1);
    ck_assert_uint_eq(diskio_counters_syncs(), 2);
    struct buf text = BUF_INITIALIZER;
    diskio_counters_text(&text);
    ck_assert_str_eq(buf_cstring(&text),
                     "open=1 close=1 pwrite=2/7 fsync=1 fdatasync=1 unlink=2 errors=1");
    buf_free(&text);
    diskio_counters_reset();
    ck_assert_uint_eq(diskio_counters_syncs(), 0);

    for (int k = 0; k < DISKIO_NKINDS; k++)
        ck_assert_int_eq(diskio_kind_byname(diskio_kind_name((enum diskio_kind)k)), k);
    ck_assert_int_eq(diskio_kind_byname("nothing"), -1);
    ck_assert_str_eq(diskio_kind_name(DISKIO_NKINDS), "?");
    free(path);
}
END_TEST

Suite *diskio_suite(void)
{
    Suite *s = suite_create("diskio");
    TCase *tc = tcase_create("diskio");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_short_counts);
    tcase_add_test(tc, test_errors);
    tcase_add_test(tc, test_space);
    tcase_add_test(tc, test_directories);
    tcase_add_test(tc, test_copy);
    tcase_add_test(tc, test_copyrange);
    tcase_add_test(tc, test_mkstemp);
    tcase_add_test(tc, test_map);
    tcase_add_test(tc, test_locks);
    tcase_add_test(tc, test_lock_wait);
    suite_add_tcase(s, tc);

    tc = tcase_create("counters");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_counters);
    suite_add_tcase(s, tc);
    return s;
}
