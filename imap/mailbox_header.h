/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILBOX_HEADER_H
#define INCLUDED_MAILBOX_HEADER_H
/*
 * mailbox_header -- the bytes of cyrus.header (handbook 02 §2)
 *
 * Authority for the quota root and the user flag names of a mailbox; the rest
 * is a copy of mailboxes.db.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strarray.h"

struct buf;

#define MAX_USER_FLAGS 128
#define MAX_CLIENT_USER_FLAGS 100 /* a client makes new ones only below this slot */
#define MAILBOX_HEADER_MAGIC_SIZE 115

enum mailbox_header_format { MAILBOX_HEADER_DLIST, MAILBOX_HEADER_TEXT, MAILBOX_HEADER_OLDEST };

struct mailbox_header {
    char *name;                        /* internal name; NULL: the file does not say */
    char *uniqueid;                    /* NULL: the file does not say */
    uint32_t mbtype;                   /* MBTYPE_* */
    char *quotaroot;                   /* internal name; NULL: none */
    char *acl;                         /* "id\trights\t..."; NULL: the file does not say */
    strarray_t flags;                  /* slot -> name, NULL: free */
    enum mailbox_header_format format; /* how it was read; always written as DLIST */
};
#define MAILBOX_HEADER_INITIALIZER                                            \
    {                                                                         \
        NULL, NULL, 0, NULL, NULL, STRARRAY_INITIALIZER, MAILBOX_HEADER_DLIST \
    }

void mailbox_header_init(struct mailbox_header *h);
void mailbox_header_fini(struct mailbox_header *h);
void mailbox_header_copy(struct mailbox_header *dst, const struct mailbox_header *src);

/* Read a whole file into *h (its old contents are freed). IMAP_MAILBOX_BADFORMAT; *h is then
 * empty. */
int mailbox_header_parse(struct mailbox_header *h, const char *base, size_t len);
/* Replace *out by the whole file, magic and LF included. */
void mailbox_header_print(const struct mailbox_header *h, struct buf *out);

/* Slot of a flag name (ASCII case does not count), or -1. */
int mailbox_header_find_flag(const struct mailbox_header *h, const char *name);
/* Slot of the flag, made in the lowest free slot if it is new. limit: slots that may be used (100
 * or 128). IMAP_USERFLAG_EXHAUSTED, IMAP_INVALID_IDENTIFIER for a name that is no atom. *isnew
 * may be NULL. */
int mailbox_header_add_flag(struct mailbox_header *h, const char *name, int limit, int *slot,
                            bool *isnew);
/* Free a slot; free slots at the end are cut off. */
void mailbox_header_remove_flag(struct mailbox_header *h, int slot);
/* RFC 3501 flag-keyword: an atom. */
bool mailbox_flag_isvalid(const char *name);

#endif
