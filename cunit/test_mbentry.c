/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of mailboxes.db: those of 3.6.1 (handbook 01 §4.9, §4.10) are read and
 * written back byte for byte.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "mbentry.h"
#include "mboxname.h"
#include "names_config.h"
#include "testutil.h"
#include "util.h"

/* "|" stands for the byte 1F, "~" for 1D. */
/* clang-format off */
static const struct {
    const char *key, *value;
} records[] = {
    { "I11111111-2222-3333-4444-555555555555",
      "%(T el N user|alice P default V 123 C 1 F 5 M 1795311501 A %(alice lrswipkxtecdan bob lr) H ())" },
    { "I21111111-2222-3333-4444-555555555555",
      "%(T el N \"user|alice|x y\" P default V 124 C 2 F 6 M 1795311501 A %(alice lrswipkxtecdan) H ())" },
    { "I31111111-2222-3333-4444-555555555555",
      "%(T edl N user|alice|old P default V 125 C 3 F 7 M 1795311501 A %() H ())" },
    { "I41111111-2222-3333-4444-555555555555",
      "%(T el N user|v2 P default M 1795311501 A %(v2 lrswipcda) H ())" },
    { "Nuser|alice",
      "%(T el I 11111111-2222-3333-4444-555555555555 P default V 123 C 1 F 5 M 1795311501 A %(alice lrswipkxtecdan bob lr))" },
    { "Nuser|alice|old",
      "%(T edl I 31111111-2222-3333-4444-555555555555 P default V 125 C 3 F 7 M 1795311501 A %())" },
    { "Nuser|alice|x y",
      "%(T el I 21111111-2222-3333-4444-555555555555 P default V 124 C 2 F 6 M 1795311501 A %(alice lrswipkxtecdan))" },
    { "Nuser|v2",
      "%(T el I 41111111-2222-3333-4444-555555555555 P default M 1795311501 A %(v2 lrswipcda))" },
    { "I3t6t9ofdxk2p43fmdm7zyubc",
      "%(T e N user|alice|a|b P default V 1795310465 C 4 F 4 M 1795310462 A %(alice lrswipkxtecdan) H ())" },
    { "Iawbztidd5hs0c42b8bvgxt2i",
      "%(T e N \"dom.example.org~user|erin\" P default V 1795310463 C 1 F 1 M 1795310462 A %(erin@dom.example.org lrswipkxtecdan) H ())" },
    { "Ihrufpigy4hwg8cfmuhj8qx8a",
      "%(T e N user|alice|newfoo|bar P default V 1795310469 C 8 F 11 M 1795310463 A %(alice lrswipkxtecdan) H (%(N user|alice|foo|bar M 1795310463 V 1795310469 C 8 F 11 T ed)))" },
    { "Inuzw3nrw0bypvikhv7ovlymx",
      "%(T e N DELETED|user|alice|a|b|c|6B02437F P default V 1795310466 C 5 F 12 M 1795310463 A %(alice lrswipkxtecdan) H (%(N user|alice|a|b|c M 1795310463 V 1795310466 C 5 F 12 T ed)))" },
    { "Irlp5uhi81s6lycafie2mhd9y",
      "%(T e N user|alice|newfoo P default V 1795310468 C 7 F 10 M 1795310463 A %(alice lrswipkxtecdan bob lr) H (%(N user|alice|foo M 1795310463 V 1795310468 C 7 F 10 T ed)))" },
    { "Iy5q18he8scy3uikq5p1qnn33",
      "%(T e N \"user|alice|Sent Items\" P default V 1795310467 C 6 F 6 M 1795310462 A %(alice lrswipkxtecdan) H ())" },
    { "NDELETED|user|alice|a|b|c|6B02437F",
      "%(T e I nuzw3nrw0bypvikhv7ovlymx P default V 1795310466 C 5 F 12 M 1795310463 A %(alice lrswipkxtecdan))" },
    { "Ndom.example.org~user|erin",
      "%(T e I awbztidd5hs0c42b8bvgxt2i P default V 1795310463 C 1 F 1 M 1795310462 A %(erin@dom.example.org lrswipkxtecdan))" },
    { "Nshared|news",
      "%(T e I bfjw84euyyizyofjvvjx6ama P default V 1795310464 C 2 F 4 M 1795310462 A %(anyone p alice lrs))" },
    { "Nuser|alice",
      "%(T e I cru940313aceipx4wl8qvavt P default V 1795310463 C 1 F 1 M 1795310462 A %(alice lrswipkxtecdan))" },
    { "Nuser|alice|Sent Items",
      "%(T e I y5q18he8scy3uikq5p1qnn33 P default V 1795310467 C 6 F 6 M 1795310462 A %(alice lrswipkxtecdan))" },
    { "Nuser|alice|a",
      "%(T e I aycp0164958sk1p2urlmbmvy P default V 1795310464 C 3 F 3 M 1795310462 A %(alice lrswipkxtecdan))" },
    { "Nuser|alice|a|b",
      "%(T e I 3t6t9ofdxk2p43fmdm7zyubc P default V 1795310465 C 4 F 4 M 1795310462 A %(alice lrswipkxtecdan))" },
    { "Nuser|alice|a|b|c",
      "%(T ed I nuzw3nrw0bypvikhv7ovlymx V 1795310466 C 5 F 12 M 1795310463)" },
    { "Nuser|alice|dot.name",
      "%(T e I zmwt3zltma01wnep3v7qei0f P default V 1795310470 C 13 F 13 M 1795310463 A %(alice lrswipkxtecdan))" },
    { "Nuser|alice|foo",
      "%(T ed I rlp5uhi81s6lycafie2mhd9y V 1795310468 C 7 F 10 M 1795310463)" },
    { "Nuser|alice|foo|bar",
      "%(T ed I hrufpigy4hwg8cfmuhj8qx8a V 1795310469 C 8 F 11 M 1795310463)" },
    { "Nuser|alice|newfoo",
      "%(T e I rlp5uhi81s6lycafie2mhd9y P default V 1795310468 C 7 F 10 M 1795310463 A %(alice lrswipkxtecdan bob lr))" },
    { "Nuser|alice|newfoo|bar",
      "%(T e I hrufpigy4hwg8cfmuhj8qx8a P default V 1795310469 C 8 F 11 M 1795310463 A %(alice lrswipkxtecdan))" },
    { "Iqsgnvvbb3o51i6h78hsrohgd",
      "%(T ed N user|carol|p|q V 1795311167 C 28 F 30 M 1795311165 H ())" },
    { "Nuser|carol|p|q",
      "%(T ed I qsgnvvbb3o51i6h78hsrohgd V 1795311167 C 28 F 30 M 1795311165)" },
    { "Ikgkmxuwvrlpv2inpwde7avkg",
      "%(T e N user|carol|p|q P default V 1795311168 C 32 F 32 M 1795311165 A %(carol lrswipkxtecdan) H ())" },
    { "Nuser|carol|p|q",
      "%(T e I kgkmxuwvrlpv2inpwde7avkg P default V 1795311168 C 32 F 32 M 1795311165 A %(carol lrswipkxtecdan))" },
    { "I58uzszwxwmjxqnsg0lnheaj2",
      "%(T e N DELETED|user|dave|6B02460C P default V 1795311092 C 1 F 6 M 1795311116 A %(dave lrswipkxtecdan admin lrswipkxtecd) H (%(N user|dave M 1795311116 V 1795311092 C 1 F 6 T ed)))" },
    { "Irjbvydirkvjt0jd4n6l0filz",
      "%(T e N user|davenew P default V 1795311093 C 1 F 4 M 1795311116 A %(davenew lrswipkxtecdan) H (%(N user|dave M 1795311116 V 1795311093 C 1 F 2 T ed)))" },
    { "Nuser|dave",
      "%(T ed I rjbvydirkvjt0jd4n6l0filz V 1795311093 C 1 F 2 M 1795311116)" },
    { "Nuser|davenew",
      "%(T e I rjbvydirkvjt0jd4n6l0filz P default V 1795311093 C 1 F 4 M 1795311116 A %(davenew lrswipkxtecdan))" },
    { "Nuser|alice",
      "%(T el I 3jqetgrf68z8jridqtfze4b5 P default V 1795311191 C 1 F 1 M 1795311190 A %(alice lrswipkxtecdan))" },
};
/* clang-format on */

