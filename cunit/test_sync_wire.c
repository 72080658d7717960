/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sync_wire -- folders, records, annotations and quotas: the text of 3.6.1 read and printed again
 *
 * The lines are those of recorded sessions. What is read and printed again must be
 * the same bytes, and its checksums those that 3.6.1 has computed.
 */
#include <config.h>

#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "quota_codec.h"
#include "sync_crc.h"
#include "sync_folder.h"
#include "sync_quota.h"
#include "sync_record.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

Suite *sync_wire_suite(void);

static struct dlist *parse(const char *text)
{
    struct dlist *dl = NULL;

    ck_assert_msg(!dlist_parsemap(&dl, true, text, strlen(text)), "%s", text);
    return dl;
}

static void assert_prints(const struct dlist *dl, const char *want)
{
    struct buf text = BUF_INITIALIZER;

    dlist_printbuf(dl, true, &text);
    ck_assert_str_eq(buf_cstring(&text), want);
    buf_free(&text);
}

/* ---- folders ---- */

#define INBOX_HEAD                                                                                \
    "MAILBOX %(UNIQUEID e9ne1rfiwso8hvftpxli4lt5 MBOXNAME user.anna SYNC_CRC 1482202064 "         \
    "SYNC_CRC_ANNOT 2491749228 LAST_UID 3 HIGHESTMODSEQ 19 RECENTUID 3 RECENTTIME 1795310098 "    \
    "LAST_APPENDDATE 1795310098 POP3_LAST_LOGIN 0 POP3_SHOW_AFTER 0 XCONVMODSEQ 19 UIDVALIDITY "  \
    "1795310099 PARTITION default ACL \"anna\tlrswipkxtecdan\t\" OPTIONS P QUOTAROOT user.anna "  \
    "CREATEDMODSEQ 1 FOLDERMODSEQ 1"

static const char *const folders[] = {
    INBOX_HEAD ")",
    INBOX_HEAD " SINCE_MODSEQ 19 SINCE_CRC 1482202064 SINCE_CRC_ANNOT 2491749228)",
    "MAILBOX %(UNIQUEID fhkz96auc6r4c9o20xjoacy9 MBOXNAME user.anna.Sent SYNC_CRC 1017542571 "
    "SYNC_CRC_ANNOT 3526562387 LAST_UID 1 HIGHESTMODSEQ 16 RECENTUID 0 RECENTTIME 0 "
    "LAST_APPENDDATE 1795310098 POP3_LAST_LOGIN 0 POP3_SHOW_AFTER 0 XCONVMODSEQ 16 UIDVALIDITY "
    "1795310101 PARTITION default ACL \"anna\tlrswipkxtecdan\t\" OPTIONS P QUOTAROOT user.anna "
    "CREATEDMODSEQ 6 FOLDERMODSEQ 16 ANNOTATIONS (%(ENTRY /specialuse USERID anna MODSEQ 0 VALUE "
    "{5+}\r\n\\Sent)))",
    "MAILBOX %(UNIQUEID x MBOXNAME \"user.a b\" MBOXTYPE f SYNC_CRC 0 SYNC_CRC_ANNOT 12345678 "
    "LAST_UID 0 HIGHESTMODSEQ 1 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 "
    "POP3_SHOW_AFTER 0 UIDVALIDITY 1 PARTITION default ACL \"\" OPTIONS PSDA)",
};

START_TEST(test_folder_round_trip)
{
    for (size_t i = 0; i < array_size(folders); i++) {
        struct dlist *dl = parse(folders[i]);
        struct sync_folder folder;
        ck_assert_int_eq(sync_folder_parse(dl, false, &folder), 0);
        struct dlist *again = sync_folder_print(&folder, "MAILBOX");
        assert_prints(again, folders[i]);
        dlist_free(&again);
        dlist_free(&dl);
        sync_folder_fini(&folder);
    }
}
END_TEST

