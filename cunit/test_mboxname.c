/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mailbox names: the spellings and rules of handbook 02 §1 and 04 §3.4, and
 * round trips of random names between all spellings.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "mboxname.h"
#include "mbtype.h"
#include "names_testutil.h"
#include "util.h"

static struct namespace ns;

static void use(bool slash, bool alt, bool admin)
{
    test_names.unixhierarchysep = slash;
    test_names.altnamespace = alt;
    ck_assert_int_eq(mboxname_init_namespace(&ns, admin), 0);
}

static void assert_ext(const char *intname, const char *userid, const char *want)
{
    extname_t spelled = mboxname_to_external(intname, &ns, userid);
    const char *ext = extname_text(spelled);

    if (want)
        ck_assert_msg(ext && !strcmp(ext, want), "%s -> %s, want %s", intname, ext ? ext : "NULL",
                      want);
    else
        ck_assert_msg(!ext, "%s -> %s, want NULL", intname, ext);
    extname_free(&spelled);
}

static void assert_int(const char *extname, const char *userid, const char *want)
{
    char *name = mboxname_from_external(extname_of(extname), &ns, userid);

    if (want)
        ck_assert_msg(name && !strcmp(name, want), "%s -> %s, want %s", extname,
                      name ? name : "NULL", want);
    else
        ck_assert_msg(!name, "%s -> %s, want NULL", extname, name);
    free(name);
}

static void assert_both(const char *extname, const char *userid, const char *intname)
{
    assert_int(extname, userid, intname);
    assert_ext(intname, userid, extname);
}

START_TEST(admin_names)
{
    use(true, true, true);
    assert_both("user/cassandane", "cyrus", "user.cassandane");
    assert_both("user/b.ob", "cyrus", "user.b^ob");
    assert_both("DELETED/user/alice2/Foo/Bar/6B0244C8", "cyrus",
                "DELETED.user.alice2.Foo.Bar.6B0244C8");
    assert_both("shared/x", "cyrus", "shared.x");
    /* seen with 3.6.1: an admin's own mailboxes are below INBOX for him too */
    assert_both("INBOX/sub", "cyrus", "user.cyrus.sub");
    assert_int("user/cyrus/sub", "cyrus", "user.cyrus.sub");
    assert_int("DELETED/user/alice/zz/6b0244c8", "cyrus", "DELETED.user.alice.zz.6B0244C8");
    assert_int("user", "cyrus", "user");

    test_names.virtdomains = VIRTDOMAINS_USERID;
    test_names.defaultdomain = "example.com";
    assert_both("user/e.ve@example.org", "cyrus", "example.org!user.e^ve");
    assert_both("shared/x@example.org", "cyrus", "example.org!shared.x");
    assert_int("user/bob@example.com", "cyrus", "user.bob");
    assert_ext("user.bob", "cyrus", "user/bob");
    assert_both("DELETED/user/eve/Sub/6B0244C8@example.org", "cyrus",
                "example.org!DELETED.user.eve.Sub.6B0244C8");
    /* the admin of a domain */
    assert_both("user/eve@example.org", "adm@example.org", "example.org!user.eve");
    assert_int("user/eve", "adm@example.org", "example.org!user.eve");
    assert_both("user/bob@example.com", "adm@example.org", "user.bob");
}
END_TEST

START_TEST(standard_dot)
{
    use(false, false, false);
    assert_both("INBOX", "cassandane", "user.cassandane");
    assert_both("INBOX.foo", "cassandane", "user.cassandane.foo");
    assert_both("user.bob", "cassandane", "user.bob");
    assert_both("shared.sub", "cassandane", "shared.sub");
    assert_int("inBox.foo", "cassandane", "user.cassandane.foo");
    assert_both("INBOX.INBOX.foo", "cassandane", "user.cassandane.INBOX.foo");
    assert_int("INBOX..dbl", "cassandane", "user.cassandane.dbl");
    assert_int(".INBOX", "cassandane", "user.cassandane");
    assert_int("INBOX.a.", "cassandane", "user.cassandane.a");
    assert_both("user.jane^doe", "cassandane", "user.jane^doe");
    assert_both("INBOX", "jane.doe", "user.jane^doe");
    assert_int("INBOX.a/b", "cassandane", NULL);
    assert_int("", "cassandane", NULL);
    assert_int("...", "cassandane", NULL);
    assert_int("INBOX", NULL, NULL);
    assert_int("inboxes", "cassandane", "inboxes");
}
END_TEST

