/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rights and access control lists (handbook 04 §5), and identities and groups
 * through a mechanism of the test's own.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "auth.h"
#include "buf.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "names_config.h"
#include "util.h"

static struct names_config cfg;
static int groups_result, groups_calls;

static int fake_canonify(const char *id, size_t len, char *out, size_t outsize)
{
    snprintf(out, outsize, "%.*s", (int)len, id);
    return 0;
}

static int fake_groups(const char *userid, strarray_t *groups)
{
    groups_calls++;
    strarray_append(groups, "group:all");
    if (!strcmp(userid, "bob")) strarray_append(groups, "group:staff");
    return groups_result;
}

static const struct auth_mechanism fake = { "fake", fake_canonify, fake_groups };

static void setup(void)
{
    names_config_defaults(&cfg);
    names_config_override(&cfg);
    auth_register(&fake);
    ck_assert(auth_select("fake"));
    groups_result = groups_calls = 0;
}

static void teardown(void)
{
    ck_assert(auth_select("unix"));
    names_config_override(NULL);
}

static void assert_printed(const char *set, const char *printed)
{
    char str[ACL_MAXSTR];
    uint32_t mask;

    ck_assert(cyrus_acl_strtomask(set, &mask, NULL));
    ck_assert_str_eq(cyrus_acl_masktostr(mask, str), printed);
}

START_TEST(letters)
{
    uint32_t mask;
    char bad = 0;

    assert_printed("", "");
    assert_printed("c", "kxc");
    assert_printed("d", "ted");
    assert_printed("cd", "kxtecd");
    assert_printed("kd", "ktecd");
    assert_printed("xc", "xc");
    assert_printed("lrswipkxtecdan", "lrswipkxtecdan");
    assert_printed("nadcetxkpiwsrl", "lrswipkxtecdan");
    assert_printed("l9r0", "lr09");
    ck_assert(!cyrus_acl_strtomask("lzr", &mask, &bad));
    ck_assert_int_eq(bad, 'z');
    ck_assert_uint_eq(cyrus_acl_strtomask_lax("lzr", 3), ACL_LOOKUP | ACL_READ);
    ck_assert(cyrus_acl_strtomask("lrswipkxtean0123456789", &mask, NULL));
    ck_assert_uint_eq(mask, ACL_FULL);
}
END_TEST

START_TEST(deleteright)
{
    uint32_t mask;

    cfg.deleteright = 'd';
    assert_printed("c", "kc");
    assert_printed("d", "xted");
    assert_printed("x", "x");
    cfg.deleteright = 'a';
    ck_assert(cyrus_acl_strtomask("a", &mask, NULL));
    ck_assert_uint_eq(mask, ACL_ADMIN | ACL_DELETEMBOX);
    cfg.deleteright = 'q';
    ck_assert(cyrus_acl_strtomask("q", &mask, NULL));
    ck_assert_uint_eq(mask, ACL_DELETEMBOX);
}
END_TEST

static uint32_t rights(const char *userid, const char *acl)
{
    struct auth_state *state = auth_newstate(userid);
    uint32_t r = cyrus_acl_myrights(state, acl);

    auth_freestate(&state);
    ck_assert_ptr_null(state);
    return r;
}

START_TEST(myrights)
{
    ck_assert_uint_eq(rights("bob", "bob\tlr\tanyone\tp\tal\ta\t"),
                      ACL_LOOKUP | ACL_READ | ACL_POST);
    ck_assert_uint_eq(rights("bob", "bob\tlrs\t-anyone\tr\t"), ACL_LOOKUP | ACL_SETSEEN);
    ck_assert_uint_eq(rights("bob", "-bob\tl\tbob\tlr\t"), ACL_READ);
    ck_assert_uint_eq(rights("bob", "group:staff\tl\tgroup:other\tr\t"), ACL_LOOKUP);
    ck_assert_uint_eq(rights("al", "group:staff\tl\tgroup:all\tr\t"), ACL_READ);
    ck_assert_uint_eq(rights("bob", "-group:staff\tr\tanyone\tlr\t"), ACL_LOOKUP);
    ck_assert_uint_eq(rights(NULL, "anyone\tl\tanonymous\tr\tbob\ta\tgroup:all\ta\t"),
                      ACL_LOOKUP | ACL_READ);
    ck_assert_uint_eq(rights("bob", NULL), 0);
    ck_assert_uint_eq(rights("bob", ""), 0);
    ck_assert_uint_eq(rights("bob", "bob"), 0);
    ck_assert_uint_eq(rights("bob", "bob\tlz"), ACL_LOOKUP);
    ck_assert_uint_eq(cyrus_acl_myrights(NULL, "anyone\tl\t"), ACL_LOOKUP);

    ck_assert_uint_eq(rights("bob", "bob\ta\t"), ACL_ADMIN);
    cfg.acl_admin_implies_write = true;
    ck_assert_uint_eq(rights("bob", "bob\ta\t"), ACL_ADMIN | ACL_SETSEEN | ACL_WRITE | ACL_INSERT |
                                                     ACL_DELETEMSG | ACL_EXPUNGE | ACL_ANNOTATEMSG);
}
END_TEST

