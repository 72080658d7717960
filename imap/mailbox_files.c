/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_files -- the directories and files of a mailbox as a whole: made, moved, removed
 *
 * What is there is found by reading the directories, so that nothing stays behind that the
 * index does not know. Message files go lazily: until the next checkpoint a session that still has
 * the mailbox in view can read them. Directories go when they are empty, and with them those
 * above up to uuid/, or up to the partition for mailboxes found by name.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "xmalloc.h"
#include "xsyslog.h"

typedef int file_cb(struct mailbox *mailbox, const char *dir, const char *name, void *rock);

static int foreach_file(struct mailbox *mailbox, const char *dir, file_cb *cb, void *rock)
{
    DIR *d = opendir(dir);
    struct dirent *de;
    int r = 0;

    if (!d) {
        if (errno == ENOENT) return 0;
        mailbox_log(mailbox, errno, "can't read directory", dir);
        return IMAP_IOERROR;
    }
    while (!r && (de = readdir(d))) {
        if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") || de->d_type == DT_DIR) continue;
        r = cb(mailbox, dir, de->d_name, rock);
    }
    closedir(d);
    return r;
}

int mailbox_make_dirs(struct txn *txn, const struct mailbox_place *place)
{
    strarray_t dirs = STRARRAY_INITIALIZER;
    int r = mailbox_path_alldirs(place, &dirs);

    for (int i = 0; !r && i < strarray_size(&dirs); i++)
        txn_mkdir(txn, strarray_nth(&dirs, i), MAILBOX_DIR_MODE);
    strarray_fini(&dirs);
    return r;
}

int mailbox_check_writable(struct mailbox *mailbox)
{
    strarray_t dirs = STRARRAY_INITIALIZER;
    int r = mailbox_path_alldirs(&mailbox->place, &dirs);

    for (int i = 0; !r && i < strarray_size(&dirs); i++) {
        if (diskio_can_create(strarray_nth(&dirs, i))) continue;
        xsyslog(LOG_ERR, "IOERROR: directory can't be written to", "mailbox=<%s> path=<%s>",
                mailbox_name(mailbox), strarray_nth(&dirs, i));
        r = IMAP_IOERROR;
    }
    strarray_fini(&dirs);
    return r;
}

int mailbox_replace_file(struct mailbox *mailbox, const struct index_record *rec, const char *base,
                         size_t len)
{
    bool archived = rec->internal_flags & FLAG_INTERNAL_ARCHIVED;
    const char *partition = mailbox_partition(mailbox);
    const char *root = archived ? partition_archiveroot(partition) : partition_root(partition);
    struct buf bytes = BUF_INITIALIZER;
    struct txn_staged *staged;

    if (!root) return IMAP_PARTITION_UNKNOWN;
    buf_init_ro(&bytes, base, len);
    int r = len == rec->size ? mailbox_verify_bytes(mailbox, rec, &bytes) : IMAP_MESSAGE_DAMAGED;
    if (!r) r = mailbox_make_dirs(mailbox->txn, &mailbox->place);
    if (!r)
        r = txn_stage(mailbox->txn, root, base, len, MAILBOX_FILE_MODE, rec->internaldate, &staged);
    if (!r) txn_place(mailbox->txn, staged, mailbox_record_fname(mailbox, rec));
    return r;
}

/* ---- removing ---- */

static int remove_file(struct mailbox *mailbox, const char *dir, const char *name, void *rock)
{
    char *path = xasprintf("%s/%s", dir, name);

    (void)rock;
    /* Databases have changes of their own in a transaction, so they too go at the checkpoint. */
    if (mailbox_path_parse_uid(name) || !strcmp(name, "cyrus.annotations"))
        txn_unlink_lazy(mailbox->txn, path);
    else
        txn_unlink(mailbox->txn, path);
    free(path);
    return 0;
}

/* How many directories above the mailbox's own exist for it alone. */
static int levels_above(const struct mailbox_place *place)
{
    int n = 2;

    if (place->uniqueid) return n;
    n = 0;
    for (const char *p = place->name; *p; p++) n += *p == '.';
    return n;
}

static void remove_dir(struct mailbox *mailbox, const char *dir)
{
    char *path = xstrdup(dir);

    txn_rmdir(mailbox->txn, path);
    for (int n = levels_above(&mailbox->place); n > 0; n--) {
        char *slash = strrchr(path, '/');

        if (!slash || slash == path) break;
        *slash = '\0';
        const char *base = strrchr(path, '/');
        if (base && (!strcmp(base, "/user") || !strcmp(base, "/uuid"))) break;
        txn_rmdir(mailbox->txn, path);
    }
    free(path);
}

