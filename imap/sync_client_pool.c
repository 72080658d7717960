/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_pool -- worker processes, and what is said between them and their parent
 *
 * A message on the socket between them is its length, 4 bytes, and words that each end with a NUL. An answer begins with the
 * result and the counts. stdout and stderr of a worker are files without names, which the parent copies and empties when a
 * job is over; so the output of a worker that was killed comes out, too.
 */
#include <config.h>

#include "sync_client_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "diskio.h"
#include "exitcodes.h"
#include "imap_err.h"
#include "libconfig.h"
#include "nonblock.h"
#include "signals.h"
#include "times.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define TICK 200       /* milliseconds between two questions whether we must end */
#define IDLE_TICK 1000 /* milliseconds */

struct worker {
    pid_t pid;   /* 0: there is none */
    int fd;      /* our end of the socket */
    int said[2]; /* what comes out of 1 and 2; the same file when ours are the same */
    void *job;   /* NULL: it has none */
};

struct sync_pool {
    struct sync_client *sc;
    int size;
    const struct sync_pool_ops *ops;
    void *rock;
    struct worker *workers;
    unsigned long long not_before; /* of monotonic_ms(): the next job */
};

/* ---- messages ---- */

static int put_words(int fd, const strarray_t *words)
{
    struct buf b = BUF_INITIALIZER;

    buf_appendmap(&b, "\0\0\0\0", 4);
    for (int i = 0; i < strarray_size(words); i++)
        buf_appendmap(&b, strarray_nth(words, i), strlen(strarray_nth(words, i)) + 1);
    put_be32(b.s, (uint32_t)(buf_len(&b) - 4));
    int r = retry_write(fd, b.s, buf_len(&b), -1);
    buf_free(&b);
    return r;
}

/* 0 or -errno; -EPIPE at the end. */
static int get_words(int fd, strarray_t *words)
{
    char head[4];
    ssize_t n = retry_read(fd, head, sizeof(head), -1);

    if (n != (ssize_t)sizeof(head)) return n < 0 ? (int)n : -EPIPE;
    size_t len = get_be32(head);
    char *text = xmalloc(len + 1);
    n = retry_read(fd, text, len, -1);
    int r = n == (ssize_t)len ? 0 : n < 0 ? (int)n : -EPIPE;
    text[len] = '\0';
    for (size_t at = 0; !r && at < len; at += strlen(text + at) + 1) strarray_append(words, text + at);
    free(text);
    return r;
}

/* ---- counts ---- */

static uint64_t *counts_of(struct sync_client *sc, int i)
{
    uint64_t *counts[] = { &sc->mailboxes, &sc->messages, &sc->octets, &sc->differences };

    return i < (int)array_size(counts) ? counts[i] : NULL;
}

static void put_counts(struct sync_client *sc, strarray_t *words)
{
    for (int i = 0; counts_of(sc, i); i++) {
        strarray_appendm(words, xasprintf("%" PRIu64, *counts_of(sc, i)));
        *counts_of(sc, i) = 0;
    }
}

static void take_counts(struct sync_client *sc, strarray_t *words)
{
    for (int i = 0; counts_of(sc, i); i++) {
        char *n = strarray_shift(words);
        *counts_of(sc, i) += n ? strtoull(n, NULL, 10) : 0;
        free(n);
    }
}

/* ---- the worker ---- */

static int one_job(const struct sync_pool *pool, struct sync_client *sc, int fd)
{
    strarray_t job = STRARRAY_INITIALIZER, head = STRARRAY_INITIALIZER, answer = STRARRAY_INITIALIZER;
    int r = get_words(fd, &job);

    if (!r) {
        int result = pool->ops->work(sc, &job, &answer, pool->rock);
        fflush(NULL);
        strarray_appendm(&head, xasprintf("%d", result));
        put_counts(sc, &head);
        strarray_cat(&head, &answer);
        r = put_words(fd, &head);
    }
    strarray_fini(&job);
    strarray_fini(&head);
    strarray_fini(&answer);
    return r;
}

