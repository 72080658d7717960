/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * userdeny -- user_deny.db: who may not use which services
 *
 * A record is `2 TAB SERVICES TAB MESSAGE`; SERVICES are comma-separated wildmat
 * patterns, the first that fits decides, `!` in front means "not denied". Reading
 * only; cyr_deny writes. What can't be read denies nobody.
 */
#include <config.h>

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "imap_err.h"
#include "libconfig.h"
#include "strarray.h"
#include "txn.h"
#include "userdeny.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

char *userdeny_path(void)
{
    const char *path = config_getstring(IMAPOPT_USERDENY_DB_PATH);

    return path ? xstrdup(path) : xasprintf("%s/user_deny.db", config_dir);
}

const char *userdeny_backend(void)
{
    return config_getstring(IMAPOPT_USERDENY_DB);
}

static bool denies(const char *services, const char *service)
{
    strarray_t *patterns = strarray_split(services, ",", STRARRAY_TRIM);
    bool denied = false;

    for (int i = 0; i < strarray_size(patterns); i++) {
        const char *p = strarray_nth(patterns, i);
        bool not = *p == '!';
        if (fnmatch(p + not, service, 0)) continue;
        denied = !not ;
        break;
    }
    strarray_free(patterns);
    return denied;
}

static bool check_record(const char *userid, const char *val, size_t len, const char *service,
                         char *message, size_t size)
{
    strarray_t *fields = strarray_nsplit(val, len, "\t", STRARRAY_KEEPEMPTY);
    const char *version = strarray_nth(fields, 0), *services = strarray_nth(fields, 1);
    const char *text = strarray_nth(fields, 2);
    bool denied = false;

    if (!version || !services || (strcmp(version, "1") && strcmp(version, "2")))
        syslog(LOG_ERR, "DENYDB_ERROR: invalid entry for '%s'", userid);
    else
        denied = denies(services, service);
    if (denied && message)
        snprintf(message, size, "%s", text && *text ? text : USERDENY_DEFAULT_MESSAGE);
    strarray_free(fields);
    return denied;
}

bool userdeny_check(const char *userid, const char *service, char *message, size_t size)
{
    char *path = userdeny_path();
    struct txn_db *db = NULL;
    const char *val;
    size_t len;
    bool denied = false;

    int r = txn_db_open(NULL, userdeny_backend(), path, 0, &db);
    if (!r) r = txn_db_fetch(db, userid, strlen(userid), &val, &len);
    if (!r) denied = check_record(userid, val, len, service, message, size);
    txn_db_close(&db);
    free(path);
    return denied;
}
