/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * disk_load -- a disk from a tree at rest and a trace
 *
 * Inodes of the tree get their numbers of the traced file system when the trace first opens
 * them by name; new ones when they are made. Every operation is kept with the position of the first sync that
 * ended with it inside: fsync and fdatasync of a file cover its bytes, length and times,
 * but not its name; fsync of a directory covers the changes of its names; syncfs all.
 */
#include <config.h>

#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "diskio_trace.h"
#include "util.h"
#include "xmalloc.h"

#define ROOT_INODE 1u

static void __attribute__((noreturn, format(printf, 1, 2))) senseless(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fatal(": the disk can't be put together", EX_DATAERR);
}

/* -- the parts -- */

#define GROW(array, n, alloc)                                            \
    do {                                                                 \
        if ((n) == (alloc)) {                                            \
            (alloc) = (uint32_t)grow_alloc((alloc), (n) + 1u);           \
            (array) = xreallocarray((array), (alloc), sizeof(*(array))); \
        }                                                                \
    } while (0)

static uint32_t add_inode(struct disk *disk, mode_t mode)
{
    GROW(disk->inodes, disk->ninodes, disk->inodes_alloc);
    disk->inodes[disk->ninodes] = (struct disk_inode){ .mode = mode };
    return disk->ninodes++;
}

static char *name_key(uint32_t dir, const char *text)
{
    return xasprintf("%u/%s", dir, text);
}

uint32_t disk_find_name(const struct disk *disk, uint32_t dir, const char *text)
{
    char *key = name_key(dir, text);
    uint32_t found = (uint32_t)(uintptr_t)hash_lookup(key, &disk->byname);
    free(key);
    return found;
}

static uint32_t get_name(struct disk *disk, uint32_t dir, const char *text)
{
    uint32_t found = disk_find_name(disk, dir, text);
    if (found) return found - 1;

    GROW(disk->names, disk->nnames, disk->names_alloc);
    disk->names[disk->nnames] = (struct disk_name){ .dir = dir,
                                                    .text = xstrdup(text),
                                                    .next = disk->inodes[dir].first_name };
    disk->inodes[dir].first_name = ++disk->nnames;
    char *key = name_key(dir, text);
    hash_insert(key, (void *)(uintptr_t)disk->nnames, &disk->byname);
    free(key);
    return disk->nnames - 1;
}

static struct disk_op *add_op(struct disk *disk, enum disk_kind kind, uint32_t inode)
{
    GROW(disk->ops, disk->nops, disk->ops_alloc);
    struct disk_op *op = &disk->ops[disk->nops++];
    *op = (struct disk_op){
        .kind = kind, .pos = disk->npos, .durable = DISK_NEVER, .inode = inode
    };
    if (kind == DISK_NAME || kind == DISK_RENAME) return op;

    struct disk_inode *node = &disk->inodes[inode];
    GROW(node->ops, node->nops, node->nalloc);
    node->ops[node->nops++] = disk->nops - 1;
    return op;
}

static void add_event(struct disk *disk)
{
    if (disk->nevents && disk->events[disk->nevents - 1] == disk->npos) return;
    GROW(disk->events, disk->nevents, disk->events_alloc);
    disk->events[disk->nevents++] = disk->npos;
}

/* The name changes in this operation, which is the last one added. */
static uint32_t change_name(struct disk *disk, uint32_t name, uint32_t inode)
{
    uint32_t prev = disk->names[name].last;
    disk->names[name].last = disk->nops;
    disk->names[name].now = inode;
    return prev;
}

static void set_name(struct disk *disk, uint32_t name, uint32_t inode)
{
    struct disk_op *op = add_op(disk, DISK_NAME, inode);
    op->name = name;
    op->prev = change_name(disk, name, inode);
    add_event(disk);
}

/* -- the tree -- */

bool disk_is_part(const char *text)
{
    return !strcmp(text, "conf") || strstarts(text, "spool");
}

