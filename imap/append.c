/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append -- new messages for mailboxes: staged once, written once, linked from then on
 *
 * A stage holds the bytes of one message, its tree, its GUID and its cache record, each made
 * once however many mailboxes it goes to. In a transaction the first mailbox of a partition
 * gets the file, the others get links to it; a message that the owner has already
 * on that partition is linked and not written at all.
 *
 * A stage may be freed before the transaction ends: the transaction keeps what it needs.
 */
#include <config.h>

#include "append.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "annotate.h"
#include "append_internal.h"
#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxname.h"
#include "message_cache.h"
#include "message_check.h"
#include "quota.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- stages ---- */

/* The first file of the message below a root in this transaction: others are linked to it. */
struct placed {
    struct placed *next;
    char *root;
    struct staged_file file; /* where the bytes are until the commit */
    char *link;              /* the name to link to; NULL: use staged */
    struct txn_staged *staged;
};

/* What a transaction keeps of a stage. */
struct stage_use {
    struct stage *stage;
    struct placed *placed;
};

struct stage {
    unsigned refs;
    const char *base;
    size_t len;
    struct buf owned; /* munged bytes; or a copy for a transaction that outlives the caller's */
    struct diskio_map map;
    struct message_content *content;
    struct message_guid guid;
    struct buf cache; /* empty: not made yet */
};

static int new_stage(struct stage *stage, unsigned flags, struct stage **stagep)
{
    struct message_config config;
    bool utf8 = (flags & APPEND_UTF8HEADER) && message_header_isutf8(stage->base, stage->len);
    unsigned check = !utf8 && config_getswitch(IMAPOPT_REJECT8BIT) ? MESSAGE_CHECK_REJECT8BIT : 0;

    stage->refs = 1;
    if (stage->len > UINT32_MAX) {
        stage_free(&stage);
        return IMAP_MESSAGE_TOO_LARGE;
    }
    int r = flags & APPEND_NOCHECK ? 0 : message_check(stage->base, stage->len, check);
    if (!r && !stage->len) r = IMAP_ZERO_LENGTH_LITERAL;
    if (r) {
        stage_free(&stage);
        return r;
    }
    if (!utf8 && (flags & APPEND_MUNGE8BIT) && message_header_has8bit(stage->base, stage->len)) {
        buf_setmap(&stage->owned, stage->base, stage->len);
        message_munge8bit(stage->owned.s, stage->len);
        stage->base = buf_base(&stage->owned);
    }
    mailbox_message_config(&config);
    stage->content = message_parse(stage->base, stage->len, &config);
    message_guid_generate(&stage->guid, stage->base, stage->len);
    *stagep = stage;
    return 0;
}

int stage_new_bytes(const char *base, size_t len, unsigned flags, struct stage **stagep)
{
    struct stage *stage = xzmalloc(sizeof(*stage));

    stage->base = base ? base : "";
    stage->len = len;
    return new_stage(stage, flags, stagep);
}

int stage_new_file(const char *path, unsigned flags, struct stage **stagep)
{
    struct stage *stage = xzmalloc(sizeof(*stage));
    int r = diskio_map_file(path, &stage->map, NULL);

    if (r) {
        xsyslog_errno(LOG_ERR, r, "IOERROR: can't read the message to append", "filename=<%s>",
                      path);
        free(stage);
        return IMAP_IOERROR;
    }
    stage->base = stage->map.base ? stage->map.base : "";
    stage->len = stage->map.len;
    return new_stage(stage, flags, stagep);
}

void stage_free(struct stage **stagep)
{
    struct stage *stage = *stagep;

    *stagep = NULL;
    if (!stage || --stage->refs) return;
    message_content_free(&stage->content);
    buf_free(&stage->owned);
    buf_free(&stage->cache);
    diskio_map_free(&stage->map);
    free(stage);
}

const struct message_content *stage_content(const struct stage *stage)
{
    return stage->content;
}

const struct message_guid *stage_guid(const struct stage *stage)
{
    return &stage->guid;
}

size_t stage_size(const struct stage *stage)
{
    return stage->len;
}

void stage_map(const struct stage *stage, const char **base, size_t *len)
{
    *base = stage->base;
    *len = stage->len;
}

/* ---- in a transaction ---- */

static void free_use(void *data)
{
    struct stage_use *use = data;
    struct placed *next;

    for (struct placed *p = use->placed; p; p = next) {
        next = p->next;
        free(p->root);
        free(p->link);
        free(p->file.path);
        free(p);
    }
    stage_free(&use->stage);
    free(use);
}

static struct stage_use *use_of(struct txn *txn, struct stage *stage)
{
    char key[64];

    snprintf(key, sizeof(key), "stage/%p", (void *)stage);
    struct stage_use *use = txn_attached(txn, key);
    if (use) return use;
    use = xzmalloc(sizeof(*use));
    use->stage = stage;
    stage->refs++;
    txn_attach(txn, key, use, free_use);
    return use;
}

