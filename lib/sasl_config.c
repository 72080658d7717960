/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sasl_config -- libsasl's options and messages
 *
 * An option OPT of plugin PLUG is sasl_PLUG_OPT, else sasl_OPT, of imapd.conf, both with the
 * service's own form first. "srvtab" is an option without prefix.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "libconfig.h"
#include "sasl_int.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char *lookup(const char *plugin, const char *option)
{
    char *key = xasprintf("sasl_%s%s%s", plugin ? plugin : "", plugin ? "_" : "", option);
    const char *value = config_getoverflowstring(key, NULL);

    free(key);
    return value;
}

int sasl_config_getopt(void *context, const char *plugin, const char *option, const char **result,
                       unsigned *len)
{
    const char *value = NULL;

    (void)context;
    if (!option || !config_loaded()) return SASL_FAIL;
    if (!strcmp(option, "srvtab"))
        value = config_getoverflowstring(option, NULL);
    else if (plugin)
        value = lookup(plugin, option);
    if (!value) value = lookup(NULL, option);
    if (!value) return SASL_FAIL;
    *result = value;
    if (len) *len = (unsigned)strlen(value);
    return SASL_OK;
}

int sasl_config_log(void *context, int level, const char *message)
{
    static const int priority[] = {
        [SASL_LOG_ERR] = LOG_ERR,     [SASL_LOG_FAIL] = LOG_NOTICE, [SASL_LOG_WARN] = LOG_WARNING,
        [SASL_LOG_NOTE] = LOG_NOTICE, [SASL_LOG_DEBUG] = LOG_DEBUG, [SASL_LOG_TRACE] = LOG_DEBUG,
    };

    (void)context;
    if (level > SASL_LOG_NONE && level < SASL_LOG_PASS && message)
        syslog(priority[level], "SASL %s", message);
    return SASL_OK;
}

int sasl_line_decode(const char *s, size_t len, struct buf *out)
{
    buf_reset(out);
    if (base64_decode(s, len, 0, out)) return -1;
    buf_cstring(out);
    return 0;
}
