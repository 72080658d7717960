/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saslserver_secret -- passwords that the service itself knows, for every mechanism
 *
 * libsasl looks the password up before it is checked; the plugin stands in front of those of the configuration, and what it
 * tells they do not change.
 */
#include <config.h>

#include "saslserver_secret.h"

#include <stdlib.h>
#include <string.h>

#include <sasl/prop.h>
#include <sasl/saslplug.h>

#include "digest.h"
#include "secret_file.h"
#include "xmalloc.h"

#define PLUGIN "serviceown"

static _Thread_local struct saslserver_secret *in_use;

void saslserver_secret_use(struct saslserver_secret *secret)
{
    in_use = secret;
}

static int get(const char *name, struct buf *secret)
{
    return in_use && in_use->get ? in_use->get(in_use->rock, name, secret) : -1;
}

/* Is it asked for, and nobody has told it? */
static bool is_wanted(sasl_server_params_t *sparams, unsigned flags)
{
    const struct propval *p = flags & SASL_AUXPROP_AUTHZID ? NULL : sparams->utils->prop_get(sparams->propctx);

    for (; p && p->name; p++)
        if (!strcmp(p->name, SASL_AUX_PASSWORD)) return !p->values || flags & SASL_AUXPROP_OVERRIDE;
    return false;
}

static int look_up(void *context, sasl_server_params_t *sparams, unsigned flags, const char *user, unsigned ulen)
{
    struct buf secret = BUF_INITIALIZER;
    int r = SASL_NOUSER;

    (void)context;
    char *name = xstrndup(user, ulen);
    if (is_wanted(sparams, flags) && !get(name, &secret)) {
        sparams->utils->prop_erase(sparams->propctx, SASL_AUX_PASSWORD);
        r = sparams->utils->prop_set(sparams->propctx, SASL_AUX_PASSWORD, buf_base(&secret), (int)buf_len(&secret));
        in_use->given = r == SASL_OK;
    }
    secret_free(&secret);
    free(name);
    return r;
}

static int init_plugin(const sasl_utils_t *utils, int max_version, int *out_version, sasl_auxprop_plug_t **plug, const char *name)
{
    static char own_name[] = PLUGIN;
    static sasl_auxprop_plug_t own = { .auxprop_lookup = look_up, .name = own_name };

    (void)utils;
    (void)name;
    if (max_version < SASL_AUXPROP_PLUG_VERSION) return SASL_BADVERS;
    *out_version = SASL_AUXPROP_PLUG_VERSION;
    *plug = &own;
    return SASL_OK;
}

int saslserver_secret_init(void)
{
    return sasl_auxprop_add_plugin(PLUGIN, init_plugin);
}

int saslserver_secret_getopt(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
    static char *plugins;
    int r = sasl_config_getopt(context, plugin, option, result, len);

    if (r != SASL_OK || plugin || strcmp(option, "auxprop_plugin") != 0) return r;
    free(plugins);
    plugins = xasprintf(PLUGIN " %s", *result);
    *result = plugins;
    if (len) *len = (unsigned)strlen(plugins);
    return SASL_OK;
}

/* In the same time, whatever the secret is. */
static bool is_equal(const struct buf *secret, const char *pass, unsigned passlen)
{
    unsigned char a[SHA256_SIZE], b[SHA256_SIZE];

    digest_sha256(buf_base(secret), buf_len(secret), a);
    digest_sha256(pass, passlen, b);
    return digest_equal(a, b, sizeof(a));
}

int saslserver_secret_check(sasl_conn_t *conn, void *context, const char *user, const char *pass, unsigned passlen,
                            struct propctx *props)
{
    struct buf secret = BUF_INITIALIZER;
    int r = SASL_NOUSER;

    (void)conn;
    (void)context;
    if (!get(user, &secret)) {
        in_use->given = is_equal(&secret, pass, passlen);
        r = in_use->given ? SASL_OK : SASL_BADAUTH;
        if (!in_use->given && props) prop_erase(props, SASL_AUX_PASSWORD);
    }
    secret_free(&secret);
    return r;
}
