/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_conn -- the connection to the replica: commands, answers, status lines
 *
 * Speaks csync, or the SYNC commands of IMAP where the replica has them. One
 * command is on its way at a time, or, where the replica announces X-PIPELINE, up to a window of posted ones; answers come in the
 * order of the commands. An answer that cannot be understood makes the connection
 * broken: nothing more is sent on it, and what was posted has failed.
 */
#include <config.h>

#include "sync_client.h"
#include "sync_client_together.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "imap_err.h"
#include "imparse.h"
#include "libconfig.h"
#include "namelock.h"
#include "prot.h"
#include "secret_file.h"
#include "server_role.h"
#include "sync_acked.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- talk about it ---- */

bool sync_client_is_server(const struct sync_client *sc, const char *host)
{
    size_t len = strcspn(sc->servername, ":");

    return (strlen(host) == len && !strncasecmp(host, sc->servername, len)) ||
           !strcasecmp(host, sc->servername);
}

void sync_client_say(struct sync_client *sc, const char *fmt, ...)
{
    va_list args;

    if (sc->verbose) {
        va_start(args, fmt);
        vprintf(fmt, args);
        va_end(args);
        putchar('\n');
        fflush(stdout);
    }
    if (sc->log) {
        va_start(args, fmt);
        cyr_vsyslog(LOG_INFO, fmt, args);
        va_end(args);
    }
}

const char *sync_client_errtext(struct sync_client *sc, int r)
{
    buf_reset(&sc->errtext);
    buf_setcstr(&sc->errtext, error_message(r));
    if (buf_len(&sc->answer)) buf_printf(&sc->errtext, " (%s)", buf_cstring(&sc->answer));
    return buf_cstring(&sc->errtext);
}

/* ---- status lines ---- */

static const struct {
    const char *word;
    int code;
} words[] = {
    { "IMAP_INVALID_USER", IMAP_INVALID_USER },
    { "IMAP_MAILBOX_NONEXISTENT", IMAP_MAILBOX_NONEXISTENT },
    { "IMAP_MAILBOX_LOCKED", IMAP_MAILBOX_LOCKED },
    { "IMAP_MAILBOX_MOVED", IMAP_MAILBOX_MOVED },
    { "IMAP_MAILBOX_NOTSUPPORTED", IMAP_MAILBOX_NOTSUPPORTED },
    { "IMAP_SYNC_CHECKSUM", IMAP_SYNC_CHECKSUM },
    { "IMAP_USER_ATHOME", IMAP_USER_ATHOME },
    { "IMAP_SYNC_CHANGED", IMAP_SYNC_CHANGED },
    { "IMAP_SYNC_BADSIEVE", IMAP_SYNC_BADSIEVE },
    { "IMAP_PROTOCOL_ERROR", IMAP_PROTOCOL_ERROR },
    { "IMAP_PROTOCOL_BAD_PARAMETERS", IMAP_PROTOCOL_BAD_PARAMETERS },
};

static int no_code(const char *text)
{
    for (size_t i = 0; i < array_size(words); i++) {
        size_t len = strlen(words[i].word);
        if (!strncmp(text, words[i].word, len) && (!text[len] || text[len] == ' '))
            return words[i].code;
    }
    return IMAP_REMOTE_DENIED;
}

static int status_code(struct sync_client *sc, const char *cmd, const char *status,
                       const char *text)
{
    buf_reset(&sc->answer);
    if (!strcmp(status, "OK")) return 0;
    buf_printf(&sc->answer, "%s: %s %s", cmd, status, text);
    if (!strcmp(status, "NO")) {
        int r = no_code(text);
        /* who waits for another client asks again and again; and who is told that it knows another state than there is asks then */
        bool usual = r == IMAP_MAILBOX_LOCKED || r == IMAP_SYNC_CHANGED;
        syslog(usual ? LOG_DEBUG : LOG_ERR, "%s received NO response: %s", cmd, text);
        return r;
    }
    sc->broken = true;
    if (!strcmp(status, "BYE")) return IMAP_BYE_LOGOUT;
    syslog(LOG_ERR, "IOERROR: received bad response: command=<%s> response=<%s> errmsg=<%s>", cmd,
           status, text);
    return IMAP_PROTOCOL_ERROR;
}

/* ---- answers ---- */

static int connection_lost(struct sync_client *sc, const char *cmd)
{
    const char *err = prot_error(backend_in(sc->backend));

    buf_reset(&sc->answer);
    buf_printf(&sc->answer, "%s: connection lost", cmd);
    syslog(LOG_ERR, "IOERROR: zero length response: command=<%s> prot_error=<%s>", cmd,
           err ? err : "");
    sc->broken = true;
    return IMAP_SERVER_UNAVAILABLE;
}