static void read_tree(struct disk *disk, uint32_t dir, const char *path, hash_table *links);

static void read_file(struct disk *disk, uint32_t inode, const char *path, size_t size)
{
    struct buf *base = &disk->inodes[inode].base;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    buf_ensure(base, size);
    ssize_t n = fd < 0 ? -1 : read(fd, base->s, size);
    if (n != (ssize_t)size) senseless("%s: %s", path, strerror(errno));
    base->len = size;
    close(fd);
}

static void read_link(struct disk *disk, uint32_t inode, const char *path)
{
    char target[4096];
    ssize_t n = readlink(path, target, sizeof(target));
    if (n < 0) senseless("%s: %s", path, strerror(errno));
    buf_setmap(&disk->inodes[inode].base, target, (size_t)n);
}

static void read_entry(struct disk *disk, uint32_t dir, const char *path, const char *text,
                       hash_table *links)
{
    struct stat st;
    char number[32];

    if (lstat(path, &st)) senseless("%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) return;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)st.st_ino);
    uint32_t inode = (uint32_t)(uintptr_t)hash_lookup(number, links);
    bool known = inode;
    if (!inode) {
        inode = add_inode(disk, st.st_mode);
        hash_insert(number, (void *)(uintptr_t)inode, links);
    }
    uint32_t name = get_name(disk, dir, text);
    disk->names[name].base = disk->names[name].now = inode;
    if (known) return;
    if (S_ISREG(st.st_mode)) read_file(disk, inode, path, (size_t)st.st_size);
    if (S_ISLNK(st.st_mode)) read_link(disk, inode, path);
    if (S_ISDIR(st.st_mode)) read_tree(disk, inode, path, links);
}

static void read_tree(struct disk *disk, uint32_t dir, const char *path, hash_table *links)
{
    DIR *d = opendir(path);
    const struct dirent *e;

    if (!d) senseless("%s: %s", path, strerror(errno));
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (dir == ROOT_INODE && !disk_is_part(e->d_name)) continue;
        char *full = xasprintf("%s/%s", path, e->d_name);
        read_entry(disk, dir, full, e->d_name, links);
        free(full);
    }
    closedir(d);
}

struct disk *disk_new(const char *root, const char *copy)
{
    struct disk *disk = xzmalloc(sizeof(*disk));
    hash_table links = HASH_TABLE_INITIALIZER;

    disk->root = xstrdup(root);
    construct_hash_table(&disk->byname, 4096);
    construct_hash_table(&disk->bynumber, 4096);
    construct_hash_table(&links, 1024);
    add_inode(disk, 0);
    add_inode(disk, S_IFDIR | 0755);
    read_tree(disk, ROOT_INODE, copy, &links);
    free_hash_table(&links, NULL);
    return disk;
}

void disk_free(struct disk *disk)
{
    if (!disk) return;
    for (uint32_t i = 0; i < disk->ninodes; i++) {
        buf_free(&disk->inodes[i].base);
        free(disk->inodes[i].ops);
    }
    for (uint32_t i = 0; i < disk->nnames; i++) free(disk->names[i].text);
    for (uint32_t i = 0; i < disk->nops; i++) free((void *)(uintptr_t)disk->ops[i].data);
    free_hash_table(&disk->byname, NULL);
    free_hash_table(&disk->bynumber, NULL);
    free(disk->inodes);
    free(disk->names);
    free(disk->ops);
    free(disk->marks);
    free(disk->events);
    free(disk->root);
    free(disk);
}

/* -- the trace -- */

struct loader {
    struct disk *disk;
    const struct diskio_trace_rec *rec;
    hash_table begun; /* pid: position of its SYNC_BEGIN */
};

/* The path below root, or NULL. */
static const char *below(const struct disk *disk, const char *path)
{
    size_t len = strlen(disk->root);
    if (strncmp(path, disk->root, len) || (path[len] && path[len] != '/')) return NULL;
    return path + len;
}

