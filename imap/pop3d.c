/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3d -- the POP3 server: one session at a time on descriptors 0 and 1
 *
 *   -s      TLS from the first byte (pop3s)
 *   -p SSF  strength of a security layer outside of this process
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
#include "libconfig.h"
#include "pop3_session.h"
#include "proc.h"
#include "service.h"
#include "sessionid.h"
#include "telemetry.h"
#include "tls.h"
#include "tls_sessions.h"
#include "txn.h"
#include "util.h"
#include "xsyslog.h"

#define MIN_TIMEOUT 600 /* seconds; RFC 1939 §3 */

static struct pop3_options options;
static struct tls_ctx *tls_ctx;

static int usage(void)
{
    syslog(LOG_ERR, "usage: pop3d [-C FILE] [-U N] [-T S] [-D] [-X] [-s] [-p SSF]");
    return EX_USAGE;
}

int service_init(int argc, char **argv, char **envp)
{
    int opt;

    (void)envp;
    while ((opt = getopt(argc, argv, "sp:")) != EOF) {
        switch (opt) {
        case 's': options.tls_at_once = true; break;
        case 'p':
            if (parse_u32_cstr(optarg, &options.extssf)) return usage();
            break;
        default: return usage();
        }
    }
    if (options.tls_at_once && !tls_enabled()) {
        syslog(LOG_ERR, "pop3s: required OpenSSL options not present");
        return EX_CONFIG;
    }
    options.timeout = cyr_max(config_getduration(IMAPOPT_POPTIMEOUT), MIN_TIMEOUT);
    daemon_set_last_words("-ERR [SYS/PERM] Fatal error: ", false);
    if (saslserver_init()) return EX_SOFTWARE;
    return 0;
}

int service_main(const struct service_client *client, int argc, char **argv, char **envp)
{
    struct protstream *in = prot_new(0, false), *out = prot_new(1, true);
    struct pop3_session session;

    (void)argc;
    (void)argv;
    (void)envp;
    daemon_tell(out);
    session_new_id();
    int r = pop3_session_init(&session, &options, client, in, out, &tls_ctx);
    pop3_session_register(&session);
    if (!r && (!options.tls_at_once || pop3_starttls(&session))) pop3_session_run(&session);

    daemon_tell(NULL);
    telemetry_traffic(in, out);
    if (session.tls) tls_shutdown(session.tls);
    pop3_session_fini(&session);
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
