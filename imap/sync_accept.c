/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_accept -- who may replicate to this server though no account of SASL says so
 */
#include <config.h>

#include "sync_accept.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imap_err.h"
#include "libconfig.h"
#include "ptrarray.h"
#include "saslserver.h"
#include "secret_file.h"
#include "service.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- unix sockets and pipes ---- */

/* A name of the system's, or a number. */
static bool is_user(const char *word, uid_t uid)
{
    const struct passwd *pw = getpwnam(word);
    char number[24];

    snprintf(number, sizeof(number), "%u", (unsigned)uid);
    return (pw && pw->pw_uid == uid) || !strcmp(word, number);
}

static bool is_socket_user(uid_t uid)
{
    const char *option = config_getstring(IMAPOPT_SYNC_SOCKET_USERS);
    strarray_t *words = strarray_split(option ? option : "", NULL, 0);
    bool found = !uid || uid == geteuid();

    for (int i = 0; !found && i < strarray_size(words); i++)
        found = !strcmp(strarray_nth(words, i), "anyone") || is_user(strarray_nth(words, i), uid);
    strarray_free(words);
    return found;
}

bool sync_accept_unasked(const struct service_client *client, bool standalone, struct buf *why)
{
    if (!client->is_unix && !client->is_stdio) return false;
    if (standalone || client->is_stdio || is_socket_user(client->peeruid)) return true;
    const struct passwd *pw = getpwuid(client->peeruid);
    buf_printf(why, "user %s (uid %u) is neither root nor this server's, nor in sync_socket_users",
               pw ? pw->pw_name : "unknown", (unsigned)client->peeruid);
    return false;
}

/* ---- sync_accept ---- */

/* The process's, from the configuration. */
static ptrarray_t peers = PTRARRAY_INITIALIZER;

static bool set_name(struct sync_peer *peer, const char *name)
{
    struct buf canonical = BUF_INITIALIZER;
    bool ok = !saslserver_canonify(name, strlen(name), &canonical);

    if (ok) peer->name = xstrdup(buf_cstring(&canonical));
    buf_free(&canonical);
    return ok;
}

static bool set_proof(struct sync_peer *peer, const char *word)
{
    if (*word != '/') return tls_fingerprint_parse(word, peer->fingerprint);
    peer->file = xstrdup(word);
    return true;
}

static void peer_free(struct sync_peer *peer)
{
    free(peer->name);
    free(peer->file);
    strarray_fini(&peer->users);
    free(peer);
}

/* Its cause is logged. */
static int read_secret(const struct sync_peer *peer, struct buf *secret)
{
    struct buf why = BUF_INITIALIZER;
    int r = secret_file_read(peer->file, secret, &why);

    if (r) syslog(LOG_ERR, "config error: sync_accept: '%s' is not let in: %s", peer->name, buf_cstring(&why));
    buf_free(&why);
    return r ? IMAP_PERMISSION_DENIED : 0;
}

static void tell_bad_file(const struct sync_peer *peer)
{
    struct buf secret = BUF_INITIALIZER;

    if (peer->file) (void)read_secret(peer, &secret);
    secret_free(&secret);
}

static void add_peer(const char *text)
{
    strarray_t *words = strarray_split(text, NULL, 0);
    struct sync_peer *peer = xzmalloc(sizeof(*peer));

    if (strarray_size(words) >= 2 && set_name(peer, strarray_nth(words, 0)) && set_proof(peer, strarray_nth(words, 1))) {
        for (int i = 2; i < strarray_size(words); i++) strarray_append(&peer->users, strarray_nth(words, i));
        tell_bad_file(peer);
        ptrarray_append(&peers, peer);
    }
    else {
        syslog(LOG_ERR, "config error: sync_accept: '%s' is no 'NAME /SECRET-FILE' or 'NAME FINGERPRINT'", text);
        peer_free(peer);
    }
    strarray_free(words);
}

void sync_accept_init(void)
{
    const char *option = config_getstring(IMAPOPT_SYNC_ACCEPT);

    while (ptrarray_size(&peers)) peer_free(ptrarray_shift(&peers));
    strarray_t *entries = strarray_split(option ? option : "", ";", STRARRAY_TRIM);

    for (int i = 0; i < strarray_size(entries); i++)
        if (*strarray_nth(entries, i)) add_peer(strarray_nth(entries, i));
    strarray_free(entries);
}

static const struct sync_peer *find(const char *name, const char *fingerprint)
{
    for (int i = 0; i < ptrarray_size(&peers); i++) {
        const struct sync_peer *peer = ptrarray_nth(&peers, i);
        if (name ? peer->file && !strcmp(peer->name, name) : !strcmp(peer->fingerprint, fingerprint)) return peer;
    }
    return NULL;
}

bool sync_accept_has(bool certificates)
{
    for (int i = 0; i < ptrarray_size(&peers); i++)
        if (!((const struct sync_peer *)ptrarray_nth(&peers, i))->file == certificates) return true;
    return false;
}

const struct sync_peer *sync_accept_by_name(const char *name)
{
    return find(name, NULL);
}

const struct sync_peer *sync_accept_by_certificate(const struct tls_session *tls)
{
    char fingerprint[TLS_FINGERPRINT_LEN + 1];

    return tls_peer_fingerprint(tls, fingerprint) ? find(NULL, fingerprint) : NULL;
}

bool sync_accept_is_local(const struct service_client *client)
{
    return client->is_unix || client->is_stdio || strstarts(client->remoteip, "127.") || !strcmp(client->remoteip, "::1");
}

int sync_accept_secret(const char *name, const struct service_client *client, bool is_protected, struct buf *out)
{
    const struct sync_peer *peer = sync_accept_by_name(name);

    if (!peer) return IMAP_NOTFOUND;
    if (is_protected || sync_accept_is_local(client) || config_getswitch(IMAPOPT_ALLOWPLAINTEXT)) return read_secret(peer, out);
    syslog(LOG_NOTICE, "sync_accept: '%s' at %s is not let in: its secret is for connections with TLS", name, client->clienthost);
    return IMAP_PERMISSION_DENIED;
}
