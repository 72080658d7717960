/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3_start -- greeting, CAPA and STLS (RFC 2449, RFC 2595; handbook 04 §7.8, 05 §6.6)
 *
 * Whatever the client sent before the TLS handshake is thrown away with the streams' buffers, and
 * a user name told before it is forgotten, so nothing injected there counts afterwards.
 */
#include <config.h>

#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "pop3_session.h"
#include "service.h"
#include "tls.h"
#include "tls_sessions.h"
#include "xsyslog.h"

#define DAY 86400

void pop3_greet(struct pop3_session *s)
{
    int info = config_getenum(IMAPOPT_SERVERINFO);

    if (config_getswitch(IMAPOPT_ALLOWAPOP)) saslserver_apop_challenge(s->sasl, &s->challenge);
    prot_puts(s->out, "+OK ");
    if (info != IMAP_ENUM_SERVERINFO_OFF) prot_printf(s->out, "%s ", config_servername);
    if (info == IMAP_ENUM_SERVERINFO_ON) prot_printf(s->out, "Cyrus POP3 %s ", cyrus_version());
    prot_printf(s->out, "server ready %s\r\n", buf_cstring(&s->challenge));
}

static bool starttls_possible(const struct pop3_session *s)
{
    return tls_enabled() && !s->tls && !s->drop;
}

void pop3_cmd_capa(struct pop3_session *s, const char *args)
{
    struct buf mechs = BUF_INITIALIZER;
    int expire = config_getduration(IMAPOPT_POPEXPIRETIME);
    int delay = config_getduration(IMAPOPT_POPMINPOLL);

    (void)args;
    pop3_ok(s, "List of capabilities follows");
    if (!s->drop && saslserver_mechlist(s->sasl, "SASL ", " ", "\r\n", &mechs))
        prot_putbuf(s->out, &mechs);
    if (starttls_possible(s)) prot_puts(s->out, "STLS\r\n");
    if (expire < 0)
        prot_puts(s->out, "EXPIRE NEVER\r\n");
    else
        prot_printf(s->out, "EXPIRE %d\r\n", expire / DAY);
    prot_printf(s->out, "LOGIN-DELAY %d\r\n", delay > 0 ? delay : 0);
    prot_puts(s->out, "TOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n");
    if (!s->drop && saslserver_plaintext_ok(s->sasl)) prot_puts(s->out, "USER\r\n");
    if (config_getenum(IMAPOPT_SERVERINFO) == IMAP_ENUM_SERVERINFO_ON)
        prot_printf(s->out, "IMPLEMENTATION Cyrus POP3 %s\r\n", cyrus_version());
    prot_puts(s->out, ".\r\n");
    buf_free(&mechs);
}

/* ---- STLS ---- */

static int make_context(struct pop3_session *s)
{
    struct tls_settings settings;

    if (*s->tls_ctx) return 0;
    tls_settings_server(&settings, "pop3");
    if (tls_ctx_new_server(&settings, s->tls_ctx)) return IMAP_INTERNAL;
    tls_ctx_setstore(*s->tls_ctx, tls_sessions_store());
    return 0;
}

bool pop3_starttls(struct pop3_session *s)
{
    int r = make_context(s);

    if (!r) r = tls_start_server(*s->tls_ctx, s->in, s->out, s->options->timeout, &s->tls);
    if (!r) r = saslserver_set_tls(s->sasl, s->tls);
    if (r) {
        syslog(LOG_NOTICE, "STLS negotiation failed: %s", s->client->clienthost);
        return false;
    }
    syslog(LOG_NOTICE, "starttls: %s", tls_describe(s->tls));
    return true;
}

void pop3_cmd_stls(struct pop3_session *s, const char *args)
{
    (void)args;
    if (!tls_enabled()) {
        pop3_err(s, "Unrecognized command");
        return;
    }
    if (s->tls) {
        pop3_err(s, "Already successfully executed STLS");
        return;
    }
    if (make_context(s)) {
        pop3_err(s, "[SYS/PERM] Error initializing TLS");
        return;
    }
    pop3_ok(s, "Begin TLS negotiation now");
    buf_reset(&s->user);
    if (prot_flush(s->out) || !pop3_starttls(s)) s->closing = true;
}
