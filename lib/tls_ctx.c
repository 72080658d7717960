/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_ctx -- TLS contexts: certificates, trust, versions, session cache
 *
 * A context is usable or not made at all: every setting that OpenSSL refuses ends in one
 * logged line and IMAP_IOERROR. SSLv3, compression and renegotiation are always off.
 * Where sessions are kept for other processes, tickets are not: they could be read only by
 * the process that gave them.
 */
#include <config.h>

#include <errno.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exitcodes.h"
#include "imap_err.h"
#include "strarray.h"
#include "tls_int.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

const char *tls_errtext(void)
{
    static char text[256];
    unsigned long err = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(err);

    if (reason)
        snprintf(text, sizeof(text), "%s", reason);
    else if (err && ERR_SYSTEM_ERROR(err))
        snprintf(text, sizeof(text), "%s", strerror((int)ERR_GET_REASON(err)));
    else
        ERR_error_string_n(err, text, sizeof(text));
    ERR_clear_error();
    return text;
}

static const char *engine_name(const struct tls_ctx *ctx)
{
    return ctx->server ? "server" : "client";
}

static int engine_error(const struct tls_ctx *ctx, const char *what, const char *name)
{
    syslog(LOG_ERR, "TLS %s engine: %s%s%s%s: %s", engine_name(ctx), what, name ? " '" : "",
           name ? name : "", name ? "'" : "", tls_errtext());
    return IMAP_IOERROR;
}

/* ---- certificates ---- */

static int load_pair(const struct tls_ctx *ctx, const char *cert, const char *key)
{
    if (SSL_CTX_use_certificate_chain_file(ctx->ssl, cert) != 1) {
        syslog(LOG_ERR, "unable to get certificate from '%s': %s", cert, tls_errtext());
    }
    else if (SSL_CTX_use_PrivateKey_file(ctx->ssl, key, SSL_FILETYPE_PEM) != 1) {
        syslog(LOG_ERR, "unable to get private key from '%s': %s", key, tls_errtext());
    }
    else {
        return 0;
    }
    syslog(LOG_ERR, "TLS %s engine: cannot load cert/key data, may be a cert/key mismatch?",
           engine_name(ctx));
    return IMAP_IOERROR;
}

/* Pairs: "rsa.pem,ecdsa.pem" with "rsa.key,ecdsa.key"; without a key its certificate's file has it. */
static int load_certs(const struct tls_ctx *ctx, const struct tls_settings *st)
{
    int r = 0;

    if (!st->cert) return 0;
    strarray_t *certs = strarray_split(st->cert, ",", STRARRAY_TRIM);
    strarray_t *keys = strarray_split(st->key ? st->key : st->cert, ",", STRARRAY_TRIM);
    for (int i = 0; !r && i < strarray_size(certs); i++) {
        const char *cert = strarray_nth(certs, i);
        const char *key = i < strarray_size(keys) ? strarray_nth(keys, i) : cert;
        r = load_pair(ctx, cert, key);
    }
    strarray_free(certs);
    strarray_free(keys);
    return r;
}

/* ---- trust ---- */

static int load_trust(const struct tls_ctx *ctx, const struct tls_settings *st)
{
    if (!st->ca_file && !st->ca_dir) {
        if (!ctx->server && ctx->verify) SSL_CTX_set_default_verify_paths(ctx->ssl);
        return 0;
    }
    if (SSL_CTX_load_verify_locations(ctx->ssl, st->ca_file, st->ca_dir) == 1) return 0;
    return engine_error(ctx, "cannot load CA data", st->ca_file ? st->ca_file : st->ca_dir);
}

static int load_crl(const struct tls_ctx *ctx, const char *file)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx->ssl);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

    if (!lookup || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) < 1)
        return engine_error(ctx, "cannot load CRL", file);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return 0;
}

