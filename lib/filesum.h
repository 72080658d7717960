/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CYL_FILESUM_H
#define CYL_FILESUM_H
/*
 * filesum -- the sum of a small file that has no place for one, kept with its inode
 *
 * The CRC-32 of the bytes stands in the extended attribute user.cylinder.crc32 of the file. Files that have it are written beside
 * the old one and renamed, by this server and by a packaged 3.6.1 alike, which does not know the attribute: what it writes
 * is a new file without a sum, and is taken as it is. A sum that is not that of the bytes so means that they have changed in
 * place, which no server does. Where the file system keeps no such attributes there is no sum.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diskio_map;
struct stat;

/* Gives the file its sum, before it gets its name; there is none if that fails. */
void filesum_set(int fd, const void *base, size_t len);
/* The sum that the file has; false: none. */
bool filesum_get(int fd, uint32_t *sum);
uint32_t filesum_of(const void *base, size_t len);
/* The file has a sum, and it is not that of these bytes, its content. */
bool filesum_iswrong(int fd, const void *base, size_t len);
/* Both files have a sum, and the same. */
bool filesum_same(const char *a, const char *b);
/*
 * The bytes of the file, and whether they have changed in place; st may be NULL. 0 or -errno. map: free with diskio_map_free
 * in any case.
 */
int filesum_map(const char *path, struct diskio_map *map, struct stat *st, bool *wrong);
/* As filesum_iswrong by name, of what is there; false: it can't be read. */
bool filesum_iswrong_path(const char *path);

#endif
