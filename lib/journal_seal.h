/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_SEAL_H
#define INCLUDED_JOURNAL_SEAL_H
/*
 * journal_seal -- is a database still as those left it who keep something true of it?
 *
 * Derived records of a database (an index in the same file) are right only as long as everybody who changes it
 * changes them too. Other programs don't, nor does one that runs while this server is down. The seal is a word in the control
 * page: it holds while the file is the very one, in the very state (generation and end), in which somebody found
 * the derived records right, or into which a record with JOURNAL_DB_SEALED has brought it from such a state. Any other write
 * ends in another state, and any crash of the machine, copy or restart makes the control page void: then the seal is
 * broken, which is always safe.
 *
 * `rules` is a number for what the derived records depend on besides the database (configuration). There is one seal in a
 * store. Setting and moving it need the database's lock (that of doc/locking.md).
 */
#include <stdbool.h>
#include <stdint.h>

#include "cyrusdb.h"

struct journal;

/* Does the seal hold for a file in this state, by these rules? */
bool journal_seal_holds(const struct journal *j, const struct cyrusdb_state *state, uint64_t rules);
/* The rules of the seal; 0: there is none. */
uint64_t journal_seal_rules(const struct journal *j);
/* The derived records of a file in this state are right. */
void journal_seal_set(struct journal *j, const struct cyrusdb_state *state, uint64_t rules);
/* The file was brought from one state to another by somebody who keeps them right: the seal follows, or is broken. */
void journal_seal_move(struct journal *j, const struct cyrusdb_state *from, const struct cyrusdb_state *to);

#endif
