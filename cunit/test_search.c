/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SEARCH without a mailbox: keys from memory streams against messages in memory. What
 * is found and what is refused is what 3.6.1 was seen to do, but for the defects that
 * handbook 04 §3.14 lists.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "imap_err.h"
#include "imparse.h"
#include "message_cache.h"
#include "prot.h"
#include "search_expr.h"
#include "testutil.h"
#include "times.h"
#include "util.h"

/* Line ends become CRLF. */
static const char *const messages[] = {
    "From: a@b.c\nSubject: one\nX-Spam-score: 5.5\nX-Original-Delivered-To: xodt@x\n"
    "List-Id: <list.one>\n\nbody text one two\nthree\n",

    "From: =?utf-8?q?J=C3=BCrgen?= (comment here) <j@x.y>\n"
    "Subject: =?utf-8?q?caf=C3=A9_st=C3=B8r?= two\nMessage-ID: <m2@x>\n"
    "Content-Type: multipart/mixed; boundary=b\n\npreamble\n"
    "--b\nContent-Type: text/plain; charset=utf-8; name=\"partname\"\nX-Part: "
    "parthdr\n\nplainpart\n"
    "--b\nContent-Type: message/rfc822\n\nSubject: innersubj\n"
    "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
    "<b>inn</b>er gr=FC=DFe\n"
    "--b\nContent-Type: application/octet-stream; name=\"att.bin\"\n"
    "Content-Disposition: attachment; filename*=utf-8''f%C3%A4le.bin\n"
    "Content-Transfer-Encoding: base64\n\nYXR0YWNobWVudGNvbnRlbnQ=\n"
    "--b\nContent-Type: image/png\n\nimagetext\n--b--\nepilogue\n",

    "From: \"Quoted. Name\" <Q@Z.W>\nTo: group: g1@x, g2@y;\nSubject: a  b\n c\n"
    "X-Spam-Score: 3\nX-Empty:\n\nline\n break here\nfoo   bar\n",
};
#define N 3

struct world {
    struct index_record rec[N];
    struct index_message msg[N];
    struct buf file[N], cache[N];
    strarray_t flags, counted;
    struct search_source source;
    int cache_reads, message_reads;
    bool broken; /* no message file can be read */
    struct conversation conv;
    uint32_t counts[1];
};

static int get_cache(void *rock, const struct index_record *rec, struct buf *view)
{
    struct world *w = rock;

    w->cache_reads++;
    buf_init_ro(view, w->cache[rec->uid / 10 - 1].s, w->cache[rec->uid / 10 - 1].len);
    return 0;
}

static int get_message(void *rock, const struct index_record *rec, struct buf *bytes)
{
    struct world *w = rock;

    w->message_reads++;
    if (w->broken) return IMAP_IOERROR;
    buf_init_ro(bytes, w->file[rec->uid / 10 - 1].s, w->file[rec->uid / 10 - 1].len);
    return 0;
}

static int get_annotation(void *rock, const struct index_record *rec, const char *entry,
                          bool shared, struct buf *value)
{
    (void)rock;
    if (rec->uid == 20 && shared && !strcmp(entry, "/comment")) buf_setcstr(value, "A Remark");
    return 0;
}

static int get_conversation(void *rock, conversation_id_t cid, const struct conversation **conv)
{
    struct world *w = rock;

    *conv = cid == 0xabc ? &w->conv : NULL;
    return 0;
}

static void add_message(struct world *w, int i)
{
    struct index_record *rec = &w->rec[i];
    struct message_content *m;

    buf_setcstr(&w->file[i], messages[i]);
    buf_tocrlf(&w->file[i]);
    m = message_parse(w->file[i].s, w->file[i].len, NULL);
    message_write_cache(m, &w->cache[i], &rec->cache_crc);
    message_content_free(&m);
    rec->uid = (uint32_t)(i + 1) * 10;
    rec->size = (uint32_t)w->file[i].len;
    rec->modseq = (modseq_t)i + 5;
    rec->cache_version = MAILBOX_CACHE_MINOR_VERSION;
    message_guid_generate(&rec->guid, w->file[i].s, w->file[i].len);
    rec->internaldate = 1644278400 + i * 86400; /* 8-Feb-2022 00:00 UTC */
    rec->sentdate = rec->internaldate - 86400 * 365;
    rec->savedate = rec->internaldate + 86400 * 365;
    w->msg[i].msgno = (uint32_t)i + 1;
    w->msg[i].uid = rec->uid;
}

