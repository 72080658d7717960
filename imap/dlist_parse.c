/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist_parse -- reading trees of named values from a stream
 *
 * An atom ends at white space, a parenthesis or a quote (handbook 03 §1.6). Nothing that
 * was announced is believed before it came: memory grows with the bytes that were read, within
 * maxliteral and maxbytes. Literals are never asked for. After an error in the middle of
 * an item the stream stands behind a literal's bytes or before the offending byte, so that
 * eatline() finds the end of the line.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "dlist_int.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "imparse.h"
#include "prot.h"
#include "util.h"

#define MAXHEADER 1024 /* bytes of "partition guid size}" */

struct parser {
    struct protstream *in;
    const struct dlist_parseopts *opts;
    struct buf text, name;
    size_t used; /* bytes towards maxbytes */
    unsigned depth, maxdepth;
    const struct dlist_itemsink *items; /* NULL once its key has come */
};

/* c is what should not have come. */
static int refuse(struct parser *p, int c)
{
    if (c == EOF) return IMAP_IOERROR;
    prot_ungetc(c, p->in);
    return IMAP_PROTOCOL_ERROR;
}

static int charge(struct parser *p, size_t bytes)
{
    size_t max = p->opts->maxbytes;

    if (max && bytes > max - p->used) return IMAP_PROTOCOL_ERROR;
    p->used += bytes;
    return 0;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t';
}

static int skip_space(struct parser *p, int c)
{
    while (is_space(c)) c = prot_getc(p->in);
    return c;
}

/* ---- strings, into p->text; *c is the byte behind ---- */

static int parse_quoted(struct parser *p, int *c)
{
    size_t max = p->opts->maxliteral;

    while ((*c = prot_getc(p->in)) != '"') {
        if (*c == '\\') *c = prot_getc(p->in);
        if (*c == EOF || *c == '\r' || *c == '\n') return refuse(p, *c);
        if (max && p->text.len >= max) return IMAP_PROTOCOL_ERROR;
        buf_putc(&p->text, (char)*c);
    }
    *c = prot_getc(p->in);
    return 0;
}

static int parse_literal(struct parser *p, int *c)
{
    size_t max = p->opts->maxliteral;
    uint64_t n;

    *c = getuint64(p->in, &n);
    if (*c < 0) return *c == IMPARSE_EOF ? IMAP_IOERROR : IMAP_PROTOCOL_ERROR;
    if (*c == '+') *c = prot_getc(p->in);
    if (*c != '}') return refuse(p, *c);
    *c = prot_getc(p->in);
    if (*c == '\r') *c = prot_getc(p->in);
    if (*c != '\n') return refuse(p, *c);
    if ((max && n > max) || charge(p, n > SIZE_MAX ? SIZE_MAX : (size_t)n))
        return prot_skip(p->in, n) ? IMAP_IOERROR : IMAP_PROTOCOL_ERROR;
    if (prot_readbuf(p->in, &p->text, (size_t)n)) return IMAP_IOERROR;
    *c = prot_getc(p->in);
    return 0;
}

static bool ends_atom(int c)
{
    return c == EOF || cyr_isspace((char)c) || c == '(' || c == ')' || c == '"';
}

static int parse_atom(struct parser *p, int *c)
{
    size_t max = p->opts->maxliteral;

    for (; !ends_atom(*c); *c = prot_getc(p->in)) {
        if (max && p->text.len >= max) return refuse(p, *c);
        buf_putc(&p->text, (char)*c);
    }
    return p->text.len ? 0 : refuse(p, *c);
}

/* *c is the first byte. */
static int parse_string(struct parser *p, int *c, bool *isnil)
{
    bool bare = false;
    int r;

    buf_reset(&p->text);
    switch (*c) {
    case '"': r = parse_quoted(p, c); break;
    case '{': r = parse_literal(p, c); break;
    default:
        bare = true;
        r = parse_atom(p, c);
        break;
    }
    if (r) return r;
    *isnil = bare && !strcmp(buf_cstring(&p->text), "NIL");
    buf_cstring(&p->text);
    return charge(p, p->text.len);
}

/* ---- message files ---- */

struct filehead {
    struct buf partition;
    struct message_guid guid;
    uint64_t size;
    bool sized, good;
};

