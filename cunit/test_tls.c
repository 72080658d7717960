/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS between the two ends of a socket pair, with certificates made for the occasion.
 */
#include <config.h>

#include <check.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "prot.h"
#include "testutil.h"
#include "tls.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static char *dir;
static char *ca_pem, *server_pem, *server_key, *client_pem, *rogue_pem;
static char logged[8192];

static void tap(int pri, const char *line, void *rock)
{
    (void)pri;
    (void)rock;
    size_t at = strlen(logged);
    snprintf(logged + at, sizeof(logged) - at, "%s\n", line);
}

/* ---- certificates ---- */

static X509 *make_cert(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    static long serial;
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name);
    X509_set_pubkey(cert, key);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
                                              issuer ? "CA:FALSE" : "critical,CA:TRUE");
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    ck_assert_int_gt(X509_sign(cert, issuer_key, EVP_sha256()), 0);
    return cert;
}

static void save(const char *path, X509 *cert, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");

    if (cert) PEM_write_X509(f, cert);
    if (key) PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

static void issue(const char *cn, X509 *ca, EVP_PKEY *ca_key, const char *pem, const char *keyfile)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_cert(cn, key, ca, ca_key);

    save(pem, cert, keyfile ? NULL : key);
    if (keyfile) save(keyfile, NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void setup(void)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256");
    X509 *ca = make_cert("Test CA", ca_key, NULL, ca_key);
    X509 *other = make_cert("Other CA", other_key, NULL, other_key);

    dir = test_mkdtemp();
    ca_pem = test_path(dir, "ca.pem");
    server_pem = test_path(dir, "server.pem");
    server_key = test_path(dir, "server.key");
    client_pem = test_path(dir, "client.pem");
    rogue_pem = test_path(dir, "rogue.pem");
    save(ca_pem, ca, NULL);
    issue("imap.example.com", ca, ca_key, server_pem, server_key);
    issue("anna", ca, ca_key, client_pem, NULL);
    issue("anna", other, other_key, rogue_pem, NULL);
    X509_free(ca);
    X509_free(other);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(other_key);
    *logged = '\0';
    xsyslog_settap(tap, NULL);
}

static void teardown(void)
{
    xsyslog_settap(NULL, NULL);
    free(ca_pem);
    free(server_pem);
    free(server_key);
    free(client_pem);
    free(rogue_pem);
    test_rmdir(dir);
}

/* ---- two ends ---- */

struct end {
    int fd;
    struct protstream *in, *out;
    struct tls_ctx *ctx;
    struct tls_session *tls;
    int r;
};

static struct end server, client;

static void end_init(struct end *e, int fd)
{
    memset(e, 0, sizeof(*e));
    e->fd = fd;
    e->in = prot_new(fd, false);
    e->out = prot_new(fd, true);
    prot_settimeout(e->in, 60);
    prot_settimeout(e->out, 60);
}

static void end_done(struct end *e)
{
    tls_shutdown(e->tls);
    tls_session_free(&e->tls);
    tls_ctx_free(&e->ctx);
    prot_free(e->in);
    prot_free(e->out);
    close(e->fd);
}

static void ends_init(void)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    end_init(&server, fds[0]);
    end_init(&client, fds[1]);
}

static void ends_done(void)
{
    end_done(&client);
    end_done(&server);
}

static struct tls_settings server_settings(void)
{
    return (struct tls_settings){ .cert = server_pem,
                                  .key = server_key,
                                  .versions = "tls1_2 tls1_3",
                                  .ciphers = "DEFAULT",
                                  .eccurve = "prime256v1",
                                  .session_id = "imap",
                                  .session_timeout = 3600 };
}

static struct tls_settings client_settings(void)
{
    return (struct tls_settings){ .ca_file = ca_pem, .verify = true };
}

static void *serve(void *rock)
{
    struct end *e = rock;

    e->r = tls_start_server(e->ctx, e->in, e->out, 60, &e->tls);
    return NULL;
}

static void connect_ends(const struct tls_settings *ss, const struct tls_settings *cs,
                         const char *host)
{
    pthread_t thread;

    ck_assert_int_eq(tls_ctx_new_server(ss, &server.ctx), 0);
    ck_assert_int_eq(tls_ctx_new_client(cs, &client.ctx), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, serve, &server), 0);
    client.r = tls_start_client(client.ctx, client.in, client.out, host, 60, &client.tls);
    if (client.r) shutdown(client.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
}

