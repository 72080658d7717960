# SPDX-License-Identifier: BSD-3-Clause
"""reconstruct --from-replica with Debian's 3.6.1 at the other end."""

import pytest

from cyltest import Pair
from cyltest.refill import CONF, check_refill, fill


@pytest.fixture
def ours(factory):
    server = factory("ours", services=("imap", "lmtp", "csync"))
    server.conf.update(CONF)
    server.allow_log("IOERROR|SYNCERROR")
    return server


@pytest.fixture
def theirs(debian_factory):
    server = debian_factory("theirs", services=("imap", "lmtp", "csync"))
    server.conf.update(CONF)
    return server


def test_361_is_the_replica(ours, theirs):
    pair = Pair(ours, theirs)
    pair.start()
    fill(pair)
    check_refill(ours)


def test_361_is_the_master(ours, theirs):
    ours.conf.update({"sync_authname": "repl", "sync_try_imap": False})
    pair = Pair(theirs, ours)
    ours.conf["sync_password"] = theirs.conf["sync_password"]
    pair.start()
    fill(pair)
    check_refill(ours, ("--server", f"127.0.0.1:{theirs.ports['csync']}"))
