/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_mailbox -- bring one mailbox up to date (handbook 03 §10.5)
 *
 * A try takes one snapshot under the mailbox's lock: its state, the files to upload, the
 * text of APPLY MAILBOX. Then the lock is gone and the network begins: commands are posted, so that of several mailboxes the answers
 * are waited for together. What the replica does not accept is tried again, by itself, with recalculated checksums, and at last after a full
 * comparison of both ends.
 */
#include <config.h>

#include "sync_client.h"
#include "sync_client_together.h"

#include <stdlib.h>
#include <string.h>

#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "quota.h"
#include "sync_crc.h"
#include "sync_folder_format.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MESSAGE_BATCH 1024 /* files in one command, as 3.6.1 */
#define MAX_LOOKS 5         /* at a mailbox that changes all the time */

/* ---- the snapshot ---- */

struct upload {
    struct message_guid guid;
    uint32_t uid;
    uint64_t size;
    char *path;
};

struct snapshot {
    struct sync_client *sc;
    const mbentry_t *mbentry;
    const struct sync_folder *remote; /* NULL: none */
    struct sync_sent *sent;
    bool usesince;     /* the first try */
    bool always;       /* something is to be sent in any case; of remote there are no more than the numbers */
    const char *there; /* its name on the replica; NULL: as here */
    const char *replaces;

    struct sync_folder local;
    struct upload *files;
    size_t nfiles;
    struct buf text; /* of APPLY MAILBOX; empty: nothing to send */
    uint64_t lsn;

    sync_client_done *done; /* of the whole */
    void *rock;
    int r; /* the first error of what was posted for it */
};

static void snapshot_reset(struct snapshot *snap)
{
    for (size_t i = 0; i < snap->nfiles; i++) free(snap->files[i].path);
    free(snap->files);
    snap->files = NULL;
    snap->nfiles = 0;
    buf_free(&snap->text);
    sync_folder_fini(&snap->local);
}

static void snapshot_free(struct snapshot *snap)
{
    snapshot_reset(snap);
    free(snap);
}

static int upload_cb(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct snapshot *snap = rock;
    const char *partition = sync_target_partition(snap->sc, snap->mbentry);

    if (sync_sent_has(snap->sent, partition, &rec->guid)) return 0;
    if (!(snap->nfiles & (snap->nfiles - 1)))
        snap->files = xrealloc(snap->files,
                               (snap->nfiles ? 2 * snap->nfiles : 1) * sizeof(*snap->files));
    snap->files[snap->nfiles++] = (struct upload){
        rec->guid, rec->uid, rec->size, xstrdup(mailbox_record_fname(mailbox, rec))
    };
    sync_sent_add(snap->sent, partition, &rec->guid);
    return 0;
}

static int format_text(struct snapshot *snap, struct mailbox *mailbox)
{
    const struct sync_folder *remote = snap->remote;
    struct sync_format format = {
        .name = snap->sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX",
        .mailbox = mailbox,
        .since = remote ? remote->highestmodseq : 0,
        .since_uid = remote ? remote->last_uid : 0,
        .isclient = true,
    };

    if (snap->usesince && remote) {
        snap->local.since_modseq = remote->highestmodseq;
        snap->local.since_crc = remote->crc_basic;
        snap->local.since_crc_annot = remote->crc_annot;
    }
    if (snap->sc->partition) {
        free(snap->local.partition);
        snap->local.partition = xstrdup(snap->sc->partition);
    }
    if (snap->there) {
        free(snap->local.name);
        snap->local.name = xstrdup(snap->there);
    }
    snap->local.replaces = xstrdupnull(snap->replaces);
    return sync_folder_format(&snap->local, &format, &snap->text);
}

/* IMAP_AGAIN: a full update is needed. */
static int snapshot_take(struct snapshot *snap, struct mailbox *mailbox)
{
    const struct sync_folder *remote = snap->remote;
    modseq_t deleted = mailbox_index_header(mailbox)->deletedmodseq;
    int r = 0;

    if (strcmp(mailbox_uniqueid(mailbox), snap->mbentry->uniqueid) != 0 ||
        strcmp(mailbox_partition(mailbox), snap->mbentry->partition) != 0)
        return IMAP_MAILBOX_RENAMED;
    if (remote && snap->usesince && deleted > remote->highestmodseq) {
        syslog(LOG_NOTICE, "inefficient replication (%llu > %llu) %s", (unsigned long long)deleted,
               (unsigned long long)remote->highestmodseq, mailbox_name(mailbox));
        return IMAP_AGAIN;
    }
    r = sync_folder_read(mailbox, &snap->local);
    if (r) return r;
    if (!snap->always && remote && sync_folder_same(&snap->local, remote, NULL, NULL) &&
        sync_folder_same_crcs(&snap->local, remote))
        return 0;

    /* whatever its HIGHESTMODSEQ: a 3.6.1 that was killed when it had made the mailbox has ours, and no record yet */
    r = mailbox_foreach(mailbox, remote ? remote->last_uid : 0, 0, MAILBOX_ITER_SKIP_UNLINKED | MAILBOX_ITER_STRICT, upload_cb, snap);
    if (!r) r = format_text(snap, mailbox);
    snap->lsn = mailbox_seen_lsn(mailbox);
    return r;
}

