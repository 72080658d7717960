/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailboxes.db: records as 3.6.1 writes them (handbook 01 §4.10), look-ups, identities, reverse ACLs,
 * iteration.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_former.h"
#include "store_testutil.h"
#include "user.h"
#include "xmalloc.h"

static void setup(void)
{
    st_setup("conversations: no\n");
}

/* ---- helpers ---- */

static mbentry_t *make(const char *name, const char *uniqueid, uint32_t mbtype)
{
    mbentry_t *entry = mbentry_new(name);

    entry->uniqueid = xstrdupnull(uniqueid);
    entry->mbtype = mbtype;
    if (!(mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE))) {
        char *userid = mboxname_to_userid(name);
        entry->partition = xstrdup("default");
        entry->acl = xasprintf("%s\tlrswipkxtecdan\t", userid ? userid : "anyone");
        free(userid);
    }
    return entry;
}

static int put_entry(const char *name, const mbentry_t *entry)
{
    char *userid = mboxname_to_userid(name);
    struct txn *txn = st_begin(userid);

    int r = mboxlist_update_entry(txn, name, entry);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(userid);
    return r;
}

static int put(const char *name, const char *uniqueid, uint32_t mbtype)
{
    mbentry_t *entry = make(name, uniqueid, mbtype);

    int r = put_entry(name, entry);
    mbentry_free(&entry);
    return r;
}

static int drop(const char *name)
{
    char *userid = mboxname_to_userid(name);
    struct txn *txn = st_begin(userid);

    int r = mboxlist_delete_entry(txn, name);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(userid);
    return r;
}

/* Text of the record with that key; "" when there is none. M is a time: it is cut out. */
static const char *record(const char *key)
{
    static struct buf out;
    struct txn_db *db;
    const char *val;
    size_t len;

    buf_reset(&out);
    ck_assert_int_eq(mboxlist_db_open(NULL, &db), 0);
    if (!txn_db_fetch(db, key, strlen(key), &val, &len)) buf_setmap(&out, val, len);
    mboxlist_db_close(&db);
    for (;;) {
        ptrdiff_t at = buf_findmap(&out, 0, " M 1", 4), end;
        if (at < 0) break;
        for (end = at + 3; end < (ptrdiff_t)out.len && cyr_isdigit(out.s[end]);) end++;
        buf_replace(&out, (size_t)at, (size_t)(end - at), " M", 2);
    }
    return buf_cstring(&out);
}

static void write_raw(const char *key, const char *val)
{
    struct txn *txn = st_begin(NULL);
    struct txn_db *db;

    ck_assert_int_eq(mboxlist_db_open(txn, &db), 0);
    ck_assert_int_eq(txn_db_store(db, key, strlen(key), val, strlen(val)), 0);
    st_commit(txn);
}

/* ---- records ---- */

/* V4-1: names, quoting, order of the fields. */
START_TEST(bytes_of_an_entry)
{
    mbentry_t *entry = make("user.alice.Sent Items", "y5q18he8scy3uikq5p1qnn33", 0);
    entry->uidvalidity = 1795310467;
    entry->createdmodseq = entry->foldermodseq = 6;
    ck_assert_int_eq(put_entry(entry->name, entry), 0);
    ck_assert_str_eq(record("Nuser\x1f"
                            "alice\x1fSent Items"),
                     "%(T e I y5q18he8scy3uikq5p1qnn33 P default V 1795310467 C 6 F 6 M A %(alice "
                     "lrswipkxtecdan))");
    ck_assert_str_eq(record("Iy5q18he8scy3uikq5p1qnn33"),
                     "%(T e N \"user\x1f"
                     "alice\x1fSent Items\" P default V 1795310467 C 6 F 6 M "
                     "A %(alice lrswipkxtecdan) H ())");
    mbentry_free(&entry);
}
END_TEST

