/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_account -- the counts and sync CRCs in the header of a cyrus.index
 *
 * Invariant: exists, deleted, answered, flagged, unseen, quota_mailbox_used,
 * quota_annot_used and both sync CRCs are what one gets by going through all
 * records that are not expunged. index_header_apply_delta() is the only place
 * that changes them, so that they stay true whatever operation touches a record.
 *
 * A count that would fall below 0 shows that the header was wrong before: it is
 * left at 0 and IMAP_MAILBOX_BADFORMAT returned; a recount repairs it.
 *
 * The text forms of flags and options are here too.
 */
#include <config.h>

#include <string.h>

#include "imap_err.h"
#include "mailbox_index.h"
#include "sync_crc.h"

const struct index_flag_name index_system_flags[] = {
    { FLAG_ANSWERED, "\\Answered", "AN" }, { FLAG_FLAGGED, "\\Flagged", "FL" },
    { FLAG_DELETED, "\\Deleted", "DE" },   { FLAG_DRAFT, "\\Draft", "DR" },
    { FLAG_SEEN, "\\Seen", "SE" },         { 0, NULL, NULL },
};

static const struct index_flag_name internal_flags[] = {
    { FLAG_INTERNAL_SNOOZED, NULL, "SN" },
    { FLAG_INTERNAL_SPLITCONVERSATION, NULL, "SP" },
    { FLAG_INTERNAL_NEEDS_CLEANUP, NULL, "NC" },
    { FLAG_INTERNAL_ARCHIVED, NULL, "AR" },
    { FLAG_INTERNAL_UNLINKED, NULL, "UN" },
    { FLAG_INTERNAL_EXPUNGED, NULL, "EX" },
    { 0, NULL, NULL },
};

static const struct option_letter {
    uint32_t bit;
    char letter;
} option_letters[] = {
    { OPT_POP3_NEW_UIDL, 'P' },
    { OPT_IMAP_SHAREDSEEN, 'S' },
    { OPT_IMAP_DUPDELIVER, 'D' },
    { OPT_IMAP_HAS_ALARMS, 'A' },
};

/* What one record adds to the header; all 0 for one that does not count. */
struct share {
    uint32_t exists, deleted, answered, flagged, unseen;
    uint64_t used, annot_used;
    uint32_t basic, annot;
};

static bool counts(const struct index_record *rec)
{
    return rec && !(rec->internal_flags & FLAG_INTERNAL_EXPUNGED);
}

/* Without the record fields that count as annotations. */
static struct share share_of(const struct index_record *rec, const struct annot_sum *sum,
                             const strarray_t *flagnames)
{
    struct share s = { 0 };

    if (!counts(rec)) return s;
    s.exists = 1;
    s.deleted = !!(rec->system_flags & FLAG_DELETED);
    s.answered = !!(rec->system_flags & FLAG_ANSWERED);
    s.flagged = !!(rec->system_flags & FLAG_FLAGGED);
    s.unseen = !index_flags_seen(rec->system_flags);
    s.used = rec->size;
    s.basic = sync_crc_record(rec, flagnames);
    if (sum) {
        s.annot = sum->crc;
        s.annot_used = sum->used;
    }
    return s;
}

/*
 * How the annotation CRC changes by the record fields that count as annotations.
 * A change of flags leaves them alone, and two equal CRCs need not be computed.
 */
static uint32_t field_annots_delta(const struct index_record *o, const struct index_record *n,
                                   uint32_t minor)
{
    if (counts(o) && counts(n) && o->uid == n->uid && o->cid == n->cid &&
        o->savedate == n->savedate && o->createdmodseq == n->createdmodseq)
        return 0;
    return (counts(o) ? sync_crc_record_annots(o, minor) : 0) ^
           (counts(n) ? sync_crc_record_annots(n, minor) : 0);
}

