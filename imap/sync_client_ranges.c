/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_ranges -- learn only those records of the replica that differ from ours (doc/sync-extensions.md, X-RANGES)
 *
 * The state of the replica's mailbox first, then digests of ranges up to its LAST_UID, level by level, then the records of the
 * ranges in which they differ, and of all that lies behind. No lock is held while the network is waited for, so either end may
 * change between two questions. Each answer says of which state it is: when that is not the first one's all begins
 * anew. Ours are looked at again when the changes are made: what has come or changed since has a modseq above the one noted at
 * the beginning (full_decide_alike), what has gone for good raises DELETEDMODSEQ above it (full_check_ranges).
 */
#include <config.h>

#include "sync_client_full.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mailbox.h"
#include "sync_client.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define LEAST 1000 /* of ours; with fewer, all records of the replica are less than the questions */
#define ROUNDS 3

/* With --enable-test-hooks CYLINDER_RANGES_LEAST takes its place. */
static uint32_t least(void)
{
#ifdef ENABLE_TEST_HOOKS
    const char *hook = getenv("CYLINDER_RANGES_LEAST");
    uint32_t n;

    if (hook && !parse_u32_cstr(hook, &n)) return n;
#endif
    return LEAST;
}

/* ---- what the replica says ---- */

struct question {
    struct full *full;
    struct sync_ranges asked; /* borrowed */
    bool answered;
    int error;      /* of the first record that is none, or was not asked for */
    size_t records;
};

static int bad_answer(const struct full *full, const char *what)
{
    syslog(LOG_ERR, "SYNCERROR: bad answer to RANGES: mailbox=<%s> error=<%s>", full->name, what);
    return IMAP_PROTOCOL_ERROR;
}

static int state_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct full *full = rock;

    if (strcmp((*dlp)->name, "MAILBOX") != 0 || full->remote.uniqueid) return IMAP_PROTOCOL_ERROR;
    int r = sync_folder_parse(*dlp, false, &full->remote);
    full->remote.records = NULL;
    return r;
}

static int get_state(struct full *full)
{
    struct dlist *list = dlist_newlist(NULL, "MAILBOXES");

    dlist_setatom(list, NULL, full->theirname);
    int r = sync_client_command(full->sc, "GET", list, state_line, full);
    if (!r && (!full->remote.uniqueid || !sync_folder_is_plain(&full->remote))) r = IMAP_MAILBOX_NONEXISTENT;
    return r;
}

/* One line answers a question. */
static int check_line(struct question *q, const struct dlist *dl)
{
    if (strcmp(dl->name, "RANGES") != 0 || q->answered) return bad_answer(q->full, "another line");
    q->answered = true;
    int r = sync_ranges_check_state(dl, &q->full->remote);
    return r == IMAP_PROTOCOL_ERROR ? bad_answer(q->full, "no state") : r;
}

static int digests_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct question *q = rock;
    struct dlist *list;
    int r = check_line(q, *dlp);

    if (r) return r;
    if (!dlist_getlist(*dlp, "DIGESTS", &list) || sync_ranges_parse_digests(list, q->asked.v, q->asked.n))
        return bad_answer(q->full, "digests");
    return 0;
}

static void one_record(void *rock, struct dlist **itemp)
{
    struct question *q = rock;
    struct sync_record rec;

    if (q->error) return;
    q->error = sync_record_parse(*itemp, &rec);
    if (!q->error && (rec.rec.uid <= q->full->theirs.last_uid || !sync_ranges_have(&q->asked, rec.rec.uid)))
        q->error = IMAP_PROTOCOL_ERROR;
    if (q->error)
        (void)bad_answer(q->full, "a record");
    else
        q->error = sync_spool_add(&q->full->theirs, &rec);
    q->records++;
    sync_record_fini(&rec);
}

static int records_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct question *q = rock;
    struct dlist *list;
    int r = check_line(q, *dlp);

    if (r) return r;
    if (!dlist_getlist(*dlp, "RECORD", &list)) return bad_answer(q->full, "no records");
    return q->error;
}

static int ask(struct question *q, const char *what, const struct dlist_itemsink *items, sync_client_line *fn)
{
    struct dlist *kl = dlist_newkvlist(NULL, "RANGES");

    dlist_setatom(kl, "MBOXNAME", q->full->remote.name);
    dlist_setatom(kl, "UNIQUEID", q->full->remote.uniqueid);
    sync_ranges_print(q->asked.v, q->asked.n, what, kl);
    int r = sync_client_itemcommand(q->full->sc, "GET", kl, items, fn, q);
    if (!r && !q->answered) r = bad_answer(q->full, "no line");
    return r;
}

/* ---- the two ends of sync_ranges_find ---- */

