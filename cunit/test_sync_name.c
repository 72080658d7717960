/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names and user ids that a peer of the sync protocol sends: taken as they are, or refused.
 */
#include <config.h>

#include <check.h>
#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "names_config.h"
#include "quota_codec.h"
#include "sync_folder.h"
#include "sync_name.h"
#include "sync_quota.h"
#include "util.h"

static struct names_config cfg;
static struct dlist *kl;

static void setup(void)
{
    names_config_defaults(&cfg);
    cfg.defaultdomain = "example.com";
    names_config_override(&cfg);
    kl = dlist_newkvlist(NULL, "K");
}

static void teardown(void)
{
    dlist_free(&kl);
    names_config_override(NULL);
}

static const char *name_of(const char *base, size_t len)
{
    const char *name = NULL;

    dlist_updatemap(kl, "NAME", base, len);
    return sync_getname(kl, "NAME", &name) ? name : NULL;
}

START_TEST(names)
{
    static const char *const good[] = { "user.a",  "user.e^ve.x y", "shared", "example.org!user.a.&AOQ-",
                                        "a.b!c.d", "DELETED.user.a.6B0244C8" };
    static const struct {
        const char *s;
        size_t len;
    } bad[] = { { "", 0 },           { "user.a\0b", 8 }, { "user.a/b", 8 },     { "../x", 4 },  { "user..a", 7 },
                { "user.a\x1f.b", 9 }, { "a!b!c/d", 7 },   { "\x1d", 1 },         { "user.a.", 7 }, { "..!user.a", 9 },
                { "user.a\n", 7 } };
    const char *name;

    for (size_t i = 0; i < array_size(good); i++) ck_assert_str_eq(name_of(good[i], strlen(good[i])), good[i]);
    for (size_t i = 0; i < array_size(bad); i++) ck_assert_msg(!name_of(bad[i].s, bad[i].len), "%zu", i);
    /* a peer with another default domain */
    ck_assert_str_eq(name_of("example.com!user.a", 18), "user.a");
    ck_assert(!sync_getname(kl, "OTHER", &name));
    dlist_setatom(kl, "NIL", NULL);
    ck_assert(!sync_getname(kl, "NIL", &name));
    dlist_newlist(kl, "LIST");
    ck_assert(!sync_getname(kl, "LIST", &name));
    ck_assert(!sync_toname(NULL, &name));
}
END_TEST

START_TEST(name_or_server)
{
    const char *name = NULL;

    dlist_setatom(kl, "NAME", "");
    ck_assert(sync_getname_or_server(kl, "NAME", &name));
    ck_assert_str_eq(name, "");
    dlist_updateatom(kl, "NAME", "user.a");
    ck_assert(sync_getname_or_server(kl, "NAME", &name));
    ck_assert_str_eq(name, "user.a");
    dlist_updateatom(kl, "NAME", "user.a/b");
    ck_assert(!sync_getname_or_server(kl, "NAME", &name));
    ck_assert(!sync_getname_or_server(kl, "OTHER", &name));
}
END_TEST

START_TEST(userids)
{
    static const char *const good[] = { "a", "e.ve", "e.ve@example.org", "a b", "user" };
    static const char *const bad[] = { "", "../x", "a/b", "a!b", "a\n", "@example.org", "a@b/c", "a@..", ("a\x1f" "b") };
    const char *userid;

    for (size_t i = 0; i < array_size(good); i++) {
        dlist_updateatom(kl, "USERID", good[i]);
        ck_assert_msg(sync_getuserid(kl, "USERID", &userid) && !strcmp(userid, good[i]), "%s", good[i]);
    }
    for (size_t i = 0; i < array_size(bad); i++) {
        dlist_updateatom(kl, "USERID", bad[i]);
        ck_assert_msg(!sync_getuserid(kl, "USERID", &userid), "%s", bad[i]);
    }
    dlist_updatemap(kl, "USERID", "a\0b", 3);
    ck_assert(!sync_getuserid(kl, "USERID", &userid));
    ck_assert(!sync_touserid(NULL, &userid));
}
END_TEST

/* What a replica answers goes the same way. */
START_TEST(answers)
{
    struct sync_folder folder;
    struct quota q;

    dlist_setatom(kl, "UNIQUEID", "id");
    dlist_setatom(kl, "MBOXNAME", "user.a");
    dlist_setatom(kl, "MBOXTYPE", "i");
    dlist_setnum64(kl, "HIGHESTMODSEQ", 1);
    ck_assert_int_eq(sync_folder_parse(kl, true, &folder), 0);
    ck_assert_str_eq(folder.name, "user.a");
    sync_folder_fini(&folder);
    dlist_setatom(kl, "QUOTAROOT", "");
    ck_assert_int_eq(sync_folder_parse(kl, true, &folder), 0);
    sync_folder_fini(&folder);
    dlist_updateatom(kl, "QUOTAROOT", "../../x");
    ck_assert_int_eq(sync_folder_parse(kl, true, &folder), IMAP_PROTOCOL_BAD_PARAMETERS);
    dlist_updateatom(kl, "QUOTAROOT", "user.a");
    dlist_updateatom(kl, "MBOXNAME", "user.a/b");
    ck_assert_int_eq(sync_folder_parse(kl, true, &folder), IMAP_PROTOCOL_BAD_PARAMETERS);

    dlist_updateatom(kl, "QUOTAROOT", "example.org!");
    dlist_updateatom(kl, "MBOXNAME", "example.org!user.a");
    ck_assert_int_eq(sync_folder_parse(kl, true, &folder), 0);
    ck_assert_str_eq(folder.quotaroot, "example.org!");
    sync_folder_fini(&folder);

    dlist_setnum32(kl, "LIMIT", 1);
    dlist_setatom(kl, "ROOT", "user.a/../b");
    ck_assert_int_eq(sync_quota_parse(kl, &q), IMAP_PROTOCOL_BAD_PARAMETERS);
    dlist_updateatom(kl, "ROOT", "../x!");
    ck_assert_int_eq(sync_quota_parse(kl, &q), IMAP_PROTOCOL_BAD_PARAMETERS);
    dlist_updateatom(kl, "ROOT", "example.org!");
    ck_assert_int_eq(sync_quota_parse(kl, &q), 0);
    quota_free(&q);
    dlist_updateatom(kl, "ROOT", "user.a");
    ck_assert_int_eq(sync_quota_parse(kl, &q), 0);
    quota_free(&q);
}
END_TEST

Suite *sync_name_suite(void)
{
    Suite *s = suite_create("sync_name");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, names);
    tcase_add_test(tc, name_or_server);
    tcase_add_test(tc, userids);
    tcase_add_test(tc, answers);
    suite_add_tcase(s, tc);
    return s;
}
