# SPDX-License-Identifier: BSD-3-Clause
"""The power fails while the server works: what was answered is there, and nothing is half-done."""

import pytest

import scenarios
from recording import STATES

SCENARIOS = [scenarios.delivery, scenarios.imap, scenarios.first_start_and_create,
             scenarios.rename_and_delete, scenarios.subscriptions, scenarios.delete_at_once, scenarios.database_alone,
             scenarios.many_windows, scenarios.many_at_once]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_cut(recording, scenario):
    scenario(recording)
    recording.stop()
    result = recording.check(STATES, "-v")
    print(f"\n{scenario.__name__}: {result.summary}")
    assert not result.wrong, result.output
