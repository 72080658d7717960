/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imapurl -- URLs that name a message or a piece of it (RFC 5092, RFC 4467)
 */
#include <config.h>

#include "imapurl.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"

void imapurl_fini(struct imapurl *url)
{
    free(url->user);
    free(url->server);
    extname_free(&url->mailbox);
    free(url->section);
    free(url->access);
    free(url->mechanism);
    free(url->token);
}

/* "%41" to "A"; NULL for bad digits or a NUL. The caller frees. */
static char *unescape(const char *s, size_t len)
{
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '%') {
            if (i + 2 >= len || hexval(s[i + 1]) < 0 || hexval(s[i + 2]) < 0)
                c = '\0';
            else
                c = (char)(hexval(s[i + 1]) * 16 + hexval(s[i + 2]));
            i += 2;
        }
        if (!c) {
            buf_free(&out);
            return NULL;
        }
        buf_putc(&out, c);
    }
    return buf_release(&out);
}

/* ";NAME=value" up to '/', ';' or the end: the value, *p behind it; NULL: not there. */
static const char *param(const char **p, const char *name, size_t *len)
{
    size_t n = strlen(name);
    const char *v = *p;

    if (*v == '/') v++;
    if (*v != ';' || cyr_strncasecmp(v + 1, name, n) || v[1 + n] != '=') return NULL;
    v += n + 2;
    *len = strcspn(v, "/;");
    *p = v + *len;
    return v;
}

/* "//[user[;AUTH=x]@]host[:port]" */
static bool authority(const char **p, struct imapurl *url)
{
    const char *s = *p + 2;
    size_t len = strcspn(s, "/");
    const char *at = memchr(s, '@', len), *host = at ? at + 1 : s;

    if (at) {
        size_t userlen = cyr_min(strcspn(s, ";"), (size_t)(at - s));
        url->user = unescape(s, userlen);
        if (!url->user || !*url->user) return false;
    }
    size_t hostlen = cyr_min(strcspn(host, ":"), (size_t)(s + len - host));
    url->server = xstrndup(host, hostlen);
    *p = s + len;
    return hostlen > 0;
}

static bool mailbox(const char **p, struct imapurl *url)
{
    const char *name = *p + 1;
    size_t len = strcspn(name, ";");

    while (len && name[len - 1] == '/') len--;
    *p = name + len;
    url->mailbox = extname_of(unescape(name, len));
    return !extname_isempty(url->mailbox);
}

/* "o" or "o.n" */
static bool partial(const char *v, size_t len, struct imapurl *url)
{
    const char *dot = memchr(v, '.', len);
    size_t olen = dot ? (size_t)(dot - v) : len;

    url->partial = true;
    url->count = UINT64_MAX;
    if (parse_u64(v, olen, &url->start)) return false;
    return !dot || (!parse_u64(dot + 1, len - olen - 1, &url->count) && url->count);
}

/* "access[:mechanism:token]" to the end. */
static bool urlauth(const char *text, const char *v, struct imapurl *url)
{
    size_t len = strcspn(v, ":");
    const char *mechanism = v + len;

    url->signed_len = (size_t)(mechanism - text);
    url->access = unescape(v, len);
    if (!url->access || !*url->access) return false;
    if (!*mechanism) return true;
    len = strcspn(++mechanism, ":");
    if (!len || mechanism[len] != ':') return false;
    url->mechanism = xstrndup(mechanism, len);
    url->token = xstrdup(mechanism + len + 1);
    return true;
}

bool imapurl_parse(const char *text, struct imapurl *url)
{
    const char *p = text, *v;
    size_t len;

    *url = (struct imapurl){ .relative = *text == '/' };
    if (!url->relative) {
        if (cyr_strncasecmp(text, "imap://", 7)) return false;
        p += 5;
        if (!authority(&p, url) || *p != '/' || p[1] == ';') return false;
    }
    if (p[1] != ';' && !mailbox(&p, url)) return false;
    if ((v = param(&p, "UIDVALIDITY", &len)) && parse_u32(v, len, &url->uidvalidity)) return false;
    v = param(&p, "UID", &len);
    if (!v || parse_u32(v, len, &url->uid) || !url->uid) return false;
    /* A section may hold no '/', but ends in nothing else. */
    if ((v = param(&p, "SECTION", &len)) && !(url->section = unescape(v, len))) return false;
    if ((v = param(&p, "PARTIAL", &len)) && !partial(v, len, url)) return false;
    if ((v = param(&p, "EXPIRE", &len)) && (time_from_rfc3339(v, len, &url->expire) || url->expire <= 0)) return false;
    if ((v = param(&p, "URLAUTH", &len))) return urlauth(text, v, url);
    return !*p && !url->expire;
}
