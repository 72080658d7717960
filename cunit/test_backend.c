/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Client connections against small servers that follow a script: what they say, and what
 * they expect to hear.
 */
#include <config.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend.h"
#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "prot.h"
#include "saslclient.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static char logged[4096];
static struct backend *b;
static struct buf text = BUF_INITIALIZER;

static void tap(int pri, const char *line, void *rock)
{
    (void)pri;
    (void)rock;
    snprintf(logged, sizeof(logged), "%s", line);
}

/* ---- the server ---- */

/*
 * A script is lines: "S:text" is said, "C:text" has to be heard, "Z" turns compression on,
 * "X" closes. "C:*" takes any line.
 */
struct server {
    int listener;
    const char *const *script;
    pthread_t thread;
    char wrong[400]; /* what was heard instead */
};

static struct server server;

static bool step(struct server *srv, const char *line, struct protstream *in,
                 struct protstream *out)
{
    struct buf heard = BUF_INITIALIZER;
    bool ok = true;

    switch (*line) {
    case 'S': prot_printf(out, "%s\r\n", line + 2); break;
    case 'Z':
        prot_flush(out);
        prot_setcompress(in);
        prot_setcompress(out);
        break;
    case 'X': ok = false; break;
    case 'C':
        if (prot_getline(in, &heard, 10000)) buf_setcstr(&heard, "(end)");
        if (strcmp(line + 2, "*") && strcmp(line + 2, buf_cstring(&heard))) {
            snprintf(srv->wrong, sizeof(srv->wrong), "%s: %.300s", line, heard.s);
            ok = false;
        }
        break;
    }
    buf_free(&heard);
    return ok;
}

static void *serve(void *rock)
{
    struct server *srv = rock;
    int fd = accept(srv->listener, NULL, NULL);
    struct protstream *in = prot_new(fd, false), *out = prot_new(fd, true);

    prot_settimeout(in, 60);
    prot_setflushonread(in, out);
    for (const char *const *line = srv->script; *line && step(srv, *line, in, out); line++)
        continue;
    prot_flush(out);
    prot_free(in);
    prot_free(out);
    close(fd);
    return NULL;
}

static char *start_server(const char *const *script)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);

    memset(&server, 0, sizeof(server));
    server.script = script;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.listener, 5), 0);
    ck_assert_int_eq(getsockname(server.listener, (struct sockaddr *)&addr, &len), 0);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, &server), 0);
    return xasprintf("127.0.0.1:%d", ntohs(addr.sin_port));
}

static void stop_server(void)
{
    pthread_join(server.thread, NULL);
    close(server.listener);
    ck_assert_msg(!*server.wrong, "server heard %s", server.wrong);
}

static int connect_to(const struct backend_protocol *protocol, const char *const *script,
                      const char *suffix, bool compress)
{
    char *name = start_server(script), *full = xasprintf("%s%s", name, suffix);
    struct backend_args args = { .server = full,
                                 .protocol = protocol,
                                 .userid = "anna",
                                 .authname = "proxy",
                                 .password = "pw",
                                 .connect_timeout = 60,
                                 .compress = compress,
                                 .logfd = -1 };
    int r = backend_connect(&args, &b, &text);

    free(name);
    free(full);
    return r;
}

static void setup(void)
{
    config_read_string("sasl_maximum_layer: 0\n");
    xsyslog_settap(tap, NULL);
    *logged = '\0';
}

static void teardown(void)
{
    backend_disconnect(&b);
    saslclient_done();
    xsyslog_settap(NULL, NULL);
    config_reset();
}

/* anna NUL proxy NUL pw */
#define PLAIN "YW5uYQBwcm94eQBwdw=="

static void take_line(void *rock, const char *line, size_t len)
{
    struct buf *lines = rock;

    buf_appendcstr(lines, "[");
    buf_appendmap(lines, line, len);
    buf_appendcstr(lines, "]");
}

