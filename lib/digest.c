/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * digest -- MD5, SHA-1 and SHA-256 by OpenSSL
 *
 * A struct digest can be used again after digest_final. OpenSSL refusing a digest
 * (a FIPS policy without MD5, say) is fatal(EX_SOFTWARE): without these digests no
 * mailbox can be read or written.
 */
#include <config.h>

#include "digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sysexits.h>

#include "xmalloc.h"

struct digest {
    EVP_MD_CTX *ctx;
    const EVP_MD *md;
};

static void check(int ok)
{
    if (!ok) fatal("OpenSSL refuses a message digest", EX_SOFTWARE);
}

static const EVP_MD *md_of(enum digest_kind kind)
{
    switch (kind) {
    case DIGEST_MD5: return EVP_md5();
    case DIGEST_SHA1: return EVP_sha1();
    case DIGEST_SHA256: return EVP_sha256();
    }
    return NULL;
}

size_t digest_size(enum digest_kind kind)
{
    static const size_t sizes[] = { MD5_SIZE, SHA1_SIZE, SHA256_SIZE };
    return sizes[kind];
}

struct digest *digest_new(enum digest_kind kind)
{
    struct digest *d = xzmalloc(sizeof(*d));

    d->md = md_of(kind);
    d->ctx = EVP_MD_CTX_new();
    check(d->ctx != NULL);
    check(EVP_DigestInit_ex(d->ctx, d->md, NULL));
    return d;
}

void digest_update(struct digest *d, const void *base, size_t len)
{
    if (len) check(EVP_DigestUpdate(d->ctx, base, len));
}

void digest_final(struct digest *d, unsigned char *out)
{
    check(EVP_DigestFinal_ex(d->ctx, out, NULL));
    check(EVP_DigestInit_ex(d->ctx, d->md, NULL));
}

void digest_free(struct digest *d)
{
    if (!d) return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

static void digest_whole(enum digest_kind kind, const void *base, size_t len, unsigned char *out)
{
    /* OpenSSL takes NULL only with length 0, and some versions not even then. */
    check(EVP_Digest(len ? base : "", len, out, NULL, md_of(kind), NULL));
}

void digest_md5(const void *base, size_t len, unsigned char out[MD5_SIZE])
{
    digest_whole(DIGEST_MD5, base, len, out);
}

void digest_sha1(const void *base, size_t len, unsigned char out[SHA1_SIZE])
{
    digest_whole(DIGEST_SHA1, base, len, out);
}

void digest_sha256(const void *base, size_t len, unsigned char out[SHA256_SIZE])
{
    digest_whole(DIGEST_SHA256, base, len, out);
}

void digest_hmac(enum digest_kind kind, const void *key, size_t keylen, const void *base, size_t len,
                 unsigned char *out)
{
    check(HMAC(md_of(kind), key, (int)keylen, base, len, out, NULL) != NULL);
}

bool digest_equal(const unsigned char *a, const unsigned char *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
