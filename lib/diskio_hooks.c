/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_hooks -- makes disk operations fail, vanish, hang, take long, or stop or end the process (for tests)
 *
 * The table here asks its rules before it passes a call on to the table below (the
 * real calls, or those that record). The first rule that takes effect decides; every
 * rule counts the calls that match it, whether it decides or not. Rules and
 * environment are described in diskio_trace.h.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "diskio.h"
#include "diskio_hooks.h"
#include "diskio_private.h"
#include "diskio_trace.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"

enum action { ACTION_NONE, ACTION_FAULT, ACTION_SHORT, ACTION_PARTIAL, ACTION_SKIP, ACTION_KILL };

/* In the place of an errno: half of a write is done, and answered as that or with ENOSPC. */
#define ERR_SHORT (-1)
#define ERR_PARTIAL (-2)

struct rule {
    enum action action;
    uint32_t kinds; /* bit per enum diskio_kind */
    uint64_t nth;   /* 0: every call */
    bool onward;    /* the nth and all after it */
    int err;
    char *substring;
    char *file; /* only while it is there; NULL: always */
    uint64_t seen;
};

#define MAX_RULES 16
static struct rule rules[MAX_RULES];
static int nrules;
static unsigned taken; /* calls that a rule decided */
static const struct diskio_ops *below = &diskio_real_ops;

#define BIT(kind) (UINT32_C(1) << (kind))
#define KINDS_WRITE (BIT(DISKIO_PWRITE) | BIT(DISKIO_WRITE))
#define KINDS_SYNC (BIT(DISKIO_FSYNC) | BIT(DISKIO_FDATASYNC) | BIT(DISKIO_SYNCFS))
#define KINDS_SKIPPABLE                                                                 \
    (KINDS_WRITE | KINDS_SYNC | BIT(DISKIO_FTRUNCATE) | BIT(DISKIO_FALLOCATE) |         \
     BIT(DISKIO_RENAME) | BIT(DISKIO_LINK) | BIT(DISKIO_SYMLINK) | BIT(DISKIO_UNLINK) | \
     BIT(DISKIO_MKDIR) | BIT(DISKIO_RMDIR) | BIT(DISKIO_UTIME) | BIT(DISKIO_CHMOD) |    \
     BIT(DISKIO_CLONE) | BIT(DISKIO_COPYRANGE))
/* What takes room, but for the inode of a new file. */
#define KINDS_GROW                                                                      \
    (KINDS_WRITE | BIT(DISKIO_FALLOCATE) | BIT(DISKIO_LINK) | BIT(DISKIO_SYMLINK) |     \
     BIT(DISKIO_MKDIR) | BIT(DISKIO_CLONE) | BIT(DISKIO_COPYRANGE))
#define KINDS_HOOKED (KINDS_SKIPPABLE | BIT(DISKIO_OPEN) | BIT(DISKIO_PREAD) | BIT(DISKIO_READ))

/* -- rules -- */

static bool matches(const struct rule *rule, enum diskio_kind kind, const char *path,
                    const char *path2)
{
    if (!(rule->kinds & BIT(kind))) return false;
    if (!rule->substring) return true;
    return (path && strstr(path, rule->substring)) || (path2 && strstr(path2, rule->substring));
}

/* -- gates: where a call stops, hangs, or takes long -- */

enum gate_kind { GATE_STOPS, GATE_HANGS, GATE_SLOW };

struct gate {
    struct rule rule; /* only its kinds and substring */
    enum gate_kind kind;
    char *file;
    uint32_t ms; /* GATE_SLOW: how long */
};

static struct gate gates[MAX_RULES];
static int ngates;

