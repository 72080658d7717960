/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3_session -- the life of one POP3 connection, and which command may run now
 *
 * Lines are bounded: one that is too long ends the session, so that no part of it is ever
 * taken for a command. Commands that the state does not allow are unknown. A connection that ends
 * without QUIT changes nothing.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "global.h"
#include "imap_err.h"
#include "imap_policy.h"
#include "libconfig.h"
#include "maildrop.h"
#include "pop3_session.h"
#include "proc.h"
#include "service.h"
#include "signals.h"
#include "telemetry.h"
#include "tls.h"
#include "user_record.h"
#include "userdeny.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define TEXT_MAX 1024

/* ---- life ---- */

int pop3_session_init(struct pop3_session *s, const struct pop3_options *options,
                      const struct service_client *client, struct protstream *in,
                      struct protstream *out, struct tls_ctx **tls_ctx)
{
    *s = (struct pop3_session){
        .options = options,
        .client = client,
        .in = in,
        .out = out,
        .tls_ctx = tls_ctx,
        .telemetry_fd = -1,
        .policy = imap_policy,
    };
    const struct saslserver_args args = {
        .service = "pop",
        .servername = config_servername,
        .localaddr = *client->localaddr ? client->localaddr : NULL,
        .remoteaddr = *client->remoteaddr ? client->remoteaddr : NULL,
        .extssf = options->extssf,
        .policy = &s->policy,
    };

    if (config_getswitch(IMAPOPT_POPSUBFOLDERS)) {
        s->policy.canonify = pop3_canonify;
        s->policy.rock = s;
    }
    return saslserver_new(&args, &s->sasl);
}

void pop3_session_fini(struct pop3_session *s)
{
    telemetry_stop(s->telemetry_fd, s->in, s->out);
    maildrop_close(&s->drop);
    auth_freestate(&s->auth);
    saslserver_free(&s->sasl);
    tls_session_free(&s->tls);
    xzfree(s->userid);
    xzfree(s->mboxname);
    buf_free(&s->challenge);
    buf_free(&s->user);
    buf_free(&s->folder_user);
    buf_free(&s->folder);
}

void pop3_session_register(struct pop3_session *s)
{
    proc_register(service_name(), s->client->clienthost, s->userid, s->mboxname, NULL);
}

/* ---- answers ---- */

void pop3_err(struct pop3_session *s, const char *fmt, ...)
{
    va_list ap;

    prot_puts(s->out, "-ERR ");
    va_start(ap, fmt);
    prot_vprintf(s->out, fmt, ap);
    va_end(ap);
    prot_puts(s->out, "\r\n");
}

void pop3_ok(struct pop3_session *s, const char *text)
{
    prot_printf(s->out, "+OK%s%s\r\n", *text ? " " : "", text);
}

/* ---- commands ---- */

static const struct pop3_command commands[] = {
    { "APOP", POP3_BEFORE, POP3_ARGS_REQUIRED, pop3_cmd_apop },
    { "AUTH", POP3_BEFORE, POP3_ARGS_ANY, pop3_cmd_auth },
    { "CAPA", POP3_BEFORE | POP3_AFTER, POP3_ARGS_NONE, pop3_cmd_capa },
    { "DELE", POP3_AFTER, POP3_ARGS_REQUIRED, pop3_cmd_dele },
    { "LIST", POP3_AFTER, POP3_ARGS_ANY, pop3_cmd_list },
    { "NOOP", POP3_AFTER, POP3_ARGS_NONE, pop3_cmd_noop },
    { "PASS", POP3_BEFORE, POP3_ARGS_REQUIRED, pop3_cmd_pass },
    { "QUIT", POP3_BEFORE | POP3_AFTER, POP3_ARGS_NONE, pop3_cmd_quit },
    { "RETR", POP3_AFTER, POP3_ARGS_REQUIRED, pop3_cmd_retr },
    { "RSET", POP3_AFTER, POP3_ARGS_NONE, pop3_cmd_rset },
    { "STAT", POP3_AFTER, POP3_ARGS_NONE, pop3_cmd_stat },
    { "STLS", POP3_BEFORE, POP3_ARGS_NONE, pop3_cmd_stls },
    { "TOP", POP3_AFTER, POP3_ARGS_REQUIRED, pop3_cmd_top },
    { "UIDL", POP3_AFTER, POP3_ARGS_ANY, pop3_cmd_uidl },
    { "USER", POP3_BEFORE, POP3_ARGS_REQUIRED, pop3_cmd_user },
};

