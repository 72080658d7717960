/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_channel -- the files of a channel, who has them, and how one is given up
 *
 * A channel has a reader in the journal and files in <configdirectory>/sync/[CHANNEL/] (doc/rolling.md). Who gives it up holds both
 * of its locks, so that no client of it runs. The reader goes first, under the lock of checkpoints: from then on nothing holds
 * back the journal, and nobody spills into the text log. The locks go last. Whatever is cut short is done by doing it again.
 */
#include <config.h>

#include "sync_client_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "journal.h"
#include "sync_client_compare.h"
#include "sync_client_roll.h"
#include "sync_log.h"
#include "txn.h"
#include "util.h"
#include "xsyslog.h"

#define TRIES 64

void sync_channel_path(const char *channel, const char *name, struct buf *path)
{
    sync_log_path(channel, path);
    buf_truncate(path, (ssize_t)(buf_len(path) - strlen("log")));
    buf_appendcstr(path, name);
}

/* The name must still be that of the file when we have the lock: who gives a channel up removes both. */
int sync_channel_lock(const char *channel, const char *name, int *fdp)
{
    struct buf path = BUF_INITIALIZER;
    int r = -ENOENT;

    sync_channel_path(channel, name, &path);
    for (int i = 0; i < TRIES && r == -ENOENT; i++) {
        *fdp = diskio_open(buf_cstring(&path), O_RDWR | O_CREAT, 0640);
        if (*fdp == -ENOENT) {
            r = diskio_mkparents(buf_cstring(&path), 0755);
            if (!r) r = -ENOENT;
            continue;
        }
        r = *fdp < 0 ? *fdp : diskio_lock_reopen(fdp, buf_cstring(&path), O_RDWR, DISKIO_LOCK_EXCLUSIVE,
                                                 DISKIO_LOCK_NONBLOCK, NULL, NULL);
        if (r) diskio_close(*fdp);
    }
    if (r) *fdp = -1;
    buf_free(&path);
    return r;
}

/* ---- giving one up ---- */

/* In this order; of the locks compare-lock is the one that is asked for last, and so given up first. */
static const char *const files[] = { "log", "log-run", "log-retry", "log-status", "log-status.NEW", "compare-lock", "log-lock", "acknowledged" };

static bool is_good_name(const char *channel)
{
    return !strchr(channel, '/') && strcmp(channel, ".") != 0 && strcmp(channel, "..") != 0;
}

static bool has_file(const char *channel, const char *name)
{
    struct buf path = BUF_INITIALIZER;

    sync_channel_path(channel, name, &path);
    bool has = !access(buf_cstring(&path), F_OK);
    buf_free(&path);
    return has;
}

/* "" is the directory itself, which the channel without name shares with all others. */
static bool has_anything(const char *channel, struct journal *j, const char *reader)
{
    struct verified_pass pass;
    bool has = (reader && journal_reader_exists(j, reader)) || !sync_compare_last(channel, &pass) ||
               (*channel && has_file(channel, ""));

    for (size_t i = 0; !has && i < array_size(files); i++) has = has_file(channel, files[i]);
    return has;
}

static int remove_files(const char *channel)
{
    struct buf path = BUF_INITIALIZER;
    int r = 0;

    for (size_t i = 0; !r && i < array_size(files); i++) {
        sync_channel_path(channel, files[i], &path);
        r = diskio_unlink_quiet(buf_cstring(&path));
    }
    sync_channel_path(channel, "", &path);
    if (!r) r = diskio_sync_dir(buf_cstring(&path));
    if (!r && *channel) {
        r = diskio_rmdir(buf_cstring(&path));
        if (r == -ENOTEMPTY || r == -EEXIST) r = 0; /* somebody else's files */
        sync_channel_path(NULL, "", &path);
        if (!r) r = diskio_sync_dir(buf_cstring(&path));
    }
    if (r) xsyslog_errno(LOG_ERR, -r, "IOERROR: can't remove the files of a channel", "path=<%s>", buf_cstring(&path));
    buf_free(&path);
    return r ? IMAP_IOERROR : 0;
}

static int give_up(const char *channel, struct journal *j, const char *reader)
{
    struct sync_backlog backlog;
    int r = sync_source_backlog(channel, NULL, &backlog);

    if (!r && reader && journal_reader_remove(j, reader)) r = IMAP_IOERROR;
    if (!r) r = sync_compare_forget(channel);
    if (!r) r = remove_files(channel);
    if (r) return r;
    uint64_t n = backlog.events + backlog.lines;
    printf("channel %s is given up: %" PRIu64 " events are thrown away%s\n", *channel ? channel : "\"\"", n,
           backlog.unreadable ? ", and some that can't be read" : "");
    syslog(LOG_NOTICE, "channel <%s> is given up: %" PRIu64 " events are thrown away", channel, n);
    return 0;
}

/* Says who it is, if the system does. */
static void say_who(const char *channel, const char *name)
{
    struct buf path = BUF_INITIALIZER;

    sync_channel_path(channel, name, &path);
    int fd = diskio_open(buf_cstring(&path), O_RDWR, 0);
    pid_t pid = fd < 0 ? 0 : diskio_lock_holder(fd, DISKIO_LOCK_EXCLUSIVE);
    if (fd >= 0) diskio_close(fd);
    fprintf(stderr, "sync_client: channel %s is in use by another sync_client", *channel ? channel : "\"\"");
    if (pid > 0) fprintf(stderr, " (pid %d)", (int)pid);
    fputs(": end it first\n", stderr);
    buf_free(&path);
}

static int lock_and_give_up(const char *channel, struct journal *j, const char *reader)
{
    static const char *const locks[] = { "log-lock", "compare-lock" };
    int fds[array_size(locks)] = { -1, -1 }, r = 0, code = EX_OK;

    for (size_t i = 0; !r && i < array_size(locks); i++) {
        r = sync_channel_lock(channel, locks[i], &fds[i]);
        if (r == -EWOULDBLOCK) say_who(channel, locks[i]);
        if (r) code = r == -EWOULDBLOCK ? EX_TEMPFAIL : EX_IOERR;
        if (r && r != -EWOULDBLOCK) fprintf(stderr, "sync_client: can't lock the channel: %s\n", strerror(-r));
    }
    if (!r && (r = give_up(channel, j, reader))) {
        fprintf(stderr, "sync_client: %s\n", error_message(r));
        code = EX_IOERR;
    }
    for (size_t i = 0; i < array_size(locks); i++)
        if (fds[i] >= 0) diskio_close(fds[i]);
    return code;
}

int sync_channel_forget(const char *channel, bool force)
{
    struct buf reader = BUF_INITIALIZER;
    struct journal *j;
    int code;

    if (!is_good_name(channel) || txn_journal(&j)) {
        fprintf(stderr, "sync_client: %s\n", is_good_name(channel) ? error_message(IMAP_IOERROR) : "no name of a channel");
        return is_good_name(channel) ? EX_IOERR : EX_USAGE;
    }
    if (sync_log_writes_text(channel) && !force) {
        fprintf(stderr, "sync_client: with sync_log every change is written for channel %s, since sync_log_channels names it: "
                        "change that first, or use --force\n", *channel ? channel : "\"\"");
        return EX_CONFIG;
    }
    const char *name = sync_log_reader(channel, &reader) ? buf_cstring(&reader) : NULL;
    if (has_anything(channel, j, name)) {
        code = lock_and_give_up(channel, j, name);
    }
    else {
        printf("there is nothing of channel %s\n", *channel ? channel : "\"\"");
        code = EX_OK;
    }
    buf_free(&reader);
    return code;
}
