/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SASLCLIENT_H
#define INCLUDED_SASLCLIENT_H
/*
 * saslclient -- the client's side of SASL, for sync_client, proxies and deliver
 *
 * Errors: IMAP_SASL_FAIL (refused by the server), IMAP_SASL_PROTERR (the server
 * broke the protocol, or its proof of identity is wrong), IMAP_SERVER_UNAVAILABLE
 * (connection lost). saslclient_errtext() has the server's words or libsasl's.
 */
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

struct protstream;
struct tls_session;
struct saslclient;

/* Initialise libsasl's client once per process. */
int saslclient_init(void);
void saslclient_done(void);

struct saslclient_args {
    const char *service;    /* "imap", "lmtp", "csync", "mupdate" */
    const char *host;       /* server FQDN */
    const char *localaddr;  /* "192.0.2.1;40000" or NULL */
    const char *remoteaddr;
    const char *userid;     /* authorisation id; NULL or "": the same as authname */
    const char *authname;
    const char *realm;      /* may be NULL */
    const char *password;   /* may be NULL: only mechanisms that need none */
    unsigned maxssf;        /* strongest security layer wanted; 0: none */
    bool no_plaintext;      /* no PLAIN or LOGIN without a layer */
};
int saslclient_new(const struct saslclient_args *args, struct saslclient **cp);
int saslclient_set_tls(struct saslclient *c, struct tls_session *tls);
void saslclient_free(struct saslclient **cp);

/* How the protocol dresses the exchange. */
struct saslclient_protocol {
    const char *command;       /* "A01 AUTHENTICATE", "AUTH", "AUTHENTICATE" */
    bool quoted_mech;          /* MUPDATE: mechanism and initial response are strings */
    bool initial_response;     /* may be sent with the command */
    size_t maxcommand;         /* longest command with initial response; 0: no limit */
    const char *challenge;     /* prefix of a challenge: "+ ", "334 ", "" */
    const char *ok, *fail;     /* prefixes of the last line: "A01 OK", "235"; fail NULL: anything else */
    const char *cancel;        /* "*" */
};
/* Choose a mechanism from mechs (blank-separated) and run the exchange. text gets what followed the prefix of the last
 * line. On success the security layer is active on both streams, if one was negotiated. */
int saslclient_auth(struct saslclient *c, const struct saslclient_protocol *protocol, const char *mechs,
                    struct protstream *in, struct protstream *out, struct buf *text);
const char *saslclient_mech(const struct saslclient *c);
unsigned saslclient_layer_ssf(const struct saslclient *c);
const char *saslclient_errtext(const struct saslclient *c);

#endif
