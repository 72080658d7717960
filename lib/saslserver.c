/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saslserver -- the server's side of SASL
 *
 * libsasl asks back through two callbacks: for the canonical form of a name and for
 * permission to act as another. What these found out is kept in the session, as libsasl
 * would only say "failed". A libsasl connection is used for one exchange after another until one succeeds.
 */
#include <config.h>

#include "saslserver.h"

#include <stdlib.h>
#include <string.h>

#include <sasl/saslutil.h>

#include "base64.h"
#include "imap_err.h"
#include "libconfig.h"
#include "prot.h"
#include "sasl_int.h"
#include "saslserver_secret.h"
#include "tls.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAXLINE 65536
#define MAX_CHALLENGE 1024 /* bytes of an APOP challenge */
#define LAYER_BUFSIZE 4096 /* bytes of one packet of a security layer that we accept */

const struct saslserver_protocol saslserver_imap = { "+ ", "=", 0 };
const struct saslserver_protocol saslserver_lmtp = { "334 ", "=", 0 };
const struct saslserver_protocol saslserver_mupdate = { "", "=", 0 };

struct saslserver {
    sasl_conn_t *conn;
    sasl_callback_t callbacks[4];
    const struct saslserver_policy *policy;
    char *service, *servername, *localaddr, *remoteaddr, *extauthid;
    unsigned extssf, tls_ssf;
    char *tls_cn;
    bool tls, no_securitylayer, plaintext_ok;
    struct saslserver_secret secret;

    struct saslserver_identity id;
    char *mech;
    char *tried;         /* last canonical name of an attempt */
    bool baduser;        /* a name had no canonical form */
    const char *denied;  /* why the policy refused */
    const char *errtext; /* for the client; static or libsasl's */
    char *detail;
};

/* ---- libsasl ---- */

static void set_string(char **at, const char *value)
{
    char *copy = xstrdup(value); /* value may be the old one */

    free(*at);
    *at = copy;
}

static const sasl_callback_t global_callbacks[] = {
    CYL_SASL_CALLBACK(SASL_CB_GETOPT, saslserver_secret_getopt, NULL),
    CYL_SASL_CALLBACK(SASL_CB_LOG, sasl_config_log, NULL),
    { SASL_CB_LIST_END, NULL, NULL },
};

int saslserver_init(void)
{
    static bool done;
    int r = done ? SASL_OK : sasl_server_init(global_callbacks, "Cyrus");

    if (!done && r == SASL_OK) r = saslserver_secret_init();
    if (r != SASL_OK) {
        syslog(LOG_ERR, "SASL failed initializing: sasl_server_init(): %s",
               sasl_errstring(r, NULL, NULL));
        return IMAP_SASL_FAIL;
    }
    done = true;
    return 0;
}

void saslserver_done(void)
{
    sasl_server_done();
}

static int canonify(struct saslserver *s, const char *name, size_t len, struct buf *out)
{
    int r;

    buf_reset(out);
    if (s->policy && s->policy->canonify)
        r = s->policy->canonify(s->policy->rock, name, len, out);
    else
        r = saslserver_canonify(name, len, out);
    if (r) s->baduser = true;
    return r;
}

static int canon_user(sasl_conn_t *conn, void *context, const char *in, unsigned len,
                      unsigned flags, const char *realm, char *out, unsigned outmax,
                      unsigned *outlen)
{
    struct saslserver *s = context;
    struct buf name = BUF_INITIALIZER;
    int r = SASL_OK;

    (void)flags;
    (void)realm;
    if (!len) {
        r = SASL_FAIL; /* "generic failure" */
    }
    else if (canonify(s, in, len, &name)) {
        sasl_seterror(conn, 0, "bad userid authenticated");
        r = SASL_BADAUTH;
    }
    else if (name.len >= outmax) {
        r = SASL_BUFOVER;
    }
    else {
        memcpy(out, name.s, name.len);
        out[name.len] = '\0';
        *outlen = (unsigned)name.len;
        set_string(&s->tried, out);
    }
    buf_free(&name);
    return r;
}

