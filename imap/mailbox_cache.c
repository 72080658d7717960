/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_cache -- message files, and the cache records made from them
 *
 * cyrus.cache is only ever appended to. Records of a transaction wait in chunks of memory
 * at the offsets they will have; a chunk becomes one write. Message files
 * of the transaction are read from where they wait.
 *
 * A cache record is a copy of what the message says: one that is missing or damaged is
 * made again from the message file, told once, and staged if the handle can write. Nothing fails
 * for it as long as the message can be read.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crc32.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mailbox_salvage.h"
#include "message_cache.h"
#include "util.h"
#include "verified.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CHUNK_SIZE ((size_t)256 * 1024)
/* Smaller files are read; mapping them costs more. */
#define SMALL_FILE ((size_t)32 * 1024)

/* ---- message files ---- */

const char *mailbox_record_fname(struct mailbox *mailbox, const struct index_record *rec)
{
    bool archived = rec->internal_flags & FLAG_INTERNAL_ARCHIVED;

    if (mailbox_path_message(&mailbox->place, archived, rec->uid, &mailbox->fname)) return "";
    return buf_cstring(&mailbox->fname);
}

static const struct staged_file *staged_file(const struct mailbox *mailbox,
                                             const struct index_record *rec)
{
    uint32_t recno = rec->recno;

    if (!mailbox->nstaged) return NULL;
    const struct staged_record *staged = mailbox_staged(mailbox, recno);
    if (!staged || staged->rec.uid != rec->uid)
        staged = mailbox_staged(mailbox, mailbox_lower_bound(mailbox, rec->uid));
    if (!staged || staged->rec.uid != rec->uid) return NULL;
    return staged->file.base || staged->file.path ? &staged->file : NULL;
}

void mailbox_note_file(struct mailbox *mailbox, uint32_t uid, const char *base, size_t len,
                       const char *path)
{
    struct staged_record *staged = mailbox_staged(mailbox, mailbox_lower_bound(mailbox, uid));

    if (!staged) return;
    staged->file.base = base;
    staged->file.len = len;
    free(staged->file.path);
    staged->file.path = xstrdupnull(path);
}

static int read_fd(int fd, size_t len, struct buf *buf)
{
    if (len > SMALL_FILE) return buf_init_mmap(buf, fd, 0, len);
    buf_reset(buf);
    buf_ensure(buf, len);
    int r = diskio_pread_full(fd, buf->s, len, 0);
    if (!r) buf->len = len;
    return r;
}

/* The bytes, and what the file was before they were read; st_size -1: they are in memory. */
static int map_bytes(struct mailbox *mailbox, const struct index_record *rec, struct buf *buf,
                     struct stat *st)
{
    const struct staged_file *file = staged_file(mailbox, rec);

    buf_free(buf);
    st->st_size = -1;
    if (file && file->base) {
        buf_init_ro(buf, file->base, file->len);
        return 0;
    }
    const char *path = file ? file->path : mailbox_record_fname(mailbox, rec);
    int fd = diskio_open(path, O_RDONLY, 0);
    int r = fd < 0 ? fd : diskio_fstat(fd, st);
    bool resized = !r && (uint64_t)st->st_size != rec->size;
    if (resized) r = -EUCLEAN;
    if (!r) r = read_fd(fd, rec->size, buf);
    if (fd >= 0) diskio_close(fd);
    if (!r) return 0;
    buf_free(buf);
    mailbox_log(mailbox, r, resized ? "message file has another size" : "can't read message file",
                path);
    return resized ? IMAP_MESSAGE_DAMAGED : IMAP_IOERROR;
}

int mailbox_map_bytes(struct mailbox *mailbox, const struct index_record *rec, struct buf *buf)
{
    struct stat st;

    return map_bytes(mailbox, rec, buf, &st);
}

static bool known_as_whole(const struct stat *st, const struct index_record *rec)
{
    if (config_getenum(IMAPOPT_MESSAGE_VERIFY) != IMAP_ENUM_MESSAGE_VERIFY_ONCE) return false;
    int age = config_getduration(IMAPOPT_MESSAGE_VERIFY_AGE);
    time_t when = verified_when(st, &rec->guid), now = time(NULL);

    return when && when <= now && (age <= 0 || now - when < age);
}

