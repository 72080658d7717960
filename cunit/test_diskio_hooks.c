/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_diskio_hooks -- the trace holds every change in order, and faults come at
 * the call that was named
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diskio.h"
#include "diskio_trace.h"
#include "testutil.h"
#include "times.h"
#include "xmalloc.h"

static char *dir, *tracefile, *one, *two, *sub;

static void setup(void)
{
    dir = test_mkdtemp();
    tracefile = test_path(dir, "trace");
    one = test_path(dir, "one");
    two = test_path(dir, "two");
    sub = test_path(dir, "third-name");
}

static void teardown(void)
{
    diskio_hooks_install(NULL);
    free(tracefile);
    free(one);
    free(two);
    free(sub);
    test_rmdir(dir);
}

static void install(const char *record, const char *fault, const char *skip, const char *kill)
{
    struct diskio_hooks hooks = { .record = record, .fault = fault, .skip = skip, .kill = kill };
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
}

/* One line a record: "kind path path2 offset data flags". */
static void read_trace(struct buf *text)
{
    const struct diskio_trace_rec *rec;
    struct diskio_trace *t = diskio_trace_open(tracefile);
    size_t skip = strlen(dir) + 1;
    int r;

    ck_assert_ptr_nonnull(t);
    buf_reset(text);
    while ((r = diskio_trace_next(t, &rec)) > 0) {
        buf_printf(text, "%s", diskio_trace_kind_name(rec->kind));
        if (*rec->path) buf_printf(text, " %s", strlen(rec->path) > skip ? rec->path + skip : ".");
        if (*rec->path2) buf_printf(text, " %s", rec->path2 + skip);
        switch (rec->kind) {
        case DISKIO_TRACE_WRITE:
        case DISKIO_TRACE_FTRUNCATE:
        case DISKIO_TRACE_COPY:
            buf_printf(text, " @%llu", (unsigned long long)rec->offset);
            break;
        case DISKIO_TRACE_OPEN:
            buf_printf(text, " %u", rec->flags);
            break;
        case DISKIO_TRACE_SYNC_BEGIN:
            buf_printf(text, " %s", diskio_trace_kind_name((enum diskio_trace_kind)rec->offset));
            break;
        case DISKIO_TRACE_UTIME:
            buf_printf(text, " %llu", (unsigned long long)rec->offset);
            break;
        default:
            break;
        }
        if (rec->datalen) buf_printf(text, " '%.*s'", (int)rec->datalen, (const char *)rec->data);
        buf_putc(text, '\n');
    }
    ck_assert_int_eq(r, 0);
    diskio_trace_close(t);
}

