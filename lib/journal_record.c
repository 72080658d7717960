/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_record -- one record of the journal: building it and reading it
 *
 * Layout, integers big-endian (doc/journal.md):
 *   head     72 bytes, see journal_record_seal()
 *   strings  { u32 length, bytes, NUL } ...
 *   locks    { u32 string, u32 flags } ...
 *   ops      { u8 kind, u8 flags, u16 mode, u32 path, u32 path2 or key length or lock,
 *              u32 data length, u64 off, u64 number, key, data } ...
 *   events   { u32 flags, u32 length, bytes, NUL } ...
 *   NULs up to a multiple of 8
 * Strings are numbered from 1; 0 is none. A view is checked as a whole before
 * any part of it is handed out, so the iterators can't fail.
 */
#include <config.h>

#include "journal_record.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "crc32.h"
#include "hash.h"
#include "util.h"
#include "xmalloc.h"

#define OP_HEAD 32u
#define LOCK_LEN 8u
#define LOCK_EARLY 1u

static const char *const op_names[JOURNAL_OP_LAST] = {
    [JOURNAL_OP_PWRITE] = "pwrite",   [JOURNAL_OP_TRUNCATE] = "truncate",
    [JOURNAL_OP_REPLACE] = "replace", [JOURNAL_OP_CREATE] = "create",
    [JOURNAL_OP_LINK] = "link",       [JOURNAL_OP_RENAME] = "rename",
    [JOURNAL_OP_UNLINK] = "unlink",   [JOURNAL_OP_UNLINK_LAZY] = "unlink_lazy",
    [JOURNAL_OP_MKDIR] = "mkdir",     [JOURNAL_OP_RMDIR] = "rmdir",
    [JOURNAL_OP_UTIME] = "utime",     [JOURNAL_OP_DB] = "db",
    [JOURNAL_OP_KVSET] = "kvset",     [JOURNAL_OP_KVDEL] = "kvdel",
    [JOURNAL_OP_SYMLINK] = "symlink",
};

const char *journal_op_name(enum journal_op_kind kind)
{
    return kind > 0 && kind < JOURNAL_OP_LAST ? op_names[kind] : "?";
}

const char *journal_op_target(const struct journal_op *op)
{
    return op->kind == JOURNAL_OP_LINK || op->kind == JOURNAL_OP_RENAME ? op->path2 : op->path;
}

static bool is_kv(enum journal_op_kind kind)
{
    return kind == JOURNAL_OP_KVSET || kind == JOURNAL_OP_KVDEL;
}

static bool has_path2(enum journal_op_kind kind)
{
    return kind == JOURNAL_OP_LINK || kind == JOURNAL_OP_RENAME || kind == JOURNAL_OP_DB;
}

/* ---- building ---- */

void journal_record_init(struct journal_record *rec)
{
    memset(rec, 0, sizeof(*rec));
    rec->index = xmalloc(sizeof(*rec->index));
    construct_hash_table(rec->index, 16);
}

void journal_record_fini(struct journal_record *rec)
{
    buf_free(&rec->strings);
    buf_free(&rec->locks);
    buf_free(&rec->ops);
    buf_free(&rec->events);
    buf_free(&rec->bytes);
    if (rec->index) free_hash_table(rec->index, NULL);
    free(rec->index);
    memset(rec, 0, sizeof(*rec));
}

static uint32_t put_string(struct journal_record *rec, const char *s)
{
    if (!s) return 0;
    uintptr_t known = (uintptr_t)hash_lookup(s, rec->index);
    if (known) return (uint32_t)known;

    size_t len = strlen(s);
    buf_appendbit32(&rec->strings, (uint32_t)len);
    buf_appendmap(&rec->strings, s, len + 1);
    rec->nstrings++;
    hash_insert(s, (void *)(uintptr_t)rec->nstrings, rec->index);
    return rec->nstrings;
}

uint32_t journal_record_lock(struct journal_record *rec, const char *name, bool early)
{
    buf_appendbit32(&rec->locks, put_string(rec, name));
    buf_appendbit32(&rec->locks, early ? LOCK_EARLY : 0);
    return rec->nlocks++;
}

void journal_record_op(struct journal_record *rec, const struct journal_op *op)
{
    unsigned char head[OP_HEAD];
    uint64_t off = op->off;
    uint32_t second = is_kv(op->kind) ? (uint32_t)op->keylen : put_string(rec, op->path2);

    head[0] = (unsigned char)op->kind;
    head[1] = (unsigned char)op->flags;
    put_be16(head + 2, (uint16_t)(op->kind == JOURNAL_OP_DB ? op->lock : op->mode));
    put_be32(head + 4, put_string(rec, op->path));
    put_be32(head + 8, second);
    put_be32(head + 12, (uint32_t)op->datalen);
    put_be64(head + 16, off);
    put_be64(head + 24, op->number);
    buf_appendmap(&rec->ops, head, sizeof(head));
    if (is_kv(op->kind)) buf_appendmap(&rec->ops, op->key, op->keylen);
    if (op->datalen) buf_appendmap(&rec->ops, op->data, op->datalen);
    rec->nops++;
}

