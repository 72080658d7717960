/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LOGIN, AUTHENTICATE, UNAUTHENTICATE (RFC 3501 §6.2, RFC 4959, RFC 8437; handbook 04 §3.1, 05 §4.3)
 *
 * A wrong password costs failedloginpause seconds. Passwords are wiped from memory
 * and never logged.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "proc.h"
#include "service.h"
#include "sessionid.h"
#include "signals.h"
#include "tls.h"
#include "user_record.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static void pause_seconds(int seconds)
{
    if (seconds > 0) signals_poll_fds(NULL, 0, seconds * 1000);
}

static void log_bad(struct imap_session *s, const char *mech, const char *user)
{
    syslog(LOG_NOTICE, "badlogin: %s %s (%s) [%s]", s->client->clienthost, mech,
           user && *user ? user : saslserver_tried(s->sasl), saslserver_detail(s->sasl));
}

static void log_good(struct imap_session *s, const char *suffix)
{
    syslog(LOG_NOTICE, "login: %s %s%s %s%s User logged in SESSIONID=<%s>", s->client->clienthost,
           s->userid, suffix, saslserver_mech(s->sasl), s->tls ? "+TLS" : "", session_id());
}

/* Too many sessions: answered. */
static bool over_limits(struct imap_session *s)
{
    const struct saslserver_identity *id = saslserver_identity(s->sasl);
    struct proc_limits limits = {
        .clienthost = s->client->clienthost,
        .userid = id->userid,
    };
    struct buf text = BUF_INITIALIZER;

    if (!proc_checklimits(&limits, &text)) return false;
    syslog(LOG_ERR, "%s", buf_cstring(&text));
    saslserver_reset(s->sasl);
    imap_no(s, "%s", buf_cstring(&text));
    buf_free(&text);
    return true;
}

static bool is_by_admin(const struct imap_session *s)
{
    const struct saslserver_identity *id = saslserver_identity(s->sasl);
    struct auth_state *auth = auth_newstate(id->authid);
    bool is = strcmp(id->authid, id->userid) != 0 && auth_is_listed(auth, config_getstring(IMAPOPT_ADMINS));

    auth_freestate(&auth);
    return is;
}

/* The password is right, but nobody comes in as this user now: answered. */
static bool refused(struct imap_session *s)
{
    const char *userid = saslserver_identity(s->sasl)->userid;
    struct buf text = BUF_INITIALIZER;
    enum user_refusal no = user_record_refuses(userid, &text);

    s->by_admin = is_by_admin(s);
    if (no == USER_NOT_AT_HOME && s->by_admin) no = USER_WELCOME;
    if (no) {
        syslog(LOG_NOTICE, "badlogin: %s %s (%s) [%s]", s->client->clienthost, saslserver_mech(s->sasl), userid,
               buf_cstring(&text));
        saslserver_reset(s->sasl);
        imap_no(s, "[%s] %s", no == USER_NOT_HERE ? "CONTACTADMIN" : "UNAVAILABLE", buf_cstring(&text));
    }
    buf_free(&text);
    return no != USER_WELCOME;
}

/* The success line; `what` goes behind the capabilities. */
static void welcome(struct imap_session *s, const char *what, bool capabilities)
{
    struct buf caps = BUF_INITIALIZER;

    if (capabilities) {
        buf_setcstr(&caps, "[CAPABILITY ");
        imap_capabilities(s, true, &caps);
        buf_appendcstr(&caps, "] ");
    }
    imap_ok(s, "%s%s SESSIONID=<%s>", buf_cstring(&caps), what, session_id());
    buf_free(&caps);
}

/* ---- LOGIN ---- */

/* With imapmagicplus "user+detail" becomes "user"; the detail chooses what LIST shows. Returns the suffix. */
static char *magic_plus(struct imap_session *s, struct buf *user)
{
    char *plus;

    if (!config_getswitch(IMAPOPT_IMAPMAGICPLUS)) return xstrdup("");
    buf_cstring(user);
    plus = strchr(user->s, '+');
    if (!plus) return xstrdup("");
    char *suffix = xstrdup(plus);
    char *domain = strchr(suffix, '@');
    if (domain) *domain = '\0';
    s->list_subscribed = !strcmp(suffix, "+");
    s->ns.dav = !strcmp(suffix, "+dav");
    buf_remove(user, (size_t)(plus - user->s), strlen(suffix));
    return suffix;
}

static void login_failed(struct imap_session *s, enum saslserver_result result, const char *user)
{
    log_bad(s, "plaintext", user);
    s->list_subscribed = s->ns.dav = false;
    if (result == SASLSERVER_BADUSER) {
        imap_no(s, "Invalid user");
        return;
    }
    pause_seconds(config_getduration(IMAPOPT_FAILEDLOGINPAUSE));
    if (result == SASLSERVER_DENIED)
        imap_no(s, "Login failed: authorization failure");
    else
        imap_no(s, "Login failed: %s", saslserver_errtext(s->sasl));
}

static void anonymous_login(struct imap_session *s, const char *password)
{
    if (!config_getswitch(IMAPOPT_ALLOWANONYMOUSLOGIN)) {
        syslog(LOG_NOTICE, "badlogin: %s anonymous login refused", s->client->clienthost);
        imap_no(s, "%s", error_message(IMAP_ANONYMOUS_NOT_PERMITTED));
        return;
    }
    int r = saslserver_preauth(s->sasl, "anonymous") == SASLSERVER_OK ? imap_session_login(s)
                                                                      : IMAP_INVALID_USER;
    if (r) {
        imap_result(s, r);
        return;
    }
    syslog(LOG_NOTICE, "login: %s anonymous %s", s->client->clienthost, password);
    welcome(s, "Anonymous access granted", true);
}

