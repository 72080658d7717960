/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_APPEND_PARSE_H
#define INCLUDED_APPEND_PARSE_H
/*
 * append_parse -- the messages of an APPEND command (RFC 3501 §6.3.11, RFC 3502, RFC 4469, RFC 3516, RFC 6855 §4)
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "imap_session.h"
#include "imparse.h"
#include "strarray.h"

struct entryattlist;

/* Bytes of a message while it comes in: in memory while they are few, then in a temporary file. */
struct spool {
    struct buf mem;
    int fd;        /* -1: all in mem */
    uint64_t size; /* bytes in all */
};
void spool_init(struct spool *sp);
/* IMAP_IOERROR (logged). */
int spool_add(struct spool *sp, const char *base, size_t len);
/* A view of all bytes: mem itself, or a mapping that spool_fini() ends. */
int spool_map(struct spool *sp, struct buf *view);
void spool_fini(struct spool *sp);

struct append_message {
    struct append_message *next;
    struct spool spool;
    strarray_t flags;    /* "\\Seen", "$Label" ... */
    time_t internaldate; /* 0: now */
    struct entryattlist *annotations;
    bool binary; /* literal8 */
    bool utf8;   /* its header is UTF-8 (RFC 6855 §4) */
    bool utf8_allowed; /* its header may be UTF-8; else munge8bit and reject8bit decide */
};
/*
 * Reads all messages up to the end of the line, each announced with a blank in front. False: the command has
 * been answered. *list holds what was read; the caller ends it.
 */
bool append_parse(struct imap_session *s, struct append_message **list);
void append_messages_free(struct append_message **list);
/* CATENATE (...) behind the word, into its spool (append_catenate.c). False: answered. */
bool append_catenate(struct imap_session *s, struct append_message *msg);
/* The header of "UTF8 (~{n}", behind the word. False: answered. */
bool append_utf8_header(struct imap_session *s, struct imparse_literal *lit);
/* A literal that was announced but is not wanted: its bytes are skipped if they come unasked. */
void append_refuse_literal(struct imap_session *s, const struct imparse_literal *lit);
/* The bytes of an announced literal. False: answered. */
bool append_read_literal(struct imap_session *s, const struct imparse_literal *lit,
                         struct spool *spool);

#endif
