/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sections: what 3.6.1 answered to FETCH BODY[...] and BINARY[...] of many messages
 * (cunit/data/sections.txt), served from its cache records. Lines are `message item
 * section answer [status]` with tabs; an answer is NIL, BAD, - (none) or " and base64.
 * Left out: TEXT of a message whose multipart has no parts, which 3.6.1 shows empty and we do not.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "buf.h"
#include "hash.h"
#include "imap_err.h"
#include "message_section.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

struct stored {
    struct buf message, record;
    struct cacherecord rec;
};

static void decode(const char *text, struct buf *dst)
{
    ck_assert_int_eq(base64_decode(text, strlen(text), BASE64_LENIENT, dst), 0);
}

static void load_messages(hash_table *messages)
{
    struct buf file = BUF_INITIALIZER;
    char *text, *line;

    test_readfile(TEST_SRCDIR "/cunit/data/cache-records.txt", &file);
    text = (char *)(uintptr_t)buf_cstring(&file);
    while ((line = strsep(&text, "\n")) && *line) {
        char *name = strsep(&line, " ");
        struct stored *m = xzmalloc(sizeof(*m));

        decode(strsep(&line, " "), &m->message);
        decode(line, &m->record);
        ck_assert_int_eq(cacherecord_parse(m->record.s, m->record.len, &m->rec), 0);
        hash_insert(name, m, messages);
    }
    buf_free(&file);
}

static void free_message(void *data)
{
    struct stored *m = data;

    buf_free(&m->message);
    buf_free(&m->record);
    free(m);
}

/* "(Subject From)" */
static void read_names(const char *s, strarray_t *names)
{
    strarray_t *split;

    ck_assert_int_eq(*s, '(');
    split = strarray_nsplit(s + 1, strcspn(s + 1, ")"), " ", 0);
    strarray_cat(names, split);
    strarray_free(split);
}

static void check_fields(const struct stored *m, const struct section_range *range,
                         const struct section_spec *spec, const char *list, struct buf *got)
{
    strarray_t names = STRARRAY_INITIALIZER;
    bool not = spec->what == SECTION_FIELDS_NOT;

    read_names(list, &names);
    section_fields(range, m->message.s, m->message.len, &names, not, got);
    if (!not &&!spec->path.len && mailbox_headers_cached(&names, MAILBOX_CACHE_MINOR_VERSION)) {
        struct buf cached = BUF_INITIALIZER;

        section_fields_cached(&m->rec, &names, &cached);
        ck_assert_bytes_eq(cached.s, cached.len, got->s + 1, got->len - 1);
        buf_free(&cached);
    }
    strarray_fini(&names);
}

/* The answer as the file has it. */
static void answer(const struct stored *m, const char *item, const char *section, struct buf *got)
{
    bool binary = strcmp(item, "BODY");
    struct section_range range;
    struct section_spec spec;
    size_t used;
    int r;

    if (!section_spec_parse(section, strlen(section), &spec, &used) ||
        (binary && (spec.has_zero || section[used]))) {
        buf_setcstr(got, binary ? "-" : "BAD");
        return;
    }
    r = section_find(&m->rec, MAILBOX_CACHE_MINOR_VERSION, m->message.len, &spec, &range);
    if (r) {
        ck_assert_int_eq(r, IMAP_NOTFOUND);
        buf_setcstr(got, strcmp(item, "BINARY.SIZE") ? "NIL" : "\"0");
        return;
    }
    buf_setcstr(got, "\"");
    if (binary) {
        if (section_binary(&range, m->message.s, m->message.len, got)) buf_setcstr(got, "-");
        if (!strcmp(item, "BINARY.SIZE") && got->s[0] == '"') {
            size_t size = got->len - 1;

            buf_truncate(got, 1);
            buf_printf(got, "%zu", size);
        }
    }
    else if (section[used]) {
        check_fields(m, &range, &spec, section + used + 1, got);
    }
    else {
        struct msgtext view = section_view(&range, m->message.s, m->message.len, 0, UINT64_MAX);

        buf_appendmap(got, view.s, view.len);
    }
}

