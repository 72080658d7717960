/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small texts: sequence sets, modified UTF-7, base64, dates, patterns, rights and ACLs, sync log
 * lines, URLs. The first byte says which. What has a written form must survive writing and reading.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "base64.h"
#include "buf.h"
#include "fuzz.h"
#include "glob.h"
#include "imapurl.h"
#include "imparse.h"
#include "seqset.h"
#include "sub_codec.h"
#include "sync_log.h"
#include "sync_logline.h"
#include "times.h"
#include "utf7.h"

static struct buf one, two;

static void check(bool ok)
{
    if (!ok) abort();
}

static void sets(const char *s, size_t len)
{
    struct seqset *set = seqset_parse_map(s, len, NULL, 1000);

    seqset_hasstar(s, len);
    check(!set || seqset_isvalid(s, len));
    if (!set) return;
    char *text = seqset_cstring(set);
    struct seqset *again = text ? seqset_parse(text, NULL, 1000) : NULL;
    check(!text || (again && seqset_equal(set, again)));
    seqset_free(again);
    free(text);
    seqset_free(set);
}

static void names(const char *s, size_t len)
{
    buf_reset(&one);
    buf_reset(&two);
    if (!utf7_to_utf8(s, len, &one)) {
        check(utf8_isvalid(one.s, one.len));
        check(!utf8_to_utf7(one.s, one.len, &two));
    }
    buf_reset(&one);
    buf_reset(&two);
    if (!utf8_to_utf7(s, len, &one)) {
        check(!utf7_to_utf8(one.s, one.len, &two));
        check(two.len == len && !memcmp(two.s, s, len));
    }
    free(sub_key_parse(s, len, "alice"));
}

static void base64(const char *s, size_t len)
{
    for (unsigned flags = 0; flags < 8; flags++) {
        buf_reset(&one);
        (void)base64_decode(s, len, flags, &one);
    }
    buf_reset(&one);
    buf_reset(&two);
    base64_encode(s, len, 0, &one);
    check(!base64_decode(one.s, one.len, 0, &two) && two.len == len && !memcmp(two.s, s, len));
}

static void dates(const char *s, size_t len)
{
    char text[64];
    time_t t, again;
    int off;

    if (!time_from_rfc3501(s, len, &t, &off)) {
        size_t n = time_to_rfc3501_zone(t, off, text, sizeof(text));
        if (n) check(!time_from_rfc3501(text, n, &again, NULL) && again == t);
    }
    (void)time_from_rfc3501_date(s, len, &t);
    if (!time_from_rfc5322(s, len, &t, &off)) time_to_rfc5322_zone(t, off, text, sizeof(text));
    if (!time_from_rfc3339(s, len, &t)) time_to_rfc3339(t, text, sizeof(text));
}

static void patterns(const char *s, size_t len)
{
    const char *blank = memchr(s, ' ', len);
    size_t n = blank ? (size_t)(blank - s) : len;

    buf_setmap(&one, s, n);
    struct glob *g = glob_init(buf_cstring(&one), n & 1 ? '/' : '.', n & 2 ? GLOB_INBOXCASE : 0);
    glob_test(g, s + n, len - n);
    glob_test_prefix(g, s + n, len - n);
    check(glob_literal_prefix(g) <= n);
    glob_free(&g);
}

static void rights(const char *s, size_t len)
{
    struct acl_item item;
    uint32_t mask;
    char bad;

    buf_setmap(&one, s, len);
    const char *text = buf_cstring(&one);
    (void)cyrus_acl_strtomask(text, &mask, &bad);
    (void)cyrus_acl_strtomask_lax(s, len);
    for (const char *p = text; cyrus_acl_next(&p, &item);) check(p > text);
    char *acl = cyrus_acl_normalise(s, len);
    if (acl) {
        buf_reset(&two);
        cyrus_acl_print(acl, &two);
        char *again = cyrus_acl_normalise(acl, strlen(acl));
        check(again && !strcmp(acl, again));
        free(again);
    }
    free(acl);
}

static void words(const char *s, size_t len)
{
    buf_setmap(&one, s, len);
    const char *text = buf_cstring(&one);
    buf_reset(&two);
    struct sync_logline line = SYNC_LOGLINE_INITIALIZER;
    if (sync_log_line("MAILBOX", text, NULL, &two) && sync_logline_parse(buf_cstring(&two), &line) == SYNC_LOGREAD_OK)
        check(!strcmp(buf_cstring(&line.args[0]), text));
    (void)sync_logline_parse(text, &line);
    sync_logline_fini(&line);
    (void)imparse_isatom(text);
    (void)imparse_istag(text);
    (void)imparse_isnumber(text);
    (void)imparse_issequence(text);
}

/* What is signed is a piece of the text that is read alike when it stands alone. */
static void urls(const char *s, size_t len)
{
    struct imapurl url, again;

    buf_setmap(&one, s, len);
    bool ok = imapurl_parse(buf_cstring(&one), &url);
    if (ok && url.access) {
        check(url.signed_len <= strlen(buf_cstring(&one)));
        buf_setmap(&two, one.s, url.signed_len);
        check(imapurl_parse(buf_cstring(&two), &again) && !strcmp(again.access, url.access) && !again.mechanism &&
              again.uid == url.uid && again.signed_len == url.signed_len);
        imapurl_fini(&again);
    }
    imapurl_fini(&url);
}

void fuzz_text(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const char *, size_t) = { sets,     names,  base64, dates,
                                                           patterns, rights, words, urls };

    if (!size) return;
    kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))]((const char *)data + 1, size - 1);
}
