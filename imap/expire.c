/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * expire -- the clean-up jobs of cyr_expire
 *
 * The names are collected first and the work is done afterwards, so no list changes under a walk. A mailbox that has
 * gone meanwhile is nobody's fault.
 */
#include <config.h>

#include "expire.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "annotate.h"
#include "conversations.h"
#include "expire_internal.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxlist_former.h"
#include "mboxname.h"
#include "server_role.h"
#include "sub_history.h"
#include "txn.h"
#include "user_home.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define ENTRY_EXPIRE "/vendor/cmu/cyrus-imapd/expire"
#define ENTRY_ARCHIVE "/vendor/cmu/cyrus-imapd/archive"
#define ENTRY_DELETE "/vendor/cmu/cyrus-imapd/delete"
#define LOCK_TRIES 10

static const struct {
    char letter;
    double seconds;
} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

bool expire_parse_duration(const char *text, double *seconds)
{
    char *end;
    double factor = units[0].seconds;

    if (!cyr_isdigit(*text) && *text != '.') return false;
    errno = 0;
    double n = strtod(text, &end);
    if (end == text || errno || !isfinite(n) || strspn(text, "0123456789.") != (size_t)(end - text))
        return false;
    if (*end) {
        size_t i = 0;
        while (i < array_size(units) && units[i].letter != *end) i++;
        if (i == array_size(units) || end[1]) return false;
        factor = units[i].seconds;
    }
    *seconds = n * factor;
    return *seconds < 4e9;
}

/* ---- which mailboxes ---- */

struct collect {
    const struct expire_scope *scope;
    bool (*want)(const mbentry_t *entry, const mbname_t *mbname, void *rock);
    void *rock;
    strarray_t names;
};

static bool in_scope(const struct expire_scope *scope, const mbentry_t *entry,
                     const mbname_t *mbname)
{
    size_t len = scope->prefix ? strlen(scope->prefix) : 0;
    const char *userid = mbname_userid(mbname);

    if (len && (strncmp(entry->name, scope->prefix, len) ||
                (entry->name[len] && entry->name[len] != '.' && scope->prefix[len - 1] != '.')))
        return false;
    return !scope->userid || (userid && !strcmp(userid, scope->userid));
}

static int collect_one(const mbentry_t *entry, void *rock)
{
    struct collect *collect = rock;
    mbname_t *mbname = mbname_from_intname(entry->name);

    if (!mbentry_is_remote(entry, NULL) && in_scope(collect->scope, entry, mbname) &&
        (!collect->want || collect->want(entry, mbname, collect->rock)))
        strarray_append(&collect->names, entry->name);
    mbname_free(&mbname);
    return 0;
}

static void say(const struct expire_scope *scope, const char *what, const char *name)
{
    if (scope->verbose) fprintf(stderr, "%s %s\n\n", what, name);
}

static bool should_stop(const struct expire_scope *scope)
{
    return scope->stop && scope->stop(scope->rock);
}

/* ---- one transaction for each name ---- */

typedef int job_fn(struct txn *txn, const char *name, void *rock);

static int in_transaction(const char *name, job_fn *fn, void *rock)
{
    mbname_t *mbname = mbname_from_intname(name);
    int r = IMAP_AGAIN;

    for (int i = 0; r == IMAP_AGAIN && i < LOCK_TRIES; i++) {
        struct txn *txn = NULL;
        r = txn_begin(&txn);
        if (!r) r = txn_lock_user(txn, mbname_userid(mbname));
        if (!r) r = fn(txn, name, rock);
        if (!r) r = txn_commit(&txn, NULL);
        if (r) txn_abort(&txn);
    }
    mbname_free(&mbname);
    return r;
}

/* more (may be NULL): set by fn when the name needs another transaction. */
static int for_each_more(const struct expire_scope *scope, const strarray_t *names, job_fn *fn,
                         void *rock, struct expire_counts *counts, const bool *more)
{
    int first = 0;

    for (int i = 0; i < strarray_size(names) && !should_stop(scope); i++) {
        int r;
        do {
            r = in_transaction(strarray_nth(names, i), fn, rock);
        } while (!r && more && *more && !should_stop(scope));
        if (!r || r == IMAP_MAILBOX_NONEXISTENT) continue;
        xsyslog_errno(LOG_ERR, 0, "IOERROR: clean-up failed", "mailbox=<%s> error=<%s>",
                      strarray_nth(names, i), error_message(r));
        counts->failed++;
        if (!first) first = r;
    }
    return first;
}