static struct names_config cfg;

static void setup(void)
{
    names_config_defaults(&cfg);
    cfg.virtdomains = VIRTDOMAINS_USERID;
    names_config_override(&cfg);
}

static void teardown(void)
{
    names_config_override(NULL);
}

/* The text with its separators, malloc'ed. */
static char *with_separators(const char *text)
{
    char *s = strdup(text);

    for (char *p = s; *p; p++) {
        if (*p == '|') *p = '\x1f';
        if (*p == '~') *p = '\x1d';
    }
    return s;
}

static int parse(const char *key, const char *value, mbentry_t **e)
{
    if (*key == 'N') return mbentry_parse_n(dbname_of(key + 1, strlen(key + 1)), value, strlen(value), e);
    return mbentry_parse_i(key + 1, strlen(key + 1), value, strlen(value), e);
}

START_TEST(records_of_3_6_1)
{
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(records); i++) {
        char *key = with_separators(records[i].key), *value = with_separators(records[i].value);
        mbentry_t *e = NULL;
        ck_assert_msg(!parse(key, value, &e), "%s", records[i].key);
        if (*key == 'N')
            mbentry_print_n(e, e->mtime, &out);
        else
            mbentry_print_i(e, e->mtime, &out);
        ck_assert_str_eq(buf_cstring(&out), value);
        buf_reset(&out);
        if (*key == 'N')
            mbentry_key_name(e->name, &out);
        else
            mbentry_key_uniqueid(e->uniqueid, &out);
        ck_assert_str_eq(buf_cstring(&out), key);
        mbentry_free(&e);
        free(key);
        free(value);
    }
    buf_free(&out);
}
END_TEST

