/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_change -- records and numbers of a mailbox change, inside a transaction
 *
 * Every change of a record goes through stage_change(): it tells the conversations,
 * moves the header's counts and sync CRCs, and lays the new record over the old one. So
 * the header is what one would get by going through the staged records, and
 * conversations and quota hear of each change once.
 *
 * Modseqs (handbook 02 §3.7): the first change of a mailbox in a transaction brings it up to the
 * owner's counter; each change then takes the next number. Several mailboxes of a user
 * in one transaction draw from one sequence, so that no number is given twice.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "annotate.h"
#include "crc32.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "message_cache.h"
#include "xmalloc.h"
#include "xsyslog.h"


/* ---- the first change ---- */

int mailbox_begin_change(struct mailbox *mailbox)
{
    if (mailbox->hooked) return 0;
    if (!mailbox->txn || mailbox->deleted) {
        mailbox_log(mailbox, 0, "changed without a transaction", mailbox->index_path);
        return IMAP_INTERNAL;
    }
    if (mailbox->hdr.minor_version < 12) {
        mailbox_log(mailbox, 0, "index is older than version 12, needs reconstruct -V max",
                    mailbox->index_path);
        return IMAP_MAILBOX_BADFORMAT;
    }
    int r = mailbox_check_writable(mailbox);
    if (r) return r;
    mailbox->hooked = true;
    txn_on_commit(mailbox->txn, TXN_ORDER_CONVERSATIONS - 1, mailbox_conversations_hook, mailbox);
    txn_on_commit(mailbox->txn, TXN_ORDER_MAILBOX, mailbox_commit_hook, mailbox);
    return 0;
}

/* A mailbox of a user without INBOX has no counters: its numbers are its own. */
int mailbox_open_meta(struct mailbox *mailbox)
{
    if (mailbox->meta_opened) return 0;
    int r = user_meta_for_mailbox(mailbox->mbentry, mailbox->txn, &mailbox->meta);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    if (!r) mailbox->meta_opened = true;
    return r;
}

int mailbox_open_conversations(struct mailbox *mailbox)
{
    if (mailbox->conv_opened) return 0;
    int r = conversations_open_mbox(mailbox, &mailbox->conv);
    if (!r) mailbox->conv_opened = true;
    return r;
}

/* ---- modseqs ---- */

/* The highest number given to a mailbox of the owner in this transaction. */
static modseq_t *shared_modseq(struct mailbox *mailbox)
{
    char *key = xasprintf("mailbox_modseq/%s", mailbox->userid ? mailbox->userid : "");
    modseq_t *high = txn_attached(mailbox->txn, key);

    if (!high) {
        high = xzmalloc(sizeof(*high));
        txn_attach(mailbox->txn, key, high, free);
    }
    free(key);
    return high;
}

static int begin_modseq(struct mailbox *mailbox)
{
    int r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_open_meta(mailbox);
    if (r || mailbox->modseq_begun) return r;

    modseq_t high = counters_set_modseq(mailbox->txn, mailbox->meta, mailbox->hdr.highestmodseq,
                                        mailbox->mbentry->name, mailbox->mbentry->mbtype, 0, &r);
    if (r) return r;
    if (high > mailbox->hdr.highestmodseq) mailbox->hdr.highestmodseq = high;
    if (config_getswitch(IMAPOPT_CONVERSATIONS)) mailbox->shared_modseq = shared_modseq(mailbox);
    mailbox->modseq_begun = true;
    return 0;
}

static int next_modseq(struct mailbox *mailbox, modseq_t *modseqp)
{
    int r = begin_modseq(mailbox);
    if (r) return r;
    modseq_t *shared = mailbox->shared_modseq;
    modseq_t next = mailbox->hdr.highestmodseq;

    if (shared && *shared > next) next = *shared;
    next++;
    if (shared) *shared = next;
    mailbox->hdr.highestmodseq = next;
    mailbox->hdr_dirty = true;
    *modseqp = next;
    return 0;
}

