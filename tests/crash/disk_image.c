/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * disk_image -- one of the many things a disk may hold after a power cut
 *
 * Names. What a sync covered is done. Of the other changes any may be missing, but that
 * those of one name keep their order, a rename is done as a whole or not at all, and
 * nothing changes in a directory whose own name is missing unless a sync made it so: the files are lost then.
 * A name may lead to a file of which no byte has been written.
 *
 * Bytes. Each sector of a file holds what it held after some prefix of the writes to the file that has all
 * that a sync covered; each sector has a prefix of its own, so writes are torn and out of order. The length
 * is that after a prefix, too: bytes behind it are lost, bytes that it covers and that were not
 * written are zero. A truncation happens as a whole: no sector is older than one that
 * the length has seen, or newer than one that it has not.
 *
 * Some images leave a file all old, all new, or at one prefix: a torn file is only one of the ways to be wrong.
 */
#include <config.h>

#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "util.h"
#include "xmalloc.h"

#define ROOT_INODE 1u

uint64_t disk_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void __attribute__((noreturn)) give_up(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    fatal("an image can't be written", EX_IOERR);
}

/* -- names -- */

static bool is_name_op(const struct disk_op *op)
{
    return op->kind == DISK_NAME || op->kind == DISK_RENAME;
}

/* The directories in which it changes something have their names. */
static bool has_place(const struct disk *disk, const struct disk_op *op, const bool *done)
{
    uint32_t made = disk->inodes[disk->names[op->name].dir].made;
    if (made && !done[made - 1]) return false;
    if (op->kind != DISK_RENAME) return true;
    made = disk->inodes[disk->names[op->name2].dir].made;
    return !made || done[made - 1];
}

/* Which changes of names are done. What is done needs what came before on the same name. */
static void choose_names(const struct disk_image *image, bool *done)
{
    static const unsigned percents[] = { 10, 50, 90 };
    const struct disk *disk = image->disk;
    uint64_t random = image->cut.seed;
    unsigned percent = percents[disk_random(&random) % array_size(percents)];

    for (uint32_t i = 0; i < disk->nops && disk->ops[i].pos <= image->cut.pos; i++) {
        const struct disk_op *op = &disk->ops[i];
        if (!is_name_op(op)) continue;
        done[i] = image->cut.mode == DISK_ALL || op->durable <= image->cut.pos ||
                  (image->cut.mode == DISK_SOME && has_place(disk, op, done) &&
                   disk_random(&random) % 100 < percent);
    }
    for (uint32_t i = disk->nops; i-- > 0;) {
        if (!done[i]) continue;
        if (disk->ops[i].prev) done[disk->ops[i].prev - 1] = true;
        if (disk->ops[i].prev2) done[disk->ops[i].prev2 - 1] = true;
    }
}

void disk_image_init(struct disk_image *image, const struct disk *disk, struct disk_cut cut)
{
    bool *done = xcalloc(disk->nops + 1u, sizeof(*done));

    *image = (struct disk_image){ .disk = disk, .cut = cut };
    image->names = xcalloc(disk->nnames + 1u, sizeof(*image->names));
    image->paths = xcalloc(disk->ninodes, sizeof(*image->paths));
    choose_names(image, done);
    for (uint32_t i = 0; i < disk->nnames; i++) image->names[i] = disk->names[i].base;
    for (uint32_t i = 0; i < disk->nops; i++) {
        const struct disk_op *op = &disk->ops[i];
        if (!done[i]) continue;
        image->names[op->name] = op->kind == DISK_RENAME ? 0 : op->inode;
        if (op->kind == DISK_RENAME) image->names[op->name2] = op->inode;
    }
    free(done);
}

void disk_image_fini(struct disk_image *image)
{
    for (uint32_t i = 0; i < image->disk->ninodes; i++) free(image->paths[i]);
    free(image->paths);
    free(image->names);
}

/* -- bytes -- */

