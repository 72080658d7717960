/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_server -- the replica's service: the csync protocol (handbook 03 §1)
 *
 * One connection at a time: banner, login, then commands that only an admin may give.
 * A peer that is trusted unasked (sync_accept.h) is an admin at once. Every command line gets exactly one
 * status line; a line that makes no sense is skipped to its end, with the literals in it,
 * so the connection keeps step.
 *
 * Ends with BYE when the process is asked to stop, with a fatal line when it has to.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "daemon.h"
#include "global.h"
#include "imap_err.h"
#include "imparse.h"
#include "journal.h"
#include "libconfig.h"
#include "proc.h"
#include "prot.h"
#include "saslserver.h"
#include "service.h"
#include "sessionid.h"
#include "signals.h"
#include "sync_accept.h"
#include "sync_log.h"
#include "sync_reserve.h"
#include "sync_wait.h"
#include "synccmd/synccmd.h"
#include "telemetry.h"
#include "tls.h"
#include "txn.h"
#include "util.h"
#include "xsyslog.h"

struct server {
    const struct service_client *client;
    struct protstream *in, *out;
    struct saslserver *sasl;
    struct saslserver_policy policy;
    struct tls_session *tls;
    struct synccmd_session cmds;
    const char *userid; /* NULL: nobody yet */
    const struct sync_peer *peer; /* whom sync_accept names, if that has let the client in */
    bool isadmin, compressed, closing;
    int telemetry_fd;
    int c; /* the byte behind the last word */
};

/* The process's: TLS context, made at the first STARTTLS; strength of a layer outside (-p). */
static struct tls_ctx *tls_ctx;
static unsigned extssf;
/* ---- what the commands of the connection do ---- */

static bool offers_zstd(void)
{
    return prot_haszstd() && !capa_is_disabled("X-COMPRESS");
}

static void put_banner(struct server *s)
{
    struct buf mechs = BUF_INITIALIZER;
    struct journal_status status;
    struct journal *j;

    if (!s->userid) {
        if (saslserver_mechlist(s->sasl, "* SASL ", " ", "\r\n", &mechs))
            prot_putbuf(s->out, &mechs);
        if (tls_enabled() && !s->tls) prot_puts(s->out, "* STARTTLS\r\n");
    }
    if (!s->userid || service_is_standalone()) { /* 3.6.1 tells these only who has to log in */
        if (!s->compressed && !s->tls) prot_puts(s->out, "* COMPRESS DEFLATE\r\n");
        prot_puts(s->out, "* SIEVE-MAILBOX\r\n");
        if (!s->compressed && !s->tls && offers_zstd()) prot_puts(s->out, "* X-COMPRESS ZSTD\r\n");
    }
    if (!capa_is_disabled("X-SUBHISTORY")) prot_puts(s->out, "* X-SUBHISTORY\r\n");
    if (!capa_is_disabled("X-RENAMES")) prot_puts(s->out, "* X-RENAMES\r\n");
    if (!capa_is_disabled("X-USERSTATE")) prot_puts(s->out, "* X-USERSTATE\r\n");
    if (!capa_is_disabled("X-RANGES")) prot_puts(s->out, "* X-RANGES\r\n");
    if (!capa_is_disabled("X-PIPELINE")) prot_puts(s->out, "* X-PIPELINE\r\n");
    if (!capa_is_disabled("X-ROLE")) prot_puts(s->out, "* X-ROLE\r\n");
    if (!capa_is_disabled("X-USAGE")) prot_puts(s->out, "* X-USAGE\r\n");
    if (!capa_is_disabled("X-SIEVEFILES")) prot_puts(s->out, "* X-SIEVEFILES\r\n");
    if (!capa_is_disabled("X-FOLDERS")) prot_puts(s->out, "* X-FOLDERS\r\n");
    if (!capa_is_disabled("X-NAMEHISTORY")) prot_puts(s->out, "* X-NAMEHISTORY\r\n");
    if (!capa_is_disabled("X-CLOCK")) prot_printf(s->out, "* X-CLOCK %lld\r\n", (long long)time(NULL));
    if (!capa_is_disabled("X-INSTANCE") && !txn_journal(&j)) {
        journal_status(j, &status);
        prot_printf(s->out, "* X-INSTANCE %016" PRIx64 "\r\n", status.instance);
    }
    if (!capa_is_disabled("X-LEASE")) prot_puts(s->out, "* X-LEASE\r\n");
    if (!capa_is_disabled("X-HOME")) prot_puts(s->out, "* X-HOME\r\n");
    if (!capa_is_disabled("X-TOGETHER")) prot_puts(s->out, "* X-TOGETHER\r\n");
    if (!capa_is_disabled("X-LEAVE")) prot_puts(s->out, "* X-LEAVE\r\n");
    if (!capa_is_disabled("X-UNMAILBOXES")) prot_puts(s->out, "* X-UNMAILBOXES\r\n");
    prot_printf(s->out, "* OK %s Cyrus sync server %s\r\n", config_servername, cyrus_version());
    buf_free(&mechs);
}