/* Directory and last part of a path below root; the inode it leads to now is not needed. */
static uint32_t name_of(struct disk *disk, const char *path)
{
    const char *p = below(disk, path);
    uint32_t dir = ROOT_INODE;

    for (;;) {
        while (*p == '/') p++;
        const char *slash = strchr(p, '/');
        char *part = slash ? xstrndup(p, (size_t)(slash - p)) : xstrdup(p);
        if (!slash) {
            uint32_t name = get_name(disk, dir, part);
            free(part);
            return name;
        }
        uint32_t found = disk_find_name(disk, dir, part);
        dir = found ? disk->names[found - 1].now : 0;
        free(part);
        if (!dir || !S_ISDIR(disk->inodes[dir].mode))
            senseless("no directory for %s at %u", path, disk->npos);
        p = slash;
    }
}

static uint32_t inode_at(struct disk *disk, const char *path)
{
    const char *p = below(disk, path);
    if (!*p) return ROOT_INODE;
    return disk->names[name_of(disk, path)].now;
}

static void number_key(const struct diskio_trace_rec *rec, char key[48])
{
    snprintf(key, 48, "%llx:%llx", (unsigned long long)rec->dev, (unsigned long long)rec->ino);
}

static void bind_number(struct loader *l, uint32_t inode)
{
    char key[48];
    number_key(l->rec, key);
    hash_insert(key, (void *)(uintptr_t)inode, &l->disk->bynumber);
}

/* The inode that a record about an open file is about; 0: not of this tree. */
static uint32_t inode_of(struct loader *l)
{
    char key[48];

    /* of another server in the same trace: it may have a number that was given up here */
    if (*l->rec->path == '/' && !below(l->disk, l->rec->path)) return 0;
    number_key(l->rec, key);
    uint32_t inode = (uint32_t)(uintptr_t)hash_lookup(key, &l->disk->bynumber);
    if (!inode && below(l->disk, l->rec->path))
        senseless("%s was not opened before %u", l->rec->path, l->disk->npos);
    return inode;
}

static void load_open(struct loader *l)
{
    struct disk *disk = l->disk;
    const struct diskio_trace_rec *rec = l->rec;

    if (!below(disk, rec->path)) return;
    if (rec->flags & DISKIO_TRACE_CREATED) {
        uint32_t inode = add_inode(disk, S_IFREG | (mode_t)rec->offset);
        bind_number(l, inode);
        set_name(disk, name_of(disk, rec->path), inode);
        return;
    }
    char key[48];
    number_key(rec, key);
    uint32_t inode = (uint32_t)(uintptr_t)hash_lookup(key, &disk->bynumber);
    if (!inode) {
        inode = inode_at(disk, rec->path);
        if (!inode) senseless("%s was opened at %u and is not there", rec->path, disk->npos);
        bind_number(l, inode);
    }
    if (rec->flags & DISKIO_TRACE_TRUNCATED) {
        add_op(disk, DISK_LENGTH, inode);
        add_event(disk);
    }
}

static void load_bytes(struct loader *l)
{
    uint32_t inode = inode_of(l);
    if (!inode) return;
    struct disk_op *op = add_op(l->disk, DISK_WRITE, inode);
    op->off = l->rec->offset;
    op->len = l->rec->datalen;
    op->data = xmemdup(l->rec->data, op->len);
    add_event(l->disk);
}

static void load_length(struct loader *l)
{
    uint32_t inode = inode_of(l);
    if (!inode) return;
    add_op(l->disk, DISK_LENGTH, inode)->off = l->rec->offset;
    add_event(l->disk);
}

static void load_fallocate(struct loader *l)
{
    if (inode_of(l)) senseless("fallocate of %s is not in the model", l->rec->path);
}

