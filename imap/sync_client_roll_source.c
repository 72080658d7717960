/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll_source -- where the events of a channel come from
 *
 * From two places, both of which are looked at in every turn: the text log, which programs of 3.6.1 write, and into
 * which goes what the journal could not keep; and the journal, at the place of the channel's reader. The text log is
 * renamed to log-run before it is read, and log-run removed when what it says is done.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "sync_acked.h"
#include "sync_client_roll.h"
#include "sync_log.h"
#include "sync_wait.h"
#include "times.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Lines of the journal in one turn, about. */
#define TURN_LINES 20000

struct sync_source {
    const char *channel, *file;
    struct journal_reader *reader; /* NULL: text logs only */
    bool suppressed;               /* the channel gets events of a replica, too */
    struct buf log, run;           /* paths */
    bool have_run, complained;
    struct sync_ack *ack; /* NULL: the channel is not synchronous */
    int bound;            /* ms that somebody waits */
    uint64_t target;      /* the end of the journal when it was read last */
    unsigned long long began, took; /* took: ms, of the last turn that had something to do */
    bool worked;                    /* this one had */
    bool once_done; /* the file was read */
    struct sync_actions foreign; /* of the last read, what is not for this channel */
};

int sync_source_open(const char *channel, const char *file, struct sync_source **sourcep)
{
    struct sync_source *source = xzmalloc(sizeof(*source));
    struct buf name = BUF_INITIALIZER;
    struct journal *j;
    int r = 0;

    source->channel = channel;
    source->file = file;
    sync_actions_init(&source->foreign);
    source->suppressed = sync_log_takes_suppressed(channel);
    sync_channel_path(channel, "log", &source->log);
    sync_channel_path(channel, "log-run", &source->run);
    if (!file && sync_log_reader(channel, &name)) {
        r = txn_journal(&j);
        bool anew = !r && !journal_reader_exists(j, buf_cstring(&name));
        if (!r && journal_reader_open(j, buf_cstring(&name), &source->reader)) r = IMAP_IOERROR;
        if (!r) r = sync_acked_begin(channel, anew);
    }
    else if (!file) {
        syslog(LOG_NOTICE, "SYNCNOTICE: the name of channel %s is none for a reader of the journal: text logs only",
               channel);
    }
    buf_free(&name);
    source->bound = source->reader ? sync_wait_bound(channel) : 0;
    if (!r && source->bound > 0) r = sync_ack_open(channel, &source->ack);
    *sourcep = source;
    if (r) sync_source_close(sourcep);
    return r;
}

void sync_source_close(struct sync_source **sourcep)
{
    struct sync_source *source = *sourcep;

    if (!source) return;
    journal_reader_close(&source->reader);
    sync_ack_close(&source->ack);
    sync_actions_fini(&source->foreign);
    buf_free(&source->log);
    buf_free(&source->run);
    free(source);
    *sourcep = NULL;
}

/* ---- text logs ---- */

static void add_lines(const char *base, size_t len, struct sync_actions *actions)
{
    struct buf line = BUF_INITIALIZER;

    for (const char *p = base, *end = base + len; p < end;) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((lf ? lf : end) - p);
        buf_setmap(&line, p, n);
        if (memchr(p, '\0', n))
            xsyslog_errno(LOG_ERR, 0, "SYNCERROR: garbage in a sync log, the line is skipped", "line=<%s>",
                          buf_cstring(&line));
        else
            sync_actions_add(actions, buf_cstring(&line), false);
        p += n + 1;
    }
    buf_free(&line);
}

/* Who has the file open wrote to it under a lock: after that nobody writes any more. */
static int read_text(const char *path, struct sync_actions *actions)
{
    struct diskio_map map = { 0 };
    int fd = diskio_open(path, O_RDWR, 0);
    if (fd < 0) return fd;

    int r = diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0);
    diskio_close(fd);
    if (!r) r = diskio_map_file(path, &map, NULL);
    if (r) return r;
    add_lines(map.base, map.len, actions);
    diskio_map_free(&map);
    return 0;
}

