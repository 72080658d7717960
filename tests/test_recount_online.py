# SPDX-License-Identifier: BSD-3-Clause
"""
ctl_conversationsdb -R while the user gets and reads mail: the tool is held up at each mailbox that it counts, by a pipe that is full, and
meanwhile everything is done that changes counts. Whoever held the user's lock for the whole run would hold that up.
"""

import fcntl
import os
import random
import re
import struct
import termios

import pytest

from cyltest import richstore
from cyltest.clients import Rejected
from cyltest.store import BIN
from cyltest.storefiles import Snapshot

TOOL = "ctl_conversationsdb"
FOLDERS = ("Work", "Work/Deep", "Other", "Trash")


class Held:
    """A recount that waits whenever it says something, until let_go() gives it room for one line more."""

    def __init__(self, server):
        self.read, write = os.pipe2(os.O_DIRECT)  # each line is a packet of its own
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)  # of which there is room for one
        os.write(write, b"full")
        self.process = server.popen(TOOL, "-R", "-v", "alice", stdout=write)
        os.close(write)

    def is_held(self):
        """Waits until it has stopped at the pipe, or ended."""
        while self.process.poll() is None:
            try:
                with open(f"/proc/{self.process.pid}/wchan", encoding="ascii") as f:
                    where = f.read()
                with open(f"/proc/{self.process.pid}/syscall", encoding="ascii") as f:
                    call = f.read().split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # One that was let go and has not got the processor since looks as if it were still waiting; but the pipe is empty then.
            if self.is_full() and ("pipe_write" in where or (where == "0" and call[:2] == ["1", "0x1"])):  # write(1, ...)
                return True
        return False

    def is_full(self):
        return struct.unpack("i", fcntl.ioctl(self.read, termios.FIONREAD, bytes(4)))[0] > 0

    def let_go(self):
        os.read(self.read, 4096)

    def finish(self):
        while os.read(self.read, 4096):
            pass
        os.close(self.read)
        assert self.process.wait(60) == 0


def filled(factory, **conf):
    server = factory(services=("imap", "lmtp"))
    server.conf.update({"conversations": True, "conversations_counted_flags": "\\Flagged", "quota_db": "twoskip", **conf})
    server.start()
    server.create_user("alice", *FOLDERS)
    with server.imap("alice") as c:
        for n in range(30):
            c.append("INBOX", richstore.message(f"m{n}", n % 10, f"m{n - 1}" if n % 3 else None))
        c.ok("SELECT INBOX")
        for folder in FOLDERS:
            c.ok(f"COPY 1:20 {folder}")
        c.logout()
    return server


def break_counts(server):
    """What a recount has to put right."""
    path = richstore.user_file(server, "alice", "conversations")
    server.run("cyr_dbtool", path, "twoskip", "set", "Q", "1 %(E 1 S 1)")
    server.run("cyr_dbtool", path, "twoskip", "set", "B0000000000000001", "1 (5 1 1 1 (0) ((0 5 1 1 1)) () x 10 () 5)")


def is_right(server):
    assert server.run(TOOL, "-A", "-v", "alice").stdout.endswith("alice is OK\n")
    if os.path.exists(BIN + TOOL):
        assert "alice is OK" in server.run(BIN + TOOL, "-A", "-v", "alice").stdout
    assert server.run("quota", "-f", "-n", "-q").stderr == ""


def deliver(server, rng, _):
    server.deliver(richstore.message(f"new{rng.random()}", 5, "m1"), "alice")


def flag(_, rng, c):
    c.ok(f"SELECT {rng.choice(('INBOX', *FOLDERS))}")
    c.ok(f"STORE {rng.randint(1, 5)}:* {rng.choice('+-')}FLAGS ({rng.choice(('Seen', 'Flagged', 'Deleted')).join((chr(92), ''))})")


def expunge(_, rng, c):
    c.ok(f"SELECT {rng.choice(('INBOX', *FOLDERS))}")
    c.ok("EXPUNGE")


