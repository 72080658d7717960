/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append_spool -- bytes of a message while it comes in
 *
 * A client may take its time over a large message, and no lock is held meanwhile.
 * Up to SPOOL_MEMORY bytes are kept in memory; more go to a file in temp_path that
 * has no name, so nothing is left behind whatever happens.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "append_parse.h"
#include "imap_err.h"
#include "libconfig.h"
#include "nonblock.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define SPOOL_MEMORY (256 * 1024)

void spool_init(struct spool *sp)
{
    buf_init(&sp->mem);
    sp->fd = -1;
    sp->size = 0;
}

static int open_file(void)
{
    const char *dir = config_getstring(IMAPOPT_TEMP_PATH);
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0) return fd;
    char *path = xasprintf("%s/cylinder-append.XXXXXX", dir);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    else
        xsyslog(LOG_ERR, "IOERROR: can't make temporary file", "filename=<%s>", path);
    free(path);
    return fd;
}

static int put(struct spool *sp, const char *base, size_t len)
{
    int r = retry_write(sp->fd, base, len, -1);

    if (r >= 0) return 0;
    xsyslog_errno(LOG_ERR, r, "IOERROR: can't write temporary file", "size=<%llu>",
                  (unsigned long long)sp->size);
    return r == -ENOSPC ? IMAP_NOSPACE : IMAP_IOERROR;
}

int spool_add(struct spool *sp, const char *base, size_t len)
{
    int r = 0;

    if (sp->fd < 0 && sp->mem.len + len > SPOOL_MEMORY) {
        sp->fd = open_file();
        if (sp->fd < 0) return IMAP_IOERROR;
        r = put(sp, sp->mem.s, sp->mem.len);
        buf_free(&sp->mem);
    }
    if (!r && sp->fd < 0)
        buf_appendmap(&sp->mem, base, len);
    else if (!r)
        r = put(sp, base, len);
    if (!r) sp->size += len;
    return r;
}

int spool_map(struct spool *sp, struct buf *view)
{
    if (sp->fd < 0) {
        buf_init_ro(view, buf_cstring(&sp->mem), sp->mem.len);
        return 0;
    }
    buf_free(&sp->mem);
    int r = buf_init_mmap(&sp->mem, sp->fd, 0, (size_t)sp->size);
    if (r) {
        xsyslog_errno(LOG_ERR, r, "IOERROR: can't map temporary file", "size=<%llu>",
                      (unsigned long long)sp->size);
        return IMAP_IOERROR;
    }
    buf_init_ro(view, sp->mem.s, sp->mem.len);
    return 0;
}

void spool_fini(struct spool *sp)
{
    buf_free(&sp->mem);
    if (sp->fd >= 0) close(sp->fd);
    sp->fd = -1;
}
