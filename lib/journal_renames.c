/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_renames -- are there renames whose records have not followed?
 *
 * The word is an answer and a number of changes: what was looked for before a change says nothing afterwards.
 */
#include <config.h>

#include "journal_renames.h"

#include "journal_int.h"

#define ANSWER 3u
#define CHANGE 4u

enum journal_renames journal_renames(const struct journal *j, uint32_t *word)
{
    *word = j->ctl->renames;
    return (enum journal_renames)(*word & ANSWER);
}

void journal_renames_found(struct journal *j, uint32_t word, bool some)
{
    uint32_t known = (word & ~ANSWER) | (some ? JOURNAL_RENAMES_SOME : JOURNAL_RENAMES_NONE);

    atomic_compare_exchange_strong(&j->ctl->renames, &word, known);
}

static void change(struct journal *j, enum journal_renames answer)
{
    uint32_t word = j->ctl->renames;

    while (!atomic_compare_exchange_weak(&j->ctl->renames, &word, ((word & ~ANSWER) + CHANGE) | answer));
}

void journal_renames_some(struct journal *j)
{
    change(j, JOURNAL_RENAMES_SOME);
}

void journal_renames_ask(struct journal *j)
{
    change(j, JOURNAL_RENAMES_UNKNOWN);
}
