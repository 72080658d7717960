# SPDX-License-Identifier: BSD-3-Clause
"""Some of the random histories of tests/test_sync_histories.py with Debian's 3.6.1 at one end."""

import pytest

from cyltest import Pair
from cyltest.histories import CONF, KEEP, Histories

COUNT = 80
SEED = 20261300  # with 20261363, in which 3.6.1 as master loses a message


@pytest.mark.parametrize("tombstones", ["0", KEEP], ids=["forgets", "keeps"])
@pytest.mark.parametrize("ours_is", ["master", "replica"])
def test_random_histories(factory, debian_factory, ours_is, tombstones):
    """Ours forgets what it has expunged, as 3.6.1 does, or keeps the records."""
    ours = factory("ours", services=("csync",))
    theirs = debian_factory("theirs", services=("csync",))
    pair = Pair(*((ours, theirs) if ours_is == "master" else (theirs, ours)))
    for server in (ours, theirs):
        server.conf.update(CONF)
        server.allow_log("SYNC|CRC|IOERROR")
    ours.conf["expunge_tombstones"] = tombstones
    pair.start()
    histories = Histories(pair, range(SEED, SEED + COUNT))
    histories.load()
    said, sent = histories.sync()
    histories.must_be_right()
    assert said.count("FULLMAILBOX ") > COUNT // 2
    assert sent
    assert histories.sync()[1] == []
