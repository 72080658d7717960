/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_rfc2231 -- parameter values that were cut into pieces are joined
 *
 * `n*0`, `n*1` ... become `n` in the place of the first; when a piece is extended
 * (`n*1*`) the whole is, is called `n*`, and plain pieces are percent-encoded. Each
 * number takes the first such piece that nobody took; what is left over stays as it
 * is. Pieces are found by a table, so a header full of them costs no more.
 * RFC 2231 §3, §4.1.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "hash.h"
#include "message_int.h"
#include "util.h"
#include "xmalloc.h"

struct piece {
    struct message_param *param;
    struct piece *same; /* the next of this name */
    size_t index;
    bool used;
};

struct joiner {
    struct message_content *m;
    struct piece *pieces;
    size_t count;
    hash_table by_name; /* the first piece of a name */
};

/* Length of the name in front of `*0` or `*0*`; 0: it is no such name. */
static size_t first_piece(struct msgtext name, bool *extended)
{
    *extended = name.len >= 3 && !memcmp(name.s + name.len - 3, "*0*", 3);
    if (*extended) return name.len - 3 + 1;
    if (name.len >= 2 && !memcmp(name.s + name.len - 2, "*0", 2)) return name.len - 2 + 1;
    return 0;
}

static bool any_first(const struct message_param *param)
{
    bool extended;

    for (; param; param = param->next) {
        if (first_piece(param->name, &extended)) return true;
    }
    return false;
}

static void index_pieces(struct joiner *j, struct message_param *params)
{
    struct buf key = BUF_INITIALIZER;
    size_t n = 0;

    for (struct message_param *p = params; p; p = p->next) j->count++;
    j->pieces = xcalloc(j->count, sizeof(*j->pieces));
    for (struct message_param *p = params; p; p = p->next, n++) {
        j->pieces[n].param = p;
        j->pieces[n].index = n;
    }
    construct_hash_table(&j->by_name, j->count);
    while (n--) {
        struct piece *piece = &j->pieces[n];

        buf_setmap(&key, piece->param->name.s, piece->param->name.len);
        piece->same = hash_insert(buf_cstring(&key), piece, &j->by_name);
    }
    buf_free(&key);
}

/* The first piece of that name that is not used. */
static struct piece *find(struct joiner *j, const char *name)
{
    struct piece *piece = hash_lookup(name, &j->by_name);

    if (!piece || !piece->used) return piece;
    while (piece && piece->used) piece = piece->same;
    if (piece) hash_insert(name, piece, &j->by_name);
    return piece;
}

/* Piece number i of the name; extended tells its kind. */
static struct piece *take(struct joiner *j, struct msgtext base, unsigned i, bool *extended)
{
    struct buf name = BUF_INITIALIZER;
    struct piece *plain, *ext;

    buf_appendmap(&name, base.s, base.len);
    buf_printf(&name, "*%u", i);
    plain = find(j, buf_cstring(&name));
    buf_putc(&name, '*');
    ext = find(j, buf_cstring(&name));
    buf_free(&name);

    *extended = ext && (!plain || ext->index < plain->index);
    return *extended ? ext : plain;
}

static bool is_attribute_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && !strchr("*'%()<>@,;:\\\"/[]?=", c);
}

static void append_percent(struct msgtext value, struct buf *dst)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.s[i];

        if (is_attribute_char(c))
            buf_putc(dst, (char)c);
        else
            buf_printf(dst, "%%%02X", c);
    }
}

struct chain {
    struct piece *piece;
    bool extended;
};

/* The value of n pieces; extended: any of them is. */
static struct msgtext join_values(struct joiner *j, const struct chain *chain, size_t n,
                                  bool extended)
{
    struct buf value = BUF_INITIALIZER;
    struct msgtext text;

    if (extended && !chain[0].extended) buf_appendcstr(&value, "''");
    for (size_t i = 0; i < n; i++) {
        struct msgtext v = chain[i].piece->param->value;

        if (extended && !chain[i].extended)
            append_percent(v, &value);
        else
            buf_appendmap(&value, v.s, v.len);
    }
    text = message_arena_text(j->m->arena, value.s ? value.s : "", value.len);
    buf_free(&value);
    return text;
}

/* The piece is the first of a value: takes the others, and becomes the whole. */
static void join(struct joiner *j, struct piece *piece)
{
    struct message_param *param = piece->param;
    struct chain *chain = NULL, link = { piece, false };
    size_t count = 0, alloc = 0, len = first_piece(param->name, &link.extended);
    struct msgtext base;
    bool extended = false;

    if (!len) return;
    base = (struct msgtext){ param->name.s, len - 1 };
    while (link.piece) {
        link.piece->used = true;
        extended = extended || link.extended;
        if (count == alloc) {
            alloc = grow_alloc(alloc, count + 1);
            chain = xreallocarray(chain, alloc, sizeof(*chain));
        }
        chain[count++] = link;
        link.piece = take(j, base, (unsigned)count, &link.extended);
    }
    param->value = join_values(j, chain, count, extended);
    /* The name goes on with '*', so the longer form is a view too. */
    param->name = (struct msgtext){ base.s, base.len + (extended ? 1 : 0) };
    piece->used = false; /* this one stays in the list */
    free(chain);
}

void mime_join_params(struct message_content *m, struct message_param **paramsp)
{
    struct joiner j = { .m = m };

    if (!any_first(*paramsp)) return;
    index_pieces(&j, *paramsp);
    for (size_t i = 0; i < j.count; i++) {
        if (!j.pieces[i].used) join(&j, &j.pieces[i]);
    }
    for (size_t i = 0; i < j.count; i++) {
        if (j.pieces[i].used) continue;
        *paramsp = j.pieces[i].param;
        paramsp = &(*paramsp)->next;
    }
    *paramsp = NULL;
    free_hash_table(&j.by_name, NULL);
    free(j.pieces);
}
