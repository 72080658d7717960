/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_index -- the bytes of cyrus.index, header and records, of all versions
 *
 * A version is a row of two tables: which fields the header has, and where the
 * fields of a record are. Fields a version lacks read as 0, or as the value that
 * 3.6.1 derives for them, and are not written. Bytes on disk are big-endian and
 * not aligned; times are unsigned 32-bit seconds.
 *
 * A wrong CRC is IMAP_MAILBOX_CHECKSUM, anything else that is no index is
 * IMAP_MAILBOX_BADFORMAT. The caller knows the file and logs.
 */
#include <config.h>

#include "mailbox_index.h"

#include <string.h>

#include "crc32.h"
#include "imap_err.h"

/* Offsets of what moved between the versions; 0: the version lacks it. */
static const struct layout {
    uint32_t minor, header_size, record_size;
    uint8_t guid, modseq, cid, createdmodseq, cache_crc, record_crc;
} layouts[] = {
    { 6, 76, 60, 0, 0, 0, 0, 0, 0 },
    { 7, 76, 72, 0, 0, 0, 0, 0, 0 },
    { 8, 92, 80, 0, 72, 0, 0, 0, 0 },
    { 9, 96, 80, 0, 72, 0, 0, 0, 0 },
    { 10, 96, 88, 60, 80, 0, 0, 0, 0 },
    { 12, 128, 96, 60, 80, 0, 0, 88, 92 },
    { 13, 128, 104, 60, 80, 88, 0, 96, 100 },
    { 14, 160, 104, 60, 80, 88, 0, 96, 100 },
    { 15, 160, 104, 60, 80, 88, 0, 96, 100 },
    { 16, 160, 112, 60, 80, 88, 96, 104, 108 },
    { 17, 160, 112, 60, 80, 88, 96, 104, 108 },
};
#define FIRST_WITH_CRC 12u
#define FIRST_WITH_SAVEDATE 15u

enum width { W32, W64, W_TIME };
/* Every header field with the versions that have it. */
#define F(off, width, since, name)                              \
    {                                                           \
        off, width, since, offsetof(struct index_header, name), \
            sizeof(((struct index_header *)0)->name)            \
    }
static const struct header_field {
    uint8_t off, width, since;
    size_t member, size;
} header_fields[] = {
    F(0, W32, 6, generation_no),
    F(4, W32, 6, format),
    F(8, W32, 6, minor_version),
    F(12, W32, 6, start_offset),
    F(16, W32, 6, record_size),
    F(20, W32, 6, num_records),
    F(24, W_TIME, 6, last_appenddate),
    F(28, W32, 6, last_uid),
    F(32, W64, 6, quota_mailbox_used),
    F(40, W_TIME, 6, pop3_last_login),
    F(44, W32, 6, uidvalidity),
    F(48, W32, 6, deleted),
    F(52, W32, 6, answered),
    F(56, W32, 6, flagged),
    F(60, W32, 6, options),
    F(64, W32, 6, leaked_cache_records),
    F(68, W64, 8, highestmodseq),
    F(76, W64, 12, deletedmodseq),
    F(84, W32, 12, exists),
    F(88, W_TIME, 12, first_expunged),
    F(92, W_TIME, 12, last_repack_time),
    F(96, W32, 12, header_file_crc),
    F(100, W32, 12, sync_crc_basic),
    F(104, W32, 12, recentuid),
    F(108, W_TIME, 12, recenttime),
    F(112, W_TIME, 13, pop3_show_after),
    F(116, W32, 13, quota_annot_used),
    F(120, W32, 13, sync_crc_annot),
    F(124, W32, 14, unseen),
    F(128, W64, 16, createdmodseq),
    F(136, W_TIME, 17, changes_epoch),
};
#undef F

static const struct layout *find_layout(uint32_t minor)
{
    for (size_t i = 0; i < array_size(layouts); i++) {
        if (layouts[i].minor == minor) return &layouts[i];
    }
    return NULL;
}

bool index_version_lookup(uint32_t minor, struct index_version *v)
{
    const struct layout *l = find_layout(minor);

    if (!l) return false;
    v->minor = minor;
    v->header_size = l->header_size;
    v->record_size = l->record_size;
    v->crcs = minor >= FIRST_WITH_CRC;
    return true;
}

time_t index_time(time_t t)
{
    if (t < 0) return 0;
    return t > (time_t)UINT32_MAX ? (time_t)UINT32_MAX : t;
}

static uint32_t time_to_disk(time_t t)
{
    return (uint32_t)index_time(t);
}

