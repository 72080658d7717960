/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_lag -- how far behind a replica is with one user, as a comparison finds it
 */
#include <config.h>

#include "sync_client_lag.h"

#include <stdlib.h>

#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist_former.h"
#include "user.h"
#include "xmalloc.h"

static void free_mailbox(void *p)
{
    struct sync_lag_mailbox *m = p;

    free(m->name);
    free(m);
}

void sync_lag_fini(struct sync_lag *lag)
{
    ptrarray_fini_with(&lag->mailboxes, free_mailbox);
}

static struct sync_lag_mailbox *add(struct sync_lag *lag, const char *name, modseq_t modseq)
{
    struct sync_lag_mailbox *m = xzmalloc(sizeof(*m));

    m->name = xstrdup(name);
    m->modseq = modseq;
    ptrarray_append(&lag->mailboxes, m);
    return m;
}

modseq_t sync_lag_user_modseq(const char *userid)
{
    struct user_meta *meta = NULL;
    struct counters counters = { 0 };

    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    if (!user_meta_lookup(userid, NULL, &meta) && counters_read(meta, NULL, &counters)) counters.modseq[CTR_HIGHEST] = 0;
    user_meta_free(&meta);
    return counters.modseq[CTR_HIGHEST];
}

/* The one that is compared. */
static struct sync_lag_mailbox *now(const struct sync_lag *lag)
{
    return ptrarray_nth(&lag->mailboxes, -1);
}

static void lacks(struct sync_lag_mailbox *m, modseq_t modseq)
{
    if (!modseq) modseq = 1;
    if (!m->first || modseq < m->first) m->first = modseq;
    if (m->modseq < modseq) m->modseq = modseq;
}

static void since(struct sync_lag *lag, time_t t)
{
    if (t && (!lag->since || t < lag->since)) lag->since = t;
}

void sync_lag_begin(struct sync_lag *lag, const mbentry_t *mbentry)
{
    if (lag) add(lag, mbentry->name, mbentry->foldermodseq);
}

static int lowest_cb(struct mailbox *mailbox __attribute__((unused)), const struct index_record *rec, void *rock)
{
    struct sync_lag_mailbox *m = rock;

    if (rec->modseq > m->modseq) m->modseq = rec->modseq;
    lacks(m, rec->modseq);
    return 0;
}

/* Its records may have come from another server, with lower modseqs than it has itself. */
void sync_lag_absent(struct sync_lag *lag, const mbentry_t *mbentry)
{
    struct mailbox *mailbox = NULL;

    if (!lag) return;
    lacks(now(lag), mbentry->createdmodseq);
    since(lag, mbentry->mtime);
    if (mailbox_open_irl(mbentry->name, &mailbox) ||
        mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_STRICT, lowest_cb, now(lag)))
        lacks(now(lag), 1);
    mailbox_close(&mailbox);
}

void sync_lag_named(struct sync_lag *lag, const mbentry_t *mbentry)
{
    if (!lag) return;
    lacks(now(lag), mbentry->foldermodseq);
    since(lag, mbentry->mtime);
}

void sync_lag_deleted(struct sync_lag *lag, const struct sync_folder *theirs)
{
    enum mboxlist_fate fate = MBOXLIST_UNKNOWN;
    mbentry_t *tomb = NULL;

    if (!lag) return;
    if (!mboxlist_lookup_fate(theirs->uniqueid, theirs->name, theirs->createdmodseq, &fate, &tomb) && fate == MBOXLIST_DELETED) {
        lacks(add(lag, theirs->name, tomb->foldermodseq), tomb->foldermodseq);
        since(lag, tomb->mtime);
    }
    mbentry_free(&tomb);
}

/* What only the replica has went here after its last change. The time tells only when ours is the later state. */
void sync_lag_record(struct sync_lag *lag, const struct sync_record *ours, const struct sync_record *theirs)
{
    if (!lag) return;
    lacks(now(lag), ours ? ours->rec.modseq : theirs->rec.modseq + 1);
    now(lag)->records = true;
    if (ours && (!theirs || theirs->rec.modseq < ours->rec.modseq)) since(lag, ours->rec.last_updated);
}

/*
 * Records that differ say by themselves which modseqs are lacking, rights and type have that of the entry. What has none, as
 * annotations, may be lacking from the replica's HIGHESTMODSEQ on, and of what differs for no reason nothing is known.
 */
void sync_lag_state(struct sync_lag *lag, const struct sync_folder *ours, const struct sync_folder *theirs, bool unnumbered)
{
    if (!lag) return;

    struct sync_lag_mailbox *m = now(lag);
    bool crcs = sync_folder_same_crcs(ours, theirs);
    if (m->modseq < ours->highestmodseq) m->modseq = ours->highestmodseq;
    bool entry = theirs->foldermodseq && theirs->foldermodseq < ours->foldermodseq;
    if (entry) lacks(m, ours->foldermodseq);
    if (!entry && (strcmpsafe(ours->acl, theirs->acl) || ours->mbtype != theirs->mbtype)) lacks(m, 1);
    if (!crcs && !m->records) lacks(m, 1);
    if (unnumbered) lacks(m, cyr_min(theirs->highestmodseq + 1, ours->highestmodseq));
    if (!m->records && theirs->highestmodseq < ours->highestmodseq) lacks(m, ours->highestmodseq);
}