static void log_other_bytes(struct mailbox *mailbox, const struct index_record *rec,
                            const struct message_guid *found)
{
    const char *uniqueid = mailbox_uniqueid(mailbox);
    char is[MESSAGE_GUID_STRLEN], should[MESSAGE_GUID_STRLEN];

    xsyslog_errno(LOG_ERR, 0, "IOERROR: message file is damaged",
            "mailbox=<%s> uniqueid=<%s> uid=<%u> filename=<%s> guid=<%s> found=<%s>",
            mailbox->mbentry->name, uniqueid ? uniqueid : "", rec->uid,
            mailbox_record_fname(mailbox, rec), message_guid_encode(&rec->guid, should),
            message_guid_encode(found, is));
}

int mailbox_verify_bytes(struct mailbox *mailbox, const struct index_record *rec,
                         const struct buf *bytes)
{
    struct message_guid found;

    message_guid_generate(&found, buf_len(bytes) ? buf_base(bytes) : "", buf_len(bytes));
    if (message_guid_equal(&found, &rec->guid)) return 0;
    log_other_bytes(mailbox, rec, &found);
    return IMAP_MESSAGE_DAMAGED;
}

/* What this transaction has staged is its own, and a record without a GUID proves nothing. */
int mailbox_map_record(struct mailbox *mailbox, const struct index_record *rec, struct buf *buf)
{
    struct stat st;

    int r = map_bytes(mailbox, rec, buf, &st);
    if (r || st.st_size < 0 || message_guid_isnull(&rec->guid)) return r;
    if (config_getenum(IMAPOPT_MESSAGE_VERIFY) == IMAP_ENUM_MESSAGE_VERIFY_NEVER) return 0;
    if (known_as_whole(&st, rec)) return 0;
    r = mailbox_verify_bytes(mailbox, rec, buf);
    if (r)
        buf_free(buf);
    else
        verified_note(&st, &rec->guid);
    return r;
}

void mailbox_message_config(struct message_config *config)
{
    int limit = config_getint(IMAPOPT_BOUNDARY_LIMIT),
        lines = config_getint(IMAPOPT_MAXHEADERLINES);

    *config = (struct message_config){
        .boundary_limit = limit > 0 ? (unsigned)limit : 1,
        .maxheaderlines = lines > 0 ? (unsigned)lines : 0,
        .rfc2046_strict = config_getswitch(IMAPOPT_RFC2046_STRICT),
        .rfc2047_utf8 = config_getswitch(IMAPOPT_RFC2047_UTF8),
    };
}

void mailbox_cache_rev2(const char *base, size_t len, struct buf *dst)
{
    struct message_config config;
    uint32_t crc;

    mailbox_message_config(&config);
    config.rev2 = true;
    struct message_content *content = message_parse(base, len, &config);
    message_write_cache(content, dst, &crc);
    message_content_free(&content);
}

/* ---- the files ---- */

static void close_file(struct cache_file *cf)
{
    diskio_map_free(&cf->map);
    diskio_close(cf->fd);
    cf->fd = -1;
    free(cf->path);
    cf->path = NULL;
    cf->opened = cf->there = false;
}

void mailbox_cache_close(struct mailbox *mailbox)
{
    for (int i = 0; i < 2; i++) {
        struct cache_file *cf = &mailbox->cache[i];

        close_file(cf);
        for (size_t n = 0; n < cf->nchunks; n++) free(cf->chunks[n].base);
        free(cf->chunks);
        memset(cf, 0, sizeof(*cf));
        cf->fd = -1;
    }
}

static int set_path(struct mailbox *mailbox, struct cache_file *cf)
{
    struct buf path = BUF_INITIALIZER;
    int r = mailbox_path_meta(&mailbox->place,
                              cf == mailbox->cache ? META_CACHE : META_ARCHIVECACHE, &path);

    if (r) return r;
    free(cf->path);
    cf->path = buf_release(&path);
    return 0;
}

int mailbox_cache_paths(struct mailbox *mailbox)
{
    int r = 0;

    for (int i = 0; !r && i < 2; i++) {
        if (mailbox->cache[i].path) r = set_path(mailbox, &mailbox->cache[i]);
    }
    return r;
}

