/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_NOTIFY_H
#define INCLUDED_IMAP_NOTIFY_H
/*
 * imap_notify -- what a session is told of mailboxes without asking: NOTIFY (RFC 5465)
 *
 * The session remembers of each mailbox what it was told last. The kernel wakes it when the files of its owner or
 * of the list of mailboxes change (imap_watch); then the attributes of the files say which are to be looked at, and
 * what is different is told: STATUS, LIST, METADATA. Nothing is asked of mailboxes that nobody has changed. What may not be seen
 * (right l), or read (r, for STATUS), is as if it were not there.
 *
 * Told while the session waits for a command, and during IDLE; never in a command. Of the selected mailbox all
 * is told at the end of commands, as without NOTIFY.
 */
#include "fetch.h"
#include "imap_session.h"
#include "strarray.h"

enum {
    NOTIFY_MESSAGE_NEW = 1 << 0,
    NOTIFY_MESSAGE_EXPUNGE = 1 << 1,
    NOTIFY_FLAG_CHANGE = 1 << 2,
    NOTIFY_MAILBOX_NAME = 1 << 3,
    NOTIFY_SUBSCRIPTION_CHANGE = 1 << 4,
    NOTIFY_MAILBOX_METADATA_CHANGE = 1 << 5,
    NOTIFY_SERVER_METADATA_CHANGE = 1 << 6,
    NOTIFY_MESSAGES = NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE | NOTIFY_FLAG_CHANGE,
};

enum notify_filter {
    NOTIFY_SELECTED,
    NOTIFY_SELECTED_DELAYED,
    NOTIFY_INBOXES, /* mail may be delivered to each personal mailbox */
    NOTIFY_PERSONAL,
    NOTIFY_SUBSCRIBED,
    NOTIFY_SUBTREE,
    NOTIFY_MAILBOXES,
};

struct notify_group {
    enum notify_filter filter;
    strarray_t names; /* internal */
    unsigned events;
};
struct notify_args {
    bool status;          /* what is now is told at once */
    bool selected, delayed;
    unsigned selected_events;
    bool has_fetch;
    struct fetch_request fetch; /* of new messages in the selected mailbox */
    struct notify_group *groups;
    size_t ngroups;
};
void notify_args_fini(struct notify_args *args);

#define IMAP_NOTIFY_MAX 10000 /* mailboxes of one session; more: OK [NOTIFICATIONOVERFLOW], and nothing is told */

/* From now on; takes what args has. NULL: nothing is told any more. */
void imap_notify_set(struct imap_session *s, struct notify_args *args);
/* Looks at what may have changed, and tells it. Not in a command. */
void imap_notify_look(struct imap_session *s);
/* A wake-up may have gone to somebody else. */
void imap_notify_touch(struct imap_session *s);
/* Around a wait for the next command. */
void imap_notify_begin_wait(struct imap_session *s);
void imap_notify_end_wait(struct imap_session *s);
/* The rest of the wait is polled, too, for what the kernel can't tell. */
void imap_notify_poll(struct imap_session *s);
/* Another mailbox is selected, or none. */
void imap_notify_selected(struct imap_session *s);
/* Messages from this number on are new in the selected mailbox: the items that were asked for. */
void imap_notify_new_messages(struct imap_session *s, uint32_t first);
/* Is a change of flags in the selected mailbox told at once? */
bool imap_notify_tells_flags(const struct imap_session *s);

#endif
