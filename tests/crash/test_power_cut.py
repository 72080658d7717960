# SPDX-License-Identifier: BSD-3-Clause
"""The power fails, or the disk does, while the server works: what was answered is there, and nothing is half-done."""

import pytest

import scenarios
from recording import FAULTS, STATES

SCENARIOS = [scenarios.delivery, scenarios.imap, scenarios.first_start_and_create,
             scenarios.rename_and_delete, scenarios.subscriptions, scenarios.delete_at_once, scenarios.database_alone,
             scenarios.many_windows, scenarios.many_at_once,
             scenarios.other_partition, scenarios.archive, scenarios.whole_users, scenarios.users,
             scenarios.users_at_once, scenarios.rights, scenarios.special_use, scenarios.quota_roots, scenarios.applied,
             scenarios.expunged, scenarios.expunged_at_once, scenarios.annotations, scenarios.conversations_merged, scenarios.moved_away,
             scenarios.moved_here]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_cut(recording, scenario):
    """And then each of its commands by itself, on a disk that fails (test_faults.py has more of that)."""
    scenario(recording)
    recording.stop()
    result = recording.check(STATES, "-v")
    print(f"\n{scenario.__name__}: {result.summary}")
    assert not result.wrong, result.output
    faults = recording.faults(FAULTS)
    print(f"{scenario.__name__}: {faults.summary}")
    assert not faults.wrong, faults.output
    assert faults.commands or scenario in (scenarios.many_at_once, scenarios.moved_away, scenarios.moved_here), "no command was tried"
