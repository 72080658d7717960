/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILBOX_PATH_H
#define INCLUDED_MAILBOX_PATH_H
/*
 * mailbox_path -- where files of mailboxes and users are
 *
 * Handbook 02 §1.7, §1.8, 01 §5.2, §7.13, §7.14.
 *
 * String functions of names and configuration; nothing is looked up or opened.
 * Every function replaces *out by a path. A mailbox is given as its place: with a
 * uniqueid it lies below uuid/, without one (legacy directories) below its name.
 *
 * Errors: IMAP_PARTITION_UNKNOWN when the partition is not configured,
 * IMAP_MAILBOX_BADNAME when the result would not fit into MAX_MAILBOX_PATH or when
 * a uniqueid or name cannot be part of a path.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strarray.h"

struct buf;

struct mailbox_place {
    const char *partition;
    const char *name;     /* internal name; used only without uniqueid */
    const char *uniqueid; /* NULL: legacy directories */
};
struct mbentry;
/* Place of an entry (borrows its strings): by name if it has MBTYPE_LEGACY_DIRS or no uniqueid. */
struct mailbox_place mailbox_place_of(const struct mbentry *entry);

enum mailbox_metafile {
    META_HEADER,
    META_INDEX,
    META_CACHE,
    META_EXPUNGE,
    META_SQUAT,
    META_ANNOTATIONS,
    META_LOCK,
    META_DAV,
    META_ARCHIVECACHE,
    META_NUMFILES
};
/* "header" ... as in option metapartition_files; -1 for no such word. */
int mailbox_metafile_from_name(const char *word);

/* Directory of the mailbox in the partition, without a trailing slash. */
int mailbox_path_dir(const struct mailbox_place *place, struct buf *out);
int mailbox_path_archivedir(const struct mailbox_place *place, struct buf *out);
int mailbox_path_metadir(const struct mailbox_place *place, enum mailbox_metafile file,
                         struct buf *out);
/* Path of cyrus.header, cyrus.index ... (META_LOCK: IMAP_INTERNAL, it has no file of its own). */
int mailbox_path_meta(const struct mailbox_place *place, enum mailbox_metafile file,
                      struct buf *out);
/* Path of a message file "<uid>.". */
int mailbox_path_message(const struct mailbox_place *place, bool archived, uint32_t uid,
                         struct buf *out);
/* UID of a message file name "<uid>.", or 0. */
uint32_t mailbox_path_parse_uid(const char *filename);
/* All directories that may hold files of this mailbox, each once (to create and to remove them). */
int mailbox_path_alldirs(const struct mailbox_place *place, strarray_t *dirs);

/* Root directory of a partition; NULL: not configured. */
const char *partition_root(const char *partition);
const char *partition_archiveroot(const char *partition);
const char *partition_metaroot(const char *partition, enum mailbox_metafile file);
/* Letters and digits, lower case, at most 64 bytes. */
bool partition_name_isvalid(const char *partition);
/* "<partition>/stage." and "<partition>/sync./<pid>". */
int partition_path_stage(const char *partition, struct buf *out);
int partition_path_sync(const char *partition, unsigned pid, struct buf *out);

/* File of a user: <configdirectory>/user/uuid/a/b/ID/SUFFIX.db, or with inboxid NULL the legacy
 * path .../LOCALPART.SUFFIX. userid NULL: of the mailboxes without user,
 * <configdirectory>/shared.SUFFIX (domain may be NULL). */
int user_path(const char *userid, const char *inboxid, const char *suffix, struct buf *out);
int user_path_shared(const char *domain, const char *suffix, struct buf *out);
/* Directory of the uuid form. */
int user_path_dir(const char *inboxid, struct buf *out);

/* ---- lock names and their files ---- */
/* "*U*user", dots as '^'; userid NULL: "*U*". */
void lock_name_user(const char *userid, struct buf *out);
/* The uniqueid, or the internal name. */
void lock_name_mailbox(const struct mailbox_place *place, struct buf *out);
/* <lockpath>/....lock of a lock name. */
int lock_path(const char *lockname, struct buf *out);

#endif
