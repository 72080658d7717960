/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The external form: in every namespace, what a session is shown of a mailbox brings it back to that mailbox, and
 * a mailbox has no name there exactly for the reasons that are written down here. What a client types stands for a name
 * that can be stored, or for none.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mboxname.h"
#include "names_testutil.h"
#include "utf7.h"
#include "util.h"

static struct namespace ns;

/* 2 separators, 2 namespaces and admins of either, 3 kinds of domains, crossdomains, the option beside it; UTF-8 or not. */
#define PLAIN_SHAPES (2 * 2 * 2 * 3 * 2 * 2)
#define SHAPES (2 * PLAIN_SHAPES)

static void use(int n)
{
    static const enum virtdomains kinds[] = { VIRTDOMAINS_OFF, VIRTDOMAINS_USERID, VIRTDOMAINS_ON };
    bool utf8 = n >= PLAIN_SHAPES, admin = n & 4;

    if (utf8) n -= PLAIN_SHAPES;

    test_names.unixhierarchysep = n & 1;
    test_names.altnamespace = n & 2;
    test_names.crossdomains = n & 8;
    test_names.crossdomains_onlyother = n & 16;
    test_names.virtdomains = kinds[n / 32];
    ck_assert_int_eq(mboxname_init_namespace(&ns, admin), 0);
    ns.utf8 = utf8;
}

/* ---- names ---- */

static const char *const users[] = { "alice", "aZ", "e.ve", "e.ve@example.org", "alice@example.org", "INBOX", NULL };

static const char *const whole[] = { "INBOX",       "inbox",       "InBoX",          "user",     "DELETED",
                                     "Other Users", "Alt Folders", "Shared Folders", "6B0244C8", "6b0244c8",
                                     "a@b",         "@",           "a@example.org",  "a@internal" };
static const char *const pieces[] = { "a", "Z", "0", " ", "%",      "*",     "&-", "&AOQ-", "&Zeg-", "~",  "$", "_", "-",
                                      ".", "@", "+", "'", "INBOX", "inbox", "\"", "\\",    "{3+}",  "(a)", "user", "\xc3\xa4" };

static void random_part(struct buf *out)
{
    buf_reset(out);
    if (random() % 3 == 0) {
        buf_setcstr(out, whole[(size_t)random() % array_size(whole)]);
        return;
    }
    do {
        buf_appendcstr(out, pieces[(size_t)random() % array_size(pieces)]);
    } while (random() % 2);
}

static mbname_t *random_name(void)
{
    static const char *const domains[] = { NULL, "example.org", "internal", "b" };
    struct buf part = BUF_INITIALIZER;
    mbname_t *m = mbname_from_userid(random() % 4 ? users[(size_t)random() % array_size(users)] : NULL);

    if (random() % 4 == 0) mbname_set_domain(m, domains[(size_t)random() % array_size(domains)]);
    for (long n = random() % 4 + !mbname_localpart(m); n > 0; n--) {
        random_part(&part);
        mbname_push_boxes(m, buf_cstring(&part));
    }
    if (random() % 6 == 0) mbname_set_isdeleted(m, 1 + random() % 0x7ffffffe);
    /* as it is read from a store */
    mbname_t *stored = mbname_from_intname(mbname_intname(m));
    mbname_free(&m);
    buf_free(&part);
    return stored;
}

/* ---- which have no name ---- */

static bool same_domain(const mbname_t *m, const mbname_t *user)
{
    return !strcmpnull(mbname_domain(m), mbname_domain(user));
}

static bool is_hidden(const mbname_t *m, const mbname_t *user)
{
    if (same_domain(m, user)) return false;
    if (test_names.virtdomains == VIRTDOMAINS_OFF) return true;
    return !ns.isadmin && !(test_names.crossdomains && (ns.isalt || mbname_localpart(m)));
}

/* Only admins type deleted names as such; others would spell a shared one, in which no owner has a domain. */
static bool has_no_deleted_form(const mbname_t *m, const mbname_t *user)
{
    if (ns.isalt) return true;
    if (ns.isadmin || test_names.virtdomains == VIRTDOMAINS_OFF || !test_names.crossdomains || !mbname_localpart(m)) return false;
    bool bare = same_domain(m, user) && test_names.crossdomains_onlyother && !strchr(mbname_localpart(m), '@');
    return !bare;
}

