/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_trace -- reads and writes the records of a disk trace
 *
 * The format is in diskio_trace.h. Writing (diskio_trace_write) is one writev to
 * a file open with O_APPEND, so records of many processes never mix. Reading
 * checks magic, lengths and CRC of each record, and stops with -EBADMSG at the
 * first that is wrong.
 */
#include <config.h>

#include "diskio_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "buf.h"
#include "crc32.h"
#include "diskio_private.h"
#include "util.h"
#include "xmalloc.h"

#define TRACE_MAGIC "CDT1"
#define TRACE_HEADER 88
#define TRACE_CRC_OFFSET 84

struct diskio_trace {
    FILE *f;
    uint64_t pos;
    struct buf bytes; /* the whole record */
    struct buf path, path2;
    struct diskio_trace_rec rec;
};

static const char *const kind_names[DISKIO_TRACE_LAST] = {
    [DISKIO_TRACE_OPEN] = "open",           [DISKIO_TRACE_WRITE] = "write",
    [DISKIO_TRACE_FTRUNCATE] = "ftruncate", [DISKIO_TRACE_FALLOCATE] = "fallocate",
    [DISKIO_TRACE_RENAME] = "rename",       [DISKIO_TRACE_LINK] = "link",
    [DISKIO_TRACE_SYMLINK] = "symlink",     [DISKIO_TRACE_UNLINK] = "unlink",
    [DISKIO_TRACE_MKDIR] = "mkdir",         [DISKIO_TRACE_RMDIR] = "rmdir",
    [DISKIO_TRACE_UTIME] = "utime",         [DISKIO_TRACE_CHMOD] = "chmod",
    [DISKIO_TRACE_COPY] = "copy",           [DISKIO_TRACE_SYNC_BEGIN] = "sync-begin",
    [DISKIO_TRACE_FSYNC] = "fsync",         [DISKIO_TRACE_FDATASYNC] = "fdatasync",
    [DISKIO_TRACE_SYNCFS] = "syncfs",       [DISKIO_TRACE_MARKER] = "marker",
};

const char *diskio_trace_kind_name(enum diskio_trace_kind kind)
{
    return kind > 0 && kind < DISKIO_TRACE_LAST ? kind_names[kind] : "?";
}

/* -- writing -- */

int diskio_trace_write(int fd, const struct diskio_trace_rec *rec)
{
    unsigned char h[TRACE_HEADER];
    size_t pathlen = rec->path ? strlen(rec->path) : 0;
    size_t path2len = rec->path2 ? strlen(rec->path2) : 0;
    size_t total = TRACE_HEADER + pathlen + path2len + rec->datalen;
    struct iovec iov[4] = {
        { h, TRACE_HEADER },
        { (void *)(uintptr_t)rec->path, pathlen },
        { (void *)(uintptr_t)rec->path2, path2len },
        { (void *)(uintptr_t)rec->data, rec->datalen },
    };

    if (total > INT32_MAX) return -EFBIG;
    memcpy(h, TRACE_MAGIC, 4);
    put_be32(h + 4, (uint32_t)total);
    put_be16(h + 8, (uint16_t)rec->kind);
    put_be16(h + 10, (uint16_t)rec->flags);
    put_be32(h + 12, rec->pid);
    put_be64(h + 16, rec->seq);
    put_be64(h + 24, rec->dev);
    put_be64(h + 32, rec->ino);
    put_be64(h + 40, rec->ino2);
    put_be64(h + 48, rec->offset);
    put_be64(h + 56, rec->number);
    put_be64(h + 64, rec->extra);
    put_be32(h + 72, (uint32_t)pathlen);
    put_be32(h + 76, (uint32_t)path2len);
    put_be32(h + 80, (uint32_t)rec->datalen);
    put_be32(h + TRACE_CRC_OFFSET, 0);
    put_be32(h + TRACE_CRC_OFFSET, crc32_iovec(iov, 4));

    ssize_t r;
    do r = writev(fd, iov, 4);
    while (r < 0 && errno == EINTR);
    if (r < 0) return -errno;
    return (size_t)r == total ? 0 : -EIO;
}

/* -- reading -- */

struct diskio_trace *diskio_trace_open(const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (!f) return NULL;

    struct diskio_trace *trace = xzmalloc(sizeof(*trace));
    trace->f = f;
    return trace;
}

void diskio_trace_close(struct diskio_trace *trace)
{
    if (!trace) return;
    fclose(trace->f);
    buf_free(&trace->bytes);
    buf_free(&trace->path);
    buf_free(&trace->path2);
    free(trace);
}

uint64_t diskio_trace_tell(const struct diskio_trace *trace)
{
    return trace->pos;
}

void diskio_trace_rewind(struct diskio_trace *trace)
{
    rewind(trace->f);
    trace->pos = 0;
}

/* Reads one record's bytes into trace->bytes: 1, 0 at the end, or -EBADMSG. */
static int read_record(struct diskio_trace *trace)
{
    struct buf *b = &trace->bytes;

    buf_reset(b);
    buf_ensure(b, TRACE_HEADER);
    size_t n = fread(b->s, 1, TRACE_HEADER, trace->f);
    if (!n && feof(trace->f)) return 0;
    if (n < TRACE_HEADER || memcmp(b->s, TRACE_MAGIC, 4)) return -EBADMSG;
    b->len = n;

    size_t total = get_be32(b->s + 4);
    if (total < TRACE_HEADER || total > INT32_MAX) return -EBADMSG;
    buf_ensure(b, total - n);
    if (fread(b->s + n, 1, total - n, trace->f) != total - n) return -EBADMSG;
    b->len = total;

    uint32_t crc = get_be32(b->s + TRACE_CRC_OFFSET);
    put_be32(b->s + TRACE_CRC_OFFSET, 0);
    return crc == crc32_buf(b) ? 1 : -EBADMSG;
}

int diskio_trace_next(struct diskio_trace *trace, const struct diskio_trace_rec **out)
{
    struct diskio_trace_rec *rec = &trace->rec;
    int r = read_record(trace);
    if (r <= 0) return r;

    const char *h = trace->bytes.s;
    uint64_t pathlen = get_be32(h + 72), path2len = get_be32(h + 76), datalen = get_be32(h + 80);
    if (TRACE_HEADER + pathlen + path2len + datalen != trace->bytes.len) return -EBADMSG;
    unsigned kind = get_be16(h + 8);
    if (!kind || kind >= DISKIO_TRACE_LAST) return -EBADMSG;

    buf_setmap(&trace->path, h + TRACE_HEADER, pathlen);
    buf_setmap(&trace->path2, h + TRACE_HEADER + pathlen, path2len);
    *rec = (struct diskio_trace_rec){
        .kind = (enum diskio_trace_kind)kind,
        .flags = get_be16(h + 10),
        .pid = get_be32(h + 12),
        .seq = get_be64(h + 16),
        .dev = get_be64(h + 24),
        .ino = get_be64(h + 32),
        .ino2 = get_be64(h + 40),
        .offset = get_be64(h + 48),
        .number = get_be64(h + 56),
        .extra = get_be64(h + 64),
        .path = buf_cstring(&trace->path),
        .path2 = buf_cstring(&trace->path2),
        .data = h + TRACE_HEADER + pathlen + path2len,
        .datalen = datalen,
    };
    trace->pos += trace->bytes.len;
    *out = rec;
    return 1;
}
