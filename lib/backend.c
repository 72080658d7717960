/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend -- the start and the end of client connections
 *
 * Socket, (TLS), banner, capabilities, (STARTTLS), login, capabilities again,
 * (COMPRESS): each step within connect_timeout. TLS is started when it is required, when a certificate is wanted, or when
 * no mechanism is usable without. What a server says of itself before TLS is forgotten
 * with TLS. The password never goes to the telemetry log.
 */
#include <config.h>

#include "backend.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend_protocol.h"
#include "imap_err.h"
#include "libconfig.h"
#include "strarray.h"
#include "tls.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define GOODBYE_TIMEOUT 5 /* seconds for the answer to LOGOUT */

/* The step that failed has no text yet: give it the streams'. */
static int lost(struct backend *b, struct buf *text)
{
    buf_setcstr(text, backend_cause(b));
    return IMAP_SERVER_UNAVAILABLE;
}

/* ---- banner and capabilities ---- */

static int read_banner(struct backend *b, struct buf *text)
{
    const struct backend_protocol *p = b->protocol;

    if (p->banner_has_capas) backend_capa_clear(b);
    for (;;) {
        if (backend_getline(b, &b->banner)) return lost(b, text);
        if (backend_prefix(&b->banner, p->banner)) break;
        if (!p->banner_has_capas || !strstarts(b->banner.s, "* ") ||
            !cyr_strncasecmp(b->banner.s, "* BYE", 5)) {
            buf_printf(text, "unexpected greeting: %s", b->banner.s);
            return IMAP_PROTOCOL_ERROR;
        }
        backend_capa_line(b, b->banner.s);
    }
    return 0;
}

/* A line of the answer to the capability command; true when it is the last. */
static bool capa_answer(struct backend *b, const struct buf *line, int nr)
{
    const struct backend_protocol *p = b->protocol;
    bool last = backend_prefix(line, p->capability.ok);

    /* the first line of EHLO and of CAPA, and the last of IMAP and CAPA, carry none */
    if (p->form == CAPAFORM_EHLO ? nr > 0 : !last && (p->form == CAPAFORM_IMAP || nr > 0))
        backend_capa_line(b, line->s);
    return last;
}

static int ask_capas(struct backend *b, struct buf *text)
{
    const struct backend_command *cmd = &b->protocol->capability;
    struct buf line = BUF_INITIALIZER;
    int r = 0;

    if (!cmd->text) return 0;
    backend_capa_clear(b);
    backend_send(b, cmd);
    for (int nr = 0; !r; nr++) {
        if (backend_getline(b, &line)) {
            r = lost(b, text);
            break;
        }
        bool more = b->protocol->form == CAPAFORM_EHLO && strstarts(line.s, "250-");
        if (!more && backend_prefix(&line, cmd->fail))
            r = IMAP_REMOTE_DENIED;
        else if (b->protocol->form == CAPAFORM_EHLO && !strstarts(line.s, "250"))
            r = IMAP_PROTOCOL_ERROR;
        else if (capa_answer(b, &line, nr))
            break;
    }
    if (r == IMAP_PROTOCOL_ERROR || r == IMAP_REMOTE_DENIED) buf_copy(text, &line);
    /* a POP3 server need not know CAPA */
    if (r == IMAP_REMOTE_DENIED && b->protocol->form == CAPAFORM_POP3) r = 0;
    buf_free(&line);
    return r;
}

static int learn_capas(struct backend *b, struct buf *text)
{
    if (b->protocol->form == CAPAFORM_IMAP && backend_capa_code(b, b->banner.s)) return 0;
    return ask_capas(b, text);
}

/* ---- TLS ---- */

static int check_certificate(const struct backend *b, const char *wanted, struct buf *text)
{
    char want[TLS_FINGERPRINT_LEN + 1], shown[TLS_FINGERPRINT_LEN + 1];

    if (!tls_fingerprint_parse(wanted, want))
        buf_printf(text, "'%s' is no SHA-256 fingerprint of a certificate", wanted);
    else if (!tls_peer_fingerprint(b->tls, shown))
        buf_printf(text, "%s shows no certificate", b->host);
    else if (strcmp(want, shown) != 0)
        buf_printf(text, "%s shows the certificate %s, wanted is %s", b->host, shown, want);
    else
        return 0;
    return IMAP_SASL_PROTERR;
}