START_TEST(test_folder_intermediate)
{
    const char *text =
        "MAILBOX %(UNIQUEID u MBOXNAME user.a.b MBOXTYPE ei SYNC_CRC 0 LAST_UID 0 HIGHESTMODSEQ 0 "
        "RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 POP3_SHOW_AFTER 0 UIDVALIDITY "
        "7 PARTITION NIL ACL \"\" OPTIONS \"\" CREATEDMODSEQ 3 FOLDERMODSEQ 4)";
    mbentry_t *entry = mbentry_new("user.a.b");
    struct sync_folder folder;

    entry->uniqueid = xstrdup("u");
    entry->mbtype = MBTYPE_INTERMEDIATE | MBTYPE_LEGACY_DIRS;
    entry->uidvalidity = 7;
    entry->createdmodseq = 3;
    entry->foldermodseq = 4;
    sync_folder_read_intermediate(entry, &folder);
    struct dlist *dl = sync_folder_print(&folder, "MAILBOX");
    assert_prints(dl, text);
    sync_folder_fini(&folder);
    ck_assert_int_eq(sync_folder_parse(dl, false, &folder), 0);
    ck_assert(!sync_folder_is_plain(&folder));
    ck_assert_ptr_null(folder.partition);
    sync_folder_fini(&folder);
    dlist_free(&dl);
    mbentry_free(&entry);
}
END_TEST

START_TEST(test_folder_required)
{
    static const struct { const char *text; bool forapply; int r; } rows[] = {
        { "MAILBOX %(UNIQUEID x)", true, IMAP_PROTOCOL_BAD_PARAMETERS },
        { INBOX_HEAD ")", true, IMAP_PROTOCOL_BAD_PARAMETERS }, /* no RECORD */
        { INBOX_HEAD " RECORD ())", true, 0 },
        { INBOX_HEAD " RECORD 1)", true, IMAP_PROTOCOL_BAD_PARAMETERS },
        { INBOX_HEAD " UNKNOWN (1 2) RECORD ())", true, 0 },
        { "MAILBOX %(UNIQUEID x MBOXNAME y MBOXTYPE ei HIGHESTMODSEQ 4)", true, 0 },
        { "MAILBOX %(UNIQUEID x MBOXNAME y MBOXTYPE ed HIGHESTMODSEQ 4)", true, 0 },
        { "MAILBOX %(UNIQUEID x MBOXNAME y MBOXTYPE ei)", true, IMAP_PROTOCOL_BAD_PARAMETERS },
        { "MAILBOX %(UNIQUEID NIL MBOXNAME y MBOXTYPE ei HIGHESTMODSEQ 1)", true,
          IMAP_PROTOCOL_BAD_PARAMETERS },
        { "MAILBOX %(UNIQUEID x MBOXNAME y HIGHESTMODSEQ 12a)", false,
          IMAP_PROTOCOL_BAD_PARAMETERS },
        { INBOX_HEAD " ANNOTATIONS (%(ENTRY /comment USERID \"\")) RECORD ())", true,
          IMAP_PROTOCOL_BAD_PARAMETERS },
        { INBOX_HEAD " ANNOTATIONS NIL RECORD ())", true, 0 },
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct dlist *dl = parse(rows[i].text);
        struct sync_folder folder;
        ck_assert_msg(sync_folder_parse(dl, rows[i].forapply, &folder) == rows[i].r, "%s",
                      rows[i].text);
        sync_folder_fini(&folder);
        dlist_free(&dl);
    }
}
END_TEST

/* ---- records, with the checksums of handbook 03 §5.4 ---- */

