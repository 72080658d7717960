/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_NAME_H
#define INCLUDED_SYNC_NAME_H
/*
 * sync_name -- names in what a peer of the sync protocol sent (handbook 03 §2)
 *
 * The one way from a dlist to an internal name: mailboxes, quota roots, subscriptions. Bytes that no name is spelled with
 * are refused, and logged in hex; an item that is missing or no text is refused only. Names live as long as the item.
 */
#include <stdbool.h>

#include "dlist.h"

bool sync_toname(const struct dlist *item, const char **name);
/* The child `key` of a kvlist. */
bool sync_getname(const struct dlist *kl, const char *key, const char **name);
/* The same, or "", which stands for the server itself. */
bool sync_getname_or_server(const struct dlist *kl, const char *key, const char **name);
/* A quota root: a name, or a domain with its '!'. */
bool sync_toroot(const struct dlist *item, const char **root);
bool sync_getroot(const struct dlist *kl, const char *key, const char **root);
/* A user id that an INBOX can have; "" is none. */
bool sync_touserid(const struct dlist *item, const char **userid);
bool sync_getuserid(const struct dlist *kl, const char *key, const char **userid);

#endif