static void login_done(struct server *s)
{
    const struct saslserver_identity *id = saslserver_identity(s->sasl);

    s->userid = id->userid;
    s->isadmin = id->is_admin || id->is_proxyadmin;
    if (!s->peer && saslserver_by_secret(s->sasl) && !strcmp(id->authid, id->userid)) s->peer = sync_accept_by_name(s->userid);
    if (s->peer) {
        s->isadmin = true;
        if (strarray_size(&s->peer->users)) s->cmds.users = &s->peer->users;
    }
    s->cmds.userid = s->userid;
    syslog(LOG_NOTICE, "login: %s %s %s%s User logged in SESSIONID=<%s>", s->client->clienthost,
           s->userid, saslserver_mech(s->sasl), s->tls ? "+TLS" : "", session_id());
    proc_register(config_ident, s->client->clienthost, s->userid, NULL, NULL);
    s->telemetry_fd = telemetry_log(s->userid, session_id(), s->in, s->out);
}

static void login_failed(struct server *s, const char *mech, enum saslserver_result result)
{
    const struct saslserver_identity *id = saslserver_identity(s->sasl);
    const char *user = id && id->userid ? id->userid : saslserver_tried(s->sasl);
    const struct sync_peer *peer = sync_accept_by_name(user);

    if (result == SASLSERVER_CANCELLED) {
        prot_puts(s->out, "BAD Client canceled authentication\r\n");
        return;
    }
    syslog(LOG_NOTICE, "badlogin: %s %s (%s) [%s]%s%s", s->client->clienthost, mech, user, saslserver_detail(s->sasl),
           peer ? " the secret is not that of " : "", peer ? peer->file : "");
    if (result != SASLSERVER_READERROR)
        sleep((unsigned)config_getduration(IMAPOPT_FAILEDLOGINPAUSE));
    if (result == SASLSERVER_READERROR)
        prot_printf(s->out, "NO Error reading client response: %s\r\n",
                    prot_error(s->in) ? prot_error(s->in) : "line too long");
    else
        prot_printf(s->out, "NO %s\r\n", saslserver_errtext(s->sasl));
}

static void cmd_authenticate(struct server *s, const char *name)
{
    struct buf mech = BUF_INITIALIZER, initial = BUF_INITIALIZER;
    bool has_initial = false;

    if (s->c != ' ') {
        prot_printf(s->out, "BAD Missing required argument to %s\r\n", name);
        goto skip;
    }
    s->c = getblankword(s->in, &mech);
    if (!imparse_isatom(buf_cstring(&mech))) {
        prot_puts(s->out, "BAD Invalid mechanism\r\n");
        goto skip;
    }
    if (s->c == ' ') {
        s->c = getblankword(s->in, &initial);
        has_initial = true;
    }
    s->c = imparse_eol(s->in, s->c);
    if (s->c != '\n') {
        prot_printf(s->out, "BAD Unexpected extra arguments to %s\r\n", name);
        goto skip;
    }
    if (s->userid) {
        prot_puts(s->out, "BAD Already authenticated\r\n");
        goto done;
    }
    enum saslserver_result result = saslserver_auth(s->sasl, &saslserver_imap, buf_cstring(&mech),
                                                    has_initial ? buf_cstring(&initial) : NULL,
                                                    s->in, s->out);
    if (result != SASLSERVER_OK) {
        login_failed(s, buf_cstring(&mech), result);
        goto done;
    }
    prot_printf(s->out, "OK Success (%s)\r\n", saslserver_layername(s->sasl));
    prot_flush(s->out);
    if (saslserver_startlayer(s->sasl, s->in, s->out)) s->closing = true;
    login_done(s);
    goto done;

skip:
    eatline(s->in, s->c, EATLINE_DLIST);
done:
    buf_free(&mech);
    buf_free(&initial);
}

