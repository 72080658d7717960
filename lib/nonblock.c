/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nonblock -- sockets and pipes: blocking or not, and whole reads and writes
 *
 * Each call tries first and waits only when the descriptor says EAGAIN, or, when a
 * timeout is set, waits before it tries, since a blocking descriptor can't be
 * left. Time is that of the monotonic clock and covers the whole call. A peer that
 * is gone is -EPIPE (SIGPIPE is to be ignored, see signals.h).
 */
#include <config.h>

#include "nonblock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include "times.h"

int nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0) return -errno;
    int want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return want != flags && fcntl(fd, F_SETFL, want) < 0 ? -errno : 0;
}

int cloexec(int fd, bool on)
{
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

/* -- waiting -- */

/* When a call must be done; for ever when timeout_ms < 0. */
struct deadline {
    bool forever;
    unsigned long long at;
};

static struct deadline deadline_in(int timeout_ms)
{
    if (timeout_ms < 0) return (struct deadline){ .forever = true };
    return (struct deadline){ .at = monotonic_ms() + (unsigned long long)timeout_ms };
}

static int wait_until(int fd, short events, const struct deadline *deadline)
{
    for (;;) {
        int left = -1;
        if (!deadline->forever) {
            unsigned long long now = monotonic_ms();
            left = now >= deadline->at ? 0 : (int)(deadline->at - now);
        }
        struct pollfd pfd = { .fd = fd, .events = events };
        int r = poll(&pfd, 1, left);
        if (r > 0) return pfd.revents & POLLNVAL ? -EBADF : 0;
        if (!r) return -ETIMEDOUT;
        if (errno != EINTR) return -errno;
    }
}

int wait_readable(int fd, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    return wait_until(fd, POLLIN, &deadline);
}

int wait_writable(int fd, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    return wait_until(fd, POLLOUT, &deadline);
}

/* -- reading -- */

/* One read of at least a byte, unless at the end. */
static ssize_t read_once(int fd, void *buf, size_t len, const struct deadline *deadline)
{
    bool wait = !deadline->forever;

    for (;;) {
        if (wait) {
            int r = wait_until(fd, POLLIN, deadline);
            if (r) return r;
        }
        ssize_t n = read(fd, buf, len);
        if (n >= 0) return n;
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
        wait = wait || errno != EINTR;
    }
}

ssize_t retry_read_some(int fd, void *buf, size_t len, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    return read_once(fd, buf, len, &deadline);
}

ssize_t retry_read(int fd, void *buf, size_t len, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    size_t done = 0;

    while (done < len) {
        ssize_t n = read_once(fd, (char *)buf + done, len - done, &deadline);
        if (n < 0) return n;
        if (!n) break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* -- writing -- */

/*
 * Writes a part of the pieces; a blocking descriptor with a deadline is asked for little at a
 * time.
 */
static ssize_t write_once(int fd, const struct iovec *iov, int n, const struct deadline *deadline)
{
    bool wait = !deadline->forever;

    for (;;) {
        if (wait) {
            int r = wait_until(fd, POLLOUT, deadline);
            if (r) return r;
        }
        ssize_t done = writev(fd, iov, n);
        if (done >= 0) return done;
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
        wait = wait || errno != EINTR;
    }
}

int retry_writev(int fd, const struct iovec *iov, int n, int timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    size_t skip = 0; /* bytes of iov[0] already written */
    size_t most = deadline.forever ? SSIZE_MAX : PIPE_BUF;

    while (n) {
        struct iovec part[64];
        int nparts = 0;
        size_t room = most;
        for (; nparts < n && nparts < 64 && room; nparts++) {
            size_t off = nparts ? 0 : skip, len = iov[nparts].iov_len - off;
            if (len > room) len = room;
            part[nparts] = (struct iovec){ (char *)iov[nparts].iov_base + off, len };
            room -= len;
        }
        ssize_t done = write_once(fd, part, nparts, &deadline);
        if (done < 0) return (int)done;
        size_t left = (size_t)done;
        while (n && left >= iov->iov_len - skip) {
            left -= iov->iov_len - skip;
            skip = 0;
            iov++;
            n--;
        }
        skip += left;
    }
    return 0;
}

int retry_write(int fd, const void *buf, size_t len, int timeout_ms)
{
    struct iovec iov = { (void *)(uintptr_t)buf, len };
    return retry_writev(fd, &iov, 1, timeout_ms);
}
