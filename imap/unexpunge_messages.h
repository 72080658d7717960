/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_UNEXPUNGE_MESSAGES_H
#define INCLUDED_UNEXPUNGE_MESSAGES_H
/*
 * unexpunge_messages -- expunged messages come back (handbook 02 §5.4, 05 §3.15)
 *
 * A UID never returns: the message gets a new one at the end of the mailbox, with the flags, dates, conversation and
 * annotations it had, and the old record gives up its file.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct mailbox;
struct seqset;

struct unexpunge_args {
    const struct seqset *uids; /* only these; NULL: any */
    time_t since;              /* expunged then or later, UTC seconds; 0: whenever */
    bool unset_deleted;        /* without \Deleted */
    const char *flag;          /* set this user flag too; NULL: none */
    /* What became of one message: newuid 0: its file can't be used (r says why), it stays expunged. May be NULL. */
    void (*told)(const struct mailbox *mailbox, uint32_t olduid, uint32_t newuid, int r,
                 void *rock);
    void *rock;
};

/*
 * Restores up to max messages of a mailbox that is open for writing, in UID order; *restored is how many, *last the UID
 * of the last one looked at: start there (since_uid) until nothing is restored. IMAP_USERFLAG_EXHAUSTED,
 * IMAP_INVALID_IDENTIFIER: the flag.
 */
int unexpunge_messages(struct mailbox *mailbox, const struct unexpunge_args *args,
                       uint32_t since_uid, uint32_t max, uint32_t *restored, uint32_t *last);

#endif