START_TEST(groups)
{
    struct auth_state *state = auth_newstate("bob");

    ck_assert_int_eq(auth_memberof(state, "anyone"), 1);
    ck_assert_int_eq(auth_memberof(state, "bob"), 3);
    ck_assert_int_eq(auth_memberof(state, "Bob"), 0);
    ck_assert_int_eq(groups_calls, 0); /* not asked before a group is named */
    ck_assert_int_eq(auth_memberof(state, "group:staff"), 2);
    ck_assert_int_eq(auth_memberof(state, "group:"), 0);
    ck_assert_int_eq(auth_memberof(state, "group:staf"), 0);
    ck_assert_int_eq(groups_calls, 1);
    ck_assert_str_eq(auth_userid(state), "bob");
    ck_assert_int_eq(auth_groups(state)->count, 2);
    auth_freestate(&state);

    /* groups that cannot be learned take rights and give none */
    groups_result = IMAP_SYS_ERROR;
    ck_assert_uint_eq(rights("bob", "group:staff\tlrs\tanyone\tlr\t-group:all\tr\t"), ACL_LOOKUP);
    ck_assert(!auth_select("nosuch"));
}
END_TEST

START_TEST(canonical)
{
    static const struct {
        enum virtdomains v;
        const char *id, *want;
    } t[] = {
        { VIRTDOMAINS_OFF, "ANYBODY", "anyone" },
        { VIRTDOMAINS_OFF, "Anyone", "anyone" },
        { VIRTDOMAINS_OFF, "Anonymous", "anonymous" },
        { VIRTDOMAINS_OFF, "Bob", "bob" },
        { VIRTDOMAINS_OFF, "sp ace", "sp ace" },
        { VIRTDOMAINS_OFF, "a@b", "a@b" },
        { VIRTDOMAINS_OFF, "p%ct", NULL },
        { VIRTDOMAINS_OFF, "A*B", NULL },
        { VIRTDOMAINS_OFF, "c:d", NULL },
        { VIRTDOMAINS_OFF, "", NULL },
        { VIRTDOMAINS_OFF, "caf\xc3\xa9", NULL },
        { VIRTDOMAINS_OFF, "group:nosuchgroup", NULL },
        { VIRTDOMAINS_OFF, "group:root", "group:root" },
        { VIRTDOMAINS_USERID, "bob%dom.org", "bob@dom.org" },
        { VIRTDOMAINS_USERID, "bob@Example.COM", "bob" },
        { VIRTDOMAINS_USERID, "a@b%example.com", "a@b" },
    };
    char out[AUTH_IDMAX];

    ck_assert(auth_select("unix"));
    cfg.defaultdomain = "example.com";
    for (size_t i = 0; i < array_size(t); i++) {
        cfg.virtdomains = t[i].v;
        int r = auth_canonifyid(t[i].id, strlen(t[i].id), out, sizeof(out));
        ck_assert_msg(r == (t[i].want ? 0 : IMAP_INVALID_IDENTIFIER), "%s", t[i].id);
        if (t[i].want) ck_assert_str_eq(out, t[i].want);
    }
    cfg.username_tolower = false;
    cfg.virtdomains = VIRTDOMAINS_OFF;
    ck_assert_int_eq(auth_canonifyid("Bob", 3, out, sizeof(out)), 0);
    ck_assert_str_eq(out, "Bob");
    ck_assert_int_eq(auth_canonifyid("Bob", 3, out, 3), IMAP_INVALID_IDENTIFIER);
    char longid[200];
    memset(longid, 'x', sizeof(longid));
    ck_assert_int_eq(auth_canonifyid(longid, 80, out, sizeof(out)), 0);
    ck_assert_int_eq(auth_canonifyid(longid, 81, out, sizeof(out)), IMAP_INVALID_IDENTIFIER);
}
END_TEST

