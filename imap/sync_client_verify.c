/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_verify -- compare both ends after a run (sync_client --verify)
 *
 * Asks the replica anew and compares what an update makes equal: mailboxes by UNIQUEID with their
 * state, rights, annotations and checksums, quota limits, subscriptions, seen state, scripts.
 * Where checksums differ the records are fetched and the messages named; with X-RANGES what is stored is compared in any case, as
 * nobody adds up the checksums of records that changed by themselves. Nothing is changed on
 * either end. The owner's sync lock is held; changes by others while it runs are seen as differences.
 */
#include <config.h>

#include "sync_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mboxname.h"
#include "namelock.h"
#include "quota.h"
#include "sync_client_full.h"
#include "sync_client_lag.h"
#include "sync_quota.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- naming ---- */

void sync_verify_report(struct sync_client *sc, const char *text)
{
    if (!sc->proxy) printf("DIFFERENCE %s\n", text);
    if (sc->log || sc->proxy) syslog(LOG_NOTICE, "SYNCNOTICE: difference left: %s", text);
    sc->differences++;
}

static void differs(struct sync_client *sc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void differs(struct sync_client *sc, const char *fmt, ...)
{
    struct buf text = BUF_INITIALIZER;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    if (sc->held)
        strarray_append(sc->held, buf_cstring(&text));
    else
        sync_verify_report(sc, buf_cstring(&text));
    buf_free(&text);
}

/* Differences so far, also those that are held. */
static uint64_t told(const struct sync_client *sc)
{
    return sc->differences + (sc->held ? (uint64_t)strarray_size(sc->held) : 0);
}

/* ---- records ---- */

static bool is_alive(const struct sync_record *rec)
{
    return rec && !(rec->rec.internal_flags & FLAG_INTERNAL_EXPUNGED);
}

static int record_step(struct full *full, struct full_decision d, struct sync_record *ours,
                       struct sync_record *theirs)
{
    uint32_t uid = ours ? ours->rec.uid : theirs->rec.uid;
    const char *what = NULL;

    if (full->alike) return 0;
    if (is_alive(ours) && !is_alive(theirs))
        what = theirs ? "expunged on the replica" : "only here";
    else if (!is_alive(ours) && is_alive(theirs))
        what = ours ? "expunged here" : "only on the replica";
    else if (is_alive(ours) && !message_guid_equal(&ours->rec.guid, &theirs->rec.guid))
        what = "another message";
    else if (is_alive(ours) && !full_same_record(ours, theirs))
        what = "flags, dates, modseq or annotations";
    if (what) differs(full->sc, "%s: uid %u: %s", full->name, uid, what);
    if (what) sync_lag_record(full->sc->lag, ours, theirs);
    return 0;
}

/* theirname: it may have another name there. */
static int verify_records(struct sync_client *sc, const char *name, const char *theirname, full_step_fn *step)
{
    struct full full;

    full_init(&full, sc, name, NULL);
    full.theirname = theirname;
    full.anyhow = true;
    int r = full_get_remote(&full);
    if (!r) r = mailbox_open_irl(name, &full.mailbox);
    if (!r) r = full_walk(&full, step);
    mailbox_close(&full.mailbox);
    full_fini(&full);
    return r;
}

static int kept_step(struct full *full, struct full_decision d, struct sync_record *ours,
                     struct sync_record *theirs)
{
    (void)d;
    if (full->alike || !is_alive(ours)) return 0;
    if (!theirs)
        differs(full->sc, "%s: uid %u: only here", full->name, ours->rec.uid);
    else if (!message_guid_equal(&ours->rec.guid, &theirs->rec.guid))
        differs(full->sc, "%s: uid %u: another message", full->name, ours->rec.uid);
    return 0;
}

/* ---- one mailbox ---- */

struct naming {
    struct sync_client *sc;
    const char *name;
    bool unnumbered; /* a field differs that is part of the mailbox and has no modseq of its own */
};

/* What has a modseq, follows from the records, or is no more than how far somebody has read. */
static bool is_numbered(const char *field)
{
    static const char *const fields[] = { "LAST_UID", "HIGHESTMODSEQ", "RECENTUID", "RECENTTIME", "POP3_LAST_LOGIN",
                                          "FOLDERMODSEQ", "RACLMODSEQ", "XCONVMODSEQ", "ACL", "MBOXTYPE" };

    for (size_t i = 0; i < array_size(fields); i++)
        if (!strcmp(field, fields[i])) return true;
    return false;
}

static void field_differs(const char *field, const char *ours, const char *theirs, void *rock)
{
    struct naming *n = rock;

    n->unnumbered |= !is_numbered(field);
    if (*ours || *theirs)
        differs(n->sc, "%s: %s: here <%s>, on the replica <%s>", n->name, field, ours, theirs);
    else
        differs(n->sc, "%s: %s", n->name, field);
}

/* A mailbox that vanished meanwhile is no difference. */
static int read_local(struct sync_client *sc, const mbentry_t *mbentry, struct sync_folder *local)
{
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_irl(mbentry->name, &mailbox);

    if (!r) r = sync_folder_read(mailbox, local);
    if (!r) sc->compared += 1 + mailbox_num_records(mailbox);
    mailbox_close(&mailbox);
    return r;
}

/* What a change of any record changes. */
static char *state_text(const struct sync_folder *f)
{
    return xasprintf("%u %u %" PRIu64 " %u %u", f->uidvalidity, f->last_uid, f->highestmodseq, f->crc_basic, f->crc_annot);
}

static bool is_known(const struct sync_client *sc, const struct sync_folder *local)
{
    char *now = sc->known ? state_text(local) : NULL;
    bool known = now && !strcmpnull(hash_lookup(local->uniqueid, sc->known), now);

    free(now);
    return known;
}

static void note_known(struct sync_client *sc, const struct sync_folder *local)
{
    if (!sc->known) return;
    free(hash_del(local->uniqueid, sc->known));
    hash_insert(local->uniqueid, state_text(local), sc->known);
}

/* Both ends are in the same state; what a disk has changed is in no checksum. */
static int verify_stored(struct sync_client *sc, const struct sync_folder *local, const struct sync_folder *remote)
{
    uint64_t before = told(sc);

    if (!backend_has(sc->backend, BACKEND_CAPA_RANGES) || is_known(sc, local)) return 0;
    int r = verify_records(sc, local->name, remote->name, record_step);
    if (!r && told(sc) == before) note_known(sc, local);
    return r;
}

static int verify_state(struct sync_client *sc, const mbentry_t *mbentry,
                        const struct sync_folder *remote)
{
    struct sync_folder local = { 0 };
    struct naming naming = { sc, mbentry->name, false };
    int r = read_local(sc, mbentry, &local);

    if (r == IMAP_MAILBOX_NONEXISTENT) return 0;
    if (r) return r;
    sync_folder_same(&local, remote, field_differs, &naming);
    if (!sync_folder_same_crcs(&local, remote)) {
        differs(sc, "%s: checksums: here <%u %u>, on the replica <%u %u>", mbentry->name,
                local.crc_basic, local.crc_annot, remote->crc_basic, remote->crc_annot);
        r = verify_records(sc, mbentry->name, remote->name, record_step);
    }
    else {
        r = verify_stored(sc, &local, remote);
    }
    if (!r) sync_lag_state(sc->lag, &local, remote, naming.unnumbered);
    sync_folder_fini(&local);
    return r;
}

static int verify_mailbox(struct sync_client *sc, const mbentry_t *mbentry,
                          struct sync_remote *remote)
{
    const char *name = mbentry->name;

    sync_lag_begin(sc->lag, mbentry);
    if (!remote) {
        differs(sc, "%s: not on the replica", name);
        sync_lag_absent(sc->lag, mbentry);
        return 0;
    }
    const struct sync_folder *f = &remote->folder;
    const char *partition = sync_target_partition(sc, mbentry);
    remote->mark = true;
    if (strcmp(f->name, name) != 0) {
        differs(sc, "%s: called %s on the replica", name, f->name);
        sync_lag_named(sc->lag, mbentry);
        if (!sc->lag) return 0;
    }
    if (!f->partition || strcmp(f->partition, partition) != 0)
        differs(sc, "%s: PARTITION: here <%s>, on the replica <%s>", name, partition,
                f->partition ? f->partition : "");
    return verify_state(sc, mbentry, f);
}

/* One that cannot be compared does not keep the others back; the first error is the result. */
static int verify_folders(struct sync_client *sc, const ptrarray_t *entries,
                          struct sync_state *state)
{
    int first = 0;

    for (int i = 0; i < ptrarray_size(entries) && !sc->broken; i++) {
        const mbentry_t *mbentry = ptrarray_nth(entries, i);
        if (mbentry->mbtype & MBTYPE_INTERMEDIATE) continue;
        int r = verify_mailbox(sc, mbentry, sync_state_find(state, mbentry->uniqueid));
        if (r) fprintf(stderr, "%s: cannot be compared: %s\n", mbentry->name, error_message(r));
        if (r && !first) first = r;
    }
    for (int i = 0; i < ptrarray_size(&state->folders) && !sc->broken; i++) {
        const struct sync_remote *remote = ptrarray_nth(&state->folders, i);
        if (remote->mark || !sync_folder_is_plain(&remote->folder)) continue;
        differs(sc, "%s: only on the replica", remote->folder.name);
        sync_lag_deleted(sc->lag, &remote->folder);
    }
    return first;
}

/* ---- quota ---- */

static const struct quota *find_root(const ptrarray_t *quotas, const char *root)
{
    for (int i = 0; i < ptrarray_size(quotas); i++) {
        const struct quota *q = ptrarray_nth(quotas, i);
        if (!strcmp(q->root, root)) return q;
    }
    return NULL;
}

static int verify_root(struct sync_client *sc, const char *root, const struct quota *remote)
{
    struct quota q;
    int r = quota_read(root, NULL, &q);

    if (r == IMAP_QUOTAROOT_NONEXISTENT) {
        if (remote) differs(sc, "quota %s: only on the replica", root);
        r = 0;
    }
    else if (!r && !remote) {
        differs(sc, "quota %s: not on the replica", root);
    }
    else if (!r && !sync_quota_same_limits(&q, remote)) {
        differs(sc, "quota %s: limits", root);
    }
    quota_free(&q);
    return r;
}

static int verify_quotas(struct sync_client *sc, const ptrarray_t *entries,
                         const ptrarray_t *remote)
{
    strarray_t roots = STRARRAY_INITIALIZER;
    int r = 0;

    sync_local_roots(entries, &roots);
    for (int i = 0; i < ptrarray_size(remote); i++) {
        const struct quota *q = ptrarray_nth(remote, i);
        strarray_add(&roots, q->root);
    }
    for (int i = 0; i < strarray_size(&roots) && !r; i++)
        r = verify_root(sc, strarray_nth(&roots, i), find_root(remote, strarray_nth(&roots, i)));
    strarray_fini(&roots);
    return r;
}

/* ---- subscriptions, seen state, scripts ---- */

static int verify_subs(struct sync_client *sc, const char *userid, const strarray_t *remote)
{
    strarray_t local = STRARRAY_INITIALIZER;
    int r = sub_list(userid, &local);

    for (int i = 0; i < strarray_size(&local) && !r; i++)
        if (!strarray_contains(remote, strarray_nth(&local, i)))
            differs(sc, "subscription %s %s: only here", userid, strarray_nth(&local, i));
    for (int i = 0; i < strarray_size(remote) && !r; i++)
        if (!strarray_contains(&local, strarray_nth(remote, i)))
            differs(sc, "subscription %s %s: only on the replica", userid, strarray_nth(remote, i));
    strarray_fini(&local);
    return r;
}

static int verify_seen(struct sync_client *sc, const char *userid, const ptrarray_t *remote)
{
    ptrarray_t local = PTRARRAY_INITIALIZER;
    int r = sync_local_seen(userid, &local);

    for (int i = 0; i < ptrarray_size(&local) && !r; i++) {
        const struct sync_remote_seen *seen = ptrarray_nth(&local, i);
        const struct sync_remote_seen *other = sync_seen_find(remote, seen->uniqueid);
        if (!other || !sync_seen_equal(seen, other))
            differs(sc, "seen %s %s: %s", userid, seen->uniqueid, other ? "differs" : "only here");
    }
    for (int i = 0; i < ptrarray_size(remote) && !r; i++) {
        const struct sync_remote_seen *seen = ptrarray_nth(remote, i);
        if (!sync_seen_find(&local, seen->uniqueid))
            differs(sc, "seen %s %s: only on the replica", userid, seen->uniqueid);
    }
    sync_seen_fini(&local);
    return r;
}

static const struct sync_sieve *find_script(const struct sync_sieve_list *list,
                                            const struct sync_sieve *script)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].filename, script->filename) && list->v[i].active == script->active)
            return &list->v[i];
    return NULL;
}

