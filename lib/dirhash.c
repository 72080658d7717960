/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirhash -- the letter of a hashed directory
 *
 * Both functions are part of the store's layout: every path of a legacy
 * mailbox and of a legacy user file depends on them (handbook 01 §7.13). Any
 * bytes have a letter; nothing fails.
 */
#include <config.h>

#include "dirhash.h"

#include <stdint.h>

#include "util.h"

char dir_hash_c(const char *name, bool full)
{
    if (!full) {
        char c = cyr_tolower(name[0]);
        return cyr_islower(c) ? c : 'q';
    }

    uint32_t n = 0;
    for (const char *p = name; *p && *p != '.'; p++) n = ((n << 3) ^ (n >> 5)) ^ (unsigned char)*p;
    return (char)('A' + n % 23);
}
