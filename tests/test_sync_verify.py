# SPDX-License-Identifier: BSD-3-Clause
"""sync_client --verify and its summary; a replica that dies or whose disk fails in the middle of a run."""

import hashlib
import os
import re

import pytest

from cyltest.relay import Relay
from cyltest.syncdata import assert_same, fill_user, login, message

CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "expunge_mode": "delayed", "delete_mode": "delayed"}
SUMMARY = re.compile(r"(\d+) mailboxes updated, (\d+) messages uploaded \((\d+) octets\) "
                     r"in \d+\.\d seconds(, with errors)?(?:, (\d+) differences left)?$")


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.add_user("anna")
    pair.replica.add_service("csyncunix", cmd="sync_server",
                             listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    fill_user(pair.primary)
    return pair


def sync(pair, *args, check=True):
    return pair.primary.run("sync_client", "-v", "-o", *args, check=check)


def differences(done):
    return [line.removeprefix("DIFFERENCE ") for line in done.stdout.splitlines()
            if line.startswith("DIFFERENCE ")]


def summary(done):
    """(mailboxes, messages, octets, with errors, differences left or None) of the last line."""
    found = SUMMARY.match(done.stdout.splitlines()[-1])
    assert found, done.stdout
    mailboxes, messages, octets, errors, left = found.groups()
    return (int(mailboxes), int(messages), int(octets), bool(errors), left and int(left))


def allow(pair, pattern=r"SYNC|IOERROR|zero length|response"):
    for server in (pair.primary, pair.replica):
        server.allow_log(pattern)


# ---- what is printed ----

def test_clean(pair):
    octets = sum(len(message(n)) for n in range(1, 6))
    done = sync(pair, "--verify", "-u", "anna")
    assert differences(done) == []
    assert summary(done) == (3, 5, octets, False, 0)
    for args in (["-m", "user.anna", "user.anna.Work"], ["-s", "anna"], ["-A"], ["--all"],
                 ["--user", "anna"], ["-u", "nobody"]):
        assert summary(sync(pair, "--verify", *args)) == (0, 0, 0, False, 0), args
    # without it nothing is claimed
    assert summary(sync(pair, "-u", "anna")) == (0, 0, 0, False, None)
    assert pair.primary.run("sync_client", "-o", "--verify", "-u", "anna").stdout == ""


SEEN = "APPLY SEEN %(USERID anna UNIQUEID foreign LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1:2)"


def test_seen_only_on_the_replica(pair):
    sync(pair, "-u", "anna")
    with login(pair.replica) as csync:
        csync.ok(SEEN)
    for mode in ("-u", "-s"):
        done = sync(pair, "--verify", mode, "anna", check=False)
        assert done.returncode == 1
        assert differences(done) == ["seen anna foreign: only on the replica"]
        assert summary(done) == (0, 0, 0, False, 1)


def test_mailbox_that_must_not_be_deleted(pair):
    """No tombstone here: with -O the replica keeps its mailbox, and that is a difference."""
    sync(pair, "-u", "anna")
    with pair.replica.imap("anna") as imap:
        imap.ok("CREATE INBOX.Extra")
        imap.logout()
    allow(pair, "no tombstone|SYNCNOTICE")
    done = sync(pair, "--verify", "-O", "-u", "anna", check=False)
    assert done.returncode == 1
    assert "user.anna.Extra: only on the replica" in differences(done)


def during(pair, change, *args):
    """sync_client --verify, and something happens on the replica between the run and the comparison."""
    asked = []

    def on_command(command):
        if command.startswith(b"GET USER "):
            asked.append(command)
            if len(asked) == 2:
                change()

    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"),
               on_command=on_command) as relay:
        done = sync(pair, "-S", relay.path, *args, check=False)
    assert len(asked) == 2
    return done


def meddle(pair):
    with pair.replica.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok(r"STORE 1 -FLAGS (\Seen)")
        imap.append("INBOX", message(9))
        imap.ok('SETMETADATA INBOX.Work (/shared/comment "another")')
        imap.ok("RENAME INBOX.Sent INBOX.Gone")
        imap.ok("UNSUBSCRIBE INBOX.Work")
        imap.ok("SUBSCRIBE INBOX.Gone")
        imap.logout()
    with pair.replica.imap("admin") as imap:
        imap.ok("SETACL user.anna.Work bob lrs")
        imap.ok("SETQUOTA user.anna (STORAGE 1)")
        imap.ok("SETQUOTA user.anna.Work (STORAGE 2)")
        imap.logout()


def test_each_difference_is_named(pair):
    allow(pair)
    done = during(pair, lambda: meddle(pair), "--verify", "-u", "anna")
    assert done.returncode == 1
    found = differences(done)
    plain = {line for line in found if "here <" not in line}
    assert plain == {
        "user.anna: uid 1: expunged on the replica",
        "user.anna: uid 2: flags, dates, modseq or annotations",
        "user.anna: uid 4: only on the replica",
        "user.anna.Sent: called user.anna.Gone on the replica",
        "user.anna.Work: ANNOTATIONS",
        "quota user.anna: limits",
        "quota user.anna.Work: only on the replica",
        "subscription anna user.anna.Work: only here",
        "subscription anna user.anna.Gone: only on the replica",
    }
    valued = {line.split(": here")[0] for line in found} - plain
    assert valued >= {"user.anna: LAST_UID", "user.anna: HIGHESTMODSEQ", "user.anna: checksums",
                      "user.anna.Work: ACL", "user.anna.Work: FOLDERMODSEQ"}
    assert summary(done)[3:] == (False, len(found))
    assert "user.anna: LAST_UID: here <3>, on the replica <4>" in found


