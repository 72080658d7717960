# SPDX-License-Identifier: BSD-3-Clause
"""The disk of a synchronous replica is full, and has room again (doc/rolling.md, Policies): nobody is told what is not true, nothing half-written
is there, and what was missed comes by itself.

CYL_SYNC_FULL_TURNS  times that it is full while clients work (default 2)
"""

import contextlib
import os
import random
import re
import time

import pytest

from cyltest import rolling
from cyltest.clients import Rejected
from cyltest.syncdata import message
from test_sync_wait import AGAIN, LATE, Appends, Client, Steady, Watch

TURNS = int(os.environ.get("CYL_SYNC_FULL_TURNS", "2"))
ENTRY = "/shared/vendor/cylinder/durability"
BOUND = 700
USERS = ("alice", "bob")
# Where it is full, and what the primary says of it: no journal; no place to put messages that come; both; none where messages are kept.
SAID = {"/conf/journal/": "the disk of this server is full", "/spool/": "No space left on device", "/": "No space left on device",
        "/spool/uuid/": "the disk of this server is full"}


class Disk:
    """What takes room on such paths of the server fails while it is full."""

    def __init__(self, server, where):
        self.gate = server.path("tmp", "full")
        server.env["CYLINDER_DISKIO_FULL"] = f"grow:{self.gate}:{server.root}{where}"

    @contextlib.contextmanager
    def full(self):
        with open(self.gate, "wb"):
            pass
        yield
        os.unlink(self.gate)


def set_up(pair, where, **conf):
    primary, replica = pair.primary, pair.replica
    for server in (primary, replica):
        server.allow_log("")
        for user in USERS:
            server.add_user(user)
    rolling.set_up(pair, sync_repeat_interval="1h", sync_wait_ms=BOUND, durability="sync(1)", **conf)
    replica.conf["journal_inline_size"] = "2K"  # what is larger is a file of its own before
    rolling.daemon(primary)
    disk = Disk(replica, where)
    pair.start()
    rolling.caught_up(primary)
    for user in USERS:
        primary.create_user(user)
    with primary.imap("admin") as admin:
        admin.ok(f'SETMETADATA user.bob ({ENTRY} "semi")')
        admin.logout()
    rolling.caught_up(primary)
    return disk


def sized(n, size):
    return message(n, f"number {n}.", "x" * 70 + "\r\n" + "body of it\r\n" * (size // 12))


def put(server, n, user, size=200):
    with server.lmtp() as lmtp:
        (code, _), = lmtp.deliver(sized(n, size), user)
        lmtp.quit()
    return code


def whole(server, user):
    """The numbers of what is in his INBOX, each of which can be read to its last byte (it is compared with its GUID)."""
    with server.imap(user) as imap:
        imap.ok("EXAMINE INBOX")
        lines = b"".join(imap.ok("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])").untagged)
        imap.logout()
    return sorted(int(n) for n in re.findall(rb"Subject: number (\d+)\.", lines))


def wait_for(what, server):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, server.log_text()[-4000:]
        time.sleep(0.05)


def nothing_is_left(server, user):
    """Message files are those of the index, and no file that waits to become one is there."""
    spool = server.run("mbpath", f"user.{user}").stdout.strip()
    files = sorted(name for name in os.listdir(spool) if re.fullmatch(r"\d+\.", name))
    assert len(files) == len(whole(server, user))
    assert server.run("reconstruct", "-n", f"user.{user}").stdout.strip() in ("", f"user.{user}")
    for top, _, names in os.walk(server.path("spool")):
        if os.path.basename(top) in ("sync.", "stage."):
            assert not names, (top, names)


@pytest.mark.parametrize("where", SAID)
def test_full_disk_of_the_replica(pair, where):
    """sync(1): not acknowledged, then refused; semi: late, loudly; then both as if nothing had been."""
    primary, replica = pair.primary, pair.replica
    disk = set_up(pair, where)
    assert put(primary, 1, "alice") == put(primary, 1, "bob") == 250
    with disk.full():
        assert put(primary, 2, "alice", 5000) == 451
        assert primary.log_text().count(LATE) == 1
        assert put(primary, 3, "alice") == 451
        with primary.imap("alice") as imap:
            with pytest.raises(Rejected, match=r"NO \[UNAVAILABLE\]"):
                imap.append("INBOX", sized(4, 200))
            imap.logout()
        assert put(primary, 2, "bob", 5000) == put(primary, 3, "bob") == 250
        wait_for(lambda: rolling.status(primary)["failing"], primary)
        assert SAID[where] in primary.log_text() and "No space left on device" in replica.log_text()
        for user in USERS:
            assert whole(replica, user) == [1]
        assert (whole(primary, "alice"), whole(primary, "bob")) == ([1, 2], [1, 2, 3])
    wait_for(lambda: AGAIN in primary.log_text(), primary)
    assert put(primary, 2, "alice", 5000) == put(primary, 3, "alice") == 250
    assert whole(replica, "alice") == whole(replica, "bob") == [1, 2, 3]
    assert primary.log_text().count(LATE) == 1
    rolling.caught_up(primary)
    rolling.must_be_equal(pair, *USERS)
    for user in USERS:
        nothing_is_left(replica, user)


class Deliveries(Client):
    def put(self, first):
        with self.server.lmtp() as lmtp:
            for n in range(first, first + 10000):
                if lmtp.deliver(sized(n, 5000 if n % 2 else 200), self.user)[0][0] == 250:
                    self.tell(n)


def test_full_while_clients_work(pair):
    """At any time the replica has what clients were told of."""
    primary, replica = pair.primary, pair.replica
    disk = set_up(pair, "/")
    with primary.imap("admin") as admin:
        admin.ok(f'SETMETADATA user.bob ({ENTRY} NIL)')
        admin.logout()
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    there = {user: Watch(replica, user) for user in USERS}
    clients = [Steady(Appends, primary, "alice"), Steady(Deliveries, primary, "bob")]
    try:
        for turn in range(TURNS):
            before = [len(client.told) for client in clients]
            wait_for(lambda: all(len(client.told) > n + 3 for client, n in zip(clients, before)), primary)
            time.sleep(rng.random() * 0.05)
            with disk.full():
                time.sleep(0.05 + rng.random() * 2 * BOUND / 1000)
                for client in clients:
                    told = set(client.told)
                    assert told - there[client.user].now() == set(), f"seed {seed}, turn {turn}"
    finally:
        for client in clients:
            client.over = True
        for client in clients:
            client.join(70)
    for client in clients:
        assert set(client.told) - there[client.user].now() == set(), f"seed {seed}"
    late = primary.log_text().count(LATE)
    print(f"{TURNS} times full, {late} times late, {[len(client.told) for client in clients]} acknowledged")
    rolling.caught_up(primary)
    rolling.must_be_equal(pair, *USERS)
    for user in USERS:
        nothing_is_left(replica, user)
