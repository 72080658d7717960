/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages: the checks of APPEND, literal8, ids and subjects of conversations, dates,
 * and mail that was made to hurt. What 3.6.1 writes into cache records is tested by
 * test_message_cache.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "imap_err.h"
#include "message.h"
#include "message_check.h"
#include "message_conv.h"
#include "message_header.h"
#include "testutil.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"

/* ---- checks ---- */

#define TEXT(s) s, sizeof(s) - 1

START_TEST(test_checks)
{
    static const struct {
        const char *s;
        size_t len;
        unsigned flags;
        int want;
    } cases[] = {
        { TEXT(""), 0, IMAP_ZERO_LENGTH_LITERAL },
        { TEXT("\0"), 0, IMAP_MESSAGE_CONTAINSNULL },
        { TEXT("a: b\r\n\r\nx\0y"), 0, IMAP_MESSAGE_CONTAINSNULL },
        { TEXT("bad\r\nx: \0\r\n\r\n"), 0, IMAP_MESSAGE_CONTAINSNULL },
        { TEXT("bad\r\n\r\nx\ny"), 0, IMAP_MESSAGE_CONTAINSNL },
        { TEXT("a: b\n\r\nx\r\n"), 0, IMAP_MESSAGE_CONTAINSNL },
        { TEXT("\nx"), 0, IMAP_MESSAGE_CONTAINSNL },
        { TEXT("x"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT("x: y"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT("x: y\r"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT("x: y\r\n"), 0, 0 },
        { TEXT("x: y\r\nz: w"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT(" x"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT(" x\r\n"), 0, 0 },
        { TEXT(": x\r\n\r\n"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT("x : y\r\n\r\n"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT("x\x7fy: z\r\n\r\n"), 0, 0 },
        { TEXT("x\x7fy: z\r\n\r\n"), MESSAGE_CHECK_LMTP, IMAP_MESSAGE_BADHEADER },
        { TEXT("x\x80: z\r\n\r\n"), 0, 0 },
        { TEXT("x\x80: z\r\n\r\n"), MESSAGE_CHECK_LMTP, IMAP_MESSAGE_BADHEADER },
        { TEXT("a: b\r\nFrom x\r\n\r\n"), 0, 0 },
        { TEXT("Fromx\r\n\r\n"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT(">From x\r\n\r\n"), 0, IMAP_MESSAGE_BADHEADER },
        { TEXT("a: b\r\n\r\r\nfoo\r\n"), 0, 0 },
        { TEXT("a: b\r\n\rfoo\r\nbar\r\n"), 0, 0 },
        { TEXT("a: b\r\n\r\nx\ry\r\nbad\r\n"), 0, 0 },
        { TEXT("\r"), 0, 0 },
        { TEXT("bad\r\nx: \x80\r\n\r\n"), MESSAGE_CHECK_REJECT8BIT, IMAP_MESSAGE_CONTAINS8BIT },
        { TEXT("x: \x80\r\n\r\n\0"), MESSAGE_CHECK_REJECT8BIT, IMAP_MESSAGE_CONTAINSNULL },
        { TEXT("x: y\r\n \x80\r\n\r\n"), MESSAGE_CHECK_REJECT8BIT, IMAP_MESSAGE_CONTAINS8BIT },
        { TEXT("x: y\r\n\r\n\x80"), MESSAGE_CHECK_REJECT8BIT, 0 },
        { TEXT("x: y\r\n\r\r\n\x80: x\r\n"), MESSAGE_CHECK_REJECT8BIT, 0 },
        { TEXT("x: y\r\n\r\na\0b\n"), MESSAGE_CHECK_BINARY, 0 },
        { TEXT("x: \0y\r\n\r\nab"), MESSAGE_CHECK_BINARY, IMAP_MESSAGE_CONTAINSNULL },
        { TEXT("x: y\nz: w\r\n\r\nab"), MESSAGE_CHECK_BINARY, IMAP_MESSAGE_CONTAINSNL },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        int r = message_check(cases[i].s, cases[i].len, cases[i].flags);

        ck_assert_msg(r == cases[i].want, "case %zu: %s", i, error_message(r));
    }
}
END_TEST

START_TEST(test_8bit)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        { "a: b\x80\r\n\r\n\x80", "a: bX\r\n\r\n\x80" },
        { "a\x80: \xc3\xbc\r\n \x81\r\nb: c\x82\r\n", "aX: XX\r\n X\r\nb: cX\r\n" },
        { "a: b\r\n\r\r\n\x80: x\r\n", "a: b\r\n\r\r\n\x80: x\r\n" },
        { "a: b\r\n\r\x80: x\r\n\r\n\x80", "a: b\r\n\rX: x\r\n\r\n\x80" },
        { "\r\nx\x80", "\r\nx\x80" },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        char *text = xstrdup(cases[i].before);

        ck_assert_int_eq(message_header_has8bit(text, strlen(text)),
                         strcmp(cases[i].before, cases[i].after) != 0);
        message_munge8bit(text, strlen(text));
        ck_assert_str_eq(text, cases[i].after);
        free(text);
    }
}
END_TEST

START_TEST(test_literal8)
{
    static const struct {
        const char *s;
        size_t len;
        const char *want; /* NULL: as it is */
    } cases[] = {
        { TEXT("Content-Transfer-Encoding: binary\r\n\r\n\0\1\xff\xfe"
               "bin"),
          "Content-Transfer-Encoding: base64\r\n\r\nAAH//mJpbg==\r\n" },
        { TEXT("Content-Transfer-Encoding:\r\n BINARY (c)\r\n\r\na\0b"),
          "Content-Transfer-Encoding:\r\n base64 (c)\r\n\r\nYQBi\r\n" },
        { TEXT("Content-Transfer-Encoding: binary\r\n\r\n"),
          "Content-Transfer-Encoding: base64\r\n\r\n" },
        { TEXT("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
               "Content-Transfer-Encoding: binary\r\n\r\nab\0c\r\n--x\r\n\r\nplain\0\r\n--x--\r\n"),
          NULL },
        { TEXT("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n"
               "Content-Transfer-Encoding: binary\r\n\r\na\0b"),
          "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n"
          "Content-Transfer-Encoding: base64\r\n\r\nYQBi\r\n" },
        { TEXT("Subject: no\r\n\r\na\0b"), NULL },
        { TEXT("Content-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: 7bit\r\n\r\nab"),
          NULL },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf got = BUF_INITIALIZER;
        bool changed = message_encode_binary(cases[i].s, cases[i].len, NULL, &got);

        if (i == 3) {
            static const char want[] = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
                                       "Content-Transfer-Encoding: base64\r\n\r\nYWIAYw==\r\n"
                                       "\r\n--x\r\n\r\nplain\0\r\n--x--\r\n";

            ck_assert(changed);
            ck_assert_bytes_eq(got.s, got.len, want, sizeof(want) - 1);
        }
        else {
            ck_assert_int_eq(changed, cases[i].want != NULL);
            ck_assert_str_eq(buf_cstring(&got), changed ? cases[i].want : "");
        }
        buf_free(&got);
    }
}
END_TEST

/* ---- ids and subjects ---- */

START_TEST(test_message_ids)
{
    static const struct {
        const char *text, *ids;
    } cases[] = {
        { "<a@b>", "<a@b>" },
        { "<a@b><c@d> <e@f>", "<a@b> <c@d> <e@f>" },
        { "junk <a@b> junk", "<a@b>" },
        { "<\"q \\\" u\"@d>", "<q \" u@d>" },
        { "<\"a@b\"@c>", "<a@b@c>" },
        { "<a b@c> <d@e>", "<d@e>" },
        { "<a> <@b> <c@> <>", "<@b> <c@>" },
        { "<<a@b>>", "<a@b>" },
        { "<a@b\r\n <c@d>", "<c@d>" },
        { "<a@b>\r\n <c@d>\r\nX: <e@f>", "<a@b> <c@d>" },
        { "<a\\b@c>", "" },
        { "<\"a@b", "" },
        { "<", "" },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        const char *p = cases[i].text, *end = p + strlen(p);
        struct buf got = BUF_INITIALIZER;
        char *id;

        while ((id = message_next_msgid(&p, end))) {
            buf_printf(&got, "%s%s", got.len ? " " : "", id);
            free(id);
        }
        ck_assert_msg(!strcmp(buf_cstring(&got), cases[i].ids), "%s gives %s", cases[i].text,
                      buf_cstring(&got));
        buf_free(&got);
    }
}
END_TEST

static void record_of(const char *message, struct buf *record, struct cacherecord *rec)
{
    struct message_content *m = message_parse(message, strlen(message), NULL);
    uint32_t crc;

    buf_reset(record);
    message_write_cache(m, record, &crc);
    message_content_free(&m);
    ck_assert_int_eq(cacherecord_parse(record->s, record->len, rec), 0);
}

static void check_ids(const char *message, const char *want)
{
    struct buf record = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct cacherecord rec;
    struct conv_msgids ids;

    record_of(message, &record, &rec);
    ck_assert_int_eq(conv_msgids_from_cache(&rec, &ids), 0);
    for (size_t i = 0; i < ids.count; i++)
        buf_printf(&got, "%s%s%s", i ? " " : "", ids.ids[i].msgid, ids.ids[i].x_me ? "!" : "");
    ck_assert_str_eq(buf_cstring(&got), want);
    conv_msgids_fini(&ids);
    buf_free(&record);
    buf_free(&got);
}

START_TEST(test_conversation_ids)
{
    struct buf many = BUF_INITIALIZER, want = BUF_INITIALIZER;

    check_ids("Subject: x\r\n\r\n", "");
    check_ids("X-ME-Message-ID: <m@e>\r\nMessage-ID: <Me@X>\r\nIn-Reply-To: , <r@x>\r\n"
              "References: <A@b> <c@d>\r\n <a@B>\r\n\r\n",
              "<a@b> <c@d> <r@x> <me@x> <m@e>!");
    check_ids("In-Reply-To: your mail <r@x>\r\nMessage-ID: <\xfc@x>\r\n\r\n", "");
    buf_appendcstr(&many, "References:");
    for (int i = 0; i < 30; i++) {
        buf_printf(&many, " <%d@x>", i);
        if (i < 20) buf_printf(&want, "%s<%d@x>", i ? " " : "", i);
    }
    buf_appendcstr(&many, "\r\n\r\n");
    check_ids(buf_cstring(&many), buf_cstring(&want));
    buf_free(&many);
    buf_free(&want);
}
END_TEST

START_TEST(test_conversation_subjects)
{
    static const struct {
        const char *subject, *normal, *old;
    } cases[] = {
        { "Re: alpha beta", "alphabeta", "alphabeta" },
        { "fw: alpha", "alpha", "alpha" },
        { "Antwort: alpha", "alpha", "alpha" },
        { "RE[2]: alpha", "alpha", "alpha" },
        { "Re:Sub:alpha:x y", "xy", "xy" },
        { "Re : alpha", "Re:alpha", "Re:alpha" },
        { "[list] Re: [x] alpha [SEC=U]", "alpha", "alpha" },
        { "x] alpha", "alpha", "x]alpha" },
        { "alpha [unclosed", "alpha", "alpha[unclosed" },
        { "a [b [c] d] e", "ae", "a[b[c]d]e" },
        { "10:30 meeting", "30meeting", "30meeting" },
        { "Re: ", "", "" },
        { "", "", "" },
        { "R\xc3\xa9: caf\xc3\xa9\xc2\xa0x", "caf\xc3\xa9x", "R\xc3\xa9:caf\xc3\xa9x" },
        { "SV: \\alpha", "\\alpha", "\\alpha" },
        { "a [DLM=For Official] ", "a", "a" },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf normal = BUF_INITIALIZER, old = BUF_INITIALIZER;

        conversation_normalise_subject(cases[i].subject, strlen(cases[i].subject), &normal);
        conversation_normalise_subject_old(cases[i].subject, strlen(cases[i].subject), &old);
        ck_assert_str_eq(buf_cstring(&normal), cases[i].normal);
        ck_assert_str_eq(buf_cstring(&old), cases[i].old);
        buf_free(&normal);
        buf_free(&old);
    }
}
END_TEST

START_TEST(test_base_subjects)
{
    static const struct {
        const char *subject, *base;
        bool reply;
    } cases[] = {
        { "Hello", "HELLO", false },
        { "  Hello \t World ", "HELLO WORLD", false },
        { "Re: hello", "HELLO", true },
        { "re [2] : fw: FWD: hello", "HELLO", true },
        { "[list] Re: [x] [y] hello", "HELLO", true },
        { "[list] hello", "HELLO", false },
        { "[list]", "[LIST]", false },
        { "[a] [b]", "[B]", false },
        { "hello (fwd) (FWD)", "HELLO", true },
        { "[Fwd: Re: hello]", "HELLO", true },
        { "[fwd: [fwd: hello] (fwd)]", "HELLO", true },
        { "Rex: hello", "REX: HELLO", false },
        { "Re:", "", true },
        { "", "", false },
        { "[[a]] x", "[[A]] X", false },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf base = BUF_INITIALIZER;
        bool reply = message_base_subject(cases[i].subject, strlen(cases[i].subject), &base);

        ck_assert_str_eq(buf_cstring(&base), cases[i].base);
        ck_assert_msg(reply == cases[i].reply, "%s", cases[i].subject);
        buf_free(&base);
    }
}
END_TEST

START_TEST(test_senders)
{
    struct buf record = BUF_INITIALIZER;
    struct rfc822_address addr;
    struct cacherecord rec;

    record_of("Subject: x\r\n\r\n", &record, &rec);
    ck_assert(!conv_sender_from_cache(&rec, &addr));
    record_of("From: A B <c@d>, e@f\r\n\r\n", &record, &rec);
    ck_assert(conv_sender_from_cache(&rec, &addr));
    ck_assert_bytes_eq(addr.name.s, addr.name.len, "A B", 3);
    ck_assert_bytes_eq(addr.domain.s, addr.domain.len, "d", 1);
    buf_free(&record);
}
END_TEST

/* ---- what a message says of itself ---- */

START_TEST(test_dates)
{
    static const struct {
        const char *header;
        time_t gmtime, sentdate, received;
    } cases[] = {
        { "Date: Mon, 02 Jan 2023 03:04:05 +0100\r\n\r\n", 1672625045, 1672617600, 0 },
        { "Date: Tue, 3 Jan 2023 23:30:00 -0500\r\n\r\n", 1672806600, 1672704000, 0 },
        { "Date: nonsense\r\n\r\n", 0, 0, 0 },
        { "Date: Monday, 2 January 2023 03:04:05\r\n\r\n", 1672628645, 1672617600, 0 },
        { "Date: 2 Jan 2023\r\n\r\n", 1672617600, 1672617600, 0 },
        { "Date: Mon, 2 Jan 1950 03:04:05 +0000\r\n\r\n", 0, 0, 0 },
        { "Subject: x\r\n\r\n", 0, 0, 0 },
        { "Received: by x; Mon, 02 Jan 2023 00:00:00 +0000\r\nReceived: y; Tue, 3 Jan 2023 "
          "00:00:00 +0000\r\n\r\n",
          0, 0, 1672617600 },
        { "Received: by x; 2 Jan 2023 00:00:00 +0000\r\nX-DeliveredInternalDate: 3 Jan 2023 "
          "00:00:00 +0000\r\n\r\n",
          0, 0, 1672704000 },
        { "Received: by nobody\r\n\r\n", 0, 0, 0 },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct message_content *m = message_parse(cases[i].header, strlen(cases[i].header), NULL);
        time_t gmtime, sentdate;

        message_dates(m, &gmtime, &sentdate);
        ck_assert_int_eq(gmtime, cases[i].gmtime);
        ck_assert_int_eq(sentdate, cases[i].sentdate);
        ck_assert_int_eq(message_received_time(m), cases[i].received);
        message_content_free(&m);
    }
}
END_TEST

/*
 * What 3.6.1 had in its index for Date fields that it could read: lines `date gmtime sentdate
 * sentdate` with tabs, sentdate in UTC and in New York.
 */
START_TEST(test_dates_of_361)
{
    struct buf file = BUF_INITIALIZER;
    char *text, *line;
    int lines = 0;

    test_readfile(TEST_SRCDIR "/cunit/data/dates.txt", &file);
    text = (char *)(uintptr_t)buf_cstring(&file);
    for (; (line = strsep(&text, "\n")) && *line; lines++) {
        const char *date = strsep(&line, "\t");
        long gm = atol(strsep(&line, "\t"));

        for (int zone = 0; zone < 2; zone++) {
            struct buf message = BUF_INITIALIZER;
            struct message_content *m;
            time_t gmtime, sentdate;

            setenv("TZ", zone ? "America/New_York" : "UTC", 1);
            tzset();
            buf_printf(&message, "Date: %s\r\n\r\n", date);
            buf_replace_all(&message, "\\r\\n", "\r\n");
            m = message_parse(message.s, message.len, NULL);
            message_dates(m, &gmtime, &sentdate);
            ck_assert_msg(gmtime == gm, "%s: %ld, not %ld", date, (long)gmtime, gm);
            ck_assert_msg(sentdate == atol(strsep(&line, "\t")), "%s: %ld", date, (long)sentdate);
            message_content_free(&m);
            buf_free(&message);
        }
    }
    ck_assert_int_gt(lines, 50);
    buf_free(&file);
}
END_TEST

static const struct body *part(const struct body *body, unsigned n)
{
    const struct body *p = body->first;

    while (p && --n) p = p->next;
    ck_assert_ptr_nonnull(p);
    return p;
}

START_TEST(test_options)
{
    static const char nested[] = "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
                                 "--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
                                 "--b\r\n\r\none\r\n--b--\r\n--a\r\n\r\ntwo\r\n--a--\r\n";
    static const char sloppy[] = "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
                                 "--xyz\r\n\r\none\r\n--x--\r\n";
    static const char lines[] = "A: b\r\n c\r\n d\r\nSubject: s\r\nTo: t\r\n\r\n";
    struct message_config config = MESSAGE_CONFIG_INITIALIZER;
    struct message_content *m;

    config.boundary_limit = 2;
    m = message_parse(nested, strlen(nested), &config);
    ck_assert_uint_eq(m->body->nparts, 2);
    ck_assert(part(m->body, 1)->no_parts);
    ck_assert_uint_eq(part(m->body, 2)->content_size, 3);
    message_content_free(&m);

    m = message_parse(sloppy, strlen(sloppy), &config);
    ck_assert_uint_eq(m->body->nparts, 0);
    message_content_free(&m);
    config.rfc2046_strict = true;
    m = message_parse(sloppy, strlen(sloppy), &config);
    ck_assert_uint_eq(m->body->nparts, 1);
    message_content_free(&m);

    config.maxheaderlines = 3;
    m = message_parse(lines, strlen(lines), &config);
    ck_assert_ptr_nonnull(m->body->fields.subject.s);
    ck_assert_ptr_null(m->body->fields.to);
    message_content_free(&m);
}
END_TEST

/* The annotator's form has the places of parts. */
START_TEST(test_annotator_form)
{
    static const char text[] = "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
                               "--a\r\n\r\none\r\n--a--\r\n";
    struct message_content *m = message_parse(text, strlen(text), NULL);
    struct buf got = BUF_INITIALIZER;

    message_write_body(m->body, BODY_FORM_ANNOTATOR, &got);
    ck_assert_str_eq(buf_cstring(&got),
                     "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 3 0 NIL NIL "
                     "NIL NIL (OFFSET 50 HEADERSIZE 2)) \"MIXED\" (\"BOUNDARY\" \"a\") NIL NIL NIL "
                     "(OFFSET 0 HEADERSIZE 45))");
    message_content_free(&m);
    buf_free(&got);
}
END_TEST

/* ---- hostile mail: linear in its size, whatever it says ---- */

static void parse_and_write(const struct buf *text)
{
    struct message_content *m = message_parse(text->s, text->len, NULL);
    struct buf record = BUF_INITIALIZER;
    struct cacherecord rec;
    uint32_t crc;

    message_write_cache(m, &record, &crc);
    ck_assert_int_eq(cacherecord_parse(record.s, record.len, &rec), 0);
    message_content_free(&m);
    buf_free(&record);
}

static void repeat(struct buf *dst, const char *text, size_t times)
{
    while (times--) buf_appendcstr(dst, text);
}

START_TEST(test_huge_headers)
{
    struct buf text = BUF_INITIALIZER;

    buf_appendcstr(&text, "Subject: ");
    buf_appendfill(&text, 'x', 10000000);
    repeat(&text, "\r\n", 2);
    parse_and_write(&text);

    buf_setcstr(&text, "To: ");
    repeat(&text, "a@b, ", 200000);
    buf_appendcstr(&text, "\r\nSubject: ");
    repeat(&text, "=?utf-8?q?=C3?= ", 100000);
    buf_appendcstr(&text, "\r\nContent-Type: text/plain");
    repeat(&text, "; a*0=x", 200000);
    repeat(&text, "; a*1=x", 200000);
    buf_appendcstr(&text, "\r\nContent-Disposition: x; y=\"");
    repeat(&text, "\\\"", 500000);
    repeat(&text, "\r\n", 2);
    parse_and_write(&text);

    buf_setcstr(&text, "To: ");
    repeat(&text, "((((((((((", 200000);
    buf_appendcstr(&text, "\r\nCc: ");
    repeat(&text, "<@a,", 200000);
    repeat(&text, "\r\n", 2);
    parse_and_write(&text);
    buf_free(&text);
}
END_TEST

START_TEST(test_many_parts)
{
    struct buf text = BUF_INITIALIZER;
    struct message_content *m;

    buf_setcstr(&text, "Content-Type: multipart/mixed; boundary=x\r\n\r\n");
    repeat(&text, "--x\r\n\r\n\r\n", MESSAGE_MAX_PARTS + 1000);
    m = message_parse(text.s, text.len, NULL);
    ck_assert_uint_eq(m->body->nparts, MESSAGE_MAX_PARTS);
    message_content_free(&m);
    parse_and_write(&text);
    buf_free(&text);
}
END_TEST

START_TEST(test_deep_nesting)
{
    struct buf text = BUF_INITIALIZER;

    for (int i = 0; i < 3000; i++)
        buf_printf(&text,
                   "Content-Type: multipart/mixed; boundary=boundary%d\r\n\r\n--boundary%d\r\n", i,
                   i);
    repeat(&text, "--boundary99\r\n--boundary9999\r\n", 100000);
    parse_and_write(&text);

    buf_reset(&text);
    repeat(&text, "Content-Type: message/rfc822\r\n\r\n", 3000);
    repeat(&text, "text\r\n", 200000);
    parse_and_write(&text);
    buf_free(&text);
}
END_TEST

/* Lines that nearly are the boundary of a thousand multiparts. */
START_TEST(test_near_boundaries)
{
    struct buf text = BUF_INITIALIZER, line = BUF_INITIALIZER;

    for (int i = 0; i < 900; i++)
        buf_printf(&text, "Content-Type: multipart/mixed; boundary=%0100d\r\n\r\n--%0100d\r\n", i,
                   i);
    buf_printf(&line, "--%0100d\r\n", 1000);
    repeat(&text, buf_cstring(&line), 100000);
    parse_and_write(&text);
    buf_free(&text);
    buf_free(&line);
}
END_TEST

START_TEST(test_odd_bytes)
{
    static const struct {
        const char *s;
        size_t len;
    } cases[] = {
        { "", 0 },
        { TEXT("\0") },
        { TEXT("Subject: a\0b\r\n\r\n") },
        { TEXT("To: \0@\0\r\nFrom: \"\0\"\r\nContent-Type: \0/\0; \0=\0\r\n\r\n\0") },
        { TEXT("\n\n\n") },
        { TEXT("Subject: x\n\nContent\n") },
        { TEXT("\r\r\r\r") },
        { TEXT("Content-Type: multipart/mixed; boundary=\"\\\0\"\r\n\r\n--\0\r\n\r\n") },
        { TEXT("Content-Transfer-Encoding: base64\r\n\r\n====A===\0=") },
        { TEXT("Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r=\n==\0=A") },
    };

    for (size_t i = 0; i < array_size(cases); i++) {
        struct buf text = BUF_INITIALIZER;

        buf_appendmap(&text, cases[i].s, cases[i].len);
        parse_and_write(&text);
        buf_free(&text);
    }
}
END_TEST

/* Subjects made of what the rules take off. */
START_TEST(test_hostile_subjects)
{
    static const char *const pieces[] = {
        "[a]", "[", "]", "Re:", "[fwd:", "(fwd)", "a:", "]]", "x"
    };
    struct buf text = BUF_INITIALIZER, got = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(pieces); i++) {
        for (size_t j = 0; j < array_size(pieces); j++) {
            buf_reset(&text);
            repeat(&text, pieces[i], 100000);
            repeat(&text, pieces[j], 100000);
            message_base_subject(text.s, text.len, &got);
            conversation_normalise_subject(text.s, text.len, &got);
            conversation_normalise_subject_old(text.s, text.len, &got);
            buf_reset(&got);
        }
    }
    buf_free(&text);
    buf_free(&got);
}
END_TEST

static void set_zone(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
}

Suite *message_suite(void)
{
    Suite *s = suite_create("message");
    TCase *tc = tcase_create("message"), *hostile = tcase_create("hostile");

    tcase_add_checked_fixture(tc, set_zone, NULL);
    tcase_add_test(tc, test_checks);
    tcase_add_test(tc, test_8bit);
    tcase_add_test(tc, test_literal8);
    tcase_add_test(tc, test_message_ids);
    tcase_add_test(tc, test_conversation_ids);
    tcase_add_test(tc, test_conversation_subjects);
    tcase_add_test(tc, test_base_subjects);
    tcase_add_test(tc, test_senders);
    tcase_add_test(tc, test_dates);
    tcase_add_test(tc, test_dates_of_361);
    tcase_add_test(tc, test_options);
    tcase_add_test(tc, test_annotator_form);
    suite_add_tcase(s, tc);
    tcase_set_timeout(hostile, 30);
    tcase_add_test(hostile, test_huge_headers);
    tcase_add_test(hostile, test_many_parts);
    tcase_add_test(hostile, test_deep_nesting);
    tcase_add_test(hostile, test_near_boundaries);
    tcase_add_test(hostile, test_odd_bytes);
    tcase_add_test(hostile, test_hostile_subjects);
    suite_add_tcase(s, hostile);
    return s;
}
