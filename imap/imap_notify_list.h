/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_NOTIFY_LIST_H
#define INCLUDED_IMAP_NOTIFY_LIST_H
/*
 * imap_notify_list -- the mailboxes that a session with NOTIFY is told of
 */
#include <sys/stat.h>

#include "imap_notify.h"

/* What tells that a file has changed. */
struct notify_file {
    uint64_t inode, size;
    int64_t seconds, nanoseconds;
};
/* Takes the attributes anew; true: they are others. A file that isn't there has zeros. */
bool notify_file_changed(struct notify_file *file, const char *path);

struct notify_mailbox {
    char *name, *uniqueid; /* internal */
    char *index;           /* path of cyrus.index */
    unsigned events;
    bool own;
    struct notify_file file;
    char *status;         /* as told last; NULL: never */
    strarray_t metadata;  /* "/shared/comment <digest>" */
};
struct notify_list {
    struct notify_mailbox *v; /* by name */
    size_t n, alloc;
};
void notify_list_fini(struct notify_list *list);
/* All that the groups name and the user may see; the first group that names one decides. IMAP_NOTIFY_MAX: IMAP_AGAIN. */
int notify_list_read(const struct imap_session *s, const struct notify_args *args, const strarray_t *subscribed,
                     struct notify_list *list);
/* NULL: not there. */
struct notify_mailbox *notify_list_find(const struct notify_list *list, const char *name);
struct notify_mailbox *notify_list_find_id(const struct notify_list *list, const char *uniqueid);
/* The events of the first group that names such a mailbox, existing or not. */
unsigned notify_events_of(const struct imap_session *s, const struct notify_args *args, const strarray_t *subscribed,
                          const char *name);

#endif
