/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtpd -- takes mail for local delivery (LMTP, RFC 2033; handbook 04 §7)
 *
 * A client on a unix socket, or on TCP with -a, is trusted as "postman"; any other one has to log in
 * as an admin. lmtpd(8).
 */
#include <config.h>

#include <stdlib.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "proc.h"
#include "telemetry.h"
#include "tls_sessions.h"
#include "txn.h"
#include "xsyslog.h"

static bool trust_tcp; /* -a */
static struct tls_ctx *tlsctx;
static unsigned long made_ids; /* Message-IDs */

int service_init(int argc, char **argv, char **envp)
{
    struct tls_settings settings;
    int opt;

    (void)envp;
    while ((opt = getopt(argc, argv, "a")) != EOF) {
        if (opt != 'a') return EX_USAGE;
        trust_tcp = true;
    }
    daemon_set_last_words("421 4.3.0 lmtpd: ", false);
    if (saslserver_init()) return EX_SOFTWARE;
    if (tls_enabled()) {
        tls_settings_server(&settings, "lmtp");
        if (tls_ctx_new_server(&settings, &tlsctx))
            syslog(LOG_ERR, "TLS is not available");
        else
            tls_ctx_setstore(tlsctx, tls_sessions_store());
    }
    return 0;
}

static int open_session(struct lmtp_session *session)
{
    struct saslserver_args args = {
        .service = "lmtp",
        .servername = config_servername,
        .localaddr = *session->client->localaddr ? session->client->localaddr : NULL,
        .remoteaddr = *session->client->remoteaddr ? session->client->remoteaddr : NULL,
        .policy = &session->policy,
    };

    session->policy.adminsonly = true;
    if (mboxname_init_namespace(&session->ns, true)) return EX_CONFIG;
    if (saslserver_new(&args, &session->sasl)) return EX_TEMPFAIL;
    session->preauth = session->client->is_unix || trust_tcp;
    session->authenticated = session->preauth;
    if (session->preauth) {
        (void)saslserver_preauth(session->sasl, "postman");
        syslog(LOG_DEBUG, "connection from %s preauth'd as postman", session->client->clienthost);
        lmtp_trace(session, "postman");
    }
    return 0;
}

int service_main(const struct service_client *client, int argc, char **argv, char **envp)
{
    struct lmtp_session session = {
        .client = client, .tlsctx = tlsctx, .made_ids = &made_ids, .telemetry_fd = -1
    };

    (void)argc;
    (void)argv;
    (void)envp;
    session.in = prot_new(STDIN_FILENO, false);
    session.out = prot_new(STDOUT_FILENO, true);
    prot_settimeout(session.in, LMTP_TIMEOUT);
    prot_settimeout(session.out, LMTP_TIMEOUT);
    prot_setflushonread(session.in, session.out);
    daemon_tell(session.out);
    int r = open_session(&session);
    if (!r) lmtp_run(&session);
    daemon_tell(NULL);
    telemetry_stop(session.telemetry_fd, session.in, session.out);
    if (session.tls) tls_shutdown(session.tls);
    prot_free(session.in);
    prot_free(session.out);
    tls_session_free(&session.tls);
    saslserver_free(&session.sasl);
    buf_free(&session.lhlo);
    buf_free(&session.return_path);
    buf_free(&session.auth_id);
    proc_cleanup();
    return r;
}

void service_abort(int code)
{
    daemon_end(&tlsctx, code);
}
