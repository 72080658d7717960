/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nonblock -- sockets and pipes: blocking or not, and whole reads and writes
 *
 * For streams between processes, never for stored data (that is diskio). EINTR
 * is retried, short counts are completed. Timeouts are milliseconds of the whole
 * call, -1 for none; they work on blocking and non-blocking descriptors.
 */
#ifndef CYL_NONBLOCK_H
#define CYL_NONBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* 0 or -errno. */
int nonblock(int fd, bool on);
int cloexec(int fd, bool on);

/* Reads len bytes, fewer only at the end of the stream; the count, or -errno (-ETIMEDOUT). */
ssize_t retry_read(int fd, void *buf, size_t len, int timeout_ms);
/* Reads what is there, at least one byte unless at the end; the count, or -errno. */
ssize_t retry_read_some(int fd, void *buf, size_t len, int timeout_ms);
/* Writes all bytes; 0 or -errno. */
int retry_write(int fd, const void *buf, size_t len, int timeout_ms);
int retry_writev(int fd, const struct iovec *iov, int n, int timeout_ms);
/* Waits until the descriptor is readable (writable); 0, -ETIMEDOUT or -errno. */
int wait_readable(int fd, int timeout_ms);
int wait_writable(int fd, int timeout_ms);

#endif
