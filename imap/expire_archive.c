/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * expire_archive -- old messages move to the archive partition (handbook 02 §5.2)
 *
 * A message moves as a link where spool and archive are one file system, as a copy where not. File, cache record and the
 * ARCHIVED bit of the index record change in one transaction, in silence: clients and replicas have nothing to learn from it. The
 * name in the spool goes at the next checkpoint, so a session that still has the old record in view can read the message.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "expire_internal.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_internal.h"
#include "mboxname.h"
#include "xmalloc.h"

/* Messages of one transaction. */
#define BATCH 2000

struct archive {
    const struct expire_archive_args *args;
    uint64_t maxsize; /* bytes; 0: none */
    bool everything;  /* a DELETED mailbox */
    bool keepflagged, no_age;
    bool same_root, same_fs; /* as what is not archived */
    bool other_cache;        /* of archived messages; also without a root of their own */
    struct index_record *todo;
    size_t ntodo;
};

static bool belongs(const struct archive *a, const struct index_record *rec)
{
    if (rec->internal_flags & (FLAG_INTERNAL_ARCHIVED | FLAG_INTERNAL_UNLINKED)) return false;
    if (a->everything || (a->maxsize && rec->size >= a->maxsize)) return true;
    if (a->no_age || (a->keepflagged && (rec->system_flags & FLAG_FLAGGED))) return false;
    return a->args->before && rec->internaldate <= a->args->before;
}

static int choose(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct archive *a = rock;

    (void)mailbox;
    if (!belongs(a, rec)) return 0;
    if (a->ntodo == BATCH) return IMAP_AGAIN;
    a->todo = xgrow(a->todo, a->ntodo, sizeof(*a->todo));
    a->todo[a->ntodo++] = *rec;
    return 0;
}

static int copy_file(struct mailbox *mailbox, const struct index_record *rec, const char *from,
                     const char *to)
{
    const char *root = partition_archiveroot(mailbox_partition(mailbox));
    struct txn_staged *staged;
    int fd = diskio_open(from, O_RDONLY, 0);

    if (fd < 0) {
        mailbox_log(mailbox, fd, "can't read message file", from);
        return IMAP_IOERROR;
    }
    int r = txn_stage_fd(mailbox_txn(mailbox), root, fd, MAILBOX_FILE_MODE, rec->internaldate,
                         &staged);
    diskio_close(fd);
    if (!r) txn_place(mailbox_txn(mailbox), staged, to);
    return r;
}

/* False: the file is not what the record says; reconstruct has to look at it. */
static bool is_there(struct mailbox *mailbox, const char *path, const struct index_record *rec)
{
    struct stat st;

    if (!diskio_stat(path, &st) && (uint64_t)st.st_size == rec->size) return true;
    mailbox_log(mailbox, 0, "message file is missing or has another size, not archived", path);
    return false;
}

static int archive_one(struct archive *a, struct mailbox *mailbox, struct index_record *rec)
{
    struct buf cache = BUF_INITIALIZER;
    uint32_t crc, version;
    char *from = xstrdup(mailbox_record_fname(mailbox, rec));
    int r = 0;

    if (!is_there(mailbox, from, rec)) {
        a->args->counts->failed++;
        free(from);
        return 0;
    }
    if (a->other_cache) r = mailbox_cache_bytes(mailbox, rec, &cache, &crc, &version);
    rec->internal_flags |= FLAG_INTERNAL_ARCHIVED;
    const char *to = mailbox_record_fname(mailbox, rec);
    if (!r && a->other_cache)
        r = mailbox_stage_cache(mailbox, rec, buf_base(&cache), buf_len(&cache), crc, version);
    if (!r && !a->same_root) {
        if (a->same_fs)
            txn_link(mailbox_txn(mailbox), from, to);
        else
            r = copy_file(mailbox, rec, from, to);
        if (!r) txn_unlink_lazy(mailbox_txn(mailbox), from);
    }
    if (!r) r = mailbox_rewrite_record(mailbox, rec, MAILBOX_SILENT);
    if (!r) a->args->counts->expired++;
    free(from);
    return r;
}

static bool on_one_fs(const char *a, const char *b)
{
    struct stat sa, sb;

    return !diskio_stat(a, &sa) && !diskio_stat(b, &sb) && sa.st_dev == sb.st_dev;
}

static void begin(struct archive *a, struct mailbox *mailbox)
{
    const char *spool = partition_root(mailbox_partition(mailbox)),
               *archive = partition_archiveroot(mailbox_partition(mailbox));
    uint32_t type = mbtype_isa(mailbox_mbtype(mailbox));
    int kb = config_getint(IMAPOPT_ARCHIVE_MAXSIZE);

    a->maxsize = kb > 0 ? (uint64_t)kb * 1024 : 0;
    a->keepflagged = config_getswitch(IMAPOPT_ARCHIVE_KEEPFLAGGED);
    a->no_age = type == MBTYPE_CALENDAR || type == MBTYPE_ADDRESSBOOK;
    a->everything = mboxname_isdeletedmailbox(mailbox_name(mailbox), NULL);
    a->other_cache = mailbox_cache_has_archive(mailbox_partition(mailbox));
    a->same_root = spool && archive && !strcmp(spool, archive);
    a->same_fs = spool && archive && on_one_fs(spool, archive);
}

int expire_archive_mailbox(struct mailbox *mailbox, const struct expire_archive_args *args,
                           bool *more)
{
    struct archive a = { .args = args };

    begin(&a, mailbox);
    int r = mailbox_foreach(mailbox, 0, 0, 0, choose, &a);
    *more = r == IMAP_AGAIN;
    if (*more) r = 0;
    if (!r && a.ntodo && (!a.same_root || a.other_cache)) r = mailbox_make_dirs(mailbox_txn(mailbox), &mailbox->place);
    for (size_t i = 0; !r && i < a.ntodo; i++) r = archive_one(&a, mailbox, &a.todo[i]);
    /* Cache records that were left behind go. */
    if (!r && a.ntodo && a.other_cache && !*more) r = mailbox_repack(mailbox);
    free(a.todo);
    return r;
}
