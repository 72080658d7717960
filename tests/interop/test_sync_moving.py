# SPDX-License-Identifier: BSD-3-Clause
"""Somebody works in his mailboxes while a run brings them to a replica of Debian's 3.6.1."""

import time

import pytest

from cyltest import Pair
from cyltest.folders import Meanwhile, contents, do, every, fill, guid, meet_again, names, ready, to_and_fro, uidvalidities
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


@pytest.fixture
def with_children(pair):
    """Work has children that the replica does not know yet."""
    fill(pair.primary, "INBOX.Work.a", 30)
    fill(pair.primary, "INBOX.Work.a.b", 31)
    return pair


def test_a_tree_with_new_ones_is_renamed(with_children):
    """3.6.1 invents a parent that is missing, with an identity of its own, and that one would then be merged with ours."""
    pair = with_children
    Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, "RENAME INBOX.Work INBOX.Old")).succeeds("-u", "anna")
    assert guid(message(30)) in contents(pair.replica, "anna")["user.anna.Work.a"]
    assert guid(message(31)) in contents(pair.replica, "anna")["user.anna.Work.a.b"]
    assert set(names(pair.replica).values()) == set(names(pair.primary).values())
    before = uidvalidities(pair.primary)
    meet_again(pair)
    assert uidvalidities(pair.primary) == before == uidvalidities(pair.replica)


def test_an_invented_parent_is_replaced(with_children):
    """One that was invented because the replica got a child alone: ours takes its place, and no client has to fetch ours anew."""
    pair = with_children
    fill(pair.primary, "INBOX.New", 40)
    fill(pair.primary, "INBOX.New.x", 41)
    before = uidvalidities(pair.primary)
    time.sleep(1.1)  # the UIDVALIDITY of what is invented is the time
    pair.primary.run("sync_client", "-m", "user.anna.New.x")
    assert set(names(pair.replica).values()) > {names(pair.primary)["user.anna.New.x"]}
    assert names(pair.replica)["user.anna.New"] not in names(pair.primary).values()
    meet_again(pair)
    assert names(pair.replica) == names(pair.primary)
    assert uidvalidities(pair.primary) == before == uidvalidities(pair.replica)
