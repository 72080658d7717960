/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_DAEMON_H
#define INCLUDED_DAEMON_H
/*
 * daemon -- what the mail services share: the last words of a process, and its end
 */
#include <stdbool.h>

struct protstream;
struct tls_ctx;

/* fatal() tells the client prefix, its message and CRLF, once; what was buffered before that goes out first, or is
 * dropped. prefix is borrowed for ever. */
void daemon_set_last_words(const char *prefix, bool drop_buffered);
/* Who is told: the output of the session. Borrowed; NULL between sessions. */
void daemon_tell(struct protstream *out);
/* For service_abort: gives back everything the process shares with others, and exits with code. */
void daemon_end(struct tls_ctx **tls_ctx, int code) __attribute__((noreturn));

#endif