modseq_t mailbox_next_modseq(struct mailbox *mailbox)
{
    modseq_t modseq;

    return next_modseq(mailbox, &modseq) ? 0 : modseq;
}

time_t mailbox_txn_time(const struct mailbox *mailbox)
{
    return mailbox->txn ? txn_time(mailbox->txn) : 0;
}

/* ---- annotations of messages ---- */

bool mailbox_has_annotations(struct mailbox *mailbox)
{
    struct buf path = BUF_INITIALIZER;
    struct stat st;

    if (mailbox->has_annots < 0) {
        int r = mailbox_path_meta(&mailbox->place, META_ANNOTATIONS, &path);
        mailbox->has_annots = !r && !diskio_stat(buf_cstring(&path), &st);
        buf_free(&path);
    }
    return mailbox->has_annots > 0;
}

void mailbox_note_annotations(struct mailbox *mailbox)
{
    mailbox->has_annots = 1;
}

/* They count only while the message does, so they are looked up only when that changes. */
static int annots_of_change(struct mailbox *mailbox, const struct index_record *oldrec,
                            const struct index_record *newrec, struct annot_sum *sum)
{
    uint32_t was = oldrec ? oldrec->internal_flags & FLAG_INTERNAL_EXPUNGED
                          : FLAG_INTERNAL_EXPUNGED;

    *sum = (struct annot_sum){ 0 };
    if (was == (newrec->internal_flags & FLAG_INTERNAL_EXPUNGED) || !oldrec) return 0;
    if (!mailbox->hdr.quota_annot_used) return 0;
    return annotate_msg_sum(mailbox, newrec->uid, sum);
}

int mailbox_annot_delta(struct mailbox *mailbox, const struct index_record *rec,
                        const struct annot_sum *oldsum, const struct annot_sum *newsum)
{
    int r = mailbox_begin_change(mailbox);
    if (r) return r;
    mailbox->hdr_dirty = true;
    if (!rec) {
        uint64_t used = mailbox->hdr.quota_annot_used + newsum->used;

        mailbox->hdr.quota_annot_used = used > oldsum->used ? used - oldsum->used : 0;
        return 0;
    }
    mailbox->has_annots = 1;
    if (index_header_apply_delta(&mailbox->hdr, rec, oldsum, rec, newsum, &mailbox->header.flags))
        mailbox->counts_wrong = true;
    return 0;
}

/* ---- records ---- */

static void unlink_files(struct mailbox *mailbox, uint32_t uid)
{
    struct buf path = BUF_INITIALIZER, archived = BUF_INITIALIZER;

    if (!mailbox_path_message(&mailbox->place, false, uid, &path))
        txn_unlink_lazy(mailbox->txn, buf_cstring(&path));
    if (!mailbox_path_message(&mailbox->place, true, uid, &archived) &&
        !buf_equal(&path, &archived))
        txn_unlink_lazy(mailbox->txn, buf_cstring(&archived));
    buf_free(&path);
    buf_free(&archived);
}

/* Times are kept as they will be on disk, or the sync CRCs would not be those of a reader. */
static void normalise(struct index_record *rec)
{
    rec->internaldate = index_time(rec->internaldate);
    rec->sentdate = index_time(rec->sentdate);
    rec->gmtime = index_time(rec->gmtime);
    rec->last_updated = index_time(rec->last_updated);
    rec->savedate = index_time(rec->savedate);
}

static int stage_change(struct mailbox *mailbox, const struct index_record *oldrec,
                        struct index_record *newrec, unsigned flags)
{
    struct annot_sum sum;

