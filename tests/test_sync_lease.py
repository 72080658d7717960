# SPDX-License-Identifier: BSD-3-Clause
"""One sync stream at a user (W015; doc/sync-extensions.md, X-LEASE): who else comes is told so and waits, or is kept waiting; a lease ends with
its connection, or when its peer is silent; eight clients at one user leave what one leaves.
"""

import os
import random
import select
import subprocess
import threading
import time

import pytest

from cyltest import processes, randomusers, rolling
from cyltest.credentials import password
from cyltest.syncdata import assert_same, fill_user, message, sent_commands
from cyltest.syncline import mailbox, record, upload

LOCKED = ("NO", "IMAP_MAILBOX_LOCKED Mailbox locked")
SILENCE = 1  # sync_lease_timeout of the servers here, seconds
DEADLINE = 30  # by which a lease of a silent peer has ended, says the wish


@pytest.fixture(scope="module")
def server(module_factory):
    server = module_factory(services=("imap", "csync"))
    server.conf["sync_lease_timeout"] = f"{SILENCE}s"
    server.allow_log("SYNC|closing connection|Connection|Broken pipe|shutdown")
    server.add_user("anna")
    server.start()
    server.create_user("anna")
    server.create_user("ben")
    with stream(server) as sync:  # so that the answer to GET USER is long
        sync.ok(b'APPLY ANNOTATION %(MBOXNAME user.anna ENTRY /comment USERID "" VALUE {60000+}\r\n' + b"x" * 60000 + b")")
    return server


def stream(server, leases=True):
    sync = server.sync()
    sync.login("repl", password("repl"))
    if leases:
        assert sync.ok("APPLY CAPABILITIES (X-LEASE)").untagged == [b"* ENABLED (X-LEASE)"]
    return sync


def told(response):
    return response.status, response.text


def sub(user="anna", name=None):
    return f"APPLY SUB %(USERID {user} MBOXNAME {name or 'user.' + user})"


class Alive:
    """The peer of a lease says something now and then, so it is not silent."""

    def __init__(self, sync, command="GET UNIQUEIDS (x)"):
        self.sync, self.command, self.over = sync, command, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.over.wait(SILENCE / 5):
            self.sync.ok(self.command)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()


def comes_free(sync, command="GET USER anna"):
    """Asks until the answer is no LOCKED, before the time of the wish is over."""
    end = time.monotonic() + DEADLINE
    while True:
        response = sync.cmd(command)
        if told(response) != LOCKED or time.monotonic() > end:
            assert response.status == "OK", response
            return
        time.sleep(0.02)


# ---- the commands ----


def test_announced_and_not(server, factory):
    with server.imap("admin") as imap:
        assert b" X-LEASE" in imap.ok("CAPABILITY").untagged[0]
    with server.imap("anna") as imap:
        assert b"X-LEASE" not in imap.ok("CAPABILITY").untagged[0]
    without = factory(services=("csync",))
    without.conf["suppress_capabilities"] = "X-LEASE"
    without.start()
    with without.sync() as sync:
        assert b"* X-LEASE" not in sync.banner
        sync.login("repl", password("repl"))
        assert sync.ok("APPLY CAPABILITIES (X-LEASE)").untagged == [b"* ENABLED ()"]


def test_one_has_the_user(server):
    with stream(server) as one, stream(server) as two, stream(server, leases=False) as reader:
        one.ok("GET USER anna")
        for command in ("GET USER anna", "GET META anna", "GET MAILBOXES (user.ben user.anna.Work)", sub(),
                        "APPLY UNSUB %(USERID anna MBOXNAME user.anna)", "APPLY UNMAILBOX user.anna.Work", "APPLY UNUSER anna",
                        "APPLY UNMAILBOXES (%(MBOXNAME user.ben UNIQUEID x) %(MBOXNAME user.anna UNIQUEID y))",
                        "APPLY UNQUOTA user.anna", "APPLY QUOTA %(ROOT user.anna.Work STORAGE 5)",
                        "APPLY RENAME %(OLDMBOXNAME user.ben NEWMBOXNAME user.anna.X PARTITION default)",
                        "APPLY RENAMES (%(OLDMBOXNAME user.ben NEWMBOXNAME user.ben.X PARTITION default) "
                        "%(OLDMBOXNAME user.anna NEWMBOXNAME user.anna.X PARTITION default))",
                        "APPLY SEEN %(USERID anna UNIQUEID x LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1)",
                        'APPLY ANNOTATION %(MBOXNAME user.anna ENTRY /comment USERID "" VALUE x)',
                        "APPLY UNSIEVE %(USERID anna FILENAME x)", "APPLY RECOUNT anna",
                        "RESTORE " + mailbox("user.anna"),
                        "APPLY " + mailbox("user.anna.New")):
            assert told(two.cmd(command)) == LOCKED, command
        # nobody else is kept away, and no reader
        two.ok("GET USER ben")
        two.ok(sub("ben"))
        reader.ok("GET USER anna")
        assert not reader.cmd("GET META anna").untagged
        two.ok("GET MAILBOXES (user.ben)")
        assert told(one.cmd("GET MAILBOXES (user.anna user.ben)")) == LOCKED
        one.ok(sub())  # who is refused keeps what he has
        assert told(two.cmd(sub())) == LOCKED
        # RESTART, or going to other users, gives it back
        one.ok("RESTART")
        two.ok("GET USER anna")
        one.ok("GET USER ben")
        assert told(one.cmd(sub())) == LOCKED
        two.ok("RESTART")
        one.ok("APPLY UNSUB %(USERID anna MBOXNAME user.anna)")
        one.ok("NOOP")
        two.ok("GET USER anna")