# ---- F1: the server dies ----

def relayed(pair, cut_at, where, *args):
    """A run in which every sync_server is killed at one command; (result, that command)."""
    def kill():
        pair.replica.kill_children("sync_server")

    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"), cut_at, where,
               kill) as relay:
        done = sync(pair, "-S", relay.path, *args, check=False)
    return done, relay.commands[-1] if relay.cut and not relay.at_the_end else None


@pytest.mark.parametrize("where", ["before", "half", "after"])
def test_server_is_killed_at_each_command(pair, where):
    """exit 1, the mailbox is named, and the next run completes; users are alike, so each cut has its own."""
    allow(pair)
    pair.replica.allow_log("signaled|died|abnormally")
    pair.primary.allow_log("ERROR")
    named = 0
    for n in range(1, 40):
        user = f"user{n}"
        fill_user(pair.primary, user)
        done, command = relayed(pair, n, where, "-u", user)
        # users are alike but for one command: whose INBOX came within the same second needs not be told since when he is there
        if command is None:  # all is done
            assert done.returncode == 0 and n > 8
            break
        assert done.returncode == 1, (n, command)
        assert f"do_user: {user}: " in done.stderr or command.startswith(b"APPLY CAPABILITIES"), (n, command)
        if command.startswith(b"APPLY MAILBOX"):
            name = re.search(rb"MBOXNAME (\S+)", command).group(1).decode()
            assert f"{name}: " in done.stderr
            named += 1
        done = sync(pair, "--verify", "-u", user)
        assert summary(done)[3:] == (False, 0)
        assert_same(pair.primary, pair.replica, user)
    else:
        pytest.fail("the run has no end")
    assert named == 3


def test_comparison_needs_the_server(pair):
    """What could not be compared is not called clean."""
    allow(pair)
    sync(pair, "-u", "anna")
    pair.primary.allow_log("ERROR")
    # the first GET USER is that of the run, the second one that of the comparison
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync")) as relay:
        sync(pair, "-S", relay.path, "--verify", "-u", "anna")
    at = max(n for n, command in enumerate(relay.commands, 1) if command.startswith(b"GET USER "))
    done, command = relayed(pair, at, "before", "--verify", "-u", "anna")
    assert command.startswith(b"GET USER ")
    assert done.returncode == 1
    assert "verify_user: anna: " in done.stderr
    assert summary(done)[3]


# ---- F4, F6: the replica's disk ----

def store_digest(server):
    """Digest of every file of the store: spool, databases, the journal's records (not which lives and checkpoints it had; nor what replicas have)."""
    found = {}
    for top in ("spool", "conf"):
        for directory, names, files in os.walk(server.path(top)):
            names[:] = [name for name in names if name not in ("lock", "proc", "log", "socket")]
            for name in files:
                path = os.path.join(directory, name)
                if name in ("verified.db", "lives", "checkpoint"):
                    continue
                with open(path, "rb") as f:
                    found[os.path.relpath(path, server.root)] = hashlib.sha1(f.read()).hexdigest()
    return found


DISK = "Unknown error: the disk of this server has failed"
FAULTS = {
    "write:1:ENOSPC:/sync./": "Failed to parse APPLY line: No space left on device",
    "open:1:EROFS:/sync./": "Failed to parse APPLY line: Read-only file system",
    "pwrite:2:EIO:/conf/journal/0": DISK,  # the first one is of room for later
    "fdatasync:1:EIO:/conf/journal/": DISK,
    "pwrite:1:ENOSPC:/spool/": "Unknown error: the disk of this server is full",
    "mkdir:1:EACCES:/sync./": "Failed to parse APPLY line: Permission denied",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_disk_of_the_replica(pair, fault):
    """Each sync_server meets the fault once: clear text, nothing changes here, and all is well afterwards."""
    allow(pair, "ERROR|SYNC")
    pair.replica.stop()
    pair.replica.env["CYLINDER_DISKIO_FAULT"] = fault
    pair.replica.start()
    pair.primary.stop()
    before = store_digest(pair.primary)
    done = sync(pair, "--verify", "-u", "anna", check=False)
    assert store_digest(pair.primary) == before
    assert done.returncode == 1
    assert FAULTS[fault] in done.stderr
    assert "Error from do_user: anna: " in done.stderr
    del pair.replica.env["CYLINDER_DISKIO_FAULT"]
    pair.replica.stop()
    pair.replica.start()
    pair.primary.start()
    done = sync(pair, "--verify", "-u", "anna")
    assert summary(done)[4] == 0
    assert_same(pair.primary, pair.replica)