    int r = mailbox_open_conversations(mailbox);
    if (!r) r = annots_of_change(mailbox, oldrec, newrec, &sum);
    if (r) return r;
    normalise(newrec);
    struct staged_record *staged = mailbox_stage_record(mailbox, newrec->recno);
    struct index_record before = staged->rec;
    staged->rec = *newrec;
    if (!oldrec) mailbox->hdr.num_records++;
    r = conversations_update_record(mailbox->conv, mailbox, oldrec, newrec,
                                    !(flags & MAILBOX_SILENT));
    if (r) {
        staged = mailbox_stage_record(mailbox, newrec->recno);
        staged->rec = oldrec ? *oldrec : before;
        if (!oldrec) mailbox->hdr.num_records--;
        return r;
    }
    if (index_header_apply_delta(&mailbox->hdr, oldrec, &sum, newrec, &sum, &mailbox->header.flags))
        mailbox->counts_wrong = true;
    if (newrec->modseq > mailbox->hdr.highestmodseq) mailbox->hdr.highestmodseq = newrec->modseq;
    mailbox->hdr_dirty = true;
    return 0;
}

/* Whatever kind of change: what a record must be beside the one before it. */
static int check_change(const struct mailbox *mailbox, const struct index_record *oldrec,
                        const struct index_record *newrec, unsigned flags)
{
    const char *what = NULL;

    if (!message_guid_equal(&oldrec->guid, &newrec->guid) ||
        (oldrec->size != newrec->size && !(flags & MAILBOX_REPAIR)))
        what = "another message under the same uid";
    else if (newrec->modseq < oldrec->modseq)
        what = "modseq goes down";
    if (what) {
        mailbox_log(mailbox, 0, what, mailbox->index_path);
        return IMAP_INTERNAL;
    }
    if ((oldrec->internal_flags & FLAG_INTERNAL_EXPUNGED) &&
        !(newrec->internal_flags & FLAG_INTERNAL_EXPUNGED))
        return IMAP_MAILBOX_NOTSUPPORTED;
    return 0;
}

static int becomes_unlinked(struct mailbox *mailbox, const struct index_record *rec)
{
    unlink_files(mailbox, rec->uid);
    mailbox_audit(mailbox, "unlink", NULL, rec, NULL);
    return mailbox_has_annotations(mailbox) ? annotate_msg_delete(mailbox, rec->uid) : 0;
}

static void audit_change(const struct mailbox *mailbox, const struct index_record *oldrec,
                         const struct index_record *rec)
{
    uint32_t set = rec->internal_flags & ~oldrec->internal_flags;

    mailbox_audit(mailbox, "touched", oldrec, rec, NULL);
    if (set & FLAG_INTERNAL_EXPUNGED) mailbox_audit(mailbox, "expunge", NULL, rec, NULL);
    if (set & FLAG_INTERNAL_ARCHIVED) mailbox_audit(mailbox, "archive", oldrec, rec, NULL);
}

int mailbox_rewrite_record(struct mailbox *mailbox, struct index_record *rec, unsigned flags)
{
    struct index_record old;

    int r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_find_uid(mailbox, rec->uid, &old);
    if (r) return r;
    rec->recno = old.recno;
    bool unlinks = rec->internal_flags & ~old.internal_flags & FLAG_INTERNAL_UNLINKED;
    if (unlinks) rec->internal_flags |= FLAG_INTERNAL_EXPUNGED;
    if (!(flags & MAILBOX_SILENT)) {
        r = next_modseq(mailbox, &rec->modseq);
        if (r) return r;
        rec->last_updated = txn_time(mailbox->txn);
    }
    r = check_change(mailbox, &old, rec, flags);
    if (!r) r = stage_change(mailbox, &old, rec, flags);
    if (r) return r;
    audit_change(mailbox, &old, rec);
    return unlinks ? becomes_unlinked(mailbox, rec) : 0;
}

int mailbox_expunge_record(struct mailbox *mailbox, struct index_record *rec, unsigned flags)
{
    int mode = config_getenum(IMAPOPT_EXPUNGE_MODE);

    if (rec->internal_flags & FLAG_INTERNAL_EXPUNGED) return 0;
    rec->internal_flags |= FLAG_INTERNAL_EXPUNGED;
    if (mode != IMAP_ENUM_EXPUNGE_MODE_DELAYED)
        rec->internal_flags |= FLAG_INTERNAL_UNLINKED | FLAG_INTERNAL_NEEDS_CLEANUP;
    int r = mailbox_rewrite_record(mailbox, rec, flags);
    if (!r && mode == IMAP_ENUM_EXPUNGE_MODE_IMMEDIATE) r = mailbox_repack(mailbox);
    return r;
}

