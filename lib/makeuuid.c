/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * makeuuid -- new uniqueids
 *
 * Every bit comes from getrandom(2); there is no state, so neither fork nor a
 * clock can make two ids alike. A kernel without randomness is fatal(EX_OSERR).
 */
#include <config.h>

#include "makeuuid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <uuid/uuid.h>

#include "util.h"
#include "xmalloc.h"

void random_bytes(void *out, size_t n)
{
    char *p = out;

    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fatal("no random bytes from the kernel", EX_OSERR);
        p += got;
        n -= (size_t)got;
    }
}

char *makeuuid(char out[MAKEUUID_LEN])
{
    uuid_t id;

    random_bytes(id, sizeof(id));
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); /* version 4 */
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80); /* RFC 4122 variant */
    uuid_unparse_lower(id, out);
    return out;
}

char *makeuuid_dup(void)
{
    char id[MAKEUUID_LEN];
    return xstrdup(makeuuid(id));
}

char *makeuniqueid_short(char out[UNIQUEID_SHORT_LEN])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    size_t n = 0;

    while (n < UNIQUEID_SHORT_LEN - 1) {
        unsigned char bytes[32];
        random_bytes(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && n < UNIQUEID_SHORT_LEN - 1; i++) {
            /* 252 is the largest multiple of 36 in a byte: no letter is favoured. */
            if (bytes[i] < 252) out[n++] = letters[bytes[i] % 36];
        }
    }
    out[n] = '\0';
    return out;
}

bool uniqueid_isvalid(const char *s)
{
    size_t len = strlen(s);

    if (len < 2 || len > 127 || *s == '.') return false;
    for (; *s; s++) {
        if (!cyr_isalnum(*s) && !strchr("._-", *s)) return false;
    }
    return true;
}

bool uuid_isvalid(const char *s)
{
    uuid_t id;
    return strlen(s) == MAKEUUID_LEN - 1 && uuid_parse(s, id) == 0;
}
