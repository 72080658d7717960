# SPDX-License-Identifier: BSD-3-Clause
"""Many sessions of different users share the syncs of the disk: none waits for a lock of another while the disk is at work, so that as many
times as many changes are made in the time of one sync (W033).

It is counted, not timed. The disk does not end a sync (CYLINDER_DISKIO_HANG) until each session has appended its change to the log:
whatever held a lock of another user, or waited for a place, would keep this from coming about. Then the first sync ends and a second
one makes all of the others' changes durable: two for each round of changes, whether of one session or of a thousand.
CYL_SESSIONS=1000 (100) is the most; `bench/run sessions-slow` measures it.
"""

import contextlib
import os
import re
import resource
import threading
import time

import pytest

from cyltest.credentials import password
from cyltest.synctrace import SyncTrace
from cyltest.syncdata import message

MOST = int(os.environ.get("CYL_SESSIONS", "100"))
SOME = 20
ROUNDS = 2


class Slow:
    """The server whose disk is slow, and its sessions."""

    def __init__(self, server, users):
        self.server, self.gate, self.trace = server, server.path("tmp", "gate"), server.path("tmp", "trace")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * MOST + 200)), hard))
        server.conf.update(journal_checkpoint_size="1G", conversations=True, unixhierarchysep=False, altnamespace=False)
        server.env.update(CYLINDER_DISKIO_HANG=f"sync:{self.gate}:conf/journal/", CYLINDER_DISKIO_RECORD=self.trace)
        server.account.give(server.root)
        server.start()
        with server.imap("admin", timeout=300) as imap:
            for n in ("spare", *(f"u{n}" for n in range(users))):
                imap.ok(f"CREATE user.{n}")
            imap.logout()
        self.disk = SyncTrace(self.trace)

    def imap(self, n):
        client = self.server.imap(timeout=300)
        client.login_as(f"u{n}", "admin", password("admin"))
        return client

    def settle(self):
        """The next change of mailboxes.db is not the first since it was packed, which makes its mark durable before (doc/journal.md, "Announce")."""
        with self.server.imap("admin") as imap:
            for i in range(10):
                self.disk.forget()
                imap.ok(f'SETMETADATA user.spare (/shared/comment "{time.monotonic()}")')
                self.disk.read()
                if not any("mailboxes.db" in path for path in self.disk.syncs):
                    break

    def round(self, work, sessions):
        """All at once, each its change; no sync ends before all are appended. The paths of all syncs."""
        self.settle()
        self.disk.forget()
        failed = []

        def one(n):
            try:
                work(n)
            except Exception as problem:  # told below
                failed.append(problem)

        threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(sessions)]
        with open(self.gate, "w", encoding="ascii"):
            pass
        try:
            for thread in threads:
                thread.start()
            end = time.monotonic() + 30 + sessions / 10
            while len(set(self.disk.appended)) < sessions:
                assert time.monotonic() < end and not failed, \
                    f"{len(set(self.disk.appended))} of {sessions} sessions have appended their change: {failed[:3]}"
                time.sleep(0.01)
                self.disk.read()
        finally:
            os.unlink(self.gate)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not failed, failed[:3]
        self.disk.read()
        return self.disk.syncs


@pytest.fixture(scope="module")
def many(module_factory):
    return Slow(module_factory("many", services=("imap", "lmtp")), max(MOST, SOME))


def assert_shared(syncs, sessions, own=0):
    """The one that the first began, and one for all who came during it. Now and then mailboxes.db has doubled and is packed; own: so many
    of its own files may each user have synced."""
    syncs = [path for path in syncs if "/conf/mailboxes.db" not in path and not path.endswith("/conf")]
    shared = [path for path in syncs if "/conf/user/" not in path]
    assert all("/journal/" in path for path in shared), shared
    assert len(shared) <= min(2, sessions), f"{len(shared)} syncs for the changes of {sessions} sessions: {shared[:10]}"
    assert len(syncs) - len(shared) <= own * sessions, syncs


def messages(client):
    return int(re.search(r"MESSAGES (\d+)", str(client.ok("STATUS INBOX (MESSAGES)").untagged)).group(1))


@pytest.mark.parametrize("sessions", sorted({1, 10, MOST}))
def test_append(many, sessions):
    with contextlib.ExitStack() as clients:
        imap = [clients.enter_context(many.imap(n)) for n in range(sessions)]
        for n, client in enumerate(imap):  # what is made once
            client.append("INBOX", message(n))
        counts = [messages(client) for client in imap]
        for i in range(ROUNDS):
            assert_shared(many.round(lambda n: imap[n].append("INBOX", message(n + i * 10000)), sessions), sessions)
        for client, before in zip(imap, counts):
            assert messages(client) == before + ROUNDS


def test_other_changes(many):
    commands = [r"STORE 1 +FLAGS (\Flagged $X)", "COPY 1 INBOX.old", "EXPUNGE", "CREATE INBOX.new", "RENAME INBOX.old INBOX.other",
                "SUBSCRIBE INBOX", 'SETMETADATA INBOX (/private/comment "x")', "DELETE INBOX.other"]
    with contextlib.ExitStack() as clients:
        imap = [clients.enter_context(many.imap(n)) for n in range(SOME)]
        for n, client in enumerate(imap):
            client.append("INBOX", message(n))
            client.append("INBOX", message(n + 100), r"\Deleted")
            client.ok("CREATE INBOX.old")
            client.ok("SUBSCRIBE INBOX.old")
            client.ok('SETMETADATA INBOX (/private/comment "before")')
            client.ok("SELECT INBOX")
        for command in commands:
            assert_shared(many.round(lambda n: imap[n].ok(command), SOME), SOME, own=2 if command[:3] == "SUB" else 0)


def test_delivery(many):
    with contextlib.ExitStack() as clients:
        lmtp = [clients.enter_context(many.server.lmtp()) for n in range(SOME)]

        def deliver(n, what=0):
            (code, _), = lmtp[n].deliver(message(n + what), [f"u{n}"])
            assert code == 250

        for n in range(SOME):
            deliver(n)
        for i in range(1, ROUNDS + 1):
            assert_shared(many.round(lambda n: deliver(n, i * 10000), SOME), SOME)


def test_readers(many):
    """A change of the list of mailboxes that is not durable yet keeps nobody from mailboxes of others."""
    with many.imap(0) as changes, many.imap(1) as reads, many.server.imap() as begins:
        reads.append("INBOX", message(1))
        reads.ok("SELECT INBOX")  # nothing is recent any more, which would be noted
        many.settle()
        many.disk.forget()
        with open(many.gate, "w", encoding="ascii"):
            pass
        tag = changes.start("CREATE INBOX.newer")
        try:
            end = time.monotonic() + 30
            while not many.disk.appended:
                assert time.monotonic() < end
                time.sleep(0.01)
                many.disk.read()
            reads.sock.settimeout(20)
            begins.sock.settimeout(20)
            begins.login_as("u1", "admin", password("admin"))
            for client in (reads, begins):
                for command in ("SELECT INBOX", "FETCH 1 (FLAGS BODY.PEEK[])", "STATUS INBOX (MESSAGES UNSEEN)", "GETQUOTAROOT INBOX", "MYRIGHTS INBOX",
                                "GETACL INBOX", "GETMETADATA INBOX /private/comment", "CLOSE"):
                    client.ok(command)
        finally:
            os.unlink(many.gate)
        assert changes.finish(tag).status == "OK"
