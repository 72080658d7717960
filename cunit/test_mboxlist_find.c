/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LIST and LSUB: the answers of 3.6.1 (transcripts of handbook 04), and random stores and patterns
 * against a model that looks at every name.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "glob.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_racl.h"
#include "store_testutil.h"
#include "user.h"
#include "xmalloc.h"

struct space {
    const char *conf;
    const char *userid;
    bool isadmin;
};

static struct namespace ns;
static struct auth_state *auth;
static const struct space *now;

static void setup_space(const struct space *space)
{
    char *conf = xasprintf("conversations: no\nadmins: admin\n%s", space->conf);

    st_setup(conf);
    free(conf);
    now = space;
    mboxname_init_namespace(&ns, space->isadmin);
    auth = auth_newstate(space->userid);
}

static void teardown(void)
{
    auth_freestate(&auth);
    st_teardown();
}

static void put(struct txn *txn, const char *name, const char *acl, uint32_t mbtype)
{
    mbentry_t *entry = mbentry_new(name);
    char *userid = mboxname_to_userid(name);

    entry->uniqueid = xstrdup(st_uniqueid(name));
    entry->mbtype = mbtype;
    entry->partition = xstrdup("default");
    entry->acl = acl ? xstrdup(acl) : xasprintf("%s\tlrswipkxtecdan\t", userid ? userid : "anyone");
    ck_assert_int_eq(txn_lock_user(txn, userid), 0);
    ck_assert_int_eq(mboxlist_update_entry(txn, name, entry), 0);
    mbentry_free(&entry);
    free(userid);
}

static void put_one(const char *name, const char *acl, uint32_t mbtype)
{
    struct txn *txn;

    ck_assert_int_eq(txn_begin(&txn), 0);
    put(txn, name, acl, mbtype);
    st_commit(txn);
}

/* "INBOX+ user? a" : + has children, ? no mailbox but a level, ! no mailbox of a whole name */
static int show_cb(const struct findall_data *data, void *rock)
{
    struct buf *out = rock;

    if (buf_len(out)) buf_putc(out, ',');
    buf_appendcstr(out, extname_text(data->extname));
    if (!data->mbentry) buf_putc(out, data->is_exactmatch ? '!' : '?');
    if (data->has_children) buf_putc(out, '+');
    return 0;
}

static void list(const char *patterns, bool subs, struct buf *out)
{
    strarray_t *texts = strarray_split(patterns, "|", 0);
    extnames_t all = { 0 };

    for (int i = 0; i < strarray_size(texts); i++) extnames_add(&all, extname_of(strarray_nth(texts, i)));
    buf_reset(out);
    int r = subs ? mboxlist_findsub(&ns, all, now->isadmin, now->userid, auth, show_cb, out)
                 : mboxlist_findall(&ns, all, now->isadmin, now->userid, auth, show_cb, out);
    ck_assert_int_eq(r, 0);
    extnames_fini(&all);
    strarray_free(texts);
}

#define assert_list(patterns, want) assert_answers(patterns, false, want)
#define assert_lsub(patterns, want) assert_answers(patterns, true, want)
static void assert_answers(const char *patterns, bool subs, const char *want)
{
    struct buf got = BUF_INITIALIZER;

    list(patterns, subs, &got);
    ck_assert_msg(!strcmp(buf_cstring(&got), want), "%s \"%s\": %s, not %s", subs ? "LSUB" : "LIST",
                  patterns, buf_cstring(&got), want);
    buf_free(&got);
}

/* Would LIST use the reverse ACLs? */
static void assert_sealed(bool want)
{
    struct txn_db *db = NULL;

    ck_assert_int_eq(mboxlist_db_open(NULL, &db), 0);
    ck_assert_int_eq(mboxlist_racl_isusable(db, auth), want);
    mboxlist_db_close(&db);
}

/* ---- answers seen with 3.6.1 ---- */

static void fill_transcript(void)
{
    static const char *const names[] = {
        "user.alice",     "user.alice.Sent",  "user.alice.a",
        "user.alice.a.b", "user.alice.a.b.c", "user.alice.a.b.d",
        "user.bob",       "user.bob.priv",    "user.alice.#calendars"
    };
    for (size_t i = 0; i < array_size(names); i++) put_one(names[i], NULL, 0);
    put_one("user.bob.pub", "bob\tlr\talice\tlr\t", 0);
    put_one("user.alice.gone", NULL, MBTYPE_DELETED);
    put_one("user.alice.z", NULL, MBTYPE_RESERVE);
    put_one("shared", NULL, 0);
    put_one("shared.team", NULL, 0);
    put_one("DELETED.user.alice.old.6B02437F", NULL, 0);
}

