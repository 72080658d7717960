/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EXPUNGE, UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1, RFC 7162 §3.2.7, handbook 04 §3.16)
 */
#include <config.h>

#include <inttypes.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"

void cmd_expunge(struct imap_session *s)
{
    struct buf set = BUF_INITIALIZER;
    struct seqset *uids = NULL;
    uint32_t count = 0;

    if (s->usinguid && !imap_arg_sequence(s, &set)) goto done;
    if (!imap_arg_end(s)) goto done;
    if (s->usinguid) {
        struct seqset *msgnos = imap_sequence_msgnos(s, buf_cstring(&set));
        uids = index_uids_of(s->index, msgnos);
        seqset_free(msgnos);
    }
    int r = index_expunge(s->index, uids, &count);
    if (!r) imap_report(s, true, NULL);
    if (s->closing) goto done;
    if (!r && count)
        imap_ok(s, "[HIGHESTMODSEQ %" PRIu64 "] Completed", index_highestmodseq(s->index));
    else
        imap_result(s, r);
done:
    seqset_free(uids);
    buf_free(&set);
}
