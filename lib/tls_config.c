/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_config -- the tls_* options of imapd.conf (handbook 05 §6.6)
 *
 * TLS counts as configured only with both a certificate and a key; the word
 * "disabled" stands for none. The session timeout is cut at 24 hours.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "libconfig.h"
#include "tls.h"
#include "util.h"
#include "xmalloc.h"

#define MAX_SESSION_TIMEOUT (24 * 60 * 60)

static const char *unless_disabled(const char *value)
{
    return value && *value && strcmp(value, "disabled") ? value : NULL;
}

bool tls_enabled(void)
{
    return unless_disabled(config_getstring(IMAPOPT_TLS_SERVER_CERT)) &&
           unless_disabled(config_getstring(IMAPOPT_TLS_SERVER_KEY));
}

static void common_settings(struct tls_settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    settings->ciphers = config_getstring(IMAPOPT_TLS_CIPHERS);
    settings->versions = config_getstring(IMAPOPT_TLS_VERSIONS);
    settings->eccurve = config_getstring(IMAPOPT_TLS_ECCURVE);
}

static enum tls_clientcerts clientcerts(void)
{
    switch (config_getenum(IMAPOPT_TLS_CLIENT_CERTS)) {
    case IMAP_ENUM_TLS_CLIENT_CERTS_OFF: return TLS_CLIENTCERTS_OFF;
    case IMAP_ENUM_TLS_CLIENT_CERTS_REQUIRE: return TLS_CLIENTCERTS_REQUIRE;
    default: return TLS_CLIENTCERTS_OPTIONAL;
    }
}

void tls_settings_server(struct tls_settings *settings, const char *session_id)
{
    int timeout = config_getduration(IMAPOPT_TLS_SESSION_TIMEOUT);

    common_settings(settings);
    settings->cert = unless_disabled(config_getstring(IMAPOPT_TLS_SERVER_CERT));
    settings->key = unless_disabled(config_getstring(IMAPOPT_TLS_SERVER_KEY));
    settings->ca_file = config_getstring(IMAPOPT_TLS_CLIENT_CA_FILE);
    settings->ca_dir = config_getstring(IMAPOPT_TLS_CLIENT_CA_DIR);
    settings->crl_file = config_getstring(IMAPOPT_TLS_CRL_FILE);
    settings->dhparam = config_getstring(IMAPOPT_TLS_SERVER_DHPARAM);
    settings->prefer_server_ciphers = config_getswitch(IMAPOPT_TLS_PREFER_SERVER_CIPHERS);
    settings->clientcerts = clientcerts();
    settings->session_id = session_id;
    settings->session_timeout = cyr_max(0, cyr_min(timeout, MAX_SESSION_TIMEOUT));
}

/* HOST_client_cert, else tls_client_cert. */
static const char *host_option(const char *host, const char *suffix, enum imapopt opt)
{
    const char *value = NULL;

    if (host && *host) {
        char *key = xasprintf("%.*s%s", (int)strcspn(host, "."), host, suffix);
        value = config_getoverflowstring(lcase(key), NULL);
        xzfree(key);
    }
    return unless_disabled(value ? value : config_getstring(opt));
}

void tls_settings_client(struct tls_settings *settings, const char *host)
{
    common_settings(settings);
    settings->cert = host_option(host, "_client_cert", IMAPOPT_TLS_CLIENT_CERT);
    settings->key = host_option(host, "_client_key", IMAPOPT_TLS_CLIENT_KEY);
    settings->ca_file = config_getstring(IMAPOPT_TLS_SERVER_CA_FILE);
    settings->ca_dir = config_getstring(IMAPOPT_TLS_SERVER_CA_DIR);
}