/* Members are uint32_t, uint64_t or time_t; the width on disk is the table's. */
static void set_member(struct index_header *hdr, const struct header_field *f, uint64_t v)
{
    char *m = (char *)hdr + f->member;

    if (f->width == W_TIME) {
        time_t t = (time_t)v;
        memcpy(m, &t, sizeof(t));
    }
    else if (f->size == sizeof(uint64_t)) {
        memcpy(m, &v, sizeof(v));
    }
    else {
        uint32_t v32 = (uint32_t)v;
        memcpy(m, &v32, sizeof(v32));
    }
}

static uint64_t get_member(const struct index_header *hdr, const struct header_field *f)
{
    const char *m = (const char *)hdr + f->member;
    uint64_t v64;
    uint32_t v32;
    time_t t;

    if (f->width == W_TIME) {
        memcpy(&t, m, sizeof(t));
        return time_to_disk(t);
    }
    if (f->size == sizeof(uint64_t)) {
        memcpy(&v64, m, sizeof(v64));
        if (f->width == W32 && v64 > UINT32_MAX) v64 = UINT32_MAX;
        return v64;
    }
    memcpy(&v32, m, sizeof(v32));
    return v32;
}

/* What 3.6.1 makes of fields that are missing or that an empty mailbox has. */
static void complete_header(struct index_header *hdr, time_t now)
{
    if (hdr->minor_version < 8) hdr->options &= OPT_POP3_NEW_UIDL;
    if (!hdr->highestmodseq) hdr->highestmodseq = 1;
    if (hdr->minor_version < 12) {
        hdr->exists = hdr->num_records;
        hdr->deletedmodseq = hdr->highestmodseq;
    }
    if (hdr->minor_version < 17)
        hdr->changes_epoch = hdr->last_repack_time ? hdr->last_repack_time : now;
    if (!hdr->exists) hdr->options |= OPT_POP3_NEW_UIDL;
}

int index_header_read(struct index_header *hdr, const char *base, size_t len, time_t now)
{
    memset(hdr, 0, sizeof(*hdr));
    if (len < 20) return IMAP_MAILBOX_BADFORMAT;

    const struct layout *l = find_layout(get_be32(base + 8));
    if (!l || len < l->header_size) return IMAP_MAILBOX_BADFORMAT;
    if (get_be32(base + 12) != l->header_size || get_be32(base + 16) != l->record_size)
        return IMAP_MAILBOX_BADFORMAT;
    if (l->minor >= FIRST_WITH_CRC &&
        crc32_map(base, l->header_size - 4) != get_be32(base + l->header_size - 4))
        return IMAP_MAILBOX_CHECKSUM;

    for (size_t i = 0; i < array_size(header_fields); i++) {
        const struct header_field *f = &header_fields[i];
        if (f->since > l->minor) continue;
        set_member(hdr, f, f->width == W64 ? get_be64(base + f->off) : get_be32(base + f->off));
    }
    complete_header(hdr, now);
    return 0;
}

int index_header_check_size(const struct index_header *hdr, uint64_t filesize)
{
    /* 32 bits times 32 bits: no overflow */
    uint64_t need = (uint64_t)hdr->num_records * hdr->record_size + hdr->start_offset;

    return need > filesize ? IMAP_MAILBOX_BADFORMAT : 0;
}

size_t index_header_write(const struct index_header *hdr, char *out)
{
    const struct layout *l = find_layout(hdr->minor_version);
    struct index_header h = *hdr;

    if (!l) return 0;
    h.start_offset = l->header_size;
    h.record_size = l->record_size;
    h.options &= l->minor < 8 ? OPT_POP3_NEW_UIDL : OPTS_VALID;

    memset(out, 0, l->header_size);
    for (size_t i = 0; i < array_size(header_fields); i++) {
        const struct header_field *f = &header_fields[i];
        if (f->since > l->minor) continue;
        uint64_t v = get_member(&h, f);
        if (f->width == W64)
            put_be64(out + f->off, v);
        else
            put_be32(out + f->off, (uint32_t)v);
    }
    if (l->minor >= FIRST_WITH_CRC)
        put_be32(out + l->header_size - 4, crc32_map(out, l->header_size - 4));
    return l->header_size;
}

bool index_header_set_version(struct index_header *hdr, uint32_t minor)
{
    const struct layout *l = find_layout(minor);

    if (!l) return false;
    hdr->minor_version = minor;
    hdr->start_offset = l->header_size;
    hdr->record_size = l->record_size;
    return true;
}

void index_header_init(struct index_header *hdr)
{
    memset(hdr, 0, sizeof(*hdr));
    index_header_set_version(hdr, MAILBOX_MINOR_VERSION);
    hdr->options = OPT_POP3_NEW_UIDL;
    index_header_reset_counts(hdr);
}

uint64_t index_record_offset(const struct index_header *hdr, uint32_t recno)
{
    return hdr->start_offset + (uint64_t)(recno - 1) * hdr->record_size;
}

