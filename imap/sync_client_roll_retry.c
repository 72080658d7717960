/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll_retry -- what has failed, and when it is tried again
 *
 * <configdirectory>/sync/[CHANNEL/]log-retry holds the lines, and is replaced as a whole before the events they came from
 * are given up. They wait 15, 30, 60 ... seconds, at most sync_reconnect_maxwait; a new start tries them at
 * once. A client that ends in peace gives them back to the text log, where any reader of the channel finds them.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "sync_client_roll.h"
#include "sync_log.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define RETRY_FIRST 15 /* seconds */

struct entry {
    struct sync_retry_entry e;
    bool taken, touched;
};

static void free_entry(void *p)
{
    struct entry *entry = p;

    free(entry->e.line);
    free(entry->e.owner);
    free(entry->e.reason);
    free(entry);
}

static struct entry *new_entry(struct sync_retry *retry, const char *line, const char *owner)
{
    struct entry *entry = xzmalloc(sizeof(*entry));

    entry->e.line = xstrdup(line);
    entry->e.owner = xstrdup(owner);
    entry->e.reason = xstrdup("");
    entry->e.since = time(NULL);
    hash_insert(line, entry, &retry->entries);
    retry->changed = true;
    return entry;
}

/* ---- the file ---- */

static void load_line(struct sync_retry *retry, const char *line)
{
    struct sync_actions one;

    sync_actions_init(&one);
    sync_actions_add(&one, line, false);
    if (ptrarray_size(&one.units) && !hash_lookup(line, &retry->entries)) {
        const struct sync_unit *unit = ptrarray_nth(&one.units, 0);
        struct entry *entry = new_entry(retry, line, unit->owner);
        free(entry->e.reason);
        entry->e.reason = xstrdup("left by an earlier run");
    }
    sync_actions_fini(&one);
}

int sync_retry_open(struct sync_retry *retry, const char *channel)
{
    struct buf path = BUF_INITIALIZER;
    struct diskio_map map = { 0 };

    memset(retry, 0, sizeof(*retry));
    retry->channel = channel;
    construct_hash_table(&retry->entries, 64);
    sync_channel_path(channel, "log-retry", &path);
    int r = diskio_map_file(buf_cstring(&path), &map, NULL);
    if (!r) {
        struct buf text = BUF_INITIALIZER;
        buf_setmap(&text, map.base, map.len);
        strarray_t *lines = strarray_split(buf_cstring(&text), "\n", 0);
        for (int i = 0; i < strarray_size(lines); i++) load_line(retry, strarray_nth(lines, i));
        strarray_free(lines);
        buf_free(&text);
        diskio_map_free(&map);
    }
    buf_free(&path);
    retry->changed = false;
    if (r && r != -ENOENT) xsyslog_errno(LOG_ERR, -r, "IOERROR: can't read log-retry", NULL);
    return r && r != -ENOENT ? IMAP_IOERROR : 0;
}

static void print_cb(const char *line, void *data __attribute__((unused)), void *rock)
{
    buf_printf(rock, "%s\n", line);
}

static int remove_file(struct sync_retry *retry)
{
    struct buf path = BUF_INITIALIZER;

    sync_channel_path(retry->channel, "log-retry", &path);
    int r = diskio_unlink_quiet(buf_cstring(&path));
    buf_free(&path);
    return r;
}

int sync_retry_save(struct sync_retry *retry)
{
    struct buf path = BUF_INITIALIZER, text = BUF_INITIALIZER;
    int r;

    if (!retry->changed) return 0;
    hash_enumerate_sorted(&retry->entries, print_cb, &text);
    sync_channel_path(retry->channel, "log-retry", &path);
    r = buf_len(&text) ? diskio_replacefile(buf_cstring(&path), buf_base(&text), buf_len(&text)) : remove_file(retry);
    if (r) xsyslog_errno(LOG_ERR, -r, "IOERROR: can't write log-retry", "path=<%s>", buf_cstring(&path));
    buf_free(&path);
    buf_free(&text);
    if (r) return IMAP_IOERROR;
    retry->changed = false;
    return 0;
}

