# SPDX-License-Identifier: BSD-3-Clause
"""A thousand random histories in which two ends diverged: both meet, nothing is lost, and a second run has nothing to do.

For half of them the replica's records fit into memory, for the others they lie in a file. Half are compared once more by
ranges, and end as they did by the whole list.
CYLTEST_HISTORIES and CYLTEST_SEED: how many, and the first seed.
"""

import os
import re

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


@pytest.mark.parametrize("half, spill_limit, least", [(0, None, None), (1, "200", None), (0, None, "0")],
                         ids=["memory", "file", "ranges"])
def test_random_histories(pair, half, spill_limit, least):
    first, end = SEED + half * (COUNT // 2), SEED + (COUNT if half else COUNT // 2)
    histories = Histories(pair, range(first, end))
    histories.load()
    if spill_limit:
        pair.primary.env["CYLINDER_SPILL_LIMIT"] = spill_limit
    if least:
        pair.primary.env["CYLINDER_RANGES_LEAST"] = least
    said, sent = histories.sync()
    histories.must_be_right()
    # most need the full update, or the test would be worth little
    assert said.count("FULLMAILBOX ") > (end - first) // 2
    assert len(re.findall("^RANGES ", said, re.M)) == (len(re.findall("^FULLMAILBOX [^ ]+$", said, re.M)) if least else 0)
    assert sent
    assert histories.sync()[1] == []
