/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trees of named values: what is printed byte for byte, what is read, what is refused,
 * and that the stream stays usable.
 */
#include <config.h>

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "dlist.h"
#include "imap_err.h"
#include "prot.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static struct buf text = BUF_INITIALIZER;

static const char *printed(const struct dlist *dl, bool keys)
{
    buf_reset(&text);
    dlist_printbuf(dl, keys, &text);
    return buf_cstring(&text);
}

/* As it goes over the wire. */
static const char *sent(const struct dlist *dl, bool client)
{
    buf_reset(&text);
    struct protstream *out = prot_writebuf(&text);
    prot_setisclient(out, client);
    ck_assert_int_eq(dlist_print(dl, true, out), 0);
    prot_free(out);
    return buf_cstring(&text);
}

static struct message_guid guid_of(const char *s)
{
    struct message_guid guid;

    message_guid_generate(&guid, s, strlen(s));
    return guid;
}

static struct dlist *sample(void)
{
    struct message_guid guid = guid_of("abc"), null;
    struct dlist *kv = dlist_newkvlist(NULL, "MAILBOX"), *list;

    message_guid_set_null(&null);
    dlist_setatom(kv, "MBOXNAME",
                  "user\x1f"
                  "anna");
    dlist_setatom(kv, "EMPTY", "");
    dlist_setatom(kv, "NONE", NULL);
    dlist_setatom(kv, "NILTEXT", "NIL");
    dlist_setatom(kv, "ACL", "anna\tlrswip\t");
    dlist_setatom(kv, "USE", "\\Sent");
    dlist_setnum32(kv, "LAST_UID", 4294967295U);
    dlist_setnum64(kv, "HIGHESTMODSEQ", UINT64_MAX);
    dlist_setdate(kv, "LAST_APPENDDATE", -1);
    dlist_sethex64(kv, "CID", 0xab);
    dlist_setguid(kv, "GUID", &guid);
    dlist_setguid(kv, "NOGUID", &null);
    dlist_setmap(kv, "BYTES", "a\0b", 3);
    list = dlist_newlist(kv, "FLAGS");
    dlist_setflag(list, NULL, "\\Seen");
    dlist_setflag(list, NULL, "NIL");
    dlist_newlist(kv, "RECORD");
    dlist_newkvlist(kv, "ANNOT");
    return kv;
}

static const char *const sample_text[] = {
    "MAILBOX %(MBOXNAME user\x1f"
    "anna EMPTY \"\" NONE NIL NILTEXT \"NIL\" ACL \"anna\tlrswip\t\" USE {5+}\r\n\\Sent "
    "LAST_UID 4294967295 HIGHESTMODSEQ 18446744073709551615 LAST_APPENDDATE -1 "
    "CID 00000000000000ab GUID a9993e364706816aba3e25717850c26c9cd0d89d "
    "NOGUID 0000000000000000000000000000000000000000 BYTES {3+}\r\na",
    "b FLAGS (\\Seen \"NIL\") RECORD () ANNOT %())"
};

static void expect_sample(const struct buf *got, const char *plus)
{
    struct buf want = BUF_INITIALIZER;

    buf_setcstr(&want, sample_text[0]);
    buf_replace_all(&want, "+", plus);
    buf_putc(&want, '\0');
    buf_appendcstr(&want, sample_text[1]);
    ck_assert_bytes_eq(got->s, got->len, want.s, want.len);
    buf_free(&want);
}

START_TEST(printing)
{
    struct dlist *kv = sample();

    printed(kv, true);
    expect_sample(&text, "+");
    sent(kv, true);
    expect_sample(&text, "+");
    sent(kv, false);
    expect_sample(&text, "");
    struct dlist *copy = dlist_dup(kv);
    dlist_free(&kv);
    printed(copy, true);
    expect_sample(&text, "+");
    dlist_free(&copy);
    ck_assert_ptr_null(copy);
    dlist_free(&copy);
}
END_TEST

