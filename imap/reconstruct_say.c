/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_say -- a finding goes to the caller and to the log
 */
#include <config.h>

#include <stdarg.h>
#include <syslog.h>

#include "buf.h"
#include "reconstruct_internal.h"

void reconstruct_say(struct reconstruct *rc, const char *fmt, ...)
{
    struct buf line = BUF_INITIALIZER;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&line, fmt, args);
    va_end(args);
    rc->findings++;
    syslog(LOG_NOTICE, "%s", buf_cstring(&line));
    if (rc->say) rc->say(buf_cstring(&line), rc->rock);
    buf_free(&line);
}