/* V4-1: a rename is a tombstone and the new name, the identity remembers the state between. */
START_TEST(bytes_of_a_rename)
{
    mbentry_t *entry = make("user.alice.foo", "rlp5uhi81s6lycafie2mhd9y", 0);
    entry->uidvalidity = 1795310468;
    entry->createdmodseq = entry->foldermodseq = 7;
    ck_assert_int_eq(put_entry("user.alice.foo", entry), 0);

    struct txn *txn = st_begin("alice");
    mbentry_t *left = make("user.alice.foo", "rlp5uhi81s6lycafie2mhd9y", MBTYPE_DELETED);
    left->uidvalidity = 1795310468;
    left->createdmodseq = 7;
    left->foldermodseq = entry->foldermodseq = 10;
    ck_assert_int_eq(mboxlist_update_entry(txn, "user.alice.foo", left), 0);
    ck_assert_int_eq(mboxlist_update_entry(txn, "user.alice.newfoo", entry), 0);
    st_commit(txn);

    ck_assert_str_eq(record("Irlp5uhi81s6lycafie2mhd9y"),
                     "%(T e N user\x1f"
                     "alice\x1fnewfoo P default V 1795310468 C 7 F 10 M A %(alice lrswipkxtecdan) "
                     "H (%(N user\x1f"
                     "alice\x1f"
                     "foo M V 1795310468 C 7 F 10 T ed)))");
    ck_assert_str_eq(record("Nuser\x1f"
                            "alice\x1f"
                            "foo"),
                     "%(T ed I rlp5uhi81s6lycafie2mhd9y V 1795310468 C 7 F 10 M)");
    ck_assert_str_eq(record("Nuser\x1f"
                            "alice\x1fnewfoo"),
                     "%(T e I rlp5uhi81s6lycafie2mhd9y P default V 1795310468 C 7 F 10 M A %(alice "
                     "lrswipkxtecdan))");
    mbentry_free(&entry);
    mbentry_free(&left);
}
END_TEST

/* V4-2: the name gets another identity, the old one had no other name: it stays as a tombstone, which 3.6.1 removes. */
START_TEST(another_identity)
{
    ck_assert_int_eq(put("user.carol.p.q", "qsgnvvbb3o51i6h78hsrohgd", MBTYPE_DELETED), 0);
    ck_assert_str_ne(record("Iqsgnvvbb3o51i6h78hsrohgd"), "");
    ck_assert_int_eq(put("user.carol.p.q", "kgkmxuwvrlpv2inpwde7avkg", 0), 0);
    ck_assert_str_eq(record("Iqsgnvvbb3o51i6h78hsrohgd"),
                     "%(T ed N user\x1f" "carol\x1fp\x1fq M R deleted H ())");
    ck_assert_int_eq(drop("user.carol.p.q"), 0);
    ck_assert_str_eq(record("Ikgkmxuwvrlpv2inpwde7avkg"), "");
    ck_assert_str_eq(record("Nuser\x1f"
                            "carol\x1fp\x1fq"),
                     "");
}
END_TEST

static void must_be_of(const char *uniqueid, const char *name, modseq_t created, enum mboxlist_fate wanted, const char *reason)
{
    enum mboxlist_fate fate;
    mbentry_t *entry;

    ck_assert_int_eq(mboxlist_lookup_fate(uniqueid, name, created, &fate, &entry), 0);
    ck_assert_int_eq(fate, wanted);
    ck_assert(!strcmpnull(entry ? entry->reason : NULL, reason));
    ck_assert_int_eq(entry != NULL, wanted != MBOXLIST_NEVER_SEEN && wanted != MBOXLIST_UNKNOWN &&
                                        wanted != MBOXLIST_DAMAGED);
    mbentry_free(&entry);
}

static void must_be(const char *uniqueid, const char *name, enum mboxlist_fate wanted,
                    const char *reason)
{
    must_be_of(uniqueid, name, 0, wanted, reason);
}

