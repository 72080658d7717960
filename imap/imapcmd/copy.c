/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * COPY, MOVE, XMOVE and their UID forms (RFC 3501 §6.4.7, RFC 6851, RFC 4315, handbook 04 §3.16)
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"

static void copyuid(const struct index_copied *copied, struct buf *out)
{
    buf_printf(out, "[COPYUID %" PRIu32 " ", copied->uidvalidity);
    seqset_appendto(copied->from, out);
    buf_putc(out, ' ');
    seqset_appendto(copied->to, out);
    buf_putc(out, ']');
}

/* saved: the set was "$", which may be empty (RFC 5182 §2.1). */
static void answer(struct imap_session *s, const char *intname, int r, bool move, bool saved,
                   const struct index_copied *copied)
{
    struct buf code = BUF_INITIALIZER;

    if (r == IMAP_NO_NOSUCHMSG && (s->usinguid || saved)) r = 0;
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_NOTSUPPORTED) {
        imap_no_target(s, intname, r);
        return;
    }
    if (!r && copied->tell && !seqset_isempty(copied->from)) copyuid(copied, &code);
    if (move && buf_len(&code)) {
        prot_printf(s->out, "* OK %s Completed\r\n", buf_cstring(&code));
        buf_reset(&code);
    }
    if (buf_len(&code))
        imap_ok(s, "%s Completed", buf_cstring(&code));
    else
        imap_result(s, r);
    buf_free(&code);
}

static void copy(struct imap_session *s, bool move)
{
    struct buf set = BUF_INITIALIZER;
    extname_t name = EXTNAME_NONE;
    struct index_copied copied = { 0 };
    char *intname = NULL;
    int r;

    if (!imap_arg_sequence(s, &set) || !imap_arg_mailbox(s, &name) || !imap_arg_end(s)) goto done;
    imap_report(s, false, NULL);
    if (s->closing) goto done;
    s->reported = false;

    intname = imap_intname(s, name);
    r = index_gone(s->index) ? IMAP_MAILBOX_NONEXISTENT : intname ? 0 : IMAP_MAILBOX_BADNAME;
    if (!r) {
        struct seqset *msgnos = imap_sequence_msgnos(s, buf_cstring(&set));
        r = index_copy(s->index, msgnos, intname, move, s->options->ignorequota, &copied);
        seqset_free(msgnos);
    }
    answer(s, intname, r, move, imap_sequence_is_saved(buf_cstring(&set)), &copied);
done:
    index_copied_fini(&copied);
    free(intname);
    buf_free(&set);
    extname_free(&name);
}

void cmd_copy(struct imap_session *s)
{
    copy(s, false);
}

void cmd_move(struct imap_session *s)
{
    copy(s, true);
}