/* A certificate that was not asked to be good does not end the handshake; it proves nothing then. */
static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int ask_clients(const struct tls_ctx *ctx, const struct tls_settings *st)
{
    STACK_OF(X509_NAME) *names = st->ca_file ? SSL_load_client_CA_file(st->ca_file) : NULL;

    ERR_clear_error();
    if (names && sk_X509_NAME_num(names)) {
        SSL_CTX_set_client_CA_list(ctx->ssl, names);
        if (st->clientcerts == TLS_CLIENTCERTS_REQUIRE)
            SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        else
            SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, accept_any);
        return 0;
    }
    if (st->clientcerts == TLS_CLIENTCERTS_REQUIRE)
        return engine_error(ctx, "client certificates are required, but there is no client CA",
                            st->ca_file);
    if (st->ca_file || st->ca_dir)
        syslog(LOG_ERR, "TLS server engine: No client CA certs specified. "
                        "Client side certs may not work");
    return 0;
}

static int set_verification(const struct tls_ctx *ctx, const struct tls_settings *st)
{
    int r = load_trust(ctx, st);

    if (!r && st->crl_file) r = load_crl(ctx, st->crl_file);
    if (r) return r;
    if (!ctx->server) {
        SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, ctx->verify ? NULL : accept_any);
        return 0;
    }
    if (st->any_clientcert) SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, accept_any);
    return st->clientcerts == TLS_CLIENTCERTS_OFF ? 0 : ask_clients(ctx, st);
}

/* ---- algorithms ---- */

static void set_versions(const struct tls_ctx *ctx, const char *words)
{
    static const struct {
        const char *word;
        uint64_t off;
    } versions[] = { { "tls1_0", SSL_OP_NO_TLSv1 },
                     { "tls1_1", SSL_OP_NO_TLSv1_1 },
                     { "tls1_2", SSL_OP_NO_TLSv1_2 },
                     { "tls1_3", SSL_OP_NO_TLSv1_3 } };

    for (size_t i = 0; words && i < array_size(versions); i++)
        if (!strstr(words, versions[i].word)) SSL_CTX_set_options(ctx->ssl, versions[i].off);
}

static int load_dh(const struct tls_ctx *ctx, const char *file)
{
    EVP_PKEY *pkey = NULL;
    BIO *bio = file ? BIO_new_file(file, "r") : NULL;

    if (!file) {
        SSL_CTX_set_dh_auto(ctx->ssl, 1);
        return 0;
    }
    if (bio) pkey = PEM_read_bio_Parameters(bio, NULL);
    BIO_free(bio);
    if (pkey && SSL_CTX_set0_tmp_dh_pkey(ctx->ssl, pkey) == 1) return 0;
    EVP_PKEY_free(pkey);
    return engine_error(ctx, "cannot load DH parameters from", file);
}

/* The default curve is among OpenSSL's own groups: those stay, as others may be faster. */
static int set_curve(const struct tls_ctx *ctx, const char *curve)
{
    if (!curve || !strcmp(curve, "prime256v1")) return 0;
    if (SSL_CTX_set1_groups_list(ctx->ssl, curve) == 1) return 0;
    return engine_error(ctx, "unknown curve", curve);
}

static int set_algorithms(const struct tls_ctx *ctx, const struct tls_settings *st)
{
    set_versions(ctx, st->versions);
    if (st->prefer_server_ciphers) SSL_CTX_set_options(ctx->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (st->ciphers && SSL_CTX_set_cipher_list(ctx->ssl, st->ciphers) != 1)
        return engine_error(ctx, "cannot set cipher list", st->ciphers);
    int r = set_curve(ctx, st->eccurve);
    if (!r && ctx->server) r = load_dh(ctx, st->dhparam);
    return r;
}

/* ---- sessions ---- */

static void set_cache(const struct tls_ctx *ctx, const struct tls_settings *st)
{
    const char *id = st->session_id ? st->session_id : "cyrus";

    if (!ctx->server || !st->session_timeout) {
        SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(ctx->ssl, 0);
        SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_TICKET);
        return;
    }
    SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_SERVER);
    SSL_CTX_set_timeout(ctx->ssl, st->session_timeout);
    SSL_CTX_set_session_id_context(ctx->ssl, (const unsigned char *)id,
                                   (unsigned)cyr_min(strlen(id), (size_t)SSL_MAX_SID_CTX_LENGTH));
}