static const char *const vector_b[] = {
    "RECORD (%(UID 1 MODSEQ 21 LAST_UPDATED 1795310152 FLAGS (\\Seen $Junk) INTERNALDATE 1793534401 "
    "SIZE 138 GUID f1d4ee09e67dfb2e70728e34d79eb0b99766f0be ANNOTATIONS (%(ENTRY /comment USERID "
    "anna MODSEQ 18 VALUE note) %(ENTRY /vendor/cmu/cyrus-imapd/thrid USERID \"\" MODSEQ 0 VALUE "
    "602737e8ed14f03c) %(ENTRY /vendor/cmu/cyrus-imapd/savedate USERID \"\" MODSEQ 0 VALUE "
    "1795310098) %(ENTRY /vendor/cmu/cyrus-imapd/createdmodseq USERID \"\" MODSEQ 0 VALUE 8))))",
    "RECORD (%(UID 3 MODSEQ 22 LAST_UPDATED 1795310152 FLAGS (\\Flagged) INTERNALDATE 1793534403 "
    "SIZE 140 GUID 04c2e09fddd638e4a6815eea4e1b92cf5a735910 ANNOTATIONS (%(ENTRY "
    "/vendor/cmu/cyrus-imapd/thrid USERID \"\" MODSEQ 0 VALUE 9531397ed6bf33f6) %(ENTRY "
    "/vendor/cmu/cyrus-imapd/savedate USERID \"\" MODSEQ 0 VALUE 1795310098) %(ENTRY "
    "/vendor/cmu/cyrus-imapd/createdmodseq USERID \"\" MODSEQ 0 VALUE 10))))",
    "RECORD (%(UID 4 MODSEQ 20 LAST_UPDATED 1795310152 FLAGS (\\Flagged) INTERNALDATE 1793534406 "
    "SIZE 138 GUID 246e03bab04f0829d81bbed9e18cf1899ee70efb ANNOTATIONS (%(ENTRY "
    "/vendor/cmu/cyrus-imapd/thrid USERID \"\" MODSEQ 0 VALUE b59dda5bbb26033b) %(ENTRY "
    "/vendor/cmu/cyrus-imapd/savedate USERID \"\" MODSEQ 0 VALUE 1795310152) %(ENTRY "
    "/vendor/cmu/cyrus-imapd/createdmodseq USERID \"\" MODSEQ 0 VALUE 20))))",
};

/* Both checksums of one record, its user flags in slots of their own. */
static void add_crcs(const struct sync_record *rec, uint32_t *basic, uint32_t *annot)
{
    struct index_record r = rec->rec;

    for (int i = 0; i < strarray_size(&rec->userflags); i++) index_record_set_user_flag(&r, i, true);
    *basic ^= sync_crc_record(&r, &rec->userflags);
    *annot ^= sync_crc_record_annots(&r, MAILBOX_MINOR_VERSION);
    for (size_t i = 0; i < rec->annots.n; i++) {
        const struct sync_annot *a = &rec->annots.v[i];
        *annot ^= sync_crc_annotation(r.uid, a->entry, a->userid, buf_base(&a->value),
                                      buf_len(&a->value));
    }
}

START_TEST(test_record_vectors)
{
    uint32_t basic = SYNC_CRC_BASIC_INIT, annot = SYNC_CRC_ANNOT_INIT;

    for (size_t i = 0; i < array_size(vector_b); i++) {
        struct dlist *dl = parse(vector_b[i]);
        struct sync_records records = SYNC_RECORDS_INITIALIZER;
        ck_assert_int_eq(sync_records_parse(dl, &records), 0);
        ck_assert_uint_eq(records.n, 1);
        add_crcs(&records.v[0], &basic, &annot);

        struct dlist *again = dlist_newlist(NULL, "RECORD");
        sync_record_print(&records.v[0], MAILBOX_MINOR_VERSION, again);
        assert_prints(again, vector_b[i]);
        dlist_free(&again);
        sync_records_fini(&records);
        dlist_free(&dl);
    }
    ck_assert_uint_eq(basic, 3361477086u);
    ck_assert_uint_eq(annot, 3130450615u);
}
END_TEST

#define REC(uid, modseq, flags)                                                                  \
    "%(UID " #uid " MODSEQ " #modseq " LAST_UPDATED 5 FLAGS (" flags ") INTERNALDATE 6 SIZE 3 "   \
    "GUID d33f3ecf7e390e18a5fc5bd67527b5b272c7a2ba)"