/* What became of a mailbox, by its identity first. */
START_TEST(fates)
{
    must_be("aaaa1", "user.alice.a", MBOXLIST_NEVER_SEEN, NULL);
    put("user.alice.a", "aaaa1", 0);
    must_be("aaaa1", "user.alice.elsewhere", MBOXLIST_ALIVE, NULL);
    must_be("aaaa9", "user.alice.a", MBOXLIST_NAME_TAKEN, NULL);
    put("user.alice.a", "aaaa1", MBTYPE_DELETED);
    must_be("aaaa1", "user.alice.a", MBOXLIST_DELETED, NULL);
    /* its name is used again, and deleted again */
    put("user.alice.a", "aaaa2", 0);
    must_be("aaaa1", "user.alice.a", MBOXLIST_DELETED, FORMER_DELETED);
    put("user.alice.a", "aaaa2", MBTYPE_DELETED);
    must_be("aaaa1", "user.alice.a", MBOXLIST_DELETED, FORMER_DELETED);
    must_be("aaaa2", "user.alice.a", MBOXLIST_DELETED, NULL);
    /* a tombstone of another one proves nothing */
    must_be("aaaa9", "user.alice.a", MBOXLIST_UNKNOWN, NULL);
    /* unless what is asked for was made later than that */
    must_be_of("aaaa9", "user.alice.a", 100, MBOXLIST_UNKNOWN, NULL); /* which has no modseq */
    write_raw("Nuser\x1f" "alice\x1f" "d", "%(T ed I dddd1 V 1 C 1 F 8 M 1795310143)");
    must_be_of("dddd2", "user.alice.d", 7, MBOXLIST_UNKNOWN, NULL);
    must_be_of("dddd2", "user.alice.d", 8, MBOXLIST_NEVER_SEEN, NULL);
    /* another identity in its place, without a deletion */
    put("user.alice.b", "bbbb1", 0);
    put("user.alice.b", "bbbb2", 0);
    must_be("bbbb1", "user.alice.b", MBOXLIST_DELETED, FORMER_REPLACED "bbbb2");
    /* what 3.6.1 leaves behind proves nothing, either */
    write_raw("Icccc1", "%(T e N user\x1f" "alice\x1f" "c V 1 C 1 F 8 M 1795310143 H ())");
    must_be("cccc1", "user.alice.c", MBOXLIST_UNKNOWN, NULL);
    write_raw("Icccc2", "%(T ed N user\x1f" "alice\x1f" "c V 1 C 1 F 8 M 1795310143 H ())");
    must_be("cccc2", "user.alice.c", MBOXLIST_UNKNOWN, NULL);
}
END_TEST

/* A record that cannot be read is not an absent one; the other record of a tombstone may be. */
START_TEST(fates_with_damage)
{
    put("user.alice.a", "aaaa1", MBTYPE_DELETED);
    write_raw("Nuser\x1f" "alice\x1f" "a", "%(T ed I aaaa1");
    must_be("aaaa1", "user.alice.a", MBOXLIST_DELETED, NULL);
    write_raw("Iaaaa1", "%(T ed N");
    must_be("aaaa1", "user.alice.a", MBOXLIST_DAMAGED, NULL);
    must_be("aaaa9", "user.alice.a", MBOXLIST_DAMAGED, NULL);
    put("user.alice.b", "bbbb1", MBTYPE_DELETED);
    write_raw("Ibbbb1", "%(T ed N");
    must_be("bbbb1", "user.alice.b", MBOXLIST_DELETED, NULL);
    put("user.alice.c", "cccc1", 0);
    write_raw("Nuser\x1f" "alice\x1f" "c", "%(T e I cccc1");
    must_be("cccc1", "user.alice.c", MBOXLIST_DAMAGED, NULL);
}
END_TEST

static int count_former(const char *name, const char *uniqueid, void *rock)
{
    ck_assert_str_eq(name, "user.alice.a");
    ck_assert_str_eq(uniqueid, "aaaa1");
    ++*(int *)rock;
    return 0;
}

START_TEST(former_are_forgotten)
{
    int n = 0;

    put("user.alice.a", "aaaa1", MBTYPE_DELETED);
    put("user.alice.a", "aaaa2", 0);
    ck_assert_int_eq(mboxlist_former_foreach(1000, count_former, &n), 0);
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(mboxlist_former_foreach(time(NULL) + 10, count_former, &n), 0);
    ck_assert_int_eq(n, 1);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(mboxlist_former_remove(txn, "aaaa2"), 0);
    ck_assert_int_eq(mboxlist_former_remove(txn, "aaaa1"), 0);
    st_commit(txn);
    ck_assert_str_eq(record("Iaaaa1"), "");
    ck_assert_str_ne(record("Iaaaa2"), "");
    must_be("aaaa1", "user.alice.a", MBOXLIST_NAME_TAKEN, NULL);
}
END_TEST

START_TEST(needs_the_lock)
{
    mbentry_t *entry = make("user.alice", "abcdef", 0);
    struct txn *txn = st_begin("bob");
    ck_assert_int_eq(mboxlist_update_entry(txn, "user.alice", entry), IMAP_INTERNAL);
    ck_assert_int_eq(mboxlist_delete_entry(txn, "user.alice"), IMAP_INTERNAL);
    txn_abort(&txn);
    mbentry_free(&entry);
}
END_TEST