static int start_tls(struct backend *b, const struct backend_args *args, struct buf *text)
{
    struct tls_settings settings;

    tls_settings_client(&settings, b->host);
    settings.verify = args->require_tls && !args->certificate;
    if (args->ca_file) settings.ca_file = args->ca_file;
    int r = tls_ctx_new_client(&settings, &b->tls_ctx);
    if (!r)
        r = tls_start_client(b->tls_ctx, b->in, b->out, b->host, args->connect_timeout, &b->tls);
    if (r)
        buf_printf(text, "TLS negotiation with %s failed", b->host);
    else if (args->certificate)
        r = check_certificate(b, args->certificate, text);
    return r;
}

static int ask_tls(struct backend *b, const struct backend_args *args, struct buf *text)
{
    int r = backend_command(b, &b->protocol->starttls, text);

    if (!r) r = start_tls(b, args, text);
    if (r) return r;
    backend_capa_clear(b);
    if (b->protocol->banner_has_capas) return read_banner(b, text);
    return ask_capas(b, text);
}

/* ---- login ---- */

/* "<first label of the host>SUFFIX" of imapd.conf. */
static const char *label_option(const struct backend *b, const char *suffix)
{
    char *key = xasprintf("%.*s%s", (int)strcspn(b->host, "."), b->host, suffix);
    const char *value = config_getoverflowstring(lcase(key), NULL);

    free(key);
    return value;
}

static const char *first_of(const char *a, const char *b, const char *c)
{
    if (a) return a;
    return b ? b : c;
}

/* "127.0.0.1;143" of one end, or NULL. */
static char *address_of(int (*get)(int, struct sockaddr *, socklen_t *), int fd)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (get(fd, (struct sockaddr *)&addr, &len) || addr.ss_family == AF_UNIX) return NULL;
    if (getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return NULL;
    return xasprintf("%s;%s", host, port);
}

static int local_name(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getsockname(fd, addr, len);
}

static int remote_name(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getpeername(fd, addr, len);
}

static int make_sasl(struct backend *b, const struct backend_args *args)
{
    const struct backend_protocol *p = b->protocol;
    int max = config_getint(IMAPOPT_SASL_MAXIMUM_LAYER);
    char *local = address_of(local_name, b->fd), *remote = address_of(remote_name, b->fd);
    struct saslclient_args sargs = {
        .service = p->sasl_service ? p->sasl_service : p->name,
        .host = b->host,
        .localaddr = local,
        .remoteaddr = remote,
        .userid = args->userid,
        .authname = first_of(args->authname, config_getstring(IMAPOPT_PROXY_AUTHNAME), ""),
        .realm = first_of(args->realm, config_getstring(IMAPOPT_PROXY_REALM), NULL),
        .password = first_of(args->password, label_option(b, "_password"),
                             config_getstring(IMAPOPT_PROXY_PASSWORD)),
        .maxssf = b->tls || max < 0 ? 0 : (unsigned)max,
    };

    saslclient_free(&b->sasl);
    int r = saslclient_new(&sargs, &b->sasl);
    if (!r && b->tls) r = saslclient_set_tls(b->sasl, b->tls);
    free(local);
    free(remote);
    return r;
}

/* The mechanisms of the server, cut down to those that are wanted. The caller frees. */
static char *usable_mechs(const struct backend *b, const struct backend_args *args)
{
    const char *offered = backend_param(b, BACKEND_CAPA_AUTH);
    const char *wanted = first_of(args->mechs, label_option(b, "_mechs"),
                                  config_getstring(IMAPOPT_FORCE_SASL_CLIENT_MECH));
    strarray_t *a = strarray_split(offered ? offered : "", NULL, 0);
    strarray_t *w = strarray_split(wanted ? wanted : "", NULL, 0);
    struct buf out = BUF_INITIALIZER;

    for (int i = 0; i < strarray_size(a); i++) {
        if (strarray_size(w) && strarray_find_case(w, strarray_nth(a, i), 0) < 0) continue;
        buf_printf(&out, "%s%s", out.len ? " " : "", strarray_nth(a, i));
    }
    strarray_free(a);
    strarray_free(w);
    buf_cstring(&out);
    return buf_release(&out);
}

