/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_DIRHASH_H
#define INCLUDED_DIRHASH_H
/*
 * dirhash -- the letter of a hashed directory (handbook 01 §7.13)
 */
#include <stdbool.h>

/* full (option fulldirhash): 'A'..'W'; else the first letter in lower case, or 'q'. name has real dots. */
char dir_hash_c(const char *name, bool full);

#endif
