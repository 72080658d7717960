/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of conversations.db: those of 3.6.1 (handbook 01 §5.5, §5.13) are read
 * and written back byte for byte; older forms are read.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conv_codec.h"
#include "imap_err.h"
#include "testutil.h"
#include "util.h"

#define T1 "(b3c0003af2d5b70a9dd59056fc478612c34b35ff 1 1675764000)"
#define T2 "(3c8b7e5c1a6ff592945ea50708e9cc5982a0c879 1 1675764060)"
#define T3 "(b38827a7bf0262b307f14f91f2e41ff2712cfe8e 1 1675764120)"
#define T4 "(13c2e9425f27ad86ce4ee1ec37a4d91b2e485305 1 1675771200)"
#define F3 "(0 16 2 0 0) (1 12 1 1 0) (2 15 1 1 1)"
#define ANN "(Ann NIL Ann Example.COM 1675677600 1)"
#define BEA "(Bea NIL bea example.com 1675677600 1)"
#define BOB "(Bob NIL bob example.com 1675677600 1)"
#define CEL "(=?utf-8?q?C=C3=A9line?= NIL celine example.com 1675677600 1)"

/* clang-format off */
static const char *const b_records[] = {
    "1 (7 1 1 1 (0 0 0) ((0 7 1 1 1)) (" ANN ") Projectplan 153 (" T1 ") 7)",
    "1 (8 2 2 1 (0 1 0) ((0 8 2 2 1)) (" ANN " " BEA ") Projectplan 378 (" T1 " " T2 ") 7)",
    "1 (9 1 1 1 (0 0 0) ((0 9 1 1 1)) (" CEL ") {9+}\r\nCaf\xc3\xa9plan 220 (" T3 ") 9)",
    "1 (16 2 2 0 (0 1 0) (" F3 ") (" ANN " " BEA ") Projectplan 378 (" T1 " " T2 ") 7)",
    "1 (25 1 1 0 (1 0 0) ((0 25 1 1 0)) (" BOB ") NIL 148 (" T4 ") 25)",
    "1 (3 1 1 0 () ((0 3 1 1 0)) () \"\" 0 () 3)",
    "1 (3 1 1 0 () () () {6+}\r\n\\alpha 0 () 3)",
};
/* clang-format on */

START_TEST(conversations)
{
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(b_records); i++) {
        struct conversation *conv = NULL;
        ck_assert_msg(!conv_record_parse(b_records[i], strlen(b_records[i]), &conv), "%s",
                      b_records[i]);
        conv_record_print(conv, &out);
        ck_assert_str_eq(buf_cstring(&out), b_records[i]);
        conversation_free(&conv);
        ck_assert_ptr_null(conv);
    }
    conv_record_key(UINT64_C(0x2233d9dbf9bcbc18), &out);
    ck_assert_str_eq(buf_cstring(&out), "B2233d9dbf9bcbc18");
    buf_free(&out);
}
END_TEST

START_TEST(conversation_fields)
{
    struct conversation *conv = NULL;

    ck_assert_int_eq(conv_record_parse(b_records[3], strlen(b_records[3]), &conv), 0);
    ck_assert_uint_eq(conv->version, 1);
    ck_assert_uint_eq(conv->modseq, 16);
    ck_assert_uint_eq(conv->num_records, 2);
    ck_assert_uint_eq(conv->unseen, 0);
    ck_assert_uint_eq(conv->ncounts, 3);
    ck_assert_uint_eq(conv->counts[1], 1);
    ck_assert_uint_eq(conv->nfolders, 3);
    ck_assert_uint_eq(conv->folders[2].modseq, 15);
    ck_assert_uint_eq(conv->folders[2].unseen, 1);
    ck_assert_uint_eq(conv->nsenders, 2);
    ck_assert_str_eq(conv->senders[1].mailbox, "bea");
    ck_assert_ptr_null(conv->senders[1].route);
    ck_assert_int_eq(conv->senders[1].lastseen, 1675677600);
    ck_assert_str_eq(conv->subject, "Projectplan");
    ck_assert_uint_eq(conv->size, 378);
    ck_assert_uint_eq(conv->nthread, 2);
    ck_assert_int_eq(conv->thread[1].internaldate, 1675764060);
    ck_assert_uint_eq(conv->createdmodseq, 7);
    conversation_free(&conv);
}
END_TEST

