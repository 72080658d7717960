/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_GUID_H
#define INCLUDED_MESSAGE_GUID_H
/*
 * message_guid -- the SHA-1 of a message file, which names its bytes everywhere (handbook 02 §3.2)
 *
 * All zero means "none".
 */
#include <stdbool.h>
#include <stddef.h>

#define MESSAGE_GUID_SIZE 20
#define MESSAGE_GUID_STRLEN 41 /* 40 hex digits and the NUL */

struct message_guid {
    unsigned char value[MESSAGE_GUID_SIZE];
};

void message_guid_generate(struct message_guid *guid, const char *base, size_t len);
void message_guid_set_null(struct message_guid *guid);
bool message_guid_isnull(const struct message_guid *guid);
bool message_guid_equal(const struct message_guid *a, const struct message_guid *b);
/* Byte order: <0, 0, >0. */
int message_guid_cmp(const struct message_guid *a, const struct message_guid *b);
/* 20 bytes from and to a file. */
void message_guid_import(struct message_guid *guid, const void *bytes);
void message_guid_export(const struct message_guid *guid, void *bytes);
/* 40 lower-case hex digits; returns out. */
const char *message_guid_encode(const struct message_guid *guid, char out[MESSAGE_GUID_STRLEN]);
/* Exactly 40 hex digits of either case; false: not a guid, *guid is null. */
bool message_guid_decode(struct message_guid *guid, const char *s, size_t len);

#endif
