# SPDX-License-Identifier: BSD-3-Clause
"""Subscriptions with 3.6.1 at either end of a replication, and on the same files: it knows of no history, and sets are equal."""

import random

import pytest

from cyltest import Pair
from cyltest.dlist import parse
from cyltest.syncdata import login

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "delete_mode": "delayed"}
NAMES = ["INBOX", "INBOX.Work", "INBOX.Play", "INBOX.Work.Deep"]


def subscribed(server):
    with login(server) as sync:
        lines = [parse(line) for line in sync.ok("GET META anna").untagged]
    return sorted(name.decode() if isinstance(name, bytes) else name for kind, value in lines if kind == "LSUB" for name in value)


def say(server, *commands):
    with server.imap("anna") as imap:
        for command in commands:
            imap.ok(command)
        imap.logout()


def random_commands(rng):
    return [f"{rng.choice(('SUBSCRIBE', 'UNSUBSCRIBE'))} {rng.choice(NAMES)}" for _ in range(rng.randrange(1, 5))]


@pytest.mark.parametrize("ours_is_master", [True, False])
def test_master_decides(factory, debian_factory, ours_is_master):
    """Changes on both ends: the set of the master is what both have, as between two 3.6.1."""
    ours, theirs = factory("ours"), debian_factory("theirs")
    master, replica = (ours, theirs) if ours_is_master else (theirs, ours)
    for server in (ours, theirs):
        server.conf.update(CONF)
    pair = Pair(master, replica).start()
    for server in (ours, theirs):
        server.add_user("anna")
    master.create_user("anna", "Work", "Play", "Work.Deep")
    rng = random.Random(16)
    for _ in range(12):
        say(master, *random_commands(rng))
        before = subscribed(master)
        pair.sync("-u", "anna")
        assert subscribed(replica) == subscribed(master) == before
        say(replica, *random_commands(rng))
        done = pair.sync("-v", rng.choice(("-u", "-s")), "anna")
        assert subscribed(replica) == subscribed(master) == before
        assert "SUBHISTORY" not in done.stderr


def test_rename_and_delete_leave_subscriptions(factory, debian_factory):
    """Of 3.6.1, and so of ours: names stay subscribed."""
    told = []
    for made in (factory, debian_factory):
        server = made("one")
        server.conf.update(CONF)
        server.add_user("anna")
        server.start()
        server.create_user("anna", "Work", "Play", "Work.Deep")
        say(server, *(f"SUBSCRIBE {name}" for name in NAMES), "RENAME INBOX.Work INBOX.Job", "DELETE INBOX.Play")
        told.append(subscribed(server))
        server.stop()
    assert told[0] == told[1] == ["user.anna", "user.anna.Play", "user.anna.Work", "user.anna.Work.Deep"]


def test_on_the_same_files_in_turn(factory, debian_factory):
    """What 3.6.1 changes in `sub` between our runs is said then, and goes to our other server."""
    ours, other, theirs = factory("ours"), factory("other"), debian_factory("theirs")
    for server in (ours, other):
        server.conf.update(CONF)
    theirs.conf.update(CONF)
    for option in ("configdirectory", "partition-default"):
        theirs.conf[option] = ours.conf[option]
    pair = Pair(ours, other).start()
    ours.create_user("anna", "Work", "Play", "Work.Deep")
    for server in (ours, other, theirs):
        server.add_user("anna")
    say(ours, "SUBSCRIBE INBOX.Work", "SUBSCRIBE INBOX.Work.Deep")
    pair.sync("-u", "anna")
    say(other, "SUBSCRIBE INBOX")
    say(other, "SUBSCRIBE INBOX.Work")  # before 3.6.1 says otherwise
    ours.stop()
    theirs.start()
    say(theirs, "UNSUBSCRIBE INBOX.Work", "SUBSCRIBE INBOX.Play")
    theirs.stop()
    ours.start()
    say(other, "UNSUBSCRIBE INBOX.Work.Deep")
    pair.sync("-u", "anna")
    assert subscribed(ours) == subscribed(other) == ["user.anna", "user.anna.Play"]