/* Order of the parts, and what is left out. */
START_TEST(conversation_order)
{
    static const char text[] = "1 (1 2 2 0 () ((5 1 1 1 0) (2 1 0 0 0) (1 1 1 1 0)) ((A NIL z "
                               "B.org 10 1) (B NIL a c.org 20 1) (C NIL Y b.org 10 1) "
                               "(D NIL a b.org 10 1)) s 0 (" T2 " " T1
                               " (0000000000000000000000000000000000000001 1 1675764060)) 1)";
    struct buf out = BUF_INITIALIZER;
    struct conversation *conv = NULL;

    ck_assert_int_eq(conv_record_parse(text, strlen(text), &conv), 0);
    conv_record_print(conv, &out);
    ck_assert_str_eq(buf_cstring(&out),
                     "1 (1 2 2 0 () ((1 1 1 1 0) (5 1 1 1 0)) ((B NIL a c.org 20 1) (D NIL a b.org "
                     "10 1) (C NIL Y b.org 10 1) "
                     "(A NIL z B.org 10 1)) s 0 (" T1
                     " (0000000000000000000000000000000000000001 1 1675764060) " T2 ") 1)");
    conversation_free(&conv);

    /* at most 99 senders, the newest */
    buf_setcstr(&out, "1 (1 1 1 0 () () (");
    for (int i = 0; i < 120; i++) buf_printf(&out, "%s(NIL NIL u%d d %d 1)", i ? " " : "", i, i);
    buf_appendcstr(&out, ") s 0 () 1)");
    ck_assert_int_eq(conv_record_parse(out.s, out.len, &conv), 0);
    ck_assert_uint_eq(conv->nsenders, 120);
    conv_record_print(conv, &out);
    conversation_free(&conv);
    ck_assert_int_eq(conv_record_parse(out.s, out.len, &conv), 0);
    ck_assert_uint_eq(conv->nsenders, 99);
    ck_assert_str_eq(conv->senders[0].mailbox, "u119");
    conversation_free(&conv);
    buf_free(&out);
}
END_TEST

/* Older records end early. */
START_TEST(conversation_versions)
{
    static const struct {
        const char *text;
        const char *subject;
        uint64_t size;
        size_t nthread;
        modseq_t created;
    } t[] = {
        { "0 (7 1 1 1 () ((0 7 1 1 1)) (" ANN "))", NULL, 0, 0, 0 },
        { "0 (7 1 1 1 () ((0 7 1 1 1)) (" ANN ") sub)", "sub", 0, 0, 0 },
        { "0 (7 1 1 1 () ((0 7 1 1 1)) (" ANN ") sub 12)", "sub", 12, 0, 0 },
        { "1 (7 1 1 1 () ((0 7 1 1 1)) (" ANN ") NIL 12 (" T1 "))", NULL, 12, 1, 0 },
        { "1 (7 1 1 1 () ((0 7 1 1 1)) (" ANN ") NIL 12 (" T1 ") 4)", NULL, 12, 1, 4 },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct conversation *conv = NULL;
        ck_assert_int_eq(conv_record_parse(t[i].text, strlen(t[i].text), &conv), 0);
        ck_assert_int_eq(conv->version, t[i].text[0] - '0');
        ck_assert_int_eq(strcmpnull(conv->subject, t[i].subject), 0);
        ck_assert_uint_eq(conv->size, t[i].size);
        ck_assert_uint_eq(conv->nthread, t[i].nthread);
        ck_assert_uint_eq(conv->createdmodseq, t[i].created);
        conversation_free(&conv);
    }
}
END_TEST

START_TEST(conversation_refused)
{
    static const char *const bad[] = {
        "",
        "1",
        "2 (7 1 1 1 () () ())",
        "1 (7 1 1 1 ())",
        "1 (7 1 1 1 () () () s 1 () 1 2)",
        "1 (7 1 1 1 () () () s x)",
        "1 (7 1 1 1 () ((0 7 1 1)) ())",
        "1 (7 1 1 1 () () ((A NIL b c 1)))",
        "1 (7 1 1 1 () () () s 1 ((xyz 1 1)))",
        "1 (7 1 1 1 (x) () ())",
        "1 (7 1 1 1 () () () s 1 () 1) x",
        "1 %(7 1 1 1 () () ())",
        "1 (-7 1 1 1 () () ())",
    };
    struct conversation *conv;

    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(conv_record_parse(bad[i], strlen(bad[i]), &conv) == IMAP_MAILBOX_BADFORMAT,
                      "%s", bad[i]);
        ck_assert_ptr_null(conv);
    }
}
END_TEST