static int make_tls_ctx(void)
{
    struct tls_settings settings;

    if (tls_ctx) return 0;
    tls_settings_server(&settings, "csync");
    settings.any_clientcert = sync_accept_has(true);
    return tls_ctx_new_server(&settings, &tls_ctx);
}

/* Who shows a certificate of sync_accept has its key: there is nothing to log in with. */
static void greet_certificate(struct server *s)
{
    const struct sync_peer *peer = sync_accept_by_certificate(s->tls);

    if (!peer || saslserver_preauth(s->sasl, peer->name) != SASLSERVER_OK) return;
    s->peer = peer;
    login_done(s);
}

static void cmd_starttls(struct server *s, const char *name)
{
    if (!tls_enabled()) {
        prot_puts(s->out, "BAD IMAP_PROTOCOL_ERROR Unrecognized command\r\n");
    }
    else if (s->userid) {
        prot_puts(s->out, "BAD Can't Starttls after authentication\r\n");
    }
    else if (s->tls) {
        prot_puts(s->out, "BAD Already did a successful Starttls\r\n");
    }
    else if (make_tls_ctx()) {
        syslog(LOG_ERR, "error initializing TLS");
        prot_puts(s->out, "NO Error initializing TLS\r\n");
    }
    else {
        prot_puts(s->out, "OK Begin TLS negotiation now\r\n");
        prot_flush(s->out);
        int r = tls_start_server(tls_ctx, s->in, s->out, prot_timeout(s->in), &s->tls);
        if (!r) r = saslserver_set_tls(s->sasl, s->tls);
        if (r) {
            syslog(LOG_NOTICE, "STARTTLS negotiation failed: %s", s->client->clienthost);
            s->closing = true;
            return;
        }
        syslog(LOG_NOTICE, "starttls: %s", tls_describe(s->tls));
        greet_certificate(s);
        put_banner(s);
    }
}

typedef int set_fn(struct protstream *s);

static set_fn *compression(const char *alg)
{
    if (!strcasecmp(alg, "DEFLATE")) return prot_setcompress;
    return !strcasecmp(alg, "ZSTD") && offers_zstd() ? prot_setzstd : NULL;
}

static void cmd_compress(struct server *s, const char *name)
{
    struct buf alg = BUF_INITIALIZER;
    set_fn *set;

    if (s->c == ' ') s->c = getblankword(s->in, &alg);
    s->c = imparse_eol(s->in, s->c);
    if (!buf_len(&alg)) {
        prot_printf(s->out, "BAD Missing required argument to %s\r\n", name);
    }
    else if (s->c != '\n') {
        prot_printf(s->out, "BAD Unexpected extra arguments to %s\r\n", name);
    }
    else if (s->compressed) {
        prot_printf(s->out, "NO Compression already active: %s\r\n", buf_cstring(&alg));
    }
    else if (!(set = compression(buf_cstring(&alg)))) {
        prot_printf(s->out, "NO Unknown compression algorithm: %s\r\n", buf_cstring(&alg));
    }
    else {
        prot_printf(s->out, "OK %s active\r\n", ucase(alg.s));
        prot_flush(s->out);
        s->compressed = true;
        if (set(s->in) || set(s->out)) s->closing = true;
    }
    if (s->c != '\n') eatline(s->in, s->c, EATLINE_DLIST);
    buf_free(&alg);
}

static void cmd_exit(struct server *s, const char *name)
{
    prot_puts(s->out, "OK Finished\r\n");
    s->closing = true;
}

static void cmd_noop(struct server *s, const char *name)
{
    synccmd_lease_end(&s->cmds); /* who has nothing to do has nobody to be alone with */
    prot_puts(s->out, "OK Noop completed\r\n");
}

static void cmd_restart(struct server *s, const char *name)
{
    synccmd_restart(&s->cmds);
    prot_puts(s->out, "OK Restarting\r\n");
}

