/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verified -- which message files were found whole, and when
 *
 * A table of fixed size on disk, read and written with one system call each and without a lock. An entry
 * holds all that identifies a file, and a CRC: one that two processes wrote at once, zeros, or rubbish are
 * nobody's entry. A file has its place in a small group of entries; the oldest of them gives way. Errors are
 * no matter: the file is hashed again.
 */
#include <config.h>

#include "verified.h"

#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "diskio.h"
#include "libconfig.h"
#include "util.h"
#include "xmalloc.h"

#define ENTRIES 65536u
#define GROUP 4u  /* entries that one file may have */
#define ENTRY 64u /* bytes */
#define GROUP_BYTES (GROUP * ENTRY)
#define SETTLED 0.1 /* seconds; several steps of the clock of a file system */

/* Offsets in an entry; numbers are big-endian. */
enum {
    AT_DEV = 0,
    AT_INO = 8,
    AT_SIZE = 16,
    AT_MTIME = 20, /* nanoseconds */
    AT_CTIME = 28,
    AT_GUID = 36,
    AT_TIME = 56, /* of the verification, in seconds */
    AT_CRC = 60,
};

/* The table of this process; it is opened once. */
static struct {
    bool tried;
    int fd;
} table;

static int table_fd(void)
{
    if (table.tried) return table.fd;
    table.tried = true;
    table.fd = -1;
    if (!config_dir) return -1;
    char *path = xasprintf("%s/verified", config_dir);
    table.fd = diskio_open(path, O_RDWR | O_CREAT, 0600);
    free(path);
    return table.fd;
}

static uint64_t nanoseconds(const struct timespec *ts)
{
    return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

/* All but time and CRC. */
static void identify(const struct stat *st, const struct message_guid *guid, char *entry)
{
    put_be64(entry + AT_DEV, (uint64_t)st->st_dev);
    put_be64(entry + AT_INO, (uint64_t)st->st_ino);
    put_be32(entry + AT_SIZE, (uint32_t)st->st_size);
    put_be64(entry + AT_MTIME, nanoseconds(&st->st_mtim));
    put_be64(entry + AT_CTIME, nanoseconds(&st->st_ctim));
    memcpy(entry + AT_GUID, guid->value, MESSAGE_GUID_SIZE);
}

static uint64_t group_offset(const struct stat *st)
{
    uint64_t h = ((uint64_t)st->st_ino ^ ((uint64_t)st->st_dev << 32)) * 0x9e3779b97f4a7c15u;

    return (h >> 32) % (ENTRIES / GROUP) * GROUP_BYTES;
}

static bool is_whole(const char *entry)
{
    return get_be32(entry + AT_CRC) == crc32_map(entry, AT_CRC);
}

/* Behind the end of the table are no entries: zeros, whose CRC is wrong. */
static int read_group(const struct stat *st, char *group)
{
    int fd = table_fd();
    ssize_t n = fd < 0 ? fd : diskio_pread(fd, group, GROUP_BYTES, group_offset(st));

    if (n < 0) return -1;
    memset(group + n, 0, GROUP_BYTES - (size_t)n);
    return 0;
}

time_t verified_when(const struct stat *st, const struct message_guid *guid)
{
    char group[GROUP_BYTES], mine[ENTRY];

    if (read_group(st, group)) return 0;
    identify(st, guid, mine);
    for (const char *e = group; e < group + GROUP_BYTES; e += ENTRY)
        if (!memcmp(e, mine, AT_TIME) && is_whole(e)) return (time_t)get_be32(e + AT_TIME);
    return 0;
}

/* The entry of the same file, of nobody, or the oldest. */
static const char *victim(const char *group, const char *mine)
{
    const char *worst = group;
    uint64_t lowest = UINT64_MAX;

    for (const char *e = group; e < group + GROUP_BYTES; e += ENTRY) {
        uint64_t age = is_whole(e) ? get_be32(e + AT_TIME) : 0;

        if (!memcmp(e, mine, AT_SIZE)) return e;
        if (age >= lowest) continue;
        lowest = age;
        worst = e;
    }
    return worst;
}

static bool is_settled(const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    double age = (double)(now.tv_sec - st->st_ctim.tv_sec) +
                 (double)(now.tv_nsec - st->st_ctim.tv_nsec) / 1e9;
    return age > SETTLED;
}

void verified_note(const struct stat *st, const struct message_guid *guid)
{
    char group[GROUP_BYTES], mine[ENTRY];

    if (!is_settled(st) || read_group(st, group)) return;
    identify(st, guid, mine);
    put_be32(mine + AT_TIME, (uint32_t)time(NULL));
    put_be32(mine + AT_CRC, crc32_map(mine, AT_CRC));
    uint64_t off = group_offset(st) + (uint64_t)(victim(group, mine) - group);
    (void)diskio_pwrite(table.fd, mine, ENTRY, off);
}
