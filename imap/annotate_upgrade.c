/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * annotate_upgrade -- annotations.db by mailbox name becomes annotations.db by uniqueid
 *
 * The new file is written and synced beside the old one, the old one gets a second name, and a rename puts the new one
 * in its place: at every moment one whole file has the name. A file that an interrupted upgrade of mailboxes.db left
 * with keys of both kinds is finished. Errors are logged; the old file then stays as it was.
 */
#include <config.h>

#include "annotate_upgrade.h"

#include <stdlib.h>
#include <string.h>

#include "annotation_codec.h"
#include "buf.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct upgrade {
    struct db *to;      /* NULL: only looking for old keys */
    char *scope;        /* the last one that was looked up, */
    mbentry_t *mailbox; /* and whose it is; NULL: nobody's */
    unsigned moved, dropped;
    bool found;
};

/* An old scope is a mailbox name: it has a dot, or is the name of a mailbox at the top. */
static int look_up(struct upgrade *up, const char *scope)
{
    if (up->scope && !strcmp(up->scope, scope)) return 0;
    free(up->scope);
    up->scope = xstrdup(scope);
    mbentry_free(&up->mailbox);
    int r = mboxlist_lookup_allow_all(scope, &up->mailbox, NULL);
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADNAME ? 0 : r;
}

static bool is_old(struct upgrade *up, const char *scope)
{
    return *scope && (strchr(scope, '.') || up->mailbox);
}

static int judge(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct upgrade *up = rock;
    struct annotation_key k;

    (void)data;
    (void)datalen;
    if (annotation_key_parse(key, keylen, &k)) return 0;
    int r = look_up(up, k.scope);
    if (!r) up->found = is_old(up, k.scope);
    return r ? r : up->found;
}

/* What the key is to be; false: there is no mailbox for it. */
static bool new_key(struct upgrade *up, const struct annotation_key *k, struct buf *out)
{
    if (!up->mailbox || !up->mailbox->uniqueid) return false;
    char *owner = mboxname_to_userid(up->mailbox->name);
    annotation_key_print(up->mailbox->uniqueid, k->entry, k->userid, owner, out);
    free(owner);
    return true;
}

static int copy_one(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct upgrade *up = rock;
    struct annotation_key k;
    struct buf out = BUF_INITIALIZER;
    int r = annotation_key_parse(key, keylen, &k) ? 0 : look_up(up, k.scope);

    if (r) return r;
    if (annotation_key_parse(key, keylen, &k) || !is_old(up, k.scope)) {
        buf_setmap(&out, key, keylen); /* of the server, new already, or unknown: as it is */
    }
    else if (new_key(up, &k, &out)) {
        up->moved++;
    }
    else {
        xsyslog(LOG_NOTICE, "annotation of no mailbox left out", "mailbox=<%s> entry=<%s>", k.scope,
                k.entry);
        up->dropped++;
        return 0;
    }
    r = cyrusdb_store(up->to, buf_base(&out), buf_len(&out), data, datalen) ? IMAP_IOERROR : 0;
    buf_free(&out);
    return r;
}

static void finish(struct upgrade *up)
{
    free(up->scope);
    mbentry_free(&up->mailbox);
}

static int write_new(struct db *from, const char *path, struct upgrade *up)
{
    diskio_unlink_quiet(path);
    if (cyrusdb_open(config_getstring(IMAPOPT_ANNOTATION_DB), path, CYRUSDB_CREATE, &up->to))
        return IMAP_IOERROR;
    int r = cyrusdb_begin(up->to, 0) ? IMAP_IOERROR : 0;
    if (!r) r = cyrusdb_foreach(from, NULL, 0, copy_one, up);
    if (!r && cyrusdb_commit(up->to)) r = IMAP_IOERROR;
    cyrusdb_close(up->to);
    return r;
}

/* The new file takes the place; the old one is to be had as FILE.OLD. */
static int replace(const char *fresh, const char *path)
{
    char *old = xasprintf("%s.OLD", path);

    diskio_unlink_quiet(old);
    int r = diskio_link(path, old);
    if (!r) r = diskio_rename(fresh, path);
    if (!r) r = diskio_sync_parent(path);
    if (r) xsyslog_errno(LOG_ERR, r, "IOERROR: can't replace annotations", "filename=<%s>", path);
    free(old);
    return r ? IMAP_IOERROR : 0;
}

int annotate_upgrade(void)
{
    const char *set = config_getstring(IMAPOPT_ANNOTATION_DB_PATH);
    char *path = set ? xstrdup(set) : xasprintf("%s/annotations.db", config_dir);
    char *fresh = xasprintf("%s.NEW", path);
    struct upgrade look = { .to = NULL }, up = { .to = NULL };
    struct db *db = NULL;
    int r = cyrusdb_open(config_getstring(IMAPOPT_ANNOTATION_DB), path, CYRUSDB_CREATE, &db)
                ? IMAP_IOERROR
                : 0;

    if (!r) r = cyrusdb_foreach(db, NULL, 0, judge, &look);
    if (look.found) {
        r = write_new(db, fresh, &up);
        if (!r) r = replace(fresh, path);
        if (r)
            diskio_unlink_quiet(fresh);
        else
            syslog(LOG_NOTICE, "upgraded %s: %u annotations, %u of no mailbox left out", path,
                   up.moved, up.dropped);
    }
    if (r) syslog(LOG_ERR, "DBERROR: %s can't be upgraded: %s", path, error_message(r));
    if (db) cyrusdb_close(db);
    finish(&look);
    finish(&up);
    free(path);
    free(fresh);
    return r;
}