/* ---- sending it ---- */

static void files_sent(struct sync_client *sc, int r, void *rock)
{
    struct snapshot *snap = rock;

    (void)sc;
    if (!snap->r) snap->r = r;
}

static void post_files(struct snapshot *snap)
{
    const char *partition = sync_target_partition(snap->sc, snap->mbentry);

    for (size_t from = 0; from < snap->nfiles && !snap->r; from += MESSAGE_BATCH) {
        struct dlist *list = dlist_newlist(NULL, "MESSAGE");
        for (size_t i = from; i < snap->nfiles && i < from + MESSAGE_BATCH; i++) {
            const struct upload *file = &snap->files[i];
            dlist_setfile(list, NULL, partition, &file->guid, file->size, file->path);
            snap->sc->messages++;
            snap->sc->octets += file->size;
        }
        sync_client_post(snap->sc, "APPLY", list, files_sent, snap);
    }
}

/* What the replica did not get because its file here is damaged is told with mailbox and UID. */
static void name_damaged(const struct snapshot *snap)
{
    struct mailbox *mailbox = NULL;
    struct index_record rec;
    struct buf bytes = BUF_INITIALIZER;

    if (mailbox_open_irl(snap->mbentry->name, &mailbox)) return;
    for (size_t i = 0; i < snap->nfiles; i++) {
        if (mailbox_find_uid(mailbox, snap->files[i].uid, &rec) ||
            (rec.internal_flags & FLAG_INTERNAL_UNLINKED) ||
            mailbox_map_bytes(mailbox, &rec, &bytes))
            continue;
        (void)mailbox_verify_bytes(mailbox, &rec, &bytes);
        buf_free(&bytes);
    }
    mailbox_close(&mailbox);
}

/* The end of a snapshot: done is told, and it is freed. */
static void settled(struct sync_client *sc, int r, void *rock)
{
    struct snapshot *snap = rock;

    if (snap->r) r = snap->r;
    if (!r && buf_len(&snap->text)) sc->mailboxes++;
    if (r == IMAP_SYNC_CHECKSUM) name_damaged(snap);
    if (!r && snap->local.uniqueid && !snap->there)
        sync_known_note(sc, &snap->local);
    else
        sync_known_forget(sc, snap->mbentry->uniqueid);
    snap->done(sc, r, snap->rock);
    snapshot_free(snap);
}

