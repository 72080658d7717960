# SPDX-License-Identifier: BSD-3-Clause
"""reconstruct --from-replica: message files that are missing or damaged come from the other end."""

import os
import random
import re
import shutil

import pytest

from cyltest import Pair
from cyltest.damage import KINDS, damage, one_bit
from cyltest.refill import BAD, CONF, COUNT, FLIPPED, LOST, SHORT, ZEROED, check_refill, fill, look, on_disk, refill, spoil, text
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


def test_copies_of_the_same_user_first(both):
    """What another mailbox of hers has is taken from there, also when there is no replica; a link to the damaged file is none."""
    primary, replica = both.primary, both.replica
    with primary.imap("anna") as imap:
        for n in (LOST, FLIPPED, ZEROED):
            imap.append("INBOX.Work", text(n))  # in a file of its own, if the server makes one
        imap.ok("SELECT INBOX")
        imap.ok(f"COPY {SHORT} INBOX.Work")
        imap.logout()
    work = mailbox_dir(primary, "user.anna.Work")
    for name in os.listdir(work):  # no link to another mailbox's file but that of SHORT
        path = os.path.join(work, name)
        if name.endswith(".") and os.stat(path).st_nlink > 1 and name != f"{COUNT + 4}.":
            primary.account.give(shutil.copy(path, path + "new"))
            os.rename(path + "new", path)
    whole = spoil(primary)
    replica.stop()
    told = primary.run("reconstruct", "--from-replica", "user.anna", check=False)
    own = [line for line in told.stdout.splitlines() if line.endswith("taken from another copy of it here")]
    assert sorted(int(line.split(" ")[2]) for line in own) == [LOST, FLIPPED, ZEROED]
    assert {uid: data for uid, data in on_disk(primary).items() if uid in (LOST, FLIPPED, ZEROED)} == \
        {uid: whole[uid] for uid in (LOST, FLIPPED, ZEROED)}
    assert told.returncode == 75  # the others are the replica's to give
    replica.start()
    told = refill(primary)
    assert told.count("fetched from the replica") == 3 and "another copy" not in told
    assert on_disk(primary) == whole


@pytest.mark.parametrize("seed", [int(os.environ.get("CYL_DAMAGE_SEED", "67"))])
def test_a_tenth_of_all_files(both, seed):
    """At random places, in random ways: a client gets the right octets or an error, and one run heals all of it."""
    primary = both.primary
    rng = random.Random(seed)
    names = [f"INBOX.M{n}" for n in range(6)]
    with primary.imap("anna") as imap:
        for name in names:
            imap.ok(f"CREATE {name}")
            for n in range(25):
                imap.append(name, text(rng.randrange(1000)) + b"%d" % rng.randrange(10 ** 9))
        imap.logout()
    primary.run("sync_client", "-u", "anna")
    names += ["INBOX", "INBOX.Work"]
    right = {name: bodies(primary, name) for name in names}
    files = [os.path.join(mailbox_dir(primary, name.replace("INBOX", "user.anna")), f"{uid}.") for name in names
             for uid in right[name]]
    spoiled = rng.sample(files, len(files) // 10)
    for path in spoiled:
        how = rng.choice([*KINDS.values(), None])
        if how:
            damage(path, how)
        else:
            os.unlink(path)
    missed = 0
    for name in names:
        served = bodies(primary, name)
        assert all(data == right[name][uid] for uid, data in served.items())
        missed += len(right[name]) - len(served)
    assert missed == len(spoiled) > 15
    done = primary.run("reconstruct", "--from-replica")
    assert done.stdout.count("fetched from the replica") + done.stdout.count("another copy of it here") == len(spoiled)
    assert {name: bodies(primary, name) for name in names} == right
    assert primary.run("sync_client", "-o", "-v", "--verify", "-u", "anna").stdout.endswith("0 differences left\n")


def bodies(server, name):
    """By UID, of those that are served."""
    with server.imap("anna") as imap:
        imap.ok(f"EXAMINE {name}")
        found = imap.cmd("FETCH 1:* (UID BODY.PEEK[])").untagged
        imap.logout()
    taken = [re.search(rb"UID (\d+) BODY\[\] \{\d+\}\r\n(.*)\)$", line, re.S) for line in found]
    return {int(m.group(1)): m.group(2) for m in taken if m}


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
