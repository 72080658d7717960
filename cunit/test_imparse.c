/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tokens of IMAP: what is taken, what is refused, and what is left on the stream.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imparse.h"
#include "prot.h"
#include "testutil.h"
#include "util.h"

static struct buf word = BUF_INITIALIZER;

enum kind { WORD, BLANK, ASTRING, NASTRING, STRING, NSTRING, QSTRING, BASTRING, BNSTRING, SEQ };

static int get(enum kind kind, struct protstream *in, struct protstream *out, bool *flag)
{
    switch (kind) {
    case WORD: return getword(in, &word);
    case BLANK: return getblankword(in, &word);
    case ASTRING: return getastring(in, out, &word);
    case NASTRING: return getnastring(in, out, &word, flag);
    case STRING: return getstring(in, out, &word);
    case NSTRING: return getnstring(in, out, &word, flag);
    case QSTRING: return getqstring(in, &word);
    case BASTRING: return getbastring(in, out, &word, flag);
    case BNSTRING: return getbnstring(in, out, &word, flag);
    case SEQ: return getsequence(in, &word);
    }
    return 0;
}

static const struct {
    enum kind kind;
    const char *input;
    int result;
    const char *text;
    bool flag;
} tokens[] = {
    { WORD, "NOOP\r\n", '\r', "NOOP", false },
    { WORD, "a(b", '(', "a", false },
    { WORD, "a)b", ')', "a", false },
    { WORD, "a\"b", '"', "a", false },
    { WORD, " x", ' ', "", false },
    { WORD, "abc", IMPARSE_EOF, NULL, false },
    { BLANK, "a(b)\"c d", ' ', "a(b)\"c", false },
    { ASTRING, "a%*\\]x y", ' ', "a%*\\]x", false },
    { ASTRING, "\"a b\" y", ' ', "a b", false },
    { ASTRING, "\"a\\\"\\\\\\b\"\r", '\r', "a\"\\b", false },
    { ASTRING, "\"\xc3\xa4\")", ')', "\xc3\xa4", false },
    { ASTRING, "\"a\r\n\"", IMPARSE_BAD, NULL, false },
    { ASTRING, "\"a\\\n\"", IMPARSE_BAD, NULL, false },
    { ASTRING, "\"abc", IMPARSE_EOF, NULL, false },
    { ASTRING, "{3}\r\na\rb)", ')', "a\rb", false },
    { ASTRING, "{3+}\r\nabc x", ' ', "abc", false },
    { ASTRING, "{03+}\nabc x", ' ', "abc", false },
    { ASTRING, "{0+}\r\n\r", '\r', "", false },
    { ASTRING, "{3+}abc", IMPARSE_BAD, NULL, false },
    { ASTRING, "{-3}\r\nabc", IMPARSE_BAD, NULL, false },
    { ASTRING, "{}\r\n", IMPARSE_BAD, NULL, false },
    { ASTRING, "{9+}\r\nabc", IMPARSE_EOF, NULL, false },
    { ASTRING, "{99999999999999999999+}\r\n", IMPARSE_BYE_NUMBER, NULL, false },
    { ASTRING, "NIL x", ' ', "NIL", false },
    { ASTRING, " x", IMPARSE_BAD, NULL, false },
    { ASTRING, "\r\n", IMPARSE_BAD, NULL, false },
    { ASTRING, "(x)", IMPARSE_BAD, NULL, false },
    { ASTRING, "~{3+}\r\nabc x", '\r', "~{3+}", false },
    { NASTRING, "nil)", ')', "", true },
    { NASTRING, "\"NIL\")", ')', "NIL", false },
    { NASTRING, "NILS)", ')', "NILS", false },
    { STRING, "abc ", IMPARSE_BAD, NULL, false },
    { STRING, "NIL ", IMPARSE_BAD, NULL, false },
    { STRING, "\"NIL\" ", ' ', "NIL", false },
    { NSTRING, "NIL ", ' ', "", true },
    { NSTRING, "abc ", IMPARSE_BAD, NULL, false },
    { NSTRING, "{1}\r\nx ", ' ', "x", false },
    { QSTRING, "\"x\" ", ' ', "x", false },
    { QSTRING, "{1+}\r\nx ", IMPARSE_BAD, NULL, false },
    { BASTRING, "~{2}\r\nxy ", ' ', "xy", true },
    { BASTRING, "~x ", ' ', "~x", false },
    { BASTRING, "{2+}\r\nxy ", ' ', "xy", false },
    { BNSTRING, "NIL ", ' ', "", true },
    { BNSTRING, "~{2+}\r\nxy ", ' ', "xy", false },
    { BNSTRING, "xy ", IMPARSE_BAD, NULL, false },
    { SEQ, "1:*,5,*:3 x", ' ', "1:*,5,*:3", false },
    { SEQ, "1,,2 x", IMPARSE_BAD, NULL, false },
    { SEQ, "1:2:3 x", IMPARSE_BAD, NULL, false },
    { SEQ, "a x", IMPARSE_BAD, NULL, false },
};

