/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls -- a TLS session under the two streams of a connection
 *
 * OpenSSL reads and writes through a BIO of our own, which never blocks and never raises
 * SIGPIPE; the streams do the waiting. One session serves both directions and lives
 * until the handle and both layers are gone. An end of the connection without
 * close_notify is an end of input: the protocols above know when a command is whole.
 */
#include <config.h>

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "exitcodes.h"
#include "imap_err.h"
#include "prot_int.h"
#include "tls_int.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct tls_session {
    SSL *ssl;
    unsigned refs;
    int rfd, wfd;
    bool rsock, wsock;
    bool client;
    char *cn;
    char *description;
    char errtext[128];
};

static void unref(struct tls_session *session)
{
    if (--session->refs) return;
    /* a connection that was cut is no reason to forget its session; one that failed is */
    if (!*session->errtext)
        SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(session->ssl);
    free(session->cn);
    free(session->description);
    free(session);
}

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *dst, size_t len, size_t *done)
{
    struct tls_session *session = BIO_get_data(bio);
    ssize_t n = prot_fd_read(session->rfd, session->rsock, dst, len);

    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
    if (!n) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    *done = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static int bio_write(BIO *bio, const char *src, size_t len, size_t *done)
{
    struct tls_session *session = BIO_get_data(bio);
    ssize_t n = prot_fd_write(session->wfd, session->wsock, src, len);

    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN) BIO_set_retry_write(bio);
    *done = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void bio_method_init(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "prot");
    if (!bio_method) fatal("out of memory for TLS", EX_TEMPFAIL);
    BIO_meth_set_read_ex(bio_method, bio_read);
    BIO_meth_set_write_ex(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static BIO *bio_new(struct tls_session *session)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    /* two threads may begin their first session at once: neither may see half a method */
    pthread_once(&once, bio_method_init);
    BIO *bio = BIO_new(bio_method);
    if (!bio) fatal("out of memory for TLS", EX_TEMPFAIL);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- the layer ---- */

struct tls_layer {
    struct prot_layer layer;
    struct tls_session *session;
};

/* What to do after a call of libssl failed: 0 the end, -1 with errno; EAGAIN with fd and events. */
static int ssl_failed(struct tls_session *session, int *fd, short *want)
{
    int saved = errno;

    switch (SSL_get_error(session->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        *fd = session->rfd;
        *want = POLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        *fd = session->wfd;
        *want = POLLOUT;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL:
        errno = saved ? saved : ECONNRESET;
        snprintf(session->errtext, sizeof(session->errtext), "%s", strerror(errno));
        return -1;
    default:
        snprintf(session->errtext, sizeof(session->errtext), "TLS: %s", tls_errtext());
        errno = EPROTO;
        return -1;
    }
}

static ssize_t layer_read(struct prot_layer *layer, void *dst, size_t len)
{
    struct tls_session *session = ((struct tls_layer *)layer)->session;
    size_t n;

    ERR_clear_error();
    errno = 0;
    if (SSL_read_ex(session->ssl, dst, len, &n) == 1) return (ssize_t)n;
    return ssl_failed(session, &layer->waitfd, &layer->want);
}

static ssize_t layer_write(struct prot_layer *layer, const void *src, size_t len)
{
    struct tls_session *session = ((struct tls_layer *)layer)->session;
    size_t n;

    ERR_clear_error();
    errno = 0;
    if (SSL_write_ex(session->ssl, src, len, &n) == 1) return (ssize_t)n;
    int r = ssl_failed(session, &layer->waitfd, &layer->want);
    if (!r) errno = EPIPE;
    return -1;
}

static bool layer_pending(struct prot_layer *layer)
{
    return SSL_has_pending(((struct tls_layer *)layer)->session->ssl) == 1;
}

static const char *layer_errtext(struct prot_layer *layer)
{
    struct tls_session *session = ((struct tls_layer *)layer)->session;

    return *session->errtext ? session->errtext : NULL;
}

static void layer_free(struct prot_layer *layer)
{
    unref(((struct tls_layer *)layer)->session);
    free(layer);
}

static const struct prot_layer_ops reader_ops = {
    .name = "tls",
    .rank = PROT_RANK_TLS,
    .read = layer_read,
    .pending = layer_pending,
    .errtext = layer_errtext,
    .free = layer_free,
};

static const struct prot_layer_ops writer_ops = {
    .name = "tls",
    .rank = PROT_RANK_TLS,
    .write = layer_write,
    .errtext = layer_errtext,
    .free = layer_free,
};

static struct prot_layer *layer_new(struct tls_session *session, const struct prot_layer_ops *ops)
{
    struct tls_layer *l = xzmalloc(sizeof(*l));

    l->layer.ops = ops;
    l->session = session;
    session->refs++;
    return &l->layer;
}

/* ---- the handshake ---- */

/* 0, or -1 at the time limit (0: none). */
static int wait_for(int fd, short want, int64_t end)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = want };
        int64_t left = end ? end - prot_now() : -1;
        if (end && left <= 0) return -1;
        int r = poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
        if (r > 0) return 0;
        if (r < 0 && errno != EINTR) return -1;
    }
}

