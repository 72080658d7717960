/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_guid -- the SHA-1 of a message file as 20 bytes and as 40 hex digits
 *
 * Nothing fails but the decoder, which leaves the null guid behind.
 */
#include <config.h>

#include "message_guid.h"

#include <string.h>

#include "digest.h"
#include "util.h"

void message_guid_generate(struct message_guid *guid, const char *base, size_t len)
{
    digest_sha1(base, len, guid->value);
}

void message_guid_set_null(struct message_guid *guid)
{
    memset(guid->value, 0, sizeof(guid->value));
}

bool message_guid_isnull(const struct message_guid *guid)
{
    static const unsigned char zero[MESSAGE_GUID_SIZE];

    return !memcmp(guid->value, zero, sizeof(zero));
}

bool message_guid_equal(const struct message_guid *a, const struct message_guid *b)
{
    return !message_guid_cmp(a, b);
}

int message_guid_cmp(const struct message_guid *a, const struct message_guid *b)
{
    return memcmp(a->value, b->value, sizeof(a->value));
}

void message_guid_import(struct message_guid *guid, const void *bytes)
{
    memcpy(guid->value, bytes, sizeof(guid->value));
}

void message_guid_export(const struct message_guid *guid, void *bytes)
{
    memcpy(bytes, guid->value, sizeof(guid->value));
}

const char *message_guid_encode(const struct message_guid *guid, char out[MESSAGE_GUID_STRLEN])
{
    bin_to_hex(guid->value, sizeof(guid->value), out);
    return out;
}

bool message_guid_decode(struct message_guid *guid, const char *s, size_t len)
{
    if (len == 2 * MESSAGE_GUID_SIZE && !hex_to_bin(s, len, guid->value)) return true;
    message_guid_set_null(guid);
    return false;
}
