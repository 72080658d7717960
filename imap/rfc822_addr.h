/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_RFC822_ADDR_H
#define INCLUDED_RFC822_ADDR_H
/*
 * rfc822_addr -- lists of mail addresses as header fields write them (handbook 02 §6.2, RFC 5322 §3.4)
 *
 * Forgiving: any bytes give a list, maybe an empty one. Texts are views of the
 * field or memory of the arena; nothing is freed one by one.
 */
#include <stdbool.h>
#include <stddef.h>

#include "message_arena.h"

struct buf;

/*
 * One address. A group is a row of entries: its name as mailbox with domain NULL, the members,
 * and an entry with all parts NULL that ends it.
 */
struct rfc822_address {
    struct msgtext name, route, mailbox, domain; /* as written, quotes undone; s NULL: NIL */
    struct rfc822_address *next;
};

/* The list in a field value (unfolded or not); NULL: no address. */
struct rfc822_address *rfc822_addr_parse(struct message_arena *arena, const char *s, size_t len);
/* Append the `(...)` of an ENVELOPE, or NIL. */
void rfc822_addr_write_envelope(const struct rfc822_address *list, struct buf *dst);
/* Append the form that searches look at: cache items FROM, TO, CC, BCC (handbook 02 §4.5). */
void rfc822_addr_write_search(const struct rfc822_address *list, bool utf8, struct buf *dst);

#endif
