/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rfc822_addr -- lists of mail addresses as header fields write them
 *
 * The grammar is that of RFC 822 as people break it: a phrase runs up to the next
 * byte that means something where it stands, a domain up to the first byte that
 * no domain has. What can't be understood becomes the name of a mailbox. A quoted
 * string that does not end takes the rest of the field with it.
 */
#include <config.h>

#include "rfc822_addr.h"

#include <string.h>

#include "buf.h"
#include "charset.h"
#include "message.h"
#include "util.h"

/* What stands for the domain of an address that has none. */
static const char unspecified[] = "unspecified-domain";

struct reader {
    const char *p, *end;
    struct message_arena *arena;
    struct buf tmp;
    struct rfc822_address *first, **tail;
    bool broken; /* an open quoted string: nothing behind it counts */
};

static struct rfc822_address *add(struct reader *r)
{
    struct rfc822_address *addr = message_arena_alloc(r->arena, sizeof(*addr));

    *r->tail = addr;
    r->tail = &addr->next;
    return addr;
}

static struct msgtext take_tmp(struct reader *r)
{
    return message_arena_text(r->arena, r->tmp.s ? r->tmp.s : "", r->tmp.len);
}

/* ---- comments, quoted strings ---- */

/* Behind the opening parenthesis: to the one that closes it. Appends the text when dst is set. */
static void read_comment(struct reader *r, struct buf *dst)
{
    unsigned depth = 1;

    while (r->p < r->end) {
        char c = *r->p++;

        if (c == '\\') {
            if (r->p == r->end) return;
            c = *r->p++;
        }
        else if (c == '(') {
            depth++;
        }
        else if (c == ')' && !--depth) {
            return;
        }
        if (dst) buf_putc(dst, c);
    }
}

/* Behind the opening quote: appends the text, without CRs and LFs. */
static void read_quoted(struct reader *r)
{
    while (r->p < r->end) {
        char c = *r->p++;

        if (c == '"') return;
        if (c == '\\') {
            if (r->p == r->end) break;
            c = *r->p++;
        }
        if (c != '\r' && c != '\n') buf_putc(&r->tmp, c);
    }
    r->broken = true;
}

static void skip_blank(struct reader *r)
{
    while (r->p < r->end) {
        if (*r->p == '(') {
            r->p++;
            read_comment(r, NULL);
        }
        else if (cyr_isspace(*r->p)) {
            r->p++;
        }
        else {
            return;
        }
    }
}

/* ---- the three pieces of an address ---- */

/*
 * A phrase into tmp, white space as single blanks, up to a byte of `specials` (not taken) or the
 * end, which gives NUL.
 */
static char read_phrase(struct reader *r, const char *specials)
{
    bool blank = false;

    buf_reset(&r->tmp);
    skip_blank(r);
    while (r->p < r->end) {
        char c = *r->p;

        if (cyr_isspace(c) || c == '(') {
            skip_blank(r);
            blank = true;
            continue;
        }
        if (c && strchr(specials, c)) return c;
        if (blank && r->tmp.len) buf_putc(&r->tmp, ' ');
        blank = false;
        r->p++;
        if (c == '"') {
            read_quoted(r);
            if (r->broken) break;
        }
        else {
            buf_putc(&r->tmp, c);
        }
    }
    if (r->broken) buf_reset(&r->tmp);
    return 0;
}

static bool in_domain(char c)
{
    return cyr_isalnum(c) || c == '-' || c == '[' || c == ']' || c == ':' || c == '@';
}

/*
 * A domain into tmp; the byte that ends it is taken and returned, NUL at the end. A comment that
 * nothing of the domain follows goes to `comment`.
 */
static char read_domain(struct reader *r, struct buf *comment)
{
    bool dot = false;

    buf_reset(&r->tmp);
    while (r->p < r->end) {
        char c = *r->p++;

        if (cyr_isspace(c)) continue;
        if (c == '(') {
            if (comment) buf_reset(comment);
            read_comment(r, comment);
        }
        else if (c == '.') {
            dot = r->tmp.len > 0;
            if (comment) buf_reset(comment);
        }
        else if (in_domain(c)) {
            if (dot) buf_putc(&r->tmp, '.');
            buf_putc(&r->tmp, c);
            if (comment) buf_reset(comment);
            dot = false;
        }
        else {
            return c;
        }
    }
    return 0;
}

/* Behind the '@': `@r1,@r2` into tmp; true: a colon ended it, and the address follows. */
static bool read_route(struct reader *r)
{
    buf_reset(&r->tmp);
    buf_putc(&r->tmp, '@');
    while (r->p < r->end) {
        char c = *r->p++;

        if (cyr_isspace(c)) continue;
        if (c == '(') {
            read_comment(r, NULL);
        }
        else if (c == ':') {
            return true;
        }
        else if (cyr_isalnum(c) || strchr("-[].,@", c)) {
            if (c) buf_putc(&r->tmp, c);
        }
        else {
            if (c == '>') r->p--;
            return false;
        }
    }
    return false;
}

/* ---- addresses ---- */

