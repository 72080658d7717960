# SPDX-License-Identifier: BSD-3-Clause
"""Repacking, another version, moving to the archive or to another partition, reconstructing what is whole: the
mailbox stays what it is, so both checksums stay as they are and a replica has nothing to do. A repack that is killed leaves the old files or the
new ones; one for which there is no room leaves the old ones, and no client hears of it.
"""

import os
import random
import re
import time

import pytest

from cyltest.storefiles import IndexFile, Snapshot, index_of, mailbox_dir, message_files
from cyltest.syncdata import login, sent_commands
from cyltest.syncline import crcs, full

NAMES = ("INBOX", "Work")
FLAGS = (r"\Seen", r"\Flagged", r"\Answered", r"\Draft", "$Work", "Other")
NEEDS_REPACK = 1 << 30  # option of the header


def message(n, size=0):
    return (f"From: a@example.com\r\nMessage-ID: <{n}@x>\r\nSubject: message {n}\r\n"
            f"Date: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\nbody {n}\r\n{'x' * size}\r\n").encode()


def wire(name):
    return "user.alice" + ("" if name == "INBOX" else "." + name)


def change(imap, rng, count):
    """A few random changes; `count` are messages so far."""
    for _ in range(rng.randrange(2, 6)):
        count += 1
        imap.append(rng.choice(NAMES), message(count, rng.choice((0, 3000))), " ".join(rng.sample(FLAGS, rng.randrange(3))),
                    rng.choice(("02-Jan-2023 10:00:00 +0000", None)))
    for name in NAMES:
        imap.ok(f"SELECT {name}")
        for uid in rng.sample(range(1, count + 1), min(count, 4)):
            what = rng.random()
            if what < 0.4:
                imap.ok(f"UID STORE {uid} FLAGS ({' '.join(rng.sample(FLAGS, 2))})")
            elif what < 0.6:
                which = rng.choice(("value.shared", "value.priv"))
                imap.ok(f'UID STORE {uid} ANNOTATION (/comment ({which} "about {rng.random()}"))')
            elif what < 0.8:
                imap.ok(rf"UID STORE {uid} +FLAGS (\Deleted)")
                imap.ok("EXPUNGE")
            else:
                imap.ok(f"UID MOVE {uid} {NAMES[name == 'INBOX']}")
        imap.ok("UNSELECT")
    return count


def sums(server):
    """Of both mailboxes as GET MAILBOXES tells them, equal to those in the index and to what they are of."""
    found = {}
    with login(server) as csync:
        for name in NAMES:
            whole = full(csync, wire(name))
            told = int(whole["SYNC_CRC"]), int(whole["SYNC_CRC_ANNOT"])
            [line] = csync.ok(f"GET MAILBOXES ({wire(name)})").untagged
            for number, key in zip(told, (b"SYNC_CRC", b"SYNC_CRC_ANNOT")):
                assert re.search(rb" %s %d[ )]" % (key, number), line), line
            assert told[0] == crcs(whole)[0] and told[1] in (crcs(whole)[1], 0), name
            found[name] = told
    return found


def agree(one, two):
    """An index of version 12 has no place for the sum of the annotations: 0 is "not known"."""
    return all(a[0] == b[0] and (a[1] == b[1] or 0 in (a[1], b[1])) for a, b in zip(one.values(), two.values()))


def generations(server):
    found = []
    for name in NAMES:
        directory = mailbox_dir(server, "user/alice" + ("" if name == "INBOX" else "/" + name))
        with open(os.path.join(directory, "cyrus.index"), "rb") as f:
            found.append(int.from_bytes(f.read(4), "big"))
    return found


def move(server, rng):
    partition = "default" if "/other/" in mailbox_dir(server, "user/alice") else "other"
    with server.imap("admin") as imap:
        imap.ok(f"RENAME user/alice user/alice {partition}")
        imap.logout()


def repack(server, rng):
    before = generations(server)
    server.run("cyr_expire", "-E", "1", "-X", "0")
    server.repacks += generations(server) != before


def drop_deleted(server, rng):
    """What was deleted in this very second is not old enough."""
    while int(time.time()) <= server.deleted_at:
        time.sleep(0.05)
    done = server.run("cyr_expire", "-v", "-D", "0")
    server.drops += int(re.search(r"Removed (\d+) deleted mailboxes", done.stderr)[1])


NEUTRAL = {
    "repack": repack,
    "up": lambda server, rng: server.run("reconstruct", "-q", "-V", "max"),
    "down": lambda server, rng: server.run("reconstruct", "-q", "-V", rng.choice("12 13 14 15 16".split())),
    "archive": lambda server, rng: server.run("cyr_expire", "-A", "7d"),
    "deleted mailboxes": drop_deleted,
    "deliveries": lambda server, rng: server.run("cyr_expire", "-E", "0"),
    "user flags": lambda server, rng: server.run("cyr_expire", "-t"),
    "reconstruct": lambda server, rng: server.run("reconstruct", *rng.choice((("-q",), ("-q", "-G")))),
    "partition": move,
}


