/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_engine -- the LMTP conversation (RFC 2033, RFC 3030; handbook 04 §7.1, §7.2)
 *
 * A table of commands. Lines are bounded, a client that says nothing for six minutes is sent away, and what was sent
 * ahead of STARTTLS is thrown away by the TLS layer.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "proc.h"
#include "sessionid.h"
#include "signals.h"
#include "sync_wait.h"
#include "telemetry.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

enum next { GO_ON, GOODBYE };

/* ---- envelope ---- */

void lmtp_envelope_reset(struct lmtp_session *session)
{
    for (size_t i = 0; i < session->nrcpts; i++) lmtp_rcpt_fini(&session->rcpts[i]);
    xzfree(session->rcpts);
    lmtp_chunks_free(session);
    session->nrcpts = 0;
    session->have_mail = false;
    session->size = 0;
    buf_reset(&session->return_path);
    buf_reset(&session->auth_id);
    auth_freestate(&session->auth);
    session->auth = auth_newstate(NULL);
}

static enum next say(struct lmtp_session *session, const char *text)
{
    prot_printf(session->out, "%s\r\n", text);
    return GO_ON;
}

/* ---- LHLO, NOOP, RSET, VRFY, QUIT ---- */

static enum next cmd_lhlo(struct lmtp_session *session, const char *args)
{
    struct protstream *out = session->out;
    struct buf mechs = BUF_INITIALIZER;
    int max = config_getint(IMAPOPT_MAXMESSAGESIZE);

    while (*args == ' ') args++;
    buf_setcstr(&session->lhlo, args);
    buf_trim(&session->lhlo);
    prot_printf(out,
                "250-%s\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250-SIZE",
                config_servername);
    if (max > 0) prot_printf(out, " %d", max);
    prot_puts(out, "\r\n");
    if (session->tlsctx && !session->tls && !session->authenticated)
        prot_puts(out, "250-STARTTLS\r\n");
    if (session->preauth)
        prot_puts(out, "250-AUTH EXTERNAL\r\n");
    else if (!session->authenticated &&
             saslserver_mechlist(session->sasl, "AUTH ", " ", "", &mechs))
        prot_printf(out, "250-%s\r\n", buf_cstring(&mechs));
    prot_printf(out, "250-IGNOREQUOTA\r\n250 Ok SESSIONID=<%s>\r\n", session_id());
    session_new_id();
    buf_free(&mechs);
    return GO_ON;
}

static enum next cmd_noop(struct lmtp_session *session, const char *args)
{
    (void)args;
    return say(session, "250 2.0.0 ok");
}

static enum next cmd_rset(struct lmtp_session *session, const char *args)
{
    (void)args;
    session_new_id();
    lmtp_envelope_reset(session);
    prot_printf(session->out, "250 2.0.0 Ok SESSIONID=<%s>\r\n", session_id());
    return GO_ON;
}

static enum next cmd_vrfy(struct lmtp_session *session, const char *args)
{
    (void)args;
    return say(session, "252 2.3.3 try RCPT to attempt delivery");
}

static enum next cmd_quit(struct lmtp_session *session, const char *args)
{
    (void)args;
    say(session, "221 2.0.0 bye");
    return GOODBYE;
}

/* ---- AUTH ---- */

void lmtp_trace(struct lmtp_session *session, const char *userid)
{
    telemetry_stop(session->telemetry_fd, session->in, session->out);
    session->telemetry_fd = telemetry_log(userid, session_id(), session->in, session->out);
}

static void log_bad_auth(const struct lmtp_session *session, const char *mech)
{
    syslog(LOG_ERR, "badlogin: %s %s (%s) [%s]", session->client->clienthost, mech,
           saslserver_tried(session->sasl), saslserver_detail(session->sasl));
}

