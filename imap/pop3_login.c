/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3_login -- USER and PASS, APOP, AUTH, and opening the maildrop
 * (RFC 1939 §7, RFC 5034, RFC 3206 response codes; handbook 04 §7.8, 05 §4.3, §6)
 *
 * A wrong password costs failedloginpause seconds, a maildrop that can't be opened OPEN_PAUSE. Afterwards the
 * client may try again. Passwords are never logged.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "imap_err.h"
#include "libconfig.h"
#include "maildrop.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "pop3_session.h"
#include "proc.h"
#include "service.h"
#include "sessionid.h"
#include "signals.h"
#include "telemetry.h"
#include "tls.h"
#include "util.h"
#include "user_home.h"
#include "user_record.h"
#include "user_strays.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define OPEN_PAUSE 3 /* seconds */

static void pause_seconds(int seconds)
{
    if (seconds > 0) signals_poll_fds(NULL, 0, seconds * 1000);
}

/* ---- user+folder ---- */

int pop3_canonify(void *rock, const char *name, size_t len, struct buf *out)
{
    struct pop3_session *s = rock;
    const char *plus = memchr(name, '+', len);
    struct buf user = BUF_INITIALIZER;

    if (!plus) return saslserver_canonify(name, len, out);
    const char *end = name + len;
    const char *domain = memchr(plus, '@', (size_t)(end - plus));
    if (!domain) domain = end;
    buf_setmap(&s->folder, plus + 1, (size_t)(domain - plus - 1));
    buf_setmap(&user, name, (size_t)(plus - name));
    buf_appendmap(&user, domain, (size_t)(end - domain));
    int r = saslserver_canonify(buf_base(&user), buf_len(&user), out);
    buf_copy(&s->folder_user, out);
    buf_free(&user);
    return r;
}

static void forget_folder(struct pop3_session *s)
{
    buf_reset(&s->folder_user);
    buf_reset(&s->folder);
}

/* A folder was told, and it belongs to the name that got in. */
static bool has_folder(struct pop3_session *s)
{
    return buf_len(&s->folder_user) && !strcmp(buf_cstring(&s->folder_user), s->userid);
}

/* The internal name of the user's INBOX, or of the folder below it. */
static char *drop_name(struct pop3_session *s)
{
    mbname_t *mbname = mbname_from_userid(s->userid);
    const char sep[] = { s->ns.hier_sep, '\0' };

    if (has_folder(s)) {
        strarray_t *boxes = strarray_split(buf_cstring(&s->folder), sep, 0);
        for (int i = 0; i < strarray_size(boxes); i++)
            mbname_push_boxes(mbname, strarray_nth(boxes, i));
        strarray_free(boxes);
    }
    char *name = xstrdup(mbname_intname(mbname));
    mbname_free(&mbname);
    return name;
}

/* ---- the maildrop ---- */

static void logout(struct pop3_session *s)
{
    xzfree(s->userid);
    xzfree(s->mboxname);
    auth_freestate(&s->auth);
    forget_folder(s);
    saslserver_reset(s->sasl);
    pop3_session_register(s);
}

static void mend_split(const struct pop3_session *s)
{
    char *inbox = mboxname_user_mbox(s->userid, NULL);
    mbentry_t *mbentry = NULL;

    if (inbox && !mboxlist_lookup(inbox, &mbentry, NULL)) user_mend_files(mbentry);
    mbentry_free(&mbentry);
    free(inbox);
}

static int open_drop(struct pop3_session *s)
{
    const struct maildrop_args args = {
        .name = s->mboxname,
        .userid = s->userid,
        .auth = s->auth,
        .useacl = config_getswitch(IMAPOPT_POPUSEACL),
        .useimapflags = config_getswitch(IMAPOPT_POPUSEIMAPFLAGS),
        .minpoll = config_getduration(IMAPOPT_POPMINPOLL),
        .pollpadding = config_getint(IMAPOPT_POPPOLLPADDING),
        .now = time(NULL),
    };
    bool is_admin = saslserver_identity(s->sasl)->is_admin;

    mend_split(s);
    int r = maildrop_open(&args, &s->drop);
    if (r != IMAP_MAILBOX_NONEXISTENT || is_admin || has_folder(s)) return r;
    r = autocreate_user(s->userid, &s->ns);
    return r ? r : maildrop_open(&args, &s->drop);
}

