/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SASLSERVER_H
#define INCLUDED_SASLSERVER_H
/*
 * saslserver -- the server's side of SASL, for IMAP, POP3, LMTP, csync and MUPDATE
 *
 * One session belongs to one connection. The exchange is run by saslserver_auth()
 * in the dress of the protocol (struct saslserver_protocol); a password that came
 * by other ways (LOGIN, USER/PASS) goes to saslserver_checkpass(). Who may log in
 * as whom is decided by a policy that the service gives (handbook 05 §6.3-§6.5).
 *
 * Passwords are never logged. Failed attempts are not delayed here: the caller
 * sleeps failedloginpause.
 */
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

struct protstream;
struct tls_session;
struct saslserver;

/* Initialise libsasl once per process: application "Cyrus", options sasl_PLUGIN_OPT and sasl_OPT from imapd.conf.
 * IMAP_SASL_FAIL if libsasl refuses. */
int saslserver_init(void);
void saslserver_done(void);

/* ---- policy ---- */
struct saslserver_identity {
    char *authid;       /* canonical name whose password was checked */
    char *userid;       /* canonical name the session acts as */
    bool is_admin;      /* authid = userid and it matches admins */
    bool is_proxyadmin; /* proxied, and userid itself matches admins */
};
struct saslserver_policy {
    bool adminsonly;    /* only admins may authenticate (lmtpd, sync_server, mupdate) */
    bool allow_proxy;   /* proxyservers and loginuseacl count (imapd, pop3d, timsieved) */
    /* Canonical form of a name, or IMAP_INVALID_USER. NULL: as handbook 05 §6.4 with auth_mech unix. */
    int (*canonify)(void *rock, const char *name, size_t len, struct buf *out);
    /* id is, or belongs to a group of, one of the blank-separated identifiers. NULL: plain names only. */
    bool (*memberof)(void *rock, const char *id, const char *identifiers);
    /* user may use the service (user_deny.db). NULL: always. */
    bool (*allowed)(void *rock, const char *userid);
    /* authid has right `a` on userid's INBOX (loginuseacl). NULL: never. */
    bool (*useacl)(void *rock, const char *authid, const char *userid);
    /* The password that the service itself has of a name: 0 with it in out. NULL, or anything else: libsasl's databases know. */
    int (*secret)(void *rock, const char *name, struct buf *out);
    void *rock;
};
/* *why when `allowed` said no: the client hears "authorization failure" then. */
#define SASLSERVER_WHY_DENIED "user denied access to service"
/* Handbook 05 §6.5 for A = authid acting as R = userid (both canonical). 0 and the admin flags, or IMAP_PERMISSION_DENIED
 * with *why (static text for the log). Used by saslserver itself, and for users that came in by certificate. */
int saslserver_authorize(const struct saslserver_policy *policy, const char *authid, const char *userid,
                         bool *is_admin, bool *is_proxyadmin, const char **why);
/* The default canonical form of handbook 05 §6.4 (no domain from reverse lookups, no groups). IMAP_INVALID_USER. */
int saslserver_canonify(const char *name, size_t len, struct buf *out);

/* ---- sessions ---- */
struct saslserver_args {
    const char *service;    /* "imap", "pop", "lmtp", "csync", "mupdate", "sieve" */
    const char *servername; /* server FQDN */
    const char *localaddr;  /* "192.0.2.1;143" or NULL */
    const char *remoteaddr;
    unsigned extssf;        /* -p SSF: strength of a layer outside; 0: none */
    const char *extauthid;  /* identity from outside (EXTERNAL), or NULL */
    bool no_securitylayer;  /* the protocol cannot carry one */
    bool plaintext_ok;      /* nobody else is on the way: as with allowplaintext */
    const struct saslserver_policy *policy; /* borrowed for the life of the session */
};
int saslserver_new(const struct saslserver_args *args, struct saslserver **sp);
/* Back to not authenticated (UNAUTHENTICATE, after STARTTLS); TLS facts are kept. */
int saslserver_reset(struct saslserver *s);
/* STARTTLS succeeded: external SSF and EXTERNAL id of the client certificate. Resets the exchange. */
int saslserver_set_tls(struct saslserver *s, struct tls_session *tls);
void saslserver_free(struct saslserver **sp);

