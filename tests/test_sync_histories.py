# SPDX-License-Identifier: BSD-3-Clause
"""Random histories in which two ends diverged: both meet, nothing is lost, and a second run has nothing to do.

For half of them the replica's records fit into memory, for the others they lie in a file; of each half, ends of one kind forget what
they have expunged, and the others keep the records. Half are compared once more by ranges, and end as they did by the whole list.
CYLTEST_HISTORIES and CYLTEST_SEED: how many (default 600), and the first seed.
"""

import os
import re

import pytest

from cyltest.histories import CONF, KEEP, Histories

COUNT = int(os.environ.get("CYLTEST_HISTORIES", "600"))
SEED = int(os.environ.get("CYLTEST_SEED", "20261101"))


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("SYNC")
    return pair


@pytest.mark.parametrize("part, spill_limit, keepers, least",
                         [(0, None, (), None), (1, None, ("replica",), None), (2, "200", ("primary",), None),
                          (3, "200", ("primary", "replica"), None), (0, None, (), "0"), (3, None, ("primary", "replica"), "0")],
                         ids=["memory", "memory-replica-keeps", "file-master-keeps", "file-both-keep", "ranges", "ranges-both-keep"])
def test_random_histories(pair, part, spill_limit, keepers, least):
    for name in keepers:
        getattr(pair, name).conf["expunge_tombstones"] = KEEP
    pair.start()
    first, end = SEED + part * COUNT // 4, SEED + (part + 1) * COUNT // 4
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
