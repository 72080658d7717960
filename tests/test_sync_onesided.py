# SPDX-License-Identifier: BSD-3-Clause
"""A folder that one end has and the other has not: whatever item of a log touches its user finds it, and the user is compared as a whole (W040),
once; where that can't settle it, not again until something changes."""

import os
import shutil

import pytest

from cyltest import Pair, rolling
from cyltest.folders import Watch, contents, do, fill, message, names, ready
from cyltest.relay import Relay
from cyltest.syncdata import assert_same

PROMOTED = "Promoting: folders at one end only -> USER anna"


@pytest.fixture(scope="module", params=["digest", "names alone"])
def both(request, module_factory):
    """Also a replica that tells no digest of the names of folders, as 3.6.1."""
    pair = ready(Pair(module_factory("primary"), module_factory("replica")), "anna", "bob")
    pair.told = request.param == "digest"
    fill(pair.primary, "INBOX.Work", 3, 4)
    fill(pair.primary, "INBOX.Home", 5)
    pair.primary.run("sync_client", "-o", "-A")
    if not pair.told:
        pair.replica.conf["suppress_capabilities"] = "X-FOLDERS"
        pair.replica.restart()
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|no tombstone|IOERROR")
    return pair


def item(pair, *lines):
    """A run that reads a log with these lines, seen through a relay."""
    path = rolling.write_log(pair.primary, lines, name=f"one{os.urandom(4).hex()}")
    watch = Watch(pair)
    watch.run("-R", "-f", path)
    return watch


def looks(watch):
    return watch.commands.count("GET USER anna")


def touching(pair, folder):
    """Another mailbox of the user; without a digest only what names the folder finds it."""
    return "MAILBOX user.anna" if pair.told else f"MAILBOX user.anna.{folder}"


def test_nothing_to_find(both):
    watch = item(both, "MAILBOX user.anna", "MAILBOX user.anna.Work")
    assert looks(watch) == 0 and watch.changes() == []
    fill(both.primary, "INBOX.Work", 6)
    watch = item(both, "MAILBOX user.anna.Work")
    assert looks(watch) == 0 and len(watch.uploaded) == 1


def test_deleted_on_the_replica(both):
    """It comes back with the messages that are there."""
    do(both.replica, "DELETE INBOX.Work")
    watch = item(both, touching(both, "Work"), "MAILBOX user.anna.Home")
    assert looks(watch) >= 1 and watch.uploaded == []
    assert names(both.replica) == names(both.primary)
    assert_same(both.primary, both.replica)
    assert looks(item(both, touching(both, "Work"))) == 0


def test_deleted_there_again(both):
    """What was found and settled is found again."""
    do(both.replica, "DELETE INBOX.Work")
    item(both, touching(both, "Work"))
    assert names(both.replica) == names(both.primary)


def test_made_on_the_replica(both):
    fill(both.replica, "INBOX.Extra", 7, 8)
    if not both.told:  # nobody tells of it, but a look at its name
        fill(both.primary, "INBOX.Extra", 9)
    watch = item(both, touching(both, "Extra"))
    assert looks(watch) >= 1
    assert names(both.replica) == names(both.primary)
    assert {*contents(both.replica, "anna")["user.anna.Extra"]} == {*contents(both.primary, "anna")["user.anna.Extra"]}
    assert len(contents(both.primary, "anna")["user.anna.Extra"]) == (2 if both.told else 3)


def test_deleted_here(both):
    """The line that told of it was lost: the tombstone is applied."""
    do(both.primary, "DELETE INBOX.Extra")
    item(both, touching(both, "Extra"))
    assert "user.anna.Extra" not in names(both.replica)
    assert names(both.replica) == names(both.primary)


@pytest.mark.parametrize("end", ["primary", "replica"])
def test_partition_is_offline(both, end):
    """Nothing is taken for missing, so nothing is deleted or made anew; the mailboxes are named."""
    server = getattr(both, end)
    partition = server.conf["partition-default"]
    before = names(both.primary), contents(both.replica, "anna")
    os.rename(partition, partition + "-away")
    os.mkdir(partition)
    server.account.give(partition)
    try:
        path = rolling.write_log(both.primary, ["MAILBOX user.anna", "MAILBOX user.anna.Work"], name=f"offline-{end}")
        with Relay(both.primary.path("tmp", "relay"), both.replica.path("conf/socket/csync")) as relay:
            done = both.primary.run("sync_client", "-R", "-f", path, "-S", relay.path, check=False)
    finally:
        assert set(os.listdir(partition)) <= {"sync."}  # no mailbox was made
        shutil.rmtree(partition)
        os.rename(partition + "-away", partition)
    assert done.returncode == 1
    assert not [c for c in relay.commands if c.startswith((b"APPLY UNMAILBOX", b"APPLY RENAME", b"APPLY UNUSER"))]
    assert (names(both.primary), contents(both.replica, "anna")) == before
    watch = item(both, "MAILBOX user.anna", "MAILBOX user.anna.Work")
    assert watch.uploaded == []
    assert_same(both.primary, both.replica)


def test_what_cannot_be_settled_is_compared_once(factory):
    """The replica has a folder of which records here prove nothing: it stays there, and the same client does not look for it again."""
    pair = rolling.set_up(Pair(factory("primary"), factory("replica")))
    for server in (pair.primary, pair.replica):
        server.add_user("anna")
        server.allow_log("SYNC|no tombstone")
    rolling.daemon(pair.primary)
    pair.start()
    rolling.caught_up(pair.primary)  # the channel begins
    pair.primary.create_user("anna", "Work")
    rolling.caught_up(pair.primary)
    fill(pair.replica, "INBOX.Stays", 3)
    uniqueid = names(pair.replica)["user.anna.Stays"]
    pair.primary.run("cyr_dbtool", pair.primary.path("conf/mailboxes.db"), "twoskip", "set", f"I{uniqueid}",
                     "%(T ed N user\x1fanna\x1fStays V 1 C 1 F 9 M 1795310143 H ())")
    began = pair.primary.log_text().count(PROMOTED)
    for n in range(3):
        pair.primary.deliver(message(10 + n), "anna")
        rolling.caught_up(pair.primary)
    assert pair.primary.log_text().count(PROMOTED) == began + 1
    assert "user.anna.Stays" in names(pair.replica) and "user.anna.Stays" not in names(pair.primary)
    # another one is a reason to look again
    fill(pair.replica, "INBOX.Comes", 4)
    pair.primary.deliver(message(20), "anna")
    rolling.caught_up(pair.primary)
    assert "user.anna.Comes" in names(pair.primary)