void journal_record_event(struct journal_record *rec, const char *line, unsigned flags)
{
    size_t len = strlen(line);
    buf_appendbit32(&rec->events, flags);
    buf_appendbit32(&rec->events, (uint32_t)len);
    buf_appendmap(&rec->events, line, len + 1);
    rec->nevents++;
}

bool journal_record_isempty(const struct journal_record *rec)
{
    return !rec->nops && !rec->nevents;
}

/*
 *  0 u32 magic          32 u32 type       56 u64 synced LSN
 *  4 u32 length         36 u32 strings    64 u32 CRC of the bytes behind the head
 *  8 u64 LSN            40 u32 locks      68 u32 CRC of bytes 0-67
 * 16 u64 generation     44 u32 ops
 * 24 u64 time           48 u32 events
 *                       52 u32 pid
 */
int journal_record_seal(struct journal_record *rec, enum journal_record_type type, uint64_t time)
{
    size_t len = JOURNAL_RECORD_HEAD + rec->strings.len + rec->locks.len + rec->ops.len +
                 rec->events.len;
    size_t whole = roundup2(len, (size_t)8);
    if (whole > JOURNAL_RECORD_MAX) return -EMSGSIZE;

    struct buf *b = &rec->bytes;
    buf_reset(b);
    buf_appendfill(b, 0, JOURNAL_RECORD_HEAD);
    buf_append(b, &rec->strings);
    buf_append(b, &rec->locks);
    buf_append(b, &rec->ops);
    buf_append(b, &rec->events);
    buf_appendfill(b, 0, whole - len);

    char *h = b->s;
    put_be32(h, JOURNAL_RECORD_MAGIC);
    put_be32(h + 4, (uint32_t)whole);
    put_be64(h + 24, time);
    put_be32(h + 32, type);
    put_be32(h + 36, rec->nstrings);
    put_be32(h + 40, rec->nlocks);
    put_be32(h + 44, rec->nops);
    put_be32(h + 48, rec->nevents);
    put_be32(h + 52, (uint32_t)getpid());
    put_be32(h + 64, crc32_map(h + JOURNAL_RECORD_HEAD, whole - JOURNAL_RECORD_HEAD));
    return 0;
}

void journal_record_stamp(struct journal_record *rec, uint64_t lsn, uint64_t generation, uint64_t synced)
{
    char *h = rec->bytes.s;
    put_be64(h + 8, lsn);
    put_be64(h + 16, generation);
    put_be64(h + 56, synced);
    put_be32(h + 68, crc32_map(h, 68));
}

/* ---- reading ---- */

int journal_head_parse(const char *base, uint64_t lsn, struct journal_head *head)
{
    if (get_be32(base) != JOURNAL_RECORD_MAGIC) return -EBADMSG;
    if (get_be64(base + 8) != lsn) return -EBADMSG;
    if (get_be32(base + 68) != crc32_map(base, 68)) return -EBADMSG;

    head->length = get_be32(base + 4);
    head->lsn = lsn;
    head->generation = get_be64(base + 16);
    head->time = get_be64(base + 24);
    head->type = get_be32(base + 32);
    head->nstrings = get_be32(base + 36);
    head->nlocks = get_be32(base + 40);
    head->nops = get_be32(base + 44);
    head->nevents = get_be32(base + 48);
    head->pid = get_be32(base + 52);
    head->synced = get_be64(base + 56);
    head->bodycrc = get_be32(base + 64);
    if (head->length < JOURNAL_RECORD_HEAD || head->length > JOURNAL_RECORD_MAX || head->length % 8)
        return -EBADMSG;
    return 0;
}

/* Strings: fills the table; the byte behind them, or NULL. */
static const char *check_strings(struct journal_view *view, const char *p)
{
    uint32_t n = view->head.nstrings;
    if (n > (size_t)(view->end - p) / 5) return NULL;
    view->strings = xcalloc((size_t)n + 1, sizeof(*view->strings));
    for (uint32_t i = 1; i <= n; i++) {
        if (view->end - p < 5) return NULL;
        uint32_t len = get_be32(p);
        if (len >= (size_t)(view->end - p) - 4 || p[4 + (size_t)len]) return NULL;
        view->strings[i] = p + 4;
        p += 5 + (size_t)len;
    }
    return p;
}

static const char *check_locks(const struct journal_view *view, const char *p)
{
    if (view->head.nlocks > (size_t)(view->end - p) / LOCK_LEN) return NULL;
    for (uint32_t i = 0; i < view->head.nlocks; i++, p += LOCK_LEN) {
        uint32_t s = get_be32(p);
        if (!s || s > view->head.nstrings) return NULL;
    }
    return p;
}

