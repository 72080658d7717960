/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_roll_status -- how far behind a channel is, and what ails it
 *
 * A rolling client keeps <configdirectory>/sync/[CHANNEL/]log-status, JSON, replaced when its state changes; it
 * is for people and monitors, nothing depends on it. What is left to do is counted at the journal and the text
 * logs themselves, so it is right also when no client runs.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "sync_acked.h"
#include "sync_client_compare.h"
#include "sync_client_roll.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_FAILING 100 /* that are named */

/* ---- writing ---- */

json_t *sync_status_text(const char *s)
{
    struct buf clean = BUF_INITIALIZER;

    for (; *s; s++) buf_putc(&clean, *s >= ' ' && *s <= '~' ? *s : '?');
    json_t *json = json_string(buf_cstring(&clean));
    buf_free(&clean);
    return json;
}

static void failing_cb(const char *line, void *data, void *rock)
{
    const struct sync_retry_entry *entry = data;

    if (json_array_size(rock) >= MAX_FAILING) return;
    json_array_append_new(rock, json_pack("{s:o, s:o, s:i, s:I}", "item", sync_status_text(line), "error", sync_status_text(entry->reason), "tries",
                                          (int)entry->fails, "since", (json_int_t)entry->since));
}

static json_t *to_json(const struct sync_roll_status *status, const struct sync_retry *retry)
{
    json_t *failing = json_array(), *error = sync_status_text(buf_len(&status->last_error) ? status->last_error.s : "");

    hash_enumerate_sorted((hash_table *)&retry->entries, failing_cb, failing);
    return json_pack("{s:s, s:s, s:i, s:s, s:I, s:I, s:o, s:I, s:I, s:o}", "channel",
                     status->channel ? status->channel : "", "server", status->server, "pid", (int)getpid(), "state",
                     status->state, "state_since", (json_int_t)status->since, "last_success",
                     (json_int_t)status->last_success, "last_error", error,
                     "last_error_time", (json_int_t)status->last_error_time, "failed_items",
                     (json_int_t)hash_numrecords(&retry->entries), "failing", failing);
}

/* Without a sync: after a power cut nothing of it is true any more. */
void sync_status_write(const struct sync_roll_status *status, const struct sync_retry *retry)
{
    struct buf path = BUF_INITIALIZER;
    json_t *json = to_json(status, retry);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

    sync_channel_path(status->channel, "log-status", &path);
    char *tmp = xasprintf("%s.NEW", buf_cstring(&path));
    int fd = text ? diskio_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0640) : -EINVAL;
    int r = fd < 0 ? fd : diskio_write(fd, text, strlen(text));
    if (!r) r = diskio_write(fd, "\n", 1);
    diskio_close(fd);
    if (!r) r = diskio_rename(tmp, buf_cstring(&path));
    if (r) syslog(LOG_NOTICE, "can't write %s: %s", buf_cstring(&path), strerror(-r));
    json_decref(json);
    free(text);
    free(tmp);
    buf_free(&path);
}

/* ---- reading ---- */

/* Does a client hold the channel? */
static bool is_running(const char *channel)
{
    struct buf path = BUF_INITIALIZER;

    sync_channel_path(channel, "log-lock", &path);
    int fd = diskio_open(buf_cstring(&path), O_RDWR, 0);
    bool running = fd >= 0 && diskio_lock_holder(fd, DISKIO_LOCK_EXCLUSIVE) > 0;
    diskio_close(fd);
    buf_free(&path);
    return running;
}

json_t *sync_status_read(const char *channel)
{
    struct buf path = BUF_INITIALIZER;

    sync_channel_path(channel, "log-status", &path);
    json_t *json = json_load_file(buf_cstring(&path), 0, NULL);
    buf_free(&path);
    if (!json_is_object(json)) {
        json_decref(json);
        json = json_object();
    }
    json_object_set_new(json, "channel", json_string(channel));
    return json;
}

/* The last whole pass of sync_client --compare; NULL: there was none. */
static json_t *compared(const char *channel)
{
    struct verified_pass pass;

    if (sync_compare_last(channel, &pass)) return NULL;
    return json_pack("{s:I, s:I, s:I, s:I}", "ended", (json_int_t)pass.ended, "oldest", (json_int_t)pass.oldest, "checked",
                     (json_int_t)pass.things, "differ", (json_int_t)pass.findings);
}