static void note_gate(const struct gate *gate)
{
    char *at = xasprintf("%s.at", gate->file), line[32];
    int fd = open(at, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int n = snprintf(line, sizeof(line), "%d\n", (int)getpid());

    if (fd < 0 || write(fd, line, (size_t)n) != n) fatal("can't write what CYLINDER_DISKIO_* asks for", EX_IOERR);
    close(fd);
    free(at);
}

static void take_ms(uint32_t ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000 * 1000 };

    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static void pass_gate(const struct gate *gate)
{
    const struct timespec nap = { .tv_nsec = 10 * 1000 * 1000 };

    if (gate->kind == GATE_SLOW) {
        take_ms(gate->ms);
        return;
    }
    if (gate->kind == GATE_STOPS) {
        if (unlink(gate->file)) return;
        note_gate(gate);
        raise(SIGSTOP);
        return;
    }
    if (access(gate->file, F_OK)) return;
    note_gate(gate);
    while (!access(gate->file, F_OK)) nanosleep(&nap, NULL);
}

static void pass_gates(enum diskio_kind kind, const char *path, const char *path2)
{
    for (int i = 0; i < ngates; i++) {
        if (matches(&gates[i].rule, kind, path, path2)) pass_gate(&gates[i]);
    }
}

/* What to do about a call: ACTION_FAULT has set errno; ACTION_KILL does not return. */
static enum action decide(enum diskio_kind kind, const char *path, const char *path2)
{
    const struct rule *chosen = NULL;

    pass_gates(kind, path, path2);
    for (int i = 0; i < nrules; i++) {
        struct rule *rule = &rules[i];
        if (!matches(rule, kind, path, path2) || (rule->file && access(rule->file, F_OK))) continue;
        rule->seen++;
        bool now = !rule->nth || rule->seen == rule->nth ||
                   (rule->onward && rule->seen > rule->nth);
        if (now && !chosen) chosen = rule;
    }
    if (!chosen) return ACTION_NONE;
    taken++;
    if (chosen->action == ACTION_KILL) _exit(137);
    if (chosen->action != ACTION_FAULT) return chosen->action;
    bool writes = KINDS_WRITE & BIT(kind);
    if (chosen->err == ERR_SHORT) return writes ? ACTION_SHORT : ACTION_NONE;
    errno = chosen->err == ERR_PARTIAL ? ENOSPC : chosen->err;
    return chosen->err == ERR_PARTIAL && writes ? ACTION_PARTIAL : ACTION_FAULT;
}

static enum action decide_fd(enum diskio_kind kind, int fd)
{
    char path[PATH_MAX];
    return decide(kind, diskio_fd_path(fd, path), NULL);
}

/* The answer of a call that a rule took over: -1 with errno, or what success looks like. */
#define HOOKED(action, success, call)       \
    do {                                    \
        switch (action) {                   \
        case ACTION_FAULT: return -1;       \
        case ACTION_SKIP: return (success); \
        default: return (call);             \
        }                                   \
    } while (0)

/* -- the table -- */

static int hook_open(const char *path, int flags, mode_t mode)
{
    HOOKED(decide(DISKIO_OPEN, path, NULL), -1, below->open(path, flags, mode));
}

static ssize_t hook_pread(int fd, void *buf, size_t len, off_t off)
{
    HOOKED(decide_fd(DISKIO_PREAD, fd), 0, below->pread(fd, buf, len, off));
}

static ssize_t hook_read(int fd, void *buf, size_t len)
{
    HOOKED(decide_fd(DISKIO_READ, fd), 0, below->read(fd, buf, len));
}

static ssize_t iov_total(const struct iovec *iov, int n)
{
    size_t total = 0;

    for (int i = 0; i < n; i++) total += iov[i].iov_len;
    return (ssize_t)total;
}

/* The first half of the bytes (rounded up); *count of them in an array to be freed. */
static struct iovec *first_half(const struct iovec *iov, int n, int *count)
{
    size_t left = ((size_t)iov_total(iov, n) + 1) / 2;
    struct iovec *half = xzmalloc((size_t)n * sizeof(*half));

    for (*count = 0; *count < n && left; (*count)++) {
        half[*count] = iov[*count];
        half[*count].iov_len = cyr_min(left, iov[*count].iov_len);
        left -= half[*count].iov_len;
    }
    return half;
}

/* off < 0: at the file position. */
static ssize_t write_below(int fd, const struct iovec *iov, int n, off_t off)
{
    return off < 0 ? below->writev(fd, iov, n) : below->pwritev(fd, iov, n, off);
}

static ssize_t hook_writes(enum diskio_kind kind, int fd, const struct iovec *iov, int n, off_t off)
{
    enum action action = decide_fd(kind, fd);
    int count;

    if (action != ACTION_SHORT && action != ACTION_PARTIAL)
        HOOKED(action, iov_total(iov, n), write_below(fd, iov, n, off));
    struct iovec *half = first_half(iov, n, &count);
    ssize_t done = write_below(fd, half, count, off);
    free(half);
    if (action == ACTION_SHORT || done < 0) return done;
    errno = ENOSPC;
    return -1;
}

static ssize_t hook_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    return hook_writes(DISKIO_PWRITE, fd, iov, n, off);
}

