/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names as counted bytes: round trips through the database, sync, MUPDATE and external forms, and hostile bytes in all
 * of them, of which none leads out of the root of a partition.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mbentry.h"
#include "mboxname.h"
#include "mbtype.h"
#include "names_config.h"
#include "util.h"
#include "xmalloc.h"

#define ROOT "/spool/root"

static struct names_config cfg;
static struct namespace ns;

static const char *find_option(const char *prefix, const char *partition, void *rock)
{
    return strcmp(prefix, "partition-") ? NULL : ROOT;
}

static void setup(void)
{
    names_config_defaults(&cfg);
    cfg.partition_option = find_option;
    names_config_override(&cfg);
}

static void teardown(void)
{
    names_config_override(NULL);
}

static void use(int n)
{
    cfg.unixhierarchysep = n & 1;
    cfg.altnamespace = n & 2;
    cfg.virtdomains = n & 4 ? VIRTDOMAINS_USERID : VIRTDOMAINS_OFF;
    ck_assert_int_eq(mboxname_init_namespace(&ns, false), 0);
}

/* ---- names that are sound ---- */

/* Pieces of boxes, each whole in modified UTF-7; "." only where the separator is another one. */
static const char *const pieces[] = { "a",     "Z",     "0",     " ",        "%",    "*",
                                      "&-",    "&AOQ-", "&Zeg-", "~",        "$",    "_",
                                      "INBOX", "inbox", "Inbox", "DELETED",  "user", "-",
                                      "x.y",   "@",     "+",     "6B0244C8", "\"",   "\\",
                                      "{3+}",  "(",     ")",     "\xc3\xa4" };

static void random_part(struct buf *out, bool dots)
{
    buf_reset(out);
    do {
        const char *piece = pieces[(size_t)random() % array_size(pieces)];
        if (dots || !strchr(piece, '.')) buf_appendcstr(out, piece);
    } while (!buf_len(out) || random() % 3);
}

static mbname_t *random_name(bool dots, bool domains)
{
    struct buf part = BUF_INITIALIZER;
    bool is_deleted = random() % 8 == 0;
    mbname_t *m = mbname_from_userid("alice");

    if (random() % 3 == 0) mbname_set_localpart(m, dots ? "e.ve" : "eve");
    if (domains && random() % 2) mbname_set_domain(m, "example.org");
    for (long n = random() % 5; n > 0; n--) {
        random_part(&part, dots);
        mbname_push_boxes(m, buf_cstring(&part));
    }
    if (is_deleted) mbname_set_isdeleted(m, 1 + random() % 0x7ffffffe);
    buf_free(&part);
    return m;
}

static void assert_same(mbname_t *back, const mbname_t *m, const char *form)
{
    ck_assert_msg(back && !mbname_cmp(back, m) && !strcmp(mbname_intname(back), mbname_intname(m)),
                  "%s: %s became %s", form, mbname_intname(m),
                  back ? mbname_intname(back) : "nothing");
    mbname_free(&back);
}

/* The contents of the literal, which is the whole of text. */
static const char *literal(const struct buf *text, size_t *len)
{
    char *end;

    ck_assert_int_eq(text->s[0], '{');
    *len = strtoul(text->s + 1, &end, 10);
    ck_assert(!strncmp(end, "+}\r\n", 4));
    ck_assert_uint_eq((size_t)(end + 4 - text->s) + *len, buf_len(text));
    return end + 4;
}

START_TEST(four_forms)
{
    struct buf text = BUF_INITIALIZER;
    size_t len;

    srandom((unsigned)_i + 1);
    use(_i);
    for (int k = 0; k < 1000; k++) {
        /* without "/" as the separator a client can not spell a dot within a name */
        mbname_t *m = random_name(cfg.unixhierarchysep, cfg.virtdomains);
        const char *s = mbname_intname(m);
        assert_same(mbname_from_sync(syncname_of(s, strlen(s))), m, "sync");
        assert_same(mbname_from_dbkey(mbname_dbname(m)), m, "database");
        buf_reset(&text);
        mbname_print_mupdate(m, &text);
        s = literal(&text, &len);
        assert_same(mbname_from_mupdate(mupdatename_of(s, len)), m, "MUPDATE");
        const char *userid = k % 2 ? mbname_userid(m) : "carol";
        extname_t ext = mbname_extname(m, &ns, userid);
        if (!mbname_isdeleted(m) && (k % 2 || !cfg.virtdomains))
            assert_same(mbname_from_extname(ext, &ns, userid), m, extname_text(ext));
        mbname_free(&m);
    }
    buf_free(&text);
}
END_TEST

START_TEST(mupdate_vectors)
{
    struct buf text = BUF_INITIALIZER;
    mbname_t *m = mbname_from_dbkey(dbname_of("example.org\x1duser\x1f"
                                              "e.ve\x1f&AOQ- *%",
                                              30));

    ck_assert_ptr_nonnull(m);
    mbname_print_mupdate(m, &text);
    ck_assert_str_eq(buf_cstring(&text), "{30+}\r\nexample.org!user.e^ve.&AOQ- *%");
    mbname_free(&m);
    buf_free(&text);
}
END_TEST

/* ---- rubbish ---- */

struct bytes {
    const char *s;
    size_t len;
};
#define B(s)             \
    {                    \
        s, sizeof(s) - 1 \
    }

