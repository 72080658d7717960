/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_BOUNDARY_H
#define INCLUDED_MESSAGE_BOUNDARY_H
/*
 * message_boundary -- the boundaries of the multiparts that we are inside of (RFC 2046 §5.1.1)
 */
#include <stdbool.h>
#include <stddef.h>

struct boundary_stack;
/* strict: a boundary line may go on with anything. */
struct boundary_stack *boundary_stack_new(bool strict);
void boundary_stack_free(struct boundary_stack **stackp);
/* Enter a multipart; the text is borrowed. */
void boundary_push(struct boundary_stack *stack, const char *text, size_t len);
unsigned boundary_depth(const struct boundary_stack *stack);
/* Leave all but the outer `depth` multiparts. */
void boundary_cut(struct boundary_stack *stack, unsigned depth);
/*
 * Is the line (with its line end) a boundary of any of them? One that closes cuts the stack to
 * the multiparts outside of its own.
 */
bool boundary_match(struct boundary_stack *stack, const char *line, size_t len);

#endif
