/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imapopt_table -- what is known about each option of imapd.conf
 *
 * The table is made from lib/imapoptions. Values are read with libconfig.h; this
 * is for libconfig itself and for cyr_info.
 */
#ifndef INCLUDED_IMAPOPT_TABLE_H
#define INCLUDED_IMAPOPT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imapopts.h"

enum imapopt_type {
    IMAPOPT_TYPE_NONE, /* index 0 of the table is no option */
    IMAPOPT_TYPE_STRING,
    IMAPOPT_TYPE_INT,
    IMAPOPT_TYPE_SWITCH,
    IMAPOPT_TYPE_ENUM,
    IMAPOPT_TYPE_STRINGLIST,
    IMAPOPT_TYPE_BITFIELD,
    IMAPOPT_TYPE_DURATION,
    IMAPOPT_TYPE_BYTESIZE,
};

/* A word of an enum, stringlist or bitfield; an alias follows the word it stands for. */
struct imapopt_value {
    const char *name; /* NULL ends the list */
    uint64_t value;   /* number of an enum or stringlist word; bit of a bitfield word */
    bool alias;       /* deprecated form of the word before */
};

struct imapopt_def {
    const char *name;
    enum imapopt_type type;
    const char *dflt;    /* text as in imapd.conf; NULL: unset */
    const char *since;   /* version that brought it or last changed its meaning */
    const char *gone;    /* version that deprecated it, or NULL */
    enum imapopt use;    /* the option that a deprecated one sets, or IMAPOPT_ZERO */
    char unit;           /* of a bare number: d h m s, or b k m g; 0 for other types */
    const struct imapopt_value *values;
    bool own;            /* not an option of Cyrus 3.6.1 */
    bool acted;          /* some program does what it says */
};

extern const struct imapopt_def imapopts[IMAPOPT_LAST];

/* The option of that name (lower case, len bytes), or IMAPOPT_ZERO. */
enum imapopt imapopt_byname(const char *name, size_t len);

#endif