/* The owner's own copy of the message, if it is what the index says it is. */
static char *own_copy(struct mailbox *mailbox, const struct stage *stage)
{
    struct stat st;
    char *path = NULL;

    if (!config_getswitch(IMAPOPT_SINGLEINSTANCESTORE) || mailbox_open_conversations(mailbox))
        return NULL;
    if (!mailbox->conv) return NULL;
    if (conversations_find_guid(mailbox->conv, &stage->guid, mailbox_partition(mailbox), &path))
        return NULL;
    if (!diskio_stat(path, &st) && (uint64_t)st.st_size == stage->len && st.st_nlink < 30000)
        return path;
    free(path);
    return NULL;
}

/* Bytes that travel inline must outlive the caller's. */
static const char *lasting_bytes(struct stage *stage)
{
    if (stage->map.base || buf_base(&stage->owned) == stage->base) return stage->base;
    if (!buf_len(&stage->owned)) buf_setmap(&stage->owned, stage->base, stage->len);
    return buf_base(&stage->owned);
}

/* The first copy below this root. Fails before anything of the record is staged. */
static int prepare_first(struct mailbox *mailbox, struct stage_use *use, const char *root,
                         time_t mtime, struct placed **placedp)
{
    struct stage *stage = use->stage;
    struct placed *p = xzmalloc(sizeof(*p));
    int r = 0;

    p->root = xstrdup(root);
    p->link = own_copy(mailbox, stage);
    p->next = use->placed;
    use->placed = p;
    *placedp = p;
    if (p->link) {
        p->file.path = xstrdup(p->link);
        return 0;
    }
    bool isinline = stage->len <= config_getbytesize(IMAPOPT_JOURNAL_INLINE_SIZE);
    const char *base = isinline ? lasting_bytes(stage) : stage->base;
    r = txn_stage(mailbox->txn, root, base, stage->len, MAILBOX_FILE_MODE, mtime, &p->staged);
    if (r) {
        use->placed = p->next;
        free(p->root);
        free(p);
        return r;
    }
    p->file.path = xstrdupnull(txn_staged_path(p->staged));
    if (!p->file.path) p->file.base = base;
    p->file.len = stage->len;
    return 0;
}

static int prepare_file(struct mailbox *mailbox, struct stage *stage,
                        const struct index_record *rec, struct placed **placedp)
{
    bool archived = rec->internal_flags & FLAG_INTERNAL_ARCHIVED;
    const char *partition = mailbox_partition(mailbox);
    const char *root = archived ? partition_archiveroot(partition) : partition_root(partition);
    struct stage_use *use = use_of(mailbox->txn, stage);
    struct placed *p = use->placed;

    if (!root) return IMAP_PARTITION_UNKNOWN;
    while (p && strcmp(p->root, root) != 0) p = p->next;
    if (!p || !config_getswitch(IMAPOPT_SINGLEINSTANCESTORE))
        return prepare_first(mailbox, use, root, rec->internaldate, placedp);
    *placedp = p;
    return 0;
}

static void place_file(struct mailbox *mailbox, struct placed *placed,
                       const struct index_record *rec)
{
    const char *path = mailbox_record_fname(mailbox, rec);

    if (placed->link)
        txn_link(mailbox->txn, placed->link, path);
    else
        txn_place(mailbox->txn, placed->staged, path);
    mailbox_note_file(mailbox, rec->uid, placed->file.base, placed->file.len, placed->file.path);
}

/* ---- flags ---- */

/* *seen: \Seen belongs into the user's own seen.db. */
static int set_flags(struct mailbox *mailbox, const struct append_args *args,
                     struct index_record *rec, bool *seen)
{
    rec->system_flags = args->system_flags & FLAGS_SYSTEM;
    rec->internal_flags = args->internal_flags & FLAGS_INTERNAL;
    for (int i = 0; args->flags && i < strarray_size(args->flags); i++) {
        const char *name = strarray_nth(args->flags, i);
        uint32_t bit = index_system_flag_bit(name);
        int slot, r = 0;

        if (bit)
            rec->system_flags |= bit;
        else if (*name != '\\')
            r = mailbox_user_flag(mailbox, name, &slot, true, args->silent);
        if (r) return r;
        if (!bit && *name != '\\') index_record_set_user_flag(rec, slot, true);
    }
    *seen = mailbox_seen_in_record(mailbox, args->userid, index_flags_seen(rec->system_flags), rec);
    return 0;
}

/* ---- limits ---- */