static int shake_hands(struct tls_session *session, int timeout)
{
    int64_t end = timeout > 0 ? prot_now() + (int64_t)timeout * 1000 : 0;
    int fd;
    short want;

    for (;;) {
        ERR_clear_error();
        errno = 0;
        if (SSL_do_handshake(session->ssl) == 1) return 0;
        int r = ssl_failed(session, &fd, &want);
        if (r < 0 && errno == EAGAIN) {
            if (!wait_for(fd, want, end)) continue;
            snprintf(session->errtext, sizeof(session->errtext), "%s", PROT_TIMEOUT_STRING);
        }
        long verify = SSL_get_verify_result(session->ssl);
        syslog(LOG_NOTICE, "TLS handshake as %s failed: %s%s%s",
               session->client ? "client" : "server",
               *session->errtext ? session->errtext : "connection closed",
               verify == X509_V_OK ? "" : ": ",
               verify == X509_V_OK ? "" : X509_verify_cert_error_string(verify));
        return IMAP_IOERROR;
    }
}

static char *common_name(SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
    unsigned char *utf8 = NULL;
    char *cn = NULL;
    int at = -1, last = -1;

    while (subject && (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
        last = at;
    if (last < 0) return NULL;
    int len = ASN1_STRING_to_UTF8(&utf8,
                                  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    /* a NUL inside is an attempt to look like somebody else */
    if (len > 0 && !memchr(utf8, '\0', (size_t)len)) cn = xstrndup((char *)utf8, (size_t)len);
    OPENSSL_free(utf8);
    return cn;
}

static int set_host(SSL *ssl, const char *host, bool verify)
{
    bool literal;

    if (!host || !*host) return 0;
    literal = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    ERR_clear_error();
    if (literal) return 0;
    if (SSL_set_tlsext_host_name(ssl, host) != 1) return -1;
    return verify && SSL_set1_host(ssl, host) != 1 ? -1 : 0;
}

static struct tls_session *session_new(struct tls_ctx *ctx, struct protstream *in,
                                       struct protstream *out)
{
    struct tls_session *session = xzmalloc(sizeof(*session));

    session->refs = 1;
    session->client = !ctx->server;
    session->rfd = prot_fd(in);
    session->wfd = prot_fd(out);
    session->rsock = prot_fd_issocket(session->rfd);
    session->wsock = prot_fd_issocket(session->wfd);
    session->ssl = SSL_new(ctx->ssl);
    if (!session->ssl) fatal("out of memory for TLS", EX_TEMPFAIL);
    BIO *bio = bio_new(session);
    SSL_set_bio(session->ssl, bio, bio);
    if (ctx->server)
        SSL_set_accept_state(session->ssl);
    else
        SSL_set_connect_state(session->ssl);
    return session;
}

static void after_handshake(struct tls_session *session)
{
    SSL *ssl = session->ssl;
    int total, bits = SSL_get_cipher_bits(ssl, &total);

    if (tls_peer_verified(session)) session->cn = common_name(ssl);
    session->description = xasprintf(
        "%s with cipher %s (%d/%d bits %s) %s%s", SSL_get_version(ssl), SSL_get_cipher_name(ssl),
        bits, total, tls_reused(session) ? "reused" : "new",
        session->cn ? "authenticated as " : "no authentication", session->cn ? session->cn : "");
    if (session->client && !tls_peer_verified(session))
        syslog(LOG_NOTICE, "TLS client: certificate of the server is not verified: %s",
               X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
}

static int start(struct tls_ctx *ctx, struct protstream *in, struct protstream *out,
                 const char *host, int timeout, struct tls_session **sessionp)
{
    struct tls_session *session;
    int r = 0;

    *sessionp = NULL;
    if (prot_flush(out)) return IMAP_IOERROR;
    prot_discardinput(in);
    session = session_new(ctx, in, out);
    if (!ctx->server && set_host(session->ssl, host, ctx->verify)) r = IMAP_IOERROR;
    if (!r) r = shake_hands(session, timeout);
    if (!r && prot_pushlayer(in, layer_new(session, &reader_ops))) r = IMAP_IOERROR;
    if (!r && prot_pushlayer(out, layer_new(session, &writer_ops))) r = IMAP_IOERROR;
    if (r) {
        unref(session);
        return r;
    }
    after_handshake(session);
    *sessionp = session;
    return 0;
}

int tls_start_server(struct tls_ctx *ctx, struct protstream *in, struct protstream *out,
                     int timeout, struct tls_session **sessionp)
{
    return start(ctx, in, out, NULL, timeout, sessionp);
}

int tls_start_client(struct tls_ctx *ctx, struct protstream *in, struct protstream *out,
                     const char *host, int timeout, struct tls_session **sessionp)
{
    return start(ctx, in, out, host, timeout, sessionp);
}

void tls_shutdown(struct tls_session *session)
{
    ERR_clear_error();
    if (session) SSL_shutdown(session->ssl);
    ERR_clear_error();
}

void tls_session_free(struct tls_session **sessionp)
{
    if (*sessionp) unref(*sessionp);
    *sessionp = NULL;
}

/* ---- what was negotiated ---- */

SSL *tls_ssl(const struct tls_session *session)
{
    return session->ssl;
}

unsigned tls_ssf(const struct tls_session *session)
{
    return (unsigned)SSL_get_cipher_bits(session->ssl, NULL);
}

const char *tls_peer_cn(const struct tls_session *session)
{
    return session->cn;
}

const char *tls_protocol(const struct tls_session *session)
{
    return SSL_get_version(session->ssl);
}

const char *tls_cipher(const struct tls_session *session)
{
    return SSL_get_cipher_name(session->ssl);
}

bool tls_reused(const struct tls_session *session)
{
    return SSL_session_reused(session->ssl) == 1;
}

bool tls_peer_verified(const struct tls_session *session)
{
    return SSL_get0_peer_certificate(session->ssl) &&
           SSL_get_verify_result(session->ssl) == X509_V_OK;
}

const char *tls_describe(const struct tls_session *session)
{
    return session->description;
}

/* tls-exporter (RFC 9266) from TLS 1.3 on, before that tls-unique (RFC 5929): the first Finished
 * message, which in a resumed session is the server's. */
size_t tls_channel_binding(struct tls_session *session, unsigned char *dst, size_t size,
                           const char **type)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    size_t len = 32;

    if (SSL_version(session->ssl) >= TLS1_3_VERSION) {
        *type = "tls-exporter";
        if (size < len || SSL_export_keying_material(session->ssl, dst, len, label,
                                                     sizeof(label) - 1, NULL, 0, 1) != 1)
            return 0;
        return len;
    }
    *type = "tls-unique";
    if (session->client != tls_reused(session))
        len = SSL_get_finished(session->ssl, dst, size);
    else
        len = SSL_get_peer_finished(session->ssl, dst, size);
    return len <= size ? len : 0;
}
