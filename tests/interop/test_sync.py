# SPDX-License-Identifier: BSD-3-Clause
"""Replication with Debian's 3.6.1: as its replica, as its master, and in a chain through us."""

import pytest

from cyltest import Pair
from cyltest.syncdata import assert_same, fill_user, message, sent_commands, user_state

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "expunge_mode": "delayed",
        "delete_mode": "delayed", "allowusermoves": True}


@pytest.fixture
def master(debian_factory):
    server = debian_factory("master", services=("imap", "lmtp", "csync"))
    server.conf.update(CONF)
    return server


@pytest.fixture
def ours(factory):
    server = factory("ours", services=("csync",))
    server.conf.update(CONF)
    return server


@pytest.fixture
def third(debian_factory):
    server = debian_factory("third", services=("imap", "csync"))
    server.conf.update(CONF)
    return server


def sync(pair, *args):
    done = pair.primary.run("sync_client", "-v", "-v", "-l", "-o", *args)
    return done


def settled(pair, user="anna"):
    """A further run has nothing to send."""
    done = sync(pair, "-u", user)
    assert sent_commands(done) == []


def test_debian_master_fills_and_updates_our_replica(master, ours):
    pair = Pair(master, ours)
    pair.start()
    fill_user(master)
    with master.imap("anna") as imap:
        imap.ok("CREATE INBOX.Old")
        imap.append("INBOX.Old", message(7))
        imap.logout()
    sync(pair, "-u", "anna")
    assert_same(master, ours)
    settled(pair)

    with master.imap("anna") as imap:
        imap.append("INBOX", message(6), r"\Flagged")
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Answered $Junk)")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("COPY 1 INBOX.Work")
        imap.ok('SETMETADATA INBOX.Work (/shared/comment NIL)')
        imap.ok("CREATE INBOX.New")
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.ok("DELETE INBOX.Old")
        imap.ok("UNSUBSCRIBE INBOX.Work")
        imap.ok("SUBSCRIBE INBOX.Job")
        imap.logout()
    sync(pair, "-m", "user.anna")
    sync(pair, "-u", "anna")
    now = user_state(ours)
    assert_same(master, ours)
    assert "user.anna.Job" in now["MAILBOX"] and "user.anna.Work" not in now["MAILBOX"]
    settled(pair)

    with master.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrswipkxtecda")
        imap.ok("DELETE user.anna")
        imap.logout()
    sync(pair, "-u", "anna")


def test_chain_through_us_gives_everything_back(master, ours, third):
    """3.6.1 -> ours -> an empty 3.6.1 (handbook 03 §19.2 item 14)."""
    first = Pair(master, ours)
    second = Pair(ours, third)
    third.start()
    first.start()
    fill_user(master)
    sync(first, "-u", "anna")
    sync(second, "-u", "anna")
    assert_same(master, ours)
    assert_same(ours, third)
    settled(second)

    with master.imap("anna") as imap:
        imap.append("INBOX", message(6))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 3 +FLAGS (\Deleted \Seen)")
        imap.ok("EXPUNGE")
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.logout()
    sync(first, "-u", "anna")
    sync(second, "-u", "anna")
    assert_same(master, third)
    third.add_user("anna")
    with third.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        fetched = imap.ok("FETCH 3 (BODY[])").untagged
        assert any(b"body 6" in line for line in fetched)
