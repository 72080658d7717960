/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * COMPRESS (RFC 4978, handbook 04 §3.18)
 */
#include <config.h>

#include "imapcmd.h"

void cmd_compress(struct imap_session *s)
{
    struct buf alg = BUF_INITIALIZER;

    if (!imap_arg_word(s, &alg) || !imap_arg_end(s)) goto done;
    if (s->compressed)
        imap_bad(s, "[COMPRESSIONACTIVE] DEFLATE active via COMPRESS");
    else if (cyr_strcasecmp(buf_cstring(&alg), "DEFLATE")) {
        buf_ucase(&alg);
        imap_no(s, "Unknown COMPRESS algorithm: %s", buf_cstring(&alg));
    }
    else {
        imap_ok(s, "DEFLATE active");
        s->compressed = true;
        if (prot_flush(s->out) || prot_setcompress(s->in) || prot_setcompress(s->out))
            s->closing = true;
    }
done:
    buf_free(&alg);
}
