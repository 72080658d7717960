/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_message -- one message: what its record says beside what its file says
 *
 * The GUID is the proof that file and record belong together. With it, sizes, dates and cache are put right from the file; without it the
 * record describes another message, and only the administrator can say what shall be (-R, -U).
 */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "annotate.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "message.h"
#include "message_cache.h"
#include "reconstruct_internal.h"
#include "xmalloc.h"

/* A message file and what it says. */
struct parsed {
    struct buf bytes, cache;
    struct message_content *content;
    struct message_guid guid;
    uint32_t crc;
};

static void parsed_fini(struct parsed *p)
{
    message_content_free(&p->content);
    buf_free(&p->bytes);
    buf_free(&p->cache);
}

/* The record with which mailbox_record_fname and mailbox_map_record find the file; it has no place in the index. */
static struct index_record place_of(const struct message_file *file)
{
    struct index_record rec = { .uid = file->rec.uid,
                                .recno = UINT32_MAX,
                                .size = (uint32_t)file->size };

    if (file->archived) rec.internal_flags = FLAG_INTERNAL_ARCHIVED;
    return rec;
}

static int parse_file(struct repair *rp, const struct message_file *file, struct parsed *p)
{
    const struct index_record place = place_of(file);
    struct message_config config;

    memset(p, 0, sizeof(*p));
    if (file->size > UINT32_MAX) return IMAP_MAILBOX_BADFORMAT;
    int r = mailbox_map_record(rp->mailbox, &place, &p->bytes);
    if (r) return r;
    mailbox_message_config(&config);
    message_guid_generate(&p->guid, buf_base(&p->bytes), buf_len(&p->bytes));
    p->content = message_parse(buf_base(&p->bytes), buf_len(&p->bytes), &config);
    message_write_cache(p->content, &p->cache, &p->crc);
    return 0;
}

/* A file that can't be read is told; the rest of the mailbox is repaired. */
static void say_unreadable(struct repair *rp, uint32_t uid)
{
    reconstruct_say(rp->rc, "%s uid %" PRIu32 " can't be read, left alone",
                    mailbox_name(rp->mailbox), uid);
    rp->rc->left++;
}

/* ---- another GUID ---- */

static int wrong_guid(struct repair *rp, const struct index_record *found,
                      const struct message_file *file)
{
    const char *name = mailbox_name(rp->mailbox);
    unsigned flags = rp->rc->flags;
    struct index_record rec = *found;

    reconstruct_say(rp->rc, "%s uid %" PRIu32 " guid mismatch", name, rec.uid);
    if (flags & RECONSTRUCT_NEWUID) {
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " marking for uid upgrade", name, rec.uid);
        rp->again = xgrow(rp->again, rp->nagain, sizeof(*rp->again));
        rp->again[rp->nagain++] = *file;
    }
    else if (flags & RECONSTRUCT_UNLINK) {
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " unlinking as requested with -U", name, rec.uid);
    }
    else {
        if (!(flags & RECONSTRUCT_DRYRUN))
            reconstruct_say(rp->rc, "run reconstruct with -R to fix or -U to remove");
        rp->rc->left++;
        return 0;
    }
    rp->changed = true;
    rec.internal_flags |= FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED |
                          FLAG_INTERNAL_NEEDS_CLEANUP;
    return mailbox_rewrite_record(rp->mailbox, &rec, 0);
}

/* ---- fields ---- */

static bool differs(struct repair *rp, const struct index_record *rec, const char *field, bool is)
{
    if (is)
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " mismatch: %s", mailbox_name(rp->mailbox),
                        rec->uid, field);
    return is;
}

static bool fix_fields(struct repair *rp, struct index_record *rec, const struct message_file *file,
                       const struct parsed *p)
{
    time_t gmtime, sentdate;
    bool any = false;

    message_dates(p->content, &gmtime, &sentdate);
    if (differs(rp, rec, "size", rec->size != file->size)) any = true;
    if (differs(rp, rec, "internaldate", !rec->internaldate)) {
        rec->internaldate = index_time(file->mtime);
        any = true;
    }
    if (sentdate && differs(rp, rec, "sentdate", rec->sentdate != index_time(sentdate))) {
        rec->sentdate = index_time(sentdate);
        any = true;
    }
    uint32_t header_size = (uint32_t)p->content->body->header_size;
    if (differs(rp, rec, "header_size", rec->header_size != header_size)) any = true;
    if (gmtime && differs(rp, rec, "gmtime", rec->gmtime != index_time(gmtime))) {
        rec->gmtime = index_time(gmtime);
        any = true;
    }
    rec->size = (uint32_t)file->size;
    rec->header_size = header_size;
    return any;
}

static bool cache_is_current(struct repair *rp, const struct index_record *rec,
                             const struct parsed *p)
{
    if (!mailbox_cache_isgood(rp->mailbox, rec)) return false;
    return rec->cache_version != MAILBOX_CACHE_MINOR_VERSION || rec->cache_crc == p->crc;
}

static int fix_cache(struct repair *rp, struct index_record *rec, const struct parsed *p)
{
    uint64_t oldoff = rec->cache_offset;
    uint32_t oldcrc = rec->cache_crc;

    int r = mailbox_stage_cache(rp->mailbox, rec, buf_base(&p->cache), buf_len(&p->cache), p->crc,
                                MAILBOX_CACHE_MINOR_VERSION);
    if (!r)
        reconstruct_say(rp->rc,
                        "%s rewrote cache for %" PRIu32 " (offset %" PRIu64 " to %" PRIu64
                        ", crc %" PRIu32 " to %" PRIu32 "/%" PRIu32 ")",
                        mailbox_name(rp->mailbox), rec->uid, oldoff, rec->cache_offset, oldcrc,
                        rec->cache_crc, p->crc);
    return r;
}

