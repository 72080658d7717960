/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_update -- what one changed index record does to the conversations of its user
 *
 * The rules are those of handbook 01 §5.8. A message counts once however many copies there
 * are, so the copies of its GUID are counted before and after the change, and all sums move by the
 * difference of the two.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "libconfig.h"
#include "message_conv.h"
#include "message_section.h"
#include "quota_codec.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* How many copies of a message there are, of what kind. */
struct copy_counts {
    uint32_t records, exists, unseen;       /* unseen: outside Trash */
    uint32_t f_records, f_exists, f_unseen; /* in the folder of the change */
};

struct change {
    struct conversations_state *state;
    struct mailbox *mailbox;
    const struct index_record *old, *new; /* one of them may be NULL */
    const struct index_record *rec;       /* new, else old */
    const char *key;                      /* of the folder */
    uint32_t folder, trash;
    struct conv_copies *copies;
    struct copy_counts pre, post;
    struct cacherecord cache;
    bool have_cache;
};

/* What a change does to the sums: -1, 0 or 1. */
struct delta {
    int records, exists, unseen;
    int f_records, f_exists, f_unseen;
};

static int step(uint32_t before, uint32_t after)
{
    return (after > 0) - (before > 0);
}

static struct delta delta_of(const struct change *c)
{
    return (struct delta){
        .records = step(c->pre.records, c->post.records),
        .exists = step(c->pre.exists, c->post.exists),
        .unseen = step(c->pre.unseen, c->post.unseen),
        .f_records = step(c->pre.f_records, c->post.f_records),
        .f_exists = step(c->pre.f_exists, c->post.f_exists),
        .f_unseen = step(c->pre.f_unseen, c->post.f_unseen),
    };
}

static bool exists(uint32_t system_flags, uint32_t internal_flags)
{
    return !(system_flags & FLAG_DELETED) && !(internal_flags & FLAG_INTERNAL_EXPUNGED);
}

/* ---- copies ---- */

static void count_copies(const struct change *c, struct copy_counts *n)
{
    memset(n, 0, sizeof(*n));
    for (size_t i = 0; i < c->copies->n; i++) {
        const struct conv_guidrec *g = &c->copies->recs[i];
        /* Values of old databases have no flags: such a copy exists and is unseen. */
        bool is_there = !g->version || exists(g->system_flags, g->internal_flags);
        bool is_unseen = is_there && (!g->version || !(index_flags_seen(g->system_flags) || (g->system_flags & FLAG_DRAFT)));

        n->records++;
        n->exists += is_there;
        n->unseen += is_unseen && g->foldernum != c->trash;
        if (g->foldernum != c->folder) continue;
        n->f_records++;
        n->f_exists += is_there;
        n->f_unseen += is_unseen;
    }
}

static bool exists_in_folder(const struct conv_copies *copies, uint32_t folder)
{
    for (size_t i = 0; i < copies->n; i++) {
        const struct conv_guidrec *g = &copies->recs[i];
        if (g->foldernum == folder && (!g->version || exists(g->system_flags, g->internal_flags)))
            return true;
    }
    return false;
}

static int check_limits(const struct change *c)
{
    const struct {
        uint32_t before, after;
        enum imapopt limit;
    } checks[] = {
        { c->pre.records, c->post.records, IMAPOPT_CONVERSATIONS_MAX_GUIDRECORDS },
        { c->pre.exists, c->post.exists, IMAPOPT_CONVERSATIONS_MAX_GUIDEXISTS },
        { c->pre.f_exists, c->post.f_exists, IMAPOPT_CONVERSATIONS_MAX_GUIDINFOLDER },
    };

    if (c->post.records <= c->pre.records) return 0;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        int limit = config_getint(checks[i].limit);
        if (limit <= 0 || checks[i].after <= (uint32_t)limit) continue;
        xsyslog(LOG_ERR, "IOERROR: conversations GUID limit", "mailbox=<%s> uid=<%u> copies=<%u>",
                mailbox_name(c->mailbox), c->rec->uid, checks[i].after);
        return IMAP_CONVERSATION_GUIDLIMIT;
    }
    return 0;
}

static struct conv_guidrec guidrec_of(const struct change *c)
{
    return (struct conv_guidrec){
        .guid = c->rec->guid,
        .foldernum = c->folder,
        .uid = c->rec->uid,
        .version = c->state->byname ? 1 : CONV_GUIDREC_VERSION,
        .cid = c->rec->cid,
        .system_flags = c->rec->system_flags & FLAGS_SYSTEM,
        .internal_flags = c->rec->internal_flags & FLAGS_INTERNAL,
        .internaldate = c->rec->internaldate,
    };
}

static int set_part(const char *path, const struct section_part *part, void *rock)
{
    const struct change *c = rock;
    struct conv_guidrec g = guidrec_of(c);

    if (message_guid_isnull(&part->guid) || strlen(path) >= sizeof(g.part)) return 0;
    g.guid = part->guid;
    snprintf(g.part, sizeof(g.part), "%s", path);
    int r = conv_guidrec_takeover(c->state, &g.guid);
    if (r) return r;
    return c->new ? conv_guidrec_store(c->state, &g) : conv_guidrec_delete(c->state, &g);
}