static int for_each(const struct expire_scope *scope, const strarray_t *names, job_fn *fn,
                    void *rock, struct expire_counts *counts)
{
    return for_each_more(scope, names, fn, rock, counts, NULL);
}

/* ---- messages ---- */

struct messages {
    const struct expire_scope *scope;
    enum expire_policy policy;
    time_t expunged_before, age_before;
    struct expire_counts *counts;
    struct expire_replicas replicas;
    struct index_record *todo; /* records of the present mailbox to be changed */
    size_t ntodo;
    bool repack;
};

static int annotation_of(const char *name, const char *entry, struct txn *txn, struct buf *value)
{
    mbentry_t *mbentry = NULL;
    int r = *name ? mboxlist_lookup(name, &mbentry, txn) : 0;

    buf_reset(value);
    if (!r) r = annotatemore_lookup(mbentry, entry, "", txn, value);
    mbentry_free(&mbentry);
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_NOTFOUND ? 0 : r;
}

/* The expire time of the mailbox; 0: never. That of a parent or the server is not its: 3.6.1 never removes by it. */
static time_t age_limit(const char *name, struct txn *txn)
{
    struct buf value = BUF_INITIALIZER;
    double seconds = 0;
    int r = annotation_of(name, ENTRY_EXPIRE, txn, &value);

    if (!r && buf_len(&value) && !expire_parse_duration(buf_cstring(&value), &seconds)) {
        syslog(LOG_ERR, "%s: bad value of annotation %s: %s", name, ENTRY_EXPIRE,
               buf_cstring(&value));
        seconds = 0;
    }
    buf_free(&value);
    return seconds > 0 ? txn_time(txn) - (time_t)seconds : 0;
}

/* It is asked for each mailbox, since a role, or a home, may change meanwhile. */
static bool is_replicas(const char *name)
{
    char *userid = mboxname_to_userid(name);
    bool is = server_role_is(SERVER_ROLE_REPLICA) || user_home_is_elsewhere(userid, NULL);

    free(userid);
    return is;
}

/* What expires is a change, which the replica of a pair does not make: it would come to it from two sides. */
static time_t policy_limit(const struct messages *m, const char *name, struct txn *txn)
{
    time_t limit = m->policy == EXPIRE_POLICY_NONE ? 0 : age_limit(name, txn);

    if (!limit || m->policy == EXPIRE_POLICY_ANYWHERE || !is_replicas(name)) return limit;
    m->counts->left++;
    return 0;
}

static int look_at(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct messages *m = rock;
    bool expunged = rec->internal_flags & FLAG_INTERNAL_EXPUNGED;
    bool aged = !expunged && m->age_before && rec->gmtime < m->age_before;
    bool gone = expunged && !(rec->internal_flags & FLAG_INTERNAL_UNLINKED) && m->expunged_before &&
                rec->last_updated <= m->expunged_before;

    m->counts->messages++;
    if (gone && expire_must_wait(&m->replicas, mailbox_name(mailbox), rec->modseq, rec->last_updated, m->expunged_before)) return 0;
    if (!aged && !gone) return 0;
    m->todo = xgrow(m->todo, m->ntodo, sizeof(*m->todo));
    m->todo[m->ntodo++] = *rec;
    return 0;
}

/* What expires now may be old enough to be removed, too: -X 0. */
static int change(struct messages *m, struct mailbox *mailbox, struct index_record *rec)
{
    if (!(rec->internal_flags & FLAG_INTERNAL_EXPUNGED)) {
        m->counts->expired++;
        int r = mailbox_expunge_record(mailbox, rec, 0);
        if (r || !m->expunged_before || rec->last_updated > m->expunged_before) return r;
        if (rec->internal_flags & FLAG_INTERNAL_UNLINKED) return 0;
        if (expire_must_wait(&m->replicas, mailbox_name(mailbox), rec->modseq, rec->last_updated, m->expunged_before)) return 0;
    }
    m->counts->expunged++;
    m->repack = true;
    rec->internal_flags |= FLAG_INTERNAL_UNLINKED;
    return mailbox_rewrite_record(mailbox, rec, MAILBOX_SILENT);
}