START_TEST(conversation_mutations)
{
    struct buf out = BUF_INITIALIZER;

    srandom((unsigned)_i + 1);
    for (int k = 0; k < 3000; k++) {
        char *copy = strdup(b_records[(size_t)random() % array_size(b_records)]);
        size_t len = strlen(copy);
        struct conversation *conv = NULL;
        for (int m = random() % 3; m >= 0; m--)
            copy[(size_t)random() % len] = "()% {}\"\\1aN"[random() % 11];
        len -= (size_t)random() % 4;
        if (!conv_record_parse(copy, len, &conv)) {
            conv_record_print(conv, &out);
            conversation_free(&conv);
            ck_assert_int_eq(conv_record_parse(out.s, out.len, &conv), 0);
        }
        conversation_free(&conv);
        free(copy);
    }
    buf_free(&out);
}
END_TEST

/* ---- G ---- */

static const struct {
    const char *key, *hex;
} g_records[] = {
    { "Gb3c0003af2d5b70a9dd59056fc478612c34b35ff:0:1",
      "82 2233d9dbf9bcbc18 00000010 00000000 0000000063e22120" },
    { "Gaa5916ae7fd159a18b1b72ea905c757207e26689:0:1[1]",
      "822233d9dbf9bcbc1800000000000000000000000063e22120" },
    { "G3c8b7e5c1a6ff592945ea50708e9cc5982a0c879:2:1",
      "822233d9dbf9bcbc1800000002000000000000000063e2215c" },
    { "G3c8b7e5c1a6ff592945ea50708e9cc5982a0c879:0:2",
      "822233d9dbf9bcbc1800000006800000000000000063e2215c" },
    { "Gb0a41185a4e6b7797950ca81c16a6ee056708744:0:5[3.1]",
      "822157c864af8fbc6b00000010080000000000000063e2305c" },
};

START_TEST(guid_records)
{
    struct buf val = BUF_INITIALIZER, key = BUF_INITIALIZER;
    struct conv_guidrec g;
    char out[CONV_GUIDREC_VALUE_SIZE];

    for (size_t i = 0; i < array_size(g_records); i++) {
        test_unhex(g_records[i].hex, &val);
        ck_assert_int_eq(
            conv_guidrec_parse(g_records[i].key, strlen(g_records[i].key), val.s, val.len, &g), 0);
        ck_assert_uint_eq(g.version, 2);
        conv_guidrec_key(&g, &key);
        ck_assert_str_eq(buf_cstring(&key), g_records[i].key);
        conv_guidrec_value(&g, out);
        test_assert_bytes_eq(out, sizeof(out), val.s, val.len);
    }
    ck_assert_str_eq(g.part, "3.1");
    ck_assert_uint_eq(g.uid, 5);
    ck_assert_uint_eq(g.cid, UINT64_C(0x2157c864af8fbc6b));
    ck_assert_uint_eq(g.system_flags, FLAG_SEEN);
    ck_assert_uint_eq(g.internal_flags, FLAG_INTERNAL_SPLITCONVERSATION);
    ck_assert_int_eq(g.internaldate, 0x63e2305c);
    conv_guidrec_key_prefix(&g.guid, &key);
    ck_assert_str_eq(buf_cstring(&key), "Gb0a41185a4e6b7797950ca81c16a6ee056708744:");
    buf_free(&val);
    buf_free(&key);
}
END_TEST

static int collect(const struct conv_guidrec *g, void *rock)
{
    struct buf *out = rock;

    buf_printf(out, "%u:%u[%s] ", g->foldernum, g->uid, g->part);
    return 0;
}

static int stop(const struct conv_guidrec *g, void *rock)
{
    return 77;
}

