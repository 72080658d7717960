/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_NAMESPACE_H
#define INCLUDED_NAMESPACE_H
/*
 * namespace -- how a session spells mailbox names (handbook 02 §1.3, 04 §3.4; RFC 2342)
 *
 * Made once per session from the configuration and the kind of session. External
 * names are what clients see, internal names what the store uses (mboxname.h). Configured
 * prefixes are in modified UTF-7, as internal names are.
 */
#include <stdbool.h>

#define NAMESPACE_PREFIX_MAX 40 /* bytes of a configured prefix with its NUL */

enum { NAMESPACE_INBOX, NAMESPACE_USER, NAMESPACE_SHARED };

/* clang-format off */
struct namespace {
    char hier_sep; /* '/' or '.' */
    bool isalt;    /* alternate namespace: only in sessions that are not admin */
    bool isadmin;
    bool dav, deleted; /* LIST shows calendars and the like, and deleted mailboxes, also to who is not admin */
    bool utf8; /* names are spelled in UTF-8 (RFC 6855, RFC 9051), not in modified UTF-7 */
    /* false: the part is NIL in NAMESPACE answers; the caller clears NAMESPACE_INBOX for a user
     * without INBOX */
    bool accessible[3];
    /* as NAMESPACE shows them: "INBOX/", "user/", "" or "", "Other Users/", "Shared Folders/" */
    char prefix[3][NAMESPACE_PREFIX_MAX + 2];
    /* alternate namespace, without separator */
    char altprefix[NAMESPACE_PREFIX_MAX];
    char userprefix[NAMESPACE_PREFIX_MAX];
    char sharedprefix[NAMESPACE_PREFIX_MAX];
};
/* clang-format on */

/* IMAP_NAMESPACE_BADPREFIX for a prefix that cannot work (logged; fatal for the caller). */
int mboxname_init_namespace(struct namespace *ns, bool isadmin);

/* Text after "* NAMESPACE ", without line end. */
struct buf;
void namespace_print(const struct namespace *ns, struct buf *out);

#endif