/* r: of taking it. */
static void snapshot_post(struct snapshot *snap, int r)
{
    struct sync_client *sc = snap->sc;

    if (!r && buf_len(&snap->text)) {
        snap->r = txn_wait(snap->lsn);
        if (!snap->r) post_files(snap);
        if (!snap->r) {
            sync_client_posttext(sc, "APPLY", sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX", &snap->text, settled, snap);
            return;
        }
        sync_client_settle(sc); /* files that may be underway are told to the snapshot */
    }
    settled(sc, r, snap);
}

static void note_result(struct sync_client *sc, int r, void *rock)
{
    (void)sc;
    *(int *)rock = r;
}

/* The same, and wait. */
static int snapshot_send(struct snapshot *snap, int r)
{
    struct sync_client *sc = snap->sc;
    int result = 0;

    snap->done = note_result;
    snap->rock = &result;
    snapshot_post(snap, r);
    sync_client_settle(sc);
    return result;
}

/* ---- what the replica knows better ---- */

static int raise_foldermodseq(struct txn *txn, const char *name, modseq_t modseq)
{
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup(name, &entry, txn);

    if (!r && entry->foldermodseq < modseq) {
        entry->foldermodseq = modseq;
        r = mboxlist_update_entry(txn, name, entry);
    }
    mbentry_free(&entry);
    return r;
}

/* As it is now. The tree of deleted mailboxes is the server's own, so who went there is gone: IMAP_MAILBOX_NONEXISTENT. */
static int look_up_now(const mbentry_t *mbentry, mbentry_t **nowp)
{
    int r = mboxlist_lookup_by_uniqueid(mbentry->uniqueid, nowp, false, NULL);

    if (!r && mboxname_isdeletedmailbox((*nowp)->name, NULL) && !mboxname_isdeletedmailbox(mbentry->name, NULL)) r = IMAP_MAILBOX_NONEXISTENT;
    return r;
}

/* Nobody has that name any more: 0 if the mailbox is gone, so nothing is to be done, IMAP_MAILBOX_RENAMED if it lives on. */
static int who_left(const mbentry_t *mbentry)
{
    mbentry_t *now = NULL;
    int r = look_up_now(mbentry, &now);

    mbentry_free(&now);
    return !r ? IMAP_MAILBOX_RENAMED : r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

/* Higher numbers of the replica are taken over before the states are compared. */
static int learn_numbers(const mbentry_t *mbentry, const struct sync_folder *remote)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;
    int r = txn_begin(&txn);

    if (!r) r = mailbox_open_iwl(txn, mbentry->name, &mailbox);
    if (!r && strcmpnull(mailbox_uniqueid(mailbox), mbentry->uniqueid)) r = IMAP_MAILBOX_RENAMED;
    if (!r && remote->uidvalidity > mailbox_index_header(mailbox)->uidvalidity) {
        struct mailbox_header_update u = { .set_uidvalidity = true,
                                           .uidvalidity = remote->uidvalidity };
        syslog(LOG_NOTICE, "SYNCNOTICE: uidvalidity higher on replica, updating: mailbox=<%s>",
               mbentry->name);
        r = mailbox_update_header(mailbox, &u);
    }
    if (!r) r = raise_foldermodseq(txn, mbentry->name, remote->foldermodseq);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static int recalculate(const char *name)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;
    int r = txn_begin(&txn);

    if (!r) r = mailbox_open_iwl(txn, name, &mailbox);
    if (!r) r = mailbox_recalc_counters(mailbox);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* ---- one try ---- */

static bool only_crcs_differ(const struct snapshot *snap)
{
    return snap->remote && sync_folder_same(&snap->local, snap->remote, NULL, NULL) &&
           !sync_folder_same_crcs(&snap->local, snap->remote);
}

static int take(struct snapshot *snap)
{
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_irl(snap->mbentry->name, &mailbox);

    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? who_left(snap->mbentry) : r;
    r = sync_folder_check_supported(mailbox);
    if (r)
        syslog(LOG_ERR, "SYNCERROR: mailbox cannot be replicated, reconstruct it: %s",
               snap->mbentry->name);
    else
        r = snapshot_take(snap, mailbox);
    mailbox_close(&mailbox);
    return r;
}

static int prepare(struct snapshot *snap)
{
    const mbentry_t *mbentry = snap->mbentry;
    const struct sync_folder *remote = snap->remote;
    bool first = snap->usesince;
    int r = 0;

    if (first && remote &&
        (remote->uidvalidity > mbentry->uidvalidity ||
         remote->foldermodseq > mbentry->foldermodseq))
        r = learn_numbers(mbentry, remote);
    if (!r && !first) r = recalculate(mbentry->name);
    if (r == IMAP_MAILBOX_NONEXISTENT) return who_left(mbentry);
    if (!r) r = take(snap);
    if (r || !first || !buf_len(&snap->text) || !only_crcs_differ(snap)) return r;
    /* everything else agrees: our own sums may be wrong */
    snapshot_reset(snap);
    r = recalculate(mbentry->name);
    return r ? r : take(snap);
}

static struct snapshot *snapshot_new(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_folder *remote,
                                     struct sync_sent *sent)
{
    struct snapshot *snap = xzmalloc(sizeof(*snap));

    *snap = (struct snapshot){ .sc = sc, .mbentry = mbentry, .remote = remote, .sent = sent };
    return snap;
}

int sync_mailbox_snapshot(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_known *known,
                          struct sync_sent *sent, struct sync_snapshot *out)
{
    struct sync_folder remote = {
        .last_uid = known->last_uid,
        .highestmodseq = known->highestmodseq,
        .crc_basic = known->crc_basic,
        .crc_annot = known->crc_annot,
    };
    struct snapshot *snap = snapshot_new(sc, mbentry, &remote, sent);

    snap->usesince = snap->always = true;
    int r = take(snap);
    if (!r && !buf_len(&snap->text)) r = IMAP_MAILBOX_NONEXISTENT;
    for (size_t i = 0; i < snap->nfiles && !r; i++) {
        const struct upload *file = &snap->files[i];
        dlist_setfile(out->files, NULL, sync_target_partition(sc, mbentry), &file->guid, file->size, file->path);
        out->nfiles++;
        out->octets += file->size;
    }
    if (!r) {
        buf_putc(&out->text, ' ');
        buf_appendmap(&out->text, snap->text.s + strlen("MAILBOX "), buf_len(&snap->text) - strlen("MAILBOX "));
        if (snap->lsn > out->lsn) out->lsn = snap->lsn;
        out->state = (struct sync_known){ snap->local.last_uid, snap->local.crc_basic, snap->local.crc_annot,
                                          snap->local.highestmodseq };
    }
    snapshot_free(snap);
    return r;
}

/* The state of the replica anew, then once more without the SINCE keys. there: its name on the replica. */
static int try_again(struct sync_client *sc, const mbentry_t *mbentry, const char *there, struct sync_sent *sent)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;

    strarray_append(&names, there);
    sync_client_say(sc, "MAILBOXES %s", there);
    int r = sync_state_getlist(sc, "MAILBOXES", &names, &state);
    if (!r) {
        const struct sync_remote *remote = sync_state_find(&state, mbentry->uniqueid);
        sync_client_say(sc, "%s %s", sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX", mbentry->name);
        struct snapshot *snap = snapshot_new(sc, mbentry, remote ? &remote->folder : NULL, sent);
        if (strcmp(there, mbentry->name) != 0) snap->there = there;
        r = snapshot_send(snap, prepare(snap));
    }
    strarray_fini(&names);
    sync_state_fini(&state);
    return r;
}

void sync_do_mailbox(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_folder *remote,
                     struct sync_sent *sent, sync_client_done *done, void *rock)
{
    struct snapshot *snap = snapshot_new(sc, mbentry, remote, sent);

    sync_client_say(sc, "%s %s", sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX", mbentry->name);
    snap->usesince = true;
    snap->done = done;
    snap->rock = rock;
    snapshot_post(snap, prepare(snap));
}

static bool is_moving(int r)
{
    return r == IMAP_SYNC_CHANGED || r == IMAP_MAILBOX_RENAMED;
}

bool sync_mailbox_is_unsettled(int r)
{
    return r == IMAP_AGAIN || r == IMAP_SYNC_CHECKSUM || is_moving(r);
}

/* ---- it has got another name meanwhile ---- */

static void ask_for(strarray_t *names, const char *name)
{
    char *parent = mboxname_parent(name);

    strarray_append(names, name);
    if (parent) strarray_append(names, parent);
    free(parent);
}

static bool has_place(const struct sync_state *state, const char *name)
{
    char *parent = mboxname_parent(name);
    bool there = mboxname_isusermailbox(name, true) || !parent || sync_state_byname(state, parent);

    free(parent);
    return there && !sync_state_byname(state, name);
}

/*
 * The replica does not have it at all. It gets the name that it has now, if the replica has its parent; a 3.6.1 would invent one, with a UNIQUEID of its
 * own. Where the whole tree was renamed the parent has the name yet that was listed, and so does it; the next run renames both.
 */
static int choose_name(struct sync_client *sc, const mbentry_t *listed, const mbentry_t *now, char **therep)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    strarray_t names = STRARRAY_INITIALIZER;

    if (!strcmp(listed->name, now->name)) return 0;
    ask_for(&names, now->name);
    ask_for(&names, listed->name);
    int r = sync_state_getlist(sc, "MAILBOXES", &names, &state);
    if (!r && !has_place(&state, now->name) && has_place(&state, listed->name)) *therep = xstrdup(listed->name);
    strarray_fini(&names);
    sync_state_fini(&state);
    return r;
}

/* As it is now at both ends. The replica's may have another name yet (*therep), and keeps it: what belongs into it goes there. */
static int send_now(struct sync_client *sc, const mbentry_t *listed, const mbentry_t *now, char **therep, struct sync_sent *sent)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    strarray_t ids = STRARRAY_INITIALIZER;

    xzfree(*therep);
    strarray_append(&ids, now->uniqueid);
    sync_client_say(sc, "%s %s", sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX", now->name);
    int r = sync_state_getlist(sc, "UNIQUEIDS", &ids, &state);
    const struct sync_remote *remote = r ? NULL : sync_state_find(&state, now->uniqueid);
    if (remote)
        *therep = xstrdup(remote->folder.name);
    else if (!r)
        r = choose_name(sc, listed, now, therep);
    if (!r) {
        struct snapshot *snap = snapshot_new(sc, now, remote ? &remote->folder : NULL, sent);
        snap->usesince = true;
        if (*therep && strcmp(*therep, now->name) != 0) snap->there = *therep;
        r = snapshot_send(snap, prepare(snap));
    }
    strarray_fini(&ids);
    sync_state_fini(&state);
    return r;
}

/*
 * Somebody changes it at one of the ends: its name here, or what the replica has. It is looked up by its UNIQUEID. One that belongs to another
 * user by now is left to a run at him.
 */
static int send_moving(struct sync_client *sc, const mbentry_t *mbentry, mbentry_t **nowp, char **therep, struct sync_sent *sent)
{
    mbentry_free(nowp);
    int r = look_up_now(mbentry, nowp);

    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
    if (!mboxname_same_userid(mbentry->name, (*nowp)->name)) return IMAP_MAILBOX_RENAMED;
    return send_now(sc, mbentry, *nowp, therep, sent);
}

/* there: its name on the replica. */
static int send_compared(struct sync_client *sc, const mbentry_t *mbentry, const char *there, int r, const struct sync_state *state,
                         struct sync_sent *sent)
{
    const char *name = mbentry->name;

    if (r == IMAP_SYNC_CHECKSUM) {
        syslog(LOG_NOTICE, "CRC failure on sync %s, recalculating counts and trying again", name);
        r = try_again(sc, mbentry, there, sent);
        if (r != IMAP_SYNC_CHECKSUM) return r;
        if (!sc->nocopyback)
            syslog(LOG_ERR, "CRC failure on sync for %s, trying full update", name);
    }
    if (sc->nocopyback) return IMAP_SYNC_CHECKSUM;
    sync_client_say(sc, "FULLMAILBOX %s", name);
    r = sync_do_full(sc, name, mbentry->uniqueid, there, state, sent);
    return r ? r : try_again(sc, mbentry, there, sent);
}

int sync_do_mailbox_again(struct sync_client *sc, const mbentry_t *mbentry, int r, const struct sync_state *state, struct sync_sent *sent)
{
    mbentry_t *now = NULL;
    char *there = NULL;

    for (int look = 0; look < MAX_LOOKS && sync_mailbox_is_unsettled(r) && !sc->broken; look++) {
        bool moving = is_moving(r);
        if (moving) r = send_moving(sc, mbentry, &now, &there, sent);
        if (moving && is_moving(r)) continue;
        if (!sync_mailbox_is_unsettled(r)) break;
        const mbentry_t *ours = now ? now : mbentry;
        r = send_compared(sc, ours, there ? there : ours->name, r, state, sent);
        if (!is_moving(r)) break; /* nothing more can be done about it */
    }
    mbentry_free(&now);
    free(there);
    return r;
}

int sync_do_mailbox_as(struct sync_client *sc, const mbentry_t *mbentry, const char *name,
                       const char *replaces, struct sync_sent *sent)
{
    struct snapshot *snap = snapshot_new(sc, mbentry, NULL, sent);

    snap->there = name;
    snap->replaces = replaces;
    sync_client_say(sc, "%s %s%s%s", sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX", mbentry->name,
                    name ? " as " : " in the place of ", name ? name : replaces);
    return snapshot_send(snap, take(snap));
}

int sync_do_intermediate(struct sync_client *sc, const mbentry_t *mbentry)
{
    struct dlist *kl = dlist_newkvlist(NULL, sc->localonly ? "LOCAL_MAILBOX" : "MAILBOX");
    char type[MBTYPE_STRING_MAX];

    sync_client_say(sc, "%s %s", kl->name, mbentry->name);
    dlist_setatom(kl, "UNIQUEID", mbentry->uniqueid);
    dlist_setatom(kl, "MBOXNAME", mbentry->name);
    dlist_setatom(kl, "MBOXTYPE",
                  mbtype_to_string(mbentry->mbtype & ~(uint32_t)MBTYPE_LEGACY_DIRS, type));
    dlist_setnum64(kl, "HIGHESTMODSEQ", mbentry->foldermodseq);
    dlist_setnum64(kl, "CREATEDMODSEQ", mbentry->createdmodseq);
    dlist_setnum64(kl, "FOLDERMODSEQ", mbentry->foldermodseq);
    int r = sync_client_command(sc, "APPLY", kl, NULL, NULL);
    return sc->broken ? r : 0; /* as 3.6.1: a refusal does not matter */
}
