/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_skiplist -- the backend skiplist: reading, and writing packed files (handbook 01 §3.1, 3.2)
 *
 * No pointer of the file is trusted: INORDER records are taken in order, then the log is replayed up to
 * its last COMMIT. A commit of ours replaces the file by a packed one, as a repack does, which every 3.6.1
 * reads; so it costs the whole file, and the server makes twoskip files instead (imap/txn_db.c).
 */
#include <config.h>

#include <string.h>
#include <time.h>

#include "cyrusdb_snapshot.h"
#include "util.h"
#include "xsyslog.h"

#define HEADER 48u
#define MAXLEVEL 20u
#define ENDOFPTRS 0xFFFFFFFFu

enum { INORDER = 1, ADD = 2, DELETE = 4, COMMIT = 255, DUMMY = 257 };

static const char magic[20] = "\241\002\213\015skiplist file\0\0";

static int cmp_signed(const char *a, size_t alen, const char *b, size_t blen)
{
    for (size_t i = 0; i < alen && i < blen; i++) {
        signed char x = (signed char)a[i], y = (signed char)b[i];
        if (x != y) return x < y ? -1 : 1;
    }
    return alen == blen ? 0 : alen < blen ? -1 : 1;
}

static kvmap_cmp *skiplist_order(unsigned flags)
{
    return flags & CYRUSDB_MBOXSORT ? cyrusdb_cmp_mbox : cmp_signed;
}

/* ---- reading ---- */

struct record {
    uint32_t type, offset;
    const char *key, *val;
    size_t keylen, vallen;
    uint64_t size;
};

/* Length field and padded bytes at *at; false beyond the end. */
static bool parse_bytes(const char *base, uint64_t len, uint64_t *at, const char **out, size_t *outlen)
{
    if (len - *at < 4) return false;
    uint64_t n = get_be32(base + *at);
    *at += 4;
    if (roundup2(n, 4) > len - *at) return false;
    *out = base + *at;
    *outlen = (size_t)n;
    *at += roundup2(n, 4);
    return true;
}

static bool parse_record(const char *base, uint64_t len, uint64_t off, struct record *rec)
{
    uint64_t at = off + 4;

    *rec = (struct record){ 0 };
    if (len - off < 4) return false;
    rec->type = get_be32(base + off);
    rec->size = 4;
    switch (rec->type) {
    case COMMIT:
        return true;
    case DELETE:
        if (len - off < 8) return false;
        rec->offset = get_be32(base + off + 4);
        rec->size = 8;
        return true;
    case INORDER:
    case ADD:
    case DUMMY:
        break;
    default:
        return false;
    }
    if (!parse_bytes(base, len, &at, &rec->key, &rec->keylen) || !parse_bytes(base, len, &at, &rec->val, &rec->vallen))
        return false;
    for (unsigned n = 0;; n++, at += 4) {
        if (len - at < 4 || n > MAXLEVEL) return false;
        if (get_be32(base + at) == ENDOFPTRS) break;
    }
    rec->size = at + 4 - off;
    return true;
}

static int damaged(const char *fname, uint64_t off)
{
    xsyslog_errno(LOG_ERR, 0, "DBERROR: skiplist file is damaged", "filename=<%s> offset=<%llX>", fname,
                  (unsigned long long)off);
    return CYRUSDB_BADFORMAT;
}

static void add_record(struct kvmap *map, const struct record *rec, uint64_t off)
{
    if (!rec->keylen) return;
    kvmap_set(map, rec->key, rec->keylen, rec->val, rec->vallen)->number = off;
}

/* The record at the offset that a DELETE names, if it is the live one of its key. */
static void delete_record(struct kvmap *map, const char *base, uint64_t len, uint32_t off)
{
    struct record rec;
    if (off % 4 || off < HEADER || off >= len || !parse_record(base, len, off, &rec) || !rec.keylen) return;
    const struct kvmap_node *node = kvmap_find(map, rec.key, rec.keylen);
    if (node && node->number == off) kvmap_remove(map, rec.key, rec.keylen);
}

static void apply_txn(struct kvmap *map, const char *base, uint64_t from, uint64_t to)
{
    struct record rec;
    for (uint64_t off = from; off < to; off += rec.size) {
        if (!get_be32(base + off)) {
            rec.size = 4;
            continue;
        }
        parse_record(base, to, off, &rec); /* has been read before */
        if (rec.type == ADD || rec.type == INORDER) add_record(map, &rec, off);
        if (rec.type == DELETE) delete_record(map, base, to, rec.offset);
    }
}

/* The log: whole transactions up to the last COMMIT; what follows never happened. */
static int replay_log(const char *fname, const char *base, uint64_t len, uint64_t off, struct kvmap *map)
{
    uint64_t start = off;
    struct record rec;

    for (; off + 4 <= len; off += rec.size) {
        if (!get_be32(base + off)) {
            rec.size = 4;
            continue;
        }
        if (!parse_record(base, len, off, &rec)) {
            /* Torn, when nothing of it was committed; else it is damage that must be seen. */
            for (uint64_t at = off; at + 8 <= len; at += 4) {
                if (get_be32(base + at) == ENDOFPTRS && get_be32(base + at + 4) == COMMIT) return damaged(fname, off);
            }
            break;
        }
        if (rec.type != COMMIT) continue;
        apply_txn(map, base, start, off);
        start = off + 4;
    }
    return 0;
}

