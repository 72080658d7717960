# SPDX-License-Identifier: BSD-3-Clause
"""Records of expunged messages that stay without their files, and Debian's 3.6.1: at the other end, and on the same store."""

import re

import pytest

from cyltest import Pair
from cyltest.relay import Relay
from cyltest.storefiles import EXPUNGED, UNLINKED, index_of, mailbox_dir, message_files
from cyltest.store import assert_alike, debian_tool, servers_on_one_store, snapshot
from cyltest.syncdata import assert_same, fill_user, message, sent_commands

CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "delete_mode": "delayed"}
COUNT = 20
GONE = [*range(2, 8), *range(12, 18)]


def fill(server):
    fill_user(server)
    with server.imap("anna") as imap:
        for n in range(2, COUNT + 1):
            imap.append("INBOX.Work", message(100 + n))
        imap.logout()


def work_on(server):
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        for uids in ("2", "3", "4:7", "12:17"):
            imap.ok(rf"UID STORE {uids} +FLAGS.SILENT (\Deleted)")
            imap.ok("EXPUNGE")
        imap.ok(r"UID STORE 8 +FLAGS (\Flagged)")
        imap.append("INBOX.Work", message(99))
        imap.logout()


def tombstones(server):
    return [r["uid"] for r in index_of(server, "user.anna.Work").records if r["flags"] & UNLINKED]


def two(master, replica):
    """The pair has met once."""
    for server in (master, replica):
        server.conf.update(CONF)
        server.add_user("anna")
    pair = Pair(master, replica)
    replica.add_service("csyncunix", cmd="sync_server", listen=replica.path("conf/socket/csync"))
    pair.start()
    fill(master)
    master.run("sync_client", "-o", "-u", "anna")
    assert_same(master, replica)
    return pair


@pytest.mark.parametrize("mode", ["immediate", "delayed"])
def test_a_361_replica_that_was_away(factory, debian_factory, mode):
    ours, debian = factory("ours", services=("imap", "csync")), debian_factory("debian", services=("imap", "csync"))
    ours.conf["expunge_mode"] = mode
    two(ours, debian)
    work_on(ours)
    for _ in range(2):
        ours.run("cyr_expire", "-E", "1", "-X", "0")
    assert tombstones(ours) == GONE
    with Relay(ours.path("tmp", "relay"), debian.path("conf/socket/csync")) as relay:
        ours.run("sync_client", "-v", "-v", "-o", "-S", relay.path, "-u", "anna")
    (applied,) = (c for c in relay.commands if c.startswith(b"APPLY MAILBOX") and b"MBOXNAME user.anna.Work " in c)
    assert [int(uid) for uid in re.findall(rb"%\(UID (\d+) ", applied)] == sorted([*GONE, 8, COUNT + 1])
    assert not [c for c in relay.commands if b"FULLMAILBOX" in c] and "inefficient" not in ours.log_text()
    assert_same(ours, debian)
    assert sent_commands(ours.run("sync_client", "-v", "-v", "-o", "-u", "anna")) == []


def test_we_are_the_replica_of_361_and_keep_them(factory, debian_factory):
    ours, debian = factory("ours", services=("imap", "csync")), debian_factory("debian", services=("imap", "csync"))
    ours.conf["expunge_mode"] = "immediate"
    debian.conf["expunge_mode"] = "delayed"
    two(debian, ours)
    work_on(debian)
    debian.run("sync_client", "-o", "-u", "anna")
    assert tombstones(ours) == GONE
    ours.run("cyr_expire", "-E", "1", "-X", "0")
    assert tombstones(ours) == GONE
    assert_same(debian, ours)
    debian.run("cyr_expire", "-E", "1", "-X", "0")  # forgets them
    with debian.imap("anna") as imap:
        imap.append("INBOX.Work", message(98))
        imap.logout()
    done = debian.run("sync_client", "-v", "-v", "-o", "-u", "anna")
    assert sent_commands(done) and "FULLMAILBOX" not in done.stdout + done.stderr
    assert_same(debian, ours)
    assert sent_commands(debian.run("sync_client", "-v", "-v", "-o", "-u", "anna")) == []


@pytest.fixture
def store(factory, debian_factory):
    """(3.6.1, ours) on one store, with tombstones of ours; neither is running."""
    debian, ours = servers_on_one_store(debian_factory, factory, {**CONF, "expunge_mode": "immediate"})
    debian.add_user("anna")
    ours.start()
    fill(ours)
    work_on(ours)
    ours.stop()
    assert tombstones(ours) == GONE
    return debian, ours


def test_361_reads_them(store):
    """Its tools find nothing to repair; its server shows what ours does."""
    debian, ours = store
    directory = mailbox_dir(ours, "user.anna.Work")
    lines = debian_tool(debian, "reconstruct", "-n", "-G", "-r", "user.anna").stdout.split()
    assert set(lines) <= {"user.anna", "user.anna.Work", "user.anna.Sent"}, lines
    examined = debian_tool(debian, "mbexamine", "user.anna.Work").stdout
    assert f"Number of Messages: {COUNT + 1 - len(GONE)}" in examined
    assert debian_tool(debian, "unexpunge", "-l", "user.anna.Work").stdout == ""
    assert "anna is OK" in debian_tool(debian, "ctl_conversationsdb", "-A", "-v", "anna").stdout
    assert debian_tool(debian, "quota", "-f").stdout == debian_tool(debian, "quota").stdout
    ours.start()
    mine = snapshot(ours, ["anna"])
    ours.stop()
    debian.start()
    assert_alike(snapshot(debian, ["anna"]), mine)
    debian.stop()
    assert tombstones(ours) == GONE
    assert message_files(directory) == [f"{uid}." for uid in range(1, COUNT + 2) if uid not in GONE]


def test_361_goes_on_with_them(store):
    """It expunges more, which makes it repack, and drops them all; ours finds nothing wrong afterwards."""
    debian, ours = store
    highest = max(r["modseq"] for r in index_of(ours, "user.anna.Work").records if r["flags"] & EXPUNGED)
    debian.start()
    with debian.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        imap.ok(r"UID STORE 8 +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()
    debian.stop()
    debian_tool(debian, "cyr_expire", "-E", "1", "-X", "0")
    assert tombstones(ours) == []
    assert index_of(ours, "user.anna.Work").header["deletedmodseq"] > highest
    done = ours.run("reconstruct", "-G", "-q")
    assert (done.stdout, done.stderr) == ("", "")
    assert ours.run("ctl_conversationsdb", "-A", "anna").stdout == ""
    ours.start()
    with ours.imap("anna") as imap:
        assert imap.ok("STATUS INBOX.Work (MESSAGES)").untagged == [b"* STATUS INBOX.Work (MESSAGES %d)" % (COUNT - len(GONE))]
        imap.logout()
