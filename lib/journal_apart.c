/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_apart -- the syncs of a checkpoint, of file systems that may hang
 *
 * The file system of the journal is everybody's: when it hangs, all wait. Any other is synced by a child of the process that
 * makes the checkpoint, which waits for it a while and then gives up: no checkpoint then, and no client waits for a
 * partition that is not his. The child stays until the device answers, or for ever; it holds JLOCK_APART, so that
 * there is only one, and keeps neither the connection of a client nor any other lock.
 *
 * What the child learns must not be lost when nobody waits for it any more: a failed sync is told once only, so it is
 * the child who makes the journal read-only.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal_int.h"
#include "journal_plan.h"
#include "lockwatch.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* A directory of each. */
struct filesystem {
    dev_t dev;
    char *dir;
};

struct filesystems {
    struct filesystem *each;
    size_t n, alloc;
};

/* ---- which ---- */

static void add_filesystem(struct filesystems *fs, const char *dir)
{
    dev_t dev;

    if (diskio_device(dir, &dev)) return; /* gone with all that was in it */
    for (size_t i = 0; i < fs->n; i++) {
        if (fs->each[i].dev == dev) return;
    }
    if (fs->n == fs->alloc) {
        fs->alloc = grow_alloc(fs->alloc, fs->n + 1);
        fs->each = xreallocarray(fs->each, fs->alloc, sizeof(*fs->each));
    }
    fs->each[fs->n++] = (struct filesystem){ dev, xstrdup(dir) };
}

/* The first is the journal's own. */
static void find_filesystems(struct journal *j, const struct journal_plan *plan, struct filesystems *fs)
{
    char *last = xstrdup("");
    const char *path;
    size_t pos = 0;

    *fs = (struct filesystems){ NULL, 0, 0 };
    add_filesystem(fs, j->dir);
    while ((path = hash_next(&plan->paths, &pos, NULL))) {
        const char *slash = strrchr(path, '/');
        size_t len = slash && slash > path ? (size_t)(slash - path) : 1;
        if (strlen(last) == len && !strncmp(last, path, len)) continue;
        free(last);
        last = xstrndup(path, len);
        add_filesystem(fs, last);
    }
    free(last);
}

static void free_filesystems(struct filesystems *fs)
{
    for (size_t i = 0; i < fs->n; i++) free(fs->each[i].dir);
    free(fs->each);
}

/* ---- syncs ---- */

/* Of those from..to-1. */
static int sync_filesystems(const struct filesystems *fs, size_t from, size_t to)
{
    int r = 0;
    for (size_t i = from; !r && i < to; i++) {
        const char *dir = fs->each[i].dir;
        int fd = diskio_open(dir, O_RDONLY | O_DIRECTORY, 0);
        if (fd == -ENOENT) continue; /* since we looked */
        r = fd < 0 ? fd : diskio_syncfs(fd);
        if (fd >= 0) diskio_close(fd);
        if (r) syslog(LOG_ERR, "journal: sync of the file system of %s failed: %s", dir, strerror(-r));
    }
    return r;
}

int journal_sync_paths(struct journal *j, const struct journal_plan *plan)
{
    struct filesystems fs;
    find_filesystems(j, plan, &fs);
    int r = sync_filesystems(&fs, 0, fs.n);
    free_filesystems(&fs);
    return r;
}

/* ---- the child ---- */

/* Whoever reads from the other end is to see when its process has left. */
static void close_connections(int but)
{
    struct stat st;
    long max = sysconf(_SC_OPEN_MAX);

    for (int fd = 0; fd < (max > 0 && max < 65536 ? max : 65536); fd++) {
        if (fd != but && !fstat(fd, &st) && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))) close(fd);
    }
}

/* Never returns. It is nobody's child, as the one between has ended. */
static void sync_in_child(struct journal *j, const struct filesystems *fs, int out)
{
    if (fork()) _exit(0);
    close_connections(out);
    int r = journal_bytelock(j, JLOCK_APART, DISKIO_LOCK_EXCLUSIVE, DISKIO_LOCK_NONBLOCK);
    if (!r) {
        r = sync_filesystems(fs, 1, fs->n);
        if (r) r = journal_fail(j, "sync of the file systems", r);
        journal_byteunlock(j, JLOCK_APART); /* who hears of it may begin the next one before this process is gone */
    }
    if (write(out, &r, sizeof(r)) != (ssize_t)sizeof(r)) _exit(1); /* nobody waits any more */
    _exit(0);
}

/* What the child says within that time; -EAGAIN: nothing. */
static int ask_child(int in, unsigned seconds)
{
    struct pollfd pfd = { .fd = in, .events = POLLIN };
    int r, n;

    do {
        n = poll(&pfd, 1, (int)lockwatch_ms(seconds));
    } while (n < 0 && errno == EINTR);
    if (n <= 0 || read(in, &r, sizeof(r)) != (ssize_t)sizeof(r)) return -EAGAIN;
    return r == -EWOULDBLOCK ? -EAGAIN : r;
}

static int sync_by_child(struct journal *j, const struct filesystems *fs, unsigned seconds)
{
    int fds[2], r = -EAGAIN;

    if (pipe2(fds, O_CLOEXEC) < 0) return -errno;
    pid_t pid = fork();
    if (!pid) {
        close(fds[0]);
        sync_in_child(j, fs, fds[1]);
    }
    close(fds[1]);
    if (pid > 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
        r = ask_child(fds[0], seconds);
    }
    close(fds[0]);
    if (r == -EAGAIN) {
        syslog(LOG_ALERT, "journal: no checkpoint of %s: the file system of %s%s was not synced within %u seconds", j->dir, fs->each[1].dir,
               fs->n > 2 ? ", or another," : "", seconds);
    }
    return r;
}

bool journal_is_apart(const struct journal *j)
{
    return diskio_lock_holder_range(j->lockfd, DISKIO_LOCK_EXCLUSIVE, JLOCK_APART, 1) != 0;
}

int journal_sync_apart(struct journal *j, const struct journal_plan *plan, unsigned seconds)
{
    struct filesystems fs;

    find_filesystems(j, plan, &fs);
    int r = sync_filesystems(&fs, 0, cyr_min(fs.n, (size_t)1));
    if (r) r = journal_fail(j, "sync of the file systems", r);
    if (!r && fs.n > 1) r = sync_by_child(j, &fs, seconds);
    free_filesystems(&fs);
    return r;
}
