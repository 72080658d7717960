/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_conv -- what threads a message: its ids and its subject
 *
 * handbook 01 §5.9, 02 §6.4. Two servers that share a user must come to the same
 * conversations, so the rules are those of 3.6.1 to the byte, odd ones included.
 */
#include <config.h>

#include "message_conv.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "message_header.h"
#include "util.h"
#include "xmalloc.h"

/* ---- message-ids ---- */

/* The line end of a header that does not go on. */
static bool at_header_end(const char *p, const char *end)
{
    return end - p >= 2 && p[0] == '\r' && p[1] == '\n' &&
           !(end - p >= 3 && (p[2] == ' ' || p[2] == '\t'));
}

static bool ends_word(char c)
{
    return c == '<' || c == '>' || c == '@' || c == '\\' || cyr_isspace(c);
}

static void read_word(const char **p, const char *end, struct buf *id)
{
    const char *start = *p;

    while (*p < end && !ends_word(**p)) (*p)++;
    buf_appendmap(id, start, (size_t)(*p - start));
}

/* Behind the opening quote; false: it does not end. */
static bool read_quoted(const char **p, const char *end, struct buf *id)
{
    for (; *p < end; (*p)++) {
        if (**p == '"') {
            (*p)++;
            return true;
        }
        if (**p == '\\' && ++*p == end) break;
        if (at_header_end(*p, end)) break;
        buf_putc(id, **p);
    }
    return false;
}

/* Behind '<': `local@domain>`, the id with its brackets. */
static bool read_msgid(const char **p, const char *end, struct buf *id)
{
    buf_setcstr(id, "<");
    if (*p < end && **p == '"') {
        (*p)++;
        if (!read_quoted(p, end, id)) return false;
    }
    else {
        read_word(p, end, id);
    }
    if (*p == end || **p != '@') return false;
    buf_putc(id, *(*p)++);
    read_word(p, end, id);
    if (*p == end || **p != '>') return false;
    buf_putc(id, *(*p)++);
    return true;
}

char *message_next_msgid(const char **p, const char *end)
{
    struct buf id = BUF_INITIALIZER;

    while (*p < end && !at_header_end(*p, end)) {
        const char *next;

        if (*(*p)++ != '<') continue;
        next = *p;
        if (read_msgid(&next, end, &id)) {
            *p = next;
            return buf_release(&id);
        }
    }
    buf_free(&id);
    return NULL;
}

static bool is_good_id(const char *id)
{
    for (; *id; id++) {
        if (*id <= ' ' || *id > '~') return false;
    }
    return true;
}

static bool have_id(const struct conv_msgids *ids, const char *id)
{
    for (size_t i = 0; i < ids->count; i++) {
        if (!strcmp(ids->ids[i].msgid, id)) return true;
    }
    return false;
}

static void add_ids(struct conv_msgids *ids, struct msgtext value, bool x_me)
{
    const char *p = value.s, *end;
    char *id;

    if (!p) return;
    end = p + value.len;
    for (int n = 0; n < CONV_MAX_MSGIDS_PER_FIELD && (id = message_next_msgid(&p, end)); n++) {
        lcase(id);
        if (!is_good_id(id) || have_id(ids, id)) {
            free(id);
            continue;
        }
        ids->ids = xreallocarray(ids->ids, ids->count + 1, sizeof(*ids->ids));
        ids->ids[ids->count++] = (struct conv_msgid_source){ id, x_me };
    }
}

/* Some clients write prose there; then it counts for nothing. */
static bool begins_with_id(struct msgtext value)
{
    size_t i = 0;

    while (i < value.len && (cyr_isspace(value.s[i]) || value.s[i] == ',')) i++;
    return i < value.len && value.s[i] == '<';
}

static struct msgtext cached_field(const struct cacherecord *rec, const char *name)
{
    struct msgtext headers = cacheitem_text(rec, CACHE_HEADERS);
    struct header_field field;

    if (!message_header_find(headers.s, headers.len, name, &field))
        return (struct msgtext){ NULL, 0 };
    return field.value;
}

int conv_msgids_from_cache(const struct cacherecord *rec, struct conv_msgids *ids)
{
    struct msgtext envelope = cacheitem_text(rec, CACHE_ENVELOPE), tokens[NUM_ENVELOPE_TOKENS];

    *ids = (struct conv_msgids){ NULL, 0 };
    if (cacheitem_parse_envelope(envelope.s, envelope.len, tokens)) return IMAP_MAILBOX_BADFORMAT;
    add_ids(ids, cached_field(rec, "References"), false);
    if (begins_with_id(tokens[ENV_INREPLYTO])) add_ids(ids, tokens[ENV_INREPLYTO], false);
    add_ids(ids, tokens[ENV_MSGID], false);
    add_ids(ids, cached_field(rec, "X-ME-Message-ID"), true);
    return 0;
}