START_TEST(imap)
{
    static const char *const script[] = {
        "S:* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN AUTH=LOGIN SASL-IR] here",
        "C:A01 AUTHENTICATE PLAIN " PLAIN,
        "S:A01 OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE IDLE X-RAWQUOTA METADATA] welcome",
        "C:Z01 COMPRESS DEFLATE",
        "S:Z01 OK now",
        "Z",
        "C:B1 STATUS INBOX (MESSAGES)",
        "S:* STATUS INBOX (MESSAGES 5)",
        "S:* LIST () \"/\" {5}",
        "S:a b {3}",
        "S:x",
        "S:",
        "S:B1 OK done",
        "C:B2 FOO",
        "S:B2 BAD Unrecognized command",
        "C:B3 SELECT x",
        "S:B3 NO [NOPERM] Permission denied",
        "C:N01 NOOP",
        "S:* 5 EXISTS",
        "S:N01 OK",
        "C:Q01 LOGOUT",
        "S:* BYE",
        "S:Q01 OK",
        NULL
    };
    struct buf lines = BUF_INITIALIZER;

    ck_assert_int_eq(connect_to(&backend_imap, script, "", true), 0);
    ck_assert(backend_has(b, BACKEND_CAPA_IDLE) && backend_has(b, BACKEND_CAPA_QUOTARAW));
    ck_assert(!backend_has(b, BACKEND_CAPA_SASLIR));
    ck_assert_str_eq(backend_host(b), "127.0.0.1");
    ck_assert_ptr_nonnull(strstr(backend_banner(b), "here"));
    ck_assert_int_eq(backend_imapcmd(b, take_line, &lines, &text, "STATUS %s (MESSAGES)", "INBOX"),
                     0);
    ck_assert_str_eq(text.s, "done");
    ck_assert_str_eq(buf_cstring(&lines),
                     "[STATUS INBOX (MESSAGES 5)][LIST () \"/\" {5}\r\na b {3}]");
    ck_assert_int_eq(backend_imapcmd(b, NULL, NULL, &text, "FOO"), IMAP_PROTOCOL_ERROR);
    ck_assert_str_eq(text.s, "Unrecognized command");
    ck_assert_int_eq(backend_imapcmd(b, NULL, NULL, &text, "SELECT x"), IMAP_REMOTE_DENIED);
    ck_assert_str_eq(text.s, "[NOPERM] Permission denied");
    ck_assert_int_eq(backend_ping(b), 0);
    backend_disconnect(&b);
    ck_assert_ptr_null(b);
    stop_server();
    buf_free(&lines);
}
END_TEST

/* No capabilities in the greeting nor after login, no initial response. */
START_TEST(imap_the_long_way)
{
    static const char *const script[] = { "S:* OK here",
                                          "C:C01 CAPABILITY",
                                          "S:* CAPABILITY IMAP4rev1 AUTH=PLAIN",
                                          "S:C01 OK",
                                          "C:A01 AUTHENTICATE PLAIN",
                                          "S:+ ",
                                          "C:" PLAIN,
                                          "S:A01 OK welcome",
                                          "C:C01 CAPABILITY",
                                          "S:* CAPABILITY IMAP4rev1 IDLE",
                                          "S:C01 OK",
                                          NULL };

    ck_assert_int_eq(connect_to(&backend_imap, script, "", true), 0);
    ck_assert(backend_has(b, BACKEND_CAPA_IDLE));
    stop_server();
    ck_assert_int_eq(backend_imapcmd(b, NULL, NULL, &text, "NOOP"), IMAP_SERVER_UNAVAILABLE);
    ck_assert_int_eq(backend_ping(b), IMAP_SERVER_UNAVAILABLE);
}
END_TEST

START_TEST(csync)
{
    static const char *const script[] = { "S:* SASL PLAIN LOGIN",
                                          "S:* COMPRESS DEFLATE",
                                          "S:* SIEVE-MAILBOX",
                                          "S:* FUTURE x y",
                                          "S:* OK here Cyrus sync server",
                                          "C:AUTHENTICATE PLAIN " PLAIN,
                                          "S:OK Success (no protection)",
                                          "C:COMPRESS DEFLATE",
                                          "S:OK DEFLATE active",
                                          "Z",
                                          "C:NOOP",
                                          "S:OK Noop completed",
                                          "C:EXIT",
                                          "S:OK Finished",
                                          NULL };

    config_reset();
    config_read_string("sasl_maximum_layer: 0\nforce_sasl_client_mech: PLAIN\n");
    ck_assert_int_eq(connect_to(&backend_csync, script, "", true), 0);
    ck_assert(backend_has(b, BACKEND_CAPA_SIEVEMAILBOX));
    ck_assert_str_eq(backend_param(b, BACKEND_CAPA_AUTH), "PLAIN LOGIN");
    ck_assert_int_eq(backend_ping(b), 0);
    backend_disconnect(&b);
    stop_server();
}
END_TEST

