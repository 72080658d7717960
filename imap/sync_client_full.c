/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_full -- compare all records with those of the replica and repair ours (handbook 03 §11)
 *
 * The replica's list is put away as it comes; then the two lists are walked: once to learn which
 * messages must come from the replica, which are fetched with no lock held, and once
 * in a transaction that makes the changes. When the mailbox has changed in between so
 * that other messages are needed, it begins again. Afterwards an ordinary update brings
 * the replica in line.
 */
#include <config.h>

#include "sync_client_full.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "sync_client.h"
#include "sync_walk.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_ROUNDS 3

/* Message files that a replica may have lost in a mailbox; where more are missing, its disk is away. */
#define MAX_LOST 10

void full_init(struct full *full, struct sync_client *sc, const char *name, const char *uniqueid)
{
    *full = (struct full){ .sc = sc, .name = name, .uniqueid = uniqueid, .theirname = name, .theirid = uniqueid };
    sync_spool_init(&full->theirs);
    construct_hash_table(&full->lost, 16);
    bv_init(&full->copied);
}

void full_forget_remote(struct full *full)
{
    sync_folder_fini(&full->remote);
    sync_spool_fini(&full->theirs);
    sync_spool_init(&full->theirs);
    full->spool_error = 0;
    sync_ranges_fini(&full->ranges.listed);
    free(full->ranges.uniqueid);
    full->ranges = (struct full_ranges){ 0 };
    full->stale = false;
}

void full_fini(struct full *full)
{
    full_forget_remote(full);
    sync_spool_fini(&full->theirs);
    free_hash_table(&full->lost, NULL);
    bv_fini(&full->copied);
    buf_free(&full->said);
    free(full->wanted);
    free(full->actions);
    free(full->kuids);
}

void *full_grow(void *array, size_t n, size_t size)
{
    /* to powers of 2 */
    return n & (n - 1) ? array : xrealloc(array, (n ? 2 * n : 1) * size);
}

/* ---- the replica's list ---- */

/* One record, while the line is still coming. */
static void full_record(void *rock, struct dlist **itemp)
{
    struct full *full = rock;
    struct sync_record rec;

    if (full->spool_error) return;
    full->spool_error = sync_record_parse(*itemp, &rec);
    if (!full->spool_error) full->spool_error = sync_spool_add(&full->theirs, &rec);
    sync_record_fini(&rec);
}

static int full_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct full *full = rock;

    /* a second one would have its records among those of the first */
    if (strcmp((*dlp)->name, "MAILBOX") != 0 || full->remote.uniqueid) return IMAP_PROTOCOL_ERROR;
    int r = sync_folder_parse(*dlp, false, &full->remote);
    if (!r && !full->remote.records) r = IMAP_PROTOCOL_BAD_PARAMETERS;
    full->remote.records = NULL;
    if (!r) r = full->spool_error;
    return r ? r : sync_spool_end(&full->theirs);
}

void full_set_numbers(struct full *full)
{
    full->numbers.their_highestmodseq = full->remote.highestmodseq;
    full->numbers.their_last_uid = full->remote.last_uid;
    if (full->theirs.last_uid > full->remote.last_uid)
        full->numbers.their_last_uid = full->theirs.last_uid;
}

static int get_all(struct full *full)
{
    struct dlist_itemsink records = { "RECORD", full_record, full };
    int r = sync_client_itemcommand(full->sc, "GET", dlist_newatom(NULL, "FULLMAILBOX", full->theirname),
                                    &records, full_line, full);

    if (!r && !full->remote.uniqueid) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) full_set_numbers(full);
    return r;
}

static int check_theirs(const struct full *full)
{
    return full->theirid && strcmp(full->remote.uniqueid, full->theirid) != 0 ? IMAP_SYNC_CHANGED : 0;
}

int full_check_ours(const struct full *full, int r)
{
    return !r && full->uniqueid && strcmpnull(mailbox_uniqueid(full->mailbox), full->uniqueid) ? IMAP_MAILBOX_RENAMED : r;
}

int full_get_remote(struct full *full)
{
    /* all live messages of another mailbox come here, whatever we have */
    int r = full->numbers.absorb ? IMAP_AGAIN : full_get_ranges(full);

    if (r == IMAP_AGAIN) {
        full_forget_remote(full);
        r = get_all(full);
    }
    return r ? r : check_theirs(full);
}

/* ---- the walk ---- */

