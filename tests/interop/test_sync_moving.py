# SPDX-License-Identifier: BSD-3-Clause
"""Somebody works in his mailboxes while a run brings them to a replica of Debian's 3.6.1."""

import pytest

from cyltest import Pair
from cyltest.folders import Meanwhile, contents, do, every, fill, guid, meet_again, names, ready, to_and_fro
from cyltest.syncdata import message


@pytest.fixture
def pair(factory, debian_factory):
    pair = ready(Pair(factory("ours", services=("imap", "csync")), debian_factory("debian", services=("imap", "csync"))), "anna")
    pair.primary.allow_log("SYNCNOTICE|CRC failure")
    fill(pair.primary, "INBOX.Work", 10, 11)
    fill(pair.primary, "INBOX.Play", 20)
    pair.primary.run("sync_client", "-u", "anna")
    fill(pair.primary, "INBOX.Work", 12)
    fill(pair.primary, "INBOX.Play", 21)
    return pair


def test_the_replica_changes_meanwhile(pair):
    def flag(_):
        do(pair.replica, "SELECT INBOX.Work", "STORE 1 +FLAGS ($there)")

    Meanwhile(pair, b"APPLY MAILBOX", flag).succeeds("-u", "anna")
    assert every(contents(pair.primary, "anna")) == every(contents(pair.replica, "anna"))
    meet_again(pair)


def test_two_change_places_between_list_and_look(pair):
    before = names(pair.primary)
    swap = ("RENAME INBOX.Work INBOX.T", "RENAME INBOX.Play INBOX.Work", "RENAME INBOX.T INBOX.Play")
    Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, *swap)).succeeds("-u", "anna")
    assert names(pair.replica) == before  # the names are for the next run
    assert guid(message(12)) in contents(pair.replica, "anna")["user.anna.Work"]
    assert guid(message(21)) in contents(pair.replica, "anna")["user.anna.Play"]
    meet_again(pair)


def test_renamed_all_the_time(pair):
    Meanwhile(pair, b"GET USER", to_and_fro(pair.primary, "INBOX.Work", "INBOX.Other"), 1000).succeeds("-u", "anna")
    assert guid(message(12)) in every(contents(pair.replica, "anna"))
    meet_again(pair)
