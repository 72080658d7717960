/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LMTP: paths, and how a received message is stored (handbook 04 §7.2-§7.4).
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "testutil.h"
#include "util.h"

/* ---- paths ---- */

static const struct {
    const char *text, *strict, *lax; /* NULL: refused */
} paths[] = {
    { "<bob>", "bob", "bob" },
    { " <bob@example.com> SIZE=1", "bob@example.com", "bob@example.com" },
    { "<>", "", "" },
    { "<@a,@b:cassandane@example.com>", "cassandane@example.com", "cassandane@example.com" },
    { "<\"Two Words\"@x>", "\"Two Words\"@x", "\"Two Words\"@x" },
    { "<\"a\\\"b\">", "\"a\\\"b\"", "\"a\\\"b\"" },
    { "<c\xe4ss>", NULL, "cXss" },
    { "<a b>", NULL, NULL },
    { "<a,b>", NULL, NULL },
    { "<a@>", NULL, NULL },
    { "<a@b c>", NULL, NULL },
    { "<a", NULL, NULL },
    { "<\"a>", NULL, NULL },
    { "<a\x01>", NULL, NULL },
    { "bob", NULL, NULL },
    { "", NULL, NULL },
    { "<@a", NULL, NULL },
};

START_TEST(addresses)
{
    struct buf addr = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(paths); i++) {
        for (int strict = 0; strict < 2; strict++) {
            const char *want = strict ? paths[i].strict : paths[i].lax;
            const char *p = paths[i].text;
            bool ok = lmtp_parse_address(&p, strict, &addr);
            ck_assert_msg(ok == (want != NULL), "%s", paths[i].text);
            ck_assert(p >= paths[i].text && p <= paths[i].text + strlen(paths[i].text));
            if (!ok) continue;
            ck_assert_str_eq(buf_cstring(&addr), want);
            ck_assert_int_eq(p[-1], '>');
        }
    }
    buf_free(&addr);
}
END_TEST

START_TEST(xtext)
{
    struct buf out = BUF_INITIALIZER;

    ck_assert(lmtp_decode_xtext("e+3Dmc2@x", 9, &out));
    ck_assert_str_eq(buf_cstring(&out), "e=mc2@x");
    ck_assert(!lmtp_decode_xtext("a+3", 3, &out));
    ck_assert(!lmtp_decode_xtext("a=b", 3, &out));
    ck_assert(!lmtp_decode_xtext("a+00", 4, &out));
    buf_free(&out);
}
END_TEST

/* ---- messages ---- */

static struct service_client client = { .clienthost = (char *)"[unix socket]" };
static struct lmtp_session session;
static unsigned long made_ids;

static void setup(void)
{
    config_read_string("servername: imap.example.com\nserverinfo: off\n");
    made_ids = 0;
    session = (struct lmtp_session){ .client = &client,
                                     .authenticated = true,
                                     .made_ids = &made_ids };
}

static void teardown(void)
{
    buf_free(&session.return_path);
    buf_free(&session.lhlo);
    config_reset();
}

/* Reads the message; `rest` must be left on the stream. */
static void read_message(const char *text, size_t len, struct lmtp_message *message,
                         const char *rest)
{
    struct buf left = BUF_INITIALIZER;
    int c;

    session.in = prot_readmap(text, len);
    ck_assert(lmtp_message_read(&session, message));
    while ((c = prot_getc(session.in)) != EOF) buf_putc(&left, (char)c);
    ck_assert_str_eq(buf_cstring(&left), rest);
    buf_free(&left);
    prot_free(session.in);
}

/* The stored message behind the trace fields. */
static char *own_part(const struct lmtp_message *message)
{
    char *all = buf_newcstring(&message->map);
    char *p = strstr(all, "X-Cyrus-Session-Id: ");

    ck_assert_ptr_nonnull(p);
    p = strstr(p, "\r\n") + 2;
    memmove(all, p, strlen(p) + 1);
    return all;
}

static void assert_stored(const char *text, const char *want, const char *rest)
{
    struct lmtp_message message;

    read_message(text, strlen(text), &message, rest);
    ck_assert_int_eq(message.error, 0);
    char *own = own_part(&message);
    ck_assert_str_eq(own, want);
    ck_assert_uint_eq(message.size, buf_len(&message.map));
    free(own);
    lmtp_message_fini(&message);
}

static void assert_refused(const char *text, size_t len, int error)
{
    struct lmtp_message message;

    read_message(text, len, &message, "NOOP\r\n");
    ck_assert_int_eq(message.error, error);
    lmtp_message_fini(&message);
}

#define IDS "Message-ID: <1@x>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0100\r\n"

START_TEST(stored_forms)
{
    assert_stored("Subject: a\r\n" IDS "\r\none\r\n..two\r\n.\r\nNOOP\r\n",
                  "Subject: a\r\n" IDS "\r\none\r\n.two\r\n", "NOOP\r\n");
    /* Return-Path goes, with its folds; bare CRs go; a body without a final line end is closed. */
    assert_stored("Return-Path: <a>\r\n <b>\r\n" IDS "\r\na\rb\r\n.\r\n", IDS "\r\nab\r\n", "");
    /* A client that sends LFs only. */
    assert_stored(
        "Message-ID: <1@x>\nDate: Mon, 07 Feb 2022 10:00:00 +0100\n\nbody\n..dot\n.\nQUIT\n",
        IDS "\r\nbody\r\n.dot\r\n", "QUIT\n");
    /* No body, no blank line. */
    assert_stored(IDS ".\r\n", IDS, "");
    /* A blank line first: no header of its own but what every message has. */
    assert_stored(IDS "\r\n.\r\n", IDS "\r\n", "");
}
END_TEST