static void load_rename(struct loader *l)
{
    struct disk *disk = l->disk;
    if (!below(disk, l->rec->path) || !below(disk, l->rec->path2)) return;

    uint32_t from = name_of(disk, l->rec->path), to = name_of(disk, l->rec->path2);
    uint32_t inode = disk->names[from].now;
    if (!inode) senseless("%s was renamed at %u and is not there", l->rec->path, disk->npos);
    struct disk_op *op = add_op(disk, DISK_RENAME, inode);
    op->name = from;
    op->name2 = to;
    op->prev = change_name(disk, from, 0);
    op->prev2 = change_name(disk, to, inode);
    add_event(disk);
}

static void load_link(struct loader *l)
{
    struct disk *disk = l->disk;
    if (!below(disk, l->rec->path2)) return;
    uint32_t inode = inode_at(disk, l->rec->path);
    if (!inode) senseless("%s was linked at %u and is not there", l->rec->path, disk->npos);
    set_name(disk, name_of(disk, l->rec->path2), inode);
}

static void load_symlink(struct loader *l)
{
    if (!below(l->disk, l->rec->path)) return;
    uint32_t inode = add_inode(l->disk, S_IFLNK | 0777);
    buf_setmap(&l->disk->inodes[inode].base, l->rec->data, l->rec->datalen);
    set_name(l->disk, name_of(l->disk, l->rec->path), inode);
}

static void load_mkdir(struct loader *l)
{
    if (!below(l->disk, l->rec->path)) return;
    uint32_t inode = add_inode(l->disk, S_IFDIR | (mode_t)l->rec->offset);
    bind_number(l, inode);
    set_name(l->disk, name_of(l->disk, l->rec->path), inode);
    l->disk->inodes[inode].made = l->disk->nops;
}

static void load_remove(struct loader *l)
{
    if (below(l->disk, l->rec->path)) set_name(l->disk, name_of(l->disk, l->rec->path), 0);
}

static void load_utime(struct loader *l)
{
    if (!below(l->disk, l->rec->path)) return;
    uint32_t inode = inode_at(l->disk, l->rec->path);
    if (inode) add_op(l->disk, DISK_TIME, inode)->off = l->rec->offset;
}

static void load_chmod(struct loader *l)
{
    if (!below(l->disk, l->rec->path)) return;
    uint32_t inode = inode_at(l->disk, l->rec->path);
    if (inode) add_op(l->disk, DISK_MODE, inode)->off = l->rec->offset;
}

/* -- syncs -- */

static void pid_key(const struct diskio_trace_rec *rec, char key[16])
{
    snprintf(key, 16, "%u", rec->pid);
}

static void load_sync_begin(struct loader *l)
{
    char key[16];
    pid_key(l->rec, key);
    hash_insert(key, (void *)(uintptr_t)l->disk->npos, &l->begun);
}

static uint32_t sync_began(struct loader *l)
{
    char key[16];
    pid_key(l->rec, key);
    uint32_t began = (uint32_t)(uintptr_t)hash_del(key, &l->begun);
    if (!began) senseless("a sync ends at %u that never began", l->disk->npos);
    l->disk->syncs++;
    add_event(l->disk);
    return began;
}

static void make_durable(struct disk *disk, struct disk_op *op, uint32_t began)
{
    if (op->pos < began && op->durable == DISK_NEVER) op->durable = disk->npos;
}

/* A directory that holds a durable name, and those above it. */
static void make_way_durable(struct disk *disk, uint32_t dir, uint32_t began)
{
    while (disk->inodes[dir].made) {
        struct disk_op *op = &disk->ops[disk->inodes[dir].made - 1];
        make_durable(disk, op, began);
        dir = disk->names[op->name].dir;
    }
}

static void load_sync_dir(struct disk *disk, uint32_t dir, uint32_t began)
{
    for (uint32_t i = 0; i < disk->nops; i++) {
        struct disk_op *op = &disk->ops[i];
        if (op->kind != DISK_NAME && op->kind != DISK_RENAME) continue;
        if (disk->names[op->name].dir == dir ||
            (op->kind == DISK_RENAME && disk->names[op->name2].dir == dir))
            make_durable(disk, op, began);
        /* What left this directory is somewhere. */
        if (op->kind == DISK_RENAME && disk->names[op->name].dir == dir)
            make_way_durable(disk, disk->names[op->name2].dir, began);
    }
}