/* ---- look-ups ---- */

START_TEST(lookups)
{
    mbentry_t *entry;

    put("user.alice", "aaaa1", 0);
    put("user.alice.d", "aaaa2", MBTYPE_DELETED);
    put("user.alice.i", "aaaa3", MBTYPE_INTERMEDIATE);
    put("user.alice.z", "aaaa4", MBTYPE_RESERVE);
    ck_assert_int_eq(mboxlist_lookup("user.alice", &entry, NULL), 0);
    ck_assert_str_eq(entry->name, "user.alice");
    mbentry_free(&entry);
    ck_assert_int_eq(mboxlist_lookup("user.alice.d", &entry, NULL), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mboxlist_lookup("user.alice.i", &entry, NULL), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mboxlist_lookup("user.alice.z", &entry, NULL), IMAP_MAILBOX_RESERVED);
    ck_assert_int_eq(mboxlist_lookup("user.alice.none", &entry, NULL), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mboxlist_lookup("", &entry, NULL), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mboxlist_lookup_allow_all("user.alice.d", &entry, NULL), 0);
    ck_assert_uint_eq(entry->mbtype, MBTYPE_DELETED);
    mbentry_free(&entry);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid("aaaa1", &entry, false, NULL), 0);
    ck_assert_str_eq(entry->name, "user.alice");
    mbentry_free(&entry);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid("aaaa2", &entry, false, NULL),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid("aaaa2", &entry, true, NULL), 0);
    mbentry_free(&entry);
}
END_TEST

/* The I record that 3.6.1 leaves behind when a name is removed means nothing. */
START_TEST(stale_identity_is_not_trusted)
{
    mbentry_t *entry;

    write_raw("I9m9u8jpstluyqdvyr34olxgq", "%(T e N user\x1f"
                                           "alice V 1 C 1 F 8 M 1795310143 H ())");
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid("9m9u8jpstluyqdvyr34olxgq", &entry, true, NULL),
                     IMAP_MAILBOX_NONEXISTENT);
    ck_assert(!mboxlist_uniqueid_in_use("9m9u8jpstluyqdvyr34olxgq", NULL));
    ck_assert_int_eq(put("user.alice", "9m9u8jpstluyqdvyr34olxgq", 0), 0);
    ck_assert(mboxlist_uniqueid_in_use("9m9u8jpstluyqdvyr34olxgq", NULL));
}
END_TEST

START_TEST(one_identity_one_live_name)
{
    ck_assert_int_eq(put("user.alice", "aaaa1", 0), 0);
    ck_assert_int_eq(put("user.alice.x", "aaaa1", 0), IMAP_MAILBOX_MOVED);
    ck_assert_int_eq(mboxlist_lookup("user.alice.x", NULL, NULL), IMAP_MAILBOX_NONEXISTENT);
    /* a tombstone of a name it had does not take the identity back */
    ck_assert_int_eq(put("user.alice.old", "aaaa1", MBTYPE_DELETED), 0);
    mbentry_t *entry;
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid("aaaa1", &entry, false, NULL), 0);
    ck_assert_str_eq(entry->name, "user.alice");
    mbentry_free(&entry);
}
END_TEST

START_TEST(damaged_record)
{
    mbentry_t *entry;

    put("user.alice", "aaaa1", 0);
    write_raw("Nuser\x1f"
              "alice\x1f"
              "bad",
              "%(T q I");
    ck_assert_int_eq(mboxlist_lookup("user.alice.bad", &entry, NULL), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mboxlist_lookup("user.alice", &entry, NULL), 0);
    mbentry_free(&entry);
    ck_assert_int_eq(put("user.alice.bad", "aaaa2", 0), 0);
    ck_assert_int_eq(mboxlist_lookup("user.alice.bad", NULL, NULL), 0);
}
END_TEST

