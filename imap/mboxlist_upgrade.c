/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_upgrade -- mailboxes.db of older servers, and what crashes of older servers left
 *
 * The upgrade writes FILE.NEW with all records in one commit, and renames it. Tidying
 * and reverse ACLs go through transactions like any other change.
 */
#include <config.h>

#include "mboxlist_upgrade.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "annotate_db.h"
#include "buf.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_header.h"
#include "mailbox_path.h"
#include "makeuuid.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "ptrarray.h"
#include "strarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

static void db_path(struct buf *path)
{
    const char *set = config_getstring(IMAPOPT_MBOXLIST_DB_PATH);

    buf_reset(path);
    if (set)
        buf_appendcstr(path, set);
    else
        buf_printf(path, "%s/mailboxes.db", config_dir);
}

/* The uniqueid that the mailbox itself has, or a new one; the caller frees. */
static char *find_uniqueid(const mbentry_t *entry)
{
    struct mailbox_place place = mailbox_place_of(entry);
    struct mailbox_header header;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct buf path = BUF_INITIALIZER;
    char *id = NULL;

    mailbox_header_init(&header);
    if (!mailbox_path_meta(&place, META_HEADER, &path) &&
        !diskio_map_file(buf_cstring(&path), &map, NULL) &&
        !mailbox_header_parse(&header, map.base, map.len) && header.uniqueid)
        id = xstrdup(header.uniqueid);
    mailbox_header_fini(&header);
    diskio_map_free(&map);
    buf_free(&path);
    return id ? id : makeuuid_dup();
}

/* -- old format -- */

enum verdict { UNKNOWN, OLD, NEW };

static int judge(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    enum verdict *verdict = rock;
    mbentry_t *entry = NULL;

    if (keylen && (*key == 'A' || *key == 'N')) *verdict = NEW;
    if (keylen && *key == '$') *verdict = OLD;
    if (keylen && *key == 'I') {
        int r = mbentry_parse_i(key + 1, keylen - 1, data, datalen, &entry);
        *verdict = !r && entry->name ? NEW : OLD;
        mbentry_free(&entry);
    }
    return *verdict != UNKNOWN;
}

struct upgrade {
    struct db *to;
    time_t now;
    unsigned count;
    ptrarray_t special; /* of mbentry_t: entries that carried a special use */
};

static int store(struct db *db, const struct buf *key, struct buf *val)
{
    return cyrusdb_store(db, key->s, key->len, buf_cstring(val), val->len) ? IMAP_IOERROR : 0;
}

static int upgrade_one(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct upgrade *up = rock;
    struct buf k = BUF_INITIALIZER, v = BUF_INITIALIZER;
    mbentry_t *entry = NULL;

    if (keylen && *key == '$') return 0; /* rebuilt, or gone for good */
    int r = mbentry_parse_old(syncname_of(key, keylen), data, datalen, &entry);
    if (r) {
        mbname_log_refused("DBERROR: can't upgrade the record with this key", key, keylen);
        return r;
    }
    if (!entry->uniqueid && !mbentry_is_remote(entry, config_servername))
        entry->uniqueid = find_uniqueid(entry);
    entry->mbtype |= MBTYPE_LEGACY_DIRS;
    if (entry->uniqueid) {
        mbentry_key_uniqueid(entry->uniqueid, &k);
        mbentry_print_i(entry, up->now, &v);
        r = store(up->to, &k, &v);
        buf_reset(&k);
    }
    if (!r) {
        mbentry_key_name(entry->name, &k);
        mbentry_print_n(entry, up->now, &v);
        r = store(up->to, &k, &v);
    }
    up->count++;
    if (entry->legacy_specialuse && *entry->legacy_specialuse && entry->uniqueid) {
        ptrarray_append(&up->special, entry);
        entry = NULL;
    }
    mbentry_free(&entry);
    buf_free(&k);
    buf_free(&v);
    return r;
}

/* The special use, which entries had formerly, becomes the owner's annotation. */
static int store_specialuse(struct txn *txn, const mbentry_t *entry, const char *owner)
{
    struct annotation_value value = { .modseq = 0 };
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db;
    int r = annotate_open(txn, &db);

    if (!r) {
        annotation_key_print(entry->uniqueid, "/specialuse", owner, owner, &key);
        buf_init_ro_cstr(&value.value, entry->legacy_specialuse);
        r = annotate_db_store(db, &key, &value);
    }
    buf_free(&key);
    return r;
}

static int move_specialuse(const ptrarray_t *entries)
{
    struct txn *txn = NULL;
    int r = ptrarray_size(entries) ? txn_begin(&txn) : 0;

    for (int i = 0; !r && i < ptrarray_size(entries); i++) {
        const mbentry_t *entry = ptrarray_nth(entries, i);
        char *owner = mboxname_to_userid(entry->name);
        if (owner) r = store_specialuse(txn, entry, owner);
        free(owner);
    }
    if (!r && txn) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (r) xsyslog(LOG_ERR, "DBERROR: can't store special use", "error=<%s>", error_message(r));
    return r;
}

