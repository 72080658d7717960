/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spill -- bytes put away in the order they come, and read again at any place
 */
#include <config.h>

#include "spill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "util.h"
#include "xmalloc.h"

static size_t limit_or_hook(size_t limit)
{
#ifdef ENABLE_TEST_HOOKS
    const char *hook = getenv("CYLINDER_SPILL_LIMIT");
    uint64_t n;

    if (hook && limit != SPILL_NEVER && !parse_u64(hook, strlen(hook), &n)) return (size_t)n;
#endif
    return limit;
}

void spill_init(struct spill *spill, const char *dir, size_t limit)
{
    *spill = (struct spill){ .dir = dir, .limit = limit_or_hook(limit), .fd = -1 };
}

void spill_fini(struct spill *spill)
{
    buf_free(&spill->mem);
    if (spill->fd >= 0) (void)diskio_close(spill->fd);
    spill->fd = -1;
    spill->written = 0;
}

static int open_file(struct spill *spill)
{
    char *path = xasprintf("%s/cylinder-spill.XXXXXX", spill->dir);
    int r = diskio_mkstemp(path);

    if (r >= 0) {
        spill->fd = r;
        r = diskio_unlink(path);
    }
    free(path);
    return r;
}

static int write_out(struct spill *spill, const char *base, size_t len)
{
    int r = spill->fd < 0 ? open_file(spill) : 0;

    if (!r && len) r = diskio_pwrite(spill->fd, base, len, spill->written);
    if (!r) spill->written += len;
    return r;
}

int spill_add(struct spill *spill, const char *base, size_t len)
{
    int r = 0;

    if (len > spill->limit - cyr_min(spill->limit, spill->mem.len)) {
        r = write_out(spill, spill->mem.s, spill->mem.len);
        if (r) return r;
        buf_reset(&spill->mem);
    }
    if (len > spill->limit) return write_out(spill, base, len);
    buf_appendmap(&spill->mem, base, len);
    return 0;
}

ssize_t spill_read(const struct spill *spill, void *dst, size_t len, uint64_t off)
{
    uint64_t size = spill_size(spill);
    size_t fromfile = 0;

    if (off >= size) return 0;
    len = (size_t)cyr_min((uint64_t)len, size - off);
    if (off < spill->written) {
        fromfile = (size_t)cyr_min((uint64_t)len, spill->written - off);
        int r = diskio_pread_full(spill->fd, dst, fromfile, off);
        if (r) return r;
    }
    if (len > fromfile)
        memcpy((char *)dst + fromfile, spill->mem.s + (off + fromfile - spill->written),
               len - fromfile);
    return (ssize_t)len;
}