static bool copy_is_same(const struct change *c)
{
    const struct index_record *a = c->old, *b = c->new;

    return a && b && a->internaldate == b->internaldate &&
           (a->system_flags & FLAGS_SYSTEM) == (b->system_flags & FLAGS_SYSTEM) &&
           (a->internal_flags & FLAGS_INTERNAL) == (b->internal_flags & FLAGS_INTERNAL) &&
           conv_copies_find(c->copies, c->folder, b->uid);
}

/* The copy of this record, in memory and in the database, and those of its parts. */
static int set_copies(struct change *c, bool with_limits)
{
    struct conv_guidrec g = guidrec_of(c);
    struct conv_guidrec *have = conv_copies_find(c->copies, c->folder, c->rec->uid);
    struct conv_guidrec before = have ? *have : g;

    count_copies(c, &c->pre);
    c->post = c->pre;
    if (copy_is_same(c)) return 0;
    int r = conv_copies_set(c->state, c->copies, &g, c->new != NULL);
    if (r) return r;
    count_copies(c, &c->post);
    if (with_limits && (r = check_limits(c))) {
        (void)conv_copies_set(c->state, c->copies, &before, have != NULL);
        return r;
    }
    if (!c->have_cache) return 0;
    return section_foreach(&c->cache, c->rec->cache_version, set_part, c);
}

static int count_quota(struct change *c)
{
    int d = step(c->pre.exists, c->post.exists);

    if (!d) return 0;
    int r = conv_quota_get(c->state);
    if (r) return r;
    struct conv_quota *q = &c->state->quota;
    (void)quota_add(&q->emails, d);
    (void)quota_add(&q->storage, d * (int64_t)c->rec->size);
    if (q->emails < 0) q->emails = 0;
    if (q->storage < 0) q->storage = 0;
    c->state->quota_dirty = true;
    return 0;
}

/* ---- B ---- */

static void count_flags(const struct change *c, struct conversation *conv,
                        const struct index_record *rec, int delta)
{
    const strarray_t *flags = &c->state->counted_flags;
    const strarray_t *names = mailbox_flagnames(c->mailbox);

    if (!rec || !exists(rec->system_flags, rec->internal_flags)) return;
    for (int i = 0; i < strarray_size(flags); i++) {
        const char *flag = strarray_nth(flags, i);
        uint32_t bit = index_system_flag_bit(flag);
        int slot = bit ? -1 : strarray_find_case(names, flag, 0);
        bool has = bit ? (rec->system_flags & bit) != 0
                       : slot >= 0 && index_record_user_flag(rec, slot);
        if (has) conv_add(&conv->counts[i], delta);
    }
}

/* A database whose counted flags have grown has shorter lists in old records. */
static void fit_counts(const struct change *c, struct conversation *conv)
{
    size_t want = (size_t)strarray_size(&c->state->counted_flags);

    if (conv->ncounts >= want) return;
    conv->counts = xreallocarray(conv->counts, want, sizeof(*conv->counts));
    memset(conv->counts + conv->ncounts, 0, (want - conv->ncounts) * sizeof(*conv->counts));
    conv->ncounts = want;
}

static void set_subject(const struct change *c, struct conversation *conv)
{
    struct buf subject = BUF_INITIALIZER, old = BUF_INITIALIZER;

    if (conv->subject || !c->new || !c->have_cache || (c->new->system_flags &FLAG_DRAFT)) return;
    if (!conv_subject_from_cache(&c->cache, &subject, &old))
        conv->subject = buf_newcstring(&subject);
    buf_free(&subject);
    buf_free(&old);
}

static void sum_conversation(const struct change *c, struct conversation *conv,
                             const struct delta *d)
{
    struct conv_folder *f = conv_folder_item(conv, c->folder);
    struct rfc822_address from;

    conv_add(&conv->num_records, d->records);
    conv_add(&conv->exists, d->exists);
    conv_add(&conv->unseen, d->unseen);
    conv_add(&f->num_records, d->f_records);
    conv_add(&f->exists, d->f_exists);
    conv_add(&f->unseen, d->f_unseen);
    if (d->exists > 0) conv->size += c->rec->size;
    if (d->exists < 0) conv->size -= cyr_min(conv->size, (uint64_t)c->rec->size);
    fit_counts(c, conv);
    count_flags(c, conv, c->old, -1);
    count_flags(c, conv, c->new, 1);
    if (c->have_cache && conv_sender_from_cache(&c->cache, &from))
        conv_sender_add(conv, &from, c->rec->gmtime, d->exists);
    conv_thread_add(conv, &c->rec->guid, c->rec->internaldate, d->exists);

    modseq_t modseq = c->rec->modseq;
    conv->modseq = cyr_max(conv->modseq, modseq);
    f->modseq = cyr_max(f->modseq, modseq);
    if (c->rec->createdmodseq &&
        (!conv->createdmodseq || c->rec->createdmodseq < conv->createdmodseq))
        conv->createdmodseq = c->rec->createdmodseq;
}

