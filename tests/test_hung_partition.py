# SPDX-License-Identifier: BSD-3-Clause
"""A partition that hangs (a device that does not answer, in whatever call) keeps only its own mailboxes: users of others log in, read,
deliver, delete, are replicated; checkpoints give up and the log grows, loudly, until the device answers, and nothing is lost (W033).

CYLINDER_DISKIO_HANG keeps every call on the partition's paths while a file is there; CYLINDER_DISKIO_APART makes it a file system of its
own. Seconds of the server's patience are tenths here (CYLINDER_LOCK_SECOND).
"""

import os
import re
import threading
import time

import pytest

from cyltest import Pair
from cyltest.syncdata import assert_same, message

USERS = ("anna", "ben", "carl")  # ben has the bad partition
COUNT = iter(range(1, 9999))


class Hang:
    """The partition hangs from the entry to the exit."""

    def __init__(self, server):
        self.server, self.gate = server, server.path("gate")

    def __enter__(self):
        with open(self.gate, "w", encoding="ascii"):
            pass
        return self

    def __exit__(self, *exc):
        os.unlink(self.gate)

    def hung(self):
        """Pids of those who have come to a call that hangs."""
        try:
            with open(self.gate + ".at", encoding="ascii") as at:
                return {int(line) for line in at}
        except FileNotFoundError:
            return set()

    def wait_hung(self, more_than=0):
        end = time.monotonic() + 60
        while len(self.hung()) <= more_than:
            assert time.monotonic() < end, "nobody has come to the partition"
            time.sleep(0.01)


def with_bad_partition(server):
    server.account.mkdir(server.path("bad"))
    server.conf.update({"partition-bad": server.path("bad"), "journal_checkpoint_size": "64K"})
    server.env.update(CYLINDER_DISKIO_HANG=f"any:{server.path('gate')}:{server.path('bad')}/",
                      CYLINDER_DISKIO_APART=server.path("bad"), CYLINDER_LOCK_SECOND="100")
    server.account.give(server.root)
    server.allow_log("IOERROR|signaled|abnormally")
    for user in USERS:
        server.add_user(user)
    return server


def make_users(server):
    with server.imap("admin") as imap:
        for user in USERS:
            imap.ok(f"CREATE user/{user}" + (" bad" if user == "ben" else ""))
        imap.logout()
    for user in USERS:
        server.deliver(message(1), user)


@pytest.fixture
def server(factory):
    made = with_bad_partition(factory())
    made.start()
    make_users(made)
    return made


