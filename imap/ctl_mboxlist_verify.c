/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_mboxlist_verify -- does every entry have its directory and its reverse ACLs, and every directory its entry?
 *
 * Directories are found by their cyrus.header, below whatever path: uuid directories and those of
 * old mailboxes alike. A directory is right when an entry leads to just that place.
 */
#include <config.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl_mboxlist.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_header.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxlist_racl.h"
#include "txn.h"
#include "xmalloc.h"

#define HEADER_NAME "cyrus.header"
#define MAX_DEPTH 64

struct verify {
    bool differs;
    strarray_t seen; /* roots */
};

static bool is_there(const char *path, mode_t type)
{
    struct stat st;

    return !diskio_stat(path, &st) && (st.st_mode & S_IFMT) == type;
}

/* ---- entries ---- */

static int check_entry(const mbentry_t *entry, void *rock)
{
    struct mailbox_place place = mailbox_place_of(entry);
    struct verify *v = rock;
    struct buf dir = BUF_INITIALIZER;

    if (mbentry_is_remote(entry, config_servername)) return 0;
    char *owner = mailbox_directory_owner(entry, NULL);
    if (owner) {
        printf("'%s' has the uniqueid and directory of '%s' (%s)\n", entry->name, owner, entry->uniqueid);
        v->differs = true;
    }
    free(owner);
    if (mailbox_path_dir(&place, &dir) || !is_there(buf_cstring(&dir), S_IFDIR)) {
        printf("'%s' has a DB entry but no directory on partition '%s'\n", entry->name,
               entry->partition ? entry->partition : "(null)");
        v->differs = true;
    }
    buf_free(&dir);
    return 0;
}

/* ---- directories ---- */

static bool leads_here(const mbentry_t *entry, const char *dir)
{
    struct mailbox_place place = mailbox_place_of(entry);
    struct buf is = BUF_INITIALIZER;

    bool same = !mailbox_path_metadir(&place, META_HEADER, &is) && !strcmp(buf_cstring(&is), dir);
    buf_free(&is);
    return same;
}

static bool has_entry(const struct mailbox_header *h, const char *dir)
{
    mbentry_t *entry = NULL;
    bool found = h->uniqueid && !mboxlist_lookup_by_uniqueid(h->uniqueid, &entry, false, NULL) &&
                 leads_here(entry, dir);

    mbentry_free(&entry);
    if (!found && h->name && !mboxlist_lookup(h->name, &entry, NULL))
        found = leads_here(entry, dir);
    mbentry_free(&entry);
    return found;
}

static void check_directory(struct verify *v, const char *dir, const char *headerpath)
{
    struct mailbox_header h = MAILBOX_HEADER_INITIALIZER;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;

    if (!diskio_map_file(headerpath, &map, NULL)) mailbox_header_parse(&h, map.base, map.len);
    if (!has_entry(&h, dir)) {
        const char *slash = strrchr(dir, '/');
        printf("'%s' has a directory '%s' but no DB entry\n", h.name ? h.name : slash + 1, dir);
        v->differs = true;
    }
    diskio_map_free(&map);
    mailbox_header_fini(&h);
}

static void walk(struct verify *v, const char *dir, unsigned depth)
{
    char *header = xasprintf("%s/" HEADER_NAME, dir);
    DIR *d = opendir(dir);
    struct dirent *e;

    if (is_there(header, S_IFREG)) check_directory(v, dir, header);
    while (d && depth < MAX_DEPTH && (e = readdir(d))) {
        size_t len = strlen(e->d_name);
        if (e->d_name[len - 1] == '.') continue; /* "stage.", "sync.", messages, "." and ".." */
        char *below = xasprintf("%s/%s", dir, e->d_name);
        struct stat st;
        if (!diskio_lstat(below, &st) && S_ISDIR(st.st_mode)) walk(v, below, depth + 1);
        free(below);
    }
    if (d) closedir(d);
    free(header);
}

static void check_partition(const char *partition, const char *dir, void *rock)
{
    struct verify *v = rock;
    const char *root = partition_metaroot(partition, META_HEADER);

    if (!root || strarray_contains(&v->seen, root)) return;
    strarray_append(&v->seen, root);
    walk(v, root, 0);
}

/* ---- reverse ACLs ---- */

/* Control bytes of the key as \\xNN, as cyr_dbtool shows them. */
static void print_stale(const char *key, size_t keylen)
{
    printf("stale reverse ACL record of no mailbox: '");
    for (size_t i = 0; i < keylen; i++) {
        unsigned char c = (unsigned char)key[i];
        if (c < ' ' || c >= 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    printf("'\n");
}

static int told_racl(enum racl_problem problem, const char *key, size_t keylen, const char *identifier,
                     const char *name, void *rock)
{
    struct verify *v = rock;

    v->differs = true;
    if (problem == RACL_MISSING)
        printf("'%s' has no reverse ACL record of '%s'\n", name, identifier);
    else if (name)
        printf("'%s' has a stale reverse ACL record of '%s'\n", name, identifier);
    else
        print_stale(key, keylen);
    return 0;
}

int ctl_mboxlist_verify(void)
{
    struct verify v = { .differs = false };

    int r = mboxlist_allmbox(NULL, check_entry, &v, MBOXTREE_DELETED);
    if (!r) r = mboxlist_racl_verify(told_racl, &v);
    if (!r) config_foreachpartition(check_partition, &v);
    strarray_fini(&v.seen);
    return r ? r : v.differs ? IMAP_MAILBOX_BADFORMAT : 0;
}