static int verify_sieve(struct sync_client *sc, const char *userid,
                        const struct sync_sieve_list *remote)
{
    struct sync_sieve_list local = SYNC_SIEVE_LIST_INITIALIZER;
    int r = sync_sieve_read(userid, &local);

    for (size_t i = 0; i < local.n && !r; i++) {
        const struct sync_sieve *script = &local.v[i];
        const struct sync_sieve *other = find_script(remote, script);
        if (!other || (!script->active && !message_guid_equal(&other->guid, &script->guid)))
            differs(sc, "script %s %s: %s", userid, script->filename,
                    other ? "differs" : "only here");
    }
    for (size_t i = 0; i < remote->n && !r; i++)
        if (!find_script(&local, &remote->v[i]))
            differs(sc, "script %s %s: only on the replica", userid, remote->v[i].filename);
    sync_sieve_list_fini(&local);
    return r;
}

/* ---- the whole ---- */

static int verify_meta(struct sync_client *sc, const char *userid, const struct sync_state *state)
{
    int r = verify_subs(sc, userid, &state->subs);

    if (!r && (!sc->sieve_mailbox || sc->sieve_files)) r = verify_sieve(sc, userid, &state->scripts);
    if (!r) r = verify_seen(sc, userid, &state->seen);
    return r;
}

