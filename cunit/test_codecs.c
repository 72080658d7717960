/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters, quota, seen and annotation records against the vectors of handbook 01
 * §6.9, §7.1, §7.3, §7.5, §7.6.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "annotation_codec.h"
#include "buf.h"
#include "counters_codec.h"
#include "crc32.h"
#include "imap_err.h"
#include "mbtype.h"
#include "names_config.h"
#include "quota_codec.h"
#include "seen_codec.h"
#include "sub_codec.h"
#include "testutil.h"
#include "util.h"

/* ---- counters ---- */

static void counters_sample(struct counters *c)
{
    memset(c, 0, sizeof(*c));
    c->generation = 36;
    c->modseq[CTR_HIGHEST] = c->modseq[CTR_MAIL] = 27;
    c->modseq[CTR_MAILFOLDERS] = 6;
    c->modseq[CTR_RACL] = 4;
    c->modseq[CTR_MAILDELETED] = 24;
    c->modseq[CTR_DAVNOTIFICATION] = c->modseq[CTR_DAVNOTIFICATIONFOLDERS] = 23;
    c->uidvalidity = 0x6b024406;
}

START_TEST(counters_vectors)
{
    struct counters c, back;
    char out[COUNTERS_SIZE];

    counters_sample(&c);
    counters_encode(&c, out);
    ck_assert_uint_eq(get_be32(out), 36);
    ck_assert_uint_eq(get_be32(out + 4), 9);
    ck_assert_uint_eq(get_be64(out + 0x58), 4);
    ck_assert_uint_eq(get_be64(out + 0x70), 24);
    ck_assert_uint_eq(get_be64(out + 0xc0), 23);
    ck_assert_uint_eq(get_be64(out + 0xd0), 23);
    ck_assert_uint_eq(get_be32(out + 292), 0xc18c6725);
    ck_assert_int_eq(counters_decode(&back, out, sizeof(out)), 0);
    ck_assert_mem_eq(&back, &c, sizeof(c));

    memset(&c, 0, sizeof(c));
    c.generation = 3;
    c.modseq[CTR_HIGHEST] = c.modseq[CTR_MAIL] = c.modseq[CTR_MAILFOLDERS] = c.modseq[CTR_QUOTA] =
        5;
    c.uidvalidity = 1795310180;
    counters_encode(&c, out);
    ck_assert_uint_eq(get_be32(out + 292), 0x13c08c3b);
}
END_TEST

/* A file of an older version: so many bytes, these fields, uidvalidity, CRC. */
START_TEST(counters_versions)
{
    static const struct {
        uint32_t version;
        size_t size;
        int fields;
    } t[] = {
        { 0, 48, 4 },   { 1, 56, 5 },   { 2, 64, 5 },   { 3, 88, 9 },   { 4, 104, 11 },
        { 5, 120, 13 }, { 6, 200, 23 }, { 7, 232, 27 }, { 8, 264, 31 }, { 9, 296, 35 },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        char file[COUNTERS_SIZE];
        struct counters c;
        for (size_t off = 8; off < t[i].size - 8; off += 8) put_be64(file + off, off);
        put_be32(file, 77);
        put_be32(file + 4, t[i].version);
        put_be32(file + t[i].size - 8, 0x6b024406);
        put_be32(file + t[i].size - 4, crc32_map(file, t[i].size - 4));
        ck_assert_int_eq(counters_decode(&c, file, t[i].size), 0);
        ck_assert_uint_eq(c.generation, 77);
        ck_assert_uint_eq(c.uidvalidity, 0x6b024406);
        for (int f = 0; f < CTR_NUMFIELDS; f++)
            ck_assert_uint_eq(c.modseq[f], f < t[i].fields ? 8 + 8 * (uint64_t)f : 0);

        ck_assert_int_eq(counters_decode(&c, file, t[i].size - 1), IMAP_MAILBOX_BADFORMAT);
        file[9] ^= 1;
        ck_assert_int_eq(counters_decode(&c, file, t[i].size), IMAP_MAILBOX_CHECKSUM);
        ck_assert_uint_eq(c.uidvalidity, 0);
    }
}
END_TEST