START_TEST(test_answers_of_361)
{
    struct buf file = BUF_INITIALIZER, got = BUF_INITIALIZER, want = BUF_INITIALIZER;
    hash_table messages;
    char *text, *line;
    int lines = 0;

    construct_hash_table(&messages, 2000);
    load_messages(&messages);
    test_readfile(TEST_SRCDIR "/cunit/data/sections.txt", &file);
    text = (char *)(uintptr_t)buf_cstring(&file);
    for (; (line = strsep(&text, "\n")) && *line; lines++) {
        const char *name = strsep(&line, "\t"), *item = strsep(&line, "\t");
        const char *section = strsep(&line, "\t"), *value = strsep(&line, "\t");
        struct stored *m = hash_lookup(name, &messages);

        ck_assert_ptr_nonnull(m);
        buf_setcstr(&want, value);
        if (*value == '"') {
            buf_truncate(&want, 1);
            decode(value + 1, &want);
        }
        buf_reset(&got);
        answer(m, item, section, &got);
        ck_assert_msg(buf_equal(&got, &want), "%s %s[%s]: got %s, want %s", name, item, section,
                      buf_cstring(&got), buf_cstring(&want));
    }
    ck_assert_int_gt(lines, 3000);
    buf_free(&file);
    buf_free(&got);
    buf_free(&want);
    free_hash_table(&messages, free_message);
}
END_TEST

START_TEST(test_section_texts)
{
    static const struct {
        const char *text;
        bool good;
        enum section_what what;
        const char *path;
    } cases[] = {
        { "", true, SECTION_BODY, "" },
        { "]", true, SECTION_BODY, "" },
        { "1", true, SECTION_BODY, "1" },
        { "0", true, SECTION_BODY, "0" },
        { "1.0]", true, SECTION_BODY, "1.0" },
        { "1.23.4]", true, SECTION_BODY, "1.23.4" },
        { "header", true, SECTION_HEADER, "" },
        { "1.mime]", true, SECTION_MIME, "1" },
        { "1.Text]", true, SECTION_TEXT, "1" },
        { "HEADER.FIELDS (a)]", true, SECTION_FIELDS, "" },
        { "2.HEADER.FIELDS.NOT (a)]", true, SECTION_FIELDS_NOT, "2" },
        { "MIME", false, 0, "" },
        { "01", false, 0, "" },
        { "1.", false, 0, "" },
        { "1..2", false, 0, "" },
        { ".1", false, 0, "" },
        { "FOO", false, 0, "" },
        { "1.FOO", false, 0, "" },
        { "1TEXT", false, 0, "" },
        { "TEXTX", false, 0, "" },
        { "TEXT.1", false, 0, "" },
        { "0.MIME", false, 0, "" },
        { "1.0.HEADER", false, 0, "" },
        { "99999999999", false, 0, "" },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct section_spec spec;
        size_t used;
        bool good = section_spec_parse(cases[i].text, strlen(cases[i].text), &spec, &used);

        ck_assert_msg(good == cases[i].good, "%s", cases[i].text);
        if (!good) continue;
        ck_assert_int_eq((int)spec.what, (int)cases[i].what);
        ck_assert_bytes_eq(spec.path.s, spec.path.len, cases[i].path, strlen(cases[i].path));
    }
}
END_TEST

static int collect(const char *path, const struct section_part *part, void *rock)
{
    struct buf *dst = rock;

    buf_printf(dst, "%s%s:%u", dst->len ? " " : "", path, part->content_size);
    return strcmp(path, "stop") ? 0 : 1;
}

static int stop_at_two(const char *path, const struct section_part *part, void *rock)
{
    collect(path, part, rock);
    return !strcmp(path, "2") ? 7 : 0;
}

static void write_record(const char *message, struct buf *dst, struct cacherecord *rec)
{
    struct message_content *m = message_parse(message, strlen(message), NULL);
    uint32_t crc;

    message_write_cache(m, dst, &crc);
    message_content_free(&m);
    ck_assert_int_eq(cacherecord_parse(dst->s, dst->len, rec), 0);
}

