/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_log -- the events of a transaction, and the text logs made of them
 *
 * The text log is written by appending under an exclusive record lock, after making sure
 * that the name still belongs to the open file (a reader moves the log away under the writers' hands).
 * All lines of one transaction go out in one write, followed by one sync.
 *
 * A channel with a reader of its own in the journal ("sync", "sync-CHANNEL") needs no text log: its events are in
 * the journal already, and are put away into the text log only when the reader is too far behind, or the server
 * stops (doc/rolling.md).
 */
#include <config.h>

#include "sync_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "hash.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "strarray.h"
#include "txn.h"
#include "util.h"
#include "xsyslog.h"

#define SYNC_LOG_MAXLINE 4096 /* bytes, LF included */
#define SYNC_LOG_TRIES 64
#define SYNC_LOG_KEY "sync_log"

static bool suppress_events;

bool sync_log_suppress(bool suppressed)
{
    bool was = suppress_events;

    suppress_events = suppressed;
    return was;
}

/* ---- lines ---- */

static void append_arg(struct buf *line, const char *arg)
{
    if (*arg && !strpbrk(arg, " \t()\\\"{}")) {
        buf_appendcstr(line, arg);
        return;
    }
    buf_putc(line, '"');
    for (; *arg; arg++) {
        if (strchr("\\\"{}", *arg)) buf_putc(line, '\\');
        buf_putc(line, *arg);
    }
    buf_putc(line, '"');
}

bool sync_log_line(const char *type, const char *arg1, const char *arg2, struct buf *line)
{
    const char *const args[] = { arg1, arg2 };

    buf_setcstr(line, type);
    for (int i = 0; i < 2 && args[i]; i++) {
        if (strpbrk(args[i], "\r\n")) return false;
        buf_putc(line, ' ');
        append_arg(line, args[i]);
    }
    return buf_len(line) < SYNC_LOG_MAXLINE;
}

void sync_log_path(const char *channel, struct buf *path)
{
    buf_setcstr(path, config_dir);
    buf_appendcstr(path, "/sync/");
    if (channel && *channel) buf_printf(path, "%s/", channel);
    buf_appendcstr(path, "log");
}

/* ---- text logs ---- */

static int open_locked(const char *path, int *fdp)
{
    for (int i = 0; i < SYNC_LOG_TRIES; i++) {
        int fd = diskio_open(path, O_WRONLY | O_APPEND | O_CREAT, 0640);
        if (fd == -ENOENT && !diskio_mkparents(path, 0755)) continue;
        if (fd < 0) return fd;

        int r = diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0);
        struct stat held, named;
        if (!r && !fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev) {
            *fdp = fd;
            return 0;
        }
        diskio_close(fd);
        if (r) return r;
    }
    return -EBUSY;
}

int sync_log_write(const char *channel, const struct buf *lines)
{
    struct buf path = BUF_INITIALIZER;
    int fd = -1;

    if (!buf_len(lines)) return 0;
    sync_log_path(channel, &path);
    int r = open_locked(buf_cstring(&path), &fd);
    if (!r) r = diskio_write(fd, buf_base(lines), buf_len(lines));
    if (!r) r = diskio_fsync(fd);
    if (fd >= 0) diskio_close(fd);
    if (r)
        xsyslog_errno(LOG_ERR, -r, "IOERROR: can't append to the sync log", "path=<%s>",
                      buf_cstring(&path));
    buf_free(&path);
    return r;
}

static bool is_word_of(const char *word, const char *list)
{
    strarray_t *words = strarray_split(list, NULL, 0);
    bool found = strarray_find(words, word, 0) >= 0;

    strarray_free(words);
    return found;
}

bool sync_log_takes_suppressed(const char *channel)
{
    const char *always = config_getstring(IMAPOPT_SYNC_LOG_UNSUPPRESSABLE_CHANNELS);

    return always && is_word_of(channel && *channel ? channel : "\"\"", always);
}

/* sync_log_channels as a list; not set: the channel without name. */
static const char *text_log_channels(void)
{
    const char *channels = config_getstring(IMAPOPT_SYNC_LOG_CHANNELS);

    return channels ? channels : "\"\"";
}

bool sync_log_writes_text(const char *channel)
{
    return config_getswitch(IMAPOPT_SYNC_LOG) && is_word_of(channel && *channel ? channel : "\"\"", text_log_channels());
}

static bool has_reader(const char *channel)
{
    struct buf name = BUF_INITIALIZER;
    struct journal *j;
    bool has = sync_log_reader(channel, &name) && !txn_journal(&j) && journal_reader_exists(j, buf_cstring(&name));

    buf_free(&name);
    return has;
}

/*
 * Channels whose text log is to be written. Asked before the commit: a reader that is there by then sees it, one
 * that comes later may not.
 */
static strarray_t *text_channels(void)
{
    strarray_t *names = strarray_split(text_log_channels(), NULL, 0);

    for (int i = strarray_size(names) - 1; i >= 0; i--) {
        if (!strcmp(strarray_nth(names, i), "\"\"")) strarray_set(names, i, "");
        if (has_reader(strarray_nth(names, i))) free(strarray_remove(names, i));
    }
    return names;
}

