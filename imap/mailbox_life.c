/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_life -- a mailbox is made, gets another name, and is removed
 *
 * Called by mboxlist, which keeps the entry in mailboxes.db. A new mailbox is a handle without
 * a file below it; all its files are written at the commit. Conversations, quota and annotations
 * follow here, so that no caller can forget one of them. Handbook 02 §7.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxname.h"
#include "xmalloc.h"

/* ---- create ---- */

static int give_uidvalidity(struct mailbox *mailbox, const struct mailbox_create_args *args)
{
    int r = 0;

    mailbox->hdr.uidvalidity = args->uidvalidity;
    if (args->uidvalidity)
        return counters_set_uidvalidity(mailbox->txn, mailbox->meta, args->uidvalidity);
    mailbox->hdr.uidvalidity = counters_next_uidvalidity(mailbox->txn, mailbox->meta,
                                                         (uint32_t)txn_time(mailbox->txn), &r);
    return r;
}

static int give_modseqs(struct mailbox *mailbox, const struct mailbox_create_args *args)
{
    const mbentry_t *entry = mailbox->mbentry;
    modseq_t high = args->highestmodseq;
    int r = 0;

    if (args->from_sync && !high) high = args->createdmodseq ? args->createdmodseq : 1;
    if (high)
        counters_set_modseq(mailbox->txn, mailbox->meta, high, entry->name, entry->mbtype,
                            COUNTER_FOLDER, &r);
    else
        high = counters_next_modseq(mailbox->txn, mailbox->meta, 0, entry->name, entry->mbtype,
                                    COUNTER_FOLDER, &r);
    mailbox->hdr.highestmodseq = high;
    mailbox->hdr.createdmodseq = args->createdmodseq && args->createdmodseq < high
                                     ? args->createdmodseq
                                     : high;
    return r;
}

static void fill_header(struct mailbox *mailbox, const struct mailbox_create_args *args)
{
    struct mailbox_header *h = &mailbox->header;
    strarray_t *flags = strarray_split(config_getstring(IMAPOPT_MAILBOX_INITIAL_FLAGS), NULL,
                                       STRARRAY_TRIM);
    int slot;

    h->name = xstrdup(args->mbentry->name);
    h->uniqueid = xstrdupnull(args->mbentry->uniqueid);
    h->mbtype = args->mbentry->mbtype;
    h->quotaroot = xstrdupnull(args->quotaroot);
    h->acl = xstrdupnull(args->mbentry->acl);
    for (int i = 0; i < strarray_size(flags); i++)
        mailbox_header_add_flag(h, strarray_nth(flags, i), MAX_USER_FLAGS, &slot, NULL);
    strarray_free(flags);
    mailbox->quotaroot = xstrdupnull(args->quotaroot);
    mailbox->header_dirty = true;
}

static int fill_new(struct mailbox *mailbox, const struct mailbox_create_args *args)
{
    index_header_init(&mailbox->hdr);
    mailbox->hdr.options |= args->options & OPTS_VALID;
    mailbox->hdr.changes_epoch = index_time(txn_time(mailbox->txn));
    mailbox->has_annots = 0;
    fill_header(mailbox, args);
    int r = mailbox_open_meta(mailbox);
    if (!r) r = give_uidvalidity(mailbox, args);
    if (!r) r = give_modseqs(mailbox, args);
    mailbox->disk = mailbox->hdr;
    mailbox->created = mailbox->hdr_dirty = true;
    return r;
}

int mailbox_create(struct txn *txn, const struct mailbox_create_args *args, struct mailbox **mboxp)
{
    char *userid = mboxname_to_userid(args->mbentry->name);
    int r = txn_lock_user(txn, userid);

    free(userid);
    if (r) return r;
    if (!args->mbentry->partition) return IMAP_PARTITION_UNKNOWN;
    struct mailbox *mailbox = mailbox_new_handle(args->mbentry, txn);
    if (!mailbox) return IMAP_MAILBOX_BADNAME;
    r = fill_new(mailbox, args);
    if (!r) r = mailbox_check_writable(mailbox);
    if (!r) r = mailbox_make_dirs(txn, &mailbox->place);
    if (r) {
        mailbox_free(mailbox);
        return r;
    }
    mailbox_attach(mailbox);
    r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_open_conversations(mailbox);
    if (!r) r = conversations_add_mailbox(mailbox->conv, mailbox, mailbox->hdr.highestmodseq);
    if (r) return r;
    mailbox_audit_life(mailbox, "create");
    *mboxp = mailbox;
    return 0;
}

/* ---- delete ---- */

int mailbox_delete(struct mailbox *mailbox)
{
    int r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_open_conversations(mailbox);
    if (!r) r = conversations_remove_mailbox(mailbox->conv, mailbox, mailbox->hdr.highestmodseq);
    if (!r) r = annotate_delete_mailbox(mailbox->txn, mailbox);
    if (r) return r;
    mailbox_audit_life(mailbox, "delete");
    mailbox->deleted = true;
    return 0;
}

/* ---- another name ---- */

static int add_to_conversations(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    (void)rock;
    return conversations_update_record(mailbox->conv, mailbox, NULL, rec, false);
}

/* Messages whose copies with this user have another conversation id. */
struct adoption {
    struct index_record *recs; /* with that id */
    size_t n;
};

