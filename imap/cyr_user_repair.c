/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_user_repair -- everything derived of one user against what it is derived from (cyr_user check, cyr_user repair)
 *
 * What can be counted or read again is put right: index, cache, header and entry of each mailbox, the highest modseq, quota usage,
 * conversations, the record of the user. Message files can't: one that is missing, or is not the message of its record, is named every
 * time, and the record stays, so that nothing looks whole that is not (reconstruct --from-replica fetches it). A damaged
 * conversations database is made anew of what can be read of it.
 *
 * Each part is a transaction of its own, in the order in which one is derived from the other.
 */
#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conversations.h"
#include "cyr_user.h"
#include "cyrusdb.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "quota_fix.h"
#include "reconstruct.h"
#include "tool_select.h"
#include "txn.h"
#include "user.h"
#include "user_record.h"
#include "xmalloc.h"

struct repair {
    const char *userid;
    bool dry;
    unsigned wrong; /* derived data: with dry as it is, else it was put right */
    unsigned lost;  /* message files */
    struct user_meta *meta;
    ptrarray_t entries; /* mbentry_t, with what is in the DELETED tree */
};

static void tell(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(const char *part, const char *fmt, ...)
{
    va_list args;

    printf("%s: ", part);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* ---- message files ---- */

static int look_at_files(struct repair *rp, const char *name)
{
    struct reconstruct_refill refill = { 0 };
    int r = reconstruct_find_refill(name, &refill);

    for (size_t i = 0; i < refill.n; i++) {
        tell("message", "%s uid %" PRIu32 " %s", name, refill.v[i].uid, refill.v[i].fault);
        rp->lost++;
    }
    reconstruct_free_refill(&refill);
    return r;
}

static int check_files(struct repair *rp)
{
    int first = 0;

    for (int i = 0; i < ptrarray_size(&rp->entries); i++) {
        const mbentry_t *entry = ptrarray_nth(&rp->entries, i);
        int r = look_at_files(rp, entry->name);
        /* check: the part before has told that this one can't be opened */
        bool known = rp->dry && (r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_CHECKSUM);
        if (r && !known && r != IMAP_MAILBOX_NONEXISTENT && !first) first = r;
    }
    return first;
}

/* ---- mailboxes ---- */

static void say_mailbox(const char *line, void *rock)
{
    (void)rock;
    tell("mailbox", "%s", line);
}

static int fix_mailboxes(struct repair *rp)
{
    struct reconstruct rc = { .flags = RECONSTRUCT_KEEP_LOST | (rp->dry ? RECONSTRUCT_DRYRUN : 0), .say = say_mailbox };
    int first = 0;

    for (int i = 0; i < ptrarray_size(&rp->entries); i++) {
        const mbentry_t *entry = ptrarray_nth(&rp->entries, i);
        int r = reconstruct_mailbox(&rc, entry->name);
        if (r && r != IMAP_MAILBOX_NONEXISTENT && !first) first = r;
    }
    rp->wrong += rc.findings;
    int r = reconstruct_finish(&rc);
    return first ? first : r;
}

/* ---- modseqs ---- */

/* The next one that is given out must be above all that were. */
static int highest_of(const mbentry_t *entry, modseq_t *highest)
{
    struct mailbox *mailbox = NULL;
    int r = mailbox_open_irl(entry->name, &mailbox); /* under the exclusive lock of the transaction */

    if (entry->foldermodseq > *highest) *highest = entry->foldermodseq;
    if (!r && mailbox_index_header(mailbox)->highestmodseq > *highest) *highest = mailbox_index_header(mailbox)->highestmodseq;
    mailbox_close(&mailbox);
    /* the part before has told, or has mended it */
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_CHECKSUM ? 0 : r;
}

static int raise_counters(struct repair *rp, struct txn *txn)
{
    struct counters have, want = { 0 };
    int r = counters_read(rp->meta, txn, &have);

    for (int i = 0; !r && i < ptrarray_size(&rp->entries); i++)
        r = highest_of(ptrarray_nth(&rp->entries, i), &want.modseq[CTR_HIGHEST]);
    if (r || want.modseq[CTR_HIGHEST] <= have.modseq[CTR_HIGHEST]) return r;
    tell("modseq", "highest was %" PRIu64 ", mailboxes have %" PRIu64, have.modseq[CTR_HIGHEST], want.modseq[CTR_HIGHEST]);
    rp->wrong++;
    return counters_merge(txn, rp->meta, &want);
}

static int fix_counters(struct repair *rp)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) r = IMAP_NOTFOUND; /* no such file is kept */
    if (!r) r = txn_lock_user(txn, rp->userid);
    if (!r) r = raise_counters(rp, txn);
    if (!r && !rp->dry) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r == IMAP_NOTFOUND ? 0 : r;
}

