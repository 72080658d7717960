/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_dispatch -- greeting, command lines, and which command may run now
 *
 * One line is one command; its word is looked up in the table of imapcmd/commands.c, whose
 * flags say in which state it may run. Before each command the administrator's
 * messages are looked for, and signals. Texts: handbook 04 §1.1, §2.1.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "global.h"
#include "imap_notify.h"
#include "imap_session.h"
#include "libconfig.h"
#include "service.h"
#include "signals.h"
#include "sync_wait.h"
#include "times.h"
#include "user_record.h"
#include "userdeny.h"
#include "xsyslog.h"

#define TEXT_MAX 1024
#define REST_MS 1000

static void greeting(struct imap_session *s)
{
    struct buf line = BUF_INITIALIZER;

    buf_setcstr(&line, "* OK [CAPABILITY ");
    imap_capabilities(s, false, &line);
    buf_appendcstr(&line, "]");
    int info = config_getenum(IMAPOPT_SERVERINFO);
    if (info != IMAP_ENUM_SERVERINFO_OFF) buf_printf(&line, " %s", config_servername);
    if (info == IMAP_ENUM_SERVERINFO_ON) buf_printf(&line, " Cyrus IMAP %s", cyrus_version());
    buf_appendcstr(&line, " server ready\r\n");
    prot_putbuf(s->out, &line);
    buf_free(&line);

    char motd[TEXT_MAX];
    if (motd_file(motd, sizeof(motd))) prot_printf(s->out, "* OK [ALERT] %s\r\n", motd);
}

bool imap_session_alert(struct imap_session *s)
{
    struct buf why = BUF_INITIALIZER;
    char text[TEXT_MAX];
    const char *p = text, *code = "ALERT";

    if (!s->userid || s->isadmin) return false;
    bool closed = shutdown_file(text, sizeof(text)) || userdeny_check(s->userid, service_name(), text, sizeof(text));
    enum user_refusal no = closed ? USER_WELCOME : user_record_refuses_now(s->userid, &s->refusal_asked, &why);
    if (no == USER_NOT_AT_HOME && s->by_admin) no = USER_WELCOME;
    if (no) {
        closed = true;
        p = buf_cstring(&why);
        if (no != USER_NOT_HERE) code = "UNAVAILABLE";
    }
    while (closed && *p == '[') p++;
    if (closed) imap_bye(s, "[%s] %s", code, p);
    buf_free(&why);
    return closed;
}

/* The input is at its end. */
static void end_of_input(struct imap_session *s)
{
    const char *error = prot_error(s->in);

    if (signals_shutdown() || !error) return;
    if (prot_is_timeout(s->in)) imap_bye(s, "%s", error);
    if (!prot_is_eof(s->in)) syslog(LOG_WARNING, "%s, closing connection", error);
}

static void capitalise(struct buf *word)
{
    buf_lcase(word);
    if (buf_len(word)) word->s[0] = cyr_toupper(word->s[0]);
}

/* False: answered. */
static bool state_allows(struct imap_session *s, const struct imap_command *cmd)
{
    if (!s->userid && (!cmd || (cmd->flags & CMD_AUTH)) &&
        (cmd || !strchr("AELNCIS", *buf_cstring(&s->cmdname)))) {
        imap_bad(s, "Please login first");
        return false;
    }
    if (!cmd || ((cmd->flags & CMD_ADMIN) && !s->isadmin)) {
        imap_bad(s, "Unrecognized command");
        return false;
    }
    if ((cmd->flags & CMD_SELECTED) && !s->index) {
        imap_bad(s, "Please select a mailbox first");
        return false;
    }
    if ((cmd->flags & CMD_NUMBERS) && s->uidonly && !s->usinguid) {
        imap_uid_required(s);
        return false;
    }
    if ((cmd->flags & CMD_WRITE) && s->options->readonly) {
        imap_no(s, "This connection is configured for read-only access");
        return false;
    }
    return true;
}

/* UID FETCH and its kin: the command behind the word UID. */
static const struct imap_command *uid_command(struct imap_session *s)
{
    struct buf word = BUF_INITIALIZER;
    const struct imap_command *cmd = NULL;

    if (!s->userid || !s->index) return imap_command_find("FETCH"); /* its state is what is wrong */
    if (imap_arg_word(s, &word)) {
        if (s->c == ' ') cmd = imap_command_find(buf_cstring(&word));
        if (cmd && !(cmd->flags & CMD_UID)) cmd = NULL;
        if (!cmd) imap_bad(s, s->c == ' ' ? "Unrecognized UID subcommand" : "Missing required argument to Uid");
    }
    s->usinguid = true;
    capitalise(&word);
    buf_setcstr(&s->modname, "UID ");
    buf_append(&s->modname, &word);
    buf_free(&word);
    return cmd;
}

