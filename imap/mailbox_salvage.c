/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_salvage -- a handle for writing over a damaged cyrus.index or without cyrus.header
 *
 * Each file is judged on its own: a lost cyrus.header costs the names of user flags, never the index; a damaged index header costs
 * the counts, never the records behind it whose CRCs are right.
 *
 * Of a damaged index header a value is believed only if it fits to what else is known. UIDVALIDITY stays when
 * mailboxes.db has the same and the highest UID makes sense; otherwise UIDs may have been told
 * to clients that nothing here knows of, and it becomes a new one. Handbook 02 §8.
 */
#include <config.h>

#include "mailbox_salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "crc32.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "quota.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define OLDEST_WITH_CRC 12
#define NEWEST_KNOWN 20 /* minor versions that other servers write */
#define UID_SLACK \
    (1u << 20) /* so many UIDs may have been given since the newest record that is left */

struct found {
    uint32_t good;   /* records whose CRC is right */
    uint32_t maxuid; /* among them */
    modseq_t maxmodseq, maxcreated;
};

/* ---- cyrus.index ---- */

static bool is_newer(const char *base, size_t len)
{
    uint32_t minor = len >= 12 ? get_be32(base + 8) : 0;

    return minor > MAILBOX_MINOR_VERSION && minor <= NEWEST_KNOWN;
}

static uint32_t records_in(const struct index_version *v, size_t len)
{
    size_t n = len > v->header_size ? (len - v->header_size) / v->record_size : 0;

    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX - 1;
}

static struct found look_at_records(const struct index_version *v, const char *base, size_t len)
{
    struct found found = { 0 };
    struct index_record rec;

    for (uint32_t i = 0; i < records_in(v, len); i++) {
        const char *at = base + v->header_size + (size_t)i * v->record_size;

        if (index_record_read(&rec, v->minor, at, v->record_size) || !rec.uid) continue;
        found.good++;
        if (rec.uid > found.maxuid) found.maxuid = rec.uid;
        if (rec.modseq > found.maxmodseq) found.maxmodseq = rec.modseq;
    }
    return found;
}

/* The version by which most records make sense; false: none does. */
static bool guess_version(const char *base, size_t len, struct index_version *best,
                          struct found *found)
{
    struct index_version v;

    memset(found, 0, sizeof(*found));
    for (uint32_t minor = MAILBOX_MINOR_VERSION; minor >= OLDEST_WITH_CRC; minor--) {
        if (!index_version_lookup(minor, &v)) continue;
        struct found these = look_at_records(&v, base, len);
        if (these.good <= found->good) continue;
        *found = these;
        *best = v;
    }
    return found->good > 0;
}

/* The header as it says, whatever its CRC: only for comparison. */
static bool read_claims(const struct index_version *v, const char *base, size_t len,
                        struct index_header *claims)
{
    char bytes[INDEX_HEADER_MAX];

    if (len < v->header_size) return false;
    memcpy(bytes, base, v->header_size);
    put_be32(bytes + 8, v->minor);
    put_be32(bytes + 12, v->header_size);
    put_be32(bytes + 16, v->record_size);
    put_be32(bytes + v->header_size - 4, crc32_map(bytes, v->header_size - 4));
    return !index_header_read(claims, bytes, v->header_size, time(NULL));
}

static time_t believable_time(const struct mailbox *mailbox, time_t t)
{
    return t <= txn_time(mailbox->txn) ? t : 0;
}

/* What of the claims does no harm if it is wrong. */
static void take_claims(struct mailbox *mailbox, const struct index_header *claims)
{
    struct index_header *hdr = &mailbox->hdr;

    hdr->generation_no = claims->generation_no;
    hdr->options = claims->options &
                   (OPT_POP3_NEW_UIDL | OPT_IMAP_SHAREDSEEN | OPT_IMAP_DUPDELIVER);
    hdr->last_appenddate = believable_time(mailbox, claims->last_appenddate);
    hdr->pop3_last_login = believable_time(mailbox, claims->pop3_last_login);
    hdr->recenttime = believable_time(mailbox, claims->recenttime);
    hdr->first_expunged = believable_time(mailbox, claims->first_expunged);
    if (claims->recentuid <= hdr->last_uid) hdr->recentuid = claims->recentuid;
}

static bool uids_are_known(const struct mailbox *mailbox, const struct index_header *claims,
                           const struct found *found)
{
    return claims->uidvalidity && claims->uidvalidity == mailbox->mbentry->uidvalidity &&
           claims->last_uid >= found->maxuid && claims->last_uid - found->maxuid < UID_SLACK;
}

static int new_uidvalidity(struct mailbox *mailbox)
{
    uint32_t last = cyr_max((uint32_t)txn_time(mailbox->txn), mailbox->mbentry->uidvalidity + 1);
    int r = mailbox_open_meta(mailbox);

    if (!r)
        mailbox->hdr.uidvalidity = counters_next_uidvalidity(mailbox->txn, mailbox->meta, last, &r);
    return r;
}