/* Called when the transaction is over. */
static void write_text_logs(uint64_t lsn, void *rock)
{
    strarray_t *names = rock;
    struct buf all = BUF_INITIALIZER, open = BUF_INITIALIZER;
    const struct journal_event *event;

    for (size_t i = 0; lsn && (event = txn_done_event(i)); i++) {
        buf_printf(&all, "%s\n", event->line);
        if (!(event->flags & JOURNAL_EVENT_SUPPRESSED)) buf_printf(&open, "%s\n", event->line);
    }
    for (int i = 0; i < strarray_size(names); i++) {
        const char *name = strarray_nth(names, i);
        (void)sync_log_write(name, sync_log_takes_suppressed(name) ? &all : &open);
    }
    strarray_free(names);
    buf_free(&all);
    buf_free(&open);
}

/* ---- readers of the journal ---- */

#define READER "sync"

bool sync_log_reader(const char *channel, struct buf *name)
{
    buf_setcstr(name, READER);
    if (channel && *channel) buf_printf(name, "-%s", channel);
    return journal_reader_goodname(buf_cstring(name));
}

/* NULL: the name is none of ours. */
static const char *reader_channel(const char *name)
{
    if (strncmp(name, READER, strlen(READER)) != 0) return NULL;
    name += strlen(READER);
    return !*name ? name : *name == '-' ? name + 1 : NULL;
}

/* Every line once: each says only where to look. */
int sync_log_spill(const char *name, struct journal_reader *from)
{
    const char *channel = reader_channel(name);
    struct buf lines = BUF_INITIALIZER;
    struct journal_event event;
    hash_table seen;
    int r;

    if (!channel) return 1;
    bool all = sync_log_takes_suppressed(channel);
    construct_hash_table(&seen, 1024);
    while (!(r = journal_reader_next(from, &event))) {
        if ((event.flags & JOURNAL_EVENT_SUPPRESSED) && !all) continue;
        if (hash_lookup(event.line, &seen)) continue;
        hash_insert(event.line, &seen, &seen);
        buf_printf(&lines, "%s\n", event.line);
    }
    if (r == 1) r = sync_log_write(channel, &lines);
    free_hash_table(&seen, NULL);
    buf_free(&lines);
    return r;
}

/* ---- events ---- */

static void log_line(struct txn *txn, const char *line)
{
    static int marker; /* any address that is not NULL */

    txn_event(txn, line, suppress_events ? JOURNAL_EVENT_SUPPRESSED : 0);
    if (txn_attached(txn, SYNC_LOG_KEY)) return;
    txn_attach(txn, SYNC_LOG_KEY, &marker, NULL);
    if (config_getswitch(IMAPOPT_SYNC_LOG)) txn_on_done(txn, write_text_logs, text_channels());
}

static void log_event(struct txn *txn, const char *type, const char *arg1, const char *arg2)
{
    struct buf line = BUF_INITIALIZER;

    if (!sync_log_line(type, arg1, arg2, &line)) {
        xsyslog(LOG_ERR, "SYNCERROR: a name that can't be logged", "line=<%s>", buf_cstring(&line));
        buf_free(&line);
        return;
    }
    log_line(txn, buf_cstring(&line));
    buf_free(&line);
}

int sync_log_text(struct txn *txn, const char *line)
{
    if (!*line || strpbrk(line, "\r\n") || strlen(line) >= SYNC_LOG_MAXLINE) return IMAP_MAILBOX_BADNAME;
    log_line(txn, line);
    return 0;
}

void sync_log_user(struct txn *txn, const char *userid)
{
    log_event(txn, "USER", userid, NULL);
}

void sync_log_unuser(struct txn *txn, const char *userid)
{
    log_event(txn, "UNUSER", userid, NULL);
}

void sync_log_sieve(struct txn *txn, const char *userid)
{
    log_event(txn, "META", userid, NULL);
}

void sync_log_mailbox(struct txn *txn, const char *name)
{
    log_event(txn, "MAILBOX", name, NULL);
}

void sync_log_unmailbox(struct txn *txn, const char *name)
{
    log_event(txn, "UNMAILBOX", name, NULL);
}

void sync_log_mailbox_double(struct txn *txn, const char *from, const char *to)
{
    log_event(txn, "DOUBLEMAILBOX", from, to);
}

void sync_log_rename(struct txn *txn, const char *oldname, const char *newname)
{
    log_event(txn, "RENAME", oldname, newname);
    log_event(txn, "MAILBOX", oldname, NULL);
    log_event(txn, "MAILBOX", newname, NULL);
}

void sync_log_append(struct txn *txn, const char *name)
{
    log_event(txn, "APPEND", name, NULL);
}

void sync_log_quota(struct txn *txn, const char *root)
{
    log_event(txn, "QUOTA", root, NULL);
}

void sync_log_annotation(struct txn *txn, const char *name)
{
    log_event(txn, "ANNOTATION", name, NULL);
}

void sync_log_seen(struct txn *txn, const char *userid, const char *uniqueid)
{
    log_event(txn, "SEEN", userid, uniqueid);
}

void sync_log_subscribe(struct txn *txn, const char *userid, const char *name)
{
    log_event(txn, "SUB", userid, name);
}