/* ---- new records ---- */

static void fill_record(const struct mailbox *mailbox, struct index_record *rec,
                        const struct message_content *content)
{
    if (!rec->internaldate) rec->internaldate = txn_time(mailbox->txn);
    if (content) {
        time_t gmtime, sentdate;

        message_dates(content, &gmtime, &sentdate);
        if (!rec->gmtime) rec->gmtime = gmtime ? gmtime : rec->internaldate;
        if (!rec->sentdate) rec->sentdate = sentdate;
        if (!rec->header_size) rec->header_size = (uint32_t)content->body->header_size;
    }
    if (!rec->gmtime) rec->gmtime = rec->internaldate;
    if (!rec->sentdate) {
        struct tm tm;

        localtime_r(&rec->internaldate, &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_isdst = -1;
        rec->sentdate = mktime(&tm);
    }
}

static int number_record(struct mailbox *mailbox, struct index_record *rec, unsigned flags)
{
    uint32_t last = mailbox->hdr.last_uid;

    if (!rec->uid && last < UINT32_MAX) rec->uid = last + 1;
    if (rec->uid <= last || mailbox->hdr.num_records == UINT32_MAX) {
        mailbox_log(mailbox, 0, "uid of a new record is in use", mailbox->index_path);
        return IMAP_INTERNAL;
    }
    if (message_guid_isnull(&rec->guid) || !rec->size) {
        mailbox_log(mailbox, 0, "new record without a message", mailbox->index_path);
        return IMAP_INTERNAL;
    }
    rec->recno = mailbox->hdr.num_records + 1;
    if (!(flags & MAILBOX_SILENT) || !rec->modseq) {
        int r = next_modseq(mailbox, &rec->modseq);
        if (r) return r;
    }
    if (!(flags & MAILBOX_SILENT) || !rec->last_updated) rec->last_updated = txn_time(mailbox->txn);
    if (flags & MAILBOX_SILENT) return 0; /* a mailbox of an old version has none */
    if (!rec->createdmodseq || rec->createdmodseq > rec->modseq) rec->createdmodseq = rec->modseq;
    if (!rec->savedate) rec->savedate = txn_time(mailbox->txn);
    return 0;
}

static int write_basethrid(struct mailbox *mailbox, struct index_record *rec,
                           conversation_id_t basecid)
{
    char hex[17];
    struct buf value = BUF_INITIALIZER;

    snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)basecid);
    buf_init_ro_cstr(&value, hex);
    return annotate_msg_write(mailbox, rec, ANNOT_BASETHRID, "", &value, 0);
}

static void audit_append(const struct mailbox *mailbox, const struct index_record *rec,
                         const struct message_content *content)
{
    char *messageid = NULL;

    if (!config_getswitch(IMAPOPT_AUDITLOG)) return;
    if (content && content->body->fields.message_id.s)
        messageid = xstrndup(content->body->fields.message_id.s,
                             content->body->fields.message_id.len);
    mailbox_audit(mailbox, "append", NULL, rec, messageid);
    free(messageid);
}

int mailbox_append_record(struct mailbox *mailbox, struct index_record *rec,
                          const struct message_content *content, const struct buf *cache,
                          unsigned flags)
{
    conversation_id_t basecid = 0;

    int r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_open_conversations(mailbox);
    if (!r) r = number_record(mailbox, rec, flags);
    if (r) return r;
    fill_record(mailbox, rec, content);
    rec->cache_offset = rec->cache_crc = 0;
    if (cache) {
        r = mailbox_stage_cache(mailbox, rec, buf_base(cache), buf_len(cache),
                                crc32_map(buf_base(cache), buf_len(cache)),
                                rec->cache_version ? rec->cache_version
                                                   : MAILBOX_CACHE_MINOR_VERSION);
        if (!r && !(flags & MAILBOX_SILENT))
            r = conversations_assign_cid(mailbox->conv, mailbox, rec, cache, &basecid);
        if (r) return r;
    }
    r = stage_change(mailbox, NULL, rec, flags);
    if (r) return r;
    mailbox->hdr.last_uid = rec->uid;
    if (!(flags & MAILBOX_SILENT))
        mailbox->hdr.last_appenddate = index_time(txn_time(mailbox->txn));
    if (!(rec->internal_flags & FLAG_INTERNAL_EXPUNGED)) mailbox->appended = true;
    audit_append(mailbox, rec, content);
    return basecid ? write_basethrid(mailbox, rec, basecid) : 0;
}

