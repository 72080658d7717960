/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append_store -- from the messages of an APPEND or REPLACE to records of the target
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "annotate.h"
#include "append.h"
#include "append_store.h"
#include "imap_err.h"
#include "index.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "message_check.h"
#include "xmalloc.h"

int append_target(struct imap_session *s, const char *intname, mbentry_t **mbentry,
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

int append_room(struct imap_session *s, const mbentry_t *mbentry)
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

struct append_pending {
    size_t n;
    struct pending {
        struct stage *stage;
        struct buf view, encoded;
    } *list;
};

static int stage_message(struct append_message *msg, struct pending *p)
{
    unsigned flags = config_getswitch(IMAPOPT_MUNGE8BIT) ? APPEND_MUNGE8BIT : 0;

    int r = spool_map(&msg->spool, &p->view);
    if (r) return r;
    if (msg->utf8 && !message_header_isutf8(p->view.s, p->view.len)) return IMAP_MESSAGE_CONTAINS8BIT;
    if (msg->utf8_allowed) flags |= APPEND_UTF8HEADER;
    if (msg->binary) return stage_binary(&p->view, &p->encoded, flags, &p->stage);
    return stage_new_bytes(p->view.s, p->view.len, flags, &p->stage);
}

int append_stage(struct append_message *list, struct append_pending **pendingp)
{
    struct append_pending *pending = *pendingp = xzmalloc(sizeof(*pending));
    size_t i = 0;
    int r = 0;

    for (struct append_message *msg = list; msg; msg = msg->next) pending->n++;
    pending->list = xcalloc(pending->n, sizeof(*pending->list));
    for (struct append_message *msg = list; !r && msg; msg = msg->next)
        r = stage_message(msg, &pending->list[i++]);
    return r;
}

void append_pending_free(struct append_pending **pendingp)
{
    struct append_pending *pending = *pendingp;

    if (!pending) return;
    for (size_t i = 0; i < pending->n; i++) {
        stage_free(&pending->list[i].stage);
        buf_free(&pending->list[i].view);
        buf_free(&pending->list[i].encoded);
    }
    free(pending->list);
    xzfree(*pendingp);
}

static int check_quota(struct imap_session *s, struct mailbox *mailbox,
                       const struct append_message *list, const struct append_pending *pending,
                       int64_t freed)
{
    struct quota_diffs diffs = { 0, 0, 0, -1 };

    if (s->options->ignorequota) return 0;
    for (size_t i = 0; list; list = list->next, i++) {
        diffs.storage += (int64_t)stage_size(pending->list[i].stage);
        diffs.message++;
        for (const struct entryattlist *e = list->annotations; e; e = e->next)
            diffs.annotstorage += (int64_t)e->value.len;
    }
    if (freed >= 0) {
        /* What grows is looked at, as for any other message; -1: what shrinks is not. */
        diffs.storage = diffs.storage > freed ? diffs.storage - freed : -1;
        diffs.message = diffs.message > 1 ? diffs.message - 1 : -1;
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

int append_put(struct imap_session *s, struct mailbox *mailbox, uint32_t rights,
               struct append_message *list, const struct append_pending *pending, int64_t freed,
               struct seqset *uids)
{
    size_t i = 0;

    int r = check_quota(s, mailbox, list, pending, freed);
    for (struct append_message *msg = list; !r && msg; msg = msg->next)
        r = append_one(s, mailbox, rights, msg, pending->list[i++].stage, uids);
    return r;
}

void append_uid_code(uint32_t uidvalidity, const struct seqset *uids, struct buf *code)
{
    buf_printf(code, "[APPENDUID %" PRIu32 " ", uidvalidity);
    seqset_appendto(uids, code);
    buf_putc(code, ']');
}
