/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_QUOTA_CODEC_H
#define INCLUDED_QUOTA_CODEC_H
/*
 * quota_codec -- resources of a quota root and the bytes of its record (handbook 01 §6.1, §6.2)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum quota_resource {
    QUOTA_STORAGE,
    QUOTA_MESSAGE,
    QUOTA_ANNOTSTORAGE,
    QUOTA_NUMFOLDERS,
    QUOTA_NUMRESOURCES
};
extern const char *const quota_names
    [QUOTA_NUMRESOURCES]; /* "STORAGE", "MESSAGE", "X-ANNOTATION-STORAGE", "X-NUM-FOLDERS" */
extern const char *const quota_db_names[QUOTA_NUMRESOURCES]; /* "S", "M", "AS", "NF" */
extern const int64_t quota_units[QUOTA_NUMRESOURCES];        /* 1024, 1, 1024, 1 */
#define QUOTA_UNLIMITED (-1)

struct quota {
    char *root;                         /* internal dotted name */
    int64_t useds[QUOTA_NUMRESOURCES];  /* raw: bytes / messages / bytes / folders */
    int64_t limits[QUOTA_NUMRESOURCES]; /* in units; -1 unlimited */
    uint64_t modseq;
    char *scanmbox; /* a running `quota -f`: the mailbox it has come to; NULL: none */
    int64_t scanuseds[QUOTA_NUMRESOURCES];
};

/* The limit as raw usage; INT64_MAX: there is none, or it lies beyond all that can be counted. */
int64_t quota_bound(const struct quota *q, enum quota_resource res);
/* What part of a limit above 0 is used, rounded down; at most INT64_MAX. */
int64_t quota_percent(const struct quota *q, enum quota_resource res);
/* *used + more, neither below INT64_MIN nor above INT64_MAX; false: it would have been. */
bool quota_add(int64_t *used, int64_t more);
/* Resource of a wire name (any case), or -1. */
int quota_name_to_resource(const char *name);
void quota_init(struct quota *q, const char *root); /* nothing used, no limits; root is copied */
void quota_free(struct quota *q);                   /* the strings; q itself is the caller's */
/* Replace *out by the value. SCAN only if scanmbox is set. */
void quota_encode(const struct quota *q, struct buf *out);
/* Present and old forms. IMAP_QUOTAROOT_NONEXISTENT for an empty value, IMAP_MAILBOX_BADFORMAT
 * for anything else that is none. Sets all but root, which stays. */
int quota_decode(struct quota *q, const char *val, size_t len);

#endif
