/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_dbtool_damage -- looks at a file before it is opened, as opening would repair or refuse it
 *
 * A damaged file is only read: what can be read of it is shown, where the rest is goes to stderr, and the exit code is
 * 1. With --force a new file is made of what can be read, and the damaged one is kept beside it. A right that is missing is told with the file or directory that lacks it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cyr_dbtool.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "xmalloc.h"

/* ---- rights ---- */

static int deny(const char *path, const char *right, const char *what)
{
    struct stat st;

    fprintf(stderr, "%s: no right to %s this %s", path, right, what);
    if (!diskio_stat(path, &st))
        fprintf(stderr, ": mode %04o, owner %u, group %u; we are user %u, group %u",
                (unsigned)st.st_mode & 07777, (unsigned)st.st_uid, (unsigned)st.st_gid,
                (unsigned)geteuid(), (unsigned)getegid());
    fputc('\n', stderr);
    return 1;
}

/* The directory on the way to path that can't be searched. */
static int deny_directory(const char *path)
{
    char *dir = xstrdup(path);
    int r = 0;

    for (char *slash = strchr(dir + 1, '/'); slash && !r; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (access(dir, X_OK) && errno == EACCES) r = deny(dir, "search", "directory");
        *slash = '/';
    }
    free(dir);
    return r;
}

int dbtool_check_rights(const struct dbtool *tool, bool changes)
{
    struct stat st;

    int r = diskio_stat(tool->fname, &st);
    if (r == -EACCES) return deny_directory(tool->fname);
    if (r || !S_ISREG(st.st_mode)) return 0;
    if (access(tool->fname, R_OK)) return deny(tool->fname, "read", "file");
    if (changes && access(tool->fname, W_OK)) return deny(tool->fname, "write", "file");
    return 0;
}

/* ---- damage ---- */

static void tell_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    struct dbtool *tool = rock;

    tool->bad++;
    fprintf(stderr, "%s: offset %" PRIu64 " to %" PRIu64 ": %s\n", tool->fname, off, off + len,
            what);
}

int dbtool_survey(struct dbtool *tool)
{
    const struct cyrusdb_salvage to = { .bad = tell_bad, .rock = tool };
    return cyrusdb_salvage(tool->backend, tool->fname, tool->flags, &to);
}

int dbtool_salvage(struct dbtool *tool, dbtool_record_fn *fn)
{
    const struct cyrusdb_salvage to = { .record = fn, .rock = tool };
    return cyrusdb_salvage(tool->backend, tool->fname, tool->flags, &to);
}

int dbtool_rebuild(struct dbtool *tool)
{
    char *kept;
    int r = cyrusdb_remake(tool->backend, tool->fname, tool->flags, &kept);

    if (r)
        fprintf(stderr, "%s: can't be made anew: %s\n", tool->fname, cyrusdb_strerror(r));
    else
        fprintf(stderr, "%s: made anew of what can be read, the damaged one is %s\n", tool->fname,
                kept);
    free(kept);
    return r;
}