int sync_verify_user(struct sync_client *sc, const char *userid)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    struct namelock *lock = NULL;
    int r = sync_client_lock(sc, userid, &lock);

    if (!r) r = sync_state_get(sc, "USER", userid, &state);
    if (!r) r = sync_local_user(sc, userid, &entries);
    if (!r) {
        int fr = verify_folders(sc, &entries, &state);
        r = verify_quotas(sc, &entries, &state.quotas);
        if (!r) r = verify_meta(sc, userid, &state);
        if (fr) r = fr;
    }
    sync_client_unlock(sc, &lock);
    sync_local_fini(&entries);
    sync_state_fini(&state);
    return r;
}

/* A change there gives the mailbox a newer modseq. */
static void verify_kept_acl(struct sync_client *sc, const struct sync_folder *local, const struct sync_folder *remote)
{
    if (!strcmpnull(local->acl, remote->acl) || remote->foldermodseq > local->foldermodseq ||
        remote->highestmodseq > local->highestmodseq)
        return;
    differs(sc, "%s: ACL: here <%s>, on the replica <%s>", local->name, local->acl ? local->acl : "", remote->acl ? remote->acl : "");
}

static int verify_kept_seen(struct sync_client *sc, const char *userid, const ptrarray_t *remote)
{
    ptrarray_t local = PTRARRAY_INITIALIZER;
    int r = sync_local_seen(userid, &local);

    for (int i = 0; i < ptrarray_size(&local) && !r; i++) {
        const struct sync_remote_seen *seen = ptrarray_nth(&local, i), *other = sync_seen_find(remote, seen->uniqueid);
        if (!other)
            differs(sc, "seen %s %s: only here", userid, seen->uniqueid);
        else if (!sync_seen_equal(seen, other) && other->sd.lastchange <= seen->sd.lastchange && other->sd.lastread <= seen->sd.lastread)
            differs(sc, "seen %s %s: differs", userid, seen->uniqueid);
    }
    sync_seen_fini(&local);
    return r;
}

