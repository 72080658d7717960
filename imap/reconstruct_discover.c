/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_discover -- entries of mailboxes.db from what lies on the partitions (handbook 02 §8; -P, -f)
 *
 * A directory below uuid/ says by its name which mailbox it is, and its cyrus.header says by which name and with what rights. Directories of
 * the older kind say it by their path. An entry is made only for a name that is free; who has it already keeps it.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mailbox_path.h"
#include "makeuuid.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "reconstruct_internal.h"
#include "xmalloc.h"

/* ---- one directory ---- */

struct place_found {
    char *dir;
    char *partition;
    char *uniqueid; /* by the path; NULL: an older directory */
};

static int read_header_at(const char *dir, struct mailbox_header *h)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    char *path = xasprintf("%s/cyrus.header", dir);

    int r = diskio_map_file(path, &map, NULL);
    if (!r) r = mailbox_header_parse(h, map.base ? map.base : "", map.len);
    if (!r && !h->name) r = IMAP_MAILBOX_BADFORMAT;
    diskio_map_free(&map);
    free(path);
    return r;
}

/* Numbers that only the index knows; a damaged one tells nothing. */
static void read_index_at(const char *dir, mbentry_t *entry)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct index_header hdr;
    char *path = xasprintf("%s/cyrus.index", dir);

    if (!diskio_map_file(path, &map, NULL) &&
        !index_header_read(&hdr, map.base ? map.base : "", map.len, time(NULL))) {
        entry->uidvalidity = hdr.uidvalidity;
        entry->createdmodseq = hdr.createdmodseq;
        entry->foldermodseq = hdr.highestmodseq;
    }
    diskio_map_free(&map);
    free(path);
}

static mbentry_t *entry_from(const struct place_found *place, const struct mailbox_header *h)
{
    mbentry_t *entry = mbentry_new(h->name);

    entry->uniqueid = xstrdupnull(place->uniqueid ? place->uniqueid : h->uniqueid);
    entry->mbtype = h->mbtype | (place->uniqueid ? 0 : MBTYPE_LEGACY_DIRS);
    entry->partition = xstrdup(place->partition);
    mbentry_set_acl(entry, h->acl ? h->acl : "");
    read_index_at(place->dir, entry);
    return entry;
}

/* An entry that leads nowhere, on a partition that is there: its UNIQUEID is not that of any mailbox. */
static bool leads_nowhere(const mbentry_t *entry)
{
    const struct mailbox_place place = mailbox_place_of(entry);
    struct buf dir = BUF_INITIALIZER;
    struct stat st;

    if (!entry->partition || (entry->mbtype & (MBTYPE_REMOTE | MBTYPE_RESERVE))) return false;
    bool nowhere = reconstruct_partition_isused(entry->partition) && !mailbox_path_dir(&place, &dir) &&
                   diskio_stat(buf_cstring(&dir), &st) == -ENOENT;
    buf_free(&dir);
    return nowhere;
}

/* Is the name free, or that of the same mailbox? And the identity? What can't be read is no obstacle: the mailbox is there. */
static int check_free(struct txn *txn, const mbentry_t *entry, bool *same)
{
    mbentry_t *other = NULL;

    *same = false;
    int r = mboxlist_lookup_allow_all(entry->name, &other, txn);
    bool taken = !r && !(other->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE));
    if (taken) *same = !strcmpnull(other->uniqueid, entry->uniqueid);
    if (taken && !*same) taken = !leads_nowhere(other);
    mbentry_free(&other);
    if (r && r != IMAP_MAILBOX_NONEXISTENT && r != IMAP_MAILBOX_BADFORMAT) return r;
    if (taken) return *same ? 0 : IMAP_MAILBOX_EXISTS;
    r = mboxlist_lookup_by_uniqueid(entry->uniqueid, &other, false, txn);
    mbentry_free(&other);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT) return 0;
    return r ? r : IMAP_MAILBOX_EXISTS;
}