static void check_sample(const struct dlist *dl)
{
    struct message_guid guid, abc = guid_of("abc");
    struct dlist *list;
    const char *s;
    uint64_t n64;
    uint32_t n32;
    time_t date;
    size_t len;
    struct buf view = BUF_INITIALIZER;

    ck_assert_str_eq(dl->name, "MAILBOX");
    ck_assert_uint_eq(dl->nchildren, 16);
    ck_assert(dlist_getatom(dl, "MBOXNAME", &s));
    ck_assert_str_eq(s, "user\x1f"
                        "anna");
    ck_assert(dlist_getatom(dl, "EMPTY", &s) && !*s);
    ck_assert(!dlist_getatom(dl, "NONE", &s));
    ck_assert(dlist_isnil(dlist_getchild(dl, "NONE")));
    ck_assert(dlist_isnil(dlist_getchild(dl, "missing")));
    ck_assert(dlist_getatom(dl, "NILTEXT", &s) && !strcmp(s, "NIL"));
    ck_assert(!dlist_getatom(dl, "mboxname", &s));
    ck_assert(dlist_getnum32(dl, "LAST_UID", &n32) && n32 == UINT32_MAX);
    ck_assert(dlist_getnum64(dl, "HIGHESTMODSEQ", &n64) && n64 == UINT64_MAX);
    ck_assert(dlist_getnum32(dl, "HIGHESTMODSEQ", &n32) && n32 == UINT32_MAX);
    ck_assert(dlist_getdate(dl, "LAST_APPENDDATE", &date) && date == -1);
    ck_assert(dlist_gethex64(dl, "CID", &n64) && n64 == 0xab);
    ck_assert(dlist_getguid(dl, "GUID", &guid) && message_guid_equal(&guid, &abc));
    ck_assert(dlist_getguid(dl, "NOGUID", &guid) && message_guid_isnull(&guid));
    ck_assert(!dlist_getguid(dl, "ACL", &guid));
    ck_assert(!dlist_getnum64(dl, "ACL", &n64));
    ck_assert(!dlist_getnum64(dl, "FLAGS", &n64));
    ck_assert(!dlist_gethex64(dl, "GUID", &n64));
    ck_assert(dlist_getmap(dl, "BYTES", &s, &len) && len == 3 && !memcmp(s, "a\0b", 3));
    ck_assert(!dlist_getatom(dl, "BYTES", &s));
    ck_assert(dlist_getbuf(dl, "BYTES", &view) && view.len == 3);
    ck_assert(dlist_getlist(dl, "FLAGS", &list) && list->nchildren == 2);
    ck_assert(dlist_toatom(dlist_getchildn(list, 1), &s) && !strcmp(s, "NIL"));
    ck_assert_ptr_null(dlist_getchildn(list, 2));
    ck_assert(dlist_getlist(dl, "RECORD", &list) && list->type == DL_LIST && !list->head);
    ck_assert(dlist_getlist(dl, "ANNOT", &list) && list->type == DL_KVLIST);
    ck_assert(!dlist_getlist(dl, "ACL", &list));
}

START_TEST(reading_back)
{
    struct dlist *kv = sample(), *dl;

    check_sample(kv);
    printed(kv, true);
    ck_assert_int_eq(dlist_parsemap(&dl, true, text.s, text.len), 0);
    check_sample(dl);
    dlist_free(&dl);
    for (int client = 0; client < 2; client++) {
        sent(kv, client);
        buf_appendcstr(&text, "\r\nNEXT");
        struct protstream *in = prot_readmap(text.s, text.len);
        ck_assert_int_eq(dlist_parseline(in, NULL, &dl), 0);
        check_sample(dl);
        dlist_free(&dl);
        ck_assert_int_eq(prot_getc(in), 'N');
        prot_free(in);
    }
    dlist_free(&kv);
}
END_TEST

