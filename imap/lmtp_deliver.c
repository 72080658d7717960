/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_deliver -- one message into the mailboxes of its recipients
 *
 * Recipients are taken in groups, those of one partition together, so that one that hangs keeps no mailbox of another;
 * each group is one transaction, in which the bytes are written once and linked for the others. When something goes wrong in a group that no check foresaw, nothing of
 * it is stored, and its recipients are tried one by one, so that one broken mailbox is one failed recipient. A
 * result is set when it is durable.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "append.h"
#include "duplicate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "mboxlist.h"
#include "sessionid.h"
#include "sync_wait.h"
#include "user_record.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define GROUP_SIZE 64 /* recipients of one transaction */
#define LOCK_TRIES 10

struct delivery {
    struct lmtp_session *session;
    struct lmtp_message *message;
    struct stage *stage;
    struct txn *txn;
    strarray_t done; /* uniqueids of mailboxes that this transaction delivers to */
};

static bool is_duplicate(struct delivery *d, struct mailbox *mailbox)
{
    uint32_t options = mailbox_index_header(mailbox)->options;
    struct duplicate_key key = { buf_cstring(&d->message->msgid), mailbox_uniqueid(mailbox),
                                 buf_cstring(&d->message->date) };

    if (!config_getswitch(IMAPOPT_DUPLICATESUPPRESSION) || (options & OPT_IMAP_DUPDELIVER))
        return false;
    if (!strarray_contains(&d->done, key.to) && !duplicate_check(&key)) return false;
    syslog(LOG_INFO, "dupelim: eliminated duplicate message to %s id %s date %s (delivery)", key.to,
           key.id, key.date);
    if (config_getswitch(IMAPOPT_AUDITLOG))
        syslog(LOG_NOTICE,
               "auditlog: duplicate sessionid=<%s> action=<delivery> message-id=%s user=<%s> "
               "date=<%s>",
               session_id(), key.id, key.to, key.date);
    return true;
}

static int mark_duplicate(struct delivery *d, struct mailbox *mailbox, uint32_t uid)
{
    struct duplicate_key key = { buf_cstring(&d->message->msgid), mailbox_uniqueid(mailbox),
                                 buf_cstring(&d->message->date) };

    strarray_append(&d->done, key.to);
    if (!config_getswitch(IMAPOPT_DUPLICATESUPPRESSION)) return 0;
    return duplicate_mark(d->txn, &key, txn_time(d->txn), uid);
}

static int append_to(struct delivery *d, const struct lmtp_rcpt *rcpt, const mbentry_t *entry)
{
    struct append_args args = { .userid = NULL };
    struct mailbox *mailbox = NULL;
    uint32_t uid = 0;
    int r = mailbox_open_mbentry_iwl(d->txn, entry, &mailbox);

    if (r) return r;
    if (is_duplicate(d, mailbox)) { /* by a delivery that may have been told to come again */
        sync_wait_again(rcpt->userid);
        return 0;
    }
    if (!rcpt->ignorequota) r = lmtp_quota_check(entry->name, d->txn, d->message->size);
    args.internaldate = message_received_time(stage_content(d->stage));
    if (!r) r = append_fromstage(mailbox, d->stage, &args, &uid);
    if (!r) r = mark_duplicate(d, mailbox, uid);
    if (!r)
        syslog(LOG_INFO, "Delivered: %s to mailbox: %s", buf_cstring(&d->message->msgid),
               entry->name);
    return r;
}

/* Results that concern this recipient alone, and leave nothing half-done. */
static bool is_own_affair(int code)
{
    return code == IMAP_QUOTA_EXCEEDED || code == IMAP_MAILBOX_NONEXISTENT ||
           code == IMAP_PERMISSION_DENIED || code == IMAP_MAILBOX_RESERVED ||
           code == IMAP_MAILBOX_MOVED || code == IMAP_USER_ELSEWHERE;
}

static int deliver_one(struct delivery *d, struct lmtp_rcpt *rcpt)
{
    mbentry_t *entry = NULL;
    int r = rcpt->userid && user_record_gate(rcpt->userid, NULL) ? IMAP_MAILBOX_MOVED : 0; /* since he was asked about */

    if (!r) r = lmtp_recipient_mailbox(d->session, rcpt, d->txn, &entry);
    if (!r) r = append_to(d, rcpt, entry);
    mbentry_free(&entry);
    rcpt->result = r;
    return is_own_affair(r) ? 0 : r;
}

static int lock_users(struct txn *txn, struct lmtp_rcpt *const *rcpts, size_t n)
{
    strarray_t users = STRARRAY_INITIALIZER;

    for (size_t i = 0; i < n; i++) strarray_append(&users, rcpts[i]->userid);
    int r = txn_lock_users(txn, &users);
    strarray_fini(&users);
    return r;
}

static int try_group(struct delivery *d, struct lmtp_rcpt *const *rcpts, size_t n)
{
    int r = stage_new_bytes(buf_base(&d->message->map), buf_len(&d->message->map), APPEND_NOCHECK,
                            &d->stage);

    if (!r) r = txn_begin(&d->txn);
    if (!r) r = lock_users(d->txn, rcpts, n);
    for (size_t i = 0; !r && i < n; i++) r = deliver_one(d, rcpts[i]);
    if (!r) r = txn_commit(&d->txn, NULL);
    if (r) txn_abort(&d->txn);
    stage_free(&d->stage);
    strarray_fini(&d->done);
    return r;
}

/* All of the group, or none; IMAP_AGAIN only when the locks can't be had at all. */
static int deliver_group(struct delivery *d, struct lmtp_rcpt *const *rcpts, size_t n)
{
    int r = IMAP_AGAIN;

    for (int i = 0; r == IMAP_AGAIN && i < LOCK_TRIES; i++) r = try_group(d, rcpts, n);
    for (size_t i = 0; r && i < n; i++) rcpts[i]->result = r;
    if (r)
        xsyslog_errno(LOG_ERR, 0, "IOERROR: delivery failed", "recipients=<%zu> error=<%s>", n,
                      error_message(r));
    return r;
}

static bool same_partition(const struct lmtp_rcpt *a, const struct lmtp_rcpt *b)
{
    return !strcmp(a->partition ? a->partition : "", b->partition ? b->partition : "");
}

/* Moves those of the first one's partition, in their order, to the front of the n; how many, at most GROUP_SIZE. */
static size_t take_group(struct lmtp_rcpt **rcpts, size_t n)
{
    size_t got = 1;

    for (size_t i = 1; i < n && got < GROUP_SIZE; i++) {
        struct lmtp_rcpt *rcpt = rcpts[i];
        if (!same_partition(rcpt, rcpts[0])) continue;
        memmove(&rcpts[got + 1], &rcpts[got], (i - got) * sizeof(*rcpts));
        rcpts[got++] = rcpt;
    }
    return got;
}

void lmtp_deliver(struct lmtp_session *session, struct lmtp_message *message)
{
    struct delivery d = { .session = session, .message = message };
    struct lmtp_rcpt **rcpts = xcalloc(session->nrcpts + 1, sizeof(*rcpts));

    buf_cstring(&message->msgid);
    buf_cstring(&message->date);
    for (size_t i = 0; i < session->nrcpts; i++) rcpts[i] = &session->rcpts[i];
    for (size_t from = 0, n; from < session->nrcpts; from += n) {
        struct lmtp_rcpt **group = rcpts + from;
        n = take_group(group, session->nrcpts - from);
        if (!deliver_group(&d, group, n) || n == 1) continue;
        for (size_t i = 0; i < n; i++) (void)deliver_group(&d, &group[i], 1);
    }
    free(rcpts);
}
