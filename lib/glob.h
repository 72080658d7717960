/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_GLOB_H
#define INCLUDED_GLOB_H
/*
 * glob -- the patterns of LIST and LSUB (RFC 3501 §6.3.8)
 *
 * '*' stands for any bytes, '%' for any bytes but the separator. All other bytes
 * stand for themselves. Matching takes time proportional to the product of both
 * lengths at worst, whatever the pattern.
 */
#include <stdbool.h>
#include <stddef.h>

struct glob;

#define GLOB_INBOXCASE 1u /* a first component INBOX is matched in any case */
struct glob *glob_init(const char *pattern, char sep, unsigned flags);
void glob_free(struct glob **gp);
/* The whole text matches. */
bool glob_test(const struct glob *g, const char *text, size_t len);
/* Some text that begins with these bytes may match (to skip subtrees). */
bool glob_test_prefix(const struct glob *g, const char *text, size_t len);
/* Bytes at the start of the pattern before the first wildcard. */
size_t glob_literal_prefix(const struct glob *g);
bool glob_haswildcard(const struct glob *g);

#endif