static const char tree[] = "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
                           "--x\r\n\r\na\r\n"
                           "--x\r\nContent-Type: message/rfc822\r\n\r\n"
                           "Content-Type: multipart/mixed; boundary=y\r\n\r\n"
                           "--y\r\n\r\nbb\r\n--y\r\n\r\nccc\r\n--y--\r\n\r\n"
                           "--x\r\nContent-Type: multipart/alternative; boundary=z\r\n\r\n"
                           "--z\r\n\r\ndddd\r\n--z--\r\n\r\n"
                           "--x\r\n\r\neeeee\r\n--x--\r\n";

START_TEST(test_all_parts)
{
    struct buf record = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct cacherecord rec;

    write_record(tree, &record, &rec);
    ck_assert_int_eq(section_foreach(&rec, 11, collect, &got), 0);
    ck_assert_str_eq(buf_cstring(&got), "1:1 2:75 2.1:2 2.2:3 3:20 3.1:4 4:5");
    buf_reset(&got);
    ck_assert_int_eq(section_foreach(&rec, 11, stop_at_two, &got), 7);
    ck_assert_str_eq(buf_cstring(&got), "1:1 2:75");
    buf_free(&record);
    buf_reset(&got);
    write_record("Subject: x\r\n\r\nbody\r\n", &record, &rec);
    ck_assert_int_eq(section_foreach(&rec, 11, collect, &got), 0);
    ck_assert_str_eq(buf_cstring(&got), "1:6");
    buf_free(&record);
    buf_free(&got);
}
END_TEST

/* Whatever bytes the item has: an error or ranges inside the message, and an end. */
START_TEST(test_damaged_items)
{
    struct buf record = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct section_range range;
    struct section_spec spec;
    struct cacherecord rec;
    size_t used;
    int bad = 0;

    write_record(tree, &record, &rec);
    ck_assert(section_spec_parse("2.2", 3, &spec, &used));
    for (size_t i = 0; i < cacheitem_size(&rec, CACHE_SECTION); i++) {
        char *byte = record.s + rec.item[CACHE_SECTION].offset + i, was = *byte;

        for (int v = 0; v < 256; v += 51) {
            *byte = (char)v;
            if (!section_find(&rec, 11, strlen(tree), &spec, &range))
                ck_assert_uint_le((uint64_t)range.offset + range.size, strlen(tree));
            else
                bad++;
            buf_reset(&got);
            section_foreach(&rec, 11, collect, &got);
        }
        *byte = was;
    }
    ck_assert_int_gt(bad, 100);
    for (uint32_t len = 0; len < 240; len++) {
        rec.item[CACHE_SECTION].len = len;
        ck_assert_int_eq(section_find(&rec, 11, strlen(tree), &spec, &range),
                         IMAP_MAILBOX_BADFORMAT);
        ck_assert_int_eq(section_foreach(&rec, 11, collect, &got), IMAP_MAILBOX_BADFORMAT);
    }
    buf_free(&record);
    buf_free(&got);
}
END_TEST

START_TEST(test_views)
{
    static const char msg[] = "0123456789";
    struct section_range range = { .offset = 2, .size = 5 };
    struct msgtext v = section_view(&range, msg, 10, 0, UINT64_MAX);

    ck_assert_bytes_eq(v.s, v.len, "23456", 5);
    v = section_view(&range, msg, 10, 4, 3);
    ck_assert_bytes_eq(v.s, v.len, "6", 1);
    v = section_view(&range, msg, 10, UINT64_MAX, UINT64_MAX);
    ck_assert_uint_eq(v.len, 0);
    v = section_view(&range, msg, 4, 1, 1);
    ck_assert_bytes_eq(v.s, v.len, "3", 1);
    v = section_view(&range, msg, 1, 0, 1);
    ck_assert_uint_eq(v.len, 0);
}
END_TEST

Suite *message_section_suite(void)
{
    Suite *s = suite_create("message_section");
    TCase *tc = tcase_create("sections");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_answers_of_361);
    tcase_add_test(tc, test_section_texts);
    tcase_add_test(tc, test_all_parts);
    tcase_add_test(tc, test_damaged_items);
    tcase_add_test(tc, test_views);
    suite_add_tcase(s, tc);
    return s;
}