static bool scan_word(struct dlist_scan *sc, struct buf *out)
{
    if (dlist_scan_next(sc) != DLS_STRING || memchr(sc->s, '\0', sc->len)) return false;
    buf_setmap(out, sc->s, sc->len);
    return true;
}

/* "partition guid size": the size is found first, as its bytes have to be read past in any case. */
static void scan_filehead(const char *s, size_t len, struct filehead *head)
{
    struct dlist_scan sc;
    struct buf guid = BUF_INITIALIZER;
    const char *space = memrchr(s, ' ', len);
    uint64_t size;

    if (!space) return;
    space++;
    head->sized = !parse_u64(space, (size_t)(s + len - space), &head->size);
    dlist_scan_init(&sc, s, len);
    head->good = head->sized && scan_word(&sc, &head->partition) && scan_word(&sc, &guid) &&
                 message_guid_decode(&head->guid, guid.s, guid.len) && dlist_scan_u64(&sc, &size) &&
                 dlist_scan_atend(&sc) && size <= UINT32_MAX;
    dlist_scan_fini(&sc);
    buf_free(&guid);
}

/* Behind "%{", through the end of the line. */
static int parse_filehead(struct parser *p, struct filehead *head)
{
    int c;

    buf_reset(&p->text);
    while ((c = prot_getc(p->in)) != '\n') {
        if (c == EOF) return IMAP_IOERROR;
        if (p->text.len >= MAXHEADER) {
            /* how many bytes follow will not be known */
            prot_seterror(p->in, EMSGSIZE, "file literal too long");
            return IMAP_IOERROR;
        }
        buf_putc(&p->text, (char)c);
    }
    size_t len = p->text.len;
    if (len && p->text.s[len - 1] == '\r') len--;
    if (len && p->text.s[len - 1] == '}') scan_filehead(p->text.s, len - 1, head);
    if (head->good) return 0;
    /* without a size the line has ended here */
    if (!head->sized) return refuse(p, c);
    return prot_skip(p->in, head->size) ? IMAP_IOERROR : IMAP_PROTOCOL_ERROR;
}

/* All bytes are read, whatever the sink says. */
static int feed_sink(struct parser *p, const struct filehead *head, struct buf *path)
{
    const struct dlist_filesink *sink = p->opts->sink;
    uint64_t left = head->size;
    const char *base;
    int r = IMAP_PROTOCOL_ERROR;

    if (sink) r = sink->begin(sink->rock, buf_base(&head->partition), &head->guid, head->size);
    bool begun = !r;
    while (left) {
        size_t n = prot_readview(p->in, &base, (size_t)cyr_min(left, (uint64_t)SIZE_MAX));
        if (!n) break;
        if (!r) r = sink->data(sink->rock, base, n);
        left -= n;
    }
    if (left) r = IMAP_IOERROR;
    if (begun) {
        int r2 = sink->end(sink->rock, !r, path);
        if (!r) r = r2;
    }
    if (!left && r) r = IMAP_PROTOCOL_ERROR;
    return r;
}

static int parse_file(struct parser *p, struct dlist **dlp, int *c)
{
    struct filehead head = { .size = 0 };
    struct buf path = BUF_INITIALIZER;
    int r = parse_filehead(p, &head);

    if (!r) {
        buf_cstring(&head.partition);
        r = feed_sink(p, &head, &path);
    }
    if (!r) {
        *dlp = dlist_filenode(NULL, head.partition.s, &head.guid, head.size,
                              path.len ? buf_cstring(&path) : NULL);
        dlist_rename(*dlp, p->name.s);
        *c = prot_getc(p->in);
    }
    buf_free(&head.partition);
    buf_free(&path);
    return r;
}

/* ---- items: the name, if any, is in p->name, and *c is the first byte of the value ---- */

static int parse_value(struct parser *p, const struct dlist_itemsink *items, struct dlist **dlp,
                       int *c);

static int parse_name(struct parser *p, int *c)
{
    bool isnil;
    int r = parse_string(p, c, &isnil);

    if (r) return r;
    if (!is_space(*c)) return refuse(p, *c);
    if (memchr(p->text.s, '\0', p->text.len)) return refuse(p, *c);
    buf_swap(&p->name, &p->text);
    *c = skip_space(p, *c);
    return 0;
}

