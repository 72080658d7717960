/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TLS_INT_H
#define INCLUDED_TLS_INT_H
/*
 * tls_int -- what the files of tls share
 */
#include <openssl/ssl.h>

#include "tls.h"

struct tls_ctx {
    SSL_CTX *ssl;
    bool server;
    bool verify;                   /* client: an unverified server ends the handshake */
    struct tls_sessionstore store; /* put NULL: none */
};

SSL *tls_ssl(const struct tls_session *session);

/* What libssl says went wrong last, for logs; its queue is empty afterwards. Static buffer. */
const char *tls_errtext(void);

#endif