START_TEST(liberal_reading)
{
    static const struct {
        const char *line, *again;
    } t[] = {
        { "X NIL\r\n", "X NIL" },
        { "X nil\n", "X nil" },
        { "\"X\"   \"a\\\"b\" \r\n", "X {3+}\r\na\"b" },
        { "X (  a\t b  )\r\n", "X (a b)" },
        { "X %(  B (c) A %( ) )\r\n", "X %(B (c) A %())" },
        { "X a{b}c*%\\]\r\n", "X {9+}\r\na{b}c*%\\]" },
        { "X (a(b)c)\r\n", "X (a (b) c)" },
        { "X (\"a\"\"b\")\r\n", "X (a b)" },
        { "X {3}\r\nabc\r\n", "X abc" },
        { "X {3+}\nabc\n", "X abc" },
        { "X (a\xc3\xa4)\r\n", "X ({3+}\r\na\xc3\xa4)" },
        { "{1+}\r\nX 0017\r\n", "X 0017" },
    };
    struct dlist *dl;

    for (size_t i = 0; i < array_size(t); i++) {
        struct protstream *in = prot_readmap(t[i].line, strlen(t[i].line));
        ck_assert_msg(!dlist_parseline(in, NULL, &dl), "%s", t[i].line);
        ck_assert_str_eq(printed(dl, true), t[i].again);
        dlist_free(&dl);
        ck_assert_int_eq(prot_getc(in), EOF);
        prot_free(in);
    }
}
END_TEST

#define GUID0 "0000000000000000000000000000000000000000"

/* After each of these the next line can be read. */
static const char *const broken[] = {
    "\r\n",
    "X\r\n",
    "X \r\n",
    "X )\r\n",
    "X (a\r\n",
    ")\r\n",
    "X %a\r\n",
    "X %(A)\r\n",
    "X %(A b C)\r\n",
    "X \"a\r\n",
    "X \"a\\\r\n",
    "X a b\r\n",
    "X a)\r\n",
    "X {x}\r\n",
    "X {5+} (\r\n",
    "X ) {5+}\r\nhello\r\n",
    "X ) {5}\r\nhello (\r\n",
    "X (a {5}\r\nhello %{default " GUID0 " 4}\r\nwxyz b))\r\n",
    "X (%{default " GUID0 " 4}\r\nwxyz)\r\n", /* no sink */
    "X (%{default 1234 4}\r\nwxyz)\r\n",
    "X (%{" GUID0 " 4}\r\nwxyz)\r\n",
    "X (%{a b " GUID0 " 4}\r\nwxyz)\r\n",
    "X (%{default " GUID0 " 4294967296)\r\n",
    "X (%{default " GUID0 " x}\r\n",
    "X (%{}\r\n",
    "X {11}\r\n01234567890 {3}\r\nabc\r\n", /* too large */
    "X aaaaaaaaaaaaaaaaaaaaaa\r\n",
    "X \"aaaaaaaaaaaaaaaaaaaaaa\"\r\n",
    "X (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((a)\r\n",
};

START_TEST(refused)
{
    struct dlist_parseopts opts = { .parsekeys = true, .maxliteral = 10 };

    for (size_t i = 0; i < array_size(broken); i++) {
        struct dlist *dl;
        buf_setcstr(&text, broken[i]);
        buf_appendcstr(&text, "NEXT 1\r\n");
        struct protstream *in = prot_readmap(text.s, text.len);
        int r = dlist_parseline(in, &opts, &dl);
        ck_assert_msg(r == IMAP_PROTOCOL_ERROR, "%zu: %s", i, broken[i]);
        ck_assert_ptr_null(dl);
        ck_assert_msg(!dlist_parseline(in, &opts, &dl) && !strcmp(dl->name, "NEXT"), "%zu: %s", i,
                      broken[i]);
        dlist_free(&dl);
        prot_free(in);
        /* cut off anywhere, it is an error of the stream or of the text, never a value */
        for (size_t len = 0; len + 8 < text.len; len++) {
            in = prot_readmap(text.s, len);
            ck_assert_int_ne(dlist_parseline(in, &opts, &dl), 0);
            prot_free(in);
        }
    }
}
END_TEST

START_TEST(total_size)
{
    struct dlist_parseopts opts = { .maxbytes = 100000 };
    struct dlist *dl;

    buf_setcstr(&text, "(");
    for (int i = 0; i < 100000; i++) buf_appendcstr(&text, "() ");
    buf_appendcstr(&text, ")\r\n(a)\r\n");
    struct protstream *in = prot_readmap(text.s, text.len);
    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), IMAP_PROTOCOL_ERROR);
    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), 0);
    dlist_free(&dl);
    prot_free(in);
}
END_TEST

