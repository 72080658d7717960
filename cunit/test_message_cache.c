/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cache records: what 3.6.1 wrote for some nine hundred messages, plain and broken
 * ones (cunit/data/cache-records.txt), is written byte for byte, and read again.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "buf.h"
#include "crc32.h"
#include "imap_err.h"
#include "message_cache.h"
#include "testutil.h"
#include "util.h"

static const char *const item_names[NUM_CACHE_FIELDS] = {
    "ENVELOPE", "BODYSTRUCTURE", "BODY", "SECTION", "HEADERS", "FROM", "TO", "CC", "BCC", "SUBJECT",
};

struct vector {
    char name[64];
    struct buf message, record;
};

/* The next line `name message record` in base64; false at the end. */
static bool next_vector(char **text, struct vector *v)
{
    char *line = strsep(text, "\n"), *word;

    if (!line || !*line) return false;
    word = strsep(&line, " ");
    snprintf(v->name, sizeof(v->name), "%s", word);
    word = strsep(&line, " ");
    buf_reset(&v->message);
    ck_assert_int_eq(base64_decode(word, strlen(word), BASE64_LENIENT, &v->message), 0);
    buf_reset(&v->record);
    ck_assert_int_eq(base64_decode(line, strlen(line), BASE64_LENIENT, &v->record), 0);
    return true;
}

typedef void vector_fn(const struct vector *v);

static int for_each_vector(vector_fn *fn)
{
    struct vector v = { "", BUF_INITIALIZER, BUF_INITIALIZER };
    struct buf file = BUF_INITIALIZER;
    char *text;
    int n = 0;

    test_readfile(TEST_SRCDIR "/cunit/data/cache-records.txt", &file);
    text = (char *)(uintptr_t)buf_cstring(&file);
    for (; next_vector(&text, &v); n++) fn(&v);
    buf_free(&v.message);
    buf_free(&v.record);
    buf_free(&file);
    return n;
}

static int mismatches;

/* Says which items differ, all of them, so that one run tells everything. */
static void compare_record(const struct vector *v)
{
    struct message_content *m = message_parse(v->message.s, v->message.len, NULL);
    struct cacherecord got, want;
    struct buf dst = BUF_INITIALIZER;
    uint32_t crc;

    buf_appendcstr(&dst, "before");
    message_write_cache(m, &dst, &crc);
    message_content_free(&m);
    ck_assert_int_eq(cacherecord_parse_crc(dst.s + 6, dst.len - 6, crc, &got), 0);
    ck_assert_uint_eq(got.len, dst.len - 6);
    ck_assert_int_eq(cacherecord_parse(v->record.s, v->record.len, &want), 0);
    ck_assert_uint_eq(want.len, v->record.len);
    for (int i = 0; i < NUM_CACHE_FIELDS; i++) {
        struct msgtext g = cacheitem_text(&got, (enum cache_item)i);
        struct msgtext w = cacheitem_text(&want, (enum cache_item)i);

        if (g.len == w.len && (!g.len || !memcmp(g.s, w.s, g.len))) continue;
        fprintf(stderr, "%s %s\n  got  %.*s\n  want %.*s\n", v->name, item_names[i], (int)g.len,
                g.s, (int)w.len, w.s);
        mismatches++;
    }
    if (!mismatches) {
        ck_assert_bytes_eq(dst.s + 6, dst.len - 6, v->record.s, v->record.len);
        ck_assert_uint_eq(crc, crc32_buf(&v->record));
    }
    buf_free(&dst);
}

START_TEST(test_records_of_361)
{
    ck_assert_int_gt(for_each_vector(compare_record), 850);
    ck_assert_msg(!mismatches, "%d items differ", mismatches);
}
END_TEST

static void read_items(const struct vector *v)
{
    struct msgtext tokens[NUM_ENVELOPE_TOKENS], subject;
    struct message_content *m = message_parse(v->message.s, v->message.len, NULL);
    const struct message_fields *f = &m->body->fields;
    const struct rfc822_address *want = f->to;
    struct rfc822_address addr;
    struct cacherecord rec;

    ck_assert_int_eq(cacherecord_parse(v->record.s, v->record.len, &rec), 0);
    ck_assert_int_eq(cacheitem_parse_envelope(cacheitem_base(&rec, CACHE_ENVELOPE),
                                              cacheitem_size(&rec, CACHE_ENVELOPE), tokens),
                     0);
    ck_assert_int_eq(!tokens[ENV_SUBJECT].s, !f->subject.s);
    ck_assert_bytes_eq(tokens[ENV_SUBJECT].s, tokens[ENV_SUBJECT].len, f->subject.s,
                       f->subject.len);
    ck_assert_bytes_eq(tokens[ENV_MSGID].s, tokens[ENV_MSGID].len, f->message_id.s,
                       f->message_id.len);
    while (cacheitem_next_address(&tokens[ENV_TO], &addr)) {
        ck_assert_ptr_nonnull(want);
        ck_assert_bytes_eq(addr.name.s, addr.name.len, want->name.s, want->name.len);
        ck_assert_bytes_eq(addr.mailbox.s, addr.mailbox.len, want->mailbox.s, want->mailbox.len);
        ck_assert_bytes_eq(addr.domain.s, addr.domain.len, want->domain.s, want->domain.len);
        want = want->next;
    }
    ck_assert_ptr_null(want);
    ck_assert_int_eq(cacheitem_parse_nstring(cacheitem_base(&rec, CACHE_SUBJECT),
                                             cacheitem_size(&rec, CACHE_SUBJECT), &subject),
                     0);
    message_content_free(&m);
}

