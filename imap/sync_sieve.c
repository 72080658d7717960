/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_sieve -- Sieve scripts of a user, kept as files
 *
 * The directory follows the UNIQUEID of the INBOX; a user without INBOX has none, and
 * none is made for him. Changes are made under the user's namespace lock, each file
 * whole or not at all.
 */
#include <config.h>

#include "sync_sieve.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "dirhash.h"
#include "filesum.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "strarray.h"
#include "txn.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define ACTIVE_NAME "defaultbc"

/* ---- names ---- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), slen = strlen(suffix);

    return len > slen && !strcmp(name + len - slen, suffix);
}

/* One path component that cannot leave the directory. */
static bool name_ok(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 255;
}

static int sieve_dir(const char *userid, struct buf *dir)
{
    struct user_meta *meta = NULL;
    int r = user_meta_lookup(userid, NULL, &meta);

    if (r) return r;
    buf_reset(dir);
    r = config_getstring(IMAPOPT_SIEVEDIR) ? user_meta_sievedir(meta, dir) : IMAP_MAILBOX_NONEXISTENT;
    user_meta_free(&meta);
    return r;
}

static int sieve_path(const char *userid, const char *filename, struct buf *path)
{
    if (!name_ok(filename)) return IMAP_NOTFOUND;
    int r = sieve_dir(userid, path);
    if (!r) buf_printf(path, "/%s", filename);
    return r;
}

/* ---- reading ---- */

static struct sync_sieve *list_new(struct sync_sieve_list *list, const char *filename)
{
    list->v = xrealloc(list->v, (list->n + 1) * sizeof(*list->v));
    struct sync_sieve *s = &list->v[list->n++];
    memset(s, 0, sizeof(*s));
    s->filename = xstrdup(filename);
    return s;
}

/* Free map in any case. IMAP_NOTFOUND; a script that can't be read, or has changed in place, is never one that is not there. */
static int map_script(const char *path, struct diskio_map *map, struct stat *st)
{
    bool damaged;
    int err = filesum_map(path, map, st, &damaged);

    if (err == -ENOENT || err == -ENOTDIR) return IMAP_NOTFOUND;
    if (!err && !damaged) return 0;
    xsyslog_errno(LOG_ERR, err, damaged ? "IOERROR: Sieve script has changed in place" : "IOERROR: can't read Sieve script",
                  "path=<%s>", path);
    return damaged ? IMAP_MAILBOX_BADFORMAT : IMAP_IOERROR;
}

static int list_add_script(struct sync_sieve_list *list, const char *dir, const char *filename)
{
    struct diskio_map map;
    struct stat st;
    char *path = xasprintf("%s/%s", dir, filename);
    int r = map_script(path, &map, &st);

    if (!r) {
        struct sync_sieve *s = list_new(list, filename);
        s->last_update = st.st_mtime;
        message_guid_generate(&s->guid, map.base, map.len);
    }
    diskio_map_free(&map);
    free(path);
    return r == IMAP_NOTFOUND ? 0 : r; /* gone meanwhile */
}

/* Target of the link, "NAME.bc", or false. */
static bool read_active(const char *dir, char *name, size_t size)
{
    char *path = xasprintf("%s/" ACTIVE_NAME, dir);
    ssize_t n = readlink(path, name, size - 1);

    free(path);
    if (n <= 0) return false;
    name[n] = '\0';
    return name_ok(name) && has_suffix(name, ".bc");
}

