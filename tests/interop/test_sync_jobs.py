# SPDX-License-Identifier: BSD-3-Clause
"""sync_client -j with 3.6.1 as the replica: its sync_servers work on several users at once."""

import random

import pytest

from cyltest import Pair, randomusers, rolling
from cyltest.syncdata import assert_same, sent_commands

USERS = [f"user{n:02d}" for n in range(12)]


@pytest.fixture
def pair(debian_factory, factory):
    ours = factory("ours", services=("imap", "lmtp", "csync"))
    ours.allow_log(".")
    pair = rolling.set_up(Pair(ours, debian_factory("debian", services=("imap", "lmtp", "csync"))))
    pair.start()
    randomusers.make(ours, random.Random(11), *USERS)
    return pair


def test_ends_are_equal(pair):
    rng = random.Random(12)
    for _ in range(3):
        pair.primary.run("sync_client", "-o", "-j", "4", "-A", "--verify")
        for user in USERS:
            assert_same(pair.primary, pair.replica, user)
        assert sent_commands(pair.primary.run("sync_client", "-v", "-v", "-o", "-u", *USERS)) == []
        for user in USERS:
            randomusers.change(pair.primary, rng, user, 4)
    done = pair.replica.run("reconstruct", "-n", "-r", *(f"user.{user}" for user in USERS))
    assert "uid" not in done.stdout + done.stderr, done.stdout + done.stderr
