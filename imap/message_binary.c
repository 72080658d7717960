/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_binary -- literal8 messages get a transfer encoding that every client can read
 *
 * RFC 3516 §4.4. A part whose content is binary becomes base64, and the word in its
 * header that said so changes with it. Containers stay: they may well say binary.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "charset.h"
#include "message.h"
#include "message_check.h"
#include "message_header.h"
#include "util.h"

struct rewriter {
    const struct message_content *m;
    struct buf *dst;
    size_t done; /* bytes of the message that are in dst */
    bool changed;
};

static void copy_to(struct rewriter *w, size_t pos)
{
    buf_appendmap(w->dst, w->m->base + w->done, pos - w->done);
    w->done = pos;
}

/* Where the word BINARY stands in the last Content-Transfer-Encoding; NULL: nowhere. */
static const char *find_word(const struct message_content *m, const struct body *body)
{
    static const char name[] = "Content-Transfer-Encoding", word[] = "binary";
    const char *found = NULL;
    struct header_field field;
    struct header_iter it;

    header_iter_init(&it, m->base + body->header_offset, body->header_size, 0);
    while (header_iter_next(&it, &field)) {
        if (!memcaseeq(field.name.s, field.name.len, name, strlen(name))) continue;
        found = NULL;
        for (size_t i = 0; i + strlen(word) <= field.value.len && !found; i++) {
            if (!cyr_strncasecmp(field.value.s + i, word, strlen(word))) found = field.value.s + i;
        }
    }
    return found;
}

static void rewrite(struct rewriter *w, const struct body *body)
{
    const char *word;

    if (body->first) {
        for (const struct body *part = body->first; part; part = part->next) rewrite(w, part);
        return;
    }
    if (body->no_content || !body->encoding.s ||
        !memcaseeq(body->encoding.s, body->encoding.len, "BINARY", 6))
        return;
    word = find_word(w->m, body);
    if (!word) return;
    copy_to(w, (size_t)(word - w->m->base));
    buf_appendcstr(w->dst, "base64");
    w->done += strlen("binary");
    copy_to(w, body->content_offset);
    charset_encode_base64_lines(w->m->base + body->content_offset, body->content_size, w->dst);
    w->done += body->content_size;
    w->changed = true;
}

bool message_encode_binary(const char *base, size_t len, const struct message_config *config,
                           struct buf *dst)
{
    struct message_content *m = message_parse(base, len, config);
    struct rewriter w = { .m = m, .dst = dst };

    rewrite(&w, m->body);
    if (w.changed) copy_to(&w, len);
    message_content_free(&m);
    return w.changed;
}
