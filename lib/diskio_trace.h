/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_trace -- what happened to the disk, in order
 *
 * A trace is one file that many processes append to, one write(2) a record, so that
 * the order of records is an order in which the operations can have happened. A
 * test rebuilds from it what a disk would hold after a power cut at any point.
 *
 * Only operations that succeeded are recorded, and after they did. A sync is
 * recorded twice: SYNC_BEGIN before and FSYNC, FDATASYNC or SYNCFS after it. It
 * makes durable what stands in the trace before its SYNC_BEGIN (same pid, same
 * kind), and does so where the second record stands.
 *
 * Files are known by device and inode; OPEN tells which path had that inode at that
 * moment. A path is absolute. Offsets and lengths are bytes.
 *
 * Format: records follow each other without gaps. Integers are big-endian.
 *   0  magic "CDT1"
 *   4  u32 length of the whole record
 *   8  u16 kind (enum diskio_trace_kind)
 *  10  u16 flags (DISKIO_TRACE_*)
 *  12  u32 pid
 *  16  u64 number of the record in its process, from 1
 *  24  u64 device
 *  32  u64 inode
 *  40  u64 second inode (RENAME: inode that `to` named before, 0: none; COPY: source)
 *  48  u64 offset (FTRUNCATE: new length; UTIME: mtime seconds; MKDIR, CHMOD: mode)
 *  56  u64 number (FALLOCATE: length; UTIME: mtime nanoseconds)
 *  64  u64 source offset (COPY); fallocate mode (FALLOCATE)
 *  72  u32 length of path
 *  76  u32 length of second path
 *  80  u32 length of data
 *  84  u32 CRC-32 of the record with this field 0
 *  88  path, second path, data; none has a NUL at its end
 */
#ifndef CYL_DISKIO_TRACE_H
#define CYL_DISKIO_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum diskio_trace_kind {
    DISKIO_TRACE_OPEN = 1,    /* a file opened for writing or created, a directory opened; flags */
    DISKIO_TRACE_WRITE,       /* data at offset */
    DISKIO_TRACE_FTRUNCATE,
    DISKIO_TRACE_FALLOCATE,
    DISKIO_TRACE_RENAME,      /* path to path2; inode is that of the thing moved */
    DISKIO_TRACE_LINK,        /* path2 is the new name */
    DISKIO_TRACE_SYMLINK,     /* path is the new name, data the target */
    DISKIO_TRACE_UNLINK,
    DISKIO_TRACE_MKDIR,
    DISKIO_TRACE_RMDIR,
    DISKIO_TRACE_UTIME,
    DISKIO_TRACE_CHMOD,
    DISKIO_TRACE_COPY,        /* as WRITE: bytes copied (or shared) from the second inode */
    DISKIO_TRACE_SYNC_BEGIN,  /* offset is the kind of the sync that begins */
    DISKIO_TRACE_FSYNC,
    DISKIO_TRACE_FDATASYNC,
    DISKIO_TRACE_SYNCFS,
    DISKIO_TRACE_MARKER,      /* data is the text */
    DISKIO_TRACE_LAST
};
#define DISKIO_TRACE_CREATED 1u   /* OPEN made the file */
#define DISKIO_TRACE_TRUNCATED 2u /* OPEN emptied it */
#define DISKIO_TRACE_DIR 4u       /* the inode is a directory */

struct diskio_trace_rec {
    enum diskio_trace_kind kind;
    unsigned flags;
    uint32_t pid;
    uint64_t seq;
    uint64_t dev, ino, ino2;
    uint64_t offset, number, extra;
    const char *path, *path2; /* NUL-terminated; "" for none */
    const void *data;
    size_t datalen;
};

/* -- reading -- */
struct diskio_trace;
/* Opens a trace for reading; NULL with errno set. */
struct diskio_trace *diskio_trace_open(const char *path);
/*
 * The next record: 1 with *rec (borrowed, valid until the next call), 0 at the
 * end, -EBADMSG at bytes that are no record.
 */
int diskio_trace_next(struct diskio_trace *trace, const struct diskio_trace_rec **rec);
/* Byte position of the record that diskio_trace_next would read now. */
uint64_t diskio_trace_tell(const struct diskio_trace *trace);
/* From the start again. */
void diskio_trace_rewind(struct diskio_trace *trace);
void diskio_trace_close(struct diskio_trace *trace);
const char *diskio_trace_kind_name(enum diskio_trace_kind kind);

/* -- writing, and breaking (diskio_hooks.c) -- */
/*
 * What the environment asks of a build with --enable-test-hooks, and a unit test
 * of any build. Specs are lists separated by ','. KIND is a name of
 * diskio_kind_name, or "write" (pwrite and append), "sync" (fsync, fdatasync, syncfs),
 * "grow" (all that takes room, but for a new file), "change" (all that changes the disk), "any". NTH counts this process's calls
 * that match kind and substring from 1; "N+" means the N-th and all after it.
 *   CYLINDER_DISKIO_RECORD=FILE               append a trace to FILE
 *   CYLINDER_DISKIO_FAULT=KIND:NTH:ERRNO[:SUBSTRING]  fail with "ENOSPC", "EIO"... or a number
 *   CYLINDER_DISKIO_FULL=KIND:FILE[:SUBSTRING] fail with ENOSPC while there is a FILE, as PARTIAL does
 *   CYLINDER_DISKIO_SKIP=KIND[:SUBSTRING]     answer success without doing it (a mutant)
 *   CYLINDER_DISKIO_KILL=KIND:NTH[:SUBSTRING] _exit(137) instead of the call
 *   CYLINDER_DISKIO_STOP=KIND:FILE[:SUBSTRING] the call that finds FILE removes it, and its process stops (SIGSTOP) before it
 *   CYLINDER_DISKIO_HANG=KIND:FILE[:SUBSTRING] no such call returns while there is a FILE; of "any" also stat
 *   CYLINDER_DISKIO_SLOW=KIND:MS[:SUBSTRING] such a call takes so many milliseconds more
 *   CYLINDER_DISKIO_APART=SUBSTRING         such a path is on a file system of its own, for a checkpoint
 *   CYLINDER_DISKIO_SPACE=SUBSTRING:AVAIL:TOTAL  a file system on such a path has so many bytes
 * SUBSTRING is looked for in the path (either path of two). ERRNO may be SHORT: a write does only the first half
 * of its bytes and says so; or PARTIAL: it does that half and fails with ENOSPC, as a call that writes nothing does.
 * Who is stopped or hangs has written its pid and a LF to FILE.at before.
 */
struct diskio_hooks {
    const char *record;
    const char *fault;
    const char *full;
    const char *skip;
    const char *kill;
    const char *stop;
    const char *hang;
    const char *slow;
    const char *apart;
    const char *space;
};
/* Puts the hooks in the door (NULL: takes them out); 0, or -EINVAL for a bad spec, or -errno. */
int diskio_hooks_install(const struct diskio_hooks *hooks);
/* How many calls a rule has decided since then. */
unsigned diskio_hooks_taken(void);
/* From the environment; a bad spec is fatal, a test must not pass by a typing error. */
void diskio_hooks_from_env(void);

#endif