void conv_msgids_fini(struct conv_msgids *ids)
{
    for (size_t i = 0; i < ids->count; i++) free(ids->ids[i].msgid);
    free(ids->ids);
    *ids = (struct conv_msgids){ NULL, 0 };
}

/* ---- subjects ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * Bracket groups go, inner ones first; so does all in front of a ']' without '[', and all behind
 * a '[' without ']'. Positions of open brackets are kept, so this is one pass.
 */
static void drop_brackets(struct buf *text)
{
    size_t *open = xcalloc(text->len + 1, sizeof(*open));
    size_t nopen = 0, n = 0;

    for (size_t i = 0; i < text->len; i++) {
        char c = text->s[i];

        if (c == ']') {
            n = nopen ? open[--nopen] : 0;
            continue;
        }
        if (c == '[') open[nopen++] = n;
        text->s[n++] = c;
    }
    buf_truncate(text, nopen ? open[0] : n);
    free(open);
}

/* Length of blanks and a first word that ends with its last ':'; 0: none. */
static size_t prefix_length(const char *s, size_t len)
{
    size_t i = 0, start, colon = 0;

    while (i < len && is_blank(s[i])) i++;
    for (start = i; i < len && !is_blank(s[i]) && !strchr("\r\n\f", s[i]); i++) {
        if (s[i] == ':' && i > start) colon = i + 1;
    }
    return colon;
}

/* Appends without blanks, line ends and U+00A0. */
static void append_unspaced(const char *s, size_t len, struct buf *dst)
{
    for (size_t i = 0; i < len; i++) {
        if (is_blank(s[i]) || s[i] == '\r' || s[i] == '\n') continue;
        if (len - i >= 2 && !memcmp(s + i, "\xc2\xa0", 2)) {
            i++;
            continue;
        }
        buf_putc(dst, s[i]);
    }
}

void conversation_normalise_subject(const char *s, size_t len, struct buf *dst)
{
    struct buf text = BUF_INITIALIZER;
    size_t pos = 0, n;

    buf_setmap(&text, s, len);
    buf_cstring(&text);
    drop_brackets(&text);
    while ((n = prefix_length(text.s + pos, text.len - pos))) pos += n;
    append_unspaced(text.s + pos, text.len - pos, dst);
    buf_free(&text);
}

/* `word:` or `word[n]:`, with blanks in front; 0: none. */
static size_t old_prefix(const char *s, size_t len)
{
    size_t i = 0, start, digits;

    while (i < len && is_blank(s[i])) i++;
    for (start = i; i < len && cyr_isalnum(s[i]);) i++;
    if (i == start) return 0;
    if (i < len && s[i] == '[') {
        for (digits = ++i; i < len && cyr_isdigit(s[i]);) i++;
        if (i == digits || i == len || s[i++] != ']') return 0;
    }
    return i < len && s[i] == ':' ? i + 1 : 0;
}

/* `[...]` with blanks in front; 0: none. */
static size_t old_blob(const char *s, size_t len)
{
    const char *close;
    size_t i = 0;

    while (i < len && is_blank(s[i])) i++;
    if (i == len || s[i] != '[') return 0;
    close = memchr(s + i, ']', len - i);
    return close ? (size_t)(close - s) + 1 : 0;
}

/* Length without a security label at the end. */
static size_t without_label(const char *s, size_t len)
{
    const char *open;
    size_t n = len;

    while (n && (is_blank(s[n - 1]) || s[n - 1] == '\r' || s[n - 1] == '\n')) n--;
    if (!n || s[n - 1] != ']') return len;
    open = memrchr(s, '[', n);
    if (!open || (size_t)(s + n - open) < 6) return len;
    if (memcmp(open, "[SEC=", 5) && memcmp(open, "[DLM=", 5)) return len;
    return (size_t)(open - s);
}

void conversation_normalise_subject_old(const char *s, size_t len, struct buf *dst)
{
    size_t n;

    while ((n = without_label(s, len)) < len) len = n;
    while ((n = old_prefix(s, len)) || (n = old_blob(s, len))) {
        s += n;
        len -= n;
    }
    append_unspaced(s, len, dst);
}

int conv_subject_from_cache(const struct cacherecord *rec, struct buf *subject, struct buf *old)
{
    struct msgtext item = cacheitem_text(rec, CACHE_SUBJECT), value;
    int r = cacheitem_parse_nstring(item.s, item.len, &value);

    if (r) return r;
    conversation_normalise_subject(value.s ? value.s : "", value.len, subject);
    conversation_normalise_subject_old(value.s ? value.s : "", value.len, old);
    return 0;
}

bool conv_sender_from_cache(const struct cacherecord *rec, struct rfc822_address *addr)
{
    struct msgtext envelope = cacheitem_text(rec, CACHE_ENVELOPE), tokens[NUM_ENVELOPE_TOKENS];

    if (cacheitem_parse_envelope(envelope.s, envelope.len, tokens)) return false;
    return cacheitem_next_address(&tokens[ENV_FROM], addr);
}