static int expire_mailbox(struct txn *txn, const char *name, void *rock)
{
    struct messages *m = rock;
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_iwl(txn, name, &mailbox);

    if (r) return r;
    m->repack = mailbox_index_header(mailbox)->options & OPT_MAILBOX_NEEDS_REPACK;
    m->age_before = policy_limit(m, name, txn);
    m->ntodo = 0;
    m->counts->mailboxes++;
    if (m->age_before) say(m->scope, "expiring messages in", name);
    say(m->scope, "cleaning up expunged messages in", name);
    r = mailbox_foreach(mailbox, 0, 0, 0, look_at, m);
    for (size_t i = 0; !r && i < m->ntodo; i++) r = change(m, mailbox, &m->todo[i]);
    expire_replicas_say(&m->replicas, name, "messages");
    if (!r && (m->repack || mailbox_needs_purge(mailbox))) r = mailbox_repack(mailbox);
    return r;
}

int expire_messages(const struct expire_scope *scope, enum expire_policy policy, time_t expunged_before,
                    struct expire_counts *counts)
{
    struct collect collect = { .scope = scope };
    struct messages m = { .scope = scope,
                          .policy = policy,
                          .expunged_before = expunged_before,
                          .counts = counts };
    int r = mboxlist_allmbox(NULL, collect_one, &collect, MBOXTREE_DELETED);

    expire_replicas_init(&m.replicas);
    if (!r) r = for_each(scope, &collect.names, expire_mailbox, &m, counts);
    counts->kept += m.replicas.kept;
    expire_replicas_fini(&m.replicas);
    strarray_fini(&collect.names);
    free(m.todo);
    return r;
}

/* ---- archive ---- */

struct archive_job {
    bool use_annotations, more;
    time_t before;
    struct expire_counts *counts;
};

static int archive_mailbox(struct txn *txn, const char *name, void *rock)
{
    struct archive_job *job = rock;
    struct expire_archive_args args = { .before = job->before, .counts = job->counts };
    struct buf value = BUF_INITIALIZER;
    struct mailbox *mailbox = NULL;
    double seconds = -1;

    job->more = false;
    if (job->use_annotations && !annotation_of(name, ENTRY_ARCHIVE, txn, &value) &&
        buf_len(&value) && expire_parse_duration(buf_cstring(&value), &seconds))
        args.before = txn_time(txn) - (time_t)seconds;
    buf_free(&value);
    int r = mailbox_open_iwl(txn, name, &mailbox);
    if (r || seconds == 0) return r;
    job->counts->mailboxes++;
    return expire_archive_mailbox(mailbox, &args, &job->more);
}

int expire_archive(const struct expire_scope *scope, bool use_annotations, time_t before,
                   struct expire_counts *counts)
{
    struct collect collect = { .scope = scope };
    struct archive_job job = { .use_annotations = use_annotations,
                               .before = before,
                               .counts = counts };

    if (!config_getswitch(IMAPOPT_ARCHIVE_ENABLED)) return 0;
    int r = mboxlist_allmbox(NULL, collect_one, &collect, MBOXTREE_DELETED);
    if (!r) r = for_each_more(scope, &collect.names, archive_mailbox, &job, counts, &job.more);
    strarray_fini(&collect.names);
    return r;
}

/* ---- user flags ---- */

static int clean_user_flags(struct txn *txn, const char *name, void *rock)
{
    uint32_t used[MAX_USER_FLAG_WORDS] = { 0 };
    struct expire_counts *counts = rock;
    struct mailbox *mailbox = NULL;
    struct index_record rec;
    int r = mailbox_open_iwl(txn, name, &mailbox);

    for (uint32_t recno = 1; !r && recno <= mailbox_num_records(mailbox); recno++) {
        r = mailbox_read_record(mailbox, recno, &rec);
        for (int i = 0; !r && i < MAX_USER_FLAG_WORDS; i++) used[i] |= rec.user_flags[i];
    }
    if (r) return r;
    for (int slot = strarray_size(mailbox_flagnames(mailbox)) - 1; !r && slot >= 0; slot--) {
        if (!strarray_nth(mailbox_flagnames(mailbox), slot) || (used[slot / 32] >> (slot % 32) & 1))
            continue;
        r = mailbox_remove_user_flag(mailbox, slot);
        counts->expired++;
    }
    return r;
}

