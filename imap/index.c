/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index -- a session's view of the mailbox that it has selected: opening, locking, facts
 *
 * The mailbox handle stays open from select to unselect, without its lock: its
 * mapped bytes serve the next command. See index.h for the contract and
 * index_refresh.c for how the view follows the mailbox.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "index_priv.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "user_home.h"
#include "xmalloc.h"

uint32_t index_effective_rights(const struct auth_state *auth, bool isadmin, const char *acl)
{
    const uint32_t write = ACL_SETSEEN | ACL_WRITE | ACL_INSERT | ACL_DELETEMSG | ACL_EXPUNGE |
                           ACL_ANNOTATEMSG;
    uint32_t rights = cyrus_acl_myrights(auth, acl);

    if (isadmin) rights |= ACL_LOOKUP | ACL_ADMIN;
    if ((rights & ACL_ADMIN) && config_getswitch(IMAPOPT_ACL_ADMIN_IMPLIES_WRITE)) rights |= write;
    return rights;
}

/* What EXAMINE takes away. */
#define EXAMINE_MASK \
    (ACL_SETSEEN | ACL_WRITE | ACL_INSERT | ACL_DELETEMSG | ACL_EXPUNGE | ACL_ANNOTATEMSG)

static int check_rights(const struct index_args *args, const char *acl, uint32_t *rights)
{
    *rights = index_effective_rights(args->auth, args->isadmin, acl);
    if (!(*rights & ACL_READ))
        return (*rights & ACL_LOOKUP) ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
    if (args->examine) *rights &= ~(uint32_t)EXAMINE_MASK;
    return 0;
}

static int open_as(const struct index_args *args, struct index_state **statep)
{
    mbentry_t *mbentry = NULL;
    struct index_state *st = NULL;
    struct index_update update = { 0 };
    uint32_t rights = 0;

    *statep = NULL;
    int r = mboxlist_lookup(args->name, &mbentry, NULL);
    if (!r) r = check_rights(args, mbentry->acl, &rights);
    if (r) goto done;

    st = xzmalloc(sizeof(*st));
    st->name = xstrdup(args->name);
    st->userid = xstrdupnull(args->userid);
    st->auth = args->auth;
    st->isadmin = args->isadmin;
    st->examine = args->examine;
    st->include_expunged = args->include_expunged;
    st->rights = rights;
    st->recent = seqset_init(0, SEQ_SPARSE);
    st->held = seqset_init(0, SEQ_SPARSE);

    r = mailbox_open_mbentry(mbentry, &st->mailbox);
    if (r) goto done;
    st->locked = true;
    st->uniqueid = xstrdup(mailbox_uniqueid(st->mailbox));
    r = seen_view_open(st->mailbox, st->userid, &st->seen);
    index_unlock(st);
    if (!r) r = index_refresh(st, true, &update);
    index_update_fini(&update);

done:
    mbentry_free(&mbentry);
    if (r)
        index_close(&st);
    else
        *statep = st;
    return r;
}

/* What is not to be changed here can be read. */
int index_open(const struct index_args *args, struct index_state **statep)
{
    struct index_args as = *args;

    if (user_home_keeps_out(as.name)) as.examine = true;
    return open_as(&as, statep);
}

void index_close(struct index_state **statep)
{
    struct index_state *st = *statep;

    if (!st) return;
    *statep = NULL;
    seen_view_free(&st->seen);
    mailbox_close(&st->mailbox);
    seqset_free(st->recent);
    seqset_free(st->held);
    strarray_fini(&st->flagnames);
    free(st->uids);
    free(st->name);
    free(st->uniqueid);
    free(st->userid);
    free(st);
}

void index_rest(struct index_state *st)
{
    if (st->mailbox && !st->locked) mailbox_rest(st->mailbox);
}