static int verify_kept_meta(struct sync_client *sc, const char *userid, const struct sync_state *state)
{
    strarray_t lost = STRARRAY_INITIALIZER;
    int r = sync_lost_subs(sc, userid, &state->subs, &lost);

    for (int i = 0; i < strarray_size(&lost); i++) differs(sc, "subscription %s %s: only here", userid, strarray_nth(&lost, i));
    strarray_fini(&lost);
    return r ? r : verify_kept_seen(sc, userid, &state->seen);
}

static int verify_kept_mailbox(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_remote *remote, bool shared)
{
    struct sync_folder local = { 0 };
    int r = 0;

    if (remote)
        r = read_local(sc, mbentry, &local);
    else if (!mboxname_isindeletedtree(mbentry->name)) /* those expire */
        differs(sc, "%s: not on the replica", mbentry->name);
    if (remote && !r) {
        if (local.uidvalidity != remote->folder.uidvalidity) differs(sc, "%s: UIDVALIDITY", mbentry->name);
        if (local.last_uid > remote->folder.last_uid) differs(sc, "%s: LAST_UID", mbentry->name);
        if (shared) verify_kept_acl(sc, &local, &remote->folder);
        r = verify_records(sc, mbentry->name, remote->folder.name, kept_step);
    }
    sync_folder_fini(&local);
    return r;
}