static void change_everything(void)
{
    struct iovec iov[2] = { { (void *)(uintptr_t)"ab", 2 }, { (void *)(uintptr_t)"cd", 2 } };

    int fd = diskio_open(one, O_RDWR | O_CREAT, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(diskio_pwritev(fd, iov, 2, 3), 0);
    ck_assert_int_eq(diskio_ftruncate(fd, 6), 0);
    ck_assert_int_eq(diskio_fdatasync(fd), 0);
    ck_assert_int_eq(diskio_close(fd), 0);
    ck_assert_int_eq(diskio_rename(one, two), 0);
    ck_assert_int_eq(diskio_link(two, one), 0);
    ck_assert_int_eq(diskio_sync_parent(one), 0);
    diskio_marker("answered 250");
    fd = diskio_open(one, O_WRONLY | O_APPEND | O_CREAT, 0644);
    ck_assert_int_eq(diskio_write(fd, "tail", 4), 0);
    ck_assert_int_eq(diskio_unlink(one), 0);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(diskio_syncfs(fd), 0);
    ck_assert_int_eq(diskio_close(fd), 0);
    ck_assert_int_eq(diskio_unlink(one), -ENOENT);
    ck_assert_int_eq(diskio_mkdir(sub, 0755), 0);
    ck_assert_int_eq(diskio_rmdir(sub), 0);
    ck_assert_int_eq(diskio_symlink("two", one), 0);
    ck_assert_int_eq(diskio_setmtime(two, 1234567890), 0);
    ck_assert_int_eq(diskio_chmod(two, 0600), 0);
    fd = diskio_open(two, O_RDWR | O_TRUNC, 0);
    ck_assert_int_eq(diskio_close(fd), 0);
    /* Reading leaves no mark. */
    fd = diskio_open(two, O_RDONLY, 0);
    ck_assert_int_eq(diskio_close(fd), 0);
}

START_TEST(test_record)
{
    struct buf text = BUF_INITIALIZER;

    install(tracefile, NULL, NULL, NULL);
    change_everything();
    read_trace(&text);
    ck_assert_str_eq(buf_cstring(&text),
                     "open one 1\n"
                     "write one @3 'abcd'\n"
                     "ftruncate one @6\n"
                     "sync-begin one fdatasync\n"
                     "fdatasync one\n"
                     "rename one two\n"
                     "link two one\n"
                     "open . 4\n"
                     "sync-begin . fsync\n"
                     "fsync .\n"
                     "marker 'answered 250'\n"
                     "open one 0\n"
                     "write one @6 'tail'\n"
                     "unlink one\n"
                     "sync-begin one (deleted) fsync\n"
                     "fsync one (deleted)\n"
                     "sync-begin one (deleted) syncfs\n"
                     "syncfs one (deleted)\n"
                     "mkdir third-name\n"
                     "rmdir third-name\n"
                     "symlink one 'two'\n"
                     "utime two 1234567890\n"
                     "chmod two\n"
                     "open two 2\n");
    buf_free(&text);
}
END_TEST

START_TEST(test_record_inodes)
{
    const struct diskio_trace_rec *rec;
    struct stat st;

    test_writefile(two, "old", 3);
    ck_assert_int_eq(diskio_stat(two, &st), 0);
    uint64_t replaced = st.st_ino;
    install(tracefile, NULL, NULL, NULL);
    int fd = diskio_create(one, 0644);
    ck_assert_int_eq(diskio_fstat(fd, &st), 0);
    ck_assert_int_eq(diskio_rename(one, two), 0);
    ck_assert_int_eq(diskio_pwrite(fd, "x", 1, 0), 0);
    diskio_close(fd);

    struct diskio_trace *t = diskio_trace_open(tracefile);
    for (uint64_t n = 1; n <= 3; n++) {
        ck_assert_int_eq(diskio_trace_next(t, &rec), 1);
        ck_assert_uint_eq(rec->ino, st.st_ino);
        ck_assert_uint_eq(rec->dev, st.st_dev);
        ck_assert_uint_eq(rec->pid, (uint32_t)getpid());
        ck_assert_uint_eq(rec->seq, n);
        ck_assert_uint_eq(rec->ino2, rec->kind == DISKIO_TRACE_RENAME ? replaced : 0);
    }
    ck_assert_uint_eq(diskio_trace_tell(t) > 3 * 88, 1);
    ck_assert_int_eq(diskio_trace_next(t, &rec), 0);
    diskio_trace_rewind(t);
    ck_assert_int_eq(diskio_trace_next(t, &rec), 1);
    ck_assert_int_eq(rec->kind, DISKIO_TRACE_OPEN);
    diskio_trace_close(t);
}
END_TEST

/* Whatever way the bytes of a copy came, the trace has them. */
START_TEST(test_record_copy)
{
    const struct diskio_trace_rec *rec;
    struct buf content = BUF_INITIALIZER;
    char *big = xzmalloc(1500000);

    memset(big + 1200000, 'z', 1000);
    test_writefile(one, big, 1500000);
    install(tracefile, NULL, NULL, NULL);
    ck_assert_int_eq(diskio_copyfile(one, two, 0), 0);
    struct diskio_trace *t = diskio_trace_open(tracefile);
    while (diskio_trace_next(t, &rec) > 0) {
        if (rec->kind != DISKIO_TRACE_COPY && rec->kind != DISKIO_TRACE_WRITE) continue;
        buf_truncate(&content, rec->offset);
        buf_appendmap(&content, rec->data, rec->datalen);
    }
    diskio_trace_close(t);
    ck_assert(content.len == 1500000 && !memcmp(content.s, big, content.len));
    buf_free(&content);
    free(big);
}
END_TEST

/* Eight processes at once: no record is torn, each process counts its own. */
START_TEST(test_record_many)
{
    enum { PROCS = 8, WRITES = 200 };
    const struct diskio_trace_rec *rec;
    pid_t pids[PROCS];
    uint64_t seqs[PROCS] = { 0 };
    int r, status, total = 0;

    install(tracefile, NULL, NULL, NULL);
    for (int p = 0; p < PROCS; p++) {
        pids[p] = fork();
        if (pids[p]) continue;
        char *path = test_path(dir, "f%d", p);
        int fd = diskio_create(path, 0644);
        for (int i = 0; i < WRITES; i++) diskio_pwrite(fd, path, strlen(path), (uint64_t)i);
        /* A daemon that closes what it inherited loses nothing. */
        for (int i = 3; i < 1000; i++) close(i);
        diskio_marker("end");
        _exit(0);
    }
    for (int p = 0; p < PROCS; p++) ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);

    struct diskio_trace *t = diskio_trace_open(tracefile);
    while ((r = diskio_trace_next(t, &rec)) > 0) {
        int p = 0;
        while (p < PROCS && (uint32_t)pids[p] != rec->pid) p++;
        ck_assert_int_lt(p, PROCS);
        ck_assert_uint_eq(rec->seq, ++seqs[p]);
        total++;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(total, PROCS * (WRITES + 2));
    diskio_trace_close(t);
}
END_TEST

START_TEST(test_bad_trace)
{
    const struct diskio_trace_rec *rec;
    struct buf whole = BUF_INITIALIZER;
    int caught = 0;

    ck_assert_ptr_null(diskio_trace_open(tracefile));
    install(tracefile, NULL, NULL, NULL);
    diskio_marker("hello");
    diskio_hooks_install(NULL);
    diskio_marker("nobody listens");
    test_readfile(tracefile, &whole);
    ck_assert_uint_eq(whole.len, 88 + 5);
    for (size_t i = 0; i < whole.len; i++) {
        whole.s[i] = (char)(whole.s[i] ^ 0x10);
        test_writefile(tracefile, whole.s, whole.len);
        whole.s[i] = (char)(whole.s[i] ^ 0x10);
        struct diskio_trace *t = diskio_trace_open(tracefile);
        caught += diskio_trace_next(t, &rec) == -EBADMSG;
        diskio_trace_close(t);
    }
    ck_assert_int_eq(caught, (int)whole.len);
    for (size_t len = 1; len < whole.len; len++) {
        test_writefile(tracefile, whole.s, len);
        struct diskio_trace *t = diskio_trace_open(tracefile);
        ck_assert_int_eq(diskio_trace_next(t, &rec), -EBADMSG);
        diskio_trace_close(t);
    }
    buf_free(&whole);
}
END_TEST

START_TEST(test_fault)
{
    int fd = diskio_create(one, 0644);

    install(NULL, "pwrite:2:ENOSPC", NULL, NULL);
    ck_assert_int_eq(diskio_pwrite(fd, "a", 1, 0), 0);
    ck_assert_int_eq(diskio_pwrite(fd, "b", 1, 1), -ENOSPC);
    ck_assert_int_eq(diskio_pwrite(fd, "c", 1, 2), 0);
    ck_assert_uint_eq(diskio_hooks_taken(), 1);

    install(NULL, "sync:2+:EIO", NULL, NULL);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(diskio_fdatasync(fd), -EIO);
    ck_assert_int_eq(diskio_syncfs(fd), -EIO);

    /* Only calls on the named path count. */
    install(NULL, "rename:1:13:/third-name,open:1:EMFILE:/two", NULL, NULL);
    ck_assert_int_eq(diskio_rename(one, two), 0);
    ck_assert_int_eq(diskio_rename(two, sub), -EACCES);
    ck_assert_int_eq(diskio_open(two, O_RDONLY, 0), -EMFILE);
    ck_assert_int_eq(diskio_rename(two, sub), 0);

    /* A path that moved with the open file. */
    install(NULL, "write:1+:EROFS:/third-name", NULL, NULL);
    ck_assert_int_eq(diskio_write(fd, "a", 1), -EROFS);
    install(NULL, "any:3:EIO", NULL, NULL);
    ck_assert_int_eq(diskio_rename(sub, one), 0);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(diskio_unlink(one), -EIO);
    install(NULL, "change:1:EIO", NULL, NULL);
    char c;
    ck_assert_int_eq(diskio_pread(fd, &c, 1, 0), 1);
    ck_assert_int_eq(diskio_fsync(fd), -EIO);
    diskio_close(fd);
}
END_TEST

/* The caller sees a whole write, or one of which a part is there. */
START_TEST(test_half_a_write)
{
    struct iovec iov[3] = { { (char *)"one", 3 }, { (char *)"", 0 }, { (char *)"four", 4 } };
    struct buf content = BUF_INITIALIZER;
    int fd = diskio_open(one, O_RDWR | O_CREAT, 0644);

    install(NULL, "write:1:SHORT", NULL, NULL);
    ck_assert_int_eq(diskio_pwritev(fd, iov, 3, 1), 0);
    test_readfile(one, &content);
    ck_assert_bytes_eq(content.s, content.len, "\0onefour", 8);

    install(NULL, "write:1:PARTIAL", NULL, NULL);
    ck_assert_int_eq(diskio_write(fd, "12345", 5), -ENOSPC);
    test_readfile(one, &content);
    ck_assert_bytes_eq(content.s, content.len, "123efour", 8);
    install(NULL, "fsync:1:SHORT,rename:1:PARTIAL", NULL, NULL);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(diskio_rename(one, two), -ENOSPC);
    buf_free(&content);
    diskio_close(fd);
}
END_TEST

/* For as long as a file is there. */
START_TEST(test_full)
{
    struct diskio_hooks hooks = { .full = NULL };
    struct buf content = BUF_INITIALIZER;
    char *gate = test_path(dir, "gate"), *spec = xasprintf("grow:%s:%s", gate, one);
    int fd = diskio_open(one, O_RDWR | O_CREAT, 0644), other = diskio_open(two, O_RDWR | O_CREAT, 0644);

    hooks.full = spec;
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    ck_assert_int_eq(diskio_write(fd, "1234", 4), 0);
    test_writefile(gate, "", 0);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(diskio_pwrite(fd, "abcd", 4, 4), -ENOSPC);
    ck_assert_int_eq(diskio_link(one, gate), -ENOSPC);
    ck_assert_int_eq(diskio_write(other, "1234", 4), 0);
    ck_assert_int_eq(diskio_ftruncate(fd, 6), 0);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(unlink(gate), 0);
    ck_assert_int_eq(diskio_pwrite(fd, "x", 1, 6), 0);
    test_readfile(one, &content);
    ck_assert_bytes_eq(content.s, content.len, "1234abx", 7);
    ck_assert_uint_eq(diskio_hooks_taken(), 3);
    buf_free(&content);
    diskio_close(other);
    diskio_close(fd);
    free(spec);
    free(gate);
}
END_TEST

START_TEST(test_space)
{
    struct diskio_hooks hooks = { .space = "/one:10:20,/two:0:5" };
    struct diskio_space space;

    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    ck_assert_int_eq(diskio_space(one, &space), 0);
    ck_assert(space.avail == 10 && space.total == 20);
    ck_assert_int_eq(diskio_space(two, &space), 0);
    ck_assert(space.avail == 0 && space.total == 5);
    ck_assert_int_eq(diskio_space(sub, &space), -ENOENT);
    ck_assert_int_eq(diskio_space(dir, &space), 0);
    ck_assert(space.total > 20);
    static const char *const bad[] = { "/one", "/one:1", "/one:x:2", "/one:3:2", "/one:1:2:3" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        hooks.space = bad[i];
        ck_assert_int_eq(diskio_hooks_install(&hooks), -EINVAL);
    }
}
END_TEST

/* Takes so long, and is done; others are not. */
START_TEST(test_slow)
{
    struct diskio_hooks hooks = { .slow = "sync:80:/two" };
    unsigned long long begin = monotonic_ms();

    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    int fd = diskio_open(one, O_RDWR | O_CREAT, 0644), slow = diskio_open(two, O_RDWR | O_CREAT, 0644);
    ck_assert_int_eq(diskio_pwrite(slow, "x", 1, 0), 0);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(diskio_fdatasync(slow), 0);
    unsigned long long taken = monotonic_ms() - begin;
    ck_assert_uint_ge(taken, 240);
    hooks.slow = "sync:60000:/two";
    ck_assert_int_eq(diskio_hooks_install(&hooks), 0);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    diskio_close(fd);
    diskio_close(slow);
    static const char *const bad[] = { "sync", "sync:", "sync:x", "bad:1", "sync:1:/one:2" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        hooks.slow = bad[i];
        ck_assert_int_eq(diskio_hooks_install(&hooks), -EINVAL);
    }
}
END_TEST

/* One call of each kind; what it answered. */
static int call_kind(enum diskio_kind kind, int fd)
{
    static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
    char c;

    switch (kind) {
    case DISKIO_OPEN: return diskio_open(one, O_RDONLY, 0);
    case DISKIO_PREAD: return (int)diskio_pread(fd, &c, 1, 0);
    case DISKIO_READ: return (int)diskio_read(fd, &c, 1);
    case DISKIO_PWRITE: return diskio_pwrite(fd, "x", 1, 0);
    case DISKIO_WRITE: return diskio_write(fd, "x", 1);
    case DISKIO_FTRUNCATE: return diskio_ftruncate(fd, 1);
    case DISKIO_FALLOCATE: return diskio_fallocate(fd, 0, 0, 1);
    case DISKIO_FSYNC: return diskio_fsync(fd);
    case DISKIO_FDATASYNC: return diskio_fdatasync(fd);
    case DISKIO_SYNCFS: return diskio_syncfs(fd);
    case DISKIO_RENAME: return diskio_rename(one, one);
    case DISKIO_LINK: return diskio_link(one, two);
    case DISKIO_SYMLINK: return diskio_symlink(one, two);
    case DISKIO_UNLINK: return diskio_unlink(two);
    case DISKIO_MKDIR: return diskio_mkdir(two, 0755);
    case DISKIO_RMDIR: return diskio_rmdir(two);
    case DISKIO_UTIME: return diskio_futime(fd, now) ? -EIO : diskio_utime(one, now);
    case DISKIO_CHMOD: return diskio_chmod(one, 0644);
    case DISKIO_CLONE: return diskio_copyfile(one, two, 0);
    case DISKIO_COPYRANGE: return (int)diskio_copyrange(fd, 0, fd, 100, 1);
    default: return -EIO; /* not a kind that can be made to fail */
    }
}

/* Each kind fails when its own rule says so, and by no other. */
START_TEST(test_every_kind)
{
    char spec[64];
    int fd = diskio_create(one, 0644);

    ck_assert_int_eq(diskio_pwrite(fd, "0123456789", 10, 0), 0);
    for (int kind = 0; kind < DISKIO_NKINDS; kind++) {
        const char *name = diskio_kind_name((enum diskio_kind)kind);
        snprintf(spec, sizeof(spec), "%s:1+:EIO", name);
        if (diskio_hooks_install(&(struct diskio_hooks){ .fault = spec })) continue;
        ck_assert_msg(call_kind((enum diskio_kind)kind, fd) == -EIO, "%s was not hit", name);
        for (int other = 0; other < DISKIO_NKINDS; other++) {
            if (other == kind || (kind == DISKIO_OPEN && other == DISKIO_CLONE)) continue;
            if (other == DISKIO_CLONE || call_kind((enum diskio_kind)other, fd) != -EIO) continue;
            bool hookable = other != DISKIO_CLOSE && other != DISKIO_STAT && other != DISKIO_MMAP &&
                            other != DISKIO_LOCK;
            ck_assert_msg(!hookable, "%s hit by %s", diskio_kind_name((enum diskio_kind)other), spec);
        }
        diskio_unlink_quiet(two);
        diskio_rmdir(two);
    }
    /* All kinds but these four can be made to fail. */
    int refused = 0;
    for (int kind = 0; kind < DISKIO_NKINDS; kind++) {
        snprintf(spec, sizeof(spec), "%s:1:EIO", diskio_kind_name((enum diskio_kind)kind));
        refused += diskio_hooks_install(&(struct diskio_hooks){ .fault = spec }) == -EINVAL;
    }
    ck_assert_int_eq(refused, 4);
    diskio_close(fd);
}
END_TEST

START_TEST(test_record_rest)
{
    static const struct timespec times[2] = { { .tv_sec = 5 }, { .tv_sec = 6, .tv_nsec = 7 } };
    struct buf text = BUF_INITIALIZER;
    char cwd[4096];

    install(tracefile, NULL, NULL, NULL);
    int fd = diskio_create(one, 0644);
    ck_assert_int_eq(diskio_fallocate(fd, 0, 3, 4), 0);
    ck_assert_int_eq(diskio_futime(fd, times), 0);
    diskio_close(fd);
    /* A relative name, and a link that names nothing yet. */
    ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_int_eq(diskio_rename("one", "two"), 0);
    ck_assert_int_eq(diskio_symlink("nowhere", "one"), 0);
    fd = diskio_open("one", O_RDWR | O_CREAT, 0644);
    ck_assert_int_ge(fd, 0);
    diskio_close(fd);
    ck_assert_int_eq(chdir(cwd), 0);
    read_trace(&text);
    ck_assert_str_eq(buf_cstring(&text), "open one 1\n"
                                         "fallocate one\n"
                                         "utime one 6\n"
                                         "rename one two\n"
                                         "symlink one 'nowhere'\n"
                                         "open nowhere 0\n");
    buf_free(&text);
}
END_TEST

START_TEST(test_skip)
{
    struct buf text = BUF_INITIALIZER;
    int fd = diskio_create(one, 0644);
    int other = diskio_create(two, 0644);

    /* The mutant answers success, does nothing, and leaves no record. */
    install(tracefile, NULL, "fsync:one,rename", NULL);
    ck_assert_int_eq(diskio_fsync(fd), 0);
    ck_assert_int_eq(diskio_fsync(other), 0);
    ck_assert_int_eq(diskio_rename(one, sub), 0);
    ck_assert(test_exists(one));
    ck_assert_int_eq(diskio_fdatasync(fd), 0);
    read_trace(&text);
    ck_assert_str_eq(buf_cstring(&text), "sync-begin two fsync\nfsync two\n"
                                         "sync-begin one fdatasync\nfdatasync one\n");
    install(NULL, NULL, "write", NULL);
    ck_assert_int_eq(diskio_pwrite(fd, "lost", 4, 0), 0);
    ck_assert_int_eq(diskio_size(fd), 0);
    diskio_close(fd);
    diskio_close(other);
    buf_free(&text);
}
END_TEST

START_TEST(test_kill)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        struct diskio_hooks hooks = { .kill = "fsync:2:one" };
        diskio_hooks_install(&hooks);
        int fd = diskio_create(one, 0644);
        diskio_fsync(fd);
        diskio_pwrite(fd, "done", 4, 0);
        diskio_fsync(fd);
        diskio_pwrite(fd, "never", 5, 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 137);
    struct buf got = BUF_INITIALIZER;
    test_readfile(one, &got);
    ck_assert_str_eq(buf_cstring(&got), "done");
    buf_free(&got);
}
END_TEST

