/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_ping -- is the replica there, does it let us in, and what is it? (sync_client --ping)
 *
 * A line for each step, to stdout; the first that fails is the last, with its cause. Nothing is changed at either end.
 */
#include <config.h>

#include "sync_client_ping.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "backend.h"
#include "exitcodes.h"
#include "imap_err.h"
#include "libconfig.h"
#include "tls.h"
#include "util.h"

#define CLOCK_TOLERANCE 10 /* seconds: expiry and the order of changes depend on the clocks */

static void say_transport(const struct sync_client *sc)
{
    const char *port = config_getchannelstring(sc->channel, IMAPOPT_SYNC_PORT);

    if (sc->transport)
        printf("transport: the program '%s'\n", sc->transport);
    else if (*sc->servername == '/')
        printf("transport: the unix socket %s\n", sc->servername);
    else
        printf("transport: %s%s%s\n", sc->servername, port ? ", port " : "", port ? port : "");
}

static void say_tls(struct backend *b)
{
    const struct tls_session *tls = backend_tls(b);
    char fingerprint[TLS_FINGERPRINT_LEN + 1];

    if (!tls)
        puts("TLS: none");
    else
        printf("TLS: %s with %s, certificate SHA256:%s, %s\n", tls_protocol(tls), tls_cipher(tls),
               tls_peer_fingerprint(tls, fingerprint) ? fingerprint : "none",
               tls_peer_verified(tls) ? "verified" : "its signer is not verified");
}

static void say_login(const struct sync_client *sc)
{
    const char *mech = backend_mech(sc->backend), *name = config_getchannelstring(sc->channel, IMAPOPT_SYNC_AUTHNAME);

    if (*mech)
        printf("authentication: let in as '%s' with %s\n", name ? name : config_servername, mech);
    else
        printf("authentication: let in %s\n", backend_tls(sc->backend) ? "by our certificate" : "without a login");
}

static void say_capabilities(const struct sync_client *sc)
{
    struct buf words = BUF_INITIALIZER;

    backend_capa_list(sc->backend, &words);
    printf("capabilities: %s\n", buf_len(&words) ? buf_cstring(&words) : "none");
    buf_free(&words);
}

/* The replica's time, to the second, was told between two of ours. False: the difference is too large. */
static bool say_clock(const struct sync_client *sc, time_t before, time_t after)
{
    const char *told = backend_param(sc->backend, BACKEND_CAPA_CLOCK);
    uint64_t theirs;

    if (!told || parse_u64(told, strlen(told), &theirs) || theirs > INT64_MAX) {
        puts("clock: not told by this server");
        return true;
    }
    int64_t ahead = 0, t = (int64_t)theirs;
    if (t > after + 1) ahead = t - after;
    if (t < before - 1) ahead = t - before;
    if (!ahead)
        puts("clock: the same");
    else
        printf("clock: the replica's is %" PRId64 " seconds %s\n", ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead");
    return ahead <= CLOCK_TOLERANCE && ahead >= -CLOCK_TOLERANCE;
}

static bool is_refusal(int r)
{
    return r == IMAP_SASL_FAIL || r == IMAP_SASL_PROTERR || r == IMAP_PERMISSION_DENIED;
}

int sync_client_ping(struct sync_client *sc)
{
    struct buf cause = BUF_INITIALIZER;
    time_t before = time(NULL);

    sc->reads_only = true;
    sc->cause = &cause;
    say_transport(sc);
    int r = sync_client_connect(sc);
    time_t after = time(NULL);
    if (r) {
        const char *text = buf_len(&cause) ? buf_cstring(&cause) : sync_client_errtext(sc, r);
        printf("%s: FAILED: %s\n", is_refusal(r) ? "authentication" : "connection", text);
    }
    else {
        say_tls(sc->backend);
        say_login(sc);
        printf("version: %s\n", backend_banner(sc->backend));
        say_capabilities(sc);
        if (!say_clock(sc, before, after)) r = IMAP_REMOTE_DENIED;
    }
    buf_free(&cause);
    sc->cause = NULL;
    return r ? 1 : EX_OK;
}