/* The account that runs the test is in its own primary group. */
START_TEST(system_groups)
{
    ck_assert(auth_select("unix"));
    struct auth_state *state = auth_newstate("root");
    ck_assert_int_eq(auth_memberof(state, "group:root"), 2);
    auth_freestate(&state);
    cfg.unix_group_enable = false;
    state = auth_newstate("root");
    ck_assert_int_eq(auth_memberof(state, "group:root"), 0);
    auth_freestate(&state);
    state = auth_newstate("no-such-account");
    ck_assert_int_eq(auth_groups(state)->count, 0);
    ck_assert(!auth_groups_unknown(state));
    auth_freestate(&state);
}
END_TEST

static void assert_set(char **acl, const char *id, enum acl_mode mode, const char *str,
                       const struct acl_owner *owner, const char *want)
{
    uint32_t mask;

    ck_assert(cyrus_acl_strtomask(str, &mask, NULL));
    ck_assert_int_eq(cyrus_acl_set(acl, id, mode, mask, owner), 0);
    ck_assert_str_eq(*acl, want);
}

START_TEST(editing)
{
    char *acl = NULL;

    assert_set(&acl, "bob", ACL_MODE_SET, "lr", NULL, "bob\tlr\t");
    assert_set(&acl, "anyone", ACL_MODE_ADD, "p", NULL, "bob\tlr\tanyone\tp\t");
    assert_set(&acl, "bob", ACL_MODE_ADD, "s", NULL, "bob\tlrs\tanyone\tp\t");
    assert_set(&acl, "bob", ACL_MODE_REMOVE, "ls", NULL, "bob\tr\tanyone\tp\t");
    assert_set(&acl, "bo", ACL_MODE_SET, "l", NULL, "bob\tr\tanyone\tp\tbo\tl\t");
    assert_set(&acl, "nobody", ACL_MODE_REMOVE, "l", NULL, "bob\tr\tanyone\tp\tbo\tl\t");
    assert_set(&acl, "anyone", ACL_MODE_SET, "", NULL, "bob\tr\tbo\tl\t");
    ck_assert_int_eq(cyrus_acl_remove(&acl, "bob", NULL), 0);
    ck_assert_int_eq(cyrus_acl_remove(&acl, "bob", NULL), 0);
    ck_assert_str_eq(acl, "bo\tl\t");
    assert_set(&acl, "bo", ACL_MODE_REMOVE, "l", NULL, "");
    ck_assert_uint_eq(cyrus_acl_rights_of("a\tl\tab\tr\t", "ab"), ACL_READ);
    ck_assert_uint_eq(cyrus_acl_rights_of("a\tl\tab\tr\t", "b"), 0);

    ck_assert_int_eq(cyrus_acl_set(&acl, "q\"x", ACL_MODE_SET, ACL_READ, NULL),
                     IMAP_INVALID_IDENTIFIER);
    ck_assert_int_eq(cyrus_acl_set(&acl, "a\tb", ACL_MODE_SET, ACL_READ, NULL),
                     IMAP_INVALID_IDENTIFIER);
    ck_assert_int_eq(cyrus_acl_set(&acl, "", ACL_MODE_SET, ACL_READ, NULL),
                     IMAP_INVALID_IDENTIFIER);
    ck_assert_int_eq(cyrus_acl_set(&acl, "-", ACL_MODE_SET, ACL_READ, NULL),
                     IMAP_INVALID_IDENTIFIER);
    ck_assert_str_eq(acl, "");
    assert_set(&acl, "sp ace", ACL_MODE_SET, "l", NULL, "sp ace\tl\t");
    free(acl);
}
END_TEST

