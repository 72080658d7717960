/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBNAME_INTERNAL_H
#define INCLUDED_MBNAME_INTERNAL_H
/*
 * mbname_internal -- what the files that make up mboxname.h share
 */
#include "buf.h"
#include "mboxname.h"
#include "names_config.h"

/*
 * Invariants: no component is empty; domain is never the default domain; a
 * spelling is made from the parts when it is asked for and kept only so that the
 * caller need not free it.
 */
struct mbname {
    char *localpart, *domain;
    strarray_t boxes;
    time_t deleted;
    struct buf userid, intname, dbname, extname, recip; /* last spellings */
};

#define INBOX "INBOX"

mbname_t *mbname_new(void);
mbname_t *mbname_parse_dbname(const char *dbname); /* what was checked */
/* Takes over the components of a name in the standard form: [deletedprefix] [user localpart]
 * boxes [hextime]. */
enum deleted_form { DELETED_STRICT, DELETED_ANYCASE }; /* letters of hextime */
void mbname_take_components(mbname_t *mbname, strarray_t *parts, enum deleted_form form);
/* Non-empty parts of base..base+len between sep; in each, `from` becomes `to` (0: no change). */
void mbname_split(strarray_t *parts, const char *base, size_t len, char sep, char from, char to);
/* Append s with every `from` as `to`. */
void mbname_append_component(struct buf *out, const char *s, char from, char to);
/* Domain of a configuration value or of a text: NULL for "" and the default domain. */
void mbname_set_domain_len(mbname_t *mbname, const char *domain, size_t len);

#endif
