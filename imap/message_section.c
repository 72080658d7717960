/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_section -- BODY[...], BINARY[...] from the cached SECTION item and the message file
 *
 * The item is a tree in the order in which it is written: a node's parts, then the
 * nodes of these parts. A path is followed by reading parts up to the one that is
 * asked for and skipping the nodes before it; both are loops, whatever the depth.
 */
#include <config.h>

#include "message_section.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "imap_err.h"
#include "message_header.h"
#include "util.h"
#include "xmalloc.h"

/* Versions from which parts have these things. */
#define VERSION_CHARSET 4
#define VERSION_GUID 5
#define VERSION_DECODED_SIZE 8
#define VERSION_LINES 9

#define NO_SIZE UINT32_MAX

struct reader {
    const char *p, *end;
    unsigned version;
};

static bool take_number(struct reader *r, uint32_t *v)
{
    if (r->end - r->p < 4) return false;
    *v = get_be32(r->p);
    r->p += 4;
    return true;
}

static bool take_bytes(struct reader *r, size_t len, const char **bytes)
{
    if ((size_t)(r->end - r->p) < len) return false;
    *bytes = r->p;
    r->p += len;
    return true;
}

static bool take_charset(struct reader *r, uint32_t cte, struct msgtext *charset)
{
    size_t len = cte >> 16;

    *charset = (struct msgtext){ NULL, 0 };
    if (r->version < VERSION_CHARSET || !len) return true;
    if (!take_bytes(r, len, &charset->s)) return false;
    charset->len = strnlen(charset->s, len);
    return true;
}

static bool take_part(struct reader *r, struct section_part *part)
{
    const char *guid;
    uint32_t cte;

    *part = (struct section_part){ 0 };
    if (!take_number(r, &part->header_offset) || !take_number(r, &part->header_size) ||
        !take_number(r, &part->content_offset) || !take_number(r, &part->content_size) ||
        !take_number(r, &cte) || !take_charset(r, cte, &part->charset))
        return false;
    part->encoding = (cte & 0xff) <= MIME_ENCODING_BASE64 ? (enum mime_encoding)(cte & 0xff)
                                                          : MIME_ENCODING_UNKNOWN;
    if (r->version >= VERSION_GUID) {
        if (!take_bytes(r, MESSAGE_GUID_SIZE, &guid)) return false;
        message_guid_import(&part->guid, guid);
    }
    if (r->version >= VERSION_DECODED_SIZE && !take_number(r, &part->decoded_size)) return false;
    return r->version < VERSION_LINES || take_number(r, &part->content_lines);
}

static bool take_parts(struct reader *r, uint32_t n)
{
    struct section_part part;

    while (n--) {
        if (!take_part(r, &part)) return false;
    }
    return true;
}

/* Skips n nodes with all that is below them. */
static bool skip_nodes(struct reader *r, uint64_t n)
{
    uint32_t parts;

    while (n--) {
        if (!take_number(r, &parts) || !take_parts(r, parts)) return false;
        if (parts) n += parts - 1;
    }
    return true;
}

static struct reader open_item(const struct cacherecord *rec, unsigned cache_version)
{
    const char *base = cacheitem_base(rec, CACHE_SECTION);

    return (struct reader){ base, base + cacheitem_size(rec, CACHE_SECTION), cache_version };
}

/* ---- the text of a section ---- */

static bool take_word(const char **p, const char *end, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(end - *p) < len || cyr_strncasecmp(*p, word, len)) return false;
    *p += len;
    return true;
}

/* Numbers with dots between them; *dot: one more stands behind them, in front of a word. */
static bool take_path(const char **p, const char *end, struct section_spec *spec, bool *dot)
{
    const char *start = *p;
    uint32_t n;

    spec->path = (struct msgtext){ start, 0 };
    spec->has_zero = *dot = false;
    while (*p < end && cyr_isdigit(**p)) {
        if (**p == '0' && end - *p > 1 && cyr_isdigit((*p)[1])) return false;
        if (scan_u32(p, end, &n)) return false;
        spec->has_zero = spec->has_zero || !n;
        spec->path.len = (size_t)(*p - start);
        *dot = *p < end && **p == '.';
        if (!*dot) return true;
        (*p)++;
    }
    return true;
}