static ssize_t hook_writev(int fd, const struct iovec *iov, int n)
{
    return hook_writes(DISKIO_WRITE, fd, iov, n, -1);
}

static int hook_ftruncate(int fd, off_t len)
{
    HOOKED(decide_fd(DISKIO_FTRUNCATE, fd), 0, below->ftruncate(fd, len));
}

static int hook_fallocate(int fd, int mode, off_t off, off_t len)
{
    HOOKED(decide_fd(DISKIO_FALLOCATE, fd), 0, below->fallocate(fd, mode, off, len));
}

static int hook_fsync(int fd)
{
    HOOKED(decide_fd(DISKIO_FSYNC, fd), 0, below->fsync(fd));
}

static int hook_fdatasync(int fd)
{
    HOOKED(decide_fd(DISKIO_FDATASYNC, fd), 0, below->fdatasync(fd));
}

static int hook_syncfs(int fd)
{
    HOOKED(decide_fd(DISKIO_SYNCFS, fd), 0, below->syncfs(fd));
}

static int hook_rename(const char *from, const char *to)
{
    HOOKED(decide(DISKIO_RENAME, from, to), 0, below->rename(from, to));
}

static int hook_link(const char *from, const char *to)
{
    HOOKED(decide(DISKIO_LINK, from, to), 0, below->link(from, to));
}

static int hook_symlink(const char *target, const char *path)
{
    HOOKED(decide(DISKIO_SYMLINK, path, target), 0, below->symlink(target, path));
}

static int hook_unlink(const char *path)
{
    HOOKED(decide(DISKIO_UNLINK, path, NULL), 0, below->unlink(path));
}

static int hook_mkdir(const char *path, mode_t mode)
{
    enum action action = decide(DISKIO_MKDIR, path, NULL);

    if (action == ACTION_FAULT && errno == ENOSPC) errno = access(path, F_OK) ? ENOSPC : EEXIST; /* which comes first */
    HOOKED(action, 0, below->mkdir(path, mode));
}

static int hook_rmdir(const char *path)
{
    HOOKED(decide(DISKIO_RMDIR, path, NULL), 0, below->rmdir(path));
}

static int hook_utimens(int fd, const char *path, const struct timespec times[2])
{
    HOOKED(fd >= 0 ? decide_fd(DISKIO_UTIME, fd) : decide(DISKIO_UTIME, path, NULL), 0,
           below->utimens(fd, path, times));
}

static int hook_chmod(const char *path, mode_t mode)
{
    HOOKED(decide(DISKIO_CHMOD, path, NULL), 0, below->chmod(path, mode));
}

static int hook_clone(int to, int from)
{
    HOOKED(decide_fd(DISKIO_CLONE, to), 0, below->clone(to, from));
}

static ssize_t hook_copyrange(int from, off_t fromoff, int to, off_t tooff, size_t len)
{
    /* Success without doing it must come to an end: nothing left to copy. */
    HOOKED(decide_fd(DISKIO_COPYRANGE, to), 0, below->copyrange(from, fromoff, to, tooff, len));
}

static int hook_stat(const char *path, struct stat *st)
{
    pass_gates(DISKIO_STAT, path, NULL);
    return below->stat(path, st);
}

