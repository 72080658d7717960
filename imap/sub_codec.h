/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SUB_CODEC_H
#define INCLUDED_SUB_CODEC_H
/*
 * sub_codec -- keys of a user's subscription file (handbook 01 §7.2)
 *
 * "N" dbname, where the user's own INBOX is spelled "INBOX". Values are empty.
 */
#include <stddef.h>

struct buf;

#define SUB_VERSION_KEY "\x1fVER\x1f"
#define SUB_VERSION "2"

/* Replace *out by the key of an internal name in the file of userid. */
void sub_key_print(const char *name, const char *userid, struct buf *out);
/*
 * The internal name of a key, malloc'ed; NULL for a key that is no subscription (the version,
 * bytes that are no name). "INBOX2\x1fz", which 3.6.1 writes for "alice2" in the file of
 * "alice", is read as what was meant.
 */
char *sub_key_parse(const char *key, size_t len, const char *userid);

#endif