int sync_sieve_read(const char *userid, struct sync_sieve_list *list)
{
    struct buf dir = BUF_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;
    char active[256];
    int r = sieve_dir(userid, &dir);

    list->nodir = true;
    if (r) goto done;
    DIR *dp = opendir(buf_cstring(&dir));
    if (!dp && errno != ENOENT && errno != ENOTDIR) {
        xsyslog_errno(LOG_ERR, -errno, "IOERROR: can't read directory", "path=<%s>", buf_cstring(&dir));
        r = IMAP_IOERROR;
    }
    list->nodir = !dp;
    for (struct dirent *de; dp && (de = readdir(dp));)
        if (name_ok(de->d_name) && has_suffix(de->d_name, ".script"))
            strarray_append(&names, de->d_name);
    if (dp) closedir(dp);
    strarray_sort(&names, cmpstringp_raw);
    for (int i = 0; !r && i < strarray_size(&names); i++)
        r = list_add_script(list, buf_cstring(&dir), strarray_nth(&names, i));
    if (!r && read_active(buf_cstring(&dir), active, sizeof(active)))
        list_new(list, active)->active = true;

done:
    strarray_fini(&names);
    buf_free(&dir);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

void sync_sieve_list_fini(struct sync_sieve_list *list)
{
    for (size_t i = 0; i < list->n; i++) free(list->v[i].filename);
    free(list->v);
    *list = (struct sync_sieve_list)SYNC_SIEVE_LIST_INITIALIZER;
}

int sync_sieve_fetch(const char *userid, const char *filename, struct buf *content)
{
    struct buf path = BUF_INITIALIZER;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    int r = has_suffix(filename, ".script") ? sieve_path(userid, filename, &path) : IMAP_NOTFOUND;

    if (!r) r = map_script(buf_cstring(&path), &map, NULL);
    if (!r) buf_setmap(content, map.base, map.len);
    diskio_map_free(&map);
    buf_free(&path);
    return r == IMAP_NOTFOUND ? IMAP_MAILBOX_NONEXISTENT : r;
}

/* ---- changes ---- */

int sync_sieve_upload(const char *userid, const char *filename, time_t last_update,
                      const char *base, size_t len)
{
    struct buf path = BUF_INITIALIZER, dir = BUF_INITIALIZER;
    struct txn *txn = NULL;

    if (!has_suffix(filename, ".script")) return 0;
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = sieve_dir(userid, &dir);
    if (!r) r = sieve_path(userid, filename, &path);
    /* A record that can't be applied would hold up every later change of the user. */
    if (!r && !diskio_can_create(buf_cstring(&dir))) {
        xsyslog(LOG_ERR, "IOERROR: directory can't be written to", "userid=<%s> path=<%s>", userid, buf_cstring(&dir));
        r = IMAP_IOERROR;
    }
    if (!r) {
        txn_mkdir(txn, buf_cstring(&dir), 0755);
        txn_replace(txn, buf_cstring(&path), base, len, 0600);
        txn_utime(txn, buf_cstring(&path), last_update);
        r = txn_commit(&txn, NULL);
    }
    txn_abort(&txn);
    buf_free(&path);
    buf_free(&dir);
    return r;
}

/* A step under the user's lock; dir is his directory. */
typedef int step_fn(struct txn *txn, const char *dir, const char *filename);

static int with_user(const char *userid, const char *filename, step_fn *step)
{
    struct buf dir = BUF_INITIALIZER;
    struct txn *txn = NULL;

    if (!name_ok(filename)) return IMAP_NOTFOUND;
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = sieve_dir(userid, &dir);
    if (!r) r = step(txn, buf_cstring(&dir), filename);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    buf_free(&dir);
    return r;
}

static char *path_in(const char *dir, const char *base, size_t len, const char *suffix)
{
    return xasprintf("%s/%.*s%s", dir, (int)len, base, suffix);
}

static int deactivate_step(struct txn *txn, const char *dir, const char *filename)
{
    char *path = path_in(dir, ACTIVE_NAME, strlen(ACTIVE_NAME), "");
    int err = diskio_unlink_quiet(path);

    free(path);
    return err && err != -ENOENT ? IMAP_IOERROR : 0;
}

static int delete_step(struct txn *txn, const char *dir, const char *filename)
{
    char active[256];
    size_t len = strlen(filename) - strlen(strrchr(filename, '.'));
    bool isactive = read_active(dir, active, sizeof(active)) && strlen(active) == len + 3 &&
                    !strncmp(active, filename, len);

    if (has_suffix(filename, ".bc")) return isactive ? deactivate_step(txn, dir, filename) : 0;
    char *path = path_in(dir, filename, strlen(filename), "");
    struct stat st;
    int r = diskio_stat(path, &st) ? IMAP_NOTFOUND : 0;
    if (!r && isactive) r = deactivate_step(txn, dir, filename);
    if (!r) txn_unlink(txn, path);
    free(path);
    return r;
}

static int activate_step(struct txn *txn, const char *dir, const char *filename)
{
    char *script = path_in(dir, filename, strlen(filename) - 3, ".script");
    char *link = path_in(dir, ACTIVE_NAME, strlen(ACTIVE_NAME), "");
    char *fresh = path_in(dir, ACTIVE_NAME, strlen(ACTIVE_NAME), ".NEW");
    struct stat st;
    int r = diskio_stat(script, &st) ? IMAP_NOTFOUND : 0;

    if (!r) {
        (void)diskio_unlink_quiet(fresh);
        int err = diskio_symlink(filename, fresh);
        if (!err) err = diskio_rename(fresh, link);
        if (!err) err = diskio_sync_dir(dir);
        if (err) {
            xsyslog_errno(LOG_ERR, err, "IOERROR: activating sieve script failed", "path=<%s>",
                          link);
            r = IMAP_IOERROR;
        }
    }
    free(script);
    free(link);
    free(fresh);
    return r;
}

int sync_sieve_delete(const char *userid, const char *filename)
{
    if (!has_suffix(filename, ".script") && !has_suffix(filename, ".bc")) return 0;
    return with_user(userid, filename, delete_step);
}

int sync_sieve_activate(const char *userid, const char *filename)
{
    if (!has_suffix(filename, ".bc")) return IMAP_NOTFOUND;
    return with_user(userid, filename, activate_step);
}

int sync_sieve_deactivate(const char *userid)
{
    return with_user(userid, ACTIVE_NAME, deactivate_step);
}