int expire_user_flags(const struct expire_scope *scope, struct expire_counts *counts)
{
    struct collect collect = { .scope = scope };
    int r = mboxlist_allmbox(NULL, collect_one, &collect, MBOXTREE_DELETED);

    if (!r) r = for_each(scope, &collect.names, clean_user_flags, counts, counts);
    strarray_fini(&collect.names);
    return r;
}

/* ---- deleted mailboxes ---- */

struct deleted {
    const struct expire_scope *scope;
    struct expire_replicas replicas;
    bool use_annotations;
    time_t before;
    struct expire_counts *counts;
};

static bool waits(struct expire_replicas *er, const mbentry_t *entry, time_t when, time_t before, const char *what)
{
    bool must = expire_must_wait(er, entry->name, entry->foldermodseq, when, before);

    expire_replicas_say(er, entry->name, what);
    return must;
}

static bool is_old_deleted(const mbentry_t *entry, const mbname_t *mbname, void *rock)
{
    struct deleted *d = rock;
    time_t when = mbname_isdeleted(mbname), before = d->before;
    struct buf value = BUF_INITIALIZER;
    double seconds;

    if (!when) return false;
    if (d->use_annotations && !annotation_of(entry->name, ENTRY_DELETE, NULL, &value) &&
        buf_len(&value) && expire_parse_duration(buf_cstring(&value), &seconds))
        before = seconds > 0 ? time(NULL) - (time_t)seconds : 0;
    buf_free(&value);
    return when < before && !waits(&d->replicas, entry, when, before, "deleted");
}

static int remove_deleted(struct txn *txn, const char *name, void *rock)
{
    struct deleted *d = rock;
    unsigned flags = MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE | MBOXLIST_DELETE_LOCALONLY;

    say(d->scope, "Removing:", name);
    int r = mboxlist_deletemailbox(txn, name, true, NULL, NULL, flags);
    if (!r) d->counts->mailboxes++;
    return r;
}

int expire_deleted(const struct expire_scope *scope, bool use_annotations, time_t before,
                   struct expire_counts *counts)
{
    struct deleted d = { .scope = scope, .use_annotations = use_annotations, .before = before, .counts = counts };
    struct collect collect = { .scope = scope, .want = is_old_deleted, .rock = &d };
    expire_replicas_init(&d.replicas);
    int r = mboxlist_allmbox(NULL, collect_one, &collect, MBOXTREE_DELETED);

    if (!r) r = for_each(scope, &collect.names, remove_deleted, &d, counts);
    counts->kept += d.replicas.kept;
    expire_replicas_fini(&d.replicas);
    strarray_fini(&collect.names);
    return r;
}

/* ---- tombstones ---- */

struct tombstones {
    struct expire_replicas replicas;
    time_t before;
};

static bool is_old_tombstone(const mbentry_t *entry, const mbname_t *mbname, void *rock)
{
    struct tombstones *t = rock;

    (void)mbname;
    return (entry->mbtype & MBTYPE_DELETED) && entry->mtime && entry->mtime < t->before &&
           !waits(&t->replicas, entry, entry->mtime, t->before, "tombstone");
}

static int remove_tombstone(struct txn *txn, const char *name, void *rock)
{
    struct expire_counts *counts = rock;
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup_allow_all(name, &entry, txn);

    if (!r && (entry->mbtype & MBTYPE_DELETED)) { /* nobody has made it anew meanwhile */
        r = mboxlist_delete_entry(txn, name);
        if (!r) counts->expired++;
    }
    mbentry_free(&entry);
    return r;
}

struct former {
    const struct expire_scope *scope;
    struct expire_counts *counts;
    const char *uniqueid;
    struct tombstones *tombstones;
};

static bool former_waits(struct tombstones *t, const char *name, const char *uniqueid)
{
    enum mboxlist_fate fate;
    mbentry_t *entry = NULL;
    bool must = strarray_size(&t->replicas.channels) && !mboxlist_lookup_fate(uniqueid, name, 0, &fate, &entry) && fate == MBOXLIST_DELETED &&
                waits(&t->replicas, entry, entry->mtime, t->before, "tombstone");

    mbentry_free(&entry);
    return must;
}

