/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_crc -- the two checksums with which two servers compare a mailbox
 *
 * The texts that are summed, and the XOR of their CRCs, are those of handbook 02
 * §3.6. A STORE on ten thousand messages computes twice as many of them, so the
 * text is put together without printf. Nothing here fails.
 */
#include <config.h>

#include "sync_crc.h"

#include <string.h>

#include "crc32.h"
#include "util.h"

#define VENDOR "/vendor/cmu/cyrus-imapd/"
#define FIRST_WITH_CID 13u
#define FIRST_WITH_SAVEDATE 15u
#define FIRST_WITH_CREATEDMODSEQ 16u

static const struct {
    uint32_t bit;
    const char *name;
} crc_flags[] = {
    { FLAG_DELETED, "\\deleted" }, { FLAG_ANSWERED, "\\answered" }, { FLAG_FLAGGED, "\\flagged" },
    { FLAG_DRAFT, "\\draft" },     { FLAG_SEEN, "\\seen" },
};

/* Decimal digits of v at p; the end of them. */
static char *put_dec(char *p, uint64_t v)
{
    char tmp[20];
    size_t n = 0;

    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n) *p++ = tmp[--n];
    return p;
}

static char *put_signed(char *p, int64_t v)
{
    if (v < 0) {
        *p++ = '-';
        return put_dec(p, -(uint64_t)v);
    }
    return put_dec(p, (uint64_t)v);
}

/* CRC of a name in ASCII lower case. */
static uint32_t lower_crc(const char *name)
{
    uint32_t crc = 0;
    char chunk[64];

    while (*name) {
        size_t n = 0;
        while (*name && n < sizeof(chunk)) chunk[n++] = cyr_tolower(*name++);
        crc = crc32_update(crc, chunk, n);
    }
    return crc;
}

static uint32_t flags_crc(const struct index_record *rec, const strarray_t *flagnames)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < array_size(crc_flags); i++) {
        if (rec->system_flags & crc_flags[i].bit) crc ^= crc32_cstring(crc_flags[i].name);
    }
    for (int w = 0; flagnames && w < MAX_USER_FLAG_WORDS; w++) {
        for (uint32_t bits = rec->user_flags[w]; bits; bits &= bits - 1) {
            const char *name = strarray_nth(flagnames, 32 * w + __builtin_ctz(bits));
            if (name) crc ^= lower_crc(name);
        }
    }
    return crc;
}

uint32_t sync_crc_record(const struct index_record *rec, const strarray_t *flagnames)
{
    char text[192], *p = text; /* six numbers of at most 20 digits, 40 hex digits, punctuation */

    p = put_dec(p, rec->uid);
    *p++ = ' ';
    p = put_dec(p, rec->modseq);
    *p++ = ' ';
    p = put_signed(p, rec->last_updated);
    *p++ = ' ';
    *p++ = '(';
    p = put_dec(p, flags_crc(rec, flagnames));
    *p++ = ')';
    *p++ = ' ';
    p = put_signed(p, rec->internaldate);
    *p++ = ' ';
    message_guid_encode(&rec->guid, p);
    p += 2 * MESSAGE_GUID_SIZE;
    return crc32_map(text, (size_t)(p - text));
}

uint32_t sync_crc_annotation(uint32_t uid, const char *entry, const char *userid, const char *value,
                             size_t len)
{
    char text[16], *p = put_dec(text, uid);

    *p++ = ' ';
    uint32_t crc = crc32_map(text, (size_t)(p - text));
    crc = crc32_update(crc, entry, strlen(entry));
    crc = crc32_update(crc, " ", 1);
    crc = crc32_update(crc, userid, strlen(userid));
    crc = crc32_update(crc, " ", 1);
    return crc32_update(crc, value, len);
}

static uint32_t number_annot_crc(uint32_t uid, const char *entry, uint64_t v)
{
    char text[24];

    return sync_crc_annotation(uid, entry, "", text, (size_t)(put_dec(text, v) - text));
}

static uint32_t cid_annot_crc(uint32_t uid, conversation_id_t cid)
{
    char hex[17];
    unsigned char be[8];
    const char *p = hex;

    put_be64(be, cid);
    bin_to_hex(be, sizeof(be), hex);
    while (*p == '0' && p[1]) p++;
    return sync_crc_annotation(uid, VENDOR "thrid", "", p, strlen(p));
}

uint32_t sync_crc_record_annots(const struct index_record *rec, uint32_t minor)
{
    uint32_t crc = 0;

    if (rec->cid && minor >= FIRST_WITH_CID) crc ^= cid_annot_crc(rec->uid, rec->cid);
    if (rec->savedate && minor >= FIRST_WITH_SAVEDATE)
        crc ^= number_annot_crc(rec->uid, VENDOR "savedate", (uint64_t)rec->savedate);
    if (rec->createdmodseq && minor >= FIRST_WITH_CREATEDMODSEQ)
        crc ^= number_annot_crc(rec->uid, VENDOR "createdmodseq", rec->createdmodseq);
    return crc;
}

bool sync_crc_annotation_isvirtual(const char *entry, uint32_t minor)
{
    static const struct {
        uint32_t since;
        const char *entry;
    } table[] = {
        { FIRST_WITH_CID, VENDOR "thrid" },
        { FIRST_WITH_SAVEDATE, VENDOR "savedate" },
        { FIRST_WITH_CREATEDMODSEQ, VENDOR "createdmodseq" },
    };

    for (size_t i = 0; i < array_size(table); i++) {
        if (minor >= table[i].since && !strcmp(entry, table[i].entry)) return true;
    }
    return false;
}
