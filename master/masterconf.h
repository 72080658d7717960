/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * masterconf -- cyrus.conf (handbook 05 §1.4)
 *
 * The file has sections (START, SERVICES, EVENTS, DAEMON) of entries, one a line:
 * `NAME key=value key="some value"`. Unknown sections and keys are passed over.
 */
#ifndef CYL_MASTERCONF_H
#define CYL_MASTERCONF_H

#include <stdbool.h>

struct buf;

#define MASTERCONF_MAXARGS 64

struct masterconf_entry {
    const char *name;
    unsigned line;
    int nargs;
    struct {
        const char *key, *value;
    } args[MASTERCONF_MAXARGS];
};

/*
 * Calls fn for every entry of every section of that name, in the order of the file
 * ($CYRUS_PREFIX in front, if such a file is there). The entry lives until fn returns; fn
 * <> 0 ends the reading with that value. 0; EX_CONFIG with the text in err.
 */
typedef int masterconf_fn(const struct masterconf_entry *entry, void *rock);
int masterconf_getsection(const char *path, const char *section, masterconf_fn *fn, void *rock,
                          struct buf *err);

/* Value of a key (the first, when it is there twice), or def. */
const char *masterconf_getstring(const struct masterconf_entry *e, const char *key,
                                 const char *def);
/* A value that does not begin with a number counts as unset. */
int masterconf_getint(const struct masterconf_entry *e, const char *key, int def);
/* The first letters decide: 0 n of f, 1 y on t; else def. */
bool masterconf_getswitch(const struct masterconf_entry *e, const char *key, bool def);

#endif
