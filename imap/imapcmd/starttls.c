/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STARTTLS, and TLS at once (RFC 3501 §6.2.1, handbook 04 §3.1 no. 7, 05 §6.6)
 *
 * Whatever the client sent before the handshake is thrown away with the streams'
 * buffers, so nothing injected there is ever taken for a command of the TLS session.
 */
#include <config.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "service.h"
#include "tls.h"
#include "tls_sessions.h"
#include "xsyslog.h"

static int make_context(struct imap_session *s)
{
    struct tls_settings settings;

    if (*s->tls_ctx) return 0;
    tls_settings_server(&settings, "imap");
    if (tls_ctx_new_server(&settings, s->tls_ctx)) return IMAP_INTERNAL;
    tls_ctx_setstore(*s->tls_ctx, tls_sessions_store());
    return 0;
}

static int handshake(struct imap_session *s)
{
    int r = tls_start_server(*s->tls_ctx, s->in, s->out, s->options->timeout, &s->tls);

    if (!r) r = saslserver_set_tls(s->sasl, s->tls);
    if (!r) syslog(LOG_NOTICE, "starttls: %s", tls_describe(s->tls));
    return r;
}

int imap_session_starttls(struct imap_session *s)
{
    int r = make_context(s);

    if (!r) r = handshake(s);
    if (r) syslog(LOG_NOTICE, "imaps TLS negotiation failed: %s", s->client->clienthost);
    return r;
}

void cmd_starttls(struct imap_session *s)
{
    if (!tls_enabled())
        imap_bad(s, "Unrecognized command");
    else if (!imap_arg_end(s))
        return;
    else if (s->userid)
        imap_bad(s, "Can't Starttls after authentication");
    else if (s->tls)
        imap_bad(s, "Already did a successful Starttls");
    else if (s->compressed)
        imap_bad(s, "Can't Starttls after Compress");
    else if (make_context(s))
        imap_no(s, "Error initializing TLS");
    else {
        imap_ok(s, "Begin TLS negotiation now");
        if (!handshake(s)) return;
        syslog(LOG_NOTICE, "STARTTLS negotiation failed: %s", s->client->clienthost);
        s->closing = true;
    }
}
