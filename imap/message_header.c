/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_header -- fields of a header as raw bytes
 *
 * A header is a row of lines, each ended by LF; a line that begins with a blank or
 * a tab belongs to the one before it. An empty line, with or without a CR, ends it.
 * Everything is a view of the header; nothing fails.
 */
#include <config.h>

#include "message_header.h"

#include <limits.h>
#include <string.h>

#include "buf.h"
#include "util.h"

void header_iter_init(struct header_iter *it, const char *base, size_t len, unsigned maxlines)
{
    it->p = len ? base : "";
    it->end = it->p + len;
    it->lines_left = maxlines && maxlines < UINT_MAX ? maxlines + 1 : UINT_MAX;
}

static const char *line_end(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));

    return lf ? lf + 1 : end;
}

static bool is_blank_line(const char *p, const char *end)
{
    return p == end || *p == '\n' || (*p == '\r' && (p + 1 == end || p[1] == '\n'));
}

/* The end of the line at p and of the folded ones behind it, all of which count as lines. */
static const char *field_end(struct header_iter *it, const char *p)
{
    do {
        p = line_end(p, it->end);
        if (it->lines_left && it->lines_left != UINT_MAX) it->lines_left--;
    } while (p < it->end && (*p == ' ' || *p == '\t'));
    return p;
}

/* Length without the line end. */
static size_t chomp(const char *p, size_t len)
{
    if (len && p[len - 1] == '\n') len--;
    if (len && p[len - 1] == '\r') len--;
    return len;
}

bool header_iter_next(struct header_iter *it, struct header_field *field)
{
    while (it->lines_left && !is_blank_line(it->p, it->end)) {
        const char *start = it->p, *end = field_end(it, start), *colon;
        size_t first = (size_t)(line_end(start, end) - start);

        it->p = end;
        if ((unsigned char)*start <= ' ') continue;
        colon = memchr(start, ':', first);
        if (!colon) continue;
        field->raw = (struct msgtext){ start, (size_t)(end - start) };
        field->name = (struct msgtext){ start, (size_t)(colon - start) };
        field->value = (struct msgtext){ colon + 1, chomp(colon + 1, (size_t)(end - colon - 1)) };
        return true;
    }
    return false;
}

bool message_header_find(const char *base, size_t len, const char *name, struct header_field *field)
{
    size_t namelen = strlen(name);
    struct header_iter it;

    header_iter_init(&it, base, len, 0);
    while (header_iter_next(&it, field)) {
        if (memcaseeq(field->name.s, field->name.len, name, namelen)) return true;
    }
    return false;
}

void message_header_unfold(struct msgtext value, struct buf *dst)
{
    const char *p = value.s, *end = p + value.len;

    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((lf ? lf : end) - p);

        if (lf && n && lf[-1] == '\r') n--;
        buf_appendmap(dst, p, n);
        p = lf ? lf + 1 : end;
    }
}

static bool name_in(const strarray_t *names, struct msgtext name)
{
    for (int i = 0; i < strarray_size(names); i++) {
        const char *n = strarray_nth(names, i);

        if (memcaseeq(n, strlen(n), name.s, name.len)) return true;
    }
    return false;
}

void message_header_filter(const char *base, size_t len, const strarray_t *names, bool not,
                           struct buf *dst)
{
    struct header_field field;
    struct header_iter it;

    header_iter_init(&it, base, len, 0);
    while (header_iter_next(&it, &field)) {
        if (name_in(names, field.name) != not ) buf_appendmap(dst, field.raw.s, field.raw.len);
    }
}
