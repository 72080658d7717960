/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * daemon -- what the mail services share: the last words of a process, and its end
 *
 * fatal() gives no context, so whom to tell is noted here while a session runs.
 */
#include <config.h>

#include "daemon.h"

#include <stdlib.h>

#include "global.h"
#include "proc.h"
#include "prot.h"
#include "saslserver.h"
#include "tls.h"
#include "tls_sessions.h"
#include "txn.h"

static const char *last_words;
static bool drop;
static struct protstream *listener;

static void tell(const char *message, int code)
{
    struct protstream *out = listener;

    (void)code;
    listener = NULL;
    proc_cleanup();
    if (!out) return;
    if (drop) prot_discardoutput(out);
    prot_printf(out, "%s%s\r\n", last_words, message);
    (void)prot_flush(out);
}

void daemon_set_last_words(const char *prefix, bool drop_buffered)
{
    last_words = prefix;
    drop = drop_buffered;
    cyrus_set_fatal_hook(tell);
}

void daemon_tell(struct protstream *out)
{
    listener = out;
}

void daemon_end(struct tls_ctx **tls_ctx, int code)
{
    proc_cleanup();
    tls_ctx_free(tls_ctx);
    tls_sessions_done();
    saslserver_done();
    txn_shutdown();
    cyrus_done();
    exit(code);
}