static const struct bytes bad_internal[] = {
    B(""),
    B("."),
    B("user."),
    B(".user.a"),
    B("user..a"),
    B("user.a/b"),
    B("user.a/../../b"),
    B("/etc/passwd"),
    B("../x"),
    B("user.a\0b"),
    B("user.a\0"),
    B("\0"),
    B("user.a\x1f"
      "b"),
    B("user.a\x1d"
      "b"),
    B("user.a\n"),
    B("user.\x7f"),
    B("!user.a"),
    B("..!user.a"),
    B("a/b!user.a"),
    B("a^b!user.a"),
    B("a@b!user.a"),
    B("a!"),
    B("a\0b!user.a"),
};
static const struct bytes bad_key[] = {
    B(""),
    B("\x1f"),
    B("user\x1f"),
    B("\x1fuser\x1f"
      "a"),
    B("user\x1f\x1f"
      "a"),
    B("user\x1f"
      "a/b"),
    B("user\x1f../../a"),
    B("/etc"),
    B("user\x1f"
      "a\0b"),
    B("user\x1f"
      "a\0"),
    B("\0"),
    B("user\x1f"
      "a^b"),
    B("user\x1f"
      "a!b"),
    B("a!user\x1f"
      "b"),
    B("\x1duser\x1f"
      "a"),
    B("..\x1duser\x1f"
      "a"),
    B("a/b\x1duser\x1f"
      "a"),
    B("a\x1duser\x1d"
      "b"),
    B("user\x1f"
      "a\n"),
    B("user\x1f\x7f"),
};

START_TEST(rubbish_is_refused)
{
    static const char val[] = "%(T e I aaaa1 P default M 1 A %(a lr))";
    mbentry_t *entry;

    for (size_t i = 0; i < array_size(bad_internal); i++) {
        ck_assert_msg(!mbname_from_sync(syncname_of(bad_internal[i].s, bad_internal[i].len)), "sync %zu", i);
        ck_assert_msg(!mbname_from_mupdate(mupdatename_of(bad_internal[i].s, bad_internal[i].len)), "MUPDATE %zu",
                      i);
    }
    for (size_t i = 0; i < array_size(bad_key); i++) {
        ck_assert_msg(!mbname_from_dbkey(dbname_of(bad_key[i].s, bad_key[i].len)), "key %zu", i);
        ck_assert_msg(mbentry_parse_n(dbname_of(bad_key[i].s, bad_key[i].len), val, strlen(val), &entry) ==
                          IMAP_MAILBOX_BADFORMAT,
                      "entry %zu", i);
    }
    char *name = xmalloc(MAX_MAILBOX_BUFFER);
    memset(name, 'x', MAX_MAILBOX_BUFFER);
    ck_assert_ptr_null(mbname_from_sync(syncname_of(name, MAX_MAILBOX_BUFFER)));
    ck_assert_ptr_null(mbname_from_dbkey(dbname_of(name, MAX_MAILBOX_BUFFER)));
    free(name);
}
END_TEST

/* What a name leads to in the layout of names: below the root, with no way up. */
static void assert_inside(mbname_t *m)
{
    struct buf dir = BUF_INITIALIZER;

    if (m && mbname_intname(m)) {
        struct mailbox_place place = { "default", mbname_intname(m), NULL };
        if (!mailbox_path_dir(&place, &dir)) {
            buf_putc(&dir, '/');
            ck_assert_msg(!strncmp(buf_cstring(&dir), ROOT "/", strlen(ROOT) + 1) &&
                              !strstr(buf_cstring(&dir), "/../") &&
                              !strstr(buf_cstring(&dir), "/./") &&
                              strlen(buf_cstring(&dir)) == buf_len(&dir),
                          "%s", buf_cstring(&dir));
        }
    }
    buf_free(&dir);
    mbname_free(&m);
}

START_TEST(nothing_leads_outside)
{
    static const struct bytes bits[] = { B("\0"),    B("/"),    B(".."),   B("\x1f"),
                                         B("\x1d"),  B("!"),    B("^"),    B("^^"),
                                         B("."),     B("a"),    B("user"), B("user\x1f"),
                                         B("user."), B("\xff"), B("&"),    B("@") };
    struct buf text = BUF_INITIALIZER;

    srandom((unsigned)_i + 1);
    use(_i);
    cfg.hashimapspool = _i & 8;
    for (int k = 0; k < 20000; k++) {
        buf_reset(&text);
        for (long n = random() % 8; n >= 0; n--) {
            const struct bytes *bit = &bits[(size_t)random() % array_size(bits)];
            buf_appendmap(&text, bit->s, bit->len);
        }
        const char *s = buf_cstring(&text);
        assert_inside(mbname_from_sync(syncname_of(s, buf_len(&text))));
        assert_inside(mbname_from_mupdate(mupdatename_of(s, buf_len(&text))));
        assert_inside(mbname_from_dbkey(dbname_of(s, buf_len(&text))));
        assert_inside(mbname_from_extname(extname_of(s), &ns, "alice"));
        assert_inside(mbname_from_intname(s));
    }
    buf_free(&text);
}
END_TEST

Suite *mbname_wire_suite(void)
{
    Suite *s = suite_create("mbname_wire");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, four_forms, 0, 8);
    tcase_add_test(tc, mupdate_vectors);
    tcase_add_test(tc, rubbish_is_refused);
    tcase_add_loop_test(tc, nothing_leads_outside, 0, 16);
    suite_add_tcase(s, tc);
    return s;
}
