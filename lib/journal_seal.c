/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_seal -- is a database still as those left it who keep something true of it?
 *
 * One word is compared: a hash of file, state and rules. It is written after the file has changed, so a reader between the two
 * finds a broken seal, never one that holds wrongly; and so does everybody when a process dies there.
 */
#include <config.h>

#include "journal_seal.h"

#include "hash.h"
#include "journal_int.h"

static uint64_t word_of(const struct cyrusdb_state *s, uint64_t rules)
{
    static const unsigned char key[16] = "database's seal"; /* 16 with its NUL */
    const uint64_t facts[] = { s->dev, s->ino, s->generation, s->end, rules };
    uint64_t word = siphash24(key, facts, sizeof(facts));

    return word ? word : 1;
}

bool journal_seal_holds(const struct journal *j, const struct cyrusdb_state *state, uint64_t rules)
{
    return j->ctl->seal && j->ctl->seal == word_of(state, rules);
}

uint64_t journal_seal_rules(const struct journal *j)
{
    return j->ctl->seal ? j->ctl->seal_rules : 0;
}

void journal_seal_set(struct journal *j, const struct cyrusdb_state *state, uint64_t rules)
{
    j->ctl->seal = 0;
    j->ctl->seal_rules = rules;
    j->ctl->seal = word_of(state, rules);
}

void journal_seal_move(struct journal *j, const struct cyrusdb_state *from, const struct cyrusdb_state *to)
{
    uint64_t rules = journal_seal_rules(j);

    if (journal_seal_holds(j, from, rules))
        j->ctl->seal = word_of(to, rules);
    else
        j->ctl->seal = 0;
}