static const struct space standard = { "altnamespace: no\nunixhierarchysep: no\n", "alice", false };
static const struct space alternate = { "", "alice", false };
static const struct space as_admin = { "altnamespace: no\nunixhierarchysep: no\n", "admin", true };

START_TEST(list_standard)
{
    setup_space(&standard);
    fill_transcript();
    assert_list("*", "INBOX+,INBOX.Sent,INBOX.a+,INBOX.a.b+,INBOX.a.b.c,INBOX.a.b.d,user.bob.pub,"
                     "shared+,shared.team");
    assert_list("%", "INBOX+,user?+,shared+");
    assert_list("INBOX.%", "INBOX.Sent,INBOX.a+");
    assert_list("INBOX.a.%.d", "INBOX.a.b.d");
    assert_list("user.%", "user.bob?+");
    assert_list("user.bob.*", "user.bob.pub");
    assert_list("shared.%", "shared.team");
    assert_list("INBOX|shared*", "INBOX+,shared+,shared.team");
    assert_list("nosuch", "");
    assert_list("inbox", "INBOX+"); /* RFC 3501; 3.6.1 finds nothing */
    assert_list("", "");
    assert_list("user", "user?+");
    teardown();
}
END_TEST

START_TEST(list_alternate)
{
    setup_space(&alternate);
    fill_transcript();
    put_one("user.alice.INBOX.foo", NULL, 0);
    put_one("user.alice.Other Users.x", NULL, 0);
    assert_list(
        "*",
        "INBOX+,INBOX/foo,Sent,a+,a/b+,a/b/c,a/b/d,Alt Folders/Other Users/x,Other Users/bob/pub,"
        "Shared Folders/shared+,Shared Folders/shared/team");
    assert_list("%", "INBOX+,Sent,a+,Alt Folders?+,Other Users?+,Shared Folders?+");
    assert_list("Other Users/%", "Other Users/bob?+");
    assert_list(
        "%/%", "INBOX/foo,a/b+,Alt Folders/Other Users?+,Other Users/bob?+,Shared Folders/shared+");
    teardown();
}
END_TEST

START_TEST(list_as_admin)
{
    setup_space(&as_admin);
    fill_transcript();
    assert_list("%", "user?+,shared+,DELETED?+");
    assert_list("user.%", "user.alice+,user.bob+");
    assert_list("user.alice", "user.alice+");
    assert_list("user.alice.a.*", "user.alice.a.b+,user.alice.a.b.c,user.alice.a.b.d");
    assert_list("DELETED*", "DELETED.user.alice.old.6B02437F");
    assert_list("shared*", "shared+,shared.team");
    put_one("user.alice.i", NULL, MBTYPE_INTERMEDIATE);
    assert_list("user.alice.i", "user.alice.i!");
    teardown();
}
END_TEST

START_TEST(list_by_reverse_acls)
{
    setup_space(&standard);
    ck_assert_int_eq(mboxlist_set_racls(true), 0);
    fill_transcript();
    assert_sealed(true);
    assert_list("*", "INBOX+,INBOX.Sent,INBOX.a+,INBOX.a.b+,INBOX.a.b.c,INBOX.a.b.d,user.bob.pub,"
                     "shared+,shared.team");
    assert_list("%", "INBOX+,user?+,shared+");
    assert_list("user.bob.%", "user.bob.pub");
    teardown();
}
END_TEST

START_TEST(lsub)
{
    static const char *const names[] = { "user.alice",      "user.alice.Sent", "user.alice.a.b.c",
                                         "user.alice.gone", "shared",          "user.bob.priv" };
    struct txn *txn;

    setup_space(&standard);
    fill_transcript();
    ck_assert_int_eq(txn_begin(&txn), 0);
    for (size_t i = 0; i < array_size(names); i++)
        ck_assert_int_eq(sub_change(txn, "alice", names[i], true), 0);
    st_commit(txn);
    assert_lsub("*", "INBOX+,INBOX.Sent,INBOX.a.b.c,INBOX.gone!,user.bob.priv!,shared");
    assert_lsub("%", "INBOX+,user?+,shared");
    assert_lsub("INBOX.%", "INBOX.Sent,INBOX.a?+,INBOX.gone!");
    assert_lsub("INBOX.a.%", "INBOX.a.b?+");
    teardown();
}
END_TEST

