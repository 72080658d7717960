/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_AUTH_H
#define INCLUDED_AUTH_H
/*
 * auth -- who a session is, and which identifiers of ACLs mean it (handbook 05 §6.4, §6.5)
 *
 * A mechanism (option auth_mech) is a table of functions: "unix" takes groups
 * from the system, others (pts) add themselves with auth_register().
 */
#include <stdbool.h>
#include <stddef.h>

#include "strarray.h"

struct auth_state; /* one identity with its groups */

struct auth_mechanism {
    const char *name;
    /* Canonical form of an identifier (user or "group:NAME") into out; IMAP_INVALID_IDENTIFIER. */
    int (*canonify)(const char *identifier, size_t len, char *out, size_t outsize);
    /* Groups of a canonical user, names as in ACLs ("group:staff"), appended to groups. 0 or
     * imap_err. */
    int (*groups)(const char *userid, strarray_t *groups);
};
/* Add a mechanism; its table must stay. Call before the first auth_newstate. */
void auth_register(const struct auth_mechanism *mech);
/* Choose by name; false for an unknown one, then the choice stays (at first "unix"). */
bool auth_select(const char *name);

/* Canonical identifier into out (AUTH_IDMAX bytes are enough) or IMAP_INVALID_IDENTIFIER:
 * "anybody" and the like, with virtdomains the domain, then what the mechanism makes of it. */
#define AUTH_IDMAX 1024
int auth_canonifyid(const char *identifier, size_t len, char *out, size_t outsize);

/* State of a canonical user id; NULL or "anonymous": anonymous. Groups are asked for at the first
 * need. */
struct auth_state *auth_newstate(const char *userid);
void auth_freestate(struct auth_state **statep);
const char *auth_userid(const struct auth_state *); /* "anonymous" for nobody */
/* 0: the identifier does not mean this user; 1 "anyone", 2 a group, 3 the user's own id. NULL
 * state: anonymous. */
int auth_memberof(const struct auth_state *, const char *identifier);
int auth_memberof_len(const struct auth_state *, const char *identifier, size_t len);
/* Does one of these identifiers, a list as in `admins` (NULL: empty), mean this user? */
bool auth_is_listed(const struct auth_state *, const char *identifiers);
/* "group:..." names; borrowed. */
const strarray_t *auth_groups(const struct auth_state *);
/* True: the groups could not be learned (the list is empty then). */
bool auth_groups_unknown(const struct auth_state *);

#endif