static struct full_decision decide(struct full *full, const struct sync_record *ours,
                                   const struct sync_record *theirs)
{
    full->alike = full->ranges.used && ours && !theirs && !sync_ranges_have(&full->ranges.listed, ours->rec.uid);
    if (full->alike) return full_decide_alike(full, ours);

    struct full_decision d = full_decide(&full->numbers, ours, theirs);

    if (d.theirs == FULL_THEIRS_COPYBACK && bv_isset(&full->copied, full->step.pos))
        d.theirs = FULL_THEIRS_EXPUNGE;
    return d;
}

int full_walk(struct full *full, full_step_fn *step)
{
    struct sync_mailbox_records have;
    struct sync_walk walk;
    const struct index_record *a, *b;
    int r = 0;

    full->numbers.our_last_uid = mailbox_index_header(full->mailbox)->last_uid;
    full->numbers.our_deletedmodseq = mailbox_index_header(full->mailbox)->deletedmodseq;
    sync_spool_open(&full->step, &full->theirs);
    sync_walk_init(&walk, sync_stream_mailbox(&have, full->mailbox),
                   sync_stream_spool(&full->step));
    while (!r && sync_walk_next(&walk, &a, &b) != SYNC_WALK_END) {
        struct sync_record ours;
        struct sync_record *theirs = b ? &full->step.rec : NULL;
        if (a) r = sync_record_read(full->mailbox, a, &ours);
        if (!r) r = step(full, decide(full, a ? &ours : NULL, theirs), a ? &ours : NULL, theirs);
        if (a) sync_record_fini(&ours);
    }
    sync_spool_close(&full->step);
    if (!r && walk.error)
        syslog(LOG_ERR, "SYNCERROR: records out of order or unreadable: mailbox=<%s> uid=<%u>",
               full->name, walk.error_uid);
    return r ? r : walk.error;
}

/* ---- the dry pass: fetch what is needed ---- */

bool full_is_lost(const struct full *full, const struct message_guid *guid)
{
    char text[MESSAGE_GUID_STRLEN];

    return hash_lookup(message_guid_encode(guid, text), &full->lost) != NULL;
}

const char *full_fetched(const struct full *full, const struct message_guid *guid)
{
    return sync_reserve_find(full->sc->reserve, mailbox_partition(full->mailbox), guid);
}

static bool needs_file(enum full_theirs theirs)
{
    return theirs == FULL_THEIRS_APPEND || theirs == FULL_THEIRS_COPYBACK;
}

/* What the replica lists and has lost is forgotten there; as long as its bytes may come back, nothing is done. */
static int fetch_one(struct full *full, const char *partition, const struct full_wanted *wanted)
{
    char guid[MESSAGE_GUID_STRLEN];

    if (sync_reserve_find(full->sc->reserve, partition, &wanted->guid)) return 0; /* it was here */
    int r = sync_fetch_message(full->sc, &full->remote, partition, wanted->uid, &wanted->guid);
    if (!r || full->sc->broken) return r;
    message_guid_encode(&wanted->guid, guid);
    bool lost = r == IMAP_MAILBOX_NONEXISTENT;
    if (lost) r = hash_numrecords(&full->lost) < MAX_LOST ? 0 : IMAP_IOERROR;
    syslog(LOG_ERR, "SYNCERROR: the replica %s: mailbox=<%s> uid=<%u> guid=<%s>%s%s",
           r && lost ? "has lost many messages, which must be put back or given up there"
           : lost    ? "has lost a message"
                     : "can't give a message, which must be repaired there",
           full->name, wanted->uid, guid, r ? " error=" : "", r ? error_message(r) : "");
    if (!r) hash_insert(guid, full, &full->lost);
    return r;
}

static int dry_step(struct full *full, struct full_decision d, struct sync_record *ours,
                    struct sync_record *theirs)
{
    if (!needs_file(d.theirs) || full_fetched(full, &theirs->rec.guid) ||
        full_is_lost(full, &theirs->rec.guid))
        return 0;
    full->wanted = full_grow(full->wanted, full->nwanted, sizeof(*full->wanted));
    full->wanted[full->nwanted++] = (struct full_wanted){ theirs->rec.uid, theirs->rec.guid };
    return 0;
}

/* What this end has in any mailbox of the owner need not come from the replica. */
static int find_here(struct full *full, const char *partition)
{
    char text[MESSAGE_GUID_STRLEN];
    hash_table wanted;

    if (!full->nwanted) return 0;
    construct_hash_table(&wanted, full->nwanted);
    for (size_t i = 0; i < full->nwanted; i++) hash_insert(message_guid_encode(&full->wanted[i].guid, text), full, &wanted);
    int r = sync_local_look(full->sc, full->name, partition, &wanted, full->sc->reserve);
    free_hash_table(&wanted, NULL);
    return r;
}