static int hook_lstat(const char *path, struct stat *st)
{
    pass_gates(DISKIO_STAT, path, NULL);
    return below->lstat(path, st);
}

/* -- file systems -- */

static strarray_t *apart; /* substrings of paths that are on one of their own */

static int hook_device(const char *path, dev_t *dev)
{
    for (int i = 0; apart && i < apart->count; i++) {
        if (!strstr(path, strarray_nth(apart, i))) continue;
        *dev = makedev(4000, (unsigned)i);
        return 0;
    }
    return below->device(path, dev);
}

/* -- room -- */

struct room {
    char *substring;
    uint64_t avail, total;
};

static struct room rooms[MAX_RULES];
static int nrooms;

/* In units of one byte, so that nothing is rounded. */
static int hook_statvfs(const char *path, struct statvfs *vfs)
{
    for (int i = 0; i < nrooms; i++) {
        if (!strstr(path, rooms[i].substring)) continue;
        memset(vfs, 0, sizeof(*vfs));
        vfs->f_bsize = vfs->f_frsize = 1;
        vfs->f_blocks = rooms[i].total;
        vfs->f_bfree = vfs->f_bavail = rooms[i].avail;
        return 0;
    }
    return below->statvfs(path, vfs);
}

static int add_rooms(const char *specs)
{
    strarray_t *list = strarray_split(specs, ",", STRARRAY_TRIM);
    int r = 0;

    for (int i = 0; i < list->count && !r; i++) {
        strarray_t *parts = strarray_split(strarray_nth(list, i), ":", STRARRAY_KEEPEMPTY);
        struct room room = { 0 };

        if (nrooms == MAX_RULES)
            r = -E2BIG;
        else if (parts->count != 3 || parse_u64_cstr(strarray_nth(parts, 1), &room.avail) ||
                 parse_u64_cstr(strarray_nth(parts, 2), &room.total) || room.avail > room.total)
            r = -EINVAL;
        if (!r) {
            room.substring = xstrdup(strarray_nth(parts, 0));
            rooms[nrooms++] = room;
        }
        strarray_free(parts);
    }
    strarray_free(list);
    return r;
}

/* -- all of it -- */

static const struct diskio_ops *hook_table(void)
{
    static struct diskio_ops ops;

    ops = *below;
    ops.open = hook_open;
    ops.pread = hook_pread;
    ops.read = hook_read;
    ops.pwritev = hook_pwritev;
    ops.writev = hook_writev;
    ops.ftruncate = hook_ftruncate;
    ops.fallocate = hook_fallocate;
    ops.fsync = hook_fsync;
    ops.fdatasync = hook_fdatasync;
    ops.syncfs = hook_syncfs;
    ops.rename = hook_rename;
    ops.link = hook_link;
    ops.symlink = hook_symlink;
    ops.unlink = hook_unlink;
    ops.mkdir = hook_mkdir;
    ops.rmdir = hook_rmdir;
    ops.utimens = hook_utimens;
    ops.chmod = hook_chmod;
    ops.clone = hook_clone;
    ops.copyrange = hook_copyrange;
    ops.statvfs = hook_statvfs;
    ops.stat = hook_stat;
    ops.lstat = hook_lstat;
    ops.device = hook_device;
    return &ops;
}

/* -- the specs -- */

static uint32_t kinds_byname(const char *name)
{
    static const struct {
        const char *name;
        uint32_t kinds;
    } groups[] = {
        { "write", KINDS_WRITE },
        { "sync", KINDS_SYNC },
        { "grow", KINDS_GROW },
        { "change", KINDS_SKIPPABLE },
        { "any", KINDS_HOOKED },
    };

    for (size_t i = 0; i < array_size(groups); i++) {
        if (!strcmp(name, groups[i].name)) return groups[i].kinds;
    }
    int kind = diskio_kind_byname(name);
    return kind < 0 ? 0 : BIT(kind) & KINDS_HOOKED;
}

