/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_entry -- the records of mailboxes.db beside the mailbox they tell of
 *
 * A mailbox has a record under its name (N) and one under its uniqueid (I). The N record has the truth about name, place and
 * rights; the index has it about UIDVALIDITY (or mailboxes.db, -M). A uniqueid that a second name claims is never changed
 * without being asked: replicas know the mailbox by it. Where several names lead to one directory, its messages belong to the name in
 * cyrus.header; -I gives each other name an empty mailbox of its own.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "makeuuid.h"
#include "mboxlist.h"
#include "quota.h"
#include "reconstruct_internal.h"
#include "xmalloc.h"

static int fix_uidvalidity(struct repair *rp, mbentry_t *entry, bool *rewrite)
{
    uint32_t index = mailbox_index_header(rp->mailbox)->uidvalidity, db = entry->uidvalidity;
    bool indexwins = index && !((rp->rc->flags & RECONSTRUCT_PREFER_MBOXLIST) && db &&
                                !rp->salvage.new_uidvalidity);

    if (index == db && index) return 0;
    if (indexwins) {
        reconstruct_say(rp->rc,
                        "Wrong uidvalidity in mbentry, fixing %s (%" PRIu32 " -> %" PRIu32 ")",
                        entry->name, db, index);
        entry->uidvalidity = index;
        *rewrite = true;
        return 0;
    }
    struct mailbox_header_update u = {
        .set_uidvalidity = true, .uidvalidity = db ? db : (uint32_t)mailbox_txn_time(rp->mailbox)
    };
    reconstruct_say(rp->rc, "Wrong uidvalidity in mailbox, fixing %s (%" PRIu32 " -> %" PRIu32 ")",
                    entry->name, index, u.uidvalidity);
    rp->changed = true;
    if (!db) {
        entry->uidvalidity = u.uidvalidity;
        *rewrite = true;
    }
    return mailbox_update_header(rp->mailbox, &u);
}

/* The I record has a copy of what the N record says. */
static bool copies_differ(struct repair *rp, const mbentry_t *byname, const mbentry_t *byid)
{
    char uidv[2][16], type[2][16];

    snprintf(uidv[0], sizeof(uidv[0]), "%" PRIu32, byid->uidvalidity);
    snprintf(uidv[1], sizeof(uidv[1]), "%" PRIu32, byname->uidvalidity);
    snprintf(type[0], sizeof(type[0]), "%" PRIu32, byid->mbtype);
    snprintf(type[1], sizeof(type[1]), "%" PRIu32, byname->mbtype);
    const struct {
        const char *what, *byname, *byid;
    } fields[] = { { "uidvalidity", uidv[1], uidv[0] },
                   { "mbtype", type[1], type[0] },
                   { "partition", byname->partition ? byname->partition : "",
                     byid->partition ? byid->partition : "" },
                   { "acl", byname->acl ? byname->acl : "", byid->acl ? byid->acl : "" } };
    bool any = false;

    for (size_t i = 0; i < array_size(fields); i++) {
        if (!strcmp(fields[i].byname, fields[i].byid)) continue;
        reconstruct_say(rp->rc, "mismatched %s byid %s (%s %s)", fields[i].what, byname->name,
                        fields[i].byname, fields[i].byid);
        any = true;
    }
    return any;
}

/* Only a mailbox that has directories of its own can take another identity. */
static int second_name(struct repair *rp, mbentry_t *entry, const char *owner, bool *rewrite)
{
    reconstruct_say(rp->rc, "Wrong uniqueid! %s (should be %s)", owner, entry->name);
    rp->rc->wrong_uniqueid = true;
    if (!(rp->rc->flags & RECONSTRUCT_NEW_UNIQUEID) || !(entry->mbtype & MBTYPE_LEGACY_DIRS)) {
        rp->rc->left++;
        return 0;
    }
    free(entry->uniqueid);
    entry->uniqueid = makeuuid_dup();
    *rewrite = true;
    return 0;
}

static int check_identity(struct repair *rp, mbentry_t *entry, bool *rewrite)
{
    struct txn *txn = mailbox_txn(rp->mailbox);
    const char *inheader = rp->mailbox->header.uniqueid;
    mbentry_t *byid = NULL;

    if (!entry->uniqueid) {
        if (!inheader) return 0;
        reconstruct_say(rp->rc, "Wrong uniqueid in mbentry, fixing %s ((null) -> %s)", entry->name,
                        inheader);
        entry->uniqueid = xstrdup(inheader);
        *rewrite = true;
    }
    int r = mboxlist_lookup_by_uniqueid(entry->uniqueid, &byid, true, txn);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT) {
        reconstruct_say(rp->rc, "Missing mboxlist entry for uniqueid - will rewrite %s (%s)",
                        entry->name, entry->uniqueid);
        *rewrite = true;
        return 0;
    }
    if (r) return r;
    if (strcmp(byid->name, entry->name) != 0)
        r = second_name(rp, entry, byid->name, rewrite);
    else if (copies_differ(rp, entry, byid))
        *rewrite = true;
    mbentry_free(&byid);
    return r;
}

int reconstruct_entry(struct repair *rp)
{
    mbentry_t *entry = mbentry_dup(mailbox_mbentry(rp->mailbox));
    bool rewrite = false;

    int r = check_identity(rp, entry, &rewrite);
    if (!r) r = fix_uidvalidity(rp, entry, &rewrite);
    if (!r && rewrite) {
        rp->changed = true;
        r = mboxlist_update_entry(mailbox_txn(rp->mailbox), entry->name, entry);
        if (!r && strcmpnull(entry->uniqueid, mailbox_mbentry(rp->mailbox)->uniqueid))
            r = mailbox_set_name(rp->mailbox, entry, 0);
    }
    mbentry_free(&entry);
    return r;
}

/* ---- one directory, several names (07 W041) ---- */

static int fresh_mailbox(struct txn *txn, mbentry_t *entry)
{
    char *root = NULL;
    struct mailbox_create_args args = { .mbentry = entry };
    struct mailbox *mailbox;
    time_t now = txn_time(txn);

    /* Never the number under which clients know what they saw there. */
    args.uidvalidity = (time_t)entry->uidvalidity < now ? (uint32_t)now : entry->uidvalidity + 1;
    entry->uidvalidity = args.uidvalidity;
    int r = mboxlist_update_entry(txn, entry->name, entry);
    if (!r) r = quota_findroot(entry->name, txn, &root);
    args.quotaroot = root;
    if (!r) r = mailbox_create(txn, &args, &mailbox);
    if (!r) {
        const struct index_header *hdr = mailbox_index_header(mailbox);
        entry->createdmodseq = hdr->createdmodseq;
        entry->foldermodseq = hdr->highestmodseq;
        r = mboxlist_update_entry(txn, entry->name, entry);
    }
    free(root);
    return r;
}

int reconstruct_separate(struct reconstruct *rc, struct txn *txn, const mbentry_t *entry, const char *owner)
{
    reconstruct_say(rc, "Wrong uniqueid! %s (should be %s)", owner, entry->name);
    rc->wrong_uniqueid = true;
    if (!(rc->flags & RECONSTRUCT_NEW_UNIQUEID)) {
        rc->left++;
        return 0;
    }
    mbentry_t *own = mbentry_dup(entry);
    free(own->uniqueid);
    own->uniqueid = makeuuid_dup();
    own->createdmodseq = own->foldermodseq = 0;
    reconstruct_say(rc, "%s: new and empty with uniqueid %s, all messages stay with %s", entry->name, own->uniqueid, owner);
    int r = fresh_mailbox(txn, own);
    mbentry_free(&own);
    return r;
}