static int forget_identity(struct txn *txn, const char *name, void *rock)
{
    struct former *f = rock;
    int r = mboxlist_former_remove(txn, f->uniqueid);

    (void)name;
    if (!r) f->counts->expired++;
    return r;
}

/* Tombstones of identities whose names others have, or nobody. */
static int expire_former(const char *name, const char *uniqueid, void *rock)
{
    struct former *f = rock;
    mbentry_t *entry = mbentry_new(name);
    mbname_t *mbname = mbname_from_intname(name);
    int r = 0;

    f->uniqueid = uniqueid;
    if (mbname && in_scope(f->scope, entry, mbname) && !should_stop(f->scope) && !former_waits(f->tombstones, name, uniqueid))
        r = in_transaction(name, forget_identity, f);
    mbname_free(&mbname);
    mbentry_free(&entry);
    return r;
}

int expire_tombstones(const struct expire_scope *scope, time_t before, struct expire_counts *counts)
{
    struct tombstones t = { .before = before };
    struct collect collect = { .scope = scope, .want = is_old_tombstone, .rock = &t };
    expire_replicas_init(&t.replicas);
    int r = mboxlist_allmbox(NULL, collect_one, &collect, MBOXTREE_TOMBSTONES | MBOXTREE_DELETED);

    struct former former = { scope, counts, NULL, &t };

    if (!r) r = for_each(scope, &collect.names, remove_tombstone, counts, counts);
    strarray_fini(&collect.names);
    int fr = mboxlist_former_foreach(before, expire_former, &former);
    counts->kept += t.replicas.kept;
    expire_replicas_fini(&t.replicas);
    return r ? r : fr;
}

/* ---- conversations ---- */

struct conv_job {
    const struct expire_scope *scope;
    time_t before;
    struct expire_counts *counts;
};

static int expire_user_conversations(struct txn *txn, const char *name, void *rock)
{
    struct conv_job *job = rock;
    struct conversations_state *state = NULL;
    struct user_meta *meta = NULL;
    mbentry_t *inbox = NULL;
    int r = mboxlist_lookup(name, &inbox, txn);

    if (!r) r = user_meta_from_entry(inbox, &meta);
    if (!r) r = conversations_open_user(txn, meta, &state);
    if (!r && state) {
        say(job->scope, "Pruning conversations from db", user_meta_path(meta, "conversations"));
        job->counts->mailboxes++;
        r = conversations_prune(state, job->before, &job->counts->messages, &job->counts->expired);
    }
    user_meta_free(&meta);
    mbentry_free(&inbox);
    return r;
}

static bool is_inbox(const mbentry_t *entry, const mbname_t *mbname, void *rock)
{
    (void)entry;
    (void)rock;
    return mbname_is_inbox(mbname);
}

int expire_conversations(const struct expire_scope *scope, time_t before,
                         struct expire_counts *counts)
{
    struct conv_job job = { scope, before, counts };
    struct collect collect = { .scope = scope, .want = is_inbox };
    int r = mboxlist_allmbox(NULL, collect_one, &collect, 0);

    if (!r) r = for_each(scope, &collect.names, expire_user_conversations, &job, counts);
    strarray_fini(&collect.names);
    return r;
}

/* ---- subscriptions ---- */

struct sub_job {
    time_t before;
    struct expire_counts *counts;
};

static int expire_user_subscriptions(struct txn *txn, const char *name, void *rock)
{
    struct sub_job *job = rock;
    char *userid = mboxname_to_userid(name);
    int r = userid ? sub_history_expire(txn, userid, job->before, &job->counts->expired) : 0;

    free(userid);
    return r;
}

int expire_subscriptions(const struct expire_scope *scope, time_t before, struct expire_counts *counts)
{
    struct sub_job job = { before, counts };
    struct collect collect = { .scope = scope, .want = is_inbox };
    int r = mboxlist_allmbox(NULL, collect_one, &collect, 0);

    if (!r) r = for_each(scope, &collect.names, expire_user_subscriptions, &job, counts);
    strarray_fini(&collect.names);
    return r;
}
