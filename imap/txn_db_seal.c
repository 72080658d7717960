/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn_db_seal -- databases with derived records: are these right? (lib/journal_seal.h)
 */
#include <config.h>

#include "imap_err.h"
#include "journal_seal.h"
#include "txn_db_internal.h"

bool txn_db_has_changes(const struct txn_db *db)
{
    return txn_db_is_staged(db);
}

bool txn_db_is_sealed(struct txn_db *db, uint64_t rules)
{
    struct cyrusdb_state state;
    struct journal *j;

    if (txn_journal(&j) || !journal_seal_rules(j) || txn_db_open_file(db) || !db->db) return false;
    return !cyrusdb_get_state(db->db, false, &state) && journal_seal_holds(j, &state, rules);
}

int txn_db_seal_begin(struct txn_db *db, struct cyrusdb_state *state)
{
    int r = txn_db_open_file(db);

    if (!r && !db->db) r = IMAP_NOTFOUND;
    return r ? r : txn_db_error(cyrusdb_get_state(db->db, false, state));
}

void txn_db_seal(struct txn_db *db, const struct cyrusdb_state *state, uint64_t rules)
{
    struct journal *j;

    if (txn_db_is_locked(db) && !txn_db_is_staged(db) && !txn_journal(&j)) journal_seal_set(j, state, rules);
}

void txn_db_keep_seal(struct txn_db *db, uint64_t rules)
{
    struct journal *j;

    if (txn_db_is_locked(db) && !txn_journal(&j)) db->keeps_seal = journal_seal_rules(j) == rules;
}

void txn_db_repack_sealed(struct txn_db *db)
{
    struct cyrusdb_state from, to;
    struct journal *j;

    if (cyrusdb_repack(db->db) || cyrusdb_get_repack(db->db, &from, &to) || txn_journal(&j)) return;
    if (journal_seal_holds(j, &from, journal_seal_rules(j))) journal_seal_move(j, &from, &to);
}
