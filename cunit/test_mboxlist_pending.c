/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user with many folders is renamed by one record (mboxlist_pending.h): what everybody is told meanwhile is what he would be told if
 * all had been renamed at once, whatever is done to the folders and whenever they follow.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "journal_renames.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_follow.h"
#include "mboxlist_former.h"
#include "mboxlist_pending.h"
#include "ops_testutil.h"
#include "xmalloc.h"

#define LEAST "CYLINDER_FOLLOW_LEAST"
#define LATER "3"
#define AT_ONCE "1000000"

static const char *const users[] = { "anna", "anne", "annb" };

static void setup(void)
{
    st_setup("admins: admin\nallowusermoves: yes\nreverseacls: no\nquota_db: twoskip\ndelete_mode: immediate\n");
    ot_alice = auth_newstate("anna");
    ot_bob = auth_newstate("bob");
    ot_admin = auth_newstate("admin");
    setenv(LEAST, LATER, 1);
}

static int rename_user(const char *from, const char *to)
{
    char *a = xasprintf("user.%s", from), *b = xasprintf("user.%s", to);
    struct txn *txn = ot_begin();
    int r = ot_end(txn, mboxlist_renametree(txn, a, b, NULL, true, "admin", ot_admin, MBOXLIST_RENAME_FORCEUSER, NULL, NULL));

    free(a);
    free(b);
    return r;
}

static bool pending(void)
{
    strarray_t inboxes = STRARRAY_INITIALIZER;
    ck_assert_int_eq(mboxlist_pending_users(&inboxes), 0);
    bool any = strarray_size(&inboxes) != 0;

    strarray_fini(&inboxes);
    return any;
}

/* Some folders follow, as a process that is stopped then would leave it. */
static void follow_some(unsigned max)
{
    strarray_t inboxes = STRARRAY_INITIALIZER;
    struct buf after = BUF_INITIALIZER;
    unsigned count;

    ck_assert_int_eq(mboxlist_pending_users(&inboxes), 0);
    if (strarray_size(&inboxes)) ck_assert_int_eq(mboxlist_follow_batch(strarray_nth(&inboxes, 0), max, &after, &count), 0);
    strarray_fini(&inboxes);
    buf_free(&after);
}

/* ---- what everybody is told ---- */

/* Renamed at once, each folder has a modseq of its own; so numbers are compared only with those of the same day. */
static bool with_numbers;

static void tell_modseq(struct buf *out, const char *what, modseq_t modseq)
{
    buf_printf(out, " %s%llu", what, with_numbers ? (unsigned long long)modseq : modseq != 0);
}

static void tell_entry(struct buf *out, const mbentry_t *e)
{
    char type[MBTYPE_STRING_MAX];

    buf_printf(out, "%s:%s A%s", e->name, mbtype_to_string(e->mbtype, type), e->acl ? e->acl : "-");
    tell_modseq(out, "F", e->foldermodseq);
    tell_modseq(out, "C", e->createdmodseq);
    if (with_numbers) buf_printf(out, " M%lld V%u", (long long)e->mtime, e->uidvalidity);
    for (size_t i = 0; i < e->nhistory; i++) {
        buf_printf(out, " H%s:%s", e->history[i].name, mbtype_to_string(e->history[i].mbtype, type));
        tell_modseq(out, "F", e->history[i].foldermodseq);
        if (with_numbers) buf_printf(out, " M%lld", (long long)e->history[i].mtime);
    }
    buf_putc(out, '\n');
}

static void tell_mailbox(struct buf *out, const char *name)
{
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_irl(name, &mailbox);

    buf_printf(out, "  open %d", r);
    if (!r)
        buf_printf(out, " %s %s %s %u", mailbox->header.name, mailbox->header.quotaroot ? mailbox->header.quotaroot : "-",
                   mailbox->header.acl, mailbox->hdr.exists);
    buf_putc(out, '\n');
    mailbox_close(&mailbox);
}

static int tell_cb(const mbentry_t *entry, void *rock)
{
    struct buf *out = rock;
    enum mboxlist_fate fate;
    mbentry_t *i = NULL;

    tell_entry(out, entry);
    if (!entry->uniqueid) return 0;
    int r = mboxlist_lookup_by_uniqueid(entry->uniqueid, &i, true, txn_current());
    buf_printf(out, "  I %d ", r);
    if (!r) tell_entry(out, i);
    mbentry_free(&i);
    if (txn_current()) return 0;
    ck_assert_int_eq(mboxlist_lookup_fate(entry->uniqueid, entry->name, entry->createdmodseq, &fate, &i), 0);
    buf_printf(out, "  fate %d %s\n", (int)fate, i ? i->name : "-");
    mbentry_free(&i);
    if (!(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE))) tell_mailbox(out, entry->name);
    return 0;
}

