/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_CHECK_H
#define INCLUDED_MESSAGE_CHECK_H
/*
 * message_check -- what may become a stored message (handbook 02 §6.1, 04 §3.10 rule 4)
 */
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct message_config;

#define MESSAGE_CHECK_BINARY 1u     /* literal8: NULs are allowed in the body */
#define MESSAGE_CHECK_REJECT8BIT 2u /* option reject8bit */
#define MESSAGE_CHECK_LMTP 4u       /* field names must be 33..126 without a colon in them */

/*
 * May these bytes be stored? 0, IMAP_ZERO_LENGTH_LITERAL, IMAP_MESSAGE_CONTAINSNULL,
 * IMAP_MESSAGE_CONTAINSNL, IMAP_MESSAGE_CONTAINS8BIT, IMAP_MESSAGE_BADHEADER. NULs and bare
 * newlines anywhere count before faults of the header.
 */
int message_check(const char *base, size_t len, unsigned flags);
/* Are there bytes above 127 in the header (up to the first blank line)? */
bool message_header_has8bit(const char *base, size_t len);
/* ... and is the header UTF-8? */
bool message_header_isutf8(const char *base, size_t len);
/* Option munge8bit: every such byte becomes X, in place. */
void message_munge8bit(char *base, size_t len);
/*
 * A literal8 as it is stored: parts with Content-Transfer-Encoding binary become base64, their
 * header says so. False: nothing to do, dst is untouched.
 */
bool message_encode_binary(const char *base, size_t len, const struct message_config *config,
                           struct buf *dst);

#endif