START_TEST(standard_slash)
{
    use(true, false, false);
    assert_both("INBOX/dot.name", "alice", "user.alice.dot^name");
    assert_int("INBOX/a^b", "alice", NULL);
    assert_both("user/b.ob/x", "alice", "user.b^ob.x");
}
END_TEST

START_TEST(alternate)
{
    use(true, true, false);
    assert_both("INBOX", "u", "user.u");
    assert_int("inbox", "u", "user.u");
    assert_both("sub", "u", "user.u.sub");
    assert_both("INBOX/foo", "u", "user.u.INBOX.foo");
    assert_int("inbox/foo", "u", "user.u.INBOX.foo");
    assert_both("Other Users/bob/x", "u", "user.bob.x");
    assert_both("Shared Folders/shared/sub", "u", "shared.sub");
    assert_ext("user", "u", "Other Users");
    assert_int("Other Users", "u", "user");
    assert_int("Shared Folders", "u", NULL);
    assert_int("Alt Folders", "u", NULL);
    /* clashes with what has another meaning on the wire */
    assert_both("Alt Folders/Inbox/foo", "u", "user.u.Inbox.foo");
    assert_both("Alt Folders/INBOX", "u", "user.u.INBOX");
    assert_both("Alt Folders/Other Users/x", "u", "user.u.Other Users.x");
    assert_both("Alt Folders/Shared Folders", "u", "user.u.Shared Folders");
    assert_both("Alt Folders/Alt Folders", "u", "user.u.Alt Folders");
    assert_int("user/bob", "u", "user.u.user.bob");
    assert_ext("DELETED.user.u.x.6B0244C8", "u", NULL);
    assert_int("sub", NULL, NULL);
    assert_int("Other Users/bob", NULL, "user.bob");
    use(false, true, false);
    assert_both("Other Users.bob", "u", "user.bob");
    assert_both("a^b", "u", "user.u.a^b");
}
END_TEST

START_TEST(crossdomains)
{
    test_names.virtdomains = VIRTDOMAINS_USERID;
    test_names.defaultdomain = "example.com";
    use(true, true, false);
    assert_ext("example.org!user.eve", "cassandane", NULL);
    assert_both("Other Users/bob", "eve@example.org", "example.org!user.bob");
    assert_ext("user.bob", "eve@example.org", NULL);

    test_names.crossdomains = true;
    assert_both("INBOX", "cassandane", "user.cassandane");
    assert_both("Other Users/eve@example.org", "cassandane", "example.org!user.eve");
    assert_both("Other Users/bob@example.com", "cassandane", "user.bob");
    assert_both("Shared Folders/shared@example.org/x", "cassandane", "example.org!shared.x");
    assert_both("Shared Folders/shared@example.com", "cassandane", "shared");

    /* seen with 3.6.1: dots of the domain are escaped, and the shared tree has no domain in the standard namespace */
    use(false, false, false);
    assert_both("user.eve@example^org.x", "cassandane", "example.org!user.eve.x");
    assert_both("user.bob@example^com", "cassandane", "user.bob");
    assert_both("shared.x", "cassandane", "shared.x");
    assert_ext("example.org!shared.x", "cassandane", NULL);

    use(true, true, false);
    test_names.crossdomains_onlyother = true;
    assert_both("Other Users/bob", "cassandane", "user.bob");
    assert_both("Other Users/bob", "eve@example.org", "example.org!user.bob");
    assert_both("Other Users/bob@example.com/x", "eve@example.org", "user.bob.x");
}
END_TEST

