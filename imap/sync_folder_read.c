/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_folder_read -- the state of an open mailbox
 *
 * Reads the index header, the entry, the mailbox annotations and the folder's record
 * in its owner's conversations. Nothing is made that was not there: a user without
 * conversations simply has none.
 */
#include <config.h>

#include "sync_folder.h"

#include <string.h>

#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxname.h"
#include "mbtype.h"
#include "user.h"
#include "xmalloc.h"

static int read_xconvmodseq(struct mailbox *mailbox, modseq_t *modseqp)
{
    struct conversations_state *state = NULL;
    struct conv_status status;

    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    if (mboxname_isdeletedmailbox(mailbox_name(mailbox), NULL)) return 0;
    int r = conversations_open_mbox(mailbox, &state);
    if (!r && state) r = conversation_getstatus(state, mailbox, &status);
    if (!r && state) *modseqp = status.threadmodseq;
    conversations_close(&state);
    /* logged where it was found: a derived number that can't be read keeps no mail back */
    return r == IMAP_MAILBOX_BADFORMAT || r == IMAP_IOERROR ? 0 : r;
}

static int read_raclmodseq(struct mailbox *mailbox, modseq_t *modseqp)
{
    struct user_meta *meta = NULL;
    struct counters counters;

    if (!mboxname_isusermailbox(mailbox_name(mailbox), true)) return 0;
    int r = user_meta_from_entry(mailbox_mbentry(mailbox), &meta);
    if (!r) r = counters_read(meta, mailbox_txn(mailbox), &counters);
    if (!r) *modseqp = counters.modseq[CTR_RACL];
    user_meta_free(&meta);
    return r;
}

static void read_header(struct mailbox *mailbox, struct sync_folder *out)
{
    const struct index_header *hdr = mailbox_index_header(mailbox);

    out->options = hdr->options & SYNC_FOLDER_OPTIONS;
    out->last_uid = hdr->last_uid;
    out->recentuid = hdr->recentuid;
    out->uidvalidity = hdr->uidvalidity;
    out->highestmodseq = hdr->highestmodseq;
    out->createdmodseq = hdr->createdmodseq;
    out->recenttime = hdr->recenttime;
    out->last_appenddate = hdr->last_appenddate;
    out->pop3_last_login = hdr->pop3_last_login;
    out->pop3_show_after = hdr->pop3_show_after;
    out->crc_basic = mailbox_sync_crc_basic(mailbox);
    out->crc_annot = mailbox_sync_crc_annot(mailbox);
    out->has_crc_annot = true;
}

int sync_folder_read(struct mailbox *mailbox, struct sync_folder *out)
{
    const mbentry_t *mbentry = mailbox_mbentry(mailbox);

    memset(out, 0, sizeof(*out));
    out->uniqueid = xstrdup(mailbox_uniqueid(mailbox));
    out->name = xstrdup(mailbox_name(mailbox));
    out->partition = xstrdup(mailbox_partition(mailbox));
    out->acl = xstrdup(mailbox_acl(mailbox));
    out->quotaroot = xstrdupnull(mailbox_quotaroot(mailbox));
    out->mbtype = mailbox_mbtype(mailbox) & ~(uint32_t)MBTYPE_LEGACY_DIRS;
    out->foldermodseq = mbentry->foldermodseq;
    read_header(mailbox, out);

    int r = read_xconvmodseq(mailbox, &out->xconvmodseq);
    if (!r) r = read_raclmodseq(mailbox, &out->raclmodseq);
    if (!r) r = sync_annots_read_mailbox(mbentry, mailbox_txn(mailbox), &out->annots);
    if (r) sync_folder_fini(out);
    return r;
}

void sync_folder_read_intermediate(const mbentry_t *mbentry, struct sync_folder *out)
{
    memset(out, 0, sizeof(*out));
    out->uniqueid = xstrdup(mbentry->uniqueid ? mbentry->uniqueid : "");
    out->name = xstrdup(mbentry->name);
    out->acl = xstrdup("");
    out->mbtype = mbentry->mbtype & ~(uint32_t)MBTYPE_LEGACY_DIRS;
    out->uidvalidity = mbentry->uidvalidity;
    out->createdmodseq = mbentry->createdmodseq;
    out->foldermodseq = mbentry->foldermodseq;
}

static int guid_cb(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    return message_guid_isnull(&rec->guid) ? IMAP_MAILBOX_NOTSUPPORTED : 0;
}

int sync_folder_check_supported(struct mailbox *mailbox)
{
    if (mailbox_index_header(mailbox)->minor_version < 10 || !mailbox_uniqueid(mailbox))
        return IMAP_MAILBOX_NOTSUPPORTED;
    return mailbox_foreach(mailbox, 0, 0, 0, guid_cb, NULL);
}