static void load_sync_file(struct loader *l)
{
    struct disk *disk = l->disk;
    uint32_t began = sync_began(l);

    if (!below(disk, l->rec->path)) return;
    if (l->rec->flags & DISKIO_TRACE_DIR) {
        load_sync_dir(disk, inode_at(disk, l->rec->path), began);
        return;
    }
    const struct disk_inode *node = &disk->inodes[inode_of(l)];
    for (uint32_t i = 0; i < node->nops; i++) make_durable(disk, &disk->ops[node->ops[i]], began);
}

static void load_syncfs(struct loader *l)
{
    uint32_t began = sync_began(l);
    if (!below(l->disk, l->rec->path)) return;
    for (uint32_t i = 0; i < l->disk->nops; i++) make_durable(l->disk, &l->disk->ops[i], began);
}

/* "begin 3", "answered 3". */
static void load_marker(struct loader *l)
{
    struct disk *disk = l->disk;
    struct disk_mark mark = { .pos = disk->npos };
    char *text = xstrndup(l->rec->data, l->rec->datalen);
    const char *number = strchr(text, ' ');

    mark.answered = strstarts(text, "answered ");
    if (number && !parse_u32_cstr(number + 1, &mark.number)) {
        GROW(disk->marks, disk->nmarks, disk->marks_alloc);
        disk->marks[disk->nmarks++] = mark;
        add_event(disk);
    }
    free(text);
}

typedef void load_fn(struct loader *l);
static load_fn *const loaders[DISKIO_TRACE_LAST] = {
    [DISKIO_TRACE_OPEN] = load_open,        [DISKIO_TRACE_WRITE] = load_bytes,
    [DISKIO_TRACE_FTRUNCATE] = load_length, [DISKIO_TRACE_FALLOCATE] = load_fallocate,
    [DISKIO_TRACE_RENAME] = load_rename,    [DISKIO_TRACE_LINK] = load_link,
    [DISKIO_TRACE_SYMLINK] = load_symlink,  [DISKIO_TRACE_UNLINK] = load_remove,
    [DISKIO_TRACE_MKDIR] = load_mkdir,      [DISKIO_TRACE_RMDIR] = load_remove,
    [DISKIO_TRACE_UTIME] = load_utime,      [DISKIO_TRACE_CHMOD] = load_chmod,
    [DISKIO_TRACE_COPY] = load_bytes,       [DISKIO_TRACE_SYNC_BEGIN] = load_sync_begin,
    [DISKIO_TRACE_FSYNC] = load_sync_file,  [DISKIO_TRACE_FDATASYNC] = load_sync_file,
    [DISKIO_TRACE_SYNCFS] = load_syncfs,    [DISKIO_TRACE_MARKER] = load_marker,
};

void disk_add_trace(struct disk *disk, const char *path)
{
    struct diskio_trace *trace = diskio_trace_open(path);
    struct loader l = { .disk = disk };
    int r;

    if (!trace) senseless("%s: %s", path, strerror(errno));
    construct_hash_table(&l.begun, 64);
    while ((r = diskio_trace_next(trace, &l.rec)) == 1) {
        disk->npos++;
        loaders[l.rec->kind](&l);
    }
    if (r) senseless("%s: no record behind %u", path, disk->npos);
    free_hash_table(&l.begun, NULL);
    diskio_trace_close(trace);
}

void disk_commands(const struct disk *disk, uint32_t pos, int *answered, int *begun)
{
    *answered = *begun = -1;
    for (uint32_t i = 0; i < disk->nmarks && disk->marks[i].pos <= pos; i++) {
        int number = (int)disk->marks[i].number;
        if (disk->marks[i].answered) *answered = cyr_max(*answered, number);
        *begun = cyr_max(*begun, number);
    }
}
