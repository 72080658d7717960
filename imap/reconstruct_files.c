/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_files -- the message files of a mailbox, as the directories have them
 *
 * Names "<uid>." are messages ("0." too: it is nobody's). Dot files, cyrus.* and directories are none of our business; all other
 * names are odd. A directory or file that can't be looked at is an error: it never counts as missing.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "reconstruct_internal.h"
#include "xmalloc.h"

static int add_file(struct mailbox *mailbox, struct file_list *files, const char *path,
                    uint32_t uid, bool archived)
{
    struct stat st;

    int r = diskio_stat(path, &st);
    if (r == -ENOENT) return 0;
    if (r) {
        mailbox_log(mailbox, r, "can't look at message file", path);
        return IMAP_IOERROR;
    }
    if (S_ISDIR(st.st_mode)) return 0;
    files->file = xgrow(files->file, files->n, sizeof(*files->file));
    struct message_file *file = &files->file[files->n++];
    memset(file, 0, sizeof(*file));
    file->rec.uid = uid;
    file->size = (uint64_t)st.st_size;
    file->mtime = st.st_mtime;
    file->archived = archived;
    return 0;
}

static int take_name(struct mailbox *mailbox, struct file_list *files, const char *dir,
                     const struct dirent *de, bool archived)
{
    uint32_t uid = mailbox_path_parse_uid(de->d_name);
    struct stat st;
    int r = 0;

    if (de->d_name[0] == '.' || !strncmp(de->d_name, "cyrus.", 6)) return 0;
    char *path = xasprintf("%s/%s", dir, de->d_name);
    if (uid || !strcmp(de->d_name, "0."))
        r = add_file(mailbox, files, path, uid, archived);
    else if (!diskio_stat(path, &st) && !S_ISDIR(st.st_mode))
        strarray_append(&files->odd, path);
    free(path);
    return r;
}

static int read_directory(struct mailbox *mailbox, struct file_list *files, const char *dir,
                          bool archived)
{
    DIR *d = opendir(dir);
    struct dirent *de;
    int r = 0;

    if (!d && errno == ENOENT) return 0;
    if (!d) {
        mailbox_log(mailbox, errno, "can't read directory", dir);
        return IMAP_IOERROR;
    }
    while (!r && (errno = 0, de = readdir(d))) r = take_name(mailbox, files, dir, de, archived);
    if (!r && errno) {
        mailbox_log(mailbox, errno, "can't read directory", dir);
        r = IMAP_IOERROR;
    }
    closedir(d);
    return r;
}

static int by_uid(const void *a, const void *b)
{
    const struct message_file *x = a, *y = b;

    if (x->rec.uid != y->rec.uid) return x->rec.uid < y->rec.uid ? -1 : 1;
    return (int)x->archived - (int)y->archived;
}

/* A UID may be in spool and archive: the second file is set aside. */
static void set_twice_aside(struct file_list *files)
{
    size_t kept = 0;

    for (size_t i = 0; i < files->n; i++) {
        const struct message_file *file = &files->file[i];

        if (kept && file->rec.uid && files->file[kept - 1].rec.uid == file->rec.uid) {
            files->twice = xgrow(files->twice, files->ntwice, sizeof(*files->twice));
            files->twice[files->ntwice++] = *file;
        }
        else {
            files->file[kept++] = *file;
        }
    }
    files->n = kept;
}

int reconstruct_list_files(struct mailbox *mailbox, struct file_list *files)
{
    struct buf dir = BUF_INITIALIZER, archive = BUF_INITIALIZER;

    int r = mailbox_path_dir(&mailbox->place, &dir);
    if (!r) r = read_directory(mailbox, files, buf_cstring(&dir), false);
    if (!r) r = mailbox_path_archivedir(&mailbox->place, &archive);
    files->own_archive = !r && !buf_equal(&dir, &archive);
    if (!r && files->own_archive) r = read_directory(mailbox, files, buf_cstring(&archive), true);
    if (!r && files->n) {
        qsort(files->file, files->n, sizeof(*files->file), by_uid);
        set_twice_aside(files);
    }
    if (!r) strarray_sort(&files->odd, NULL);
    buf_free(&dir);
    buf_free(&archive);
    return r;
}

void reconstruct_free_files(struct file_list *files)
{
    free(files->file);
    free(files->twice);
    strarray_fini(&files->odd);
    memset(files, 0, sizeof(*files));
}

bool reconstruct_partition_isused(const char *partition)
{
    static const char *const own[] = { ".", "..", "stage.", "sync.", "lost+found" };
    const char *root = partition_root(partition);
    DIR *d = root ? opendir(root) : NULL;
    struct dirent *de;
    bool used = false;

    while (d && !used && (de = readdir(d))) {
        used = true;
        for (size_t i = 0; i < array_size(own); i++) used &= strcmp(de->d_name, own[i]) != 0;
    }
    if (d) closedir(d);
    return used;
}