int sync_retry_give_back(struct sync_retry *retry)
{
    struct buf text = BUF_INITIALIZER;

    hash_enumerate_sorted(&retry->entries, print_cb, &text);
    int r = sync_log_write(retry->channel, &text);
    if (!r) r = remove_file(retry);
    buf_free(&text);
    return r ? IMAP_IOERROR : 0;
}

void sync_retry_fini(struct sync_retry *retry)
{
    free_hash_table(&retry->entries, free_entry);
}

/* ---- when ---- */

static uint64_t delay_ms(unsigned fails, bool passing)
{
    int64_t most = config_getduration(IMAPOPT_SYNC_RECONNECT_MAXWAIT);
    int64_t wait = (passing ? 1 : RETRY_FIRST) * (INT64_C(1) << (fails < 20 ? fails : 20));

    if (most > 0 && wait > most) wait = most;
    return (uint64_t)wait * 1000;
}

struct due {
    struct sync_actions *actions;
    uint64_t now, first;
};

static void take_cb(const char *line, void *data, void *rock)
{
    struct entry *entry = data;
    struct due *due = rock;

    if (entry->e.due > due->now) return;
    entry->taken = true;
    sync_actions_add(due->actions, line, true);
}

void sync_retry_take_due(struct sync_retry *retry, struct sync_actions *actions)
{
    struct due due = { .actions = actions, .now = monotonic_ms() };

    hash_enumerate_sorted(&retry->entries, take_cb, &due);
}

static void first_cb(const char *line __attribute__((unused)), void *data, void *rock)
{
    struct entry *entry = data;
    struct due *due = rock;

    if (entry->e.due < due->first) due->first = entry->e.due;
}

int sync_retry_wait_ms(const struct sync_retry *retry, int most)
{
    struct due due = { .now = monotonic_ms(), .first = UINT64_MAX };

    hash_enumerate((hash_table *)&retry->entries, first_cb, &due);
    if (due.first <= due.now) return 0;
    return due.first - due.now < (uint64_t)most ? (int)(due.first - due.now) : most;
}

bool sync_retry_has(const struct sync_retry *retry, const char *line)
{
    return hash_lookup(line, &retry->entries) != NULL;
}

/* ---- what became of it ---- */

static void note_failure(struct sync_retry *retry, const char *owner, const struct sync_failure *failure)
{
    struct entry *entry = hash_lookup(failure->line, &retry->entries);

    if (!entry) entry = new_entry(retry, failure->line, owner);
    free(entry->e.reason);
    entry->e.reason = xstrdup(failure->reason);
    entry->e.due = monotonic_ms() + delay_ms(entry->e.fails++, failure->passing);
    entry->touched = true;
}

struct settle {
    const char *owner;
    strarray_t done;
};

static void settle_cb(const char *line, void *data, void *rock)
{
    struct entry *entry = data;
    struct settle *settle = rock;

    if (strcmp(entry->e.owner, settle->owner) != 0) return;
    if (entry->taken && !entry->touched) strarray_append(&settle->done, line);
    entry->taken = entry->touched = false;
}

void sync_retry_settle(struct sync_retry *retry, const char *owner, const ptrarray_t *failures)
{
    struct settle settle = { owner, STRARRAY_INITIALIZER };

    for (int i = 0; i < ptrarray_size(failures); i++) note_failure(retry, owner, ptrarray_nth(failures, i));
    hash_enumerate(&retry->entries, settle_cb, &settle);
    for (int i = 0; i < strarray_size(&settle.done); i++) {
        free_entry(hash_del(strarray_nth(&settle.done, i), &retry->entries));
        retry->changed = true;
    }
    strarray_fini(&settle.done);
}

/* ---- whom it is about ---- */

struct concerns {
    const char *userid;
    bool any;
};

static void concerns_cb(const char *line, void *data, void *rock)
{
    const struct entry *entry = data;
    struct concerns *c = rock;

    if (!strcmp(entry->e.owner, c->userid) || sync_actions_concern(line, c->userid)) c->any = true;
}

bool sync_retry_concerns(const struct sync_retry *retry, const char *userid)
{
    struct concerns c = { userid, false };

    hash_enumerate((hash_table *)&retry->entries, concerns_cb, &c);
    return c.any;
}
