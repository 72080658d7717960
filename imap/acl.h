/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_ACL_H
#define INCLUDED_ACL_H
/*
 * acl -- rights letters and access control lists (handbook 04 §5; RFC 4314)
 *
 * An ACL is text: identifier TAB rights TAB, again and again, in the order in which
 * the entries were made. An identifier that begins with '-' takes rights away.
 * In memory rights are a mask; the bits are ours alone, only letters are stored.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct auth_state;
struct buf;

enum {
    ACL_LOOKUP = 1 << 0,       /* l */
    ACL_READ = 1 << 1,         /* r */
    ACL_SETSEEN = 1 << 2,      /* s */
    ACL_WRITE = 1 << 3,        /* w */
    ACL_INSERT = 1 << 4,       /* i */
    ACL_POST = 1 << 5,         /* p */
    ACL_CREATE = 1 << 6,       /* k */
    ACL_DELETEMBOX = 1 << 7,   /* x */
    ACL_DELETEMSG = 1 << 8,    /* t */
    ACL_EXPUNGE = 1 << 9,      /* e */
    ACL_ADMIN = 1 << 10,       /* a */
    ACL_ANNOTATEMSG = 1 << 11, /* n */
    ACL_USER0 = 1 << 12,       /* 0 ... ACL_USER0 << 9 is 9 */
    ACL_ALL = (1 << 12) - 1,   /* lrswipkxtean */
    ACL_FULL = (1 << 22) - 1   /* with 0-9 */
};
#define ACL_MAXSTR 32 /* bytes of printed rights, NUL included */

/* Rights text to mask, macros c and d as handbook 04 §5.1. False for an unknown letter, which
 * *bad (may be NULL) gets. */
bool cyrus_acl_strtomask(const char *str, uint32_t *mask, char *bad);
/* As above for text that comes from a store: unknown letters are skipped. */
uint32_t cyrus_acl_strtomask_lax(const char *str, size_t len);
/* Mask to text in print order, macros included. Returns str. */
const char *cyrus_acl_masktostr(uint32_t mask, char str[ACL_MAXSTR]);

/* Rights of a session: OR of the matching entries minus OR of the matching negative ones; acl
 * NULL: none. */
uint32_t cyrus_acl_myrights(const struct auth_state *auth, const char *acl);
/* Rights of exactly this identifier as stored, 0 if there is no entry. */
uint32_t cyrus_acl_rights_of(const char *acl, const char *identifier);

/*
 * Edit *aclp (malloc'ed, may be NULL or ""; replaced). owner (may be NULL) gets implicit
 * rights OR-ed in whenever the identifier, or the caller named by userid, is the owner
 * (handbook 04 §5.2 no. 4).
 * An identifier that the file formats cannot hold: IMAP_INVALID_IDENTIFIER.
 */
enum acl_mode { ACL_MODE_SET, ACL_MODE_ADD, ACL_MODE_REMOVE };
struct acl_owner {
    const char *owner, *userid;
    uint32_t implicit;
};
int cyrus_acl_set(char **aclp, const char *identifier, enum acl_mode mode, uint32_t mask,
                  const struct acl_owner *owner);
int cyrus_acl_remove(char **aclp, const char *identifier, const struct acl_owner *owner);

/* May this text be an identifier? Not empty, not only "-", no control bytes, and nothing that
 * makes a stored string a literal (handbook 02 §2.2, Weakness). Blanks are allowed. */
bool cyrus_acl_identifier_isvalid(const char *identifier);

/* Walk: p starts as the ACL; false at the end. Views into the ACL. A last entry without TAB is
 * tolerated. */
struct acl_item {
    const char *identifier;
    size_t idlen;
    const char *rights;
    size_t rightslen;
};
bool cyrus_acl_next(const char **p, struct acl_item *item);

/* The dlist form of cyrus.header and mailboxes.db, "%(id rights id rights)"; acl "" is "%()".
 * Appends to out. */
void cyrus_acl_print(const char *acl, struct buf *out);
/* Read it: the "%(" is still to come. Replaces *aclp; false (scan failed): no ACL there, *aclp is
 * NULL. */
struct dlist_scan;
bool cyrus_acl_scan(struct dlist_scan *sc, char **aclp);
/* A text ACL as others may have written it: NULL if it is none (an empty identifier, a missing
 * right ...); else malloc'ed with the TAB at its end. */
char *cyrus_acl_normalise(const char *acl, size_t len);

#endif