START_TEST(guid_records_old)
{
    static const char key[] = "Gb3c0003af2d5b70a9dd59056fc478612c34b35ff:12:7";
    static const char oldkey[] = "Gb3c0003af2d5b70a9dd59056fc478612c34b35ff";
    struct conv_guidrec g;
    struct buf out = BUF_INITIALIZER;

    ck_assert_int_eq(conv_guidrec_parse(key, strlen(key), "", 0, &g), 0);
    ck_assert_uint_eq(g.version, 0);
    ck_assert_uint_eq(g.foldernum, 12);
    ck_assert_uint_eq(g.cid, 0);
    ck_assert_int_eq(conv_guidrec_parse(key, strlen(key), "2233d9dbf9bcbc18", 16, &g), 0);
    ck_assert_uint_eq(g.version, 0);
    ck_assert_uint_eq(g.cid, UINT64_C(0x2233d9dbf9bcbc18));

    ck_assert(conv_guidrec_key_isold(oldkey, 41));
    ck_assert(!conv_guidrec_key_isold(key, strlen(key)));
    ck_assert_int_eq(conv_guidrec_parse_old(oldkey, 41, "0:1,2:33[1.2],4:5", 17, collect, &out), 0);
    ck_assert_str_eq(buf_cstring(&out), "0:1[] 2:33[1.2] 4:5[] ");
    ck_assert_int_eq(conv_guidrec_parse_old(oldkey, 41, "0:1,2:3", 7, stop, NULL), 77);
    ck_assert_int_eq(conv_guidrec_parse_old(oldkey, 41, "0:1,2", 5, collect, &out),
                     IMAP_MAILBOX_BADFORMAT);
    buf_free(&out);
}
END_TEST

START_TEST(guid_records_refused)
{
#define GUID "Gb3c0003af2d5b70a9dd59056fc478612c34b35ff"
    static const char *const keys[] = { "G",
                                        GUID,
                                        GUID ":",
                                        GUID ":1",
                                        GUID ":1:",
                                        GUID ":x:1",
                                        GUID ":1:1[",
                                        GUID ":1:1[]",
                                        GUID ":1:1[1",
                                        GUID ":1:1[a]",
                                        GUID ":1:1x",
                                        GUID "-1:1",
                                        GUID ":1:4294967296",
                                        "Gz3c0003af2d5b70a9dd59056fc478612c34b35ff:1:1" };
    struct conv_guidrec g;
    char val[26] = { (char)0x82 };

    for (size_t i = 0; i < array_size(keys); i++)
        ck_assert_msg(conv_guidrec_parse(keys[i], strlen(keys[i]), val, 25, &g) ==
                          IMAP_MAILBOX_BADFORMAT,
                      "%s", keys[i]);
    ck_assert_int_eq(conv_guidrec_parse(GUID ":1:1", 45, val, 24, &g), IMAP_MAILBOX_BADFORMAT);
    val[0] = (char)0x83;
    ck_assert_int_eq(conv_guidrec_parse(GUID ":1:1", 45, val, 25, &g), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(conv_guidrec_parse(GUID ":1:1", 45, "2233d9dbf9bcbc1", 15, &g),
                     IMAP_MAILBOX_BADFORMAT);
}
END_TEST

/* ---- the small ones ---- */

START_TEST(message_ids)
{
    static const char *const same[] = { "0 2233d9dbf9bcbc18 1795310566",
                                        "0 2233d9dbf9bcbc18,227bfe46b46b69a1 1795310566" };
    static const char *const bad[] = { "",
                                       "0",
                                       "0 ",
                                       "0 x 1",
                                       "1 2233d9dbf9bcbc18 1",
                                       "0 2233d9dbf9bcbc18",
                                       "0 2233d9dbf9bcbc18 ",
                                       "0 2233d9dbf9bcbc18, 1",
                                       "0 2233d9dbf9bcbc18 1x",
                                       "0 2233d9dbf9bcbc18;2233d9dbf9bcbc18 1" };
    struct conv_msgid m;
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(same); i++) {
        ck_assert_int_eq(conv_msgid_parse(same[i], strlen(same[i]), &m), 0);
        ck_assert_uint_eq(m.ncids, i + 1);
        ck_assert_int_eq(m.stamp, 1795310566);
        conv_msgid_print(&m, &out);
        ck_assert_str_eq(buf_cstring(&out), same[i]);
        conv_msgid_fini(&m);
    }
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_msg(conv_msgid_parse(bad[i], strlen(bad[i]), &m) == IMAP_MAILBOX_BADFORMAT, "%s",
                      bad[i]);
        ck_assert_ptr_null(m.cids);
    }
    buf_free(&out);
}
END_TEST

