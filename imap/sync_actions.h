/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_ACTIONS_H
#define INCLUDED_SYNC_ACTIONS_H
/*
 * sync_actions -- the lines of a sync log, merged into what is to be done for each owner (handbook 03 §13.3)
 *
 * A line says only where something has changed; what is sent is what is there when it is worked on. So equal
 * lines are one, and their order does not matter but for who comes first.
 */
#include <stdbool.h>
#include <stddef.h>

#include "hash.h"
#include "ptrarray.h"
#include "strarray.h"

/* All that is to be done for one user, or "" for shared mailboxes and the server. */
struct sync_unit {
    char *owner;
    strarray_t lines; /* as they came, each once */
    strarray_t mailboxes, unmailboxes, quotas, annotations;
    strarray_t seen; /* uniqueids */
    strarray_t subs; /* mailbox names */
    strarray_t others; /* owners with whom a line of it is shared */
    bool user;       /* the whole user, by name or because of a rename */
    bool unuser, meta;
    bool retried;    /* holds a line that has failed before and is due again */
    bool done;       /* and went over with others already */
    unsigned broken; /* times that the connection broke at it */
    struct sync_unit *with; /* for sync_actions_groups */
};

struct sync_actions {
    hash_table lines;
    hash_table byowner;
    hash_table named; /* what stands in which list */
    ptrarray_t units; /* struct sync_unit, in order of first appearance */
};

void sync_actions_init(struct sync_actions *actions);
void sync_actions_fini(struct sync_actions *actions);
/* Adds a line, without LF. One that can't be understood is logged and left out. retried: see struct sync_unit. */
void sync_actions_add(struct sync_actions *actions, const char *text, bool retried);
/*
 * Units that one and the same has to work on: they are of one owner, or of owners whose lines tell of each other (a rename between
 * them). Each is appended as a ptrarray_t with its units in their order; free with sync_group_free, before the actions.
 */
void sync_actions_groups(const struct sync_actions *actions, ptrarray_t *groups);
void sync_group_free(void *group);
/* NULL when there is nothing to be done for that owner. */
struct sync_unit *sync_actions_unit(const struct sync_actions *actions, const char *owner);
/* Is there something to be done for that owner because of the line? What can't be understood is nothing. */
bool sync_actions_concern(const char *text, const char *owner);
/* Lines that are there. */
size_t sync_actions_count(const struct sync_actions *actions);

#endif