/* Behind '<': the address in it, and what is left up to '>'. */
static void read_bracketed(struct reader *r, struct rfc822_address *addr)
{
    char c = read_phrase(r, "@>");

    if (c == '@' && !r->tmp.len) {
        bool more;

        r->p++;
        more = read_route(r);
        if (r->tmp.len > 1) addr->route = take_tmp(r);
        buf_reset(&r->tmp);
        c = more ? read_phrase(r, "@>") : 0;
    }
    addr->mailbox = take_tmp(r);
    buf_reset(&r->tmp);
    if (c == '@') {
        r->p++;
        c = read_domain(r, NULL);
        if (c == '>') r->p--;
    }
    addr->domain = r->tmp.len ? take_tmp(r) : (struct msgtext){ unspecified, strlen(unspecified) };
    while (r->p < r->end && *r->p != '>') r->p++;
    if (r->p < r->end) r->p++;
}

static void set_unspecified(struct rfc822_address *addr)
{
    addr->domain = (struct msgtext){ unspecified, strlen(unspecified) };
}

/* Behind `local@`, the local part in tmp; true: a ';' ended the domain, and a group with it. */
static bool read_plain(struct reader *r)
{
    struct rfc822_address *addr = add(r);
    struct buf comment = BUF_INITIALIZER;
    char c;

    addr->mailbox = take_tmp(r);
    c = read_domain(r, &comment);
    if (r->tmp.len)
        addr->domain = take_tmp(r);
    else
        set_unspecified(addr);
    if (comment.len) addr->name = message_arena_text(r->arena, comment.s, comment.len);
    buf_free(&comment);
    return c == ';';
}

/* One address, or mark of a group; *group tells whether we are inside one. */
static void read_one(struct reader *r, bool *group)
{
    char c = read_phrase(r, *group ? ",@<;" : ",@<:");
    struct rfc822_address *addr;

    if (r->broken) return;
    if (c) r->p++;
    switch (c) {
    case '@':
        if (!read_plain(r)) return;
        add(r);
        *group = false;
        return;
    case '<':
        addr = add(r);
        if (r->tmp.len) addr->name = take_tmp(r);
        read_bracketed(r, addr);
        return;
    case ':':
        add(r)->mailbox = take_tmp(r);
        *group = true;
        return;
    default:
        if (r->tmp.len) {
            addr = add(r);
            addr->mailbox = take_tmp(r);
            set_unspecified(addr);
        }
        if (c != ';') return;
        add(r);
        *group = false;
    }
}

struct rfc822_address *rfc822_addr_parse(struct message_arena *arena, const char *s, size_t len)
{
    struct reader r = { .p = s, .end = s + len, .arena = arena };
    bool group = false;

    r.tail = &r.first;
    while (r.p < r.end && !r.broken) read_one(&r, &group);
    if (group) add(&r);
    buf_free(&r.tmp);
    return r.first;
}

/* ---- writing ---- */

static void write_nstring(struct msgtext t, struct buf *dst)
{
    message_write_nstring(t.s, t.len, dst);
}

void rfc822_addr_write_envelope(const struct rfc822_address *list, struct buf *dst)
{
    if (!list) {
        buf_appendcstr(dst, "NIL");
        return;
    }
    buf_putc(dst, '(');
    for (; list; list = list->next) {
        buf_putc(dst, '(');
        write_nstring(list->name, dst);
        buf_putc(dst, ' ');
        write_nstring(list->route, dst);
        buf_putc(dst, ' ');
        write_nstring(list->mailbox, dst);
        buf_putc(dst, ' ');
        write_nstring(list->domain, dst);
        buf_putc(dst, ')');
    }
    buf_putc(dst, ')');
}

static void write_lower(struct msgtext t, struct buf *dst)
{
    buf_ensure(dst, t.len);
    for (size_t i = 0; i < t.len; i++) buf_putc(dst, cyr_tolower(t.s[i]));
}

static bool is_phrase_byte(char c)
{
    return cyr_isalnum(c) || cyr_isspace(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* The decoded name, in quotes when it holds anything but atoms and blanks. */
static void write_name(struct msgtext name, bool utf8, struct buf *dst)
{
    struct buf text = BUF_INITIALIZER;
    bool quote = false;

    charset_decode_mimeheader(name.s, name.len, utf8, &text);
    for (size_t i = 0; i < text.len && !quote; i++) quote = !is_phrase_byte(text.s[i]);
    if (!quote) {
        buf_append(dst, &text);
        buf_free(&text);
        return;
    }
    buf_putc(dst, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.s[i] == '"' || text.s[i] == '\\') buf_putc(dst, '\\');
        buf_putc(dst, text.s[i]);
    }
    buf_putc(dst, '"');
    buf_free(&text);
}

static void write_search_one(const struct rfc822_address *addr, bool utf8, struct buf *dst)
{
    if (addr->name.s) {
        write_name(addr->name, utf8, dst);
        buf_putc(dst, ' ');
    }
    buf_putc(dst, '<');
    if (addr->route.s) {
        write_lower(addr->route, dst);
        buf_putc(dst, ':');
    }
    write_lower(addr->mailbox, dst);
    buf_putc(dst, '@');
    write_lower(addr->domain, dst);
    buf_putc(dst, '>');
}

void rfc822_addr_write_search(const struct rfc822_address *list, bool utf8, struct buf *dst)
{
    bool comma = false;

    for (; list; list = list->next) {
        bool end = !list->domain.s && !list->mailbox.s;

        if (comma && !end) buf_putc(dst, ',');
        comma = true;
        if (end) {
            buf_putc(dst, ';');
        }
        else if (!list->domain.s) {
            charset_decode_mimeheader(list->mailbox.s, list->mailbox.len, utf8, dst);
            buf_putc(dst, ':');
            comma = false;
        }
        else {
            write_search_one(list, utf8, dst);
        }
    }
}