START_TEST(folder_lists)
{
    static const char *const same[] = { "()", "(wjy7bd51qpxry3mofvvcmzo8)",
                                        "(wjy7bd51qpxry3mofvvcmzo8 - hbyqmtrdn4slv1h1o86jeuqf)",
                                        "(- user.alice \"user.a b\")" };
    strarray_t folders = STRARRAY_INITIALIZER, flags = STRARRAY_INITIALIZER;
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(same); i++) {
        ck_assert_int_eq(conv_folders_parse(same[i], strlen(same[i]), &folders), 0);
        conv_folders_print(&folders, &out);
        ck_assert_str_eq(buf_cstring(&out), same[i]);
    }
    ck_assert_ptr_null(strarray_nth(&folders, 0));
    ck_assert_str_eq(strarray_nth(&folders, 2), "user.a b");
    ck_assert_int_eq(conv_folders_parse("(a", 2, &folders), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(folders.count, 0);
    ck_assert_int_eq(conv_folders_parse("(a (b))", 7, &folders), IMAP_MAILBOX_BADFORMAT);

    const char *text = "\\Draft \\Flagged $IsMailingList";
    ck_assert_int_eq(conv_counted_flags_parse(text, strlen(text), &flags), 0);
    ck_assert_int_eq(flags.count, 3);
    conv_counted_flags_print(&flags, &out);
    ck_assert_str_eq(buf_cstring(&out), text);
    strarray_fini(&folders);
    strarray_fini(&flags);
    buf_free(&out);
}
END_TEST

START_TEST(status_and_quota)
{
    struct conv_status st;
    struct conv_quota q;
    struct buf out = BUF_INITIALIZER;

    ck_assert_int_eq(conv_status_parse("0 (16 1 2 3 4)", 14, &st), 0);
    ck_assert_uint_eq(st.threadmodseq, 16);
    ck_assert_uint_eq(st.threadunseen, 2);
    ck_assert_uint_eq(st.emailunseen, 4);
    conv_status_print(&st, &out);
    ck_assert_str_eq(buf_cstring(&out), "0 (16 1 2 3 4)");
    ck_assert_int_eq(conv_status_parse("1 (16 1 2 3 4)", 14, &st), IMAP_MAILBOX_BADFORMAT);
    ck_assert_int_eq(conv_status_parse("0 (16 1 2 3)", 12, &st), IMAP_MAILBOX_BADFORMAT);
    conv_status_key("wjy7", &out);
    ck_assert_str_eq(buf_cstring(&out), "Fwjy7");

    ck_assert_int_eq(conv_quota_parse("1 %(E 3 S 598)", 14, &q), 0);
    ck_assert_int_eq(q.emails, 3);
    ck_assert_int_eq(q.storage, 598);
    conv_quota_print(&q, &out);
    ck_assert_str_eq(buf_cstring(&out), "1 %(E 3 S 598)");
    ck_assert_int_eq(conv_quota_parse("0 %(E 3 S 598)", 14, &q), IMAP_MAILBOX_BADFORMAT);
    buf_free(&out);

    conversation_id_t cid;
    char hex[CONV_ID_STRLEN];
    ck_assert_str_eq(conversation_id_encode(0xab, hex), "00000000000000ab");
    ck_assert(conversation_id_decode("00000000000000AB", 16, &cid) && cid == 0xab);
    ck_assert(!conversation_id_decode("ab", 2, &cid));

    struct message_guid guid;
    ck_assert(message_guid_decode(&guid, "b0a41185a4e6b7797950ca81c16a6ee056708744", 40));
    ck_assert_uint_eq(conversation_id_from_guid(&guid), UINT64_C(0x2157c864af8fbc6b));
    ck_assert(message_guid_decode(&guid, "91f3d9e10b690b120000000000000000000000aa", 40));
    ck_assert_uint_eq(conversation_id_from_guid(&guid), 1);
}
END_TEST

Suite *conv_codec_suite(void)
{
    Suite *s = suite_create("conv_codec");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, conversations);
    tcase_add_test(tc, conversation_fields);
    tcase_add_test(tc, conversation_order);
    tcase_add_test(tc, conversation_versions);
    tcase_add_test(tc, conversation_refused);
    tcase_add_loop_test(tc, conversation_mutations, 0, 5);
    tcase_add_test(tc, guid_records);
    tcase_add_test(tc, guid_records_old);
    tcase_add_test(tc, guid_records_refused);
    tcase_add_test(tc, message_ids);
    tcase_add_test(tc, folder_lists);
    tcase_add_test(tc, status_and_quota);
    suite_add_tcase(s, tc);
    return s;
}
