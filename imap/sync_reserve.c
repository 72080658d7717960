/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_reserve -- message files that came ahead of their records
 *
 * Promise: a path that is handed out holds the bytes whose SHA-1 is the GUID asked
 * for. A write that fails (full disk) loses that file only; its bytes are still read
 * from the stream, so the connection keeps step.
 */
#include <config.h>

#include "sync_reserve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "digest.h"
#include "diskio.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "strarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct sync_reserve {
    hash_table files; /* "partition guid" -> path, malloc'ed */
    strarray_t dirs;  /* made by this connection */
    int error;        /* errno of the last failure to store a literal */
    /* the literal that is coming in */
    struct incoming {
        struct buf key, path;
        struct message_guid guid;
        struct digest *digest;
        int fd; /* -1: nothing is written (there already, or failed) */
        bool have, testfail;
    } in;
};

static void incoming_reset(struct incoming *in)
{
    if (in->fd >= 0) (void)diskio_close(in->fd);
    in->fd = -1;
    in->have = false;
}

struct sync_reserve *sync_reserve_new(void)
{
    struct sync_reserve *reserve = xzmalloc(sizeof(*reserve));

    construct_hash_table(&reserve->files, 64);
    strarray_init(&reserve->dirs);
    reserve->in.digest = digest_new(DIGEST_SHA1);
    reserve->in.fd = -1;
    return reserve;
}

static void remove_file(const char *key, void *data, void *rock)
{
    (void)diskio_unlink_quiet(data);
}

void sync_reserve_clear(struct sync_reserve *reserve)
{
    hash_enumerate(&reserve->files, remove_file, NULL);
    free_hash_table(&reserve->files, free);
    construct_hash_table(&reserve->files, 64);
    for (int i = 0; i < strarray_size(&reserve->dirs); i++)
        (void)diskio_rmdir(strarray_nth(&reserve->dirs, i));
    strarray_truncate(&reserve->dirs, 0);
}

void sync_reserve_free(struct sync_reserve **reservep)
{
    struct sync_reserve *reserve = *reservep;

    if (!reserve) return;
    incoming_reset(&reserve->in);
    sync_reserve_clear(reserve);
    free_hash_table(&reserve->files, free);
    strarray_fini(&reserve->dirs);
    digest_free(reserve->in.digest);
    buf_free(&reserve->in.key);
    buf_free(&reserve->in.path);
    free(reserve);
    *reservep = NULL;
}

static void make_key(const char *partition, const struct message_guid *guid, struct buf *key)
{
    char text[MESSAGE_GUID_STRLEN];

    buf_reset(key);
    buf_printf(key, "%s %s", partition, message_guid_encode(guid, text));
}

/* The path for a new file; its directory is there afterwards. */
static int make_path(struct sync_reserve *reserve, const char *partition,
                     const struct message_guid *guid, struct buf *path)
{
    char text[MESSAGE_GUID_STRLEN];

    if (!partition_name_isvalid(partition)) return IMAP_PARTITION_UNKNOWN;
    int r = partition_path_sync(partition, (unsigned)getpid(), path);
    if (r) return r;

    const char *dir = buf_cstring(path);
    if (!strarray_contains(&reserve->dirs, dir)) {
        int err = diskio_mkdirs(dir, 0755);
        if (err) {
            reserve->error = -err;
            xsyslog_errno(LOG_ERR, err, "IOERROR: mkdir failed", "path=<%s>", dir);
            return IMAP_IOERROR;
        }
        strarray_append(&reserve->dirs, dir);
    }
    buf_printf(path, "/%s", message_guid_encode(guid, text));
    return 0;
}

/* ---- file literals ---- */

static int sink_begin(void *rock, const char *partition, const struct message_guid *guid,
                      uint64_t size)
{
    struct sync_reserve *reserve = rock;
    struct incoming *in = &reserve->in;
    char text[MESSAGE_GUID_STRLEN];

    incoming_reset(in);
    in->guid = *guid;
    make_key(partition, guid, &in->key);
    in->have = hash_lookup(buf_cstring(&in->key), &reserve->files) != NULL;
    if (in->have) return 0;

    int r = make_path(reserve, partition, guid, &in->path);
    if (r == IMAP_PARTITION_UNKNOWN)
        syslog(LOG_ERR, "SYNCERROR: message for unknown partition <%s>", partition);
    if (r) return r;
    (void)diskio_unlink_quiet(buf_cstring(&in->path));
    in->fd = diskio_create(buf_cstring(&in->path), 0600);
    if (in->fd < 0) {
        reserve->error = -in->fd;
        xsyslog_errno(LOG_ERR, in->fd, "IOERROR: failed to create reserve file", "filename=<%s>",
                      buf_cstring(&in->path));
        return IMAP_IOERROR;
    }
    const char *failguid = config_getstring(IMAPOPT_DEBUG_WRITEFAIL_GUID);
    in->testfail = failguid && !strcmp(failguid, message_guid_encode(guid, text));
    return 0;
}

static int sink_data(void *rock, const char *base, size_t len)
{
    struct sync_reserve *reserve = rock;
    struct incoming *in = &reserve->in;

    if (in->have) return 0;
    if (in->fd < 0) return IMAP_IOERROR;
    digest_update(in->digest, base, len);
    int err = in->testfail ? -ENOSPC : diskio_write(in->fd, base, len);
    if (!err) return 0;
    reserve->error = -err;
    xsyslog_errno(LOG_ERR, err, "IOERROR: failed to write reserve file", "filename=<%s>",
                  buf_cstring(&in->path));
    return IMAP_IOERROR;
}

