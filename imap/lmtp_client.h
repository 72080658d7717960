/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_LMTP_CLIENT_H
#define INCLUDED_LMTP_CLIENT_H
/*
 * lmtp_client -- hand one message to an LMTP server for several recipients (RFC 2033 §4)
 *
 * The message is read once, from a stream, and goes out as it comes: line ends become CRLF, dots are
 * doubled. A message that can't be read to its end is not sent: the connection ends before the dot.
 */
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

struct backend;
struct protstream;

struct lmtp_envelope {
    const char *sender; /* without <>; "": the null sender */
    const char *authid; /* MAIL AUTH=; NULL: none */
    bool ignorequota;   /* if the server knows it */
    const char **rcpts; /* without <> */
    size_t nrcpts;
};
/* How it ended for one recipient. */
struct lmtp_result {
    int code;        /* of the server's reply: 2xx, 4xx, 5xx; 451 when there was none */
    struct buf text; /* its last line, without the code */
};

/*
 * results has room for nrcpts; end each with buf_free(&text). 0: every result is the server's own. Else the
 * connection or the stream failed (IMAP_SERVER_UNAVAILABLE, IMAP_IOERROR), and what got no answer is 451.
 */
int lmtp_client_send(struct backend *b, const struct lmtp_envelope *envelope,
                     struct protstream *message, struct lmtp_result *results);
/* The imap_err code that a reply stands for; 0: success. */
int lmtp_result_code(const struct lmtp_result *result);

#endif
