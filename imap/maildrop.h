/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILDROP_H
#define INCLUDED_MAILDROP_H
/*
 * maildrop -- a mailbox as POP3 sees it (RFC 1939 §5; handbook 04 §7.8)
 *
 * The list of messages is made once, at login, and keeps its numbers to the end. No lock
 * is held between calls, so other sessions work on the same mailbox meanwhile: a message that they
 * expunge stays readable as long as its file is there. Deletions are only marks until
 * maildrop_commit() makes them, all in one transaction; without it nothing has happened.
 *
 * Message numbers count from 1. Sizes are octets, times UTC seconds. 0 or an imap_err code.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "auth.h"

struct buf;
struct maildrop;

struct maildrop_args {
    const char *name;              /* internal name */
    const char *userid;            /* whose \Seen */
    const struct auth_state *auth; /* borrowed until maildrop_open returns */
    bool useacl;                   /* rights r, t, s are needed; else everything is allowed */
    bool useimapflags;             /* \Deleted messages are hidden, messages read become \Seen */
    int minpoll;                   /* seconds between two sessions; 0: any */
    int pollpadding; /* so many sessions are free before minpoll counts; below 1 is 1 */
    time_t now;
};
/*
 * What the mailbox holds now; it is durable when this returns. IMAP_PERMISSION_DENIED,
 * IMAP_MAILBOX_NONEXISTENT, IMAP_MAILBOX_NOTSUPPORTED (not a mailbox for mail). IMAP_AGAIN: less than minpoll
 * since the last session.
 */
int maildrop_open(const struct maildrop_args *args, struct maildrop **dropp);
/* Forgets it with all marks; NULL is fine. */
void maildrop_close(struct maildrop **dropp);

/* Highest message number. */
uint32_t maildrop_last(const struct maildrop *drop);
/* The number is that of a message without a mark. */
bool maildrop_exists(const struct maildrop *drop, uint32_t n);
/* Messages without a mark and their octets. */
void maildrop_stat(const struct maildrop *drop, uint32_t *countp, uint64_t *octetsp);
uint32_t maildrop_size(const struct maildrop *drop, uint32_t n);
/* The unique id, in the form of uidl_format, appended. */
void maildrop_uidl(const struct maildrop *drop, uint32_t n, struct buf *out);
/* The message, mapped (buf_free unmaps); no lock is held afterwards. IMAP_NOTFOUND: it is gone. */
int maildrop_read(struct maildrop *drop, uint32_t n, struct buf *message);
/* Remembers that the client has got it (useimapflags). */
void maildrop_mark_read(struct maildrop *drop, uint32_t n);
/* IMAP_PERMISSION_DENIED. */
int maildrop_delete(struct maildrop *drop, uint32_t n);
/* Takes the marks of deletion away. */
void maildrop_reset(struct maildrop *drop);
/*
 * Expunges what is marked, stores \Seen and the time of this session: all of it or nothing.
 * Messages that somebody else expunged meanwhile are fine. IMAP_MAILBOX_NONEXISTENT: the mailbox is
 * no longer the one that was opened.
 */
int maildrop_commit(struct maildrop *drop);

/*
 * When the next session may begin: the queue of `padding` sessions that loses one every minpoll
 * seconds, kept as one time. *next gets what to store for a session that begins now; false: the queue
 * is full.
 */
bool maildrop_poll_allowed(time_t last, time_t now, int minpoll, int padding, time_t *next);

#endif
