/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_databases -- compares every database of the store with its sums, and changes none of them
 *
 * The databases of the server that it uses, as they are configured, and what lies below <configdirectory>/user, users without INBOX and those
 * who were deleted included. The bytes are copied under the file's own lock and looked at without it, so nobody
 * waits. What is wrong is told only when it is so a second time: a file may be in the middle of a change that is no database's commit.
 *
 * A file that was whole has the time of it in verified.db, by its path.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "counters_codec.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "reconstruct_internal.h"
#include "times.h"
#include "user.h"
#include "util.h"
#include "verified_pass.h"
#include "xmalloc.h"

#define MAX_DEPTH 8 /* of directories: user/uuid/a/b/ID, user/domain/x/example.com/user/y */

static const struct server_db {
    const char *name; /* below configdirectory */
    enum imapopt path, backend; /* IMAPOPT_ZERO: not configured, twoskip */
} server_dbs[] = {
    { "mailboxes.db", IMAPOPT_MBOXLIST_DB_PATH, IMAPOPT_MBOXLIST_DB },
    { "users.db", IMAPOPT_ZERO, IMAPOPT_ZERO },
    { "quotas.db", IMAPOPT_QUOTA_DB_PATH, IMAPOPT_QUOTA_DB },
    { "annotations.db", IMAPOPT_ANNOTATION_DB_PATH, IMAPOPT_ANNOTATION_DB },
    { "deliver.db", IMAPOPT_DUPLICATE_DB_PATH, IMAPOPT_DUPLICATE_DB },
    { "tls_sessions.db", IMAPOPT_TLS_SESSIONS_DB_PATH, IMAPOPT_TLS_SESSIONS_DB },
    { "user_deny.db", IMAPOPT_USERDENY_DB_PATH, IMAPOPT_USERDENY_DB },
    { "ptclient/ptscache.db", IMAPOPT_PTSCACHE_DB_PATH, IMAPOPT_PTSCACHE_DB },
};

/* Kinds of files of a user that have records or a sum. */
static const struct user_db {
    const char *kind;
    enum imapopt backend;
} user_dbs[] = {
    { "conversations", IMAPOPT_CONVERSATIONS_DB },
    { "seen", IMAPOPT_SEENSTATE_DB },
    { "sub", IMAPOPT_SUBSCRIPTION_DB },
    { "subhistory", IMAPOPT_ZERO },
    { "counters", IMAPOPT_ZERO },
};

static const char *backend_of(enum imapopt option)
{
    return option == IMAPOPT_ZERO ? "twoskip" : config_getstring(option);
}

/* ---- one file ---- */

struct survey {
    struct buf faults; /* "offset 1 to 3: what" each, with LF */
    uint64_t size;
};

static void note_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    struct survey *s = rock;

    buf_printf(&s->faults, "offset %" PRIu64 " to %" PRIu64 ": %s\n", off, off + len, what);
}

/* Are the records linked as they should be? Only a whole file is opened: that repairs nothing then. */
static void check_links(struct survey *s, const char *path, const char *backend)
{
    struct db *db;

    if (buf_len(&s->faults) || cyrusdb_open(backend, path, CYRUSDB_NOCOMPACT, &db)) return;
    int r = cyrusdb_consistent(db);
    if (r && r != CYRUSDB_NOTIMPLEMENTED) buf_appendcstr(&s->faults, "records are not linked as they should be\n");
    cyrusdb_close(db);
    cyrusdb_done();
}

static void survey_database(struct survey *s, const char *path, const char *backend)
{
    const struct cyrusdb_salvage to = { .bad = note_bad, .rock = s };

    int r = cyrusdb_salvage(backend, path, 0, &to);
    if (r == CYRUSDB_NOTFOUND || r == CYRUSDB_NOTIMPLEMENTED) return;
    if (r) buf_printf(&s->faults, "can't be read: %s\n", cyrusdb_strerror(r));
    if (!r) check_links(s, path, backend);
}

static void survey_counters(struct survey *s, const char *path)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct counters c;

    int r = diskio_map_file(path, &map, NULL);
    if (r == -ENOENT) return;
    if (r)
        buf_printf(&s->faults, "can't be read: %s\n", strerror(-r));
    else if (map.len < 8 || counters_decode(&c, map.base, map.len))
        note_bad(s, 0, map.len, "no counters, or their sum is wrong");
    diskio_map_free(&map);
}

static void survey(struct survey *s, const char *path, const char *backend)
{
    buf_reset(&s->faults);
    if (backend)
        survey_database(s, path, backend);
    else
        survey_counters(s, path);
}

static void tell(struct reconstruct *rc, const char *path, const struct buf *faults)
{
    if (!buf_len(faults)) return; /* nothing, not even a place */
    for (const char *line = faults->s, *end = line + faults->len; line < end;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));

        reconstruct_say(rc, "%s %.*s", path, (int)(lf - line), line);
        line = lf + 1;
    }
}

