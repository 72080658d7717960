/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TLS_H
#define INCLUDED_TLS_H
/*
 * tls -- TLS for protocol streams, as server and as client
 *
 * A context holds certificates and settings and is made once per process; a
 * session belongs to one connection and becomes a layer of its two streams.
 * Errors: IMAP_IOERROR (cannot load certificates, handshake failed); the cause
 * is logged once. Settings are described in handbook 05 §6.6 and §2.5 (tls_*).
 */
#include <stdbool.h>
#include <stddef.h>

struct protstream;
struct tls_ctx;
struct tls_session;

/* ---- settings ---- */
enum tls_clientcerts { TLS_CLIENTCERTS_OFF, TLS_CLIENTCERTS_OPTIONAL, TLS_CLIENTCERTS_REQUIRE };

struct tls_settings {
    const char *cert;       /* chain file, or two separated by a comma */
    const char *key;        /* key file(s), in the same order */
    const char *ca_file;    /* CAs that may sign the peer's certificate */
    const char *ca_dir;
    const char *crl_file;   /* revoked client certificates (whole chain is checked) */
    const char *dhparam;    /* PEM file; NULL: automatic parameters */
    const char *eccurve;
    const char *ciphers;    /* TLS 1.2 and below */
    const char *versions;   /* words tls1_0 tls1_1 tls1_2 tls1_3 */
    const char *session_id; /* session id context: "imap", "lmtp", "pop3", "csync", "mupdate" */
    bool prefer_server_ciphers;
    enum tls_clientcerts clientcerts;
    bool any_clientcert;    /* server: ask for a certificate whoever has signed it; who is known by its fingerprint may show one */
    int session_timeout;    /* seconds, 0: no session cache */
    bool verify;            /* client: a certificate that cannot be verified ends the handshake */
};
/* Both fill in the options of imapd.conf; strings are borrowed from the configuration. */
void tls_settings_server(struct tls_settings *settings, const char *session_id);
/* host: its first label selects <label>_client_cert and _key; may be NULL. */
void tls_settings_client(struct tls_settings *settings, const char *host);

/* tls_server_cert and tls_server_key are set and neither is "disabled". */
bool tls_enabled(void);

/* ---- contexts ---- */
int tls_ctx_new_server(const struct tls_settings *settings, struct tls_ctx **ctxp);
int tls_ctx_new_client(const struct tls_settings *settings, struct tls_ctx **ctxp);
void tls_ctx_free(struct tls_ctx **ctxp);

/* Where sessions are kept between processes (tls_sessions.h has the database one). NULL: only in this process. */
struct tls_sessionstore {
    int (*put)(void *rock, const unsigned char *id, size_t idlen, const unsigned char *der, size_t derlen, long expire);
    /* Found and not expired: 0 with *der malloced; else IMAP_NOTFOUND. */
    int (*get)(void *rock, const unsigned char *id, size_t idlen, unsigned char **der, size_t *derlen);
    void (*del)(void *rock, const unsigned char *id, size_t idlen);
    void *rock;
};
void tls_ctx_setstore(struct tls_ctx *ctx, const struct tls_sessionstore *store);

/* ---- sessions ---- */

/* Negotiate on a pair of streams and put the layer under both. Output is flushed first and input that was read ahead
 * is thrown away, so nothing sent before the handshake is ever taken for protected data (RFC 9051 §11.1).
 * timeout in seconds, 0: for ever. On failure the streams are unusable for anything but closing. */
int tls_start_server(struct tls_ctx *ctx, struct protstream *in, struct protstream *out, int timeout,
                     struct tls_session **sessionp);
/* host: name for SNI and, with settings.verify, the name the certificate has to carry; may be NULL. */
int tls_start_client(struct tls_ctx *ctx, struct protstream *in, struct protstream *out, const char *host, int timeout,
                     struct tls_session **sessionp);
/* Send close_notify without waiting for the peer's. Before the streams are freed. */
void tls_shutdown(struct tls_session *session);
/* Drop the reference; the streams keep the session alive until they are freed. */
void tls_session_free(struct tls_session **sessionp);

unsigned tls_ssf(const struct tls_session *session);            /* cipher bits: the external SSF of SASL */
const char *tls_peer_cn(const struct tls_session *session);     /* verified peer's common name (EXTERNAL id), or NULL */
const char *tls_protocol(const struct tls_session *session);    /* "TLSv1.3" */
const char *tls_cipher(const struct tls_session *session);
bool tls_reused(const struct tls_session *session);
bool tls_peer_verified(const struct tls_session *session);
/* SHA-256 over the DER form of a certificate, in lower-case hex; with the NUL behind it room for one more. */
#define TLS_FINGERPRINT_LEN 64
/* From what people write: hex of either case, with colons between the bytes or not, behind "SHA256:" or not. False: it is none. */
bool tls_fingerprint_parse(const char *text, char *fingerprint);
/* Of the peer's certificate, verified or not: who shows it has its key. False: there is none. */
bool tls_peer_fingerprint(const struct tls_session *session, char *fingerprint);
/* tls-unique / tls-exporter bytes for SASL channel binding; returns length, 0 if there is none. */
size_t tls_channel_binding(struct tls_session *session, unsigned char *dst, size_t size, const char **type);
/* "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits new) no authentication" (handbook 05 §4.3). */
const char *tls_describe(const struct tls_session *session);

#endif