static void world_init(struct world *w)
{
    *w = (struct world){ .flags = STRARRAY_INITIALIZER, .counted = STRARRAY_INITIALIZER };
    for (int i = 0; i < N; i++) add_message(w, i);
    strarray_append(&w->flags, "$First");
    strarray_append(&w->flags, "Junk");
    strarray_append(&w->counted, "\\Flagged");
    w->msg[0].system_flags = FLAG_SEEN | FLAG_ANSWERED;
    w->msg[1].system_flags = FLAG_DELETED;
    w->msg[1].user_flags[0] = 2;
    w->msg[1].recent = true;
    w->msg[2].system_flags = FLAG_SEEN | FLAG_FLAGGED;
    w->msg[2].recent = true;
    w->rec[1].cid = 0xabc;
    w->counts[0] = 1;
    w->conv = (struct conversation){ .unseen = 1, .modseq = 7, .counts = w->counts, .ncounts = 1 };
    w->source = (struct search_source){
        .rock = w,
        .mboxname = "user.alice",
        .flagnames = &w->flags,
        .exists = N,
        .last_uid = N * 10,
        .cache = get_cache,
        .message = get_message,
        .annotation = get_annotation,
        .conversation = get_conversation,
        .counted_flags = &w->counted,
    };
}

static void world_fini(struct world *w)
{
    for (int i = 0; i < N; i++) {
        buf_free(&w->file[i]);
        buf_free(&w->cache[i]);
    }
    strarray_fini(&w->flags);
    strarray_fini(&w->counted);
}

static bool folder(void *rock, extname_t external, struct buf *internal)
{
    (void)rock;
    if (strcmp(extname_text(external), "INBOX")) return false;
    buf_setcstr(internal, "user.alice");
    return true;
}

static const struct search_syntax syntax = {
    .conversations = true,
    .charset_flags = CHARSET_SKIPDIACRIT | CHARSET_MERGESPACE,
    .now = 1644278400 + 86400,
    .folder = folder,
};

/* Parses; with *expr NULL the error is in `error`. The line must be all there was. */
static struct search_expr *parse(const char *keys, const struct search_syntax *with,
                                 struct buf *error)
{
    struct buf line = BUF_INITIALIZER;
    struct protstream *in;
    struct search_expr *expr = NULL;
    int c;

    buf_printf(&line, "%s\r\nnext", keys);
    in = prot_readmap(line.s, line.len);
    c = search_parse(in, NULL, with, NULL, &expr, error);
    ck_assert_msg((c < 0) == !expr, "%s", keys);
    if (c >= 0)
        ck_assert_msg(c == '\r' || c == ')', "%s ends with %d", keys, c);
    else
        eatline(in, c, 0);
    if (c == '\r') ck_assert_int_eq(prot_getc(in), '\n');
    if (c != ')') ck_assert_msg(prot_getc(in) == 'n', "%s: the line is skipped", keys);
    prot_free(in);
    buf_free(&line);
    return expr;
}

static void run(struct world *w, struct search_expr *expr, struct buf *found)
{
    struct search_run *r = search_begin(expr, &w->source);

    buf_reset(found);
    for (int i = 0; i < N; i++) {
        if (search_match(r, &w->rec[i], &w->msg[i]))
            buf_printf(found, "%s%d", found->len ? " " : "", i + 1);
    }
    search_end(&r);
}

struct found_case {
    const char *keys, *found;
};

static void check_found(const struct found_case *cases, size_t n)
{
    struct buf found = BUF_INITIALIZER, error = BUF_INITIALIZER;
    struct world w;

    world_init(&w);
    for (size_t i = 0; i < n; i++) {
        struct search_expr *expr = parse(cases[i].keys, &syntax, &error);

        ck_assert_msg(expr != NULL, "%s: %s", cases[i].keys, buf_cstring(&error));
        run(&w, expr, &found);
        ck_assert_msg(!strcmp(buf_cstring(&found), cases[i].found), "%s finds %s, not %s",
                      cases[i].keys, buf_cstring(&found), cases[i].found);
        search_expr_free(&expr);
    }
    world_fini(&w);
    buf_free(&found);
    buf_free(&error);
}