START_TEST(by_example)
{
    struct buf answer = BUF_INITIALIZER;
    struct protstream *out = prot_writebuf(&answer);

    for (size_t i = 0; i < array_size(tokens); i++) {
        struct protstream *in = prot_readmap(tokens[i].input, strlen(tokens[i].input));
        bool flag = false;
        int r = get(tokens[i].kind, in, out, &flag);
        ck_assert_msg(r == tokens[i].result, "%s: %d", tokens[i].input, r);
        if (tokens[i].text) {
            ck_assert_str_eq(word.s, tokens[i].text);
            ck_assert_msg(flag == tokens[i].flag, "%s", tokens[i].input);
        }
        prot_free(in);
    }
    prot_free(out);
    buf_free(&answer);
}
END_TEST

/* With UTF-8 a quoted string is that, an atom is ASCII, and a literal is any bytes. */
START_TEST(utf8)
{
    static const struct {
        const char *input;
        int plain, utf8;
    } t[] = {
        { "\"\xc3\xa4\" ", ' ', ' ' },     { "\"\xe4\" ", ' ', IMPARSE_BAD }, { "\"\xc3\" ", ' ', IMPARSE_BAD },
        { "\xc3\xa4 ", ' ', IMPARSE_BAD }, { "{1+}\r\n\xe4 ", ' ', ' ' },     { "a ", ' ', ' ' },
    };

    for (size_t i = 0; i < 2 * array_size(t); i++) {
        struct protstream *in = prot_readmap(t[i / 2].input, strlen(t[i / 2].input));
        struct prot_limits limits = *prot_limits(in);
        limits.utf8 = i % 2;
        prot_setlimits(in, &limits);
        ck_assert_int_eq(getastring(in, NULL, &word), i % 2 ? t[i / 2].utf8 : t[i / 2].plain);
        prot_free(in);
    }
}
END_TEST

START_TEST(go_ahead)
{
    static const struct {
        const char *input;
        bool client, asked;
    } t[] = { { "{1}\r\nx ", false, true },
              { "{1+}\r\nx ", false, false },
              { "{1}\r\nx ", true, false } };

    for (size_t i = 0; i < array_size(t); i++) {
        struct buf answer = BUF_INITIALIZER;
        struct protstream *out = prot_writebuf(&answer);
        struct protstream *in = prot_readmap(t[i].input, strlen(t[i].input));
        prot_setisclient(in, t[i].client);
        ck_assert_int_eq(getastring(in, out, &word), ' ');
        ck_assert_str_eq(buf_cstring(&answer), t[i].asked ? "+ go ahead\r\n" : "");
        prot_free(in);
        prot_free(out);
        buf_free(&answer);
    }
}
END_TEST

START_TEST(nul_bytes)
{
    static const char literal[] = "{3+}\r\na\0b x", quoted[] = "\"a\0b\" x", atom[] = "a\0b x";
    struct protstream *in = prot_readmap(literal, sizeof(literal) - 1);

    ck_assert_int_eq(getastring(in, NULL, &word), IMPARSE_BAD);
    prot_free(in);
    in = prot_readmap(literal, sizeof(literal) - 1);
    ck_assert_int_eq(getbastring(in, NULL, &word, NULL), ' ');
    ck_assert_bytes_eq(word.s, word.len, "a\0b", 3);
    prot_free(in);
    in = prot_readmap(quoted, sizeof(quoted) - 1);
    ck_assert_int_eq(getastring(in, NULL, &word), IMPARSE_BAD);
    prot_free(in);
    in = prot_readmap(atom, sizeof(atom) - 1);
    ck_assert_int_eq(getastring(in, NULL, &word), IMPARSE_BAD);
    prot_free(in);
}
END_TEST