START_TEST(test_bad_specs)
{
    static const struct diskio_hooks bad[] = {
        { .fault = "pwrite" },
        { .fault = "pwrite:1" },
        { .fault = "pwrite:0:EIO" },
        { .fault = "pwrite:x:EIO" },
        { .fault = "pwrite:1:EWHAT" },
        { .fault = "pwrite:1:0" },
        { .fault = "pwrite:1:EIO:path:more" },
        { .fault = "pwrote:1:EIO" },
        { .fault = "stat:1:EIO" },
        { .fault = "fsync:1:EIO,pwrote:1:EIO" },
        { .full = "grow" },
        { .full = "grew:file" },
        { .full = "grow:file:path:more" },
        { .skip = "open" },
        { .skip = "any" },
        { .skip = "" ":" },
        { .kill = "fsync" },
        { .kill = "fsync:1:a:b" },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(diskio_hooks_install(&bad[i]) == -EINVAL, "spec %zu was taken", i);
    ck_assert_int_eq(diskio_hooks_install(&(struct diskio_hooks){ .record = "/no/such/dir/f" }), -ENOENT);
    ck_assert_ptr_eq(diskio_set_ops(NULL), &diskio_real_ops);
}
END_TEST

#ifdef ENABLE_TEST_HOOKS
/* The environment reaches a process of its own. */
START_TEST(test_environment)
{
    char *cmd = xasprintf("CYLINDER_DISKIO_RECORD='%s' CK_FORK=no CK_RUN_CASE=counters "
                          "'%s/cunit/unit' diskio >/dev/null && "
                          "! CYLINDER_DISKIO_FAULT=nonsense '%s/cunit/unit' buf >/dev/null 2>&1",
                          tracefile, TEST_BUILDDIR, TEST_BUILDDIR);
    struct buf text = BUF_INITIALIZER;

    ck_assert_int_eq(system(cmd), 0);
    read_trace(&text);
    ck_assert_int_ge(buf_findmap(&text, 0, "fdatasync ", 10), 0);
    buf_free(&text);
    free(cmd);
}
END_TEST
#endif

Suite *diskio_hooks_suite(void)
{
    Suite *s = suite_create("diskio_hooks");
    TCase *tc = tcase_create("diskio_hooks");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_record);
    tcase_add_test(tc, test_record_inodes);
    tcase_add_test(tc, test_record_copy);
    tcase_add_test(tc, test_record_many);
    tcase_add_test(tc, test_bad_trace);
    tcase_add_test(tc, test_fault);
    tcase_add_test(tc, test_half_a_write);
    tcase_add_test(tc, test_full);
    tcase_add_test(tc, test_space);
    tcase_add_test(tc, test_slow);
    tcase_add_test(tc, test_every_kind);
    tcase_add_test(tc, test_record_rest);
    tcase_add_test(tc, test_skip);
    tcase_add_test(tc, test_kill);
    tcase_add_test(tc, test_bad_specs);
#ifdef ENABLE_TEST_HOOKS
    tcase_add_test(tc, test_environment);
#endif
    suite_add_tcase(s, tc);
    return s;
}
