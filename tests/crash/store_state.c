/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_state -- a store as text
 *
 * See store.h. Locks, the journal, the list of processes and the like are not data; nor is a
 * file FILE.NEW, which is what is left of a change that never happened and is removed by the
 * next one. A mailbox that can't be read is a line that says so.
 */
#include <config.h>

#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "util.h"
#include "xmalloc.h"

/* -- files -- */

void store_files(const char *dir, strarray_t *paths)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    struct stat st;
    int first = paths->count;

    if (!d) return;
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        char *path = xasprintf("%s/%s", dir, e->d_name);
        bool isdir = e->d_type == DT_DIR;
        if (e->d_type == DT_UNKNOWN) isdir = !lstat(path, &st) && S_ISDIR(st.st_mode);
        if (isdir) {
            store_files(path, paths);
            char *slashed = xasprintf("%s/", path);
            free(path);
            path = slashed;
        }
        strarray_appendm(paths, path);
    }
    closedir(d);
    if (!first) strarray_sort(paths, NULL);
}

bool store_is_data(const char *relative)
{
    static const char *const others[] = { "journal/",    "lock/",  "proc/",  "socket/",
                                          "log/",        "msg/",   "db/",    "db.backup1/",
                                          "db.backup2/", "cores/", "sasldb", "stage./",
                                          "sync./", "verified" };
    size_t len = strlen(relative);

    if (!len || relative[len - 1] == '/') return false;
    if (len > 4 && !strcmp(relative + len - 4, ".NEW")) return false;
    for (size_t i = 0; i < array_size(others); i++) {
        if (strstarts(relative, others[i])) return false;
    }
    return true;
}

static void append_escaped(struct buf *out, const char *base, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)base[i];
        if (c < ' ' || c > '~' || c == '\\')
            buf_printf(out, "\\%02x", c);
        else
            buf_putc(out, (char)c);
    }
}

struct lines {
    struct buf *out;
    const char *about;
};

static int append_record(void *rock, const char *key, size_t keylen, const char *data,
                         size_t datalen)
{
    const struct lines *lines = rock;

    buf_printf(lines->out, "record %s ", lines->about);
    append_escaped(lines->out, key, keylen);
    buf_appendcstr(lines->out, " = ");
    append_escaped(lines->out, data, datalen);
    buf_putc(lines->out, '\n');
    return 0;
}

static void append_db(struct buf *out, const char *backend, const char *path, const char *about)
{
    struct lines lines = { out, about };
    struct db *db = NULL;

    int r = cyrusdb_open(backend, path, CYRUSDB_NOCOMPACT, &db);
    if (!r) r = cyrusdb_foreach(db, "", 0, append_record, &lines);
    if (r) buf_printf(out, "record %s can't be read: %s\n", about, cyrusdb_strerror(r));
    cyrusdb_close(db);
}

/* One that has none never came to be. */
static bool has_bytes(const struct diskio_map *map)
{
    for (size_t i = 0; i < map->len; i++) {
        if (map->base[i]) return true;
    }
    return false;
}

static void append_file(struct buf *out, const char *path, const char *about)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;

    if (diskio_map_file(path, &map, NULL)) return;
    if (has_bytes(&map)) {
        buf_printf(out, "file %s ", about);
        append_escaped(out, map.base, map.len);
        buf_putc(out, '\n');
    }
    diskio_map_free(&map);
}

static void append_config_dir(struct buf *out)
{
    strarray_t paths = STRARRAY_INITIALIZER;
    size_t skip = strlen(config_dir) + 1;

    store_files(config_dir, &paths);
    for (int i = 0; i < paths.count; i++) {
        const char *path = strarray_nth(&paths, i);
        if (!store_is_data(path + skip)) continue;
        const char *backend = cyrusdb_detect(path);
        if (backend)
            append_db(out, backend, path, path + skip);
        else
            append_file(out, path, path + skip);
    }
    strarray_fini(&paths);
}

/* -- mailboxes -- */

static int add_mailbox(const mbentry_t *entry, void *rock)
{
    strarray_append(rock, entry->name);
    return 0;
}

void store_mailboxes(strarray_t *names)
{
    mboxlist_allmbox(NULL, add_mailbox, names, MBOXTREE_DELETED);
}