/* backend NULL: a file of counters. */
static int verify_file(struct reconstruct_databases *v, const char *path, const char *backend)
{
    struct survey s = { .faults = BUF_INITIALIZER };
    char *key = xasprintf("file:%s", path);
    time_t began = time(NULL), last = v->since ? verified_last(key) : 0;
    struct stat st;
    int r = 0;

    if ((last && !verified_is_due(last, v->since)) || strarray_contains(&v->done, path) || diskio_stat(path, &st) ||
        !S_ISREG(st.st_mode))
        goto done;
    strarray_append(&v->done, path);
    v->bytes += (uint64_t)st.st_size;
    verified_slow_down(v->rc->rate, v->rc->stop, v->began, v->bytes);
    if (v->rc->stop && v->rc->stop()) goto done;
    survey(&s, path, backend);
    if (buf_len(&s.faults)) {
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
        survey(&s, path, backend);
    }
    tell(v->rc, path, &s.faults);
    if (!buf_len(&s.faults)) r = verified_remember(key, began);
done:
    buf_free(&s.faults);
    free(key);
    return r;
}

/* ---- of the server ---- */

static int verify_server(struct reconstruct_databases *v)
{
    int r = 0;

    for (size_t i = 0; i < array_size(server_dbs) && !r; i++) {
        const struct server_db *db = &server_dbs[i];
        const char *set = db->path == IMAPOPT_ZERO ? NULL : config_getstring(db->path);
        char *path = set ? xstrdup(set) : xasprintf("%s/%s", config_dir, db->name);

        r = verify_file(v, path, backend_of(db->backend));
        free(path);
    }
    return r;
}

/* ---- of users ---- */

static const struct user_db *find_kind(const char *kind, size_t len)
{
    for (size_t i = 0; i < array_size(user_dbs); i++)
        if (strlen(user_dbs[i].kind) == len && !memcmp(user_dbs[i].kind, kind, len)) return &user_dbs[i];
    return NULL;
}

static int verify_kind(struct reconstruct_databases *v, const char *path, const struct user_db *db)
{
    return verify_file(v, path, strcmp(db->kind, "counters") ? backend_of(db->backend) : NULL);
}

/* "seen.db", or "alice.seen" at the legacy place. */
static const struct user_db *kind_of_file(const char *name)
{
    size_t len = strlen(name);
    const char *dot = strrchr(name, '.');

    if (!dot) return NULL;
    if (!strcmp(dot, ".db")) return find_kind(name, len - 3);
    return find_kind(dot + 1, strlen(dot + 1));
}

/* All that lies below a directory. What can't be read is told. */
static int verify_tree(struct reconstruct_databases *v, const char *dir, unsigned depth)
{
    DIR *d = opendir(dir);
    struct dirent *de;
    struct stat st;
    int r = 0;

    if (!d && errno != ENOENT) reconstruct_say(v->rc, "%s can't be read: %s", dir, strerror(errno));
    while (d && !r && (de = readdir(d)) && !(v->rc->stop && v->rc->stop())) {
        if (*de->d_name == '.') continue;
        char *path = xasprintf("%s/%s", dir, de->d_name);
        const struct user_db *db = kind_of_file(de->d_name);

        if (!diskio_stat(path, &st) && S_ISDIR(st.st_mode)) {
            if (depth < MAX_DEPTH) r = verify_tree(v, path, depth + 1);
        }
        else if (db) {
            r = verify_kind(v, path, db);
        }
        free(path);
    }
    if (d) closedir(d);
    return r;
}

/* ---- the whole ---- */

void reconstruct_databases_begin(struct reconstruct_databases *v, struct reconstruct *rc, int64_t since)
{
    *v = (struct reconstruct_databases){ .rc = rc, .since = since, .began = monotonic_seconds() };
}

void reconstruct_databases_end(struct reconstruct_databases *v)
{
    strarray_fini(&v->done);
}

int reconstruct_verify_databases(struct reconstruct_databases *v)
{
    char *users = xasprintf("%s/user", config_dir);

    int r = verify_server(v);
    if (!r) r = verify_tree(v, users, 0);
    free(users);
    return r;
}

int reconstruct_verify_user(struct reconstruct_databases *v, const char *userid)
{
    struct user_meta *meta = NULL;

    int r = user_meta_lookup_or_legacy(userid, NULL, &meta);
    for (size_t i = 0; !r && i < array_size(user_dbs); i++) {
        const char *path = user_meta_path(meta, user_dbs[i].kind);

        if (path) r = verify_kind(v, path, &user_dbs[i]);
    }
    user_meta_free(&meta);
    return r;
}

int reconstruct_verify_annotations(struct reconstruct_databases *v, const mbentry_t *entry)
{
    struct mailbox_place place = mailbox_place_of(entry);
    struct buf path = BUF_INITIALIZER;

    int r = mailbox_path_meta(&place, META_ANNOTATIONS, &path);
    if (!r) r = verify_file(v, buf_cstring(&path), backend_of(IMAPOPT_ANNOTATION_DB));
    buf_free(&path);
    return r;
}