static void run_verb(struct server *s, enum synccmd_verb verb, const char *word)
{
    struct dlist *dl = NULL;

    if (s->c != ' ') {
        eatline(s->in, s->c, EATLINE_DLIST);
        prot_printf(s->out, "BAD IMAP_PROTOCOL_ERROR Failed to parse %s line\r\n", word);
        return;
    }
    if (synccmd_parse(&s->cmds, &dl)) {
        int err = sync_reserve_take_error(s->cmds.reserve);
        prot_printf(s->out, "BAD IMAP_PROTOCOL_ERROR Failed to parse %s line%s%s\r\n", word,
                    err ? ": " : "", err ? strerror(err) : "");
        return;
    }
    int r = synccmd_run(&s->cmds, verb, dl);
    dlist_free(&dl);
    if (config_getswitch(IMAPOPT_SYNC_LOG_CHAIN)) sync_wait(); /* else nothing of it goes on to others */
    prot_printf(s->out, "%s\r\n", synccmd_status(r));
}

static void cmd_get(struct server *s, const char *name)
{
    run_verb(s, SYNCCMD_GET, "GET");
}

static void cmd_apply(struct server *s, const char *name)
{
    run_verb(s, SYNCCMD_APPLY, "APPLY");
}

static void cmd_restore(struct server *s, const char *name)
{
    run_verb(s, SYNCCMD_RESTORE, "RESTORE");
}

/* ---- reading commands ---- */

#define NEEDS_LOGIN 1u
#define TAKES_ARGS 2u

static const struct command {
    const char *name;
    void (*fn)(struct server *s, const char *name);
    unsigned flags;
} commands[] = {
    { "Apply", cmd_apply, NEEDS_LOGIN | TAKES_ARGS },
    { "Authenticate", cmd_authenticate, TAKES_ARGS },
    { "Compress", cmd_compress, TAKES_ARGS },
    { "Exit", cmd_exit, 0 },
    { "Get", cmd_get, NEEDS_LOGIN | TAKES_ARGS },
    { "Noop", cmd_noop, 0 },
    { "Restart", cmd_restart, 0 },
    { "Restore", cmd_restore, NEEDS_LOGIN | TAKES_ARGS },
    { "Starttls", cmd_starttls, 0 },
};

static const struct command *find_command(const char *word)
{
    for (size_t i = 0; i < array_size(commands); i++)
        if (!strcmp(commands[i].name, word)) return &commands[i];
    return NULL;
}

/* The text of a refusal before the command is looked at, or NULL. */
static const char *refusal(const struct server *s, const struct command *cmd, const char *word)
{
    if (!*word) return "BAD Null command";
    if (s->userid && !s->isadmin) return "NO Permission denied";
    if (!cmd) return "BAD IMAP_PROTOCOL_ERROR Unrecognized command";
    if (!s->userid && (cmd->flags & NEEDS_LOGIN)) return "NO Please authenticate first";
    return NULL;
}

static void run_command(struct server *s, char *word)
{
    imparse_cmdcase(word);
    const struct command *cmd = find_command(word);
    const char *no = refusal(s, cmd, word);

    if (no) {
        eatline(s->in, s->c, EATLINE_DLIST);
        prot_printf(s->out, "%s\r\n", no);
        /* an IMAP client that tries this port first need not wait for its time-out */
        if (!s->userid && !strcmp(word, "C01")) s->closing = true;
        return;
    }
    if (!(cmd->flags & TAKES_ARGS)) {
        s->c = imparse_eol(s->in, s->c);
        if (s->c != '\n') {
            eatline(s->in, s->c, EATLINE_DLIST);
            prot_printf(s->out, "BAD Unexpected extra arguments to %s\r\n", cmd->name);
            return;
        }
    }
    cmd->fn(s, cmd->name);
}

static int on_interrupt(struct protstream *in, void *rock)
{
    return signals_shutdown();
}

static void command_loop(struct server *s)
{
    struct buf word = BUF_INITIALIZER;

    while (!s->closing) {
        if (prot_error(s->out)) break;
        prot_setinterrupt(s->in, on_interrupt, NULL);
        s->c = getword(s->in, &word);
        if (signals_shutdown()) {
            prot_puts(s->out, "BYE shutting down\r\n");
            break;
        }
        if (s->c < 0) {
            const char *err = prot_error(s->in);
            if (err && strcmp(err, PROT_EOF_STRING) != 0) {
                syslog(LOG_WARNING, "%s, closing connection", err);
                prot_printf(s->out, "BYE %s\r\n", err);
            }
            break;
        }
        prot_setinterrupt(s->in, NULL, NULL);
        char *text = buf_release(&word);
        run_command(s, text);
        free(text);
    }
    prot_flush(s->out);
    buf_free(&word);
}