static enum next auth_failed(struct lmtp_session *session, enum saslserver_result result,
                             const char *mech)
{
    int pause = config_getduration(IMAPOPT_FAILEDLOGINPAUSE);

    switch (result) {
    case SASLSERVER_NOMECH: return say(session, "504 Unrecognized authentication type.");
    case SASLSERVER_CANCELLED: return say(session, "501 5.5.4 client canceled authentication");
    case SASLSERVER_READERROR:
        prot_printf(session->out, "501 5.5.4 Error reading client response: %s\r\n",
                    prot_error(session->in) ? prot_error(session->in) : "line too long");
        return prot_error(session->in) ? GOODBYE : GO_ON;
    default:
        log_bad_auth(session, mech);
        if (pause > 0) sleep((unsigned)pause);
        return say(session, "501 5.5.4 undefined error!");
    }
}

static enum next cmd_auth(struct lmtp_session *session, const char *args)
{
    char *copy, *initial;

    if (session->authenticated && !session->preauth)
        return say(session, "503 5.5.0 already authenticated");
    if (session->nrcpts) return say(session, "503 5.5.0 AUTH not permitted now");
    while (*args == ' ') args++;
    copy = xstrdup(args);
    initial = strchr(copy, ' ');
    if (initial) *initial++ = '\0';
    if (session->preauth && !cyr_strcasecmp(copy, "EXTERNAL")) {
        free(copy);
        return say(session, "235 Authenticated!");
    }
    enum saslserver_result result = saslserver_auth(session->sasl, &saslserver_lmtp, copy, initial,
                                                    session->in, session->out);
    enum next next = GO_ON;
    if (result == SASLSERVER_OK) {
        session->authenticated = true;
        syslog(LOG_NOTICE, "login: %s %s %s%s User logged in", session->client->clienthost,
               saslserver_identity(session->sasl)->userid, saslserver_mech(session->sasl),
               session->tls ? "+TLS" : "");
        say(session, "235 Authenticated!");
        lmtp_trace(session, saslserver_identity(session->sasl)->userid);
        if (prot_flush(session->out) ||
            saslserver_startlayer(session->sasl, session->in, session->out))
            next = GOODBYE;
    }
    else {
        next = auth_failed(session, result, copy);
    }
    free(copy);
    return next;
}

/* ---- STARTTLS ---- */

static enum next cmd_starttls(struct lmtp_session *session, const char *args)
{
    (void)args;
    if (!session->tlsctx) return say(session, "500 5.5.2 Syntax error");
    if (session->tls) return say(session, "454 4.3.3 Already successfully executed STARTTLS");
    if (session->have_mail || session->authenticated)
        return say(session, "503 5.5.0 STARTTLS not permitted now");
    say(session, "220 Begin TLS negotiation now");
    if (prot_flush(session->out)) return GOODBYE;
    if (tls_start_server(session->tlsctx, session->in, session->out, LMTP_TIMEOUT, &session->tls)) {
        syslog(LOG_NOTICE, "STARTTLS negotiation failed: %s", session->client->clienthost);
        return GOODBYE;
    }
    syslog(LOG_NOTICE, "starttls: %s", tls_describe(session->tls));
    if (saslserver_set_tls(session->sasl, session->tls)) return GOODBYE;
    if (tls_peer_cn(session->tls) &&
        saslserver_preauth(session->sasl, tls_peer_cn(session->tls)) == SASLSERVER_OK)
        session->authenticated = true;
    buf_reset(&session->lhlo); /* what was said in the clear is forgotten */
    return GO_ON;
}

/* ---- MAIL ---- */

static const char *mail_auth(struct lmtp_session *session, const char *value, size_t len)
{
    if (len == 2 && !memcmp(value, "<>", 2)) len = 0;
    if (!lmtp_decode_xtext(value, len, &session->auth_id))
        return "501 5.5.4 Syntax error in parameters";
    if (!len) return NULL;
    auth_freestate(&session->auth);
    session->auth = auth_newstate(buf_cstring(&session->auth_id));
    return NULL;
}

