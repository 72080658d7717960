/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * userdeny -- user_deny.db: who may not use which services
 *
 * A record is `2 TAB SERVICES TAB MESSAGE`; SERVICES are comma-separated wildmat
 * patterns, the first that fits decides, `!` in front means "not denied". cyr_deny writes. A record that makes no
 * sense denies nobody. Of a file that is damaged, and of which there is no copy (userdeny_copy.c), nobody can say whom it denies: nobody is
 * let in.
 */
#include <config.h>

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "strarray.h"
#include "txn.h"
#include "userdeny.h"
#include "userdeny_copy.h"
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

struct denial {
    char *services, *message; /* message "": the default one */
};

static void denial_fini(struct denial *d)
{
    free(d->services);
    free(d->message);
}

/* What a client is told stays on its line. */
static void tame(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' && *text != '\t') *text = ' ';
}

/* "2 TAB SERVICES TAB MESSAGE"; version 1 has no message. A message may hold TABs. */
static bool parse(const char *userid, const char *val, size_t len, struct denial *d)
{
    const char *end = val + len, *tab = memchr(val, '\t', len);
    bool known = tab && tab == val + 1 && (*val == '1' || *val == '2');

    *d = (struct denial){ NULL, NULL };
    if (!known) {
        syslog(LOG_ERR, "DENYDB_ERROR: invalid entry for '%s'", userid);
        return false;
    }
    const char *services = tab + 1;
    tab = memchr(services, '\t', (size_t)(end - services));
    d->services = xstrndup(services, (size_t)((tab ? tab : end) - services));
    d->message = tab ? xstrndup(tab + 1, (size_t)(end - tab - 1)) : xstrdup("");
    tame(d->message);
    return true;
}

static bool check_record(const char *userid, const char *val, size_t len, const char *service,
                         char *message, size_t size)
{
    struct denial d;
    bool denied = parse(userid, val, len, &d) && denies(d.services, service);

    if (denied && message) snprintf(message, size, "%s", *d.message ? d.message : USERDENY_DEFAULT_MESSAGE);
    denial_fini(&d);
    return denied;
}

/* Only flat files have no other sum. */
static void heal(const char *path)
{
    if (strcmp(userdeny_backend(), "flat")) return;
    if (!userdeny_heal(path)) userdeny_keep_copy(path);
}

bool userdeny_check(const char *userid, const char *service, char *message, size_t size)
{
    char *path = userdeny_path();
    struct txn_db *db = NULL;
    const char *val;
    size_t len;
    bool denied = false;

    heal(path);
    int r = txn_db_open(NULL, userdeny_backend(), path, 0, &db);
    if (!r) r = txn_db_fetch(db, userid, strlen(userid), &val, &len);
    if (!r) denied = check_record(userid, val, len, service, message, size);
    if (r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_CHECKSUM) {
        denied = true;
        if (message) snprintf(message, size, "%s", USERDENY_UNKNOWN_MESSAGE);
    }
    txn_db_close(&db);
    free(path);
    return denied;
}

/* ---- writing ---- */

static int open_for_writing(struct txn *txn, struct txn_db **dbp)
{
    char *path = userdeny_path();

    heal(path);
    int r = txn_db_open(txn, userdeny_backend(), path, TXN_DB_CREATE | TXN_DB_GLOBAL, dbp);

    free(path);
    return r;
}

static bool has_controls(const char *text, const char *allowed)
{
    for (; *text; text++)
        if (((unsigned char)*text < ' ' || *text == 0x7f) && !strchr(allowed, *text)) return true;
    return false;
}

int userdeny_deny(struct txn *txn, const char *userid, const char *services, const char *message)
{
    struct txn_db *db = NULL;

    if (!*userid || has_controls(userid, "")) return IMAP_INVALID_USER;
    if (!services) services = "*";
    if (!message) message = USERDENY_DEFAULT_MESSAGE;
    if (has_controls(services, "") || has_controls(message, "\t")) return IMAP_INVALID_IDENTIFIER;
    char *value = xasprintf("2\t%s\t%s", services, message);
    int r = open_for_writing(txn, &db);
    if (!r) r = txn_db_store(db, userid, strlen(userid), value, strlen(value));
    txn_db_close(&db);
    free(value);
    return r;
}

int userdeny_allow(struct txn *txn, const char *userid)
{
    struct txn_db *db = NULL;
    int r = open_for_writing(txn, &db);

    if (!r) r = txn_db_fetch(db, userid, strlen(userid), NULL, NULL);
    if (!r) r = txn_db_delete(db, userid, strlen(userid));
    txn_db_close(&db);
    return r == IMAP_NOTFOUND ? 0 : r;
}

/* ---- all of it ---- */

struct each {
    userdeny_cb *cb;
    void *rock;
};

static int each_one(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    const struct each *each = rock;
    char *userid = xstrndup(key, keylen);
    struct denial d;
    int r = parse(userid, data, len, &d) ? each->cb(userid, d.services, d.message, each->rock) : 0;

    denial_fini(&d);
    free(userid);
    return r;
}

int userdeny_foreach(userdeny_cb *cb, void *rock)
{
    struct each each = { cb, rock };
    char *path = userdeny_path();
    struct txn_db *db = NULL;
    struct stat st;

    int r = diskio_stat(path, &st) ? IMAP_NOTFOUND : 0;
    if (!r) r = txn_db_open(NULL, userdeny_backend(), path, 0, &db);
    if (!r) r = txn_db_foreach(db, "", 0, each_one, &each);
    txn_db_close(&db);
    free(path);
    return r;
}

void userdeny_changed(const char *path)
{
    char *own = userdeny_path();

    if ((!path || !strcmp(path, own)) && !strcmp(userdeny_backend(), "flat")) userdeny_keep_copy(own);
    free(own);
}