START_TEST(counters_bad)
{
    struct counters c;
    char file[COUNTERS_SIZE];

    ck_assert_int_eq(counters_decode(&c, "", 0), 0);
    ck_assert_int_eq(counters_decode(&c, "1234567", 7), 0);
    ck_assert_uint_eq(c.modseq[0], 0);
    counters_sample(&c);
    counters_encode(&c, file);
    put_be32(file + 4, 10);
    put_be32(file + 292, crc32_map(file, 292));
    ck_assert_int_eq(counters_decode(&c, file, sizeof(file)), IMAP_MAILBOX_BADFORMAT);
}
END_TEST

START_TEST(counters_moves)
{
    struct counters c;

    memset(&c, 0, sizeof(c));
    ck_assert_uint_eq(counters_advance(&c, CTRKIND_MAIL, COUNTER_FOLDER, 0), 1);
    ck_assert_uint_eq(c.modseq[CTR_MAIL], 1);
    ck_assert_uint_eq(c.modseq[CTR_MAILFOLDERS], 1);
    ck_assert_uint_eq(counters_advance(&c, CTRKIND_MAIL, 0, 10), 11);
    ck_assert_uint_eq(c.modseq[CTR_MAIL], 11);
    ck_assert_uint_eq(c.modseq[CTR_MAILFOLDERS], 1);
    ck_assert_uint_eq(counters_advance(&c, CTRKIND_CALDAV, 0, 3), 12);
    ck_assert_uint_eq(c.modseq[CTR_CALDAV], 12);
    ck_assert_uint_eq(c.modseq[CTR_MAIL], 11);
    ck_assert_uint_eq(counters_advance(&c, CTRKIND_MAIL, COUNTER_DELETED | COUNTER_FOLDER, 0), 13);
    ck_assert_uint_eq(c.modseq[CTR_MAILDELETED], 13);
    ck_assert_uint_eq(c.modseq[CTR_MAILFOLDERSDELETED], 13);
    ck_assert_uint_eq(c.modseq[CTR_MAIL], 11);
    ck_assert_uint_eq(counters_advance(&c, CTRKIND_MAIL, COUNTER_QUOTA, 0), 14);
    ck_assert_uint_eq(c.modseq[CTR_QUOTA], 14);
    ck_assert_uint_eq(counters_advance(&c, CTRKIND_MAIL, COUNTER_RACL, 0), 15);
    ck_assert_uint_eq(c.modseq[CTR_RACL], 15);

    ck_assert(counters_raise(&c, CTRKIND_SIEVE, COUNTER_FOLDER, 20));
    ck_assert_uint_eq(c.modseq[CTR_HIGHEST], 20);
    ck_assert_uint_eq(c.modseq[CTR_SIEVE], 20);
    ck_assert_uint_eq(c.modseq[CTR_SIEVEFOLDERS], 20);
    ck_assert(!counters_raise(&c, CTRKIND_SIEVE, COUNTER_FOLDER, 20));
    ck_assert(!counters_raise(&c, CTRKIND_MAIL, 0, 5));

    ck_assert_uint_eq(counters_advance_uidvalidity(&c, 100), 101);
    ck_assert_uint_eq(counters_advance_uidvalidity(&c, 100), 102);
    ck_assert(counters_raise_uidvalidity(&c, 200));
    ck_assert(!counters_raise_uidvalidity(&c, 200));
}
END_TEST