static const char *mail_body(struct lmtp_session *session, const char *value, size_t len)
{
    (void)session;
    return memcaseeq(value, len, "7BIT", 4) || memcaseeq(value, len, "8BITMIME", 8)
               ? NULL
               : "501 5.5.4 Unrecognized BODY type";
}

static const char *mail_size(struct lmtp_session *session, const char *value, size_t len)
{
    return parse_u64(value, len, &session->size) ? "501 5.5.2 SIZE requires a value" : NULL;
}

static const struct mail_param {
    const char *name;
    const char *(*set)(struct lmtp_session *session, const char *value, size_t len);
} mail_params[] = {
    { "AUTH=", mail_auth },
    { "BODY=", mail_body },
    { "SIZE=", mail_size },
};

/* NULL: all of them are understood; else the answer. */
static const char *parse_mail_params(struct lmtp_session *session, const char *p)
{
    while (*p == ' ') {
        const char *error = "501 5.5.4 Unrecognized parameters";
        while (*p == ' ') p++;
        size_t len = strcspn(p, " ");
        if (!len) break;
        for (size_t i = 0; i < array_size(mail_params); i++) {
            size_t n = strlen(mail_params[i].name);
            if (len < n || !memcaseeq(p, n, mail_params[i].name, n)) continue;
            error = mail_params[i].set(session, p + n, len - n);
        }
        if (error) return error;
        p += len;
    }
    return *p ? "501 5.5.4 Syntax error in parameters" : NULL;
}

static enum next accept_mail(struct lmtp_session *session, const char *args)
{
    bool strict = config_getswitch(IMAPOPT_LMTP_STRICT_RFC2821);
    int max = config_getint(IMAPOPT_MAXMESSAGESIZE);
    const char *error = "501 5.5.4 Syntax error in parameters";

    if (cyr_strncasecmp(args, "FROM:", 5)) return say(session, error);
    args += 5;
    if (lmtp_parse_address(&args, strict, &session->return_path))
        error = parse_mail_params(session, args);
    if (!error && max > 0 && session->size > (uint64_t)max) {
        prot_printf(session->out,
                    "552 5.2.3 Message SIZE exceeds fixed maximum message size (%d)\r\n", max);
        lmtp_envelope_reset(session);
        return GO_ON;
    }
    if (error) {
        say(session, error);
        lmtp_envelope_reset(session);
        return GO_ON;
    }
    session->have_mail = true;
    return say(session, "250 2.1.0 ok");
}

static enum next cmd_mail(struct lmtp_session *session, const char *args)
{
    if (!session->authenticated)
        return say(session, config_getswitch(IMAPOPT_SOFT_NOAUTH) ? "430 Authentication required"
                                                                  : "530 Authentication required");
    if (session->have_mail) return say(session, "503 5.5.1 Nested MAIL command");
    while (*args == ' ') args++;
    return accept_mail(session, args);
}

static const char in_chunks[] = "503 5.5.1 The message comes in chunks";

/* ---- RCPT ---- */

static enum next cmd_rcpt(struct lmtp_session *session, const char *args)
{
    bool strict = config_getswitch(IMAPOPT_LMTP_STRICT_RFC2821), ignorequota = false;
    struct buf address = BUF_INITIALIZER;
    struct lmtp_rcpt rcpt;
    const char *error = NULL;

    if (!session->have_mail) return say(session, "503 5.5.1 Need MAIL command");
    if (session->chunks) return say(session, in_chunks);
    if (session->nrcpts == LMTP_MAX_RCPTS) return say(session, "452 4.5.3 Too many recipients");
    while (*args == ' ') args++;
    if (cyr_strncasecmp(args, "TO:", 3))
        return say(session, "501 5.5.4 Syntax error in parameters");
    args += 3;
    if (!lmtp_parse_address(&args, strict, &address))
        error = "501 5.5.4 Syntax error in parameters";
    while (!error && *args == ' ') args++;
    if (!error && *args) {
        ignorequota = !cyr_strcasecmp(args, "IGNOREQUOTA");
        if (!ignorequota) error = "501 5.5.4 Unrecognized parameters";
    }
    if (error) {
        say(session, error);
    }
    else {
        int r = lmtp_recipient_check(session, buf_cstring(&address), ignorequota, &rcpt);
        if (r) {
            lmtp_reply_result(session->out, r);
        }
        else {
            session->rcpts = xgrow(session->rcpts, session->nrcpts, sizeof(rcpt));
            session->rcpts[session->nrcpts++] = rcpt;
            say(session, "250 2.1.5 ok");
        }
    }
    buf_free(&address);
    return GO_ON;
}

