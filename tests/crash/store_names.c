/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_names -- do the records of mailboxes.db agree, and has every file of a user its owner?
 *
 * Names have their ids, ids their names, rights their reverse records. What a user leaves in the configuration directory
 * is looked for by the id of his INBOX, so a directory of no INBOX would never be found, nor removed.
 */
#include <config.h>

#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "cyrusdb.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mbentry.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "util.h"
#include "xmalloc.h"

struct names {
    struct buf *problems;
    hash_table ids;    /* I records */
    hash_table racls;  /* A records that are there; each that ought to be is taken out */
    bool racls_on;
    hash_table owners; /* ids of INBOXes, deleted ones too */
    strarray_t admins;
};

static int note_record(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct names *n = rock;
    char *text = xstrndup(key, keylen);

    (void)data, (void)datalen;
    if (!strcmp(text, RACL_MARKER_KEY))
        n->racls_on = true;
    else if (*text == 'I')
        hash_insert(text + 1, n, &n->ids);
    else if (*text == 'A')
        hash_insert(text, n, &n->racls);
    else if (*text != 'N')
        buf_printf(n->problems, "mailboxes.db: what is %s?\n", text);
    free(text);
    return 0;
}

static void read_records(struct names *n)
{
    char *path = xasprintf("%s/mailboxes.db", config_dir);
    struct db *db = NULL;

    int r = cyrusdb_open("twoskip", path, CYRUSDB_NOCOMPACT, &db);
    if (!r) r = cyrusdb_foreach(db, "", 0, note_record, n);
    if (r && r != CYRUSDB_NOTFOUND) buf_appendcstr(n->problems, "mailboxes.db can't be read\n");
    cyrusdb_close(db);
    free(path);
}

/* One reverse record for each identifier that may look or read. */
static void check_racl(struct names *n, const mbentry_t *entry)
{
    struct acl_item item;
    struct buf key = BUF_INITIALIZER;
    char *owner = mboxname_to_userid(entry->name);

    for (const char *p = entry->acl; p && cyrus_acl_next(&p, &item);) {
        char *id = xstrndup(item.identifier, item.idlen);
        bool counts = cyrus_acl_strtomask_lax(item.rights, item.rightslen) & (ACL_LOOKUP | ACL_READ);
        if (counts && strcmpnull(id, owner) && !strarray_contains(&n->admins, id)) {
            buf_reset(&key);
            mbentry_key_racl(owner != NULL, id, entry->name, &key);
            if (!hash_del(buf_cstring(&key), &n->racls))
                buf_printf(n->problems, "%s: no reverse record of %s\n", entry->name, id);
        }
        free(id);
    }
    free(owner);
    buf_free(&key);
}

/* Of a user who was deleted, or whose INBOX is: his files stay as long as it can come back. */
static bool owns_files(const mbentry_t *entry)
{
    mbname_t *mbname = mbname_from_intname(entry->name);
    bool yes = mbname && mbname_userid(mbname) && !strarray_size(mbname_boxes(mbname));

    mbname_free(&mbname);
    return yes;
}

static int check_name(const mbentry_t *entry, void *rock)
{
    struct names *n = rock;
    bool gone = entry->mbtype & MBTYPE_DELETED;

    if (!entry->uniqueid)
        buf_printf(n->problems, "%s has no id\n", entry->name);
    else if (!gone && !hash_lookup(entry->uniqueid, &n->ids))
        buf_printf(n->problems, "%s: no record of its id\n", entry->name);
    if (!gone && n->racls_on) check_racl(n, entry);
    if (!gone && (entry->mbtype & MBTYPE_INTERMEDIATE)) buf_printf(n->problems, "%s is reserved\n", entry->name);
    if (!gone && entry->uniqueid && owns_files(entry)) hash_insert(entry->uniqueid, n, &n->owners);
    return 0;
}

static void say_racl(const char *key, void *data, void *rock)
{
    struct names *n = rock;

    (void)data;
    buf_printf(n->problems, "a reverse record too many: %s\n", key);
}

/* <configdirectory>/user/uuid/a/b/ID/FILE. */
static void check_user_files(struct names *n)
{
    char *dir = xasprintf("%s/user/uuid", config_dir);
    strarray_t paths = STRARRAY_INITIALIZER;

    store_files(dir, &paths);
    for (int i = 0; i < paths.count; i++) {
        const char *path = strarray_nth(&paths, i), *id = path + strlen(dir) + strlen("/a/b/");
        size_t len = strlen(path);
        if (path[len - 1] == '/' || (len > 4 && !strcmp(path + len - 4, ".NEW"))) continue;
        char *text = xstrndup(id, strcspn(id, "/"));
        if (!hash_lookup(text, &n->owners)) buf_printf(n->problems, "%s belongs to no user\n", path);
        free(text);
    }
    strarray_fini(&paths);
    free(dir);
}

void store_check_names(struct buf *problems)
{
    struct names n = { .problems = problems };
    strarray_t *admins = strarray_split(config_getstring(IMAPOPT_ADMINS), NULL, 0);

    n.admins = *admins;
    construct_hash_table(&n.ids, 64);
    construct_hash_table(&n.racls, 64);
    construct_hash_table(&n.owners, 64);
    read_records(&n);
    mboxlist_allmbox(NULL, check_name, &n, MBOXTREE_DELETED | MBOXTREE_TOMBSTONES | MBOXTREE_INTERMEDIATES);
    hash_enumerate(&n.racls, say_racl, &n);
    check_user_files(&n);
    free_hash_table(&n.ids, NULL);
    free_hash_table(&n.racls, NULL);
    free_hash_table(&n.owners, NULL);
    strarray_free(admins);
}