/* Ask the policy; a refusal is logged here. SASL_OK, SASL_NOAUTHZ or SASL_BADAUTH. */
static int authorize(struct saslserver *s, const char *authid, const char *userid)
{
    static const struct saslserver_policy none;
    const struct saslserver_policy *policy = s->policy ? s->policy : &none;

    if (!saslserver_authorize(policy, authid, userid, &s->id.is_admin, &s->id.is_proxyadmin,
                              &s->denied))
        return SASL_OK;
    syslog(LOG_NOTICE, "%s: authid=<%s> userid=<%s> service=<%s>", s->denied, authid, userid,
           s->service);
    return !strcmp(s->denied, SASLSERVER_WHY_DENIED) ? SASL_NOAUTHZ : SASL_BADAUTH;
}

static int proxy_policy(sasl_conn_t *conn, void *context, const char *user, unsigned ulen,
                        const char *auth, unsigned alen, const char *realm, unsigned rlen,
                        struct propctx *propctx)
{
    char *userid = xstrndup(user, ulen), *authid = xstrndup(auth, alen);
    struct saslserver *s = context;

    (void)realm;
    (void)rlen;
    (void)propctx;
    int r = authorize(s, authid, userid);
    if (r != SASL_OK) sasl_seterror(conn, 0, "%s", s->denied);
    free(userid);
    free(authid);
    return r;
}

/* ---- sessions ---- */

static void forget(struct saslserver *s)
{
    xzfree(s->id.authid);
    xzfree(s->id.userid);
    s->id.is_admin = s->id.is_proxyadmin = false;
    xzfree(s->mech);
    xzfree(s->tried);
    xzfree(s->detail);
    s->errtext = NULL;
    s->denied = NULL;
    s->baduser = false;
    s->secret.given = false;
}

static unsigned ssf_option(enum imapopt opt)
{
    int n = config_getint(opt);

    return n > 0 ? (unsigned)n : 0;
}

static int set_properties(struct saslserver *s)
{
    sasl_security_properties_t props = { .maxbufsize = LAYER_BUFSIZE };
    sasl_ssf_t ssf = s->tls ? s->tls_ssf : s->extssf;
    const char *authid = s->tls_cn ? s->tls_cn : s->extauthid;

    props.min_ssf = ssf_option(IMAPOPT_SASL_MINIMUM_LAYER);
    props.max_ssf = s->no_securitylayer ? 0 : ssf_option(IMAPOPT_SASL_MAXIMUM_LAYER);
    if (!s->plaintext_ok) props.security_flags |= SASL_SEC_NOPLAINTEXT;
    if (!config_getswitch(IMAPOPT_ALLOWANONYMOUSLOGIN))
        props.security_flags |= SASL_SEC_NOANONYMOUS;
    int r = sasl_setprop(s->conn, SASL_SEC_PROPS, &props);
    if (r == SASL_OK) r = sasl_setprop(s->conn, SASL_SSF_EXTERNAL, &ssf);
    if (r == SASL_OK && authid) r = sasl_setprop(s->conn, SASL_AUTH_EXTERNAL, authid);
    return r;
}

static int renew(struct saslserver *s)
{
    sasl_dispose(&s->conn);
    int r = sasl_server_new(s->service, s->servername, NULL, s->localaddr, s->remoteaddr,
                            s->callbacks, 0, &s->conn);
    if (r == SASL_OK) r = set_properties(s);
    if (r == SASL_OK) return 0;
    syslog(LOG_ERR, "SASL failed initializing: sasl_server_new(): %s",
           sasl_errstring(r, NULL, NULL));
    return IMAP_SASL_FAIL;
}

int saslserver_reset(struct saslserver *s)
{
    forget(s);
    return renew(s);
}