static bool move64(uint64_t *count, uint64_t less, uint64_t more)
{
    uint64_t v = *count + more;

    *count = v < less ? 0 : v - less;
    return v >= less;
}

static bool move32(uint32_t *count, uint32_t less, uint32_t more)
{
    uint64_t v = *count;
    bool ok = move64(&v, less, more);

    *count = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
    return ok;
}

int index_header_apply_delta(struct index_header *hdr, const struct index_record *oldrec,
                             const struct annot_sum *oldsum, const struct index_record *newrec,
                             const struct annot_sum *newsum, const strarray_t *flagnames)
{
    struct share o = share_of(oldrec, oldsum, flagnames);
    struct share n = share_of(newrec, newsum, flagnames);
    bool annots = index_header_counts_annots(hdr), ok = true;

    ok &= move32(&hdr->exists, o.exists, n.exists);
    ok &= move32(&hdr->deleted, o.deleted, n.deleted);
    ok &= move32(&hdr->answered, o.answered, n.answered);
    ok &= move32(&hdr->flagged, o.flagged, n.flagged);
    if (index_header_counts_unseen(hdr)) ok &= move32(&hdr->unseen, o.unseen, n.unseen);
    ok &= move64(&hdr->quota_mailbox_used, o.used, n.used);
    if (annots) ok &= move64(&hdr->quota_annot_used, o.annot_used, n.annot_used);
    hdr->sync_crc_basic ^= o.basic ^ n.basic;
    if (annots) hdr->sync_crc_annot ^= o.annot ^ n.annot ^ field_annots_delta(oldrec, newrec, hdr->minor_version);

    bool was = oldrec && (oldrec->internal_flags & FLAG_INTERNAL_EXPUNGED);
    bool is = newrec && (newrec->internal_flags & FLAG_INTERNAL_EXPUNGED);
    if (is && !was && (!hdr->first_expunged || newrec->last_updated < hdr->first_expunged))
        hdr->first_expunged = newrec->last_updated;
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

void index_header_reset_counts(struct index_header *hdr)
{
    hdr->exists = hdr->deleted = hdr->answered = hdr->flagged = hdr->unseen = 0;
    hdr->quota_mailbox_used = hdr->quota_annot_used = 0;
    hdr->first_expunged = 0;
    hdr->sync_crc_basic = SYNC_CRC_BASIC_INIT;
    hdr->sync_crc_annot = index_header_counts_annots(hdr) ? SYNC_CRC_ANNOT_INIT : 0;
}

const char *mailbox_options_to_string(uint32_t options, char out[OPTIONS_STRING_MAX])
{
    char *p = out;

    for (size_t i = 0; i < array_size(option_letters); i++) {
        if (options & option_letters[i].bit) *p++ = option_letters[i].letter;
    }
    *p = '\0';
    return out;
}

uint32_t mailbox_options_from_string(const char *s)
{
    uint32_t options = 0;

    for (; *s; s++) {
        for (size_t i = 0; i < array_size(option_letters); i++) {
            if (*s == option_letters[i].letter) options |= option_letters[i].bit;
        }
    }
    return options;
}

uint32_t index_system_flag_bit(const char *name)
{
    for (const struct index_flag_name *f = index_system_flags; f->bit; f++) {
        if (!cyr_strcasecmp(f->name, name)) return f->bit;
    }
    return 0;
}

static char *append_codes(char *p, const char *start, const struct index_flag_name *table,
                          uint32_t flags)
{
    for (const struct index_flag_name *f = table; f->bit; f++) {
        if (!(flags & f->bit)) continue;
        if (p > start) *p++ = '|';
        *p++ = f->logcode[0];
        *p++ = f->logcode[1];
    }
    return p;
}

const char *index_flags_logstring(uint32_t flags, char out[FLAGS_LOGSTRING_MAX])
{
    char *p = append_codes(out, out, index_system_flags, flags);

    p = append_codes(p, out, internal_flags, flags);
    *p = '\0';
    return out;
}