static int find_other_cid(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct adoption *a = rock;
    conversation_id_t cid;
    int r = conversations_find_cid(mailbox->conv, &rec->guid, &cid);

    if (r || !cid || cid == rec->cid) return r;
    a->recs = xgrow(a->recs, a->n, sizeof(*a->recs));
    a->recs[a->n] = *rec;
    /* Where the conversation began is the other user's matter. */
    a->recs[a->n].internal_flags &= ~FLAG_INTERNAL_SPLITCONVERSATION;
    a->recs[a->n++].cid = cid;
    return 0;
}

/*
 * All copies of a message are in one conversation, or the sums, which count it once, would be those of one and
 * of another. These mailboxes are not in the database yet, so only their index changes.
 */
static int adopt_cids(struct mailbox *mailbox)
{
    struct conversations_state *conv = mailbox->conv;
    struct adoption a = { NULL, 0 };
    int r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, find_other_cid, &a);

    mailbox->conv = NULL;
    for (size_t i = 0; !r && i < a.n; i++) r = mailbox_rewrite_record(mailbox, &a.recs[i], 0);
    mailbox->conv = conv;
    free(a.recs);
    return r;
}

static int enter_conversations(struct mailbox *mailbox, unsigned flags)
{
    mailbox->conv_opened = false;
    mailbox->conv = NULL;
    int r = mailbox_open_conversations(mailbox);
    if (!r && mailbox->conv && !(flags & MAILBOX_SILENT)) r = adopt_cids(mailbox);
    if (!r) r = conversations_add_mailbox(mailbox->conv, mailbox, mailbox->hdr.highestmodseq);
    if (r || !mailbox->conv) return r;
    return mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, add_to_conversations, NULL);
}

/* Do both names belong to one set of files of one user? */
static int same_owner(struct mailbox *mailbox, const mbentry_t *newentry, bool *same)
{
    struct user_meta *meta;

    *same = false;
    if (mboxname_isdeletedmailbox(newentry->name, NULL) !=
        mboxname_isdeletedmailbox(mailbox->mbentry->name, NULL))
        return 0;
    int r = mailbox_open_meta(mailbox);
    if (r || !mailbox->meta) return r;
    r = user_meta_for_mailbox(newentry, mailbox->txn, &meta);
    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
    char *path = xstrdup(user_meta_path(mailbox->meta, "conversations"));
    *same = !strcmp(path, user_meta_path(meta, "conversations"));
    free(path);
    user_meta_free(&meta);
    return 0;
}

/* By its uniqueid a mailbox stays where it is, whatever its name. */
static bool may_move(const struct mailbox *mailbox, const mbentry_t *newentry)
{
    const mbentry_t *old = mailbox->mbentry;

    return ((old->mbtype | newentry->mbtype) & MBTYPE_LEGACY_DIRS) || !old->uniqueid ||
           strcmpnull(old->uniqueid, newentry->uniqueid) || strcmpnull(old->partition, newentry->partition);
}

static int change_place(struct mailbox *mailbox, const mbentry_t *newentry)
{
    if (!may_move(mailbox, newentry)) return mailbox_set_mbentry(mailbox, newentry);

    struct mailbox_place to = mailbox_place_of(newentry);
    strarray_t a = STRARRAY_INITIALIZER, b = STRARRAY_INITIALIZER;
    struct cache_move *cache = NULL;
    int r = mailbox_path_alldirs(&mailbox->place, &a);

    if (!r) r = mailbox_path_alldirs(&to, &b);
    bool moves = !r && strarray_cmp(&a, &b) != 0;
    strarray_fini(&a);
    strarray_fini(&b);
    if (!r && moves && !mailbox->created) r = mailbox_cache_take(mailbox, to.partition, &cache);
    if (!r && moves && !mailbox->created) r = mailbox_move_files(mailbox, newentry);
    if (!r && moves && mailbox->created) r = mailbox_make_dirs(mailbox->txn, &to);
    if (!r) r = mailbox_set_mbentry(mailbox, newentry);
    if (!r && moves) r = mailbox_cache_paths(mailbox);
    if (!r) r = mailbox_cache_put(mailbox, cache);
    mailbox_cache_move_free(&cache);
    return r;
}

int mailbox_follow_name(struct mailbox *mailbox)
{
    int r = mailbox_begin_change(mailbox);

    if (r) return r;
    mailbox->follows = !mailbox->hdr_dirty;
    mailbox->header_dirty = mailbox->hdr_dirty = mailbox->header_inplace = true;
    return 0;
}

int mailbox_set_name(struct mailbox *mailbox, const mbentry_t *newentry, unsigned flags)
{
    bool same;

    int r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_open_conversations(mailbox);
    if (!r) r = same_owner(mailbox, newentry, &same);
    if (r) return r;
    bool renamed = strcmp(newentry->name, mailbox->mbentry->name) != 0;
    if (renamed && same)
        r = conversations_rename_mailbox(mailbox->conv, mailbox, newentry->name,
                                         mailbox->hdr.highestmodseq);
    else if (renamed)
        r = conversations_remove_mailbox(mailbox->conv, mailbox, mailbox->hdr.highestmodseq);
    if (!r) r = change_place(mailbox, newentry);
    if (r) return r;
    mailbox->header_dirty = mailbox->hdr_dirty = true;
    mailbox->header_inplace = !mailbox->created; /* a tree may have thousands; who reads them has the lock */
    mailbox->meta_opened = false;
    user_meta_free(&mailbox->meta);
    mailbox->modseq_begun = false;
    mailbox->shared_modseq = NULL;
    return renamed && !same ? enter_conversations(mailbox, flags) : 0;
}
