/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_recipient -- who may get mail, and into which mailbox (handbook 04 §7.3)
 *
 * An address is accepted when its user has an INBOX, or its shared folder gives right p to the
 * sender. The folder behind the '+' of a user is looked at only at delivery: without it, or without right p, the
 * mail goes to the INBOX.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "mboxlist.h"
#include "quota.h"
#include "sync_wait.h"
#include "user_record.h"
#include "user_strays.h"
#include "userdeny.h"
#include "util.h"
#include "xmalloc.h"

void lmtp_rcpt_fini(struct lmtp_rcpt *rcpt)
{
    mbname_free(&rcpt->mbname);
    xzfree(rcpt->userid);
    xzfree(rcpt->partition);
}

int lmtp_quota_check(const char *name, struct txn *txn, uint64_t size)
{
    struct quota q = { 0 };
    bool strict = size && config_getswitch(IMAPOPT_LMTP_STRICT_QUOTA);
    char *root = NULL;
    int r = quota_findroot(name, txn, &root);

    if (!r && root) {
        r = quota_read_withconversations(root, QUOTA_ENFORCE, txn, &q);
        if (r == IMAP_QUOTAROOT_NONEXISTENT) r = 0;
        if (!r) r = quota_check(&q, QUOTA_STORAGE, strict ? (int64_t)size : 0);
        if (!r) r = quota_check(&q, QUOTA_MESSAGE, strict ? 1 : 0);
        if (!r) r = quota_check(&q, QUOTA_ANNOTSTORAGE, 0);
    }
    quota_free(&q);
    free(root);
    return r;
}

static bool may_post(const struct lmtp_session *session, const mbentry_t *entry)
{
    return cyrus_acl_myrights(session->auth, entry->acl) & ACL_POST;
}

/* ---- the INBOX of a user ---- */

static void inbox_name(const char *userid, struct buf *name)
{
    mbname_t *mbname = mbname_from_userid(userid);

    buf_setcstr(name, mbname_intname(mbname));
    mbname_free(&mbname);
}

static int lookup_inbox(const char *userid, struct txn *txn, mbentry_t **entryp)
{
    struct buf name = BUF_INITIALIZER;

    inbox_name(userid, &name);
    int r = mboxlist_lookup(buf_cstring(&name), entryp, txn);
    buf_free(&name);
    return r;
}

/* The user as asked for, made if that is allowed. */
static int find_user(struct lmtp_session *session, struct lmtp_rcpt *rcpt, mbentry_t **entryp)
{
    int r = user_record_delivery(rcpt->userid);

    if (!r) r = lookup_inbox(rcpt->userid, NULL, entryp);
    if (!r) user_mend_files(*entryp);
    if (r != IMAP_MAILBOX_NONEXISTENT || !config_getswitch(IMAPOPT_AUTOCREATE_POST)) return r;
    if (autocreate_user(rcpt->userid, &session->ns)) return r;
    return lookup_inbox(rcpt->userid, NULL, entryp);
}

/* Nobody has this address: it becomes that of the user who takes what nobody else does. */
static int find_catchall(struct lmtp_rcpt *rcpt, mbentry_t **entryp)
{
    const char *catchall = config_getstring(IMAPOPT_LMTP_CATCHALL_MAILBOX);

    if (!catchall || !*catchall) return IMAP_MAILBOX_NONEXISTENT;
    mbname_free(&rcpt->mbname);
    xzfree(rcpt->userid);
    rcpt->mbname = mbname_from_userid(catchall);
    rcpt->userid = xstrdupnull(mbname_userid(rcpt->mbname));
    return rcpt->userid ? lookup_inbox(rcpt->userid, NULL, entryp) : IMAP_MAILBOX_NONEXISTENT;
}

static int find_shared(struct lmtp_session *session, const struct lmtp_rcpt *rcpt, struct txn *txn,
                       mbentry_t **entryp)
{
    const char *name = mbname_intname(rcpt->mbname);

    if (!name) return IMAP_MAILBOX_NONEXISTENT;
    int r = mboxlist_lookup(name, entryp, txn);
    if (r || may_post(session, *entryp)) return r;
    /* Who can't see it doesn't learn that it is there. */
    r = cyrus_acl_myrights(session->auth, (*entryp)->acl) & ACL_LOOKUP ? IMAP_PERMISSION_DENIED
                                                                       : IMAP_MAILBOX_NONEXISTENT;
    mbentry_free(entryp);
    return r;
}

int lmtp_recipient_check(struct lmtp_session *session, const char *address, bool ignorequota,
                         struct lmtp_rcpt *rcpt)
{
    mbentry_t *entry = NULL;
    int r;