static void free_entry(void *data)
{
    mbentry_t *entry = data;
    mbentry_free(&entry);
}

/* All of from into a new file; durable when it returns 0. */
static int write_new(struct db *from, const char *path, unsigned *count)
{
    struct upgrade up = { .now = time(NULL) };

    diskio_unlink_quiet(path);
    if (cyrusdb_open(config_getstring(IMAPOPT_MBOXLIST_DB), path, CYRUSDB_CREATE, &up.to))
        return IMAP_IOERROR;
    int r = cyrusdb_begin(up.to, 0) ? IMAP_IOERROR : 0;
    if (!r) r = cyrusdb_foreach(from, NULL, 0, upgrade_one, &up);
    if (!r && cyrusdb_commit(up.to)) r = IMAP_IOERROR;
    cyrusdb_close(up.to);
    /* before the new file counts: an upgrade that is cut here begins anew */
    if (!r) r = move_specialuse(&up.special);
    ptrarray_fini_with(&up.special, free_entry);
    *count = up.count;
    return r;
}

int mboxlist_upgrade(bool *upgraded)
{
    struct buf path = BUF_INITIALIZER, fresh = BUF_INITIALIZER;
    enum verdict verdict = UNKNOWN;
    struct db *db = NULL;
    unsigned count = 0;

    *upgraded = false;
    db_path(&path);
    buf_printf(&fresh, "%s.NEW", buf_cstring(&path));
    int r = cyrusdb_open(config_getstring(IMAPOPT_MBOXLIST_DB), buf_cstring(&path), CYRUSDB_CREATE,
                         &db);
    if (!r) cyrusdb_foreach(db, NULL, 0, judge, &verdict);
    const char *first;
    size_t len;
    bool empty = !r && cyrusdb_fetchnext(db, NULL, 0, &first, &len, NULL, NULL) == CYRUSDB_NOTFOUND;
    if (r) {
        r = IMAP_IOERROR;
    }
    else if (verdict != NEW && !empty) {
        r = write_new(db, buf_cstring(&fresh), &count);
        if (!r && diskio_rename(buf_cstring(&fresh), buf_cstring(&path))) r = IMAP_IOERROR;
        if (!r && diskio_sync_parent(buf_cstring(&path))) r = IMAP_IOERROR;
        if (r)
            diskio_unlink_quiet(buf_cstring(&fresh));
        else
            syslog(LOG_NOTICE, "upgraded %s: %u mailboxes", buf_cstring(&path), count);
        *upgraded = !r;
    }
    cyrusdb_close(db);
    buf_free(&path);
    buf_free(&fresh);
    return r;
}

/* -- leftovers -- */

struct leftovers {
    strarray_t reserved;
    strarray_t nameless; /* without uniqueid */
};

static int note_leftover(void *rock, const char *key, size_t keylen, const char *data,
                         size_t datalen)
{
    struct leftovers *left = rock;
    mbentry_t *entry = NULL;

    /* A damaged record was logged, and stays for reconstruct to look at. */
    if (mboxlist_db_parse_n(key, keylen, data, datalen, &entry)) return 0;
    if (entry->mbtype & MBTYPE_RESERVE)
        strarray_append(&left->reserved, entry->name);
    else if (!entry->uniqueid && !mbentry_is_remote(entry, config_servername) &&
             !(entry->mbtype & MBTYPE_DELETED))
        strarray_append(&left->nameless, entry->name);
    mbentry_free(&entry);
    return 0;
}

/* Removes the entry if it is reserved, or completes it. */
static int tidy_one(const char *name, bool reserved)
{
    struct txn *txn = NULL;
    mbentry_t *entry = NULL;
    char *userid = mboxname_to_userid(name);

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r && reserved && entry->mbtype & MBTYPE_RESERVE) r = mboxlist_delete_entry(txn, name);
    if (!r && !reserved && !entry->uniqueid) {
        entry->uniqueid = find_uniqueid(entry);
        r = mboxlist_update_entry(txn, name, entry);
    }
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (!r && reserved) syslog(LOG_NOTICE, "removed reserved mailbox '%s'", name);
    if (r)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: can't tidy mailboxes.db", "mailbox=<%s> error=<%s>",
                      name, error_message(r));
    mbentry_free(&entry);
    free(userid);
    return r;
}

int mboxlist_tidy(void)
{
    struct leftovers left = { STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };
    struct txn_db *db = NULL;

    int r = mboxlist_db_open(NULL, &db);
    if (!r) r = txn_db_foreach(db, "N", 1, note_leftover, &left);
    mboxlist_db_close(&db);
    for (int i = 0; !r && i < strarray_size(&left.reserved); i++)
        r = tidy_one(strarray_nth(&left.reserved, i), true);
    for (int i = 0; !r && i < strarray_size(&left.nameless); i++)
        r = tidy_one(strarray_nth(&left.nameless, i), false);
    strarray_fini(&left.reserved);
    strarray_fini(&left.nameless);
    return r;
}
