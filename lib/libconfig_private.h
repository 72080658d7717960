/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libconfig_private -- what the rooms of libconfig share
 *
 * libconfig.c answers questions, libconfig_read.c reads files, libconfig_value.c
 * turns the text of a value into a number.
 */
#ifndef INCLUDED_LIBCONFIG_PRIVATE_H
#define INCLUDED_LIBCONFIG_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "hash.h"
#include "imapopt_table.h"

struct buf;

/* Value of one option. */
struct config_value {
    char *text;  /* as written (aliases and {configdirectory} resolved), owned; NULL: the default */
    int64_t num; /* int, switch, enum, duration (seconds) */
    uint64_t bits; /* bitfield, bytesize */
    bool own_form; /* set as IDENT_option: the generic key counts no more */
    bool set;
};

struct config_state {
    struct config_value values[IMAPOPT_LAST];
    hash_table overflow; /* key in lower case: malloc'ed value */
    bool ready;          /* values hold at least the defaults */
    bool loaded;
};
extern struct config_state config_state;

/* Makes the defaults of all options. */
void config_defaults(void);
/* The value of that key in the overflow table itself, without IDENT; NULL: none. */
const char *config_overflow_get(const char *key);
/* True when key begins with the identity of this program and '_': *rest is what follows. */
bool config_skip_ident(const char *key, const char **rest);

/*
 * Takes over the text of an option: sets num, bits and text of val. 0, or -EINVAL when
 * the text is no value of the option; then `why` (the beginning of the message,
 * "non-integer value") may name the fault, and val is as before.
 */
int config_value_set(const struct imapopt_def *def, struct config_value *val, const char *text,
                     struct buf *why);

#endif