START_TEST(from_memory)
{
    static const char *const bad[] = {
        "", " ", "(", "a b", "%(A)", "%a", "{5+}\r\nabc", "\"a", ")"
    };
    struct dlist *dl;
    const char *s;

    ck_assert_int_eq(dlist_parsemap(&dl, false, "%(A {2+}\r\n)) B (c d))  \r\n", 25), 0);
    ck_assert(dlist_getatom(dl, "A", &s));
    ck_assert_str_eq(s, "))");
    ck_assert_ptr_null(dl->name);
    dlist_free(&dl);
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(dlist_parsemap(&dl, false, bad[i], strlen(bad[i])) == IMAP_PROTOCOL_ERROR,
                      "%s", bad[i]);
        ck_assert_ptr_null(dl);
    }
}
END_TEST

START_TEST(changing)
{
    struct dlist *kv = dlist_newkvlist(NULL, NULL), *item;

    dlist_updateatom(kv, "A", "1");
    dlist_updatenum64(kv, "B", 2);
    dlist_updatehex64(kv, "C", 3);
    ck_assert_str_eq(printed(kv, false), "%(A 1 B 2 C 0000000000000003)");
    dlist_updateatom(kv, "B", NULL);
    dlist_updatemap(kv, "C", "x", 1);
    dlist_updateatom(kv, "D", "4");
    ck_assert_str_eq(printed(kv, false), "%(A 1 B NIL C x D 4)");
    item = dlist_getchild(kv, "D");
    dlist_unstitch(kv, item);
    dlist_unstitch(kv, item); /* no more a child */
    dlist_rename(item, "E");
    ck_assert_uint_eq(kv->nchildren, 3);
    dlist_setatom(kv, "F", "5");
    dlist_stitch(kv, item);
    dlist_rename(item, "G");
    ck_assert_str_eq(printed(kv, false), "%(A 1 B NIL C x F 5 G 4)");
    item = dlist_getchild(kv, "A");
    dlist_unstitch(kv, item);
    dlist_free(&item);
    ck_assert_str_eq(printed(kv, false), "%(B NIL C x F 5 G 4)");
    dlist_free(&kv);
}
END_TEST

/* ---- message files ---- */

static char logged[512];

static void tap(int pri, const char *line, void *rock)
{
    (void)pri;
    (void)rock;
    snprintf(logged, sizeof(logged), "%s", line);
}

START_TEST(sending_files)
{
    char *dir = test_mkdtemp(), *path = test_path(dir, "1.");
    struct message_guid guid = guid_of("abc");
    struct buf data = BUF_INITIALIZER;
    struct dlist *list = dlist_newlist(NULL, "MESSAGE");

    xsyslog_settap(tap, NULL);
    test_writefile(path, "abc", 3);
    dlist_setfile(list, NULL, "default", &guid, 3, path);
    buf_setcstr(&data, "abc");
    dlist_newfilebuf(list, NULL, "two words", &guid, &data);
    ck_assert_uint_eq(data.len, 0);
    ck_assert_str_eq(sent(list, true),
                     "MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc "
                     "%{\"two words\" a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc)");
    ck_assert_str_eq(logged, "");
    test_writefile(path, "abd", 3);
    ck_assert(strstarts(sent(list, false), "MESSAGE (NIL %{"));
    ck_assert_ptr_nonnull(strstr(logged, "guid=<a9993e36"));
    test_writefile(path, "abcd", 4);
    ck_assert(strstarts(sent(list, false), "MESSAGE (NIL %{"));
    unlink(path);
    *logged = '\0';
    ck_assert(strstarts(sent(list, false), "MESSAGE (NIL %{"));
    ck_assert_ptr_nonnull(strstr(logged, path));
    xsyslog_settap(NULL, NULL);
    dlist_free(&list);
    free(path);
    test_rmdir(dir);
}
END_TEST

struct sink {
    struct buf story;
    int fail_begin, fail_data, fail_end;
};