START_TEST(namespace_answers)
{
    static const struct {
        bool slash, alt, admin;
        const char *want;
    } t[] = {
        { false, false, false, "((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))" },
        { true, false, false, "((\"INBOX/\" \"/\")) ((\"user/\" \"/\")) ((\"\" \"/\"))" },
        { false, true, false,
          "((\"\" \".\")) ((\"Other Users.\" \".\")) ((\"Shared Folders.\" \".\"))" },
        { true, true, false,
          "((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared Folders/\" \"/\"))" },
        { true, true, true, "NIL ((\"user/\" \"/\")) ((\"\" \"/\"))" },
    };
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(t); i++) {
        use(t[i].slash, t[i].alt, t[i].admin);
        if (t[i].admin) ns.accessible[NAMESPACE_INBOX] = false;
        buf_reset(&out);
        namespace_print(&ns, &out);
        ck_assert_str_eq(buf_cstring(&out), t[i].want);
    }
    test_names.disable_user_namespace = test_names.disable_shared_namespace = true;
    use(true, true, false);
    buf_reset(&out);
    namespace_print(&ns, &out);
    ck_assert_str_eq(buf_cstring(&out), "((\"\" \"/\")) NIL NIL");
    buf_free(&out);
}
END_TEST

START_TEST(bad_prefixes)
{
    static const char *const bad[] = { "", "a/b", "1234567890123456789012345678901234567890" };

    for (size_t i = 0; i < array_size(bad); i++) {
        test_names_setup();
        test_names.userprefix = bad[i];
        ck_assert_int_eq(mboxname_init_namespace(&ns, false), IMAP_NAMESPACE_BADPREFIX);
        ck_assert_int_eq(mboxname_init_namespace(&ns, true), 0);
    }
    test_names_setup();
    test_names.userprefix = "Others";
    test_names.sharedprefix = "Other";
    ck_assert_int_eq(mboxname_init_namespace(&ns, false), IMAP_NAMESPACE_BADPREFIX);
    test_names.userprefix = "123456789012345678901234567890123456789";
    ck_assert_int_eq(mboxname_init_namespace(&ns, false), 0);
}
END_TEST

START_TEST(dbnames)
{
    static const struct {
        const char *intname, *dbname;
    } t[] = {
        { "user.alice", "user\x1f"
                        "alice" },
        { "user.alice.dot^name", "user\x1f"
                                 "alice\x1f"
                                 "dot.name" },
        { "user.alice.Sent Items", "user\x1f"
                                   "alice\x1f"
                                   "Sent Items" },
        { "dom.example.org!user.erin", "dom.example.org\x1d"
                                       "user\x1f"
                                       "erin" },
        { "DELETED.user.alice.x.6B02437F", "DELETED\x1f"
                                           "user\x1f"
                                           "alice\x1f"
                                           "x\x1f"
                                           "6B02437F" },
        { "shared.news", "shared\x1f"
                         "news" },
        { "user", "user" },
        { "DELETED.x", "DELETED\x1f"
                       "x" },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct buf db = BUF_INITIALIZER;
        dbname_t dbname = mboxname_to_dbname(t[i].intname);
        char *name = mboxname_from_dbname(dbname_of(t[i].dbname, strlen(t[i].dbname)));
        dbname_append(dbname, &db);
        dbname_free(&dbname);
        ck_assert_str_eq(buf_cstring(&db), t[i].dbname);
        ck_assert_str_eq(name, t[i].intname);
        buf_free(&db);
        free(name);
    }
}
END_TEST