START_TEST(test_index_keys)
{
    static const struct found_case cases[] = {
        { "ALL", "1 2 3" },
        { "1:2", "1 2" },
        { "*", "3" },
        { "0", "" },
        { "9:*", "3" },
        { "UID 15:*", "2 3" },
        { "UID 99:*", "3" },
        { "SEEN", "1 3" },
        { "unseen", "2" },
        { "ANSWERED", "1" },
        { "UNANSWERED", "2 3" },
        { "DELETED", "2" },
        { "UNDELETED", "1 3" },
        { "DRAFT", "" },
        { "UNDRAFT", "1 2 3" },
        { "FLAGGED", "3" },
        { "UNFLAGGED", "1 2" },
        { "RECENT", "2 3" },
        { "NEW", "2" },
        { "OLD", "1" },
        { "KEYWORD junk", "2" },
        { "UNKEYWORD Junk", "1 3" },
        { "KEYWORD nosuch", "" },
        { "UNKEYWORD nosuch", "1 2 3" },
        { "LARGER 300", "2" },
        { "SMALLER 300", "1 3" },
        { "BEFORE 9-Feb-2022", "1" },
        { "ON 9-Feb-2022", "2" },
        { "ON \"09-Feb-2022\"", "2" },
        { "SINCE 9-Feb-2022", "2 3" },
        { "SENTON 8-Feb-2021", "1" },
        { "SENTBEFORE 9-Feb-2021", "1" },
        { "SENTSINCE 9-Feb-2021", "2 3" },
        { "SAVEDON 9-Feb-2023", "2" },
        { "SAVEDBEFORE 9-Feb-2023", "1" },
        { "SAVEDSINCE 10-Feb-2023", "3" },
        { "SAVEDATESUPPORTED", "1 2 3" },
        { "OLDER 0", "1 2" },
        { "OLDER 86400", "1" },
        { "YOUNGER 0", "2 3" },
        { "YOUNGER 86400", "1 2 3" },
        { "MODSEQ 6", "2 3" },
        { "MODSEQ \"/flags/\\\\seen\" all 6", "2 3" },
        { "NOT SEEN", "2" },
        { "NOT NOT SEEN", "1 3" },
        { "OR DELETED FLAGGED", "2 3" },
        { "SEEN FLAGGED", "3" },
        { "(SEEN FLAGGED)", "3" },
        { "NOT (OR SEEN DELETED)", "" },
        { "OR (1 SEEN) (NOT (2:3))", "1" },
        { "FOLDER INBOX", "1 2 3" },
        { "FOLDER nosuch", "" },
        { "CID 0000000000000abc", "2" },
        { "THREADID T0000000000000abc", "2" },
        { "THREADID T0000000000000000", "" },
        { "THREADID NIL", "" },
        { "EMAILID x", "" },
        { "FUZZY DELETED", "2" },
        { "CONVFLAG \\Flagged", "2" },
        { "CONVFLAG \\Draft", "" },
        { "CONVUNSEEN 2", "2" },
        { "CONVSEEN", "" },
        { "CONVMODSEQ 7", "2" },
        { "CONVMODSEQ 8", "" },
        { "ANNOTATION /comment value.shared remark", "2" },
        { "ANNOTATION /comment value \"a  remark\"", "2" },
        { "ANNOTATION /comment value.priv remark", "" },
        { "ANNOTATION /other value remark", "" },
        { "ANNOTATION /comment value.shared NIL", "1 2 3" },
    };

    check_found(cases, array_size(cases));
}
END_TEST

