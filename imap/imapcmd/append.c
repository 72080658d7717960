/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * APPEND, MULTIAPPEND (RFC 3501 §6.3.11, RFC 3502, RFC 4315, RFC 7889; handbook 04 §3.10)
 *
 * The target is looked at before the first literal is asked for. When all messages
 * are here they are stored in one transaction: all or none.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "append_store.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "mboxname.h"
#include "txn.h"

/* Locks of the mailbox's owner and of the user, whose \Seen may be set. */
static int lock(struct imap_session *s, struct txn *txn, const char *name)
{
    strarray_t users = STRARRAY_INITIALIZER;
    char *owner = mboxname_to_userid(name);

    strarray_set(&users, 0, owner);
    if (!imap_is_owner(s, name)) strarray_append(&users, s->userid);
    int r = txn_lock_users(txn, &users);
    strarray_fini(&users);
    free(owner);
    return r;
}

static int store(struct imap_session *s, const mbentry_t *mbentry, uint32_t rights,
                 struct append_message *list, const struct append_pending *pending,
                 uint32_t *uidvalidity, struct seqset *uids)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;

    int r = txn_begin(&txn);
    if (!r) r = lock(s, txn, mbentry->name);
    if (!r) r = mailbox_open_iwl(txn, mbentry->name, &mailbox);
    if (!r && strcmpsafe(mailbox_uniqueid(mailbox), mbentry->uniqueid))
        r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = append_put(s, mailbox, rights, list, pending, -1, uids);
    if (!r) *uidvalidity = mailbox_index_header(mailbox)->uidvalidity;
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static int stage_and_store(struct imap_session *s, const mbentry_t *mbentry, uint32_t rights,
                           struct append_message *list, uint32_t *uidvalidity, struct seqset *uids)
{
    struct append_pending *pending = NULL;

    int r = append_stage(list, &pending);
    if (!r) r = store(s, mbentry, rights, list, pending, uidvalidity, uids);
    append_pending_free(&pending);
    return r;
}

void cmd_append(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    struct append_message *list = NULL;
    struct seqset *uids = seqset_init(0, SEQ_SPARSE);
    mbentry_t *mbentry = NULL;
    char *intname = NULL;
    uint32_t rights = 0, uidvalidity = 0;

    if (!imap_arg_mailbox(s, &name) || !imap_arg_more(s)) goto done;
    intname = imap_intname(s, name);
    int r = append_target(s, intname, &mbentry, &rights);
    if (!r) r = append_room(s, mbentry);
    if (!r) {
        if (!append_parse(s, &list)) goto done;
        r = stage_and_store(s, mbentry, rights, list, &uidvalidity, uids);
    }
    if (r)
        imap_no_target(s, intname, r);
    else if (!(rights & ACL_READ))
        imap_ok(s, "Completed");
    else {
        struct buf code = BUF_INITIALIZER;
        append_uid_code(uidvalidity, uids, &code);
        imap_ok(s, "%s Completed", buf_cstring(&code));
        buf_free(&code);
    }
done:
    append_messages_free(&list);
    seqset_free(uids);
    mbentry_free(&mbentry);
    free(intname);
    extname_free(&name);
}