/* Seen with 3.6.1: which fields a CREATE moves. */
START_TEST(counters_kinds)
{
    struct names_config cfg;

    names_config_defaults(&cfg);
    cfg.notesmailbox = "Notes";
    names_config_override(&cfg);
    ck_assert_int_eq(counters_kind_of("user.bob.#jmapsubmission", MBTYPE_EMAIL),
                     CTRKIND_SUBMISSION);
    ck_assert_int_eq(counters_kind_of("user.bob.#notifications", MBTYPE_EMAIL),
                     CTRKIND_DAVNOTIFICATION);
    ck_assert_int_eq(counters_kind_of("user.bob.#jmap", MBTYPE_EMAIL), CTRKIND_MAIL);
    ck_assert_int_eq(counters_kind_of("user.bob.#drive", MBTYPE_EMAIL), CTRKIND_MAIL);
    ck_assert_int_eq(counters_kind_of("user.bob.#jmappushsubscription", MBTYPE_EMAIL),
                     CTRKIND_MAIL);
    ck_assert_int_eq(counters_kind_of("user.bob.#jmapnotification", MBTYPE_EMAIL), CTRKIND_MAIL);
    ck_assert_int_eq(counters_kind_of("user.bob.#sieve", MBTYPE_EMAIL), CTRKIND_SIEVE);
    ck_assert_int_eq(counters_kind_of("user.bob.#addressbooks", MBTYPE_EMAIL), CTRKIND_CARDDAV);
    ck_assert_int_eq(counters_kind_of("user.bob.#calendars.x", MBTYPE_EMAIL), CTRKIND_CALDAV);
    ck_assert_int_eq(counters_kind_of("user.bob.#CALENDARS", MBTYPE_EMAIL), CTRKIND_MAIL);
    ck_assert_int_eq(counters_kind_of("user.bob.cal", MBTYPE_CALENDAR), CTRKIND_CALDAV);
    ck_assert_int_eq(counters_kind_of("user.bob.coll", MBTYPE_COLLECTION), CTRKIND_DAVNOTIFICATION);
    ck_assert_int_eq(counters_kind_of("user.bob.ab", MBTYPE_ADDRESSBOOK), CTRKIND_CARDDAV);
    ck_assert_int_eq(counters_kind_of("user.bob.Notes", MBTYPE_EMAIL), CTRKIND_NOTES);
    ck_assert_int_eq(counters_kind_of("user.bob", MBTYPE_EMAIL), CTRKIND_MAIL);
    names_config_override(NULL);
}
END_TEST

/* ---- quota ---- */

static int decode(struct quota *q, const char *text)
{
    return quota_decode(q, text, strlen(text));
}

START_TEST(quota_vectors)
{
    static const char *const same[] = {
        "%(S (296 1000) M (2 100) AS (0) NF (1) MODSEQ 5)",
        "%(S (4121 2147483647) M (25 25) AS (0) NF (1) MODSEQ 46)",
        "%(S (0 0) M (0) AS (0) NF (2 5) SCAN %(MBOX user.bob.x S 1 M 2 AS 3 NF 4) MODSEQ 0)",
    };
    struct buf out = BUF_INITIALIZER;
    struct quota q;

    quota_init(&q, "user.carol");
    for (size_t i = 0; i < array_size(same); i++) {
        ck_assert_int_eq(decode(&q, same[i]), 0);
        quota_encode(&q, &out);
        ck_assert_str_eq(buf_cstring(&out), same[i]);
        ck_assert_str_eq(q.root, "user.carol");
    }
    ck_assert_str_eq(q.scanmbox, "user.bob.x");
    ck_assert_int_eq(q.scanuseds[QUOTA_NUMFOLDERS], 4);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], 0);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], QUOTA_UNLIMITED);

    /* the file of V6-2, with its LF */
    test_unhex("2528 5320 2830 2031 3030 2920 4d20 2830 2033 2920 4153 2028 3029 204e 4620 2831"
               "2920 4d4f 4453 4551 2033 290a",
               &out);
    ck_assert_int_eq(quota_decode(&q, out.s, out.len), 0);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], 100);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], 3);
    ck_assert_int_eq(q.useds[QUOTA_NUMFOLDERS], 1);
    ck_assert_uint_eq(q.modseq, 3);
    ck_assert_ptr_null(q.scanmbox);
    quota_free(&q);
    buf_free(&out);
}
END_TEST

