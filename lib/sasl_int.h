/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SASL_INT_H
#define INCLUDED_SASL_INT_H
/*
 * sasl_int -- what both sides of SASL share
 */
#include <sasl/sasl.h>

#include "buf.h"

/* An entry of a callback table; libsasl keeps all functions as one type. */
#define CYL_SASL_CALLBACK(id, fn, ctx)                       \
    {                                                    \
        (id), (int (*)(void))(void (*)(void))(fn), (ctx) \
    }

/* Options of libsasl and its plugins from imapd.conf (handbook 05 §6.1). */
int sasl_config_getopt(void *context, const char *plugin, const char *option, const char **result,
                       unsigned *len);
/* libsasl's messages to syslog; its traces only with `debug`, and never passwords. */
int sasl_config_log(void *context, int level, const char *message);

/* Base64 of one line of an exchange, strict: 0 or -1. out is reset first. */
int sasl_line_decode(const char *s, size_t len, struct buf *out);

#endif
