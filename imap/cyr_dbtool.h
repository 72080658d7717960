/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYR_DBTOOL_H
#define INCLUDED_CYR_DBTOOL_H
/*
 * cyr_dbtool -- what the files of the two database tools share
 */
#include <stdbool.h>

struct db;

struct dbtool {
    const char *fname, *backend;
    const char *key, *value; /* arguments; NULL: none */
    unsigned flags;          /* CYRUSDB_* of the open */
    bool onetxn;             /* all of it in one transaction, which is open */
    struct db *db;
};

/* The action "batch": commands from stdin; an exit code. */
int dbtool_batch(struct dbtool *tool);
/* Says on stdout that the path must be absolute. */
void dbtool_say_absolute(void);

#endif