START_TEST(token_limits)
{
    static const struct {
        const char *input;
        int result;
    } t[] = {
        { "12345 ", ' ' },
        { "123456 ", IMPARSE_BYE_WORD },
        { "\"1234\" ", ' ' },
        { "\"12345\" ", IMPARSE_BYE_QUOTED },
        { "{6}\r\n123456 ", ' ' },
        { "{7}\r\n", IMPARSE_TOOBIG },
        { "{7+}\r\n1234567 ", IMPARSE_BYE_LITERAL },
        { "{18446744073709551615+}\r\n1234567 ", IMPARSE_BYE_LITERAL },
    };
    struct prot_limits limits = { .maxword = 5, .maxquoted = 4, .maxliteral = 6 };
    struct buf answer = BUF_INITIALIZER;
    struct protstream *out = prot_writebuf(&answer);

    for (size_t i = 0; i < array_size(t); i++) {
        struct protstream *in = prot_readmap(t[i].input, strlen(t[i].input));
        prot_setlimits(in, &limits);
        buf_reset(&answer);
        ck_assert_msg(getastring(in, out, &word) == t[i].result, "%s", t[i].input);
        ck_assert(t[i].result != IMPARSE_TOOBIG || !answer.len);
        ck_assert(imparse_is_fatal(t[i].result) == (t[i].result < IMPARSE_TOOBIG));
        ck_assert(t[i].result > 0 || *imparse_text(t[i].result));
        prot_free(in);
    }
    prot_free(out);
    buf_free(&answer);
}
END_TEST

START_TEST(argument_sizes)
{
    struct prot_limits limits = { .maxargssize = 12 };
    const char *line = "abc def ghi jkl mno\r\n";
    struct protstream *in = prot_readmap(line, strlen(line));

    prot_setlimits(in, &limits);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(getastring(in, NULL, &word), ' ');
    ck_assert_int_eq(getastring(in, NULL, &word), IMPARSE_BYE_ARGS);
    prot_markcommand(in);
    ck_assert_int_eq(getastring(in, NULL, &word), '\r');
    prot_free(in);

    line = "abc {9+}\r\n123456789";
    in = prot_readmap(line, strlen(line));
    prot_setlimits(in, &limits);
    ck_assert_int_eq(getastring(in, NULL, &word), ' ');
    ck_assert_int_eq(getastring(in, NULL, &word), IMPARSE_BYE_ARGS);
    prot_free(in);
}
END_TEST

START_TEST(literal_minus)
{
    struct prot_limits limits = { .literalminus = true };
    const char *line = "{4097+}\r\n";
    struct protstream *in = prot_readmap(line, strlen(line));

    prot_setlimits(in, &limits);
    ck_assert_int_eq(getastring(in, NULL, &word), IMPARSE_BYE_LITERALMINUS);
    prot_free(in);
}
END_TEST

