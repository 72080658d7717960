/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_masterconf -- cyrus.conf
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "masterconf.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

static char *dir, *path;
static struct buf err, seen;

static void setup(void)
{
    dir = test_mkdtemp();
    path = test_path(dir, "cyrus.conf");
}

static void teardown(void)
{
    free(path);
    test_rmdir(dir);
    buf_free(&err);
    buf_free(&seen);
}

static int note(const struct masterconf_entry *e, void *rock)
{
    buf_printf(&seen, "%s", e->name);
    for (int i = 0; i < e->nargs; i++)
        buf_printf(&seen, " %s=%s", e->args[i].key, e->args[i].value);
    buf_putc(&seen, '\n');
    return 0;
}

static int get(const char *text, const char *section)
{
    buf_reset(&seen);
    test_writefile(path, text, strlen(text));
    return masterconf_getsection(path, section, note, NULL, &err);
}

START_TEST(test_sections)
{
    static const char text[] = "# {\n"
                               "OTHER { START {\n a b=c\n }\n}\n"
                               "start { # x\n"
                               "\n   one cmd=\"a b\"   x=y # z=1\n"
                               "two\n"
                               "  }\n"
                               "STARTS {\n x a=b\n}\n"
                               "SERVICES { }\n"
                               "  START{\n\tthree\tcmd=\"\"\n}";

    ck_assert_int_eq(get(text, "START"), 0);
    ck_assert_str_eq(buf_cstring(&seen), "one cmd=a b x=y\ntwo\nthree cmd=\n");
    ck_assert_int_eq(get(text, "SERVICES"), 0);
    ck_assert_uint_eq(seen.len, 0);
    ck_assert_int_eq(get(text, "EVENTS"), 0);
    ck_assert_uint_eq(seen.len, 0);
}
END_TEST

static const struct {
    const char *entry, *message;
} bad[] = {
    { "a-b x=y", "bad character '-' in name" },
    { "\"a\" x=y", "bad character '\"' in name" },
    { "a x =y", "bad character ' ' in argument" },
    { "a x", "bad character ' ' in argument" },
    { "a x=\"y", "missing \"" },
    { "a x=\"y #\"", "missing \"" },
    { "a x=y }", "bad character '}' in argument" },
};

START_TEST(test_faults)
{
    char *text = xasprintf("START {\n%s\n}\n", bad[_i].entry);
    char *want = xasprintf("configuration file %s: %s on line 2", path, bad[_i].message);

    ck_assert_int_eq(get(text, "START"), EX_CONFIG);
    ck_assert_str_eq(buf_cstring(&err), want);
    ck_assert_int_eq(get(text, "DAEMON"), 0); /* another section does not care */
    free(text);
    free(want);
}
END_TEST

START_TEST(test_many)
{
    struct buf text = BUF_INITIALIZER;

    buf_setcstr(&text, "START {\na");
    for (int i = 0; i < 64; i++) buf_printf(&text, " k%d=v", i);
    ck_assert_int_eq(get(buf_cstring(&text), "START"), 0);
    buf_appendcstr(&text, " k=v");
    ck_assert_int_eq(get(buf_cstring(&text), "START"), EX_CONFIG);
    ck_assert_ptr_nonnull(strstr(buf_cstring(&err), "too many arguments on line 2"));
    ck_assert_int_eq(masterconf_getsection("/nonexistent", "START", note, NULL, &err), EX_CONFIG);
    buf_free(&text);
}
END_TEST

static int check_values(const struct masterconf_entry *e, void *rock)
{
    ck_assert_str_eq(masterconf_getstring(e, "s", ""), "first");
    ck_assert_str_eq(masterconf_getstring(e, "S", "def"), "def");
    ck_assert_int_eq(masterconf_getint(e, "n", 7), 12);
    ck_assert_int_eq(masterconf_getint(e, "m", 7), -3);
    ck_assert_int_eq(masterconf_getint(e, "s", 7), 7);
    ck_assert(masterconf_getswitch(e, "yes", false));
    ck_assert(!masterconf_getswitch(e, "off", true));
    ck_assert(masterconf_getswitch(e, "s", true) == false); /* f */
    ck_assert(masterconf_getswitch(e, "zork", true));
    ck_assert(masterconf_getswitch(e, "none", true));
    *(int *)rock = 1;
    return 42;
}

START_TEST(test_values)
{
    int called = 0;
    static const char text[] = "START {\na s=first s=second n=12x m=-3 yes=on off=off zork=zork\nb\n}\n";

    test_writefile(path, text, sizeof(text) - 1);
    ck_assert_int_eq(masterconf_getsection(path, "START", check_values, &called, &err), 42);
    ck_assert_int_eq(called, 1);
}
END_TEST

Suite *masterconf_suite(void)
{
    Suite *s = suite_create("masterconf");
    TCase *t = tcase_create("cyrus.conf");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_sections);
    tcase_add_loop_test(t, test_faults, 0, (int)array_size(bad));
    tcase_add_test(t, test_many);
    tcase_add_test(t, test_values);
    suite_add_tcase(s, t);
    return s;
}