static int remove_dirs(struct mailbox *mailbox)
{
    strarray_t dirs = STRARRAY_INITIALIZER;
    int r = mailbox_path_alldirs(&mailbox->place, &dirs);

    for (int i = 0; !r && i < strarray_size(&dirs); i++)
        r = foreach_file(mailbox, strarray_nth(&dirs, i), remove_file, NULL);
    for (int i = 0; !r && i < strarray_size(&dirs); i++)
        remove_dir(mailbox, strarray_nth(&dirs, i));
    strarray_fini(&dirs);
    return r;
}

/* Message files of this transaction are in no directory yet. */
static void remove_staged(struct mailbox *mailbox)
{
    for (size_t i = 0; i < mailbox->nstaged; i++) {
        struct staged_record *staged = &mailbox->staged[i];

        if (!staged->file.base && !staged->file.path) continue;
        txn_unlink_lazy(mailbox->txn, mailbox_record_fname(mailbox, &staged->rec));
    }
}

/* The bit in the old index tells whoever has it open. */
int mailbox_write_deleted(struct mailbox *mailbox)
{
    const int64_t none[4] = { 0 };
    char bytes[INDEX_HEADER_MAX];

    mailbox->hdr.options |= OPT_MAILBOX_DELETED;
    if (!mailbox->created) {
        mailbox->disk.options |= OPT_MAILBOX_DELETED;
        size_t n = index_header_write(&mailbox->disk, bytes);
        txn_pwrite(mailbox->txn, mailbox->index_path, 0, bytes, n);
    }
    remove_staged(mailbox);
    int r = remove_dirs(mailbox);
    return r ? r : mailbox_account_quota(mailbox, none);
}

/* ---- moving ---- */

struct move {
    const struct mailbox_place *to;
    bool archived;       /* what is moved now lies with the archived messages */
    const char *root[2]; /* of the new place; [1]: of archived messages */
    bool same_fs[2];     /* as what is moved now */
    bool settled;        /* no file is left that was to go */
};

static int copy_file(struct mailbox *mailbox, const char *root, const char *from, const char *to)
{
    struct txn_staged *staged;
    struct stat st;
    int fd = diskio_open(from, O_RDONLY, 0);
    int r = fd < 0 ? fd : diskio_fstat(fd, &st);

    if (r)
        mailbox_log(mailbox, r, "can't read message file", from);
    else
        r = txn_stage_fd(mailbox->txn, root, fd, MAILBOX_FILE_MODE, st.st_mtime, &staged);
    if (fd >= 0) diskio_close(fd);
    if (!r) txn_place(mailbox->txn, staged, to);
    return r < 0 && fd < 0 ? IMAP_IOERROR : r;
}

/* *archived: whether the record says so; where both kinds lie in one directory the file does not tell. */
static bool is_of_record(struct mailbox *mailbox, uint32_t uid, const char *path, bool *archived)
{
    struct index_record rec;

    if (mailbox_find_uid(mailbox, uid, &rec) || (rec.internal_flags & FLAG_INTERNAL_UNLINKED) ||
        strcmp(path, mailbox_record_fname(mailbox, &rec)))
        return false;
    *archived = rec.internal_flags & FLAG_INTERNAL_ARCHIVED;
    return true;
}

/*
 * A file that no record has is somebody's to find, unless it is only to go at the next checkpoint: in
 * the new place nothing would remove it.
 */
static int is_there_to_stay(struct mailbox *mailbox, struct move *mv, uint32_t uid, const char *path, bool *stays,
                            bool *archived)
{
    struct stat st;

    *stays = is_of_record(mailbox, uid, path, archived);
    if (*stays) return 0;
    int r = mv->settled ? 0 : txn_checkpoint_again();
    mv->settled = true;
    *stays = !r && !diskio_stat(path, &st);
    return r;
}

static int move_message(struct mailbox *mailbox, const char *dir, const char *name, void *rock)
{
    struct move *mv = rock;
    struct buf to = BUF_INITIALIZER;
    uint32_t uid = mailbox_path_parse_uid(name);
    bool stays = false, archived = mv->archived;

    if (!uid) return 0;
    char *from = xasprintf("%s/%s", dir, name);
    int r = is_there_to_stay(mailbox, mv, uid, from, &stays, &archived);
    if (!r && stays) r = mailbox_path_message(mv->to, archived, uid, &to);
    if (r || !stays) {
        free(from);
        return r;
    }
    if (buf_cmpcstr(&to, from)) {
        if (mv->same_fs[archived])
            txn_link(mailbox->txn, from, buf_cstring(&to));
        else
            r = copy_file(mailbox, mv->root[archived], from, buf_cstring(&to));
        if (!r) txn_unlink_lazy(mailbox->txn, from);
    }
    free(from);
    buf_free(&to);
    return r;
}

