/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saslclient -- the client's side of SASL
 *
 * Mechanisms are tried strongest first, as libsasl ranks them; one that cannot work (no
 * ticket, no password) is put aside and the next is tried, but one the server has
 * refused ends the attempt: the password is wrong. A server that says yes before libsasl
 * is content has not proved who it is, and is refused.
 */
#include <config.h>

#include "saslclient.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "imap_err.h"
#include "prot.h"
#include "sasl_int.h"
#include "strarray.h"
#include "tls.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAXLINE 65536
#define LAYER_BUFSIZE 4096

struct saslclient {
    sasl_conn_t *conn;
    sasl_callback_t callbacks[5];
    char *service, *host, *localaddr, *remoteaddr;
    char *userid, *authname, *realm;
    sasl_secret_t *secret;
    unsigned maxssf, extssf;
    bool no_plaintext;
    char *mech, *errtext;
};

static const sasl_callback_t global_callbacks[] = {
    CYL_SASL_CALLBACK(SASL_CB_GETOPT, sasl_config_getopt, NULL),
    CYL_SASL_CALLBACK(SASL_CB_LOG, sasl_config_log, NULL),
    { SASL_CB_LIST_END, NULL, NULL },
};

static bool initialised;

int saslclient_init(void)
{
    int r = initialised ? SASL_OK : sasl_client_init(global_callbacks);

    if (r != SASL_OK) {
        syslog(LOG_ERR, "SASL failed initializing: sasl_client_init(): %s",
               sasl_errstring(r, NULL, NULL));
        return IMAP_SASL_FAIL;
    }
    initialised = true;
    return 0;
}

void saslclient_done(void)
{
    if (initialised) sasl_client_done();
    initialised = false;
}

/* ---- what libsasl asks for ---- */

static int get_name(void *context, int id, const char **result, unsigned *len)
{
    struct saslclient *c = context;
    const char *name = id == SASL_CB_USER ? c->userid : c->authname;

    *result = name;
    if (len) *len = (unsigned)strlen(name);
    return SASL_OK;
}

static int get_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
    struct saslclient *c = context;

    (void)conn;
    (void)id;
    if (!c->secret) return SASL_FAIL;
    *secret = c->secret;
    return SASL_OK;
}

static int get_realm(void *context, int id, const char **available, const char **result)
{
    struct saslclient *c = context;

    (void)id;
    *result = c->realm;
    if (!c->realm) *result = available && available[0] ? available[0] : "";
    return SASL_OK;
}

/* ---- life ---- */

static int start_conn(struct saslclient *c)
{
    sasl_security_properties_t props = { .max_ssf = c->maxssf, .maxbufsize = LAYER_BUFSIZE };
    sasl_ssf_t ssf = c->extssf;

    sasl_dispose(&c->conn);
    if (c->no_plaintext && !c->extssf) props.security_flags |= SASL_SEC_NOPLAINTEXT;
    int r = sasl_client_new(c->service, c->host, c->localaddr, c->remoteaddr, c->callbacks, 0,
                            &c->conn);
    if (r == SASL_OK) r = sasl_setprop(c->conn, SASL_SEC_PROPS, &props);
    if (r == SASL_OK) r = sasl_setprop(c->conn, SASL_SSF_EXTERNAL, &ssf);
    if (r == SASL_OK) return 0;
    free(c->errtext);
    c->errtext = xstrdup(sasl_errstring(r, NULL, NULL));
    return IMAP_SASL_FAIL;
}

static sasl_secret_t *make_secret(const char *password)
{
    size_t len = strlen(password);
    sasl_secret_t *secret = xzmalloc(sizeof(*secret) + len + 1);

    secret->len = len;
    memcpy(secret->data, password, len + 1);
    return secret;
}

int saslclient_new(const struct saslclient_args *args, struct saslclient **cp)
{
    struct saslclient *c = xzmalloc(sizeof(*c));
    const sasl_callback_t callbacks[] = {
        CYL_SASL_CALLBACK(SASL_CB_USER, get_name, c),
        CYL_SASL_CALLBACK(SASL_CB_AUTHNAME, get_name, c),
        CYL_SASL_CALLBACK(SASL_CB_PASS, get_password, c),
        CYL_SASL_CALLBACK(SASL_CB_GETREALM, get_realm, c),
        { SASL_CB_LIST_END, NULL, NULL },
    };

    memcpy(c->callbacks, callbacks, sizeof(callbacks));
    c->service = xstrdup(args->service);
    c->host = xstrdupnull(args->host);
    c->localaddr = xstrdupnull(args->localaddr);
    c->remoteaddr = xstrdupnull(args->remoteaddr);
    c->userid = xstrdup(args->userid ? args->userid : "");
    c->authname = xstrdup(args->authname ? args->authname : "");
    c->realm = xstrdupnull(args->realm);
    if (args->password) c->secret = make_secret(args->password);
    c->maxssf = args->maxssf;
    c->no_plaintext = args->no_plaintext;
    int r = saslclient_init();
    if (!r) r = start_conn(c);
    if (r) saslclient_free(&c);
    *cp = c;
    return r;
}