START_TEST(test_text_keys)
{
    static const struct found_case cases[] = {
        { "FROM A@B", "1" },
        { "FROM jurgen", "2" },
        { "CHARSET UTF-8 FROM {7+}\r\nJ\xc3\x9cRGEN", "2" },
        { "CHARSET ISO-8859-1 FROM {6+}\r\nJ\xdcRGEN", "2" },
        { "FROM {6+}\r\nJ\xdcRGEN", "" },
        { "FROM J=C3", "" },
        { "FROM comment", "" },
        { "FROM \"Quoted. Name\\\" <q\"", "3" },
        { "FROM \"\"", "1 2 3" },
        { "TO \"\"", "3" },
        { "BCC \"\"", "" },
        { "TO group", "3" },
        { "TO g1@x", "3" },
        { "CC x", "" },
        { "SUBJECT cafe", "2" },
        { "SUBJECT \"A B C\"", "3" },
        { "NOT SUBJECT one", "2 3" },
        { "HEADER SUBJECT cafe", "2" },
        { "HEADER From jurgen", "2" },
        { "HEADER Message-ID m2", "2" },
        { "HEADER LIST-ID one", "1" },
        { "HEADER X-Empty \"\"", "3" },
        { "HEADER X-Empty x", "" },
        { "HEADER X-Part parthdr", "" },
        { "HEADER X-Original-Delivered-To xodt", "1" },
        { "DELIVEREDTO xodt", "1" },
        { "XLISTID list", "1" },
        { "SPAMABOVE 5", "1" },
        { "SPAMABOVE 6", "" },
        { "SPAMBELOW 5", "2 3" },
        { "XCONTENTTYPE html", "2" },
        { "XCONTENTTYPE text/plain", "1 2 3" },
        { "XCONTENTTYPE mixed", "2" },
        { "XATTACHMENTNAME att.bin", "2" },
        { "XATTACHMENTNAME fale", "2" },
        { "XATTACHMENTNAME partname", "2" },
        { "XATTACHMENTBODY attachmentcontent", "2" },
        { "XATTACHMENTBODY plainpart", "" },
        { "BODY parthdr", "2" },
        { "BODY innersubj", "2" },
        { "BODY plainpart", "2" },
        { "BODY \"er grusse\"", "2" },
        { "CHARSET ISO-8859-1 BODY \"gr\xfc\xdf\"", "2" },
        { "BODY attachmentcontent", "" },
        { "BODY imagetext", "" },
        { "BODY preamble", "" },
        { "BODY epilogue", "" },
        { "BODY \"line break\"", "3" },
        { "BODY \"foo bar\"", "3" },
        { "BODY \"two three\"", "1" },
        { "BODY list.one", "" },
        { "BODY \"\"", "1 2 3" },
        { "TEXT \"\"", "1 2 3" },
        { "TEXT list.one", "1" },
        { "TEXT \"from: \"", "1 2 3" },
        { "TEXT innersubj", "2" },
        { "TEXT cafe", "2" },
        { "TEXT caf=C3", "" },
        { "TEXT preamble", "" },
    };

    check_found(cases, array_size(cases));
}
END_TEST

START_TEST(test_refusals)
{
    static const struct found_case cases[] = {
        { "", "Invalid Search criteria" },
        { "FOO", "Invalid Search criteria" },
        { "ALL ", "Invalid Search criteria" },
        { "ALL  ALL", "Invalid Search criteria" },
        { "ALL CHARSET UTF-8", "Invalid Search criteria" },
        { "()", "Invalid Search criteria" },
        { "( ALL )", "Invalid Search criteria" },
        { "1,a", "Invalid Search criteria" },
        { "1,,3", "Invalid Search criteria" },
        { "UID x", "Invalid Search criteria" },
        { "(ALL", "Missing required close paren in Search command" },
        { "BEFORE", "Missing required argument to Search before" },
        { "FROM", "Missing required argument to Search from" },
        { "FROM ", "Missing required argument to Search from" },
        { "HEADER X", "Missing required argument to Search header" },
        { "NOT", "Missing required argument to Search not" },
        { "OR", "Missing required argument to Search or" },
        { "OR SEEN", "Missing required argument to Search seen" },
        { "FUZZY", "Missing required argument to Search fuzzy" },
        { "UID", "Missing required argument to Search uid" },
        { "BEFORE x", "Invalid date in Search command" },
        { "ON 1-Foo-2020", "Invalid date in Search command" },
        { "LARGER x", "Invalid number in Search command" },
        { "LARGER -1", "Invalid number in Search command" },
        { "MODSEQ x", "Invalid number in Search command" },
        { "CID 0", "Invalid number in Search command" },
        { "OLDER x", "Invalid interval in Search command" },
        { "KEYWORD \\Seen", "Invalid flag name \\Seen in Search command" },
        { "KEYWORD \"a b\"", "Invalid flag name  in Search command" },
        { "KEYWORD", "Missing required argument to Search keyword" },
        { "CHARSET", "Missing charset" },
        { "CHARSET UTF-8", "Missing charset" },
        { "CHARSET BOGUS ALL", "Unrecognized character set" },
        { "ANNOTATION", "Missing required argument to Search annotation" },
        { "ANNOTATION comment value x", "Invalid Search criteria" },
        { "ANNOTATION /comment value.foo x", "Invalid Search criteria" },
        { "ANNOTATION /comment value", "Invalid Search criteria" },
    };
    struct buf error = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(cases); i++) {
        struct search_expr *expr = parse(cases[i].keys, &syntax, &error);

        ck_assert_msg(!expr, "%s is no search", cases[i].keys);
        ck_assert_str_eq(buf_cstring(&error), cases[i].found);
    }
    buf_free(&error);
}
END_TEST