static int raise_modseqs(struct mailbox *mailbox, modseq_t atleast, modseq_t created)
{
    int r = mailbox_open_meta(mailbox);

    if (r) return r;
    modseq_t high = counters_next_modseq(mailbox->txn, mailbox->meta, atleast,
                                         mailbox->mbentry->name, mailbox->mbentry->mbtype, 0, &r);
    mailbox->hdr.highestmodseq = mailbox->hdr.deletedmodseq = high;
    mailbox->hdr.createdmodseq = created && created < high ? created : high;
    return r;
}

/* Records are kept; which were removed before is not known, so replicas must compare (deletedmodseq). */
static int rebuild_header(struct mailbox *mailbox, const struct index_version *v,
                          const struct found *found, struct mailbox_salvage *salvage)
{
    const struct diskio_map *map = &mailbox->map;
    struct index_header claims = { 0 }, *hdr = &mailbox->hdr;
    bool claimed = read_claims(v, map->base, map->len, &claims);
    bool known = claimed && uids_are_known(mailbox, &claims, found);
    modseq_t high = found->maxmodseq, slack = (modseq_t)1 << 32;
    int r = 0;

    index_header_init(hdr);
    index_header_set_version(hdr, v->minor);
    hdr->num_records = records_in(v, map->len);
    hdr->last_uid = known ? claims.last_uid : found->maxuid;
    hdr->uidvalidity = claims.uidvalidity;
    hdr->changes_epoch = index_time(txn_time(mailbox->txn));
    if (claimed) take_claims(mailbox, &claims);
    if (claimed && claims.highestmodseq > high && claims.highestmodseq - high < slack)
        high = claims.highestmodseq;
    mailbox->disk = *hdr;
    salvage->index_damaged = true;
    salvage->new_uidvalidity = !known;
    if (!known) r = new_uidvalidity(mailbox);
    return r ? r : raise_modseqs(mailbox, high, mailbox->mbentry->createdmodseq);
}

/* Nothing is left of it: as a new mailbox. The message files are still there. */
static int begin_anew(struct mailbox *mailbox, struct mailbox_salvage *salvage)
{
    index_header_init(&mailbox->hdr);
    mailbox->hdr.changes_epoch = index_time(txn_time(mailbox->txn));
    int r = new_uidvalidity(mailbox);
    if (!r) r = raise_modseqs(mailbox, 0, mailbox->mbentry->createdmodseq);
    mailbox->disk = mailbox->hdr;
    diskio_map_free(&mailbox->map);
    mailbox->created = mailbox->hdr_dirty = true;
    salvage->new_uidvalidity = true;
    return r;
}

static int map_index(struct mailbox *mailbox)
{
    struct stat st;
    int fd = diskio_open(mailbox->index_path, O_RDWR, 0);

    if (fd == -ENOENT) return IMAP_NOTFOUND;
    int r = fd < 0 ? fd : diskio_fstat(fd, &st);
    if (!r) {
        mailbox->index_fd = fd;
        mailbox->index_ino = st.st_ino;
        mailbox->index_dev = st.st_dev;
        r = diskio_map_refresh(&mailbox->map, fd, (size_t)st.st_size);
    }
    if (r) mailbox_log(mailbox, r, "can't read cyrus.index", mailbox->index_path);
    return r ? IMAP_IOERROR : 0;
}

/* What is replaced stays beside it, for whoever knows more. */
static int keep_damaged(struct mailbox *mailbox)
{
    const char *root = partition_metaroot(mailbox->place.partition, META_INDEX);
    struct txn_staged *staged;

    if (!root) return IMAP_PARTITION_UNKNOWN;
    int r = txn_stage_fd(mailbox->txn, root, mailbox->index_fd, MAILBOX_FILE_MODE, 0, &staged);
    if (r) return r;
    char *path = xasprintf("%s.damaged", mailbox->index_path);
    txn_place(mailbox->txn, staged, path);
    free(path);
    return 0;
}

static int salvage_index(struct mailbox *mailbox, struct mailbox_salvage *salvage)
{
    const struct diskio_map *map = &mailbox->map;
    struct index_version v = { 0 };
    struct found found;

    int r = map_index(mailbox);
    salvage->index_missing = r == IMAP_NOTFOUND;
    if (salvage->index_missing) return begin_anew(mailbox, salvage);
    if (r) return r;
    r = index_header_read(&mailbox->hdr, map->base, map->len, time(NULL));
    if (!r && !index_header_check_size(&mailbox->hdr, map->len)) {
        mailbox->disk = mailbox->hdr;
        return 0;
    }
    if (r && is_newer(map->base, map->len)) return IMAP_MAILBOX_NOTSUPPORTED;
    salvage->index_damaged = true;
    bool cut_off = !r;
    r = keep_damaged(mailbox);
    if (r) return r;
    if (cut_off) {
        index_version_lookup(mailbox->hdr.minor_version, &v);
        mailbox->hdr.num_records = records_in(&v, map->len);
        mailbox->disk = mailbox->hdr;
        return 0;
    }
    if (guess_version(map->base, map->len, &v, &found))
        return rebuild_header(mailbox, &v, &found, salvage);
    return begin_anew(mailbox, salvage);
}

