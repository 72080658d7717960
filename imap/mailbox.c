/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox -- open, lock and view one mailbox
 *
 * A handle for reading holds its owner's namespace lock shared while it is locked, and
 * maps the index as it is then. A handle for writing belongs to a transaction that
 * holds the lock exclusively; there is one handle per mailbox and transaction, found by
 * its uniqueid.
 *
 * Under the lock nothing of a mailbox changes. Without it others may change records in
 * place, append behind the view, or put a new index in place of the old one, which stays
 * mapped. So what was replaced, removed or renamed is noticed when the lock is taken
 * again: by the link count of the index, its option DELETED, and the CRC of cyrus.header,
 * which every change of name, rights or flag names moves.
 *
 * A file that can't be read is IMAP_IOERROR, one that makes no sense
 * IMAP_MAILBOX_BADFORMAT or IMAP_MAILBOX_CHECKSUM; each is logged where it is found.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crc32.h"
#include "filesum.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "mboxlist.h"
#include "mboxlist_pending.h"
#include "mboxname.h"
#include "seqset.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Versions that other servers are known to write: anything above is damage. */
#define NEWEST_KNOWN 20

void mailbox_log(const struct mailbox *mailbox, int r, const char *what, const char *path)
{
    xsyslog_errno(LOG_ERR, r, "IOERROR: mailbox",
                  "what=<%s> mailbox=<%s> uniqueid=<%s> filename=<%s>", what,
                  mailbox->mbentry->name,
                  mailbox->mbentry->uniqueid ? mailbox->mbentry->uniqueid : "", path ? path : "");
}

/* ---- handles ---- */

int mailbox_set_mbentry(struct mailbox *mailbox, const mbentry_t *mbentry)
{
    struct buf path = BUF_INITIALIZER;
    mbentry_t *copy = mbentry_dup(mbentry);
    struct mailbox_place place = mailbox_place_of(copy);

    int r = mailbox_path_meta(&place, META_INDEX, &path);
    if (r) {
        mbentry_free(&copy);
        buf_free(&path);
        return r;
    }
    mbentry_free(&mailbox->mbentry);
    mailbox->mbentry = copy;
    mailbox->place = place;
    free(mailbox->index_path);
    mailbox->index_path = buf_release(&path);
    free(mailbox->userid);
    mailbox->userid = mboxname_to_userid(copy->name);
    return 0;
}

struct mailbox *mailbox_new_handle(const mbentry_t *mbentry, struct txn *txn)
{
    struct mailbox *mailbox = xzmalloc(sizeof(*mailbox));

    mailbox->index_fd = -1;
    mailbox->cache[0].fd = mailbox->cache[1].fd = -1;
    mailbox->txn = txn;
    mailbox->has_annots = -1;
    mailbox_header_init(&mailbox->header);
    if (mailbox_set_mbentry(mailbox, mbentry)) mailbox_free(mailbox), mailbox = NULL;
    return mailbox;
}

static void close_index(struct mailbox *mailbox)
{
    diskio_map_free(&mailbox->map);
    diskio_close(mailbox->index_fd);
    mailbox->index_fd = -1;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox) return;
    close_index(mailbox);
    mailbox_cache_close(mailbox);
    for (size_t i = 0; i < mailbox->nstaged; i++) free(mailbox->staged[i].file.path);
    free(mailbox->staged);
    free(mailbox->slots);
    bv_fini(&mailbox->cache_good);
    bv_fini(&mailbox->bad_logged);
    mailbox_damage_forget(mailbox);
    buf_free(&mailbox->rebuilt);
    buf_free(&mailbox->fname);
    buf_free(&mailbox->repacked);
    mailbox_header_fini(&mailbox->header);
    user_meta_free(&mailbox->meta);
    if (mailbox->conv && !mailbox->txn) conversations_close(&mailbox->conv);
    namelock_release(&mailbox->lock);
    free(mailbox->quotaroot);
    free(mailbox->index_path);
    free(mailbox->userid);
    mbentry_free(&mailbox->mbentry);
    free(mailbox);
}