static int sink_end(void *rock, bool ok, struct buf *path)
{
    struct sync_reserve *reserve = rock;
    struct incoming *in = &reserve->in;
    struct message_guid got;
    unsigned char sha1[SHA1_SIZE];

    buf_reset(path);
    if (in->have) {
        if (ok) buf_setcstr(path, hash_lookup(buf_cstring(&in->key), &reserve->files));
        return 0;
    }
    digest_final(in->digest, sha1);
    if (in->fd < 0) return IMAP_IOERROR;
    int err = diskio_close(in->fd);
    in->fd = -1;
    if (err) {
        reserve->error = -err;
        xsyslog_errno(LOG_ERR, err, "IOERROR: failed to write reserve file", "filename=<%s>",
                      buf_cstring(&in->path));
    }
    message_guid_import(&got, sha1);
    bool right = message_guid_equal(&got, &in->guid);
    if (ok && !err && right) {
        hash_insert(buf_cstring(&in->key), xstrdup(buf_cstring(&in->path)), &reserve->files);
        buf_setcstr(path, buf_cstring(&in->path));
        return 0;
    }
    (void)diskio_unlink_quiet(buf_cstring(&in->path));
    if (!ok || err) return IMAP_IOERROR;
    syslog(LOG_ERR, "SYNCERROR: uploaded message is not what it is called, dropped: <%s>",
           buf_cstring(&in->key));
    return 0;
}

struct dlist_filesink sync_reserve_sink(struct sync_reserve *reserve)
{
    return (struct dlist_filesink){ sink_begin, sink_data, sink_end, reserve };
}

int sync_reserve_take_error(struct sync_reserve *reserve)
{
    int error = reserve->error;

    reserve->error = 0;
    return error;
}

/* ---- look-up ---- */

const char *sync_reserve_find(const struct sync_reserve *reserve, const char *partition,
                              const struct message_guid *guid)
{
    struct buf key = BUF_INITIALIZER;

    make_key(partition, guid, &key);
    const char *path = hash_lookup(buf_cstring(&key), &reserve->files);
    buf_free(&key);
    return path;
}

int sync_reserve_link(struct sync_reserve *reserve, const char *partition,
                      const struct message_guid *guid, const char *from)
{
    struct buf key = BUF_INITIALIZER, path = BUF_INITIALIZER;
    int r = 0;

    make_key(partition, guid, &key);
    if (hash_lookup(buf_cstring(&key), &reserve->files)) goto done;
    r = make_path(reserve, partition, guid, &path);
    if (r) goto done;
    int err = diskio_copyfile(from, buf_cstring(&path), DISKIO_COPY_LINK | DISKIO_COPY_REPLACE);
    if (err) {
        xsyslog_errno(LOG_ERR, err, "IOERROR: failed to link reserve file",
                      "filename=<%s> source=<%s>", buf_cstring(&path), from);
        r = IMAP_IOERROR;
        goto done;
    }
    hash_insert(buf_cstring(&key), xstrdup(buf_cstring(&path)), &reserve->files);

done:
    buf_free(&key);
    buf_free(&path);
    return r;
}

/* ---- directories of all processes ---- */

/* Calls fn with each <root>/sync./<pid> of a partition. */
typedef void process_dir_fn(const char *dir, pid_t pid, void *rock);
static void foreach_process_dir(const char *root, process_dir_fn *fn, void *rock)
{
    struct buf dir = BUF_INITIALIZER;

    buf_printf(&dir, "%s/sync.", root);
    size_t len = buf_len(&dir);
    DIR *dp = opendir(buf_cstring(&dir));
    for (struct dirent *de; dp && (de = readdir(dp));) {
        char *end;
        unsigned long pid = strtoul(de->d_name, &end, 10);
        if (*end || !pid || pid > INT32_MAX) continue;
        buf_truncate(&dir, len);
        buf_printf(&dir, "/%s", de->d_name);
        fn(buf_cstring(&dir), (pid_t)pid, rock);
    }
    if (dp) closedir(dp);
    buf_free(&dir);
}

struct wanted_file {
    char name[MESSAGE_GUID_STRLEN];
    bool found;
};

static void look_in_dir(const char *dir, pid_t pid, void *rock)
{
    struct wanted_file *wanted = rock;
    char *path = xasprintf("%s/%s", dir, wanted->name);

    if (!access(path, F_OK)) wanted->found = true;
    free(path);
}

static void look_in_partition(const char *partition, const char *root, void *rock)
{
    foreach_process_dir(root, look_in_dir, rock);
}

bool sync_reserve_is_anywhere(const struct message_guid *guid)
{
    struct wanted_file wanted = { .found = false };

    message_guid_encode(guid, wanted.name);
    config_foreachpartition(look_in_partition, &wanted);
    return wanted.found;
}

/* ---- what dead processes left ---- */

static void sweep_dir(const char *dir)
{
    struct buf path = BUF_INITIALIZER;
    DIR *dp = opendir(dir);

    for (struct dirent *de; dp && (de = readdir(dp));) {
        if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..")) continue;
        buf_reset(&path);
        buf_printf(&path, "%s/%s", dir, de->d_name);
        (void)diskio_unlink_quiet(buf_cstring(&path));
    }
    if (dp) closedir(dp);
    if (!diskio_rmdir(dir)) syslog(LOG_INFO, "removed abandoned replication files: %s", dir);
    buf_free(&path);
}

static void sweep_if_dead(const char *dir, pid_t pid, void *rock)
{
    if (pid == getpid() || (kill(pid, 0) && errno == ESRCH)) sweep_dir(dir);
}

static void sweep_partition(const char *partition, const char *root, void *rock)
{
    foreach_process_dir(root, sweep_if_dead, NULL);
}

void sync_reserve_sweep(void)
{
    config_foreachpartition(sweep_partition, NULL);
}