int saslclient_set_tls(struct saslclient *c, struct tls_session *tls)
{
    c->extssf = tls_ssf(tls);
    return start_conn(c);
}

void saslclient_free(struct saslclient **cp)
{
    struct saslclient *c = *cp;

    if (!c) return;
    sasl_dispose(&c->conn);
    if (c->secret) secure_zero(c->secret->data, c->secret->len);
    free(c->secret);
    free(c->service);
    free(c->host);
    free(c->localaddr);
    free(c->remoteaddr);
    free(c->userid);
    free(c->authname);
    free(c->realm);
    free(c->mech);
    free(c->errtext);
    free(c);
    *cp = NULL;
}

/* ---- the exchange ---- */

static int failed(struct saslclient *c, int code, const char *text)
{
    free(c->errtext);
    c->errtext = xstrdup(text);
    return code;
}

static void put_string(struct protstream *out, const struct buf *text)
{
    prot_putc(' ', out);
    prot_printliteral(out, text->s, text->len);
}

/* The command, with the initial response where it fits; true when that was sent. */
static bool send_command(const struct saslclient_protocol *p, const char *mech,
                         const struct buf *initial, struct protstream *out)
{
    size_t len = strlen(p->command) + strlen(mech) + initial->len + 4;
    bool fits = p->initial_response && initial->s && (!p->maxcommand || len <= p->maxcommand);

    prot_printf(out, p->quoted_mech ? "%s \"%s\"" : "%s %s", p->command, mech);
    if (fits && p->quoted_mech)
        put_string(out, initial);
    else if (fits)
        prot_printf(out, " %s", buf_base(initial));
    prot_puts(out, "\r\n");
    prot_flush(out);
    return fits;
}

static void encode(const char *base, unsigned len, struct buf *text)
{
    buf_reset(text);
    base64_encode(base, len, 0, text);
    buf_cstring(text);
}

/* A response of no bytes is "=" with the command (RFC 4422 §4), an empty line else. */
static void encode_initial(const char *base, unsigned len, struct buf *text)
{
    if (!base) return;
    encode(base, len, text);
    if (!text->len) buf_setcstr(text, "=");
    buf_cstring(text);
}

enum answer { CHALLENGE, ACCEPTED, REFUSED, NONSENSE, LOST };

static bool has_prefix(const struct buf *line, const char *prefix)
{
    return prefix && *prefix &&
           memcaseeq(line->s, cyr_min(line->len, strlen(prefix)), prefix, strlen(prefix));
}

/* "+" alone is an empty challenge, too. */
static size_t challenge_offset(const struct buf *line, const char *prefix)
{
    size_t len = strlen(prefix);

    if (!strncmp(line->s, prefix, len)) return len;
    if (len && prefix[len - 1] == ' ' && line->len == len - 1 && !strncmp(line->s, prefix, len - 1))
        return len - 1;
    return SIZE_MAX;
}

static void set_text(struct buf *text, const char *s)
{
    buf_setcstr(text, s);
    buf_cstring(text);
}

static enum answer read_answer(const struct saslclient_protocol *p, struct protstream *in,
                               struct buf *line, struct buf *text)
{
    if (prot_getline(in, line, MAXLINE)) return LOST;
    if (has_prefix(line, p->ok) || has_prefix(line, p->fail)) {
        bool ok = has_prefix(line, p->ok);
        const char *rest = line->s + strlen(ok ? p->ok : p->fail);
        while (*rest == ' ') rest++;
        if (text) set_text(text, rest);
        return ok ? ACCEPTED : REFUSED;
    }
    size_t at = challenge_offset(line, p->challenge);
    if (at != SIZE_MAX) {
        buf_remove(line, 0, at);
        return CHALLENGE;
    }
    if (text) set_text(text, line->s);
    return p->fail ? NONSENSE : REFUSED;
}

static void send_line(struct protstream *out, const char *text)
{
    prot_printf(out, "%s\r\n", text);
    prot_flush(out);
}

struct exchange {
    const struct saslclient_protocol *p;
    struct protstream *in, *out;
    struct buf line, data, initial, *text;
    bool initial_due; /* it could not go with the command */
    bool first;
    int r; /* of libsasl */
};