/* ---- against a model ---- */

struct seen_name {
    mbname_t *mbname;
    char *extname;
    enum mbname_category category;
};

static int cmp_names(const void *a, const void *b)
{
    const struct seen_name *x = a, *y = b;
    if (x->category != y->category) return x->category < y->category ? -1 : 1;
    return mbname_cmp(x->mbname, y->mbname);
}

struct model {
    struct seen_name names[64];
    size_t n;
};

static int model_cb(const mbentry_t *entry, void *rock)
{
    struct model *m = rock;
    mbname_t *mbname = mbname_from_intname(entry->name);
    const char *ext = extname_text(mbname_extname(mbname, &ns, now->userid));
    bool visible = now->isadmin || (cyrus_acl_myrights(auth, entry->acl) & ACL_LOOKUP);

    if (!visible || !ext || (mbname_isdeleted(mbname) && !now->isadmin)) {
        mbname_free(&mbname);
        return 0;
    }
    m->names[m->n++] = (struct seen_name){ mbname, xstrdup(ext),
                                           mbname_category(mbname, &ns, now->userid) };
    return 0;
}

static bool is_below(const char *name, const char *parent, size_t len)
{
    return !strncmp(name, parent, len) && name[len] == ns.hier_sep;
}

static void add_answer(struct buf *out, const char *name, size_t len, bool bare, bool children)
{
    if (buf_len(out)) buf_putc(out, ',');
    buf_printf(out, "%.*s%s%s", (int)len, name, bare ? "?" : "", children ? "+" : "");
}

static bool model_matches(const strarray_t *patterns, const char *ext, size_t len)
{
    bool matches = false;

    for (int p = 0; p < strarray_size(patterns); p++) {
        struct glob *g = glob_init(strarray_nth(patterns, p), ns.hier_sep, GLOB_INBOXCASE);
        matches |= glob_test(g, ext, len);
        glob_free(&g);
    }
    return matches;
}

/* The longest level above names[i] that matches, if the name does not, is no mailbox and was not shown yet. */
static void model_parent(const struct model *m, size_t i, const strarray_t *patterns,
                         strarray_t *shown, struct buf *out)
{
    const char *ext = m->names[i].extname, *found = NULL;

    if (model_matches(patterns, ext, strlen(ext))) return;
    for (const char *sep = strchr(ext, ns.hier_sep); sep; sep = strchr(sep + 1, ns.hier_sep))
        if (model_matches(patterns, ext, (size_t)(sep - ext))) found = sep;
    if (!found) return;
    char *parent = xstrndup(ext, (size_t)(found - ext));
    bool known = strarray_find(shown, parent, 0) >= 0;
    for (size_t k = 0; k < m->n; k++) known |= !strcmp(m->names[k].extname, parent);
    if (!known) {
        strarray_append(shown, parent);
        add_answer(out, parent, strlen(parent), true, true);
    }
    free(parent);
}

static void model_list(const char *text, struct buf *out)
{
    strarray_t *patterns = strarray_split(text, "|", 0);
    strarray_t shown = STRARRAY_INITIALIZER;
    struct model m = { .n = 0 };

    buf_reset(out);
    mboxlist_allmbox(NULL, model_cb, &m, MBOXTREE_DELETED);
    qsort(m.names, m.n, sizeof(m.names[0]), cmp_names);
    for (size_t i = 0; i < m.n; i++) {
        const char *ext = m.names[i].extname;
        bool matches = model_matches(patterns, ext, strlen(ext)), children = false;
        model_parent(&m, i, patterns, &shown, out);
        for (size_t k = 0; k < m.n; k++) children |= is_below(m.names[k].extname, ext, strlen(ext));
        if (matches) add_answer(out, ext, strlen(ext), false, children);
    }
    for (size_t i = 0; i < m.n; i++) {
        mbname_free(&m.names[i].mbname);
        free(m.names[i].extname);
    }
    strarray_free(patterns);
    strarray_fini(&shown);
}

