/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAPURL_H
#define INCLUDED_IMAPURL_H
/*
 * imapurl -- URLs that name a message or a piece of it (RFC 5092, RFC 4467)
 *
 *     imap://user@server/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=o.n;EXPIRE=date;URLAUTH=access:mechanism:token
 *     /mailbox/;UID=n     relative to the server
 *     /;UID=n             to the selected mailbox
 *
 * Names of parameters may have any case; "%41" is "A" in names and sections. Nothing is looked up.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mbname_forms.h"

struct imapurl {
    bool relative;
    char *user, *server;       /* NULL: not given; server without the port */
    extname_t mailbox;         /* none: the selected one */
    uint32_t uidvalidity, uid; /* uidvalidity 0: not given */
    char *section;             /* NULL: the whole message */
    bool partial;
    uint64_t start, count;     /* of a piece, in bytes; count UINT64_MAX: to the end */
    time_t expire;             /* 0: never */
    char *access;              /* "user+bob"; NULL: no URLAUTH */
    char *mechanism, *token;   /* NULL: not signed yet */
    size_t signed_len;         /* bytes of the text that are signed: up to the access */
};
/* False: no such URL. imapurl_fini() in any case. */
bool imapurl_parse(const char *text, struct imapurl *url);
void imapurl_fini(struct imapurl *url);

#endif
