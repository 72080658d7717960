/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_append -- put one record of the other end into a mailbox, as it is
 *
 * UID, modseq, dates, flags, conversation id and annotations are those given; no
 * limit and no quota is asked. The file must hold the GUID that the record names.
 */
#include <config.h>

#include "sync_apply.h"

#include "append.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "sync_annot.h"
#include "xsyslog.h"

/* An expunged record whose file nobody has any more (handbook 03 §7.2). */
static int append_unlinked(struct mailbox *mailbox, struct sync_record *from)
{
    struct index_record rec = from->rec;

    if (!rec.size) rec.size = 1; /* 0 would be no message */
    rec.internal_flags |= FLAG_INTERNAL_UNLINKED;
    int r = sync_record_set_userflags(mailbox, &from->userflags, &rec);
    return r ? r : mailbox_append_record(mailbox, &rec, NULL, NULL, MAILBOX_SILENT);
}

/*
 * A small message is read into bytes and not kept mapped: a first replication may bring more
 * messages in one transaction than a process may have mappings. bytes must outlive the stage.
 */
static int open_stage(const char *path, struct buf *bytes, struct stage **stagep)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    int err = diskio_map_file(path, &map, NULL);

    if (err) {
        xsyslog_errno(LOG_ERR, err, "IOERROR: cannot read reserved message", "filename=<%s>", path);
        return IMAP_IOERROR;
    }
    bool small = map.len <= config_getbytesize(IMAPOPT_JOURNAL_INLINE_SIZE);
    if (small) buf_setmap(bytes, map.base, map.len);
    diskio_map_free(&map);
    return small ? stage_new_bytes(buf_base(bytes), buf_len(bytes), APPEND_NOCHECK, stagep)
                 : stage_new_file(path, APPEND_NOCHECK, stagep);
}

static int append_stage(struct mailbox *mailbox, struct sync_record *from, struct stage *stage)
{
    const struct index_record *rec = &from->rec;
    struct index_record fitted = *rec;
    uint32_t uid;

    if (!message_guid_equal(stage_guid(stage), &rec->guid)) return IMAP_IOERROR;
    sync_record_fit(from, mailbox_index_header(mailbox)->minor_version, &fitted);
    struct append_args args = {
        .internaldate = rec->internaldate,
        .flags = &from->userflags,
        .uid = rec->uid,
        .modseq = rec->modseq,
        .createdmodseq = rec->createdmodseq,
        .last_updated = rec->last_updated,
        .savedate = rec->savedate,
        .cid = rec->cid,
        .system_flags = rec->system_flags,
        .internal_flags = fitted.internal_flags,
        .silent = true,
    };
    int r = append_fromstage(mailbox, stage, &args, &uid);
    if (r || !from->annots.n) return r;
    r = mailbox_find_uid(mailbox, uid, &fitted);
    return r ? r : sync_annots_store_message(mailbox, &fitted, &from->annots);
}

int sync_append_file(struct mailbox *mailbox, struct sync_record *from, const char *path)
{
    struct stage *stage = NULL;
    struct buf bytes = BUF_INITIALIZER;

    if (!path) return append_unlinked(mailbox, from);
    int r = open_stage(path, &bytes, &stage);
    if (!r) r = append_stage(mailbox, from, stage);
    stage_free(&stage);
    buf_free(&bytes);
    return r;
}

int sync_append_record(struct mailbox *mailbox, struct sync_record *from,
                       const struct sync_reserve *reserve)
{
    const char *path = sync_reserve_find(reserve, mailbox_partition(mailbox), &from->rec.guid);

    if (!path && !(from->rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) {
        char guid[MESSAGE_GUID_STRLEN];
        syslog(LOG_ERR, "SYNCERROR: no file for new message: mailbox=<%s> uid=<%u> guid=<%s>",
               mailbox_name(mailbox), from->rec.uid, message_guid_encode(&from->rec.guid, guid));
        return IMAP_SYNC_CHECKSUM;
    }
    return sync_append_file(mailbox, from, path);
}