START_TEST(test_records_liberal)
{
    struct dlist *dl = parse("RECORD (" REC(4, 36, "\\seen \\WHAT Kw1 kW1 NIL") " " REC(
        4, 37, "\\Expunged Kw2 NIL") " " REC(9, 38, "") ")");
    struct sync_records records = SYNC_RECORDS_INITIALIZER;

    ck_assert_int_eq(sync_records_parse(dl, &records), 0);
    /* the same UID twice in a row: the last one wins */
    ck_assert_uint_eq(records.n, 2);
    ck_assert_uint_eq(records.v[0].rec.modseq, 37);
    ck_assert_uint_eq(records.v[0].rec.internal_flags, FLAG_INTERNAL_EXPUNGED);
    ck_assert_int_eq(strarray_size(&records.v[0].userflags), 2);
    ck_assert_str_eq(strarray_nth(&records.v[0].userflags, 1), "NIL");
    ck_assert_uint_eq(records.v[1].rec.uid, 9);

    struct dlist *again = dlist_newlist(NULL, "RECORD");
    struct buf text = BUF_INITIALIZER;
    sync_record_print(&records.v[0], MAILBOX_MINOR_VERSION, again);
    dlist_printbuf(again, false, &text);
    /* a bare NIL would be no flag */
    ck_assert_ptr_nonnull(strstr(buf_cstring(&text), "FLAGS (\\Expunged Kw2 \"NIL\")"));
    buf_free(&text);
    dlist_free(&again);
    sync_records_fini(&records);
    dlist_free(&dl);
}
END_TEST

START_TEST(test_records_bad)
{
    static const char *const rows[] = {
        "RECORD (x)",
        "RECORD (%(UID 1))",
        "RECORD (" REC(1, x, "") ")",
        "RECORD (%(UID 1 MODSEQ 1 LAST_UPDATED 5 FLAGS 1 INTERNALDATE 6 SIZE 3 GUID "
        "d33f3ecf7e390e18a5fc5bd67527b5b272c7a2ba))",
        "RECORD (%(UID 1 MODSEQ 1 LAST_UPDATED 5 FLAGS () INTERNALDATE 6 SIZE 3 GUID d33f))",
        "RECORD (%(UID 1 MODSEQ 1 LAST_UPDATED 5 FLAGS () INTERNALDATE 6 SIZE 3 GUID "
        "d33f3ecf7e390e18a5fc5bd67527b5b272c7a2ba ANNOTATIONS (%(ENTRY /comment))))",
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct dlist *dl = parse(rows[i]);
        struct sync_records records = SYNC_RECORDS_INITIALIZER;
        ck_assert_msg(sync_records_parse(dl, &records) == IMAP_PROTOCOL_ERROR, "%s", rows[i]);
        sync_records_fini(&records);
        dlist_free(&dl);
    }
}
END_TEST

START_TEST(test_record_old_version)
{
    /* an index of version 12 has no fields for these: they are stored as annotations */
    struct dlist *dl = parse(vector_b[1]);
    struct sync_records records = SYNC_RECORDS_INITIALIZER;
    struct index_record rec;

    ck_assert_int_eq(sync_records_parse(dl, &records), 0);
    rec = records.v[0].rec;
    sync_record_fit(&records.v[0], 12, &rec);
    ck_assert_uint_eq(records.v[0].annots.n, 3);
    const struct sync_annot *thrid = sync_annots_find(&records.v[0].annots, IMAP_ANNOT_NS "thrid", "");
    ck_assert_ptr_nonnull(thrid);
    ck_assert_bytes_eq(buf_base(&thrid->value), buf_len(&thrid->value), "9531397ed6bf33f6", 16);
    sync_records_fini(&records);

    ck_assert_int_eq(sync_records_parse(dl, &records), 0);
    sync_record_fit(&records.v[0], MAILBOX_MINOR_VERSION, &rec);
    ck_assert_uint_eq(records.v[0].annots.n, 0);
    ck_assert(!(rec.internal_flags & FLAG_INTERNAL_SNOOZED));
    sync_annots_add(&records.v[0].annots, IMAP_ANNOT_NS "snoozed", "", "x", 1, 1);
    sync_record_fit(&records.v[0], MAILBOX_MINOR_VERSION, &rec);
    ck_assert(rec.internal_flags & FLAG_INTERNAL_SNOOZED);
    sync_records_fini(&records);
    dlist_free(&dl);
}
END_TEST

