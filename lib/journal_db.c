/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_db -- the key-value part of a record
 *
 * Until the cyrusdb backends are in the tree a record with database changes is refused.
 */
#include <config.h>

#include "journal_db.h"

#include <errno.h>

int journal_db_apply(struct journal_db_change *change)
{
    return change->n ? -EOPNOTSUPP : 0;
}
