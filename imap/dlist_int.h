/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_DLIST_INT_H
#define INCLUDED_DLIST_INT_H
/*
 * dlist_int -- what the files of dlist share
 *
 * Every item but NIL, lists and files has its printed text in sval; numbers and
 * guids have it beside their value.
 */
#include "dlist.h"

struct dlist_extra {
    struct message_guid guid;
    char *partition; /* DL_FILE */
    struct buf data; /* DL_FILE without a path */
};

/* A new item, not yet in a tree. name may be NULL; val (len bytes) NULL leaves sval NULL. */
struct dlist *dlist_node(enum dlist_type type, const char *name, size_t namelen, const char *val,
                         size_t len);
/* Bytes of memory that dlist_node() takes for such lengths. */
size_t dlist_nodesize(size_t namelen, size_t len);
/* A file item, not yet in a tree. path NULL: the bytes come into extra->data. */
struct dlist *dlist_filenode(const char *name, const char *partition,
                             const struct message_guid *guid, uint64_t size, const char *path);

#endif