bool section_spec_parse(const char *s, size_t len, struct section_spec *spec, size_t *used)
{
    /* Longer words first. */
    static const struct {
        const char *word;
        enum section_what what;
    } words[] = {
        { "HEADER.FIELDS.NOT", SECTION_FIELDS_NOT },
        { "HEADER.FIELDS", SECTION_FIELDS },
        { "HEADER", SECTION_HEADER },
        { "TEXT", SECTION_TEXT },
        { "MIME", SECTION_MIME },
    };
    const char *p = s, *end = s + len;
    bool dot, found = false;

    if (!take_path(&p, end, spec, &dot)) return false;
    spec->what = SECTION_BODY;
    for (size_t i = 0; i < array_size(words) && !found && (dot || !spec->path.len); i++) {
        found = take_word(&p, end, words[i].word);
        if (found) spec->what = words[i].what;
    }
    *used = (size_t)(p - s);
    if ((dot && !found) || (found && spec->has_zero)) return false;
    if (spec->what == SECTION_MIME && !spec->path.len) return false;
    if (spec->what == SECTION_FIELDS || spec->what == SECTION_FIELDS_NOT) return true;
    return p == end || *p == ']';
}

/* ---- where it is ---- */

/*
 * Steps from the node at r into part number n. *part is that part; r then is at its node.
 */
static int step(struct reader *r, uint32_t n, struct section_part *part)
{
    uint32_t parts;

    if (!take_number(r, &parts)) return IMAP_MAILBOX_BADFORMAT;
    if (!n || n >= parts) return IMAP_NOTFOUND;
    if (!take_parts(r, n) || !take_part(r, part) || !take_parts(r, parts - n - 1))
        return IMAP_MAILBOX_BADFORMAT;
    return skip_nodes(r, n - 1) ? 0 : IMAP_MAILBOX_BADFORMAT;
}

static int follow(struct reader *r, struct msgtext path, struct section_part *part)
{
    const char *p = path.s, *end = path.s + path.len;

    while (p < end) {
        uint32_t n;
        int error;

        if (scan_u32(&p, end, &n)) return IMAP_NOTFOUND;
        error = step(r, n, part);
        if (error) return error;
        if (p < end) p++;
    }
    return 0;
}

/* The message whose node is at r. *part stays where the part there is no message. */
static int enter_message(struct reader *r, struct section_part *part)
{
    struct section_part inner;
    uint32_t parts;

    if (!take_number(r, &parts)) return IMAP_MAILBOX_BADFORMAT;
    if (!parts) return IMAP_NOTFOUND;
    if (!take_part(r, &inner)) return IMAP_MAILBOX_BADFORMAT;
    if (inner.header_size == NO_SIZE) return IMAP_NOTFOUND;
    *part = inner;
    return 0;
}

int section_find(const struct cacherecord *rec, unsigned cache_version, size_t msg_size,
                 const struct section_spec *spec, struct section_range *range)
{
    struct reader r = open_item(rec, cache_version);
    struct section_part *part = &range->part;
    bool whole = spec->what == SECTION_BODY && !spec->path.len;
    bool content = spec->what == SECTION_BODY || spec->what == SECTION_TEXT;
    bool fields = spec->what == SECTION_FIELDS || spec->what == SECTION_FIELDS_NOT;
    bool numbered = spec->what == SECTION_MIME || spec->what == SECTION_BODY;
    int error = follow(&r, spec->path, part);

    if (!error && (!numbered || whole)) {
        error = enter_message(&r, part);
        /* Of a part that is no message the fields of its own header are meant. */
        if (error == IMAP_NOTFOUND && fields && spec->path.len) error = 0;
    }
    if (error) return error;

    range->offset = content ? part->content_offset : part->header_offset;
    range->size = content ? part->content_size : part->header_size;
    if (whole) {
        if (msg_size > UINT32_MAX) return IMAP_MAILBOX_BADFORMAT;
        range->offset = 0;
        range->size = (uint32_t)msg_size;
        part->encoding = MIME_ENCODING_NONE;
    }
    if (range->size == NO_SIZE || (fields && !range->size)) return IMAP_NOTFOUND;
    return (uint64_t)range->offset + range->size <= msg_size ? 0 : IMAP_MAILBOX_BADFORMAT;
}