int saslserver_new(const struct saslserver_args *args, struct saslserver **sp)
{
    struct saslserver *s = xzmalloc(sizeof(*s));
    const sasl_callback_t callbacks[] = {
        CYL_SASL_CALLBACK(SASL_CB_CANON_USER, canon_user, s),
        CYL_SASL_CALLBACK(SASL_CB_PROXY_POLICY, proxy_policy, s),
        CYL_SASL_CALLBACK(SASL_CB_SERVER_USERDB_CHECKPASS, saslserver_secret_check, s),
        { SASL_CB_LIST_END, NULL, NULL },
    };

    memcpy(s->callbacks, callbacks, sizeof(callbacks));
    s->policy = args->policy;
    s->service = xstrdup(args->service);
    s->servername = xstrdupnull(args->servername);
    s->localaddr = xstrdupnull(args->localaddr);
    s->remoteaddr = xstrdupnull(args->remoteaddr);
    s->extauthid = xstrdupnull(args->extauthid);
    s->extssf = args->extssf;
    s->no_securitylayer = args->no_securitylayer;
    s->plaintext_ok = args->plaintext_ok || config_getswitch(IMAPOPT_ALLOWPLAINTEXT);
    if (s->policy) s->secret = (struct saslserver_secret){ .get = s->policy->secret, .rock = s->policy->rock };
    int r = saslserver_init();
    if (!r) r = saslserver_reset(s);
    if (r) saslserver_free(&s);
    *sp = s;
    return r;
}

int saslserver_set_tls(struct saslserver *s, struct tls_session *tls)
{
    free(s->tls_cn);
    s->tls_cn = xstrdupnull(tls_peer_cn(tls));
    s->tls_ssf = tls_ssf(tls);
    s->tls = true;
    return saslserver_reset(s);
}

void saslserver_free(struct saslserver **sp)
{
    struct saslserver *s = *sp;

    if (!s) return;
    forget(s);
    sasl_dispose(&s->conn);
    free(s->service);
    free(s->servername);
    free(s->localaddr);
    free(s->remoteaddr);
    free(s->extauthid);
    free(s->tls_cn);
    free(s);
    *sp = NULL;
}

/* ---- what is possible now ---- */

static bool has_layer(const struct saslserver *s)
{
    return s->tls || s->extssf > 1;
}

static bool must_wait_for_tls(const struct saslserver *s)
{
    return config_getswitch(IMAPOPT_TLS_REQUIRED) && !has_layer(s);
}

int saslserver_mechlist(struct saslserver *s, const char *prefix, const char *sep,
                        const char *suffix, struct buf *out)
{
    const char *list;
    unsigned len;
    int n = 0;

    if (must_wait_for_tls(s)) return 0;
    if (sasl_listmech(s->conn, NULL, prefix, sep, suffix, &list, &len, &n) != SASL_OK) return 0;
    if (n > 0) buf_appendmap(out, list, len);
    return n;
}

bool saslserver_plaintext_ok(const struct saslserver *s)
{
    if (must_wait_for_tls(s)) return false;
    return has_layer(s) || s->plaintext_ok;
}

/* ---- results ---- */

static enum saslserver_result failed(struct saslserver *s, int r)
{
    /* nobody has to know which users there are */
    if (r == SASL_NOUSER) r = SASL_BADAUTH;
    s->errtext = sasl_errstring(r, NULL, NULL);
    free(s->detail);
    s->detail = xstrdup(sasl_errdetail(s->conn));
    renew(s); /* what libsasl has read of a user stays in memory as long as its connection */
    if (r == SASL_NOMECH) {
        s->errtext = "no mechanism available";
        return SASLSERVER_NOMECH;
    }
    if (s->baduser) {
        s->errtext = "Invalid user";
        return SASLSERVER_BADUSER;
    }
    return s->denied ? SASLSERVER_DENIED : SASLSERVER_FAIL;
}

static enum saslserver_result broken(struct saslserver *s, enum saslserver_result result,
                                     const char *text)
{
    s->errtext = text;
    free(s->detail);
    s->detail = xstrdup(text);
    return result;
}

static void set_identity(struct saslserver *s, const char *authid, const char *userid,
                         const char *mech)
{
    set_string(&s->id.authid, authid);
    set_string(&s->id.userid, userid);
    set_string(&s->mech, mech);
}

static enum saslserver_result succeeded(struct saslserver *s)
{
    const void *authid = NULL, *userid = NULL, *mech = NULL;

