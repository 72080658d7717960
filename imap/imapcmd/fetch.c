/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * FETCH, UID FETCH (RFC 3501 §6.4.5, RFC 7162, handbook 04 §3.12)
 *
 * Messages are answered in batches: the shared lock is taken to read the records of
 * a batch, given back, and only then the responses are written. \Seen is set for a
 * whole batch in one transaction, before its bodies are sent.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "fetch.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "xmalloc.h"

#define BATCH_RECORDS 256
#define BATCH_BODIES 32 /* messages that become \Seen together */

/* Takes up to max numbers above *last off the set. */
static struct seqset *next_batch(const struct seqset *msgnos, uint32_t *last, size_t max)
{
    struct seqset *batch = seqset_init(0, SEQ_SPARSE);

    for (size_t i = 0; i < max; i++) {
        uint32_t n = seqset_after(msgnos, *last);
        if (!n) break;
        seqset_add(batch, n, true);
        *last = n;
    }
    return batch;
}

/* \Seen for the batch; its FETCH responses tell the flags, so nothing else does. */
static int set_seen(struct imap_session *s, const struct seqset *batch, struct seqset **seen)
{
    struct imap_known known = { .modseq_told = true };
    modseq_t modseq = 0;

    int r = index_mark_seen(s->index, batch, seen, &modseq);
    if (r == IMAP_PERMISSION_DENIED || r == IMAP_USER_ELSEWHERE) r = 0;
    if (r || seqset_isempty(*seen)) return r;
    known.uids = *seen;
    known.modseq = modseq;
    imap_report(s, false, &known);
    return 0;
}

/* The messages of a command, in pieces. */
struct batch {
    const struct seqset *msgnos;
    struct fetch_message *msgs;
    size_t n;
    int one_bad; /* the first error that concerns a single message; the others are answered */
};

static void forget(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) fetch_message_fini(&b->msgs[i]);
    free(b->msgs);
    b->msgs = NULL;
    b->n = 0;
}

/* all: whatever CHANGEDSINCE says. */
static int load_batch(struct imap_session *s, const struct fetch_request *req, struct batch *b,
                      bool all)
{
    b->msgs = xcalloc(seqset_count(b->msgnos) + 1, sizeof(*b->msgs));
    int r = index_lock(s->index);
    if (r) return r;
    for (uint32_t m = seqset_after(b->msgnos, 0); m; m = seqset_after(b->msgnos, m)) {
        struct fetch_message *fm = &b->msgs[b->n];
        int one = fetch_load(s, req, m, fm);
        if (!one && (all || !req->has_changedsince || fm->rec.modseq > req->changedsince)) {
            b->n++;
        }
        else {
            fetch_message_fini(fm);
            memset(fm, 0, sizeof(*fm));
        }
        if (one && one != IMAP_NOTFOUND && !b->one_bad) b->one_bad = one;
    }
    uint64_t lsn = index_seen_lsn(s->index);
    index_unlock(s->index);
    return txn_wait(lsn);
}

/* Both are in rising order of UID. */
static void move_files(struct batch *from, struct batch *to)
{
    size_t i = 0;

    for (size_t n = 0; n < to->n; n++) {
        struct fetch_message *fm = &to->msgs[n];

        while (i < from->n && from->msgs[i].rec.uid < fm->rec.uid) i++;
        if (i == from->n || from->msgs[i].rec.uid != fm->rec.uid) continue;
        fm->file = from->msgs[i].file;
        fm->have_file = from->msgs[i].have_file;
        fm->file_error = from->msgs[i].file_error;
        from->msgs[i].file = (struct buf)BUF_INITIALIZER;
    }
}

/* Whose file can't be had is not \Seen with that: its files are opened before. */
static int see_batch(struct imap_session *s, const struct fetch_request *req, struct batch *b,
                     struct seqset **seen)
{
    struct batch opened = { .msgnos = b->msgnos };
    struct seqset *good = seqset_init(0, SEQ_SPARSE);

    int r = load_batch(s, req, &opened, true);
    for (size_t i = 0; !r && i < opened.n; i++)
        if (!fetch_needs_file(req) || !fetch_open(s, &opened.msgs[i]))
            seqset_add(good, opened.msgs[i].msg.msgno, true);
    if (!r && !seqset_isempty(good)) r = set_seen(s, good, seen);
    if (!r) r = load_batch(s, req, b, false);
    if (!r) move_files(&opened, b);
    forget(&opened);
    seqset_free(good);
    return r;
}

