/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message -- one pass over a message, line by line, that builds the tree of its parts
 *
 * The walk keeps a stack of the boundaries it is inside of. Every line that begins
 * with "--" is held against all of them, outermost first. A closing line ends its
 * multipart and all inside it; any other goes to the innermost multipart that is
 * still open, whoever's boundary it is (so does 3.6.1). The line end in front of a
 * boundary line belongs to that line.
 *
 * Time is linear in the size of the message: boundaries are found by a table of
 * their hashes, and line counts are differences of one running count.
 */
#include <config.h>

#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "message_boundary.h"
#include "message_header.h"
#include "message_int.h"
#include "util.h"
#include "xmalloc.h"

struct walk {
    struct message_content *m;
    size_t pos;   /* start of the next line */
    size_t lines; /* lines in front of it */
    struct boundary_stack *stack;
    unsigned nested; /* levels of message/rfc822 */
    unsigned parts;
    bool at_boundary;          /* what was read last ended at a boundary line, not at the end */
    size_t end_pos, end_lines; /* of what was read last, without the boundary's line end */
};

static size_t line_end(const struct walk *w, size_t pos)
{
    const char *lf = memchr(w->m->base + pos, '\n', w->m->len - pos);

    return lf ? (size_t)(lf - w->m->base) + 1 : w->m->len;
}

/* Is the line a boundary? Then it is taken, and multiparts that it closes are off the stack. */
static bool take_boundary(struct walk *w, size_t next)
{
    if (w->parts >= MESSAGE_MAX_PARTS) return false;
    if (!boundary_match(w->stack, w->m->base + w->pos, next - w->pos)) return false;
    w->pos = next;
    w->lines++;
    return true;
}

/* Everything from `start` to the next boundary line or the end. */
static void read_lines(struct walk *w, size_t start)
{
    const char *base = w->m->base;

    while (w->pos < w->m->len) {
        size_t line = w->pos, next = line_end(w, line), lines = w->lines;

        if (!take_boundary(w, next)) {
            w->pos = next;
            if (base[next - 1] == '\n') w->lines++;
            continue;
        }
        w->at_boundary = true;
        w->end_pos = line;
        w->end_lines = lines;
        if (line > start) {
            w->end_lines--;
            w->end_pos--;
            if (w->end_pos > start && base[w->end_pos - 1] == '\r') w->end_pos--;
        }
        return;
    }
    w->at_boundary = false;
    w->end_pos = w->m->len;
    w->end_lines = w->lines;
}

static bool is_blank_line(const char *line, size_t len)
{
    return len && (line[0] == '\n' || (len > 1 && line[0] == '\r' && line[1] == '\n'));
}

/* The header at w->pos, to the blank line behind it, a boundary line or the end. */
static void read_header(struct walk *w, struct body *body, bool digest, bool is_message)
{
    const char *base = w->m->base;
    size_t start = w->pos, end;

    body->header_offset = start;
    for (;;) {
        size_t line = w->pos, next, lines = w->lines;

        if (line == w->m->len) {
            end = w->end_pos = line;
            w->end_lines = lines;
            w->at_boundary = false;
            break;
        }
        next = line_end(w, line);
        if (take_boundary(w, next)) {
            w->at_boundary = body->no_content = true;
            end = line;
            w->end_lines = lines;
            if (end > start) {
                w->end_lines--;
                end--;
                if (end > start && base[end - 1] == '\r') end--;
            }
            w->end_pos = end;
            break;
        }
        w->pos = next;
        if (base[next - 1] == '\n') w->lines++;
        if (is_blank_line(base + line, next - line)) {
            end = next;
            break;
        }
    }
    body->header_size = end - start;
    body->content_offset = w->pos;
    message_read_header(w->m, base + start, end - start, digest, is_message, body);
}

static void read_entity(struct walk *w, struct body *body, bool digest, bool is_message);

static struct body *add_part(struct walk *w, struct body *body, struct body ***tail)
{
    struct body *part = message_arena_alloc(w->m->arena, sizeof(*part));

