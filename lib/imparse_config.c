/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imparse_config -- the limits of tokens as imapd.conf sets them (handbook 04 §2.6)
 *
 * A negative number means no limit, as 0 does.
 */
#include <config.h>

#include "imparse.h"
#include "libconfig.h"
#include "prot.h"

static size_t limit(enum imapopt opt)
{
    int n = config_getint(opt);

    return n > 0 ? (size_t)n : 0;
}

void imparse_configlimits(struct protstream *in)
{
    struct prot_limits limits = {
        .maxword = limit(IMAPOPT_MAXWORD),
        .maxquoted = limit(IMAPOPT_MAXQUOTED),
        .maxliteral = limit(IMAPOPT_MAXLITERAL),
        .maxargssize = limit(IMAPOPT_MAXARGSSIZE),
        .literalminus = config_getswitch(IMAPOPT_LITERALMINUS),
    };

    prot_setlimits(in, &limits);
}