static void log_slow(struct imap_session *s)
{
    const char *min = config_getstring(IMAPOPT_COMMANDMINTIMER);
    double total = monotonic_seconds() - s->start;

    if (!min || total < strtod(min, NULL)) return;
    syslog(LOG_NOTICE, "cmdtimer: sessionid=<> userid=<%s> command=<%s> mailbox=<> total=<%.3f>",
           s->userid ? s->userid : "", buf_cstring(&s->cmdname), total);
}

static void run(struct imap_session *s, const struct imap_command *cmd)
{
    s->command = cmd;
    imap_session_register(s, buf_cstring(&s->cmdname));
    if (strncmp(buf_cstring(&s->cmdname), "Sync", 4) != 0) imap_session_leave_sync(s);
    sync_wait_begin(cmd->flags & CMD_WRITE);
    cmd->run(s);
    if (!s->answered && !s->closing) {
        if (s->c == IMPARSE_EOF || prot_error(s->in))
            s->closing = true;
        else
            imap_bad(s, "Internal Error");
    }
    s->command = NULL;
    log_slow(s);
}

/* Tag and word. False: the line was answered, or the input is at its end. */
static bool read_command_line(struct imap_session *s)
{
    buf_reset(&s->cmdname);
    s->c = getword(s->in, &s->tag);
    if (s->c == IMPARSE_EOF) {
        s->closing = true;
        return false;
    }
    if (imparse_is_fatal(s->c)) {
        imap_bad(s, "%s", "");
        return false;
    }
    if (s->c != ' ' || !imparse_istag(buf_cstring(&s->tag))) {
        imap_skip(s);
        prot_puts(s->out, "* BAD Invalid tag\r\n");
        return false;
    }
    s->c = getword(s->in, &s->cmdname);
    if (s->c < 0 || !buf_len(&s->cmdname)) {
        imap_bad(s, "Null command");
        return false;
    }
    capitalise(&s->cmdname);
    return true;
}

bool imap_session_command(struct imap_session *s)
{
    s->answered = s->reported = s->usinguid = false;
    prot_markcommand(s->in);
    if (!read_command_line(s)) {
        if (s->closing) end_of_input(s);
        return !s->closing;
    }
    s->start = s->progress_told = monotonic_seconds();
    s->cpu_start = (double)clock() / CLOCKS_PER_SEC;
    buf_copy(&s->modname, &s->cmdname);

    bool isuid = !buf_cmpcstr(&s->cmdname, "Uid");
    const struct imap_command *cmd = isuid ? uid_command(s)
                                           : imap_command_find(buf_cstring(&s->cmdname));
    if (!s->answered && state_allows(s, cmd)) run(s, cmd);
    if (s->closing && !s->no_farewell && prot_error(s->in)) end_of_input(s);
    return !s->closing;
}

/* A client that has been silent for REST_MS is given no more than its session needs; a lease, while its peer may have it. */
static int rest(struct protstream *in, void *rock)
{
    if (!imap_session_is_syncing(rock)) prot_setwaittimer(in, 0, NULL, NULL);
    imap_session_rest(rock);
    imap_notify_poll(rock);
    return 0;
}

static int interrupted(struct protstream *in, void *rock)
{
    (void)in;
    (void)rock;
    return signals_shutdown();
}

void imap_session_run(struct imap_session *s)
{
    prot_setflushonread(s->in, s->out);
    prot_settimeout(s->in, s->options->timeout);
    prot_settimeout(s->out, s->options->timeout);
    prot_setinterrupt(s->in, interrupted, NULL);
    imparse_configlimits(s->in);
    greeting(s);
    while (!signals_shutdown()) {
        prot_setwaittimer(s->in, REST_MS, rest, s);
        imap_notify_begin_wait(s);
        int c = s->closing ? EOF : prot_peek(s->in);
        imap_notify_end_wait(s);
        prot_setwaittimer(s->in, 0, NULL, NULL);
        if (c == EOF) {
            if (!s->closing) end_of_input(s);
            break;
        }
        if (imap_session_alert(s)) break;
        if (!imap_session_command(s)) break;
        if (prot_error(s->out)) break;
        buf_free(&s->modname);
        if (!prot_ready(s->in)) imap_session_register(s, NULL);
    }
    prot_flush(s->out);
}