/* ---- quota ---- */

static void say_root(const char *mailbox, const char *was, const char *is, void *rock)
{
    struct repair *rp = rock;

    tell("quota", "%s: root was %s, is %s", mailbox, was ? was : "(none)", is ? is : "(none)");
    rp->wrong++;
}

static void say_used(const char *root, enum quota_resource res, int64_t was, int64_t is, void *rock)
{
    struct repair *rp = rock;

    tell("quota", "%s: %s usage was %" PRId64 ", is %" PRId64, root, quota_names[res], was, is);
    rp->wrong++;
}

static void say_removed(const char *root, void *rock)
{
    struct repair *rp = rock;

    tell("quota", "%s: no mailbox counts for it", root);
    rp->wrong++;
}

static void say_unreadable(const char *mailbox, int r, void *rock)
{
    struct repair *rp = rock;

    tell("quota", "%s can't be counted: %s", mailbox, error_message(r));
    rp->wrong++;
}

static int fix_quota(struct repair *rp)
{
    const struct quota_fix_events events = { say_root, say_used, say_removed, say_unreadable, rp };

    return quota_fix_user(rp->userid, rp->dry, &events);
}

/* ---- conversations ---- */

static int audit(struct repair *rp, size_t *differences)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, rp->userid);
    if (!r) r = conversations_audit_user(txn, rp->meta, NULL, NULL, NULL, differences);
    txn_abort(&txn);
    return r;
}

static void note_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    tell("conversations", "offset %" PRIu64 " to %" PRIu64 " of the database: %s", off, off + len, what);
    *(bool *)rock = true;
}

/* What can be read of a damaged database stays: message-ids that no mailbox knows any more. The rest is counted again. */
static int fix_database(struct repair *rp)
{
    const char *path = user_meta_path(rp->meta, "conversations"), *backend = config_getstring(IMAPOPT_CONVERSATIONS_DB);
    bool damaged = false;
    const struct cyrusdb_salvage to = { .bad = note_bad, .rock = &damaged };
    char *kept;

    int r = cyrusdb_salvage(backend, path, 0, &to);
    if (r == CYRUSDB_NOTFOUND || (!r && !damaged)) return 0;
    rp->wrong++;
    if (r || rp->dry) return r ? IMAP_IOERROR : 0;
    r = cyrusdb_remake(backend, path, 0, &kept);
    if (r) return IMAP_IOERROR;
    tell("conversations", "made anew of what can be read, the damaged database is %s", kept);
    free(kept);
    return txn_checkpoint();
}

static int fix_conversations(struct repair *rp)
{
    size_t differences = 0;

    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    unsigned before = rp->wrong;
    int r = fix_database(rp);
    if (r || (rp->dry && rp->wrong != before)) return r;
    r = audit(rp, &differences);
    if (r || !differences) return r;
    tell("conversations", "%zu records are not what the mailboxes say", differences);
    rp->wrong++;
    return rp->dry ? 0 : conversations_rebuild_now(rp->userid, NULL, NULL);
}

/* ---- the record ---- */

static int fix_record(struct repair *rp)
{
    struct txn *txn = NULL;
    bool changed = false;
    int r = txn_begin(&txn);

    if (!r) r = txn_lock_user(txn, rp->userid);
    if (!r) r = user_record_reconcile(txn, rp->userid, &changed);
    if (!r && changed) {
        tell("record", "is not what mailboxes.db says");
        rp->wrong++;
    }
    if (!r && changed && !rp->dry) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* ---- all of it ---- */

static const struct {
    const char *name;
    int (*fix)(struct repair *rp);
} parts[] = {
    { "mailbox", fix_mailboxes },
    { "message", check_files },
    { "modseq", fix_counters },
    { "quota", fix_quota },
    { "conversations", fix_conversations },
    { "record", fix_record },
};

int cyr_user_repair(const char *userid, bool dry, bool *left)
{
    struct repair rp = { .userid = userid, .dry = dry, .entries = PTRARRAY_INITIALIZER };
    int r = user_meta_lookup(userid, NULL, &rp.meta);
    unsigned failed = 0;

    if (!r) r = tool_select_user(userid, TOOL_SELECT_DELETED, &rp.entries);
    if (!r && !ptrarray_size(&rp.entries)) r = IMAP_NOTFOUND;
    /* a part that can't be done does not keep the others */
    for (size_t i = 0; !r && i < array_size(parts); i++) {
        int pr = parts[i].fix(&rp);
        if (!pr) continue;
        tell(parts[i].name, "%s", error_message(pr));
        failed++;
    }
    *left = failed || rp.lost || (dry && rp.wrong);
    tool_select_free(&rp.entries);
    user_meta_free(&rp.meta);
    return r;
}