def move(_, rng, c):
    c.ok(f"SELECT {rng.choice(('INBOX', *FOLDERS))}")
    c.ok(f"MOVE 1 {rng.choice(('INBOX', *FOLDERS))}")


def trash(_, __, c):
    """Another mailbox is the Trash now; counts of unseen messages are others."""
    c.ok("RENAME Trash NoTrash")
    c.ok("RENAME Other Trash")
    c.ok("RENAME NoTrash Other")


def remake(_, __, c):
    c.ok("DELETE Work/Deep")
    c.ok("CREATE Work/Deep")
    c.append("Work/Deep", richstore.message("m3", 3, "m2"))


CHANGES = (deliver, deliver, deliver, flag, flag, flag, move, expunge, trash, remake)


@pytest.mark.parametrize("mode", ("delayed", "immediate"))
def test_mail_comes_and_goes_meanwhile(factory, mode):
    """Each change is done while the recount is held, between its beginning and its end; afterwards all counts are right."""
    server = filled(factory, expunge_mode=mode)
    for seed in range(8):
        rng = random.Random(seed)
        break_counts(server)
        held, times, done = Held(server), 0, 0
        with server.imap("alice") as c:
            while held.is_held():
                times += 1
                deliver(server, rng, c)
                for change in rng.sample(CHANGES, 3 if times < 8 else 0):
                    try:
                        change(server, rng, c)
                    except Rejected as e:  # an empty mailbox has no message 1
                        assert re.search("No matching messages|Invalid messageset|BAD", str(e)), e
                assert held.process.poll() is None
                done += 1
                held.let_go()
            c.logout()
        held.finish()
        assert done == times >= 5
        is_right(server)


def test_only_the_delta_is_counted_under_the_lock(factory):
    """The order of things: begin, delivery accepted, end; and the delivery is counted."""
    server = filled(factory)
    before = int(server.run(TOOL, "-d", "alice").stdout.split("\nQ\t1 %(E ")[1].split()[0])
    held = Held(server)
    assert held.is_held()
    deliver(server, random.Random(1), None)
    assert held.process.poll() is None
    held.let_go()
    while held.is_held():
        held.let_go()
    held.finish()
    assert f"\nQ\t1 %(E {before + 1} " in server.run(TOOL, "-d", "alice").stdout
    is_right(server)


def test_killed_at_each_change_of_the_disk(factory):
    """The counts are the old ones or the new ones, and no file is left."""
    server = filled(factory)
    server.allow_log("DBERROR|journal|finish")
    server.stop()
    right = server.run(TOOL, "-d", "alice").stdout
    break_counts(server)
    broken = server.run(TOOL, "-d", "alice").stdout
    saved = Snapshot(server)
    files = sorted(os.listdir(os.path.dirname(richstore.user_file(server, "alice", "conversations"))))
    outcomes = set()
    for nth in range(1, 200):
        saved.restore()
        server.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = server.run(TOOL, "-R", "alice", check=False)
        del server.env["CYLINDER_DISKIO_KILL"]
        server.run("ctl_cyrusdb", "-r")
        now = server.run(TOOL, "-d", "alice").stdout
        assert now in (right, broken), nth
        assert sorted(os.listdir(os.path.dirname(richstore.user_file(server, "alice", "conversations")))) == files, nth
        if done.returncode == 0:
            assert now == right
            break
        outcomes.add(now)
    assert outcomes == {right, broken} and nth > 5


def test_nothing_is_written_when_nothing_is_wrong(factory):
    server = filled(factory)
    server.stop()
    path = richstore.user_file(server, "alice", "conversations")
    with open(path, "rb") as f:
        before = f.read()
    server.run(TOOL, "-R", "alice")
    with open(path, "rb") as f:
        assert f.read() == before


def test_lost_database(factory):
    """Deliveries make a new one while it is counted; it is whole afterwards."""
    server = filled(factory)
    server.stop()
    os.unlink(richstore.user_file(server, "alice", "conversations"))
    server.start()
    held = Held(server)
    while held.is_held():
        deliver(server, random.Random(2), None)
        held.let_go()
    held.finish()
    is_right(server)
