/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_spool -- the records of another end, put away as they come and read one at a time
 *
 * A record is its length (4 bytes, without these), the fixed part, the user flags and the annotations.
 * Numbers are big-endian; a text is its length and its bytes. Nobody else reads these bytes, but the disk may
 * have changed them: whatever they are, no byte outside the record is looked at.
 */
#include <config.h>

#include "sync_spool.h"

#include <errno.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "util.h"
#include "xsyslog.h"

#define WINDOW ((size_t)16 * 1024) /* bytes read at a time */
#define LENGTH 4u                  /* bytes of a length */

int sync_spill_error(int r, const char *what)
{
    xsyslog_errno(LOG_ERR, r, "IOERROR: temporary file of the records failed",
                  "what=<%s> directory=<%s>", what, config_getstring(IMAPOPT_TEMP_PATH));
    return r == -ENOSPC || r == -EDQUOT ? IMAP_NOSPACE : IMAP_IOERROR;
}

void sync_spool_init(struct sync_spool *spool)
{
    *spool = (struct sync_spool){ .last = BUF_INITIALIZER };
    spill_init(&spool->bytes, config_getstring(IMAPOPT_TEMP_PATH), SPILL_MEMORY);
}

void sync_spool_fini(struct sync_spool *spool)
{
    spill_fini(&spool->bytes);
    buf_free(&spool->last);
}

/* ---- record to bytes ---- */

static void put_text(struct buf *out, const char *base, size_t len)
{
    buf_appendbit32(out, (uint32_t)len);
    buf_appendmap(out, base, len);
}

static void put_fixed(struct buf *out, const struct index_record *rec)
{
    buf_appendbit32(out, rec->uid);
    buf_appendbit32(out, rec->size);
    buf_appendbit32(out, rec->system_flags);
    buf_appendbit32(out, rec->internal_flags);
    buf_appendbit64(out, (uint64_t)rec->internaldate);
    buf_appendbit64(out, (uint64_t)rec->last_updated);
    buf_appendbit64(out, (uint64_t)rec->savedate);
    buf_appendbit64(out, rec->modseq);
    buf_appendbit64(out, rec->createdmodseq);
    buf_appendbit64(out, rec->cid);
    buf_appendmap(out, (const char *)rec->guid.value, MESSAGE_GUID_SIZE);
}

/* False: longer than a length can say. */
static bool put_record(struct buf *out, const struct sync_record *rec)
{
    buf_reset(out);
    buf_appendbit32(out, 0);
    put_fixed(out, &rec->rec);
    buf_appendbit32(out, (uint32_t)strarray_size(&rec->userflags));
    for (int i = 0; i < strarray_size(&rec->userflags); i++) {
        const char *name = strarray_nth(&rec->userflags, i);
        put_text(out, name, strlen(name));
    }
    buf_appendbit32(out, (uint32_t)rec->annots.n);
    for (size_t i = 0; i < rec->annots.n; i++) {
        const struct sync_annot *a = &rec->annots.v[i];
        put_text(out, a->entry, strlen(a->entry));
        put_text(out, a->userid, strlen(a->userid));
        put_text(out, buf_base(&a->value), buf_len(&a->value));
        buf_appendbit64(out, a->modseq);
    }
    put_be32(out->s, (uint32_t)(buf_len(out) - LENGTH));
    return buf_len(out) <= INT32_MAX;
}

int sync_spool_end(struct sync_spool *spool)
{
    int r = buf_len(&spool->last)
                ? spill_add(&spool->bytes, buf_base(&spool->last), buf_len(&spool->last))
                : 0;

    buf_reset(&spool->last);
    return r ? sync_spill_error(r, "write") : 0;
}

int sync_spool_add(struct sync_spool *spool, const struct sync_record *rec)
{
    int r = rec->rec.uid != spool->last_uid ? sync_spool_end(spool) : 0;

    if (r) return r;
    spool->last_uid = rec->rec.uid;
    return put_record(&spool->last, rec) ? 0 : IMAP_PROTOCOL_ERROR;
}

/* ---- bytes to record ---- */

struct cursor {
    const char *p, *end;
    bool bad;
};

static const char *take(struct cursor *c, size_t len)
{
    static const char zeros[8];

    if (c->bad || len > (size_t)(c->end - c->p)) {
        c->bad = true;
        return zeros; /* for a number */
    }
    c->p += len;
    return c->p - len;
}

static uint32_t take32(struct cursor *c)
{
    return get_be32(take(c, 4));
}

static uint64_t take64(struct cursor *c)
{
    return get_be64(take(c, 8));
}