    *rcpt = (struct lmtp_rcpt){ .ignorequota = ignorequota };
    rcpt->mbname = mbname_from_recip(address, &session->ns);
    if (config_getswitch(IMAPOPT_LMTP_DOWNCASE_RCPT)) mbname_downcaseuser(rcpt->mbname);
    rcpt->userid = xstrdupnull(mbname_userid(rcpt->mbname));
    if (rcpt->userid && userdeny_check(rcpt->userid, service_name(), NULL, 0))
        r = IMAP_MAILBOX_DISABLED;
    else if (!mbname_issound(rcpt->mbname))
        r = IMAP_MAILBOX_NONEXISTENT;
    else if (rcpt->userid)
        r = find_user(session, rcpt, &entry);
    else
        r = find_shared(session, rcpt, NULL, &entry);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = find_catchall(rcpt, &entry);
    if (!r && mbtype_isa(entry->mbtype) != MBTYPE_EMAIL) r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r && sync_wait_refuses(rcpt->userid)) r = IMAP_SERVER_UNAVAILABLE;
    if (!r && !ignorequota) r = lmtp_quota_check(entry->name, NULL, session->size);
    if (!r) rcpt->partition = xstrdupnull(entry->partition);
    mbentry_free(&entry);
    if (r) lmtp_rcpt_fini(rcpt);
    return r;
}

/* ---- the folder behind the plus ---- */

/* Has it a special use that is not delivered to? */
static bool is_excluded(const char *userid, const mbentry_t *entry, struct txn *txn)
{
    const char *option = config_getstring(IMAPOPT_LMTP_EXCLUDE_SPECIALUSE);
    struct buf uses = BUF_INITIALIZER;
    bool found = false;

    if (!option || !*option) return false;
    if (!annotatemore_lookup(entry, "/specialuse", userid, txn, &uses) && buf_len(&uses)) {
        strarray_t *have = strarray_split(buf_cstring(&uses), NULL, 0);
        strarray_t *bad = strarray_split(option, NULL, 0);
        for (int i = 0; i < strarray_size(bad) && !found; i++)
            found = strarray_contains_case(have, strarray_nth(bad, i));
        strarray_free(have);
        strarray_free(bad);
    }
    buf_free(&uses);
    return found;
}

static int lookup_folder(struct lmtp_session *session, const char *userid, const char *name,
                         struct txn *txn, mbentry_t **entryp)
{
    int r = mboxlist_lookup(name, entryp, txn);

    if (r) return r;
    if (may_post(session, *entryp) && !is_excluded(userid, *entryp, txn) &&
        mbtype_isa((*entryp)->mbtype) == MBTYPE_EMAIL)
        return 0;
    mbentry_free(entryp);
    return IMAP_PERMISSION_DENIED;
}

/* Letters of either case are alike, and so are blank, '-' and '_'. */
static bool fuzzy_equal(const char *a, const char *b)
{
    static const char blanks[] = " -_";

    for (; *a && *b; a++, b++) {
        bool both_blank = strchr(blanks, *a) && strchr(blanks, *b);
        if (!both_blank && cyr_tolower(*a) != cyr_tolower(*b)) return false;
    }
    return *a == *b;
}

struct fuzzy {
    const strarray_t *want;
    int depth; /* components of the best match */
    char *name;
};

static int fuzzy_match(const mbentry_t *entry, void *rock)
{
    struct fuzzy *fuzzy = rock;
    mbname_t *mbname = mbname_from_intname(entry->name);
    const strarray_t *boxes = mbname_boxes(mbname);
    int n = strarray_size(boxes), i = 0;

    while (i < n && i < strarray_size(fuzzy->want) &&
           fuzzy_equal(strarray_nth(boxes, i), strarray_nth(fuzzy->want, i)))
        i++;
    if (i == n && n > fuzzy->depth) {
        fuzzy->depth = n;
        free(fuzzy->name);
        fuzzy->name = xstrdup(entry->name);
    }
    mbname_free(&mbname);
    return 0;
}

static int lookup_fuzzy(struct lmtp_session *session, const struct lmtp_rcpt *rcpt, struct txn *txn,
                        mbentry_t **entryp)
{
    struct fuzzy fuzzy = { .want = mbname_boxes(rcpt->mbname) };
    int r = mboxlist_usermboxtree(rcpt->userid, fuzzy_match, &fuzzy, 0);

    if (!r)
        r = fuzzy.name ? lookup_folder(session, rcpt->userid, fuzzy.name, txn, entryp)
                       : IMAP_MAILBOX_NONEXISTENT;
    free(fuzzy.name);
    return r;
}

int lmtp_recipient_mailbox(struct lmtp_session *session, const struct lmtp_rcpt *rcpt,
                           struct txn *txn, mbentry_t **entryp)
{
    if (!rcpt->userid) return find_shared(session, rcpt, txn, entryp);
    if (!mbname_is_inbox(rcpt->mbname)) {
        int r = lookup_folder(session, rcpt->userid, mbname_intname(rcpt->mbname), txn, entryp);
        if (r == IMAP_MAILBOX_NONEXISTENT && config_getswitch(IMAPOPT_LMTP_FUZZY_MAILBOX_MATCH))
            r = lookup_fuzzy(session, rcpt, txn, entryp);
        if (!r) return 0;
    }
    return lookup_inbox(rcpt->userid, txn, entryp);
}
