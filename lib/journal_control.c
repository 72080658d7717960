/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_control -- the memory and the locks that all users of a journal share
 *
 * <dir>/control is mapped by every process; <dir>/lock carries byte locks. A
 * control page counts only if it was made since this machine started, in this very
 * file, and was finished: everything else means that recovery is due.
 */
#include <config.h>

#include "journal_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CONTROL_MAGIC "CYLCTL1"

/*
 * Seconds after which a wait ends. Nothing has happened then, so the client may come again. Recovery (JLOCK_OPEN)
 * takes as long as it takes.
 */
static const unsigned limits[] = {
    [JLOCK_OPEN] = 0,  [JLOCK_CHECKPOINT] = 300, [JLOCK_GATE] = 60, [JLOCK_APPLY] = 60,
    [JLOCK_REDO] = 60, [JLOCK_APPEND] = 60,      [JLOCK_SYNC] = 60, [JLOCK_APART] = 60,
};

static int bytelock_result(struct journal *j, enum journal_byte byte, int r)
{
    if (r && r != -EWOULDBLOCK && r != -ETIMEDOUT)
        syslog(LOG_ERR, "journal: can't lock byte %d of %s/lock: %s", (int)byte, j->dir, strerror(-r));
    return r;
}

int journal_bytelock(struct journal *j, enum journal_byte byte, enum diskio_lock type, unsigned flags)
{
    bool waits = type != DISKIO_UNLOCK && !flags;
    return bytelock_result(j, byte, waits ? diskio_lock_within(j->lockfd, type, limits[byte], byte, 1)
                                          : diskio_lock_range(j->lockfd, type, flags, byte, 1));
}

void journal_byteunlock(struct journal *j, enum journal_byte byte)
{
    journal_bytelock(j, byte, DISKIO_UNLOCK, 0);
}

int journal_applying(struct journal *j)
{
    uint64_t byte = JLOCK_APPLYING + (uint64_t)j->pid;
    return bytelock_result(j, JLOCK_APPLY, diskio_lock_within(j->lockfd, DISKIO_LOCK_SHARED, limits[JLOCK_APPLY], byte, 1));
}

void journal_applied(struct journal *j)
{
    diskio_lock_range(j->lockfd, DISKIO_UNLOCK, 0, JLOCK_APPLYING + (uint64_t)j->pid, 1);
}

bool journal_is_applying(const struct journal *j, uint32_t pid)
{
    return diskio_lock_holder_range(j->lockfd, DISKIO_LOCK_EXCLUSIVE, JLOCK_APPLYING + pid, 1) != 0;
}

int journal_stop_applying(struct journal *j, unsigned seconds)
{
    int r = diskio_lock_within(j->lockfd, DISKIO_LOCK_EXCLUSIVE, seconds, JLOCK_APPLYING, JLOCK_APPLYING_LEN);
    return bytelock_result(j, JLOCK_APPLY, r);
}

void journal_allow_applying(struct journal *j)
{
    diskio_lock_range(j->lockfd, DISKIO_UNLOCK, 0, JLOCK_APPLYING, JLOCK_APPLYING_LEN);
}

const char *journal_path(const struct journal *j, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", j->dir, name);
    return path;
}

uint64_t journal_hash(const char *name)
{
    static const unsigned char key[16] = "journal of names";
    uint64_t h = siphash24(key, name, strlen(name));
    return h ? h : 1;
}