/* Answer a challenge. 0, or an error after which the exchange was called off. */
static int step(struct saslclient *c, struct exchange *x)
{
    const char *answer = NULL;
    unsigned len = 0;

    if (x->first && x->initial_due && !x->line.len) {
        x->first = false;
        send_line(x->out, strcmp(buf_base(&x->initial), "=") ? x->initial.s : "");
        return 0;
    }
    x->first = false;
    if (sasl_line_decode(buf_cstring(&x->line), x->line.len, &x->data)) {
        send_line(x->out, x->p->cancel);
        return failed(c, IMAP_SASL_PROTERR, "challenge is not base64");
    }
    x->r = sasl_client_step(c->conn, x->data.s, (unsigned)x->data.len, NULL, &answer, &len);
    if (x->r != SASL_OK && x->r != SASL_CONTINUE) {
        send_line(x->out, x->p->cancel);
        return failed(c, IMAP_SASL_PROTERR, sasl_errdetail(c->conn));
    }
    encode(answer, len, &x->data);
    send_line(x->out, x->data.s);
    return 0;
}

/* The server has accepted: has libsasl, too? */
static int finish(struct saslclient *c, struct exchange *x)
{
    const char *answer = NULL;
    unsigned len = 0;

    /* a mechanism may wait for nothing but the end */
    if (x->r == SASL_CONTINUE) x->r = sasl_client_step(c->conn, NULL, 0, NULL, &answer, &len);
    if (x->r == SASL_OK) return 0;
    return failed(c, IMAP_SASL_PROTERR, "server did not prove its identity");
}

/* Read the line that ends a cancelled exchange. */
static int called_off(struct saslclient *c, struct exchange *x, int r)
{
    if (read_answer(x->p, x->in, &x->line, NULL) == LOST)
        return failed(c, IMAP_SERVER_UNAVAILABLE, "connection lost");
    return r;
}

static int converse(struct saslclient *c, struct exchange *x)
{
    for (;;) {
        switch (read_answer(x->p, x->in, &x->line, x->text)) {
        case CHALLENGE: {
            int r = step(c, x);
            if (r) return called_off(c, x, r);
            break;
        }
        case ACCEPTED: return finish(c, x);
        case REFUSED: return failed(c, IMAP_SASL_FAIL, x->text ? buf_cstring(x->text) : "refused");
        case NONSENSE: return failed(c, IMAP_SASL_PROTERR, "not an answer of the protocol");
        case LOST: {
            const char *err = prot_error(x->in);
            return failed(c, IMAP_SERVER_UNAVAILABLE, err ? err : "connection lost");
        }
        }
    }
}

/* One mechanism that libsasl has chosen. */
static int run(struct saslclient *c, struct exchange *x, const char *mech, const char *base,
               unsigned len)
{
    free(c->mech);
    c->mech = xstrdup(mech);
    encode_initial(base, len, &x->initial);
    x->first = true;
    x->initial_due = !send_command(x->p, mech, &x->initial, x->out) && x->initial.s;
    int r = converse(c, x);
    if (!r && (prot_setsasl(x->in, c->conn) || prot_setsasl(x->out, c->conn)))
        r = failed(c, IMAP_SASL_PROTERR, "data before the security layer");
    return r;
}

static void wipe(struct buf *b)
{
    if (b->s && b->alloc) secure_zero(b->s, b->alloc);
    buf_free(b);
}

/* Let libsasl choose; what it cannot begin (no ticket, no password) is taken off the list. */
static int choose(struct saslclient *c, struct exchange *x, strarray_t *mechs, const char **mech,
                  const char **base, unsigned *len)
{
    for (;;) {
        char *list = strarray_join(mechs, " ");
        *mech = NULL;
        x->r = sasl_client_start(c->conn, list ? list : "", NULL,
                                 x->p->initial_response ? base : NULL, len, mech);
        free(list);
        if (x->r == SASL_OK || x->r == SASL_CONTINUE) return 0;
        int at = *mech ? strarray_find_case(mechs, *mech, 0) : -1;
        if (at < 0) return failed(c, IMAP_SASL_FAIL, sasl_errdetail(c->conn));
        free(strarray_remove(mechs, at));
    }
}

int saslclient_auth(struct saslclient *c, const struct saslclient_protocol *protocol,
                    const char *mechs, struct protstream *in, struct protstream *out,
                    struct buf *text)
{
    struct exchange x = { .p = protocol, .in = in, .out = out };
    strarray_t *list = strarray_split(mechs, NULL, 0);
    struct buf own = BUF_INITIALIZER;
    const char *base = NULL, *mech;
    unsigned len = 0;

    x.text = text ? text : &own;
    buf_reset(x.text);
    int r = choose(c, &x, list, &mech, &base, &len);
    if (!r) r = run(c, &x, mech, base, len);
    wipe(&x.line);
    wipe(&x.data);
    wipe(&x.initial);
    buf_free(&own);
    strarray_free(list);
    return r;
}

const char *saslclient_mech(const struct saslclient *c)
{
    return c->mech ? c->mech : "";
}

unsigned saslclient_layer_ssf(const struct saslclient *c)
{
    const void *ssf;

    if (sasl_getprop(c->conn, SASL_SSF, &ssf) != SASL_OK) return 0;
    return *(const sasl_ssf_t *)ssf;
}

const char *saslclient_errtext(const struct saslclient *c)
{
    return c->errtext ? c->errtext : "";
}