/* ---- quota ---- */

START_TEST(test_quota)
{
    static const struct { const char *text, *again; int64_t storage; } rows[] = {
        { "QUOTA %(ROOT user.anna LIMIT 10000 STORAGE 10000 MESSAGE 500 MODSEQ 18)", NULL, 10000 },
        { "QUOTA %(ROOT user.anna LIMIT 4294967295 MODSEQ 2)", NULL, -1 },
        { "QUOTA %(ROOT r LIMIT 4294967295 STORAGE 5000000000 X-ANNOTATION-STORAGE 7 X-NUM-FOLDERS "
          "8 MODSEQ 2)",
          NULL, 5000000000 },
        { "QUOTA %(ROOT r LIMIT 7)", "QUOTA %(ROOT r LIMIT 7 STORAGE 7 MODSEQ 0)", 7 },
        { "QUOTA %(ROOT r LIMIT 7 STORAGE 9 MODSEQ 1)", "QUOTA %(ROOT r LIMIT 9 STORAGE 9 MODSEQ 1)", 9 },
    };
    struct quota q;

    for (size_t i = 0; i < array_size(rows); i++) {
        struct dlist *dl = parse(rows[i].text);
        ck_assert_int_eq(sync_quota_parse(dl, &q), 0);
        ck_assert_int_eq(q.limits[QUOTA_STORAGE], rows[i].storage);
        struct dlist *again = sync_quota_print(&q, "QUOTA");
        assert_prints(again, rows[i].again ? rows[i].again : rows[i].text);
        dlist_free(&again);
        dlist_free(&dl);
        quota_free(&q);
    }
    struct dlist *dl = parse("QUOTA %(ROOT r)");
    ck_assert_int_eq(sync_quota_parse(dl, &q), IMAP_PROTOCOL_BAD_PARAMETERS);
    dlist_free(&dl);
}
END_TEST

/* ---- annotations ---- */

START_TEST(test_annots_order)
{
    struct sync_annots a = SYNC_ANNOTS_INITIALIZER, b = SYNC_ANNOTS_INITIALIZER;

    sync_annots_add(&a, "/comment", "anna", "x\0y", 3, 1);
    sync_annots_add(&a, "/comment", "", "shared", 6, 2);
    sync_annots_add(&a, "/altsubject", "zoe", "s", 1, 3);
    sync_annots_sort(&a);
    ck_assert_str_eq(a.v[0].entry, "/altsubject");
    ck_assert_str_eq(a.v[1].userid, "");
    ck_assert_uint_eq(buf_len(&a.v[2].value), 3);

    for (size_t i = a.n; i-- > 0;)
        sync_annots_add(&b, a.v[i].entry, a.v[i].userid, buf_base(&a.v[i].value),
                        buf_len(&a.v[i].value), 99);
    sync_annots_sort(&b);
    ck_assert(sync_annots_equal(&a, &b)); /* modseqs do not count */
    b.v[2].value.s[0] = 'X';
    ck_assert(!sync_annots_equal(&a, &b));
    sync_annots_fini(&a);
    sync_annots_fini(&b);
}
END_TEST

Suite *sync_wire_suite(void)
{
    Suite *s = suite_create("sync_wire");
    TCase *tc = tcase_create("wire");

    tcase_add_test(tc, test_folder_round_trip);
    tcase_add_test(tc, test_folder_intermediate);
    tcase_add_test(tc, test_folder_required);
    tcase_add_test(tc, test_record_vectors);
    tcase_add_test(tc, test_records_liberal);
    tcase_add_test(tc, test_records_bad);
    tcase_add_test(tc, test_record_old_version);
    tcase_add_test(tc, test_quota);
    tcase_add_test(tc, test_annots_order);
    suite_add_tcase(s, tc);
    return s;
}