static void read_boot_id(char *id, size_t len)
{
    memset(id, 0, len);
    int fd = diskio_open("/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    if (fd < 0) return;
    ssize_t n = diskio_read(fd, id, len - 1);
    if (n > 0 && id[n - 1] == '\n') id[n - 1] = '\0';
    diskio_close(fd);
}

/* -ESTALE: not of this boot, a copy, or not finished. */
static int check_control(const struct journal_control *ctl, const struct stat *st)
{
    char boot_id[sizeof(ctl->boot_id)];
    read_boot_id(boot_id, sizeof(boot_id));

    if (memcmp(ctl->magic, CONTROL_MAGIC, sizeof(CONTROL_MAGIC))) return -ESTALE;
    if (ctl->size != sizeof(*ctl) || !ctl->live) return -ESTALE;
    if (ctl->dev != (uint64_t)st->st_dev || ctl->ino != (uint64_t)st->st_ino) return -ESTALE;
    return memcmp(ctl->boot_id, boot_id, sizeof(boot_id)) ? -ESTALE : 0;
}

static int map_control(struct journal *j, int fd)
{
    void *base = mmap(NULL, sizeof(struct journal_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        int e = errno;
        syslog(LOG_ERR, "journal: can't map %s/control: %s", j->dir, strerror(e));
        return -e;
    }
    j->ctl = base;
    return 0;
}

int journal_control_attach(struct journal *j)
{
    int fd = diskio_open(journal_path(j, "control"), O_RDWR, 0);
    struct stat st;
    int r = fd < 0 ? fd : diskio_fstat(fd, &st);

    if (r && r != -ENOENT) syslog(LOG_ERR, "journal: can't open %s/control: %s", j->dir, strerror(-r));
    if (fd < 0) return r;
    if (!r && st.st_size != (off_t)sizeof(struct journal_control)) r = -ENOENT;
    if (!r) r = map_control(j, fd);
    diskio_close(fd);
    if (r) return r;

    if (check_control(j->ctl, &st)) {
        journal_control_detach(j);
        return -ENOENT;
    }
    return 0;
}

void journal_control_detach(struct journal *j)
{
    if (j->ctl) munmap(j->ctl, sizeof(*j->ctl));
    j->ctl = NULL;
}

/* Never 0. */
static uint64_t new_instance(void)
{
    uint64_t n = 0;

    if (getrandom(&n, sizeof(n), 0) != sizeof(n)) n = (uint64_t)time(NULL) << 32 | (uint32_t)getpid();
    return n ? n : 1;
}

int journal_control_build(struct journal *j, uint64_t lsn, uint64_t generation)
{
    journal_control_detach(j);
    /* A new file: whoever still maps an old one must not see this one change under him. */
    diskio_unlink_quiet(journal_path(j, "control"));
    int fd = diskio_create(journal_path(j, "control"), 0666);
    struct stat st;
    int r = fd < 0 ? fd : 0;
    if (!r) {
        /* Real bytes, so that a full disk says so here and not by a signal later. */
        char *zeros = xzmalloc(sizeof(struct journal_control));
        r = diskio_pwrite(fd, zeros, sizeof(struct journal_control), 0);
        free(zeros);
    }
    if (!r) r = diskio_fstat(fd, &st);
    if (r) syslog(LOG_ERR, "journal: can't make %s/control: %s", j->dir, strerror(-r));
    if (!r) r = map_control(j, fd);
    diskio_close(fd);
    if (r) return r;

    struct journal_control *ctl = j->ctl;
    memcpy(ctl->magic, CONTROL_MAGIC, sizeof(CONTROL_MAGIC));
    ctl->size = sizeof(*ctl);
    ctl->dev = (uint64_t)st.st_dev;
    ctl->ino = (uint64_t)st.st_ino;
    read_boot_id(ctl->boot_id, sizeof(ctl->boot_id));
    ctl->generation = generation;
    ctl->instance = new_instance();
    ctl->tail = ctl->segment = ctl->prepared = ctl->synced = ctl->checkpoint = ctl->window = lsn;
    journal_lives_add(j, ctl->instance, lsn);
    ctl->live = 1;
    return 0;
}

int journal_fail(struct journal *j, const char *what, int error)
{
    if (!atomic_exchange(&j->ctl->failed, 1)) {
        syslog(LOG_CRIT,
               "journal: %s failed in %s: %s; the server is READ-ONLY until it is started again",
               what, j->dir, strerror(-error));
    }
    return -EROFS;
}

bool journal_failed(const struct journal *j)
{
    return j->ctl->failed;
}