START_TEST(quota_old_forms)
{
    struct quota q;

    quota_init(&q, "user.bob");
    ck_assert_int_eq(decode(&q, "1234 50"), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 1234);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], 50);
    ck_assert_int_eq(decode(&q, "1234 50 99 m 5 -1 as 6 7 1 NF 2 3"), 0);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 5);
    ck_assert_int_eq(q.limits[QUOTA_MESSAGE], QUOTA_UNLIMITED);
    ck_assert_int_eq(q.limits[QUOTA_ANNOTSTORAGE], 7);
    ck_assert_int_eq(q.limits[QUOTA_NUMFOLDERS], 3);
    ck_assert_int_eq(decode(&q, "77\n-1\n"), 0); /* the two lines of old quota files */
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 77);
    ck_assert_int_eq(q.limits[QUOTA_STORAGE], QUOTA_UNLIMITED);
    ck_assert_int_eq(q.useds[QUOTA_MESSAGE], 0);
    ck_assert_int_eq(decode(&q, "%()"), 0);
    ck_assert_int_eq(decode(&q, "%(NEW (1 2) S (5) X %(Y 1))"), 0);
    ck_assert_int_eq(q.useds[QUOTA_STORAGE], 5);
    quota_free(&q);
}
END_TEST

START_TEST(quota_refused)
{
    static const char *const bad[] = {
        "x",
        "1",
        "1 x",
        "x 1",
        "1 2 y 3 4",
        "1 2 m 3",
        "1 2 3 4",
        "%(S 5)",
        "%(S (x))",
        "%(S (1 2 3))",
        "%(S (1)",
        "%(MODSEQ -1)",
        "99999999999999999999 1",
    };
    struct quota q;

    quota_init(&q, "user.bob");
    ck_assert_int_eq(quota_decode(&q, "", 0), IMAP_QUOTAROOT_NONEXISTENT);
    ck_assert_int_eq(quota_decode(&q, "\0abc", 4), IMAP_QUOTAROOT_NONEXISTENT);
    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(decode(&q, bad[i]) == IMAP_MAILBOX_BADFORMAT, "%s", bad[i]);
    ck_assert_int_eq(quota_name_to_resource("x-num-folders"), QUOTA_NUMFOLDERS);
    ck_assert_int_eq(quota_name_to_resource("S"), -1);
    quota_free(&q);
}
END_TEST

/* ---- seen ---- */

START_TEST(seen_vectors)
{
    static const char *const same[] = { "1 1795310893 5 1795310893 1,3:4",
                                        "1 1795310728 1 1795310728 1", "1 0 0 0 " };
    struct seendata sd = SEENDATA_INITIALIZER;
    struct buf out = BUF_INITIALIZER;
    bool badset;

    for (size_t i = 0; i < array_size(same); i++) {
        ck_assert_int_eq(seen_decode(&sd, same[i], strlen(same[i]), &badset), 0);
        ck_assert(!badset);
        seen_encode(&sd, &out);
        ck_assert_str_eq(buf_cstring(&out), same[i]);
    }
    ck_assert_int_eq(seen_decode(&sd, "1 2 3 4 1:3,9", 13, NULL), 0);
    ck_assert_int_eq(sd.lastread, 2);
    ck_assert_uint_eq(sd.lastuid, 3);
    ck_assert_int_eq(sd.lastchange, 4);
    ck_assert_str_eq(sd.seenuids, "1:3,9");
    seen_freedata(&sd);
    buf_free(&out);
}
END_TEST

START_TEST(seen_refused)
{
    static const char *const badsets[] = { "1 2 3 4 1,",  "1 2 3 4 *",         "1 2 3 4 1::2",
                                           "1 2 3 4 0",   "1 2 3 4 a",         "1 2 3 4 ,1",
                                           "1 2 3 4 1 2", "1 2 3 4 4294967296" };
    static const char *const bad[] = { "",          "2 2 3 4 1",          "1",         "1 2 3 4",
                                       "x 2 3 4 1", "1 2 4294967296 4 1", "1 -2 3 4 1" };
    struct seendata sd = SEENDATA_INITIALIZER;
    bool badset;

    for (size_t i = 0; i < array_size(badsets); i++) {
        ck_assert_int_eq(seen_decode(&sd, badsets[i], strlen(badsets[i]), &badset), 0);
        ck_assert_msg(badset, "%s", badsets[i]);
        ck_assert_str_eq(sd.seenuids, "");
        ck_assert_uint_eq(sd.lastuid, 3);
    }
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(seen_decode(&sd, bad[i], strlen(bad[i]), NULL) == IMAP_MAILBOX_BADFORMAT,
                      "%s", bad[i]);
        ck_assert_ptr_null(sd.seenuids);
    }
}
END_TEST