/* Who takes the untagged lines. */
struct taker {
    sync_client_line *fn; /* NULL: they are read past */
    void *rock;
    const struct dlist_itemsink *items; /* may be NULL */
};

/* One untagged line behind its "* ". *r gets the first error of the taker. */
static int read_line(struct sync_client *sc, const char *cmd, const struct taker *taker, int *r)
{
    struct dlist_filesink sink = sync_reserve_sink(sc->reserve);
    struct dlist_parseopts opts = { .parsekeys = true, .sink = &sink, .items = taker->items };
    struct dlist *dl = NULL;

    if (dlist_parseline(backend_in(sc->backend), &opts, &dl)) {
        if (prot_error(backend_in(sc->backend))) return connection_lost(sc, cmd);
        syslog(LOG_ERR, "IOERROR: unexpected line in the answer to %s", cmd);
        sc->broken = true;
        return IMAP_PROTOCOL_ERROR;
    }
    int er = taker->fn ? taker->fn(sc, &dl, taker->rock) : 0;
    if (er && !*r) *r = er;
    dlist_free(&dl);
    return 0;
}

/* tag: of IMAP, or NULL. */
static int read_answer(struct sync_client *sc, const char *cmd, const char *tag,
                       const struct taker *taker)
{
    struct protstream *in = backend_in(sc->backend);
    struct buf word = BUF_INITIALIZER, text = BUF_INITIALIZER;
    int r = 0, liner = 0;

    for (;;) {
        int c = getword(in, &word);
        if (c == ' ' && !strcmp(buf_cstring(&word), "*")) {
            r = read_line(sc, cmd, taker, &liner);
            if (r) break;
            continue;
        }
        if (c == ' ' && tag && !strcmp(buf_cstring(&word), tag)) c = getword(in, &word);
        if (c < 0 || !buf_len(&word)) {
            r = connection_lost(sc, cmd);
            break;
        }
        if (c == ' ' && prot_getline(in, &text, 65536)) {
            r = connection_lost(sc, cmd);
            break;
        }
        if (c != ' ') imparse_eol(in, c);
        r = status_code(sc, cmd, buf_cstring(&word), buf_cstring(&text));
        break;
    }
    buf_free(&word);
    buf_free(&text);
    return r ? r : liner;
}

/* ---- commands ---- */

static bool is_usable(const struct sync_client *sc)
{
    return sc->backend && !sc->broken;
}

#define NOOP "NOOP" /* one of IMAP as well */

/* Begin a command; tag gets the IMAP tag or "". */
static void put_verb(struct sync_client *sc, const char *verb, char *tag, size_t size)
{
    struct protstream *out = backend_out(sc->backend);

    *tag = '\0';
    sc->commands++;
    if (sc->isimap) {
        snprintf(tag, size, "S%u", sc->tagno++);
        prot_printf(out, "%s %s%s", tag, strcmp(verb, NOOP) ? "SYNC" : "", verb);
    }
    else {
        prot_puts(out, verb);
    }
}

/* What follows the verb. */
struct args {
    const struct dlist *dl;
    const struct buf *text; /* both NULL: nothing */
};

static void put_command(struct sync_client *sc, const char *verb, const struct args *args, char *tag, size_t size)
{
    struct protstream *out = backend_out(sc->backend);

    sc->leased = sc->leases;
    put_verb(sc, verb, tag, size);
    if (args->dl || args->text) prot_putc(' ', out);
    if (args->dl) dlist_print(args->dl, true, out);
    if (args->text) prot_putbuf(out, args->text);
    prot_puts(out, "\r\n");
    if (!sc->more) prot_flush(out);
}

static int command(struct sync_client *sc, const char *verb, const char *name, const struct args *args,
                   const struct taker *taker)
{
    char tag[24];

    sync_client_settle(sc);
    if (!is_usable(sc)) return IMAP_SERVER_UNAVAILABLE;
    put_command(sc, verb, args, tag, sizeof(tag));
    return read_answer(sc, name, *tag ? tag : NULL, taker);
}

int sync_client_itemcommand(struct sync_client *sc, const char *verb, struct dlist *dl,
                            const struct dlist_itemsink *items, sync_client_line *fn, void *rock)
{
    struct taker taker = { fn, rock, items };
    struct args args = { .dl = dl };
    int r = command(sc, verb, dl->name, &args, &taker);

    dlist_free(&dl);
    return r;
}

