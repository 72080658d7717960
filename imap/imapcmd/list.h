/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_LIST_H
#define INCLUDED_LIST_H
/*
 * list -- what LIST, LSUB, XLIST and SCAN ask for (RFC 3501 §6.3.8, RFC 5258; handbook 04 §3.5)
 */
#include <stdbool.h>
#include <stdint.h>

#include "imap_session.h"
#include "strarray.h"

enum {
    LIST_SEL_SUBSCRIBED = 1 << 0,
    LIST_SEL_REMOTE = 1 << 1,
    LIST_SEL_RECURSIVEMATCH = 1 << 2,
    LIST_SEL_SPECIALUSE = 1 << 3,
    LIST_SEL_METADATA = 1 << 4,
    LIST_SEL_DAV = 1 << 5,
    LIST_SEL_DELETED = 1 << 6,
    LIST_RET_SUBSCRIBED = 1 << 8,
    LIST_RET_CHILDREN = 1 << 9,
    LIST_RET_SPECIALUSE = 1 << 10,
    LIST_RET_MYRIGHTS = 1 << 11,
    LIST_RET_STATUS = 1 << 12,
    LIST_RET_METADATA = 1 << 13,
};
enum list_kind { LIST_BASIC, LIST_EXTENDED, LIST_LSUB, LIST_XLIST, LIST_SCAN };

struct list_args {
    enum list_kind kind;
    unsigned options; /* LIST_* */
    extname_t ref;
    extnames_t patterns; /* as typed */
    uint32_t status_items;
    strarray_t metadata; /* "/shared/comment" ... */
    struct buf text;     /* SCAN */
};
/* Reads the arguments that its kind has; a LIST may become LIST_EXTENDED. False: answered. */
bool list_parse(struct imap_session *s, struct list_args *args);
void list_args_fini(struct list_args *args);

#endif