static unsigned seed;

static unsigned random_below(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % n;
}

static void random_name(struct buf *out)
{
    static const char *const starts[] = {
        "user.alice", "user.alice", "user.alice2", "user.bob", "user.b^c",
        "shared",     "user",       "Alt Folders", "zz",       "DELETED.user.alice"
    };
    static const char *const parts[] = { "a", "ab", "INBOX", "x y", "b", "Other Users", "a^b" };
    const char *start = starts[random_below(array_size(starts))];

    buf_setcstr(out, start);
    for (unsigned n = random_below(4); n; n--)
        buf_printf(out, ".%s", parts[random_below(array_size(parts))]);
    /* The level above all users is no name for a mailbox. */
    if (!buf_cmpcstr(out, "user")) buf_appendcstr(out, ".a");
    if (strstarts(start, "DELETED")) buf_appendcstr(out, ".x.6B02437F");
}

static void random_pattern(struct buf *out)
{
    static const char *const parts[] = {
        "*",       "%",     "a",     "ab",  "a*",     "%b",          "INBOX",
        "user",    "bob",   "alice", "x y", "shared", "Other Users", "Shared Folders",
        "DELETED", "inbox", "*x"
    };
    for (unsigned patterns = 1 + random_below(2); patterns; patterns--) {
        if (buf_len(out)) buf_putc(out, '|');
        for (unsigned n = 1 + random_below(3); n; n--) {
            buf_appendcstr(out, parts[random_below(array_size(parts))]);
            if (n > 1) buf_putc(out, ns.hier_sep);
        }
    }
}

static const struct space spaces[] = {
    { "altnamespace: no\nunixhierarchysep: no\n", "alice", false },
    { "altnamespace: no\nunixhierarchysep: yes\n", "alice", false },
    { "altnamespace: yes\nunixhierarchysep: yes\n", "alice", false },
    { "altnamespace: yes\nunixhierarchysep: no\n", "bob", false },
    { "altnamespace: yes\nunixhierarchysep: yes\n", "admin", true },
    { "altnamespace: no\nunixhierarchysep: no\n", "admin", true },
};

START_TEST(list_is_the_model)
{
    static const char *const acls[] = { NULL, NULL, "alice\tlr\t", "anyone\tl\t-alice\tl\t", "" };
    struct buf name = BUF_INITIALIZER, pattern = BUF_INITIALIZER, got = BUF_INITIALIZER,
               want = BUF_INITIALIZER;
    struct txn *txn;

    seed = (unsigned)_i * 7919u + 1;
    setup_space(&spaces[(size_t)_i % array_size(spaces)]);
    ck_assert_int_eq(txn_begin(&txn), 0);
    strarray_t users = STRARRAY_INITIALIZER;
    strarray_t *all = strarray_split("alice alice2 bob b.c", NULL, 0);
    strarray_cat(&users, all);
    strarray_appendm(&users, NULL);
    ck_assert_int_eq(txn_lock_users(txn, &users), 0);
    for (int i = 0; i < 40; i++) {
        random_name(&name);
        put(txn, buf_cstring(&name), acls[random_below(array_size(acls))], 0);
    }
    st_commit(txn);
    for (int i = 0; i < 150; i++) {
        buf_reset(&pattern);
        random_pattern(&pattern);
        list(buf_cstring(&pattern), false, &got);
        model_list(buf_cstring(&pattern), &want);
        ck_assert_msg(buf_equal(&got, &want), "LIST \"%s\":\n got %s\nwant %s",
                      buf_cstring(&pattern), buf_cstring(&got), buf_cstring(&want));
    }
    strarray_fini(&users);
    strarray_free(all);
    buf_free(&name);
    buf_free(&pattern);
    buf_free(&got);
    buf_free(&want);
    teardown();
}
END_TEST

Suite *mboxlist_find_suite(void);
Suite *mboxlist_find_suite(void)
{
    const TTest *const tests[] = { list_standard, list_alternate, list_as_admin,
                                   list_by_reverse_acls, lsub };
    Suite *s = suite_create("mboxlist_find");
    TCase *tc = tcase_create("all");

    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, list_is_the_model, 0, 24);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