static void exchange(const char *text)
{
    char line[100];

    prot_printf(client.out, "%s\n", text);
    ck_assert_int_eq(prot_flush(client.out), 0);
    ck_assert_ptr_nonnull(prot_fgets(line, sizeof(line), server.in));
    prot_puts(server.out, line);
    ck_assert_int_eq(prot_flush(server.out), 0);
    ck_assert_ptr_nonnull(prot_fgets(line, sizeof(line), client.in));
    ck_assert_uint_eq(strlen(line), strlen(text) + 1);
    ck_assert(strstarts(line, text));
}

START_TEST(dialogue)
{
    struct tls_settings ss = server_settings(), cs = client_settings();
    unsigned char a[64], b[64];
    const char *type;

    if (_i) ss.versions = "tls1_2";
    ends_init();
    connect_ends(&ss, &cs, "imap.example.com");
    ck_assert_int_eq(client.r, 0);
    ck_assert_msg(!server.r, "%s", logged);
    ck_assert(prot_haslayer(server.in, "tls") && prot_haslayer(server.out, "tls"));
    exchange("hello");
    ck_assert_str_eq(tls_protocol(server.tls), _i ? "TLSv1.2" : "TLSv1.3");
    ck_assert_uint_eq(tls_ssf(server.tls), 256);
    ck_assert(strstarts(tls_describe(server.tls), _i ? "TLSv1.2 with cipher "
                                                     : "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
                                                       "(256/256 bits new) no authentication"));
    ck_assert(tls_peer_verified(client.tls));
    ck_assert_str_eq(tls_peer_cn(client.tls), "imap.example.com");
    ck_assert(!tls_peer_verified(server.tls));
    ck_assert_ptr_null(tls_peer_cn(server.tls));
    size_t len = tls_channel_binding(server.tls, a, sizeof(a), &type);
    ck_assert_str_eq(type, _i ? "tls-unique" : "tls-exporter");
    ck_assert_uint_gt(len, 0);
    ck_assert_uint_eq(tls_channel_binding(client.tls, b, sizeof(b), &type), len);
    ck_assert(!memcmp(a, b, len));

    prot_setcompress(server.in);
    prot_setcompress(server.out);
    prot_setcompress(client.in);
    prot_setcompress(client.out);
    exchange("folded");

    /* the end, polite or not, is an end of input */
    if (_i) tls_shutdown(client.tls);
    shutdown(client.fd, SHUT_RDWR);
    ck_assert_int_eq(prot_getc(server.in), EOF);
    ck_assert(prot_is_eof(server.in));
    ends_done();
}
END_TEST

/* Session tickets make the socket readable, but not the stream. */
START_TEST(readable_without_data)
{
    struct tls_settings ss = server_settings(), cs = client_settings();
    struct pollfd p;

    ends_init();
    connect_ends(&ss, &cs, "imap.example.com");
    p = (struct pollfd){ .fd = client.fd, .events = POLLIN };
    ck_assert_int_eq(poll(&p, 1, 1000), 1);
    ck_assert_int_eq(prot_wait(client.in, 50), 0);
    prot_puts(server.out, "x");
    prot_flush(server.out);
    ck_assert_int_eq(prot_wait(client.in, 1000), 1);
    ck_assert_int_eq(prot_getc(client.in), 'x');
    ends_done();
}
END_TEST

static void *send_much(void *rock)
{
    struct buf *data = rock;

    prot_putbuf(server.out, data);
    prot_flush(server.out);
    return NULL;
}

START_TEST(much_data)
{
    struct tls_settings ss = server_settings(), cs = client_settings();
    struct buf data = BUF_INITIALIZER, got = BUF_INITIALIZER;
    pthread_t thread;

    ends_init();
    connect_ends(&ss, &cs, "imap.example.com");
    for (int i = 0; i < 1000000; i++) buf_appendbit32(&data, (uint32_t)i * 2654435761U);
    pthread_create(&thread, NULL, send_much, &data);
    ck_assert_int_eq(prot_readbuf(client.in, &got, data.len), 0);
    pthread_join(thread, NULL);
    ck_assert(buf_equal(&data, &got));
    buf_free(&data);
    buf_free(&got);
    ends_done();
}
END_TEST

