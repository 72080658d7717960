/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LMTP: any bytes as what a client sends, messages and all, to a store of this process;
 * the lines also as addresses and xtext.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fuzz.h"
#include "libconfig.h"
#include "lmtp_session.h"

static const struct service_client client = {
    .is_unix = true,
    .clienthost = (char *)"[unix socket]",
    .remotename = (char *)"",
    .remoteip = (char *)"",
    .localip = (char *)"",
    .remoteaddr = (char *)"",
    .localaddr = (char *)"",
};

static void addresses(const char *line)
{
    struct buf addr = BUF_INITIALIZER;
    const char *p = line;

    (void)lmtp_parse_address(&p, true, &addr);
    if (p < line || p > line + strlen(line)) abort();
    p = line;
    (void)lmtp_parse_address(&p, false, &addr);
    (void)lmtp_decode_xtext(line, strlen(line), &addr);
    buf_free(&addr);
}

void fuzz_lmtp(const uint8_t *data, size_t size)
{
    struct buf answers = BUF_INITIALIZER, line = BUF_INITIALIZER;
    static unsigned long made_ids;
    struct lmtp_session session = {
        .client = &client, .preauth = true, .authenticated = true, .made_ids = &made_ids
    };
    struct saslserver_args args = { .service = "lmtp",
                                    .servername = "fuzz.test",
                                    .policy = &session.policy };

    fuzz_store();
    buf_setmap(&line, (const char *)data, size);
    addresses(buf_cstring(&line));
    session.in = prot_readmap((const char *)data, size);
    session.out = prot_writebuf(&answers);
    session.policy.adminsonly = true;
    if (mboxname_init_namespace(&session.ns, true) || saslserver_new(&args, &session.sasl)) abort();
    lmtp_run(&session);
    saslserver_free(&session.sasl);
    buf_free(&session.lhlo);
    buf_free(&session.return_path);
    buf_free(&session.auth_id);
    prot_free(session.in);
    prot_free(session.out);
    buf_free(&answers);
    buf_free(&line);
}