/* How far a file has come: numbers of its operations, counted from the first. */
struct progress {
    uint32_t durable, seen;  /* covered by a sync; before the cut */
    uint32_t length;         /* the length is that after so many */
    uint32_t oldest, newest; /* sectors: after at least, at most so many */
};

static const struct disk_op *nth_op(const struct disk_image *image, uint32_t inode, uint32_t n)
{
    return &image->disk->ops[image->disk->inodes[inode].ops[n]];
}

static uint32_t draw(uint64_t *random, uint32_t low, uint32_t high)
{
    return low + (uint32_t)(disk_random(random) % (high - low + 1u));
}

/* Between the truncations around the length that was drawn. */
static void bound_sectors(const struct disk_image *image, uint32_t inode, struct progress *p)
{
    p->oldest = p->durable;
    p->newest = p->seen;
    for (uint32_t n = p->durable; n < p->seen; n++) {
        if (nth_op(image, inode, n)->kind != DISK_LENGTH) continue;
        if (n < p->length)
            p->oldest = n + 1;
        else if (p->newest == p->seen)
            p->newest = n;
    }
}

static void choose_progress(const struct disk_image *image, uint32_t inode, struct progress *p,
                            uint64_t *random)
{
    const struct disk_inode *node = &image->disk->inodes[inode];

    *p = (struct progress){ 0 };
    while (p->seen < node->nops && nth_op(image, inode, p->seen)->pos <= image->cut.pos) p->seen++;
    for (uint32_t n = 0; n < p->seen; n++) {
        if (nth_op(image, inode, n)->durable <= image->cut.pos) p->durable = n + 1;
    }
    p->length = image->cut.mode == DISK_ALL ? p->seen : p->durable;
    p->oldest = p->newest = p->length;
    if (image->cut.mode != DISK_SOME) return;

    switch (disk_random(random) % 6) {
    case 0: /* nothing more */ break;
    case 1: p->length = p->oldest = p->newest = p->seen; break;
    case 2: p->length = p->oldest = p->newest = draw(random, p->durable, p->seen); break;
    case 3: /* all of the length, some of the bytes */
        p->length = p->seen;
        bound_sectors(image, inode, p);
        break;
    default: p->length = draw(random, p->durable, p->seen); bound_sectors(image, inode, p);
    }
}

/* Each sector's own prefix; the same whenever it is asked for. */
static bool sector_has(const struct progress *p, uint64_t salt, uint64_t sector, uint32_t n)
{
    if (n < p->oldest) return true;
    if (n >= p->newest) return false;
    uint64_t random = salt ^ (sector * UINT64_C(0xd1342543de82ef95));
    return n < draw(&random, p->oldest, p->newest);
}

static void put(struct buf *out, uint64_t off, const char *data, size_t len)
{
    if (out->len < off + len) buf_appendfill(out, 0, (size_t)(off + len) - out->len);
    memcpy(out->s + off, data, len);
}

static void apply_write(const struct progress *p, const struct disk_op *op, uint32_t n,
                        uint64_t salt, struct buf *out)
{
    if (n < p->oldest) {
        put(out, op->off, op->data, op->len);
        return;
    }
    for (uint64_t at = op->off, end = op->off + op->len; at < end;) {
        uint64_t next = cyr_min(end, (at / DISK_SECTOR + 1) * DISK_SECTOR);
        if (sector_has(p, salt, at / DISK_SECTOR, n))
            put(out, at, op->data + (at - op->off), (size_t)(next - at));
        at = next;
    }
}

static void set_length(struct buf *out, uint64_t len)
{
    if (out->len > len)
        buf_truncate(out, (size_t)len);
    else
        buf_appendfill(out, 0, (size_t)len - out->len);
}

