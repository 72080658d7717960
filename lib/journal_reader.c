/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_reader -- the events of all transactions, in order
 *
 * A reader's place is the LSN behind the last record whose events are all dealt with,
 * kept as text in <dir>/reader.NAME ("%016llx\n"). It is written without a sync: after a power
 * cut an older place may come back, but never one whose segments are gone, because a
 * checkpoint looks at the places before its syncfs, and drops segments after it. Events may so
 * come twice, and are never lost. Only durable events are handed out. A place moved because events were put
 * away (journal_spill) is synced before the segments go.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "journal_int.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define PREFIX "reader."

struct journal_reader {
    struct journal *j;
    bool peeks;      /* never moves the place */
    char *file;      /* of its place, in the journal's directory */
    uint64_t place;  /* behind the last record dealt with, as far as the caller has said */
    uint64_t next;   /* of the record to be read next */
    struct buf buf;  /* the record at hand */
    struct journal_view view;
    struct journal_event_iter iter; /* left <> 0: events of the record at hand */
    bool have;
    bool lost;       /* to be said at the next call */
};

bool journal_reader_goodname(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (!cyr_isalnum(*p) && *p != '-' && *p != '_') return false;
    }
    return *name;
}

static int parse_place(int fd, uint64_t *place)
{
    char text[32];
    ssize_t n = diskio_pread(fd, text, sizeof(text), 0);
    if (n < 0) return (int)n;
    return n == 17 && !parse_hex64(text, 16, place) ? 0 : -EBADMSG;
}

static int read_place(const struct journal *j, const char *file, uint64_t *place)
{
    int fd = diskio_open(journal_path(j, file), O_RDONLY, 0);
    if (fd < 0) return fd;
    int r = parse_place(fd, place);
    diskio_close(fd);
    return r;
}

/*
 * In place: 17 bytes of one sector are old or new after a power cut. Never back: a reader and who spills for it
 * meet here, under the lock of the file. sync: durable when it returns 0.
 */
static int write_place(const struct journal *j, const char *file, uint64_t place, bool sync)
{
    char text[32];
    uint64_t was;
    snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)place);

    int fd = diskio_open(journal_path(j, file), O_RDWR | O_CREAT, 0666);
    int r = fd < 0 ? fd : diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0);
    if (!r && (parse_place(fd, &was) || was < place)) r = diskio_pwrite(fd, text, strlen(text), 0);
    if (!r && sync) r = diskio_fsync(fd);
    if (!r && sync) r = diskio_sync_dir(j->dir);
    diskio_close(fd);
    if (r) syslog(LOG_ERR, "journal: can't write %s/%s: %s", j->dir, file, strerror(-r));
    return r;
}

uint64_t journal_readers_lsn(struct journal *j)
{
    uint64_t least = UINT64_MAX, place;
    DIR *d = opendir(j->dir);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));) {
        if (!strstarts(e->d_name, PREFIX)) continue;
        int r = read_place(j, e->d_name, &place);
        if (r == -ENOENT) continue;
        if (r) {
            syslog(LOG_ERR, "journal: bad place of a reader in %s/%s", j->dir, e->d_name);
            continue;
        }
        if (place < least) least = place;
    }
    closedir(d);
    return least;
}

static struct journal_reader *new_reader(struct journal *j, char *file, uint64_t place)
{
    struct journal_reader *reader = xzmalloc(sizeof(*reader));
    reader->j = j;
    reader->file = file;
    reader->place = reader->next = place;
    return reader;
}

int journal_reader_open(struct journal *j, const char *name, struct journal_reader **readerp)
{
    if (!journal_reader_goodname(name)) return -EINVAL;
    uint64_t place = 0;
    char *file = xasprintf(PREFIX "%s", name);
    bool unreadable = false;

    int r = read_place(j, file, &place);
    if (!r && place > j->ctl->tail) r = -EBADMSG; /* of another log */
    if (r == -ENOENT || r == -EBADMSG) {
        unreadable = r == -EBADMSG;
        if (unreadable) (void)diskio_unlink_quiet(journal_path(j, file));
        if (unreadable) syslog(LOG_ERR, "journal: the place of reader %s is lost: it begins anew", name);
        place = j->ctl->tail;
        r = write_place(j, file, place, true);
    }
    if (r) {
        free(file);
        return r;
    }

    *readerp = new_reader(j, file, place);
    (*readerp)->lost = unreadable;
    return 0;
}

int journal_reader_peek(struct journal *j, const char *name, struct journal_reader **readerp)
{
    if (!journal_reader_goodname(name)) return -EINVAL;
    uint64_t place;
    char *file = xasprintf(PREFIX "%s", name);

    int r = read_place(j, file, &place);
    if (r) {
        free(file);
        return r;
    }
    *readerp = new_reader(j, file, place);
    (*readerp)->peeks = true;
    return 0;
}

bool journal_reader_exists(struct journal *j, const char *name)
{
    if (!journal_reader_goodname(name)) return false;
    char *file = xasprintf(PREFIX "%s", name);
    bool exists = !access(journal_path(j, file), F_OK);
    free(file);
    return exists;
}