    if (sasl_getprop(s->conn, SASL_USERNAME, &userid) != SASL_OK || !userid)
        return broken(s, SASLSERVER_FAIL, "no user name");
    if (sasl_getprop(s->conn, SASL_AUTHUSER, &authid) != SASL_OK || !authid) authid = userid;
    if (sasl_getprop(s->conn, SASL_MECHNAME, &mech) != SASL_OK || !mech) mech = "";
    set_identity(s, authid, userid, mech);
    return SASLSERVER_OK;
}

/* ---- the exchange ---- */

/* The next answer of the client into line, decoded into data. */
static enum saslserver_result read_answer(struct saslserver *s,
                                          const struct saslserver_protocol *protocol,
                                          struct protstream *in, struct buf *line, struct buf *data)
{
    if (prot_getline(in, line, protocol->maxline ? protocol->maxline : MAXLINE)) {
        const char *err = prot_error(in);
        return broken(s, SASLSERVER_READERROR, err ? err : "read error");
    }
    if (!strcmp(line->s, "*")) return broken(s, SASLSERVER_CANCELLED, "client canceled");
    if (sasl_line_decode(line->s, line->len, data))
        return broken(s, SASLSERVER_BADBASE64, "another step is needed in authentication");
    return SASLSERVER_OK;
}

static void send_challenge(const struct saslserver_protocol *protocol, struct protstream *out,
                           const char *base, unsigned len)
{
    struct buf text = BUF_INITIALIZER;

    buf_setcstr(&text, protocol->challenge_prefix);
    base64_encode(base, len, 0, &text);
    buf_appendcstr(&text, "\r\n");
    prot_putbuf(out, &text);
    prot_flush(out);
    buf_free(&text);
}

static enum saslserver_result converse(struct saslserver *s,
                                       const struct saslserver_protocol *protocol, int r,
                                       const char *challenge, unsigned len, struct protstream *in,
                                       struct protstream *out)
{
    struct buf line = BUF_INITIALIZER, data = BUF_INITIALIZER;
    enum saslserver_result result = SASLSERVER_OK;

    while (r == SASL_CONTINUE && result == SASLSERVER_OK) {
        send_challenge(protocol, out, challenge, len);
        result = read_answer(s, protocol, in, &line, &data);
        if (result != SASLSERVER_OK) break;
        challenge = NULL;
        len = 0;
        saslserver_secret_use(&s->secret);
        r = sasl_server_step(s->conn, data.s, (unsigned)data.len, &challenge, &len);
        saslserver_secret_use(NULL);
    }
    if (line.s) secure_zero(line.s, line.alloc);
    if (data.s) secure_zero(data.s, data.alloc);
    buf_free(&line);
    buf_free(&data);
    if (result != SASLSERVER_OK) return result;
    return r == SASL_OK ? succeeded(s) : failed(s, r);
}

enum saslserver_result saslserver_auth(struct saslserver *s,
                                       const struct saslserver_protocol *protocol, const char *mech,
                                       const char *initial, struct protstream *in,
                                       struct protstream *out)
{
    struct buf data = BUF_INITIALIZER;
    const char *challenge = NULL;
    unsigned len = 0;

    forget(s);
    if (must_wait_for_tls(s)) return failed(s, SASL_ENCRYPT);
    if (initial && !strcmp(initial, protocol->empty_initial))
        buf_cstring(&data);
    else if (initial && sasl_line_decode(initial, strlen(initial), &data)) {
        buf_free(&data);
        return broken(s, SASLSERVER_BADBASE64, "another step is needed in authentication");
    }
    saslserver_secret_use(&s->secret);
    int r = sasl_server_start(s->conn, mech, initial ? data.s : NULL, (unsigned)data.len,
                              &challenge, &len);
    saslserver_secret_use(NULL);
    if (data.s) secure_zero(data.s, data.alloc);
    buf_free(&data);
    return converse(s, protocol, r, challenge, len, in, out);
}

