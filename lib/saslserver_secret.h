/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SASLSERVER_SECRET_H
#define INCLUDED_SASLSERVER_SECRET_H
/*
 * saslserver_secret -- passwords that the service itself knows, for every mechanism
 *
 * A plain-text password is compared here. Mechanisms that compute with the password get it as libsasl gets those of its
 * databases, from a plugin of its that is part of the program.
 */
#include <stdbool.h>

#include "sasl_int.h"

struct buf;

/* Who is asked for the password of a canonical name. 0 with the bytes in out, which are wiped; anything else: not known here. */
struct saslserver_secret {
    int (*get)(void *rock, const char *name, struct buf *out);
    void *rock;
    bool given; /* out: libsasl was told a password, or one was compared and is right */
};

/* After sasl_server_init. A libsasl error. */
int saslserver_secret_init(void);
/* As sasl_config_getopt; the plugin is among those that are asked. */
int saslserver_secret_getopt(void *context, const char *plugin, const char *option, const char **result, unsigned *len);
/* The one that the plugin asks from now on, in this thread; NULL: nobody. The calls into libsasl are to stand between. */
void saslserver_secret_use(struct saslserver_secret *secret);
/* Callback SASL_CB_SERVER_USERDB_CHECKPASS. A wrong password of a name that is known is not compared with it again by libsasl. */
int saslserver_secret_check(sasl_conn_t *conn, void *context, const char *user, const char *pass, unsigned passlen,
                            struct propctx *props);

#endif
