/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * auth_unix -- users and groups of the system
 *
 * Groups are those of the system account with the user's name, if there is one
 * (option unix_group_enable). An identifier is at most 80 bytes; a group must
 * exist. IMAP_INVALID_IDENTIFIER for what is neither.
 */
#include <config.h>

#include "auth_unix.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imap_err.h"
#include "names_config.h"
#include "util.h"
#include "xmalloc.h"

#define MAXIDLEN 80
#define MAXGROUPS 65536
#define MAXENTRY (1u << 20) /* bytes of one entry of the group or password database */

static bool group_exists(const char *name)
{
    size_t size = 4096;
    struct group gr, *found = NULL;
    int r = ERANGE;

    for (; r == ERANGE && size <= MAXENTRY; size *= 2) {
        char *tmp = xmalloc(size);
        r = getgrnam_r(name, &gr, tmp, size, &found);
        free(tmp);
    }
    return !r && found;
}

static int unix_canonify(const char *identifier, size_t len, char *out, size_t outsize)
{
    struct names_config cfg;

    if (!len || len > MAXIDLEN || len >= outsize) return IMAP_INVALID_IDENTIFIER;
    memcpy(out, identifier, len);
    out[len] = '\0';
    if (len > 6 && !cyr_strncasecmp(out, "group:", 6)) {
        memcpy(out, "group:", 6);
        return group_exists(out + 6) ? 0 : IMAP_INVALID_IDENTIFIER;
    }

    names_config_get(&cfg);
    if (cfg.username_tolower) lcase(out);
    for (const char *p = out; *p; p++) {
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f || strchr("%&*/:?", *p))
            return IMAP_INVALID_IDENTIFIER;
    }
    return 0;
}

/* Primary group of the account; false: there is no such account. */
static bool account_gid(const char *userid, gid_t *gid)
{
    size_t size = 4096;
    struct passwd pw, *found = NULL;
    int r = ERANGE;

    for (; r == ERANGE && size <= MAXENTRY; size *= 2) {
        char *tmp = xmalloc(size);
        r = getpwnam_r(userid, &pw, tmp, size, &found);
        if (!r && found) *gid = found->pw_gid;
        free(tmp);
    }
    return !r && found;
}

static void append_group(gid_t gid, strarray_t *groups)
{
    size_t size = 4096;
    struct group gr, *found = NULL;
    int r = ERANGE;

    for (; r == ERANGE && size <= MAXENTRY; size *= 2) {
        char *tmp = xmalloc(size);
        r = getgrgid_r(gid, &gr, tmp, size, &found);
        if (!r && found) strarray_appendm(groups, xasprintf("group:%s", found->gr_name));
        free(tmp);
    }
}

static int unix_groups(const char *userid, strarray_t *groups)
{
    struct names_config cfg;
    gid_t primary = 0;
    int n = 64;

    names_config_get(&cfg);
    if (!cfg.unix_group_enable || !account_gid(userid, &primary)) return 0;

    gid_t *gids = xcalloc((size_t)n, sizeof(*gids));
    while (getgrouplist(userid, primary, gids, &n) < 0) {
        if (n > MAXGROUPS) {
            free(gids);
            return IMAP_SYS_ERROR;
        }
        gids = xreallocarray(gids, (size_t)n, sizeof(*gids));
    }
    for (int i = 0; i < n; i++) append_group(gids[i], groups);
    free(gids);
    return 0;
}

const struct auth_mechanism auth_unix = { "unix", unix_canonify, unix_groups };