static void be_a_worker(const struct sync_pool *pool, int fd) __attribute__((noreturn));
static void be_a_worker(const struct sync_pool *pool, int fd)
{
    struct sync_client *sc = pool->sc;
    strarray_t nothing = STRARRAY_INITIALIZER;
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    int r = 0;

    put_counts(sc, &nothing); /* they are the parent's */
    strarray_fini(&nothing);
    txn_need_store();
    while (!r && !signals_shutdown()) {
        int n = signals_poll_fds(&pfd, 1, pool->ops->idle ? IDLE_TICK : -1);
        if (n > 0) r = one_job(pool, sc, fd);
        if (!n && pool->ops->idle) pool->ops->idle(sc, pool->rock);
        if (n < 0 && n != -EINTR) r = n;
    }
    sync_client_fini(sc);
    txn_shutdown();
    _exit(EX_OK);
}

static bool is_same_file(int a, int b)
{
    struct stat one, two;

    return !fstat(a, &one) && !fstat(b, &two) && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

static int open_said(void)
{
    char *path = xasprintf("%s/sync_client.XXXXXX", config_getstring(IMAPOPT_TEMP_PATH));
    int fd = diskio_mkstemp(path);
    int r = fd < 0 ? fd : diskio_unlink(path);

    if (!r && fcntl(fd, F_SETFL, O_APPEND) < 0) r = -errno;
    if (r) xsyslog_errno(LOG_ERR, r, "IOERROR: can't make a file for what a worker says", "filename=<%s>", path);
    free(path);
    if (r) fatal("no room for what a worker says", EX_TEMPFAIL);
    return fd;
}

static void become_worker(const struct sync_pool *pool, const struct worker *w, int fd) __attribute__((noreturn));
static void become_worker(const struct sync_pool *pool, const struct worker *w, int fd)
{
    for (int i = 0; i < pool->size; i++)
        if (pool->workers[i].pid) close(pool->workers[i].fd);
    close(w->fd);
    if (dup2(w->said[0], STDOUT_FILENO) < 0 || dup2(w->said[1], STDERR_FILENO) < 0) fatal("dup2 failed", EX_OSERR);
    be_a_worker(pool, fd);
}

static void start(struct sync_pool *pool, struct worker *w)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) fatal("socketpair failed", EX_OSERR);
    fflush(NULL);
    w->fd = fds[0];
    w->said[0] = open_said();
    w->said[1] = is_same_file(STDOUT_FILENO, STDERR_FILENO) ? w->said[0] : open_said();
    pid_t pid = fork();
    if (pid < 0) fatal("fork failed", EX_OSERR);
    if (!pid) become_worker(pool, w, fds[1]);
    w->pid = pid;
    close(fds[1]);
}

/* ---- the parent ---- */

static void copy_out(int from, int to)
{
    char bytes[16 * 1024];
    uint64_t at = 0;
    ssize_t n;

    while ((n = diskio_pread(from, bytes, sizeof(bytes), at)) > 0) {
        if (retry_write(to, bytes, (size_t)n, -1)) break;
        at += (uint64_t)n;
    }
    if (at) (void)diskio_ftruncate(from, 0);
}

static void let_out(const struct worker *w)
{
    fflush(NULL);
    copy_out(w->said[0], STDOUT_FILENO);
    if (w->said[1] != w->said[0]) copy_out(w->said[1], STDERR_FILENO);
}

/* The caller frees. */
static char *how_it_ended(int status)
{
    if (WIFSIGNALED(status)) return xasprintf("the worker was killed by signal %d", WTERMSIG(status));
    return xasprintf("the worker ended with code %d", WEXITSTATUS(status));
}

/* It has ended, or is about to. */
static void bury(struct worker *w, char **how)
{
    int status = 0;

    close(w->fd);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR) continue;
    let_out(w);
    if (w->said[1] != w->said[0]) (void)diskio_close(w->said[1]);
    (void)diskio_close(w->said[0]);
    w->pid = 0;
    if (how) *how = how_it_ended(status);
}