/* Without the lock a repack may have put a new file in place of the one that belongs to the view. */
static bool is_newer(const struct mailbox *mailbox, const struct cache_file *cf)
{
    if (mailbox->lock || mailbox->txn || cf->disk_end < CACHE_FILE_HEADER_SIZE) return false;
    return get_be32(cf->map.base) > mailbox->disk.generation_no;
}

/* Once per lock: the file may have grown, or got another inode with a new index only. */
static int open_file(struct mailbox *mailbox, struct cache_file *cf)
{
    struct stat st;

    if (cf->opened) return 0;
    int r = cf->path ? 0 : set_path(mailbox, cf);
    if (r) return r;
    if (cf->fd < 0) {
        int fd = diskio_open(cf->path, O_RDONLY, 0);
        if (fd < 0 && fd != -ENOENT) {
            mailbox_log(mailbox, fd, "can't open cache", cf->path);
            return IMAP_IOERROR;
        }
        cf->fd = fd < 0 ? -1 : fd;
    }
    cf->disk_end = 0;
    cf->there = cf->fd >= 0;
    if (cf->there) {
        r = diskio_fstat(cf->fd, &st);
        if (!r) r = diskio_map_refresh(&cf->map, cf->fd, (size_t)st.st_size);
        if (r) {
            mailbox_log(mailbox, r, "can't map cache", cf->path);
            return IMAP_IOERROR;
        }
        cf->disk_end = (uint64_t)st.st_size;
        if (mailbox->txn) {
            diskio_close(cf->fd);
            cf->fd = -1;
        }
    }
    cf->foreign = is_newer(mailbox, cf);
    if (cf->foreign) cf->disk_end = 0;
    cf->opened = true;
    return 0;
}

/* Without a partition for the archive both kinds of records are in one file. */
bool mailbox_cache_has_archive(const char *partition)
{
    return strcmpnull(partition_metaroot(partition, META_CACHE),
                      partition_metaroot(partition, META_ARCHIVECACHE)) != 0;
}

int mailbox_cache_number(const struct mailbox *mailbox, const struct index_record *rec)
{
    bool archived = rec->internal_flags & FLAG_INTERNAL_ARCHIVED;

    return archived && mailbox_cache_has_archive(mailbox->place.partition) ? 1 : 0;
}

static struct cache_file *file_of(struct mailbox *mailbox, const struct index_record *rec)
{
    return &mailbox->cache[mailbox_cache_number(mailbox, rec)];
}

/* ---- adding ---- */

static struct cache_chunk *chunk_for(struct cache_file *cf, size_t len)
{
    struct cache_chunk *chunk = cf->nchunks ? &cf->chunks[cf->nchunks - 1] : NULL;

    if (chunk && chunk->size - chunk->len >= len) return chunk;
    if (cf->nchunks == cf->alloc) {
        cf->alloc = grow_alloc(cf->alloc, cf->nchunks + 1);
        cf->chunks = xreallocarray(cf->chunks, cf->alloc, sizeof(*cf->chunks));
    }
    chunk = &cf->chunks[cf->nchunks++];
    chunk->size = cyr_max(len, CHUNK_SIZE);
    chunk->base = xmalloc(chunk->size);
    chunk->len = 0;
    chunk->off = cf->next;
    return chunk;
}

int mailbox_stage_cache(struct mailbox *mailbox, struct index_record *rec, const char *base,
                        size_t len, uint32_t crc, uint32_t version)
{
    struct cache_file *cf = file_of(mailbox, rec);

    int r = open_file(mailbox, cf);
    if (r) return r;
    if (!cf->next) cf->next = cyr_max(cf->disk_end, (uint64_t)CACHE_FILE_HEADER_SIZE);
    if (cf->next + len >= (uint64_t)1 << 48) {
        mailbox_log(mailbox, 0, "cache is full", cf->path);
        return IMAP_NOSPACE;
    }
    struct cache_chunk *chunk = chunk_for(cf, len);
    memcpy(chunk->base + chunk->len, base, len);
    chunk->len += len;
    rec->cache_offset = cf->next;
    rec->cache_crc = crc;
    rec->cache_version = version;
    cf->next += len;
    return 0;
}