@pytest.mark.parametrize("seed", range(6))
def test_checksums_stay(pair, seed):
    """Random changes, then all of these in random order, on either end (RENAME is no business of a replica)."""
    rng = random.Random(seed)
    for server in (pair.primary, pair.replica):
        server.conf.update({"archive_enabled": True, "archivepartition-default": server.account.mkdir(server.path("archive")),
                            "archivepartition-other": server.account.mkdir(server.path("otherarchive")),
                            "partition-other": server.account.mkdir(server.path("other")), "conversations": True,
                            "unixhierarchysep": True, "allowusermoves": True, "expunge_mode": "delayed"})
        server.repacks = server.drops = 0
    pair.start()
    pair.primary.create_user("alice", "Work")
    count = 0
    for _ in range(2):
        with pair.primary.imap("alice") as imap:
            count = change(imap, rng, count)
            imap.ok("CREATE Gone")
            imap.append("Gone", message(0))
            imap.ok("DELETE Gone")
            imap.logout()
        pair.primary.deleted_at = pair.replica.deleted_at = int(time.time())
        pair.sync("-o", "-u", "alice")
        before = sums(pair.primary)
        assert agree(sums(pair.replica), before) and any(numbers[0] for numbers in before.values())
        for what in rng.sample(sorted(NEUTRAL), len(NEUTRAL)):
            server = pair.primary if what == "partition" else rng.choice((pair.primary, pair.replica))
            NEUTRAL[what](server, rng)
            for end in (pair.primary, pair.replica):
                assert agree(sums(end), before), (what, server.name, end.name)
            for name in NAMES:
                done = pair.primary.run("sync_client", "-v", "-v", "-o", "-m", wire(name))
                assert sent_commands(done) == [], (what, server.name)
            assert server.run("reconstruct", "-n", "-G", "-q").stdout == "", (what, server.name)
    assert pair.primary.repacks + pair.replica.repacks and pair.primary.drops + pair.replica.drops


# ---- a repack that does not come to its end ----

