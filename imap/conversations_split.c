/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_split -- where a conversation that is full goes on (handbook 01 §5.9)
 *
 * One annotation for each split, on the mailbox #splitconversations of the user, which is made when the
 * first conversation is split: entry first, then its files, then the live entry, all in the
 * transaction of the message that did not fit.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "makeuuid.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "xmalloc.h"

#define SPLIT_BOX "#splitconversations"
#define SPLIT_ENTRY "/vendor/cmu/cyrus-imapd/newcid/"

static char *split_name(const struct conversations_state *state)
{
    mbname_t *mbname = mbname_from_userid(user_meta_userid(state->meta));

    mbname_push_boxes(mbname, SPLIT_BOX);
    char *name = xstrdup(mbname_intname(mbname));
    mbname_free(&mbname);
    return name;
}

static void entry_name(conversation_id_t base, struct buf *out)
{
    char hex[CONV_ID_STRLEN];

    buf_setcstr(out, SPLIT_ENTRY);
    buf_appendcstr(out, conversation_id_encode(base, hex));
}

int conv_split_lookup(struct conversations_state *state, conversation_id_t base,
                      conversation_id_t *cid)
{
    struct buf entry = BUF_INITIALIZER, value = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;
    char *name = split_name(state);
    int r = mboxlist_lookup(name, &mbentry, state->txn);

    *cid = 0;
    if (!r) {
        entry_name(base, &entry);
        r = annotatemore_lookup(mbentry, buf_cstring(&entry), "", state->txn, &value);
        if (!r && !conversation_id_decode(buf_base(&value), buf_len(&value), cid)) *cid = 0;
    }
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_NOTFOUND) r = 0;
    mbentry_free(&mbentry);
    buf_free(&entry);
    buf_free(&value);
    free(name);
    return r;
}

/* The entry of the mailbox to be: where the INBOX is, and only its owner's. */
static int new_entry(struct conversations_state *state, const char *name, mbentry_t **entryp)
{
    const char *userid = user_meta_userid(state->meta);
    mbname_t *mbname = mbname_from_userid(userid);
    mbentry_t *inbox = NULL;
    int r = mboxlist_lookup(mbname_intname(mbname), &inbox, state->txn);

    mbname_free(&mbname);
    if (r) return r;
    mbentry_t *entry = mbentry_new(name);
    char *acl = xasprintf("%s\tlrswipkxtecdan\t", userid);
    entry->partition = xstrdupnull(inbox->partition);
    entry->mbtype = MBTYPE_COLLECTION | (inbox->mbtype & MBTYPE_LEGACY_DIRS);
    mbentry_set_acl(entry, acl);
    do {
        xzfree(entry->uniqueid);
        entry->uniqueid = makeuuid_dup();
    } while (mboxlist_uniqueid_in_use(entry->uniqueid, state->txn));
    mbentry_free(&inbox);
    free(acl);
    *entryp = entry;
    return 0;
}

static int create_split_mailbox(struct conversations_state *state, const char *name,
                                mbentry_t **entryp)
{
    struct mailbox *mailbox = NULL;
    mbentry_t *entry;
    int r = new_entry(state, name, &entry);

    if (r) return r;
    entry->mbtype |= MBTYPE_INTERMEDIATE; /* reserved until the files are staged */
    r = mboxlist_update_entry(state->txn, name, entry);
    entry->mbtype &= ~(uint32_t)MBTYPE_INTERMEDIATE;
    struct mailbox_create_args args = { .mbentry = entry };
    if (!r) r = mailbox_create(state->txn, &args, &mailbox);
    if (!r) {
        const struct index_header *header = mailbox_index_header(mailbox);
        entry->uidvalidity = header->uidvalidity;
        entry->createdmodseq = header->createdmodseq;
        entry->foldermodseq = header->highestmodseq;
        r = mboxlist_update_entry(state->txn, name, entry);
    }
    if (r)
        mbentry_free(&entry);
    else
        *entryp = entry;
    return r;
}

int conv_split_store(struct conversations_state *state, conversation_id_t base,
                     conversation_id_t cid)
{
    char hex[CONV_ID_STRLEN];
    struct buf entry = BUF_INITIALIZER, value = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;
    char *name = split_name(state);
    int r = mboxlist_lookup(name, &mbentry, state->txn);

    if (r == IMAP_MAILBOX_NONEXISTENT) r = create_split_mailbox(state, name, &mbentry);
    if (!r) {
        entry_name(base, &entry);
        buf_setcstr(&value, conversation_id_encode(cid, hex));
        r = annotatemore_write(state->txn, mbentry, buf_cstring(&entry), "", &value, 0);
    }
    mbentry_free(&mbentry);
    buf_free(&entry);
    buf_free(&value);
    free(name);
    return r;
}
