# SPDX-License-Identifier: BSD-3-Clause
"""reconstruct --from-replica: message files that are missing or damaged come from the other end."""

import os

import pytest

from cyltest import Pair
from cyltest.damage import damage, one_bit
from cyltest.refill import BAD, CONF, COUNT, FLIPPED, LOST, check_refill, fill, look, on_disk, refill, spoil
from cyltest.storefiles import index_of, mailbox_dir


@pytest.fixture
def both(factory):
    pair = Pair(factory("one", services=("imap", "lmtp", "csync")), factory("two", services=("imap", "csync")))
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
    pair.start()
    fill(pair)
    pair.primary.allow_log("IOERROR|SYNCERROR")
    pair.replica.allow_log("IOERROR|SYNCERROR")
    return pair


def test_all_come_back(both):
    check_refill(both.primary)


def test_the_replica_is_repaired_from_its_master(both):
    primary, replica = both.primary, both.replica
    replica.conf.update({"sync_authname": "repl", "sync_password": primary.conf["sync_password"], "sync_try_imap": False})
    replica.restart()
    check_refill(replica, ("--server", f"127.0.0.1:{primary.ports['csync']}"))


def test_what_the_replica_has_damaged_too(both):
    """Told, left alone, and nothing is expunged; the others come."""
    primary, replica = both.primary, both.replica
    before = look(primary)
    spoil(primary)
    directory = mailbox_dir(replica, "user.anna")
    damage(os.path.join(directory, f"{FLIPPED}."), one_bit)
    os.unlink(os.path.join(directory, f"{LOST}."))
    bad = on_disk(primary)
    told = refill(primary, status=65)
    for uid, why in ((FLIPPED, "has it damaged"), (LOST, "does not have it")):
        line, = (line for line in told.splitlines() if f"user.anna uid {uid} " in line)
        assert line.endswith(f", the replica {why}, left alone")
    assert told.count("fetched from the replica") == len(BAD) - 2
    after = on_disk(primary)
    assert after[FLIPPED] == bad[FLIPPED] and after[LOST] is None
    assert len(index_of(primary, "user.anna").records) == COUNT
    with primary.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        served = imap.no("FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE ENVELOPE BODY.PEEK[])").untagged
    for n, line in enumerate((line for line in before if b" FETCH (" in line), 1):
        assert (line in served) == (n not in (FLIPPED, LOST))


def test_expunged_messages_come_back_too(both):
    """As long as they can be unexpunged."""
    primary = both.primary
    with primary.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(f"STORE {FLIPPED} +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    whole = spoil(primary)
    refill(primary)
    assert on_disk(primary) == whole


def test_all_files_and_the_index_are_lost(both):
    """A whole directory of message files; then the header of the index besides."""
    primary = both.primary
    before = look(primary)
    directory = mailbox_dir(primary, "user.anna")
    for uid in range(1, COUNT + 1):
        os.unlink(os.path.join(directory, f"{uid}."))
    assert refill(primary).count("fetched from the replica") == COUNT
    assert look(primary) == before
    spoil(primary)
    with open(os.path.join(directory, "cyrus.index"), "r+b") as f:
        f.write(bytes(40))
    refill(primary)
    with primary.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        assert len(imap.ok("FETCH 1:* BODY.PEEK[]").untagged) == COUNT


def test_no_replica(both):
    """Nothing is done to a mailbox whose replica can't be asked."""
    primary = both.primary
    spoil(primary)
    bad, records = on_disk(primary), index_of(primary, "user.anna").records
    both.replica.stop()
    refill(primary, status=75)
    assert on_disk(primary) == bad
    assert index_of(primary, "user.anna").records == records
    # A mailbox to which nothing is missing needs no replica.
    assert primary.run("reconstruct", "--from-replica", "user.anna.Work").returncode == 0


def test_usage(both):
    primary = both.primary
    for args in (("--server", "x", "user.anna"), ("--from-replica", "-V", "max", "user.anna"),
                 ("--from-replica", "-P", "x"), ("--from-replica", "-p", "default", "user.anna")):
        assert primary.run("reconstruct", *args, check=False).returncode == 64


@pytest.mark.parametrize("nth", range(1, 12))
def test_killed(both, nth):
    """At each change of the disk: every file is as it was, or whole, and the next run puts back the rest."""
    primary = both.primary
    before = look(primary)
    whole = spoil(primary)
    bad = on_disk(primary)
    primary.env["CYLINDER_DISKIO_KILL"] = f"change:{nth * 4}"
    killed = primary.run("reconstruct", "--from-replica", "user.anna", check=False)
    del primary.env["CYLINDER_DISKIO_KILL"]
    assert killed.returncode
    primary.run("mbexamine", "user.anna", check=False)  # whoever takes the lock next finishes what was begun
    now = on_disk(primary)
    for uid in BAD:
        assert now[uid] in (bad[uid], whole[uid]), uid
    refill(primary)
    assert on_disk(primary) == whole
    assert look(primary) == before
