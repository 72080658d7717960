/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * APPEND, MULTIAPPEND (RFC 3501 §6.3.11, RFC 3502, RFC 4315, RFC 7889; handbook 04 §3.10)
 *
 * The target is looked at before the first literal is asked for. When all messages
 * are here they are stored in one transaction: all or none.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "annotate.h"
#include "append.h"
#include "append_parse.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "message_check.h"
#include "txn.h"
#include "xmalloc.h"

/* Existence and right i; who may not see the mailbox is told nothing of it, admins included. */
static int check_target(struct imap_session *s, const char *intname, mbentry_t **mbentry,
                        uint32_t *rights)
{
    int r = intname ? mboxlist_lookup(intname, mbentry, NULL) : IMAP_MAILBOX_BADNAME;

    if (r) return r;
    *rights = imap_rights(s, *mbentry);
    if (!(*rights & ACL_INSERT)) {
        bool visible = cyrus_acl_myrights(s->auth, (*mbentry)->acl) & ACL_LOOKUP;
        return visible ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
    }
    return index_append_allowed(*mbentry);
}

/* Room for at least one message. */
static int check_room(struct imap_session *s, const mbentry_t *mbentry)
{
    const struct quota_diffs diffs = { 0, 1, -1, -1 };
    struct mailbox *mailbox = NULL;

    if (s->options->ignorequota) return 0;
    int r = mailbox_open_mbentry(mbentry, &mailbox);
    if (!r) r = append_check_quota(mailbox, &diffs);
    mailbox_close(&mailbox);
    return r;
}

/* ---- storing ---- */

/* Flags that the user may not set are dropped silently. */
static void allowed_flags(const strarray_t *flags, uint32_t rights, strarray_t *out)
{
    for (int i = 0; i < strarray_size(flags); i++) {
        const char *flag = strarray_nth(flags, i);
        uint32_t bit = *flag == '\\' ? index_system_flag_bit(flag) : 0;
        uint32_t need = bit == FLAG_SEEN      ? ACL_SETSEEN
                        : bit == FLAG_DELETED ? ACL_DELETEMSG
                                              : ACL_WRITE;
        if (rights & need) strarray_append(out, flag);
    }
}

/* A literal8: its binary parts are stored as base64. */
static int stage_binary(const struct buf *view, struct buf *encoded, unsigned flags,
                        struct stage **stagep)
{
    unsigned check = MESSAGE_CHECK_BINARY;

    if (config_getswitch(IMAPOPT_REJECT8BIT)) check |= MESSAGE_CHECK_REJECT8BIT;
    int r = message_check(view->s, view->len, check);
    if (r) return r;
    if (!message_encode_binary(view->s, view->len, NULL, encoded))
        return stage_new_bytes(view->s, view->len, flags, stagep);
    return stage_new_bytes(encoded->s, encoded->len, flags, stagep);
}

struct pending {
    struct stage *stage;
    struct buf view, encoded;
};

static int stage_message(struct append_message *msg, struct pending *p)
{
    unsigned flags = config_getswitch(IMAPOPT_MUNGE8BIT) ? APPEND_MUNGE8BIT : 0;

    int r = spool_map(&msg->spool, &p->view);
    if (r) return r;
    if (msg->binary) return stage_binary(&p->view, &p->encoded, flags, &p->stage);
    return stage_new_bytes(p->view.s, p->view.len, flags, &p->stage);
}

static int check_quota(struct imap_session *s, struct mailbox *mailbox,
                       const struct append_message *list, const struct pending *pending)
{
    struct quota_diffs diffs = { 0, 0, 0, -1 };

    if (s->options->ignorequota) return 0;
    for (size_t i = 0; list; list = list->next, i++) {
        diffs.storage += (int64_t)stage_size(pending[i].stage);
        diffs.message++;
        for (const struct entryattlist *e = list->annotations; e; e = e->next)
            diffs.annotstorage += (int64_t)e->value.len;
    }
    if (!diffs.annotstorage) diffs.annotstorage = -1;
    return append_check_quota(mailbox, &diffs);
}

static int append_one(struct imap_session *s, struct mailbox *mailbox, uint32_t rights,
                      const struct append_message *msg, struct stage *stage, struct seqset *uids)
{
    strarray_t flags = STRARRAY_INITIALIZER;
    struct append_args args = {
        .userid = s->userid,
        .internaldate = msg->internaldate,
        .flags = &flags,
        .annotations = msg->annotations,
    };
    uint32_t uid = 0;

    allowed_flags(&msg->flags, rights, &flags);
    int r = append_fromstage(mailbox, stage, &args, &uid);
    if (!r) seqset_add(uids, uid, true);
    strarray_fini(&flags);
    return r;
}

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
                 struct append_message *list, const struct pending *pending, uint32_t *uidvalidity,
                 struct seqset *uids)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;
    size_t i = 0;

    int r = txn_begin(&txn);
    if (!r) r = lock(s, txn, mbentry->name);
    if (!r) r = mailbox_open_iwl(txn, mbentry->name, &mailbox);
    if (!r && strcmpsafe(mailbox_uniqueid(mailbox), mbentry->uniqueid))
        r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = check_quota(s, mailbox, list, pending);
    for (struct append_message *msg = list; !r && msg; msg = msg->next)
        r = append_one(s, mailbox, rights, msg, pending[i++].stage, uids);
    if (!r) *uidvalidity = mailbox_index_header(mailbox)->uidvalidity;
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static int stage_and_store(struct imap_session *s, const mbentry_t *mbentry, uint32_t rights,
                           struct append_message *list, uint32_t *uidvalidity, struct seqset *uids)
{
    struct pending *pending;
    size_t n = 0, i = 0;
    int r = 0;

    for (struct append_message *msg = list; msg; msg = msg->next) n++;
    pending = xcalloc(n, sizeof(*pending));
    for (struct append_message *msg = list; !r && msg; msg = msg->next)
        r = stage_message(msg, &pending[i++]);
    if (!r) r = store(s, mbentry, rights, list, pending, uidvalidity, uids);
    for (i = 0; i < n; i++) {
        stage_free(&pending[i].stage);
        buf_free(&pending[i].view);
        buf_free(&pending[i].encoded);
    }
    free(pending);
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

    if (!imap_arg_mailbox(s, &name)) goto done;
    intname = imap_intname(s, name);
    int r = check_target(s, intname, &mbentry, &rights);
    if (!r) r = check_room(s, mbentry);
    if (!r) {
        if (!append_parse(s, &list)) goto done;
        r = stage_and_store(s, mbentry, rights, list, &uidvalidity, uids);
    }
    if (r)
        imap_no_target(s, intname, r);
    else if (!(rights & ACL_READ))
        imap_ok(s, "Completed");
    else {
        char *set = seqset_cstring(uids);
        imap_ok(s, "[APPENDUID %" PRIu32 " %s] Completed", uidvalidity, set);
        free(set);
    }
done:
    append_messages_free(&list);
    seqset_free(uids);
    mbentry_free(&mbentry);
    free(intname);
    extname_free(&name);
}
