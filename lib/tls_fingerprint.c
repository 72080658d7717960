/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_fingerprint -- a peer that is known by its certificate, whoever has signed that
 */
#include <config.h>

#include <openssl/evp.h>
#include <string.h>

#include "tls_int.h"
#include "util.h"

#define DIGEST_LEN (TLS_FINGERPRINT_LEN / 2)

bool tls_fingerprint_parse(const char *text, char *fingerprint)
{
    unsigned char digest[DIGEST_LEN];
    size_t n = 0;

    if (!cyr_strncasecmp(text, "SHA256:", 7)) text += 7;
    for (; *text; text++) {
        if (*text == ':' && n && n % 2 == 0) continue;
        if (n == TLS_FINGERPRINT_LEN) return false;
        fingerprint[n++] = *text;
    }
    if (n != TLS_FINGERPRINT_LEN || hex_to_bin(fingerprint, n, digest)) return false;
    bin_to_hex(digest, sizeof(digest), fingerprint);
    fingerprint[TLS_FINGERPRINT_LEN] = '\0';
    return true;
}

bool tls_peer_fingerprint(const struct tls_session *session, char *fingerprint)
{
    X509 *cert = SSL_get0_peer_certificate(tls_ssl(session));
    unsigned char digest[DIGEST_LEN];
    unsigned len = sizeof(digest);

    if (!cert || X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != sizeof(digest)) return false;
    bin_to_hex(digest, sizeof(digest), fingerprint);
    fingerprint[TLS_FINGERPRINT_LEN] = '\0';
    return true;
}