int sync_client_command(struct sync_client *sc, const char *verb, struct dlist *dl,
                        sync_client_line *fn, void *rock)
{
    return sync_client_itemcommand(sc, verb, dl, NULL, fn, rock);
}

int sync_client_textcommand(struct sync_client *sc, const char *verb, const char *name,
                            const struct buf *text, sync_client_line *fn, void *rock)
{
    struct taker taker = { fn, rock, NULL };
    struct args args = { .text = text };

    return command(sc, verb, name, &args, &taker);
}

int sync_client_restart(struct sync_client *sc)
{
    struct taker nobody = { NULL, NULL, NULL };
    struct args none = { NULL, NULL };
    int r = command(sc, "RESTART", "RESTART", &none, &nobody);

    sc->leased = false;
    return r;
}

/* ---- posted commands ---- */

/* Their answers are short, so a replica that writes them never waits for us while we write. */
#define WINDOW 32

struct posted {
    char *name;
    char tag[24]; /* of IMAP, or "" */
    sync_client_done *done;
    void *rock;
};

/* The oldest one. After one at which the connection broke sc->answer says why, for all that follow. */
static void settle_one(struct sync_client *sc)
{
    struct posted *p = ptrarray_shift(&sc->posted);
    struct taker nobody = { NULL, NULL, NULL };
    int r = IMAP_SERVER_UNAVAILABLE;

    if (is_usable(sc)) r = read_answer(sc, p->name, *p->tag ? p->tag : NULL, &nobody);
    if (p->done) p->done(sc, r, p->rock);
    free(p->name);
    free(p);
}

void sync_client_settle(struct sync_client *sc)
{
    while (ptrarray_size(&sc->posted)) settle_one(sc);
}

static void post(struct sync_client *sc, const char *verb, const char *name, const struct args *args,
                 sync_client_done *done, void *rock)
{
    struct posted *p = xzmalloc(sizeof(*p));

    p->name = xstrdup(name);
    p->done = done;
    p->rock = rock;
    if (is_usable(sc)) put_command(sc, verb, args, p->tag, sizeof(p->tag));
    ptrarray_append(&sc->posted, p);
    bool ahead = is_usable(sc) && backend_has(sc->backend, BACKEND_CAPA_XPIPELINE);
    while (ptrarray_size(&sc->posted) > (ahead ? WINDOW : 0)) settle_one(sc);
}

void sync_client_post(struct sync_client *sc, const char *verb, struct dlist *dl, sync_client_done *done, void *rock)
{
    struct args args = { .dl = dl };

    post(sc, verb, dl->name, &args, done, rock);
    dlist_free(&dl);
}

void sync_client_posttext(struct sync_client *sc, const char *verb, const char *name, const struct buf *text,
                          sync_client_done *done, void *rock)
{
    struct args args = { .text = text };

    post(sc, verb, name, &args, done, rock);
}

void sync_client_post_restart(struct sync_client *sc)
{
    struct args none = { NULL, NULL };

    post(sc, "RESTART", "RESTART", &none, NULL, NULL);
    sc->leased = false;
}

/* ---- connecting ---- */

static int enabled_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    const char *word;

    if (strcmp((*dlp)->name, "ENABLED") != 0) return 0;
    for (const struct dlist *item = (*dlp)->head; item; item = item->next) {
        if (!dlist_toatom(item, &word)) continue;
        if (!strcmp(word, "SIEVE-MAILBOX")) sc->sieve_mailbox = true;
        if (!strcmp(word, "X-SIEVEFILES")) sc->sieve_files = true;
        if (!strcmp(word, "X-LEASE")) sc->leases = true;
    }
    if (sc->sieve_mailbox) sync_client_say(sc, "ENABLE 0x%x", 0x800u);
    return 0;
}

/* What we want to have on; who only reads keeps nobody away. */
static struct dlist *wanted(const struct sync_client *sc)
{
    struct dlist *list = dlist_newlist(NULL, "CAPABILITIES");
    bool mailbox = backend_has(sc->backend, BACKEND_CAPA_SIEVEMAILBOX);

    if (mailbox) dlist_setatom(list, NULL, "SIEVE-MAILBOX");
    if (mailbox && backend_has(sc->backend, BACKEND_CAPA_SIEVEFILES)) dlist_setatom(list, NULL, "X-SIEVEFILES");
    if (!sc->reads_only && backend_has(sc->backend, BACKEND_CAPA_XLEASE)) dlist_setatom(list, NULL, "X-LEASE");
    return list;
}