/* ---- annotations ---- */

static const struct {
    const char *value;
    modseq_t modseq;
    unsigned flags;
    const char *hex;
} annotation_values[] = {
    { "srv comment", 0, 0,
      "0000000b00000000 73727620636f6d6d656e74 00 746578742f706c61696e00 0000000000000000 "
      "0000000000000000 00" },
    { "My comment", 20, 0,
      "0000000a00000000 4d7920636f6d6d656e74 00 746578742f706c61696e00 0000000000000000 "
      "0000000000000014 00" },
    { "", 22, ANNOTATION_FLAG_DELETED,
      "0000000000000000 00 746578742f706c61696e00 0000000000000000 0000000000000016 01" },
    { "pub", 9, 0,
      "0000000300000000 707562 00 746578742f706c61696e00 0000000000000000 0000000000000009 00" },
};

START_TEST(annotation_values_of_3_6_1)
{
    struct buf bytes = BUF_INITIALIZER, out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(annotation_values); i++) {
        struct annotation_value v;
        test_unhex(annotation_values[i].hex, &bytes);
        ck_assert_int_eq(annotation_value_parse(bytes.s, bytes.len, &v), 0);
        ck_assert_int_eq(buf_cmpcstr(&v.value, annotation_values[i].value), 0);
        ck_assert_uint_eq(v.modseq, annotation_values[i].modseq);
        ck_assert_uint_eq(v.flags, annotation_values[i].flags);
        annotation_value_print(&v, &out);
        test_assert_bytes_eq(out.s, out.len, bytes.s, bytes.len);
    }
    buf_free(&bytes);
    buf_free(&out);
}
END_TEST

/* Older records end after the value's NUL, the unused bytes, or the modseq. */
START_TEST(annotation_values_old)
{
    struct buf bytes = BUF_INITIALIZER;
    struct annotation_value v;

    test_unhex(annotation_values[1].hex, &bytes);
    for (size_t cut = 0; cut <= bytes.len; cut++) {
        int r = annotation_value_parse(bytes.s, cut, &v);
        ck_assert_int_eq(r, cut < 18 ? IMAP_MAILBOX_BADFORMAT : 0);
        if (r) continue;
        ck_assert_int_eq(buf_cmpcstr(&v.value, "My comment"), 0);
        ck_assert_uint_eq(v.modseq, cut >= 10 + 36 ? 20 : 0);
    }
    put_be32(bytes.s, 0xffffffff);
    ck_assert_int_eq(annotation_value_parse(bytes.s, bytes.len, &v), IMAP_MAILBOX_BADFORMAT);
    buf_free(&bytes);
}
END_TEST