int sync_verify_kept(struct sync_client *sc, const char *userid, bool shared)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = sync_state_get(sc, "USER", userid, &state);

    if (!r) r = sync_local_user(sc, userid, &entries);
    for (int i = 0; !r && i < ptrarray_size(&entries); i++) {
        const mbentry_t *mbentry = ptrarray_nth(&entries, i);
        if (!(mbentry->mbtype & MBTYPE_INTERMEDIATE))
            r = verify_kept_mailbox(sc, mbentry, sync_state_find(&state, mbentry->uniqueid), shared);
    }
    if (!r && shared) r = verify_kept_meta(sc, userid, &state);
    sync_local_fini(&entries);
    sync_state_fini(&state);
    return r;
}

int sync_verify_meta(struct sync_client *sc, const char *userid)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    int r = sync_state_get(sc, "META", userid, &state);

    if (!r) r = verify_meta(sc, userid, &state);
    sync_client_let_go(sc);
    sync_state_fini(&state);
    return r;
}

int sync_verify_mailboxes(struct sync_client *sc, const strarray_t *names)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    ptrarray_t entries = PTRARRAY_INITIALIZER, locks = PTRARRAY_INITIALIZER;
    int r = sync_lock_owners(sc, names, &locks);

    if (!r) r = sync_state_getlist(sc, "MAILBOXES", names, &state);
    if (!r) r = sync_local_named(sc, names, &entries);
    if (!r) r = verify_folders(sc, &entries, &state);
    sync_unlock_owners(sc, &locks);
    sync_local_fini(&entries);
    sync_state_fini(&state);
    return r;
}