def test_messages_on_their_way_are_each_stream_s_own(server):
    """One message, uploaded by two at once: RESTART of one does not take it from the other."""
    with stream(server) as one, stream(server) as two:
        for sync in (one, two):
            sync.ok(upload(b"Subject: x\r\n\r\nx\r\n"))
        one.ok("RESTART")
        two.ok("APPLY " + mailbox("user.ben.Staged", [record(1, 2, content=b"Subject: x\r\n\r\nx\r\n")], UNIQUEID="staged",
                                  LAST_UID=1, HIGHESTMODSEQ=2))
        assert told(one.cmd("APPLY " + mailbox("user.anna.Staged", [record(1, 2, content=b"Subject: x\r\n\r\nx\r\n")],
                                               UNIQUEID="staged2", LAST_UID=1, HIGHESTMODSEQ=2)))[0] == "NO"


def test_ends_with_the_connection(server):
    with stream(server) as two:
        one = stream(server)
        one.ok("GET USER anna")
        assert told(two.cmd("GET USER anna")) == LOCKED
        one.close()
        comes_free(two)


# ---- silence ----


def _nothing(one):
    one.ok("GET USER anna")


def _within_a_literal(one):
    one.ok("GET USER anna")
    one.send(b"APPLY MESSAGE (%{default 0123456789012345678901234567890123456789 100000}\r\nbegins")


def _within_a_line(one):
    one.ok("GET USER anna")
    one.send(b"APPLY SUB %(USERID an")


def _does_not_read(one):
    one.ok("GET USER anna")
    one.send(b"GET USER anna\r\n" * 300)  # 18 MB of answers, which no socket holds


@pytest.mark.parametrize("how", [_nothing, _within_a_literal, _within_a_line, _does_not_read], ids=lambda f: f.__name__[1:])
def test_ends_when_the_peer_is_silent(server, how):
    mark = server.log_mark()
    with stream(server) as two:
        one = stream(server)
        how(one)
        assert told(two.cmd("GET USER anna")) == LOCKED
        comes_free(two)
        assert "the peer is silent: its lease of anna ends" in server.log_text(mark)
        one.close()


def test_who_comes_back_takes_it_again(server):
    with stream(server) as one, stream(server) as two:
        one.ok("GET USER anna")
        comes_free(two)
        assert told(one.cmd(sub())) == LOCKED
        two.ok("RESTART")
        one.ok(sub())
        assert told(two.cmd("GET USER anna")) == LOCKED


# ---- masters that know no leases ----


def test_who_knows_no_leases_waits(server):
    with stream(server) as one, stream(server, leases=False) as old, stream(server) as two:
        one.ok("GET USER anna")
        old.sendline(sub())
        with Alive(one):
            assert not select.select([old.sock], [], [], SILENCE / 4)[0]
        one.ok("RESTART")
        assert old.readline() == b"OK success"
        two.ok("GET USER anna")  # and has it no longer than for the command


def test_who_knows_no_leases_is_told_in_the_end(server):
    with stream(server) as one, stream(server, leases=False) as old:
        one.ok("GET USER anna")
        with Alive(one):
            assert told(old.cmd(sub())) == LOCKED
        assert "another sync stream is at user anna" in server.log_text()


# ---- inside IMAP ----


def test_inside_imap(server):
    with server.imap("repl") as one, stream(server) as two:
        one.ok("SYNCAPPLY CAPABILITIES (X-LEASE)")
        one.ok("SYNCGET USER anna")
        assert told(two.cmd("GET USER anna")) == LOCKED
        with Alive(one, "SYNCGET UNIQUEIDS (x)"):
            time.sleep(1.2)  # longer than a client is silent who is given no more than his session needs
            assert told(two.cmd("GET USER anna")) == LOCKED
        one.ok("NOOP")  # no command of a sync client
        two.ok("GET USER anna")
        assert "IMAP_MAILBOX_LOCKED" in one.no("SYNCGET USER anna").text
        two.ok("RESTART")
        one.ok("SYNCGET USER anna")
        comes_free(two)  # it is silent
        two.ok("RESTART")
        one.ok("SYNCGET USER anna")
        one.send(b"x SYNCAPPLY MESSAGE (%{default 0123456789012345678901234567890123456789 100000}\r\nbegins")
        comes_free(two)


# ---- clients ----


