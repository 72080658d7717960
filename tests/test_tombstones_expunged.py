# SPDX-License-Identifier: BSD-3-Clause
"""The records of expunged messages stay when their files are gone (doc/tombstones.md): a replica that was away hears of them, with each
expunge_mode and whatever repacks the index, without a list of all records.
"""

import os
import re
import time

import pytest

from cyltest import Pair
from cyltest.clients import Rejected
from cyltest.relay import Relay
from cyltest.storefiles import EXPUNGED, UNLINKED, Snapshot, damage, index_of, mailbox_dir, message_files
from cyltest.syncdata import assert_same, fill_user, login, sent_commands
from cyltest.syncline import full, mailbox, record

CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "delete_mode": "delayed"}
HOUR, DAY = 3600, 86400
COUNT = 40
KILL_STEP = int(os.environ.get("CYL_KILL_STEP") or 3)


def message(n):
    return f"Message-ID: <t{n}@example.com>\r\nSubject: secret{n}secret\r\n\r\nbody {n}\r\n".encode()


def fill(server):
    """COUNT messages in INBOX.Work, of which 2 to 9 came long ago."""
    fill_user(server)
    with server.imap("anna") as imap:
        for n in range(2, COUNT + 1):
            imap.append("INBOX.Work", message(n), r"\Seen" if n % 3 else None, "02-Jan-2023 10:00:00 +0000" if n < 10 else None)
        imap.logout()


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.add_user("anna")
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    return pair


def begin(pair, **conf):
    """Both ends are equal; then the replica is away."""
    pair.primary.conf.update(conf)
    pair.start()
    fill(pair.primary)
    pair.primary.run("sync_client", "-o", "-u", "anna")
    assert_same(pair.primary, pair.replica)
    return pair


def expunge(server, *sets):
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        for uids in sets:
            imap.ok(rf"UID STORE {uids} +FLAGS.SILENT (\Deleted)")
            imap.ok("EXPUNGE")
        imap.logout()