void disk_image_bytes(const struct disk_image *image, uint32_t inode, struct buf *out,
                      time_t *mtime)
{
    const struct disk_inode *node = &image->disk->inodes[inode];
    uint64_t random = image->cut.seed ^ (inode * UINT64_C(0x2545f4914f6cdd1d));
    uint64_t length = node->base.len;
    struct progress p;

    choose_progress(image, inode, &p, &random);
    uint64_t salt = disk_random(&random);
    buf_setmap(out, node->base.s, node->base.len);
    for (uint32_t n = 0; n < p.seen; n++) {
        const struct disk_op *op = nth_op(image, inode, n);
        bool in_length = n < p.length;
        if (op->kind == DISK_WRITE) {
            apply_write(&p, op, n, salt, out);
            if (in_length) length = cyr_max(length, op->off + op->len);
        }
        if (op->kind == DISK_LENGTH && in_length) set_length(out, length = op->off);
        if (op->kind == DISK_TIME && in_length && mtime) *mtime = (time_t)op->off;
    }
    set_length(out, length);
}

static mode_t image_mode(const struct disk_image *image, uint32_t inode)
{
    const struct disk_inode *node = &image->disk->inodes[inode];
    mode_t mode = node->mode;

    for (uint32_t n = 0; n < node->nops && nth_op(image, inode, n)->pos <= image->cut.pos; n++) {
        if (nth_op(image, inode, n)->kind == DISK_MODE) mode = (mode_t)nth_op(image, inode, n)->off;
    }
    return mode & 07777;
}

/* -- to the file system -- */

static uint64_t mix_bytes(uint64_t h, const char *base, size_t len)
{
    return (h ^ hash_bytes(base, len)) * UINT64_C(0x9ddfea08eb382d69);
}

static void write_bytes(const struct disk_image *image, uint32_t inode, const char *path,
                        uint64_t *hash)
{
    struct buf bytes = BUF_INITIALIZER;
    time_t mtime = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, image_mode(image, inode));

    disk_image_bytes(image, inode, &bytes, &mtime);
    if (fd < 0 || write(fd, buf_base(&bytes), buf_len(&bytes)) != (ssize_t)buf_len(&bytes))
        give_up(path);
    if (mtime) {
        struct timespec times[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };
        if (futimens(fd, times)) give_up(path);
    }
    if (close(fd)) give_up(path);
    *hash += mix_bytes(hash_bytes(path, strlen(path)), buf_base(&bytes), buf_len(&bytes));
    buf_free(&bytes);
}

static void write_dir(struct disk_image *image, uint32_t dir, const char *path, uint64_t *hash);

static void write_name(struct disk_image *image, uint32_t inode, const char *path, uint64_t *hash)
{
    const struct disk_inode *node = &image->disk->inodes[inode];
    struct buf target = BUF_INITIALIZER;

    if (S_ISDIR(node->mode)) {
        *hash += hash_bytes(path, strlen(path));
        if (mkdir(path, image_mode(image, inode) | 0700)) give_up(path);
        write_dir(image, inode, path, hash);
    }
    else if (image->paths[inode]) {
        *hash += mix_bytes(hash_bytes(path, strlen(path)), image->paths[inode],
                           strlen(image->paths[inode]));
        if (link(image->paths[inode], path)) give_up(path);
    }
    else if (S_ISLNK(node->mode)) {
        buf_copy(&target, &node->base);
        if (symlink(buf_cstring(&target), path)) give_up(path);
        buf_free(&target);
    }
    else {
        write_bytes(image, inode, path, hash);
        image->paths[inode] = xstrdup(path);
    }
}

static void write_dir(struct disk_image *image, uint32_t dir, const char *path, uint64_t *hash)
{
    const struct disk *disk = image->disk;

    for (uint32_t i = disk->inodes[dir].first_name; i; i = disk->names[i - 1].next) {
        const struct disk_name *name = &disk->names[i - 1];
        if (!image->names[i - 1] || (dir == ROOT_INODE && !disk_is_part(name->text))) continue;
        char *full = xasprintf("%s/%s", path, name->text);
        write_name(image, image->names[i - 1], full, hash);
        free(full);
    }
}