/* ---- cyrus.header ---- */

/*
 * Of a header that is damaged: with what mailboxes.db has in place of its copies, it is again what the index has the CRC of. So the
 * rest of it, the names of flags, is as it was.
 */
static bool is_proven(struct mailbox *mailbox, struct mailbox_header *h)
{
    const mbentry_t *entry = mailbox->mbentry;
    struct buf bytes = BUF_INITIALIZER;

    free(h->name);
    free(h->uniqueid);
    free(h->acl);
    h->name = xstrdup(entry->name);
    h->uniqueid = xstrdupnull(entry->uniqueid);
    h->acl = xstrdupnull(entry->acl);
    h->mbtype = entry->mbtype;
    mailbox_header_print(h, &bytes);
    bool proven = crc32_map(buf_base(&bytes), buf_len(&bytes)) == mailbox->hdr.header_file_crc;
    buf_free(&bytes);
    return proven;
}

/* A CRC of the index that differs is only told: the header is written before the index by older servers. */
static int read_header(struct mailbox *mailbox)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct buf path = BUF_INITIALIZER;
    bool damaged;

    int r = mailbox_path_meta(&mailbox->place, META_HEADER, &path);
    if (r) return r;
    r = filesum_map(buf_cstring(&path), &map, NULL, &damaged);
    if (r) {
        mailbox_log(mailbox, r, "can't read cyrus.header", buf_cstring(&path));
        buf_free(&path);
        return IMAP_IOERROR;
    }
    uint32_t crc = crc32_map(map.base ? map.base : "", map.len);
    if (mailbox->hdr.header_file_crc && crc != mailbox->hdr.header_file_crc)
        xsyslog_errno(LOG_WARNING, 0, "Header CRC mismatch for mailbox",
                      "mailbox=<%s> crc=<%08x> expected=<%08x>", mailbox->mbentry->name, crc,
                      mailbox->hdr.header_file_crc);
    damaged = damaged && crc != mailbox->hdr.header_file_crc;
    r = mailbox_header_parse(&mailbox->header, map.base ? map.base : "", map.len);
    if (!r && damaged && !is_proven(mailbox, &mailbox->header)) r = IMAP_MAILBOX_BADFORMAT;
    if (r)
        mailbox_log(mailbox, 0, "cyrus.header is damaged", buf_cstring(&path));
    else
        r = mboxlist_pending_header(mailbox->txn, &mailbox->header);
    diskio_map_free(&map);
    buf_free(&path);
    return r;
}

/* ---- cyrus.index ---- */

/* A newer index is no damage: it is named, and left alone (handbook 02 §3.5). */
static void log_bad_index(const struct mailbox *mailbox, int r)
{
    char what[160];
    uint32_t minor = mailbox->map.len >= 12 ? get_be32(mailbox->map.base + 8) : 0;

    if (minor <= MAILBOX_MINOR_VERSION || minor > NEWEST_KNOWN) {
        mailbox_log(mailbox, 0, error_message(r), mailbox->index_path);
        return;
    }
    snprintf(what, sizeof(what), "index version %u is newer than %u, its server must bring it back with reconstruct -V",
             (unsigned)minor, MAILBOX_MINOR_VERSION);
    mailbox_log(mailbox, 0, what, mailbox->index_path);
}

/* Brings map and header in line with the open file. */
static int read_index(struct mailbox *mailbox, uint64_t filesize)
{
    struct index_header hdr;

    if (filesize > SIZE_MAX) return IMAP_MAILBOX_BADFORMAT;
    int r = diskio_map_refresh(&mailbox->map, mailbox->index_fd, (size_t)filesize);
    if (r) {
        mailbox_log(mailbox, r, "can't map cyrus.index", mailbox->index_path);
        return IMAP_IOERROR;
    }
    r = index_header_read(&hdr, mailbox->map.base, mailbox->map.len, time(NULL));
    if (!r) r = index_header_check_size(&hdr, filesize);
    if (r) {
        log_bad_index(mailbox, r);
        return r;
    }
    if (hdr.options & OPT_MAILBOX_DELETED) return IMAP_MAILBOX_NONEXISTENT;
    mailbox->disk = mailbox->hdr = hdr;
    mailbox_damage_forget(mailbox);
    return 0;
}