int mailbox_wipe_record(struct mailbox *mailbox, uint32_t recno)
{
    int r = mailbox_begin_change(mailbox);
    if (r) return r;
    if (!recno || recno > mailbox->hdr.num_records) return IMAP_NOTFOUND;
    struct staged_record *staged = mailbox_stage_record(mailbox, recno);
    memset(&staged->rec, 0, sizeof(staged->rec));
    staged->rec.recno = recno;
    staged->rec.internal_flags = FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED;
    mailbox->hdr.options |= OPT_MAILBOX_NEEDS_REPACK;
    mailbox->hdr_dirty = true;
    mailbox->counts_wrong = true;
    return 0;
}

/* ---- flags and header fields ---- */

/* Those of the option may use slots that others leave free. */
static bool is_initial_flag(const char *name)
{
    strarray_t *names = strarray_split(config_getstring(IMAPOPT_MAILBOX_INITIAL_FLAGS), NULL,
                                       STRARRAY_TRIM);
    bool found = names && strarray_contains_case(names, name);

    strarray_free(names);
    return found;
}

int mailbox_user_flag(struct mailbox *mailbox, const char *name, int *slot, bool create,
                      bool all_slots)
{
    bool isnew = false;

    *slot = mailbox_header_find_flag(&mailbox->header, name);
    if (*slot >= 0) return 0;
    if (!create) return IMAP_NOTFOUND;
    int r = mailbox_begin_change(mailbox);
    if (r) return r;
    int limit = all_slots || is_initial_flag(name) ? MAX_USER_FLAGS : MAX_CLIENT_USER_FLAGS;
    r = mailbox_header_add_flag(&mailbox->header, name, limit, slot, &isnew);
    if (!r && isnew) mailbox->header_dirty = mailbox->hdr_dirty = true;
    return r;
}

int mailbox_remove_user_flag(struct mailbox *mailbox, int slot)
{
    int r = mailbox_begin_change(mailbox);
    if (r) return r;
    mailbox_header_remove_flag(&mailbox->header, slot);
    mailbox->header_dirty = mailbox->hdr_dirty = true;
    return 0;
}

struct highest {
    uint32_t uid;
    modseq_t modseq;
};

static int find_highest(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct highest *h = rock;

    (void)mailbox;
    h->uid = cyr_max(h->uid, rec->uid);
    h->modseq = cyr_max(h->modseq, rec->modseq);
    return 0;
}

/* Take last_uid and highestmodseq as they are given, even lower ones. */
static int lower_header(struct mailbox *mailbox, const struct mailbox_header_update *u)
{
    struct index_header *hdr = &mailbox->hdr;
    struct highest h = { 0, 1 };

    if (u->last_uid >= hdr->last_uid && u->highestmodseq >= hdr->highestmodseq) return 0;
    int r = mailbox_foreach(mailbox, 0, 0, 0, find_highest, &h);
    if (r) return r;
    if (u->set_lastuid) hdr->last_uid = cyr_max(u->last_uid, h.uid);
    if (u->set_modseqs) hdr->highestmodseq = cyr_max(u->highestmodseq, h.modseq);
    return 0;
}