START_TEST(lmtp)
{
    static const char *const script[] = { "S:220 here LMTP",
                                          "C:LHLO 127.0.0.1",
                                          "S:250-here",
                                          "S:250-8BITMIME",
                                          "S:250-PIPELINING",
                                          "S:250-SIZE 1000",
                                          "S:250-AUTH PLAIN",
                                          "S:250-IGNOREQUOTA",
                                          "S:250 Ok SESSIONID=<x>",
                                          "C:AUTH PLAIN " PLAIN,
                                          "S:235 Authenticated!",
                                          "C:MAIL FROM:<a>",
                                          "S:250 2.1.0 ok",
                                          "C:RCPT TO:<b>",
                                          "S:550-5.1.1 first",
                                          "S:550 5.1.1 second",
                                          "S:250 extra",
                                          "C:DATA",
                                          "S:what?",
                                          "C:*",
                                          NULL };
    int code;

    ck_assert_int_eq(connect_to(&backend_lmtp, script, "", false), 0);
    ck_assert(backend_has(b, BACKEND_CAPA_8BITMIME) && backend_has(b, BACKEND_CAPA_IGNOREQUOTA));
    ck_assert_str_eq(backend_param(b, BACKEND_CAPA_SIZE), "1000");
    ck_assert_int_eq(backend_smtpcmd(b, &code, &text, "MAIL FROM:<%s>", "a"), 0);
    ck_assert_int_eq(code, 250);
    ck_assert_str_eq(text.s, "2.1.0 ok");
    ck_assert_int_eq(backend_smtpcmd(b, &code, &text, "RCPT TO:<b>"), 0);
    ck_assert_int_eq(code, 550);
    ck_assert_str_eq(text.s, "5.1.1 first\n5.1.1 second");
    ck_assert_int_eq(backend_smtpcmd(b, &code, &text, NULL), 0);
    ck_assert_int_eq(code, 250);
    ck_assert_int_eq(backend_smtpcmd(b, &code, &text, "DATA"), IMAP_PROTOCOL_ERROR);
    ck_assert_int_eq(backend_smtpcmd(b, &code, &text, "DATA"), IMAP_SERVER_UNAVAILABLE);
    backend_disconnect(&b);
    stop_server();
}
END_TEST

START_TEST(pop3_and_mupdate)
{
    static const char *const pop3[] = { "S:+OK here <1@x>",
                                        "C:CAPA",
                                        "S:+OK list",
                                        "S:SASL LOGIN PLAIN",
                                        "S:UIDL",
                                        "S:.",
                                        "C:AUTH PLAIN " PLAIN,
                                        "S:+OK in",
                                        "C:QUIT",
                                        "S:+OK",
                                        NULL };
    static const char *const mupdate[] = { "S:* AUTH \"PLAIN\" \"LOGIN\"",
                                           "S:* COMPRESS \"DEFLATE\"",
                                           "S:* OK MUPDATE \"m\" \"Cyrus IMAP\" \"3\" \"(master)\"",
                                           "C:A01 AUTHENTICATE \"PLAIN\" {20+}",
                                           "C:" PLAIN,
                                           "S:A01 OK \"Authenticated\"",
                                           "C:Q01 LOGOUT",
                                           "S:Q01 OK",
                                           NULL };

    config_reset();
    config_read_string("sasl_maximum_layer: 0\nforce_sasl_client_mech: plain\n");
    ck_assert_int_eq(connect_to(&backend_pop3, pop3, "", false), 0);
    backend_disconnect(&b);
    stop_server();
    ck_assert_msg(!connect_to(&backend_mupdate, mupdate, "", true), "%s", logged);
    ck_assert_str_eq(backend_param(b, BACKEND_CAPA_AUTH), "PLAIN LOGIN");
    backend_disconnect(&b);
    stop_server();
}
END_TEST

/* What goes wrong, and the words for it. */
START_TEST(failures)
{
    static const char *const bye[] = { "S:* BYE too many", NULL };
    static const char *const http[] = { "S:HTTP/1.0 400 Bad", NULL };
    static const char *const silent[] = { "X", NULL };
    static const char *const refused[] = { "S:* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] here",
                                           "C:*",
                                           "S:A01 NO authentication failure",
                                           "C:*",
                                           "S:Q01 OK",
                                           NULL };
    static const char *const nomech[] = { "S:* OK [CAPABILITY IMAP4rev1 AUTH=KLINGON] here", "C:*",
                                          NULL };
    static const char *const notls[] = { "S:* OK [CAPABILITY IMAP4rev1 AUTH=KLINGON STARTTLS] x",
                                         "C:S01 STARTTLS", "S:S01 NO not today", NULL };
    static const struct {
        const char *const *script;
        int r;
        const char *text;
    } t[] = {
        { bye, IMAP_PROTOCOL_ERROR, "unexpected greeting: * BYE too many" },
        { http, IMAP_PROTOCOL_ERROR, "unexpected greeting: HTTP/1.0 400 Bad" },
        { silent, IMAP_SERVER_UNAVAILABLE, PROT_EOF_STRING },
        { refused, IMAP_SASL_FAIL, "authentication failure" },
        { nomech, IMAP_SASL_FAIL, NULL },
        { notls, IMAP_REMOTE_DENIED, "S01 NO not today" },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        int r = connect_to(&backend_imap, t[i].script, "", false);
        ck_assert_msg(r == t[i].r, "%zu: %d %s", i, r, text.s);
        if (t[i].text) ck_assert_str_eq(text.s, t[i].text);
        ck_assert_ptr_null(b);
        ck_assert_ptr_nonnull(strstr(logged, "connection to 127.0.0.1:"));
        stop_server();
    }
}
END_TEST