    **tail = part;
    *tail = &part->next;
    body->nparts++;
    w->parts++;
    return part;
}

static void read_multipart(struct walk *w, struct body *body)
{
    struct msgtext boundary = mime_boundary(w->m, body->params);
    bool digest = body_type_is(body, "MULTIPART", "DIGEST");
    struct body **tail = &body->first;
    unsigned depth = boundary_depth(w->stack);

    if (!boundary.s || depth + 1 >= w->m->config.boundary_limit) {
        body->no_parts = true;
        read_lines(w, w->pos);
        return;
    }
    boundary_push(w->stack, boundary.s, boundary.len);
    read_lines(w, w->pos);
    if (boundary_depth(w->stack) > depth) {
        do {
            read_entity(w, add_part(w, body, &tail), digest, false);
        } while (w->at_boundary && boundary_depth(w->stack) > depth);
    }
    if (!w->at_boundary)
        boundary_cut(w->stack, depth);
    else if (boundary_depth(w->stack) == depth)
        read_lines(w, w->pos);
}

/* The message inside a message/rfc822; an empty one where nothing can be inside. */
static void read_rfc822(struct walk *w, struct body *body)
{
    body->first = message_arena_alloc(w->m->arena, sizeof(*body->first));
    body->nparts = 1;
    if (body->no_content || w->nested >= MESSAGE_MAX_NESTED) {
        body->first->no_content = true;
        message_default_type(w->m, body->first, false);
        body->first->charset = (struct msgtext){ "us-ascii", 8 };
        if (!body->no_content) read_lines(w, w->pos);
        return;
    }
    w->nested++;
    read_entity(w, body->first, false, true);
    w->nested--;
}

static void read_entity(struct walk *w, struct body *body, bool digest, bool is_message)
{
    size_t lines;

    read_header(w, body, digest, is_message);
    if (body->no_content) {
        if (body_is_rfc822(body)) read_rfc822(w, body);
        return;
    }
    lines = w->lines;
    if (body_is_multipart(body))
        read_multipart(w, body);
    else if (body_is_rfc822(body))
        read_rfc822(w, body);
    else
        read_lines(w, w->pos);
    body->content_size = w->end_pos - body->content_offset;
    body->content_lines = w->end_lines - lines;
}

struct message_content *message_parse(const char *base, size_t len,
                                      const struct message_config *config)
{
    static const struct message_config defaults = MESSAGE_CONFIG_INITIALIZER;
    struct message_content *m = xzmalloc(sizeof(*m));
    struct walk w = { .m = m };

    m->base = base ? base : "";
    m->len = len;
    m->config = config ? *config : defaults;
    m->arena = message_arena_new();
    m->body = message_arena_alloc(m->arena, sizeof(*m->body));
    w.stack = boundary_stack_new(m->config.rfc2046_strict);
    read_entity(&w, m->body, false, true);
    boundary_stack_free(&w.stack);
    return m;
}

void message_content_free(struct message_content **contentp)
{
    if (!*contentp) return;
    message_arena_free(&(*contentp)->arena);
    xzfree(*contentp);
}

/* ---- questions ---- */

static bool text_is(struct msgtext t, const char *s)
{
    return t.len == strlen(s) && !memcmp(t.s, s, t.len);
}

bool body_type_is(const struct body *body, const char *type, const char *subtype)
{
    return text_is(body->type, type) && (!subtype || text_is(body->subtype, subtype));
}

bool body_is_multipart(const struct body *body)
{
    return body_type_is(body, "MULTIPART", NULL);
}

bool body_is_rfc822(const struct body *body)
{
    return body->is_global || body_type_is(body, "MESSAGE", "RFC822");
}

const struct msgtext *body_param(const struct message_param *params, const char *name)
{
    const struct msgtext *value = NULL;

    for (; params; params = params->next) {
        if (text_is(params->name, name)) value = &params->value;
    }
    return value;
}
