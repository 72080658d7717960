/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_LOGLINE_H
#define INCLUDED_SYNC_LOGLINE_H
/*
 * sync_logline -- one line of a sync log taken apart (handbook 03 §12.2)
 */
#include <stdbool.h>

#include "buf.h"

enum sync_logtype {
    SYNC_LOG_USER,
    SYNC_LOG_UNUSER,
    SYNC_LOG_META,
    SYNC_LOG_MAILBOX, /* APPEND is read as this */
    SYNC_LOG_DOUBLEMAILBOX,
    SYNC_LOG_RENAME,
    SYNC_LOG_UNMAILBOX,
    SYNC_LOG_QUOTA,
    SYNC_LOG_ANNOTATION,
    SYNC_LOG_SEEN,
    SYNC_LOG_SUB, /* UNSUB too */
};

struct sync_logline {
    enum sync_logtype type;
    struct buf args[2]; /* the second empty where the type has one */
};
#define SYNC_LOGLINE_INITIALIZER                       \
    {                                                  \
        SYNC_LOG_USER, { BUF_INITIALIZER, BUF_INITIALIZER } \
    }

/* What a line is. */
enum sync_logread {
    SYNC_LOGREAD_OK,
    SYNC_LOGREAD_IGNORED, /* a word alone, as 3.6.1 */
    SYNC_LOGREAD_UNKNOWN, /* another type */
    SYNC_LOGREAD_GARBAGE, /* not words, the wrong number of them, or bytes that no name has */
};
/* text without its LF, NUL-terminated. The type in any case. */
enum sync_logread sync_logline_parse(const char *text, struct sync_logline *line);
void sync_logline_fini(struct sync_logline *line);

#endif
