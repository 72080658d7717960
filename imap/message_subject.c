/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_subject -- the base subject of SORT and THREAD (RFC 5256 §2.1)
 *
 * The text is narrowed from both ends by the rules of the RFC until none applies.
 * Every rule that applies makes it shorter, and looks no further than what it takes
 * off, so the cost is linear.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "message_conv.h"
#include "util.h"

struct text {
    const char *s;
    size_t len;
};

static void drop(struct text *t, size_t n)
{
    t->s += n;
    t->len -= n;
}

static size_t blanks(const char *s, size_t len)
{
    size_t n = 0;

    while (n < len && (s[n] == ' ' || s[n] == '\t')) n++;
    return n;
}

/* subj-blob: `[...]` without brackets inside, and the blanks behind it; 0: none. */
static size_t blob(const char *s, size_t len)
{
    size_t n = 1;

    if (!len || *s != '[') return 0;
    while (n < len && s[n] != '[' && s[n] != ']') n++;
    if (n == len || s[n] != ']') return 0;
    n++;
    return n + blanks(s + n, len - n);
}

/* subj-refwd: `re`, `fw` or `fwd`, maybe a blob, a colon; 0: none. */
static size_t refwd(const char *s, size_t len)
{
    size_t n = 2;

    if (len < 3) return 0;
    if (!cyr_strncasecmp(s, "fw", 2)) {
        if (cyr_tolower(s[2]) == 'd') n = 3;
    }
    else if (cyr_strncasecmp(s, "re", 2)) {
        return 0;
    }
    n += blanks(s + n, len - n);
    n += blob(s + n, len - n);
    return n < len && s[n] == ':' ? n + 1 : 0;
}

/* Trailing blanks and `(fwd)`. */
static bool trim_end(struct text *t)
{
    bool forward = false;

    for (;;) {
        while (t->len && (t->s[t->len - 1] == ' ' || t->s[t->len - 1] == '\t')) t->len--;
        if (t->len < 5 || cyr_strncasecmp(t->s + t->len - 5, "(fwd)", 5)) return forward;
        t->len -= 5;
        forward = true;
    }
}

/* A row of blobs, and a refwd behind it if there is one; a text that is all blobs keeps the last. */
static bool trim_start(struct text *t)
{
    bool reply = false;

    for (;;) {
        size_t n = 0, last = 0, m;

        drop(t, blanks(t->s, t->len));
        while ((m = blob(t->s + n, t->len - n))) {
            last = n;
            n += m;
        }
        m = refwd(t->s + n, t->len - n);
        if (!m) {
            drop(t, n == t->len ? last : n);
            return reply;
        }
        reply = true;
        drop(t, n + m);
    }
}

/* `[fwd: ... ]` around the whole. */
static bool unwrap(struct text *t)
{
    if (t->len < 6 || cyr_strncasecmp(t->s, "[fwd:", 5) || t->s[t->len - 1] != ']') return false;
    drop(t, 5);
    t->len--;
    return true;
}

bool message_base_subject(const char *s, size_t len, struct buf *dst)
{
    struct text t = { s, len };
    bool reply = false, blank = false;

    do {
        reply |= trim_end(&t);
        reply |= trim_start(&t);
    } while (unwrap(&t) && (reply = true));

    for (size_t i = 0; i < t.len; i++) {
        if (cyr_isspace(t.s[i])) {
            blank = true;
            continue;
        }
        if (blank) buf_putc(dst, ' ');
        blank = false;
        buf_putc(dst, cyr_toupper(t.s[i]));
    }
    return reply;
}