/* *made: the entry is new. */
static int enter(struct reconstruct *rc, const mbentry_t *entry, bool rewrite, bool *made)
{
    char *userid = mboxname_to_userid(entry->name);
    struct txn *txn = NULL;
    bool same = false;

    *made = false;
    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = check_free(txn, entry, &same);
    if (!r && (!same || rewrite)) {
        r = mboxlist_update_entry(txn, entry->name, entry);
        if (!r && !(rc->flags & RECONSTRUCT_DRYRUN)) r = txn_commit(&txn, NULL);
        *made = !r;
    }
    txn_abort(&txn);
    free(userid);
    return r;
}

/* ---- -P ---- */

/* The partition, spool or metadata, that a directory lies in. */
struct find_partition {
    struct place_found *place;
    const char *dir;
    size_t best;
};

static void try_root(struct find_partition *f, const char *partition, const char *root)
{
    size_t len = root ? strlen(root) : 0;

    while (len && root[len - 1] == '/') len--;
    if (len <= f->best || strncmp(f->dir, root, len) != 0 || f->dir[len] != '/') return;
    f->best = len;
    free(f->place->partition);
    f->place->partition = xstrdup(partition);
}

static void try_partition(const char *key, const char *value, void *rock)
{
    struct find_partition *f = rock;

    if (!strncmp(key, "partition-", 10)) {
        try_root(f, key + 10, value);
        try_root(f, key + 10, partition_metaroot(key + 10, META_HEADER));
    }
}

static char *resolve_dir(const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;

    if (slash && !strcmp(slash, "/cyrus.header")) *slash = '\0';
    return real;
}

static void take_uniqueid(struct place_found *place, size_t rootlen)
{
    const char *rest = place->dir + rootlen + 1, *base = strrchr(place->dir, '/') + 1;

    if (!strncmp(rest, "uuid/", 5) && uniqueid_isvalid(base)) place->uniqueid = xstrdup(base);
}

static int find_place(const char *path, struct place_found *place)
{
    struct find_partition f = { .place = place };

    memset(place, 0, sizeof(*place));
    place->dir = resolve_dir(path);
    if (!place->dir) return IMAP_NOTFOUND;
    f.dir = place->dir;
    config_foreachoverflowstring(try_partition, &f);
    if (!place->partition) return IMAP_PARTITION_UNKNOWN;
    take_uniqueid(place, f.best);
    return 0;
}

int reconstruct_header_path(struct reconstruct *rc, const char *path)
{
    struct mailbox_header h = MAILBOX_HEADER_INITIALIZER;
    struct place_found place;
    bool made = false;

    int r = find_place(path, &place);
    if (r == IMAP_NOTFOUND)
        reconstruct_say(rc, "Can not resolve path '%s'", path);
    else if (!r)
        r = read_header_at(place.dir, &h) ? IMAP_MAILBOX_BADFORMAT : 0;
    if (!r) {
        mbentry_t *entry = entry_from(&place, &h);

        if (entry->uniqueid && h.uniqueid && strcmp(entry->uniqueid, h.uniqueid) != 0)
            reconstruct_say(rc, "Wrong uniqueid in header of %s (%s, by its path %s)", h.name,
                            h.uniqueid, entry->uniqueid);
        r = entry->uniqueid ? enter(rc, entry, true, &made) : IMAP_MAILBOX_BADFORMAT;
        if (made) reconstruct_say(rc, "created mbentry for %s (%s)", entry->name, entry->uniqueid);
        mbentry_free(&entry);
    }
    if (r) rc->failed++;
    mailbox_header_fini(&h);
    free(place.dir);
    free(place.partition);
    free(place.uniqueid);
    return r;
}

/* ---- -p ---- */

