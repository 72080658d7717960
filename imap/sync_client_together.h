/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_TOGETHER_H
#define INCLUDED_SYNC_CLIENT_TOGETHER_H
/*
 * sync_client_together -- mailboxes of many users in one round trip (X-TOGETHER, doc/sync-extensions.md)
 *
 * What the replica has of a mailbox is known as long as the connection on which it was told or made so lives. Of such a mailbox the
 * difference is sent without asking, with the state that it is from; the replica refuses if its own is another, and then the way of
 * sync_do_mailboxes_of is gone, which asks.
 */
#include <stdbool.h>
#include <stdint.h>

#include "sync_client.h"

/* What must be right before a difference can be applied. */
struct sync_known {
    uint32_t last_uid, crc_basic, crc_annot;
    modseq_t highestmodseq;
};
/* The replica has the mailbox in this state. Without sc->remembers nothing is noted. */
void sync_known_note(struct sync_client *sc, const struct sync_folder *folder);
void sync_known_forget(struct sync_client *sc, const char *uniqueid);
void sync_known_clear(struct sync_client *sc);

/* Of mailboxes one after the other. */
struct sync_snapshot {
    struct dlist *files; /* MESSAGE */
    struct buf text;     /* items of MAILBOXES, a blank before each */
    uint64_t octets, lsn;
    unsigned nfiles;
    struct sync_known state; /* that the last one has afterwards */
};
/* Adds what has changed since. An error, and IMAP_AGAIN, which wants a comparison: nothing was added but to sent. (_mailbox.c) */
int sync_mailbox_snapshot(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_known *known,
                          struct sync_sent *sent, struct sync_snapshot *out);

/* Some users who go across together. */
struct sync_together {
    struct sync_client *sc;
    struct sync_snapshot snap;
    struct sync_sent sent;
    ptrarray_t locks;  /* struct namelock */
    ptrarray_t states; /* struct state (_together.c) */
};
/* False: the replica can't, or nothing is known of it. */
bool sync_together_may(const struct sync_client *sc);
void sync_together_init(struct sync_together *t, struct sync_client *sc);
void sync_together_fini(struct sync_together *t);
/* These mailboxes of a user ("": shared). False: they need another way. */
bool sync_together_add(struct sync_together *t, const char *owner, const strarray_t *names);
/* It is time to send. */
bool sync_together_is_full(const struct sync_together *t);
/* 0: the replica has all of it, durably; else nothing, but for a connection that broke, when nobody knows. It is empty again. */
int sync_together_send(struct sync_together *t);

#endif