static int find_run(struct sync_source *source)
{
    const char *run = buf_cstring(&source->run);

    if (!access(run, F_OK)) {
        if (!source->have_run && !source->complained) syslog(LOG_NOTICE, "Reprocessing sync log file %s", run);
        return 0;
    }
    return access(buf_cstring(&source->log), F_OK) ? -ENOENT : diskio_rename(buf_cstring(&source->log), run);
}

/* A log that can't be read does not keep the journal's events back. */
static void read_logs(struct sync_source *source, struct sync_actions *actions)
{
    int r = find_run(source);

    if (!r) {
        r = read_text(buf_cstring(&source->run), actions);
        source->have_run = !r;
    }
    if (r && r != -ENOENT && !source->complained)
        xsyslog_errno(LOG_ERR, -r, "IOERROR: can't read the sync log", "path=<%s>", buf_cstring(&source->run));
    source->complained = r && r != -ENOENT;
}

/* ---- the journal ---- */

static int everything_cb(const mbentry_t *mbentry, void *rock)
{
    struct buf line = BUF_INITIALIZER;
    char *userid = mboxname_to_userid(mbentry->name);

    if (sync_log_line(userid ? "USER" : "MAILBOX", userid ? userid : mbentry->name, NULL, &line))
        sync_actions_add(rock, buf_cstring(&line), false);
    free(userid);
    buf_free(&line);
    return 0;
}

static int look_at_everything(const struct sync_source *source, struct sync_actions *actions)
{
    syslog(LOG_ALERT, "SYNCERROR: events of channel <%s> are lost: all users and mailboxes are looked at",
           source->channel ? source->channel : "");
    return mboxlist_allmbox("", everything_cb, actions, 0);
}

static int read_journal(struct sync_source *source, struct sync_actions *actions)
{
    struct journal_event event;
    int r;

    while (sync_actions_count(actions) < TURN_LINES || journal_reader_midrecord(source->reader)) {
        r = journal_reader_next(source->reader, &event);
        if (r == 1) break;
        if (r == -ENODATA) {
            r = look_at_everything(source, actions);
            if (r) return r;
            continue;
        }
        if (r) return IMAP_IOERROR;
        bool is_ours = !(event.flags & JOURNAL_EVENT_SUPPRESSED) || source->suppressed;
        sync_actions_add(is_ours ? actions : &source->foreign, event.line, false);
    }
    return 0;
}

/* What a turn that brings over all that was there at its beginning must reach. */
static void note_end(struct sync_source *source)
{
    struct journal_status status;
    struct journal *j;

    source->began = monotonic_ms();
    source->target = UINT64_MAX;
    if (txn_journal(&j)) return;
    journal_status(j, &status);
    source->target = status.synced;
}

int sync_source_read(struct sync_source *source, struct sync_actions *actions)
{
    if (source->file) {
        int r = source->once_done ? 0 : read_text(source->file, actions);
        source->once_done = true;
        if (r) xsyslog_errno(LOG_ERR, -r, "IOERROR: can't read the sync log", "path=<%s>", source->file);
        return r ? IMAP_IOERROR : 0;
    }
    if (source->ack) note_end(source);
    sync_actions_fini(&source->foreign);
    sync_actions_init(&source->foreign);
    read_logs(source, actions);
    int r = source->reader ? read_journal(source, actions) : 0;
    source->worked = sync_actions_count(actions) > 0;
    return r;
}

int sync_source_commit(struct sync_source *source)
{
    int r = 0;

    if (source->have_run) r = diskio_unlink_quiet(buf_cstring(&source->run));
    if (r) xsyslog_errno(LOG_ERR, -r, "IOERROR: can't remove the sync log", "path=<%s>", buf_cstring(&source->run));
    if (!r) source->have_run = false;
    if (!r && source->reader) r = journal_reader_commit(source->reader);
    return r ? IMAP_IOERROR : 0;
}