START_TEST(numbers)
{
    static const struct {
        const char *input;
        int u32, i32, u64, i64, modseq;
    } t[] = {
        { "0 ", ' ', ' ', ' ', ' ', ' ' },
        { "2147483647)", ')', ')', ')', ')', ')' },
        { "2147483648 ", ' ', IMPARSE_BYE_NUMBER, ' ', ' ', ' ' },
        { "4294967295 ", ' ', IMPARSE_BYE_NUMBER, ' ', ' ', ' ' },
        { "4294967296 ", IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER, ' ', ' ', ' ' },
        { "9223372036854775807 ", IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER, ' ', ' ', ' ' },
        { "9223372036854775808 ", IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER, ' ', IMPARSE_BYE_NUMBER,
          IMPARSE_BYE_NUMBER },
        { "18446744073709551615 ", IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER, ' ', IMPARSE_BYE_NUMBER,
          IMPARSE_BYE_NUMBER },
        { "18446744073709551616 ", IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER,
          IMPARSE_BYE_NUMBER, IMPARSE_BYE_NUMBER },
        { "-5 ", IMPARSE_BAD, ' ', IMPARSE_BAD, ' ', IMPARSE_BAD },
        { "-x ", IMPARSE_BAD, IMPARSE_BAD, IMPARSE_BAD, IMPARSE_BAD, IMPARSE_BAD },
        { " 5", IMPARSE_BAD, IMPARSE_BAD, IMPARSE_BAD, IMPARSE_BAD, IMPARSE_BAD },
        { "5x", 'x', 'x', 'x', 'x', 'x' },
        { "", IMPARSE_EOF, IMPARSE_EOF, IMPARSE_EOF, IMPARSE_EOF, IMPARSE_EOF },
    };
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    int64_t i64;

    for (size_t i = 0; i < array_size(t); i++) {
        int r[5];
        for (int k = 0; k < 5; k++) {
            struct protstream *in = prot_readmap(t[i].input, strlen(t[i].input));
            if (k == 0) r[k] = getuint32(in, &u32);
            if (k == 1) r[k] = getint32(in, &i32);
            if (k == 2) r[k] = getuint64(in, &u64);
            if (k == 3) r[k] = getint64(in, &i64);
            if (k == 4) r[k] = getmodseq(in, &u64);
            prot_free(in);
        }
        ck_assert_msg(r[0] == t[i].u32 && r[1] == t[i].i32 && r[2] == t[i].u64 &&
                          r[3] == t[i].i64 && r[4] == t[i].modseq,
                      "%s: %d %d %d %d %d", t[i].input, r[0], r[1], r[2], r[3], r[4]);
    }
    struct protstream *in = prot_readmap("-2147483647 ", 12);
    ck_assert_int_eq(getint32(in, &i32), ' ');
    ck_assert_int_eq(i32, -2147483647);
    prot_free(in);
}
END_TEST

START_TEST(literal_headers)
{
    static const struct {
        const char *input;
        int result;
        uint64_t size;
        bool nonsync, binary;
    } t[] = {
        { "{12}\r\nx", 0, 12, false, false },
        { "{12+}\r\nx", 0, 12, true, false },
        { "~{0+}\nx", 0, 0, true, true },
        { "~12", IMPARSE_BAD, 0, false, true },
        { "{5000000000}\r\nx", 0, 5000000000ULL, false, false },
        { "{1 }\r\n", IMPARSE_BAD, 1, false, false },
        { "{1", IMPARSE_EOF, 1, false, false },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct imparse_literal lit;
        struct protstream *in = prot_readmap(t[i].input, strlen(t[i].input));
        ck_assert_msg(getliteralheader(in, &lit) == t[i].result, "%s", t[i].input);
        if (!t[i].result) {
            ck_assert_uint_eq(lit.size, t[i].size);
            ck_assert(lit.nonsync == t[i].nonsync && lit.binary == t[i].binary);
            ck_assert_int_eq(prot_getc(in), 'x');
        }
        prot_free(in);
    }
}
END_TEST

/* After one token, the rest of the command is skipped up to "NEXT". */
static const struct {
    enum kind kind;
    const char *input;
    unsigned flags;
} rests[] = {
    { WORD, "A1 rest of the line\r\nNEXT", 0 },
    { WORD, "A1\nNEXT", 0 },
    { WORD, "A1\r\nNEXT", 0 },
    { WORD, "A1 {5}\r\nNEXT", 0 },
    { WORD, "A1 {5+}\r\nhello\r\nNEXT", 0 },
    { WORD, "A1 {5+}\r\nA LOG more {3+}\r\nOUT\r\nNEXT", 0 },
    { WORD, "A1 ~{7+}\r\n\r\n\r\nx\r\n\r\nNEXT", 0 },
    { WORD, "A1 {0+}\r\n\r\nNEXT", 0 },
    { WORD, "A1{5+}\r\nhello\r\nNEXT", 0 },
    { WORD, "A1{5+}\nhello\r\nNEXT", 0 },
    { WORD, "A1{x+}\r\nNEXT", 0 },
    { WORD, "A1 5+}\r\nNEXT", 0 },
    { WORD, "A1 {99999999999999999999+}\r\nNEXT", 0 },
    { ASTRING, "(\r\nNEXT", 0 },
    { ASTRING, "\"a\nNEXT", 0 },
    { ASTRING, "{5+} {5+}\r\nhello\r\nNEXT", 0 },
    { QSTRING, "{5+}\r\nhello\r\nNEXT", 0 },
    { SEQ, "x{5+}\r\nhello\r\nNEXT", 0 },
    { WORD, "APPLY {5}\r\nhello x\r\nNEXT", EATLINE_DLIST },
    { WORD, "APPLY (%{default 0123 5}\r\nhello %{x y 3}\r\nabc)\r\nNEXT", EATLINE_DLIST },
    { WORD, "APPLY (%{default 0123 5}\r\nNEXT", 0 },
    { WORD, "APPLY x 5}\r\nNEXT", EATLINE_DLIST },
};

