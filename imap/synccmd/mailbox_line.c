/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_line -- the MAILBOX line of an answer (handbook 03 §3.1, §4.1)
 *
 * The state is read under the shared lock, the lock is given back, what was read is
 * made durable, and only then is the line sent. Meanwhile its text is in a spill, so the memory does not grow
 * with the number of records.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mbtype.h"
#include "mboxname.h"
#include "sync_folder.h"
#include "sync_folder_format.h"

static int put_intermediate(struct synccmd_session *session, const mbentry_t *mbentry)
{
    struct sync_folder folder;

    sync_folder_read_intermediate(mbentry, &folder);
    int r = synccmd_put(session, sync_folder_print(&folder, "MAILBOX"));
    sync_folder_fini(&folder);
    return r;
}

/* Text of the line without "* ", and what it needs to be durable. */
static int mailbox_text(const mbentry_t *mbentry, bool records, strarray_t *roots,
                        struct spill *text, uint64_t *lsn)
{
    struct mailbox *mailbox = NULL;
    struct sync_folder folder = { 0 };
    int r = mailbox_open_mbentry(mbentry, &mailbox);

    if (!r) r = sync_folder_read(mailbox, &folder);
    if (!r) {
        struct sync_format format = { .name = "MAILBOX", .mailbox = records ? mailbox : NULL };
        r = sync_folder_spill(&folder, &format, text);
    }
    if (!r) {
        if (roots && folder.quotaroot) strarray_add(roots, folder.quotaroot);
        *lsn = mailbox_seen_lsn(mailbox);
    }
    sync_folder_fini(&folder);
    if (mailbox) mailbox_close(&mailbox);
    return r;
}

int synccmd_put_mailbox(struct synccmd_session *session, const mbentry_t *mbentry, bool records,
                        strarray_t *roots, bool *realp)
{
    struct spill text;
    uint64_t lsn = 0;

    if (mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE | MBTYPE_REMOTE)) return 0;
    if (mbentry->mbtype & MBTYPE_INTERMEDIATE) return put_intermediate(session, mbentry);
    if (mbtype_isa(mbentry->mbtype) == MBTYPE_SIEVE && !session->sieve_mailbox) return 0;

    /* a state without records is small, and who asks for many of them is not told which one failed */
    spill_init(&text, config_getstring(IMAPOPT_TEMP_PATH), records ? SPILL_MEMORY : SPILL_NEVER);
    int r = mailbox_text(mbentry, records, roots, &text, &lsn);
    if (!r) r = txn_wait(lsn);
    if (!r) r = synccmd_putspill(session, &text);
    if (!r && realp) *realp = true;
    spill_fini(&text);
    /* gone since it was looked up */
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_RESERVED ? 0 : r;
}