int index_lock(struct index_state *st)
{
    bool changed;

    if (st->gone) return IMAP_MAILBOX_NONEXISTENT;
    if (st->locked) return 0;
    int r = mailbox_relock_read(st->mailbox, &changed);
    if (r) return r;
    st->locked = true;
    if (changed || st->stale) r = seen_view_refresh(st->seen, st->mailbox);
    if (r)
        index_unlock(st);
    else
        st->stale = false;
    return r;
}

void index_unlock(struct index_state *st)
{
    if (!st->locked) return;
    st->locked = false;
    mailbox_unlock(st->mailbox);
}

uint64_t index_seen_lsn(const struct index_state *st)
{
    return st->mailbox ? mailbox_seen_lsn(st->mailbox) : 0;
}

/* ---- facts ---- */

const char *index_mboxname(const struct index_state *st)
{
    return st->name;
}

const char *index_uniqueid(const struct index_state *st)
{
    return st->uniqueid;
}

const char *index_userid(const struct index_state *st)
{
    return st->userid;
}

uint32_t index_rights(const struct index_state *st)
{
    return st->rights;
}

bool index_examined(const struct index_state *st)
{
    return st->examine;
}

bool index_readwrite(const struct index_state *st)
{
    return (st->rights & EXAMINE_MASK) != 0;
}

bool index_gone(const struct index_state *st)
{
    return st->gone;
}

uint32_t index_exists(const struct index_state *st)
{
    return st->exists;
}

uint32_t index_uidvalidity(const struct index_state *st)
{
    return st->uidvalidity;
}

uint32_t index_uidnext(const struct index_state *st)
{
    return st->uidnext;
}

modseq_t index_highestmodseq(const struct index_state *st)
{
    if (st->include_expunged) return st->told_modseq;
    if (st->held_modseq && st->held_modseq <= st->told_modseq) return st->held_modseq - 1;
    return st->told_modseq;
}

modseq_t index_deletedmodseq(const struct index_state *st)
{
    return st->deletedmodseq;
}

const strarray_t *index_flagnames(const struct index_state *st)
{
    return &st->flagnames;
}

bool index_flags_full(const struct index_state *st)
{
    int used = 0;

    for (int i = 0; i < strarray_size(&st->flagnames); i++)
        if (strarray_nth(&st->flagnames, i)) used++;
    return used >= MAX_USER_FLAG_WORDS * 32;
}

struct mailbox *index_mailbox(struct index_state *st)
{
    return st->mailbox;
}

/* ---- transactions ---- */

/* NULL, the namespace of no user, is a member too. */
static void add_owner(strarray_t *users, const char *mboxname)
{
    char *owner = mboxname_to_userid(mboxname);

    strarray_set(users, strarray_size(users), owner);
    free(owner);
}

int index_txn_begin(struct index_state *st, const char *other, bool keeps, struct txn **txnp, struct mailbox **mboxp)
{
    strarray_t users = STRARRAY_INITIALIZER;
    bool ours;

    if (st->gone) return IMAP_MAILBOX_NONEXISTENT;
    ours = !st->userid || seen_view_internal(st->seen);
    index_unlock(st);

    int r = txn_begin(txnp);
    if (r) return r;
    add_owner(&users, st->name);
    if (other) add_owner(&users, other);
    if (keeps && strcmpnull(strarray_nth(&users, 0), strarray_nth(&users, 1))) txn_only_reads(*txnp, strarray_nth(&users, 0));
    if (!ours) strarray_append(&users, st->userid);
    r = txn_lock_users(*txnp, &users);
    strarray_fini(&users);
    if (!r) r = mailbox_open_iwl(*txnp, st->name, mboxp);
    if (!r && strcmp(mailbox_uniqueid(*mboxp), st->uniqueid)) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = seen_view_refresh(st->seen, *mboxp);
    if (r) txn_abort(txnp);
    return r;
}

int index_txn_end(struct index_state *st, struct txn **txnp, int r)
{
    if (!r) r = txn_commit(txnp, NULL);
    st->stale = true;
    if (r) txn_abort(txnp);
    return r;
}
