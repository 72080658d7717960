# SPDX-License-Identifier: BSD-3-Clause
"""The transport of a session is cut at an octet: the replica is as before or after the command that was on its way.

CYL_CUT_EVERY_OCTET=1 cuts at each octet of each direction; without it at those around the ends of the commands' lines and some more.
"""

import os
import random
import re
from io import BytesIO

import pytest

from cyltest import Pair, cutpipe
from cyltest.relay import read_command
from cyltest.storefiles import Snapshot
from cyltest.syncdata import fill_user, message
from cyltest.transports import exports, service, service_env, write_program

ALL = bool(os.environ.get("CYL_CUT_EVERY_OCTET"))
CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
        "expunge_mode": "delayed", "delete_mode": "delayed"}
LOOK = b"GET USER anna\r\n" + b"".join(b"GET FULLMAILBOX user.anna%s\r\n" % name for name in (b"", b".Work", b".Old", b".New"))


def change(server):
    """Of each kind."""
    with server.imap("anna") as imap:
        for n in (6, 7):
            imap.append("INBOX", message(n, body="text " * 20 * n))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Flagged $Label1)")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("CREATE INBOX.New")
        imap.append("INBOX.New", message(8))
        imap.ok("SUBSCRIBE INBOX.New")
        imap.ok('SETMETADATA INBOX.Work (/shared/comment "another")')
        imap.ok("DELETE INBOX.Old")
        imap.logout()


class Session:
    """The primary after changes; the replica before them, stopped, and run by the transport alone.

    commands: what the client has sent in a session that went well; answered: octets that came back; states: of the replica after
    each number of commands.
    """

    def __init__(self, pair):
        self.pair, self.replica = pair, pair.replica
        self.saved = Snapshot(pair.replica)
        self.sent, self.came = pair.primary.path("tmp/sent"), pair.primary.path("tmp/came")
        self.limit = pair.primary.path("tmp/limit")
        self._set_transport()
        change(pair.primary)
        self.sync()
        with open(self.sent, "rb") as f:
            self.octets = f.read()
        stream = BytesIO(self.octets)
        self.commands = list(iter(lambda: read_command(stream), b""))
        self.answered = os.path.getsize(self.came)
        self.states = [self._after(b"")]
        for n, command in enumerate(self.commands, 1):
            changes = command.startswith(b"APPLY ")
            self.states.append(self._after(b"".join(self.commands[:n])) if changes else self.states[-1])

    def _set_transport(self):
        program = write_program(self.pair.primary, "transport", exports(self.replica),
                                f"exec /usr/bin/python3 {cutpipe.__file__} {self.pair.primary.path('tmp')} {service(self.replica)}")
        self.pair.primary.conf["cut_sync_transport"] = program
        self.pair.primary.write_conf()

    def sync(self, limit=None):
        """sync_client; with a limit of the answers."""
        if limit is None and os.path.exists(self.limit):
            os.unlink(self.limit)
        if limit is not None:
            with open(self.limit, "w", encoding="ascii") as f:
                f.write(str(limit))
        return self.pair.primary.run("sync_client", "-o", "-n", "cut", "-u", "anna", check=limit is None)

    def serve(self, octets):
        """The bytes that a session of the replica answers, but for its banner."""
        env, self.replica.env = self.replica.env, service_env(self.replica)
        try:
            done = self.replica.run("sync_server", "-X", data=octets)
        finally:
            self.replica.env = env
        return done.stdout.partition(b"* OK ")[2].partition(b"\r\n")[2]

    def look(self):
        return self.serve(LOOK)

    def _after(self, octets):
        self.saved.restore()
        self.serve(octets)
        return self.look()

    def whole(self, n):
        """Commands that are whole in so many octets."""
        ends = [sum(map(len, self.commands[:k + 1])) for k in range(len(self.commands))]
        return sum(end <= n for end in ends)


@pytest.fixture(scope="module")
def session(module_factory):
    pair = Pair(module_factory("primary", services=("imap", "csync")), module_factory("replica", services=("imap", "csync")))
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("SYNC|IOERROR|zero length|response|connection to|Can not connect")
    pair.start()
    fill_user(pair.primary)
    with pair.primary.imap("anna") as imap:
        imap.ok("CREATE INBOX.Old")
        imap.logout()
    pair.sync("-u", "anna")
    pair.replica.stop()
    return Session(pair)


def places(session, count):
    """Where to cut: all, or around the ends of lines, of commands first, and anywhere."""
    if ALL:
        return range(len(session.octets) + 1)
    lines = [m.end() for m in re.finditer(rb"\r\n", session.octets)]
    near = {at + d for at in random.Random(1).sample(lines, min(count // 4, len(lines))) for d in (-1, 0, 1)}
    return sorted({0, *near, *random.Random(2).sample(range(len(session.octets)), count // 4)})


def test_session_is_worth_it(session):
    """Each command that changes the replica is in it, and seen in the states; what the server answers is not looked at by it."""
    text = b"".join(session.commands)
    for verb in (b"MESSAGE", b"MAILBOX", b"RESERVE"):
        assert b"APPLY " + verb in text
    assert len(set(session.states)) > 4
    assert b"another" in session.states[-1] and b"another" not in session.states[0]


def test_master_to_replica_is_cut(session):
    for n in places(session, 24):
        session.saved.restore()
        session.serve(session.octets[:n])
        k = session.whole(n)
        assert session.look() in session.states[k:k + 2], f"octet {n}, after {session.commands[k - 1][:60]}"


def test_replica_to_master_is_cut(session):
    """The client says that it failed; the state is one of those of the session; the next run does the rest."""
    every = range(session.answered)
    for n in every if ALL else sorted(random.Random(3).sample(every, 5)):
        session.saved.restore()
        done = session.sync(limit=n)
        assert done.returncode == 1 and done.stderr, f"octet {n}"
        assert session.look() in session.states, f"octet {n}"
        session.sync()
        assert session.look() == session.states[-1], f"octet {n}"