START_TEST(name_parts)
{
    mbname_t *m = mbname_from_intname("example.org!DELETED.user.e^ve.a.b^c.6B0244C8");

    ck_assert_str_eq(mbname_localpart(m), "e.ve");
    ck_assert_str_eq(mbname_domain(m), "example.org");
    ck_assert_str_eq(mbname_userid(m), "e.ve@example.org");
    ck_assert_int_eq(mbname_isdeleted(m), 0x6B0244C8);
    ck_assert_int_eq(mbname_boxes(m)->count, 2);
    ck_assert_str_eq(strarray_nth(mbname_boxes(m), 1), "b.c");
    mbname_set_isdeleted(m, 0);
    mbname_push_boxes(m, "x");
    ck_assert_str_eq(mbname_intname(m), "example.org!user.e^ve.a.b^c.x");
    char *box = mbname_pop_boxes(m);
    ck_assert_str_eq(box, "x");
    free(box);
    mbname_truncate_boxes(m, 0);
    ck_assert(mbname_is_inbox(m));
    mbname_set_domain(m, "internal");
    ck_assert_str_eq(mbname_intname(m), "user.e^ve");
    mbname_set_localpart(m, NULL);
    ck_assert_ptr_null(mbname_intname(m));
    ck_assert_ptr_null(mbname_userid(m));
    ck_assert(dbname_isnone(mbname_dbname(m)));
    mbname_set_localpart(m, "BoB");
    mbname_set_domain(m, "INTERNAL");
    mbname_downcaseuser(m);
    ck_assert_str_eq(mbname_userid(m), "bob");
    mbname_free(&m);
    ck_assert_ptr_null(m);

    /* the default domain is no domain; the last '@' counts */
    m = mbname_from_userid("a@b@internal");
    ck_assert_str_eq(mbname_localpart(m), "a@b");
    ck_assert_ptr_null(mbname_domain(m));
    mbname_free(&m);
    m = mbname_from_intname(NULL);
    ck_assert_ptr_null(mbname_intname(m));
    mbname_free(&m);
    m = mbname_from_intname("dom!");
    ck_assert_str_eq(mbname_intname(m), "dom!");
    mbname_free(&m);
}
END_TEST

/* Only what deletion writes is a deleted name: nothing else may mean the mailbox of a user. */
START_TEST(deleted_names)
{
    static const struct {
        const char *name;
        bool deleted;
    } t[] = {
        { "DELETED.user.a.6B0244C8", true },
        { "DELETED.user.a.nothex", false },
        { "DELETED.user.a.6b0244c8", false },
        { "DELETED.user.a.06B0244C8", false },
        { "DELETED.user.a.0", false },
        { "DELETED.6B0244C8", false },
        { "DELETED.user.a.FFFFFFFFFFFFFFFF", false },
        { "deleted.user.a.6B0244C8", false },
        { "user.DELETED.a.6B0244C8", false },
        { "dom!DELETED.x.1", true },
        { "DELETEDX.x.1", false },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        time_t when = 5;
        ck_assert_msg(mboxname_isdeletedmailbox(t[i].name, &when) == t[i].deleted, "%s", t[i].name);
        ck_assert_int_eq(when != 0, t[i].deleted);
        mbname_t *m = mbname_from_intname(t[i].name);
        ck_assert_str_eq(mbname_intname(m), t[i].name);
        mbname_free(&m);
    }
    char *name = mboxname_todeleted("example.org!user.eve.Sub", 0x6B0244C8);
    ck_assert_str_eq(name, "example.org!DELETED.user.eve.Sub.6B0244C8");
    free(name);
}
END_TEST

START_TEST(recipients)
{
    use(true, true, false);
    static const struct {
        const char *recip, *intname;
    } t[] = {
        { "jane.doe@example.org", "user.jane^doe" },
        { "bob+a/b.c", "user.bob.a.b^c" },
        { "bob+", "user.bob" },
        { "+shared/team", "shared.team" },
        { "bob+caf\xc3\xa9", "user.bob.caf&AOk-" },
        { "bob+a+b", "user.bob.a+b" },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        mbname_t *m = mbname_from_recip(t[i].recip, &ns);
        ck_assert_str_eq(mbname_intname(m), t[i].intname);
        mbname_free(&m);
    }
    test_names.virtdomains = VIRTDOMAINS_USERID;
    mbname_t *m = mbname_from_recip("bob+caf\xc3\xa9/x@example.org", &ns);
    ck_assert_str_eq(mbname_intname(m), "example.org!user.bob.caf&AOk-.x");
    ck_assert_str_eq(mbname_recip(m, &ns), "bob+caf\xc3\xa9/x@example.org");
    mbname_free(&m);
    test_names.postuser = "bb";
    use(false, true, false);
    m = mbname_from_recip("bb+shared.team", &ns);
    ck_assert_str_eq(mbname_intname(m), "shared.team");
    ck_assert_str_eq(mbname_recip(m, &ns), "bb+shared.team");
    mbname_free(&m);
    m = mbname_from_recip("", &ns);
    ck_assert_ptr_null(mbname_intname(m));
    mbname_free(&m);
}
END_TEST

