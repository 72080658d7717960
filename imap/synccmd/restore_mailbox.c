/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * restore_mailbox -- RESTORE MAILBOX: bring messages back, from a backup (handbook 03 §9)
 *
 * Into a mailbox that exists the messages come as new ones, under new UIDs, and what
 * it has already wins. One that does not exist is made; it gets the numbers of the
 * backup only when all of UNIQUEID, HIGHESTMODSEQ and UIDVALIDITY are given.
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mailbox_index.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "sync_annot.h"
#include "sync_apply.h"
#include "sync_name.h"
#include "sync_record.h"
#include "user.h"

struct restore {
    struct synccmd_session *session;
    const char *name;
    uint32_t mbtype;
    struct txn *txn;
    struct mailbox *mailbox;
    modseq_t highestmodseq; /* records keep their numbers up to this; 0: all numbers are new */
};

static int open_or_create(struct restore *rs, const struct dlist *dl, unsigned flags)
{
    int r = mailbox_open_iwl(rs->txn, rs->name, &rs->mailbox);

    if (!r)
        return (mailbox_mbtype(rs->mailbox) & MBTYPE_TYPEMASK) == rs->mbtype ? 0
                                                                             : IMAP_MAILBOX_BADTYPE;
    if (r != IMAP_MAILBOX_NONEXISTENT) return r;

    struct mboxlist_createargs args = {
        .name = rs->name,
        .mbtype = rs->mbtype,
        .isadmin = true,
        .no_parents = true,
        .nocheck_quota = true,
        .localonly = flags & SYNCCMD_LOCAL,
        .options = OPT_POP3_NEW_UIDL,
    };
    const char *uniqueid, *options;
    uint32_t uidvalidity;
    modseq_t highestmodseq;
    (void)dlist_getatom(dl, "PARTITION", &args.partition);
    (void)dlist_getatom(dl, "ACL", &args.acl);
    if (dlist_getatom(dl, "OPTIONS", &options)) args.options = mailbox_options_from_string(options);
    if (dlist_getatom(dl, "UNIQUEID", &uniqueid) && *uniqueid &&
        dlist_getnum64(dl, "HIGHESTMODSEQ", &highestmodseq) && highestmodseq &&
        dlist_getnum32(dl, "UIDVALIDITY", &uidvalidity) && uidvalidity) {
        args.uniqueid = uniqueid;
        args.uidvalidity = uidvalidity;
        args.highestmodseq = rs->highestmodseq = highestmodseq;
        args.from_sync = true;
        (void)dlist_getnum64(dl, "CREATEDMODSEQ", &args.createdmodseq);
        (void)dlist_getnum64(dl, "FOLDERMODSEQ", &args.foldermodseq);
    }
    return mboxlist_createmailbox(rs->txn, &args, &rs->mailbox);
}

static int restore_annots(struct restore *rs, const struct dlist *dl)
{
    struct sync_annots given = SYNC_ANNOTS_INITIALIZER, have = SYNC_ANNOTS_INITIALIZER;
    struct dlist *list = NULL;

    if (!dlist_getlist(dl, "ANNOTATIONS", &list)) return 0;
    int r = sync_annots_parse(list, &given, NULL);
    if (!r) r = sync_annots_read_mailbox(mailbox_mbentry(rs->mailbox), rs->txn, &have);
    for (size_t i = 0; i < given.n && !r; i++) {
        const struct sync_annot *a = &given.v[i];
        if (sync_annots_find(&have, a->entry, a->userid)) continue;
        sync_annots_add(&have, a->entry, a->userid, buf_base(&a->value), buf_len(&a->value),
                        a->modseq);
    }
    sync_annots_sort(&have);
    if (!r) r = sync_annots_store_mailbox(rs->txn, mailbox_mbentry(rs->mailbox), &have);
    sync_annots_fini(&given);
    sync_annots_fini(&have);
    return r;
}

static int restore_record(struct restore *rs, struct sync_record *from)
{
    struct index_record *rec = &from->rec;
    const struct index_header *hdr = mailbox_index_header(rs->mailbox);

    if (rec->internal_flags & FLAG_INTERNAL_EXPUNGED) return 0;
    if (!rs->highestmodseq || rec->uid <= hdr->last_uid) rec->uid = hdr->last_uid + 1;
    if (!rs->highestmodseq) {
        rec->modseq = mailbox_next_modseq(rs->mailbox);
        if (!rec->modseq) return IMAP_IOERROR;
        rec->last_updated = mailbox_txn_time(rs->mailbox);
    }
    else if (rec->modseq > rs->highestmodseq) {
        rec->modseq = rs->highestmodseq;
        rec->last_updated = mailbox_txn_time(rs->mailbox);
    }
    return sync_append_record(rs->mailbox, from, rs->session->reserve);
}

int synccmd_restore_mailbox(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct restore rs = { .session = session };
    struct sync_records records = SYNC_RECORDS_INITIALIZER;
    struct dlist *list = NULL;
    const char *type;

    if (!sync_getname(dl, "MBOXNAME", &rs.name) || !dlist_getlist(dl, "RECORD", &list))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (dlist_getatom(dl, "MBOXTYPE", &type) && mbtype_from_string(type, &rs.mbtype))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    rs.mbtype &= MBTYPE_TYPEMASK;
    if (rs.mbtype == MBTYPE_SIEVE && !session->sieve_mailbox) return 0;

    int r = sync_records_parse(list, &records);
    if (!r) r = synccmd_begin_mailbox(rs.name, &rs.txn);
    if (!r) r = open_or_create(&rs, dl, flags);
    if (!r) r = restore_annots(&rs, dl);
    for (size_t i = 0; i < records.n && !r; i++) r = restore_record(&rs, &records.v[i]);
    r = synccmd_end(&rs.txn, r);
    sync_records_fini(&records);
    return r;
}