static void login(struct imap_session *s, struct buf *user, struct buf *password)
{
    enum saslserver_result result;

    if (!cyr_strcasecmp(buf_cstring(user), "anonymous")) {
        anonymous_login(s, buf_cstring(password));
        return;
    }
    if (!saslserver_plaintext_ok(s->sasl)) {
        syslog(LOG_NOTICE, "badlogin: %s plaintext (%s) login disabled", s->client->clienthost,
               buf_cstring(user));
        imap_no(s, "Login only available under a layer");
        return;
    }
    char *suffix = magic_plus(s, user);
    if (s->options->nopassword)
        result = saslserver_preauth(s->sasl, buf_cstring(user));
    else
        result = saslserver_checkpass(s->sasl, buf_cstring(user), buf_cstring(password));
    if (result != SASLSERVER_OK)
        login_failed(s, result, buf_cstring(user));
    else if (!refused(s) && !over_limits(s)) {
        bool subscribed = s->list_subscribed, dav = s->ns.dav;
        int r = imap_session_login(s);
        s->list_subscribed = subscribed;
        s->ns.dav = dav;
        if (r)
            imap_result(s, r);
        else {
            log_good(s, suffix);
            if (!s->tls) pause_seconds(config_getduration(IMAPOPT_PLAINTEXTLOGINPAUSE));
            welcome(s, "User logged in", true);
            if (!s->tls && config_getstring(IMAPOPT_PLAINTEXTLOGINALERT))
                prot_printf(s->out, "* OK [ALERT] %s\r\n", config_getstring(IMAPOPT_PLAINTEXTLOGINALERT));
        }
    }
    free(suffix);
}

void cmd_login(struct imap_session *s)
{
    struct buf user = BUF_INITIALIZER, password = BUF_INITIALIZER;

    if (s->userid) {
        imap_bad(s, "Already logged in");
        return;
    }
    if (imap_arg_astring(s, &user) && imap_arg_astring(s, &password)) {
        if (imap_at_eol(s))
            login(s, &user, &password);
        else
            imap_bad(s, "Unexpected extra arguments to LOGIN");
    }
    if (password.alloc) secure_zero(password.s, password.len);
    buf_free(&user);
    buf_free(&password);
}

/* ---- AUTHENTICATE ---- */

static void auth_failed(struct imap_session *s, enum saslserver_result result, const char *mech)
{
    switch (result) {
    case SASLSERVER_READERROR: s->closing = true; return;
    case SASLSERVER_CANCELLED: imap_bad(s, "Client canceled authentication"); return;
    case SASLSERVER_BADUSER:
        log_bad(s, mech, NULL);
        imap_no(s, "Invalid user");
        return;
    case SASLSERVER_NOMECH: break;
    default: log_bad(s, mech, NULL); break;
    }
    if (result == SASLSERVER_FAIL || result == SASLSERVER_DENIED)
        pause_seconds(config_getduration(IMAPOPT_FAILEDLOGINPAUSE));
    if (result == SASLSERVER_BADBASE64)
        imap_no(s, "another step is needed in authentication");
    else
        imap_no(s, "%s", saslserver_errtext(s->sasl));
}

static void auth_succeeded(struct imap_session *s)
{
    struct buf what = BUF_INITIALIZER;

    if (refused(s) || over_limits(s)) return;
    int r = imap_session_login(s);
    if (r) {
        imap_result(s, r);
        return;
    }
    log_good(s, "");
    bool layer = saslserver_layer_ssf(s->sasl) > 0;
    buf_printf(&what, "Success (%s)", saslserver_layername(s->sasl));
    welcome(s, buf_cstring(&what), !layer);
    if (layer && (prot_flush(s->out) || saslserver_startlayer(s->sasl, s->in, s->out)))
        s->closing = true;
    buf_free(&what);
}

void cmd_authenticate(struct imap_session *s)
{
    struct buf mech = BUF_INITIALIZER, initial = BUF_INITIALIZER;
    bool has_initial = false;

    if (s->userid) {
        imap_bad(s, "Already authenticated");
        return;
    }
    if (!imap_arg_word(s, &mech)) goto done;
    if (s->c == ' ') {
        has_initial = true;
        s->c = getblankword(s->in, &initial);
    }
    if (!imap_arg_end(s)) goto done;
    if (config_getswitch(IMAPOPT_TLS_REQUIRED) && !s->tls && s->options->extssf < 2) {
        imap_no(s, "Authenticate only available under a layer");
        goto done;
    }
    enum saslserver_result result = saslserver_auth(s->sasl, &saslserver_imap, buf_cstring(&mech),
                                                    has_initial ? buf_cstring(&initial) : NULL,
                                                    s->in, s->out);
    if (result == SASLSERVER_OK)
        auth_succeeded(s);
    else
        auth_failed(s, result, buf_cstring(&mech));
done:
    if (initial.alloc) secure_zero(initial.s, initial.len);
    buf_free(&mech);
    buf_free(&initial);
}

void cmd_unauthenticate(struct imap_session *s)
{
    struct buf caps = BUF_INITIALIZER;

    if (!imap_arg_end(s)) return;
    imap_session_logout(s);
    imap_capabilities(s, false, &caps);
    imap_ok(s, "[CAPABILITY %s] Completed", buf_cstring(&caps));
    buf_free(&caps);
}
