/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_record -- header, records and checksums of a twoskip file (handbook 01 §2.2-2.5)
 *
 * Bytes are never trusted: a record is handed out only when it lies within the file and the checksum
 * of its head is right.
 */
#include <config.h>

#include "twoskip.h"

#include <errno.h>
#include <string.h>

#include "crc32.h"
#include "util.h"
#include "xsyslog.h"

static const char magic[20] = "\241\002\213\015twoskip file\0\0\0";
static const char blank[8] = " BLANK\x07\xA0";

/* ---- header ---- */

static int bad_header(const char *fname, const char *what)
{
    xsyslog_errno(LOG_ERR, 0, what, "filename=<%s>", fname);
    return CYRUSDB_BADFORMAT;
}

int twoskip_header_parse(const char *fname, const char *base, size_t len, struct twoskip_header *header)
{
    if (len < TWOSKIP_HEADER) return bad_header(fname, "DBERROR: twoskip header too short");
    /* Another kind of file: the front finds out which, and says so. */
    if (memcmp(base, magic, sizeof(magic))) return CYRUSDB_BADFORMAT;
    if (get_be32(base + 60) != crc32_map(base, 60)) return bad_header(fname, "DBERROR: twoskip header CRC failure");
    if (get_be32(base + 20) > 1) return bad_header(fname, "DBERROR: twoskip version is too new");

    header->generation = get_be64(base + 24);
    header->num_records = get_be64(base + 32);
    header->repack_size = get_be64(base + 40);
    header->current_size = get_be64(base + 48);
    header->flags = get_be32(base + 56);
    if (header->current_size < TWOSKIP_FIRST || header->current_size % 8 || header->current_size > INT64_MAX)
        return bad_header(fname, "DBERROR: twoskip header has an impossible size");
    return 0;
}

void twoskip_header_write(const struct twoskip_header *header, char base[TWOSKIP_HEADER])
{
    memcpy(base, magic, sizeof(magic));
    put_be32(base + 20, 1);
    put_be64(base + 24, header->generation);
    put_be64(base + 32, header->num_records);
    put_be64(base + 40, header->repack_size);
    put_be64(base + 48, header->current_size);
    put_be32(base + 56, header->flags);
    put_be32(base + 60, crc32_map(base, 60));
}

/* ---- records ---- */

bool twoskip_is_blank(const char *base)
{
    return !memcmp(base, blank, sizeof(blank));
}

static bool right_level(char type, uint8_t level)
{
    switch (type) {
    case '=':
        return level == TWOSKIP_MAXLEVEL;
    case '+':
        return level >= 1 && level <= TWOSKIP_MAXLEVEL;
    case '-':
    case '$':
        return level == 0;
    default:
        return false;
    }
}

/* The sizes of a record at p; false when it can't be one within avail bytes. */
static bool parse_sizes(const char *p, uint64_t avail, struct twoskip_record *rec)
{
    if (avail < 24) return false;
    rec->type = p[0];
    rec->level = (uint8_t)p[1];
    if (!right_level(rec->type, rec->level)) return false;

    uint32_t at = 8;
    rec->keylen = get_be16(p + 2);
    rec->vallen = get_be32(p + 4);
    if (rec->keylen == UINT16_MAX) {
        rec->keylen = get_be64(p + at);
        at += 8;
    }
    if (rec->vallen == UINT32_MAX) {
        if (avail < at + 8) return false;
        rec->vallen = get_be64(p + at);
        at += 8;
    }
    rec->ptrs = at;
    rec->headlen = at + 8 * (rec->level + 1u) + 8;
    if (rec->keylen > avail || rec->vallen > avail) return false;
    rec->size = rec->headlen + roundup2(rec->keylen + rec->vallen, 8);
    if (rec->size > avail) return false;
    if (rec->type != '+' && (rec->keylen || rec->vallen)) return false;
    if (rec->type == '+' && !rec->keylen) return false;
    rec->head = p;
    rec->key = p + rec->headlen;
    rec->val = rec->key + rec->keylen;
    return true;
}

static bool head_is_whole(const struct twoskip_record *rec)
{
    return get_be32(rec->head + rec->headlen - 8) == crc32_map(rec->head, rec->headlen - 8);
}

static bool tail_is_whole(const struct twoskip_record *rec)
{
    return get_be32(rec->head + rec->headlen - 4) == crc32_map(rec->key, (size_t)(rec->size - rec->headlen));
}

int twoskip_parse(const char *base, uint64_t len, uint64_t off, struct twoskip_record *rec)
{
    if (off >= len || !parse_sizes(base + off, len - off, rec)) return -1;
    rec->offset = off;
    if (!tail_is_whole(rec)) return -1;
    return head_is_whole(rec) ? 0 : 1;
}