/* ---- all parts ---- */

/* A node whose parts are being handed out. */
struct level {
    const char *parts; /* the next part to read */
    uint32_t number, count;
    size_t path_len;
};

struct walk {
    struct reader nodes; /* at the next node */
    struct level *level;
    size_t depth, alloc;
    struct buf path;
};

/* Reads the head of the next node and makes it the innermost level. */
static bool push_node(struct walk *w)
{
    struct section_part part;
    struct level *l;
    uint32_t count;

    if (!take_number(&w->nodes, &count)) return false;
    if (!count) return true;
    if (!take_part(&w->nodes, &part)) return false;
    if (w->depth == w->alloc) {
        w->alloc = grow_alloc(w->alloc, w->depth + 1);
        w->level = xreallocarray(w->level, w->alloc, sizeof(*w->level));
    }
    l = &w->level[w->depth++];
    *l = (struct level){ w->nodes.p, 1, count, w->path.len };
    return take_parts(&w->nodes, count - 1);
}

int section_foreach(const struct cacherecord *rec, unsigned cache_version, section_foreach_cb *fn,
                    void *rock)
{
    struct walk w = { .nodes = open_item(rec, cache_version) };
    int r = push_node(&w) ? 0 : IMAP_MAILBOX_BADFORMAT;

    while (!r && w.depth) {
        struct level *l = &w.level[w.depth - 1];
        struct reader parts = { l->parts, w.nodes.end, cache_version };
        struct section_part part;

        if (l->number == l->count) {
            w.depth--;
            continue;
        }
        buf_truncate(&w.path, l->path_len);
        buf_printf(&w.path, "%s%u", l->path_len ? "." : "", l->number++);
        if (!take_part(&parts, &part)) {
            r = IMAP_MAILBOX_BADFORMAT;
            break;
        }
        l->parts = parts.p;
        if (part.content_size != NO_SIZE) r = fn(buf_cstring(&w.path), &part, rock);
        if (!r && !push_node(&w)) r = IMAP_MAILBOX_BADFORMAT;
    }
    free(w.level);
    buf_free(&w.path);
    return r;
}

/* ---- its bytes ---- */

struct msgtext section_view(const struct section_range *range, const char *msg, size_t msg_size,
                            uint64_t start, uint64_t count)
{
    uint64_t offset = cyr_min((uint64_t)range->offset, (uint64_t)msg_size);
    uint64_t size = cyr_min((uint64_t)range->size, msg_size - offset);

    start = cyr_min(start, size);
    return (struct msgtext){ msg + offset + start, (size_t)cyr_min(count, size - start) };
}

void section_fields(const struct section_range *range, const char *msg, size_t msg_size,
                    const strarray_t *names, bool not, struct buf *dst)
{
    struct msgtext header = section_view(range, msg, msg_size, 0, UINT64_MAX);

    message_header_filter(header.s, header.len, names, not, dst);
    buf_appendcstr(dst, "\r\n");
}

void section_fields_cached(const struct cacherecord *rec, const strarray_t *names, struct buf *dst)
{
    struct msgtext header = cacheitem_text(rec, CACHE_HEADERS);

    message_header_filter(header.s, header.len, names, false, dst);
    buf_appendcstr(dst, "\r\n");
}

int section_binary(const struct section_range *range, const char *msg, size_t msg_size,
                   struct buf *dst)
{
    struct msgtext bytes = section_view(range, msg, msg_size, 0, UINT64_MAX);

    if (!charset_decode_mimebody(bytes.s, bytes.len, range->part.encoding, dst))
        return IMAP_NO_UNKNOWN_CTE;
    return 0;
}
