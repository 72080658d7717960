# SPDX-License-Identifier: BSD-3-Clause
"""A sync stream that hangs, at either end and anywhere, keeps nobody else (W033): clients of its user go on at both ends, and so do all
other users, their mail and their replication. Builds for tests end by abort() where a lock is held while a peer is waited for
(imap/namelock.c), so every test of this suite looks for that, too.
"""

import random
import re
import signal
import threading

import pytest

from cyltest import Pair, processes, randomusers, rolling
from cyltest.credentials import password
from cyltest.relay import Relay
from cyltest.syncdata import assert_same, message
from cyltest.syncline import mailbox, record, upload

USERS = ("anna", "ben", "carl")


@pytest.fixture(scope="module")
def running(module_factory):
    pair = rolling.set_up(Pair(module_factory("primary"), module_factory("replica")))
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|closing connection|Can not connect|signaled|abnormally")
        for user in USERS:
            server.add_user(user)
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    randomusers.make(pair.primary, random.Random(33), *USERS)
    with pair.primary.imap("anna") as imap:
        for n in range(40):
            imap.append("INBOX", message(n, body="y" * 5000))
        imap.logout()
    pair.sync("-u", *USERS)
    return pair


class Stream:
    """A master's stream at anna, by hand; goes away at the end."""

    def __init__(self, pair):
        mark = pair.replica.log_mark()
        self.sync = pair.replica.sync()
        self.sync.login("repl", password("repl"))
        self.sync.ok("APPLY CAPABILITIES (X-LEASE)")
        self.sync.ok("GET USER anna")
        self.pid = int(re.search(r"/csync\[(\d+)\]: login: ", pair.replica.log_text(mark)).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sync.close()


COUNT = iter(range(1000, 9999))


def works(server, user):
    """A client of that user does all kinds of things."""
    n = next(COUNT)
    server.deliver(message(n), user)
    with server.imap(user) as imap:
        imap.append("INBOX", message(n + 10000))
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* (FLAGS UID)")
        imap.ok(r"STORE 1 FLAGS (\Seen $X%d)" % n)
        imap.ok("COPY * INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok(f"CREATE INBOX.n{n}")
        imap.ok(f"RENAME INBOX.n{n} INBOX.m{n}")
        imap.ok(f"SUBSCRIBE INBOX.m{n}")
        imap.ok(f"DELETE INBOX.m{n}")
        imap.logout()


def all_go_on(pair):
    for server in (pair.primary, pair.replica):
        works(server, "anna")
    works(pair.primary, "ben")
    pair.sync("-u", "ben")
    works(pair.primary, "carl")
    pair.sync("-j", "2", "-u", "ben", "carl")
    assert_same(pair.primary, pair.replica, "ben")
    assert_same(pair.primary, pair.replica, "carl")
    pair.replica.run("ctl_cyrusdb", "-c")


def and_then(pair):
    """Nothing is left behind."""
    pair.sync("-u", *USERS)
    for user in USERS:
        rolling.must_be_equal(pair, user)


# ---- the replica's side ----


def test_client_stops_within_a_message(running):
    with Stream(running) as stream:
        whole = upload(b"z" * 100000)
        stream.sync.send(whole[:5000])
        all_go_on(running)
        stream.sync.send(whole[5000:] + b"\r\n")
        assert stream.sync.readline() == b"OK success"
    and_then(running)


def test_client_stops_within_a_line(running):
    with Stream(running) as stream:
        line = "APPLY " + mailbox("user.anna", [record(n, n, content=b"x%d" % n) for n in range(1, 2000)])
        stream.sync.send(line[:100000].encode())
        all_go_on(running)
    and_then(running)


def test_client_stops_reading(running):
    with Stream(running) as stream:
        stream.sync.send(b"GET FULLMAILBOX user.anna\r\nGET USER anna\r\n" * 500)
        all_go_on(running)
    and_then(running)


def test_server_is_stopped_within_a_command(running):
    with Stream(running) as stream:
        whole = upload(b"w" * 100000)
        stream.sync.send(whole[:5000])
        processes.kill(stream.pid, signal.SIGSTOP)
        try:
            stream.sync.send(whole[5000:] + b"\r\nGET USER anna\r\n")
            all_go_on(running)
        finally:
            processes.kill(stream.pid, signal.SIGCONT)
        assert stream.sync.readline() == b"OK success"
    and_then(running)


# ---- the master's side ----


class Held:
    """A relay that keeps one command, or the answer to it, until it is let go."""

    def __init__(self, pair, verb, answer):
        self.verb, self.reached, self.go = verb, threading.Event(), threading.Event()
        self.relay = Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"),
                           on_command=None if answer else self._command, on_answer=self._answer if answer else None)

    def _hold(self, command):
        if command.startswith(self.verb) and not self.reached.is_set():
            self.reached.set()
            self.go.wait(120)

    def _command(self, command):
        self._hold(command)

    def _answer(self, command, answer):
        self._hold(command or b"")
        return answer


@pytest.mark.parametrize("answer", [False, True], ids=["sending", "answering"])
@pytest.mark.parametrize("verb", [b"GET USER", b"APPLY RESERVE", b"APPLY MESSAGE", b"APPLY MAILBOX"], ids=bytes.decode)
def test_network_hangs_at(running, verb, answer):
    pair = running
    works(pair.primary, "anna")
    held = Held(pair, verb, answer)
    with held.relay:
        client = pair.primary.popen("sync_client", "-o", "-S", held.relay.path, "-u", "anna")
        try:
            assert held.reached.wait(60)
            all_go_on(pair)
        finally:
            held.go.set()
            client.communicate(timeout=120)
    and_then(pair)
