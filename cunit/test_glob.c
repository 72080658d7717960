/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Patterns of LIST, checked by example and against a plain recursive matcher.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "dirhash.h"
#include "glob.h"
#include "util.h"

static const struct {
    const char *pattern, *text;
    char sep;
    bool match, prefix;
} examples[] = {
    { "INBOX", "INBOX", '.', true, true },
    { "INBOX", "INBOX.a", '.', false, false },
    { "INBOX.%", "INBOX.a", '.', true, true },
    { "INBOX.%", "INBOX.a.b", '.', false, false },
    { "INBOX.*", "INBOX.a.b", '.', true, true },
    { "INBOX.*", "INBOX", '.', false, true },
    { "*", "", '.', true, true },
    { "%", "", '.', true, true },
    { "%", "a/b", '/', false, false },
    { "%", "a.b", '/', true, true },
    { "%/%", "a/b", '/', true, true },
    { "%b%", "abc", '/', true, true },
    { "*%", "a/b/c", '/', true, true },
    { "%*", "a/b/c", '/', true, true },
    { "a*c", "abbc", '/', true, true },
    { "a*c", "ab", '/', false, true },
    { "a%c/d", "axxc", '/', false, true },
    { "", "", '/', true, true },
    { "", "a", '/', false, false },
    { "user/*", "user", '/', false, true },
};

START_TEST(by_example)
{
    for (size_t i = 0; i < array_size(examples); i++) {
        struct glob *g = glob_init(examples[i].pattern, examples[i].sep, 0);
        size_t len = strlen(examples[i].text);
        ck_assert_msg(glob_test(g, examples[i].text, len) == examples[i].match, "%s %s",
                      examples[i].pattern, examples[i].text);
        ck_assert_msg(glob_test_prefix(g, examples[i].text, len) == examples[i].prefix,
                      "%s %s prefix", examples[i].pattern, examples[i].text);
        glob_free(&g);
        ck_assert_ptr_null(g);
    }
}
END_TEST

static bool slow_match(const char *p, const char *t, char sep)
{
    if (!*p) return !*t;
    if (*p == '*' || *p == '%') {
        if (slow_match(p + 1, t, sep)) return true;
        return *t && !(*p == '%' && *t == sep) && slow_match(p, t + 1, sep);
    }
    return *p == *t && slow_match(p + 1, t + 1, sep);
}

static void random_text(char *out, size_t max, const char *letters)
{
    size_t n = (size_t)random() % max;

    for (size_t i = 0; i < n; i++) out[i] = letters[(size_t)random() % strlen(letters)];
    out[n] = '\0';
}

START_TEST(against_recursion)
{
    char pattern[10], text[12];

    srandom((unsigned)_i + 1);
    for (int k = 0; k < 2000; k++) {
        random_text(pattern, sizeof(pattern), "ab/*%");
        random_text(text, sizeof(text), "ab/");
        struct glob *g = glob_init(pattern, '/', 0);
        bool want = slow_match(pattern, text, '/');
        ck_assert_msg(glob_test(g, text, strlen(text)) == want, "'%s' '%s'", pattern, text);
        /* every prefix of a match is a prefix that may match */
        for (size_t n = 0; want && n <= strlen(text); n++) ck_assert(glob_test_prefix(g, text, n));
        glob_free(&g);
    }
}
END_TEST

START_TEST(inbox_in_any_case)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } t[] = {
        { "inbox", "INBOX", true },      { "inbox.%", "INBOX.a", true },
        { "inBOX*", "INBOX.a", true },   { "inbox.A", "INBOX.a", false },
        { "inboxes", "INBOXES", false }, { "a.inbox", "a.INBOX", false },
        { "*inbox", "INBOX", false },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct glob *g = glob_init(t[i].pattern, '.', GLOB_INBOXCASE);
        ck_assert_msg(glob_test(g, t[i].text, strlen(t[i].text)) == t[i].match, "%s", t[i].pattern);
        glob_free(&g);
    }
}
END_TEST

/* A pattern that takes exponential time when it is matched by trying. */
START_TEST(hostile_pattern)
{
    char pattern[2002], text[4001];

    for (size_t i = 0; i < 2000; i += 2) memcpy(pattern + i, "*a", 2);
    memcpy(pattern + 2000, "b", 2);
    memset(text, 'a', 4000);
    text[4000] = '\0';
    struct glob *g = glob_init(pattern, '/', 0);
    ck_assert(!glob_test(g, text, 4000));
    text[3999] = 'b';
    ck_assert(glob_test(g, text, 4000));
    glob_free(&g);
}
END_TEST

START_TEST(literal_prefix)
{
    struct glob *g = glob_init("user/%/x", '/', 0);

    ck_assert_uint_eq(glob_literal_prefix(g), 5);
    ck_assert(glob_haswildcard(g));
    glob_free(&g);
    g = glob_init("user", '/', 0);
    ck_assert_uint_eq(glob_literal_prefix(g), 4);
    ck_assert(!glob_haswildcard(g));
    glob_free(&g);
}
END_TEST

/* Letters seen with 3.6.1 (handbook 01 §7.13, 02 §1.7). */
START_TEST(directory_letters)
{
    static const struct {
        const char *name;
        char full, simple;
    } t[] = {
        { "user", 'C', 'u' },
        { "cassandane", 'O', 'c' },
        { "b.ob", 'G', 'b' },
        { "eve", 'W', 'e' },
        { "e.ve", 'J', 'e' },
        { "example.org", 'O', 'e' },
        { "9nine", 'V', 'q' },
        { "Sub.dot", 'N', 's' },
        { "Shared", 'W', 's' },
        { "alice", 'L', 'a' },
        { "4you", 'O', 'q' },
        { "erin", 'C', 'e' },
        { "dom.example.org", 'J', 'd' },
        { "x", 'F', 'x' },
        { "Zoe.q", 'I', 'z' },
        { "*U*carol", 0, 'q' },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        if (t[i].full) ck_assert_int_eq(dir_hash_c(t[i].name, true), t[i].full);
        ck_assert_int_eq(dir_hash_c(t[i].name, false), t[i].simple);
    }
    ck_assert_int_eq(dir_hash_c("", false), 'q');
    ck_assert_int_eq(dir_hash_c("", true), 'A');
}
END_TEST

Suite *glob_suite(void)
{
    Suite *s = suite_create("glob");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, by_example);
    tcase_add_loop_test(tc, against_recursion, 0, 10);
    tcase_add_test(tc, inbox_in_any_case);
    tcase_add_test(tc, hostile_pattern);
    tcase_add_test(tc, literal_prefix);
    tcase_add_test(tc, directory_letters);
    suite_add_tcase(s, tc);
    return s;
}