/* Mechanisms usable now, joined: prefix + first + sep + ... + suffix, appended to out. Returns their number (0: out is unchanged). */
int saslserver_mechlist(struct saslserver *s, const char *prefix, const char *sep, const char *suffix, struct buf *out);
/* A plain-text password may be sent now: allowplaintext, or a layer (TLS, extssf > 1); never before TLS with tls_required. */
bool saslserver_plaintext_ok(const struct saslserver *s);

/* ---- the exchange ---- */
struct saslserver_protocol {
    const char *challenge_prefix; /* before the base64: "+ " (IMAP, csync, POP3), "334 " (LMTP), "" (MUPDATE) */
    const char *empty_initial;    /* initial response that stands for no bytes: "=" */
    size_t maxline;               /* longest base64 line from the client; 0: 64 KB */
};
extern const struct saslserver_protocol saslserver_imap, saslserver_lmtp, saslserver_mupdate;

enum saslserver_result {
    SASLSERVER_OK,
    SASLSERVER_CANCELLED,   /* client sent "*" */
    SASLSERVER_READERROR,   /* the stream ended, or the line was too long */
    SASLSERVER_BADBASE64,   /* handbook 04 §3.1: another step is needed in authentication */
    SASLSERVER_NOMECH,      /* no mechanism available */
    SASLSERVER_FAIL,        /* wrong password and the like; also unknown users */
    SASLSERVER_DENIED,      /* identity is right, but policy forbids */
    SASLSERVER_BADUSER,     /* no canonical form: Invalid user */
};
/* Run one exchange. initial: text of the initial response, or NULL. On OK the identity is filled in and, if one was
 * negotiated, the security layer is *not yet* active: send the success line, flush, then call saslserver_startlayer(). */
enum saslserver_result saslserver_auth(struct saslserver *s, const struct saslserver_protocol *protocol, const char *mech,
                                       const char *initial, struct protstream *in, struct protstream *out);
/* LOGIN, USER/PASS. The name is canonified and the policy asked, as in an exchange. */
enum saslserver_result saslserver_checkpass(struct saslserver *s, const char *user, const char *pass);
/*
 * APOP (RFC 1939 §7): a fresh challenge "<...>" into out; false when libsasl has no APOP, or a layer has to
 * come first. Then "USER DIGEST" for that challenge, as in an exchange.
 */
bool saslserver_apop_challenge(struct saslserver *s, struct buf *out);
enum saslserver_result saslserver_checkapop(struct saslserver *s, const char *challenge, const char *response);
/* Accept a name without a password (imapd -N, unix sockets). */
enum saslserver_result saslserver_preauth(struct saslserver *s, const char *user);
/* Text for the client ("authentication failure", "no mechanism available", ...) and detail for the log. */
const char *saslserver_errtext(const struct saslserver *s);
const char *saslserver_detail(const struct saslserver *s);
/* Whose name was tried, for the log of a failure: canonical, "-notset-" when it did not come to a name. */
const char *saslserver_tried(const struct saslserver *s);

/* After success. */
/* It was the policy's `secret` that the client has proved to know. */
bool saslserver_by_secret(const struct saslserver *s);
const struct saslserver_identity *saslserver_identity(const struct saslserver *s);
const char *saslserver_mech(const struct saslserver *s);     /* "PLAIN"; "plaintext" for checkpass; "nopassword" */
unsigned saslserver_layer_ssf(const struct saslserver *s);   /* 0 none, 1 integrity, more privacy */
/* "no protection", "integrity protection", "tls plus privacy protection", ... (handbook 05 §6.3). */
const char *saslserver_layername(const struct saslserver *s);
int saslserver_startlayer(struct saslserver *s, struct protstream *in, struct protstream *out);

#endif