START_TEST(staged_is_seen_by_its_txn_only)
{
    mbentry_t *entry = make("user.alice", "aaaa1", 0);
    struct txn *txn = st_begin("alice");
    ck_assert_int_eq(mboxlist_update_entry(txn, "user.alice", entry), 0);
    ck_assert_int_eq(mboxlist_lookup("user.alice", NULL, txn), 0);
    ck_assert_int_eq(mboxlist_lookup_by_uniqueid("aaaa1", NULL, false, txn), 0);
    ck_assert_int_eq(mboxlist_lookup("user.alice", NULL, NULL), IMAP_MAILBOX_NONEXISTENT);
    txn_abort(&txn);
    ck_assert_int_eq(mboxlist_lookup("user.alice", NULL, NULL), IMAP_MAILBOX_NONEXISTENT);
    mbentry_free(&entry);
}
END_TEST

/* ---- reverse ACLs ---- */

static int racl_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct buf *out = rock;

    if (buf_len(out)) buf_putc(out, ' ');
    for (size_t i = 0; i < keylen; i++)
        buf_putc(out, key[i] == '\x1e' ? '|' : key[i] == '\x1f' ? '/' : key[i]);
    return 0;
}

static void assert_racls(const char *want)
{
    struct buf got = BUF_INITIALIZER;
    struct txn_db *db;

    ck_assert_int_eq(mboxlist_db_open(NULL, &db), 0);
    txn_db_foreach(db, "A", 1, racl_cb, &got);
    mboxlist_db_close(&db);
    ck_assert_str_eq(buf_cstring(&got), want);
    buf_free(&got);
}

START_TEST(reverse_acls)
{
    mbentry_t *entry = make("user.alice.newfoo", "aaaa2", 0);

    put("user.alice", "aaaa1", 0);
    assert_racls(""); /* no marker */
    write_raw("AS\x1e", "");
    mbentry_set_acl(entry, "alice\tlr\tbob\tlr\tcarol\tp\t-dave\tl\tgroup:x\tr\tanyone\tl\t");
    ck_assert_int_eq(put_entry(entry->name, entry), 0);
    assert_racls(
        "AS| AU|-dave|user/alice/newfoo AU|anyone|user/alice/newfoo AU|bob|user/alice/newfoo "
        "AU|group:x|user/alice/newfoo");
    mbentry_set_acl(entry, "alice\tlr\tcarol\tl\t");
    ck_assert_int_eq(put_entry(entry->name, entry), 0);
    assert_racls("AS| AU|carol|user/alice/newfoo");
    put("shared.news", "aaaa3", 0);
    assert_racls("AS| AS|anyone|shared/news AU|carol|user/alice/newfoo");
    drop("shared.news");
    entry->mbtype = MBTYPE_DELETED;
    ck_assert_int_eq(put_entry(entry->name, entry), 0);
    assert_racls("AS|");
    mbentry_free(&entry);
}
END_TEST

/* ---- iteration ---- */

static int names_cb(const mbentry_t *entry, void *rock)
{
    struct buf *out = rock;
    if (buf_len(out)) buf_putc(out, ' ');
    buf_appendcstr(out, entry->name);
    return 0;
}

static int users_cb(const char *userid, void *rock)
{
    struct buf *out = rock;
    if (buf_len(out)) buf_putc(out, ' ');
    buf_appendcstr(out, userid);
    return 0;
}

static void fill(void)
{
    put("user.alice", "a1", 0);
    put("user.alice.x", "a2", 0);
    put("user.alice.x.y", "a3", 0);
    put("user.alice.xy", "a4", 0);
    put("user.alice.gone", "a5", MBTYPE_DELETED);
    put("user.alice.inter", "a6", MBTYPE_INTERMEDIATE);
    put("user.alice2", "b1", 0);
    put("user.bob", "c1", MBTYPE_DELETED);
    put("user.bob.left", "c2", 0);
    put("user.carol", "d1", 0);
    put("DELETED.user.alice.x.6B02437F", "e1", 0);
    put("shared", "f1", 0);
    write_raw("Nuser\x1f"
              "alice\x1f"
              "bad",
              "no record");
}