START_TEST(test_syntax_options)
{
    struct search_syntax plain = syntax;
    struct buf error = BUF_INITIALIZER, word = BUF_INITIALIZER, text = BUF_INITIALIZER;
    struct search_expr *expr;
    struct protstream *in = prot_readmap(" SEEN)\r\n", 8);

    plain.conversations = false;
    ck_assert_ptr_null(parse("CONVFLAG x", &plain, &error));
    ck_assert_str_eq(buf_cstring(&error), "Invalid Search criteria");
    plain.default_charset = "UTF-8";
    expr = parse("MODSEQ 1 SUBJECT \xc3\xbc 1:2", &plain, &error);
    ck_assert_ptr_nonnull(expr);
    ck_assert(search_uses_modseq(expr));
    ck_assert(!search_uses_conversations(expr));
    search_expr_print(expr, &text);
    ck_assert_str_eq(buf_cstring(&text), "(and (MODSEQ 1) (MSGNO \"1:2\") (SUBJECT \"u\"))");
    search_expr_free(&expr);

    /* The first word was read by the caller. */
    plain.word = "DELETED";
    plain.after = ' ';
    ck_assert_int_eq(prot_getc(in), ' ');
    ck_assert_int_eq(search_parse(in, NULL, &plain, NULL, &expr, &error), ')');
    buf_reset(&text);
    search_expr_print(expr, &text);
    ck_assert_str_eq(buf_cstring(&text), "(and (DELETED) (SEEN))");
    search_expr_free(&expr);
    prot_free(in);
    buf_free(&error);
    buf_free(&word);
    buf_free(&text);
}
END_TEST

/* Cheap terms decide before anything is read, and nothing is read twice. */
START_TEST(test_reads)
{
    struct buf found = BUF_INITIALIZER, error = BUF_INITIALIZER;
    struct search_expr *expr = parse("BODY x TEXT y SUBJECT two FROM jurgen DELETED", &syntax,
                                     &error);
    struct world w;

    world_init(&w);
    run(&w, expr, &found);
    ck_assert_int_eq(w.cache_reads, 1);
    ck_assert_int_eq(w.message_reads, 1);
    search_expr_free(&expr);
    expr = parse("OR BODY nosuch ALL", &syntax, &error);
    run(&w, expr, &found);
    ck_assert_str_eq(buf_cstring(&found), "1 2 3");
    ck_assert_int_eq(w.message_reads, 1);
    search_expr_free(&expr);
    world_fini(&w);
    buf_free(&found);
    buf_free(&error);
}
END_TEST

START_TEST(test_unreadable_messages)
{
    struct buf found = BUF_INITIALIZER, error = BUF_INITIALIZER;
    struct search_expr *expr = parse("NOT BODY nosuch", &syntax, &error);
    struct world w;

    world_init(&w);
    w.broken = true;
    w.source.unread = seqset_init(0, SEQ_SPARSE);
    run(&w, expr, &found);
    ck_assert_str_eq(buf_cstring(&found), "");
    ck_assert_uint_eq(seqset_count(w.source.unread), 3);
    w.broken = false;
    seqset_clear(w.source.unread);
    run(&w, expr, &found);
    ck_assert_str_eq(buf_cstring(&found), "1 2 3");
    ck_assert(seqset_isempty(w.source.unread));
    seqset_free(w.source.unread);
    search_expr_free(&expr);
    world_fini(&w);
    buf_free(&found);
    buf_free(&error);
}
END_TEST

START_TEST(test_depth)
{
    struct buf keys = BUF_INITIALIZER, error = BUF_INITIALIZER;
    struct search_expr *expr;

    for (int i = 0; i < 900; i++) buf_appendcstr(&keys, "NOT ");
    buf_appendcstr(&keys, "SEEN");
    expr = parse(buf_cstring(&keys), &syntax, &error);
    ck_assert_ptr_nonnull(expr);
    search_expr_free(&expr);
    buf_reset(&keys);
    for (int i = 0; i < 100000; i++) buf_putc(&keys, '(');
    ck_assert_ptr_null(parse(buf_cstring(&keys), &syntax, &error));
    buf_free(&keys);
    buf_free(&error);
}
END_TEST

/* Days are those of the server's zone. */
static void set_zone(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
}

Suite *search_suite(void)
{
    Suite *s = suite_create("search");
    TCase *tc = tcase_create("search");

    tcase_add_checked_fixture(tc, set_zone, NULL);
    tcase_add_test(tc, test_index_keys);
    tcase_add_test(tc, test_text_keys);
    tcase_add_test(tc, test_refusals);
    tcase_add_test(tc, test_syntax_options);
    tcase_add_test(tc, test_reads);
    tcase_add_test(tc, test_unreadable_messages);
    tcase_add_test(tc, test_depth);
    suite_add_tcase(s, tc);
    return s;
}
