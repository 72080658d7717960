/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_RENAMES_H
#define INCLUDED_JOURNAL_RENAMES_H
/*
 * journal_renames -- are there renames whose records have not followed? One word for all processes of a server
 *
 * It spares every reader of mailboxes.db a look for what is hardly ever there. Whoever does not know looks, and may say what he
 * saw, unless somebody has said another thing meanwhile. UNKNOWN is always true; SOME is said before the first one can be seen.
 */
#include <stdbool.h>
#include <stdint.h>

struct journal;

enum journal_renames { JOURNAL_RENAMES_UNKNOWN, JOURNAL_RENAMES_NONE, JOURNAL_RENAMES_SOME };

/* *word is for journal_renames_found. */
enum journal_renames journal_renames(const struct journal *j, uint32_t *word);
/* What was UNKNOWN by that word before the caller began to look. */
void journal_renames_found(struct journal *j, uint32_t word, bool some);
/* There will be one. */
void journal_renames_some(struct journal *j);
/* One has gone, perhaps the last. */
void journal_renames_ask(struct journal *j);

#endif
