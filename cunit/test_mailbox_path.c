/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths of mailboxes, users and locks: those seen with 3.6.1 (handbook 02 §1.7,
 * §1.8, 01 §5.2, §7.13, §7.14), and names that must not become paths.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mbentry.h"
#include "names_config.h"
#include "util.h"

static struct names_config cfg;
static struct buf out;
static bool has_meta, has_archive, has_metadir;

static const char *find_option(const char *prefix, const char *partition, void *rock)
{
    if (strcmp(partition, "default")) return NULL;
    if (!strcmp(prefix, "partition-")) return "/part";
    if (!strcmp(prefix, "metapartition-") && has_meta) return "/meta";
    if (!strcmp(prefix, "archivepartition-") && has_archive) return "/arch";
    if (!strcmp(prefix, "metadir-index-") && has_metadir) return "/fast";
    return NULL;
}

static void setup(void)
{
    names_config_defaults(&cfg);
    cfg.configdirectory = "/conf";
    cfg.virtdomains = VIRTDOMAINS_USERID;
    cfg.partition_option = find_option;
    names_config_override(&cfg);
    buf_init(&out);
    has_meta = has_archive = has_metadir = false;
}

static void teardown(void)
{
    names_config_override(NULL);
    buf_free(&out);
}

#define assert_path(call, want)                      \
    do {                                             \
        ck_assert_int_eq((call), 0);                 \
        ck_assert_str_eq(buf_cstring(&out), (want)); \
    } while (0)

static struct mailbox_place legacy(const char *name)
{
    return (struct mailbox_place){ "default", name, NULL };
}

static const struct mailbox_place byid = { "default", "user.alice", "j9ccchv36p2b70ujdctclhak" };

START_TEST(id_paths)
{
    assert_path(mailbox_path_dir(&byid, &out), "/part/uuid/j/9/j9ccchv36p2b70ujdctclhak");
    assert_path(mailbox_path_message(&byid, false, 17, &out),
                "/part/uuid/j/9/j9ccchv36p2b70ujdctclhak/17.");
    assert_path(mailbox_path_meta(&byid, META_HEADER, &out),
                "/part/uuid/j/9/j9ccchv36p2b70ujdctclhak/cyrus.header");
    assert_path(user_path("alice", "j9ccchv36p2b70ujdctclhak", "conversations", &out),
                "/conf/user/uuid/j/9/j9ccchv36p2b70ujdctclhak/conversations.db");
    assert_path(user_path("alice", "j9ccchv36p2b70ujdctclhak", "counters", &out),
                "/conf/user/uuid/j/9/j9ccchv36p2b70ujdctclhak/counters.db");
}
END_TEST

START_TEST(legacy_paths)
{
    struct mailbox_place p = legacy("user.alice");

    assert_path(mailbox_path_dir(&p, &out), "/part/user/alice");
    p = legacy("example.org!user.e^ve");
    assert_path(mailbox_path_dir(&p, &out), "/part/domain/example.org/user/e^ve");

    cfg.hashimapspool = true;
    p = legacy("user.alice");
    assert_path(mailbox_path_dir(&p, &out), "/part/a/user/alice");
    p = legacy("user.Zoe^q");
    assert_path(mailbox_path_dir(&p, &out), "/part/z/user/Zoe^q");
    p = legacy("dom.example.org!user.erin");
    assert_path(mailbox_path_dir(&p, &out), "/part/domain/d/dom.example.org/e/user/erin");
    p = legacy("shared");
    assert_path(mailbox_path_dir(&p, &out), "/part/s/shared");

    cfg.fulldirhash = true;
    p = legacy("user.cassandane");
    assert_path(mailbox_path_message(&p, false, 1, &out), "/part/O/user/cassandane/1.");
    has_archive = cfg.archive_enabled = true;
    assert_path(mailbox_path_message(&p, true, 2, &out), "/arch/O/user/cassandane/2.");
    assert_path(mailbox_path_meta(&p, META_ARCHIVECACHE, &out),
                "/arch/O/user/cassandane/cyrus.cache");
    has_meta = true;
    cfg.metapartition_files = 1u << META_HEADER;
    p = legacy("example.org!user.e^ve");
    assert_path(mailbox_path_meta(&p, META_HEADER, &out),
                "/meta/domain/O/example.org/J/user/e^ve/cyrus.header");
    assert_path(mailbox_path_meta(&p, META_INDEX, &out),
                "/part/domain/O/example.org/J/user/e^ve/cyrus.index");
    p = legacy("DELETED.user.cassandane.&AOQ-.6B0243CC");
    assert_path(mailbox_path_meta(&p, META_HEADER, &out),
                "/meta/C/DELETED/user/cassandane/&AOQ-/6B0243CC/cyrus.header");
    p = legacy("local!user.x"); /* a domain without a dot */
    assert_path(mailbox_path_dir(&p, &out), "/part/domain/G/local/F/user/x");
}
END_TEST