/* ---- cyrus.header ---- */

/* Slots that records use get names, so that the messages with a flag stay together. */
static unsigned name_lost_flags(struct mailbox *mailbox)
{
    uint32_t used[MAX_USER_FLAG_WORDS] = { 0 };
    struct index_record rec;
    unsigned lost = 0;
    char name[32];

    for (uint32_t recno = 1; recno <= mailbox->hdr.num_records; recno++) {
        const char *at = mailbox_record_bytes(mailbox, recno);

        if (index_record_read(&rec, mailbox->disk.minor_version, at, mailbox->disk.record_size))
            continue;
        for (int i = 0; i < MAX_USER_FLAG_WORDS; i++) used[i] |= rec.user_flags[i];
    }
    for (int slot = 0; slot < MAX_USER_FLAGS; slot++) {
        if (!(used[slot / 32] >> (slot % 32) & 1)) continue;
        snprintf(name, sizeof(name), "UnknownFlag%d", slot + 1);
        strarray_set(&mailbox->header.flags, slot, name);
        lost++;
    }
    return lost;
}

static int rebuild_cyrus_header(struct mailbox *mailbox, struct mailbox_salvage *salvage)
{
    struct mailbox_header *h = &mailbox->header;

    mailbox_header_fini(h);
    mailbox_header_init(h);
    h->name = xstrdup(mailbox->mbentry->name);
    h->uniqueid = xstrdupnull(mailbox->mbentry->uniqueid);
    h->mbtype = mailbox->mbentry->mbtype;
    h->acl = xstrdupnull(mailbox->mbentry->acl);
    int r = quota_findroot(h->name, mailbox->txn, &h->quotaroot);
    if (r == IMAP_QUOTAROOT_NONEXISTENT) r = 0;
    salvage->header_missing = true;
    salvage->lost_flags = name_lost_flags(mailbox);
    mailbox->header_dirty = mailbox->hdr_dirty = true;
    return r;
}

static int salvage_header(struct mailbox *mailbox, struct mailbox_salvage *salvage)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct buf path = BUF_INITIALIZER;

    int r = mailbox_path_meta(&mailbox->place, META_HEADER, &path);
    if (r) return r;
    r = diskio_map_file(buf_cstring(&path), &map, NULL);
    bool missing = r == -ENOENT;
    if (r && !missing) mailbox_log(mailbox, r, "can't read cyrus.header", buf_cstring(&path));
    if (!r && mailbox_header_parse(&mailbox->header, map.base ? map.base : "", map.len))
        missing = true;
    diskio_map_free(&map);
    buf_free(&path);
    if (missing) return rebuild_cyrus_header(mailbox, salvage);
    return r ? IMAP_IOERROR : 0;
}

/* ---- the whole ---- */

static int salvage_both(struct mailbox *mailbox, struct mailbox_salvage *salvage)
{
    int r = salvage_index(mailbox, salvage);
    if (!r) r = salvage_header(mailbox, salvage);
    if (r) return r;
    /* The new index needs to know the CRC of cyrus.header. */
    if (salvage->index_missing || salvage->index_damaged) mailbox->header_dirty = true;
    mailbox->quotaroot = xstrdupnull(mailbox->header.quotaroot);
    mailbox_usage(mailbox, mailbox->quota_base);
    return 0;
}

int mailbox_open_salvage(struct txn *txn, const mbentry_t *mbentry, struct mailbox_salvage *salvage,
                         struct mailbox **mboxp)
{
    memset(salvage, 0, sizeof(*salvage));
    int r = mailbox_open_mbentry_iwl(txn, mbentry, mboxp);
    if (!r || r == IMAP_AGAIN || r == IMAP_MAILBOX_MOVED || r == IMAP_MAILBOX_RESERVED) return r;
    if (mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE) || !mbentry->partition) return r;

    struct mailbox *mailbox = mailbox_new_handle(mbentry, txn);
    if (!mailbox) return IMAP_MAILBOX_BADNAME;
    r = salvage_both(mailbox, salvage);
    if (r) {
        mailbox_free(mailbox);
        return r;
    }
    mailbox_attach(mailbox);
    *mboxp = mailbox;
    if (mailbox->created) r = mailbox_make_dirs(txn, &mailbox->place);
    if (!r && salvage->index_damaged && !mailbox->created) r = mailbox_must_repack(mailbox);
    return r ? r : mailbox_begin_change(mailbox);
}
