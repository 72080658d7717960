/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SPECIALUSE_H
#define INCLUDED_SPECIALUSE_H
/*
 * specialuse -- the attributes of RFC 6154 that a mailbox may carry (handbook 04 §3.6 no. 4, §6.2)
 */
#include "mbentry.h"
#include "txn.h"

struct buf;

/*
 * Blank-separated attributes, any case, with or without backslash, as they are stored ("\Sent \Trash"), into
 * out. IMAP_ANNOTATION_BADENTRY: one of them is none that may be set.
 */
int specialuse_normalise(const char *text, struct buf *out);
/*
 * May this mailbox (internal name) of userid have these attributes? IMAP_MAILBOX_SPECIALUSE: it is no direct child of
 * the INBOX (the INBOX itself passes), or another mailbox of the user has one of them.
 */
int specialuse_check(struct txn *txn, const char *userid, const char *mboxname,
                     const char *attributes);

#endif