/* A file without even a generation number has never held a record. */
static void commit_file(struct mailbox *mailbox, struct cache_file *cf)
{
    char generation[CACHE_FILE_HEADER_SIZE];

    put_be32(generation, mailbox->hdr.generation_no);
    if (!cf->there)
        txn_create(mailbox->txn, cf->path, generation, sizeof(generation), MAILBOX_FILE_MODE, 0);
    else if (cf->disk_end < CACHE_FILE_HEADER_SIZE)
        txn_pwrite(mailbox->txn, cf->path, 0, generation, sizeof(generation));
    for (size_t i = 0; i < cf->nchunks; i++)
        txn_pwrite(mailbox->txn, cf->path, cf->chunks[i].off, cf->chunks[i].base,
                   cf->chunks[i].len);
}

int mailbox_cache_commit(struct mailbox *mailbox)
{
    for (int i = 0; i < 2; i++) {
        if (mailbox->cache[i].nchunks) commit_file(mailbox, &mailbox->cache[i]);
    }
    return 0;
}

/* ---- reading ---- */

static bool find_bytes(const struct cache_file *cf, uint64_t off, const char **base, size_t *avail)
{
    if (off < CACHE_FILE_HEADER_SIZE) return false;
    if (off < cf->disk_end) {
        *base = cf->map.base + off;
        *avail = (size_t)(cf->disk_end - off);
        return true;
    }
    size_t low = 0, high = cf->nchunks;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (cf->chunks[mid].off <= off)
            low = mid + 1;
        else
            high = mid;
    }
    if (!low) return false;
    const struct cache_chunk *chunk = &cf->chunks[low - 1];
    if (off - chunk->off >= chunk->len) return false;
    *base = chunk->base + (off - chunk->off);
    *avail = chunk->len - (size_t)(off - chunk->off);
    return true;
}

/* The whole record is checked once per handle and place. */
static int parse_record(struct mailbox *mailbox, const struct index_record *rec,
                        struct cacherecord *cr)
{
    struct cache_file *cf = file_of(mailbox, rec);
    const char *base;
    size_t avail;

    int r = open_file(mailbox, cf);
    if (r) return r;
    if (!rec->cache_crc || !find_bytes(cf, rec->cache_offset, &base, &avail)) return IMAP_NOTFOUND;
    bool known = rec->cache_offset < cf->disk_end && !mailbox_staged(mailbox, rec->recno) &&
                 rec->recno;
    if (known && bv_isset(&mailbox->cache_good, rec->recno))
        return cacherecord_parse(base, avail, cr);
    r = cacherecord_parse_crc(base, avail, rec->cache_crc, cr);
    if (!r && known) bv_set(&mailbox->cache_good, rec->recno);
    return r;
}

bool mailbox_cache_isgood(struct mailbox *mailbox, const struct index_record *rec)
{
    struct cacherecord cr;

    return !parse_record(mailbox, rec, &cr);
}

/* Makes the record from the message, into mailbox->rebuilt. */
static int rebuild(struct mailbox *mailbox, const struct index_record *rec, uint32_t *crc)
{
    struct message_config config;
    struct buf msg = BUF_INITIALIZER;

    int r = mailbox_map_record(mailbox, rec, &msg);
    if (r) return r;
    mailbox_message_config(&config);
    struct message_content *content = message_parse(buf_base(&msg) ? buf_base(&msg) : "",
                                                    buf_len(&msg), &config);
    buf_reset(&mailbox->rebuilt);
    message_write_cache(content, &mailbox->rebuilt, crc);
    message_content_free(&content);
    buf_free(&msg);
    return 0;
}

int mailbox_cache_bytes(struct mailbox *mailbox, const struct index_record *rec, struct buf *view,
                        uint32_t *crc, uint32_t *version)
{
    struct cacherecord cr;

    if (!parse_record(mailbox, rec, &cr)) {
        buf_init_ro(view, cr.base, cr.len);
        *crc = rec->cache_crc;
        *version = rec->cache_version;
        return 0;
    }
    if (rec->internal_flags & FLAG_INTERNAL_UNLINKED || !rec->size) return IMAP_NOTFOUND;
    int r = rebuild(mailbox, rec, crc);
    if (r) return r;
    buf_init_ro(view, buf_base(&mailbox->rebuilt), buf_len(&mailbox->rebuilt));
    *version = MAILBOX_CACHE_MINOR_VERSION;
    return 0;
}

/* ---- another place ---- */

struct cache_move {
    struct taken {
        struct index_record rec;
        size_t off, len; /* of bytes */
        uint32_t crc, version;
    } *taken;
    size_t n, alloc;
    struct buf bytes;
};