/* ---- F ---- */

/* What the conversation looked like before the change. */
struct before {
    uint32_t unseen, f_exists, f_unseen;
};

static int sum_own_folder(const struct change *c, const struct conversation *conv,
                          const struct delta *d, const struct before *before)
{
    struct conv_folderstatus *fs;
    struct conv_folder *f = conv_folder_item((struct conversation *)conv, c->folder);
    bool is_trash = c->folder == c->trash;
    int r = conv_status_get(c->state, c->key, &fs);

    if (r) return r;
    struct conv_status *s = &fs->status;
    conv_add(&s->emailexists, d->f_exists);
    if (is_trash)
        conv_add(&s->emailunseen, d->f_unseen);
    else if (d->f_exists > 0)
        conv_add(&s->emailunseen, c->post.unseen > 0);
    else if (d->f_exists < 0)
        conv_add(&s->emailunseen, -(c->pre.unseen > 0));
    else if (c->post.f_exists)
        conv_add(&s->emailunseen, d->unseen);

    uint32_t was = is_trash ? before->f_unseen : before->unseen;
    uint32_t is = is_trash ? f->unseen : conv->unseen;
    int came = step(before->f_exists, f->exists);
    conv_add(&s->threadexists, came);
    if (came > 0)
        conv_add(&s->threadunseen, is > 0);
    else if (came < 0)
        conv_add(&s->threadunseen, -(was > 0));
    else if (f->exists)
        conv_add(&s->threadunseen, step(was, is));
    s->threadmodseq = cyr_max(s->threadmodseq, c->rec->modseq);
    fs->dirty = true;
    return 0;
}

static int sum_other_folders(const struct change *c, const struct conversation *conv,
                             const struct delta *d, const struct before *before)
{
    for (size_t i = 0; i < conv->nfolders; i++) {
        const struct conv_folder *f = &conv->folders[i];
        const char *key = strarray_nth(&c->state->folders, (int)f->number);
        struct conv_folderstatus *fs;

        if (f->number == c->folder || !key) continue;
        int r = conv_status_get(c->state, key, &fs);
        if (r) return r;
        if (c->folder != c->trash && f->number != c->trash && f->exists) {
            if (d->unseen && exists_in_folder(c->copies, f->number))
                conv_add(&fs->status.emailunseen, d->unseen);
            conv_add(&fs->status.threadunseen, step(before->unseen, conv->unseen));
        }
        fs->status.threadmodseq = cyr_max(fs->status.threadmodseq, c->rec->modseq);
        fs->dirty = true;
    }
    return 0;
}

/* ---- the whole ---- */

static int change_conversation(struct change *c)
{
    struct conv_entry *entry;
    struct delta d = delta_of(c);
    int r = conv_entry_get(c->state, c->rec->cid, &entry);

    if (r) return r;
    if (!entry->conv) entry->conv = conversation_new();
    struct conversation *conv = entry->conv;
    const struct conv_folder *f = conv_folder_item(conv, c->folder);
    struct before before = { conv->unseen, f->exists, f->unseen };

    entry->dirty = true;
    set_subject(c, conv);
    sum_conversation(c, conv, &d);
    r = sum_own_folder(c, conv, &d, &before);
    return r ? r : sum_other_folders(c, conv, &d, &before);
}

static int apply(struct change *c, bool with_limits)
{
    struct buf view = BUF_INITIALIZER;

    c->rec = c->new ? c->new : c->old;
    c->key = conv_folder_key(c->state, c->mailbox);
    c->folder = conv_folder_number(c->state, c->key, true);
    c->trash = conv_trash_number(c->state);
    int r = conv_copies_get(c->state, &c->rec->guid, &c->copies);
    if (r) return r;
    /* Without its cache record a message still counts, but for its parts and sender. */
    c->have_cache = !mailbox_cacherecord(c->mailbox, c->rec, &view) &&
                    !cacherecord_parse(buf_base(&view), buf_len(&view), &c->cache);
    r = set_copies(c, with_limits);
    if (!r) r = count_quota(c);
    if (!r && c->rec->cid) r = change_conversation(c);
    buf_free(&view);
    return r;
}

static const struct index_record *unless_unlinked(const struct index_record *rec)
{
    return rec && !(rec->internal_flags & FLAG_INTERNAL_UNLINKED) ? rec : NULL;
}

int conversations_update_record(struct conversations_state *state, struct mailbox *mailbox,
                                const struct index_record *oldrec,
                                const struct index_record *newrec, bool check_limits_too)
{
    struct change c = { .state = state, .mailbox = mailbox };

    if (!state) return 0;
    c.old = unless_unlinked(oldrec);
    c.new = unless_unlinked(newrec);
    if (!c.old && !c.new) return 0;
    if (!c.old || !c.new || c.old->cid == c.new->cid) return apply(&c, check_limits_too);

    struct change gone = { .state = state, .mailbox = mailbox, .old = c.old };
    c.old = NULL;
    int r = apply(&gone, false);
    return r ? r : apply(&c, false);
}