/* IMAP_NOTFOUND: there is none, as when the mailbox went after its entry was looked up. */
static int open_index(struct mailbox *mailbox)
{
    struct stat st;

    close_index(mailbox);
    int fd = diskio_open(mailbox->index_path, mailbox->txn ? O_RDWR : O_RDONLY, 0);
    int r = fd < 0 ? fd : diskio_fstat(fd, &st);
    if (r) {
        if (fd >= 0) diskio_close(fd);
        mailbox_log(mailbox, r, "can't open cyrus.index", mailbox->index_path);
        return r == -ENOENT ? IMAP_NOTFOUND : IMAP_IOERROR;
    }
    mailbox->index_fd = fd;
    mailbox->index_ino = st.st_ino;
    mailbox->index_dev = st.st_dev;
    bv_setsize(&mailbox->bad_logged, 0);
    bv_setsize(&mailbox->cache_good, 0);
    mailbox_cache_close(mailbox);
    r = read_index(mailbox, (uint64_t)st.st_size);
    /* Under the lock the file stays as it is mapped; a transaction may have thousands of mailboxes. */
    if (mailbox->txn) {
        diskio_close(fd);
        mailbox->index_fd = -1;
    }
    return r;
}

/* ---- entries ---- */

static int check_entry(const mbentry_t *entry)
{
    if (entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE)) return IMAP_MAILBOX_NONEXISTENT;
    if (entry->mbtype & MBTYPE_RESERVE) return IMAP_MAILBOX_RESERVED;
    if (entry->mbtype & (MBTYPE_MOVING | MBTYPE_REMOTE) || entry->server) return IMAP_MAILBOX_MOVED;
    if (!entry->partition) return IMAP_MAILBOX_NONEXISTENT;
    return 0;
}

/* The name may belong to another mailbox by now, or the mailbox to another name. */
static int refresh_entry(struct mailbox *mailbox)
{
    mbentry_t *entry;

    int r = mboxlist_lookup(mailbox->mbentry->name, &entry, mailbox->txn);
    if (r) return r == IMAP_MAILBOX_RESERVED ? IMAP_MAILBOX_NONEXISTENT : r;
    r = check_entry(entry);
    if (!r && strcmpnull(entry->uniqueid, mailbox->mbentry->uniqueid)) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = mailbox_set_mbentry(mailbox, entry);
    mbentry_free(&entry);
    return r;
}

/* A mailbox that has its entry and no index is not gone, its disk may be: nobody may take it for deleted. */
static int finish_load(struct mailbox *mailbox, int r)
{
    if (r == IMAP_NOTFOUND) return IMAP_IOERROR;
    if (!r) r = read_header(mailbox);
    return r ? r : mailbox_refuse_clash(mailbox, mailbox->mbentry);
}

/* The index at its path is another file by now, or there is none: moved, removed or repacked. */
static int reload(struct mailbox *mailbox)
{
    int r = refresh_entry(mailbox);
    if (!r) r = open_index(mailbox);
    return finish_load(mailbox, r);
}

/* ---- open ---- */

/* Under the lock. An entry that was looked up before it may be out of date. */
static int load(struct mailbox *mailbox, bool entry_is_fresh)
{
    int r = open_index(mailbox);
    if (entry_is_fresh) return finish_load(mailbox, r);
    if (!r) r = read_header(mailbox);
    if (r != IMAP_MAILBOX_NONEXISTENT && r != IMAP_NOTFOUND &&
        (r || (mailbox->header.name && !strcmp(mailbox->header.name, mailbox->mbentry->name))))
        return r;
    return reload(mailbox);
}

static int lock_shared(struct mailbox *mailbox)
{
    int r = namelock_user(mailbox->userid, NAMELOCK_SHARED, 0, &mailbox->lock);
    if (!r) mailbox->seen_lsn = namelock_seen_lsn(mailbox->lock);
    return r;
}