START_TEST(fields)
{
    mbentry_t *e = NULL;
    const char *val = "%(T edl N \"dom.org\x1d"
                      "user\x1f"
                      "al\" P default S back V 1 C 2 F 3 M 4 A %(al lrs -bob r) "
                      "H (%(N user\x1f"
                      "x.y M 5 V 6 C 7 F 8 T ei P p2) %(N user\x1f"
                      "z T e)) NEW (1 (2)) X %(a b))";

    ck_assert_int_eq(parse("Iabc", val, &e), 0);
    ck_assert_str_eq(e->name, "dom.org!user.al");
    ck_assert_str_eq(e->uniqueid, "abc");
    ck_assert_uint_eq(e->mbtype, MBTYPE_EMAIL | MBTYPE_DELETED | MBTYPE_LEGACY_DIRS);
    ck_assert_str_eq(e->partition, "default");
    ck_assert_str_eq(e->server, "back");
    ck_assert_uint_eq(e->uidvalidity, 1);
    ck_assert_uint_eq(e->createdmodseq, 2);
    ck_assert_uint_eq(e->foldermodseq, 3);
    ck_assert_int_eq(e->mtime, 4);
    ck_assert_str_eq(e->acl, "al\tlrs\t-bob\tr\t");
    ck_assert_uint_eq(e->nhistory, 2);
    ck_assert_str_eq(e->history[0].name, "user.x^y");
    ck_assert_str_eq(e->history[0].partition, "p2");
    ck_assert_uint_eq(e->history[0].mbtype, MBTYPE_INTERMEDIATE);
    ck_assert_uint_eq(e->history[0].foldermodseq, 8);
    ck_assert_str_eq(e->history[1].name, "user.z");
    ck_assert(mbentry_is_remote(e, "front") && !mbentry_is_remote(e, "back"));

    mbentry_t *d = mbentry_dup(e);
    mbentry_free(&e);
    ck_assert_ptr_null(e);
    mbentry_add_history(d, d);
    ck_assert_uint_eq(d->nhistory, 3);
    ck_assert_str_eq(d->history[0].name, "dom.org!user.al");
    ck_assert_str_eq(d->history[1].name, "user.x^y");
    mbentry_free(&d);
}
END_TEST