static int bad_record(const struct twoskip *ts, uint64_t off, const char *what)
{
    xsyslog_errno(LOG_ERR, 0, what, "filename=<%s> offset=<%llX>", ts->fname, (unsigned long long)off);
    return CYRUSDB_BADFORMAT;
}

static uint64_t records_read; /* of this process */

uint64_t cyrusdb_records_read(void)
{
    return records_read;
}

int twoskip_read(struct twoskip *ts, uint64_t off, struct twoskip_record *rec)
{
    const char *p;
    uint64_t avail;

    records_read++;
    if (off < TWOSKIP_DUMMY || off % 8 || off >= ts->end) return bad_record(ts, off, "DBERROR: twoskip offset out of bounds");
    if (off >= ts->tailbase) {
        p = ts->tail.s + (off - ts->tailbase);
        avail = ts->end - off;
    }
    else {
        p = ts->map.base + off;
        avail = cyr_min(ts->tailbase, (uint64_t)ts->map.len) - off;
    }
    if (!parse_sizes(p, avail, rec)) return bad_record(ts, off, "DBERROR: twoskip record is not one");
    rec->offset = off;
    if (off >= ts->tailbase) return 0;
    if (ts->heads.count) rec->head = twoskip_head_of(ts, off, p);
    if (rec->head == p && !(ts->flags & CYRUSDB_NOCRC) && !head_is_whole(rec))
        return bad_record(ts, off, "DBERROR: twoskip checksum head error");
    return 0;
}

int twoskip_check_tail(struct twoskip *ts, const struct twoskip_record *rec)
{
    if ((ts->flags & CYRUSDB_NOCRC) || tail_is_whole(rec)) return 0;
    return bad_record(ts, rec->offset, "DBERROR: twoskip checksum tail error");
}

/* 0 is the offset of no record: an empty slot. */
static uint64_t *whole_slot(struct twoskip *ts, uint64_t off)
{
    return &ts->whole[(off / 8 * UINT64_C(0x9E3779B97F4A7C15) >> 32) % TWOSKIP_WHOLE];
}

bool twoskip_is_whole(struct twoskip *ts, const struct twoskip_record *rec)
{
    uint64_t *slot = whole_slot(ts, rec->offset);

    if ((ts->flags & CYRUSDB_NOCRC) || rec->offset >= ts->tailbase || *slot == rec->offset) return true;
    if (rec->type == '+' && !tail_is_whole(rec)) return false;
    *slot = rec->offset;
    return true;
}

/* ---- pointers ---- */

uint64_t twoskip_ptr(const struct twoskip_record *rec, unsigned i)
{
    return get_be64(rec->head + rec->ptrs + 8 * i);
}

uint64_t twoskip_next(const struct twoskip *ts, const struct twoskip_record *rec, unsigned n)
{
    if (n) return twoskip_ptr(rec, n + 1);
    if (rec->type == '-' || rec->type == '$') return twoskip_ptr(rec, 0);
    uint64_t a = twoskip_ptr(rec, 0), b = twoskip_ptr(rec, 1);
    if (a >= ts->end) return b;
    if (b >= ts->end) return a;
    return a > b ? a : b;
}

uint32_t twoskip_make_head(char type, unsigned level, uint64_t keylen, uint64_t vallen, const uint64_t *ptrs,
                           uint32_t tailcrc, char out[TWOSKIP_HEADMAX])
{
    uint32_t at = 8;

    out[0] = type;
    out[1] = (char)level;
    put_be16(out + 2, keylen < UINT16_MAX ? (uint16_t)keylen : UINT16_MAX);
    put_be32(out + 4, vallen < UINT32_MAX ? (uint32_t)vallen : UINT32_MAX);
    if (keylen >= UINT16_MAX) {
        put_be64(out + at, keylen);
        at += 8;
    }
    if (vallen >= UINT32_MAX) {
        put_be64(out + at, vallen);
        at += 8;
    }
    for (unsigned i = 0; i <= level; i++, at += 8) put_be64(out + at, ptrs[i]);
    put_be32(out + at + 4, tailcrc);
    twoskip_seal_head(out, at + 8);
    return at + 8;
}

void twoskip_set_ptr(const struct twoskip_record *rec, char *head, unsigned i, uint64_t off)
{
    put_be64(head + rec->ptrs + 8 * i, off);
}

void twoskip_seal_head(char *head, uint32_t headlen)
{
    put_be32(head + headlen - 8, crc32_map(head, headlen - 8));
}

/* ---- padding ---- */

uint32_t twoskip_padding(uint64_t off, uint32_t headlen)
{
    uint64_t at = off;
    if (headlen > 504) return 0;
    while ((at + 8) % 512 > (at - 8 + headlen) % 512) at += 8;
    return (uint32_t)(at - off);
}

void twoskip_put_blank(struct buf *dst, uint32_t len)
{
    for (; len; len -= 8) buf_appendmap(dst, blank, sizeof(blank));
}
