/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBNAME_FORMS_H
#define INCLUDED_MBNAME_FORMS_H
/*
 * mbname_forms -- every spelling of a mailbox name but the internal one is a type of its own
 *
 * An internal name is a `const char *`, as upstream has it. The other spellings are structs, passed by value, so that
 * no compiler takes one where another, or an internal name, is meant. The only ways between them are the conversions of
 * mboxname.h, which check what comes from outside. The members are for mbname*.c alone; others use the functions below.
 *
 * A form borrows its bytes, unless the function that made it says that the caller frees it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What a client or a person at a tool typed, or is shown; a pattern of LIST, too. Ends in NUL. */
typedef struct extname {
    const char *ext;
} extname_t;
/* Key of mailboxes.db and of a subscription file, without its letter. */
typedef struct dbname {
    const char *key;
    size_t keylen;
} dbname_t;
/* An internal name as a peer of the sync protocol, a cyrus.header or an old database spells it: not checked yet. */
typedef struct syncname {
    const char *wire;
    size_t wirelen;
} syncname_t;
/* Contents of a quoted string or literal of the MUPDATE protocol: not checked yet. */
typedef struct mupdatename {
    const char *quoted;
    size_t quotedlen;
} mupdatename_t;

#define EXTNAME_NONE ((extname_t){ NULL })

/* ---- the edges: bytes become a form ---- */
static inline extname_t extname_of(const char *typed) { return (extname_t){ typed }; }
static inline dbname_t dbname_of(const char *key, size_t len) { return (dbname_t){ key, len }; }
static inline syncname_t syncname_of(const char *wire, size_t len) { return (syncname_t){ wire, len }; }
static inline mupdatename_t mupdatename_of(const char *quoted, size_t len) { return (mupdatename_t){ quoted, len }; }

/* ---- external names ---- */
/* For output and for matching with patterns; NULL: there is none. */
static inline const char *extname_text(extname_t name) { return name.ext; }
static inline bool extname_isnone(extname_t name) { return !name.ext; }
static inline bool extname_isempty(extname_t name) { return !name.ext || !*name.ext; }
static inline bool extname_ispattern(extname_t name) { return name.ext && strpbrk(name.ext, "*%"); }
extname_t extname_dup(extname_t name); /* the caller frees */
void extname_free(extname_t *name);

/* ---- database names ---- */
static inline bool dbname_isnone(dbname_t name) { return !name.key; }
struct buf;
void dbname_append(dbname_t name, struct buf *out); /* none: nothing */
void dbname_free(dbname_t *name);

/* ---- lists of external names: each a copy ---- */
typedef struct extnames {
    extname_t *list;
    size_t count;
} extnames_t;
void extnames_add(extnames_t *names, extname_t name);
void extnames_fini(extnames_t *names);


#endif
