/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_UPGRADE_H
#define INCLUDED_MBOXLIST_UPGRADE_H
/*
 * mboxlist_upgrade -- care of mailboxes.db before anybody uses it (ctl_cyrusdb -r)
 *
 * Only for a program that has the store for itself.
 */
#include <stdbool.h>

/*
 * A database of the format before 3.6 becomes one of N and I records, in a file of its own
 * that replaces the old one whole (handbook 01 §4.9). *upgraded tells whether it was one.
 * Entries that make no sense stop the upgrade (IMAP_MAILBOX_BADFORMAT, logged): nothing is lost.
 */
int mboxlist_upgrade(bool *upgraded);
/*
 * Removes reserved entries that a crash left behind, gives entries without a uniqueid the one of
 * their cyrus.header (or a new one).
 */
int mboxlist_tidy(void);

#endif