/* ---- records ---- */

void index_record_set_user_flag(struct index_record *rec, int slot, bool on)
{
    uint32_t bit = 1u << (slot % 32);

    if (on)
        rec->user_flags[slot / 32] |= bit;
    else
        rec->user_flags[slot / 32] &= ~bit;
}

uint32_t index_record_read_uid(const char *base)
{
    return get_be32(base);
}

static void read_flags(struct index_record *rec, const struct layout *l, const char *base)
{
    uint32_t flags = get_be32(base + 32);

    rec->system_flags = flags & FLAGS_SYSTEM;
    rec->internal_flags = flags & FLAGS_INTERNAL;
    if (l->minor < FIRST_WITH_CRC) {
        /* \Seen and expunged records were kept elsewhere */
        rec->system_flags &= FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT;
        rec->internal_flags = 0;
    }
    for (int i = 0; i < MAX_USER_FLAG_WORDS; i++) rec->user_flags[i] = get_be32(base + 36 + 4 * i);
}

int index_record_read(struct index_record *rec, uint32_t minor, const char *base, size_t len)
{
    const struct layout *l = find_layout(minor);

    memset(rec, 0, sizeof(*rec));
    if (!l || len < l->record_size) return IMAP_MAILBOX_BADFORMAT;

    rec->uid = get_be32(base);
    rec->internaldate = get_be32(base + 4);
    rec->sentdate = get_be32(base + 8);
    rec->size = get_be32(base + 12);
    rec->header_size = get_be32(base + 16);
    rec->gmtime = get_be32(base + 20);
    rec->cache_offset = get_be32(base + 24);
    rec->last_updated = get_be32(base + 28);
    read_flags(rec, l, base);
    if (minor >= FIRST_WITH_SAVEDATE) rec->savedate = get_be32(base + 52);
    uint32_t cv = get_be32(base + 56);
    rec->cache_version = cv & 0xffff;
    rec->cache_offset |= (uint64_t)(cv >> 16) << 32;
    if (l->guid) message_guid_import(&rec->guid, base + l->guid);
    if (l->modseq) rec->modseq = get_be64(base + l->modseq);
    if (l->cid) rec->cid = get_be64(base + l->cid);
    if (l->createdmodseq) rec->createdmodseq = get_be64(base + l->createdmodseq);
    if (l->cache_crc) rec->cache_crc = get_be32(base + l->cache_crc);
    /* offset 20 was the start of the body then; the Date header is known to the day */
    if (minor < FIRST_WITH_CRC) rec->gmtime = rec->sentdate ? rec->sentdate : rec->internaldate;

    if (l->record_crc && crc32_map(base, l->record_crc) != get_be32(base + l->record_crc))
        return IMAP_MAILBOX_CHECKSUM;
    return 0;
}

size_t index_record_write(const struct index_record *rec, uint32_t minor, char *out)
{
    const struct layout *l = find_layout(minor);

    if (!l) return 0;
    uint32_t flags = (rec->system_flags & FLAGS_SYSTEM) | (rec->internal_flags & FLAGS_INTERNAL);
    bool old = minor < FIRST_WITH_CRC;
    if (old) flags &= FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT;

    memset(out, 0, l->record_size);
    put_be32(out, rec->uid);
    put_be32(out + 4, time_to_disk(rec->internaldate));
    put_be32(out + 8, time_to_disk(rec->sentdate));
    put_be32(out + 12, rec->size);
    put_be32(out + 16, rec->header_size);
    put_be32(out + 20, old ? rec->header_size : time_to_disk(rec->gmtime));
    put_be32(out + 24, (uint32_t)rec->cache_offset);
    put_be32(out + 28, time_to_disk(rec->last_updated));
    put_be32(out + 32, flags);
    for (int i = 0; i < MAX_USER_FLAG_WORDS; i++) put_be32(out + 36 + 4 * i, rec->user_flags[i]);
    if (minor >= FIRST_WITH_SAVEDATE) put_be32(out + 52, time_to_disk(rec->savedate));
    put_be32(out + 56,
             (uint32_t)((rec->cache_offset >> 32) & 0xffff) << 16 | (rec->cache_version & 0xffff));
    if (l->guid) message_guid_export(&rec->guid, out + l->guid);
    if (l->modseq) put_be64(out + l->modseq, rec->modseq);
    if (l->cid) put_be64(out + l->cid, rec->cid);
    if (l->createdmodseq) put_be64(out + l->createdmodseq, rec->createdmodseq);
    if (l->cache_crc) put_be32(out + l->cache_crc, rec->cache_crc);
    if (l->record_crc) put_be32(out + l->record_crc, crc32_map(out, l->record_crc));
    return l->record_size;
}