static void append_header(struct buf *out, struct mailbox *mailbox)
{
    const struct index_header *h = mailbox_index_header(mailbox);
    const char *name = mailbox_name(mailbox);

    buf_printf(out, "mailbox %s id %s partition %s root %s acl %s\n", name,
               mailbox_uniqueid(mailbox), mailbox_partition(mailbox),
               mailbox_quotaroot(mailbox) ? mailbox_quotaroot(mailbox) : "-", mailbox_acl(mailbox));
    buf_printf(
        out,
        "header %s generation %u minor %u records %u append %lld uid %u used %llu validity %u\n",
        name, h->generation_no, h->minor_version, h->num_records, (long long)h->last_appenddate,
        h->last_uid, (unsigned long long)h->quota_mailbox_used, h->uidvalidity);
    buf_printf(
        out,
        "header %s deleted %u answered %u flagged %u options %x leaked %u exists %u unseen %u\n",
        name, h->deleted, h->answered, h->flagged, h->options, h->leaked_cache_records, h->exists,
        h->unseen);
    buf_printf(
        out, "header %s modseq %llu %llu %llu expunged %lld repack %lld file %08x crc %08x %08x\n",
        name, (unsigned long long)h->highestmodseq, (unsigned long long)h->deletedmodseq,
        (unsigned long long)h->createdmodseq, (long long)h->first_expunged,
        (long long)h->last_repack_time, h->header_file_crc, h->sync_crc_basic, h->sync_crc_annot);
    buf_printf(out, "header %s recent %u %lld annotations %llu epoch %lld flags", name,
               h->recentuid, (long long)h->recenttime, (unsigned long long)h->quota_annot_used,
               (long long)h->changes_epoch);
    for (int i = 0; i < mailbox_flagnames(mailbox)->count; i++) {
        const char *flag = strarray_nth(mailbox_flagnames(mailbox), i);
        buf_printf(out, " %s", flag ? flag : "-");
    }
    buf_putc(out, '\n');
}

static void append_guid_of(struct buf *out, const struct buf *bytes)
{
    struct message_guid guid;
    char text[MESSAGE_GUID_STRLEN];

    message_guid_generate(&guid, buf_base(bytes), buf_len(bytes));
    buf_printf(out, " %s", message_guid_encode(&guid, text));
}

static void append_message(struct buf *out, struct mailbox *mailbox, const struct index_record *rec)
{
    struct buf bytes = BUF_INITIALIZER, cache = BUF_INITIALIZER;

    buf_printf(out, "message %s %u", mailbox_name(mailbox), rec->uid);
    if (rec->internal_flags & FLAG_INTERNAL_UNLINKED)
        buf_appendcstr(out, " unlinked");
    else if (mailbox_map_record(mailbox, rec, &bytes))
        buf_appendcstr(out, " unreadable");
    else
        append_guid_of(out, &bytes);
    buf_printf(out, " size %u %u dates %lld %lld %lld %lld %lld flags %x %x %x %x", rec->size,
               rec->header_size, (long long)rec->internaldate, (long long)rec->sentdate,
               (long long)rec->gmtime, (long long)rec->last_updated, (long long)rec->savedate,
               rec->system_flags, rec->internal_flags, rec->user_flags[0], rec->user_flags[1]);
    buf_printf(out, " modseq %llu %llu cid %016llx cache %llu %08x",
               (unsigned long long)rec->modseq, (unsigned long long)rec->createdmodseq,
               (unsigned long long)rec->cid, (unsigned long long)rec->cache_offset, rec->cache_crc);
    if ((rec->internal_flags & FLAG_INTERNAL_UNLINKED) || mailbox_cacherecord(mailbox, rec, &cache))
        buf_appendcstr(out, " none");
    else
        append_guid_of(out, &cache);
    buf_putc(out, '\n');
    buf_free(&bytes);
    buf_free(&cache);
}

static void append_mailbox(struct buf *out, const char *name)
{
    struct mailbox *mailbox = NULL;
    struct index_record rec;
    int r = mailbox_open_irl(name, &mailbox);

    if (r) {
        buf_printf(out, "mailbox %s can't be opened: %s\n", name, error_message(r));
        return;
    }
    append_header(out, mailbox);
    for (uint32_t recno = 1; recno <= mailbox_num_records(mailbox); recno++) {
        r = mailbox_read_record(mailbox, recno, &rec);
        if (r)
            buf_printf(out, "message %s at %u can't be read: %s\n", name, recno, error_message(r));
        else
            append_message(out, mailbox, &rec);
    }
    mailbox_close(&mailbox);
}

void store_state(struct buf *out)
{
    strarray_t names = STRARRAY_INITIALIZER;

    append_config_dir(out);
    store_mailboxes(&names);
    for (int i = 0; i < names.count; i++) append_mailbox(out, strarray_nth(&names, i));
    strarray_fini(&names);
}
