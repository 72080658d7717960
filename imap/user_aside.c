/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_aside -- a file goes where nobody takes it for a user's (user_aside.h)
 */
#include <config.h>

#include "user_aside.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* A new name in lost+found; its directory is staged. */
static char *new_place(struct txn *txn, const char *name, const char *suffix)
{
    char *dir = xasprintf("%s/lost+found", config_dir), *to = NULL;
    struct stat st;

    for (int64_t when = txn_time(txn); !to || !diskio_lstat(to, &st); when++) {
        free(to);
        to = xasprintf("%s/%s%s.%" PRId64, dir, name, suffix, when);
    }
    txn_mkdir(txn, dir, 0700);
    free(dir);
    return to;
}

int user_file_aside(struct txn *txn, const char *path, strarray_t *kept)
{
    char *to = new_place(txn, strrchr(path, '/') + 1, "");
    int r = txn_move(txn, config_dir, path, to);

    strarray_appendm(kept, to);
    return r;
}

static void drop_link(struct txn *txn, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    target[n < 0 ? 0 : n] = '\0';
    xsyslog(LOG_NOTICE, "a symbolic link of a user is removed", "filename=<%s> target=<%s>", path, target);
    txn_unlink(txn, path);
}

static int one_aside(struct txn *txn, const char *dir, const char *name, const char *todir)
{
    char *from = xasprintf("%s%s", dir, name), *to = xasprintf("%s/%s", todir, name);
    struct stat st;
    int r = diskio_lstat(from, &st) ? IMAP_IOERROR : 0;

    if (!r && S_ISLNK(st.st_mode))
        drop_link(txn, from);
    else if (!r && S_ISREG(st.st_mode))
        r = txn_move(txn, config_dir, from, to);
    free(from);
    free(to);
    return r;
}

int user_dir_aside(struct txn *txn, const char *dir, const char *name, const char *suffix, strarray_t *kept)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    int r = 0;

    if (!d) {
        xsyslog_errno(LOG_ERR, errno, "IOERROR: can't read directory", "path=<%s>", dir);
        return IMAP_IOERROR;
    }
    char *to = new_place(txn, name, suffix);
    txn_mkdir(txn, to, 0700);
    while (!r && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) r = one_aside(txn, dir, e->d_name, to);
    closedir(d);
    char *path = xstrndup(dir, strlen(dir) - 1);
    if (!r) txn_rmdir(txn, path);
    free(path);
    strarray_appendm(kept, to);
    return r;
}