/* ---- DATA, BDAT ---- */

static void reply_fault(struct lmtp_session *session, const struct lmtp_message *message)
{
    if (message->error == IMAP_MESSAGE_TOO_LARGE)
        prot_printf(session->out, "552 5.2.3 Message size (%llu) exceeds fixed maximum message size (%d)\r\n",
                    (unsigned long long)message->size, config_getint(IMAPOPT_MAXMESSAGESIZE));
    else
        lmtp_reply_result(session->out, message->error);
}

/* One answer for each recipient. */
static void deliver(struct lmtp_session *session, struct lmtp_message *message)
{
    sync_wait_begin(true);
    if (!message->error) lmtp_deliver(session, message);
    bool safe = sync_wait();
    for (size_t i = 0; i < session->nrcpts; i++) {
        struct lmtp_rcpt *rcpt = &session->rcpts[i];
        if (!safe && !rcpt->result && sync_wait_is_short(rcpt->userid)) rcpt->result = IMAP_SERVER_UNAVAILABLE;
        if (message->error)
            reply_fault(session, message);
        else
            lmtp_reply_result(session->out, session->rcpts[i].result);
    }
}

static enum next cmd_data(struct lmtp_session *session, const char *args)
{
    struct lmtp_message message;

    (void)args;
    if (session->chunks) return say(session, in_chunks);
    if (!session->nrcpts) return say(session, "503 5.5.1 No recipients");
    say(session, "354 go ahead");
    if (prot_flush(session->out)) return GOODBYE;
    (void)proc_register(config_ident, session->client->clienthost, NULL, NULL, "DATA");
    bool whole = lmtp_message_read(session, &message);
    if (whole) deliver(session, &message);
    lmtp_message_fini(&message);
    lmtp_envelope_reset(session);
    (void)proc_register(config_ident, session->client->clienthost, NULL, NULL, NULL);
    return whole ? GO_ON : GOODBYE;
}

/* "size [LAST]" */
static bool parse_chunk(const char *args, uint64_t *size, bool *last)
{
    args += strspn(args, " ");
    size_t len = strcspn(args, " ");
    const char *rest = args + len + strspn(args + len, " ");

    *last = !cyr_strcasecmp(rest, "LAST");
    return !parse_u64(args, len, size) && (*last || !*rest);
}

/* What follows the line is not for anybody: it is read past, so that it is no command. */
static enum next refuse_chunk(struct lmtp_session *session, uint64_t size)
{
    char bytes[4096];

    while (size) {
        size_t n = prot_read(session->in, bytes, size < sizeof(bytes) ? (size_t)size : sizeof(bytes));
        if (!n) return GOODBYE;
        size -= n;
    }
    return say(session, "503 5.5.1 No recipients");
}

static enum next cmd_bdat(struct lmtp_session *session, const char *args)
{
    uint64_t size;
    bool last;

    /* How much follows is not known, so nothing that follows can be a command. */
    if (!parse_chunk(args, &size, &last)) {
        say(session, "501 5.5.4 Syntax error in parameters");
        return GOODBYE;
    }
    if (!session->nrcpts) return refuse_chunk(session, size);
    (void)proc_register(config_ident, session->client->clienthost, NULL, NULL, "BDAT");
    bool whole = lmtp_chunk_read(session, size);
    if (whole) {
        struct lmtp_message *message = lmtp_chunks_message(session, last);
        if (last)
            deliver(session, message);
        else if (message->error)
            reply_fault(session, message);
        else
            prot_printf(session->out, "250 2.0.0 %llu octets received\r\n", (unsigned long long)size);
    }
    if (last || !whole) lmtp_envelope_reset(session);
    (void)proc_register(config_ident, session->client->clienthost, NULL, NULL, NULL);
    return whole ? GO_ON : GOODBYE;
}

