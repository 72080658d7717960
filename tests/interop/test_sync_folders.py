# SPDX-License-Identifier: BSD-3-Clause
"""Folders that only one end has, and names that change hands, with 3.6.1 at either end; its tools on our tombstones."""

import re

import pytest

from cyltest import Pair
from cyltest.folders import CONF, Watch, contents, do, every, fill, guid, message, names, other_identity, ready
from cyltest.rolling import write_log
from cyltest.syncdata import assert_same

SERVICES = ("imap", "lmtp", "csync")


@pytest.fixture
def debian(debian_factory):
    return debian_factory("debian", services=SERVICES)


@pytest.fixture
def ours(factory):
    return factory("ours", services=SERVICES)


def begin(primary, replica, **conf):
    pair = ready(Pair(primary, replica), "anna", **conf)
    fill(primary, "INBOX.Work", 3, 4)
    primary.run("sync_client", "-o", "-v", "-u", "anna")
    for server in (primary, replica):
        server.allow_log("SYNCNOTICE|SYNCERROR|no tombstone|IOERROR|NO response|inefficient|CRC failure|Failed|failed")
    return pair


def meet(pair, **kwargs):
    watch = Watch(pair, **kwargs)
    watch.run("-u", "anna")
    assert_same(pair.primary, pair.replica)
    again = Watch(pair)
    again.run("-u", "anna")
    assert again.changes() == []
    return watch


# ---- ours is the master ----

def test_four_cases_with_a_361_replica(ours, debian):
    pair = begin(ours, debian, delete_mode="immediate")
    # never seen here
    fill(debian, "INBOX.Extra", 5, 6)
    do(debian, "SELECT INBOX.Extra", r"STORE 1 +FLAGS (\Flagged)", "CLOSE")
    watch = meet(pair)
    assert watch.uploaded == [] and "user.anna.Extra" in names(ours)
    # deleted here
    do(ours, "DELETE INBOX.Extra")
    watch = meet(pair, may_go=[guid(message(5)), guid(message(6))])
    assert "APPLY UNMAILBOX user.anna.Extra" in watch.commands and "user.anna.Extra" not in names(debian)
    # deleted there: the master's word holds
    do(debian, "DELETE INBOX.Work")
    watch = meet(pair)
    assert sorted(watch.uploaded) == sorted([guid(message(3)), guid(message(4))])
    # never seen there
    fill(ours, "INBOX.New", 7)
    assert meet(pair).uploaded == [guid(message(7))]


def test_one_name_for_two_with_a_361_replica(ours, debian):
    pair = begin(ours, debian)
    fill(ours, "INBOX.Archive", 10, 11)
    fill(debian, "INBOX.Archive", 12, 13)
    watch = meet(pair)
    assert contents(debian, "anna")["user.anna.Archive"] == sorted(guid(message(n)) for n in (10, 11, 12, 13))
    assert sorted(watch.uploaded) == sorted(guid(message(n)) for n in (10, 11))
    other_identity(ours, "user.anna.Work", "another-identity")
    fill(debian, "INBOX.Work", 14)
    watch = meet(pair)
    assert contents(ours, "anna")["user.anna.Work"] == sorted(guid(message(n)) for n in (3, 4, 14))
    assert watch.uploaded == []


def test_names_change_hands_with_a_361_replica(ours, debian):
    pair = begin(ours, debian)
    fill(ours, "INBOX.B", 5)
    fill(ours, "INBOX.C", 6)
    meet(pair)
    do(ours, "RENAME INBOX.Work INBOX.T", "RENAME INBOX.B INBOX.Work", "RENAME INBOX.C INBOX.B", "RENAME INBOX.T INBOX.C")
    watch = meet(pair)
    assert watch.uploaded == []
    assert contents(debian, "anna")["user.anna.Work"] == [guid(message(5))]
    do(ours, "RENAME INBOX.Work INBOX.D", "RENAME INBOX.D INBOX.E")
    fill(ours, "INBOX.Work", 8)
    assert meet(pair).uploaded == [guid(message(8))]


def test_one_sided_folder_with_a_361_replica(ours, debian):
    """It tells no digest of the names of folders; the item that names one that is not there is enough."""
    pair = begin(ours, debian)
    fill(ours, "INBOX.Home", 5)
    meet(pair)
    do(debian, "DELETE INBOX.Work", "DELETE INBOX.Home")
    watch = Watch(pair)
    watch.run("-R", "-f", write_log(ours, ["MAILBOX user.anna.Work"], name="one"))
    assert watch.commands.count("GET USER anna") >= 1 and watch.uploaded == []
    assert names(debian) == names(ours)
    assert_same(ours, debian)
    watch = Watch(pair)
    watch.run("-R", "-f", write_log(ours, ["MAILBOX user.anna.Home"], name="two"))
    assert watch.changes() == [] and "GET USER anna" not in watch.commands