static struct tls_ctx *ctx_of(SSL_CTX *ssl)
{
    return SSL_CTX_get_app_data(ssl);
}

static int put_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_ctx *ctx = ctx_of(SSL_get_SSL_CTX(ssl));
    unsigned idlen;
    const unsigned char *id = SSL_SESSION_get_id(session, &idlen);
    unsigned char *der = NULL;
    int len = i2d_SSL_SESSION(session, &der);

    if (ctx && len > 0) {
        long expire = (long)SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
        ctx->store.put(ctx->store.rock, id, idlen, der, (size_t)len, expire);
    }
    OPENSSL_free(der);
    return 0; /* no reference kept */
}

static SSL_SESSION *get_session(SSL *ssl, const unsigned char *id, int idlen, int *copy)
{
    struct tls_ctx *ctx = ctx_of(SSL_get_SSL_CTX(ssl));
    unsigned char *der = NULL;
    size_t derlen;
    SSL_SESSION *session = NULL;

    *copy = 0;
    if (ctx && !ctx->store.get(ctx->store.rock, id, (size_t)idlen, &der, &derlen)) {
        const unsigned char *p = der;
        session = d2i_SSL_SESSION(NULL, &p, (long)derlen);
        free(der);
    }
    return session;
}

static void remove_session(SSL_CTX *ssl, SSL_SESSION *session)
{
    struct tls_ctx *ctx = ctx_of(ssl);
    unsigned idlen;
    const unsigned char *id = SSL_SESSION_get_id(session, &idlen);

    if (ctx) ctx->store.del(ctx->store.rock, id, idlen);
}

void tls_ctx_setstore(struct tls_ctx *ctx, const struct tls_sessionstore *store)
{
    if (!store || SSL_CTX_get_session_cache_mode(ctx->ssl) == SSL_SESS_CACHE_OFF) return;
    ctx->store = *store;
    SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx->ssl, put_session);
    SSL_CTX_sess_set_get_cb(ctx->ssl, get_session);
    SSL_CTX_sess_set_remove_cb(ctx->ssl, remove_session);
}

/* ---- life ---- */

static int ctx_new(const struct tls_settings *st, bool server, struct tls_ctx **ctxp)
{
    struct tls_ctx *ctx = xzmalloc(sizeof(*ctx));
    int r;

    ERR_clear_error();
    ctx->server = server;
    ctx->verify = st->verify;
    ctx->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!ctx->ssl) fatal("out of memory for TLS", EX_TEMPFAIL);
    SSL_CTX_set_app_data(ctx->ssl, ctx);
    SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_VERSION);
    SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                      SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                   SSL_MODE_RELEASE_BUFFERS);
    set_cache(ctx, st);
    r = set_algorithms(ctx, st);
    if (!r) r = set_verification(ctx, st);
    if (!r) r = load_certs(ctx, st);
    if (r) tls_ctx_free(&ctx);
    *ctxp = ctx;
    return r;
}

int tls_ctx_new_server(const struct tls_settings *settings, struct tls_ctx **ctxp)
{
    return ctx_new(settings, true, ctxp);
}

int tls_ctx_new_client(const struct tls_settings *settings, struct tls_ctx **ctxp)
{
    return ctx_new(settings, false, ctxp);
}

/* Sessions that live on keep the SSL_CTX, but find no store any more. */
void tls_ctx_free(struct tls_ctx **ctxp)
{
    struct tls_ctx *ctx = *ctxp;

    if (!ctx) return;
    SSL_CTX_sess_set_remove_cb(ctx->ssl, NULL);
    SSL_CTX_set_app_data(ctx->ssl, NULL);
    SSL_CTX_free(ctx->ssl);
    free(ctx);
    *ctxp = NULL;
}