static char *long_name(size_t len)
{
    char *name = malloc(len + 1);

    memcpy(name, "user.u.", 7);
    memset(name + 7, 'x', len - 7);
    name[len] = '\0';
    return name;
}

START_TEST(policy)
{
    static const char *const good[] = {
        "user.u",
        "user.u.$x",
        "user.u.~x",
        "shared",
        "user.u.a b",
        "user.u.#$'()*+,-0189:=?@AZ[]^_az~",
        "user.u.&AOQ-b",
        "user.u.&-",
        "user.u.&AOQ-&-",
        "user.u.&-&AOQ-",
        "user.u.&2AA-",
        "user.u.&ZeVnLIqe-",
        "DELETED.user.u.a&b.6B0244C8",
        "user.anyone2",
    };
    static const char *const bad[] = {
        "",
        "$x",
        "~x",
        ".x",
        "x.",
        "x..y",
        "x!y",
        "a\rb",
        "a\nb",
        "a\tb",
        "user",
        "user.anyone",
        "user.anonymous",
        "user.%",
        "user.%x",
        "user.u.a\"",
        "user.u.a%",
        "user.u.a/b",
        "user.u.a;",
        "user.u.<",
        "user.u.>",
        "user.u.\\",
        "user.u.`",
        "user.u.{",
        "user.u.|",
        "user.u.}",
        "user.u.\x7f",
        "user.u.\x80",
        "user.u.caf\xc3\xa9",
        "user.u.&",
        "user.u.a&b",
        "user.u.&AOQ-&AOU-",
        "user.u.&A-",
        "user.u.&AA-",
        "user.u.&AOR-",
        "user.u.&AOQ",
        "user.u.&AGE-",
        "user.u.&AOQAAA-",
        "$DELETED.user.u.6B0244C8",
        "DELETED.user.u./.6B0244C8",
        "DELETED.user.u.\x1f.6B0244C8",
    };

    for (size_t i = 0; i < array_size(good); i++)
        ck_assert_msg(mboxname_policycheck(good[i]) == 0, "%s", good[i]);
    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(mboxname_policycheck(bad[i]) == IMAP_MAILBOX_BADNAME, "%s", bad[i]);

    char *name = long_name(490);
    ck_assert_int_eq(mboxname_policycheck(name), 0);
    free(name);
    name = long_name(491);
    ck_assert_int_eq(mboxname_policycheck(name), IMAP_MAILBOX_BADNAME);
    char *deleted = mboxname_todeleted(name, 0x6B0244C8);
    ck_assert_int_eq(mboxname_policycheck(deleted), 0);
    free(deleted);
    free(name);

    test_names.virtdomains = VIRTDOMAINS_ON;
    ck_assert_int_eq(mboxname_policycheck("example.org!user.u"), 0);
    ck_assert_int_eq(mboxname_policycheck("example.org!"), IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(mboxname_policycheck("example.org!user"), IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(mboxname_policycheck("a!b!c"), IMAP_MAILBOX_BADNAME);
    ck_assert_int_eq(mboxname_policycheck("!x"), IMAP_MAILBOX_BADNAME);
}
END_TEST

/* Every byte as the only byte of a component. */
START_TEST(policy_bytes)
{
    static const char allowed[] =
        " #$'()*+,-0123456789:=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz~";

    for (int c = 1; c < 256; c++) {
        char name[] = "user.u.a_b";
        name[8] = (char)c;
        if (c == '.') continue;
        ck_assert_msg((mboxname_policycheck(name) == 0) == (strchr(allowed, c) != NULL),
                      "byte %02x", c);
    }
}
END_TEST

START_TEST(questions)
{
    ck_assert(mboxname_isusermailbox("user.a", true));
    ck_assert(!mboxname_isusermailbox("user.a.b", true));
    ck_assert(mboxname_isusermailbox("dom!user.a.b", false));
    ck_assert(!mboxname_isusermailbox("user.", false));
    ck_assert(!mboxname_isusermailbox("DELETED.user.a.6B0244C8", false));
    ck_assert(mboxname_is_prefix("user.a.b", "user.a"));
    ck_assert(mboxname_is_prefix("user.a", "user.a"));
    ck_assert(!mboxname_is_prefix("user.ab", "user.a"));
    ck_assert(mboxname_userownsmailbox("e.ve@dom", "dom!user.e^ve.x"));
    ck_assert(!mboxname_userownsmailbox("e.ve", "dom!user.e^ve.x"));
    ck_assert(!mboxname_userownsmailbox(NULL, "shared"));
    ck_assert(mboxname_same_userid("user.a", "user.a.b"));
    ck_assert(!mboxname_same_userid("user.a", "dom!user.a"));

    ck_assert(mboxname_isnonimapmailbox("user.a.#calendars.x", MBTYPE_EMAIL));
    ck_assert(!mboxname_isnonimapmailbox("user.a.#CALENDARS", MBTYPE_EMAIL));
    ck_assert(!mboxname_isnonimapmailbox("user.a.x.#calendars", MBTYPE_EMAIL));
    ck_assert(mboxname_isnonimapmailbox("user.a.x", MBTYPE_COLLECTION | MBTYPE_LEGACY_DIRS));
    ck_assert(mboxname_isnonimapmailbox("user.a.#jmap", MBTYPE_EMAIL));
    ck_assert(mboxname_issubmissionmailbox("user.a.#jmapsubmission", MBTYPE_EMAIL));
    ck_assert(!mboxname_issubmissionmailbox("user.a.#sieve", MBTYPE_EMAIL));
    ck_assert(mboxname_isspecialfolder("user.a.x", MBTYPE_SIEVE, MBTYPE_SIEVE));
}
END_TEST

static void assert_parent(const char *name, const char *want)
{
    char *parent = mboxname_parent(name);

    if (want)
        ck_assert_str_eq(parent, want);
    else
        ck_assert_ptr_null(parent);
    free(parent);
}

START_TEST(derived)
{
    assert_parent("user.u.a.b", "user.u.a");
    assert_parent("user.u.a", "user.u");
    assert_parent("user.u", NULL);
    assert_parent("user.u.INBOX.foo", "user.u");
    assert_parent("user.u.INBOX.foo.bar", "user.u.INBOX.foo");
    assert_parent("shared.a", "shared");
    assert_parent("shared", NULL);
    assert_parent("dom!user.u.a", "dom!user.u");
    assert_parent("dom!shared", NULL);

    ck_assert(mboxname_isindeletedtree("DELETED") && mboxname_isindeletedtree("dom!DELETED.x") &&
              mboxname_isindeletedtree("DELETED.user.a.6B0244C8") && !mboxname_isindeletedtree("DELETEDx") &&
              !mboxname_isindeletedtree("user.a.DELETED"));
    char *tree = mboxname_deletedtree("dom!user.a.b");
    ck_assert_str_eq(tree, "dom!DELETED.user.a.b");
    free(tree);
    char cut[] = "dom.x!user.a";
    ck_assert(mboxname_cut(cut));
    ck_assert_str_eq(cut, "dom.x!user");
    ck_assert(mboxname_cut(cut));
    ck_assert_str_eq(cut, "dom.x!");
    ck_assert(!mboxname_cut(cut));
    ck_assert_str_eq(cut, "dom.x!");

    char *name = mboxname_user_mbox("e.ve@dom", "a.b^c");
    ck_assert_str_eq(name, "dom!user.e^ve.a.b^c");
    free(name);
    ck_assert_ptr_null(mboxname_user_mbox(NULL, "x"));
    name = mboxname_renamed("user.a.x.y", "user.a.x", "user.b");
    ck_assert_str_eq(name, "user.b.y");
    free(name);
    ck_assert_ptr_null(mboxname_renamed("user.a.xy", "user.a.x", "user.b"));

    mbname_t *a = mbname_from_intname("user.u.a.b"), *b = mbname_from_intname("user.u.a.c.d");
    mbname_t *c = mbname_from_intname("user.u.a");
    ck_assert_int_eq(mbname_common_ancestor_depth(a, b), 1);
    ck_assert(mbname_contains(c, b) && mbname_contains(c, c) && !mbname_contains(b, c));
    mbname_free(&a);
    mbname_free(&b);
    mbname_free(&c);
}
END_TEST

static enum mbname_category category(const char *name, const char *userid)
{
    mbname_t *m = mbname_from_intname(name);
    enum mbname_category c = mbname_category(m, &ns, userid);

    mbname_free(&m);
    return c;
}

START_TEST(categories)
{
    use(true, true, false);
    ck_assert_int_eq(category("user.u", "u"), MBNAME_INBOX);
    ck_assert_int_eq(category("user.u.x", "u"), MBNAME_OWNER);
    ck_assert_int_eq(category("user.u.INBOX.x", "u"), MBNAME_INBOXSUB);
    ck_assert_int_eq(category("user.u.Inbox", "u"), MBNAME_ALTINBOX);
    ck_assert_int_eq(category("user.u.Other Users", "u"), MBNAME_ALTPREFIX);
    ck_assert_int_eq(category("user.v", "u"), MBNAME_OTHERUSER);
    ck_assert_int_eq(category("shared", "u"), MBNAME_SHARED);
    ck_assert_int_eq(category("DELETED.user.u.1", "u"), MBNAME_OWNERDELETED);
    ck_assert_int_eq(category("DELETED.user.v.1", "u"), MBNAME_OTHERDELETED);
    ck_assert_int_eq(category("DELETED.s.1", "u"), MBNAME_SHAREDDELETED);
    use(true, false, false);
    ck_assert_int_eq(category("user.u.x", "u"), MBNAME_INBOXSUB);
    ck_assert_int_eq(category("", "u"), MBNAME_NONE);
}
END_TEST

/* ---- random names ---- */

static void random_component(char *out, size_t max)
{
    static const char letters[] = "aZ09 .#$-_~@+DELETEDuserINBOX";
    size_t n = 1 + (size_t)random() % max;

    for (size_t i = 0; i < n; i++) out[i] = letters[(size_t)random() % (sizeof(letters) - 1)];
    out[n] = '\0';
}

static mbname_t *random_name(void)
{
    static const char *const words[] = { "user",  "DELETED",     "INBOX",
                                         "inbox", "Other Users", "6B0244C8" };
    char part[8] = "x";
    mbname_t *m = mbname_from_userid(NULL);

    if (random() % 4) {
        random_component(part, 6);
        mbname_set_localpart(m, part);
    }
    if (random() % 2) mbname_set_domain(m, random() % 2 ? "example.org" : "internal");
    int n = (int)(random() % 4) + !mbname_localpart(m);
    for (int i = 0; i < n; i++) {
        if (random() % 4) random_component(part, 6);
        mbname_push_boxes(m, random() % 4 ? part : words[(size_t)random() % array_size(words)]);
    }
    if (random() % 3 == 0) mbname_set_isdeleted(m, 1 + random() % 0x7ffffffe);
    return m;
}

START_TEST(round_trips)
{
    srandom((unsigned)_i + 1);
    test_names.virtdomains = VIRTDOMAINS_USERID;
    for (int k = 0; k < 500; k++) {
        mbname_t *m = random_name();
        const char *intname = mbname_intname(m);

        mbname_t *back = mbname_from_intname(intname);
        ck_assert_str_eq(mbname_intname(back), intname);
        mbname_t *viadb = mbname_from_dbkey(mbname_dbname(back));
        ck_assert_str_eq(mbname_intname(viadb), intname);
        ck_assert_int_eq(mbname_cmp(back, viadb), 0);
        ck_assert_int_eq(mbname_isdeleted(viadb), mbname_isdeleted(back));

        if (mbname_userid(back) && !strchr(mbname_localpart(back), '@')) {
            mbname_t *u = mbname_from_userid(mbname_userid(back));
            ck_assert(mbname_same_userid(u, back));
            mbname_free(&u);
        }
        mbname_free(&viadb);
        mbname_free(&back);
        mbname_free(&m);
    }
}
END_TEST

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

START_TEST(order)
{
    srandom((unsigned)_i + 1);
    for (int k = 0; k < 500; k++) {
        mbname_t *a = random_name(), *b = random_name();
        ck_assert_int_eq(sign(mboxname_cmp(mbname_intname(a), mbname_intname(b))),
                         sign(mbname_cmp(a, b)));
        mbname_free(&a);
        mbname_free(&b);
    }
    ck_assert_int_lt(mboxname_cmp("user.a.b", "user.a b"), 0);
}
END_TEST

/* Any bytes at all as a name. */
START_TEST(garbage)
{
    static const char letters[] = "a.^!/@+&-\x1f\x1d%~$\\ \xff"
                                  "user.DELETED.";

    srandom((unsigned)_i + 1);
    test_names.virtdomains = _i % 2 ? VIRTDOMAINS_USERID : VIRTDOMAINS_OFF;
    test_names.crossdomains = _i % 3;
    use(_i & 1, _i & 2, _i & 4);
    for (int k = 0; k < 2000; k++) {
        char text[24];
        size_t n = (size_t)random() % sizeof(text);
        for (size_t i = 0; i < n; i++) text[i] = letters[(size_t)random() % (sizeof(letters) - 1)];
        text[n ? n - 1 : 0] = '\0';
        mbname_t *m = mbname_from_intname(text);
        mbname_extname(m, &ns, "u");
        mbname_category(m, &ns, "u");
        mbname_free(&m);
        m = mbname_from_extname(extname_of(text), &ns, "u");
        if (m) mbname_intname(m);
        mbname_free(&m);
        m = mbname_from_recip(text, &ns);
        mbname_recip(m, &ns);
        mbname_free(&m);
        char *parent = mboxname_parent(text);
        free(parent);
        /* an allowed name is its own normal form */
        if (!mboxname_policycheck(text)) {
            m = mbname_from_intname(text);
            if (!strchr(text, '!')) ck_assert_str_eq(mbname_intname(m), text);
            mbname_free(&m);
        }
    }
}
END_TEST

Suite *mboxname_suite(void)
{
    Suite *s = suite_create("mboxname");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, test_names_setup, test_names_teardown);
    tcase_add_test(tc, admin_names);
    tcase_add_test(tc, standard_dot);
    tcase_add_test(tc, standard_slash);
    tcase_add_test(tc, alternate);
    tcase_add_test(tc, crossdomains);
    tcase_add_test(tc, namespace_answers);
    tcase_add_test(tc, bad_prefixes);
    tcase_add_test(tc, dbnames);
    tcase_add_test(tc, name_parts);
    tcase_add_test(tc, deleted_names);
    tcase_add_test(tc, recipients);
    tcase_add_test(tc, policy);
    tcase_add_test(tc, policy_bytes);
    tcase_add_test(tc, questions);
    tcase_add_test(tc, derived);
    tcase_add_test(tc, categories);
    tcase_add_loop_test(tc, round_trips, 0, 10);
    tcase_add_loop_test(tc, order, 0, 5);
    tcase_add_loop_test(tc, garbage, 0, 8);
    suite_add_tcase(s, tc);
    return s;
}