START_TEST(no_smuggling)
{
    assert_stored(IDS "\r\na\n.\nMAIL FROM:<evil>\r\n.\r\nNOOP\r\n",
                  IDS "\r\na\r\n\r\nMAIL FROM:<evil>\r\n", "NOOP\r\n");
    assert_stored(IDS "\r\na\n.\r\nMAIL FROM:<evil>\r\n.\r\n",
                  IDS "\r\na\r\n\r\nMAIL FROM:<evil>\r\n", "");
    assert_stored(IDS "\r\na\r\n.\nMAIL FROM:<evil>\r\n.\r\n",
                  IDS "\r\na\r\n\r\nMAIL FROM:<evil>\r\n", "");
}
END_TEST

START_TEST(completed)
{
    static const char text[] = "Subject: a\r\n\r\nb\r\n.\r\n";
    struct lmtp_message message;

    buf_setcstr(&session.return_path, "alice");
    buf_setcstr(&session.lhlo, "client.example.com");
    read_message(text, strlen(text), &message, "");
    char *all = buf_newcstring(&message.map);
    const char *head = "Return-Path: <alice@imap.example.com>\r\n"
                       "Received: from client.example.com ([unix socket])\r\n"
                       "\t by imap.example.com with LMTPA;\r\n\t ";
    ck_assert_msg(strstarts(all, head), "%s", all);
    char *own = own_part(&message);
    ck_assert_msg(strstarts(own, "Subject: a\r\nMessage-ID: <cmu-lmtpd-"), "%s", own);
    ck_assert_ptr_nonnull(strstr(own, "@imap.example.com>\r\nDate: "));
    ck_assert_ptr_nonnull(strstr(own, "\r\n\r\nb\r\n"));
    free(own);
    free(all);
    lmtp_message_fini(&message);
}
END_TEST

START_TEST(refused)
{
    static const char nul[] = IDS "\r\na\0b\r\n.\r\nNOOP\r\n";
    static const char name[] = ": x\r\n" IDS "\r\n.\r\nNOOP\r\n";
    static const char empty[] = "Message-ID: \r\n\r\nb\r\n.\r\nNOOP\r\n";
    struct buf big = BUF_INITIALIZER;

    assert_refused(nul, sizeof(nul) - 1, IMAP_MESSAGE_CONTAINSNULL);
    assert_refused(name, sizeof(name) - 1, IMAP_MESSAGE_BADHEADER);
    assert_refused(empty, sizeof(empty) - 1, IMAP_MESSAGE_BADHEADER);
    config_read_string("servername: x\nmaxmessagesize: 500\n");
    buf_appendcstr(&big, IDS "\r\n");
    buf_appendfill(&big, 'z', 600);
    buf_appendcstr(&big, "\r\n.\r\nNOOP\r\n");
    assert_refused(buf_base(&big), buf_len(&big), IMAP_MESSAGE_TOO_LARGE);
    buf_free(&big);
}
END_TEST

START_TEST(huge_header)
{
    struct buf text = BUF_INITIALIZER;

    while (buf_len(&text) <= LMTP_MAX_HEADER) buf_appendcstr(&text, "X-Long: header\r\n");
    buf_appendcstr(&text, "\r\nbody\r\n.\r\nNOOP\r\n");
    assert_refused(buf_base(&text), buf_len(&text), IMAP_MESSAGE_BADHEADER);
    buf_free(&text);
}
END_TEST

START_TEST(large_body)
{
    struct lmtp_message message;
    struct buf text = BUF_INITIALIZER, want = BUF_INITIALIZER;

    buf_appendcstr(&text, IDS "\r\n");
    for (int i = 0; i < 50000; i++)
        buf_printf(&text, "line number %d of a message that does not stay in memory\r\n", i);
    buf_copy(&want, &text);
    buf_appendcstr(&text, ".\r\n");
    read_message(buf_base(&text), buf_len(&text), &message, "");
    ck_assert_int_eq(message.error, 0);
    ck_assert_int_ge(message.fd, 0);
    char *own = own_part(&message);
    ck_assert(!strcmp(own, buf_cstring(&want)));
    free(own);
    lmtp_message_fini(&message);
    buf_free(&text);
    buf_free(&want);
}
END_TEST

START_TEST(no_room_for_large_body)
{
    struct buf text = BUF_INITIALIZER;

    config_read_string("servername: x\ntemp_path: /nonexistent\n");
    buf_appendcstr(&text, IDS "\r\n");
    for (int i = 0; i < 100000; i++) buf_appendcstr(&text, "0123456789abcdef\r\n");
    buf_appendcstr(&text, ".\r\nNOOP\r\n");
    assert_refused(buf_base(&text), buf_len(&text), IMAP_NOSPACE);
    buf_free(&text);
}
END_TEST

START_TEST(cut_off)
{
    static const char text[] = IDS "\r\nbody";
    struct lmtp_message message;

    for (size_t len = 0; len < sizeof(text); len++) {
        session.in = prot_readmap(text, len);
        ck_assert(!lmtp_message_read(&session, &message));
        prot_free(session.in);
        lmtp_message_fini(&message);
    }
}
END_TEST

Suite *lmtp_suite(void)
{
    Suite *s = suite_create("lmtp");
    TCase *tc = tcase_create("lmtp");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, addresses);
    tcase_add_test(tc, xtext);
    tcase_add_test(tc, stored_forms);
    tcase_add_test(tc, no_smuggling);
    tcase_add_test(tc, completed);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, huge_header);
    tcase_add_test(tc, large_body);
    tcase_add_test(tc, no_room_for_large_body);
    tcase_add_test(tc, cut_off);
    suite_add_tcase(s, tc);
    return s;
}