int reconstruct_create(struct reconstruct *rc, const char *name, const char *partition, bool fresh)
{
    const struct mailbox_place where = { partition, name, NULL };
    struct mailbox_header h = MAILBOX_HEADER_INITIALIZER;
    struct place_found place = { .partition = (char *)partition };
    struct buf dir = BUF_INITIALIZER;
    struct stat st;
    bool made = false;

    int r = mailbox_path_dir(&where, &dir);
    if (!r && diskio_stat(buf_cstring(&dir), &st)) r = IMAP_MAILBOX_NONEXISTENT;
    place.dir = dir.s;
    if (!r && (fresh || read_header_at(place.dir, &h)))
        mailbox_header_fini(&h), mailbox_header_init(&h);
    if (!r) {
        free(h.name);
        h.name = xstrdup(name);
        if (!h.uniqueid || mboxlist_uniqueid_in_use(h.uniqueid, NULL))
            free(h.uniqueid), h.uniqueid = makeuuid_dup();
        mbentry_t *entry = entry_from(&place, &h);
        r = enter(rc, entry, false, &made);
        mbentry_free(&entry);
    }
    mailbox_header_fini(&h);
    buf_free(&dir);
    return r;
}

/* ---- -f ---- */

struct discover {
    struct reconstruct *rc;
    const char *top;
    strarray_t *found;
    char *partition;
    int error;
};

static bool is_below(const char *name, const char *top)
{
    size_t len = top ? strlen(top) : 0;

    return !len || (!strncmp(name, top, len) && (!name[len] || name[len] == '.'));
}

static void discover_dir(struct discover *d, const char *dir, const char *uniqueid)
{
    struct place_found place = { (char *)dir, d->partition, (char *)uniqueid };
    struct mailbox_header h = MAILBOX_HEADER_INITIALIZER;
    bool made = false;

    if (!mboxlist_uniqueid_in_use(uniqueid, NULL) && !read_header_at(dir, &h) &&
        is_below(h.name, d->top)) {
        mbentry_t *entry = entry_from(&place, &h);
        int r = enter(d->rc, entry, false, &made);

        if (made) {
            reconstruct_say(d->rc, "discovered %s", entry->name);
            if (d->found) strarray_append(d->found, entry->name);
        }
        else if (r == IMAP_MAILBOX_EXISTS) {
            reconstruct_say(d->rc, "%s is a mailbox of %s too, left alone", dir, entry->name);
            d->rc->left++;
        }
        else if (r && !d->error) {
            d->error = r;
        }
        mbentry_free(&entry);
    }
    mailbox_header_fini(&h);
}

/* uuid/a/b/ID: depth counts down. */
static void scan(struct discover *d, const char *dir, int depth)
{
    DIR *dp = opendir(dir);
    struct dirent *de;

    if (!dp) {
        if (errno != ENOENT && errno != ENOTDIR && !d->error) d->error = IMAP_IOERROR;
        return;
    }
    while ((de = readdir(dp))) {
        if (de->d_name[0] == '.') continue;
        char *path = xasprintf("%s/%s", dir, de->d_name);

        if (depth)
            scan(d, path, depth - 1);
        else if (uniqueid_isvalid(de->d_name))
            discover_dir(d, path, de->d_name);
        free(path);
    }
    closedir(dp);
}

static void scan_partition(const char *key, const char *value, void *rock)
{
    struct discover *d = rock;

    if (strncmp(key, "partition-", 10) != 0) return;
    const char *root = partition_metaroot(key + 10, META_HEADER);
    char *path = xasprintf("%s/uuid", root ? root : value);

    d->partition = xstrdup(key + 10);
    scan(d, path, 2);
    xzfree(d->partition);
    free(path);
}

int reconstruct_discover(struct reconstruct *rc, const char *top, strarray_t *found)
{
    struct discover d = { .rc = rc, .top = top, .found = found };

    config_foreachoverflowstring(scan_partition, &d);
    if (d.error) rc->failed++;
    return d.error;
}