/* The time of a deleted name as an admin may type it, but deletion does not write it. */
static bool is_lower_time(const char *s)
{
    size_t len = strspn(s, "0123456789abcdefABCDEF");

    return len && len < 16 && !s[len] && *s != '0' && strpbrk(s, "abcdef");
}

static bool reads_as_other(const mbname_t *m, const mbname_t *user)
{
    const strarray_t *boxes = mbname_boxes(m);
    const char *first = strarray_nth(boxes, 0);

    if (mbname_localpart(m)) return false;
    /* the level above all users has no domain in the alternate namespace */
    if (ns.isalt) return strarray_size(boxes) == 1 && !strcmp(first, "user") && !same_domain(m, user);
    if (!cyr_strcasecmp(first, "INBOX")) return true;
    return ns.isadmin && !strcmp(first, "DELETED") && strarray_size(boxes) > 2 && is_lower_time(strarray_nth(boxes, -1));
}

static bool has_no_form(const mbname_t *m, const char *userid)
{
    mbname_t *user = mbname_from_userid(userid);
    bool none = !mbname_localpart(m) && !strarray_size(mbname_boxes(m));

    if (!none) none = is_hidden(m, user);
    if (!none && ns.utf8) none = !utf7_isvalid(mbname_intname(m), strlen(mbname_intname(m)));
    if (!none) none = mbname_isdeleted(m) ? has_no_deleted_form(m, user) : reads_as_other(m, user);
    mbname_free(&user);
    return none;
}

static void assert_round_trip(const mbname_t *m, const char *userid, int counts[2])
{
    extname_t ext = mbname_extname(m, &ns, userid);
    const char *name = mbname_intname(m) ? mbname_intname(m) : "(none)";
    bool none = has_no_form(m, userid);

    counts[none]++;
    ck_assert_msg(extname_isnone(ext) == none, "%s for %s: %s", name, userid ? userid : "nobody",
                  none ? extname_text(ext) : "no name");
    if (none) return;
    mbname_t *back = mbname_from_extname(ext, &ns, userid);
    ck_assert_msg(back && !strcmp(mbname_intname(back), name), "%s -> %s -> %s (%s)", name, extname_text(ext),
                  back ? mbname_intname(back) : "nothing", userid ? userid : "nobody");
    mbname_free(&back);
}

START_TEST(round_trips)
{
    int counts[2] = { 0, 0 };

    srandom((unsigned)_i + 1);
    use(_i);
    for (int k = 0; k < 3000; k++) {
        mbname_t *m = random_name();
        assert_round_trip(m, users[(size_t)random() % array_size(users)], counts);
        mbname_free(&m);
    }
    ck_assert_int_gt(counts[false], 500);
    ck_assert_int_gt(counts[true], 10);
}
END_TEST

/* ---- any bytes ---- */

START_TEST(typed_is_storable)
{
    static const char *const bits[] = { ".", "/", "^", "!",  "@",      "..",   "\x1f", "\x1d",    "\x7f",        "\n",
                                        "a", "user", "INBOX", "DELETED", "6B0244C8", "&", "\xff", "*", "Other Users", "Shared Folders" };
    struct buf text = BUF_INITIALIZER;

    srandom((unsigned)_i + 1);
    use(_i);
    for (int k = 0; k < 5000; k++) {
        const char *userid = users[(size_t)random() % array_size(users)];
        buf_reset(&text);
        for (long n = random() % 7; n >= 0; n--) buf_appendcstr(&text, bits[(size_t)random() % array_size(bits)]);
        mbname_t *m = mbname_from_extname(extname_of(buf_cstring(&text)), &ns, userid);
        if (!m) continue;
        const char *name = mbname_intname(m);
        mbname_t *back = mbname_from_sync(syncname_of(name, strlen(name)));
        ck_assert_msg(back && !strcmp(mbname_intname(back), name), "%s became %s", buf_cstring(&text), name);
        mbname_free(&back);
        mbname_free(&m);
    }
    buf_free(&text);
}
END_TEST

static void assert_none(const char *typed)
{
    char *name = mboxname_from_external(extname_of(typed), &ns, "alice");

    ck_assert_msg(!name, "%s became %s", typed, name);
}

