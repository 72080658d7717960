/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_log -- the lines of option auditlog that tell of mailboxes and their records
 *
 * Forms of handbook 05 §4.4. They are written while the transaction runs, as 3.6.1 does; a
 * transaction that fails afterwards has told of changes that did not happen.
 */
#include <config.h>

#include <stdio.h>

#include "libconfig.h"
#include "mailbox_internal.h"
#include "sessionid.h"
#include "xsyslog.h"

/* Which values a line has, in the order of the columns below. */
#define HAS_GUID 1u
#define HAS_CID 2u
#define HAS_MODSEQ_FIRST 4u
#define HAS_MODSEQ_LAST 8u
#define HAS_OLDFLAGS 16u
#define HAS_SIZE 32u

static const struct audit_form {
    const char *action;
    unsigned has;
} audit_forms[] = {
    { "append", HAS_MODSEQ_FIRST | HAS_GUID | HAS_SIZE },
    { "expunge", HAS_MODSEQ_FIRST | HAS_GUID | HAS_SIZE },
    { "unlink", HAS_MODSEQ_FIRST | HAS_GUID },
    { "touched", HAS_GUID | HAS_CID | HAS_MODSEQ_LAST | HAS_OLDFLAGS },
    { "archive", HAS_GUID | HAS_CID },
};

static void put_place(const struct mailbox *mailbox, const char *action, struct buf *line)
{
    const char *uniqueid = mailbox_uniqueid(mailbox);

    buf_printf(line, "auditlog: %s sessionid=<%s> mailbox=<%s> uniqueid=<%s>", action, session_id(),
               mailbox->mbentry->name, uniqueid ? uniqueid : "");
}

static void put_modseq(const struct index_record *rec, struct buf *line)
{
    buf_printf(line, " modseq=<%llu>", (unsigned long long)rec->modseq);
}

static void put_flags(const char *what, const struct index_record *rec, struct buf *line)
{
    char flags[FLAGS_LOGSTRING_MAX];

    buf_printf(line, " %s=<%s>", what,
               index_flags_logstring(rec->system_flags | rec->internal_flags, flags));
}

static void put_guid(const struct index_record *rec, struct buf *line)
{
    char guid[MESSAGE_GUID_STRLEN];

    buf_printf(line, " guid=<%s>", message_guid_encode(&rec->guid, guid));
}

void mailbox_audit(const struct mailbox *mailbox, const char *action,
                   const struct index_record *oldrec, const struct index_record *rec,
                   const char *messageid)
{
    struct buf line = BUF_INITIALIZER;
    unsigned has = 0;

    if (!config_getswitch(IMAPOPT_AUDITLOG)) return;
    for (size_t i = 0; i < array_size(audit_forms); i++) {
        if (!strcmp(audit_forms[i].action, action)) has = audit_forms[i].has;
    }
    put_place(mailbox, action, &line);
    buf_printf(&line, " uid=<%u>", rec->uid);
    if (has & HAS_CID) {
        put_guid(rec, &line);
        buf_printf(&line, " cid=<%016llx>", (unsigned long long)rec->cid);
    }
    if (has & HAS_MODSEQ_LAST) put_modseq(rec, &line);
    if ((has & HAS_OLDFLAGS) && oldrec) put_flags("oldflags", oldrec, &line);
    if (has & HAS_MODSEQ_FIRST) put_modseq(rec, &line);
    put_flags("sysflags", rec, &line);
    if ((has & HAS_GUID) && !(has & HAS_CID)) put_guid(rec, &line);
    if (messageid) buf_printf(&line, " messageid=%s", messageid);
    if (has & HAS_SIZE) buf_printf(&line, " size=<%u>", rec->size);
    syslog(LOG_NOTICE, "%s", buf_cstring(&line));
    buf_free(&line);
}

void mailbox_audit_commit(const struct mailbox *mailbox)
{
    struct buf line = BUF_INITIALIZER;

    if (!config_getswitch(IMAPOPT_AUDITLOG)) return;
    put_place(mailbox, "modseq", &line);
    buf_printf(&line, " highestmodseq=<%llu> deletedmodseq=<%llu>",
               (unsigned long long)mailbox->hdr.highestmodseq,
               (unsigned long long)mailbox->hdr.deletedmodseq);
    syslog(LOG_NOTICE, "%s", buf_cstring(&line));
    buf_free(&line);
}

void mailbox_audit_life(const struct mailbox *mailbox, const char *action)
{
    struct buf line = BUF_INITIALIZER;

    if (!config_getswitch(IMAPOPT_AUDITLOG)) return;
    put_place(mailbox, action, &line);
    if (mailbox->created) buf_printf(&line, " uidvalidity=<%u>", mailbox->hdr.uidvalidity);
    syslog(LOG_NOTICE, "%s", buf_cstring(&line));
    buf_free(&line);
}
