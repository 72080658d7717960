/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verified -- which message files were found whole, and when
 *
 * A table of fixed size on disk, mapped for reading, written with one system call, and without a lock. An entry
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
#define TABLE_BYTES ((uint64_t)ENTRIES * ENTRY)
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

/* The table of this process; it is opened once, until verified_rest. */
static struct {
    bool tried;
    int fd;                /* -1: none */
    struct diskio_map map; /* sees what any process writes */
} table;

/* Its size never changes: what is mapped stays there. */
static int open_table(const char *path)
{
    struct stat st;
    int fd = diskio_open(path, O_RDWR | O_CREAT, 0600);
    int r = fd < 0 ? fd : diskio_fstat(fd, &st);

    if (!r && (uint64_t)st.st_size < TABLE_BYTES) r = diskio_ftruncate(fd, TABLE_BYTES);
    if (!r) r = diskio_map_refresh(&table.map, fd, TABLE_BYTES);
    if (!r) return fd;
    if (fd >= 0) diskio_close(fd);
    return -1;
}

static bool have_table(void)
{
    if (!table.tried && config_dir) {
        char *path = xasprintf("%s/verified", config_dir);
        table.fd = open_table(path);
        table.tried = true;
        free(path);
    }
    return table.tried && table.fd >= 0;
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

static const char *group_of(const struct stat *st)
{
    return table.map.base + group_offset(st);
}

time_t verified_when(const struct stat *st, const struct message_guid *guid)
{
    char mine[ENTRY], e[ENTRY];

    if (!have_table()) return 0;
    identify(st, guid, mine);
    const char *group = group_of(st);
    for (size_t at = 0; at < GROUP_BYTES; at += ENTRY) {
        if (memcmp(group + at, mine, AT_TIME)) continue;
        memcpy(e, group + at, ENTRY); /* it may change meanwhile */
        if (!memcmp(e, mine, AT_TIME) && is_whole(e)) return (time_t)get_be32(e + AT_TIME);
    }
    return 0;
}

/* The entry of the same file, of nobody, or the oldest. */
static uint64_t victim(const char *group, const char *mine)
{
    uint64_t worst = 0, lowest = UINT64_MAX;

    for (size_t at = 0; at < GROUP_BYTES; at += ENTRY) {
        uint64_t age = is_whole(group + at) ? get_be32(group + at + AT_TIME) : 0;

        if (!memcmp(group + at, mine, AT_SIZE)) return at;
        if (age >= lowest) continue;
        lowest = age;
        worst = at;
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
    char mine[ENTRY];

    if (!have_table() || !is_settled(st)) return;
    identify(st, guid, mine);
    put_be32(mine + AT_TIME, (uint32_t)time(NULL));
    put_be32(mine + AT_CRC, crc32_map(mine, AT_CRC));
    (void)diskio_pwrite(table.fd, mine, ENTRY, group_offset(st) + victim(group_of(st), mine));
}

void verified_rest(void)
{
    if (!table.tried) return;
    diskio_map_free(&table.map);
    if (table.fd >= 0) diskio_close(table.fd);
    table.tried = false;
}