/*
 * A text log that is there may hold what was put away for this reader while it read (journal_spill), or could not be read:
 * its place is not what the replica has then.
 */
uint64_t sync_source_place(struct sync_source *source)
{
    if (!source->reader || !access(buf_cstring(&source->log), F_OK) || !access(buf_cstring(&source->run), F_OK)) return 0;
    return journal_reader_lsn(source->reader);
}

const struct sync_actions *sync_source_foreign(const struct sync_source *source)
{
    return &source->foreign;
}

void sync_source_acknowledge(struct sync_source *source)
{
    uint64_t lsn = source->ack ? sync_source_place(source) : 0;

    if (!lsn) return;
    unsigned long long took = monotonic_ms() - source->began;
    if (source->worked) source->took = took;
    sync_ack_tell(source->ack, lsn, lsn >= source->target && took < (unsigned long long)source->bound, source->took);
}

bool sync_source_is_synchronous(const struct sync_source *source)
{
    return source->ack;
}

void sync_source_wait(struct sync_source *source, int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

    if (source->reader)
        (void)journal_reader_wait(source->reader, ms);
    else
        nanosleep(&t, NULL);
}

/* ---- what is left ---- */

static void older(struct sync_backlog *backlog, time_t t)
{
    if (!backlog->oldest || t < backlog->oldest) backlog->oldest = t;
}

/* NULL: everybody counts. */
static bool counts(const char *line, const char *userid)
{
    return !userid || sync_actions_concern(line, userid);
}

static void count_lines(const struct diskio_map *map, const char *userid, struct sync_backlog *backlog)
{
    struct buf line = BUF_INITIALIZER;

    for (size_t i = 0; i < map->len; i++) {
        if (map->base[i] != '\n') {
            if (userid) buf_putc(&line, map->base[i]);
            continue;
        }
        backlog->lines += counts(buf_cstring(&line), userid);
        buf_reset(&line);
    }
    buf_free(&line);
}

static void count_text(const char *channel, const char *name, const char *userid, struct sync_backlog *backlog)
{
    uint64_t before = backlog->lines;
    struct buf path = BUF_INITIALIZER;
    struct diskio_map map = { 0 };
    struct stat st;

    sync_channel_path(channel, name, &path);
    if (!diskio_map_file(buf_cstring(&path), &map, &st)) {
        count_lines(&map, userid, backlog);
        if (userid ? backlog->lines > before : map.len > 0) older(backlog, st.st_mtime);
        diskio_map_free(&map);
    }
    buf_free(&path);
}

static int count_journal(struct journal_reader *reader, bool suppressed, const char *userid, struct sync_backlog *backlog)
{
    uint64_t place = journal_reader_lsn(reader);
    struct journal_event event;
    int r;

    while ((r = journal_reader_next(reader, &event)) != 1) {
        if (r == -ENODATA)
            backlog->unreadable = true;
        else if (r)
            return IMAP_IOERROR;
        else if ((!(event.flags & JOURNAL_EVENT_SUPPRESSED) || suppressed) && counts(event.line, userid)) {
            if (!backlog->events++) older(backlog, event.time);
            backlog->bytes = event.lsn - place;
        }
    }
    return 0;
}

int sync_source_backlog(const char *channel, const char *userid, struct sync_backlog *backlog)
{
    struct journal_reader *reader = NULL;
    struct buf name = BUF_INITIALIZER;
    struct journal *j;
    int r = txn_journal(&j);

    memset(backlog, 0, sizeof(*backlog));
    count_text(channel, "log-retry", userid, backlog);
    count_text(channel, "log-run", userid, backlog);
    count_text(channel, "log", userid, backlog);
    if (!r && sync_log_reader(channel, &name)) {
        int er = journal_reader_peek(j, buf_cstring(&name), &reader);
        if (!er) r = count_journal(reader, sync_log_takes_suppressed(channel), userid, backlog);
        if (er && er != -ENOENT) backlog->unreadable = true;
    }
    journal_reader_close(&reader);
    buf_free(&name);
    return r;
}