static int fetch_batch(struct imap_session *s, const struct fetch_request *req,
                       const struct seqset *msgnos, int *one_bad)
{
    struct batch b = { .msgnos = msgnos };
    struct seqset *seen = NULL;

    int r = req->items & FETCH_SETSEEN ? see_batch(s, req, &b, &seen)
                                       : load_batch(s, req, &b, false);
    for (size_t i = 0; !r && i < b.n; i++) {
        struct fetch_message *fm = &b.msgs[i];
        fm->told_flags = seen && seqset_ismember(seen, fm->rec.uid);
        int one = prot_error(s->out) ? 0 : fetch_print(s, req, fm);
        if (one && !b.one_bad) b.one_bad = one;
        buf_free(&fm->file);
    }
    if (!*one_bad) *one_bad = b.one_bad;
    forget(&b);
    seqset_free(seen);
    return r;
}

static int print_vanished(struct imap_session *s, const struct fetch_request *req, const char *set)
{
    struct seqset *known, *gone = NULL;

    if (imap_sequence_is_saved(set))
        known = s->saved ? seqset_dup(s->saved) : seqset_init(0, SEQ_SPARSE);
    else
        known = seqset_parse(set, NULL, index_uidnext(s->index) - 1);

    int r = index_lock(s->index);
    if (!r) {
        r = index_vanished(s->index, req->changedsince, known, &gone);
        index_unlock(s->index);
    }
    if (!r && !seqset_isempty(gone)) {
        char *uids = seqset_cstring(gone);
        prot_printf(s->out, "* VANISHED (EARLIER) %s\r\n", uids);
        free(uids);
    }
    seqset_free(gone);
    seqset_free(known);
    return r;
}

/* Leaves those that the range means, out of those that CHANGEDSINCE leaves. */
static int only_partial(struct imap_session *s, const struct fetch_request *req,
                        struct seqset *msgnos)
{
    struct seqset *kept = seqset_init(0, SEQ_SPARSE);
    size_t from, to, i = 0;
    uint32_t n = 0;
    int r = 0;

    if (req->has_changedsince) {
        r = index_lock(s->index);
        while (!r && (n = seqset_after(msgnos, n))) {
            struct index_record rec;
            int one = index_read_record(s->index, n, &rec);
            /* What can't be read may have changed. */
            if (one ? one != IMAP_NOTFOUND : rec.modseq > req->changedsince)
                seqset_add(kept, n, true);
        }
        if (!r) index_unlock(s->index);
        seqset_intersect(msgnos, kept);
        seqset_clear(kept);
    }
    imap_range_of(&req->partial, seqset_count(msgnos), &from, &to);
    for (n = 0; i < to && (n = seqset_after(msgnos, n)); i++)
        if (i >= from) seqset_add(kept, n, true);
    seqset_intersect(msgnos, kept);
    seqset_free(kept);
    return r;
}

int fetch_messages(struct imap_session *s, const struct fetch_request *req, const struct seqset *msgnos)
{
    size_t max = req->items & FETCH_SETSEEN ? BATCH_BODIES : BATCH_RECORDS;
    uint32_t last = 0;
    int r = 0, one_bad = 0;

    while (!r) {
        struct seqset *batch = next_batch(msgnos, &last, max);
        bool end = seqset_isempty(batch);
        if (!end && !prot_error(s->out) && !s->closing) r = fetch_batch(s, req, batch, &one_bad);
        seqset_free(batch);
        if (end || prot_error(s->out) || s->closing) break;
    }
    return r ? r : one_bad;
}

static int fetch_all(struct imap_session *s, const struct fetch_request *req, const char *set)
{
    struct seqset *msgnos = imap_sequence_msgnos(s, set);
    int r = 0;

    if (!s->usinguid && seqset_isempty(msgnos) && !imap_sequence_is_saved(set))
        r = IMAP_NO_NOSUCHMSG;
    if (!r && req->vanished) r = print_vanished(s, req, set);
    if (!r && req->has_partial) r = only_partial(s, req, msgnos);
    if (!r) r = fetch_messages(s, req, msgnos);
    seqset_free(msgnos);
    return r;
}

void cmd_fetch(struct imap_session *s)
{
    struct fetch_request req = { 0 };
    struct buf set = BUF_INITIALIZER;
    int r = 0;

    if (!imap_arg_sequence(s, &set) || !fetch_parse(s, &req)) goto done;
    imap_report(s, s->usinguid, NULL);
    if (s->closing) goto done;
    s->reported = false;
    if (req.items & FETCH_MODSEQ) imap_enable_condstore(s, "MODSEQ fetch");
    r = index_gone(s->index) ? IMAP_MAILBOX_NONEXISTENT : fetch_all(s, &req, buf_cstring(&set));
    if (s->closing) goto done;

    double cpu = (double)clock() / CLOCKS_PER_SEC - s->cpu_start;
    if (r)
        imap_no(s, "%s (%2.3f sec)", error_message(r), cpu);
    else
        imap_ok(s, "Completed (%2.3f sec)", cpu);
done:
    buf_free(&set);
    fetch_request_fini(&req);
}
