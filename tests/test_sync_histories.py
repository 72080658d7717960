# SPDX-License-Identifier: BSD-3-Clause
"""A thousand random histories in which two ends diverged: both meet, nothing is lost, and a second run has nothing to do.

CYLTEST_HISTORIES and CYLTEST_SEED: how many, and the first seed.
"""

import os

import pytest

from cyltest.histories import CONF, Histories

COUNT = int(os.environ.get("CYLTEST_HISTORIES", "1000"))
SEED = int(os.environ.get("CYLTEST_SEED", "20261101"))


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("SYNC")
    pair.start()
    return pair


def test_random_histories(pair):
    histories = Histories(pair, range(SEED, SEED + COUNT))
    histories.load()
    said, sent = histories.sync()
    histories.must_be_right()
    # most need the full update, or the test would be worth little
    assert said.count("FULLMAILBOX ") > COUNT // 2
    assert sent
    assert histories.sync()[1] == []