static int user_cb(const char *userid, void *rock)
{
    buf_printf(rock, "user %s\n", userid);
    return 0;
}

static int found_cb(const struct findall_data *data, void *rock)
{
    struct buf *out = rock;

    buf_printf(out, "found %s %d %d\n", extname_text(data->extname), data->mbentry != NULL, data->has_children);
    return 0;
}

static void tell_found(struct buf *out, const char *userid, const struct auth_state *auth)
{
    struct namespace ns;
    extnames_t patterns = { NULL, 0 };

    mboxname_init_namespace(&ns, !strcmp(userid, "admin"));
    extnames_add(&patterns, extname_of("*"));
    ck_assert_int_eq(mboxlist_findall(&ns, patterns, !strcmp(userid, "admin"), userid, auth, found_cb, out), 0);
    extnames_fini(&patterns);
}

static int former_cb(const char *name, const char *uniqueid, void *rock)
{
    (void)uniqueid;
    strarray_append(rock, name);
    return 0;
}

static void tell_former(struct buf *out)
{
    strarray_t names = STRARRAY_INITIALIZER;

    ck_assert_int_eq(mboxlist_former_foreach(0, former_cb, &names), 0);
    strarray_sort(&names, cmpstringp_raw);
    for (int i = 0; i < strarray_size(&names); i++) buf_printf(out, "former %s\n", strarray_nth(&names, i));
    strarray_fini(&names);
}

#define ALL (MBOXTREE_TOMBSTONES | MBOXTREE_INTERMEDIATES | MBOXTREE_DELETED)

static void tell_all(struct buf *out)
{
    ck_assert_int_eq(mboxlist_allmbox(NULL, tell_cb, out, ALL), 0);
    for (size_t i = 0; i < array_size(users); i++) {
        buf_printf(out, "tree of %s\n", users[i]);
        ck_assert_int_eq(mboxlist_usermboxtree(users[i], tell_cb, out, ALL), 0);
    }
    ck_assert_int_eq(mboxlist_alluser(user_cb, out), 0);
    if (txn_current()) return;
    tell_former(out);
    tell_found(out, "admin", ot_admin);
    tell_found(out, "anna", ot_alice);
    tell_found(out, "bob", ot_bob);
}

/* ---- random days ---- */

static unsigned seed;

static unsigned random_below(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % n;
}

static const char *random_name(void)
{
    static const char *const below[] = { "a", "a.b", "a.b.c", "b", "d.e.f", "q", "x", "x y" };
    static char name[64];

    snprintf(name, sizeof(name), "user.%s.%s", users[random_below(array_size(users))], below[random_below(array_size(below))]);
    return name;
}

static int purge(const char *name)
{
    char *user = mboxname_to_userid(name);
    struct txn *txn = ot_begin();
    mbentry_t *entry = NULL;
    int r = txn_lock_user(txn, user);

    if (!r) r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r && !(entry->mbtype & MBTYPE_DELETED)) r = IMAP_MAILBOX_EXISTS; /* with files */
    if (!r) r = random_below(2) ? mboxlist_purge_entry(txn, name) : mboxlist_delete_entry(txn, name);
    mbentry_free(&entry);
    free(user);
    return ot_end(txn, r);
}

/* Within a transaction everybody sees what it has done, and nobody afterwards if it ends so. */
static int rename_in_vain(struct buf *out)
{
    struct txn *txn = ot_begin();
    int r = mboxlist_renametree(txn, "user.anna", "user.anne", NULL, true, "admin", ot_admin, MBOXLIST_RENAME_FORCEUSER, NULL, NULL);

    if (!r) tell_all(out);
    txn_abort(&txn);
    return r;
}

static int random_step(struct buf *out)
{
    char *name = xstrdup(random_name()), *other = xstrdup(random_name());
    const char *user = users[random_below(array_size(users))], *to = users[random_below(array_size(users))];
    static const char *const ids[] = { "anna", "bob", "anne", "-anna" };
    unsigned kind = random_below(20), id = random_below(array_size(ids)), rights = random_below(2);
    int r = 0;

    if (kind < 5)
        r = rename_user(user, to);
    else if (kind < 9)
        r = ot_create(name);
    else if (kind < 11)
        r = ot_delete_by(name, "admin", ot_admin, 0);
    else if (kind < 13)
        r = ot_rename_to(name, other);
    else if (kind < 15)
        r = ot_setacl_by(name, ids[id], rights ? "lrs" : "", "admin", ot_admin);
    else if (kind < 16)
        r = purge(name);
    else if (kind < 17)
        r = rename_in_vain(out);
    else if (kind < 18) {
        char *inbox = xasprintf("user.%s", user);
        r = ot_create(inbox);
        free(inbox);
    }
    else if (!mboxlist_lookup(name, NULL, NULL))
        st_append(name, kind);
    buf_printf(out, "step %u %s %s %s %s: %d\n", kind, name, other, user, to, r);
    free(name);
    free(other);
    return r;
}

