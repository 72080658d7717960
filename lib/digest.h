/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * digest -- MD5, SHA-1 and SHA-256 by OpenSSL
 *
 * MD5 and SHA-1 name and compare things here (message guids, sync checksums); alone
 * they guard nothing; HMAC with SHA-1 (URLAUTH) does. A library that refuses a digest is fatal(EX_SOFTWARE).
 */
#ifndef CYL_DIGEST_H
#define CYL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define MD5_SIZE 16
#define SHA1_SIZE 20
#define SHA256_SIZE 32

enum digest_kind { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256 };

void digest_md5(const void *base, size_t len, unsigned char out[MD5_SIZE]);
void digest_sha1(const void *base, size_t len, unsigned char out[SHA1_SIZE]);
void digest_sha256(const void *base, size_t len, unsigned char out[SHA256_SIZE]);

/* HMAC (RFC 2104) with that digest: digest_size() bytes. */
void digest_hmac(enum digest_kind kind, const void *key, size_t keylen, const void *base, size_t len,
                 unsigned char *out);

/* Are they the same? Takes the same time whatever they are. */
bool digest_equal(const unsigned char *a, const unsigned char *b, size_t len);

/* Bytes of a digest of that kind. */
size_t digest_size(enum digest_kind kind);

/* Piece by piece. */
struct digest;
struct digest *digest_new(enum digest_kind kind);
void digest_update(struct digest *d, const void *base, size_t len);
/* Writes digest_size() bytes; the next update begins a new digest. */
void digest_final(struct digest *d, unsigned char *out);
void digest_free(struct digest *d);

#endif