START_TEST(iterations)
{
    struct buf got = BUF_INITIALIZER;

    fill();
    mboxlist_allmbox(NULL, names_cb, &got, 0);
    ck_assert_str_eq(buf_cstring(&got),
                     "shared user.alice user.alice.x user.alice.x.y user.alice.xy user.alice2 "
                     "user.bob.left user.carol");
    buf_reset(&got);
    mboxlist_allmbox("user.alice.", names_cb, &got, MBOXTREE_TOMBSTONES | MBOXTREE_INTERMEDIATES);
    ck_assert_str_eq(buf_cstring(&got),
                     "user.alice.gone user.alice.inter user.alice.x user.alice.x.y user.alice.xy");
    buf_reset(&got);
    mboxlist_mboxtree("user.alice.x", names_cb, &got, 0);
    ck_assert_str_eq(buf_cstring(&got), "user.alice.x user.alice.x.y");
    buf_reset(&got);
    mboxlist_mboxtree("user.alice.x", names_cb, &got, MBOXTREE_SKIP_ROOT | MBOXTREE_DELETED);
    ck_assert_str_eq(buf_cstring(&got), "user.alice.x.y DELETED.user.alice.x.6B02437F");
    buf_reset(&got);
    mboxlist_usermboxtree("alice", names_cb, &got, 0);
    ck_assert_str_eq(buf_cstring(&got), "user.alice user.alice.x user.alice.x.y user.alice.xy");
    buf_reset(&got);
    mboxlist_alluser(users_cb, &got);
    ck_assert_str_eq(buf_cstring(&got), "alice alice2 carol");
    buf_free(&got);
}
END_TEST

static int stop_cb(const mbentry_t *entry, void *rock)
{
    return ++*(int *)rock == 2 ? 42 : 0;
}

START_TEST(iteration_stops)
{
    int n = 0;

    fill();
    ck_assert_int_eq(mboxlist_allmbox(NULL, stop_cb, &n, 0), 42);
    ck_assert_int_eq(n, 2);
}
END_TEST

/* ---- where a user's files are ---- */

START_TEST(user_paths)
{
    struct user_meta *meta;
    mbentry_t *entry;

    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), IMAP_MAILBOX_NONEXISTENT);
    put("user.alice", "abid1", MBTYPE_INTERMEDIATE); /* reserved */
    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), 0);
    ck_assert_ptr_nonnull(strstr(user_meta_path(meta, "conversations"),
                                 "/conf/user/uuid/a/b/abid1/conversations.db"));
    user_meta_free(&meta);
    put("user.alice", "abid1", MBTYPE_DELETED); /* a tombstone that is still itself */
    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), 0);
    user_meta_free(&meta);
    put("user.alicenew", "abid1", 0); /* now it is somebody else */
    ck_assert_int_eq(user_meta_lookup("alice", NULL, &meta), IMAP_MAILBOX_NONEXISTENT);
    ck_assert_int_eq(user_meta_lookup("alicenew", NULL, &meta), 0);
    ck_assert_str_eq(user_meta_uniqueid(meta), "abid1");
    user_meta_free(&meta);
    put("user.old.dot^name", "abid2", 0);
    put("user.leg^acy", "abid3", MBTYPE_LEGACY_DIRS);
    ck_assert_int_eq(user_meta_lookup("leg.acy", NULL, &meta), 0);
    ck_assert_ptr_null(user_meta_uniqueid(meta));
    ck_assert_ptr_nonnull(
        strstr(user_meta_path(meta, "counters"), "/conf/user/l/leg.acy.counters"));
    user_meta_free(&meta);
    put("shared", "abid4", 0);
    ck_assert_int_eq(mboxlist_lookup("shared", &entry, NULL), 0);
    ck_assert_int_eq(user_meta_for_mailbox(entry, NULL, &meta), 0);
    ck_assert_ptr_null(user_meta_userid(meta));
    ck_assert_ptr_nonnull(strstr(user_meta_path(meta, "counters"), "/conf/shared.counters"));
    user_meta_free(&meta);
    mbentry_free(&entry);
}
END_TEST

Suite *mboxlist_suite(void);
Suite *mboxlist_suite(void)
{
    const TTest *const tests[] = {
        bytes_of_an_entry,
        bytes_of_a_rename,
        another_identity,
        fates,
        fates_with_damage,
        former_are_forgotten,
        needs_the_lock,
        lookups,
        stale_identity_is_not_trusted,
        one_identity_one_live_name,
        damaged_record,
        staged_is_seen_by_its_txn_only,
        reverse_acls,
        iterations,
        iteration_stops,
        user_paths,
    };
    Suite *s = suite_create("mboxlist");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, st_teardown);
    for (size_t i = 0; i < array_size(tests); i++) tcase_add_test(tc, tests[i]);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