static int after_login(struct sync_client *sc)
{
    struct dlist *list = wanted(sc);
    int r = 0;

    sc->sieve_mailbox = sc->sieve_files = sc->leases = sc->leased = false;
    if (list->head) {
        r = sync_client_command(sc, "APPLY", list, enabled_line, NULL);
        /* versions that announce it and do not know the command */
        if (r == IMAP_PROTOCOL_ERROR && !sc->broken) r = 0;
    }
    else {
        dlist_free(&list);
    }
    if (!r && sc->nocopyback)
        r = sync_client_command(sc, "APPLY", dlist_newkvlist(NULL, "FORCE"), NULL, NULL);
    return r;
}

/* The channel's value of opt, or that of all; not the latter if the channel has one of its own of `instead`: it would lead to
 * another server, or be the password of another. */
static const char *own_or_common(const char *channel, enum imapopt opt, enum imapopt instead)
{
    if (config_haschannelvalue(channel, instead) && !config_haschannelvalue(channel, opt)) return NULL;
    return config_getchannelstring(channel, opt);
}

bool sync_client_find_server(struct sync_client *sc)
{
    if (sc->servername) {
        if (strstarts(sc->servername, "exec:")) sc->transport = sc->servername;
        return true;
    }
    sc->servername = config_getchannelstring(sc->channel, IMAPOPT_SYNC_HOST);
    sc->transport = own_or_common(sc->channel, IMAPOPT_SYNC_TRANSPORT, IMAPOPT_SYNC_HOST);
    if (!sc->servername && sc->transport)
        sc->servername = sc->channel && *sc->channel ? sc->channel : "sync_transport";
    return sc->servername;
}

static bool is_socket_path(const struct sync_client *sc)
{
    return !sc->transport && *sc->servername == '/';
}

static const char *password_file(const struct sync_client *sc)
{
    return own_or_common(sc->channel, IMAPOPT_SYNC_PASSWORD_FILE, IMAPOPT_SYNC_PASSWORD);
}

/* imapd knows nothing of sync_accept: with what that goes with IMAP is tried only if somebody has said so. */
static bool tries_imap(const struct sync_client *sc)
{
    bool is_said = config_isset(IMAPOPT_SYNC_TRY_IMAP) || config_haschannelvalue(sc->channel, IMAPOPT_SYNC_TRY_IMAP);

    if (sc->transport || is_socket_path(sc) || (password_file(sc) && !is_said)) return false;
    return config_getchannelswitch(sc->channel, IMAPOPT_SYNC_TRY_IMAP);
}

/* Of sync_password_file, or, without one, sync_password; kept in secret. text gets why there is none. */
static int find_password(struct sync_client *sc, struct backend_args *args, struct buf *secret, struct buf *text)
{
    const char *file = password_file(sc);
    struct buf why = BUF_INITIALIZER;
    int r = 0;

    args->password = config_getchannelstring(sc->channel, IMAPOPT_SYNC_PASSWORD);
    if (!file) return 0;
    if (!args->authname) args->authname = config_servername;
    args->prefer_tls = true;
    if (secret_file_read(file, secret, &why)) {
        syslog(LOG_ERR, "config error: sync_password_file: %s", buf_cstring(&why));
        buf_copy(text, &why);
        r = IMAP_PERMISSION_DENIED;
    }
    args->password = buf_cstring(secret);
    buf_free(&why);
    return r;
}

static int find_identity(struct sync_client *sc, struct backend_args *args, struct buf *secret, struct buf *text)
{
    if (sc->proxy) return 0;
    args->port = config_getchannelstring(sc->channel, IMAPOPT_SYNC_PORT);
    args->authname = config_getchannelstring(sc->channel, IMAPOPT_SYNC_AUTHNAME);
    args->realm = config_getchannelstring(sc->channel, IMAPOPT_SYNC_REALM);
    args->certificate = config_getchannelstring(sc->channel, IMAPOPT_SYNC_CERTIFICATE);
    return find_password(sc, args, secret, text);
}

static void tell_failure(const struct sync_client *sc, const struct backend_args *args, int r, const struct buf *text)
{
    if (r == IMAP_SASL_FAIL)
        syslog(LOG_ERR, "server '%s' does not let '%s' in: %s", sc->servername, args->authname ? args->authname : "",
               text->len ? text->s : error_message(r));
    syslog(LOG_ERR, "Can not connect to server '%s'", sc->servername);
}