/* Bytes that would make the internal name that of another mailbox, or are in no name. */
START_TEST(typed_is_refused)
{
    use(_i);
    assert_none("INBOX\x1fsub");
    assert_none("a\x1d"
                "b");
    assert_none("shared\n");
    assert_none("shared\x7f");
    if (ns.isadmin && test_names.virtdomains != VIRTDOMAINS_OFF) {
        /* a domain in front, as 3.6.1 reads it */
        char *name = mboxname_from_external(extname_of("a!b"), &ns, "alice");
        ck_assert_str_eq(name, "a!b");
        free(name);
        assert_none("!a");
    }
    else {
        assert_none("a!b");
        assert_none("a!user.bob");
    }
    assert_none(test_names.unixhierarchysep ? "INBOX/a^b" : "INBOX.a/b");
    assert_none("");
    ck_assert_ptr_null(mbname_from_extname(EXTNAME_NONE, &ns, "alice"));
}
END_TEST

/* An '@' that is part of a name needs the domain behind it, which 3.6.1 understands, too. */
START_TEST(at_signs)
{
    test_names.virtdomains = VIRTDOMAINS_USERID;
    test_names.defaultdomain = "example.com";
    test_names.unixhierarchysep = true;
    ck_assert_int_eq(mboxname_init_namespace(&ns, true), 0);
    extname_t ext = mboxname_to_external("user.alice.a@b", &ns, "admin");
    ck_assert_str_eq(extname_text(ext), "user/alice/a@b@example.com");
    extname_free(&ext);
    ext = mboxname_to_external("user.alice.a", &ns, "admin");
    ck_assert_str_eq(extname_text(ext), "user/alice/a");
    extname_free(&ext);
    ck_assert_int_eq(mboxname_init_namespace(&ns, false), 0);
    ext = mboxname_to_external("user.alice.a@b", &ns, "alice");
    ck_assert_str_eq(extname_text(ext), test_names.altnamespace ? "a@b" : "INBOX/a@b");
    extname_free(&ext);
}
END_TEST

/* One name, two spellings; an '&' is itself in UTF-8. */
START_TEST(in_utf8)
{
    static const struct {
        const char *internal, *utf7, *utf8;
    } names[] = {
        { "user.alice.&AOQ-", "INBOX/&AOQ-", "INBOX/\xc3\xa4" },
        { "user.alice.a&-b.&AOQA9g-", "INBOX/a&-b/&AOQA9g-", "INBOX/a&b/\xc3\xa4\xc3\xb6" },
        { "user.bob.&2D3eCg-", "user/bob/&2D3eCg-", "user/bob/\xf0\x9f\x98\x8a" },
        { "&AOQ-^x", "&AOQ-.x", "\xc3\xa4.x" },
    };

    use(1);
    for (size_t i = 0; i < 2 * array_size(names); i++) {
        ns.utf8 = i % 2;
        const char *text = ns.utf8 ? names[i / 2].utf8 : names[i / 2].utf7;
        extname_t ext = mboxname_to_external(names[i / 2].internal, &ns, "alice");
        ck_assert_str_eq(extname_text(ext), text);
        extname_free(&ext);
        char *name = mboxname_from_external(extname_of(text), &ns, "alice");
        ck_assert_str_eq(name, names[i / 2].internal);
        free(name);
    }
    assert_none("INBOX/\xff");
    assert_none("INBOX/\xc3\xa4\x01");
    ck_assert(extname_isnone(mboxname_to_external("user.alice.&AOQ", &ns, "alice")));
}
END_TEST

START_TEST(shown_where_there_is_none)
{
    use(1 | 2);
    extname_t ext = mboxname_to_external("DELETED.user.u.6B0244C8", &ns, "u");
    ck_assert(extname_isnone(ext));
    ext = mboxname_to_shown("DELETED.user.u.6B0244C8", &ns, "u");
    ck_assert_str_eq(extname_text(ext), "DELETED.user.u.6B0244C8");
    extname_free(&ext);
    ext = mboxname_to_shown("user.u.a", &ns, "u");
    ck_assert_str_eq(extname_text(ext), "a");
    extname_free(&ext);
}
END_TEST

Suite *mbname_ext_suite(void)
{
    Suite *s = suite_create("mbname_ext");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, test_names_setup, test_names_teardown);
    tcase_add_loop_test(tc, round_trips, 0, SHAPES);
    tcase_add_loop_test(tc, typed_is_storable, 0, SHAPES);
    tcase_add_loop_test(tc, typed_is_refused, 0, SHAPES);
    tcase_add_test(tc, at_signs);
    tcase_add_test(tc, in_utf8);
    tcase_add_test(tc, shown_where_there_is_none);
    suite_add_tcase(s, tc);
    return s;
}