# ---- 3.6.1 is the master ----

def test_four_cases_with_a_361_master(debian, ours):
    """Its client has no copy back: what was never seen there stays with us, and it says so at every run."""
    pair = begin(debian, ours, delete_mode="immediate")
    fill(ours, "INBOX.Extra", 5)
    do(debian, "DELETE INBOX.Work")
    fill(debian, "INBOX.New", 7)
    watch = Watch(pair, may_go=[guid(message(3)), guid(message(4))])
    watch.run("-u", "anna")
    assert {"user.anna", "user.anna.New", "user.anna.Extra"} == set(names(ours))
    assert "no tombstone for deleted mailbox user.anna.Extra" in debian.log_text()
    do(ours, "DELETE INBOX.New")
    Watch(pair, may_go=()).run("-u", "anna")
    assert "user.anna.New" in names(ours)


def test_roles_swapped_from_361(debian, ours):
    """What 3.6.1 made on its way stays with it until ours is master; then it comes."""
    begin(debian, ours, delete_mode="immediate")
    fill(debian, "INBOX.Mine", 5)
    do(ours, "DELETE INBOX.Work")
    back = Pair(ours, debian)
    ours.stop()
    debian.stop()
    debian.add_service("csyncunix", cmd="sync_server", listen=debian.path("conf/socket/csync"))
    debian.start()
    ours.start()
    done = back.primary.run("sync_client", "-v", "-o", "-u", "anna")
    assert "COPYBACK user.anna.Mine" in done.stdout
    assert_same(ours, debian)
    assert sorted(names(debian)) == ["user.anna", "user.anna.Mine"]


# ---- 3.6.1 reads our records ----

def tombstones(server):
    """Of all kinds: deleted, name used again, identity replaced, removed for good, moved away."""
    fill(server, "INBOX.Work", 3)
    fill(server, "INBOX.Gone", 4)
    do(server, "DELETE INBOX.Gone", "DELETE INBOX.Work")
    fill(server, "INBOX.Work", 5)
    db = server.path("conf/mailboxes.db")
    server.run("cyr_dbtool", db, "twoskip", "set", "Iformer-one",
               "%(T ed N user\x1fanna\x1fWork M 1795310143 R replaced:another H ())")
    server.run("cyr_dbtool", db, "twoskip", "set", "Nuser\x1fanna\x1fMoved",
               "%(T ed I former-two V 7 C 1 F 2 M 1795310143 R moved:backend2.example.com)")
    server.run("cyr_dbtool", db, "twoskip", "set", "Iformer-two",
               "%(T ed N user\x1fanna\x1fMoved V 7 C 1 F 2 M 1795310143 R moved:backend2.example.com H ())")


def test_361_reads_our_tombstones(ours, debian, debian_factory):
    """ctl_mboxlist, cyr_dbtool, imapd, sync_client and cyr_expire of 3.6.1 in our store: as if R were not there."""
    ours.conf.update({**CONF, "delete_mode": "immediate"})
    ours.add_user("anna")
    ours.start()
    ours.create_user("anna")
    tombstones(ours)
    dump = ours.run("ctl_mboxlist", "-d").stdout
    ours.stop()
    third = debian_factory("third", services=SERVICES)
    third.conf.update(CONF)
    debian.conf.update({**CONF, "delete_mode": "immediate"})
    Pair(debian, third)
    for option in ("configdirectory", "partition-default"):
        debian.conf[option] = ours.conf[option]
    debian.add_user("anna")
    third.start()
    debian.start()
    theirs = debian.run("ctl_mboxlist", "-d").stdout
    assert theirs == dump and "Moved" in theirs
    db = f"{ours.conf['configdirectory']}/mailboxes.db"
    shown = debian.run("cyr_dbtool", db, "twoskip", "show").stdout
    assert len(re.findall(r" R (?:deleted|replaced:|moved:)", shown)) >= 4
    with debian.imap("anna") as imap:
        listed = b"".join(imap.ok('LIST "" *').untagged)
        assert b"Work" in listed and b"Gone" not in listed and b"Moved" not in listed
        imap.ok("CREATE INBOX.Moved")
        imap.ok("CREATE INBOX.Gone")
        imap.ok("DELETE INBOX.Work")
        imap.logout()
    debian.run("sync_client", "-v", "-o", "-u", "anna")
    assert set(names(third)) == {"user.anna", "user.anna.Moved", "user.anna.Gone"}
    debian.run("cyr_expire", "-E", "3", "-X", "0", "-D", "0", "-v")
    for server in (debian, third):
        assert not re.search("DBERROR|IOERROR|FATAL", server.log_text())