static void open_failed(struct pop3_session *s, int r)
{
    int minutes = config_getduration(IMAPOPT_POPMINPOLL) / 60;

    if (r == IMAP_AGAIN) {
        const char *plural = minutes == 1 ? "" : "s";
        syslog(LOG_ERR, "%s: Logins must be at least %d minute%s apart", s->mboxname, minutes,
               plural);
        pop3_err(s, "[LOGIN-DELAY] Logins must be at least %d minute%s apart", minutes, plural);
    }
    else {
        syslog(LOG_INFO, "Unable to open maildrop %s: %s", s->mboxname, error_message(r));
        pause_seconds(OPEN_PAUSE);
        pop3_err(s, "[SYS/TEMP] Unable to open maildrop: %s", error_message(r));
    }
    logout(s);
}

/* ---- who ---- */

static void log_bad(struct pop3_session *s, const char *mech, const char *user)
{
    syslog(LOG_NOTICE, "badlogin: %s %s (%s) [%s]", s->client->clienthost, mech,
           user ? user : saslserver_tried(s->sasl), saslserver_detail(s->sasl));
}

static void log_good(struct pop3_session *s)
{
    bool folder = has_folder(s);

    syslog(LOG_NOTICE, "login: %s %s%s%s %s%s User logged in SESSIONID=<%s>", s->client->clienthost,
           s->userid, folder ? "+" : "", folder ? buf_cstring(&s->folder) : "",
           saslserver_mech(s->sasl), s->tls ? "+TLS" : "", session_id());
}

/* Too many sessions: answered. */
static bool over_limits(struct pop3_session *s)
{
    struct proc_limits limits = {
        .clienthost = s->client->clienthost,
        .userid = s->userid,
    };
    struct buf text = BUF_INITIALIZER;

    if (!proc_checklimits(&limits, &text)) return false;
    syslog(LOG_ERR, "%s", buf_cstring(&text));
    pop3_err(s, "%s", buf_cstring(&text));
    buf_free(&text);
    logout(s);
    return true;
}

/* The password is right, but nobody comes in as this user now: answered. */
static bool refused(struct pop3_session *s)
{
    struct buf text = BUF_INITIALIZER;
    enum user_refusal no = user_record_refuses(s->userid, &text);

    if (no) {
        syslog(LOG_NOTICE, "badlogin: %s %s (%s) [%s]", s->client->clienthost, saslserver_mech(s->sasl), s->userid,
               buf_cstring(&text));
        pop3_err(s, "[%s] %s", no == USER_NOT_HERE ? "SYS/PERM" : "SYS/TEMP", buf_cstring(&text));
        logout(s);
    }
    buf_free(&text);
    return no != USER_WELCOME;
}

/* libsasl knows who it is: open the maildrop and answer. */
static void login(struct pop3_session *s)
{
    bool plain = !strcmp(saslserver_mech(s->sasl), "plaintext");

    s->userid = xstrdup(saslserver_identity(s->sasl)->userid);
    if (refused(s) || over_limits(s)) return;
    user_home_set_guard(USER_HOME_CLIENT);
    s->auth = auth_newstate(s->userid);
    log_good(s);
    int r = mboxname_init_namespace(&s->ns, false);
    s->mboxname = drop_name(s);
    if (!r) r = open_drop(s);
    if (r) {
        open_failed(s, r);
        return;
    }
    if (plain && !s->tls) pause_seconds(config_getduration(IMAPOPT_PLAINTEXTLOGINPAUSE));
    s->telemetry_fd = telemetry_log(s->userid, session_id(), s->in, s->out);
    pop3_session_register(s);
    prot_printf(s->out, "+OK Mailbox locked and ready SESSIONID=<%s>\r\n", session_id());
    if (saslserver_layer_ssf(s->sasl) &&
        (prot_flush(s->out) || saslserver_startlayer(s->sasl, s->in, s->out)))
        s->closing = true;
}