START_TEST(annotation_keys)
{
    struct buf out = BUF_INITIALIZER;
    struct annotation_key key;

    annotation_key_print("cru940313aceipx4wl8qvavt", "/comment", "alice", "alice", &out);
    test_assert_bytes_eq(out.s, out.len, "cru940313aceipx4wl8qvavt\0/comment\0[.OwNeR.]\0", 44);
    ck_assert_int_eq(annotation_key_parse(out.s, out.len, &key), 0);
    ck_assert_str_eq(key.scope, "cru940313aceipx4wl8qvavt");
    ck_assert_str_eq(key.entry, "/comment");
    ck_assert_str_eq(key.userid, ANNOT_OWNER_TOKEN);

    buf_reset(&out);
    annotation_key_print_uid(1, "/comment", "", "alice", &out);
    test_assert_hex_eq(out.s, out.len, "3100 2f636f6d6d656e74 00 00");
    buf_reset(&out);
    annotation_key_print("", "/comment", "bob", NULL, &out);
    test_assert_bytes_eq(out.s, out.len, "\0/comment\0bob\0", 14);
    buf_reset(&out);
    annotation_key_print_uid(4294967295u, NULL, NULL, NULL, &out);
    test_assert_bytes_eq(out.s, out.len, "4294967295\0", 11);
    buf_reset(&out);
    annotation_key_print("id", "/c", NULL, NULL, &out);
    test_assert_bytes_eq(out.s, out.len, "id\0/c\0", 6);

    ck_assert_int_eq(annotation_key_parse("a\0b\0", 4, &key), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(annotation_key_parse("a\0b\0c", 5, &key), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(annotation_key_parse("a\0b\0c\0d", 7, &key), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(annotation_key_parse("", 0, &key), IMAP_MAILBOX_BADFORMAT);
    buf_free(&out);
}
END_TEST

/* ---- subscriptions ---- */

START_TEST(subscription_keys)
{
    static const struct {
        const char *name, *key;
    } t[] = {
        { "user.alice", "NINBOX" },
        { "user.alice.Sent Items", "NINBOX\x1fSent Items" },
        { "shared.news", "Nshared\x1fnews" },
        { "user.bob.x^y", "Nuser|bob|x.y" },
        { "user.alice2.z", "Nuser|alice2|z" },
        { "example.org!user.alice.z", "Nexample.org~user|alice|z" },
    };
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(t); i++) {
        struct buf want = BUF_INITIALIZER;
        buf_setcstr(&want, t[i].key);
        buf_replace_char(&want, '|', '\x1f');
        buf_replace_char(&want, '~', '\x1d');
        sub_key_print(t[i].name, "alice", &out);
        ck_assert_str_eq(buf_cstring(&out), buf_cstring(&want));
        char *name = sub_key_parse(out.s, out.len, "alice");
        ck_assert_str_eq(name, t[i].name);
        free(name);
        buf_free(&want);
    }
    sub_key_print("example.org!user.eve.x", "eve@example.org", &out);
    ck_assert_str_eq(buf_cstring(&out), "NINBOX\x1fx");
    /* as 3.6.1 writes user.alice2.z for alice */
    sub_key_print("INBOXes.org!user.eve", "alice", &out);
    char *name = sub_key_parse(out.s, out.len, "alice");
    ck_assert_str_eq(name, "INBOXes.org!user.eve");
    free(name);
    name = sub_key_parse("NINBOX2\x1fz", 9, "alice");
    ck_assert_str_eq(name, "user.alice2.z");
    free(name);
    ck_assert_ptr_null(sub_key_parse(SUB_VERSION_KEY, strlen(SUB_VERSION_KEY), "alice"));
    ck_assert_ptr_null(sub_key_parse("N", 1, "alice"));
    ck_assert_ptr_null(sub_key_parse("Na\0b", 4, "alice"));
    ck_assert_ptr_null(sub_key_parse("Na!b", 4, "alice"));
    ck_assert_ptr_null(sub_key_parse("Na^b", 4, "alice"));
    ck_assert_ptr_null(sub_key_parse("NINBOX\x1f../x", 11, "alice"));
    ck_assert_ptr_null(sub_key_parse("Nuser\x1f", 6, "alice"));
    buf_free(&out);
}
END_TEST

Suite *codecs_suite(void)
{
    Suite *s = suite_create("codecs");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, counters_vectors);
    tcase_add_test(tc, counters_versions);
    tcase_add_test(tc, counters_bad);
    tcase_add_test(tc, counters_moves);
    tcase_add_test(tc, counters_kinds);
    tcase_add_test(tc, quota_vectors);
    tcase_add_test(tc, quota_old_forms);
    tcase_add_test(tc, quota_refused);
    tcase_add_test(tc, seen_vectors);
    tcase_add_test(tc, seen_refused);
    tcase_add_test(tc, annotation_values_of_3_6_1);
    tcase_add_test(tc, annotation_values_old);
    tcase_add_test(tc, annotation_keys);
    tcase_add_test(tc, subscription_keys);
    suite_add_tcase(s, tc);
    return s;
}