START_TEST(injected_command)
{
    struct tls_settings ss = server_settings(), cs = client_settings();
    struct buf line = BUF_INITIALIZER;
    static const char text[] = "A1 STARTTLS\r\nA2 DELETE INBOX\r\n";

    ends_init();
    ck_assert_int_eq(write(client.fd, text, sizeof(text) - 1), sizeof(text) - 1);
    ck_assert_int_eq(prot_getline(server.in, &line, 100), 0);
    connect_ends(&ss, &cs, "imap.example.com");
    ck_assert_msg(!server.r, "%s", logged);
    ck_assert_int_eq(prot_wait(server.in, 50), 0);
    exchange("A3 NOOP");
    buf_free(&line);
    ends_done();
}
END_TEST

START_TEST(silent_peer)
{
    struct tls_settings ss = server_settings();

    ends_init();
    ck_assert_int_eq(tls_ctx_new_server(&ss, &server.ctx), 0);
    ck_assert_int_eq(tls_start_server(server.ctx, server.in, server.out, 1, &server.tls),
                     IMAP_IOERROR);
    ck_assert_ptr_null(server.tls);
    ck_assert_ptr_nonnull(strstr(logged, PROT_TIMEOUT_STRING));
    ends_done();
}
END_TEST

START_TEST(not_tls)
{
    struct tls_settings ss = server_settings();

    ends_init();
    ck_assert_int_eq(write(client.fd, "GET / HTTP/1.0\r\n\r\n", 18), 18);
    ck_assert_int_eq(tls_ctx_new_server(&ss, &server.ctx), 0);
    ck_assert_int_eq(tls_start_server(server.ctx, server.in, server.out, 5, &server.tls),
                     IMAP_IOERROR);
    ck_assert_ptr_nonnull(strstr(logged, "TLS handshake as server failed: "));
    ends_done();
}
END_TEST

START_TEST(server_verification)
{
    static const struct {
        bool own_ca, verify;
        const char *host;
        bool ok, verified;
    } t[] = {
        { true, true, "imap.example.com", true, true },
        { true, true, "other.example.com", false, false },
        { false, true, "imap.example.com", false, false },
        { false, false, "imap.example.com", true, false },
        { true, true, NULL, true, true },
        { true, true, "127.0.0.1", false, false },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct tls_settings ss = server_settings(), cs = client_settings();
        cs.verify = t[i].verify;
        if (!t[i].own_ca) cs.ca_file = rogue_pem;
        ends_init();
        connect_ends(&ss, &cs, t[i].host);
        ck_assert_msg((client.r == 0) == t[i].ok, "%zu", i);
        if (t[i].ok) {
            ck_assert_msg(tls_peer_verified(client.tls) == t[i].verified, "%zu", i);
            exchange("hello");
        }
        ends_done();
    }
}
END_TEST

START_TEST(client_certificates)
{
    const struct {
        enum tls_clientcerts mode;
        const char *cert;
        bool ok;
        const char *cn;
    } t[] = {
        { TLS_CLIENTCERTS_OPTIONAL, NULL, true, NULL },
        { TLS_CLIENTCERTS_OPTIONAL, client_pem, true, "anna" },
        { TLS_CLIENTCERTS_OPTIONAL, rogue_pem, true, NULL },
        { TLS_CLIENTCERTS_OFF, client_pem, true, NULL },
        { TLS_CLIENTCERTS_REQUIRE, client_pem, true, "anna" },
        { TLS_CLIENTCERTS_REQUIRE, NULL, false, NULL },
        { TLS_CLIENTCERTS_REQUIRE, rogue_pem, false, NULL },
    };

    for (size_t i = 0; i < array_size(t); i++) {
        struct tls_settings ss = server_settings(), cs = client_settings();
        ss.clientcerts = t[i].mode;
        ss.ca_file = ca_pem;
        cs.cert = t[i].cert;
        ends_init();
        connect_ends(&ss, &cs, "imap.example.com");
        ck_assert_msg((server.r == 0) == t[i].ok, "%zu", i);
        if (t[i].ok) {
            const char *cn = tls_peer_cn(server.tls);
            ck_assert_msg(!strcmpnull(cn, t[i].cn), "%zu", i);
            ck_assert(!cn || strstr(tls_describe(server.tls), " authenticated as anna"));
            exchange("hello");
        }
        ends_done();
    }
}
END_TEST

