/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_role -- which end of a pair this server is, where somebody has said so (doc/failover.md)
 *
 * The file is replaced as a whole and synced. It is looked at whenever it matters, so a change holds for all processes at once.
 */
#include <config.h>

#include "server_role.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_LINE 512

static const char *const names[] = { "none", "primary", "replica" };

const char *server_role_name(enum server_role role)
{
    return names[role];
}

bool server_role_parse(const char *text, enum server_role *role)
{
    for (size_t i = 0; i < array_size(names); i++) {
        if (strcmp(names[i], text) != 0) continue;
        *role = (enum server_role)i;
        return true;
    }
    return false;
}

/* ---- the file ---- */

static bool parse_line(const char *line, struct server_role_mark *mark)
{
    strarray_t *words = strarray_split(line, " \n", 0);
    uint64_t since = 0;
    int n = strarray_size(words);
    bool good = (n == 2 || n == 3) && server_role_parse(strarray_nth(words, 0), &mark->role) &&
                !parse_u64(strarray_nth(words, 1), strlen(strarray_nth(words, 1)), &since) &&
                (n == 2 || strlen(strarray_nth(words, 2)) < sizeof(mark->peer));

    mark->since = (time_t)since;
    if (good && n == 3) snprintf(mark->peer, sizeof(mark->peer), "%s", strarray_nth(words, 2));
    strarray_free(words);
    return good;
}

/* Bytes read, or -errno. */
static ssize_t read_line(const char *path, char line[MAX_LINE])
{
    int fd = diskio_open(path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? fd : diskio_pread(fd, line, MAX_LINE - 1, 0);

    if (fd >= 0) diskio_close(fd);
    line[n > 0 ? n : 0] = '\0';
    return n;
}

void server_role_read(struct server_role_mark *mark)
{
    char line[MAX_LINE];

    *mark = (struct server_role_mark){ .role = SERVER_ROLE_NONE };
    if (!config_dir) return;
    char *path = xasprintf("%s/role", config_dir);
    ssize_t n = read_line(path, line);
    if (n != -ENOENT && (n < 0 || !parse_line(line, mark))) {
        xsyslog_errno(LOG_ERR, n < 0 ? (int)-n : EINVAL, "IOERROR: can't tell the role of this server, taken for a replica",
                      "filename=<%s>", path);
        *mark = (struct server_role_mark){ .role = SERVER_ROLE_REPLICA };
    }
    free(path);
}

bool server_role_is(enum server_role role)
{
    struct server_role_mark mark;

    server_role_read(&mark);
    return mark.role == role;
}

static int replace(const char *path, const char *line)
{
    char *fresh = xasprintf("%s.NEW", path);

    diskio_unlink_quiet(fresh);
    int fd = diskio_create(fresh, 0640);
    int r = fd < 0 ? fd : diskio_pwrite(fd, line, strlen(line), 0);
    if (fd >= 0 && !r) r = diskio_fsync(fd);
    if (fd >= 0) diskio_close(fd);
    if (!r) r = diskio_rename(fresh, path);
    if (!r) r = diskio_sync_dir(config_dir);
    if (r) diskio_unlink_quiet(fresh);
    free(fresh);
    return r;
}

int server_role_write(const struct server_role_mark *mark)
{
    char *path = xasprintf("%s/role", config_dir);
    char *line = xasprintf("%s %" PRIu64 "%s%s\n", server_role_name(mark->role), (uint64_t)mark->since,
                           *mark->peer ? " " : "", mark->peer);
    int r = replace(path, line);

    if (r) xsyslog_errno(LOG_ERR, -r, "IOERROR: can't write the role of this server", "filename=<%s>", path);
    else syslog(LOG_NOTICE, "this server is the %s of the pair now, the other end: %s", server_role_name(mark->role),
                *mark->peer ? mark->peer : "not told");
    free(line);
    free(path);
    return r ? IMAP_IOERROR : 0;
}
