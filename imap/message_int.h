/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_INT_H
#define INCLUDED_MESSAGE_INT_H
/*
 * message_int -- what the files of the message parser share
 */
#include <stdbool.h>
#include <stddef.h>

#include "message.h"

/* What a part is that does not say: TEXT/PLAIN us-ascii, or in a digest MESSAGE/RFC822. */
void message_default_type(struct message_content *m, struct body *body, bool digest);
/*
 * Read the header fields [base, base+len) into body; is_message: with the fields of a message,
 * not only those of a part. The last field of a name counts, and one that can't be understood
 * counts as none.
 */
void message_read_header(struct message_content *m, const char *base, size_t len, bool digest,
                         bool is_message, struct body *body);

/* ---- the values of Content-* fields, folded as they stand ---- */

/* Sets type, subtype and params; false: not to be understood, body as it was. */
bool mime_read_type(struct message_content *m, struct msgtext value, struct body *body);
void mime_read_disposition(struct message_content *m, struct msgtext value, struct body *body);
void mime_read_language(struct message_content *m, struct msgtext value, struct body *body);
/* One word in upper case; s NULL: there is none. */
struct msgtext mime_read_encoding(struct message_content *m, struct msgtext value);
/* The text of boundary lines; s NULL: none. */
struct msgtext mime_boundary(struct message_content *m, const struct message_param *params);

/* Joins the pieces of values that were cut into several parameters (RFC 2231 §3). */
void mime_join_params(struct message_content *m, struct message_param **paramsp);

#endif
