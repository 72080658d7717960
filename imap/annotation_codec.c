/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * annotation_codec -- keys and values of annotations.db and cyrus.annotations
 *
 * The value of 3.6.1 holds native integers of a 64-bit little-endian machine;
 * the same bytes are written and read here whatever this machine is. Values of
 * older versions end early; parts that are missing are 0 (handbook 01 §7.5).
 */
#include <config.h>

#include "annotation_codec.h"

#include <string.h>

#include "imap_err.h"

static const char content_type[] = "text/plain"; /* stored with its NUL */

static void append_part(struct buf *out, const char *s)
{
    buf_appendcstr(out, s);
    buf_putc(out, '\0');
}

void annotation_key_print(const char *scope, const char *entry, const char *userid,
                          const char *owner, struct buf *out)
{
    append_part(out, scope);
    if (!entry) return;
    append_part(out, entry);
    if (!userid) return;
    append_part(out, owner && *userid && !strcmp(userid, owner) ? ANNOT_OWNER_TOKEN : userid);
}

void annotation_key_print_uid(uint32_t uid, const char *entry, const char *userid,
                              const char *owner, struct buf *out)
{
    char scope[16];
    size_t n = sizeof(scope);

    scope[--n] = '\0';
    do {
        scope[--n] = (char)('0' + uid % 10);
        uid /= 10;
    } while (uid);
    annotation_key_print(scope + n, entry, userid, owner, out);
}

int annotation_key_parse(const char *base, size_t len, struct annotation_key *key)
{
    const char *part[3], *p = base, *end = base + len;

    for (int i = 0; i < 3; i++) {
        const char *nul = p < end ? memchr(p, '\0', (size_t)(end - p)) : NULL;
        if (!nul) return IMAP_MAILBOX_BADFORMAT;
        part[i] = p;
        p = nul + 1;
    }
    if (p != end) return IMAP_MAILBOX_BADFORMAT;
    *key = (struct annotation_key){ part[0], part[1], part[2] };
    return 0;
}

void annotation_value_print(const struct annotation_value *v, struct buf *out)
{
    buf_reset(out);
    buf_appendbit32(out, (uint32_t)v->value.len);
    buf_appendbit32(out, 0);
    buf_appendmap(out, v->value.s ? v->value.s : "", v->value.len);
    buf_putc(out, '\0');
    buf_appendmap(out, content_type, sizeof(content_type));
    buf_appendbit64(out, 0);
    buf_appendbit64(out, v->modseq);
    buf_putc(out, (char)v->flags);
}

int annotation_value_parse(const char *base, size_t len, struct annotation_value *v)
{
    const char *p = base, *end = base + len;

    memset(v, 0, sizeof(*v));
    if (len < 8) return IMAP_MAILBOX_BADFORMAT;
    size_t n = get_be32(p);
    p += 8;
    if (n > (size_t)(end - p)) return IMAP_MAILBOX_BADFORMAT;
    buf_init_ro(&v->value, p, n);
    p += n;

    /* NUL, content type, NUL, 8 bytes that mean nothing */
    if (p < end) p++;
    const char *nul = p < end ? memchr(p, '\0', (size_t)(end - p)) : NULL;
    if (!nul || end - nul < 1 + 8) return 0;
    p = nul + 1 + 8;
    if (end - p < 8) return 0;
    v->modseq = get_be64(p);
    if (end - p > 8) v->flags = (uint8_t)p[8];
    return 0;
}