/* No letter of the type: mail (as 3.4 wrote tombstones). */
START_TEST(types)
{
    static const struct {
        const char *text;
        uint32_t type;
        const char *back;
    } t[] = {
        { "e", 0, "e" },
        { "", 0, "e" },
        { "d", MBTYPE_DELETED, "ed" },
        { "n", MBTYPE_NETNEWS, "n" },
        { "s", MBTYPE_JMAPSUBMIT, "s" },
        { "p", MBTYPE_JMAPPUSHSUB, "p" },
        { "f", MBTYPE_SIEVE, "f" },
        { "b", MBTYPE_COLLECTION, "b" },
        { "c", MBTYPE_CALENDAR, "c" },
        { "a", MBTYPE_ADDRESSBOOK, "a" },
        { "edmrzil", 0x3f0, "edmrzil" },
        { "lizrmda", 0x3fa, "admrzil" },
        { "df", MBTYPE_SIEVE | MBTYPE_DELETED, "fd" },
        { "ef", MBTYPE_SIEVE, "f" },
    };
    char buf[MBTYPE_STRING_MAX];
    uint32_t type;

    for (size_t i = 0; i < array_size(t); i++) {
        ck_assert_int_eq(mbtype_from_string(t[i].text, &type), 0);
        ck_assert_uint_eq(type, t[i].type);
        ck_assert_str_eq(mbtype_to_string(type, buf), t[i].back);
    }
    ck_assert_int_eq(mbtype_from_string("ex", &type), IMAP_MAILBOX_BADTYPE);
    ck_assert_int_eq(mbtype_from_string("ec", &type), IMAP_MAILBOX_BADTYPE);
    ck_assert_str_eq(mbtype_to_string(0x4, buf), "e");
}
END_TEST

START_TEST(keys)
{
    struct buf out = BUF_INITIALIZER;

    mbentry_key_racl(true, "bob", "user.alice.newfoo", &out);
    ck_assert_str_eq(buf_cstring(&out), "AU\x1e"
                                        "bob\x1e"
                                        "user\x1f"
                                        "alice\x1f"
                                        "newfoo");
    buf_reset(&out);
    mbentry_key_racl(false, "group:x", NULL, &out);
    ck_assert_str_eq(buf_cstring(&out), "AS\x1e"
                                        "group:x\x1e");
    buf_free(&out);
}
END_TEST

static const struct {
    const char *key, *value, *n; /* as the upgrade writes it */
} old_records[] = {
    { "user.alice",
      "%(A %(alice lrswipkxtecdan bob lr) I 11111111-2222-3333-4444-555555555555 P default V 123 C "
      "1 F 5 M 456)",
      "%(T el I 11111111-2222-3333-4444-555555555555 P default V 123 C 1 F 5 M 1795311501 A "
      "%(alice lrswipkxtecdan bob lr))" },
    { "user.alice.old",
      "%(T d I 31111111-2222-3333-4444-555555555555 P default V 125 C 3 F 7 M 456)",
      "%(T edl I 31111111-2222-3333-4444-555555555555 P default V 125 C 3 F 7 M 1795311501 A "
      "%())" },
    { "user.v2", "(uniqueid 41111111-2222-3333-4444-555555555555) 0 default v2\tlrswipcda\t",
      "%(T el I 41111111-2222-3333-4444-555555555555 P default M 1795311501 A %(v2 lrswipcda))" },
    { "user.v1", "1 back!part anyone\tlrs\t",
      "%(T nl P part S back M 1795311501 A %(anyone lrs))" },
    { "user.v0", "0 default ", "%(T el P default M 1795311501 A %())" },
    { "user.su", "(uniqueid u1 specialuse \\Sent) 0 default x\tl\t",
      "%(T el I u1 P default M 1795311501 A %(x l))" },
};

