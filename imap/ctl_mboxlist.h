/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CTL_MBOXLIST_H
#define INCLUDED_CTL_MBOXLIST_H
/*
 * ctl_mboxlist -- the parts of that program (handbook 05 §3.2)
 */
#include <stdio.h>

#include "buf.h"
#include "mbentry.h"

/* Appends the entry as a member of the dump: "NAME": {...}. */
void ctl_mboxlist_print(const mbentry_t *entry, struct buf *out);
/* Stores the entries of a dump. IMAP_MAILBOX_BADFORMAT: the text is none, said on stderr. */
int ctl_mboxlist_undump(FILE *in);
/* The same from lines of releases 2.5 to 3.4. */
int ctl_mboxlist_undump_lines(FILE *in);
/* Compares entries and directories, both ways. IMAP_MAILBOX_BADFORMAT: they differ, said on stdout. */
int ctl_mboxlist_verify(void);

#endif