/* ---- the service ---- */

static void usage(void)
{
    fputs("usage: sync_server [-C <alt_config>] [-p <ssf>] [-f]\n", stderr);
    exit(EX_USAGE);
}

int service_init(int argc, char **argv, char **envp)
{
    int opt;

    while ((opt = getopt(argc, argv, "p:f")) != EOF) {
        switch (opt) {
        case 'p': extssf = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'f': break; /* as 3.6.1: accepted, without effect */
        default: usage();
        }
    }
    daemon_set_last_words("* Fatal error: ", true);
    if (saslserver_init()) return EX_SOFTWARE;
    sync_accept_init();
    sync_log_suppress(!config_getswitch(IMAPOPT_SYNC_LOG_CHAIN));
    sync_reserve_sweep();
    return 0;
}

static int sync_timeout(void)
{
    int seconds = config_getduration(IMAPOPT_SYNC_TIMEOUT);

    return seconds < 3 ? 3 : seconds;
}

/* A peer that is trusted unasked comes in; one whose process belongs to somebody else is sent away. */
static void greet_local(struct server *s)
{
    struct buf why = BUF_INITIALIZER;

    if (sync_accept_unasked(s->client, service_is_standalone(), &why)) {
        if (saslserver_preauth(s->sasl, cyrus_user()) == SASLSERVER_OK) login_done(s);
        s->isadmin = s->userid;
    }
    else if (buf_len(&why)) {
        syslog(LOG_NOTICE, "badlogin: %s [%s]", s->client->clienthost, buf_cstring(&why));
        prot_printf(s->out, "* BYE %s\r\n", buf_cstring(&why));
        s->closing = true;
    }
    buf_free(&why);
}

static int give_secret(void *rock, const char *name, struct buf *out)
{
    const struct server *s = rock;

    return sync_accept_secret(name, s->client, s->tls || extssf > 1, out);
}

static int server_start(struct server *s)
{
    struct saslserver_args args = {
        .service = "csync",
        .servername = config_servername,
        .localaddr = *s->client->localaddr ? s->client->localaddr : NULL,
        .remoteaddr = *s->client->remoteaddr ? s->client->remoteaddr : NULL,
        .extssf = extssf,
        .plaintext_ok = sync_accept_has(false) && sync_accept_is_local(s->client),
        .policy = &s->policy,
    };

    s->policy.secret = give_secret;
    s->policy.rock = s;
    s->in = prot_new(0, false);
    s->out = prot_new(1, true);
    prot_settimeout(s->in, sync_timeout());
    prot_settimeout(s->out, sync_timeout());
    prot_setflushonread(s->in, s->out);
    imparse_configlimits(s->in);
    s->telemetry_fd = -1;
    session_new_id();
    synccmd_session_init(&s->cmds, s->in, s->out, NULL);
    synccmd_lease_watch(&s->cmds, true);
    proc_register(config_ident, s->client->clienthost, NULL, NULL, NULL);
    int r = saslserver_new(&args, &s->sasl);
    if (!r) greet_local(s);
    return r;
}

static void server_end(struct server *s)
{
    daemon_tell(NULL);
    synccmd_session_fini(&s->cmds);
    if (s->telemetry_fd >= 0) telemetry_stop(s->telemetry_fd, s->in, s->out);
    if (s->tls) tls_shutdown(s->tls);
    prot_free(s->in);
    prot_free(s->out);
    tls_session_free(&s->tls);
    saslserver_free(&s->sasl);
    proc_cleanup();
    session_clear_id();
}

int service_main(const struct service_client *client, int argc, char **argv, char **envp)
{
    struct server s = { .client = client };
    int r = server_start(&s);

    if (!r) {
        daemon_tell(s.out);
        if (!s.closing) put_banner(&s);
        command_loop(&s);
    }
    server_end(&s);
    return r ? EX_TEMPFAIL : 0;
}

void service_abort(int code)
{
    daemon_end(&tls_ctx, code);
}