/* A text that holds no NUL; "" when there is none. */
static const char *take_text(struct cursor *c, struct buf *text)
{
    uint32_t len = take32(c);
    const char *base = take(c, len);

    buf_reset(text);
    if (!c->bad && !memchr(base, '\0', len))
        buf_appendmap(text, base, len);
    else
        c->bad = true;
    return buf_cstring(text);
}

static void take_fixed(struct cursor *c, struct index_record *rec)
{
    rec->uid = take32(c);
    rec->size = take32(c);
    rec->system_flags = take32(c);
    rec->internal_flags = take32(c);
    rec->internaldate = (time_t)take64(c);
    rec->last_updated = (time_t)take64(c);
    rec->savedate = (time_t)take64(c);
    rec->modseq = take64(c);
    rec->createdmodseq = take64(c);
    rec->cid = take64(c);
    const char *guid = take(c, MESSAGE_GUID_SIZE);
    if (!c->bad) memcpy(rec->guid.value, guid, MESSAGE_GUID_SIZE);
}

static void take_annot(struct cursor *c, struct sync_annots *annots)
{
    struct buf entry = BUF_INITIALIZER, userid = BUF_INITIALIZER;

    take_text(c, &entry);
    take_text(c, &userid);
    uint32_t len = take32(c);
    const char *value = take(c, len);
    modseq_t modseq = take64(c);
    if (!c->bad)
        sync_annots_add(annots, buf_cstring(&entry), buf_cstring(&userid), value, len, modseq);
    buf_free(&entry);
    buf_free(&userid);
}

/* False: these bytes are no record. */
static bool take_record(struct cursor *c, struct sync_record *rec)
{
    struct buf name = BUF_INITIALIZER;

    take_fixed(c, &rec->rec);
    for (uint32_t n = take32(c); n && !c->bad; n--) {
        take_text(c, &name);
        if (!c->bad) strarray_append(&rec->userflags, buf_cstring(&name));
    }
    for (uint32_t n = take32(c); n && !c->bad; n--) take_annot(c, &rec->annots);
    buf_free(&name);
    return !c->bad && c->p == c->end;
}

/* ---- readers ---- */

void sync_spool_open(struct sync_spool_reader *reader, const struct sync_spool *spool)
{
    *reader = (struct sync_spool_reader){ .spool = spool, .window = BUF_INITIALIZER };
    sync_record_init(&reader->rec);
}

void sync_spool_close(struct sync_spool_reader *reader)
{
    sync_record_fini(&reader->rec);
    buf_free(&reader->window);
}

/* len bytes at `at`, valid until the next call. */
static int look(struct sync_spool_reader *reader, uint64_t at, size_t len, const char **basep)
{
    struct buf *window = &reader->window;

    if (at < reader->window_at || at + len > reader->window_at + buf_len(window)) {
        size_t want = len > WINDOW ? len : WINDOW;
        buf_reset(window);
        buf_ensure(window, want);
        ssize_t got = spill_read(&reader->spool->bytes, window->s, want, at);
        if (got < 0) return sync_spill_error((int)got, "read");
        window->len = (size_t)got;
        reader->window_at = at;
        if ((size_t)got < len) return sync_spill_error(-ENODATA, "read");
    }
    *basep = window->s + (at - reader->window_at);
    return 0;
}

int sync_spool_read(struct sync_spool_reader *reader, uint64_t at)
{
    const char *base;
    int r = look(reader, at, LENGTH, &base);

    if (r) return r;
    uint32_t len = get_be32(base);
    if (len > spill_size(&reader->spool->bytes)) return sync_spill_error(-ENODATA, "read");
    r = look(reader, at + LENGTH, len, &base);
    if (r) return r;
    struct cursor c = { base, base + len, false };
    sync_record_fini(&reader->rec);
    sync_record_init(&reader->rec);
    if (!take_record(&c, &reader->rec)) return sync_spill_error(-EBADMSG, "read");
    reader->at = at;
    reader->next = at + LENGTH + len;
    return 0;
}

static int next_record(void *rock, const struct index_record **recp)
{
    struct sync_spool_reader *reader = rock;

    *recp = NULL;
    if (reader->next == spill_size(&reader->spool->bytes)) return 0;
    int r = sync_spool_read(reader, reader->next);
    if (r) return r;
    reader->pos = reader->n++;
    *recp = &reader->rec.rec;
    return 0;
}

struct sync_stream sync_stream_spool(struct sync_spool_reader *reader)
{
    reader->next = 0;
    reader->n = 0;
    return (struct sync_stream){ next_record, reader };
}