/* Does the value that comes next belong to the sink? Only the first of its name does. */
static const struct dlist_itemsink *take_items(struct parser *p, const struct dlist *list)
{
    const struct dlist_itemsink *items = p->items;

    if (!items || p->depth != 1 || list->type != DL_KVLIST || strcmp(items->key, p->name.s) != 0)
        return NULL;
    p->items = NULL;
    return items;
}

static void put_item(struct dlist *list, const struct dlist_itemsink *items, struct dlist *item)
{
    if (!items) {
        dlist_stitch(list, item);
        return;
    }
    items->item(items->rock, &item);
    dlist_free(&item);
}

/* Behind the "(". */
static int parse_children(struct parser *p, struct dlist *list, const struct dlist_itemsink *items,
                          int *c)
{
    struct dlist *item;
    int r = 0;

    if (++p->depth > p->maxdepth) return IMAP_PROTOCOL_ERROR;
    *c = skip_space(p, prot_getc(p->in));
    while (*c != ')') {
        buf_free(&p->name);
        if (list->type == DL_KVLIST) r = parse_name(p, c);
        if (!r) r = parse_value(p, take_items(p, list), &item, c);
        if (r) return r;
        put_item(list, items, item);
        *c = skip_space(p, *c);
    }
    p->depth--;
    *c = prot_getc(p->in);
    return 0;
}

static int parse_list(struct parser *p, enum dlist_type type, const struct dlist_itemsink *items,
                      struct dlist **dlp, int *c)
{
    *dlp = dlist_node(type, p->name.s, p->name.len, NULL, 0);
    int r = charge(p, dlist_nodesize(p->name.len, 0));
    if (!r) r = parse_children(p, *dlp, items, c);
    if (r) dlist_free(dlp);
    return r;
}

static int parse_value(struct parser *p, const struct dlist_itemsink *items, struct dlist **dlp,
                       int *c)
{
    bool isnil;

    *dlp = NULL;
    if (*c == '(') return parse_list(p, DL_LIST, items, dlp, c);
    if (*c == '%') {
        *c = prot_getc(p->in);
        if (*c == '(') return parse_list(p, DL_KVLIST, items, dlp, c);
        return *c == '{' ? parse_file(p, dlp, c) : refuse(p, *c);
    }
    int r = parse_string(p, c, &isnil);
    if (!r) r = charge(p, dlist_nodesize(p->name.len, 0));
    if (r) return r;
    enum dlist_type type = memchr(p->text.s, '\0', p->text.len) ? DL_BUF : DL_ATOM;
    if (isnil)
        *dlp = dlist_node(DL_NIL, p->name.s, p->name.len, NULL, 0);
    else
        *dlp = dlist_node(type, p->name.s, p->name.len, p->text.s, p->text.len);
    return 0;
}

static const struct dlist_parseopts default_opts = { .parsekeys = true };

int dlist_parse(struct protstream *in, const struct dlist_parseopts *opts, struct dlist **dlp,
                int *c)
{
    struct parser p = { .in = in, .opts = opts ? opts : &default_opts };
    int r = 0;

    p.items = p.opts->items;
    *dlp = NULL;
    p.maxdepth = p.opts->maxdepth ? p.opts->maxdepth : DLIST_MAXDEPTH;
    *c = skip_space(&p, prot_getc(in));
    if (p.opts->parsekeys) r = parse_name(&p, c);
    if (!r) r = parse_value(&p, NULL, dlp, c);
    buf_free(&p.text);
    buf_free(&p.name);
    return r;
}

int dlist_parseline(struct protstream *in, const struct dlist_parseopts *opts, struct dlist **dlp)
{
    int c, r = dlist_parse(in, opts, dlp, &c);

    if (!r) {
        while (is_space(c)) c = prot_getc(in);
        c = imparse_eol(in, c);
        if (c == '\n') return 0;
        if (c >= 0) prot_ungetc(c, in);
        r = c == IMPARSE_EOF ? IMAP_IOERROR : IMAP_PROTOCOL_ERROR;
        dlist_free(dlp);
    }
    if (r == IMAP_PROTOCOL_ERROR) eatline(in, IMPARSE_BAD, EATLINE_DLIST);
    return r;
}