static int sink_begin(void *rock, const char *partition, const struct message_guid *guid,
                      uint64_t size)
{
    struct sink *s = rock;
    char hex[MESSAGE_GUID_STRLEN];

    buf_printf(&s->story, "[%s %.4s %" PRIu64 " ", partition, message_guid_encode(guid, hex), size);
    return s->fail_begin;
}

static int sink_data(void *rock, const char *base, size_t len)
{
    struct sink *s = rock;

    buf_appendmap(&s->story, base, len);
    return s->fail_data;
}

static int sink_end(void *rock, bool ok, struct buf *path)
{
    struct sink *s = rock;

    buf_appendcstr(&s->story, ok ? " ok]" : " failed]");
    if (ok) buf_setcstr(path, "/some/file");
    return s->fail_end;
}

static const char file_line[] =
    "MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc NIL "
    "%{\"two words\" a9993e364706816aba3e25717850c26c9cd0d89d 0}\r\n)\r\nNEXT x\r\n";

START_TEST(receiving_files)
{
    struct sink s = { .story = BUF_INITIALIZER };
    struct dlist_filesink sink = { sink_begin, sink_data, sink_end, &s };
    struct dlist_parseopts opts = { .parsekeys = true, .sink = &sink };
    struct protstream *in = prot_readmap(file_line, sizeof(file_line) - 1);
    const struct message_guid *guid;
    const char *partition, *path;
    uint64_t size;
    struct dlist *dl;

    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), 0);
    ck_assert_str_eq(buf_cstring(&s.story), "[default a999 3 abc ok][two words a999 0  ok]");
    ck_assert(dlist_tofile(dl->head, &partition, &guid, &size, &path));
    ck_assert_str_eq(partition, "default");
    ck_assert_uint_eq(size, 3);
    ck_assert_str_eq(path, "/some/file");
    ck_assert(dlist_isnil(dlist_getchildn(dl, 1)));
    ck_assert(!dlist_tofile(dlist_getchildn(dl, 1), &partition, &guid, &size, &path));
    ck_assert_str_eq(dl->tail->extra ? "extra" : "", "extra");
    dlist_free(&dl);
    prot_free(in);
    buf_free(&s.story);
}
END_TEST

/* Whatever fails, the bytes are read past and the next line is understood. */
START_TEST(failing_sink)
{
    static const char *const story[] = { "[default a999 3 ", "[default a999 3 abc failed]",
                                         "[default a999 3 abc ok]" };
    struct sink s = { .story = BUF_INITIALIZER };
    struct dlist_filesink sink = { sink_begin, sink_data, sink_end, &s };
    struct dlist_parseopts opts = { .parsekeys = true, .sink = &sink };
    struct protstream *in = prot_readmap(file_line, sizeof(file_line) - 1);
    struct dlist *dl;

    if (_i == 0) s.fail_begin = IMAP_IOERROR;
    if (_i == 1) s.fail_data = IMAP_IOERROR;
    if (_i == 2) s.fail_end = IMAP_IOERROR;
    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), IMAP_PROTOCOL_ERROR);
    ck_assert_str_eq(buf_cstring(&s.story), story[_i]);
    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), 0);
    ck_assert_str_eq(dl->name, "NEXT");
    dlist_free(&dl);
    prot_free(in);

    /* the stream ends in the middle of a file */
    buf_reset(&s.story);
    memset(&s.fail_begin, 0, 3 * sizeof(int));
    in = prot_readmap(file_line, strlen("MESSAGE (%{default " GUID0 " 3}\r\nab"));
    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), IMAP_IOERROR);
    ck_assert_str_eq(buf_cstring(&s.story), "[default a999 3 ab failed]");
    prot_free(in);
    buf_free(&s.story);
}
END_TEST

Suite *dlist_suite(void)
{
    Suite *s = suite_create("dlist");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, printing);
    tcase_add_test(tc, reading_back);
    tcase_add_test(tc, liberal_reading);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, total_size);
    tcase_add_test(tc, from_memory);
    tcase_add_test(tc, changing);
    tcase_add_test(tc, sending_files);
    tcase_add_test(tc, receiving_files);
    tcase_add_loop_test(tc, failing_sink, 0, 3);
    suite_add_tcase(s, tc);
    return s;
}