static void it_died(struct sync_pool *pool, struct worker *w)
{
    struct sync_pool_end end = { .outcome = SYNC_POOL_DIED };
    char *how;
    void *job = w->job;

    w->job = NULL;
    bury(w, &how);
    end.text = how;
    if (job) {
        pool->ops->ended(job, &end, pool->rock);
    }
    else {
        syslog(LOG_NOTICE, "sync_client: %s, with no work in hand", how);
    }
    free(how);
}

static void hear(struct sync_pool *pool, struct worker *w)
{
    strarray_t words = STRARRAY_INITIALIZER;
    struct sync_pool_end end = { .answer = &words };

    if (get_words(w->fd, &words) || !w->job) {
        it_died(pool, w);
    }
    else {
        void *job = w->job;
        char *result = strarray_shift(&words);
        w->job = NULL;
        end.r = (int)strtol(result ? result : "", NULL, 10);
        free(result);
        take_counts(pool->sc, &words);
        let_out(w);
        end.outcome = end.r ? SYNC_POOL_UNCONNECTED : SYNC_POOL_DONE;
        end.text = error_message(end.r);
        pool->ops->ended(job, &end, pool->rock);
    }
    strarray_fini(&words);
}

static int count_busy(const struct sync_pool *pool)
{
    int busy = 0;

    for (int i = 0; i < pool->size; i++) busy += pool->workers[i].job != NULL;
    return busy;
}

/* One that lives and has nothing to do, else a place for one. */
static struct worker *free_hands(struct sync_pool *pool)
{
    struct worker *place = NULL;

    for (int i = 0; i < pool->size; i++) {
        struct worker *w = &pool->workers[i];
        if (w->pid && !w->job) return w;
        if (!w->pid && !place) place = w;
    }
    return place;
}

/* True when there was a job. */
static bool give_next(struct sync_pool *pool, struct worker *w)
{
    strarray_t words = STRARRAY_INITIALIZER;
    void *job = pool->ops->next(&words, count_busy(pool), pool->rock);

    if (job) {
        if (!w->pid) start(pool, w);
        w->job = job;
        if (put_words(w->fd, &words)) it_died(pool, w);
    }
    strarray_fini(&words);
    return job != NULL;
}

static void listen_to_all(struct sync_pool *pool, int ms)
{
    struct pollfd *fds = xcalloc((size_t)pool->size, sizeof(*fds));

    for (int i = 0; i < pool->size; i++)
        fds[i] = (struct pollfd){ .fd = pool->workers[i].pid ? pool->workers[i].fd : -1, .events = POLLIN };
    int n = signals_poll_fds(fds, (nfds_t)pool->size, ms);
    for (int i = 0; i < pool->size && n > 0; i++)
        if (fds[i].revents) hear(pool, &pool->workers[i]);
    free(fds);
}

void sync_pool_run(struct sync_pool *pool)
{
    for (;;) {
        bool ending = pool->ops->must_end(pool->rock);
        bool paused = monotonic_ms() < pool->not_before;
        struct worker *w;
        while (!ending && !paused && (w = free_hands(pool)) && give_next(pool, w)) {
            ending = pool->ops->must_end(pool->rock);
            paused = monotonic_ms() < pool->not_before;
        }
        if (!count_busy(pool) && (ending || !paused)) return;
        listen_to_all(pool, TICK);
    }
}

void sync_pool_pause(struct sync_pool *pool, int seconds)
{
    pool->not_before = monotonic_ms() + (unsigned long long)seconds * 1000;
}

struct sync_pool *sync_pool_new(struct sync_client *sc, int size, const struct sync_pool_ops *ops, void *rock)
{
    struct sync_pool *pool = xzmalloc(sizeof(*pool));

    *pool = (struct sync_pool){ .sc = sc, .size = size, .ops = ops, .rock = rock };
    pool->workers = xcalloc((size_t)size, sizeof(*pool->workers));
    return pool;
}

void sync_pool_free(struct sync_pool **poolp)
{
    struct sync_pool *pool = *poolp;

    if (!pool) return;
    for (int i = 0; i < pool->size; i++)
        if (pool->workers[i].pid) bury(&pool->workers[i], NULL);
    free(pool->workers);
    free(pool);
    *poolp = NULL;
}