static size_t op_length(const char *p)
{
    return OP_HEAD + (is_kv((unsigned char)p[0]) ? (size_t)get_be32(p + 8) : 0) + get_be32(p + 12);
}

/* One operation at p: is all of it there and does it make sense? */
static bool op_isgood(const struct journal_view *view, const char *p, bool have_db)
{
    if (view->end - p < (ptrdiff_t)OP_HEAD) return false;
    enum journal_op_kind kind = (unsigned char)p[0];
    uint32_t path = get_be32(p + 4), second = get_be32(p + 8);

    if (kind <= 0 || kind >= JOURNAL_OP_LAST) return false;
    if (op_length(p) > (size_t)(view->end - p)) return false;
    if (is_kv(kind)) return have_db && second > 0;
    if (!path || path > view->head.nstrings) return false;
    if (has_path2(kind) && (!second || second > view->head.nstrings)) return false;
    return kind != JOURNAL_OP_DB || get_be16(p + 2) < view->head.nlocks;
}

static const char *check_ops(const struct journal_view *view, const char *p)
{
    bool have_db = false;
    for (uint32_t i = 0; i < view->head.nops; i++) {
        if (!op_isgood(view, p, have_db)) return NULL;
        if ((unsigned char)p[0] == JOURNAL_OP_DB) have_db = true;
        p += op_length(p);
    }
    return p;
}

static const char *check_events(const struct journal_view *view, const char *p)
{
    for (uint32_t i = 0; i < view->head.nevents; i++) {
        if (view->end - p < 9) return NULL;
        uint32_t len = get_be32(p + 4);
        if (len >= (size_t)(view->end - p) - 8 || p[8 + (size_t)len]) return NULL;
        p += 9 + (size_t)len;
    }
    return p;
}

int journal_view_init(struct journal_view *view, const char *base, size_t len, uint64_t lsn)
{
    memset(view, 0, sizeof(*view));
    if (len < JOURNAL_RECORD_HEAD || journal_head_parse(base, lsn, &view->head)) return -EBADMSG;
    if (view->head.length > len) return -EBADMSG;
    len = view->head.length;
    if (crc32_map(base + JOURNAL_RECORD_HEAD, len - JOURNAL_RECORD_HEAD) != view->head.bodycrc)
        return -EBADMSG;

    view->end = base + len;
    view->locks = check_strings(view, base + JOURNAL_RECORD_HEAD);
    view->ops = view->locks ? check_locks(view, view->locks) : NULL;
    view->events = view->ops ? check_ops(view, view->ops) : NULL;
    if (!view->events || !check_events(view, view->events)) {
        journal_view_fini(view);
        return -EBADMSG;
    }
    return 0;
}

void journal_view_fini(struct journal_view *view)
{
    free(view->strings);
    memset(view, 0, sizeof(*view));
}

const char *journal_view_lock(const struct journal_view *view, uint32_t n, bool *early)
{
    const char *p = view->locks + (size_t)n * LOCK_LEN;
    if (early) *early = get_be32(p + 4) & LOCK_EARLY;
    return view->strings[get_be32(p)];
}

void journal_op_iter_init(struct journal_op_iter *iter, const struct journal_view *view)
{
    iter->view = view;
    iter->p = view->ops;
    iter->left = view->head.nops;
}

int journal_op_iter_next(struct journal_op_iter *iter, struct journal_op *op)
{
    if (!iter->left) return 0;
    const char *p = iter->p;

    memset(op, 0, sizeof(*op));
    op->kind = (unsigned char)p[0];
    op->flags = (unsigned char)p[1];
    op->datalen = get_be32(p + 12);
    op->off = get_be64(p + 16);
    op->number = get_be64(p + 24);
    if (op->kind == JOURNAL_OP_DB)
        op->lock = get_be16(p + 2);
    else
        op->mode = get_be16(p + 2);
    op->data = p + OP_HEAD;
    if (is_kv(op->kind)) {
        op->key = op->data;
        op->keylen = get_be32(p + 8);
        op->data += op->keylen;
    }
    else {
        op->path = iter->view->strings[get_be32(p + 4)];
        if (has_path2(op->kind)) op->path2 = iter->view->strings[get_be32(p + 8)];
    }
    iter->p += op_length(p);
    iter->left--;
    return 1;
}

void journal_event_iter_init(struct journal_event_iter *iter, const struct journal_view *view)
{
    iter->view = view;
    iter->p = view->events;
    iter->left = view->head.nevents;
}

int journal_event_iter_next(struct journal_event_iter *iter, const char **line, unsigned *flags)
{
    if (!iter->left) return 0;
    *flags = get_be32(iter->p);
    *line = iter->p + 8;
    iter->p += 9 + (size_t)get_be32(iter->p + 4);
    iter->left--;
    return 1;
}
