/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_RECONSTRUCT_INTERNAL_H
#define INCLUDED_RECONSTRUCT_INTERNAL_H
/*
 * reconstruct_internal -- what the reconstruct_*.c files share
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "mailbox.h"
#include "mailbox_salvage.h"
#include "reconstruct.h"
#include "sync_acked.h"

/* A message file as the directory has it. The record comes first: sync_walk orders by its uid. */
struct message_file {
    struct index_record rec; /* uid; 0: "0." */
    uint64_t size;
    time_t mtime;
    bool archived;
};

struct file_list {
    struct message_file *file; /* in rising order of uid */
    size_t n;
    struct message_file *twice; /* in the archive, of UIDs that are in the spool too */
    size_t ntwice;
    bool own_archive; /* archived messages have a directory of their own */
    strarray_t odd;   /* paths */
};

/* The state of one mailbox in one transaction. */
struct repair {
    struct reconstruct *rc;
    struct mailbox *mailbox;
    struct mailbox_salvage salvage;
    struct file_list files;
    struct message_file *add,
        *again; /* files that become messages: with their UID, with a new one */
    size_t nadd, nagain;
    unsigned live, lost; /* messages, and those whose files are not there */
    char *channel;       /* whose replica is furthest with the owner, and how far; NULL: none is known */
    struct sync_acked acked;
    bool asked;          /* for that */
    bool changed;        /* there is something to commit */
    bool recount;        /* conversations have to be counted anew */
};

/* ---- reconstruct_say.c ---- */
/* A finding: "NAME what", told and logged. */
void reconstruct_say(struct reconstruct *rc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline bool reconstruct_dryrun(const struct repair *rp)
{
    return rp->rc->flags & RECONSTRUCT_DRYRUN;
}

/* ---- reconstruct_files.c ---- */
/* Reads the directories. IMAP_IOERROR (logged): one can't be read. */
int reconstruct_list_files(struct mailbox *mailbox, struct file_list *files);
void reconstruct_free_files(struct file_list *files);
/* Does the partition hold anything? False: probably it is not mounted. */
bool reconstruct_partition_isused(const char *partition);

/* ---- reconstruct_messages.c ---- */
/* Damaged records are taken out. */
int reconstruct_wipe(struct repair *rp);
/* Index and files side by side. */
int reconstruct_walk(struct repair *rp);

/* ---- reconstruct_message.c ---- */
/* A record with its file. */
int reconstruct_check_message(struct repair *rp, const struct index_record *rec,
                              struct message_file *file);
/* A file without a record: with its own UID, or the next one. */
int reconstruct_adopt(struct repair *rp, struct message_file *file, bool newuid);

/* ---- reconstruct_entry.c ---- */
/* mailboxes.db beside header and index. */
int reconstruct_entry(struct repair *rp);
/* An entry whose directory belongs to `owner`: told, and with -I it gets an identity and an empty mailbox of its own. */
int reconstruct_separate(struct reconstruct *rc, struct txn *txn, const mbentry_t *entry, const char *owner);

#endif