/* What was put away meanwhile is not ours to hand out: true, and on to what comes after it. */
static bool skip_spilled(struct journal_reader *reader)
{
    uint64_t place;

    if (read_place(reader->j, reader->file, &place) || place <= reader->next) return false;
    reader->next = reader->place = place;
    return true;
}

/* The place is not in the log any more: on to the oldest record that is. */
static int lost(struct journal_reader *reader)
{
    uint64_t *starts, from = reader->next;
    size_t n;
    int r = journal_segments(reader->j->dir, &starts, &n);
    if (r) return r;

    reader->next = reader->j->ctl->tail;
    for (size_t i = 0; i < n; i++) {
        if (starts[i] > from) {
            reader->next = starts[i];
            break;
        }
    }
    free(starts);
    syslog(LOG_ERR, "journal: %s has lost the events from %llx to %llx", reader->file, (unsigned long long)from,
           (unsigned long long)reader->next);
    return -ENODATA;
}

/* Loads the record at reader->next: 0, 1: there is none yet. */
static int load(struct journal_reader *reader)
{
    struct journal *j = reader->j;
    if (reader->have) journal_view_fini(&reader->view);
    reader->have = false;
    if (reader->next >= j->ctl->synced) return 1;

    int r = journal_log_read(j, reader->next, 0, &reader->buf);
    if (r == 1 && skip_spilled(reader)) return load(reader);
    if (r == 1) return lost(reader);
    if (!r) r = journal_view_init(&reader->view, reader->buf.s, reader->buf.len, reader->next);
    if (r) return r;
    reader->have = true;
    reader->next += reader->buf.len;
    journal_event_iter_init(&reader->iter, &reader->view);
    return 0;
}

int journal_reader_next(struct journal_reader *reader, struct journal_event *event)
{
    if (reader->lost) {
        reader->lost = false;
        return -ENODATA;
    }
    while (!reader->have || !journal_event_iter_next(&reader->iter, &event->line, &event->flags)) {
        int r = load(reader);
        if (r) return r;
    }
    event->lsn = reader->next;
    event->time = (time_t)reader->view.head.time;
    return 0;
}

bool journal_reader_midrecord(const struct journal_reader *reader)
{
    return reader->have && reader->iter.left;
}

int journal_reader_commit(struct journal_reader *reader)
{
    /* A record some of whose events are still to come will come again as a whole. */
    uint64_t place = reader->next;
    if (reader->have && reader->iter.left) place = reader->view.head.lsn;
    if (place == reader->place || reader->peeks) return 0;
    int r = write_place(reader->j, reader->file, place, false);
    if (!r) reader->place = place;
    return r;
}

int journal_reader_wait(struct journal_reader *reader, int timeout_ms)
{
    struct journal_control *ctl = reader->j->ctl;
    struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

    if (reader->have && reader->iter.left) return 0;
    uint32_t seq = ctl->sync_seq;
    if (reader->next < ctl->synced) return 0;
    syscall(SYS_futex, &ctl->sync_seq, FUTEX_WAIT, seq, &timeout, NULL, 0);
    return reader->next < ctl->synced ? 0 : -ETIMEDOUT;
}

/* ---- readers that are too far behind ---- */

static bool spill_one(struct journal *j, const char *name, uint64_t most)
{
    struct journal_reader *reader = NULL;
    uint64_t synced = j->ctl->synced;
    bool done = false;

    if (journal_reader_peek(j, name, &reader)) return false;
    uint64_t behind = synced > reader->place ? synced - reader->place : 0;
    if (behind > most) {
        int r = j->spill(name, reader);
        if (r < 0) syslog(LOG_ERR, "journal: can't put away the events for %s: %s", name, strerror(-r));
        if (!r && most)
            syslog(LOG_ALERT, "journal: %s was %llu bytes behind, more than %llu: its events are kept elsewhere", name,
                   (unsigned long long)behind, (unsigned long long)most);
        done = !r && !write_place(j, reader->file, reader->next, true);
    }
    journal_reader_close(&reader);
    return done;
}

bool journal_readers_spill(struct journal *j, uint64_t most)
{
    DIR *d = j->spill ? opendir(j->dir) : NULL;
    bool any = false;

    if (!d) return false;
    for (const struct dirent *e; (e = readdir(d));)
        if (strstarts(e->d_name, PREFIX)) any |= spill_one(j, e->d_name + strlen(PREFIX), most);
    closedir(d);
    return any;
}

uint64_t journal_reader_lsn(const struct journal_reader *reader)
{
    return reader->place;
}

void journal_reader_close(struct journal_reader **readerp)
{
    struct journal_reader *reader = *readerp;
    if (!reader) return;
    if (reader->have) journal_view_fini(&reader->view);
    buf_free(&reader->buf);
    free(reader->file);
    free(reader);
    *readerp = NULL;
}

int journal_reader_remove(struct journal *j, const char *name)
{
    if (!journal_reader_goodname(name)) return -EINVAL;
    char *file = xasprintf(PREFIX "%s", name);
    int r = journal_bytelock(j, JLOCK_CHECKPOINT, DISKIO_LOCK_EXCLUSIVE, 0);
    if (!r) {
        r = diskio_unlink_quiet(journal_path(j, file));
        if (!r) r = diskio_sync_dir(j->dir);
        journal_byteunlock(j, JLOCK_CHECKPOINT);
    }
    free(file);
    return r;
}
