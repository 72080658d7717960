# SPDX-License-Identifier: BSD-3-Clause
"""The power fails while the server works: what was answered is there, and nothing is half-done."""

import pytest

import scenarios
import scenarios_ops
from recording import STATES

SCENARIOS = [scenarios.delivery, scenarios.imap, scenarios.first_start_and_create,
             scenarios.rename_and_delete, scenarios.subscriptions, scenarios.delete_at_once, scenarios.database_alone,
             scenarios.many_windows, scenarios.many_at_once,
             scenarios_ops.other_partition, scenarios_ops.archive, scenarios_ops.whole_users,
             scenarios_ops.users,
             scenarios_ops.users_at_once, scenarios_ops.rights, scenarios_ops.special_use, scenarios_ops.quota_roots,
             scenarios_ops.expunged, scenarios_ops.annotations, scenarios_ops.conversations_merged]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_cut(recording, scenario):
    scenario(recording)
    recording.stop()
    result = recording.check(STATES, "-v")
    print(f"\n{scenario.__name__}: {result.summary}")
    assert not result.wrong, result.output