START_TEST(older_formats)
{
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(old_records); i++) {
        mbentry_t *e = NULL;
        syncname_t key = syncname_of(old_records[i].key, strlen(old_records[i].key));
        ck_assert_int_eq(
            mbentry_parse_old(key, old_records[i].value, strlen(old_records[i].value), &e), 0);
        ck_assert_str_eq(e->name, old_records[i].key);
        if (i == 5) ck_assert_str_eq(e->legacy_specialuse, "\\Sent");
        e->mbtype |= MBTYPE_LEGACY_DIRS;
        mbentry_print_n(e, 1795311501, &out);
        ck_assert_str_eq(buf_cstring(&out), old_records[i].n);
        mbentry_free(&e);
    }
    buf_free(&out);
}
END_TEST

START_TEST(bad_records)
{
    static const char *const bad[] = {
        "",
        "x",
        "(T e)",
        "%(T e",
        "%(T ex)",
        "%(T ec)",
        "%(V x)",
        "%(V -1)",
        "%(A (x))",
        "%(A %(x))",
        "%(M )",
        "%(T e) x",
        "%(A %(x (y)))",
        "%(P {5+}\r\nabc)",
        "%(P \"abc)",
        "%(H x)",
        "%(A %(\"a\tb\" l))",
    };
    mbentry_t *e;

    for (size_t i = 0; i < array_size(bad); i++) {
        dbname_t key = dbname_of("user\x1f"
                                 "a",
                                 6);
        ck_assert_msg(mbentry_parse_n(key, bad[i], strlen(bad[i]), &e) == IMAP_MAILBOX_BADFORMAT, "%s",
                      bad[i]);
        ck_assert_ptr_null(e);
        ck_assert_int_eq(mbentry_parse_i("id", 2, bad[i], strlen(bad[i]), &e),
                         IMAP_MAILBOX_BADFORMAT);
        ck_assert_msg(mbentry_parse_old(syncname_of("user.a", 6), bad[i], strlen(bad[i]), &e) ==
                          IMAP_MAILBOX_BADFORMAT,
                      "%s", bad[i]);
    }
    ck_assert_int_eq(mbentry_parse_n(dbname_of("", 0), "%(T e)", 6, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_n(dbname_of("a\0b", 3), "%(T e)", 6, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_i("id", 2, "%(T e)", 6, &e),
                     IMAP_MAILBOX_BADFORMAT); /* no name */
    /* database names that no internal name stands for */
    ck_assert_int_eq(mbentry_parse_i("id", 2, "%(T e N !)", 10, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_i("id", 2, "%(T e N a^)", 11, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_n(dbname_of("a!b", 3), "%(T e)", 6, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_old(syncname_of("user.a", 6), "0", 1, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_old(syncname_of("a/b", 3), "0 default a\tlrs\t", 16, &e), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(mbentry_parse_old(syncname_of("user.a", 6), "0 default x\tlrs\ty", 17, &e),
                     IMAP_MAILBOX_BADFORMAT);
}
END_TEST

/* Cut and changed records never do harm. */
START_TEST(mutations)
{
    srandom((unsigned)_i + 1);
    for (int k = 0; k < 3000; k++) {
        size_t i = (size_t)random() % array_size(records);
        size_t len = strlen(records[i].value);
        char *copy = with_separators(records[i].value);
        mbentry_t *e;
        for (int m = random() % 3; m >= 0; m--)
            copy[(size_t)random() % len] = "()% {}\"\\x1\x1f\n"[random() % 13];
        len -= (size_t)random() % 4;
        if (!mbentry_parse_i("id", 2, copy, len, &e)) {
            struct buf out = BUF_INITIALIZER;
            mbentry_t *again;
            mbentry_print_i(e, e->mtime, &out);
            ck_assert_int_eq(mbentry_parse_i("id", 2, out.s, out.len, &again), 0);
            mbentry_free(&again);
            buf_free(&out);
        }
        mbentry_free(&e);
        free(copy);
    }
}
END_TEST

Suite *mbentry_suite(void)
{
    Suite *s = suite_create("mbentry");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, records_of_3_6_1);
    tcase_add_test(tc, fields);
    tcase_add_test(tc, types);
    tcase_add_test(tc, keys);
    tcase_add_test(tc, older_formats);
    tcase_add_test(tc, bad_records);
    tcase_add_loop_test(tc, mutations, 0, 5);
    suite_add_tcase(s, tc);
    return s;
}