/* ---- the loop ---- */

static const struct command {
    const char *name;
    enum { ARGS_NONE, ARGS_SOME } args;
    bool always; /* even when the administrator has closed the service */
    enum next (*run)(struct lmtp_session *session, const char *args);
} commands[] = {
    { "AUTH", ARGS_SOME, false, cmd_auth },         { "BDAT", ARGS_SOME, false, cmd_bdat },
    { "DATA", ARGS_NONE, false, cmd_data },
    { "LHLO", ARGS_SOME, true, cmd_lhlo },          { "MAIL", ARGS_SOME, false, cmd_mail },
    { "NOOP", ARGS_NONE, true, cmd_noop },          { "QUIT", ARGS_NONE, true, cmd_quit },
    { "RCPT", ARGS_SOME, false, cmd_rcpt },         { "RSET", ARGS_NONE, false, cmd_rset },
    { "STARTTLS", ARGS_NONE, false, cmd_starttls }, { "VRFY", ARGS_SOME, false, cmd_vrfy },
};

/* The command of a line, *args what is behind its word; NULL: none, or arguments do not fit. */
static const struct command *find_command(const struct buf *line, const char **args)
{
    const char *text = buf_base(line);
    size_t len = strcspn(text, " ");

    if (strlen(text) != buf_len(line)) return NULL; /* a NUL is in no command */
    *args = text + len;
    bool some = (*args)[strspn(*args, " ")];
    for (size_t i = 0; i < array_size(commands); i++)
        if (memcaseeq(text, len, commands[i].name, strlen(commands[i].name)))
            return (commands[i].args == ARGS_SOME) == some ? &commands[i] : NULL;
    return NULL;
}

static enum next run_line(struct lmtp_session *session, const struct buf *line)
{
    const char *args = NULL;
    const struct command *command = find_command(line, &args);
    char text[1024];

    if ((!command || !command->always) && shutdown_file(text, sizeof(text))) {
        prot_printf(session->out, "421 4.3.2 %s\r\n", text);
        return GOODBYE;
    }
    return command ? command->run(session, args) : say(session, "500 5.5.2 Syntax error");
}

static void greet(struct lmtp_session *session)
{
    prot_printf(session->out, "220 %s", config_servername);
    if (config_getenum(IMAPOPT_SERVERINFO) == IMAP_ENUM_SERVERINFO_ON)
        prot_printf(session->out, " Cyrus LMTP %s", cyrus_version());
    prot_puts(session->out, " server ready\r\n");
}

static int interrupted(struct protstream *in, void *rock)
{
    (void)in;
    (void)rock;
    return signals_shutdown();
}

void lmtp_run(struct lmtp_session *session)
{
    struct buf line = BUF_INITIALIZER;
    enum next next = GO_ON;

    session_new_id();
    lmtp_envelope_reset(session);
    (void)proc_register(config_ident, session->client->clienthost, NULL, NULL, NULL);
    prot_setinterrupt(session->in, interrupted, NULL);
    greet(session);
    while (next == GO_ON && !signals_shutdown()) {
        if (prot_getline(session->in, &line, LMTP_MAX_LINE) == EOF) {
            if (!prot_is_eof(session->in) && !signals_shutdown())
                prot_printf(session->out, "421 4.4.1 bye %s\r\n",
                            prot_error(session->in) ? prot_error(session->in) : "line too long");
            break;
        }
        buf_cstring(&line);
        next = run_line(session, &line);
    }
    (void)prot_flush(session->out);
    lmtp_envelope_reset(session);
    auth_freestate(&session->auth);
    buf_free(&line);
}