static int dry_pass(struct full *full)
{
    char *partition = NULL;
    int r = full_check_ours(full, mailbox_open_irl(full->name, &full->mailbox));

    if (r) mailbox_close(&full->mailbox);
    if (r) return r;
    partition = xstrdup(mailbox_partition(full->mailbox));
    full->nwanted = 0;
    r = full_check_ranges(full);
    if (!r) r = full_find_copies(full);
    if (!r) r = full_walk(full, dry_step);
    mailbox_close(&full->mailbox);
    if (!r) r = find_here(full, partition);
    for (size_t i = 0; i < full->nwanted && !r; i++)
        r = fetch_one(full, partition, &full->wanted[i]);
    if (r && !full->stale)
        syslog(LOG_ERR, "SYNCERROR: failed to prepare update for %s: %s", full->name,
               error_message(r));
    free(partition);
    return r;
}

/* ---- the whole ---- */

/* What was decided, now that it is stored and no lock is held. */
static void say_decisions(struct full *full)
{
    strarray_t *lines = strarray_split(buf_cstring(&full->said), "\n", 0);

    for (int i = 0; i < strarray_size(lines); i++)
        sync_client_say(full->sc, "FULLMAILBOX %s %s", full->name, strarray_nth(lines, i));
    strarray_free(lines);
}

/* A message that gets another UID is on the replica already; before it goes there under the old one the replica keeps hold of it. */
static int reserve(struct full *full, const struct sync_state *state, struct sync_sent *sent)
{
    ptrarray_t one = PTRARRAY_INITIALIZER;
    mbentry_t *mbentry = NULL;

    if (!full->nactions || mboxlist_lookup(full->name, &mbentry, NULL)) return 0;
    ptrarray_append(&one, mbentry);
    int r = sync_do_reserve(full->sc, &one, state, sent);
    ptrarray_fini(&one);
    mbentry_free(&mbentry);
    return r;
}

static int send_expunges(struct full *full)
{
    struct dlist *kl = dlist_newkvlist(NULL, "EXPUNGE");

    dlist_setatom(kl, "MBOXNAME", full->remote.name);
    dlist_setatom(kl, "UNIQUEID", full->remote.uniqueid);
    struct dlist *uids = dlist_newlist(kl, "UID");
    for (size_t i = 0; i < full->nkuids; i++) dlist_setnum32(uids, NULL, full->kuids[i]);
    int r = sync_client_command(full->sc, "APPLY", kl, NULL, NULL);
    if (r)
        syslog(LOG_ERR, "SYNCERROR: failed to expunge on the replica: mailbox=<%s> error=<%s>",
               full->name, error_message(r));
    return full->sc->broken ? r : 0; /* what is left is found again by the next comparison */
}

static int run_full(struct full *full, const struct sync_state *state, struct sync_sent *sent)
{
    int r = full_get_remote(full);
    if (!r && full->ranges.used)
        sync_client_say(full->sc, "RANGES %s %zu records", full->name, full->ranges.records);
    for (int round = 0; !r; round++) {
        r = dry_pass(full);
        if (!r) r = full_real_pass(full);
        if (r != IMAP_AGAIN || round + 1 >= MAX_ROUNDS) break;
        r = 0;
        if (!full->stale) continue;
        full_forget_remote(full);
        r = get_all(full);
        if (!r) r = check_theirs(full);
    }
    if (!r) say_decisions(full);
    if (!r && sent) r = reserve(full, state, sent);
    if (!r && full->nkuids && !full->numbers.absorb) r = send_expunges(full);
    return r;
}

int sync_do_full(struct sync_client *sc, const char *name, const char *uniqueid, const char *theirname, const struct sync_state *state,
                 struct sync_sent *sent)
{
    struct full full;

    full_init(&full, sc, name, uniqueid);
    if (theirname) full.theirname = theirname;
    int r = run_full(&full, state, sent);
    full_fini(&full);
    return r;
}

int sync_do_absorb(struct sync_client *sc, const mbentry_t *into, const struct sync_folder *theirs)
{
    struct full full;

    full_init(&full, sc, into->name, into->uniqueid);
    full.theirname = theirs->name;
    full.theirid = theirs->uniqueid;
    full.numbers.absorb = true;
    int r = run_full(&full, NULL, NULL);
    full_fini(&full);
    return r;
}