static int open_read(const mbentry_t *mbentry, bool fresh, struct mailbox **mboxp)
{
    int r = check_entry(mbentry);
    if (r) return r;
    struct mailbox *mailbox = mailbox_new_handle(mbentry, NULL);
    if (!mailbox) return IMAP_MAILBOX_BADNAME;
    r = lock_shared(mailbox);
    if (!r) r = load(mailbox, fresh);
    if (r)
        mailbox_free(mailbox);
    else
        *mboxp = mailbox;
    return r;
}

int mailbox_open_mbentry(const mbentry_t *mbentry, struct mailbox **mboxp)
{
    return open_read(mbentry, false, mboxp);
}

int mailbox_open_irl(const char *name, struct mailbox **mboxp)
{
    char *userid = mboxname_to_userid(name);
    struct namelock *lock;
    mbentry_t *entry = NULL;

    int r = namelock_user(userid, NAMELOCK_SHARED, 0, &lock);
    free(userid);
    if (r) return r;
    r = mboxlist_lookup(name, &entry, NULL);
    if (!r) r = open_read(entry, true, mboxp);
    mbentry_free(&entry);
    namelock_release(&lock);
    return r;
}

static void attach_key(const mbentry_t *mbentry, struct buf *key)
{
    buf_setcstr(key, "mailbox/");
    buf_appendcstr(key, mbentry->uniqueid ? mbentry->uniqueid : mbentry->name);
}

static void free_attached(void *data)
{
    mailbox_free(data);
}

void mailbox_attach(struct mailbox *mailbox)
{
    struct buf key = BUF_INITIALIZER;

    attach_key(mailbox->mbentry, &key);
    txn_attach(mailbox->txn, buf_cstring(&key), mailbox, free_attached);
    buf_free(&key);
}

static int open_write(struct txn *txn, const mbentry_t *mbentry, bool fresh, struct mailbox **mboxp)
{
    struct buf key = BUF_INITIALIZER;

    attach_key(mbentry, &key);
    struct mailbox *mailbox = txn_attached(txn, buf_cstring(&key));
    buf_free(&key);
    if (mailbox) {
        if (mailbox->deleted) return IMAP_MAILBOX_NONEXISTENT;
        int clash = mailbox_refuse_clash(mailbox, mbentry);
        if (!clash) *mboxp = mailbox;
        return clash;
    }
    int r = check_entry(mbentry);
    if (r) return r;
    mailbox = mailbox_new_handle(mbentry, txn);
    if (!mailbox) return IMAP_MAILBOX_BADNAME;
    r = load(mailbox, fresh);
    if (r) {
        mailbox_free(mailbox);
        return r;
    }
    mailbox->quotaroot = xstrdupnull(mailbox->header.quotaroot);
    mailbox_usage(mailbox, mailbox->quota_base);
    mailbox_attach(mailbox);
    *mboxp = mailbox;
    return 0;
}

int mailbox_open_mbentry_iwl(struct txn *txn, const mbentry_t *mbentry, struct mailbox **mboxp)
{
    char *userid = mboxname_to_userid(mbentry->name);
    int r = txn_lock_user(txn, userid);

    free(userid);
    return r ? r : open_write(txn, mbentry, false, mboxp);
}

int mailbox_open_iwl(struct txn *txn, const char *name, struct mailbox **mboxp)
{
    char *userid = mboxname_to_userid(name);
    mbentry_t *entry = NULL;
    int r = txn_lock_user(txn, userid);

    free(userid);
    if (!r) r = mboxlist_lookup(name, &entry, txn);
    if (!r) r = open_write(txn, entry, true, mboxp);
    mbentry_free(&entry);
    return r;
}

void mailbox_close(struct mailbox **mboxp)
{
    struct mailbox *mailbox = *mboxp;

    *mboxp = NULL;
    if (mailbox && !mailbox->txn) mailbox_free(mailbox);
}

/* ---- the view ---- */