@pytest.fixture(scope="module")
def running(module_factory):
    """Clients know the replica by eight names, so their own locks do not keep them apart, as if they were on eight hosts."""
    from cyltest import Pair

    pair = rolling.set_up(Pair(module_factory("primary"), module_factory("replica")))
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|closing connection|Can not connect")
    pair.replica.conf["sync_lease_timeout"] = "5s"
    path = pair.replica.path("conf/socket/csync")
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=path)
    pair.start()
    for n in range(8):
        os.symlink(path, pair.primary.path("tmp", f"c{n}"))
    fill_user(pair.primary)
    randomusers.make(pair.primary, random.Random(15), "ben")
    return pair


def begin(pair, n, *args):
    return pair.primary.popen("sync_client", "-v", "-v", "-o", "-S", pair.primary.path("tmp", f"c{n}"), *args,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Load(threading.Thread):
    """Somebody works in his mailboxes meanwhile."""

    def __init__(self, server, user):
        super().__init__()
        self.server, self.user, self.over, self.rounds, self.trouble = server, user, threading.Event(), 0, None

    def run(self):
        try:
            with self.server.imap(self.user) as imap:
                imap.ok("CREATE INBOX.Load")
                while not self.over.is_set():
                    self.rounds += 1
                    self.work(imap, 100 + self.rounds)
                imap.logout()
        except Exception as trouble:  # pylint: disable=broad-exception-caught
            self.trouble = trouble

    @staticmethod
    def work(imap, n):
        imap.append("INBOX", message(n))
        imap.append("INBOX.Load", message(n))
        imap.ok("SELECT INBOX")
        imap.ok(rf"STORE {n % 3 + 1} +FLAGS (\Flagged $L{n % 7})")
        if n % 5 == 0:
            imap.ok("SELECT INBOX.Load")
            imap.ok(r"STORE 1 +FLAGS (\Deleted)")
            imap.ok("EXPUNGE")
            imap.ok("CLOSE")
            imap.ok("RENAME INBOX.Load INBOX.Load2")
            imap.ok("RENAME INBOX.Load2 INBOX.Load")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.join()


def test_eight_clients_at_one_user(running):
    """Under load; some are killed. Then one run has nothing left to do, and both ends are equal."""
    pair, rng, met = running, random.Random(8), 0
    with Load(pair.primary, "ben") as load:
        for turn in range(3):
            clients = [begin(pair, n, "-u", "ben") for n in range(8)]
            victims = clients[turn::5]
            for victim in victims:
                time.sleep(rng.random() / 20)  # wherever it is by then
                processes.kill(victim.pid)
            for client in clients:
                said = client.communicate(timeout=120)[0]
                met += "NO IMAP_MAILBOX_LOCKED" in said
                assert client in victims or client.returncode == 0, said[-3000:]
    assert not load.trouble and load.rounds > 20, (load.trouble, load.rounds)
    assert met >= 8, met
    clients = [begin(pair, n, "-u", "ben") for n in range(8)]
    for client in clients:
        said = client.communicate(timeout=120)[0]
        assert client.returncode == 0, said
    assert sent_commands(pair.primary.run("sync_client", "-v", "-v", "-o", "-u", "ben")) == []
    assert_same(pair.primary, pair.replica, "ben")
    rolling.must_be_equal(pair, "ben")


def test_who_does_not_wait(running):
    pair = running
    pair.sync("-u", "anna", "ben")
    with stream(pair.replica) as held, Alive(held):
        held.ok("GET USER anna")
        done = pair.primary.run("sync_client", "-v", "-N", "-u", "anna", check=False)
        assert done.returncode == 1 and "locked" in done.stderr
        done = pair.primary.run("sync_client", "-v", "-A")
        assert "skipping locked anna" in done.stdout and "USER ben" in done.stdout
        waiting = begin(pair, 0, "-u", "anna")
        other = pair.primary.run("sync_client", "-v", "-o", "-u", "ben")  # nobody else waits
        assert "USER ben" in other.stdout and waiting.poll() is None
        held.ok("RESTART")
        said = waiting.communicate(timeout=60)[0]
        assert waiting.returncode == 0, said


def test_rolling_goes_on_with_the_others(running):
    pair = running
    client = pair.primary.popen("sync_client", "-R", "-n", "roll", "-S", pair.primary.path("tmp", "c1"))
    try:
        rolling.caught_up(pair.primary, "roll")
        with stream(pair.replica) as held, Alive(held):
            held.ok("GET USER anna")
            pair.primary.deliver(message(900), "anna", "ben")
            now = rolling.wait_until(pair.primary, lambda now: now["failed_items"] == 1, "roll")
            assert "anna" in now["failing"][0]["item"] and "LOCKED" in now["failing"][0]["error"]
            assert "locked" not in pair.primary.run("sync_client", "-o", "-u", "ben").stderr
            assert_same(pair.primary, pair.replica, "ben")
            held.ok("RESTART")
            rolling.wait_until(pair.primary, lambda now: not now["failed_items"] and not now["events_behind"], "roll")
            held.ok("GET USER anna")  # a client that has nothing to do has no lease
        assert_same(pair.primary, pair.replica, "anna")
    finally:
        client.terminate()
        client.communicate(timeout=60)