START_TEST(rest_of_the_line)
{
    char rest[5];

    for (size_t i = 0; i < array_size(rests); i++) {
        struct protstream *in = prot_readmap(rests[i].input, strlen(rests[i].input));
        int c = get(rests[i].kind, in, NULL, NULL);
        eatline(in, c, rests[i].flags);
        ck_assert_ptr_nonnull(prot_fgets(rest, sizeof(rest), in));
        ck_assert_msg(!strcmp(rest, "NEXT"), "%s", rests[i].input);
        prot_free(in);
    }
}
END_TEST

START_TEST(rest_after_taking_the_end)
{
    const char *line = "A1{5+}\r\nhello\r\nA2 x\r\nNEXT";
    struct protstream *in = prot_readmap(line, strlen(line));
    char rest[5];

    int c = imparse_eol(in, getword(in, &word));
    ck_assert_int_eq(c, '\n');
    eatline(in, c, 0);
    ck_assert_int_eq(getword(in, &word), ' ');
    ck_assert_str_eq(word.s, "A2");
    /* the announcement is used up */
    c = imparse_eol(in, getword(in, &word));
    eatline(in, c, 0);
    ck_assert_str_eq(prot_fgets(rest, sizeof(rest), in), "NEXT");
    prot_free(in);

    in = prot_readmap("\rx\r\n", 4);
    ck_assert_int_eq(imparse_eol(in, prot_getc(in)), IMPARSE_BAD);
    ck_assert_int_eq(imparse_eol(in, prot_getc(in)), 'x');
    ck_assert_int_eq(imparse_eol(in, prot_getc(in)), '\n');
    prot_free(in);
}
END_TEST

START_TEST(text_tests)
{
    char cmd[] = "fETCH", none[] = "";

    ck_assert(imparse_isatom("a.b-c]"));
    ck_assert(!imparse_isatom(""));
    ck_assert(!imparse_isatom("a b"));
    ck_assert(!imparse_isatom("a\x7f"));
    ck_assert(!imparse_isatom("\xc3\xa4"));
    ck_assert(!imparse_isatom("a*"));
    ck_assert(!imparse_isnatom("a\0", 2));
    ck_assert(imparse_istag("+"));
    ck_assert(imparse_istag("a+b"));
    ck_assert(!imparse_istag("*"));
    ck_assert(imparse_isnumber("007"));
    ck_assert(!imparse_isnumber(""));
    ck_assert(!imparse_isnumber("-1"));
    ck_assert(imparse_issequence("0"));
    ck_assert(imparse_issequence("*"));
    ck_assert(imparse_issequence("5:1,*"));
    ck_assert(!imparse_issequence(""));
    ck_assert(!imparse_issequence("1,"));
    ck_assert(!imparse_issequence(":1"));
    imparse_cmdcase(cmd);
    ck_assert_str_eq(cmd, "Fetch");
    imparse_cmdcase(none);
}
END_TEST

Suite *imparse_suite(void)
{
    Suite *s = suite_create("imparse");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, by_example);
    tcase_add_test(tc, utf8);
    tcase_add_test(tc, go_ahead);
    tcase_add_test(tc, nul_bytes);
    tcase_add_test(tc, token_limits);
    tcase_add_test(tc, argument_sizes);
    tcase_add_test(tc, literal_minus);
    tcase_add_test(tc, numbers);
    tcase_add_test(tc, literal_headers);
    tcase_add_test(tc, rest_of_the_line);
    tcase_add_test(tc, rest_after_taking_the_end);
    tcase_add_test(tc, text_tests);
    suite_add_tcase(s, tc);
    return s;
}
