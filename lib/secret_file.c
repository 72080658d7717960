/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * secret_file -- a password in a file of its own
 *
 * What is looked at is the file that was opened. The group may read it, or a file of root's could not be read by the server.
 */
#include <config.h>

#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diskio.h"
#include "util.h"

#define FORBIDDEN_MODE (S_IWGRP | S_IRWXO)

static int check_file(const struct stat *st, const char *path, struct buf *why)
{
    unsigned mode = st->st_mode & 07777;

    if (!S_ISREG(st->st_mode))
        buf_printf(why, "%s is no regular file", path);
    else if (st->st_uid && st->st_uid != geteuid())
        buf_printf(why, "%s (mode %04o) belongs to uid %u, neither root nor this server's user", path, mode, (unsigned)st->st_uid);
    else if (mode & FORBIDDEN_MODE)
        buf_printf(why, "%s has mode %04o: others must not read it, nobody else write it", path, mode);
    else
        return 0;
    return -EPERM;
}

static int take_line(const char *line, size_t len, const char *path, struct buf *secret, struct buf *why)
{
    const char *end = memchr(line, '\n', len);

    if (end) len = (size_t)(end - line);
    if (len && line[len - 1] == '\r') len--;
    if (len > 0 && len <= SECRET_FILE_MAX && !memchr(line, '\0', len)) {
        buf_setmap(secret, line, len);
        return 0;
    }
    buf_printf(why, "%s has no secret of 1 to %d bytes in its first line", path, SECRET_FILE_MAX);
    return -EINVAL;
}

static int cannot_read(int r, const char *path, struct buf *why)
{
    buf_printf(why, "cannot read %s: %s", path, strerror(-r));
    return r;
}

static int read_open(int fd, const char *path, struct buf *secret, struct buf *why)
{
    char line[SECRET_FILE_MAX + 2];
    struct stat st;
    int r = diskio_fstat(fd, &st);

    if (r) return cannot_read(r, path, why);
    r = check_file(&st, path, why);
    if (r) return r;
    ssize_t n = diskio_pread(fd, line, sizeof(line), 0);
    r = n < 0 ? cannot_read((int)n, path, why) : take_line(line, (size_t)n, path, secret, why);
    secure_zero(line, sizeof(line));
    return r;
}

int secret_file_read(const char *path, struct buf *secret, struct buf *why)
{
    int fd = diskio_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);

    if (fd < 0) return cannot_read(fd, path, why);
    int r = read_open(fd, path, secret, why);
    (void)diskio_close(fd);
    return r;
}

void secret_free(struct buf *secret)
{
    if (secret->s) secure_zero(secret->s, secret->alloc);
    buf_free(secret);
}