static json_t *look(const char *channel, int *rp)
{
    struct sync_backlog backlog;
    json_t *json = sync_status_read(channel);
    bool running = is_running(channel);

    int r = sync_source_backlog(channel, NULL, &backlog);
    if (r) *rp = r;
    time_t now = time(NULL);
    json_object_set_new(json, "running", json_boolean(running));
    if (!running) json_object_del(json, "pid");
    json_object_set_new(json, "events_behind", json_integer((json_int_t)(backlog.events + backlog.lines)));
    json_object_set_new(json, "journal_events", json_integer((json_int_t)backlog.events));
    json_object_set_new(json, "journal_bytes", json_integer((json_int_t)backlog.bytes));
    json_object_set_new(json, "log_lines", json_integer((json_int_t)backlog.lines));
    json_object_set_new(json, "seconds_behind",
                        json_integer(backlog.oldest && backlog.oldest < now ? (json_int_t)(now - backlog.oldest) : 0));
    json_t *pass = compared(channel);
    if (pass) json_object_set_new(json, "compared", pass);
    json_object_set_new(json, "events_lost", json_boolean(backlog.unreadable));
    return json;
}

/* ---- for people ---- */

static json_int_t number(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static const char *string(const json_t *json, const char *key)
{
    const char *s = json_string_value(json_object_get(json, key));
    return s ? s : "";
}

/* Nothing where nobody compares. */
static void print_compared(const json_t *pass)
{
    char text[32], oldest[32];

    if (!pass) return;
    printf("  compared: %s, the oldest %s: %" JSON_INTEGER_FORMAT " users and shared mailboxes, %" JSON_INTEGER_FORMAT
           " differ\n", verified_time_text((time_t)number(pass, "ended"), text),
           verified_time_text((time_t)number(pass, "oldest"), oldest), number(pass, "checked"), number(pass, "differ"));
}

static void print_human(const json_t *json)
{
    const char *channel = string(json, "channel");
    char text[32];
    size_t i;
    const json_t *item;

    printf("channel %s: ", *channel ? channel : "\"\"");
    if (json_is_true(json_object_get(json, "running")))
        printf("%s %s (pid %" JSON_INTEGER_FORMAT ")\n", string(json, "state"), string(json, "server"),
               number(json, "pid"));
    else
        puts("not running");
    printf("  behind: %" JSON_INTEGER_FORMAT " events, %" JSON_INTEGER_FORMAT " seconds\n",
           number(json, "events_behind"), number(json, "seconds_behind"));
    if (json_is_true(json_object_get(json, "events_lost"))) puts("  events are lost: everything will be looked at");
    printf("  last success: %s\n", verified_time_text((time_t)number(json, "last_success"), text));
    if (number(json, "last_error_time"))
        printf("  last error: %s %s\n", verified_time_text((time_t)number(json, "last_error_time"), text), string(json, "last_error"));
    print_compared(json_object_get(json, "compared"));
    json_array_foreach(json_object_get(json, "failing"), i, item)
        printf("  failing: %s: %s\n", string(item, "item"), string(item, "error"));
}

/* ---- channels ---- */

static void look_at_users(const struct sync_status *what, const char *channel, json_t *all, int *rp)
{
    for (int i = 0; i < strarray_size(&what->users); i++) {
        json_t *one = sync_status_user(what, channel, strarray_nth(&what->users, i), rp);
        if (!what->json) sync_status_user_print(one);
        json_array_append_new(all, one);
    }
}

static void look_at_channel(const struct sync_status *what, const char *channel, json_t *all, int *rp)
{
    json_t *one = look(channel, rp);

    if (!what->json) print_human(one);
    json_array_append_new(all, one);
}

int sync_status_print(const struct sync_status *what)
{
    strarray_t channels = STRARRAY_INITIALIZER;
    json_t *all = json_array();
    int r = 0;

    if (what->channel)
        strarray_append(&channels, what->channel);
    else
        sync_all_channels(&channels);
    for (int i = 0; i < strarray_size(&channels); i++) {
        const char *channel = strarray_nth(&channels, i);
        if (strarray_size(&what->users))
            look_at_users(what, channel, all, &r);
        else
            look_at_channel(what, channel, all, &r);
    }
    if (what->json) {
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    }
    json_decref(all);
    strarray_fini(&channels);
    if (r) fprintf(stderr, "sync_client: %s\n", error_message(r));
    return r ? 1 : EX_OK;
}
