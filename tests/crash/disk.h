/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * disk -- what a disk may hold after a power cut
 *
 * A disk is a directory tree at rest and the trace (lib/diskio_trace.h) of all that was done to it
 * afterwards. From it an image is made for a cut at any position of the trace:
 * what a sync had made durable by then is in it, and of the rest as much as the disk
 * pleases. doc/crash-tests.md has the model.
 *
 * Positions count the records of the trace from 1; a cut at p has seen the records up
 * to p. Offsets and lengths are bytes. Memory that can't be had, and a trace that makes no
 * sense, end the program: a test must not pass by that.
 */
#ifndef CYL_CRASH_DISK_H
#define CYL_CRASH_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "hash.h"

#define DISK_SECTOR 512u
#define DISK_NEVER UINT32_MAX

enum disk_kind {
    DISK_NAME,   /* a name leads to inode (0: to nothing) */
    DISK_RENAME, /* name leads to nothing, name2 to inode; both or neither */
    DISK_WRITE,  /* data at off */
    DISK_LENGTH, /* the file has off bytes */
    DISK_TIME,   /* mtime */
    DISK_MODE,
};

struct disk_op {
    enum disk_kind kind;
    uint32_t pos;
    uint32_t durable; /* position of the sync that made it so, or DISK_NEVER */
    uint32_t inode;
    uint32_t name, name2;
    uint32_t prev, prev2; /* op before on the same name, index + 1 */
    uint64_t off;
    const char *data;
    size_t len;
};

struct disk_inode {
    mode_t mode;     /* type and permissions */
    struct buf base; /* bytes when the trace began; target of a symbolic link */
    time_t mtime;    /* 0: not known */
    uint32_t *ops;   /* its own operations, in order; not those of names */
    uint32_t nops, nalloc;
    uint32_t first_name; /* of a directory: its names, chained; index + 1 */
    uint32_t made; /* of a directory: the op that gave it its name, index + 1; 0: it was there */
};

struct disk_name {
    uint32_t dir;
    char *text;
    uint32_t base, now; /* inode when the trace began, and behind all of it */
    uint32_t last;      /* op that changed it last, index + 1 */
    uint32_t next;      /* of the same directory, index + 1 */
};

/* A marker of the client: command `number` begins, or has been answered. */
struct disk_mark {
    uint32_t pos;
    bool answered;
    unsigned number;
};

struct disk {
    char *root;
    struct disk_inode *inodes; /* [0] is none, [1] the root */
    uint32_t ninodes, inodes_alloc;
    struct disk_name *names;
    uint32_t nnames, names_alloc;
    struct disk_op *ops;
    uint32_t nops, ops_alloc;
    struct disk_mark *marks;
    uint32_t nmarks, marks_alloc;
    uint32_t *events; /* positions at which something happened */
    uint32_t nevents, events_alloc;
    uint32_t npos;  /* records read */
    uint32_t syncs; /* that ended */
    hash_table byname, bynumber;
};

/* -- loading (disk_load.c) -- */
/* Reads the tree `copy` as what is below root. Files of other types than regular, directory
 * and link are left out. */
struct disk *disk_new(const char *root, const char *copy);
/* Adds the trace; operations outside of root are left out. */
void disk_add_trace(struct disk *disk, const char *trace);
void disk_free(struct disk *disk);
/* Names in the root directory that count: conf, and partitions (spool...); not what stands beside the store. */
bool disk_is_part(const char *text);
/* Index + 1 of the name in that directory; 0: there never was one. */
uint32_t disk_find_name(const struct disk *disk, uint32_t dir, const char *text);
/* The last command answered, and the last one begun, before the cut; -1: none. */
void disk_commands(const struct disk *disk, uint32_t pos, int *answered, int *begun);

/* -- images (disk_image.c) -- */
enum disk_mode {
    DISK_ALL,    /* everything up to the cut: all processes die at once, the machine goes on */
    DISK_SYNCED, /* only what was durable */
    DISK_SOME,   /* any part of the rest, torn at sectors */
    DISK_NMODES
};
struct disk_cut {
    uint32_t pos;
    enum disk_mode mode;
    uint64_t seed;
};
struct disk_image {
    const struct disk *disk;
    struct disk_cut cut;
    uint32_t *names; /* inode of each name */
    char **paths;    /* by inode: where it was written, for further links */
};
void disk_image_init(struct disk_image *image, const struct disk *disk, struct disk_cut cut);
void disk_image_fini(struct disk_image *image);
/* Bytes of a file in this image; mtime may be NULL. */
void disk_image_bytes(const struct disk_image *image, uint32_t inode, struct buf *out,
                      time_t *mtime);
/* Writes the image below root, which has nothing of it; the hash of all names and bytes. */
uint64_t disk_image_write(struct disk_image *image);
/*
 * Compares an image of everything with the tree below root; the number of differences, told to
 * stderr. Files that something else than diskio writes are left out.
 */
unsigned disk_image_compare(struct disk_image *image);
/* Removes what images write. */
void disk_clear(const char *root);

/* A stream of numbers from a seed. */
uint64_t disk_random(uint64_t *state);

#endif