/* handbook 04 §5.2: SETACL INBOX.f bob "" by bob leaves lkxcan. */
START_TEST(implicit_rights)
{
    struct acl_owner byowner = {
        "bob", "bob", ACL_LOOKUP | ACL_CREATE | ACL_DELETEMBOX | ACL_ADMIN | ACL_ANNOTATEMSG
    };
    struct acl_owner byother = byowner;
    char *acl = strdup("bob\tlrs\tal\tr\t");

    byother.userid = "admin";
    assert_set(&acl, "bob", ACL_MODE_SET, "", &byowner, "bob\tlkxcan\tal\tr\t");
    assert_set(&acl, "bob", ACL_MODE_SET, "r", &byother, "bob\tlrkxcan\tal\tr\t");
    free(acl);
    acl = strdup("al\tr\t");
    assert_set(&acl, "al", ACL_MODE_SET, "l", &byother, "al\tl\t");
    assert_set(&acl, "al", ACL_MODE_SET, "lr", &byowner, "al\tlr\tbob\tlkxcan\t");
    ck_assert_int_eq(cyrus_acl_remove(&acl, "bob", &byother), 0);
    ck_assert_str_eq(acl, "al\tlr\tbob\tlkxcan\t");
    free(acl);
}
END_TEST

START_TEST(dlist_form)
{
    struct buf out = BUF_INITIALIZER;
    struct dlist_scan sc;
    char *acl = NULL;

    cyrus_acl_print("bob\tlr\tsp ace\tl\t", &out);
    ck_assert_str_eq(buf_cstring(&out), "%(bob lr \"sp ace\" l)");
    dlist_scan_init(&sc, out.s, out.len);
    ck_assert(cyrus_acl_scan(&sc, &acl));
    ck_assert_str_eq(acl, "bob\tlr\tsp ace\tl\t");
    dlist_scan_fini(&sc);
    buf_reset(&out);
    cyrus_acl_print("", &out);
    ck_assert_str_eq(buf_cstring(&out), "%()");
    buf_free(&out);
    free(acl);

    static const struct {
        const char *text, *want;
    } t[] = {
        { "", "" },           { "a\tl\t", "a\tl\t" },
        { "a\tl", "a\tl\t" }, { "a\t\tb\tl\t", "a\t\tb\tl\t" },
        { "a", NULL },        { "\tl\t", NULL },
        { "a\tl\tb", NULL },  { "a\tl\t\tr\t", NULL },
        { "\t", NULL },
    };
    for (size_t i = 0; i < array_size(t); i++) {
        char *got = cyrus_acl_normalise(t[i].text, strlen(t[i].text));
        if (t[i].want)
            ck_assert_str_eq(got, t[i].want);
        else
            ck_assert_msg(!got, "'%s'", t[i].text);
        free(got);
    }
}
END_TEST

/* Random edits against a table of masks. */
START_TEST(random_edits)
{
    static const char *const ids[] = { "al", "bob", "anyone", "-bob", "group:x", "b ob" };
    uint32_t model[6] = { 0 };
    char *acl = NULL;

    srandom((unsigned)_i + 1);
    for (int k = 0; k < 400; k++) {
        size_t i = (size_t)random() % 6;
        uint32_t mask = (uint32_t)random() & (uint32_t)random() & ACL_FULL;
        switch (random() % 4) {
        case 0:
            cyrus_acl_set(&acl, ids[i], ACL_MODE_SET, mask, NULL);
            model[i] = mask;
            break;
        case 1:
            cyrus_acl_set(&acl, ids[i], ACL_MODE_ADD, mask, NULL);
            model[i] |= mask;
            break;
        case 2:
            cyrus_acl_set(&acl, ids[i], ACL_MODE_REMOVE, mask, NULL);
            model[i] &= ~mask;
            break;
        default: cyrus_acl_remove(&acl, ids[i], NULL); model[i] = 0;
        }
        size_t entries = 0, want = 0;
        const char *p = acl;
        struct acl_item item;
        while (cyrus_acl_next(&p, &item)) entries++;
        for (size_t j = 0; j < 6; j++) {
            /* printing may add a macro, never a right */
            ck_assert_uint_eq(cyrus_acl_rights_of(acl, ids[j]), model[j]);
            want += model[j] != 0;
        }
        ck_assert_uint_eq(entries, want);
    }
    free(acl);
}
END_TEST

Suite *acl_suite(void)
{
    Suite *s = suite_create("acl");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, letters);
    tcase_add_test(tc, deleteright);
    tcase_add_test(tc, myrights);
    tcase_add_test(tc, groups);
    tcase_add_test(tc, canonical);
    tcase_add_test(tc, system_groups);
    tcase_add_test(tc, editing);
    tcase_add_test(tc, implicit_rights);
    tcase_add_test(tc, dlist_form);
    tcase_add_loop_test(tc, random_edits, 0, 10);
    suite_add_tcase(s, tc);
    return s;
}