def work_on(server):
    """Every second message goes, one by one and many at once; others change, and new ones come."""
    expunge(server, *range(2, COUNT // 2, 2), f"{COUNT // 2}:{COUNT - 2}")
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        imap.ok(r"UID STORE 3,5 +FLAGS (\Flagged)")
        imap.append("INBOX.Work", message(99))
        imap.logout()


def purge(server):
    """cyr_expire; more than once, as in the days that the replica is away."""
    for _ in range(2):
        server.run("cyr_expire", "-E", "1", "-X", "0")


def age(server, seconds):
    """Tombstones are as if the store had stood still, and time had gone on."""
    server.stop()
    index = index_of(server, "user.anna.Work")
    for recno, rec in enumerate(index.records, 1):
        if rec["flags"] & EXPUNGED:
            index.set("last_updated", rec["last_updated"] - seconds, recno)
    server.start()


def come_back(pair):
    """A run of the master; the commands that the replica got."""
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync")) as relay:
        done = pair.primary.run("sync_client", "-v", "-v", "-o", "-S", relay.path, "-u", "anna")
    assert sent_commands(done)
    return relay.commands


def must_be_equal(pair):
    assert_same(pair.primary, pair.replica)
    assert sent_commands(pair.primary.run("sync_client", "-v", "-v", "-o", "-u", "anna")) == []
    for server in (pair.primary, pair.replica):
        is_sound(server)


def is_sound(server):
    done = server.run("reconstruct", "-G", "-q")
    assert (done.stdout, done.stderr) == ("", "")
    assert server.run("ctl_conversationsdb", "-A", "anna").stdout == ""
    assert "inconsistent" not in server.run("quota", "-d", "user.anna", check=False).stdout


def expunged_records(server):
    return [r for r in index_of(server, "user.anna.Work").records if r["flags"] & EXPUNGED]


WAYS = {"immediate": ("immediate", lambda server: None),
        "immediate, then cyr_expire": ("immediate", purge),
        "semidelayed, then cyr_expire": ("semidelayed", purge),
        "delayed, then cyr_expire": ("delayed", purge),
        "immediate, then another version": ("immediate", lambda server: server.run("reconstruct", "-q", "-V", "16"))}


@pytest.mark.parametrize("way", WAYS)
def test_a_replica_that_was_away_needs_no_list(pair, way):
    mode, afterwards = WAYS[way]
    begin(pair, expunge_mode=mode)
    work_on(pair.primary)
    afterwards(pair.primary)
    mark = pair.primary.log_mark()
    commands = come_back(pair)
    assert not [c for c in commands if b"FULLMAILBOX" in c]
    assert "inefficient" not in pair.primary.log_text(mark)
    (applied,) = (c for c in commands if c.startswith(b"APPLY MAILBOX") and b"MBOXNAME user.anna.Work " in c)
    sent = [int(uid) for uid in re.findall(rb"%\(UID (\d+) ", applied)]
    gone = [*range(2, COUNT // 2, 2), *range(COUNT // 2, COUNT - 1)]
    assert sent == sorted([*gone, 3, 5, COUNT + 1]), "records of what has changed, and no others"
    must_be_equal(pair)
    assert message_files(mailbox_dir(pair.primary, "user.anna.Work")) == [
        f"{uid}." for uid in range(1, COUNT + 2) if uid not in gone] or mode == "semidelayed"


@pytest.mark.parametrize("away, kept", [(HOUR + 60, True), (6 * DAY, True), (8 * DAY, False)],
                         ids=["an hour", "six days", "eight days"])
def test_how_long_it_may_be_away(pair, away, kept):
    begin(pair, expunge_mode="immediate")
    work_on(pair.primary)
    age(pair.primary, away)
    purge(pair.primary)
    assert bool(expunged_records(pair.primary)) == kept
    mark = pair.primary.log_mark()
    commands = come_back(pair)
    assert bool([c for c in commands if b"FULLMAILBOX" in c]) == (not kept)
    assert ("inefficient replication" in pair.primary.log_text(mark)) == (not kept)
    must_be_equal(pair)


def test_without_it_is_as_in_361(pair):
    begin(pair, expunge_mode="immediate", expunge_tombstones="0")
    work_on(pair.primary)
    assert expunged_records(pair.primary) == []
    mark = pair.primary.log_mark()
    assert [c for c in come_back(pair) if b"FULLMAILBOX" in c]
    assert "inefficient replication" in pair.primary.log_text(mark)
    must_be_equal(pair)


@pytest.mark.parametrize("tombstones, alive", [("7d", False), ("0", True)], ids=["known", "forgotten"])
def test_changed_there_after_it_was_expunged_here(pair, tombstones, alive):
    """Expunge wins while it is known; what the master has forgotten, and the replica has changed since, is nobody's loss to take."""
    begin(pair, expunge_mode="immediate", expunge_tombstones=tombstones)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|CRC")
    expunge(pair.primary, 4)
    with pair.replica.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        for _ in range(3):  # above all that the master has said
            imap.ok(r"UID STORE 4 FLAGS (\Flagged)")
            imap.ok(r"UID STORE 4 FLAGS (\Answered)")
        imap.logout()
    come_back(pair)
    for server in (pair.primary, pair.replica):
        with server.imap("anna") as imap:
            imap.ok("SELECT INBOX.Work")
            found = imap.ok("UID SEARCH SUBJECT secret4secret").untagged
            imap.logout()
        assert found == [b"* SEARCH" + (b" %d" % (COUNT + 1) if alive else b"")]
    must_be_equal(pair)


def test_the_other_way_round(pair):
    """The replica keeps them, too: when it becomes the master, the old one hears of what it has missed."""
    back = Pair(pair.replica, pair.primary)
    pair.replica.conf.update(expunge_mode="immediate")
    begin(pair, expunge_mode="immediate")
    expunge(pair.primary, "2:9")
    come_back(pair)
    assert [r["uid"] for r in expunged_records(pair.replica)] == [*range(2, 10)]
    assert index_of(pair.replica, "user.anna.Work").header["deletedmodseq"] == 0
    expunge(pair.replica, "10:19")
    purge(pair.replica)
    done = pair.replica.run("sync_client", "-v", "-v", "-o", "-u", "anna")
    assert sent_commands(done) and "FULLMAILBOX" not in done.stdout + done.stderr
    assert "inefficient" not in pair.replica.log_text()
    must_be_equal(back)


def test_a_damaged_tombstone(pair):
    """Nobody is told of it any more; then all is compared, and nothing is lost."""
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|CRC|crc|checksum|IOERROR|damaged|counted anew")
    begin(pair, expunge_mode="immediate")
    expunge(pair.primary, "2", "4")
    pair.primary.stop()
    index = index_of(pair.primary, "user.anna.Work")
    (recno,) = (n for n, rec in enumerate(index.records, 1) if rec["uid"] == 4)
    damage(index.path, index.offset(recno) + 40, b"rubbish")
    pair.primary.start()
    pair.primary.run("reconstruct", "-q", "user.anna.Work", check=False)
    come_back(pair)
    must_be_equal(pair)
    with pair.primary.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        found = imap.ok("UID SEARCH ALL").untagged[0].split()[2:]
        imap.logout()
    assert {*range(3, COUNT + 1)} - {4} <= {*map(int, found)} and b"2" not in found


# ---- what a tombstone is, and is not ----

@pytest.fixture
def server(factory):
    server = factory(services=("imap", "csync"))
    server.conf.update(CONF, expunge_mode="immediate")
    return server


def test_nothing_else_is_left(server):
    """Not of the file, not of the cache; no count, list or tool takes a tombstone for a message."""
    server.start()
    fill(server)
    with server.imap("anna") as imap:
        before = imap.ok("GETQUOTAROOT INBOX.Work").untagged
        for n in (100, 101):
            imap.append("INBOX.Work", message(n))
        imap.logout()
    expunge(server, COUNT + 1, COUNT + 2)
    server.run("ctl_cyrusdb", "-c")
    directory = mailbox_dir(server, "user.anna.Work")
    assert message_files(directory) == [f"{uid}." for uid in range(1, COUNT + 1)]
    index = index_of(server, "user.anna.Work")
    assert [(r["uid"], r["cache_offset"], r["cache_crc"]) for r in index.records[COUNT:]] == [(COUNT + 1, 0, 0), (COUNT + 2, 0, 0)]
    assert all(r["flags"] & EXPUNGED and r["flags"] & UNLINKED for r in index.records[COUNT:])
    with open(os.path.join(directory, "cyrus.cache"), "rb") as f:
        cache = f.read()
    assert b"secret39secret" in cache and b"secret100secret" not in cache
    with server.imap("anna") as imap:
        assert imap.ok("GETQUOTAROOT INBOX.Work").untagged == before
        assert imap.ok("STATUS INBOX.Work (MESSAGES)").untagged == [b"* STATUS INBOX.Work (MESSAGES %d)" % COUNT]
        assert len(imap.ok("SELECT INBOX.Work").find("* ")) and imap.ok("UID SEARCH SUBJECT secret100").untagged == [b"* SEARCH"]
        imap.logout()
    assert server.run("unexpunge", "-l", "user.anna.Work").stdout == ""
    assert server.run("unexpunge", "-a", "user.anna.Work").stdout.endswith("restored 0 expunged messages\n")
    assert f"Number of Messages: {COUNT}" in server.run("mbexamine", "user.anna.Work").stdout
    server.run("ipurge", "-f", "-d", "0", "user.anna.Work", check=False)
    is_sound(server)


def test_cyr_expire_leaves_an_index_alone_that_has_nothing_to_give(server):
    server.start()
    fill(server)
    expunge(server, "2:9")
    before = index_of(server, "user.anna.Work").data
    purge(server)
    assert index_of(server, "user.anna.Work").data == before
    age(server, 7 * DAY + HOUR)
    purge(server)
    index = index_of(server, "user.anna.Work")
    assert [r["uid"] for r in index.records] == [1, *range(10, COUNT + 1)]
    assert index.header["deletedmodseq"]
    is_sound(server)


def test_an_index_does_not_grow_for_ever(server):
    """Of those older than an hour as many as there are messages, or 4096; the newest."""
    server.start()
    server.add_user("anna")
    now, many = int(time.time()), 5000
    lines = [record(uid, 10 + uid, r"\Expunged", b"%d" % uid, last_updated=now - 2 * HOUR) for uid in range(1, many + 1)]
    with login(server) as csync:
        csync.ok("APPLY " + mailbox("user.anna", UNIQUEID="inboxanna", LAST_UID=0, HIGHESTMODSEQ=1, CREATEDMODSEQ=1))
        csync.ok("APPLY " + mailbox("user.anna.Work", lines, LAST_UID=many, HIGHESTMODSEQ=10 + many, CREATEDMODSEQ=1))
    purge(server)
    with login(server) as csync:
        left = [int(r["UID"]) for r in full(csync, "user.anna.Work")["RECORD"]]
    assert left == [*range(many - 4096 + 1, many + 1)]
    assert index_of(server, "user.anna.Work").header["deletedmodseq"] == 10 + many - 4096


# ---- the tombstone first ----

def tombstones_are_right(server, live):
    """Each UID has a record; one of a message that is gone says so, and the others have their files. Returns the UIDs that are gone."""
    index = index_of(server, "user.anna.Work")
    assert index.crcs_are_good()
    assert [r["uid"] for r in index.records] == [*range(1, COUNT + 1)] and index.header["deletedmodseq"] == 0
    gone = {r["uid"] for r in index.records if r["flags"] & UNLINKED}
    assert all(r["flags"] & EXPUNGED for r in index.records if r["uid"] in gone)
    server.restart()  # files go with the journal
    assert message_files(mailbox_dir(server, "user.anna.Work")) == [
        f"{uid}." for uid in range(1, COUNT + 1) if uid not in gone]
    assert index.header["exists"] == len(index.records) - len(gone) == live
    return gone


@pytest.mark.parametrize("recover", [True, False], ids=["recovery", "next"])
def test_killed_at_each_change(server, recover):
    """While messages are expunged, at changes of the disk (each with CYL_KILL_STEP=1): no file goes without its tombstone."""
    server.allow_log("DBERROR|journal|finish")
    server.start()
    fill(server)
    with server.imap("admin") as imap:
        imap.ok('SETMETADATA user.anna.Work (/shared/vendor/cmu/cyrus-imapd/expire "60")')
        imap.logout()
    server.stop()
    saved = Snapshot(server)
    seen = set()
    for nth in range(1 + recover, 300, KILL_STEP):
        if server.running:
            server.kill()
        saved.restore()
        if not recover:
            server.start()
        server.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = server.run("cyr_expire", "-E", "1", "-c", "-u", "anna", check=False)
        del server.env["CYLINDER_DISKIO_KILL"]
        if recover:
            server.start()
        with server.imap("anna") as imap:
            live = int(re.search(rb"MESSAGES (\d+)", imap.ok("STATUS INBOX.Work (MESSAGES)").untagged[0])[1])
            imap.logout()
        gone = tombstones_are_right(server, live)
        assert gone in (set(), {*range(2, 10)}), nth
        is_sound(server)
        seen.add(len(gone))
        if done.returncode == 0:
            break
    assert done.returncode == 0 and nth > 8 and seen == {0, 8}


NO_ROOM = ["pwrite:1+:ENOSPC:/conf/journal/", "write:1+:ENOSPC:/conf/journal/", "pwrite:1+:EIO:/conf/journal/",
           "write:1+:ENOSPC:/stage./", "open:1+:ENOSPC:/stage./"]


@pytest.mark.parametrize("fault", NO_ROOM)
def test_no_room_for_a_tombstone(server, fault):
    """Then the message stays. When there is no room for a new index only, the old one has the tombstones."""
    server.allow_log("IOERROR|journal|not repacked|finish|fatal|signaled|abnormally")
    server.start()
    fill(server)
    server.env["CYLINDER_DISKIO_FAULT"] = fault
    with server.imap("anna") as imap:  # the changes of a session that has no fault
        imap.ok("SELECT INBOX.Work")
        imap.ok(r"UID STORE 2:9 +FLAGS (\Deleted)")
        imap.logout()
    server.restart()
    answered = False
    try:
        with server.imap("anna") as imap:
            imap.ok("SELECT INBOX.Work")
            imap.ok("EXPUNGE")
            answered = True
    except (EOFError, OSError, Rejected):
        pass
    del server.env["CYLINDER_DISKIO_FAULT"]
    server.restart()
    gone = tombstones_are_right(server, COUNT - 8 if answered else COUNT)
    assert gone == ({*range(2, 10)} if answered else set())
    assert answered == ("journal" not in fault)
    expunge(server, "2:9" if not answered else "10")
    assert tombstones_are_right(server, COUNT - 8 - answered) >= {*range(2, 10)}
    is_sound(server)


@pytest.mark.parametrize("fault", NO_ROOM)
def test_no_room_while_purging(server, fault):
    server.allow_log("IOERROR|journal|not repacked|finish|fatal|clean-up")
    server.conf["expunge_mode"] = "delayed"
    server.start()
    fill(server)
    expunge(server, "2:9")
    server.stop()
    saved = Snapshot(server)
    for recover in (False, True):
        saved.restore()
        server.start()
        server.env["CYLINDER_DISKIO_FAULT"] = fault
        done = server.run("cyr_expire", "-E", "1", "-X", "0", "-u", "anna", check=False)
        del server.env["CYLINDER_DISKIO_FAULT"]
        if recover:
            server.kill()
            server.start()
        index = index_of(server, "user.anna.Work")
        unlinked = [r["uid"] for r in index.records if r["flags"] & UNLINKED]
        assert unlinked in ([], [*range(2, 10)]) and bool(unlinked) == ("journal" not in fault), done.stderr
        server.run("ctl_cyrusdb", "-c")
        assert len(message_files(mailbox_dir(server, "user.anna.Work"))) == COUNT - len(unlinked)
        assert [r["uid"] for r in index.records] == [*range(1, COUNT + 1)] and index.header["deletedmodseq"] == 0
        server.run("cyr_expire", "-E", "1", "-X", "0", "-u", "anna")
        assert tombstones_are_right(server, COUNT - 8) == {*range(2, 10)}
        is_sound(server)
        server.stop()