def fill(server, count=40):
    """Every other message is expunged, so that a repack has something to drop."""
    with server.imap("alice") as imap:
        for n in range(1, count + 1):
            imap.append("INBOX", message(n), r"\Flagged" if n % 3 else "$Work")
        imap.ok("SELECT INBOX")
        imap.ok('STORE 1 ANNOTATION (/comment (value.shared "first"))')
        imap.ok(rf"STORE {','.join(map(str, range(2, count + 1, 2)))} +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()


def view(server):
    with server.imap("alice") as imap:
        imap.ok("EXAMINE INBOX")
        got = imap.ok("FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[] ANNOTATION (/comment value.shared))")
        imap.logout()
    return sorted(line for line in got.untagged if b" FETCH " in line)


def files(directory):
    """(generation, records) of the index; the cache must belong to it."""
    index = IndexFile(os.path.join(directory, "cyrus.index"))
    assert index.crcs_are_good()
    with open(os.path.join(directory, "cyrus.cache"), "rb") as f:
        assert int.from_bytes(f.read(4), "big") == index.header["generation_no"]
    return index.header["generation_no"], len(index.records)


def filled(factory, **conf):
    """A server with mail, which may fail to write. A repack drops every record whose message is gone."""
    server = factory(services=("imap", "csync"))
    server.conf.update({"expunge_tombstones": "0", **conf})
    server.allow_log("IOERROR")
    server.start()
    server.create_user("alice", "Work")
    fill(server)
    return server


@pytest.mark.parametrize("restart", [True, False], ids=["recovery", "next"])
def test_killed_at_each_change(factory, restart):
    """Afterwards, with a recovery or by the next who comes: the old index with the old cache, or both new.
    At every second change of the disk; at each with CYL_KILL_STEP=1."""
    server = filled(factory)
    server.allow_log("DBERROR|journal|finish")
    before, messages = sums(server), view(server)
    directory = mailbox_dir(server, "user/alice")
    server.stop()
    old = files(directory)
    saved = Snapshot(server)
    seen = set()
    for nth in range(1 + restart, 300, int(os.environ.get("CYL_KILL_STEP") or 2)):
        if server.running:
            server.kill()
        saved.restore()
        if not restart:
            server.start()
        server.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = server.run("cyr_expire", "-E", "1", "-X", "0", "-u", "alice", check=False)
        del server.env["CYLINDER_DISKIO_KILL"]
        if restart:
            server.start()
        assert sums(server) == before and view(server) == messages, nth
        now = files(directory)
        assert now in (old, (old[0] + 1, old[1] // 2)), nth
        seen.add(now)
        assert server.run("reconstruct", "-G", "-q").stdout == "", nth
        if done.returncode == 0:
            break
    assert done.returncode == 0 and nth > 8 and len(seen) == 2


# What a repack needs room for: making its files, each of its writes, and the promise that they are there.
NO_ROOM = ["open:1+:ENOSPC:/stage./", "write:1:ENOSPC:/stage./", "write:2:ENOSPC:/stage./", "write:1+:EDQUOT:/stage./",
           "fsync:1:ENOSPC:/stage./", "fsync:2:EIO:/stage./"]


def prepare(factory, fault, **conf):
    server = filled(factory, **conf)
    server.stop()
    server.env["CYLINDER_DISKIO_FAULT"] = fault
    server.start()
    return server


@pytest.mark.parametrize("fault", NO_ROOM)
def test_no_room_while_a_client_expunges(factory, fault):
    """expunge_mode immediate repacks at once. What the client asked for is done; the files are repacked when there is room."""
    server = prepare(factory, fault, expunge_mode="immediate")
    directory = mailbox_dir(server, "user/alice")
    old = files(directory)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1:3 +FLAGS (\Deleted)")
        assert len(imap.ok("EXPUNGE").find("* ")) >= 3
        imap.ok("FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])")
        imap.logout()
    assert files(directory) == old
    assert "not repacked" in server.log_text()
    before, messages = sums(server), view(server)
    assert len(messages) == old[1] - 3
    del server.env["CYLINDER_DISKIO_FAULT"]
    server.restart()
    server.run("cyr_expire", "-E", "1", "-X", "0")
    assert files(directory) == (old[0] + 1, old[1] - 3)
    assert not index_of(server, "user/alice").header["options"] & NEEDS_REPACK
    assert sums(server) == before and view(server) == messages
    assert server.run("reconstruct", "-G", "-q").stdout == ""


@pytest.mark.parametrize("fault", NO_ROOM)
def test_no_room_while_expiring(factory, fault):
    """Message files of expunged messages are removed, which makes room; sessions go on meanwhile."""
    server = filled(factory)
    directory = mailbox_dir(server, "user/alice")
    before, messages, old = sums(server), view(server), files(directory)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        server.env["CYLINDER_DISKIO_FAULT"] = fault
        server.run("cyr_expire", "-E", "1", "-X", "0")
        del server.env["CYLINDER_DISKIO_FAULT"]
        imap.ok("NOOP")
        imap.ok("FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])")
        imap.logout()
    assert files(directory) == old
    assert sums(server) == before and view(server) == messages
    server.run("cyr_expire", "-E", "1", "-X", "0")
    assert files(directory) == (old[0] + 1, old[1] // 2)
    server.run("ctl_cyrusdb", "-c")
    assert len(message_files(directory)) == old[1] // 2
    assert sums(server) == before and view(server) == messages
    assert server.run("reconstruct", "-G", "-q").stdout == ""


def test_no_room_for_another_version(factory):
    """There is no half: it stays what it was, and the tool says so."""
    server = filled(factory)
    before, messages = sums(server), view(server)
    with open(os.path.join(mailbox_dir(server, "user/alice"), "cyrus.index"), "rb") as f:
        index = f.read()
    server.env["CYLINDER_DISKIO_FAULT"] = "write:1+:ENOSPC:/stage./"
    done = server.run("reconstruct", "-V", "14", "user/alice", check=False)
    del server.env["CYLINDER_DISKIO_FAULT"]
    assert done.returncode == 75
    with open(os.path.join(mailbox_dir(server, "user/alice"), "cyrus.index"), "rb") as f:
        assert f.read() == index
    assert sums(server) == before and view(server) == messages


def test_a_repack_that_would_change_the_checksum(factory):
    """The sum in the header is not that of the records: the repack leaves it for reconstruct, and loses nothing."""
    server = filled(factory)
    messages = view(server)
    server.stop()
    index = index_of(server, "user/alice")
    index.set("sync_crc_basic", index.header["sync_crc_basic"] ^ 1)
    server.start()
    server.run("cyr_expire", "-E", "1", "-X", "0")
    assert "sync CRC of the repacked index differs" in server.log_text()
    assert index_of(server, "user/alice").header["generation_no"] == index.header["generation_no"]
    assert view(server) == messages
    server.run("reconstruct", "user/alice")
    sums(server)
    server.run("cyr_expire", "-E", "1", "-X", "0")
    assert index_of(server, "user/alice").header["generation_no"] > index.header["generation_no"]
    assert view(server) == messages and sums(server)