/* *tried: a mechanism was begun; without, TLS may help. */
static int try_login(struct backend *b, const struct backend_args *args, bool *tried,
                     struct buf *text)
{
    struct saslclient_protocol dress = b->protocol->auth;
    char *mechs = usable_mechs(b, args);
    int r = make_sasl(b, args);

    *tried = false;
    if (b->protocol->form == CAPAFORM_IMAP)
        dress.initial_response = backend_has(b, BACKEND_CAPA_SASLIR);
    prot_setlog(b->in, -1);
    prot_setlog(b->out, -1);
    if (!r) {
        r = saslclient_auth(b->sasl, &dress, mechs, b->in, b->out, text);
        *tried = *saslclient_mech(b->sasl) != '\0';
        if (r) buf_setcstr(text, saslclient_errtext(b->sasl));
    }
    prot_setlog(b->in, args->logfd);
    prot_setlog(b->out, args->logfd);
    free(mechs);
    return r;
}

/* After login: a server that told another list of mechanisms than the first one, now that the
 * list is protected, was not the one that told the first. */
static int capas_after_login(struct backend *b, const char *mechs_before, struct buf *text)
{
    bool layer = saslclient_layer_ssf(b->sasl) > 0;

    if (b->protocol->form != CAPAFORM_IMAP) return 0;
    if (layer || !backend_capa_code(b, buf_cstring(text))) {
        int r = ask_capas(b, text);
        if (r) return r;
    }
    const char *mechs = backend_param(b, BACKEND_CAPA_AUTH);
    if (layer && mechs && strcmp(mechs, mechs_before)) {
        buf_setcstr(text, "the list of mechanisms was tampered with");
        return IMAP_SASL_PROTERR;
    }
    return 0;
}

/* Behind a program there may be a peer that knows already who has started it, behind TLS a csync server that knows our
 * certificate: they ask for no login. */
static bool is_logged_in(const struct backend *b)
{
    bool may_be = b->program || (b->tls && b->protocol == &backend_csync);

    return may_be && !backend_has(b, BACKEND_CAPA_AUTH) && !backend_has(b, BACKEND_CAPA_STARTTLS);
}

static int login(struct backend *b, const struct backend_args *args, struct buf *text)
{
    bool tried;
    int r;

    if (b->no_auth || args->no_auth || (b->is_unix && b->protocol->unix_trusted)) return 0;
    if (is_logged_in(b)) return 0;
    r = try_login(b, args, &tried, text);
    if (r && !tried && !b->tls && backend_has(b, BACKEND_CAPA_STARTTLS)) {
        buf_reset(text);
        r = ask_tls(b, args, text);
        if (!r) r = try_login(b, args, &tried, text);
    }
    if (r) return r;
    const char *offered = backend_param(b, BACKEND_CAPA_AUTH);
    char *before = xstrdup(offered ? offered : "");
    r = capas_after_login(b, before, text);
    free(before);
    return r;
}

/* ---- life ---- */

/* text: that of a connection that failed; NULL: it goes to the log alone. */
static void end_program(struct backend *b, struct buf *text)
{
    struct buf how = BUF_INITIALIZER;

    if (!b->program && !b->logger) return;
    backend_end_program(b, &how);
    if (buf_len(&how) && text)
        buf_printf(text, "%s%s", buf_len(text) ? "; " : "", buf_cstring(&how));
    else if (buf_len(&how))
        syslog(LOG_ERR, "connection to %s (%s): %s", b->host, b->protocol->name, buf_cstring(&how));
    buf_free(&how);
}

static void backend_free(struct backend **bp)
{
    struct backend *b = *bp;

    if (b->tls) tls_shutdown(b->tls);
    end_program(b, NULL);
    tls_session_free(&b->tls);
    prot_free(b->in);
    prot_free(b->out);
    tls_ctx_free(&b->tls_ctx);
    saslclient_free(&b->sasl);
    if (b->fd >= 0) close(b->fd);
    backend_capa_clear(b);
    buf_free(&b->banner);
    free(b->host);
    free(b);
    *bp = NULL;
}

static void make_streams(struct backend *b, const struct backend_args *args)
{
    struct protstream **s[] = { &b->in, &b->out };

    for (int i = 0; i < 2; i++) {
        *s[i] = prot_new(b->fd, i == 1);
        prot_settimeout(*s[i], args->connect_timeout);
        prot_setisclient(*s[i], true);
        prot_setlog(*s[i], args->logfd);
    }
    prot_setflushonread(b->in, b->out);
}