static void live_a_day(unsigned n, bool later, struct buf *out)
{
    static const char *const folders[] = { "a", "a.b", "a.b.c", "b", "d.e.f", "x" };
    unsigned follows = 77 + n;

    seed = n;
    setenv(LEAST, later ? LATER : AT_ONCE, 1);
    ot_must_create("user.anna");
    if (n % 3) ck_assert_int_eq(ot_setquota("user.anna", 100000, -1, -1), 0);
    for (size_t i = 0; i < array_size(folders); i++) {
        char *name = xasprintf("user.anna.%s", folders[i]);
        ot_must_create(name);
        if (i % 2) st_append(name, (unsigned)i);
        free(name);
    }
    ck_assert_int_eq(ot_setacl_by("user.anna.b", "bob", "lrs", "admin", ot_admin), 0);
    ck_assert_int_eq(rename_user("anna", "anne"), 0);
    ck_assert_int_eq(pending(), later);
    for (unsigned i = 0; i < 12; i++) {
        tell_all(out);
        random_step(out);
        follows = follows * 1103515245u + 12345u;
        if (later && (follows >> 16) % 3 == 0) follow_some(1 + (follows >> 18) % 4);
        if (later && (follows >> 16) % 7 == 1) ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    }
    tell_all(out);
}

static void assert_same(const char *want, const char *got, unsigned n)
{
    size_t i = 0, line = 0;

    if (!strcmp(want, got)) return;
    while (want[i] == got[i]) {
        if (want[i] == '\n') line = i + 1;
        i++;
    }
    for (size_t at = 0; at < line; at++)
        if (!strncmp(want + at, "step", 4)) fprintf(stderr, "%.*s\n", (int)strcspn(want + at, "\n"), want + at);
    ck_abort_msg("day %u: wanted\n%.300s\ngot\n%.300s", n, want + line, got + line);
}

START_TEST(told_the_same)
{
    struct buf want = BUF_INITIALIZER, got = BUF_INITIALIZER, after = BUF_INITIALIZER;
    unsigned n = (unsigned)_i;

    setup();
    live_a_day(n, false, &want);
    ot_teardown();
    setup();
    live_a_day(n, true, &got);
    assert_same(buf_cstring(&want), buf_cstring(&got), n);
    with_numbers = true;
    tell_all(&after);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    ck_assert(!pending());
    buf_reset(&got);
    tell_all(&got);
    assert_same(buf_cstring(&after), buf_cstring(&got), n);
    ot_check_store();
    ot_teardown();
    buf_free(&want);
    buf_free(&got);
    buf_free(&after);
}
END_TEST

static enum journal_renames known(void)
{
    struct journal *j;
    uint32_t word;

    ck_assert_int_eq(txn_journal(&j), 0);
    return journal_renames(j, &word);
}

/* A rename that came to nothing, or is over, costs readers nothing afterwards. */
START_TEST(nothing_is_left)
{
    struct buf out = BUF_INITIALIZER;
    char name[32];

    setup();
    ck_assert_int_eq(ot_create("user.anna"), 0);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "user.anna.f%u", i);
        ck_assert_int_eq(ot_create(name), 0);
    }
    ck_assert_int_eq(rename_in_vain(&out), 0);
    ck_assert(!pending());
    ck_assert_int_eq(known(), JOURNAL_RENAMES_NONE);
    ck_assert_int_eq(rename_user("anna", "anne"), 0);
    ck_assert(pending());
    ck_assert_int_eq(known(), JOURNAL_RENAMES_SOME);
    ck_assert_int_eq(mboxlist_follow_all(NULL, NULL), 0);
    ck_assert(!pending());
    ck_assert_int_eq(known(), JOURNAL_RENAMES_NONE);
    buf_free(&out);
    ot_teardown();
}
END_TEST

Suite *mboxlist_pending_suite(void);
Suite *mboxlist_pending_suite(void)
{
    const char *days = getenv("CYL_PENDING_DAYS");
    Suite *s = suite_create("mboxlist_pending");
    TCase *tc = tcase_create("view");

#ifdef ENABLE_TEST_HOOKS
    tcase_add_test(tc, nothing_is_left);
    tcase_add_loop_test(tc, told_the_same, 1, 1 + (days ? atoi(days) : 8));
#else
    (void)days;
#endif
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