static int compare_with_file(struct repair *rp, struct index_record *rec, struct message_file *file,
                             bool *fields, bool *cache)
{
    struct parsed p;

    int r = parse_file(rp, file, &p);
    if (r) {
        say_unreadable(rp, rec->uid);
        return 0;
    }
    if (!message_guid_equal(&p.guid, &rec->guid)) {
        r = wrong_guid(rp, rec, file);
        rec->uid = 0; /* dealt with */
    }
    else {
        *fields |= fix_fields(rp, rec, file, &p);
        *cache = !cache_is_current(rp, rec, &p);
        if (*cache) r = fix_cache(rp, rec, &p);
    }
    parsed_fini(&p);
    return r;
}

static bool fix_user_flags(struct repair *rp, struct index_record *rec)
{
    const strarray_t *names = mailbox_flagnames(rp->mailbox);
    bool any = false;

    for (int slot = 0; slot < MAX_USER_FLAGS; slot++) {
        if (!index_record_user_flag(rec, slot) ||
            (slot < strarray_size(names) && strarray_nth(names, slot)))
            continue;
        index_record_set_user_flag(rec, slot, false);
        any = true;
    }
    return differs(rp, rec, "userflags", any);
}

/* The cache of archived messages is another file, so it is made anew with the move. */
static bool fix_archived(struct repair *rp, struct index_record *rec,
                         const struct message_file *file)
{
    bool was = rec->internal_flags & FLAG_INTERNAL_ARCHIVED;

    if (!rp->files.own_archive || was == file->archived) return false;
    reconstruct_say(rp->rc, "Marking file as %sarchived %s %" PRIu32, was ? "not " : "",
                    mailbox_name(rp->mailbox), rec->uid);
    rec->internal_flags ^= FLAG_INTERNAL_ARCHIVED;
    return true;
}

int reconstruct_check_message(struct repair *rp, const struct index_record *found,
                              struct message_file *file)
{
    struct index_record rec = *found;
    unsigned flags = rp->rc->flags;
    bool cache = false;

    bool moved = fix_archived(rp, &rec, file), fields = fix_user_flags(rp, &rec);
    bool parse = (flags & RECONSTRUCT_REPARSE) || !rec.internaldate || moved ||
                 !mailbox_cache_isgood(rp->mailbox, &rec) ||
                 (!(flags & RECONSTRUCT_NOSTAT) && rec.size != file->size);
    int r = parse ? compare_with_file(rp, &rec, file, &fields, &cache) : 0;
    if (r || !rec.uid || !(fields || cache || moved)) return r;
    rp->changed = true;
    /* What only we can see changes in silence: a replica has nothing to learn from it. */
    return mailbox_rewrite_record(rp->mailbox, &rec,
                                  MAILBOX_REPAIR | (fields ? 0 : MAILBOX_SILENT));
}

/* ---- new messages ---- */

static int append_file(struct repair *rp, const struct message_file *file, struct index_record *rec)
{
    struct parsed p;

    int r = parse_file(rp, file, &p);
    if (r) {
        say_unreadable(rp, file->rec.uid);
        rec->uid = 0;
        return 0;
    }
    rec->guid = p.guid;
    rec->size = (uint32_t)file->size;
    rec->internaldate = file->mtime;
    rec->header_size = (uint32_t)p.content->body->header_size;
    if (file->archived) rec->internal_flags = FLAG_INTERNAL_ARCHIVED;
    r = mailbox_append_record(rp->mailbox, rec, p.content, &p.cache, 0);
    parsed_fini(&p);
    return r;
}

/* Those of a record that was damaged belong to the message, whatever UID it has. */
static int inherit_annotations(struct repair *rp, uint32_t olduid, struct index_record *rec)
{
    struct index_record other;

    if (!olduid || !mailbox_has_annotations(rp->mailbox) ||
        !mailbox_find_uid(rp->mailbox, olduid, &other))
        return 0;
    int r = annotate_msg_copy_all(rp->mailbox, olduid, rec);
    return r ? r : annotate_msg_delete(rp->mailbox, olduid);
}

int reconstruct_adopt(struct repair *rp, struct message_file *file, bool newuid)
{
    struct mailbox *mailbox = rp->mailbox;
    struct index_record rec = { .uid = newuid ? mailbox_index_header(mailbox)->last_uid + 1
                                              : file->rec.uid };
    struct buf from = BUF_INITIALIZER;

    reconstruct_say(rp->rc,
                    newuid ? "%s uid %" PRIu32 " rediscovered - appending"
                           : "%s uid %" PRIu32 " found - adding",
                    mailbox_name(mailbox), file->rec.uid);
    if (newuid && mailbox_index_header(mailbox)->last_uid == UINT32_MAX) {
        rp->rc->left++;
        return 0;
    }
    int r = mailbox_path_message(&mailbox->place, file->archived, file->rec.uid, &from);
    if (!r) r = append_file(rp, file, &rec);
    if (!r && rec.uid && newuid) {
        txn_link(mailbox_txn(mailbox), buf_cstring(&from), mailbox_record_fname(mailbox, &rec));
        mailbox_note_file(mailbox, rec.uid, NULL, 0, buf_cstring(&from));
        txn_unlink_lazy(mailbox_txn(mailbox), buf_cstring(&from));
        r = inherit_annotations(rp, file->rec.uid, &rec);
    }
    if (!r && rec.uid) rp->changed = true;
    buf_free(&from);
    return r;
}