static int errno_byname(const char *name)
{
    uint32_t n;

    if (!strcmp(name, "SHORT")) return ERR_SHORT;
    if (!strcmp(name, "PARTIAL")) return ERR_PARTIAL;
    if (!parse_u32_cstr(name, &n)) return n > 0 && n < 4096 ? (int)n : 0;
    for (int i = 1; i < 200; i++) {
        const char *known = strerrorname_np(i);
        if (known && !strcmp(known, name)) return i;
    }
    return 0;
}

/* "3" or "3+". */
static int parse_nth(const char *text, struct rule *rule)
{
    size_t len = strlen(text);

    rule->onward = len && text[len - 1] == '+';
    if (parse_u64(text, len - rule->onward, &rule->nth) || !rule->nth) return -EINVAL;
    return 0;
}

/* One spec into one rule: KIND, then what the action asks for, then perhaps a substring. */
static int parse_rule(const char *spec, enum action action, struct rule *rule)
{
    strarray_t *parts = strarray_split(spec, ":", STRARRAY_KEEPEMPTY);
    int at = 0, r = 0;

    *rule = (struct rule){ .action = action };
    rule->kinds = kinds_byname(strarray_nth(parts, at++));
    if (!rule->kinds) r = -EINVAL;
    if (action == ACTION_SKIP && (rule->kinds & ~KINDS_SKIPPABLE)) r = -EINVAL;
    if (action != ACTION_SKIP && !r)
        r = at < parts->count ? parse_nth(strarray_nth(parts, at++), rule) : -EINVAL;
    if (action == ACTION_FAULT && !r) {
        rule->err = at < parts->count ? errno_byname(strarray_nth(parts, at++)) : 0;
        if (!rule->err) r = -EINVAL;
    }
    if (!r && at < parts->count) rule->substring = xstrdup(strarray_nth(parts, at++));
    if (at < parts->count) r = -EINVAL;
    strarray_free(parts);
    return r;
}

static int add_rules(const char *specs, enum action action)
{
    strarray_t *list = strarray_split(specs, ",", STRARRAY_TRIM);
    int r = 0;

    for (int i = 0; i < list->count && !r; i++) {
        if (nrules == MAX_RULES) {
            r = -E2BIG;
            break;
        }
        r = parse_rule(strarray_nth(list, i), action, &rules[nrules]);
        nrules++;
    }
    strarray_free(list);
    return r;
}

/* A rule for every call, as long as the file is there. */
static int parse_full(const char *spec, struct rule *rule)
{
    strarray_t *parts = strarray_split(spec, ":", STRARRAY_KEEPEMPTY);
    int r = parts->count == 2 || parts->count == 3 ? 0 : -EINVAL;

    *rule = (struct rule){ .action = ACTION_FAULT, .err = ERR_PARTIAL };
    if (!r) {
        rule->kinds = kinds_byname(strarray_nth(parts, 0));
        rule->file = xstrdup(strarray_nth(parts, 1));
        if (parts->count == 3) rule->substring = xstrdup(strarray_nth(parts, 2));
        if (!rule->kinds) r = -EINVAL;
    }
    strarray_free(parts);
    return r;
}

static int add_fulls(const char *specs)
{
    strarray_t *list = strarray_split(specs, ",", STRARRAY_TRIM);
    int r = 0;

    for (int i = 0; i < list->count && !r; i++)
        r = nrules == MAX_RULES ? -E2BIG : parse_full(strarray_nth(list, i), &rules[nrules++]); /* to be freed in any case */
    strarray_free(list);
    return r;
}

static int parse_gate(const char *spec, enum gate_kind kind, struct gate *gate)
{
    strarray_t *parts = strarray_split(spec, ":", STRARRAY_KEEPEMPTY);
    int r = parts->count == 2 || parts->count == 3 ? 0 : -EINVAL;

    *gate = (struct gate){ .kind = kind };
    if (!r) {
        gate->rule.kinds = kinds_byname(strarray_nth(parts, 0));
        if (!strcmp(strarray_nth(parts, 0), "any")) gate->rule.kinds |= BIT(DISKIO_STAT);
        gate->file = xstrdup(strarray_nth(parts, 1));
        if (kind == GATE_SLOW && parse_u32_cstr(gate->file, &gate->ms)) r = -EINVAL;
        if (parts->count == 3) gate->rule.substring = xstrdup(strarray_nth(parts, 2));
        if (!gate->rule.kinds) r = -EINVAL;
    }
    strarray_free(parts);
    return r;
}