static int move_messages(struct mailbox *mailbox, const struct mailbox_place *to, bool archived)
{
    struct buf from = BUF_INITIALIZER;
    struct stat a, b;
    struct move mv = { .to = to, .archived = archived,
                       .root = { partition_root(to->partition), partition_archiveroot(to->partition) } };

    if (!mv.root[0] || !mv.root[1]) return IMAP_PARTITION_UNKNOWN;
    int r = archived ? mailbox_path_archivedir(&mailbox->place, &from)
                     : mailbox_path_dir(&mailbox->place, &from);
    bool there = !r && !diskio_stat(buf_cstring(&from), &a);
    for (int i = 0; there && i < 2; i++)
        mv.same_fs[i] = !diskio_stat(mv.root[i], &b) && a.st_dev == b.st_dev;
    if (there) r = foreach_file(mailbox, buf_cstring(&from), move_message, &mv);
    buf_free(&from);
    return r;
}

/* The header is written anew in its new place. */
static int move_metafile(struct mailbox *mailbox, const struct mailbox_place *to,
                         enum mailbox_metafile file)
{
    struct buf frompath = BUF_INITIALIZER, topath = BUF_INITIALIZER;
    const char *root = partition_metaroot(to->partition, file);
    struct stat st;

    int r = root ? 0 : IMAP_PARTITION_UNKNOWN;
    if (!r) r = mailbox_path_meta(&mailbox->place, file, &frompath);
    if (!r) r = mailbox_path_meta(to, file, &topath);
    if (!r && !buf_equal(&frompath, &topath) && !diskio_stat(buf_cstring(&frompath), &st)) {
        if (file == META_HEADER)
            txn_unlink(mailbox->txn, buf_cstring(&frompath));
        else
            r = txn_move(mailbox->txn, root, buf_cstring(&frompath), buf_cstring(&topath));
    }
    buf_free(&frompath);
    buf_free(&topath);
    return r;
}

/*
 * A cache of archived messages that is a file of its own here, and is to be none there, or the other way round: its
 * records are put into the other one (mailbox_cache_put).
 */
static int move_cache_of_archive(struct mailbox *mailbox, const struct mailbox_place *to)
{
    struct buf path = BUF_INITIALIZER;
    struct stat st;

    if (!mailbox_cache_has_archive(mailbox->place.partition)) return 0;
    if (mailbox_cache_has_archive(to->partition)) return move_metafile(mailbox, to, META_ARCHIVECACHE);
    int r = mailbox_path_meta(&mailbox->place, META_ARCHIVECACHE, &path);
    if (!r && !diskio_stat(buf_cstring(&path), &st)) txn_unlink(mailbox->txn, buf_cstring(&path));
    buf_free(&path);
    return r;
}

/* Are archived messages in a directory of their own? */
static bool has_archive(const struct mailbox_place *place)
{
    const char *root = partition_root(place->partition),
               *archive = partition_archiveroot(place->partition);

    return root && archive && strcmp(root, archive) != 0;
}

int mailbox_move_files(struct mailbox *mailbox, const mbentry_t *newentry)
{
    const struct mailbox_place to = mailbox_place_of(newentry);
    strarray_t dirs = STRARRAY_INITIALIZER;

    for (size_t i = 0; i < mailbox->nstaged; i++) {
        if (!mailbox->staged[i].file.base && !mailbox->staged[i].file.path) continue;
        mailbox_log(mailbox, 0, "moved in the transaction that appended to it",
                    mailbox->index_path);
        return IMAP_INTERNAL;
    }
    int r = mailbox_make_dirs(mailbox->txn, &to);
    for (int file = 0; !r && file < META_NUMFILES; file++) {
        if (file != META_LOCK && file != META_ARCHIVECACHE)
            r = move_metafile(mailbox, &to, (enum mailbox_metafile)file);
    }
    if (!r) r = move_cache_of_archive(mailbox, &to);
    if (!r) r = move_messages(mailbox, &to, false);
    if (!r && has_archive(&mailbox->place)) r = move_messages(mailbox, &to, true);
    if (!r) r = mailbox_path_alldirs(&mailbox->place, &dirs);
    for (int i = 0; !r && i < strarray_size(&dirs); i++)
        remove_dir(mailbox, strarray_nth(&dirs, i));
    strarray_fini(&dirs);
    return r;
}
