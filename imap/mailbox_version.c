/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_version -- an index becomes one of another minor version (handbook 02 §3.4)
 *
 * Every record is staged as the new version has it, the header is counted anew, and a repack
 * writes the whole at the commit; who has the old index mapped keeps it. Three fields of a
 * record are annotations of the message in versions that lack them, and move between the two. An
 * index older than 12 gets from the message what it never knew (GUID, Date), and from the
 * owner's seen.db what he has seen; its cache records have no CRC and are made anew.
 *
 * A record that can't be read stops the conversion: it has another size in the new version, so it can't
 * be carried over as it is. It is told (mailbox_read_record) and is a matter for reconstruct.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "message_cache.h"
#include "seqset.h"
#include "util.h"

/* Written versions; older ones are read, and become one of these. */
#define FIRST_WRITABLE 12
/* Cache records of older versions lack what a version from 15 on expects of them. */
#define FIRST_WITH_LINES 15
#define CACHE_WITH_LINES 9

static const struct field {
    const char *entry;
    uint32_t since; /* the first version that has it in the record */
    size_t member;
    bool hex;
} fields[] = {
    { "/vendor/cmu/cyrus-imapd/thrid", 13, offsetof(struct index_record, cid), true },
    { "/vendor/cmu/cyrus-imapd/savedate", 15, offsetof(struct index_record, savedate), false },
    { "/vendor/cmu/cyrus-imapd/createdmodseq", 16, offsetof(struct index_record, createdmodseq), false },
};

struct conversion {
    struct mailbox *mailbox;
    uint32_t from, to;
    struct seqset *seen; /* of the owner; NULL: in the records already */
};

/* Members are modseq_t, conversation_id_t or time_t, all of 64 bits. */
static uint64_t get_field(const struct index_record *rec, const struct field *f)
{
    uint64_t v;
    memcpy(&v, (const char *)rec + f->member, sizeof(v));
    return v;
}

static void set_field(struct index_record *rec, const struct field *f, uint64_t v)
{
    memcpy((char *)rec + f->member, &v, sizeof(v));
}

/* ---- one record ---- */

static int field_to_annotation(struct mailbox *mailbox, struct index_record *rec, const struct field *f)
{
    uint64_t v = get_field(rec, f);
    struct buf value = BUF_INITIALIZER;

    if (!v) return 0;
    buf_printf(&value, f->hex ? "%" PRIx64 : "%" PRIu64, v);
    int r = annotate_msg_set_field(mailbox, rec, f->entry, &value);
    buf_free(&value);
    set_field(rec, f, 0);
    return r;
}

static int field_from_annotation(struct mailbox *mailbox, struct index_record *rec, const struct field *f)
{
    struct buf value = BUF_INITIALIZER;

    if (!mailbox_has_annotations(mailbox)) return 0;
    int r = annotate_msg_lookup(mailbox, rec->uid, f->entry, "", &value);
    if (!r && buf_len(&value)) {
        set_field(rec, f, strtoull(buf_cstring(&value), NULL, f->hex ? 16 : 10));
        r = annotate_msg_set_field(mailbox, rec, f->entry, NULL);
    }
    buf_free(&value);
    return r;
}

static int convert_fields(const struct conversion *cv, struct index_record *rec)
{
    int r = 0;
    if (rec->internal_flags & FLAG_INTERNAL_UNLINKED) return 0;
    for (size_t i = 0; !r && i < array_size(fields); i++) {
        const struct field *f = &fields[i];
        bool had = cv->from >= f->since, has = cv->to >= f->since;

        if (had && !has) r = field_to_annotation(cv->mailbox, rec, f);
        if (!had && has) r = field_from_annotation(cv->mailbox, rec, f);
    }
    return r;
}

/* What versions before 12 lack. A message that is not there leaves its record as it was: told by the look-up. */
static void complete(const struct conversion *cv, struct index_record *rec)
{
    struct message_config config;
    struct buf msg = BUF_INITIALIZER;
    time_t gmtime, sentdate;

    if (cv->seen && seqset_ismember(cv->seen, rec->uid)) rec->system_flags |= FLAG_SEEN;
    if (!rec->modseq) rec->modseq = 1;
    if (mailbox_map_record(cv->mailbox, rec, &msg)) return;
    const char *base = buf_len(&msg) ? buf_base(&msg) : "";
    if (message_guid_isnull(&rec->guid)) message_guid_generate(&rec->guid, base, buf_len(&msg));
    mailbox_message_config(&config);
    struct message_content *content = message_parse(base, buf_len(&msg), &config);
    message_dates(content, &gmtime, &sentdate);
    if (gmtime) rec->gmtime = index_time(gmtime);
    message_content_free(&content);
    buf_free(&msg);
}

static int convert_record(const struct conversion *cv, uint32_t recno)
{
    struct index_record rec;

    int r = mailbox_read_record(cv->mailbox, recno, &rec);
    if (r || !rec.uid) return r;
    if (cv->from < FIRST_WRITABLE) complete(cv, &rec);
    /* Without a CRC it does not count, and the repack makes it anew. */
    if (cv->to >= FIRST_WITH_LINES && rec.cache_version < CACHE_WITH_LINES) rec.cache_crc = 0;
    r = convert_fields(cv, &rec);
    if (!r) mailbox_stage_record(cv->mailbox, recno)->rec = rec;
    return r;
}

/* ---- the whole ---- */

/* The owner's state moves into the index. */
static int take_seen(struct conversion *cv)
{
    struct mailbox *mailbox = cv->mailbox;
    struct seendata sd = SEENDATA_INITIALIZER;

    if (cv->from >= FIRST_WRITABLE || !mailbox->userid || !mailbox_uniqueid(mailbox)) return 0;
    int r = seen_read(mailbox->userid, mailbox_uniqueid(mailbox), &sd, mailbox->txn);
    if (r == IMAP_NOTFOUND) return 0;
    if (r) return r;
    if (sd.seenuids && *sd.seenuids) cv->seen = seqset_parse(sd.seenuids, NULL, 0);
    if (sd.lastuid > mailbox->hdr.recentuid) {
        mailbox->hdr.recentuid = sd.lastuid;
        mailbox->hdr.recenttime = index_time(sd.lastread);
    }
    seen_freedata(&sd);
    return 0;
}

int mailbox_set_version(struct mailbox *mailbox, int version)
{
    uint32_t to = version ? (uint32_t)version : MAILBOX_MINOR_VERSION;
    struct conversion cv = { .mailbox = mailbox, .from = mailbox->hdr.minor_version, .to = to };
    struct index_version layout;

    if (version < 0 || to < FIRST_WRITABLE || !index_version_lookup(to, &layout)) return IMAP_MAILBOX_NOTSUPPORTED;
    if (cv.from == to) return 0;
    index_header_set_version(&mailbox->hdr, to);
    int r = mailbox_must_repack(mailbox);
    if (!r) r = take_seen(&cv);
    for (uint32_t recno = 1; !r && recno <= mailbox->hdr.num_records; recno++) r = convert_record(&cv, recno);
    if (!r) r = mailbox_recalc_counters(mailbox);
    seqset_free(cv.seen);
    return r;
}