static int add_gates(const char *specs, enum gate_kind kind)
{
    strarray_t *list = strarray_split(specs, ",", STRARRAY_TRIM);
    int r = 0;

    for (int i = 0; i < list->count && !r; i++)
        r = ngates == MAX_RULES ? -E2BIG : parse_gate(strarray_nth(list, i), kind, &gates[ngates++]); /* to be freed in any case */
    strarray_free(list);
    return r;
}

static void remove_hooks(void)
{
    for (int i = 0; i < ngates; i++) {
        free(gates[i].rule.substring);
        free(gates[i].file);
    }
    ngates = 0;
    if (apart) strarray_free(apart);
    apart = NULL;
    for (int i = 0; i < nrules; i++) {
        free(rules[i].substring);
        free(rules[i].file);
    }
    nrules = 0;
    for (int i = 0; i < nrooms; i++) free(rooms[i].substring);
    nrooms = 0;
    below = &diskio_real_ops;
    diskio_record_stop();
    diskio_set_ops(NULL);
}

unsigned diskio_hooks_taken(void)
{
    return taken;
}

int diskio_hooks_install(const struct diskio_hooks *hooks)
{
    int r = 0;

    remove_hooks();
    taken = 0;
    if (!hooks) return 0;

    if (hooks->fault) r = add_rules(hooks->fault, ACTION_FAULT);
    if (!r && hooks->full) r = add_fulls(hooks->full);
    if (!r && hooks->skip) r = add_rules(hooks->skip, ACTION_SKIP);
    if (!r && hooks->kill) r = add_rules(hooks->kill, ACTION_KILL);
    if (!r && hooks->stop) r = add_gates(hooks->stop, GATE_STOPS);
    if (!r && hooks->hang) r = add_gates(hooks->hang, GATE_HANGS);
    if (!r && hooks->slow) r = add_gates(hooks->slow, GATE_SLOW);
    if (!r && hooks->apart) apart = strarray_split(hooks->apart, ",", STRARRAY_TRIM);
    if (!r && hooks->space) r = add_rooms(hooks->space);
    if (!r && hooks->record) r = diskio_record_start(hooks->record, &below);
    if (r) {
        remove_hooks();
        return r;
    }
    if (nrules || nrooms || ngates || apart)
        diskio_set_ops(hook_table());
    else if (hooks->record)
        diskio_set_ops(below);
    return 0;
}

void diskio_hooks_from_env(void)
{
    struct diskio_hooks hooks = {
        .record = getenv("CYLINDER_DISKIO_RECORD"),
        .fault = getenv("CYLINDER_DISKIO_FAULT"),
        .full = getenv("CYLINDER_DISKIO_FULL"),
        .skip = getenv("CYLINDER_DISKIO_SKIP"),
        .kill = getenv("CYLINDER_DISKIO_KILL"),
        .stop = getenv("CYLINDER_DISKIO_STOP"),
        .hang = getenv("CYLINDER_DISKIO_HANG"),
        .slow = getenv("CYLINDER_DISKIO_SLOW"),
        .apart = getenv("CYLINDER_DISKIO_APART"),
        .space = getenv("CYLINDER_DISKIO_SPACE"),
    };

    bool any = hooks.record || hooks.fault || hooks.full || hooks.skip || hooks.kill || hooks.stop || hooks.hang || hooks.slow ||
               hooks.apart || hooks.space;
    if (!any) return;
    int r = diskio_hooks_install(&hooks);
    if (r) {
        fprintf(stderr, "CYLINDER_DISKIO_*: %s\n", strerror(-r));
        fatal("bad CYLINDER_DISKIO_* environment", EX_USAGE);
    }
}