/* What openssl and people write, and what is none. */
START_TEST(fingerprints)
{
    static const char digits[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const char *const good[] = {
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "SHA256:00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF",
        "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
    };
    static const char *const bad[] = {
        "", "SHA256:", ":", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefg",
        "0:0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        ":00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "/etc/cyrus/secret",
    };
    char fingerprint[TLS_FINGERPRINT_LEN + 1];

    for (size_t i = 0; i < array_size(good); i++) {
        ck_assert(tls_fingerprint_parse(good[i], fingerprint));
        ck_assert_str_eq(fingerprint, digits);
    }
    for (size_t i = 0; i < array_size(bad); i++) ck_assert(!tls_fingerprint_parse(bad[i], fingerprint));
}
END_TEST

START_TEST(bad_settings)
{
    struct tls_settings ok = server_settings();
    struct tls_settings t[] = { ok, ok, ok, ok, ok, ok, ok, ok };
    static const char *const said[] = { "unable to get certificate from '/nonexistent'",
                                        "unable to get private key from",
                                        "key values mismatch",
                                        "unknown curve 'nocurve'",
                                        "cannot set cipher list 'NOCIPHER'",
                                        "cannot load DH parameters from '/nonexistent'",
                                        "client certificates are required",
                                        "cannot load CRL" };
    struct tls_ctx *ctx;

    t[0].cert = "/nonexistent";
    t[1].key = ca_pem;
    t[2].key = client_pem;
    t[3].eccurve = "nocurve";
    t[4].ciphers = "NOCIPHER";
    t[5].dhparam = "/nonexistent";
    t[6].clientcerts = TLS_CLIENTCERTS_REQUIRE;
    t[7].crl_file = "/nonexistent";
    for (size_t i = 0; i < array_size(t); i++) {
        *logged = '\0';
        ck_assert_int_eq(tls_ctx_new_server(&t[i], &ctx), IMAP_IOERROR);
        ck_assert_ptr_null(ctx);
        ck_assert_msg(strstr(logged, said[i]), "%zu: %s", i, logged);
    }
    /* two pairs; the curve of the option */
    t[0] = ok;
    t[0].cert = xasprintf("%s, %s", server_pem, client_pem);
    t[0].key = xasprintf("%s, %s", server_key, client_pem);
    t[0].eccurve = "secp384r1";
    ck_assert_int_eq(tls_ctx_new_server(&t[0], &ctx), 0);
    tls_ctx_free(&ctx);
    free((char *)(uintptr_t)t[0].cert);
    free((char *)(uintptr_t)t[0].key);
}
END_TEST

/* ---- sessions in a store ---- */

static struct {
    unsigned char id[64];
    size_t idlen;
    unsigned char *der;
    size_t derlen;
    int puts, hits;
} kept;

static int kept_put(void *rock, const unsigned char *id, size_t idlen, const unsigned char *der,
                    size_t derlen, long expire)
{
    ck_assert(rock == &kept);
    ck_assert_int_ge(expire, time(NULL) + 3500);
    ck_assert_int_le(expire, time(NULL) + 3700);
    free(kept.der);
    kept.der = xmemdup(der, derlen);
    kept.derlen = derlen;
    memcpy(kept.id, id, idlen);
    kept.idlen = idlen;
    kept.puts++;
    return 0;
}

static int kept_get(void *rock, const unsigned char *id, size_t idlen, unsigned char **der,
                    size_t *derlen)
{
    ck_assert(rock == &kept);
    if (idlen != kept.idlen || memcmp(id, kept.id, idlen)) return IMAP_NOTFOUND;
    *der = xmemdup(kept.der, kept.derlen);
    *derlen = kept.derlen;
    kept.hits++;
    return 0;
}

static void kept_del(void *rock, const unsigned char *id, size_t idlen)
{
    (void)rock;
    (void)id;
    (void)idlen;
}

/* A client of plain OpenSSL, as it has to keep its session. */
static SSL_SESSION *resume(SSL_CTX *ctx, SSL_SESSION *session, bool *reused)
{
    pthread_t thread;
    SSL *ssl = SSL_new(ctx);
    char byte;

    ck_assert_int_eq(pthread_create(&thread, NULL, serve, &server), 0);
    SSL_set_fd(ssl, client.fd);
    if (session) SSL_set_session(ssl, session);
    ck_assert_int_eq(SSL_connect(ssl), 1);
    pthread_join(thread, NULL);
    ck_assert_msg(!server.r, "%s", logged);
    prot_puts(server.out, "x");
    prot_flush(server.out);
    ck_assert_int_eq(SSL_read(ssl, &byte, 1), 1);
    *reused = SSL_session_reused(ssl);
    ck_assert(tls_reused(server.tls) == *reused);
    session = SSL_get1_session(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    return session;
}

START_TEST(sessions)
{
    struct tls_sessionstore store = { kept_put, kept_get, kept_del, &kept };
    struct tls_settings ss = server_settings();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_SESSION *session = NULL, *next;
    bool reused;

    if (_i) ss.versions = "tls1_2";
    for (int round = 0; round < 2; round++) {
        /* as two processes would: only the store knows the session */
        ends_init();
        ck_assert_int_eq(tls_ctx_new_server(&ss, &server.ctx), 0);
        tls_ctx_setstore(server.ctx, &store);
        next = resume(ctx, session, &reused);
        ck_assert_int_eq(reused, round);
        ck_assert_int_gt(kept.puts, 0);
        ck_assert(!round || strstr(tls_describe(server.tls), "bits reused)"));
        SSL_SESSION_free(session);
        session = next;
        ends_done();
    }
    ck_assert_int_gt(kept.hits, 0);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    free(kept.der);
    memset(&kept, 0, sizeof(kept));
}
END_TEST

START_TEST(no_session_cache)
{
    struct tls_sessionstore store = { kept_put, kept_get, kept_del, &kept };
    struct tls_settings ss = server_settings();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool reused;

    ss.session_timeout = 0;
    ends_init();
    ck_assert_int_eq(tls_ctx_new_server(&ss, &server.ctx), 0);
    tls_ctx_setstore(server.ctx, &store);
    SSL_SESSION_free(resume(ctx, NULL, &reused));
    ck_assert_int_eq(kept.puts, 0);
    SSL_CTX_free(ctx);
    ends_done();
}
END_TEST

START_TEST(configured)
{
    struct tls_settings st;

    config_read_string("tls_server_cert: /c\n");
    ck_assert(!tls_enabled());
    config_read_string("tls_server_cert: /c\ntls_server_key: disabled\n");
    ck_assert(!tls_enabled());
    config_read_string("tls_server_cert: /c\ntls_server_key: /k\ntls_session_timeout: 48h\n"
                       "tls_client_certs: require\ntls_versions: tls1_3\n"
                       "tls_client_cert: /mine\ntls_client_key: /mykey\nback1_client_cert: /b1\n");
    ck_assert(tls_enabled());
    tls_settings_server(&st, "lmtp");
    ck_assert_str_eq(st.cert, "/c");
    ck_assert_str_eq(st.key, "/k");
    ck_assert_int_eq(st.session_timeout, 86400);
    ck_assert_int_eq(st.clientcerts, TLS_CLIENTCERTS_REQUIRE);
    ck_assert_str_eq(st.session_id, "lmtp");
    tls_settings_client(&st, "Back1.example.com");
    ck_assert_str_eq(st.cert, "/b1");
    ck_assert_str_eq(st.key, "/mykey");
    tls_settings_client(&st, NULL);
    ck_assert_str_eq(st.cert, "/mine");
    config_reset();
}
END_TEST

Suite *tls_suite(void)
{
    Suite *s = suite_create("tls");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, dialogue, 0, 2);
    tcase_add_test(tc, readable_without_data);
    tcase_add_test(tc, much_data);
    tcase_add_test(tc, injected_command);
    tcase_add_test(tc, silent_peer);
    tcase_add_test(tc, not_tls);
    tcase_add_test(tc, server_verification);
    tcase_add_test(tc, client_certificates);
    tcase_add_test(tc, fingerprints);
    tcase_add_test(tc, bad_settings);
    tcase_add_loop_test(tc, sessions, 0, 2);
    tcase_add_test(tc, no_session_cache);
    tcase_add_test(tc, configured);
    suite_add_tcase(s, tc);
    return s;
}