static int greet(struct backend *b, const struct backend_args *args, struct buf *text)
{
    int r = 0;

    make_streams(b, args);
    if (b->tls_at_once) r = start_tls(b, args, text);
    if (!r) r = read_banner(b, text);
    if (!r) r = learn_capas(b, text);
    bool needed = args->require_tls || args->certificate;
    if (!r && (needed || args->prefer_tls) && !b->tls) {
        if (backend_has(b, BACKEND_CAPA_STARTTLS)) return ask_tls(b, args, text);
        if (!needed) return 0;
        buf_printf(text, "%s does not offer TLS", b->host);
        r = IMAP_IOERROR;
    }
    return r;
}

int backend_connect(const struct backend_args *given, struct backend **bp, struct buf *text)
{
    struct backend *b = xzmalloc(sizeof(*b));
    struct backend_args args = *given;
    struct buf own = BUF_INITIALIZER;

    if (!text) text = &own;
    buf_reset(text);
    *bp = NULL;
    b->fd = -1;
    b->protocol = args.protocol;
    if (!args.connect_timeout) args.connect_timeout = config_getduration(IMAPOPT_CLIENT_TIMEOUT);
    int r = backend_program_of(&args) ? backend_open_program(b, &args, text) : backend_open_socket(b, &args, text);
    if (!r) r = greet(b, &args, text);
    if (!r) r = login(b, &args, text);
    if (!r && args.compress && b->protocol->compress.text && backend_has(b, BACKEND_CAPA_COMPRESS))
        r = backend_compress(b);
    if (r) end_program(b, text);
    buf_cstring(text);
    if (r) {
        syslog(LOG_ERR, "connection to %s (%s) failed: %s%s%s", args.server ? args.server : "",
               args.protocol->name, error_message(r), text->len ? ": " : "", text->s);
        backend_free(&b);
    }
    else {
        backend_settimeout(b, args.timeout);
    }
    buf_free(&own);
    *bp = b;
    return r;
}

void backend_disconnect(struct backend **bp)
{
    struct backend *b = *bp;

    if (!b) return;
    if (!prot_error(b->in) && !prot_error(b->out)) {
        backend_settimeout(b, GOODBYE_TIMEOUT);
        backend_command(b, &b->protocol->logout, NULL);
    }
    backend_free(bp);
}

int backend_ping(struct backend *b)
{
    return backend_command(b, &b->protocol->noop, NULL) ? IMAP_SERVER_UNAVAILABLE : 0;
}

int backend_compress(struct backend *b)
{
    int (*set)(struct protstream *s) = prot_setzstd;
    int r = IMAP_REMOTE_DENIED;

    if (prot_iscompressed(b->in)) return r;
    if (b->protocol->zstd.text && prot_haszstd() && backend_has(b, BACKEND_CAPA_ZSTD))
        r = backend_command(b, &b->protocol->zstd, NULL);
    if (r == IMAP_REMOTE_DENIED && b->protocol->compress.text) {
        set = prot_setcompress;
        r = backend_command(b, &b->protocol->compress, NULL);
    }
    if (!r && (set(b->in) || set(b->out))) r = IMAP_PROTOCOL_ERROR;
    return r;
}

int backend_recapa(struct backend *b)
{
    struct buf text = BUF_INITIALIZER;
    int r = ask_capas(b, &text);

    buf_free(&text);
    return r;
}

struct protstream *backend_in(struct backend *b)
{
    return b->in;
}

struct protstream *backend_out(struct backend *b)
{
    return b->out;
}

const char *backend_host(const struct backend *b)
{
    return b->host;
}

const char *backend_mech(const struct backend *b)
{
    return b->sasl ? saslclient_mech(b->sasl) : "";
}

const char *backend_banner(const struct backend *b)
{
    return buf_base(&b->banner);
}

unsigned backend_layer_ssf(const struct backend *b)
{
    return b->sasl ? saslclient_layer_ssf(b->sasl) : 0;
}

struct tls_session *backend_tls(const struct backend *b)
{
    return b->tls;
}

void backend_settimeout(struct backend *b, int seconds)
{
    prot_settimeout(b->in, seconds);
    prot_settimeout(b->out, seconds);
}
