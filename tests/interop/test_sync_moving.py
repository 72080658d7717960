# SPDX-License-Identifier: BSD-3-Clause
"""Somebody works in his mailboxes while a run brings them to a replica of Debian's 3.6.1."""

import pytest

from cyltest import Pair
from cyltest.folders import Meanwhile, contents, do, every, fill, guid, names, ready
from cyltest.syncdata import assert_same, message


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


def ends_equal(pair):
    pair.primary.run("sync_client", "-u", "anna")
    assert_same(pair.primary, pair.replica, "anna")


def test_the_replica_changes_meanwhile(pair):
    def flag(_):
        do(pair.replica, "SELECT INBOX.Work", "STORE 1 +FLAGS ($there)")

    done = Meanwhile(pair, b"APPLY MAILBOX", flag).run("-u", "anna")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert every(contents(pair.primary, "anna")) == every(contents(pair.replica, "anna"))
    ends_equal(pair)


def test_two_change_places_between_list_and_look(pair):
    before = names(pair.primary)
    swap = ("RENAME INBOX.Work INBOX.T", "RENAME INBOX.Play INBOX.Work", "RENAME INBOX.T INBOX.Play")
    done = Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, *swap)).run("-u", "anna")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert names(pair.replica) == before  # the names are for the next run
    assert guid(message(12)) in contents(pair.replica, "anna")["user.anna.Work"]
    assert guid(message(21)) in contents(pair.replica, "anna")["user.anna.Play"]
    ends_equal(pair)


def test_renamed_all_the_time(pair):
    ends = ["Work", "Other"]
    done = Meanwhile(pair, b"GET USER", lambda n: do(pair.primary, f"RENAME INBOX.{ends[(n + 1) % 2]} INBOX.{ends[n % 2]}"), 1000).run("-u", "anna")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert guid(message(12)) in every(contents(pair.replica, "anna"))
    ends_equal(pair)