static int try_connect(struct sync_client *sc, bool imap)
{
    int timeout = config_getduration(IMAPOPT_SYNC_TIMEOUT);
    struct buf text = BUF_INITIALIZER, secret = BUF_INITIALIZER;
    struct backend_args args = {
        .server = sc->servername,
        .program = sc->transport,
        .protocol = imap ? &backend_imap : &backend_csync,
        .timeout = timeout < 3 ? 3 : timeout,
        .no_auth = is_socket_path(sc),
        .compress = !imap && !is_socket_path(sc),
        .logfd = sc->verbose > 1 ? STDERR_FILENO : -1,
    };
    int r = find_identity(sc, &args, &secret, &text);

    if (!r) r = backend_connect(&args, &sc->backend, &text);
    if (!r && imap && !backend_has(sc->backend, BACKEND_CAPA_REPLICATION)) {
        backend_disconnect(&sc->backend);
        r = IMAP_SERVER_UNAVAILABLE;
    }
    if (r && !imap) tell_failure(sc, &args, r, &text);
    if (r && sc->cause) buf_copy(sc->cause, &text);
    sc->isimap = imap;
    secret_free(&secret);
    buf_free(&text);
    return r;
}

/* What another life of its store has acknowledged counts no more. */
static int note_instance(struct sync_client *sc)
{
    const char *told = backend_param(sc->backend, BACKEND_CAPA_INSTANCE);

    if (!told || parse_hex64(told, strlen(told), &sc->instance)) sc->instance = 0;
    return sc->acks ? sync_acked_met(sc->channel, sc->instance) : 0;
}

int sync_client_connect(struct sync_client *sc)
{
    int r = IMAP_SERVER_UNAVAILABLE;

    if (!sc->reads_only && !sc->proxy && server_role_is(SERVER_ROLE_REPLICA)) {
        syslog(LOG_ERR, "SYNCERROR: this server is the replica of a pair: it replicates to nobody");
        return r;
    }
    sync_client_disconnect(sc);
    sc->broken = false;
    sc->reserve = sync_reserve_new();
    bool imap = tries_imap(sc);
    if (sc->proxy || imap) r = try_connect(sc, true);
    if (r && !sc->proxy) r = try_connect(sc, false);
    if (!r && sc->needcompress && !prot_iscompressed(backend_out(sc->backend))) {
        syslog(LOG_ERR, "Failed to enable compression, aborting");
        r = IMAP_SERVER_UNAVAILABLE;
    }
    if (!r) {
        prot_setisclient(backend_out(sc->backend), true);
        prot_setisclient(backend_in(sc->backend), true);
        r = after_login(sc);
    }
    if (!r) r = note_instance(sc);
    if (r) sync_client_disconnect(sc);
    return r;
}

/* What was posted, and not heard of, has failed. */
void sync_client_disconnect(struct sync_client *sc)
{
    sc->broken = true;
    sync_client_settle(sc);
    sync_known_clear(sc);
    if (sc->backend) backend_disconnect(&sc->backend);
    sync_reserve_free(&sc->reserve);
}

void sync_client_fini(struct sync_client *sc)
{
    sync_client_disconnect(sc);
    ptrarray_fini(&sc->posted);
    buf_free(&sc->answer);
    buf_free(&sc->errtext);
    free_hash_table(&sc->unsettled, free);
}

/* ---- the sync lock ---- */

int sync_client_lock(struct sync_client *sc, const char *userid, struct namelock **lockp)
{
    struct buf name = BUF_INITIALIZER;

    buf_printf(&name, "*S*%s*%s", sc->servername, userid ? userid : "");
    for (size_t i = 0; i < buf_len(&name); i++) {
        if (name.s[i] == '.') name.s[i] = '^';
        if (name.s[i] == '/') name.s[i] = '_'; /* the path of a socket */
    }
    int r = namelock_acquire(buf_cstring(&name), NAMELOCK_EXCLUSIVE,
                             sc->nowait ? NAMELOCK_NONBLOCK : 0, lockp);
    buf_free(&name);
    if (!r) sc->locks++;
    return r;
}

/* The replica hears of it before who waits here does. */
void sync_client_unlock(struct sync_client *sc, struct namelock **lockp)
{
    if (!*lockp) return;
    sc->locks--;
    sync_client_let_go(sc);
    namelock_release(lockp);
}

void sync_client_let_go(struct sync_client *sc)
{
    struct args none = { NULL, NULL };

    if (sc->locks || !sc->leased) return;
    post(sc, NOOP, NOOP, &none, NULL, NULL); /* RESTART would throw away messages that the next one may want, too */
    sc->leased = false;
}