START_TEST(test_items_are_read)
{
    for_each_vector(read_items);
}
END_TEST

/* A record cut anywhere, or with any length made large, is told from a whole one. */
START_TEST(test_damaged_records)
{
    static const char message[] = "From: a@b.c\r\nSubject: x\r\nX-Mailer: y\r\n\r\nbody\r\n";
    struct message_content *m = message_parse(message, strlen(message), NULL);
    struct buf dst = BUF_INITIALIZER;
    struct cacherecord rec;
    uint32_t crc;

    message_write_cache(m, &dst, &crc);
    message_content_free(&m);
    for (size_t len = 0; len < dst.len; len++)
        ck_assert_int_eq(cacherecord_parse(dst.s, len, &rec), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(cacherecord_parse(dst.s, dst.len, &rec), 0);
    for (int i = 0; i < NUM_CACHE_FIELDS; i++) {
        char *word = dst.s + rec.item[i].offset - 4;
        uint32_t len = rec.item[i].len;
        struct cacherecord bad;

        put_be32(word, 0xfffffffd);
        ck_assert_int_eq(cacherecord_parse(dst.s, dst.len, &bad), IMAP_MAILBOX_BADFORMAT);
        put_be32(word, (uint32_t)dst.len);
        ck_assert_int_eq(cacherecord_parse(dst.s, dst.len, &bad), IMAP_MAILBOX_BADFORMAT);
        put_be32(word, len);
    }
    ck_assert_int_eq(cacherecord_parse_crc(dst.s, dst.len, crc, &rec), 0);
    dst.s[20] ^= 1;
    ck_assert_int_eq(cacherecord_parse_crc(dst.s, dst.len, crc, &rec), IMAP_MAILBOX_CHECKSUM);
    buf_free(&dst);
}
END_TEST

START_TEST(test_envelopes_that_are_none)
{
    static const char *const bad[] = {
        "",
        "(",
        "()",
        "NIL",
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL",
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ",
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
        "({5}\r\nabc NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
        "({99999999999}\r\nabc NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
        "(NIL NIL ((NIL NIL NIL)) NIL NIL NIL NIL NIL NIL NIL)",
        "(NIL NIL ((NIL NIL NIL NIL) NIL NIL NIL NIL NIL NIL NIL)",
        "(\"abc NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
    };
    struct msgtext tokens[NUM_ENVELOPE_TOKENS];

    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_int_eq(cacheitem_parse_envelope(bad[i], strlen(bad[i]), tokens),
                         IMAP_MAILBOX_BADFORMAT);
}
END_TEST

START_TEST(test_cached_headers)
{
    strarray_t names = STRARRAY_INITIALIZER;

    ck_assert_uint_eq(mailbox_cached_header("PRIORITY", 8), 0);
    ck_assert_uint_eq(mailbox_cached_header("reply-to", 8), 7);
    ck_assert_uint_eq(mailbox_cached_header("X-Other", 7), BIT32_MAX_CACHE_VERSION);
    ck_assert_uint_eq(mailbox_cached_header("X", 1), 1);
    ck_assert_uint_eq(mailbox_cached_header("Abcdefghijklmnopqrstuvwxyzabcde", 31), 1);
    ck_assert_uint_eq(mailbox_cached_header("Abcdefghijklmnopqrstuvwxyzabcdef", 32),
                      BIT32_MAX_CACHE_VERSION);
    strarray_append(&names, "References");
    strarray_append(&names, "Sender");
    ck_assert(mailbox_headers_cached(&names, 11));
    ck_assert(!mailbox_headers_cached(&names, 6));
    strarray_append(&names, "Subject");
    ck_assert(!mailbox_headers_cached(&names, BIT32_MAX_CACHE_VERSION));
    strarray_fini(&names);
}
END_TEST

Suite *message_cache_suite(void)
{
    Suite *s = suite_create("message_cache");
    TCase *tc = tcase_create("records");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_records_of_361);
    tcase_add_test(tc, test_items_are_read);
    tcase_add_test(tc, test_damaged_records);
    tcase_add_test(tc, test_envelopes_that_are_none);
    tcase_add_test(tc, test_cached_headers);
    suite_add_tcase(s, tc);
    return s;
}
