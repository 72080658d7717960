/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>
#include "txn_internal.h"
int txn_db_lock_globals(struct txn *txn){txn->globals_locked=true;return 0;}
void txn_db_record_locks(struct txn *txn){(void)txn;}
int txn_db_record_changes(struct txn *txn){(void)txn;return 0;}
bool txn_db_isdirty(const struct txn *txn){(void)txn;return false;}
void txn_db_unlock_globals(struct txn *txn){(void)txn;}
void txn_db_finish(struct txn *txn){(void)txn;}