int append_check_limit(const struct mailbox *mailbox)
{
    static const struct {
        uint32_t type;
        enum imapopt opt;
    } limits[] = {
        { MBTYPE_EMAIL, IMAPOPT_MAILBOX_MAXMESSAGES_EMAIL },
        { MBTYPE_CALENDAR, IMAPOPT_MAILBOX_MAXMESSAGES_CALENDAR },
        { MBTYPE_ADDRESSBOOK, IMAPOPT_MAILBOX_MAXMESSAGES_ADDRESSBOOK },
    };

    for (size_t i = 0; i < array_size(limits); i++) {
        int max = config_getint(limits[i].opt);

        if (limits[i].type != mbtype_isa(mailbox_mbtype(mailbox)) || max <= 0) continue;
        if (mailbox_index_header(mailbox)->exists < (uint32_t)max) continue;
        syslog(LOG_ERR, "IOERROR: mailbox %s has as many messages as its limit %d allows",
               mailbox_name(mailbox), max);
        return IMAP_QUOTA_EXCEEDED;
    }
    return 0;
}

static const int64_t *diffs_by_resource(const struct quota_diffs *diffs,
                                        int64_t out[QUOTA_NUMRESOURCES])
{
    out[QUOTA_STORAGE] = diffs->storage;
    out[QUOTA_MESSAGE] = diffs->message;
    out[QUOTA_ANNOTSTORAGE] = diffs->annotstorage;
    out[QUOTA_NUMFOLDERS] = diffs->numfolders;
    return out;
}

int append_check_quota(struct mailbox *mailbox, const struct quota_diffs *diffs)
{
    int64_t diff[QUOTA_NUMRESOURCES];
    struct quota q;

    if (!mailbox_quotaroot(mailbox)) return 0;
    diffs_by_resource(diffs, diff);
    int r = quota_read_withconversations(mailbox_quotaroot(mailbox), QUOTA_ENFORCE, mailbox_txn(mailbox), &q);
    for (int i = 0; !r && i < QUOTA_NUMRESOURCES; i++)
        r = quota_check(&q, (enum quota_resource)i, diff[i]);
    quota_free(&q);
    return r == IMAP_QUOTAROOT_NONEXISTENT ? 0 : r;
}

/* ---- append ---- */

static bool goes_to_archive(const struct stage *stage)
{
    int kb = config_getint(IMAPOPT_ARCHIVE_MAXSIZE);

    return config_getswitch(IMAPOPT_ARCHIVE_ENABLED) && kb > 0 && stage->len >= (uint64_t)kb * 1024;
}

static void fill_record(const struct mailbox *mailbox, const struct stage *stage,
                        const struct append_args *args, struct index_record *rec)
{
    rec->uid = args->uid ? args->uid : mailbox_index_header(mailbox)->last_uid + 1;
    rec->internaldate = args->internaldate ? args->internaldate : mailbox_txn_time(mailbox);
    rec->size = (uint32_t)stage->len;
    rec->header_size = (uint32_t)stage->content->body->header_size;
    rec->guid = stage->guid;
    rec->modseq = args->modseq;
    rec->createdmodseq = args->createdmodseq;
    rec->last_updated = args->last_updated;
    rec->savedate = args->savedate;
    rec->cid = args->cid;
    if (goes_to_archive(stage)) rec->internal_flags |= FLAG_INTERNAL_ARCHIVED;
}

static int write_annotations(struct mailbox *mailbox, struct index_record *rec,
                             const struct entryattlist *list, bool silent)
{
    int r = 0;

    for (; !r && list; list = list->next)
        r = annotate_msg_write(mailbox, rec, list->entry, list->userid, &list->value,
                               silent ? list->modseq : 0);
    return r;
}

static const struct buf *cache_of(struct stage *stage)
{
    uint32_t crc;

    if (!buf_len(&stage->cache)) message_write_cache(stage->content, &stage->cache, &crc);
    return &stage->cache;
}

int append_fromstage(struct mailbox *mailbox, struct stage *stage, const struct append_args *args,
                     uint32_t *uidp)
{
    struct index_record rec = { 0 };
    struct placed *placed = NULL;
    bool seen;

    int r = mailbox_begin_change(mailbox);
    if (!r && !args->silent) r = append_check_limit(mailbox);
    if (!r) r = set_flags(mailbox, args, &rec, &seen);
    if (r) return r;
    fill_record(mailbox, stage, args, &rec);
    if (!(rec.internal_flags & FLAG_INTERNAL_UNLINKED))
        r = prepare_file(mailbox, stage, &rec, &placed);
    if (r) return r;
    r = mailbox_append_record(mailbox, &rec, stage->content, cache_of(stage),
                              args->silent ? MAILBOX_SILENT : 0);
    if (r) return r;
    if (placed) place_file(mailbox, placed, &rec);
    if (seen) r = mailbox_set_seen(mailbox, args->userid, rec.uid);
    if (!r) r = write_annotations(mailbox, &rec, args->annotations, args->silent);
    if (!r && uidp) *uidp = rec.uid;
    return r;
}