/* libsasl has looked at a password outside of an exchange, and said r. */
static enum saslserver_result checked(struct saslserver *s, int r, const char *mech)
{
    if (r != SASL_OK) return failed(s, r);
    enum saslserver_result result = succeeded(s);
    if (result != SASLSERVER_OK) return result;
    r = authorize(s, s->id.userid, s->id.userid);
    if (r != SASL_OK) {
        xzfree(s->id.authid);
        xzfree(s->id.userid);
        sasl_seterror(s->conn, 0, "%s", s->denied);
        return failed(s, r);
    }
    set_string(&s->id.authid, s->id.userid);
    set_string(&s->mech, mech);
    return SASLSERVER_OK;
}

enum saslserver_result saslserver_checkpass(struct saslserver *s, const char *user,
                                            const char *pass)
{
    forget(s);
    if (!saslserver_plaintext_ok(s)) return failed(s, SASL_ENCRYPT);
    saslserver_secret_use(&s->secret);
    int r = sasl_checkpass(s->conn, user, (unsigned)strlen(user), pass, (unsigned)strlen(pass));
    saslserver_secret_use(NULL);
    return checked(s, r, "plaintext");
}

bool saslserver_apop_challenge(struct saslserver *s, struct buf *out)
{
    char text[MAX_CHALLENGE];

    if (must_wait_for_tls(s)) return false;
    /* Asked without a challenge it says whether there is APOP at all. */
    if (sasl_checkapop(s->conn, NULL, 0, NULL, 0) != SASL_OK) return false;
    if (sasl_mkchal(s->conn, text, sizeof(text), 1) <= 0) return false;
    buf_setcstr(out, text);
    return true;
}

enum saslserver_result saslserver_checkapop(struct saslserver *s, const char *challenge,
                                            const char *response)
{
    forget(s);
    if (must_wait_for_tls(s)) return failed(s, SASL_ENCRYPT);
    return checked(s,
                   sasl_checkapop(s->conn, challenge, (unsigned)strlen(challenge), response,
                                  (unsigned)strlen(response)),
                   "APOP");
}

enum saslserver_result saslserver_preauth(struct saslserver *s, const char *user)
{
    struct buf name = BUF_INITIALIZER;
    int r = SASL_BADAUTH;

    forget(s);
    if (!canonify(s, user, strlen(user), &name)) {
        buf_cstring(&name);
        r = authorize(s, name.s, name.s);
        if (r == SASL_OK) set_identity(s, name.s, name.s, "nopassword");
    }
    buf_free(&name);
    return r == SASL_OK ? SASLSERVER_OK : failed(s, r);
}

const char *saslserver_errtext(const struct saslserver *s)
{
    return s->errtext ? s->errtext : "";
}

const char *saslserver_detail(const struct saslserver *s)
{
    return s->detail ? s->detail : "";
}

const char *saslserver_tried(const struct saslserver *s)
{
    return s->tried ? s->tried : "-notset-";
}

/* ---- after success ---- */

const struct saslserver_identity *saslserver_identity(const struct saslserver *s)
{
    return &s->id;
}

bool saslserver_by_secret(const struct saslserver *s)
{
    return s->secret.given;
}

const char *saslserver_mech(const struct saslserver *s)
{
    return s->mech ? s->mech : "";
}

unsigned saslserver_layer_ssf(const struct saslserver *s)
{
    const void *ssf;

    if (sasl_getprop(s->conn, SASL_SSF, &ssf) != SASL_OK) return 0;
    return *(const sasl_ssf_t *)ssf;
}

const char *saslserver_layername(const struct saslserver *s)
{
    static const char *const names[2][3] = {
        { "no protection", "integrity protection", "privacy protection" },
        { "tls protection", "tls plus integrity protection", "tls plus privacy protection" },
    };

    return names[s->tls][cyr_min(saslserver_layer_ssf(s), 2u)];
}

int saslserver_startlayer(struct saslserver *s, struct protstream *in, struct protstream *out)
{
    if (prot_setsasl(in, s->conn) || prot_setsasl(out, s->conn)) return IMAP_SASL_FAIL;
    return 0;
}
