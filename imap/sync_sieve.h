/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_SIEVE_H
#define INCLUDED_SYNC_SIEVE_H
/*
 * sync_sieve -- Sieve scripts of a user, kept as files for masters that send them by command
 *
 * NAME.script and the link defaultbc -> NAME.bc lie in the user's directory below sievedir, as
 * with 3.6.1; nothing is compiled. A master that knows SIEVE-MAILBOX never uses this.
 * Handbook 03 §6.12, §16.4.
 */
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "message_guid.h"

struct buf;

struct sync_sieve {
    char *filename; /* "NAME.script", or "NAME.bc" for the active one */
    time_t last_update;
    struct message_guid guid; /* of the text; null for .bc */
    bool active;
};
struct sync_sieve_list {
    struct sync_sieve *v;
    size_t n;
    bool nodir; /* the user has no directory of scripts */
};
#define SYNC_SIEVE_LIST_INITIALIZER \
    {                               \
        NULL, 0, false                     \
    }

/* Scripts in the order of their names, then the .bc item. A user or directory that is not there: none. Errors as below. */
int sync_sieve_read(const char *userid, struct sync_sieve_list *list);
void sync_sieve_list_fini(struct sync_sieve_list *list);
/* Text of a script. IMAP_MAILBOX_NONEXISTENT, IMAP_MAILBOX_BADFORMAT (it has changed in place), IMAP_IOERROR. */
int sync_sieve_fetch(const char *userid, const char *filename, struct buf *content);
/*
 * Store, remove, activate (filename NAME.bc), deactivate. Other endings than the command's own are ignored, but
 * removing NAME.bc of the active script deactivates it. IMAP_MAILBOX_NONEXISTENT for an unknown
 * user, IMAP_NOTFOUND for an unknown script, IMAP_IOERROR.
 */
int sync_sieve_upload(const char *userid, const char *filename, time_t last_update,
                      const char *base, size_t len);
int sync_sieve_delete(const char *userid, const char *filename);
int sync_sieve_activate(const char *userid, const char *filename);
int sync_sieve_deactivate(const char *userid);

#endif
