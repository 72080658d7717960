/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_ANNOTATE_UPGRADE_H
#define INCLUDED_ANNOTATE_UPGRADE_H
/*
 * annotate_upgrade -- annotations.db of servers before 3.6 (ctl_cyrusdb -r)
 *
 * Only for a program that has the store for itself, after mboxlist_upgrade.
 */

/*
 * Keys that begin with a mailbox name get its uniqueid instead (handbook 01 §7.5), in a file of its own that
 * replaces the old one whole; the old one stays as FILE.OLD. Annotations of the server stay as they
 * are, those of names that no mailbox has are left out and counted in the log. A file without such keys is not
 * touched.
 */
int annotate_upgrade(void);

#endif
