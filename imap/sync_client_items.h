/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_ITEMS_H
#define INCLUDED_SYNC_CLIENT_ITEMS_H
/*
 * sync_client_items -- users and mailboxes by name, one after the other or several at once (sync_client -u, -s, -m, -A)
 *
 * Each item is tried for itself: one that fails is reported on stderr and the others go on, over a new connection where the
 * old one broke. Functions return 0, or an imap_err code when nothing more could be done: there is no connection, or the list of
 * mailboxes can't be read.
 */
#include <stdbool.h>

#include "strarray.h"
#include "sync_client.h"

struct sync_items {
    struct sync_client *sc;
    int jobs;    /* workers; up to 1: none, this process does it */
    enum sync_items_work { SYNC_ITEMS_REPLICATE, SYNC_ITEMS_VERIFY, SYNC_ITEMS_COMPARE } work;
    bool wait;   /* for users that another client works on; else -A skips them */
    bool all;    /* nobody is asked for by name: set by sync_items_all */
    bool failed; /* set when an item has */
};

/* -u, or with meta -s. */
int sync_items_users(struct sync_items *items, const strarray_t *userids, bool meta);
/* -m: one set, by one, whatever jobs says. Names are external. */
int sync_items_mailboxes(struct sync_items *items, const strarray_t *names);
/* -A */
int sync_items_all(struct sync_items *items, const char *prefix);

#endif
