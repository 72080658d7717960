/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * filesum -- the sum of a small file that has no place for one, kept with its inode
 *
 * The value of the attribute is 8 hexadecimal digits.
 */
#include <config.h>

#include "filesum.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crc32.h"
#include "diskio.h"

#define ATTRIBUTE "user.cylinder.crc32"
#define DIGITS 8

uint32_t filesum_of(const void *base, size_t len)
{
    return crc32_map(base ? base : "", len);
}

void filesum_set(int fd, const void *base, size_t len)
{
    char text[DIGITS + 1];

    snprintf(text, sizeof(text), "%08" PRIx32, filesum_of(base, len));
    (void)diskio_setattr(fd, ATTRIBUTE, text, DIGITS);
}

bool filesum_get(int fd, uint32_t *sum)
{
    char text[DIGITS + 1] = "", *end;

    if (diskio_getattr(fd, ATTRIBUTE, text, DIGITS) != DIGITS) return false;
    *sum = (uint32_t)strtoul(text, &end, 16);
    return !*end;
}

bool filesum_iswrong(int fd, const void *base, size_t len)
{
    uint32_t sum;

    return filesum_get(fd, &sum) && sum != filesum_of(base, len);
}

int filesum_map(const char *path, struct diskio_map *map, struct stat *st, bool *wrong)
{
    struct stat mine;

    *map = (struct diskio_map)DISKIO_MAP_INITIALIZER;
    int fd = diskio_open(path, O_RDONLY, 0);
    int r = fd < 0 ? fd : diskio_fstat(fd, &mine);
    if (!r) r = diskio_map_refresh(map, fd, (size_t)mine.st_size);
    *wrong = !r && filesum_iswrong(fd, map->base, map->len);
    if (!r && st) *st = mine;
    if (fd >= 0) diskio_close(fd);
    return r;
}

bool filesum_iswrong_path(const char *path)
{
    struct diskio_map map;
    bool wrong;

    (void)filesum_map(path, &map, NULL, &wrong);
    diskio_map_free(&map);
    return wrong;
}

static bool get_path(const char *path, uint32_t *sum)
{
    int fd = diskio_open(path, O_RDONLY, 0);
    bool has = fd >= 0 && filesum_get(fd, sum);

    if (fd >= 0) diskio_close(fd);
    return has;
}

bool filesum_same(const char *a, const char *b)
{
    uint32_t x, y;

    return get_path(a, &x) && get_path(b, &y) && x == y;
}