START_TEST(roots)
{
    ck_assert_str_eq(partition_root("default"), "/part");
    ck_assert_ptr_null(partition_root("other"));
    ck_assert_ptr_null(partition_root("../x"));
    ck_assert_ptr_null(partition_root(NULL));
    has_archive = true; /* not enabled */
    ck_assert_str_eq(partition_archiveroot("default"), "/part");
    ck_assert_str_eq(partition_metaroot("default", META_ARCHIVECACHE), "/part");
    cfg.archive_enabled = true;
    ck_assert_str_eq(partition_metaroot("default", META_ARCHIVECACHE), "/arch");
    has_metadir = has_meta = true;
    cfg.metapartition_files = (1u << META_INDEX) | (1u << META_CACHE);
    ck_assert_str_eq(partition_metaroot("default", META_INDEX), "/fast");
    ck_assert_str_eq(partition_metaroot("default", META_ANNOTATIONS), "/fast");
    ck_assert_str_eq(partition_metaroot("default", META_CACHE), "/meta");
    ck_assert_str_eq(partition_metaroot("default", META_HEADER), "/part");

    strarray_t dirs = STRARRAY_INITIALIZER;
    ck_assert_int_eq(mailbox_path_alldirs(&byid, &dirs), 0);
    ck_assert_int_eq(dirs.count, 4); /* part, arch, fast, meta */
    strarray_fini(&dirs);

    struct mailbox_place p = byid;
    p.partition = "nosuch";
    ck_assert_int_eq(mailbox_path_dir(&p, &out), IMAP_PARTITION_UNKNOWN);
    assert_path(partition_path_stage("default", &out), "/part/stage.");
    assert_path(partition_path_sync("default", 12, &out), "/part/sync./12");
    ck_assert_int_eq(mailbox_metafile_from_name("annotations"), META_ANNOTATIONS);
    ck_assert_int_eq(mailbox_metafile_from_name("x"), -1);
    ck_assert_int_eq(mailbox_path_meta(&byid, META_LOCK, &out), IMAP_INTERNAL);
}
END_TEST