int mailbox_update_header(struct mailbox *mailbox, const struct mailbox_header_update *u)
{
    const uint32_t letters = OPT_POP3_NEW_UIDL | OPT_IMAP_SHAREDSEEN | OPT_IMAP_DUPDELIVER |
                             OPT_IMAP_HAS_ALARMS;
    struct index_header *hdr = &mailbox->hdr;

    int r = mailbox_begin_change(mailbox);
    if (r) return r;
    const struct index_header before = *hdr;
    if (u->set_recent) {
        hdr->recentuid = u->recentuid;
        hdr->recenttime = index_time(u->recenttime);
    }
    if (u->set_append) hdr->last_appenddate = index_time(u->last_appenddate);
    if (u->set_pop3) hdr->pop3_last_login = index_time(u->pop3_last_login);
    if (u->set_pop3_after) hdr->pop3_show_after = index_time(u->pop3_show_after);
    if (u->set_uidvalidity) hdr->uidvalidity = u->uidvalidity;
    if (u->set_options) hdr->options = (hdr->options & ~letters) | (u->options & OPTS_VALID);
    if (u->set_lastuid && u->last_uid > hdr->last_uid) hdr->last_uid = u->last_uid;
    if (u->set_modseqs) {
        if (u->highestmodseq > hdr->highestmodseq) hdr->highestmodseq = u->highestmodseq;
        if (u->createdmodseq) hdr->createdmodseq = u->createdmodseq;
    }
    if (u->may_lower) r = lower_header(mailbox, u);
    if (r) return r;
    if (memcmp(&before, hdr, sizeof(before)) != 0) mailbox->hdr_dirty = true;
    return 0;
}

int mailbox_set_acl(struct mailbox *mailbox, const char *acl)
{
    int r = mailbox_begin_change(mailbox);
    if (r) return r;
    mbentry_set_acl(mailbox->mbentry, acl);
    free(mailbox->header.acl);
    mailbox->header.acl = xstrdupnull(acl);
    mailbox->header_dirty = mailbox->hdr_dirty = true;
    return 0;
}

int mailbox_set_quotaroot(struct mailbox *mailbox, const char *quotaroot)
{
    const int64_t none[4] = { 0 };

    if (!strcmpnull(mailbox->header.quotaroot, quotaroot)) return 0;
    int r = mailbox_begin_change(mailbox);
    if (!r) r = mailbox_account_quota(mailbox, none);
    if (r) return r;
    free(mailbox->quotaroot);
    mailbox->quotaroot = xstrdupnull(quotaroot);
    free(mailbox->header.quotaroot);
    mailbox->header.quotaroot = xstrdupnull(quotaroot);
    mailbox->header_dirty = mailbox->hdr_dirty = true;
    return 0;
}

static int add_used(const char *mboxname, uint32_t uid, const struct annotation *annot, void *rock)
{
    (void)mboxname;
    if (!uid) *(uint64_t *)rock += buf_len(&annot->value);
    return 0;
}

int mailbox_recalc_counters(struct mailbox *mailbox)
{
    uint64_t used = 0;
    struct index_header *hdr = &mailbox->hdr;
    struct index_record rec;
    struct annot_sum sum = { 0 };
    time_t first_expunged = hdr->first_expunged;

    int r = mailbox_begin_change(mailbox);
    if (!r) r = annotatemore_foreach(mailbox->mbentry, NULL, NULL, mailbox->txn, add_used, &used);
    if (r) return r;
    index_header_reset_counts(hdr);
    hdr->quota_annot_used = used;
    for (uint32_t recno = 1; recno <= hdr->num_records; recno++) {
        if (mailbox_read_record(mailbox, recno, &rec)) continue;
        sum = (struct annot_sum){ 0 };
        bool counts = rec.uid && !(rec.internal_flags & FLAG_INTERNAL_EXPUNGED);
        if (counts && mailbox_has_annotations(mailbox))
            r = annotate_msg_sum(mailbox, rec.uid, &sum);
        if (r) return r;
        index_header_apply_delta(hdr, NULL, NULL, &rec, &sum, &mailbox->header.flags);
    }
    if (!hdr->first_expunged) hdr->first_expunged = first_expunged;
    mailbox->counts_wrong = false;
    mailbox->hdr_dirty = true;
    return 0;
}
