# SPDX-License-Identifier: BSD-3-Clause
"""check_replication when an end is killed in the middle, or has damaged files: never equal, never a crash."""

import os
import random

import pytest

from cyltest.byterelay import ByteRelay
from cyltest.credentials import password
from cyltest.differences import message
from cyltest.storefiles import Snapshot, damage, mailbox_dir

CONF = {"unixhierarchysep": False, "altnamespace": False}


def replicate(pair):
    """alice with three messages, equal on both ends."""
    for server in (pair.primary, pair.replica):
        server.conf.update({**CONF, "proxy_authname": "repl", "proxy_password": password("repl")})
    pair.start()
    pair.primary.create_user("alice", "Work")
    with pair.primary.imap("alice") as imap:
        for n in range(1, 4):
            imap.append("INBOX", message(n))
        imap.logout()
    pair.sync("-u", "alice")
    return pair


def compare(pair, ends=None, host=None):
    """host: the server whose configuration is used, and whose kill() would end the tool too."""
    ends = ends or pair.labels()
    return (host or pair.primary).run("check_replication", *ends, "alice", check=False)


# ---- an end is killed ----

@pytest.mark.parametrize("word", [b"GETACL", b"EXAMINE", b"FETCH 1:"])
@pytest.mark.parametrize("end", [0, 1])
def test_a_server_is_killed(pair, end, word):
    """Every process of one end dies by SIGKILL: exit 2, and the reason names that end."""
    replicate(pair)
    servers = (pair.primary, pair.replica)
    with ByteRelay(servers[end].ports["imap"], word=word, act=servers[end].kill) as relay:
        ends = pair.labels()
        ends[end] = relay.label
        done = compare(pair, ends=ends, host=servers[1 - end])
    assert relay.fired
    assert done.returncode == 2, done.stdout + done.stderr
    told = done.stderr.splitlines()[0]
    assert told.startswith(f"check_replication: {relay.label}: alice: "), done.stderr
    assert told.removeprefix(f"check_replication: {relay.label}: alice: ").strip()
    assert done.stdout.splitlines()[-1].startswith("NOT COMPLETE")
    servers[end].start()
    assert compare(pair).returncode == 0


# ---- files of an end are damaged ----

def _garble(path):
    """The same bytes in every run."""
    size = os.path.getsize(path)
    damage(path, 0, random.Random(size).randbytes(size))


DAMAGE = {
    "truncated": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": os.unlink,
    "zeros": lambda path: damage(path, 0, b"\0" * os.path.getsize(path)),
    "garbage": _garble,
    "a record": lambda path: damage(path, 160 + 112 + 40, b"\xff\xff\xff\xff"),
}


def results(pair, name):
    """How the comparison ends after each kind of damage to alice's file on the replica; then repaired: equal."""
    replica = pair.replica
    path = os.path.join(mailbox_dir(replica, "user.alice"), name)
    replica.stop()
    saved = Snapshot(replica)
    for kind, apply in DAMAGE.items():
        apply(path)
        replica.start()
        yield kind, compare(pair)
        replica.stop()
        saved.restore()
    replica.start()
    done = compare(pair)
    assert done.returncode == 0, done.stdout + done.stderr


def test_damaged_index(pair):
    """A difference, or exit 2 and a reason."""
    replicate(pair)
    pair.replica.allow_log("user.alice|SYNCERROR: USER failed: Mailbox has an invalid format")
    for kind, done in results(pair, "cyrus.index"):
        assert done.returncode in (1, 2), f"{kind}: {done.stdout}{done.stderr}"
        assert done.returncode == 1 or done.stderr.startswith(
            f"check_replication: {pair.labels()[1]}: alice: "), f"{kind}: {done.stderr}"


def test_damaged_cache(pair):
    """The server makes damaged cache records anew when they are read, so both ends tell the same of the messages."""
    replicate(pair)
    pair.replica.allow_log("cache record is missing or damaged, made anew")
    items = "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"

    def told(server):
        with server.imap("alice") as imap:
            imap.ok("EXAMINE INBOX")
            untagged = imap.ok(items).untagged
            imap.logout()
        return untagged

    for kind, done in results(pair, "cyrus.cache"):
        assert done.returncode == 0, f"{kind}: {done.stdout}{done.stderr}"
        assert told(pair.replica) == told(pair.primary), kind
