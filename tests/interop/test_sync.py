# SPDX-License-Identifier: BSD-3-Clause
"""Replication with Debian's 3.6.1: as its replica, as its master, and in a chain through us."""

import pytest

from cyltest import Pair
from cyltest.dlist import parse
from cyltest.syncdata import assert_same, fill_user, login, message, sent_commands, user_state
from cyltest.syncline import guid

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


def diverge(master, replica):
    """Both ends had 1-5; then each went its own way (transcript sync-08)."""
    with replica.imap("carol") as imap:
        imap.append("INBOX", message(20))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Flagged $Rep)")
        imap.ok(r"STORE 4 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.append("INBOX", message(22))
        imap.logout()
    with master.imap("carol") as imap:
        imap.append("INBOX", message(21))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Answered)")
        imap.ok(r"STORE 3 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()


@pytest.mark.parametrize("ours_is", ["master", "replica"])
def test_diverged_ends_meet(factory, debian_factory, ours_is):
    ours = factory("ours", services=("imap", "csync"))
    theirs = debian_factory("theirs", services=("imap", "csync"))
    one, two = (ours, theirs) if ours_is == "master" else (theirs, ours)
    for server in (one, two):
        server.conf.update(CONF)
        server.add_user("carol")
    ours.allow_log("SYNCERROR")
    pair = Pair(one, two)
    pair.start()
    one.create_user("carol")
    with one.imap("carol") as imap:
        for n in range(1, 6):
            imap.append("INBOX", message(n))
        imap.logout()
    sync(pair, "-u", "carol")
    diverge(one, two)
    done = sync(pair, "-m", "user.carol")
    assert "FULLMAILBOX user.carol" in done.stdout
    assert_same(one, two, "carol")
    records = {r["GUID"].decode(): r for r in user_state(two, "carol")["MAILBOX"]["user.carol"]["RECORD"]}
    uid = {n: int(records[guid(message(n))]["UID"]) for n in (1, 2, 5, 20, 21, 22)}
    assert len(records) == 6
    assert (uid[1], uid[2], uid[5], uid[22]) == (1, 2, 5, 7)
    assert sorted([uid[20], uid[21]]) == [8, 9]
    assert set(records[guid(message(1))]["FLAGS"]) >= {b"\\Flagged", b"$Rep"}
    assert b"\\Answered" in records[guid(message(2))]["FLAGS"]
    settled(pair, "carol")


def test_user_deleted_on_the_master(master, ours):
    """Transcript sync-07: renames into DELETED, INBOX first, then UNUSER."""
    pair = Pair(master, ours)
    pair.start()
    fill_user(master)
    sync(pair, "-u", "anna")
    with master.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrswipkxtecda")
        imap.ok("DELETE user.anna")
        imap.logout()
    done = master.run("sync_client", "-v", "-v", "-l", "-R", "-1")
    assert sent_commands(done)
    with login(ours) as csync:
        names = [parse(line)[1]["MBOXNAME"] for line in csync.ok("GET USER anna").untagged
                 if line.startswith(b"* MAILBOX")]
    assert len(names) == 3 and all(n.startswith(b"DELETED.user.anna.") for n in names)


def test_compressed_and_over_a_unix_socket(master, ours):
    ours.add_service("csyncunix", cmd="sync_server", listen=ours.path("conf/socket/csync"))
    pair = Pair(master, ours)
    pair.start()
    fill_user(master)
    sync(pair, "-z", "-u", "anna")
    assert_same(master, ours)
    with master.imap("anna") as imap:
        imap.append("INBOX", message(8))
        imap.logout()
    sync(pair, "-S", ours.path("conf/socket/csync"), "-u", "anna")
    assert_same(master, ours)