static void login_failed(struct pop3_session *s, enum saslserver_result result, const char *mech,
                         const char *user)
{
    if (result == SASLSERVER_READERROR) {
        s->closing = true;
        return;
    }
    if (result == SASLSERVER_CANCELLED) {
        pop3_err(s, "[AUTH] Client canceled authentication");
        return;
    }
    log_bad(s, mech, user);
    if (result == SASLSERVER_FAIL || result == SASLSERVER_DENIED)
        pause_seconds(config_getduration(IMAPOPT_FAILEDLOGINPAUSE));
    if (result == SASLSERVER_BADUSER)
        pop3_err(s, "[AUTH] Invalid user");
    else if (user && !strcmp(mech, "plaintext"))
        pop3_err(s, "[AUTH] Invalid login");
    else
        pop3_err(s, "[AUTH] authenticating: %s", saslserver_errtext(s->sasl));
}

/* ---- USER, PASS ---- */

void pop3_cmd_user(struct pop3_session *s, const char *args)
{
    struct buf canonical = BUF_INITIALIZER;
    size_t len = strlen(args);

    while (len && args[len - 1] == ' ') len--;
    if (!saslserver_plaintext_ok(s->sasl)) {
        pop3_err(s, "[AUTH] USER command only available under a layer");
        return;
    }
    if (buf_len(&s->user)) {
        pop3_err(s, "[AUTH] Must give PASS command");
        return;
    }
    int r = s->policy.canonify ? s->policy.canonify(s->policy.rock, args, len, &canonical)
                               : saslserver_canonify(args, len, &canonical);
    forget_folder(s);
    buf_free(&canonical);
    if (r) {
        syslog(LOG_NOTICE, "badlogin: %s plaintext (%.*s) invalid user", s->client->clienthost,
               (int)cyr_min(len, (size_t)256), args);
        pop3_err(s, "[AUTH] Invalid user");
        return;
    }
    buf_setmap(&s->user, args, len);
    pop3_ok(s, "Name is a valid mailbox");
}

void pop3_cmd_pass(struct pop3_session *s, const char *args)
{
    if (!buf_len(&s->user)) {
        pop3_err(s, "[AUTH] Must give USER command");
        return;
    }
    forget_folder(s);
    enum saslserver_result result = saslserver_checkpass(s->sasl, buf_cstring(&s->user), args);
    if (result == SASLSERVER_OK)
        login(s);
    else
        login_failed(s, result, "plaintext", buf_cstring(&s->user));
    buf_reset(&s->user);
}

/* ---- APOP, AUTH ---- */

void pop3_cmd_apop(struct pop3_session *s, const char *args)
{
    size_t namelen = strcspn(args, " ");
    char *user;

    if (!buf_len(&s->challenge)) {
        pop3_err(s, "Unrecognized command");
        return;
    }
    if (!args[namelen + strspn(args + namelen, " ")]) {
        pop3_err(s, "Missing argument");
        return;
    }
    forget_folder(s);
    buf_reset(&s->user);
    user = xstrndup(args, namelen);
    enum saslserver_result result = saslserver_checkapop(s->sasl, buf_cstring(&s->challenge), args);
    if (result == SASLSERVER_OK)
        login(s);
    else
        login_failed(s, result, "APOP", user);
    free(user);
}

static void list_mechanisms(struct pop3_session *s)
{
    struct buf mechs = BUF_INITIALIZER;

    pop3_ok(s, "List of supported mechanisms follows");
    if (saslserver_mechlist(s->sasl, "", "\r\n", "\r\n", &mechs)) prot_putbuf(s->out, &mechs);
    prot_puts(s->out, ".\r\n");
    buf_free(&mechs);
}

void pop3_cmd_auth(struct pop3_session *s, const char *args)
{
    char *mech, *initial;

    if (config_getswitch(IMAPOPT_TLS_REQUIRED) && !s->tls && s->options->extssf < 2) {
        pop3_err(s, "[AUTH] AUTH command only available under a layer");
        return;
    }
    if (!*args) {
        list_mechanisms(s);
        return;
    }
    forget_folder(s);
    buf_reset(&s->user);
    mech = xstrdup(args);
    initial = strchr(mech, ' ');
    if (initial) *initial++ = '\0';
    enum saslserver_result result = saslserver_auth(s->sasl, &saslserver_imap, mech, initial, s->in,
                                                    s->out);
    if (result == SASLSERVER_OK)
        login(s);
    else
        login_failed(s, result, mech, NULL);
    secure_zero(mech, strlen(args));
    free(mech);
}