uint64_t disk_image_write(struct disk_image *image)
{
    uint64_t hash = 0;

    write_dir(image, ROOT_INODE, image->disk->root, &hash);
    return hash;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    return type == FTW_DP || type == FTW_DNR ? rmdir(path) : unlink(path);
}

void disk_clear(const char *root)
{
    DIR *d = opendir(root);
    const struct dirent *e;

    if (!d) give_up(root);
    while ((e = readdir(d))) {
        if (!disk_is_part(e->d_name)) continue;
        char *path = xasprintf("%s/%s", root, e->d_name);
        if (nftw(path, remove_one, 20, FTW_DEPTH | FTW_PHYS) && errno != ENOENT) give_up(path);
        free(path);
    }
    closedir(d);
}

/* -- is the model right? -- */

/* Written by something else than diskio: memory, sockets, logs, the list of processes. */
static bool is_foreign(const char *path)
{
    static const char *const parts[] = { "/conf/journal/control", "/conf/socket/",
                                         "/conf/proc/",           "/conf/log/",
                                         "/conf/sasldb",          "/conf/cores/" };

    for (size_t i = 0; i < array_size(parts); i++) {
        if (strstr(path, parts[i])) return true;
    }
    return false;
}

static unsigned compare_dir(struct disk_image *image, uint32_t dir, const char *path);

static unsigned compare_file(struct disk_image *image, uint32_t inode, const char *path)
{
    struct buf want = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool same = false;

    disk_image_bytes(image, inode, &want, NULL);
    if (fd >= 0 && !fstat(fd, &st)) {
        buf_ensure(&got, (size_t)st.st_size + 1);
        ssize_t n = read(fd, got.s, (size_t)st.st_size);
        same = n == (ssize_t)want.len && !memcmp(got.s, buf_base(&want), want.len);
    }
    if (!same) fprintf(stderr, "the model is wrong: %s, should have %zu bytes\n", path, want.len);
    if (fd >= 0) close(fd);
    buf_free(&want);
    buf_free(&got);
    return !same;
}

static unsigned compare_name(struct disk_image *image, uint32_t inode, const char *path)
{
    struct stat st;

    if (is_foreign(path)) return 0;
    if (lstat(path, &st) || (st.st_mode & S_IFMT) != (image->disk->inodes[inode].mode & S_IFMT)) {
        fprintf(stderr, "the model is wrong: %s is not there\n", path);
        return 1;
    }
    if (S_ISDIR(st.st_mode)) return compare_dir(image, inode, path);
    return S_ISREG(st.st_mode) ? compare_file(image, inode, path) : 0;
}

/* Names of the directory that the image does not have. */
static unsigned unexpected_names(const struct disk_image *image, uint32_t dir, const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    unsigned n = 0;

    if (!d) return 1;
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (dir == ROOT_INODE && !disk_is_part(e->d_name)) continue;
        char *full = xasprintf("%s/%s", path, e->d_name);
        uint32_t name = disk_find_name(image->disk, dir, e->d_name);
        if (!is_foreign(full) && (!name || !image->names[name - 1])) {
            fprintf(stderr, "the model is wrong: it lacks %s\n", full);
            n++;
        }
        free(full);
    }
    closedir(d);
    return n;
}

static unsigned compare_dir(struct disk_image *image, uint32_t dir, const char *path)
{
    const struct disk *disk = image->disk;
    unsigned n = unexpected_names(image, dir, path);

    for (uint32_t i = disk->inodes[dir].first_name; i; i = disk->names[i - 1].next) {
        const struct disk_name *name = &disk->names[i - 1];
        if (!image->names[i - 1] || (dir == ROOT_INODE && !disk_is_part(name->text))) continue;
        char *full = xasprintf("%s/%s", path, name->text);
        n += compare_name(image, image->names[i - 1], full);
        free(full);
    }
    return n;
}

unsigned disk_image_compare(struct disk_image *image)
{
    return compare_dir(image, ROOT_INODE, image->disk->root);
}