static int take_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct cache_move *mv = rock;
    struct taken taken = { .rec = *rec, .off = buf_len(&mv->bytes) };
    struct buf view = BUF_INITIALIZER;

    if (!(rec->internal_flags & FLAG_INTERNAL_ARCHIVED)) return 0;
    /* One that can't be had or made anew is no reason to stay. */
    if (mailbox_cache_bytes(mailbox, rec, &view, &taken.crc, &taken.version)) return 0;
    taken.len = buf_len(&view);
    buf_append(&mv->bytes, &view);
    buf_free(&view);
    if (mv->n == mv->alloc) {
        mv->alloc = grow_alloc(mv->alloc, mv->n + 1);
        mv->taken = xreallocarray(mv->taken, mv->alloc, sizeof(*mv->taken));
    }
    mv->taken[mv->n++] = taken;
    return 0;
}

int mailbox_cache_take(struct mailbox *mailbox, const char *partition, struct cache_move **movep)
{
    *movep = NULL;
    if (mailbox_cache_has_archive(partition) == mailbox_cache_has_archive(mailbox->place.partition)) return 0;
    /* The file that moves is known by what it is here. */
    int r = open_file(mailbox, &mailbox->cache[0]);
    if (r) return r;
    *movep = xzmalloc(sizeof(**movep));
    return mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, take_record, *movep);
}

int mailbox_cache_put(struct mailbox *mailbox, struct cache_move *mv)
{
    int r = 0;

    for (size_t i = 0; !r && mv && i < mv->n; i++) {
        struct taken *taken = &mv->taken[i];

        r = mailbox_stage_cache(mailbox, &taken->rec, buf_base(&mv->bytes) + taken->off, taken->len, taken->crc,
                                taken->version);
        if (!r) r = mailbox_rewrite_record(mailbox, &taken->rec, MAILBOX_SILENT);
    }
    return r;
}

void mailbox_cache_move_free(struct cache_move **movep)
{
    struct cache_move *mv = *movep;

    *movep = NULL;
    if (!mv) return;
    free(mv->taken);
    buf_free(&mv->bytes);
    free(mv);
}

/* A record that the caller still holds as it was; only its cache fields change, in silence. */
static int keep_rebuilt(struct mailbox *mailbox, const struct index_record *rec, uint32_t crc,
                        struct buf *view)
{
    struct index_record cur;

    if (!mailbox->txn || mailbox_find_uid(mailbox, rec->uid, &cur)) return 0;
    int r = mailbox_stage_cache(mailbox, &cur, buf_base(view), buf_len(view), crc,
                                MAILBOX_CACHE_MINOR_VERSION);
    if (!r) r = mailbox_rewrite_record(mailbox, &cur, MAILBOX_SILENT);
    return r;
}

static void log_damaged(const struct mailbox *mailbox, const struct index_record *rec)
{
    const char *uniqueid = mailbox_uniqueid(mailbox);

    xsyslog_errno(LOG_ERR, 0, "IOERROR: cache record is missing or damaged, made anew",
                  "mailbox=<%s> uniqueid=<%s> uid=<%u>", mailbox->mbentry->name,
                  uniqueid ? uniqueid : "", rec->uid);
}

int mailbox_cacherecord(struct mailbox *mailbox, const struct index_record *rec, struct buf *view)
{
    struct index_record cur;
    struct cacherecord cr;
    uint32_t crc, version;

    buf_free(view);
    if (!parse_record(mailbox, rec, &cr)) {
        buf_init_ro(view, cr.base, cr.len);
        return 0;
    }
    /* It may have been made anew since the caller read the record. */
    if (mailbox->nstaged && !mailbox_find_uid(mailbox, rec->uid, &cur) &&
        cur.cache_offset != rec->cache_offset && !parse_record(mailbox, &cur, &cr)) {
        buf_init_ro(view, cr.base, cr.len);
        return 0;
    }
    /* Indexes before 12 have no CRC to trust a cache record by. */
    if (!file_of(mailbox, rec)->foreign && mailbox->disk.minor_version >= 12) log_damaged(mailbox, rec);
    int r = mailbox_cache_bytes(mailbox, rec, view, &crc, &version);
    return r ? r : keep_rebuilt(mailbox, rec, crc, view);
}