const struct pop3_command *pop3_command_find(const char *name)
{
    for (size_t i = 0; i < array_size(commands); i++)
        if (!cyr_strcasecmp(name, commands[i].name)) return &commands[i];
    return NULL;
}

/* False: the arguments can't be those of the command, and that was said. */
static bool args_fit(struct pop3_session *s, const struct pop3_command *command, const char *args)
{
    bool blank = args && !args[strspn(args, " ")];

    if (blank && command->args == POP3_ARGS_NONE)
        pop3_err(s, "Syntax error");
    else if (args && command->args == POP3_ARGS_NONE)
        pop3_err(s, "Unexpected extra argument");
    else if ((blank || !args) && command->args == POP3_ARGS_REQUIRED)
        pop3_err(s, "Missing argument");
    else
        return true;
    return false;
}

static void run_line(struct pop3_session *s, struct buf *line)
{
    const struct pop3_command *command = NULL;
    struct pop3_line parsed;

    if (pop3_parse_line(line, &parsed)) command = pop3_command_find(parsed.verb);
    if (!command || !(command->states & (s->drop ? POP3_AFTER : POP3_BEFORE))) {
        pop3_err(s, "Unrecognized command");
        return;
    }
    if (!args_fit(s, command, parsed.args)) return;
    const char *args = parsed.args ? parsed.args : "";
    if (command->run != pop3_cmd_pass) args += strspn(args, " ");
    command->run(s, args);
}

/* ---- the loop ---- */

/* The administrator has closed the service, or denied it to this user: said. */
static bool is_closed(struct pop3_session *s)
{
    struct buf why = BUF_INITIALIZER;
    char text[TEXT_MAX];
    bool closed = shutdown_file(text, sizeof(text)) ||
                  (s->userid && userdeny_check(s->userid, service_name(), text, sizeof(text)));

    if (closed)
        pop3_err(s, "[SYS/TEMP] %s", text);
    enum user_refusal no = closed || !s->userid ? USER_WELCOME : user_record_refuses_now(s->userid, &s->refusal_asked, &why);
    if (no) {
        closed = true;
        pop3_err(s, "[%s] %s", no == USER_NOT_HERE ? "SYS/PERM" : "SYS/TEMP", buf_cstring(&why));
    }
    buf_free(&why);
    return closed;
}

/* A session that was idle for too long ends without a word (RFC 1939 §3). */
static void end_of_input(struct pop3_session *s)
{
    const char *error = prot_error(s->in);

    if (signals_shutdown() || !error || prot_is_eof(s->in)) return;
    syslog(LOG_WARNING, "%s, closing connection", error);
    if (!prot_is_timeout(s->in)) pop3_err(s, "[SYS/TEMP] %s", error);
}

static int interrupted(struct protstream *in, void *rock)
{
    (void)in;
    (void)rock;
    return signals_shutdown();
}

void pop3_session_run(struct pop3_session *s)
{
    struct buf line = BUF_INITIALIZER;

    prot_setflushonread(s->in, s->out);
    prot_settimeout(s->in, s->options->timeout);
    prot_settimeout(s->out, s->options->timeout);
    prot_setinterrupt(s->in, interrupted, NULL);
    pop3_greet(s);
    while (!s->closing && !signals_shutdown() && !prot_error(s->out)) {
        if (prot_getline(s->in, &line, POP3_MAX_LINE)) {
            end_of_input(s);
            break;
        }
        if (is_closed(s)) break;
        run_line(s, &line);
        if (line.s) secure_zero(line.s, line.len); /* it may have been a password */
    }
    prot_flush(s->out);
    syslog(LOG_NOTICE, "counts: retr=<%u> top=<%u> dele=<%u>", s->retr, s->top, s->dele);
    if (line.s) secure_zero(line.s, line.alloc);
    buf_free(&line);
}
