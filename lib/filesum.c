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
#include <string.h>

#include "crc32.h"
#include "diskio.h"

#define ATTRIBUTE "user.cylinder.crc32"
#define DIGITS 8

static void print(const void *base, size_t len, char text[DIGITS + 1])
{
    snprintf(text, DIGITS + 1, "%08" PRIx32, crc32_map(base ? base : "", len));
}

void filesum_set(int fd, const void *base, size_t len)
{
    char text[DIGITS + 1];

    print(base, len, text);
    (void)diskio_setattr(fd, ATTRIBUTE, text, DIGITS);
}

bool filesum_iswrong(int fd, const void *base, size_t len)
{
    char text[DIGITS + 1], kept[DIGITS + 1];

    if (diskio_getattr(fd, ATTRIBUTE, kept, sizeof(kept)) != DIGITS) return false;
    print(base, len, text);
    return memcmp(text, kept, DIGITS) != 0;
}

bool filesum_iswrong_path(const char *path)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    bool wrong = false;

    int fd = diskio_open(path, O_RDONLY, 0);
    int64_t size = fd < 0 ? fd : diskio_size(fd);
    if (size >= 0 && !diskio_map_refresh(&map, fd, (size_t)size)) wrong = filesum_iswrong(fd, map.base, map.len);
    diskio_map_free(&map);
    if (fd >= 0) diskio_close(fd);
    return wrong;
}