START_TEST(server_names)
{
    static const struct {
        const char *server;
        int r;
    } t[] = {
        { "", IMAP_BAD_SERVER },
        { "host:", IMAP_BAD_SERVER },
        { ":143", IMAP_BAD_SERVER },
        { "[::1", IMAP_BAD_SERVER },
        { "[::1]x", IMAP_BAD_SERVER },
        { "host:143/what", IMAP_BAD_SERVER },
        { "host:143/", IMAP_BAD_SERVER },
        { "127.0.0.1:1", IMAP_SERVER_UNAVAILABLE },
        { "[::1]:1", IMAP_SERVER_UNAVAILABLE },
        { "/nonexistent/socket", IMAP_SERVER_UNAVAILABLE },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct backend_args args = {
            .server = t[i].server, .protocol = &backend_imap, .connect_timeout = 5, .logfd = -1
        };
        ck_assert_msg(backend_connect(&args, &b, NULL) == t[i].r, "%s", t[i].server);
        ck_assert_ptr_null(b);
    }
}
END_TEST

START_TEST(noauth)
{
    static const char *const script[] = { "S:* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] here",
                                          "C:Q01 LOGOUT", "S:Q01 OK", NULL };

    ck_assert_int_eq(connect_to(&backend_imap, script, "/noauth", false), 0);
    ck_assert_uint_eq(backend_layer_ssf(b), 0);
    ck_assert_ptr_null(backend_tls(b));
    backend_disconnect(&b);
    stop_server();
}
END_TEST

START_TEST(unix_socket)
{
    static const char *const script[] = {
        "S:220 here", "C:*", "S:250-here", "S:250 AUTH EXTERNAL", "C:QUIT", "S:221 bye", NULL
    };
    char *dir = test_mkdtemp(), *path = test_path(dir, "lmtp");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct backend_args args = {
        .server = path, .protocol = &backend_lmtp, .connect_timeout = 60, .logfd = -1
    };

    memset(&server, 0, sizeof(server));
    server.script = script;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    server.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.listener, 5), 0);
    pthread_create(&server.thread, NULL, serve, &server);
    ck_assert_int_eq(backend_connect(&args, &b, &text), 0);
    backend_disconnect(&b);
    stop_server();
    free(path);
    test_rmdir(dir);
}
END_TEST

/* An answer without an end takes no more memory than the limit. */
START_TEST(endless_answer)
{
    static const char *const script[] = { "S:* OK [CAPABILITY IMAP4rev1] here", "C:B1 X",
                                          "S:* FOO {99999999999}", "C:*", NULL };

    ck_assert_int_eq(connect_to(&backend_imap, script, "/noauth", false), 0);
    ck_assert_int_eq(backend_imapcmd(b, NULL, NULL, &text, "X"), IMAP_PROTOCOL_ERROR);
    ck_assert_str_eq(text.s, "answer too long");
    ck_assert_int_eq(backend_imapcmd(b, NULL, NULL, &text, "X"), IMAP_SERVER_UNAVAILABLE);
    backend_disconnect(&b);
    stop_server();
}
END_TEST

Suite *backend_suite(void)
{
    Suite *s = suite_create("backend");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, imap);
    tcase_add_test(tc, imap_the_long_way);
    tcase_add_test(tc, csync);
    tcase_add_test(tc, lmtp);
    tcase_add_test(tc, pop3_and_mupdate);
    tcase_add_test(tc, failures);
    tcase_add_test(tc, server_names);
    tcase_add_test(tc, noauth);
    tcase_add_test(tc, unix_socket);
    tcase_add_test(tc, endless_answer);
    suite_add_tcase(s, tc);
    return s;
}
