/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_ask -- the sessions of one server, and one command with its answers
 *
 * Two sessions: the administrator's own, and one in which the administrator acts as the user
 * (SASL authorisation id): only that one may examine the user's mailboxes. What the server can tell
 * is learned from its capabilities after login; a fact that it does not announce is never asked for.
 */
#include <config.h>

#include "check_replication_ask.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "prot.h"
#include "util.h"
#include "xmalloc.h"

int check_end_failed(struct check_end *end, int r, const char *what, const char *text)
{
    free(end->error);
    end->error = xasprintf("%s: %s", what, text && *text ? text : error_message(r));
    return r;
}

const char *check_end_error(const struct check_end *end)
{
    return end->error ? end->error : "";
}

/* ---- commands ---- */

void check_put_argument(struct buf *cmd, const char *s)
{
    bool plain = true;

    for (const char *p = s; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            plain = false;
    if (plain)
        buf_printf(cmd, " \"%s\"", s);
    else
        buf_printf(cmd, " {%zu+}\r\n%s", strlen(s), s);
}

/* The line, or what follows its number, begins with that word. */
static bool says(const char *line, const char *kind)
{
    size_t len = strlen(kind);

    while (cyr_isdigit(*line) || *line == ' ') line++;
    return !cyr_strncasecmp(line, kind, len) && (line[len] == ' ' || !line[len]);
}

struct answers {
    struct check_ask *ask;
    const struct check_take *takes;
};

static void on_untagged(void *rock, const char *line, size_t len)
{
    const struct answers *answers = rock;
    const struct check_take *take = answers->takes;

    while (take->kind && !says(line, take->kind)) take++;
    if (!take->kind) return;
    bool parsed = strcmp(take->kind, "OK") != 0;
    struct dlist *response = parsed ? check_parse_response(line, len) : NULL;
    if (parsed && !response)
        answers->ask->bad = true;
    else
        take->fn(answers->ask, response, line);
    dlist_free(&response);
}

int check_ask(struct check_ask *ask, struct backend *b, struct buf *cmd,
              const struct check_take *takes)
{
    struct buf text = BUF_INITIALIZER;
    struct answers answers = { ask, takes };
    int r = backend_imapcmd(b, on_untagged, &answers, &text, "%s", buf_cstring(cmd));

    if (!r && ask->bad) {
        r = IMAP_PROTOCOL_ERROR;
        buf_setcstr(&text, "the answer cannot be understood");
    }
    if (r) {
        char *eol = strchr(cmd->s, '\r');
        if (eol) *eol = '\0';
        check_end_failed(ask->end, r, cmd->s, buf_cstring(&text));
    }
    buf_free(&text);
    buf_free(cmd);
    return r;
}

int check_try(struct check_ask *ask, struct backend *b, struct buf *cmd,
              const struct check_take *takes)
{
    static const struct check_take none[] = { { NULL, NULL } };
    int r = check_ask(ask, b, cmd, takes ? takes : none);

    if ((r == IMAP_REMOTE_DENIED || r == IMAP_PROTOCOL_ERROR) && !prot_error(backend_in(b))) {
        free(ask->end->error);
        ask->end->error = NULL;
    }
    return r;
}

int check_ask_mailbox(struct check_ask *ask, struct backend *b, const char *command,
                      const char *name, const char *rest, const struct check_take *takes)
{
    struct buf cmd = BUF_INITIALIZER;

    buf_setcstr(&cmd, command);
    check_put_argument(&cmd, name);
    buf_appendcstr(&cmd, rest);
    return check_ask(ask, b, &cmd, takes);
}

/* ---- sessions ---- */

static int connect_as(struct check_end *end, const char *userid, struct backend **bp)
{
    struct backend_args args = {
        .server = end->login.server,
        .protocol = &backend_imap,
        .userid = userid,
        .authname = end->login.authname,
        .password = end->login.password,
        .mechs = end->login.mechs,
        .ca_file = end->login.ca_file,
        .require_tls = end->login.require_tls,
        .timeout = end->login.timeout,
        .logfd = -1,
    };
    struct buf text = BUF_INITIALIZER;
    int r = backend_connect(&args, bp, &text);

    if (r) {
        char *what = xasprintf("login%s%s", userid ? " as " : "", userid ? userid : "");
        check_end_failed(end, r, what, buf_cstring(&text));
        free(what);
    }
    buf_free(&text);
    return r;
}

static void take_capability(struct check_ask *ask, const struct dlist *response, const char *line)
{
    const char *word;

    (void)line;
    for (const struct dlist *at = dlist_getchildn(response, 1); at; at = at->next)
        for (int fact = 0; dlist_toatom(at, &word) && fact < CHECK_NFACTS; fact++)
            if (!cyr_strcasecmp(word, check_fact_capability((enum check_fact)fact)))
                ask->end->facts |= CHECK_FACT_BIT(fact);
}

static int learn_facts(struct check_end *end)
{
    static const struct check_take takes[] = { { "CAPABILITY", take_capability }, { NULL, NULL } };
    struct check_ask ask = { .end = end };
    struct buf cmd = BUF_INITIALIZER;

    end->facts &= CHECK_FACT_BIT(CHECK_FACT_CID);
    buf_setcstr(&cmd, "CAPABILITY");
    return check_ask(&ask, end->admin, &cmd, takes);
}

static void take_namespace(struct check_ask *ask, const struct dlist *response, const char *line)
{
    struct check_names *names = ask->user ? &ask->end->user_names : &ask->end->admin_names;

    (void)line;
    if (!check_parse_namespace(names, response)) ask->bad = true;
}

static int learn_names(struct check_end *end, struct backend *b, struct check_user *user)
{
    static const struct check_take takes[] = { { "NAMESPACE", take_namespace }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .user = user };
    struct check_names *names = user ? &end->user_names : &end->admin_names;
    struct buf cmd = BUF_INITIALIZER;

    check_names_fini(names);
    if (user) names->userid = xstrdup(user->userid);
    buf_setcstr(&cmd, "NAMESPACE");
    int r = check_ask(&ask, b, &cmd, takes);
    if (!r && !names->sep) r = check_end_failed(end, IMAP_PROTOCOL_ERROR, "NAMESPACE", "no answer");
    return r;
}

static int open_admin(struct check_end *end)
{
    int r = connect_as(end, NULL, &end->admin);
    if (!r) r = learn_facts(end);
    if (!r) r = learn_names(end, end->admin, NULL);
    if (r) backend_disconnect(&end->admin);
    return r;
}

int check_end_open(struct check_end *end, const struct check_login *login)
{
    memset(end, 0, sizeof(*end));
    end->login = *login;
    return open_admin(end);
}

int check_end_renew(struct check_end *end)
{
    if (end->admin && !backend_ping(end->admin)) return 0;
    backend_disconnect(&end->admin);
    return open_admin(end);
}

int check_end_become(struct check_end *end, struct check_user *user)
{
    backend_disconnect(&end->user);
    int r = connect_as(end, user->userid, &end->user);
    if (!r) r = learn_names(end, end->user, user);
    return r;
}

static bool is_lost(struct backend *b)
{
    return b && prot_error(backend_in(b));
}

bool check_end_lost(const struct check_end *end)
{
    return !end->admin || is_lost(end->admin) || is_lost(end->user);
}

void check_end_close(struct check_end *end)
{
    backend_disconnect(&end->user);
    backend_disconnect(&end->admin);
    check_names_fini(&end->admin_names);
    check_names_fini(&end->user_names);
    free(end->error);
}