void mailbox_unlock(struct mailbox *mailbox)
{
    if (mailbox->txn) return;
    if (mailbox->conv) conversations_close(&mailbox->conv);
    mailbox->conv_opened = false;
    namelock_release(&mailbox->lock);
}

void mailbox_rest(struct mailbox *mailbox)
{
    if (mailbox->txn || mailbox->lock) return;
    diskio_map_free(&mailbox->map);
    mailbox_cache_close(mailbox);
    buf_free(&mailbox->rebuilt);
}

static int refresh_view(struct mailbox *mailbox)
{
    uint32_t crc = mailbox->disk.header_file_crc;
    struct stat st;

    int r = diskio_fstat(mailbox->index_fd, &st);
    if (r) {
        mailbox_log(mailbox, r, "can't stat cyrus.index", mailbox->index_path);
        return IMAP_IOERROR;
    }
    if (!st.st_nlink) return reload(mailbox);
    r = read_index(mailbox, (uint64_t)st.st_size);
    if (r) return r;
    mailbox->cache[0].opened = mailbox->cache[1].opened = false;
    /* the header of a user who was renamed may follow later */
    if (crc && mailbox->disk.header_file_crc == crc && !mboxlist_pending_any(NULL)) return 0;

    r = read_header(mailbox);
    if (!r && mailbox->header.name && strcmp(mailbox->header.name, mailbox->mbentry->name) != 0)
        r = IMAP_MAILBOX_NONEXISTENT;
    return r ? r : refresh_entry(mailbox);
}

int mailbox_relock_read(struct mailbox *mailbox, bool *changedp)
{
    const struct index_header old = mailbox->hdr;

    if (changedp) *changedp = false;
    if (mailbox->lock || mailbox->txn) return 0;
    int r = lock_shared(mailbox);
    if (r) return r;
    r = refresh_view(mailbox);
    if (r) {
        namelock_release(&mailbox->lock);
        return r;
    }
    if (changedp)
        *changedp = old.highestmodseq != mailbox->hdr.highestmodseq ||
                    old.last_uid != mailbox->hdr.last_uid ||
                    old.generation_no != mailbox->hdr.generation_no;
    return 0;
}

uint64_t mailbox_seen_lsn(const struct mailbox *mailbox)
{
    return mailbox->seen_lsn;
}

/* ---- facts ---- */

const char *mailbox_name(const struct mailbox *mailbox)
{
    return mailbox->mbentry->name;
}

const char *mailbox_uniqueid(const struct mailbox *mailbox)
{
    return mailbox->mbentry->uniqueid ? mailbox->mbentry->uniqueid : mailbox->header.uniqueid;
}

const char *mailbox_userid(const struct mailbox *mailbox)
{
    return mailbox->userid;
}

const char *mailbox_partition(const struct mailbox *mailbox)
{
    return mailbox->mbentry->partition;
}

const char *mailbox_acl(const struct mailbox *mailbox)
{
    return mailbox->mbentry->acl ? mailbox->mbentry->acl : "";
}

const char *mailbox_quotaroot(const struct mailbox *mailbox)
{
    return mailbox->header.quotaroot;
}

uint32_t mailbox_mbtype(const struct mailbox *mailbox)
{
    return mailbox->mbentry->mbtype;
}

const mbentry_t *mailbox_mbentry(const struct mailbox *mailbox)
{
    return mailbox->mbentry;
}

const struct index_header *mailbox_index_header(const struct mailbox *mailbox)
{
    return &mailbox->hdr;
}

const strarray_t *mailbox_flagnames(const struct mailbox *mailbox)
{
    return &mailbox->header.flags;
}

bool mailbox_is_writable(const struct mailbox *mailbox)
{
    return mailbox->txn != NULL;
}

struct txn *mailbox_txn(const struct mailbox *mailbox)
{
    return mailbox->txn;
}

uint32_t mailbox_sync_crc_basic(const struct mailbox *mailbox)
{
    return mailbox->hdr.sync_crc_basic;
}

uint32_t mailbox_sync_crc_annot(const struct mailbox *mailbox)
{
    return mailbox->hdr.sync_crc_annot;
}
