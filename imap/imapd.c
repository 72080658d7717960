/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imapd -- the IMAP server: one session at a time on descriptors 0 and 1
 *
 *   -s      TLS from the first byte (imaps)
 *   -N      LOGIN takes any password (tests)
 *   -p SSF  strength of a security layer outside of this process
 *   -q      quotas are not enforced
 *
 * The options of every service are in master/service.h. Exit codes: 0, 75 after
 * SIGTERM, 78 for -s without a certificate (handbook 05 §1.10, §1.15).
 */
#include <config.h>

#include <stdlib.h>
#include <unistd.h>

#include "daemon.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "imap_session.h"
#include "libconfig.h"
#include "proc.h"
#include "prot.h"
#include "service.h"
#include "sessionid.h"
#include "signals.h"
#include "telemetry.h"
#include "tls.h"
#include "tls_sessions.h"
#include "txn.h"
#include "xsyslog.h"

static struct imap_options options;
static struct tls_ctx *tls_ctx;

static void read_options(void)
{
    int timeout = config_getduration(IMAPOPT_TIMEOUT);

    options.timeout = timeout < 1800 ? 1800 : timeout;
    options.idle_poll = config_getduration(IMAPOPT_IMAPIDLEPOLL);
    if (options.idle_poll < 0) options.idle_poll = 0;
    options.idle_timeout = config_getduration(IMAPOPT_IMAPIDLETIMEOUT);
    if (options.idle_timeout <= 0) options.idle_timeout = options.timeout;
    options.readonly = config_getswitch(IMAPOPT_READONLY);
    options.conversations = config_getswitch(IMAPOPT_CONVERSATIONS);
    int max = config_getint(IMAPOPT_MAXMESSAGESIZE);
    options.maxmessagesize = max > 0 ? (uint64_t)max : 0;
}

static int usage(void)
{
    syslog(LOG_ERR, "usage: imapd [-C FILE] [-U N] [-T S] [-D] [-X] [-s] [-N] [-q] [-p SSF]");
    return EX_USAGE;
}

int service_init(int argc, char **argv, char **envp)
{
    int opt;

    (void)envp;
    while ((opt = getopt(argc, argv, "sNqp:")) != EOF) {
        switch (opt) {
        case 's': options.tls_at_once = true; break;
        case 'N': options.nopassword = true; break;
        case 'q': options.ignorequota = true; break;
        case 'p':
            if (parse_u32_cstr(optarg, &options.extssf)) return usage();
            break;
        default: return usage();
        }
    }
    if (options.tls_at_once && !tls_enabled()) {
        syslog(LOG_ERR, "imaps: required OpenSSL options not present");
        return EX_CONFIG;
    }
    read_options();
    daemon_set_last_words("* BYE Fatal error: ", false);
    if (saslserver_init()) return EX_SOFTWARE;
    return 0;
}

int service_main(const struct service_client *client, int argc, char **argv, char **envp)
{
    struct protstream *in = prot_new(0, false), *out = prot_new(1, true);
    struct imap_session session;

    (void)argc;
    (void)argv;
    (void)envp;
    daemon_tell(out);
    session_new_id();
    int r = imap_session_init(&session, &options, client, in, out, &tls_ctx);
    imap_session_register(&session, NULL);
    if (!r && options.tls_at_once) r = imap_session_starttls(&session);
    if (!r) imap_session_run(&session);

    daemon_tell(NULL);
    telemetry_traffic(in, out);
    if (session.tls) tls_shutdown(session.tls);
    imap_session_fini(&session);
    proc_cleanup();
    session_clear_id();
    prot_free(in);
    prot_free(out);
    return 0;
}

void service_abort(int code)
{
    daemon_end(&tls_ctx, code);
}