static int ask_digests(void *rock, struct sync_range *v, size_t n)
{
    struct question q = { .full = rock, .asked = { v, n, n } };

    return ask(&q, "DIGESTS", NULL, digests_line);
}

static bool is_ours(const struct full *full)
{
    return !strcmp(mailbox_uniqueid(full->mailbox), full->ranges.uniqueid);
}

static int split(void *rock, const struct sync_ranges *parents, struct sync_ranges *parts)
{
    struct full *full = rock;
    int r = mailbox_open_irl(full->name, &full->mailbox);

    if (r) return r;
    struct sync_ranges_source source = sync_ranges_of(full->mailbox);
    if (!is_ours(full)) r = IMAP_AGAIN;
    for (size_t i = 0; i < parents->n && !r; i++) r = sync_ranges_split(&source, &parents->v[i], parts);
    mailbox_close(&full->mailbox);
    return r;
}

/* ---- the whole ---- */

/* Note ours; few: there is nothing to be won. */
static int begin(struct full *full, uint32_t *n, bool *few)
{
    int r = full_check_ours(full, mailbox_open_irl(full->name, &full->mailbox));

    if (r) mailbox_close(&full->mailbox);
    if (r) return r;
    const struct index_header *hdr = mailbox_index_header(full->mailbox);
    full->ranges.uniqueid = xstrdupnull(mailbox_uniqueid(full->mailbox));
    full->ranges.highestmodseq = hdr->highestmodseq;
    full->ranges.last_uid = hdr->last_uid;
    *n = hdr->exists;
    *few = !full->ranges.uniqueid || (!full->anyhow && mailbox_num_records(full->mailbox) < least());
    mailbox_close(&full->mailbox);
    return 0;
}

/* What lies behind their LAST_UID is asked for in any case: usually nothing. */
static void add_behind(struct sync_ranges *listed, uint32_t last_uid)
{
    if (last_uid == UINT32_MAX) return;
    if (listed->n && listed->v[listed->n - 1].last == last_uid)
        listed->v[listed->n - 1].last = UINT32_MAX;
    else
        sync_ranges_add(listed, last_uid + 1, UINT32_MAX);
}

static int get_records(struct full *full)
{
    struct sync_ranges *listed = &full->ranges.listed;
    int r = 0;

    for (size_t from = 0; from < listed->n && !r; from += SYNC_RANGES_ASK) {
        size_t some = listed->n - from < SYNC_RANGES_ASK ? listed->n - from : SYNC_RANGES_ASK;
        struct question q = { .full = full, .asked = { listed->v + from, some, some } };
        struct dlist_itemsink items = { "RECORD", one_record, &q };
        r = ask(&q, "RECORDS", &items, records_line);
        full->ranges.records += q.records;
    }
    return r ? r : sync_spool_end(&full->theirs);
}

static int compare(struct full *full, bool *few)
{
    struct sync_ranges_ends ends = { split, ask_digests, full };
    struct sync_range root = { .first = 1 };
    int r = begin(full, &root.n, few);

    if (!r) r = *few ? IMAP_AGAIN : get_state(full);
    if (r) return r;
    root.last = full->remote.last_uid;
    if (root.last) r = sync_ranges_find(&ends, &root, &full->ranges.listed);
    if (r) return r;
    add_behind(&full->ranges.listed, root.last);
    r = get_records(full);
    if (r) return r;
    full->ranges.used = true;
    full_set_numbers(full);
    return 0;
}

int full_get_ranges(struct full *full)
{
    bool few = false;
    int r = IMAP_AGAIN;

    if (!backend_has(full->sc->backend, BACKEND_CAPA_RANGES)) return r;
    for (int round = 0; round < ROUNDS && r == IMAP_AGAIN && !few; round++) {
        full_forget_remote(full);
        r = compare(full, &few);
    }
    return r;
}

struct full_decision full_decide_alike(const struct full *full, const struct sync_record *ours)
{
    struct full_decision d = { FULL_OURS_KEEP, FULL_THEIRS_KEEP, false };

    if (ours->rec.modseq <= full->ranges.highestmodseq) return d;
    /* has come since: the replica has no message there */
    if (ours->rec.uid > full->ranges.last_uid) return full_decide(&full->numbers, ours, NULL);
    d.ours = FULL_OURS_BUMP; /* has changed since, so it is newer than the replica's */
    return d;
}

int full_check_ranges(struct full *full)
{
    if (!full->ranges.used) return 0;
    full->stale = !is_ours(full) ||
                  mailbox_index_header(full->mailbox)->deletedmodseq > full->ranges.highestmodseq;
    return full->stale ? IMAP_AGAIN : 0;
}