def works(server, user):
    n = next(COUNT)
    server.deliver(message(n), user)
    with server.imap(user) as imap:
        imap.append("INBOX", message(n + 10000))
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* (FLAGS UID BODY[])")
        imap.ok(r"STORE 1 FLAGS (\Seen $X%d)" % n)
        imap.ok("COPY * INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok(f"CREATE INBOX/n{n}")
        imap.ok(f"RENAME INBOX/n{n} INBOX/m{n}")
        imap.ok(f"SUBSCRIBE INBOX/m{n}")
        imap.ok(f"DELETE INBOX/m{n}")
        imap.ok('LIST "" *')
        imap.ok("STATUS INBOX (MESSAGES UNSEEN)")
        imap.logout()


def messages(server, user):
    with server.imap(user) as imap:
        answer = imap.ok("STATUS INBOX (MESSAGES)")
        imap.logout()
    return int(re.search(r"MESSAGES (\d+)", str(answer)).group(1))


class Background(threading.Thread):
    """Runs something that hangs; its result, or what it raised, at the end."""

    def __init__(self, fn):
        super().__init__(daemon=True)
        self._fn, self.result = fn, None
        self.start()

    def run(self):
        try:
            self._fn()
            self.result = "done"
        except Exception as problem:  # told by the test that waits for it
            self.result = problem

    def finish(self):
        self.join(60)
        assert self.result == "done", self.result


def reads(server, user):
    with server.imap(user, timeout=120) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* (BODY[])")
        imap.logout()


def test_others_go_on(server):
    with Hang(server) as hang:
        reader = Background(lambda: reads(server, "ben"))
        hang.wait_hung()
        writer = Background(lambda: server.deliver(message(2), "ben"))
        for _ in range(3):
            works(server, "anna")
            works(server, "carl")
        with server.imap("admin") as imap:
            lines = imap.ok('LIST "" *')
            assert "user/ben" in str(vars(lines))
            imap.logout()
        assert reader.is_alive() and writer.is_alive()
    reader.finish()
    writer.finish()
    works(server, "ben")


def test_within_a_commit(server):
    """Whoever is within his commit when the device stops to answer keeps no other, and no checkpoint either stops them."""
    mark = server.log_mark()
    server.stop()
    # From the first byte that the record changes on, not from the first look.
    server.env["CYLINDER_DISKIO_HANG"] = f"pwrite:{server.path('gate')}:{server.path('bad')}/"
    server.start()
    with Hang(server) as hang:
        writers = [Background(lambda: server.deliver(message(2), "ben"))]
        hang.wait_hung()
        for _ in range(3):
            works(server, "anna")
        code = server.run("ctl_cyrusdb", "-c", check=False).returncode
        assert code != 0
        for _ in range(4):
            server.deliver(message(next(COUNT), body="z" * 30000), "anna")
            works(server, "carl")
        assert writers[0].is_alive()
        server.wait_log(r"journal: .* bytes and grows, since no checkpoint can be made", mark)
    for writer in writers:
        writer.finish()
    server.run("ctl_cyrusdb", "-c")
    works(server, "ben")
    server.kill()
    server.start()
    for user in USERS:
        reads(server, user)


def test_checkpoint(server):
    """The sync of the partition hangs: one attempt is cut short, the others do not wait at all, and it is told."""
    mark = server.log_mark()
    works(server, "ben")
    with Hang(server) as hang:
        assert server.run("ctl_cyrusdb", "-c", check=False).returncode != 0
        assert len(hang.hung()) == 1
        for _ in range(4):
            server.deliver(message(next(COUNT), body="z" * 40000), "anna")
            works(server, "carl")
        assert len(hang.hung()) == 1, "each attempt has left somebody at the device"
        server.wait_log(r"journal: .* bytes and grows, since no checkpoint can be made: a file system does not answer", mark)
        assert server.run("ctl_cyrusdb", "-c", check=False).returncode != 0
    server.wait_log("was not synced within", mark)
    end = time.monotonic() + 60
    while server.run("ctl_cyrusdb", "-c", check=False).returncode:
        assert time.monotonic() < end
        time.sleep(0.1)
    works(server, "ben")


def test_several_recipients(server):
    """Those of other partitions have the message, and their mailboxes go on; nobody gets it twice."""
    with Hang(server) as hang:
        sender = Background(lambda: server.deliver(message(7), "anna", "ben", "carl"))
        hang.wait_hung()
        for user in ("anna", "carl"):
            assert messages(server, user) == 2
            works(server, user)
        assert sender.is_alive()
    sender.finish()
    assert messages(server, "ben") == 2


def test_replication_of_others(module_factory):
    pair = Pair(module_factory("primary"), module_factory("replica"))
    with_bad_partition(pair.primary)
    for user in USERS:
        pair.replica.add_user(user)
    pair.replica.account.mkdir(pair.replica.path("bad"))
    pair.replica.conf["partition-bad"] = pair.replica.path("bad")
    pair.start()
    make_users(pair.primary)
    pair.sync("-u", *USERS)
    pair.primary.deliver(message(3), "ben")
    with Hang(pair.primary) as hang:
        stuck = Background(lambda: pair.sync("-u", "ben"))
        hang.wait_hung()
        for user in ("anna", "carl"):
            works(pair.primary, user)
            pair.sync("-u", user)
            assert_same(pair.primary, pair.replica, user)
    stuck.finish()
    for user in USERS:
        pair.sync("-u", user)
        assert_same(pair.primary, pair.replica, user)


def test_shutdown(server):
    """Master ends, though one of its processes can't; the next start puts all in order."""
    server.stop()
    server.conf["master_stop_timeout"] = "2s"
    server.allow_log("did not end in 2 seconds")
    server.env["CYLINDER_DISKIO_HANG"] = f"pwrite:{server.path('gate')}:{server.path('bad')}/"
    server.start()
    with Hang(server) as hang:
        writer = Background(lambda: server.deliver(message(2), "ben"))
        hang.wait_hung()
        works(server, "anna")
        server.stop()
    writer.join(60)
    server.start()
    assert messages(server, "ben") == 2