START_TEST(user_files)
{
    assert_path(user_path("bob", NULL, "seen", &out), "/conf/user/b/bob.seen");
    assert_path(user_path("Zoe.q", NULL, "sub", &out), "/conf/user/z/Zoe.q.sub");
    assert_path(user_path("eve@example.org", NULL, "seen", &out),
                "/conf/domain/e/example.org/user/e/eve.seen");
    assert_path(user_path(NULL, NULL, "counters", &out), "/conf/shared.counters");
    assert_path(user_path_shared("example.org", "counters", &out),
                "/conf/domain/e/example.org/shared.counters");
    cfg.fulldirhash = true;
    assert_path(user_path("alice", NULL, "seen", &out), "/conf/user/L/alice.seen");
    ck_assert_int_eq(user_path("a/../b", NULL, "seen", &out), IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(user_path("a@../..", NULL, "seen", &out), IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(user_path("@dom", NULL, "seen", &out), IMAP_MAILBOX_BADNAME);
}
END_TEST

static void assert_lock(const char *name, const char *want)
{
    assert_path(lock_path(name, &out), want);
}

START_TEST(locks)
{
    struct buf name = BUF_INITIALIZER;
    struct mailbox_place p = legacy("user.b^ob.x");

    lock_name_user("e.ve@example.org", &name);
    ck_assert_str_eq(buf_cstring(&name), "*U*e^ve@example^org");
    assert_lock(buf_cstring(&name), "/conf/lock/*U*e^ve@example^org.lock");
    lock_name_user(NULL, &name);
    assert_lock(buf_cstring(&name), "/conf/lock/*U*.lock");
    lock_name_mailbox(&byid, &name);
    assert_lock(buf_cstring(&name), "/conf/lock/j9ccchv36p2b70ujdctclhak.lock");
    lock_name_mailbox(&p, &name);
    assert_lock(buf_cstring(&name), "/conf/lock/user/b^ob/x.lock");
    assert_lock("example.org!user.e^ve", "/conf/lock/domain/example.org/user/e^ve.lock");
    assert_lock("$QUOTACHANGE", "/conf/lock/$QUOTACHANGE.lock");

    cfg.hashimapspool = true;
    cfg.mboxname_lockpath = "/run/lock";
    assert_lock("*U*carol", "/run/lock/q/*U*carol.lock");
    assert_lock("$QUOTACHANGE", "/run/lock/q/$QUOTACHANGE.lock");
    assert_lock("v3zip4oyp1e4diwecg5tbhal", "/run/lock/v/v3zip4oyp1e4diwecg5tbhal.lock");
    assert_lock("user.alice.dot^name", "/run/lock/a/user/alice/dot^name.lock");
    assert_lock("user.4you", "/run/lock/q/user/4you.lock");
    assert_lock("shared.x", "/run/lock/x/shared/x.lock");
    assert_lock("dom.example.org!user.erin", "/run/lock/domain/d/dom.example.org/e/user/erin.lock");
    ck_assert_int_eq(lock_path("user.a/../../b", &out), IMAP_MAILBOX_BADNAME);
    buf_free(&name);
}
END_TEST

/* Nothing that comes from a record or a peer may leave the directory. */
START_TEST(hostile)
{
    static const char *const ids[] = { "",    "a",    "..",  "../../etc", "a/b",
                                       "./x", "a\nb", ".ab", "a.." };
    static const char *const names[] = { "",          ".",           "user..x",   "user.a/b",
                                         "user.",     "../x!user.a", "..!user.a", "!user.a",
                                         "user.\x1f", "a!",          NULL };

    for (size_t i = 0; i < array_size(ids); i++) {
        struct mailbox_place p = { "default", "user.a", ids[i] };
        ck_assert_msg(mailbox_path_dir(&p, &out) == IMAP_MAILBOX_BADNAME, "%s", ids[i]);
        ck_assert_int_eq(user_path("a", ids[i], "seen", &out), IMAP_MAILBOX_BADNAME);
    }
    for (size_t i = 0; i < array_size(names); i++) {
        struct mailbox_place p = legacy(names[i]);
        ck_assert_msg(mailbox_path_dir(&p, &out) == IMAP_MAILBOX_BADNAME, "%s",
                      names[i] ? names[i] : "NULL");
    }
    char *name = malloc(5000);
    memset(name, 'x', 4999);
    name[4999] = '\0';
    struct mailbox_place p = legacy(name);
    ck_assert_int_eq(mailbox_path_dir(&p, &out), IMAP_MAILBOX_BADNAME);
    free(name);
}
END_TEST

START_TEST(places)
{
    mbentry_t *e = mbentry_new("user.alice");

    e->partition = strdup("default");
    e->uniqueid = strdup("j9ccchv36p2b70ujdctclhak");
    struct mailbox_place p = mailbox_place_of(e);
    assert_path(mailbox_path_dir(&p, &out), "/part/uuid/j/9/j9ccchv36p2b70ujdctclhak");
    e->mbtype |= MBTYPE_LEGACY_DIRS;
    p = mailbox_place_of(e);
    assert_path(mailbox_path_dir(&p, &out), "/part/user/alice");
    mbentry_free(&e);
}
END_TEST

START_TEST(message_names)
{
    ck_assert_uint_eq(mailbox_path_parse_uid("1."), 1);
    ck_assert_uint_eq(mailbox_path_parse_uid("4294967295."), 4294967295u);
    static const char *const bad[] = { "",   ".",           "1",   "0.",  "01.",        "1.x",
                                       "x.", "4294967296.", "-1.", "1..", "cyrus.index" };
    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_uint_eq(mailbox_path_parse_uid(bad[i]), 0);
}
END_TEST

Suite *mailbox_path_suite(void)
{
    Suite *s = suite_create("mailbox_path");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, id_paths);
    tcase_add_test(tc, legacy_paths);
    tcase_add_test(tc, roots);
    tcase_add_test(tc, user_files);
    tcase_add_test(tc, locks);
    tcase_add_test(tc, hostile);
    tcase_add_test(tc, places);
    tcase_add_test(tc, message_names);
    suite_add_tcase(s, tc);
    return s;
}