static int skiplist_parse(const char *fname, const char *base, size_t len, struct kvmap *map)
{
    struct record rec;
    uint64_t off = HEADER;

    if (len < HEADER || memcmp(base, magic, sizeof(magic))) return CYRUSDB_BADFORMAT;
    uint32_t log = get_be32(base + 40);
    if (get_be32(base + 20) != 1 || get_be32(base + 28) > MAXLEVEL || log > len || log % 4) return damaged(fname, 0);
    if (!parse_record(base, len, off, &rec) || rec.type != DUMMY) return damaged(fname, off);
    for (off += rec.size; off < log; off += rec.size) {
        if (!parse_record(base, log, off, &rec) || rec.type != INORDER) return damaged(fname, off);
        add_record(map, &rec, off);
    }
    return replay_log(fname, base, len, off, map);
}

/* ---- what can be read of a damaged file ---- */

/* The file has no checksums: what has the form of a record is taken for one, which rubbish seldom has. */
static void skiplist_salvage(const char *base, size_t len, struct kvmap *map, struct cyrusdb_bad *bad)
{
    struct record rec;
    uint64_t zeros = 0;
    bool whole = len >= HEADER && !memcmp(base, magic, sizeof(magic)) && get_be32(base + 20) == 1 &&
                 get_be32(base + 28) <= MAXLEVEL;

    if (!whole) cyrusdb_bad(bad, 0, len < HEADER ? len : HEADER, "no skiplist header");
    if (whole && get_be32(base + 40) > len) cyrusdb_bad(bad, len, get_be32(base + 40) - len, "the file is cut off");
    for (uint64_t off = HEADER; off < len; off += rec.size) {
        if (len - off >= 4 && !get_be32(base + off)) {
            rec.size = 4;
            if (++zeros == 2) cyrusdb_bad(bad, off - 4, 8, "no record"); /* one alone may stand between records */
            if (zeros > 2) cyrusdb_bad(bad, off, 4, "no record");
            continue;
        }
        zeros = 0;
        if (!parse_record(base, len, off, &rec)) {
            rec.size = len - off < 4 ? len - off : 4;
            cyrusdb_bad(bad, off, rec.size, "no record");
            continue;
        }
        if (rec.type == ADD || rec.type == INORDER) add_record(map, &rec, off);
        if (rec.type == DELETE) delete_record(map, base, len, rec.offset);
    }
}

/* ---- writing ---- */

static void put_bytes(struct buf *out, const char *base, size_t len)
{
    buf_appendbit32(out, (uint32_t)len);
    buf_appendmap(out, base, len);
    buf_appendfill(out, 0, roundup2(len, 4) - len);
}

/* One more level for each factor of 4, so no randomness is needed in a packed file. */
static unsigned level_of(uint64_t n)
{
    unsigned level = 1;
    for (n++; level < MAXLEVEL && n % 4 == 0; n /= 4) level++;
    return level;
}

/* Offset of list n's pointer in the record that was written last for it. */
struct links {
    size_t at[MAXLEVEL];
};

static void put_pointers(struct buf *out, struct links *links, unsigned level, uint32_t off)
{
    for (unsigned i = 0; i < level; i++) {
        if (off) put_be32(out->s + links->at[i], off);
        links->at[i] = out->len;
        buf_appendbit32(out, 0);
    }
    buf_appendbit32(out, ENDOFPTRS);
}

static void skiplist_write(const struct kvmap *map, struct buf *out)
{
    struct links links;
    uint64_t n = 0;
    unsigned top = 1;

    buf_appendmap(out, magic, sizeof(magic));
    buf_appendbit32(out, 1);
    buf_appendbit32(out, 2);
    buf_appendbit32(out, MAXLEVEL);
    buf_appendfill(out, 0, 16);
    buf_appendbit32(out, DUMMY);
    buf_appendbit32(out, 0);
    buf_appendbit32(out, 0);
    put_pointers(out, &links, MAXLEVEL, 0);
    for (const struct kvmap_node *node = kvmap_first(map); node; node = node->next[0], n++) {
        uint32_t off = (uint32_t)out->len;
        unsigned level = level_of(n);
        buf_appendbit32(out, INORDER);
        put_bytes(out, node->key, node->keylen);
        put_bytes(out, node->data, node->datalen);
        put_pointers(out, &links, level, off);
        if (level > top) top = level;
    }
    put_be32(out->s + 32, top);
    put_be32(out->s + 36, (uint32_t)n);
    put_be32(out->s + 40, (uint32_t)out->len);
    put_be32(out->s + 44, (uint32_t)time(NULL));
}

static const struct snapshot_format skiplist_format = { .name = "skiplist", .lock_to_read = true, .max_size = INT32_MAX,
                                                        .order = skiplist_order, .parse = skiplist_parse,
                                                        .write = skiplist_write };

static int skiplist_open(const char *fname, unsigned flags, void **dbp)
{
    return snapshot_open(&skiplist_format, fname, flags, dbp);
}

const struct cyrusdb_backend cyrusdb_skiplist = { .name = "skiplist",
                                                  SNAPSHOT_BACKEND(skiplist_open, skiplist_order),
                                                  .salvage = skiplist_salvage };
