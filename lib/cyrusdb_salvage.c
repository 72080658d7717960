/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_salvage -- the records that can be read of a damaged database
 *
 * The bytes are taken as they are under a shared lock. Nothing is repaired, no pointer is followed, and the right
 * to read is enough. What is no record is told with its offset; a whole file gives what cyrusdb_foreach would.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "cyrusdb_backend.h"
#include "diskio.h"
#include "filesum.h"
#include "kvmap.h"
#include "xsyslog.h"

static const struct cyrusdb_backend *const backends[] = { &cyrusdb_twoskip, &cyrusdb_skiplist,
                                                          &cyrusdb_flat };

static const struct cyrusdb_backend *find_backend(const char *name)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (!strcmp(backends[i]->name, name)) return backends[i];
    }
    return NULL;
}

void cyrusdb_bad(struct cyrusdb_bad *bad, uint64_t off, uint64_t len, const char *what)
{
    if (bad->what && !strcmp(bad->what, what) && bad->off + bad->len == off) {
        bad->len += len;
        return;
    }
    if (bad->what && bad->to->bad) bad->to->bad(bad->to->rock, bad->off, bad->len, bad->what);
    bad->off = off;
    bad->len = len;
    bad->what = what;
}

static void tell_last(struct cyrusdb_bad *bad)
{
    if (bad->what && bad->to->bad) bad->to->bad(bad->to->rock, bad->off, bad->len, bad->what);
}

/* Maps the file that the path names, locked against writers. */
static int map_locked(const char *fname, int *fdp, struct diskio_map *map)
{
    struct stat st;

    *fdp = diskio_open(fname, O_RDONLY, 0);
    if (*fdp < 0) return *fdp;
    int r = diskio_lock_reopen(fdp, fname, O_RDONLY, DISKIO_LOCK_SHARED, 0, NULL, &st);
    if (!r && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > SIZE_MAX)) r = -EINVAL;
    if (!r) r = diskio_map_refresh(map, *fdp, (size_t)st.st_size);
    if (r) diskio_close(*fdp);
    return r;
}

int cyrusdb_salvage(const char *backend, const char *fname, unsigned flags,
                    const struct cyrusdb_salvage *to)
{
    const char *magic = cyrusdb_detect(fname);
    const struct cyrusdb_backend *be = find_backend(magic ? magic : backend);
    struct diskio_map bytes = DISKIO_MAP_INITIALIZER;
    struct cyrusdb_bad bad = { .to = to };
    struct kvmap map;
    int fd;

    if (!be) return CYRUSDB_NOTIMPLEMENTED;
    int r = map_locked(fname, &fd, &bytes);
    if (r == -ENOENT) return CYRUSDB_NOTFOUND;
    if (r) {
        xsyslog_errno(LOG_ERR, r, "DBERROR: can't read database", "filename=<%s>", fname);
        return cyrusdb_error(r);
    }
    kvmap_init(&map, be->order(flags), false);
    be->salvage(bytes.base ? bytes.base : "", bytes.len, &map, &bad);
    if (filesum_iswrong(fd, bytes.base, bytes.len)) cyrusdb_bad(&bad, 0, bytes.len, "the sum of the file is wrong");
    tell_last(&bad);
    for (const struct kvmap_node *node = kvmap_first(&map); !r && node && to->record;
         node = node->next[0])
        r = to->record(to->rock, node->key, node->keylen, node->data ? node->data : "",
                       node->datalen);
    kvmap_fini(&map);
    diskio_map_free(&bytes);
    diskio_close(fd);
    return r;
}
